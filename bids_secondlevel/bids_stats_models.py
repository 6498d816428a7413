"""Fit the dataset level of a BIDS Stats Model to the estimates, ROI by ROI.

See the BIDS Stats Models specification, https://bids-standard.github.io/stats-models. Where a
program such as FitLins fits a node to images, voxel by voxel, it is fitted here to the estimates
of every ROI.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from bids_secondlevel.errors import UsageError
from bids_secondlevel.fitting import (
    Design,
    Fitted,
    NoFitError,
    fit_least_squares,
    wald_test,
    weighted_sum_test,
)
from bids_secondlevel.measures import KEY, EstimateRow
from bids_secondlevel.model import Array, ParticipantsTable
from bids_secondlevel.model_columns import (
    check_columns,
    check_some_left,
    is_missing,
    read_column,
    why_left_out,
)
from bids_secondlevel.model_rows import ModelResults, ModelRow, say_excluded, split, usable_rows
from bids_secondlevel.model_summary import summarize_fits
from bids_secondlevel.stats_model_variables import (
    INTERCEPT,
    columns_needed,
    design_matrix,
    transform,
)

_FILTERS = {"subject": "participant_id", "stat": "statistic"}
"""Names of entities that our tables call otherwise."""

_ALWAYS_SPLIT = ("roi", "hemi", "space", "statistic")


@dataclass(frozen=True)
class Hypothesis:
    """A contrast of a node: weights of the design's columns, one row for each."""

    name: str
    conditions: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    test: str


def fit_stats_model(
    specification: Mapping[str, Any], rows: Sequence[EstimateRow], participants: ParticipantsTable
) -> ModelResults:
    """Fit the nodes of level ``Dataset``, by ordinary least squares.

    Parameters
    ----------
    specification : mapping
        A valid BIDS Stats Model.
    rows : sequence of EstimateRow
        Of all participants. Those of both hemispheres pooled that are not circular are used.
    participants : ParticipantsTable
        Its columns are what ``X`` may name.

    Returns
    -------
    ModelResults
        A row for each contrast of each node, for every ROI and combination of ``GroupBy``.

    Raises
    ------
    UsageError
        If the model asks for something that is not supported, or names a variable or a level
        that there is not.
    DataError
        If there are only circular estimates.
    """
    candidates = usable_rows(rows, by_hemisphere=False)
    check_some_left(f"--model {specification['Name']}", candidates)
    candidates = _filtered(candidates, specification.get("Input") or {}, "Input")
    nodes = [node for node in specification["Nodes"] if node["Level"] == "Dataset"]
    others = [node["Name"] for node in specification["Nodes"] if node["Level"] != "Dataset"]
    if not nodes:
        raise UsageError(
            f"--model: {specification['Name']} has no node of level Dataset; the other levels are "
            "those of a first-level program."
        )
    messages = []
    if others:
        messages.append(
            f"--model: only nodes of level Dataset are fitted; {', '.join(others)} "
            f"{'are' if len(others) > 1 else 'is'} taken as done by the first level."
        )
    fitted: list[ModelRow] = []
    for node in nodes:
        where = f"--model: node {node['Name']}"
        _check_node(node, where)
        inputs = candidates
        for edge in _edges_to(node, specification, where):
            inputs = _filtered(inputs, edge.get("Filter") or {}, where)
        needed = columns_needed(node, participants)
        values = {name: read_column(name, inputs, participants) for name in needed}
        check_columns(where, inputs, values, participants)
        fitted += _fit_node(node, inputs, participants, where)
    return ModelResults(tuple(fitted), summarize_fits(fitted), tuple(messages))


def _check_node(node: Mapping[str, Any], where: str) -> None:
    model = node["Model"]
    if model["Type"] != "glm":
        raise UsageError(f"{where}: Type {model['Type']} is not supported; expected glm.")
    for name in ("Formula", "HRF", "Options"):
        if model.get(name):
            raise UsageError(
                f"{where}: Model.{name} is not supported at this level; expected Type and X."
                + (" A formula can be given with --model itself." if name == "Formula" else "")
            )
    known = (*KEY[1:], "stat")
    for name in node["GroupBy"]:
        if name not in known:
            raise UsageError(
                f"{where}: GroupBy {name} is not supported; expected some of contrast, task, "
                "session (ROIs are always apart)."
            )


