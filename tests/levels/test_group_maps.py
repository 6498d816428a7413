"""Maps of the group, made as a user makes them, of participants on surfaces of their own."""

import json
import shutil
import subprocess
from functools import cache
from itertools import product

import nibabel as nib
import numpy as np
import pytest
from bids import BIDSLayout
from browser import drive, needs_chromium
from explored import CONTROL, unpacked
from nilearn.datasets import fetch_surf_fsaverage, load_fsaverage
from nilearn.surface import SurfaceImage, load_surf_mesh
from scipy import stats
from spheres import eccentricity as eccentricity_at
from spheres import (
    effect,
    start_study,
    uneven_sphere,
    visual_area,
    write_maps,
    write_retinotopy,
    write_sphere,
    z_map,
)
from study import (
    COMMAND,
    STRUCTURE,
    contents,
    describe,
    read_tsv,
    run_here,
    write_gifti,
    write_mgz,
)

from bids_secondlevel.core.values import Mesh
from bids_secondlevel.maps.meshes import by_interpolation, by_nearest, on_spheres
from bids_secondlevel.stats.testing.permutation import sign_flip_tests

LABELS = [f"{number:02}" for number in range(1, 8)]
N_OWN = 1500
N = 10242  # of fsaverage5
GROUPS = ["a", "b", "a", "b", "a", "b", "a"]


@cache
def sphere_of(label, hemi):
    return uneven_sphere(N_OWN, seed=10 * int(label) + (hemi == "R"))


def effect_of(label, hemi):
    """A smooth map and noise, on the participant's own surface."""
    coordinates, _ = sphere_of(label, hemi)
    noise = np.random.default_rng(int(label)).normal(0, 0.3, N_OWN)
    return (0.5 * effect(coordinates) + noise).astype("f4")


def map_path(firstlevel, label, hemi):
    name = f"sub-{label}_task-main_hemi-{hemi}_space-fsnative_contrast-attend_stat-effect_statmap"
    return firstlevel / f"sub-{label}" / "func" / f"{name}.func.gii"


@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    """Seven participants, processed; sub-06 has three vertices without data in the left."""
    root = tmp_path_factory.mktemp("spheres") / "bids"
    firstlevel, freesurfer = start_study(root, LABELS)
    rows = "".join(f"sub-{who}\t{group}\n" for who, group in zip(LABELS, GROUPS, strict=True))
    (root / "participants.tsv").write_text(f"participant_id\tgroup\n{rows}")
    for label in LABELS:
        for hemi in "LR":
            coordinates, triangles = sphere_of(label, hemi)
            surf = freesurfer / f"sub-{label}" / "surf"
            write_sphere(surf / f"{hemi.lower()}h.sphere.reg", coordinates, triangles, hemi)
            write_retinotopy(surf, coordinates, hemi)
            write_maps(firstlevel / f"sub-{label}" / "func", coordinates, hemi, "fsnative", label)
            values = effect_of(label, hemi)
            if (label, hemi) == ("06", "L"):
                values[:3] = np.nan
            write_gifti(map_path(firstlevel, label, hemi), values, hemi)
    output = root.parent / "out"
    finished = run_here(root, output, "participant", "--no-report", "--n-procs", "1")
    assert finished.returncode == 0, finished.stderr
    return root, output


@pytest.fixture
def study(processed, tmp_path):
    """The same, to be changed."""
    root, output = processed
    shutil.copytree(root, tmp_path / "bids")
    shutil.copytree(output, tmp_path / "out")
    return tmp_path / "bids", tmp_path / "out"


def group(study, *options):
    options = ("--no-report", "--n-permutations", "200", "--n-procs", "1", *options)
    return run_here(*study, "group", *options)


@cache
def resampling(label, hemi):
    side = "left" if hemi == "L" else "right"
    target = load_surf_mesh(fetch_surf_fsaverage("fsaverage5")[f"sphere_{side}"])
    return on_spheres(Mesh(*sphere_of(label, hemi)), target.coordinates)


def carried(label, hemi):
    """The map of a participant on fsaverage5, by the functions that carry maps everywhere."""
    values = effect_of(label, hemi)
    if (label, hemi) == ("06", "L"):
        values[:3] = np.nan
    return by_interpolation(resampling(label, hemi), values)


MAPS = ("--group-maps", "fsaverage5")
ATTEND = "task-main_space-fsaverage5_hemi-{}_contrast-attend"


def load(folder, stat, hemi, entities=ATTEND, more=""):
    name = f"group_{entities.format(hemi)}_stat-{stat}{more}_statmap.func.gii"
    return np.asarray(nib.load(folder / name).darrays[0].data)


