"""The participant level: find the maps, read them, define the ROIs, measure, write.

:func:`analyse` is the whole analysis of one participant.
"""

import traceback
from contextlib import suppress
from dataclasses import replace
from functools import partial

from bids_secondlevel.core.errors import DONE, SOME_PARTICIPANT_FAILED, SecondLevelError
from bids_secondlevel.core.files import ParticipantFiles, Plan
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.inputs.study import Study, choose
from bids_secondlevel.maps.display import read_display_surfaces
from bids_secondlevel.maps.reader import MapReader
from bids_secondlevel.outputs import results as derivatives
from bids_secondlevel.outputs import resume
from bids_secondlevel.outputs.files import what_is_written
from bids_secondlevel.outputs.names import folder_of
from bids_secondlevel.outputs.outcome import (
    UP_TO_DATE,
    Outcome,
    summarize_outcome,
    summarize_rows,
)
from bids_secondlevel.outputs.results import ParticipantResults
from bids_secondlevel.reports import pages
from bids_secondlevel.reports.cortex.picture import Portrait, draw_portrait
from bids_secondlevel.rois.define import individual_rois, lacking
from bids_secondlevel.rois.independence import cross_validated
from bids_secondlevel.rois.measure import locate, measure
from bids_secondlevel.rois.quality import compare_rois, describe_rois
from bids_secondlevel.rois.runs import label_run
from bids_secondlevel.rois.sweep import label_variant


def analyse(files: ParticipantFiles, plan: Plan) -> ParticipantResults:
    """Define the individual ROIs of a participant, and measure every contrast in them."""
    read = MapReader(files, plan)  # each file once; remembers what could not be had, and why

    # Retinotopy and localizer of each hemisphere, on the same vertices (or voxels).
    cortex = read.cortices()

    # ROI = visual areas within the limits of eccentricity AND what the localizer activates.
    rois = individual_rois(plan.rois, cortex)
    regions = locate(rois, cortex)
    varied = [(v, locate(individual_rois(v.rois, cortex), cortex)) for v in plan.variants]

    # Every contrast in every ROI: a row for L, for R, and for the vertices of both pooled.
    estimates, runs, sweep = [], [], []
    for contrast in files.contrasts:
        maps = read.contrast(contrast, cortex)
        estimates += measure(maps.combined, regions, contrast, plan)
        for run, of_run in maps.by_run.items():
            rows = measure(of_run, regions, contrast.of_run(run), plan)
            runs += [label_run(row, run) for row in rows]
        for variant, changed in varied:
            rows = measure(maps.combined, changed, contrast, plan)
            sweep += [label_variant(row, variant) for row in rows if row.roi in variant.values]

    # The localizer's own contrasts, not circular: ROIs from all runs but one, measured in that one.
    held_out = []
    for fold in files.folds:
        others = cortex.map(partial(read.without_run, fold))
        elsewhere = locate(individual_rois(plan.rois, others), cortex)
        for contrast in fold.contrasts:
            maps = read.contrast(contrast, cortex)
            rows = measure(maps.combined, elsewhere, contrast, plan)
            held_out += [(fold.run, row) for row in rows]
    estimates, runs = cross_validated(estimates, runs, held_out)

    participant = f"sub-{files.label}"
    return ParticipantResults(
        files=files,
        cortex=cortex,
        rois=rois,
        estimates=estimates,
        runs=runs,
        sweep=sweep,
        quality=describe_rois(participant, rois, cortex, plan),
        overlaps=compare_rois(participant, rois, plan),
        problems=(*lacking(cortex, rois, plan.sides), *read.problems),
        messages=tuple(read.messages),
    )


_NOT_DRAWN = Portrait(
    None, ("the cortex was not drawn (--no-report). Run the participant level again to draw it.",)
)


def process_participant(label: str, study: Study) -> Outcome:
    """Find the files of a participant, analyse them, write results and page.

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
    chosen = choose(label, study)
    place = folder_of(label, chosen.plan.space, study.settings)
    origin = resume.origin_of(chosen, study.settings)
    if not study.settings.force and resume.is_up_to_date(origin, place):
        return Outcome(label, UP_TO_DATE)
    resume.forget(place)
    with what_is_written() as written:
        results = analyse(chosen.files, chosen.plan)
        derivatives.write_participant(results, chosen.plan, study.settings)
        outcome = summarize_outcome(
            chosen,
            results.problems,
            results.messages,
            is_measured=any(row.n_finite is not None for row in results.estimates),
            summary=summarize_rows(results.estimates, len(chosen.plan.rois)),
        )
        outcome = _with_report(outcome, results, chosen.plan, study.settings)
    if outcome.exit_code == DONE:
        resume.remember(origin, written, place, chosen)
    return outcome


def _with_report(
    outcome: Outcome,
    results: ParticipantResults,
    plan: Plan,
    settings: Settings,
) -> Outcome:
    """Draw the cortex and write the page, last of all: whatever fails here costs no number."""
    files = results.files
    try:
        pages.remove_participant(files.label, plan.space, settings)
        portrait = _draw(results, plan) if settings.report else _NOT_DRAWN
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


def _draw(results: ParticipantResults, plan: Plan) -> Portrait:
    """Draw the cortex on the best surfaces there are, or in slices of the volume."""
    surfaces, messages = read_display_surfaces(results.files, plan, results.cortex)
    ground = results.cortex.left.grid or surfaces
    portrait = draw_portrait(results.cortex, results.rois, ground, results.files, plan)
    return replace(portrait, messages=(*messages, *portrait.messages))
