"""Charts of numbers: what a chart is, and what all of them share.

Values in, bytes of an SVG file out; the same values give the same bytes. Charts show numbers of
the tables as they are, and leave text as text.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, HEMISPHERES
from bids_secondlevel.core.palette import components, roi_colours
from bids_secondlevel.core.values import Array
from bids_secondlevel.reports.charts.wording import clean, shown, width_of
from bids_secondlevel.rois.estimates import Independence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

WIDTH = 8.0
"""Of a page, in inches."""

MOST_NAMED = 60
"""Participants up to which each can be told apart: by name, or by a line of its own."""

MOST_MARKS = 900
"""Points or cells of a chart up to which each is drawn as a shape; more become pixels."""

HEMISPHERE_NAMES = {"L": "left hemisphere", "R": "right hemisphere", BOTH: "both hemispheres"}

CIRCULAR = (
    "Circular estimates were measured on the data that defined their ROIs: a control analysis "
    "that shows whether the localizer works, and no evidence."
)

_MOST_PLACES = 48  # ROIs times panels

_LETTER = 0.085  # inches, on average

REASON_MARKERS = "x+1234|_*dph8sX"
"""Of places without a number, one for each reason."""

Line = Literal["", "-", "--", ":"]
"""Of a curve."""

_Item = TypeVar("_Item")

DARK, GREY = "#222222", "#777777"

_STYLE: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "legend.frameon": False,
    "text.parse_math": False,  # a label is a label, also with dollar signs
    "svg.fonttype": "none",
    "savefig.dpi": 100,  # of what becomes pixels
}


@dataclass(frozen=True)
class Chart:
    """A picture of numbers, with all that a page says about it.

    Attributes
    ----------
    name : str
        Stem of a file name, such as ``task-main_space-fsnative_stat-effect_estimates``.
    svg : bytes
        An ``<svg>`` element in UTF-8, without an XML declaration: a file as it is, and a part of
        a page as it is.
    title : str
    caption : str
        How to read it: what the marks are, in which units, of how many.
    alt : str
        Its main numbers in words.
    """

    name: str
    svg: bytes
    title: str
    caption: str
    alt: str


class Measured(Protocol):
    """What rows of several tables have in common."""

    @property
    def hemi(self) -> str:
        """Hemisphere: L, R, or both."""


class HasIndependence(Protocol):
    """A number that may be circular."""

    @property
    def independence(self) -> Independence:
        """Whether it was measured on the data that defined its ROI."""


def render(
    name: str, title: str, size: tuple[float, float], paint: "Callable[[Figure], None]"
) -> bytes:
    """Draw a figure in the style of this program, whatever the user's own style is.

    Parameters
    ----------
    name : str
        Identifiers inside the picture begin with it, so that pictures can share a page.
    title : str
        For those who open the file.
    size : tuple of float
        Width and height in inches.
    paint : callable
        Is given the empty figure.

    Returns
    -------
    bytes
        See :class:`Chart`.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    file = io.BytesIO()
    style: list[str | dict[str, Any]] = ["default", {**_STYLE, "svg.hashsalt": name}]
    with warnings.catch_warnings(), matplotlib.style.context(style):
        # Only the size of such text is guessed: whoever shows the picture has the glyphs.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        about = {"Title": clean(title), "Date": None, "Creator": None}
        figure.savefig(file, format="svg", metadata=about)
    svg, numbers = file.getvalue(), count(1)
    return re.sub(
        b'(?<=<g id=")',
        lambda _: b"%s.%d." % (name.encode(), next(numbers)),
        svg[svg.index(b"<svg") :],
    )


def is_circular(row: HasIndependence) -> bool:
    """Tell a control analysis from evidence."""
    return row.independence == "circular"


def hemispheres_shown(with_number: Iterable[Measured]) -> tuple[str, ...]:
    """Choose both hemispheres pooled, and each for itself only where there is nothing pooled.

    Parameters
    ----------
    with_number : iterable of rows
        Those that have a number.
    """
    found = {row.hemi for row in with_number}
    alone = tuple(hemi for hemi in HEMISPHERES if hemi in found)
    return (BOTH,) if BOTH in found or not alone else alone


def inks(rois: Sequence[str]) -> dict[str, str]:
    """Give each ROI its colour, darker where it would be too faint for a line on white.

    References
    ----------
    A contrast of 3:1 for graphics: WCAG 2.1, success criterion 1.4.11.
    """
    return {roi: _ink(colour) for roi, colour in roi_colours(rois).items()}


def _ink(colour: str) -> str:
    parts = np.array(components(colour))
    while 1.05 / (_luminance(parts) + 0.05) < 3:
        parts *= 0.95
    return f"#{bytes(round(255 * part) for part in parts).hex()}"


