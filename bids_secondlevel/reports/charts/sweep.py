"""Charts of the sweep: whether a result depends on the threshold and the range of ROIs."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.rows import each_row, grouped
from bids_secondlevel.reports.charts.layout import (
    Part,
    axes_at,
    legend_shape,
    parts,
    write_title,
    write_upright,
)
from bids_secondlevel.reports.charts.style import (
    CIRCULAR,
    GREY,
    PLAIN,
    Appearance,
    Chart,
    axis_label,
    clean,
    interval,
    key,
    number,
    pooled_or_apart,
    shorten,
    span,
    whom,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Limits = Mapping[str, Mapping[str, float]]
"""Limits in use: by what is varied (``threshold``, ``eccentricity``), and by ROI."""

_MOST_CONTRASTS = 4  # of one chart, times groups
_LEFT, _WIDTH, _GAP, _TITLE, _HEIGHT, _OF_SIZES = 0.85, 2.9, 0.2, 0.3, 1.4, 0.9  # inches
_MARKERS = "os^Dv<>pP*hX"  # of ROIs, as not every colour differs from every other
_LABELS = {
    "threshold": "localizer threshold (z)",
    "eccentricity": "upper end of eccentricity (degrees)",
}

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
    looks = dict(zip(colours, zip(colours.values(), cycle(_MARKERS)), strict=False))
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
    if any(in_use.get(limit) for limit in varied):
        keys.append(key("used for the ROIs", "", GREY, line=":"))
    width = _LEFT + len(varied) * (_WIDTH + _GAP)
    columns, n_lines = legend_shape(keys, width)
    below = 0.65 + 0.2 * n_lines
    height = below + len(curves) * (_HEIGHT + _TITLE) + _OF_SIZES + _TITLE

    def paint(figure: "Figure") -> None:
        bottom, every = height, []
        of_rows = [*curves.items(), ("", _curves(sizes, "n_vertices"))]
        for name, of_curves in of_rows:
            high = _HEIGHT if name else _OF_SIZES
            bottom -= high + _TITLE
            lefts = [_LEFT + place * (_WIDTH + _GAP) for place in range(len(varied))]
            of_row = [axes_at(figure, left, bottom, _WIDTH, high, bare=False) for left in lefts]
            every.append(of_row)
            for axes, limit in zip(of_row, varied, strict=True):
                if name:
                    axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
                of_limit = of_curves[of_curves["varied"] == limit]
                _paint_curves(axes, of_limit, looks, is_control=is_control)
                _mark_in_use(axes, in_use.get(limit, {}), {roi: looks[roi] for roi in rois})
            limits = [axes.get_ylim() for axes in of_row]
            low = min(least for least, _ in limits) if name else 0.0
            for axes in of_row:
                axes.set_ylim(low, max(most for _, most in limits))
                axes.tick_params(labelbottom=not name, labelleft=axes is of_row[0])
            if name:
                about = f"(n = {span(of_curves['n'])})" if n > 1 else ""
                write_title(of_row[0], name, about, _WIDTH)
            label = axis_label(first["statistic"], look.units) if name else look.elements
            write_upright(figure, label, bottom + high / 2, high + _TITLE)
        for column, limit in zip(zip(*every, strict=True), varied, strict=True):
            limits = [axes.get_xlim() for axes in column]
            for axes in column:
                axes.set_xlim(min(least for least, _ in limits), max(most for _, most in limits))
            column[-1].set_xlabel(_LABELS[limit])
        figure.legend(handles=keys, loc="lower center", ncols=columns, borderaxespad=0.2)

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


def _paint_curves(axes: "Axes", points: "pd.DataFrame", looks: _Looks, *, is_control: bool) -> None:
    """Draw curves with gaps for missing means, and intervals as bands."""
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
        axes.text(0.5, 0.5, "missing", ha="center", color=GREY, transform=axes.transAxes)


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
