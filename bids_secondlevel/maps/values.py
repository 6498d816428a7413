"""Read one hemisphere's values from whatever kind of file they are in."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.files import SourceFile
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array
from bids_secondlevel.maps.cifti import read_cortex
from bids_secondlevel.maps.surfaces import read_map
from bids_secondlevel.maps.volumes import read_degrees_of_freedom, read_volume

_LARGEST = 1e100
"""Squares of larger numbers are beyond what a computer can hold."""


def read_values(file: SourceFile, hemisphere: Hemisphere) -> Array:
    """Read a map.

    Returns
    -------
    (n_vertices,) array
        In the precision of the file. Of a volume, all voxels, whichever the hemisphere.

    Raises
    ------
    InputMissingError, DataError
        As the functions for each kind of file.
    """
    if file.is_t and file.kind != "volume":
        raise DataError(
            f"{file.path}: t values of SPM are expected in a volume, whose header says the degrees "
            "of freedom that turn them into z."
        )
    if file.kind == "cifti":
        values = read_cortex(file.path, hemisphere, file.map_name)
    elif file.kind == "volume":
        values, _ = read_volume(file.path)
        values = t_to_z(values, read_degrees_of_freedom(file.path)) if file.is_t else values
    else:
        values = read_map(file.path, hemisphere)
    if values.dtype.itemsize > 4 and np.abs(values[np.isfinite(values)]).max(initial=0) > _LARGEST:
        raise DataError(
            f"{file.path}: holds values beyond {_LARGEST:g}, which cannot be computed with. The "
            "file is damaged, or in a unit that it should not be in."
        )
    return values


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


class Reader:
    """Read the maps of a participant, each once: one that is needed again is kept until then.

    Volumes are needed for both hemispheres, and the maps of runs in every fold of a
    cross-validation; others are not kept.

    Parameters
    ----------
    needed
        Every map, as often as it is needed.
    """

    def __init__(self, needed: Iterable[tuple[SourceFile, Hemisphere]] = ()) -> None:
        self._due = Counter(self._key(file, hemisphere) for file, hemisphere in needed)
        self._kept: dict[tuple[SourceFile, Hemisphere | None], Array] = {}

    def read(self, file: SourceFile, hemisphere: Hemisphere) -> Array:
        """Read a map, as :func:`read_values` does; one that is kept cannot be written to."""
        key = self._key(file, hemisphere)
        values = self._kept.pop(key, None)
        if values is None:
            values = read_values(file, hemisphere)
        self._due[key] -= 1
        if self._due[key] > 0:
            values.flags.writeable = False
            self._kept[key] = values
        return values

    @staticmethod
    def _key(file: SourceFile, hemisphere: Hemisphere) -> tuple[SourceFile, Hemisphere | None]:
        return file, None if file.kind == "volume" else hemisphere
