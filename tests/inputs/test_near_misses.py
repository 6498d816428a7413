"""What is said of files that are nearly maps: which, why not, where, and what would take them."""

import re
import shutil
import tomllib
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import pytest
from scipy.stats import norm
from study import estimates, make_study, run_here

from bids_secondlevel.core.files import Dataset, ParticipantIndex, SourceFile
from bids_secondlevel.inputs.near_misses import near_miss, nearly_found

BIDS = "sub-01/func/sub-01_task-loc_hemi-L_space-fsnative"


def miss_of(path, label="01"):
    return near_miss(
        SourceFile(Path("/glm") / path, f"bids:glm:{path}"), PurePosixPath(path), label
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"{BIDS}_contrast-S-v-N_stat-z_statmap.func.gii", r"letters and digits.*contrast-SvN"),
        (f"{BIDS}_contrast-face.s_stat-z_statmap.func.gii", "."),
        (f"{BIDS}_contrast-face_body_stat-z_statmap.func.gii", r"face_body.*contrast-facebody"),
        (f"{BIDS}_contrast-faces_stat-z_zscore.func.gii", "ends in _zscore"),
        ("sub-01/sub-01_task-loc_contrast-A_stat-z_statmap.func.gii", "no hemi-L or hemi-R"),
        (f"{BIDS}_contrast-A_stat-z_statmap.dtseries.nii", "time series"),
        ("sub-01/loc.results/stats.sub-01.lh.niml.dset", "ConvertDset"),
        ("sub-01/bold/loc.lh/UL/sig.nii.gz", "does not say participant, task and contrast"),
        ("sub-01/stats/con_0001.nii", "does not say participant"),
        ("sub-01/surf/lh.benson14_polarangle.mgz", "does not end in _varea, _eccen"),
        ("sub-01/mri/lh.benson14_varea.mgz", "volumes"),
        ("sub-01/prf/benson14_areas.gii", "no hemisphere"),
        ("sub-01/ses-1/sub-01_ses-1_task-bar_hemi-L_centerx0.nii.gz", "hypot"),
    ],
)
def test_the_reason(path, reason):
    assert re.search(reason, miss_of(path).reason)


@pytest.mark.parametrize(
    "path",
    [
        "sub-01/func/sub-01_task-prf_hemi-L_bold.func.gii",
        "sub-01/func/sub-01_task-loc_desc-contrast_mask.nii.gz",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/surf/lh.thickness",
        "sub-01/surf/lh.w-g.pct.mgh",
        "sub-01/mri/brain.mgz",
        "sub-01/func/sub-01_task-loc_contrast-A_stat-z_statmap.json",
    ],
)
def test_other_files_are_not_nearly_maps(path):
    assert miss_of(path) is None


@pytest.mark.parametrize(
    ("path", "captured", "given"),
    [
        (
            f"{BIDS}_contrast-S-v-N_stat-z_statmap.func.gii",
            {"hemi": "L", "task": "loc", "contrast": "S-v-N"},
            {"stat": "z", "space": "fsnative"},
        ),
        (
            "sub-01/ses-a/sub-01_ses-a_task-loc_run-2_hemi-R_contrast-f_b_stat-effect_statmap.gii",
            {"session": "a", "run": "2", "hemi": "R", "task": "loc", "contrast": "f_b"},
            {"stat": "effect", "space": "fsnative"},
        ),
        (
            "task-loc/sub-01/sub-01_space-MNI_contrast-a-b_stat-variance_statmap.nii.gz",
            {"task": "loc", "contrast": "a-b"},
            {"stat": "variance", "space": "MNI"},
        ),
        (
            "sub-01/surf/lh.benson14_polarangle.mgz",
            {"hemi": "lh"},
            {"map": "angle", "source": "benson14"},
        ),
    ],
)
def test_the_table_describes_the_file(path, captured, given):
    miss = miss_of(path)
    index = ParticipantIndex(label="01", near_misses=(miss,))
    text = nearly_found((index,), (), miss.kind)
    (table,) = next(iter(tomllib.loads(text[text.index("[[") :]).values()))
    filled = table.pop("pattern").format(subject="01", **captured)
    assert filled == path
    assert table == given


