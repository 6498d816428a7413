"""Write the pages again from the results that are there; no input is read."""

import logging

from bids_secondlevel.core.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    DataError,
    InputMissingError,
    NothingSelectedError,
)
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.inputs.datasets import unknown_participants
from bids_secondlevel.outputs.names import find_estimates
from bids_secondlevel.reports import pages

LOG = logging.getLogger("bids_secondlevel")


def run(settings: Settings) -> int:
    """Write the pages of the participants, or that of the group, again.

    Returns
    -------
    int
        Exit code: 0, or 1 if the page of a participant could not be written.

    Raises
    ------
    SecondLevelError
        If there are no results to be shown.
    """
    if settings.analysis_level == "group":
        pages.write_group(pages.read_group(settings.output_dir), settings.output_dir)
        LOG.info("%s: written", settings.output_dir / "group.html")
        return DONE
    found = find_estimates(settings.output_dir)
    if not found:
        raise InputMissingError(
            f"{settings.output_dir}: holds no results. Run without --reports-only first."
        )
    asked = settings.participant_label or tuple(found)
    unknown = [label for label in asked if label not in found]
    if len(unknown) == len(asked):
        raise NothingSelectedError(unknown_participants(unknown, list(found)))
    if unknown:
        LOG.error(unknown_participants(unknown, list(found)))
    failed = [label for label in asked if label in found and not _write(label, settings)]
    return SOME_PARTICIPANT_FAILED if failed or unknown else DONE


def _write(label: str, settings: Settings) -> bool:
    try:
        records = pages.read_participants(label, settings.output_dir)
    except DataError as error:
        LOG.error("sub-%s: %s", label, error)
        return False
    if not records:
        LOG.error(
            "sub-%s: there is no record of its run in logs/. Run the participant level again.",
            label,
        )
        return False
    for record in records:
        pages.write_participant(record, settings.output_dir)
    LOG.info("sub-%s: page written", label)
    return True
