"""Charts of a participant: estimates and what each was measured in, and the ROIs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, HEMISPHERES, main_rows
from bids_secondlevel.core.rows import MISSING, each_row, grouped
from bids_secondlevel.reports.charts.layout import (
    CHARACTER,
    LETTERS,
    TITLES,
    WIDTH,
    Key,
    Part,
    draw_keys,
    explain_reasons,
    label_width,
    legend_shape,
    name_below,
    parts,
)
from bids_secondlevel.reports.charts.style import (
    CIRCULAR,
    DARK,
    FLAGGED,
    GREY,
    HEMISPHERE_NAMES,
    PLAIN,
    Appearance,
    Chart,
    axis_label,
    clean,
    number,
    pooled_or_apart,
    reason_marker,
    shorten,
)
from bids_secondlevel.reports.colours import level_of, scale
from bids_secondlevel.reports.drawing import Axis, Drawing, Panel, Place, around

if TYPE_CHECKING:
    import pandas as pd

_MARKERS = {"L": "<", BOTH: "o", "R": ">"}
_OFFSETS = {"L": 0.2, BOTH: 0.0, "R": -0.2}  # rows
_ROW, _WIDTH, _MOST_ROWS = 0.21, 6.0, 66  # inches; rows of a chart
_MARKED = (10, 100, 1000)  # vertices, in the legend
_COVERED = 0.95  # coverage from which it is not written beside a mark
_SMALL = 7.5  # points

_MEASURES = {"area_mm2": "area on the participant's own surface", "volume_mm3": "volume"}
_BARS = 1.9  # inches, the height of the highest
_CELL = 0.42  # inches, the side of a cell


def draw_participant_estimates(estimates: "pd.DataFrame", look: Appearance = PLAIN) -> list[Chart]:
    """Draw the estimates of a participant: a row for each contrast and ROI.

    Returns
    -------
    list of Chart
        For each session and task; several if there are many contrasts.
    """
    rows = look.coloured(estimates).assign(panel=estimates["contrast"], is_control=False)
    most = max(1, _MOST_ROWS // (rows["roi"].nunique() + 1))
    return [_draw_estimates(part, look) for part in parts(rows, most)]


def _draw_estimates(part: Part, look: Appearance) -> Chart:
    rows = part.rows
    has_number = rows["estimate"].notna()
    unit = look.elements
    keys = [
        Key(text=HEMISPHERE_NAMES[hemi], mark=marker)
        for hemi, marker in _MARKERS.items()
        if (rows["hemi"] == hemi).any()
    ]
    caption = (
        f"Estimate in each ROI, in {look.units}. The larger the mark, the more {unit} the ROI "
        f"has. A percentage beside a mark is the share of these with data, if it is below "
        f"{100 * _COVERED:.0f} %. Point at a mark to read its numbers."
    )
    if (rows["independence"][has_number] == "circular").any():
        keys.append(Key(text="circular", mark="o", face="white"))
        caption += f" Hollow marks are circular. {CIRCULAR}"
    if (rows["flags"][has_number] != MISSING).any():
        keys.append(Key(text="flagged", mark="o", face="white"))
        caption += f" {FLAGGED}"
    keys += [Key(text=f"{n} {unit}", mark="o", colour=GREY, size=_diameter(n)) for n in _MARKED]
    reasons = list(rows["status"][~has_number].unique())
    keys += explain_reasons(reasons)
    _, n_lines = legend_shape(keys, _WIDTH)
    n_rows = len(part.panels) * (len(part.rois) + 1)
    height, below = _ROW * (n_rows + 0.5), 0.55 + 0.2 * n_lines
    left = 0.25 + label_width(part.rois)
    ends = around(np.append(rows["estimate"].to_numpy(), 0.0), 0.05)
    panel = Panel(
        x=Axis(ends=ends, places=(left, _WIDTH - 0.45)),
        y=Axis(ends=(0.5 - n_rows, 0.5), places=(below, below + height)),
    )
    name, title = part.name("estimates"), part.title("Estimates")
    drawing = Drawing(name, _WIDTH, height + below + 0.1)
    _draw_rows(drawing, panel, part, reasons, unit)
    label, middle = axis_label(part.first.statistic, look.units), sum(panel.x.places) / 2
    drawing.write(middle, below - 0.35, label, size=LETTERS, ha="center", va="center")
    draw_keys(drawing, keys, _WIDTH)
    alt = part.alt(partial(_tell_estimates, unit=unit))
    return Chart(
        name=name,
        svg=drawing.encode(title),
        title=title,
        caption=caption,
        alt=alt,
    )


def _diameter(n_vertices: float) -> float:
    """Choose the diameter of a mark in points: its area is the root of how many there are."""
    return float(2.1 * np.clip(np.nan_to_num(n_vertices), 5, 2000) ** 0.25)


def _draw_rows(
    drawing: Drawing, panel: Panel, part: Part, reasons: Sequence[str], unit: str
) -> None:
    """Draw the marks of each row, and what is written on the left."""
    (left, right), (bottom, top) = panel.x.places, panel.y.places
    places: dict[tuple[str, str], float] = {}
    for i, name in enumerate(part.panels):
        first = -i * (len(part.rois) + 1.0)
        title = shorten(name, int((_WIDTH - left) / CHARACTER) - 6)
        at = float(panel.y.at(np.array(first)))
        drawing.write(left + 0.03, at, title, size=LETTERS, weight="bold", va="center")
        places |= {(name, roi): first - j for j, roi in enumerate(part.rois, 1)}
    for (_, roi), place in places.items():
        at = float(panel.y.at(np.array(place)))
        drawing.line([(left, at), (right, at)], "#e4e4e4", 0.6)
        drawing.write(left - 0.06, at, shorten(roi), size=LETTERS, ha="right", va="center")
    zero = float(panel.x.at(np.array(0.0)))
    drawing.line([(zero, bottom), (zero, top)], GREY, 0.8)
    panel.frame(drawing, panel.x.ticks(6), [], LETTERS)
    rows = part.rows
    row_of = [places[cell] for cell in zip(rows["panel"], rows["roi"], strict=True)]
    is_hollow = (rows["independence"] == "circular") | (rows["flags"] != MISSING)
    placed = rows.assign(
        x=panel.x.at(rows["estimate"].to_numpy()),
        y=panel.y.at(np.array(row_of) + rows["hemi"].map(_OFFSETS).to_numpy()),
        face=rows["colour"].mask(is_hollow, "white"),
    )
    there = placed[placed["estimate"].notna()]
    for hemi, of_hemi in grouped(there, "hemi"):
        with drawing.part(f"estimate-{hemi}"):
            for row in each_row(of_hemi):
                drawing.mark(
                    row.x,
                    row.y,
                    _MARKERS[hemi],
                    _diameter(row.n_vertices),
                    edge=row.colour,
                    face=row.face,
                    title=f"{_name(row)}: {number(row.estimate)} ({_measured_in(row, unit)})",
                )
    is_main = there["hemi"].isin(main_rows(there["hemi"].unique()))
    for row in each_row(there[is_main & (there["coverage"] < _COVERED)]):
        beside = row.x + (3 + _diameter(row.n_vertices) / 2) / 72
        share = f"{100 * row.coverage:.0f} %"
        drawing.write(beside, row.y, share, size=7, va="center", colour=DARK)
    for row in each_row(placed[placed["estimate"].isna()]):
        mark = reason_marker(reasons, row.status)
        title = f"{_name(row)}: {row.status}"
        drawing.mark(right - 0.05, row.y, mark, 4, edge=GREY, face=GREY, title=title)


def _tell_estimates(rows: "pd.DataFrame", unit: str) -> str:
    return "; ".join(
        f"{clean(row.roi)} {row.hemi} {number(row.estimate)} "
        + (f"({row.status})" if np.isnan(row.estimate) else f"({_measured_in(row, unit)})")
        for row in each_row(rows)
    )


def _name(row: Any) -> str:
    return f"{row.contrast}, {row.roi}, {HEMISPHERE_NAMES[row.hemi]}"


def _measured_in(row: Any, unit: str) -> str:
    share = "" if np.isnan(row.coverage) else f", coverage {100 * row.coverage:.0f} %"
    return f"{number(row.n_vertices)} {unit}{share}"


def draw_participant_sizes(quality: "pd.DataFrame", look: Appearance = PLAIN) -> list[Chart]:
    """Draw how large the ROIs of a participant are in each hemisphere.

    Returns
    -------
    list of Chart
        One, or none if there is no ROI. It has a second panel if areas are known.
    """
    halves = quality[quality["hemi"].isin(HEMISPHERES)]
    rows = quality if halves.empty else halves
    if rows.empty:
        return []
    columns = [column for column in look.sizes if rows[column].notna().any()] or ["n_vertices"]
    rois = list(rows["roi"].unique())
    known = look.colours(rois)
    colours = {roi: known[roi] for roi in rois}
    width = min(max(1.9, 0.56 * len(rois)), WIDTH - 0.4)
    is_upright = label_width(rois) > width / len(rois)
    names = label_width(rois) if is_upright else 0.2
    legend = 0.0 if halves.empty else 0.35
    across = len(columns) if width < WIDTH / 2 - 0.4 else 1
    step = _BARS + 0.6 + names
    size = across * (width + 0.3) + 0.1, -(-len(columns) // across) * step + legend + 0.05
    drawing = Drawing("sizes", max(size[0], 3.4), size[1])
    for place, column in enumerate(columns):
        left = 0.2 + place % across * (width + 0.3)
        bottom = size[1] - (place // across + 1) * step + names + 0.05
        title, unit = look.sizes[column]
        drawing.write(left + width / 2, bottom + _BARS + 0.3, title, size=TITLES, ha="center")
        highest = max(float(np.nan_to_num(rows[column].max())), 1e-9)
        panel = Panel(
            x=Axis(ends=(-0.6, len(rois) - 0.4), places=(left, left + width)),
            y=Axis(ends=(0.0, highest), places=(bottom, bottom + _BARS)),
        )
        _draw_bars(drawing, panel, rows, column, colours, unit=unit)
        at = panel.x.at(np.arange(len(rois))).tolist()
        name_below(drawing, rois, at, bottom - 0.06, turned=is_upright)
    if not halves.empty:
        fills = {"L": GREY, "R": drawing.hatch(DARK)}
        for left, (hemi, fill) in zip((0.25, 1.85), fills.items(), strict=True):
            drawing.rectangle(left, 0.08, 0.25, 0.11, fill, edge=DARK, line=0.8)
            drawing.write(left + 0.32, 0.135, HEMISPHERE_NAMES[hemi], size=LETTERS, va="center")
    sizes = f"Number of {look.elements} of each ROI{'' if halves.empty else ' in each hemisphere'}"
    measured = f", and its {_MEASURES[columns[-1]]}" if len(columns) > 1 else ""
    reasons = rows["status"][rows["n_vertices"].isna()].unique()
    return [
        Chart(
            name="sizes",
            svg=drawing.encode("Sizes of the ROIs"),
            title="Sizes of the ROIs",
            caption=f"{sizes}{measured}."
            + (f" n/a: {'; '.join(reasons)}." if len(reasons) else ""),
            alt="; ".join(_tell_size(row, look) for row in each_row(rows)) + ".",
        )
    ]


def _draw_bars(
    drawing: Drawing,
    panel: Panel,
    rows: "pd.DataFrame",
    column: str,
    colours: Mapping[str, str],
    *,
    unit: str,
) -> None:
    """Draw bars with their numbers, beside each other for the two hemispheres."""
    rois, (left, right) = list(colours), panel.x.places
    bottom, is_narrow = panel.y.places[0], len(rois) > 6
    for roi, hemi, size in zip(rows["roi"], rows["hemi"], rows[column], strict=True):
        middle = rois.index(roi) + {"L": -0.21, "R": 0.21}.get(hemi, 0.0)
        first, x, last = panel.x.at(np.array([middle - 0.19, middle, middle + 0.19]))
        top = float(panel.y.at(np.nan_to_num(size)))
        colour = colours[roi]
        fill = drawing.hatch(colour) if hemi == "R" else colour
        drawing.rectangle(
            first,
            bottom,
            last - first,
            top - bottom,
            fill,
            edge=colour,
            line=0.8,
            title=f"{roi}, {HEMISPHERE_NAMES[hemi]}: {number(size)} {unit}",
        )
        drawing.write(
            x,
            top + 0.04,
            number(size),
            size=_SMALL,
            ha="left" if is_narrow else "center",
            va="center" if is_narrow else "baseline",
            turned=is_narrow,
        )
    drawing.line([(left, bottom), (right, bottom)], GREY, 0.8)


def _tell_size(row: Any, look: Appearance) -> str:
    told = ", ".join(
        f"{number(size)} {unit}"
        for column, (_, unit) in look.sizes.items()
        if not np.isnan(size := getattr(row, column))
    )
    return f"{clean(row.roi)} {row.hemi} {told or f'n/a ({row.status})'}"


def draw_overlaps(overlaps: "pd.DataFrame") -> list[Chart]:
    """Draw how much of their vertices each two ROIs of a participant share.

    Returns
    -------
    list of Chart
        One, with a matrix for both hemispheres pooled, or for each if nothing is pooled; or
        none if there are not two ROIs.
    """
    rows = pooled_or_apart(overlaps, "dice")
    if rows.empty:
        return []
    rois = list(dict.fromkeys(rows[["roi", "other_roi"]].to_numpy().ravel()))
    names, side = label_width(rois), _CELL * (len(rois) - 1)
    matrices = dict(grouped(rows, "hemi"))
    step, width = side + names + 0.4, max(names + side + 0.15, 2.2)
    drawing = Drawing("overlaps", width, len(matrices) * step)
    for place, (hemi, of_hemi) in enumerate(matrices.items()):
        top = (len(matrices) - place) * step - 0.3
        title = HEMISPHERE_NAMES[hemi]
        drawing.write(width / 2, top + 0.1, title, size=TITLES, ha="center")
        _draw_matrix(drawing, (names + 0.05, top), of_hemi, rois)
    told = "; ".join(
        f"{clean(row.roi)} and {clean(row.other_roi)} {row.hemi} {number(row.dice)}"
        for row in each_row(rows)
    )
    return [
        Chart(
            name="overlaps",
            svg=drawing.encode("Overlap of the ROIs"),
            title="Overlap of the ROIs",
            caption="Dice coefficient of each pair of ROIs: 0 if they share nothing, 1 if they are "
            "the same; n/a if both are empty or one could not be defined.",
            alt=f"Dice coefficients: {told}.",
        )
    ]


def _draw_matrix(
    drawing: Drawing, corner: Place, rows: "pd.DataFrame", rois: Sequence[str]
) -> None:
    """Draw the pairs as cells below the diagonal, each with its number, from the upper left."""
    left, top = corner
    for row in each_row(rows):
        i, j = sorted((rois.index(row.roi), rois.index(row.other_roi)))
        x, y = left + i * _CELL, top - j * _CELL
        is_known = not np.isnan(row.dice)
        shade = scale("Blues")[level_of(np.array(row.dice if is_known else 0.0))]
        fill = f"#{bytes(shade).hex()}" if is_known else "white"
        drawing.rectangle(x, y, _CELL, _CELL, fill, edge="white", line=1.0)
        drawing.write(
            x + _CELL / 2,
            y + _CELL / 2,
            f"{row.dice:.2f}" if is_known else "n/a",
            size=_SMALL,
            ha="center",
            va="center",
            colour="white" if row.dice > 0.5 else DARK,
        )
    for j, roi in enumerate(rois[1:], 1):
        y = top - (j - 0.5) * _CELL
        drawing.write(left - 0.05, y, shorten(roi), size=LETTERS, ha="right", va="center")
    places = [left + (i + 0.5) * _CELL for i in range(len(rois) - 1)]
    bottom = top - (len(rois) - 1) * _CELL - 0.05
    name_below(drawing, rois[:-1], places, bottom, turned=label_width(rois) > _CELL)
