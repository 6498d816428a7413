"""Tell copies of the same values from maps that could be meant as well."""

from typing import Literal

import numpy as np

from bids_secondlevel.core.errors import SecondLevelError
from bids_secondlevel.core.files import SourceFile
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array
from bids_secondlevel.inputs.datasets import real_path
from bids_secondlevel.maps.reader import read_values

Relation = Literal["copies", "rivals", "elsewhere"]
"""The same values; others in the same places; or values of another number of places."""


def relation(one: SourceFile, other: SourceFile, hemisphere: Hemisphere) -> Relation:
    """Compare what two files hold that could both be meant.

    A file that cannot be read is not a rival of one that can be.
    """
    if (real_path(one.path), one.reading) == (real_path(other.path), other.reading):
        return "copies"
    these, those = _values(one, hemisphere), _values(other, hemisphere)
    if these is None and those is None:
        return "copies" if _content(one) == _content(other) else "rivals"
    if these is None or those is None:
        return "copies"
    if these.size != those.size:
        return "elsewhere"
    are_equal = np.array_equal(these.astype("f4"), those.astype("f4"), equal_nan=True)
    return "copies" if are_equal else "rivals"


def _values(file: SourceFile, hemisphere: Hemisphere) -> Array | None:
    try:
        return read_values(file, hemisphere)
    except SecondLevelError:
        return None


def _content(file: SourceFile) -> bytes | str:
    try:
        return file.path.read_bytes()
    except OSError:  # such as a file that is not fetched
        return str(file.path)
