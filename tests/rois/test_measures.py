from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from half_cortex import bilateral, empty_row
from hypothesis import given
from hypothesis import strategies as st
from plans import plan

from bids_secondlevel.core.files import Contrast, MapSource, SourceFile
from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.roi_rule import RoiDefinition, RoiRule
from bids_secondlevel.core.rows import KEY
from bids_secondlevel.core.values import STATUSES, Absent
from bids_secondlevel.maps.combine import combine_runs
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.rois.flags import has_few_runs, is_minor
from bids_secondlevel.rois.independence import average_folds, cross_validated
from bids_secondlevel.rois.measure import measure, region, summarize

NAN, INF = np.nan, np.inf


def measured(rois, maps, **rule):
    """Rows by hemisphere of one map in one ROI, where two runs were combined."""
    two = MapSource((SourceFile(Path("a"), ""), SourceFile(Path("b"), "")), "mean")
    contrast = Contrast(
        participant_id="sub-01",
        session=None,
        task="main",
        contrast="attend",
        maps={"L": two, "R": two},
        localizers={},
    )
    asked = plan(rois=(RoiDefinition("left", ("left",), RoiRule(**rule)),))
    regions = Bilateral.of(lambda side: {"left": region(rois[side])})
    rows = measure(bilateral(maps), regions, contrast, asked)
    assert [row.hemi for row in rows] == ["L", "R", "both"]
    assert {row.n_runs for row in rows} == {2}
    return {row.hemi: row for row in rows}


def roi(*vertices, n=6):
    mask = np.zeros(n, bool)
    mask[list(vertices)] = True
    return mask


def test_both_pools_vertices_and_is_not_the_mean_of_two_means():
    rows = measured(
        {"L": roi(0, 1, 2), "R": roi(5)},
        {"L": np.array([1, 2, 3, 99, 99, 99.0]), "R": np.array([99, 99, 99, 99, 99, 10.0])},
    )
    assert [rows[h].estimate for h in ("L", "R", "both")] == [2.0, 10.0, 4.0]
    assert [rows[h].n_vertices for h in ("L", "R", "both")] == [3, 1, 4]
    assert rows["both"].median == 2.5
    assert rows["both"].sd == pytest.approx(np.sqrt(50 / 3))
    assert rows["L"].sd == 1.0
    assert rows["R"].sd is None


def test_nan_and_infinite_vertices_are_left_out_and_counted():
    rows = measured(
        {"L": roi(0, 1, 2, 3), "R": roi(0)},
        {"L": np.array([1, NAN, INF, 3, 0, 0]), "R": np.array([-INF, 0, 0, 0, 0, 0])},
    )
    left, right, both = rows["L"], rows["R"], rows["both"]
    assert (left.estimate, left.n_vertices, left.n_finite, left.coverage) == (2.0, 4, 2, 0.5)
    assert (right.estimate, right.n_finite, right.coverage) == (None, 0, 0.0)
    assert right.status == "no_finite_vertices"
    assert (both.estimate, both.n_vertices, both.n_finite, both.status) == (2.0, 5, 2, "ok")


def test_an_empty_roi_has_no_number():
    rows = measured({"L": roi(), "R": roi(1)}, {"L": np.ones(6), "R": np.full(6, 7.0)})
    left = rows["L"]
    assert (left.status, left.estimate, left.sd, left.median) == ("empty_roi", None, None, None)
    assert (left.n_vertices, left.n_finite, left.coverage) == (0, 0, None)
    assert (rows["both"].estimate, rows["both"].status) == (7.0, "ok")
    empty = measured({"L": roi(), "R": roi()}, {"L": np.ones(6), "R": np.ones(6)})
    assert empty["both"].status == "empty_roi"


def test_both_has_no_number_where_a_hemisphere_has_no_map():
    rows = measured({"L": roi(0), "R": roi(1)}, {"L": np.ones(6), "R": Absent("missing_map")})
    assert rows["L"].estimate == 1.0
    assert (rows["R"].status, rows["R"].n_vertices) == ("missing_map", 1)
    both = rows["both"]
    assert (both.estimate, both.status, both.n_vertices) == (None, "missing_map", 2)


