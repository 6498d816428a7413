"""Choose the numbers that a model across participants is fitted to, and say what is left out."""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.rows import CELL, KEY, MISSING
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.core.words import counted
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.stats.models.table import ModelRow

if TYPE_CHECKING:
    import pandas as pd

RESPONSES = tuple(name for name, declared in ESTIMATE_COLUMNS.items() if declared.is_number)
"""Columns of the estimates table that hold numbers."""

PLANNED = "planned"
"""The response that stands for the numbers of planned contrasts."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d*,\d+|\d{1,3}([.,'\u2019\s]\d{3})+([.,]\d+)?)([eE][+-]?\d+)?")
"""A number with a decimal comma, or with marks between thousands."""

_UNITS = (
    *("%", "‰", "°", "€", "$", "£", "kg", "mg", "µg", "g/l", "lb", "lbs", "oz", "cm", "mm", "km"),
    *("ft", "ml", "dl", "yr", "yrs", "yo", "y/o", "year", "years", "mo", "mos", "month", "months"),
    *("wk", "wks", "week", "weeks", "day", "days", "hr", "hrs", "hour", "hours", "min", "mins"),
    *("sec", "ms", "deg", "hz", "mmhg", "bpm", "kcal", "points", "pts"),
)
"""What follows a number also without a space, and makes it a measurement."""

_CODE = re.compile(r"(-[789]|[+-]?([789])\2+|[+-]?9+[5-8])(\.0*)?")
"""Numbers that are written for missing values by custom: -9, 99, 777, -998."""

_MOST_LEVELS = 10
"""How many levels a message lists."""


@dataclass(frozen=True, eq=False)
class Variable:
    """A column that a model uses."""

    name: str
    is_categorical: bool
    of_participant: Mapping[str, str | None] | None = None
    """Where its values come from; ``None``: the estimates table."""

    @property
    def texts(self) -> list[str]:
        """What ``participants.tsv`` holds; n/a is left out."""
        return [value for value in (self.of_participant or {}).values() if value is not None]

    @property
    def words(self) -> list[str]:
        """Those of the texts that are not numbers."""
        return [text for text in self.texts if number_in(text) is None]

    @property
    def levels(self) -> list[str]:
        """The different texts in alphabetical order."""
        return sorted(set(self.texts))

    def values(self, estimates: "pd.DataFrame") -> "pd.Series[Any]":
        """Look up what belongs to each estimate: text of a category, or a number; NaN is n/a."""
        if self.of_participant is not None:
            values = estimates["participant_id"].map(self.of_participant)
        else:
            values = estimates[self.name].replace(MISSING, None)
        return values if self.is_categorical else _finite(values.astype(np.float64))


@dataclass(frozen=True, eq=False, kw_only=True)
class Observations:
    """Estimates with what a model needs of them; the tables have a row for each."""

    response: str
    """Column that the model explains."""
    variables: tuple[Variable, ...]
    estimates: "pd.DataFrame"
    numbers: "pd.Series[float]"
    """The response; NaN is n/a."""
    values: "pd.DataFrame"
    """A column for each variable; NaN is n/a."""
    excluded: str | None = None
    """Who, or which numbers, are left out, and why."""

    def at(self, index: "pd.Index[Any] | pd.Series[bool]") -> "Observations":
        """Take some of the rows."""
        return replace(
            self,
            estimates=self.estimates.loc[index],
            numbers=self.numbers.loc[index],
            values=self.values.loc[index],
        )

    @property
    def participants(self) -> list[str]:
        """Whose number it is."""
        return list(self.estimates["participant_id"])


def observe(
    estimates: "pd.DataFrame", response: str, variables: Sequence[Variable]
) -> Observations:
    """Look up the response and the variables of a model for all estimates."""
    import pandas as pd

    values = {variable.name: variable.values(estimates) for variable in variables}
    return Observations(
        response=response,
        variables=tuple(variables),
        estimates=estimates,
        numbers=_finite(estimates[response]),
        values=pd.DataFrame(values, index=estimates.index),
    )


def _finite(numbers: "pd.Series[float]") -> "pd.Series[float]":
    return numbers.where(np.isfinite(numbers))


def find_variable(name: str, participants: ParticipantsTable) -> tuple[Variable, Sequence[str]]:
    """Find a column by name, in the estimates table or else among those of the participants.

    Columns of the estimates table that hold no numbers are categories. A column of
    ``participants.tsv`` holds categories if ``participants.json`` gives it ``Levels``, or if a
    value is not a number.

    Returns
    -------
    sequence of str
        Messages: which levels there are, or which numbers look like codes for missing values.

    Raises
    ------
    DataError
        If a column holds numbers for the most part, and something else; or numbers that are
        written with a comma or a unit.
    """
    if name in ESTIMATE_COLUMNS:
        variable = Variable(name, is_categorical=name not in RESPONSES)
        if name not in participants.columns:
            return variable, ()
        return variable, (
            f"{name} is also in participants.tsv; the column of the table of estimates is used.",
        )
    variable = participant_variable(name, participants)
    if name in participants.categorical:
        return variable, (f"{name} is used as categories: {levels_in_words(variable)}.",)
    check_spelling(variable)
    words = variable.words
    if not words:
        return replace(variable, is_categorical=False), codes_in_words(variable)
    if 2 * len(words) < len(variable.texts):
        raise DataError(
            f"{name}: most values in participants.tsv are numbers, but not "
            f"{', '.join(map(repr, dict.fromkeys(words)))}. Replace these by n/a; or, if the "
            "column holds categories, add Levels to it in participants.json."
        )
    return variable, (
        f"{name} is used as categories, as {words[0]!r} in participants.tsv is not a number: "
        f"{levels_in_words(variable)}.",
    )


def check_spelling(variable: Variable) -> None:
    """Check that no text of a column is a number with a comma or a unit.

    Raises
    ------
    DataError
        If one is: as a category it would be fitted without an order, and without a distance.
    """
    otherwise = "Or, if the column holds categories, add Levels to it in participants.json."
    for text in variable.words:
        if _COMMA.fullmatch(text):
            raise DataError(
                f"{variable.name}: {text!r} in participants.tsv is a number with a comma or with "
                "marks between thousands, which cannot be read. Write only digits and a decimal "
                f"point, such as 1234.5. {otherwise}"
            )
    suffixes = [_suffix(text) for text in variable.texts]
    same = len(set(suffixes)) == 1 and len(variable.levels) > 2
    for text, suffix in zip(variable.texts, suffixes, strict=True):
        if suffix and (same or suffix[0].isspace() or suffix.casefold() in _UNITS):
            raise DataError(
                f"{variable.name}: {text!r} in participants.tsv is a number with a unit, which "
                "cannot be read. Write the number alone, and the unit as Units of the column in "
                f"participants.json. {otherwise}"
            )


def _suffix(text: str) -> str:
    """Return the single word that follows (or the sign of money before) a number; "" if none."""
    number = re.match(r"[+-]?\d+,\d+", text) or _NUMBER.match(text)
    if number is None:
        return text[0] if text[0] in "$€£" and text[1:].strip()[:1].isdigit() else ""
    rest = text[number.end() :]
    is_word = re.fullmatch(r"\s*[^\W\d_]+(/[^\W\d_]+)?\.?|\s*[%‰°€$£]\w?", rest)
    return rest if is_word else ""


def levels_in_words(variable: Variable) -> str:
    """Count and list the levels of a column of categories."""
    levels = variable.levels
    shown = ", ".join(levels[:_MOST_LEVELS]) + (", ..." if len(levels) > _MOST_LEVELS else "")
    return f"{counted(len(levels), 'level')} ({shown})"


def codes_in_words(variable: Variable) -> tuple[str, ...]:
    """Say which numbers of a column look like codes for missing values.

    They are written as such codes are, and lie outside of the other numbers: further than these
    lie apart, or below 0 if no other number does.
    """
    coded = {text for text in variable.texts if _CODE.fullmatch(text)}
    others = [float(text) for text in variable.texts if text not in coded]
    if not others:
        return ()
    low, high = min(others), max(others)
    codes = sorted((text for text in coded if _is_far(float(text), low, high)), key=float)
    if not codes:
        return ()
    return (
        f"{variable.name}: {', '.join(codes)} in participants.tsv "
        f"{'lies' if len(codes) == 1 else 'lie'} far from all other numbers ({low:g} to {high:g}), "
        "and is used as a number. Write n/a instead if it means that the value is missing.",
    )


def _is_far(number: float, low: float, high: float) -> bool:
    beyond = max(low - number, number - high)
    return beyond > high - low or number < 0 <= low


def participant_variable(name: str, participants: ParticipantsTable) -> Variable:
    """Take a column of ``participants.tsv`` as text."""
    values = {who: cells.get(name) for who, cells in participants.values.items()}
    return Variable(name, is_categorical=True, of_participant=values)


def number_in(text: str) -> float | None:
    """Read a cell of a table that holds a finite number; ``None`` if it holds something else."""
    is_number = _NUMBER.fullmatch(text) and math.isfinite(float(text))
    return float(text) if is_number else None


def without_circular(
    estimates: "pd.DataFrame", response: str
) -> tuple["pd.DataFrame", Sequence[str]]:
    """Leave out what was measured on the data that defined its ROI for all participants.

    Returns
    -------
    DataFrame
    sequence of str
        Messages.

    Raises
    ------
    DataError
        If nothing else is left, or there is no number at all.
    """
    has_number = _finite(estimates[response]).notna()
    cell = estimates.groupby(list(CELL), sort=False).ngroup()
    # Of a cell without any number, all rows count.
    counts = has_number | ~has_number.groupby(cell).transform("any")
    is_circular = (estimates["independence"] == "circular") | ~counts
    is_left_out = is_circular.groupby(cell).transform("all")
    tasks = estimates.loc[is_left_out, "task"].unique()
    if not (has_number & ~is_left_out).any():
        raise DataError(
            f"No model of {response}: "
            + (
                "all remaining estimates are circular, and circular estimates are never tested. "
                "Measure another task, or use --cross-validate at participant level."
                if len(tasks)
                else f"all values of the column {response} are missing."
            )
        )
    said = f"Circular estimates (task {', '.join(tasks)}) are never tested and were excluded."
    return estimates[~is_left_out], (said,) if len(tasks) else ()


def check_variables(observed: Observations) -> None:
    """Check that the variables of a model are there for most participants, and vary.

    Raises
    ------
    DataError
        If one is n/a for more than half of the participants with a number, or has the same value
        wherever there is a number.
    """
    numbered = observed.at(observed.numbers.notna())
    people = set(numbered.participants)
    for variable in numbered.variables:
        is_known = numbered.values[variable.name].notna()
        known = set(numbered.at(is_known).participants)
        if 2 * len(known) < len(people):
            listed = people if variable.of_participant is None else variable.of_participant
            unlisted = len(people.difference(listed))
            hint = f" ({unlisted} are not in participants.tsv)" if unlisted else ""
            raise DataError(
                f"{variable.name} is n/a for {len(people - known)} of {len(people)} participants "
                f"with an estimate{hint}. Complete the column, or remove it from the model."
            )
    used = numbered.values.dropna()
    for name, values in used.items():
        found = values.unique()
        if len(found) < 2:
            shown = ", ".join(str(value) for value in found) or "n/a"
            raise DataError(
                f"{name} is the same ({shown}) for all {len(used)} estimates that can be used, so "
                "its effect cannot be estimated. Remove it from the model."
            )


def split(
    estimates: "pd.DataFrame", keys: Collection[str]
) -> "Iterator[tuple[dict[str, Any], pd.DataFrame]]":
    """Group estimates by key columns, in the order in which their values first appear.

    Beside a group is the value of each key column; ``None`` if it is n/a, or not one of `keys`.
    """
    values = estimates[list(CELL)].assign(**{key: MISSING for key in CELL if key not in keys})
    for key, rows in values.groupby(list(CELL), sort=False):
        named = {name: None if v == MISSING else v for name, v in zip(CELL, key, strict=True)}
        yield named, estimates.loc[rows.index]


def complete_cases(observed: Observations, inside: Sequence[str] = ()) -> Observations:
    """Choose the observations with all that the model needs, by participant; name the others.

    Parameters
    ----------
    inside
        Key columns that tell the rows of a participant apart.
    """
    order = observed.estimates[list(KEY)].replace(MISSING, "").sort_values(list(KEY)).index
    ordered = observed.at(order)
    is_used = (
        ordered.numbers.notna()
        & (ordered.estimates["independence"] != "circular")
        & ordered.values.notna().all(axis="columns")
    )
    used, left = ordered.at(is_used), ordered.at(~is_used)
    present = set(used.participants)
    excluded: dict[str, dict[str, None]] = {}
    is_missing = left.values.isna().to_numpy()
    for row, number, is_na in zip(
        left.estimates.itertuples(), left.numbers, is_missing, strict=True
    ):
        who = str(row.participant_id)
        cell = ", ".join(getattr(row, name) for name in inside)
        missing = list(compress(observed.variables, is_na))
        reason = _reason(row, number, observed.response, missing)
        excluded.setdefault(f"{who}[{cell}]" if who in present else who, {})[reason] = None
    said = "; ".join(f"{who}:{', '.join(why)}" for who, why in excluded.items())
    return replace(used, excluded=said or None)


def _reason(row: Any, number: float, response: str, missing: Sequence[Variable]) -> str:
    """Say why a row cannot be used; `missing` are the variables that are n/a for it."""
    if math.isnan(number):
        return str(row.status) if row.status != "ok" else f"{response} n/a"
    if row.independence == "circular":
        return "circular"
    sources = [v.of_participant for v in missing if v.of_participant is not None]
    if any(row.participant_id not in source for source in sources):
        return "not in participants.tsv"
    return f"{', '.join(variable.name for variable in missing)} n/a"


def with_counts(row: ModelRow, observed: Observations) -> ModelRow:
    """Complete a row of the table with how many numbers it rests on."""
    return replace(
        row,
        n_rows=len(observed.numbers),
        n_participants=len(set(observed.participants)),
        excluded=observed.excluded,
    )
