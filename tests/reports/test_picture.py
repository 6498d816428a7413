"""Pictures of the cortex: what is drawn is what was given."""

import base64
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import colormaps
from meshes import icosphere
from PIL import Image

from bids_secondlevel.core.roi_rule import VISUAL_AREAS, components, roi_colours
from bids_secondlevel.core.values import Mesh
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.reports.cortex.panels import MAX_Z_PANELS, SMALL, Legend
from bids_secondlevel.reports.cortex.picture import draw_cortex
from bids_secondlevel.reports.cortex.view import Layers, look_at

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
LEGEND = Legend(
    title="sub-01",
    notes=("a note",),
    area_names={number: name for name, number in VISUAL_AREAS.items()},
    eccentricity=(0.0, 5.0),
    faded=(-np.inf, 2.0),
)


def make_ball():
    points, triangles = icosphere(3, 60.0)
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    inwards = (np.cross(b - a, c - a) * a).sum(axis=1) < 0
    triangles[inwards] = triangles[inwards, ::-1]
    return Mesh(points, triangles)


BALL = make_ball()


def make_layers(**changed):
    """Of a ball: V1 and V2 at its back, V1 within 5 degrees near the middle of them."""
    points = BALL.coordinates
    degrees = np.degrees(np.arccos(-points[:, 1] / 60))
    area = np.select([degrees < 30, degrees < 45], [1, 2], 0)
    eccentricity = degrees / 4
    retinotopic = (area == 1) & (eccentricity < 5) & (eccentricity > 0)
    z = points[:, 2] / 4
    given = {
        "visual_area": area,
        "eccentricity": eccentricity,
        "polar_angle": np.degrees(np.arctan2(points[:, 0], points[:, 2])),
        "z_maps": {"up": z, "down": -z},
        "retinotopic": retinotopic,
        "rois": {"up": retinotopic & (z > 2), "down": retinotopic & (-z > 2)},
    }
    return Layers(**{**given, **changed})


def on_balls(hemispheres):
    surface = DisplaySurface(mesh=BALL, shape="folded", name="a ball", shading=None)
    return hemispheres, dict.fromkeys(hemispheres, surface)


def draw(legend=LEGEND, **hemispheres):
    return draw_cortex(*on_balls(hemispheres), legend).svg


def pixels_of(**hemispheres):
    """The vertex that each pixel of the first hemisphere shows."""
    return look_at(*on_balls(hemispheres))[0].pixels


