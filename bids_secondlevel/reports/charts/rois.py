"""Charts of the ROIs: how large they are, how they overlap, and how well maps cover them."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.roi_rule import components
from bids_secondlevel.core.rows import each_row, grouped
from bids_secondlevel.core.values import STATUSES, Array, Mask
from bids_secondlevel.core.words import in_words, listed
from bids_secondlevel.reports.charts.layout import (
    LETTERS,
    TITLES,
    WIDTH,
    Key,
    PanelGrid,
    draw_chart,
    draw_keys,
    draw_participants,
    explain_reasons,
    jitter,
    label_width,
    legend_shape,
    pointed_at,
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
    number,
    pooled_or_apart,
    reason_marker,
    shorten,
    whom,
)
from bids_secondlevel.reports.drawing import Axis, Drawing, Panel, png

if TYPE_CHECKING:
    import pandas as pd

FAR = 3.5
"""Scaled median absolute deviations from the median beyond which a size is an outlier."""

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
_SMALL = 7.5  # points, of names


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
    what, unit = look.sizes[column]
    sizes = found.assign(size=found[column].fillna(0)).sort_values(["hemi", "group"])
    rois, panels = list(quality["roi"].unique()), dict(grouped(sizes, "hemi"))
    people = [
        Key(
            text="participant" if level == EVERYBODY else shorten(level),
            mark=marker,
            colour=GREY,
        )
        for level, marker in look.markers.items()
    ]
    grid = PanelGrid(
        n=len(panels),
        columns=1,
        width=min(WIDTH - 1.2, max(3.0, (0.3 + 0.5 * len(people)) * len(rois))),
        places=rois,
        height=2.3,
        keys=[*people, Key(text="median", line="")],
        margin=0.3,
    )
    highest = max(sizes["size"].max(), 1.0)

    def paint(drawing: Drawing) -> None:
        every = grid.draw(drawing, (-0.04 * highest, 1.08 * highest), what)
        for (panel, _), (hemi, of_panel) in zip(every, panels.items(), strict=True):
            write_title(drawing, panel, HEMISPHERE_NAMES[hemi])
            _draw_sizes(drawing, panel, of_panel, rois, look)

    caption = (
        f"Size of each ROI in {unit}: each point is a participant, the line their "
        f"median. Labelled: participants further than {FAR} scaled median absolute deviations from "
        f"the median, and empty ROIs; at most {_MOST_OUTLIERS} in an ROI, the furthest first."
        + (" Groups of participants are side by side. " if look.groups else " ")
        + pointed_at(int(sizes.groupby(["hemi", "group", "roi"]).size().max()), len(sizes))
    )
    gaps = [
        f"{who} {in_words(list(of['roi'].unique()))} ({status})"
        for (who, status), of in grouped(rows[is_gap], "participant_id", "status")
    ]
    return [
        draw_chart(
            "sizes",
            "Sizes of the ROIs",
            grid.size,
            paint,
            caption=caption
            + (f" ROIs that could not be defined: {clean(listed(gaps))}." if gaps else ""),
            alt=" ".join(
                f"{clean(roi)}, {HEMISPHERE_NAMES[hemi]}"
                f"{clean(whom(group))}: "
                f"{_tell_sizes(of_roi, unit)}"
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


def _draw_sizes(
    drawing: Drawing,
    panel: Panel,
    sizes: "pd.DataFrame",
    rois: Sequence[str],
    look: Appearance,
) -> None:
    colours, levels, markers = look.colours(rois), look.levels, look.markers
    share = 0.9 / len(levels)
    for (roi, group), of_roi in grouped(sizes, "roi", "group"):
        place = rois.index(roi) + (levels.index(group) - (len(levels) - 1) / 2) * share
        n, size = len(of_roi), of_roi["size"].to_numpy()
        points = panel.at(place + share * (0.16 * jitter(n) - 0.2), size)
        draw_participants(
            drawing,
            panel,
            points,
            markers[group],
            people=of_roi["participant_id"].tolist(),
            values=size.tolist(),
            colours=[colours[roi]] * n,
            hollow=np.zeros(n, dtype=bool),
            cells=np.zeros(n, dtype=int),
            n=n,
            are_pixels=len(sizes) > MOST_MARKS,
        )
        ends = np.array([place - 0.42 * share, place + 0.02 * share])
        with drawing.part("median"):
            drawing.line(panel.at(ends, np.median(size)), DARK, 1.6)
        beside = float(panel.x.at(np.array(place + 0.06 * share)))
        _name_outliers(drawing, panel, of_roi.assign(x=points[:, 0], y=points[:, 1]), beside)


def _name_outliers(drawing: Drawing, panel: Panel, points: "pd.DataFrame", left: float) -> None:
    """Name participants to the right of their marks, without names on top of each other."""
    named = _outliers(points).iloc[:_MOST_OUTLIERS].sort_values("size", kind="stable")
    bottom, top = panel.y.places
    heights = spread(list(named["y"]), 0.12, bottom, top)
    for point, height in zip(each_row(named), heights, strict=True):
        drawing.line([(point.x, point.y), (left - 0.02, height)], GREY, 0.5)
        name = shorten(point.participant_id.removeprefix("sub-"), 10)
        drawing.write(left, height, name, size=_SMALL, va="center")


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
    keys = [_swatch(label, colour) for _, label, colour in _CLASSES]
    if reasons:
        keys.append(_swatch("missing", _NO_NUMBER))
    keys += explain_reasons(reasons) if are_few else []
    left = label_width(rois)
    inside = min(WIDTH - left - 0.1, max(2.8, 0.25 * len(participants)))
    width, height = left + inside + 0.1, 0.26 * len(rois)
    below = 0.25 + 0.2 * legend_shape(keys, width)[1] + 0.9 * label_width(participants)
    panel = Panel(
        x=Axis(ends=(-0.5, len(participants) - 0.5), places=(left, left + inside)),
        y=Axis(ends=(len(rois) - 0.5, -0.5), places=(below, below + height)),
    )

    def paint(drawing: Drawing) -> None:
        _draw_coverage(drawing, panel, cells, participants=participants, rois=rois, reasons=reasons)
        named = participants if are_few else _conspicuous(cells)
        _name_columns(drawing, panel, participants, named)
        draw_keys(drawing, keys, width)
        if sizes:
            _divide_groups(drawing, panel, sizes)
        elif len(participants) > 1:
            middle, n = left + inside / 2, f"{len(participants)} participants"
            drawing.write(middle, below + height + 0.08, n, size=TITLES, ha="center")

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
            f" Of {len(participants)} participants, up to {_MOST_NAMES} are named: first those "
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


def _swatch(text: str, colour: str) -> Key:
    return Key(text=text, mark="s", size=9, colour=colour)


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


def _draw_coverage(
    drawing: Drawing,
    panel: Panel,
    cells: "pd.DataFrame",
    *,
    participants: Sequence[str],
    rois: Sequence[str],
    reasons: Sequence[str],
) -> None:
    """Draw a column of cells for each participant."""
    are_few = len(participants) <= MOST_NAMED
    columns = {name: i for i, name in enumerate(participants)}
    cells = cells.assign(
        row=cells["roi"].map(rois.index),
        column=cells["participant_id"].map(columns),
        kind=np.digitize(cells["share"], [limit for limit, _, _ in _CLASSES]),  # NaN is the last
    )
    colours = [*(colour for _, _, colour in _CLASSES), _NO_NUMBER]
    kinds = np.full((len(rois), len(participants)), len(_CLASSES), dtype=np.uint8)
    kinds[cells["row"], cells["column"]] = cells["kind"]
    (left, right), (bottom, top) = panel.x.places, panel.y.places
    if kinds.size > MOST_MARKS:
        palette = np.rint(255 * np.array([components(of) for of in colours])).astype(np.uint8)
        drawing.pixels(png(kinds, palette), left, bottom, right - left, top - bottom)
    else:
        wide, high = (right - left) / len(participants), (top - bottom) / len(rois)
        for (row, column), kind in np.ndenumerate(kinds):
            x, y = left + column * wide, top - (row + 1) * high
            edge, line = ("white", 0.5) if are_few else (colours[kind], 0.1)
            drawing.rectangle(x, y, wide, high, colours[kind], edge=edge, line=line)
    for gap in each_row(cells[cells["share"].isna()]) if are_few else ():
        x, y = panel.at(gap.column, gap.row)[0].tolist()
        drawing.mark(x, y, reason_marker(reasons, gap.reason), 5, edge=DARK, face=DARK)
    for row, roi in enumerate(rois):
        at = float(panel.y.at(np.array(row)))
        drawing.write(left - 0.06, at, shorten(roi), size=LETTERS, ha="right", va="center")


def _divide_groups(drawing: Drawing, panel: Panel, sizes: Sequence[tuple[str, int]]) -> None:
    """Draw lines between groups, and name those that have the room above their columns."""
    bottom, top = panel.y.places
    first = 0
    for group, n in sizes:
        start, end = panel.x.at(np.array([first - 0.5, first + n - 0.5])).tolist()
        if first:
            drawing.line([(start, bottom), (start, top)], "white", 6)
            with drawing.part("group"):
                drawing.line([(start, bottom), (start, top)], DARK, 1.4)
        if label_width([group]) <= end - start:
            middle = (start + end) / 2
            drawing.write(middle, top + 0.08, shorten(group), size=LETTERS, ha="center")
        first += n


def _name_columns(
    drawing: Drawing, panel: Panel, participants: Sequence[str], named: Sequence[str]
) -> None:
    """Write names below columns, upright; of many participants some, beside each other."""
    named = sorted(named, key=participants.index)
    columns = panel.x.at(np.array([participants.index(name) for name in named])).tolist()
    bottom, are_all = panel.y.places[0], len(named) == len(participants)
    places = columns if are_all else spread(columns, 0.12, *panel.x.places)
    below = bottom - (0.06 if are_all else 0.16)
    for column, place, name in zip(columns, places, named, strict=True):
        if not are_all:
            drawing.line([(column, bottom), (place, below + 0.03)], GREY, 0.5)
        text = shorten(name, 14)
        drawing.write(place, below, text, size=_SMALL, ha="right", va="center", turned=True)


def _tell_coverage(cells: "pd.DataFrame", n_participants: int) -> str:
    found = cells.dropna(subset="share").sort_values(["share", "participant_id"])
    if found.empty:
        return f"no participant of {n_participants}."
    lowest = found.iloc[0]
    return (
        f"{len(found)} of {n_participants} participants, lowest share "
        f"{number(lowest['share'])} ({clean(lowest['participant_id'])})."
    )
