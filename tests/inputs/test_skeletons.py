"""What is chosen in public datasets, from their file names alone.

Each file in ``skeletons`` lists names of a public dataset or tool. Where a dataset has no
first-level surface maps, a few are added under nilearn's names.
"""

from pathlib import Path

import pytest
from study import describe

from bids_secondlevel.core.errors import InputMissingError, UsageError
from bids_secondlevel.core.settings import DerivativePath, Settings
from bids_secondlevel.inputs.choice.maps import select_files
from bids_secondlevel.inputs.datasets import find_datasets, list_participants
from bids_secondlevel.inputs.index import index_participant
from bids_secondlevel.inputs.plan import make_plan

SKELETONS = Path(__file__).parents[1] / "skeletons"


def lay_out(dataset, root, **replaced):
    for line in (SKELETONS / f"{dataset}.txt").read_text().splitlines():
        if line.startswith("#") or "{" in line:
            continue
        name = line
        for old, new in replaced.items():
            name = name.replace(old, new)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def add_maps(root, label, space="fsnative"):
    """Add a localizer and a main task for one participant."""
    describe(root, "glm")
    for hemi in "LR":
        for task, contrast, stat in (("loc", "left", "z"), ("main", "attend", "effect")):
            name = (
                f"sub-{label}_task-{task}_hemi-{hemi}_space-{space}_contrast-{contrast}"
                f"_stat-{stat}_statmap.gii"
            )
            (root / f"sub-{label}").mkdir(exist_ok=True)
            (root / f"sub-{label}" / name).touch()


def choose(bids, label, *derivatives, **options):
    settings = Settings(
        bids_dir=bids,
        output_dir=bids / "out",
        analysis_level="participant",
        derivatives=tuple(DerivativePath(path) for path in derivatives),
        **options,
    )
    datasets = find_datasets(settings)
    index = index_participant(datasets, label, {})
    return select_files(index, make_plan((index,), (), settings))


def retinotopy(files, root):
    return {
        hemi: [
            str(path.relative_to(root))
            for path in (source.visual_area.path, source.eccentricity.path)
        ]
        for hemi, source in files.retinotopy.items()
    }


@pytest.fixture
def bids(tmp_path):
    describe(tmp_path / "bids", "study", "raw")
    return tmp_path / "bids"


@pytest.mark.parametrize(
    ("label", "tag", "folder"),
    [
        ("wlsubj001", "inferred", "bayesian_inference_maps/sub-wlsubj001"),
        ("wlsubj014", "inferred", "bayesian_inference_maps/sub-wlsubj014"),
        ("wlsubj055", "benson14", "freesurfer/sub-wlsubj055/surf"),
    ],
)
def test_ds003787(bids, label, tag, folder):
    lay_out("ds003787", bids)
    add_maps(bids / "derivatives" / "glm", label)
    files = choose(bids, label)
    assert files.retinotopy_source == tag
    assert retinotopy(files, bids / "derivatives") == {
        hemi: [f"{folder}/{side}.{tag}_{kind}.mgz" for kind in ("varea", "eccen")]
        for hemi, side in (("L", "lh"), ("R", "rh"))
    }


def test_ds003787_has_both_sources_for_some(bids):
    lay_out("ds003787", bids)
    add_maps(bids / "derivatives" / "glm", "wlsubj014")
    files = choose(bids, "wlsubj014")
    assert "Retinotopy from several sources (benson14, inferred)" in files.messages[0]
    predicted = choose(bids, "wlsubj014", retinotopy_source="benson14")
    assert "benson14" in str(predicted.retinotopy["L"].eccentricity.path)


def test_ds003787_average_is_no_participant(bids):
    lay_out("ds003787", bids)
    datasets = find_datasets(
        Settings(bids_dir=bids, output_dir=bids / "out", analysis_level="participant")
    )
    assert list_participants(bids, datasets) == ("wlsubj001", "wlsubj014", "wlsubj055")


