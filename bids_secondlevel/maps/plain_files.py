"""Read whole files that are not maps: tables, JSON, TOML."""

import json
import stat
from pathlib import Path
from typing import Any

from bids_secondlevel.core.errors import DataError


def read_bytes(path: Path, *, may_be_pipe: bool = False) -> bytes:
    """Read a file, but nothing that would never end.

    Parameters
    ----------
    path : Path
    may_be_pipe : bool
        Whether it may be a pipe, as a shell passes the output of a command; only of files that
        were named by the user.

    Raises
    ------
    OSError
        If it cannot be read, or is a device, a socket, a folder, or a pipe that may not be one.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or (may_be_pipe and stat.S_ISFIFO(mode))):
        raise OSError("it is no file, but a folder, a pipe or a device")
    return path.read_bytes()


def read_text(path: Path, *, may_be_pipe: bool = False) -> str:
    """Read a file as UTF-8, with or without a byte order mark; see :func:`read_bytes`.

    Raises
    ------
    OSError
        As :func:`read_bytes`.
    ValueError
        If it is no UTF-8.
    """
    return read_bytes(path, may_be_pipe=may_be_pipe).decode("utf-8-sig")


def read_json(path: Path, *, may_be_pipe: bool = False) -> Any:
    """Read a JSON file; see :func:`read_bytes`.

    Raises
    ------
    OSError
        As :func:`read_bytes`.
    ValueError
        If it is not UTF-8 or not JSON.
    """
    try:
        return json.loads(read_text(path, may_be_pipe=may_be_pipe))
    except RecursionError as error:
        raise ValueError(str(error)) from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    DataError
        If it cannot be read, or holds something else.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        what_to_do = "Fetch its content (datalad get)" if path.is_symlink() else "Correct the file"
        raise DataError(f"{path}: cannot be read as JSON ({error}). {what_to_do}.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a JSON {type(content).__name__}; expected an object.")
    return content
