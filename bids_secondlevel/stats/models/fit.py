"""Fit a linear model to the numbers of participants, and test combinations of its coefficients.

Where participants have several numbers, these are made independent first (:func:`whiten`). From
there on everything is ordinary least squares. Tests take what each participant adds to the
coefficients as the sample (:mod:`.robust`), or suppose that all numbers have the same variance.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array
from bids_secondlevel.core.words import counted
from bids_secondlevel.stats.models.robust import ClusterRobust, cluster_robust
from bids_secondlevel.stats.models.table import FitKind, ModelRow
from bids_secondlevel.stats.testing.one_sample import noncentralities
from bids_secondlevel.stats.testing.scale import from_usual_size, to_usual_size

_ROWS = 10_000
"""Rows of a design that are taken at a time."""

_BOUND = 1e-6
"""Ratio of the variances of random intercepts and residuals that counts as 0."""

_RATIOS = np.arange(-6.0, 15.0)
"""Logarithms of ratios (to base 10) among which the best is looked for first."""

Errors = Literal["robust", "equal"]
"""What tests suppose of the numbers: nothing about their variances, or that these are equal."""

_ROUNDING = 1e-10
"""Size of residuals, relative to the numbers fitted, that is rounding error."""

_NOTHING_LEFT = 1e-7
"""Size of residuals, relative to the variation of the numbers fitted, that counts as 0."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """A fitted model. Its design is an orthonormal basis times `loadings`."""

    parameters: Array
    """(rank,) of that basis."""
    variance: float
    """Of the residuals."""
    df_residual: int
    loadings: Array
    """(rank, n_columns)"""
    basis: Array
    """(n_columns, rank): times the parameters of `least_squares`, the coefficients."""
    variances: Mapping[str, float] = field(default_factory=dict)
    """Variance components of a mixed model."""
    exponent: int = 0
    """Of the power of 2 that the numbers were divided by before they were fitted."""
    robust: ClusterRobust | None = None
    """What tests are made of; ``None`` if they suppose equal variances."""
    note: str = ""


@dataclass(frozen=True)
class NoFit:
    """Why a model cannot be fitted."""

    reason: str


def kind_of(participants: Sequence[str]) -> FitKind:
    """Choose the kind of model: mixed if a participant has several numbers."""
    return "ols" if len(set(participants)) == len(participants) else "mixed"


def fit_linear_model(
    values: Array, design: Array, participants: Sequence[str], errors: Errors = "robust"
) -> Fit | NoFit:
    """Fit ordinary least squares, or a mixed model if participants have several numbers.

    Parameters
    ----------
    values : (n_rows,) array
    design : (n_rows, n_columns) array
    participants
        Whose number it is, for each row.
    errors
        Those of a mixed model are always robust.
    """
    values, exponent = to_usual_size(values)
    fit = _fit(values, design, participants, errors)
    if not exponent or isinstance(fit, NoFit):
        return fit
    variances = {k: from_usual_size(v, 2 * exponent) for k, v in fit.variances.items()}
    return replace(fit, exponent=exponent, variances=variances)


def _fit(values: Array, design: Array, participants: Sequence[str], errors: Errors) -> Fit | NoFit:
    owner = np.unique(np.asarray(participants, dtype=str), return_inverse=True)[1]
    if kind_of(participants) == "mixed":
        return _fit_mixed(values, design, owner)
    rank = rank_of(design)
    if len(values) - rank < 1:
        return NoFit(
            f"{counted(len(values), 'number')} for {counted(rank, 'coefficient')}: no residual "
            "degrees of freedom"
        )
    solved = _least_squares(values, design)
    if _is_nothing(np.linalg.norm(solved.residuals), values):
        return NoFit("the model leaves no variation, so nothing can be tested")
    return solved.fit if errors == "equal" else solved.with_robust_tests(owner, ratio=0.0)


def _fit_mixed(values: Array, design: Array, owner: Array) -> Fit | NoFit:
    """Fit random intercepts by REML; the one thing to find is the ratio of the variances."""
    n_participants = owner.max() + 1
    # What differs between the means of participants, and within participants.
    scale = np.append(_sizes(design), np.std(values) or 1.0)
    means = np.column_stack([_means(design, owner), _means(values, owner)])
    triangle = _triangle(
        (np.column_stack([design[here], values[here]]) - means[owner[here]]) / scale
        for here in _parts(len(values))
    )
    within, inside = triangle[:, :-1], triangle[:, -1]
    n_within = int(np.linalg.matrix_rank(within, tol=_ROUNDING))
    if n_participants - (rank_of(design) - n_within) < 1:
        return NoFit(f"too few participants ({n_participants}) to estimate their variance")
    left = inside - within @ np.linalg.lstsq(within, inside, rcond=None)[0]
    df_within = len(values) - n_participants - n_within
    if df_within < 1 or _is_nothing(np.linalg.norm(left) * scale[-1], values):
        return NoFit("the model leaves no variation within participants")
    ratio = _variance_ratio(triangle, means / scale, np.bincount(owner))
    note = ""
    if ratio == 0.0:
        note = (
            "the variance of the random intercepts is estimated as 0, its lower bound; tests still "
            "use participants as the sample"
        )
    solved = _least_squares(*whiten(values, design, owner, ratio))
    residual = solved.fit.variance
    variances = {"participant_id": ratio * residual, "residual": residual}
    return replace(solved.with_robust_tests(owner, ratio), variances=variances, note=note)


def _variance_ratio(within: Array, means: Array, sizes: NDArray[np.intp]) -> float:
    """Estimate the variance of random intercepts relative to that of the residuals, by REML.

    The criterion is that of Bates et al. (2015), Journal of Statistical Software 67 (1), profiled
    for all but the ratio.

    Parameters
    ----------
    within : (k, n_columns + 1) array
        Triangular factor of what differs within participants: the design, then the numbers.
    means : (n_participants, n_columns + 1) array
        Of the same columns.
    sizes : (n_participants,) array of int
        Numbers of each participant.
    """
    from scipy.optimize import minimize_scalar

    df = int(sizes.sum()) - (means.shape[1] - 1)
    between = means * np.sqrt(sizes)[:, np.newaxis]
    kinds = np.unique(sizes)  # participants with as many numbers are shrunk alike
    alike = [np.linalg.qr(between[sizes == size], mode="r") for size in kinds]
    size_of = np.repeat(kinds, [len(rows) for rows in alike])
    between = np.vstack(alike)

    def criterion(ratio: float) -> float:
        shrunk = between / np.sqrt(1 + size_of * ratio)[:, np.newaxis]
        diagonal = np.abs(np.diag(np.linalg.qr(np.vstack([within, shrunk]), mode="r")))
        logs = np.log(np.maximum(diagonal, np.finfo(float).tiny))
        return float(2 * df * logs[-1] + 2 * logs[:-1].sum() + np.log1p(sizes * ratio).sum())

    best = _RATIOS[np.argmin([criterion(10**log) for log in _RATIOS])]
    found = minimize_scalar(
        lambda log: criterion(10**log),
        bounds=(best - 1.0, best + 1.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    ratio = float(10**found.x)
    return ratio if ratio > _BOUND and found.fun < criterion(0.0) else 0.0


def whiten(values: Array, design: Array, owner: Array, ratio: float) -> tuple[Array, Array]:
    """Subtract a part of the participants' means, which makes all numbers independent.

    Least squares on the result is generalized least squares under random intercepts (Fuller &
    Battese, 1973, Journal of the American Statistical Association 68, 626-632). So the standard
    errors are those of lme4, and those of statsmodels if all participants have the same rows.

    Parameters
    ----------
    values : (n_rows,) array
    design : (n_rows, n_columns) array
    owner : (n_rows,) array of int
        Whose number it is.
    ratio
        Variance of the random intercepts, relative to that of the residuals.
    """
    part = 1 - 1 / np.sqrt(1 + np.bincount(owner) * ratio)
    white = (part[:, np.newaxis] * _means(design, owner))[owner]
    np.subtract(design, white, out=white)
    return values - (part * _means(values, owner))[owner], white


def _means(values: Array, owner: Array) -> Array:
    """Take the mean over the rows of each participant."""
    from scipy.sparse import csr_array

    n_rows = owner.size
    sums = csr_array((np.ones(n_rows), (owner, np.arange(n_rows)))) @ values
    means: Array = sums / np.bincount(owner).reshape(-1, *[1] * (values.ndim - 1))
    return means


def _parts(n_rows: int) -> Iterator[slice]:
    """Split rows into parts, to avoid a copy of all of them."""
    return (slice(start, start + _ROWS) for start in range(0, n_rows, _ROWS))


def _triangle(parts: Iterable[Array]) -> Array:
    """Return the triangular factor of a matrix, some rows of which are given at a time."""
    triangle: Array | None = None
    for rows in parts:
        stacked = rows if triangle is None else np.vstack([triangle, rows])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
    assert triangle is not None
    return triangle


@dataclass(frozen=True, eq=False, kw_only=True)
class _LeastSquares:
    """A fit, with what is as large as the data."""

    fit: Fit
    design: Array
    """(n_rows, rank), orthonormal."""
    residuals: Array
    """(n_rows,)"""

    def with_robust_tests(self, owner: NDArray[np.intp], ratio: float) -> Fit:
        """Return the fit with tests that take participants as the sample."""
        robust = cluster_robust(self.design, self.residuals, owner, ratio)
        return replace(self.fit, robust=robust)


def _least_squares(values: Array, design: Array) -> _LeastSquares:
    """Solve least squares; what is a rounding error does not depend on the units of columns."""
    scale = _sizes(design)
    orthonormal = design / scale
    parts = list(_parts(len(values)))
    _, singular, turned = np.linalg.svd(_triangle(orthonormal[here] for here in parts))
    is_told = singular > singular[0] * max(design.shape) * np.finfo(float).eps
    rank = max(int(is_told.sum()), 1)  # of a design of zeros, nothing is estimable
    weighted = singular[:rank, np.newaxis] * turned[:rank]
    orthonormal = orthonormal @ (turned[:rank].T / np.where(singular > 0, singular, 1.0)[:rank])
    # Once more, as what was next to dependent is not quite orthogonal yet.
    triangle = _triangle(orthonormal[here] for here in parts)
    if np.linalg.matrix_rank(triangle) == rank:
        for here in parts:
            orthonormal[here] = np.linalg.solve(triangle.T, orthonormal[here].T).T
        weighted = triangle @ weighted
    loadings = weighted * scale
    parameters = orthonormal.T @ values
    residuals = values - orthonormal @ parameters
    df_residual = len(values) - rank
    fit = Fit(
        parameters=parameters,
        variance=float(residuals @ residuals) / df_residual if df_residual else np.nan,
        df_residual=df_residual,
        loadings=loadings,
        basis=np.linalg.pinv(loadings / scale, rcond=0) / scale[:, np.newaxis],
    )
    return _LeastSquares(fit=fit, design=orthonormal, residuals=residuals)


def _is_nothing(residuals: Any, values: Array) -> bool:
    """Return whether residuals of some length are next to nothing."""
    variation = np.linalg.norm(values - values.mean())
    limit = max(_ROUNDING * np.linalg.norm(values), _NOTHING_LEFT * variation)
    return bool(residuals <= limit)


def _sizes(matrix: Array) -> Array:
    """Take the lengths of columns; 1 if a column is 0."""
    sizes = np.linalg.norm(matrix, axis=0)
    lengths: Array = np.where(sizes > 0, sizes, 1.0)
    return lengths


def rank_of(matrix: Array) -> int:
    """Count the independent columns of a matrix, in any units."""
    sizes = _sizes(matrix)
    triangle = _triangle(matrix[here] / sizes for here in _parts(len(matrix)))
    tolerance = max(matrix.shape) * np.finfo(float).eps * np.linalg.norm(triangle, 2)
    return int(np.linalg.matrix_rank(triangle, tol=tolerance))


def is_estimable(fit: Fit, weights: Array) -> bool:
    """Return whether the design determines combinations of coefficients.

    Parameters
    ----------
    weights : (n_combinations, n_columns) array
    """
    scale = _sizes(fit.loadings)
    size = np.linalg.norm(weights / scale, axis=1, keepdims=True)
    lost = (weights @ fit.basis @ fit.loadings - weights) / scale
    return bool(np.all(np.abs(lost) <= 1e-8 * size))


def t_test(row: ModelRow, fit: Fit, weights: Array) -> ModelRow:
    """Complete a row with a combination of coefficients, its interval and its t test against 0.

    Parameters
    ----------
    weights : (n_columns,) array
    """
    from scipy import special

    combination = weights @ fit.basis
    coefficient = float(combination @ fit.parameters)
    row = replace(row, coefficient=from_usual_size(coefficient, fit.exponent))
    if fit.robust is None:
        variance, df = fit.variance * float(combination @ combination), float(fit.df_residual)
    elif (found := fit.robust.variance(combination)) is None:
        return replace(row, note=_joined(row.note, _ALONE))
    else:
        variance, df = found
    if not variance > 0:
        return replace(row, note=_joined(row.note, "it does not vary between participants"))
    se = float(np.sqrt(variance))
    t, half = coefficient / se, float(special.stdtrit(df, 0.975)) * se
    return replace(
        row,
        se=from_usual_size(se, fit.exponent),
        ci95_low=from_usual_size(coefficient - half, fit.exponent),
        ci95_high=from_usual_size(coefficient + half, fit.exponent),
        test="t",
        value=t,
        df_residual=df,
        p=float(2 * special.stdtr(df, -abs(t))),
    )


def f_test(row: ModelRow, fit: Fit, weights: Array) -> ModelRow:
    """Complete a row with a test of several combinations of coefficients together against 0.

    Parameters
    ----------
    weights : (n_combinations, n_columns) array
        Of which as many are tested as are independent.
    """
    from scipy import special

    combinations = (weights @ fit.basis).T
    df = rank_of(combinations)
    independent = np.linalg.svd(combinations / _sizes(combinations))[0][:, :df]
    if fit.robust is None:
        f = float(np.sum((fit.parameters @ independent) ** 2) / df / fit.variance)
        df_residual = float(fit.df_residual)
    elif (found := fit.robust.joint_test(fit.parameters, independent)) is None:
        n_participants = len(fit.robust.scores)
        why = (
            f"{counted(df, 'coefficient')} cannot be tested together with "
            f"{counted(n_participants, 'participant')}"
            if df > 1
            else _ALONE
        )
        return replace(row, note=_joined(row.note, why))
    else:
        f, _, df_residual = found
    return replace(
        row,
        test="F",
        value=f,
        df=df,
        df_residual=df_residual,
        p=float(special.fdtrc(df, df_residual, f)),
    )


def with_effect_sizes(row: ModelRow, fit: Fit, *, is_difference: bool) -> ModelRow:
    """Complete a tested row with effect sizes and their intervals; none of mixed models.

    Parameters
    ----------
    is_difference
        Whether the coefficient is a mean, or a difference of means.

    References
    ----------
    Steiger (2004), Psychological Methods 9, 164-182: the interval of partial eta squared.
    """
    if row.fit == "mixed" or row.value is None or row.df_residual is None:
        return row
    df, df_residual = row.df or 1, row.df_residual
    f = row.value if row.test == "F" else row.value**2
    if is_difference and row.se is not None and row.coefficient is not None:
        sd = from_usual_size(float(np.sqrt(fit.variance)), fit.exponent)
        low, high = noncentralities(np.array([abs(row.value)]), np.array([df_residual]))[:, 0]
        low, high = (low, high) if row.value >= 0 else (-high, -low)
        row = replace(
            row,
            cohens_d=row.coefficient / sd,
            cohens_d_ci95_low=float(low * row.se / sd),
            cohens_d_ci95_high=float(high * row.se / sd),
        )
    low, high = (_f_noncentrality(f, df, df_residual, tail) for tail in (0.975, 0.025))
    n = df + df_residual + 1
    return replace(
        row,
        partial_eta2=f * df / (f * df + df_residual),
        partial_eta2_ci95_low=low / (low + n),
        partial_eta2_ci95_high=high / (high + n),
    )


def _f_noncentrality(f: float, df: float, df_residual: float, tail: float) -> float:
    """Find the noncentrality under which F is at a percentile; 0 if it is below it without."""
    from scipy import optimize, special

    if special.fdtr(df, df_residual, f) <= tail:
        return 0.0
    # A large F is next to the noncentrality divided by chi-squared over df.
    large = f * df * float(special.chdtri(df_residual, tail)) / df_residual
    if f > _LARGE_F:
        return large
    top = 4 * f * df * max(float(special.chdtri(df_residual, 0.001)) / df_residual, 1.0) + 100.0
    found = optimize.brentq(lambda nc: special.ncfdtr(df, df_residual, nc, f) - tail, 0.0, top)
    return float(found)


_LARGE_F = 1e3

_ALONE = "not tested, because a single participant determines it"


def _joined(note: str | None, why: str) -> str:
    return "; ".join(filter(None, (note, why)))
