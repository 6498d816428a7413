"""Write the pages that people look at first, and write them again from the outputs alone."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.files import ParticipantFiles, Plan
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.settings_file import settings_text
from bids_secondlevel.maps.files import read_json
from bids_secondlevel.outputs import results as derivatives
from bids_secondlevel.outputs.files import (
    read_sidecar,
    read_table,
    remove_files,
    write_atomically,
    write_json,
)
from bids_secondlevel.outputs.masks import ParticipantFolder
from bids_secondlevel.outputs.results import (
    CORTEX,
    ESTIMATES,
    OVERLAP,
    QUALITY,
    REPORT,
    SWEEP,
    GroupResults,
    ParticipantResults,
)
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

_DEFINITION = (
    *("Rois", "LocalizerTask", "Statistic", "Summary", "RetinotopySource"),
    *("MapsAre", "Resampling"),
)


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
        results.rows,
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
    for estimate in files.estimates:
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
    figures = folder.figure(CORTEX).parent
    session = f"ses-{record.session}_"  # which the prefix says already
    own = {
        figures / _chart_name(folder.prefix, chart.name.removeprefix(session)): chart
        for chart in charts.all
    }
    _write_charts(own, [path for path in _charts_of(folder) if path not in own])
    html = render(participant_page(record, charts))
    write_atomically(output_dir / f"{folder.prefix}.html", html.encode(errors="backslashreplace"))


def write_record(record: ParticipantRecord, output_dir: Path) -> None:
    """Write what it takes to write the page again, beside the tables.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_json(
        _record_path(_folder(record, output_dir)),
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
    sessions = settings.session_label
    session = sessions[0] if len(sessions) == 1 else None
    folder = ParticipantFolder(settings.output_dir, label, space, session)
    page = settings.output_dir / f"{folder.prefix}.html"
    remove_files((page, _record_path(folder), *_charts_of(folder)))


def _charts_of(folder: ParticipantFolder) -> list[Path]:
    """List the charts of a participant: others than those of other sessions' jobs and spaces."""
    return [
        path
        for path in folder.figure(CORTEX).parent.glob(f"{folder.prefix}_*_chart.svg")
        if (folder.session or not path.name.startswith(f"{folder.prefix}_ses-"))
        and ("_space-" not in path.name or f"_space-{folder.space}_" in path.name)
    ]


def _folder(record: ParticipantRecord, output_dir: Path) -> ParticipantFolder:
    label = record.participant_id.removeprefix("sub-")
    return ParticipantFolder(output_dir, label, record.space, record.session)


def _record_path(folder: ParticipantFolder) -> Path:
    return folder.output_dir / "logs" / f"{folder.prefix}_{REPORT}"


def _chart_name(prefix: str, name: str) -> str:
    """Name the file of a chart; what it shows is no suffix, which would be that of a table.

    Examples
    --------
    >>> _chart_name("sub-01", "task-loc_desc-circular_estimates")
    'sub-01_task-loc_desc-circularEstimates_chart.svg'
    """
    entities, _, shown = name.rpartition("_")
    entities, is_circular, _ = entities.partition("desc-circular")
    desc = f"circular{shown.capitalize()}" if is_circular else shown
    parts = (prefix, entities.strip("_"), f"desc-{desc}", "chart.svg")
    return "_".join(part for part in parts if part)


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
    estimates, sweep, portrait = folder.table(ESTIMATES), folder.table(SWEEP), folder.figure(CORTEX)
    if was_drawn and not portrait.exists():
        lost = f"{portrait.name} is not there any more. Run the participant level again to draw it."
        messages = (*messages, lost)
    sidecar = read_sidecar(estimates)
    return ParticipantRecord(
        f"sub-{label}",
        session,
        space,
        {name: sidecar.get(name) for name in _DEFINITION},
        inputs,
        messages,
        errors,
        read_table(estimates, EstimateRow),
        read_table(folder.table(QUALITY), QualityRow),
        read_table(folder.table(OVERLAP), OverlapRow),
        read_table(sweep, SweepRow) if sweep.exists() else (),
        portrait.read_bytes() if portrait.exists() else None,
    )


def _label(value: Any) -> str | None:
    """Check what becomes a part of names of files."""
    if value is None or (isinstance(value, str) and re.fullmatch("[0-9A-Za-z+]+", value)):
        return value
    raise ValueError(f"{value!r} is no label")


def group_record(
    results: GroupResults,
    definition: Mapping[str, Any],
    settings: Settings,
    fitted: Sequence[ModelRow],
) -> GroupRecord:
    """Collect what the page of the group shows from what was found out."""
    return GroupRecord(
        definition,
        tuple(definition["RetinotopySources"]),
        {f"sub-{label}": why for label, why in settings.exclusions.items()},
        settings.n_permutations,
        settings.model if fitted else None,
        settings_text(settings),
        results.rows,
        results.statistics,
        results.comparisons,
        results.quality,
        results.reliability,
        results.sweep,
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
    statistics = output_dir / "group_statistics.tsv"
    if not statistics.exists():
        raise InputMissingError(f"{statistics}: not found. Run the group level first.")
    sidecar = read_sidecar(statistics)
    model = output_dir / "group_model.tsv"

    def rows(name: str, row_type: type) -> list[Any]:
        path = output_dir / f"group_{name}.tsv"
        return read_table(path, row_type) if path.exists() else []

    return GroupRecord(
        sidecar,
        tuple(sidecar.get("RetinotopySources") or ()),
        sidecar.get("Selection", {}).get("Excluded", {}),
        sidecar.get("MaximumNumberOfFlips", 0),
        read_sidecar(model).get("Model") if model.exists() else None,
        _read_text(output_dir / "logs" / "group_settings.toml"),
        read_table(output_dir / "group_estimates.tsv", EstimateRow),
        read_table(statistics, StatisticRow),
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
    charts = draw_group_charts(record, limits_in_use(record.definition))
    figures = output_dir / "figures"
    own = {figures / _chart_name("group", chart.name): chart for chart in charts.all}
    _write_charts(own, [path for path in figures.glob("group_*_chart.svg") if path not in own])
    participants = dict.fromkeys(row.participant_id for row in record.rows)
    pages = {
        name: f"{name}.html" for name in participants if (output_dir / f"{name}.html").exists()
    }
    html = render(group_page(record, charts, pages))
    write_atomically(output_dir / "group.html", html.encode(errors="backslashreplace"))


def remove_group(output_dir: Path) -> None:
    """Remove the page and the charts of an earlier run, which would pass for those of this one.

    Raises
    ------
    OutputError
        If a file cannot be removed.
    """
    remove_files((output_dir / "group.html", *(output_dir / "figures").glob("group_*_chart.svg")))


def write_methods(text: MethodsText, output_dir: Path) -> None:
    """Write the methods text and what it cites to ``logs/``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    write_atomically(output_dir / "logs" / "CITATION.md", text.markdown().encode())
    write_atomically(output_dir / "logs" / "CITATION.bib", text.bibtex().encode())
