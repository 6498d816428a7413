"""Tests that a few extreme participants do not decide."""

from typing import NamedTuple

import numpy as np

from bids_secondlevel.core.values import Array

TRIMMED = 0.2
"""Share of participants that is trimmed at either end."""

_MOST_EXACT = 50
"""Participants up to whom the distribution of signed ranks is counted."""


class RobustTests(NamedTuple):
    """Each of shape ``(n_tests,)``; NaN where there is no test."""

    p_wilcoxon: Array
    trimmed_mean: Array
    t_yuen: Array
    df_yuen: Array
    p_yuen: Array


def robust_tests(values: Array) -> RobustTests:
    """Test by Wilcoxon's signed ranks, and by Yuen's t of trimmed means.

    Parameters
    ----------
    values : (n_participants, n_tests) array
        NaN where a participant has no value.

    References
    ----------
    Wilcoxon (1945), Biometrics Bulletin 1, 80-83. Tukey and McLaughlin (1963), Sankhya A 25,
    331-352, and Yuen (1974), Biometrika 61, 165-170: trimmed means with winsorized variances.
    """
    found = [_robust_test(of[~np.isnan(of)]) for of in values.T]
    return RobustTests(*np.array(found, dtype=np.float64).reshape(-1, 5).T)


def _robust_test(sample: Array) -> tuple[float, float, float, float, float]:
    from scipy import special

    p_wilcoxon = _wilcoxon(sample)
    mean, squared_se, df = _trimmed(sample)
    if not squared_se > 0:
        return (p_wilcoxon, mean, np.nan, np.nan, np.nan)
    t = mean / np.sqrt(squared_se)
    return (p_wilcoxon, mean, t, df, float(2 * special.stdtr(df, -abs(t))))


class RobustComparisons(NamedTuple):
    """Of two groups, each of shape ``(n_tests,)``; NaN where there is no test."""

    u_mannwhitney: Array
    p_mannwhitney: Array
    trimmed_mean: Array
    t_yuen: Array
    df_yuen: Array
    p_yuen: Array


def robust_comparisons(one: Array, other: Array) -> RobustComparisons:
    """Compare two groups by Mann and Whitney's U, and by Yuen's t of their trimmed means.

    Parameters
    ----------
    one, other : (n_participants, n_tests) array
        NaN where a participant has no value.

    References
    ----------
    Mann and Whitney (1947), Annals of Mathematical Statistics 18, 50-60. Yuen (1974), Biometrika
    61, 165-170.
    """
    pairs = zip(one.T, other.T, strict=True)
    found = [_compare(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in pairs]
    return RobustComparisons(*np.array(found, dtype=np.float64).reshape(-1, 6).T)


def _compare(one: Array, other: Array) -> tuple[float, float, float, float, float, float]:
    from scipy import special, stats

    # Exact if a group has up to 8 participants, and there are no ties.
    u, p_mannwhitney = map(float, stats.mannwhitneyu(one, other, method="auto"))
    (mean, squared_se, df), (mean_other, squared_se_other, df_other) = map(_trimmed, (one, other))
    difference, both = mean - mean_other, squared_se + squared_se_other
    if not both > 0:
        return (u, p_mannwhitney, difference, np.nan, np.nan, np.nan)
    t = difference / np.sqrt(both)
    welch = both**2 / (squared_se**2 / df + squared_se_other**2 / df_other)
    p_yuen = float(2 * special.stdtr(welch, -abs(t)))
    return (u, p_mannwhitney, difference, t, welch, p_yuen)


def _trimmed(sample: Array) -> tuple[float, float, int]:
    """Return the trimmed mean, the square of its standard error, and its degrees of freedom."""
    n = sample.size
    cut = int(TRIMMED * n)
    df = n - 2 * cut - 1
    if df < 1:
        return (np.nan, np.nan, df)
    ordered = np.sort(sample)
    kept = ordered[cut : n - cut]
    winsorized = np.clip(ordered, kept[0], kept[-1])
    variance = winsorized.var(ddof=1) if kept[0] < kept[-1] else 0.0
    return (float(kept.mean()), (n - 1) * variance / (kept.size * df), df)


def _wilcoxon(sample: Array) -> float:
    """Compute the two-sided p value of the sum of signed ranks; zeros are left out.

    It is exact for up to 50 participants, also with ties, by counting the sums that all signs
    give; for more by the normal approximation.
    """
    from scipy import special

    moved = sample[sample != 0]
    if moved.size == 0:
        return float("nan")
    sizes = np.abs(moved)
    _, place, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(counts) - counts + 1)[place.ravel()]  # twice the mean rank of ties
    total, reached = int(doubled.sum()), int(doubled[moved > 0].sum())
    smaller = min(reached, total - reached)
    if moved.size > _MOST_EXACT:
        z = (smaller - total / 2) / np.sqrt(np.sum(doubled.astype(float) ** 2) / 4)
        return float(2 * special.ndtr(z))
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for rank in doubled:
        ways[rank:] = (ways[rank:] + ways[: total + 1 - rank]) / 2
        ways[:rank] /= 2
    return min(1.0, 2 * float(ways[: smaller + 1].sum()))
