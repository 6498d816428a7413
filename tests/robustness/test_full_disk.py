"""Where results cannot be written, the exit code is 73, and nothing is half-written."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from study import COMMAND, contents, make_study
from surroundings import as_user, run_with

from bids_secondlevel.cli.main import main

PARTICIPANT = ("participant", "--participant-label", "01", "--n-procs", "1")


def run_prepared(prepare, *arguments, **options):
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=prepare,
        **options,
    )


def limited(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def level(study, output, *options):
    """Run in this process, undisturbed."""
    return main([str(study.root), str(output), *options])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("given") / "bids", {"01": 0.0, "02": 1.0})


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "out"
    assert level(study, output, *PARTICIPANT, "--no-report") == 0
    return contents(output)


def check_refused(finished, output, whole):
    assert finished.returncode == 73, finished.stderr
    assert str(output) in finished.stderr
    assert "cannot be written" in finished.stderr
    assert "Traceback" not in finished.stderr
    left = contents(output) if output.is_dir() else {}
    assert left.items() <= whole.items()
    assert not any(name.endswith("_desc-roi_estimates.tsv") for name in left)


@pytest.mark.parametrize("size", [0, 1500])
def test_a_limit_of_the_size_of_files(study, tmp_path, whole, size):
    """As on a disk that is full: what has been begun cannot be finished."""
    output = tmp_path / "out"
    options = (*PARTICIPANT, "--no-report")
    check_refused(run_prepared(limited(size), study.root, output, *options), output, whole)
    assert level(study, output, *options) == 0
    assert contents(output) == whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_log_that_cannot_be_written(study, tmp_path):
    """The numbers are worth more than what is said about them."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        finished = subprocess.run(
            [COMMAND, study.root, tmp_path / "out", *PARTICIPANT, "--no-report"],
            stdout=full,
            stderr=full,
            check=False,
        )
    assert finished.returncode == 0
    assert list(tmp_path.glob("out/sub-01/func/*_desc-roi_estimates.tsv"))


def test_a_page_that_does_not_fit_costs_no_number(study, tmp_path, whole):
    """Pages are larger than everything else."""
    output = tmp_path / "out"
    finished = run_prepared(limited(30_000), study.root, output, *PARTICIPANT)
    assert finished.returncode == 73, finished.stderr
    assert "the tables are written, the page is not" in finished.stderr
    assert not (output / "sub-01.html").exists()
    there = contents(output)
    assert not any(name.endswith(".part") for name in there)
    tables = {name for name in whole if name.endswith("_desc-roi_estimates.tsv")}
    assert {name: there[name] for name in tables} == {name: whole[name] for name in tables}


def test_the_group_level(study, tmp_path):
    output = tmp_path / "out"
    assert level(study, output, "participant", "--no-report", "--n-procs", "1") == 0
    before = contents(output)
    finished = run_prepared(limited(2500), study.root, output, "group", "--no-report")
    assert finished.returncode == 73, finished.stderr
    assert {name: contents(output)[name] for name in before} == before
    assert not any(name.endswith(".part") for name in contents(output))


def test_an_output_folder_that_is_a_file(study, tmp_path, capsys):
    output = tmp_path / "out"
    output.write_text("mine")
    for folder in (output, output / "below"):
        assert level(study, folder, *PARTICIPANT) == 73
        assert str(output) in capsys.readouterr().err
    assert output.read_text() == "mine"


def test_an_output_folder_that_may_not_be_written_to(study, tmp_path, whole):
    """By a user who is not root, whom no permission stops."""
    output = tmp_path / "readonly" / "out"
    output.mkdir(parents=True)
    output.chmod(0o555)
    prefix = as_user(65534)
    if prefix is None:  # root, and nobody else can be had: nobody may write here
        output = Path("/proc/out")
    finished = run_with(prefix, study.root, output, *PARTICIPANT, "--no-report")
    check_refused(finished, output, whole)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root to mount")
def test_a_small_disk_that_is_full(study, tmp_path, whole):
    disk = tmp_path / "disk"
    disk.mkdir()
    for kilobytes in (4, 16, 48, 100):
        script = (
            f"mount -t tmpfs -o size={kilobytes}k none {disk}\n"
            f"{COMMAND} {study.root} {disk}/out {' '.join(PARTICIPANT)} --no-report\n"
            f"code=$?; cp -r {disk}/out {tmp_path}/left-{kilobytes}; exit $code"
        )
        finished = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 73, (kilobytes, finished.stderr)
        assert "No space left on device" in finished.stderr
        left = contents(tmp_path / f"left-{kilobytes}")
        assert left.keys() <= whole.keys()
        assert all(left[name] == whole[name] for name in left if name.endswith((".tsv", ".gii")))


if sys.platform != "linux":
    pytest.skip("limits and users as Linux has them", allow_module_level=True)
