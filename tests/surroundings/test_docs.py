"""The documentation says what the program does: options, columns, messages, commands."""

import ast
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import generated
import pytest

from bids_secondlevel.cli.config import parse
from bids_secondlevel.cli.parser import build_parser
from bids_secondlevel.core import errors
from bids_secondlevel.core.rows import Column
from bids_secondlevel.core.values import STATUSES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MESSAGES = DOCS / "reference" / "messages.md"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
WRITTEN = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

# Options of other programs that pages speak of.
FOREIGN = {
    *("--cores", "--executor"),
    *("--containall", "--cleanenv", "--no-home", "--entrypoint", "--env", "--ipc"),
    *("--memory", "--cpus", "--imagepath", "--input", "--skip_bids_validator", "--into"),
}

PARTS_OF_TABLES = {
    *("KEY_COLUMNS", "CELL_COLUMNS", "TEST_COLUMNS", "N_OF_GROUPS", "ROBUST_OF_GROUPS"),
}


ACTIONS = [a for group in generated.option_groups(build_parser()).values() for a in group]
MODULES = sorted(
    ".".join(path.relative_to(generated.PACKAGE).with_suffix("").parts)
    for path in generated.PACKAGE.rglob("*.py")
)


class Page(HTMLParser):
    """Text of a built page, and what a browser fetches to show it."""

    def __init__(self, path):
        super().__init__()
        self.parts, self.fetched = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "src" in given:
            self.fetched.append(given["src"])
        if tag == "link":
            self.fetched.append(given["href"])

    def handle_data(self, data):
        self.parts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.parts).split())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation as it is built: without a single warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "trees"]
    finished = subprocess.run(
        [*command, DOCS, folder / "html"], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return folder / "html"


def commands():
    """Every call of the program in a block of a page, as (page, arguments)."""
    for page in PAGES:
        for language, block in FENCED.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if language in ("", "shell") and line.strip().startswith("bids_secondlevel "):
                    yield page.name, shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_those_of_the_program(page):
    text = page.read_text(encoding="utf-8")
    assert text == generated.fill(text), "python docs/generated.py writes them again"


def test_every_page_is_built_and_fetches_nothing_from_elsewhere(site):
    for page in DOCS.rglob("*.md"):
        built = Page(site / page.relative_to(DOCS).with_suffix(".html"))
        assert built.fetched
        assert [url for url in built.fetched if re.match(r"(\w+:)?//", url)] == []


def test_styles_fetch_nothing_from_elsewhere(site):
    sheets = list(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text()) == []


def test_formulas_are_drawn_without_a_script(site):
    html = (site / "reference" / "statistics.html").read_text(encoding="utf-8")
    assert html.count("<math ") > 50
    shown = re.sub(r"<math .*?</math>", "", html, flags=re.DOTALL)
    assert "\\frac" not in shown
    assert "$" not in Page(site / "reference" / "statistics.html").text


def test_every_option_is_in_the_reference(site):
    text = Page(site / "reference" / "options.html").text
    assert len(ACTIONS) > 40
    for action in ACTIONS:
        for name in action.option_strings or [action.metavar or "{participant,group}"]:
            assert name in text


def test_every_column_is_in_the_reference(site):
    text = Page(site / "reference" / "tables.html").text
    for schema in generated.TABLES.values():
        for name, column in schema.items():
            assert f"{name} {column.description[:30]}" in text


def test_every_module_with_messages_is_named_once():
    markers = re.findall(r"generated: messages (.*) -->", MESSAGES.read_text())
    named = sorted(module for marker in markers for module in marker.split())
    assert named == [module for module in MODULES if list(generated.messages_of(module))]


def test_contributing_names_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    package = ROOT / "bids_secondlevel"
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    assert len(named) > 15
    assert not [name for name in named if not ((package / name).exists() or (ROOT / name).exists())]
    folders = re.findall(r"^      (\w+)/ ", text, re.MULTILINE)
    there = {path.name for path in package.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert set(folders) == there


def test_every_message_is_in_the_reference(site):
    text = Page(site / "reference" / "messages.html").text
    found = [message for module in MODULES for message, _ in generated.messages_of(module)]
    assert len(found) > 180
    for message in found:
        assert " ".join(message.split()) in text


def test_no_table_is_forgotten():
    declared = {
        id(schema)
        for module in MODULES
        for name, schema in inspect.getmembers(import_module(f"bids_secondlevel.{module}"))
        if name not in PARTS_OF_TABLES
        and isinstance(schema, Mapping)
        and schema
        and all(isinstance(column, Column) for column in schema.values())
    }
    assert declared == set(map(id, generated.TABLES.values()))


def test_every_number_in_a_table_is_explained():
    text = (DOCS / "reference" / "statistics.md").read_text(encoding="utf-8")
    for schema in generated.TABLES.values():
        for name, column in schema.items():
            if column.is_number and name != "run":
                assert f"`{name}`" in text


def test_every_exit_code_and_status_is_explained():
    text = MESSAGES.read_text(encoding="utf-8")
    codes = {errors.DONE} | {
        error.exit_code
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.SecondLevelError)
    }
    explained = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert codes <= set(map(int, explained))
    terms = " ".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE))
    for status in STATUSES:
        assert f"`{status}`" in terms


