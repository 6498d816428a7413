"""Describe the ROIs: their sizes, patches, and positions in the visual field.

Polar angles refer to the visual field, in degrees clockwise from the upper vertical
meridian: 0 is up, 90 right, -90 left and 180 (or -180) down. NaN and infinite angles are ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Literal

import numpy as np

from bids_secondlevel.core.files import Plan
from bids_secondlevel.core.hemispheres import HEMISPHERES, POOLS, Bilateral
from bids_secondlevel.core.rows import column, columns
from bids_secondlevel.core.values import (
    STATUSES,
    Absent,
    Array,
    Mask,
    RoiMasks,
    Rois,
    Status,
    in_any,
    worst,
)
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.meshes import Triangles, patches, triangles_along
from bids_secondlevel.maps.volumes import voxel_patches

Quadrant = Literal["UL", "UR", "LL", "LR"]

QUADRANTS: Mapping[Quadrant, str] = {
    "UL": "upper left visual field: polar angle between -90 and 0",
    "UR": "upper right visual field: polar angle between 0 and 90",
    "LL": "lower left visual field: polar angle between -180 and -90",
    "LR": "lower right visual field: polar angle between 90 and 180",
}
"""Quadrants of the visual field without the meridians between them."""

TOLERANCE = 1e-6
"""Length of a mean of unit vectors that is treated as zero, and distance treated as on a meridian.

Angles are usually stored in 32 bits, so smaller values are rounding errors; on the unit circle,
1e-6 is about 0.00006 degrees.
"""

_SIDES_TO_QUADRANT: Mapping[tuple[int, int], Quadrant] = {
    (1, -1): "UL",
    (1, 1): "UR",
    (-1, -1): "LL",
    (-1, 1): "LR",
}
"""Quadrants by vertical side (1 is up) and horizontal side (1 is right)."""


@dataclass(frozen=True)
class QualityRow:
    """An ROI in one hemisphere or both; the only declaration of the table's columns."""

    participant_id: str = column()
    roi: str = column()
    hemi: str = column()
    space: str | None = column()
    n_vertices: int | None = column(
        "number of vertices of the ROI (in volumes, voxels)", default=None
    )
    area_mm2: float | None = column(
        "area of the ROI on the participant's own surface (a vertex has a third of the area of "
        "each of its triangles); n/a without such a surface",
        units="mm^2",
        default=None,
    )
    volume_mm3: float | None = column(
        "volume of the ROI; only for maps in volumes",
        units="mm^3",
        is_optional=True,
        default=None,
    )
    retinotopic_share: float | None = column(
        "n_vertices divided by the number of vertices of the retinotopy mask; n/a if that is empty",
        default=None,
    )
    n_patches: int | None = column(
        "number of connected patches of the ROI on the surface mesh (in volumes, of voxels that "
        "share a face); n/a without a mesh",
        default=None,
    )
    largest_patch: int | None = column(
        "number of vertices of the largest connected patch; n/a without a mesh",
        default=None,
    )
    laterality_index: float | None = column(
        "laterality index of the numbers of vertices, (L - R) / (L + R): 1 is left only, -1 is "
        "right only; only in rows of both hemispheres, n/a if both are empty",
        default=None,
    )
    mean_eccentricity: float | None = column(
        "mean eccentricity of the ROI's vertices", units="deg", default=None
    )
    mean_polar_angle: float | None = column(
        "circular mean of the polar angles of the ROI's vertices in the visual field: 0 up, 90 "
        "right, -90 left, 180 down; n/a if they cancel out",
        units="deg",
        default=None,
    )
    quadrant: Quadrant | None = column(
        "quadrant of the visual field of mean_polar_angle; n/a on a meridian",
        levels=QUADRANTS,
        default=None,
    )
    quadrant_agreement: float | None = column(
        "share of the ROI's vertices in that quadrant, among those with a polar angle; vertices on "
        "a meridian are in no quadrant",
        default=None,
    )
    status: Status = column(
        "ok if the ROI has vertices, otherwise the reason", levels=STATUSES, default="ok"
    )


QUALITY_COLUMNS = columns(QualityRow)


