"""Charts of profiles: responses over eccentricity, polar angle, and the distance from positions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.positions import OWN
from bids_secondlevel.core.rows import MISSING, each_row, grouped
from bids_secondlevel.core.values import Array
from bids_secondlevel.core.wording import OF_THE_MAPS
from bids_secondlevel.reports.charts.field import (
    FOVEA,
    SIGNIFICANT,
    Ranges,
    parts_of_field,
    round_degrees,
    title_of_field,
    without_common,
)
from bids_secondlevel.reports.charts.style import (
    DARK,
    GREY,
    MOST_NAMED,
    Chart,
    axis_label,
    clean,
    inks,
    interval,
    number,
    shorten,
    width_of,
)
from bids_secondlevel.reports.drawing import Axis, Drawing, Panel

if TYPE_CHECKING:
    import pandas as pd

_AXES: Mapping[str, str] = {
    "eccentricity": "eccentricity (degrees)",
    "polar_angle": "polar angle",
    "polar_angle_distance": "polar angle from the position (degrees)",
    "distance": "distance from the position (degrees)",
}
"""What is written below a panel, by profile; their order is that of the panels."""

_IN_DEGREES = ("eccentricity", "distance")
"""Profiles over degrees of visual angle, which are drawn as on the cortex."""

_COMPASS = ((-180, "lower"), (-90, "left"), (0, "upper"), (90, "right"), (180, "lower"))
_MOST_PROFILES = 4  # contrasts in a chart
_MOST_WITH_INTERVALS = 4  # curves in a panel
_PANEL, _PANEL_HEIGHT, _BETWEEN, _TITLE = 3.2, 1.45, 0.3, 0.28  # inches
_LEFT, _TOP, _LEGEND = 0.9, 0.15, 0.22
_SIZE, _LETTER = 8.5, 0.085  # of letters in points; width of one in inches


def draw_profiles(
    bins: "pd.DataFrame",
    ranges: Ranges,
    participants: "pd.DataFrame | None" = None,
    *,
    units: str = OF_THE_MAPS,
) -> list[Chart]:
    """Draw estimates over eccentricity and over polar angle, a curve for each group.

    Parameters
    ----------
    bins
        As for :func:`~.field.draw_discs`; those of a group have ``ci95_low``, ``ci95_high`` and
        ``n``, too.
    participants
        The same bins of each participant, with the ``group``.
    units
        Those of the estimates.

    Returns
    -------
    list of Chart
        For each session, task and visual area; several if there are many contrasts.
    """
    profiles = bins[bins["profile"].isin(["eccentricity", "polar_angle"])]
    return [
        _draw(part, ranges.get(part["area"].iloc[0], ()), participants, name, units)
        for part, name in parts_of_field(profiles, _MOST_PROFILES, "profiles")
    ]


def draw_distances(
    bins: "pd.DataFrame",
    participants: "pd.DataFrame | None" = None,
    *,
    units: str = OF_THE_MAPS,
) -> list[Chart]:
    """Draw estimates over the distance from the contrast's own position, or from each position.

    Parameters
    ----------
    bins, participants, units
        As for :func:`draw_profiles`.
    """
    profiles = bins[bins["profile"].isin(["polar_angle_distance", "distance"])]
    is_own = profiles["position"] == OWN
    has_own = profiles["contrast"].isin(profiles["contrast"][is_own])
    return [
        _draw(part, (), participants, name, units)
        for part, name in parts_of_field(profiles[is_own | ~has_own], _MOST_PROFILES, "distances")
    ]


_CURVE = ("position", "group")
"""The columns that tell curves of a panel apart."""

_Colours = Mapping[tuple[str, str], tuple[str, str]]
"""Label and colour of each curve, by position and group."""


def _draw(
    bins: "pd.DataFrame",
    ranges: Sequence[tuple[float, float]],
    participants: "pd.DataFrame | None",
    name: str,
    units: str,
) -> Chart:
    """Draw a row of panels for each contrast."""
    first = bins.iloc[0]
    profiles = [profile for profile in _AXES if (bins["profile"] == profile).any()]
    is_difference = bins["versus"] != MISSING
    contrasts = dict(grouped(bins[~is_difference], "contrast"))
    differing = bins[is_difference & (bins["p_corrected"] < SIGNIFICANT)]
    colours = _colours(bins[~is_difference])
    is_crowded = len(colours) > _MOST_WITH_INTERVALS
    everyone = None
    if participants is not None and not is_crowded:
        everyone = _those_of(participants, bins[~is_difference])
    contrasts = {of: without_common(rows) for of, rows in contrasts.items()}
    keys = _keys(colours, bins, has_lines=everyone is not None, has_stars=not differing.empty)
    width = _LEFT + 0.2 + len(profiles) * (_PANEL + _BETWEEN)
    lines = _in_lines(keys, width)
    bottom = 0.55 + (0.15 + _LEGEND * len(lines) if keys else 0)
    height = _TOP + bottom + len(contrasts) * (_PANEL_HEIGHT + _TITLE)
    drawing = Drawing(name, width, height)
    for row, (contrast, of_row) in enumerate(contrasts.items()):
        people = None if everyone is None else everyone[everyone["contrast"] == contrast]
        low = height - _TOP - (row + 1) * (_PANEL_HEIGHT + _TITLE)
        y = Axis(ends=_span_of(of_row, people), places=(low, low + _PANEL_HEIGHT))
        for column, profile in enumerate(profiles):
            is_here = [of["profile"] == profile for of in (of_row, differing)]
            _draw_panel(
                drawing,
                of_row[is_here[0]],
                differing[is_here[1] & (differing["contrast"] == contrast)],
                people,
                colours,
                ranges,
                _LEFT + column * (_PANEL + _BETWEEN),
                y,
                is_first=column == 0,
                is_last=row + 1 == len(contrasts),
            )
        n = f" (n = {int(of_row['n'].max())})" if "n" in of_row and len(colours) == 1 else ""
        title = shorten(contrast, int(_PANEL / _LETTER) - 2 - len(n)) + n
        drawing.write(_LEFT + _PANEL / 2, y.places[1] + 0.07, title, size=9.5, ha="center")
        label = axis_label(first["statistic"], units).partition(" (")
        for line, text in enumerate((label[0], f"({label[2]}" if label[2] else "")):
            at = 0.12 + 0.14 * line, sum(y.places) / 2
            drawing.write(*at, text, size=_SIZE, ha="center", va="center", turned=True)
    _draw_keys(drawing, lines, width)
    told = " ".join(f"{clean(contrast)}: {_tell(of)}." for contrast, of in contrasts.items())
    is_around = first["position"] != MISSING
    title = "Profiles around positions" if is_around else "Profiles over the visual field"
    title = title_of_field(title, first)
    return Chart(
        name=name,
        svg=drawing.encode(title),
        title=title,
        caption=_caption(
            bins,
            profiles,
            has_lines=everyone is not None,
            has_ranges=bool(ranges),
            has_intervals=not is_crowded,
        ),
        alt=told,
    )


def _draw_panel(  # noqa: PLR0917
    drawing: Drawing,
    bins: "pd.DataFrame",
    differing: "pd.DataFrame",
    people: "pd.DataFrame | None",
    colours: _Colours,
    ranges: Sequence[tuple[float, float]],
    left: float,
    y: Axis,
    *,
    is_first: bool,
    is_last: bool,
) -> None:
    """Draw the curves of a contrast in bins of a profile."""
    if bins.empty:
        return
    profile = bins["profile"].iloc[0]
    ends, ticks = _ends(bins), _ticks(bins)
    panel = Panel(x=Axis(ends=ends, places=(left, left + _PANEL)), y=y)
    panel.frame(
        drawing,
        [(float(panel.x.at(np.array(at))), text if is_last else "") for at, text in ticks],
        [(at, text if is_first else "") for at, text in y.ticks(5)],
        _SIZE,
    )
    _draw_ground(drawing, panel, bins, ranges)
    for curve, of_curve in grouped(bins, *_CURVE):
        colour = colours[curve][1]
        if people is not None:
            is_in = np.logical_and.reduce(
                [people[name] == of_curve[name].iloc[0] for name in ("profile", *_CURVE)]
            )
            for _, of_one in grouped(people[is_in], "participant_id"):
                with drawing.part("participant"):
                    at = panel.at(_middles(of_one), of_one["estimate"].to_numpy())
                    drawing.line(at, GREY if len(colours) == 1 else colour, 0.5, opacity=0.5)
        has_interval = "n" in bins and len(colours) <= _MOST_WITH_INTERVALS
        _draw_curve(drawing, panel, of_curve, colour, has_interval=has_interval)
    if len(differing):
        with drawing.part("differing"):
            for x in panel.x.at(_middles(differing)):
                drawing.mark(x, y.places[1] - 0.05, "*", 7, edge="none", face=DARK)
    if is_last:
        x, below = left + _PANEL / 2, y.places[0] - 0.32
        drawing.write(x, below, _AXES[profile], size=_SIZE, ha="center", va="center")


def _colours(bins: "pd.DataFrame") -> _Colours:
    """Name and colour the curves: by position and group, as far as there are several of these."""
    curves = [of for of, _ in grouped(bins, *_CURVE)]
    if len(curves) == 1:
        return {curves[0]: ("", DARK)}
    has_groups = bins["group"].nunique() > 1
    has_positions = bins["position"].nunique() > 1
    labels = {
        (position, group): ", ".join(
            part for part, is_told in ((position, has_positions), (group, has_groups)) if is_told
        )
        for position, group in curves
    }
    colours = inks(list(dict.fromkeys(labels.values())))
    return {curve: (label, colours[label]) for curve, label in labels.items()}


_Key = tuple[str, str, str, str]
"""An entry of the legend: its text, mark ("-" for a line), colour and what fills the mark."""


def _keys(
    colours: _Colours, bins: "pd.DataFrame", *, has_lines: bool, has_stars: bool
) -> list[_Key]:
    """List what is to be explained; nothing for a single curve of a participant."""
    keys: list[_Key] = []
    if len(colours) > 1:
        keys += [(shorten(label), "-", colour, "") for label, colour in colours.values()]
    if "n" not in bins:
        return keys
    if len(colours) == 1:
        keys.append(("mean and 95 % CI", "-", DARK, ""))
    keys += [(f"p_fwe < {SIGNIFICANT}", "o", DARK, DARK), ("otherwise", "o", DARK, "white")]
    if has_lines and len(colours) == 1:
        keys.append(("participant", "-", GREY, ""))
    if has_stars:
        keys.append((f"groups differ, p_holm < {SIGNIFICANT}", "*", "none", DARK))
    return keys


def _width_of(entry: _Key) -> float:
    return 0.55 + _LETTER * width_of(entry[0])


def _in_lines(keys: Sequence[_Key], width: float) -> list[list[_Key]]:
    """Divide a legend into lines that fit."""
    lines: list[list[_Key]] = []
    for entry in keys:
        if not lines or sum(map(_width_of, [*lines[-1], entry])) > width:
            lines.append([])
        lines[-1].append(entry)
    return lines


def _draw_keys(drawing: Drawing, lines: Sequence[Sequence[_Key]], width: float) -> None:
    """Explain the marks, below all panels."""
    for row, line in enumerate(lines):
        x = (width - sum(map(_width_of, line))) / 2
        y = 0.13 + _LEGEND * (len(lines) - 1 - row)
        for entry in line:
            text, mark, colour, face = entry
            if mark == "-":
                drawing.line([(x, y), (x + 0.25, y)], colour, 0.5 if colour == GREY else 1.4)
            else:
                drawing.mark(x + 0.18, y, mark, 4 if mark == "o" else 7, edge=colour, face=face)
            drawing.write(x + 0.32, y, text, size=_SIZE, va="center")
            x += _width_of(entry)


def _caption(
    bins: "pd.DataFrame",
    profiles: Sequence[str],
    *,
    has_lines: bool,
    has_ranges: bool,
    has_intervals: bool,
) -> str:
    if "distance" in profiles:
        has_own = (bins["position"] == OWN).any()
        where = "from the contrast's own position" if has_own else "from positions"
        caption = f"Mean estimate of the vertices in bins of the distance {where}."
    else:
        over = " and over polar angle, with all eccentricities together"
        caption = (
            "Mean estimate of the vertices in bins of eccentricity"
            f"{over if len(profiles) > 1 else ''}."
        )
    if "n" in bins:
        intervals = " with 95 % confidence intervals (Student's t)" if has_intervals else ""
        caption += (
            f" Means of up to {int(bins['n'].max())} participants"
            f"{intervals}. Filled: "
            f"p_fwe < {SIGNIFICANT}, corrected for the bins of a profile."
        )
    if has_lines:
        caption += " A thin line for each participant."
    return caption + (" Grey: outside the range of the ROIs." if has_ranges else "")


def _those_of(participants: "pd.DataFrame", bins: "pd.DataFrame") -> "pd.DataFrame | None":
    """Take the bins of participants that belong to a chart; none if there are too many."""
    first = bins.iloc[0]
    same = ["session", "task", "area", "hemi", "space", "statistic"]
    is_in = np.logical_and.reduce([participants[name] == first[name] for name in same])
    for name in ("profile", "contrast"):
        is_in &= participants[name].isin(bins[name])
    own = participants[is_in]
    return own if 0 < own["participant_id"].nunique() <= MOST_NAMED else None


def _span_of(bins: "pd.DataFrame", everyone: "pd.DataFrame | None") -> tuple[float, float]:
    """Choose the limits of an axis, so that all participants are in the picture."""
    values = [bins["estimate"], *(bins[n] for n in ("ci95_low", "ci95_high") if n in bins)]
    if everyone is not None:
        shown = everyone["position"].isin(bins["position"])
        values.append(everyone["estimate"][shown])
    numbers = np.concatenate([[0.0], *(of.dropna().to_numpy() for of in values)])
    room = 0.06 * np.ptp(numbers) or 1.0
    return numbers.min() - room, numbers.max() + room


def _on_axis(degrees: Array) -> Array:
    """Say where an eccentricity, or a distance in degrees of visual angle, is drawn."""
    drawn: Array = np.log1p(degrees / FOVEA)
    return drawn


def _edges(bins: "pd.DataFrame") -> Array:
    """Give the edges of bins of a profile on its axis, (n, 2)."""
    profile = bins["profile"].iloc[0]
    name = "distance" if profile == "polar_angle_distance" else profile
    edges: Array = bins[[f"{name}_low", f"{name}_high"]].to_numpy()
    return _on_axis(edges) if profile in _IN_DEGREES else edges


def _middles(bins: "pd.DataFrame") -> Array:
    """Say where the numbers of bins are drawn."""
    middles: Array = _edges(bins).mean(axis=1)
    return middles


def _ends(bins: "pd.DataFrame") -> tuple[float, float]:
    """Choose the ends of the axis of bins."""
    edges = _edges(bins)
    return float(edges.min()), float(edges.max())


def _ticks(bins: "pd.DataFrame") -> list[tuple[float, str]]:
    """Choose what is written below a panel."""
    profile = bins["profile"].iloc[0]
    if profile == "polar_angle":
        return list(_COMPASS)
    if profile == "polar_angle_distance":
        return [(float(at), str(at)) for at in range(0, 181, 45)]
    lowest, largest = bins[f"{profile}_low"].min(), bins[f"{profile}_high"].max()
    ticks = [0.0, *round_degrees(largest / 0.95 + 0.01)]
    return [(float(_on_axis(np.array(at))), f"{at:g}") for at in ticks if lowest <= at]


def _draw_ground(
    drawing: Drawing, panel: Panel, bins: "pd.DataFrame", ranges: Sequence[tuple[float, float]]
) -> None:
    """Draw the line at 0, and what helps to find places."""
    bottom, top = panel.y.places
    zero = float(panel.y.at(np.array(0.0)))
    drawing.line([(panel.x.places[0], zero), (panel.x.places[1], zero)], GREY, 0.8)
    profile = bins["profile"].iloc[0]
    if profile == "polar_angle":
        for at, _ in _COMPASS[1:4]:
            x = float(panel.x.at(np.array(at)))
            drawing.line([(x, bottom), (x, top)], GREY, 0.4, opacity=0.5)
    if profile == "eccentricity":
        for limits in ranges:
            low, high = panel.x.at(np.clip(_on_axis(np.array(limits)), *panel.x.ends))
            with drawing.part("limits"):
                drawing.rectangle(low, bottom, high - low, top - bottom, GREY, opacity=0.1)


def _draw_curve(
    drawing: Drawing, panel: Panel, bins: "pd.DataFrame", colour: str, *, has_interval: bool
) -> None:
    """Draw a curve with gaps for missing estimates, and intervals if there are any."""
    x, y = _middles(bins), bins["estimate"].to_numpy()
    if has_interval:
        low, high = (bins[name].to_numpy() for name in ("ci95_low", "ci95_high"))
        known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            around = np.concatenate([panel.at(x[run], low[run]), panel.at(x[run], high[run])[::-1]])
            drawing.line(around, "none", 0, fill=colour, opacity=0.15, closed=True)
    points = panel.at(x, y)
    with drawing.part("curve"):
        drawing.line(points, colour, 1.4)
    is_group = "n" in bins
    is_marked = (bins["p_corrected"] < SIGNIFICANT).to_numpy() if is_group else np.isfinite(y)
    with drawing.part("means"):
        for (across, up), is_filled in zip(points, is_marked, strict=True):
            if np.isfinite(up):
                face = colour if is_filled else "white"
                drawing.mark(across, up, "o", 4, edge=colour, face=face)


def _tell(bins: "pd.DataFrame") -> str:
    """Say the numbers of profiles."""
    told: dict[str, list[str]] = {}
    for bin_ in each_row(bins):
        name = "distance" if bin_.profile == "polar_angle_distance" else bin_.profile
        low, high = getattr(bin_, f"{name}_low"), getattr(bin_, f"{name}_high")
        whose = [bin_.profile.replace("_", " "), bin_.position, bin_.group]
        label = " ".join(part for part in whose if part not in (MISSING, EVERYBODY))
        sure = f" ({interval(bin_.ci95_low, bin_.ci95_high)})" if "n" in bins else ""
        number_ = f"{low:g} to {high:g} degrees {number(bin_.estimate)}{sure}"
        told.setdefault(label, []).append(number_)
    return "; ".join(f"{label} {', '.join(of)}" for label, of in told.items())
