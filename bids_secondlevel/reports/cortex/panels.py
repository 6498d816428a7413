"""Draw one map in one view, and below it the scale of its colours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.roi_rule import components, roi_colours
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.reports.charts.layout import axes_at
from bids_secondlevel.reports.cortex.painting import (
    Scale,
    coloured,
    eccentricity_scale,
    measured_scale,
    on_grey,
    paint_angle,
    paint_eccentricity,
    paint_measured,
    paint_rois,
    paint_z,
    without_value,
    z_scale,
)
from bids_secondlevel.reports.cortex.view import GROUND, PIXELS, Layers, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_Z_PANELS = 4
"""Of more localizer contrasts, only the maximum is shown."""

_ON_COLOURS: dict[str, Any] = {  # how to write where the ground may be dark
    "size": 7.5,
    "bbox": {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
}
_LINE_PIXELS, _MOST_LINES = 2, 3
"""Width of the outline of an ROI, and how many can be told apart on the same border."""

_STRIPES = (0.35, 0.95)
"""Greys of what has no value."""

_SHADES = 31  # of red, green and blue; finer ones double the size of the file


@dataclass(frozen=True, kw_only=True)
class Legend:
    """What the picture says in words and numbers."""

    title: str
    notes: tuple[str, ...]
    """Lines below the picture."""
    area_names: Mapping[int, str]
    """Of the labels in the maps of visual areas."""
    eccentricity: tuple[float, float]
    """Limits of the retinotopic part, in degrees."""
    faded: tuple[float, float] | None = None
    """z values in between are paler, as they do not count as activation."""
    unit: str = ""
    """Of what is measured."""


@dataclass(frozen=True, kw_only=True)
class MapColumn:
    """One map in all views."""

    heading: str
    paint: Callable[[Layers], Array | None]
    """Gives each vertex a colour, or says that there is no map."""
    explain: Callable[["Figure", float, float, float], None] | None = None
    """Draws what colours mean, given the left, the top and the width of its place in inches."""
    shows_areas: bool = False
    names_areas: bool = False
    outline_rois: Callable[[Array, View], None] | None = None
    """Draws their outlines into the pixels."""
    outlines_part: bool = True
    """Whether the retinotopic part has an outline."""
    is_missing: Callable[[Layers], Mask] | None = None
    """Tells which vertices are striped, as they should have a value and have none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Outlines:
    """Lines in a view, (n, 2) with gaps of NaN, found once for all maps."""

    retinotopic: Array
    areas: Mapping[int, Array]
    """By label."""


def columns_of(views: Sequence[View], legend: Legend) -> list[MapColumn]:
    """Choose the maps to be drawn: eccentricity, polar angle, z of the contrasts, the ROIs."""
    eccentricity = eccentricity_scale(legend.eccentricity)
    columns = [
        MapColumn(
            heading="Eccentricity",
            paint=partial(paint_eccentricity, scale=eccentricity),
            explain=partial(_draw_scale, scale=eccentricity),
            shows_areas=True,
            names_areas=True,
        )
    ]
    if any(view.layers.polar_angle is not None for view in views):
        columns.append(
            MapColumn(
                heading="Polar angle",
                paint=paint_angle,
                explain=_draw_visual_field,
                shows_areas=True,
            )
        )
    contrasts = tuple(views[0].layers.z_maps)
    shown: dict[str, tuple[str, ...]] = {f"Maximum of {len(contrasts)} z maps": contrasts}
    if len(contrasts) <= MAX_Z_PANELS:
        shown = {f"Localizer {name}" if len(name) < 12 else name: (name,) for name in contrasts}
    z = z_scale(views, contrasts, legend.faded)
    columns += [
        MapColumn(
            heading=heading,
            paint=partial(paint_z, scale=z, contrasts=of),
            explain=partial(_draw_scale, scale=z),
        )
        for heading, of in shown.items()
    ]
    return [*columns, MapColumn(heading="ROIs", paint=paint_rois, outline_rois=_outline_overlaps)]


