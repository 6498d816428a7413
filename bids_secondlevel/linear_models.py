"""Fit a formula to the estimates: least squares, or a mixed model for repeated measures."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bids_secondlevel.errors import DataError, UsageError
from bids_secondlevel.formulas import ParsedFormula, parse_formula
from bids_secondlevel.measures import KEY, EstimateRow
from bids_secondlevel.model import Array, ParticipantsTable
from bids_secondlevel.model_rows import (
    Fit,
    ModelResults,
    ModelRow,
    say_excluded,
    split,
    usable_rows,
)
from bids_secondlevel.model_summary import summarize_fits

_CATEGORICAL = (*KEY, "status", "independence")
_OF_ESTIMATES = tuple(field.name for field in fields(EstimateRow))
_SINGULAR = 1e-6
"""Share of the residual variance below which a variance counts as zero."""


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


def fit_formula(
    formula: str, rows: Sequence[EstimateRow], participants: ParticipantsTable
) -> ModelResults:
    """Fit a formula to the estimates that are not circular.

    Parameters
    ----------
    formula : str
        Wilkinson notation, such as ``estimate ~ roi * contrast + age + group``. Names are columns
        of the estimates table or of ``participants.tsv``. Columns of the key (session, task,
        contrast, roi, hemi) that it does not name split the data: one model for each of their
        combinations. Without ``hemi`` in it, estimates of both hemispheres pooled are used,
        otherwise those of L and R. A factor is compared with its first level in the order of the
        alphabet.
    rows : sequence of EstimateRow
        Of all participants.
    participants : ParticipantsTable

    Returns
    -------
    ModelResults
        Least squares where participants have one estimate each, with t and F tests; otherwise a
        linear mixed model with a random intercept of each participant (REML), with z and chi2.

    Raises
    ------
    UsageError
        If the formula cannot be read, or names a column that there is not.
    DataError
        If a column is constant, or n/a for most participants, or nothing is left.

    References
    ----------
    Notation: Wilkinson and Rogers (1973), Applied Statistics 22, 392-399. Mixed model: Laird and
    Ware (1982), Biometrics 38, 963-974, with one random effect.
    """
    parsed = parse_formula(formula)
    _check_names(parsed, participants)
    candidates = usable_rows(rows, by_hemisphere="hemi" in parsed.names)
    _check_left(parsed.text, candidates)
    values = {name: _column(name, candidates, participants) for name in parsed.names}
    _check_columns(parsed, candidates, values, participants)
    number = {id(row): position for position, row in enumerate(candidates)}
    fitted: list[ModelRow] = []
    for cell, of_cell in split(candidates, parsed.names):
        own = {n: v[[number[id(row)] for row in of_cell]] for n, v in values.items()}
        fitted += _fit_cell(parsed, cell, of_cell, own)
    shadowed = [n for n in parsed.names if n in participants.columns and n in _OF_ESTIMATES]
    messages = [
        f"--model: {name} is taken from the table of estimates, not from {participants.path}."
        for name in shadowed
    ]
    return ModelResults(tuple(fitted), summarize_fits(fitted), tuple(messages))


def _check_names(parsed: ParsedFormula, participants: ParticipantsTable) -> None:
    known = (*_OF_ESTIMATES, *participants.columns)
    for name in parsed.names:
        if name not in known:
            raise UsageError(
                f"--model {parsed.text!r}: there is no column {name}; the table of estimates has "
                f"{', '.join(_OF_ESTIMATES)}, and {participants.path} "
                f"{'has ' + ', '.join(participants.columns) if participants.columns else 'none'}."
            )


def _check_left(model: str, rows: Sequence[EstimateRow]) -> None:
    if not any(row.estimate is not None for row in rows):
        raise DataError(
            f"--model {model!r}: no estimate is left that is not circular. Circular estimates are "
            "not tested; measure another task, or use --cross-validate at participant level."
        )


def _column(name: str, rows: Sequence[EstimateRow], participants: ParticipantsTable) -> Array:
    """Give a column for each row: numbers with NaN for n/a, or labels with ``None``."""
    if name in _OF_ESTIMATES:
        values = [getattr(row, name) for row in rows]
        if name in _CATEGORICAL:
            return np.array([v if v is None else str(v) for v in values], dtype=object)
        return np.array(values, dtype=np.float64)
    texts = [participants.values.get(row.participant_id, {}).get(name) for row in rows]
    if name in participants.categorical:
        return np.array(texts, dtype=object)
    try:
        return np.array([np.nan if text is None else float(text) for text in texts])
    except ValueError:
        return np.array(texts, dtype=object)


def _is_missing(values: Array) -> Array:
    if values.dtype == object:
        return np.array([value is None for value in values], dtype=bool)
    return ~np.isfinite(values)


def _check_columns(
    parsed: ParsedFormula,
    rows: Sequence[EstimateRow],
    values: Mapping[str, Array],
    participants: ParticipantsTable,
) -> None:
    """Refuse columns that cannot explain anything.

    Raises
    ------
    DataError
    """
    has_number = np.array([row.estimate is not None for row in rows])
    names = np.array([row.participant_id for row in rows])
    complete = has_number & ~np.any([_is_missing(v) for v in values.values()], axis=0)
    for name, column in values.items():
        where = "the table of estimates" if name in _OF_ESTIMATES else participants.path
        everyone = set(names[has_number])
        without = everyone - set(names[has_number & ~_is_missing(column)])
        if len(without) > len(everyone) / 2:
            raise DataError(
                f"--model {parsed.text!r}: column {name} of {where} is n/a for {len(without)} of "
                f"{len(everyone)} participants with estimates ({', '.join(sorted(without)[:10])}"
                f"{', ...' if len(without) > 10 else ''}). Fill it in, or leave it out."
            )
        found = set(column[complete])
        if len(found) == 1:
            raise DataError(
                f"--model {parsed.text!r}: column {name} of {where} has the same value everywhere "
                f"({found.pop()}), so that it explains nothing. Leave it out."
            )
    if not complete.any():
        raise DataError(
            f"--model {parsed.text!r}: no participant has values in all of its columns."
        )


def _fit_cell(
    parsed: ParsedFormula,
    cell: Mapping[str, Any],
    rows: Sequence[EstimateRow],
    values: Mapping[str, Array],
) -> list[ModelRow]:
    """Fit the formula to the rows of one cell; where that cannot be done, one row says why."""
    missing = {name: _is_missing(column) for name, column in values.items()}
    reasons = [_reason(row, i, missing) for i, row in enumerate(rows)]
    used = [i for i, reason in enumerate(reasons) if reason is None]
    names = tuple(rows[i].participant_id for i in used)
    is_repeated = len(set(names)) < len(names)
    common = {
        "model": parsed.text,
        **cell,
        "n_rows": len(used),
        "n_participants": len(set(names)),
        "excluded": say_excluded(
            [(row.participant_id, reason) for row, reason in zip(rows, reasons, strict=True)]
        ),
    }
    try:
        design = build_design(parsed, {n: v[used] for n, v in values.items()}, names)
        fitted = fit_mixed(design) if is_repeated else fit_least_squares(design)
    except _NoFitError as problem:
        fit: Fit = "mixed" if is_repeated else "ols"
        return [ModelRow(**common, fit=fit, kind="term", name="all", note=str(problem))]
    return [*_rows_of(fitted, design, common)]


class _NoFitError(Exception):
    """A model that cannot be fitted to these rows; says why."""


def _reason(row: EstimateRow, position: int, missing: Mapping[str, Array]) -> str | None:
    if row.estimate is None:
        return row.status
    lacking = [name for name, is_missing in missing.items() if is_missing[position]]
    return f"{' and '.join(lacking)} n/a" if lacking else None


def build_design(
    parsed: ParsedFormula, values: Mapping[str, Array], participants: tuple[str, ...]
) -> Design:
    """Evaluate a formula on complete columns.

    A term is tested under sum-to-zero coding of the factors whose coding the formula does not
    set, so that a factor is tested on average over the levels of the factors it interacts with
    (type III). Both codings span the same space: the coefficients of the one are a linear
    function of those of the other, and so is the hypothesis.
    """
    import pandas as pd
    from formulaic import Formula, model_matrix
    from formulaic.errors import FormulaicError

    for name, column in values.items():
        if name not in parsed.names_of_response and len(set(column)) < 2:
            raise _NoFitError(f"{name} has the same value in all of these estimates")
    frame = pd.DataFrame(
        {n: pd.Categorical(v) if v.dtype == object else v for n, v in values.items()}
    )
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            both = model_matrix(Formula(parsed.text), frame, context={}, na_action="ignore")
            y, x = both.lhs, both.rhs
            coded = Formula([_sum_coded(term, values) for term in parsed.terms])
            z = model_matrix(coded, frame, context={}, na_action="ignore")
    except (FormulaicError, ValueError, TypeError, ZeroDivisionError) as error:
        raise UsageError(f"--model {parsed.text!r}: cannot be evaluated ({error}).") from error
    response, matrix, sums = (np.asarray(m, dtype=np.float64) for m in (y, x, z))
    if response.shape[1] != 1:
        raise UsageError(f"--model {parsed.text!r}: the response {parsed.response} is no number.")
    if not (np.isfinite(response).all() and np.isfinite(matrix).all()):
        raise _NoFitError("a transformation gives values that are not finite")
    if np.linalg.matrix_rank(_scaled(matrix)) < matrix.shape[1]:
        raise _NoFitError("the terms determine each other here, so that they cannot be separated")
    if len(matrix) <= matrix.shape[1]:
        raise _NoFitError(f"{len(matrix)} estimates are too few for {matrix.shape[1]} coefficients")
    # Coefficients under sum-to-zero coding, from those under the coding of the formula.
    translate = np.linalg.lstsq(sums, matrix, rcond=None)[0]
    if not np.allclose(sums @ translate, matrix):
        translate = np.eye(matrix.shape[1])
    slices = z.model_spec.term_slices
    tests = {
        term.name: translate[of_term]
        for term, of_term in zip(parsed.terms, slices.values(), strict=True)
        if term.factors and translate[of_term].size
    }
    return Design(response[:, 0], matrix, tuple(map(str, x.columns)), participants, tests)


def _sum_coded(term: Any, values: Mapping[str, Array]) -> str:
    """Write a term with sum-to-zero coding of the factors that stand in it by their name alone."""
    coded = [
        f"C({factor}, contr.sum)"
        if factor.strip("`") in values and values[factor.strip("`")].dtype == object
        else factor
        for factor in term.factors
    ]
    return ":".join(coded) or "1"


def _scaled(matrix: Array) -> Array:
    size = np.abs(matrix).max(axis=0)
    return matrix / np.where(size > 0, size, 1.0)


def fit_least_squares(design: Design) -> Fitted:
    """Fit by ordinary least squares.

    Raises
    ------
    _NoFitError
        If nothing is left to be explained.
    """
    from statsmodels.regression.linear_model import OLS

    scale = _spread(design.response)
    result = OLS(design.response / scale, design.matrix).fit()
    if not result.scale > np.finfo(float).eps ** 1.5:
        raise _NoFitError("the model explains all of the variance, so that nothing can be tested")
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
    _NoFitError
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
            raise _NoFitError(f"the mixed model could not be fitted ({error})") from error
    coefficients = np.asarray(result.fe_params)
    covariance = np.asarray(result.cov_params())[: coefficients.size, : coefficients.size]
    variance, residual = float(np.asarray(result.cov_re)[0, 0]), float(result.scale)
    if not (np.isfinite(coefficients).all() and residual > np.finfo(float).eps):
        raise _NoFitError("the mixed model could not be fitted (no residual variance)")
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
        raise _NoFitError("all estimates are the same")
    return spread


def _rows_of(fitted: Fitted, design: Design, common: Mapping[str, Any]) -> list[ModelRow]:
    of_fit = {
        **common,
        "fit": fitted.fit,
        "converged": None if fitted.converged is None else ("yes" if fitted.converged else "no"),
        "note": "; ".join(fitted.notes) or None,
    }
    coefficients = [
        ModelRow(**of_fit, kind="coefficient", name=name, **weighted_sum_test(fitted, row))
        for name, row in zip(design.names, np.eye(len(design.names)), strict=True)
    ]
    terms = [
        ModelRow(**of_fit, kind="term", name=name, **wald_test(fitted, matrix))
        for name, matrix in design.tests.items()
    ]
    variances = [
        ModelRow(**of_fit, kind="variance", name=name, value=value)
        for name, value in fitted.variances.items()
    ]
    return [*coefficients, *terms, *variances]


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
