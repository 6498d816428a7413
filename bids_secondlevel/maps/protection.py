"""What every reader of files needs: the bytes, checked, and what is wrong with them."""

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage

from bids_secondlevel.core.errors import DataError

_COMPRESSED = (".gz", ".mgz")

_NIFTI_2 = (540).to_bytes(4, "little")
"""How the header of a NIfTI-2 file begins: with its size."""

_GREATEST_RATIO = 1032
"""How many times smaller than its content a gzip file can be."""


@contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file that may be compressed, to be read from its beginning."""
    with gzip.open(path) if path.suffix in _COMPRESSED else path.open("rb") as file:
        yield file


def read_array(path: Path, image: SpatialImage, file: BufferedIOBase) -> Any:
    """Read the values of an image to the end of its file, where a compressed one has a checksum.

    Parameters
    ----------
    path : Path
    image : nibabel image
    file : file
        Opened, and the one that `image` is read from where it is compressed.

    Returns
    -------
    array
        In the shape and type that nibabel gives it.

    Raises
    ------
    DataError
        If the header declares more than the file can hold. nibabel and gzip raise others.
    """
    check_size(path, math.prod(image.shape) * image.get_data_dtype().itemsize)
    values = np.asanyarray(image.dataobj)
    while file.read(1 << 20):
        pass
    return values


def check_size(path: Path, n_bytes: int) -> None:
    """Refuse a file whose header declares more than there can be, before memory is taken for it.

    Raises
    ------
    DataError
    """
    size = path.stat().st_size
    if n_bytes > size * (_GREATEST_RATIO if path.suffix in _COMPRESSED else 1):
        raise DataError(
            f"{path}: its header declares {n_bytes} bytes of values, which a file of {size} bytes "
            "cannot hold. The file is cut short or damaged; write or fetch it again."
        )


def read_header(path: Path, file: BufferedIOBase) -> Any:
    """Read the header of an image in NIfTI or MGH format.

    Parameters
    ----------
    path : Path
    file : file
        The same file as :func:`opened` gives it.

    Returns
    -------
    nibabel image
        Of whatever kind the file is.
    """
    if path.suffix in (".mgz", ".mgh"):
        return nib.freesurfer.MGHImage.from_stream(file)
    if path.suffix == ".gz":
        is_second = file.read(4) in (_NIFTI_2, _NIFTI_2[::-1])
        file.seek(0)
        return (nib.Nifti2Image if is_second else nib.Nifti1Image).from_stream(file)
    return nib.load(path)


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
