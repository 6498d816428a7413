"""The demo, run once as a user runs it: its data are valid, the program finds what is in them."""

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_secondlevel.demo import main as demo
from bids_secondlevel.demo.simulation import block_design
from bids_secondlevel.demo.study import (
    MAIN,
    NAME,
    PLANTED,
    TASKS,
    amplitudes,
    draw_participants,
    fit,
    write_study,
)

SCRIPTS = Path(sys.executable).parent
PARTICIPANTS = [f"sub-{number:02d}" for number in range(1, 9)]


@dataclass(frozen=True)
class Demo:
    folder: Path
    finished: subprocess.CompletedProcess

    @property
    def bids(self):
        return self.folder / "bids"

    @property
    def output(self):
        return self.folder / "derivatives"

    def statistic(self, **key):
        (row,) = (
            row
            for row in read_tsv(self.output / "group_statistics.tsv")
            if all(row[name] == value for name, value in key.items())
        )
        return row

    def retinotopy(self, participant, hemi, name):
        surf = self.bids / "derivatives" / "freesurfer" / participant / "surf"
        return load(surf / f"{hemi.lower()}h.dipole_{name}.mgz")

    def roi(self, participant, hemi, quadrant):
        name = f"{participant}_task-loc_hemi-{hemi}_space-fsaverage5_label-{quadrant}"
        path = self.output / participant / "func" / f"{name}_desc-combined_mask.label.gii"
        return load(path).astype(bool)


def read_tsv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def load(path):
    image = nib.load(path)
    data = image.darrays[0].data if path.suffix == ".gii" else image.dataobj
    return np.asarray(data).ravel()


def digests(folder):
    # The record of a run has the times of its inputs.
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "_run.json" not in p.name)
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    parent = tmp_path_factory.mktemp("demo")
    command = [SCRIPTS / "bids_secondlevel-demo", "new/study"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=parent)
    return Demo(parent / "new" / "study", finished)


def test_it_runs_quietly(simulated):
    assert simulated.finished.returncode == 0, simulated.finished.stderr
    assert not re.search("warning|error|traceback", simulated.finished.stderr, re.IGNORECASE)


@pytest.mark.parametrize(("quadrant", "planted"), PLANTED.items())
def test_the_group_level_finds_what_was_planted(simulated, quadrant, planted):
    row = simulated.statistic(task="main", roi=quadrant, hemi="both")
    assert row["n"] == "8"
    assert float(row["ci95_low"]) < planted < float(row["ci95_high"])
    assert float(row["mean"]) == pytest.approx(planted, abs=0.04)
    # The sign is recovered, and an effect is claimed where there is one.
    assert (float(row["p"]) < 0.05) == (planted != 0)
    if planted:
        assert np.sign(float(row["mean"])) == np.sign(planted)


def test_every_participants_effects_are_found(simulated):
    """Within four standard errors of a mean over some 50 vertices."""
    estimates = {
        (row["participant_id"], row["roi"]): float(row["estimate"])
        for row in read_tsv(simulated.output / "group_estimates.tsv")
        if row["task"] == "main" and row["hemi"] == "both"
    }
    participants = read_tsv(simulated.bids / "participants.tsv")
    assert [row["participant_id"] for row in participants] == PARTICIPANTS
    assert len(estimates) == 8 * 4
    for row in participants:
        for quadrant in PLANTED:
            found = estimates[row["participant_id"], quadrant]
            assert found == pytest.approx(float(row[f"planted_{quadrant}"]), abs=0.15)


def test_the_localizer_is_marked_circular(simulated):
    row = simulated.statistic(task="loc", contrast="UL", roi="UL", hemi="R")
    assert row["independence"] == "circular"
    assert row["t"] == row["p"] == "n/a"
    assert float(row["mean"]) == pytest.approx(1.5, abs=0.1)


def test_the_visual_field_shows_the_effect_where_it_was_planted(simulated):
    """In the upper quadrants, in the lower right one the other way round, and up to 5 degrees."""
    rows = [
        row
        for row in read_tsv(simulated.output / "group_visualfield.tsv")
        if (row["contrast"], row["hemi"]) == ("attendMinusIgnore", "both")
    ]
    of_quadrants = {}
    for row in rows:
        low, high = float(row["eccentricity_low"]), float(row["eccentricity_high"])
        if row["profile"] == "cell" and not low < 5 < high:
            angle = (float(row["polar_angle_low"]) + float(row["polar_angle_high"])) / 2
            quadrant = ("U" if abs(angle) < 90 else "L") + ("L" if angle < 0 else "R")
            planted = PLANTED[quadrant] if high < 5 else 0
            of_quadrants.setdefault((quadrant, low < 5), []).append(float(row["mean"]) - planted)
            assert float(row["mean"]) == pytest.approx(planted, abs=0.4)
    assert len(of_quadrants) == 8
    for errors in of_quadrants.values():
        assert np.mean(errors) == pytest.approx(0, abs=0.04)
    # By receptive fields the border is blurred, the sides are not.
    smooth = [row for row in rows if row["profile"] == "receptive_field"]
    inner = [row for row in smooth if 2 <= float(row["eccentricity_low"]) < 3]
    for row in inner:
        angle = (float(row["polar_angle_low"]) + float(row["polar_angle_high"])) / 2
        if abs(angle) < 60:
            assert float(row["mean"]) > 0.2


