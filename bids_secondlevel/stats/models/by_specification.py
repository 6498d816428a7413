"""Fit the dataset-level nodes of a BIDS Stats Model to estimates; ROIs take the place of voxels.

Where the specification leaves something open, we do as pybids and FitLins do, except that
participants for whom a variable is n/a are left out (pybids puts a 0 there).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from bids_secondlevel.core.errors import NothingSelectedError, UsageError
from bids_secondlevel.core.hemispheres import main_rows
from bids_secondlevel.core.rows import CELL, MISSING, frame_of
from bids_secondlevel.core.values import Array, ParticipantsTable
from bids_secondlevel.stats.models.fit import (
    Fit,
    NoFit,
    f_test,
    fit_linear_model,
    is_estimable,
    t_test,
)
from bids_secondlevel.stats.models.observations import (
    Observations,
    Variable,
    check_spelling,
    check_variables,
    codes_in_words,
    complete_cases,
    levels_in_words,
    number_in,
    observe,
    participant_variable,
    split,
    with_counts,
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
from bids_secondlevel.stats.models.table import ModelResults, ModelRow, corrected

if TYPE_CHECKING:
    import pandas as pd

_RESPONSE = "estimate"
_GROUPS = ("contrast", "task", "session", "space")
_ALWAYS = ("roi", "hemi", "space", "statistic")
_COLUMNS = {"subject": "participant_id"}
"""Columns of the estimates table that have another name than the entity."""


@dataclass(frozen=True, kw_only=True)
class NodeDesign:
    """What a node needs of ``participants.tsv``."""

    variables: tuple[str, ...]
    """Those of the design, without wildcards."""
    sources: tuple[Variable, ...]
    """Columns that they are made of."""
    grouping: tuple[Variable, ...]
    """Columns by whose values participants are fitted separately."""
    contrasts: tuple[NodeContrast, ...]
    """The dummy contrasts, then those written out."""


def fit_stats_model(
    specification: StatsModel, estimates: "pd.DataFrame", participants: ParticipantsTable
) -> ModelResults:
    """Fit the nodes of the level Dataset, by ordinary least squares.

    The rows of both hemispheres pooled are used, or of single hemispheres, each fitted alone, if
    there is no row of both. ROIs, spaces and statistics are always fitted
    separately, whatever ``GroupBy`` says. Labels match whatever their case. Means and standard
    deviations of transformations are those of the participants in a fit. Circular estimates are
    never used. A contrast that cannot be had is a row that says why.

    Parameters
    ----------
    estimates : DataFrame
        Columns as :class:`~bids_secondlevel.rois.estimates.EstimateRow` declares them.

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
    usable, said = without_circular(
        estimates[estimates["hemi"].isin(main_rows(estimates["hemi"].unique()))], _RESPONSE
    )
    results: list[ModelRow] = []
    messages = [*specification.messages, *said]
    for node in specification.nodes:
        selected, unmatched = _filtered(usable, specification.inputs, node)
        design = _design_of(node, participants)
        check_variables(observe(selected, _RESPONSE, design.sources))
        messages += [
            *unmatched,
            *_told_of_columns(node, design),
            *(
                f"node {node.name}: {source.name} has Levels in participants.json, but is used as "
                "a number. For categories, use the transformation Factor."
                for source in design.sources
                if source.name in design.variables and source.name in participants.categorical
            ),
        ]
        of_node = ModelRow(specification.name, "ols", node.name)
        results += _fit_node(of_node, node, design, selected)
    return ModelResults(corrected(frame_of(results, ModelRow)), tuple(messages))


def _told_of_columns(node: DatasetNode, design: NodeDesign) -> Iterator[str]:
    """Say which levels Factor makes, and which numbers look like codes for missing values."""
    factors = {name for of in node.instructions if of.name == "Factor" for name in of.inputs}
    for source in design.sources:
        if source.name in factors:
            yield (
                f"node {node.name}: Factor makes categories of {source.name}: "
                f"{levels_in_words(source)}."
            )
        else:
            yield from (f"node {node.name}: {said}" for said in codes_in_words(source))


def _filtered(
    estimates: "pd.DataFrame", inputs: Filter, node: DatasetNode
) -> tuple["pd.DataFrame", list[str]]:
    """Apply the filters; also say which of their values match nothing."""
    passes = np.any([_passes(estimates, f) for f in node.filters], axis=0)
    selected = estimates[passes & _passes(estimates, inputs)]
    wanted = {(key, value) for f in (inputs, *node.filters) for key in f for value in f[key]}
    unmatched = sorted(
        f"{key} {value}" for key, value in wanted if not _passes(estimates, {key: (value,)}).any()
    )
    if not np.isfinite(selected[_RESPONSE]).any():
        raise NothingSelectedError(
            f"{node.where}: no estimate remains after Input and Filter"
            + (f"; there is no {', no '.join(unmatched)}." if unmatched else ".")
        )
    said = f"node {node.name}: no estimate has {', '.join(unmatched)}."
    return selected, [said] if unmatched else []