def _edges_to(
    node: Mapping[str, Any], specification: Mapping[str, Any], where: str
) -> list[Mapping[str, Any]]:
    """List the edges that lead to a node; without edges, nodes follow each other as listed."""
    levels = {other["Name"]: other["Level"] for other in specification["Nodes"]}
    edges = specification.get("Edges")
    if edges is None:
        names = list(levels)
        position = names.index(node["Name"])
        sources = names[position - 1 : position] if position else []
        found: list[Mapping[str, Any]] = []
    else:
        found = [edge for edge in edges if edge["Destination"] == node["Name"]]
        sources = [edge["Source"] for edge in found]
    for source in sources:
        if source not in levels:
            raise UsageError(f"{where}: an edge comes from {source}, which is no node.")
        if levels[source] == "Dataset":
            raise UsageError(
                f"{where}: follows the dataset node {source}; a node of a node is not supported. "
                "Use Edges so that both follow the subject level."
            )
    if len(found) > 1:
        raise UsageError(f"{where}: {len(found)} edges lead to it; only one is supported.")
    return found


def _filtered(
    rows: Sequence[EstimateRow], filters: Mapping[str, Sequence[Any]], where: str
) -> list[EstimateRow]:
    """Keep the rows with one of the labels of each filter, whatever their case."""
    kept = list(rows)
    for entity, wanted in filters.items():
        name = _FILTERS.get(entity, entity)
        if entity in ("run", "suffix", "datatype", "desc"):
            continue  # said of the inputs of the first level
        if name not in KEY:
            raise UsageError(f"{where}: a filter by {entity} is not supported.")
        labels = {str(label).casefold().removeprefix("sub-") for label in wanted}
        found = {str(getattr(row, name)).removeprefix("sub-") for row in kept}
        kept = [
            row for row in kept if str(getattr(row, name)).removeprefix("sub-").casefold() in labels
        ]
        if not kept:
            raise UsageError(
                f"{where}: nothing has {entity} {', '.join(map(str, wanted))}; there are: "
                f"{', '.join(sorted(found))}."
            )
    return kept


def _fit_node(
    node: Mapping[str, Any],
    rows: Sequence[EstimateRow],
    participants: ParticipantsTable,
    where: str,
) -> list[ModelRow]:
    modelled = [name for name in KEY[1:] if name not in (*node["GroupBy"], *_ALWAYS_SPLIT)]
    fitted: list[ModelRow] = []
    for cell, of_cell in split(rows, modelled):
        # What is the same in all rows of a group needs no grouping to be told.
        told = {
            name: getattr(of_cell[0], name)
            for name in modelled
            if len({getattr(row, name) for row in of_cell}) == 1
        }
        _check_one_each(of_cell, node, where)
        fitted += _fit_group(node, {**cell, **told}, of_cell, participants, where)
    return fitted


def _check_one_each(rows: Sequence[EstimateRow], node: Mapping[str, Any], where: str) -> None:
    if len({row.participant_id for row in rows}) == len(rows):
        return
    differing = [
        name
        for name in ("contrast", "task", "session")
        if len({getattr(row, name) for row in rows}) > 1 and name not in node["GroupBy"]
    ]
    raise UsageError(
        f"{where}: participants have several estimates in a group; add {' and '.join(differing)} "
        f"to GroupBy {node['GroupBy']}, or filter the edge that leads to it. Repeated measures "
        "are modelled by --model with a formula."
    )