def test_the_profile_it_prints_is_the_result(simulated):
    numbers = r"^ *([\d.]+) to +([\d.]+) +([-\d.]*) +(-?[\d.]+) +([-\d.]*) +(-?[\d.]+)$"
    printed = re.findall(numbers, simulated.finished.stdout, re.MULTILINE)
    assert len(printed) == 10
    for low, high, *halves in printed:
        for planted, estimated in (halves[:2], halves[2:]):
            if float(low) < 5 < float(high):
                assert not planted
            else:
                assert float(estimated) == pytest.approx(float(planted), abs=0.1)
    assert [of[2] for of in printed].count("0.60") == 6


@pytest.mark.parametrize("participant", PARTICIPANTS)
def test_rois_lie_where_their_quadrant_is_seen(simulated, participant):
    """Left field in the right hemisphere, upper field in ventral V1; two stray vertices at most."""
    for quadrant in PLANTED:
        vertical, side = quadrant
        contralateral = "R" if side == "L" else "L"
        roi = simulated.roi(participant, contralateral, quadrant)
        assert roi.sum() > 30
        assert simulated.roi(participant, side, quadrant).sum() <= 2
        angle = simulated.retinotopy(participant, contralateral, "angle")[roi]
        in_quadrant = angle <= 90 if vertical == "U" else angle >= 90
        assert (~in_quadrant).sum() <= 2


def test_upper_field_rois_are_ventral_of_lower_field_rois(simulated):
    from nilearn.datasets import load_fsaverage

    white = load_fsaverage("fsaverage5")["white_matter"].parts
    for hemi, part, side in (("L", "left", "R"), ("R", "right", "L")):
        height = white[part].coordinates[:, 2]
        for participant in PARTICIPANTS:
            upper = height[simulated.roi(participant, hemi, f"U{side}")].mean()
            lower = height[simulated.roi(participant, hemi, f"L{side}")].mean()
            assert upper < lower - 5


def test_rois_are_what_the_rule_says(simulated):
    for hemi in ("L", "R"):
        area, eccentricity = (
            simulated.retinotopy("sub-01", hemi, name) for name in ("varea", "eccen")
        )
        for quadrant in PLANTED:
            name = f"sub-01_task-loc_hemi-{hemi}_space-fsaverage5_contrast-{quadrant}_stat-z"
            func = simulated.bids / "derivatives" / "firstlevel" / "sub-01" / "func"
            z = load(func / f"{name}_statmap.func.gii")
            rule = (area == 1) & (eccentricity > 0) & (eccentricity < 5) & (z > 1.96)
            assert np.array_equal(simulated.roi("sub-01", hemi, quadrant), rule)


def test_effect_variance_and_z_belong_together(simulated):
    stem = "sub-02_task-main_hemi-L_space-fsaverage5_contrast-attendMinusIgnore"
    func = simulated.bids / "derivatives" / "firstlevel" / "sub-02" / "func"
    effect, variance, z = (
        load(func / f"{stem}_stat-{name}_statmap.func.gii") for name in ("effect", "variance", "z")
    )
    assert effect.size == 10242
    t = effect / np.sqrt(variance)
    assert np.array_equal(np.sign(t), np.sign(z))
    assert np.corrcoef(t, z)[0, 1] > 0.99


def test_participants_differ_in_retinotopy(simulated):
    maps = [simulated.retinotopy(participant, "L", "eccen") for participant in PARTICIPANTS]
    assert len({values.tobytes() for values in maps}) == len(PARTICIPANTS)


def test_the_table_it_prints_is_the_result(simulated):
    printed = simulated.finished.stdout
    for quadrant, planted in PLANTED.items():
        row = simulated.statistic(task="main", roi=quadrant, hemi="both")
        numbers = re.search(
            rf"^{quadrant} +(\S+) +(\S+) +\[ *(\S+), +(\S+)\]$", printed, re.MULTILINE
        )
        expected = [planted, *(float(row[name]) for name in ("mean", "ci95_low", "ci95_high"))]
        assert [float(number) for number in numbers.groups()] == pytest.approx(expected, abs=0.005)
    shown = re.findall(r"^  (/.+)$", printed, re.MULTILINE)
    assert len(shown) == 5
    assert all(Path(path).is_file() for path in shown)


