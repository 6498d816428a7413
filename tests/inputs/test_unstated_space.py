"""Volumes whose names say no space, and what else says that they are in a template."""

import json

import nibabel as nib
import numpy as np
import pytest
from study import describe

from bids_secondlevel.core.files import SourceFile
from bids_secondlevel.inputs.choice.unstated_space import template_said

NAME = "sub-01_task-loc_contrast-up_stat-z_statmap"


@pytest.fixture
def volume(tmp_path):
    """A volume in the space of the scanner, in a dataset that says no space."""
    describe(tmp_path / "glm", "MNI study", "raw")  # the name of a study says nothing of its maps
    return save(tmp_path / "glm" / "sub-01" / f"{NAME}.nii.gz", sform=1, qform=1)


def save(path, sform, qform, kind=nib.Nifti1Image):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(np.ones((2, 2, 2), "f4"), np.eye(4))
    image.set_sform(np.eye(4), sform)
    image.set_qform(np.eye(4), qform)
    nib.save(image, path)
    return SourceFile(path, f"bids:glm:sub-01/{path.name}")


@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (2, 1)])
def test_nothing_says_a_template(volume, sform, qform):
    save(volume.path, sform, qform)
    assert template_said([volume]) is None


@pytest.mark.parametrize(
    ("sform", "qform", "said"),
    [
        (4, 0, "MNI152 (sform_code 4)"),
        (4, 1, "MNI152 (sform_code 4)"),
        (1, 4, "MNI152 (qform_code 4)"),
        (3, 3, "Talairach (sform_code 3)"),
        (0, 3, "Talairach (qform_code 3)"),
    ],
)
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_header_says_it(volume, sform, qform, said, kind):
    scanner = save(volume.path.with_name("sub-01_first.nii.gz"), 1, 1)
    save(volume.path, sform, qform, kind)
    assert template_said([scanner, volume]) == (
        f"{volume.path} has no space in its name, and its header says {said}"
    )


@pytest.mark.parametrize(
    "told",
    [
        {"GeneratedBy": [{"Name": "HALFpipe", "Version": "1.2.2"}]},
        {"GeneratedBy": [{"Name": "glm", "Parameters": {"space": "MNI152NLin2009cAsym"}}]},
        {"GeneratedBy": [{"Name": "afni_proc", "Description": "in Talairach space"}]},
    ],
)
def test_the_description_of_the_dataset_says_it(volume, told):
    root = volume.path.parents[1]
    (root / "dataset_description.json").write_text(json.dumps(told))
    assert "dataset_description.json says" in template_said([volume])


def test_the_file_beside_it_says_it(volume):
    beside = volume.path.with_name(f"{NAME}.json")
    beside.write_text(json.dumps({"SpatialReference": "tpl-MNI152NLin6Asym_T1w.nii.gz"}))
    assert "statmap.json says MNI152NLin6Asym" in template_said([volume])


def test_surfaces_in_mgh_and_damaged_files_say_nothing(volume):
    path = volume.path.with_name("sub-01_map.mgz")
    nib.save(nib.freesurfer.MGHImage(np.ones((2, 2, 2), "f4"), np.eye(4)), path)
    assert template_said([SourceFile(path, "bids:glm:sub-01/sub-01_map.mgz")]) is None
    volume.path.write_bytes(b"")
    assert template_said([volume]) is None
