"""The participant level, run as a user does, on files with known answers."""

import json
import shutil
import subprocess
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from bids import BIDSLayout
from study import (
    COMMAND,
    EFFECT,
    contents,
    cut_short,
    estimates,
    fingerprint,
    make_study,
    read_tsv,
    run,
    write_gifti,
    write_mgz,
)

from bids_secondlevel.cli.main import main
from bids_secondlevel.outputs.results import read_participants
from bids_secondlevel.reports.participant_page import participant_page


def level(study, output, *options):
    return main(
        [str(study.root), str(output), "participant", "--n-procs", "1", "--no-report", *options]
    )


def mask(output, name, label="01"):
    (path,) = output.glob(f"sub-{label}/func/{name}_mask.label.gii")
    return np.flatnonzero(nib.load(path).darrays[0].data).tolist()


def test_masks_and_estimates_are_the_planted_ones(study, output):
    finished = run(study.root, output, "participant")
    assert (finished.returncode, finished.stdout) == (0, "")

    assert mask(output, "sub-01_hemi-L_space-fsnative_label-V1_desc-retinotopy") == [1, 2, 3]
    assert mask(output, "sub-01_hemi-R_space-fsnative_label-V1_desc-retinotopy") == [0, 2]
    localizer = "sub-01_task-loc_hemi-{}_space-fsnative_label-{}_desc-localizer"
    assert mask(output, localizer.format("L", "left")) == [0, 1, 2, 4, 5, 7]
    assert mask(output, localizer.format("R", "right")) == [0, 2, 9]
    combined = "sub-01_task-loc_hemi-{}_space-fsnative_label-{}_desc-combined"
    assert mask(output, combined.format("L", "left")) == [1, 2]
    assert mask(output, combined.format("R", "left")) == [0]
    assert mask(output, combined.format("L", "right")) == []
    assert mask(output, combined.format("R", "right")) == [0, 2]

    rows = estimates(output)
    assert len(rows) == 3 * 2 * 3  # contrasts x ROIs x hemispheres
    attend_left = [rows["main", "attend", "left", hemi] for hemi in ("L", "R", "both")]
    assert [row["estimate"] for row in attend_left] == ["11.5", "100.0", "41.0"]
    assert [row["n_vertices"] for row in attend_left] == ["2", "1", "3"]
    empty = rows["main", "attend", "right", "L"]
    assert (empty["estimate"], empty["n_vertices"], empty["n_finite"]) == ("n/a", "0", "0")
    assert (empty["status"], empty["coverage"]) == ("empty_roi", "n/a")
    assert rows["main", "attend", "right", "both"]["estimate"] == "101.0"
    # The localizer measured in its own ROI: z / 2 at vertices 1, 2 (L) and 0 (R).
    assert rows["loc", "left", "left", "both"]["estimate"] == "1.25"
    assert rows["loc", "left", "left", "both"]["independence"] == "circular"
    assert rows["main", "attend", "left", "both"]["independence"] == "independent"


def test_sidecars_say_where_it_comes_from(study, output):
    assert level(study, output) == 0
    (path,) = output.glob("sub-01/func/*hemi-L*label-left_desc-combined_mask.json")
    sidecar = json.loads(path.read_text())
    assert sidecar["Type"] == "ROI"
    assert sidecar["VertexCount"] == 2
    assert sidecar["Rule"]["LocalizerZGreaterThan"] == 1.96
    links = json.loads((output / "dataset_description.json").read_text())["DatasetLinks"]
    for uri in sidecar["Sources"]:
        scheme, name, inside = uri.split(":")
        assert scheme == "bids"
        assert (output / links[name] / inside).is_file()
    (table,) = output.glob("sub-01/func/*_desc-roi_estimates.tsv")
    described = json.loads(table.with_suffix(".json").read_text())
    assert set(read_tsv(table)[0]) <= set(described)
    for column in read_tsv(table)[0]:
        where = described["EntityColumns"] if column == "space" else described
        assert where[column]["Description"]
    assert described["space"] == "fsnative"  # anything else, and pybids refuses the dataset


