"""Read whole files that are not maps: tables, JSON, TOML."""

import stat
from pathlib import Path


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
