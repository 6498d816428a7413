"""--model, from files to the table."""

import json
import shutil

import numpy as np
import pytest
from study import EFFECT, Study, contents, make_study, read_tsv, write_gifti

from bids_secondlevel.cli.main import main

AGES = np.array([20, 25, 31, 38, 44, 52, 57, 63])
OFFSETS = 0.1 * AGES + np.arange(8) % 3 / 10


@pytest.fixture(scope="module")
def processed_once(tmp_path_factory):
    """Eight participants whose effects rise with age; a ninth is in participants.tsv only."""
    folder = tmp_path_factory.mktemp("processed")
    study = make_study(folder / "bids", {f"{i:02}": x for i, x in enumerate(OFFSETS)})
    lines = [f"sub-{i:02}\t{age}\t{1 + i % 2}" for i, age in enumerate(AGES)]
    text = "\n".join(["participant_id\tage\tgroup", *lines, "sub-99\t30\t1"]) + "\n"
    (study.root / "participants.tsv").write_text(text)
    (study.root / "participants.json").write_text(json.dumps({"group": {"Levels": {"1": "a"}}}))
    assert main([str(study.root), str(folder / "out"), "participant", "--no-report"]) == 0
    return folder


@pytest.fixture
def processed(processed_once, tmp_path):
    """Give each test a copy of the study and its results."""
    shutil.copytree(processed_once, tmp_path, dirs_exist_ok=True)
    return Study(tmp_path / "bids")


def group(study, output, *options):
    return main([str(study.root), str(output), "group", "--no-report", *options])


def model_rows(output, **cell):
    rows = read_tsv(output / "group_model.tsv")
    return [row for row in rows if all(row[name] == value for name, value in cell.items())]


def test_coefficients_are_those_of_least_squares(processed, output):
    assert group(processed, output, "--model", "estimate ~ age + group") == 0
    (row,) = model_rows(output, roi="left", name="age")
    design = np.column_stack([np.ones(8), AGES, np.arange(8) % 2])
    expected = np.linalg.lstsq(design, OFFSETS)[0][1]
    assert float(row["coefficient"]) == pytest.approx(expected, rel=1e-4)
    assert (row["task"], row["n_participants"]) == ("main", "8")
    # Who is only in participants.tsv is listed everywhere.
    assert row["excluded"] == "sub-99:missing_participant"
    estimates = read_tsv(output / "group_estimates.tsv")
    assert {r["status"] for r in estimates if r["participant_id"] == "sub-99"} == {
        "missing_participant"
    }
    # Its numbers are levels, by participants.json.
    assert model_rows(output, name="group[T.2]")
    text = (output / "logs" / "group_model.txt").read_text()
    assert "estimate ~ age + group" in text
    described = json.loads((output / "group_model.json").read_text())
    assert described["Model"] == "estimate ~ age + group"
    assert set(read_tsv(output / "group_model.tsv")[0]) <= set(described)


def test_repeated_measures(processed, output):
    extra = [0.0, 0.4, 0.8, 0.4, 0.0, 0.8, 0.4, 0.0]  # at vertex 2, which is in right only
    for i, (offset, more) in enumerate(zip(OFFSETS, extra, strict=True)):
        values = [value + offset + more * (vertex == 2) for vertex, value in enumerate(EFFECT["R"])]
        write_gifti(processed.map_path(f"{i:02}", "main", "R", "attend", "effect"), values, "R")
    assert main([str(processed.root), str(output), "participant", "--no-report"]) == 0
    assert group(processed, output, "--model", "estimate ~ roi + age") == 0
    (row,) = model_rows(output, name="roi[T.right]")
    assert (row["fit"], row["test"], row["n_rows"]) == ("mixed", "t", "16")
    # Left holds vertices with 11, 12 and 100, right those with 100 and 102.
    assert float(row["coefficient"]) == pytest.approx(101 - 41 + np.mean(extra) / 2)
    assert float(row["df_residual"]) == pytest.approx(7)


def test_reasons_and_selection_are_with_the_model(processed, output, tmp_path):
    exclude = tmp_path / "exclude.tsv"
    exclude.write_text("participant_id\treason\n00\tmoved\n")
    options = ["--exclude", str(exclude), "--model", "estimate ~ age"]
    assert group(processed, output, *options) == 0
    (row,) = model_rows(output, roi="left", name="age")
    assert row["excluded"] == "sub-00:excluded (moved); sub-99:missing_participant"
    described = json.loads((output / "group_model.json").read_text())
    assert described["Selection"]["Excluded"] == {"sub-00": "moved"}


