"""The participant level: find the maps, read them, define the ROIs, measure, write.

:func:`process_participant` is the whole analysis of one participant.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from bids_secondlevel import derivatives, discovery
from bids_secondlevel.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    DataError,
    InputMissingError,
    NothingSelectedError,
    SecondLevelError,
)
from bids_secondlevel.measures import (
    EstimateRow,
    Independence,
    Key,
    Method,
    Part,
    measure,
    with_cross_validation,
)
from bids_secondlevel.model import (
    HEMISPHERES,
    STATUSES,
    Absent,
    Array,
    Dataset,
    EstimateSource,
    Hemisphere,
    ParticipantFiles,
    ParticipantIndex,
    Plan,
    Retinotopy,
    RoiMasks,
)
from bids_secondlevel.planning import make_plan, same
from bids_secondlevel.preview import describe_datasets, describe_run, find_gaps
from bids_secondlevel.reading import (
    measured_gap,
    read_localizers,
    read_measured,
    read_participant_retinotopy,
)
from bids_secondlevel.rois import define_rois
from bids_secondlevel.selection import select_files
from bids_secondlevel.settings import RoiDefinition, Settings
from bids_secondlevel.sweep import SweepRow, sweep_variants
from bids_secondlevel.writing import write_atomically

LOG = logging.getLogger("bids_secondlevel")

SURVEYED = 3
"""How many participants are looked at to learn what a study contains."""


@dataclass(frozen=True)
class Outcome:
    """How a participant went; `exit_code` is the program's if it was the only one."""

    label: str
    summary: str = ""
    messages: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    exit_code: int = DONE


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

    Raises
    ------
    SecondLevelError
        If nothing could be decided or written for this participant.
    """
    index = discovery.index_participant(datasets, label, settings.bids_filters)
    plan = make_plan((index, *reference), settings)
    files = select_files(index, plan, settings)

    retinotopy = {h: read_participant_retinotopy(files, h, plan.rois) for h in HEMISPHERES}
    z_maps = {h: read_localizers(files, files.localizers, h, retinotopy[h]) for h in HEMISPHERES}
    rois = {h: define_rois(plan.rois, retinotopy[h], z_maps[h]) for h in HEMISPHERES}
    variants = [
        (variant, {h: define_rois(variant.rois, retinotopy[h], z_maps[h]) for h in HEMISPHERES})
        for variant in (sweep_variants(plan.rois, settings) if settings.sweep else ())
    ]

    rows: list[EstimateRow] = []
    sweep: list[SweepRow] = []
    absent = [*_absent(retinotopy), *chain.from_iterable(map(_absent, z_maps.values()))]
    for source in files.estimates:
        maps = {h: read_measured(files, source, h, retinotopy[h]) for h in HEMISPHERES}
        absent += _absent(maps)
        rows += measure_in_rois(source, maps, rois, files, plan, settings)
        for variant, swept in variants:
            in_variant = measure_in_rois(source, maps, swept, files, plan, settings)
            sweep += [variant.label(row) for row in in_variant]
    rows = with_cross_validation(rows, _cross_validate(files, retinotopy, plan, settings))

    results = derivatives.ParticipantResults(files, rois, rows, sweep)
    derivatives.write_participant(results, plan, settings)
    return _outcome(
        index,
        files,
        absent,
        is_measured=any(row.n_finite is not None for row in rows),
        summary=_summary(rows, len(plan.rois)),
    )


def measure_in_rois(  # noqa: PLR0917
    source: EstimateSource,
    maps: Mapping[Hemisphere, Array | Absent],
    rois: Mapping[Hemisphere, Mapping[str, RoiMasks]],
    files: ParticipantFiles,
    plan: Plan,
    settings: Settings,
) -> Iterator[EstimateRow]:
    """Measure one contrast in every ROI.

    Parameters
    ----------
    source : EstimateSource
        Where the maps come from.
    maps : mapping of hemisphere to (n_vertices,) array or Absent
    rois : mapping of hemisphere to name to RoiMasks
    files : ParticipantFiles
    plan : Plan
    settings : Settings

    Yields
    ------
    EstimateRow
        For L, R and both, ROI by ROI.
    """
    runs = [len(hemi_source.maps) for hemi_source in source.maps.values()]
    for roi in plan.rois:
        key = Key(
            participant_id=f"sub-{files.label}",
            session=source.session,
            task=source.task,
            contrast=source.contrast,
            roi=roi.name,
            space=plan.space,
            statistic=settings.statistic,
        )
        yield from measure(
            key,
            {h: Part(rois[h][roi.name].roi, maps[h]) for h in HEMISPHERES},
            Method(settings.summary, roi.rule.min_vertices),
            n_runs=min(runs) if runs else None,
            independence=_independence(source, roi, files, plan),
        )


def _independence(
    source: EstimateSource, roi: RoiDefinition, files: ParticipantFiles, plan: Plan
) -> Independence:
    """Tell whether a map stems from recordings of the localizer that defined a ROI.

    Another task is independent data, and so are other runs or sessions of the localizer.
    """
    if plan.localizer_task is None or not same(source.task, plan.localizer_task):
        return "independent"
    shared = (
        measured.shares_data_with(localizer)
        for contrast in roi.needed
        for localizer in files.localizers[contrast].values()
        for measured in source.maps.values()
    )
    return "circular" if roi.needed and (not source.maps or any(shared)) else "independent"


def _cross_validate(
    files: ParticipantFiles,
    retinotopy: Mapping[Hemisphere, Retinotopy | Absent],
    plan: Plan,
    settings: Settings,
) -> Iterator[EstimateRow]:
    """Define the ROIs without one run of the localizer and measure in that run, for each run."""
    localized = {roi.name for roi in plan.rois if roi.contrasts}
    for fold in files.folds:
        z_maps = {h: read_localizers(files, fold.localizers, h, retinotopy[h]) for h in HEMISPHERES}
        rois = {h: define_rois(plan.rois, retinotopy[h], z_maps[h]) for h in HEMISPHERES}
        for source in fold.estimates:
            maps = {h: read_measured(files, source, h, retinotopy[h]) for h in HEMISPHERES}
            for row in measure_in_rois(source, maps, rois, files, plan, settings):
                if row.roi in localized:
                    yield row


def run(settings: Settings) -> int:
    """Process the participants chosen by the settings, and say how it went.

    Returns
    -------
    int
        Exit code: 0 if all went well; the code of the failure if all participants failed with
        the same; else 1.

    Raises
    ------
    SecondLevelError
        If nothing can be processed at all.
    """
    description = discovery.check_bids_dir(settings)
    discovery.check_output_dir(settings)
    datasets = discovery.find_datasets(settings)
    selected, unknown = discovery.select_participants(settings, datasets)
    everyone = discovery.list_participants(settings.bids_dir, datasets)
    reference = survey(settings, datasets, everyone)
    surveyed = (*reference, *survey(settings, datasets, selected))
    for message in discovery.unrecognised(datasets, surveyed):
        LOG.info(message)
    plan = make_plan(surveyed, settings)
    for message in plan.messages:
        LOG.warning(message)
    outcomes: Iterable[Outcome]
    if settings.dry_run:
        print(describe_datasets(datasets))
        outcomes = (_attempt(label, reference, settings, datasets) for label in selected)
    else:
        derivatives.write_dataset_files(
            settings.output_dir, datasets, settings.bids_dir, description
        )
        outcomes = _process_all(selected, reference, settings, datasets)
    codes = []
    for outcome in outcomes:
        _report(outcome)
        codes.append(outcome.exit_code)
        if outcome.exit_code != DONE and settings.stop_on_first_crash:
            LOG.error("Stopped at the first failure (--stop-on-first-crash).")
            break
    if unknown:
        LOG.error(discovery.unknown_participants(unknown, everyone))
        codes.append(NothingSelectedError.exit_code)
    return codes[0] if len(set(codes)) == 1 else SOME_PARTICIPANT_FAILED


def preview_participant(
    label: str,
    reference: Sequence[ParticipantIndex],
    settings: Settings,
    datasets: Sequence[Dataset],
) -> Outcome:
    """Print what would be done for a participant, and find what is missing.

    Raises
    ------
    SecondLevelError
        If nothing could be decided for this participant.
    """
    index = discovery.index_participant(datasets, label, settings.bids_filters)
    plan = make_plan((index, *reference), settings)
    files = select_files(index, plan, settings)
    print(describe_run(files, plan))
    gaps = find_gaps(files, plan)
    is_measured = any(
        measured_gap(estimate, hemi) is None for estimate in files.estimates for hemi in HEMISPHERES
    )
    return _outcome(index, files, gaps, is_measured=is_measured, summary="nothing written")


def survey(
    settings: Settings, datasets: Sequence[Dataset], labels: Iterable[str]
) -> tuple[ParticipantIndex, ...]:
    """Index the first few participants, to learn what a study contains."""
    return tuple(
        discovery.index_participant(datasets, label, settings.bids_filters)
        for label in islice(labels, SURVEYED)
    )


def _process_all(
    labels: Sequence[str],
    reference: Sequence[ParticipantIndex],
    settings: Settings,
    datasets: Sequence[Dataset],
) -> Iterator[Outcome]:
    """Process participants, several at a time; outcomes come in the order of the labels."""
    import joblib

    n_procs = min(settings.n_procs or joblib.cpu_count(), len(labels))
    tasks = (joblib.delayed(_attempt)(label, reference, settings, datasets) for label in labels)
    outcomes: Iterator[Outcome] = joblib.Parallel(n_jobs=n_procs, return_as="generator")(tasks)
    return outcomes


def _attempt(
    label: str,
    reference: Sequence[ParticipantIndex],
    settings: Settings,
    datasets: Sequence[Dataset],
) -> Outcome:
    """Process a participant, and turn any failure into an outcome."""
    process = preview_participant if settings.dry_run else process_participant
    try:
        return process(label, reference, settings, datasets)
    except SecondLevelError as error:
        return Outcome(label, errors=(str(error),), exit_code=error.exit_code)
    except Exception as error:  # noqa: BLE001 a defect must not stop the other participants
        report = settings.output_dir / "logs" / f"sub-{label}_crash.txt"
        write_atomically(report, traceback.format_exc().encode())
        message = f"unexpected {type(error).__name__}: {error}. The traceback is in {report}."
        return Outcome(label, errors=(message,), exit_code=SOME_PARTICIPANT_FAILED)


def _report(outcome: Outcome) -> None:
    for message in outcome.messages:
        LOG.warning("sub-%s: %s", outcome.label, message)
    for error in outcome.errors:
        LOG.error("sub-%s: %s", outcome.label, error)
    if outcome.summary:
        LOG.info("sub-%s: %s", outcome.label, outcome.summary)


def _outcome(
    index: ParticipantIndex,
    files: ParticipantFiles,
    absent: Sequence[Absent],
    *,
    is_measured: bool,
    summary: str,
) -> Outcome:
    """Say how it went, from what could not be had."""
    errors: list[SecondLevelError] = [part.error for part in absent if part.error]
    if index.foreign:
        named = ", ".join(str(source.path) for source in index.foreign)
        errors.append(
            DataError(
                f"{named}: in a folder of sub-{index.label}, but named after another participant; "
                "not used. Put the file where it belongs."
            )
        )
    if not errors and not is_measured:
        errors.append(InputMissingError("no map could be measured."))
    missing = [
        f"task {estimate.task}, contrast {estimate.contrast}: no map found (status missing_map)."
        for estimate in files.estimates
        if not estimate.maps
    ]
    codes = {error.exit_code for error in errors}
    return Outcome(
        label=index.label,
        summary=summary,
        messages=(*files.messages, *missing),
        errors=tuple(dict.fromkeys(str(error) for error in errors)),
        exit_code=min(codes, default=DONE),
    )


def _summary(rows: Sequence[EstimateRow], n_rois: int) -> str:
    counts = Counter(row.status for row in rows)
    statuses = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    return f"{len(rows)} estimates in {n_rois} ROIs: {statuses}"


def _absent(parts: Mapping[Any, Any]) -> list[Absent]:
    return [part for part in parts.values() if isinstance(part, Absent)]
