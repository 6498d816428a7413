"""Names of other tools mean what the same names of BIDS mean."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from study import estimates, make_study, run_here, write_mgz

from bids_secondlevel.inputs.names import freesurfer_entities, in_bids, map_labels, surface_of
from bids_secondlevel.inputs.names import without_participant as without

# Of attend in the ROI of the localizer contrast left: vertices 1 and 2 (L) and 0 (R).
RIGHT = {"L": "11.5", "R": "100.0"}


def rename(folder, *pairs):
    for path in [path for path in sorted(folder.rglob("*")) if path.is_file()]:
        name = path.name
        for old, new in pairs:
            name = name.replace(old, new)
        path.rename(path.with_name(name))


def measured(study, output, *options):
    done = run_here(study.root, output, "participant", "--no-report", *options)
    assert done.returncode == 0, done.stderr
    rows = estimates(output)
    return {hemi: rows["main", "attend", "left", hemi]["estimate"] for hemi in RIGHT}


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "bids")


@pytest.mark.parametrize(
    "pairs",
    [
        (("_stat-z_", "_stat-z_score_"), ("_stat-effect_", "_stat-effect_size_")),
        (("_stat-z_statmap", "_stat-Z_Score"), ("_stat-effect_statmap", "_stat-effect_size")),
        (("_statmap", ""),),
        (("hemi-L", "hemi-left"), ("hemi-R", "hemi-right")),
        (("hemi-L", "hemi-LH"), ("hemi-R", "hemi-RH")),
        (("hemi-L", "hemi-l"), ("hemi-R", "hemi-r")),
        (("hemi-L", "hemi-Left"), ("hemi-R", "hemi-RIGHT")),
        (("_contrast-", "_taskcontrast-"),),
        (
            ("_contrast-", "_taskcontrast-"),
            ("_stat-", "_model-aggregate_contrast-intercept_stat-"),
        ),
        ((".func.gii", ".FUNC.GII"),),
        ((".func.gii", ".GII"),),
    ],
)
def test_maps_of_other_dialects(study, tmp_path, pairs):
    rename(study.firstlevel, *pairs)
    assert measured(study, tmp_path / "out") == RIGHT


@pytest.mark.parametrize("ending", [".func.gii.gz", ".gii.gz", ".SHAPE.GII.GZ"])
def test_compressed_gifti(study, tmp_path, ending):
    for path in sorted(study.firstlevel.rglob("*.gii")):
        stem = path.name.partition(".")[0]
        path.with_name(stem + ending).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert measured(study, tmp_path / "out") == RIGHT


@pytest.mark.parametrize(
    "pairs",
    [
        ((".mgz", ".v4_0.mgz"),),
        ((".mgz", ".v3.mgz"),),
        (("_eccen", "_eccentricity"),),
        (("_eccen", "_eccentricity"), (".mgz", ".v4_0.MGZ")),
        (("benson14", "01_inferred"),),
        (("benson14", "sub-01.inferred"),),
    ],
)
def test_retinotopy_of_other_dialects(study, tmp_path, pairs):
    rename(study.freesurfer, *pairs)
    assert measured(study, tmp_path / "out") == RIGHT


def test_eccentricity_in_a_name_of_bids(study, tmp_path):
    for path in sorted(study.freesurfer.rglob("*.mgz")):
        side, kind = path.name[0].upper(), path.name.removesuffix(".mgz").split("_")[1]
        kind = kind.replace("eccen", "eccentricity")
        path.rename(path.with_name(f"sub-01_hemi-{side}_desc-mine_{kind}.MGZ"))
    assert measured(study, tmp_path / "out") == RIGHT


def test_eccentricity_in_the_name_of_a_volume():
    entities = freesurfer_entities(Path("mri/benson14_eccentricity.v4_0.mgz"))
    assert entities == {"desc": "benson14", "suffix": "eccen", "extension": ".mgz"}


def test_retinotopy_in_files_that_end_in_curv(study, tmp_path):
    for path in sorted(study.freesurfer.rglob("*.mgz")):
        values = np.asarray(nib.load(path).dataobj).reshape(-1).astype("f4")
        nib.freesurfer.write_morph_data(path.with_suffix(".curv"), values)
        path.unlink()
    assert measured(study, tmp_path / "out") == RIGHT


def test_the_curvature_of_freesurfer_is_no_retinotopy():
    assert freesurfer_entities(Path("surf/lh.curv")) is None
    assert surface_of("lh.curv") == ("L", "curv", None)


def test_a_source_whose_tags_name_participants_is_one_for_all(tmp_path):
    study = make_study(tmp_path / "bids", {"01": 0.0, "02": 0.0})
    for label in study.offsets:
        surf = study.surf(label)
        rename(surf, ("benson14", f"S{label}_inferred"))
        for side in ("lh", "rh"):
            for kind in ("varea", "eccen"):
                write_mgz(surf / f"{side}.S{label}_benson14_{kind}.mgz", np.zeros(12))
    assert measured(study, tmp_path / "one") == RIGHT
    assert measured(study, tmp_path / "two", "--retinotopy-source", "inferred") == RIGHT


def test_tags_keep_what_names_no_participant():
    assert without("benson14", "14") == "benson14"
    assert without("S01", "01") == "S01"  # nothing else is there
    assert without("prf_run_01", "01") == "prf_run_01"
    assert without("02_inferred", "01") == "02_inferred"
    assert without("full_TOME3001", "TOME3001") == "full"
    assert without("tome3001_full", "TOME3001") == "full"
    assert without("prf_subj01_fit", "01") == "prf_fit"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["01_loc_UL", "01_loc_UR"], ["UL", "UR"]),
        (["sub-01 glm faces", "sub-01 glm houses"], ["faces", "houses"]),
        (["UL-S01", "UR-S01"], ["UL", "UR"]),
        (["01_task-loc_UL"], ["UL"]),
        (["UL (01)", "UR (01)"], ["UL", "UR"]),
        (["01", "01 loc"], ["01", "01loc"]),  # nothing else would be left
        (["faces > houses", "faces > scenes"], ["faceshouses", "facesscenes"]),
        (["loc_UL", "loc_UR"], ["locUL", "locUR"]),
    ],
)
def test_names_of_maps_in_one_file(names, labels):
    assert map_labels(names, {"subject": "01", "task": "loc"}) == labels


def test_names_of_the_contract_stay_as_they_are():
    for name in (
        "sub-01_task-loc_hemi-L_space-fsnative_contrast-UL_stat-z_statmap.func.gii",
        "sub-01_hemi-lh_desc-mine_varea.mgz",
        "sub-01_task-loc_contrast-leftscore_stat-z_statmap.nii.gz",
        "lh.benson14_varea.mgz",
    ):
        assert in_bids(name) == name
