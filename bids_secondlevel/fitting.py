"""Fit a design: by least squares, or as a mixed model; and test what was fitted."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_secondlevel.model import Array
from bids_secondlevel.model_rows import Fit

_SINGULAR = 1e-6
"""Share of the residual variance below which a variance counts as zero."""


class NoFitError(Exception):
    """A model cannot be fitted to these rows; says why."""


@dataclass(frozen=True, eq=False)
class Design:
    """What a model is fitted to.

    Attributes
    ----------
    response : (n_rows,) array
    matrix : (n_rows, n_coefficients) array
    names : tuple of str
        Of the coefficients.
    participants : tuple of str
        Of the rows.
    tests : mapping of str to (n_df, n_coefficients) array
        What is tested together, by the name of the term.
    """

    response: Array
    matrix: Array
    names: tuple[str, ...]
    participants: tuple[str, ...]
    tests: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Coefficients with their covariance; `df_residual` is ``None`` for a mixed model."""

    fit: Fit
    coefficients: Array
    covariance: Array
    df_residual: float | None
    variances: Mapping[str, float]
    converged: bool | None
    notes: tuple[str, ...] = ()


def fit_least_squares(design: Design) -> Fitted:
    """Fit by ordinary least squares.

    Raises
    ------
    NoFitError
        If nothing is left to be explained.
    """
    from statsmodels.regression.linear_model import OLS

    scale = _spread(design.response)
    with warnings.catch_warnings():
        # A design of less than full rank is fine as long as what is tested is determined.
        warnings.simplefilter("ignore")
        result = OLS(design.response / scale, design.matrix).fit()
    if not result.scale > np.finfo(float).eps ** 1.5:
        raise NoFitError("the model explains all of the variance, so that nothing can be tested")
    return Fitted(
        "ols",
        result.params * scale,
        result.cov_params() * scale**2,
        float(result.df_resid),
        {"residual": float(result.scale) * scale**2},
        None,
    )


def fit_mixed(design: Design) -> Fitted:
    """Fit a linear mixed model with a random intercept of each participant, by REML.

    Several optimizers are tried until one converges; what statsmodels warns of is in `notes`.

    Raises
    ------
    NoFitError
        If no optimizer comes to a result.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    # What statsmodels calls close to zero is so in the units of the response.
    scale = _spread(design.response)
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            model = MixedLM(design.response / scale, design.matrix, groups=design.participants)
            result = model.fit(reml=True, method=["bfgs", "lbfgs", "cg", "powell"])
        except (np.linalg.LinAlgError, ValueError, ZeroDivisionError) as error:
            raise NoFitError(f"the mixed model could not be fitted ({error})") from error
    coefficients = np.asarray(result.fe_params)
    covariance = np.asarray(result.cov_params())[: coefficients.size, : coefficients.size]
    variance, residual = float(np.asarray(result.cov_re)[0, 0]), float(result.scale)
    if not (np.isfinite(coefficients).all() and residual > np.finfo(float).eps):
        raise NoFitError("the mixed model could not be fitted (no residual variance)")
    if not (np.isfinite(covariance).all() and (np.diag(covariance) > 0).all()):
        covariance = _generalized_least_squares(design, variance / residual) * residual
    notes = []
    if not result.converged:
        told = {str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)}
        failed = sorted(message for message in told if "gradient" in message.casefold())
        notes.append(
            "the fit has not converged: do not use it" + "".join(f" ({m})" for m in failed)
        )
    if variance < _SINGULAR * residual:
        notes.append(
            "the variance of the random intercepts is at its bound, 0: participants do not differ "
            "by more than their estimates do"
        )
    return Fitted(
        "mixed",
        coefficients * scale,
        covariance * scale**2,
        None,
        {"participant_id": variance * scale**2, "residual": residual * scale**2},
        bool(result.converged),
        tuple(notes),
    )


def _generalized_least_squares(design: Design, ratio: float) -> Array:
    """Compute the inverse of the sum of X' V^-1 X over participants, V = I + ratio 1 1'."""
    names = np.array(design.participants)
    information = np.zeros((design.matrix.shape[1],) * 2)
    for name in np.unique(names):
        x = design.matrix[names == name]
        shrunk = x.sum(axis=0) * ratio / (1 + ratio * len(x))
        information += x.T @ (x - shrunk)
    return np.linalg.inv(information)


def _spread(values: Array) -> float:
    """Give the standard deviation, in units of which a response is fitted."""
    spread = float(values.std())
    if not spread > np.finfo(float).eps * np.abs(values).max():
        raise NoFitError("all estimates are the same")
    return spread


def weighted_sum_test(fitted: Fitted, weights: Array) -> dict[str, Any]:
    """Test a weighted sum of coefficients against 0, with its 95 % confidence interval.

    Parameters
    ----------
    fitted : Fitted
    weights : (n_coefficients,) array

    Returns
    -------
    dict
        Columns of :class:`~.model_rows.ModelRow`.
    """
    from scipy import stats

    value = float(weights @ fitted.coefficients)
    se = float(np.sqrt(weights @ fitted.covariance @ weights))
    df = fitted.df_residual
    distribution = stats.norm() if df is None else stats.t(df)
    half = float(distribution.ppf(0.975)) * se
    return {
        "value": value,
        "se": se,
        "ci95_low": value - half,
        "ci95_high": value + half,
        "test": "z" if df is None else "t",
        "test_statistic": value / se,
        "df": df,
        "p": float(2 * distribution.sf(abs(value / se))),
    }


def wald_test(fitted: Fitted, matrix: Array) -> dict[str, Any]:
    """Test whether several weighted sums of coefficients are all 0 (Wald).

    Parameters
    ----------
    fitted : Fitted
    matrix : (n_df, n_coefficients) array

    Returns
    -------
    dict
        Columns of :class:`~.model_rows.ModelRow`.

    References
    ----------
    Wald (1943), Transactions of the American Mathematical Society 54, 426-482; for least squares
    the statistic divided by its degrees of freedom follows an F distribution exactly.
    """
    from scipy import stats

    values = matrix @ fitted.coefficients
    covariance = matrix @ fitted.covariance @ matrix.T
    size = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(size, size)
    wald = float(values / size @ np.linalg.solve(correlation, values / size))
    df = float(len(matrix))
    if fitted.df_residual is None:
        p = float(stats.chi2.sf(wald, df))
        return {"test": "chi2", "test_statistic": wald, "df": df, "p": p}
    return {
        "test": "F",
        "test_statistic": wald / df,
        "df": df,
        "df_residual": fitted.df_residual,
        "p": float(stats.f.sf(wald / df, df, fitted.df_residual)),
    }
