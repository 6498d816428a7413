"""Turn values into one self-contained HTML page.

A page is given everything it shows. It loads nothing: pictures are inside, and there is no
address in it that a browser would ask for.
"""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import repeat
from math import floor, isfinite, isnan, log10
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bids_secondlevel.core.rows import MISSING, Column, Schema
from bids_secondlevel.core.wording import FigureFormat
from bids_secondlevel.reports.charts.style import Chart, shorten, width_of
from bids_secondlevel.reports.formats import redraw

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Hyperlink:
    """What leads to another page; `href` is relative to the page."""

    text: str
    href: str


@dataclass(frozen=True)
class Folded:
    """A cell of which a summary is shown, and all of it on demand."""

    summary: str
    text: str


Cell = str | int | float | None | Hyperlink | Folded

_ROOM = {"": 368, "r1": 500, "r2": 650, "r3": 850, "r4": 1050, "r5": 1310}
"""Classes of columns, with the pixels of a table that has these columns and those before; where
there is more room, they are shown."""

_INTERVAL = ("ci95_low", "ci95_high")
"""Columns that are shown together."""

_HIDDEN = "z"
"""Class of columns that are only in what is downloaded."""

_FIRST = (
    *("participant_id", "name", "term", "used for", "file", "verdict", "contrast", "roi"),
    *("other_roi", "hemi", "group", "versus", "profile", "mean", "estimate", "coefficient"),
    *("value", "p", "ci95_low", "ci95_high", "p_fwe", "status", "n", "session", "task"),
)
"""Columns in the order in which they find room; others follow as they come."""

_ONCE = {"n", "n_group", "n_versus", "df", "n_runs", "n_rows", "n_participants"}
"""Columns of numbers that the caption names if all are the same."""