def test_cneuromod_retinotopy(bids, tmp_path):
    lay_out("cneuromod_retinotopy", tmp_path / "retinotopy.prf")
    add_maps(tmp_path / "glm", "01")
    files = choose(bids, "01", tmp_path / "retinotopy.prf", tmp_path / "glm")
    assert files.retinotopy_source == "inferred"
    assert retinotopy(files, tmp_path) == {
        hemi: [
            f"retinotopy.prf/sub-01/npythy/output/{side}.inferred_{kind}.mgz"
            for kind in ("varea", "eccen")
        ]
        for hemi, side in (("L", "lh"), ("R", "rh"))
    }


def test_cneuromod_volumes_have_no_z_maps(bids, tmp_path):
    lay_out("cneuromod_floc", tmp_path / "floc.rois")
    with pytest.raises(InputMissingError, match=r"task floc has no z maps.*hold: betas, tscores"):
        choose(bids, "01", tmp_path / "floc.rois", localizer_task="floc")


def test_ds004194(bids):
    lay_out("ds004194", bids)
    add_maps(bids / "derivatives" / "glm", "p01")
    files = choose(bids, "p01")
    assert retinotopy(files, bids / "derivatives" / "freesurfer") == {
        hemi: [f"sub-p01/surf/{side}.benson14_{kind}.mgz" for kind in ("varea", "eccen")]
        for hemi, side in (("L", "lh"), ("R", "rh"))
    }


def test_fitlins(bids, tmp_path):
    lay_out("fitlins", tmp_path / "fitlins")
    files = choose(bids, "01", tmp_path / "fitlins")
    for source in files.localizers["left"].values():
        (file,) = source.maps
        assert file.kind == "volume"
        assert file.path.name == (
            "sub-01_task-loc_run-1_space-MNI152NLin2009cAsym_contrast-left_stat-z_statmap.nii.gz"
        )


def test_laion(bids):
    lay_out("laion", bids, XX="01")
    with pytest.raises(UsageError, match=r"MotionLoc, floc, oloc.*--localizer-task"):
        choose(bids, "01")
    files = choose(bids, "01", localizer_task="floc")
    (source,) = files.localizers["faceVsOthers"].values()
    assert [
        str(file.path.relative_to(bids / "derivatives" / "localizers")) for file in source.files
    ] == [
        "sub-01/ses-4BarScreenfLoc/func/sub-01_ses-4BarScreenfLoc_task-floc_hemi-L_space-fsnative"
        "_contrast-faceVsOthers_stat-z_statmap.func.gii"
    ]
    (estimate,) = files.contrasts
    assert (estimate.session, estimate.contrast) == ("4BarScreenfLoc", "body")
    assert [file.path.suffix for file in estimate.maps["L"].files] == [".gii"]


def test_laion_runs_are_combined(bids):
    lay_out("laion", bids, XX="01")
    lay_out("laion", bids, XX="01", **{"run-01": "run-02"})
    (estimate,) = choose(bids, "01", localizer_task="floc").contrasts
    assert estimate.maps["L"].combination == "mean"
    assert ["run-01" in f.path.name for f in estimate.maps["L"].maps] == [True, False]


def test_nilearn(bids, tmp_path):
    lay_out("nilearn", tmp_path / "glm")
    files = choose(bids, "01", tmp_path / "glm", localizer_task="fake", roi_contrasts=("AgtB",))
    assert [
        file.path.name for source in files.localizers["agtb"].values() for file in source.files
    ] == [
        f"sub-01_task-fake_hemi-{hemi}_space-fsaverage5_den-10242_contrast-agtb_stat-z_statmap.gii"
        for hemi in "LR"
    ]
    assert [estimate.contrast for estimate in files.contrasts] == ["agtb", "avsbaseline"]


def test_a_templateflow_home_holds_no_participants(bids, tmp_path):
    lay_out("templateflow", tmp_path / "templateflow")
    add_maps(tmp_path / "glm", "01")
    files = choose(bids, "01", tmp_path / "glm", tmp_path / "templateflow")
    assert files.retinotopy == {}
    assert list(files.localizers) == ["left"]
