"""Cut a mesh to what is explored: all vertices around the visual areas, and fewer elsewhere."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array, Mask, Mesh
from bids_secondlevel.maps.meshes import Triangles

REACH = 10.0
"""Around visual areas and ROIs, in mm: within it, pages keep each vertex."""

_CELL = 4.0
"""Width in mm of the cells in which the vertices of the rest become one."""

_FEW = 8_000
"""A rest of as many vertices stays as it is."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Cutout:
    """A mesh that has all vertices near some of its vertices, and fewer elsewhere."""

    vertices: NDArray[np.intp]
    """Of the whole mesh, those that are kept, in ascending order: (n,)."""
    coordinates: Array
    """In mm: of the vertices that are kept, then of the rest, (n + n_rest, 3)."""
    triangles: Triangles
    """Places in `coordinates`, (n_triangles, 3)."""
    groups: NDArray[np.intp]
    """The place of each vertex of the whole mesh, (n_vertices,)."""

    def averaged(self, values: Array) -> Array:
        """Average values of all vertices over those that became one: (n + n_rest,)."""
        return _average(np.nan_to_num(np.asarray(values, dtype=np.float64)), self.groups)


def cut(mesh: Mesh, around: Mask, reach: float) -> Cutout:
    """Keep the vertices near some vertices, and thin the others out.

    The others are averaged in cells of a grid, apart by the octant that the surface faces, so
    that the two banks of a sulcus do not become one.

    Parameters
    ----------
    around : (n_vertices,) array of bool
        At least one.
    reach
        In mm along a straight line.

    References
    ----------
    Rossignac and Borrel (1993), Modeling in Computer Graphics, 455-465: vertex clustering.
    """
    from scipy.spatial import cKDTree

    points = np.asarray(mesh.coordinates, dtype=np.float64)
    distance, _ = cKDTree(points[around]).query(points, distance_upper_bound=reach)
    near = np.isfinite(distance)
    groups = np.cumsum(near) - 1
    if not near.all():
        groups[~near] = near.sum() + _cells(points, mesh.triangles, ~near)
    triangles = groups[mesh.triangles]
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    return Cutout(
        vertices=np.flatnonzero(near),
        coordinates=np.stack([_average(axis, groups) for axis in points.T], axis=1),
        triangles=_sorted(triangles),
        groups=groups,
    )


def _cells(points: Array, triangles: Triangles, others: Mask) -> NDArray[np.intp]:
    """Give the cell that each of the other vertices lies in: (n_others,)."""
    if others.sum() <= _FEW:
        return np.arange(others.sum())
    corners = points[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [
            np.bincount(triangles.ravel(), np.repeat(along, 3), minlength=len(points))
            for along in faces.T
        ],
        axis=1,
    )
    cells = np.floor(points[others] / _CELL).astype(np.int64)
    octants = (normals[others] > 0) @ np.array([1, 2, 4])
    low, sizes = cells.min(axis=0), np.ptp(cells, axis=0) + 1
    places = np.ravel_multi_index([*(cells - low).T, octants], (*sizes, 8))  # one number each
    _, numbers = np.unique(places, return_inverse=True)
    return numbers.reshape(-1)


def _average(values: Array, groups: NDArray[np.intp]) -> Array:
    """Average over groups; a value alone is not changed."""
    mean: Array = np.bincount(groups, values) / np.bincount(groups)
    return mean


def _sorted(triangles: Triangles) -> Triangles:
    """Begin each triangle with its smallest corner, and sort them: this packs best."""
    first = triangles.argmin(axis=1)
    turned = np.take_along_axis(triangles, (first[:, None] + np.arange(3)) % 3, axis=1)
    return turned[np.lexsort(turned.T[::-1])]
