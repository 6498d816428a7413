"""Cut a volume into slices: where to cut, and which voxel each pixel of a picture shows.

Slices are coronal and seen from behind: left is left in the head, dorsal is up, however the
voxels are stored. Those of an oblique grid follow its voxels, along the axes that are nearest to
coronal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.maps.volumes import Grid
from bids_secondlevel.reports.cortex.view import (
    GROUND,
    MARGIN,
    OVERVIEW_PIXELS,
    PIXELS,
    Layers,
    View,
    Window,
    focus,
)

MOST_SLICES = 3

_UNKNOWN = 0.9
"""Grey of voxels without any value."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Slices:
    """Coronal slices in the same window, from the back to the front."""

    positions: tuple[float, ...]
    """Of the middle of the window in each slice: y in mm, greater to the front."""
    voxels: tuple[NDArray[np.integer[Any]], ...]
    """Numbers in the volume of the voxels of each slice."""
    window: Window
    """In mm from the left lower corner of a slice."""
    pixels: NDArray[np.integer[Any]]
    """Which of the voxels of a slice each pixel shows, (n_pixels, n_pixels), from the bottom up;
    -1 is none."""
    whole: Window
    """Around all voxels of a slice."""
    overview: NDArray[np.integer[Any]]
    """What each pixel of that shows."""
    tilt: float
    """Degrees between the slices and a coronal plane."""


def look_through(halves: Mapping[Hemisphere, Layers], grid: Grid) -> tuple[list[View], float]:
    """Look at slices through the retinotopic part; also tell how far they are off coronal."""
    around = focus(list(halves.values()))
    rois = np.any([half.in_rois for half in halves.values()], axis=0)
    slices = cut(grid, around, rois, margin=MARGIN, n_pixels=PIXELS)
    views = []
    for position, voxels in zip(slices.positions, slices.voxels, strict=True):
        layers = layers_in(voxels, halves, grid)
        views.append(
            View(
                name=f"y = {round(position)}",
                layers=layers,
                window=slices.window,
                pixels=slices.pixels,
                grey=_grey(layers),
                whole=slices.whole,
                overview=slices.overview,
                sides=("L", "R"),
            )
        )
    return views, slices.tilt


def cut(grid: Grid, around: Mask, rois: Mask, *, margin: float, n_pixels: int) -> Slices:
    """Choose up to three slices, and a window around some voxels.

    The voxels are divided into a posterior, a middle and an anterior third, at the bounds of
    slices. Of each third, the slice nearest to its middle is taken, of those that have at least
    half as many voxels of the ROIs as the one that has most.

    Parameters
    ----------
    around : (n_voxels,) array of bool
        At least one.
    rois : (n_voxels,) array of bool
    margin
        Around the voxels, in mm.
    """
    turn = io_orientation(grid.affine)  # so that axes go to the right, to the front, and up
    affine = grid.affine @ inv_ornt_aff(turn, grid.shape)
    marked, in_rois, numbers = (
        apply_orientation(values.reshape(grid.shape), turn)
        for values in (around, rois, np.arange(grid.n_voxels, dtype=np.int32))
    )
    sizes = np.linalg.norm(affine[:3, :3], axis=0)

    ends = [np.flatnonzero(marked.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 1))]
    low, high = (np.array([(end[i] + i) for end in ends]) * sizes[[0, 2]] for i in (0, 1))
    x, z = (low + high) / 2
    window = Window((float(x), float(z)), float((high - low).max()) / 2 + margin)

    shape = (marked.shape[0], marked.shape[2])
    size = np.array(shape) * sizes[[0, 2]]
    whole = Window((float(size[0]) / 2, float(size[1]) / 2), float(size.max()) / 2)

    chosen = _choose(marked.sum(axis=(0, 2)), in_rois.sum(axis=(0, 2)))
    middle_x, middle_z = x / sizes[0] - 0.5, z / sizes[2] - 0.5
    normal = np.cross(affine[:3, 2], affine[:3, 0])
    tilt = np.degrees(np.arccos(np.clip(normal[1] / np.linalg.norm(normal), -1, 1)))
    return Slices(
        positions=tuple(float(affine[1] @ (middle_x, y, middle_z, 1)) for y in chosen),
        voxels=tuple(numbers[:, y].ravel() for y in chosen),
        window=window,
        pixels=_look(window, shape, sizes[[0, 2]], n_pixels),
        whole=whole,
        overview=_look(whole, shape, sizes[[0, 2]], OVERVIEW_PIXELS),
        tilt=float(tilt),
    )


def _look(
    window: Window, shape: tuple[int, int], sizes: Array, n_pixels: int
) -> NDArray[np.integer[Any]]:
    """Find which voxel of a slice each pixel of a window shows; -1 is none."""
    left, _, bottom, _ = window.limits
    steps = (np.arange(n_pixels) + 0.5) * 2 * window.half_width / n_pixels
    column = np.floor((left + steps) / sizes[0]).astype(int)
    row = np.floor((bottom + steps) / sizes[1]).astype(int)[:, None]
    width, height = shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, column * height + row, -1)


def layers_in(
    voxels: NDArray[np.integer[Any]], halves: Mapping[Hemisphere, Layers], grid: Grid
) -> Layers:
    """Put the maps of some voxels together from those of the left and right half of a volume.

    A half that is missing has no visual area, no value, and no ROI.
    """
    is_left = grid.hemisphere("L")[voxels]
    some = next(iter(halves.values()))

    def join(parts: Mapping[Hemisphere, Array | None], blank: float) -> Any:
        there = {hemi: part[voxels] for hemi, part in parts.items() if part is not None}
        return np.where(is_left, there.get("L", blank), there.get("R", blank)) if there else None

    return Layers(
        visual_area=join({hemi: half.visual_area for hemi, half in halves.items()}, 0),
        eccentricity=join({hemi: half.eccentricity for hemi, half in halves.items()}, np.nan),
        polar_angle=join({hemi: half.polar_angle for hemi, half in halves.items()}, np.nan),
        z_maps={
            name: join({hemi: half.z_maps[name] for hemi, half in halves.items()}, np.nan)
            for name in some.z_maps
        },
        retinotopic=join({hemi: half.retinotopic for hemi, half in halves.items()}, blank=False),
        rois={
            name: join({hemi: half.rois[name] for hemi, half in halves.items()}, blank=False)
            for name in some.rois
        },
        measured={
            name: join({hemi: half.measured[name] for hemi, half in halves.items()}, np.nan)
            for name in some.measured
        },
    )


def _grey(layers: Layers) -> Array:
    """Tell the voxels that have some value, which is what the maps show of the head."""
    values = [z for z in layers.z_maps.values() if z is not None]
    known = [np.isfinite(z) & (z != 0) for z in values]
    return np.where(np.any([layers.visual_area > 0, *known], axis=0), GROUND, _UNKNOWN)


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
