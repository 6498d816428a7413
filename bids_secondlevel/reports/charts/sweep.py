"""Charts of estimates under other limits of the ROIs: whether a result hangs on them."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.rows import each_row, grouped
from bids_secondlevel.core.wording import OF_THE_MAPS
from bids_secondlevel.reports.charts.layout import Part, explain, parts, write_title
from bids_secondlevel.reports.charts.style import (
    CIRCULAR,
    GREY,
    Chart,
    axis_label,
    clean,
    inks,
    interval,
    key,
    number,
    pooled_or_apart,
    shorten,
    span,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Limits = Mapping[str, Mapping[str, float]]
"""Limits in use: by what is varied (``threshold``, ``eccentricity``), and by ROI."""

_MOST_CONTRASTS = 4  # of one chart
_MARKERS = "os^Dv<>pP*hX"  # of ROIs, as not every colour differs from every other
_LABELS = {
    "threshold": "localizer threshold (z)",
    "eccentricity": "upper limit of eccentricity (degrees)",
}

_Looks = Mapping[str, tuple[str, str]]  # colour and marker of each ROI


def draw_sweep(sweep: "pd.DataFrame", in_use: Limits, *, units: str = OF_THE_MAPS) -> list[Chart]:
    """Draw estimates, and sizes of the ROIs, against the limits of the ROIs.

    Parameters
    ----------
    sweep : DataFrame
        Of one participant, or of all: of several, means and their 95 % confidence intervals
        (Student's t) are drawn.
    in_use : mapping of {"threshold", "eccentricity"} to ROI to float
        The limits that the estimates were measured with; those that are not known may be absent.
    units
        Those of the estimates.

    Returns
    -------
    list of Chart
        For each session and task, circular estimates apart and last; several if there are
        many contrasts. Hemispheres are apart only if there is nothing pooled.
    """
    colours = inks(list(sweep["roi"].unique()))
    looks = dict(zip(colours, zip(colours.values(), cycle(_MARKERS)), strict=False))
    rows = sweep.assign(panel=sweep["contrast"], is_control=sweep["independence"] == "circular")
    shown = pooled_or_apart(rows, "estimate")
    return [
        _draw_part(part, looks, in_use, units)
        for part in parts(shown, _MOST_CONTRASTS, by_hemisphere=True)
        if part.rows["estimate"].notna().any()
    ]


def _draw_part(part: Part, looks: _Looks, in_use: Limits, units: str) -> Chart:
    """Draw a few contrasts, one below the other, and the sizes of the ROIs below them."""
    rows, rois, first = part.rows, part.rois, part.first
    is_control = first["is_control"]
    varied = [limit for limit in _LABELS if (rows["varied"] == limit).any()]
    curves = {name: _curves(of_contrast, "estimate") for name, of_contrast in part.panels.items()}
    # All contrasts are measured in the same vertices.
    sizes = rows.drop_duplicates(["participant_id", "roi", "varied", "value"], keep="last")
    n = rows["participant_id"].nunique()

    def paint(figure: "Figure") -> None:
        heights = [1.7] * len(curves) + [1.0]
        axes = figure.subplots(
            len(heights),
            len(varied),
            sharex="col",
            sharey="row",
            squeeze=False,
            height_ratios=heights,
        )
        for of_row, (name, of_contrast) in zip(axes, curves.items(), strict=False):
            about = f"(n = {span(of_contrast['n'])})" if n > 1 else ""
            write_title(of_row[0], name, about, 3.6)
            of_row[0].set_ylabel(axis_label(first["statistic"], units).replace(" (", "\n("))
            for axis in of_row:
                axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        axes[-1, 0].set_ylabel("vertices")
        below = _curves(sizes, "n_vertices")
        for of_row, of_curves in zip(axes, [*curves.values(), below], strict=True):
            for axis, limit in zip(of_row, varied, strict=True):
                of_limit = of_curves[of_curves["varied"] == limit]
                _paint_curves(axis, of_limit, looks, is_control=is_control)
                _mark_in_use(axis, in_use.get(limit, {}), {roi: looks[roi] for roi in rois})
        for axis, limit in zip(axes[-1], varied, strict=True):
            axis.set_xlabel(_LABELS[limit])
            axis.set_ylim(bottom=0)
        keys = [
            key(
                shorten(roi),
                marker,
                colour,
                "white" if is_control else None,
                "--" if is_control else "-",
            )
            for roi, (colour, marker) in looks.items()
            if roi in rois
        ]
        has_limits = any(in_use.get(limit) for limit in varied)
        explain(figure, [*keys, key("limit in use", "", GREY, line=":")] if has_limits else keys)

    who = (
        "Estimate in each ROI"
        if n == 1
        else f"Mean estimate in each ROI of up to {n} participants, with its 95 % confidence "
        "interval (Student's t, as a band),"
    )
    caption = (
        f"{who} when one limit of the ROI is changed and the others stay as they are, and below "
        f"it the {'' if n == 1 else 'mean '}number of vertices. There is no number where the ROI "
        "is empty under a limit."
    )
    return part.draw(
        "sweep",
        "Estimates under other limits",
        (4 * len(varied), 1.1 + 1.7 * len(curves) + 1.0),
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


def _paint_curves(axes: "Axes", points: "pd.DataFrame", looks: _Looks, *, is_control: bool) -> None:
    """Draw curves with gaps where nobody has a number, and intervals as bands."""
    for roi, curve in grouped(points, "roi"):
        colour, marker = looks[roi]
        axes.plot(
            curve["value"],
            curve["mean"],
            marker=marker,
            markersize=4.5,
            color=colour,
            linestyle="--" if is_control else "-",
            markerfacecolor="white" if is_control else colour,
            gid="curve",
        )
        axes.fill_between(
            curve["value"], curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0
        )
    if not points["n"].any():
        axes.text(0.5, 0.5, "no number", ha="center", color=GREY, transform=axes.transAxes)


def _mark_in_use(axes: "Axes", in_use: Mapping[str, float], looks: _Looks) -> None:
    """Draw the limits in use: one line if all ROIs have the same."""
    limits = {in_use[roi]: colour for roi, (colour, _) in looks.items() if roi in in_use}
    for value, colour in limits.items():
        axes.axvline(value, color=colour if len(limits) > 1 else GREY, linestyle=":", zorder=1)


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
