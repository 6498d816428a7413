"""Charts of estimates: of a participant, with what each was measured in, and of the group.

Means and intervals of the group are those of the tables of statistics and comparisons.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, Hemisphere
from bids_secondlevel.core.inference import EVERYBODY, is_mean_of_sessions
from bids_secondlevel.core.rows import CELL, MISSING, each_row
from bids_secondlevel.core.values import Array
from bids_secondlevel.core.wording import OF_THE_MAPS
from bids_secondlevel.reports.charts.layout import (
    Part,
    jitter,
    mark_reasons,
    panelled_chart,
    parts,
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
    explain_reasons,
    inks,
    interval,
    key,
    number,
    pooled_or_apart,
    span,
    whom,
)
from bids_secondlevel.rois.flags import has_flag

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LATERALISED = 0.2
"""Laterality index beyond which an ROI is said to be in one hemisphere (Seghier, 2008)."""

_FLAGGED = (
    "Hollow marks are of numbers that have a flag, for a reason not to use them as they are "
    "(column flags of the estimates)."
)
_NOBODY = "of any participant"
_MARKERS = {"L": "<", BOTH: "o", "R": ">"}
_OFFSETS = {"L": 0.2, BOTH: 0.0, "R": -0.2}  # rows
_ROW, _WIDTH, _MOST_ROWS = 0.21, 6.0, 66  # inches; rows of a chart
_SIZES = (10, 100, 1000)  # vertices, in the legend
_COVERED = 0.95  # coverage from which it is not written beside a mark


def _coloured(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Add a column with the colour of each ROI."""
    return rows.assign(colour=rows["roi"].map(inks(list(rows["roi"].unique()))))


def draw_group_estimates(
    estimates: "pd.DataFrame",
    statistics: "pd.DataFrame",
    groups: Mapping[str, str] = MappingProxyType({}),
    *,
    units: str = OF_THE_MAPS,
) -> list[Chart]:
    """Draw the estimates of all participants, with mean and confidence interval.

    Parameters
    ----------
    estimates : DataFrame
        Of all participants.
    statistics : DataFrame
        One-sample tests of these estimates.
    groups
        Of the participants; each has panels of its own.
    units
        Those of the estimates, as they are said after "in".

    Returns
    -------
    list of Chart
        For each session and task, circular estimates apart and last; several if there are
        many contrasts. Hemispheres are apart only if there is nothing pooled.
    """
    estimates, tests = _of_groups(estimates, statistics, groups)
    cells = pooled_or_apart(_coloured(tests), "mean").reset_index(drop=True)
    return _draw_cells(
        cells,
        _by_participant(estimates, cells),
        _flagged(estimates, cells),
        suffix="estimates",
        title="Estimates",
        units=units,
        caption=f"Estimate in each ROI, in {units}: each coloured point is a "
        "participant, beside them their mean and its 95 % confidence interval (Student's t), as in "
        "group_statistics.tsv. The intervals are not corrected for the number of tests.",
    )


def draw_contralateral(
    estimates: "pd.DataFrame",
    comparisons: "pd.DataFrame",
    quality: "pd.DataFrame",
    groups: Mapping[str, str] = MappingProxyType({}),
    *,
    units: str = OF_THE_MAPS,
) -> list[Chart]:
    """Draw how much larger estimates are in the hemisphere that sees an ROI's side of the field.

    Parameters
    ----------
    estimates : DataFrame
        Of all participants.
    comparisons : DataFrame
        Paired tests of these estimates; those of hemispheres are drawn.
    quality : DataFrame
        Of the ROIs of all participants: it tells the side of each ROI.
    groups
        Of the participants; each has panels of its own.
    units
        Those of the estimates, as they are said after "in".

    Returns
    -------
    list of Chart
        As of estimates; none if there is no lateralised ROI in which two participants have
        numbers in both hemispheres.
    """
    rois = list(comparisons["roi"].unique())
    sides = {roi: contralateral_hemisphere(roi, quality) for roi in rois}
    estimates, tests = _of_groups(estimates, comparisons, groups)
    cells = _coloured(tests).assign(side=tests["roi"].map(sides))
    is_drawn = (cells["comparison"] == "hemi") & cells["side"].notna() & (cells["n"] >= 2)
    cells = cells[is_drawn].reset_index(drop=True)
    sign = np.where(cells["hemi"] == cells["side"], 1, -1)
    estimates = estimates[~has_flag(estimates["flags"], "minor_hemisphere")]
    facing = cells.assign(hemi=cells["versus"])
    other = _by_participant(estimates, facing)
    values = (_by_participant(estimates, cells) - other).mul(sign)
    first, second = (
        _flagged(estimates, of).reindex(values.index, fill_value=False) for of in (cells, facing)
    )
    flagged = first | second
    limits = np.sort([sign * cells["ci95_low"], sign * cells["ci95_high"]], axis=0)
    cells = cells.assign(
        hemi=BOTH, mean=sign * cells["mean"], ci95_low=limits[0], ci95_high=limits[1]
    )
    told = [f"{clean(roi)}: {sides[roi]}" for roi in rois if (cells["roi"] == roi).any()]
    return _draw_cells(
        cells,
        values,
        flagged,
        suffix="contralateral",
        title="Contralateral minus ipsilateral",
        units=units,
        caption="Estimate in the hemisphere contralateral to the ROI's side of the visual field, "
        f"minus that in the other hemisphere, in {units}: each coloured point is a "
        "participant with numbers in both, beside them their mean and its 95 % confidence "
        "interval, as in group_comparisons.tsv. ROIs of which less than 10 % lies in one of the "
        "hemispheres (minor_hemisphere) are left out. Contralateral is the hemisphere with most "
        f"of the ROI (median laterality index beyond {LATERALISED} to either side), unless "
        "the polar angles of most participants are of the other side of the field: "
        f"{', '.join(told)}.",
    )


