"""The participant level: find the maps, read them, define the ROIs, measure, write.

:func:`analyse` is the whole analysis of one participant.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from bids_secondlevel.core.errors import DONE, SOME_PARTICIPANT_FAILED
from bids_secondlevel.core.files import Contrast, ParticipantFiles, Plan
from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.results import ParticipantResults, definition_of, inputs_of
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.settings import settings_text
from bids_secondlevel.core.values import Absent, Array, Rois, in_any, in_any_area
from bids_secondlevel.core.wording import FigureFormat
from bids_secondlevel.inputs.study import Chosen, Study, choose
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.display import read_display_surfaces
from bids_secondlevel.maps.reader import MapReader
from bids_secondlevel.outputs import resume
from bids_secondlevel.outputs.files import Written, remove_files, write_files
from bids_secondlevel.outputs.names import ParticipantFolder
from bids_secondlevel.outputs.outcome import (
    UP_TO_DATE,
    Outcome,
    summarize_results,
)
from bids_secondlevel.outputs.results import (
    links_to,
    read_reasons,
    write_page,
    write_participant,
    write_report,
)
from bids_secondlevel.rois.define import individual_rois, lacking
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.independence import cross_validated
from bids_secondlevel.rois.measure import locate, measure, values_in
from bids_secondlevel.rois.quality import OverlapRow, QualityRow, compare_rois, describe_rois
from bids_secondlevel.rois.runs import run_table
from bids_secondlevel.rois.sweep import sweep_table
from bids_secondlevel.rois.visual_field import (
    field_table,
    locate_in_field,
    measure_in_field,
)

if TYPE_CHECKING:  # what draws is imported only if there is a page
    from bids_secondlevel.reports.cortex.picture import Portrait


@dataclass(frozen=True, eq=False, kw_only=True)
class Analysis:
    """The results of a participant, and the vertices they are based on."""

    results: ParticipantResults
    cortex: Bilateral[Cortex]
    """Retinotopy and localizer, on the vertices of the ROIs."""
    rois: Bilateral[Rois]
    drawn: tuple[tuple[Contrast, Bilateral[Array | Absent]], ...]
    """Values of the contrasts to be drawn, at the vertices of any ROI."""
    explored: tuple[tuple[Contrast, Bilateral[Array | Absent]], ...]
    """Values of all contrasts at the vertices of any visual area; empty unless asked for."""
    problems: tuple[Absent, ...]
    """Missing inputs, with the reasons."""


_MOST_DRAWN = 4
"""Measured contrasts that are drawn."""

_NO_ANGLES = "[[position]]: without a map of polar angle there are no profiles around positions."


def analyse(files: ParticipantFiles, plan: Plan) -> Analysis:
    """Define the individual ROIs of a participant, and measure every contrast in them."""
    read = MapReader(files, plan)  # reads each file once, and collects reasons of missing maps

    # Retinotopy and localizer of each hemisphere, on the same vertices (or voxels).
    cortex = read.cortices()

    # ROI = visual areas within the limits of eccentricity AND what the localizer activates.
    rois = individual_rois(plan.rois, cortex)
    regions = locate(rois, cortex)
    field = locate_in_field(cortex, plan)
    varied = [(v, locate(individual_rois(v.rois, cortex), cortex)) for v in plan.variants]

    # Every contrast in every ROI: a row for L, for R, and for the vertices of both pooled.
    estimates, runs, sweep, in_field, drawn, explored = [], [], [], [], [], []
    to_draw = _to_draw(files, plan)
    in_rois = rois.map(in_any)
    in_areas = cortex.map(lambda half: in_any_area(half.retinotopy))
    for contrast in files.contrasts:
        maps = read.contrast(contrast, cortex)
        estimates += measure(maps.combined, regions, contrast, plan)
        for run, of_run in maps.by_run.items():
            rows = measure(of_run, regions, contrast.of_run(run), plan)
            runs += [(run, row) for row in rows]
        in_field += [measure_in_field(maps.combined, field, contrast)]
        if contrast in to_draw:
            drawn += [(contrast, values_in(in_rois, maps.combined))]
        if plan.explore:
            explored += [(contrast, values_in(in_areas, maps.combined))]
        for variant, changed in varied:
            rows = measure(maps.combined, changed, contrast, plan)
            sweep += [(variant, row) for row in rows]

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
    aligned = [half.alignment for half in cortex]
    results = ParticipantResults(
        participant_id=participant,
        session=plan.session,
        space=plan.space,
        definition=definition_of(
            plan,
            files,
            resampling=[method for half in aligned for method in half.methods],
            spheres=[sphere for half in aligned for sphere in half.spheres],
        ),
        inputs=inputs_of(files),
        estimates=frame_of(estimates, EstimateRow),
        runs=run_table(runs),
        sweep=sweep_table(sweep),
        visual_field=field_table(in_field, field, plan),
        quality=frame_of(describe_rois(participant, rois, cortex, plan), QualityRow),
        overlaps=frame_of(compare_rois(participant, rois, plan), OverlapRow),
        messages=(*read.messages, *([_NO_ANGLES] if field.lacks_positions else [])),
    )
    problems = (*lacking(cortex, rois, plan.sides), *read.problems)
    return Analysis(
        results=results,
        cortex=cortex,
        rois=rois,
        drawn=tuple(drawn),
        explored=tuple(explored),
        problems=problems,
    )


_NOT_DRAWN = "the cortex was not drawn (--no-report). Run the participant level again to draw it."


def process_participant(label: str, study: Study) -> Outcome:
    """Find the files of a participant, analyse them, write results and page.

    Returns
    -------
    Outcome
        Errors that affect only some estimates are in it, and in the status of the rows. A
        participant with results that are up to date is skipped.

    Raises
    ------
    SecondLevelError
        If no files could be chosen or written for this participant.
    """
    chosen, settings = choose(label, study), study.settings
    plan = chosen.plan
    folder = ParticipantFolder(settings.output_dir, label, plan.space, plan.session)
    origin = resume.origin_of(chosen, settings)
    if not settings.force and resume.is_up_to_date(origin, folder):
        return Outcome(label, UP_TO_DATE, reasons=read_reasons(folder))
    resume.forget(folder)
    found = analyse(chosen.files, plan)
    written = write_participant(
        found.results, found.rois, found.cortex, chosen, folder, settings=settings_text(settings)
    )
    outcome = summarize_results(chosen, found.problems, found.results)
    try:  # last, because errors here affect no results
        remove_files(folder.pages())
        results = replace(
            found.results,
            reasons=outcome.reasons,
            messages=(*outcome.messages, _NOT_DRAWN),
            errors=outcome.errors,
        )
        explorer = None
        if settings.report:
            portrait, explorer = _draw(found, chosen)
            results = replace(
                results,
                messages=(*outcome.messages, *portrait.messages),
                portrait=portrait.svg,
                thumbnail=portrait.thumbnail,
                explorer=None if explorer is None else folder.explorer.name,
            )
        written |= write_report(results, folder)
        if explorer is not None:
            written |= write_files({folder.explorer: explorer})
        if settings.report:
            written |= write_participant_page(results, folder, settings.figure_format)
            outcome = replace(outcome, messages=results.messages)
    except Exception as error:  # noqa: BLE001
        problem = traceback.format_exc() if settings.verbose else f"{type(error).__name__}: {error}"
        return replace(
            outcome,
            errors=(*outcome.errors, f"the tables are written, the page is not ({problem})"),
            exit_code=outcome.exit_code or getattr(error, "exit_code", SOME_PARTICIPANT_FAILED),
        )
    if outcome.exit_code == DONE:
        resume.remember(origin, written, folder, chosen)
    return outcome


def write_participant_page(
    results: ParticipantResults, folder: ParticipantFolder, formats: Sequence[FigureFormat]
) -> Written:
    """Write the page about a participant, and its figures as files in some formats.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from bids_secondlevel.reports.page import render
    from bids_secondlevel.reports.participant_page import participant_page

    page = participant_page(results)
    figures = page.figures(formats)
    return write_page(render(page, links_to(figures, folder)), figures, folder)


