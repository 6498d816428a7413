"""Units and readable names in pages and figures, and nowhere else."""

import re

import pandas as pd
import pytest
from study import contents, make_group_study, run_here

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.wording import OF_THE_MAPS, Wording
from bids_secondlevel.reports.charts.style import axis_label
from bids_secondlevel.reports.readable import named

CONFIG = """
units = "percent signal change"
group-by = "sex"

[[roi]]
name = "UL"
contrasts = ["left"]

[[roi]]
name = "LR"
contrasts = ["right"]

[[planned]]
name = "upper"
task = "main"
contrast = "attend"
roi = "UL"

[labels]
UL = "upper left"
LR = "lower right"
attend = "attended"
F = "women"
"""
NAMES = ("upper left", "lower right", "attended")
LABEL = re.compile(r"(?<![\w.-])(UL|LR|attend)(?![\w.-])")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Results with names and units, and without."""
    root = make_group_study(tmp_path_factory.mktemp("named") / "bids").root
    rows = [f"sub-{label}\t{'FM'[n % 2]}" for n, label in enumerate(("01", "02", "03", "04"))]
    table = "\n".join(["participant_id\tsex", *rows])
    (root / "participants.tsv").write_text(table + "\n")
    outputs = root.with_name("named"), root.with_name("plain")
    without = CONFIG.partition("[labels]")[0].replace('units = "percent signal change"', "")
    for output, content in zip(outputs, (CONFIG, without), strict=True):
        config = output.with_suffix(".toml")
        config.write_text(content)
        given = ("--config", str(config))
        pages = ("--no-report",) if content == without else ()
        each = ("--n-procs", "1", *given, *pages)
        assert run_here(root, output, "participant", *each).returncode == 0
        assert run_here(root, output, "group", *given).returncode == 0
    return root, *outputs


def texts(page):
    """What a reader sees of a page: no addresses, no settings as given."""
    html = page.read_text()
    html = re.sub(r'<pre.*?</pre>|(href|src|id)="[^"]*"', "", html, flags=re.DOTALL)
    return " ".join(re.sub("<[^>]*>", " ", html).split())


@pytest.mark.parametrize("name", ["sub-01.html", "group.html"])
def test_pages_have_names_and_units(made, name):
    _, output, plain = made
    text = texts(output / name)
    for readable in NAMES:
        assert readable in text
    assert "percent signal change" in text
    assert "units of the maps" not in text
    without = texts(plain / "group.html")
    assert "units of the maps" in without
    assert LABEL.search(without)
    assert not LABEL.search(text), text[LABEL.search(text).start() - 200 :][:400]


def test_groups_and_sentences_have_names(made):
    _, output, _ = made
    said = (output / "logs" / "results.md").read_text()
    assert "attended, upper left (women): " in said
    assert "M: mean in percent signal change;" in said
    assert not LABEL.search(said)
    methods = (output / "logs" / "CITATION.md").read_text()
    assert "The ROIs upper left (left) and lower right (right) consist" in methods.replace(
        "\n", " "
    )


def test_charts_have_names_and_units_and_keep_their_files(made):
    _, output, plain = made
    charts = sorted(path.name for path in output.glob("figures/*.svg"))
    assert charts == sorted(path.name for path in plain.glob("figures/*.svg"))
    (chart,) = output.glob("figures/group_task-main_*_desc-estimates_chart.svg")
    svg = chart.read_text()
    said = re.findall("<text[^>]*>([^<]*)", svg)
    assert "effect (percent signal change)" in " ".join(said)
    assert {"upper left", "attended"} <= set(said)
    assert any(text.startswith("women (n = ") for text in said)
    assert not any(LABEL.search(text) for text in said)


def test_no_table_changes(made):
    _, output, plain = made
    tables = sorted(path.relative_to(output) for path in output.rglob("*.tsv"))
    assert len(tables) > 10
    for table in tables:
        assert (output / table).read_bytes() == (plain / table).read_bytes(), table


def test_pages_are_the_same_when_written_again(made):
    root, output, _ = made
    before = contents(output)
    for level in ("participant", "group"):
        assert run_here(root, output, level, "--reports-only").returncode == 0
    assert contents(output) == before


def test_a_name_that_is_a_label_there_keeps_both_apart():
    table = pd.DataFrame({"roi": ["UL", "UR"], "versus": ["L", "R"], "comparison": "hemi"})
    wording = Wording(labels={"UL": "UR", "L": "left"}).among(["UL", "UR", "L"])
    shown = named(table, wording)
    assert list(shown["roi"]) == ["UR (UL)", "UR"]
    assert list(shown["versus"]) == ["L", "R"]  # hemispheres, not ROIs
    swapped = Wording(labels={"UL": "UR", "UR": "UL"}).among(["UL", "UR"])
    assert list(named(table, swapped)["roi"]) == ["UR", "UL"]


def test_everybody_is_not_a_group_of_a_name():
    table = pd.DataFrame({"group": ["all", "F"], "roi": ["all", "n/a"]})
    shown = named(table, Wording(labels={"all": "everything", "F": "women"}))
    assert list(shown["group"]) == ["all", "women"]
    assert list(shown["roi"]) == ["everything", "n/a"]


@pytest.mark.parametrize("labels", [{"a": ""}, {"a": "x\ny"}, {"a": "x", "b": "x"}])
def test_names_that_cannot_be_shown(labels):
    with pytest.raises(UsageError, match=r"\[labels\]"):
        Wording(labels=labels)


def test_a_label_of_nothing_is_reported(made, caplog):
    root, output, _ = made
    config = root.with_name("typo.toml")
    config.write_text('[labels]\nattnd = "attended"\nM = "men"\n')
    options = ("--config", str(config), "--analysis-name", "typo", "--no-report", "--dry-run")
    assert run_here(root, output, "group", *options).returncode == 0
    assert "is called attnd (attnd: did you mean attend?)" in caplog.text


def test_long_units_are_shortened_on_axes():
    assert axis_label("effect", OF_THE_MAPS) == "effect (units of the maps)"
    assert len(axis_label("effect", "x" * 60)) < 50
