"""Which colour each vertex or voxel has in a picture, and the scales that say what colours mean.

Painted maps are arrays of red, green, blue and opacity, (n_vertices, 4); ``None`` says that there
is no map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.palette import OVERLAP_COLOUR, components, roi_colours
from bids_secondlevel.core.values import Array, Mask, Mesh
from bids_secondlevel.reports.charts.drawing import Scale, coloured

_PALE = 0.35


@dataclass(frozen=True, eq=False)
class Maps:
    """What is known about vertices, or about voxels.

    Attributes
    ----------
    visual_area : (n_vertices,) array of int
        0 is none.
    eccentricity : (n_vertices,) array of float
        Degrees of visual angle.
    polar_angle : (n_vertices,) array of float, optional
        Degrees clockwise from the upper vertical meridian.
    z_maps : mapping of str to (n_vertices,) array of float, or None where there is none
        Of each localizer contrast; the same contrasts in both hemispheres.
    retinotopic : (n_vertices,) array of bool
        Chosen areas within the chosen limits.
    rois : mapping of str to (n_vertices,) array of bool, or None where there is none
        The same ROIs in both hemispheres.
    """

    visual_area: NDArray[np.integer[Any]]
    eccentricity: Array
    polar_angle: Array | None
    z_maps: Mapping[str, Array | None]
    retinotopic: Mask
    rois: Mapping[str, Mask | None]


@dataclass(frozen=True, eq=False)
class Cortex(Maps):
    """What is known about the cortex of one hemisphere.

    Attributes
    ----------
    mesh : Mesh
    is_sphere : bool
        Whether it is to be unrolled.
    shading : (n_vertices,) array of float, optional
        Depth of the sulci or curvature: the greater, the darker.
    """

    mesh: Mesh
    is_sphere: bool
    shading: Array | None


def paint_eccentricity(maps: Maps, *, farthest: float) -> Array:
    """Paint the visual areas by eccentricity, from 0 to some degrees."""
    shown = (maps.visual_area > 0) & np.isfinite(maps.eccentricity)
    return coloured("viridis", maps.eccentricity / farthest, shown)


def paint_angle(maps: Maps) -> Array | None:
    """Paint the visual areas by polar angle, with colours that end where they begin."""
    if maps.polar_angle is None:
        return None
    shown = (maps.visual_area > 0) & np.isfinite(maps.polar_angle)
    angle = np.where(shown, maps.polar_angle, 0)
    return coloured("twilight", (angle + 180) / 360 % 1, shown)


def paint_z(
    maps: Maps,
    *,
    contrasts: Sequence[str],
    largest: float,
    faded: tuple[float, float] | None,
) -> Array | None:
    """Paint the z map of a contrast, or the maximum of several; paler within some limits."""
    there = [z for name in contrasts if (z := maps.z_maps.get(name)) is not None]
    if len(there) < len(contrasts):
        return None
    z = np.fmax.reduce(there)
    painted = coloured("RdBu_r", (z / largest + 1) / 2, ~np.isnan(z))
    if faded is not None:
        painted[(z >= faded[0]) & (z <= faded[1]), 3] *= _PALE
    return painted


def paint_rois(maps: Maps) -> Array | None:
    """Paint each ROI in its colour, and what several of them share in another."""
    there = {name: mask for name, mask in maps.rois.items() if mask is not None}
    if not there:
        return None
    painted = np.zeros((len(maps.visual_area), 4))
    for name, colour in roi_colours(list(maps.rois)).items():
        if name in there:
            painted[there[name]] = (*components(colour), 1.0)
    painted[np.sum(list(there.values()), axis=0) > 1] = (*components(OVERLAP_COLOUR), 1.0)
    return painted


def eccentricity_scale(limits: tuple[float, float], farthest: float) -> Scale:
    """Say what the colours of eccentricity mean; the limits are marked."""
    values = np.linspace(0, farthest, 128)
    colours = coloured("viridis", values / farthest, np.ones(128, dtype=bool))
    return Scale(colours, (0, farthest), (*limits[::-1], farthest, 0.0), limits, "degrees")


def z_scale(largest: float, faded: tuple[float, float] | None) -> Scale:
    """Say what the colours of z mean; limits of what is paler are marked."""
    z = np.linspace(-largest, largest, 128)
    colours = coloured("RdBu_r", (z / largest + 1) / 2, np.ones(128, dtype=bool))
    marks: tuple[float, ...] = ()
    if faded is not None:
        colours[(z >= faded[0]) & (z <= faded[1]), 3] = _PALE
        marks = tuple(limit for limit in faded if abs(limit) < largest)
    return Scale(colours, (-largest, largest), (*marks[::-1], -largest, largest, 0.0), marks, "z")
