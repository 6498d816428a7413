"""Geometry of a surface mesh: how much area a vertex stands for, and which vertices touch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array, Mask

Triangles = NDArray[np.integer[Any]]

_EDGES = ((0, 1), (1, 2), (2, 0))


def check_triangles(triangles: Triangles, n_vertices: int) -> None:
    """Check that triangles name three vertices each, all of them on the mesh.

    Parameters
    ----------
    triangles : (n_triangles, 3) array of int
    n_vertices : int

    Raises
    ------
    ValueError
        If they do not.
    """
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise ValueError(
            f"triangles are an array of {triangles.shape} {triangles.dtype} values; "
            "expected (n, 3) whole numbers"
        )
    if triangles.size and (triangles.min() < 0 or triangles.max() >= n_vertices):
        raise ValueError(
            f"triangles name the vertices {triangles.min()} to {triangles.max()} of a mesh of "
            f"{n_vertices} vertices (0 to {n_vertices - 1})"
        )


def vertex_areas(coordinates: Array, triangles: Triangles) -> Array:
    """Share out the area of a mesh: a vertex gets a third of each triangle it belongs to.

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

    Raises
    ------
    ValueError
        If a triangle names a vertex that is not there.

    References
    ----------
    Winkler et al. (2012), NeuroImage 61, 1428-1443; FreeSurfer's ``?h.area`` is made like this.

    Examples
    --------
    >>> square = np.array([[0, 0, 0], [3, 0, 0], [3, 3, 0], [0, 3, 0]])
    >>> vertex_areas(square, np.array([[0, 1, 2], [0, 2, 3]]))
    array([3. , 1.5, 3. , 1.5])
    """
    check_triangles(triangles, len(coordinates))
    corners = np.asarray(coordinates, dtype=np.float64)[triangles]
    origin = corners[:, 0]
    normals = np.cross(corners[:, 1] - origin, corners[:, 2] - origin)
    thirds = np.linalg.norm(normals, axis=1) / 6
    areas: Array = np.bincount(triangles.ravel(), np.repeat(thirds, 3), minlength=len(coordinates))
    return areas


def patches(triangles: Triangles, mask: Mask) -> tuple[int, ...]:
    """Count the vertices of every connected patch of a mask.

    Two vertices of the mask are connected where they are the ends of an edge of a triangle.

    Parameters
    ----------
    triangles : (n_triangles, 3) array of int
        Vertices of each triangle, counted from 0.
    mask : (n_vertices,) array of bool

    Returns
    -------
    tuple of int
        Number of vertices of each patch, the largest first; none for an empty mask.

    Raises
    ------
    ValueError
        If a triangle names a vertex that is not there.

    Examples
    --------
    >>> strip = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]])
    >>> patches(strip, np.array([True, True, False, False, False, True]))
    (2, 1)
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    check_triangles(triangles, mask.size)
    n_inside = int(mask.sum())
    if n_inside == 0:
        return ()
    edges = np.concatenate([triangles[:, ends] for ends in _EDGES])
    number = np.cumsum(mask) - 1  # vertices of the mask, counted from 0
    start, end = number[edges[mask[edges].all(axis=1)]].T
    graph = coo_array((np.ones(start.size, dtype=bool), (start, end)), shape=(n_inside,) * 2)
    _, patch = connected_components(graph, directed=False)
    return tuple(sorted(np.bincount(patch).tolist(), reverse=True))
