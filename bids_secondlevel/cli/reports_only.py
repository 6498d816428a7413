"""Write the pages again from existing results. No input is read."""

import logging

from bids_secondlevel.core.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    DataError,
    InputMissingError,
    NothingSelectedError,
)
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.group import write_group_page
from bids_secondlevel.inputs.datasets import unknown_participants
from bids_secondlevel.outputs.group_results import read_group
from bids_secondlevel.outputs.names import GroupFolder, find_estimates
from bids_secondlevel.outputs.results import read_participants
from bids_secondlevel.participant import write_participant_page

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
        If there are no results.
    """
    if settings.analysis_level == "group":
        folder = GroupFolder(settings.output_dir, settings.analysis_name)
        write_group_page(read_group(folder), folder, settings.figure_format)
        LOG.info("%s: written", folder.page)
        return DONE
    found = find_estimates(settings.output_dir)
    if not found:
        raise InputMissingError(
            f"{settings.output_dir}: there are no results in this folder. Run without "
            "--reports-only first."
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
        found = read_participants(label, settings.output_dir)
    except DataError as error:
        LOG.error("sub-%s: %s", label, error)
        return False
    if not found:
        LOG.error(
            "sub-%s: there is no record of its run in logs/. Run the participant level again.",
            label,
        )
        return False
    for folder, results in found.items():
        write_participant_page(results, folder, settings.figure_format)
    LOG.info("sub-%s: page written", label)
    return True
