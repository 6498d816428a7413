"""A participant is processed again where anything changed that the results are made from."""

import hashlib
import json
import os
import pty
import subprocess
import termios

import nibabel as nib
import numpy as np
import pytest
from plans import plan
from study import AREA, COMMAND, contents, fingerprint, make_study, write_gifti, write_mgz

from bids_secondlevel.cli.main import main
from bids_secondlevel.core.files import ParticipantFiles, ParticipantIndex
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.inputs.study import Chosen
from bids_secondlevel.outputs.resume import origin_of

LABELS = ("01", "02", "03", "04")


def level(study, output, *options):
    return main([str(study.root), str(output), "participant", "--n-procs", "1", *options])


@pytest.fixture
def skipped(group_study, output, caplog):
    """Run the participant level; name the participants that were up to date."""

    def run(*options):
        caplog.clear()
        level(group_study, output, "--no-report", *options)
        return [label for label in LABELS if f"sub-{label}: up to date" in caplog.text]

    return run


@pytest.fixture
def processed(group_study, skipped):
    """A study with a surface of participant 04, all of it processed."""
    triangles = np.array([[v, v + 1, v + 2] for v in range(10)])
    coordinates = np.random.default_rng(0).normal(size=(12, 3))
    nib.freesurfer.write_geometry(group_study.surf("04") / "lh.white", coordinates, triangles)
    assert skipped() == []
    return group_study