@pytest.mark.parametrize(
    ("path", "label", "pattern"),
    [
        ("S01_loc_face_lh_z.mgz", "01", "S{subject}_loc_face_{hemi}_z.mgz"),
        ("subj1/LH.loc.z.mgz", "01", "subj{subject}/{hemi}.loc.z.mgz"),
        ("s1/s1_loc_L_z.mgz", "01", "s{subject}/s{subject}_loc_{hemi}_z.mgz"),
        ("7/cope7.nii.gz", "7", "{subject}/cope{contrast}.nii.gz"),
        ("loc_model/S001/spmT_0001.nii", "1", "loc_model/S{subject}/spmT_{contrast}.nii"),
        ("level1/loc/z/P01_lh_sm1.mgz", "01", "level1/loc/z/P{subject}_{hemi}_sm1.mgz"),
        ("day1/loc/z/P1_lh_sm1.mgz", "1", "day1/loc/z/P{subject}_{hemi}_sm1.mgz"),
        ("run01/S01/z_left.gii", "01", "run01/S{subject}/z_{hemi}.gii"),
        ("sess001/loc.lh/z.gii", "1", "sess{subject}/loc.{hemi}/z.gii"),
        ("WLSUBJ001/rh.z.left.mgz", "wlsubj001", "{subject}/{hemi}.z.left.mgz"),
        ("sub-1/glm/z.LH.gii", "01", "sub-{subject}/glm/z.{hemi}.gii"),
    ],
)
def test_a_table_captures_participant_and_hemisphere(path, label, pattern):
    miss = miss_of(path, label)
    text = nearly_found((ParticipantIndex(label=label, near_misses=(miss,)),), (), "map")
    assert f'pattern = "{pattern}"' in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("loc_lh_effectmap.mgz", 'stat = "effect"'),
        ("loc_lh_effect_size.mgz", 'stat = "effect"'),
        ("loc_lh_beta_var.mgz", 'stat = "variance"'),
        ("loc.lh.t.mgz", 'stat = "t"'),
        ("z/loc_lh.mgz", 'stat = "z"'),
        ("lh.visual_areas.mgz", 'map = "varea"'),
        ("S01_visualROIs_LH.mgz", 'map = "varea"'),
        ("S01_eccentricityMap_LH.mgz", 'map = "eccen"'),
    ],
)
def test_a_table_says_what_a_file_holds(name, said):
    miss = miss_of(f"S01/{name}")
    text = nearly_found((ParticipantIndex(label="01", near_misses=(miss,)),), (), miss.kind)
    assert said in text


def test_files_whose_names_say_nothing_are_named_if_there_are_no_others(study):
    for path in study.firstlevel.rglob("*.func.gii"):
        task, hemi = re.findall("_(?:task|hemi)-([A-Za-z]+)", path.name)
        path.rename(path.with_name(f"sub-01_{task}_{hemi}H_SMP_{len(path.name)}.gii"))
    message = told(study).stderr
    assert "its name does not say what the file holds" in message
    assert "sub-{subject}_loc_{hemi}_SMP_" in message
    assert 'stat = "..."' in message


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("UL#0_Coef", "UL#0_Tstat"), 'array = "..."  # "UL#0_Coef" or "UL#0_Tstat"'),
        (("", ""), 'array = "..."  # a number from 0'),
        (("UL",), None),
    ],
)
def test_a_table_lists_the_arrays_of_a_file(tmp_path, names, said):
    path = tmp_path / "sub-01/stats.lh.gii"
    path.parent.mkdir()
    image = nib.gifti.GiftiImage()
    for name in names:
        meta = nib.gifti.GiftiMetaData({"Name": name})
        data = nib.gifti.GiftiDataArray(np.zeros(5, "f4"), meta=meta, datatype="float32")
        image.add_gifti_data_array(data)
    path.write_bytes(image.to_bytes())
    miss = near_miss(
        SourceFile(path, "bids:glm:a"), PurePosixPath(path.relative_to(tmp_path)), "01"
    )
    text = nearly_found((ParticipantIndex(label="01", near_misses=(miss,)),), (), "map")
    assert (said in text) if said else ("array = " not in text)


def test_a_table_says_what_a_name_does_not():
    miss = miss_of("sub-01/bold/UL/sig.nii.gz")
    text = nearly_found((ParticipantIndex(label="01", near_misses=(miss,)),), (), "map")
    for key in ("task", "space"):
        assert f'{key} = "..."' in text
    assert "{contrast}/sig.nii.gz" in text
    assert 'stat = "sig"' in text


def test_three_reasons_are_shown_and_the_rest_counted(tmp_path):
    paths = [f"{BIDS}_contrast-a-{n}_stat-z_statmap.func.gii" for n in range(5)]
    paths += [path.replace("hemi-L", "hemi-R") for path in paths]
    index = ParticipantIndex(label="01", near_misses=tuple(map(miss_of, paths)))
    text = nearly_found((index,), (Dataset("glm", tmp_path),), "map")
    assert text.count("and 1 file like it") == 3
    assert "and 4 more files." in text


