"""Tests of coefficients that stay right if participants differ in their effects and variances.

Participants are the clusters. Standard errors are of the kind CR2 (Bell and McCaffrey, 2002, Survey
Methodology 28, 169-181), degrees of freedom of single combinations those of Satterthwaite, and
several combinations are tested together by the approximate Hotelling test AHT (Pustejovsky and
Tipton, 2018, Journal of Business & Economic Statistics 36, 672-683).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array

_SINGULAR = 1e-10
"""Eigenvalues of the share of a participant that the others leave open, that count as 0."""

_STEEP = 1e4
"""Largest variance of a participant's mean, relative to the residuals, that may be squared."""

_BLOCK = 128
"""Participants whose matrices are computed at a time."""

_EXACT = 1e-6
"""How far the variance that is expected may be from that of the model, as a share of it."""


class JointTest(NamedTuple):
    """A test of several combinations of coefficients together."""

    f: float
    df: int
    df_residual: float


@dataclass(frozen=True, eq=False, kw_only=True)
class ClusterRobust:
    """What the participants contribute to the coefficients of an orthonormal design.

    Participants are apart, whatever their number of rows: memory grows with participants times the
    square of the number of coefficients.
    """

    design: Array
    """(n_participants, k, rank): the rows of each, reduced to their triangular factor."""
    adjusted: Array
    """(n_participants, k, rank): the same, adjusted by the matrices of CR2."""
    scores: Array
    """(n_participants, rank): what the adjusted residuals of each add to the coefficients."""
    groups: NDArray[np.intp] | None
    """Of each participant, if the design does nothing but tell groups apart."""

    def covariance(self, weights: Array) -> Array:
        """Return the CR2 covariance of combinations: the sum over participants.

        Parameters
        ----------
        weights : (rank, n_combinations) array
        """
        scores = self.scores @ weights
        covariance: Array = scores.T @ scores
        return covariance

    def variance(self, weights: Array) -> tuple[float, float] | None:
        """Return the variance of a combination of coefficients, and its degrees of freedom.

        Those of groups with one number per participant are Welch's, which need no assumption
        about the variances. Others suppose that the variances of the model hold.

        Parameters
        ----------
        weights : (rank,) array

        Returns
        -------
        tuple or None
            ``None`` if a participant alone determines the combination.
        """
        working = self._working(weights[:, np.newaxis])
        if not working.is_exact:
            return None
        variance = self.covariance(weights[:, np.newaxis]).item()
        if self.groups is not None:
            shares = np.bincount(self.groups, (self.scores @ weights) ** 2)
            sizes = np.bincount(self.groups)[shares > 0]
            df = variance**2 / np.sum(shares[shares > 0] ** 2 / (sizes - 1))
            return variance, float(df)
        return variance, working.expected.item() ** 2 / working.squares

    def joint_test(self, estimates: Array, weights: Array) -> JointTest | None:
        """Test orthonormal combinations of coefficients together against 0.

        Parameters
        ----------
        estimates : (rank,) array
        weights : (rank, n_combinations) array

        Returns
        -------
        JointTest or None
            ``None`` if there are too few participants for so many combinations, or one of them
            alone determines a combination.
        """
        n_combinations = weights.shape[1]
        if n_combinations >= len(self.scores):
            return None
        covariance, effects = self.covariance(weights), estimates @ weights
        if np.linalg.matrix_rank(covariance, hermitian=True) < n_combinations:
            return None
        q = float(effects @ np.linalg.solve(covariance, effects))
        if n_combinations == 1:
            found = self.variance(weights[:, 0])
            return None if found is None else JointTest(q, 1, found[1])
        working = self._working(weights)
        eta = n_combinations * (n_combinations + 1) / (working.traces + working.squares)
        df_residual = eta - n_combinations + 1
        if df_residual <= _EXACT or not working.is_exact:
            return None
        return JointTest(q * df_residual / (eta * n_combinations), n_combinations, df_residual)

    def _working(self, weights: Array) -> "_Working":
        """Sum up what the variances of the model imply for combinations.

        What participants i and j add to combinations s and t has the covariance ``own_i`` (if i is
        j) minus the product of ``shared_is`` and ``shared_jt``. Sums over all pairs of
        participants are made from sums over participants.
        """
        n_participants, n_combinations = len(self.scores), weights.shape[1]
        expected = np.zeros((n_combinations, n_combinations))
        traces = squares = 0.0
        shared = np.empty((n_combinations, n_participants, self.design.shape[2]))
        for start in range(0, n_participants, _BLOCK):
            here = slice(start, start + _BLOCK)
            rows = self.adjusted[here] @ weights
            of_design = self.design[here].swapaxes(1, 2) @ rows
            own = rows.swapaxes(1, 2) @ rows
            cross = of_design.swapaxes(1, 2) @ of_design
            expected += (own - cross).sum(axis=0)
            trace, of_cross = (np.trace(part, axis1=1, axis2=2) for part in (own, cross))
            traces += float(np.sum(trace * (trace - 2 * of_cross)))
            squares += float(np.sum(own * (own - 2 * cross)))
            shared[:, here] = of_design.transpose(2, 0, 1)
        for s in range(n_combinations):
            between = shared[s].T @ shared[: s + 1]
            times = np.where(np.arange(s + 1) == s, 1.0, 2.0)  # s with t, and t with s
            traces += float(times @ np.sum(between**2, axis=(1, 2)))
            squares += float(times @ np.sum(between * between.swapaxes(1, 2), axis=(1, 2)))
        wanted = weights.T @ weights
        is_exact = np.abs(expected - wanted).max() <= _EXACT * np.abs(wanted).max()
        return _Working(expected, traces, squares, is_exact=bool(is_exact))


