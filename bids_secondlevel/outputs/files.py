"""Write files whole or not at all, and tables with their data dictionaries; read them back."""

import csv
import hashlib
import io
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import Field, is_dataclass
from functools import cache
from itertools import repeat
from math import isfinite
from operator import attrgetter
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_args

from bids_secondlevel.core.errors import DataError, OutputError
from bids_secondlevel.core.rows import MISSING, columns, typed_fields
from bids_secondlevel.maps.files import read_text

_BESIDE, _UNFINISHED = ".bids_secondlevel-", ".part"
"""How the names of files begin and end that are being written. They do not depend on the name of
the file, which may have the greatest length that a file system takes."""

_ABANDONED = 3600
"""Age in seconds at which a file that is being written is taken for that of a killed process.
Writing one takes seconds; the clocks of computers that share a disk may differ by minutes."""

_WRITTEN: ContextVar[dict[Path, str] | None] = ContextVar("written", default=None)

Row = TypeVar("Row")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, then rename it; leave one that is the same untouched.

    A process that is killed leaves the file whole or as it was. It is not forced to the disk
    (fsync), which took a fifth of the time of a participant: after a loss of power a file may be
    cut short, which the record of the run tells by its size, so that the participant is redone.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        if not _holds(path, content):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.parent / f"{_BESIDE}{secrets.token_hex(8)}{_UNFINISHED}"
            try:
                with beside.open("xb") as file:
                    file.write(content)
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}). Check that the output "
            "folder exists or can be made, is writable, and has space left."
        ) from error
    written = _WRITTEN.get()
    if written is not None:
        written[path] = hashlib.sha256(content).hexdigest()


@contextmanager
def what_is_written() -> Iterator[Mapping[Path, str]]:
    """Collect what is written within.

    Yields
    ------
    mapping of Path to str
        SHA-256 of what each file was given, which another process may have replaced since.
    """
    written: dict[Path, str] = {}
    token = _WRITTEN.set(written)
    try:
        yield written
    finally:
        _WRITTEN.reset(token)


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove what processes that were killed while they wrote have left in folders.

    Files that are younger than an hour are left alone, as another job may be writing them. That
    one cannot be removed is no failure: it is in nobody's way.
    """
    before = time.time() - _ABANDONED
    for folder in folders:
        for path in folder.glob(f"{_BESIDE}*{_UNFINISHED}"):
            with suppress(OSError):
                if path.lstat().st_mtime < before:
                    path.unlink()


def remove_outdated(files: Mapping[Path, bytes]) -> None:
    """Remove the files of a table if one of them will change.

    Nobody shall find the table of an earlier run beside the sidecar of this one.

    Raises
    ------
    OutputError
        If one cannot be removed.
    """
    if not all(_holds(path, content) for path, content in files.items()):
        remove_files(reversed(list(files)))  # the table itself first


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files that an earlier run has left.

    Raises
    ------
    OutputError
        If one cannot be removed.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be removed ({error.strerror or error}).") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_atomically(path, _json(content))


def write_table(
    path: Path,
    rows: Sequence[Any],
    row_type: type,
    metadata: Mapping[str, Any],
    entities: Mapping[str, str] | None = None,
) -> None:
    """Write rows as a TSV file with its JSON data dictionary; see :func:`encode_table`.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    write_files(encode_table(path, rows, row_type, metadata, entities))


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write the files of a table, in their order.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    remove_outdated(files)
    for path, content in files.items():
        write_atomically(path, content)


def encode_table(
    path: Path,
    rows: Sequence[Any],
    row_type: type,
    metadata: Mapping[str, Any],
    entities: Mapping[str, str] | None = None,
) -> dict[Path, bytes]:
    """Encode rows as a TSV file with its JSON data dictionary.

    Parameters
    ----------
    path : Path
        Of the ``.tsv``; the ``.json`` lies beside it.
    rows : sequence of `row_type`
    row_type : type
        Dataclass that declares the columns.
    metadata : mapping
        What else the sidecar says.
    entities : mapping of str to str, optional
        Columns that are also entities of the file's name. pybids refuses a whole dataset in
        which the sidecar has another value for such a key than the name, so their description
        stands under ``EntityColumns``.

    Returns
    -------
    dict of Path to bytes
        The data dictionary, then the table, which stands for both.
    """
    declared = {
        name: c
        for name, c in columns(row_type).items()
        if not c.is_optional or any(attrgetter(c.path)(row) is not None for row in rows)
    }
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(declared)
    writer.writerows(zip(*(_cells(rows, column.path) for column in declared.values()), strict=True))
    dictionary = {name: dict(c.entry) for name, c in declared.items()}
    columns_of_name = {k: v for k, v in (entities or {}).items() if k in dictionary}
    described = {name: dictionary[name] for name in columns_of_name}
    sidecar = {**dictionary, **columns_of_name, **metadata}
    if described:
        sidecar["EntityColumns"] = described
    return {path.with_suffix(".json"): _json(sidecar), path: text.getvalue().encode()}