def rename(folder, old, new):
    for path in sorted(folder.rglob(f"*{old}*")):
        path.rename(path.with_name(path.name.replace(old, new)))


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "bids", {"01": 0.0, "02": 1.0})


def told(study, *options):
    done = run_here(study.root, study.root.parent / "out", "participant", "--no-report", *options)
    assert "None" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("contrast-", "contrast-x-", "contrast-x-left"),
        ("contrast-", "contrast-x_", "contrast-x_left"),
        ("_statmap", "_map", "_map"),
        ("_hemi-", "_side-", "hemi-L or hemi-R"),
    ],
)
def test_a_study_without_maps_names_files_folders_and_tables(study, old, new, found):
    rename(study.firstlevel, old, new)
    done = told(study)
    assert done.returncode == 66
    assert found in done.stderr
    assert "letters and digits" in done.stderr or "its name" in done.stderr
    assert str(study.firstlevel / "sub-01") in done.stderr
    assert "[[maps]]" in done.stderr


def test_one_contrast_that_is_not_understood_is_named_with_the_reason(study):
    rename(study.firstlevel, "contrast-right", "contrast-r-v-l")
    done = told(study)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if "r-v-l" in line]
    assert all("WARNING" in line and "contrast-rvl" in line for line in lines)
    assert lines


def test_retinotopy_that_is_not_understood(study):
    rename(study.freesurfer, "_eccen", "_eccentricities")
    done = told(study)
    assert done.returncode == 66
    assert "lh.benson14_eccentricities.mgz" in done.stderr
    assert "[[retinotopy]]" in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: sub-01")]
    assert len(errors) == 1  # for both hemispheres


def test_folders_of_participants_by_other_names(study):
    for label in study.offsets:
        (study.freesurfer / f"sub-{label}").rename(study.freesurfer / f"S_{label}")
    done = told(study)
    assert f"{study.freesurfer} (no folder sub-01; its folders are S_01 and S_02)" in done.stderr


def test_no_participants_at_all(study):
    for folder in (study.root, study.firstlevel, study.freesurfer):
        for label in study.offsets:
            (folder / f"sub-{label}").rename(folder / f"P{label}")
    done = told(study)
    assert done.returncode == 18
    assert "P01 and P02" in done.stderr


def test_an_empty_dataset_may_be_one_of_datalad(study):
    (study.root / "derivatives" / "inferred").mkdir()
    lines = [line for line in told(study).stderr.splitlines() if "datalad get" in line]
    assert len(lines) == 1
    assert lines[0].startswith("WARNING")
    assert str(study.root / "derivatives" / "inferred") in lines[0]


def test_a_localizer_whose_z_maps_have_no_contrast(study):
    rename(study.firstlevel, "contrast-left_stat-z", "condition-left_stat-z")
    rename(study.firstlevel, "contrast-right_stat-z", "condition-right_stat-z")
    done = told(study)
    assert done.returncode == 66
    assert "z maps of the localizer task loc" in done.stderr
    assert "has no contrast" in done.stderr


def test_a_statistic_that_is_not_known_is_named(study):
    rename(study.firstlevel, "stat-z", "stat-zz")
    message = told(study).stderr
    assert "Its maps hold: effect, zz" in message
    assert "_stat-zz_statmap.func.gii and 7 files like it: stat-zz is not one of effect" in message
    assert 'stat = "..."' in message or 'stat = "z"' in message


@pytest.mark.parametrize(("suffix", "z"), [("zscore", "z"), ("zfoo", "zfoo")])
def test_suffixes_of_a_filter(study, tmp_path, suffix, z):
    rename(study.firstlevel, "_stat-z_statmap", f"_{suffix}")
    rename(study.firstlevel, "_stat-effect_statmap", "_psc")
    filters = tmp_path / "f.json"
    filters.write_text(
        f'{{"localizer": {{"suffix": "{suffix}"}}, "estimates": {{"suffix": "psc"}}}}'
    )
    done = told(study, "--bids-filter-file", filters)
    if z == "z":
        assert done.returncode == 0
    else:
        assert "Its maps hold: effect, zfoo" in done.stderr


def tables_of(message):
    """Take the tables out of a message, as a user would."""
    lines = message.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("[["))
    kept = []
    for line in lines[first:]:
        if line and not re.match(r"\[\[|\w+ = ", line):
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


