"""Write and read the results of a participant; write pages."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bids_secondlevel import __version__
from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.files import COMBINATIONS, Contrast
from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.results import ParticipantResults
from bids_secondlevel.core.rows import Schema, stacked
from bids_secondlevel.core.values import Rois
from bids_secondlevel.core.wording import FigureFormat
from bids_secondlevel.inputs.study import Chosen
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.files import read_json
from bids_secondlevel.outputs.files import (
    Written,
    json_bytes,
    remove_leftovers,
    replace_files,
    write_files,
)
from bids_secondlevel.outputs.masks import encode_rois
from bids_secondlevel.outputs.names import (
    ESTIMATES,
    OVERLAP,
    QUALITY,
    RUNS,
    SWEEP,
    VISUAL_FIELD,
    GroupFolder,
    ParticipantFolder,
    reports_of,
    sidecar_of,
)
from bids_secondlevel.outputs.tables import encode_table, read_sidecar, read_table
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.rois.quality import OVERLAP_COLUMNS, QUALITY_COLUMNS
from bids_secondlevel.rois.runs import RUN_COLUMNS
from bids_secondlevel.rois.sweep import SWEEP_COLUMNS
from bids_secondlevel.rois.visual_field import VISUAL_FIELD_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


_OPTIONAL = (
    SWEEP,
    RUNS,
    VISUAL_FIELD,
    "planned",
    "plannedestimates",
    "anova",
    "reliability",
    "sweep",
    "visualfield",
    "maps",
)
"""Tables that exist only if they have rows."""


def write_participant(
    results: ParticipantResults,
    rois: Bilateral[Rois],
    cortex: Bilateral[Cortex],
    chosen: Chosen,
    folder: ParticipantFolder,
    *,
    settings: str,
) -> Written:
    """Write the masks and tables of a participant, and remove others from an earlier run.

    The table of estimates is written last and marks the participant as finished.

    Parameters
    ----------
    settings
        Settings as TOML.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    files = chosen.files
    defined = {**results.definition.to_sidecar(), "SoftwareVersion": __version__}
    described = {**defined, "Surfaces": [source.uri for source in files.surfaces.values()]}
    measured = [f.uri for c in files.contrasts for maps in c.maps.values() for f in maps.files]
    estimated = {
        **defined,
        "CombinedRuns": _combined_runs(files.contrasts),
        "RowCount": len(results.estimates),
        "Sources": list(dict.fromkeys(measured)),
    }
    swept = {**defined, "RowCount": len(results.sweep)}
    in_field = {"RowCount": len(results.visual_field)}
    single = {**defined, "RowCount": len(results.runs)}
    tables = encode_tables(
        folder,
        (QUALITY, results.quality, QUALITY_COLUMNS, described),
        (OVERLAP, results.overlaps, OVERLAP_COLUMNS, described),
        (SWEEP, results.sweep, SWEEP_COLUMNS, swept),
        (RUNS, results.runs, RUN_COLUMNS, single),
        (VISUAL_FIELD, results.visual_field, VISUAL_FIELD_COLUMNS, {**defined, **in_field}),
        (ESTIMATES, results.estimates, ESTIMATE_COLUMNS, estimated),
        entities=folder.entities,
    )
    masks = encode_rois(rois, cortex, chosen, folder)
    as_run = {folder.settings: settings.encode()}
    remove_leftovers(folder.folders)
    return replace_files(folder.numbers(), {**masks, **as_run, **tables})


def encode_tables(
    folder: ParticipantFolder | GroupFolder,
    *tables: "tuple[str, pd.DataFrame, Schema, Mapping[str, Any]]",
    entities: Mapping[str, str] | None = None,
) -> dict[Path, bytes]:
    """Encode tables with their sidecars, some of them only if they have rows."""
    encoded: dict[Path, bytes] = {}
    for name, table, schema, metadata in tables:
        if len(table) or name not in _OPTIONAL:
            encoded |= encode_table(folder.table(name), table, schema, metadata, entities)
    return encoded


def _combined_runs(contrasts: Iterable[Contrast]) -> list[dict[str, Any]]:
    """Describe which maps of several runs were combined, and how."""
    return [
        {
            "session": contrast.session,
            "task": contrast.task,
            "contrast": contrast.contrast,
            "hemi": hemi,
            "n_runs": len(source.maps),
            "Combination": COMBINATIONS[source.combination],
        }
        for contrast in contrasts
        for hemi, source in contrast.maps.items()
        if source.combination != "single"
    ]


