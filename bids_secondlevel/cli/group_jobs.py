"""How the group level comes to know studies, and works on several participants."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from bids_secondlevel.cli import workers
from bids_secondlevel.cli.config import parse
from bids_secondlevel.core.errors import OutputError
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.group_maps.analysis import ParticipantJobs
from bids_secondlevel.inputs.datasets import find_datasets, list_participants
from bids_secondlevel.inputs.described import participants_of, patterns_of
from bids_secondlevel.inputs.study import Study, study_of

Item = TypeVar("Item")
Result = TypeVar("Result")


def recorded_study(settings: Settings, path: Path) -> Study:
    """Know a study as the jobs did whose settings lie in a file.

    Parameters
    ----------
    settings
        Of the group level, which say where the dataset and the results are now, and may say it of
        datasets with maps.
    path
        The settings of the participant level, as it has recorded them.

    Raises
    ------
    SecondLevelError
        If they cannot be used any more.
    """
    here = (str(settings.bids_dir.absolute()), str(settings.output_dir.absolute()))
    as_run = parse((*here, "participant", "--config", str(path)))
    derivatives = settings.derivatives or as_run.derivatives
    as_run = replace(as_run, participant_label=(), derivatives=derivatives)
    datasets = find_datasets(as_run)
    patterns = patterns_of(as_run, datasets)
    everyone = list_participants(as_run.bids_dir, datasets, partial(participants_of, patterns))
    return study_of(as_run, datasets, patterns, everyone)


def of_participants(settings: Settings) -> ParticipantJobs:
    """Say how the group level comes to know studies, and works on several participants."""
    return ParticipantJobs(
        study_of=partial(recorded_study, settings),
        in_order=partial(in_order, settings=settings),
    )


def in_order(
    work: Callable[[Item], Result], items: Sequence[Item], settings: Settings
) -> Generator[Result]:
    """Apply a function to participants, several at a time; results come in their order.

    Raises
    ------
    OutputError
        If a worker process was killed.
    """
    n_procs = workers.count_processes(len(items), settings)
    if n_procs == 1:
        yield from map(work, items)
        return
    workers.prepare(pages=False)
    try:
        yield from workers.in_processes(work, items, n_procs)
    except (BrokenExecutor, BrokenPipeError) as error:
        raise OutputError(
            "A worker process was killed or could not start, perhaps for lack of memory "
            f"({type(error).__name__}). --n-procs {max(1, n_procs // 2)} needs less memory."
        ) from error
