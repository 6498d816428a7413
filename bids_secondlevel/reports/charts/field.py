"""Charts of responses in the visual field: a disc for each contrast, and profiles."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.rows import MISSING, each_row, grouped
from bids_secondlevel.core.values import Array
from bids_secondlevel.core.wording import OF_THE_MAPS
from bids_secondlevel.reports.charts.layout import axes_at, write_title
from bids_secondlevel.reports.charts.style import (
    DARK,
    GREY,
    HEMISPHERE_NAMES,
    MOST_NAMED,
    Chart,
    axis_label,
    clean,
    draw_chart,
    interval,
    key,
    number,
    pooled_or_apart,
    shorten,
    stem,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Ranges = Mapping[str, Sequence[tuple[float, float]]]
"""Limits of eccentricity of the ROIs, by visual area."""

SIGNIFICANT = 0.05
"""p_fwe below which a bin is marked."""

_FOVEA = 0.75
_COLUMNS, _MOST_DISCS, _MOST_PROFILES = 3, 12, 4
_DISC, _GAP, _TITLE = 2.3, 0.12, 0.28  # inches
_PANEL, _PANEL_HEIGHT, _BETWEEN = 3.2, 1.45, 0.3
_COMPASS = ((-180, "lower"), (-90, "left"), (0, "upper"), (90, "right"), (180, "lower"))
_PIXELS = 360  # of the width of a disc
_LEAST = 0.09  # radius between labels
_ARC = 5.0  # degrees between the corners of what is round


def draw_discs(bins: "pd.DataFrame", ranges: Ranges, *, units: str = OF_THE_MAPS) -> list[Chart]:
    """Draw the visual field as a disc for each contrast, with the colours of its cells.

    Parameters
    ----------
    bins : DataFrame
        Bins of a participant, or of the group: with the columns of :data:`~.rois.visual_field.BIN`
        and those that name a series, ``estimate`` (NaN in cells that stay white) and ``p_fwe``
        (NaN if there is none).
    units
        Those of the estimates.

    Returns
    -------
    list of Chart
        For each session, task and visual area; none without cells.

    References
    ----------
    Eccentricity is drawn as log(1 + r / 0.75 degrees), so that a ring is about as wide as on the
    cortex: Horton and Hoyt (1991), Archives of Ophthalmology 109, 816-824.
    """
    cells = bins[bins["profile"] == "cell"]
    return [
        _draw_discs(part, ranges.get(part["area"].iloc[0], ()), name, units)
        for part, name in _parts(cells, _MOST_DISCS, "field")
    ]


def draw_profiles(
    bins: "pd.DataFrame",
    ranges: Ranges,
    participants: "pd.DataFrame | None" = None,
    *,
    units: str = OF_THE_MAPS,
) -> list[Chart]:
    """Draw estimates over eccentricity and over polar angle.

    Parameters
    ----------
    bins
        As for :func:`draw_discs`; those of a group have ``ci95_low``, ``ci95_high`` and ``n``, too.
    participants
        The same bins of each participant.
    units
        Those of the estimates.

    Returns
    -------
    list of Chart
        For each session, task and visual area; several if there are many contrasts.
    """
    profiles = bins[bins["profile"].isin(["eccentricity", "polar_angle"])]
    return [
        _draw_profiles(part, ranges.get(part["area"].iloc[0], ()), participants, name, units)
        for part, name in _parts(profiles, _MOST_PROFILES, "profiles")
    ]


def _parts(bins: "pd.DataFrame", most: int, suffix: str) -> "Iterator[tuple[pd.DataFrame, str]]":
    """Divide bins into charts, each with its name."""
    shown = pooled_or_apart(bins, "estimate")
    by = ["session", "task", "area", "hemi", "space", "statistic"]
    for (session, task, area, hemi, space, statistic), of_chart in grouped(shown, *by):
        contrasts = [name for name, of in grouped(of_chart, "contrast") if _has_number(of)]
        for part, start in enumerate(range(0, len(contrasts), most), 1):
            name = stem(
                suffix,
                ses=session,
                task=task,
                hemi=None if hemi == BOTH else hemi,
                space=space,
                label=area,
                stat=statistic,
                part=part if len(contrasts) > most else None,
            )
            some = contrasts[start : start + most]
            yield of_chart[of_chart["contrast"].isin(some)], name


def _has_number(bins: "pd.DataFrame") -> bool:
    return bool(bins["estimate"].notna().any())


def _title(what: str, first: Any) -> str:
    """Say what a chart is of."""
    of = [
        shorten(first.area),
        f"task {shorten(first.task, 40)}",
        *([] if first.session == MISSING else [f"session {shorten(first.session, 40)}"]),
        *([] if first.hemi == BOTH else [HEMISPHERE_NAMES[first.hemi]]),
    ]
    return f"{what}: {', '.join(of)}"


def radius(eccentricity: Array, largest: float) -> Array:
    """Say how far from the centre of a disc an eccentricity is drawn; its rim is at 1.

    Examples
    --------
    >>> radius(np.array([0.0, 2.0, 16.0]), 16.0).round(2)
    array([0.  , 0.42, 1.  ])
    """
    drawn: Array = np.log1p(np.asarray(eccentricity) / _FOVEA) / np.log1p(largest / _FOVEA)
    return drawn


def _draw_discs(
    bins: "pd.DataFrame", ranges: Sequence[tuple[float, float]], name: str, units: str
) -> Chart:
    """Draw discs side by side, with the same colours."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    first = bins.iloc[0]
    discs = dict(grouped(bins, "contrast"))
    there = bins[bins["estimate"].notna()]
    largest = there["eccentricity_high"].max()
    highest = float(np.percentile(there["estimate"].abs(), 98)) or 1.0
    columns = min(len(discs), _COLUMNS)
    rows = -(-len(discs) // columns)
    width = columns * (_DISC + _GAP) + 1.0
    height = rows * (_DISC + _GAP + _TITLE) + 0.15
    colours = ScalarMappable(Normalize(-highest, highest), "RdBu_r")
    is_tested = bool(there["p_fwe"].notna().any())

    def paint(figure: "Figure") -> None:
        figure.set_layout_engine("none")
        for place, (contrast, of_disc) in enumerate(discs.items()):
            row, column = divmod(place, columns)
            left = column * (_DISC + _GAP) + 0.1
            bottom = height - (row + 1) * (_DISC + _GAP + _TITLE) + _GAP / 2
            axes = axes_at(figure, left, bottom, _DISC, _DISC)
            axes.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal")
            write_title(axes, contrast, "", _DISC)
            _paint_disc(axes, of_disc[of_disc["estimate"].notna()], colours, largest)
            _paint_grid(axes, ranges, largest)
        bar = axes_at(figure, width - 0.85, (height - 1.6) / 2, 0.13, 1.6, bare=False)
        figure.colorbar(
            colours, cax=bar, extend="both", label=axis_label(first["statistic"], units)
        )

    caption = (
        "The visual field as the participant sees it, with the fovea in the centre. Each cell has "
        "the mean estimate of the vertices that see this part of the field; it is white if there "
        "is none. Rings are drawn about as wide as they are on the cortex; thin circles "
        "are degrees of eccentricity"
        + (", and dashed ones the limits of the ROIs." if ranges else ".")
        + (
            f" Of the group: means over participants, where at least half of those with the map "
            f"have vertices. Outlined: p_fwe < {SIGNIFICANT}, corrected for all cells of a disc."
            if is_tested
            else ""
        )
    )
    told = "; ".join(
        f"{clean(contrast)}: {number(of['estimate'].min())} to {number(of['estimate'].max())} in "
        f"{of['estimate'].notna().sum()} cells, largest {_where_largest(of)}"
        for contrast, of in discs.items()
    )
    title = _title("Responses in the visual field", first)
    return draw_chart(name, title, (width, height), paint, caption=caption, alt=f"{told}.")


def _where_largest(cells: "pd.DataFrame") -> str:
    """Say in which cell the largest estimate is."""
    cell = next(each_row(cells[cells["estimate"] == cells["estimate"].max()]))
    return (
        f"at {cell.eccentricity_low:g} to {cell.eccentricity_high:g} degrees of eccentricity and "
        f"{cell.polar_angle_low:g} to {cell.polar_angle_high:g} of polar angle"
    )


def _arc(low: float, high: float) -> Array:
    """Give the corners of a part of a circle with the radius 1, clockwise from above."""
    n = max(2, int(np.ceil((high - low) / _ARC)) + 1)
    angles = np.radians(np.linspace(low, high, n))
    return np.column_stack([np.sin(angles), np.cos(angles)])


def _paint_disc(axes: "Axes", cells: "pd.DataFrame", colours: Any, largest: float) -> None:
    """Draw the cells, and outlines around those that are significant."""
    from matplotlib.collections import LineCollection

    axes.imshow(
        pixels(cells, largest, colours.to_rgba(cells["estimate"].to_numpy(), bytes=True)),
        extent=(-1, 1, -1, 1),
        interpolation="none",
        gid="cells",
    )
    is_marked = cells["p_fwe"] < SIGNIFICANT
    if is_marked.any():
        sides = [
            radius(np.linalg.norm(side, axis=1, keepdims=True), largest) * _unit(side)
            for side in outline(cells[is_marked])
        ]
        axes.add_collection(LineCollection(sides, colors=DARK, linewidths=0.9, gid="significant"))


def outline(cells: "pd.DataFrame") -> list[Array]:
    """Find the sides of cells that no other of them shares.

    Returns
    -------
    list of (n, 2) array
        Of each side: points to the right of the centre of the visual field and above it, in
        degrees of eccentricity.
    """
    sides: dict[tuple[float, ...], Array | None] = {}
    for cell in each_row(cells):
        low, high = cell.polar_angle_low, cell.polar_angle_high
        rings = cell.eccentricity_low, cell.eccentricity_high
        own = {(ring, ring, low, high): ring * _arc(low, high) for ring in rings}
        for angle in (low, high):
            own[(*rings, angle % 360, angle % 360)] = np.outer(rings, _arc(angle, angle)[0])
        for name, side in own.items():
            sides[name] = None if name in sides else side
    return [side for side in sides.values() if side is not None]


def _unit(points: Array) -> Array:
    """Give the directions of points; that of the centre does not matter."""
    length = np.linalg.norm(points, axis=1, keepdims=True)
    unit: Array = points / np.where(length > 0, length, 1)
    return unit


def pixels(cells: "pd.DataFrame", largest: float, colours: Array) -> Array:
    """Draw cells as pixels, some of a hundredth of the bytes of shapes.

    Parameters
    ----------
    cells
        With their edges.
    largest
        Eccentricity of the rim.
    colours : (n_cells, 4) array of uint8

    Returns
    -------
    (n, n, 4) array of uint8
        Transparent where there is no cell.
    """
    x = (np.arange(_PIXELS) + 0.5) * 2 / _PIXELS - 1
    right, up = np.meshgrid(x, -x)
    eccentricity = _FOVEA * np.expm1(np.hypot(right, up) * np.log1p(largest / _FOVEA))
    angle = np.degrees(np.arctan2(right, up))
    drawn = np.zeros((_PIXELS, _PIXELS, 4), dtype=np.uint8)
    for cell, colour in zip(each_row(cells), colours, strict=True):
        is_in = (eccentricity >= cell.eccentricity_low) & (eccentricity < cell.eccentricity_high)
        is_in &= (angle >= cell.polar_angle_low) & (angle < cell.polar_angle_high)
        drawn[is_in] = colour
    return drawn


def _paint_grid(axes: "Axes", ranges: Sequence[tuple[float, float]], largest: float) -> None:
    """Draw meridians, circles of eccentricity with their degrees, and the limits of the ROIs."""
    from matplotlib.patches import Circle

    def circle(at: float, **look: Any) -> None:
        axes.add_patch(Circle((0, 0), at, fill=False, **look))

    circle(1, edgecolor=GREY, linewidth=0.8)
    for along in ([-1, 1], [0, 0]), ([0, 0], [-1, 1]):
        axes.plot(*along, color=GREY, linewidth=0.4, alpha=0.6)
    labelled = 1 + _LEAST / 2
    for degrees in reversed(_round_degrees(largest)):
        at = float(radius(np.array(degrees), largest))
        circle(at, edgecolor=GREY, linewidth=0.4, alpha=0.6)
        if labelled - at < _LEAST:
            continue
        labelled = at
        x, y = at * _arc(135, 135)[0]
        axes.text(
            x,
            y,
            f"{degrees:g}°",
            size=6.5,
            color=DARK,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
        )
    for limit in sorted({limit for limits in ranges for limit in limits if 0 < limit < largest}):
        at = float(radius(np.array(limit), largest))
        circle(at, edgecolor=DARK, linewidth=1.1, linestyle="--", gid="limit")


def _round_degrees(largest: float) -> list[float]:
    """Choose the eccentricities that are labelled, each twice the one before."""
    return [degrees for degrees in 2.0 ** np.arange(-1, 8) if degrees < 0.95 * largest]


def _draw_profiles(
    bins: "pd.DataFrame",
    ranges: Sequence[tuple[float, float]],
    participants: "pd.DataFrame | None",
    name: str,
    units: str,
) -> Chart:
    """Draw a row of panels for each contrast: over eccentricity, and over polar angle."""
    first = bins.iloc[0]
    contrasts = dict(grouped(bins, "contrast"))
    profiles = [p for p in ("eccentricity", "polar_angle") if (bins["profile"] == p).any()]
    is_group = "n" in bins
    everyone = _those_of(participants, first) if participants is not None else None
    n = int(bins["n"].max()) if is_group else 1
    top, bottom = 0.15, 0.95 if is_group else 0.55
    width = 1.1 + len(profiles) * (_PANEL + _BETWEEN)
    height = top + bottom + len(contrasts) * (_PANEL_HEIGHT + _TITLE)

    def paint(figure: "Figure") -> None:
        figure.set_layout_engine("none")
        for row, (contrast, of_row) in enumerate(contrasts.items()):
            low, high = _span_of(of_row, everyone, contrast)
            y = height - top - (row + 1) * (_PANEL_HEIGHT + _TITLE)
            for column, profile in enumerate(profiles):
                x = 0.9 + column * (_PANEL + _BETWEEN)
                axes = axes_at(figure, x, y, _PANEL, _PANEL_HEIGHT, bare=False)
                axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
                axes.set_ylim(low, high)
                of_panel = of_row[of_row["profile"] == profile]
                _paint_axis(axes, of_panel, profile, ranges)
                if everyone is not None:
                    is_in = (everyone["contrast"] == contrast) & (everyone["profile"] == profile)
                    for _, of_one in grouped(everyone[is_in], "participant_id"):
                        values = of_one["estimate"]
                        axes.plot(
                            *(_places(of_one), values),
                            color=GREY,
                            linewidth=0.5,
                            alpha=0.5,
                            gid="participant",
                        )
                _paint_profile(axes, of_panel, is_group=is_group)
                if column:
                    axes.tick_params(labelleft=False)
                else:
                    write_title(axes, contrast, f"(n = {n})" if is_group else "", _PANEL)
                    axes.set_ylabel(axis_label(first["statistic"], units).replace(" (", "\n("))
                if row + 1 < len(contrasts):
                    axes.tick_params(labelbottom=False)
                else:
                    axes.set_xlabel(
                        "eccentricity (degrees)" if profile == "eccentricity" else "polar angle"
                    )
        if is_group:
            keys = [
                key("mean and 95 % CI", "", DARK, line="-"),
                key(f"p_fwe < {SIGNIFICANT}", "o", DARK),
                key("otherwise", "o", DARK, "white"),
                *([] if everyone is None else [key("participant", "", GREY, line="-")]),
            ]
            figure.legend(handles=keys, loc="lower center", ncols=len(keys))

    over = " and over polar angle, with all eccentricities together" if len(profiles) > 1 else ""
    caption = f"Mean estimate of the vertices in bins of eccentricity{over}." + (
        f" Means of up to {n} participants with 95 % confidence intervals (Student's t). Filled: "
        f"p_fwe < {SIGNIFICANT}, corrected for the bins of a profile."
        if is_group
        else ""
    )
    if is_group and everyone is not None:
        caption += " A thin line for each participant."
    caption += " Grey: the limits of the ROIs." if ranges else ""
    told = " ".join(f"{clean(name)}: {_tell(of)}." for name, of in contrasts.items())
    title = _title("Profiles over the visual field", first)
    return draw_chart(name, title, (width, height), paint, caption=caption, alt=told)


def _those_of(participants: "pd.DataFrame", first: Any) -> "pd.DataFrame | None":
    """Take the bins of participants that belong to a chart; none if there are too many."""
    same = ["session", "task", "area", "hemi", "space", "statistic"]
    is_in = np.logical_and.reduce([participants[name] == first[name] for name in same])
    own = participants[is_in]
    return own if 0 < own["participant_id"].nunique() <= MOST_NAMED else None


def _span_of(
    bins: "pd.DataFrame", everyone: "pd.DataFrame | None", contrast: str
) -> tuple[float, float]:
    """Choose the limits of an axis, so that all participants are in the picture."""
    values = [bins["estimate"], *(bins[n] for n in ("ci95_low", "ci95_high") if n in bins)]
    if everyone is not None:
        values.append(everyone["estimate"][everyone["contrast"] == contrast])
    numbers = np.concatenate([[0.0], *(of.dropna().to_numpy() for of in values)])
    room = 0.06 * np.ptp(numbers) or 1.0
    return numbers.min() - room, numbers.max() + room


def _places(bins: "pd.DataFrame") -> Array:
    """Say where bins are drawn: in the middle, of eccentricity on its axis."""
    is_ring = bins["polar_angle_low"].isna()
    rings = np.log1p(bins[["eccentricity_low", "eccentricity_high"]].to_numpy() / _FOVEA)
    wedges = bins[["polar_angle_low", "polar_angle_high"]].to_numpy()
    places: Array = np.where(is_ring, rings.mean(axis=1), wedges.mean(axis=1))
    return places


def _paint_axis(
    axes: "Axes", bins: "pd.DataFrame", profile: str, ranges: Sequence[tuple[float, float]]
) -> None:
    """Draw the ground of a panel."""
    if profile == "polar_angle":
        axes.set_xticks([at for at, _ in _COMPASS], [name for _, name in _COMPASS])
        axes.set_xlim(-180, 180)
        for at, _ in _COMPASS[1:4]:
            axes.axvline(at, color=GREY, linewidth=0.4, alpha=0.5, zorder=0)
        return
    lowest, largest = bins["eccentricity_low"].min(), bins["eccentricity_high"].max()
    ticks = [d for d in _round_degrees(largest / 0.95 + 0.01) if lowest <= d]
    axes.set_xticks(np.log1p(np.array(ticks) / _FOVEA), [f"{tick:g}" for tick in ticks])
    axes.set_xlim(*np.log1p(np.array([lowest, largest]) / _FOVEA))
    for limits in ranges:
        low, high = np.log1p(np.clip(limits, lowest, largest) / _FOVEA)
        axes.axvspan(low, high, color=GREY, alpha=0.1, linewidth=0, zorder=0, gid="limits")


def _paint_profile(axes: "Axes", bins: "pd.DataFrame", *, is_group: bool) -> None:
    """Draw a curve with gaps where there is no number, and intervals if there are any."""
    x, y = _places(bins), bins["estimate"].to_numpy()
    axes.plot(x, y, color=DARK, linewidth=1.4, gid="curve")
    if is_group:
        axes.fill_between(
            x, bins["ci95_low"], bins["ci95_high"], color=DARK, alpha=0.15, linewidth=0
        )
    is_marked = (bins["p_fwe"] < SIGNIFICANT).to_numpy() if is_group else np.isfinite(y)
    for is_in, face in ((is_marked, DARK), (~is_marked, "white")):
        if is_in.any():
            axes.plot(
                x[is_in],
                y[is_in],
                "o",
                color=DARK,
                markerfacecolor=face,
                markersize=4,
                gid="means",
            )


def _tell(bins: "pd.DataFrame") -> str:
    """Say the numbers of profiles."""
    told = []
    for bin_ in each_row(bins):
        is_ring = bin_.profile == "eccentricity"
        low, high = (
            (bin_.eccentricity_low, bin_.eccentricity_high)
            if is_ring
            else (bin_.polar_angle_low, bin_.polar_angle_high)
        )
        sure = f" ({interval(bin_.ci95_low, bin_.ci95_high)})" if "n" in bins else ""
        told.append(f"{low:g} to {high:g} degrees {number(bin_.estimate)}{sure}")
    n_rings = int((bins["profile"] == "eccentricity").sum())
    both = [("eccentricity", told[:n_rings]), ("polar angle", told[n_rings:])]
    return "; ".join(f"{name} {', '.join(of)}" for name, of in both if of)
