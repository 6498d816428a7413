"""Project a surface: where each vertex lies in a flat picture, and which one a pixel shows.

Only a window around some vertices is looked at, and everything is vectorised, so that a surface
of 164 thousand vertices takes a fraction of a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask, Mesh
from bids_secondlevel.maps.display import DisplaySurface

PIXELS = 256
"""Of each side of a picture."""

OVERVIEW_PIXELS = 64
"""Of each side of the picture of all that the window is a part of."""

MARGIN = 10.0
"""Around what a picture is about, in mm."""

GROUND = 0.72
"""Grey of cortex if nothing is known of it."""

_MOST_TESTS = 500
"""Tests of a triangle per pixel; a surface needs a dozen or two, a knot of triangles any number."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Layers:
    """The maps that are drawn, each with one value per vertex or voxel."""

    visual_area: NDArray[np.integer[Any]]
    """0 is none."""
    eccentricity: Array
    """Degrees of visual angle."""
    polar_angle: Array | None
    """Degrees clockwise from the upper vertical meridian."""
    z_maps: Mapping[str, Array | None]
    """By localizer contrast; ``None`` if that has no map. Both hemispheres have the same ones."""
    retinotopic: Mask
    """Chosen areas within the chosen limits."""
    rois: Mapping[str, Mask | None]
    """By name; ``None`` if the ROI could not be defined. Both hemispheres have the same ones."""
    measured: Mapping[str, Array | None] = field(default_factory=dict)
    """By contrast, of interest inside the ROIs; ``None`` if that has no map. Both hemispheres have
    the same ones."""

    @property
    def in_rois(self) -> Mask:
        """In any ROI."""
        there = [mask for mask in self.rois.values() if mask is not None]
        inside: Mask = np.any([np.zeros(self.visual_area.size, dtype=bool), *there], axis=0)
        return inside

    @property
    def overlapping(self) -> Mask:
        """In several ROIs."""
        there = [mask for mask in self.rois.values() if mask is not None]
        several: Mask = np.sum([np.zeros(self.visual_area.size, dtype=int), *there], axis=0) > 1
        return several


