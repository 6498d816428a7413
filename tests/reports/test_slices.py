"""Slices of volumes: a voxel is drawn where it is in the head, however the grid is stored."""

import re

import numpy as np
import pytest
from test_picture import LEGEND, images, texts

from bids_secondlevel.core.roi_rule import OVERLAP_COLOUR, components, roi_colours
from bids_secondlevel.maps.volumes import Grid
from bids_secondlevel.reports.cortex.picture import draw_slices
from bids_secondlevel.reports.cortex.slices import cut, layers_in, look_through
from bids_secondlevel.reports.cortex.view import Layers

SIZES = np.array([2.0, 3.0, 2.5])
SHAPE = np.array([20, 12, 16])
FIRST = np.array([-19.0, -90.0, -20.0])
"""A grid to the right, to the front, and up; voxels are told by their numbers in it."""


def grid_as(order, steps):
    """The same voxels stored with other axes, and how to store values in that way."""
    affine = np.eye(4)
    affine[:3, 3] = FIRST
    for axis, (world, step) in enumerate(zip(order, steps, strict=True)):
        affine[:3, axis] = 0
        affine[world, axis] = step * SIZES[world]
        if step < 0:
            affine[world, 3] += (SHAPE[world] - 1) * SIZES[world]
    flip = tuple(slice(None, None, step) for step in steps)
    shape = tuple(int(n) for n in SHAPE[list(order)])
    return Grid(shape, affine), lambda values: values.transpose(order)[flip].ravel()


RAS, _ = grid_as((0, 1, 2), (1, 1, 1))
_, J, K = np.indices(SHAPE)
X = FIRST[0] + SIZES[0] * np.indices(SHAPE)[0]
# Visual areas on both sides of the midline, in slices 2 to 10 (y = -84 to -60).
AREA = np.where(
    (np.abs(X) > 2) & (np.abs(X) < 10) & (J >= 2) & (J <= 10) & (K > 4) & (K < 10), 1, 0
)


def make_half(hemi, store=np.ravel, **changed):
    """One half, as it comes from files: the other has no area, no ROI, and NaN for z."""
    half = (X < 0) == (hemi == "L")
    area = np.where(half, AREA, 0)
    z = np.where(half, np.where(K < 7, 6.0, -6.0), np.nan)
    inside = area == 1
    given = {
        "visual_area": area,
        "eccentricity": J / 2.0,
        "polar_angle": np.where(half, -90.0 if hemi == "R" else 90.0, np.nan),
        "z_maps": {"low": z},
        "retinotopic": inside,
        "rois": {"low": inside & (z > 2)},
        **changed,
    }

    def stored(value):
        if isinstance(value, dict):
            return {name: stored(part) for name, part in value.items()}
        return None if value is None else store(value)

    return Layers(**{name: stored(value) for name, value in given.items()})


def halves(store=np.ravel, **changed):
    return {hemi: make_half(hemi, store, **changed) for hemi in "LR"}


def is_coloured(pixels, colour):
    return np.isclose(pixels / 255, components(colour), atol=0.02).all(axis=2)


@pytest.mark.parametrize(
    ("order", "steps"),
    [
        ((0, 1, 2), (1, 1, 1)),  # RAS
        ((0, 1, 2), (-1, 1, 1)),  # LAS
        ((0, 2, 1), (-1, -1, 1)),  # LIA, as FreeSurfer has it
        ((1, 2, 0), (1, 1, 1)),
        ((2, 0, 1), (-1, -1, -1)),
    ],
)
def test_a_planted_voxel_is_left_and_dorsal_in_its_slice(order, steps):
    grid, store = grid_as(order, steps)
    planted = np.zeros(SHAPE, bool)
    planted[6, 3, 9] = True  # x = -7 is left; the second row from above; the posterior third
    maps = halves(store, rois={"one": planted})
    views, tilt = look_through(maps, grid)
    assert [view.name for view in views] == ["y = -81", "y = -72", "y = -63"]
    assert tilt == 0
    pictures = images(draw_slices(maps, grid, LEGEND).svg)
    seen = [is_coloured(pixels, roi_colours(["one"])["one"]) for pixels in pictures[3::4]]
    assert [mask.any() for mask in seen] == [True, False, False]
    row, column = np.nonzero(seen[0])
    # The areas are 20 mm wide and 12.5 mm high, the latter from 12.5 mm above the lowest face of
    # the grid. The window is 10 mm wider on both sides: 40 mm, with the areas in its middle.
    mm = 40 / 256
    assert (column.min() * mm, (column.max() + 1) * mm) == pytest.approx((20 - 8, 20 - 6), abs=mm)
    bottom = 12.5 + 12.5 / 2 - 20
    assert (row.min() * mm, (row.max() + 1) * mm) == pytest.approx(
        (22.5 - bottom, 25 - bottom), abs=mm
    )