def contralateral_hemisphere(roi: str, quality: "pd.DataFrame") -> Hemisphere | None:
    """Find the hemisphere that sees the side of the visual field in which an ROI lies.

    Parameters
    ----------
    quality : DataFrame
        Of the ROIs of all participants.

    Returns
    -------
    {"L", "R"} or None
        The hemisphere in which most of the ROI is: the median of the laterality indices of the
        participants is beyond 0.2. ``None`` if it is in neither, or if at least half of those
        with a quadrant have the ROI's mean polar angle on the same side as that hemisphere.

    References
    ----------
    The limit of 0.2 is the customary one: Seghier (2008), Magnetic Resonance Imaging 26, 594-601.
    """
    of_roi = quality[(quality["roi"] == roi) & (quality["hemi"] == BOTH)]
    index = of_roi["laterality_index"].median()
    if not abs(index) > LATERALISED:
        return None
    hemisphere: Hemisphere = "L" if index > 0 else "R"
    fields = of_roi["quadrant"][of_roi["quadrant"] != MISSING].str[1]
    return None if (fields == hemisphere).mean() >= 0.5 else hemisphere


def _of_groups(
    estimates: "pd.DataFrame", tests: "pd.DataFrame", groups: Mapping[str, str]
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Choose the tests of groups if there are any, else those of all participants.

    Means over sessions are not drawn beside the sessions.

    Returns
    -------
    estimates, tests : DataFrame
        Both have the column ``group``.
    """
    of = estimates["participant_id"].map(groups) if groups else EVERYBODY
    is_shown = ((tests["group"] == EVERYBODY) != bool(groups)) & ~is_mean_of_sessions(
        tests["session"]
    )
    chosen = tests[is_shown].reset_index(drop=True)
    if groups:  # those of a contrast side by side
        of_contrast = chosen.groupby(["session", "task", "contrast"], sort=False).ngroup()
        chosen = chosen.loc[of_contrast.sort_values(kind="stable").index].reset_index(drop=True)
    return estimates.assign(group=of), chosen


def _by_participant(estimates: "pd.DataFrame", cells: "pd.DataFrame") -> "pd.DataFrame":
    """Give estimates a row for each participant who has one, and a column for each cell."""
    key = [*CELL, "group"]
    there = estimates[["participant_id", *key, "estimate"]].dropna()
    found = there.merge(cells[key].reset_index(names="cell"), on=key)
    by_participant = found.pivot(index="participant_id", columns="cell", values="estimate")
    return by_participant.reindex(columns=cells.index)


def _flagged(estimates: "pd.DataFrame", cells: "pd.DataFrame") -> "pd.DataFrame":
    """Tell in the same shape which estimates have a flag."""
    flagged = estimates["flags"] != MISSING
    numbers = estimates.assign(estimate=flagged.where(estimates["estimate"].notna()).astype(float))
    return _by_participant(numbers, cells) > 0


def _draw_cells(
    cells: "pd.DataFrame",
    values: "pd.DataFrame",
    flagged: "pd.DataFrame",
    *,
    suffix: str,
    title: str,
    units: str,
    caption: str,
) -> list[Chart]:
    """Draw participants with their mean and its interval.

    Parameters
    ----------
    cells : DataFrame
        A row for each ROI in a panel.
    values : DataFrame
        A row for each participant, a column for each of these cells.
    flagged : DataFrame
        Which of the values have a flag.
    """
    where = {hemi: "" if hemi == BOTH else f", {name}" for hemi, name in HEMISPHERE_NAMES.items()}
    rows = cells.assign(
        panel=cells["contrast"] + cells["hemi"].map(where) + cells["group"].map(whom),
        is_control=cells["independence"] == "circular",
    )
    marked = flagged.reindex(values.index, fill_value=False)
    return [
        _draw_group(part, values, marked, suffix=suffix, title=title, units=units, caption=caption)
        for part in parts(rows)
    ]


def _draw_group(
    part: Part,
    values: "pd.DataFrame",
    flagged: "pd.DataFrame",
    *,
    suffix: str,
    title: str,
    units: str,
    caption: str,
) -> Chart:
    rows, is_control = part.rows, part.first["is_control"]
    is_few = len(values[rows.index].dropna(how="all")) <= MOST_NAMED
    rasterized = rows["n"].sum() > MOST_MARKS

    def paint(axes: "Axes", panel: "pd.DataFrame") -> None:
        of_panel = values[panel.index].dropna(how="all")
        if is_few and len(part.rois) > 1:
            _join_participants(axes, panel, of_panel)
        _paint_participants(axes, panel, of_panel, flagged, rasterized=rasterized)
        _paint_means(axes, panel)

    any_flag = bool((flagged[rows.index] & values[rows.index].notna()).to_numpy().any())
    hollow = [key("participant, flagged", "o", GREY, "white")] if any_flag else []
    caption = f"{caption} {_FLAGGED}" if any_flag else caption
    return panelled_chart(
        part,
        suffix,
        title,
        paint,
        units=units,
        about=lambda panel: f"(n = {span(panel['n'].astype(int))})",
        keys=[
            key("participant", "o", GREY, "white" if is_control and is_few else None),
            *hollow,
            key("mean and 95 % CI", "o", DARK, "white" if is_control else None, line="-"),
            *explain_reasons([_NOBODY] if rows["mean"].isna().any() else []),
        ],
        caption=f"{caption} {CIRCULAR}" if is_control else caption,
        tell=_tell_means,
    )


def _places(cells: "pd.DataFrame", n: int) -> Array:
    """Put n participants beside the place of each ROI, always as far to the side: (n, cells)."""
    places: Array = cells["place"].to_numpy() + 0.16 * jitter(n)[:, np.newaxis] - 0.12
    return places


def _join_participants(axes: "Axes", cells: "pd.DataFrame", values: "pd.DataFrame") -> None:
    """Draw a line through the points of each participant."""
    gap = np.full((len(values), 1), np.nan)
    axes.plot(
        np.hstack([_places(cells, len(values)), gap]).ravel(),
        np.hstack([values, gap]).ravel(),
        color=GREY,
        linewidth=0.5,
        alpha=0.45,
        zorder=1.1,
    )


def _paint_participants(
    axes: "Axes",
    cells: "pd.DataFrame",
    values: "pd.DataFrame",
    flagged: "pd.DataFrame",
    *,
    rasterized: bool,
) -> None:
    """Draw a point for each participant and ROI."""
    n = len(values)
    few = n <= MOST_NAMED
    for cell, x in zip(each_row(cells), _places(cells, n).T, strict=True):
        is_flagged = flagged.loc[values.index, cell.Index].to_numpy()
        for marked in (False, True):
            is_here = (is_flagged == marked) & values[cell.Index].notna().to_numpy()
            if not is_here.any():
                continue
            is_hollow = marked or (cell.is_control and few)
            axes.plot(
                x[is_here],
                values.loc[is_here, cell.Index],
                linestyle="",
                marker="o",
                markersize=4.5 if few else 3 if n <= 500 else 2,
                markerfacecolor="white" if is_hollow else cell.colour,
                markeredgecolor=cell.colour,
                markeredgewidth=0.8 if few or marked else 0,
                alpha=0.85 if few or marked else max(0.15, 6 / n**0.5),
                zorder=1.3 if marked else 1.2,
                rasterized=rasterized,
                gid="flagged" if marked else "participants",
            )


def _paint_means(axes: "Axes", cells: "pd.DataFrame") -> None:
    """Draw means and intervals beside the participants."""
    for cell in each_row(cells.dropna(subset="mean")):
        x = cell.place + 0.22
        if not np.isnan(cell.ci95_low):
            axes.plot(
                [x, x],
                [cell.ci95_low, cell.ci95_high],
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
            markerfacecolor="white" if cell.is_control else DARK,
            gid="mean",
        )
    gaps = cells["place"][cells["mean"].isna()]
    mark_reasons(axes, [(float(place), _NOBODY) for place in gaps], [_NOBODY])


def _tell_means(cells: "pd.DataFrame") -> str:
    return "; ".join(
        f"{clean(cell.roi)} mean {number(cell.mean)}, {interval(cell.ci95_low, cell.ci95_high)}, "
        f"n = {cell.n:.0f}"
        for cell in each_row(cells)
    )
