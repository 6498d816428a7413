"""Combine the maps of several runs into one."""

from collections.abc import Sequence

import numpy as np

from bids_secondlevel.core.files import Combination
from bids_secondlevel.core.values import Array


def combine_runs(
    maps: Sequence[Array], variances: Sequence[Array], combination: Combination
) -> Array:
    """Combine the maps of several runs into one.

    Parameters
    ----------
    maps
        One map of ``n_vertices`` per run.
    variances
        For the fixed-effects combinations, the variance map of each run.
    combination
        ``single``: the only map, unchanged. ``mean``: unweighted mean. ``fixed_effects``:
        mean weighted by inverse variance; ``fixed_effects_z``: that mean divided by its
        standard error. ``stouffer``: sum of the z maps divided by the root of their number.

    Returns
    -------
    (n_vertices,) array
        A vertex is NaN if any run has no finite value (or no positive variance) for it. With
        Stouffer's method, infinite z values remain the most extreme.

    References
    ----------
    Inverse-variance weights: Cochran (1954), Biometrics 10, 101-129.
    Combination of z values: Stouffer et al. (1949), The American Soldier, vol. 1, p. 45.

    Examples
    --------
    >>> runs = [np.array([1.0]), np.array([4.0])]
    >>> combine_runs(runs, [np.array([1.0]), np.array([2.0])], "fixed_effects")
    array([2.])
    >>> combine_runs([np.array([3.0])] * 4, [], "stouffer")
    array([6.])
    """
    if combination == "single":
        (single,) = maps
        return single
    stacked = np.stack([np.asarray(run, dtype=np.float64) for run in maps])
    if combination in ("mean", "stouffer"):
        with np.errstate(invalid="ignore"):  # infinite values of both signs
            total = stacked.sum(axis=0)
        if combination == "stouffer":
            z: Array = total / np.sqrt(len(maps))
            return z
        combined: Array = np.where(np.isfinite(stacked).all(axis=0), total / len(maps), np.nan)
        return combined
    variance = np.stack([np.asarray(run, dtype=np.float64) for run in variances])
    usable = (np.isfinite(stacked) & np.isfinite(variance) & (variance > 0)).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / variance
        total = weights.sum(axis=0)
        exponent = 1.0 if combination == "fixed_effects" else 0.5
        combined = (weights * stacked).sum(axis=0) / total**exponent
    return np.where(usable, combined, np.nan)
