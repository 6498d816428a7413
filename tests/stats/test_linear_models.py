"""Models given as formulas, against statsmodels and against planted effects."""

import warnings
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from group_data import as_frame, group_study, in_rows, labels, participants, row
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from bids_secondlevel.core.errors import DataError, UsageError
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.outputs.tables import read_table, write_table
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.models import by_formula
from bids_secondlevel.stats.models.table import MODEL_COLUMNS, ModelRow

NOBODY = ParticipantsTable()


def fit_formula(formula, rows, table):
    return in_rows(by_formula.fit_formula(formula, frame_of(rows, EstimateRow), table))


def only(rows, **columns):
    return [r for r in rows if all(getattr(r, name) == v for name, v in columns.items())]


def one(results, **columns):
    (found,) = only(results.rows, **columns)
    return found


@pytest.mark.parametrize(
    "formula", ["estimate ~ age + group", "estimate ~ group * sex + age", "estimate ~ group * age"]
)
def test_one_number_per_participant_equals_statsmodels(formula):
    rows, table = group_study(1, n=60)
    results = fit_formula(formula, rows, table)
    assert {(r.contrast, r.roi) for r in results.rows} == {
        (c, r) for c in ("attend", "ignore") for r in ("UL", "UR")
    }
    for contrast in ("attend", "ignore"):
        cell = only(rows, contrast=contrast, roi="UR")
        expected = smf.ols(formula, as_frame(cell, table)).fit()
        found = only(results.rows, contrast=contrast, roi="UR", quantity="coefficient")
        assert {r.name for r in found} == set(expected.params.index)
        robust = expected.get_robustcov_results("HC2")  # of clusters of one, CR2 is HC2
        bse = dict(zip(expected.params.index, robust.bse, strict=True))
        for r in found:
            assert (r.fit, r.hemi, r.test) == ("ols", "both", "t")
            assert r.coefficient == pytest.approx(expected.params[r.name])
            assert r.se == pytest.approx(bse[r.name])
            assert r.value == pytest.approx(r.coefficient / r.se)
            assert 0 < r.df_residual <= expected.df_resid + 1e-9
            assert r.p == pytest.approx(2 * stats.t.sf(abs(r.value), r.df_residual))
            half = stats.t.ppf(0.975, r.df_residual) * r.se
            assert (r.ci95_low, r.ci95_high) == pytest.approx(
                (r.coefficient - half, r.coefficient + half)
            )
            assert (r.n_rows, r.n_participants, r.excluded, r.note) == (60, 60, None, None)


@pytest.mark.parametrize(
    "formula",
    [
        "estimate ~ {group} * {sex} + age",
        "estimate ~ {group} * {sex} * age",
        "estimate ~ {sex} + {group}",
        "estimate ~ age",
    ],
)
def test_tests_of_terms_are_those_of_type_3(formula):
    # Under equal variances and in large samples, they come near to those of least squares.
    rng = np.random.default_rng(1)
    table = participants(
        age=list(rng.uniform(20, 70, 2000)),
        group=[["control", "patient", "relative"][i] for i in rng.integers(0, 3, 2000)],
        sex=["F" if x else "M" for x in rng.integers(0, 2, 2000)],
    )
    cell = [
        row(i, 0.002 * float(table.values[f"sub-{i}"]["age"]) + rng.normal()) for i in labels(2000)
    ]
    results = fit_formula(formula.format(group="group", sex="sex"), cell, table)
    summed = {"group": "C(group, Sum)", "sex": "C(sex, Sum)"}
    fitted = smf.ols(formula.format(**summed), as_frame(cell, table)).fit()
    expected = anova_lm(fitted, typ=3)
    tests = only(results.rows, quantity="omnibus")
    assert len(tests) == len(expected) - 2
    for test in tests:
        reference = expected.loc[":".join(summed.get(part, part) for part in test.term.split(":"))]
        assert (test.test, test.df) == ("F", reference["df"])
        assert (test.value, test.p) == pytest.approx((reference["F"], reference["PR(>F)"]), rel=0.1)


