"""Who takes part in the group."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_secondlevel.core.errors import (
    DataError,
    InputMissingError,
    NothingSelectedError,
)
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import Status
from bids_secondlevel.inputs.datasets import (
    list_participants,
    unknown_participants,
)
from bids_secondlevel.inputs.participants import read_participants
from bids_secondlevel.outputs.names import find_estimates

LOG = logging.getLogger("bids_secondlevel")


@dataclass(frozen=True)
class Participants:
    """Who takes part in the group, by label."""

    used: Mapping[str, Sequence[Path]]
    """Those with tables, and their tables."""
    absent: Mapping[str, Status]
    """Those who are listed without numbers, and why."""
    unknown: tuple[str, ...]
    """Labels that exist nowhere, of those asked for or excluded."""


def choose_participants(settings: Settings) -> Participants:
    """Choose who takes part: those of the study and of its results, or those asked for.

    Raises
    ------
    InputMissingError
        If there is no table at all.
    NothingSelectedError
        If nobody is left.
    """
    found = find_estimates(settings.output_dir)
    if not found:
        raise InputMissingError(
            f"{settings.output_dir}: holds no table of a participant "
            "(sub-*/func/*_desc-roi_estimates.tsv). Run the participant level first."
        )
    known = sorted({*list_participants(settings.bids_dir, ()), *_in_table(settings), *found})
    asked = settings.participant_label or tuple(known)
    unknown = tuple(label for label in asked if label not in known)
    if unknown:
        LOG.error(unknown_participants(unknown, known))
    labels = [label for label in asked if label in known]
    excluded = [label for label in labels if label in settings.exclusions]
    missing = [label for label in labels if label not in found and label not in excluded]
    used = {x: found[x] for x in labels if x in found and x not in excluded}
    if not used and excluded:
        raise NothingSelectedError(
            f"--exclude {settings.exclude}: leaves nobody who has a table in {settings.output_dir}."
        )
    if not used:
        raise NothingSelectedError(
            f"--participant-label: none of {', '.join(asked)} has a table in "
            f"{settings.output_dir}; there are: {', '.join(found)}."
        )
    if len(labels) < len(known):
        LOG.warning("--participant-label: %d of %d participants.", len(labels), len(known))
    if missing:
        LOG.warning(
            "No results of %s: run the participant level for them. In the group table they have "
            "the status missing_participant.",
            ", ".join(f"sub-{label}" for label in missing),
        )
    strangers = [label for label in settings.exclusions if label not in known]
    if strangers:
        named = ", ".join(f"sub-{label}" for label in strangers)
        there = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        LOG.error(
            "--exclude %s: no participant %s in this dataset, so that nobody is left out by it; "
            "there are: %s.",
            settings.exclude,
            named,
            there,
        )
    if excluded:
        LOG.warning("Excluded: %s.", ", ".join(f"sub-{label}" for label in excluded))
    absent: dict[str, Status] = {
        **dict.fromkeys(missing, "missing_participant"),
        **dict.fromkeys(excluded, "excluded"),
    }
    return Participants(used, absent, (*unknown, *strangers))


def _in_table(settings: Settings) -> list[str]:
    """List the participants that ``participants.tsv`` names; it is needed for nothing else here."""
    try:
        named = read_participants(settings.bids_dir).values
    except DataError as error:
        LOG.warning("%s Participants are those with a folder.", error)
        return []
    return [name.removeprefix("sub-") for name in named]
