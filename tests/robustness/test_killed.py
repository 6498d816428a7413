"""A run that is killed leaves whole files or none, and the next run completes it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from study import COMMAND, contents, make_study, run

from bids_secondlevel.cli.main import main
from bids_secondlevel.cli.stopping import Terminated, ended_by_signals

KILLING = Path(__file__).with_name("killing.py")
STUBBORN = Path(__file__).with_name("stubborn.py")
CODES = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130}


@pytest.fixture(autouse=True)
def _interruptible():
    """Let programs be interrupted also if these tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def whole(folder):
    """Files by name, without those that were being written."""
    return {name: text for name, text in contents(folder).items() if not name.endswith(".part")}


def unfinished(folder):
    return [name for name in contents(folder) if name.endswith(".part")]


def kill_and_complete(study, base, number, n_places, *options, before="/nothing"):
    arguments = [study.root, base, before, number, str(n_places), *options]
    finished = subprocess.run(
        [sys.executable, KILLING, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout.splitlines()[-1])
    old = contents(before) if Path(before).exists() else {}
    right = whole(base / "undisturbed" / "out")
    assert len(right) > 20
    for place, (killed, completed) in told["codes"].items():
        by = told["signals"][place]
        assert (killed, completed) == (CODES[by], 0), place
        left, after = base / place / "killed", base / place / "out"
        if left.exists():
            assert whole(left).items() <= right.items() | old.items(), place
        if by != "SIGKILL":
            assert not unfinished(after), place
        assert len(unfinished(after)) <= 1, place
        assert whole(after) == right, place
    return told["changes"]


PARTICIPANT = ("participant", "--n-procs", "1")


def test_a_participant_level_killed_between_two_changes_of_files(study, tmp_path):
    signals = "SIGKILL,SIGTERM,SIGKILL,SIGINT"
    kill_and_complete(study, tmp_path / "k", signals, 7, *PARTICIPANT, "--no-report")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "n_places"), [("SIGKILL", 0), ("SIGTERM", 40), ("SIGINT", 40)])
def test_a_participant_level_killed_between_any_two_changes_of_files(
    study, tmp_path, number, n_places
):
    changes = kill_and_complete(
        study, tmp_path / "k", number, n_places, *PARTICIPANT, "--no-report"
    )
    assert changes > 80


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_participant_level_killed_while_it_writes_pages(study, tmp_path, number):
    kill_and_complete(study, tmp_path / "k", number, 12, *PARTICIPANT)


@pytest.fixture
def group_before(group_study, tmp_path):
    """The results of the participants, and those of a group of other ones."""
    output = tmp_path / "before" / "out"
    assert main([str(group_study.root), str(output), *PARTICIPANT, "--no-report"]) == 0
    others = ["group", "--participant-label", "01", "02", "03"]
    assert main([str(group_study.root), str(output), *others]) == 0
    return output


def test_a_group_level_killed_between_two_changes_of_files(group_study, group_before, tmp_path):
    options = ("SIGKILL,SIGTERM,SIGINT", 5, "group", "--no-report")
    kill_and_complete(group_study, tmp_path / "k", *options, before=group_before)


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
def test_a_group_level_killed_between_any_two_changes_of_files(
    number, group_study, group_before, tmp_path
):
    changes = kill_and_complete(
        group_study, tmp_path / "k", number, 40, "group", before=group_before
    )
    assert changes > 20


def start(*arguments, env=None):
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
def test_the_installed_command_killed_at_any_time(study, tmp_path, number):
    """While it starts, imports, reads, draws and ends, too."""
    expected = tmp_path / "expected" / "out"
    began = time.monotonic()
    assert run(study.root, expected, *PARTICIPANT).returncode == 0
    duration = time.monotonic() - began
    right = whole(expected)
    for n in range(12):
        output = tmp_path / str(n) / "out"
        program = start(study.root, output, *PARTICIPANT)
        time.sleep(duration * (n + 0.5) / 12)
        program.send_signal(signal.Signals[number])
        _, told = program.communicate(timeout=120)
        # Before the program has taken over, Python ends by itself.
        assert program.returncode in {CODES[number], -signal.Signals[number], 0, 1}, told
        if program.returncode == 1:
            assert "KeyboardInterrupt" in told
        if output.exists():
            assert whole(output).items() <= right.items()
        assert run(study.root, output, *PARTICIPANT).returncode == 0
        assert whole(output) == right