def test_several_numbers_per_participant_equal_a_mixed_model_of_statsmodels():
    rows, table = group_study(2)
    formula = "estimate ~ roi * contrast + age + group"
    results = fit_formula(formula, rows, table)
    frame = as_frame(rows, table)
    expected = smf.mixedlm(formula, frame, groups=frame["participant_id"]).fit(method="powell")
    found = only(results.rows, quantity="coefficient")
    assert {r.name for r in found} == set(expected.fe_params.index)
    for r in found:
        assert (r.fit, r.test, r.df, r.converged) == ("mixed", "t", None, "yes")
        assert (r.roi, r.contrast, r.hemi, r.task) == (None, None, "both", "main")
        assert r.coefficient == pytest.approx(expected.fe_params[r.name], rel=1e-4)
        assert (r.n_rows, r.n_participants) == (96, 24)
    assert one(results, name="residual").coefficient == pytest.approx(expected.scale, rel=1e-3)
    assert one(results, name="participant_id").coefficient == pytest.approx(
        expected.cov_re.iloc[0, 0], rel=1e-3
    )


def test_planted_effects_are_found():
    rows, table = group_study(3, n=120)
    results = fit_formula("estimate ~ roi + contrast + age + group", rows, table)
    planted = {
        "roi[T.UR]": 0.3,
        "contrast[T.ignore]": -0.6,
        "age": 0.02,
        "group[T.patient]": 0.8,
        "group[T.relative]": 0.0,
    }
    for name, effect in planted.items():
        found = one(results, name=name)
        assert abs(found.coefficient - effect) < 4 * found.se
        assert (found.p < 1e-4) == (effect != 0)
    assert one(results, name="participant_id").coefficient == pytest.approx(0.25, rel=0.5)
    assert one(results, name="residual").coefficient == pytest.approx(0.09, rel=0.2)


def test_two_contrasts_of_complete_data_are_a_paired_test():
    rows, table = group_study(4)
    results = fit_formula("estimate ~ contrast", rows, table)
    for roi in ("UL", "UR"):
        first, second = (
            [r.estimate for r in only(rows, roi=roi, contrast=c)] for c in ("attend", "ignore")
        )
        paired = stats.ttest_rel(second, first)
        found = one(results, roi=roi, name="contrast[T.ignore]")
        assert found.value == pytest.approx(paired.statistic, rel=1e-5)
        assert found.coefficient == pytest.approx(np.mean(second) - np.mean(first))
        test = one(results, roi=roi, quantity="omnibus")
        assert (test.test, test.df, test.df_residual) == ("F", 1, pytest.approx(23))
        assert test.value == pytest.approx(paired.statistic**2, rel=1e-5)