def test_the_deepest_reason_wins():
    rows = measured(
        {"L": Absent("missing_retinotopy"), "R": roi(1)},
        {"L": Absent("missing_map"), "R": Absent("unreadable_map")},
    )
    statuses = [rows[h].status for h in ("L", "R", "both")]
    assert statuses == ["missing_retinotopy", "unreadable_map", "missing_retinotopy"]
    assert rows["both"].n_vertices is None


def test_map_and_roi_of_different_length_are_a_mismatch():
    rows = measured({"L": roi(0), "R": roi(0)}, {"L": np.ones(5), "R": np.ones(6)})
    assert [rows[h].status for h in ("L", "R", "both")] == [
        "vertex_mismatch",
        "ok",
        "vertex_mismatch",
    ]


def test_means_are_accumulated_in_64_bits():
    # In 32-bit floats, adding 1 to 2**24 changes nothing.
    values = np.array([2**24, 1, 1, 1, 1], "f4")
    rows = measured({"L": np.ones(5, bool), "R": roi(n=5)}, {"L": values, "R": np.ones(5, "f4")})
    assert rows["L"].estimate == (2**24 + 4) / 5


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30),
    flip=st.sampled_from([1.0, -1.0]),
    seed=st.integers(0, 2**16),
)
def test_order_does_not_matter_and_sign_flips_exactly(values, flip, seed):
    array = np.array(values)
    order = np.random.default_rng(seed).permutation(array.size)
    everywhere, nowhere = np.ones(array.size, bool), np.zeros(array.size, bool)
    rois = {"L": everywhere, "R": nowhere}
    plain = measured(rois, {"L": array, "R": array})["both"]
    shuffled = measured(rois, {"L": flip * array[order], "R": array})["both"]
    assert shuffled.estimate == pytest.approx(flip * plain.estimate, rel=1e-9, abs=1e-6)
    assert shuffled.median == flip * plain.median
    flipped = measured(rois, {"L": -array, "R": array})["both"]
    assert flipped.estimate == -plain.estimate


class TestCombineRuns:
    def test_fixed_effects_weigh_by_inverse_variance(self):
        runs, variances = [np.array([1.0]), np.array([5.0])], [np.array([1.0]), np.array([3.0])]
        assert combine_runs(runs, variances, "fixed_effects") == pytest.approx(
            (1 + 5 / 3) / (4 / 3)
        )
        z = combine_runs(runs, variances, "fixed_effects_z")
        assert z == pytest.approx((1 + 5 / 3) / np.sqrt(4 / 3))

    def test_equal_variances_give_the_plain_mean(self):
        runs = [np.array([1.0, 2.0]), np.array([3.0, 8.0])]
        same = [np.array([2.0, 2.0])] * 2
        assert combine_runs(runs, same, "fixed_effects") == pytest.approx([2.0, 5.0])
        assert combine_runs(runs, [], "mean").tolist() == [2.0, 5.0]

    def test_stouffer(self):
        assert combine_runs([np.array([1.0]), np.array([3.0])], [], "stouffer") == pytest.approx(
            4 / np.sqrt(2)
        )

    def test_a_single_map_keeps_its_precision(self):
        only = np.array([1.96], ">f4")
        assert combine_runs([only], [], "single") is only

    def test_an_infinite_z_remains_the_most_extreme(self):
        runs = [np.array([INF, -INF, INF, INF]), np.array([1.0, 2.0, -INF, NAN])]
        combined = combine_runs(runs, [], "stouffer")
        np.testing.assert_array_equal(combined, [INF, -INF, NAN, NAN])

    @pytest.mark.parametrize(
        ("combination", "bad"), [("mean", NAN), ("mean", INF), ("stouffer", NAN)]
    )
    def test_a_vertex_missing_in_one_run_is_missing(self, combination, bad):
        runs = [np.array([1.0, bad]), np.array([1.0, 1.0])]
        combined = combine_runs(runs, [], combination)
        assert np.isnan(combined).tolist() == [False, True]

    @pytest.mark.parametrize("combination", ["fixed_effects", "fixed_effects_z"])
    @pytest.mark.parametrize("bad", [0.0, -1.0, NAN, INF])
    def test_a_variance_that_is_none_gives_no_number(self, combination, bad):
        runs = [np.array([1.0, 1.0])] * 2
        variances = [np.array([1.0, bad]), np.array([1.0, 1.0])]
        combined = combine_runs(runs, variances, combination)
        assert np.isnan(combined).tolist() == [False, True]


