import gzip

import nibabel as nib
import numpy as np
import pytest
from meshes import icosphere
from study import cut_short, write_curv, write_gifti, write_mgz, write_volume

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.files import RetinotopySource, SourceFile
from bids_secondlevel.maps.reader import Reader
from bids_secondlevel.maps.retinotopy import read_retinotopy
from bids_secondlevel.maps.surfaces import read_map, read_mesh, whole_numbers
from bids_secondlevel.outputs.images import map_gifti

VALUES = np.array([0.5, -1.96, 1.96, np.nan, 3.0, 7.0])


def source(area, eccentricity):
    return RetinotopySource(SourceFile(area, "bids:a:b"), SourceFile(eccentricity, "bids:a:c"))


@pytest.mark.parametrize("name", ["a.func.gii", "a.shape.gii", "a.gii"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_gifti_is_read_in_its_own_precision(tmp_path, name, dtype):
    path = write_gifti(tmp_path / name, VALUES, "L", dtype)
    values = read_map(path, "L")
    assert values.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(values, VALUES.astype(dtype))


@pytest.mark.parametrize("name", ["lh.a.mgz", "lh.a.mgh"])
@pytest.mark.parametrize("shape", [(1, 1, -1), (-1, 1, 1), (1, -1, 1)])
def test_freesurfer_volume_formats_in_every_orientation(tmp_path, name, shape):
    path = write_mgz(tmp_path / name, VALUES, shape=shape)
    np.testing.assert_array_equal(read_map(path, "L"), VALUES.astype("f4"))


def test_curv_file_without_extension(tmp_path):
    path = write_curv(tmp_path / "lh.inferred_eccen", VALUES[:3])
    np.testing.assert_array_equal(read_map(path, "L"), VALUES[:3].astype("f4"))


def test_nifti_that_holds_a_surface(tmp_path):
    path = tmp_path / "lh.nii.gz"
    nib.save(nib.Nifti1Image(VALUES.astype("f4").reshape(-1, 1, 1), np.eye(4)), path)
    np.testing.assert_array_equal(read_map(path, "L"), VALUES.astype("f4"))


def test_a_map_of_the_other_hemisphere_is_refused(tmp_path):
    path = write_gifti(tmp_path / "a_hemi-L.gii", VALUES, "R")
    with pytest.raises(DataError, match=r"a_hemi-L\.gii.*hemisphere L.*'CortexRight'"):
        read_map(path, "L")


def test_a_map_of_the_cerebellum_is_refused(tmp_path):
    path = tmp_path / "a.gii"
    path.write_bytes(map_gifti(VALUES, "L").replace(b"CortexLeft", b"Cerebellum"))
    with pytest.raises(DataError, match="'Cerebellum'"):
        read_map(path, "L")


def test_several_maps_in_one_file_are_refused(tmp_path):
    path = write_gifti(tmp_path / "series.func.gii", [VALUES, VALUES], "L")
    with pytest.raises(DataError, match=r"series\.func\.gii: expected one array.*holds 2"):
        read_map(path, "L")


@pytest.mark.parametrize("shape", [(6, 1, 1), (3, 1, 2), (1, 2, 3), (3, 2), (3, 1, 2, 1)])
@pytest.mark.parametrize("name", ["lh.a.nii.gz", "lh.a.NII"])
def test_nifti_that_holds_a_surface_in_several_dimensions(tmp_path, name, shape):
    path = tmp_path / name
    values = np.arange(6, dtype="f4")
    image = nib.Nifti1Image(values.reshape(shape, order="F"), np.eye(4))
    nib.save(image, tmp_path / "saved.nii.gz")
    content = (tmp_path / "saved.nii.gz").read_bytes()
    path.write_bytes(content if name.endswith("gz") else gzip.decompress(content))
    np.testing.assert_array_equal(read_map(path, "L"), values)


def test_a_volume_among_surfaces_is_refused_in_words(tmp_path):
    area = write_mgz(tmp_path / "lh.a_varea.mgz", [0.0, 1.0, 2.0])
    volume = write_volume(tmp_path / "lh.a_eccen.nii.gz", (3, 4, 5))
    expected = r"lh\.a_varea\.mgz has 3 vertices .* has 60 values \(an array of 3 x 4 x 5"
    with pytest.raises(DataError, match=expected):
        read_retinotopy(Reader().read, source(area, volume), "L")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lh.a.mgz", (3, 4, 5)),
        ("lh.a.mgz", (6, 1, 1, 2)),
        ("a_hemi-L.nii.gz", (6, 1, 1, 2)),
        ("a_hemi-L.nii.gz", (101, 100, 100)),  # more than any surface has
    ],
)
def test_a_volume_or_series_is_refused(tmp_path, name, shape):
    path = write_volume(tmp_path / name, shape)
    with pytest.raises(DataError, match=" x ".join(map(str, shape))):
        read_map(path, "L")


