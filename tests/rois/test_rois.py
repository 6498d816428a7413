import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bids_secondlevel.core.roi_rule import VISUAL_AREAS, RoiRule
from bids_secondlevel.core.values import Absent, Retinotopy
from bids_secondlevel.rois.define import intersect, localizer_mask, retinotopy_mask

PRECISIONS = ["<f4", ">f4", "<f8", ">f8"]


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_limits_of_eccentricity_are_outside(dtype):
    just_inside = np.nextafter(np.array([0, 5], dtype), np.array([1, 0], dtype))
    eccentricity = np.array([0, just_inside[0], 2.5, just_inside[1], 5, np.nan], dtype)
    maps = Retinotopy(np.ones(6, int), eccentricity)
    assert retinotopy_mask(maps, RoiRule()).tolist() == [False, True, True, True, False, False]


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_limit_that_no_float_can_hold_exactly_is_outside(dtype):
    maps = Retinotopy(np.ones(2, int), np.array([0.1, 7.3], dtype))
    assert not retinotopy_mask(maps, RoiRule(eccentricity=(0.1, 7.3))).any()


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_z_of_exactly_the_threshold_is_outside_in_every_precision(dtype):
    stored = np.array([1.96], dtype)
    above = np.nextafter(stored, np.array([9], dtype))
    z = np.concatenate([stored, above, -above, [np.nan], [np.inf]]).astype(dtype)
    assert localizer_mask(z, RoiRule()).tolist() == [False, True, False, False, True]


def test_float32_of_the_threshold_is_above_it_as_a_double():
    # This is why the comparison must be made in the precision of the map.
    assert float(np.float32(1.96)) > 1.96


def test_each_area_is_found_by_its_own_label_only():
    labels = np.arange(13)
    maps = Retinotopy(labels, np.full(13, 1.0))
    for name, label in VISUAL_AREAS.items():
        mask = retinotopy_mask(maps, RoiRule(visual_areas=(name,)))
        assert np.flatnonzero(mask).tolist() == [label]


def test_several_areas_are_united():
    maps = Retinotopy(np.array([0, 1, 2, 3]), np.full(4, 1.0))
    mask = retinotopy_mask(maps, RoiRule(visual_areas=("V1", "V3")))
    assert mask.tolist() == [False, True, False, True]


@given(
    z=hnp.arrays("f4", 20, elements=st.floats(-10, 10, width=32)),
    area=hnp.arrays(int, 20, elements=st.integers(0, 3)),
    eccentricity=hnp.arrays("f4", 20, elements=st.floats(0, 90, width=32)),
    low=st.floats(0, 4),
    threshold=st.floats(-3, 3),
)
def test_the_roi_is_what_a_loop_over_vertices_finds(z, area, eccentricity, low, threshold):
    rule = RoiRule(eccentricity=(low, low + 1), localizer_threshold=threshold)
    roi = intersect(retinotopy_mask(Retinotopy(area, eccentricity), rule), localizer_mask(z, rule))
    low32, high32, threshold32 = np.float32(low), np.float32(low + 1), np.float32(threshold)
    expected = [
        a == 1 and low32 < e < high32 and value > threshold32
        for a, e, value in zip(area, eccentricity, z, strict=True)
    ]
    assert roi.tolist() == expected


def test_a_missing_part_leaves_its_reason():
    mask = np.array([True])
    no_retinotopy, no_localizer = Absent("missing_retinotopy"), Absent("missing_localizer")
    assert intersect(no_retinotopy, mask) is no_retinotopy
    assert intersect(mask, no_localizer) is no_localizer
    assert intersect(no_retinotopy, no_localizer) is no_retinotopy


def test_masks_of_different_length_never_intersect():
    with pytest.raises(ValueError, match="3 and 4 vertices"):
        intersect(np.ones(3, bool), np.ones(4, bool))
