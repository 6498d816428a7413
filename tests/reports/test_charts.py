import io
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from bids_secondlevel.core.roi_rule import components, roi_colours
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.words import listed
from bids_secondlevel.reports.charts.layout import (
    Key,
    PanelGrid,
    choose_columns,
    draw_chart,
    draw_participants,
    jitter,
    parts,
    spread,
    write_title,
)
from bids_secondlevel.reports.charts.style import (
    clean,
    inks,
    number,
    pooled_or_apart,
    shorten,
    stem,
    width_of,
)
from bids_secondlevel.reports.drawing import Axis, Drawing, Panel
from bids_secondlevel.reports.formats import redraw
from bids_secondlevel.rois.estimates import EstimateRow

HOSTILE = [
    "<script>alert(1)</script>",
    "$x^2$",
    r"$\undefined{",
    "_hidden",
    "中文标签",
    "a" * 300,
    "é & \"q\" 'x'",
    "line\nbreak\x00\ud800\u202e",
    "]]>",
    "",
]


def draw_label(label):
    keys = [Key(text=shorten(label), mark="o")]
    grid = PanelGrid(n=1, columns=1, width=3.0, places=[label], keys=keys)

    def paint(drawing):
        ((panel, _),) = grid.draw(drawing, (0.0, 1.0), "")
        write_title(drawing, panel, label, "(n = 1)")

    return draw_chart("name", label, grid.size, paint, caption="", alt="").svg


@pytest.mark.parametrize("label", HOSTILE)
def test_a_label_is_text_whatever_it_is(label):
    root = ET.fromstring(draw_label(label))
    found = [
        "".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")
    ]
    assert not any(element.tag.endswith("script") for element in root.iter())
    assert not label or found.count(shorten(label)) >= 2  # below the panel, and in the legend
    assert not label or root[0].text == clean(label)


@given(st.text())
def test_text_of_any_kind_can_be_written(text):
    # Also what XML cannot hold, or UTF-8 cannot encode.
    document = ET.Element("text")
    document.text = clean(text)
    assert ET.fromstring(ET.tostring(document, encoding="utf-8")).text in (clean(text), None)


@given(st.text(), st.integers(5, 60))
def test_labels_fit(text, limit):
    label = shorten(text, limit)
    assert width_of(label) <= limit
    assert label == clean(text) or "…" in label


@given(st.lists(st.text(), unique=True))
def test_names_of_files_are_safe_and_differ(labels):
    names = [stem("estimates", task=label) for label in labels]
    assert len(set(names)) == len(labels)
    for name in names:
        assert name.isascii()
        assert len(name) < 100
        assert not set(name) & set('/\\:*?"<>| .\0')


def test_identifiers_are_unique_and_of_one_picture_only():
    identifiers = []
    for name in ("first", "second"):
        grid = PanelGrid(n=2, columns=2, width=3.0, places=["UL"])

        def paint(drawing, grid=grid):
            for _ in grid.draw(drawing, (0.0, 1.0), ""):
                with drawing.part("point"):
                    drawing.mark(1.0, 1.0, "o", 4, edge="black", face="black")

        root = ET.fromstring(draw_chart(name, "title", grid.size, paint, caption="", alt="").svg)
        identifiers += [element.get("id") for element in root.iter() if element.get("id")]
    assert sum(identifier.endswith(".point") for identifier in identifiers) == 4
    assert len(set(identifiers)) == len(identifiers)


def luminance(colour):
    # https://www.w3.org/TR/WCAG21/#dfn-relative-luminance, one component at a time.
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in components(colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_of_rois_stand_out_from_white_and_keep_what_stands_out_already():
    names = [f"roi{i}" for i in range(24)]
    colours = inks(names)
    for name, colour in roi_colours(names).items():
        assert 1.05 / (luminance(colours[name]) + 0.05) > 2.97  # rounded to whole steps
        if 1.05 / (luminance(colour) + 0.05) >= 3:
            assert colours[name] == colour
    assert len({colours[name] for name in names[:7]}) == 7


@given(st.integers(0, 500))
def test_points_are_spread_within_limits_and_never_on_each_other(n):
    offsets = jitter(n)
    assert offsets.shape == (n,)
    assert (np.abs(offsets) <= 1).all()
    assert len(set(offsets)) == n


@given(st.lists(st.floats(0, 100), max_size=30).map(sorted), st.floats(0.01, 3))
def test_labels_keep_their_distance_and_stay_where_they_are_if_they_have_it(places, gap):
    moved = spread(places, gap, 0.0, 100.0)
    assert len(moved) == len(places)
    if places:
        assert min(moved) >= 0
        assert max(moved) <= 100 + 1e-9
    assert (np.diff(moved) >= gap - 1e-9).all()
    if (np.diff(places) >= gap).all():
        assert moved == pytest.approx(places)


@settings(max_examples=20)
@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 12), st.integers(1, 26))
def test_every_panel_and_place_is_in_one_chart(n_panels, n_places, most, most_places):
    along = [f"contrast{i}" for i in range(n_places)]
    rows = [
        EstimateRow("sub-01", None, "main", contrast, f"roi{i}", "both", None, "effect")
        for i in range(n_panels)
        for contrast in along
    ]
    frame = frame_of(rows, EstimateRow)
    frame = frame.assign(panel=frame["roi"], along=frame["contrast"], is_control=False)
    found = parts(frame, most, most_places=most_places)
    where = ["panel", "along"]
    cells = [cell for part in found for cell in part.rows[where].itertuples(index=False, name=None)]
    assert sorted(cells) == sorted(frame[where].itertuples(index=False, name=None))
    assert [part.number for part in found] == (
        [None] if len(found) == 1 else [*range(1, len(found) + 1)]
    )
    for part in found:
        n_along = part.rows["along"].nunique()
        assert len(part.panels) <= most
        assert n_along <= most_places
        assert len(part.panels) == 1 or len(part.panels) * n_along <= 48


