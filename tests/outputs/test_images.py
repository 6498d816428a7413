"""Files of labels and maps: what is encoded is read back."""

import nibabel as nib
import numpy as np
import pytest

from bids_secondlevel.maps.surfaces import read_map
from bids_secondlevel.maps.volumes import Grid, read_volume
from bids_secondlevel.outputs.images import Label, label_gifti, label_nifti, map_gifti, map_mgz

VALUES = np.array([0.5, -1.96, 1.96, np.nan, 3.0, 7.0])
SHAPE = (4, 5, 6)
LABELS = np.arange(120) % 7
ALIGNED = np.array([[-2.0, 0, 0, 3], [0, 2, 0, -5], [0, 0, 3, 1], [0, 0, 0, 1]])
OBLIQUE = np.array([[0.67, -0.21, 0, -3.1], [0.21, 0.67, 0, 2.7], [0, 0, 0.7, 0.3], [0, 0, 0, 1]])
SHEARED = np.array([[2.0, 0.5, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.gii", map_gifti(VALUES, "R")), ("a.mgz", map_mgz(VALUES.astype("f4")))],
)
def test_maps_of_vertices_come_back(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    np.testing.assert_array_equal(read_map(path, "R"), VALUES.astype("f4"))


def test_a_mask_has_a_label_table_and_a_hemisphere():
    mask = np.array([True, False, True])
    image = nib.gifti.GiftiImage.from_bytes(label_gifti(mask, "R", [Label(1, "UL", "#d55e00")]))
    (data,) = image.darrays
    assert data.data.dtype == np.int32
    assert data.data.tolist() == [1, 0, 1]
    assert data.intent == nib.nifti1.intent_codes["NIFTI_INTENT_LABEL"]
    assert image.labeltable.get_labels_as_dict() == {0: "background", 1: "UL"}
    assert image.meta["AnatomicalStructurePrimary"] == "CortexRight"


@pytest.mark.parametrize("affine", [ALIGNED, OBLIQUE, SHEARED], ids=["LAS", "oblique", "sheared"])
@pytest.mark.parametrize("is_template", [False, True])
def test_labels_of_voxels_come_back(tmp_path, affine, is_template):
    grid = Grid(SHAPE, affine)
    for values, dtype in ((LABELS, "i4"), (LABELS % 2 == 0, "u1")):
        path = tmp_path / "v.nii.gz"
        path.write_bytes(label_nifti(values, grid, is_template=is_template))
        read, again = read_volume(path)
        np.testing.assert_array_equal(read, values)
        assert again.matches(grid)
        np.testing.assert_array_equal(again.affine, affine.astype("f4"))
        header = nib.load(path).header
        assert header.get_data_dtype() == np.dtype(dtype)
        code = 4 if is_template else 2
        assert header["sform_code"] == code
        assert header["qform_code"] == (0 if affine is SHEARED else code)
        assert header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(
            header.get_zooms(), np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-6
        )
        if header["qform_code"]:
            np.testing.assert_allclose(header.get_qform(), affine, atol=1e-5)


def test_the_same_labels_give_the_same_bytes():
    grid = Grid(SHAPE, ALIGNED)
    written = label_nifti(LABELS, grid, is_template=True)
    assert written == label_nifti(LABELS.astype(">i8"), grid, is_template=True)
    assert written[4:8] == bytes(4)  # no time
