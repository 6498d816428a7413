"""BIDS Stats Models, against statsmodels and nilearn."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from models import estimate_row, find, simulate
from nilearn.glm import Contrast, compute_contrast
from nilearn.glm.first_level import run_glm
from scipy import stats
from study import make_study, read_tsv

from bids_secondlevel.bids_stats_models import fit_stats_model
from bids_secondlevel.cli import main
from bids_secondlevel.errors import DataError, UsageError
from bids_secondlevel.participants_table import read_stats_model


def node(**changes):
    return {
        "Level": "Dataset",
        "Name": "group",
        "GroupBy": ["contrast"],
        "Model": {"Type": "glm", "X": [1]},
        "DummyContrasts": {"Test": "t"},
        **changes,
    }


def specification(*nodes, **changes):
    return {
        "Name": "attention",
        "BIDSModelVersion": "1.0.0",
        "Nodes": [
            {
                "Level": "Run",
                "Name": "run",
                "GroupBy": ["run", "subject"],
                "Model": {"Type": "glm", "X": ["attend", "ignore", 1]},
                "DummyContrasts": {"Test": "t"},
            },
            *(nodes or [node()]),
        ],
        **changes,
    }


FACTOR = {
    "Transformer": "pybids-transforms-v1",
    "Instructions": [{"Name": "Factor", "Input": ["group"]}],
}


def test_a_one_sample_test_of_every_roi_and_contrast():
    rows, table, frame = simulate()
    results = fit_stats_model(specification(), rows, table)
    assert len(results.rows) == 6
    for (roi, contrast), of_cell in frame.groupby(["roi", "contrast"]):
        row = find(results, roi=roi, contrast=contrast)
        expected = stats.ttest_1samp(of_cell.estimate, 0)
        assert (row.model, row.name, row.kind, row.task) == (
            "group",
            "intercept",
            "contrast",
            "main",
        )
        assert (row.test, row.df) == ("t", 23)
        assert (row.test_statistic, row.p) == pytest.approx((expected.statistic, expected.pvalue))
        assert row.value == pytest.approx(of_cell.estimate.mean())
    assert "run is taken as done by the first level" in results.messages[0]


def design(frame):
    columns = [np.ones(len(frame)), frame.age, frame.group == "a", frame.group == "b"]
    return np.column_stack(columns).astype(float)


def test_groups_and_a_covariate_equal_statsmodels():
    rows, table, frame = simulate(rois=("UL",), contrasts=("attend",))
    model = node(
        Model={"Type": "glm", "X": ["group.*", "age"]},
        Transformations=FACTOR,
        DummyContrasts={"Test": "t", "Contrasts": ["age"]},
        Contrasts=[
            {
                "Name": "bOverA",
                "ConditionList": ["group.b", "group.a"],
                "Weights": [1, -1],
                "Test": "t",
            },
            {
                "Name": "mean",
                "ConditionList": ["group.b", "group.a"],
                "Weights": ["1/2", "1/2"],
                "Test": "pass",
            },
            {
                "Name": "any",
                "ConditionList": ["group.a", "group.b"],
                "Weights": [[1, 0], [0, 1]],
                "Test": "F",
            },
        ],
    )
    results = fit_stats_model(specification(model), rows, table)
    x = design(frame)[:, [2, 3, 1]]
    theirs = sm.OLS(frame.estimate.to_numpy(), x).fit()
    for name, weights in (("age", [0, 0, 1]), ("bOverA", [-1, 1, 0])):
        expected = theirs.t_test(np.array(weights))
        row = find(results, name=name)
        assert row.value == pytest.approx(float(expected.effect[0]))
        assert row.se == pytest.approx(float(expected.sd[0, 0]))
        assert row.p == pytest.approx(float(expected.pvalue))
        assert (row.ci95_low, row.ci95_high) == pytest.approx(tuple(expected.conf_int()[0]))
    row = find(results, name="any")
    expected = theirs.f_test(np.eye(3)[:2])
    assert (row.test, row.df, row.df_residual) == ("F", 2, 21)
    assert (row.test_statistic, row.p) == pytest.approx((expected.fvalue, expected.pvalue))
    row = find(results, name="mean")
    assert row.value == pytest.approx(theirs.params[:2].mean())
    assert (row.test, row.test_statistic, row.p) == (None, None, None)


def test_equal_to_nilearn():
    rows, table, frame = simulate(rois=("UL",), contrasts=("attend",))
    model = node(Model={"Type": "glm", "X": [1, "age"]})
    results = fit_stats_model(specification(model), rows, table)
    labels, fits = run_glm(frame.estimate.to_numpy()[:, None], design(frame)[:, :2], "ols")
    theirs = compute_contrast(labels, fits, np.array([0.0, 1.0]))
    assert isinstance(theirs, Contrast)
    row = find(results, name="age")
    assert row.test_statistic == pytest.approx(float(theirs.stat()[0]))


def test_scaling_changes_the_intercept_only():
    rows, table, frame = simulate(rois=("UL",), contrasts=("attend",))
    scale = {"Name": "Scale", "Input": ["age"], "Output": ["z"]}
    steps = {"Transformer": "pybids-transforms-v1", "Instructions": [scale]}
    plain = node(Model={"Type": "glm", "X": [1, "age"]})
    scaled = node(Model={"Type": "glm", "X": [1, "z"]}, Transformations=steps)
    age = find(fit_stats_model(specification(plain), rows, table), name="age")
    results = fit_stats_model(specification(scaled), rows, table)
    z = find(results, name="z")
    assert z.test_statistic == pytest.approx(age.test_statistic)
    assert z.value == pytest.approx(age.value * frame.age.std(ddof=1))
    assert find(results, name="intercept").value == pytest.approx(frame.estimate.mean())


def test_a_contrast_that_the_design_does_not_determine():
    rows, table, _ = simulate(rois=("UL",), contrasts=("attend",))
    model = node(
        Model={"Type": "glm", "X": [1, "group.a", "group.b"]},
        Transformations=FACTOR,
        Contrasts=[
            {
                "Name": "difference",
                "ConditionList": ["group.a", "group.b"],
                "Weights": [1, -1],
                "Test": "t",
            }
        ],
    )
    results = fit_stats_model(specification(model), rows, table)
    alone = find(results, name="group.a")
    assert (alone.value, alone.p) == (None, None)
    assert "not of full rank" in alone.note
    difference = find(results, name="difference")
    assert difference.df == 22
    assert difference.p is not None


def test_edges_and_inputs_select():
    rows, table, _ = simulate()
    edges = [{"Source": "run", "Destination": "group", "Filter": {"contrast": ["ATTEND"]}}]
    results = fit_stats_model(specification(Edges=edges), rows, table)
    assert {row.contrast for row in results.rows} == {"attend"}
    some = specification(Input={"subject": ["01", "02", "03"], "task": ["main"], "run": [1]})
    results = fit_stats_model(some, rows, table)
    assert {row.n_participants for row in results.rows} == {3}
    with pytest.raises(UsageError, match="nothing has task other; there are: main"):
        fit_stats_model(specification(Input={"task": ["other"]}), rows, table)


def test_without_grouping_a_participant_has_one_estimate_or_there_is_an_error():
    rows, table, _ = simulate()
    with pytest.raises(UsageError, match="add contrast to GroupBy"):
        fit_stats_model(specification(node(GroupBy=[])), rows, table)
    one = [row for row in rows if row.contrast == "attend"]
    results = fit_stats_model(specification(node(GroupBy=[])), one, table)
    assert {(row.contrast, row.n_rows) for row in results.rows} == {("attend", 24)}
    twice = [*one, *(replace(row, session="2") for row in one)]
    with pytest.raises(UsageError, match="add session to GroupBy"):
        fit_stats_model(specification(), twice, table)


def test_a_missing_covariate_costs_its_participant():
    rows, table, frame = simulate(rois=("UL",), contrasts=("attend",))
    values = {n: {**v, "age": None} if n == "sub-02" else v for n, v in table.values.items()}
    model = node(Model={"Type": "glm", "X": [1, "age"]})
    results = fit_stats_model(specification(model), rows, replace(table, values=values))
    row = find(results, name="age")
    assert (row.n_participants, row.excluded) == (23, "sub-02:age n/a")
    kept = frame[frame.participant_id != "sub-02"]
    assert row.value == pytest.approx(stats.linregress(kept.age, kept.estimate).slope)


def test_circular_estimates_are_never_fitted():
    rows, table, _ = simulate(n=5)
    circular = [replace(row, independence="circular") for row in rows]
    with pytest.raises(DataError, match="circular"):
        fit_stats_model(specification(), circular, table)


def test_too_few_participants():
    rows = [estimate_row("sub-01", 1.0), estimate_row("sub-02", 2.0)]
    model = node(Model={"Type": "glm", "X": [1, "age"]})
    _, table, _ = simulate(n=3)
    results = fit_stats_model(specification(model), rows, table)
    assert {(row.name, row.p) for row in results.rows} == {("intercept", None), ("age", None)}
    assert all("too few" in row.note for row in results.rows)


def instructions(*steps):
    return {"Transformer": "pybids-transforms-v1", "Instructions": list(steps)}


CONTRAST = {"Name": "c", "ConditionList": [1], "Weights": [1], "Test": "t"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Model": {"Type": "meta", "X": [1]}}, "Type meta is not supported"),
        ({"Model": {"Type": "glm", "X": [1], "Formula": "1 + age"}}, "Formula is not supported"),
        ({"GroupBy": ["contrast", "subject"]}, "GroupBy subject is not supported"),
        ({"Model": {"Type": "glm", "X": [1, "weight"]}}, "X names weight, which there is not"),
        ({"Model": {"Type": "glm", "X": [1, "group"]}}, "X names group, which is no number"),
        ({"Transformations": instructions({"Name": "Convolve"})}, "Convolve is not supported"),
        (
            {"Transformations": instructions({"Name": "Scale", "Input": ["age"], "By": 2})},
            "Scale with By is not supported",
        ),
        ({"Transformations": instructions({"Name": "Factor"})}, "Factor has no Input"),
        ({"Transformations": instructions({"Name": "Factor", "Input": ["no"]})}, "input no"),
        ({"Transformations": instructions({"Name": "Scale", "Input": ["group"]})}, "no number"),
        ({"Contrasts": [{**CONTRAST, "ConditionList": ["age"]}]}, "names age; X has intercept"),
        ({"Contrasts": [{**CONTRAST, "Weights": [1, 2]}]}, "1 conditions, and other numbers"),
        ({"Contrasts": [{**CONTRAST, "Weights": ["x"]}]}, "weights that are no numbers"),
        ({"Contrasts": [{**CONTRAST, "Weights": [[1], [2]]}]}, "several rows of weights"),
        ({"Contrasts": [CONTRAST, CONTRAST]}, "two contrasts are called c"),
        ({"DummyContrasts": None}, "nothing is asked for"),
    ],
)
def test_what_is_not_supported_is_named(changes, message):
    rows, table, _ = simulate(n=6)
    with pytest.raises(UsageError, match=message) as caught:
        fit_stats_model(specification(node(**changes)), rows, table)
    assert "node group" in str(caught.value)


def test_nodes_of_nodes_are_not_supported():
    rows, table, _ = simulate(n=6)
    with pytest.raises(UsageError, match="follows the dataset node group"):
        fit_stats_model(specification(node(), node(Name="second")), rows, table)
    edges = [{"Source": "run", "Destination": name} for name in ("group", "second")]
    both = specification(node(), node(Name="second"), Edges=edges)
    results = fit_stats_model(both, rows, table)
    assert {row.model for row in results.rows} == {"group", "second"}


def test_no_dataset_level():
    rows, table, _ = simulate(n=6)
    with pytest.raises(UsageError, match="no node of level Dataset"):
        fit_stats_model(specification(node(Level="Subject")), rows, table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "is no valid BIDS Stats Model"),
        (json.dumps({"Name": "x"}), "Nodes: Field required"),
        (json.dumps(specification(node(Level="Group"))), r"Nodes\.1\.Level"),
        (json.dumps(specification(node(), node())), "two nodes have the same name"),
    ],
)
def test_files_that_are_no_model(tmp_path, text, message):
    path = tmp_path / "model-x_smdl.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_stats_model(path)
    assert str(path) in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_stats_model(Path(tmp_path / "none.json"))


def test_from_files_to_the_table(tmp_path, output):
    study = make_study(tmp_path / "bids", {f"{i:02}": float(i * i) for i in range(1, 6)})
    path = tmp_path / "model-attention_smdl.json"
    path.write_text(json.dumps(specification()))
    common = [str(study.root), str(output)]
    assert main([*common, "participant", "--n-procs", "1"]) == 0
    assert main([*common, "group", "--model", str(path)]) == 0
    rows = read_tsv(output / "group_model.tsv")
    tested = read_tsv(output / "group_statistics.tsv")
    for row in rows:
        (expected,) = [
            r
            for r in tested
            if all(r[name] == row[name] for name in ("task", "contrast", "roi", "hemi"))
        ]
        assert float(row["value"]) == pytest.approx(float(expected["mean"]))
        assert float(row["p"]) == pytest.approx(float(expected["p"]))
    assert {(row["roi"], row["task"]) for row in rows} == {("left", "main"), ("right", "main")}
    assert main([*common, "group", "--model", str(tmp_path / "none.json")]) == 64
