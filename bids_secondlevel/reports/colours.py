"""Scales of colours: those of matplotlib, without the time that it takes to import it."""

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.roi_rule import components
from bids_secondlevel.core.values import Array

_ANCHORS = {
    "viridis": (
        "440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d 2f6b8e "
        "2c728e 297a8e 26828e 23898e 21918c 1f988b 1fa088 22a785 28ae80 32b67a 3fbc73 4ec36b "
        "5ec962 70cf57 84d44b 98d83e addc30 c2df23 d8e219 ece51b fde725"
    ),
    "RdBu_r": ("053061 2065ab 4393c3 90c4dd d1e5f0 f7f6f6 fddbc7 f3a481 d6604d b1182b 67001f"),
    "twilight": (
        "e2d9e2 d7d7dd c4ced4 acc2cc 95b5c7 81a6c3 7297c1 6887be 6276ba 5f64b5 5e51ad 5d3da1 "
        "592a8f 511b77 45135c 381145 2f1436 3a113a 4a1342 5f174a 741e4f 872750 983550 a64550 "
        "b25652 bb6958 c27c63 c89073 cca389 d1b6a3 d8c7be dfd4d6 e2d9e2"
    ),
    "Blues": ("f7fbff deebf7 c6dbef 9dcae1 6aaed6 4191c6 2070b4 08509b 08306b"),
}
"""By matplotlib's name: colours at equal distances; others lie on straight lines between them."""

LEVELS = 256


def scale(name: str) -> NDArray[np.uint8]:
    """Give a scale of colours in steps, within 0.02 of what matplotlib has by the same name.

    Returns
    -------
    (LEVELS, 3) array
        Red, green and blue.

    Examples
    --------
    >>> scale("RdBu_r")[[0, -1]]
    array([[  5,  48,  97],
           [103,   0,  31]], dtype=uint8)
    """
    anchors = np.array([components(colour) for colour in _ANCHORS[name].split()])
    at, places = np.linspace(0, 1, LEVELS), np.linspace(0, 1, len(anchors))
    steps = np.column_stack([np.interp(at, places, part) for part in anchors.T])
    return np.round(255 * steps).astype(np.uint8)


def coloured(name: str, shares: Array) -> Array:
    """Give shares of a scale, from 0 to 1, their colours: red, green and blue from 0 to 1.

    Examples
    --------
    >>> coloured("viridis", np.array([0.0, 2.0])).round(2)
    array([[0.27, 0.  , 0.33],
           [0.99, 0.91, 0.15]])
    """
    return scale(name)[level_of(shares)] / 255


def level_of(shares: Array) -> NDArray[np.uint8]:
    """Say which step of a scale shares are, from 0 to 1; what is beyond is at an end."""
    steps: NDArray[np.uint8] = np.clip(LEVELS * shares, 0, LEVELS - 1).astype(np.uint8)
    return steps
