"""Simulate retinotopy and responses of visual cortex: an analytic model, for the demo.

A position in the visual field is an eccentricity (degrees of visual angle) and a polar angle
(degrees from the upper vertical meridian, 0, over the horizontal, 90, to the lower, 180;
positive in the contralateral field, in both hemispheres). A position on the flattened cortex is
a complex number in millimetres, 0 at the fovea: its real part grows along the calcarine sulcus
towards anterior, its imaginary part towards ventral.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.rois.quality import Quadrant

FOVEA = (17.0, -100.0, -10.0)
"""Foveal confluence, at the occipital pole: mm in fsaverage space; x is mirrored on the left."""
PERIPHERY = (22.0, -70.0, 7.0)
"""Anterior end of the calcarine sulcus: mm in fsaverage space; x is mirrored on the left."""


@dataclass(frozen=True, eq=False)
class PrfMaps:
    """Position of the population receptive field (pRF) of each vertex: (n_vertices,) arrays."""

    visual_area: NDArray[np.int32]
    """1 V1, 2 V2, 3 V3, 0 none; the other maps are 0 outside these areas."""
    eccentricity: Array
    """Degrees of visual angle."""
    angle: Array
    """Polar angle in degrees: 0 up, 90 horizontal, 180 down, in the contralateral field."""
    sigma: Array
    """Standard deviation of the Gaussian pRF, in degrees of visual angle."""


@dataclass(frozen=True)
class WedgeDipole:
    """The wedge-dipole map of V1, V2 and V3.

    Each area compresses the polar angle into a wedge of its own; the wedges lie side by side,
    V2 and V3 as two halves each, mirrored at every border (the vertical meridian between V1 and
    V2, the horizontal one between V2 and V3). A position in the wedges is a complex number z,
    and ``k * log((z + a) / (z + b))`` its position on the cortex, up to a shift.

    Notes
    -----
    The defaults are round numbers of the order reported for humans, for a map on FreeSurfer's
    registration sphere (radius 100 mm).

    References
    ----------
    Schwartz (1980), Vision Research 20, 645-669: the complex-log map of V1.
    Balasubramanian, Polimeni and Schwartz (2002), Neural Networks 15, 1157-1163: the
    wedge-dipole map of V1, V2 and V3.

    Examples
    --------
    >>> model = WedgeDipole()
    >>> upper_field = model.to_cortex(area=1, eccentricity=3.0, angle=45.0)
    >>> bool(upper_field.imag > 0)  # the upper field lies ventral
    True
    >>> maps = model.to_field(np.atleast_1d(upper_field))
    >>> maps.visual_area, maps.eccentricity.round(6), maps.angle.round(6)
    (array([1], dtype=int32), array([3.]), array([45.]))
    """

    k: float = 17.0
    """Size of the map, in mm."""
    a: float = 0.5
    """Degrees of visual angle below which the map is close to linear."""
    b: float = 90.0
    """Degrees of visual angle up to which it is logarithmic, and beyond which it closes."""
    shear: tuple[float, float, float] = (0.9, 0.45, 0.25)
    """Compression of the polar angle in V1, V2 and V3."""
    rotation: float = 0.0
    """Degrees by which the map is turned about the fovea, from anterior towards ventral."""
    periphery: float = 80.0
    """Largest eccentricity, in degrees of visual angle."""

    def to_cortex(
        self, area: Array | int, eccentricity: Array | float, angle: Array | float
    ) -> Array:
        """Map from the visual field (degrees) to the cortex (complex numbers, in mm).

        The horizontal meridian itself (90) counts as upper field.
        """
        # Angle above the horizontal meridian; each quadrant is mapped by itself.
        above = np.pi / 2 - np.deg2rad(angle)
        from_horizontal = np.abs(above)
        v1, v2, v3 = self.shear
        wedge = np.select(
            [np.equal(area, 1), np.equal(area, 2)],
            [v1 * from_horizontal, (v1 + v2) * np.pi / 2 - v2 * from_horizontal],
            (v1 + v2) * np.pi / 2 + v3 * from_horizontal,
        )
        z = eccentricity * np.exp(1j * np.where(above < 0, -wedge, wedge))
        position: Array = self.k * np.log((z + self.a) * self.b / ((z + self.b) * self.a))
        position *= np.exp(1j * np.deg2rad(self.rotation))
        return position

    def to_field(self, position: Array) -> PrfMaps:
        """Map from the cortex to the visual field: the inverse of :meth:`to_cortex`."""
        w = position * np.exp(-1j * np.deg2rad(self.rotation)) / self.k
        with np.errstate(divide="ignore", invalid="ignore"):  # the pole: infinitely peripheral
            z = self.a * self.b * (np.exp(w) - 1) / (self.b - self.a * np.exp(w))
        eccentricity, wedge = np.abs(z), np.abs(np.angle(z))
        borders = np.cumsum(self.shear) * np.pi / 2
        area = 1 + np.searchsorted(borders, wedge)
        # The logarithm reaches only imaginary parts below pi; the exponential repeats beyond.
        inside = (np.abs(w.imag) < np.pi) & (area <= 3) & (eccentricity <= self.periphery)
        v1, v2, v3 = self.shear
        from_horizontal = np.select(
            [area == 1, area == 2],
            [wedge / v1, (borders[1] - wedge) / v2],
            (wedge - borders[1]) / v3,
        )
        above = np.where(z.imag < 0, -from_horizontal, from_horizontal)
        return PrfMaps(
            visual_area=np.where(inside, area, 0).astype(np.int32),
            eccentricity=np.where(inside, eccentricity, 0.0),
            angle=np.where(inside, 90.0 - np.rad2deg(above), 0.0),
            sigma=np.where(inside, prf_size(area, eccentricity), 0.0),
        )


def prf_size(area: Array, eccentricity: Array) -> Array:
    """Return the standard deviation of a Gaussian pRF, in degrees.

    It grows with eccentricity (degrees), and from V1 to V3.

    References
    ----------
    Dumoulin and Wandell (2008), NeuroImage 39, 647-660: the linear relation; the numbers here
    are round.

    Examples
    --------
    >>> prf_size(np.array([1, 3]), np.array([5.0, 5.0]))
    array([0.8, 1.8])
    """
    size: Array = 0.3 + 0.1 * area * eccentricity
    return size


def flatten_occipital_cortex(sphere: Array, white: Array, hemisphere: Hemisphere) -> Array:
    """Flatten the cortex around the calcarine sulcus.

    The azimuthal equidistant projection of the sphere about the foveal confluence.

    Parameters
    ----------
    sphere : (n_vertices, 3) array of float
        Vertices on FreeSurfer's registration sphere, in mm.
    white : (n_vertices, 3) array of float
        The same vertices on fsaverage's white surface, in mm, where the landmarks are found.

    Returns
    -------
    (n_vertices,) array of complex
        Positions in mm, as :class:`WedgeDipole` has them.
    """
    mirrored = np.array([-1.0 if hemisphere == "L" else 1.0, 1.0, 1.0])
    radius = np.linalg.norm(sphere, axis=1)
    direction = sphere / radius[:, None]
    fovea, periphery = (
        direction[np.argmin(np.linalg.norm(white - mirrored * point, axis=1))]
        for point in (FOVEA, PERIPHERY)
    )
    anterior = periphery - (periphery @ fovea) * fovea
    anterior /= np.linalg.norm(anterior)
    ventral = np.cross(anterior, fovea) * -mirrored[0]
    distance = radius * np.arccos(np.clip(direction @ fovea, -1.0, 1.0))
    position: Array = distance * np.exp(1j * np.arctan2(direction @ ventral, direction @ anterior))
    return position


def responds_to(
    quadrant: Quadrant, maps: PrfMaps, hemisphere: Hemisphere, limit: float = 5.0
) -> Mask:
    """Find the vertices with a pRF centre in a quadrant of the visual field.

    Each hemisphere sees the contralateral half of it. `limit` is the eccentricity in degrees up
    to which there is a stimulus.
    """
    vertical, side = quadrant
    if side == hemisphere:
        return np.zeros(maps.visual_area.shape, dtype=bool)
    upper = maps.angle <= 90
    mask: Mask = (
        (maps.visual_area > 0)
        & (maps.eccentricity < limit)
        & (upper if vertical == "U" else ~upper)
    )
    return mask


def simulated_response(
    amplitudes: Mapping[Quadrant, Sequence[float]],
    maps: PrfMaps,
    hemisphere: Hemisphere,
    limit: float = 5.0,
) -> Array:
    """Compute the response of each vertex: that of the quadrant of its pRF centre.

    Parameters
    ----------
    amplitudes
        Response to each condition, in percent signal change.
    limit
        Eccentricity in degrees up to which there is a stimulus.

    Returns
    -------
    (n_conditions, n_vertices) array of float
        In percent signal change; 0 at vertices that see none of the quadrants.
    """
    n_conditions = len(next(iter(amplitudes.values())))
    response = np.zeros((n_conditions, maps.visual_area.size))
    for quadrant, amplitude in amplitudes.items():
        mask = responds_to(quadrant, maps, hemisphere, limit)
        response[:, mask] = np.array(amplitude)[:, None]
    return response


def block_design(
    conditions: Sequence[str], n_cycles: int, duration: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Order blocks at random: in every cycle each condition once, then rest for one block.

    Returns
    -------
    DataFrame
        A row for each block, with the columns of BIDS events: onset and duration in seconds, and
        the condition as trial type.

    Examples
    --------
    >>> block_design("ab", 2, 10.0, np.random.default_rng(0))["onset"].tolist()
    [0.0, 10.0, 30.0, 40.0]
    """
    blocks = [
        ((cycle * (len(conditions) + 1) + place) * duration, duration, conditions[chosen])
        for cycle in range(n_cycles)
        for place, chosen in enumerate(rng.permutation(len(conditions)))
    ]
    return pd.DataFrame(blocks, columns=["onset", "duration", "trial_type"])