_NARROW = 5.6  # inches, of a chart
_MOST_SAID = 8  # sentences
_MOST_ROWS = 30  # of a table that is not folded
_LONG_NAME = 10  # letters of a column
_LONG, _SHORT = 36, 13  # characters of a cell in one line, and on a narrow page


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column of a table as a page shows it."""

    name: str
    cells: Sequence[Cell]
    is_number: bool
    texts: Sequence[str]
    """What is shown of each cell."""
    is_constant: bool
    """Whether the caption says it once for all rows."""

    @property
    def exact(self) -> list[str]:
        """The value of each cell, where what is shown is less."""
        return [
            whole if (whole := _exact(cell)) != text else ""
            for cell, text in zip(self.cells, self.texts, strict=True)
        ]

    def pixels(self, room: int) -> float:
        """Give its width in letters of 13 pixels, on the safe side; text wraps in little room."""
        most = _LONG if self.is_number or room > _ROOM[""] else _SHORT
        longest = min(max(map(width_of, self.texts), default=0), most)
        return 12 + max(9.2 * max(map(width_of, self.name_parts)), 8.4 * longest)

    @property
    def name_parts(self) -> list[str]:
        """Its name, in lines if it is a long one above numbers."""
        if not self.is_number or len(self.name) <= _LONG_NAME:
            return [self.name]
        first, *others = self.name.split("_")
        return [*(f"{part}_" for part in (first, *others[:-1])), others[-1]] if others else [first]


@dataclass(frozen=True)
class Table:
    """A table of a page; ``None`` is shown as n/a."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @cached_property
    def columns(self) -> list[TableColumn]:
        """Its columns, each with what is shown of it."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.header)
        return [_column(name, cells) for name, cells in zip(self.header, columns, strict=True)]

    @cached_property
    def classes(self) -> list[str]:
        """Give the classes of each column: from which width it is shown, whether of numbers."""
        varying = [c for c in self.columns if not c.is_constant]
        shown_from: dict[str, str] = {}
        fitting: list[TableColumn] = []
        rooms = list(_ROOM)
        for column in sorted(varying, key=lambda c: _rank(c.name)):
            if column.name == _INTERVAL[1]:
                continue
            names = _INTERVAL if column.name == _INTERVAL[0] else (column.name,)
            more = [*fitting, *(c for c in varying if c.name in names)]
            fits = [r for r in rooms if sum(c.pixels(_ROOM[r]) for c in more) <= _ROOM[r]]
            if fits:
                fitting, rooms = more, rooms[rooms.index(fits[0]) :]
                shown_from |= dict.fromkeys(names, fits[0])
        return [
            f"{shown_from.get(c.name, _HIDDEN)} {'n' if c.is_number else ''}".strip()
            for c in self.columns
        ]

    @property
    def shown_rows(self) -> Iterator[Sequence[tuple[Cell, str, str, str]]]:
        """Give for each cell what it is, what is shown of it, all of it if more, and its class."""
        columns = [
            zip(c.cells, c.texts, c.exact, repeat(of))
            for c, of in zip(self.columns, self.classes, strict=True)
        ]
        return zip(*columns, strict=True)

    @property
    def is_folded(self) -> bool:
        """Whether it is shown on demand, as it is long."""
        return len(self.rows) > _MOST_ROWS

    @property
    def about(self) -> str:
        """What all rows have in common."""
        return ", ".join(
            f"{c.name} {c.texts[0]}"
            for c in self.columns
            if c.is_constant and c.cells[0] is not None
        )


def _rank(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _column(name: str, cells: Sequence[Cell]) -> TableColumn:
    is_number = any(map(_is_number, cells)) and all(c is None or _is_number(c) for c in cells)
    texts = _numbers(name, cells) if is_number else [shown(cell) for cell in cells]
    is_plain = not any(isinstance(cell, (Hyperlink, Folded)) for cell in cells)
    is_same = len(texts) > 1 and len(set(texts)) == 1 and is_plain
    return TableColumn(
        name=name,
        cells=cells,
        is_number=is_number,
        texts=texts,
        is_constant=is_same and len(texts[0]) <= _LONG and (not is_number or name in _ONCE),
    )


def _numbers(name: str, cells: Sequence[Any]) -> list[str]:
    """Write the numbers of a column as papers do, all with the same decimals.

    Examples
    --------
    >>> _numbers("mean", [0.81832, -0.30471, None]), _numbers("mean", [0.0123, 0.0345])
    (['0.82', '-0.30', 'n/a'], ['0.012', '0.035'])
    >>> _numbers("p_fwe", [0.0444, 2e-5, 1.0]), _numbers("df", [7.0, 8.0])
    (['.044', '< .001', '1.000'], ['7', '8'])
    """
    if name == "p" or name.startswith(("p_", "q_")):
        return [shown(c) if c is None else _p_value(c) for c in cells]
    if name == "bf10":
        return [shown(c) if c is None else _factor(c) for c in cells]
    sizes = [abs(c) for c in cells if c is not None and isfinite(c) and c != 0]
    if all(size == round(size) and size < 1e15 for size in sizes):
        return [shown(c) if c is None or not isfinite(c) else f"{c:.0f}" for c in cells]
    scale = median(sizes)
    if not 1e-4 <= scale < 1e6:
        return [shown(c) for c in cells]
    digits = 0 if scale >= 1000 else 1 if scale >= 100 else max(2, 1 - floor(log10(scale)))
    return [shown(c) if c is None or not abs(c) < 1e7 else f"{c:z.{digits}f}" for c in cells]


def _p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _factor(factor: float) -> str:
    return "> 10,000" if factor > 1e4 else f"{factor:.0f}" if factor >= 10 else f"{factor:.2g}"


def _exact(cell: Cell) -> str:
    return cell.text if isinstance(cell, (Hyperlink, Folded)) else shown(cell, exact=True)


@dataclass(frozen=True)
class Download:
    """A text that can be saved as a file."""

    name: str
    text: str

    @property
    def href(self) -> str:
        """The address of a link that holds the text."""
        return f"data:text/plain;charset=utf-8,{quote(self.text, errors='replace')}"


@dataclass(frozen=True, kw_only=True)
class Badge:
    """A name with what is thought of it, one of many beside each other."""

    name: str
    verdict: str
    href: str | None
    thumbnail: bytes | None = None
    """A small picture (PNG)."""

    @property
    def picture(self) -> str | None:
        """The address of the small picture, which holds it."""
        if self.thumbnail is None:
            return None
        return f"data:image/png;base64,{b64encode(self.thumbnail).decode()}"


@dataclass(frozen=True)
class Section:
    """A part of a page: text, then notes, pictures, and tables."""

    title: str
    text: Sequence[str] = ()
    """Paragraphs."""
    notes: Sequence[str] = ()
    """What a reader must not miss, such as warnings."""
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    code: str = ""
    """Shown as it is, in letters of the same width."""
    badges: Sequence[Badge] = ()
    downloads: Sequence[Download] = ()
    links: Sequence[Hyperlink] = ()
    sentences: Sequence[str] = ()
    """What was found."""
    how: str = ""
    """How to read the sentences."""

    @property
    def captions(self) -> list[str]:
        """What to write below each chart: each sentence once in a section."""
        said: set[str] = set()
        shown = []
        for chart in self.charts:
            sentences = re.split(r"(?<=\.) (?=[A-Z])", chart.caption)
            shown.append(" ".join(each for each in sentences if each not in said))
            said |= set(sentences)
        return shown

    @property
    def said(self) -> tuple[Sequence[str], Sequence[str]]:
        """The sentences that are shown, and those that are shown on demand."""
        most = len(self.sentences) if len(self.sentences) <= _MOST_SAID + 2 else _MOST_SAID
        return self.sentences[:most], self.sentences[most:]

    @property
    def has_sides(self) -> bool:
        """Whether words and tables are beside the charts, as these are narrow."""
        is_narrow = all(chart.width <= _NARROW for chart in self.charts)
        return bool(self.charts and (self.sentences or self.tables)) and is_narrow

    @property
    def anchor(self) -> str:
        """Name of the section within the page."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


