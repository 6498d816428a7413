from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_secondlevel.core.roi_rule import components, roi_colours
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.words import listed
from bids_secondlevel.reports.charts.layout import (
    choose_grid,
    explain,
    jitter,
    parts,
    spread,
    write_title,
)
from bids_secondlevel.reports.charts.style import (
    clean,
    draw_chart,
    inks,
    key,
    number,
    pooled_or_apart,
    shorten,
    stem,
    width_of,
)
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


def paint_label(label):
    def paint(figure):
        grid = choose_grid(1, [label])
        (axes,) = grid.axes(figure, sharey=True)
        write_title(axes, label, "(n = 1)", grid.panel)
        explain(figure, [key(shorten(label), "o", "#000000")])

    return paint


def render(name, title, size, paint):
    return draw_chart(name, title, size, paint, caption="", alt="").svg


@pytest.mark.parametrize("label", HOSTILE)
def test_a_label_is_text_whatever_it_is(label):
    svg = render("name", label, (4, 3), paint_label(label))
    root = ET.fromstring(svg)
    found = [
        "".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")
    ]
    assert not any(element.tag.endswith("script") for element in root.iter())
    assert not label or found.count(shorten(label)) >= 2  # below the panel, and in the legend
    assert root[0].text == (clean(label) or None)


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


def test_the_same_picture_gives_the_same_bytes_whatever_style_the_user_has():
    first = render("name", "title", (4, 3), paint_label("UL"))
    style = {"font.size": 30, "axes.grid": True, "svg.fonttype": "path", "text.usetex": True}
    with mpl.rc_context(style):
        before = dict(mpl.rcParams)
        again = render("name", "title", (4, 3), paint_label("UL"))
        assert dict(mpl.rcParams) == before
    assert again == first


def test_identifiers_are_unique_and_of_one_picture_only():
    def paint(figure):
        (axes,) = choose_grid(1, ["UL"]).axes(figure, sharey=True)
        for height in (1, 2):  # two of a kind
            axes.plot([0], [height], "o", gid="point")

    identifiers = []
    for name in ("first", "second"):
        root = ET.fromstring(render(name, "title", (4, 3), paint))
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


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 30))
def test_every_panel_has_a_place(n_panels, n_rois):
    rois = [f"roi{i}" for i in range(n_rois)]
    rows = [
        EstimateRow("sub-01", None, "main", f"contrast{i}", roi, "both", None, "effect")
        for i in range(n_panels)
        for roi in rois
    ]
    frame = frame_of(rows, EstimateRow)
    found = parts(frame.assign(panel=frame["contrast"], is_control=False))
    assert [name for part in found for name in part.panels] == [
        f"contrast{i}" for i in range(n_panels)
    ]
    assert all((part.number is None) == (len(found) == 1) for part in found)
    for part in found:
        grid = choose_grid(len(part.panels), part.rois)
        assert 1 <= grid.columns <= len(part.panels) <= grid.most <= 12
        assert grid.rows * grid.columns >= grid.n
        width, height = grid.size
        assert width <= 8
        assert height < 15


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