def _passes(estimates: "pd.DataFrame", wanted: Filter) -> Array:
    passes = np.ones(len(estimates), dtype=bool)
    for key, values in wanted.items():
        column = estimates[_COLUMNS.get(key, key)]
        plain = set(map(_plain, values))
        passes &= column.isin([label for label in column.unique() if _plain(label) in plain])
    return passes


def _plain(label: str) -> str:
    """Write a label without prefix, and in one case."""
    return re.sub("^(sub|ses|task)-", "", label.casefold())


def _design_of(node: DatasetNode, participants: ParticipantsTable) -> NodeDesign:
    """Find out what the design is made of."""
    columns = {name: participant_variable(name, participants) for name in participants.columns}
    sources: dict[str, frozenset[str]] = {name: frozenset([name]) for name in columns}
    for instruction in node.instructions:
        _check_known(instruction.inputs, sources, node)
        of_inputs = [sources[name] for name in instruction.inputs]
        if instruction.name == "Factor":
            for name in instruction.inputs:
                if sources.pop(name) != {name}:
                    _refuse(node, f"Factor: {name} is not a column of participants.tsv")
                levels = columns[name].levels
                sources |= {f"{name}.{level}": frozenset([name]) for level in levels}
        else:
            _check_numbers(instruction.inputs, sources, node, columns)
            if instruction.name == "Product":
                of_inputs = [frozenset[str]().union(*of_inputs)]
            sources |= dict(zip(instruction.outputs, of_inputs, strict=True))
    sources[INTERCEPT] = frozenset()
    variables = _expand(node.variables, sources, node)
    _check_numbers(variables, sources, node, columns)
    contrasts = list(_dummies(node, variables, sources))
    for contrast in node.contrasts:
        missing = [name for name in contrast.conditions if name not in variables]
        if missing:
            _refuse(
                node,
                f"contrast {contrast.name}: {', '.join(missing)} is not in Model.X, which has "
                f"{', '.join(variables)}",
            )
        contrasts.append(contrast)
    grouping = [key for key in node.group_by if key not in _GROUPS]
    for key in grouping:
        if key not in columns:
            _refuse(
                node,
                f"GroupBy {key}: expected {', '.join(_GROUPS)}, or a column of participants.tsv",
            )
    needed = frozenset[str]().union(*(sources[name] for name in variables))
    return NodeDesign(
        variables=variables,
        sources=tuple(column for name, column in columns.items() if name in needed),
        grouping=tuple(columns[key] for key in grouping),
        contrasts=tuple(contrasts),
    )


def _check_known(names: Sequence[str], known: Iterable[str], node: DatasetNode) -> None:
    for name in names:
        if name not in known:
            _refuse(
                node,
                f"there is no variable {name}; variables of participants.tsv and of the "
                f"transformations are {', '.join(sorted(known)) or 'none'}",
            )


def _expand(names: Sequence[str], known: Iterable[str], node: DatasetNode) -> tuple[str, ...]:
    """Replace wildcards by what they match."""
    found: dict[str, None] = {}
    for name in names:
        matches = [k for k in known if k == name or (fnmatchcase(k, name) and k != INTERCEPT)]
        _check_known(matches or [name], known, node)
        found |= dict.fromkeys(matches)
    return tuple(found)


def _check_numbers(
    names: Sequence[str],
    sources: Mapping[str, frozenset[str]],
    node: DatasetNode,
    columns: Mapping[str, Variable],
) -> None:
    """Check that columns that are used as they are hold numbers."""
    for name in names:
        if sources[name] == {name} and columns[name].words:
            check_spelling(columns[name])
            word = columns[name].words[0]
            _refuse(
                node,
                f"{name} holds {word!r} in participants.tsv, which is not a number. Use the "
                f"transformation Factor, and the variables that it makes ({name}.{word}, ...)",
            )


def _dummies(
    node: DatasetNode, variables: Sequence[str], known: Mapping[str, object]
) -> Iterator[NodeContrast]:
    """Write out the dummy contrasts; one with the name of a contrast gives way to it."""
    if node.dummies is None:
        return
    names = variables if node.dummies.names is None else _expand(node.dummies.names, known, node)
    explicit = {contrast.name for contrast in node.contrasts}
    for name in names:
        if name not in variables:
            _refuse(node, f"DummyContrasts: {name} is not in Model.X")
        if name not in explicit:
            yield NodeContrast(name, (name,), ((1.0,),), node.dummies.test)


