"""Meshes: areas of vertices, patches of connected vertices, and resampling to another mesh.

Values are resampled with spheres in the same coordinates. Labels and masks come from the nearest
vertex, continuous values from interpolation in the triangle that contains the target vertex, and
angles from interpolation on the circle.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array, Mask, Mesh

if TYPE_CHECKING:  # importing it takes a third of a second
    from scipy.sparse import csr_array

Triangles = NDArray[np.integer[Any]]

_EDGES = ((0, 1), (1, 2), (2, 0))

_NEIGHBOURS = 16
"""Number of vertices near a point whose triangles are searched, if one is not enough."""

_TINY = 1e-6
"""Smaller weights are rounding errors of 32-bit coordinates."""


def vertex_areas(coordinates: Array, triangles: Triangles) -> Array:
    """Compute areas of vertices: a third of each triangle that a vertex belongs to.

    Parameters
    ----------
    coordinates : (n_vertices, 3) array of float
        In mm.
    triangles : (n_triangles, 3) array of int
        Vertices of each triangle, counted from 0.

    Returns
    -------
    (n_vertices,) array of float64
        In mm^2; their sum is the area of the mesh.

    References
    ----------
    Winkler et al. (2012), NeuroImage 61, 1428-1443; FreeSurfer's ``?h.area`` uses the same rule.

    Examples
    --------
    >>> square = np.array([[0, 0, 0], [3, 0, 0], [3, 3, 0], [0, 3, 0]])
    >>> vertex_areas(square, np.array([[0, 1, 2], [0, 2, 3]]))
    array([3. , 1.5, 3. , 1.5])
    """
    points = np.array(coordinates.T, dtype=np.float64, order="C")
    a, b, c = triangles.T
    x1, y1, z1, x2, y2, z2 = (along[of] - along[a] for of in (b, c) for along in points)
    squares = (y1 * z2 - z1 * y2) ** 2 + (z1 * x2 - x1 * z2) ** 2 + (x1 * y2 - y1 * x2) ** 2
    thirds = np.sqrt(squares) / 6
    areas = [np.bincount(of, thirds, minlength=len(coordinates)) for of in (a, b, c)]
    return areas[0] + areas[1] + areas[2]


def triangles_along(triangles: Triangles, mask: Mask) -> Triangles:
    """Take the triangles with an edge in a mask."""
    a, b, c = mask[triangles].T
    near: Triangles = triangles[(a & b) | (b & c) | (c & a)]
    return near


def patches(triangles: Triangles, mask: Mask) -> tuple[int, ...]:
    """Count the vertices of every connected patch of a mask.

    Two vertices of the mask are connected if they are the ends of an edge of a triangle.

    Parameters
    ----------
    triangles : (n_triangles, 3) array of int
        Vertices of each triangle, counted from 0.
    mask : (n_vertices,) array of bool

    Returns
    -------
    tuple of int
        Number of vertices of each patch, the largest first; none for an empty mask.

    Examples
    --------
    >>> strip = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]])
    >>> patches(strip, np.array([True, True, False, False, False, True]))
    (2, 1)
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_inside = int(mask.sum())
    if n_inside == 0:
        return ()
    near = triangles_along(triangles, mask)
    edges = np.concatenate([near[:, ends] for ends in _EDGES])
    number = np.cumsum(mask) - 1  # vertices of the mask, counted from 0
    start, end = number[edges[mask[edges].all(axis=1)]].T
    graph = coo_array((np.ones(start.size, dtype=bool), (start, end)), shape=(n_inside,) * 2)
    _, patch = connected_components(graph, directed=False)
    return tuple(sorted(np.bincount(patch).tolist(), reverse=True))


@dataclass(frozen=True, eq=False)
class Resampling:
    """Position of the vertices of a target on the mesh of a source."""

    nearest: NDArray[np.intp]
    """Nearest vertex of the source, (n_target,)."""

    weights: "csr_array"
    """Barycentric coordinates of each target vertex in its triangle of the source, positive with
    sum 1, (n_target, n_source)."""

    @property
    def n_source(self) -> int:
        """Number of vertices of the source."""
        return int(self.weights.shape[1])


def nested(n_source: int, n_target: int) -> Resampling:
    """Resample to the first vertices: those of fsaverage5 and 6 are the first of fsaverage.

    Examples
    --------
    >>> by_nearest(nested(4, 2), np.array([5, 6, 7, 8]))
    array([5, 6])
    """
    from scipy.sparse import eye_array

    return Resampling(np.arange(n_target), eye_array(n_target, n_source, format="csr"))


def on_spheres(source: Mesh, target: Array) -> Resampling:
    """Find the positions of target vertices on the mesh of a source.

    Parameters
    ----------
    source
        A sphere around the origin, without a vertex at the origin.
    target : (n_target, 3) array of float
        Vertices of a sphere around the origin, registered to the sphere of the source; the radii
        may differ.

    Returns
    -------
    Resampling
        If a point is outside all triangles (on a mesh with holes), its nearest vertex is used
        instead.

    References
    ----------
    Barycentric coordinates of the intersection of a line from the centre with a triangle: Möller
    and Trumbore (1997), Journal of Graphics Tools 2, 21-28.
    """
    from scipy.sparse import csr_array
    from scipy.spatial import KDTree

    vertices, points = _on_unit_sphere(source.coordinates), _on_unit_sphere(target)
    tree = KDTree(vertices)
    nearest = np.asarray(tree.query(points)[1], dtype=np.intp)
    search = _Search(vertices, np.asarray(source.triangles, dtype=np.intp))
    triangle, weights = search.around(points, nearest)
    outside = weights.min(axis=1) < -_TINY
    if outside.any():
        others = tree.query(points[outside], k=min(_NEIGHBOURS, len(vertices)))[1]
        triangle[outside], weights[outside] = search.around(points[outside], np.asarray(others))
    corners = search.triangles[triangle]
    lost = weights.min(axis=1) < -_TINY
    corners[lost] = nearest[lost, np.newaxis]
    weights[lost] = (1.0, 0.0, 0.0)
    weights[weights < _TINY] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    starts = np.arange(0, weights.size + 1, 3)
    matrix = csr_array((weights.ravel(), corners.ravel(), starts), (len(points), len(vertices)))
    matrix.eliminate_zeros()
    return Resampling(nearest, matrix)


