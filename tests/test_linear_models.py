"""Models by formula, against statsmodels' own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from models import estimate_row, find, simulate
from scipy import stats
from statsmodels.stats.anova import anova_lm
from study import make_study, read_tsv

from bids_secondlevel.cli import main
from bids_secondlevel.errors import DataError, UsageError
from bids_secondlevel.linear_models import fit_formula
from bids_secondlevel.model import ParticipantsTable

NOBODY = ParticipantsTable(Path("participants.tsv"))


def coefficients(results, **cell):
    rows = [r for r in results.rows if r.kind == "coefficient"]
    return {r.name: r for r in rows if all(getattr(r, k) == v for k, v in cell.items())}


def test_least_squares_equal_statsmodels():
    rows, table, frame = simulate()
    results = fit_formula("estimate ~ age + group", rows, table)
    cell = {"roi": "UR", "contrast": "ignore"}
    theirs = smf.ols(
        "estimate ~ age + group", frame[(frame.roi == "UR") & (frame.contrast == "ignore")]
    ).fit()
    ours = coefficients(results, **cell)
    assert set(ours) == {"Intercept", "age", "group[T.b]"}
    interval = theirs.conf_int()
    for name, row in ours.items():
        assert (row.value, row.se) == pytest.approx((theirs.params[name], theirs.bse[name]))
        assert (row.test, row.df) == ("t", theirs.df_resid)
        assert row.test_statistic == pytest.approx(theirs.tvalues[name])
        assert row.p == pytest.approx(theirs.pvalues[name])
        assert (row.ci95_low, row.ci95_high) == pytest.approx(tuple(interval.loc[name]))
    residual = find(results, kind="variance", name="residual", **cell)
    assert residual.value == pytest.approx(theirs.scale)
    assert {row.fit for row in results.rows} == {"ols"}
    # A fit for each ROI and contrast, as the formula names neither.
    assert len({(row.roi, row.contrast) for row in results.rows}) == 6


def test_mixed_models_equal_statsmodels():
    rows, table, frame = simulate()
    formula = "estimate ~ roi * contrast + age + group"
    results = fit_formula(formula, rows, table)
    theirs = smf.mixedlm(formula, frame, groups=frame.participant_id).fit()
    ours = coefficients(results)
    assert len(ours) == 8
    for name, row in ours.items():
        assert row.value == pytest.approx(theirs.fe_params[name], rel=1e-4)
        assert row.se == pytest.approx(theirs.bse_fe[name], rel=1e-3)
        assert row.p == pytest.approx(theirs.pvalues[name], rel=1e-2, abs=1e-12)
        assert (row.test, row.roi, row.contrast, row.task) == ("z", None, None, "main")
    variance = find(results, kind="variance", name="participant_id").value
    assert variance == pytest.approx(float(theirs.cov_re.iloc[0, 0]), rel=1e-3)
    row = find(results, kind="term", name="roi:contrast")
    wald = theirs.wald_test_terms(scalar=True).table.loc["roi:contrast"]
    assert (row.test, row.df) == ("chi2", 2)
    assert row.test_statistic == pytest.approx(wald["statistic"], rel=1e-3)
    assert {(r.fit, r.converged, r.n_rows, r.n_participants) for r in results.rows} == {
        ("mixed", "yes", 144, 24)
    }


def test_terms_are_tested_as_in_an_analysis_of_variance_of_type_iii():
    # One estimate of each participant, and factors between participants that interact.
    rows, table, frame = simulate(n=40, rois=("UL",), contrasts=("attend",))
    results = fit_formula("estimate ~ group * site + age", rows, with_levels(table, "site"))
    model = "estimate ~ C(group, Sum) * C(site, Sum) + age"
    theirs = anova_lm(smf.ols(model, frame).fit(), typ=3)
    names = {"group": "C(group, Sum)", "site": "C(site, Sum)", "age": "age"}
    names["group:site"] = "C(group, Sum):C(site, Sum)"
    for name, label in names.items():
        row = find(results, kind="term", name=name)
        assert (row.test, row.df) == ("F", theirs.df[label])
        assert row.df_residual == theirs.df["Residual"]
        assert row.test_statistic == pytest.approx(theirs.F[label])
        assert row.p == pytest.approx(theirs["PR(>F)"][label])


def with_levels(table, *names):
    return replace(table, categorical=frozenset(names))


def test_numbers_with_levels_are_labels():
    rows, table, _ = simulate(rois=("UL",), contrasts=("attend",))
    assert set(coefficients(fit_formula("estimate ~ site", rows, table))) == {"Intercept", "site"}
    results = fit_formula("estimate ~ site", rows, with_levels(table, "site"))
    assert set(coefficients(results)) == {"Intercept", "site[T.2]", "site[T.3]"}


def test_two_contrasts_are_a_paired_test():
    rows, _, frame = simulate(rois=("UL",))
    row = coefficients(fit_formula("estimate ~ contrast", rows, NOBODY))["contrast[T.ignore]"]
    wide = frame.pivot_table(index="participant_id", columns="contrast", values="estimate")
    paired = stats.ttest_rel(wide["ignore"], wide["attend"])
    assert row.value == pytest.approx((wide["ignore"] - wide["attend"]).mean())
    assert row.test_statistic == pytest.approx(paired.statistic, rel=1e-3)


def test_an_intercept_alone_is_the_one_sample_test():
    rows, _, frame = simulate(rois=("UL",), contrasts=("attend",))
    row = coefficients(fit_formula("estimate ~ 1", rows, NOBODY))["Intercept"]
    expected = stats.ttest_1samp(frame.estimate, 0)
    assert (row.test_statistic, row.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_hemispheres_where_they_are_modelled():
    rows = [
        estimate_row(f"sub-{i}", float(i % 3 + 2 * (hemi == "R")), hemi=hemi)
        for i in range(9)
        for hemi in ("L", "R", "both")
    ]
    rows = [replace(r, estimate=r.estimate + 0.1 * (i % 5)) for i, r in enumerate(rows)]
    results = fit_formula("estimate ~ hemi", rows, NOBODY)
    assert set(coefficients(results)) == {"Intercept", "hemi[T.R]"}
    assert {row.n_rows for row in results.rows} == {18}
    pooled = fit_formula("estimate ~ 1", rows, NOBODY)
    assert {(row.hemi, row.n_rows) for row in pooled.rows} == {("both", 9)}


def test_circular_estimates_are_never_fitted():
    rows, table, _ = simulate(rois=("UL",), contrasts=("attend",))
    circular = [replace(row, task="loc", independence="circular") for row in rows]
    results = fit_formula("estimate ~ age", [*rows, *circular], table)
    assert {row.task for row in results.rows} == {"main"}
    with pytest.raises(DataError, match="circular"):
        fit_formula("estimate ~ age", circular, table)


def test_who_is_left_out_is_said():
    rows, table, _ = simulate(n=12, contrasts=("attend",))
    values = {name: dict(columns) for name, columns in table.values.items()}
    values["sub-03"]["age"] = None
    del values["sub-04"]
    rows = [
        replace(row, estimate=None, status="empty_roi")
        if (row.participant_id, row.roi) in (("sub-05", "LL"), ("sub-03", "UL"))
        else row
        for row in rows
    ]
    table = replace(table, values=values)
    apart = fit_formula("estimate ~ age", rows, table)
    said = {row.roi: row.excluded for row in apart.rows}
    assert said == {
        "UL": "sub-03:empty_roi; sub-04:age n/a",
        "UR": "sub-03:age n/a; sub-04:age n/a",
        "LL": "sub-03:age n/a; sub-04:age n/a; sub-05:empty_roi",
    }
    together = fit_formula("estimate ~ roi + age", rows, table)
    assert together.rows[0].excluded == (
        "sub-03:empty_roi (1 of 3); sub-03:age n/a (2 of 3); sub-04:age n/a; "
        "sub-05:empty_roi (1 of 3)"
    )
    assert (together.rows[0].n_rows, together.rows[0].n_participants) == (29, 10)


@pytest.mark.parametrize(
    ("formula", "error", "message"),
    [
        ("estimate ~ weight", UsageError, "no column weight; the table of estimates has"),
        ("estimate ~ age +", UsageError, "is no formula"),
        ("~ age", UsageError, "says not what is modelled"),
        ("age", UsageError, "says not what is modelled"),
        ("estimate + age ~ group", UsageError, "expected one response"),
        ("group ~ age", UsageError, "is no number"),
        ("estimate ~ age + (1 | participant_id)", UsageError, "random intercept"),
        ("estimate ~ participant_id", UsageError, "leave participant_id out"),
        ("estimate ~ .", UsageError, "is no formula"),
        ("estimate ~ log(group)", UsageError, "cannot be evaluated"),
        ("estimate ~ task", DataError, "column task of the table of estimates has the same value"),
    ],
)
def test_wrong_formulas(formula, error, message):
    rows, table, _ = simulate(n=8)
    with pytest.raises(error, match=message):
        fit_formula(formula, rows, table)


@pytest.mark.parametrize(
    "expression",
    [
        "{{open({path!r}, 'w')}}",
        "open({path!r}, 'w')",
        "I(open({path!r}, 'w'))",
        "C(age, open({path!r}, 'w'))",
        "C(age, levels=[open({path!r}, 'w')])",
        "I((lambda: open({path!r}, 'w'))())",
        "I([open({path!r}, 'w') for x in (1,)])",
        "I(age.__class__.__base__)",
        "np.fromfile({path!r})",
        "I(age[open({path!r}, 'w')])",
        "I(age ** 9 ** 9 ** 9)",
        "I(f'{{open({path!r})}}')",
    ],
)
def test_nothing_but_columns_and_transformations_is_evaluated(tmp_path, expression):
    rows, table, _ = simulate(n=8)
    path = str(tmp_path / "made")
    with pytest.raises(UsageError):
        fit_formula(f"estimate ~ {expression.format(path=path)}", rows, table)
    assert list(tmp_path.iterdir()) == []


def test_transformations():
    rows, table, frame = simulate(rois=("UL",), contrasts=("attend",))
    results = fit_formula("estimate ~ center(age) + I(age ** 2) + log(age)", rows, table)
    theirs = smf.ols("estimate ~ I(age - age.mean()) + I(age ** 2) + np.log(age)", frame).fit()
    ours = [row.value for row in coefficients(results).values()]
    assert ours == pytest.approx(list(theirs.params), rel=1e-5)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["7"] * 9, "column new of participants.tsv has the same value everywhere"),
        (["1", "2", "3", *[None] * 6], "is n/a for 6 of 9 participants .*sub-03, sub-04"),
    ],
)
def test_columns_that_explain_nothing(column, message):
    rows, table, _ = simulate(n=9)
    values = {n: {**v, "new": x} for (n, v), x in zip(table.values.items(), column, strict=True)}
    table = replace(table, columns=(*table.columns, "new"), values=values)
    with pytest.raises(DataError, match=message):
        fit_formula("estimate ~ new", rows, table)


def test_a_cell_that_cannot_be_fitted_says_why_and_the_others_are_fitted():
    rows, table, _ = simulate(n=12, contrasts=("attend",))
    groups = {name: columns["group"] for name, columns in table.values.items()}
    rows = [
        row
        for row in rows
        if not (row.roi == "UL" and groups[row.participant_id] == "a")
        and not (row.roi == "UR" and int(row.participant_id[-2:]) > 1)
    ]
    results = fit_formula("estimate ~ group", rows, table)
    notes = {row.roi: row.note for row in results.rows}
    assert notes["UL"] == "group has the same value in all of these estimates"
    assert notes["UR"]
    assert notes["LL"] is None
    assert [r.value for r in results.rows if r.roi in ("UL", "UR")] == [None, None]


def test_terms_that_determine_each_other():
    rows, table, _ = simulate(n=10, rois=("UL",), contrasts=("attend",))
    values = {n: {**v, "months": str(12 * float(v["age"]))} for n, v in table.values.items()}
    table = replace(table, columns=(*table.columns, "months"), values=values)
    (row,) = fit_formula("estimate ~ age + months", rows, table).rows
    assert (row.value, row.p) == (None, None)
    assert "determine each other" in row.note


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_participants(n):
    rows = [estimate_row(f"sub-{i}", float(i**2)) for i in range(n)]
    results = fit_formula("estimate ~ 1", rows, NOBODY) if n > 1 else None
    if n == 1:
        with pytest.raises(DataError, match="same value"):
            fit_formula("estimate ~ 1", rows, NOBODY)
    else:
        assert coefficients(results)["Intercept"].df == n - 1


def test_a_mixed_model_at_its_bound_says_so():
    # Deviations that sum to zero in every participant: these do not differ at all.
    rows = [
        estimate_row(f"sub-{i}", float(value), roi=roi)
        for i in range(6)
        for roi, value in zip(("a", "b", "c"), np.roll([1, 2, -3], i), strict=True)
    ]
    results = fit_formula("estimate ~ roi", rows, NOBODY)
    assert all("bound, 0" in row.note for row in results.rows)
    assert find(results, kind="variance", name="participant_id").value == pytest.approx(0, abs=1e-4)
    for row in coefficients(results).values():
        assert np.isfinite([row.value, row.se, row.p]).all()


@settings(deadline=None, max_examples=8)
@given(st.sampled_from([1e-9, 0.01, 1000.0, 1e9]), st.randoms(use_true_random=False))
def test_units_and_order_do_not_matter(factor, random):
    rows, table, _ = simulate(n=10, contrasts=("attend",))
    formula = "estimate ~ roi + age"
    before = fit_formula(formula, rows, table)
    changed = [replace(row, estimate=row.estimate * factor) for row in rows]
    random.shuffle(changed)
    after = fit_formula(formula, changed, table)
    for row in before.rows:
        other = find(after, kind=row.kind, name=row.name)
        assert other.p == (None if row.p is None else pytest.approx(row.p, rel=1e-3))
        if row.kind == "coefficient":
            assert other.value == pytest.approx(row.value * factor, rel=1e-3)


def test_the_summary_says_what_the_table_says():
    rows, table, _ = simulate(n=10, rois=("UL",), contrasts=("attend",))
    results = fit_formula("estimate ~ age", rows, table)
    row = coefficients(results)["age"]
    (line,) = [x for x in results.summary.splitlines() if x.startswith("age") and "[" in x]
    assert line.split()[1:3] == [f"{row.value:.4g}", f"{row.se:.4g}"]
    assert "10 estimates of 10 participants" in results.summary


@pytest.fixture
def grouped(tmp_path):
    """Eight participants whose effects rise with age, and twice as much in group b."""
    ages = [20, 25, 31, 38, 44, 52, 57, 63]
    offsets = {f"{i:02}": 0.1 * age + (i % 3) / 10 for i, age in enumerate(ages)}
    study = make_study(tmp_path / "bids", offsets)
    lines = [f"sub-{i:02}\t{age}\t{'ab'[i % 2]}" for i, age in enumerate(ages)]
    text = "\n".join(["participant_id\tage\tgroup", *lines, "sub-99\t30\ta"]) + "\n"
    (study.root / "participants.tsv").write_text(text)
    return study


def test_from_files_to_the_table(grouped, output):
    common = [str(grouped.root), str(output)]
    assert main([*common, "participant", "--n-procs", "1"]) == 0
    assert main([*common, "group", "--model", "estimate ~ age + group"]) == 0
    rows = read_tsv(output / "group_model.tsv")
    described = json.loads((output / "group_model.json").read_text())
    assert set(rows[0]) <= set(described)
    assert described["Model"] == "estimate ~ age + group"
    (row,) = [r for r in rows if (r["roi"], r["kind"], r["name"]) == ("left", "coefficient", "age")]
    ages = np.array([20, 25, 31, 38, 44, 52, 57, 63])
    y = 0.1 * ages + np.arange(8) % 3 / 10
    x = np.column_stack([np.ones(8), ages, np.arange(8) % 2])
    assert float(row["value"]) == pytest.approx(np.linalg.lstsq(x, y)[0][1], rel=1e-4)
    # Who is only in participants.tsv is listed, and named where the model lacks an estimate.
    assert row["excluded"] == "sub-99:missing_participant"
    text = (output / "logs" / "group_model.txt").read_text()
    assert "Model: estimate ~ age + group" in text
    assert main([*common, "group"]) == 0
    assert not (output / "group_model.tsv").exists()
    assert not (output / "logs" / "group_model.txt").exists()


def test_a_wrong_model_costs_no_table(grouped, output, capsys):
    common = [str(grouped.root), str(output)]
    assert main([*common, "participant", "--n-procs", "1"]) == 0
    assert main([*common, "group", "--model", "estimate ~ age"]) == 0
    (output / "group_statistics.tsv").unlink()
    assert main([*common, "group", "--model", "estimate ~ weight"]) == 64
    assert "no column weight" in capsys.readouterr().err
    assert (output / "group_statistics.tsv").exists()
    assert not (output / "group_model.tsv").exists()


def test_a_broken_participants_file(grouped, output, caplog):
    common = [str(grouped.root), str(output)]
    assert main([*common, "participant", "--n-procs", "1"]) == 0
    (grouped.root / "participants.tsv").write_text("subject\tage\n01\t3\n")
    assert main([*common, "group"]) == 0
    assert "has no column participant_id" in caplog.text
    assert main([*common, "group", "--model", "estimate ~ age"]) == 65
