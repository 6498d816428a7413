"""What speaks for the null hypothesis, and what a sample could have found, beside a t test."""

from typing import NamedTuple

import numpy as np

from bids_secondlevel.core.values import Array

CAUCHY_SCALE = np.sqrt(2) / 2
"""Scale of the effect sizes that are expected if there is an effect."""

POWER = 0.8
"""Of the smallest effect that a test is said to detect."""

_STEP = 0.2
_LEAST = -7.0
_SPAN = 50.0
"""Logarithms of g: where the integrand begins, and how far behind its peak it is next to 0."""

_BLOCK = 4096
"""Bayes factors that are computed at a time."""


def bayes_factors(t: Array, df: Array, size: Array) -> Array:
    """Compute JZS Bayes factors of t tests: how much likelier t is with an effect than without.

    Effect sizes have a Cauchy prior of scale :data:`CAUCHY_SCALE`; the integral is taken over the
    logarithm of its variance, where the trapezoidal rule is exact to rounding. Logarithms are
    added up, so that an extreme t is as exact as others. What exceeds the range of numbers is the
    largest one.

    Parameters
    ----------
    t, df : (n_tests,) arrays
    size : (n_tests,) array
        Sample size, or ``n1 * n2 / (n1 + n2)`` of two samples.

    References
    ----------
    Rouder et al. (2009), Psychonomic Bulletin & Review 16, 225-237, equation 1.

    Examples
    --------
    >>> bayes_factors(np.array([0.0, 3.0]), np.array([19.0, 19.0]), np.array([20.0, 20.0])).round(4)
    array([0.2323, 6.6188])
    """
    factors = np.empty(t.shape)
    for start in range(0, t.size, _BLOCK):
        here = slice(start, start + _BLOCK)
        factors[here] = _factors(t[here], df[here], size[here])
    return factors


def _factors(t: Array, df: Array, size: Array) -> Array:
    from scipy import special

    log_t2 = 2 * np.log(np.maximum(np.abs(t), 1.0))
    span = _SPAN + log_t2.max(initial=0.0)
    log_g = np.arange(_LEAST, span, _STEP)[:, np.newaxis]
    g = np.exp(log_g)
    shrunk = 1 + size * CAUCHY_SCALE**2 * g
    ratio = np.log1p(t**2 / (shrunk * df)) - np.log1p(t**2 / df)
    logs = (
        -0.5 * np.log(shrunk)
        - (df + 1) / 2 * ratio
        - 0.5 * np.log(2 * np.pi)
        - 0.5 * log_g
        - 0.5 / g
    )
    total = special.logsumexp(logs, axis=0) + np.log(_STEP)
    factors: Array = np.exp(np.minimum(total, np.log(np.finfo(np.float64).max)))
    return factors


class Equivalence(NamedTuple):
    """Two one-sided tests, each of shape ``(n_tests,)``."""

    p: Array
    """The larger of the two p values."""
    low: Array
    """Lower limit of the 90 % interval; p < 0.05 if it lies within the bounds."""
    high: Array


def equivalence_tests(mean: Array, se: Array, df: Array, bound: float) -> Equivalence:
    """Test whether means are between -bound and +bound.

    References
    ----------
    Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.

    Examples
    --------
    >>> found = equivalence_tests(np.array([0.1]), np.array([0.2]), np.array([9.0]), bound=0.5)
    >>> found.p.round(4), found.high.round(4)
    (array([0.0383]), array([0.4666]))
    """
    from scipy import special

    half = special.stdtrit(df, 0.95) * se
    p = special.stdtr(df, (np.abs(mean) - bound) / se)
    return Equivalence(p, mean - half, mean + half)


def detectable_effects(df: Array, size: Array) -> Array:
    """Find the effect sizes that two-sided tests at 0.05 find with a probability of 0.8.

    That t is significant with the other sign, which is next to impossible then, does not count.

    Parameters
    ----------
    df, size : (n_tests,) arrays
        As for :func:`bayes_factors`.

    Examples
    --------
    >>> detectable_effects(np.array([19.0]), np.array([20.0])).round(3)
    array([0.66])
    """
    from scipy import special

    critical = special.stdtrit(df, 0.975)
    found: Array = special.nctdtrinc(df, 1 - POWER, critical) / np.sqrt(size)
    return found
