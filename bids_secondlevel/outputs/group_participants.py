"""Choose the participants of the group."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_secondlevel.core.errors import (
    DataError,
    InputMissingError,
    NothingSelectedError,
)
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import ParticipantsTable, Status
from bids_secondlevel.core.words import counted, listed
from bids_secondlevel.inputs.datasets import (
    list_participants,
    unknown_participants,
)
from bids_secondlevel.inputs.participants import read_participants
from bids_secondlevel.outputs.names import find_estimates

LOG = logging.getLogger("bids_secondlevel")


@dataclass(frozen=True)
class Participants:
    """The participants of the group, by label."""

    used: Mapping[str, Sequence[Path]]
    """Participants with tables, and their tables."""
    absent: Mapping[str, Status]
    """Participants without estimates, and the reason."""
    unknown: tuple[str, ...]
    """Labels that were asked for or excluded and do not exist."""
    about: ParticipantsTable
    """The content of ``participants.tsv``; empty if it cannot be read."""


def choose_participants(settings: Settings) -> Participants:
    """Choose the participants of the study and its results, or those asked for.

    Raises
    ------
    InputMissingError
        If there is no table.
    NothingSelectedError
        If no participant remains.
    """
    found = find_estimates(settings.output_dir)
    if not found:
        raise InputMissingError(
            f"{settings.output_dir}: has no table of a participant "
            "(sub-*/func/*_desc-roi_estimates.tsv). Run the participant level first."
        )
    about = _read_about(settings)
    study = _study(settings, about, found)
    found = {label: paths for label, paths in found.items() if label not in study.left}
    if not found:
        raise InputMissingError(
            f"{settings.output_dir}: all tables belong to participants that are not in "
            f"{settings.bids_dir}. Give the dataset from which they were made, or run the "
            "participant level again."
        )
    known = sorted({*study.labels, *found})
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
            f"--exclude {settings.exclude}: excludes all participants with tables in "
            f"{settings.output_dir}. Remove some from the file."
        )
    if not used:
        raise NothingSelectedError(
            f"--participant-label: none of {', '.join(asked)} has a table in "
            f"{settings.output_dir}. Participants with tables: {', '.join(found)}."
        )
    if len(labels) < len(known):
        LOG.warning(
            "Only %d of %s are analysed (--participant-label).",
            len(labels),
            counted(len(known), "participant"),
        )
    _tell_missing(missing, study)
    strangers = [label for label in settings.exclusions if label not in known]
    if strangers:
        named = ", ".join(f"sub-{label}" for label in strangers)
        LOG.error(
            "--exclude %s: there is no participant %s; this has no effect. Participants: %s.",
            settings.exclude,
            named,
            listed(known),
        )
    absent: dict[str, Status] = {
        **dict.fromkeys(missing, "missing_participant"),
        **dict.fromkeys(excluded, "excluded"),
    }
    return Participants(used, absent, (*unknown, *strangers), about)


@dataclass(frozen=True)
class _Study:
    """The participants of the study, by label."""

    folders: frozenset[str]
    """Participants with a folder in ``BIDS_DIR``."""
    labels: frozenset[str]
    """These, and participants in ``participants.tsv``."""
    left: frozenset[str]
    """Participants with results that are in neither, if both exist."""


def _study(settings: Settings, about: ParticipantsTable, found: Collection[str]) -> _Study:
    """Find the participants of the study, and report results of others."""
    folders = frozenset(list_participants(settings.bids_dir, ()))
    in_table = [name.removeprefix("sub-") for name in about.values]
    odd = _spelled_otherwise(in_table, {*folders, *found})
    if odd:
        shown = ", ".join(f"{label} ({there})" for label, there in list(odd.items())[:5])
        LOG.warning(
            "%s: %s but not the same as an existing participant (in brackets): %s%s. Correct the "
            "file; until then its columns are n/a for %s.",
            settings.bids_dir / "participants.tsv",
            "1 participant_id is similar to"
            if len(odd) == 1
            else f"{len(odd)} values of participant_id are similar to",
            shown,
            f" and {len(odd) - 5} more" if len(odd) > 5 else "",
            "this participant" if len(odd) == 1 else "these participants",
        )
    labels = folders.union(odd.get(label, label) for label in in_table)
    strangers = sorted(set(found) - labels)
    if not strangers or not labels:
        return _Study(folders, labels, frozenset())
    named = ", ".join(f"sub-{label}" for label in strangers)
    if folders and in_table:
        LOG.warning(
            "Excluded: %s. There are results, but neither a folder in %s nor a row in its "
            "participants.tsv. Delete the results if the participant has left the study; otherwise "
            "add a row.",
            named,
            settings.bids_dir,
        )
        return _Study(folders, labels, frozenset(strangers))
    LOG.warning(
        "%s: there are results, but no %s in %s. They are included. Delete the results of "
        "participants that are not in the study.",
        named,
        "folder" if folders else "row of participants.tsv",
        settings.bids_dir,
    )
    return _Study(folders, labels, frozenset())


def _tell_missing(missing: Sequence[str], study: _Study) -> None:
    """Report participants without results, and what to do about it."""
    for has_folder, advice in (
        (True, "run the participant level"),
        (False, "listed in participants.tsv, but without a folder"),
    ):
        named = [f"sub-{label}" for label in missing if (label in study.folders) == has_folder]
        if named:
            LOG.warning(
                "No results of %s: %s. Status in the group table: missing_participant.",
                ", ".join(named),
                advice,
            )


def _spelled_otherwise(named: Collection[str], there: Collection[str]) -> dict[str, str]:
    """Find labels of ``participants.tsv`` that are nearly those of participants without a row.

    Spreadsheets remove the zero of ``01``, and people write ``SUB-01`` or ``sub_01``.
    """
    plain = {_plain(label): label for label in there if label not in named}
    return {
        label: plain[_plain(label)]
        for label in named
        if label not in there and _plain(label) in plain
    }


def _plain(label: str) -> str:
    """Write a label in lower case, without prefix, leading zeros or decimals."""
    text = re.sub(r"^sub(ject)?[-_ ]*", "", label.casefold())
    return re.sub(r"[^0-9a-z]", "", re.sub(r"\.0+$", "", text)).lstrip("0")


def _read_about(settings: Settings) -> ParticipantsTable:
    """Read ``participants.tsv``; it is required only for a model."""
    try:
        return read_participants(settings.bids_dir)
    except DataError as error:
        LOG.warning("%s Only participants with a folder are used.", error)
        return ParticipantsTable()
