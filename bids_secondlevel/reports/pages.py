"""Write the pages that people look at first, and write them again from the outputs alone."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.files import ParticipantFiles, Plan
from bids_secondlevel.core.rows import columns, rows_of
from bids_secondlevel.core.settings import Settings, settings_text
from bids_secondlevel.maps.files import read_json
from bids_secondlevel.outputs import results as derivatives
from bids_secondlevel.outputs.files import remove_files, write_atomically, write_json
from bids_secondlevel.outputs.names import (
    ESTIMATES,
    OVERLAP,
    QUALITY,
    SWEEP,
    GroupFolder,
    ParticipantFolder,
    folder_of,
)
from bids_secondlevel.outputs.results import GroupResults, ParticipantResults
from bids_secondlevel.outputs.tables import read_sidecar, read_table
from bids_secondlevel.reports.charts.style import Chart
from bids_secondlevel.reports.group_page import GroupRecord, group_page
from bids_secondlevel.reports.group_page import draw_charts as draw_group_charts
from bids_secondlevel.reports.methods import MethodsText
from bids_secondlevel.reports.page import render
from bids_secondlevel.reports.participant_page import (
    Input,
    ParticipantRecord,
    draw_charts,
    limits_in_use,
    participant_page,
)
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import OverlapRow, QualityRow
from bids_secondlevel.rois.sweep import SweepRow
from bids_secondlevel.stats.comparisons import ComparisonRow
from bids_secondlevel.stats.models.table import ModelRow
from bids_secondlevel.stats.reliability import ReliabilityRow
from bids_secondlevel.stats.tests import StatisticRow

LOG = logging.getLogger("bids_secondlevel")


def participant_record(
    results: ParticipantResults,
    plan: Plan,
    settings: Settings,
    told: tuple[Sequence[str], Sequence[str]],
    portrait: bytes | None,
) -> ParticipantRecord:
    """Collect what a page shows from what was found out.

    Parameters
    ----------
    results : ParticipantResults
    plan : Plan
    settings : Settings
    told : tuple of sequence of str
        Messages and errors of the run.
    portrait : bytes or None
        SVG of the cortex.
    """
    sessions = settings.session_label
    messages, errors = told
    return ParticipantRecord(
        f"sub-{results.files.label}",
        sessions[0] if len(sessions) == 1 else None,
        plan.space,
        derivatives.definition_of(results.files, plan, results.alignments),
        tuple(_inputs(results.files)),
        tuple(messages),
        tuple(errors),
        results.estimates,
        results.quality,
        results.overlaps,
        results.sweep,
        portrait,
    )


def _inputs(files: ParticipantFiles) -> Iterator[Input]:
    for hemi, retinotopy in files.retinotopy.items():
        for source in retinotopy.files:
            yield Input(f"retinotopy, {hemi}", source.uri)
    for contrast, localizer in files.localizers.items():
        for hemi, maps in localizer.items():
            for source in maps.files:
                yield Input(f"localizer {contrast}, {hemi}", source.uri)
    for hemi, surface in files.surfaces.items():
        yield Input(f"surface for areas, {hemi}", surface.uri)
    for estimate in files.contrasts:
        for hemi, maps in estimate.maps.items():
            for source in maps.files:
                yield Input(f"measured: {estimate.task} {estimate.contrast}, {hemi}", source.uri)


def write_participant(record: ParticipantRecord, output_dir: Path) -> None:
    """Write the page of a participant, and its charts as files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = _folder(record, output_dir)
    charts = draw_charts(record)
    own = {folder.chart(chart.name): chart for chart in charts.all}
    _write_charts(own, [path for path in folder.charts() if path not in own])
    html = render(participant_page(record, charts))
    write_atomically(folder.page, html.encode(errors="backslashreplace"))


def write_record(record: ParticipantRecord, output_dir: Path) -> None:
    """Write what it takes to write the page again, beside the tables.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_json(
        _folder(record, output_dir).report,
        {
            "Session": record.session,
            "Space": record.space,
            "Inputs": [[used.role, used.uri] for used in record.inputs],
            "Messages": list(record.messages),
            "Errors": list(record.errors),
            "CortexDrawn": record.portrait is not None,
        },
    )


def remove_participant(label: str, space: str | None, settings: Settings) -> None:
    """Remove the page and the charts of an earlier run, which would pass for those of this one.

    Raises
    ------
    OutputError
        If a file cannot be removed.
    """
    folder = folder_of(label, space, settings)
    remove_files((folder.page, folder.report, *folder.charts()))


def _folder(record: ParticipantRecord, output_dir: Path) -> ParticipantFolder:
    label = record.participant_id.removeprefix("sub-")
    return ParticipantFolder(output_dir, label, record.space, record.session)


def _write_charts(charts: Mapping[Path, Chart], stale: Iterable[Path]) -> None:
    for path, chart in charts.items():
        write_atomically(path, chart.svg)
    remove_files(stale)


def read_participants(label: str, output_dir: Path) -> list[ParticipantRecord]:
    """Read back what the pages of a participant show; one for each job of a single session.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    logs = output_dir / "logs"
    paths = sorted(
        [*logs.glob(f"sub-{label}_report.json"), *logs.glob(f"sub-{label}_ses-*_report.json")]
    )
    return [_read_participant(label, path, output_dir) for path in paths]