@pytest.mark.parametrize(
    "dataset",
    ["bids", "bids/derivatives/firstlevel", "bids/derivatives/freesurfer", "derivatives"],
)
def test_the_bids_validator_reports_no_error(simulated, dataset):
    finished = subprocess.run(
        [SCRIPTS / "bids-validator-deno", "--format", "json", simulated.folder / dataset],
        capture_output=True,
        text=True,
        check=False,
    )
    issues = json.loads(finished.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert finished.returncode == 0


def test_the_raw_data_say_what_they_are(simulated):
    assert "simulated" in (simulated.bids / "README").read_text()
    for participant in PARTICIPANTS:
        for task in TASKS:
            stem = f"{participant}_task-{task.label}"
            image = nib.load(simulated.bids / participant / "func" / f"{stem}_bold.nii.gz")
            assert image.shape == (1, 1, 1, 180)
            assert not np.asarray(image.dataobj).any()
            assert image.header.get_zooms()[3] == 2.0
            assert image.header.get_xyzt_units() == ("mm", "sec")
            sidecar = json.loads((simulated.bids / f"task-{task.label}_bold.json").read_text())
            assert "placeholder" in sidecar["TaskDescription"]
            assert sidecar["RepetitionTime"] == 2.0
            events = read_tsv(simulated.bids / participant / "func" / f"{stem}_events.tsv")
            assert {event["trial_type"] for event in events} == set(task.conditions)
            assert max(float(e["onset"]) + float(e["duration"]) for e in events) <= 360


def test_a_second_run_completes_the_first_with_the_same_bytes(simulated, capsys):
    before = digests(simulated.folder)
    untouched = simulated.bids / "participants.tsv"
    modified = untouched.stat().st_mtime_ns
    shutil.rmtree(simulated.bids / "derivatives" / "firstlevel" / "sub-03")
    shutil.rmtree(simulated.bids / "derivatives" / "freesurfer" / "sub-08")
    shutil.rmtree(simulated.output)
    assert demo.main([str(simulated.folder)]) == 0
    assert capsys.readouterr().out == simulated.finished.stdout
    assert digests(simulated.folder) == before
    assert untouched.stat().st_mtime_ns == modified


def test_help_says_what_it_does(capsys):
    assert demo.main(["--help"]) == 0
    said = capsys.readouterr()
    assert "DIR" in said.out
    assert said.err == ""


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--nonsense", "a"]])
def test_usage_errors(arguments, capsys):
    assert demo.main(arguments) == 64
    assert "usage" in capsys.readouterr().err


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path, capsys):
    kept = tmp_path / "thesis.txt"
    kept.write_text("mine")
    assert demo.main([str(tmp_path)]) == 73
    assert str(tmp_path) in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize("description", ['{"Name": "another study"}', "[]", "{", "null"])
def test_another_dataset_is_left_alone(tmp_path, description):
    (tmp_path / "bids").mkdir()
    path = tmp_path / "bids" / "dataset_description.json"
    path.write_text(description)
    assert demo.main([str(tmp_path)]) == 73
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


@pytest.mark.parametrize("below", ["", "study"])
def test_a_file_is_no_folder(tmp_path, capsys, below):
    (tmp_path / "file").write_text("mine")
    assert demo.main([str(tmp_path / "file" / below)]) == 73
    assert "file" in capsys.readouterr().err


def test_a_level_that_fails_ends_the_demo_with_its_code(tmp_path, monkeypatch, capsys):
    """With no participant written, the participant level finds none."""
    monkeypatch.setattr(demo, "simulate_participant", lambda *_: None)
    code = demo.main([str(tmp_path / "study")])
    assert code != 0
    message = capsys.readouterr().err
    assert f"the participant level failed with exit code {code}" in message
    assert "group" not in message


def test_an_unfinished_demo_is_recognized(tmp_path):
    write_study(tmp_path / "bids", draw_participants())
    demo.check_folder(tmp_path)
    description = json.loads((tmp_path / "bids" / "dataset_description.json").read_text())
    assert description["Name"] == NAME


@pytest.mark.parametrize("task", TASKS, ids=["loc", "main"])
def test_first_level_fits_are_unbiased_and_calibrated(task):
    """Half of the vertices respond as the upper left quadrant does, half do not respond."""
    effects = {"UL": 0.8, "UR": 0.0, "LL": 0.0, "LR": 0.0}
    half = 2000
    response = np.zeros((len(task.conditions), 2 * half))
    response[:, :half] = np.array(amplitudes(task, effects)["UL"])[:, None]
    events = block_design(tuple(task.conditions), task.n_cycles, 12.0, np.random.default_rng(1))
    maps = fit(task, events, response, np.random.default_rng(2))
    truths = {"attendMinusIgnore": 0.8} if task is MAIN else {"UL": 1.5, "UR": -0.5}
    for contrast, truth in truths.items():
        effect, variance, z = (maps[contrast, name] for name in ("effect", "variance", "z"))
        assert effect[:half].mean() == pytest.approx(truth, abs=0.03)
        assert effect[half:].mean() == pytest.approx(0, abs=0.03)
        assert variance.mean() == pytest.approx(effect[half:].var(), rel=0.35)
        assert z[half:].std() == pytest.approx(1, abs=0.2)