def later(path):
    """Make a file a second younger."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_nothing_is_done_where_nothing_changed(processed, output, skipped):
    before = fingerprint(output)
    assert skipped() == [*LABELS]
    assert skipped("--participant-label", "02") == ["02"]
    assert skipped("--stop-on-first-crash", "-v") == [*LABELS]
    assert fingerprint(output) == before
    assert level(processed, output, "--no-report") == 0


def test_so_it_is_in_parallel_and_with_pages(group_study, output):
    arguments = [COMMAND, group_study.root, output, "participant", "--n-procs", "2"]
    arguments += ["--participant-label", "01", "02"]
    subprocess.run(arguments, check=True)
    before = fingerprint(output)
    again = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert again.stderr.count("up to date\n") == 2
    assert (
        "2 participants: 0 ready, 2 to check (sub-01, sub-02); 2 of them up to date."
        in again.stderr
    )
    assert fingerprint(output) == before


@pytest.mark.usefixtures("processed")
def test_force_processes_again(skipped):
    assert skipped("--force") == []
    assert skipped() == [*LABELS]


def effect_of(study):
    return study.map_path("04", "main", "L", "attend", "effect")


@pytest.mark.parametrize(
    "path",
    [
        effect_of,
        lambda study: study.map_path("04", "loc", "R", "left", "z"),
        lambda study: study.surf("04") / "rh.benson14_eccen.mgz",
        lambda study: study.surf("04") / "lh.white",
    ],
    ids=["effect", "localizer", "retinotopy", "surface"],
)
def test_a_younger_file_redoes_its_participant(processed, skipped, path):
    later(path(processed))
    assert skipped() == ["01", "02", "03"]
    assert skipped() == [*LABELS]


def test_another_size_redoes_it_even_at_the_same_time(processed, skipped):
    path = effect_of(processed)
    time = path.stat().st_mtime_ns
    write_gifti(path, np.ones(12, "f4"), "L")
    os.utime(path, ns=(time, time))
    assert skipped() == ["01", "02", "03"]


def test_a_file_that_is_added_or_lost_redoes_it(processed, skipped):
    added = processed.surf("04") / "rh.white"
    added.write_bytes((processed.surf("04") / "lh.white").read_bytes())
    assert skipped() == ["01", "02", "03"]
    added.unlink()
    assert skipped() == ["01", "02", "03"]


def test_a_file_that_is_not_used_changes_nothing(processed, skipped):
    later(processed.map_path("04", "loc", "L", "left", "effect"))
    assert skipped("--task-label", "main") == []
    later(processed.map_path("04", "loc", "L", "left", "effect"))
    (effect_of(processed).parent / "notes.txt").write_text("nothing")
    assert skipped("--task-label", "main") == [*LABELS]


def test_a_map_that_takes_the_place_of_another_redoes_it(processed, skipped):
    path = effect_of(processed)
    path.rename(path.with_name(path.name.replace("_hemi", "_run-1_hemi")))
    assert skipped() == ["01", "02", "03"]


@pytest.mark.parametrize(
    "options",
    [
        ["--localizer-threshold", "2.2"],
        ["--eccentricity", "0", "4"],
        ["--summary", "median"],
        ["--sweep"],
        ["--hemi", "L"],
    ],
)
@pytest.mark.usefixtures("processed")
def test_other_settings_redo_everybody(output, skipped, options):
    first = contents(output)
    assert skipped(*options) == []
    assert skipped(*options) == [*LABELS]
    assert skipped() == []
    assert contents(output) == first


def test_pages_are_made_where_they_were_not_asked_for_before(study, output, caplog):
    assert level(study, output, "--no-report") == 0
    assert level(study, output) == 0
    assert "up to date" not in caplog.text
    assert (output / "sub-01.html").exists()
    assert level(study, output, "--reports-only") == 0
    assert level(study, output) == 0
    assert "sub-01: up to date" in caplog.text


@pytest.mark.usefixtures("processed")
def test_another_version_redoes_everybody(output, skipped):
    for path in (output / "logs").glob("sub-*_run.json"):
        record = json.loads(path.read_text())
        record["SoftwareVersion"] = "0.0.1"
        path.write_text(json.dumps(record))
    assert skipped() == []


@pytest.mark.parametrize(
    "pattern",
    [
        "sub-02/func/*desc-roi_estimates.tsv",
        "sub-02/func/*desc-roi_estimates.json",
        "sub-02/func/*hemi-R*label-left_desc-combined_mask.label.gii",
        "sub-02/anat/*hemi-L*dseg.label.gii",
        "logs/sub-02_run.json",
        "logs/sub-02_report.json",
    ],
)
@pytest.mark.parametrize("damage", ["lost", "changed"])
@pytest.mark.usefixtures("processed")
def test_a_result_that_is_lost_or_changed_is_made_again(output, skipped, pattern, damage):
    first = contents(output)
    (path,) = output.glob(pattern)
    content = path.read_bytes()
    path.unlink()
    if damage == "changed":  # at the same length
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert skipped() == ["01", "03", "04"]
    assert contents(output) == first


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"Results": []}', "[" * 100_000, "\xff"])
@pytest.mark.usefixtures("processed")
def test_a_damaged_record_is_none(output, skipped, content):
    path = output / "logs" / "sub-02_run.json"
    path.write_text(content, encoding="latin-1")
    assert skipped() == ["01", "03", "04"]
    assert skipped() == [*LABELS]


def test_a_failure_is_told_again(processed, output, skipped, caplog):
    effect_of(processed).write_bytes(b"rubbish")
    for _ in range(2):
        assert skipped() == ["01", "02", "03"]
        assert "sub-04: " in caplog.text
        assert "cannot be read" in caplog.text
    assert not (output / "logs" / "sub-04_run.json").exists()


@pytest.mark.usefixtures("processed")
def test_a_run_that_was_begun_with_other_settings_does_not_pass(output, skipped):
    """It stops at the first mask: the record of the run before has to be gone by then."""
    first = contents(output)
    (path,) = output.glob("sub-03/func/*hemi-L*label-left_desc-combined_mask.label.gii")
    folder = path.parent / f"{path.stem}.d"
    folder.mkdir()  # a file cannot take the place of a folder that is not empty
    (folder / "file").touch()
    path.unlink()
    folder.rename(path)
    assert skipped("--localizer-threshold", "2.2", "--participant-label", "03") == []
    (path / "file").unlink()
    path.rmdir()
    path.write_bytes(first[str(path.relative_to(output))])
    assert skipped() == ["01", "02", "04"]
    assert contents(output).keys() == first.keys()


def test_a_dry_run_says_who_is_up_to_date(processed, skipped, caplog):
    later(effect_of(processed))
    skipped("--dry-run")
    for label in LABELS:
        told = f"sub-{label}: dry run, nothing written; up to date" in caplog.text
        assert told is (label != "04")


def test_sessions_and_spaces_have_records_of_their_own(tmp_path, output, caplog):
    study = make_study(tmp_path / "bids")
    for path in list(study.firstlevel.glob("sub-01/func/*task-main*")):
        for session in ("a", "b"):
            name = path.name.replace("sub-01_", f"sub-01_ses-{session}_")
            path.with_name(name).write_bytes(path.read_bytes())
        path.unlink()
    runs = [["--session-label", "a"], ["--session-label", "b"], []]
    for options in runs:
        assert level(study, output, "--no-report", *options) == 0
    assert "up to date" not in caplog.text
    for options in runs:
        caplog.clear()
        assert level(study, output, "--no-report", *options) == 0
        assert "sub-01: up to date" in caplog.text


class TestProgress:
    def arguments(self, study, output):
        return [COMMAND, study.root, output, "participant", "--no-report", "--n-procs", "1"]

    def test_there_is_a_bar_on_a_terminal(self, group_study, output):
        ours, its = pty.openpty()
        termios.tcsetwinsize(its, (24, 80))
        with subprocess.Popen(self.arguments(group_study, output), stderr=its) as process:
            os.close(its)
            shown = b""
            while True:
                try:
                    shown += os.read(ours, 4096)
                except OSError:  # the other end is closed
                    break
        os.close(ours)
        assert process.returncode == 0
        assert b"4/4" in shown
        assert b"INFO: [4/4] sub-04: 2 of 2 ROIs with vertices" in shown

    def test_there_are_plain_lines_elsewhere(self, group_study, output):
        arguments = self.arguments(group_study, output)
        told = subprocess.run(arguments, check=True, capture_output=True, text=True).stderr
        assert all(line.startswith(("INFO: ", "WARNING: ")) for line in told.splitlines())
        assert "\r" not in told


def test_a_link_to_another_file_of_the_same_size_and_time_redoes_it(processed, skipped):
    path = effect_of(processed)
    one, other = path.with_name("one"), path.with_name("other")
    path.rename(one)
    other.write_bytes(one.read_bytes())
    os.utime(other, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))
    path.symlink_to(one)
    assert skipped() == ["01", "02", "03"]
    path.unlink()
    path.symlink_to(other)
    assert skipped() == ["01", "02", "03"]
    assert skipped() == [*LABELS]


@pytest.mark.usefixtures("processed")
def test_options_of_the_group_level_redo_nobody(skipped, tmp_path):
    config = tmp_path / "both_levels.toml"
    config.write_text("n-permutations = 100\nmin-coverage = 0.25\n")
    assert skipped("--config", str(config)) == [*LABELS]


@pytest.mark.usefixtures("processed")
def test_a_record_that_does_not_name_the_results_redoes_it(output, skipped, tmp_path):
    record = output / "logs" / "sub-04_run.json"
    right = json.loads(record.read_text())
    (table,) = output.glob("sub-04/func/*_desc-roi_estimates.tsv")
    lost = dict(right["Results"])
    del lost[table.relative_to(output).as_posix()]
    table.unlink()
    record.write_text(json.dumps({**right, "Results": lost}))
    assert skipped() == ["01", "02", "03"]
    assert table.exists()
    elsewhere = tmp_path / "x_desc-roi_estimates.tsv"
    elsewhere.write_bytes(b"")
    digest = hashlib.sha256(b"").hexdigest()
    record.write_text(json.dumps({**right, "Results": {str(elsewhere): digest}}))
    assert skipped() == ["01", "02", "03"]


def test_surfaces_of_templates_redo_who_may_be_drawn_on_them(study, output, tmp_path, monkeypatch):
    home = tmp_path / "templateflow"
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(home))
    surface = home / "tpl-fsaverage" / "tpl-fsaverage_hemi-L_den-41k_sphere.surf.gii"
    in_template = plan(space="fsaverage6", maps_space="fsaverage6")
    chosen = Chosen(
        index=ParticipantIndex(label="01"),
        plan=in_template,
        files=ParticipantFiles(
            label="01", retinotopy_source=None, retinotopy={}, localizers={}, contrasts=()
        ),
    )
    settings = Settings(bids_dir=study.root, output_dir=output, analysis_level="participant")

    def origin():
        return origin_of(chosen, settings)

    nothing = origin()
    surface.parent.mkdir(parents=True)
    surface.touch()  # as TemplateFlow has files that have not been fetched
    assert origin() == nothing
    surface.write_text("a sphere")
    fetched = origin()
    assert fetched != nothing
    later(surface)
    assert origin() != fetched


def test_another_table_of_names_beside_a_map_redoes_it(study, output, caplog):
    surf = study.surf("01")
    for side, hemi in (("lh", "L"), ("rh", "R")):
        write_mgz(surf / f"{side}.areas.mgz", AREA[hemi], "i4")
        (surf / f"{side}.areas.mgz.ctab").write_text(
            "0 none 0 0 0 0\n1 first 9 0 0 0\n2 b 1 1 1 0\n"
        )
    arguments = ("--no-report", "--visual-areas", "areas.mgz:first")
    told = []
    for names in ("first 9", "first 9", "other 9"):
        for table in surf.glob("*.ctab"):
            if names not in table.read_text():
                table.write_text(
                    table.read_text().replace("first 9", names).replace("2 b", "2 first")
                )
                later(table)
        caplog.clear()
        assert level(study, output, *arguments) == 0
        told.append("up to date" in caplog.text)
    assert told == [False, True, False]
