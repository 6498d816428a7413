"""Fit the dataset-level nodes of a BIDS Stats Model to estimates; ROIs take the place of voxels.

Where the specification leaves something open, we do as pybids and FitLins do, except that
participants for whom a variable is n/a are left out (pybids puts a 0 there).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import NoReturn

import numpy as np

from bids_secondlevel.core.errors import NothingSelectedError, UsageError
from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.values import Array, ParticipantsTable
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.models.fit import (
    Fit,
    NoFit,
    fit_linear_model,
    is_estimable,
    t_test,
    wald_test,
)
from bids_secondlevel.stats.models.sample import (
    Sample,
    Variable,
    check_variables,
    describe_sample,
    draw_sample,
    is_number,
    keys_of,
    number_of,
    participant_variable,
    split,
    without_circular,
)
from bids_secondlevel.stats.models.specification import (
    INTERCEPT,
    DatasetNode,
    Filter,
    Instruction,
    NodeContrast,
    NodeTest,
    StatsModel,
)
from bids_secondlevel.stats.models.table import KEYS, ModelResults, ModelRow, summarize_models

_RESPONSE = "estimate"
_GROUPS = ("contrast", "task", "session", "space")
_ALWAYS = ("roi", "hemi", "space", "statistic")
_COLUMNS = {"subject": "participant_id"}
"""Columns of the estimates table that have another name than the entity."""


@dataclass(frozen=True)
class Plan:
    """What a node needs of ``participants.tsv``.

    Attributes
    ----------
    design : tuple of str
        Variables of the design, without wildcards.
    sources : tuple of Variable
        Columns that they are made of.
    contrasts : tuple of NodeContrast
        The dummy contrasts, then those written out.
    """

    design: tuple[str, ...]
    sources: tuple[Variable, ...]
    contrasts: tuple[NodeContrast, ...]


def fit_stats_model(
    specification: StatsModel, rows: Sequence[EstimateRow], participants: ParticipantsTable
) -> ModelResults:
    """Fit the nodes of the level Dataset, by ordinary least squares.

    The rows of both hemispheres pooled are used. ROIs, spaces and statistics are always fitted
    separately, whatever ``GroupBy`` says. Labels match whatever their case. Means and standard
    deviations of transformations are those of the participants in a fit.

    Parameters
    ----------
    specification : StatsModel
    rows : sequence of EstimateRow
        Of all participants. Circular ones are never used.
    participants : ParticipantsTable

    Returns
    -------
    ModelResults
        A contrast that cannot be had is a row that says why.

    Raises
    ------
    UsageError
        If a variable is not there or holds no numbers, or a participant has several numbers in a
        group.
    NothingSelectedError
        If a filter leaves nothing.
    DataError
        If there is nothing but circular estimates, or a variable does not vary or is n/a for more
        than half of the participants.
    """
    usable, said = without_circular((row for row in rows if row.hemi == BOTH), _RESPONSE)
    results: list[ModelRow] = []
    messages = [*specification.messages, *said]
    for node in specification.nodes:
        chosen, unmatched = _choose(usable, specification.inputs, node)
        plan = _make_plan(node, participants)
        check_variables(chosen, _RESPONSE, plan.sources, participants)
        numbers = [source.name for source in plan.sources if source.name in plan.design]
        messages += [
            *unmatched,
            *(
                f"node {node.name}: {name} has Levels in participants.json, and is used as a "
                "number. Use the transformation Factor for categories."
                for name in numbers
                if name in participants.categorical
            ),
        ]
        of_node = ModelRow(specification.name, "ols", node.name)
        results += _fit_node(of_node, node, plan, chosen, participants)
    return ModelResults(tuple(results), summarize_models(results, messages), tuple(messages))


def _choose(
    rows: Sequence[EstimateRow], inputs: Filter, node: DatasetNode
) -> tuple[list[EstimateRow], list[str]]:
    """Apply the filters; also say which of their values match nothing."""
    chosen = [
        row for row in rows if _passes(row, inputs) and any(_passes(row, f) for f in node.filters)
    ]
    wanted = {(key, value) for f in (inputs, *node.filters) for key in f for value in f[key]}
    unmatched = sorted(
        f"{key} {value}"
        for key, value in wanted
        if not any(_passes(row, {key: (value,)}) for row in rows)
    )
    if not any(number_of(row, _RESPONSE) is not None for row in chosen):
        raise NothingSelectedError(
            f"{node.where}: Input and Filter leave no estimate"
            + (f"; there is no {', no '.join(unmatched)}." if unmatched else ".")
        )
    said = f"node {node.name}: no estimate has {', '.join(unmatched)}."
    return chosen, [said] if unmatched else []


def _passes(row: EstimateRow, wanted: Filter) -> bool:
    return all(
        _plain(getattr(row, _COLUMNS.get(key, key))) in map(_plain, values)
        for key, values in wanted.items()
    )


def _plain(label: str | None) -> str:
    """Write a label without prefix, and in one case."""
    return re.sub("^(sub|ses|task)-", "", (label or "").casefold())


def _make_plan(node: DatasetNode, participants: ParticipantsTable) -> Plan:
    """Find out what the design is made of.

    Raises
    ------
    UsageError
        If a variable is not there or holds no numbers.
    """
    sources: dict[str, frozenset[str]] = {name: frozenset([name]) for name in participants.columns}
    for instruction in node.instructions:
        _check_known(instruction.inputs, sources, node)
        of_inputs = [sources[name] for name in instruction.inputs]
        if instruction.name == "Factor":
            for name in instruction.inputs:
                if sources.pop(name) != {name}:
                    _refuse(node, f"Factor: {name} is no column of participants.tsv")
                levels = _levels(name, participants)
                sources |= {f"{name}.{level}": frozenset([name]) for level in levels}
        else:
            _check_numbers(instruction.inputs, sources, node, participants)
            if instruction.name == "Product":
                of_inputs = [frozenset[str]().union(*of_inputs)]
            sources |= dict(zip(instruction.outputs, of_inputs, strict=True))
    sources[INTERCEPT] = frozenset()
    design = _expand(node.variables, sources, node)
    _check_numbers(design, sources, node, participants)
    needed = [name for name in participants.columns if any(name in sources[v] for v in design)]
    contrasts = list(_dummies(node, design, sources))
    for contrast in node.contrasts:
        missing = [name for name in contrast.conditions if name not in design]
        if missing:
            _refuse(
                node,
                f"contrast {contrast.name}: {', '.join(missing)} is not in Model.X, which has "
                f"{', '.join(design)}",
            )
        contrasts.append(contrast)
    # Whether a value is there does not depend on its kind: all are taken as text here.
    variables = (
        replace(participant_variable(n, participants)[0], is_categorical=True) for n in needed
    )
    return Plan(design, tuple(variables), tuple(contrasts))


def _check_known(names: Sequence[str], known: Iterable[str], node: DatasetNode) -> None:
    for name in names:
        if name not in known:
            _refuse(
                node,
                f"there is no variable {name}; participants.tsv and the transformations give "
                f"{', '.join(sorted(known)) or 'none'}",
            )


def _expand(names: Sequence[str], known: Iterable[str], node: DatasetNode) -> tuple[str, ...]:
    """Replace wildcards by what they match."""
    found: dict[str, None] = {}
    for name in names:
        matches = [k for k in known if k == name or (fnmatchcase(k, name) and k != INTERCEPT)]
        _check_known(matches or [name], known, node)
        found |= dict.fromkeys(matches)
    return tuple(found)


def _levels(name: str, participants: ParticipantsTable) -> list[str]:
    values = (cells.get(name) for cells in participants.values.values())
    return sorted({value for value in values if value is not None})


def _check_numbers(
    names: Sequence[str],
    sources: Mapping[str, frozenset[str]],
    node: DatasetNode,
    participants: ParticipantsTable,
) -> None:
    """Check that columns that are used as they are hold numbers."""
    for name in names:
        if sources[name] == {name}:
            words = participant_variable(name, participants)[1]
            if words:
                _refuse(
                    node,
                    f"{name} holds {words[0]!r} in participants.tsv, which is no number. Use the "
                    f"transformation Factor, and the variables it makes ({name}.{words[0]}, ...)",
                )


def _dummies(
    node: DatasetNode, design: Sequence[str], known: Mapping[str, object]
) -> Iterator[NodeContrast]:
    """Write out the dummy contrasts; one with the name of a contrast gives way to it."""
    if node.dummies is None:
        return
    names = design if node.dummies.names is None else _expand(node.dummies.names, known, node)
    explicit = {contrast.name for contrast in node.contrasts}
    for name in names:
        if name not in design:
            _refuse(node, f"DummyContrasts: {name} is not in Model.X")
        if name not in explicit:
            yield NodeContrast(name, (name,), ((1.0,),), node.dummies.test)


def _fit_node(
    row: ModelRow,
    node: DatasetNode,
    plan: Plan,
    rows: Sequence[EstimateRow],
    participants: ParticipantsTable,
) -> Iterator[ModelRow]:
    """Fit a node in every ROI and group."""
    of_people = [key for key in node.group_by if key not in _GROUPS]
    for key in of_people:
        if key not in participants.columns:
            _refuse(
                node,
                f"GroupBy {key}: expected {', '.join(_GROUPS)}, or a column of participants.tsv",
            )
    grouping = [participant_variable(key, participants)[0] for key in of_people]
    grouping = [replace(variable, is_categorical=True) for variable in grouping]
    for of_cell in split(rows, {*_ALWAYS, *node.group_by}).values():
        subsets: dict[str | None, list[EstimateRow]] = {}
        for r in of_cell:
            values = [f"{variable.name}={variable.value(r) or 'n/a'}" for variable in grouping]
            subsets.setdefault(", ".join(values) or None, []).append(r)
        for subset, of_subset in subsets.items():
            sample = draw_sample(of_subset, _RESPONSE, (*plan.sources, *grouping), participants)
            _check_single(sample, node)
            keys = keys_of([_common(of_subset, key) for key in KEYS])
            yield from _fit_sample(
                replace(row, subset=subset, **keys), node, plan, sample, participants
            )


def _common(rows: Sequence[EstimateRow], key: str) -> str | None:
    """Look up the value that rows have in common, if they have one."""
    values = {getattr(row, key) for row in rows}
    return values.pop() if len(values) == 1 else None


def _check_single(sample: Sample, node: DatasetNode) -> None:
    """Check that no participant has several numbers."""
    first: dict[str, EstimateRow] = {}
    for row in sample.rows:
        other = first.setdefault(row.participant_id, row)
        if other is not row:
            differ = [key for key in KEYS if getattr(row, key) != getattr(other, key)]
            _refuse(
                node,
                f"{row.participant_id} has several numbers in one group. Add {', '.join(differ)} "
                "to GroupBy, or choose by Input or Filter",
            )


def _fit_sample(
    row: ModelRow, node: DatasetNode, plan: Plan, sample: Sample, participants: ParticipantsTable
) -> Iterator[ModelRow]:
    """Fit one group of one ROI, and estimate its contrasts."""
    described = describe_sample(row, sample)
    if not sample.rows:
        yield replace(described, note="no number")
        return
    people = [r.participant_id for r in sample.rows]
    values = np.array([number_of(r, _RESPONSE) for r in sample.rows], dtype=np.float64)
    columns = _transform(node.instructions, people, participants)
    fit = fit_linear_model(values, np.column_stack([columns[name] for name in plan.design]), people)
    if isinstance(fit, NoFit):
        yield replace(described, note=fit.reason)
        return
    for contrast in plan.contrasts:
        weights = np.zeros((len(contrast.weights), len(plan.design)))
        where = [plan.design.index(name) for name in contrast.conditions]
        weights[:, where] = contrast.weights
        of_contrast = replace(described, quantity="contrast", name=contrast.name)
        yield _contrast_row(of_contrast, fit, weights, contrast.test)


def _contrast_row(row: ModelRow, fit: Fit, weights: Array, test: NodeTest) -> ModelRow:
    if not is_estimable(fit, weights):
        return replace(
            row,
            note="cannot be told from these data: a variable does not vary, or follows from others",
        )
    if test == "F":
        return wald_test(row, fit, weights)
    tested = t_test(row, fit, weights[0])
    if test == "t":
        return tested
    note = "not tested, as Test is pass"
    return replace(row, coefficient=tested.coefficient, se=tested.se, note=note)


def _transform(
    instructions: Sequence[Instruction], people: Sequence[str], participants: ParticipantsTable
) -> dict[str, Array]:
    """Compute all variables for some participants; text that is no number is NaN, and not used."""
    text = {
        name: [participants.values.get(who, {}).get(name) for who in people]
        for name in participants.columns
    }
    columns = {
        name: np.array([float(v) if v is not None and is_number(v) else np.nan for v in values])
        for name, values in text.items()
    }
    columns[INTERCEPT] = np.ones(len(people))
    for instruction in instructions:
        if instruction.name == "Factor":
            for name in instruction.inputs:
                for level in _levels(name, participants):
                    columns[f"{name}.{level}"] = np.array([v == level for v in text[name]], float)
        else:
            made = [columns[name] for name in instruction.inputs]
            if instruction.name == "Product":
                made = [np.prod(made, axis=0)]
            else:
                made = [_scale(column, instruction) for column in made]
            columns |= dict(zip(instruction.outputs, made, strict=True))
    return columns


def _scale(values: Array, instruction: Instruction) -> Array:
    """Subtract the mean, and divide by the standard deviation (n - 1) where there is one."""
    spread = float(values.std(ddof=1)) if instruction.rescale and len(values) > 1 else 0.0
    shift = float(values.mean()) if instruction.demean else 0.0
    return (values - shift) / (spread or 1.0)


def _refuse(node: DatasetNode, what: str) -> NoReturn:
    raise UsageError(f"{node.where}: {what}.")
