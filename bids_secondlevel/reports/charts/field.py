"""Charts of responses in the visual field: a disc for each contrast."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.positions import Position
from bids_secondlevel.core.rows import MISSING, each_row, grouped, rows_by
from bids_secondlevel.core.values import Array
from bids_secondlevel.core.visual_field import to_plane
from bids_secondlevel.core.wording import OF_THE_MAPS
from bids_secondlevel.reports.charts.style import (
    DARK,
    GREY,
    HEMISPHERE_NAMES,
    LETTER,
    Chart,
    axis_label,
    clean,
    number,
    pooled_or_apart,
    shorten,
    stem,
    whom,
    width_of,
)
from bids_secondlevel.reports.colours import LEVELS, level_of
from bids_secondlevel.reports.colours import scale as colours_of
from bids_secondlevel.reports.drawing import Axis, Drawing, Place, png

if TYPE_CHECKING:
    import pandas as pd

Ranges = Mapping[str, Sequence[tuple[float, float]]]
"""Limits of eccentricity of the ROIs, by visual area."""

Scale = Literal["cortical", "linear"]
"""Of eccentricity in a disc: about as wide as on the cortex, or as on a screen."""

SIGNIFICANT = 0.05
"""Corrected p below which a bin is marked."""

FOVEA = 0.75
"""Degrees; see :func:`draw_discs`."""

COMMON = ("session", "task", "area", "hemi", "space", "statistic")
"""What all bins of a chart have in common."""

_COLUMNS, _MOST_DISCS = 3, 12
_DISC, _GAP, _TITLE = 2.3, 0.12, 0.28  # inches
_BEYOND = 2  # times the limit of the ROIs are in a linear disc
_SIZE = 8.5  # of letters in points
_COLOURS = "RdBu_r"
_PIXELS = 360  # of the width of a disc
_LABELS_AT, _LEAST = 157.5, 0.09  # polar angle of labels, radius between them
_BOUNDS = attrgetter("eccentricity_low", "eccentricity_high", "polar_angle_low", "polar_angle_high")
_ARC = 5.0  # degrees between the corners of what is round


def draw_discs(
    bins: "pd.DataFrame",
    ranges: Ranges,
    positions: Sequence[Position] = (),
    *,
    units: str = OF_THE_MAPS,
) -> list[Chart]:
    """Draw the visual field as a disc for each contrast, with the colours of its cells.

    Parameters
    ----------
    bins : DataFrame
        Bins of a participant, or of the group: with the columns of :data:`~.rois.visual_field.BIN`
        and those that name a series, ``group`` and ``versus``, ``estimate`` (NaN in cells that stay
        white) and ``p_corrected`` (NaN if there is none).
    positions
        To be marked.
    units
        Those of the estimates.

    Returns
    -------
    list of Chart
        For each session, task and visual area, with the eccentricity on either scale, and smoothed
        by receptive fields if there are such bins; none without cells.

    References
    ----------
    Eccentricity is drawn as log(1 + r / 0.75 degrees), so that a ring is about as wide as on the
    cortex: Horton and Hoyt (1991), Archives of Ophthalmology 109, 816-824.
    """
    kinds: tuple[tuple[str, str, Scale], ...] = (
        ("field", "cell", "cortical"),
        ("linearfield", "cell", "linear"),
        ("smoothfield", "receptive_field", "cortical"),
    )
    charts: dict[str, list[Chart]] = {}
    for suffix, profile, scale in kinds:
        for part, name in parts_of_field(bins[bins["profile"] == profile], _MOST_DISCS, suffix):
            limits = ranges.get(part["area"].iloc[0], ())
            chart = _draw_discs(part, limits, positions, name, scale, units)
            charts.setdefault(name.removesuffix(suffix), []).append(chart)
    return [chart for of_part in charts.values() for chart in of_part]


def parts_of_field(
    bins: "pd.DataFrame", most: int, suffix: str
) -> "Iterator[tuple[pd.DataFrame, str]]":
    """Divide bins into charts of so many contrasts at most, each with its name."""
    shown = pooled_or_apart(bins, "estimate")
    for (session, task, area, hemi, space, statistic), of_chart in grouped(shown, *COMMON):
        with_number = set(of_chart["contrast"][of_chart["estimate"].notna()])
        contrasts = [name for name in of_chart["contrast"].unique() if name in with_number]
        for part, start in enumerate(range(0, len(contrasts), most), 1):
            name = stem(
                suffix,
                ses=session,
                task=task,
                hemi=None if hemi == BOTH else hemi,
                space=space,
                label=area,
                stat=statistic,
                part=part if len(contrasts) > most else None,
            )
            some = contrasts[start : start + most]
            yield of_chart[of_chart["contrast"].isin(some)], name


def title_of_field(what: str, first: Any) -> str:
    """Say what a chart is of."""
    of = [
        shorten(first.area),
        f"task {shorten(first.task, 40)}",
        *([] if first.session == MISSING else [f"session {shorten(first.session, 40)}"]),
        *([] if first.hemi == BOTH else [HEMISPHERE_NAMES[first.hemi]]),
    ]
    return f"{what}: {', '.join(of)}"


def radius(eccentricity: Array, largest: float, scale: Scale = "cortical") -> Array:
    """Say how far from the centre of a disc an eccentricity is drawn; its rim is at 1.

    Examples
    --------
    >>> radius(np.array([0.0, 2.0, 16.0]), 16.0).round(2)
    array([0.  , 0.42, 1.  ])
    >>> radius(np.array([0.0, 2.0, 16.0]), 16.0, "linear")
    array([0.   , 0.125, 1.   ])
    """
    if scale == "linear":
        return np.asarray(eccentricity) / largest
    drawn: Array = np.log1p(np.asarray(eccentricity) / FOVEA) / np.log1p(largest / FOVEA)
    return drawn


def _eccentricity_at(at: Array, largest: float, scale: Scale) -> Array:
    """Invert :func:`radius`."""
    return at * largest if scale == "linear" else FOVEA * np.expm1(at * np.log1p(largest / FOVEA))


def who_in_words(group: str, versus: str) -> str:
    """Say whom a panel is about, if not everybody.

    Examples
    --------
    >>> who_in_words("all", "n/a"), who_in_words("A", "n/a"), who_in_words("A", "B")
    ('', ', A', ', A - B')
    """
    return whom(group) if versus == MISSING else f", {group} - {versus}"


def _rim(cells: "pd.DataFrame", ranges: Sequence[tuple[float, float]], scale: Scale) -> float:
    """Choose the eccentricity at the rim: of linear discs, some way beyond the limits of ROIs."""
    edges = cells["eccentricity_high"]
    limit = max((high for _, high in ranges), default=np.inf)
    beyond = edges[edges >= _BEYOND * limit]
    return float(edges.max() if scale == "cortical" or beyond.empty else beyond.min())


@dataclass(frozen=True, kw_only=True)
class _Disc:
    """Where a disc is, and how eccentricities are in it."""

    middle: Place
    largest: float
    """Eccentricity at the rim."""
    scale: Scale

    half = _DISC / 2.04
    """Inches of its radius."""

    def inches(self, eccentricity: float) -> float:
        """Say how far from the middle an eccentricity is."""
        return float(radius(np.array(eccentricity), self.largest, self.scale)) * self.half

    def at(self, eccentricity: Array, polar_angle: Array) -> Array:
        """Place points of the visual field: (n, 2)."""
        away = radius(eccentricity, self.largest, self.scale) * self.half
        return np.column_stack(to_plane(away, polar_angle)) + self.middle


def _draw_discs(  # noqa: PLR0917
    bins: "pd.DataFrame",
    ranges: Sequence[tuple[float, float]],
    positions: Sequence[Position],
    name: str,
    scale: Scale,
    units: str,
) -> Chart:
    """Draw discs side by side, with the same colours."""
    first = bins.iloc[0]
    there = bins[bins["estimate"].notna()]
    largest = _rim(there, ranges, scale)
    there = there[there["eccentricity_high"] <= largest]
    contrasts = list(there["contrast"].unique())
    of_each = rows_by(each_row(there), "contrast", "group", "versus")
    discs = {
        f"{contrast}{who_in_words(group, versus)}": of_each[contrast, group, versus]
        for contrast, group, versus in sorted(of_each, key=lambda of: contrasts.index(of[0]))
    }
    highest = float(np.percentile(there["estimate"].abs(), 98)) or 1.0
    rows = -(-len(discs) // _COLUMNS)
    columns = -(-len(discs) // rows)
    width = columns * (_DISC + _GAP) + 1.0
    height = rows * (_DISC + _GAP + _TITLE) + 0.15
    is_smooth = first["profile"] == "receptive_field"
    is_tested = bool(there["p_corrected"].notna().any())
    has_differences = bool((there["versus"] != MISSING).any())
    drawing = Drawing(name, width, height)
    for place, (label, of_disc) in enumerate(discs.items()):
        row, column = divmod(place, columns)
        left = column * (_DISC + _GAP) + 0.1
        bottom = height - (row + 1) * (_DISC + _GAP + _TITLE) + _GAP / 2
        middle = left + _DISC / 2, bottom + _DISC / 2
        room = int(_DISC / LETTER) - 2
        size = 9.5 if width_of(label) <= room else 7.0
        title = shorten(label, int(room * 9.5 / size))
        drawing.write(middle[0], bottom + _DISC + 0.06, title, size=size, ha="center")
        disc = _Disc(middle=middle, largest=largest, scale=scale)
        _draw_cells(drawing, of_disc, disc, highest)
        _draw_grid(drawing, disc, ranges)
        for at in positions:
            if at.eccentricity < largest:
                ((x, y),) = disc.at(np.array([at.eccentricity]), np.array([at.polar_angle]))
                with drawing.part("position"):
                    drawing.mark(x, y, "d", 6, edge=DARK, face="white", width=0.9)
    axis = axis_label(first["statistic"], units)
    _draw_colours(drawing, (width - 0.85, (height - 1.6) / 2), highest, axis)
    caption = (
        "The visual field as the participant sees it, with the fovea in the centre. "
        + (
            "At the centre of each cell, the mean estimate of all vertices is computed, weighted "
            "by the height of their receptive fields there (Gaussians of sigma); between centres "
            "it is interpolated. Cells are white if no receptive field has half of its height at "
            "their centre; a grey line surrounds the others. "
            if is_smooth
            else "Each cell has the mean estimate of the vertices that see this part of the field. "
            "Cells without vertices are white; a grey line surrounds the others. "
        )
        + (
            "Rings are drawn about as wide as they are on the cortex. "
            if scale == "cortical"
            else f"Eccentricity is linear, up to {largest:g} degrees. "
        )
        + "Thin circles mark eccentricities"
        + (", dashed ones the range of the ROIs." if ranges else ".")
        + (
            " Estimates are means over participants, if at least half of those with the map have "
            f"vertices there. Outlined: p_fwe < {SIGNIFICANT}, corrected for all cells of a disc."
            if is_tested
            else ""
        )
        + (
            f" Differences of two groups are outlined if p_holm < {SIGNIFICANT}."
            if has_differences
            else ""
        )
        + (f" Diamonds: {_positions_in_words(positions)}." if positions else "")
    )
    told = "; ".join(f"{clean(label)}: {_tell(of)}" for label, of in discs.items())
    title = title_of_field("Responses in the visual field", first)
    folded = f"With linear eccentricity, up to {largest:g} degrees" if scale == "linear" else ""
    return Chart(
        name=name,
        svg=drawing.encode(title),
        title=title,
        caption=caption,
        alt=f"{told}.",
        folded="Smoothed by receptive fields" if is_smooth else folded,
    )


def _positions_in_words(positions: Sequence[Position]) -> str:
    return ", ".join(f"{clean(of.name)} ({of})" for of in positions)


def _draw_colours(drawing: Drawing, place: Place, highest: float, label: str) -> None:
    """Draw the scale of colours upright, pointed at its ends as values may be beyond."""
    (left, bottom), (width, height) = place, (0.13, 1.6)
    drawing.pixels(png(colours_of(_COLOURS)[::-1, None]), left, bottom, width, height)
    tip = left + width / 2
    for y, ahead, end in ((bottom, -0.09, 0), (bottom + height, 0.09, -1)):
        corners = [(left, y), (tip, y + ahead), (left + width, y)]
        colour = f"#{bytes(colours_of(_COLOURS)[end]).hex()}"
        drawing.line(corners, DARK, 0.5, fill=colour, closed=True)
    drawing.rectangle(left, bottom, width, height, "none", edge=DARK, line=0.5)
    axis = Axis(ends=(-highest, highest), places=(bottom, bottom + height))
    for y, text in axis.ticks(7):
        drawing.line([(left + width, y), (left + width + 0.045, y)], DARK, 0.7)
        drawing.write(left + width + 0.08, y, text, size=_SIZE, va="center")
    drawing.write(
        left + width + 0.6, bottom + height / 2, label, size=_SIZE, ha="center", turned=True
    )


def _tell(cells: Sequence[Any]) -> str:
    """Say the range of the estimates, and in which cell the largest one is."""
    lowest, largest = (end(cells, key=attrgetter("estimate")) for end in (min, max))
    return (
        f"{number(lowest.estimate)} to {number(largest.estimate)} in {len(cells)} cells, largest "
        f"at {largest.eccentricity_low:g} to {largest.eccentricity_high:g} degrees of eccentricity "
        f"and {largest.polar_angle_low:g} to {largest.polar_angle_high:g} of polar angle"
    )


def _draw_cells(drawing: Drawing, cells: Sequence[Any], disc: _Disc, highest: float) -> None:
    """Draw the cells, and outlines around all, and around those that are significant."""
    shares = np.array([cell.estimate for cell in cells]) / highest / 2 + 0.5
    bounds = tuple(map(_BOUNDS, cells))
    palette = np.column_stack([colours_of(_COLOURS), np.full(LEVELS, 255, dtype=np.uint8)])
    if cells[0].profile == "receptive_field":
        drawn = smooth_pixels(bounds, disc.largest, shares)
    elif len(cells) < LEVELS:  # discs of the same cells differ in their palettes only
        drawn = pixels(bounds, disc.largest, tuple(range(1, len(cells) + 1)), disc.scale)
        palette = palette[[0, *level_of(shares)]]
    else:
        drawn = pixels(bounds, disc.largest, tuple(np.maximum(level_of(shares), 1)), disc.scale)
    palette[0, 3] = 0  # outside the cells
    (x, y), half = disc.middle, disc.half
    with drawing.part("cells"):
        drawing.pixels(png(drawn, palette), x - half, y - half, 2 * half, 2 * half)
    significant = [cell for cell in cells if cell.p_corrected < SIGNIFICANT]
    for name, some, colour, width in (
        ("covered", bounds, GREY, 0.6),
        ("significant", tuple(map(_BOUNDS, significant)), DARK, 0.9),
    ):
        if some:
            with drawing.part(name):
                if not drawing.has_outline(some):
                    drawing.define(some, disc.at(*outline(some)) - disc.middle)
                drawing.outline(some, disc.middle, colour, width)


Bounds = tuple[tuple[float, float, float, float], ...]
"""Of cells: the lower and the upper eccentricity, and the two polar angles."""


def outline(cells: Bounds) -> tuple[Array, Array]:
    """Find the sides of cells that no other of them shares.

    Returns
    -------
    two arrays
        Eccentricity and polar angle of the points of all sides, with NaN after each side.
    """
    sides: dict[tuple[float, ...], tuple[Array, Array] | None] = {}
    for *rings, low, high in cells:
        round_ = np.linspace(low, high, max(2, int(np.ceil((high - low) / _ARC)) + 1))
        own: dict[tuple[float, ...], tuple[Array, Array]] = {
            (at, at, low, high): (np.full(round_.size, at), round_) for at in rings
        }
        for angle in (low, high):
            own[(*rings, angle % 360, angle % 360)] = np.array(rings), np.full(2, angle)
        for name, side in own.items():
            sides[name] = None if name in sides else side
    gap = np.full((2, 1), np.nan)
    drawn = [part for side in sides.values() if side is not None for part in (side, gap)]
    eccentricity, polar_angle = np.concatenate(drawn, axis=1)
    return eccentricity, polar_angle


@lru_cache(maxsize=8)
def pixels(
    cells: Bounds, largest: float, values: tuple[int, ...], scale: Scale = "cortical"
) -> NDArray[np.uint8]:
    """Draw cells as pixels, some of a hundredth of the bytes of shapes.

    Parameters
    ----------
    largest
        Eccentricity of the rim.
    values
        Of each cell, 1 to 255.

    Returns
    -------
    (n, n) array of uint8
        0 where there is no cell.
    """
    rings, wedges, field = _lattice(cells, np.array(values))
    at, angle = _pixels_at()
    ring = np.searchsorted(rings, _eccentricity_at(at, largest, scale), side="right")
    wedge = np.searchsorted(wedges, angle, side="right")
    return field[ring, wedge].astype(np.uint8)


def smooth_pixels(cells: Bounds, largest: float, shares: Array) -> NDArray[np.uint8]:
    """Draw values at the centres of cells as pixels, with a smooth surface between them.

    Parameters
    ----------
    largest
        Eccentricity of the rim.
    shares
        Of the scale of colours, at each centre.

    Returns
    -------
    (n, n) array of uint8
        Steps of the scale, above 0; 0 where there is no cell.
    """
    rings, wedges, values = _lattice(cells, shares)
    _, _, there = _lattice(cells, np.ones(len(cells)))
    across, around = _pixels_at()
    middles = radius((rings[1:] + rings[:-1]) / 2, largest)
    turn = (wedges[1:] + wedges[:-1]) / 2
    if wedges[-1] - wedges[0] == 360:  # the last wedge is beside the first
        for of in (values, there):
            of[:, 0], of[:, -1] = of[:, -2], of[:, 1]
        turn = np.array([turn[-1] - 360, *turn, turn[0] + 360])
        column = np.interp(around, turn, np.arange(turn.size))
    else:
        column = np.interp(around, turn, np.arange(1, turn.size + 1))
    row = np.interp(across, middles, np.arange(1, middles.size + 1))
    total, weight = (_between(of, row, column) for of in (values, there))
    with np.errstate(invalid="ignore"):
        levels = level_of(total / weight)
    is_in = pixels(cells, largest, (1,) * len(cells)) > 0
    drawn: NDArray[np.uint8] = np.where(is_in, np.maximum(levels, 1), 0).astype(np.uint8)
    return drawn


def _between(values: Array, row: Array, column: Array) -> Array:
    """Interpolate linearly between the values of a table, at any places in it."""
    first, left = np.floor(row).astype(int), np.floor(column).astype(int)
    down, right = row - first, column - left
    below, beside = np.minimum(first + 1, len(values) - 1), left + 1
    beside = np.minimum(beside, values.shape[1] - 1)
    upper = (1 - right) * values[first, left] + right * values[first, beside]
    lower = (1 - right) * values[below, left] + right * values[below, beside]
    between: Array = (1 - down) * upper + down * lower
    return between


def _lattice(cells: Bounds, values: Array) -> tuple[Array, Array, Array]:
    """Put the values of cells into a table of rings and wedges, 0 around it and in gaps.

    Returns
    -------
    rings, wedges : array
        Their edges.
    table : (n_rings + 2, n_wedges + 2) array
    """
    bounds = np.hsplit(np.array(cells), 2)
    rings, wedges = map(np.unique, bounds)
    table = np.zeros((rings.size + 1, wedges.size + 1))
    places = (
        (1 + np.searchsorted(edges, of)).tolist()
        for edges, of in zip((rings, wedges), bounds, strict=True)
    )
    for of_rings, of_wedges, value in zip(*places, values, strict=True):
        table[slice(*of_rings), slice(*of_wedges)] = value
    return rings, wedges, table


@cache
def _pixels_at() -> tuple[Array, Array]:
    """Say how far from the centre of a disc its pixels are, and in which direction."""
    x = (np.arange(_PIXELS) + 0.5) * 2 / _PIXELS - 1
    right, up = np.meshgrid(x, -x)
    return np.hypot(right, up), np.degrees(np.arctan2(right, up))


def _draw_grid(drawing: Drawing, disc: _Disc, ranges: Sequence[tuple[float, float]]) -> None:
    """Draw meridians, circles of eccentricity with their degrees, and the limits of the ROIs."""
    (x, y), half = disc.middle, disc.half
    drawing.circle(x, y, half, GREY, 0.8)
    for end in ((half, 0.0), (0.0, half)):
        ends = [(x - end[0], y - end[1]), (x + end[0], y + end[1])]
        drawing.line(ends, GREY, 0.4, opacity=0.6)
    labelled = 1 + _LEAST / 2
    for degrees in reversed(round_degrees(disc.largest)):
        at = disc.inches(degrees)
        drawing.circle(x, y, at, GREY, 0.4, opacity=0.6)
        if labelled - at / half < _LEAST:
            continue
        labelled = at / half
        ((left, bottom),) = disc.at(np.array([degrees]), np.array([_LABELS_AT]))
        drawing.write(
            left,
            bottom,
            f"{degrees:g}°",
            size=6.5,
            colour=DARK,
            ha="center",
            va="center",
            ground=0.75,
        )
    limits = sorted({limit for limits in ranges for limit in limits})
    for limit in limits:
        if 0 < limit < disc.largest:
            with drawing.part("limit"):
                drawing.circle(x, y, disc.inches(limit), DARK, 1.1, dash="4 2")


def round_degrees(largest: float) -> list[float]:
    """Choose the eccentricities that are labelled, each twice the one before."""
    return [degrees for degrees in 2.0 ** np.arange(-1, 8) if degrees < 0.95 * largest]
