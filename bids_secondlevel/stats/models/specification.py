"""Check a BIDS Stats Model, and take from it what is done across participants.

The format is described at https://bids-standard.github.io/stats-models. Nodes of the levels Run,
Session and Subject belong to the first-level analysis, whose estimates we have; those of the level
Dataset are fitted by :mod:`~bids_secondlevel.stats.models.by_specification`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from bids_secondlevel.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from bsmschema.models import BIDSStatsModel, Contrast, Edge, Node

INTERCEPT = "intercept"
"""What the special variable 1 is called, as in pybids."""

NodeTest = Literal["t", "F", "pass"]

Filter = Mapping[str, tuple[str, ...]]
"""Values to choose by entity."""

FILTER_KEYS = ("subject", "session", "task", "contrast", "space")
"""Entities by which estimates can be chosen."""

_OPTIONS = {
    "Factor": {"Input"},
    "Demean": {"Input", "Output"},
    "Scale": {"Input", "Output", "Demean", "Rescale"},
    "Product": {"Input", "Output"},
}
"""Transformations of ``pybids-transforms-v1`` that are supported, and their arguments."""

_NODE_KEYS = {
    *("Level", "Name", "Description", "GroupBy", "Transformations", "Model", "Contrasts"),
    "DummyContrasts",
}
_MODEL_KEYS = {"Type", "X", "Description", "Software"}
_DUMMY_KEYS = {"Contrasts", "Test", "Description"}


@dataclass(frozen=True)
class Instruction:
    """A transformation of columns of ``participants.tsv``."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """Names of its results: for ``Factor`` none, as they depend on the levels."""
    demean: bool = True
    rescale: bool = True


@dataclass(frozen=True)
class NodeContrast:
    """A contrast of variables of the design."""

    name: str
    conditions: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    """A row per combination of the conditions."""
    test: NodeTest


@dataclass(frozen=True)
class DummyContrasts:
    """A contrast for each of some variables; `names` is ``None`` for all."""

    names: tuple[str, ...] | None
    test: NodeTest


@dataclass(frozen=True, kw_only=True)
class DatasetNode:
    """A model across participants."""

    name: str
    where: str
    """What messages call it: the file, and the node."""
    group_by: tuple[str, ...]
    variables: tuple[str, ...]
    """The design; may hold wildcards."""
    instructions: tuple[Instruction, ...]
    contrasts: tuple[NodeContrast, ...]
    dummies: DummyContrasts | None
    filters: tuple[Filter, ...]
    """Of the edges that lead to the node; an estimate is taken that passes one of them."""


@dataclass(frozen=True)
class StatsModel:
    """A checked BIDS Stats Model: its nodes of the level Dataset."""

    name: str
    inputs: Filter
    """The filter of the whole model."""
    nodes: tuple[DatasetNode, ...]
    messages: tuple[str, ...]


def check_stats_model(content: Any, where: str) -> StatsModel:
    """Check a BIDS Stats Model against its schema, and that we can do what it asks for.

    Parameters
    ----------
    content
        As parsed from JSON. A single value of ``Input`` or ``Filter`` counts as a list of one, and
        the older word ``skip`` of ``Test`` as ``pass``.
    where
        What messages call it: the path of the file.

    Raises
    ------
    DataError
        If it is no valid BIDS Stats Model.
    UsageError
        If a node of the level Dataset asks for something that is not supported.
    """
    model, as_written = _validate(content, where)
    levels = {node.Name: node.Level for node in model.Nodes}
    if len(levels) < len(model.Nodes):
        raise DataError(f"{where}: two nodes have the same name. Rename one.")
    edges = _edges(model, where)
    if "Dataset" not in levels.values():
        raise UsageError(
            f"{where}: has no node of the Level Dataset, so there is nothing to fit. Add one."
        )
    others = [f"{name} ({level})" for name, level in levels.items() if level != "Dataset"]
    messages = []
    if others:
        messages.append(
            f"{', '.join(others)}: not fitted; their results are expected as input from the "
            "first-level analysis."
        )
    inputs = model.Input or {}
    ignored = [key for key in inputs if key not in FILTER_KEYS]
    if ignored:
        messages.append(f"Input: {', '.join(ignored)} selects images and was ignored.")
    nodes = []
    for node, written in zip(model.Nodes, as_written["Nodes"], strict=True):
        if node.Level == "Dataset":
            of_node = f"{where}: node {node.Name}"
            filters = _filters_into(node, edges, model, of_node)
            _check_keys(written, of_node)
            nodes.append(_read_node(node, filters, of_node))
    return StatsModel(
        model.Name,
        _filter({key: inputs[key] for key in inputs if key in FILTER_KEYS}),
        tuple(nodes),
        tuple(messages),
    )


def _validate(content: Any, where: str) -> "tuple[BIDSStatsModel, dict[str, Any]]":
    """Check against the schema, after mending what is common and has one meaning."""
    from bsmschema.models import BIDSStatsModel
    from pydantic import ValidationError

    try:
        mended = _mend(content)
        return BIDSStatsModel.model_validate(mended), mended
    except RecursionError as error:
        raise DataError(f"{where}: is nested too deeply to be a BIDS Stats Model.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}"
            for part in first["loc"]
            if isinstance(part, int) or part[:1].isupper()  # others name alternatives of a type
        )
        more = error.error_count() - 1
        raise DataError(
            f"{where}: is not a valid BIDS Stats Model. {place.lstrip('.') or 'The file'}: "
            f"{first['msg']}" + (f"; {more} more." if more else ".")
        ) from error


def _mend(part: Any, key: str = "") -> Any:
    """Replace the older name of the test that is none, and list the single values of filters."""
    if (key, part) == ("Test", "skip"):
        return "pass"
    if isinstance(part, list):
        return [_mend(value) for value in part]
    if not isinstance(part, dict):
        return part
    mended = {name: _mend(value, name) for name, value in part.items()}
    if key in ("Input", "Filter"):
        return {name: v if isinstance(v, list) else [v] for name, v in mended.items()}
    return mended


def _filter(values: Mapping[str, Iterable[Any]]) -> Filter:
    return {key: tuple(str(value) for value in of_key) for key, of_key in values.items()}


def _edges(model: "BIDSStatsModel", where: str) -> "Sequence[Edge]":
    """List the edges; if there are none, nodes follow one another."""
    from bsmschema.models import Edge

    names = [node.Name for node in model.Nodes]
    edges = model.Edges or [Edge(Source=a, Destination=b) for a, b in pairwise(names)]
    for edge in edges:
        for end, name in (("Source", edge.Source), ("Destination", edge.Destination)):
            if name not in names:
                raise DataError(
                    f"{where}: an edge has the {end} {name!r}, which is not a node; there are "
                    f"{', '.join(names)}."
                )
    return edges


def _filters_into(
    node: "Node", edges: "Sequence[Edge]", model: "BIDSStatsModel", where: str
) -> tuple[Filter, ...]:
    """Take the filters of the edges that lead to a node."""
    leading = [edge for edge in edges if edge.Destination == node.Name]
    if not leading and node is model.Nodes[0]:
        return ({},)
    if not leading:
        _refuse(where, "no edge leads to it; add one from the node of the level Subject")
    of_dataset = [other.Name for other in model.Nodes if other.Level == "Dataset"]
    for edge in leading:
        if edge.Source in of_dataset:
            _refuse(
                where,
                f"it is fed by {edge.Source}, a node of the level Dataset too, which is not "
                "supported. Write Edges that lead from the node of the level Subject to each",
            )
        unknown = [key for key in edge.Filter or {} if key not in FILTER_KEYS]
        if unknown:
            _refuse(
                where,
                f"Filter by {', '.join(unknown)} is not supported; by {', '.join(FILTER_KEYS)} is",
            )
    return tuple(_filter(edge.Filter or {}) for edge in leading)


def _check_keys(node: Mapping[str, Any], where: str) -> None:
    """Refuse what we do not do; the schema lets unknown keys pass."""
    for part, allowed, what in (
        (node, _NODE_KEYS, ""),
        (node["Model"], _MODEL_KEYS, "Model."),
        (node.get("DummyContrasts") or {}, _DUMMY_KEYS, "DummyContrasts."),
    ):
        for key, value in part.items():
            if key not in allowed and value is not None:
                _refuse(where, f"{what}{key} is not supported")


def _read_node(node: "Node", filters: tuple[Filter, ...], where: str) -> DatasetNode:
    """Take what a node of the level Dataset asks for."""
    if node.Model.Type != "glm":
        _refuse(where, f"Model.Type {node.Model.Type} is not supported; glm is")
    variables = _variables(node.Model.X)
    if len(set(variables)) < len(variables):
        _refuse(where, "a variable is in Model.X twice")
    if not variables:
        _refuse(where, "Model.X is empty")
    if "subject" in node.GroupBy:
        _refuse(where, "GroupBy subject leaves one number in each group")
    contrasts = tuple(_read_contrast(contrast, where) for contrast in node.Contrasts or ())
    if len({contrast.name for contrast in contrasts}) < len(contrasts):
        _refuse(where, "two contrasts have the same name")
    dummies = None
    if node.DummyContrasts:
        listed = node.DummyContrasts.Contrasts
        names = None if listed is None else _variables(listed)
        dummies = DummyContrasts(names, node.DummyContrasts.Test)
    if not contrasts and not dummies:
        _refuse(where, "it has neither Contrasts nor DummyContrasts, so there is nothing to report")
    instructions = node.Transformations.Instructions if node.Transformations else ()
    return DatasetNode(
        name=node.Name,
        where=where,
        group_by=tuple(key for key in node.GroupBy if key != "run"),  # combined before
        variables=variables,
        instructions=tuple(_read_instruction(part, where) for part in instructions),
        contrasts=contrasts,
        dummies=dummies,
        filters=filters,
    )


def _variables(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(INTERCEPT if name == 1 else name for name in names)


def _read_contrast(contrast: "Contrast", where: str) -> NodeContrast:
    where = f"{where}: contrast {contrast.Name}"
    conditions = _variables(contrast.ConditionList)
    given: list[Any] = contrast.Weights
    rows = given if given and isinstance(given[0], list) else [given]
    try:
        weights = tuple(tuple(float(Fraction(str(weight))) for weight in row) for row in rows)
    except (ValueError, ArithmeticError) as error:
        _refuse(where, f"a weight is not a number ({error})")
    if len(set(conditions)) < len(conditions):
        _refuse(where, "a condition is in ConditionList twice")
    if any(len(row) != len(conditions) for row in weights) or not conditions:
        _refuse(
            where,
            f"expected {len(conditions)} weights in a row, one per condition; found "
            f"{' and '.join(str(len(row)) for row in weights)}",
        )
    if any(not any(row) for row in weights):
        _refuse(where, "all weights are 0")
    if contrast.Test != "F" and len(weights) > 1:
        _refuse(where, "several rows of weights need the Test F")
    return NodeContrast(contrast.Name, conditions, weights, contrast.Test)


def _read_instruction(instruction: Any, where: str) -> Instruction:
    name = instruction.get("Name") if isinstance(instruction, dict) else None
    if name not in _OPTIONS:
        _refuse(where, f"the transformation {name} is not supported; {', '.join(_OPTIONS)} are")
    where = f"{where}: {name}"
    for key in instruction:
        if key not in _OPTIONS[name] | {"Name", "Description"}:
            _refuse(where, f"the argument {key} is not supported")
    inputs, outputs = (_names(instruction.get(key)) for key in ("Input", "Output"))
    demean, rescale = (instruction.get(key, True) for key in ("Demean", "Rescale"))
    if not inputs or outputs is None:
        _refuse(where, "expected names of variables as Input")
    if not (isinstance(demean, bool) and isinstance(rescale, bool)):
        _refuse(where, "Demean and Rescale are true or false")
    if name == "Product" and not outputs:
        _refuse(where, "has no Output")
    expected = 1 if name == "Product" else len(inputs)
    if outputs and len(outputs) != expected:
        _refuse(where, f"expected {expected} names as Output, found {len(outputs)}")
    if name != "Factor":
        outputs = outputs or inputs
    return Instruction(name, inputs, outputs, demean, rescale and name == "Scale")


def _names(value: Any) -> tuple[str, ...] | None:
    """Read a name, or a list of them; ``None`` if it is something else."""
    names = [] if value is None else value if isinstance(value, list) else [value]
    return tuple(names) if all(isinstance(name, str) for name in names) else None


def _refuse(where: str, what: str) -> NoReturn:
    raise UsageError(f"{where}: {what}.")
