"""Write tables (TSV) with their data dictionaries (JSON), and read them back.

In memory they are data frames as :mod:`~bids_secondlevel.core.rows` describes them.
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.rows import MISSING, Column, Schema
from bids_secondlevel.core.values import Array
from bids_secondlevel.maps.files import read_text
from bids_secondlevel.outputs.files import json_bytes, replace_files

if TYPE_CHECKING:
    import pandas as pd

_CHARACTERS = {int: b"-0123456789", float: b"-+.0123456789e"}
"""Characters of numbers; Python and pandas would accept many other texts as numbers."""


def write_table(
    path: Path,
    table: "pd.DataFrame",
    schema: Schema,
    metadata: Mapping[str, Any],
    entities: Mapping[str, str] | None = None,
) -> None:
    """Write a TSV file with its JSON data dictionary; see :func:`encode_table`.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    replace_files((), encode_table(path, table, schema, metadata, entities))


def encode_table(
    path: Path,
    table: "pd.DataFrame",
    schema: Schema,
    metadata: Mapping[str, Any],
    entities: Mapping[str, str] | None = None,
) -> dict[Path, bytes]:
    """Encode a TSV file with its JSON data dictionary.

    Parameters
    ----------
    path
        Path of the ``.tsv``; the ``.json`` is written beside it.
    table : DataFrame
        Columns that are not in `schema` are not written.
    metadata
        Other content of the sidecar.
    entities
        Columns that are also entities of the file name. Their descriptions are under
        ``EntityColumns``, because pybids refuses a dataset if sidecar and name have different
        values for a key.

    Returns
    -------
    dict of Path to bytes
        The data dictionary, then the table, which marks both as complete.
    """
    there = {n: c for n, c in schema.items() if not c.is_optional or _has_values(table[n])}
    columns = [_written(table[name], declared) for name, declared in there.items()]
    lines = map("\t".join, [list(there), *zip(*columns, strict=True)])
    tsv = "\n".join(lines) + "\n"
    dictionary = {name: declared.entry for name, declared in there.items()}
    of_name = {k: v for k, v in (entities or {}).items() if k in dictionary}
    sidecar = {**dictionary, **of_name, **metadata}
    if of_name:
        sidecar["EntityColumns"] = {name: dictionary[name] for name in of_name}
    return {path.with_suffix(".json"): json_bytes(sidecar), path: tsv.encode()}


def _written(cells: "pd.Series[Any]", declared: Column) -> list[str]:
    """Write the cells of a column; each value once, as most are there many times."""
    import pandas as pd

    places, values = pd.factorize(cells)
    if declared.is_number:
        texts = [repr(declared.kind(value)) for value in values.tolist()]
    else:
        texts = [_quoted(re.sub("\r\n?", "\n", text)) for text in values.tolist()]
    written: list[str] = np.array([*texts, MISSING], dtype=object)[places].tolist()
    return written


def _quoted(text: str) -> str:
    """Put a text into quotation marks if it needs them, as pandas does and reads."""
    needs_them = not text or re.search('["\t\n]', text)
    return '"' + text.replace('"', '""') + '"' if needs_them else text


def _has_values(cells: "pd.Series[Any]") -> bool:
    return bool((cells.notna() & (cells != MISSING)).any())


def read_table(path: Path, schema: Schema) -> "pd.DataFrame":
    """Read a table written by :func:`write_table`.

    Returns
    -------
    DataFrame
        With all columns of `schema`; optional ones may have no value.

    Raises
    ------
    DataError
        If the file cannot be read or is not such a table.
    """
    return _parse(path, table_text(path), schema)