def test_an_intercept_alone_is_the_one_sample_test():
    rows, table = group_study(5)
    results = fit_formula("estimate ~ 1", rows, table)
    values = [r.estimate for r in only(rows, roi="UL", contrast="ignore")]
    expected = stats.ttest_1samp(values, 0)
    found = one(results, roi="UL", contrast="ignore")
    assert (found.term, found.name) == ("1", "Intercept")
    assert (found.value, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_columns_of_the_estimates_table():
    rng = np.random.default_rng(6)
    rows = [
        replace(row(i, rng.normal()), area_mm2=rng.uniform(100, 200), n_vertices=100)
        for i in labels(12)
    ]
    expected = stats.linregress([r.area_mm2 for r in rows], [r.estimate for r in rows])
    found = one(fit_formula("estimate ~ area_mm2", rows, NOBODY), name="area_mm2")
    assert found.coefficient == pytest.approx(expected.slope)
    found = one(fit_formula("area_mm2 ~ estimate", rows, NOBODY), name="estimate")
    assert found.coefficient * expected.slope == pytest.approx(expected.rvalue**2)
    with pytest.raises(DataError, match=r"n_vertices is the same \(100.0\) for all 12 estimates"):
        fit_formula("estimate ~ n_vertices", rows, NOBODY)


def test_hemispheres_only_where_the_formula_names_them():
    rng = np.random.default_rng(7)
    rows = [row(i, rng.normal(), hemi=h) for i in labels(8) for h in ("L", "R", "both")]
    both = fit_formula("estimate ~ 1", rows, NOBODY)
    assert [(r.hemi, r.n_rows) for r in both.rows] == [("both", 8)]
    assert both.rows[0].coefficient == pytest.approx(
        np.mean([r.estimate for r in rows if r.hemi == "both"])
    )
    halves = fit_formula("estimate ~ hemi", rows, NOBODY)
    assert one(halves, name="hemi[T.R]").n_rows == 16
    assert one(halves, name="Intercept").coefficient == pytest.approx(
        np.mean([r.estimate for r in rows if r.hemi == "L"])
    )


def test_hemispheres_that_were_asked_for_take_the_place_of_both():
    rng = np.random.default_rng(7)
    rows = [row(i, rng.normal(), hemi=h) for i in labels(8) for h in ("L", "R")]
    right = [r for r in rows if r.hemi == "R"]
    assert [(r.hemi, r.n_rows) for r in fit_formula("estimate ~ 1", right, NOBODY).rows] == [
        ("R", 8)
    ]
    apart = fit_formula("estimate ~ 1", rows, NOBODY).rows
    assert [(r.hemi, r.n_rows) for r in apart] == [("L", 8), ("R", 8)]
    with pytest.raises(DataError, match=r"hemi is the same \(R\)"):
        fit_formula("estimate ~ hemi", right, NOBODY)
    both = [row(i, rng.normal()) for i in labels(8)]
    with pytest.raises(DataError, match="has hemi, but the only estimates are of both"):
        fit_formula("estimate ~ hemi", both, NOBODY)


def test_contrasts_that_depend_on_each_other_are_not_modelled_together():
    rows, table = group_study(25)
    attend, ignore = ([r for r in rows if r.contrast == name] for name in ("attend", "ignore"))
    made = [
        replace(a, contrast="attendMinusIgnore", estimate=a.estimate - b.estimate)
        for a, b in zip(attend, ignore, strict=True)
    ]
    with pytest.raises(
        DataError, match=r"attendMinusIgnore is attend - ignore .*--contrasts attend"
    ):
        fit_formula("estimate ~ contrast * roi", [*rows, *made], table)
    assert one(fit_formula("estimate ~ contrast * roi", rows, table), term="contrast:roi", test="F")
    apart = fit_formula("estimate ~ age", [*rows, *made], table)
    assert {r.contrast for r in apart.rows} == {"attend", "ignore", "attendMinusIgnore"}


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1e-162, 1e-155, 1e155, 1e300])
@pytest.mark.parametrize("formula", ["estimate ~ age + group", "estimate ~ roi * contrast + age"])
def test_units_do_not_matter_however_small_or_large(factor, formula):
    rows, table = group_study(26, n=12)
    expected = fit_formula(formula, rows, table)
    found = fit_formula(formula, [replace(r, estimate=r.estimate * factor) for r in rows], table)
    for row_found, row_expected in zip(found.rows, expected.rows, strict=True):
        assert row_found.note == row_expected.note
        for name in ("value", "p", "df_residual"):
            wanted = getattr(row_expected, name)
            assert getattr(row_found, name) == (wanted and pytest.approx(wanted, rel=1e-6))
        if row_expected.quantity == "coefficient":
            wanted = pytest.approx(row_expected.coefficient * factor, rel=1e-6)
            assert row_found.coefficient == wanted


def test_sessions_and_spaces_are_not_mixed():
    rng = np.random.default_rng(8)
    rows = [
        row(i, rng.normal(), session=session, space=space)
        for session in ("1", "2")
        for space in ("fsnative", "fsaverage")
        for i in labels(5)
    ]
    results = fit_formula("estimate ~ 1", rows, NOBODY)
    assert [(r.session, r.space, r.n_rows) for r in results.rows] == [
        ("1", "fsnative", 5),
        ("1", "fsaverage", 5),
        ("2", "fsnative", 5),
        ("2", "fsaverage", 5),
    ]
    results = fit_formula("estimate ~ session", rows, NOBODY)
    assert {(r.session, r.space, r.n_rows) for r in results.rows} == {
        (None, "fsnative", 10),
        (None, "fsaverage", 10),
    }
    assert one(results, space="fsnative", quantity="coefficient", term="session").name == (
        "session[T.2]"
    )


@pytest.mark.parametrize("levels", [(), ("group",)])
def test_numbers_are_categories_where_the_dictionary_gives_levels(levels):
    rng = np.random.default_rng(9)
    table = participants(levels, group=[1, 2, 3] * 4)
    rows = [row(i, rng.normal()) for i in labels(12)]
    results = fit_formula("estimate ~ group", rows, table)
    names = [r.name for r in only(results.rows, term="group", quantity="coefficient")]
    assert names == (["group[T.2]", "group[T.3]"] if levels else ["group"])
    assert one(results, quantity="omnibus").df == (2 if levels else 1)


