"""Things that must not be mixed, and things that must not be lost, silently."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from study import (
    COMMAND,
    EFFECT,
    contents,
    describe,
    estimates,
    make_study,
    read_tsv,
    run,
    write_gifti,
)

from bids_secondlevel.cli.main import main


def level(study, output, *options, name="participant"):
    extra = ["--n-procs", "1"] if name == "participant" else []
    return main([str(study.root), str(output), name, "--no-report", *extra, *options])


def respell(study, old, new, label="*", kind="*"):
    paths = list(study.firstlevel.glob(f"sub-{label}/func/*{old}{kind}"))
    assert paths
    for path in paths:
        path.rename(path.with_name(path.name.replace(old, new)))


def effect(study, hemi, run_label=None, shift=0.0, stat="effect", *, desc=None, label="01"):
    """Write a map of the main task for one run; values of EFFECT plus a shift."""
    path = study.map_path(label, "main", hemi, "attend", stat)
    name = path.name
    if run_label:
        name = name.replace("_hemi", f"_run-{run_label}_hemi")
    if desc:
        name = name.replace("_contrast", f"_desc-{desc}_contrast")
    values = (
        np.full(len(EFFECT[hemi]), shift) if stat == "variance" else np.array(EFFECT[hemi]) + shift
    )
    return write_gifti(path.with_name(name), values, hemi)


def without_pooled(study, label="01"):
    for hemi in "LR":
        study.map_path(label, "main", hemi, "attend", "effect").unlink()


ATTEND = ("main", "attend", "left")


class TestSpelling:
    def test_a_localizer_spelled_otherwise_is_still_circular(self, group_study, output):
        respell(group_study, "task-loc", "task-Loc", kind="*stat-z*")
        assert level(group_study, output) == 0
        assert level(group_study, output, name="group") == 0
        rows = read_tsv(output / "group_statistics.tsv")
        independence = {row["independence"] for row in rows if row["task"].lower() == "loc"}
        assert independence == {"circular"}

    @pytest.mark.parametrize(
        ("old", "new"), [("contrast-left", "contrast-LEFT"), ("task-main", "task-MAIN")]
    )
    def test_participants_spelled_otherwise_are_in_the_same_cell(
        self, group_study, output, old, new
    ):
        respell(group_study, old, new, label="04")
        assert level(group_study, output) == 0
        assert level(group_study, output, name="group") == 0
        rows = read_tsv(output / "group_statistics.tsv")
        assert {row["n"] for row in rows if row["roi"] == "left"} == {"4"}
        assert len({(row["task"], row["contrast"], row["roi"]) for row in rows}) == 6

    def test_the_statistic_as_well(self, study, output):
        assert level(study, output, "--statistic", "EFFECT") == 0
        assert {row["statistic"] for row in estimates(output).values()} == {"effect"}


def test_a_space_that_only_one_participant_has_is_not_used_for_it(group_study, output):
    respell(group_study, "space-fsnative", "space-fsaverage5")
    for path in list(group_study.firstlevel.glob("sub-04/func/*")):
        name = path.name.replace("space-fsaverage5", "space-fsnative")
        path.with_name(name).write_bytes(path.read_bytes())
    assert level(group_study, output) == 0
    assert level(group_study, output, name="group") == 0
    assert {row["space"] for row in read_tsv(output / "group_estimates.tsv")} == {"fsaverage5"}


class TestRuns:
    def test_run_numbers_are_numbers(self, study, output, caplog):
        without_pooled(study)
        for hemi in "LR":
            for run_label, shift in (("10", 8.0), ("2", 2.0), ("01", 2.0)):
                effect(study, hemi, run_label, shift)
        assert level(study, output) == 0
        row = estimates(output)[(*ATTEND, "L")]
        assert (float(row["estimate"]), row["n_runs"]) == (11.5 + 4, "3")
        effect(study, "L", "1", 0.0)
        assert level(study, output) == 64
        assert "run-01" in caplog.text
        assert "run-1_" in caplog.text

    def test_fixed_effects_end_to_end(self, study, output):
        without_pooled(study)
        for hemi in "LR":
            for run_label, shift, variance in (("1", 0.0, 1.0), ("2", 4.0, 3.0)):
                effect(study, hemi, run_label, shift)
                effect(study, hemi, run_label, variance, "variance")
        assert level(study, output) == 0
        row = estimates(output)[(*ATTEND, "both")]
        assert float(row["estimate"]) == pytest.approx(41.0 + (4 / 3) / (1 + 1 / 3))
        assert row["n_runs"] == "2"
        (path,) = output.glob("sub-01/func/*_desc-roi_estimates.json")
        combined = json.loads(path.read_text())["CombinedRuns"]
        assert [(entry["hemi"], entry["n_runs"]) for entry in combined] == [("L", 2), ("R", 2)]
        assert "fixed effects" in combined[0]["Combination"]

    def test_a_localizer_combined_from_runs_says_so(self, study, output):
        for path in list(study.firstlevel.glob("sub-01/func/*task-loc*stat-z*")):
            for run_label in "12":
                name = path.name.replace("_hemi", f"_run-{run_label}_hemi")
                path.with_name(name).write_bytes(path.read_bytes())
            path.unlink()
        assert level(study, output) == 0
        (path,) = output.glob("sub-01/func/*hemi-L*label-left_desc-combined_mask.json")
        sidecar = json.loads(path.read_text())
        assert "Stouffer" in sidecar["Rule"]["LocalizerCombination"]["left"]
        # z grows by the root of 2: 1.96 at vertex 3 passes now.
        assert sidecar["VertexCount"] == 3

    def test_hemispheres_are_weighted_alike(self, study, output):
        without_pooled(study)
        for hemi in "LR":
            for run_label, shift, variance in (("1", 0.0, 1.0), ("2", 4.0, 3.0)):
                effect(study, hemi, run_label, shift)
                if (hemi, run_label) != ("L", "2"):
                    effect(study, hemi, run_label, variance, "variance")
        assert level(study, output) == 0
        rows = estimates(output)
        assert float(rows[(*ATTEND, "L")]["estimate"]) == 11.5 + 2
        assert float(rows[(*ATTEND, "R")]["estimate"]) == 100.0 + 2

    def test_hemispheres_of_different_runs_are_told(self, study, output, caplog):
        without_pooled(study)
        for hemi, runs in (("L", "123"), ("R", "12")):
            for run_label in runs:
                effect(study, hemi, run_label)
        assert level(study, output) == 0
        assert (
            "the two hemispheres have maps of different runs (L: 1, 2, 3; R: 1, 2)" in caplog.text
        )
        rows = estimates(output)
        n_runs = [rows[(*ATTEND, hemi)]["n_runs"] for hemi in ("L", "R", "both")]
        assert n_runs == ["3", "2", "n/a"]
        assert "fewer runs than others of main\n" in caplog.text

    @pytest.mark.parametrize(
        "maps",
        [
            [("L", "1", None), ("L", "2", "smoothed"), ("R", "1", None), ("R", "2", "smoothed")],
            [("L", None, "smoothed"), ("L", "1", None), ("R", "1", None)],
            [("L", None, "smoothed"), ("R", None, None)],
        ],
    )
    def test_smoothed_and_unsmoothed_maps_are_not_mixed(self, study, output, caplog, maps):
        without_pooled(study)
        for hemi, run_label, desc in maps:
            effect(study, hemi, run_label, desc=desc)
        assert level(study, output) == 64
        assert "desc-smoothed" in caplog.text
        assert "--bids-filter-file" in caplog.text


class TestNames:
    @pytest.mark.parametrize("contrast", ["UL_vs_UR", "face-house"])
    def test_a_name_that_is_no_bids_name_is_not_read_in_part(self, study, output, caplog, contrast):
        for hemi in "LR":
            path = study.map_path("01", "main", hemi, "attend", "effect")
            path.rename(path.with_name(path.name.replace("attend", contrast)))
        assert level(study, output) == 0
        assert {key[1] for key in estimates(output)} == {"left", "right"}
        assert f"contrast-{contrast}" in caplog.text

    def test_hemispheres_spelled_out(self, study, output):
        respell(study, "hemi-L", "hemi-left")
        assert level(study, output) == 0
        assert float(estimates(output)[(*ATTEND, "L")]["estimate"]) == 11.5

    @pytest.mark.parametrize("folder", ["nilearn-0.14", "func.feat", "stats", "log", "figures"])
    def test_maps_in_any_folder(self, study, output, folder):
        func = study.firstlevel / "sub-01" / "func"
        func.rename(func.with_name(folder))
        assert level(study, output) == 0

    def test_derivatives_that_are_one_dataset(self, study, output):
        participant = study.firstlevel / "sub-01"
        shutil.move(participant, study.root / "derivatives" / "sub-01")
        assert level(study, output) == 0

    def test_a_loop_of_links(self, study, output):
        func = study.firstlevel / "sub-01" / "func"
        (func / "loop").symlink_to("..")
        assert level(study, output) == 0


class TestRetinotopyFilter:
    def test_it_applies_to_freesurfer_names(self, study, output, tmp_path):
        for path in study.surf("01").glob("*benson14*"):
            target = path.with_name(path.name.replace("benson14", "inferred"))
            target.write_bytes(path.read_bytes())
        filters = tmp_path / "filters.json"
        filters.write_text(json.dumps({"retinotopy": {"desc": "benson14"}}))
        assert level(study, output, "--bids-filter-file", str(filters)) == 0
        (path,) = output.glob("sub-01/func/*_desc-roi_estimates.json")
        assert json.loads(path.read_text())["RetinotopySource"] == "benson14"

    @pytest.mark.parametrize(
        ("filters", "code"),
        [({"localizer": {"desc": {"a": 1}}}, 64), ({"localizer": {"return_type": "x"}}, 18)],
    )
    def test_nonsense_is_an_error(self, study, output, tmp_path, filters, code):
        path = tmp_path / "filters.json"
        path.write_text(json.dumps(filters))
        assert level(study, output, "--bids-filter-file", str(path)) == code

    def test_filters_that_nothing_passes_are_named(self, study, output, tmp_path, capsys):
        path = tmp_path / "filters.json"
        path.write_text(json.dumps({"localizer": {"desc": "smoothed"}}))
        assert level(study, output, "--bids-filter-file", str(path)) == 18
        assert "passes the filter for localizer" in capsys.readouterr().err

    def test_an_incomplete_source_is_named(self, study, output, caplog):
        surf = study.surf("01")
        (surf / "lh.inferred_varea.mgz").write_bytes((surf / "lh.benson14_varea.mgz").read_bytes())
        assert level(study, output) == 0
        assert "Retinotopy inferred is incomplete and not used" in caplog.text

    def test_a_source_that_exists_nowhere_stops_before_writing(self, study, output, capsys):
        assert level(study, output, "--retinotopy-source", "inferred") == 18
        assert "Sources: benson14" in capsys.readouterr().err
        assert not output.exists()


class TestGroupOfRules:
    def test_rois_that_exclude_different_others_are_not_merged(self, group_study, output):
        first = ["--exclusive", "--participant-label", "01", "02", "03"]
        assert level(group_study, output, *first) == 0
        second = ["--exclusive", "--roi-contrasts", "left", "--participant-label", "04"]
        assert level(group_study, output, *second) == 0
        assert level(group_study, output, name="group") == 65

    def test_a_roi_that_excludes_what_the_localizer_shows_is_circular(
        self, study, output, tmp_path
    ):
        config = tmp_path / "config.toml"
        config.write_text(
            '[[roi]]\nname = "rest"\ncontrasts = []\nexclusive = true\n'
            '[[roi]]\nname = "left"\ncontrasts = ["left"]\n'
        )
        assert level(study, output, "--config", str(config)) == 0
        rows = estimates(output)
        assert rows["loc", "left", "rest", "L"]["independence"] == "circular"
        assert rows["main", "attend", "rest", "L"]["independence"] == "independent"

    def test_the_command_line_wins_over_logged_rois(self, study, output, tmp_path):
        config = tmp_path / "config.toml"
        config.write_text(
            '[[roi]]\nname = "a"\ncontrasts = ["left"]\n'
            '[[roi]]\nname = "b"\ncontrasts = ["left"]\neccentricity = [0, 3]\n'
        )
        assert level(study, output, "--config", str(config)) == 0
        logged = str(output / "logs" / "sub-01_settings.toml")
        other = tmp_path / "other"
        assert level(study, other, "--config", logged, "--localizer-threshold", "2.8") == 0
        again = tmp_path / "again"
        options = ["--config", str(config), "--localizer-threshold", "2.8"]
        assert level(study, again, *options) == 0
        assert estimates(other) == estimates(again)

    def test_the_sweep_varies_only_what_a_roi_has(self, study, output, tmp_path):
        config = tmp_path / "config.toml"
        config.write_text(
            'threshold-kind = "top-n"\nlocalizer-threshold = 1\n'
            '[[roi]]\nname = "far"\ncontrasts = ["left"]\neccentricity = [3, 8]\n'
        )
        assert level(study, output, "--config", str(config), "--sweep") == 0
        (path,) = output.glob("sub-01/func/*_desc-sweep_estimates.tsv")
        tried = {(row["varied"], row["value"]) for row in read_tsv(path)}
        assert tried == {("eccentricity", v) for v in ("4.8", "6.4", "8.0", "9.6", "11.2")}


class TestWhoIsProcessed:
    def test_first_participants_without_maps_do_not_cost_the_others(self, group_study, output):
        for label in ("01", "02", "03"):
            shutil.rmtree(group_study.firstlevel / f"sub-{label}")
        assert level(group_study, output) == 1
        assert estimates(output, "04")[(*ATTEND, "L")]["estimate"] == "16.5"
        row = estimates(output, "01")[(*ATTEND, "L")]
        assert (row["status"], row["estimate"]) == ("missing_localizer", "n/a")

    def test_first_participants_without_a_localizer_do_not_cost_the_others(
        self, group_study, output
    ):
        for label in ("01", "02", "03"):
            for path in group_study.firstlevel.glob(f"sub-{label}/func/*task-loc*"):
                path.unlink()
        assert level(group_study, output) == 1
        assert estimates(output, "04")[(*ATTEND, "L")]["estimate"] == "16.5"

    def test_participants_only_in_derivatives_are_named(self, group_study, output, caplog):
        (group_study.root / "sub-04").rmdir()
        assert level(group_study, output) == 0
        assert "not processed: sub-04" in caplog.text
        assert not (output / "sub-04").exists()

    def test_a_session_that_one_participant_lacks_has_rows(self, tmp_path, output, caplog):
        study = make_study(tmp_path / "bids", {"01": 0.0, "02": 1.0})
        for label, sessions in (("01", "ab"), ("02", "a")):
            for path in list(study.firstlevel.glob(f"sub-{label}/func/*stat-effect*")):
                for session in sessions:
                    name = path.name.replace(f"sub-{label}_", f"sub-{label}_ses-{session}_")
                    path.with_name(name).write_bytes(path.read_bytes())
                path.unlink()
        assert level(study, output, "--session-label", "a", "b", "c") == 0
        assert "there are no maps of session c" in caplog.text
        (path,) = output.glob("sub-02/func/*_desc-roi_estimates.tsv")
        statuses = {
            row["session"]: row["status"]
            for row in read_tsv(path)
            if (row["task"], row["roi"], row["hemi"]) == ("main", "left", "L")
        }
        assert statuses == {"a": "ok", "b": "missing_map"}

    def test_links_to_themselves_are_links_to_nothing(self, group_study, output, caplog):
        surf = group_study.surf("02")
        shutil.rmtree(surf)
        for link in (surf, group_study.root / "notes", group_study.firstlevel / "sub-05"):
            link.symlink_to(link.name)
        (group_study.firstlevel / "sub-03" / "notes").symlink_to("notes")
        lost = group_study.map_path("01", "main", "L", "attend", "effect")
        lost.unlink()
        lost.symlink_to(lost.name)
        assert level(group_study, output) == 1
        assert estimates(output, "03")[(*ATTEND, "L")]["status"] == "ok"
        assert estimates(output, "02")[(*ATTEND, "L")]["status"] == "missing_retinotopy"
        assert estimates(output, "01")[(*ATTEND, "L")]["status"] == "missing_map"
        assert f"{lost}: a symbolic link" in caplog.text


class TestEarlierRuns:
    def test_a_failing_run_leaves_no_table_of_an_earlier_one(self, group_study, output, caplog):
        assert level(group_study, output) == 0
        effect(group_study, "L", desc="smoothed", label="02")
        assert level(group_study, output) == 1
        assert "removed, because it is the result of an earlier run" in caplog.text
        assert not list(output.glob("sub-02/func/*_desc-roi_estimates.*"))
        assert level(group_study, output, name="group") == 0
        assert "No results of sub-02" in caplog.text

    @pytest.mark.parametrize(
        "mistake",
        [
            ["--localizer-task", "lok"],
            ["--sweep", "--sweep-thresholds", "nan"],
            ["--retinotopy-source", "inferred"],
            ["--space", "fsaverage"],  # to which nothing can carry them
            ["--threshold-kind", "top-percent"],
            ["--tail", "less", "--localizer-threshold", "-1.96"],
        ],
    )
    def test_a_wrong_option_costs_nothing(self, group_study, output, mistake):
        assert level(group_study, output) == 0
        before = contents(output)
        assert level(group_study, output, *mistake) in (18, 64, 66)
        assert contents(output) == before

    def test_files_of_the_user_and_of_another_space_stay(self, study, output):
        assert level(study, output) == 0
        func = output / "sub-01" / "func"
        users = [
            func / "sub-01_task-main_desc-mynotes_events.tsv",
            func / "sub-01_space-fsnative_label-manual_desc-localizer_mask.nii.gz",
            func / "sub-01_hemi-L_space-fsnative_label-manual_desc-localizer_mask.label.gii",
        ]
        for path in users:
            path.touch()
        for path in list(study.firstlevel.glob("sub-01/func/*")):
            other = path.name.replace("space-fsnative", "space-fsaverage")
            path.with_name(other).write_bytes(path.read_bytes())
        before = contents(output)
        assert level(study, output, "--space", "fsaverage") == 0
        after = contents(output)
        kept = [name for name in before if "fsnative" in name or "mynotes" in name]
        assert len(kept) > 20
        assert all(after[name] == before[name] for name in kept)
        assert level(study, output, "--space", "fsnative", "--roi-contrasts", "left") == 0
        assert all(path.exists() for path in users)
        assert not list(func.glob("*space-fsnative_label-right_*"))

    def test_masks_are_those_of_the_last_run(self, study, output, tmp_path):
        assert level(study, output, "--visual-areas", "V1", "V2", "--sweep") == 0
        options = ["--roi-contrasts", "left", "--localizer-threshold", "3"]
        assert level(study, output, *options) == 0
        assert level(study, tmp_path / "fresh", *options) == 0
        assert contents(output) == contents(tmp_path / "fresh")

    def test_a_dry_run_into_a_closed_pipe_writes_nothing(self, group_study, output):
        finished = subprocess.run(
            f"{COMMAND} {group_study.root} {output} participant --dry-run | head -1",
            shell=True,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.stdout.startswith("participant")
        assert "Traceback" not in finished.stderr
        assert not output.exists()


class TestOutputFolder:
    @pytest.mark.parametrize(
        "inside", [".", "sub-01", "sourcedata", "code", "derivatives", "derivatives/firstlevel"]
    )
    def test_the_input_is_never_written_to(self, study, inside):
        before = contents(study.root)
        assert level(study, study.root / inside) == 64
        assert level(study, study.root / "derivatives" / "firstlevel" / "deeper") == 64
        assert contents(study.root) == before

    def test_a_study_folder_around_the_dataset(self, tmp_path):
        describe(tmp_path, "whole study", "raw")
        study = make_study(tmp_path / "rawdata")
        assert level(study, tmp_path / "derivatives" / "ours") == 0

    def test_links_hold_below_a_linked_folder(self, study, tmp_path):
        scratch = tmp_path / "far" / "away" / "scratch"
        scratch.mkdir(parents=True)
        (tmp_path / "link").symlink_to(scratch)
        output = tmp_path / "link" / "out"
        assert level(study, output) == 0
        links = json.loads((output / "dataset_description.json").read_text())["DatasetLinks"]
        assert all((output / path).is_dir() for path in links.values())

    def test_group_level_keeps_the_links(self, study, output, tmp_path):
        shutil.move(study.root / "derivatives", tmp_path / "elsewhere")
        given = [f"glm={tmp_path}/elsewhere/firstlevel", f"{tmp_path}/elsewhere/freesurfer"]
        assert level(study, output, "-d", *given) == 0
        before = (output / "dataset_description.json").read_bytes()
        assert level(study, output, name="group") == 0
        assert (output / "dataset_description.json").read_bytes() == before


def test_jobs_per_session_meet_at_group_level(tmp_path, output):
    study = make_study(tmp_path / "bids", {"01": 0.0, "02": 1.0})
    for path in list(study.firstlevel.glob("sub-*/func/*task-main*")):
        label = path.name[4:6]
        for session in "ab":
            name = path.name.replace(f"sub-{label}_", f"sub-{label}_ses-{session}_")
            path.with_name(name).write_bytes(path.read_bytes())
        path.unlink()
    for session in "ab":
        assert level(study, output, "--session-label", session, "--task-label", "main") == 0
    assert level(study, output, name="group") == 0
    cells = read_tsv(output / "group_statistics.tsv")
    assert {(row["session"], row["n"]) for row in cells if row["hemi"] == "both"} == {
        ("a", "2"),
        ("b", "2"),
        ("mean(a,b)", "2"),
    }
    assert level(study, output, "--session-label", "b", name="group") == 0
    assert {row["session"] for row in read_tsv(output / "group_estimates.tsv")} == {"b"}


class TestDoubtfulTables:
    @pytest.fixture
    def processed(self, group_study, output):
        assert level(group_study, output) == 0
        return group_study

    def test_a_table_of_another_participant(self, processed, output, caplog):
        shutil.copytree(output / "sub-01", output / "sub-05")
        for path in (output / "sub-05").rglob("*"):
            path.rename(path.with_name(path.name.replace("sub-01", "sub-05")))
        assert level(processed, output, name="group") == 1
        assert "rows of participants other than" in caplog.text

    @pytest.mark.parametrize("damage", ["half", "header", "status"])
    def test_a_damaged_table(self, processed, output, caplog, damage):
        (path,) = output.glob("sub-03/func/*_desc-roi_estimates.tsv")
        lines = path.read_text().splitlines(keepends=True)
        path.write_text(
            {
                "half": "".join(lines[: len(lines) // 2]),
                "header": lines[0],
                "status": "".join(lines).replace("\tok\t", "\tOK\t"),
            }[damage]
        )
        assert level(processed, output, name="group") == 1
        assert "sub-03: " in caplog.text

    def test_no_participant_has_a_number(self, study, output, caplog):
        shutil.rmtree(study.freesurfer)
        assert level(study, output) == 66
        assert level(study, output, name="group") == 66
        assert "sub-01: no retinotopy" in caplog.text


def test_a_traceback_of_a_participant_is_shown_when_asked_for(study, output):
    effect(study, "L", desc="smoothed")
    assert "Traceback" not in run(study.root, output, "participant").stderr
    assert "Traceback" in run(study.root, output, "participant", "-v").stderr


def test_sidecars_are_json_without_infinity(study, output):
    assert level(study, output, "--eccentricity", "0", "inf") == 64
