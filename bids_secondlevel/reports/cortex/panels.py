"""Draw one map in one view, and below it the scale of its colours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.reports.charts.layout import axes_at
from bids_secondlevel.reports.cortex.painting import (
    Scale,
    coloured,
    eccentricity_scale,
    on_grey,
    paint_angle,
    paint_eccentricity,
    paint_rois,
    paint_z,
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
    return [*columns, MapColumn(heading="ROIs", paint=paint_rois)]


def draw_panel(axes: "Axes", view: View, column: MapColumn, area_names: Mapping[int, str]) -> None:
    """Draw one map in one view, with outlines of the retinotopic part and of visual areas."""
    layers = view.layers
    seen = view.pixels >= 0
    shown = view.pixels[seen]
    painted = column.paint(layers)
    pixels = np.ones((*view.pixels.shape, 3))
    pixels[seen] = view.grey[shown, None]
    if painted is not None:
        pixels[seen] = on_grey(painted[shown], pixels[seen])
    left, right, bottom, top = view.window.limits
    axes.imshow(
        np.round(255 * np.round(_SHADES * pixels) / _SHADES).astype(np.uint8),
        extent=(left, right, bottom, top),
        origin="lower",
        interpolation="none",
    )
    if column.shows_areas:
        for label, name in area_names.items():
            area = _in_sight(view, layers.visual_area == label)
            _outline(axes, view, area, "white", 0.6)
            if column.names_areas:
                _name(axes, view, area, name)
    retinotopic = _in_sight(view, layers.retinotopic)
    if column.shows_areas:
        _outline(axes, view, retinotopic, "white", 2.0)  # behind the black, on dark colours
    _outline(axes, view, retinotopic, "black", 0.9)
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


def _outline(axes: "Axes", view: View, shown: Mask, colour: str, width: float) -> None:
    if shown.any() and not shown.all():
        contours = axes.contour(shown, [0.5], extent=view.window.limits)
        contours.remove()
        # As one line with gaps, because matplotlib thins out long lines, but no contours.
        lines = (
            line for path in contours.get_paths() for line in path.to_polygons(closed_only=False)
        )
        gap = np.full((1, 2), np.nan)
        joined = np.concatenate([part for line in lines for part in (line, gap)])
        axes.plot(*joined.T, color=colour, linewidth=width)


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