@pytest.mark.parametrize(
    ("pairs", "contrast", "roi"),
    [
        ([("contrast-", "contrast-x-")], "xattend", "xleft"),
        ([("contrast-", "contrast-x_")], "xattend", "xleft"),
        ([("_statmap", "_map")], "attend", "left"),
    ],
)
def test_the_tables_of_a_message_make_the_study_run(study, tmp_path, pairs, contrast, roi):
    for old, new in pairs:
        rename(study.firstlevel, old, new)
    config = tmp_path / "c.toml"
    config.write_text(tables_of(told(study).stderr))
    done = told(study, "--config", config)
    assert done.returncode == 0, done.stderr
    rows = estimates(tmp_path / "out")
    assert rows["main", contrast, roi, "L"]["estimate"] == "11.5"
    assert rows["main", contrast, roi, "R"]["estimate"] == "100.0"


def test_the_tables_for_retinotopy_make_the_study_run(study, tmp_path):
    rename(study.freesurfer, "_eccen", "_eccentricities")
    rename(study.freesurfer, "_varea", "_visualareas")
    config = tmp_path / "c.toml"
    config.write_text(tables_of(told(study).stderr))
    done = told(study, "--config", config)
    assert done.returncode == 0, done.stderr
    rows = estimates(tmp_path / "out")
    assert rows["main", "attend", "left", "L"]["estimate"] == "11.5"


def test_the_tables_for_folders_of_fsfast_make_the_study_run(study, tmp_path):
    words = {"z": "sig", "effect": "ces"}
    for path in sorted(study.firstlevel.rglob("*.func.gii")):
        said = dict(re.findall("([a-z]+)-([0-9A-Za-z]+)", path.name))
        values = np.asarray(nib.load(path).darrays[0].data, "f8")
        if said["stat"] == "z":  # FreeSurfer's sig is log10 of the two-sided p, with its sign
            values = np.where(np.isclose(values, 1.96), 1.0, values)
            values = -np.sign(values) * np.log10(2 * norm.sf(np.abs(values)))
        folder = (
            f"sess{said['sub']}/bold/{said['task']}.{said['hemi'].lower()}h/x-v-{said['contrast']}"
        )
        target = study.firstlevel / folder / f"{words[said['stat']]}.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values.astype("f4").reshape(-1, 1, 1), np.eye(4)), target)
        path.unlink()
    for label in study.offsets:
        shutil.rmtree(study.firstlevel / f"sub-{label}")
    message = told(study).stderr
    assert "sess01/bold/loc.lh/x-v-left/" in message
    assert "it is not in a folder named sub-01" in message
    config = tmp_path / "c.toml"
    config.write_text(tables_of(message))
    assert told(study, "--config", config).returncode == 0
    rows = estimates(tmp_path / "out")
    assert float(rows["main", "xvattend", "xvleft", "L"]["estimate"]) == 11.5
    rows = estimates(tmp_path / "out", "02")
    assert float(rows["main", "xvattend", "xvleft", "R"]["estimate"]) == 101.0


def test_the_tables_for_folders_by_other_names_make_the_study_run(study, tmp_path):
    for label in study.offsets:
        (study.freesurfer / f"sub-{label}").rename(study.freesurfer / f"P{label}_old")
    message = told(study).stderr
    config = tmp_path / "c.toml"
    config.write_text(tables_of(message))
    assert 'pattern = "P{subject}_old/surf/{hemi}.benson14_varea.mgz"' in config.read_text()
    assert told(study, "--config", config).returncode == 0
    assert estimates(tmp_path / "out")["main", "attend", "left", "L"]["estimate"] == "11.5"


def test_what_no_table_can_describe_gets_none(study):
    rename(study.firstlevel, "_statmap", "_map")
    func = study.firstlevel / "sub-01" / "func"
    for path in list(study.firstlevel.rglob("*_map.func.gii")):
        path.unlink()
    (func / "stats.sub-01.lh.niml.dset").touch()
    message = told(study).stderr
    assert "ConvertDset" in message
    assert "[[maps]]\npattern" not in message


def test_a_table_for_spm_has_the_contrast_by_its_number():
    folder = "sub-01/task-visloc_space-individual_FWHM-6"
    misses = tuple(map(miss_of, (f"{folder}/beta_0001.nii", f"{folder}/spmT_0001.nii")))
    text = nearly_found((ParticipantIndex(label="01", near_misses=misses),), (), "map")
    first, second = tomllib.loads(text[text.index("[[") :])["maps"]
    assert first == {
        "pattern": "sub-{subject}/task-{task}_space-individual_FWHM-6/spmT_{contrast}.nii",
        "stat": "t",
        "space": "individual",
    }
    assert second["contrast"] == "..."
