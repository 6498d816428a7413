"""Fits and tests of plain arrays, against statsmodels and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar
from statsmodels.api import OLS, MixedLM

from bids_secondlevel.stats.models.fit import (
    Fit,
    NoFit,
    f_test,
    fit_linear_model,
    is_estimable,
    kind_of,
    t_test,
)
from bids_secondlevel.stats.models.table import ModelRow

ROW = ModelRow("a model", "ols")


def names(owner):
    return [f"sub-{number:03}" for number in owner]


def coefficients(fit):
    return fit.basis @ fit.parameters


def covariance(fit):
    return fit.variance * fit.basis @ fit.basis.T


def between_data(seed, n=20):
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(40, 8, n), rng.integers(0, 2, n)])
    return design @ [0.3, 0.02, -0.5] + rng.normal(0, 0.4, n), design


def within_data(seed, *, between=1.0, missing=0.0, n=12, cells=3):
    """Numbers of participants with random intercepts in a few cells each, some of them missing."""
    rng = np.random.default_rng(seed)
    owner, cell = np.repeat(np.arange(n), cells), np.tile(np.arange(cells), n)
    kept = rng.random(owner.size) >= missing
    kept[: 2 * cells] = True  # so that every cell and the comparisons within people are there
    owner, cell = np.unique(owner[kept], return_inverse=True)[1], cell[kept]
    age = rng.normal(30, 8, n)[owner]
    columns = [np.ones(owner.size), *(cell == c for c in range(1, cells)), age]
    design = np.column_stack(columns).astype(float)
    values = rng.normal(0, between, n)[owner] + rng.normal(0, 1, owner.size) + 0.5 * (cell == 1)
    return values, design, owner


def generalized_least_squares(values, design, owner, ratio):
    """Solve with the covariance of all numbers written out; also its REML criterion."""
    covariance = np.eye(values.size) + ratio * (owner[:, None] == owner)
    inverse = np.linalg.inv(covariance)
    information = design.T @ inverse @ design
    solution = np.linalg.solve(information, design.T @ inverse @ values)
    left = values - design @ solution
    df = values.size - design.shape[1]
    scale = left @ inverse @ left / df
    criterion = (
        df * np.log(scale) + np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
    )
    return solution, scale * np.linalg.inv(information), criterion


def test_least_squares_equals_statsmodels():
    values, design = between_data(1)
    fit = fit_linear_model(values, design, names(range(20)), errors="equal")
    expected = OLS(values, design).fit()
    assert fit.note == ""
    for j, unit in enumerate(np.eye(3)):
        r = t_test(ROW, fit, unit)
        assert r.coefficient == pytest.approx(expected.params[j])
        assert r.se == pytest.approx(expected.bse[j])
        assert (r.ci95_low, r.ci95_high) == pytest.approx(expected.conf_int()[j])
        assert (r.test, r.df_residual) == ("t", 17)
        assert (r.value, r.p) == pytest.approx((expected.tvalues[j], expected.pvalues[j]))
    weights = np.array([[0, 1, 0], [0, 0, 1]])
    joint, reference = f_test(ROW, fit, weights), expected.f_test(weights)
    assert (joint.test, joint.df, joint.df_residual) == ("F", 2, 17)
    assert (joint.value, joint.p) == pytest.approx((float(reference.fvalue), reference.pvalue))


def test_a_joint_test_of_one_combination_is_its_square_and_repetition_adds_nothing():
    values, design = between_data(2)
    fit = fit_linear_model(values, design, names(range(20)))
    weights = np.array([1.0, 40.0, 0.5])
    single = t_test(ROW, fit, weights)
    for repeated in ([weights], [weights, 2 * weights, -weights]):
        joint = f_test(ROW, fit, np.array(repeated))
        assert (joint.value, joint.df) == (pytest.approx(single.value**2), 1)
        assert joint.p == pytest.approx(single.p)


@pytest.mark.parametrize("seed", range(4))
def test_a_mixed_model_of_complete_data_equals_statsmodels(seed):
    values, design, owner = within_data(seed)
    fit = fit_linear_model(values, design, names(owner))
    expected = MixedLM(values, design, owner).fit(reml=True, method="powell")
    assert expected.converged
    assert coefficients(fit) == pytest.approx(expected.fe_params, rel=1e-4)
    assert np.sqrt(np.diag(covariance(fit))) == pytest.approx(expected.bse_fe, rel=1e-3)
    assert fit.variances["residual"] == pytest.approx(expected.scale, rel=1e-3)
    assert fit.variances["participant_id"] == pytest.approx(expected.cov_re[0, 0], rel=1e-3)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 1.0, 20.0]), st.sampled_from([0.0, 0.3]))
@settings(max_examples=40)
def test_a_mixed_model_maximizes_the_restricted_likelihood(seed, between, missing):
    values, design, owner = within_data(seed, between=between, missing=missing)
    fit = fit_linear_model(values, design, names(owner))
    ratio = fit.variances["participant_id"] / fit.variances["residual"]
    expected, its_covariance, criterion = generalized_least_squares(values, design, owner, ratio)
    assert coefficients(fit) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    assert covariance(fit) == pytest.approx(its_covariance, rel=1e-6, abs=1e-10)

    def at(log_ratio):
        return generalized_least_squares(values, design, owner, np.exp(log_ratio))[2]

    best = minimize_scalar(at, bounds=(-15, 10), method="bounded").fun
    assert criterion <= best + 1e-5
    assert ("lower bound" in fit.note) == (ratio == 0)


def test_two_complete_cells_give_the_paired_t():
    rng = np.random.default_rng(3)
    first = rng.normal(0, 2, 15)
    second = first + rng.normal(0.5, 1, 15)
    owner = np.tile(np.arange(15), 2)
    design = np.column_stack([np.ones(30), np.repeat([0, 1], 15)])
    fit = fit_linear_model(np.concatenate([first, second]), design, names(owner))
    test = t_test(ROW, fit, np.array([0, 1]))
    assert test.value == pytest.approx(stats.ttest_rel(second, first).statistic, rel=1e-5)


def test_a_variance_at_its_bound_gives_least_squares():
    # Whatever is high in one cell is low in the other: participants differ by nothing.
    values = np.array([1.0, -1.1, 2.0, -2.3, -0.5, 0.4, 3.0, -2.9])
    owner, design = np.repeat(np.arange(4), 2), np.column_stack([np.ones(8), [0, 1] * 4])
    fit = fit_linear_model(values, design, names(owner))
    expected = OLS(values, design).fit()
    assert fit.variances["participant_id"] == 0
    assert "lower bound" in fit.note
    assert np.sqrt(np.diag(covariance(fit))) == pytest.approx(expected.bse)


@pytest.mark.parametrize(
    ("values", "owner", "columns", "kind", "said"),
    [
        ([1.0, 2.0], [0, 1], 2, "ols", "2 numbers for 2 coefficients"),
        ([1.0], [0], 1, "ols", "1 number for 1 coefficient:"),
        ([2.0, 2.0, 2.0], [0, 1, 2], 1, "ols", "the model leaves no variation"),
        ([0.0, 0.0, 0.0], [0, 1, 2], 1, "ols", "the model leaves no variation"),
        ([1.0, 2.0, 4.0], [0, 0, 0], 1, "mixed", "too few participants (1)"),
        ([1.0, 1.0, 3.0, 3.0], [0, 0, 1, 1], 1, "mixed", "the model leaves no variation within"),
        (
            [1.0, 2.0, 3.0, 4.0, 8.0, 9.0],
            [0, 0, 1, 1, 2, 2],
            2,
            "mixed",
            "the model leaves no variation within",
        ),
    ],
)
def test_numbers_that_cannot_be_tested(values, owner, columns, kind, said):
    rows = len(values)
    design = np.column_stack([np.ones(rows), np.arange(rows) % 2])[:, :columns]
    fit = fit_linear_model(np.array(values), design, names(owner))
    assert isinstance(fit, NoFit)
    assert kind_of(names(owner)) == kind
    assert fit.reason.startswith(said)


def test_covariates_that_are_next_to_the_same_are_told_apart_or_not():
    # Two columns that differ in the ninth digit: their sum is known, and their difference is not.
    values, design, owner = within_data(5)
    twin = design[:, 3] * (1 + 1e-9 * np.sin(owner))
    fit = fit_linear_model(values, np.column_stack([design, twin]), names(owner))
    alone = fit_linear_model(values, design, names(owner))
    found = t_test(ROW, fit, np.array([0, 1, 0, 0, 0]))
    expected = t_test(ROW, alone, np.array([0, 1, 0, 0]))
    assert (found.value, found.df_residual) == pytest.approx((expected.value, 11.0), rel=1e-2)


def test_only_what_the_design_tells_is_estimable():
    rng = np.random.default_rng(6)
    group = np.tile([0, 1, 2], 5)
    design = np.column_stack([np.ones(15), *(group == g for g in range(3))]) * [1, 1, 1e6, 1]
    fit = fit_linear_model(rng.normal(size=15), design, names(range(15)))
    assert fit.df_residual == 12
    for weights, is_told in (
        ([0, 1, 0, 0], False),
        ([1, 0, 0, 0], False),
        ([1, 1, 0, 0], True),
        ([0, 1, 0, -1], True),
        ([0, 1, -1e6, 0], True),
        ([0, 1, -1, 0], False),
    ):
        assert is_estimable(fit, np.array([weights])) == is_told
    assert not is_estimable(fit, np.array([[0, 1, 0, -1], [0, 1, 0, 0]]))
    nothing = fit_linear_model(rng.normal(size=15), np.zeros((15, 1)), names(range(15)))
    assert not is_estimable(nothing, np.array([[1.0]]))


@given(
    st.integers(0, 1000),
    st.floats(-6, 6),
    st.floats(-6, 6),
    st.booleans(),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40)
def test_units_and_order_do_not_matter(seed, of_values, of_column, is_mixed, random):
    values, design, owner = within_data(seed)
    if not is_mixed:
        values, design = between_data(seed)
        owner = np.arange(values.size)
    fit = fit_linear_model(values, design, names(owner))
    order = list(range(values.size))
    random.shuffle(order)
    scale = np.ones(design.shape[1])
    scale[1] = 10**of_column
    changed = fit_linear_model(
        values[order] * 10**of_values, (design * scale)[order], names(owner[order])
    )
    assert isinstance(fit, Fit)
    for unit in np.eye(design.shape[1]):
        before, after = t_test(ROW, fit, unit), t_test(ROW, changed, unit)
        factor = 10**of_values / (unit @ scale)
        assert after.test == before.test
        assert after.coefficient == pytest.approx(before.coefficient * factor, rel=1e-4)
        assert after.se == pytest.approx(before.se * factor, rel=1e-4)
        assert after.p == pytest.approx(before.p, rel=1e-3, abs=1e-12)
