"""The group level: read the participants' tables, complete the grid, test, write.

Surface maps are never read here.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bids_secondlevel import derivatives
from bids_secondlevel.datasets import (
    check_bids_dir,
    check_output_dir,
    list_participants,
    unknown_participants,
)
from bids_secondlevel.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    DataError,
    InputMissingError,
    NothingSelectedError,
)
from bids_secondlevel.masks import describe_rule
from bids_secondlevel.measures import KEY, EstimateRow
from bids_secondlevel.model import Status
from bids_secondlevel.quality import QualityRow
from bids_secondlevel.reliability import reliability
from bids_secondlevel.run_tables import read_runs
from bids_secondlevel.settings import RoiRule, Settings
from bids_secondlevel.stats import StatisticRow, one_sample_tests
from bids_secondlevel.writing import read_sidecar, read_table

LOG = logging.getLogger("bids_secondlevel")

Cell = tuple[str | None, ...]
"""What a row measures, whoever the participant: :data:`KEY` without ``participant_id``."""

_DEFINITION = ("Rois", "LocalizerTask", "Statistic", "Summary")


@dataclass(frozen=True)
class Table:
    """A table written by the participant level, and how its ROIs were defined.

    `source` is the tag of the retinotopic maps.
    """

    path: Path
    rows: Sequence[EstimateRow]
    definition: Mapping[str, Any]
    source: str | None
    quality: Sequence[QualityRow]


def run(settings: Settings) -> int:
    """Put all participants into one table, and test across them.

    Returns
    -------
    int
        Exit code: 0, or 1 if a table could not be used or a participant asked for by name has
        none.

    Raises
    ------
    SecondLevelError
        If there is nothing to test, or tables contradict each other.
    """
    description = check_bids_dir(settings)
    check_output_dir(settings)
    found = derivatives.find_estimates(settings.output_dir)
    if not found:
        raise InputMissingError(
            f"{settings.output_dir}: holds no table of a participant "
            "(sub-*/func/*_desc-roi_estimates.tsv). Run the participant level first."
        )
    asked = settings.participant_label
    in_study = list_participants(settings.bids_dir, ())
    labels = asked or tuple(sorted({*in_study, *found}))
    missing = [label for label in labels if label not in found]
    known = {*in_study, *found}
    unknown = [label for label in missing if label not in known]
    if unknown:
        LOG.error(unknown_participants(unknown, sorted(known)))
    labels = tuple(label for label in labels if label not in unknown)
    missing = [label for label in missing if label not in unknown]
    if len(missing) == len(labels):
        raise NothingSelectedError(
            f"--participant-label: none of {', '.join(asked)} has a table in "
            f"{settings.output_dir}; there are: {', '.join(found)}."
        )
    others = [label for label in found if label not in labels]
    if others:
        LOG.warning(
            "--participant-label: %d of %d participants with results.",
            len(labels) - len(missing),
            len(found),
        )
    if missing:
        LOG.warning(
            "No results of %s: run the participant level for them. In the group table they have "
            "the status missing_participant.",
            ", ".join(f"sub-{label}" for label in missing),
        )
    tables, unreadable = read_tables({x: found[x] for x in labels if x in found})
    definition = common_definition(list(chain.from_iterable(tables.values())))
    if settings.rule != RoiRule() and not any(
        describe_rule(settings.rule).items() <= roi.items() for roi in definition["Rois"].values()
    ):
        LOG.warning(
            "Options that define ROIs have no effect at group level, and differ from those the "
            "participants' tables were made with."
        )
    _tell_sources(tables)
    measured = {label: merge_rows(of_label, settings) for label, of_label in tables.items()}
    rows = complete_grid(measured, missing, unreadable)
    if not rows:
        raise NothingSelectedError(
            "No estimates left: the tables hold none of the sessions, tasks, contrasts, ROIs or "
            "space asked for."
        )
    statistics = one_sample_tests(rows)
    reliable = reliability(rows, read_runs({label: found[label] for label in tables}, rows))
    every = (row for of_label in tables.values() for table in of_label for row in table.quality)
    wanted = (row for row in every if _is_asked(row.roi, settings.roi_contrasts))
    quality = list(dict.fromkeys(wanted))
    if settings.dry_run:
        paths = (table.path for of_label in tables.values() for table in of_label)
        print("\n".join(f"would read {path}" for path in paths))
    else:
        derivatives.write_group(
            settings,
            rows,
            statistics,
            quality=quality,
            reliability=reliable,
            definition=definition,
        )
        derivatives.write_dataset_files(settings.output_dir, (), settings.bids_dir, description)
    _tell_result(rows, statistics, settings)
    if not any(row.estimate is not None for row in rows):
        raise InputMissingError(
            "No participant has a single estimate; the statuses in group_estimates.tsv say why."
        )
    return SOME_PARTICIPANT_FAILED if unreadable or unknown or (asked and missing) else DONE


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


def common_definition(tables: Sequence[Table]) -> Mapping[str, Any]:
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
        rois = {f"Rois.{name}": roi for name, roi in table.definition["Rois"].items()}
        others = {name: table.definition[name] for name in _DEFINITION if name != "Rois"}
        for name, value in {**rois, **others}.items():
            known, path = first.setdefault(name, (value, table.path))
            if value != known:
                raise DataError(
                    f"ROIs were defined or measured differently: {name} is {known} in the "
                    f"sidecar of {path}, and {value} in that of {table.path}. Run the "
                    "participant level with the same settings for all, or into another folder."
                )
    definitions = {
        name.removeprefix("Rois."): value
        for name, (value, _) in first.items()
        if name.startswith("Rois.")
    }
    return {
        "Rois": definitions,
        **{name: first[name][0] for name in _DEFINITION if name != "Rois"},
    }


def merge_rows(tables: Sequence[Table], settings: Settings) -> dict[Cell, EstimateRow]:
    """Join the tables of one participant, and keep what the settings ask for.

    Raises
    ------
    DataError
        If two tables (of jobs per session, and of a job for all) have different numbers for the
        same cell.
    """
    merged: dict[Cell, EstimateRow] = {}
    origin: dict[Cell, Path] = {}
    for table in tables:
        for row in table.rows:
            if not _is_wanted(row, settings):
                continue
            cell = row.key[1:]
            if merged.setdefault(cell, row) != row:
                raise DataError(
                    f"{origin[cell]} and {table.path} have different numbers for the same "
                    f"estimate ({', '.join(str(part) for part in cell)}). Delete the outdated one."
                )
            origin.setdefault(cell, table.path)
    return merged


def complete_grid(
    measured: Mapping[str, Mapping[Cell, EstimateRow]],
    missing: Sequence[str] = (),
    unreadable: Sequence[str] = (),
) -> list[EstimateRow]:
    """Give every participant a row for everything that was measured in any of them.

    Parameters
    ----------
    measured : mapping
        Rows of each participant by cell, by label.
    missing, unreadable : sequence of str
        Participants without a table, and with one that cannot be read.

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
    absent: dict[str, Status] = {
        **dict.fromkeys(measured, "missing_map"),
        **dict.fromkeys(missing, "missing_participant"),
        **dict.fromkeys(unreadable, "unreadable_table"),
    }
    return [
        measured.get(label, {}).get(cell) or _placeholder(templates[cell], label, absent[label])
        for label in sorted(absent)
        for cell in cells
    ]