def test_a_mesh_is_refused(tmp_path):
    mesh = nib.gifti.GiftiImage(
        darrays=[
            nib.gifti.GiftiDataArray(np.zeros((4, 3), "f4"), "NIFTI_INTENT_POINTSET"),
            nib.gifti.GiftiDataArray(np.zeros((2, 3), "i4"), "NIFTI_INTENT_TRIANGLE"),
        ]
    )
    nib.save(mesh, tmp_path / "a.surf.gii")
    with pytest.raises(DataError, match="mesh"):
        read_map(tmp_path / "a.surf.gii", "L")


def test_a_cut_gzip_is_named(tmp_path):
    path = write_mgz(tmp_path / "lh.a.mgz", np.random.default_rng(0).normal(size=4000))
    cut_short(path)
    with pytest.raises(DataError, match=r"lh\.a\.mgz: cannot be read"):
        read_map(path, "L")


@pytest.mark.parametrize("name", ["a.gii", "lh.a.mgz", "a.nii.gz", "lh.a_varea"])
@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"not a map at all" * 50])
def test_rubbish_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: "):
        read_map(path, "L")


def test_compressed_rubbish_is_named(tmp_path):
    path = tmp_path / "lh.a.mgz"
    path.write_bytes(gzip.compress(b"nothing of use"))
    with pytest.raises(DataError, match=r"lh\.a\.mgz"):
        read_map(path, "L")


def test_a_missing_file_and_unfetched_content_are_told_apart(tmp_path):
    with pytest.raises(InputMissingError, match=r"a\.gii: this file does not exist"):
        read_map(tmp_path / "a.gii", "L")
    link = tmp_path / "lh.a.mgz"
    link.symlink_to("../.git/annex/objects/xx/MD5E-s1--0.mgz")
    with pytest.raises(InputMissingError, match=f"datalad get {link}"):
        read_map(link, "L")


def test_retinotopy_is_read_with_whole_areas(tmp_path):
    area = write_mgz(tmp_path / "lh.a_varea.mgz", [0.0, 1.0, 2.0])
    eccentricity = write_mgz(tmp_path / "lh.a_eccen.mgz", [0.0, 1.5, 2.5])
    maps = read_retinotopy(Reader().read, source(area, eccentricity), "L")
    assert maps.visual_area.tolist() == [0, 1, 2]
    assert maps.visual_area.dtype.kind == "i"
    assert maps.eccentricity.tolist() == [0.0, 1.5, 2.5]


@pytest.mark.parametrize(
    ("odd", "shown"), [(0.5, "0.5"), (np.inf, "inf"), (2.0001, "2.0001"), (0.996, "0.996")]
)
def test_a_probability_atlas_is_no_map_of_areas(tmp_path, odd, shown):
    area = write_mgz(tmp_path / "lh.a_varea.mgz", [0.0, odd, 1.0])
    eccentricity = write_mgz(tmp_path / "lh.a_eccen.mgz", [1.0, 1.0, 1.0])
    with pytest.raises(DataError, match=r"lh\.a_varea\.mgz.*whole numbers.*such as " + shown):
        read_retinotopy(Reader().read, source(area, eccentricity), "L")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("label", [1, 2, 12, 103, 20_001, -3])
