"""Whether the values of a map can be in the unit, and of the kind, that they are taken for.

Only what is implausible is refused: the Benson atlas reaches 90 degrees of eccentricity, and maps
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
"""Values below which nothing is said: anything is possible in a handful."""

_VISUAL_FIELD = 90.0
"""Degrees; the visual field ends about here."""

_CENTRE = 5.0
"""Degrees; in a map in degrees, a large part of each visual area lies within."""

_RIGHT_ANGLE = 1.58
_FULL_CIRCLE = 6.29
"""In radians, with what rounding may add."""

_LEAST_CONTRALATERAL = 2 / 3
"""In another convention it is about a half; in noisy maps of V1 to V3 above 0.8."""

_NO_THRESHOLD = 1.5
"""A map of z values that was not thresholded has smaller ones."""

_TABLE = "a [[retinotopy]] table of --config"


def check_units(
    source: RetinotopySource, retinotopy: Retinotopy, rois: Sequence[RoiDefinition]
) -> None:
    """Refuse maps that define ROIs in another unit than they are taken to be in.

    Parameters
    ----------
    source
        Where they were read from.

    Raises
    ------
    DataError
        As the functions for each map.
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
    """Refuse eccentricities that are no degrees of visual angle.

    Parameters
    ----------
    path
        Where they were read from.
    eccentricity : (n,) array of float
    inside : (n,) array of bool
        Vertices of visual areas.
    is_declared
        Whether the user said what they are multiplied with; then small ones are what they are.

    Raises
    ------
    DataError
        If most of them are larger than the visual field is wide, or some are and its centre is
        missing (pixels), or if they are all smaller than 90 degrees in radians.
    """
    values = _known(eccentricity, inside & (eccentricity > 0))  # 0 is also what was not fitted
    if values.size < _ENOUGH:
        return
    beyond = np.mean(values > _VISUAL_FIELD)
    if beyond > 0.05 or (beyond > 0.001 and np.mean(values < _CENTRE) < 0.1):
        raise DataError(
            f"{path}: eccentricities of the visual areas lie between {_range(values)}; expected "
            f"degrees of visual angle, which end at {_VISUAL_FIELD:g}. If they are pixels, say how "
            f"many degrees a pixel is, as scale in {_TABLE} (for example scale = 0.08)."
        )
    if not is_declared and np.quantile(values, 0.99) <= _RIGHT_ANGLE:
        raise DataError(
            f"{path}: eccentricities of the visual areas lie between {_range(values)}; expected "
            f"degrees of visual angle. If they are radians, say so in {_TABLE} with scale = "
            "57.2958; if they are degrees, with scale = 1."
        )


def check_polar_angle(path: Path, angle: Array, inside: Mask) -> None:
    """Refuse polar angles that are no degrees.

    Raises
    ------
    DataError
        If they go beyond a circle, or differ by less than a circle has radians.
    """
    values = _known(angle, inside)
    if values.size < _ENOUGH:
        return
    found = f"{path}: polar angles of the visual areas lie between {_range(values)}"
    if np.mean(np.abs(values) > 360) > 0.05:
        raise DataError(
            f"{found}; expected degrees, -180 to 180 or 0 to 360. Say in {_TABLE} what they are "
            "multiplied with to be degrees (scale)."
        )
    if np.ptp(np.quantile(values, (0.01, 0.99))) <= _FULL_CIRCLE:
        raise DataError(
            f"{found}; expected degrees, -180 to 180 or 0 to 360. If they are radians, say so in "
            f"{_TABLE} with scale = 57.2958."
        )


def check_visual_field(path: Path, retinotopy: Retinotopy, hemisphere: Hemisphere) -> None:
    """Refuse polar angles of which a hemisphere would see half the wrong visual field.

    Parameters
    ----------
    path
        Where they were read from.
    retinotopy
        With angles in the visual field.

    Raises
    ------
    DataError
        If less than two thirds of V1 to V3 (or of all areas, if these are few) are in the
        contralateral visual field.
    """
    share = contralateral_share(retinotopy, hemisphere)
    if share is not None and share < _LEAST_CONTRALATERAL:
        side, field = ("left", "right") if hemisphere == "L" else ("right", "left")
        raise DataError(
            f"{path}: by these polar angles, the {side} hemisphere sees the {field} visual field "
            f"with {share:.0%} of its vertices only; expected nearly all, with angles in degrees "
            "clockwise from the upper vertical meridian. Say where 0 is and which way they grow, "
            f'as angle in {_TABLE} (analyzePRF writes angle = "horizontal-counterclockwise").'
        )


def contralateral_share(retinotopy: Retinotopy, hemisphere: Hemisphere) -> float | None:
    """Find how much of the early visual areas is in the visual field that a hemisphere sees.

    Parameters
    ----------
    retinotopy
        With angles in the visual field.

    Returns
    -------
    float or None
        Of V1 to V3, or of all areas if these are few; what is on the vertical meridian does not
        count. ``None`` if it cannot be said.
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
    """Refuse variance explained in percent under a limit that is a fraction, and the reverse.

    Parameters
    ----------
    limits
        What the variance explained of a ROI must exceed.
    is_declared
        Whether the user said what the values are multiplied with.

    Raises
    ------
    DataError
        If a limit is below 1 and the values go far beyond, or it is 1 or more and none of them
        is larger than 1.
    """
    values = _known(explained, inside)
    if values.size < _ENOUGH or is_declared:
        return
    high = np.quantile(values, 0.99)
    for limit in limits:
        found = (
            f"{path}: variance explained lies between {_range(values)} in the visual areas, and "
            f"--min-variance-explained is {limit:g}"
        )
        if 0 < limit < 1 and high > 1.5:
            raise DataError(
                f"{found}: the map seems to be in percent, and the limit a fraction. Give the "
                f"limit in percent ({100 * limit:g}), or say scale = 0.01 in {_TABLE}."
            )
        if limit >= 1 and values.max() <= 1:
            raise DataError(
                f"{found}: the map seems to hold fractions, and the limit to be in percent. Give "
                f"the limit as a fraction ({limit / 100:g}), or say scale = 100 in {_TABLE}."
            )


def check_not_thresholded(path: Path, z: Array) -> None:
    """Refuse a map of z values from which the small ones were taken.

    Parameters
    ----------
    z : (n,) array of float

    Raises
    ------
    DataError
        If part of the values is missing or 0, and no other is small.
    """
    size = np.abs(z[np.isfinite(z) & (z != 0)])
    is_possible = size.size >= _ENOUGH and size.size < 0.9 * z.size
    if not is_possible or size.min() < _NO_THRESHOLD or np.unique(size).size < _ENOUGH:
        return
    raise DataError(
        f"{path}: holds no value between 0 and {size.min():.4g}: it was thresholded. Expected the "
        "z (or t) values of all vertices or voxels, as the threshold of the localizer is applied "
        "to them; use the map that was not thresholded."
    )


def _known(values: Array, inside: Mask) -> Array:
    known: Array = values[inside & np.isfinite(values)]
    return known


def _range(values: Array) -> str:
    return f"{values.min():.4g} and {values.max():.4g}"