def _read_table(path: Path) -> Table:
    sidecar = read_sidecar(path)
    if not isinstance(sidecar.get("Rois"), dict):
        raise DataError(
            f"{path.with_suffix('.json')}: does not say how the ROIs were defined. Run the "
            "participant level again."
        )
    rows = read_table(path, EstimateRow)
    participant = path.name.partition("_")[0]
    if len(rows) != sidecar.get("RowCount"):
        raise DataError(
            f"{path}: has {len(rows)} rows, and {sidecar.get('RowCount')} by its sidecar. Run the "
            "participant level again."
        )
    if any(row.participant_id != participant for row in rows):
        raise DataError(f"{path}: has rows of other participants than {participant}.")
    return Table(
        path,
        rows,
        {name: sidecar.get(name) for name in _DEFINITION},
        sidecar.get("RetinotopySource"),
        read_table(derivatives.quality_of(path), QualityRow),
    )


def _tell_sources(tables: Mapping[str, Sequence[Table]]) -> None:
    """Say it where retinotopy is not from the same source for all participants."""
    by_source: dict[str, list[str]] = {}
    for label, of_label in tables.items():
        for source in {str(table.source) for table in of_label if table.source}:
            by_source.setdefault(source, []).append(f"sub-{label}")
    if len(by_source) > 1:
        shown = "; ".join(f"{source}: {', '.join(by_source[source])}" for source in by_source)
        LOG.warning(
            "Retinotopy from different sources (%s). --retinotopy-source makes it the same.", shown
        )


def _tell_result(
    rows: Sequence[EstimateRow], statistics: Sequence[StatisticRow], settings: Settings
) -> None:
    """Sum up in a line or two what there is, and what is not."""
    counts = Counter(row.status for row in rows)
    gaps = ", ".join(f"{n} {status}" for status, n in counts.items() if status != "ok")
    LOG.info(
        "%d participants; %d of %d estimates have a number%s.",
        len({row.participant_id for row in rows}),
        counts["ok"],
        len(rows),
        f" ({gaps})" if gaps else "",
    )
    for participant in dict.fromkeys(row.participant_id for row in rows):
        statuses = {row.status for row in rows if row.participant_id == participant}
        if "ok" not in statuses:
            LOG.warning("%s contributes nothing: %s.", participant, ", ".join(sorted(statuses)))
    circular = sum(row.independence == "circular" for row in statistics)
    LOG.info(
        "%d cells, %d tested (%d circular and so not tested): see %s",
        len(statistics),
        sum(row.p is not None for row in statistics),
        circular,
        settings.output_dir / "group_statistics.tsv",
    )


def _placeholder(row: EstimateRow, label: str, status: Status) -> EstimateRow:
    own = {name: getattr(row, name) for name in KEY} | {"participant_id": f"sub-{label}"}
    return EstimateRow(**own, status=status, independence=row.independence)


def _is_wanted(row: EstimateRow, settings: Settings) -> bool:
    asked: Sequence[tuple[str | None, Iterable[str]]] = (
        (row.session, settings.session_label),
        (row.task, settings.task_label),
        (row.contrast, settings.contrasts),
        (row.roi, settings.roi_contrasts),
        (row.space, (settings.space,) if settings.space else ()),
    )
    return all(_is_asked(value, labels) for value, labels in asked)


def _is_asked(value: str | None, labels: Iterable[str]) -> bool:
    folded = {label.casefold() for label in labels}
    return not folded or (value or "").casefold() in folded
