"""Charts of profiles: responses over eccentricity, polar angle, and the distance from positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.positions import OWN
from bids_secondlevel.core.rows import MISSING, each_row, rows_by
from bids_secondlevel.core.values import Array
from bids_secondlevel.core.wording import OF_THE_MAPS
from bids_secondlevel.reports.charts.field import (
    COMMON,
    FOVEA,
    SIGNIFICANT,
    Ranges,
    parts_of_field,
    round_degrees,
    title_of_field,
)
from bids_secondlevel.reports.charts.layout import LINE, Key, around_zero, draw_keys, legend_shape
from bids_secondlevel.reports.charts.style import (
    DARK,
    GREY,
    LETTER,
    MOST_NAMED,
    Chart,
    axis_label,
    clean,
    inks,
    interval,
    number,
    pooled_or_apart,
    shorten,
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
_LEFT, _TOP = 0.9, 0.15
_SIZE, _FAINT = 8.5, 0.5  # of letters, and of lines of participants, in points


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
    people = _people(participants, profiles)
    return [
        _draw(part, ranges.get(part["area"].iloc[0], ()), people, name, units)
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
    people = _people(participants, profiles)
    return [
        _draw(part, (), people, name, units)
        for part, name in parts_of_field(profiles[is_own | ~has_own], _MOST_PROFILES, "distances")
    ]


_CURVE = ("position", "group")
"""The columns that tell curves of a panel apart."""

_People = Mapping[tuple[str, ...], Sequence[Any]]
"""The bins of participants of each curve, by what a chart has in common, contrast and profile."""

_Colours = Mapping[tuple[str, str], tuple[str, str]]
"""Label and colour of each curve, by position and group."""


def _people(participants: "pd.DataFrame | None", bins: "pd.DataFrame") -> _People:
    """Sort the bins of participants by the curves they belong to, unless there are too many."""
    if participants is None or participants["participant_id"].nunique() > MOST_NAMED:
        return {}
    shown = pooled_or_apart(bins, "estimate")
    is_shown = [participants[name].isin(shown[name].unique()) for name in ("profile", "hemi")]
    those = participants[np.logical_and.reduce(is_shown)]
    return rows_by(each_row(those), *COMMON, "contrast", "profile", *_CURVE)


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """A curve of a panel."""

    contrast: str
    profile: str
    bins: Sequence[Any]
    people: Sequence[Any]
    """The same bins of participants."""
    colour: str
    faint: str
    """Colour of the lines of participants."""
    is_tested: bool
    has_interval: bool


def _draw(
    bins: "pd.DataFrame",
    ranges: Sequence[tuple[float, float]],
    people: _People,
    name: str,
    units: str,
) -> Chart:
    """Draw a row of panels for each contrast."""
    first, is_difference = bins.iloc[0], bins["versus"] != MISSING
    is_significant = is_difference & (bins["p_corrected"] < SIGNIFICANT)
    differing = rows_by(each_row(bins[is_significant]), "contrast", "profile")
    bins = bins[~is_difference]
    colours, is_tested = _colours(bins), "n" in bins
    is_crowded = len(colours) > _MOST_WITH_INTERVALS
    common = tuple(first[list(COMMON)])
    curves = [
        _Curve(
            contrast=contrast,
            profile=profile,
            bins=of_curve,
            people=[] if is_crowded else people.get((*common, contrast, profile, *which), []),
            colour=colours[which][1],
            faint=GREY if len(colours) == 1 else colours[which][1],
            is_tested=is_tested,
            has_interval=is_tested and not is_crowded,
        )
        for contrast, of_contrast in rows_by(each_row(bins), "contrast").items()
        for profile, of_profile in rows_by(of_contrast, "profile").items()
        for which, of_curve in rows_by(of_profile, *_CURVE).items()
    ]
    contrasts = rows_by(curves, "contrast")
    profiles = [profile for profile in _AXES if (bins["profile"] == profile).any()]
    has_lines = any(curve.people for curve in curves)
    keys = _keys(colours, is_tested=is_tested, has_lines=has_lines, has_stars=bool(differing))
    width = _LEFT + 0.2 + len(profiles) * (_PANEL + _BETWEEN)
    bottom = 0.55 + (0.15 + LINE * legend_shape(keys, width)[1] if keys else 0)
    height = _TOP + bottom + len(contrasts) * (_PANEL_HEIGHT + _TITLE)
    drawing = Drawing(name, width, height)
    for row, (contrast, of_row) in enumerate(contrasts.items()):
        low = height - _TOP - (row + 1) * (_PANEL_HEIGHT + _TITLE)
        y = Axis(ends=_span_of(of_row), places=(low, low + _PANEL_HEIGHT))
        panels = rows_by(of_row, "profile")
        for column, profile in enumerate(profiles):
            if profile in panels:
                _draw_panel(
                    drawing,
                    panels[profile],
                    differing.get((contrast, profile), ()),
                    ranges,
                    _LEFT + column * (_PANEL + _BETWEEN),
                    y,
                    is_first=column == 0,
                    is_last=row + 1 == len(contrasts),
                )
        n = ""
        if is_tested and len(colours) == 1:
            n = f" (n = {max(bin_.n for curve in of_row for bin_ in curve.bins):.0f})"
        title = shorten(contrast, int(_PANEL / LETTER) - 2 - len(n)) + n
        drawing.write(_LEFT + _PANEL / 2, y.places[1] + 0.07, title, size=9.5, ha="center")
        label = axis_label(first["statistic"], units).partition(" (")
        for line, text in enumerate((label[0], f"({label[2]}" if label[2] else "")):
            at = 0.12 + 0.14 * line, sum(y.places) / 2
            drawing.write(*at, text, size=_SIZE, ha="center", va="center", turned=True)
    draw_keys(drawing, keys, width)
    told = " ".join(
        f"{clean(contrast)}: {'; '.join(map(_tell, of_row))}."
        for contrast, of_row in contrasts.items()
    )
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
            has_lines=has_lines,
            has_ranges=bool(ranges),
            has_intervals=not is_crowded,
        ),
        alt=told,
    )


def _draw_panel(  # noqa: PLR0917
    drawing: Drawing,
    curves: Sequence[_Curve],
    differing: Sequence[Any],
    ranges: Sequence[tuple[float, float]],
    left: float,
    y: Axis,
    *,
    is_first: bool,
    is_last: bool,
) -> None:
    """Draw the curves of a contrast in bins of a profile."""
    profile, bins = curves[0].profile, [bin_ for curve in curves for bin_ in curve.bins]
    edges = _edges(bins)
    ends = float(edges.min()), float(edges.max())
    panel = Panel(x=Axis(ends=ends, places=(left, left + _PANEL)), y=y)
    ticks = [(float(panel.x.at(np.array(at))), text) for at, text in _ticks(profile, bins)]
    panel.frame(
        drawing,
        [(at, text if is_last else "") for at, text in ticks],
        [(at, text if is_first else "") for at, text in y.ticks(5)],
        _SIZE,
    )
    _draw_ground(drawing, panel, profile, ranges)
    for curve in curves:
        for of_one in rows_by(curve.people, "participant_id").values():
            with drawing.part("participant"):
                at = panel.at(_middles(of_one), _estimates(of_one))
                drawing.line(at, curve.faint, _FAINT, opacity=0.5)
        _draw_curve(drawing, panel, curve)
    if differing:
        with drawing.part("differing"):
            for x in panel.x.at(_middles(differing)):
                drawing.mark(x, y.places[1] - 0.05, "*", 7, edge="none", face=DARK)
    if is_last:
        x, below = left + _PANEL / 2, y.places[0] - 0.32
        drawing.write(x, below, _AXES[profile], size=_SIZE, ha="center", va="center")


def _colours(bins: "pd.DataFrame") -> _Colours:
    """Name and colour the curves: by position and group, as far as there are several of these."""
    curves = list(dict.fromkeys(zip(*(bins[name] for name in _CURVE), strict=True)))
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


def _keys(colours: _Colours, *, is_tested: bool, has_lines: bool, has_stars: bool) -> list[Key]:
    """List what is to be explained; nothing for a single curve of a participant."""
    keys: list[Key] = []
    if len(colours) > 1:
        keys += [Key(text=shorten(label), colour=of, line="") for label, of in colours.values()]
    if not is_tested:
        return keys
    if len(colours) == 1:
        keys.append(Key(text="mean and 95 % CI", line=""))
    keys.append(Key(text=f"p_fwe < {SIGNIFICANT}", mark="o"))
    keys.append(Key(text="otherwise", mark="o", face="white"))
    if has_lines and len(colours) == 1:
        keys.append(Key(text="participant", colour=GREY, line="", width=_FAINT))
    if has_stars:
        keys.append(Key(text=f"groups differ, p_holm < {SIGNIFICANT}", mark="*", size=7))
    return keys


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
        over = " (left) and of polar angle, over all eccentricities (right)"
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
        caption += " Each thin line is a participant."
    return caption + (" The range of the ROIs is grey." if has_ranges else "")


def _estimates(bins: Sequence[Any]) -> Array:
    return np.array([bin_.estimate for bin_ in bins])


def _intervals(bins: Sequence[Any]) -> Array:
    """Give lower and upper limits: (2, n)."""
    return np.array([(bin_.ci95_low, bin_.ci95_high) for bin_ in bins]).T


def _span_of(curves: Sequence[_Curve]) -> tuple[float, float]:
    """Choose the limits of an axis, so that all participants are in the picture."""
    values = [_estimates([*curve.bins, *curve.people]) for curve in curves]
    values += [_intervals(curve.bins).ravel() for curve in curves if curve.is_tested]
    return around_zero(*values)


def _on_axis(degrees: Array) -> Array:
    """Say where an eccentricity, or a distance in degrees of visual angle, is drawn."""
    drawn: Array = np.log1p(degrees / FOVEA)
    return drawn


def _edges(bins: Sequence[Any]) -> Array:
    """Give the edges of bins of a profile on its axis, (n, 2)."""
    profile = bins[0].profile
    edges = np.array([_bounds(bin_) for bin_ in bins])
    return _on_axis(edges) if profile in _IN_DEGREES else edges


def _bounds(bin_: Any) -> tuple[float, float]:
    """Give the edges of a bin of a profile, in degrees."""
    name = "distance" if bin_.profile == "polar_angle_distance" else bin_.profile
    return getattr(bin_, f"{name}_low"), getattr(bin_, f"{name}_high")


def _middles(bins: Sequence[Any]) -> Array:
    """Say where the numbers of bins are drawn."""
    middles: Array = _edges(bins).mean(axis=1)
    return middles


def _ticks(profile: str, bins: Sequence[Any]) -> list[tuple[float, str]]:
    """Choose what is written below a panel."""
    if profile == "polar_angle":
        return list(_COMPASS)
    if profile == "polar_angle_distance":
        return [(float(at), str(at)) for at in range(0, 181, 45)]
    bounds = [_bounds(bin_) for bin_ in bins]
    lowest, largest = min(low for low, _ in bounds), max(high for _, high in bounds)
    ticks = [0.0, *round_degrees(largest / 0.95 + 0.01)]
    return [(float(_on_axis(np.array(at))), f"{at:g}") for at in ticks if lowest <= at]


def _draw_ground(
    drawing: Drawing, panel: Panel, profile: str, ranges: Sequence[tuple[float, float]]
) -> None:
    """Draw the line at 0, and what helps to find places."""
    bottom, top = panel.y.places
    zero = float(panel.y.at(np.array(0.0)))
    drawing.line([(panel.x.places[0], zero), (panel.x.places[1], zero)], GREY, 0.8)
    if profile == "polar_angle":
        for at, _ in _COMPASS[1:4]:
            x = float(panel.x.at(np.array(at)))
            drawing.line([(x, bottom), (x, top)], GREY, 0.4, opacity=0.5)
    if profile == "eccentricity":
        for limits in ranges:
            low, high = panel.x.at(np.clip(_on_axis(np.array(limits)), *panel.x.ends))
            with drawing.part("limits"):
                drawing.rectangle(low, bottom, high - low, top - bottom, GREY, opacity=0.1)


def _draw_curve(drawing: Drawing, panel: Panel, curve: _Curve) -> None:
    """Draw a curve with gaps for missing estimates, and intervals if there are any."""
    x, colour = _middles(curve.bins), curve.colour
    if curve.has_interval:
        low, high = _intervals(curve.bins)
        known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            around = np.concatenate([panel.at(x[run], low[run]), panel.at(x[run], high[run])[::-1]])
            drawing.line(around, "none", 0, fill=colour, opacity=0.15, closed=True)
    points = panel.at(x, _estimates(curve.bins))
    with drawing.part("curve"):
        drawing.line(points, colour, 1.4)
    with drawing.part("means"):
        for (across, up), bin_ in zip(points.tolist(), curve.bins, strict=True):
            if isfinite(up):
                is_filled = not curve.is_tested or bin_.p_corrected < SIGNIFICANT
                drawing.mark(across, up, "o", 4, edge=colour, face=colour if is_filled else "white")


def _tell(curve: _Curve) -> str:
    """Say the range of a curve, in which bin it is largest, and how many bins are significant."""
    first, known = curve.bins[0], [of for of in curve.bins if isfinite(of.estimate)]
    whose = [curve.profile.replace("_", " "), first.position, first.group]
    label = " ".join(part for part in whose if part not in (MISSING, EVERYBODY))
    if not known:
        return f"{label} {MISSING}"
    lowest, largest = (end(known, key=attrgetter("estimate")) for end in (min, max))
    low, high = _bounds(largest)
    text = (
        f"{label} {number(lowest.estimate)} to {number(largest.estimate)} in {len(known)} bins, "
        f"largest at {low:g} to {high:g} degrees"
    )
    if not curve.is_tested:
        return text
    n = sum(of.p_corrected < SIGNIFICANT for of in known)
    sure = interval(largest.ci95_low, largest.ci95_high)
    return f"{text} ({sure}), p_fwe < {SIGNIFICANT} in {n} of them"
