"""Charts of the ROIs: how large they are, how they overlap, and how well maps cover them."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.roi_rule import components
from bids_secondlevel.core.rows import each_row, grouped
from bids_secondlevel.core.values import STATUSES, Array, Mask
from bids_secondlevel.core.words import listed
from bids_secondlevel.reports.charts.layout import (
    WIDTH,
    PanelGrid,
    axes_at,
    jitter,
    label_width,
    legend_shape,
    spread,
    write_title,
)
from bids_secondlevel.reports.charts.style import (
    DARK,
    GREY,
    HEMISPHERE_NAMES,
    MOST_MARKS,
    MOST_NAMED,
    PLAIN,
    Appearance,
    Chart,
    clean,
    draw_chart,
    explain_reasons,
    key,
    number,
    pooled_or_apart,
    reason_marker,
    shorten,
    swatch,
    tell_marks,
    whom,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

FAR = 3.5
"""Scaled median absolute deviations from the median beyond which a size is an outlier."""

_SIZES = {
    "n_vertices": "number of vertices",
    "area_mm2": "area (mm²)",
    "volume_mm3": "volume (mm³)",
}
_UNITS = {"n_vertices": "vertices", "area_mm2": "mm²", "volume_mm3": "mm³"}

_CLASSES = (
    (0.5, "below 50 %", "#08306b"),
    (0.75, "50 to 75 %", "#08519c"),
    (0.9, "75 to 90 %", "#3182bd"),
    (0.95, "90 to 95 %", "#6baed6"),
    (1.0, "95 to 100 %", "#a6cbe3"),
    (np.inf, "100 %", "#dbe7f3"),
)
"""Of coverage: the limit below which each lies, its name, and its colour, the less the darker."""

_NO_NUMBER = "#e69f00"

_NORMAL = 1.4826  # makes the median absolute deviation of a normal distribution its sd
_MOST_OUTLIERS = 5  # named in a panel for each ROI
_MOST_NAMES = 20
_LEADER = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5}  # from a name to what it names


def draw_group_sizes(quality: "pd.DataFrame", look: Appearance = PLAIN) -> list[Chart]:
    """Draw how large the ROIs of all participants are, and name those that stand out.

    Groups are beside each other; who is in none is not drawn.

    Returns
    -------
    list of Chart
        One, or none if there is no ROI: areas (in volumes, volumes) if all ROIs have one,
        else numbers of vertices. Hemispheres are apart only if there is nothing pooled.
    """
    of = look.group_of(quality["participant_id"])
    rows = pooled_or_apart(quality.assign(group=of).dropna(subset="group"), "n_vertices")
    is_gap = rows["n_vertices"].isna()
    found = rows[~is_gap]
    if found.empty:
        return []
    column = _size_column(found)
    sizes = found.assign(size=found[column].fillna(0)).sort_values(["hemi", "group"])
    rois, panels = list(quality["roi"].unique()), dict(grouped(sizes, "hemi"))
    people = [
        key("participant" if level == EVERYBODY else shorten(level), marker, GREY)
        for level, marker in look.markers.items()
    ]
    grid = PanelGrid(
        n=len(panels),
        columns=1,
        width=min(WIDTH - 1.2, max(3.0, (0.3 + 0.5 * len(people)) * len(rois))),
        places=rois,
        height=2.3,
        keys=[*people, key("median", "", DARK, line="-")],
        margin=0.3,
    )
    highest = max(sizes["size"].max(), 1.0)

    def paint(figure: "Figure") -> None:
        every = grid.axes(figure, _SIZES[column])
        for (axes, _), (hemi, of_panel) in zip(every, panels.items(), strict=True):
            write_title(axes, HEMISPHERE_NAMES[hemi], "", grid.width)
            _paint_sizes(axes, of_panel, rois, highest, look)

    caption = (
        f"Size of each ROI in {_UNITS[column]}: each point is a participant, the line their "
        f"median. Labelled: participants further than {FAR} scaled median absolute deviations from "
        f"the median, and empty ROIs; at most {_MOST_OUTLIERS} in an ROI, the furthest first."
        + (" Groups of participants are side by side." if look.groups else "")
    )
    gaps = [f"{row.participant_id} {row.roi} ({row.status})" for row in each_row(rows[is_gap])]
    return [
        draw_chart(
            "sizes",
            "Sizes of the ROIs",
            grid.size,
            paint,
            caption=caption + (f" No ROI could be defined: {clean(listed(gaps))}." if gaps else ""),
            alt=" ".join(
                f"{clean(roi)}, {HEMISPHERE_NAMES[hemi]}"
                f"{clean(whom(group))}: "
                f"{_tell_sizes(of_roi, _UNITS[column])}"
                for (hemi, group, roi), of_roi in grouped(sizes, "hemi", "group", "roi")
            ),
        )
    ]


def _size_column(found: "pd.DataFrame") -> str:
    """Choose the column of sizes that is drawn."""
    for column in ("area_mm2", "volume_mm3"):
        sizes = found[column][found["n_vertices"] > 0]
        if sizes.notna().all() and sizes.any():
            return column
    return "n_vertices"


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


def _outliers(sizes: "pd.DataFrame") -> "pd.DataFrame":
    """Choose participants with an outlying size, the furthest from the median first."""
    outlying = sizes.assign(distance=(sizes["size"] - sizes["size"].median()).abs())
    outlying = outlying[are_outliers(sizes["size"].to_numpy())]
    return outlying.sort_values("distance", ascending=False, kind="stable")


def _paint_sizes(
    axes: "Axes",
    sizes: "pd.DataFrame",
    rois: Sequence[str],
    highest: float,
    look: Appearance,
) -> None:
    colours, levels, markers = look.colours(rois), look.levels, look.markers
    share = 0.9 / len(levels)
    for (roi, group), of_roi in grouped(sizes, "roi", "group"):
        place = rois.index(roi) + (levels.index(group) - (len(levels) - 1) / 2) * share
        n = len(of_roi)
        points = of_roi.assign(x=place + share * (0.16 * jitter(n) - 0.2))
        axes.scatter(
            points["x"],
            points["size"],
            marker=markers[group],
            s=20 if n <= MOST_NAMED else 6,
            color=colours[roi],
            linewidths=0,
            alpha=0.85 if n <= MOST_NAMED else max(0.15, 6 / n**0.5),
            zorder=1.2,
            clip_on=False,
            urls=tell_marks(points["participant_id"], points["size"]),
            rasterized=len(sizes) > MOST_MARKS,
            gid="participants",
        )
        median = points["size"].median()
        ends = [place - 0.42 * share, place + 0.02 * share]
        axes.plot(ends, [median, median], color=DARK, linewidth=1.6, gid="median")
        _name_outliers(axes, points, place + 0.06 * share, highest)
    axes.set_ylim(-0.04 * highest, 1.08 * highest)


def _name_outliers(axes: "Axes", points: "pd.DataFrame", place: float, highest: float) -> None:
    """Name participants to the right of their points, without names on top of each other."""
    named = _outliers(points).iloc[:_MOST_OUTLIERS].sort_values("size", kind="stable")
    heights = spread(list(named["size"]), 0.055 * highest, 0.0, 1.05 * highest)
    for point, height in zip(each_row(named), heights, strict=True):
        axes.annotate(
            shorten(point.participant_id.removeprefix("sub-"), 10),
            (point.x, point.size),
            (place, height),
            fontsize="x-small",
            va="center",
            arrowprops=_LEADER,
        )


def _tell_sizes(sizes: "pd.DataFrame", unit: str) -> str:
    size = sizes["size"]
    outliers = [f"{row.participant_id} ({number(row.size)})" for row in each_row(_outliers(sizes))]
    named = f"; named: {clean(listed(outliers, _MOST_NAMES))}" if outliers else ""
    return (
        f"median {number(size.median())} {unit}, {number(size.min())} to {number(size.max())}, "
        f"n = {len(size)}{named}."
    )


def draw_coverage(estimates: "pd.DataFrame", look: Appearance = PLAIN) -> list[Chart]:
    """Draw the share of finite vertices in each ROI of each participant.

    Those of a group are side by side; who is in none is last.

    Parameters
    ----------
    estimates : DataFrame
        Of all participants.

    Returns
    -------
    list of Chart
        One, or none if there are no rows. Of several maps, the lowest share counts.
    """
    rows = pooled_or_apart(estimates, "coverage")
    if rows.empty:
        return []
    groups, participants = look.groups, list(rows["participant_id"].unique())
    participants.sort(key=lambda who: (who not in groups, groups.get(who, "")))
    together = groupby(participants, key=lambda who: groups.get(who, "no group"))
    sizes = [(group, len(list(members))) for group, members in together] if groups else []
    rois = list(rows["roi"].unique())
    cells = _lowest_coverage(rows)
    counts = cells["reason"].value_counts()
    reasons = [status for status in STATUSES if status in counts.index]
    are_few = len(participants) <= MOST_NAMED
    keys: list[Line2D | Patch] = [swatch(label, colour) for _, label, colour in _CLASSES]
    if reasons:
        keys.append(swatch("missing", _NO_NUMBER))
    keys += explain_reasons(reasons) if are_few else []
    left = label_width(rois)
    inside = min(WIDTH - left - 0.1, max(2.8, 0.25 * len(participants)))
    width, height = left + inside + 0.1, 0.26 * len(rois)
    columns, n_lines = legend_shape(keys, width)
    below = 0.25 + 0.2 * n_lines + 0.9 * label_width(participants)

    def paint(figure: "Figure") -> None:
        axes = axes_at(figure, left, below, inside, height, bare=False)
        _paint_coverage(axes, cells, participants, rois, reasons)
        _name_columns(axes, participants, participants if are_few else _conspicuous(cells), height)
        figure.legend(handles=keys, loc="lower center", ncols=columns, borderaxespad=0.2)
        if sizes:
            _divide_groups(axes, sizes, inside)

    caption = (
        f"Share of the {look.elements} of each ROI that have data, per participant (minimum over "
        "maps)."
    )
    if reasons:
        counted = ", ".join(f"{counts[reason]} {reason}" for reason in reasons)
        caption += f" Orange cells: missing ({counted})."
    if sizes:
        listing = ", ".join(f"{clean(group)} ({n})" for group, n in sizes)
        caption += f" Lines divide groups, from left to right: {listing}."
    if not are_few:
        caption += (
            f" Of {len(participants)} participants, up to {_MOST_NAMES} are shown: first those "
            "with most missing estimates, then those with the lowest shares."
        )
    return [
        draw_chart(
            "coverage",
            "Coverage of the ROIs",
            (width, below + height + 0.3),
            paint,
            caption=caption,
            alt=" ".join(
                f"{clean(roi)}: {_tell_coverage(cells[cells['roi'] == roi], len(participants))}"
                for roi in rois
            ),
        )
    ]


def _lowest_coverage(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Find the lowest share of each participant and ROI, or else the deepest reason for none."""
    depths = {status: depth for depth, status in enumerate(STATUSES)}
    cells = (
        rows.assign(depth=rows["status"].map(depths))
        .groupby(["participant_id", "roi"], sort=False)
        .agg(share=("coverage", "min"), depth=("depth", "max"))
        .reset_index()
    )
    reason = cells["depth"].map(dict(enumerate(STATUSES)))
    return cells.assign(reason=reason.mask(cells["share"].notna()))