def write_report(results: ParticipantResults, folder: ParticipantFolder) -> Written:
    """Write the content of a page beside the tables: the picture of the cortex and messages.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    said = {
        "Session": results.session,
        "Space": results.space,
        "Inputs": results.inputs,
        "Reasons": results.reasons,
        "Messages": results.messages,
        "Errors": results.errors,
        "CortexDrawn": results.portrait is not None,
    }
    drawn = {folder.portrait: results.portrait, folder.thumbnail: results.thumbnail}
    pictures = {path: picture for path, picture in drawn.items() if picture is not None}
    return write_files({**pictures, folder.report: json_bytes(said)})


def links_to(
    figures: Iterable[tuple[str, FigureFormat]], folder: ParticipantFolder | GroupFolder
) -> dict[str, dict[str, str]]:
    """Give the addresses of figures from their page, by name and format; those of SVG are in it."""
    links: dict[str, dict[str, str]] = {}
    for name, kind in figures:
        if kind != "svg":
            path = folder.figure(name, kind).relative_to(folder.page.parent)
            links.setdefault(name, {})[kind] = quote(path.as_posix())
    return links


def write_page(
    html: str,
    figures: Mapping[tuple[str, FigureFormat], bytes],
    folder: ParticipantFolder | GroupFolder,
) -> Written:
    """Write a page and its figures, and remove other figures from an earlier run.

    Parameters
    ----------
    figures
        By name and format.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    own = {folder.figure(name, kind): content for (name, kind), content in figures.items()}
    page = {folder.page: html.encode(errors="backslashreplace")}
    return replace_files(folder.charts(), {**own, **page})


def read_participants(label: str, output_dir: Path) -> dict[ParticipantFolder, ParticipantResults]:
    """Read the results of a participant, also those of jobs for single sessions.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    reports = reports_of(label, output_dir)
    return dict(_read_participant(label, path, output_dir) for path in reports)


def read_reasons(folder: ParticipantFolder) -> tuple[str, ...]:
    """Read what to check before the estimates of a participant are used."""
    try:
        return tuple(map(str, read_json(folder.report)["Reasons"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _read_participant(
    label: str, path: Path, output_dir: Path
) -> tuple[ParticipantFolder, ParticipantResults]:
    try:
        said = read_json(path)
        session, space = _label(said["Session"]), _label(said["Space"])
        inputs = tuple((role, uri) for role, uri in said["Inputs"])
        messages, errors = tuple(said["Messages"]), tuple(said["Errors"])
        reasons = tuple(said["Reasons"])
        was_drawn = said["CortexDrawn"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}). Run the participant level again."
        ) from error
    folder = ParticipantFolder(output_dir, label, space, session)
    estimates, portrait = folder.table(ESTIMATES), folder.portrait
    if was_drawn and not portrait.exists():
        lost = f"{portrait.name} is missing. Run the participant level again to draw it."
        messages = (*messages, lost)
    return folder, ParticipantResults(
        participant_id=f"sub-{label}",
        session=session,
        space=space,
        definition=Definition.from_sidecar(read_sidecar(estimates), sidecar_of(estimates)),
        inputs=inputs,
        estimates=read_table(estimates, ESTIMATE_COLUMNS),
        runs=read_optional(folder.table(RUNS), RUN_COLUMNS),
        sweep=read_optional(folder.table(SWEEP), SWEEP_COLUMNS),
        visual_field=read_optional(folder.table(VISUAL_FIELD), VISUAL_FIELD_COLUMNS),
        quality=read_table(folder.table(QUALITY), QUALITY_COLUMNS),
        overlaps=read_table(folder.table(OVERLAP), OVERLAP_COLUMNS),
        reasons=reasons,
        messages=messages,
        errors=errors,
        portrait=portrait.read_bytes() if portrait.exists() else None,
        explorer=folder.explorer.name if folder.explorer.exists() else None,
    )


def read_optional(path: Path, schema: Schema) -> "pd.DataFrame":
    """Read a table; if the file does not exist, return a table without rows."""
    if path.exists():
        return read_table(path, schema)
    return stacked((), schema)


def _label(value: Any) -> str | None:
    """Check a text that becomes a part of file names."""
    if value is None or (isinstance(value, str) and re.fullmatch("[0-9A-Za-z+]+", value)):
        return value
    raise ValueError(f"{value!r} is not a label")
