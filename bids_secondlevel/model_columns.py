"""The columns that models name, from the table of estimates and from ``participants.tsv``."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np

from bids_secondlevel.errors import DataError
from bids_secondlevel.measures import KEY, EstimateRow
from bids_secondlevel.model import Array, ParticipantsTable

_CATEGORICAL = (*KEY, "status", "independence")
ESTIMATE_COLUMNS = tuple(field.name for field in fields(EstimateRow))


def check_some_left(where: str, rows: Sequence[EstimateRow]) -> None:
    """Refuse to fit a model to nothing.

    Raises
    ------
    DataError
        If no row has a number.
    """
    if not any(row.estimate is not None for row in rows):
        raise DataError(
            f"{where}: no estimate is left that is not circular. Circular estimates are "
            "not tested; measure another task, or use --cross-validate at participant level."
        )


def read_column(name: str, rows: Sequence[EstimateRow], participants: ParticipantsTable) -> Array:
    """Give a column for each row: numbers with NaN for n/a, or labels with ``None``."""
    if name in ESTIMATE_COLUMNS:
        values = [getattr(row, name) for row in rows]
        if name in _CATEGORICAL:
            return np.array([v if v is None else str(v) for v in values], dtype=object)
        return np.array(values, dtype=np.float64)
    texts = [participants.values.get(row.participant_id, {}).get(name) for row in rows]
    if name in participants.categorical:
        return np.array(texts, dtype=object)
    try:
        return np.array([np.nan if text is None else float(text) for text in texts])
    except ValueError:
        return np.array(texts, dtype=object)


def is_missing(values: Array) -> Array:
    """Tell where a column is n/a."""
    if values.dtype == object:
        return np.array([value is None for value in values], dtype=bool)
    return ~np.isfinite(values)


def check_columns(
    where: str,
    rows: Sequence[EstimateRow],
    values: Mapping[str, Array],
    participants: ParticipantsTable,
) -> None:
    """Refuse columns that cannot explain anything.

    Parameters
    ----------
    where : str
        What messages call the model.
    rows : sequence of EstimateRow
    values : mapping of str to (n_rows,) array
        Columns by name.
    participants : ParticipantsTable

    Raises
    ------
    DataError
        If a column has one value only, or none for more than half of the participants.
    """
    has_number = np.array([row.estimate is not None for row in rows])
    names = np.array([row.participant_id for row in rows])
    complete = has_number.copy()
    for column in values.values():
        complete &= ~is_missing(column)
    for name, column in values.items():
        table = "the table of estimates" if name in ESTIMATE_COLUMNS else participants.path
        everyone = set(names[has_number])
        without = everyone - set(names[has_number & ~is_missing(column)])
        if len(without) > len(everyone) / 2:
            raise DataError(
                f"{where}: column {name} of {table} is n/a for {len(without)} of "
                f"{len(everyone)} participants with estimates ({', '.join(sorted(without)[:10])}"
                f"{', ...' if len(without) > 10 else ''}). Fill it in, or leave it out."
            )
        found = set(column[complete])
        if len(found) == 1:
            raise DataError(
                f"{where}: column {name} of {table} has the same value everywhere "
                f"({found.pop()}), so that it explains nothing. Leave it out."
            )
    if not complete.any():
        raise DataError(f"{where}: no participant has values in all of its columns.")


def why_left_out(row: EstimateRow, position: int, missing: Mapping[str, Array]) -> str | None:
    """Say why a row is in no fit, if it is not: its status, or the columns that are n/a."""
    if row.estimate is None:
        return row.status
    lacking = [name for name, is_missing in missing.items() if is_missing[position]]
    return f"{' and '.join(lacking)} n/a" if lacking else None
