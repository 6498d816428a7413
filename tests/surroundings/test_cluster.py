"""The job scripts of the documentation, run as a scheduler runs them."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import generated
import pytest
import yaml
from study import COMMAND, make_study, read_tsv

from bids_secondlevel.cli.parser import build_parser

SHELLCHECK = shutil.which("shellcheck", path=f"{COMMAND.parent}:{os.environ['PATH']}")
SCRIPTS = Path(generated.__file__).parent / "howto" / "cluster"

# Runs what is handed in at once, task by task, as Slurm would; tells of each its exit code.
SBATCH = """#!/bin/bash
set -u
tasks=""
while [[ $1 == --* ]]; do
  case $1 in
    --array=*) tasks=${1#--array=1-}; tasks=${tasks%\\%*} ;;
    --dependency=*) echo "dependency ${1#--dependency=}" >> calls.txt ;;
  esac
  shift
done
if [[ -n $tasks ]]; then
  for ((task = 1; task <= tasks; task++)); do
    SLURM_ARRAY_TASK_ID=$task SLURM_CPUS_PER_TASK=1 bash "$@" > "task-$task.log" 2>&1
    echo "task $task $?" >> calls.txt
  done
  echo 11
else
  SLURM_CPUS_PER_TASK=1 bash "$@" > group.log 2>&1
  echo "group $?" >> calls.txt
  echo 12
fi
"""


@pytest.fixture
def cluster(tmp_path):
    """A folder in which the scripts run, and a function that runs them there."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "sbatch").write_text(SBATCH)
    (bin_ / "sbatch").chmod(0o755)
    path = f"{bin_}:{COMMAND.parent}:{os.environ['PATH']}"

    def run(script, *arguments, **environment):
        return subprocess.run(
            ["bash", SCRIPTS / script, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PATH": path, **environment},
        )

    return tmp_path, run


def test_group_level_runs_after_a_failed_participant_and_names_who_is_missing(cluster):
    folder, run = cluster
    study = make_study(folder / "bids", {"01": 0.0, "02": 1.0, "03": 2.0})
    (folder / "settings.toml").write_text("no-such-key = 1\n")
    listed = folder / "list.txt"
    listed.write_text("sub-01\nsub-02 --config settings.toml\nsub-03\n")
    finished = run("submit.sh", study.root, folder / "out", "--no-report", LIST=str(listed))
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == (
        f"3 participants of {listed}: job 11\nThe group level after them: job 12\n"
    )
    assert (folder / "calls.txt").read_text().splitlines() == [
        "task 1 0",
        "task 2 64",
        "task 3 0",
        "dependency afterany:11",
        "group 1",
    ]
    assert "no-such-key" in (folder / "task-2.log").read_text()
    status = {
        r["participant_id"]: r["status"] for r in read_tsv(folder / "out/group_estimates.tsv")
    }
    assert status["sub-02"] == "missing_participant"
    assert status["sub-01"] != status["sub-02"]
    assert "sub-02" in (folder / "group.log").read_text()


def test_participants_are_listed_from_the_dataset(cluster):
    folder, run = cluster
    study = make_study(folder / "bids", {"01": 0.0, "02": 1.0})
    finished = run("submit.sh", study.root, folder / "out", "--no-report")
    assert finished.returncode == 0, finished.stderr
    assert (folder / "participants.txt").read_text() == "sub-01\nsub-02\n"
    assert (folder / "calls.txt").read_text().split("\n")[-2] == "group 0"


def test_a_study_larger_than_an_array_becomes_several(cluster):
    folder, run = cluster
    (folder / "bin" / "scontrol").write_text("#!/bin/sh\necho 'MaxArraySize            = 4'\n")
    (folder / "bin" / "scontrol").chmod(0o755)
    listed = folder / "list.txt"
    listed.write_text("".join(f"sub-{n:02}\n" for n in range(7)))
    finished = run("submit.sh", "bids", "out", LIST=str(listed), PROGRAM="echo called")
    assert finished.returncode == 0, finished.stderr
    calls = (folder / "calls.txt").read_text().splitlines()
    assert calls[:-2] == [f"task {task} 0" for task in (1, 2, 3, 1, 2, 3, 1)]
    assert calls[-2:] == ["dependency afterany:11:11:11", "group 0"]
    parts = [path.read_text() for path in sorted(folder.glob("list.txt.part-*"))]
    assert "".join(parts) == listed.read_text()
    labels = " ".join(f"sub-{n:02}" for n in range(7))
    assert f"group --participant-label {labels}" in (folder / "group.log").read_text()
    assert "sub-06" in (folder / "task-1.log").read_text()


def test_dataset_without_participants_hands_in_nothing(cluster):
    folder, run = cluster
    (folder / "bids").mkdir()
    finished = run("submit.sh", folder / "bids", folder / "out")
    assert finished.returncode == 66
    assert "sub-*" in finished.stderr
    assert not (folder / "calls.txt").exists()


def test_task_beyond_the_list_says_so(cluster):
    folder, run = cluster
    (folder / "list.txt").write_text("sub-01\n")
    finished = run("participants.sbatch", "list.txt", "bids", "out", SLURM_ARRAY_TASK_ID="2")
    assert finished.returncode == 64
    assert "list.txt: has no line 2" in finished.stderr


def test_jobs_of_sessions_have_options_of_their_own_and_leave_no_scratch(cluster):
    folder, run = cluster
    (folder / "tmp").mkdir()
    (folder / "list.txt").write_text("sub-01 --session-label 02\n")
    finished = run(
        "participants.sbatch",
        *("list.txt", "bids dir", "out"),
        PROGRAM="echo called",
        SLURM_ARRAY_TASK_ID="1",
        TMPDIR=str(folder / "tmp"),
    )
    assert finished.stdout.splitlines()[-1] == (
        "called bids dir out participant --participant-label sub-01 --n-procs 1 --session-label 02"
    )
    assert list((folder / "tmp").iterdir()) == []


def test_scripts_pass_shellcheck():
    scripts = [SCRIPTS / "submit.sh", *SCRIPTS.glob("*.sbatch")]
    finished = subprocess.run([SHELLCHECK, *scripts], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, "")
    assert scripts[0].stat().st_mode & stat.S_IXUSR


def test_arguments_that_babs_passes_on_are_understood():
    given = yaml.safe_load((SCRIPTS / "babs.yaml").read_text())["bids_app_args"]
    label = given.pop("$SUBJECT_SELECTION_FLAG")
    options = [part for name, value in given.items() for part in (name, *value.split())]
    parsed = build_parser().parse_args(["bids", "out", "participant", *options, label, "sub-01"])
    assert parsed.participant_label == ["sub-01"]
    assert len(parsed.derivatives) == 2
