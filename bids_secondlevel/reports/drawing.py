"""Draw lines, marks, words and pixels, placed in inches, as SVG.

The page of each participant has a dozen pictures, and matplotlib would take most of the time that
the participant takes. Here a picture says where everything is, and nothing is laid out.
"""

import struct
import zlib
from base64 import b64encode
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import count
from math import ceil, floor, isnan, log10
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array
from bids_secondlevel.reports.charts.style import clean, width_of

Place = tuple[float, float]
"""Inches from the left and from the bottom."""

_POINTS = 72.0  # of an inch: the unit of the file, of widths of lines and of sizes of letters
_FRAME, _TICK = "#777777", 0.045  # inches
_ANCHORS = {"left": "start", "center": "middle", "right": "end"}
_LOWER = {"baseline": 0.0, "center": 0.36, "top": 0.76}  # of the size of letters
_LETTER = 0.62  # width of a letter, of its size


def _star(n: int, inner: float = 1.0, first: float = 0.0) -> Array:
    """Give the corners of a star, or with the same radius inside of a polygon of 2 n corners."""
    angles = np.radians(first) + np.pi * np.arange(2 * n) / n
    radii = np.tile([1.0, inner], n)
    return np.column_stack([radii * np.sin(angles), radii * np.cos(angles)])


def _arms(*degrees: float) -> Array:
    """Give lines from the centre, clockwise from above, with gaps of NaN."""
    angles = np.radians(degrees)
    ends = np.column_stack([np.sin(angles), np.cos(angles)])
    return np.concatenate([[[0.0, 0.0], end, [np.nan, np.nan]] for end in ends])


MARKS: dict[str, Array] = {
    "<": np.array([[-1.0, 0.0], [1.0, 1.0], [1.0, -1.0]]),
    ">": np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]]),
    "s": np.array([[-0.9, -0.9], [-0.9, 0.9], [0.9, 0.9], [0.9, -0.9]]),
    "d": np.array([[0.0, 1.0], [0.6, 0.0], [0.0, -1.0], [-0.6, 0.0]]),
    "p": _star(5)[::2],
    "h": _star(3),
    "8": _star(4, first=22.5),
    "*": _star(5, inner=0.4),
    "X": _star(4, inner=0.45, first=45.0),
    "x": _arms(45, 225, 135, 315),
    "+": _arms(0, 180, 90, 270),
    "1": _arms(180, 60, 300),
    "2": _arms(0, 120, 240),
    "3": _arms(270, 30, 150),
    "4": _arms(90, 210, 330),
    "|": _arms(0, 180),
    "_": _arms(90, 270),
}
"""Shapes around 0 with a radius of 1; lines have gaps of NaN. Round marks are ``o``."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Where values are on a straight line, in inches."""

    ends: tuple[float, float]
    """Two values."""
    places: tuple[float, float]
    """Where they are."""

    def at(self, values: Array) -> Array:
        """Place values."""
        (low, high), (first, last) = self.ends, self.places
        placed: Array = first + (np.asarray(values, dtype=float) - low) / (high - low) * (
            last - first
        )
        return placed

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Choose up to so many round values, and write them."""
        ticks = round_numbers(min(self.ends), max(self.ends), most)
        return [(float(self.at(np.array(tick))), written) for tick, written in ticks]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A rectangle in which values are drawn."""

    x: Axis
    y: Axis

    def at(self, x: Array, y: Array) -> Array:
        """Place values of both axes: (n, 2)."""
        return np.column_stack(np.broadcast_arrays(self.x.at(x), self.y.at(y)))

    def frame(
        self,
        drawing: "Drawing",
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]],
        size: float,
    ) -> None:
        """Draw an axis on the left and below, with ticks at places; their texts may be empty."""
        (left, right), (bottom, top) = self.x.places, self.y.places
        drawing.line([(left, top), (left, bottom), (right, bottom)], _FRAME, 0.8)
        for x, text in x_ticks:
            drawing.line([(x, bottom), (x, bottom - _TICK)], _FRAME, 0.8)
            at = bottom - _TICK - 0.03
            drawing.write(x, at, text, size=size, ha="center", va="top")
        for y, text in y_ticks:
            drawing.line([(left - _TICK, y), (left, y)], _FRAME, 0.8)
            drawing.write(left - _TICK - 0.04, y, text, size=size, ha="right", va="center")