@dataclass(frozen=True)
class Window:
    """A square part of the picture plane, in mm."""

    centre: tuple[float, float]
    half_width: float

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top."""
        (x, y), half = self.centre, self.half_width
        return x - half, x + half, y - half, y + half


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """What is seen in a window."""

    name: str
    layers: Layers
    window: Window
    pixels: NDArray[np.integer[Any]]
    """The vertex or voxel that each pixel shows, from the bottom up; -1 is none."""
    grey: Array
    """The ground that colours are laid on, at each vertex or voxel; 1 is white."""
    whole: Window
    """Around the whole hemisphere or slice."""
    overview: NDArray[np.integer[Any]]
    """What each pixel of that shows, as `pixels`."""
    directions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Where they point in the picture; drawn beside it."""
    sides: tuple[str, ...] = ()
    """What is on the left and on the right; written into the picture."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Projection:
    """A surface as seen from one side."""

    positions: Array
    """To the right and up, in mm: (n_vertices, 2)."""
    depth: Array
    """Towards the viewer, in mm: (n_vertices,)."""
    triangles: NDArray[np.integer[Any]]
    """Those that face the viewer: (n_facing, 3)."""
    slant: Array
    """1 if the surface is seen from straight above, 0 if from the side: (n_vertices,)."""
    directions: dict[str, tuple[float, float]]
    """Where anterior, dorsal and lateral are, to the right and up; the shorter, the more a
    direction points towards the viewer or away."""


def look_at(
    hemispheres: Mapping[Hemisphere, Layers], surfaces: Mapping[Hemisphere, DisplaySurface]
) -> list[View]:
    """Look at the retinotopic part of each hemisphere, on the same scale.

    Raises
    ------
    ValueError
        As :func:`look`.
    """
    around = {hemi: focus([layers]) for hemi, layers in hemispheres.items()}
    seen = {
        hemi: project(surfaces[hemi].mesh, part, hemi, sphere=surfaces[hemi].is_sphere)
        for hemi, part in around.items()
    }
    windows = {hemi: frame(seen[hemi], part, MARGIN) for hemi, part in around.items()}
    half_width = max(window.half_width for window in windows.values())
    views = []
    for hemi, layers in hemispheres.items():
        window = Window(windows[hemi].centre, half_width)
        facing = np.unique(seen[hemi].triangles)
        whole = frame(seen[hemi], facing, 0) if facing.size else window
        views.append(
            View(
                name="Left" if hemi == "L" else "Right",
                layers=layers,
                window=window,
                pixels=look(seen[hemi], window, PIXELS),
                grey=_shade(surfaces[hemi].shading, seen[hemi]),
                whole=whole,
                overview=look(seen[hemi], whole, OVERVIEW_PIXELS),
                directions=seen[hemi].directions,
            )
        )
    return views


def focus(layers: Sequence[Layers]) -> Mask:
    """Find what a picture is about: the retinotopic part or, if that is empty, the visual areas."""
    retinotopic: Mask = np.any([part.retinotopic for part in layers], axis=0)
    if retinotopic.any():
        return retinotopic
    areas: Mask = np.any([part.visual_area > 0 for part in layers], axis=0)
    return areas


def project(mesh: Mesh, around: Mask, hemisphere: Hemisphere, *, sphere: bool) -> Projection:
    """Look at a surface from straight above some of its vertices, dorsal being up.

    A sphere is unrolled by Lambert's azimuthal equal-area projection around the middle of the
    vertices, up to a quarter of the way round; any other surface is projected orthographically
    along their mean normal.

    Parameters
    ----------
    mesh
        In coordinates that grow to the right, to anterior and to superior.
    around : (n_vertices,) array of bool
        At least one.

    References
    ----------
    Snyder (1987), Map Projections: A Working Manual, section 24.
    """
    points = np.asarray(mesh.coordinates, dtype=np.float64)
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    corners = points[mesh.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outwards = -1.0 if _is_inside_out(normals, corners) else 1.0
    normals *= outwards
    touching = around[mesh.triangles].any(axis=1)
    middle = points[around].mean(axis=0)
    towards = _unit(middle if sphere else normals[touching].sum(axis=0), middle)
    up, right = _upright(towards)
    axes = np.stack([right, up])
    depth, positions = points @ towards, points @ axes.T
    is_near = np.ones(len(points), dtype=bool)
    if sphere:
        cosine = depth / np.linalg.norm(points, axis=1)
        positions *= np.sqrt(2 / np.maximum(1 + cosine, 1e-6))[:, None]
        is_near = cosine > 0
    a, b, c = np.moveaxis(positions[mesh.triangles], 1, 0)
    faces = outwards * _cross(b - a, c - a) > 0
    size = np.linalg.norm(normals, axis=1)
    slants = np.divide(normals @ towards, size, out=np.zeros_like(size), where=size > 0)
    lateral, anterior, dorsal = axes.T
    directions = {
        "anterior": anterior,
        "dorsal": dorsal,
        "lateral": -lateral if hemisphere == "L" else lateral,
    }
    return Projection(
        positions=positions,
        depth=depth,
        triangles=mesh.triangles[is_near[mesh.triangles].all(axis=1) & faces],
        slant=np.ones(len(points)) if sphere else _at_vertices(slants, mesh, len(points)),
        directions={name: (float(x), float(y)) for name, (x, y) in directions.items()},
    )


def frame(projection: Projection, around: Mask | NDArray[np.integer[Any]], margin: float) -> Window:
    """Choose the smallest square around some vertices, with a margin in mm."""
    there = projection.positions[around]
    low, high = there.min(axis=0), there.max(axis=0)
    x, y = (low + high) / 2
    return Window((float(x), float(y)), float(max(high - low)) / 2 + margin)


def look(projection: Projection, window: Window, n_pixels: int) -> NDArray[np.integer[Any]]:
    """Find which vertex each pixel of a window shows: the nearest of the foremost triangle.

    Returns
    -------
    (n_pixels, n_pixels) array of int
        From the bottom up, each row from left to right; -1 where there is no surface.

    Raises
    ------
    ValueError
        If the triangles are such a knot that they cannot be those of a surface.
    """
    left, _, bottom, _ = window.limits
    scale = n_pixels / (2 * window.half_width)
    places = (projection.positions - (left, bottom)) * scale
    # Pixels whose centres may be inside: those of the rectangle around each triangle.
    a, b, c = (places[of] for of in projection.triangles.T)
    first = np.clip(np.ceil(np.minimum(np.minimum(a, b), c) - 0.5), 0, n_pixels).astype(np.int64)
    last = np.clip(np.floor(np.maximum(np.maximum(a, b), c) + 0.5), 0, n_pixels).astype(np.int64)
    has_pixels = (last > first).all(axis=1)
    first, last, triangles = first[has_pixels], last[has_pixels], projection.triangles[has_pixels]
    width, height = (last - first).T
    count = width * height
    if count.sum() > _MOST_TESTS * n_pixels**2:
        raise ValueError("the triangles overlap so much that they cannot be those of a surface")
    which = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    x = first[which, 0] + step % width[which]
    y = first[which, 1] + step // width[which]
    weights = _barycentric(np.stack([x, y], axis=1) + 0.5, places[triangles[which]])
    inside = (weights >= -1e-9).all(axis=1)
    which, x, y, weights = which[inside], x[inside], y[inside], weights[inside]
    depth = (projection.depth[triangles[which]] * weights).sum(axis=1)
    order = np.argsort(depth, kind="stable")
    foremost = np.full((n_pixels, n_pixels), -1)
    foremost[y[order], x[order]] = order  # of several, the last stays
    seen = foremost >= 0
    shown = foremost[seen]
    vertices = np.full((n_pixels, n_pixels), -1)
    vertices[seen] = triangles[which[shown], weights[shown].argmax(axis=1)]
    return vertices


def _shade(shading: Array | None, projection: Projection) -> Array:
    """Shade the cortex: by its sulci if they are known, else by its slant."""
    if shading is None:
        return 0.55 + 0.27 * np.clip(projection.slant, 0, 1)
    spread = float(np.nanstd(shading)) or 1.0
    return GROUND - 0.12 * np.tanh(2 * np.nan_to_num(shading) / spread)


def _is_inside_out(normals: Array, corners: Array) -> bool:
    """Tell whether the normals point inwards, as those of some tools do: the volume is negative.

    Only a closed surface has a volume; its normals cancel each other out.
    """
    whole = np.linalg.norm(normals, axis=1).sum()
    is_closed = np.linalg.norm(normals.sum(axis=0)) < 0.05 * whole
    return bool(is_closed and np.sum(normals * corners[:, 0]) < 0)


def _barycentric(points: Array, corners: Array) -> Array:
    """Weigh the corners of triangles for one point each (n, 2); negative ones are outside."""
    a, b, c = np.moveaxis(corners, 1, 0)
    area = _cross(b - a, c - a)
    of_a = _cross(b - points, c - points) / area
    of_b = _cross(c - points, a - points) / area
    return np.stack([of_a, of_b, 1 - of_a - of_b], axis=1)


def _cross(u: Array, v: Array) -> Array:
    product: Array = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    return product


def _upright(towards: Array) -> tuple[Array, Array]:
    """Find where up and right are for a viewer; looking down or up, up is anterior."""
    vertical = np.array([0.0, 0.0, 1.0] if abs(towards[2]) < 0.99 else [0.0, 1.0, 0.0])
    up = vertical - (vertical @ towards) * towards
    up /= np.linalg.norm(up)
    return up, np.cross(up, towards)


def _unit(direction: Array, instead: Array) -> Array:
    """Scale a direction to length 1; one that is none is replaced, in the end by posterior."""
    for candidate in (direction, instead):
        length = np.linalg.norm(candidate)
        if length > 1e-6:
            unit: Array = candidate / length
            return unit
    return np.array([0.0, -1.0, 0.0])


def _at_vertices(of_triangles: Array, mesh: Mesh, n_vertices: int) -> Array:
    """Average what triangles have over those that meet in each vertex."""
    flat = mesh.triangles.ravel()
    total = np.bincount(flat, np.repeat(of_triangles, 3), minlength=n_vertices)
    return total / np.maximum(np.bincount(flat, minlength=n_vertices), 1)