@pytest.fixture(scope="module")
def mapped(processed):
    finished = group(processed, *MAPS)
    assert finished.returncode == 0, finished.stderr
    return processed[1]


def test_maps_are_tested_where_the_spheres_carry_them(mapped):
    values = {
        hemi: np.stack([carried(label, hemi) for label in LABELS]).astype(np.float64)
        for hemi in "LR"
    }
    for hemi, of in values.items():
        n = np.isfinite(of).sum(axis=0)
        assert load(mapped, "n", hemi).tolist() == n.tolist()
        assert (n.min(), n.max()) == ((6, 7) if hemi == "L" else (7, 7))
        assert load(mapped, "effect", hemi) == pytest.approx(np.nanmean(of, axis=0), rel=1e-5)
        t = stats.ttest_1samp(of, 0, nan_policy="omit").statistic
        assert load(mapped, "t", hemi) == pytest.approx(t, rel=1e-4)
    together = np.concatenate([values["L"], values["R"]], axis=1)
    expected = sign_flip_tests(together, np.ones(2 * N, dtype=bool), 200).p_fwe
    p = np.concatenate([load(mapped, "p", hemi) for hemi in "LR"])
    assert p == pytest.approx(expected, rel=1e-6)
    assert p.min() == pytest.approx(2 / 128)
    region = np.concatenate([share(mapped, hemi, "V1", "retinotopy") >= 0.5 for hemi in "LR"])
    within = np.concatenate(
        [
            load(mapped, "p", hemi, "task-main_space-fsaverage5_hemi-{}_label-V1_contrast-attend")
            for hemi in "LR"
        ]
    )
    expected = sign_flip_tests(together[:, region], np.ones(region.sum(), dtype=bool), 200).p_fwe
    assert within[region] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(within[~region]).all()


def share(folder, hemi, label, desc):
    return load(
        folder, "probability", hemi, f"space-fsaverage5_hemi-{{}}_label-{label}", f"_desc-{desc}"
    )


def masks(label, hemi):
    """The region and the ROI of a participant, on their own surface, from their definition."""
    coordinates, _ = sphere_of(label, hemi)
    eccentricity = eccentricity_at(coordinates).astype("f4")
    region = (visual_area(coordinates) == 1) & (eccentricity > 0) & (eccentricity < 5)
    return region, region & (z_map(coordinates).astype("f4") > 1.96)


def test_shares_are_those_of_the_masks_of_participants(mapped):
    on_template = {
        hemi: [
            np.stack(
                [by_nearest(resampling(label, hemi), masks(label, hemi)[kind]) for label in LABELS]
            )
            for kind in (0, 1)
        ]
        for hemi in "LR"
    }
    for hemi, (region, roi) in on_template.items():
        assert share(mapped, hemi, "V1", "retinotopy") == pytest.approx(region.mean(axis=0))
        assert share(mapped, hemi, "side", "combined") == pytest.approx(roi.mean(axis=0))
    table = read_tsv(mapped / "group_quality.tsv")
    both = np.concatenate([on_template["L"][1], on_template["R"][1]], axis=1)
    for who, label in enumerate(LABELS):
        others = np.delete(both, who, axis=0).mean(axis=0) >= 0.5
        expected = 2 * (both[who] & others).sum() / (both[who].sum() + others.sum())
        (row,) = [r for r in table if (r["participant_id"], r["hemi"]) == (f"sub-{label}", "both")]
        assert float(row["dice_with_others"]) == pytest.approx(expected)


