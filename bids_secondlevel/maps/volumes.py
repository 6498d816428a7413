"""Read and resample volumes: one value per voxel of a grid."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.values import Array
from bids_secondlevel.maps.files import check_real, explained, opened, read_header, read_image
from bids_secondlevel.maps.grid import Grid

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
    with explained(path, "volume"):
        return _grid(path, read_header(path))


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
    with explained(path, "volume"):
        image, values = read_image(path)
        check_real(path, values.dtype)
        native = values.reshape(-1).astype(values.dtype.newbyteorder("="), copy=False)
        return native, _grid(path, image)


def read_degrees_of_freedom(path: Path) -> float:
    """Read the degrees of freedom of a map of t values that SPM has written.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_grid`; also if its description (``SPM{T_[123.0]} - contrast 1: ...``) does
        not say them.
    """
    with explained(path, "volume"):
        header = read_header(path).header
        described = header["descrip"].item() if "descrip" in header else b""
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


def _grid(path: Path, image: Any) -> Grid:
    lengths: tuple[int, ...] = image.shape
    found = " x ".join(str(length) for length in lengths)
    if sum(length > 1 for length in lengths) <= 1:
        raise DataError(
            f"{path}: holds an array of {found} values, which is a surface or a single voxel; "
            "expected a volume."
        )
    if 0 in lengths or any(length > 1 for length in lengths[3:]):
        raise DataError(f"{path}: holds an array of {found} values; expected a single volume.")
    if not _is_oriented(path, image.header):
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


def _is_oriented(path: Path, header: Any) -> bool:
    if "qform_code" in header:
        return bool(header["qform_code"] > 0 or header["sform_code"] > 0)
    with opened(path) as file:  # nibabel overwrites the flag
        return any(file.read(30)[_GOOD_RAS_FLAG])
