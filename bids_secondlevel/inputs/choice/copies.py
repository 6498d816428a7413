"""Distinguish copies of the same values from different maps."""

from typing import Literal

import numpy as np

from bids_secondlevel.core.errors import SecondLevelError
from bids_secondlevel.core.files import SourceFile
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array
from bids_secondlevel.inputs.datasets import real_path
from bids_secondlevel.maps.reader import read_values

Relation = Literal["copies", "rivals", "elsewhere"]
"""The same values; other values of the same size; or values of another size."""


def relation(one: SourceFile, other: SourceFile, hemisphere: Hemisphere) -> Relation:
    """Compare the values of two files that could both be meant.

    A file that cannot be read does not compete with one that can.
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
    except OSError:  # for example, its content is not fetched
        return str(file.path)
