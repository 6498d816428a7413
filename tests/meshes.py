"""Meshes of known geometry."""

import numpy as np


def icosphere(level, radius):
    """Coordinates and triangles of a sphere: an icosahedron, each triangle cut into four."""
    golden = (1 + np.sqrt(5)) / 2
    corners = [(0, a, b * golden) for a in (1, -1) for b in (1, -1)]
    points = np.array([np.roll(corner, shift) for shift in range(3) for corner in corners])
    # The triangles of an icosahedron are the triples of corners at the edge length of 2.
    near = np.isclose(np.linalg.norm(points[:, None] - points, axis=2), 2)
    triangles = np.array(
        [
            (a, b, c)
            for a in range(12)
            for b in range(a)
            for c in range(b)
            if near[a, b] and near[b, c] and near[a, c]
        ]
    )
    for _ in range(level):
        edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        unique, number = np.unique(edges, axis=0, return_inverse=True)
        ab, bc, ca = (len(points) + number.reshape(-1, 3)).T
        points = np.vstack([points, points[unique].sum(axis=1)])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        a, b, c = triangles.T
        triangles = np.vstack(
            [np.stack(t, axis=1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
        )
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True), triangles


def grid(size, step=1.0):
    """Flat square of `size` x `size` vertices; each cell is cut along its falling diagonal."""
    rows, columns = np.mgrid[:size, :size]
    coordinates = np.stack([columns, -rows, np.zeros_like(rows)], axis=-1).reshape(-1, 3) * step
    vertex = np.arange(size**2).reshape(size, size)
    corners = (vertex[:-1, :-1], vertex[:-1, 1:], vertex[1:, :-1], vertex[1:, 1:])
    a, b, c, d = (corner.ravel() for corner in corners)
    return coordinates, np.vstack([np.stack(t, axis=1) for t in ((a, d, b), (a, c, d))])
