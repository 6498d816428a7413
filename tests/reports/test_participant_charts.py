import re
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from pictures import SVG, groups, is_linear, marks, parse, shapes, texts, told

from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.reports.charts.participant import (
    draw_overlaps,
    draw_participant_estimates,
    draw_participant_sizes,
)
from bids_secondlevel.reports.charts.style import REASON_MARKERS
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import OverlapRow, QualityRow

HEMISPHERES = ("L", "R", "both")


def estimate(contrast, roi, hemi, value, **columns):
    return EstimateRow(
        **{
            "participant_id": "sub-01",
            "session": None,
            "task": "main",
            "contrast": contrast,
            "roi": roi,
            "hemi": hemi,
            "space": "fsnative",
            "statistic": "effect",
            "estimate": value,
            "sd": 0.5,
            "n_vertices": 40,
            **columns,
        }
    )


def study(n_contrasts=2, n_rois=3, **columns):
    random = np.random.default_rng(0)
    return [
        estimate(f"contrast{c}", f"roi{r}", hemi, float(random.normal()), **columns)
        for c, r, hemi in product(range(n_contrasts), range(n_rois), HEMISPHERES)
    ]


def draw(rows):
    return draw_participant_estimates(frame_of(rows, EstimateRow))


def draw_bars(rows):
    return draw_participant_sizes(frame_of(rows, QualityRow))


def draw_matrix(rows):
    return draw_overlaps(frame_of(rows, OverlapRow))


def test_every_number_is_where_it_belongs():
    rows = study(1)
    (chart,) = draw(rows)
    assert chart.name == "task-main_space-fsnative_stat-effect_estimates"
    sizes, places, values = [], [], []
    for hemi in HEMISPHERES:
        of_hemi = [row for row in rows if row.hemi == hemi]
        positions = np.vstack(marks(chart, f"estimate-{hemi}"))
        assert len(positions) == len(of_hemi)
        sizes += list(positions[:, 0])
        places += list(positions[:, 1])
        values += [row.estimate for row in of_hemi]
    assert is_linear(np.array(sizes), values)
    assert len(set(places)) == len(rows)


def width(shape):
    if shape.get("r"):
        return 2 * float(shape.get("r"))
    numbers = np.array(re.findall(r"-?[\d.]+", shape.get("d")), dtype=float)
    return np.ptp(numbers[::2])


def test_the_mark_shows_the_size_and_a_lack_of_data():
    rows = [
        estimate("attend", "UL", "both", 1.0, n_vertices=100, n_finite=100, coverage=1.0),
        estimate("attend", "UR", "both", 2.0, n_vertices=1600, n_finite=992, coverage=0.62),
    ]
    (chart,) = draw(rows)
    (group,) = groups(chart, "estimate-both")
    small, large = map(width, shapes(group))
    assert large / small == pytest.approx(2, rel=0.01)  # areas as the root of 100 and 1600
    assert [text for text in texts(chart) if text.endswith(" %")] == ["62 %"]
    assert {"10 vertices", "100 vertices", "1000 vertices"} <= set(texts(chart))
    assert chart.alt == (
        "attend: UL both 1 (100 vertices, coverage 100 %); "
        "UR both 2 (1600 vertices, coverage 62 %)."
    )


def test_whoever_points_at_a_mark_reads_its_numbers():
    rows = [
        estimate("attend", "UL", "L", 1.0, n_vertices=100, coverage=1.0),
        estimate("attend", "UR", "L", 2.0, n_vertices=1600, coverage=0.62),
        estimate("a < b", "UR", "both", None, status="empty_roi"),
    ]
    (chart,) = draw(rows)
    assert told(chart, "estimate-L") == [
        [
            "attend, UL, left hemisphere: 1 (100 vertices, coverage 100 %)",
            "attend, UR, left hemisphere: 2 (1600 vertices, coverage 62 %)",
        ]
    ]
    titles = [title.text for title in parse(chart).iter(f"{SVG}title")]
    assert "a < b, UR, both hemispheres: empty_roi" in titles
    (chart,) = draw_bars([quality("UL", "R", 57, 81.4)])
    titles = {title.text for title in parse(chart).iter(f"{SVG}title")}
    assert {"UL, right hemisphere: 57 vertices", "UL, right hemisphere: 81.4 mm²"} <= titles


def test_the_alternative_has_the_numbers_of_the_table():
    (chart,) = draw(
        [
            estimate("attend", "UL", "L", None, status="empty_roi", sd=None),
            estimate("attend", "UL", "both", 0.81832, n_vertices=57),
        ]
    )
    assert chart.alt == "attend: UL L n/a (empty_roi); UL both 0.818 (57 vertices)."


def test_gaps_have_a_mark_and_the_reason():
    rows = study(1)
    rows[0] = replace(rows[0], estimate=None, status="empty_roi")
    rows[4] = replace(rows[4], estimate=None, status="missing_map")
    (chart,) = draw(rows)
    n_drawn = sum(len(m) for hemi in HEMISPHERES for m in marks(chart, f"estimate-{hemi}"))
    assert n_drawn == len(rows) - 2
    assert {"missing: empty_roi", "missing: missing_map"} <= set(texts(chart))


@pytest.mark.parametrize("label", ["中" * 40, "m" * 40])
@pytest.mark.parametrize("n_rois", [1, 12])
def test_there_is_room_for_every_reason_and_for_long_labels(n_rois, label):
    rows = study(3, n_rois)
    rows = [replace(row, roi=row.roi + label, contrast=row.contrast + label) for row in rows]
    gap = {"estimate": None, "sd": None}
    rows += [
        replace(rows[0], **gap, hemi="L", status=status) for status in STATUSES if status != "ok"
    ]
    chart, *_ = draw(rows)
    reasons = [text for text in texts(chart) if text.startswith("missing: ")]
    assert len(reasons) == len(STATUSES) - 1 <= len(set(REASON_MARKERS))


