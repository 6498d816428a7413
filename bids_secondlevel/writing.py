"""Write files whole or not at all, and tables with their data dictionaries; read them back."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from bids_secondlevel.errors import DataError, OutputError
from bids_secondlevel.measures import columns

MISSING = "n/a"

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
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            beside.chmod(0o666 & ~_umask())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}). Check that the output "
            "folder exists or can be made, is writable, and has space left."
        ) from error


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
    write_atomically(
        path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )


def write_table(
    path: Path,
    rows: Sequence[Any],
    row_type: type,
    metadata: Mapping[str, Any],
    entities: Mapping[str, str] | None = None,
) -> None:
    """Write rows as a TSV file with its JSON data dictionary.

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

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    declared = {
        name: c
        for name, c in columns(row_type).items()
        if not c.is_optional or any(attrgetter(c.path)(row) is not None for row in rows)
    }
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(declared)
    values_of = attrgetter(*(declared_column.path for declared_column in declared.values()))
    for row in rows:
        writer.writerow([MISSING if value is None else str(value) for value in values_of(row)])
    dictionary = {name: dict(c.entry) for name, c in declared.items()}
    columns_of_name = {k: v for k, v in (entities or {}).items() if k in dictionary}
    described = {name: dictionary[name] for name in columns_of_name}
    sidecar = {**dictionary, **columns_of_name, **metadata}
    if described:
        sidecar["EntityColumns"] = described
    write_json(path.with_suffix(".json"), sidecar)
    write_atomically(path, text.getvalue().encode())


def read_table(path: Path, row_type: type[Row]) -> list[Row]:
    """Read a table written by :func:`write_table`.

    Raises
    ------
    DataError
        If it cannot be read or is not such a table.
    """
    declared = columns(row_type)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t")
            there = reader.fieldnames or ()
            missing = [n for n, c in declared.items() if n not in there and not c.is_optional]
            if missing:
                raise DataError(
                    f"{path}: has no column {', '.join(missing)}; expected the table that the "
                    "participant level writes. Run the participant level again."
                )
            named = [name for name in declared if name in there]
            within = {name: declared[name].path.rpartition(".")[0] for name in named}
            own = [name for name in named if not within[name]]
            hints: dict[str, Any] = get_type_hints(row_type) if len(own) < len(named) else {}
            parts = [
                (part, hints[part], [name for name in named if within[name] == part])
                for part in dict.fromkeys(within.values())
                if part
            ]
            lines = list(reader)
            read = {n: _column(n, [r[n] for r in lines], declared[n].hint) for n in named}
            return [
                row_type(
                    **{name: read[name][i] for name in own},
                    **{part: kind(**{n: read[n][i] for n in names}) for part, kind, names in parts},
                )
                for i in range(len(lines))
            ]
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
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{sidecar}: cannot be read ({error}). Run the participant level again."
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{sidecar}: expected a JSON object. Run the participant level again.")
    return content


def _umask() -> int:
    """Read the process' umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _column(name: str, texts: Sequence[str], hint: Any) -> list[Any]:
    if get_origin(hint) is Literal and set(texts) - {*get_args(hint)}:
        odd = ", ".join(sorted(repr(text) for text in set(texts) - {*get_args(hint)}))
        raise ValueError(f"column {name} holds {odd}, which is none of its values")
    kind: Any = next((kind for kind in (int, float) if hint in (kind, kind | None)), None)
    if kind is None:
        return [None if text == MISSING else text for text in texts]
    return [None if text == MISSING else kind(text) for text in texts]