def measured_columns(views: Sequence[View], legend: Legend) -> list[MapColumn]:
    """Draw each measured contrast inside the ROIs, all on one scale."""
    scale = measured_scale(views, legend.unit)
    return [
        MapColumn(
            heading=name,
            paint=partial(paint_measured, scale=scale, contrast=name),
            explain=partial(_draw_scale, scale=scale) if place == 0 else None,
            outline_rois=_outline_all,
            outlines_part=False,
            is_missing=partial(without_value, contrast=name),
        )
        for place, name in enumerate(views[0].layers.measured)
    ]


def outlines_of(view: View, area_names: Mapping[int, str]) -> Outlines:
    """Find the outlines of what a view shows."""
    from matplotlib.figure import Figure

    layers, aside = view.layers, Figure().add_axes((0, 0, 1, 1))
    return Outlines(
        retinotopic=_around(aside, view, layers.retinotopic),
        areas={label: _around(aside, view, layers.visual_area == label) for label in area_names},
    )


def draw_panel(
    axes: "Axes",
    view: View,
    column: MapColumn,
    outlines: Outlines,
    area_names: Mapping[int, str],
) -> None:
    """Draw one map in one view, with outlines of the retinotopic part, of areas and of ROIs."""
    layers = view.layers
    seen = view.pixels >= 0
    shown = view.pixels[seen]
    painted = column.paint(layers)
    pixels = np.ones((*view.pixels.shape, 3))
    pixels[seen] = view.grey[shown, None]
    if painted is not None:
        pixels[seen] = on_grey(painted[shown], pixels[seen])
    if column.is_missing is not None:
        missing = _in_sight(view, column.is_missing(layers))
        pixels[missing] = stripes(PIXELS)[missing]
    if column.outline_rois is not None:
        column.outline_rois(pixels, view)
    left, right, bottom, top = view.window.limits
    axes.imshow(
        np.round(255 * np.round(_SHADES * pixels) / _SHADES).astype(np.uint8),
        extent=(left, right, bottom, top),
        origin="lower",
        interpolation="none",
    )
    if column.shows_areas:
        for label, name in area_names.items():
            axes.plot(*outlines.areas[label].T, color="white", linewidth=0.6)
            if column.names_areas:
                _name(axes, view, _in_sight(view, layers.visual_area == label), name)
        # Behind the black, on dark colours.
        axes.plot(*outlines.retinotopic.T, color="white", linewidth=2.0)
    if column.outlines_part:
        axes.plot(*outlines.retinotopic.T, color="black", linewidth=0.9)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    for side, x in zip(view.sides, (0.06, 0.94), strict=False):
        axes.text(x, 0.06, side, ha="center", va="center", transform=axes.transAxes, **_ON_COLOURS)
    if painted is None:
        axes.text(0.5, 0.04, "no map", ha="center", transform=axes.transAxes)


def _in_sight(view: View, mask: Mask) -> Mask:
    """Tell which pixels show a vertex of a mask."""
    shown: Mask = (view.pixels >= 0) & mask[view.pixels]
    return shown