def test_a_wrong_model_is_told_before_anything_is_written(processed, output, capsys):
    assert group(processed, output, "--model", "estimate ~ age") == 0
    before = contents(output)
    assert group(processed, output, "--model", "estimate ~ weight") == 64
    assert "there is no column weight" in capsys.readouterr().err
    assert group(processed, output, "--model", "none.json") == 66
    assert contents(output) == before


def test_a_model_that_does_not_fit_the_data_costs_no_table(processed, output, capsys):
    path = processed.root / "participants.tsv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{header}\tsite", *(f"{line}\t1" for line in lines)]) + "\n")
    assert group(processed, output, "--model", "estimate ~ age") == 0
    (output / "group_statistics.tsv").unlink()
    assert group(processed, output, "--model", "estimate ~ site") == 65
    assert "site is the same (1.0) for all" in capsys.readouterr().err
    assert (output / "group_statistics.tsv").exists()
    assert not (output / "group_model.tsv").exists()
    assert not (output / "logs" / "group_model.txt").exists()


def test_a_model_that_fits_nowhere(processed, output):
    options = ["--participant-label", "00", "01", "--model", "estimate ~ age"]
    assert group(processed, output, *options) == 65
    rows = model_rows(output)
    assert {row["quantity"] for row in rows} == {"n/a"}
    assert all("residual degrees of freedom" in row["note"] for row in rows)


def test_without_a_model_an_earlier_one_goes(processed, output):
    assert group(processed, output, "--model", "estimate ~ age") == 0
    assert group(processed, output) == 0
    assert not [name for name in contents(output) if "group_model" in name]


def test_a_dry_run_tries_the_model_and_writes_nothing(processed, output):
    before = contents(output)
    assert group(processed, output, "--dry-run", "--model", "estimate ~ age") == 0
    assert group(processed, output, "--dry-run", "--model", "estimate ~ nonsense") == 64
    assert contents(output) == before


def test_a_broken_participants_file(processed, output, caplog):
    (processed.root / "participants.tsv").write_text("subject\tage\n01\t3\n")
    assert group(processed, output) == 0
    assert "has no column participant_id" in caplog.text
    assert group(processed, output, "--model", "estimate ~ age") == 65


def test_columns_with_numbers_and_something_else(processed, output, capsys):
    path = processed.root / "participants.tsv"
    path.write_text(path.read_text().replace("\t63\t", "\t89+\t"))
    assert group(processed, output, "--model", "estimate ~ age") == 65
    assert "'89+'" in capsys.readouterr().err


def test_a_bids_stats_model(processed, output, tmp_path):
    specification = {
        "Name": "attention",
        "BIDSModelVersion": "1.0.0",
        "Nodes": [
            {
                "Level": "Dataset",
                "Name": "mean",
                "GroupBy": ["contrast"],
                "Model": {"Type": "glm", "X": [1]},
                "DummyContrasts": {"Test": "t"},
            }
        ],
    }
    path = tmp_path / "model-attention_smdl.json"
    path.write_text(json.dumps(specification))
    assert group(processed, output, "--model", str(path)) == 0
    tested = {
        (r["task"], r["contrast"], r["roi"]): r
        for r in read_tsv(output / "group_statistics.tsv")
        if r["hemi"] == "both"
    }
    rows = model_rows(output)
    assert {row["roi"] for row in rows} == {"left", "right"}
    for row in rows:
        expected = tested[row["task"], row["contrast"], row["roi"]]
        assert float(row["coefficient"]) == pytest.approx(float(expected["mean"]))
        assert float(row["p"]) == pytest.approx(float(expected["p"]))
    described = json.loads((output / "group_model.json").read_text())
    assert described["ModelSpecification"] == specification
    assert group(processed, output, "--model", str(tmp_path / "none.json")) == 66


