"""Where things are in a picture, in inches: panels, marks, legends, words."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.rows import MISSING, grouped
from bids_secondlevel.core.values import Array
from bids_secondlevel.reports.charts.style import (
    GREY,
    HEMISPHERE_NAMES,
    Chart,
    axis_label,
    clean,
    draw_chart,
    reason_marker,
    shorten,
    stem,
    width_of,
)

if TYPE_CHECKING:
    import pandas as pd
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
    places
        In ascending order, as many as fit between the limits.
    gap
        Least distance between two labels.
    low, high
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


@dataclass(frozen=True, kw_only=True)
class PanelGrid:
    """Panels side by side, each with the same ROIs at 0, 1, 2, ..."""

    n: int
    """Of panels."""
    rois: Sequence[str]
    columns: int
    width: float
    """Of all columns, in inches."""

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
        """Height of the names of ROIs if they have to be written upright, else 0."""
        longest = label_width(self.rois)
        return longest if longest > self.panel / len(self.rois) else 0.0

    @property
    def rows(self) -> int:
        """How many panels are one below the other."""
        return -(-self.n // self.columns)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure, in inches."""
        return self.width, 0.9 + self.rows * (2.1 + self.upright)

    def axes(self, figure: "Figure", *, sharey: bool) -> "list[Axes]":
        """Make the panels, with the ROIs below them, upright if they would run into each other."""
        made = figure.subplots(self.rows, self.columns, sharey=sharey, squeeze=False).ravel()
        for unused in made[self.n :]:
            unused.remove()
        labels = [shorten(roi) for roi in self.rois]
        for axes in made[: self.n]:
            axes.set_xticks(range(len(labels)), labels, rotation=90 if self.upright else 0)
            axes.set_xlim(-0.6, len(labels) - 0.4)
            axes.tick_params(axis="x", length=0)
        return list(made[: self.n])


def choose_grid(n: int, rois: Sequence[str], inches: float = 0.26) -> PanelGrid:
    """Choose how many of n panels stand side by side, where an ROI needs some inches."""
    needed = max(1.9, 0.7 + inches * len(rois))
    columns = max(1, min(4, n, int(WIDTH / needed)))
    width = min(WIDTH, max(5.0, 1.3 * columns * needed))
    return PanelGrid(n=n, rois=rois, columns=columns, width=width)


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """What one chart shows: rows of the same session, task, space and statistic."""

    rows: "pd.DataFrame"
    """As for :func:`parts`."""
    number: int | None
    """Of the chart, if there are several."""
    hemi: str = BOTH
    """That of all rows, if hemispheres have charts of their own."""

    @property
    def first(self) -> Any:
        """A row, for what all have in common."""
        return self.rows.iloc[0]

    @property
    def rois(self) -> list[str]:
        """ROIs in their order."""
        return list(self.rows["roi"].unique())

    @property
    def panels(self) -> "dict[str, pd.DataFrame]":
        """Rows by panel."""
        return dict(grouped(self.rows, "panel"))

    def name(self, suffix: str) -> str:
        """Name the chart."""
        first = self.first
        return stem(
            suffix,
            ses=first.session,
            task=first.task,
            hemi=None if self.hemi == BOTH else self.hemi,
            space=first.space,
            stat=first.statistic,
            desc="circular" if first.is_control else None,
            part=self.number,
        )

    def title(self, title: str) -> str:
        """Say what the chart is of."""
        first = self.first
        of = [
            f"task {shorten(first.task, 40)}",
            *([] if first.session == MISSING else [f"session {shorten(first.session, 40)}"]),
            *([] if self.hemi == BOTH else [HEMISPHERE_NAMES[self.hemi]]),
        ]
        control = " (control analysis)" if first.is_control else ""
        return f"{title}: {', '.join(of)}{control}"

    def alt(self, tell: "Callable[[pd.DataFrame], str]") -> str:
        """Put the chart into words; `tell` does so with the rows of a panel."""
        return " ".join(f"{clean(panel)}: {tell(rows)}." for panel, rows in self.panels.items())

    def draw(
        self,
        suffix: str,
        title: str,
        size: tuple[float, float],
        paint: "Callable[[Figure], None]",
        *,
        caption: str,
        tell: "Callable[[pd.DataFrame], str]",
    ) -> Chart:
        """Draw the chart; `tell` puts the rows of a panel into words."""
        name, title, told = self.name(suffix), self.title(title), self.alt(tell)
        return draw_chart(name, title, size, paint, caption=caption, alt=told)


