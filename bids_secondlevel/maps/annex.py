"""Tell files whose content is not on this computer, as DataLad (git-annex) leaves them."""

from pathlib import Path

from bids_secondlevel.core.errors import InputMissingError

_LONGEST_POINTER = 32_768
"""Bytes; git-annex takes nothing longer for a pointer."""


def check_present(path: Path) -> None:
    """Check that a file is there, and say how to get it if its content is elsewhere.

    Raises
    ------
    InputMissingError
        If it is not there, a link to nothing, or what git-annex leaves in its place where files
        are unlocked.
    """
    if not path.is_file():
        if not path.is_symlink():
            raise InputMissingError(f"{path}: there is no such file.")
        stands_for = "a symbolic link to"
    elif _is_annex_pointer(path):
        stands_for = "a text that stands for"
    else:
        return
    raise InputMissingError(
        f"{path}: {stands_for} content that is not on this computer. In a DataLad dataset, get it "
        f"with: datalad get {path}"
    )


def _is_annex_pointer(path: Path) -> bool:
    start = b"/annex/objects/"
    try:
        if path.stat().st_size > _LONGEST_POINTER:  # so that maps are not opened for this
            return False
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError:  # told by whoever reads it
        return False