def test_planned_contrasts_groups_and_anova(processed, output, tmp_path):
    config = tmp_path / "planned.toml"
    config.write_text(
        'group-by = "group"\nanova = ["roi"]\nequivalence-bound = 5\nrobust = true\n'
        '[[planned]]\nname = "right - left"\nroi = { Right = 1, LEFT = -1 }\n'
        'contrast = "attend"\ntask = "main"\n'
    )
    options = ["--config", str(config), "--model", "planned ~ age"]
    # A planned contrast may name what is not selected.
    chosen = [*options, "--roi-contrasts", "left"]
    assert group(processed, output, *options) == 0
    rows = read_tsv(output / "group_planned.tsv")
    assert [(r["name"], r["group"], r["versus"]) for r in rows] == [
        ("right - left", "all", "n/a"),
        ("right - left", "1", "n/a"),
        ("right - left", "2", "n/a"),
        ("right - left", "1", "2"),
    ]
    # Left holds vertices with 11, 12 and 100, right those with 100 and 102, in everybody.
    assert [float(r["mean"]) for r in rows[:3]] == pytest.approx([60.0] * 3)
    statistics = read_tsv(output / "group_statistics.tsv")
    assert {r["group"] for r in statistics} == {"all", "1", "2"}
    of_one = [r for r in statistics if (r["group"], r["hemi"]) == ("1", "both")]
    assert {r["n"] for r in of_one} == {"4"}
    compared = read_tsv(output / "group_comparisons.tsv")
    of_groups = [r for r in compared if (r["comparison"], r["versus"]) == ("group", "2")]
    assert {r["p_mannwhitney"] for r in of_groups if r["hemi"] == "both"} != {"n/a"}
    described = json.loads((output / "group_comparisons.json").read_text())
    assert {"u_mannwhitney", "p_mannwhitney", "p_yuen", "p_wilcoxon"} <= set(described)
    assert "p_mannwhitney" not in statistics[0]
    (term,) = [r for r in read_tsv(output / "group_anova.tsv") if r["term"] == "roi"]
    assert term["n"] == "8"
    assert model_rows(output)[0]["contrast"] == "right - left"
    words = (output / "logs" / "results.md").read_text()
    assert "- attend, left: M = " in words
    described = json.loads((output / "group_statistics.json").read_text())
    assert described["EquivalenceBound"] == 5
    assert described["Groups"]["sub-00"] == "1"
    assert group(processed, output, *chosen, "--analysis-name", "left") == 0
    named = output / "analyses" / "left"
    assert read_tsv(named / "group_planned.tsv") == rows
    # They go with what asked for them.
    assert group(processed, output) == 0
    assert not (output / "group_planned.tsv").exists()
    assert not (output / "group_anova.tsv").exists()


def test_the_page_has_what_was_planned_first_and_groups_apart(processed, output, tmp_path):
    config = tmp_path / "planned.toml"
    config.write_text(
        'group-by = "group"\n[[planned]]\nname = "only left"\nroi = "left"\ncontrast = "attend"\n'
        'task = "main"\n'
    )
    arguments = [str(processed.root), str(output), "group", "--config", str(config)]
    assert main(arguments) == 0
    page = (output / "group.html").read_text()
    first = ("Who is ready", "Planned contrasts", "Estimates and tests")
    places = [page.index(f"{title}</h2>") for title in first]
    assert places == sorted(places)
    assert "only left: M = " in page
    assert "The tests against 0 form" in page
    again = [str(processed.root), str(output), "group", "--config", str(config), "--reports-only"]
    assert main(again) == 0
    assert (output / "group.html").read_text() == page


def test_a_planned_contrast_of_what_is_not_there(processed, output, tmp_path, capsys):
    config = tmp_path / "planned.toml"
    config.write_text('[[planned]]\nname = "x"\nroi = "top"\ncontrast = "attend"\ntask = "main"\n')
    assert group(processed, output, "--config", str(config)) == 64
    assert "[[planned]] 'x': there is no roi top; there are left, right" in capsys.readouterr().err
    config.write_text('[[planned]]\nname = "x"\nroi = { left = "a" }\n')
    assert group(processed, output, "--config", str(config)) == 64
    assert "[[planned]] number 1: roi = {'left': 'a'}; expected" in capsys.readouterr().err
    assert group(processed, output, "--group-by", "weight") == 64
    assert (
        "participants.tsv has no such column. Its columns are: age, group"
        in capsys.readouterr().err
    )
