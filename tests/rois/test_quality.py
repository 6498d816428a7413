import numpy as np
import pytest
from half_cortex import bilateral, half, only_rois
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from meshes import grid
from plans import plan

from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.values import Absent
from bids_secondlevel.maps.meshes import vertex_areas
from bids_secondlevel.rois.quality import (
    OVERLAP_COLUMNS,
    QUALITY_COLUMNS,
    QualityRow,
    compare_rois,
    describe_rois,
)

NOTHING = {"L": half("L"), "R": half("R")}
POSITIONS = ("mean_polar_angle", "quadrant", "quadrant_agreement")


def mask(*vertices, n=10):
    return np.isin(np.arange(n), vertices)


def describe(left, right, maps=NOTHING, retinotopic=None):
    """Rows L, R and both of a single ROI."""
    whole = {"L": mask(*range(10)), "R": mask(*range(10))}
    rois = only_rois({"UL": {"L": left, "R": right}}, {"UL": retinotopic or whole})
    return describe_rois("sub-01", rois, bilateral(maps), plan())


def position(angles, others=()):
    """Mean angle, quadrant and agreement of the given angles; L and R pooled."""
    left, right = (np.asarray(values, dtype=float) for values in (angles, others))
    masks = {"L": np.ones(left.size, bool), "R": np.ones(right.size, bool)}
    cortex = Bilateral(
        half("L", left.size, polar_angle=left), half("R", right.size, polar_angle=right)
    )
    rows = describe_rois("sub-01", only_rois({"a": masks}), cortex, plan())
    return tuple(getattr(rows[2], name) for name in POSITIONS)


def dice(left, right, other_left, other_right):
    rois = {"a": {"L": left, "R": right}, "b": {"L": other_left, "R": other_right}}
    rows = compare_rois("s", only_rois(rois), plan())
    return [(row.n_shared, row.dice, row.overlap_coefficient) for row in rows]


def test_rows_come_by_roi_then_hemisphere():
    masks = {"L": mask(1), "R": mask(2)}
    rois = only_rois(dict.fromkeys(("UL", "LR", "A"), masks))
    rows = describe_rois("sub-01", rois, bilateral(NOTHING), plan())
    assert [(row.roi, row.hemi) for row in rows] == [
        (roi, hemi) for roi in ("UL", "LR", "A") for hemi in ("L", "R", "both")
    ]
    assert {(row.participant_id, row.space) for row in rows} == {("sub-01", "fsnative")}
    pairs = compare_rois("sub-01", rois, plan())
    assert [(row.roi, row.other_roi, row.hemi) for row in pairs] == [
        (*pair, hemi)
        for pair in (("UL", "LR"), ("UL", "A"), ("LR", "A"))
        for hemi in ("L", "R", "both")
    ]


def test_sizes_and_shares():
    retinotopic = {"L": mask(0, 1, 2, 3), "R": mask(*range(8))}
    rows = describe(mask(0, 1, 2), mask(4), retinotopic=retinotopic)
    assert [row.n_vertices for row in rows] == [3, 1, 4]
    assert [row.retinotopic_share for row in rows] == [3 / 4, 1 / 8, 4 / 12]
    assert [row.laterality_index for row in rows] == [None, None, 0.5]
    assert [row.status for row in rows] == ["ok"] * 3


@pytest.mark.parametrize(
    ("left", "right", "index"), [(4, 0, 1.0), (0, 4, -1.0), (2, 2, 0.0), (1, 3, -0.5)]
)
def test_laterality(left, right, index):
    rows = describe(mask(*range(left)), mask(*range(right)))
    assert rows[2].laterality_index == index


def test_without_maps_only_counts_are_known():
    for row in describe(mask(1), mask(2)):
        assert row.area_mm2 is row.n_patches is row.largest_patch is row.mean_eccentricity is None
        assert row.mean_polar_angle is row.quadrant is row.quadrant_agreement is None
        assert row.status == "ok"


def test_area_and_patches_on_a_mesh():
    coordinates, triangles = grid(7, step=2.0)
    areas = vertex_areas(coordinates, triangles)
    maps = half(n=49, areas=areas, triangles=triangles)
    left = np.zeros((7, 7), bool)
    left[1:4, 1:3] = left[5, 5] = True
    right = np.zeros((7, 7), bool)
    right[1:3, 1:3] = True
    part = {"L": np.ones(49, bool), "R": np.ones(49, bool)}
    rows = describe(left.ravel(), right.ravel(), {"L": maps, "R": maps}, part)
    assert [row.area_mm2 for row in rows] == pytest.approx([7 * 4.0, 4 * 4.0, 11 * 4.0])
    assert [row.n_patches for row in rows] == [2, 1, 3]
    assert [row.largest_patch for row in rows] == [6, 4, 6]