def _luminance(parts: Array) -> float:
    """Compute the relative luminance of a colour (sRGB), from 0 to 1."""
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def jitter(n: int) -> Array:
    """Spread points evenly over -1 to 1 without order, the same way each time; one stays at 0.

    Returns
    -------
    (n,) array of float
        Multiples of the golden ratio modulo 1.
    """
    if n < 2:
        return np.zeros(n)
    return np.arange(1, n + 1) * 0.6180339887498949 % 1 * 2 - 1


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels as little as needed to keep their distance.

    Parameters
    ----------
    places : sequence of float
        In ascending order, as many as fit between the limits.
    gap : float
        Least distance between two labels.
    low, high : float
        Limits.

    Examples
    --------
    >>> spread([0.0, 0.1, 5.0], gap=1.0, low=0.0, high=5.0)
    [0.0, 1.0, 5.0]
    """
    moved: list[float] = []
    for i, place in enumerate(places):
        last = high - gap * (len(places) - 1 - i)
        moved.append(min(max(place, moved[-1] + gap if moved else low), max(last, low)))
    return moved


def in_parts(items: Sequence[_Item], most: int) -> list[tuple[int | None, Sequence[_Item]]]:
    """Divide what is too much for one chart; parts have numbers where there are several.

    Examples
    --------
    >>> in_parts("abc", 2), in_parts("ab", 2)
    ([(1, 'ab'), (2, 'c')], [(None, 'ab')])
    """
    parts = [items[i : i + most] for i in range(0, len(items), most)]
    return [(i if len(parts) > 1 else None, part) for i, part in enumerate(parts, 1)]


@dataclass(frozen=True)
class Grid:
    """Panels side by side, each with the same ROIs.

    Attributes
    ----------
    rois : tuple of str
    columns : int
    width : float
        Of all columns, in inches.
    """

    rois: tuple[str, ...]
    columns: int
    width: float

    @property
    def most(self) -> int:
        """How many panels fit into one chart."""
        return self.columns * max(1, min(12, _MOST_PLACES // len(self.rois)) // self.columns)

    @property
    def panel(self) -> float:
        """Width of a panel, in inches."""
        return self.width / self.columns

    @property
    def upright(self) -> float:
        """Height of the names of ROIs where they have to be written upright, else 0."""
        longest = _LETTER * (max(width_of(shown(roi)) for roi in self.rois) + 1)
        return longest if longest > self.panel / len(self.rois) else 0.0

    def rows(self, n: int) -> int:
        """Count the rows of n panels."""
        return -(-n // self.columns)

    def size(self, n: int) -> tuple[float, float]:
        """Choose the size of a figure of n panels, in inches."""
        return self.width, 0.9 + self.rows(n) * (2.1 + self.upright)


def choose_grid(n_panels: int, rois: Sequence[str], inches: float = 0.26) -> Grid:
    """Choose how many panels stand side by side.

    Parameters
    ----------
    n_panels : int
    rois : sequence of str
        At least one.
    inches : float
        Least width of an ROI.
    """
    needed = max(1.9, 0.7 + inches * len(rois))
    columns = max(1, min(4, n_panels, int(WIDTH / needed)))
    return Grid(tuple(rois), columns, min(WIDTH, max(5.0, 1.3 * columns * needed)))


def panels(figure: "Figure", n: int, grid: Grid) -> "list[Axes]":
    """Make n panels that share their y axis, with the ROIs at 0, 1, 2, ... and a line at zero."""
    axes = figure.subplots(grid.rows(n), grid.columns, sharey=True, squeeze=False).ravel()
    for unused in axes[n:]:
        unused.remove()
    for axis in axes[:n]:
        axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        name_rois(axis, grid)
    return list(axes[:n])


def name_rois(axes: "Axes", grid: Grid) -> None:
    """Write the ROIs below a panel, upright where they would run into each other."""
    labels = [shown(roi) for roi in grid.rois]
    axes.set_xticks(range(len(labels)), labels, rotation=90 if grid.upright else 0)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.tick_params(axis="x", length=0)


def write_title(axes: "Axes", label: str, about: str, inches: float) -> None:
    """Write a label above a panel, as much as fits, and something about it where that fits.

    Parameters
    ----------
    axes : Axes
    label : str
    about : str
        Goes into a second line where it does not fit beside the label.
    inches : float
        Width of the panel.
    """
    most = int(inches / _LETTER) - 2
    label = shown(label, most)
    fits = width_of(label) + width_of(about) < most
    axes.set_title(f"{label}{' ' if fits else chr(10)}{about}" if about else label)


def mark_reasons(axes: "Axes", places: Sequence[tuple[float, str]], reasons: Sequence[str]) -> None:
    """Mark at the bottom of a panel where there is no number.

    Parameters
    ----------
    axes : Axes
    places : sequence of (float, str)
        Where, and why.
    reasons : sequence of str
        All reasons of the chart: each has a marker of its own.
    """
    for x, reason in places:
        axes.plot(
            [x],
            [0.03],
            marker=reason_marker(reasons, reason),
            markersize=5,
            color=GREY,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )


def explain_reasons(reasons: Sequence[str]) -> "list[Line2D]":
    """Explain these marks in a legend."""
    return [key(f"no number: {reason}", reason_marker(reasons, reason), GREY) for reason in reasons]


def reason_marker(reasons: Sequence[str], reason: str) -> str:
    """Choose the marker of a reason."""
    return REASON_MARKERS[reasons.index(reason) % len(REASON_MARKERS)]


def key(label: str, marker: str, colour: str, face: str | None = None, line: Line = "") -> "Line2D":
    """Make an entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        marker=marker,
        linestyle=line,
        color=colour,
        markerfacecolor=face or colour,
        markersize=5,
        label=label,
    )


def swatch(label: str, colour: str, edge: str | None = None, hatch: str = "") -> "Patch":
    """Make an entry of a legend for areas of a colour."""
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, edgecolor=edge, hatch=hatch, label=label)


def explain(figure: "Figure", keys: "Sequence[Line2D | Patch]") -> None:
    """Put a legend below the panels, as wide as the figure is, and make room for further lines."""
    if not keys:
        return
    longest = max(width_of(str(entry.get_label())) for entry in keys)
    most = max(1, int(figure.get_figwidth() / (0.5 + 0.08 * longest)))
    rows = -(-len(keys) // most)
    figure.set_figheight(figure.get_figheight() + 0.2 * (rows - 1))
    figure.legend(handles=keys, loc="outside lower center", ncols=-(-len(keys) // rows))
