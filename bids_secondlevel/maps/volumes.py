"""Read and resample volumes: one value per voxel of a grid."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.values import Array
from bids_secondlevel.maps.annex import check_present
from bids_secondlevel.maps.grid import Grid
from bids_secondlevel.maps.protection import explained, opened, read_array, read_header

_GOOD_RAS_FLAG = slice(28, 30)
"""Bytes of an MGH header that say whether it holds an orientation."""

_SMALLEST = 1e-9
"""Volume of a voxel in mm^3 below which the affine has lost a dimension."""


def read_grid(path: Path) -> Grid:
    """Read where the voxels of a volume are, from its header alone.

    Parameters
    ----------
    path : Path
        NIfTI (``.nii``, ``.nii.gz``) or FreeSurfer's MGH (``.mgz``, ``.mgh``).

    Returns
    -------
    Grid

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, holds a surface or several volumes, or does not say where its
        voxels are. A NIfTI file whose ``qform_code`` and ``sform_code`` are both 0, and an MGH
        file without the flag of a good orientation, are refused: left and right would be a
        guess.
    """
    with _opened(path) as (_, grid, _):
        return grid


def read_volume(path: Path) -> tuple[Array, Grid]:
    """Read a volume: one value per voxel.

    Parameters
    ----------
    path : Path
        As for :func:`read_grid`.

    Returns
    -------
    values : (n_voxels,) array
        In C order and in the precision of the file; scaled values as nibabel gives them.
    grid : Grid

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_grid`; also if the values are no real numbers.
    """
    with _opened(path) as (image, grid, file):
        values = np.asarray(read_array(path, image, file)).reshape(-1)
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise DataError(f"{path}: holds {values.dtype} values; expected real numbers.")
    return values.astype(values.dtype.newbyteorder("="), copy=False), grid


def read_degrees_of_freedom(path: Path) -> float:
    """Read the degrees of freedom of a map of t values that SPM has written.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_grid`; also if its description (``SPM{T_[123.0]} - contrast 1: ...``) does
        not say them.
    """
    with _opened(path) as (image, _, _):
        described = image.header["descrip"].item() if "descrip" in image.header else b""
    match = re.match(rb"SPM\{T_\[(\d+(?:\.\d+)?)\]\}", described)
    if match is None or not float(match[1]):
        raise DataError(
            f"{path}: expected a map of t values by SPM, whose header says the degrees of freedom "
            f"(SPM{{T_[123.0]}} ...), to turn them into z; it says {described.decode('latin-1')!r}."
        )
    return float(match[1])


def resample_nearest(values: Array, grid: Grid, target: Grid) -> Array:
    """Give every voxel of another grid the value of the voxel that its centre lies in.

    Parameters
    ----------
    values : (n_voxels,) array
        On `grid`.
    grid, target : Grid

    Returns
    -------
    (n_target_voxels,) array
        Of the type of `values`, exact, NaN included; 0 outside `grid`. `values` itself where
        the grids match.

    Notes
    -----
    scipy's ``grid-constant`` takes a voxel to its outer faces. nilearn's ``resample_img`` ends
    at the centres of the outermost voxels, and there loses whole planes to rounding errors
    where the grids are oblique.
    """
    if grid.matches(target):
        return values
    from scipy import ndimage

    resampled: Array = ndimage.affine_transform(
        values.reshape(grid.shape),
        np.linalg.solve(grid.affine, target.affine),
        output_shape=target.shape,
        order=0,
        mode="grid-constant",
    )
    return resampled.reshape(-1)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Grid, BufferedIOBase]]:
    """Open a volume, and explain what goes wrong while its values are read."""
    check_present(path)
    with explained(path, "volume"), opened(path) as file:
        if path.suffix in (".mgz", ".mgh"):
            is_oriented = any(file.read(30)[_GOOD_RAS_FLAG])  # nibabel overwrites the flag
            file.seek(0)
            image = read_header(path, file)
        else:
            image = read_header(path, file)
            if not isinstance(image, nib.Nifti1Pair):
                raise DataError(
                    f"{path}: is a {type(image).__name__}; expected a volume in NIfTI (.nii, "
                    ".nii.gz) or MGH format (.mgz, .mgh)."
                )
            codes = (int(image.header[code]) for code in ("qform_code", "sform_code"))
            is_oriented = any(code > 0 for code in codes)
        yield image, _grid(path, image, is_oriented=is_oriented), file


def _grid(path: Path, image: Any, *, is_oriented: bool) -> Grid:
    lengths: tuple[int, ...] = image.shape
    found = " x ".join(str(length) for length in lengths)
    if sum(length > 1 for length in lengths) <= 1:
        raise DataError(
            f"{path}: holds an array of {found} values, which is a surface or a single voxel; "
            "expected a volume."
        )
    if 0 in lengths or any(length > 1 for length in lengths[3:]):
        raise DataError(f"{path}: holds an array of {found} values; expected a single volume.")
    if not is_oriented:
        raise DataError(
            f"{path}: does not say where its voxels are (no sform or qform in NIfTI, no good "
            "RAS flag in MGH), so left and right are not known. Write it with the tool that "
            "made it, or copy the orientation from a file on the same grid."
        )
    affine = np.asarray(image.affine, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        volume = abs(np.linalg.det(affine[:3, :3]))
    if not np.isfinite(affine).all() or volume < _SMALLEST:
        raise DataError(
            f"{path}: the affine of its header is no position of voxels ({affine.tolist()}); "
            "expected finite numbers and a volume above 0."
        )
    x, y, z = (*lengths, 1, 1, 1)[:3]
    return Grid((x, y, z), affine)
