"""Responses by position in the visual field: profiles over eccentricity and polar angle.

If positions are given, there are profiles over the distance from each of them, too. All vertices of
a visual area are used, also outside the ranges of the ROIs. No localizer is used, so no estimate is
circular.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import Contrast, Plan
from bids_secondlevel.core.hemispheres import POOLS, Bilateral, Hemisphere, main_rows
from bids_secondlevel.core.positions import OWN
from bids_secondlevel.core.roi_rule import VISUAL_AREAS, SummaryKind, area_name
from bids_secondlevel.core.rows import KEY_COLUMNS, MISSING, Column, Schema, stacked
from bids_secondlevel.core.values import Absent, Array, Mask, Retinotopy
from bids_secondlevel.core.visual_field import (
    FieldBins,
    field_distance,
    polar_angle_distance,
    to_plane,
)
from bids_secondlevel.maps.cortex import Cortex

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array

Profile = Literal[
    "eccentricity",
    "polar_angle",
    "cell",
    "receptive_field",
    "polar_angle_distance",
    "distance",
]

PROFILES: Mapping[Profile, str] = {
    "eccentricity": "rings: bins of eccentricity, at all polar angles",
    "polar_angle": "wedges: bins of polar angle, over all bins of eccentricity",
    "cell": "cells: bins of both; cells without vertices have no row",
    "receptive_field": "the centre of each cell: the mean of all vertices, weighted by their "
    "receptive fields there; centres that no receptive field reaches at half of its height are "
    "left out",
    "polar_angle_distance": "bins of the distance in polar angle from a position",
    "distance": "bins of the distance from a position in degrees of visual angle",
}

_FARTHEST, _HALF = 3.0, 0.5
"""Standard deviations up to which a receptive field counts; height at which it reaches a point."""

VISUAL_FIELD_COLUMNS: Schema = {
    **{name: KEY_COLUMNS[name] for name in ("participant_id", "session", "task", "contrast")},
    "area": Column(str, "visual area"),
    "hemi": KEY_COLUMNS["hemi"],
    "space": KEY_COLUMNS["space"],
    "statistic": KEY_COLUMNS["statistic"],
    "profile": Column(str, "kind of bins", levels=PROFILES),
    "eccentricity_low": Column(float, "lower edge of the bin, included", "deg"),
    "eccentricity_high": Column(float, "upper edge of the bin, excluded", "deg"),
    "polar_angle_low": Column(
        float,
        "lower edge of the bin, included: clockwise from the upper vertical meridian, "
        "negative in the left visual field; n/a in profiles over eccentricity",
        "deg",
    ),
    "polar_angle_high": Column(float, "upper edge of the bin, excluded", "deg"),
    "position": Column(
        str,
        "position that distances are from (Positions in this file); own: the one that the contrast "
        "has of its own (RelativeTo in this file); n/a in other profiles",
        is_optional=True,
    ),
    "distance_low": Column(
        float, "lower edge of a bin of distance, which belongs to it", "deg", is_optional=True
    ),
    "distance_high": Column(
        float,
        "upper edge of a bin of distance, which does not, but for a polar angle of 180",
        "deg",
        is_optional=True,
    ),
    "estimate": Column(
        float,
        "mean over the vertices of the bin with data, weighted by area if Summary in this file "
        "says so; n/a if no vertex has data, or if the map of a hemisphere is missing",
        "units of the measured map",
    ),
    "n_vertices": Column(
        int,
        "number of vertices in the bin, in volumes of voxels; of a receptive_field those that "
        "reach the centre at half of their height",
    ),
    "n_finite": Column(int, "number of these vertices with data (not NaN or infinite in the map)"),
}
"""The mean of a contrast in a bin of the visual field."""

BIN = (
    "profile",
    "eccentricity_low",
    "eccentricity_high",
    "polar_angle_low",
    "polar_angle_high",
    "position",
    "distance_low",
    "distance_high",
)
"""The columns that identify a bin."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Edges:
    """The edges of all bins of a participant, in ascending order, and what is known there."""

    eccentricity: Array
    polar_angle: Array
    """None if there are no polar angles."""
    distance: Array
    """From each position in degrees of visual angle."""
    angle_distance: Array
    """From each position in polar angle."""
    has_sizes: bool
    """Whether sizes of receptive fields are known."""

    @property
    def centres(self) -> tuple[Array, Array]:
        """Eccentricity and polar angle of the centre of each cell; none without sizes."""
        if not self.has_sizes:
            return np.empty(0), np.empty(0)
        rings, wedges = ((of[1:] + of[:-1]) / 2 for of in (self.eccentricity, self.polar_angle))
        return np.repeat(rings, wedges.size), np.tile(wedges, rings.size)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Area:
    """The vertices of a visual area in one hemisphere, and their bins."""

    vertices: NDArray[np.intp]
    weights: Array
    """Weight of each vertex in the mean of a bin; NaN if unknown."""
    holds: "csr_array"
    """How much of a vertex (column) is in a bin (row): all of it, but of a receptive field."""
    reaches: "csr_array"
    """Whether that is half of it at least."""
    n_surface: int
    """Number of vertices of the whole surface; a map must have as many."""