def _to_draw(files: ParticipantFiles, plan: Plan) -> tuple[Contrast, ...]:
    """Choose contrasts of the first task that does not define the ROIs, in its first session."""
    others = [c for c in files.contrasts if c.task != plan.localizer_task]
    of_task = [(c.session, c.task) == (others[0].session, others[0].task) for c in others]
    return tuple(c for c, is_of in zip(others, of_task, strict=True) if is_of)[:_MOST_DRAWN]


def _draw(found: Analysis, chosen: Chosen) -> "tuple[Portrait, bytes | None]":
    """Draw the cortex on the best surfaces there are, or in slices of the volume.

    If asked for, also make the page on which it can be turned.
    """
    from bids_secondlevel.reports.cortex.picture import draw_portrait

    files, plan, cortex = chosen.files, chosen.plan, found.cortex
    surfaces, messages = read_display_surfaces(files, plan, cortex)
    explorer = None
    if plan.explore:
        from bids_secondlevel.reports.cortex.view import other_areas
        from bids_secondlevel.reports.explore.explorer import explorer_page

        explorer = explorer_page(
            found.results,
            cortex,
            found.rois,
            surfaces=surfaces,
            measured=found.explored,
            plan=plan,
            others=other_areas(files),
        )
        messages += ["there is no page to explore: no surface to show."] * (explorer is None)
    shown = [*found.results.definition.labels, *(of.contrast for of, _ in found.drawn)]
    name = plan.wording.among(shown).name
    cortex = cortex.map(
        lambda half: replace(half, localizer={name(of): z for of, z in half.localizer.items()})
    )
    rois = found.rois.map(lambda half: {name(roi): masks for roi, masks in half.items()})
    measured = [(replace(of, contrast=name(of.contrast)), values) for of, values in found.drawn]
    ground = cortex.left.grid or surfaces
    portrait = draw_portrait(cortex, rois, ground, files, plan, measured=measured)
    return replace(portrait, messages=(*messages, *portrait.messages)), explorer
