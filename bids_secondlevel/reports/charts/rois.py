"""Charts of the ROIs across participants: how large they are, and how well maps cover them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.palette import components
from bids_secondlevel.core.values import Array, Mask, Status, depth
from bids_secondlevel.reports.charts.layout import (
    WIDTH,
    Grid,
    explain,
    jitter,
    name_rois,
    spread,
)
from bids_secondlevel.reports.charts.style import (
    DARK,
    GREY,
    HEMISPHERE_NAMES,
    MOST_MARKS,
    MOST_NAMED,
    Chart,
    clean,
    explain_reasons,
    hemispheres_shown,
    inks,
    key,
    listed,
    number,
    reason_marker,
    render,
    shorten,
    stem,
    swatch,
)
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import QualityRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAR = 3.5
"""Scaled median absolute deviations from the median beyond which a size is an outlier."""

_CLASSES = {
    0.5: "below 50 %",
    0.75: "50 to 75 %",
    0.9: "75 to 90 %",
    0.95: "90 to 95 %",
    1.0: "95 % or more",
    np.inf: "all vertices",
}
"""Classes of coverage: the limit below which each lies, and its name."""

_CLASS_COLOURS = ("#08306b", "#08519c", "#3182bd", "#6baed6", "#a6cbe3", "#dbe7f3")
"""Of these classes: the fewer vertices, the darker."""

_NO_NUMBER = "#e69f00"

_NORMAL = 1.4826  # makes the median absolute deviation of a normal distribution its sd
_MOST_OUTLIERS = 5  # named in a panel for each ROI
_MOST_NAMES = 20


def are_outliers(values: Array) -> Mask:
    """Find values far from the median, and zeros.

    Parameters
    ----------
    values : (n,) array of float

    Returns
    -------
    (n,) array of bool
        Further than 3.5 scaled median absolute deviations from the median, or 0.

    References
    ----------
    Leys et al. (2013), Journal of Experimental Social Psychology 49, 764-766; the limit of 3.5:
    Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers.

    Examples
    --------
    >>> are_outliers(np.array([50, 51, 49, 52, 90, 0]))
    array([False, False, False, False,  True,  True])
    """
    if not values.size:
        return np.zeros(0, dtype=bool)
    distance = np.abs(values - np.median(values))
    outlying: Mask = (distance > FAR * _NORMAL * np.median(distance)) | (values == 0)
    return outlying


@dataclass(frozen=True)
class _Sizes:
    """Sizes of an ROI, by participant."""

    roi: str
    hemi: str
    by_participant: Mapping[str, float]

    @property
    def outliers(self) -> list[str]:
        """Participants with an outlier, the furthest from the median first."""
        names = list(self.by_participant)
        values = np.array([self.by_participant[name] for name in names])
        outlying = np.flatnonzero(are_outliers(values))
        furthest_first = np.argsort(-np.abs(values - np.median(values))[outlying], kind="stable")
        return [names[i] for i in outlying[furthest_first]]


def _size_shown(rows: Sequence[QualityRow]) -> tuple[str, str, str]:
    """Choose the column of sizes that is drawn, with its unit and the name of its axis."""
    for column, unit, label in (
        ("area_mm2", "mm²", "area (mm²)"),
        ("volume_mm3", "mm³", "volume (mm³)"),
    ):
        sizes = [getattr(row, column) for row in rows if row.n_vertices]
        if None not in sizes and any(sizes):
            return column, unit, label
    return "n_vertices", "vertices", "number of vertices"


def draw_sizes(rows: Sequence[QualityRow]) -> list[Chart]:
    """Draw how large the ROIs of all participants are, and name those that stand out.

    Parameters
    ----------
    rows : sequence of QualityRow
        Of all participants.

    Returns
    -------
    list of Chart
        One, or none where there is no ROI: areas (in volumes, volumes) where all ROIs have one,
        else numbers of vertices. Hemispheres are apart only where there is nothing pooled.
    """
    found = [row for row in rows if row.n_vertices is not None]
    hemispheres = hemispheres_shown(found)
    found = [row for row in found if row.hemi in hemispheres]
    if not found:
        return []
    column, unit, label = _size_shown(found)
    sizes: dict[tuple[str, str], dict[str, float]] = {}
    for row in found:
        size = float(getattr(row, column) or 0)
        sizes.setdefault((row.hemi, row.roi), {})[row.participant_id] = size
    groups = [_Sizes(roi, hemi, of_roi) for (hemi, roi), of_roi in sizes.items()]
    rois = list(dict.fromkeys(row.roi for row in rows))
    name, title = stem("sizes"), "Sizes of the ROIs"
    grid = Grid(tuple(rois), 1, min(WIDTH, max(5.0, 1 + 0.8 * len(rois))))

    def paint(figure: "Figure") -> None:
        axes = figure.subplots(len(hemispheres), sharey=True, squeeze=False).ravel()
        for axis, hemi in zip(axes, hemispheres, strict=True):
            axis.set_title(HEMISPHERE_NAMES[hemi])
            axis.set_ylabel(label)
            _paint_sizes(axis, [group for group in groups if group.hemi == hemi], rois)
            name_rois(axis, grid)
            axis.set_xlim(-0.6, len(rois) - 0.2)  # names stand to the right
        explain(figure, [key("participant", "o", GREY), key("median", "", DARK, line="-")])

    caption = (
        f"Size of each ROI in {unit}: each point is a participant, the line their median. Named "
        f"are those further than {FAR} scaled median absolute deviations from the median, and "
        f"those whose ROI is empty; of more than {_MOST_OUTLIERS} in an ROI, the furthest."
    )
    gaps = [
        f"{row.participant_id} {row.roi} ({row.status})"
        for row in rows
        if row.n_vertices is None and row.hemi in hemispheres
    ]
    return [
        Chart(
            name,
            render(name, title, (grid.width, 0.6 + (2.8 + grid.upright) * len(hemispheres)), paint),
            title,
            f"{caption} No ROI could be defined: {listed(gaps)}." if gaps else caption,
            " ".join(_tell_sizes(group, unit) for group in groups),
        )
    ]


def _paint_sizes(axes: "Axes", groups: Sequence[_Sizes], rois: Sequence[str]) -> None:
    colours = inks(rois)
    highest = max((max(group.by_participant.values()) for group in groups), default=0.0)
    as_pixels = sum(len(group.by_participant) for group in groups) > MOST_MARKS
    for group in groups:
        place, n = rois.index(group.roi), len(group.by_participant)
        values = np.array(list(group.by_participant.values()))
        x = place + 0.14 * jitter(n) - 0.1
        axes.plot(
            x,
            values,
            linestyle="",
            marker="o",
            markersize=4.5 if n <= MOST_NAMED else 2.5,
            markeredgewidth=0,
            color=colours[group.roi],
            alpha=0.85 if n <= MOST_NAMED else max(0.15, 6 / n**0.5),
            zorder=1.2,
            rasterized=as_pixels,
            gid="participants",
        )
        axes.plot([place - 0.3, place + 0.1], [np.median(values)] * 2, color=DARK, linewidth=1.6)
        offsets = dict(zip(group.by_participant, x, strict=True))
        _name_outliers(axes, group, offsets, place + 0.16, max(highest, 1.0))
    axes.set_ylim(-0.04 * max(highest, 1.0), 1.08 * max(highest, 1.0))


def _name_outliers(
    axes: "Axes", group: _Sizes, offsets: Mapping[str, float], place: float, highest: float
) -> None:
    """Name participants to the right of their points, without names on top of each other."""
    named = sorted(group.outliers[:_MOST_OUTLIERS], key=lambda p: group.by_participant[p])
    heights = spread([group.by_participant[p] for p in named], 0.055 * highest, 0.0, 1.05 * highest)
    for participant, height in zip(named, heights, strict=True):
        axes.annotate(
            shorten(participant.removeprefix("sub-"), 10),
            (offsets[participant], group.by_participant[participant]),
            (place, height),
            fontsize="x-small",
            va="center",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5},
        )


def _tell_sizes(group: _Sizes, unit: str) -> str:
    values = list(group.by_participant.values())
    outliers = [f"{p} ({number(group.by_participant[p])})" for p in group.outliers]
    return (
        f"{clean(group.roi)}, {HEMISPHERE_NAMES[group.hemi]}: median "
        f"{number(float(np.median(values)))} {unit}, {number(min(values))} to "
        f"{number(max(values))}, n = {len(values)}"
        + (f"; named: {listed(outliers, _MOST_NAMES)}." if outliers else ".")
    )


def draw_coverage(rows: Sequence[EstimateRow]) -> list[Chart]:
    """Draw the share of finite vertices in each ROI of each participant.

    Parameters
    ----------
    rows : sequence of EstimateRow
        Of all participants.

    Returns
    -------
    list of Chart
        One, or none where there are no rows. Of several maps, the lowest share counts.
    """
    hemispheres = hemispheres_shown([row for row in rows if row.coverage is not None])
    rows = [row for row in rows if row.hemi in hemispheres]
    if not rows:
        return []
    participants = list(dict.fromkeys(row.participant_id for row in rows))
    rois = list(dict.fromkeys(row.roi for row in rows))
    cells = _lowest_coverage(rows)
    gaps = [cell for cell in cells.values() if isinstance(cell, str)]
    reasons = sorted(dict.fromkeys(gaps), key=depth)
    named = participants if len(participants) <= MOST_NAMED else _conspicuous(participants, cells)
    name, title = stem("coverage"), "Coverage of the ROIs"
    size = (min(WIDTH, 4 + 0.25 * len(participants)), 2.0 + 0.26 * len(rois))

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        _paint_coverage(axes, cells, participants, rois, reasons)
        _name_columns(axes, participants, named)
        keys = [
            swatch(label, colour)
            for colour, label in zip(_CLASS_COLOURS, _CLASSES.values(), strict=True)
        ]
        if gaps:
            keys.append(swatch("no number", _NO_NUMBER))
        has_marks = len(participants) <= MOST_NAMED
        explain(figure, [*keys, *explain_reasons(reasons)] if has_marks else keys)

    counted = ", ".join(f"{gaps.count(reason)} {reason}" for reason in reasons)
    caption = (
        "Share of the vertices of each ROI that have a finite value, by participant; of several "
        "maps, the lowest."
        + (f" Orange cells have no number ({counted})." if gaps else "")
        + (
            f" Of {len(participants)} participants, up to {_MOST_NAMES} are named: those with most "
            "ROIs without a number, then those with the lowest shares."
            if len(participants) > MOST_NAMED
            else ""
        )
    )
    told = " ".join(_tell_coverage(roi, participants, cells) for roi in rois)
    return [Chart(name, render(name, title, size, paint), title, caption, told)]


def _lowest_coverage(rows: Sequence[EstimateRow]) -> dict[tuple[str, str], float | Status]:
    """Find the lowest share of each participant and ROI, or else the deepest reason for none."""
    cells: dict[tuple[str, str], float | Status] = {}
    for row in rows:
        place = (row.participant_id, row.roi)
        known = cells.get(place)
        if row.coverage is not None:
            cells[place] = min(known, row.coverage) if isinstance(known, float) else row.coverage
        elif not isinstance(known, float):
            deepest: Status = max((known or row.status, row.status), key=depth)
            cells[place] = deepest
    return cells


def _conspicuous(
    participants: Sequence[str], cells: Mapping[tuple[str, str], float | Status]
) -> list[str]:
    """Choose whom to name: who lacks most ROIs, then who has the lowest shares."""
    ranks: dict[str, list[float]] = {name: [0.0, 1.0] for name in participants}
    for (participant, _), cell in cells.items():
        rank = ranks[participant]
        if isinstance(cell, str):
            rank[0] -= 1
        else:
            rank[1] = min(rank[1], cell)
    standing_out = [name for name in participants if ranks[name] != [0.0, 1.0]]
    chosen = set(sorted(standing_out, key=lambda name: ranks[name])[:_MOST_NAMES])
    return [name for name in participants if name in chosen]


def _paint_coverage(
    axes: "Axes",
    cells: Mapping[tuple[str, str], float | Status],
    participants: Sequence[str],
    rois: Sequence[str],
    reasons: Sequence[str],
) -> None:
    """Draw a column of cells for each participant."""
    painted = np.full((len(rois), len(participants), 3), components(_NO_NUMBER))
    columns = {name: i for i, name in enumerate(participants)}
    for (participant, roi), cell in cells.items():
        i, j = rois.index(roi), columns[participant]
        if not isinstance(cell, str):
            painted[i, j] = components(_CLASS_COLOURS[np.digitize(cell, list(_CLASSES))])
        elif len(participants) <= MOST_NAMED:
            axes.plot(j, i, marker=reason_marker(reasons, cell), color=DARK, markersize=5)
    axes.pcolormesh(
        np.arange(len(participants) + 1) - 0.5,
        np.arange(len(rois) + 1) - 0.5,
        painted,
        edgecolor="white" if len(participants) <= MOST_NAMED else "face",
        linewidth=0.5 if len(participants) <= MOST_NAMED else 0,
        rasterized=len(rois) * len(participants) > MOST_MARKS,
    )
    axes.set_yticks(range(len(rois)), [shorten(roi) for roi in rois])
    axes.set_xlim(-0.5, len(participants) - 0.5)
    axes.set_ylim(len(rois) - 0.5, -0.5)
    axes.tick_params(length=0)


def _name_columns(axes: "Axes", participants: Sequence[str], named: Sequence[str]) -> None:
    """Write names below columns, upright; of many participants some, beside each other."""
    axes.set_title(f"{len(participants)} participants" if len(participants) > 1 else "")
    if len(named) == len(participants):
        labels = [shorten(name, 14) for name in participants]
        axes.set_xticks(range(len(participants)), labels, rotation=90, fontsize="x-small")
        return
    axes.set_xticks([])
    columns = [participants.index(name) for name in named]
    gap = max(0.018 * len(participants), 1.0)
    places = spread(columns, gap, 0.0, float(len(participants) - 1))
    for column, place, name in zip(columns, places, named, strict=True):
        axes.annotate(
            shorten(name, 14),
            (column, 0),
            (place, -0.1),
            xycoords=axes.get_xaxis_transform(),
            textcoords=axes.get_xaxis_transform(),
            fontsize="x-small",
            rotation=90,
            ha="center",
            va="top",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5},
        )


def _tell_coverage(
    roi: str, participants: Sequence[str], cells: Mapping[tuple[str, str], float | Status]
) -> str:
    found = [(cells.get((name, roi)), name) for name in participants]
    shares = [(cell, name) for cell, name in found if isinstance(cell, float)]
    if not shares:
        return f"{clean(roi)}: no participant of {len(participants)}."
    lowest, name = min(shares)
    return (
        f"{clean(roi)}: {len(shares)} of {len(participants)} participants, lowest share "
        f"{number(lowest)} ({clean(name)})."
    )
