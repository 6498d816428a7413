"""Check a BIDS Stats Model, and take from it what is done across participants.

The format is described at https://bids-standard.github.io/stats-models. Nodes of the levels Run,
Session and Subject belong to the first-level analysis, whose estimates we have; those of the level
Dataset are fitted by :mod:`~bids_secondlevel.stats.models.by_specification`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, NoReturn

from bids_secondlevel.core.errors import DataError, UsageError

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


@dataclass(frozen=True)
class Instruction:
    """A transformation of columns of ``participants.tsv``.

    `outputs` are the names of its results: for ``Factor`` none, as they depend on the levels.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    demean: bool = True
    rescale: bool = True


@dataclass(frozen=True)
class NodeContrast:
    """A contrast of variables of the design; `weights` has a row per combination."""

    name: str
    conditions: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    test: NodeTest


@dataclass(frozen=True)
class DummyContrasts:
    """A contrast for each of some variables; `names` is ``None`` for all."""

    names: tuple[str, ...] | None
    test: NodeTest


@dataclass(frozen=True)
class DatasetNode:
    """A model across participants.

    Attributes
    ----------
    name : str
    where : str
        What messages call it: the file, and the node.
    group_by : tuple of str
    variables : tuple of str
        The design; may hold wildcards.
    instructions : tuple of Instruction
    contrasts : tuple of NodeContrast
    dummies : DummyContrasts or None
    filters : tuple of Filter
        Of the edges that lead to the node; an estimate is taken that passes one of them.
    """

    name: str
    where: str
    group_by: tuple[str, ...]
    variables: tuple[str, ...]
    instructions: tuple[Instruction, ...]
    contrasts: tuple[NodeContrast, ...]
    dummies: DummyContrasts | None
    filters: tuple[Filter, ...]


@dataclass(frozen=True)
class StatsModel:
    """A checked BIDS Stats Model: its nodes of the level Dataset.

    `inputs` is the filter of the whole model.
    """

    name: str
    inputs: Filter
    nodes: tuple[DatasetNode, ...]
    messages: tuple[str, ...]


def check_stats_model(content: Any, where: str) -> StatsModel:
    """Check a BIDS Stats Model against its schema, and that we can do what it asks for.

    Parameters
    ----------
    content : object
        As parsed from JSON. A single value of ``Input`` or ``Filter`` counts as a list of one, and
        the older word ``skip`` of ``Test`` as ``pass``.
    where : str
        What messages call it: the path of the file.

    Returns
    -------
    StatsModel

    Raises
    ------
    DataError
        If it is no valid BIDS Stats Model.
    UsageError
        If a node of the level Dataset asks for something that is not supported.
    """
    model = _validate(content, where)
    nodes = model["Nodes"]
    levels = {node["Name"]: node["Level"] for node in nodes}
    if len(levels) < len(nodes):
        raise DataError(f"{where}: two nodes have the same name. Rename one.")
    edges = model.get("Edges") or [
        {"Source": source["Name"], "Destination": destination["Name"]}
        for source, destination in pairwise(nodes)
    ]
    for edge in edges:
        for end in ("Source", "Destination"):
            if edge[end] not in levels:
                raise DataError(
                    f"{where}: an edge has the {end} {edge[end]!r}, which is no node; there are "
                    f"{', '.join(levels)}."
                )
    chosen = [node for node in nodes if node["Level"] == "Dataset"]
    if not chosen:
        raise UsageError(f"{where}: has no node of the Level Dataset, so there is nothing to fit.")
    others = [f"{name} ({level})" for name, level in levels.items() if level != "Dataset"]
    messages = (
        [f"{', '.join(others)}: not fitted, as taken for done by the first-level analysis."]
        if others
        else []
    )
    inputs = model.get("Input") or {}
    ignored = [key for key in inputs if key not in FILTER_KEYS]
    if ignored:
        messages.append(f"Input: {', '.join(ignored)} is about images and was not applied.")
    return StatsModel(
        model["Name"],
        _filter({key: inputs[key] for key in inputs if key in FILTER_KEYS}),
        tuple(_read_node(node, _filters_into(node, edges, nodes, where), where) for node in chosen),
        tuple(messages),
    )


