"""Cut a volume into slices: where to cut, and which voxel each pixel of a picture shows.

Slices are coronal and seen from behind: left is left in the head, dorsal is up, however the
voxels are stored. Those of an oblique grid follow its voxels, along the axes that are nearest to
coronal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.maps.grid import Grid
from bids_secondlevel.reports.cortex.painting import Maps
from bids_secondlevel.reports.cortex.view import Window

MOST_SLICES = 3


@dataclass(frozen=True, eq=False)
class Slice:
    """A coronal slice of voxels.

    Attributes
    ----------
    position : float
        Of the middle of the window: y in mm, greater to the front.
    voxels : (n_in_slice,) array of int
        Their numbers in the volume.
    """

    position: float
    voxels: NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Slices:
    """Coronal slices in the same window.

    Attributes
    ----------
    slices : tuple of Slice
        From the back to the front.
    window : Window
        In mm from the left lower corner of the slice.
    pixels : (n_pixels, n_pixels) array of int
        Which of the voxels of a slice each pixel shows, from the bottom up; -1 is none.
    tilt : float
        Degrees between the slices and a coronal plane.
    """

    slices: tuple[Slice, ...]
    window: Window
    pixels: NDArray[np.integer[Any]]
    tilt: float


def cut(grid: Grid, around: Mask, rois: Mask, *, margin: float, n_pixels: int) -> Slices:
    """Choose up to three slices, and a window around some voxels.

    The voxels are divided into a posterior, a middle and an anterior third, at the bounds of
    slices. Of each third, the slice nearest to its middle is taken, of those that have at least
    half as many voxels of the ROIs as the one that has most.

    Parameters
    ----------
    grid : Grid
    around : (n_voxels,) array of bool
        At least one.
    rois : (n_voxels,) array of bool
    margin : float
        Around the voxels, in mm.
    n_pixels : int
        Of the side of the window.

    Returns
    -------
    Slices
    """
    turn, affine = _towards_world(grid)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    marked, numbers = turn(around), turn(np.arange(grid.n_voxels, dtype=np.int32))

    ends = [np.flatnonzero(marked.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 1))]
    low, high = (np.array([(end[i] + i) for end in ends]) * sizes[[0, 2]] for i in (0, 1))
    x, z = (low + high) / 2
    window = Window((float(x), float(z)), float((high - low).max()) / 2 + margin)

    left, _, bottom, _ = window.limits
    steps = (np.arange(n_pixels) + 0.5) * 2 * window.half_width / n_pixels
    column = np.floor((left + steps) / sizes[0]).astype(int)
    row = np.floor((bottom + steps) / sizes[2]).astype(int)[:, None]
    width, _, height = marked.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixels = np.where(inside, column * height + row, -1)

    chosen = _choose(marked.sum(axis=(0, 2)), turn(rois).sum(axis=(0, 2)))
    middle_x, middle_z = x / sizes[0] - 0.5, z / sizes[2] - 0.5
    slices = tuple(
        Slice(float(affine[1] @ (middle_x, y, middle_z, 1)), numbers[:, y].ravel()) for y in chosen
    )
    normal = np.cross(affine[:3, 2], affine[:3, 0])
    tilt = np.degrees(np.arccos(np.clip(normal[1] / np.linalg.norm(normal), -1, 1)))
    return Slices(slices, window, pixels, float(tilt))


def maps_in(slice_: Slice, halves: Mapping[Hemisphere, Maps], grid: Grid) -> Maps:
    """Put the maps of a slice together from those of the left and right half of a volume.

    Parameters
    ----------
    slice_ : Slice
    halves : mapping of hemisphere to Maps
        Of all voxels. A half that is missing has no visual area, no value, and no ROI.
    grid : Grid

    Returns
    -------
    Maps
        Of the voxels of the slice.
    """
    voxels = slice_.voxels
    is_left = grid.hemisphere("L")[voxels]
    nowhere, nothing = (np.broadcast_to(value, grid.n_voxels) for value in (False, np.nan))
    missing = Maps(nowhere.astype(int), nothing, None, {}, nowhere, {})
    left, right = (halves.get(hemi, missing) for hemi in HEMISPHERES)

    def join(in_left: Array | None, in_right: Array | None, blank: float) -> Any:
        if in_left is None and in_right is None:
            return None
        parts = (blank if part is None else part[voxels] for part in (in_left, in_right))
        return np.where(is_left, *parts)

    return Maps(
        join(left.visual_area, right.visual_area, 0),
        join(left.eccentricity, right.eccentricity, np.nan),
        join(left.polar_angle, right.polar_angle, np.nan),
        {
            name: join(left.z_maps.get(name), right.z_maps.get(name), np.nan)
            for name in {**left.z_maps, **right.z_maps}
        },
        join(left.retinotopic, right.retinotopic, blank=False),
        {
            name: join(left.rois.get(name), right.rois.get(name), blank=False)
            for name in {**left.rois, **right.rois}
        },
    )


def _towards_world(grid: Grid) -> tuple[Callable[[Array], Array], Array]:
    """Find how to turn an array so that its axes go to the right, to the front, and up.

    Returns
    -------
    turn : callable
        Makes a three-dimensional array of one value per voxel.
    affine : (4, 4) array of float
        Of the turned array.
    """
    directions = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    axes = max(permutations(range(3)), key=lambda order: np.abs(directions[range(3), order]).sum())
    steps = [1 if directions[world, axis] > 0 else -1 for world, axis in enumerate(axes)]
    affine = np.eye(4)
    affine[:, 3] = grid.affine[:, 3]
    for world, (axis, step) in enumerate(zip(axes, steps, strict=True)):
        affine[:, world] = step * grid.affine[:, axis]
        if step < 0:  # the first voxel was the last
            affine[:, 3] += (grid.shape[axis] - 1) * grid.affine[:, axis]
    flip = tuple(slice(None, None, step) for step in steps)
    return lambda values: values.reshape(grid.shape).transpose(axes)[flip], affine


def _choose(counts: Array, in_rois: Array) -> list[int]:
    """Choose slices by how many voxels each has.

    Examples
    --------
    >>> counts = np.array([0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0])
    >>> _choose(counts, np.zeros(11))
    [2, 5, 8]
    >>> _choose(counts, np.array([0, 0, 1, 4, 0, 2, 0, 0, 0, 0, 0]))
    [3, 5, 8]
    >>> _choose(np.array([0, 9, 0]), np.zeros(3))
    [1]
    """
    share = (np.cumsum(counts) - counts / 2) / counts.sum()  # at the middle of a slice
    third = np.floor(MOST_SLICES * share)
    chosen = []
    for number in range(MOST_SLICES):
        there = np.flatnonzero((third == number) & (counts > 0))
        if there.size:
            enough = there[2 * in_rois[there] >= in_rois[there].max()]
            off = np.abs(MOST_SLICES * share[enough] - number - 0.5)
            chosen.append(int(enough[off.argmin()]))
    return chosen