def test_the_table_and_the_json_files_say_what_was_done(mapped):
    (row,) = [r for r in read_tsv(mapped / "group_maps.tsv") if r["task"] == "main"]
    t = np.concatenate([load(mapped, "t", hemi) for hemi in "LR"])
    p = np.concatenate([load(mapped, "p", hemi) for hemi in "LR"])
    peak = int(np.argmax(np.abs(t)))
    assert (row["n"], row["n_tested"], row["n_permutations"]) == ("7", str(2 * N), "128")
    assert (row["peak_hemi"], int(row["peak_vertex"])) == ("LR"[peak // N], peak % N)
    assert float(row["peak_t"]) == pytest.approx(t[peak], rel=1e-6)
    assert int(row["n_significant"]) == (p < 0.05).sum()
    name = "group_task-main_space-fsaverage5_hemi-L_contrast-attend_stat-p_statmap.json"
    said = json.loads((mapped / name).read_text())
    assert said["Participants"] == [f"sub-{label}" for label in LABELS]
    assert (said["NumberOfPermutations"], said["AllPermutations"]) == (128, True)
    assert said["DegreesOfFreedom"] == [5, 6]
    assert "over spheres registered to fsaverage" in said["Resampling"][0]


def test_pybids_finds_them_and_nilearn_reads_them(mapped):
    layout = BIDSLayout(mapped, is_derivative=True, validate=False)
    found = layout.get(
        task="main", hemi="L", space="fsaverage5", suffix="statmap", extension=".func.gii"
    )
    paths = sorted(file.path for file in found)
    layout.session.close()
    layout.connection_manager.engine.dispose()
    assert len(paths) == 5
    for path in paths:
        image = nib.load(path)
        (data,) = image.darrays
        assert image.meta["AnatomicalStructurePrimary"] == STRUCTURE["L"]
        assert data.data.dtype == np.float32
        # FreeSurfer passes over other intents.
        assert nib.nifti1.intent_codes.niistring[data.intent] == "NIFTI_INTENT_NONE"
        other = path.replace("hemi-L", "hemi-R")
        mesh = load_fsaverage("fsaverage5")["inflated"]
        shown = SurfaceImage(mesh, {"left": path, "right": other})
        assert shown.shape[0] == 2 * N


def test_the_bids_validator_reports_no_error(mapped):
    finished = subprocess.run(
        [COMMAND.parent / "bids-validator-deno", mapped, "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    issues = json.loads(finished.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_the_same_gives_the_same_bytes_and_other_analyses_leave_no_maps(study):
    assert group(study, *MAPS).returncode == 0
    first = contents(study[1])
    assert group(study, *MAPS, "--n-procs", "2").returncode == 0
    assert contents(study[1]) == first
    assert group(study).returncode == 0
    assert not list(study[1].glob("group*.gii"))
    assert not list(study[1].glob("group_maps*"))


def test_groups_have_maps_and_are_compared(study):
    finished = group(study, *MAPS, "--group-by", "group", "--task-label", "main")
    assert finished.returncode == 0, finished.stderr
    is_a = np.array(GROUPS) == "a"
    of = np.stack([carried(label, "R") for label in LABELS]).astype(np.float64)
    t = stats.ttest_ind(of[is_a], of[~is_a], equal_var=False).statistic
    assert load(study[1], "t", "R", more="_desc-aMinusB") == pytest.approx(t, rel=1e-3, abs=1e-5)
    effect = of[is_a].mean(axis=0) - of[~is_a].mean(axis=0)
    assert load(study[1], "effect", "R", more="_desc-aMinusB") == pytest.approx(effect, abs=1e-5)
    assert load(study[1], "effect", "R", more="_desc-b") == pytest.approx(
        of[~is_a].mean(axis=0), rel=1e-5
    )
    rows = {(r["group"], r["versus"]): r for r in read_tsv(study[1] / "group_maps.tsv")}
    assert set(rows) == {("all", "n/a"), ("a", "n/a"), ("b", "n/a"), ("a", "b")}
    assert rows["a", "b"]["n_permutations"] == "35"


def test_who_has_no_map_is_named_and_left_out(study):
    root, output = study
    firstlevel = root / "derivatives" / "firstlevel"
    for hemi in "LR":
        map_path(firstlevel, "02", hemi).unlink()
    map_path(firstlevel, "03", "R").unlink()
    finished = group(study, *MAPS, "--task-label", "main")
    assert "sub-02, sub-03: " in finished.stderr
    assert "was made from other maps than there are now" in finished.stderr
    (row,) = read_tsv(output / "group_maps.tsv")
    assert (row["n"], row["excluded"]) == ("5", "sub-02:missing_map; sub-03:missing_map")
    assert run_here(root, output, "participant", "--no-report", "--n-procs", "1").returncode == 1
    finished = group(study, *MAPS, "--task-label", "main")
    (row,) = read_tsv(output / "group_maps.tsv")
    assert (row["n"], row["excluded"]) == ("6", "sub-02:missing_map")
    assert "sub-03: task main, contrast attend: no map of hemisphere R" in finished.stderr
    assert set(load(output, "n", "R")) == {5}
    assert np.isnan(load(output, "t", "R")).all()  # of six, five are too few
    assert np.isfinite(load(output, "t", "L")).sum() > 0.9 * N


def test_who_is_excluded_is_named_with_the_reason(study):
    exclude = study[0].parent / "exclude.tsv"
    exclude.write_text("participant_id\treason\nsub-04\tslept\n")
    finished = group(study, *MAPS, "--exclude", exclude, "--task-label", "main")
    assert finished.returncode == 0, finished.stderr
    (row,) = read_tsv(study[1] / "group_maps.tsv")
    assert (row["n"], row["excluded"]) == ("6", "sub-04:excluded (slept)")
    others = [carried(label, "R") for label in LABELS if label != "04"]
    assert load(study[1], "effect", "R") == pytest.approx(np.mean(others, axis=0), rel=1e-5)


def test_of_one_participant_nothing_is_tested(tmp_path):
    root, output = on_fsaverage5(tmp_path / "bids"), tmp_path / "out"
    options = ("--participant-label", "01")
    assert run_here(root, output, "participant", *options, *QUICK).returncode == 0
    finished = group((root, output), "--group-maps", *options)
    assert "is not tested: 1 participant with a map" in finished.stderr
    assert not list(output.glob("group_task*.gii"))
    assert not (output / "group_maps.tsv").exists()
    assert list(output.glob("group_space-*_stat-probability_*.gii"))


def test_without_permutations_there_is_no_p_and_analyses_have_maps_of_their_own(study):
    options = ("--n-permutations", "0", "--analysis-name", "quick", "--task-label", "main")
    finished = group(study, *MAPS, *options)
    assert finished.returncode == 0, finished.stderr
    folder = study[1] / "analyses" / "quick"
    there = [path.name for path in folder.glob("group_task*.gii")]
    assert len(there) == 6
    assert all("task-main" in name and "stat-p_" not in name for name in there)


def test_a_surface_that_nothing_is_linked_to_is_said(study):
    for sphere in study[0].rglob("*.sphere.reg"):
        sphere.unlink()
    finished = group(study, *MAPS)
    assert finished.returncode == 66, finished.stderr
    assert "the participant's sphere registered to fsaverage" in finished.stderr
    assert (study[1] / "group_statistics.tsv").exists()
    assert run_here(*study, "group", "--group-maps", "volume").returncode == 64


def test_the_page_shows_them_also_when_it_is_written_again(study):
    finished = run_here(*study, "group", *MAPS, "--n-permutations", "200", "--n-procs", "1")
    assert finished.returncode == 0, finished.stderr
    page = (study[1] / "group.html").read_text()
    assert "The group on the cortex" in page
    assert "dice_with_others" in page
    assert "Winkler" in page
    picture = (study[1] / "figures" / "group_desc-maps_cortex.svg").read_text()
    for said in ("ROI side", "attend", "share of participants", "7 participants"):
        assert said in picture
    assert run_here(*study, "group", "--reports-only").returncode == 0
    assert (study[1] / "group.html").read_text() == page


def on_fsaverage5(root, sessions=(None,)):
    """A study of maps on fsaverage5, with one atlas for everybody."""
    describe(root, "study", "raw")
    firstlevel, freesurfer = start_study(root, ["01", "02", "03"])
    area = (np.arange(N) < 300).astype("f4")
    for side in ("lh", "rh"):
        for name, values in (("varea", area), ("eccen", 2 * area)):
            write_mgz(freesurfer / "fsaverage5" / "surf" / f"{side}.benson14_{name}.mgz", values)
    for number, (label, session, hemi) in enumerate(product(["01", "02", "03"], sessions, "LR")):
        ses = f"_ses-{session}" if session else ""
        name = (
            f"sub-{label}{ses}_task-main_hemi-{hemi}_space-fsaverage5_contrast-attend"
            "_stat-effect_statmap.func.gii"
        )
        values = np.random.default_rng(number).normal(1, 1, N)
        write_gifti(firstlevel / f"sub-{label}" / name, values, hemi)
    return root


QUICK = ("--retinotopy-only", "--no-visual-field", "--no-report", "--n-procs", "1")


def test_maps_on_a_template_stay_there_and_sessions_have_maps_of_their_own(tmp_path):
    root, output = on_fsaverage5(tmp_path / "bids", ("a", "b")), tmp_path / "out"
    for session in "ab":
        finished = run_here(root, output, "participant", "--session-label", session, *QUICK)
        assert finished.returncode == 0, finished.stderr
    finished = group((root, output), "--group-maps")
    assert finished.returncode == 0, finished.stderr
    for place, session in enumerate("ab"):
        of = [
            np.random.default_rng(4 * who + 2 * place).normal(1, 1, N).astype("f4")
            for who in range(3)
        ]
        assert load(output, "effect", "L", f"ses-{session}_{ATTEND}") == pytest.approx(
            np.mean(of, axis=0), rel=1e-5, abs=1e-6
        )
    assert [r["session"] for r in read_tsv(output / "group_maps.tsv")] == ["a", "b"]
    only = group((root, output), "--group-maps", "--session-label", "b")
    assert only.returncode == 0, only.stderr
    assert not list(output.glob("group_ses-a*"))


def test_a_record_of_settings_that_is_lost_or_damaged_is_said(tmp_path):
    root, output = on_fsaverage5(tmp_path / "bids"), tmp_path / "out"
    assert run_here(root, output, "participant", *QUICK).returncode == 0
    record = output / "logs" / "sub-02_settings.toml"
    record.unlink()
    finished = group((root, output), "--group-maps")
    assert "sub-02 excluded: logs/ has no settings" in finished.stderr
    (row,) = read_tsv(output / "group_maps.tsv")
    assert (row["n"], row["excluded"]) == ("2", "sub-02:missing_map")
    record.write_text("= broken")
    finished = group((root, output), "--group-maps")
    assert (finished.returncode, "sub-02_settings.toml: cannot be read" in finished.stderr) == (
        65,
        True,
    )


def test_volumes_are_refused(tmp_path):
    root, output = tmp_path / "bids", tmp_path / "out"
    describe(root, "study", "raw")
    firstlevel, freesurfer = start_study(root, ["01", "02"])
    for label in ("01", "02"):
        name = f"sub-{label}_task-main_space-T1w_contrast-attend_stat-effect_statmap.nii.gz"
        mri = freesurfer / f"sub-{label}" / "mri"
        for path, value in (
            (mri / "benson14_varea.nii.gz", 1.0),
            (mri / "benson14_eccen.nii.gz", 2.0),
            (firstlevel / f"sub-{label}" / name, 3.0),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            affine = np.diag([1.0, 1.0, 1.0, 1.0])
            affine[0, 3] = -2  # half of the voxels are left
            nib.save(nib.Nifti1Image(np.full((4, 4, 4), value, "f4"), affine), path)
    finished = run_here(root, output, "participant", *QUICK)
    assert finished.returncode == 0, finished.stderr
    finished = group((root, output), "--group-maps")
    assert (finished.returncode, "the maps are volumes" in finished.stderr) == (64, True)


@pytest.fixture(scope="module")
def explored(processed, tmp_path_factory):
    """A page of the maps of the group, and the folder of the maps that it shows."""
    root, output = processed
    folder = tmp_path_factory.mktemp("explored") / "out"
    shutil.copytree(output, folder)
    options = ("--n-permutations", "100", *MAPS, "--explore")
    finished = run_here(root, folder, "group", *options)
    assert finished.returncode == 0, finished.stderr
    return folder


def test_the_page_to_turn_has_the_maps_of_the_group(explored):
    about, arrays = unpacked(explored / "group_explore.html")
    assert [roi["name"] for roi in about["rois"]] == ["side"]
    for hemi in "LR":
        np.testing.assert_array_equal(arrays[f"{hemi}.vertices"], np.arange(N))  # the whole cortex
        of_roi = share(explored, hemi, "side", "combined")
        np.testing.assert_array_equal(arrays[f"{hemi}.share.0"], of_roi)
        for stat in ("effect", "t", "p"):
            written = load(explored, stat, hemi)
            np.testing.assert_allclose(arrays[f"{hemi}.{stat}.0"], written, rtol=1e-3)
        assert np.isfinite(arrays[f"{hemi}.pRegion.0"]).any()
    assert 'href="group_explore.html"' in (explored / "group.html").read_text(encoding="utf-8")
    assert (explored / "group_explore.html").stat().st_size < 4_000_000


@needs_chromium
def test_the_slider_finds_where_rois_agree(explored, tmp_path):
    script = CONTROL + "return [0.5, 0.8].map(function (t) { set(t); return table(); });"
    found, console = drive(explored / "group_explore.html", tmp_path, script)
    assert console == []
    shares = {hemi: share(explored, hemi, "side", "combined") for hemi in "LR"}
    for threshold, table in zip((0.5, 0.8), found, strict=True):
        for hemi, sides in (("L", "L"), ("R", "R"), ("both", "LR")):
            size = sum(int((shares[side] >= np.float32(threshold)).sum()) for side in sides)
            assert table[f"side {hemi}"][0] == str(size)
    assert found[0]["side both"][0] == found[0]["side both"][2] != found[1]["side both"][0]


def test_without_maps_of_the_group_there_is_nothing_to_turn(study):
    finished = run_here(*study, "group", "--explore")
    assert finished.returncode == 0
    assert "no page of the group to turn without --group-maps" in finished.stderr
    assert not (study[1] / "group_explore.html").exists()
