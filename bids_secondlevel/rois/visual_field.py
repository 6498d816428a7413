"""Responses by their place in the visual field: profiles over eccentricity and polar angle.

All vertices of a visual area take part, whatever the limits of the ROIs. No localizer does, so no
estimate is circular.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import Contrast, Plan
from bids_secondlevel.core.hemispheres import POOLS, Bilateral, Hemisphere
from bids_secondlevel.core.roi_rule import VISUAL_AREAS, SummaryKind, area_name
from bids_secondlevel.core.rows import KEY_COLUMNS, MISSING, Column, Schema, grouped, stacked
from bids_secondlevel.core.values import Absent, Array, Mask, Retinotopy
from bids_secondlevel.maps.cortex import Cortex

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array

Profile = Literal["eccentricity", "polar_angle", "cell"]

PROFILES: Mapping[Profile, str] = {
    "eccentricity": "bins of eccentricity, whatever the polar angle",
    "polar_angle": "bins of polar angle, over all bins of eccentricity",
    "cell": "bins of both; those without a vertex are left out",
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
)
"""The columns that name a bin."""


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
        return VisualField(rows=stacked((), VISUAL_FIELD_COLUMNS), n_bins=0, areas={})
    names = dict.fromkeys(name for roi in plan.rois for name in roi.rule.visual_areas)
    masks = {name: cortex.map(partial(_mask, name=name)) for name in names}
    largest = max(_largest(cortex, of_area) for of_area in masks.values())
    eccentricities = plan.visual_field.eccentricities(largest)
    has_angles = any(of.polar_angle is not None for of in known)
    angles = plan.visual_field.angles if has_angles else np.empty(0)
    bins = _bins(eccentricities, angles)
    tables, areas = [], {}
    for name, of_area in masks.items():
        label = area_name(name)
        area = areas[label] = Bilateral(
            _locate(cortex.left, of_area.left, eccentricities, angles, plan.summary),
            _locate(cortex.right, of_area.right, eccentricities, angles, plan.summary),
        )
        for hemi in plan.hemi:
            n_vertices = np.sum([_counts(area[side], len(bins)) for side in POOLS[hemi]], axis=0)
            of_rows = bins.assign(area=label, hemi=hemi, n_vertices=n_vertices)
            tables.append(of_rows[(bins["profile"] != "cell") | (n_vertices > 0)])
    return VisualField(rows=pd.concat(tables), n_bins=len(bins), areas=areas)


def measure_in_field(
    maps: Bilateral[Array | Absent], field: VisualField, contrast: Contrast, plan: Plan
) -> "pd.DataFrame":
    """Average the maps of a contrast over the vertices of each bin.

    Returns
    -------
    DataFrame
        With :data:`VISUAL_FIELD_COLUMNS`. Rows of ``both`` pool the vertices of the hemispheres,
        and have no number if a hemisphere has none to pool.
    """
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


def _bins(eccentricities: Array, angles: Array) -> "pd.DataFrame":
    """List the bins: of eccentricity, then of polar angle, then of both."""
    import pandas as pd

    rings = list(pairwise(eccentricities))
    wedges = list(pairwise(angles))
    nothing = (np.nan, np.nan)
    whole = (eccentricities[0], eccentricities[-1])
    listed = [
        *(("eccentricity", *ring, *nothing) for ring in rings),
        *(("polar_angle", *whole, *wedge) for wedge in wedges),
        *(("cell", *ring, *wedge) for ring, wedge in product(rings, wedges)),
    ]
    return pd.DataFrame(listed, columns=list(BIN))


def _locate(
    half: Cortex, mask: Mask | None, eccentricities: Array, angles: Array, summary: SummaryKind
) -> _Area | None:
    """Find the bins of the vertices of an area in one hemisphere."""
    from scipy.sparse import csr_array

    maps = half.retinotopy
    if mask is None or isinstance(maps, Absent):
        return None
    n_rings, n_wedges = len(eccentricities) - 1, max(len(angles) - 1, 0)
    vertices = np.flatnonzero(mask)
    # Edges are compared in the precision of the map, as the limits of ROIs are.
    own = maps.eccentricity[vertices]
    ring = np.searchsorted(eccentricities.astype(own.dtype), own, side="right") - 1
    is_in = (ring >= 0) & (ring < n_rings)
    vertices, ring = vertices[is_in], ring[is_in]
    column = np.arange(vertices.size)
    places = [(ring, column)]
    if n_wedges and maps.polar_angle is not None:
        angle = maps.polar_angle[vertices].astype(np.float64)
        is_known = np.isfinite(angle)
        turned = (angle[is_known] + 180) % 360 - 180
        wedge = np.searchsorted(angles, turned, side="right") - 1
        cell = n_rings + n_wedges + ring[is_known] * n_wedges + wedge
        places += [(n_rings + wedge, column[is_known]), (cell, column[is_known])]
    rows, columns = np.concatenate(places, axis=1)
    weights = np.ones(vertices.size)
    if summary == "area-weighted-mean":
        weights = np.full(vertices.size, np.nan) if half.areas is None else half.areas[vertices]
    n_bins = n_rings + n_wedges + n_rings * n_wedges
    return _Area(
        vertices=vertices,
        weights=weights,
        holds=csr_array((np.ones(rows.size), (rows, columns)), shape=(n_bins, vertices.size)),
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
