"""The participant level: find the maps, read them, define the ROIs, measure, write.

:func:`process_participant` is the whole analysis of one participant.
"""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any

from bids_secondlevel.cli.outcome import UP_TO_DATE, Outcome, summarize_outcome, summarize_rows
from bids_secondlevel.core.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    SecondLevelError,
)
from bids_secondlevel.core.files import (
    Dataset,
    EstimateSource,
    ParticipantFiles,
    ParticipantIndex,
    Plan,
)
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import Absent, Array, Retinotopy, RoiMasks
from bids_secondlevel.inputs.choose_maps import select_files
from bids_secondlevel.inputs.index import index_participant, subcortex_notes
from bids_secondlevel.inputs.plan import make_plan, same
from bids_secondlevel.maps.display import read_display_surfaces
from bids_secondlevel.maps.reader import Reader
from bids_secondlevel.maps.reading import align, carry_localizers, read_localizers, read_measured
from bids_secondlevel.maps.retinotopy import (
    carry_retinotopy,
    read_own_retinotopy,
    read_vertex_maps,
)
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.outputs import results as derivatives
from bids_secondlevel.outputs import resume
from bids_secondlevel.outputs.files import what_is_written
from bids_secondlevel.outputs.names import folder_of
from bids_secondlevel.reports import pages
from bids_secondlevel.reports.cortex.picture import MapsShown, Portrait, draw_portrait
from bids_secondlevel.rois.define import define_rois
from bids_secondlevel.rois.estimates import EstimateRow, Independence
from bids_secondlevel.rois.independence import (
    runs_with_cross_validation,
    with_cross_validation,
)
from bids_secondlevel.rois.measure import Key, Method, Part, Region, measure, region
from bids_secondlevel.rois.quality import (
    OverlapRow,
    QualityRow,
    VertexMaps,
    compare_rois,
    describe_rois,
)
from bids_secondlevel.rois.runs import RunRow, label_run
from bids_secondlevel.rois.sweep import SweepRow, label_variant

Regions = Mapping[Hemisphere, Mapping[str, Region | Absent]]
"""The vertices of every ROI, by hemisphere and name."""

_NOT_DRAWN = Portrait(
    None, ("the cortex was not drawn (--no-report). Run the participant level again to draw it.",)
)


def process_participant(
    label: str,
    reference: Sequence[ParticipantIndex],
    settings: Settings,
    datasets: Sequence[Dataset],
) -> Outcome:
    """Define the ROIs of one participant, measure in them, and write masks and table.

    Parameters
    ----------
    label : str
        Participant label without ``sub-``.
    reference : sequence of ParticipantIndex
        The first participants of the study. They tell what is asked for where this participant
        lacks it; as they are always the same, it does not matter which jobs a study is split
        into.
    settings : Settings
    datasets : sequence of Dataset

    Returns
    -------
    Outcome
        Failures that leave some numbers to be had are in it, and in the status of the rows.
        Nothing is done for a participant whose results were made from the same before.

    Raises
    ------
    SecondLevelError
        If nothing could be decided or written for this participant.
    """
    index, plan, files = choose_files(label, reference, settings, datasets)
    folder = folder_of(label, plan.space, settings)
    origin = resume.origin_of(index, plan, files, settings)
    if not settings.force and resume.is_up_to_date(origin, folder):
        return Outcome(label, UP_TO_DATE)
    resume.forget(folder)
    with what_is_written() as written:
        outcome = _process(index, plan, files, settings)
    if outcome.exit_code == DONE:
        resume.remember(origin, written, folder, files, plan)
    return outcome