def test_a_word_among_numbers_is_told():
    table = participants(age=["31", "old", "young", "31", "old", "young"])
    rows = [row(i, float(int(i) ** 2)) for i in labels(6)]
    results = fit_formula("estimate ~ age", rows, table)
    assert results.messages[0] == (
        "age is used as categories, as 'old' in participants.tsv is not a number: "
        "3 levels (31, old, young)."
    )
    assert results.messages[0] in results.summary


def test_who_is_left_out_is_named():
    table = participants(age=[30, None, 35, 41, 50, 28])
    rows = [row(i, 0.1 * int(i) ** 2) for i in ("01", "02", "03", "04", "06", "07")]
    rows.append(row("05", None))
    results = fit_formula("estimate ~ age", rows, table)
    (said,) = {r.excluded for r in results.rows}
    assert said == "sub-02:age n/a; sub-05:empty_roi; sub-07:not in participants.tsv"
    assert {(r.n_rows, r.n_participants) for r in results.rows} == {(4, 4)}
    expected = stats.linregress([30, 35, 41, 28], [0.1, 0.9, 1.6, 3.6])
    assert one(results, name="age").coefficient == pytest.approx(expected.slope)
    assert f"left out: {said}" in results.summary


def test_parts_of_participants_that_are_left_out_are_named():
    rows, table = group_study(10, n=8)
    gone = {("sub-03", "ignore", "UR"), ("sub-05", "attend", "UL")}
    rows = [
        replace(r, estimate=None, status="missing_map")
        if (r.participant_id, r.contrast, r.roi) in gone
        else r
        for r in rows
    ]
    rows += [row("09", None, contrast=c, roi=r) for c in ("attend", "ignore") for r in ("UL", "UR")]
    (said,) = {r.excluded for r in fit_formula("estimate ~ roi * contrast", rows, table).rows}
    assert said == (
        "sub-03[ignore, UR]:missing_map; sub-05[attend, UL]:missing_map; sub-09:empty_roi"
    )


def test_circular_estimates_are_never_used():
    rng = np.random.default_rng(11)
    main = [row(i, rng.normal()) for i in labels(6)]
    circular = [row(i, 9 + rng.normal(), task="loc", independence="circular") for i in labels(6)]
    results = fit_formula("estimate ~ 1", main + circular, NOBODY)
    assert [r.task for r in results.rows] == ["main"]
    assert any("task loc) are never tested" in message for message in results.messages)
    with pytest.raises(DataError, match="all remaining estimates are circular"):
        fit_formula("estimate ~ 1", circular, NOBODY)
    with pytest.raises(DataError, match=r"task is the same \(main\)"):
        fit_formula("estimate ~ task", main + circular, NOBODY)
    mixed = [replace(main[0], independence="circular"), *main[1:]]
    found = one(fit_formula("estimate ~ 1", mixed, NOBODY))
    assert (found.n_rows, found.excluded) == (5, "sub-01:circular")
    assert found.coefficient == pytest.approx(np.mean([r.estimate for r in main[1:]]))


def test_no_number_at_all():
    with pytest.raises(DataError, match="all values of the column estimate are missing"):
        fit_formula("estimate ~ 1", [row("01", None)], NOBODY)
    with pytest.raises(DataError, match="all values of the column area_mm2 are missing"):
        fit_formula("area_mm2 ~ 1", [row("01", 1.0), row("02", 2.0)], NOBODY)


@pytest.mark.parametrize(
    ("ages", "said"),
    [
        ([30, 30, 30, 30, None], r"age is the same \(30.0\) for all 4 estimates"),
        (["x", "x", None, "x", "x"], r"age is the same \(x\) for all 4"),
        ([30, None, None, None, 31], "age is n/a for 3 of 5 participants with an estimate. "),
        ([None] * 5, "age is n/a for 5 of 5"),
        ([30, 31], r"age is n/a for 3 of 5 .* \(3 are not in participants.tsv\)"),
    ],
)
def test_columns_that_cannot_be_used(ages, said):
    rows = [row(i, float(int(i) ** 2)) for i in labels(5)]
    with pytest.raises(DataError, match=said) as caught:
        fit_formula("estimate ~ age", rows, participants(age=ages))
    assert caught.value.exit_code == 65


