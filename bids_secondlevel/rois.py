"""Define regions of interest: retinotopy and localizer and a rule make masks.

Comparisons are strict, and made in the precision in which a map is stored: a z value of 1.96
stored as a 32-bit float is not greater than 1.96. NaN compares as outside.
"""

import numpy as np

from bids_secondlevel.model import Absent, Array, Mask, Retinotopy
from bids_secondlevel.settings import RoiRule


def retinotopy_mask(retinotopy: Retinotopy, rule: RoiRule) -> Mask:
    """Find the vertices of the chosen visual areas within the eccentricity range.

    Parameters
    ----------
    retinotopy : Retinotopy
        Maps of one hemisphere, ``n_vertices`` values each.
    rule : RoiRule
        Areas, and strict limits of eccentricity in degrees.

    Returns
    -------
    (n_vertices,) array of bool

    Examples
    --------
    >>> maps = Retinotopy(np.array([1, 1, 2, 1]), np.array([0.0, 2.0, 2.0, 5.0], dtype="f4"))
    >>> retinotopy_mask(maps, RoiRule())
    array([False,  True, False, False])
    """
    low, high = rule.eccentricity
    eccentricity = retinotopy.eccentricity
    in_areas = np.isin(retinotopy.visual_area, rule.area_labels)
    mask: Mask = in_areas & (eccentricity > low) & (eccentricity < high)
    return mask


def localizer_mask(z: Array, rule: RoiRule) -> Mask:
    """Find the vertices that a localizer contrast activates.

    Parameters
    ----------
    z : (n_vertices,) array
        z map of the contrast.
    rule : RoiRule
        Its threshold is strict.

    Returns
    -------
    (n_vertices,) array of bool

    Examples
    --------
    >>> localizer_mask(np.array([1.9, 1.96, 2.0, np.nan], dtype="f4"), RoiRule())
    array([False, False,  True, False])
    """
    # A Python float takes the precision of the array it is compared with (NumPy's NEP 50).
    mask: Mask = z > float(rule.localizer_threshold)
    return mask


def intersect(retinotopic: Mask | Absent, localized: Mask | Absent) -> Mask | Absent:
    """Keep what lies in both masks: the individual ROI.

    Returns
    -------
    (n_vertices,) array of bool or Absent
        The reason for the absence of a mask stands for the ROI.

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
        raise ValueError(f"masks of {retinotopic.size} and {localized.size} vertices")
    roi: Mask = retinotopic & localized
    return roi