def _read_participant(label: str, path: Path, output_dir: Path) -> ParticipantRecord:
    try:
        content = read_json(path)
        session, space = _label(content["Session"]), _label(content["Space"])
        inputs = tuple(Input(role, uri) for role, uri in content["Inputs"])
        messages, errors = tuple(content["Messages"]), tuple(content["Errors"])
        was_drawn = content["CortexDrawn"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}). Run the participant level again."
        ) from error
    folder = ParticipantFolder(output_dir, label, space, session)
    estimates, sweep, portrait = folder.table(ESTIMATES), folder.table(SWEEP), folder.cortex
    if was_drawn and not portrait.exists():
        lost = f"{portrait.name} is not there any more. Run the participant level again to draw it."
        messages = (*messages, lost)
    return ParticipantRecord(
        f"sub-{label}",
        session,
        space,
        Definition.from_sidecar(read_sidecar(estimates), estimates.with_suffix(".json")),
        inputs,
        messages,
        errors,
        _rows(estimates, EstimateRow),
        _rows(folder.table(QUALITY), QualityRow),
        _rows(folder.table(OVERLAP), OverlapRow),
        _rows(sweep, SweepRow) if sweep.exists() else (),
        portrait.read_bytes() if portrait.exists() else None,
    )


def _rows(path: Path, row_type: type) -> list[Any]:
    return rows_of(read_table(path, columns(row_type)), row_type)


def _label(value: Any) -> str | None:
    """Check what becomes a part of names of files."""
    if value is None or (isinstance(value, str) and re.fullmatch("[0-9A-Za-z+]+", value)):
        return value
    raise ValueError(f"{value!r} is no label")


def group_record(
    results: GroupResults,
    definition: Definition,
    settings: Settings,
    fitted: Sequence[ModelRow],
) -> GroupRecord:
    """Collect what the page of the group shows from what was found out."""
    return GroupRecord(
        definition,
        {f"sub-{label}": why for label, why in settings.exclusions.items()},
        settings.n_permutations,
        settings.model if fitted else None,
        settings_text(settings),
        rows_of(results.estimates, EstimateRow),
        rows_of(results.statistics, StatisticRow),
        rows_of(results.comparisons, ComparisonRow),
        rows_of(results.quality, QualityRow),
        rows_of(results.reliability, ReliabilityRow),
        rows_of(results.sweep, SweepRow),
        fitted,
    )


def read_group(output_dir: Path) -> GroupRecord:
    """Read back what the page of the group shows.

    Raises
    ------
    InputMissingError
        If the group level has not been run.
    DataError
        If a table cannot be read.
    """
    folder = GroupFolder(output_dir)
    statistics = folder.table("statistics")
    if not statistics.exists():
        raise InputMissingError(f"{statistics}: not found. Run the group level first.")
    sidecar = read_sidecar(statistics)
    model = folder.table("model")

    def rows(name: str, row_type: type) -> list[Any]:
        path = folder.table(name)
        return _rows(path, row_type) if path.exists() else []

    return GroupRecord(
        Definition.from_sidecar(sidecar, statistics.with_suffix(".json")),
        sidecar.get("Selection", {}).get("Excluded", {}),
        sidecar.get("MaximumNumberOfFlips", 0),
        read_sidecar(model).get("Model") if model.exists() else None,
        _read_text(folder.settings),
        _rows(folder.table("estimates"), EstimateRow),
        _rows(statistics, StatisticRow),
        rows("comparisons", ComparisonRow),
        rows("quality", QualityRow),
        rows("reliability", ReliabilityRow),
        rows("sweep", SweepRow),
        rows("model", ModelRow),
    )


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def write_group(record: GroupRecord, output_dir: Path) -> None:
    """Write the page of the group, and its charts as files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = GroupFolder(output_dir)
    charts = draw_group_charts(record, limits_in_use(record.definition))
    own = {folder.chart(chart.name): chart for chart in charts.all}
    _write_charts(own, [path for path in folder.charts() if path not in own])
    pages = folder.pages_of(row.participant_id for row in record.rows)
    html = render(group_page(record, charts, pages))
    write_atomically(folder.page, html.encode(errors="backslashreplace"))


def remove_group(output_dir: Path) -> None:
    """Remove the page and the charts of an earlier run, which would pass for those of this one.

    Raises
    ------
    OutputError
        If a file cannot be removed.
    """
    folder = GroupFolder(output_dir)
    remove_files((folder.page, *folder.charts()))


def write_methods(text: MethodsText, output_dir: Path) -> None:
    """Write the methods text and what it cites to ``logs/``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    write_atomically(output_dir / "logs" / "CITATION.md", text.markdown().encode())
    write_atomically(output_dir / "logs" / "CITATION.bib", text.bibtex().encode())