def test_a_column_of_the_estimates_that_cannot_be_used():
    rows = [row(i, float(int(i) ** 2)) for i in labels(5)]
    with pytest.raises(
        DataError, match=r"area_mm2 is n/a for 5 of 5 participants with an estimate\."
    ):
        fit_formula("estimate ~ area_mm2", rows, NOBODY)


def test_half_of_the_participants_are_enough():
    rows = [row(i, float(int(i) ** 2)) for i in labels(6)]
    found = one(
        fit_formula("estimate ~ age", rows, participants(age=[3, 4, 9, None, None, None])),
        name="age",
    )
    assert found.n_participants == 3


def test_a_name_that_is_nowhere():
    rows, table = group_study(12)
    with pytest.raises(
        UsageError, match=r"no column agee; .*participants\.tsv has age, group, sex"
    ):
        fit_formula("estimate ~ agee", rows, table)
    with pytest.raises(UsageError, match=r"participants\.tsv has none, or is not there"):
        fit_formula("estimate ~ age", rows, NOBODY)
    with pytest.raises(UsageError, match="no column participant_id"):
        fit_formula("estimate ~ participant_id", rows, table)


def test_a_name_in_both_tables_is_that_of_the_estimates():
    table = participants(roi=["x", "y"] * 3)
    rng = np.random.default_rng(13)
    rows = [row(i, rng.normal(), roi=roi) for i in labels(6) for roi in ("UL", "UR")]
    results = fit_formula("estimate ~ roi", rows, table)
    assert one(results, quantity="coefficient", term="roi").name == "roi[T.UR]"
    assert results.messages == (
        "roi is also in participants.tsv; the column of the table of estimates is used.",
    )


