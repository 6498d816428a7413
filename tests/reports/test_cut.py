"""A mesh is whole around the visual areas, and has fewer vertices elsewhere."""

import numpy as np
import pytest
from meshes import icosphere

from bids_secondlevel.core.values import Mesh
from bids_secondlevel.maps.meshes import vertex_areas
from bids_secondlevel.reports.explore.cut import cut
from bids_secondlevel.reports.explore.pack import rounded


def outwards(points, triangles):
    """Order the corners of each triangle as those of a surface are."""
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    faces_in = (np.cross(b - a, c - a) * a).sum(axis=1) < 0
    return np.where(faces_in[:, None], triangles[:, ::-1], triangles)


POINTS, TRIANGLES = icosphere(5, 60.0)
TRIANGLES = outwards(POINTS, TRIANGLES)
AROUND = POINTS[:, 1] < -55


@pytest.fixture(scope="module")
def cutout():
    return cut(Mesh(POINTS, TRIANGLES), AROUND, 10.0)


def test_vertices_near_the_areas_are_as_they_were_and_so_are_their_triangles(cutout):
    distance = np.linalg.norm(POINTS[:, None] - POINTS[AROUND], axis=2).min(axis=1)
    near = distance <= 10
    np.testing.assert_array_equal(cutout.vertices, np.flatnonzero(near))
    n = len(cutout.vertices)
    np.testing.assert_array_equal(cutout.coordinates[:n], POINTS[near])
    whole = cutout.triangles[(cutout.triangles < n).all(axis=1)]
    expected = TRIANGLES[near[TRIANGLES].all(axis=1)]
    canonical = [
        {tuple(np.roll(t, -t.argmin())) for t in of} for of in (cutout.vertices[whole], expected)
    ]
    assert canonical[0] == canonical[1]  # with their sides outwards, too


def test_the_rest_has_fewer_vertices_and_the_same_shape(cutout):
    assert len(cutout.coordinates) < 0.6 * len(POINTS)
    radius = np.linalg.norm(cutout.coordinates, axis=1)
    assert radius.min() > 59
    assert radius.max() < 60.0001
    area = vertex_areas(cutout.coordinates, cutout.triangles).sum()
    assert area == pytest.approx(4 * np.pi * 60**2, rel=0.02)
    assert set(cutout.triangles.ravel()) == set(range(len(cutout.coordinates)))


def test_values_are_averaged_over_the_vertices_that_became_one(cutout):
    values = POINTS @ [1.0, 2.0, 3.0]
    expected = cutout.coordinates @ [1.0, 2.0, 3.0]
    np.testing.assert_allclose(cutout.averaged(values), expected, atol=1e-9)


def test_two_banks_that_nearly_touch_do_not_become_one():
    flat = POINTS * [1, 1, 0.01] + [0, 0, 2]  # all in the same layer of cells
    groups = cut(Mesh(flat, TRIANGLES), AROUND, 10.0).groups
    above, below = groups[flat[:, 2] > 2.2], groups[flat[:, 2] < 1.8]
    assert len(above) > 1000
    assert not set(above) & set(below)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rounded_values_have_three_digits_and_exact_ones_all(dtype):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=1000) * 10.0 ** rng.integers(-30, 30, 1000)).astype(dtype)
    values[:4] = [np.nan, np.inf, -np.inf, 0]
    exact = rng.random(1000) < 0.5
    result = rounded(values, exact)
    assert result.dtype == values.dtype
    np.testing.assert_array_equal(result[exact], values[exact])
    np.testing.assert_allclose(result, values, rtol=1e-3)
    assert (result != values).sum() > 300
