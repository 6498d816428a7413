"""What is known of a study before a participant is looked at, and what is chosen for one."""

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
from bids_secondlevel.inputs.choose_maps import otherwise_combined, select_files
from bids_secondlevel.inputs.choose_retinotopy import otherwise_sourced
from bids_secondlevel.inputs.described import Pattern
from bids_secondlevel.inputs.index import index_participant
from bids_secondlevel.inputs.near_misses import nearly_found
from bids_secondlevel.inputs.plan import make_plan

_ENOUGH = 3
"""How many participants with maps are looked at to learn what a study contains."""

_MOST = 20
"""How many participants are looked at to find them."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a participant is chosen for, the same for all of them."""

    settings: Settings
    datasets: Sequence[Dataset]
    reference: Sequence[ParticipantIndex]
    """The first participants of the study. They say what is asked for if a participant lacks it;
    as they are always the same, it does not matter which jobs a study is split into."""
    patterns: Sequence[Pattern] = ()
    """Of files that the user describes."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was found for a participant, and what of it is used for what."""

    index: ParticipantIndex
    plan: Plan
    files: ParticipantFiles


def choose(label: str, study: Study) -> Chosen:
    """Find the maps of one participant, and choose what is asked for and what is used.

    Raises
    ------
    SecondLevelError
        If nothing could be decided.
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
    known = next((index for index in study.reference if index.label == label), None)
    return known or index_participant(
        study.datasets, label, study.settings.bids_filters, study.patterns
    )


def plan_for(study: Study, others: Sequence[ParticipantIndex]) -> Plan:
    """Decide what is asked for, for all participants; see :func:`~.plan.make_plan`.

    Raises
    ------
    SecondLevelError
        As there. If something was not found, with what was nearly found, and where.
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
    """Index the first few participants with maps, to learn what a study contains.

    If none of the first participants has any, the indexes without maps are returned: they say
    which volumes there are.
    """
    indexes = []
    for label in islice(labels, _MOST):
        try:
            indexes.append(index_participant(datasets, label, settings.bids_filters, patterns))
        except DataError:  # said when this participant is processed
            continue
        if sum(bool(index.statistical_maps) for index in indexes) == _ENOUGH:
            break
    return tuple(index for index in indexes if index.statistical_maps) or tuple(indexes)
