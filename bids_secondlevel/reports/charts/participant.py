"""Charts of one participant: estimates, sizes of the ROIs, and how they overlap."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, HEMISPHERES
from bids_secondlevel.reports.charts.layout import (
    WIDTH,
    choose_grid,
    explain,
    in_parts,
    mark_reasons,
    name_rois,
    panels,
    write_title,
)
from bids_secondlevel.reports.charts.style import (
    CIRCULAR,
    DARK,
    GREY,
    HEMISPHERE_NAMES,
    Chart,
    clean,
    describe_set,
    explain_reasons,
    hemispheres_shown,
    inks,
    is_circular,
    key,
    number,
    render,
    shorten,
    stem,
    swatch,
    units,
)
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import OverlapRow, QualityRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLACES = {"L": -0.24, BOTH: 0.0, "R": 0.24}
_SIZES = {
    "n_vertices": "number of vertices",
    "area_mm2": "area (mm²)",
    "volume_mm3": "volume (mm³)",
}
_MEASURES = {"area_mm2": "area on the participant's own surface", "volume_mm3": "volume"}
_MARKERS = {"L": "<", BOTH: "o", "R": ">"}


def draw_estimates(rows: Sequence[EstimateRow]) -> list[Chart]:
    """Draw the estimates of a participant, with their spread over vertices.

    Parameters
    ----------
    rows : sequence of EstimateRow

    Returns
    -------
    list of Chart
        For each session and task; several where there are many contrasts.
    """
    sets: dict[tuple[str | None, ...], dict[str, list[EstimateRow]]] = {}
    for row in rows:
        name = (row.session, row.task, row.space, row.statistic)
        sets.setdefault(name, {}).setdefault(row.contrast, []).append(row)
    rois = list(dict.fromkeys(row.roi for row in rows))
    return [
        chart
        for by_contrast in sets.values()
        for part, contrasts in in_parts(
            list(by_contrast.values()), choose_grid(len(by_contrast), rois).most
        )
        for chart in [_estimates(contrasts, rois, part)]
    ]


def _estimates(
    contrasts: Sequence[Sequence[EstimateRow]], rois: Sequence[str], part: int | None
) -> Chart:
    """Draw the estimates of a few contrasts, each in a panel."""
    rows = [row for of_contrast in contrasts for row in of_contrast]
    first = rows[0]
    name = stem(
        "estimates",
        ses=first.session,
        task=first.task,
        space=first.space,
        stat=first.statistic,
        part=part,
    )
    title = f"Estimates: {describe_set(first.session, first.task)}"
    measured = [row for row in rows if row.estimate is not None]
    reasons = list(dict.fromkeys(row.status for row in rows if row.estimate is None))
    circular = any(is_circular(row) for row in measured)
    grid = choose_grid(len(contrasts), rois)

    def paint(figure: "Figure") -> None:
        axes = panels(figure, len(contrasts), grid)
        for axis, of_contrast in zip(axes, contrasts, strict=True):
            write_title(axis, of_contrast[0].contrast, "", grid.panel)
            _paint_estimates(axis, of_contrast, rois, reasons)
        figure.supylabel(units(first.statistic), fontsize="medium")
        keys = [key(HEMISPHERE_NAMES[hemi], _MARKERS[hemi], DARK) for hemi in _PLACES]
        if circular:
            keys.append(key("circular", "o", DARK, face="white"))
        explain(figure, [*keys, *explain_reasons(reasons)])

    caption = (
        "Estimate in each ROI (the mean over its vertices, unless another summary was chosen), in "
        "the units of the maps, for the left hemisphere, the right, and the vertices of both "
        "pooled. Bars are one standard deviation over vertices to either side: the spread within "
        "the ROI, not an error of the estimate."
    )
    return Chart(
        name,
        render(name, title, grid.size(len(contrasts)), paint),
        title,
        f"{caption} Hollow marks are circular. {CIRCULAR}" if circular else caption,
        " ".join(_tell_estimates(contrasts)),
    )


def _paint_estimates(
    axes: "Axes", rows: Sequence[EstimateRow], rois: Sequence[str], reasons: Sequence[str]
) -> None:
    colours = inks(rois)
    gaps: list[tuple[float, str]] = []
    for row in rows:
        x = rois.index(row.roi) + _PLACES[row.hemi]
        if row.estimate is None:
            gaps.append((x, row.status))
            continue
        marks = axes.errorbar(
            [x],
            [row.estimate],
            [row.sd or 0.0],
            marker=_MARKERS[row.hemi],
            markersize=5,
            color=colours[row.roi],
            markerfacecolor="white" if is_circular(row) else colours[row.roi],
            elinewidth=1,
        )
        marks[0].set_gid(f"estimate-{row.hemi}")
        marks[2][0].set_gid(f"sd-{row.hemi}")
    mark_reasons(axes, gaps, reasons)


def _tell_estimates(contrasts: Sequence[Sequence[EstimateRow]]) -> Iterator[str]:
    for rows in contrasts:
        told = "; ".join(
            f"{clean(row.roi)} {row.hemi} {number(row.estimate)} "
            + (f"({row.status})" if row.estimate is None else f"(sd {number(row.sd)})")
            for row in rows
        )
        yield f"{clean(rows[0].contrast)}: {told}."


def draw_sizes(rows: Sequence[QualityRow]) -> list[Chart]:
    """Draw how large the ROIs of a participant are in each hemisphere.

    Parameters
    ----------
    rows : sequence of QualityRow

    Returns
    -------
    list of Chart
        One, or none where there is no ROI. It has a second panel where areas are known.
    """
    halves = [row for row in rows if row.hemi in HEMISPHERES]
    rows = halves or rows
    if not rows:
        return []
    unit = "voxels" if any(row.volume_mm3 is not None for row in rows) else "vertices"
    rois = list(dict.fromkeys(row.roi for row in rows))
    reasons = list(dict.fromkeys(row.status for row in rows if row.n_vertices is None))
    columns = [c for c in _SIZES if any(getattr(row, c) is not None for row in rows)]
    columns = columns or ["n_vertices"]
    name, title = stem("sizes"), "Sizes of the ROIs"
    grid = choose_grid(len(columns), rois, inches=0.52)

    def paint(figure: "Figure") -> None:
        axes = figure.subplots(grid.rows(len(columns)), grid.columns, squeeze=False).ravel()
        for axis, column in zip(axes, columns, strict=True):
            _paint_sizes(axis, rows, column, rois)
            axis.set_ylabel(_SIZES[column].replace("vertices", unit))
            name_rois(axis, grid)
        if halves:
            left = swatch(HEMISPHERE_NAMES["L"], GREY, DARK)
            right = swatch(HEMISPHERE_NAMES["R"], "white", DARK, hatch="////")
            explain(figure, [left, right])

    told = "; ".join(
        f"{clean(row.roi)} {row.hemi} "
        + (f"n/a ({row.status})" if row.n_vertices is None else f"{row.n_vertices} {unit}")
        + ("" if row.area_mm2 is None else f", {number(row.area_mm2)} mm²")
        + ("" if row.volume_mm3 is None else f", {number(row.volume_mm3)} mm³")
        for row in rows
    )
    return [
        Chart(
            name,
            render(name, title, grid.size(len(columns)), paint),
            title,
            f"Number of {unit} of each ROI{' in each hemisphere' if halves else ''}"
            + (f", and its {_MEASURES[columns[-1]]}." if len(columns) > 1 else ".")
            + (f" n/a: {'; '.join(reasons)}." if reasons else ""),
            f"{told}.",
        )
    ]


def _paint_sizes(
    axes: "Axes", rows: Sequence[QualityRow], column: str, rois: Sequence[str]
) -> None:
    """Draw bars with their numbers, beside each other for the two hemispheres."""
    colours = inks(rois)
    for row in rows:
        x = rois.index(row.roi) + {"L": -0.21, "R": 0.21}.get(row.hemi, 0.0)
        size: float | None = getattr(row, column)
        is_left = row.hemi != "R"
        bar = axes.bar(
            [x],
            [size or 0],
            width=0.38,
            facecolor=colours[row.roi] if is_left else "white",
            edgecolor=colours[row.roi],
            hatch="" if is_left else "////",
        )
        axes.bar_label(
            bar,
            [number(size)],
            padding=2,
            fontsize="x-small",
            rotation=90 if len(rois) > 6 else 0,
        )
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)


def draw_overlaps(rows: Sequence[OverlapRow]) -> list[Chart]:
    """Draw how much of their vertices each two ROIs of a participant share.

    Parameters
    ----------
    rows : sequence of OverlapRow

    Returns
    -------
    list of Chart
        One, with a matrix for both hemispheres pooled, or for each where nothing is pooled; or
        none where there are not two ROIs.
    """
    hemispheres = hemispheres_shown([row for row in rows if row.dice is not None])
    rows = [row for row in rows if row.hemi in hemispheres]
    if not rows:
        return []
    rois = list(dict.fromkeys(roi for row in rows for roi in (row.roi, row.other_roi)))
    name, title = stem("overlaps"), "Overlap of the ROIs"
    side = 1.6 + 0.42 * len(rois)

    def paint(figure: "Figure") -> None:
        axes = figure.subplots(len(hemispheres), squeeze=False).ravel()
        for axis, hemi in zip(axes, hemispheres, strict=True):
            axis.set_title(HEMISPHERE_NAMES[hemi])
            _paint_overlaps(axis, [row for row in rows if row.hemi == hemi], rois)

    told = "; ".join(
        f"{clean(row.roi)} and {clean(row.other_roi)} {row.hemi} {number(row.dice)}" for row in rows
    )
    return [
        Chart(
            name,
            render(name, title, (min(WIDTH, side + 0.6), side * len(hemispheres)), paint),
            title,
            "Dice coefficient of each two ROIs: 0 where they share no vertex, 1 where they are the "
            "same; n/a where both are empty or one could not be defined.",
            f"Dice coefficients: {told}.",
        )
    ]


def _paint_overlaps(axes: "Axes", rows: Sequence[OverlapRow], rois: Sequence[str]) -> None:
    """Draw the pairs as cells below the diagonal, each with its number."""
    cells = np.full((len(rois), len(rois)), np.nan)
    for row in rows:
        i, j = sorted((rois.index(row.roi), rois.index(row.other_roi)))
        cells[j, i] = np.nan if row.dice is None else row.dice
        axes.text(
            i,
            j,
            "n/a" if row.dice is None else f"{row.dice:.2f}",
            ha="center",
            va="center",
            fontsize="x-small",
            color="white" if (row.dice or 0) > 0.5 else DARK,
        )
    labels = [shorten(roi) for roi in rois]
    edges = np.arange(len(rois) + 1) - 0.5
    axes.pcolormesh(edges, edges, cells, cmap="Blues", vmin=0, vmax=1, edgecolor="white")
    axes.set_xticks(
        range(len(rois) - 1), labels[:-1], rotation=90 if max(map(len, labels)) > 5 else 0
    )
    axes.set_yticks(range(1, len(rois)), labels[1:])
    axes.set_xlim(-0.5, len(rois) - 1.5)
    axes.set_ylim(len(rois) - 0.5, 0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_aspect("equal")
