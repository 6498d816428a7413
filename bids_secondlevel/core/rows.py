"""Tables: their columns, each declared once, and what they are in memory.

In memory a table is a data frame. Text is as in the file, ``n/a`` if there is none, so that rows
can be grouped by it; numbers are 64-bit floats, NaN if there is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    import pandas as pd

MISSING = "n/a"
"""What a table holds in the place of a value that is not there."""


@dataclass(frozen=True)
class Column:
    """A column of a table: what its values are, and its entry in the data dictionary."""

    kind: type
    """``str``, ``int`` or ``float``; in memory, whole numbers are floats too."""
    description: str
    units: str = ""
    levels: Mapping[Any, str] | None = None
    """Its values with their meaning, if there are only these."""
    is_list: bool = False
    """Whether a value may be several of the levels, joined by ``;``."""
    may_be_missing: bool = False
    """Whether a column with levels may be n/a; others may."""
    is_optional: bool = False
    """Whether the column is in a table only if it has values."""

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in (int, float)

    @property
    def entry(self) -> dict[str, Any]:
        """What the JSON beside a table says of it."""
        entry: dict[str, Any] = {"Description": self.description}
        if self.units:
            entry["Units"] = self.units
        if self.levels and self.is_list:  # to a validator, Levels are whole values
            each = "; ".join(f"{level}: {meaning}" for level, meaning in self.levels.items())
            entry["Description"] += f", several joined by a semicolon ({each})"
        elif self.levels:
            entry["Levels"] = dict(self.levels)
        return entry


Schema = Mapping[str, Column]
"""The columns of a table by their names, in their order."""

KEY_COLUMNS: Schema = {
    "participant_id": Column(str, "participant, with its sub- prefix"),
    "session": Column(str, "session label of the measured map; n/a where it has none"),
    "task": Column(str, "task of the measured map"),
    "contrast": Column(str, "first-level contrast of the measured map"),
    "roi": Column(str, "region of interest"),
    "hemi": Column(str, "hemisphere: L, R, or both pooled"),
    "space": Column(
        str, "space in which the ROI was defined and measured; n/a where names have none"
    ),
    "statistic": Column(str, "what the map holds, the stat entity of its name"),
}
"""The columns that together name a number of a participant."""

KEY = tuple(KEY_COLUMNS)
CELL_COLUMNS: Schema = {name: KEY_COLUMNS[name] for name in KEY[1:]}
CELL = tuple(CELL_COLUMNS)
"""The columns that name what was measured, whoever the participant."""


def column(
    description: str = "",
    *,
    units: str = "",
    levels: Mapping[Any, str] | None = None,
    is_list: bool = False,
    is_optional: bool = False,
    **default: Any,
) -> Any:
    """Declare a column: a field of a dataclass that carries its own description.

    One without a description is that of this name in :data:`KEY_COLUMNS`.
    """
    declared = Column(str, description, units, levels, is_list=is_list, is_optional=is_optional)
    return field(metadata={"column": declared if description else None}, **default)


@cache  # asked for every table
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
    """Put rows into a table in memory; it has every column that `row_type` declares."""
    schema = columns(row_type)
    return frame_of_cells({name: [getattr(row, name) for row in rows] for name in schema}, schema)


def frame_of_cells(cells: Mapping[str, Sequence[Any]], schema: Schema) -> "pd.DataFrame":
    """Put columns of values, ``None`` if there is none, into a table in memory."""
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
    """Put tables of the same columns one below the other; there may be none."""
    import pandas as pd

    nothing = frame_of_cells(dict.fromkeys(schema, ()), schema)
    return pd.concat(tables, ignore_index=True)[list(schema)] if tables else nothing


def each_row(frame: "pd.DataFrame") -> Iterator[Any]:
    """Give the rows of a table one by one, with their columns as attributes."""
    return iter(frame.itertuples())


def grouped(frame: "pd.DataFrame", *columns: str) -> "Iterator[tuple[Any, pd.DataFrame]]":
    """Give rows with the same values together, in their order; a key is a value, or several."""
    return iter(frame.groupby(columns[0] if len(columns) == 1 else list(columns), sort=False))
