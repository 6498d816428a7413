"""Write files whole or not at all."""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bids_secondlevel.core.errors import OutputError

_BESIDE, _UNFINISHED = ".bids_secondlevel-", ".part"
"""How the names of files begin and end that are being written. They do not depend on the name of
the file, which may have the greatest length that a file system takes."""

_ABANDONED = 3600
"""Age in seconds at which a file that is being written is taken for that of a killed process.
Writing one takes seconds; the clocks of computers that share a disk may differ by minutes."""

Written = dict[Path, str]
"""SHA-256 of what each file was given, which another process may have replaced since."""


def replace_files(earlier: Iterable[Path], files: Mapping[Path, bytes]) -> Written:
    """Write files in their order, and remove others that an earlier run has left.

    The last of the files stands for all. If anything will change, it is removed first, then,
    backwards, all that will change, before anything is written.

    Raises
    ------
    OutputError
        If one cannot be removed or written.
    """
    outdated = [path for path in reversed(list(files)) if not _holds(path, files[path])]
    outdated += [path for path in earlier if path not in files]
    if outdated:
        *_, last = files
        remove_files((last, *outdated))
    return write_files(files)


def write_files(files: Mapping[Path, bytes]) -> Written:
    """Write files in their order.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    for path, content in files.items():
        write_atomically(path, content)
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, then rename it; leave one that is the same untouched.

    A process that is killed leaves the file whole or as it was. It is not forced to the disk
    (fsync), which took a fifth of the time of a participant: after a loss of power a file may be
    cut short, which the record of the run tells by its size, so that the participant is redone.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        if not _holds(path, content):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.parent / f"{_BESIDE}{secrets.token_hex(8)}{_UNFINISHED}"
            try:
                with beside.open("xb") as file:
                    file.write(content)
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}). Check that the output "
            "folder exists or can be made, is writable, and has space left."
        ) from error


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove what processes that were killed while they wrote have left in folders.

    Files that are younger than an hour are left alone, as another job may be writing them. That
    one cannot be removed is no failure: it is in nobody's way.
    """
    before = time.time() - _ABANDONED
    for folder in folders:
        for path in folder.glob(f"{_BESIDE}*{_UNFINISHED}"):
            with suppress(OSError):
                if path.lstat().st_mtime < before:
                    path.unlink()


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files that an earlier run has left.

    Raises
    ------
    OutputError
        If one cannot be removed.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be removed ({error.strerror or error}).") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_atomically(path, json_bytes(content))


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.is_file() and path.read_bytes() == content
    except OSError:  # removed or replaced just now, or not to be read
        return False


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Encode a JSON object."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(
        errors="backslashreplace"  # of names of files that are no Unicode
    )