def around(values: Array, room: float) -> tuple[float, float]:
    """Choose the ends of an axis around some values, with a share of their span on both sides.

    Examples
    --------
    >>> around(np.array([0.0, 10.0, np.nan]), 0.1), around(np.array([2.0]), 0.1)
    ((-1.0, 11.0), (1.0, 3.0))
    """
    there = values[np.isfinite(values)]
    low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)
    more = room * (high - low) or abs(low) / 2 or 1.0
    return low - more, high + more


def round_numbers(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Choose round numbers between two, not more than so many, and write them alike.

    Examples
    --------
    >>> round_numbers(-0.12, 0.31, 5)
    [(-0.1, '-0.1'), (0.0, '0.0'), (0.1, '0.1'), (0.2, '0.2'), (0.3, '0.3')]
    >>> round_numbers(0, 1700, 4)
    [(0.0, '0'), (500.0, '500'), (1000.0, '1000'), (1500.0, '1500')]
    """
    power = floor(log10((high - low) / most))
    first, last, size = 0, most, 1
    for size in (1, 2, 5, 10, 20):
        step = float(f"{size}e{power}")
        first, last = ceil(low / step), floor(high / step)
        if last - first < most:
            break
    numbers = [float(f"{n * size}e{power}") for n in range(first, last + 1)]
    digits = -power - (size >= 10)
    is_plain = 0 < digits < 5
    return [(of, f"{of:.{digits}f}" if is_plain else f"{of:g}") for of in numbers]


class Drawing:
    """A picture that is being drawn; places are inches from the left and from the bottom."""

    def __init__(self, name: str, width: float, height: float) -> None:
        """Begin a picture; no other on the same page has its name."""
        self._name, self._width, self._height = name, width, height
        self._known: dict[str, str] = {}
        self._outlines: dict[Hashable, str] = {}
        self._drawn: list[str] = []
        self._number = count(1)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Give what is drawn within a name, for those who change the file."""
        self._drawn.append(f"<g id='{self._name}.{next(self._number)}.{name}'>")
        yield
        self._drawn.append("</g>")

    def line(
        self,
        points: Array | Sequence[Place],
        colour: str,
        width: float,
        *,
        fill: str = "none",
        dash: str = "",
        opacity: float = 1.0,
        closed: bool = False,
        title: str = "",
    ) -> None:
        """Draw a line, or a shape if it is filled; NaN are gaps.

        Parameters
        ----------
        points : (n, 2) array of float, or as many places
        title
            What is shown to those who point at it.
        """
        path = self._path(np.asarray(points, dtype=float), closed=closed)
        look = _look(colour, width, fill, dash, opacity)
        self._drawn.append(f"<path d='{path}'{look}{_end('path', title)}")

    def rectangle(
        self,
        left: float,
        bottom: float,
        width: float,
        height: float,
        fill: str,
        *,
        edge: str = "none",
        line: float = 0.0,
        opacity: float = 1.0,
        title: str = "",
    ) -> None:
        """Draw a rectangle."""
        x, y = self._at(left, bottom + height)
        size = f"width='{_written(_POINTS * width)}' height='{_written(_POINTS * height)}'"
        look = _look(edge, line, fill, "", opacity)
        self._drawn.append(f"<rect x='{x}' y='{y}' {size}{look}{_end('rect', title)}")

    def circle(
        self,
        x: float,
        y: float,
        radius: float,
        colour: str,
        width: float,
        *,
        fill: str = "none",
        dash: str = "",
        opacity: float = 1.0,
        title: str = "",
    ) -> None:
        """Draw a circle."""
        place = "cx='{}' cy='{}'".format(*self._at(x, y))
        look = _look(colour, width, fill, dash, opacity)
        size = f"r='{_written(_POINTS * radius)}'"
        self._drawn.append(f"<circle {place} {size}{look}{_end('circle', title)}")

    def mark(
        self,
        x: float,
        y: float,
        mark: str,
        size: float,
        *,
        edge: str,
        face: str,
        width: float = 1,
        title: str = "",
    ) -> None:
        """Draw a mark with a diameter in points."""
        radius = size / 2 / _POINTS
        if mark == "o":
            self.circle(x, y, radius, edge, width, fill=face, title=title)
            return
        corners = MARKS[mark]
        is_shape = not np.isnan(corners).any()
        fill = face if is_shape else "none"
        place = radius * corners + (x, y)
        self.line(place, edge, width, fill=fill, closed=is_shape, title=title)

    def has_outline(self, of: Hashable) -> bool:
        """Tell whether the outline of something is defined."""
        return of in self._outlines

    def define(self, of: Hashable, points: Array) -> None:
        """Define an outline, in inches from wherever it will be drawn by :meth:`outline`."""
        name = self._outlines[of] = f"{self._name}.outline{len(self._outlines)}"
        self._known[name] = f"<path id='{name}' d='{self._path(points, closed=False)}'/>"

    def outline(self, of: Hashable, at: Place, colour: str, width: float) -> None:
        """Draw an outline that is defined, in one of the places where it is."""
        x, y = self._at(at[0], at[1] + self._height)
        look = _look(colour, width, "none", "", 1.0)
        self._drawn.append(f"<use xlink:href='#{self._outlines[of]}' x='{x}' y='{y}'{look}/>")

    def hatch(self, colour: str) -> str:
        """Give oblique lines of a colour, to fill shapes with."""
        name = f"{self._name}.hatch{colour.removeprefix('#')}"
        self._known[name] = (
            f"<pattern id='{name}' width='4' height='4' patternUnits='userSpaceOnUse' "
            "patternTransform='rotate(45)'><rect width='4' height='4' fill='white'/>"
            f"<rect width='1' height='4' fill='{colour}'/></pattern>"
        )
        return f"url(#{name})"

    def pixels(self, png: bytes, left: float, bottom: float, width: float, height: float) -> None:
        """Draw a picture in PNG; its pixels stay squares."""
        x, y = self._at(left, bottom + height)
        self._drawn.append(
            f"<image x='{x}' y='{y}' width='{_written(_POINTS * width)}' "
            f"height='{_written(_POINTS * height)}' preserveAspectRatio='none' "
            f"style='image-rendering:pixelated' xlink:href='data:image/png;base64,"
            f"{b64encode(png).decode()}'/>"
        )

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        ha: Literal["left", "center", "right"] = "left",
        va: Literal["baseline", "center", "top"] = "baseline",
        weight: str = "",
        colour: str = "",
        turned: bool = False,
        ground: float = 0.0,
    ) -> None:
        """Write a line.

        Parameters
        ----------
        turned
            From below upwards.
        ground
            Opacity of the white below.
        """
        if not text:
            return
        text = clean(text)
        if ground:
            wide, high = (width_of(text) * _LETTER + 0.3) * size / _POINTS, 1.3 * size / _POINTS
            left = x - {"left": 0.0, "center": wide / 2, "right": wide}[ha]
            self.rectangle(left, y - high / 2, wide, high, "white", opacity=ground)
        across, down = self._at(x, y)
        lower = _LOWER[va] * size
        place = f"x='{across}' y='{_written(float(down) + lower)}'"
        if turned:
            place = f"transform='translate({across} {down}) rotate(-90)' y='{_written(lower)}'"
        look = f" font-size='{size:g}'" if size != self._size else ""
        look += f" text-anchor='{_ANCHORS[ha]}'" if ha != "left" else ""
        look += f" font-weight='{weight}'" if weight else ""
        look += f" fill='{colour}'" if colour else ""
        self._drawn.append(f"<text {place}{look}>{escape(text)}</text>")

    _size = 8.5  # of letters whose size is not written

    def encode(self, title: str = "") -> bytes:
        """Give the file, in UTF-8 and without an XML declaration, so that it can be in a page."""
        width, height = _written(_POINTS * self._width), _written(_POINTS * self._height)
        known = "".join(self._known.values())
        return "\n".join(
            [
                f"<svg xmlns='http://www.w3.org/2000/svg' "
                f"xmlns:xlink='http://www.w3.org/1999/xlink' width='{width}pt' height='{height}pt' "
                f"viewBox='0 0 {width} {height}' font-family='DejaVu Sans, Verdana, sans-serif' "
                f"font-size='{self._size}' stroke-linejoin='round'>",
                *([f"<title>{escape(clean(title))}</title>"] if title else []),
                *([f"<defs>{known}</defs>"] if known else []),
                f"<rect width='{width}' height='{height}' fill='white'/>",
                *self._drawn,
                "</svg>\n",
            ]
        ).encode(errors="replace")

    def _at(self, x: float, y: float) -> tuple[str, str]:
        return _written(_POINTS * x), _written(_POINTS * (self._height - y))

    def _path(self, points: Array, *, closed: bool) -> str:
        """Write lines, the parts between gaps one by one."""
        placed = np.column_stack([points[:, 0], self._height - points[:, 1]]) * _POINTS
        parts: list[list[str]] = [[]]
        for x, y in np.round(placed, 3).tolist():
            if isnan(x) or isnan(y):
                parts.append([])
            else:
                parts[-1].append(f"{x:.7g} {y:.7g}")
        end = "Z" if closed else ""
        return "".join(f"M{'L'.join(part)}{end}" for part in parts if part)