def test_a_fit_that_cannot_be_made_is_a_row_that_says_why():
    rng = np.random.default_rng(14)
    table = participants(group=["a", "b"] * 4, age=[*range(30, 38)], months=[*range(360, 456, 12)])
    everyone = [row(i, rng.normal()) for i in labels(8)]
    cells = {
        "same": [row(i, rng.normal(), roi="same") for i in ("01", "03", "05")],
        "few": [row(i, rng.normal(), roi="few") for i in ("01", "02")],
        "flat": [row(i, 2.5, roi="flat") for i in labels(8)],
        "none": [row(i, None, roi="none") for i in labels(8)],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = fit_formula("estimate ~ group", sum(cells.values(), everyone), table)
    assert one(results, roi="UL", name="group[T.b]").p is not None
    notes = {
        "same": "the same for all estimates: group",
        "few": "2 numbers for 2 coefficients: no residual degrees of freedom",
        "flat": "the model leaves no variation, so nothing can be tested",
        "none": "no estimate",
    }
    for roi, note in notes.items():
        found = one(results, roi=roi)
        assert found.note == note
        assert {found.quantity, found.coefficient, found.se, found.value, found.p} == {None}
        assert found.n_rows == sum(r.estimate is not None for r in cells[roi])
    assert results.messages[1:] == ("4 of 5 models could not be fitted; the column note says why.",)
    collinear = one(fit_formula("estimate ~ age + months", everyone, table))
    assert collinear.note.startswith("3 coefficients, but the data can determine only 2")


def test_a_transform_that_fails_in_some_fits_only():
    rng = np.random.default_rng(15)
    rows = [row(i, rng.normal()) for i in labels(6)]
    rows += [row(i, rng.normal(), roi="UR") for i in labels(4)]
    table = participants(group=["a", "b", "a", "b", "c", "c"])
    results = fit_formula("estimate ~ C(group, contr.treatment('c'))", rows, table)
    assert one(results, roi="UL", name="C(group, contr.treatment('c'))[T.a]").p is not None
    assert "'c'" in one(results, roi="UR").note
    rows += [row(i, None, roi="none") for i in labels(4)]
    with pytest.raises(UsageError, match="'z'"):
        fit_formula("estimate ~ C(group, contr.treatment('z'))", rows, table)


def test_a_variance_at_its_bound_is_told():
    rows = [
        row(i, value + sign, contrast=c)
        for i, value in zip(labels(4), (1.0, -1.1, 2.0, -2.3), strict=True)
        for c, sign in (("x", value), ("y", 0.01 * int(i) ** 2 - 3 * value))
    ]
    results = fit_formula("estimate ~ contrast", rows, NOBODY)
    assert one(results, name="participant_id").coefficient == 0
    assert all("lower bound" in r.note for r in results.rows)


@given(st.integers(0, 1000), st.floats(-5, 5), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_units_and_order_do_not_matter(seed, exponent, random):
    rows, table = group_study(seed, n=9)
    scale = 10**exponent
    scaled = [replace(r, estimate=r.estimate * scale) for r in rows]
    random.shuffle(scaled)
    people = list(table.values.items())
    random.shuffle(people)
    other = replace(table, values=dict(people))
    for formula in ("estimate ~ roi * contrast + age", "estimate ~ group + age"):
        before = fit_formula(formula, rows, table).rows
        after = fit_formula(formula, scaled, other).rows
        assert len(before) == len(after)
        for a, b in zip(*(sorted(rs, key=describe) for rs in (before, after)), strict=True):
            assert describe(a) == describe(b)
            if a.quantity in ("coefficient", "omnibus"):
                assert (b.value, b.p) == pytest.approx((a.value, a.p), rel=1e-3, abs=1e-9)
            if a.quantity == "coefficient":
                assert (b.coefficient, b.se) == pytest.approx(
                    (a.coefficient * scale, a.se * scale), rel=1e-3, abs=1e-9 * scale
                )


def describe(r):
    return tuple(map(str, (r.contrast, r.roi, r.quantity, r.term, r.name, r.df, r.n_rows, r.note)))


def test_the_same_input_gives_the_same_output():
    rows, table = group_study(17, n=9)
    first, second = (fit_formula("estimate ~ roi + age", rows, table) for _ in range(2))
    assert first == second


def test_the_text_says_what_was_done():
    rows, table = group_study(18, n=10)
    text = fit_formula("estimate ~ roi + age", rows, table).summary
    assert text.startswith("Model: estimate ~ roi + age\n")
    for part in (
        "== task main, contrast attend, hemi both, space fsnative, statistic effect",
        "linear mixed model with a random intercept per participant (REML); 20 numbers of 10",
        "roi[T.UR]",
        "95 % CI [",
        "F(1, 9) = ",
        "residual ",
    ):
        assert part in text
    assert text.count("==") == 2


def test_the_table_can_be_written_and_read_back(tmp_path):
    rows, table = group_study(19, n=9)
    rows.append(row("10", None))
    estimates = frame_of(rows, EstimateRow)
    written = by_formula.fit_formula("estimate ~ roi * contrast", estimates, table).table
    path = tmp_path / "group_model.tsv"
    write_table(path, written, MODEL_COLUMNS, {})
    pd.testing.assert_frame_equal(read_table(path, MODEL_COLUMNS), written)
    assert all(MODEL_COLUMNS[f.name].description for f in fields(ModelRow))


def by_term(formula, rows, table):
    fitted = fit_formula(formula, rows, table).rows
    return {r.term: r for r in fitted if r.quantity == "omnibus"}


def test_a_factor_written_as_such_is_tested_like_its_name_alone():
    rows, table = group_study(19)
    plain = by_term("estimate ~ sex * roi", rows, table)
    written = by_term("estimate ~ C(sex) * roi", rows, table)
    assert written["roi"].value == pytest.approx(plain["roi"].value)
    assert written["C(sex)"].value == pytest.approx(plain["sex"].value)
    # A coding that the formula sets is kept: here, women alone tell of the ROIs.
    treated = by_term("estimate ~ C(sex, contr.treatment) * roi", rows, table)
    assert treated["roi"].value != pytest.approx(plain["roi"].value, rel=0.01)


def test_coefficients_are_compared_with_the_same_level_everywhere():
    rows, table = group_study(20)
    rows = [r for r in rows if r.contrast == rows[0].contrast]
    first = rows[0].roi
    without = [
        r
        for r in rows
        if not (r.roi == first and table.values[r.participant_id]["group"] == "control")
    ]
    fitted = fit_formula("estimate ~ group", without, table).rows
    (lacking,) = [r for r in fitted if r.roi == first]
    assert lacking.coefficient is None
    assert "no participant has group control" in lacking.note
    assert any(r.coefficient is not None for r in fitted if r.roi != first)


def test_numbers_with_a_few_words_are_refused():
    rows, table = group_study(22, n=12)
    values = {name: dict(columns) for name, columns in table.values.items()}
    values["sub-03"]["age"] = "89+"
    with pytest.raises(DataError, match=r"'89\+'.*Levels"):
        fit_formula("estimate ~ roi + age", rows, replace(table, values=values))


@pytest.mark.parametrize(
    "cells",
    [
        *(["0,5", "1,5", "2,5"], ["1.234,5", "2.000,1", "3.111,9"], ["1,234.5", "2", "3"]),
        *(["1'234", "2'345", "3'456"], ["1 234,5", "1 235", "1 236,0"], ["-,5", "-1,5", "1,5"]),
        *(["1", "2", "2,5"], ["1,5e-3", "2,5e-3", "3e-3"], ["1.234.567", "2.345.678", "3"]),
        *(["12 kg", "55 kg", "60 kg"], ["12kg", "55kg", "60kg"], ["5 %", "15%", "25 %"]),
        *(["12 y", "15 y", "18 y"], ["12y", "15y", "18y"], ["1,5 m", "1,6 m", "1,7 m"]),
        *(["$5", "$6", "$7"], ["5 €", "6 €", "7 €"], ["-5 °C", "6 °C", "7 °C"]),
        *(["3 months", "1 year", "2 years"], ["5 mg/l", "6 mg/l", "7 mg/l"], ["30 yrs.", "4", "5"]),
    ],
)
@pytest.mark.parametrize("model", ["estimate ~ score", "estimate ~ center(score)"])
def test_numbers_with_commas_or_units_are_refused(cells, model):
    rows = [row(i, float(int(i) ** 2)) for i in labels(12)]
    table = participants(score=cells * 4)
    with pytest.raises(
        DataError, match=r"score: .*Write .*Levels to it in participants\.json"
    ) as said:
        fit_formula(model, rows, table)
    assert cells[-1] in str(said.value) or cells[0] in str(said.value)
    levels = participants(["score"], score=cells * 4)
    if model == "estimate ~ score":  # as the message advises
        assert one(fit_formula(model, rows, levels), quantity="omnibus").df == 2


@pytest.mark.parametrize(
    "cells",
    [
        *(
            ["20-30", "31-40", "41-50"],
            ["<20", "20+", "unknown"],
            ["2020-01-31", "x", "y"],
        ),
        *(["01.02.2020", "03.02.2020", "05.06.2021"], ["1/2/2020", "2/2/2020", "20/20"]),
        *(
            ["3T", "7T", "7T"],
            ["1st", "2nd", "3rd"],
            ["A1", "A2", "B"],
            ["1,2", "1,2,3", "none"][1:],
        ),
        *(["55 or older", "20 to 54", "x"], ["F", "M", "F"], ["2d", "3d", "2d"]),
    ],
)
def test_what_becomes_categories_is_told_with_its_levels(cells):
    rows = [row(i, float(int(i) ** 2)) for i in labels(12)]
    cells = cells * (12 // len(cells))
    (said,) = fit_formula("estimate ~ score", rows, participants(score=cells)).messages
    levels = sorted(set(cells))
    assert f"{len(levels)} levels ({', '.join(levels)})" in said
    assert cells[0] in said or "1st" in said


@pytest.mark.parametrize("call", ["center(sex)", "log(sex)", "poly(sex, 2)", "scale(age + sex)"])
def test_functions_of_numbers_do_not_take_categories(call):
    rows, table = group_study(24)
    function = call.partition("(")[0]
    with pytest.raises(UsageError, match=f"{function} needs numbers, but sex is used as categor"):
        fit_formula(f"estimate ~ {call}", rows, table)


def test_many_levels_are_counted():
    rows = [row(i, float(int(i) ** 2)) for i in labels(12)]
    table = participants(["batch"], batch=[int(i) for i in labels(11)] + [11])
    (said, *_) = fit_formula("estimate ~ batch", rows, table).messages
    assert said == "batch is used as categories: 11 levels (1, 10, 11, 2, 3, 4, 5, 6, 7, 8, ...)."


@pytest.mark.parametrize(
    ("ages", "codes"),
    [
        ([20, 30, 41, -999], "-999 in"),
        ([20, 30, 41, -9], "-9 in"),
        ([20, 30, 41, 999], "999 in"),
        ([20, 30, 41, 99], "99 in"),
        ([0.1, 0.2, 0.5, -9], "-9 in"),
        ([-3, 2, 3, -99.0], "-99.0 in"),
        ([20, 30, 9999, -9999], "-9999, 9999 in"),
        ([1, 2, 888, 777], "777, 888 in"),
        ([20, 30, 41, -998], "-998 in"),
        ([20, 60, 95, 99], None),  # so old may one be
        ([7, 8, 9, 10], None),
        ([-12, -9, 5, 7], None),
        ([500, 999, 1200, 700], None),
    ],
)
def test_codes_for_missing_values_are_told(ages, codes):
    rows = [row(i, float(int(i) ** 2)) for i in labels(12)]
    messages = fit_formula("estimate ~ age", rows, participants(age=ages * 3)).messages
    if codes is None:
        assert messages == ()
    else:
        assert f"age: {codes} participants.tsv" in messages[0]
        assert "Write n/a instead" in messages[0]


@pytest.mark.parametrize(
    ("formula", "named"),
    [
        ("estimate ~ group", "C"),
        ("estimate ~ group", "contr"),
        ("estimate ~ sex + age", "C"),
        ("estimate ~ center(age) + sex", "center"),
        ("estimate ~ C(group, contr.sum) + age", "C"),
        ("estimate ~ C(group) * scale(age)", "contr"),
        ("estimate ~ poly(age, 2) + sex", "poly"),
        ("estimate ~ I(age / 10) * group", "I"),
        ("estimate ~ log(age) + group", "log"),
        ("estimate ~ bs(age, df=4) + group", "bs"),
    ],
)
@pytest.mark.parametrize("column", ["age", "group", "sex"])
def test_columns_may_have_the_names_of_functions(formula, named, column):
    rows, table = group_study(23)
    assume_used = column in formula
    renamed = ParticipantsTable(
        tuple(named if name == column else name for name in table.columns),
        {
            who: {named if name == column else name: cell for name, cell in cells.items()}
            for who, cells in table.values.items()
        },
    )
    other = formula.replace(column, named) if assume_used else f"{formula} + {named}"
    expected = fit_formula(formula if assume_used else f"{formula} + {column}", rows, table)
    found = fit_formula(other, rows, renamed)
    numbers = [(r.coefficient, r.value, r.df, r.p) for r in found.rows]
    assert numbers == [(r.coefficient, r.value, r.df, r.p) for r in expected.rows]
    assert any(r.term and named in r.term for r in found.rows)


def test_p_values_are_corrected_over_the_fits_of_a_formula():
    rows, table = group_study(22)
    found = only(fit_formula("estimate ~ age + sex", rows, table).rows, name="age")
    p = [r.p for r in found]
    assert len(p) == 4
    assert [r.p_holm for r in found] == pytest.approx(multipletests(p, method="holm")[1])
    assert [r.q_fdr for r in found] == pytest.approx(multipletests(p, method="fdr_bh")[1])


def test_effect_sizes_of_groups():
    rng = np.random.default_rng(23)
    table = participants(group=["a"] * 20 + ["b"] * 30)
    values = rng.normal(0, 1, 50) + np.repeat([0, 1], [20, 30])
    rows = [row(i, value) for i, value in zip(labels(50), values, strict=True)]
    results = fit_formula("estimate ~ group", rows, table)
    found = one(results, name="group[T.b]")
    one_, other = values[:20], values[20:]
    pooled = np.sqrt((19 * one_.var(ddof=1) + 29 * other.var(ddof=1)) / 48)
    assert found.cohens_d == pytest.approx((other.mean() - one_.mean()) / pooled)
    assert found.cohens_d_ci95_low < found.cohens_d < found.cohens_d_ci95_high
    # The limits are the d under which t is as extreme as it can be.
    for limit, tail in ((found.cohens_d_ci95_low, 0.975), (found.cohens_d_ci95_high, 0.025)):
        noncentrality = limit * pooled / found.se
        at_limit = stats.nct.cdf(found.value, found.df_residual, noncentrality)
        assert at_limit == pytest.approx(tail, rel=1e-4)
    term = one(results, quantity="omnibus")
    assert term.partial_eta2 == pytest.approx(term.value / (term.value + term.df_residual))
    n = 1 + term.df_residual + 1
    for limit, tail in ((term.partial_eta2_ci95_low, 0.975), (term.partial_eta2_ci95_high, 0.025)):
        noncentrality = n * limit / (1 - limit)
        assert stats.ncf.cdf(term.value, 1, term.df_residual, noncentrality) == pytest.approx(
            tail, rel=1e-4
        )