def _conspicuous(cells: "pd.DataFrame") -> list[str]:
    """Choose whom to name: who lacks most ROIs, then who has the lowest shares."""
    ranks = (
        cells.assign(is_gap=cells["share"].isna())
        .groupby("participant_id", sort=False)
        .agg(n_gaps=("is_gap", "sum"), lowest=("share", "min"))
    )
    standing_out = ranks[(ranks["n_gaps"] > 0) | (ranks["lowest"] < 1)]
    ranked = standing_out.sort_values(["n_gaps", "lowest"], ascending=[False, True])
    return list(ranks.index[ranks.index.isin(ranked.index[:_MOST_NAMES])])


def _paint_coverage(
    axes: "Axes",
    cells: "pd.DataFrame",
    participants: Sequence[str],
    rois: Sequence[str],
    reasons: Sequence[str],
) -> None:
    """Draw a column of cells for each participant."""
    are_few = len(participants) <= MOST_NAMED
    columns = {name: i for i, name in enumerate(participants)}
    cells = cells.assign(i=cells["roi"].map(rois.index), j=cells["participant_id"].map(columns))
    painted = np.full((len(rois), len(participants), 3), components(_NO_NUMBER))
    found = cells[cells["share"].notna()]
    colours = np.array([components(colour) for _, _, colour in _CLASSES])
    classes = np.digitize(found["share"], [limit for limit, _, _ in _CLASSES])
    painted[found["i"], found["j"]] = colours[classes]
    for gap in each_row(cells[cells["share"].isna()]) if are_few else ():
        marker = reason_marker(reasons, gap.reason)
        axes.plot(gap.j, gap.i, marker=marker, color=DARK, markersize=5)
    axes.pcolormesh(
        np.arange(len(participants) + 1) - 0.5,
        np.arange(len(rois) + 1) - 0.5,
        painted,
        edgecolor="white" if are_few else "face",
        linewidth=0.5 if are_few else 0,
        rasterized=len(rois) * len(participants) > MOST_MARKS,
    )
    axes.set_yticks(range(len(rois)), [shorten(roi) for roi in rois])
    axes.set_xlim(-0.5, len(participants) - 0.5)
    axes.set_ylim(len(rois) - 0.5, -0.5)
    axes.tick_params(length=0)


