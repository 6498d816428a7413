import io
import re
from zlib import decompress

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from bids_secondlevel.reports.drawing import Drawing, png
from bids_secondlevel.reports.formats import redraw

RED, GREEN, BLUE, WHITE = [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]


def pixels(svg):
    return imread(io.BytesIO(redraw(svg, "png")))


def colour_at(picture, x, y):
    """Colour at a place in inches from the left and from the bottom."""
    return picture[picture.shape[0] - 1 - round(300 * y), round(300 * x), :3].tolist()


def test_shapes_and_pixels_are_where_they_were_drawn():
    drawing = Drawing("picture", 2.0, 1.0)
    drawing.rectangle(0.1, 0.1, 0.4, 0.3, "#ff0000")
    drawing.circle(1.0, 0.5, 0.2, "none", 0, fill="#00ff00")
    drawing.line([(1.3, 0.8), (1.9, 0.8)], "#0000ff", 7.2)
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    drawing.pixels(png(corners), 1.4, 0.1, 0.4, 0.4)
    drawing.define("edge", np.array([[0.0, 0.0], [0.0, 0.4]]))
    drawing.outline("edge", (0.7, 0.3), "#ff0000", 7.2)
    drawing.outline("edge", (0.1, 0.5), "#0000ff", 7.2)
    picture = pixels(drawing.encode("title"))
    assert picture.shape[:2] == (300, 600)
    expected = {
        (0.3, 0.2): RED,
        (0.55, 0.2): WHITE,
        (0.3, 0.45): WHITE,
        (1.0, 0.5): GREEN,
        (1.25, 0.5): WHITE,
        (1.6, 0.8): BLUE,
        (1.6, 0.7): WHITE,
        (1.5, 0.4): RED,
        (1.7, 0.4): GREEN,
        (1.5, 0.2): BLUE,
        (1.7, 0.2): WHITE,
        (0.7, 0.6): RED,
        (0.1, 0.6): BLUE,
    }
    assert {place: colour_at(picture, *place) for place in expected} == expected


def ink(picture):
    """Left, right, lower and upper end of what is not white, in inches."""
    rows, columns = np.nonzero((picture[:, :, :3] < 0.5).any(axis=2))
    low = picture.shape[0] - rows.max()
    return np.array([columns.min(), columns.max(), low, picture.shape[0] - rows.min()]) / 300


@pytest.mark.parametrize(
    ("ha", "turned", "ends"),
    [
        ("left", False, (1.0, None, 0.5, None)),
        ("right", False, (None, 1.0, 0.5, None)),
        ("left", True, (None, 1.0, 0.5, None)),
    ],
)
def test_words_are_where_they_were_written(ha, turned, ends):
    drawing = Drawing("picture", 2.0, 1.0)
    drawing.write(1.0, 0.5, "HHH", size=12, ha=ha, turned=turned)
    found = ink(pixels(drawing.encode()))
    for end, place in zip(ends, found, strict=True):
        assert end is None or abs(end - place) < 0.03
    is_upright = found[3] - found[2] > found[1] - found[0]
    assert is_upright == turned


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_the_same_picture_gives_the_same_bytes_whatever_style_the_user_has(kind):
    drawing = Drawing("picture", 2.0, 1.0)
    drawing.write(0.2, 0.5, "$a^2$ upper left", size=12)
    drawing.line([(0.2, 0.2), (1.8, 0.2)], "#0000ff", 1.0)
    first = redraw(drawing.encode(), kind)
    style = {"font.size": 30, "axes.grid": True, "text.usetex": True, "savefig.dpi": 10}
    with mpl.rc_context(style):
        before = dict(mpl.rcParams)
        assert redraw(drawing.encode(), kind) == first
        assert dict(mpl.rcParams) == before


def test_words_of_a_pdf_are_text_and_it_has_no_date():
    drawing = Drawing("picture", 2.0, 1.0)
    drawing.write(0.2, 0.5, "$a^2$ upper left", size=12)
    pdf = redraw(drawing.encode(), "pdf")
    assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf
    assert b"CreationDate" not in pdf
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    assert any(b"Tj" in text or b"TJ" in text for text in map(inflated, streams))


def inflated(stream):
    try:
        return decompress(stream)
    except Exception:  # noqa: BLE001 another kind of stream
        return b""
