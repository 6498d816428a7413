"""Read one hemisphere's values from whatever kind of file they are in."""

import numpy as np

from bids_secondlevel.cifti import read_cortex
from bids_secondlevel.measures import t_to_z
from bids_secondlevel.model import Array, Hemisphere, SourceFile
from bids_secondlevel.surfaces import read_map
from bids_secondlevel.volumes import read_degrees_of_freedom, read_volume


def read_values(file: SourceFile, hemisphere: Hemisphere) -> Array:
    """Read a map.

    Parameters
    ----------
    file : SourceFile
    hemisphere : {"L", "R"}

    Returns
    -------
    (n_vertices,) array
        In the precision of the file. Of a volume, all voxels, whichever the hemisphere.

    Raises
    ------
    InputMissingError, DataError
        As the functions for each kind of file.
    """
    if file.kind == "cifti":
        return read_cortex(file.path, hemisphere, file.map_name)
    if file.kind == "volume":
        values, _ = read_volume(file.path)
        return t_to_z(values, read_degrees_of_freedom(file.path)) if file.is_t else values
    return read_map(file.path, hemisphere)


def of_hemisphere(values: Array, inside: Array) -> Array:
    """Make the voxels of the other hemisphere NaN, which counts nowhere."""
    kind = values.dtype if values.dtype.kind == "f" else np.float64
    return np.where(inside, values, np.nan).astype(kind)