def _divide_groups(axes: "Axes", sizes: Sequence[tuple[str, int]], inches: float) -> None:
    """Draw lines between groups, and name those that have the room above their columns."""
    first, total = 0, sum(n for _, n in sizes)
    axes.set_title("")
    for group, n in sizes:
        if first:
            axes.axvline(first - 0.5, color="white", linewidth=6)
            axes.axvline(first - 0.5, color=DARK, linewidth=1.4, gid="group")
        if label_width([group]) <= inches * n / total:
            middle, above = first + (n - 1) / 2, axes.get_xaxis_transform()
            axes.text(middle, 1.02, shorten(group), ha="center", va="bottom", transform=above)
        first += n


def _name_columns(
    axes: "Axes", participants: Sequence[str], named: Sequence[str], height: float
) -> None:
    """Write names below columns, upright; of many participants some, beside each other."""
    axes.set_title(f"{len(participants)} participants" if len(participants) > 1 else "")
    if len(named) == len(participants):
        labels = [shorten(name, 14) for name in participants]
        axes.set_xticks(range(len(participants)), labels, rotation=90, fontsize="x-small")
        return
    axes.set_xticks([])
    named = sorted(named, key=participants.index)
    columns = [participants.index(name) for name in named]
    gap = max(0.018 * len(participants), 1.0)
    places = spread(columns, gap, 0.0, float(len(participants) - 1))
    for column, place, name in zip(columns, places, named, strict=True):
        axes.annotate(
            shorten(name, 14),
            (column, 0),
            (place, -0.12 / height),
            xycoords=axes.get_xaxis_transform(),
            textcoords=axes.get_xaxis_transform(),
            fontsize="x-small",
            rotation=90,
            ha="center",
            va="top",
            arrowprops=_LEADER,
        )


def _tell_coverage(cells: "pd.DataFrame", n_participants: int) -> str:
    found = cells.dropna(subset="share").sort_values(["share", "participant_id"])
    if found.empty:
        return f"no participant of {n_participants}."
    lowest = found.iloc[0]
    return (
        f"{len(found)} of {n_participants} participants, lowest share "
        f"{number(lowest['share'])} ({clean(lowest['participant_id'])})."
    )
