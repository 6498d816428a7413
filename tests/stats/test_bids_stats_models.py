"""Dataset-level nodes of BIDS Stats Models, against pybids with nilearn and against statsmodels."""

import json
import warnings
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from bids.layout import BIDSLayout
from bids.modeling import BIDSStatsModelsGraph
from bids.modeling.statsmodels import ContrastInfo
from group_data import in_rows, labels, participants, row
from nilearn.glm import compute_contrast
from nilearn.glm.first_level import run_glm
from scipy import stats
from stats_models import (
    FACTOR_GROUP,
    FACTOR_SEX,
    LEVELS,
    ONE_SAMPLE,
    REALISTIC,
    contrast,
    model,
    node,
)

from bids_secondlevel.core.errors import DataError, NothingSelectedError, UsageError
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.outputs.tables import read_table, write_table
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.models.by_specification import fit_stats_model
from bids_secondlevel.stats.models.specification import check_stats_model
from bids_secondlevel.stats.models.table import MODEL_COLUMNS


def study(seed=0, n=14):
    """Two ROIs of people with an age, a score, a sex, and a group whose labels are numbers."""
    rng = np.random.default_rng(seed)
    table = participants(
        age=[int(a) for a in rng.integers(20, 70, n)],
        score=[round(s, 3) for s in rng.normal(5, 1, n)],
        sex=["FM"[i % 2] for i in range(n)],
        group=[i % 3 + 1 for i in range(n)],
    )
    rows = [
        row(label, rng.normal(0.1 * i, 0.5), roi=roi)
        for i, label in enumerate(labels(n))
        for roi in ("UL", "UR")
    ]
    return rows, table


def fit(specification, rows, table):
    estimates = frame_of(rows, EstimateRow)
    checked = check_stats_model(specification, "model.json")
    return in_rows(fit_stats_model(checked, estimates, table))


def found(results, **columns):
    (only,) = [r for r in results.rows if all(getattr(r, k) == v for k, v in columns.items())]
    return only