@dataclass(frozen=True)
class Page:
    """A page: a title, a sentence that sums it up, and sections."""

    title: str
    summary: str
    sections: Sequence[Section]
    about: str = ""
    """Of what it is, and what made it."""
    command: str = ""
    """That which made it, without folders."""

    def figures(self, formats: Iterable[FigureFormat]) -> dict[tuple[str, FigureFormat], bytes]:
        """Give its pictures as files, by name and format.

        A picture without a name is a file (SVG) already.
        """
        return {
            (chart.name, kind): chart.svg if kind == "svg" else redraw(chart.svg, kind)
            for section in self.sections
            for chart in section.charts
            for kind in formats
            if chart.name or kind != "svg"
        }


def render(page: Page, links: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Write a page as HTML. All text is escaped: labels come from file names.

    Parameters
    ----------
    links
        Addresses of the files of pictures in other formats, by name and format.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # A chart is ours, with its labels escaped; inside the page, its marks can be pointed at.
    environment.filters |= {"inside": lambda svg: Markup(svg.decode())}  # noqa: S704
    environment.tests |= {
        "link": lambda cell: isinstance(cell, Hyperlink),
        "folded": lambda cell: isinstance(cell, Folded),
    }
    rooms = {of: room for of, room in _ROOM.items() if of}
    template = files("bids_secondlevel").joinpath("data", "page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page, rooms=rooms, links=links or {})


def shown(value: Cell, *, exact: bool = False) -> str:
    """Write a value for readers: four significant digits, n/a for what is not there.

    Parameters
    ----------
    exact
        All digits.

    Examples
    --------
    >>> shown(0.123456), shown(1234.5678), shown(12), shown(None), shown(2.5e-07)
    ('0.1235', '1235', '12', 'n/a', '2.5e-07')
    """
    if value is None:
        return "n/a"
    if isinstance(value, Hyperlink):
        return value.text
    if isinstance(value, Folded):
        return value.summary
    if isinstance(value, float) and not exact:
        if isfinite(value) and 1000 <= abs(value) < 1e15:
            return f"{value:.0f}"
        return f"{value:.4g}"
    return str(value)


def _is_number(value: Cell) -> bool:
    return isinstance(value, (int, float))


def table_of(caption: str, table: "pd.DataFrame", schema: Schema, columns: str) -> Table:
    """Show some columns of a table of ours, those that hold anything.

    Parameters
    ----------
    columns
        Their names, separated by spaces.
    """
    cells = {name: _values(name, table[name], schema[name]) for name in columns.split()}
    there = {name: of for name, of in cells.items() if any(value is not None for value in of)}
    return Table(caption, list(there), list(zip(*there.values(), strict=True)))


def _values(name: str, cells: "pd.Series[Any]", declared: Column) -> list[Cell]:
    """Take the values of a column as they are shown; ``None`` for what is missing."""
    if declared.is_number:
        return [None if isnan(value) else declared.kind(value) for value in cells]
    return [None if value == MISSING else _folded(name, value) for value in cells]


def _folded(name: str, text: str) -> Cell:
    if name == "excluded":
        return Folded(count_reasons(text.split("; ")), text)
    return Folded(shorten(text, _LONG), text) if width_of(text) > _LONG else text


def count_reasons(excluded: Iterable[str]) -> str:
    """Count the participants that are left out by reason.

    Examples
    --------
    >>> count_reasons(["sub-01:empty_roi", "sub-02:excluded (moved)", "sub-03:empty_roi"])
    '2 empty_roi, 1 excluded'
    """
    counts = Counter(part.partition(":")[2].partition(" ")[0] for part in excluded)
    return ", ".join(f"{n} {reason}" for reason, n in counts.items())
