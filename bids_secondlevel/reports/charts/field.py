"""Charts of responses in the visual field: a disc for each contrast, and profiles."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.rows import MISSING, each_row, grouped
from bids_secondlevel.core.values import Array
from bids_secondlevel.core.wording import OF_THE_MAPS
from bids_secondlevel.reports.charts.style import (
    DARK,
    GREY,
    HEMISPHERE_NAMES,
    MOST_NAMED,
    Chart,
    axis_label,
    clean,
    interval,
    number,
    pooled_or_apart,
    shorten,
    stem,
)
from bids_secondlevel.reports.colours import LEVELS, level_of, scale
from bids_secondlevel.reports.drawing import Axis, Drawing, Panel, Place, png

if TYPE_CHECKING:
    import pandas as pd

Ranges = Mapping[str, Sequence[tuple[float, float]]]
"""Limits of eccentricity of the ROIs, by visual area."""

SIGNIFICANT = 0.05
"""p_fwe below which a bin is marked."""

_FOVEA = 0.75
_COLUMNS, _MOST_DISCS, _MOST_PROFILES = 3, 12, 4
_DISC, _GAP, _TITLE = 2.3, 0.12, 0.28  # inches
_PANEL, _PANEL_HEIGHT, _BETWEEN = 3.2, 1.45, 0.3
_COMPASS = ((-180, "lower"), (-90, "left"), (0, "upper"), (90, "right"), (180, "lower"))
_SIZE, _LETTER = 8.5, 0.085  # of letters in points; width of one in inches
_COLOURS = "RdBu_r"
_PIXELS = 360  # of the width of a disc
_LEAST = 0.09  # radius between labels
_ARC = 5.0  # degrees between the corners of what is round


def draw_discs(bins: "pd.DataFrame", ranges: Ranges, *, units: str = OF_THE_MAPS) -> list[Chart]:
    """Draw the visual field as a disc for each contrast, with the colours of its cells.

    Parameters
    ----------
    bins : DataFrame
        Bins of a participant, or of the group: with the columns of :data:`~.rois.visual_field.BIN`
        and those that name a series, ``estimate`` (NaN in cells that stay white) and ``p_fwe``
        (NaN if there is none).
    units
        Those of the estimates.

    Returns
    -------
    list of Chart
        For each session, task and visual area; none without cells.

    References
    ----------
    Eccentricity is drawn as log(1 + r / 0.75 degrees), so that a ring is about as wide as on the
    cortex: Horton and Hoyt (1991), Archives of Ophthalmology 109, 816-824.
    """
    cells = bins[bins["profile"] == "cell"]
    return [
        _draw_discs(part, ranges.get(part["area"].iloc[0], ()), name, units)
        for part, name in _parts(cells, _MOST_DISCS, "field")
    ]


def draw_profiles(
    bins: "pd.DataFrame",
    ranges: Ranges,
    participants: "pd.DataFrame | None" = None,
    *,
    units: str = OF_THE_MAPS,
) -> list[Chart]:
    """Draw estimates over eccentricity and over polar angle.

    Parameters
    ----------
    bins
        As for :func:`draw_discs`; those of a group have ``ci95_low``, ``ci95_high`` and ``n``, too.
    participants
        The same bins of each participant.
    units
        Those of the estimates.

    Returns
    -------
    list of Chart
        For each session, task and visual area; several if there are many contrasts.
    """
    profiles = bins[bins["profile"].isin(["eccentricity", "polar_angle"])]
    return [
        _draw_profiles(part, ranges.get(part["area"].iloc[0], ()), participants, name, units)
        for part, name in _parts(profiles, _MOST_PROFILES, "profiles")
    ]


def _parts(bins: "pd.DataFrame", most: int, suffix: str) -> "Iterator[tuple[pd.DataFrame, str]]":
    """Divide bins into charts, each with its name."""
    shown = pooled_or_apart(bins, "estimate")
    by = ["session", "task", "area", "hemi", "space", "statistic"]
    for (session, task, area, hemi, space, statistic), of_chart in grouped(shown, *by):
        contrasts = [name for name, of in grouped(of_chart, "contrast") if _has_number(of)]
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


def _has_number(bins: "pd.DataFrame") -> bool:
    return bool(bins["estimate"].notna().any())


def _title(what: str, first: Any) -> str:
    """Say what a chart is of."""
    of = [
        shorten(first.area),
        f"task {shorten(first.task, 40)}",
        *([] if first.session == MISSING else [f"session {shorten(first.session, 40)}"]),
        *([] if first.hemi == BOTH else [HEMISPHERE_NAMES[first.hemi]]),
    ]
    return f"{what}: {', '.join(of)}"


def radius(eccentricity: Array, largest: float) -> Array:
    """Say how far from the centre of a disc an eccentricity is drawn; its rim is at 1.

    Examples
    --------
    >>> radius(np.array([0.0, 2.0, 16.0]), 16.0).round(2)
    array([0.  , 0.42, 1.  ])
    """
    drawn: Array = np.log1p(np.asarray(eccentricity) / _FOVEA) / np.log1p(largest / _FOVEA)
    return drawn


def _draw_discs(
    bins: "pd.DataFrame", ranges: Sequence[tuple[float, float]], name: str, units: str
) -> Chart:
    """Draw discs side by side, with the same colours."""
    first = bins.iloc[0]
    discs = dict(grouped(bins, "contrast"))
    there = bins[bins["estimate"].notna()]
    largest = there["eccentricity_high"].max()
    highest = float(np.percentile(there["estimate"].abs(), 98)) or 1.0
    columns = min(len(discs), _COLUMNS)
    rows = -(-len(discs) // columns)
    width = columns * (_DISC + _GAP) + 1.0
    height = rows * (_DISC + _GAP + _TITLE) + 0.15
    is_tested = bool(there["p_fwe"].notna().any())
    drawing = Drawing(name, width, height)
    for place, (contrast, of_disc) in enumerate(discs.items()):
        row, column = divmod(place, columns)
        left = column * (_DISC + _GAP) + 0.1
        bottom = height - (row + 1) * (_DISC + _GAP + _TITLE) + _GAP / 2
        middle = left + _DISC / 2, bottom + _DISC / 2
        title = shorten(contrast, int(_DISC / _LETTER) - 2)
        drawing.write(middle[0], bottom + _DISC + 0.06, title, size=9.5, ha="center")
        _draw_cells(drawing, of_disc[of_disc["estimate"].notna()], middle, largest, highest)
        _draw_grid(drawing, middle, ranges, largest)
    label = axis_label(first["statistic"], units)
    _draw_colours(drawing, (width - 0.85, (height - 1.6) / 2), highest, label)
    caption = (
        "The visual field as the participant sees it, with the fovea in the centre. Each cell has "
        "the mean estimate of the vertices that see this part of the field; it is white if there "
        "is none. Rings are drawn about as wide as they are on the cortex; thin circles "
        "are degrees of eccentricity"
        + (", and dashed ones the limits of the ROIs." if ranges else ".")
        + (
            f" Of the group: means over participants, where at least half of those with the map "
            f"have vertices. Outlined: p_fwe < {SIGNIFICANT}, corrected for all cells of a disc."
            if is_tested
            else ""
        )
    )
    told = "; ".join(
        f"{clean(contrast)}: {number(of['estimate'].min())} to {number(of['estimate'].max())} in "
        f"{of['estimate'].notna().sum()} cells, largest {_where_largest(of)}"
        for contrast, of in discs.items()
    )
    title = _title("Responses in the visual field", first)
    return Chart(name=name, svg=drawing.encode(title), title=title, caption=caption, alt=f"{told}.")


def _draw_colours(drawing: Drawing, place: Place, highest: float, label: str) -> None:
    """Draw the scale of colours upright, pointed at its ends as values may be beyond."""
    (left, bottom), (width, height) = place, (0.13, 1.6)
    drawing.pixels(png(scale(_COLOURS)[::-1, None]), left, bottom, width, height)
    tip = left + width / 2
    for y, ahead, end in ((bottom, -0.09, 0), (bottom + height, 0.09, -1)):
        corners = [(left, y), (tip, y + ahead), (left + width, y)]
        colour = f"#{bytes(scale(_COLOURS)[end]).hex()}"
        drawing.line(corners, DARK, 0.5, fill=colour, closed=True)
    drawing.rectangle(left, bottom, width, height, "none", edge=DARK, line=0.5)
    axis = Axis(ends=(-highest, highest), places=(bottom, bottom + height))
    for y, text in axis.ticks(7):
        drawing.line([(left + width, y), (left + width + 0.045, y)], DARK, 0.7)
        drawing.write(left + width + 0.08, y, text, size=_SIZE, va="center")
    drawing.write(
        left + width + 0.6, bottom + height / 2, label, size=_SIZE, ha="center", turned=True
    )


def _where_largest(cells: "pd.DataFrame") -> str:
    """Say in which cell the largest estimate is."""
    cell = next(each_row(cells[cells["estimate"] == cells["estimate"].max()]))
    return (
        f"at {cell.eccentricity_low:g} to {cell.eccentricity_high:g} degrees of eccentricity and "
        f"{cell.polar_angle_low:g} to {cell.polar_angle_high:g} of polar angle"
    )


def _arc(low: float, high: float) -> Array:
    """Give the corners of a part of a circle with the radius 1, clockwise from above."""
    n = max(2, int(np.ceil((high - low) / _ARC)) + 1)
    angles = np.radians(np.linspace(low, high, n))
    return np.column_stack([np.sin(angles), np.cos(angles)])


def _draw_cells(
    drawing: Drawing, cells: "pd.DataFrame", middle: Place, largest: float, highest: float
) -> None:
    """Draw the cells, and outlines around those that are significant."""
    levels = level_of(cells["estimate"].to_numpy() / highest / 2 + 0.5)
    half = _DISC / 2.04
    with drawing.part("cells"):
        palette = np.column_stack([scale(_COLOURS), np.full(LEVELS, 255, dtype=np.uint8)])
        palette[0, 3] = 0  # where there is no cell
        drawn = png(pixels(cells, largest, np.maximum(levels, 1)), palette)
        drawing.pixels(drawn, middle[0] - half, middle[1] - half, 2 * half, 2 * half)
    is_marked = cells["p_fwe"] < SIGNIFICANT
    if is_marked.any():
        with drawing.part("significant"):
            for side in outline(cells[is_marked]):
                at = radius(np.linalg.norm(side, axis=1, keepdims=True), largest) * _unit(side)
                drawing.line(at * half + middle, DARK, 0.9)


def outline(cells: "pd.DataFrame") -> list[Array]:
    """Find the sides of cells that no other of them shares.

    Returns
    -------
    list of (n, 2) array
        Of each side: points to the right of the centre of the visual field and above it, in
        degrees of eccentricity.
    """
    sides: dict[tuple[float, ...], Array | None] = {}
    for cell in each_row(cells):
        low, high = cell.polar_angle_low, cell.polar_angle_high
        rings = cell.eccentricity_low, cell.eccentricity_high
        own = {(ring, ring, low, high): ring * _arc(low, high) for ring in rings}
        for angle in (low, high):
            own[(*rings, angle % 360, angle % 360)] = np.outer(rings, _arc(angle, angle)[0])
        for name, side in own.items():
            sides[name] = None if name in sides else side
    return [side for side in sides.values() if side is not None]


def _unit(points: Array) -> Array:
    """Give the directions of points; that of the centre does not matter."""
    length = np.linalg.norm(points, axis=1, keepdims=True)
    unit: Array = points / np.where(length > 0, length, 1)
    return unit


def pixels(cells: "pd.DataFrame", largest: float, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw cells as pixels, some of a hundredth of the bytes of shapes.

    Parameters
    ----------
    cells
        With their edges.
    largest
        Eccentricity of the rim.
    values
        Of each cell, above 0.

    Returns
    -------
    (n, n) array of uint8
        0 where there is no cell.
    """
    rings, wedges = (
        np.unique(cells[[f"{of}_low", f"{of}_high"]]) for of in ("eccentricity", "polar_angle")
    )
    field = np.zeros((rings.size + 1, wedges.size + 1), dtype=np.uint8)
    for cell, value in zip(each_row(cells), values, strict=True):
        of_rings = np.searchsorted(rings, (cell.eccentricity_low, cell.eccentricity_high)) + 1
        of_wedges = np.searchsorted(wedges, (cell.polar_angle_low, cell.polar_angle_high)) + 1
        field[slice(*of_rings), slice(*of_wedges)] = value
    drawn: NDArray[np.uint8] = field.ravel()[_bins_of_pixels(largest, tuple(rings), tuple(wedges))]
    return drawn


