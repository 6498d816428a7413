"""Truths about every kind of rule, on maps with planted answers."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import false_discovery_control, norm

from bids_secondlevel.core.roi_rule import RoiDefinition, RoiRule
from bids_secondlevel.core.values import Absent, Retinotopy
from bids_secondlevel.maps.retinotopy import to_visual_field
from bids_secondlevel.rois.define import (
    define_rois,
    localizer_mask,
    retinotopy_mask,
)

EVERYWHERE = np.ones(8, bool)


def rule(kind, threshold, tail="greater", **others):
    return RoiRule(threshold_kind=kind, localizer_threshold=threshold, tail=tail, **others)


def v1(n=8):
    return Retinotopy(np.ones(n, int), np.full(n, 2.0))


def selected(z, a_rule, within=None):
    z = np.asarray(z, float)
    mask = localizer_mask(z, a_rule, np.ones(z.size, bool) if within is None else within)
    return np.flatnonzero(mask).tolist()


class TestTails:
    Z = (-3.0, -1.96, 0.0, 1.96, 3.0)

    @pytest.mark.parametrize(
        ("tail", "expected"), [("greater", [4]), ("less", [0]), ("two-sided", [0, 4])]
    )
    def test_fixed_threshold(self, tail, expected):
        assert selected(self.Z, rule("z", 1.96, tail)) == expected

    @pytest.mark.parametrize(
        ("tail", "expected"), [("greater", [3, 4]), ("less", [0, 1]), ("two-sided", [0, 4])]
    )
    def test_most_extreme(self, tail, expected):
        assert selected(self.Z, rule("top-n", 2, tail)) == expected


class TestCounts:
    def test_top_n_is_exact_with_ties_and_takes_the_first_of_them(self):
        assert selected([5, 1, 5, 5, 5], rule("top-n", 2)) == [0, 2]
        assert selected([1, 1, 1, 2], rule("top-n", 3)) == [0, 1, 3]

    def test_top_n_of_fewer_vertices_takes_all(self):
        assert selected([1, 2], rule("top-n", 50)) == [0, 1]

    @pytest.mark.parametrize(
        ("n", "percent", "count"),
        [(8, 10, 1), (1, 1, 1), (10, 10, 1), (20, 10, 2), (29, 10, 2), (100, 29, 29), (7, 100, 7)],
    )
    def test_top_percent_is_at_least_one_and_never_more_than_asked_for(self, n, percent, count):
        z = np.arange(n, dtype=float)
        assert selected(z, rule("top-percent", percent)) == list(range(n - count, n))

    def test_only_the_retinotopic_part_counts(self):
        within = np.array([True, True, True, False, False])
        assert selected([1, 2, 3, 8, 9], rule("top-n", 2), within) == [1, 2]
        assert selected([1, 2, 3, 8, 9], rule("top-percent", 34), within) == [2]

    def test_nan_is_never_selected(self):
        assert selected([np.nan, 1, np.inf, 2], rule("top-n", 4)) == [1, 2, 3]
        assert selected([np.nan, np.nan], rule("top-percent", 50)) == []

    def test_ranking_is_on_z_where_p_values_underflow(self):
        z = [50.0, 60.0, 55.0, 0.0]
        assert norm.sf(50) == norm.sf(60) == 0
        assert selected(z, rule("top-n", 1)) == [1]
        assert selected(z, rule("fdr", 0.05)) == [0, 1, 2]

    @given(
        z=hnp.arrays(float, st.integers(1, 40), elements=st.integers(-5, 5).map(float)),
        n=st.integers(1, 50),
    )
    def test_nothing_left_out_beats_what_is_in(self, z, n):
        mask = localizer_mask(z, rule("top-n", n), np.ones(z.size, bool))
        assert mask.sum() == min(n, z.size)
        if not mask.all():
            assert z[mask].min() >= z[~mask].max()


class TestFalseDiscoveryRate:
    def test_a_threshold_worked_backwards(self):
        # Of 4 vertices at q = 0.04, the ranked p values are compared with 0.01, 0.02, 0.03, 0.04.
        below, above = 1 - 1e-9, 1 + 1e-9
        passing = norm.isf([0.01 * below, 0.02 * below, 0.031, 0.9])
        assert selected(passing, rule("fdr", 0.04)) == [0, 1]
        assert selected(norm.isf([0.0101, 0.0201, 0.0301, 0.9]), rule("fdr", 0.04)) == []
        # The last that passes takes those before it along.
        assert selected(norm.isf([0.015, 0.016, 0.03 * below, 0.9]), rule("fdr", 0.04)) == [0, 1, 2]
        assert selected(norm.isf([0.01 * above, 0.9, 0.9, 0.9]), rule("fdr", 0.04)) == []

    @pytest.mark.parametrize(
        ("tail", "p"),
        [
            ("greater", norm.sf),
            ("less", norm.cdf),
            ("two-sided", lambda z: 2 * norm.sf(np.abs(z))),
        ],
    )
    @given(z=hnp.arrays(float, 30, elements=st.floats(-6, 6)), q=st.sampled_from([0.01, 0.1, 0.3]))
    def test_equals_scipy(self, tail, p, z, q):
        adjusted = false_discovery_control(p(z))
        clear = np.abs(adjusted - q) > 1e-9
        mask = localizer_mask(z, rule("fdr", q, tail), np.ones(z.size, bool))
        np.testing.assert_array_equal(mask[clear], (adjusted <= q)[clear])


class TestWedge:
    """A model with known angles: every 30 degrees of the contralateral field."""

    ANGLES = np.array([15.0, 45.0, 75.0, 105.0, 135.0, 165.0])

    def mask(self, hemi, limits, angles=None):
        area = np.ones(6, int)
        field = to_visual_field(self.ANGLES if angles is None else angles, area, hemi)
        maps = Retinotopy(area, np.full(6, 2.0), field)
        return np.flatnonzero(retinotopy_mask(maps, RoiRule(polar_angle=limits))).tolist()

    @pytest.mark.parametrize(
        ("limits", "left", "right"),
        [
            ((-90, 0), [], [0, 1, 2]),  # upper left
            ((0, 90), [0, 1, 2], []),  # upper right
            ((90, 180), [3, 4, 5], []),  # lower right
            ((-180, -90), [], [3, 4, 5]),  # lower left
            ((-90, 90), [0, 1, 2], [0, 1, 2]),  # upper
            ((90, -90), [3, 4, 5], [3, 4, 5]),  # lower, across the meridian
            ((30, 60), [1], []),
        ],
    )
    def test_quadrants_by_hemisphere(self, limits, left, right):
        assert self.mask("L", limits) == left
        assert self.mask("R", limits) == right
        # The same maps in the convention in which the left visual field is negative.
        assert self.mask("R", limits, -self.ANGLES) == right

    def test_angles_counted_from_0_to_360(self):
        assert self.mask("R", (-90, 0), 360 - self.ANGLES) == [0, 1, 2]

    def test_limits_are_outside(self):
        assert self.mask("L", (45, 75)) == []

    def test_ipsilateral_angles_of_an_unsigned_map_stay_ipsilateral(self):
        angles = np.array([-15.0, 45.0, 75.0, 105.0, 135.0, 165.0])
        assert self.mask("L", (-90, 0), angles) == [0]
        assert self.mask("R", (0, 90), angles) == [0]


def test_variance_explained_must_exceed_the_limit():
    maps = Retinotopy(
        np.ones(3, int), np.full(3, 2.0), variance_explained=np.array([0.1, 0.2, np.nan], "f4")
    )
    assert retinotopy_mask(maps, RoiRule(min_variance_explained=0.1)).tolist() == [
        False,
        True,
        False,
    ]


class TestSeveralContrasts:
    Z: ClassVar = {
        "a": np.array([3.0, 3, 3, 0, 0, 0, 0, 0]),
        "b": np.array([0.0, 3, 3, 3, 0, 0, 0, 0]),
        "c": np.array([0.0, 0, 3, 0, 3, 0, 0, 0]),
    }

    def rois(self, *definitions, z=None):
        found = define_rois(definitions, v1(), self.Z if z is None else z)
        return {
            name: part.roi if isinstance(part.roi, Absent) else np.flatnonzero(part.roi).tolist()
            for name, part in found.items()
        }

    def test_conjunction_and_exclusion(self):
        assert self.rois(
            RoiDefinition("both", ("a", "b")),
            RoiDefinition("either", ("a", "b"), combine="any"),
            RoiDefinition("not", ("a", "b"), combine="any", exclude=("c",)),
            RoiDefinition("area", ()),
        ) == {"both": [1, 2], "either": [0, 1, 2, 3], "not": [0, 1, 3], "area": list(range(8))}

    def test_exclusive_rois_share_no_vertex(self):
        exclusive = RoiRule(exclusive=True)
        assert self.rois(
            RoiDefinition("a", ("a",), exclusive),
            RoiDefinition("b", ("b",), exclusive),
            RoiDefinition("c", ("c",)),
        ) == {"a": [0], "b": [3], "c": [2, 4]}

    def test_exclusivity_cannot_be_known_without_the_other_roi(self):
        missing = Absent("missing_localizer")
        found = self.rois(
            RoiDefinition("a", ("a",), RoiRule(exclusive=True)),
            RoiDefinition("b", ("b",)),
            z={"a": self.Z["a"], "b": missing},
        )
        assert found == {"a": missing, "b": missing}

    def test_a_missing_contrast_costs_only_what_needs_it(self):
        missing = Absent("missing_localizer")
        found = self.rois(
            RoiDefinition("a", ("a",)),
            RoiDefinition("a+b", ("a", "b")),
            RoiDefinition("notb", ("a",), exclude=("b",)),
            RoiDefinition("area", ()),
            z={"a": self.Z["a"], "b": missing},
        )
        assert found == {"a": [0, 1, 2], "a+b": missing, "notb": missing, "area": list(range(8))}


class TestInfiniteZ:
    Z = np.array([3.0, np.inf, -np.inf, np.nan, 2.5, np.inf, -4.0])

    @pytest.mark.parametrize(
        ("tail", "first"), [("greater", [1, 5]), ("less", [2]), ("two-sided", [1, 2, 5])]
    )
    @pytest.mark.parametrize(
        ("kind", "limit"), [("z", 50), ("top-n", None), ("top-percent", None), ("fdr", 1e-300)]
    )
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_it_ranks_first_in_every_kind_of_threshold(self, kind, limit, tail, first, dtype):
        if kind == "top-n":
            limit = len(first)
        elif kind == "top-percent":
            limit = 100 * len(first) / 6  # the NaN is no candidate
        rule = RoiRule(threshold_kind=kind, localizer_threshold=limit, tail=tail)
        mask = localizer_mask(self.Z.astype(dtype), rule, within=np.ones(7, bool))
        assert np.flatnonzero(mask).tolist() == first
