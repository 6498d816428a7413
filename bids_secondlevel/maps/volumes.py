"""Volumes: the grid of their voxels, reading, and resampling to another grid.

Values of a volume are one-dimensional: one per voxel, in C order (the last index changes fastest).
"""

import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.maps.files import (
    as_floats,
    chosen_frame,
    explained,
    opened,
    read_header,
    read_image,
)

Shape = tuple[int, int, int]

_GOOD_RAS_FLAG = slice(28, 30)
"""Bytes of an MGH header with the flag of a valid orientation."""

_SMALLEST = 1e-9
"""Smallest volume of a voxel in mm^3; a smaller one means that the affine is degenerate."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Positions of the voxels of a volume.

    Examples
    --------
    >>> grid = Grid((2, 1, 1), np.array([[-2, 0, 0, 1], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]]))
    >>> grid.n_voxels, round(grid.voxel_volume, 3)
    (2, 12.0)
    >>> grid.hemisphere("R")  # the voxels' centres are at x = 1 and x = -1
    array([ True, False])
    >>> grid.describe()
    '2 x 1 x 1 voxels of 2 x 2 x 3 mm, the first at (1, 0, 0) mm'
    """

    shape: Shape

    affine: Array
    """(4, 4), from the indices of a voxel to the position of its centre in mm; x grows to the
    right, y to the front and z upwards."""

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm^3."""
        first, second, third = self.affine[:3, :3].T  # exact if axes are along the world's
        return float(abs(np.dot(np.cross(first, second), third)))

    def hemisphere(self, hemisphere: Hemisphere) -> Mask:
        """Find the voxels on one side of the midline.

        Returns
        -------
        (n_voxels,) array of bool
            Voxels whose centres have x < 0 (L) or x >= 0 (R), to a thousandth of a mm.
        """
        i, j, k = np.ogrid[tuple(slice(n) for n in self.shape)]
        a, b, c, start = self.affine[0]
        x = a * i + b * j + c * k + start
        left: Mask = (np.round(x, 3) < 0).ravel()  # rounding errors must not move the midline
        return left if hemisphere == "L" else ~left

    def matches(self, other: "Grid") -> bool:
        """Return whether another grid has the same voxels in the same positions.

        Tolerance: 0.001 mm, or a relative error of 1/100000.
        """
        return self.shape == other.shape and np.allclose(
            self.corners, other.corners, rtol=1e-5, atol=1e-3
        )

    def describe(self) -> str:
        """Describe the grid, for messages."""
        shape = " x ".join(str(n) for n in self.shape)
        size = " x ".join(f"{s:.4g}" for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        first = ", ".join(f"{c:.4g}" for c in self.affine[:3, 3])
        return f"{shape} voxels of {size} mm, the first at ({first}) mm"

    @property
    def corners(self) -> Array:
        """Positions of the centres of the eight voxels at the corners, (8, 3)."""
        indices = np.array(list(product(*((0, n - 1) for n in self.shape))))
        corners: Array = indices @ self.affine[:3, :3].T + self.affine[:3, 3]
        return corners


def voxel_patches(mask: Mask, shape: Shape) -> tuple[int, ...]:
    """Count the voxels of every connected patch of a mask.

    Two voxels of the mask are connected if they share a face.

    Parameters
    ----------
    mask : (n_voxels,) array of bool
    shape
        Shape of the grid.

    Returns
    -------
    tuple of int
        Number of voxels of each patch, the largest first; none for an empty mask.

    Examples
    --------
    >>> voxel_patches(np.array([True, False, False, False, True, True]), (1, 2, 3))
    (2, 1)
    >>> voxel_patches(np.array([True, True, True, False, True, True]), (1, 2, 3))
    (5,)
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(mask.reshape(shape).view(np.uint8))
    if not boxes:
        return ()
    patch, _ = ndimage.label(mask.reshape(shape)[boxes[0]])
    sizes: list[int] = np.bincount(patch.ravel())[1:].tolist()
    return tuple(sorted(sizes, reverse=True))


def read_grid(path: Path, chosen: int | str | None = None) -> Grid:
    """Read the positions of the voxels of a volume from its header.

    Parameters
    ----------
    path
        NIfTI (``.nii``, ``.nii.gz``) or FreeSurfer's MGH (``.mgz``, ``.mgh``).
    chosen
        Which volume of the file is read, if it has several.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, holds a surface or several volumes, or has no orientation. This is a
        NIfTI file with ``qform_code`` and ``sform_code`` 0, or an MGH file without the flag of a
        valid orientation: left and right would be a guess.
    """
    with explained(path, "volume"):
        return _grid(path, read_header(path), chosen)


