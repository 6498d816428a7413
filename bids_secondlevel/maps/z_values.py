"""Compute z values from the t or p values of first-level tools."""

import numpy as np

from bids_secondlevel.core.values import Array

_UNDERFLOW = 1e-290
"""Smaller probabilities are computed as logarithms."""


def t_to_z(t: Array, degrees_of_freedom: float | Array) -> Array:
    """Turn t values into z values with the same tail probability.

    Parameters
    ----------
    t : (n,) array of float
    degrees_of_freedom
        One for all values, or one for each.

    Returns
    -------
    (n,) array of float
        In the precision of `t`, with the sign of t; NaN stays NaN. A finite t gives a finite z,
        because very small probabilities are computed as logarithms.

    Examples
    --------
    >>> t_to_z(np.array([-2.0, 0.0, 2.228, 70.0]), 900).round(2)
    array([-2.  , -0.  ,  2.22, 40.94])
    """
    from scipy import special

    size = np.abs(np.asarray(t, dtype=np.float64))
    df = np.broadcast_to(np.asarray(degrees_of_freedom, dtype=np.float64), size.shape)
    upper = special.stdtr(df, -size)
    is_extreme = upper < _UNDERFLOW
    logarithm = np.log(np.where(is_extreme, 1.0, upper))
    logarithm[is_extreme] = _log_tail(size[is_extreme], df[is_extreme])
    z: Array = np.sign(t) * -special.ndtri_exp(logarithm)
    return z.astype(t.dtype)


def sig_to_z(sig: Array) -> Array:
    """Convert FreeSurfer's significance to z values with the same two-sided p.

    Parameters
    ----------
    sig : (n,) array of float
        -log10 of the two-sided p, with the sign of the effect.

    Returns
    -------
    (n,) array of float
        In the precision of `sig`, finite for finite values; NaN stays NaN.

    Examples
    --------
    >>> sig_to_z(np.array([1.30103, 0.0, -3.0, 400.0])).round(2)
    array([ 1.96, -0.  , -3.29, 42.83])
    """
    from scipy import special

    wide = np.asarray(sig, dtype=np.float64)
    log_tail = -np.abs(wide) * np.log(10) - np.log(2)
    z: Array = np.sign(wide) * -special.ndtri_exp(log_tail)
    return z.astype(sig.dtype)


def _log_tail(t: Array, degrees_of_freedom: Array) -> Array:
    """Return the logarithm of the tail probability of a very improbable t.

    The probability is half the regularised incomplete beta function of (df / 2, 1 / 2) at
    df / (df + t^2), as a hypergeometric series in -df / t^2, whose first terms fall fast here.

    References
    ----------
    NIST Digital Library of Mathematical Functions, equations 8.17.8 and 15.8.1.
    """
    from scipy import special

    a = degrees_of_freedom / 2
    log_ratio = np.log(degrees_of_freedom) - 2 * np.log(t)
    ratio = np.exp(log_ratio)
    term = np.ones_like(t)
    series = np.ones_like(t)
    for n in range(10):
        term = term * -ratio * (n + 0.5) / (n + a + 1)
        series = series + term
    logarithm: Array = (
        -np.log(2 * a)
        - special.betaln(a, 0.5)
        - a * (np.log1p(ratio) - log_ratio)
        + 0.5 * np.log1p(ratio)
        + np.log(series)
    )
    return logarithm
