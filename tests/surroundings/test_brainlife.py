"""``main`` run in a folder as brainlife.io does, on real files."""

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from study import COMMAND, make_study, read_tsv

APP = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "dirname", "grep", "jq", "realpath", "tee")

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq, which platforms have")


@pytest.fixture
def task(tmp_path):
    """A folder of a task, beside that of the data; and commands, without Singularity."""
    make_study(tmp_path / "data", {"01": 0.0, "02": 1.0, "03": 2.5})
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in TOOLS:
        (commands / name).symlink_to(shutil.which(name))
    (commands / "bids_secondlevel").symlink_to(COMMAND)
    folder = tmp_path / "task"
    folder.mkdir()
    return folder


def run_app(task, config, **environment):
    text = config if isinstance(config, str) else json.dumps(config)
    (task / "config.json").write_text(text)
    environment |= {"PATH": str(task.parent / "bin"), "HOME": os.environ.get("HOME", "/")}
    finished = subprocess.run(
        [APP / "main"], cwd=task, env=environment, capture_output=True, text=True, check=False
    )
    return finished, json.loads((task / "product.json").read_text())["brainlife"]


def test_both_levels_run_and_the_group_is_shown(task):
    config = {
        "bids": "../data",
        "contrasts": "attend",
        "eccentricity": "0 5",
        "localizer_threshold": 1.96,
        "no_report": True,
        "sweep": False,
        "space": "",
        "participant-label": ["01", "02", "03"],
        "_app": "0123",
        "_inputs": [{"id": "bids"}],
    }
    finished, (message, figure) = run_app(task, config)
    assert finished.returncode == 0, finished.stderr
    assert message["type"] == "success"
    assert (figure["type"], [trace["name"] for trace in figure["data"]]) == (
        "plotly",
        ["main attend"],
    )
    (trace,) = figure["data"]
    rows = {
        row["roi"]: row
        for row in read_tsv(task / "output" / "group_statistics.tsv")
        if row["hemi"] == "both"
    }
    assert trace["x"] == list(rows)
    for roi, mean, up, down in zip(
        trace["x"],
        trace["y"],
        trace["error_y"]["array"],
        trace["error_y"]["arrayminus"],
        strict=True,
    ):
        assert mean == float(rows[roi]["mean"])
        assert mean + up == pytest.approx(float(rows[roi]["ci95_high"]))
        assert mean - down == pytest.approx(float(rows[roi]["ci95_low"]))
    assert not list(task.glob("output/*.html"))
    assert (task / "product.json").stat().st_size < 4096


def test_participants_that_fail_are_a_warning_and_the_others_are_shown(task):
    for path in (task.parent / "data" / "derivatives" / "freesurfer" / "sub-02").rglob("*varea*"):
        path.unlink()
    finished, messages = run_app(task, {"bids": "../data", "no_report": True})
    assert finished.returncode == 0, finished.stdout
    assert [of["type"] for of in messages] == ["warning", "success", "plotly"]
    assert "sub-02" in messages[0]["msg"]


@pytest.mark.parametrize(
    ("config", "code", "named"),
    [
        ("{", 1, "config.json"),
        ({"bids": "nowhere"}, 1, "nowhere"),
        ({"bids": "../data", "nonsense": 1}, 1, "nonsense"),
        ({"bids": "../data", "space": "nowhere", "no_report": True}, 18, "nowhere"),
        ({"bids": "."}, 16, "dataset_description.json"),
        ({"bids": "../data", "statistic": "variance", "dry_run": True}, None, ""),
    ],
)
def test_without_output_it_fails_and_says_why(task, config, code, named):
    finished, messages = run_app(task, config)
    assert finished.returncode == code if code else finished.returncode != 0
    assert messages[-1]["type"] == "error"
    assert named in messages[-1]["msg"]


def test_without_the_program_it_fails(task):
    (task.parent / "bin" / "bids_secondlevel").unlink()
    finished, (message,) = run_app(task, {"bids": "../data"})
    assert finished.returncode == 127
    assert "singularity" in message["msg"]


def test_an_image_that_cannot_be_had_is_the_reason(task):
    """In the words of Apptainer, which come after those of its progress."""
    apptainer = task.parent / "bin" / "apptainer"
    fatal = "FATAL:   Unable to handle docker://nobody/nothing:1.0 uri: no such host"
    apptainer.write_text(
        f'#!/bin/bash\necho "INFO:    Converting" >&2\necho "{fatal}" >&2\nexit 255\n'
    )
    apptainer.chmod(0o755)
    finished, (message,) = run_app(
        task, {"bids": "../data"}, BIDS_SECONDLEVEL_IMAGE="docker://nobody/nothing:1.0"
    )
    assert finished.returncode == 255
    assert message["type"] == "error"
    assert "The image docker://nobody/nothing:1.0 could not be had" in message["msg"]
    assert fatal in message["msg"]


def test_singularity_is_used_where_there_is_one(task):
    """The command line it is given, as it says itself."""
    singularity = task.parent / "bin" / "singularity"
    singularity.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\nexit 3\n')
    singularity.chmod(0o755)
    image = "docker://somebody/else:1.0"
    config = {"bids": "../data", "derivatives": ["glm=../data/derivatives/firstlevel"]}
    finished, (message,) = run_app(task, config, BIDS_SECONDLEVEL_IMAGE=image)
    assert finished.returncode == 3
    assert "exit code 3" in message["msg"]
    data = task.parent / "data"
    lines = finished.stdout.splitlines()
    program = lines.index("bids_secondlevel")
    assert lines[:2] == ["exec", "--cleanenv"]
    assert lines[program - 1] == image
    binds = {lines[i + 1] for i, line in enumerate(lines[:program]) if line == "--bind"}
    assert binds == {str(task), str(data), str(data / "derivatives" / "firstlevel")}
    assert lines[program + 1 :] == [
        str(data),
        "output",
        "participant",
        "--config",
        "options.toml",
    ]
    content = tomllib.loads((task / "options.toml").read_text())
    assert content == {"derivatives": ["glm=../data/derivatives/firstlevel"]}
