from dataclasses import make_dataclass, replace
from itertools import product

import numpy as np
import pytest
from pictures import faces, groups, is_linear, marks, parse, texts
from scipy import stats

from bids_secondlevel.core.rows import frame_of_cells
from bids_secondlevel.reports.charts.layout import DOTTED
from bids_secondlevel.reports.charts.style import Appearance
from bids_secondlevel.reports.charts.sweep import draw_sweep
from bids_secondlevel.rois.sweep import SWEEP_COLUMNS

DEFAULTS = {"status": "ok", "independence": "independent"}
SweepRow = make_dataclass(
    "SweepRow", [(name, object, DEFAULTS.get(name)) for name in SWEEP_COLUMNS], frozen=True
)
STEPS = {"threshold": (1.64, 1.96, 2.33), "eccentricity": (3.0, 4.0, 5.0, 6.0)}


def study(
    n=6, rois=("UL", "UR"), contrasts=("attend",), varied=("threshold", "eccentricity"), **columns
):
    random = np.random.default_rng(0)
    return [
        SweepRow(
            **{
                "participant_id": f"sub-{p:02}",
                "session": None,
                "task": "main",
                "contrast": contrast,
                "roi": roi,
                "hemi": hemi,
                "space": "fsnative",
                "statistic": "effect",
                "varied": limit,
                "value": value,
                "estimate": float(random.normal()),
                "n_vertices": 100 - 10 * i + p,
                **columns,
            }
        )
        for p, contrast, roi, hemi, limit in product(
            range(n), contrasts, rois, ("L", "both"), varied
        )
        for i, value in enumerate(STEPS[limit])
    ]


def draw(rows, in_use):
    cells = {name: [getattr(row, name) for row in rows] for name in SWEEP_COLUMNS}
    return draw_sweep(frame_of_cells(cells, SWEEP_COLUMNS), in_use)


def test_curves_are_means_over_participants_with_the_interval_of_scipy():
    rows = study(rois=("UL",), varied=("threshold",))
    (chart,) = draw(rows, {})
    samples = [
        [r.estimate for r in rows if r.hemi == "both" and r.value == value]
        for value in STEPS["threshold"]
    ]
    estimates, sizes = marks(chart, "curve")
    assert is_linear(estimates[:, 1], [np.mean(sample) for sample in samples])
    assert is_linear(estimates[:, 0], STEPS["threshold"])
    assert is_linear(sizes[:, 1], [102.5, 92.5, 82.5])
    for value, sample in zip(STEPS["threshold"], samples, strict=True):
        low, high = stats.t.interval(0.95, 5, np.mean(sample), stats.sem(sample))
        told = f"{value:.3g}: {np.mean(sample):.3g} (95 % CI {low:.3g} to {high:.3g}, n = 6)"
        assert told in chart.alt


def test_a_single_participant_has_its_numbers_and_no_interval():
    rows = study(n=1, rois=("UL",), varied=("eccentricity",))
    (chart,) = draw(rows, {})
    pooled = [row.estimate for row in rows if row.hemi == "both"]
    assert is_linear(marks(chart, "curve")[0][:, 1], pooled)
    told = ", ".join(
        f"{v:.3g}: {x:.3g}" for v, x in zip(STEPS["eccentricity"], pooled, strict=True)
    )
    assert chart.alt == f"attend: UL by eccentricity {told}."
    assert "interval" not in chart.caption


def test_a_value_without_numbers_is_a_gap():
    rows = study(rois=("UL",), varied=("threshold",))
    gap = {"estimate": None, "status": "empty_roi"}
    (chart,) = draw([replace(r, **gap) if r.value == 1.96 else r for r in rows], {})
    (line, *_) = groups(chart, "curve")[0].iter("{http://www.w3.org/2000/svg}path")
    assert "L" not in line.get("d")  # nothing joins the two points around it
    assert "1.96: n/a" in chart.alt
    assert "attend (n = 0 to 6)" in texts(chart)


