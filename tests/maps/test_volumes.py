import gzip

import nibabel as nib
import numpy as np
import pytest
from study import cut_short, write_gifti, write_volume

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.maps.volumes import (
    Grid,
    read_grid,
    read_volume,
    resample_nearest,
    voxel_patches,
)

SHAPE = (4, 5, 6)
LAS = np.array([[-2.0, 0, 0, 3], [0, 2, 0, -5], [0, 0, 3, 1], [0, 0, 0, 1]])
RNG = np.random.default_rng(7)
NAMES = ["v.nii", "v.nii.gz", "v.mgz", "v.mgh"]


def oblique(angle=0.3, size=0.7):
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned[:3, :3] *= size
    turned[:3, 3] = [-3.1, 2.7, 0.3]
    return turned


def sheared():
    affine = np.diag([2.0, 2, 2, 1])
    affine[0, 1] = 0.5
    return affine


def moved(affine, *steps):
    """Give the affine of a grid that starts so many voxels further on."""
    shift = np.eye(4)
    shift[:3, 3] = steps
    return affine @ shift


def write(path, values, affine=LAS, dtype="f4"):
    kind = nib.freesurfer.MGHImage if ".mg" in path.name else nib.Nifti1Image
    nib.save(kind(np.asarray(values, dtype), affine), path)
    return path


def positions(grid):
    indices = np.indices(grid.shape).reshape(3, -1)
    return (grid.affine[:3, :3] @ indices).T + grid.affine[:3, 3]


# --- grids


def test_the_sides_of_the_midline_are_those_of_the_voxel_centres():
    for affine in (LAS, oblique(), sheared()):
        grid = Grid(SHAPE, affine)
        x = positions(grid)[:, 0]
        np.testing.assert_array_equal(grid.hemisphere("L"), x < 0)
        np.testing.assert_array_equal(grid.hemisphere("R"), x >= 0)


def test_a_centre_on_the_midline_is_on_the_right_whatever_the_rounding():
    for noise in (-1e-7, 0, 1e-7):
        grid = Grid((3, 2, 2), np.array([[1, 0, 0, noise - 1], *np.eye(4)[1:]]))
        assert grid.hemisphere("L").sum() == 4


def test_the_volume_of_a_voxel_is_that_of_its_edges():
    assert Grid(SHAPE, LAS).voxel_volume == pytest.approx(12)
    assert Grid(SHAPE, oblique()).voxel_volume == pytest.approx(0.343)
    assert Grid(SHAPE, sheared()).voxel_volume == pytest.approx(8)  # as high and as wide


def test_grids_match_where_every_voxel_is_in_the_same_place():
    grid = Grid(SHAPE, LAS)
    assert grid.matches(Grid(SHAPE, LAS.astype("f4")))
    assert grid.matches(Grid(SHAPE, LAS + 1e-5 * np.eye(4, k=3)))
    assert not grid.matches(Grid(SHAPE, LAS + 0.1 * np.eye(4, k=3)))
    assert not grid.matches(Grid((4, 5, 7), LAS))
    assert not grid.matches(Grid(SHAPE, moved(LAS, 3, 0, 0) @ np.diag([-1, 1, 1, 1])))


def test_patches_touch_with_their_faces():
    shape = (9, 8, 7)
    mask = np.zeros(shape, bool)
    mask[1:3, 1:3, 1:3] = True
    mask[3, 3, 3] = True  # a corner
    mask[3, 2, 5] = mask[3, 3, 6] = True  # an edge
    mask[7, 7, 0:3] = True
    assert voxel_patches(mask.ravel(), shape) == (8, 3, 1, 1, 1)
    assert voxel_patches(np.ones(504, bool), shape) == (504,)
    assert voxel_patches(np.zeros(504, bool), shape) == ()


# --- reading


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("affine", [LAS, oblique(), sheared()], ids=["LAS", "oblique", "sheared"])
def test_a_volume_is_read_voxel_for_voxel(tmp_path, name, affine):
    if name.startswith("v.mg") and affine is not LAS:
        affine = oblique()  # MGH holds no shears
    values = RNG.normal(size=SHAPE).astype("f4")
    values[1, 2, 3] = np.nan
    path = write(tmp_path / name, values, affine)
    read, grid = read_volume(path)
    np.testing.assert_array_equal(read, values.ravel())
    assert read.dtype == np.dtype("f4")
    assert read.dtype.isnative
    assert grid.shape == SHAPE
    np.testing.assert_allclose(grid.affine, affine, atol=1e-5)
    assert read_grid(path).matches(grid)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_the_order_of_bytes_makes_no_difference(tmp_path, order, kind):
    values = np.arange(120).reshape(SHAPE)
    image = kind(values.astype(np.int16), LAS, header=kind.header_class(endianness=order))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "v.nii")
    read, grid = read_volume(tmp_path / "v.nii")
    assert read.tobytes() == np.arange(120, dtype=np.float32).tobytes()
    np.testing.assert_array_equal(grid.affine, LAS)


