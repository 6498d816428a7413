"""Check whether the values of a map can have the assumed unit and kind.

Only implausible maps are refused. The Benson atlas reaches 90 degrees of eccentricity, and maps
fitted to noise have single values of any size.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.files import RetinotopySource
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.values import Array, Mask, Retinotopy

_ENOUGH = 20
"""Smallest number of values that are checked."""

_VISUAL_FIELD = 90.0
"""Degrees; approximate end of the visual field."""

_CENTRE = 5.0
"""Degrees; in a map in degrees, a large part of each visual area is within this eccentricity."""

_RIGHT_ANGLE = 1.58
_FULL_CIRCLE = 6.29
"""In radians, with a margin for rounding."""

_LEAST_CONTRALATERAL = 2 / 3
"""With a wrong convention the share is about a half; with the right one above 0.8, even in noisy
maps."""

_NO_THRESHOLD = 1.5
"""Any unthresholded map of z values has smaller ones."""

_TABLE = "a [[retinotopy]] entry of the config file"


def check_units(
    source: RetinotopySource, retinotopy: Retinotopy, rois: Sequence[RoiDefinition]
) -> None:
    """Refuse maps that define ROIs if their unit is not the assumed one.

    Parameters
    ----------
    source
        File that they were read from.

    Raises
    ------
    DataError
        As for the functions for each map.
    """
    inside, eccentricity = retinotopy.inside, source.eccentricity
    if eccentricity is not None:
        check_eccentricity(
            eccentricity.path,
            retinotopy.eccentricity,
            inside,
            is_declared=eccentricity.reading.scale is not None,
        )
    if source.polar_angle is not None and retinotopy.polar_angle is not None:
        check_polar_angle(source.polar_angle.path, retinotopy.polar_angle, inside)
    if source.variance_explained is not None and retinotopy.variance_explained is not None:
        limits = [roi.rule.min_variance_explained for roi in rois]
        check_variance_explained(
            source.variance_explained.path,
            retinotopy.variance_explained,
            inside,
            [limit for limit in limits if limit is not None],
            is_declared=source.variance_explained.reading.scale is not None,
        )


def check_eccentricity(
    path: Path, eccentricity: Array, inside: Mask, *, is_declared: bool = False
) -> None:
    """Refuse eccentricities that are not degrees of visual angle.

    Parameters
    ----------
    path
        File that they were read from.
    eccentricity : (n,) array of float
    inside : (n,) array of bool
        Vertices of visual areas.
    is_declared
        Whether the user gave a scale; small values are then accepted.

    Raises
    ------
    DataError
        If most of them are beyond the visual field, or some are and the centre is missing (pixels),
        or if all are below 90 degrees in radians.
    """
    values = _known(eccentricity, inside & (eccentricity > 0))  # 0 may also mean "not fitted"
    if values.size < _ENOUGH:
        return
    beyond = np.mean(values > _VISUAL_FIELD)
    if beyond > 0.05 or (beyond > 0.001 and np.mean(values < _CENTRE) < 0.1):
        raise DataError(
            f"{path}: eccentricities of the visual areas are between {_range(values)}; expected "
            f"degrees of visual angle, at most {_VISUAL_FIELD:g}. If they are pixels, give the "
            f"degrees per pixel as scale in {_TABLE} (for example scale = 0.08)."
        )
    if not is_declared and np.quantile(values, 0.99) <= _RIGHT_ANGLE:
        raise DataError(
            f"{path}: eccentricities of the visual areas are between {_range(values)}; expected "
            f"degrees of visual angle. If they are radians, give scale = 57.2958 in {_TABLE}; if "
            "they are degrees, give scale = 1."
        )


def check_polar_angle(path: Path, angle: Array, inside: Mask) -> None:
    """Refuse polar angles that are not degrees.

    Raises
    ------
    DataError
        If they exceed a full circle, or span less than a circle in radians.
    """
    values = _known(angle, inside)
    if values.size < _ENOUGH:
        return
    found = f"{path}: polar angles of the visual areas are between {_range(values)}"
    if np.mean(np.abs(values) > 360) > 0.05:
        raise DataError(
            f"{found}; expected degrees, -180 to 180 or 0 to 360. Give the factor to degrees as "
            f"scale in {_TABLE}."
        )
    if np.ptp(np.quantile(values, (0.01, 0.99))) <= _FULL_CIRCLE:
        raise DataError(
            f"{found}; expected degrees, -180 to 180 or 0 to 360. If they are radians, give scale "
            f"= 57.2958 in {_TABLE}."
        )


def check_visual_field(path: Path, retinotopy: Retinotopy, hemisphere: Hemisphere) -> None:
    """Refuse polar angles by which a hemisphere would see much of the wrong visual field.

    Parameters
    ----------
    path
        File that they were read from.
    retinotopy
        Its angles refer to the visual field.

    Raises
    ------
    DataError
        If less than two thirds of V1 to V3 (or of all areas, if V1 to V3 have few vertices) are in
        the contralateral visual field.
    """
    share = contralateral_share(retinotopy, hemisphere)
    if share is not None and share < _LEAST_CONTRALATERAL:
        side, field = ("left", "right") if hemisphere == "L" else ("right", "left")
        raise DataError(
            f"{path}: by these polar angles, only {share:.0%} of the vertices of the {side} "
            f"hemisphere see the {field} visual field; expected nearly all, with angles in degrees "
            "clockwise from the upper vertical meridian. Give the convention of the angles as "
            f'angle in {_TABLE} (for analyzePRF: angle = "horizontal-counterclockwise").'
        )


def contralateral_share(retinotopy: Retinotopy, hemisphere: Hemisphere) -> float | None:
    """Compute the share of the early visual areas in the contralateral visual field.

    Parameters
    ----------
    retinotopy
        Its angles refer to the visual field.

    Returns
    -------
    float or None
        Share of V1 to V3, or of all areas if V1 to V3 have few vertices, without vertices on the
        vertical meridian. ``None`` if unknown.
    """
    assert retinotopy.polar_angle is not None
    early = (retinotopy.visual_area >= 1) & (retinotopy.visual_area <= 3)
    where = early if np.count_nonzero(early) >= _ENOUGH else retinotopy.inside
    values = _known(retinotopy.polar_angle, where)
    values = values[(np.abs(values) > 0) & (np.abs(values) < 180)]
    if values.size < _ENOUGH:
        return None
    return float(np.mean(values > 0 if hemisphere == "L" else values < 0))


def check_variance_explained(
    path: Path,
    explained: Array,
    inside: Mask,
    limits: Iterable[float],
    *,
    is_declared: bool = False,
) -> None:
    """Refuse variance explained in percent if the threshold is a fraction, and the reverse.

    Parameters
    ----------
    limits
        Thresholds of the variance explained, of the ROIs.
    is_declared
        Whether the user gave a scale.

    Raises
    ------
    DataError
        If a threshold is below 1 and the values go far beyond 1, or it is 1 or more and no value is
        larger than 1.
    """
    values = _known(explained, inside)
    if values.size < _ENOUGH or is_declared:
        return
    high = np.quantile(values, 0.99)
    for limit in limits:
        found = (
            f"{path}: variance explained is between {_range(values)} in the visual areas, but "
            f"--min-variance-explained is {limit:g}"
        )
        if 0 < limit < 1 and high > 1.5:
            raise DataError(
                f"{found}: the map seems to be in percent and the threshold a fraction. Give the "
                f"threshold in percent ({100 * limit:g}), or scale = 0.01 in {_TABLE}."
            )
        if limit >= 1 and values.max() <= 1:
            raise DataError(
                f"{found}: the map seems to hold fractions and the threshold percent. Give the "
                f"threshold as a fraction ({limit / 100:g}), or scale = 100 in {_TABLE}."
            )


def check_not_thresholded(path: Path, z: Array) -> None:
    """Refuse a thresholded map of z values.

    Parameters
    ----------
    z : (n,) array of float

    Raises
    ------
    DataError
        If part of the values is missing or 0 and no other value is small.
    """
    size = np.abs(z[np.isfinite(z) & (z != 0)])
    is_possible = size.size >= _ENOUGH and size.size < 0.9 * z.size
    if not is_possible or size.min() < _NO_THRESHOLD or np.unique(size).size < _ENOUGH:
        return
    raise DataError(
        f"{path}: holds no value between 0 and {size.min():.4g}: it was thresholded. Expected z "
        "(or t) values of all vertices or voxels, because the program applies the threshold "
        "itself. Use the unthresholded map."
    )


def _known(values: Array, inside: Mask) -> Array:
    known: Array = values[inside & np.isfinite(values)]
    return known


def _range(values: Array) -> str:
    return f"{values.min():.4g} and {values.max():.4g}"