def _validate(content: Any, where: str) -> dict[str, Any]:
    """Check against the schema, after mending what is common and has one meaning."""
    from bsmschema.models import BIDSStatsModel
    from pydantic import ValidationError

    try:
        mended = _mend(content) if isinstance(content, dict) else content
        BIDSStatsModel.model_validate(mended)
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
            f"{where}: is no valid BIDS Stats Model. {place.lstrip('.') or 'The file'}: "
            f"{first['msg']}" + (f"; {more} more." if more else ".")
        ) from error
    valid: dict[str, Any] = mended
    return valid


def _mend(content: dict[str, Any]) -> dict[str, Any]:
    model = dict(content)
    if isinstance(model.get("Input"), dict):
        model["Input"] = _listed(model["Input"])
    if isinstance(model.get("Edges"), list):
        model["Edges"] = [
            {**edge, "Filter": _listed(edge["Filter"])}
            if isinstance(edge, dict) and isinstance(edge.get("Filter"), dict)
            else edge
            for edge in model["Edges"]
        ]
    if isinstance(model.get("Nodes"), list):
        model["Nodes"] = [_mend_tests(node) for node in model["Nodes"]]
    return model


def _mend_tests(part: Any) -> Any:
    """Replace the older name of the test that is none, wherever it stands in a node."""
    if isinstance(part, dict):
        return {
            key: "pass" if (key, value) == ("Test", "skip") else _mend_tests(value)
            for key, value in part.items()
        }
    return [_mend_tests(value) for value in part] if isinstance(part, list) else part


def _listed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, list) else [value] for key, value in values.items()}


def _filter(values: Mapping[str, Iterable[Any]]) -> Filter:
    return {key: tuple(str(value) for value in of_key) for key, of_key in values.items()}


def _filters_into(
    node: Mapping[str, Any],
    edges: Sequence[Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]],
    where: str,
) -> tuple[Filter, ...]:
    """Take the filters of the edges that lead to a node."""
    levels = {other["Name"]: other["Level"] for other in nodes}
    name = node["Name"]
    leading = [edge for edge in edges if edge["Destination"] == name]
    if not leading and node is nodes[0]:
        return ({},)
    if not leading:
        _refuse(where, name, "no edge leads to it; add one from the node of the level Subject")
    for edge in leading:
        if levels[edge["Source"]] == "Dataset":
            _refuse(
                where,
                name,
                f"it is fed by {edge['Source']}, a node of the level Dataset too, which is not "
                "supported. Write Edges that lead from the node of the level Subject to each",
            )
        unknown = [key for key in edge.get("Filter") or {} if key not in FILTER_KEYS]
        if unknown:
            _refuse(
                where,
                name,
                f"Filter by {', '.join(unknown)} is not supported; by {', '.join(FILTER_KEYS)} is",
            )
    return tuple(_filter(edge.get("Filter") or {}) for edge in leading)


