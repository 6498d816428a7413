"""Surfaces as seen in a picture, on spheres and planes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshes import grid, icosphere

from bids_secondlevel.core.values import Mesh
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.reports.cortex.view import Layers, Window, frame, look, look_at, project

POSTERIOR = np.array([0.0, -1.0, 0.0])


def ball(level=3, radius=50.0, centre=(0.0, 0.0, 0.0)):
    points, triangles = icosphere(level, radius)
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    inwards = (np.cross(b - a, c - a) * a).sum(axis=1) < 0
    triangles[inwards] = triangles[inwards, ::-1]
    return Mesh(points + centre, triangles)


def towards(mesh, direction, degrees=20):
    """Vertices of a sphere around a direction."""
    points = mesh.coordinates - mesh.coordinates.mean(axis=0)
    cosine = points @ direction / np.linalg.norm(points, axis=1) / np.linalg.norm(direction)
    return cosine > np.cos(np.radians(degrees))


def seen_by_brute_force(projection, window, n_pixels):
    """Look through each pixel at every triangle."""
    left, _, bottom, _ = window.limits
    size = 2 * window.half_width / n_pixels
    vertices = np.full((n_pixels, n_pixels), -1)
    for row in range(n_pixels):
        for column in range(n_pixels):
            point = np.array([left + (column + 0.5) * size, bottom + (row + 0.5) * size])
            best = -np.inf
            for triangle in projection.triangles:
                corners = np.vstack([projection.positions[triangle].T, np.ones(3)])
                weights = np.linalg.solve(corners, [*point, 1])
                depth = weights @ projection.depth[triangle]
                if weights.min() >= 0 and depth > best:
                    best = depth
                    vertices[row, column] = triangle[weights.argmax()]
    return vertices


@pytest.mark.parametrize("sphere", [False, True])
def test_a_pixel_shows_what_looking_at_every_triangle_finds(sphere):
    rng = np.random.default_rng(2)
    mesh = ball(2)
    mesh = Mesh(
        mesh.coordinates * rng.uniform(0.9, 1.1, (len(mesh.coordinates), 1)), mesh.triangles
    )
    around = towards(mesh, POSTERIOR, 40)
    projection = project(mesh, around, "L", sphere=sphere)
    window = frame(projection, around, 7.0)
    found = look(projection, window, 24)
    np.testing.assert_array_equal(found, seen_by_brute_force(projection, window, 24))
    assert (found >= 0).mean() > 0.9


@given(
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda d: np.linalg.norm(d) > 0.1),
    st.sampled_from("LR"),
    st.booleans(),
)
def test_the_vertices_looked_at_are_in_the_window_from_wherever(direction, hemisphere, sphere):
    mesh = ball(2, centre=(13.0, -40.0, 5.0))
    around = towards(mesh, np.array(direction), 35)
    projection = project(mesh, around, hemisphere, sphere=sphere)
    window = frame(projection, around, 1.0)
    assert set(np.flatnonzero(around)) <= set(look(projection, window, 100).ravel())
    left, right, bottom, top = window.limits
    x, y = projection.positions[around].T
    assert left + 1 <= x.min() + 1e-9
    assert x.max() <= right - 1 + 1e-9
    assert bottom + 1 <= y.min() + 1e-9
    assert y.max() <= top - 1 + 1e-9


def test_a_vertex_is_where_its_pixel_is():
    mesh = ball(3)
    around = towards(mesh, POSTERIOR, 30)
    projection = project(mesh, around, "R", sphere=False)
    window = frame(projection, around, 2.0)
    vertices = look(projection, window, 200)
    left, _, bottom, _ = window.limits
    for vertex in np.flatnonzero(around):
        column, row = (projection.positions[vertex] - (left, bottom)) / (window.half_width / 100)
        assert vertices[int(row), int(column)] == vertex


@pytest.mark.parametrize(("hemisphere", "x"), [("L", -1), ("R", 1)])
def test_directions_for_who_stands_behind(hemisphere, x):
    mesh = ball(3)
    for sphere in (False, True):
        seen = project(mesh, towards(mesh, POSTERIOR), hemisphere, sphere=sphere)
        assert np.allclose(seen.directions["dorsal"], (0, 1), atol=1e-6)
        assert np.allclose(seen.directions["lateral"], (x, 0), atol=1e-6)
        assert np.allclose(seen.directions["anterior"], (0, 0), atol=1e-6)
        highest, rightmost = mesh.coordinates[:, 2].argmax(), mesh.coordinates[:, 0].argmax()
        assert seen.positions[highest, 1] > 40
        assert seen.positions[rightmost, 0] > 40


def test_what_lies_behind_is_hidden_and_what_faces_away_too():
    coordinates, triangles = grid(5)
    n = len(coordinates)
    nearer = coordinates * 0.5 + np.array(
        [1, -1, 3]
    )  # a smaller square above the middle of the other
    away = triangles[:, ::-1]
    mesh = Mesh(
        np.vstack([coordinates, nearer, nearer + np.array([0, 0, 1])]),
        np.vstack([triangles, triangles + n, away + 2 * n]),
    )
    around = np.arange(3 * n) < n
    projection = project(mesh, around, "L", sphere=False)
    assert abs(projection.directions["dorsal"][1]) < 1e-9  # seen from above: up is anterior
    assert projection.directions["anterior"] == (0, 1)
    vertices = look(projection, frame(projection, around, 0.5), 40)
    assert (vertices < 2 * n).all()
    assert set(range(n, 2 * n)) <= set(vertices.ravel())
    assert 12 not in vertices  # the middle of the square below
    assert (vertices == -1).any()  # the margin


def test_triangles_turned_inside_out_look_the_same():
    mesh = ball(2)
    around = towards(mesh, POSTERIOR, 40)
    pictures = []
    for triangles in (mesh.triangles, mesh.triangles[:, ::-1]):
        for sphere in (False, True):
            seen = project(Mesh(mesh.coordinates, triangles), around, "L", sphere=sphere)
            pictures.append(look(seen, frame(seen, around, 5.0), 50))
    np.testing.assert_array_equal(pictures[0], pictures[2])
    np.testing.assert_array_equal(pictures[1], pictures[3])


def test_an_unrolled_sphere_keeps_areas():
    mesh = ball(4, radius=100.0, centre=(5.0, 6.0, 7.0))
    around = towards(mesh, np.array([1.0, -2.0, 0.5]), 50)
    seen = project(mesh, around, "L", sphere=True)
    triangles = seen.triangles[around[seen.triangles].all(axis=1)]
    a, b, c = np.moveaxis(seen.positions[triangles], 1, 0)
    flat = np.abs(np.cross(np.pad(b - a, ((0, 0), (0, 1))), np.pad(c - a, ((0, 0), (0, 1))))[:, 2])
    a, b, c = np.moveaxis(mesh.coordinates[triangles], 1, 0)
    solid = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    np.testing.assert_allclose(flat / solid, 1, atol=0.01)
    # 2 R sin(angle / 2) from the middle.
    middle = mesh.coordinates[around].mean(axis=0) - (5, 6, 7)
    cosine = (mesh.coordinates - (5, 6, 7)) @ middle / np.linalg.norm(middle) / 100
    expected = 200 * np.sin(np.arccos(cosine[around]) / 2)
    np.testing.assert_allclose(np.linalg.norm(seen.positions[around], axis=1), expected, rtol=1e-2)


def test_slant_falls_off_towards_the_edge_of_a_ball():
    mesh = ball(3)
    seen = project(mesh, towards(mesh, POSTERIOR), "L", sphere=False)
    rings = [towards(mesh, POSTERIOR, degrees) for degrees in (15, 40, 65, 90)]
    means = [seen.slant[outer & ~inner].mean() for inner, outer in pairwise(rings)]
    assert seen.slant[rings[0]].min() > 0.9
    assert means == sorted(means, reverse=True)


def test_the_whole_hemisphere_is_seen_beside_the_part_of_it():
    mesh = ball(4)
    at_the_back = towards(mesh, POSTERIOR, 15)
    n = len(mesh.coordinates)
    layers = Layers(
        visual_area=at_the_back.astype(int),
        eccentricity=np.ones(n),
        polar_angle=None,
        z_maps={},
        retinotopic=at_the_back,
        rois={},
    )
    surface = DisplaySurface(mesh=mesh, shape="folded", name="a ball", shading=None)
    (view,) = look_at({"L": layers}, {"L": surface})
    radius = np.linalg.norm(mesh.coordinates, axis=1).max()
    assert view.whole.half_width == pytest.approx(radius, rel=0.02)
    assert view.window.half_width < 0.6 * radius
    # A disc in a square, whose pixels show what is where they are.
    assert (view.overview >= 0).mean() == pytest.approx(np.pi / 4, abs=0.03)
    low, high, bottom, _ = view.whole.limits
    rows, columns = np.nonzero(view.overview >= 0)
    step = (high - low) / view.overview.shape[0]
    x, _, z = mesh.coordinates[view.overview[rows, columns]].T
    np.testing.assert_allclose(low + (columns + 0.5) * step, x, atol=0.1 * radius)
    np.testing.assert_allclose(bottom + (rows + 0.5) * step, z, atol=0.1 * radius)


def test_a_knot_of_triangles_is_refused():
    rng = np.random.default_rng(0)
    mesh = Mesh(rng.normal(size=(300, 3)), rng.integers(0, 300, (40_000, 3)))
    around = np.ones(300, dtype=bool)
    projection = project(mesh, around, "L", sphere=False)
    with pytest.raises(ValueError, match="cannot be those of a surface"):
        look(projection, frame(projection, around, 1.0), 100)


def test_a_window_beside_the_surface_is_empty():
    mesh = ball(1)
    projection = project(mesh, towards(mesh, POSTERIOR, 60), "L", sphere=False)
    assert (look(projection, Window((500.0, 0.0), 10.0), 20) == -1).all()
