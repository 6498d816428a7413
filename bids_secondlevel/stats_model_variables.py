"""The variables of a BIDS Stats Model: columns of ``participants.tsv``, transformed."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from bids_secondlevel.errors import UsageError
from bids_secondlevel.model import Array, ParticipantsTable

INTERCEPT = "intercept"
"""What the variable ``1`` is called."""

_TRANSFORMATIONS = ("Factor", "Scale", "Demean")


def columns_needed(node: Mapping[str, Any], participants: ParticipantsTable) -> list[str]:
    """List the columns of ``participants.tsv`` that a node names, itself or in instructions."""
    patterns = [str(name) for name in node["Model"]["X"] if name != 1]
    for instruction in _instructions(node):
        patterns += map(str, _as_list(instruction.get("Input", [])))
    return [name for name in participants.columns if any(fnmatchcase(name, p) for p in patterns)]


def _instructions(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((node.get("Transformations") or {}).get("Instructions", []))


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def transform(
    node: Mapping[str, Any],
    variables: Mapping[str, Array],
    everyone: Mapping[str, Array],
    where: str,
) -> dict[str, Array]:
    """Carry out the instructions, on the participants of a fit.

    ``Factor`` gives a variable ``column.level`` of 0 and 1 for each level that anybody has.
    ``Demean`` and ``Scale`` subtract the mean of the participants in the fit; ``Scale`` divides by
    their standard deviation.
    """
    made = dict(variables)
    for instruction in _instructions(node):
        if not isinstance(instruction, Mapping) or instruction.get("Name") not in _TRANSFORMATIONS:
            shown = instruction.get("Name") if isinstance(instruction, Mapping) else instruction
            raise UsageError(
                f"{where}: the transformation {shown} is not supported; expected one of "
                f"{', '.join(_TRANSFORMATIONS)}, or do it in participants.tsv."
            )
        name = instruction["Name"]
        _check_instruction(instruction, where)
        inputs = [str(given) for given in _as_list(instruction["Input"])]
        outputs = [str(given) for given in _as_list(instruction.get("Output") or inputs)]
        if len(outputs) != len(inputs):
            raise UsageError(
                f"{where}: {name} has {len(inputs)} inputs and {len(outputs)} outputs."
            )
        for source, output in zip(inputs, outputs, strict=True):
            if source not in made:
                raise UsageError(f"{where}: {name} has the input {source}, which there is not.")
            if name == "Factor":
                levels = sorted({_level(v) for v in everyone[source]} - {None}, key=str)
                made |= {
                    f"{source}.{level}": np.array([float(_level(v) == level) for v in made[source]])
                    for level in levels
                }
            else:
                made[output] = _scaled(made[source], instruction, source, where)
    return made


def _check_instruction(instruction: Mapping[str, Any], where: str) -> None:
    name = instruction["Name"]
    known = {"Name", "Input", "Description"}
    known |= {"Factor": set(), "Demean": {"Output"}, "Scale": {"Output", "Demean", "Rescale"}}[name]
    unknown = sorted(set(instruction) - known)
    if unknown:
        raise UsageError(
            f"{where}: {name} with {', '.join(unknown)} is not supported; expected "
            f"{', '.join(sorted(known))}."
        )
    if "Input" not in instruction:
        raise UsageError(f"{where}: {name} has no Input.")


def _level(value: Any) -> str | None:
    """Name a level as it stands in the file: whole numbers without a decimal point."""
    if value is None or isinstance(value, str):
        return value
    return None if np.isnan(value) else f"{value:g}"


def _scaled(values: Array, instruction: Mapping[str, Any], source: str, where: str) -> Array:
    if values.dtype == object:
        raise UsageError(
            f"{where}: {instruction['Name']} has the input {source}, which is no number."
        )
    scaled = values.copy()
    if not values.size:
        return scaled
    if instruction.get("Demean", True):
        scaled = scaled - scaled.mean()
    if instruction["Name"] == "Scale" and instruction.get("Rescale", True) and len(scaled) > 1:
        spread = scaled.std(ddof=1)
        scaled = scaled / (spread if spread > 0 else 1.0)
    return scaled


def design_matrix(
    node: Mapping[str, Any],
    variables: Mapping[str, Array],
    n_rows: int,
    participants: ParticipantsTable,
    where: str,
) -> tuple[Array, tuple[str, ...]]:
    """Put the variables that ``X`` names side by side; ``1`` is the intercept."""
    columns: dict[str, Array] = {}
    for wanted in node["Model"]["X"]:
        if wanted == 1:
            columns[INTERCEPT] = np.ones(n_rows)
            continue
        matching = [name for name in variables if fnmatchcase(name, wanted)]
        if not matching:
            there_are = dict.fromkeys((*participants.columns, *variables))
            raise UsageError(
                f"{where}: X names {wanted}, which there is not; {participants.path} and the "
                f"transformations give {', '.join(there_are) or 'none'}."
            )
        for name in matching:
            if variables[name].dtype == object:
                if "*" in wanted or "?" in wanted:
                    continue  # the column that its own dummy variables were made from
                raise UsageError(
                    f"{where}: X names {name}, which is no number. Turn it into variables such as "
                    f"{name}.level with the transformation Factor."
                )
            columns[name] = variables[name]
    return np.column_stack(list(columns.values())), tuple(columns)
