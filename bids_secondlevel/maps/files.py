"""Protect readers from files that are missing, not fetched, not regular files, or damaged.

A reader says what it reads. Any failure becomes a message that names the file.
"""

import codecs
import gzip
import json
import math
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from bids_secondlevel.core.errors import DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.values import Array

_POINTER = b"/annex/objects/"
"""Beginning of the text that git-annex puts in place of an unlocked file."""

_LONGEST_POINTER = 32_768
"""Bytes; git-annex treats only shorter files as pointers, so larger files need not be opened."""

_LONGEST_HEADER = 540
"""Bytes of a NIfTI-2 header."""

_COMPRESSED = (".gz", ".mgz")


def check_present(path: Path) -> None:
    """Check that a file exists, and explain how to get its content if that is elsewhere.

    Raises
    ------
    InputMissingError
        If the file is missing, a broken link, or a pointer of git-annex (DataLad).
    """
    if not path.is_file():
        if not path.is_symlink():
            raise InputMissingError(f"{path}: this file does not exist.")
        stands_for = "a symbolic link to"
    elif _is_annex_pointer(path):
        stands_for = "a text in place of"
    else:
        return
    raise InputMissingError(
        f"{path}: {stands_for} content that is not on this computer. In a DataLad dataset, get it "
        f"with: datalad get {path}"
    )


def _is_annex_pointer(path: Path) -> bool:
    try:
        if path.stat().st_size > _LONGEST_POINTER:
            return False
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:  # the reader reports it
        return False


@contextmanager
def explained(path: Path, kind: str) -> Iterator[None]:
    """Turn any error of a parser into a message that names the file.

    Parameters
    ----------
    path
        The file; its existence is checked first.
    kind
        Expected kind of file, for example ``surface map``.

    Raises
    ------
    InputMissingError
        As :func:`check_present`.
    DataError
        If anything else is raised within.
    """
    check_present(path)
    try:
        yield
    except SecondLevelError:
        raise
    except Exception as error:  # each parser raises different errors
        text = " ".join(str(error).split())
        cause = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise DataError(
            f"{path}: cannot be read as a {kind} ({cause}). The file may be incomplete or damaged; "
            "write or fetch it again."
        ) from error


def check_real(path: Path, kind: np.dtype[Any]) -> None:
    """Refuse colours, complex numbers and other values that are not real numbers.

    Raises
    ------
    DataError
    """
    if kind.kind not in "fiu":
        raise DataError(f"{path}: holds {kind} values; expected real numbers.")


def as_floats(path: Path, values: Array) -> Array:
    """Convert the values of a file to floats that keep its precision or its whole numbers.

    Arithmetic with unsigned integers wraps around: minus 5 is 251.

    Raises
    ------
    DataError
        As :func:`check_real`.
    """
    check_real(path, values.dtype)
    if values.dtype.kind == "f":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    return values.astype(np.result_type(values.dtype, np.float32))


def index_of_array(
    path: Path, chosen: int | str | None, n_arrays: int, names: Sequence[str] = ()
) -> int:
    """Find the chosen array of a file that may have several.

    Parameters
    ----------
    chosen
        Number from 0, or exact name; ``None`` for the only one.
    names
        Names of the arrays, if the file has any.

    Raises
    ------
    DataError
        If there is not exactly one such array.
    """
    if isinstance(chosen, str):
        found = [number for number, name in enumerate(names) if name == chosen]
    else:
        found = [number for number in range(n_arrays) if chosen in (None, number)]
    if len(found) == 1:
        return found[0]
    asked = "" if chosen is None else f" {chosen!r}"
    known = f", named {', '.join(map(repr, names))}" if any(names) else ""
    raise DataError(
        f"{path}: expected one array{asked} with one value per vertex or voxel, found "
        f"{len(found)}; it holds {n_arrays}{known}. Choose one with array (a number from 0, or a "
        "name) in a [[maps]] or [[retinotopy]] entry of the config file."
    )


def opened(path: Path) -> BufferedIOBase:
    """Open a file that may be compressed."""
    is_compressed = path.suffix.casefold() in _COMPRESSED
    return gzip.open(path) if is_compressed else path.open("rb")


def read_header(path: Path) -> Any:
    """Read the header of an image in NIfTI or MGH format."""
    with opened(path) as file:
        image_type = _image_type(path, file.read(_LONGEST_HEADER))
        file.seek(0)
        return image_type.from_stream(file)


def read_image(path: Path) -> tuple[Any, Array]:
    """Read an image in NIfTI or MGH format, and check the checksum if it is compressed.

    Returns
    -------
    image
        The image of nibabel.
    values : array
        With shape and type of nibabel.

    Raises
    ------
    DataError
        If the header declares more values than the file holds; checked before memory is allocated.
        nibabel and gzip raise other errors.
    """
    with opened(path) as file:
        content = file.read()
    image = _image_type(path, content).from_bytes(content)
    declared = math.prod(image.shape) * image.get_data_dtype().itemsize
    if declared > len(content):
        raise DataError(
            f"{path}: its header declares {declared} bytes of values, which a file of "
            f"{len(content)} bytes cannot hold. The file is incomplete or damaged; write or fetch "
            "it again."
        )
    return image, np.asanyarray(image.dataobj)


def chosen_frame(path: Path, values: Array, chosen: int | str) -> Array:
    """Select a frame of an image along its fourth dimension.

    Raises
    ------
    DataError
        If the frame does not exist.
    """
    frames = values.reshape((*values.shape, 1, 1, 1)[: max(values.ndim, 4)])
    return frames[..., index_of_array(path, chosen, frames.shape[-1])]


def _image_type(path: Path, start: bytes) -> Any:
    import nibabel as nib

    if path.suffix.casefold() in (".mgz", ".mgh"):
        return nib.freesurfer.MGHImage
    for image_type in (nib.Nifti1Image, nib.Nifti2Image):
        if image_type.header_class.may_contain_header(start):
            return image_type
    raise ValueError("it is not NIfTI or MGH")


def read_bytes(path: Path, *, may_be_pipe: bool = False) -> bytes:
    """Read a whole file that is not a map (a table, JSON, TOML). Devices are refused.

    Parameters
    ----------
    may_be_pipe
        Whether it may be a pipe, by which a shell passes the output of a command. Only for files
        named by the user.

    Raises
    ------
    OSError
        If it cannot be read, or is a device, a socket, a folder, or a pipe that is not allowed.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or (may_be_pipe and stat.S_ISFIFO(mode))):
        raise OSError("it is not a file but a folder, a pipe or a device")
    return path.read_bytes()


def read_text(path: Path, *, may_be_pipe: bool = False) -> str:
    """Read a file as UTF-8, with or without a byte order mark; see :func:`read_bytes`.

    Raises
    ------
    OSError
        As :func:`read_bytes`.
    ValueError
        If it is not UTF-8; the message says so.
    """
    content = read_bytes(path, may_be_pipe=may_be_pipe)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        line = content.count(b"\n", 0, error.start) + 1
        found = "is in UTF-16" if is_utf16 else f"is not in UTF-8 (line {line})"
        raise ValueError(f"the text {found}; save it as UTF-8") from error


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
        If the file cannot be read, or does not hold an object.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        what_to_do = "Fetch its content (datalad get)" if path.is_symlink() else "Correct the file"
        raise DataError(f"{path}: cannot be read as JSON ({error}). {what_to_do}.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a JSON {type(content).__name__}; expected an object.")
    return content