def with_pybids(folder, dataset_node, table):
    """Let pybids build the design matrix of a node, as FitLins does."""
    described = {"Name": "study", "BIDSVersion": "1.8.0"}
    (folder / "dataset_description.json").write_text(json.dumps(described))
    lines = ["\t".join(("participant_id", *table.columns))]
    for who, cells in table.values.items():
        (folder / who / "anat").mkdir(parents=True)
        (folder / who / "anat" / f"{who}_T1w.nii.gz").touch()
        lines.append("\t".join((who, *(cells[name] for name in table.columns))))
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n")
    inputs = [
        ContrastInfo("attend", ["attend"], [1], "t", {"subject": who[4:], "contrast": "attend"})
        for who in table.values
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        specification = {"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [dataset_node]}
        graph = BIDSStatsModelsGraph(BIDSLayout(folder), specification)
        graph.load_collections()
        (output,) = graph[dataset_node["Name"]].run(inputs, group_by=["contrast"])
    order = np.argsort(output.metadata["subject"].to_numpy())
    return output.X.iloc[order], output.contrasts


@pytest.mark.parametrize("name", REALISTIC)
def test_equals_pybids_and_nilearn(tmp_path, name):
    rows, table = study()
    dataset_node = REALISTIC[name]
    results = fit(model(dataset_node), rows, table)
    design, contrasts = with_pybids(tmp_path, dataset_node, table)
    values = np.array([[r.estimate for r in rows if r.roi == roi] for roi in ("UL", "UR")]).T
    fitted = run_glm(values, design.to_numpy(), noise_model="ols")
    assert len(results.rows) == 2 * len(contrasts)
    for info in contrasts:
        weights = np.zeros((len(np.atleast_2d(info.weights)), design.shape[1]))
        where = [design.columns.get_loc(condition) for condition in info.conditions]
        weights[:, where] = [
            [float(Fraction(w)) for w in of_row] for of_row in np.atleast_2d(info.weights).tolist()
        ]
        reference = compute_contrast(*fitted, weights, stat_type=info.test)
        own_name = info.name.removeprefix("attend").removeprefix("_") or "intercept"
        for voxel, roi in enumerate(("UL", "UR")):
            r = found(results, name=own_name, roi=roi)
            assert (r.fit, r.node, r.quantity) == ("ols", "dataset", "contrast")
            assert (r.contrast, r.task, r.hemi) == ("attend", "main", "both")
            assert r.test == info.test
            assert r.value == pytest.approx(reference.stat()[voxel])
            assert r.p == pytest.approx(two_sided(reference.p_value()[voxel], info.test))
            assert r.df_residual == 14 - design.shape[1]
            if info.test == "t":
                assert r.coefficient == pytest.approx(np.ravel(reference.effect)[voxel])
                assert r.se == pytest.approx(np.sqrt(np.ravel(reference.variance)[voxel]))
            else:
                assert r.df == len(weights)


def two_sided(p, test):
    """nilearn tests t contrasts on one side."""
    return 2 * min(p, 1 - p) if test == "t" else p


def test_one_sample_and_its_interval():
    rows, table = study()
    r = found(fit(model(ONE_SAMPLE), rows, table), roi="UL")
    values = [x.estimate for x in rows if x.roi == "UL"]
    expected = stats.ttest_1samp(values, 0)
    low, high = expected.confidence_interval()
    assert (r.name, r.n_rows, r.n_participants) == ("intercept", 14, 14)
    assert (r.value, r.p, r.df_residual) == pytest.approx((expected.statistic, expected.pvalue, 13))
    assert (r.ci95_low, r.ci95_high) == pytest.approx((low, high))


def test_two_groups_are_the_two_sample_t():
    rows, table = study()
    r = found(fit(model(REALISTIC["two groups"]), rows, table), roi="UR", name="F>M")
    values = {s: [] for s in "FM"}
    for x in rows:
        if x.roi == "UR":
            values[table.values[x.participant_id]["sex"]].append(x.estimate)
    expected = stats.ttest_ind(values["F"], values["M"])
    assert (r.value, r.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_levels_are_an_analysis_of_variance():
    rows, table = study()
    dataset_node = node(["group.*"], FACTOR_GROUP, contrasts=LEVELS["Contrasts"])
    r = found(fit(model(dataset_node), rows, table), roi="UL", name="any difference")
    groups = [[], [], []]
    for x in rows:
        if x.roi == "UL":
            groups[int(table.values[x.participant_id]["group"]) - 1].append(x.estimate)
    expected = stats.f_oneway(*groups)
    assert (r.test, r.df, r.df_residual, r.coefficient) == ("F", 2, 11, None)
    assert (r.value, r.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_a_contrast_that_is_passed_has_no_test():
    rows, table = study()
    for word in ("pass", "skip"):
        results = fit(model(node([1, "age"], dummies={"Test": word})), rows, table)
        tested = fit(model(node([1, "age"])), rows, table)
        assert [r.name for r in results.rows] == ["intercept", "age"] * 2
        for r, t in zip(results.rows, tested.rows, strict=True):
            assert (r.coefficient, r.se) == (t.coefficient, t.se)
            assert (r.test, r.value, r.p, r.ci95_low) == (None, None, None, None)
            assert r.note == "not tested, because Test is pass"


def test_a_contrast_wins_over_a_dummy_of_its_name():
    rows, table = study()
    dataset_node = node([1, "age"], contrasts=[contrast("age", ["age"], [-1])], dummies=None)
    dataset_node["DummyContrasts"] = {"Test": "t"}
    results = fit(model(dataset_node), rows, table)
    plain = fit(model(node([1, "age"])), rows, table)
    assert [r.name for r in results.rows] == ["intercept", "age"] * 2
    assert found(results, name="age", roi="UL").value == pytest.approx(
        -found(plain, name="age", roi="UL").value
    )


def test_who_is_left_out_is_named():
    rows, table = study(n=8)
    table.values["sub-02"]["age"] = None
    rows[4] = replace(rows[4], estimate=None, status="empty_roi")  # sub-03, UL
    rows += [row("77", 1.0, roi="UL"), row("77", 1.0, roi="UR")]
    results = fit(model(node([1, "age"])), rows, table)
    left, right = (found(results, roi=roi, name="age") for roi in ("UL", "UR"))
    assert left.excluded == "sub-02:age n/a; sub-03:empty_roi; sub-77:not in participants.tsv"
    assert (left.n_rows, right.n_rows) == (6, 7)
    used = [x for x in rows if x.roi == "UL" and x.participant_id not in left.excluded]
    ages = [float(table.values[x.participant_id]["age"]) for x in used]
    assert left.p == pytest.approx(stats.linregress(ages, [x.estimate for x in used]).pvalue)


def test_a_variable_that_is_not_used_leaves_nobody_out():
    rows, table = study(n=8)
    table.values["sub-02"]["score"] = None
    demean = {"Name": "Demean", "Input": ["score"], "Output": ["unused"]}
    results = fit(model(node([1, "age"], demean)), rows, table)
    assert {r.n_rows for r in results.rows} == {8}


def test_means_are_those_of_the_participants_of_a_fit():
    rows, table = study(n=8)
    rows = [r for r in rows if (r.participant_id, r.roi) != ("sub-01", "UL")]
    demean = {"Name": "Demean", "Input": ["age"]}
    results = fit(model(node([1, "age"], demean)), rows, table)
    for roi in ("UL", "UR"):
        mean = np.mean([r.estimate for r in rows if r.roi == roi])
        assert found(results, roi=roi, name="intercept").coefficient == pytest.approx(mean)


def test_what_the_design_cannot_tell_is_a_row_that_says_so():
    rows, table = study()
    dataset_node = node(
        [1, "sex.F", "sex.M"],
        FACTOR_SEX,
        contrasts=[contrast("F>M", ["sex.F", "sex.M"], [1, -1])],
        dummies={"Test": "t"},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = fit(model(dataset_node), rows, table)
    for name in ("intercept", "sex.F", "sex.M"):
        r = found(results, roi="UL", name=name)
        assert "cannot be estimated" in r.note
        assert {r.coefficient, r.se, r.value, r.p} == {None}
    two_groups = fit(model(REALISTIC["two groups"]), rows, table)
    assert found(results, roi="UL", name="F>M").p == pytest.approx(
        found(two_groups, roi="UL", name="F>M").p
    )


def test_a_level_without_numbers_in_a_roi():
    rows, table = study()
    rows = [
        replace(r, estimate=None, status="empty_roi")
        if r.roi == "UL" and table.values[r.participant_id]["group"] == "3"
        else r
        for r in rows
    ]
    results = fit(model(node(["group.*"], FACTOR_GROUP)), rows, table)
    assert found(results, roi="UL", name="group.1").p is not None
    assert "cannot be estimated" in found(results, roi="UL", name="group.3").note
    assert found(results, roi="UR", name="group.3").p is not None


def test_too_few_numbers():
    rows, table = study(n=8)
    rows = [r for r in rows if r.roi == "UR" or r.participant_id in ("sub-01", "sub-02")]
    r = found(fit(model(node([1, "age"])), rows, table), roi="UL")
    assert r.note == "2 numbers for 2 coefficients: no residual degrees of freedom"
    assert {r.quantity, r.coefficient, r.p} == {None}


def several(**columns):
    """Estimates of everyone under each value of a key column."""
    rows, table = study(n=6)
    ((name, values),) = columns.items()
    return [replace(r, **{name: v}) for v in values for r in rows], table


def test_several_numbers_in_a_group_are_an_error_that_says_what_to_add():
    rows, table = several(contrast=("attend", "ignore"))
    with pytest.raises(
        UsageError, match=r"model\.json: node dataset: sub-01 .*Add contrast to GroupBy"
    ):
        fit(model(node([1], group_by=[])), rows, table)
    rows, table = several(session=("1", "2"))
    with pytest.raises(UsageError, match="Add session to GroupBy"):
        fit(model(ONE_SAMPLE), rows, table)
    results = fit(model(node([1], group_by=["contrast", "session"])), rows, table)
    assert {(r.session, r.n_rows) for r in results.rows} == {("1", 6), ("2", 6)}
    rows, table = several(task=("main", "other"))
    everything = model(ONE_SAMPLE, Input={})
    with pytest.raises(UsageError, match="Add task to GroupBy"):
        fit(everything, rows, table)
    assert {r.task for r in fit(model(ONE_SAMPLE), rows, table).rows} == {"main"}


def test_edges_and_inputs_choose():
    rows, table = several(contrast=("attendLeft", "ignore"))
    edges = [
        {"Source": "run", "Destination": "subject"},
        {"Source": "subject", "Destination": "a", "Filter": {"contrast": ["ATTENDleft"]}},
        {"Source": "subject", "Destination": "b", "Filter": {"contrast": ["nothing", "ignore"]}},
        {"Source": "subject", "Destination": "c"},
    ]
    nodes = [node([1], name=name) for name in "abc"]
    inputs = {"subject": ["sub-01", "02", "03", "05"], "task": "MAIN", "run": [1, 2]}
    results = fit(model(*nodes, edges=edges, Input=inputs), rows, table)
    assert {(r.node, r.contrast) for r in results.rows} == {
        ("a", "attendLeft"),
        ("b", "ignore"),
        ("c", "attendLeft"),
        ("c", "ignore"),
    }
    assert {r.n_rows for r in results.rows} == {4}
    assert any("Input: run selects images" in m for m in results.messages)
    assert any("node b: no estimate has contrast nothing" in m for m in results.messages)
    assert any(m.startswith("run (Run), subject (Subject): not fitted") for m in results.messages)
    with pytest.raises(NothingSelectedError, match="there is no task rest"):
        fit(model(ONE_SAMPLE, Input={"task": ["rest"]}), rows, table)


def test_groups_of_participants():
    rows, table = study(n=9)
    table.values["sub-09"]["sex"] = None
    results = fit(model(node([1], group_by=["contrast", "sex"])), rows, table)
    for subset, people in (("sex=F", "1357"), ("sex=M", "2468")):
        r = found(results, roi="UL", subset=subset)
        values = [x.estimate for x in rows if x.roi == "UL" and x.participant_id[-1] in people]
        assert (r.n_rows, r.coefficient) == (4, pytest.approx(np.mean(values)))
    nobody = found(results, roi="UL", subset="sex=n/a")
    assert (nobody.n_rows, nobody.excluded, nobody.note) == (0, "sub-09:sex n/a", "no estimate")


def test_circular_estimates_and_hemispheres_are_not_used():
    rows, table = study()
    more = [replace(r, contrast="loc", estimate=9.0, independence="circular") for r in rows]
    more += [replace(r, hemi=hemi, estimate=7.0) for r in rows for hemi in "LR"]
    assert (
        fit(model(ONE_SAMPLE), rows + more, table).rows == fit(model(ONE_SAMPLE), rows, table).rows
    )
    with pytest.raises(DataError, match="all remaining estimates are circular"):
        fit(model(ONE_SAMPLE), more, table)


@pytest.mark.parametrize(
    ("dataset_node", "error", "said"),
    [
        (node([1, "agee"]), UsageError, "there is no variable agee; .* are age, .*score"),
        (node([1, "x.*"]), UsageError, r"there is no variable x\.\*"),
        (node([1, "sex"]), UsageError, "sex holds 'F' .* transformation Factor"),
        (node([1, "sex.X"], FACTOR_SEX), UsageError, r"no variable sex\.X; .* sex\.F, sex\.M"),
        (node([1, "sex"], FACTOR_SEX), UsageError, "there is no variable sex;"),
        (
            node([1, "x"], {"Name": "Demean", "Input": ["sex"], "Output": ["x"]}),
            UsageError,
            "sex holds 'F'",
        ),
        (
            node([1, "age"], {"Name": "Demean", "Input": ["size"]}),
            UsageError,
            "there is no variable size",
        ),
        (
            node(
                [1],
                {"Name": "Product", "Input": ["age", "score"], "Output": "x"},
                {"Name": "Factor", "Input": ["x"]},
            ),
            UsageError,
            "Factor: x is not a column",
        ),
        (
            node([1], contrasts=[contrast("c", ["age"], [1])]),
            UsageError,
            "contrast c: age is not in Model.X, which has intercept",
        ),
        (
            node([1], dummies={"Contrasts": ["age"], "Test": "t"}),
            UsageError,
            "DummyContrasts: age is not in Model.X",
        ),
        (
            node([1], group_by=["contrast", "site"]),
            UsageError,
            "GroupBy site: expected contrast, task, session, space, or a column",
        ),
        (node([1, "flat"]), DataError, r"flat is the same \(3\) for all"),
        (node([1, "rare"]), DataError, "rare is n/a for 13 of 14 participants"),
        (
            node(["flat.3"], {"Name": "Factor", "Input": "flat"}),
            DataError,
            r"flat is the same \(3\)",
        ),
    ],
)
def test_what_cannot_be_fitted(dataset_node, error, said):
    rows, table = study()
    for i, cells in enumerate(table.values.values()):
        cells |= {"flat": "3", "rare": "1" if i == 0 else None}
    table = replace(table, columns=(*table.columns, "flat", "rare"))
    with pytest.raises(error, match=said):
        fit(model(dataset_node), rows, table)


def test_numbers_that_name_groups_are_told():
    rows, table = study()
    table = replace(table, categorical=frozenset(["group"]))
    results = fit(model(node([1, "group"])), rows, table)
    assert any("group has Levels in participants.json" in m for m in results.messages)
    results = fit(model(node(["group.*"], FACTOR_GROUP)), rows, table)
    assert not any("Levels" in m for m in results.messages)


def test_no_participants_table_is_needed_for_one_sample():
    rows, table = study()
    assert fit(model(ONE_SAMPLE), rows, ParticipantsTable()) == fit(model(ONE_SAMPLE), rows, table)
    with pytest.raises(UsageError, match="are intercept"):
        fit(model(node([1, "age"])), rows, ParticipantsTable())


def test_the_table_can_be_written_and_read_back(tmp_path):
    rows, table = study()
    checked = check_stats_model(model(LEVELS, node([1], name="other")), "model.json")
    written = fit_stats_model(checked, frame_of(rows, EstimateRow), table).table
    path = tmp_path / "group_model.tsv"
    write_table(path, written, MODEL_COLUMNS, {})
    pd.testing.assert_frame_equal(read_table(path, MODEL_COLUMNS), written)


def test_the_text_names_nodes_and_rois():
    rows, table = study()
    text = fit(model(LEVELS, node([1], name="other")), rows, table).summary
    assert text.startswith("Model: a model, node dataset\nModel: a model, node other\n")
    assert text.count("== node dataset, task main") == 2
    assert text.count("== node other, task main") == 2
    assert "any difference  F(2, 10) = " in text


def with_column(table, name, cells):
    values = {
        who: {**of, name: cell} for (who, of), cell in zip(table.values.items(), cells, strict=True)
    }
    return replace(table, columns=(*table.columns, name), values=values)


def test_what_becomes_categories_is_reported_with_its_levels():
    rows, table = study()
    factor = {"Name": "Factor", "Input": ["group"]}
    said = fit(model(node([1, "group.2"], factor)), rows, table).messages
    assert sum("Factor makes categories of group: 3 levels (1, 2, 3)." in of for of in said) == 1


def test_commas_units_and_codes_for_missing_values():
    rows, table = study()
    for cells in (["0,5", "1,5"] * 7, ["12 kg", "15 kg"] * 7):
        with pytest.raises(DataError, match=f"weight: '{cells[0]}' .* Write "):
            fit(model(node([1, "weight"])), rows, with_column(table, "weight", cells))
    coded = with_column(table, "weight", ["50", "61", "-999", *["72"] * 11])
    said = fit(model(node([1, "weight"])), rows, coded).messages
    code = "weight: -999 in participants.tsv lies far from all other numbers (50 to 72)"
    assert sum(code in of for of in said) == 1
