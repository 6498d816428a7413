"""The image as it is run: on a locked-down host, by Boutiques and brainlife.io, and stopped.

The tests need an engine that has the image of this version, as `.ci/container` builds it: docker or
podman, or the command in `CONTAINER_ENGINE`. Those of Apptainer also need `apptainer`.
"""

import filecmp
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from study import COMMAND, make_study, read_tsv

from bids_secondlevel.cli.descriptor import IMAGE

ROOT = Path(__file__).parents[2]
NOBODY = "1234:1234"  # a user whom the image does not know


def engine_command():
    given = os.environ.get("CONTAINER_ENGINE")
    commands = [shlex.split(given)] if given else [["docker"], ["podman"]]
    for name, *options in commands:
        path = shutil.which(name)
        asked = [path, *options, "image", "inspect", IMAGE]
        if path and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return [path, *options]
    return None


ENGINE = engine_command()
APPTAINER = shutil.which("apptainer")
pytestmark = pytest.mark.skipif(ENGINE is None, reason=f"needs an engine that has {IMAGE}")
needs_apptainer = pytest.mark.skipif(APPTAINER is None, reason="needs apptainer")


def locked(*options, user=NOBODY):
    """Begin a command as on a host that gives nothing but the folders that are named."""
    given = ["--rm", "--read-only", "--network", "none", "--cap-drop", "all"]
    given += ["--security-opt", "no-new-privileges", "--user", user]
    if "podman" in Path(ENGINE[0]).name:
        given.append("--read-only-tmpfs=false")  # which Docker does by itself
    return [*ENGINE, "run", *given, *options, IMAGE]


def execute(command, **options):
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )


@pytest.fixture
def output(tmp_path):
    """A folder that everybody may write to, as the user in the container is another one."""
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "bids", {"01": 0.0, "02": 1.0, "03": 3.0})


def mounts(study, output):
    return ["-v", f"{study.root}:/data:ro", "-v", f"{output}:/out"]


def differences(one, other):
    """Files that are not the same byte for byte, but for records with times and paths."""
    names = {path.relative_to(of) for of in (one, other) for path in of.rglob("*")}
    return {
        name
        for name in names
        if not name.name.endswith("_run.json")
        and not ((one / name).is_dir() and (other / name).is_dir())
        and not (
            (one / name).is_file()
            and (other / name).is_file()
            and filecmp.cmp(one / name, other / name, shallow=False)
        )
    }


def test_it_says_its_version_within_seconds():
    began = time.monotonic()
    finished = execute([*locked(), "--version"])
    assert (finished.returncode, finished.stdout.strip()) == (
        0,
        f"bids_secondlevel {IMAGE.rpartition(':')[2]}",
    )
    assert time.monotonic() - began < 30