def test_what_one_hemisphere_lacks_is_missing_in_both():
    _, triangles = grid(3)
    known = half(
        n=9,
        eccentricity=np.ones(9),
        polar_angle=np.full(9, 45.0),
        areas=np.ones(9),
        triangles=triangles,
    )
    part = {"L": np.ones(9, bool), "R": np.ones(9, bool)}
    left, right, both = describe(part["L"], part["R"], {"L": known, "R": half("R", 9)}, part)
    assert (left.area_mm2, left.n_patches, left.mean_eccentricity) == (9.0, 1, 1.0)
    assert left.quadrant == "UR"
    for row in (right, both):
        assert row.area_mm2 is row.n_patches is row.largest_patch is None
        assert row.mean_polar_angle is row.quadrant is row.quadrant_agreement is None
    assert both.n_vertices == 18


def test_an_empty_roi_has_a_size_of_0_and_no_position():
    _, triangles = grid(3)
    known = half(
        n=9,
        eccentricity=np.ones(9),
        polar_angle=np.ones(9),
        areas=np.ones(9),
        triangles=triangles,
    )
    maps = dict.fromkeys("LR", known)
    empty, whole = np.zeros(9, bool), np.ones(9, bool)
    rows = describe(empty, empty, maps, {"L": whole, "R": whole})
    for row in rows:
        assert (row.n_vertices, row.area_mm2, row.n_patches, row.largest_patch) == (0, 0, 0, 0)
        assert row.retinotopic_share == 0
        assert row.laterality_index is row.mean_eccentricity is row.mean_polar_angle is None
        assert row.quadrant is row.quadrant_agreement is None
        assert row.status == "empty_roi"
    rows = describe(empty, empty, maps, {"L": empty, "R": empty})
    assert [row.retinotopic_share for row in rows] == [None] * 3


def test_an_absent_part_leaves_its_status_and_nothing_else():
    def absent(hemi):
        key = {"participant_id": "sub-01", "roi": "UL", "hemi": hemi, "space": "fsnative"}
        return QualityRow(**key, status="unreadable_localizer")

    left, right, both = describe(Absent("unreadable_localizer"), mask(1))
    assert left == absent("L")
    assert (right.status, right.n_vertices) == ("ok", 1)
    assert both == absent("both")


def test_the_deepest_reason_stands_for_both():
    gone = Absent("missing_retinotopy")
    retinotopic = {"L": gone, "R": mask(1)}
    rows = describe(gone, Absent("missing_localizer"), retinotopic=retinotopic)
    assert [row.status for row in rows] == [
        "missing_retinotopy",
        "missing_localizer",
        "missing_retinotopy",
    ]


def test_a_map_of_another_length_is_a_mistake():
    maps = {"L": half(areas=np.ones(9)), "R": half("R")}
    with pytest.raises(ValueError, match="the map has 9 and the ROI 10 vertices"):
        describe(mask(1), mask(1), maps)


def test_mean_eccentricity_is_that_of_finite_vertices_of_the_roi():
    left = np.array([1, 2, np.nan, np.inf, 99], dtype=">f4")
    maps = dict.fromkeys("LR", half(n=5, eccentricity=left))
    part = {"L": np.ones(5, bool), "R": np.ones(5, bool)}
    roi = {"L": mask(0, 1, 2, 3, n=5), "R": mask(1, n=5)}
    rows = describe(roi["L"], roi["R"], maps, part)
    assert [row.mean_eccentricity for row in rows] == pytest.approx([1.5, 2.0, 5 / 3])
    assert describe(mask(2, 3, n=5), roi["R"], maps, part)[0].mean_eccentricity is None


@pytest.mark.parametrize(
    ("angles", "expected", "quadrant"),
    [
        ([30, 60], 45, "UR"),
        ([-30, -60], -45, "UL"),
        ([100, 120], 110, "LR"),
        ([-100, -120], -110, "LL"),
        ([170, -150], -170, "LL"),  # across the lower vertical meridian
        ([150, -170], 170, "LR"),
        ([-10, 30], 10, "UR"),  # across the upper one
        ([179, 179, -179, 180], 179.75, "LR"),
    ],
)
def test_mean_angle_goes_round_the_circle(angles, expected, quadrant):
    mean, found, _ = position(angles)
    assert mean == pytest.approx(expected, abs=1e-3)
    assert found == quadrant
    assert position(angles[:1], angles[1:])[0] == pytest.approx(mean)


