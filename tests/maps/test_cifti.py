import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ParcelsAxis, ScalarAxis, SeriesAxis
from study import write_gifti, write_volume

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.maps.cifti import describe, read_cortex

N = 40
LEFT = np.array([0, 1, 2, 5, 9, 30, 39])
RIGHT = np.array([3, 4, 38])
RNG = np.random.default_rng(3)


def cortex(vertices, side, n=N):
    return BrainModelAxis.from_surface(vertices, n, f"CORTEX_{side}")


def subcortex():
    mask = np.zeros((4, 4, 4), bool)
    mask[1:3, 1:3, 1:3] = True
    return BrainModelAxis.from_mask(mask, "CEREBELLUM", np.eye(4))


BOTH = cortex(LEFT, "LEFT") + cortex(RIGHT, "RIGHT")


def write(path, data, models=BOTH, names=None, dtype="f4"):
    data = np.atleast_2d(np.asarray(data, dtype))
    scalars = ScalarAxis(names or [f"map {i}" for i in range(len(data))])
    nib.save(nib.Cifti2Image(data, header=(scalars, models)), path)
    return path


def on_surface(vertices, values, n=N):
    expected = np.full(n, np.nan)
    expected[vertices] = values
    return expected


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_vertex_gets_its_own_value(tmp_path, dtype):
    data = RNG.normal(size=10).astype(dtype)
    path = write(tmp_path / "a.dscalar.nii", data, dtype=dtype)
    for hemi, vertices, part in (("L", LEFT, data[:7]), ("R", RIGHT, data[7:])):
        values = read_cortex(path, hemi)
        assert values.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(values, on_surface(vertices, part))


def test_the_right_hemisphere_may_come_first_and_subcortex_anywhere(tmp_path):
    models = subcortex() + cortex(RIGHT, "RIGHT") + subcortex() + cortex(LEFT, "LEFT")
    models = models[:8] + models[8:11] + models[19:]  # CIFTI has a structure once
    path = write(tmp_path / "a.dscalar.nii", np.arange(18), models)
    np.testing.assert_array_equal(read_cortex(path, "R"), on_surface(RIGHT, [8, 9, 10]))
    np.testing.assert_array_equal(read_cortex(path, "L"), on_surface(LEFT, np.arange(11, 18)))
    assert describe(path).has_subcortex


def test_vertices_in_any_order(tmp_path):
    order = RNG.permutation(N)
    path = write(tmp_path / "a.dscalar.nii", np.arange(N), cortex(order, "LEFT"))
    np.testing.assert_array_equal(read_cortex(path, "L")[order], np.arange(N))


def test_hemispheres_may_differ_in_size(tmp_path):
    models = cortex(LEFT, "LEFT") + cortex(RIGHT, "RIGHT", 50)
    path = write(tmp_path / "a.dscalar.nii", np.arange(10), models)
    assert not describe(path).has_subcortex
    assert read_cortex(path, "L").shape == (N,)
    assert read_cortex(path, "R").shape == (50,)


def test_a_hemisphere_that_is_not_there(tmp_path):
    path = write(tmp_path / "a.dscalar.nii", np.arange(7), cortex(LEFT, "LEFT"))
    assert read_cortex(path, "L").shape == (N,)
    with pytest.raises(
        DataError, match=r"a\.dscalar\.nii: has no values .*hemisphere R.*CORTEX_LEFT"
    ):
        read_cortex(path, "R")


def test_a_map_is_chosen_by_its_exact_name(tmp_path):
    data = RNG.normal(size=(3, 10)).astype("f4")
    path = write(tmp_path / "a.dscalar.nii", data, names=["z", "Z", "cope 1"])
    assert describe(path).map_names == ("z", "Z", "cope 1")
    for name, row in zip(("z", "Z", "cope 1"), data, strict=True):
        np.testing.assert_array_equal(read_cortex(path, "R", name), on_surface(RIGHT, row[7:]))


@pytest.mark.parametrize("name", [None, "cope", "COPE 1", 2])
def test_a_map_that_is_not_there_or_not_chosen(tmp_path, name):
    path = write(tmp_path / "a.dscalar.nii", np.ones((2, 10)), names=["z", "cope 1"])
    with pytest.raises(DataError, match=r"a\.dscalar\.nii: expected one array.*'z', 'cope 1'"):
        read_cortex(path, "L", name)


def test_a_file_that_was_written_again_is_read_again(tmp_path):
    path = write(tmp_path / "a.dscalar.nii", np.ones(10))
    assert np.nanmax(read_cortex(path, "L")) == 1
    write(path, np.full((2, 10), 2.0), names=["a", "b"])
    assert describe(path).map_names == ("a", "b")
    assert np.nanmax(read_cortex(path, "L", "b")) == 2


def test_two_maps_of_one_name_are_refused(tmp_path):
    path = write(tmp_path / "a.dscalar.nii", np.ones((2, 10)), names=["z", "z"])
    with pytest.raises(DataError, match=r"expected one array 'z'.*found 2"):
        read_cortex(path, "L", "z")


@pytest.mark.parametrize(("dtype", "read"), [("f4", "f4"), ("i4", "f8"), ("i2", "f4")])
def test_labels(tmp_path, dtype, read):
    table = {0: ("???", (0, 0, 0, 0)), 3: ("V1", (1, 0, 0, 1))}
    data = np.array([[0, 3, 3, 0, 0, 3, 0, 3, 0, 3]], dtype)
    image = nib.Cifti2Image(data, header=(LabelAxis(["areas"], [table]), BOTH))
    nib.save(image, tmp_path / "a.dlabel.nii")
    values = read_cortex(tmp_path / "a.dlabel.nii", "L", "areas")
    np.testing.assert_array_equal(values, on_surface(LEFT, data[0, :7]))
    assert values.dtype == np.dtype(read)
    assert describe(tmp_path / "a.dlabel.nii").map_names == ("areas",)


