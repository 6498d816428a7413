"""Read back the estimates of single runs that the participant level has written."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.rows import rows_of
from bids_secondlevel.outputs.names import RUNS, table_beside
from bids_secondlevel.outputs.tables import read_sidecar, read_table
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.runs import RUN_COLUMNS, RunRow

LOG = logging.getLogger("bids_secondlevel")


def read_runs(found: Mapping[str, Sequence[Path]], rows: Iterable[EstimateRow]) -> list[RunRow]:
    """Read the runs of every participant; one whose runs cannot be used has none.

    Parameters
    ----------
    found : mapping of str to sequence of Path
        Each participant's tables of estimates, by label. The tables of runs lie beside them.
    rows : iterable of EstimateRow
        What was read from them; they tell of which estimates there should be runs.

    Returns
    -------
    list of RunRow
        Why a participant has none is told in a warning: all but the reliability over runs can
        be had without.
    """
    combined: dict[str, set[tuple[str | None, ...]]] = {label: set() for label in found}
    for row in rows:
        if row.n_runs is not None and row.n_runs > 1:
            combined[row.participant_id.removeprefix("sub-")].add(row.key)
    every: list[RunRow] = []
    for label, paths in found.items():
        try:
            beside = [table_beside(path, RUNS) for path in paths]
            every += _runs_of_participant(label, beside, combined[label])
        except DataError as error:
            LOG.warning("sub-%s: not in the reliability over runs: %s", label, error)
    return every


def _runs_of_participant(
    label: str, paths: Sequence[Path], combined: set[tuple[str | None, ...]]
) -> list[RunRow]:
    """Join the tables of one participant.

    Raises
    ------
    DataError
        If one cannot be read, they contradict each other, or runs of `combined` are missing.
    """
    merged: dict[tuple[str | int | None, ...], RunRow] = {}
    for path in paths:
        for run in _read(path) if path.exists() else ():
            if run.participant_id != f"sub-{label}":
                raise DataError(f"{path}: has rows of other participants than sub-{label}.")
            if merged.setdefault((*run.key, run.run), run) != run:
                raise DataError(
                    f"{path}: has other numbers than another table for the same run "
                    f"({', '.join(str(part) for part in (*run.key, run.run))}). Delete the "
                    "outdated one."
                )
    lacking = combined - {run.key for run in merged.values()}
    if lacking:
        named = ", ".join(str(path) for path in paths)
        raise DataError(
            f"{named}: not there, or without the runs of {len(lacking)} estimates that were "
            "combined from several. Run the participant level again."
        )
    return list(merged.values())


def _read(path: Path) -> list[RunRow]:
    rows: list[RunRow] = rows_of(read_table(path, RUN_COLUMNS), RunRow)
    expected = read_sidecar(path).get("RowCount")
    if len(rows) != expected:
        raise DataError(
            f"{path}: has {len(rows)} rows, and {expected} by its sidecar. Run the participant "
            "level again."
        )
    return rows
