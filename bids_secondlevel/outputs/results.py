"""Write the results of a participant, and of the group."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bids_secondlevel import __version__
from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.files import COMBINATIONS, Contrast
from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.inference import Inference
from bids_secondlevel.core.results import FittedModel, GroupResults, ParticipantResults
from bids_secondlevel.core.rows import Schema, stacked
from bids_secondlevel.core.settings import is_stats_model, model_as_given
from bids_secondlevel.core.values import Rois
from bids_secondlevel.core.wording import FigureFormat
from bids_secondlevel.inputs.study import Chosen
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.files import read_json, read_json_object
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
from bids_secondlevel.outputs.tables import encode_table, read_sidecar, read_table, table_text
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.rois.quality import OVERLAP_COLUMNS, QUALITY_COLUMNS
from bids_secondlevel.rois.runs import RUN_COLUMNS
from bids_secondlevel.rois.sweep import SWEEP_COLUMNS
from bids_secondlevel.rois.visual_field import VISUAL_FIELD_COLUMNS
from bids_secondlevel.stats import comparisons, planned
from bids_secondlevel.stats.anova import ANOVA_COLUMNS
from bids_secondlevel.stats.comparisons import COMPARISON_COLUMNS
from bids_secondlevel.stats.models.table import MODEL_COLUMNS
from bids_secondlevel.stats.planned import PLANNED_COLUMNS, PLANNED_ESTIMATE_COLUMNS
from bids_secondlevel.stats.readiness import PARTICIPANT_COLUMNS, participant_schema
from bids_secondlevel.stats.reliability import RELIABILITY_COLUMNS
from bids_secondlevel.stats.roi_shares import GROUP_QUALITY_COLUMNS
from bids_secondlevel.stats.testing import one_sample as stats
from bids_secondlevel.stats.testing.one_sample import (
    STATISTIC_COLUMNS,
    describe_flips,
    describe_tests,
)
from bids_secondlevel.stats.vertices import MAP_COLUMNS
from bids_secondlevel.stats.visual_field import FIELD_TEST_COLUMNS

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
    tables = _encode_tables(
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


def _encode_tables(
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
        runs=_read_optional(folder.table(RUNS), RUN_COLUMNS),
        sweep=_read_optional(folder.table(SWEEP), SWEEP_COLUMNS),
        visual_field=_read_optional(folder.table(VISUAL_FIELD), VISUAL_FIELD_COLUMNS),
        quality=read_table(folder.table(QUALITY), QUALITY_COLUMNS),
        overlaps=read_table(folder.table(OVERLAP), OVERLAP_COLUMNS),
        reasons=reasons,
        messages=messages,
        errors=errors,
        portrait=portrait.read_bytes() if portrait.exists() else None,
        explorer=folder.explorer.name if folder.explorer.exists() else None,
    )


def _read_optional(path: Path, schema: Schema) -> "pd.DataFrame":
    if path.exists():
        return read_table(path, schema)
    return stacked((), schema)


def _label(value: Any) -> str | None:
    """Check a text that becomes a part of file names."""
    if value is None or (isinstance(value, str) and re.fullmatch("[0-9A-Za-z+]+", value)):
        return value
    raise ValueError(f"{value!r} is not a label")


def write_group(results: GroupResults, folder: GroupFolder) -> None:
    """Write the tables of the group, and remove others from an earlier run.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    participants = participant_schema(map(str, results.participants))
    defined = {**results.definition.to_group_sidecar(), "SoftwareVersion": __version__}
    estimated = {**defined, **_selection(results), **_groups(results)}
    named = {"StudyName": results.study} if results.study else {}
    tested = {**estimated, **named, **describe_tests(results.inference, stats.FAMILY)}
    compared = {
        **estimated,
        "Differences": comparisons.DIFFERENCES,
        "Hemispheres": comparisons.HEMISPHERES_COMPARED,
        "DependentContrasts": list(results.dependences),
        **describe_tests(results.inference, comparisons.FAMILY),
    }
    as_planned = {**estimated, **describe_tests(results.inference, planned.FAMILY)}
    in_field = {**defined, **_groups(results), **describe_flips(results.inference)}
    tables = _encode_tables(
        folder,
        ("quality", results.quality, GROUP_QUALITY_COLUMNS, defined),
        ("estimates", results.estimates, ESTIMATE_COLUMNS, estimated),
        ("participants", results.participants, participants, estimated),
        ("comparisons", results.comparisons, COMPARISON_COLUMNS, compared),
        ("planned", results.planned, PLANNED_COLUMNS, as_planned),
        ("plannedestimates", results.planned_estimates, PLANNED_ESTIMATE_COLUMNS, estimated),
        ("anova", results.anova, ANOVA_COLUMNS, estimated),
        ("reliability", results.reliability, RELIABILITY_COLUMNS, estimated),
        ("sweep", results.sweep, SWEEP_COLUMNS, estimated),
        ("visualfield", results.visual_field, FIELD_TEST_COLUMNS, in_field),
        ("statistics", results.statistics, STATISTIC_COLUMNS, tested),
    )
    as_run = {folder.settings: results.settings.encode()}
    remove_leftovers(folder.folders)
    replace_files(folder.numbers(), {**as_run, **tables})


