"""Tests at every vertex of the cortex, corrected for their number by permutations.

Vertices are gone through block by block, so memory depends neither on how many there are nor on
the number of permutations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import comb

import numpy as np

from bids_secondlevel.core.group_maps import MapTest, VertexTests
from bids_secondlevel.core.hemispheres import HEMISPHERES
from bids_secondlevel.core.rows import MISSING, Column, Schema
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.stats.testing.permutation import SEED, SMALLEST_SAMPLE, SignFlips, p_values

LEVEL = 0.05
"""Corrected p values below this are counted and drawn."""

MAP_COLUMNS: Schema = {
    "session": Column(str, "label of the session; n/a if names have none"),
    "task": Column(str, "label of the task"),
    "contrast": Column(str, "label of the contrast"),
    "group": Column(
        str, "participants that were tested: all, or those of a level of the column --group-by"
    ),
    "versus": Column(
        str, "the group whose mean is subtracted from that of the first; n/a if there is none"
    ),
    "space": Column(str, "surface of the maps"),
    "n": Column(int, "number of participants with a map"),
    "n_tested": Column(int, "vertices of both hemispheres that were tested"),
    "n_significant": Column(int, "vertices with p < 0.05, corrected for all that were tested"),
    "n_region": Column(int, "vertices that were tested in the retinotopic region of the group"),
    "n_region_significant": Column(
        int, "vertices of these with p < 0.05, corrected for the region"
    ),
    "peak_t": Column(float, "t at the vertex with the largest |t|"),
    "p_peak": Column(float, "its p value, corrected for all vertices that were tested"),
    "peak_hemi": Column(str, "hemisphere of this vertex"),
    "peak_vertex": Column(int, "number of this vertex, counted from 0"),
    "region_t": Column(float, "t at the vertex of the region with the largest |t|"),
    "p_region": Column(float, "its p value, corrected for the region"),
    "region_hemi": Column(str, "hemisphere of this vertex"),
    "region_vertex": Column(int, "number of this vertex, counted from 0"),
    "n_permutations": Column(
        int, "sign flips behind the p values, or permutations of the participants of two groups"
    ),
    "excluded": Column(str, "participants without a map, each with the reason"),
}
"""The largest values of maps of the group, and how much of them is significant."""

_VERTICES = 4096
"""Vertices that are tested at a time."""

_GROUPINGS = 128
"""Permutations of groups that are made at a time."""

_ROUNDING = 1e-12
"""Differences that are a smaller share of the values are rounding."""

_TIES = 1e-9
"""Squared statistics of groups that differ by a smaller share count as equal."""


def vertex_tests(
    values: Array, taking_part: Mask, region: Mask, n_permutations: int, seed: int = SEED
) -> tuple[VertexTests, SignFlips]:
    """Test the mean against 0 at every vertex, by t and by flipping the signs of participants.

    A flip turns the whole map of a participant. The corrected p of a vertex is the share of the
    flips whose largest t of all vertices, in absolute value, reaches its own.

    Parameters
    ----------
    values : (n_participants, n_vertices) array of float
        May lie in a file. Vertices that are NaN or infinite in some participants are tested with
        the others, if these are at least half of all, and at least :data:`SMALLEST_SAMPLE` if
        there are so many.
    taking_part : (n_participants,) array of bool
        Who is tested.
    region : (n_vertices,) array of bool
        Vertices for which p is corrected apart.
    n_permutations
        How many random flips, or the largest number of all flips; 0 for none.

    References
    ----------
    Nichols and Holmes (2002), Human Brain Mapping 15, 1-25. Winkler et al. (2014), NeuroImage 92,
    381-397: one-sample tests by flips of whole maps.
    """
    n_participants, n_vertices = int(taking_part.sum()), values.shape[1]
    flips = SignFlips(n_participants, n_permutations, seed)
    least = _least(n_participants)
    if n_participants >= SMALLEST_SAMPLE:
        least = max(least, SMALLEST_SAMPLE)
    found, largest = _Found.empty(n_vertices), _Largest()
    for block, data, present in _blocks(values, taking_part):
        n = present.sum(axis=0)
        enough = n >= least
        mean, variance = _moments(data, present)
        varies = enough & (variance > (_ROUNDING * np.abs(data).max(axis=0)) ** 2)
        found.n[block] = n
        found.effect[block] = np.where(enough, mean, np.nan)
        found.t[block][varies] = mean[varies] / np.sqrt(variance[varies] / n[varies])
        if not n_permutations or not varies.any():
            continue
        # Of equal n, t^2 = (n - 1) r / (1 - r) grows with the share r of the sum's largest square.
        of, inside = n[varies], region[block][varies]
        x = data[:, varies] / np.sqrt(of * (data[:, varies] ** 2).sum(axis=0))
        found.reached[block][varies] = _t2(np.abs(x.sum(axis=0)), of, rounding=_ROUNDING)
        order = np.lexsort((inside, of))
        of, inside, ordered = of[order], inside[order], x[:, order]
        starts = np.flatnonzero(np.diff(2 * of + inside, prepend=-1))
        sums = (np.abs(flip @ ordered) for flip in flips)
        t2 = [_t2(np.maximum.reduceat(of_all, starts, axis=1), of[starts]) for of_all in sums]
        largest.add(np.concatenate(t2), inside[starts])
    return found.tests(largest, region, flips.is_exact), flips


@dataclass(frozen=True)
class Regroupings:
    """Permutations of who is in the first of two groups, the same each time.

    Iterating gives blocks of them, ``(n, n_participants)`` arrays of 1 and 0.
    """

    n_first: int
    n_participants: int
    n_permutations: int
    """How many random ones, or the largest number of all."""
    seed: int = SEED

    @property
    def is_exact(self) -> bool:
        """Whether all permutations are used."""
        return comb(self.n_participants, self.n_first) <= self.n_permutations

    @property
    def number(self) -> int:
        """How many p values are made of."""
        return (
            comb(self.n_participants, self.n_first)
            if self.is_exact and self.n_permutations
            else self.n_permutations
        )

    def __iter__(self) -> Iterator[Array]:
        every = combinations(range(self.n_participants), self.n_first)
        random = np.random.default_rng(self.seed)
        for start in range(0, self.number, _GROUPINGS):
            size = min(_GROUPINGS, self.number - start)
            first = np.zeros((size, self.n_participants))
            if self.is_exact:
                chosen = np.array([next(every) for _ in range(size)])
                np.put_along_axis(first, chosen, 1.0, axis=1)
            else:
                first[:, : self.n_first] = 1.0
                first = random.permuted(first, axis=1)
            yield first


def vertex_comparisons(
    values: Array, groups: tuple[Mask, Mask], region: Mask, n_permutations: int, seed: int = SEED
) -> tuple[VertexTests, Regroupings]:
    """Test the difference of two groups at every vertex, by Welch's t and permutations of groups.

    Without a difference, which group a participant belongs to has nothing to do with the map, so
    participants are exchanged between groups. Flips of signs would suppose symmetry about 0.

    Parameters
    ----------
    values : (n_participants, n_vertices) array of float
        As in :func:`vertex_tests`. At least half of each group need a value, and two.
    groups : two (n_participants,) arrays of bool
        Who is in the first group, and in the one whose mean is subtracted from that of the first.

    References
    ----------
    Welch (1947), Biometrika 34, 28-35. Janssen (1997), Statistics and Probability Letters 36,
    9-21: with Welch's t, permutations are right in large samples also if variances differ.
    """
    taking_part, n_vertices = groups[0] | groups[1], values.shape[1]
    is_first = groups[0][taking_part]
    n_participants, n_first = is_first.size, int(is_first.sum())
    regroupings = Regroupings(n_first, n_participants, n_permutations, seed)
    found, largest = _Found.empty(n_vertices), _Largest()
    for block, data, present in _blocks(values, taking_part):
        n = present.sum(axis=0)
        n_of_first = present[is_first].sum(axis=0)
        enough = (n_of_first >= _least(n_first)) & (
            n - n_of_first >= _least(n_participants - n_first)
        )
        found.n[block] = n
        x = np.where(present, data - data.sum(axis=0) / np.maximum(n, 1), 0.0)
        size = np.abs(x).max(axis=0)
        is_same = size <= _ROUNDING * np.abs(data).max(axis=0)
        size[is_same], x[:, is_same] = 1.0, 0.0
        x /= size
        observed = is_first[np.newaxis].astype(np.float64)
        difference, t2_observed = (of[0] for of in _welch(observed, x, present))
        found.effect[block] = np.where(enough, difference * size, np.nan)
        tested = enough & ~np.isnan(t2_observed)
        found.t[block][tested] = (np.sign(difference) * np.sqrt(t2_observed))[tested]
        if not n_permutations or not tested.any():
            continue
        found.reached[block][tested] = t2_observed[tested] * (1 - _TIES)
        inside = region[block][tested]
        x_tested, there = x[:, tested], present[:, tested]
        t2 = (_welch(first, x_tested, there)[1] for first in regroupings)  # one block at a time
        maxima = [
            np.stack([of.max(axis=1), of[:, inside].max(axis=1, initial=0.0)], axis=1)
            for of in map(partial(np.nan_to_num, posinf=np.inf), t2)
        ]
        largest.add(np.concatenate(maxima), np.array([False, True]))
    return found.tests(largest, region, regroupings.is_exact), regroupings


def _welch(first: Array, x: Array, present: Mask) -> tuple[Array, Array]:
    """Return the difference of the means of two groups and its t squared, by grouping and vertex.

    Values are at most 1, and 0 on average over what is present. NaN if a group has fewer than two,
    or nothing varies.
    """
    n, n_other = first[:1].sum(), first.shape[1] - first[:1].sum()
    if not present.all():
        n = first @ present.astype(np.float64)
        n_other = present.sum(axis=0) - n
    squares = x**2
    with np.errstate(divide="ignore", invalid="ignore"):
        of_one, of_other = 1 / (n * (n - 1)), 1 / (n_other * (n_other - 1))
        # The sum of the other group is that of the first, with the other sign.
        sums = first @ x
        squared = sums**2
        variance = first @ squares
        variance *= of_one - of_other
        variance += squares.sum(axis=0) * of_other
        variance -= squared * (of_one / n + of_other / n_other)
        between = 1 / n + 1 / n_other
        squared *= between**2
        t2 = squared / variance
        difference = sums * between
    is_constant = variance < _ROUNDING  # so t is infinite, or there is none
    t2[is_constant] = np.inf
    t2[is_constant & (squared < _ROUNDING)] = np.nan
    return difference, t2


def _t2(shares: Array, n: Array, rounding: float = 0.0) -> Array:
    """Turn shares of the largest possible sum of `n` values into t^2, less what is rounding."""
    rest = np.clip(1 - shares**2 + rounding, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        return (n - 1) * (1 / rest - 1)


def _least(n: int) -> int:
    """Say how many of a group must have a value at a vertex: half of them, and two."""
    return max(2, -(-n // 2))


def _blocks(values: Array, taking_part: Mask) -> Iterator[tuple[slice, Array, Mask]]:
    """Return blocks of vertices in 64 bits, 0 if there is no value, and whether there is one."""
    for start in range(0, values.shape[1], _VERTICES):
        block = slice(start, min(start + _VERTICES, values.shape[1]))
        x = np.asarray(values[:, block])[taking_part].astype(np.float64)
        present = np.isfinite(x)
        yield block, np.where(present, x, 0.0), present


def _moments(x: Array, present: Mask) -> tuple[Array, Array]:
    """Return mean and variance of what is present."""
    n = present.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = x.sum(axis=0) / n
        variance = (np.where(present, x - mean, 0.0) ** 2).sum(axis=0) / (n - 1)
    return mean, np.where(n > 1, variance, 0.0)


def map_row(test: MapTest, space: str) -> dict[str, object]:
    """Sum up the maps of a test: a row with :data:`MAP_COLUMNS`."""
    halves = list(test.vertices)
    t, p, p_region = (
        np.concatenate([getattr(half, name) for half in halves]) for name in ("t", "p", "p_region")
    )
    in_region = np.isfinite(p_region)
    row: dict[str, object] = {
        "session": test.session or MISSING,
        "task": test.task,
        "contrast": test.contrast,
        "group": test.group,
        "versus": test.versus or MISSING,
        "space": space,
        "n": len(test.participants),
        "n_tested": int(np.isfinite(t).sum()),
        "n_significant": int((p < LEVEL).sum()) if test.n_permutations else np.nan,
        "n_region": int(in_region.sum()) if test.n_permutations else np.nan,
        "n_region_significant": int((p_region < LEVEL).sum()) if test.n_permutations else np.nan,
        "n_permutations": test.n_permutations,
        "excluded": "; ".join(f"{who}:{why}" for who, why in sorted(test.excluded.items()))
        or MISSING,
    }
    for name, size, corrected in (
        ("peak", np.abs(t), p),
        ("region", np.where(in_region, np.abs(t), np.nan), p_region),
    ):
        there = np.isfinite(size).any()
        place = int(np.nanargmax(size)) if there else 0
        row |= {
            f"{name}_t": float(t[place]) if there else np.nan,
            f"p_{name}": float(corrected[place]) if there else np.nan,
            f"{name}_hemi": HEMISPHERES[place // halves[0].t.size] if there else MISSING,
            f"{name}_vertex": place % halves[0].t.size if there else np.nan,
        }
    return row


class _Largest:
    """The largest t^2 of each permutation, of all vertices and of those in the region."""

    def __init__(self) -> None:
        self.of_all: Array = np.zeros(0)
        self.of_region: Array = np.zeros(0)

    def add(self, t2: Array, is_inside: Mask) -> None:
        """Take in those of a block: (n_permutations, k), and which of the k are in the region."""
        self.of_all = np.maximum(self.of_all if self.of_all.size else 0.0, t2.max(axis=1))
        inside = t2[:, is_inside].max(axis=1, initial=0.0)
        self.of_region = np.maximum(self.of_region if self.of_region.size else 0.0, inside)


@dataclass(frozen=True, eq=False)
class _Found:
    """What is found at each vertex."""

    n: Array
    effect: Array
    t: Array
    reached: Array
    """t^2 that a permutation must have to count; NaN without a test."""

    @classmethod
    def empty(cls, n_vertices: int) -> "_Found":
        nothing = [np.full(n_vertices, np.nan) for _ in range(3)]
        return cls(np.zeros(n_vertices, dtype=np.int32), *nothing)

    def tests(self, largest: _Largest, region: Mask, is_exact: bool) -> VertexTests:  # noqa: FBT001
        """Return p values by the largest t^2 of each permutation."""
        tested = ~np.isnan(self.reached)

        def p_of(maxima: Array, shown: Mask) -> Array:
            p = np.full(self.n.size, np.nan, dtype=np.float32)
            if maxima.size:
                below = np.searchsorted(np.sort(maxima), self.reached[shown], side="left")
                p[shown] = p_values(maxima.size - below, maxima.size, is_exact)
            return p

        return VertexTests(
            n=self.n,
            effect=self.effect.astype(np.float32),
            t=self.t.astype(np.float32),
            p=p_of(largest.of_all, tested),
            p_region=p_of(largest.of_region, tested & region),
        )