@dataclass(frozen=True, eq=False, kw_only=True)
class VisualField:
    """Positions of the vertices of the chosen visual areas in the visual field."""

    rows: "pd.DataFrame"
    """The bins of each area and hemisphere, with their numbers of vertices."""
    parts: tuple[tuple[str, str, NDArray[np.intp]], ...]
    """Area, hemisphere and places of the bins, of rows that follow each other."""
    n_bins: int
    lacks_positions: bool
    """Whether positions were given, but polar angles are missing."""
    areas: Mapping[str, Bilateral[_Area | None]]
    """Areas by name; ``None`` for a hemisphere in which the area is unknown."""


def locate_in_field(cortex: Bilateral[Cortex], plan: Plan) -> VisualField:
    """Find the bins of every vertex of the chosen visual areas, once for all maps.

    Returns
    -------
    VisualField
        Without rows if no profiles were asked for, or if there is no retinotopy.
    """
    known = [half.retinotopy for half in cortex if isinstance(half.retinotopy, Retinotopy)]
    if plan.visual_field is None or not known:
        nothing = stacked((), VISUAL_FIELD_COLUMNS)
        return VisualField(rows=nothing, parts=(), n_bins=0, lacks_positions=False, areas={})
    names = dict.fromkeys(name for roi in plan.rois for name in roi.rule.visual_areas)
    masks = {name: cortex.map(partial(_mask, name=name)) for name in names}
    largest = max(_largest(cortex, of_area) for of_area in masks.values())
    has_angles = any(of.polar_angle is not None for of in known)
    asked = plan.visual_field if has_angles else replace(plan.visual_field, positions=())
    farthest = max((position.eccentricity for position in asked.positions), default=0)
    edges = _Edges(
        eccentricity=asked.eccentricities(largest),
        polar_angle=asked.angles if has_angles else np.empty(0),
        distance=asked.distances(largest + farthest),
        angle_distance=asked.angle_distances,
        has_sizes=has_angles and any(of.sigma is not None for of in known),
    )
    bins = _bins(edges, asked)
    profile = bins["profile"].to_numpy()
    is_field = profile == "receptive_field"
    may_be_left_out = is_field | (profile == "cell")
    main, parts, counts, areas = main_rows(plan.hemi), [], [], {}
    for name, of_area in masks.items():
        label = area_name(name)
        area = areas[label] = Bilateral(
            _locate(cortex.left, of_area.left, edges, asked, plan.summary),
            _locate(cortex.right, of_area.right, edges, asked, plan.summary),
        )
        for hemi in plan.hemi:
            n_vertices = np.sum([_counts(area[side], len(bins)) for side in POOLS[hemi]], axis=0)
            is_used = (n_vertices > 0) | ~may_be_left_out
            if hemi not in main:  # they would make the table much longer
                is_used &= ~is_field
            parts.append((label, hemi, np.flatnonzero(is_used)))
            counts.append(n_vertices[is_used])
    lengths = [len(places) for *_, places in parts]
    rows = bins.iloc[np.concatenate([places for *_, places in parts])].assign(
        area=np.repeat([label for label, *_ in parts], lengths),
        hemi=np.repeat([hemi for _, hemi, _ in parts], lengths),
        n_vertices=np.concatenate(counts),
    )
    return VisualField(
        rows=rows.astype({"area": "str", "hemi": "str"}).reset_index(drop=True),
        parts=tuple(parts),
        n_bins=len(bins),
        lacks_positions=not has_angles and bool(plan.visual_field.positions),
        areas=areas,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class FieldMeans:
    """What a contrast has in each row of a visual field: (n_rows,) arrays."""

    contrast: Contrast
    estimate: Array
    """NaN if missing."""
    n_finite: Array
    """NaN if a hemisphere has no map."""


def measure_in_field(
    maps: Bilateral[Array | Absent], field: VisualField, contrast: Contrast
) -> FieldMeans:
    """Average the maps of a contrast over the vertices of each bin.

    Rows of ``both`` pool the vertices of the hemispheres, and have no number if a hemisphere has
    none to pool.
    """
    if field.rows.empty:
        return FieldMeans(contrast=contrast, estimate=np.empty(0), n_finite=np.empty(0))
    sums = {
        name: Bilateral.of(partial(_sums, maps, area, field.n_bins))
        for name, area in field.areas.items()
    }
    pooled = [
        np.sum([sums[area][side] for side in POOLS[hemi]], axis=0)[:, places]
        for area, hemi, places in field.parts
    ]
    total, weight, n_finite = np.concatenate(pooled, axis=1)
    with np.errstate(invalid="ignore"):
        estimate = np.where(n_finite > 0, total / weight, np.nan)
    return FieldMeans(contrast=contrast, estimate=estimate, n_finite=n_finite)


def field_table(measured: Sequence[FieldMeans], field: VisualField, plan: Plan) -> "pd.DataFrame":
    """Put what contrasts have in a visual field into a table.

    Returns
    -------
    DataFrame
        With :data:`VISUAL_FIELD_COLUMNS`. If a contrast has a position of its own, the distances
        from there are there again, under that name.
    """
    import pandas as pd

    if field.rows.empty or not measured:
        return stacked((), VISUAL_FIELD_COLUMNS)
    relative_to = plan.visual_field.relative_to if plan.visual_field else {}
    everything, position = np.arange(len(field.rows)), field.rows["position"].to_numpy()
    own = [np.flatnonzero(position == relative_to.get(of.contrast.contrast)) for of in measured]
    places = [np.concatenate([everything, again]) for again in own]
    which = np.repeat(np.arange(len(measured)), [len(of) for of in places])
    is_own = np.concatenate([np.arange(len(of)) >= len(everything) for of in places])
    table = field.rows.iloc[np.concatenate(places)].reset_index(drop=True)
    contrasts = [of.contrast for of in measured]
    labels = {
        "participant_id": [of.participant_id for of in contrasts],
        "session": [of.session or MISSING for of in contrasts],
        "task": [of.task for of in contrasts],
        "contrast": [of.contrast for of in contrasts],
    }
    for name, of_each in labels.items():
        table[name] = pd.Series(of_each, dtype="str").iloc[which].to_numpy()
    for name in ("estimate", "n_finite"):
        values = [getattr(of, name)[at] for of, at in zip(measured, places, strict=True)]
        table[name] = np.concatenate(values)
    table["position"] = table["position"].mask(is_own, OWN)
    table = table.assign(space=plan.space or MISSING, statistic=plan.statistic)
    return table[list(VISUAL_FIELD_COLUMNS)]


def _mask(half: Cortex, *, name: str) -> Mask | None:
    """Find the vertices of an area that have an eccentricity."""
    maps = half.retinotopy
    if isinstance(maps, Absent):
        return None
    area = (
        maps.visual_area == VISUAL_AREAS[name] if name in VISUAL_AREAS else maps.other_areas[name]
    )
    return None if isinstance(area, Absent) else area & np.isfinite(maps.eccentricity)


def _largest(cortex: Bilateral[Cortex], masks: Bilateral[Mask | None]) -> float:
    """Find the largest eccentricity of an area."""
    of_each = [
        half.retinotopy.eccentricity[mask].max(initial=0)
        for half, mask in zip(cortex, masks, strict=True)
        if mask is not None and isinstance(half.retinotopy, Retinotopy)
    ]
    return float(max(of_each, default=0))


def _bins(edges: _Edges, asked: FieldBins) -> "pd.DataFrame":
    """List the bins: of eccentricity, of polar angle, of both, and of distances from positions."""
    import pandas as pd

    rings = list(pairwise(edges.eccentricity))
    wedges = list(pairwise(edges.polar_angle))
    nothing = (np.nan, np.nan)
    nowhere = (MISSING, *nothing)
    whole = (edges.eccentricity[0], edges.eccentricity[-1])
    listed = [
        *(("eccentricity", *ring, *nothing, *nowhere) for ring in rings),
        *(("polar_angle", *whole, *wedge, *nowhere) for wedge in wedges),
        *(("cell", *ring, *wedge, *nowhere) for ring, wedge in product(rings, wedges)),
    ]
    if edges.has_sizes:
        cells = product(rings, wedges)
        listed += [("receptive_field", *ring, *wedge, *nowhere) for ring, wedge in cells]
    for position in asked.positions:
        for profile, of in (
            ("polar_angle_distance", edges.angle_distance),
            ("distance", edges.distance),
        ):
            bounds = pairwise(of)
            listed += [(profile, *whole, *nothing, position.name, *bound) for bound in bounds]
    return pd.DataFrame(listed, columns=list(BIN))


def _memberships(
    eccentricity: Array,
    polar_angle: Array | None,
    sigma: Array | None,
    edges: _Edges,
    asked: FieldBins,
) -> "Iterator[csr_array]":
    """Say how much of each vertex (column) is in each bin (row), profile by profile.

    The order is that of :func:`_bins`.
    """
    from scipy.sparse import csr_array

    rings, wedges = len(edges.eccentricity) - 1, max(len(edges.polar_angle) - 1, 0)
    ring = _place(eccentricity, edges.eccentricity)
    yield _one_bin_each(ring, rings)
    n_angles, n_far = len(edges.angle_distance) - 1, len(edges.distance) - 1
    n_centres = edges.centres[0].size
    if not wedges or polar_angle is None:
        n_others = wedges + rings * wedges + n_centres + len(asked.positions) * (n_angles + n_far)
        yield csr_array((n_others, ring.size), dtype=np.float64)
        return
    r, angle = eccentricity.astype(np.float64), polar_angle.astype(np.float64)
    is_in = np.isfinite(angle)
    wedge = np.where(is_in, _place((angle + 180) % 360 - 180, edges.polar_angle), -1)
    yield _one_bin_each(wedge, wedges)
    yield _one_bin_each(np.where(is_in, ring * wedges + wedge, -1), rings * wedges)
    if n_centres:
        known = np.full(r.size, np.nan) if sigma is None else sigma.astype(np.float64)
        yield _receptive_fields(r, angle, known, *edges.centres)
    for position in asked.positions:
        apart = _place(polar_angle_distance(angle, position), edges.angle_distance)
        # What lies opposite is in the last bin.
        yield _one_bin_each(np.where(is_in, np.minimum(apart, n_angles - 1), -1), n_angles)
        far = _place(field_distance(r, angle, position), edges.distance)
        yield _one_bin_each(np.where(is_in, far, -1), n_far)


def _one_bin_each(place: NDArray[np.intp], n_bins: int) -> "csr_array":
    """Assign each vertex to one bin, or to none."""
    from scipy.sparse import csr_array

    column = np.flatnonzero((place >= 0) & (place < n_bins))
    ones, shape = np.ones(column.size), (n_bins, place.size)
    return csr_array((ones, (place[column], column)), shape=shape)


def _receptive_fields(
    eccentricity: Array, polar_angle: Array, sigma: Array, at: Array, angle: Array
) -> "csr_array":
    """Compute the height of receptive fields (columns) at points of the visual field (rows).

    Parameters
    ----------
    eccentricity, polar_angle, sigma : (n_vertices,) array
        Centre and standard deviation of round Gaussians with a height of 1, in degrees. One without
        a size is 0 everywhere.
    at, angle : (n_points,) array
        Eccentricity and polar angle of the points.

    Returns
    -------
    (n_points, n_vertices) array
        0 beyond three standard deviations.

    References
    ----------
    Dumoulin and Wandell (2008), NeuroImage 39, 647-660, equation 2.
    """
    from scipy.sparse import csr_array

    is_known = (sigma > 0) & np.isfinite(polar_angle)
    right, up = to_plane(eccentricity[is_known], polar_angle[is_known])
    at_right, at_up = to_plane(at[:, np.newaxis], angle[:, np.newaxis])
    squares = ((at_right - right) ** 2 + (at_up - up) ** 2) / sigma[is_known] ** 2
    point, vertex = np.nonzero(squares <= _FARTHEST**2)
    heights = np.exp(-squares[point, vertex] / 2)
    places = (point, np.flatnonzero(is_known)[vertex])
    return csr_array((heights, places), shape=(at.size, sigma.size))


def _place(values: Array, edges: Array) -> NDArray[np.intp]:
    """Find the bin that holds each value, edges being in the precision of the values."""
    place: NDArray[np.intp] = np.searchsorted(edges.astype(values.dtype), values, side="right") - 1
    return place


def _locate(
    half: Cortex, mask: Mask | None, edges: _Edges, asked: FieldBins, summary: SummaryKind
) -> _Area | None:
    """Find the bins of the vertices of an area in one hemisphere."""
    from scipy.sparse import csr_array, vstack

    maps = half.retinotopy
    if mask is None or isinstance(maps, Absent):
        return None
    # Limits of eccentricity are compared in the precision of the map, as those of ROIs are.
    vertices = np.flatnonzero(mask)
    ring = _place(maps.eccentricity[vertices], edges.eccentricity)
    vertices = vertices[(ring >= 0) & (ring < len(edges.eccentricity) - 1)]
    angle, sigma = (None if of is None else of[vertices] for of in (maps.polar_angle, maps.sigma))
    parts = _memberships(maps.eccentricity[vertices], angle, sigma, edges, asked)
    holds = csr_array(vstack(list(parts)))
    weights = np.ones(vertices.size)
    if summary == "area-weighted-mean":
        weights = np.full(vertices.size, np.nan) if half.areas is None else half.areas[vertices]
    return _Area(
        vertices=vertices,
        weights=weights,
        holds=holds,
        reaches=(holds >= _HALF).astype(np.float64),
        n_surface=mask.size,
    )


def _counts(area: _Area | None, n_bins: int) -> Array:
    """Count the vertices of each bin; NaN if the area is not known."""
    counts: Array = np.full(n_bins, np.nan) if area is None else area.reaches.sum(axis=1)
    return counts


def _sums(
    maps: Bilateral[Array | Absent], areas: Bilateral[_Area | None], n_bins: int, side: Hemisphere
) -> Array:
    """Sum weighted values, weights and numbers of vertices with data: (3, n_bins), or NaN."""
    values, area = maps[side], areas[side]
    if area is None or isinstance(values, Absent) or values.shape != (area.n_surface,):
        return np.full((3, n_bins), np.nan)
    inside = values[area.vertices].astype(np.float64)
    is_finite = np.isfinite(inside)
    weights = np.where(is_finite, area.weights, 0)
    weighted = np.where(is_finite, inside, 0) * weights
    return np.array([area.holds @ weighted, area.holds @ weights, area.reaches @ is_finite])
