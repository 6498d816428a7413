"""Many programs write into one folder, and others read what they write."""

import csv
import signal
import subprocess
import sys
import threading
import time

import pytest
from study import COMMAND, contents, make_study

from bids_secondlevel.cli.main import main
from bids_secondlevel.outputs.names import find_estimates
from bids_secondlevel.outputs.participant_tables import read_tables

NUMBERS = ("participant", "--no-report", "--n-procs", "1")


def start(*arguments):
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def level(study, output, *options):
    """Run in this process, undisturbed."""
    return main([str(study.root), str(output), *options])


def all_succeed(programs):
    for program in programs:
        _, told = program.communicate(timeout=1200)
        assert program.returncode == 0, told


def without_settings(folder):
    """What is written, but for the settings, which name the participants that were asked for.

    The record of a run has a checksum of them.
    """
    endings = ("_settings.toml", "_run.json")
    return {name: c for name, c in contents(folder).items() if not name.endswith(endings)}


@pytest.mark.parametrize("n", [3, pytest.param(32, marks=pytest.mark.slow)])
def test_a_job_for_each_participant_into_the_same_folder(n, tmp_path):
    study = make_study(tmp_path / "bids", {f"{i:02}": float(i) for i in range(n)})
    output, alone = tmp_path / "out", tmp_path / "alone"
    jobs = [start(study.root, output, *NUMBERS, "--participant-label", x) for x in study.offsets]
    all_succeed(jobs)
    assert level(study, alone, *NUMBERS) == 0
    assert without_settings(output) == without_settings(alone)
    assert level(study, output, "group", "--no-report") == 0
    with (output / "group_estimates.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["participant_id"] for row in rows} == {f"sub-{x}" for x in study.offsets}


def test_several_jobs_for_the_same_participant(study, tmp_path):
    output, alone = tmp_path / "out", tmp_path / "alone"
    all_succeed([start(study.root, output, *NUMBERS) for _ in range(2)])
    assert level(study, alone, *NUMBERS) == 0
    assert contents(output) == contents(alone)


WRITER = """
import sys
from bids_secondlevel.cli.main import main
study, output, times = sys.argv[1:]
for n in range(int(times)):
    options = ["--localizer-threshold", str(1 + n % 2), "--participant-label", "01"]
    code = main([study, output, "participant", "--no-report", "--n-procs", "1", *options])
    assert code == 0, code
"""


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process")
def test_another_run_of_a_participant_while_its_pages_are_drawn(study, tmp_path):
    """The results of the other settings must not pass for those of the run that ends last."""
    output, other = tmp_path / "out", ["--localizer-threshold", "2.4"]
    options = ["participant", "--n-procs", "1"]
    first = start(study.root, output, *options)
    try:
        while not list(output.glob("sub-01/func/*_desc-roi_estimates.tsv")):
            assert first.poll() is None
            time.sleep(0.002)
        first.send_signal(signal.SIGSTOP)
        assert first.poll() is None
        assert level(study, output, *options, "--no-report", *other) == 0
    finally:
        first.send_signal(signal.SIGCONT)
    all_succeed([first])
    assert level(study, output, *options, "--no-report") == 0
    alone = tmp_path / "alone"
    assert level(study, alone, *options, "--no-report") == 0
    assert contents(output / "sub-01" / "func") == contents(alone / "sub-01" / "func")


def test_a_group_level_that_reads_while_a_participant_is_written(tmp_path):
    """It takes a table only with the sidecars and the table of quality of the same run."""
    study = make_study(tmp_path / "bids", {"01": 0.0, "02": 1.0})
    output = tmp_path / "out"
    assert level(study, output, *NUMBERS, "--localizer-threshold", "1") == 0
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, study.root, output, "4"],
        stderr=subprocess.PIPE,
        text=True,
    )
    told = []
    reading = threading.Thread(target=lambda: told.append(writer.communicate()[1]))
    reading.start()
    seen = set()
    while writer.poll() is None:
        found = find_estimates(output)
        tables = read_tables(found)  # those being written just now are told of
        for number, (path, definition) in enumerate(tables.definitions.items()):
            if not path.name.startswith("sub-01_"):
                continue
            (threshold,) = {roi.rule.localizer_threshold for roi in definition.rois}
            row = tables.estimates.loc[number].query("task == 'main' and roi == 'left'")
            quality = tables.quality.loc[number].query("roi == 'left'")
            (n,) = row.query("hemi == 'L'")["n_vertices"]
            (described,) = quality.query("hemi == 'L'")["n_vertices"]
            seen.add((threshold, n, described))
        time.sleep(0.01)
    reading.join()
    assert writer.returncode == 0, told
    assert len(seen) == 2, seen
    assert len({threshold for threshold, *_ in seen}) == 2
    assert all(n == described for _, n, described in seen)
