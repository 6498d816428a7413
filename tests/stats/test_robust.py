"""Cluster-robust tests of models, against R (clubSandwich), Welch's t and brute force."""

import numpy as np
import pytest
from r_references import STUDIES, estimates_of, participants_of, read
from scipy import stats
from test_fitting import ROW, between_data, names, within_data

from bids_secondlevel.stats.models.by_formula import fit_formula
from bids_secondlevel.stats.models.fit import f_test, fit_linear_model, t_test

CASES = [
    (study, formula)
    for study in STUDIES
    for formula in dict.fromkeys(read(study, "r_model")["model"])
]


@pytest.mark.parametrize(("study", "formula"), CASES)
def test_mixed_models_are_tested_as_by_club_sandwich(study, formula):
    fitted = fit_formula(formula, estimates_of(study, derived=False), participants_of(study)).table
    expected = read(study, "r_model")
    expected = expected[expected["model"] == formula].fillna({"name": "n/a", "term": "n/a"})
    fitted["roi"] = fitted["roi"].where(fitted["roi"] != "n/a", np.nan)
    keys = ["roi", "quantity", "term", "name"]
    both = expected.merge(fitted, on=keys, suffixes=("_r", ""), validate="one_to_one")
    assert len(both) == len(expected) == len(fitted)
    for column, tolerance in {
        "coefficient": 1e-5,
        "se": 1e-5,
        "ci95_low": 1e-4,
        "ci95_high": 1e-4,
        "value": 1e-4,
        "df": 0,
        "df_residual": 1e-4,
        "p": 1e-4,
        "n_rows": 0,
        "n_participants": 0,
    }.items():
        np.testing.assert_allclose(
            both[column], both[f"{column}_r"], rtol=tolerance, err_msg=column, atol=1e-9
        )


def brute_force(values, design, owner, ratio, weights):
    """Compute CR2 and its degrees of freedom as they are written, with all numbers by all numbers.

    The t test of the first combination (standard error, df), and the AHT test of all (F, df).
    """
    phi = np.eye(values.size) + ratio * (owner[:, None] == owner)
    inverse = np.linalg.inv(phi)
    bread = np.linalg.inv(design.T @ inverse @ design)
    residual_maker = np.eye(values.size) - design @ bread @ design.T @ inverse
    residuals = residual_maker @ values
    ways, scores = [], []
    for person in np.unique(owner):
        here = owner == person
        root = np.linalg.cholesky(phi[np.ix_(here, here)]).T
        left = (residual_maker @ phi @ residual_maker.T)[np.ix_(here, here)]
        size, vectors = np.linalg.eigh(root @ left @ root.T)
        adjust = root.T @ (vectors / np.sqrt(size)) @ vectors.T @ root
        way = weights @ bread @ design[here].T @ inverse[np.ix_(here, here)] @ adjust
        scores.append(way @ residuals[here])
        ways.append(way @ residual_maker[here])
    covariance = sum(np.outer(s, s) for s in scores)
    expected = weights @ bread @ weights.T
    root = np.linalg.inv(np.linalg.cholesky(expected))
    first = np.array([[a[0] @ phi @ b[0] for b in ways] for a in ways])
    df_t = np.trace(first) ** 2 / np.sum(first**2)
    q = len(weights)
    total = 0.0
    for a in ways:
        for b in ways:
            between = root @ a @ phi @ b.T @ root.T
            total += np.trace(between) ** 2 + np.trace(between @ between)
    eta = q * (q + 1) / total
    effects = weights @ bread @ design.T @ inverse @ values
    f = (eta - q + 1) / eta / q * effects @ np.linalg.solve(covariance, effects)
    return np.sqrt(covariance[0, 0]), df_t, f, eta - q + 1