def test_labels_stored_with_a_rounding_error_are_whole_numbers(tmp_path, dtype, label):
    near = np.nextafter(np.array([label, label], "f4"), np.array([-1e9, 1e9], "f4"))
    path = tmp_path / "a.gii"
    write_gifti(path, near, dtype=dtype)
    assert whole_numbers(read_map(path, "L"), path).tolist() == [label, label]


def test_a_medial_wall_of_nan_is_no_area(tmp_path):
    area = write_mgz(tmp_path / "lh.a_varea.mgz", [np.nan, 1.0])
    eccentricity = write_mgz(tmp_path / "lh.a_eccen.mgz", [np.nan, 1.0])
    assert read_retinotopy(Reader().read, source(area, eccentricity), "L").visual_area.tolist() == [
        0,
        1,
    ]


@pytest.mark.parametrize("structure", ["CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_LEFT", "", "Unknown"])
def test_spellings_of_the_structure(tmp_path, structure):
    path = tmp_path / "a.gii"
    path.write_bytes(map_gifti(VALUES, "L").replace(b"CortexLeft", structure.encode()))
    assert read_map(path, "L").size == VALUES.size
    path.write_bytes(path.read_bytes().replace(b"LEFT", b"RIGHT"))
    if "LEFT" in structure:
        with pytest.raises(DataError, match="RIGHT"):
            read_map(path, "L")


def test_retinotopic_maps_of_different_length_are_refused(tmp_path):
    area = write_mgz(tmp_path / "lh.a_varea.mgz", [0.0, 1.0, 1.0])
    eccentricity = write_mgz(tmp_path / "lh.a_eccen.mgz", [1.0, 1.0])
    with pytest.raises(DataError, match=r"a_varea\.mgz has 3 .*a_eccen\.mgz has 2"):
        read_retinotopy(Reader().read, source(area, eccentricity), "L")


SPHERE = icosphere(1, 50.0)


def write_geometry(path, mesh=SPHERE):
    nib.freesurfer.write_geometry(path, *mesh, create_stamp="created for a test")
    return path


def write_surface_gifti(path, structure="CortexLeft", points=1, triangles=1, mesh=SPHERE):
    meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure})
    coordinates, faces = mesh[0].astype("f4"), mesh[1].astype("i4")
    arrays = [
        *[nib.gifti.GiftiDataArray(coordinates, "NIFTI_INTENT_POINTSET", meta=meta)] * points,
        *[nib.gifti.GiftiDataArray(faces, "NIFTI_INTENT_TRIANGLE")] * triangles,
    ]
    nib.save(nib.gifti.GiftiImage(darrays=arrays), path)
    return path


def assert_is_sphere(mesh):
    np.testing.assert_array_equal(mesh.coordinates, SPHERE[0].astype("f4"))
    np.testing.assert_array_equal(mesh.triangles, SPHERE[1])


@pytest.mark.parametrize("surface", ["white", "midthickness", "graymid"])
@pytest.mark.parametrize(("hemi", "prefix"), [("L", "lh"), ("R", "rh")])
def test_a_freesurfer_mesh_is_read_back(tmp_path, surface, hemi, prefix):
    assert_is_sphere(read_mesh(write_geometry(tmp_path / f"{prefix}.{surface}"), hemi))


@pytest.mark.parametrize(("hemi", "structure"), [("L", "CortexLeft"), ("R", "CortexRight")])
def test_a_gifti_mesh_is_read_back(tmp_path, hemi, structure):
    path = write_surface_gifti(tmp_path / f"a_hemi-{hemi}.surf.gii", structure)
    assert_is_sphere(read_mesh(path, hemi))


@pytest.mark.parametrize(("hemi", "structure"), [("L", "CortexRight"), ("R", "CortexLeft")])
def test_a_mesh_of_the_other_hemisphere_is_refused(tmp_path, hemi, structure):
    path = write_surface_gifti(tmp_path / "a.surf.gii", structure)
    with pytest.raises(DataError, match=rf"a\.surf\.gii: is used for hemisphere {hemi}"):
        read_mesh(path, hemi)


