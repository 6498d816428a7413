"""Scale numbers of any size to prevent overflow and underflow of squares."""

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array

_USUAL = 300
"""Between this power of 2 and its reciprocal, squares and their sums are exact enough."""


def to_usual_size(values: Array) -> tuple[Array, int]:
    """Divide numbers by a power of 2, which changes none of their digits.

    Returns
    -------
    values : array
    exponent : int
        Of the power of 2 that they were divided by; 0 if they are of usual size.

    Examples
    --------
    >>> to_usual_size(np.array([1e-200, -3e-200]))[0].round(3)
    array([ 0.191, -0.574])
    >>> to_usual_size(np.array([1.0, 3.0]))
    (array([1., 3.]), 0)
    """
    row, (exponent,) = rows_to_usual_size(values.reshape(1, -1))
    return row.reshape(values.shape), int(exponent)


def rows_to_usual_size(values: Array) -> tuple[Array, NDArray[np.intp]]:
    """Divide the numbers of each row by a power of 2 of its own; see :func:`to_usual_size`."""
    largest = np.abs(np.where(np.isfinite(values), values, 0.0)).max(axis=1, initial=0.0)
    exponents = np.frexp(largest)[1].astype(np.intp)
    exponents[np.abs(exponents) <= _USUAL] = 0
    return np.ldexp(values, -exponents[:, np.newaxis]), exponents


def from_usual_size(value: float, exponent: int) -> float:
    """Multiply with the power of 2 again; what is too large becomes infinite."""
    if not exponent:
        return value
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(value, exponent))
