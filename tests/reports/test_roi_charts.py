from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import fills, groups, is_linear, marks, parse, texts, told
from scipy import stats

from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.reports.charts.rois import are_outliers, draw_coverage, draw_group_sizes
from bids_secondlevel.reports.charts.style import Appearance
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import QualityRow

ALL, LOW, NOTHING = "#dbe7f3", "#08306b", "#e69f00"


def sizes(values, roi="UL", hemi="both", *, area=True):
    return [
        QualityRow(
            f"sub-{i:04}",
            roi,
            hemi,
            "fsnative",
            n_vertices=int(value),
            area_mm2=1.5 * value if area else None,
            status="ok" if value else "empty_roi",
        )
        for i, value in enumerate(values)
    ]


def coverage(shares, rois=("UL", "UR"), contrast="attend", hemi="both", status="empty_roi"):
    """Rows of participants x ROIs; NaN is no number."""
    return [
        EstimateRow(
            f"sub-{i:04}",
            None,
            "main",
            contrast,
            rois[j],
            hemi,
            "fsnative",
            "effect",
            estimate=None if np.isnan(share) else 1.0,
            coverage=None if np.isnan(share) else float(share),
            status=status if np.isnan(share) else "ok",
        )
        for (i, j), share in np.ndenumerate(shares)
    ]


def draw_sizes(rows, groups=None):
    return draw_group_sizes(frame_of(rows, QualityRow), Appearance(groups=groups or {}))


def test_sizes_of_volumes_are_of_voxels_also_if_all_rois_are_empty():
    rows = frame_of(sizes([0, 0], area=False), QualityRow)
    (chart,) = draw_group_sizes(rows, Appearance(elements="voxels"))
    assert "number of voxels" in texts(chart)
    assert "vertices" not in chart.svg.decode() + chart.caption + chart.alt


def draw_shares(rows, groups=None):
    return draw_coverage(frame_of(rows, EstimateRow), Appearance(groups=groups or {}))


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_outliers_equal_the_rule_with_the_deviation_of_scipy(values):
    values = np.array(values, dtype=float)
    if values.size:
        limit = 3.5 * stats.median_abs_deviation(values) * 1.4826
        expected = [v == 0 or abs(v - np.median(values)) > limit for v in values]
    else:
        expected = []
    assert are_outliers(values).tolist() == expected


def test_every_size_is_a_point_where_it_belongs():
    values = [50, 52, 47, 55, 51]
    (chart,) = draw_sizes(sizes(values))
    (points,) = marks(chart, "participants")
    assert is_linear(points[:, 1], values)
    assert "area (mm²)" in texts(chart)
    assert chart.alt == "UL, both hemispheres: median 76.5 mm², 70.5 to 82.5, n = 5."


def test_vertices_are_shown_where_an_area_is_missing():
    rows = [*sizes([50, 52]), *sizes([47, 55], roi="UR", area=False)]
    (chart,) = draw_sizes(rows)
    assert "number of vertices" in texts(chart)
    assert "median 51 vertices" in chart.alt
    # An empty ROI needs no area.
    rows[2:] = sizes([0, 0], roi="UR", area=False)
    (chart,) = draw_sizes(rows)
    assert "area (mm²)" in texts(chart)


def test_outliers_are_named():
    (chart,) = draw_sizes(sizes([50, 52, 0, 47, 200, 51, 49]))
    assert {"0002", "0004"} <= set(texts(chart))
    assert "0000" not in texts(chart)
    assert "named: sub-0004 (300), sub-0002 (0)." in chart.alt


def test_of_many_outliers_the_furthest_are_named_and_the_others_counted():
    (chart,) = draw_sizes(sizes([50] * 200 + [*range(100, 140)]))
    assert [text for text in texts(chart) if text.startswith("02")] == [
        f"02{i}" for i in range(35, 40)
    ]
    assert "and 20 more" in chart.alt


def test_who_has_no_roi_is_told():
    rows = sizes([50, 51])
    rows += [replace(rows[0], participant_id="sub-x", n_vertices=None, status="missing_retinotopy")]
    (chart,) = draw_sizes(rows)
    assert "sub-x UL (missing_retinotopy)" in chart.caption
    assert len(marks(chart, "participants")[0]) == 2