@pytest.mark.parametrize(("points", "triangles"), [(1, 0), (0, 1), (2, 1), (1, 2), (0, 0)])
def test_gifti_with_other_than_one_mesh_is_refused(tmp_path, points, triangles):
    path = write_surface_gifti(tmp_path / "a.surf.gii", points=points, triangles=triangles)
    with pytest.raises(DataError, match=rf"a\.surf\.gii: holds {points} .*{triangles} of tri"):
        read_mesh(path, "L")


def test_a_map_is_no_mesh(tmp_path):
    gifti = write_gifti(tmp_path / "a.func.gii", VALUES, "L")
    with pytest.raises(DataError, match=r"a\.func\.gii: holds 0 arrays of points"):
        read_mesh(gifti, "L")
    curv = write_curv(tmp_path / "lh.thickness", VALUES[:3])
    with pytest.raises(DataError, match=r"lh\.thickness"):
        read_mesh(curv, "L")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.05, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["lh.white", "a.surf.gii"])
def test_a_cut_mesh_is_named(tmp_path, name, share):
    path = tmp_path / name
    (write_geometry if name == "lh.white" else write_surface_gifti)(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=f"{name}: cannot be read as a surface mesh"):
        read_mesh(path, "L")


@pytest.mark.parametrize(
    "content",
    [
        b"not a mesh at all" * 50,
        b"\xff\xff\xff" * 7,
        b"\xff\xff\xfe" + b"stamp\n\n" + b"\x7f\xff\xff\xff" * 9,  # more vertices than an int holds
        b"\xff\xff\xfe" + b"stamp\n\n" + b"\xff\xff\xff\xff" * 9,  # -1 vertices
        b"\xff\xff\xfe" + b"stamp\n\n" + b"\x00" * 8,  # none
    ],
)
@pytest.mark.parametrize("name", ["lh.white", "a.surf.gii"])
def test_rubbish_is_no_mesh(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: "):
        read_mesh(path, "L")


@pytest.mark.parametrize("name", ["lh.white", "a.surf.gii"])
def test_a_mesh_that_contradicts_itself_is_refused(tmp_path, name):
    write = write_geometry if name == "lh.white" else write_surface_gifti
    coordinates, triangles = SPHERE
    path = write(tmp_path / name, mesh=(coordinates[:-1], triangles))
    with pytest.raises(DataError, match=f"{name}.* 0 to 41 of a mesh of 41 vertices"):
        read_mesh(path, "L")
    write(path, mesh=(np.where(coordinates > 49, np.nan, coordinates), triangles))
    with pytest.raises(DataError, match=f"{name}: expected three finite coordinates"):
        read_mesh(path, "L")


@pytest.mark.parametrize(
    ("triangles", "message"),
    [
        ([[0, 1, 4]], "0 to 4 of a mesh of 4 vertices"),
        ([[-1, 0, 1]], "-1 to 1 of a mesh of 4"),
        ([[0, 1]], r"expected \(n, 3\)"),
        ([0, 1, 2], r"expected \(n, 3\)"),
        ([[0.0, 1.0, 2.0]], "float32"),
    ],
)
def test_triangles_that_point_outside_are_refused(tmp_path, triangles, message):
    triangles = np.array(triangles)
    kind = "f4" if triangles.dtype.kind == "f" else "i4"
    arrays = [
        nib.gifti.GiftiDataArray(np.zeros((4, 3), "f4"), "NIFTI_INTENT_POINTSET"),
        nib.gifti.GiftiDataArray(triangles.astype(kind), "NIFTI_INTENT_TRIANGLE"),
    ]
    nib.save(nib.gifti.GiftiImage(darrays=arrays), tmp_path / "a.surf.gii")
    with pytest.raises(DataError, match=rf"a\.surf\.gii: .*{message}"):
        read_mesh(tmp_path / "a.surf.gii", "L")


def test_a_missing_mesh_is_named(tmp_path):
    with pytest.raises(InputMissingError, match=r"lh\.white: this file does not exist"):
        read_mesh(tmp_path / "lh.white", "L")
    link = tmp_path / "rh.white"
    link.symlink_to("../.git/annex/objects/xx/MD5E-s1--0")
    with pytest.raises(InputMissingError, match=f"datalad get {link}"):
        read_mesh(link, "R")