class TestSummaries:
    VALUES = np.array([1.0, 2.0, 9.0, 50.0])

    def of(self, where, values=VALUES, **asked):
        return summarize(empty_row(), [where], [values], **asked)

    def test_median_and_area_weighted_mean(self):
        where = region(np.array([True, True, True, False]), np.array([1.0, 1, 2, 7]))
        assert self.of(where).estimate == 4.0
        assert self.of(where, summary="median").estimate == 2.0
        assert self.of(where, summary="area-weighted-mean").estimate == (1 + 2 + 18) / 4
        assert self.of(where).area_mm2 == 4.0

    def test_area_weights_of_nan_vertices_do_not_count(self):
        values = np.array([1.0, NAN, 9.0, 0.0])
        where = region(np.array([True, True, True, False]), np.array([1.0, 100, 3, 7]))
        assert self.of(where, values, summary="area-weighted-mean").estimate == (1 + 27) / 4

    def test_areas_are_needed_for_weights(self):
        row = self.of(region(np.ones(4, bool)), summary="area-weighted-mean")
        assert (row.estimate, row.status) == (None, "missing_surface")
        assert self.of(region(np.ones(4, bool))).area_mm2 is None

    @pytest.mark.parametrize(("least", "status"), [(3, "ok"), (4, "below_min_vertices")])
    def test_min_vertices(self, least, status):
        row = self.of(region(np.array([True, True, True, False])), min_vertices=least)
        assert (row.status, row.n_vertices) == (status, 3)
        assert (row.estimate is None) == (status != "ok")

    def test_min_vertices_counts_both_hemispheres_for_both(self):
        maps = {"L": self.VALUES, "R": self.VALUES}
        rows = measured({"L": roi(0, 1, n=4), "R": roi(0, n=4)}, maps, min_vertices=3)
        statuses = [rows[h].status for h in ("L", "R", "both")]
        assert statuses == ["below_min_vertices", "below_min_vertices", "ok"]


class TestCrossValidation:
    def fold(self, estimate, **others):
        status = "ok" if estimate is not None else "empty_roi"
        columns = {"estimate": estimate, "n_vertices": 4, "n_finite": 4, "status": status}
        return empty_row(**(columns | others))

    def test_folds_are_averaged_and_counted(self):
        (row,) = average_folds([self.fold(1.0), self.fold(4.0), self.fold(None)])
        assert (row.estimate, row.n_runs, row.status) == (2.5, 2, "ok")
        assert row.independence == "crossvalidated"

    def test_no_fold_has_a_number(self):
        (row,) = average_folds([self.fold(None), self.fold(None)])
        assert (row.estimate, row.n_runs, row.status) == (None, 0, "empty_roi")

    def test_a_run_that_cannot_be_read_costs_the_estimate(self):
        (row,) = average_folds([self.fold(1.0), self.fold(None, status="unreadable_map")])
        assert (row.estimate, row.status) == (None, "unreadable_map")

    def test_only_circular_rows_are_replaced(self):
        circular = self.fold(9.0, independence="circular")
        independent = replace(self.fold(7.0), task="other")
        folds = [("1", self.fold(1.0)), ("2", self.fold(3.0))]
        rows, runs = cross_validated([circular, independent], [], folds)
        assert [(row.estimate, row.independence) for row in rows] == [
            (2.0, "crossvalidated"),
            (7.0, "independent"),
        ]
        assert [(run, row.estimate) for run, row in runs] == [("1", 1.0), ("2", 3.0)]