def processes_of(session):
    """Processes of a session, by Linux' table of them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def workers_of(program):
    """Processes that the server of a program has made."""
    every = processes_of(program)
    parents = {
        pid: int(Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[1]) for pid in every
    }
    return [pid for pid, parent in parents.items() if parent not in (program, os.getpid())]


def tables_in(output):
    return list(output.glob("sub-*/func/*_desc-roi_estimates.tsv"))


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "send"),
    [
        ("SIGKILL", os.kill),
        ("SIGTERM", os.killpg),  # as a scheduler does it, to everybody at once
        pytest.param("SIGTERM", os.kill, marks=pytest.mark.slow),
        pytest.param("SIGINT", os.kill, marks=pytest.mark.slow),
        pytest.param("SIGINT", os.killpg, marks=pytest.mark.slow),  # Ctrl-C
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_workers_end_with_the_program_that_started_them(tmp_path, number, send):
    """They are found without procps, which images do not have."""
    study = make_study(tmp_path / "bids", {f"{n:03}": float(n) for n in range(200)})
    output = tmp_path / "out"
    arguments = (study.root, output, "participant", "--no-report", "--n-procs", "2")
    program = start(*arguments, env={**os.environ, "PATH": "/nowhere"})
    try:
        wait_until(lambda: tables_in(output) or program.poll() is not None)
        assert len(workers_of(program.pid)) == 2
        send(program.pid, signal.Signals[number])
        _, told = program.communicate(timeout=60)
        assert program.returncode == CODES[number], told
        assert "Traceback" not in told
        assert ("Run the same command again" in told.splitlines()[-1]) == (number != "SIGKILL")
        wait_until(lambda: not processes_of(program.pid), 60)
    finally:
        for pid in processes_of(program.pid):
            os.kill(pid, signal.SIGKILL)
    finished = tables_in(output)
    assert 0 < len(finished) < 200
    for table in finished:
        assert (
            len(table.read_text().splitlines())
            == 1 + json.loads(table.with_suffix(".json").read_text())["RowCount"]
        )


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_workers_that_swallow_exceptions_are_ended_too(tmp_path, number):
    program = subprocess.Popen([sys.executable, STUBBORN, tmp_path], start_new_session=True)
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        began = time.monotonic()
        program.send_signal(signal.Signals[number])
        program.wait(60)
        wait_until(lambda: not processes_of(program.pid), 60)
        assert time.monotonic() - began < 20  # a second, but for a busy machine
    finally:
        for pid in processes_of(program.pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_where_exceptions_are_swallowed_ends_the_program(number):
    class Deleted:
        def __del__(self):
            signal.raise_signal(signal.Signals[number])

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as stopped, ended_by_signals():  # noqa: PT012
        Deleted()
        time.sleep(60)
    assert isinstance(stopped.value, Terminated) == (number == "SIGTERM")
    assert time.monotonic() - began < 20


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_a_worker_that_is_killed_is_told_and_the_next_run_completes(tmp_path, number):
    """As when memory runs out."""
    study = make_study(tmp_path / "bids", {f"{n:02}": float(n) for n in range(30)})
    output = tmp_path / "out"
    arguments = (study.root, output, "participant", "--no-report", "--n-procs", "2")
    program = start(*arguments)
    wait_until(lambda: tables_in(output) or program.poll() is not None)
    os.kill(workers_of(program.pid)[0], signal.Signals[number])
    _, told = program.communicate(timeout=120)
    assert program.returncode == 1
    assert "was killed or could not start" in told
    assert told.count("was not finished, because a worker process was killed") == 1
    assert "sub-29: failed" not in told
    assert "Traceback" not in told
    assert "defect" not in told
    assert run(*arguments).returncode == 0
    assert len(tables_in(output)) == 30


def test_what_a_killed_process_has_left_long_ago_is_removed_and_nothing_else(study, output):
    func = output / "sub-01" / "func"
    func.mkdir(parents=True)
    (output / "logs").mkdir()
    made_by = {"GeneratedBy": [{"Name": "bids_secondlevel"}]}
    (output / "dataset_description.json").write_text(json.dumps(made_by))
    old = time.time() - 4000
    left = [folder / ".bids_secondlevel-abc.part" for folder in (output, func, output / "logs")]
    others = [func / ".bids_secondlevel-now.part", output / ".old.part", func / "notes.part"]
    for path in (*left, *others):
        path.write_text("half")
        if path.name != ".bids_secondlevel-now.part":  # which another job may be writing
            os.utime(path, (old, old))
    assert main([str(study.root), str(output), *PARTICIPANT, "--no-report"]) == 0
    assert not any(path.exists() for path in left)
    assert all(path.read_text() == "half" for path in others)


def test_a_table_of_an_earlier_run_does_not_outlive_a_run_with_other_settings(study, tmp_path):
    """It would pass for that of the masks beside it."""
    output = tmp_path / "out"
    assert main([str(study.root), str(output), *PARTICIPANT, "--no-report"]) == 0
    options = [*PARTICIPANT, "--no-report", "--localizer-threshold", "1"]
    script = (
        f"import sys; sys.path.insert(0, {str(KILLING.parent)!r}); import killing\n"
        f"sys.exit(-killing.kill_at(12, 9, {str(study.root)!r}, {str(output)!r}, {options}))"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == signal.SIGKILL
    assert not list(output.glob("sub-01/func/*_desc-roi_estimates.*"))
    assert list(output.glob("sub-01/func/*_mask.label.gii"))
