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
        """Give the CR2 covariance of combinations: the sum over participants.

        Parameters
        ----------
        weights : (rank, n_combinations) array
        """
        scores = self.scores @ weights
        covariance: Array = scores.T @ scores
        return covariance

    def variance(self, weights: Array) -> tuple[float, float] | None:
        """Give the variance of a combination of coefficients, and its degrees of freedom.

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
        if not self._is_exact(weights[:, np.newaxis]):
            return None
        variance = self.covariance(weights[:, np.newaxis]).item()
        if self.groups is not None:
            shares = np.bincount(self.groups, (self.scores @ weights) ** 2)
            sizes = np.bincount(self.groups)[shares > 0]
            df = variance**2 / np.sum(shares[shares > 0] ** 2 / (sizes - 1))
            return variance, float(df)
        own, shared = self._working(weights[:, np.newaxis])
        joint = _products(own, shared)
        return variance, float(self._expected(own, shared).item() ** 2 / joint.squares)

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
        if n_combinations >= len(self.scores) or not self._is_exact(weights):
            return None
        covariance, effects = self.covariance(weights), estimates @ weights
        if np.linalg.matrix_rank(covariance, hermitian=True) < n_combinations:
            return None
        q = float(effects @ np.linalg.solve(covariance, effects))
        if n_combinations == 1:
            found = self.variance(weights[:, 0])
            return None if found is None else JointTest(q, 1, found[1])
        joint = _products(*self._working(weights))
        eta = n_combinations * (n_combinations + 1) / (joint.traces + joint.squares)
        df_residual = eta - n_combinations + 1
        if df_residual <= _EXACT:
            return None
        return JointTest(q * df_residual / (eta * n_combinations), n_combinations, df_residual)

    def _working(self, weights: Array) -> tuple[Array, Array]:
        """Give what the variances of the model imply for combinations, by participant.

        Returns
        -------
        own : (n_participants, n_combinations, n_combinations) array
        shared : (n_participants, rank, n_combinations) array
            The covariance of what participants i and j add is that of `own`, if they are the same,
            minus the product of `shared` of i and `shared` of j.
        """
        rows = self.adjusted @ weights
        return rows.swapaxes(1, 2) @ rows, self.design.swapaxes(1, 2) @ rows

    def _expected(self, own: Array, shared: Array) -> Array:
        """Give the CR2 covariance that is expected if the variances of the model hold."""
        expected: Array = own.sum(axis=0) - np.einsum("ias,iat->st", shared, shared)
        return expected

    def _is_exact(self, weights: Array) -> bool:
        """Tell whether CR2 is without bias, which it is unless a participant is alone."""
        found = self._expected(*self._working(weights))
        wanted = weights.T @ weights
        return bool(np.abs(found - wanted).max() <= _EXACT * np.abs(wanted).max())


class _Products(NamedTuple):
    """Sums over all pairs of participants of products of covariances."""

    traces: float
    """Of the products of the traces."""
    squares: float
    """Of the traces of the products."""


def _products(own: Array, shared: Array) -> _Products:
    """Sum over pairs of participants without a table of all pairs."""
    cross = np.einsum("ias,iat->ist", shared, shared)
    traces = np.trace(own, axis1=1, axis2=2)
    cross_traces = np.trace(cross, axis1=1, axis2=2)
    of_traces = np.sum(traces * (traces - 2 * cross_traces))
    of_squares = np.sum(own * (own - 2 * cross))
    for s in range(own.shape[1]):
        for t in range(s + 1):
            between = shared[:, :, s].T @ shared[:, :, t]
            times = 1 if s == t else 2
            of_traces += times * np.sum(between**2)
            of_squares += times * np.sum(between * between.T)
    return _Products(float(of_traces), float(of_squares))


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
    padded = np.zeros((sizes.size, sizes.max(), design.shape[1] + 2))
    rows = np.column_stack([np.ones(owner.size), design, residuals])
    padded[owner[order], place] = rows[order]
    reduced: Array = np.asarray(np.linalg.qr(padded, mode="r"))
    one, of_design, left = reduced[:, :, :1], reduced[:, :, 1:-1], reduced[:, :, -1]
    # The polar factor of PHI B^(1/2), times B^(-1/2): no square of a number is lost in another.
    identity = np.eye(reduced.shape[1])
    open_share = identity - of_design @ of_design.swapaxes(1, 2)
    values, vectors = np.linalg.eigh(open_share)
    is_open = values > _SINGULAR
    roots = np.sqrt(np.where(is_open, values, 0.0))[:, np.newaxis]
    inverse_roots = np.where(is_open[:, np.newaxis], 1 / np.where(roots > 0, roots, 1.0), 0.0)
    back = vectors.swapaxes(1, 2)
    if ratio > 0:
        phi = identity + ratio * (one @ one.swapaxes(1, 2))
        first, _, last = np.linalg.svd(phi @ ((vectors * roots) @ back))
        adjust = first @ last @ ((vectors * inverse_roots) @ back)
    else:
        adjust = (vectors * inverse_roots) @ back
    adjusted = adjust.swapaxes(1, 2) @ of_design
    return ClusterRobust(
        design=of_design,
        adjusted=adjusted,
        scores=np.einsum("iks,ik->is", adjusted, left),
        groups=_groups_of(design) if sizes.max() == 1 else None,
    )


def _groups_of(design: Array) -> NDArray[np.intp] | None:
    """Tell groups apart, if there are no more kinds of rows than coefficients."""
    rounded = np.round(design / np.abs(design).max(initial=1e-300), 9)
    kinds, group = np.unique(rounded, axis=0, return_inverse=True)
    return group.ravel() if len(kinds) == design.shape[1] else None
