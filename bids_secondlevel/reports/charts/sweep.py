"""Charts of the sweep: whether a result depends on the threshold and the range of ROIs."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.rows import each_row, grouped
from bids_secondlevel.reports.charts.layout import (
    DOTTED,
    LETTERS,
    Key,
    Part,
    draw_frame,
    draw_keys,
    legend_shape,
    parts,
    write_title,
    write_upright,
)
from bids_secondlevel.reports.charts.style import (
    CIRCULAR,
    GREY,
    MARKERS,
    PLAIN,
    Appearance,
    Chart,
    axis_label,
    clean,
    interval,
    number,
    pooled_or_apart,
    shorten,
    span,
    whom,
)
from bids_secondlevel.reports.drawing import Axis, Drawing, Panel, around

if TYPE_CHECKING:
    import pandas as pd

Limits = Mapping[str, Mapping[str, float]]
"""Limits in use: by what is varied (``threshold``, ``eccentricity``), and by ROI."""

_MOST_CONTRASTS = 4  # of one chart, times groups
_LEFT, _WIDTH, _GAP, _TITLE, _HEIGHT, _OF_SIZES = 0.85, 2.9, 0.2, 0.3, 1.4, 0.9  # inches
_LABELS = {
    "threshold": "localizer threshold (z)",
    "eccentricity": "upper end of eccentricity (degrees)",
}

_DASHES = "5 2.5"  # of what is circular
_Looks = Mapping[str, tuple[str, str]]  # colour and marker of each ROI


def draw_sweep(sweep: "pd.DataFrame", in_use: Limits, look: Appearance = PLAIN) -> list[Chart]:
    """Draw estimates, and sizes of the ROIs, against the limits of the ROIs.

    Parameters
    ----------
    sweep : DataFrame
        Of one participant, or of all: of several, means and their 95 % confidence intervals
        (Student's t) are drawn, each group for itself.
    in_use : mapping of {"threshold", "eccentricity"} to ROI to float
        The limits that the estimates were measured with; those that are not known may be absent.

    Returns
    -------
    list of Chart
        For each session and task, circular estimates apart and last; several if there are
        many contrasts. Hemispheres are apart only if there is nothing pooled.
    """
    colours = look.colours(sweep["roi"].unique())
    looks = dict(zip(colours, zip(colours.values(), cycle(MARKERS)), strict=False))
    rows = sweep.assign(
        is_control=sweep["independence"] == "circular",
        group=look.group_of(sweep["participant_id"]),
    ).dropna(subset="group")
    if look.groups:
        rows = rows.sort_values("group", kind="stable")
    rows = rows.assign(panel=rows["contrast"] + rows["group"].map(whom))
    shown = pooled_or_apart(rows, "estimate")
    return [
        _draw_part(part, looks, in_use, look)
        for part in parts(shown, _MOST_CONTRASTS, by_hemisphere=True)
        if part.rows["estimate"].notna().any()
    ]


def _draw_part(part: Part, looks: _Looks, in_use: Limits, look: Appearance) -> Chart:
    """Draw a few contrasts, one below the other, and the sizes of the ROIs below them."""
    rows, rois, first = part.rows, part.rois, part.first
    is_control = first["is_control"]
    varied = [limit for limit in _LABELS if (rows["varied"] == limit).any()]
    curves = {name: _curves(of_contrast, "estimate") for name, of_contrast in part.panels.items()}
    # All contrasts are measured in the same vertices.
    sizes = rows.drop_duplicates(["participant_id", "roi", "varied", "value"], keep="last")
    n = rows["participant_id"].nunique()

    keys = [
        Key(
            text=shorten(roi),
            mark=marker,
            colour=colour,
            face="white" if is_control else "",
            line=_DASHES if is_control else "",
        )
        for roi, (colour, marker) in looks.items()
        if roi in rois
    ]
    if any(in_use.get(limit) for limit in varied):
        keys.append(Key(text="used for the ROIs", colour=GREY, line=DOTTED))
    width = _LEFT + len(varied) * (_WIDTH + _GAP)
    below = 0.65 + 0.2 * legend_shape(keys, width)[1]
    height = below + len(curves) * (_HEIGHT + _TITLE) + _OF_SIZES + _TITLE

    used = {
        limit: {roi: of[roi] for roi in rois if roi in of}
        for limit, of in ((limit, in_use.get(limit, {})) for limit in varied)
    }
    x_ends = {}
    for limit in varied:
        values = rows["value"][rows["varied"] == limit]
        x_ends[limit] = around(np.array([*values, *used[limit].values()]), 0.05)

    def paint(drawing: Drawing) -> None:
        bottom = height
        for name, of_curves in [*curves.items(), ("", _curves(sizes, "n_vertices"))]:
            high = _HEIGHT if name else _OF_SIZES
            bottom -= high + _TITLE
            low, most = around(np.append(of_curves[["mean", "low", "high"]], 0.0), 0.05)
            y = Axis(ends=(low if name else 0.0, most), places=(bottom, bottom + high))
            for place, limit in enumerate(varied):
                left = _LEFT + place * (_WIDTH + _GAP)
                panel = Panel(x=Axis(ends=x_ends[limit], places=(left, left + _WIDTH)), y=y)
                ticks = [(at, "" if name else text) for at, text in panel.x.ticks(6)]
                draw_frame(drawing, panel, ticks, labelled=not place)
                _draw_in_use(drawing, panel, used[limit], looks)
                of_limit = of_curves[of_curves["varied"] == limit]
                _draw_curves(drawing, panel, of_limit, looks, is_control=is_control)
                middle = left + _WIDTH / 2
                if not name:
                    below = bottom - 0.35
                    drawing.write(middle, below, _LABELS[limit], size=LETTERS, ha="center")
                elif not place:
                    about = f"(n = {span(of_curves['n'])})" if n > 1 else ""
                    write_title(drawing, panel, name, about)
            label = axis_label(first["statistic"], look.units) if name else look.elements
            write_upright(drawing, label, bottom + high / 2, high + _TITLE)
        draw_keys(drawing, keys, width)

    who = (
        "Estimate in each ROI"
        if n == 1
        else f"Mean estimate in each ROI of up to {n} participants, with its 95 % confidence "
        "interval (Student's t, as a band),"
    )
    caption = (
        f"{who} when one threshold or range of the ROI is changed, and below it the "
        f"{'' if n == 1 else 'mean '}number of {look.elements}. Estimates are missing if the ROI "
        "is empty."
    )
    return part.draw(
        "sweep",
        "Sweep: other thresholds and ranges",
        (width, height),
        paint,
        caption=f"{caption} Dashed: circular. {CIRCULAR}" if is_control else caption,
        tell=lambda panel: _tell_curves(_curves(panel, "estimate")),
    )


def _curves(rows: "pd.DataFrame", column: str) -> "pd.DataFrame":
    """Average over participants: a row for each ROI, varied limit, and value in ascending order."""
    from scipy import special

    values = rows.groupby(["roi", "varied", "value"], sort=False)[column]
    points = values.agg(n="count", mean="mean", sd="std").reset_index()
    half = special.stdtrit(points["n"] - 1, 0.975) * points["sd"] / np.sqrt(points["n"])
    curve = points.groupby(["roi", "varied"], sort=False).ngroup()
    points = points.assign(low=points["mean"] - half, high=points["mean"] + half, curve=curve)
    return points.sort_values(["curve", "value"])


def _draw_curves(
    drawing: Drawing, panel: Panel, points: "pd.DataFrame", looks: _Looks, *, is_control: bool
) -> None:
    """Draw curves with gaps for missing means, and intervals as bands."""
    for roi, curve in grouped(points, "roi"):
        colour, mark = looks[roi]
        x = curve["value"].to_numpy()
        at, low, high = (panel.at(x, curve[of].to_numpy()) for of in ("mean", "low", "high"))
        known = np.flatnonzero(np.isfinite(low[:, 1]))
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            around_it = np.concatenate([low[run], high[run][::-1]])
            drawing.line(around_it, "none", 0, fill=colour, opacity=0.15, closed=True)
        with drawing.part("curve"):
            drawing.line(at, colour, 1.5, dash=_DASHES if is_control else "")
            face = "white" if is_control else colour
            for across, up in at[np.isfinite(at).all(axis=1)].tolist():
                drawing.mark(across, up, mark, 4.5, edge=colour, face=face)
    if not points["n"].any():
        (left, right), (bottom, top) = panel.x.places, panel.y.places
        middle = (left + right) / 2, (bottom + top) / 2
        drawing.write(*middle, "missing", size=LETTERS, ha="center", colour=GREY)


def _draw_in_use(
    drawing: Drawing, panel: Panel, in_use: Mapping[str, float], looks: _Looks
) -> None:
    """Draw the limits in use: one line if all ROIs have the same."""
    limits = {value: looks[roi][0] for roi, value in in_use.items()}
    for value, colour in limits.items():
        x, ink = float(panel.x.at(np.array(value))), colour if len(limits) > 1 else GREY
        drawing.line([(x, at) for at in panel.y.places], ink, 1.4, dash=DOTTED)


def _tell_curves(points: "pd.DataFrame") -> str:
    """Say the numbers of curves, with intervals if there are several participants."""
    told = []
    for (roi, varied), curve in grouped(points, "roi", "varied"):
        numbers = ", ".join(
            f"{number(point.value)}: {number(point.mean)}"
            + (f" ({interval(point.low, point.high)}, n = {point.n})" if point.n > 1 else "")
            for point in each_row(curve)
        )
        told.append(f"{clean(roi)} by {varied} {numbers}")
    return "; ".join(told)