def test_scaled_values_are_scaled(tmp_path):
    image = nib.Nifti1Image(np.arange(120).reshape(SHAPE).astype(np.int16), LAS)
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "v.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "v.nii.gz")[0], 10 + np.arange(120) / 2)


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_a_series_of_one_volume_is_a_volume(tmp_path, extra):
    path = write(tmp_path / "v.nii.gz", np.ones((*SHAPE, *extra)))
    values, grid = read_volume(path)
    assert (values.shape, grid.shape) == ((120,), SHAPE)


@pytest.mark.parametrize("shape", [(4, 5, 6, 2), (4, 5, 6, 1, 3)])
def test_several_volumes_are_refused(tmp_path, shape):
    path = write(tmp_path / "v.nii.gz", np.ones(shape))
    for read in (read_grid, read_volume):
        with pytest.raises(DataError, match=rf"v\.nii\.gz: .*{' x '.join(map(str, shape))}"):
            read(path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(30, 1, 1), (1, 1, 30), (1, 1, 1)])
def test_a_surface_is_refused(tmp_path, name, shape):
    with pytest.raises(DataError, match=rf"{name}: .*surface"):
        read_volume(write(tmp_path / name, np.ones(shape)))


def test_a_volume_without_orientation_is_refused(tmp_path):
    image = nib.Nifti1Image(np.ones(SHAPE, "f4"), LAS)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "v.nii")
    mgh = bytearray(nib.freesurfer.MGHImage(np.ones(SHAPE, "f4"), LAS).to_bytes())
    mgh[28:30] = b"\0\0"
    (tmp_path / "v.mgh").write_bytes(mgh)
    (tmp_path / "v.mgz").write_bytes(gzip.compress(mgh))
    for name in ("v.nii", "v.mgh", "v.mgz"):
        with pytest.raises(DataError, match=rf"{name}: has no orientation"):
            read_grid(tmp_path / name)


@pytest.mark.parametrize("code", ["qform", "sform"])
def test_one_orientation_is_enough(tmp_path, code):
    image = nib.Nifti1Image(np.ones(SHAPE, "f4"), None)
    (image.set_qform if code == "qform" else image.set_sform)(LAS, 1)
    nib.save(image, tmp_path / "v.nii")
    np.testing.assert_allclose(read_grid(tmp_path / "v.nii").affine, LAS, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_an_affine_that_places_no_voxel_is_refused(tmp_path, bad):
    image = nib.Nifti1Image(np.ones(SHAPE, "f4"), LAS)
    image.header["srow_x"] = [bad, 0, 0, 1]
    image.header["sform_code"] = 2
    content = bytearray(image.to_bytes())
    content[280:284] = np.float32(bad).tobytes()  # srow_x
    (tmp_path / "v.nii").write_bytes(content)
    with pytest.raises(DataError, match=r"v\.nii: the affine"):
        read_grid(tmp_path / "v.nii")


def test_complex_and_coloured_values_are_refused(tmp_path):
    colour = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for values in (np.ones(SHAPE, "c8"), colour):
        nib.save(nib.Nifti1Image(values, LAS), tmp_path / "v.nii")
        with pytest.raises(DataError, match=r"v\.nii: holds .* expected real numbers"):
            read_volume(tmp_path / "v.nii")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9])
def test_a_cut_file_is_named(tmp_path, name, share):
    path = write(tmp_path / name, RNG.normal(size=(20, 20, 20)))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=f"{name}: "):
        read_volume(path)


@pytest.mark.parametrize("name", NAMES)
def test_rubbish_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"not a volume" * 50)
    with pytest.raises(DataError, match=f"{name}: cannot be read as a volume"):
        read_grid(tmp_path / name)


def test_other_kinds_of_file_are_named(tmp_path):
    path = write_gifti(tmp_path / "a.gii", [1.0, 2.0], "L")
    with pytest.raises(DataError, match=r"a\.gii: cannot be read.*not NIfTI or MGH"):
        read_grid(path)


def test_a_missing_volume_is_named(tmp_path):
    with pytest.raises(InputMissingError, match=r"v\.nii: this file does not exist"):
        read_grid(tmp_path / "v.nii")
    link = tmp_path / "v.mgz"
    link.symlink_to("../.git/annex/objects/xx/MD5E-s1--0.mgz")
    with pytest.raises(InputMissingError, match=f"datalad get {link}"):
        read_volume(link)


