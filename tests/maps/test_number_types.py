"""Maps that are stored as whole numbers are floats as soon as they are read."""

import gzip
import struct
from itertools import product

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, ScalarAxis
from study import EFFECT, estimates, make_study, run_here, write_gifti, write_mgz

from bids_secondlevel.core.files import SourceFile
from bids_secondlevel.core.roi_rule import RoiRule
from bids_secondlevel.maps.reader import read_values
from bids_secondlevel.maps.retinotopy import to_visual_field
from bids_secondlevel.rois.define import localizer_mask

VALUES = np.array([0, 5, 3, 0, 8, 2])
INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def unsigned_mgh(path, values):
    """Write 16-bit unsigned values, as FreeSurfer 7.3.2 and later do; nibabel cannot."""
    head = struct.pack(">7i", 1, len(values), 1, 1, 1, 10, 0) + struct.pack(">h", 1)
    head += struct.pack(">15f", 1, 1, 1, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0)
    content = head.ljust(284, b"\0") + np.asarray(values, ">u2").tobytes()
    path.write_bytes(gzip.compress(content))
    return path


def cifti(path, values, dtype):
    vertices = np.arange(len(values))
    models = BrainModelAxis.from_surface(vertices, len(values), "CORTEX_LEFT")
    header = (ScalarAxis(["a"]), models)
    image = nib.Cifti2Image(np.asarray([values], dtype), header=header)
    image.set_data_dtype(dtype)
    nib.save(image, path)


@pytest.fixture(
    params=[
        *[("lh.a.gii", dtype) for dtype in ("u1", "i4")],
        *[("lh.a.mgz", dtype) for dtype in ("u1", "i2", "i4", "u2")],
        *[("lh.a.nii.gz", dtype) for dtype in INTEGERS],
        *[("a.dscalar.nii", dtype) for dtype in INTEGERS],
        *[("a.nii.gz", dtype) for dtype in INTEGERS],
    ],
    ids=" ".join,
)
def stored(request, tmp_path):
    """A file of VALUES in some integer type."""
    name, dtype = request.param
    path, kind = tmp_path / name, "surface"
    if name.endswith(".gii"):
        write_gifti(path, VALUES, dtype=dtype)
    elif name.endswith(".mgz"):
        unsigned_mgh(path, VALUES) if dtype == "u2" else write_mgz(path, VALUES, dtype)
    elif name.endswith(".dscalar.nii"):
        cifti(path, VALUES, dtype)
        kind = "cifti"
    else:
        shape = (6, 1, 1) if name.startswith("lh") else (3, 2, 1)
        values = VALUES.astype(dtype).reshape(shape)
        nib.save(nib.Nifti1Image(values, np.eye(4), dtype=dtype), path)
        kind = "surface" if name.startswith("lh") else "volume"
    return SourceFile(path, "bids:x:a", kind)


def test_values_are_floats_in_every_format(stored):
    values = read_values(stored, "L")
    assert values.dtype.kind == "f"
    assert values.dtype.isnative
    np.testing.assert_array_equal(values, VALUES)


def test_thresholds_are_those_of_floats(stored):
    kinds = [("z", 2), ("top-n", 3), ("top-percent", 50), ("fdr", 0.05)]
    for (kind, limit), tail in product(kinds, ("greater", "less", "two-sided")):
        rule = RoiRule(threshold_kind=kind, localizer_threshold=limit, tail=tail)
        found, expected = (
            localizer_mask(z, rule, within=np.ones(6, bool))
            for z in (read_values(stored, "L"), VALUES.astype("f8"))
        )
        np.testing.assert_array_equal(found, expected)


def test_angles_are_those_of_floats(stored):
    angles = read_values(stored, "L")
    np.testing.assert_array_equal(to_visual_field(angles, np.ones(6), "R"), -VALUES)


def test_a_localizer_of_bytes_defines_the_rois_of_a_study(tmp_path):
    """As `mri_binarize` writes it: 1 is active, 0 is not."""
    study = make_study(tmp_path / "bids")
    for hemi, values in (("L", [0, 0, 1, 1, *[0] * 8]), ("R", [1, 0, 0, *[0] * 7])):
        path = study.map_path("01", "loc", hemi, "left", "z")
        write_gifti(path, np.array(values), hemi, dtype="u1")
    options = ("--threshold-kind", "top-n", "--localizer-threshold", "1", "--roi-contrasts", "left")
    run = run_here(study.root, tmp_path / "out", "participant", "--no-report", *options)
    assert run.returncode == 0
    rows = estimates(tmp_path / "out")
    for hemi, vertex in (("L", 2), ("R", 0)):
        assert float(rows["main", "attend", "left", hemi]["estimate"]) == EFFECT[hemi][vertex]
