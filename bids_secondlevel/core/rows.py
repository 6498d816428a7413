"""Declare the columns of a table: fields of a dataclass that carry their data dictionary."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast, get_type_hints

if TYPE_CHECKING:
    import pandas as pd

MISSING = "n/a"
"""What a table holds in the place of a value that is not there."""

_OPTIONAL = "only where it has values"


def column(
    description: str,
    *,
    units: str = "",
    levels: Mapping[Any, str] | None = None,
    optional: bool = False,
    **default: Any,
) -> Any:
    """Declare a column: a dataclass field that carries its own data dictionary entry.

    An optional column is in a table only where it has values.
    """
    entry: dict[str, Any] = {"Description": description}
    if units:
        entry["Units"] = units
    if levels:
        entry["Levels"] = dict(levels)
    return field(metadata={**entry, _OPTIONAL: optional}, **default)


def shared_columns() -> Any:
    """Declare that a field holds columns that several tables share, in a dataclass of their own."""
    return field()


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    path : str
        The attribute of the row that holds it; with a dot where several columns are declared
        together in a dataclass of their own.
    hint : type
        Of its values.
    entry : mapping
        Its entry in the data dictionary.
    is_optional : bool
        Whether it is in a table only where it has values.
    """

    path: str
    hint: Any
    entry: Mapping[str, Any]
    is_optional: bool = False


def columns(row_type: type) -> Mapping[str, Column]:
    """List the columns that a row type declares, by name and in their order."""
    return _columns(row_type)


@cache  # asked for every table
def _columns(row_type: type) -> Mapping[str, Column]:
    listed: dict[str, Column] = {}
    for f, hint in typed_fields(row_type):
        if is_dataclass(hint):
            inner = columns(cast("type", hint))
            listed |= {name: replace(c, path=f"{f.name}.{c.path}") for name, c in inner.items()}
        else:
            entry = {key: value for key, value in f.metadata.items() if key != _OPTIONAL}
            listed[f.name] = Column(f.name, hint, entry, f.metadata.get(_OPTIONAL, False))
    return listed


def is_number(column: Column) -> bool:
    """Tell whether the values of a column are numbers."""
    return column.hint in (int, float, int | None, float | None)


def frame_of(rows: Sequence[Any], row_type: type) -> "pd.DataFrame":
    """Put rows into a table in memory.

    Returns
    -------
    DataFrame
        A column for each that `row_type` declares, the optional ones too. Text is as in the
        file, ``n/a`` for ``None``, so that rows can be grouped by it; numbers are 64-bit
        floats, NaN for ``None``.
    """
    import numpy as np
    import pandas as pd

    cells: dict[str, Any] = {}
    for name, declared in columns(row_type).items():
        values = list(map(attrgetter(declared.path), rows))
        if is_number(declared):
            cells[name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        else:
            cells[name] = pd.Series([MISSING if v is None else v for v in values], dtype="str")
    return pd.DataFrame(cells)


def typed_fields(row_type: type) -> list[tuple[Field[Any], Any]]:
    """List the fields of a row type with the types of their values, dataclasses among them."""
    hints = get_type_hints(row_type)
    return [(f, hints[f.name]) for f in fields(row_type)]


def data_dictionary(row_type: type) -> dict[str, dict[str, Any]]:
    """Describe the columns declared by a row type, as the JSON beside a table does."""
    return {name: dict(declared.entry) for name, declared in columns(row_type).items()}
