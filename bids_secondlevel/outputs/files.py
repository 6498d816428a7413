"""Write files completely or not at all."""

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
"""Beginning and end of the names of temporary files. They do not depend on the name of the file,
which may already have the maximum length."""

_ABANDONED = 3600
"""Age in seconds from which a temporary file is assumed to be left by a killed process. Writing
takes seconds; the clocks of computers that share a disk may differ by minutes."""

Written = dict[Path, str]
"""SHA-256 of the content written to each file, which another process may have replaced since."""


def replace_files(earlier: Iterable[Path], files: Mapping[Path, bytes]) -> Written:
    """Write files in their order, and remove others from an earlier call.

    The last file marks the set as complete. If anything will change, it is removed first. Then,
    backwards, all files that will change are removed before any is written.

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
    """Write a temporary file, then rename it; a file with the same content is not touched.

    If the process is killed, the file is either complete or unchanged. It is not forced to the disk
    (fsync), which took a fifth of the time per participant. A loss of power may therefore damage a
    file. The record of the run detects this by its size, and the participant is processed again.

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
            f"{path}: cannot be written ({error.strerror or error}). Check that the output folder "
            "exists or can be created, is writable, and has space left."
        ) from error


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove temporary files left in folders by killed processes.

    Files younger than an hour are kept, because another job may be writing them. It is not an error
    if one cannot be removed, because it does no harm.
    """
    before = time.time() - _ABANDONED
    for folder in folders:
        for path in folder.glob(f"{_BESIDE}*{_UNFINISHED}"):
            with suppress(OSError):
                if path.lstat().st_mtime < before:
                    path.unlink()


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files of an earlier call.

    Raises
    ------
    OutputError
        If one cannot be removed.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be removed ({error.strerror or error}). Check the permissions of "
                "its folder."
            ) from error


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
    except OSError:  # removed or replaced just now, or not readable
        return False


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Encode a JSON object."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(
        errors="backslashreplace"  # for file names that are not Unicode
    )
