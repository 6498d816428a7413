"""Charts of estimates across participants: each participant, and mean and interval of all.

Means and intervals are those of the tables of statistics and comparisons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, Hemisphere
from bids_secondlevel.core.rows import KEY
from bids_secondlevel.reports.charts.layout import (
    choose_grid,
    explain,
    in_parts,
    jitter,
    mark_reasons,
    panels,
    write_title,
)
from bids_secondlevel.reports.charts.style import (
    CIRCULAR,
    DARK,
    GREY,
    HEMISPHERE_NAMES,
    MOST_MARKS,
    MOST_NAMED,
    Chart,
    clean,
    describe_set,
    explain_reasons,
    hemispheres_shown,
    inks,
    interval,
    is_circular,
    key,
    number,
    render,
    span,
    stem,
    units,
)
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import QualityRow
from bids_secondlevel.stats.comparisons import ComparisonRow
from bids_secondlevel.stats.tests import GroupTest, StatisticRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LATERALISED = 0.2
"""Laterality index beyond which an ROI is said to be in one hemisphere (Seghier, 2008)."""

_NOBODY = "of any participant"


@dataclass(frozen=True)
class _Set:
    """What all panels of a chart share."""

    session: str | None
    task: str
    space: str | None
    statistic: str
    circular: bool


@dataclass(frozen=True)
class _Cell:
    """Numbers of participants in an ROI of a panel, with their mean and its interval."""

    of: _Set
    panel: str
    roi: str
    values: Mapping[str, float]
    mean: float | None
    limits: tuple[float, float] | None


def draw_estimates(rows: Sequence[EstimateRow], statistics: Sequence[StatisticRow]) -> list[Chart]:
    """Draw the estimates of all participants, with mean and confidence interval.

    Parameters
    ----------
    rows : sequence of EstimateRow
        Of all participants.
    statistics : sequence of StatisticRow
        One-sample tests of these rows.

    Returns
    -------
    list of Chart
        For each session and task, circular estimates apart and last; several where there are
        many contrasts. Hemispheres are apart only where there is nothing pooled.
    """
    values: dict[tuple[str | None, ...], dict[str, float]] = {}
    for row in rows:
        if row.estimate is not None:
            values.setdefault(row.cell, {})[row.participant_id] = row.estimate
    hemispheres = hemispheres_shown([row for row in statistics if row.test.n])
    cells = [
        _Cell(
            _Set(row.session, row.task, row.space, row.statistic, is_circular(row.test)),
            _panel_title(row.contrast, row.hemi),
            row.roi,
            values.get(tuple(getattr(row, name) for name in KEY[1:]), {}),
            row.test.mean,
            _limits(row.test),
        )
        for row in statistics
        if row.hemi in hemispheres
    ]
    return _charts(
        cells,
        inks(list(dict.fromkeys(row.roi for row in statistics))),
        "estimates",
        "Estimates",
        "Estimate in each ROI, in the units of the maps: each coloured point is a participant, "
        "beside them their mean and its 95 % confidence interval (Student's t), as in "
        "group_statistics.tsv. The intervals are not corrected for the number of tests.",
    )


def draw_contralateral(
    rows: Sequence[EstimateRow],
    comparisons: Sequence[ComparisonRow],
    quality: Sequence[QualityRow],
) -> list[Chart]:
    """Draw how much larger estimates are in the hemisphere that sees an ROI's side of the field.

    Parameters
    ----------
    rows : sequence of EstimateRow
        Of all participants.
    comparisons : sequence of ComparisonRow
        Paired tests of these rows; those of hemispheres are drawn.
    quality : sequence of QualityRow
        Of all participants: they tell the side of each ROI.

    Returns
    -------
    list of Chart
        As of estimates; none where there is no lateralised ROI in which two participants have
        numbers in both hemispheres.
    """
    estimates = {row.key: row.estimate for row in rows}
    participants = dict.fromkeys(row.participant_id for row in rows)
    rois = list(dict.fromkeys(row.roi for row in comparisons))
    sides = {roi: contralateral_hemisphere(roi, quality) for roi in rois}
    cells = []
    for row in comparisons:
        side = sides[row.roi]
        if row.comparison != "hemi" or side is None or row.test.n < 2:
            continue
        sign = 1 if row.hemi == side else -1
        first = tuple(getattr(row, name) for name in KEY[1:])
        second = tuple(getattr(replace(row, hemi=row.versus), name) for name in KEY[1:])
        pairs = {p: (estimates.get((p, *first)), estimates.get((p, *second))) for p in participants}
        flipped = [sign * limit for limit in _limits(row.test) or ()]
        cells.append(
            _Cell(
                _Set(row.session, row.task, row.space, row.statistic, is_circular(row.test)),
                _panel_title(row.contrast, BOTH),
                row.roi,
                {
                    p: sign * (a - b)
                    for p, (a, b) in pairs.items()
                    if a is not None and b is not None
                },
                None if row.test.mean is None else sign * row.test.mean,
                (min(flipped), max(flipped)) if flipped else None,
            )
        )
    drawn = {cell.roi for cell in cells}
    told = ", ".join(f"{clean(roi)}: {side}" for roi, side in sides.items() if roi in drawn)
    return _charts(
        cells,
        inks(rois),
        "contralateral",
        "Contralateral minus ipsilateral",
        "Estimate in the hemisphere contralateral to the ROI's side of the visual field, minus "
        "that in the other hemisphere, in the units of the maps: each coloured point is a "
        "participant with numbers in both, beside them their mean and its 95 % confidence "
        "interval, as in group_comparisons.tsv. Contralateral is the hemisphere with most of the "
        f"ROI (median laterality index beyond {LATERALISED} to either side), unless the polar "
        f"angles of most participants are of the other side of the field: {told}.",
    )


def contralateral_hemisphere(roi: str, quality: Sequence[QualityRow]) -> Hemisphere | None:
    """Find the hemisphere that sees the side of the visual field in which an ROI lies.

    Parameters
    ----------
    roi : str
    quality : sequence of QualityRow
        Of all participants.

    Returns
    -------
    {"L", "R"} or None
        The hemisphere in which most of the ROI is: the median of the laterality indices of the
        participants is beyond 0.2. ``None`` where it is in neither, or where at least half of
        those with a quadrant have the ROI's mean polar angle on the same side as that hemisphere.

    References
    ----------
    The limit of 0.2 is the customary one: Seghier (2008), Magnetic Resonance Imaging 26, 594-601.
    """
    of_roi = [row for row in quality if row.roi == roi and row.hemi == BOTH]
    indices = [row.laterality_index for row in of_roi if row.laterality_index is not None]
    index = median(indices) if indices else 0.0
    if abs(index) <= LATERALISED:
        return None
    hemisphere: Hemisphere = "L" if index > 0 else "R"
    fields = [row.quadrant[1] for row in of_roi if row.quadrant is not None]
    if fields and fields.count(hemisphere) * 2 >= len(fields):
        return None
    return hemisphere


def _limits(test: GroupTest) -> tuple[float, float] | None:
    """Take the confidence interval of a test."""
    if test.ci95_low is None or test.ci95_high is None:
        return None
    return test.ci95_low, test.ci95_high


def _panel_title(contrast: str, hemi: str) -> str:
    return contrast if hemi == BOTH else f"{contrast}, {HEMISPHERE_NAMES[hemi]}"


def _charts(
    cells: Sequence[_Cell], colours: Mapping[str, str], suffix: str, title: str, caption: str
) -> list[Chart]:
    """Divide cells into charts, the independent ones first."""
    sets: dict[_Set, dict[str, list[_Cell]]] = {}
    for cell in sorted(cells, key=lambda cell: cell.of.circular):
        sets.setdefault(cell.of, {}).setdefault(cell.panel, []).append(cell)
    charts = []
    for of, by_panel in sets.items():
        rois = list(dict.fromkeys(cell.roi for of_panel in by_panel.values() for cell in of_panel))
        most = choose_grid(len(by_panel), rois).most
        for part, of_part in in_parts(list(by_panel.values()), most):
            name = stem(
                suffix,
                ses=of.session,
                task=of.task,
                space=of.space,
                stat=of.statistic,
                desc="circular" if of.circular else None,
                part=part,
            )
            about = describe_set(of.session, of.task)
            control = " (control analysis)" if of.circular else ""
            charts.append(
                Chart(
                    name,
                    _render(name, f"{title}: {about}{control}", of_part, colours),
                    f"{title}: {about}{control}",
                    f"{caption} {CIRCULAR}" if of.circular else caption,
                    " ".join(map(_tell, of_part)),
                )
            )
    return charts


def _render(
    name: str, title: str, by_panel: Sequence[Sequence[_Cell]], colours: Mapping[str, str]
) -> bytes:
    cells = [cell for of_panel in by_panel for cell in of_panel]
    rois = list(dict.fromkeys(cell.roi for cell in cells))
    grid = choose_grid(len(by_panel), rois)
    circular = cells[0].of.circular
    is_few = len({p for cell in cells for p in cell.values}) <= MOST_NAMED
    as_pixels = sum(len(cell.values) for cell in cells) > MOST_MARKS
    is_empty = any(cell.mean is None for cell in cells)

    def paint(figure: "Figure") -> None:
        for axes, of_panel in zip(panels(figure, len(by_panel), grid), by_panel, strict=True):
            n = span(len(cell.values) for cell in of_panel)
            write_title(axes, of_panel[0].panel, f"(n = {n})", grid.panel)
            points = _paint_participants(
                axes, of_panel, rois, colours, lines=is_few and len(rois) > 1
            )
            for artist in points if as_pixels else ():
                artist.set_rasterized(True)
            _paint_means(axes, of_panel, rois)
        figure.supylabel(units(cells[0].of.statistic), fontsize="medium")
        keys = [
            key("participant", "o", GREY, "white" if circular and is_few else None),
            key("mean and 95 % CI", "o", DARK, "white" if circular else None, line="-"),
        ]
        explain(figure, [*keys, *explain_reasons([_NOBODY] if is_empty else [])])

    return render(name, title, grid.size(len(by_panel)), paint)


def _paint_participants(
    axes: "Axes",
    cells: Sequence[_Cell],
    rois: Sequence[str],
    colours: Mapping[str, str],
    *,
    lines: bool,
) -> "list[Line2D]":
    """Draw a point for each participant and ROI, always as far to the side of the ROI's place."""
    participants = sorted({name for cell in cells for name in cell.values})
    n = len(participants)
    places = np.array([rois.index(cell.roi) for cell in cells])
    x = places + 0.16 * jitter(n)[:, np.newaxis] - 0.12
    y = np.array([[cell.values.get(name, np.nan) for cell in cells] for name in participants])
    y = y.reshape(x.shape)
    if lines:
        gap = np.full((n, 1), np.nan)
        axes.plot(
            np.hstack([x, gap]).ravel(),
            np.hstack([y, gap]).ravel(),
            color=GREY,
            linewidth=0.5,
            alpha=0.45,
            zorder=1.1,
        )
    few = n <= MOST_NAMED
    points = []
    for i, cell in enumerate(cells):
        points += axes.plot(
            x[:, i],
            y[:, i],
            linestyle="",
            marker="o",
            markersize=4.5 if few else 3 if n <= 500 else 2,
            markerfacecolor="white" if cell.of.circular and few else colours[cell.roi],
            markeredgecolor=colours[cell.roi],
            markeredgewidth=0.8 if few else 0,
            alpha=0.85 if few else max(0.15, 6 / n**0.5),
            zorder=1.2,
            gid="participants",
        )
    return points


def _paint_means(axes: "Axes", cells: Sequence[_Cell], rois: Sequence[str]) -> None:
    """Draw means and intervals beside the participants."""
    gaps = []
    for cell in cells:
        place = rois.index(cell.roi)
        if cell.mean is None:
            gaps.append((float(place), _NOBODY))
            continue
        x = place + 0.22
        if cell.limits is not None:
            axes.plot(
                [x, x],
                cell.limits,
                marker="_",
                markersize=5,
                color=DARK,
                linewidth=1.3,
                gid="interval",
            )
        axes.plot(
            [x],
            [cell.mean],
            marker="o",
            markersize=3.5,
            color=DARK,
            markerfacecolor="white" if cell.of.circular else DARK,
            gid="mean",
        )
    mark_reasons(axes, gaps, [_NOBODY])


def _tell(cells: Sequence[_Cell]) -> str:
    told = "; ".join(
        f"{clean(cell.roi)} mean {number(cell.mean)}, {interval(cell.limits)}, "
        f"n = {len(cell.values)}"
        for cell in cells
    )
    return f"{clean(cells[0].panel)}: {told}."
