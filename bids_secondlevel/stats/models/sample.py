"""Choose the numbers that a model across participants is fitted to, and say what is left out."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.rois.estimates import EstimateRow, by_cell
from bids_secondlevel.stats.models.table import KEYS, ModelRow

RESPONSES = (
    *(
        "estimate",
        "sd",
        "median",
        "n_vertices",
        "n_finite",
        "coverage",
        "area_mm2",
        "volume_mm3",
        "n_runs",
    ),
)
"""Columns of the estimates table that hold numbers."""

ESTIMATE_COLUMNS = tuple(f.name for f in fields(EstimateRow))

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Variable:
    """A column that a model uses.

    `of_participant` is where its values come from; ``None``: the estimates table.
    """

    name: str
    is_categorical: bool
    of_participant: Mapping[str, str | None] | None = None

    def value(self, row: EstimateRow) -> str | float | None:
        """Look up the value that belongs to an estimate: text of a category, or a number."""
        found: str | float | None
        if self.of_participant is None:
            found = getattr(row, self.name)
        else:
            found = self.of_participant.get(row.participant_id)
        if found is None or self.is_categorical:
            return found
        number = float(found)
        return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Sample:
    """The numbers of one fit.

    Attributes
    ----------
    rows : tuple of EstimateRow
        Those that are used, by participant.
    excluded : str or None
        Who, or which numbers, are left out, and why.
    """

    rows: tuple[EstimateRow, ...]
    excluded: str | None


def number_of(row: EstimateRow, response: str) -> float | None:
    """Look up a number of the estimates table; ``None`` where it is n/a or not finite."""
    number = getattr(row, response)
    return float(number) if number is not None and math.isfinite(number) else None


def find_variable(name: str, participants: ParticipantsTable) -> tuple[Variable, tuple[str, ...]]:
    """Find a column by name, in the estimates table or else among those of the participants.

    Columns of the estimates table that hold no numbers are categories. A column of
    ``participants.tsv`` holds categories where ``participants.json`` gives it ``Levels``, or where
    a value is no number.

    Returns
    -------
    Variable
    tuple of str
        What the user should be told of it.

    Raises
    ------
    DataError
        If a column holds numbers for the most part, and something else.
    """
    if name in ESTIMATE_COLUMNS:
        messages = (
            [f"{name} is in participants.tsv too; that of the estimates table is used."]
            if name in participants.columns
            else []
        )
        return Variable(name, is_categorical=name not in RESPONSES), tuple(messages)
    variable, words = participant_variable(name, participants)
    has_numbers = any(is_number(cells.get(name) or "") for cells in participants.values.values())
    said = (
        [f"{name} is taken for categories, as {words[0]!r} in participants.tsv is no number."]
        if words and has_numbers and name not in participants.categorical
        else []
    )
    values = [cells.get(name) for cells in participants.values.values()]
    if said and 2 * len(words) < sum(value is not None for value in values):
        raise DataError(
            f"{name}: most values in participants.tsv are numbers, but not "
            f"{', '.join(map(repr, dict.fromkeys(words)))}. Write n/a there, or give the column "
            "Levels in participants.json if it holds categories."
        )
    return variable, tuple(said)


def participant_variable(
    name: str, participants: ParticipantsTable
) -> tuple[Variable, tuple[str, ...]]:
    """Take a column of ``participants.tsv``.

    Returns
    -------
    Variable
        It holds categories where ``participants.json`` gives it ``Levels``, or a value is no
        number.
    tuple of str
        Values that are no numbers.
    """
    values = {who: cells.get(name) for who, cells in participants.values.items()}
    words = tuple(v for v in values.values() if v is not None and not is_number(v))
    return Variable(name, bool(words) or name in participants.categorical, values), words


def is_number(text: str) -> bool:
    """Tell whether a cell of a table holds a finite number."""
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def without_circular(
    rows: Iterable[EstimateRow], response: str
) -> tuple[list[EstimateRow], tuple[str, ...]]:
    """Leave out what was measured on the data that defined its ROI for all participants.

    Parameters
    ----------
    rows : iterable of EstimateRow
    response : str
        Column that a model explains.

    Returns
    -------
    list of EstimateRow
    tuple of str
        What the user should be told.

    Raises
    ------
    DataError
        If nothing else is left, or there is no number at all.
    """
    kept: list[EstimateRow] = []
    tasks: dict[str, None] = {}
    for cell in by_cell(rows).values():
        with_number = [row for row in cell if number_of(row, response) is not None] or cell
        if all(row.independence == "circular" for row in with_number):
            tasks[cell[0].task] = None
        else:
            kept += cell
    if not any(number_of(row, response) is not None for row in kept):
        raise DataError(
            f"No model of {response}: "
            + (
                "only circular estimates are left, which are never tested. Measure another task, "
                "or use --cross-validate at participant level."
                if tasks
                else f"no participant has a number in the column {response}."
            )
        )
    said = f"Circular estimates (task {', '.join(tasks)}) are never tested and were left out."
    return kept, (said,) if tasks else ()


def check_variables(
    rows: Sequence[EstimateRow],
    response: str,
    variables: Sequence[Variable],
    participants: ParticipantsTable,
) -> None:
    """Check that the variables of a model are there for most participants, and vary.

    Raises
    ------
    DataError
        If one is n/a for more than half of the participants with a number, or has the same value
        wherever there is a number.
    """
    numbered = [row for row in rows if number_of(row, response) is not None]
    people = {row.participant_id for row in numbered}
    for variable in variables:
        known = {row.participant_id for row in numbered if variable.value(row) is not None}
        if 2 * len(known) < len(people):
            listed = people if variable.of_participant is None else set(participants.values)
            unlisted = len(people - listed)
            hint = f" ({unlisted} are not in participants.tsv)" if unlisted else ""
            raise DataError(
                f"{variable.name} is n/a for {len(people - known)} of {len(people)} participants "
                f"with a number{hint}. Complete the column, or leave it out of the model."
            )
    used = [row for row in numbered if all(v.value(row) is not None for v in variables)]
    for variable in variables:
        found = {variable.value(row) for row in used}
        if len(found) < 2:
            shown = ", ".join(str(value) for value in found) or "n/a"
            raise DataError(
                f"{variable.name} is the same ({shown}) for all {len(used)} numbers that can be "
                "used, so no model can tell its effect. Leave it out of the model."
            )


def split(
    rows: Iterable[EstimateRow], keys: Collection[str]
) -> dict[tuple[str | None, ...], list[EstimateRow]]:
    """Group rows by the values of key columns, in the order in which they first appear."""
    groups: dict[tuple[str | None, ...], list[EstimateRow]] = {}
    for row in rows:
        key = tuple(getattr(row, name) if name in keys else None for name in KEYS)
        groups.setdefault(key, []).append(row)
    return groups


def draw_sample(
    rows: Sequence[EstimateRow],
    response: str,
    variables: Sequence[Variable],
    participants: ParticipantsTable,
    inside: Sequence[str] = (),
) -> Sample:
    """Choose the rows of one fit.

    Parameters
    ----------
    rows : sequence of EstimateRow
    response : str
    variables : sequence of Variable
        Rows for which one of them is n/a are left out.
    participants : ParticipantsTable
    inside : sequence of str
        Key columns that tell the rows of a participant apart.

    Returns
    -------
    Sample
    """
    ordered = sorted(rows, key=lambda row: tuple(part or "" for part in row.key))
    reasons = [(row, _reason(row, response, variables, participants)) for row in ordered]
    used = tuple(row for row, reason in reasons if reason is None)
    present = {row.participant_id for row in used}
    excluded: dict[str, dict[str, None]] = {}
    for row, reason in reasons:
        if reason is not None:
            cell = ", ".join(str(getattr(row, name)) for name in inside)
            is_part = row.participant_id in present
            who = f"{row.participant_id}[{cell}]" if is_part else row.participant_id
            excluded.setdefault(who, {})[reason] = None
    said = "; ".join(f"{who}:{', '.join(why)}" for who, why in excluded.items())
    return Sample(used, said or None)


def _reason(
    row: EstimateRow,
    response: str,
    variables: Sequence[Variable],
    participants: ParticipantsTable,
) -> str | None:
    """Say why a row cannot be used, if it cannot."""
    if number_of(row, response) is None:
        return row.status if row.status != "ok" else f"{response} n/a"
    if row.independence == "circular":
        return "circular"
    missing = [variable for variable in variables if variable.value(row) is None]
    of_participants = any(variable.of_participant is not None for variable in missing)
    if of_participants and row.participant_id not in participants.values:
        return "not in participants.tsv"
    return f"{', '.join(v.name for v in missing)} n/a" if missing else None


def describe_sample(row: ModelRow, sample: Sample, note: str | None = None) -> ModelRow:
    """Complete a row of the table with how many numbers it stands on."""
    return replace(
        row,
        n_rows=len(sample.rows),
        n_participants=len({r.participant_id for r in sample.rows}),
        excluded=sample.excluded,
        note=note,
    )


def keys_of(key: Sequence[str | None]) -> dict[str, Any]:
    """Name the values of the key columns, as a row of the table takes them."""
    return dict(zip(KEYS, key, strict=True))
