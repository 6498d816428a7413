"""Pack arrays into a text that a page holds, and that its script unpacks to the same values."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_secondlevel.core.values import Array, Mask

_KINDS = ("u1", "u2", "u4", "f4", "f8")


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Arrays as a text."""

    directory: Mapping[str, tuple[str, int]]
    """Kind of number and length of each array, by name, in the order of the text."""
    text: str
    """Base64 of a zlib stream of all arrays, one after the other. Of each array it has the first
    bytes of all numbers, then the second ones, and so on, from the lowest to the highest; whole
    numbers are differences to the one before."""


def pack(arrays: Mapping[str, Array]) -> Packed:
    """Pack one-dimensional arrays of whole numbers (unsigned) and floats.

    Examples
    --------
    >>> pack({"x": np.array([1, 2, 3], dtype="u2")}).directory
    {'x': ('u2', 3)}
    """
    directory, parts = {}, []
    for name, values in arrays.items():
        kind = values.dtype.str[1:]
        assert kind in _KINDS
        directory[name] = (kind, values.size)
        plain = values.astype(f"<{kind}")
        if values.dtype.kind == "u":
            plain = np.diff(plain, prepend=plain.dtype.type(0))  # which wraps around
        parts.append(plain.view(np.uint8).reshape(values.size, -1).T.tobytes())
    packed = zlib.compress(b"".join(parts), level=6)  # 9 takes 7 times as long for 1 %
    return Packed(directory=directory, text=base64.b64encode(packed).decode())


def rounded(values: Array, exact: Mask) -> Array:
    """Round floats to some three digits, which packs them well, but for those that must be exact.

    Parameters
    ----------
    values : (n,) array of float32 or float64
    exact : (n,) array of bool

    Examples
    --------
    >>> rounded(np.array([0.123456789, 0.123456789]), np.array([True, False]))
    array([0.12345679, 0.12341309])
    """
    bits = {4: np.uint32, 8: np.uint64}[values.itemsize]
    kept = {4: 14, 8: 43}[values.itemsize]  # bits of the mantissa that become 0
    as_bits = values.view(bits)
    half = bits(1 << (kept - 1))
    mask = bits(~((1 << kept) - 1) & ((1 << 8 * values.itemsize) - 1))
    coarse = ((as_bits + half) & mask).view(values.dtype)
    rounds = np.isfinite(values) & ~exact
    result: Array = np.where(rounds, coarse, values)
    return result


def float_of(values: Array) -> type[np.floating[Any]]:
    """Choose the precision in which values are compared and averaged as they are in the maps."""
    return np.float64 if values.dtype.itemsize > 4 else np.float32
