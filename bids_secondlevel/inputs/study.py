"""What is known about a study in advance, and the choices for one participant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bids_secondlevel.core.errors import (
    DataError,
    InputMissingError,
    NoSuchRetinotopyError,
    NothingSelectedError,
)
from bids_secondlevel.core.files import Dataset, MapKind, ParticipantFiles, ParticipantIndex, Plan
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.inputs.choice.maps import otherwise_combined, select_files
from bids_secondlevel.inputs.choice.retinotopy import otherwise_sourced
from bids_secondlevel.inputs.described import Pattern
from bids_secondlevel.inputs.index import index_participant
from bids_secondlevel.inputs.near_misses import nearly_found
from bids_secondlevel.inputs.plan import make_plan

_ENOUGH = 3
"""How many participants with maps are read to learn what a study contains."""

_MOST = 20
"""How many participants are searched to find these."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is the same for all participants of a study."""

    settings: Settings
    datasets: Sequence[Dataset]
    reference: Sequence[ParticipantIndex]
    """The first participants of the study. They decide what is expected of every participant. They
    are always the same, so splitting a study into jobs does not change results."""
    patterns: Sequence[Pattern] = ()
    """Patterns of described files."""
    others: Sequence[ParticipantIndex] = ()
    """The first of the other participants that are processed."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The files found for a participant, and the choices among them."""

    index: ParticipantIndex
    plan: Plan
    files: ParticipantFiles


def study_of(
    settings: Settings,
    datasets: Sequence[Dataset],
    patterns: Sequence[Pattern],
    everyone: Sequence[str],
    selected: Sequence[str] = (),
) -> Study:
    """Learn what a study contains from its first participants and the first selected ones."""
    reference = survey(settings, datasets, everyone, patterns)
    known = {index.label for index in reference}
    unknown = [label for label in selected if label not in known]
    return Study(
        settings=settings,
        datasets=datasets,
        patterns=patterns,
        reference=reference,
        others=survey(settings, datasets, unknown, patterns),
    )


def choose(label: str, study: Study) -> Chosen:
    """Find the maps of one participant, make the plan, and choose the files that are used.

    Raises
    ------
    SecondLevelError
        If no choice is possible.
    """
    index = index_of(label, study)
    plan = plan_for(study, (index,))
    files = select_files(index, plan)
    differing = (
        *otherwise_sourced(index, files.retinotopy_source, plan, study.reference),
        *otherwise_combined(index, files, plan, study.reference),
    )
    return Chosen(
        index=index, plan=plan, files=replace(files, messages=(*files.messages, *differing))
    )


def index_of(label: str, study: Study) -> ParticipantIndex:
    """Find the files of a participant."""
    indexes = (*study.reference, *study.others)
    known = next((index for index in indexes if index.label == label), None)
    return known or index_participant(
        study.datasets, label, study.settings.bids_filters, study.patterns
    )


def plan_for(study: Study, others: Sequence[ParticipantIndex]) -> Plan:
    """Make the plan for all participants; see :func:`~.plan.make_plan`.

    Raises
    ------
    SecondLevelError
        As there. If something was not found, the message lists near misses and searched folders.
    """
    try:
        return make_plan(study.reference, others, study.settings)
    except (InputMissingError, NothingSelectedError) as error:
        kind: MapKind = "retinotopy" if isinstance(error, NoSuchRetinotopyError) else "map"
        near = nearly_found((*study.reference, *others), study.datasets, kind)
        raise type(error)(f"{error}\n{near}") from error


def survey(
    settings: Settings,
    datasets: Sequence[Dataset],
    labels: Iterable[str],
    patterns: Sequence[Pattern] = (),
) -> tuple[ParticipantIndex, ...]:
    """Index the first participants with maps, to learn what a study contains.

    If none of them has maps, the indexes without maps are returned, which may have volumes.
    """
    indexes = []
    for label in islice(labels, _MOST):
        try:
            indexes.append(index_participant(datasets, label, settings.bids_filters, patterns))
        except DataError:  # reported when this participant is processed
            continue
        if sum(bool(index.statistical_maps) for index in indexes) == _ENOUGH:
            break
    return tuple(index for index in indexes if index.statistical_maps) or tuple(indexes)
