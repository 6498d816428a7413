"""What every reader of files needs: is the file there, and what is wrong with one that is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bids_secondlevel.errors import DataError


@contextmanager
def explained(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises into a message that names the file.

    Parameters
    ----------
    path : Path
    kind : str
        What the file was to be read as, for example ``surface map``.

    Raises
    ------
    DataError
        If anything is raised within.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # each parser has failures of its own
        raise DataError(
            f"{path}: cannot be read as a {kind} ({_cause(error)}). The file may be cut "
            "short or damaged; write or fetch it again."
        ) from error


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
