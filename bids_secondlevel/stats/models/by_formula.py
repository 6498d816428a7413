"""Linear models across participants from a formula, with covariates of ``participants.tsv``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.errors import DataError, UsageError
from bids_secondlevel.core.hemispheres import HEMISPHERES, main_rows
from bids_secondlevel.core.rows import CELL, frame_of
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.stats.dependence import check_independent
from bids_secondlevel.stats.models.fit import (
    Fit,
    NoFit,
    f_test,
    fit_linear_model,
    kind_of,
    rank_of,
    t_test,
    with_effect_sizes,
)
from bids_secondlevel.stats.models.formula import Design, ModelFormula, make_design, parse_formula
from bids_secondlevel.stats.models.observations import (
    PLANNED,
    RESPONSES,
    Observations,
    check_variables,
    complete_cases,
    find_variable,
    observe,
    split,
    with_counts,
    without_circular,
)
from bids_secondlevel.stats.models.table import ModelResults, ModelRow, corrected

if TYPE_CHECKING:
    import pandas as pd


def fit_formula(
    formula: str,
    estimates: "pd.DataFrame",
    participants: ParticipantsTable,
    planned: "pd.DataFrame | None" = None,
) -> ModelResults:
    """Fit a linear model, given as a formula, to the estimates of all participants.

    A key column (session, task, contrast, roi, hemi, space, statistic) that the formula does not
    name splits the data: ``estimate ~ age`` is one model for each contrast and ROI. If the
    formula names ``hemi``, the rows of the hemispheres are used, else those of both pooled (and of
    single hemispheres, each fitted alone, if there is no row of both).

    A model in which every participant has one number is fitted by ordinary least squares, others
    as mixed model with a random intercept per participant (REML). Both are tested with
    participants as clusters (:mod:`.robust`). Key columns are categories, and
    so is a column of ``participants.tsv`` with ``Levels`` in ``participants.json`` or with a value
    that is not a number. The reference level of categories is the alphabetically first. Numbers
    are taken as they are: write ``center(age)`` if age interacts with something. Transforms such
    as ``center`` are computed on the numbers of each model. Circular estimates are never used. A
    model that cannot be fitted is a row that says why.

    Parameters
    ----------
    formula
        Such as ``estimate ~ roi * contrast + age + group``.
    estimates : DataFrame
        Columns as :class:`~bids_secondlevel.rois.estimates.EstimateRow` declares them.
    planned
        Numbers of planned contrasts, see :func:`~.planned.as_estimates`; one model for each.

    Raises
    ------
    UsageError
        If the formula cannot be read or applied, or names a column that is not there.
    DataError
        If one of several contrasts follows from the others, there is nothing but circular
        estimates, or a column does not vary or is n/a for more than half of the participants.
    """
    from threadpoolctl import threadpool_limits

    has_planned = planned is not None and not planned.empty
    parsed = check_formula(formula, participants, has_planned=has_planned)
    if planned is not None and parsed.response == PLANNED:
        estimates = planned
    found = [find_variable(name, participants) for name in parsed.names]
    variables = [variable for variable, _ in found]
    hemis = HEMISPHERES if "hemi" in parsed.names else main_rows(estimates["hemi"].unique())
    rows = estimates[estimates["hemi"].isin(hemis)]
    if rows.empty:
        raise DataError(
            "The model has hemi, but the only estimates are of both hemispheres. Remove hemi from "
            "the model, or remove --hemi both."
        )
    usable, said = without_circular(rows, parsed.response)
    if "contrast" in parsed.names:
        check_independent(usable, "The model")
    observed = observe(usable, parsed.response, variables)
    check_variables(observed)
    levels = {
        v.name: sorted(observed.values[v.name].dropna().unique())
        for v in variables
        if v.is_categorical
    }
    inside = [name for name in CELL if name in parsed.names]
    results: list[ModelRow] = []
    refused: list[UsageError] = []
    n_models = 0
    for keys, of_group in split(usable, set(CELL).difference(inside)):
        n_models += 1
        cases = complete_cases(observed.at(of_group.index), inside)
        row = with_counts(ModelRow(parsed.text, kind_of(cases.participants), **keys), cases)
        # Matrices are small and many: threads would wait for each other.
        with threadpool_limits(limits=1, user_api="blas"):
            try:
                fitted = _fit(parsed, cases, levels)
            except UsageError as error:
                refused.append(error)
                fitted = NoFit(str(error))
            results += _as_rows(row, fitted)
    if refused and all(row.quantity is None for row in results):
        raise refused[0]
    messages = [*(message for _, of_variable in found for message in of_variable), *said]
    failed = sum(row.quantity is None for row in results)
    if failed:
        messages.append(
            f"{failed} of {n_models} models could not be fitted; the column note says why."
        )
    return ModelResults(corrected(frame_of(results, ModelRow)), tuple(messages))


def check_formula(
    formula: str, participants: ParticipantsTable, *, has_planned: bool = False
) -> ModelFormula:
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
    if has_planned:
        tables["the planned contrasts"] = [PLANNED]
    return parse_formula(formula, tables, (*RESPONSES, PLANNED) if has_planned else RESPONSES)


def _fit(
    formula: ModelFormula, cases: Observations, levels: Mapping[str, Sequence[str]]
) -> tuple[Fit, Design] | NoFit:
    """Fit one model. `levels` are those of categories in all models."""
    if cases.numbers.empty:
        return NoFit("no estimate")
    constant = [str(name) for name, values in cases.values.items() if values.nunique() == 1]
    if constant:
        return NoFit(f"the same for all estimates: {', '.join(constant)}")
    for name, (reference, *_) in levels.items():
        if reference not in set(cases.values[name]):
            return NoFit(f"no participant has {name} {reference}, the reference level")
    data = cases.values.astype(dict.fromkeys(levels, "category"))  # levels in alphabetical order
    design = make_design(formula, data, list(levels))
    rank = rank_of(design.matrix)
    if rank < len(design.columns):
        return NoFit(
            f"{len(design.columns)} coefficients, but the data can determine only {rank}: there "
            "are too few estimates, a combination of categories without estimates, or a column "
            "that follows from others"
        )
    fit = fit_linear_model(cases.numbers.to_numpy(), design.matrix, cases.participants)
    return fit if isinstance(fit, NoFit) else (fit, design)


def _as_rows(row: ModelRow, fitted: tuple[Fit, Design] | NoFit) -> Iterator[ModelRow]:
    """Write a fit as rows: coefficients, tests of terms, variances."""
    if isinstance(fitted, NoFit):
        yield replace(row, note=fitted.reason)
        return
    fit, design = fitted
    row = replace(row, note=fit.note or None, converged="yes" if row.fit == "mixed" else None)
    units = np.eye(len(design.columns))
    for unit, name, term, values in zip(
        units, design.columns, design.term_of, design.matrix.T, strict=True
    ):
        of_coefficient = replace(row, term=term, name=name, quantity="coefficient")
        is_difference = bool(np.isin(values, (0.0, 1.0)).all())  # or the mean
        yield with_effect_sizes(t_test(of_coefficient, fit, unit), fit, is_difference=is_difference)
    for term, weights in design.omnibus.items():
        tested = f_test(replace(row, term=term, quantity="omnibus"), fit, weights)
        yield with_effect_sizes(tested, fit, is_difference=False)
    for name, variance in fit.variances.items():
        yield replace(row, name=name, quantity="variance", coefficient=variance)
