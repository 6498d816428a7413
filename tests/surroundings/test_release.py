"""What is published has one name, one owner and one version, wherever they are written."""

import email
import email.policy
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from readme_renderer import markdown

from bids_secondlevel import __owner__, __version__
from bids_secondlevel.cli.descriptor import IMAGE

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMED = re.compile(
    r"github\.com/([\w.-]+)/bids_secondlevel|([\w.-]+)\.github\.io/bids_secondlevel"
    r"|([\w.-]+)/bids_secondlevel:"
)
ENGINE = re.compile(r"^ *(?:docker|podman) (build|run|save|pull)\b(?:\\\n|.)*", re.MULTILINE)


def published_texts():
    names = ["README.md", "CITATION.cff", "Dockerfile", "boutiques.json", "main", "pyproject.toml"]
    folders = [ROOT / "docs", ROOT / ".github"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    kinds = {".md", ".yml", ".yaml", ".sh", ".py"}
    texts = [path for path in files if path.suffix in kinds and "_build" not in path.parts]
    return [ROOT / name for name in names] + texts


def test_one_owner():
    found = {
        (path.relative_to(ROOT).as_posix(), next(filter(None, match.groups())))
        for path in published_texts()
        for match in NAMED.finditer(path.read_text(encoding="utf-8"))
    }
    assert {owner for _, owner in found} == {__owner__}, found
    assert len(found) > 5


def test_the_owner_is_a_name_that_every_registry_takes():
    """Docker Hub takes lower-case letters and digits only."""
    assert re.fullmatch("[a-z0-9]{4,30}", __owner__)


def test_one_name_of_the_image():
    dockerfile = (ROOT / "Dockerfile").read_text()
    unversioned = IMAGE.removesuffix(__version__)
    assert dockerfile.count(f'"{unversioned}$VERSION"') == 2
    assert json.loads((ROOT / "boutiques.json").read_text())["container-image"]["image"] == IMAGE


@pytest.mark.parametrize("name", ["README.md", "docs/howto/containers.md"])
def test_commands_of_the_pages_name_the_image(name):
    commands = [match[0] for match in ENGINE.finditer((ROOT / name).read_text())]
    assert commands
    assert [command for command in commands if IMAGE not in command] == []


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {__version__}\n" in citation
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(.+)$", dockerfile, re.MULTILINE) == [__version__]
    babs = (ROOT / "docs" / "howto" / "cluster" / "babs.yaml").read_text()
    assert set(re.findall(r"\b\d+-\d+-\d+\b", babs)) == {__version__.replace(".", "-")}
    for path in published_texts():
        tags = re.findall(r"/bids_secondlevel:(\d[\w.]*)", path.read_text(encoding="utf-8"))
        assert set(tags) <= {__version__}, path
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_links_of_the_package_are_those_of_the_repository():
    repository = f"https://github.com/{__owner__}/bids_secondlevel"
    site = f"https://{__owner__}.github.io/bids_secondlevel/"
    assert all(url.startswith((repository, site)) for url in PROJECT["urls"].values())
    assert {"Repository", "Documentation", "Issues", "Changelog"} <= set(PROJECT["urls"])


def test_the_recipe_for_conda_forge_asks_for_what_the_project_asks_for():
    recipe = yaml.safe_load((ROOT / "docs" / "howto" / "conda-forge" / "recipe.yaml").read_text())
    assert recipe["context"]["version"] == __version__
    run = dict(text.split(" >=") for text in recipe["requirements"]["run"])
    assert run.pop("python") == "${{ python_min }}"
    run["matplotlib"] = run.pop("matplotlib-base")  # without a window system
    run["isal"] = run.pop("python-isal")  # isal is the library in C there
    assert run == dict(text.split(" >= ") for text in PROJECT["dependencies"])
    commands = dict(text.split(" = ") for text in recipe["build"]["python"]["entry_points"])
    assert commands == PROJECT["scripts"]


@pytest.fixture
def copy(tmp_path):
    """The files that have names in them, in a folder of their own."""
    folder = tmp_path / "copy"
    for path in [*published_texts(), ROOT / "bids_secondlevel" / "__init__.py"]:
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    for name in ("CODE_OF_CONDUCT.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def contents(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_text(encoding="utf-8") for path in paths}


@pytest.mark.parametrize(("what", "old"), [("owner", __owner__), ("version", __version__)])
def test_one_command_sets_a_name_everywhere(copy, what, old):
    new = {"owner": "somebody", "version": "3.2.1"}[what]
    before = contents(copy)
    subprocess.run([copy / ".ci" / "set", what, new], check=True)
    after = contents(copy)
    changed = {path.relative_to(copy).as_posix() for path in after if after[path] != before[path]}
    named = {path.relative_to(copy).as_posix() for path in before if old in before[path]}
    if what == "version":
        named.add("docs/howto/cluster/babs.yaml")  # which has it with hyphens
        named.discard("pyproject.toml")  # which has versions of others
    assert changed == named
    for name in changed:
        assert not re.search(rf"\b{re.escape(old)}\b", after[copy / name])
    described = json.loads((copy / "boutiques.json").read_text())
    assert new in described["container-image"]["image"]
    assert new in described["descriptor-url"]


BUILD = """
import sys
from hatchling.build import build_sdist, build_wheel
print(build_wheel(sys.argv[1]), build_sdist(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source distribution, made as a release makes them."""
    folder = tmp_path_factory.mktemp("dist")
    finished = subprocess.run(
        [sys.executable, "-c", BUILD, folder], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert finished.returncode == 0, finished.stderr
    return [folder / name for name in finished.stdout.split()]


@pytest.fixture(scope="module")
def metadata(built):
    wheel, _ = built
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(content.read(name), policy=email.policy.default)


def test_the_readme_of_the_package_has_links_that_work_from_anywhere(metadata):
    """PyPI shows it by itself. In the repository its links are relative, and lead to files."""
    shown = metadata.get_payload()
    given = (ROOT / "README.md").read_text(encoding="utf-8")
    link = re.compile(r'(?:\]\(|src(?:set)?=")([^)"]+)')
    bases = {
        f"https://github.com/{__owner__}/bids_secondlevel/blob/main/",
        f"https://raw.githubusercontent.com/{__owner__}/bids_secondlevel/main/",
    }
    for short, whole in zip(link.findall(given), link.findall(shown), strict=True):
        assert whole == short or whole.removesuffix(short) in bases
        assert whole.startswith("https://")
    assert [base in shown for base in bases] == [True, True]


def test_the_readme_of_the_package_is_shown_as_a_page_with_pictures(metadata):
    """By what PyPI makes pages with, which shows the bare text if anything is wrong."""
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = markdown.render(metadata.get_payload())
    assert page is not None
    assert "<table>" in page
    links = re.findall(r'(?:href|src|srcset)="([^"]*)"', page)
    assert len(links) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    pictures = re.findall("<img[^>]*>", page)
    assert pictures
    assert all(re.search('alt="[^"]{20,}"', picture) for picture in pictures)


def test_the_package_says_where_it_is_from(metadata):
    assert (metadata["Name"], metadata["Version"]) == ("bids_secondlevel", __version__)
    assert {text.partition(", ")[0] for text in metadata.get_all("Project-URL")} == set(
        PROJECT["urls"]
    )


def test_the_packages_hold_what_they_need(built):
    wheel, source = built
    with zipfile.ZipFile(wheel) as content:
        installed = {name.split("/")[0] for name in content.namelist()}
        assert installed == {"bids_secondlevel", f"bids_secondlevel-{__version__}.dist-info"}
        assert "bids_secondlevel/data/page.html" in content.namelist()
    with tarfile.open(source) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    for name in ("benchmarks/scale.py", "tests/study.py", "docs/conf.py", "main", ".ci/run"):
        assert name in names