def test_limits_in_use_are_marked():
    rows = study()
    common = {"threshold": {"UL": 1.96, "UR": 1.96}, "eccentricity": {"UL": 5.0, "UR": 5.0}}

    def dotted(chart):
        return sum(
            path.get("stroke-dasharray") == DOTTED
            for path in parse(chart).iter("{http://www.w3.org/2000/svg}path")
        )

    charts = [
        draw(rows, in_use)[0] for in_use in (common, {"eccentricity": {"UL": 5.0, "UR": 4.0}}, {})
    ]
    # A line in each of two panels of two columns; two lines in each panel of one; and the legend.
    assert [dotted(chart) for chart in charts] == [5, 5, 0]
    assert ["used for the ROIs" in texts(chart) for chart in charts] == [True, True, False]


def test_circular_estimates_are_apart_dashed_and_hollow():
    rows = [*study(task="loc", independence="circular"), *study()]
    independent, circular = draw(rows, {})
    assert "(circular)" in circular.title
    assert "Dashed" in circular.caption
    for chart, is_hollow in ((independent, False), (circular, True)):
        for group in groups(chart, "curve"):
            (line, *_) = group.iter("{http://www.w3.org/2000/svg}path")
            assert ("stroke-dasharray" in line.attrib) == is_hollow
        for of_curve in faces(chart, "curve")[::2]:  # round marks
            assert {face == "white" for face in of_curve} == {is_hollow}


def test_what_was_not_varied_has_no_panel():
    (chart,) = draw(study(varied=("eccentricity",)), {})
    assert "localizer threshold (z)" not in texts(chart)
    assert "upper end of eccentricity (degrees)" in texts(chart)


def test_many_contrasts_become_several_charts():
    contrasts = [f"contrast{i}" for i in range(5)]
    charts = draw(study(n=1, contrasts=contrasts), {})
    assert len({chart.name for chart in charts}) == len(charts) == 2
    assert [t for c in charts for t in texts(c) if t.startswith("contrast")] == contrasts


def test_groups_have_panels_of_their_own_with_their_means():
    rows = study(n=6, rois=("UL",), varied=("threshold",))
    of = {f"sub-{p:02}": "ab"[p % 2] for p in range(5)}  # the last is in no group
    cells = {name: [getattr(row, name) for row in rows] for name in SWEEP_COLUMNS}
    (chart,) = draw_sweep(frame_of_cells(cells, SWEEP_COLUMNS), {}, Appearance(groups=of))
    assert {"attend, a (n = 3)", "attend, b (n = 2)"} <= set(texts(chart))
    first, second, _ = marks(chart, "curve")
    for drawn, group in ((first, "a"), (second, "b")):
        means = [
            np.mean(
                [
                    row.estimate
                    for row in rows
                    if (row.hemi, row.value) == ("both", value)
                    and of.get(row.participant_id) == group
                ]
            )
            for value in STEPS["threshold"]
        ]
        assert is_linear(drawn[:, 1], means)


def test_without_a_number_there_is_no_chart():
    assert draw([], {}) == []
    assert draw([replace(row, estimate=None) for row in study()], {}) == []


def test_a_contrast_without_a_number_is_said_to_have_none():
    rows = study(contrasts=("attend", "ignore"), varied=("threshold",))
    rows = [replace(row, estimate=None) if row.contrast == "ignore" else row for row in rows]
    (chart,) = draw(rows, {})
    assert texts(chart).count("missing") == 1


@pytest.mark.parametrize("label", ["<script>", "$x^2$", "_hidden", "中文"])
def test_labels_are_text(label):
    (chart,) = draw(study(n=2, rois=(label,), contrasts=(label,)), {})
    assert label in texts(chart)
    assert f"{label} (n = 2)" in texts(chart)


@pytest.mark.parametrize("label", ["中" * 40, "m" * 40])
@pytest.mark.parametrize("varied", [("threshold",), ("threshold", "eccentricity")])
def test_there_is_room_for_many_rois_with_long_labels(varied, label):
    rois = [f"{i}{label}" for i in range(30)]
    (chart,) = draw(study(n=1, rois=rois, contrasts=(label,), varied=varied), {})
    assert len(groups(chart, "curve")) == 60 * len(varied)


def test_the_same_rows_give_the_same_charts():
    assert draw(study(), {}) == draw(study(), {})