def read_table(path: Path, row_type: type[Row]) -> list[Row]:
    """Read a table written by :func:`write_table`.

    Raises
    ------
    DataError
        If it cannot be read or is not such a table.
    """
    declared = columns(row_type)
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter="\t")
        there = next(reader, [])
        missing = [n for n, c in declared.items() if n not in there and not c.is_optional]
        if missing:
            raise DataError(
                f"{path}: has no column {', '.join(missing)}; expected the table that the "
                "participant level writes. Run the participant level again."
            )
        if len(set(there)) < len(there):
            raise ValueError("two columns have the same name")
        lines = [line for line in reader if line]
        if set(map(len, lines)) - {len(there)}:
            raise ValueError(f"a line has not the {len(there)} cells of the header")
        cells = dict(zip(there, zip(*lines, strict=True), strict=False))
        return _rows(row_type, cells, len(lines))
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as a table of estimates ({error}). Run the participant "
            "level again."
        ) from error


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """Read the JSON beside a table of ours.

    Raises
    ------
    DataError
        If it is missing or broken.
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
    raise ValueError(f"{name} is no number of JSON")


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.is_file() and path.read_bytes() == content
    except OSError:  # removed or replaced just now, or not to be read
        return False


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(
        errors="backslashreplace"  # of names of files that are no Unicode
    )


def _rows(row_type: type, cells: Mapping[str, Sequence[str]], n_rows: int) -> list[Any]:
    """Make rows of a table's columns, field by field; a column that is not there has defaults."""
    values: list[Iterable[Any]] = []
    for field, kind, levels in _fields_of(row_type):
        if is_dataclass(kind):
            values.append(_rows(cast("type", kind), cells, n_rows))
        elif field.name in cells:
            values.append(_column(field.name, cells[field.name], kind, levels))
        else:
            values.append(repeat(field.default, n_rows))
    return list(map(row_type, *values))


@cache  # asked for every table, and Python takes a millisecond for the types
def _fields_of(row_type: type) -> list[tuple[Field[Any], Any, frozenset[str]]]:
    """List the fields of rows: what reads their values, and which values there may be, if few."""
    listed = []
    for field, hint in typed_fields(row_type):
        kind: Any = hint if is_dataclass(hint) else sys.intern  # tables share memory of texts
        for number in (int, float):
            kind = number if hint in (number, number | None) else kind
        levels = frozenset(field.metadata.get("Levels", ()))
        if levels and NoneType in get_args(hint):
            levels |= {MISSING}
        listed.append((field, kind, levels))
    return listed


def _column(
    name: str, cells: Sequence[str], kind: Callable[[str], Any], levels: frozenset[str]
) -> list[Any]:
    if levels and not levels.issuperset(cells):
        odd = ", ".join(sorted(repr(cell) for cell in set(cells) - levels))
        raise ValueError(f"column {name} holds {odd}, which is none of its values")
    there = [cell for cell in cells if cell != MISSING] if MISSING in cells else cells
    values = list(map(kind, there))
    if kind is not sys.intern and not (_are_plain(there) and all(map(isfinite, values))):
        raise ValueError(f"column {name} holds what is no finite number")
    if len(there) == len(cells):
        return values
    given = iter(values)
    return [None if cell == MISSING else next(given) for cell in cells]


def _are_plain(cells: Iterable[str]) -> bool:
    """Tell whether numbers are written as this program does: not as Python or Unicode have them."""
    text = "".join(cells)
    return text.isascii() and "_" not in text and " " not in text


def _cells(rows: Sequence[Any], attribute: str) -> list[object]:
    """Give the cells of a column; line ends are those that the writer puts in quotation marks."""
    values = list(map(attrgetter(attribute), rows))
    if any(type(value) is str and "\r" in value for value in set(values)):
        values = [re.sub("\r\n?", "\n", v) if isinstance(v, str) else v for v in values]
    return [MISSING if value is None else value for value in values]
