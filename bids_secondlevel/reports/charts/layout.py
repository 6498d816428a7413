"""Where things are in a picture, in inches: panels, marks, legends, words."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.roi_rule import components
from bids_secondlevel.core.rows import MISSING, grouped
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.reports.charts.style import (
    DARK,
    GREY,
    HEMISPHERE_NAMES,
    LETTER,
    MOST_MARKS,
    MOST_NAMED,
    Chart,
    clean,
    number,
    reason_marker,
    shorten,
    stem,
    width_of,
)
from bids_secondlevel.reports.drawing import MARKS, Axis, Drawing, Panel, around, png

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 8.0
"""Of a page, in inches."""

CHARACTER = 0.07
"""Inches that a character of ordinary text takes in a picture of maps, on the safe side."""

LINE = 0.2
"""Inches from one line of a legend to the next."""

LETTERS, TITLES = 9.0, 9.5
"""Sizes of letters in charts, in points."""

DOTTED = "1.5 2.5"
"""Lines in points, and gaps between them."""

_MOST_PLACES = 48  # times panels
_LEFT, _GAP, _TITLE, _APART = 0.85, 0.14, 0.3, 0.14  # inches
_NARROW, _NARROWEST = 5.4, 3.4  # widths of figures
_PIXELS = 200  # of an inch
_MOST_EXTREMES, _TARGET = 3, 0.045  # on each side; inches around a pixel that can be pointed at


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
class Key:
    """An entry of a legend."""

    text: str
    mark: str = ""
    """As in charts, if there is one."""
    colour: str = DARK
    face: str = ""
    """Of the mark, if it is another colour."""
    size: float = 5
    line: str | None = None
    """Dashes of a line, if there is one."""
    width: float = 1.4
    """Of the line, in points."""


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
    """Height of another panel below each, if there are any."""
    keys: Sequence[Key] = ()
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
        return max(self.upright, 0.25) + (0.15 + LINE * n_lines if n_lines else 0.05)

    @property
    def _full_width(self) -> float:
        return max(_LEFT + self.columns * (self.width + _GAP) + self.margin, _NARROWEST)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        return self._full_width, self.rows * self.step + self.below

    def draw(
        self,
        drawing: Drawing,
        ends: tuple[float, float],
        label: str,
        second_ends: tuple[float, float] = (0.0, 1.0),
        second_label: str = "",
    ) -> list[tuple[Panel, Panel | None]]:
        """Draw the empty panels, each with the other one below it, and the legend.

        Parameters
        ----------
        ends, second_ends
            Of the vertical axes.
        label, second_label
            Written beside them, once in each row.
        """
        made = []
        for place in range(self.n):
            row, column = divmod(place, self.columns)
            left = _LEFT + column * (self.width + _GAP)
            bottom = self.size[1] - row * self.step - _TITLE - self.height
            is_lowest = place + self.columns >= self.n
            y = Axis(ends=ends, places=(bottom, bottom + self.height))
            named = is_lowest and not self.second
            panel, second = self._draw_panel(drawing, left, y, named=named), None
            if column == 0:
                write_upright(drawing, label, sum(y.places) / 2, self.height + _TITLE / 2)
            if self.second:
                y = Axis(ends=second_ends, places=(bottom - _APART - self.second, bottom - _APART))
                second = self._draw_panel(drawing, left, y, named=is_lowest)
                if column == 0:
                    room = self.second + 2 * _APART
                    write_upright(drawing, second_label, sum(y.places) / 2, room)
            made.append((panel, second))
        draw_keys(drawing, self.keys, self._full_width)
        return made

    def _draw_panel(self, drawing: Drawing, left: float, y: Axis, *, named: bool) -> Panel:
        x = Axis(ends=(-0.5, len(self.places) - 0.5), places=(left, left + self.width))
        panel = Panel(x=x, y=y)
        draw_frame(drawing, panel, labelled=left == _LEFT)
        if named:
            at = panel.x.at(np.arange(len(self.places))).tolist()
            name_below(drawing, self.places, at, y.places[0] - 0.07, turned=self.upright > 0)
        return panel


def draw_frame(
    drawing: Drawing,
    panel: Panel,
    x_ticks: Sequence[tuple[float, str]] = (),
    *,
    labelled: bool,
) -> None:
    """Draw the axes of a panel, and the line at 0 if it is inside.

    Parameters
    ----------
    x_ticks
        Places in inches, and what is written below.
    labelled
        Whether numbers are written beside the vertical axis.
    """
    (left, right), (bottom, top) = panel.x.places, panel.y.places
    zero = float(panel.y.at(np.array(0.0)))
    if bottom < zero < top:
        drawing.line([(left, zero), (right, zero)], GREY, 0.8)
    ticks = panel.y.ticks(max(int((top - bottom) / 0.25), 4))
    panel.frame(drawing, x_ticks, [(at, text if labelled else "") for at, text in ticks], LETTERS)


def around_zero(*numbers: "Array | pd.DataFrame") -> tuple[float, float]:
    """Choose the ends of an axis that shows numbers and 0, with some room."""
    return around(np.concatenate([[0.0], *(np.ravel(of) for of in numbers)]), 0.06)


def name_below(
    drawing: Drawing, names: Sequence[str], places: Sequence[float], top: float, *, turned: bool
) -> None:
    """Write names below what is drawn of them."""
    for name, x in zip(names, places, strict=True):
        drawing.write(
            x,
            top,
            shorten(name),
            size=LETTERS,
            ha="right" if turned else "center",
            va="center" if turned else "top",
            turned=turned,
        )


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


def write_upright(drawing: Drawing, text: str, middle: float, room: float) -> None:
    """Write at the left beside a row of panels, in as many lines as it takes.

    Parameters
    ----------
    middle, room
        In inches, from below.
    """
    lines = textwrap.wrap(text, max(int(room / CHARACTER), 8))
    for place, line in enumerate(lines):
        x = 0.12 + 0.15 * place
        drawing.write(x, middle, line, size=LETTERS, ha="center", va="center", turned=True)


def draw_chart(
    name: str,
    title: str,
    size: tuple[float, float],
    paint: Callable[[Drawing], None],
    *,
    caption: str,
    alt: str,
) -> Chart:
    """Draw a chart; the same values give the same bytes.

    Parameters
    ----------
    size
        Width and height in inches.
    paint
        Is given the empty picture.
    """
    drawing = Drawing(name, *size)
    paint(drawing)
    return Chart(name=name, svg=drawing.encode(title), title=title, caption=caption, alt=alt)


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
        paint: Callable[[Drawing], None],
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


def write_title(drawing: Drawing, panel: Panel, label: str, about: str = "") -> None:
    """Write a label above a panel, as much as fits, and something about it: beside it or below."""
    left, right = panel.x.places
    middle, above = (left + right) / 2, panel.y.places[1] + 0.07
    most = int((right - left) / LETTER) - 2
    label = shorten(label, most)
    lines = [label, about] if width_of(label) + width_of(about) >= most else [f"{label} {about}"]
    for place, line in enumerate(reversed(lines)):
        drawing.write(middle, above + 0.15 * place, line.strip(), size=TITLES, ha="center")


def label_width(labels: Sequence[str]) -> float:
    """Say how many inches the longest of some labels takes, as they are shortened."""
    return LETTER * (max(width_of(shorten(label)) for label in labels) + 1)


def mark_reasons(
    drawing: Drawing, panel: Panel, places: Sequence[tuple[float, str]], reasons: Sequence[str]
) -> None:
    """Mark missing estimates at the bottom of a panel, by reason."""
    above = panel.y.places[0] + 0.05
    for x, reason in places:
        mark, at = reason_marker(reasons, reason), float(panel.x.at(np.array(x)))
        drawing.mark(at, above, mark, 5, edge=GREY, face=GREY)


def explain_reasons(reasons: Sequence[str]) -> list[Key]:
    """Make the entries of a legend for reasons of missing estimates."""
    return [
        Key(text=f"missing: {reason}", mark=reason_marker(reasons, reason), colour=GREY)
        for reason in reasons
    ]


def legend_shape(keys: Sequence[Key], width: float) -> tuple[int, int]:
    """Choose the columns and rows of a legend that is as wide as some inches."""
    longest = max(width_of(entry.text) for entry in keys)
    most = max(1, int(width / (0.5 + 0.08 * longest)))
    rows = -(-len(keys) // most)
    return -(-len(keys) // rows), rows


def draw_keys(drawing: Drawing, keys: Sequence[Key], width: float) -> None:
    """Draw a legend at the bottom of a picture, as wide as some inches, column by column."""
    if not keys:
        return
    columns, rows = legend_shape(keys, width)
    step = min(width / columns, 0.5 + LETTER * max(width_of(entry.text) for entry in keys))
    first = (width - columns * step) / 2
    for place, entry in enumerate(keys):
        column, row = divmod(place, rows)
        x, y = first + column * step + 0.16, LINE * (rows - row - 0.5) + 0.05
        if entry.line is not None:
            ends = [(x - 0.13, y), (x + 0.13, y)]
            drawing.line(ends, entry.colour, entry.width, dash=entry.line)
        if entry.mark:
            face = entry.face or entry.colour
            drawing.mark(x, y, entry.mark, entry.size, edge=entry.colour, face=face)
        drawing.write(x + 0.17, y, entry.text, size=LETTERS, va="center")


def draw_participants(
    drawing: Drawing,
    panel: Panel,
    points: Array,
    mark: str,
    *,
    people: Sequence[str],
    values: Sequence[float],
    colours: Sequence[str],
    hollow: Mask,
    cells: NDArray[np.integer[Any]],
    n: int,
    are_pixels: bool,
) -> None:
    """Draw numbers of participants, whose marks are smaller and fainter if there are many.

    If they are pixels, those who point at the highest and the lowest of each cell see whose they
    are; see :func:`pointed_at`.

    Parameters
    ----------
    points : (n_values, 2) array of float
        Inches.
    people, values
        What is shown to those who point at a mark.
    cells : (n_values,) array of int
        Numbers of the same kind have the same one.
    n
        Of participants.
    are_pixels
        Whether a chart has more marks than can be shapes.
    """
    are_few = n <= MOST_NAMED
    size = 4.5 if are_few else 3 if n <= 500 else 2
    with drawing.part("participants"):
        if are_few and not are_pixels:
            of_each = zip(points.tolist(), people, values, colours, hollow, strict=True)
            for (x, y), who, value, colour, is_hollow in of_each:
                face = "white" if is_hollow else colour
                title = f"{who}: {number(value)}"
                drawing.mark(x, y, mark, size, edge=colour, face=face, width=0.8, title=title)
            return
        opacity = 1.0 if are_few else max(0.15, 6 / n**0.5)
        kinds = list(zip(colours, hollow.tolist(), strict=True))
        for colour, is_hollow in dict.fromkeys(kinds):
            of_kind = points[[of == (colour, is_hollow) for of in kinds]]
            shape = _shape(mark, size, hollow=is_hollow)
            _draw_pixels(drawing, panel, of_kind, shape, colour=colour, opacity=opacity)
    with drawing.part("extremes"):
        for cell in np.unique(cells):
            ranked = sorted(np.flatnonzero(cells == cell).tolist(), key=values.__getitem__)
            for place in dict.fromkeys([*ranked[:_MOST_EXTREMES], *ranked[-_MOST_EXTREMES:]]):
                (x, y), title = points[place].tolist(), f"{people[place]}: {number(values[place])}"
                drawing.circle(x, y, _TARGET, "none", 0, fill="white", opacity=0, title=title)


def pointed_at(n: int, n_marks: int) -> str:
    """Say which marks of a chart show whose they are.

    Parameters
    ----------
    n
        Of participants.
    n_marks
        Of the whole chart.
    """
    if n <= MOST_NAMED and n_marks <= MOST_MARKS:
        return "Point at a mark to see whose it is."
    return f"Point at one of the {_MOST_EXTREMES} highest or lowest to see whose it is."


def _draw_pixels(
    drawing: Drawing, panel: Panel, points: Array, shape: Mask, *, colour: str, opacity: float
) -> None:
    """Draw marks of a colour as pixels, as many shapes would make a large file."""
    (left, right), (bottom, top) = panel.x.places, panel.y.places
    edge = len(shape) // 2
    width, height = (round(_PIXELS * of) + 2 * edge for of in (right - left, top - bottom))
    counts = np.zeros((height, width), dtype=np.intp)
    columns = np.rint(_PIXELS * (points[:, 0] - left)).astype(np.intp) + edge
    rows = np.rint(_PIXELS * (top - points[:, 1])).astype(np.intp) + edge
    for down, across in np.argwhere(shape) - edge:
        np.add.at(counts, (rows + down, columns + across), 1)
    shades = 255 * (1 - (1 - opacity) ** np.arange(min(int(counts.max()), 255) + 1))
    palette = [[round(255 * part) for part in components(colour)] + [round(of)] for of in shades]
    drawing.pixels(
        png(np.minimum(counts, 255).astype(np.uint8), np.array(palette, dtype=np.uint8)),
        left - edge / _PIXELS,
        bottom - edge / _PIXELS,
        width / _PIXELS,
        height / _PIXELS,
    )


def _shape(mark: str, size: float, *, hollow: bool) -> Mask:
    """Give the pixels of a mark with a diameter in points, around its centre."""
    radius = _PIXELS * size / 144
    reach = int(np.ceil(radius))
    y, x = np.mgrid[reach : -reach - 1 : -1, -reach : reach + 1]

    def within(radius: float) -> Mask:
        inside: Mask = x**2 + y**2 <= radius**2
        if mark == "o":
            return inside
        inside = np.zeros(x.shape, dtype=bool)
        corners = radius * MARKS[mark]
        for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
            if y1 != y2:  # a line from here to the right crosses every second edge outside
                crossed = (y1 > y) != (y2 > y)
                inside ^= crossed & (x < x1 + (x2 - x1) * (y - y1) / (y2 - y1))
        return inside

    return within(radius) & ~within(radius - 2) if hollow else within(radius)


def letters_in(width: float) -> int:
    """Say how many letters of ordinary text are sure to fit into some inches; three at least."""
    return max(int(width / CHARACTER), 3)


def wrap(lines: Sequence[str], width: float) -> list[str]:
    """Break lines that are wider than some inches."""
    most = max(letters_in(width), 20)
    return [part for line in lines for part in textwrap.wrap(line, most, break_on_hyphens=False)]