def test_texts_of_the_program_avoid_the_habits_that_contributing_names():
    """Messages, help, columns and captions: every text but docstrings."""
    hard = re.compile(
        r"\bhangs? on\b|\b(could|can|cannot) be had\b|\bso that\b|\bwhere there (is|are)\b|"
        r"\b(stands?|stood) (for|in|on)\b|\b(is|are) carried\b|\bNamed (is|are)\b|"
        r"(?<![Tt]here )\b(is|are|was|were) no (?!longer|more)\w"
    )
    found = []
    for module in MODULES:
        tree = ast.parse((generated.PACKAGE / f"{module.replace('.', '/')}.py").read_text())
        statements = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        found += [
            (module, node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in statements
            and hard.search(node.value)
        ]
    assert found == []


def test_messages_are_found_where_the_program_gives_them():
    found = dict(generated.messages_of("inputs.datasets"))
    assert (
        found["--derivatives: two datasets have the name …. Give them different names (NAME=PATH)."]
        == "exit code 64"
    )
    found = dict(generated.messages_of("core.settings"))
    assert found["--n-procs: … given; expected 1 or more."] == "exit code 64"


@pytest.mark.parametrize(("page", "arguments"), list(commands()))
def test_commands_of_the_pages_are_understood(page, arguments):  # noqa: ARG001 names the test
    build_parser().parse_args(arguments)


def config_files():
    """Every config file that a page shows, as (page, text)."""
    for page in PAGES:
        for language, block in FENCED.findall(page.read_text(encoding="utf-8")):
            if language == "toml":
                yield page.name, block


@pytest.mark.parametrize(("page", "text"), list(config_files()))
def test_config_files_of_the_pages_are_understood(page, text, tmp_path):  # noqa: ARG001 names the test
    file = tmp_path / "study.toml"
    file.write_text(text, encoding="utf-8")
    parse([str(tmp_path), str(tmp_path / "out"), "participant", "--config", str(file)])


def test_there_are_commands_and_config_files():
    assert len(list(commands())) > 10
    assert len(list(config_files())) > 10


def prose(page):
    return re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(page):
    """Name the headings of a page as GitHub and MyST do."""
    headings = re.findall(
        r"^#+ (.*)", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page):
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        target, _, anchor = link.partition("#")
        if re.match(r"https?:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.is_file(), link
        assert not anchor or anchor in anchors(file), link


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_pictures_are_there_for_light_and_dark_screens_and_say_what_they_show(page):
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r"<picture>(.*?)</picture>", text, re.DOTALL)
    assert text.count("<img") == len(pictures)
    for picture in pictures:
        (dark,) = re.findall(r'"\(prefers-color-scheme: dark\)" srcset="([^"]+)"', picture)
        (light,) = re.findall(r'src="([^"]+)"', picture)
        assert dark == light.replace("-light.png", "-dark.png")
        assert len(*re.findall(r'alt="([^"]+)"', picture)) > 40
        for url in (dark, light):
            assert 1000 < (page.parent / url).stat().st_size < 200_000


def test_the_readme_fits_two_screens():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_first_page_leads_to_every_page():
    linked = {
        DOCS / link for link in re.findall(r"\]\(([\w/-]+\.md)\)", (DOCS / "index.md").read_text())
    }
    assert linked == set(DOCS.rglob("*.md")) - {DOCS / "index.md"}


def test_options_that_pages_speak_of_exist():
    known = {name for action in ACTIONS for name in action.option_strings}
    known |= {name.replace("-", "_").replace("__", "--", 1) for name in known}
    for page in PAGES:
        written = re.sub(
            r"<!-- generated.*?<!-- end -->", "", page.read_text("utf-8"), flags=re.DOTALL
        )
        prose = FENCED.sub("", written)
        named = {span.split()[0] for span in re.findall(r"`(--[^`]+)`", prose)}
        assert named - known - FOREIGN == set()