def _process(
    index: ParticipantIndex, plan: Plan, files: ParticipantFiles, settings: Settings
) -> Outcome:
    """Define the ROIs, measure the maps in them, write both, and draw the page."""
    reader = Reader(files.maps)
    own = {h: read_own_retinotopy(reader, files, h, plan.rois) for h in HEMISPHERES}
    z_read = {h: read_localizers(reader, files.localizers, h) for h in HEMISPHERES}
    alignments = {h: align(own[h], z_read[h], files, h, plan) for h in HEMISPHERES}
    retinotopy = {h: carry_retinotopy(own[h], alignments[h], h) for h in HEMISPHERES}
    z_maps = {
        h: carry_localizers(z_read[h], files.localizers, files, h, alignments[h])
        for h in HEMISPHERES
    }
    rois = {h: define_rois(plan.rois, retinotopy[h], z_maps[h]) for h in HEMISPHERES}

    described = {
        h: read_vertex_maps(reader, files, h, own[h], retinotopy[h], alignments[h], plan)
        for h in HEMISPHERES
    }
    vertices = {hemi: maps for hemi, (maps, _) in described.items()}
    regions = _regions(rois, vertices)
    variants = [
        (variant, _regions(varied, vertices))
        for variant in plan.variants
        for varied in [
            {h: define_rois(variant.rois, retinotopy[h], z_maps[h]) for h in HEMISPHERES}
        ]
    ]

    rows: list[EstimateRow] = []
    runs: list[RunRow] = []
    sweep: list[SweepRow] = []
    absent = _absent(retinotopy, plan)
    for hemi in plan.sides:
        absent += [part for part in z_maps[hemi].values() if isinstance(part, Absent)]
        absent += [part.roi for part in rois[hemi].values() if isinstance(part.roi, Absent)]
    for source in files.estimates:
        maps, maps_of_runs = read_measured(reader, files, source, alignments)
        absent += _absent(maps, plan)
        rows += measure_in_rois(source, maps, regions, files, plan)
        for run, of_run in maps_of_runs.items():
            only = source.of_run(run)
            in_run = measure_in_rois(only, of_run, regions, files, plan)
            runs += [label_run(row, run) for row in in_run]
        for variant, swept in variants:
            in_variant = measure_in_rois(source, maps, swept, files, plan)
            sweep += [
                label_variant(row, variant) for row in in_variant if row.roi in variant.values
            ]
    folds, runs_of_folds, absent_in_folds = _cross_validate(
        reader, files, retinotopy, alignments, vertices, plan
    )
    rows = with_cross_validation(rows, folds)
    runs = runs_with_cross_validation(runs, runs_of_folds, rows)
    absent += absent_in_folds
    quality, overlaps = _describe(rois, vertices, files, plan)

    results = derivatives.ParticipantResults(
        files, rois, rows, quality, overlaps, sweep, runs, alignments
    )
    derivatives.write_participant(results, plan, settings)
    outcome = summarize_outcome(
        index,
        replace(files, messages=(*files.messages, *chain(*(m for _, m in described.values())))),
        absent,
        is_measured=any(row.n_finite is not None for row in rows),
        summary=summarize_rows(rows, len(plan.rois)),
        space=plan.maps_space,
    )
    angles = {hemi: maps.polar_angle for hemi, maps in vertices.items()}
    shown = MapsShown(retinotopy=retinotopy, polar_angles=angles, z_maps=z_maps, rois=rois)
    return _with_report(outcome, results, shown, plan, settings)


def choose_files(
    label: str,
    reference: Sequence[ParticipantIndex],
    settings: Settings,
    datasets: Sequence[Dataset],
) -> tuple[ParticipantIndex, Plan, ParticipantFiles]:
    """Find the maps of one participant, and choose what is asked for and what is used.

    A participant of the reference has been indexed already. See :func:`process_participant`.

    Raises
    ------
    SecondLevelError
        If nothing could be decided.
    """
    known = next((index for index in reference if index.label == label), None)
    index = known or index_participant(datasets, label, settings.bids_filters)
    plan = make_plan(reference, (index,), settings)
    files = select_files(index, plan)
    return index, plan, replace(files, messages=(*files.messages, *subcortex_notes(files)))


def _with_report(
    outcome: Outcome,
    results: derivatives.ParticipantResults,
    shown: MapsShown,
    plan: Plan,
    settings: Settings,
) -> Outcome:
    """Draw the cortex and write the page, last of all: whatever fails here costs no number."""
    files = results.files
    try:
        pages.remove_participant(files.label, plan.space, settings)
        portrait = _draw(shown, results, plan) if settings.report else _NOT_DRAWN
        derivatives.write_portrait(portrait.svg, files.label, plan, settings)
        told = (*outcome.messages, *portrait.messages), outcome.errors
        record = pages.participant_record(results, plan, settings, told, portrait.svg)
        pages.write_record(record, settings.output_dir)
        if not settings.report:
            return outcome
        pages.write_participant(record, settings.output_dir)
    except Exception as error:  # noqa: BLE001
        with suppress(SecondLevelError):  # an earlier picture would pass for that of this run
            derivatives.write_portrait(None, files.label, plan, settings)
        problem = traceback.format_exc() if settings.verbose else f"{type(error).__name__}: {error}"
        return replace(
            outcome,
            errors=(*outcome.errors, f"the numbers are written, the page is not ({problem})"),
            exit_code=outcome.exit_code or getattr(error, "exit_code", SOME_PARTICIPANT_FAILED),
        )
    return replace(outcome, messages=(*outcome.messages, *portrait.messages))


def _draw(shown: MapsShown, results: derivatives.ParticipantResults, plan: Plan) -> Portrait:
    """Draw the cortex on the best surfaces there are, or in slices of the volume."""
    files = results.files
    surfaces, messages = read_display_surfaces(files, plan, shown.retinotopy)
    ground = results.alignments["L"].grid or surfaces
    portrait = draw_portrait(shown, ground, files, plan)
    return replace(portrait, messages=(*messages, *portrait.messages))


def _regions(
    rois: Mapping[Hemisphere, Mapping[str, RoiMasks]], vertices: Mapping[Hemisphere, VertexMaps]
) -> Regions:
    """Find the vertices of every ROI, once for all maps."""
    return {
        hemi: {
            name: region(masks.roi, vertices[hemi].area, vertices[hemi].voxel_volume)
            for name, masks in of_hemisphere.items()
        }
        for hemi, of_hemisphere in rois.items()
    }


