import gzip

import nibabel as nib
import numpy as np
import pytest
from study import cut_short, write_curv, write_gifti, write_mgz, write_volume

from bids_secondlevel.errors import DataError, InputMissingError
from bids_secondlevel.model import RetinotopySource, SourceFile
from bids_secondlevel.surfaces import label_gifti, map_gifti, map_mgz, read_map, read_retinotopy

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


def test_what_is_written_is_read_back(tmp_path):
    for name, content in (
        ("a.gii", map_gifti(VALUES, "R")),
        ("a.mgz", map_mgz(VALUES.astype("f4"))),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        np.testing.assert_array_equal(read_map(path, "R"), VALUES.astype("f4"))


def test_a_mask_has_a_label_table_and_a_hemisphere():
    mask = np.array([True, False, True])
    image = nib.gifti.GiftiImage.from_bytes(label_gifti(mask, "R", "UL"))
    (data,) = image.darrays
    assert data.data.dtype == np.int32
    assert data.data.tolist() == [1, 0, 1]
    assert data.intent == nib.nifti1.intent_codes["NIFTI_INTENT_LABEL"]
    assert image.labeltable.get_labels_as_dict() == {0: "background", 1: "UL"}
    assert image.meta["AnatomicalStructurePrimary"] == "CortexRight"


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
    with pytest.raises(DataError, match=r"series\.func\.gii.*2 data arrays"):
        read_map(path, "L")


@pytest.mark.parametrize("shape", [(3, 4, 5), (6, 1, 1, 2)])
@pytest.mark.parametrize("name", ["lh.a.mgz", "a_hemi-L.nii.gz"])
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
    with pytest.raises(InputMissingError, match=r"a\.gii: there is no such file"):
        read_map(tmp_path / "a.gii", "L")
    link = tmp_path / "lh.a.mgz"
    link.symlink_to("../.git/annex/objects/xx/MD5E-s1--0.mgz")
    with pytest.raises(InputMissingError, match=f"datalad get {link}"):
        read_map(link, "L")


def test_retinotopy_is_read_with_whole_areas(tmp_path):
    area = write_mgz(tmp_path / "lh.a_varea.mgz", [0.0, 1.0, 2.0])
    eccentricity = write_mgz(tmp_path / "lh.a_eccen.mgz", [0.0, 1.5, 2.5])
    maps = read_retinotopy(source(area, eccentricity), "L")
    assert maps.visual_area.tolist() == [0, 1, 2]
    assert maps.visual_area.dtype.kind == "i"
    assert maps.eccentricity.tolist() == [0.0, 1.5, 2.5]


@pytest.mark.parametrize("odd", [0.5, np.nan, np.inf])
def test_a_probability_atlas_is_no_map_of_areas(tmp_path, odd):
    area = write_mgz(tmp_path / "lh.a_varea.mgz", [0.0, odd, 1.0])
    eccentricity = write_mgz(tmp_path / "lh.a_eccen.mgz", [1.0, 1.0, 1.0])
    with pytest.raises(DataError, match=r"lh\.a_varea\.mgz.*whole numbers"):
        read_retinotopy(source(area, eccentricity), "L")


def test_retinotopic_maps_of_different_length_are_refused(tmp_path):
    area = write_mgz(tmp_path / "lh.a_varea.mgz", [0.0, 1.0, 1.0])
    eccentricity = write_mgz(tmp_path / "lh.a_eccen.mgz", [1.0, 1.0])
    with pytest.raises(DataError, match=r"a_varea\.mgz has 3 .*a_eccen\.mgz has 2"):
        read_retinotopy(source(area, eccentricity), "L")