class TestFlags:
    def contrast(self, **units):
        sources = {
            side: MapSource((SourceFile(Path("a"), ""),) * len(of), "mean", units=of)
            for side, of in units.items()
        }
        return Contrast(
            participant_id="sub-01",
            session=None,
            task="Main",
            contrast="attend",
            maps=sources,
            localizers={},
        )

    @pytest.mark.parametrize(
        ("n_finite", "flags"), [(10, None), (5, None), (4, "low_coverage"), (0, "low_coverage")]
    )
    def test_low_coverage_is_below_a_half(self, n_finite, flags):
        values = np.where(np.arange(20) < n_finite, 1.0, NAN)
        rows = measured(
            {"L": roi(*range(10), n=20), "R": roi(*range(10), n=20)}, {"L": values, "R": values}
        )
        assert {row.flags for row in rows.values()} == {flags}

    @pytest.mark.parametrize(
        ("left", "right", "flags"),
        [
            (10, 90, [None, None, None]),  # 10 % exactly
            (10, 91, ["minor_hemisphere", None, None]),
            (91, 9, [None, "small_roi;minor_hemisphere", None]),
            (4, 5, ["small_roi", "small_roi", "small_roi"]),
            (0, 10, ["small_roi;minor_hemisphere", None, None]),
            (0, 0, ["small_roi", "small_roi", "small_roi"]),
        ],
    )
    def test_small_rois_and_their_minor_hemispheres(self, left, right, flags):
        rois = {"L": roi(*range(left), n=100), "R": roi(*range(right), n=100)}
        rows = measured(rois, {"L": np.ones(100), "R": np.ones(100)})
        assert [rows[hemi].flags for hemi in ("L", "R", "both")] == flags

    def test_of_a_roi_that_is_unknown_on_one_side_nothing_is_said(self):
        regions = Bilateral({"left": region(roi(0))}, {"left": Absent("missing_localizer")})
        assert not is_minor("left", ["L"], regions)

    @pytest.mark.parametrize(
        ("units", "few"),
        [
            ([(None, "1"), (None, "2")], False),
            ([(None, "1")], True),
            ([(None, None)], False),  # pooled by the first level
        ],
    )
    def test_few_runs_are_fewer_than_others_have(self, units, few):
        asked = plan(n_runs={(None, "main", "attend"): 2})
        two = ((None, "1"), (None, "2"))
        contrast = self.contrast(L=tuple(units), R=two)
        assert has_few_runs(contrast, ["L"], asked) == few
        assert has_few_runs(contrast, ["L", "R"], asked) == few
        assert not has_few_runs(contrast, ["R"], asked)
        assert not has_few_runs(contrast, ["L"], plan())

    def test_folds(self):
        whole = empty_row(estimate=1.0, n_vertices=40, n_finite=40, coverage=1.0)
        none = empty_row(status="empty_roi", n_vertices=0, n_finite=0)

        def average(*folds):
            (row,) = average_folds(folds)
            return row.estimate, row.status, row.n_runs, row.flags

        assert average(whole, whole) == (1.0, "ok", 2, None)
        assert average(whole, none) == (1.0, "ok", 1, "few_folds")
        assert average(whole, none, none) == (None, "empty_roi", 0, "small_roi;few_folds")
        unread = empty_row(status="unreadable_map", n_vertices=40)
        assert average(whole, unread) == (None, "unreadable_map", 0, None)

    def test_flags_of_folds_are_those_of_their_average(self):
        large = empty_row(estimate=1.0, n_vertices=21, n_finite=21, coverage=1.0)
        small = replace(large, n_vertices=1, n_finite=1, flags="small_roi;minor_hemisphere")
        (row,) = average_folds([large, small])
        assert (row.n_vertices, row.flags) == (11, None)
        (row,) = average_folds([small, small, large])
        assert row.flags == "small_roi;minor_hemisphere"

    def test_few_runs_remain_few_folds_or_not(self):
        circular = empty_row(independence="circular", estimate=9.0, flags="small_roi;few_runs")
        fold = empty_row(estimate=1.0, n_vertices=40, n_finite=40, coverage=1.0, flags="few_runs")
        (row,), _ = cross_validated([circular], [], [("1", fold), ("2", fold)])
        assert (row.estimate, row.flags) == (1.0, "few_runs")


def test_columns_are_those_of_the_contract():
    always = [name for name, c in ESTIMATE_COLUMNS.items() if not c.is_optional]
    assert always == [
        *KEY,
        "estimate",
        "sd",
        "median",
        "n_vertices",
        "n_finite",
        "coverage",
        "area_mm2",
        "n_runs",
        "status",
        "independence",
        "flags",
    ]
    assert set(ESTIMATE_COLUMNS) - set(always) == {"volume_mm3"}  # of volumes only


def test_every_column_is_described():
    assert all(column.description for column in ESTIMATE_COLUMNS.values())
    assert ESTIMATE_COLUMNS["status"].levels == STATUSES