def parts(
    rows: "pd.DataFrame", most: int | None = None, *, by_hemisphere: bool = False
) -> list[Part]:
    """Divide rows into charts, those of control analyses last.

    Parameters
    ----------
    rows : DataFrame
        With the columns session, task, space, statistic and roi; ``panel``, the title of the
        panel that shows the row; and ``is_control``.
    most
        Panels of a chart; otherwise as many as fit, side by side.
    by_hemisphere
        Whether hemispheres have charts of their own.
    """
    by = ["is_control", "session", "task", "space", "statistic"] + ["hemi"] * by_hemisphere
    found = []
    for _, of_set in grouped(rows.sort_values("is_control", kind="stable"), *by):
        names, rois = list(of_set["panel"].unique()), list(of_set["roi"].unique())
        step = most or choose_grid(len(names), rois).most
        for number, start in enumerate(range(0, len(names), step), 1):
            found.append(
                Part(
                    rows=of_set[of_set["panel"].isin(names[start : start + step])],
                    number=number if len(names) > step else None,
                    hemi=of_set["hemi"].iloc[0] if by_hemisphere else BOTH,
                )
            )
    return found


def panelled_chart(
    part: Part,
    suffix: str,
    title: str,
    paint: "Callable[[Axes, pd.DataFrame], None]",
    *,
    units: str,
    about: "Callable[[pd.DataFrame], str] | None" = None,
    keys: "Sequence[Line2D | Patch]",
    caption: str,
    tell: "Callable[[pd.DataFrame], str]",
) -> Chart:
    """Draw panels of estimates side by side, which share their axis, with a line at zero.

    Parameters
    ----------
    paint
        Draws the rows of a panel; their column ``place`` says where the ROI is.
    units
        Those of the axis.
    about
        What to write beside the title of a panel.
    keys
        Entries of the legend.
    caption, tell
        See :meth:`Part.draw`.
    """
    panels, rois = part.panels, part.rois
    grid = choose_grid(len(panels), rois)

    def paint_panels(figure: "Figure") -> None:
        all_axes = grid.axes(figure, sharey=True)
        for axes, (panel, rows) in zip(all_axes, panels.items(), strict=True):
            axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
            write_title(axes, panel, about(rows) if about else "", grid.panel)
            paint(axes, rows.assign(place=rows["roi"].map(rois.index)))
        figure.supylabel(axis_label(part.first.statistic, units), fontsize="medium")
        explain(figure, keys)

    return part.draw(suffix, title, grid.size, paint_panels, caption=caption, tell=tell)


def write_title(axes: "Axes", label: str, about: str, inches: float) -> None:
    """Write a label above a panel, as much as fits, and something about it: beside it or below.

    Parameters
    ----------
    inches
        Width of the panel.
    """
    most = int(inches / _LETTER) - 2
    label = shorten(label, most)
    fits = width_of(label) + width_of(about) < most
    axes.set_title(f"{label}{' ' if fits else chr(10)}{about}" if about else label)


def label_width(labels: Sequence[str]) -> float:
    """Say how many inches the longest of some labels takes, as they are shortened."""
    return _LETTER * (max(width_of(shorten(label)) for label in labels) + 1)


def mark_reasons(axes: "Axes", places: Sequence[tuple[float, str]], reasons: Sequence[str]) -> None:
    """Mark at the bottom of a panel where there is no number, and why, of all the reasons."""
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
    columns, rows = legend_shape(keys, figure.get_figwidth())
    figure.set_figheight(figure.get_figheight() + 0.2 * (rows - 1))
    figure.legend(handles=keys, loc="outside lower center", ncols=columns)


def legend_shape(keys: "Sequence[Line2D | Patch]", width: float) -> tuple[int, int]:
    """Choose the columns and rows of a legend that is as wide as some inches."""
    longest = max(width_of(str(entry.get_label())) for entry in keys)
    most = max(1, int(width / (0.5 + 0.08 * longest)))
    rows = -(-len(keys) // most)
    return -(-len(keys) // rows), rows


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


def letters_in(width: float) -> int:
    """Say how many letters of ordinary text are sure to fit into some inches; three at least."""
    return max(int(width / CHARACTER), 3)


def wrap(lines: Sequence[str], width: float) -> list[str]:
    """Break lines that are wider than some inches."""
    most = max(letters_in(width), 20)
    return [part for line in lines for part in textwrap.wrap(line, most, break_on_hyphens=False)]
