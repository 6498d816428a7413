"""Gather the participants' tables into one complete table of the group."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import DataError, NothingSelectedError
from bids_secondlevel.core.rows import KEY, rows_of
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import Status
from bids_secondlevel.maps.files import read_bytes
from bids_secondlevel.outputs.names import QUALITY, SWEEP, table_beside
from bids_secondlevel.outputs.tables import read_sidecar, read_table
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS, Cell, EstimateRow
from bids_secondlevel.rois.quality import QUALITY_COLUMNS, QualityRow
from bids_secondlevel.rois.sweep import SWEEP_COLUMNS, SweepRow

AnyRow = TypeVar("AnyRow", EstimateRow, QualityRow, SweepRow)

LOG = logging.getLogger("bids_secondlevel")


@dataclass(frozen=True)
class Table:
    """A table written by the participant level, and how its ROIs were defined."""

    path: Path
    rows: Sequence[EstimateRow]
    definition: Definition
    quality: Sequence[QualityRow]


def read_tables(
    found: Mapping[str, Sequence[Path]],
) -> tuple[dict[str, list[Table]], list[str]]:
    """Read the participants' tables; one that cannot be read costs only its participant.

    Returns
    -------
    tables : dict
        Tables of each participant, by label.
    unreadable : list of str
        Participants with a table that cannot be used.
    """
    tables: dict[str, list[Table]] = {}
    unreadable: list[str] = []
    for label, paths in found.items():
        try:
            tables[label] = [_read_table(path) for path in paths]
        except DataError as error:
            LOG.error("sub-%s: %s", label, error)
            unreadable.append(label)
    return tables, unreadable


def read_sweeps(tables: Mapping[str, Sequence[Table]], settings: Settings) -> list[SweepRow]:
    """Read the participants' estimates under other limits; one that cannot be read is told of.

    Returns
    -------
    list of SweepRow
        What the settings ask for, each row once.
    """
    rows: dict[SweepRow, None] = {}
    for label, of_label in tables.items():
        for table in of_label:
            path = table_beside(table.path, SWEEP)
            try:
                read = rows_of(read_table(path, SWEEP_COLUMNS), SweepRow) if path.exists() else []
            except DataError as error:
                LOG.warning("sub-%s: not in the sweep: %s", label, error)
                continue
            rows |= dict.fromkeys(wanted(read, settings))
    return list(rows)


def common_definition(tables: Sequence[Table]) -> Definition:
    """Check that all ROIs were defined in the same way, and say how.

    Raises
    ------
    DataError
        If two tables were made with different settings.
    """
    if not tables:
        raise DataError("None of the participants' tables can be read; see the messages above.")
    first: dict[str, tuple[Any, Path]] = {}
    for table in tables:
        for name, value in table.definition.decisive().items():
            known, path = first.setdefault(name, (value, table.path))
            if value != known:
                raise DataError(
                    f"ROIs were defined or measured differently: {name} is {known} in the "
                    f"sidecar of {path}, and {value} in that of {table.path}. Run the "
                    "participant level with the same settings for all, or into another folder."
                )
    definitions = [table.definition for table in tables]
    return replace(
        definitions[0],
        rois=tuple({roi.name: roi for of in definitions for roi in of.rois}.values()),
        sources=tuple(sorted({source for of in definitions for source in of.sources})),
        maps_are=" and ".join(sorted({of.maps_are for of in definitions})),
        resampling=tuple(sorted({how for of in definitions for how in of.resampling})),
        spheres=(),
    )


def check_labels(tables: Mapping[str, Sequence[Table]], settings: Settings) -> None:
    """Check that there is something of every label that was given.

    Raises
    ------
    NothingSelectedError
        If a session, task, contrast, ROI or space is in no table.
    """
    rows = [row for of_label in tables.values() for table in of_label for row in table.rows]
    for option, name, given in (
        ("--session-label", "session", settings.session_label),
        ("--task-label", "task", settings.task_label),
        ("--contrasts", "contrast", settings.contrasts),
        ("--roi-contrasts", "roi", settings.roi_contrasts),
        ("--space", "space", (settings.space,) if settings.space else ()),
    ):
        there = sorted({getattr(row, name) or "n/a" for row in rows}) if given else []
        folded = {label.casefold() for label in there}
        missing = [label for label in given if label.casefold() not in folded]
        if missing:
            raise NothingSelectedError(
                f"{option}: the participants' tables have no {name} {', '.join(missing)}; there "
                f"are: {', '.join(there)}."
            )


def merge_rows(tables: Sequence[Table], settings: Settings) -> dict[Cell, EstimateRow]:
    """Join the tables of one participant, and keep what the settings ask for.

    Raises
    ------
    DataError
        If two tables (of jobs per session, and of a job for all) have different numbers for the
        same cell.
    """
    merged: dict[Cell, EstimateRow] = {}
    for table in tables:
        for row in wanted(table.rows, settings):
            first = merged.setdefault(row.cell, row)
            if first is not row and first != row:
                origin = next(other.path for other in tables if first in other.rows)
                raise DataError(
                    f"{origin} and {table.path} have different numbers for the same estimate "
                    f"({', '.join(str(part) for part in row.cell)}). Delete the outdated one."
                )
    return merged


def complete_grid(
    measured: Mapping[str, Mapping[Cell, EstimateRow]],
    absent: Mapping[str, Status],
) -> list[EstimateRow]:
    """Give every participant a row for everything that was measured in any of them.

    Parameters
    ----------
    measured : mapping
        Rows of each participant by cell, by label.
    absent : mapping of str to Status
        Participants without rows of their own, by label, and why they have none.

    Returns
    -------
    list of EstimateRow
        Sorted by participant, then in the order of the participants' tables.
    """
    templates: dict[Cell, EstimateRow] = {}
    for rows in measured.values():
        for cell, row in rows.items():
            templates.setdefault(cell, row)
    cells = sorted(templates, key=lambda cell: tuple(part or "" for part in cell))
    gaps: dict[str, Status] = {**dict.fromkeys(measured, "missing_map"), **absent}
    return [
        measured.get(label, {}).get(cell) or _placeholder(templates[cell], label, gaps[label])
        for label in sorted(gaps)
        for cell in cells
    ]


def screen(rows: Iterable[EstimateRow], settings: Settings) -> list[EstimateRow]:
    """Take the number from estimates of ROIs that are too small or too little covered.

    Parameters
    ----------
    rows : iterable of EstimateRow
    settings : Settings
        ``--min-vertices`` and ``--min-coverage``; what equals them is kept.

    Returns
    -------
    list of EstimateRow
        All rows; the status of those that are left out says why.
    """
    return [_screened(row, settings) for row in rows]


def _screened(row: EstimateRow, settings: Settings) -> EstimateRow:
    if row.estimate is None:
        return row
    status: Status = "ok"
    if row.n_vertices is not None and row.n_vertices < settings.rule.min_vertices:
        status = "below_min_vertices"
    elif row.coverage is not None and row.coverage < settings.min_coverage:
        status = "below_min_coverage"
    if status == "ok":
        return row
    return replace(row, estimate=None, sd=None, median=None, status=status)


def _read_table(path: Path) -> Table:
    """Read a table with what belongs to it, all of the same run of the participant level.

    That level removes a table first and writes it last. So what lies beside it belongs to it as
    long as it stays the same.
    """
    before = _as_it_is(path)
    table = _read_at_once(path)
    if _as_it_is(path) != before:
        raise DataError(
            f"{path}: is being written by the participant level just now. Run the group level "
            "again when that has ended."
        )
    return table


def _as_it_is(path: Path) -> tuple[bytes, ...]:
    try:
        return read_bytes(path), read_bytes(path.with_suffix(".json"))
    except OSError:  # explained where it is read
        return ()


def _read_at_once(path: Path) -> Table:
    sidecar = read_sidecar(path)
    definition = Definition.from_sidecar(sidecar, path.with_suffix(".json"))
    rows = rows_of(read_table(path, ESTIMATE_COLUMNS), EstimateRow)
    participant = path.name.partition("_")[0]
    if len(rows) != sidecar.get("RowCount"):
        raise DataError(
            f"{path}: has {len(rows)} rows, and {sidecar.get('RowCount')} by its sidecar. Run the "
            "participant level again."
        )
    if any(row.participant_id != participant for row in rows):
        raise DataError(f"{path}: has rows of other participants than {participant}.")
    if len({row.cell for row in rows}) < len(rows):
        raise DataError(
            f"{path}: has two rows for the same estimate. Run the participant level again."
        )
    if any(row.estimate is not None and row.status != "ok" for row in rows):
        raise DataError(
            f"{path}: has a number in a row whose status says that there is none. Run the "
            "participant level again."
        )
    quality = rows_of(read_table(table_beside(path, QUALITY), QUALITY_COLUMNS), QualityRow)
    return Table(path, rows, definition, quality)


def _placeholder(row: EstimateRow, label: str, status: Status) -> EstimateRow:
    own = {name: getattr(row, name) for name in KEY} | {"participant_id": f"sub-{label}"}
    return EstimateRow(**own, status=status, independence=row.independence)


def wanted(rows: Sequence[AnyRow], settings: Settings) -> Sequence[AnyRow]:
    """Keep the rows that the settings ask for, by the columns that they have.

    Labels are the same whatever their case.
    """
    asked = {
        "session": settings.session_label,
        "task": settings.task_label,
        "contrast": settings.contrasts,
        "roi": settings.roi_contrasts,
        "space": (settings.space,) if settings.space else (),
        "hemi": settings.hemi,
    }
    there = {field.name for row in rows[:1] for field in fields(row)}
    folded = {
        name: {label.casefold() for label in labels}
        for name, labels in asked.items()
        if labels and name in there
    }
    if not folded:
        return rows
    return [
        row
        for row in rows
        if all((getattr(row, name) or "").casefold() in of for name, of in folded.items())
    ]
