"""Run the participant level: choose participants, process them in parallel, and report."""

import logging
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial

from bids_secondlevel.cli import workers
from bids_secondlevel.core.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    AmbiguousInputError,
    DataError,
    InputMissingError,
    NothingSelectedError,
    OutputError,
    SecondLevelError,
)
from bids_secondlevel.core.files import MapKind, ParticipantFiles, Plan, only_session
from bids_secondlevel.core.results import definition_of
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.inputs.choice.maps import select_files
from bids_secondlevel.inputs.datasets import (
    check_bids_dir,
    check_output_dir,
    find_datasets,
    is_empty,
    list_participants,
    select_participants,
    unknown_participants,
    unlisted_participants,
    what_is_in,
)
from bids_secondlevel.inputs.described import (
    check_patterns,
    further_datasets,
    participants_of,
    patterns_of,
)
from bids_secondlevel.inputs.near_misses import nearly_found, unused_datasets
from bids_secondlevel.inputs.plan import make_plan
from bids_secondlevel.inputs.study import Study, index_of, plan_for, study_of
from bids_secondlevel.outputs.dataset import write_dataset_files, write_methods
from bids_secondlevel.outputs.files import remove_files, write_atomically
from bids_secondlevel.outputs.names import ParticipantFolder, sidecar_of
from bids_secondlevel.outputs.outcome import Outcome, tell_outcomes
from bids_secondlevel.reports.methods import describe_measurement

LOG = logging.getLogger("bids_secondlevel")

_NOT_FINISHED = "was not finished, because a worker process was killed or could not start."

_LOOKED_AT = 3
"""Number of participants whose files are searched again for names that are nearly right."""


def run(settings: Settings) -> int:
    """Process the participants chosen by the settings, and report the result.

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
    description = check_bids_dir(settings)
    check_output_dir(settings)
    datasets = find_datasets(settings)
    patterns = patterns_of(settings, datasets)
    described = cache(partial(participants_of, patterns))
    selected, unknown = select_participants(settings, datasets, described)
    n_procs = workers.count_processes(len(selected), settings)
    if n_procs > 1:
        workers.prepare(pages=settings.report)
    everyone = list_participants(settings.bids_dir, datasets, described)
    check_patterns(patterns, everyone)
    unlisted = (
        () if settings.participant_label else unlisted_participants(everyone, datasets, described)
    )
    if unlisted:
        LOG.warning(
            "Only in derivatives, not in BIDS_DIR, and so not processed: %s. Name them with "
            "--participant-label to include them.",
            ", ".join(f"sub-{label}" for label in unlisted),
        )
    study = study_of(settings, datasets, patterns, everyone, selected)
    _announce(study, selected)
    linked = [*datasets, *further_datasets(patterns, datasets)]
    outcomes: Generator[Outcome]
    if settings.dry_run:
        from bids_secondlevel.cli import preview

        foreseen = preview.foresee([_attempt(label, study) for label in selected])
        preview.show(foreseen, study, linked)
        outcomes = (outcome for outcome in foreseen)
    else:
        write_dataset_files(settings.output_dir, linked, settings.bids_dir, description)
        _write_methods(study)
        outcomes = _process_all(selected, study, n_procs)
    done: list[Outcome] = []
    try:
        with _progress(len(selected), settings) as advance:
            for outcome in outcomes:
                done.append(outcome)
                if _NOT_FINISHED not in outcome.errors:  # one message names all of them
                    _report(outcome, f"[{len(done)}/{len(selected)}] " if len(selected) > 1 else "")
                advance()
                if outcome.exit_code != DONE and settings.stop_on_first_crash:
                    LOG.error("Stopped at the first failure (--stop-on-first-crash).")
                    outcomes.close()
                    break
        _tell_nearly_found(done, study)
    finally:  # also if the run was interrupted
        if unknown:
            LOG.error(unknown_participants(unknown, everyone))
        if done:
            tell_outcomes(done, is_dry_run=settings.dry_run)
    codes = [outcome.exit_code for outcome in done]
    codes += [NothingSelectedError.exit_code] if unknown else []
    return codes[0] if len(set(codes)) == 1 else SOME_PARTICIPANT_FAILED


def _announce(study: Study, selected: Sequence[str]) -> None:
    """Report what was chosen for the study. Stop if no plan can be made for any participant.

    Raises
    ------
    SecondLevelError
        If no plan can be made from the first participants and no others were asked for.
    """
    surveyed = (*study.reference, *study.others)
    try:
        plan = plan_for(study, study.others)
    except InputMissingError:
        if set(selected) <= {index.label for index in surveyed} or len(selected) == 1:
            raise
        return  # the message of each participant says what is missing
    for message in (*plan.choices, *plan.messages):
        LOG.warning(message)
    for dataset in unused_datasets(study.datasets, surveyed):
        where = what_is_in(dataset, surveyed[0].label)
        level = logging.WARNING if is_empty(dataset) else logging.INFO
        LOG.log(level, "No statistical or retinotopic maps recognised in %s.", where)
    LOG.info(
        "Space %s; localizer task %s; ROIs %s.",
        plan.space or "(none in the names)",
        plan.localizer_task or "(none)",
        ", ".join(roi.name for roi in plan.rois),
    )


def _tell_nearly_found(done: Sequence[Outcome], study: Study) -> None:
    """List files that are nearly the maps that participants lack, and the folders searched."""
    kinds: dict[MapKind, str] = {"retinotopy": "retinotopy", "map": "maps of the localizer"}
    for kind, what in kinds.items():
        labels = [outcome.label for outcome in done if kind in outcome.missing]
        indexes = [index_of(label, study) for label in labels[:_LOOKED_AT]]
        if indexes:
            near = nearly_found(indexes, study.datasets, kind)
            LOG.warning("Found no %s for sub-%s.\n%s", what, labels[0], near)


def _write_methods(study: Study) -> None:
    """Write the methods text of the participant level. It is the same for every job of a study.

    The group level writes its own text, beside its tables.
    """
    settings, reference = study.settings, study.reference
    if (settings.output_dir / "group_statistics.tsv").exists():
        return
    try:
        plan = make_plan(reference, (), settings)
        files = [select_files(index, plan) for index in reference]
    except SecondLevelError:  # reported when participants are processed
        return
    if not files:
        return
    sources = {of.retinotopy_source for of in files if of.retinotopy_source}
    definition = definition_of(plan, files[0])
    same = [set(definition_of(plan, of).combined) for of in files]
    combined = tuple(way for way in definition.combined if all(way in of for of in same))
    text = describe_measurement(
        replace(
            definition, sources=tuple(sorted(sources)), combined=combined, choices=plan.choices
        ),
        plan.space,
        independence=_independence(files, plan),
        hemis=plan.hemi,
        profiles=("eccentricity", "polar_angle") if plan.visual_field else (),
    )
    write_methods(text.markdown(), text.bibtex(), settings.output_dir / "logs")


def _independence(files: Sequence[ParticipantFiles], plan: Plan) -> list[str]:
    """Return the independence of the localizer's own contrasts, if they are measured."""
    if any(of.folds for of in files):
        return ["crossvalidated"]
    measured = {contrast.task for of in files for contrast in of.contrasts}
    return ["circular"] if plan.localizer_task in measured else []