_TEMPLATE_CODES = {3: "Talairach", 4: "MNI152", 5: "another template"}
"""Spaces by the codes of a NIfTI header, except for the participant's own."""


def template_in_header(path: Path) -> str | None:
    """Find the template in the header of a NIfTI file, if it has one.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_grid`.
    """
    with explained(path, "volume"):
        header = read_header(path).header
    for name in ("sform_code", "qform_code"):
        code = int(header[name]) if name in header else 0
        if code in _TEMPLATE_CODES:
            return f"{_TEMPLATE_CODES[code]} ({name} {code})"
    return None


def read_volume(path: Path, chosen: int | str | None = None) -> tuple[Array, Grid]:
    """Read a volume: one value per voxel.

    Parameters
    ----------
    path
        As for :func:`read_grid`.
    chosen
        Which volume of the file, by number from 0.

    Returns
    -------
    values : (n_voxels,) array of float
        In C order and in the precision of the file, or one that keeps its whole numbers; scaled
        values as in nibabel.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_grid`; also if the values are not real numbers.
    """
    with explained(path, "volume"):
        image, values = read_image(path)
        if chosen is not None:
            values = chosen_frame(path, values, chosen)
        return as_floats(path, values).reshape(-1), _grid(path, image, chosen)


def description_in_header(path: Path) -> str:
    """Read the description in the header of a NIfTI file; empty for other formats.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_grid`.
    """
    with explained(path, "volume"):
        header = read_header(path).header
        described: bytes = header["descrip"].item() if "descrip" in header else b""
    return described.decode("latin-1").rstrip("\0")


def read_degrees_of_freedom(path: Path) -> float:
    """Read the degrees of freedom of a map of t values of SPM.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_grid`; also if they are not in its description (``SPM{T_[123.0]} - contrast
        1: ...``).
    """
    described = description_in_header(path)
    match = re.match(r"SPM\{T_\[(\d+(?:\.\d+)?)\]\}", described)
    if match is None or not float(match[1]):
        raise DataError(
            f"{path}: holds t values, which their degrees of freedom turn into z. Expected them in "
            f"the header, as SPM writes them (SPM{{T_[123.0]}} ...); it says "
            f"{described!r}. Write DegreesOfFreedom into the JSON file beside "
            "it, or give df in a [[maps]] table of --config."
        )
    return float(match[1])


def resample_nearest(values: Array, grid: Grid, target: Grid) -> Array:
    """Resample to another grid: each voxel gets the value at its centre.

    Parameters
    ----------
    values : (n_voxels,) array
        Values on `grid`.

    Returns
    -------
    (n_target_voxels,) array
        With the type of `values`, unchanged, including NaN; 0 outside `grid`. `values` itself if
        the grids match.

    Notes
    -----
    scipy's ``grid-constant`` extends voxels to their outer faces. nilearn's ``resample_img`` ends
    at the centres of the outermost voxels, and can lose whole planes to rounding errors if the
    grids are oblique.
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


def _grid(path: Path, image: Any, chosen: int | str | None) -> Grid:
    lengths: tuple[int, ...] = image.shape
    found = " x ".join(str(length) for length in lengths)
    if sum(length > 1 for length in lengths) <= 1:
        raise DataError(
            f"{path}: holds an array of {found} values, a surface or a single voxel; expected a "
            "volume."
        )
    if 0 in lengths or (chosen is None and any(length > 1 for length in lengths[3:])):
        raise DataError(
            f"{path}: holds an array of {found} values; expected a single volume. To choose one, "
            "give array = NUMBER in a [[maps]] or [[retinotopy]] entry of the config file."
        )
    if not _is_oriented(path, image.header):
        raise DataError(
            f"{path}: has no orientation (no sform or qform in NIfTI, no good RAS flag in MGH), so "
            "left and right are unknown. Write it again with the tool that made it, or copy the "
            "orientation from a file on the same grid."
        )
    x, y, z = (*lengths, 1, 1, 1)[:3]
    grid = Grid((x, y, z), np.asarray(image.affine, dtype=np.float64))
    if not (np.isfinite(grid.affine).all() and grid.voxel_volume >= _SMALLEST):
        raise DataError(
            f"{path}: the affine in its header is not valid ({grid.affine.tolist()}); expected "
            "finite numbers and a volume of voxels above 0."
        )
    return grid


def _is_oriented(path: Path, header: Any) -> bool:
    if "qform_code" in header:
        return bool(header["qform_code"] > 0 or header["sform_code"] > 0)
    with opened(path) as file:  # nibabel overwrites the flag
        return any(file.read(30)[_GOOD_RAS_FLAG])
