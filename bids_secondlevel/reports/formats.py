"""Pictures as PNG and PDF: matplotlib draws them again from their SVG."""

import io
import re
import warnings
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from bids_secondlevel.core.values import Array
from bids_secondlevel.core.wording import FigureFormat

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.path import Path
    from matplotlib.transforms import Transform

_SVG, _HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_POINTS = 72.0  # of an inch
_DPI = 300
_NOT_DRAWN = {"defs", "title"}
_ABOUT: Mapping[FigureFormat, Mapping[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
_INHERITED = ("fill", "stroke", "font-size")
_ANCHORS = {"start": "left", "middle": "center", "end": "right"}
_NUMBER = r"-?[\d.]+"


def redraw(svg: bytes, kind: FigureFormat) -> bytes:
    """Draw a picture in another format; the same picture gives the same bytes.

    Parameters
    ----------
    svg
        As :mod:`~.reports.drawing` writes it.

    Examples
    --------
    >>> redraw(b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 72 36'/>", "pdf")[:5]
    b'%PDF-'
    """
    root, file = ET.fromstring(svg), io.BytesIO()  # noqa: S314 a picture of ours
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    with _usual_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width / _POINTS, height / _POINTS))
        _Redrawing(figure, root, height).draw(root, {"fill": "black", "stroke": "none"})
        figure.savefig(file, format=kind, dpi=_DPI, metadata=dict(_ABOUT[kind]))
    return file.getvalue()


@contextmanager
def _usual_style() -> Iterator[None]:
    """Let matplotlib draw as it does by default, whatever the user's own style is."""
    import matplotlib.style

    # A label is a label, also with dollar signs; letters of a PDF stay letters.
    ours = {"text.parse_math": False, "pdf.fonttype": 42, "font.family": "DejaVu Sans"}
    with warnings.catch_warnings(), matplotlib.style.context(["default", ours]):
        # Only the size of such text is guessed: whoever shows the picture has the glyphs.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


class _Redrawing:
    """A figure that is being drawn from the elements of a picture."""

    def __init__(self, figure: "Figure", root: ET.Element, height: float) -> None:
        from matplotlib.transforms import Affine2D

        self._figure, self._height, self._number = figure, height, 0
        self._known = {each.attrib["id"]: each for each in root.iter() if "id" in each.attrib}
        upwards = Affine2D().scale(1, -1).translate(0, height)
        self._inches: Transform = Affine2D().scale(1 / _POINTS) + figure.dpi_scale_trans
        self._from_above: Transform = upwards + self._inches

    def draw(self, element: ET.Element, inherited: Mapping[str, str]) -> None:
        """Draw an element with all that is inside, one after the other."""
        tag = element.tag.removeprefix(_SVG)
        if tag in _NOT_DRAWN:
            return
        look = {**inherited, **element.attrib}
        if tag == "text":
            self._write(element, look)
        elif tag == "image":
            self._show(look)
        elif tag in ("rect", "circle", "path"):
            self._paint(_path_of(tag, look), look)
        elif tag == "use":
            target = self._known[look[_HREF].removeprefix("#")]
            of_target = {**target.attrib, **look}
            by = np.array([_number(look, "x"), _number(look, "y")])
            self._paint(_path_of("path", of_target, by), of_target)
        passed_on = {name: look[name] for name in _INHERITED if name in look}
        for each in element:
            self.draw(each, passed_on)

    def _paint(self, path: "Path", look: Mapping[str, str]) -> None:
        from matplotlib.patches import PathPatch

        face, edge, hatch = look["fill"], look["stroke"], ""
        if face.startswith("url("):  # oblique lines, which have the colour of the edge
            face, hatch = "white", "/////"
        width = _number(look, "stroke-width") if edge != "none" else 0.0
        dashes = [float(of) for of in re.findall(_NUMBER, look.get("stroke-dasharray", ""))]
        style: Any = (0, [of / width for of in dashes]) if dashes and width else "solid"
        patch = PathPatch(
            path,
            transform=self._from_above,
            facecolor=_colour(face, look),
            edgecolor=_colour(edge, look),
            linewidth=width,
            linestyle=style,
            hatch=hatch,
            capstyle="butt",
            joinstyle="round",
        )
        self._add(patch)

    def _write(self, element: ET.Element, look: Mapping[str, str]) -> None:
        from matplotlib.text import Text

        x, y, is_turned = _number(look, "x"), _number(look, "y"), "transform" in look
        if is_turned:  # about a place, beside which it is
            across, down, _ = map(float, re.findall(_NUMBER, look["transform"]))
            x, y = across + y, down
        text = Text(
            x,
            y,
            "".join(element.itertext()),
            transform=self._from_above,
            rotation=90 if is_turned else 0,
            rotation_mode="anchor",
            size=_number(look, "font-size"),
            weight=look.get("font-weight", "normal"),
            color=look["fill"],
            ha=_ANCHORS[look.get("text-anchor", "start")],
            va="baseline",
        )
        self._add(text)

    def _show(self, look: Mapping[str, str]) -> None:
        """Show pixels."""
        from matplotlib.image import BboxImage, imread
        from matplotlib.transforms import Bbox, TransformedBbox

        pixels = imread(io.BytesIO(b64decode(look[_HREF].partition("base64,")[2])))
        x, y, width, height = (_number(look, of) for of in ("x", "y", "width", "height"))
        bottom = self._height - y - height
        place = TransformedBbox(Bbox.from_bounds(x, bottom, width, height), self._inches)
        image = BboxImage(place, interpolation="nearest", origin="upper")
        image.set_data(pixels)
        self._add(image)

    def _add(self, artist: "Artist") -> None:
        self._number += 1
        artist.set_zorder(self._number)
        self._figure.add_artist(artist)


def _colour(name: str, look: Mapping[str, str]) -> Any:
    from matplotlib.colors import to_rgba

    return "none" if name == "none" else to_rgba(name, float(look.get("opacity", 1)))


def _number(look: Mapping[str, str], name: str) -> float:
    return float(look.get(name, 0))


def _path_of(tag: str, look: Mapping[str, str], by: Array | None = None) -> "Path":
    """Give the path of a shape, moved if it is a used one."""
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D

    if tag == "circle":
        return Path.circle((_number(look, "cx"), _number(look, "cy")), _number(look, "r"))
    if tag == "rect":
        x, y = _number(look, "x"), _number(look, "y")
        size = _number(look, "width"), _number(look, "height")
        return Path.unit_rectangle().transformed(Affine2D().scale(*size).translate(x, y))
    codes, corners = [], []
    kinds = {"M": Path.MOVETO, "L": Path.LINETO, "Z": Path.CLOSEPOLY}
    for letter, given in re.findall(r"([MLZ])([^MLZ]*)", look["d"]):
        codes.append(kinds[letter])
        corners.append([float(of) for of in re.findall(_NUMBER, given)] or [0.0, 0.0])
    shift = np.zeros(2) if by is None else by
    return Path(np.reshape(corners, (-1, 2)) + shift, codes)
