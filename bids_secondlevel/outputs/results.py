"""Write the results of a participant, and those of the group."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_secondlevel import __version__
from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.files import Contrast, ParticipantFiles, Plan
from bids_secondlevel.core.hemispheres import Bilateral, Hemisphere
from bids_secondlevel.core.rows import columns, frame_of
from bids_secondlevel.core.settings import Settings, is_stats_model, model_as_given, settings_text
from bids_secondlevel.core.values import Absent, Rois
from bids_secondlevel.maps.combine import COMBINATIONS
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.files import read_json_object
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.outputs.files import (
    remove_files,
    remove_leftovers,
    remove_outdated,
    write_atomically,
    write_files,
)
from bids_secondlevel.outputs.masks import (
    write_masks,
)
from bids_secondlevel.outputs.names import (
    ESTIMATES,
    OVERLAP,
    QUALITY,
    RUNS,
    SWEEP,
    GroupFolder,
    ParticipantFolder,
    folder_of,
    sidecar_of,
)
from bids_secondlevel.outputs.segmentations import write_segmentations
from bids_secondlevel.outputs.tables import encode_table, write_table
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS, EstimateRow
from bids_secondlevel.rois.quality import QUALITY_COLUMNS, OverlapRow, QualityRow
from bids_secondlevel.rois.runs import RunRow
from bids_secondlevel.rois.sweep import SWEEP_COLUMNS, SweepRow
from bids_secondlevel.stats import comparisons
from bids_secondlevel.stats import tests as stats
from bids_secondlevel.stats.comparisons import COMPARISON_COLUMNS
from bids_secondlevel.stats.models.table import ModelResults, ModelRow
from bids_secondlevel.stats.reliability import RELIABILITY_COLUMNS
from bids_secondlevel.stats.tests import STATISTIC_COLUMNS, describe_tests

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class ParticipantResults:
    """Everything that was found out about a participant."""

    files: ParticipantFiles
    """What was read."""
    cortex: Bilateral[Cortex]
    """Retinotopy and localizer, on the vertices of the ROIs."""
    rois: Bilateral[Rois]
    estimates: Sequence[EstimateRow]
    runs: Sequence[RunRow]
    """Of single runs; empty if none were combined."""
    sweep: Sequence[SweepRow]
    """Under other limits; empty if no sweep was asked for."""
    quality: Sequence[QualityRow]
    overlaps: Sequence[OverlapRow]
    problems: tuple[Absent, ...]
    """What could not be had, and why."""
    messages: tuple[str, ...]
    """Why something that is there was not used."""

    @property
    def alignments(self) -> Mapping[Hemisphere, Alignment]:
        """How retinotopy and maps came to share their vertices."""
        return {half.side: half.alignment for half in self.cortex}


def write_participant(results: ParticipantResults, plan: Plan, settings: Settings) -> None:
    """Write the masks and the tables of a participant.

    The table of estimates comes last, and that of an earlier run with another result goes first,
    so that it stands for a finished participant.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    files = results.files
    folder = folder_of(files.label, plan.space, settings)
    definition = definition_of(files, plan, results.alignments).to_sidecar()
    software = {"SoftwareVersion": __version__}
    estimates = _encode_estimates(results, {**definition, **software}, folder)
    remove_outdated(estimates)
    remove_leftovers(folder.folders)
    rois = dict(results.rois.items())
    write_masks(rois, results.alignments, files, plan, folder)
    write_segmentations(rois, results.alignments, files, plan, folder)
    write_atomically(folder.settings, settings_text(settings).encode())
    surfaces = {"Surfaces": [source.uri for source in files.surfaces.values()]}
    described = {**definition, **software, **surfaces}
    _write_rows(folder.table(QUALITY), results.quality, QualityRow, described, folder.entities)
    _write_rows(folder.table(OVERLAP), results.overlaps, OverlapRow, described, folder.entities)
    for name, rows, row_type in ((SWEEP, results.sweep, SweepRow), (RUNS, results.runs, RunRow)):
        counted = {**definition, **software, "RowCount": len(rows)}
        _write_or_remove(folder.table(name), rows, row_type, counted, folder.entities)
    write_files(estimates)


def _encode_estimates(
    results: ParticipantResults, described: Mapping[str, Any], folder: ParticipantFolder
) -> dict[Path, bytes]:
    estimates = results.files.contrasts
    measured = [
        source.uri
        for estimate in estimates
        for maps in estimate.maps.values()
        for source in maps.files
    ]
    metadata = {
        **described,
        "CombinedRuns": _combined_runs(estimates),
        "RowCount": len(results.estimates),
        "Sources": list(dict.fromkeys(measured)),
    }
    path = folder.table(ESTIMATES)
    rows = frame_of(results.estimates, EstimateRow)
    return encode_table(path, rows, ESTIMATE_COLUMNS, metadata, folder.entities)


