"""Carrying values over spheres: exact where vertices agree, close everywhere else."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshes import icosphere
from nilearn.datasets import fetch_surf_fsaverage
from spheres import uneven_sphere

from bids_secondlevel.core.values import Mesh
from bids_secondlevel.maps.meshes import (
    angles_by_interpolation,
    by_interpolation,
    by_nearest,
    nested,
    on_spheres,
)


def fsaverage5(side):
    sphere = nib.load(fetch_surf_fsaverage("fsaverage5")[f"sphere_{side}"])
    return Mesh(*(array.data for array in sphere.darrays))


def longest_edge(mesh):
    corners = mesh.coordinates[mesh.triangles]
    return np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_surface_carried_to_itself_is_unchanged_to_the_bit(side):
    mesh = fsaverage5(side)
    same = on_spheres(mesh, mesh.coordinates)
    rng = np.random.default_rng(0)
    values = rng.normal(size=10242).astype("f4")
    values[rng.random(10242) < 0.2] = np.nan
    assert np.array_equal(by_interpolation(same, values), values, equal_nan=True)
    assert by_interpolation(same, values).dtype == np.float32
    labels = rng.integers(0, 13, 10242)
    assert np.array_equal(by_nearest(same, labels), labels)
    angles = rng.uniform(-180, 180, 10242)
    assert np.array_equal(angles_by_interpolation(same, angles), angles)


@pytest.mark.parametrize("side", ["left", "right"])
def test_coordinates_of_the_sphere_are_carried_to_within_an_edge(side):
    mesh = fsaverage5(side)
    coordinates, triangles = icosphere(5, 100.0)
    for source, target in ((mesh, coordinates), (Mesh(coordinates, triangles), mesh.coordinates)):
        carry = on_spheres(source, target)
        carried = by_interpolation(carry, np.asarray(source.coordinates, float))
        # A chord lies below its arc: by edge^2 / (8 radius) where it is highest.
        assert np.linalg.norm(carried - target, axis=1).max() < longest_edge(source) / 10
        nearest = np.linalg.norm(source.coordinates[carry.nearest] - target, axis=1)
        assert nearest.max() < longest_edge(source)


def test_fsaverage5_is_the_first_vertices_of_fsaverage():
    values = np.arange(163842.0)
    carry = nested(163842, 10242)
    for carried in (by_nearest(carry, values), by_interpolation(carry, values)):
        assert np.array_equal(carried, np.arange(10242.0))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(20, 300), st.integers(1, 200))
def test_weights_are_shares_and_linear_maps_are_carried_exactly(seed, n_source, n_target):
    source = Mesh(*uneven_sphere(n_source, seed))
    target, _ = uneven_sphere(max(n_target, 20), seed + 1)
    carry = on_spheres(source, target)
    assert (carry.weights.data > 0).all()
    assert np.allclose(carry.weights.sum(axis=1), 1)
    # The point lies on the line from the centre through the vertex.
    points = by_interpolation(carry, source.coordinates.astype(float))
    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert np.allclose(directions, target / 100, atol=1e-4)
    # Each is nearest indeed.
    distances = np.linalg.norm(source.coordinates[:, None] - target, axis=2)
    assert np.allclose(distances[carry.nearest, np.arange(len(target))], distances.min(axis=0))
    constant = np.full(n_source, 7.0)
    assert np.allclose(by_interpolation(carry, constant), 7)


def test_nan_stays_nan_and_spreads_no_further_than_its_triangles():
    source = Mesh(*icosphere(3, 100.0))
    target, _ = icosphere(4, 100.0)
    values = np.zeros(len(source.coordinates))
    values[5] = np.nan
    carry = on_spheres(source, target)
    carried = by_interpolation(carry, values)
    touches = carry.weights.toarray()[:, 5] > 0
    assert 0 < touches.sum() < 50
    assert np.array_equal(np.isnan(carried), touches)
    assert np.isinf(by_interpolation(carry, np.where(np.isnan(values), np.inf, 0.0))).sum() == (
        touches.sum()
    )


def test_placeholders_are_not_mixed_into_what_lies_beside_them():
    source = Mesh(*icosphere(3, 100.0))
    target, _ = icosphere(4, 100.0)
    inside = source.coordinates[:, 1] > 50
    carry = on_spheres(source, target)
    carried = by_interpolation(carry, np.where(inside, 80.0, 0.0), ~inside)
    assert set(np.unique(np.round(carried, 9))) == {0.0, 80.0}
    mixed = by_interpolation(carry, np.where(inside, 80.0, 0.0))
    assert ((mixed > 1) & (mixed < 79)).any()


def test_angles_cross_the_lower_meridian_the_short_way():
    source = Mesh(*icosphere(4, 100.0))
    target, _ = uneven_sphere(500, 3)
    x, _, z = source.coordinates.T
    carried = angles_by_interpolation(on_spheres(source, target), np.rad2deg(np.arctan2(x, z)))
    expected = np.rad2deg(np.arctan2(target[:, 0], target[:, 2]))
    difference = (carried - expected + 180) % 360 - 180
    is_defined = np.hypot(target[:, 0], target[:, 2]) > 20  # away from the poles of the angle
    assert np.abs(difference[is_defined]).max() < 3


def test_opposite_angles_cancel_out_to_nan():
    source = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    carry = on_spheres(source, np.array([[1.0, 1.0, 0.0]]))
    assert np.isnan(angles_by_interpolation(carry, np.array([0.0, 180.0, 0.0])))


def test_a_point_in_a_hole_has_the_nearest_vertex():
    coordinates, triangles = icosphere(3, 100.0)
    kept = (coordinates[triangles][:, :, 1] < 60).all(axis=1)
    carry = on_spheres(Mesh(coordinates, triangles[kept]), np.array([[0.0, 100.0, 0.0]]))
    assert carry.weights.data.tolist() == [1.0]
    assert carry.weights.indices.tolist() == carry.nearest.tolist()
