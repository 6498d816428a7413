"""Turn values into one self-contained HTML page.

A page is given everything it shows. It loads nothing: pictures are inside, and there is no
address in it that a browser would ask for.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

from bids_secondlevel.core.rows import MISSING, Column, Schema
from bids_secondlevel.reports.charts.style import Chart

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Hyperlink:
    """A cell that leads to another page; `href` is relative to the page."""

    text: str
    href: str


Cell = str | int | float | None | Hyperlink


@dataclass(frozen=True)
class Table:
    """A table of a page; ``None`` is shown as n/a."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @cached_property  # asked for every cell
    def is_numeric(self) -> list[bool]:
        """Tell for each column whether it holds numbers."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.header)
        return [
            any(map(_is_number, column)) and all(c is None or _is_number(c) for c in column)
            for column in map(tuple, columns)
        ]


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

    @property
    def charts(self) -> dict[str, bytes]:
        """The charts that become files of their own (SVG), by name."""
        charts = (chart for section in self.sections for chart in section.charts)
        return {chart.name: chart.svg for chart in charts if chart.name}


def render(page: Page) -> str:
    """Write a page as HTML. All text is escaped: labels come from file names."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"shown": shown, "data_uri": _data_uri}
    environment.tests |= {"link": lambda cell: isinstance(cell, Hyperlink)}
    template = files("bids_secondlevel").joinpath("data", "page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page)


def shown(value: Cell) -> str:
    """Write a value for readers: four significant digits, n/a for what is not there.

    Examples
    --------
    >>> shown(0.123456), shown(1234.5678), shown(12), shown(None), shown(2.5e-07)
    ('0.1235', '1235', '12', 'n/a', '2.5e-07')
    """
    if value is None:
        return "n/a"
    if isinstance(value, Hyperlink):
        return value.text
    if isinstance(value, float):
        if isfinite(value) and 1000 <= abs(value) < 1e15:
            return f"{value:.0f}"
        return f"{value:.4g}"
    return str(value)


def _is_number(value: Cell) -> bool:
    return isinstance(value, (int, float))


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def table_of(caption: str, table: "pd.DataFrame", schema: Schema, columns: str) -> Table:
    """Show some columns of a table of ours, those that hold anything.

    Parameters
    ----------
    columns
        Their names, separated by spaces.
    """
    cells = {name: _values(table[name], schema[name]) for name in columns.split()}
    there = {name: of for name, of in cells.items() if any(value is not None for value in of)}
    return Table(caption, list(there), list(zip(*there.values(), strict=True)))


def _values(cells: "pd.Series[Any]", declared: Column) -> list[Cell]:
    """Take the values of a column as they are shown; ``None`` for what is missing."""
    if declared.is_number:
        return [None if isnan(value) else declared.kind(value) for value in cells]
    return [None if value == MISSING else value for value in cells]