@pytest.mark.parametrize("independence", ["independent", "crossvalidated", "circular"])
def test_circular_estimates_are_hollow_and_called_so(independence):
    (chart,) = draw(study(1, independence=independence))
    is_circular = independence == "circular"
    hollow = [
        shape.get("fill") == "white"
        for hemi in HEMISPHERES
        for group in groups(chart, f"estimate-{hemi}")
        for shape in shapes(group)
    ]
    assert hollow == [is_circular] * 9
    assert ("circular" in texts(chart)) == is_circular
    assert ("check of the localizer" in chart.caption) == is_circular


def test_many_contrasts_become_several_charts():
    rows = study(n_contrasts=14, n_rois=4)
    charts = draw(rows)
    assert len({chart.name for chart in charts}) == len(charts) == 2
    titles = [text for chart in charts for text in texts(chart) if text.startswith("contrast")]
    assert titles == [f"contrast{i}" for i in range(14)]
    assert "".join(chart.alt for chart in charts).count(" vertices)") == len(rows)


def test_sessions_and_tasks_have_charts_of_their_own():
    rows = [*study(session="1"), *study(session="2"), *study(task="loc")]
    assert [chart.name for chart in draw(rows)] == [
        "ses-1_task-main_space-fsnative_stat-effect_estimates",
        "ses-2_task-main_space-fsnative_stat-effect_estimates",
        "task-loc_space-fsnative_stat-effect_estimates",
    ]


def quality(roi, hemi, n_vertices, area=None, **columns):
    return QualityRow("sub-01", roi, hemi, "fsnative", n_vertices, area, **columns)


def test_sizes_are_written_above_their_bars():
    rows = [
        quality("UL", "L", 0, 0.0),
        quality("UL", "R", 57, 81.4),
        quality("UL", "both", 57, 81.4),
    ]
    (chart,) = draw_bars(rows)
    assert {"0", "57", "81.4", "number of vertices", "area (mm²)"} <= set(texts(chart))
    assert chart.alt == "UL L 0 vertices, 0 mm²; UL R 57 vertices, 81.4 mm²."
    (chart,) = draw_bars([quality("UL", "R", 57)])
    assert "area (mm²)" not in texts(chart)


def test_a_hemisphere_without_roi_is_told():
    rows = [quality("UL", "L", None, status="missing_localizer"), quality("UL", "R", 57)]
    (chart,) = draw_bars(rows)
    assert "n/a" in texts(chart)
    assert chart.alt == "UL L n/a (missing_localizer); UL R 57 vertices."
    assert "missing_localizer" in chart.caption


def overlaps(rois, hemispheres=HEMISPHERES):
    random = np.random.default_rng(1)
    return [
        OverlapRow("sub-01", a, b, hemi, "fsnative", 1, float(random.random()), 0.5)
        for a, b in combinations(rois, 2)
        for hemi in hemispheres
    ]


def test_each_pair_of_rois_has_a_cell_with_its_number():
    rows = overlaps(["UL", "UR", "LL", "LR"])
    (chart,) = draw_matrix(rows)
    pooled = [row for row in rows if row.hemi == "both"]
    assert sorted(t for t in texts(chart) if t.startswith("0.")) == sorted(
        f"{row.dice:.2f}" for row in pooled
    )
    for row in pooled:
        assert f"{row.roi} and {row.other_roi} both {row.dice:.3g}" in chart.alt


def test_overlap_in_one_hemisphere_is_shown_where_the_other_has_no_roi():
    rows = overlaps(["UL", "UR"])
    rows = [row if row.hemi == "L" else replace(row, n_shared=None, dice=None) for row in rows]
    (chart,) = draw_matrix(rows)
    assert "left hemisphere" in texts(chart)
    assert "both hemispheres" not in texts(chart)


def test_without_rows_there_is_no_chart():
    assert draw([]) == draw_bars([]) == draw_matrix([]) == []


def test_without_any_number_there_is_a_chart_that_says_so():
    gap = {"estimate": None, "sd": None, "status": "missing_map"}
    (chart,) = draw([replace(row, **gap) for row in study()])
    assert chart.alt.count("n/a (missing_map)") == 18
    (chart,) = draw_bars([quality("UL", "L", None, status="missing_retinotopy")])
    assert "n/a" in texts(chart)
    (chart,) = draw_matrix([replace(row, dice=None) for row in overlaps(["UL", "UR"])])
    assert "n/a" in texts(chart)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_numbers_of_any_size_can_be_drawn(scale):
    rows = [replace(row, estimate=scale * row.estimate, sd=scale) for row in study(1)]
    (chart,) = draw(rows)
    assert sum(len(m) for hemi in HEMISPHERES for m in marks(chart, f"estimate-{hemi}")) == 9


def test_the_same_rows_give_the_same_charts():
    assert draw(study()) == draw(study())
    assert draw_matrix(overlaps("abcd")) == draw_matrix(overlaps("abcd"))


@pytest.mark.parametrize("label", ["中" * 40, "m" * 40])
@pytest.mark.parametrize("n_rois", [2, 12])
def test_there_is_room_for_long_labels_of_rois(n_rois, label):
    rois = [f"{i}{label}" for i in range(n_rois)]
    (chart,) = draw_matrix(overlaps(rois))
    assert len([t for t in texts(chart) if t.startswith("0.")]) == n_rois * (n_rois - 1) / 2
    (chart,) = draw_bars([quality(roi, hemi, 5, 9.5) for roi in rois for hemi in "LR"])
    assert texts(chart).count("9.5") >= 2 * n_rois
