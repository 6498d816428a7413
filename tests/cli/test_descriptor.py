"""boutiques.json describes the command line as it is, and platforms can work with it."""

import json
import shlex
import subprocess
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from study import COMMAND, estimates, make_study, run

from bids_secondlevel.cli.config import parse
from bids_secondlevel.cli.parser import build_parser
from bids_secondlevel.core.roi_rule import RoiRule
from bids_secondlevel.core.settings import Settings

FILE = Path(__file__).parents[2] / "boutiques.json"
UPDATE = "boutiques.json is out of date: bids_secondlevel --bids-exec-spec > boutiques.json"
DESCRIPTOR = json.loads(FILE.read_text())
INPUTS = {of.get("command-line-flag", of["id"]): of for of in DESCRIPTOR["inputs"]}
POSITIONALS = {
    "bids_dir": "InputDataset",
    "output_dir": "OutputLocation",
    "analysis_level": "AnalysisLevel",
}
REQUIRED = {"InputDataset": ["my data"], "OutputLocation": "out", "AnalysisLevel": "group"}


def actions():
    """Arguments of the parser by what they are called in the descriptor."""
    return {
        next((s for s in action.option_strings if s.startswith("--")), None)
        or POSITIONALS[action.dest]: action
        for action in build_parser()._actions  # noqa: SLF001
        if action.dest != "bids_exec_spec"
    }


def bosh(*arguments, cwd=None):
    return subprocess.run(
        [COMMAND.parent / "bosh", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        # What bosh runs without a container is found as in an activated environment.
        env={"PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(cwd or "/")},
    )


def simulated(invocation, tmp_path):
    path = tmp_path / "invocation.json"
    path.write_text(json.dumps(invocation))
    finished = bosh("exec", "simulate", FILE, "-i", path, cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    program, *arguments = shlex.split(finished.stdout.splitlines()[-1])
    assert program == "bids_secondlevel"
    return arguments


def test_the_file_is_what_the_program_prints():
    finished = run("--bids-exec-spec")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == FILE.read_text(), UPDATE


def test_no_argument_is_missing_and_none_is_invented():
    assert set(INPUTS) == set(actions()), UPDATE


@pytest.mark.parametrize("name", actions())
def test_an_argument_is_described_as_the_parser_has_it(name):
    described, action = INPUTS[name], actions()[name]
    assert described["description"] == action.help, UPDATE
    assert described["optional"] == (not action.required)
    assert described.get("value-choices") == (action.choices and list(action.choices))
    kinds = {int: "Number", float: "Number", Path: "File"}
    expected = "Flag" if action.nargs == 0 else kinds.get(action.type, "String")
    if name == "OutputLocation":  # bosh refuses a File that is not there before the run
        expected = "String"
    assert described["type"] == expected
    assert described.get("integer", False) == (action.type is int)
    many = name == "InputDataset" or action.nargs not in (None, 0, "?")
    assert described.get("list", False) == many
    if isinstance(action.nargs, int) and action.nargs:
        assert described["min-list-entries"] == described["max-list-entries"] == action.nargs
    assert DESCRIPTOR["command-line"].split().count(described["value-key"]) == 1


def test_groups_are_those_of_the_help():
    by_flag = {of["id"]: name for name, of in INPUTS.items()}
    described = {
        frozenset(by_flag[member] for member in group["members"]): group["name"].casefold()
        for group in DESCRIPTOR["groups"]
    }
    names = {action.dest: name for name, action in actions().items()}
    assert described == {
        frozenset(
            names[action.dest]
            for action in group._group_actions  # noqa: SLF001
            if action.dest in names
        ): group.title.casefold()
        for group in build_parser()._action_groups  # noqa: SLF001
    }


def test_defaults_are_those_of_the_settings():
    """And every default that the settings have is told, but "all", "none" and those of flags."""
    known = {of.name: of.default for kind in (Settings, RoiRule) for of in fields(kind)}
    told = {name: v for name, v in known.items() if v != () and v not in (None, MISSING)}
    expected = {
        INPUTS[name]["id"]: json.loads(json.dumps(told[action.dest]))
        for name, action in actions().items()
        if action.nargs != 0 and action.dest in told
    }
    assert DESCRIPTOR["custom"]["Defaults"] == expected
    assert expected["LocalizerThreshold"] == 1.96
    for name, value in expected.items():
        (described,) = (of for of in DESCRIPTOR["inputs"] if of["id"] == name)
        values = value if isinstance(value, list) else [value]
        text = " ".join(v if isinstance(v, str) else f"{v:g}" for v in values)
        assert f"default: {text}" in described["description"]
        assert "default-value" not in described  # bosh would put it on every command line


def test_it_is_valid():
    finished = bosh("validate", FILE)
    assert (finished.returncode, finished.stdout.strip()) == (0, "OK"), finished.stderr


def test_a_random_invocation_is_accepted_by_the_parser(tmp_path):
    finished = bosh("example", FILE, "--complete")
    invocation = json.loads(finished.stdout)
    answered = {"Help", "ToolVersion"}
    asked = {key: value for key, value in invocation.items() if key not in answered}
    given = vars(build_parser().parse_args(simulated(asked, tmp_path)))
    by_dest = {INPUTS[name]["id"]: action.dest for name, action in actions().items()}
    assert set(given) == {by_dest[key] for key, value in asked.items() if value is not False}


def test_values_arrive_as_they_are_given(tmp_path):
    invocation = REQUIRED | {
        "SubjectLabel": ["01", "02"],
        "NoReport": True,
        "Sweep": False,
    }
    given = ["--participant-label", "01", "02", "--no-report"]
    model = "estimate ~ roi * contrast + 'age'"
    of_group = invocation | {"Model": model, "NPermutations": 99}
    arguments = ["my data", "out", "group", *given, "--n-permutations", "99", "--model", model]
    assert parse(simulated(of_group, tmp_path)) == parse(arguments)
    datasets = ["glm=first level", "retinotopy"]
    level = {"AnalysisLevel": "participant", "PolarAngle": [-90, 0], "Derivatives": datasets}
    arguments = ["my data", "out", "participant", *given, "--polar-angle", "-90", "0"]
    arguments += ["--derivatives", *datasets]
    assert parse(simulated(invocation | level, tmp_path)) == parse(arguments)


def test_bosh_runs_the_program_and_finds_its_output(tmp_path):
    make_study(tmp_path / "my data")
    path = tmp_path / "invocation.json"
    path.write_text(json.dumps(REQUIRED | {"AnalysisLevel": "participant", "NoReport": True}))
    options = ["--no-container", "--skip-data-collection"]
    finished = bosh("exec", "launch", *options, FILE, path, cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert estimates(tmp_path / "out")["main", "attend", "left", "L"]["estimate"] == "11.5"
    found = finished.stdout.partition("Output files")[2].partition("Missing files")[0]
    for name in ("dataset_description.json", "_desc-roi_estimates.tsv", "_mask.label.gii"):
        assert name in found


@pytest.mark.parametrize("case", DESCRIPTOR["tests"], ids=lambda case: case["name"])
def test_its_own_tests_hold(case, tmp_path):
    arguments = simulated(case["invocation"], tmp_path)
    assert run(*arguments, cwd=tmp_path).returncode == case["assertions"]["exit-code"]