@lru_cache(maxsize=8)
def _bins_of_pixels(
    largest: float, rings: tuple[float, ...], wedges: tuple[float, ...]
) -> NDArray[np.integer[Any]]:
    """Find in which bin each pixel of a disc is, before the first edges and after the last too."""
    x = (np.arange(_PIXELS) + 0.5) * 2 / _PIXELS - 1
    right, up = np.meshgrid(x, -x)
    eccentricity = _FOVEA * np.expm1(np.hypot(right, up) * np.log1p(largest / _FOVEA))
    ring = np.searchsorted(rings, eccentricity, side="right")
    wedge = np.searchsorted(wedges, np.degrees(np.arctan2(right, up)), side="right")
    bins: NDArray[np.integer[Any]] = ring * (len(wedges) + 1) + wedge
    return bins


def _draw_grid(
    drawing: Drawing, middle: Place, ranges: Sequence[tuple[float, float]], largest: float
) -> None:
    """Draw meridians, circles of eccentricity with their degrees, and the limits of the ROIs."""
    (x, y), half = middle, _DISC / 2.04
    drawing.circle(x, y, half, GREY, 0.8)
    for end in ((half, 0.0), (0.0, half)):
        ends = [(x - end[0], y - end[1]), (x + end[0], y + end[1])]
        drawing.line(ends, GREY, 0.4, opacity=0.6)
    labelled = 1 + _LEAST / 2
    for degrees in reversed(_round_degrees(largest)):
        at = float(radius(np.array(degrees), largest))
        drawing.circle(x, y, at * half, GREY, 0.4, opacity=0.6)
        if labelled - at < _LEAST:
            continue
        labelled = at
        right, up = at * half * _arc(135, 135)[0]
        drawing.write(
            x + right,
            y + up,
            f"{degrees:g}°",
            size=6.5,
            colour=DARK,
            ha="center",
            va="center",
            ground=0.75,
        )
    for limit in sorted({limit for limits in ranges for limit in limits if 0 < limit < largest}):
        at = float(radius(np.array(limit), largest))
        with drawing.part("limit"):
            drawing.circle(x, y, at * half, DARK, 1.1, dash="4 2")


