"""Linear models across participants from a formula, with covariates of ``participants.tsv``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.hemispheres import BOTH, HEMISPHERES
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.models.fit import (
    Fit,
    NoFit,
    fit_linear_model,
    kind_of,
    rank_of,
    t_test,
    wald_test,
)
from bids_secondlevel.stats.models.formula import Design, ModelFormula, make_design, parse_formula
from bids_secondlevel.stats.models.sample import (
    ESTIMATE_COLUMNS,
    RESPONSES,
    Sample,
    Variable,
    check_variables,
    describe_sample,
    draw_sample,
    find_variable,
    keys_of,
    number_of,
    split,
    without_circular,
)
from bids_secondlevel.stats.models.table import (
    KEYS,
    ModelResults,
    ModelRow,
    summarize_models,
)

if TYPE_CHECKING:
    import pandas as pd


def fit_formula(
    formula: str, rows: Sequence[EstimateRow], participants: ParticipantsTable
) -> ModelResults:
    """Fit a linear model, given as a formula, to the estimates of all participants.

    A key column (session, task, contrast, roi, hemi, space, statistic) that the formula does not
    name splits the data: ``estimate ~ age`` is one model for each contrast and ROI. Where the
    formula names ``hemi``, the rows of the hemispheres are used, else those of both pooled.

    A model in which every participant has one number is fitted by ordinary least squares, others
    as mixed model with a random intercept per participant (REML). Key columns are categories, and
    so is a column of ``participants.tsv`` with ``Levels`` in ``participants.json`` or with a value
    that is no number. The reference level of categories is the alphabetically first. Numbers are
    taken as they are: write ``center(age)`` where age interacts with something. Transforms such
    as ``center`` are computed on the numbers of each model. Circular estimates are never used.

    Parameters
    ----------
    formula : str
        Such as ``estimate ~ roi * contrast + age + group``.
    rows : sequence of EstimateRow
        Of all participants.
    participants : ParticipantsTable

    Returns
    -------
    ModelResults
        A model that cannot be fitted is a row that says why.

    Raises
    ------
    UsageError
        If the formula cannot be read or applied, or names a column that is not there.
    DataError
        If there is nothing but circular estimates, or a column does not vary or is n/a for more
        than half of the participants.
    """
    parsed = check_formula(formula, participants)
    found = [find_variable(name, participants) for name in parsed.names]
    variables = [variable for variable, _ in found]
    hemis = HEMISPHERES if "hemi" in parsed.names else (BOTH,)
    usable, said = without_circular((row for row in rows if row.hemi in hemis), parsed.response)
    check_variables(usable, parsed.response, variables, participants)
    inside = [name for name in KEYS if name in parsed.names]
    groups = split(usable, [name for name in KEYS if name not in inside])
    levels = {
        v.name: sorted({str(v.value(r)) for r in usable if v.value(r) is not None})
        for v in variables
        if v.is_categorical
    }
    results: list[ModelRow] = []
    refused: list[UsageError] = []
    for key, of_group in groups.items():
        sample = draw_sample(of_group, parsed.response, variables, participants, inside)
        row = ModelRow(
            parsed.text, kind_of([r.participant_id for r in sample.rows]), **keys_of(key)
        )
        try:
            results += _fit_sample(row, parsed, sample, variables, levels)
        except UsageError as error:
            refused.append(error)
            results.append(describe_sample(row, sample, note=str(error)))
    if refused and all(row.quantity is None for row in results):
        raise refused[0]
    messages = [*(message for _, of_variable in found for message in of_variable), *said]
    failed = sum(row.quantity is None for row in results)
    if failed:
        messages.append(
            f"{failed} of {len(groups)} models could not be fitted; the column note says why."
        )
    return ModelResults(tuple(results), summarize_models(results, messages), tuple(messages))


def check_formula(formula: str, participants: ParticipantsTable) -> ModelFormula:
    """Parse a formula; all that can be said of it without the estimates.

    Raises
    ------
    UsageError
        If it cannot be read, or names a column that is not there.
    """
    tables = {
        "the estimates table": [name for name in ESTIMATE_COLUMNS if name != "participant_id"],
        "participants.tsv": participants.columns,
    }
    return parse_formula(formula, tables, RESPONSES)


def _fit_sample(
    row: ModelRow,
    formula: ModelFormula,
    sample: Sample,
    variables: Sequence[Variable],
    levels: Mapping[str, Sequence[str]],
) -> Iterator[ModelRow]:
    """Fit one model; `row` says which. `levels` are those of categories in all models."""
    values = [number_of(r, formula.response) for r in sample.rows]
    constant = [v.name for v in variables if len({v.value(r) for r in sample.rows}) == 1]
    if not values or constant:
        reason = f"the same for all numbers: {', '.join(constant)}" if values else "no number"
        yield describe_sample(row, sample, note=reason)
        return
    for name, (reference, *_) in levels.items():
        if reference not in {
            str(v.value(r)) for v in variables if v.name == name for r in sample.rows
        }:
            reason = (
                f"nobody here has {name} {reference}, the level that the others are compared with"
            )
            yield describe_sample(row, sample, note=reason)
            return
    categorical = list(levels)
    design = make_design(formula, _frame(sample, variables), categorical)
    rank = rank_of(design.matrix)
    if rank < len(design.columns):
        reason = (
            f"{len(design.columns)} coefficients, of which the data can tell {rank}: too few "
            "numbers, a combination of categories without any, or a column that follows from others"
        )
        yield describe_sample(row, sample, note=reason)
        return
    fit = fit_linear_model(
        np.array(values, dtype=np.float64), design.matrix, [r.participant_id for r in sample.rows]
    )
    if isinstance(fit, NoFit):
        described = describe_sample(row, sample, note=fit.reason)
        yield replace(described, converged="no" if fit.has_diverged else None)
        return
    described = describe_sample(row, sample, note=fit.note or None)
    yield from _rows_of(
        replace(described, converged="yes" if row.fit == "mixed" else None), fit, design
    )


def _frame(sample: Sample, variables: Sequence[Variable]) -> "pd.DataFrame":
    """Put the variables of a model side by side; levels of categories in alphabetical order."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for variable in variables:
        values = [variable.value(row) for row in sample.rows]
        if variable.is_categorical:
            columns[variable.name] = pd.Categorical(
                values, categories=sorted(map(str, set(values)))
            )
        else:
            columns[variable.name] = np.array(values, dtype=np.float64)
    return pd.DataFrame(columns, index=range(len(sample.rows)))


def _rows_of(row: ModelRow, fit: Fit, design: Design) -> Iterator[ModelRow]:
    """Write a fit as rows: coefficients, tests of terms, variances."""
    for unit, name, term in zip(
        np.eye(len(design.columns)), design.columns, design.term_of, strict=True
    ):
        yield t_test(replace(row, term=term, name=name, quantity="coefficient"), fit, unit)
    for term, weights in design.omnibus.items():
        yield wald_test(replace(row, term=term, quantity="omnibus"), fit, weights)
    for name, variance in fit.variances.items():
        yield replace(row, name=name, quantity="variance", coefficient=variance)
