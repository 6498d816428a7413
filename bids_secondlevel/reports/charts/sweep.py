"""Charts of estimates under other limits of the ROIs: whether a result hangs on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, HEMISPHERES
from bids_secondlevel.reports.charts.layout import (
    explain,
    in_parts,
    write_title,
)
from bids_secondlevel.reports.charts.style import (
    CIRCULAR,
    GREY,
    HEMISPHERE_NAMES,
    Chart,
    Line,
    clean,
    describe_set,
    hemispheres_shown,
    inks,
    interval,
    is_circular,
    key,
    number,
    render,
    shorten,
    span,
    stem,
    units,
)
from bids_secondlevel.rois.sweep import SweepRow

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class _Point:
    """A place on a curve: the mean of n participants, and its interval where there is one."""

    value: float
    n: int
    mean: float | None
    limits: tuple[float, float] | None


@dataclass(frozen=True)
class _Curve:
    """An ROI under one limit, in ascending order of its values."""

    roi: str
    varied: str
    points: tuple[_Point, ...]


def draw_sweep(rows: Sequence[SweepRow], in_use: Limits) -> list[Chart]:
    """Draw estimates, and sizes of the ROIs, against the limits of the ROIs.

    Parameters
    ----------
    rows : sequence of SweepRow
        Of one participant, or of all: of several, means and their 95 % confidence intervals
        (Student's t) are drawn.
    in_use : mapping of {"threshold", "eccentricity"} to ROI to float
        The limits that the estimates were measured with; those that are not known may be absent.

    Returns
    -------
    list of Chart
        For each session and task, circular estimates apart and last; several where there are
        many contrasts. Hemispheres are apart only where there is nothing pooled.
    """
    rois = list(dict.fromkeys(row.roi for row in rows))
    looks = {
        roi: (ink, _MARKERS[i % len(_MARKERS)]) for i, (roi, ink) in enumerate(inks(rois).items())
    }
    hemispheres = hemispheres_shown([row for row in rows if row.estimate is not None])
    sets: dict[tuple[str | bool | None, ...], dict[str, list[SweepRow]]] = {}
    for row in sorted(rows, key=is_circular):
        if row.hemi in hemispheres:
            of = (row.session, row.task, row.space, row.statistic, row.hemi, is_circular(row))
            sets.setdefault(of, {}).setdefault(row.contrast, []).append(row)
    return [
        _chart(contrasts, looks, in_use, part)
        for by_contrast in sets.values()
        for part, contrasts in in_parts(list(by_contrast.values()), _MOST_CONTRASTS)
        if any(row.estimate is not None for of_contrast in contrasts for row in of_contrast)
    ]


def _chart(
    contrasts: Sequence[Sequence[SweepRow]], looks: _Looks, in_use: Limits, part: int | None
) -> Chart:
    """Draw a few contrasts, one below the other, and the sizes of the ROIs below them."""
    rows = [row for of_contrast in contrasts for row in of_contrast]
    first = rows[0]
    circular = is_circular(first)
    name = stem(
        "sweep",
        ses=first.session,
        task=first.task,
        hemi=first.hemi if first.hemi in HEMISPHERES else None,
        space=first.space,
        stat=first.statistic,
        desc="circular" if circular else None,
        part=part,
    )
    title = (
        f"Estimates under other limits: {describe_set(first.session, first.task)}"
        + ("" if first.hemi == BOTH else f", {HEMISPHERE_NAMES[first.hemi]}")
        + (" (control analysis)" if circular else "")
    )
    rois = list(dict.fromkeys(row.roi for row in rows))
    varied = [limit for limit in _LABELS if any(row.varied == limit for row in rows)]
    curves = [_curves((row, row.estimate) for row in of_contrast) for of_contrast in contrasts]
    sizes = _curves((row, row.n_vertices) for row in _one_for_each_roi(rows))
    n = len({row.participant_id for row in rows})

    def paint(figure: "Figure") -> None:
        heights = [1.7] * len(contrasts) + [1.0]
        axes = figure.subplots(
            len(heights),
            len(varied),
            sharex="col",
            sharey="row",
            squeeze=False,
            height_ratios=heights,
        )
        for i, of_contrast in enumerate(contrasts):
            ns = span(point.n for curve in curves[i] for point in curve.points)
            about = f"(n = {ns})" if n > 1 and ns else ""
            write_title(axes[i, 0], of_contrast[0].contrast, about, 3.6)
            axes[i, 0].set_ylabel(units(first.statistic).replace(" (", "\n("))
            for axis in axes[i]:
                axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        axes[-1, 0].set_ylabel("vertices")
        for of_row, of_curves in zip(axes, [*curves, sizes], strict=True):
            for axis, limit in zip(of_row, varied, strict=True):
                of_limit = [curve for curve in of_curves if curve.varied == limit]
                _paint_curves(axis, of_limit, looks, circular=circular)
                _mark_in_use(axis, in_use.get(limit, {}), {roi: looks[roi] for roi in rois})
        for axis, limit in zip(axes[-1], varied, strict=True):
            axis.set_xlabel(_LABELS[limit])
            axis.set_ylim(bottom=0)
        line: Line = "--" if circular else "-"
        keys = [
            key(shorten(roi), marker, colour, "white" if circular else None, line)
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
    told = [
        f"{clean(rows_of[0].contrast)}: {'; '.join(map(_tell, of_curves)) or 'no number'}."
        for rows_of, of_curves in zip(contrasts, curves, strict=True)
    ]
    return Chart(
        name,
        render(name, title, (4 * len(varied), 1.1 + 1.7 * len(contrasts) + 1.0), paint),
        title,
        f"{caption} Dashed: circular. {CIRCULAR}" if circular else caption,
        " ".join(told),
    )


def _one_for_each_roi(rows: Sequence[SweepRow]) -> Iterable[SweepRow]:
    """Choose one row of each ROI: all contrasts are measured in the same vertices."""
    by_roi = {(row.participant_id, row.roi, row.varied, row.value): row for row in rows}
    return by_roi.values()


def _curves(values: Iterable[tuple[SweepRow, float | None]]) -> list[_Curve]:
    """Average over participants, limit by limit."""
    from scipy import special

    samples: dict[tuple[str, str], dict[float, list[float]]] = {}
    for row, value in values:
        sample = samples.setdefault((row.roi, row.varied), {}).setdefault(row.value, [])
        sample += [] if value is None else [value]
    curves = []
    for (roi, varied), by_value in samples.items():
        points = []
        for value, sample in sorted(by_value.items()):
            n, limits = len(sample), None
            mean = float(np.mean(sample)) if sample else None
            if mean is not None and n > 1:
                half = float(special.stdtrit(n - 1, 0.975) * np.std(sample, ddof=1)) / sqrt(n)
                limits = (mean - half, mean + half)
            points.append(_Point(value, n, mean, limits))
        curves.append(_Curve(roi, varied, tuple(points)))
    return curves


def _paint_curves(axes: "Axes", curves: Sequence[_Curve], looks: _Looks, *, circular: bool) -> None:
    """Draw curves with gaps where nobody has a number, and intervals as bands."""
    for curve in curves:
        colour, marker = looks[curve.roi]
        axes.plot(
            [point.value for point in curve.points],
            [np.nan if point.mean is None else point.mean for point in curve.points],
            marker=marker,
            markersize=4.5,
            color=colour,
            linestyle="--" if circular else "-",
            markerfacecolor="white" if circular else colour,
            gid="curve",
        )
        low, high = np.array([point.limits or (np.nan, np.nan) for point in curve.points]).T
        values = [point.value for point in curve.points]
        axes.fill_between(values, low, high, color=colour, alpha=0.15, linewidth=0)
    if not any(point.n for curve in curves for point in curve.points):
        axes.text(0.5, 0.5, "no number", ha="center", color=GREY, transform=axes.transAxes)


def _mark_in_use(axes: "Axes", in_use: Mapping[str, float], looks: _Looks) -> None:
    """Draw the limits in use: one line where all ROIs have the same."""
    limits = {in_use[roi]: colour for roi, (colour, _) in looks.items() if roi in in_use}
    for value, colour in limits.items():
        axes.axvline(value, color=colour if len(limits) > 1 else GREY, linestyle=":", zorder=1)


def _tell(curve: _Curve) -> str:
    """Say the numbers of a curve, with intervals where there are several participants."""
    told = ", ".join(
        f"{number(point.value)}: {number(point.mean)}"
        + (f" ({interval(point.limits)}, n = {point.n})" if point.n > 1 else "")
        for point in curve.points
    )
    return f"{clean(curve.roi)} by {curve.varied} {told}"