def _written(number: float) -> str:
    """Write a number of points, to a thousandth."""
    return f"{round(number, 3):.7g}"


def _look(colour: str, width: float, fill: str, dash: str, opacity: float) -> str:
    look = f" fill='{fill}'"
    look += f" stroke='{colour}' stroke-width='{width:g}'" if colour != "none" and width else ""
    look += f" stroke-dasharray='{dash}'" if dash else ""
    return look + (f" opacity='{opacity:g}'" if opacity < 1 else "")


def _end(element: str, title: str) -> str:
    return f"><title>{escape(clean(title))}</title></{element}>" if title else "/>"


def png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None) -> bytes:
    """Encode pixels as PNG.

    Parameters
    ----------
    pixels : (height, width) or (height, width, 3) array
        From the top down: places in the palette, or red, green and blue.
    palette : (n, 3) or (n, 4) array
        Colours, 256 at most, perhaps with their opacity.

    References
    ----------
    Portable Network Graphics Specification, third edition, W3C (2025).
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + pixels[0].size), dtype=np.uint8)  # 0: as it is, not a difference
    rows[:, 1:] = pixels.reshape(height, -1)
    kind = 2 if palette is None else 3
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    if palette is not None:
        parts.append((b"PLTE", palette[:, :3].tobytes()))
        if palette.shape[1] > 3:
            parts.append((b"tRNS", palette[:, 3].tobytes()))
    parts += [(b"IDAT", _deflated(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + of + content + struct.pack(">I", zlib.crc32(of + content))
        for of, content in parts
    )


@lru_cache(maxsize=4)  # the discs of many contrasts differ in their palettes only
def _deflated(pixels: bytes) -> bytes:
    """Compress; ISA-L takes a fifth of the time, but some of its runs give other bytes."""
    return zlib.compress(pixels, 4)