def _fit_group(
    node: Mapping[str, Any],
    cell: Mapping[str, Any],
    rows: Sequence[EstimateRow],
    participants: ParticipantsTable,
    where: str,
) -> list[ModelRow]:
    """Fit a node to one estimate of each participant, and test its contrasts."""
    needed = columns_needed(node, participants)
    gaps = {name: is_missing(read_column(name, rows, participants)) for name in needed}
    reasons = [why_left_out(row, i, gaps) for i, row in enumerate(rows)]
    used = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    common = {
        "model": node["Name"],
        "fit": "ols",
        **cell,
        "n_rows": len(used),
        "n_participants": len(used),
        "excluded": say_excluded(
            [(row.participant_id, reason) for row, reason in zip(rows, reasons, strict=True)]
        ),
    }
    variables = {name: read_column(name, used, participants) for name in needed}
    levels = {name: read_column(name, rows, participants) for name in needed}
    variables = transform(node, variables, levels, where)
    matrix, labels = design_matrix(node, variables, len(used), participants, where)
    hypotheses = _hypotheses(node, labels, where)
    try:
        if len(used) <= np.linalg.matrix_rank(matrix):
            raise NoFitError(f"{len(used)} estimates are too few for the model")
        response = np.array([row.estimate for row in used], dtype=np.float64)
        names = tuple(row.participant_id for row in used)
        fitted = fit_least_squares(Design(response, matrix, labels, names, {}))
    except NoFitError as problem:
        return [
            ModelRow(**common, kind="contrast", name=hypothesis.name, note=str(problem))
            for hypothesis in hypotheses
        ]
    return [
        ModelRow(**common, kind="contrast", name=h.name, **_test(h, fitted, matrix, labels))
        for h in hypotheses
    ]


def _hypotheses(node: Mapping[str, Any], labels: Sequence[str], where: str) -> list[Hypothesis]:
    """List the contrasts of a node, and its dummy contrasts of one variable each."""
    hypotheses = []
    dummies = node.get("DummyContrasts")
    if dummies:
        wanted = dummies.get("Contrasts")
        names = labels if wanted is None else [_name(name) for name in wanted]
        hypotheses += [Hypothesis(name, (name,), ((1.0,),), dummies["Test"]) for name in names]
    for contrast in node.get("Contrasts") or []:
        weights = contrast["Weights"]
        matrix = weights if weights and isinstance(weights[0], list) else [weights]
        conditions = tuple(_name(name) for name in contrast["ConditionList"])
        name = contrast["Name"]
        try:
            numbers = tuple(tuple(float(Fraction(str(w))) for w in row) for row in matrix)
        except (ValueError, ZeroDivisionError) as error:
            raise UsageError(
                f"{where}: contrast {name} has weights that are no numbers."
            ) from error
        if any(len(row) != len(conditions) for row in numbers):
            raise UsageError(
                f"{where}: contrast {name} has {len(conditions)} conditions, and other numbers of "
                "weights."
            )
        if contrast["Test"] != "F" and len(numbers) > 1:
            raise UsageError(
                f"{where}: contrast {name} has several rows of weights; its Test is F."
            )
        hypotheses.append(Hypothesis(name, conditions, numbers, contrast["Test"]))
    if not hypotheses:
        raise UsageError(
            f"{where}: has neither Contrasts nor DummyContrasts; nothing is asked for."
        )
    named = [hypothesis.name for hypothesis in hypotheses]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise UsageError(f"{where}: two contrasts are called {', '.join(twice)}.")
    for hypothesis in hypotheses:
        unknown = [name for name in hypothesis.conditions if name not in labels]
        if unknown:
            raise UsageError(
                f"{where}: contrast {hypothesis.name} names {', '.join(unknown)}; X has "
                f"{', '.join(labels)}."
            )
    return hypotheses


def _name(condition: Any) -> str:
    return INTERCEPT if condition == 1 else str(condition)


def _test(
    hypothesis: Hypothesis, fitted: Fitted, matrix: Array, labels: Sequence[str]
) -> dict[str, Any]:
    weights = np.zeros((len(hypothesis.weights), len(labels)))
    for column, condition in enumerate(hypothesis.conditions):
        weights[:, labels.index(condition)] += [row[column] for row in hypothesis.weights]
    projected = weights @ np.linalg.pinv(matrix) @ matrix
    if not np.allclose(weights, projected, atol=1e-8 * max(1.0, np.abs(weights).max())):
        return {"note": "the design does not determine this contrast (X is not of full rank)"}
    if hypothesis.test == "F":
        if np.linalg.matrix_rank(weights) < len(weights):
            return {"note": "the rows of Weights depend on each other"}
        return wald_test(fitted, weights)
    tested = weighted_sum_test(fitted, weights[0])
    if hypothesis.test == "pass":
        return {name: tested[name] for name in ("value", "se", "ci95_low", "ci95_high")}
    return tested