def test_every_pixel_shows_the_voxel_that_it_lies_in():
    around = np.zeros(SHAPE, bool)
    around[0, 4, 0] = True  # in a corner, so that the window leaves the volume
    slices = cut(RAS, around.ravel(), around.ravel(), margin=10, n_pixels=200)
    (position,), (voxels,) = slices.positions, slices.voxels
    assert position == FIRST[1] + 4 * SIZES[1]
    left, right, bottom, top = slices.window.limits
    assert right - left == top - bottom == 2.5 + 20
    place = left + (np.arange(200) + 0.5) * (right - left) / 200
    height = bottom + (np.arange(200) + 0.5) * (top - bottom) / 200
    is_inside = (place > 0)[None, :] & (height > 0)[:, None]
    np.testing.assert_array_equal(slices.pixels >= 0, is_inside)
    i, j, k = np.unravel_index(voxels[slices.pixels[is_inside]], RAS.shape)
    rows, columns = np.nonzero(is_inside)
    assert (j == 4).all()
    np.testing.assert_array_equal(i, place[columns] // SIZES[0])
    np.testing.assert_array_equal(k, height[rows] // SIZES[2])


@pytest.mark.parametrize("degrees", [10, 30])
def test_oblique_grids_are_cut_along_their_voxels_and_say_so(degrees):
    turn = np.eye(4)
    a = np.radians(degrees)
    turn[1:3, 1:3] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    grid, store = grid_as((2, 0, 1), (-1, 1, -1))
    oblique = Grid(grid.shape, turn @ grid.affine)
    maps = halves(store)
    assert look_through(maps, oblique)[1] == pytest.approx(degrees)
    svg = draw_slices(maps, oblique, LEGEND).svg
    straight = draw_slices(maps, grid, LEGEND).svg
    for one, other in zip(images(svg), images(straight), strict=True):
        np.testing.assert_array_equal(one, other)
    assert f"are {degrees} degrees off coronal" in " ".join(texts(svg))
    assert "off coronal" not in " ".join(texts(straight))


def test_the_halves_are_put_together_each_from_its_own():
    maps = halves()
    first, *_ = cut(RAS, AREA.ravel() > 0, AREA.ravel() > 0, margin=1, n_pixels=8).voxels
    joined = layers_in(first, maps, RAS)
    is_left = X.ravel()[first] < 0
    np.testing.assert_array_equal(joined.visual_area, AREA.ravel()[first])
    np.testing.assert_array_equal(joined.polar_angle, np.where(is_left, 90, -90))
    assert np.isfinite(joined.z_maps["low"]).all()
    expected = maps["L"].rois["low"] | maps["R"].rois["low"]
    np.testing.assert_array_equal(joined.rois["low"], expected[first])


def test_what_a_half_lacks_is_blank_there_and_told():
    whole, lacking = make_half("R"), make_half("L", z_maps={"low": None}, rois={"low": None})
    first, *_ = cut(RAS, AREA.ravel() > 0, AREA.ravel() > 0, margin=1, n_pixels=8).voxels
    joined = layers_in(first, {"L": lacking, "R": whole}, RAS)
    is_left = X.ravel()[first] < 0
    np.testing.assert_array_equal(np.isnan(joined.z_maps["low"]), is_left)
    np.testing.assert_array_equal(joined.rois["low"], whole.rois["low"][first])
    svg = draw_slices({"L": lacking, "R": whole}, RAS, LEGEND).svg
    assert f"low: n/a L, {whole.rois['low'].sum()} R" in texts(svg)
    assert "no map" not in texts(svg)
    neither = halves(z_maps={"low": None}, rois={"low": None})
    written = texts(draw_slices(neither, RAS, LEGEND).svg)
    assert written.count("no map") == written.count("no ROI") == 3  # in each slice


@pytest.mark.parametrize("hemi", ["L", "R"])
def test_one_half_alone(hemi):
    svg = draw_slices({hemi: make_half(hemi)}, RAS, LEGEND).svg
    eccentricity, _, _, rois = images(svg)[:4]
    for pixels in (eccentricity, rois):
        assert np.ptp(pixels.astype(int), axis=2).any()
    (_, column) = np.nonzero(is_coloured(rois, roi_colours(["low"])["low"]))
    assert column.size
    assert (column.mean() + 0.5) / 256 == pytest.approx(0.5, abs=0.01)  # in the middle
    assert f"low: {make_half(hemi).rois['low'].sum()} {hemi}" in texts(svg)


def test_empty_rois_and_maps_that_are_nan():
    nothing, nan = np.zeros(SHAPE, bool), np.full(SHAPE, np.nan)
    maps = halves(rois={"low": nothing}, retinotopic=nothing, z_maps={"low": nan}, eccentricity=nan)
    svg = draw_slices(maps, RAS, LEGEND).svg
    assert "low: 0 L, 0 R" in texts(svg)
    eccentricity, _, z, rois = images(svg)[:4]
    for pixels in (z, rois):
        assert np.ptp(pixels.astype(int), axis=2).max() == 0  # grey
    # Visual areas stand out of voxels without any value, and these of what is not in the volume.
    assert len(np.unique(rois)) == 3
    assert np.ptp(eccentricity.astype(int), axis=2).max() == 0


def test_voxels_of_several_rois_are_pale_within_the_outlines_of_each():
    inside = AREA == 1
    maps = halves(rois={"a": inside, "b": inside & (K < 7)})
    svg = draw_slices(maps, RAS, LEGEND).svg
    pixels = images(svg)[3]
    pale, _ = np.nonzero(
        np.isclose(pixels / 255, 0.95, atol=0.03).all(axis=2) & (pixels < 255).all(2)
    )
    of_a, of_b = (
        np.nonzero(is_coloured(pixels, colour))[0] for colour in roi_colours(["a", "b"]).values()
    )
    assert pale.size
    assert of_b.min() < pale.min() < pale.max() < of_b.max()
    assert of_a.max() > of_b.max()
    assert not is_coloured(pixels, OVERLAP_COLOUR).any()
    assert "white: in several ROIs" in texts(svg)


def test_what_is_measured_is_drawn_inside_the_rois_of_both_halves():
    inside = (AREA == 1) & (J == 3)
    values = np.where(X < 0, 2.0, -2.0)
    values[0, 0, 0] = 1000.0  # in no ROI
    values[6, 3, 9] = np.nan
    maps = {
        hemi: make_half(
            hemi,
            rois={"one": inside & ((X < 0) == (hemi == "L"))},
            measured={"attend": values, "none": None},
        )
        for hemi in "LR"
    }
    svg = draw_slices(maps, RAS, LEGEND).svg
    attend, none = images(svg)[4:6]  # of the slice that the ROI is in
    redness = attend[..., 0].astype(int) - attend[..., 2]
    red, blue = redness > 50, redness < -50
    assert red.any()
    assert blue.any()
    assert np.nonzero(red)[1].max() < np.nonzero(blue)[1].min()
    assert np.ptp(none.astype(int), axis=2).max() == 0
    written = texts(svg)
    assert {"-2", "2", "Voxels without data", "attend: 1 L, 0 R", "no map"} <= {*written}


def test_the_whole_slice_is_seen_beside_the_part_of_it():
    (view, *_), _ = look_through(halves(), RAS)
    width, height = SHAPE[0] * SIZES[0], SHAPE[2] * SIZES[2]
    assert {*view.overview[view.overview >= 0]} == {*range(SHAPE[0] * SHAPE[2])}
    low, high, bottom, top = view.whole.limits
    assert (low, high) == (0, max(width, height))
    assert bottom + top == height
    columns = np.nonzero((view.overview >= 0).any(axis=0))[0]
    assert columns.size == view.overview.shape[1]


def test_slices_are_those_with_the_rois():
    rois = np.zeros(SHAPE, bool)
    rois[6, [2, 10], 6] = True
    views, _ = look_through(halves(rois={"one": rois}), RAS)
    assert [view.name for view in views] == ["y = -84", "y = -72", "y = -60"]
    thin = AREA * (J == 5)
    views, _ = look_through(halves(visual_area=thin, retinotopic=thin > 0), RAS)
    assert [view.name for view in views] == ["y = -75"]


def test_the_picture_says_which_side_is_which_and_is_small():
    svg = draw_slices(halves(), RAS, LEGEND).svg
    written = texts(svg)
    assert "Voxels of each ROI" in written
    assert written.count("L") == written.count("R") == 3 * 4
    assert "L is left in the head, R is right" in " ".join(written)
    assert len(svg) < 500_000
    assert draw_slices(halves(), RAS, LEGEND).svg == svg
    assert not re.search(rb"\d{4}-\d\d-\d\dT", svg)  # no date


def test_a_large_volume_takes_no_more_than_its_slices():
    shape = tuple(8 * SHAPE)
    area = np.kron(AREA, np.ones((8, 8, 8), np.int8)).astype(np.int8)
    affine = RAS.affine.copy()
    affine[:3, :3] /= 8
    flat = area.ravel()
    layers = Layers(
        visual_area=flat,
        eccentricity=flat * 2.0,
        polar_angle=None,
        z_maps={"z": flat * 3.0},
        retinotopic=flat > 0,
        rois={"one": flat > 0},
    )
    views, _ = look_through({"L": layers, "R": layers}, Grid(shape, affine))
    assert {view.layers.visual_area.size for view in views} == {shape[0] * shape[2]}