def test_the_header_of_a_cut_file_is_enough_for_its_grid(tmp_path):
    path = write_volume(tmp_path / "v.nii", (20, 20, 20))
    cut_short(path)
    assert read_grid(path).shape == (20, 20, 20)


# --- resampling


def labels(shape=SHAPE):
    return RNG.integers(1, 15000, np.prod(shape)).astype(np.int32)


def test_the_same_grid_gives_back_the_same_array():
    values = labels()
    assert resample_nearest(values, Grid(SHAPE, LAS), Grid(SHAPE, LAS.astype("f4"))) is values


@pytest.mark.parametrize("affine", [LAS, oblique(), sheared()], ids=["LAS", "oblique", "sheared"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flipped_grid_has_the_same_values_in_the_same_places(affine, axis):
    flip = np.eye(4)
    flip[axis, axis] = -1
    flip[axis, 3] = SHAPE[axis] - 1
    grid, target = Grid(SHAPE, affine), Grid(SHAPE, affine @ flip)
    values = labels()
    there = resample_nearest(values, grid, target)
    np.testing.assert_array_equal(there.reshape(SHAPE), np.flip(values.reshape(SHAPE), axis))
    at = {tuple(p): v for p, v in zip(positions(grid).round(4) + 0.0, values, strict=True)}
    assert [at[tuple(p)] for p in positions(target).round(4) + 0.0] == there.tolist()
    np.testing.assert_array_equal(resample_nearest(there, target, grid), values)


def test_permuted_axes_keep_their_places():
    order = [2, 0, 1]
    grid = Grid(SHAPE, oblique())
    affine = grid.affine[:, [*order, 3]]
    target = Grid(tuple(SHAPE[i] for i in order), affine)
    values = labels()
    np.testing.assert_array_equal(
        resample_nearest(values, grid, target), values.reshape(SHAPE).transpose(order).ravel()
    )


def test_a_grid_shifted_by_whole_voxels_loses_what_lies_outside():
    values = labels().reshape(SHAPE)
    target = Grid(SHAPE, moved(oblique(), 1, -2, 0))
    expected = np.zeros(SHAPE, int)
    expected[:3, 2:] = values[1:, :3]
    np.testing.assert_array_equal(
        resample_nearest(values.ravel(), Grid(SHAPE, oblique()), target), expected.ravel()
    )


@pytest.mark.parametrize("start", [-1.3, -0.4, 0.3])
def test_labels_on_a_coarser_grid_are_those_of_the_nearest_centre(start):
    shape = (10, 11, 12)
    grid = Grid(shape, oblique(size=1.0))
    target = Grid((6, 6, 7), moved(oblique(angle=0.5, size=2.0), start / 2, 0.1, 0.2))
    values = labels(shape)
    centres, wanted = positions(grid), positions(target)
    distance = np.linalg.norm(wanted[:, None] - centres[None], axis=2)
    # Inside a voxel: within half a voxel of its centre along each of its own axes.
    own = np.linalg.solve(grid.affine, np.c_[wanted, np.ones(len(wanted))].T)[:3].T
    inside = ((own > -0.5) & (own < np.array(shape) - 0.5)).all(axis=1)
    assert 0 < inside.sum() < inside.size
    expected = np.where(inside, values[distance.argmin(axis=1)], 0)
    np.testing.assert_array_equal(resample_nearest(values, grid, target), expected)


@pytest.mark.parametrize("distance", [-500, 500])
def test_grids_that_do_not_overlap_share_nothing(distance):
    target = Grid((3, 3, 3), moved(LAS, distance, 0, 0))
    resampled = resample_nearest(labels(), Grid(SHAPE, LAS), target)
    assert resampled.tolist() == [0] * 27


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i4", "i8", "f4", "f8", ">f4", ">i4"])
def test_values_come_out_exact_and_in_their_own_type(dtype):
    values = (labels() if np.dtype(dtype).kind != "b" else labels() % 2).astype(dtype)
    target = Grid(SHAPE, moved(LAS, 1, 0, 0))
    resampled = resample_nearest(values, Grid(SHAPE, LAS), target)
    np.testing.assert_array_equal(resampled.reshape(SHAPE)[:-1], values.reshape(SHAPE)[1:])
    assert resampled.dtype == np.dtype(dtype).newbyteorder("=")


def test_nan_and_infinity_stay_where_they_are():
    values = RNG.normal(size=SHAPE).astype("f4")
    values[1, 1, 1], values[2, 2, 2] = np.nan, np.inf
    target = Grid(SHAPE, moved(LAS, 1, 0, 0))
    resampled = resample_nearest(values.ravel(), Grid(SHAPE, LAS), target).reshape(SHAPE)
    np.testing.assert_array_equal(resampled[:-1], values[1:])