def _round_degrees(largest: float) -> list[float]:
    """Choose the eccentricities that are labelled, each twice the one before."""
    return [degrees for degrees in 2.0 ** np.arange(-1, 8) if degrees < 0.95 * largest]


def _draw_profiles(
    bins: "pd.DataFrame",
    ranges: Sequence[tuple[float, float]],
    participants: "pd.DataFrame | None",
    name: str,
    units: str,
) -> Chart:
    """Draw a row of panels for each contrast: over eccentricity, and over polar angle."""
    first = bins.iloc[0]
    contrasts = dict(grouped(bins, "contrast"))
    profiles = [p for p in ("eccentricity", "polar_angle") if (bins["profile"] == p).any()]
    is_group = "n" in bins
    everyone = _those_of(participants, first) if participants is not None else None
    n = int(bins["n"].max()) if is_group else 1
    top, bottom = 0.15, 0.95 if is_group else 0.55
    width = 1.1 + len(profiles) * (_PANEL + _BETWEEN)
    height = top + bottom + len(contrasts) * (_PANEL_HEIGHT + _TITLE)

    drawing = Drawing(name, width, height)
    for row, (contrast, of_row) in enumerate(contrasts.items()):
        y = Axis(
            ends=_span_of(of_row, everyone, contrast),
            places=(
                (bottom_of := height - top - (row + 1) * (_PANEL_HEIGHT + _TITLE)),
                bottom_of + _PANEL_HEIGHT,
            ),
        )
        for column, profile in enumerate(profiles):
            left = 0.9 + column * (_PANEL + _BETWEEN)
            of_panel = of_row[of_row["profile"] == profile]
            lines = []
            if everyone is not None:
                is_in = (everyone["contrast"] == contrast) & (everyone["profile"] == profile)
                lines = [of for _, of in grouped(everyone[is_in], "participant_id")]
            panel = Panel(x=_axis_of(of_panel, profile, left), y=y)
            ticks = _ticks(of_panel, profile)
            placed = [(float(panel.x.at(np.array(at))), text) for at, text in ticks]
            is_last = row + 1 == len(contrasts)
            panel.frame(
                drawing,
                [(at, text if is_last else "") for at, text in placed],
                [(at, "" if column else text) for at, text in y.ticks(5)],
                _SIZE,
            )
            _draw_ground(drawing, panel, of_panel, profile, ranges)
            for of_one in lines:
                with drawing.part("participant"):
                    curve = panel.at(_places(of_one), of_one["estimate"].to_numpy())
                    drawing.line(curve, GREY, 0.5, opacity=0.5)
            _draw_profile(drawing, panel, of_panel, is_group=is_group)
            if is_last:
                drawing.write(
                    left + _PANEL / 2,
                    bottom_of - 0.32,
                    "eccentricity (degrees)" if profile == "eccentricity" else "polar angle",
                    size=_SIZE,
                    ha="center",
                    va="center",
                )
        about = f" (n = {n})" if is_group else ""
        title = shorten(contrast, int(_PANEL / _LETTER) - 2 - len(about)) + about
        drawing.write(0.9 + _PANEL / 2, y.places[1] + 0.07, title, size=9.5, ha="center")
        label = axis_label(first["statistic"], units).partition(" (")
        for line, text in enumerate((label[0], f"({label[2]}" if label[2] else "")):
            middle = sum(y.places) / 2
            at = 0.12 + 0.14 * line
            drawing.write(at, middle, text, size=_SIZE, ha="center", va="center", turned=True)
    if is_group:
        _draw_keys(drawing, width, has_lines=everyone is not None)

    over = " and over polar angle, with all eccentricities together" if len(profiles) > 1 else ""
    caption = f"Mean estimate of the vertices in bins of eccentricity{over}." + (
        f" Means of up to {n} participants with 95 % confidence intervals (Student's t). Filled: "
        f"p_fwe < {SIGNIFICANT}, corrected for the bins of a profile."
        if is_group
        else ""
    )
    if is_group and everyone is not None:
        caption += " A thin line for each participant."
    caption += " Grey: the limits of the ROIs." if ranges else ""
    told = " ".join(f"{clean(name)}: {_tell(of)}." for name, of in contrasts.items())
    title = _title("Profiles over the visual field", first)
    return Chart(name=name, svg=drawing.encode(title), title=title, caption=caption, alt=told)


