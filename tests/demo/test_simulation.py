"""The analytic model: its inverse, its borders, its hemispheres, and the noise."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_secondlevel.core.hemispheres import HEMISPHERES
from bids_secondlevel.demo.simulation import (
    FOVEA,
    PERIPHERY,
    WedgeDipole,
    ar1_noise,
    block_design,
    flatten_occipital_cortex,
    participant_effects,
    responds_to,
    simulated_response,
)
from bids_secondlevel.demo.study import flatten_fsaverage
from bids_secondlevel.rois.quality import QUADRANTS

AREAS = st.sampled_from([1, 2, 3])
ECCENTRICITIES = st.floats(0.01, 79.0)
# A little off the meridians, which two areas share.
ANGLES = st.one_of(st.floats(0.01, 89.99), st.floats(90.01, 179.99))
MODELS = st.builds(
    WedgeDipole, k=st.floats(5, 40), a=st.floats(0.2, 2), rotation=st.floats(-180, 180)
)


@pytest.fixture(scope="module")
def flat():
    return flatten_fsaverage()


@pytest.fixture(scope="module")
def surfaces():
    """Sphere and white surface of fsaverage5, by hemisphere."""
    from nilearn.datasets import load_fsaverage

    meshes = load_fsaverage("fsaverage5")
    sides = {"L": "left", "R": "right"}
    return {
        hemi: tuple(
            np.asarray(meshes[name].parts[side].coordinates, dtype=float)
            for name in ("sphere", "white_matter")
        )
        for hemi, side in sides.items()
    }


@given(MODELS, AREAS, ECCENTRICITIES, ANGLES)
def test_cortex_to_field_inverts_field_to_cortex(model, area, eccentricity, angle):
    maps = model.to_field(np.atleast_1d(model.to_cortex(area, eccentricity, angle)))
    assert maps.visual_area == [area]
    assert maps.eccentricity == pytest.approx([eccentricity], rel=1e-6)
    assert maps.angle == pytest.approx([angle], abs=1e-5)


@given(MODELS, st.complex_numbers(max_magnitude=60))
def test_field_to_cortex_inverts_cortex_to_field(model, position):
    maps = model.to_field(np.array([position]))
    if maps.visual_area[0] == 0:
        assert maps.eccentricity == maps.angle == maps.sigma == [0]
        return
    assert 0 <= maps.eccentricity[0] <= model.periphery
    assert 0 <= maps.angle[0] <= 180 + 1e-9
    back = model.to_cortex(maps.visual_area, maps.eccentricity, maps.angle)
    # A point of the horizontal meridian of V3 or V2 lies on both halves of the area.
    if abs(maps.angle[0] - 90) > 1e-6:
        assert back == pytest.approx([position], abs=1e-5)


@given(MODELS, ECCENTRICITIES, st.sampled_from([0.0, 180.0]))
def test_v1_and_v2_share_the_vertical_meridian(model, eccentricity, angle):
    assert model.to_cortex(1, eccentricity, angle) == pytest.approx(
        model.to_cortex(2, eccentricity, angle)
    )


@given(MODELS, ECCENTRICITIES, st.sampled_from([90 - 1e-9, 90 + 1e-9]))
def test_v2_and_v3_share_the_horizontal_meridian(model, eccentricity, angle):
    assert model.to_cortex(2, eccentricity, angle) == pytest.approx(
        model.to_cortex(3, eccentricity, angle), abs=1e-6
    )


def test_angle_is_mirrored_at_the_borders():
    """Walking from the calcarine towards ventral: up in V1, down in V2, up again in V3."""
    walk = WedgeDipole().to_field(20 + 1j * np.linspace(0.01, 45, 400))
    for area, sign in ((1, -1), (2, 1), (3, -1)):
        angles = walk.angle[walk.visual_area == area]
        assert angles.size > 10
        assert (np.sign(np.diff(angles)) == sign).all()
    assert (np.diff(walk.visual_area[walk.visual_area > 0]) >= 0).all()
    assert (walk.angle <= 90).all()


def test_the_fovea_is_the_origin_and_magnification_falls():
    model = WedgeDipole()
    assert abs(model.to_cortex(1, 0.0, 90.0)) < 1e-9
    along = model.to_cortex(1, np.arange(0.0, 80.0), 90.0)
    assert along.imag == pytest.approx(np.zeros(80), abs=1e-9)
    magnification = np.diff(along.real)
    assert (magnification > 0).all()
    assert (np.diff(magnification) < 0).all()


def test_positions_far_away_are_in_no_area():
    """The complex exponential is periodic, the map is not."""
    model = WedgeDipole()
    position = model.to_cortex(1, 3.0, 60.0)
    period = 2j * np.pi * model.k
    away = np.array([position + period, position - period, 1e3, -1e3, 1e3j])
    assert not model.to_field(away).visual_area.any()


def test_receptive_fields_grow_with_eccentricity_and_area():
    model = WedgeDipole()
    area, eccentricity = np.repeat([1, 2, 3], 3), np.tile([1.0, 4.0, 16.0], 3)
    sigma = model.to_field(model.to_cortex(area, eccentricity, np.full(9, 60.0))).sigma
    sizes = sigma.reshape(3, 3)
    assert (np.diff(sizes, axis=0) > 0).all()
    assert (np.diff(sizes, axis=1) > 0).all()


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_flattening_keeps_distances_from_the_fovea(surfaces, hemisphere):
    sphere, white = surfaces[hemisphere]
    flat = flatten_occipital_cortex(sphere, white, hemisphere)
    fovea = np.argmin(np.abs(flat))
    assert abs(flat[fovea]) < 1e-6
    unit = sphere / np.linalg.norm(sphere, axis=1)[:, None]
    great_circle = 100 * np.arccos(np.clip(unit @ unit[fovea], -1, 1))
    assert np.abs(flat) == pytest.approx(great_circle, abs=0.05)
    mirrored = np.array([-1 if hemisphere == "L" else 1, 1, 1])
    periphery = np.argmin(np.linalg.norm(white - mirrored * PERIPHERY, axis=1))
    assert flat[periphery].real > 0
    assert flat[periphery].imag == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(white[fovea] - mirrored * FOVEA) < 10


def test_a_mirrored_brain_has_mirrored_maps(surfaces):
    sphere, white = surfaces["R"]
    mirror = np.array([-1, 1, 1])
    assert flatten_occipital_cortex(sphere * mirror, white * mirror, "L") == pytest.approx(
        flatten_occipital_cortex(sphere, white, "R")
    )


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_areas_lie_where_anatomy_has_them(surfaces, flat, hemisphere):
    _, white = surfaces[hemisphere]
    maps = WedgeDipole().to_field(flat[hemisphere])
    for area in (1, 2, 3):
        inside = maps.visual_area == area
        assert 50 < inside.sum() < 500
        # Upper field ventral, lower field dorsal, all of it posterior, in its own hemisphere.
        upper, lower = inside & (maps.angle < 90), inside & (maps.angle > 90)
        assert white[upper, 2].mean() < white[lower, 2].mean() - 5
        assert white[inside, 1].max() < -35
        assert (np.sign(white[inside, 0].mean()) < 0) == (hemisphere == "L")
    v1 = maps.visual_area == 1
    peripheral = v1 & (maps.eccentricity > 20)
    foveal = v1 & (maps.eccentricity < 2)
    assert white[peripheral, 1].mean() > white[foveal, 1].mean() + 10  # anterior of it
    outside = maps.visual_area == 0
    assert not maps.eccentricity[outside].any()
    assert not maps.angle[outside].any()


def test_each_hemisphere_sees_the_other_half_of_the_field(flat):
    seen = {
        hemi: {
            q for q in QUADRANTS if responds_to(q, WedgeDipole().to_field(flat[hemi]), hemi).any()
        }
        for hemi in HEMISPHERES
    }
    assert seen == {"L": {"UR", "LR"}, "R": {"UL", "LL"}}


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_quadrants_part_the_stimulated_field(flat, hemisphere):
    maps = WedgeDipole().to_field(flat[hemisphere])
    masks = np.array([responds_to(q, maps, hemisphere) for q in QUADRANTS])
    stimulated = (maps.visual_area > 0) & (maps.eccentricity < 5)
    assert np.array_equal(masks.sum(axis=0), stimulated.astype(int))
    for quadrant, mask in zip(QUADRANTS, masks, strict=True):
        assert ((maps.angle[mask] <= 90) == (quadrant[0] == "U")).all()


def test_a_vertex_responds_as_its_quadrant_does(flat):
    maps = WedgeDipole().to_field(flat["L"])
    amplitudes = {"UL": [1.0, 2.0], "UR": [3.0, 4.0], "LL": [5.0, 6.0], "LR": [7.0, 8.0]}
    response = simulated_response(amplitudes, maps, "L")
    upper, lower = responds_to("UR", maps, "L"), responds_to("LR", maps, "L")
    assert (response[:, upper] == [[3.0], [4.0]]).all()
    assert (response[:, lower] == [[7.0], [8.0]]).all()
    assert not response[:, ~(upper | lower)].any()


def test_blocks_are_balanced_and_do_not_overlap():
    blocks = block_design(tuple(QUADRANTS), 6, 12.0, np.random.default_rng(0))
    assert Counter(blocks["trial_type"]) == dict.fromkeys(QUADRANTS, 6)
    ends = blocks["onset"] + blocks["duration"]
    assert (ends.to_numpy()[:-1] <= blocks["onset"].to_numpy()[1:]).all()
    orders = {tuple(blocks["trial_type"][i : i + 4]) for i in range(0, 24, 4)}
    assert len(orders) > 1


@given(st.integers(2, 20), st.floats(0.01, 1), st.integers(0, 99))
def test_effects_have_the_planted_mean_and_spread(n, sd, seed):
    planted = {"UL": 0.8, "LR": -0.3}
    drawn = participant_effects(planted, sd, n, np.random.default_rng(seed))
    assert len(drawn) == n
    for quadrant, mean in planted.items():
        effects = [own[quadrant] for own in drawn]
        assert np.mean(effects) == pytest.approx(mean)
        assert np.std(effects, ddof=1) == pytest.approx(sd)


def test_noise_has_the_spread_and_correlation_asked_for():
    noise = ar1_noise(400, 500, 1.5, 0.3, np.random.default_rng(0))
    assert noise.std() == pytest.approx(1.5, rel=0.01)
    assert noise[0].std() == pytest.approx(1.5, rel=0.1)  # stationary from the first scan on
    assert np.mean(noise[1:] * noise[:-1]) / noise.var() == pytest.approx(0.3, abs=0.01)
    assert np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var() == pytest.approx(0, abs=0.01)
