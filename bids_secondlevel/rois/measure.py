"""Measure maps inside regions of interest, and combine the maps of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import Combination
from bids_secondlevel.core.hemispheres import BOTH, HEMISPHERES, Hemisphere
from bids_secondlevel.core.roi_rule import SummaryKind
from bids_secondlevel.core.values import Absent, Array, Mask, Status, worst
from bids_secondlevel.rois.estimates import EstimateRow, Independence

COMBINATIONS: Mapping[Combination, str] = {
    "single": "one map",
    "fixed_effects": "mean weighted by inverse variance (fixed effects)",
    "mean": "unweighted mean",
    "fixed_effects_z": "z of the mean weighted by inverse variance (fixed effects)",
    "stouffer": "sum of z divided by the root of their number (Stouffer)",
}


@dataclass(frozen=True)
class Key:
    """What was measured where: the part of a row that does not depend on the hemisphere."""

    participant_id: str
    session: str | None
    task: str
    contrast: str
    roi: str
    space: str | None
    statistic: str


@dataclass(frozen=True, eq=False)
class Region:
    """The vertices of a ROI in one hemisphere, found once and looked up in every map.

    Attributes
    ----------
    vertices : (n,) array of int
        In ascending order.
    n_surface : int
        Vertices of the whole surface, which a map must have; in volumes, voxels of the grid.
    areas : (n,) array of float or None
        Of these vertices in mm^2; ``None`` where there is no surface.
    voxel_volume : float or None
        In mm^3; ``None`` on surfaces.
    """

    vertices: NDArray[np.intp]
    n_surface: int
    areas: Array | None = None
    voxel_volume: float | None = None


def region(
    roi: Mask | Absent, areas: Array | None = None, voxel_volume: float | None = None
) -> Region | Absent:
    """Find the vertices of a ROI; `areas` are those of all ``n_vertices`` vertices.

    Examples
    --------
    >>> region(np.array([False, True, True])).vertices
    array([1, 2])
    """
    if isinstance(roi, Absent):
        return roi
    vertices = np.flatnonzero(roi)
    inside = None if areas is None else areas[vertices]
    return Region(vertices, roi.size, inside, voxel_volume)


@dataclass(frozen=True)
class Part:
    """A ROI and a map of one hemisphere, or why there is none."""

    region: Region | Absent
    values: Array | Absent


@dataclass(frozen=True)
class Method:
    """How the values in a ROI become one number, and from how many vertices on."""

    summary: SummaryKind = "mean"
    min_vertices: int = 1


def measure(
    key: Key,
    parts: Mapping[Hemisphere, Part],
    method: Method = Method(),
    *,
    n_runs: Mapping[Hemisphere, int] = MappingProxyType({}),
    independence: Independence = "independent",
) -> list[EstimateRow]:
    """Measure one map in one ROI: a row for L, for R and for both together.

    Parameters
    ----------
    key : Key
    parts : mapping of hemisphere to Part
    method : Method
    n_runs : mapping of hemisphere to int
        Maps that were combined. ``both`` has this number where the hemispheres agree.
    independence : {"independent", "crossvalidated", "circular"}

    Returns
    -------
    list of EstimateRow
        ``both`` pools the vertices of the hemispheres (it is not the mean of two means), and
        has no number where either hemisphere has none to pool.
    """
    pools: dict[str, tuple[Part, ...]] = {hemi: (parts[hemi],) for hemi in HEMISPHERES}
    combined: dict[str, int | None] = {hemi: n_runs.get(hemi) for hemi in HEMISPHERES}
    left, right = combined.values()
    combined[BOTH] = left if left == right else None
    pools[BOTH] = tuple(parts[hemi] for hemi in HEMISPHERES)
    return [
        EstimateRow(
            **vars(key),
            hemi=hemi,
            **vars(summarize(pool, method)),
            n_runs=combined[hemi],
            independence=independence,
        )
        for hemi, pool in pools.items()
    ]


def values_inside(region: Region | Absent, values: Array | Absent) -> Array | Absent:
    """Take the values of a map at the vertices of an ROI, or say why there are none."""
    absent = [part for part in (region, values) if isinstance(part, Absent)]
    if absent:
        return worst(absent)
    assert not isinstance(region, Absent)
    assert not isinstance(values, Absent)
    if values.shape != (region.n_surface,):
        return Absent("vertex_mismatch")
    inside: Array = values[region.vertices]
    return inside


@dataclass(frozen=True)
class Summary:
    """What a map holds inside an ROI; see the columns of :class:`EstimateRow`."""

    estimate: float | None = None
    sd: float | None = None
    median: float | None = None
    n_vertices: int | None = None
    n_finite: int | None = None
    coverage: float | None = None
    area_mm2: float | None = None
    volume_mm3: float | None = None
    status: Status = "ok"


def summarize(parts: Sequence[Part], method: Method = Method()) -> Summary:
    """Summarize a map inside a ROI, pooled over the parts it is made of.

    Parameters
    ----------
    parts : sequence of Part
        One per hemisphere.
    method : Method

    Returns
    -------
    Summary
        Size and area of the ROI are known even where the map is absent. Sums are accumulated
        in 64-bit floats; NaN and infinite values are left out.
    """
    regions = [part.region for part in parts if not isinstance(part.region, Absent)]
    areas = [region.areas for region in regions if region.areas is not None]
    is_whole = len(regions) == len(parts)
    size = sum(region.vertices.size for region in regions) if is_whole else None
    area = float(sum(a.sum() for a in areas)) if len(areas) == len(parts) else None
    voxel = regions[0].voxel_volume if is_whole else None
    volume = None if voxel is None or size is None else size * voxel
    values = [values_inside(part.region, part.values) for part in parts]
    absent = [part for part in values if isinstance(part, Absent)]
    if absent:
        return Summary(
            n_vertices=size, area_mm2=area, volume_mm3=volume, status=worst(absent).status
        )
    pooled = np.concatenate([np.asarray(part, dtype=np.float64) for part in values])
    is_finite = np.isfinite(pooled)
    finite = pooled[is_finite]
    weights = np.concatenate(areas)[is_finite] if area is not None else None
    status = _gap_in(pooled.size, weights, finite.size, method)
    if status is not None:
        return Summary(
            n_vertices=pooled.size,
            n_finite=finite.size,
            coverage=finite.size / pooled.size if pooled.size else None,
            area_mm2=area,
            volume_mm3=volume,
            status=status,
        )
    estimates = {"mean": finite.mean, "median": lambda: np.median(finite)}
    estimates["area-weighted-mean"] = lambda: np.average(finite, weights=weights)
    return Summary(
        estimate=float(estimates[method.summary]()),
        sd=float(finite.std(ddof=1)) if finite.size > 1 else None,
        median=float(np.median(finite)),
        n_vertices=pooled.size,
        n_finite=finite.size,
        coverage=finite.size / pooled.size,
        area_mm2=area,
        volume_mm3=volume,
    )


def _gap_in(n_vertices: int, weights: Array | None, n_finite: int, method: Method) -> Status | None:
    """Say why a ROI has no estimate in a map that is there, if it has none."""
    if n_vertices == 0:
        return "empty_roi"
    if n_vertices < method.min_vertices:
        return "below_min_vertices"
    if n_finite == 0:
        return "no_finite_vertices"
    if method.summary == "area-weighted-mean" and weights is None:
        return "missing_surface"
    return None


def t_to_z(t: Array, degrees_of_freedom: float) -> Array:
    """Turn t values into z values with the same tail probability.

    Parameters
    ----------
    t : (n,) array of float
    degrees_of_freedom : float

    Returns
    -------
    (n,) array of float
        In the precision of `t`, with the sign of t; NaN stays NaN. Where the probability is too
        small for a float, infinite.

    Examples
    --------
    >>> t_to_z(np.array([-2.0, 0.0, 2.228]), 10).round(2)
    array([-1.79, -0.  ,  1.96])
    """
    from scipy import special

    upper = special.stdtr(degrees_of_freedom, -np.abs(np.asarray(t, dtype=np.float64)))
    z: Array = np.sign(t) * -special.ndtri(upper)
    return z.astype(t.dtype if t.dtype.kind == "f" else np.float64)


def combine_runs(
    maps: Sequence[Array], variances: Sequence[Array], combination: Combination
) -> Array:
    """Combine the maps of several runs into one.

    Parameters
    ----------
    maps : sequence of (n_vertices,) array
        One map per run.
    variances : sequence of (n_vertices,) array
        For the fixed-effects combinations, the variance map of each run.
    combination : {"single", "fixed_effects", "mean", "fixed_effects_z", "stouffer"}
        ``single``: the one map, unchanged. ``mean``: unweighted mean. ``fixed_effects``:
        mean weighted by inverse variance; ``fixed_effects_z``: that mean divided by its
        standard error. ``stouffer``: sum of the z maps divided by the root of their number.

    Returns
    -------
    (n_vertices,) array
        A vertex is NaN where any run has no finite value (or no positive variance) for it.

    References
    ----------
    Inverse-variance weights: Cochran (1954), Biometrics 10, 101-129.
    Combination of z values: Stouffer et al. (1949), The American Soldier, vol. 1, p. 45.

    Examples
    --------
    >>> runs = [np.array([1.0]), np.array([4.0])]
    >>> combine_runs(runs, [np.array([1.0]), np.array([2.0])], "fixed_effects")
    array([2.])
    >>> combine_runs([np.array([3.0])] * 4, [], "stouffer")
    array([6.])
    """
    if combination == "single":
        (single,) = maps
        return single
    stacked = np.stack([np.asarray(run, dtype=np.float64) for run in maps])
    if combination in ("mean", "stouffer"):
        exponent = 1.0 if combination == "mean" else 0.5
        combined: Array = np.where(
            np.isfinite(stacked).all(axis=0), stacked.sum(axis=0) / len(maps) ** exponent, np.nan
        )
        return combined
    variance = np.stack([np.asarray(run, dtype=np.float64) for run in variances])
    usable = (np.isfinite(stacked) & np.isfinite(variance) & (variance > 0)).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / variance
        total = weights.sum(axis=0)
        exponent = 1.0 if combination == "fixed_effects" else 0.5
        combined = (weights * stacked).sum(axis=0) / total**exponent
    return np.where(usable, combined, np.nan)