def measure_in_rois(
    source: EstimateSource,
    maps: Mapping[Hemisphere, Array | Absent],
    regions: Regions,
    files: ParticipantFiles,
    plan: Plan,
) -> Iterator[EstimateRow]:
    """Measure one contrast in every ROI.

    Parameters
    ----------
    source : EstimateSource
        Where the maps come from.
    maps : mapping of hemisphere to (n_vertices,) array or Absent
    regions : mapping of hemisphere to name to Region or Absent
    files : ParticipantFiles
    plan : Plan

    Yields
    ------
    EstimateRow
        For L, R and both, or those of them that are asked for, ROI by ROI.
    """
    n_runs = {hemi: len(source.maps[hemi].maps) for hemi in HEMISPHERES if hemi in source.maps}
    for roi in plan.rois:
        key = Key(
            participant_id=f"sub-{files.label}",
            session=source.session,
            task=source.task,
            contrast=source.contrast,
            roi=roi.name,
            space=plan.space,
            statistic=plan.statistic,
        )
        parts = {h: Part(regions[h][roi.name], maps[h]) for h in HEMISPHERES}
        measured = measure(
            key,
            parts,
            Method(plan.summary, roi.rule.min_vertices),
            n_runs=n_runs,
            independence=_independence(source, roi, files, plan),
        )
        yield from (row for row in measured if row.hemi in plan.hemi)


def _independence(
    source: EstimateSource, roi: RoiDefinition, files: ParticipantFiles, plan: Plan
) -> Independence:
    """Tell whether a map stems from recordings of the localizer that defined a ROI.

    Another task is independent data, and so are other runs or sessions of the localizer.
    """
    if plan.localizer_task is None or not same(source.task, plan.localizer_task):
        return "independent"
    needed = _shaped_by(roi, plan)
    shared = (
        measured.shares_data_with(localizer)
        for contrast in needed
        for localizer in files.localizers[contrast].values()
        for measured in source.maps.values()
    )
    return "circular" if needed and (not source.maps or any(shared)) else "independent"


def _shaped_by(roi: RoiDefinition, plan: Plan) -> tuple[str, ...]:
    """Name the localizer contrasts that had a say in a ROI; all, where it excludes others."""
    rois = plan.rois if roi.rule.exclusive else (roi,)
    return tuple(dict.fromkeys(chain.from_iterable(other.needed for other in rois)))


def _cross_validate(  # noqa: PLR0917
    reader: Reader,
    files: ParticipantFiles,
    retinotopy: Mapping[Hemisphere, Retinotopy | Absent],
    alignments: Mapping[Hemisphere, Alignment],
    vertices: Mapping[Hemisphere, VertexMaps],
    plan: Plan,
) -> tuple[list[EstimateRow], list[RunRow], list[Absent]]:
    """Define the ROIs without one run of the localizer and measure in that run, for each run."""
    localized = {roi.name for roi in plan.rois if _shaped_by(roi, plan)}
    rows: list[EstimateRow] = []
    runs: list[RunRow] = []
    absent: list[Absent] = []
    for fold in files.folds:
        z_maps = {
            h: carry_localizers(
                read_localizers(reader, fold.localizers, h),
                fold.localizers,
                files,
                h,
                alignments[h],
            )
            for h in HEMISPHERES
        }
        rois = {h: define_rois(plan.rois, retinotopy[h], z_maps[h]) for h in HEMISPHERES}
        regions = _regions(rois, vertices)
        absent += [z for h in plan.sides for z in z_maps[h].values() if isinstance(z, Absent)]
        for source in fold.estimates:
            maps, _ = read_measured(reader, files, source, alignments)
            absent += _absent(maps, plan)
            measured = measure_in_rois(source, maps, regions, files, plan)
            in_fold = [row for row in measured if row.roi in localized]
            rows += in_fold
            runs += [label_run(row, fold.run) for row in in_fold]
    return rows, runs, absent


def _describe(
    rois: Mapping[Hemisphere, Mapping[str, RoiMasks]],
    vertices: Mapping[Hemisphere, VertexMaps],
    files: ParticipantFiles,
    plan: Plan,
) -> tuple[list[QualityRow], list[OverlapRow]]:
    """Describe the ROIs themselves, and how they overlap."""
    names = [roi.name for roi in plan.rois]
    masks = {name: {h: rois[h][name].roi for h in HEMISPHERES} for name in names}
    retinotopic = {name: {h: rois[h][name].retinotopic for h in HEMISPHERES} for name in names}
    participant = f"sub-{files.label}"
    quality = describe_rois(participant, plan.space, masks, retinotopic, vertices)
    overlaps = compare_rois(participant, plan.space, masks)
    return (
        [row for row in quality if row.hemi in plan.hemi],
        [row for row in overlaps if row.hemi in plan.hemi],
    )


def _absent(parts: Mapping[Hemisphere, Any], plan: Plan) -> list[Absent]:
    """List what could not be had of the hemispheres that rows are about."""
    return [parts[hemi] for hemi in plan.sides if isinstance(parts[hemi], Absent)]