@dataclass(frozen=True)
class OverlapRow:
    """Two ROIs in one hemisphere or both; the only declaration of the table's columns."""

    participant_id: str = column()
    roi: str = column()
    other_roi: str = column("ROI of the comparison")
    hemi: str = column()
    space: str | None = column()
    n_shared: int | None = column(
        "number of vertices in both ROIs; n/a if one of them could not be defined (see the table "
        "of quality for the reason)",
        default=None,
    )
    dice: float | None = column(
        "Dice coefficient: 2 n_shared divided by the sum of the ROIs' vertices; n/a if both are "
        "empty",
        default=None,
    )
    overlap_coefficient: float | None = column(
        "n_shared divided by the number of vertices of the smaller ROI; n/a if that is empty",
        default=None,
    )


OVERLAP_COLUMNS = columns(OverlapRow)


def describe_rois(
    participant_id: str, rois: Bilateral[Rois], cortex: Bilateral[Cortex], plan: Plan
) -> list[QualityRow]:
    """Describe every ROI in rows for L, R and both hemispheres, as far as asked for.

    Values that are unknown for one hemisphere are ``None`` in its row and in the row of both. If
    the ROI is missing in one hemisphere, these rows have only its status.

    Raises
    ------
    ValueError
        If a map and an ROI differ in their number of vertices.

    References
    ----------
    Laterality index: Seghier (2008), Magnetic Resonance Imaging 26, 594-601.
    Circular mean: Mardia and Jupp (2000), Directional Statistics, section 2.2.
    """
    near = Bilateral.of(lambda side: _triangles_along(rois[side], cortex[side].triangles))
    patched = {
        (roi, side): _patch_sizes(rois[side][roi].roi, near[side])
        for roi, side in product(rois.left, HEMISPHERES)
    }
    return [
        _describe(
            QualityRow(participant_id=participant_id, roi=roi, hemi=name, space=plan.space),
            [rois[side][roi] for side in sides],
            [cortex[side] for side in sides],
            [patched[roi, side] for side in sides],
        )
        for roi in rois.left
        for name, sides in POOLS.items()
        if name in plan.hemi
    ]


def compare_rois(participant_id: str, rois: Bilateral[Rois], plan: Plan) -> list[OverlapRow]:
    """Compare every pair of ROIs in rows for L, R and both hemispheres, as far as asked for.

    If a mask is missing, its row and the row of both hemispheres have no values.

    Raises
    ------
    ValueError
        If two ROIs differ in their number of vertices.

    References
    ----------
    Dice (1945), Ecology 26, 297-302. Overlap coefficient (Szymkiewicz-Simpson): Simpson (1943),
    American Journal of Science 241, 1-31.
    """
    return [
        _compare(
            OverlapRow(
                participant_id=participant_id,
                roi=roi,
                other_roi=other,
                hemi=name,
                space=plan.space,
            ),
            [rois[side][roi].roi for side in sides],
            [rois[side][other].roi for side in sides],
        )
        for roi, other in combinations(rois.left, 2)
        for name, sides in POOLS.items()
        if name in plan.hemi
    ]


def _describe(
    key: QualityRow,
    rois: Sequence[RoiMasks],
    cortex: Sequence[Cortex],
    patched: Sequence[tuple[int, ...] | None],
) -> QualityRow:
    """Make the row of an ROI, pooled over the given hemispheres."""
    parts = [part for masks in rois for part in (masks.roi, masks.retinotopic)]
    absent = [part for part in parts if isinstance(part, Absent)]
    if absent:
        return replace(key, status=worst(absent).status)
    masks = _present([masks.roi for masks in rois])
    n_vertices = _count(masks)
    n_retinotopic = _count(_present([masks.retinotopic for masks in rois]))
    area = _pool(masks, [half.areas for half in cortex])
    grids = [half.grid for half in cortex if half.grid is not None]
    on_meshes = [sizes for sizes in patched if sizes is not None]
    sizes = sum(on_meshes, ()) if len(on_meshes) == len(masks) else None
    if grids:
        sizes = voxel_patches(np.any(masks, axis=0), grids[0].shape)
    retinotopy = [r for half in cortex if not isinstance(r := half.retinotopy, Absent)]
    eccentricity = _finite(_pool(masks, [maps.eccentricity for maps in retinotopy]))
    angles = _finite(_pool(masks, [maps.polar_angle for maps in retinotopy]))
    mean_angle, quadrant, agreement = _position(angles)
    return replace(
        key,
        n_vertices=n_vertices,
        area_mm2=None if area is None else float(area.sum()),
        volume_mm3=n_vertices * grids[0].voxel_volume if grids else None,
        retinotopic_share=n_vertices / n_retinotopic if n_retinotopic else None,
        n_patches=None if sizes is None else len(sizes),
        largest_patch=None if sizes is None else max(sizes, default=0),
        laterality_index=_laterality(*masks) if len(masks) == 2 else None,
        mean_eccentricity=float(eccentricity.mean()) if eccentricity.size else None,
        mean_polar_angle=mean_angle,
        quadrant=quadrant,
        quadrant_agreement=agreement,
        status="ok" if n_vertices else "empty_roi",
    )