def _draw_keys(drawing: Drawing, width: float, *, has_lines: bool) -> None:
    """Explain the marks, below all panels."""
    x, y = width / 2 - (2.6 if has_lines else 2.1), 0.16
    drawing.line([(x, y), (x + 0.25, y)], DARK, 1.4)
    drawing.rectangle(x, y - 0.05, 0.25, 0.1, DARK, opacity=0.15)
    drawing.write(x + 0.32, y, "mean and 95 % CI", size=_SIZE, va="center")
    for left, face, text in (
        (x + 1.75, DARK, f"p_fwe < {SIGNIFICANT}"),
        (x + 3.0, "white", "otherwise"),
    ):
        drawing.mark(left, y, "o", 4, edge=DARK, face=face)
        drawing.write(left + 0.1, y, text, size=_SIZE, va="center")
    if has_lines:
        drawing.line([(x + 4.0, y), (x + 4.25, y)], GREY, 0.5)
        drawing.write(x + 4.32, y, "participant", size=_SIZE, va="center")


def _those_of(participants: "pd.DataFrame", first: Any) -> "pd.DataFrame | None":
    """Take the bins of participants that belong to a chart; none if there are too many."""
    same = ["session", "task", "area", "hemi", "space", "statistic"]
    is_in = np.logical_and.reduce([participants[name] == first[name] for name in same])
    own = participants[is_in]
    return own if 0 < own["participant_id"].nunique() <= MOST_NAMED else None


