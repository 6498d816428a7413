"""How the ROIs of participants agree on a common surface."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.group_maps import MOST
from bids_secondlevel.core.rows import Column, Schema
from bids_secondlevel.core.values import Array
from bids_secondlevel.rois.quality import QUALITY_COLUMNS

Vertices = NDArray[np.integer[Any]]
"""The vertices of a mask."""

GROUP_QUALITY_COLUMNS: Schema = {
    **QUALITY_COLUMNS,
    "dice_with_others": Column(
        float,
        "Dice coefficient of the ROI with the vertices that at least half of the other "
        "participants have in theirs, on the common surface of --group-maps; n/a if both are empty",
        is_optional=True,
    ),
}
"""The table of quality of all participants."""


def shares(masks: Mapping[str, Vertices], n_vertices: int) -> Array:
    """Return the share of the participants with each vertex in their mask; NaN without any.

    Examples
    --------
    >>> shares({"sub-01": np.array([0, 1]), "sub-02": np.array([1])}, 3)
    array([0.5, 1. , 0. ], dtype=float32)
    """
    count = np.zeros(n_vertices)
    for vertices in masks.values():
        count[vertices] += 1
    with np.errstate(invalid="ignore"):
        return (count / np.float64(len(masks))).astype(np.float32)


def dice_with_others(masks: Mapping[str, Vertices], n_vertices: int) -> dict[str, float]:
    """Compare the mask of each participant with what at least half of the others have.

    Returns
    -------
    dict
        Dice coefficients by participant; without those for whom both are empty, and empty if
        there are no others.

    References
    ----------
    Dice (1945), Ecology 26, 297-302.

    Examples
    --------
    >>> masks = {"sub-01": np.array([0, 1]), "sub-02": np.array([1]), "sub-03": np.array([1, 2])}
    >>> {who: round(dice, 2) for who, dice in dice_with_others(masks, 4).items()}
    {'sub-01': 0.5, 'sub-02': 0.5, 'sub-03': 0.5}
    """
    n_others = len(masks) - 1
    if n_others < 1:
        return {}
    count = np.zeros(n_vertices, dtype=np.int64)
    for vertices in masks.values():
        count[vertices] += 1
    coefficients = {}
    for who, vertices in masks.items():
        count[vertices] -= 1
        others = count >= max(1, MOST * n_others)
        size = vertices.size + int(others.sum())
        if size:
            coefficients[who] = 2 * int(others[vertices].sum()) / size
        count[vertices] += 1
    return coefficients