def _compare(
    key: OverlapRow, rois: Sequence[Mask | Absent], others: Sequence[Mask | Absent]
) -> OverlapRow:
    """Make the row of two ROIs, pooled over the given hemispheres."""
    masks, other_masks = _present(rois), _present(others)
    if len(masks) < len(rois) or len(other_masks) < len(others):
        return key
    shared = _count([mask & other for mask, other in zip(masks, other_masks, strict=True)])
    n_vertices, n_other = _count(masks), _count(other_masks)
    both_empty, one_empty = not n_vertices + n_other, not n_vertices * n_other
    return replace(
        key,
        n_shared=shared,
        dice=None if both_empty else 2 * shared / (n_vertices + n_other),
        overlap_coefficient=None if one_empty else shared / min(n_vertices, n_other),
    )


def _present(parts: Sequence[Mask | Absent]) -> list[Mask]:
    return [part for part in parts if not isinstance(part, Absent)]


def _count(masks: Sequence[Mask]) -> int:
    return sum(int(mask.sum()) for mask in masks)


def _pool(masks: Sequence[Mask], maps: Sequence[Array | None]) -> Array | None:
    """Return the values at the vertices of an ROI; nothing if a hemisphere has no map."""
    values = [
        _inside(mask, values)
        for mask, values in zip(masks, maps, strict=True)
        if values is not None
    ]
    return np.concatenate(values) if len(values) == len(masks) else None


def _inside(mask: Mask, values: Array) -> Array:
    if values.shape != mask.shape:
        raise ValueError(f"the map has {values.size} and the ROI {mask.size} vertices")
    return values[mask].astype(np.float64)


def _finite(values: Array | None) -> Array:
    return np.empty(0) if values is None else values[np.isfinite(values)]


def _triangles_along(rois: Rois, triangles: Triangles | None) -> Triangles | None:
    """Take the triangles with an edge in any ROI: few, which are then searched for each."""
    inside = in_any(rois)
    if isinstance(inside, Absent) or triangles is None:
        return None
    return triangles_along(triangles, inside)


def _patch_sizes(mask: Mask | Absent, triangles: Triangles | None) -> tuple[int, ...] | None:
    """Count the vertices of each patch; nothing without a mesh."""
    if isinstance(mask, Absent) or triangles is None:
        return None
    return patches(triangles, mask)


def _laterality(left: Mask, right: Mask) -> float | None:
    n_left, n_right = int(left.sum()), int(right.sum())
    return (n_left - n_right) / (n_left + n_right) if n_left + n_right else None


def _position(angles: Array) -> tuple[float | None, Quadrant | None, float | None]:
    """Find the mean direction of finite angles, its quadrant, and the share of angles in it."""
    directions = np.exp(1j * np.deg2rad(angles))  # up is real, right is imaginary
    mean = directions.mean() if directions.size else 0.0
    if abs(mean) < TOLERANCE:
        return None, None, None
    mean_angle = float(np.rad2deg(np.angle(mean)))
    sides = _sides(mean / abs(mean))
    quadrant = _SIDES_TO_QUADRANT.get((int(sides[0]), int(sides[1])))
    if quadrant is None:
        return mean_angle, None, None
    agrees = (_sides(directions) == sides[:, np.newaxis]).all(axis=0)
    return mean_angle, quadrant, float(agrees.mean())


def _sides(directions: Array) -> Array:
    """Return up (1) or down (-1), then right (1) or left (-1); 0 is on the meridian between.

    Returns
    -------
    (2, ...) array of float
    """
    parts = np.stack([directions.real, directions.imag])
    return np.where(np.abs(parts) < TOLERANCE, 0.0, np.sign(parts))