def participant_effects(
    planted: Mapping[Quadrant, float], sd: float, n_participants: int, rng: np.random.Generator
) -> tuple[Mapping[Quadrant, float], ...]:
    """Draw each participant's effects around the planted ones.

    The draws are standardized: across the participants, the mean of each effect is the planted
    one and its standard deviation is `sd` exactly. The true values of this sample are therefore
    known, and a wrong result cannot be explained by the sample.

    Parameters
    ----------
    planted
        Means, in percent signal change.
    sd
        Standard deviation between participants (n - 1 in the denominator).
    """
    draws = rng.standard_normal((n_participants, len(planted)))
    draws = (draws - draws.mean(axis=0)) / draws.std(axis=0, ddof=1)
    effects = np.array(list(planted.values())) + sd * draws
    return tuple(dict(zip(planted, map(float, row), strict=True)) for row in effects)


def ar1_noise(
    n_scans: int, n_vertices: int, sd: float, correlation: float, rng: np.random.Generator
) -> Array:
    """Draw stationary first-order autoregressive noise, independent between vertices.

    Parameters
    ----------
    sd
        Standard deviation of the noise itself, not of its innovations.
    correlation
        Between one scan and the next.

    Returns
    -------
    (n_scans, n_vertices) array of float
    """
    noise = sd * rng.standard_normal((n_scans, n_vertices))
    innovation = np.sqrt(1 - correlation**2)
    for scan in range(1, n_scans):
        noise[scan] = correlation * noise[scan - 1] + innovation * noise[scan]
    return noise
