"""Errors that a user can mend, each with its exit code.

Codes 64 to 73 follow the BSD convention ``sysexits.h``; 16 to 18 are those of the draft of the BIDS
execution specification. A message names the file, what was found, what was expected, and what to do
next.
"""

DONE = 0
SOME_PARTICIPANT_FAILED = 1


class SecondLevelError(Exception):
    """An error that one message explains to the user.

    Attributes
    ----------
    exit_code : int
        What the program returns when this error ends it.
    """

    exit_code = SOME_PARTICIPANT_FAILED


class InvalidDatasetError(SecondLevelError):
    """``BIDS_DIR`` is not a BIDS dataset."""

    exit_code = 16


class NothingSelectedError(SecondLevelError):
    """The filters given by the user selected nothing."""

    exit_code = 18


class NoSuchRetinotopyError(NothingSelectedError):
    """There is no retinotopy of the source that was asked for."""


class UsageError(SecondLevelError):
    """An option is wrong, or one is needed to decide between candidates."""

    exit_code = 64


class UnknownLevelError(UsageError):
    """There is no such analysis level."""

    exit_code = 17


class AmbiguousInputError(UsageError):
    """Several files of a participant could be meant; an option has to decide."""


class DataError(SecondLevelError):
    """A file cannot be read, or files contradict each other."""

    exit_code = 65


class InputMissingError(SecondLevelError):
    """A file or folder that is needed is not there."""

    exit_code = 66


class OutputError(SecondLevelError):
    """A result cannot be written."""

    exit_code = 73