def test_input_is_untouched_and_a_second_run_gives_the_same_bytes(study, output, tmp_path):
    before = fingerprint(study.root)
    assert level(study, output) == 0
    first = contents(output)
    assert level(study, output) == 0
    assert contents(output) == first
    assert level(study, tmp_path / "other") == 0
    assert contents(tmp_path / "other") == first
    assert fingerprint(study.root) == before


def test_participants_in_parallel_give_the_same_bytes(group_study, output, tmp_path):
    assert run(group_study.root, output, "participant", "--n-procs", 2).returncode == 0
    other = tmp_path / "other"
    assert main([str(group_study.root), str(other), "participant", "--n-procs", "1"]) == 0
    assert contents(other) == contents(output)  # the pages among them


def test_jobs_per_participant_give_the_same_bytes_as_one_for_all(group_study, output, tmp_path):
    group_study.map_path("01", "loc", "L", "left", "z").unlink()
    for hemi in ("L", "R"):
        group_study.map_path("02", "loc", hemi, "left", "z").unlink()
        group_study.map_path("03", "main", hemi, "attend", "effect").unlink()
    assert level(group_study, output) == 1
    for label, code in {"01": 66, "02": 66, "03": 0, "04": 0}.items():
        assert level(group_study, tmp_path / "other", "--participant-label", label) == code
    of_all, of_jobs = contents(output), contents(tmp_path / "other")
    assert of_jobs.keys() == of_all.keys()
    for name, content in of_all.items():
        is_of_participant = name.startswith("logs/sub-")  # says who was asked for
        assert is_of_participant or of_jobs[name] == content


def test_two_processes_start_in_the_same_new_folder(group_study, output):
    labels = ["01", "02", "03", "04"]
    options = ["participant", "--no-report"]
    processes = [
        subprocess.Popen(
            [COMMAND, group_study.root, output, *options, "--participant-label", label],
            stderr=subprocess.PIPE,
        )
        for label in labels
    ]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    for process in processes:
        process.stderr.close()
    for label in labels:
        assert len(estimates(output, label)) == 18
    assert [path.name for path in output.rglob(".*")] == [".bidsignore"]
    json.loads((output / "dataset_description.json").read_text())