def _fit_node(
    row: ModelRow, node: DatasetNode, design: NodeDesign, estimates: "pd.DataFrame"
) -> Iterator[ModelRow]:
    """Fit a node in every ROI and group."""
    import pandas as pd

    variables = dict.fromkeys((*design.sources, *design.grouping))
    observed = observe(estimates, _RESPONSE, tuple(variables))
    names = [variable.name for variable in design.grouping]
    subsets = [
        ", ".join(f"{name}={value}" for name, value in zip(names, of_row, strict=True))
        for of_row in observed.values[names].fillna(MISSING).to_numpy()
    ]
    subset_of = pd.Series(subsets, index=estimates.index)
    for _, of_cell in split(estimates, {*_ALWAYS, *node.group_by}):
        for subset, of_subset in of_cell.groupby(subset_of, sort=False):
            cases = complete_cases(observed.at(of_subset.index))
            _check_single(cases.estimates, node)
            common: dict[str, Any] = {key: _common(of_subset[key]) for key in CELL}
            of_fit = with_counts(replace(row, subset=subset or None, **common), cases)
            yield from _fit_cases(of_fit, node, design, cases)


def _common(values: "pd.Series[str]") -> str | None:
    """Look up the value that rows have in common, if they have one."""
    value = values.iloc[0]
    return None if value == MISSING or values.nunique() > 1 else value


def _check_single(estimates: "pd.DataFrame", node: DatasetNode) -> None:
    """Check that no participant has several numbers."""
    participant = estimates["participant_id"]
    for who in participant[participant.duplicated()].head(1):
        first, other = estimates.loc[participant == who, list(CELL)].head(2).to_numpy()
        differ = [key for key, is_other in zip(CELL, first != other, strict=True) if is_other]
        _refuse(
            node,
            f"{who} has several estimates in one group. Add {', '.join(differ)} to GroupBy, or "
            "select with Input or Filter",
        )


def _fit_cases(
    row: ModelRow, node: DatasetNode, design: NodeDesign, cases: Observations
) -> Iterator[ModelRow]:
    """Fit one group of one ROI, and estimate its contrasts."""
    if cases.numbers.empty:
        yield replace(row, note="no estimate")
        return
    columns = _transform(node.instructions, design.sources, cases.values)
    matrix = np.column_stack([columns[name] for name in design.variables])
    fit = fit_linear_model(cases.numbers.to_numpy(), matrix, cases.participants, errors="equal")
    if isinstance(fit, NoFit):
        yield replace(row, note=fit.reason)
        return
    for contrast in design.contrasts:
        weights = np.zeros((len(contrast.weights), len(design.variables)))
        where = [design.variables.index(name) for name in contrast.conditions]
        weights[:, where] = contrast.weights
        of_contrast = replace(row, quantity="contrast", name=contrast.name)
        yield _contrast_row(of_contrast, fit, weights, contrast.test)


def _contrast_row(row: ModelRow, fit: Fit, weights: Array, test: NodeTest) -> ModelRow:
    if not is_estimable(fit, weights):
        return replace(
            row,
            note="cannot be estimated from these data: a variable does not vary, or follows from "
            "others",
        )
    if test == "F":
        return f_test(row, fit, weights)
    tested = t_test(row, fit, weights[0])
    if test == "t":
        return tested
    note = "not tested, because Test is pass"
    return replace(row, coefficient=tested.coefficient, se=tested.se, note=note)


def _transform(
    instructions: Sequence[Instruction], sources: Sequence[Variable], text: "pd.DataFrame"
) -> dict[str, Array]:
    """Compute the variables of a fit, as far as they are made of `sources`."""
    columns = {INTERCEPT: np.ones(len(text))}
    for source in sources:
        numbers = [number_in(value) for value in text[source.name]]
        columns[source.name] = np.array(numbers, dtype=np.float64)  # words are NaN, and not used
    for instruction in instructions:
        inputs, outputs = instruction.inputs, instruction.outputs
        if instruction.name == "Factor":
            for source in sources:
                if source.name in inputs:
                    for level in source.levels:
                        is_level = np.array(text[source.name] == level, dtype=np.float64)
                        columns[f"{source.name}.{level}"] = is_level
        elif instruction.name == "Product":
            if columns.keys() >= set(inputs):
                columns[outputs[0]] = np.prod([columns[name] for name in inputs], axis=0)
        else:
            columns |= {
                output: _scale(columns[name], instruction)
                for name, output in zip(inputs, outputs, strict=True)
                if name in columns
            }
    return columns


def _scale(values: Array, instruction: Instruction) -> Array:
    """Subtract the mean, and divide by the standard deviation (n - 1) if there is one."""
    spread = float(values.std(ddof=1)) if instruction.rescale and len(values) > 1 else 0.0
    shift = float(values.mean()) if instruction.demean else 0.0
    return (values - shift) / (spread or 1.0)


def _refuse(node: DatasetNode, what: str) -> NoReturn:
    raise UsageError(f"{node.where}: {what}.")
