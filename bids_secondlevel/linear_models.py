"""Fit a formula to the estimates: least squares, or a mixed model for repeated measures."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bids_secondlevel.errors import UsageError
from bids_secondlevel.fitting import (
    Design,
    Fitted,
    NoFitError,
    fit_least_squares,
    fit_mixed,
    wald_test,
    weighted_sum_test,
)
from bids_secondlevel.formulas import ParsedFormula, parse_formula
from bids_secondlevel.measures import EstimateRow
from bids_secondlevel.model import Array, ParticipantsTable
from bids_secondlevel.model_columns import (
    ESTIMATE_COLUMNS,
    check_columns,
    check_some_left,
    is_missing,
    read_column,
    why_left_out,
)
from bids_secondlevel.model_rows import (
    Fit,
    ModelResults,
    ModelRow,
    say_excluded,
    split,
    usable_rows,
)
from bids_secondlevel.model_summary import summarize_fits


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
    where = f"--model {formula!r}"
    check_some_left(where, candidates)
    values = {name: read_column(name, candidates, participants) for name in parsed.names}
    check_columns(where, candidates, values, participants)
    number = {id(row): position for position, row in enumerate(candidates)}
    fitted: list[ModelRow] = []
    for cell, of_cell in split(candidates, parsed.names):
        own = {n: v[[number[id(row)] for row in of_cell]] for n, v in values.items()}
        fitted += _fit_cell(parsed, cell, of_cell, own)
    shadowed = [n for n in parsed.names if n in participants.columns and n in ESTIMATE_COLUMNS]
    messages = [
        f"--model: {name} is taken from the table of estimates, not from {participants.path}."
        for name in shadowed
    ]
    return ModelResults(tuple(fitted), summarize_fits(fitted), tuple(messages))


def _check_names(parsed: ParsedFormula, participants: ParticipantsTable) -> None:
    known = (*ESTIMATE_COLUMNS, *participants.columns)
    for name in parsed.names:
        if name not in known:
            raise UsageError(
                f"--model {parsed.text!r}: there is no column {name}; the table of estimates has "
                f"{', '.join(ESTIMATE_COLUMNS)}, and {participants.path} "
                f"{'has ' + ', '.join(participants.columns) if participants.columns else 'none'}."
            )


def _fit_cell(
    parsed: ParsedFormula,
    cell: Mapping[str, Any],
    rows: Sequence[EstimateRow],
    values: Mapping[str, Array],
) -> list[ModelRow]:
    """Fit the formula to the rows of one cell; where that cannot be done, one row says why."""
    missing = {name: is_missing(column) for name, column in values.items()}
    reasons = [why_left_out(row, i, missing) for i, row in enumerate(rows)]
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
    except NoFitError as problem:
        fit: Fit = "mixed" if is_repeated else "ols"
        return [ModelRow(**common, fit=fit, kind="term", name="all", note=str(problem))]
    return [*_rows_of(fitted, design, common)]


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
            raise NoFitError(f"{name} has the same value in all of these estimates")
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
        raise NoFitError("a transformation gives values that are not finite")
    if np.linalg.matrix_rank(_scaled(matrix)) < matrix.shape[1]:
        raise NoFitError("the terms determine each other here, so that they cannot be separated")
    if len(matrix) <= matrix.shape[1]:
        raise NoFitError(f"{len(matrix)} estimates are too few for {matrix.shape[1]} coefficients")
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
