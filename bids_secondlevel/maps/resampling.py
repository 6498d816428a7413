"""Carry values from one surface to another over spheres in the same coordinates.

Labels and masks come from the nearest vertex, continuous values by interpolation in the triangle
that contains a point of the target, angles by interpolation on the circle.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array, Mask, Mesh
from bids_secondlevel.maps.meshes import check_triangles

_NEIGHBOURS = 16  # vertices around a point whose triangles are looked at, where one is not enough
_TINY = 1e-6  # a weight below this is rounding of coordinates in 32 bits


@dataclass(frozen=True, eq=False)
class Resampling:
    """How a target's vertices lie on the mesh of a source.

    Attributes
    ----------
    n_source : int
        Vertices of the source.
    nearest : (n_target,) array of int
        Nearest vertex of the source.
    corners : (n_target, 3) array of int
        Vertices of the source's triangle around each vertex of the target.
    weights : (n_target, 3) array of float
        Barycentric coordinates in it: not negative, and 1 in sum.
    """

    n_source: int
    nearest: NDArray[np.intp]
    corners: NDArray[np.intp]
    weights: Array


def nested(n_source: int, n_target: int) -> Resampling:
    """Take the first vertices: fsaverage5 and 6 are the first ones of fsaverage.

    Raises
    ------
    ValueError
        If the target has more vertices than the source.

    Examples
    --------
    >>> by_nearest(nested(4, 2), np.array([5, 6, 7, 8]))
    array([5, 6])
    """
    if n_target > n_source:
        raise ValueError(f"{n_target} vertices cannot be the first of {n_source}")
    first = np.arange(n_target, dtype=np.intp)
    corners = np.repeat(first[:, np.newaxis], 3, axis=1)
    return Resampling(n_source, first, corners, np.tile([1.0, 0.0, 0.0], (n_target, 1)))


def on_spheres(source: Mesh, target: Array) -> Resampling:
    """Find where the vertices of a target lie on the mesh of a source.

    Parameters
    ----------
    source : Mesh
        A sphere around the origin.
    target : (n_target, 3) array of float
        Vertices of a sphere around the origin, registered to the source's; the radii may differ.

    Returns
    -------
    Resampling
        A point outside every triangle (on a mesh with holes) has its nearest vertex for triangle.

    Raises
    ------
    ValueError
        If a vertex lies at the origin, or triangles name vertices that are not there.

    References
    ----------
    Barycentric coordinates of the line from the centre through a point with the plane of a
    triangle: Möller and Trumbore (1997), Journal of Graphics Tools 2, 21-28.
    """
    from scipy.spatial import KDTree

    check_triangles(source.triangles, len(source.coordinates))
    vertices, points = _on_unit_sphere(source.coordinates), _on_unit_sphere(target)
    tree = KDTree(vertices)
    n_neighbours = min(_NEIGHBOURS, len(vertices))
    nearest = np.asarray(tree.query(points)[1], dtype=np.intp)
    search = _Search(vertices, np.asarray(source.triangles, dtype=np.intp))
    triangle, weights = search.around(points, nearest)
    outside = np.flatnonzero(weights.min(axis=1) < -_TINY)
    if outside.size:
        around = np.asarray(tree.query(points[outside], k=range(2, n_neighbours + 1))[1])
        for neighbour in around.T:
            other, its_weights = search.around(points[outside], neighbour)
            better = its_weights.min(axis=1) > weights[outside].min(axis=1)
            triangle[outside[better]] = other[better]
            weights[outside[better]] = its_weights[better]
    corners = search.triangles[triangle]
    lost = weights.min(axis=1) < -_TINY
    corners[lost] = nearest[lost, np.newaxis]
    weights[lost] = (1.0, 0.0, 0.0)
    weights[weights < _TINY] = 0.0
    return Resampling(len(vertices), nearest, corners, weights / weights.sum(axis=1, keepdims=True))


def by_nearest(resampling: Resampling, values: Array) -> Array:
    """Carry labels or a mask: each vertex of the target has the value of the nearest one.

    Parameters
    ----------
    resampling : Resampling
    values : (n_source,) array

    Returns
    -------
    (n_target,) array

    Raises
    ------
    ValueError
        If there is not one value for each vertex of the source.
    """
    _check_size(resampling, values)
    carried: Array = values[resampling.nearest]
    return carried


def by_interpolation(resampling: Resampling, values: Array, undefined: Mask | None = None) -> Array:
    """Carry continuous values: weighted means of the corners of the triangle around a vertex.

    Parameters
    ----------
    resampling : Resampling
    values : (n_source,) or (n_source, k) array of float
    undefined : (n_source,) array of bool, optional
        Vertices whose value is a placeholder, such as the eccentricity 0 outside an atlas. They
        have no weight; where all corners are such, the nearest vertex counts.

    Returns
    -------
    (n_target,) or (n_target, k) array of float
        In the precision of `values`. NaN where any corner with a weight is NaN.

    Raises
    ------
    ValueError
        If there is not one value for each vertex of the source.

    Examples
    --------
    >>> halfway = Resampling(3, np.array([0]), np.array([[0, 1, 2]]), np.array([[0.5, 0.5, 0]]))
    >>> by_interpolation(halfway, np.array([1.0, 3.0, np.nan]))
    array([2.])
    >>> by_interpolation(halfway, np.array([1.0, 0.0, 0.0]), np.array([False, True, True]))
    array([1.])
    """
    _check_size(resampling, values)
    corners, weights = resampling.corners, resampling.weights
    if undefined is not None:
        weights = np.where(undefined[corners], 0.0, weights)
        total = weights.sum(axis=1, keepdims=True)
        alone = total[:, 0] == 0
        corners = np.where(alone[:, np.newaxis], resampling.nearest[:, np.newaxis], corners)
        weights = np.where(alone[:, np.newaxis], (1.0, 0.0, 0.0), weights)
        weights = weights / weights.sum(axis=1, keepdims=True)
    at_corners = np.asarray(values, dtype=np.float64)[corners]
    shares = weights.reshape(weights.shape + (1,) * (values.ndim - 1))
    with np.errstate(invalid="ignore"):  # infinite values of opposite signs
        summed: Array = np.where(shares > 0, shares * at_corners, 0.0).sum(axis=1)
    kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    return summed.astype(kind)


def angles_by_interpolation(
    resampling: Resampling, angles: Array, undefined: Mask | None = None
) -> Array:
    """Carry angles in degrees: the direction of the weighted mean of unit vectors.

    Parameters
    ----------
    resampling : Resampling
    angles : (n_source,) array of float
    undefined : (n_source,) array of bool, optional
        As in :func:`by_interpolation`.

    Returns
    -------
    (n_target,) array of float
        Between -180 and 180; NaN where the vectors cancel out. A vertex that is one of the
        source's keeps its angle as it is written.

    References
    ----------
    Mardia and Jupp (2000), Directional Statistics, section 2.2.

    Examples
    --------
    >>> halfway = Resampling(2, np.array([0]), np.array([[0, 1, 1]]), np.array([[0.5, 0.5, 0]]))
    >>> abs(angles_by_interpolation(halfway, np.array([170.0, -170.0])))
    array([180.])
    """
    radians = np.deg2rad(np.asarray(angles, dtype=np.float64))
    vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1)
    mean = by_interpolation(resampling, vectors, undefined)
    directions = np.rad2deg(np.arctan2(mean[:, 1], mean[:, 0]))
    directions[np.linalg.norm(mean, axis=1) < _TINY] = np.nan
    exact = resampling.weights.max(axis=1) == 1
    at_vertex = angles[resampling.corners[np.arange(exact.size), resampling.weights.argmax(axis=1)]]
    kind = angles.dtype if angles.dtype.kind == "f" else np.float64
    return np.where(exact, at_vertex, directions).astype(kind)


class _Search:
    """The triangles around each vertex of a sphere, and where points lie in them."""

    def __init__(self, vertices: Array, triangles: NDArray[np.intp]) -> None:
        self.triangles = triangles
        a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
        self._normals = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
        self._volumes = np.einsum("ij,ij->i", a, self._normals[:, 0])
        order = np.argsort(triangles, axis=None, kind="stable")
        counts = np.bincount(triangles.ravel(), minlength=len(vertices))
        first = np.cumsum(counts) - counts
        place = np.arange(order.size) - np.repeat(first, counts)
        self._around = np.full((len(vertices), counts.max(initial=1)), -1, dtype=np.intp)
        self._around[triangles.ravel()[order], place] = order // 3

    def around(self, points: Array, vertex: NDArray[np.intp]) -> tuple[NDArray[np.intp], Array]:
        """Find, among the triangles around a vertex, the one in which a point lies most inside.

        Returns
        -------
        triangle : (n_points,) array of int
        weights : (n_points, 3) array of float
            The point lies in the triangle where none is negative.
        """
        best = np.zeros(len(points), dtype=np.intp)
        weights = np.full((len(points), 3), -np.inf)
        for candidates in self._around[vertex].T:
            its_weights = self._weights(points, candidates)
            better = its_weights.min(axis=1) > weights.min(axis=1)
            best[better] = candidates[better]
            weights[better] = its_weights[better]
        return best, weights

    def _weights(self, points: Array, triangle: NDArray[np.intp]) -> Array:
        shares = np.einsum("nij,nj->ni", self._normals[triangle], points)
        total = shares.sum(axis=1)
        # The line through the point has to meet the triangle on this side of the sphere.
        usable = (triangle >= 0) & (total * self._volumes[triangle] > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside: Array = np.where(usable[:, np.newaxis], shares / total[:, np.newaxis], -np.inf)
        return inside


def _on_unit_sphere(coordinates: Array) -> Array:
    points = np.asarray(coordinates, dtype=np.float64)
    radius = np.linalg.norm(points, axis=1, keepdims=True)
    if not (radius > 0).all():
        raise ValueError("a vertex lies at the centre of the sphere")
    on_sphere: Array = points / radius
    return on_sphere


def _check_size(resampling: Resampling, values: Array) -> None:
    if len(values) != resampling.n_source:
        raise ValueError(f"{len(values)} values for the {resampling.n_source} vertices of a source")
