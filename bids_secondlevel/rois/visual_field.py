"""Responses by their place in the visual field: profiles over eccentricity and polar angle.

If positions are given, there are profiles over the distance from each of them, too. All vertices of
a visual area take part, whatever the limits of the ROIs. No localizer does, so no estimate is
circular.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import Contrast, Plan
from bids_secondlevel.core.hemispheres import POOLS, Bilateral, Hemisphere
from bids_secondlevel.core.positions import OWN
from bids_secondlevel.core.roi_rule import VISUAL_AREAS, SummaryKind, area_name
from bids_secondlevel.core.rows import KEY_COLUMNS, MISSING, Column, Schema, grouped, stacked
from bids_secondlevel.core.values import Absent, Array, Mask, Retinotopy
from bids_secondlevel.core.visual_field import FieldBins, field_distance, polar_angle_distance
from bids_secondlevel.maps.cortex import Cortex

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array

Profile = Literal["eccentricity", "polar_angle", "cell", "polar_angle_distance", "distance"]

PROFILES: Mapping[Profile, str] = {
    "eccentricity": "bins of eccentricity, whatever the polar angle",
    "polar_angle": "bins of polar angle, over all bins of eccentricity",
    "cell": "bins of both; those without a vertex are left out",
    "polar_angle_distance": "bins of the distance in polar angle from a position",
    "distance": "bins of the distance from a position in degrees of visual angle",
}

VISUAL_FIELD_COLUMNS: Schema = {
    **{name: KEY_COLUMNS[name] for name in ("participant_id", "session", "task", "contrast")},
    "area": Column(str, "visual area"),
    "hemi": KEY_COLUMNS["hemi"],
    "space": KEY_COLUMNS["space"],
    "statistic": KEY_COLUMNS["statistic"],
    "profile": Column(str, "what the bins are of", levels=PROFILES),
    "eccentricity_low": Column(float, "lower edge of the bin, which belongs to it", "deg"),
    "eccentricity_high": Column(float, "upper edge of the bin, which does not", "deg"),
    "polar_angle_low": Column(
        float,
        "lower edge of the bin, which belongs to it: clockwise from the upper vertical meridian, "
        "negative in the left visual field; n/a in profiles over eccentricity",
        "deg",
    ),
    "polar_angle_high": Column(float, "upper edge of the bin, which does not", "deg"),
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
        "mean over the finite vertices of the bin, weighted by their area if Summary in this file "
        "says so; n/a if there is none, or if a hemisphere has no map",
        "those of the measured map",
    ),
    "n_vertices": Column(int, "number of vertices in the bin, in volumes of voxels"),
    "n_finite": Column(int, "number of these that are neither NaN nor infinite in the map"),
}
"""The mean of a contrast in a part of the visual field."""

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
"""The columns that name a bin."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Edges:
    """The edges of all bins of a participant, in ascending order."""

    eccentricity: Array
    polar_angle: Array
    """None if there are no polar angles."""
    distance: Array
    """From each position in degrees of visual angle."""
    angle_distance: Array
    """From each position in polar angle."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Area:
    """The vertices of a visual area in one hemisphere, and the bins that hold them."""

    vertices: NDArray[np.intp]
    weights: Array
    """Of each vertex in the mean of a bin; NaN if it is not known."""
    holds: "csr_array"
    """Whether a bin (row) holds a vertex (column)."""
    n_surface: int
    """Vertices of the whole surface, which a map must have."""


@dataclass(frozen=True, eq=False, kw_only=True)
class VisualField:
    """Where the vertices of the chosen visual areas lie in the visual field."""

    rows: "pd.DataFrame"
    """The bins of each area and hemisphere, with their numbers of vertices; the index is the place
    of a bin."""
    n_bins: int
    lacks_positions: bool
    """Whether positions were given, and there are no polar angles to find them by."""
    areas: Mapping[str, Bilateral[_Area | None]]
    """By name; ``None`` for a hemisphere in which the area is not known."""


def locate_in_field(cortex: Bilateral[Cortex], plan: Plan) -> VisualField:
    """Find the bins of every vertex of the chosen visual areas, once for all maps.

    Returns
    -------
    VisualField
        Without rows if no profiles were asked for, or if there is no retinotopy.
    """
    import pandas as pd

    known = [half.retinotopy for half in cortex if isinstance(half.retinotopy, Retinotopy)]
    if plan.visual_field is None or not known:
        nothing = stacked((), VISUAL_FIELD_COLUMNS)
        return VisualField(rows=nothing, n_bins=0, lacks_positions=False, areas={})
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
    )
    bins = _bins(edges, asked)
    tables, areas = [], {}
    for name, of_area in masks.items():
        label = area_name(name)
        area = areas[label] = Bilateral(
            _locate(cortex.left, of_area.left, edges, asked, plan.summary),
            _locate(cortex.right, of_area.right, edges, asked, plan.summary),
        )
        for hemi in plan.hemi:
            n_vertices = np.sum([_counts(area[side], len(bins)) for side in POOLS[hemi]], axis=0)
            of_rows = bins.assign(area=label, hemi=hemi, n_vertices=n_vertices)
            tables.append(of_rows[(bins["profile"] != "cell") | (n_vertices > 0)])
    return VisualField(
        rows=pd.concat(tables),
        n_bins=len(bins),
        lacks_positions=not has_angles and bool(plan.visual_field.positions),
        areas=areas,
    )


def measure_in_field(
    maps: Bilateral[Array | Absent], field: VisualField, contrast: Contrast, plan: Plan
) -> "pd.DataFrame":
    """Average the maps of a contrast over the vertices of each bin.

    Returns
    -------
    DataFrame
        With :data:`VISUAL_FIELD_COLUMNS`. Rows of ``both`` pool the vertices of the hemispheres,
        and have no number if a hemisphere has none to pool. If the contrast has a position of its
        own, the distances from there are there again, under that name.
    """
    import pandas as pd

    if field.rows.empty:
        return field.rows
    sums = {
        name: Bilateral.of(partial(_sums, maps, area, field.n_bins))
        for name, area in field.areas.items()
    }
    pooled = [
        np.sum([sums[area][side] for side in POOLS[hemi]], axis=0)[:, rows.index]
        for (area, hemi), rows in grouped(field.rows, "area", "hemi")
    ]
    total, weight, n_finite = np.concatenate(pooled, axis=1)
    with np.errstate(invalid="ignore"):
        estimate = total / weight
    own_position = (
        plan.visual_field.relative_to.get(contrast.contrast) if plan.visual_field else None
    )
    table = field.rows.assign(
        participant_id=contrast.participant_id,
        session=contrast.session or MISSING,
        task=contrast.task,
        contrast=contrast.contrast,
        space=plan.space or MISSING,
        statistic=plan.statistic,
        estimate=estimate,
        n_finite=n_finite,
    )
    own = table[table["position"] == own_position].assign(position=OWN)
    return pd.concat([table, own])[list(VISUAL_FIELD_COLUMNS)]


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
    for position in asked.positions:
        for profile, of in (
            ("polar_angle_distance", edges.angle_distance),
            ("distance", edges.distance),
        ):
            bounds = pairwise(of)
            listed += [(profile, *whole, *nothing, position.name, *bound) for bound in bounds]
    return pd.DataFrame(listed, columns=list(BIN))


def _places(
    eccentricity: Array, polar_angle: Array | None, edges: _Edges, asked: FieldBins
) -> list[tuple[NDArray[np.intp], int]]:
    """Find the bin of each vertex in each profile, in the order of :func:`_bins`.

    Returns
    -------
    list of (array, int)
        The place among the bins of a profile, -1 if the vertex is in none; how many these are.
    """
    rings, ring = len(edges.eccentricity) - 1, _place(eccentricity, edges.eccentricity)
    wedges = max(len(edges.polar_angle) - 1, 0)
    if not wedges or polar_angle is None:
        n_distances = len(asked.positions) * (len(edges.angle_distance) + len(edges.distance) - 2)
        nowhere = np.full(ring.size, -1)
        return [(ring, rings), (nowhere, wedges + rings * wedges + n_distances)]
    angle = polar_angle.astype(np.float64)
    is_in = (ring >= 0) & np.isfinite(angle)
    wedge = np.where(is_in, _place((angle + 180) % 360 - 180, edges.polar_angle), -1)
    cell = np.where(is_in, ring * wedges + wedge, -1)
    found = [(ring, rings), (wedge, wedges), (cell, rings * wedges)]
    for position in asked.positions:
        n = len(edges.angle_distance) - 1
        # What lies opposite is in the last bin.
        apart = polar_angle_distance(angle, position)
        near = np.minimum(_place(apart, edges.angle_distance), n - 1)
        distance = field_distance(eccentricity.astype(np.float64), angle, position)
        far, n_far = _place(distance, edges.distance), len(edges.distance) - 1
        found += [(np.where(is_in, near, -1), n), (np.where(is_in & (far < n_far), far, -1), n_far)]
    return found


def _place(values: Array, edges: Array) -> NDArray[np.intp]:
    """Find the bin that holds each value, edges being in the precision of the values."""
    place: NDArray[np.intp] = np.searchsorted(edges.astype(values.dtype), values, side="right") - 1
    return place


def _locate(
    half: Cortex, mask: Mask | None, edges: _Edges, asked: FieldBins, summary: SummaryKind
) -> _Area | None:
    """Find the bins of the vertices of an area in one hemisphere."""
    from scipy.sparse import csr_array

    maps = half.retinotopy
    if mask is None or isinstance(maps, Absent):
        return None
    # Limits of eccentricity are compared in the precision of the map, as those of ROIs are.
    vertices = np.flatnonzero(mask)
    ring = _place(maps.eccentricity[vertices], edges.eccentricity)
    vertices = vertices[(ring >= 0) & (ring < len(edges.eccentricity) - 1)]
    angle = None if maps.polar_angle is None else maps.polar_angle[vertices]
    rows, columns, n_bins = [], [], 0
    for place, n in _places(maps.eccentricity[vertices], angle, edges, asked):
        rows.append(n_bins + place[place >= 0])
        columns.append(np.flatnonzero(place >= 0))
        n_bins += n
    holds = (np.concatenate(rows), np.concatenate(columns))
    weights = np.ones(vertices.size)
    if summary == "area-weighted-mean":
        weights = np.full(vertices.size, np.nan) if half.areas is None else half.areas[vertices]
    return _Area(
        vertices=vertices,
        weights=weights,
        holds=csr_array((np.ones(len(holds[0])), holds), shape=(n_bins, vertices.size)),
        n_surface=mask.size,
    )


def _counts(area: _Area | None, n_bins: int) -> Array:
    """Count the vertices of each bin; NaN if the area is not known."""
    counts: Array = np.full(n_bins, np.nan) if area is None else area.holds.sum(axis=1)
    return counts


def _sums(
    maps: Bilateral[Array | Absent], areas: Bilateral[_Area | None], n_bins: int, side: Hemisphere
) -> Array:
    """Sum up weighted values, weights and numbers of finite vertices: (3, n_bins), or NaN."""
    values, area = maps[side], areas[side]
    if area is None or isinstance(values, Absent) or values.shape != (area.n_surface,):
        return np.full((3, n_bins), np.nan)
    inside = values[area.vertices].astype(np.float64)
    is_finite = np.isfinite(inside)
    weights = np.where(is_finite, area.weights, 0)
    weighted = np.where(is_finite, inside, 0) * weights
    sums: Array = np.array([area.holds @ each for each in (weighted, weights, is_finite)])
    return sums