def _process_all(labels: Sequence[str], study: Study, n_procs: int) -> Generator[Outcome]:
    """Process participants, several at a time; outcomes come in the order of the labels."""
    attempt = partial(_attempt, study=study)
    if n_procs == 1:
        yield from map(attempt, labels)
        return
    n_done = 0
    try:
        for outcome in workers.in_processes(attempt, labels, n_procs):
            n_done += 1
            yield outcome
    except (BrokenExecutor, BrokenPipeError) as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        LOG.error(
            "A worker process was killed or could not start, perhaps for lack of memory (%s). Run "
            "the same command again: finished participants are kept. --n-procs %d needs less "
            "memory.",
            told,
            max(1, n_procs // 2),
        )
        for label in labels[n_done:]:
            yield Outcome(
                label,
                errors=(_NOT_FINISHED,),
                exit_code=SOME_PARTICIPANT_FAILED,
            )


@contextmanager
def _progress(n_participants: int, settings: Settings) -> Iterator[Callable[[], object]]:
    """Show a progress bar, on a terminal only. In a log, each participant's line has a count."""
    if n_participants == 1 or settings.dry_run or not sys.stderr.isatty():
        yield lambda: None
        return
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with logging_redirect_tqdm([LOG]), tqdm(total=n_participants, unit="participant") as bar:
        yield bar.update


def _attempt(label: str, study: Study) -> Outcome:
    """Process a participant, and turn any failure into an outcome."""
    settings = study.settings
    if settings.dry_run:
        from bids_secondlevel.cli.preview import preview_participant as process
    else:  # which the program itself does not import if its workers do this
        from bids_secondlevel.participant import process_participant as process
    try:
        return process(label, study)
    except BrokenPipeError:  # the reader of the output has gone
        raise
    except OutputError as error:
        return Outcome(label, errors=(str(error),), exit_code=error.exit_code)
    except SecondLevelError as error:
        # An earlier table could be mistaken for a result of this run. Wrong options remove none.
        is_of_data = isinstance(error, (DataError, AmbiguousInputError)) and not settings.dry_run
        removed = _remove_tables(label, settings) if is_of_data else ()
        told = traceback.format_exc() if settings.verbose else str(error)
        return Outcome(label, messages=removed, errors=(told,), exit_code=error.exit_code)
    except Exception as error:  # noqa: BLE001 a defect must not stop the other participants
        message = f"unexpected {type(error).__name__}: {error}."
        if not settings.dry_run:
            report = settings.output_dir / "logs" / f"sub-{label}_crash.txt"
            write_atomically(report, traceback.format_exc().encode())
            message += f" The traceback is in {report}."
        return Outcome(label, errors=(message,), exit_code=SOME_PARTICIPANT_FAILED)


def _remove_tables(label: str, settings: Settings) -> tuple[str, ...]:
    """Remove tables of an earlier run, which could be mistaken for results of this one."""
    session = only_session(settings.session_label)
    folder = ParticipantFolder(settings.output_dir, label, settings.space, session)
    removed = folder.tables_and_pictures()
    remove_files(file for path in removed for file in (path, sidecar_of(path)))
    return tuple(
        f"{path}: removed, because it is the result of an earlier run." for path in removed
    )


def _report(outcome: Outcome, progress: str) -> None:
    """Log that a participant is done. The summary gives the reasons of failures."""
    failed = "" if outcome.exit_code == DONE else "failed"
    said = "; ".join(part for part in (failed, outcome.summary) if part)
    LOG.info("%ssub-%s: %s", progress, outcome.label, said or "done")
