"""Where things are in a picture, in inches: panels, marks, legends, words."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bids_secondlevel.core.values import Array
from bids_secondlevel.reports.charts.style import (
    GREY,
    reason_marker,
    shorten,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

WIDTH = 8.0
"""Of a page, in inches."""

CHARACTER = 0.07
"""Inches that a character of ordinary text takes in a picture of maps, on the safe side."""

_LETTER = 0.085  # the same in charts
_MOST_PLACES = 48  # ROIs times panels

_Item = TypeVar("_Item")


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
        longest = _LETTER * (max(width_of(shorten(roi)) for roi in self.rois) + 1)
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
    labels = [shorten(roi) for roi in grid.rois]
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
    label = shorten(label, most)
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


def explain(figure: "Figure", keys: "Sequence[Line2D | Patch]") -> None:
    """Put a legend below the panels, as wide as the figure is, and make room for further lines."""
    if not keys:
        return
    longest = max(width_of(str(entry.get_label())) for entry in keys)
    most = max(1, int(figure.get_figwidth() / (0.5 + 0.08 * longest)))
    rows = -(-len(keys) // most)
    figure.set_figheight(figure.get_figheight() + 0.2 * (rows - 1))
    figure.legend(handles=keys, loc="outside lower center", ncols=-(-len(keys) // rows))


def axes_at(
    figure: "Figure",
    left: float,
    bottom: float,
    width: float,
    height: float,
    *,
    bare: bool = True,
) -> "Axes":
    """Add axes at a place given in inches; bare ones have no frame, ground or ticks."""
    full_width, full_height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / full_width, bottom / full_height, width / full_width, height / full_height)
    )
    if bare:
        axes.set_axis_off()
    return axes


def write(
    figure: "Figure",
    x: float,
    y: float,
    text: str,
    *,
    size: float = 8.5,
    weight: str = "normal",
    ha: str = "left",
    va: str = "baseline",
) -> None:
    """Write at a place given in inches."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, size=size, weight=weight, ha=ha, va=va)


def wrap(lines: Sequence[str], width: float) -> list[str]:
    """Break lines that are wider than some inches."""
    most = max(int(width / CHARACTER), 20)
    return [part for line in lines for part in textwrap.wrap(line, most, break_on_hyphens=False)]


def draw_square(figure: "Figure", left: float, bottom: float, size: float, colour: str) -> None:
    """Draw a small square of a colour at a place given in inches."""
    from matplotlib.patches import Rectangle

    x, y = figure.get_size_inches()
    place, transform = (left / x, bottom / y), figure.transFigure
    square = Rectangle(place, size / x, size / y, facecolor=colour, transform=transform)
    figure.add_artist(square)