@pytest.mark.parametrize("is_mixed", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_the_papers_write(seed, is_mixed):
    values, design, owner = within_data(seed, missing=0.2, n=14, cells=4)
    if not is_mixed:
        values, design = between_data(seed)
        owner = np.arange(values.size)
    fit = fit_linear_model(values, design, names(owner))
    weights = np.eye(design.shape[1])[1:]
    ratio = fit.variances.get("participant_id", 0.0) / fit.variances.get("residual", 1.0)
    se, df, f, df_residual = brute_force(values, design, owner, ratio, weights)
    single, joint = t_test(ROW, fit, weights[0]), f_test(ROW, fit, weights)
    assert (single.se, single.df_residual) == pytest.approx((se, df), rel=1e-8)
    assert (joint.value, joint.df_residual) == pytest.approx((f, df_residual), rel=1e-8)
    assert joint.p == pytest.approx(stats.f.sf(f, len(weights), df_residual))


def test_two_complete_cells_are_a_paired_test_to_the_last_digit():
    for seed, size in enumerate((3, 6, 30)):
        first, second = np.random.default_rng(seed).normal(5, 2, (2, size))
        owner = np.tile(np.arange(size), 2)
        design = np.column_stack([np.ones(2 * size), np.repeat([0, 1], size)])
        fit = fit_linear_model(np.concatenate([first, second]), design, names(owner))
        found, expected = t_test(ROW, fit, np.array([0, 1])), stats.ttest_rel(second, first)
        assert found.value == pytest.approx(expected.statistic, rel=1e-11)
        assert found.df_residual == pytest.approx(size - 1, rel=1e-11)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
        limits = expected.confidence_interval()
        assert (found.ci95_low, found.ci95_high) == pytest.approx(tuple(limits), rel=1e-10)


@pytest.mark.parametrize("sizes", [(5, 9), (12, 3), (2, 2)])
def test_two_groups_are_compared_by_welchs_test(sizes):
    rng = np.random.default_rng(sum(sizes))
    one, other = rng.normal(0, 1, sizes[0]), rng.normal(0.5, 4, sizes[1])
    is_other = np.repeat([0.0, 1.0], sizes)
    design = np.column_stack([np.ones(is_other.size), is_other])
    fit = fit_linear_model(np.concatenate([one, other]), design, names(range(is_other.size)))
    found, expected = (
        t_test(ROW, fit, np.array([0, 1])),
        stats.ttest_ind(other, one, equal_var=False),
    )
    assert (found.value, found.df_residual, found.p) == pytest.approx(
        (expected.statistic, expected.df, expected.pvalue)
    )
    joint = f_test(ROW, fit, np.array([[0, 1]]))
    assert (joint.value, joint.p) == pytest.approx((found.value**2, found.p))
    alone = t_test(ROW, fit, np.array([1, 0]))
    assert alone.p == pytest.approx(stats.ttest_1samp(one, 0).pvalue)


def test_a_term_of_more_coefficients_than_participants_says_why_it_has_no_test():
    for cells, n in ((8, 6), (7, 6), (6, 6), (5, 6)):
        values, design, owner = within_data(1, n=n, cells=cells)
        fit = fit_linear_model(values, design[:, :-1], names(owner))
        joint = f_test(ROW, fit, np.eye(cells)[1:])
        if cells - 1 < n - 1:
            assert (joint.df, joint.df_residual) == pytest.approx((cells - 1, n - cells + 1))
        elif cells == n:
            assert joint.df_residual == pytest.approx(1)
        else:
            assert joint.p is None
            assert joint.note == (
                f"{cells - 1} coefficients cannot be tested together with {n} participants"
            )


def test_a_participant_who_is_a_group_alone_is_not_tested():
    design = np.column_stack([np.ones(8), np.arange(8) == 7, np.arange(8) % 2]).astype(float)
    values = np.random.default_rng(1).normal(size=8)
    fit = fit_linear_model(values, design, names(range(8)))
    lone, other = (t_test(ROW, fit, unit) for unit in np.eye(3)[1:])
    assert lone.coefficient is not None
    assert lone.p is None
    assert "a single participant determines it" in lone.note
    assert "a single participant determines it" in f_test(ROW, fit, np.eye(3)[1:2]).note
    expected = stats.ttest_ind(values[1:7:2], values[0:7:2], equal_var=False)
    assert other.p == pytest.approx(expected.pvalue, rel=0.2)


def test_great_differences_between_participants_lose_no_digits():
    values, design, owner = within_data(2, n=9, cells=2)
    expected = None
    for shift in (0.0, 1e3, 1e5):
        moved = values + shift * np.sin(owner * 2.1)
        found = t_test(ROW, fit_linear_model(moved, design, names(owner)), np.array([0, 1, 0]))
        expected = expected or found
        assert (found.value, found.p) == pytest.approx((expected.value, expected.p), rel=1e-6)