def by_nearest(resampling: Resampling, values: Array) -> Array:
    """Resample labels or a mask: each target vertex gets the value of the nearest vertex.

    Parameters
    ----------
    values : (n_source,) array

    Returns
    -------
    (n_target,) array

    Raises
    ------
    ValueError
        If there is not exactly one value per vertex of the source.
    """
    carried: Array = values[resampling.nearest]
    return carried


def by_interpolation(resampling: Resampling, values: Array, undefined: Mask | None = None) -> Array:
    """Resample continuous values: weighted means over the triangle around each target vertex.

    Parameters
    ----------
    values : (n_source,) or (n_source, k) array of float
    undefined : (n_source,) array of bool, optional
        Vertices with a placeholder, such as eccentricity 0 outside an atlas. They have no weight.
        If all corners are undefined, the nearest vertex is used.

    Returns
    -------
    (n_target,) or (n_target, k) array of float
        In the precision of `values`. NaN if any corner with a weight is NaN.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> halfway = Resampling(np.array([0]), csr_array([[0.5, 0.5, 0]]))
    >>> by_interpolation(halfway, np.array([1.0, 3.0, np.nan]))
    array([2.])
    >>> by_interpolation(halfway, np.array([1.0, 0.0, 0.0]), np.array([False, True, True]))
    array([1.])
    """
    weights = resampling.weights
    if undefined is not None:
        total = weights @ ~undefined
        weights = weights.copy()
        weights.data[undefined[weights.indices]] = 0
        weights.eliminate_zeros()
        weights.data /= np.repeat(total, np.diff(weights.indptr))
    carried: Array = weights @ np.asarray(values, dtype=np.float64)
    alone = np.diff(weights.indptr) == 0
    carried[alone] = values[resampling.nearest[alone]]
    return carried.astype(_precision(values))


def angles_by_interpolation(
    resampling: Resampling, angles: Array, undefined: Mask | None = None
) -> Array:
    """Resample angles in degrees: the direction of the weighted mean of unit vectors.

    Parameters
    ----------
    angles : (n_source,) array of float
    undefined : (n_source,) array of bool, optional
        As in :func:`by_interpolation`.

    Returns
    -------
    (n_target,) array of float
        Between -180 and 180; NaN if the vectors cancel out. A target vertex at a vertex of the
        source keeps its angle unchanged.

    References
    ----------
    Mardia and Jupp (2000), Directional Statistics, section 2.2.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> halfway = Resampling(np.array([0]), csr_array([[0.5, 0.5]]))
    >>> abs(angles_by_interpolation(halfway, np.array([170.0, -170.0])))
    array([180.])
    """
    radians = np.deg2rad(np.asarray(angles, dtype=np.float64))
    vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1)
    mean = by_interpolation(resampling, vectors, undefined)
    directions = np.rad2deg(np.arctan2(mean[:, 1], mean[:, 0]))
    directions[np.linalg.norm(mean, axis=1) < _TINY] = np.nan
    weights = resampling.weights
    is_vertex = np.diff(weights.indptr) == 1
    directions[is_vertex] = angles[weights.indices[weights.indptr[:-1][is_vertex]]]
    return directions.astype(_precision(angles))


class _Search:
    """The triangles around each vertex of a sphere, and the position of points in them."""

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

    def around(self, points: Array, nearby: NDArray[np.intp]) -> tuple[NDArray[np.intp], Array]:
        """Find the triangle around given vertices that contains a point best.

        Parameters
        ----------
        points : (n_points, 3) array of float
        nearby : (n_points,) or (n_points, k) array of int
            Vertices close to each point.

        Returns
        -------
        triangle : (n_points,) array of int
        weights : (n_points, 3) array of float
            The point is in the triangle if none is negative.
        """
        best = np.zeros(len(points), dtype=np.intp)
        weights = np.full((len(points), 3), -np.inf)
        for candidates in self._around[nearby].reshape(len(points), -1).T:
            its_weights = self._weights(points, candidates)
            better = its_weights.min(axis=1) > weights.min(axis=1)
            best[better] = candidates[better]
            weights[better] = its_weights[better]
        return best, weights

    def _weights(self, points: Array, triangle: NDArray[np.intp]) -> Array:
        shares = np.einsum("nij,nj->ni", self._normals[triangle], points)
        total = shares.sum(axis=1)
        # The line through the point must meet the triangle on this side of the sphere.
        usable = (triangle >= 0) & (total * self._volumes[triangle] > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside: Array = np.where(usable[:, np.newaxis], shares / total[:, np.newaxis], -np.inf)
        return inside


def _precision(values: Array) -> np.dtype[Any]:
    return values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)


def _on_unit_sphere(coordinates: Array) -> Array:
    points = np.asarray(coordinates, dtype=np.float64)
    on_sphere: Array = points / np.linalg.norm(points, axis=1, keepdims=True)
    return on_sphere
