"""Project a surface: where each vertex lies in a flat picture, and which one a pixel shows.

Only a window around some vertices is looked at, and everything is vectorised, so that a surface
of 164 thousand vertices takes a fraction of a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import ParticipantFiles
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.roi_rule import VISUAL_AREAS, area_name
from bids_secondlevel.core.values import Absent, Array, Mask, Mesh, Retinotopy
from bids_secondlevel.maps.display import DisplaySurface

PIXELS = 256
"""Of each side of a picture."""

OVERVIEW_PIXELS = 64
"""Of each side of the picture of all that the window is a part of."""

MARGIN = 10.0
"""Around what a picture is about, in mm."""

GROUND = 0.72
"""Grey of cortex if nothing is known of it."""

_FIRST_OTHER = max(VISUAL_AREAS.values()) + 1
"""What areas from files of their own are labelled, beginning with the first."""

_LOOKED_AT = 20_000
"""Triangles that tell which side of a surface is outside."""

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
    painted: Mapping[str, Array] = field(default_factory=dict)
    """Maps that have their colours, (n, 4), by name. Both hemispheres have the same ones."""

    @property
    def in_rois(self) -> Mask:
        """In any ROI."""
        return self._n_rois > 0

    @property
    def overlapping(self) -> Mask:
        """In several ROIs."""
        return self._n_rois > 1

    @cached_property
    def _n_rois(self) -> NDArray[np.integer[Any]]:
        """How many ROIs each vertex is in."""
        n = np.zeros(self.visual_area.size, dtype=np.int16)
        for mask in self.rois.values():
            n += 0 if mask is None else mask
        return n

    def at(self, vertices: NDArray[np.integer[Any]]) -> "Layers":
        """Take the maps at some vertices or voxels."""

        def some(of: Mapping[str, Array | None]) -> dict[str, Array | None]:
            return {name: None if x is None else x[vertices] for name, x in of.items()}

        return Layers(
            visual_area=self.visual_area[vertices],
            eccentricity=self.eccentricity[vertices],
            polar_angle=None if self.polar_angle is None else self.polar_angle[vertices],
            z_maps=some(self.z_maps),
            retinotopic=self.retinotopic[vertices],
            rois=some(self.rois),
            measured=some(self.measured),
            painted={name: colours[vertices] for name, colours in self.painted.items()},
        )


def other_areas(files: ParticipantFiles) -> list[str]:
    """List the visual areas of a participant that are given in files of their own."""
    return list(dict.fromkeys(name for s in files.retinotopy.values() for name in s.areas))


def area_names(others: Sequence[str]) -> dict[int, str]:
    """Name the labels of :func:`label_areas`."""
    return {
        **{number: name for name, number in VISUAL_AREAS.items()},
        **dict(enumerate(map(area_name, others), _FIRST_OTHER)),
    }


def label_areas(maps: Retinotopy, others: Sequence[str]) -> NDArray[np.integer[Any]]:
    """Label the visual areas, those from files of their own too: (n_vertices,)."""
    areas = maps.visual_area.copy()
    for number, name in enumerate(others, _FIRST_OTHER):
        area = maps.other_areas.get(name)
        if area is not None and not isinstance(area, Absent):
            areas[area] = number
    return areas


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

    @cached_property
    def vertices(self) -> NDArray[np.integer[Any]]:
        """The vertices or voxels that are seen."""
        is_seen = np.zeros(self.layers.visual_area.size, dtype=bool)
        is_seen[self.pixels[self.pixels >= 0]] = True
        return np.flatnonzero(is_seen)

    @cached_property
    def seen(self) -> Layers:
        """The maps at the vertices that are seen."""
        return self.layers.at(self.vertices)

    @cached_property
    def places(self) -> NDArray[np.integer[Any]]:
        """What each pixel shows, as a place among the vertices that are seen; -1 is none."""
        place = np.full(self.layers.visual_area.size + 1, -1)
        place[self.vertices] = np.arange(self.vertices.size)
        places: NDArray[np.integer[Any]] = place[self.pixels]
        return places

    def show(self, mask: Mask) -> Mask:
        """Tell which pixels show a vertex of a mask of those that are seen."""
        shown: Mask = np.append(mask, False)[self.places]
        return shown


@dataclass(frozen=True, eq=False, kw_only=True)
class Projection:
    """A surface as seen from one side."""

    positions: Array
    """To the right and up, in mm: (n_vertices, 2)."""
    depth: Array
    """Towards the viewer, in mm: (n_vertices,)."""
    triangles: NDArray[np.integer[Any]]
    """Those that face the viewer: (n_facing, 3)."""
    directions: dict[str, tuple[float, float]]
    """Where anterior, dorsal and lateral are, to the right and up; the shorter, the more a
    direction points towards the viewer or away."""
    mesh: Mesh
    towards: Array | None
    """To the viewer, or away if the normals of the mesh point inwards; ``None`` if it is
    unrolled."""

    @cached_property
    def slant(self) -> Array:
        """1 if the surface is seen from straight above, 0 if from the side: (n_vertices,)."""
        n_vertices = len(self.mesh.coordinates)
        if self.towards is None:
            return np.ones(n_vertices)
        normals = np.stack(_normals(self.mesh.coordinates.T, tuple(self.mesh.triangles.T)), axis=1)
        size = np.linalg.norm(normals, axis=1)
        slants = np.divide(normals @ self.towards, size, out=np.zeros_like(size), where=size > 0)
        return _at_vertices(slants, self.mesh, n_vertices)


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
        is_facing = np.zeros(len(layers.visual_area), dtype=bool)
        is_facing[seen[hemi].triangles] = True
        whole = frame(seen[hemi], is_facing, 0) if is_facing.any() else window
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
    points = np.array(mesh.coordinates.T, dtype=np.float32, order="C")
    points -= (points.max(axis=1, keepdims=True) + points.min(axis=1, keepdims=True)) / 2
    corners = tuple(np.ascontiguousarray(of) for of in mesh.triangles.T)
    outwards = -1.0 if _is_inside_out(points, corners) else 1.0
    touching = around[corners[0]] | around[corners[1]] | around[corners[2]]
    normals = _normals(points, [of[touching] for of in corners])
    along = outwards * np.array([of.sum(dtype=np.float64) for of in normals])
    middle = points[:, around].mean(axis=1, dtype=np.float64)
    towards = _unit(middle if sphere else along, middle)
    up, right = _upright(towards)
    depth, x, y = (_along(points, direction) for direction in (towards, right, up))
    is_near = None
    if sphere:
        cosine = depth / np.linalg.norm(points, axis=0)
        unrolled = np.sqrt(2 / np.maximum(1 + cosine, 1e-6))
        x, y = x * unrolled, y * unrolled
        is_near = cosine > 0
    a, b, c = corners
    faces = outwards * ((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])) > 0
    if is_near is not None:
        faces &= is_near[a] & is_near[b] & is_near[c]
    lateral, anterior, dorsal = np.column_stack([right, up])
    directions = {
        "anterior": anterior,
        "dorsal": dorsal,
        "lateral": -lateral if hemisphere == "L" else lateral,
    }
    return Projection(
        positions=np.column_stack([x, y]),
        depth=depth,
        triangles=np.stack([of[faces] for of in corners]).T,
        directions={
            name: (float(to_right), float(to_top))
            for name, (to_right, to_top) in directions.items()
        },
        mesh=mesh,
        towards=None if sphere else outwards * towards,
    )


def frame(projection: Projection, around: Mask, margin: float) -> Window:
    """Choose the smallest square around some vertices, with a margin in mm."""
    x, y = projection.positions.T
    (left, right), (bottom, top) = (
        (float(of.min()), float(of.max())) for of in (x[around], y[around])
    )
    centre = (left + right) / 2, (bottom + top) / 2
    return Window(centre, max(right - left, top - bottom) / 2 + margin)


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
    places = (projection.positions - np.array([left, bottom], dtype=np.float32)) * np.float32(scale)
    # How many centres of pixels are to the left of each vertex, and how many below. A triangle may
    # hold those of which some corners have more than others.
    corners, before = tuple(projection.triangles.T), np.floor(places + 0.5).clip(0, n_pixels)
    first: list[NDArray[np.integer[Any]]] = []
    last: list[NDArray[np.integer[Any]]] = []
    for along in before.T.astype(np.int32):
        a, b, c = (along[of] for of in corners)
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        has_pixels = high > low
        corners = tuple(of[has_pixels] for of in corners)
        first = [of[has_pixels] for of in (*first, low)]
        last = [of[has_pixels] for of in (*last, high)]
    width, height = (high - low for low, high in zip(first, last, strict=True))
    count = width * height
    if count.sum() > _MOST_TESTS * n_pixels**2:
        raise ValueError("the triangles overlap so much that they cannot be those of a surface")
    which = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    up, across = np.divmod(step, width[which])
    weights = _barycentric([places[of] for of in corners], first, which, across, up)
    inside = np.minimum(np.minimum(weights[0], weights[1]), weights[2]) >= -1e-9
    which = which[inside]
    pixel = (first[1][which] + up[inside]) * n_pixels + first[0][which] + across[inside]
    of_a, of_b, of_c = (of[inside] for of in weights)
    a, b, c = (of[which] for of in corners)
    depth = projection.depth[a] * of_a + projection.depth[b] * of_b + projection.depth[c] * of_c
    nearest = np.where(of_c > np.maximum(of_a, of_b), c, np.where(of_b > of_a, b, a))
    foremost = np.full(n_pixels**2, -np.inf)
    np.maximum.at(foremost, pixel, depth)
    is_seen = depth == foremost[pixel]
    vertices = np.full(n_pixels**2, -1)
    vertices[pixel[is_seen]] = nearest[is_seen]
    return vertices.reshape(n_pixels, n_pixels)


def _shade(shading: Array | None, projection: Projection) -> Array:
    """Shade the cortex: by its sulci if they are known, else by its slant."""
    if shading is None:
        return 0.55 + 0.27 * np.clip(projection.slant, 0, 1)
    spread = float(np.nanstd(shading)) or 1.0
    return GROUND - 0.12 * np.tanh(2 * np.nan_to_num(shading) / spread)


def _along(points: Array, direction: Array) -> Array:
    """Give how far points are in a direction; for so few numbers, threads are a waste."""
    x, y, z = points
    distance: Array = x * float(direction[0]) + y * float(direction[1]) + z * float(direction[2])
    return distance


def _normals(points: Array, corners: Sequence[NDArray[np.integer[Any]]]) -> tuple[Array, ...]:
    """Give the parts of the normals of triangles, twice as long as their areas."""
    a, b, c = corners
    x1, y1, z1, x2, y2, z2 = (of[d] - of[a] for d in (b, c) for of in points)
    return y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2


def _is_inside_out(points: Array, corners: Sequence[NDArray[np.integer[Any]]]) -> bool:
    """Tell whether the normals point inwards, as those of some tools do: the volume is negative.

    Only a closed surface has a volume; its normals cancel each other out. Some of many triangles
    are enough to see this.
    """
    some = [of[:: max(1, len(of) // _LOOKED_AT)] for of in corners]
    normals = _normals(points, some)
    whole = np.sqrt(sum(of * of for of in normals)).sum(dtype=np.float64)
    left = np.linalg.norm([of.sum(dtype=np.float64) for of in normals])
    volume = sum(
        (of * along[some[0]]).sum(dtype=np.float64)
        for of, along in zip(normals, points, strict=True)
    )
    return bool(left < 0.05 * whole and volume < 0)


def _barycentric(
    corners: Sequence[Array],
    first: Sequence[NDArray[np.integer[Any]]],
    which: NDArray[np.integer[Any]],
    across: NDArray[np.integer[Any]],
    up: NDArray[np.integer[Any]],
) -> list[Array]:
    """Weigh the corners of triangles for the centres of pixels; outside, one is negative.

    Parameters
    ----------
    corners : three (n_triangles, 2) arrays
        In pixels.
    first : two (n_triangles,) arrays
        Column and row of a pixel.
    which, across, up : (n,) array
        Triangles, and how many columns and rows their pixels are from this one.

    Returns
    -------
    three (n,) arrays
    """
    (ax, bx, cx), (ay, by, cy) = (
        [of[:, axis] - (first[axis] + 0.5) for of in corners] for axis in (0, 1)
    )
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    # They grow linearly from pixel to pixel.
    of_a, of_b = (
        (start / area)[which] + (to_right / area)[which] * across + (to_top / area)[which] * up
        for start, to_right, to_top in (
            (bx * cy - by * cx, by - cy, cx - bx),
            (cx * ay - cy * ax, cy - ay, ax - cx),
        )
    )
    return [of_a, of_b, 1 - of_a - of_b]


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
