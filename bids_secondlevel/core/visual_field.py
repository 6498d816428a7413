"""The bins of the visual field in which responses are averaged, and positions in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from math import ceil
from typing import Literal

import numpy as np

from bids_secondlevel.core.positions import Position
from bids_secondlevel.core.values import Array

_FIRST_EDGE = 0.5
_NEAR = 30.0
"""Largest distance from a meridian to the centre of its bins, in degrees of polar angle."""


@dataclass(frozen=True, kw_only=True)
class FieldBins:
    """Bins of eccentricity and of polar angle. A bin includes its lower edge, not its upper one."""

    edges: tuple[float, ...] = ()
    """Edges of eccentricity in degrees; if empty, as many bins as needed, half an octave wide."""
    n_angles: int = 12
    """Bins of polar angle, equal in size, from -180 to 180 degrees."""
    positions: tuple[Position, ...] = ()
    """From which bins are counted, too."""
    relative_to: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Names of the positions that contrasts have of their own, by contrast."""

    def eccentricities(self, largest: float) -> Array:
        """Return the edges of eccentricity up to the first one above the largest eccentricity.

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

    def distances(self, largest: float) -> Array:
        """Give the edges of distance from a position, up to the first one beyond the largest.

        Those of eccentricity, with one at 0. If none were asked for, they begin with 1 degree, as
        there are few vertices in less.

        Examples
        --------
        >>> FieldBins().distances(3.0), FieldBins(edges=(0.5, 2, 8)).distances(3.0)
        (array([0.  , 1.  , 1.41, 2.  , 2.83, 4.  ]), array([0. , 0.5, 2. , 8. ]))
        """
        edges = self.eccentricities(max(largest, 1.0))
        first = 0.0 if self.edges else 1.0
        return np.unique([0.0, *edges[edges >= first]])

    @property
    def angle_distances(self) -> Array:
        """Edges of the distance in polar angle from a position, in degrees."""
        return np.linspace(0.0, 180.0, ceil(self.n_angles / 2) + 1)


def polar_angle_distance(polar_angle: Array, position: Position) -> Array:
    """Compute how far polar angles are from that of a position: 0 to 180 degrees.

    Parameters
    ----------
    polar_angle : (n,) array
        In degrees.

    Examples
    --------
    >>> position = Position(name="UL", eccentricity=7, polar_angle=-45)
    >>> polar_angle_distance(np.array([-45.0, 170.0, 45.0]), position)
    array([  0., 145.,  90.])
    """
    distance: Array = np.abs((polar_angle - position.polar_angle + 180) % 360 - 180)
    return distance


def field_distance(eccentricity: Array, polar_angle: Array, position: Position) -> Array:
    """Compute how far points of the visual field are from a position.

    The field is a plane, as in models of receptive fields; see :func:`to_plane`.

    Parameters
    ----------
    eccentricity, polar_angle : (n,) array
        In degrees.

    Returns
    -------
    (n,) array
        In degrees of visual angle.

    References
    ----------
    Dumoulin and Wandell (2008), NeuroImage 39, 647-660: receptive fields in this plane.

    Examples
    --------
    >>> position = Position(name="R", eccentricity=3, polar_angle=90)
    >>> field_distance(np.array([4.0, 3.0]), np.array([0.0, -90.0]), position)
    array([5., 6.])
    """
    right, up = to_plane(eccentricity, polar_angle)
    own_right, own_up = to_plane(
        np.array(position.eccentricity, dtype=np.float64), np.array(position.polar_angle)
    )
    distance: Array = np.hypot(right - own_right, up - own_up)
    return distance


def to_plane(eccentricity: Array, polar_angle: Array) -> tuple[Array, Array]:
    """Say how far to the right of the fovea points of the visual field are, and how far above it.

    They are r sin(angle) and r cos(angle), for r the eccentricity: all in degrees.
    """
    angle = np.radians(polar_angle)
    return eccentricity * np.sin(angle), eccentricity * np.cos(angle)


Asymmetry = Literal["horizontal_minus_vertical", "lower_minus_upper"]

ASYMMETRIES: Mapping[Asymmetry, str] = {
    "horizontal_minus_vertical": "mean within 30 degrees of the horizontal meridian minus that "
    "within 30 degrees of the vertical one",
    "lower_minus_upper": "mean within 30 degrees of the lower vertical meridian minus that within "
    "30 degrees of the upper one",
}
"""Differences between meridians, from the wedges near each."""


def asymmetries(centres: Array, estimates: Array) -> dict[Asymmetry, Array]:
    """Compute differences between meridians from the bins of polar angle.

    Parameters
    ----------
    centres : (n_wedges,) array
        Centres of the bins, in degrees.
    estimates : (n_wedges, ...) array
        NaN if missing.

    Returns
    -------
    dict
        NaN if all estimates near a meridian are missing. Both halves of a meridian (right and left,
        or upper and lower) have the same weight, whatever their numbers of vertices.

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
        # A single hemisphere has only one half of the horizontal meridian.
        "horizontal_minus_vertical": horizontal - (upper + lower) / 2,
        "lower_minus_upper": lower - upper,
    }


def _mean(values: Array) -> Array:
    """Average over the first axis; NaN if there is nothing to average."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Array = np.where(there, values, 0).sum(axis=0) / there.sum(axis=0)
    return mean
