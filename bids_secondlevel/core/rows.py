"""Tables: their columns, each declared once, and their form in memory.

In memory a table is a data frame. Text is kept as in the file, with ``n/a`` for a missing value, to
make grouping possible. Numbers are 64-bit floats, with NaN for a missing value.
"""

from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    import pandas as pd

MISSING = "n/a"
"""Missing value in a table."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its type, and its description for the data dictionary."""

    kind: type
    """``str``, ``int`` or ``float``; in memory, integers are floats too."""
    description: str
    units: str = ""
    levels: Mapping[Any, str] | None = None
    """Its possible values with their meaning, if it has a fixed list."""
    is_list: bool = False
    """Whether a value may be several of the levels, joined by ``;``."""
    may_be_missing: bool = False
    """Whether a column with levels may be n/a; other columns may."""
    is_optional: bool = False
    """Whether the column is in a table only if it has a value."""

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in (int, float)

    @property
    def entry(self) -> dict[str, Any]:
        """Its description in the JSON file beside a table."""
        entry: dict[str, Any] = {"Description": self.description}
        if self.units:
            entry["Units"] = self.units
        if self.levels and self.is_list:  # validators compare Levels with whole values
            each = "; ".join(f"{level}: {meaning}" for level, meaning in self.levels.items())
            entry["Description"] += f", several joined by a semicolon ({each})"
        elif self.levels:
            entry["Levels"] = dict(self.levels)
        return entry


Schema = Mapping[str, Column]
"""The columns of a table by their names, in their order."""

KEY_COLUMNS: Schema = {
    "participant_id": Column(str, "participant, with its sub- prefix"),
    "session": Column(str, "session label of the measured map; n/a if it has none"),
    "task": Column(str, "task of the measured map"),
    "contrast": Column(str, "first-level contrast of the measured map"),
    "roi": Column(str, "region of interest"),
    "hemi": Column(str, "hemisphere: L, R, or both pooled"),
    "space": Column(
        str, "space in which the ROI was defined and measured; n/a if file names have none"
    ),
    "statistic": Column(str, "statistic that the map holds, the stat entity of its name"),
}
"""The columns that together identify an estimate of a participant."""

KEY = tuple(KEY_COLUMNS)
CELL_COLUMNS: Schema = {name: KEY_COLUMNS[name] for name in KEY[1:]}
CELL = tuple(CELL_COLUMNS)
"""The columns that identify what was measured, without the participant."""


def column(
    description: str = "",
    *,
    units: str = "",
    levels: Mapping[Any, str] | None = None,
    is_list: bool = False,
    is_optional: bool = False,
    **default: Any,
) -> Any:
    """Declare a column as a field of a dataclass, with its description.

    Without a description, it is the column of this name in :data:`KEY_COLUMNS`.
    """
    declared = Column(str, description, units, levels, is_list=is_list, is_optional=is_optional)
    return field(metadata={"column": declared if description else None}, **default)


@cache  # called for every table
def columns(row_type: type) -> Schema:
    """List the columns that the fields of a dataclass declare."""
    hints = get_type_hints(row_type)
    listed: dict[str, Column] = {}
    for each in fields(row_type):
        hint, declared = hints[each.name], each.metadata["column"] or KEY_COLUMNS[each.name]
        kind = next((k for k in (int, float) if hint in (k, k | None)), str)
        may_be_missing = NoneType in get_args(hint)
        listed[each.name] = replace(declared, kind=kind, may_be_missing=may_be_missing)
    return listed


def frame_of(rows: Sequence[Any], row_type: type) -> "pd.DataFrame":
    """Make a data frame from rows, with every column that `row_type` declares."""
    schema = columns(row_type)
    return frame_of_cells({name: [getattr(row, name) for row in rows] for name in schema}, schema)


def frame_of_cells(cells: Mapping[str, Sequence[Any]], schema: Schema) -> "pd.DataFrame":
    """Make a data frame from columns of values; ``None`` is a missing value."""
    import numpy as np
    import pandas as pd

    typed: dict[str, Any] = {}
    for name, declared in schema.items():
        if declared.is_number:
            values = [np.nan if v is None else v for v in cells[name]]
            typed[name] = np.array(values, dtype=np.float64)
        else:
            values = [MISSING if v is None else v for v in cells[name]]
            typed[name] = pd.Series(values, dtype="str")
    return pd.DataFrame(typed)


def stacked(tables: "Sequence[pd.DataFrame]", schema: Schema) -> "pd.DataFrame":
    """Concatenate tables with the same columns; the list may be empty."""
    import pandas as pd

    nothing = frame_of_cells(dict.fromkeys(schema, ()), schema)
    return pd.concat(tables, ignore_index=True)[list(schema)] if tables else nothing


def each_row(frame: "pd.DataFrame") -> Iterator[Any]:
    """Iterate over the rows of a table, with their columns and `Index` as attributes.

    ``itertuples`` does the same in five times the time, of which small tables take much.
    """
    values = [frame.index.tolist(), *(of.tolist() for _, of in frame.items())]
    return map(_row_of(tuple(frame.columns)), *values)


@lru_cache
def _row_of(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", ("Index", *columns), rename=True)


def rows_by(rows: Iterable[Any], *columns: str) -> dict[Any, list[Any]]:
    """Sort rows, such as those of :func:`each_row`, by some columns: those of each key.

    To take a few rows out of a data frame takes as long as to sort a hundred.
    """
    key_of, found = attrgetter(*columns), dict[Any, list[Any]]()
    for row in rows:
        found.setdefault(key_of(row), []).append(row)
    return found


def grouped(frame: "pd.DataFrame", *columns: str) -> "Iterator[tuple[Any, pd.DataFrame]]":
    """Iterate over groups of rows with the same values, in their order, with their keys."""
    return iter(frame.groupby(columns[0] if len(columns) == 1 else list(columns), sort=False))
