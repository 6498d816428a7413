"""Read what is known about the participants: ``participants.tsv`` and ``participants.json``."""

import csv
import io
from pathlib import Path

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.maps.plain_files import read_bytes, read_json_object

_ID = "participant_id"
_MISSING = {"", "n/a", "na", "nan"}


def read_participants(bids_dir: Path) -> ParticipantsTable:
    """Read ``participants.tsv`` of a dataset, and what ``participants.json`` says of its columns.

    Parameters
    ----------
    bids_dir : Path

    Returns
    -------
    ParticipantsTable
        Empty where there is no ``participants.tsv``. Participants have the prefix ``sub-``, which
        the file may lack. Empty cells, ``n/a``, ``NA`` and ``NaN`` are ``None``.

    Raises
    ------
    DataError
        If a file cannot be read, there is no column ``participant_id``, or a column or a
        participant is there twice.
    """
    path = bids_dir / "participants.tsv"
    if not path.exists() and not path.is_symlink():
        return ParticipantsTable()
    header, *lines = _read_cells(path)
    names = [name or "" for name in header]
    if _ID not in names:
        raise DataError(
            f"{path}: has no column {_ID}; found {', '.join(names)}. Name the column of the "
            f"participants' labels {_ID}, and separate columns by tabs."
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{path}: has the column {', '.join(repeated)} more than once.")
    values: dict[str, dict[str, str | None]] = {}
    for line in lines:
        cells = dict(zip(names, line, strict=True))
        label = cells.pop(_ID)
        if label is None:
            raise DataError(f"{path}: a row has no {_ID} ({', '.join(filter(None, line))}).")
        participant = f"sub-{label.removeprefix('sub-')}"
        if participant in values:
            raise DataError(f"{path}: {participant} is there more than once; keep one row.")
        values[participant] = cells
    columns = tuple(name for name in names if name != _ID)
    return ParticipantsTable(columns, values, _with_levels(bids_dir / "participants.json"))


def _read_cells(path: Path) -> list[list[str | None]]:
    """Read the lines of a TSV file that are not empty, the header among them."""
    import pandas as pd

    try:
        # A quotation mark that is not closed must not swallow the lines below it.
        table = pd.read_csv(
            io.BytesIO(read_bytes(path)),
            sep="\t",
            header=None,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            quoting=csv.QUOTE_NONE,
        )
    except (OSError, ValueError) as error:
        hint = " Fetch its content (datalad get)." if path.is_symlink() else ""
        raise DataError(
            f"{path}: cannot be read as a table ({str(error).strip()}); expected UTF-8 text with "
            f"columns separated by tabs, the first line naming them.{hint}"
        ) from error
    lines = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return [line for line in lines if any(line)]


def _cell(value: object) -> str | None:
    text = value.strip() if isinstance(value, str) else ""  # a line that ends early
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"').strip()
    return None if text.casefold() in _MISSING else text


def _with_levels(path: Path) -> frozenset[str]:
    """Name the columns that a data dictionary gives ``Levels``."""
    if not path.exists() and not path.is_symlink():
        return frozenset()
    described = read_json_object(path)
    return frozenset(
        name for name, entry in described.items() if isinstance(entry, dict) and entry.get("Levels")
    )