def test_the_order_of_bytes_makes_no_difference(tmp_path):
    header = nib.Nifti2Header(endianness=">")
    image = nib.Cifti2Image(
        np.arange(10, dtype="f4")[None], (ScalarAxis(["z"]), BOTH), nifti_header=header
    )
    nib.save(image, tmp_path / "a.dscalar.nii")
    values = read_cortex(tmp_path / "a.dscalar.nii", "R")
    assert values.dtype.isnative
    np.testing.assert_array_equal(values, on_surface(RIGHT, [7, 8, 9]))


def test_maps_are_chosen_by_number_too(tmp_path):
    data = RNG.normal(size=(3, 10)).astype("f4")
    path = write(tmp_path / "a.dscalar.nii", data, names=["z", "z", "cope 1"])
    np.testing.assert_array_equal(read_cortex(path, "R", 1), on_surface(RIGHT, data[1, 7:]))


def test_a_time_series_of_one_frame_is_a_map(tmp_path):
    data = RNG.normal(size=(3, 10)).astype("f4")
    for name, frames in (("one.dtseries.nii", data[:1]), ("three.dtseries.nii", data)):
        axes = (SeriesAxis(0, 2, len(frames)), BOTH)
        nib.save(nib.Cifti2Image(frames, header=axes), tmp_path / name)
    one, three = tmp_path / "one.dtseries.nii", tmp_path / "three.dtseries.nii"
    np.testing.assert_array_equal(read_cortex(one, "L"), on_surface(LEFT, data[0, :7]))
    np.testing.assert_array_equal(read_cortex(three, "R", 2), on_surface(RIGHT, data[2, 7:]))
    with pytest.raises(DataError, match=r"expected one array.*found 3.*array"):
        read_cortex(three, "L")


def test_other_kinds_of_cifti_are_refused(tmp_path):
    parcels = ParcelsAxis.from_brain_models([("a", BOTH[:3]), ("b", BOTH[3:])])
    series = SeriesAxis(0, 2, 4)
    scalars = ScalarAxis(["z"])
    for name, axes, found in (
        ("a.ptseries.nii", (series, parcels), "series x parcels"),
        ("a.pscalar.nii", (scalars, parcels), "scalars x parcels"),
        ("a.dconn.nii", (BOTH, BOTH), "brain_models x brain_models"),
    ):
        data = np.ones([len(axis) for axis in axes], "f4")
        nib.save(nib.Cifti2Image(data, header=axes), tmp_path / name)
        for read in (describe, lambda path: read_cortex(path, "L")):
            with pytest.raises(DataError, match=f"{name}: holds {found}"):
                read(tmp_path / name)


def test_other_kinds_of_file_are_refused(tmp_path):
    volume = write_volume(tmp_path / "a.dscalar.nii")
    with pytest.raises(DataError, match=r"a\.dscalar\.nii: has no CIFTI-2 header; expected dense"):
        describe(volume)
    gifti = write_gifti(tmp_path / "a.gii", [1.0, 2.0], "L")
    with pytest.raises(DataError, match=r"a\.gii: .*CIFTI"):
        read_cortex(gifti, "L")


def test_complex_values_are_refused(tmp_path):
    path = write(tmp_path / "a.dscalar.nii", np.ones(10), dtype="f8")
    content = bytearray(path.read_bytes())
    content[12:14] = np.int16(32).tobytes()  # NIfTI's number of complex64, of the same size
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.dscalar\.nii: .*complex64"):
        read_cortex(path, "L")


@pytest.mark.parametrize("share", [0, 0.02, 0.3, 0.6, 0.999])
def test_a_cut_file_is_named(tmp_path, share):
    path = write(tmp_path / "a.dscalar.nii", np.ones((3, 10)), names=["a", "b", "c"])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"a\.dscalar\.nii: cannot be read as a CIFTI file"):
        read_cortex(path, "R", "c")


@pytest.mark.parametrize(
    ("true", "false"),
    [
        (b"<VertexIndices>3 4 38<", b"<VertexIndices>3 4 98<"),  # beyond the surface
        (b"<VertexIndices>3 4 38<", b"<VertexIndices>3 4 04<"),  # twice
        (b"<VertexIndices>3 4 38<", b"<VertexIndices>3    38<"),  # too few
        (b"<VertexIndices>3 4 38<", b"<VertexIndices>3 4 3 8<"),  # too many
        (b'IndexOffset="7"', b'IndexOffset="9"'),
        (b'IndexCount="3"', b'IndexCount="2"'),
        (b'IndexCount="3"', b'IndexCount="9"'),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, true, false):
    path = write(tmp_path / "a.dscalar.nii", np.ones(10))
    content = path.read_bytes()
    assert content.count(true) == 1
    gap = len(true) - len(false)
    content = content.replace(true, false).replace(b"</CIFTI>" + b" " * -gap, b"</CIFTI>")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.dscalar\.nii: "):
        read_cortex(path, "R")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputMissingError, match=r"a\.dscalar\.nii: this file does not exist"):
        describe(tmp_path / "a.dscalar.nii")
    link = tmp_path / "b.dscalar.nii"
    link.symlink_to("../.git/annex/objects/xx/MD5E-s1--0.nii")
    with pytest.raises(InputMissingError, match=f"datalad get {link}"):
        read_cortex(link, "L")
