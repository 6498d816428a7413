"""Correction of p values for the number of tests in a family."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array


def by_family(
    correct: Callable[[Array], Array], p: Array, family: NDArray[Any], in_family: Array
) -> Array:
    """Correct p values, each family for itself.

    Parameters
    ----------
    p, family : (n_tests,) arrays
    in_family : (n_tests,) array of bool
        Tests that count; of others there is no corrected value.

    Returns
    -------
    (n_tests,) array
        NaN outside a family.
    """
    corrected = np.full(p.shape, np.nan)
    for name in dict.fromkeys(family[in_family]):
        here = in_family & (family == name)
        corrected[here] = correct(p[here])
    return corrected


def holm(p: Array) -> Array:
    """Correct for the familywise error rate, under any dependence of the tests.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> holm(np.array([0.01, 0.5, 0.02]))
    array([0.03, 0.5 , 0.04])
    """
    order = np.argsort(p)
    adjusted = np.empty(p.shape)
    steps = p[order] * np.arange(p.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p: Array) -> Array:
    """Return the false discovery rate at which each test is significant.

    This is :func:`scipy.stats.false_discovery_control`; to import scipy.stats takes a second.

    References
    ----------
    Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57, 289-300.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.5, 0.02]))
    array([0.03, 0.5 , 0.03])
    """
    order = np.argsort(-p)
    rates = np.empty(p.shape)
    ranks = np.arange(p.size, 0, -1)
    rates[order] = np.minimum.accumulate(p[order] * p.size / ranks)
    return rates