def _groups(results: GroupResults) -> dict[str, Any]:
    return {"Groups": dict(results.groups)} if results.groups else {}


def _selection(results: GroupResults) -> dict[str, Any]:
    """Describe excluded estimates, for the sidecars of the group's tables."""
    return {
        "Selection": {
            "MinVertices": results.min_vertices,
            "MinCoverage": results.min_coverage,
            "Excluded": dict(results.exclusions),
        }
    }


def write_map_tables(results: GroupResults, folder: GroupFolder) -> None:
    """Write what was found in the maps of the group as a table, and how ROIs agree in another.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    defined = {**results.definition.to_group_sidecar(), "SoftwareVersion": __version__}
    found = {**defined, **_groups(results)}
    tables = _encode_tables(
        folder,
        ("quality", results.quality, GROUP_QUALITY_COLUMNS, defined),
        ("maps", results.maps, MAP_COLUMNS, found),
    )
    write_files(tables)


def write_model(model: FittedModel, results: GroupResults, folder: GroupFolder) -> None:
    """Write a fitted model as a table, and as text to ``logs/``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    given = model_as_given(model.given)
    about = {**results.definition.to_group_sidecar(), "Model": given, **_selection(results)}
    if is_stats_model(model.given):
        about["ModelSpecification"] = read_json_object(Path(model.given))
    about["SoftwareVersion"] = __version__
    table = encode_table(folder.table("model"), model.fits, MODEL_COLUMNS, about)
    replace_files((), {folder.model: model.summary.encode(), **table})


def read_group(folder: GroupFolder) -> GroupResults:
    """Read the results of the group.

    Raises
    ------
    InputMissingError
        If the group level has not been run.
    DataError
        If a table cannot be read.
    """
    statistics = folder.table("statistics")
    if not statistics.exists():
        raise InputMissingError(
            f"{statistics}: this file does not exist. Run the group level first."
        )
    sidecar = read_sidecar(statistics)
    selection = sidecar.get("Selection", {})
    compared = folder.table("comparisons")
    return GroupResults(
        definition=Definition.from_sidecar(sidecar, sidecar_of(statistics)),
        study=sidecar.get("StudyName"),
        exclusions=selection.get("Excluded", {}),
        min_vertices=selection.get("MinVertices", 1),
        min_coverage=selection.get("MinCoverage", 0.0),
        inference=Inference(
            n_permutations=sidecar.get("MaximumNumberOfFlips", 0),
            family=sidecar.get("FamilyKind", "contrast"),
            equivalence_bound=sidecar.get("EquivalenceBound"),
        ),
        analysis=folder.analysis,
        groups=sidecar.get("Groups", {}),
        settings=_read_text(folder.settings),
        estimates=read_table(folder.table("estimates"), ESTIMATE_COLUMNS),
        participants=_read_participants_table(folder.table("participants")),
        statistics=read_table(statistics, STATISTIC_COLUMNS),
        comparisons=_read_optional(compared, COMPARISON_COLUMNS),
        dependences=tuple(
            read_sidecar(compared).get("DependentContrasts", ()) if compared.exists() else ()
        ),
        planned=_read_optional(folder.table("planned"), PLANNED_COLUMNS),
        planned_estimates=_read_optional(
            folder.table("plannedestimates"), PLANNED_ESTIMATE_COLUMNS
        ),
        anova=_read_optional(folder.table("anova"), ANOVA_COLUMNS),
        quality=_read_optional(folder.table("quality"), GROUP_QUALITY_COLUMNS),
        reliability=_read_optional(folder.table("reliability"), RELIABILITY_COLUMNS),
        sweep=_read_optional(folder.table("sweep"), SWEEP_COLUMNS),
        visual_field=_read_optional(folder.table("visualfield"), FIELD_TEST_COLUMNS),
        maps=_read_optional(folder.table("maps"), MAP_COLUMNS),
        portrait=folder.portrait.read_bytes() if folder.portrait.exists() else None,
        explorer=folder.explorer.name if folder.explorer.exists() else None,
        model=_read_model(folder),
    )


def _read_participants_table(path: Path) -> "pd.DataFrame":
    """Read a table that ends with the columns of ``participants.tsv``."""
    if not path.exists():
        return stacked((), PARTICIPANT_COLUMNS)
    header = table_text(path).partition("\n")[0]
    return read_table(path, participant_schema(header.split("\t")))


def _read_model(folder: GroupFolder) -> FittedModel | None:
    path = folder.table("model")
    if not path.exists():
        return None
    return FittedModel(
        given=str(read_sidecar(path).get("Model")),
        fits=read_table(path, MODEL_COLUMNS),
        summary=_read_text(folder.model),
    )


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