def _read_node(node: Mapping[str, Any], filters: tuple[Filter, ...], where: str) -> DatasetNode:
    """Take what a node of the level Dataset asks for."""
    name, model = node["Name"], node["Model"]
    dummies = node.get("DummyContrasts")
    for part, allowed, what in (
        (node, _NODE_KEYS, ""),
        (model, _MODEL_KEYS, "Model."),
        (dummies or {}, {"Contrasts", "Test", "Description"}, "DummyContrasts."),
    ):
        for key in part:
            if key not in allowed and part[key] is not None:
                _refuse(where, name, f"{what}{key} is not supported")
    if model["Type"] != "glm":
        _refuse(where, name, f"Model.Type {model['Type']} is not supported; glm is")
    variables = _variables(model["X"])
    if len(set(variables)) < len(variables):
        _refuse(where, name, "a variable is in Model.X twice")
    if not variables:
        _refuse(where, name, "Model.X is empty")
    if "subject" in node["GroupBy"]:
        _refuse(where, name, "GroupBy subject leaves one number in each group")
    contrasts = tuple(_read_contrast(c, name, where) for c in node.get("Contrasts") or ())
    names = [contrast.name for contrast in contrasts]
    if len(set(names)) < len(names):
        _refuse(where, name, "two contrasts have the same name")
    if not contrasts and not dummies:
        _refuse(where, name, "it has neither Contrasts nor DummyContrasts, so nothing to report")
    transformations = node.get("Transformations") or {"Instructions": []}
    listed = (dummies or {}).get("Contrasts")
    return DatasetNode(
        name,
        f"{where}: node {name}",
        tuple(key for key in node["GroupBy"] if key != "run"),  # combined before
        variables,
        tuple(_read_instruction(i, name, where) for i in transformations["Instructions"]),
        contrasts,
        DummyContrasts(None if listed is None else _variables(listed), dummies["Test"])
        if dummies
        else None,
        filters,
    )


def _variables(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(INTERCEPT if name == 1 else name for name in names)


def _read_contrast(contrast: Mapping[str, Any], node: str, where: str) -> NodeContrast:
    name, conditions = contrast["Name"], _variables(contrast["ConditionList"])
    given = contrast["Weights"]
    rows = given if given and isinstance(given[0], list) else [given]
    try:
        weights = tuple(tuple(float(Fraction(str(weight))) for weight in row) for row in rows)
    except (ValueError, ArithmeticError) as error:
        _refuse(where, node, f"contrast {name}: a weight is no number ({error})")
    if len(set(conditions)) < len(conditions):
        _refuse(where, node, f"contrast {name}: a condition is in ConditionList twice")
    if any(len(row) != len(conditions) for row in weights) or not conditions:
        _refuse(
            where,
            node,
            f"contrast {name}: expected {len(conditions)} weights in a row, as there are "
            f"conditions; found {' and '.join(str(len(row)) for row in weights)}",
        )
    if any(not any(row) for row in weights):
        _refuse(where, node, f"contrast {name}: all weights are 0")
    if contrast["Test"] != "F" and len(weights) > 1:
        _refuse(where, node, f"contrast {name}: several rows of weights need the Test F")
    return NodeContrast(name, conditions, weights, contrast["Test"])


def _read_instruction(instruction: Any, node: str, where: str) -> Instruction:
    name = instruction.get("Name") if isinstance(instruction, dict) else None
    if name not in _OPTIONS:
        _refuse(
            where,
            node,
            f"the transformation {name} is not supported; {', '.join(_OPTIONS)} are",
        )
    for key in instruction:
        if key not in _OPTIONS[name] | {"Name", "Description"}:
            _refuse(where, node, f"{name}: the argument {key} is not supported")
    inputs, outputs = (_names(instruction.get(key)) for key in ("Input", "Output"))
    demean, rescale = (instruction.get(key, True) for key in ("Demean", "Rescale"))
    if not inputs or outputs is None:
        _refuse(where, node, f"{name}: expected names of variables as Input")
    if not (isinstance(demean, bool) and isinstance(rescale, bool)):
        _refuse(where, node, f"{name}: Demean and Rescale are true or false")
    expected = 1 if name == "Product" else len(inputs)
    if name == "Product" and not outputs:
        _refuse(where, node, "Product: has no Output")
    if outputs and len(outputs) != expected:
        _refuse(where, node, f"{name}: expected {expected} names as Output, found {len(outputs)}")
    if name != "Factor":
        outputs = outputs or inputs
    return Instruction(name, inputs, outputs, demean, rescale and name == "Scale")


def _names(value: Any) -> tuple[str, ...] | None:
    """Read a name, or a list of them; ``None`` where it is something else."""
    names = [] if value is None else value if isinstance(value, list) else [value]
    return tuple(names) if all(isinstance(name, str) for name in names) else None


def _refuse(where: str, node: str, what: str) -> NoReturn:
    raise UsageError(f"{where}: node {node}: {what}.")