def test_hemispheres_are_apart_only_where_nothing_is_pooled():
    left, right = sizes([50, 51], hemi="L"), sizes([60, 61], hemi="R")
    (chart,) = draw_sizes([*left, *right])
    assert {"left hemisphere", "right hemisphere"} <= set(texts(chart))
    (chart,) = draw_sizes([*left, *right, *sizes([110, 112])])
    assert len(marks(chart, "participants")) == 1


def test_without_an_roi_there_is_no_chart_of_sizes():
    assert draw_sizes([]) == []
    assert draw_sizes([replace(row, n_vertices=None) for row in sizes([1, 2])]) == []


@pytest.mark.parametrize("values", [[0], [0, 0, 0], [1], [7, 7, 7]])
def test_few_and_equal_sizes_can_be_drawn(values):
    (chart,) = draw_sizes(sizes(values))
    assert len(marks(chart, "participants")[0]) == len(values)


def test_each_participant_and_roi_is_a_cell_of_the_colour_of_its_class():
    shares = np.ones((5, 2))
    shares[1] = [0.49, np.nan]
    shares[3] = [0.0, np.nan]
    (chart,) = draw_shares(coverage(shares))
    # One more of each is in the legend.
    assert fills(chart, ALL) == 6 + 1
    assert fills(chart, LOW) == 2 + 1
    assert fills(chart, NOTHING) == 2 + 1
    assert {f"sub-{i:04}" for i in range(5)} <= set(texts(chart))
    assert "missing: empty_roi" in texts(chart)
    assert "2 empty_roi" in chart.caption
    assert chart.alt == (
        "UL: 5 of 5 participants, lowest share 0 (sub-0003). "
        "UR: 3 of 5 participants, lowest share 1 (sub-0000)."
    )


@pytest.mark.parametrize(
    ("share", "colour"),
    [
        (0.4999, LOW),
        (0.5, "#08519c"),
        (0.75, "#3182bd"),
        (0.9, "#6baed6"),
        (0.95, "#a6cbe3"),
        (1, ALL),
    ],
)
def test_classes_begin_at_their_lower_limit(share, colour):
    (chart,) = draw_shares(coverage(np.array([[share]])))
    assert fills(chart, colour) == 2


def test_of_several_maps_the_lowest_share_counts():
    rows = [
        *coverage(np.array([[0.9]])),
        *coverage(np.array([[0.6]]), contrast="ignore"),
        *coverage(np.array([[np.nan]]), contrast="third", status="missing_map"),
        *coverage(np.array([[0.1]]), hemi="L"),  # both hemispheres are shown
    ]
    (chart,) = draw_shares(rows)
    assert chart.alt == "UL: 1 of 1 participants, lowest share 0.6 (sub-0000)."


def test_the_deepest_reason_is_shown():
    nothing = np.array([[np.nan]])
    rows = [
        *coverage(nothing, status="empty_roi"),
        *coverage(nothing, contrast="ignore", status="missing_localizer"),
        *coverage(nothing, contrast="third", status="missing_map"),
    ]
    (chart,) = draw_shares(rows)
    assert [t for t in texts(chart) if t.startswith("missing:")] == ["missing: missing_localizer"]
    assert chart.alt == "UL: no participant of 1."


def test_of_many_participants_those_who_stand_out_are_named():
    shares = np.ones((500, 2))
    shares[[7, 8, 300]] = [[np.nan, np.nan], [np.nan, 1.0], [1.0, 0.3]]
    (chart,) = draw_shares(coverage(shares))
    assert [t for t in texts(chart) if t.startswith("sub-")] == ["sub-0007", "sub-0008", "sub-0300"]
    shares[:, 0] = 0.97
    (chart,) = draw_shares(coverage(shares))
    named = [t for t in texts(chart) if t.startswith("sub-")]
    assert len(named) == 20
    assert {"sub-0007", "sub-0008", "sub-0300"} <= set(named)


def test_charts_of_many_participants_are_small_files():
    random = np.random.default_rng(0)
    rois = [f"roi{i}" for i in range(12)]
    (chart,) = draw_shares(coverage(random.random((2000, 12)), rois))
    assert len(chart.svg) < 300_000
    (chart,) = draw_sizes([row for r in rois for row in sizes(random.integers(0, 300, 2000), r)])
    assert len(chart.svg) < 300_000