def test_agreement_is_the_planted_share():
    angles = np.concatenate([np.linspace(-80, -10, 30), np.linspace(10, 80, 8), [-100, 170]])
    mean, quadrant, agreement = position(angles)
    assert -90 < mean < 0
    assert (quadrant, agreement) == ("UL", 30 / 40)


def test_angles_that_are_not_finite_count_nowhere():
    mean, quadrant, agreement = position([np.nan, 40, 50, np.inf], [-np.inf, 135])
    assert (quadrant, agreement) == ("UR", pytest.approx(2 / 3))
    assert mean == pytest.approx(position([40, 50, 135])[0])
    assert position([np.nan], [np.inf]) == (None, None, None)


@pytest.mark.parametrize("angles", [[0, 180], [90, -90], [10 / 3, 10 / 3 - 180], [0, 120, -120]])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_angles_that_cancel_out_have_no_mean(angles, dtype):
    assert position(np.array(angles, dtype)) == (None, None, None)


@pytest.mark.parametrize("meridian", [0, 90, 180, -90, -180])
def test_a_meridian_belongs_to_no_quadrant(meridian):
    # As the mean (also where rounding moves it a little) ...
    for angles in ([meridian], [meridian - 45, meridian + 45], [meridian - 20, meridian + 20]):
        mean, quadrant, agreement = position(angles)
        assert np.cos(np.deg2rad(mean - meridian)) == pytest.approx(1)
        assert quadrant is agreement is None
    # ... and as a vertex, which stays in the denominator.
    _, quadrant, agreement = position([meridian, *[meridian + 30] * 3])
    assert quadrant is not None
    assert agreement == 3 / 4


@given(
    angle=st.floats(-180, 180).filter(lambda angle: abs(angle % 90 - 45) < 44),
    turns=st.integers(-2, 2),
)
def test_a_single_angle_is_its_own_mean(angle, turns):
    vertical, horizontal = ("U" if abs(angle) < 90 else "L"), ("R" if angle > 0 else "L")
    mean, quadrant, agreement = position([angle + 360 * turns])
    assert mean == pytest.approx(angle)
    assert (quadrant, agreement) == (vertical + horizontal, 1.0)


def test_overlap_known_by_hand():
    left, right, both = dice(mask(0, 1, 2, 3), mask(0), mask(2, 3, 4, 5, 6, 7), mask(0, 1))
    assert left == (2, 4 / 10, 2 / 4)
    assert right == (1, 2 / 3, 1.0)
    assert both == (3, 6 / 13, 3 / 5)


def test_overlap_of_the_same_and_of_strangers():
    assert dice(mask(1, 2), mask(3), mask(1, 2), mask(3)) == [(2, 1, 1), (1, 1, 1), (3, 1, 1)]
    assert dice(mask(1), mask(1), mask(2), mask(2)) == [(0, 0, 0)] * 3


def test_overlap_with_nothing():
    assert dice(mask(), mask(1), mask(), mask()) == [
        (0, None, None),
        (0, 0.0, None),
        (0, 0.0, None),
    ]


def test_overlap_with_an_absent_roi_is_unknown():
    unknown = (None, None, None)
    gone = Absent("missing_map")
    assert dice(mask(1), mask(1), mask(1), gone) == [(1, 1, 1), unknown, unknown]
    assert dice(gone, mask(1), mask(1), mask(1)) == [unknown, (1, 1, 1), unknown]


@given(masks=hnp.arrays(bool, (4, 12)))
def test_overlap_is_symmetric_and_bounded(masks):
    left, right, other_left, other_right = masks
    rows = dice(left, right, other_left, other_right)
    assert rows == dice(other_left, other_right, left, right)
    for n_shared, coefficient, overlap in rows:
        assert n_shared >= 0
        if overlap is not None:
            assert 0 <= coefficient <= overlap <= 1
            assert (coefficient == 0) == (n_shared == 0)


def test_every_column_is_described():
    for schema in (QUALITY_COLUMNS, OVERLAP_COLUMNS):
        assert all(column.description for column in schema.values())
