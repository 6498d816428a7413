"""What the image is made of: locked requirements, a Dockerfile and scripts that linters accept."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    "requirements.txt": PROJECT["project"]["dependencies"],
    "requirements-build.txt": [*PROJECT["build-system"]["requires"], "setuptools"],
}


def locked(name):
    """Versions by name; every line that is not a requirement with its hashes is refused."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    pin = r"([a-z0-9.-]+)==(\S+)(?: ; [^\\\n]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
    assert re.sub(pin, "", text) == ""
    return {found[1]: found[2] for found in re.finditer(pin, text)}


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_agrees_with_the_project(name):
    versions = locked(name)
    for text in LOCKS[name]:
        requirement = Requirement(text)
        key = canonicalize_name(requirement.name)
        command = next(line for line in (ROOT / name).read_text().splitlines() if "uv pip" in line)
        assert key in versions, f"{key} is not locked; run: {command}"
        assert versions[key] in requirement.specifier, f"{text}: {versions[key]} is locked"


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_names_no_index_and_no_path(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"://|index|find-links|(^|\s)/|@", text)


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "Dockerfile"],
        ["shellcheck", "main", *(f".ci/{name}" for name in ("container", "lowest", "run", "set"))],
    ],
    ids=lambda command: command[0],
)
def test_linters_have_nothing_to_say(command):
    finished = subprocess.run(
        [SCRIPTS / command[0], *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (finished.returncode, finished.stdout + finished.stderr) == (0, "")