def images(svg):
    """Pixels of the maps, from the bottom up, in the order drawn; scales are left out."""
    found = []
    for image in ET.fromstring(svg).iter(f"{SVG}image"):
        encoded = image.get(HREF).removeprefix("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        if pixels.shape[0] == pixels.shape[1] > 200:
            found.append(pixels[::-1])
    return found


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def colour_of(pixels, vertices, vertex):
    """The colour of a vertex, the same in all its pixels."""
    shown = np.unique(pixels[vertices == vertex], axis=0)
    assert len(shown) == 1
    return shown[0] / 255


def mean_error(pixels, vertices, expected):
    """How far colours are from those expected of each vertex (n_vertices, 3)."""
    seen = vertices >= 0
    return np.abs(pixels[seen] / 255 - expected[vertices[seen]]).max()


def test_every_map_has_the_colour_of_each_vertex_where_the_vertex_is():
    layers = make_layers()
    vertices = pixels_of(L=layers)
    eccentricity, angle, up, down, rois = images(draw(L=layers))
    in_areas = layers.visual_area > 0
    expected = colormaps["viridis"](np.clip(layers.eccentricity / 10, 0, 1))[:, :3]
    seen = (vertices >= 0) & in_areas[vertices]
    assert mean_error(eccentricity, np.where(seen, vertices, -1), expected) < 0.03
    expected = colormaps["twilight"]((layers.polar_angle + 180) / 360)[:, :3]
    assert mean_error(angle, np.where(seen, vertices, -1), expected) < 0.03
    for pixels, z in ((up, layers.z_maps["up"]), (down, layers.z_maps["down"])):
        strong = (vertices >= 0) & (z > 2)[vertices]
        reds = pixels[strong].astype(int)
        assert (reds[:, 0] > reds[:, 2]).all()
    expected = np.zeros((len(in_areas), 3))
    for name, colour in roi_colours(list(layers.rois)).items():
        expected[layers.rois[name]] = components(colour)
    in_roi = (layers.rois["up"] | layers.rois["down"])[vertices] & (vertices >= 0)
    assert in_roi.any()
    assert mean_error(rois, np.where(in_roi, vertices, -1), expected) < 0.03


def test_a_planted_vertex_is_up_where_it_is_dorsal_and_right_where_it_is_right():
    layers = make_layers()
    x, _, z = BALL.coordinates.T
    planted = int(np.where(layers.retinotopic, x + 2 * z, -np.inf).argmax())
    rois = {"one": np.arange(len(x)) == planted}
    pixels = images(draw(R=make_layers(rois=rois)))[-1] / 255
    row, column = np.nonzero(
        np.isclose(pixels, components(roi_colours(["one"])["one"]), atol=0.02).all(2)
    )
    assert row.mean() > 128  # counted from the bottom
    assert column.mean() > 128


def test_the_thumbnail_shows_an_roi_of_one_vertex_too():
    layers = make_layers()
    nothing = np.zeros(len(layers.visual_area), dtype=bool)
    one = nothing.copy()
    one[np.flatnonzero(layers.retinotopic)[0]] = True
    sides = {"L": make_layers(rois={"one": one}), "R": make_layers(rois={"one": nothing})}
    thumbnail = draw_cortex(*on_balls(sides), LEGEND).thumbnail
    with Image.open(io.BytesIO(thumbnail)) as opened:
        pixels = np.asarray(opened.convert("RGB")) / 255
    assert pixels.shape == (SMALL, 2 * SMALL, 3)
    is_roi = np.isclose(pixels, components(roi_colours(["one"])["one"]), atol=0.02).all(axis=2)
    assert is_roi[:, :SMALL].any()
    assert not is_roi[:, SMALL:].any()


def test_the_thumbnail_shows_each_of_nested_rois():
    outer = make_layers().retinotopic
    inner = outer.copy()
    inner[np.flatnonzero(outer)[: outer.sum() // 2]] = False
    sides = {side: make_layers(rois={"inner": inner, "outer": outer}) for side in "LR"}
    with Image.open(io.BytesIO(draw_cortex(*on_balls(sides), LEGEND).thumbnail)) as opened:
        pixels = np.asarray(opened.convert("RGB")) / 255
    for colour in roi_colours(["inner", "outer"]).values():
        assert np.isclose(pixels, components(colour), atol=0.02).all(axis=2).any()


def test_vertices_of_several_rois_nan_and_weak_z_are_told_apart():
    layers = make_layers()
    inside = np.flatnonzero(layers.retinotopic)
    both, missing, weak = (int(vertex) for vertex in inside[:3])
    z = np.full(len(layers.visual_area), 8.0)
    z[missing], z[weak] = np.nan, 2.0  # exactly the threshold does not pass
    eccentricity = layers.eccentricity.copy()
    eccentricity[missing] = np.nan
    everything = {name: layers.retinotopic.copy() for name in ("a", "b")}
    everything["b"][inside[1:]] = False
    changed = make_layers(z_maps={"z": z}, eccentricity=eccentricity, rois=everything)
    vertices = pixels_of(L=changed)
    maps = images(draw(L=changed))
    assert len(maps) == 4
    grey = colour_of(maps[0], vertices, missing)
    assert np.ptp(grey) < 0.01
    np.testing.assert_array_equal(grey, colour_of(maps[2], vertices, missing))
    strong = colour_of(maps[2], vertices, both)
    paler = colour_of(maps[2], vertices, weak)
    assert np.ptp(paler) < np.ptp(strong)
    overlap = maps[3][vertices == both] / 255
    of_a, of_b = (
        np.isclose(overlap, components(colour), atol=0.02).all(axis=1)
        for colour in roi_colours(["a", "b"]).values()
    )
    assert of_b.any()
    inner = overlap[~of_a & ~of_b]
    assert len(inner)
    assert inner.min() > 0.9
    single = colour_of(maps[3], vertices, weak)
    assert np.allclose(single, components(roi_colours(["a", "b"])["a"]), atol=0.02)


@pytest.mark.parametrize("n_same", [2, 3])
def test_rois_of_the_same_vertices_all_have_an_outline(n_same):
    layers = make_layers()
    names = [f"roi{number}" for number in range(n_same)]
    changed = make_layers(rois=dict.fromkeys(names, layers.retinotopic))
    svg = draw(L=changed)
    pixels = images(svg)[-1] / 255
    inside = layers.retinotopic[pixels_of(L=changed)] & (pixels_of(L=changed) >= 0)
    for colour in roi_colours(names).values():
        there = np.isclose(pixels, components(colour), atol=0.02).all(axis=2)
        assert there.sum() > 50
        assert inside[there].all()
    assert "white: in several ROIs" in texts(svg)
    assert "white: in several ROIs" not in texts(draw(L=layers))


def test_what_is_measured_has_one_scale_around_zero_inside_the_rois_and_none_elsewhere():
    layers = make_layers()
    inside, outside = np.flatnonzero(layers.in_rois), np.flatnonzero(~layers.in_rois)
    values = np.zeros(len(layers.visual_area))
    values[inside] = np.linspace(-1, 3, inside.size)
    values[outside] = 1000.0
    changed = make_layers(measured={"attend": values, "opposite": -values, "lost": None})
    vertices = pixels_of(L=changed)
    svg = draw(L=changed)
    attend, opposite, lost = images(svg)[5:]
    legible = texts(svg)
    assert {"attend", "opposite", "lost", "-3", "3"} <= {*legible}
    assert legible.count("no map") == 1
    shown = np.isin(vertices, inside)
    expected = colormaps["RdBu_r"](np.clip((values + 3) / 6, 0, 1))[:, :3]
    for pixels, of in ((attend, expected), (opposite, expected_of(-values))):
        error = np.abs(pixels / 255 - of[vertices]).max(axis=2)
        is_line = (pixels == 0).all(axis=2)
        assert error[shown & ~is_line].max() < 0.03
        assert is_line[shown].any()
        assert not is_line[~shown].any()
        assert np.ptp(pixels[~shown].astype(int), axis=1).max() == 0
    np.testing.assert_array_equal(lost[~shown], attend[~shown])


def expected_of(values):
    return colormaps["RdBu_r"](np.clip((values + 3) / 6, 0, 1))[:, :3]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vertices_without_a_value_are_striped_and_counted(value):
    layers = make_layers()
    up, down = (np.flatnonzero(layers.rois[name]) for name in ("up", "down"))
    values = np.ones(len(layers.visual_area))
    values[up] = value
    values[~layers.in_rois] = np.nan  # nobody measures there
    changed = make_layers(measured={"attend": values, "whole": np.ones_like(values)})
    vertices = pixels_of(L=changed)
    svg = draw(L=changed)
    attend, whole = images(svg)[5:]
    striped = attend[np.isin(vertices, up)]
    assert np.ptp(striped.astype(int), axis=1).max() == 0
    assert {*np.unique(striped)} == {0, *np.unique(striped[striped > 0])}
    assert len(np.unique(striped)) == 3  # two greys, and the outline
    assert np.ptp(attend[np.isin(vertices, down)].astype(int), axis=1).max() > 50
    assert np.ptp(whole[np.isin(vertices, up)].astype(int), axis=1).max() > 50
    written = texts(svg)
    assert {"Vertices without data", f"attend: {up.size} L"} <= {*written}
    assert not any(text.startswith("whole:") for text in written)


def test_nothing_but_nan_or_zero_is_drawn_all_the_same():
    layers = make_layers()
    nothing, zero = np.full(len(layers.visual_area), np.nan), np.zeros(len(layers.visual_area))
    written = texts(draw(L=make_layers(measured={"nan": nothing, "zero": zero})))
    assert {"-1", "1", f"nan: {layers.in_rois.sum()} L"} <= {*written}


def test_a_bar_has_the_length_that_it_says():
    layers = make_layers()
    (view,) = look_at(*on_balls({"L": layers}))
    root = ET.fromstring(draw(L=layers))
    mm = {int(text.removesuffix(" mm")) for text in texts(draw(L=layers)) if text.endswith(" mm")}
    (bar,) = (part for part in root.iter(f"{SVG}g") if part.get("id", "").endswith(".bar"))
    x0, y0, x1, y1 = map(float, re.findall(r"[\d.]+", bar[0].get("d")))
    assert y0 == y1
    panel = 1.65 * 72  # points
    assert (x1 - x0) * 2 * view.window.half_width / panel == pytest.approx(mm.pop(), rel=0.01)


@pytest.mark.parametrize("n_contrasts", [0, 1, MAX_Z_PANELS, MAX_Z_PANELS + 1])
@pytest.mark.parametrize("has_angle", [True, False])
def test_a_panel_for_each_map_and_the_maximum_of_many(n_contrasts, has_angle):
    layers = make_layers()
    rng = np.random.default_rng(1)
    z_maps = {f"c{i}": rng.normal(size=len(layers.visual_area)) for i in range(n_contrasts)}
    angle = layers.polar_angle if has_angle else None
    changed = make_layers(z_maps=z_maps, polar_angle=angle)
    svg = draw(L=changed, R=changed)
    shown = n_contrasts if n_contrasts <= MAX_Z_PANELS else 1
    assert len(images(svg)) == 2 * (2 + has_angle + shown)
    if n_contrasts > MAX_Z_PANELS:
        assert "Maximum of 5 z maps" in texts(svg)
        maximum = make_layers(
            z_maps={"m": np.max(list(z_maps.values()), axis=0)}, polar_angle=angle
        )
        alone = images(draw(L=maximum))
        assert np.abs(images(svg)[1 + has_angle] - alone[1 + has_angle].astype(int)).mean() < 25


def test_infinite_values_are_drawn_as_the_ends_of_scales_or_not_at_all():
    layers = make_layers()
    inside = np.flatnonzero(layers.retinotopic)
    high, low = int(inside[0]), int(inside[1])
    values = {name: np.zeros(len(layers.visual_area)) for name in ("z", "eccentricity", "angle")}
    for map_values in values.values():
        map_values[high], map_values[low] = np.inf, -np.inf
    changed = make_layers(
        z_maps={"z": values["z"]}, eccentricity=values["eccentricity"], polar_angle=values["angle"]
    )
    vertices = pixels_of(L=changed)
    eccentricity, angle, z, _ = images(draw(L=changed))
    for pixels in (eccentricity, angle):
        assert np.ptp(colour_of(pixels, vertices, high)) < 0.01  # grey
    red, _, blue = colour_of(z, vertices, high)
    assert red > blue
    red, _, blue = colour_of(z, vertices, low)
    assert red < blue


def test_the_words_are_words():
    layers = make_layers()
    written = texts(draw(L=layers, R=layers))
    n_up, n_down = (int(mask.sum()) for mask in layers.rois.values())
    assert {"sub-01", "a note", "Left", "Right", "Eccentricity", "degrees", "V1", "V2"} <= {
        *written
    }
    assert f"up: {n_up} L, {n_up} R" in written
    assert f"down: {n_down} L, {n_down} R" in written
    assert {"2", "5", "10"} <= {*written}  # the threshold, the limit of eccentricity, and its end


def test_hostile_words_are_only_words():
    hostile = '<b>&"$x_1$\\'
    layers = make_layers()
    changed = make_layers(
        z_maps={hostile: layers.z_maps["up"]}, rois={hostile: layers.rois["up"], "$": None}
    )
    legend = Legend(
        title=hostile, notes=(hostile,), area_names={1: hostile}, eccentricity=(0.0, 5.0)
    )
    svg = draw(legend, L=changed)
    written = texts(svg)
    assert written.count(hostile) == 3  # title, note, area
    assert f"Localizer {hostile}" in written
    assert f"{hostile}: {int(layers.rois['up'].sum())} L" in written
    assert "$: n/a L" in written
    assert b"<b>" not in svg


def test_what_is_missing_is_said():
    layers = make_layers()
    changed = make_layers(
        z_maps={"up": None, "down": layers.z_maps["down"]}, rois={"up": None, "down": None}
    )
    svg = draw(L=layers, R=changed)
    assert texts(svg).count("no map") == texts(svg).count("no ROI") == 1
    assert "up: 12 L, n/a R".replace("12", str(int(layers.rois["up"].sum()))) in texts(svg)


def test_the_whole_retinotopy_is_shown_where_nothing_is_within_the_limits():
    nothing = np.zeros(len(make_layers().visual_area), dtype=bool)
    changed = make_layers(retinotopic=nothing, rois={"up": nothing})
    vertices = pixels_of(L=changed)
    assert {*np.flatnonzero(changed.visual_area)} <= {*vertices.ravel()}
    assert "up: 0 L" in texts(draw(L=changed))


def test_hemispheres_are_on_the_same_scale():
    small = make_layers(retinotopic=make_layers().eccentricity < 2)
    left, right = look_at(*on_balls({"L": make_layers(), "R": small}))
    assert left.window.half_width == right.window.half_width
    (alone,) = look_at(*on_balls({"R": small}))
    assert alone.window.half_width < right.window.half_width


def test_many_rois_with_long_names_are_listed_as_far_as_there_is_room():
    layers = make_layers()
    rois = {f"facesMinusScrambledObjects{i}": layers.rois["up"] for i in range(40)}
    written = texts(draw(L=make_layers(rois=rois)))
    listed = [text for text in written if text.endswith(f" {layers.rois['up'].sum()} L")]
    assert f"and {40 - len(listed)} more" in written
    assert 5 < len(listed) < 40
    assert all("…" in text and len(text) < 28 for text in listed)


def test_the_same_values_give_the_same_bytes_in_whatever_style_and_process(tmp_path):
    layers = make_layers()
    svg = draw(L=layers, R=layers)
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 20.0, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert draw(L=layers, R=layers) == svg
    assert dict(mpl.rcParams) == before
    code = (
        "import sys; from test_picture import *; c = make_layers(); "
        "sys.stdout.buffer.write(draw(L=c, R=c))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "MPLCONFIGDIR": str(tmp_path)},
    )
    assert elsewhere.stdout == svg
    assert not re.search(rb"\d{4}-\d\d-\d\dT", svg)  # no date


def test_neither_a_window_nor_pyplot_is_opened():
    code = (
        "import sys; from test_picture import *; c = make_layers(); "
        "draw(L=c); assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
