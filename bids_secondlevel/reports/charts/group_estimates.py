"""Charts of the estimates of all participants: points, means with intervals, and differences.

Means, differences and their intervals are those of the tables of tests; nothing is computed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, Hemisphere
from bids_secondlevel.core.inference import EVERYBODY, is_mean_of_sessions
from bids_secondlevel.core.rows import CELL, MISSING, each_row, grouped
from bids_secondlevel.core.values import Array
from bids_secondlevel.reports.charts.layout import (
    Key,
    PanelGrid,
    Part,
    around_zero,
    choose_columns,
    draw_participants,
    explain_reasons,
    jitter,
    mark_reasons,
    parts,
    pointed_at,
    write_title,
)
from bids_secondlevel.reports.charts.style import (
    CIRCULAR,
    DARK,
    FLAGGED,
    GREY,
    HEMISPHERE_NAMES,
    MOST_MARKS,
    MOST_NAMED,
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
from bids_secondlevel.reports.drawing import Drawing, Panel
from bids_secondlevel.rois.flags import has_flag

if TYPE_CHECKING:
    import pandas as pd

LATERALISED = 0.2
"""Laterality index beyond which an ROI is said to be in one hemisphere (Seghier, 2008)."""

_INTERVAL = ["mean", "ci95_low", "ci95_high"]
_NEEDED = [*CELL, "comparison", "group", "versus", "n", *_INTERVAL, "independence"]
_SET = ["session", "task", "space", "statistic"]
_NOBODY = "in all participants"
_HEIGHT, _MOST_PANELS = 1.7, 12  # inches; of a chart
_LEAST, _MOST = 0.55, 2.5  # heights of the axes of differences, in inches
_SLOT, _OF_GROUP = 0.3, 0.22  # width of a place in inches, and more for each group
_MOST_PLACES = 26
_MOST_JOINED = 12  # conditions
_NARROWEST, _ALONE, _WIDEST = 1.25, 3.0, 7.0  # widths of a panel in inches
_NEUTRAL = "#4a6fa5"  # of what is of no single ROI
_DIFFERENCES = "Below them are differences with their 95 % confidence intervals, as in the tables."
_SAME_SCALE = "A unit is as long as above."
_PAIRS = {"d": 7.0, "s": 4.5, "X": 6.0}
"""Marks of differences and their sizes in points; more pairs would be too many for a panel."""
_USED = 0.86  # share of a place that groups take


@dataclass(frozen=True, eq=False, kw_only=True)
class _Numbers:
    """Numbers of participants in cells: a row for each participant, a column for each cell."""

    values: "pd.DataFrame"
    flagged: "pd.DataFrame"
    """Which have a flag."""

    def of(self, cells: "pd.DataFrame") -> "_Numbers":
        """Choose cells, and the participants who have a number in one of them."""
        values = self.values[cells.index].dropna(how="all")
        return _Numbers(values=values, flagged=self.flagged.loc[values.index, cells.index])


def draw_group_estimates(
    estimates: "pd.DataFrame",
    statistics: "pd.DataFrame",
    comparisons: "pd.DataFrame",
    look: Appearance = PLAIN,
) -> list[Chart]:
    """Draw the estimates of all participants, with mean and confidence interval.

    Of several contrasts, those of an ROI are side by side, and lines join the points of a
    participant; if there is one contrast, the ROIs are side by side. Groups are beside each other.
    The differences of two or three groups, or else of two or three contrasts, are below, on an
    axis of their own. A unit is as long on both axes, unless that takes too much room.

    Parameters
    ----------
    estimates : DataFrame
        Of all participants.
    statistics : DataFrame
        One-sample tests of these estimates.
    comparisons : DataFrame
        Differences between them; of none, only the estimates are drawn.

    Returns
    -------
    list of Chart
        For each session and task, circular estimates apart and last; several if there are
        many contrasts. Hemispheres are apart only if there is nothing pooled.

    References
    ----------
    Estimation plots: Gardner & Altman (1986), BMJ 292, 746-750; Cumming (2012), Understanding the
    new statistics.
    """
    estimates, tests = _of_groups(estimates, statistics, look)
    cells = _arranged(look.coloured(pooled_or_apart(tests, "mean").reset_index(drop=True)))
    return _draw_cells(
        cells,
        _numbers(estimates, cells),
        _differences(comparisons, cells, look),
        look,
        suffix="estimates",
        title="Estimates",
        caption=f"Estimate in each ROI, in {look.units}: each coloured point is a participant; the "
        "mean and its 95 % confidence interval (Student's t) are beside them, as in "
        "group_statistics.tsv. The intervals are not corrected for multiple testing.",
    )


def draw_contralateral(
    estimates: "pd.DataFrame",
    comparisons: "pd.DataFrame",
    quality: "pd.DataFrame",
    look: Appearance = PLAIN,
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

    Returns
    -------
    list of Chart
        As of estimates; none if there is no lateralised ROI in which two participants have
        numbers in both hemispheres.
    """
    rois = list(comparisons["roi"].unique())
    sides = {roi: contralateral_hemisphere(roi, quality) for roi in rois}
    estimates, tests = _of_groups(estimates, comparisons, look)
    cells = look.coloured(tests).assign(side=tests["roi"].map(sides))
    is_drawn = (cells["comparison"] == "hemi") & cells["side"].notna() & (cells["n"] >= 2)
    contrasts = list(estimates["contrast"].unique())  # in the order of the other charts
    cells = cells[is_drawn].sort_values(
        "contrast", key=lambda names: names.map(contrasts.index), kind="stable", ignore_index=True
    )
    sign = np.where(cells["hemi"] == cells["side"], 1, -1)
    estimates = estimates[~has_flag(estimates["flags"], "minor_hemisphere")]
    one, other = (_numbers(estimates, of) for of in (cells, cells.assign(hemi=cells["versus"])))
    values = (one.values - other.values).mul(sign)
    first, second = (of.flagged.reindex(values.index, fill_value=False) for of in (one, other))
    limits = np.sort([sign * cells["ci95_low"], sign * cells["ci95_high"]], axis=0)
    cells = cells.assign(
        hemi=BOTH, mean=sign * cells["mean"], ci95_low=limits[0], ci95_high=limits[1]
    )
    told = [f"{clean(roi)}: {sides[roi]}" for roi in rois if (cells["roi"] == roi).any()]
    cells = _arranged(cells)
    return _draw_cells(
        cells,
        _Numbers(values=values, flagged=first | second),
        _differences(comparisons[:0], cells, look),
        look,
        suffix="contralateral",
        title="Contralateral minus ipsilateral",
        caption="Estimate in the hemisphere contralateral to the ROI's side of the visual field, "
        f"minus that in the other hemisphere, in {look.units}: each coloured point is a "
        "participant with estimates in both; the mean and its 95 % confidence interval are beside "
        "them, as in group_comparisons.tsv. ROIs with less than 10 % in one of the hemispheres "
        "(minor_hemisphere) are excluded. The contralateral hemisphere is the one that contains "
        f"most of the ROI (median laterality index beyond {LATERALISED}), unless the polar angles "
        f"of most participants are on the other side of the visual field: {', '.join(told)}.",
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


def draw_planned(
    numbers: "pd.DataFrame", planned: "pd.DataFrame", look: Appearance = PLAIN
) -> list[Chart]:
    """Draw planned contrasts: the numbers of participants, means, and differences of groups.

    Parameters
    ----------
    numbers : DataFrame
        Of participants, with the columns participant_id, name and estimate.
    planned : DataFrame
        Tests of these contrasts.

    Returns
    -------
    list of Chart
        One, with all contrasts side by side; more if there are many.
    """
    key = {**dict.fromkeys(CELL, MISSING), "hemi": BOTH}
    numbers = numbers.assign(**key, flags=MISSING).assign(contrast=numbers["name"])
    tests = planned.assign(**key).assign(contrast=planned["name"])
    is_difference = tests["versus"] != MISSING
    numbers, cells = _of_groups(numbers, tests[~is_difference], look)
    cells = cells.assign(
        panel="", along=cells["contrast"], is_joined=False, is_control=False, colour=_NEUTRAL
    )
    return _draw_cells(
        cells,
        _numbers(numbers, cells),
        _differences(tests[is_difference].assign(comparison="group"), cells, look),
        look,
        suffix="planned",
        title="Planned contrasts",
        caption=f"Each planned contrast, in {look.units}: each point is a participant; the mean "
        "and its 95 % confidence interval (Student's t) are beside them, as in group_planned.tsv.",
    )


def _of_groups(
    estimates: "pd.DataFrame", tests: "pd.DataFrame", look: Appearance
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Choose the tests of groups if there are any, else those of all participants.

    Means over sessions are not drawn beside the sessions.

    Returns
    -------
    estimates, tests : DataFrame
        Both have the column ``group``.
    """
    is_shown = ((tests["group"] == EVERYBODY) != bool(look.groups)) & ~is_mean_of_sessions(
        tests["session"]
    )
    of = look.group_of(estimates["participant_id"])
    chosen = tests.loc[is_shown, [name for name in _NEEDED if name in tests]]
    return estimates.assign(group=of), chosen.reset_index(drop=True)


def _arranged(cells: "pd.DataFrame") -> "pd.DataFrame":
    """Choose for each cell the panel that shows it, and what it is called there (``along``)."""
    several = cells.groupby(_SET)["contrast"].transform("nunique") > 1
    where = {hemi: "" if hemi == BOTH else f", {name}" for hemi, name in HEMISPHERE_NAMES.items()}
    return cells.assign(
        panel=cells["roi"].where(several, cells["contrast"]) + cells["hemi"].map(where),
        along=cells["contrast"].where(several, cells["roi"]),
        is_joined=several,
        is_control=cells["independence"] == "circular",
    )


def _numbers(estimates: "pd.DataFrame", cells: "pd.DataFrame") -> _Numbers:
    """Spread estimates: a row for each participant who has one, a column for each cell."""
    key = [*CELL, "group"]
    columns = ["participant_id", *key, "estimate", "flags"]
    there = estimates.loc[estimates["estimate"].notna(), columns]
    found = there.merge(cells[key].reset_index(names="cell"), on=key)
    found = found.assign(flagged=(found["flags"] != MISSING).astype(float))
    values, flagged = (
        found.pivot(index="participant_id", columns="cell", values=of).reindex(columns=cells.index)
        for of in ("estimate", "flagged")
    )
    return _Numbers(values=values, flagged=flagged > 0)


def _differences(
    comparisons: "pd.DataFrame", cells: "pd.DataFrame", look: Appearance
) -> "pd.DataFrame":
    """Find the differences of groups, or else of contrasts, unless these are too many pairs.

    Returns
    -------
    DataFrame
        Means and intervals; ``panel``, ``along`` and ``other`` (the same if groups differ), which
        say where they are drawn, but for a ``shift``; and ``minus``, what is subtracted.
    """
    tested = comparisons[comparisons["mean"].notna() & comparisons["p"].notna()]
    if look.groups:
        found = tested[tested["comparison"] == "group"]
        one, other = (found[of].map(look.levels.index) for of in ("group", "versus"))
        minus = found["group"] + " - " + found["versus"]
        shift = (one + other - len(look.levels) + 1) / 2 * _USED / len(look.levels)
        found = found.assign(other=found["contrast"], minus=minus, shift=shift)
    else:
        found = tested[(tested["comparison"] == "contrast") & (tested["group"] == EVERYBODY)]
        minus = found["contrast"] + " - " + found["versus"]
        found = found.assign(other=found["versus"], minus=minus, shift=0.0)
    found = found[found.groupby(_SET)["minus"].transform("nunique") <= len(_PAIRS)]
    where = cells[[*CELL, "panel", "along", "is_joined"]].drop_duplicates([*CELL])
    found = found[[*CELL, *_INTERVAL, "other", "minus", "shift"]].merge(where, on=list(CELL))
    return found.assign(other=found["other"].where(found["is_joined"], found["along"]))


def _draw_cells(
    cells: "pd.DataFrame",
    numbers: _Numbers,
    differences: "pd.DataFrame",
    look: Appearance,
    *,
    suffix: str,
    title: str,
    caption: str,
) -> list[Chart]:
    """Draw participants with their mean and its interval: a row of `cells` for each mean."""
    charts = []
    for part in parts(cells, _MOST_PANELS, most_places=_MOST_PLACES // len(look.levels)):
        on = [*_SET, "panel", "along"]
        of_part = differences.merge(part.rows[on].drop_duplicates(), on=on)
        of_part = of_part[of_part["other"].isin(part.rows["along"])]
        charts.append(
            _draw_part(part, numbers, of_part, look, suffix=suffix, title=title, caption=caption)
        )
    return charts


def _draw_part(
    part: Part,
    numbers: _Numbers,
    differences: "pd.DataFrame",
    look: Appearance,
    *,
    suffix: str,
    title: str,
    caption: str,
) -> Chart:
    rows, panels, places = part.rows, part.panels, list(part.rows["along"].unique())
    limits = around_zero(numbers.of(rows).values, rows[_INTERVAL])
    pairs = dict(zip(differences["minus"].unique(), _PAIRS, strict=False))
    least = _NARROWEST if len(panels) > 1 else _ALONE
    width = min(max(len(places) * (_SLOT + _OF_GROUP * len(look.levels)), least), _WIDEST)
    second, below = _axis_below(differences, limits)
    is_same_scale = np.isclose(second / (below[1] - below[0]), _HEIGHT / (limits[1] - limits[0]))
    keys, captions = _explained(part, numbers, pairs, look, is_same_scale=bool(is_same_scale))
    grid = PanelGrid(
        n=len(panels),
        columns=choose_columns(len(panels), width),
        width=width,
        places=places,
        height=_HEIGHT,
        second=second,
        keys=keys,
    )
    are_pixels = rows["n"].sum() > MOST_MARKS

    def paint(drawing: Drawing) -> None:
        label = axis_label(part.first["statistic"], look.units)
        minus = _shortened(*pairs) if len(pairs) == 1 else "difference"
        every = grid.draw(drawing, limits, label, below, minus)
        for (panel, other), (name, of_panel) in zip(every, panels.items(), strict=True):
            write_title(drawing, panel, name)
            _draw_groups(
                drawing, panel, of_panel, numbers, places=places, look=look, are_pixels=are_pixels
            )
            if other is not None:
                here = differences[differences["panel"] == name]
                _draw_differences(drawing, other, here, places, pairs)

    def tell(of_panel: "pd.DataFrame") -> str:
        here = differences[differences["panel"].isin(of_panel["panel"])]
        return "; ".join([*_tell_means(of_panel), *map(_tell_difference, each_row(here))])

    return part.draw(
        suffix, title, grid.size, paint, caption=" ".join([caption, *captions]), tell=tell
    )


def _explained(
    part: Part,
    numbers: _Numbers,
    pairs: Mapping[str, str],
    look: Appearance,
    *,
    is_same_scale: bool,
) -> tuple[list[Key], list[str]]:
    """Make the legend of a chart, and sentences for what is not in every chart."""
    rows, of_part, is_control = part.rows, numbers.of(part.rows), part.first["is_control"]
    keys, captions = [], []
    for level, marker in look.markers.items():
        counts = rows["n"][rows["group"] == level].astype(int)
        who = "participant" if level == EVERYBODY else shorten(level)
        if len(counts):
            face = "white" if is_control and _are_few(of_part.values) else ""
            keys.append(
                Key(text=f"{who} (n = {span(counts)})", mark=marker, colour=GREY, face=face)
            )
    if (of_part.flagged & of_part.values.notna()).to_numpy().any():
        keys.append(Key(text="flagged", mark="o", colour=GREY, face="white"))
        captions.append(FLAGGED)
    face = "white" if is_control else ""
    keys.append(Key(text="mean and 95 % CI", mark="o", face=face, line=""))
    for minus, mark in pairs.items():
        text = "difference and 95 % CI" if len(pairs) == 1 else _shortened(minus)
        keys.append(Key(text=text, mark=mark, size=_PAIRS[mark], line=""))
    if pairs:
        captions += [_DIFFERENCES, *([_SAME_SCALE] if is_same_scale else [])]
    if is_control:
        captions.append(CIRCULAR)
    captions.append(pointed_at(len(of_part.values), int(rows["n"].sum())))
    return [*keys, *explain_reasons([_NOBODY] if rows["mean"].isna().any() else [])], captions


def _axis_below(
    differences: "pd.DataFrame", above: tuple[float, float]
) -> tuple[float, tuple[float, float]]:
    """Choose height and limits of the axis of differences; no height if there are none.

    A unit has the same length on both axes, unless that takes too much room.
    """
    if differences.empty:
        return 0.0, above
    low, high = around_zero(differences[_INTERVAL])
    scale = _HEIGHT / (above[1] - above[0])
    height = min(max(scale * (high - low), _LEAST), _MOST)
    middle, half = (low + high) / 2, height / scale / 2
    return height, (min(low, middle - half), max(high, middle + half))


def _are_few(values: "pd.DataFrame") -> bool:
    return len(values) <= MOST_NAMED


def _shortened(minus: str) -> str:
    return " - ".join(map(shorten, minus.split(" - ")))


def _draw_groups(
    drawing: Drawing,
    panel: Panel,
    cells: "pd.DataFrame",
    numbers: _Numbers,
    *,
    places: Sequence[str],
    look: Appearance,
    are_pixels: bool,
) -> None:
    """Draw the participants of each group, lines between their conditions, means and intervals."""
    levels = look.levels
    share = _USED / len(levels)
    n_shown = len(numbers.of(cells).values)
    few = n_shown <= MOST_NAMED
    cells = cells.assign(
        x=cells["along"].map(places.index)
        + (cells["group"].map(levels.index) - (len(levels) - 1) / 2) * share
    ).sort_values("x", kind="stable")
    for level, marker in look.markers.items():
        of_level = cells[cells["group"] == level]
        there = numbers.of(of_level)
        values = there.values.to_numpy()
        if not len(values):
            continue
        x = of_level["x"].to_numpy() + share * (0.2 * jitter(len(values))[:, np.newaxis] - 0.15)
        if few and of_level["is_joined"].any() and len(places) <= _MOST_JOINED:
            _join_participants(drawing, panel, x, values)
        person, cell = np.nonzero(~np.isnan(values))
        is_control = of_level["is_control"].to_numpy() & few
        draw_participants(
            drawing,
            panel,
            panel.at(x[person, cell], values[person, cell]),
            marker,
            people=there.values.index[person].tolist(),
            values=values[person, cell].tolist(),
            colours=of_level["colour"].to_numpy()[cell].tolist(),
            hollow=there.flagged.to_numpy()[person, cell] | is_control[cell],
            cells=cell,
            n=n_shown,
            are_pixels=are_pixels,
        )
    x = panel.x.at(cells["x"].to_numpy() + 0.3 * share)
    _draw_means(drawing, panel, x, cells, hollow=bool(cells["is_control"].any()))
    gaps = cells["x"][cells["mean"].isna()]
    mark_reasons(drawing, panel, [(float(place), _NOBODY) for place in gaps], [_NOBODY])


def _join_participants(drawing: Drawing, panel: Panel, x: Array, values: Array) -> None:
    """Draw a line through the marks of each participant."""
    gap = np.full((len(values), 1), np.nan)
    points = panel.at(np.hstack([x, gap]).ravel(), np.hstack([values, gap]).ravel())
    with drawing.part("joined"):
        drawing.line(points, GREY, 0.5, opacity=0.45)


def _draw_means(
    drawing: Drawing,
    panel: Panel,
    x: Array,
    tests: "pd.DataFrame",
    mark: str = "o",
    *,
    hollow: bool,
) -> None:
    """Draw means with their intervals; of a single number there is none."""
    mean, low, high = (panel.y.at(tests[name].to_numpy()) for name in _INTERVAL)
    if np.isfinite(low).any():
        with drawing.part("interval"):
            for place in np.flatnonzero(np.isfinite(low)):
                drawing.line([(x[place], low[place]), (x[place], high[place])], DARK, 1.4)
    face, size = "white" if hollow else DARK, _PAIRS.get(mark, 4.0)
    with drawing.part("mean"):
        for place in np.flatnonzero(np.isfinite(mean)):
            drawing.mark(x[place], mean[place], mark, size, edge=DARK, face=face)


def _draw_differences(
    drawing: Drawing,
    panel: Panel,
    differences: "pd.DataFrame",
    places: Sequence[str],
    pairs: Mapping[str, str],
) -> None:
    """Draw differences below the middle between what they are of, with a mark for each pair."""
    for minus, of_pair in grouped(differences, "minus"):
        first, second = (of_pair[of].map(places.index) for of in ("along", "other"))
        x = panel.x.at(((first + second) / 2 + of_pair["shift"]).to_numpy(dtype=float))
        _draw_means(drawing, panel, x, of_pair, pairs[minus], hollow=False)


def _tell_means(cells: "pd.DataFrame") -> list[str]:
    return [
        f"{clean(cell.along)}{clean(whom(cell.group))} mean "
        f"{number(cell.mean)}, {interval(cell.ci95_low, cell.ci95_high)}, n = {cell.n:.0f}"
        for cell in each_row(cells)
    ]


def _tell_difference(difference: Any) -> str:
    what = "" if difference.along != difference.other else f"{clean(difference.along)}, "
    return (
        f"{what}{clean(difference.minus)} {number(difference.mean)}, "
        f"{interval(difference.ci95_low, difference.ci95_high)}"
    )
