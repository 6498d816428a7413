"""Define ROIs: make masks from retinotopy, localizer and a rule.

Everything is per hemisphere. Comparisons are strict, in the precision of the map: a z value of 1.96
stored as a 32-bit float is not greater than 1.96. NaN is outside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bids_secondlevel.core.errors import InputMissingError
from bids_secondlevel.core.hemispheres import Bilateral, Hemisphere
from bids_secondlevel.core.roi_rule import RoiDefinition, RoiRule
from bids_secondlevel.core.values import Absent, Array, Mask, Retinotopy, RoiMasks, Rois
from bids_secondlevel.maps.cortex import Cortex


def individual_rois(
    definitions: Sequence[RoiDefinition], cortex: Bilateral[Cortex]
) -> Bilateral[Rois]:
    """Define all ROIs in each hemisphere: the vertices in both retinotopy and localizer mask."""
    return cortex.map(lambda half: define_rois(definitions, half.retinotopy, half.localizer))


def define_rois(
    definitions: Sequence[RoiDefinition],
    retinotopy: Retinotopy | Absent,
    z_maps: Mapping[str, Array | Absent],
) -> Rois:
    """Define all ROIs in one hemisphere of ``n_vertices`` vertices.

    Parameters
    ----------
    z_maps
        (n_vertices,) map of every localizer contrast that is needed, by name.

    Returns
    -------
    mapping of str to RoiMasks
        Masks by the name of the ROI; a missing mask is replaced by the reason.
    """
    parts = {roi.name: _define(roi, retinotopy, z_maps) for roi in definitions}
    masks = [part.roi for part in parts.values()]
    absent = next((mask for mask in masks if isinstance(mask, Absent)), None)
    for roi in definitions:
        own = parts[roi.name]
        if not roi.rule.exclusive or isinstance(own.roi, Absent):
            continue
        if absent is not None:  # overlap with another ROI is unknown
            parts[roi.name] = replace(own, roi=absent)
            continue
        passes = np.sum([mask for mask in masks if not isinstance(mask, Absent)], axis=0)
        parts[roi.name] = replace(own, roi=own.roi & (passes == 1))
    return parts


def lacking(
    cortex: Bilateral[Cortex], rois: Bilateral[Rois], sides: Sequence[Hemisphere]
) -> list[Absent]:
    """List the missing parts of the definition of ROIs, in the given hemispheres."""
    parts: list[object] = [cortex[side].retinotopy for side in sides]
    for side in sides:
        parts += [*cortex[side].localizer.values(), *(masks.roi for masks in rois[side].values())]
    return [part for part in parts if isinstance(part, Absent)]


def retinotopy_mask(retinotopy: Retinotopy, rule: RoiRule) -> Mask:
    """Find the vertices of the chosen visual areas within the ranges of a rule.

    Parameters
    ----------
    retinotopy
        Maps of one hemisphere, ``n_vertices`` values each. Polar angle and variance explained are
        needed if the rule uses them.

    Returns
    -------
    (n_vertices,) array of bool

    Examples
    --------
    >>> maps = Retinotopy(np.array([1, 1, 2, 1]), np.array([0.0, 2.0, 2.0, 5.0], dtype="f4"))
    >>> retinotopy_mask(maps, RoiRule())
    array([False,  True, False, False])
    """
    in_areas = np.isin(retinotopy.visual_area, rule.area_labels)
    for name in rule.other_areas:
        area = retinotopy.other_areas[name]
        assert not isinstance(area, Absent)
        in_areas |= area
    mask: Mask = in_areas
    if rule.limits is not None:
        low, high = rule.limits
        mask = mask & (retinotopy.eccentricity > low) & (retinotopy.eccentricity < high)
    if rule.polar_angle is not None:
        assert retinotopy.polar_angle is not None
        mask &= wedge(retinotopy.polar_angle, rule.polar_angle)
    if rule.min_variance_explained is not None:
        assert retinotopy.variance_explained is not None
        mask &= retinotopy.variance_explained > float(rule.min_variance_explained)
    return mask


def wedge(polar_angle: Array, limits: tuple[float, float]) -> Mask:
    """Find the polar angles in a range, clockwise from its first end.

    Parameters
    ----------
    polar_angle : (n_vertices,) array of float
        Degrees clockwise from the upper vertical meridian, -180 to 180: the right visual field
        is positive.
    limits
        Ends of the range, in degrees. If the first is greater, the range includes the lower
        vertical meridian.

    Returns
    -------
    (n_vertices,) array of bool

    Examples
    --------
    >>> wedge(np.array([-135.0, -45.0, 45.0, 135.0]), (-90, 0))
    array([False,  True, False, False])
    >>> wedge(np.array([-135.0, -45.0, 45.0, 135.0]), (90, -90))
    array([ True, False, False,  True])
    """
    start, stop = (float(limit) for limit in limits)
    after, before = polar_angle > start, polar_angle < stop
    mask: Mask = after & before if start < stop else after | before
    return mask & np.isfinite(polar_angle)


def localizer_mask(z: Array, rule: RoiRule, within: Mask | None = None) -> Mask:
    """Find the vertices that a localizer contrast activates.

    Parameters
    ----------
    z : (n_vertices,) array
        z map of the contrast.
    rule
        Its kind of threshold, threshold and tail.
    within : (n_vertices,) array of bool, optional
        The retinotopy mask, for kinds of threshold that depend on it.

    Returns
    -------
    (n_vertices,) array of bool
        For ``top-n``, ``top-percent`` and ``fdr``, only vertices of the retinotopy mask. Ties of z
        are resolved by vertex order. The ranking uses z, because p values underflow. An infinite z
        is the most extreme.

    References
    ----------
    Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57, 289-300.

    Examples
    --------
    >>> z = np.array([1.9, 1.96, 2.0, np.nan], dtype="f4")
    >>> localizer_mask(z, RoiRule())
    array([False, False,  True, False])
    >>> rule = RoiRule(threshold_kind="top-percent", localizer_threshold=10)
    >>> localizer_mask(z, rule, within=np.array([True, True, False, True]))
    array([False,  True, False, False])
    """
    extremity = {"greater": z, "less": -z, "two-sided": np.abs(z)}[rule.tail]
    if rule.threshold_kind == "z":
        # A Python float is compared in the precision of the array (NumPy's NEP 50).
        mask: Mask = extremity > float(rule.localizer_threshold)
        return mask
    candidates = ~np.isnan(z) if within is None else ~np.isnan(z) & within
    vertices = np.flatnonzero(candidates)
    ranked = vertices[np.argsort(-extremity[vertices], kind="stable")]
    selected = np.zeros(z.shape, dtype=bool)
    selected[ranked[: _count(extremity[ranked], rule)]] = True
    return selected


def _count(ranked: Array, rule: RoiRule) -> int:
    """Count how many of the ranked vertices, the most extreme first, are selected."""
    if rule.threshold_kind == "top-n":
        return int(rule.localizer_threshold)
    if rule.threshold_kind == "top-percent":
        # Never a vertex too many; the tiny addition removes rounding errors of binary fractions.
        return max(1, int(ranked.size * rule.localizer_threshold / 100 + 1e-9))
    from scipy.special import ndtr

    p = ndtr(-ranked.astype(np.float64)) * (2 if rule.tail == "two-sided" else 1)
    limits = rule.localizer_threshold * np.arange(1, ranked.size + 1) / ranked.size
    below = np.flatnonzero(p <= limits)
    return int(below[-1]) + 1 if below.size else 0


def _define(
    roi: RoiDefinition, retinotopy: Retinotopy | Absent, z_maps: Mapping[str, Array | Absent]
) -> RoiMasks:
    retinotopic = _retinotopic_part(roi, retinotopy)
    if not roi.contrasts:
        return RoiMasks(retinotopic, None, retinotopic)
    localized = _localize(roi, retinotopic, z_maps)
    return RoiMasks(retinotopic, localized, intersect(retinotopic, localized))


def _retinotopic_part(roi: RoiDefinition, retinotopy: Retinotopy | Absent) -> Mask | Absent:
    if isinstance(retinotopy, Absent):
        return retinotopy
    for is_needed, name, values in (
        (roi.rule.polar_angle is not None, "polar angle (angle)", retinotopy.polar_angle),
        (
            roi.rule.min_variance_explained is not None,
            "variance explained (vexpl)",
            retinotopy.variance_explained,
        ),
    ):
        if is_needed and values is None:
            message = (
                f"ROI {roi.name} needs a map of {name} from the same source, but none was found."
            )
            return Absent("missing_retinotopy", InputMissingError(message))
    for name in roi.rule.other_areas:
        area = retinotopy.other_areas[name]
        if isinstance(area, Absent):
            return area
    return retinotopy_mask(retinotopy, roi.rule)


def _localize(
    roi: RoiDefinition, retinotopic: Mask | Absent, z_maps: Mapping[str, Array | Absent]
) -> Mask | Absent:
    masks: dict[str, Mask] = {}
    for contrast in roi.needed:
        z = z_maps[contrast]
        if isinstance(z, Absent):
            return z
        if roi.rule.threshold_kind == "z":
            masks[contrast] = localizer_mask(z, roi.rule)
        elif isinstance(retinotopic, Absent):
            return retinotopic
        else:
            masks[contrast] = localizer_mask(z, roi.rule, retinotopic)
    wanted = [masks[contrast] for contrast in roi.contrasts]
    localized: Mask = np.all(wanted, axis=0) if roi.combine == "all" else np.any(wanted, axis=0)
    for contrast in roi.exclude:
        localized &= ~masks[contrast]
    return localized


def intersect(retinotopic: Mask | Absent, localized: Mask | Absent) -> Mask | Absent:
    """Intersect two masks: the individual ROI.

    Returns
    -------
    (n_vertices,) array of bool or Absent
        If a mask is missing, the reason is returned.

    Raises
    ------
    ValueError
        If the masks differ in their number of vertices.
    """
    if isinstance(retinotopic, Absent):
        return retinotopic
    if isinstance(localized, Absent):
        return localized
    if retinotopic.shape != localized.shape:
        raise ValueError(f"masks have {retinotopic.size} and {localized.size} vertices")
    roi: Mask = retinotopic & localized
    return roi
