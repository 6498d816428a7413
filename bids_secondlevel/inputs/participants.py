"""Read files about participants: ``participants.tsv``, exclusions, and a BIDS Stats Model."""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_secondlevel.core.errors import DataError, InputMissingError, UsageError
from bids_secondlevel.core.roi_rule import checked_label
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.maps.files import read_json_object, read_text

_ID = "participant_id"
_MISSING = {"", "n/a", "na", "nan"}


def read_participants(bids_dir: Path) -> ParticipantsTable:
    """Read ``participants.tsv`` of a dataset, and its columns in ``participants.json``.

    Returns
    -------
    ParticipantsTable
        Empty if there is no ``participants.tsv``. Participants have the prefix ``sub-``, also if it
        is missing in the file. Empty cells, ``n/a``, ``NA`` and ``NaN`` are ``None``.

    Raises
    ------
    DataError
        If a file cannot be read, the column ``participant_id`` is missing, or a column or
        participant occurs twice.
    """
    path = bids_dir / "participants.tsv"
    if not path.exists() and not path.is_symlink():
        return ParticipantsTable()
    header, *lines = _read_cells(path)
    names = [name or "" for name in header]
    if _ID not in names:
        raise DataError(
            f"{path}: has no column {_ID}; found {', '.join(names)}. Name the column with the "
            f"labels of participants {_ID}, and separate columns by tabs."
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{path}: has the column {', '.join(repeated)} more than once. Keep one of them."
        )
    values: dict[str, dict[str, str | None]] = {}
    for line in lines:
        cells = dict(zip(names, line, strict=True))
        label = cells.pop(_ID)
        if label is None:
            raise DataError(f"{path}: a row has no {_ID} ({', '.join(filter(None, line))}).")
        # As for captured participants in entries of the config file. A point is kept:
        # without it, the 1.0 of a spreadsheet would be participant 10.
        participant = f"sub-{re.sub('[^0-9A-Za-z+.]', '', label.removeprefix('sub-'))}"
        if participant in values:
            raise DataError(f"{path}: has {participant} more than once. Keep one row.")
        values[participant] = cells
    columns = tuple(name for name in names if name != _ID)
    return ParticipantsTable(columns, values, _with_levels(bids_dir / "participants.json"))


def read_exclusions(path: Path) -> Mapping[str, str]:
    """Read the participants to exclude, given with ``--exclude``.

    Returns
    -------
    mapping of str to str
        Reasons by participant label without ``sub-``; an empty text if the file has no reason.

    Raises
    ------
    UsageError
        If the file cannot be read, a column is missing, or a participant occurs twice.
    """
    where = f"--exclude {path}"
    try:
        file = io.StringIO(read_text(path, may_be_pipe=True), newline="")
        # A quotation mark that is not closed must not swallow the lines below it.
        reader = csv.DictReader(file, delimiter="\t", restval="", quoting=csv.QUOTE_NONE)
        reader.fieldnames = columns = [name.strip() for name in reader.fieldnames or ()]
        rows = [row for row in reader if any(map(_stripped, row.values()))]
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{where}: cannot be read as a table ({error}).") from error
    missing = [name for name in (_ID, "reason") if name not in columns]
    if missing:
        raise UsageError(
            f"{where}: has no column {' and '.join(missing)}; expected a file with the columns "
            "participant_id and reason, separated by a tab."
        )
    exclusions: dict[str, str] = {}
    for row in rows:
        try:
            label = checked_label("exclude", "sub-", _stripped(row[_ID]))
        except UsageError as error:
            raise UsageError(
                f"{where}: participant_id {row[_ID]!r} is not a BIDS label; expected "
                "letters and digits, with or without sub-."
            ) from error
        if label in exclusions:
            raise UsageError(f"{where}: has sub-{label} twice. Keep one row.")
        reason = " ".join(row["reason"].replace(";", ",").split())
        exclusions[label] = "" if reason == "n/a" else reason
    return exclusions


def read_stats_model(path: Path) -> dict[str, Any]:
    """Read the file of a BIDS Stats Model.

    Raises
    ------
    InputMissingError
        If there is no such file.
    DataError
        If it cannot be read, or is not a JSON object.
    """
    if not path.is_file():
        raise InputMissingError(
            f"{path}: this file does not exist; expected a BIDS Stats Model. Check the path given "
            "with --model."
        )
    return read_json_object(path)


def _read_cells(path: Path) -> list[list[str | None]]:
    """Read the lines of a TSV file, including the header, without empty lines."""
    import pandas as pd

    try:
        # A quotation mark that is not closed must not swallow the lines below it.
        table = pd.read_csv(
            io.StringIO(read_text(path)),
            sep="\t",
            header=None,
            dtype=str,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
        )
    except (OSError, ValueError) as error:
        hint = " Fetch its content (datalad get)." if path.is_symlink() else ""
        raise DataError(
            f"{path}: cannot be read as a table ({str(error).strip()}); expected UTF-8 text with "
            f"columns separated by tabs and their names in the first line.{hint}"
        ) from error
    lines = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return [line for line in lines if any(line)]


def _cell(value: object) -> str | None:
    text = _stripped(value)
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"').strip()
    return None if text.casefold() in _MISSING else text


def _stripped(value: object) -> str:
    """Return a cell without spaces around it; ``None`` means that the line is too short."""
    return value.strip() if isinstance(value, str) else ""


def _with_levels(path: Path) -> frozenset[str]:
    """List the columns with ``Levels`` in a data dictionary."""
    if not path.exists() and not path.is_symlink():
        return frozenset()
    described = read_json_object(path)
    return frozenset(
        name for name, entry in described.items() if isinstance(entry, dict) and entry.get("Levels")
    )