@settings(max_examples=15)
@given(st.integers(1, 8), st.floats(1.2, 7.0), st.booleans())
def test_panels_do_not_overlap_and_are_inside_the_figure(n, width, with_second):
    grid = PanelGrid(
        n=n,
        columns=choose_columns(n, width),
        width=width,
        places=["UL", "a long name of a place"],
        second=0.8 if with_second else 0.0,
        keys=[Key(text="participant", mark="o")],
    )
    right, top = grid.size
    every = grid.draw(Drawing("name", right, top), (0.0, 1.0), "", (0.0, 1.0))
    panels = [panel for pair in every for panel in pair if panel is not None]
    assert len(panels) == n * (1 + with_second)
    assert right <= 8.1
    for place, panel in enumerate(panels):
        (left, right_end), (bottom, top_end) = panel.x.places, panel.y.places
        assert 0 < left < right_end < right
        assert 0 < bottom < top_end < top
        for other in panels[:place]:
            (other_left, other_right), (other_bottom, other_top) = other.x.places, other.y.places
            is_beside = left >= other_right or right_end <= other_left
            assert is_beside or bottom >= other_top or top_end <= other_bottom


@pytest.mark.parametrize("mark", ["o", "s", "<"])
@pytest.mark.parametrize("n", [5, 100])
def test_marks_that_become_pixels_are_where_they_would_be_as_shapes(mark, n):
    panel = Panel(
        x=Axis(ends=(0.0, 1.0), places=(0.5, 2.5)), y=Axis(ends=(0.0, 1.0), places=(0.5, 1.5))
    )
    points = np.array([[0.7, 0.6], [2.1, 1.3]])
    drawing = Drawing("picture", 3.0, 2.0)
    draw_participants(
        drawing,
        panel,
        points,
        mark,
        people=["sub-01", "sub-02"],
        values=[0.1, 0.8],
        colours=["#ff0000", "#0000ff"],
        hollow=np.array([False, True]),
        cells=np.zeros(2, dtype=int),
        n=n,
        are_pixels=True,
    )
    picture = imread(io.BytesIO(redraw(drawing.encode(), "png")))[:, :, :3]
    for place, channel in zip(points, (0, 2), strict=True):
        rows, columns = np.nonzero(picture[:, :, channel] - picture[:, :, 2 - channel] > 0.1)
        x = (columns.min() + columns.max() + 1) / 2
        y = picture.shape[0] - (rows.min() + rows.max() + 1) / 2
        assert np.array([x, y]) / 300 == pytest.approx(place, abs=0.01)
    middle = picture[picture.shape[0] - 1 - round(300 * 1.3), round(300 * 2.1)]
    assert (middle == 1).all()  # hollow


def hemispheres_shown(**estimates):
    rows = pd.DataFrame({"hemi": list(estimates), "estimate": list(estimates.values())})
    return list(pooled_or_apart(rows, "estimate")["hemi"])


def test_hemispheres_are_apart_only_where_nothing_is_pooled():
    assert hemispheres_shown(L=1.0, R=1.0, both=1.0) == ["both"]
    assert hemispheres_shown(L=np.nan, R=1.0) == ["R"]
    assert hemispheres_shown(L=1.0, R=1.0, both=np.nan) == ["L", "R"]
    assert hemispheres_shown(L=np.nan, R=np.nan, both=np.nan) == ["both"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.nan, "n/a"),
        (0.0, "0"),
        (-0.30449, "-0.304"),
        (999.9, "1e+03"),
        (1234.4, "1234"),
        (1e9, "1e+09"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_lists_say_how_many_more():
    assert listed(["a"] * 25, most=20).endswith("a and 5 more")
    assert listed([]) == ""