def test_labels_are_text():
    rows = [replace(r, participant_id="sub-<b>", roi="$x$") for r in coverage(np.ones((1, 1)))]
    (chart,) = draw_shares(rows)
    assert {"sub-<b>", "$x$"} <= set(texts(chart))
    rows = [
        replace(r, participant_id=f"sub-<b>{i}", roi="$x$") for i, r in enumerate(sizes([0, 9, 9]))
    ]
    (chart,) = draw_sizes(rows)
    assert {"<b>0", "$x$"} <= set(texts(chart))
    assert not [element for element in parse(chart).iter() if element.tag.endswith("}b")]


def test_without_rows_there_is_no_chart_of_coverage():
    assert draw_shares([]) == []


def test_the_same_rows_give_the_same_charts():
    shares = np.random.default_rng(1).random((70, 2))
    assert draw_shares(coverage(shares)) == draw_shares(coverage(shares))
    assert draw_sizes(sizes(range(900, 2000))) == draw_sizes(sizes(range(900, 2000)))


@pytest.mark.parametrize("n", [1, 60, 61])
@pytest.mark.parametrize("label", ["中" * 40, "m" * 40])
def test_there_is_room_for_every_reason_and_for_long_labels(n, label):
    rows = [
        replace(row, participant_id=f"sub-{label}{i}", roi=label, status=status)
        for i in range(n)
        for status in STATUSES
        for row in coverage(np.array([[np.nan]]))
    ]
    # One participant has a gap of each kind.
    rows += [
        replace(row, participant_id=f"sub-{label}0", roi=f"{status}{label}", status=status)
        for status in STATUSES
        for row in coverage(np.array([[np.nan]]))
    ]
    (chart,) = draw_shares(rows)
    assert (len([t for t in texts(chart) if t.startswith("missing: ")]) > 10) == (n <= 60)


GROUPS = {f"sub-{i:04}": ("patient", "control")[i % 2] for i in range(4)}


def test_sizes_of_groups_are_side_by_side_in_each_roi():
    rows = [*sizes([50, 20, 60, 30, 99]), *sizes([10, 40, 15, 45, 99], roi="UR")]
    (chart,) = draw_sizes(rows, GROUPS)
    assert {"control", "patient"} <= set(texts(chart))
    # Who is in no group is not drawn.
    said = [str(of) for of in told(chart, "participants")]
    points = dict(zip(said, marks(chart, "participants"), strict=True))
    in_order = sorted(points, key=lambda of: points[of][:, 0].mean())
    assert in_order == [
        "['sub-0001: 30', 'sub-0003: 45']",
        "['sub-0000: 75', 'sub-0002: 90']",
        "['sub-0001: 60', 'sub-0003: 67.5']",
        "['sub-0000: 15', 'sub-0002: 22.5']",
    ]
    heights = np.concatenate([points[of][:, 1] for of in in_order])
    assert is_linear(heights, [20, 30, 50, 60, 40, 45, 10, 15])
    assert "UR, both hemispheres, patient: median 18.8 mm²" in chart.alt
    assert "side by side" in chart.caption
    assert "side by side" not in draw_sizes(rows)[0].caption


def test_hemispheres_share_the_scale_of_sizes():
    left, right = [50, 51, 70], [160, 161, 130]
    (chart,) = draw_sizes([*sizes(left, hemi="L"), *sizes(right, hemi="R")])
    one, other = (of[:, 1] for of in marks(chart, "participants"))
    assert np.ptp(one) / np.ptp(left) == pytest.approx(np.ptp(other) / np.ptp(right), rel=1e-3)


def test_groups_are_side_by_side_in_the_chart_of_coverage():
    shares = np.array([[0.3], [1.0], [0.3], [1.0], [np.nan]])
    (chart,) = draw_shares(coverage(shares, rois=("UL",)), GROUPS)
    names = [text for text in texts(chart) if text.startswith("sub-")]
    assert names == ["sub-0001", "sub-0003", "sub-0000", "sub-0002", "sub-0004"]
    assert len(groups(chart, "group")) == 2
    assert chart.caption.endswith("left to right: control (2), patient (2), no group (1).")
    everyone = {f"sub-{i:04}": "ab"[i % 2] for i in range(40)}
    (many,) = draw_shares(coverage(np.full((40, 1), 0.7), rois=("UL",)), everyone)
    assert {"a", "b"} <= set(texts(many))
    assert len(groups(many, "group")) == 1
