"""Sign-flip permutation tests, uncorrected and corrected for a family of tests."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bids_secondlevel.core.values import Array

SEED = 0

SMALLEST_SAMPLE = 6
"""With fewer participants no sign-flip test reaches p < 0.05: its smallest p is 2 / 2^n."""

_BLOCK = 512
"""Flips made at a time; memory is this number times that of tests plus participants."""

_ROUNDING = 1e-12
"""Statistics that differ by less, relative to the data, count as equal."""


@dataclass(frozen=True, eq=False)
class SignFlipTests:
    """Results of :func:`sign_flip_tests`, each of shape ``(n_tests,)``."""

    p: Array
    """Two-sided, uncorrected; NaN where there can be no test."""
    p_fwe: Array
    """Familywise, by the largest |t| of the family; NaN outside the family."""
    n_flips: Array
    """Sign flips behind `p`: 2^n where these are all there are."""


def sign_flip_tests(
    values: Array, in_family: Array, n_permutations: int, seed: int = SEED
) -> SignFlipTests:
    """Test means against 0 by flipping the signs of participants.

    Under the null hypothesis the values come from a distribution that is symmetric about 0. A
    flip turns all values of a participant at once, which keeps the correlation between tests. All
    2^n flips are used where that is at most `n_permutations`, otherwise as many random ones; the
    data as they are count as one flip more, so that p is never 0.

    Parameters
    ----------
    values : (n_participants, n_tests) array
        NaN where a participant has no value; each test uses the participants it has.
    in_family : (n_tests,) array of bool
        Tests that share the familywise correction. Those with fewer than
        :data:`SMALLEST_SAMPLE` participants are left out of it where others have that many: they
        cannot become significant, and would hide the others behind the few values their t takes.
    n_permutations
        How many random flips, or the largest number of all flips; 0 for no test at all.
    seed
        Of the random flips.

    References
    ----------
    Nichols and Holmes (2002), Human Brain Mapping 15, 1-25: sign flips, and the distribution of
    the maximum statistic. Phipson and Smyth (2010), Statistical Applications in Genetics and
    Molecular Biology 9, 39: p values of random permutations.

    Examples
    --------
    Of the eight flips of three participants, two give a sum as large as that of 1, 2 and 3.

    >>> result = sign_flip_tests(np.array([[1.0], [2.0], [3.0]]), np.array([True]), 100)
    >>> result.p, result.n_flips
    (array([0.25]), array([8]))
    """
    present = np.isfinite(values)
    n = present.sum(axis=0)
    x = np.where(present, values, 0.0)
    scale = np.abs(x).max(axis=0, initial=0.0)
    x /= np.where(scale > 0, scale, 1.0)  # squares of very small and large values stay finite
    highest = np.where(present, values, -np.inf).max(axis=0, initial=-np.inf)
    lowest = np.where(present, values, np.inf).min(axis=0, initial=np.inf)
    tested = (n >= 2) & (lowest < highest)
    family = in_family & tested
    if (n[family] >= SMALLEST_SAMPLE).any():
        family &= n >= SMALLEST_SAMPLE
    p, p_fwe = np.full(n.size, np.nan), np.full(n.size, np.nan)
    n_flips = np.zeros(n.size, dtype=int)
    if not n_permutations or not tested.any():
        return SignFlipTests(p, p_fwe, n_flips)
    anyone = present[:, tested].any(axis=1)
    p[tested], p_fwe[tested], n_joint = _flip(
        x[np.ix_(anyone, tested)], n[tested], family[tested], n_permutations, seed
    )
    n_flips[tested] = n_joint
    # Where some participants have no value, a test may have few enough for all its flips.
    patterns, of_test = np.unique(present, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        size = int(pattern.sum())
        here = tested & (of_test.ravel() == number)
        if here.any() and size < anyone.sum() and 2**size <= n_permutations:
            outside = np.zeros(here.sum(), dtype=bool)
            p[here], _, n_flips[here] = _flip(
                x[np.ix_(pattern, here)], n[here], outside, n_permutations, seed
            )
    return SignFlipTests(p, p_fwe, n_flips)


def _flip(
    x: Array, n: Array, family: Array, n_permutations: int, seed: int
) -> tuple[Array, Array, int]:
    """Count the flips whose statistics reach those of the data.

    The mean square of the sum of flipped values is a share `r` of its largest possible value,
    since flips leave the squares as they are; t^2 = (n - 1) r / (1 - r) grows with it. So one
    matrix product gives the statistics of all tests under a block of flips.
    """
    flips_used = SignFlips(len(x), n_permutations, seed)
    largest = n * (x**2).sum(axis=0)
    rest = 1 - x.sum(axis=0) ** 2 / largest
    # Rounding must not decide between flips that give the same statistic.
    reached = np.minimum(rest + _ROUNDING, 1.0)
    t2_reached = (n - 1) * (1 / reached - 1)
    count, count_fwe, total = np.zeros(n.size), np.zeros(n.size), 0
    for flips in flips_used:
        rest = np.maximum(1 - (flips @ x) ** 2 / largest, 0.0)
        count += (rest <= reached).sum(axis=0)
        if family.any():
            with np.errstate(divide="ignore"):
                t2 = (n[family] - 1) * (1 / rest[:, family] - 1)
            maximum = np.sort(t2.max(axis=1))
            count_fwe += len(maximum) - np.searchsorted(maximum, t2_reached, side="left")
        total += len(flips)
    p, p_fwe = (p_values(reached, total, flips_used.is_exact) for reached in (count, count_fwe))
    return p, np.where(family, p_fwe, np.nan), flips_used.number


def p_values(count: Array, total: int, is_exact: bool) -> Array:  # noqa: FBT001
    """Turn counts of permutations whose statistic reaches that of the data into p values.

    Parameters
    ----------
    count
        Of `total` permutations.
    is_exact
        Whether these are all there are; of random ones, the data count as one more.
    """
    return count / total if is_exact else (1 + count) / (1 + total)


@dataclass(frozen=True)
class SignFlips:
    """The flips of a sample, the same each time they are gone through.

    Iterating gives blocks of them, ``(n, n_participants)`` arrays of 1 and -1.
    """

    n_participants: int
    n_permutations: int
    """How many random flips, or the largest number of all flips."""
    seed: int = SEED

    @property
    def is_exact(self) -> bool:
        """Whether all flips are used."""
        return self.n_participants < 63 and 2**self.n_participants <= self.n_permutations

    @property
    def number(self) -> int:
        """How many flips p values are made of."""
        return 2**self.n_participants if self.is_exact else self.n_permutations

    def __iter__(self) -> Iterator[Array]:
        if self.is_exact:
            return _all_flips(self.n_participants)
        return _random_flips(self.n_participants, self.n_permutations, self.seed)


def _all_flips(n_participants: int) -> Iterator[Array]:
    """Return half of all flips, block by block; |t| is the same under the other half."""
    half = 2 ** (n_participants - 1)
    for start in range(0, half, _BLOCK):
        numbers = np.arange(start, min(start + _BLOCK, half))
        bits = (numbers[:, np.newaxis] >> np.arange(n_participants)) & 1
        yield 1.0 - 2.0 * bits


def _random_flips(n_participants: int, n_permutations: int, seed: int) -> Iterator[Array]:
    random = np.random.default_rng(seed)
    for start in range(0, n_permutations, _BLOCK):
        shape = (min(_BLOCK, n_permutations - start), n_participants)
        n = shape[0] * shape[1]
        drawn = np.frombuffer(random.bytes(-(-n // 8)), dtype=np.uint8)
        flips = np.unpackbits(drawn, count=n).reshape(shape).astype(np.float64)
        flips *= -2.0  # in place, as half of the time of a test goes into this
        flips += 1.0
        yield flips
