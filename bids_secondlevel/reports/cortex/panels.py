"""Draw one map in one view, and below it the scale of its colours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.roi_rule import components, roi_colours
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.reports.colours import LEVELS, level_of
from bids_secondlevel.reports.colours import scale as scale_of
from bids_secondlevel.reports.cortex.painting import (
    Scale,
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
from bids_secondlevel.reports.drawing import Axis, Drawing, png

MAX_Z_PANELS = 4
"""Of more localizer contrasts, only the maximum is shown."""

_ON_COLOURS: dict[str, Any] = {"size": 7.5, "ground": 0.75}  # where it may be dark
_LINE_PIXELS, _MOST_LINES = 2, 3
"""Width of the outline of an ROI, and how many can be told apart on the same border."""

SMALL = 64
"""Pixels of each side of a view in a thumbnail."""

_STEP = 4  # of the pixels that are looked at for names

_STRIPES = (0.35, 0.95)
"""Greys of what has no value."""

_DIRECTIONS: tuple[tuple[str, float, float, Literal["left", "center", "right"]], ...] = (
    ("up", 0.0, 1.3, "center"),
    ("down", 0.0, -1.35, "center"),
    ("left", -1.2, 0.0, "right"),
    ("right", 1.2, 0.0, "left"),
)
"""Of the visual field, and where they are written: a radius is 1."""

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
    explain: Callable[[Drawing, float, float, float], None] | None = None
    """Draws what colours mean, given the left, the top and the width of its place in inches."""
    shows_areas: bool = False
    names_areas: bool = False
    outline_rois: Callable[[Array, View], None] | None = None
    """Draws their outlines into the pixels."""
    outlines_part: bool = True
    """Whether the retinotopic part has an outline."""
    is_missing: Callable[[Layers], Mask] | None = None
    """Tells which vertices are striped, as they should have a value and have none."""


def columns_of(views: Sequence[View], legend: Legend) -> list[MapColumn]:
    """Choose the maps to be drawn: eccentricity, polar angle, z of the contrasts, the ROIs."""
    eccentricity = eccentricity_scale(legend.eccentricity)
    columns = [
        MapColumn(
            heading="Eccentricity",
            paint=partial(paint_eccentricity, scale=eccentricity),
            explain=partial(draw_scale, scale=eccentricity),
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
            explain=partial(draw_scale, scale=z),
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
            explain=partial(draw_scale, scale=scale) if place == 0 else None,
            outline_rois=_outline_all,
            outlines_part=False,
            is_missing=partial(without_value, contrast=name),
        )
        for place, name in enumerate(views[0].layers.measured)
    ]


def draw_panel(
    drawing: Drawing,
    view: View,
    column: MapColumn,
    place: tuple[float, float, float],
    area_names: Mapping[int, str],
) -> None:
    """Draw one map in one view, with outlines of the retinotopic part, of areas and of ROIs.

    Parameters
    ----------
    place
        Left, bottom and size, in inches.
    """
    left, bottom, size = place
    painted = column.paint(view.seen)
    drawing.pixels(_encoded(_pixels(view, column, painted)[::-1]), left, bottom, size, size)
    _draw_outlines(drawing, view, column, place, area_names)
    for side, x in zip(view.sides, (0.06, 0.94), strict=False):
        at = left + x * size, bottom + 0.06 * size
        drawing.write(*at, side, ha="center", va="center", **_ON_COLOURS)
    if painted is None:
        at = left + size / 2, bottom + 0.04 * size
        is_of_rois = column.outline_rois is not None and paint_rois(view.seen) is None
        drawing.write(*at, "no ROI" if is_of_rois else "no map", size=8.5, ha="center")


def small_rois(views: Sequence[View]) -> bytes:
    """Draw only the ROIs of all views, small and side by side, as PNG; none is too small to see."""
    column, step = MapColumn(heading="", paint=paint_rois), PIXELS // SMALL
    small = []
    for view in views:
        pixels = _pixels(view, column, paint_rois(view.seen, whole=True))
        squares = np.lib.stride_tricks.sliding_window_view(pixels, (step, step))[::step, ::step]
        squares = squares.reshape(SMALL, SMALL, -1)
        is_roi = view.show(view.seen.in_rois)
        inside = np.lib.stride_tricks.sliding_window_view(is_roi, (step, step))[::step, ::step]
        first = inside.reshape(SMALL, SMALL, -1).argmax(axis=2)  # in any ROI, if there is one
        small.append(np.take_along_axis(squares, first[..., None], axis=2)[..., 0])
    return _encoded(np.concatenate(small, axis=1)[::-1])


def _pixels(view: View, column: MapColumn, painted: Array | None) -> NDArray[np.integer[Any]]:
    """Give each pixel of a view the colour of its vertex; see :func:`_coded`."""
    ground = view.grey[view.vertices, None]
    colours = np.repeat(ground, 3, axis=1) if painted is None else on_grey(painted, ground)
    coded = np.append(_coded(colours), _coded(np.ones(3)))
    pixels: NDArray[np.integer[Any]] = coded[view.places]
    if column.is_missing is not None:
        missing = view.show(column.is_missing(view.seen))
        pixels[missing] = _coded(np.repeat(stripes(PIXELS), 3, axis=2))[missing]
    if column.outline_rois is not None:
        column.outline_rois(pixels, view)
    return pixels


def _draw_outlines(
    drawing: Drawing,
    view: View,
    column: MapColumn,
    place: tuple[float, float, float],
    area_names: Mapping[int, str],
) -> None:
    """Draw the outlines of areas and of the retinotopic part, and name the areas."""
    layers, (left, bottom, size) = view.seen, place
    names = {label: name for label, name in area_names.items() if label in layers.visual_area}
    parts = []
    if column.shows_areas:
        parts = [(f"area{label}", layers.visual_area == label, "white", 0.6) for label in names]
        # Behind the black, on dark colours.
        parts.append(("part", layers.retinotopic, "white", 2.0))
    if column.outlines_part:
        parts.append(("part", layers.retinotopic, "black", 0.9))
    for of, mask, colour, width in parts:
        if not drawing.has_outline((view.name, of)):
            drawing.define((view.name, of), _around(view.show(mask)) * size / PIXELS)
        drawing.outline((view.name, of), (left, bottom), colour, width)
    for label, name in names.items() if column.names_areas else ():
        _name(drawing, place, view.show(layers.visual_area == label), name)


def _coded(colours: Array) -> NDArray[np.integer[Any]]:
    """Write red, green and blue, from 0 to 1, as one number below 32,768."""
    red, green, blue = np.moveaxis(np.round(_SHADES * colours).astype(np.int64), -1, 0)
    coded: NDArray[np.integer[Any]] = (red << 10) | (green << 5) | blue
    return coded


def _encoded(pixels: NDArray[np.integer[Any]]) -> bytes:
    """Encode such numbers as PNG, with a palette if there are few colours."""
    is_there = np.zeros(1 << 15, dtype=bool)
    is_there[pixels] = True
    found = np.flatnonzero(is_there)
    shades = np.stack([found >> 10, found >> 5 & 31, found & 31], axis=1) * 255 / _SHADES
    palette = np.round(shades).astype(np.uint8)
    place = np.zeros(1 << 15, dtype=np.int64)
    place[found] = np.arange(found.size)
    if found.size <= 256:
        return png(place[pixels].astype(np.uint8), palette)
    return png(palette[place[pixels]])


def stripes(size: int) -> Array:
    """Draw a square of oblique stripes, which no scale of colours has: (size, size, 1)."""
    y, x = np.indices((size, size))
    return np.where((x + y) // 4 % 2, *_STRIPES)[..., None]


def _around(shown: Mask) -> Array:
    """Find the outline of what some pixels show, as lines (n, 2) in pixels with gaps of NaN."""
    from contourpy import LineType, contour_generator

    generator = contour_generator(
        z=np.pad(shown, 1, mode="edge").astype(float), line_type=LineType.Separate
    )
    lines = cast("list[Array]", generator.lines(0.5))
    parts = [part for line in lines for part in (_corners(line) - 0.5, [[np.nan, np.nan]])]
    return np.concatenate([np.zeros((0, 2)), *parts])


def _corners(line: Array) -> Array:
    """Take the points of a line at which it turns, and its ends."""
    steps = np.diff(line, axis=0)
    turns = (steps[1:] != steps[:-1]).any(axis=1)
    corners: Array = line[np.concatenate([[True], turns, [True]])]
    return corners


def _outline_overlaps(pixels: NDArray[np.integer[Any]], view: View) -> None:
    """Outline ROIs that overlap in their colours: the later, the thinner, so that all are seen."""
    layers = view.seen
    drawn = {
        name: (mask, colour)
        for name, colour in roi_colours(list(layers.rois)).items()
        if (mask := layers.rois[name]) is not None and mask[layers.overlapping].any()
    }
    for place, (mask, colour) in enumerate(drawn.values()):
        width = _LINE_PIXELS * min(len(drawn) - place, _MOST_LINES)
        pixels[_edge(view.show(mask), width)] = _coded(np.array(components(colour)))


def _outline_all(pixels: NDArray[np.integer[Any]], view: View) -> None:
    """Outline every ROI in black, as any colour would look like a value."""
    for mask in view.seen.rois.values():
        if mask is not None:
            pixels[_edge(view.show(mask), 1)] = 0


def outline_roi(pixels: NDArray[np.integer[Any]], view: View, *, name: str, colour: str) -> None:
    """Outline one ROI."""
    mask = view.seen.rois[name]
    if mask is not None:
        pixels[_edge(view.show(mask), 1)] = _coded(np.array(components(colour)))


def _edge(shown: Mask, width: int) -> Mask:
    """Find the pixels of a part that are so near to its border."""
    inner = shown
    for _ in range(width):
        inner = _eroded(inner, beyond=True)
    edge: Mask = shown & ~inner
    return edge


def _eroded(shown: Mask, *, beyond: bool) -> Mask:
    """Take away the pixels beside others, at corners too, so that oblique lines have no gaps.

    :mod:`scipy.ndimage` does this as well; to import it takes as long as the whole picture.
    """
    around = np.pad(shown, 1, constant_values=beyond)
    rows = around[:-2] & around[1:-1] & around[2:]
    inner: Mask = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return inner


def _name(drawing: Drawing, place: tuple[float, float, float], shown: Mask, name: str) -> None:
    """Write the name of an area into each of its parts that has room for it."""
    left, bottom, size = place
    coarse = shown[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
    pixel = size / len(coarse)
    for x, y in roomy(coarse, 0.03 * len(coarse)):
        at = left + (x + 0.5) * pixel, bottom + (y + 0.5) * pixel
        drawing.write(*at, name, ha="center", va="center", **_ON_COLOURS)


def roomy(shown: Mask, least: float) -> list[tuple[int, int]]:
    """Find the pixel of each part that is farthest from its border, if it is farther than that.

    Examples
    --------
    >>> roomy(np.repeat([[False] * 3 + [True] * 9 + [False] * 4 + [True] * 3], 9, axis=0), 3)
    [(7, 4)]
    """
    depth, inner = np.zeros(shown.shape, dtype=int), shown
    while inner.any():
        depth += inner
        inner = _eroded(inner, beyond=False)
    found = []
    while depth.max(initial=0) > least:
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        found.append((int(x), int(y)))
        part, rest = np.zeros_like(shown), depth > 0
        part[y, x] = True
        while True:  # the part grows until it is whole
            grown = ~_eroded(~part, beyond=True) & rest
            if (grown == part).all():
                break
            part = grown
        depth[part] = 0
    return found


def draw_scale(drawing: Drawing, left: float, top: float, width: float, *, scale: Scale) -> None:
    """Draw a bar of colours with its values."""
    inset, (low, high) = 0.15, scale.ends
    left, bottom, width, height = left + inset, top - 0.2, width - 2 * inset, 0.11
    shares = np.linspace(low, high, 128)
    bar = on_grey(scale.paint(shares, np.ones(128, dtype=bool)), GROUND)
    drawing.pixels(png(np.round(255 * bar[None]).astype(np.uint8)), left, bottom, width, height)
    drawing.rectangle(left, bottom, width, height, "none", edge="black", line=0.4)
    axis = Axis(ends=(low, high), places=(left, left + width))
    for mark in scale.marks:
        x = float(axis.at(np.array(mark)))
        drawing.line([(x, bottom), (x, bottom + height)], "black", 1.2)
    ticks: list[float] = []
    for tick in scale.ticks:
        if all(abs(tick - other) > 0.13 * (high - low) for other in ticks):
            ticks.append(tick)
    for tick in ticks:
        x = float(axis.at(np.array(tick)))
        drawing.line([(x, bottom), (x, bottom - 0.03)], "black", 0.6)
        drawing.write(x, bottom - 0.05, f"{tick:g}", size=7.5, ha="center", va="top")
    drawing.write(left + width / 2, bottom - 0.18, scale.unit, size=7.5, ha="center", va="top")


def _draw_visual_field(drawing: Drawing, left: float, top: float, width: float) -> None:
    """Draw the visual field with the colour of each polar angle."""
    size = 0.46
    x, y = left + width / 2, top - 0.16 - size / 2
    up, right = np.mgrid[1:-1:96j, -1:1:96j]
    angle = np.degrees(np.arctan2(right, up))
    field = np.maximum(level_of((angle + 180) / 360), 1)
    field[np.hypot(right, up) > 1] = 0
    palette = np.column_stack([scale_of("twilight"), np.full(LEVELS, 255, dtype=np.uint8)])
    palette[0] = 0  # outside
    drawing.pixels(png(field, palette), x - size / 2, y - size / 2, size, size)
    for text, x_text, y_text, ha in _DIRECTIONS:
        at = x + x_text * size / 2, y + y_text * size / 2
        drawing.write(*at, text, size=7.5, ha=ha, va="center")