def _span_of(
    bins: "pd.DataFrame", everyone: "pd.DataFrame | None", contrast: str
) -> tuple[float, float]:
    """Choose the limits of an axis, so that all participants are in the picture."""
    values = [bins["estimate"], *(bins[n] for n in ("ci95_low", "ci95_high") if n in bins)]
    if everyone is not None:
        values.append(everyone["estimate"][everyone["contrast"] == contrast])
    numbers = np.concatenate([[0.0], *(of.dropna().to_numpy() for of in values)])
    room = 0.06 * np.ptp(numbers) or 1.0
    return numbers.min() - room, numbers.max() + room


def _places(bins: "pd.DataFrame") -> Array:
    """Say where bins are drawn: in the middle, of eccentricity on its axis."""
    is_ring = bins["polar_angle_low"].isna()
    rings = np.log1p(bins[["eccentricity_low", "eccentricity_high"]].to_numpy() / _FOVEA)
    wedges = bins[["polar_angle_low", "polar_angle_high"]].to_numpy()
    places: Array = np.where(is_ring, rings.mean(axis=1), wedges.mean(axis=1))
    return places


def _axis_of(bins: "pd.DataFrame", profile: str, left: float) -> Axis:
    """Choose the horizontal axis of a panel."""
    ends = (-180.0, 180.0)
    if profile == "eccentricity":
        limits = bins["eccentricity_low"].min(), bins["eccentricity_high"].max()
        low, high = np.log1p(np.array(limits) / _FOVEA)
        ends = float(low), float(high)
    return Axis(ends=ends, places=(left, left + _PANEL))


