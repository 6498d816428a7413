"""Measure maps inside ROIs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bids_secondlevel.core.files import Contrast, Plan
from bids_secondlevel.core.hemispheres import POOLS, Bilateral
from bids_secondlevel.core.roi_rule import SummaryKind
from bids_secondlevel.core.values import Absent, Array, Mask, Region, Rois, worst
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.flags import has_few_runs, is_minor, joined, size_flags
from bids_secondlevel.rois.independence import independence

Regions = Bilateral[Mapping[str, Region | Absent]]
"""The vertices of every ROI, by name."""


def locate(rois: Bilateral[Rois], cortex: Bilateral[Cortex]) -> Regions:
    """Find the vertices of every ROI, once for all maps."""
    return cortex.map(
        lambda half: {
            name: region(masks.roi, half.areas, half.voxel_volume)
            for name, masks in rois[half.side].items()
        }
    )


def region(
    roi: Mask | Absent, areas: Array | None = None, voxel_volume: float | None = None
) -> Region | Absent:
    """Find the vertices of an ROI; `areas` has one value for each of ``n_vertices`` vertices.

    Examples
    --------
    >>> region(np.array([False, True, True])).vertices
    array([1, 2])
    """
    if isinstance(roi, Absent):
        return roi
    vertices = np.flatnonzero(roi)
    return Region(
        vertices=vertices,
        n_surface=roi.size,
        areas=None if areas is None else areas[vertices],
        voxel_volume=voxel_volume,
    )


def values_in(
    inside: Bilateral[Mask | Absent], maps: Bilateral[Array | Absent]
) -> Bilateral[Array | Absent]:
    """Take the values of a map at the vertices of masks, in their order, or say why not."""
    return Bilateral.of(lambda side: _inside(region(inside[side]), maps[side]))


def measure(
    maps: Bilateral[Array | Absent], regions: Regions, contrast: Contrast, plan: Plan
) -> list[EstimateRow]:
    """Measure the maps of a contrast in every ROI: rows for L, R and both hemispheres.

    ``both`` pools the vertices of the hemispheres (it is not the mean of two means). It is missing
    if a hemisphere is missing.
    """
    rows = []
    for roi in plan.rois:
        for hemi, sides in POOLS.items():
            if hemi not in plan.hemi:
                continue
            n_runs = {contrast.n_runs(side) for side in sides}
            key = EstimateRow(
                participant_id=contrast.participant_id,
                session=contrast.session,
                task=contrast.task,
                contrast=contrast.contrast,
                roi=roi.name,
                hemi=hemi,
                space=plan.space,
                statistic=plan.statistic,
                n_runs=n_runs.pop() if len(n_runs) == 1 else None,
                independence=independence(contrast, roi, plan.rois),
            )
            row = summarize(
                key,
                [regions[side][roi.name] for side in sides],
                [maps[side] for side in sides],
                summary=plan.summary,
                min_vertices=roi.rule.min_vertices,
            )
            flags = size_flags(row.n_vertices, row.coverage)
            if is_minor(roi.name, sides, regions):
                flags.add("minor_hemisphere")
            if has_few_runs(contrast, sides, plan):
                flags.add("few_runs")
            rows.append(replace(row, flags=joined(flags)))
    return rows


def summarize(
    row: EstimateRow,
    regions: Sequence[Region | Absent],
    maps: Sequence[Array | Absent],
    *,
    summary: SummaryKind = "mean",
    min_vertices: int = 1,
) -> EstimateRow:
    """Summarize a map inside an ROI in a row, pooled over the given hemispheres.

    Size and area of the ROI are given even if the map is missing. Sums use 64-bit floats; NaN and
    infinite values are ignored.
    """
    there = [region for region in regions if not isinstance(region, Absent)]
    areas = [region.areas for region in there if region.areas is not None]
    is_whole = len(there) == len(regions)
    size = sum(region.vertices.size for region in there) if is_whole else None
    area = float(sum(a.sum() for a in areas)) if len(areas) == len(regions) else None
    voxel = there[0].voxel_volume if is_whole else None
    volume = None if voxel is None or size is None else size * voxel
    row = replace(row, n_vertices=size, area_mm2=area, volume_mm3=volume)
    values = [_inside(*pair) for pair in zip(regions, maps, strict=True)]
    absent = [part for part in values if isinstance(part, Absent)]
    if absent:
        return replace(row, status=worst(absent).status)
    pooled = np.concatenate([np.asarray(part, dtype=np.float64) for part in values])
    is_finite = np.isfinite(pooled)
    finite = pooled[is_finite]
    row = replace(
        row, n_finite=finite.size, coverage=finite.size / pooled.size if pooled.size else None
    )
    weights = np.concatenate(areas)[is_finite] if area is not None else None
    if pooled.size == 0:
        return replace(row, status="empty_roi")
    if pooled.size < min_vertices:
        return replace(row, status="below_min_vertices")
    if finite.size == 0:
        return replace(row, status="no_finite_vertices")
    if summary == "area-weighted-mean" and weights is None:
        return replace(row, status="missing_surface")
    median = float(np.median(finite))
    return replace(
        row,
        estimate=median if summary == "median" else _mean(finite, weights, summary),
        sd=float(finite.std(ddof=1)) if finite.size > 1 else None,
        median=median,
    )


def _mean(finite: Array, weights: Array | None, summary: SummaryKind) -> float:
    if summary == "mean":
        return float(finite.mean())
    return float(np.average(finite, weights=weights))


def _inside(region: Region | Absent, values: Array | Absent) -> Array | Absent:
    """Return the values of a map at the vertices of an ROI, or the reason of none."""
    absent = [part for part in (region, values) if isinstance(part, Absent)]
    if absent:
        return worst(absent)
    assert not isinstance(region, Absent)
    assert not isinstance(values, Absent)
    if values.shape != (region.n_surface,):
        return Absent("vertex_mismatch")
    inside: Array = values[region.vertices]
    return inside