def definition_of(
    files: ParticipantFiles,
    plan: Plan,
    alignments: Mapping[Hemisphere, Alignment],
) -> Definition:
    """Say how the ROIs of a participant were defined and measured."""
    carried = alignments.values()
    return Definition(
        rois=plan.rois,
        localizer_task=plan.localizer_task,
        statistic=plan.statistic,
        summary=plan.summary,
        sources=() if files.retinotopy_source is None else (files.retinotopy_source,),
        maps_are="volumes" if plan.is_volume else "surfaces",
        resampling=tuple(dict.fromkeys(how for of in carried for how in of.methods)),
        spheres=tuple(dict.fromkeys(sphere for of in carried for sphere in of.spheres)),
    )


def _write_rows(
    path: Path,
    rows: Sequence[Any],
    row_type: type,
    metadata: Mapping[str, Any],
    entities: Mapping[str, str] | None = None,
) -> None:
    write_table(path, frame_of(rows, row_type), columns(row_type), metadata, entities)


def _write_or_remove(
    path: Path,
    rows: Sequence[Any],
    row_type: type,
    metadata: Mapping[str, Any],
    entities: Mapping[str, str] | None = None,
) -> None:
    """Write a table that has rows; where it has none, remove what an earlier run has left."""
    if rows:
        _write_rows(path, rows, row_type, metadata, entities)
    else:
        remove_files((path, sidecar_of(path)))


def write_portrait(svg: bytes | None, label: str, plan: Plan, settings: Settings) -> None:
    """Write the picture of a participant's cortex; where there is none, remove an earlier one.

    Raises
    ------
    OutputError
        If it cannot be written or removed.
    """
    path = folder_of(label, plan.space, settings).cortex
    if svg is None:
        remove_files((path,))
    else:
        write_atomically(path, svg)


def _combined_runs(estimates: Iterable[Contrast]) -> list[dict[str, Any]]:
    """Say which maps were combined from those of several runs, and how."""
    return [
        {
            "session": estimate.session,
            "task": estimate.task,
            "contrast": estimate.contrast,
            "hemi": hemi,
            "n_runs": len(source.maps),
            "Combination": COMBINATIONS[source.combination],
        }
        for estimate in estimates
        for hemi, source in estimate.maps.items()
        if source.combination != "single"
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupResults:
    """Everything that was found out about the group: tables, as their columns are declared."""

    estimates: "pd.DataFrame"
    statistics: "pd.DataFrame"
    comparisons: "pd.DataFrame"
    quality: "pd.DataFrame"
    reliability: "pd.DataFrame"
    """Without a row if nothing was repeated."""
    sweep: "pd.DataFrame"
    """Without a row if no participant has estimates under other limits."""


def write_group(results: GroupResults, definition: Definition, settings: Settings) -> None:
    """Write the tables of the group level; that of reliability where there is any.

    Parameters
    ----------
    results : GroupResults
    definition : Definition
    settings : Settings

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    folder, n_flips = GroupFolder(settings.output_dir), settings.n_permutations
    metadata = {**definition.to_group_sidecar(), "SoftwareVersion": __version__}
    estimated = {**metadata, **_selection(settings)}
    tested = {**estimated, **describe_tests(n_flips, stats.FAMILY)}
    compared = {
        **estimated,
        "Differences": comparisons.DIFFERENCES,
        **describe_tests(n_flips, comparisons.FAMILY),
    }
    write_table(folder.table("quality"), results.quality, QUALITY_COLUMNS, metadata)
    write_table(folder.table("estimates"), results.estimates, ESTIMATE_COLUMNS, estimated)
    write_table(folder.table("statistics"), results.statistics, STATISTIC_COLUMNS, tested)
    write_table(folder.table("comparisons"), results.comparisons, COMPARISON_COLUMNS, compared)
    for name, table, schema in (
        ("reliability", results.reliability, RELIABILITY_COLUMNS),
        ("sweep", results.sweep, SWEEP_COLUMNS),
    ):
        if table.empty:
            remove_files((folder.table(name), sidecar_of(folder.table(name))))
        else:
            write_table(folder.table(name), table, schema, estimated)
    write_atomically(folder.settings, settings_text(settings).encode())


def _selection(settings: Settings) -> dict[str, Any]:
    """Say which estimates were left out, as the sidecars of the group's tables do."""
    return {
        "Selection": {
            "MinVertices": settings.rule.min_vertices,
            "MinCoverage": settings.min_coverage,
            "Excluded": {f"sub-{label}": why for label, why in settings.exclusions.items()},
        }
    }


def write_model(results: ModelResults, definition: Definition, settings: Settings) -> None:
    """Write a fitted model as a table, and in words to ``logs/``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = GroupFolder(settings.output_dir)
    model = model_as_given(settings.model)
    about = {**definition.to_group_sidecar(), "Model": model, **_selection(settings)}
    if model is not None and is_stats_model(model):
        about["ModelSpecification"] = read_json_object(Path(model))
    metadata = {**about, "SoftwareVersion": __version__}
    _write_rows(folder.table("model"), results.rows, ModelRow, metadata)
    write_atomically(folder.model, results.summary.encode())


def remove_model(output_dir: Path) -> None:
    """Remove the model that an earlier run has left.

    Raises
    ------
    OutputError
        If a file cannot be removed.
    """
    folder = GroupFolder(output_dir)
    table = folder.table("model")
    remove_files((table, sidecar_of(table), folder.model))
