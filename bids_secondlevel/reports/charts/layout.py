"""Where things are in a picture, in inches: panels, marks, legends, words."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
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
_MOST_PLACES = 48  # times panels
_LEFT, _GAP, _TITLE, _APART = 0.85, 0.14, 0.3, 0.14  # inches
_NARROW, _NARROWEST = 5.4, 3.4  # widths of figures


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
    """Panels of one size side by side and one below the other, placed in inches.

    Each has the same places at 0, 1, 2, ...; a legend is below all of them.
    """

    n: int
    """Of panels."""
    columns: int
    width: float
    """Of a panel, like all lengths in inches."""
    places: Sequence[str] = ()
    """Their names are below the lowest panel of each column."""
    height: float = 1.6
    second: float = 0.0
    """Height of other axes below each panel, if there are any."""
    keys: "Sequence[Line2D | Patch]" = ()
    """Entries of the legend."""
    margin: float = 0.0
    """Wanted at the right, for names of what is in the panels."""

    @property
    def upright(self) -> float:
        """Height of the names of places if they have to be written upright, else 0."""
        if not self.places or label_width(self.places) <= self.width / len(self.places):
            return 0.0
        return 0.15 + CHARACTER * max(width_of(shorten(place)) for place in self.places)

    @property
    def rows(self) -> int:
        """How many panels are one below the other."""
        return -(-self.n // self.columns)

    @property
    def step(self) -> float:
        """From the top of a row of panels to that of the next."""
        return _TITLE + self.height + (_APART + self.second if self.second else 0.0)

    @property
    def below(self) -> float:
        """Room below the lowest panels: for names of places, and the legend."""
        n_lines = legend_shape(self.keys, self._full_width)[1] if self.keys else 0
        return max(self.upright, 0.25) + (0.15 + 0.2 * n_lines if n_lines else 0.05)

    @property
    def _full_width(self) -> float:
        return max(_LEFT + self.columns * (self.width + _GAP) + self.margin, _NARROWEST)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        return self._full_width, self.rows * self.step + self.below

    def axes(
        self, figure: "Figure", label: str = "", second_label: str = ""
    ) -> "list[tuple[Axes, Axes | None]]":
        """Make the panels, each with the other axes below it, and the legend.

        Parameters
        ----------
        label, second_label
            Of the vertical axes, written once in each row.
        """
        top = self.size[1]
        made = []
        for place in range(self.n):
            row, column = divmod(place, self.columns)
            left = _LEFT + column * (self.width + _GAP)
            bottom = top - row * self.step - _TITLE - self.height
            axes = axes_at(figure, left, bottom, self.width, self.height, bare=False)
            low = bottom - _APART - self.second
            other = None
            if self.second:
                other = axes_at(figure, left, low, self.width, self.second, bare=False)
            if column == 0:
                write_upright(figure, label, bottom + self.height / 2, self.height + _TITLE / 2)
                if other:
                    middle = low + self.second / 2
                    write_upright(figure, second_label, middle, self.second + 2 * _APART)
            is_lowest = place + self.columns >= self.n
            self._name_places(axes, named=is_lowest and not other, first=column == 0)
            if other:
                self._name_places(other, named=is_lowest, first=column == 0)
            made.append((axes, other))
        if self.keys:
            columns, _ = legend_shape(self.keys, self._full_width)
            figure.legend(handles=self.keys, loc="lower center", ncols=columns, borderaxespad=0.2)
        return made

    def _name_places(self, axes: "Axes", *, named: bool, first: bool) -> None:
        axes.tick_params(axis="x", length=0)
        if not first:
            axes.tick_params(axis="y", labelleft=False)
        if not self.places:
            return
        labels = [shorten(place) for place in self.places] if named else []
        at = range(len(self.places)) if named else []
        axes.set_xticks(at, labels, rotation=90 if self.upright else 0)
        axes.set_xlim(-0.5, len(self.places) - 0.5)


def choose_columns(n: int, width: float) -> int:
    """Choose how many of n panels are side by side: as many in each row, if that can be.

    Parameters
    ----------
    width
        Of a panel, in inches.

    Examples
    --------
    >>> choose_columns(4, 1.5), choose_columns(3, 1.2), choose_columns(2, 5.0)
    (2, 3, 1)
    """
    most = int((_NARROW - _LEFT) / (width + _GAP))
    if most < min(n, 2):
        most = max(int((WIDTH - _LEFT) / (width + _GAP)), 1)
    return -(-n // -(-n // most))


def write_upright(figure: "Figure", text: str, middle: float, room: float) -> None:
    """Write at the left beside a row of panels, in as many lines as it takes.

    Parameters
    ----------
    middle, room
        In inches, from below.
    """
    lines = textwrap.wrap(text, max(int(room / CHARACTER), 8))
    x, y = 0.05 / figure.get_figwidth(), middle / figure.get_figheight()
    figure.text(x, y, "\n".join(lines), rotation=90, va="center", ha="left")


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
            *([] if first.task == MISSING else [f"task {shorten(first.task, 40)}"]),
            *([] if first.session == MISSING else [f"session {shorten(first.session, 40)}"]),
            *([] if self.hemi == BOTH else [HEMISPHERE_NAMES[self.hemi]]),
        ]
        control = " (circular)" if first.is_control else ""
        return f"{title}{': ' if of else ''}{', '.join(of)}{control}"

    def alt(self, tell: "Callable[[pd.DataFrame], str]") -> str:
        """Put the chart into words; `tell` does so with the rows of a panel."""
        return " ".join(
            f"{clean(panel)}{': ' if panel else ''}{tell(rows)}."
            for panel, rows in self.panels.items()
        )

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
    rows: "pd.DataFrame", most: int, *, most_places: int | None = None, by_hemisphere: bool = False
) -> list[Part]:
    """Divide rows into charts, those of control analyses last.

    Parameters
    ----------
    rows : DataFrame
        With the columns session, task, space, statistic and roi; ``panel``, the title of the
        panel that shows the row; and ``is_control``.
    most
        Panels of a chart.
    most_places
        Values of the column ``along`` in a chart, if there is one; panels are fewer if there are
        many of them.
    by_hemisphere
        Whether hemispheres have charts of their own.
    """
    by = ["is_control", "session", "task", "space", "statistic"] + ["hemi"] * by_hemisphere
    found = []
    for _, of_set in grouped(rows.sort_values("is_control", kind="stable"), *by):
        charts = [
            of_panels
            for of_places in _divided(of_set, "along", most_places)
            for of_panels in _divided(of_places, "panel", _most_panels(of_places, most))
        ]
        found += [
            Part(
                rows=of_chart,
                number=number if len(charts) > 1 else None,
                hemi=of_set["hemi"].iloc[0] if by_hemisphere else BOTH,
            )
            for number, of_chart in enumerate(charts, 1)
        ]
    return found


def _divided(rows: "pd.DataFrame", column: str, most: int | None) -> "Iterator[pd.DataFrame]":
    """Divide rows by the values of a column; about as many are in each part."""
    if most is None:
        yield rows
        return
    values = list(rows[column].unique())
    step = -(-len(values) // -(-len(values) // most))
    for start in range(0, len(values), step):
        yield rows[rows[column].isin(values[start : start + step])]


def _most_panels(rows: "pd.DataFrame", most: int) -> int:
    n = rows["along"].nunique() if "along" in rows else 1
    return max(1, min(most, _MOST_PLACES // n))


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
    """Mark missing estimates at the bottom of a panel, by reason."""
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
