"""The bins of the visual field in which responses are averaged."""

from dataclasses import dataclass
from itertools import count

import numpy as np

from bids_secondlevel.core.values import Array

_FIRST_EDGE = 0.5


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
