import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from meshes import grid, icosphere

from bids_secondlevel.maps.meshes import patches, vertex_areas

GRID = 7


def planted(*blocks):
    """Mask of blocks (rows, columns) of the grid's vertices."""
    mask = np.zeros((GRID, GRID), bool)
    for rows, columns in blocks:
        mask[rows, columns] = True
    return mask.ravel()


def test_area_of_a_sphere_converges_from_below():
    radius = 50.0
    share = [
        vertex_areas(*icosphere(level, radius)).sum() / (4 * np.pi * radius**2)
        for level in range(6)
    ]
    assert share == sorted(share)
    # An icosahedron, worked out by hand, against its sphere.
    edge = 1 / np.sin(2 * np.pi / 5)
    assert share[0] == pytest.approx(5 * np.sqrt(3) * edge**2 / (4 * np.pi))
    assert 0.999 < share[-1] < 1
    error = 1 - np.array(share)
    assert error[-1] / error[-2] == pytest.approx(0.25, abs=0.01)


def test_every_vertex_of_an_icosahedron_has_the_same_area():
    areas = vertex_areas(*icosphere(0, 1.0))
    np.testing.assert_allclose(areas, areas[0])


def test_area_of_a_planted_patch_on_a_flat_grid():
    coordinates, triangles = grid(GRID, step=2.0)
    areas = vertex_areas(coordinates, triangles)
    assert areas.dtype == np.float64
    assert areas.sum() == pytest.approx(4 * (GRID - 1) ** 2)
    # An inner vertex has a third of six triangles of 2 mm^2 each.
    assert areas[planted((slice(2, 5), slice(1, 4)))].sum() == pytest.approx(9 * 4.0)


def test_area_is_accumulated_in_64_bits_and_does_not_move_with_the_mesh():
    coordinates, triangles = grid(GRID, step=0.5)
    tilt = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(
        vertex_areas((coordinates @ tilt + 70.0), triangles), vertex_areas(coordinates, triangles)
    )
    areas = vertex_areas(coordinates.astype(">f4"), triangles.astype(">i4"))
    np.testing.assert_array_equal(areas, vertex_areas(coordinates, triangles))


def test_a_vertex_without_triangle_has_no_area():
    coordinates = np.vstack([np.eye(3), [[9, 9, 9]]])
    assert vertex_areas(coordinates, np.array([[0, 1, 2]]))[3] == 0


def test_planted_islands_are_counted_the_largest_first():
    _, triangles = grid(GRID)
    mask = planted((slice(0, 2), slice(0, 2)), (slice(3, 6), slice(0, 3)), (6, 6))
    assert patches(triangles, mask) == (9, 4, 1)


def test_diagonal_vertices_touch_only_along_an_edge():
    _, triangles = grid(GRID)  # each cell is cut along its falling diagonal
    assert patches(triangles, planted((0, 0), (1, 1))) == (2,)
    assert patches(triangles, planted((0, 1), (1, 0))) == (1, 1)


def test_all_and_none():
    _, triangles = grid(GRID)
    assert patches(triangles, np.ones(GRID**2, bool)) == (GRID**2,)
    assert patches(triangles, np.zeros(GRID**2, bool)) == ()


TRIANGLES = grid(GRID)[1]
NEIGHBOURS = {
    vertex: {other for corners in TRIANGLES.tolist() if vertex in corners for other in corners}
    for vertex in range(GRID**2)
}


@given(mask=hnp.arrays(bool, GRID**2))
def test_patches_are_those_of_a_flood_fill(mask):
    left, sizes = set(np.flatnonzero(mask).tolist()), []
    while left:
        front, size = [left.pop()], 0
        while front:
            size += 1
            new = NEIGHBOURS[front.pop()] & left
            left -= new
            front += new
        sizes.append(size)
    assert patches(TRIANGLES, mask) == tuple(sorted(sizes, reverse=True))
