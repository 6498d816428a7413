"""The bins of the visual field in which responses are averaged."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np

from bids_secondlevel.core.values import Array

_FIRST_EDGE = 0.5
_NEAR = 30.0
"""Degrees of polar angle from a meridian within which a bin must have its centre."""


@dataclass(frozen=True, kw_only=True)
class FieldBins:
    """Bins of eccentricity and of polar angle; a bin holds its lower edge, not its upper one."""

    edges: tuple[float, ...] = ()
    """Of eccentricity, in degrees; if there are none, as many as needed, half an octave wide."""
    n_angles: int = 12
    """Bins of polar angle, equal in size, from -180 to 180 degrees."""

    def eccentricities(self, largest: float) -> Array:
        """Give the edges of eccentricity, up to the first one beyond the largest eccentricity.

        Examples
        --------
        >>> FieldBins().eccentricities(3.0)
        array([0.5 , 0.71, 1.  , 1.41, 2.  , 2.83, 4.  ])
        """
        if self.edges:
            return np.array(self.edges, dtype=np.float64)
        edges = [_FIRST_EDGE]
        for octaves in count(1):
            if edges[-1] > largest and octaves > 1:
                break
            edges.append(round(_FIRST_EDGE * 2 ** (octaves / 2), 2))
        return np.array(edges)

    @property
    def angles(self) -> Array:
        """Edges of polar angle, in degrees clockwise from the upper vertical meridian."""
        return np.linspace(-180.0, 180.0, self.n_angles + 1)


Asymmetry = Literal["horizontal_minus_vertical", "lower_minus_upper"]

ASYMMETRIES: Mapping[Asymmetry, str] = {
    "horizontal_minus_vertical": "mean within 30 degrees of the horizontal meridian minus that "
    "within 30 degrees of the vertical one",
    "lower_minus_upper": "mean within 30 degrees of the lower vertical meridian minus that within "
    "30 degrees of the upper one",
}
"""Differences between meridians, of the wedges near each."""


def asymmetries(centres: Array, estimates: Array) -> dict[Asymmetry, Array]:
    """Compute differences between meridians from the bins of polar angle.

    Parameters
    ----------
    centres : (n_wedges,) array
        Of the bins, in degrees.
    estimates : (n_wedges, ...) array
        NaN without a number.

    Returns
    -------
    dict
        NaN if a meridian has no number. The right and the left half of a meridian, and the upper
        and the lower one, count alike, whatever their numbers of vertices.

    References
    ----------
    Barbot, Xue and Carrasco (2021), Journal of Vision 21(1), 2: asymmetries around the field.

    Examples
    --------
    >>> centres = np.array([-165.0, -75.0, -15.0, 15.0, 75.0, 165.0])
    >>> found = asymmetries(centres, np.array([2.0, 5.0, 1.0, 1.0, 3.0, 2.0]))
    >>> {name: float(value) for name, value in found.items()}
    {'horizontal_minus_vertical': 2.5, 'lower_minus_upper': 1.0}
    """

    def near(meridian: float) -> Array:
        distance = np.abs((centres - meridian + 180) % 360 - 180)
        return _mean(estimates[distance < _NEAR])

    upper, lower = near(0), near(180)
    horizontal = _mean(np.array([near(-90), near(90)]))
    return {
        # In a single hemisphere half of the horizontal meridian is all there is.
        "horizontal_minus_vertical": horizontal - (upper + lower) / 2,
        "lower_minus_upper": lower - upper,
    }


def _mean(values: Array) -> Array:
    """Average over the first axis; NaN if there is nothing to average."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(there, values, 0).sum(axis=0) / there.sum(axis=0)
    return mean