def _ticks(bins: "pd.DataFrame", profile: str) -> list[tuple[float, str]]:
    """Choose what is written below a panel."""
    if profile == "polar_angle":
        return list(_COMPASS)
    lowest, largest = bins["eccentricity_low"].min(), bins["eccentricity_high"].max()
    ticks = [d for d in _round_degrees(largest / 0.95 + 0.01) if lowest <= d]
    return [(float(np.log1p(tick / _FOVEA)), f"{tick:g}") for tick in ticks]


def _draw_ground(
    drawing: Drawing,
    panel: Panel,
    bins: "pd.DataFrame",
    profile: str,
    ranges: Sequence[tuple[float, float]],
) -> None:
    """Draw the line at 0, and what helps to find places."""
    bottom, top = panel.y.places
    zero = float(panel.y.at(np.array(0.0)))
    drawing.line([(panel.x.places[0], zero), (panel.x.places[1], zero)], GREY, 0.8)
    if profile == "polar_angle":
        for at, _ in _COMPASS[1:4]:
            x = float(panel.x.at(np.array(at)))
            drawing.line([(x, bottom), (x, top)], GREY, 0.4, opacity=0.5)
        return
    lowest, largest = bins["eccentricity_low"].min(), bins["eccentricity_high"].max()
    for limits in ranges:
        low, high = panel.x.at(np.log1p(np.clip(limits, lowest, largest) / _FOVEA))
        with drawing.part("limits"):
            drawing.rectangle(low, bottom, high - low, top - bottom, GREY, opacity=0.1)


def _draw_profile(drawing: Drawing, panel: Panel, bins: "pd.DataFrame", *, is_group: bool) -> None:
    """Draw a curve with gaps where there is no number, and intervals if there are any."""
    x, y = _places(bins), bins["estimate"].to_numpy()
    if is_group:
        low, high = (bins[name].to_numpy() for name in ("ci95_low", "ci95_high"))
        known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            around = np.concatenate([panel.at(x[run], low[run]), panel.at(x[run], high[run])[::-1]])
            drawing.line(around, "none", 0, fill=DARK, opacity=0.15, closed=True)
    points = panel.at(x, y)
    with drawing.part("curve"):
        drawing.line(points, DARK, 1.4)
    is_marked = (bins["p_fwe"] < SIGNIFICANT).to_numpy() if is_group else np.isfinite(y)
    with drawing.part("means"):
        for (across, up), is_filled in zip(points, is_marked, strict=True):
            if np.isfinite(up):
                face = DARK if is_filled else "white"
                drawing.mark(across, up, "o", 4, edge=DARK, face=face)


def _tell(bins: "pd.DataFrame") -> str:
    """Say the numbers of profiles."""
    told = []
    for bin_ in each_row(bins):
        is_ring = bin_.profile == "eccentricity"
        low, high = (
            (bin_.eccentricity_low, bin_.eccentricity_high)
            if is_ring
            else (bin_.polar_angle_low, bin_.polar_angle_high)
        )
        sure = f" ({interval(bin_.ci95_low, bin_.ci95_high)})" if "n" in bins else ""
        told.append(f"{low:g} to {high:g} degrees {number(bin_.estimate)}{sure}")
    n_rings = int((bins["profile"] == "eccentricity").sum())
    both = [("eccentricity", told[:n_rings]), ("polar angle", told[n_rings:])]
    return "; ".join(f"{name} {', '.join(of)}" for name, of in both if of)