def stripes(size: int) -> Array:
    """Draw a square of oblique stripes, which no scale of colours has: (size, size, 1)."""
    y, x = np.indices((size, size))
    return np.where((x + y) // 4 % 2, *_STRIPES)[..., None]


def _around(axes: "Axes", view: View, mask: Mask) -> Array:
    """Find the outline of a mask in a view; `axes` are only a place to do so."""
    shown, gap = _in_sight(view, mask), np.full((1, 2), np.nan)
    if not shown.any() or shown.all():
        return gap
    contours = axes.contour(shown, [0.5], extent=view.window.limits)
    # As one line with gaps, because matplotlib thins out long lines, but no contours.
    lines = (line for path in contours.get_paths() for line in path.to_polygons(closed_only=False))
    return np.concatenate([part for line in lines for part in (line, gap)])


def _outline_overlaps(pixels: Array, view: View) -> None:
    """Outline ROIs that overlap in their colours: the later, the thinner, so that all are seen."""
    layers = view.layers
    drawn = {
        name: (mask, colour)
        for name, colour in roi_colours(list(layers.rois)).items()
        if (mask := layers.rois[name]) is not None and mask[layers.overlapping].any()
    }
    for place, (mask, colour) in enumerate(drawn.values()):
        width = _LINE_PIXELS * min(len(drawn) - place, _MOST_LINES)
        pixels[_edge(_in_sight(view, mask), width)] = components(colour)


def _outline_all(pixels: Array, view: View) -> None:
    """Outline every ROI in black, as any colour would look like a value."""
    for mask in view.layers.rois.values():
        if mask is not None:
            pixels[_edge(_in_sight(view, mask), 1)] = 0


def _edge(shown: Mask, width: int) -> Mask:
    """Find the pixels of a part that are so near to its border."""
    from scipy.ndimage import binary_erosion

    around = np.ones((3, 3), dtype=bool)  # corners too, so that oblique lines have no gaps
    edge: Mask = shown & ~binary_erosion(shown, around, iterations=width, border_value=1)
    return edge


def _name(axes: "Axes", view: View, shown: Mask, name: str) -> None:
    """Write the name of an area into each of its parts that has room for it."""
    from scipy.ndimage import distance_transform_edt, label

    parts, n_parts = label(np.pad(shown, 1))
    left, _, bottom, _ = view.window.limits
    size = 2 * view.window.half_width / PIXELS
    for part in range(1, n_parts + 1):
        room = distance_transform_edt(parts == part)
        y, x = np.unravel_index(int(room.argmax()), room.shape)
        if room[y, x] > 0.03 * PIXELS:
            place = left + (x - 0.5) * size, bottom + (y - 0.5) * size
            axes.text(*place, name, ha="center", va="center", **_ON_COLOURS)


def _draw_scale(figure: "Figure", left: float, top: float, width: float, *, scale: Scale) -> None:
    """Draw a bar of colours with its values."""
    inset = 0.15
    axes = axes_at(figure, left + inset, top - 0.2, width - 2 * inset, 0.11, bare=False)
    low, high = scale.ends
    bar = on_grey(scale.paint(np.linspace(low, high, 128), np.ones(128, dtype=bool)), GROUND)
    axes.imshow(bar[None], extent=(low, high, 0, 1), aspect="auto", interpolation="none")
    for mark in scale.marks:
        axes.plot([mark, mark], [0, 1], color="black", linewidth=1.2)
    axes.set_xlim(low, high)
    axes.set_yticks([])
    ticks: list[float] = []
    for tick in scale.ticks:
        if all(abs(tick - other) > 0.13 * (high - low) for other in ticks):
            ticks.append(tick)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], size=7.5)
    axes.tick_params(length=2, pad=1)
    axes.set_xlabel(scale.unit, size=7.5, labelpad=1)
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)


def _draw_visual_field(figure: "Figure", left: float, top: float, width: float) -> None:
    """Draw the visual field with the colour of each polar angle."""
    size = 0.46
    axes = axes_at(figure, left + (width - size) / 2, top - 0.16 - size, size, size)
    y, x = np.mgrid[1:-1:96j, -1:1:96j]
    angle = np.degrees(np.arctan2(x, y))
    field = coloured("twilight", (angle + 180) / 360, np.hypot(x, y) <= 1)
    axes.imshow(np.round(255 * field).astype(np.uint8), extent=(-1, 1, -1, 1), interpolation="none")
    for text, x_text, y_text, ha in (
        ("up", 0, 1.3, "center"),
        ("down", 0, -1.35, "center"),
        ("left", -1.2, 0, "right"),
        ("right", 1.2, 0, "left"),
    ):
        axes.text(x_text, y_text, text, size=7.5, ha=ha, va="center")