class _Working(NamedTuple):
    """What the variances of the model imply for combinations of coefficients."""

    expected: Array
    """The CR2 covariance that is expected."""
    traces: float
    """Sum over pairs of participants of the product of the traces of their covariances."""
    squares: float
    """Sum over pairs of participants of the trace of the product of their covariances."""
    is_exact: bool
    """Whether CR2 is without bias, which it is unless a participant is alone."""


def cluster_robust(
    design: Array, residuals: Array, owner: NDArray[np.intp], ratio: float
) -> ClusterRobust:
    """Prepare tests of a least-squares fit of whitened data.

    The residuals of a participant are adjusted such that their variance would be right if the
    model were: by ``(PHI B PHI)^(-1/2) PHI``, where ``PHI`` is the covariance of the numbers of a
    participant and ``B`` the share of the identity that the fit leaves of the whitened ones. This
    is how Pustejovsky and Tipton (2018) write it for data that are not whitened.

    Parameters
    ----------
    design : (n_rows, rank) array
        Whitened, with orthonormal columns.
    residuals : (n_rows,) array
        Of the whitened numbers.
    owner : (n_rows,) array of int
        Whose number it is: 0 to n_participants - 1.
    ratio
        Variance of the random intercepts, relative to that of the residuals.
    """
    # All of a participant lies in the few dimensions of its design, its residuals and its mean.
    order = np.argsort(owner, kind="stable")
    sizes = np.bincount(owner)
    place = np.arange(owner.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    ends = np.cumsum(sizes)
    n_columns = design.shape[1] + 2
    k = min(int(sizes.max()), n_columns)
    shape = (sizes.size, k, design.shape[1])
    of_design, adjusted, scores = np.empty(shape), np.empty(shape), np.empty(shape[::2])
    for start in range(0, sizes.size, _BLOCK):
        here = slice(start, start + _BLOCK)
        first, last = ends[start] - sizes[start], ends[here][-1]
        rows = order[first:last]
        padded = np.zeros((sizes[here].size, sizes.max(), n_columns))
        padded[owner[rows] - start, place[first:last]] = np.column_stack(
            [np.ones(rows.size), design[rows], residuals[rows]]
        )
        reduced = np.asarray(np.linalg.qr(padded, mode="r"))
        of_design[here] = reduced[:, :, 1:-1]
        adjust = _adjustment(of_design[here], reduced[:, :, :1], ratio)
        adjusted[here] = adjust.swapaxes(1, 2) @ of_design[here]
        scores[here] = np.einsum("iks,ik->is", adjusted[here], reduced[:, :, -1])
    return ClusterRobust(
        design=of_design,
        adjusted=adjusted,
        scores=scores,
        groups=_groups_of(design) if sizes.max() == 1 else None,
    )


def _adjustment(design: Array, one: Array, ratio: float) -> Array:
    """Compute the matrices of CR2 for whitened residuals of some participants.

    Parameters
    ----------
    design : (n_participants, k, rank) array
    one : (n_participants, k, 1) array
        What became of a column of 1.
    """
    identity = np.eye(design.shape[1])
    phi = identity + ratio * (one @ one.swapaxes(1, 2))
    open_share = identity - design @ design.swapaxes(1, 2)
    if ratio * np.max(one**2, initial=0.0) < _STEEP:
        values, vectors = np.linalg.eigh(phi @ open_share @ phi)
        symmetric: Array = (vectors * _inverse_roots(values)) @ vectors.swapaxes(1, 2)
        return symmetric @ phi
    # The polar factor of PHI B^(1/2), times B^(-1/2): no square of a number is lost in another.
    values, vectors = np.linalg.eigh(open_share)
    back = vectors.swapaxes(1, 2)
    roots = np.sqrt(np.maximum(values, 0.0))[:, np.newaxis]
    first, _, last = np.linalg.svd(phi @ ((vectors * roots) @ back))
    adjusted: Array = first @ last @ ((vectors * _inverse_roots(values)) @ back)
    return adjusted


def _inverse_roots(values: Array) -> Array:
    """Take one over the roots of eigenvalues; 0 for those that are 0."""
    limit = np.maximum(_SINGULAR, 1e-14 * values.max(axis=-1, keepdims=True, initial=0.0))
    roots = np.sqrt(np.where(values > limit, values, np.inf))
    return np.asarray(1 / roots)[:, np.newaxis]


def _groups_of(design: Array) -> NDArray[np.intp] | None:
    """Tell groups apart, if there are no more kinds of rows than coefficients."""
    rounded = np.round(design / np.abs(design).max(initial=1e-300), 9)
    kinds, group = np.unique(rounded, axis=0, return_inverse=True)
    return group.ravel() if len(kinds) == design.shape[1] else None