def test_output_is_valid_bids_and_pybids_finds_the_masks(study, output):
    assert level(study, output) == 0
    assert main([str(study.root), str(output), "group"]) == 0
    validator = COMMAND.parent / "bids-validator-deno"
    finished = subprocess.run(
        [validator, output, "--format", "json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(finished.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert finished.returncode == 0
    layout = BIDSLayout(output, is_derivative=True, validate=False)
    found = layout.get(
        suffix="mask", label="left", hemi="L", desc="combined", extension=".label.gii"
    )
    names = [file.filename for file in found]
    layout.session.close()
    layout.connection_manager.engine.dispose()
    assert names == [
        "sub-01_task-loc_hemi-L_space-fsnative_label-left_desc-combined_mask.label.gii"
    ]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_stored_z_of_exactly_the_threshold_is_out(study, output, dtype):
    z = np.array([1.96] * 12, dtype)
    z[2] = np.nextafter(z[2], np.array(9, dtype), dtype=dtype)
    write_gifti(study.map_path("01", "loc", "L", "left", "z"), z, "L", dtype)
    assert level(study, output) == 0
    assert mask(output, "sub-01_task-loc_hemi-L_space-fsnative_label-left_desc-combined") == [2]


@pytest.mark.parametrize("extension", [".shape.gii", ".gii", ".mgz", ".mgh"])
def test_every_format_of_maps_gives_the_same_numbers(study, output, tmp_path, extension):
    assert level(study, output) == 0
    for path in list(study.firstlevel.rglob("*.func.gii")):
        values = nib.load(path).darrays[0].data
        target = path.with_name(path.name.replace(".func.gii", extension))
        path.unlink()
        if "gii" in extension:
            write_gifti(target, values)
        else:
            write_mgz(target, values)
    assert level(study, tmp_path / "other") == 0
    assert estimates(tmp_path / "other") == estimates(output)


def test_nan_in_an_roi_is_left_out_and_counted(study, output):
    effect = np.array(EFFECT["L"])
    effect[1] = np.nan
    write_gifti(study.map_path("01", "main", "L", "attend", "effect"), effect, "L")
    assert level(study, output) == 0
    row = estimates(output)["main", "attend", "left", "L"]
    assert (row["estimate"], row["n_vertices"], row["n_finite"]) == ("12.0", "2", "1")
    assert row["coverage"] == "0.5"


def test_a_contrast_that_was_never_recorded_is_a_row_and_a_message(group_study, output, caplog):
    for hemi in ("L", "R"):
        group_study.map_path("02", "main", hemi, "attend", "effect").unlink()
    assert level(group_study, output) == 0
    rows = estimates(output, "02")
    assert len(rows) == 18
    row = rows["main", "attend", "left", "both"]
    assert (row["status"], row["estimate"], row["n_vertices"]) == ("missing_map", "n/a", "3")
    assert "sub-02: task main, contrast attend: no map found" in caplog.text


def test_a_contrast_asked_for_that_exists_nowhere_is_a_row(study, output, caplog):
    assert level(study, output, "--task-label", "main", "--contrasts", "attend", "ignore") == 0
    rows = estimates(output)
    assert {key[1] for key in rows} == {"attend", "ignore"}
    assert rows["main", "ignore", "left", "L"]["status"] == "missing_map"
    assert "no maps of ignore" in caplog.text


def test_half_a_pair_of_hemispheres_is_a_failure_that_keeps_the_other_half(study, output, caplog):
    study.map_path("01", "main", "R", "attend", "effect").unlink()
    assert level(study, output) == 66
    rows = estimates(output)
    assert rows["main", "attend", "left", "L"]["estimate"] == "11.5"
    assert rows["main", "attend", "left", "R"]["status"] == "missing_map"
    assert rows["main", "attend", "left", "both"]["estimate"] == "n/a"
    assert "the map of hemisphere R is missing; only" in caplog.text


def test_one_participant_that_fails_does_not_cost_the_others(group_study, output, caplog):
    cut_short(group_study.map_path("03", "main", "L", "attend", "effect"))
    assert level(group_study, output) == 1
    assert "attend_stat-effect_statmap.func.gii: cannot be read" in caplog.text
    failed = estimates(output, "03")
    assert failed["main", "attend", "left", "L"]["status"] == "unreadable_map"
    assert failed["main", "attend", "left", "both"]["status"] == "unreadable_map"
    assert failed["main", "attend", "left", "R"]["estimate"] == "102.0"
    assert estimates(output, "04")["main", "attend", "left", "L"]["estimate"] == "16.5"


def test_stop_on_first_crash(group_study, output):
    for label in ("01", "02"):
        cut_short(group_study.map_path(label, "main", "L", "attend", "effect"))
    assert level(group_study, output, "--stop-on-first-crash") == 65
    assert not (output / "sub-04").exists()


def test_stop_on_first_crash_with_several_processes_is_quiet(group_study, output):
    cut_short(group_study.map_path("01", "main", "L", "attend", "effect"))
    options = ["--stop-on-first-crash", "--n-procs", 2, "--no-report"]
    finished = run(group_study.root, output, "participant", *options)
    assert finished.returncode == 65
    assert "UserWarning" not in finished.stderr


@pytest.mark.parametrize("suffix", ["varea", "eccen"])
def test_cut_retinotopy_is_named(study, output, caplog, suffix):
    path = study.surf("01") / f"lh.benson14_{suffix}.mgz"
    path.write_bytes(path.read_bytes()[:-20])
    assert level(study, output) == 65
    assert f"lh.benson14_{suffix}.mgz: cannot be read" in caplog.text
    rows = estimates(output)
    assert rows["main", "attend", "left", "L"]["status"] == "unreadable_retinotopy"
    assert rows["main", "attend", "left", "R"]["estimate"] == "100.0"


def test_retinotopy_and_map_of_different_length_name_both(study, output, caplog):
    path = study.map_path("01", "main", "L", "attend", "effect")
    write_gifti(path, np.ones(11), "L")
    assert level(study, output) == 65
    assert f"{path} has 11 vertices" in caplog.text
    assert f"{study.surf('01') / 'lh.benson14_varea.mgz'} has 12" in caplog.text
    assert estimates(output)["main", "attend", "left", "L"]["status"] == "vertex_mismatch"


def test_hemispheres_of_different_participants_are_not_mixed(group_study, output, caplog):
    # On a native surface the other participant has another number of vertices.
    path = group_study.map_path("02", "loc", "R", "left", "z")
    write_gifti(path, np.full(13, 9.0), "R")
    assert level(group_study, output, "--participant-label", "02") == 65
    assert "13 vertices" in caplog.text
    assert estimates(output, "02")["main", "attend", "left", "both"]["status"] == "vertex_mismatch"


def test_swapped_hemispheres_are_refused(study, output, caplog):
    left, right = (study.map_path("01", "main", hemi, "attend", "effect") for hemi in "LR")
    content = left.read_bytes()
    left.write_bytes(right.read_bytes())
    right.write_bytes(content)
    assert level(study, output) == 65
    assert "AnatomicalStructurePrimary 'CortexRight'" in caplog.text


def test_a_file_of_another_participant_is_not_used(group_study, output, caplog):
    path = group_study.map_path("02", "main", "R", "attend", "effect")
    foreign = path.with_name(path.name.replace("sub-02", "sub-03"))
    path.rename(foreign)
    assert level(group_study, output, "--participant-label", "02") == 65
    assert f"{foreign}: is in a folder of sub-02" in caplog.text
    assert estimates(output, "02")["main", "attend", "left", "R"]["status"] == "missing_map"


def test_no_retinotopy_gives_rows_without_numbers(group_study, output, caplog):
    shutil.rmtree(group_study.freesurfer / "sub-02")
    assert level(group_study, output) == 1
    rows = estimates(output, "02")
    assert {row["status"] for row in rows.values()} == {"missing_retinotopy"}
    assert "sub-02: no retinotopy found" in caplog.text


def test_no_localizer_for_one_participant_gives_rows_even_when_run_alone(group_study, output):
    for path in group_study.firstlevel.glob("sub-02/func/*task-loc*"):
        path.unlink()
    assert level(group_study, output, "--participant-label", "02") == 66
    rows = estimates(output, "02")
    assert rows["main", "attend", "left", "both"]["status"] == "missing_localizer"
    assert {roi for _, _, roi, _ in rows} == {"left", "right"}


def test_unfetched_content_says_how_to_get_it(study, output, caplog):
    path = study.map_path("01", "main", "L", "attend", "effect")
    path.unlink()
    path.symlink_to("../../../.git/annex/objects/a/b/MD5E-s5--1.func.gii")
    assert level(study, output) == 66
    assert f"datalad get {path}" in caplog.text


def test_linked_content_is_read_and_named_by_its_link(study, output, tmp_path):
    path = study.map_path("01", "main", "L", "attend", "effect")
    annexed = tmp_path / "annex" / "MD5E-s5--1"
    annexed.parent.mkdir()
    path.rename(annexed)
    path.symlink_to(annexed)
    assert level(study, output) == 0
    (table,) = output.glob("sub-01/func/*_desc-roi_estimates.json")
    sources = json.loads(table.read_text())["Sources"]
    assert f"bids:firstlevel:sub-01/func/{path.name}" in sources
    assert "annex" not in table.read_text()


def test_threshold_areas_and_eccentricity_change_the_roi(study, output):
    options = ["--localizer-threshold", "-1", "--visual-areas", "V1", "V2"]
    assert level(study, output, *options, "--eccentricity", "0.1", "7") == 0
    name = "sub-01_hemi-L_space-fsnative_label-V1V2_desc-retinotopy"
    assert mask(output, name) == [2, 3, 4, 5]
    combined = "sub-01_task-loc_hemi-L_space-fsnative_label-right_desc-combined"
    assert mask(output, combined) == [3, 4, 5]


def test_roi_contrasts_and_labels_match_whatever_their_case(study, output):
    options = ["--roi-contrasts", "LEFT", "--contrasts", "Attend", "--localizer-task", "LOC"]
    assert level(study, output, *options) == 0
    assert set(estimates(output)) == {("main", "attend", "left", h) for h in ("L", "R", "both")}


def test_another_statistic_is_measured(study, output):
    assert level(study, output, "--statistic", "z", "--task-label", "loc") == 0
    row = estimates(output)["loc", "left", "left", "L"]
    assert (row["estimate"], row["statistic"]) == ("2.75", "z")


def test_settings_as_run_give_the_same_bytes(study, output, tmp_path):
    options = ["--localizer-threshold", "2.4", "--eccentricity", "0", "4", "-d"]
    given = [str(study.firstlevel), f"ret={study.freesurfer}"]
    assert level(study, output, *options, *given) == 0
    other = tmp_path / "other"
    config = output / "logs" / "sub-01_settings.toml"
    again = [str(study.root), str(other), "participant", "--no-report", "--config", str(config)]
    assert main(again) == 0
    assert contents(other) == contents(output)


def test_output_below_the_dataset_is_not_taken_for_input(study):
    output = study.root / "derivatives" / "bids_secondlevel"
    assert level(study, output) == 0
    first = contents(output)
    assert level(study, output) == 0
    assert contents(output) == first


def test_an_output_that_is_a_file(study, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert level(study, tmp_path / "file") == 73
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err


class TestDryRun:
    def test_it_names_every_file_and_writes_nothing(self, study, output):
        finished = run(study.root, output, "participant", "--dry-run", "-v")
        assert finished.returncode == 0
        assert not output.exists()
        used = [*study.firstlevel.rglob("*.gii"), *study.freesurfer.rglob("*.mgz")]
        for path in used:
            if "stat-effect" in path.name or "stat-z" in path.name or "varea" in path.name:
                assert path.name in finished.stdout
        assert "expected rows: 18" in finished.stdout
        assert f"bids:firstlevel:  is {study.firstlevel}" in finished.stdout

    @pytest.mark.parametrize(
        "damage", ["nothing", "a hemisphere", "retinotopy", "localizer", "unfetched", "all maps"]
    )
    def test_its_exit_code_is_that_of_the_run(self, group_study, output, damage):
        study, hemispheres = group_study, ("L", "R")
        paths = {
            "nothing": [],
            "a hemisphere": [study.map_path("02", "main", "R", "attend", "effect")],
            "retinotopy": [study.surf("02") / "lh.benson14_eccen.mgz"],
            "localizer": [study.map_path("02", "loc", h, "left", "z") for h in hemispheres],
            "unfetched": [study.map_path("02", "loc", "L", "right", "z")],
            "all maps": list(study.firstlevel.glob("sub-02/func/*")),
        }[damage]
        for path in paths:
            path.unlink()
            if damage == "unfetched":
                path.symlink_to("../nowhere")
        for labels in (["02"], ["01", "02"]):
            options = ["--participant-label", *labels]
            foreseen = level(study, output, *options, "--dry-run")
            assert not output.exists()
            assert level(study, output, *options) == foreseen
            assert (foreseen == 0) == (damage == "nothing")
            shutil.rmtree(output)


def test_sessions_are_measured_apart(tmp_path, output):
    study = make_study(tmp_path / "bids")
    for session, shift in (("a", 0.0), ("b", 4.0)):
        for hemi in ("L", "R"):
            path = study.map_path("01", "main", hemi, "attend", "effect")
            name = path.name.replace("sub-01_", f"sub-01_ses-{session}_")
            target = study.firstlevel / "sub-01" / f"ses-{session}" / "func" / name
            write_gifti(target, np.array(EFFECT[hemi]) + shift, hemi)
    for path in study.firstlevel.glob("sub-01/func/*task-main*"):
        path.unlink()
    assert level(study, output) == 0
    (path,) = output.glob("sub-01/func/*_desc-roi_estimates.tsv")
    by_session = {
        row["session"]: row["estimate"]
        for row in read_tsv(path)
        if (row["task"], row["roi"], row["hemi"]) == ("main", "left", "L")
    }
    assert by_session == {"a": "11.5", "b": "15.5"}
    assert level(study, output, "--session-label", "ses-b") == 0
    (path,) = output.glob("sub-01/ses-b/func/sub-01_ses-b_*desc-roi_estimates.tsv")
    assert {row["session"] for row in read_tsv(path)} == {"b"}
    assert len(list(output.glob("sub-01/ses-b/func/sub-01_ses-b_*combined_mask.label.gii"))) == 4


def test_a_run_ends_with_who_is_ready_and_who_is_not(group_study, output, caplog):
    group_study.map_path("02", "loc", "L", "right", "z").write_bytes(b"damaged")
    for hemi in ("L", "R"):
        for contrast in ("left", "right"):
            group_study.map_path("03", "loc", hemi, contrast, "effect").unlink()
    assert level(group_study, output) == 1
    *_, summary = [record.getMessage() for record in caplog.records]
    assert summary == (
        "4 participants: 0 ready, 3 to check (sub-01, sub-03, sub-04), 1 failed (sub-02)."
    )
    shared = "sub-01, sub-03, sub-04: few vertices in left (3), right (2)"
    assert caplog.text.count(shared) == 1
    assert "sub-03: task loc, contrasts left, right: no map found" in caplog.text
    page = (output / "logs" / "sub-01_report.json").read_text()
    assert "few vertices in left (3), right (2)" in page
    ((_, results),) = read_participants("01", output).items()
    first, *_ = participant_page(results).sections  # what to look at first
    assert first.notes[0] == "Few vertices in left (3), right (2)."
    assert [badge.verdict for badge in first.badges] == ["check"]
    assert participant_page(replace(results, reasons=(), messages=())).sections[0].notes == ()
    caplog.clear()
    assert level(group_study, output) == 1  # what is up to date is judged as before
    *_, summary = [record.getMessage() for record in caplog.records]
    assert summary.startswith(
        "4 participants: 0 ready, 3 to check (sub-01, sub-03, sub-04), 1 fail"
    )
    assert "; 3 of them up to date." in summary


def test_a_localizer_without_maps_is_one_error(group_study, output, caplog):
    for path in group_study.firstlevel.glob("sub-02/func/*task-loc*stat-z*"):
        path.unlink()
    assert level(group_study, output) == 1
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told == [
        "sub-02: localizer contrasts left, right: no z map found. Their ROIs cannot be defined."
    ]


def test_a_participant_without_the_localizer_is_one_error(group_study, output, caplog):
    for path in group_study.firstlevel.glob("sub-02/func/*task-loc*"):
        path.unlink()
    assert level(group_study, output) == 1
    told = [text for r in caplog.records if "sub-02: " in (text := r.getMessage())]
    assert [text for text in told if "found" in text] == [
        "sub-02: localizer contrasts left, right: no z map found. Their ROIs cannot be defined."
    ]