def table_text(path: Path) -> str:
    """Read the text of a table, for :func:`parse_tables`.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return read_text(path)
    except (OSError, ValueError) as error:
        raise _no_table(path, error) from error


def parse_tables(
    texts: Mapping[Path, str], schema: Schema
) -> tuple["pd.DataFrame", dict[Path, DataError]]:
    """Parse many tables into one.

    Returns
    -------
    table : DataFrame
        Its index is the position of each row's table in `texts`.
    unreadable : dict of Path to DataError
        Files that are not such tables, and the reasons.
    """
    import pandas as pd

    together = _parse_together(list(texts.values()), schema)
    if together is not None:
        return together, {}
    tables: dict[int, pd.DataFrame] = {}
    unreadable: dict[Path, DataError] = {}
    for number, (path, text) in enumerate(texts.items()):
        try:
            tables[number] = _parse(path, text, schema)
        except DataError as error:
            unreadable[path] = error
    if not tables:
        return _typed(pd.DataFrame(columns=list(schema), dtype="str"), schema), unreadable
    return pd.concat(tables).droplevel(1), unreadable


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """Read the JSON file of a table of this program.

    Raises
    ------
    DataError
        If it is missing or damaged.
    """
    sidecar = path.with_suffix(".json")
    try:
        content = json.loads(read_text(sidecar), parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{sidecar}: cannot be read ({error}). Run the participant level again."
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{sidecar}: expected a JSON object. Run the participant level again.")
    return content


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _no_table(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: cannot be read as a table of estimates ({error}). Run the participant level "
        "again."
    )


def _parse(path: Path, text: str, schema: Schema) -> "pd.DataFrame":
    try:
        cells = _cells(text)
        missing = [n for n, c in schema.items() if n not in cells.columns and not c.is_optional]
        if missing:
            raise DataError(
                f"{path}: has no column {', '.join(missing)}; expected the table that the "
                "participant level writes. Run the participant level again."
            )
        return _typed(cells, schema)
    except ValueError as error:
        raise _no_table(path, error) from error


def _parse_together(texts: Sequence[str], schema: Schema) -> "pd.DataFrame | None":
    """Parse many tables at once, ten times faster; ``None`` if any of them is unusual.

    Without quotation marks each line is a row, so the file of a row is known.
    """
    header = texts[0].partition("\n")[0] + "\n" if texts else ""
    if not all(text.startswith(header) and text.endswith("\n") for text in texts):
        return None
    n_rows = [text.count("\n") - 1 for text in texts]
    joined = header + "".join(text.removeprefix(header) for text in texts)
    try:
        table = _typed(_cells(joined), schema)
    except (ValueError, KeyError):
        return None
    if '"' in joined or len(table) != sum(n_rows):
        return None
    return table.set_axis(np.repeat(np.arange(len(texts)), n_rows), axis="index")


def _cells(text: str) -> "pd.DataFrame":
    """Split a table into cells; short lines are filled with empty text."""
    import pandas as pd

    # In one piece, in which pandas has each text of a column in memory once.
    lines = pd.read_csv(
        io.BytesIO(text.encode()),
        sep="\t",
        header=None,
        dtype=object,
        na_filter=False,
        low_memory=False,
    )
    names = lines.iloc[0].tolist()
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    return lines.iloc[1:].set_axis(names, axis="columns").reset_index(drop=True)


def _typed(cells: "pd.DataFrame", schema: Schema) -> "pd.DataFrame":
    """Convert each column to its type, and check its values."""
    import pandas as pd

    absent = {name: MISSING for name, declared in schema.items() if declared.is_optional}
    cells = cells.assign(**{k: v for k, v in absent.items() if k not in cells.columns})
    return pd.DataFrame(
        {
            name: _numbers(name, cells[name], declared)
            if declared.is_number
            else _texts(name, cells[name], declared)
            for name, declared in schema.items()
        }
    )


def _texts(name: str, cells: "pd.Series[Any]", declared: Column) -> "pd.Series[str]":
    levels = {*(declared.levels or ()), *([MISSING] if declared.may_be_missing else ())}
    there = set(cells.unique())
    if declared.is_list:
        there = {level for value in there for level in value.split(";")}
    odd = sorted(map(repr, there - levels)) if declared.levels else []
    if odd:
        raise ValueError(f"column {name} has the value {', '.join(odd)}, which is not allowed")
    return cells.astype("str")


def _numbers(name: str, cells: "pd.Series[Any]", declared: Column) -> Array:
    """Convert texts to numbers; each once, as most are there many times."""
    import pandas as pd

    places, texts = pd.factorize(cells.to_numpy(dtype=object))
    is_there = texts != MISSING
    there = texts[is_there]
    values = np.full(len(texts), np.nan)
    if there.all() and not "".join(there).encode().translate(None, _CHARACTERS[declared.kind]):
        values[is_there] = there.astype(np.float64)
    if not np.isfinite(values[is_there]).all():
        raise ValueError(f"column {name} has a value that is not a finite number")
    return values[places]