def test_both_levels_on_a_locked_down_host_give_what_the_demo_gives(tmp_path, output):
    demo = tmp_path / "demo"
    demo.mkdir()
    demo.chmod(0o777)
    options = ["-v", f"{demo}:/demo", "--entrypoint", "bids_secondlevel-demo"]
    finished = execute([*locked(*options), "/demo/study"])
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    bids = ["-v", f"{demo}/study/bids:/data/bids:ro", "-v", f"{output}:/data/derivatives"]
    for level, *options in (("participant", "--localizer-task", "loc"), ("group",)):
        finished = execute([*locked(*bids), "/data/bids", "/data/derivatives", level, *options])
        assert finished.returncode == 0, finished.stderr
        assert "Traceback" not in finished.stderr
    assert differences(demo / "study" / "derivatives", output) == set()
    description = json.loads((output / "dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Container"]["Tag"] == IMAGE


def test_it_has_its_version_in_the_file_that_every_bids_app_has():
    finished = execute([*locked("--entrypoint", "cat"), "/version"])
    assert finished.stdout == f"{IMAGE.rpartition(':')[2]}\n"


def test_without_shared_memory_participants_are_processed_one_after_another(study, output):
    options = [*mounts(study, output), "--ipc", "none"]
    finished = execute([*locked(*options), "/data", "/out", "participant", "--n-procs", "2"])
    assert finished.returncode == 0, finished.stderr
    assert len(list(output.glob("sub-*.html"))) == 3
    assert list(output.glob(".bids*")) == [output / ".bidsignore"]


def begin(study, output, name):
    """Start a run of many participants, and wait until the first of them has a table."""
    arguments = ["/data", "/out", "participant", "--n-procs", "2", "--no-report"]
    program = subprocess.Popen(
        [*locked("--name", name, *mounts(study, output)), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not list(output.glob("sub-*/func/*_desc-roi_estimates.tsv")):
        assert program.poll() is None, program.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)
    return program


@pytest.fixture
def name(tmp_path):
    """Of a container that does not outlive its test."""
    given = f"bids_secondlevel-{os.getpid()}-{tmp_path.name}"
    yield given
    execute([*ENGINE, "rm", "--force", given])


@pytest.fixture
def many(tmp_path):
    return make_study(tmp_path / "bids", {f"{n:03}": float(n) for n in range(200)})


STOPPED = {
    "stop": (143, "Terminated."),
    "kill --signal INT": (130, "Interrupted."),
    "kill --signal KILL": (137, None),
}


@pytest.mark.parametrize("stop", STOPPED)
def test_a_container_that_is_stopped_ends_at_once(many, output, name, stop):
    """Engines wait 10 seconds before they kill, which gives 137."""
    code, said = STOPPED[stop]
    program = begin(many, output, name)
    began = time.monotonic()
    assert execute([*ENGINE, *stop.split(), name]).returncode == 0
    _, told = program.communicate(timeout=60)
    assert time.monotonic() - began < 9
    assert program.returncode == code, told
    assert "Traceback" not in told
    if said:
        assert told.splitlines()[-1].startswith(f"bids_secondlevel: {said} Run the same command")
    tables = list(output.glob("sub-*/func/*_estimates.tsv"))
    time.sleep(1)
    assert list(output.glob("sub-*/func/*_estimates.tsv")) == tables
    assert len(tables) < 200


# The image has no procps, so processes are found in /proc. Workers are children of the server.
KILL_A_WORKER = """
import os, pathlib
parents = {}
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
os.kill(next(pid for pid, parent in parents.items() if parent not in (0, 1)), 9)
"""


def test_a_container_whose_worker_is_killed_ends_and_says_so(many, output, name):
    program = begin(many, output, name)
    began = time.monotonic()
    killed = execute([*ENGINE, "exec", name, "python3", "-c", KILL_A_WORKER])
    assert killed.returncode == 0, killed.stderr
    _, told = program.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert program.returncode == 1
    assert "a worker process was killed" in told
    assert "Traceback" not in told


@pytest.fixture
def commands(tmp_path):
    """Commands as platforms find them: bosh, and the engine under the name of docker."""
    folder = tmp_path / "bin"
    folder.mkdir()
    docker = folder / "docker"
    docker.write_text(f'#!/bin/sh\nexec {shlex.join(ENGINE)} "$@"\n')
    docker.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{COMMAND.parent}:{os.environ['PATH']}"}


def launch(tmp_path, study, commands, *options):
    """Run both levels by Boutiques in a folder of its own."""
    folder = tmp_path / "platform"
    (folder / "out").mkdir(parents=True)
    for path in (folder, folder / "out"):
        path.chmod(0o777)
    for level in ("participant", "group"):
        invocation = {
            "InputDataset": [str(study.root)],
            "OutputLocation": "out",
            "AnalysisLevel": level,
            "NoReport": True,
        }
        (folder / "invocation.json").write_text(json.dumps(invocation))
        command = ["bosh", "exec", "launch", "--skip-data-collection", *options]
        finished = execute(
            [*command, ROOT / "boutiques.json", "invocation.json"], cwd=folder, env=commands
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder / "out"


def check_results(output):
    rows = read_tsv(output / "group_estimates.tsv")
    measured = {row["participant_id"] for row in rows if row["status"] == "ok"}
    assert measured == {"sub-01", "sub-02", "sub-03"}
    description = json.loads((output / "dataset_description.json").read_text())
    assert description["GeneratedBy"][0]["Container"]["Tag"] == IMAGE


def test_boutiques_runs_the_image(tmp_path, study, commands):
    check_results(launch(tmp_path, study, commands, "--no-pull"))


@pytest.fixture(scope="session")
def sif(tmp_path_factory):
    """The image as Apptainer has it, made as the documentation says."""
    folder = tmp_path_factory.mktemp("sif")
    folder.chmod(0o777)
    archive, image = folder / "image.tar", folder / "image.sif"
    saved = execute([*ENGINE, "save", "-o", archive, IMAGE])
    assert saved.returncode == 0, saved.stderr
    archive.chmod(0o644)
    built = execute([APPTAINER, "build", image, f"docker-archive:{archive}"])
    assert built.returncode == 0, built.stderr
    archive.unlink()
    return image


@needs_apptainer
def test_boutiques_runs_the_image_of_apptainer(tmp_path, study, commands, sif):
    check_results(launch(tmp_path, study, commands, "--force-apptainer", "--imagepath", sif))


@needs_apptainer
def test_brainlife_runs_the_image_of_apptainer(tmp_path, study, sif):
    folder = tmp_path / "task"
    folder.mkdir()
    folder.chmod(0o777)
    config = {"bids": str(study.root), "no_report": True}
    (folder / "config.json").write_text(json.dumps(config))
    environment = {**os.environ, "BIDS_SECONDLEVEL_IMAGE": str(sif)}
    finished = execute([ROOT / "main"], cwd=folder, env=environment)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    check_results(folder / "output")
    messages = json.loads((folder / "product.json").read_text())["brainlife"]
    assert [message["type"] for message in messages] == ["success", "plotly"]


@needs_apptainer
@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_apptainer_passes_signals_on_and_ends_at_once(many, output, sif, number, code):
    options = ["--containall", "--cleanenv", "--no-home"]
    binds = ["-B", f"{many.root}:/data:ro", "-B", f"{output}:/out"]
    arguments = ["/data", "/out", "participant", "--n-procs", "2", "--no-report"]
    program = subprocess.Popen(
        [APPTAINER, "run", *options, *binds, sif, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not list(output.glob("sub-*/func/*_desc-roi_estimates.tsv")):
        assert program.poll() is None, program.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)
    began = time.monotonic()
    program.send_signal(signal.Signals[number])
    _, told = program.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert program.returncode == code, told
    assert "Traceback" not in told
