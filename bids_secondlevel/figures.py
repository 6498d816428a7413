"""Pictures: values in, bytes of an SVG file out.

Surfaces become a square of pixels for each map; text, outlines and scales are vectors. The same
values give the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.drawing import (
    CHARACTER,
    axes_at,
    draw_scale,
    draw_visual_field,
    new_figure,
    on_grey,
    own_style,
    shorten,
    swatch,
    to_svg,
    wrap,
    write,
)
from bids_secondlevel.model import Array, Hemisphere, Mask
from bids_secondlevel.painting import (
    Cortex,
    eccentricity_scale,
    paint_angle,
    paint_eccentricity,
    paint_rois,
    paint_z,
    z_scale,
)
from bids_secondlevel.palette import OVERLAP_COLOUR, roi_colours
from bids_secondlevel.views import Projection, Window, frame, look, project

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_Z_PANELS = 4
"""Of more localizer contrasts, only the maximum is shown."""

# Inches.
_PANEL, _GAP, _SIDE, _LEGEND = 1.65, 0.07, 0.75, 2.0
_TOP, _SCALES, _LINE = 0.6, 0.83, 0.17

_PIXELS = 256
_SHADES = 31  # of red, green and blue; finer ones double the size of the file
_MARGIN = 10.0  # mm around the retinotopic part
_SIDES: Mapping[Hemisphere, str] = {"L": "Left", "R": "Right"}


@dataclass(frozen=True)
class Legend:
    """What the picture says in words and numbers.

    Attributes
    ----------
    title : str
    notes : tuple of str
        Lines below the picture.
    area_names : mapping of int to str
        Of the labels in the maps of visual areas.
    eccentricity : (float, float)
        Limits of the retinotopic part, in degrees.
    faded : (float, float), optional
        z values in between are paler, as they do not count as activation.
    """

    title: str
    notes: tuple[str, ...]
    area_names: Mapping[int, str]
    eccentricity: tuple[float, float]
    faded: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class _View:
    """A hemisphere in its window; `vertices` as of :func:`look`."""

    cortex: Cortex
    projection: Projection
    window: Window
    vertices: NDArray[np.integer[Any]]

    def show(self, mask: Mask) -> Mask:
        """Tell which pixels show a vertex of a mask."""
        shown: Mask = (self.vertices >= 0) & mask[self.vertices]
        return shown


@dataclass(frozen=True)
class _Column:
    """One map in all hemispheres.

    `paint` gives each vertex a colour (red, green, blue, opacity), or says that there is no
    map; `scale` draws what explains the colours below a given place.
    """

    heading: str
    paint: Callable[[Cortex], Array | None]
    scale: Callable[["Figure", float, float, float], None] | None
    shows_areas: bool = False


def cortex_figure(hemispheres: Mapping[Hemisphere, Cortex], legend: Legend) -> bytes:
    """Draw the retinotopy, the localizer and the ROIs of a participant on the cortex.

    A row for each hemisphere; the columns are eccentricity, polar angle, z of the localizer
    contrasts (of more than :data:`MAX_Z_PANELS`, their maximum), and the ROIs. Each vertex has
    its own value, none is smoothed; where a map is NaN, the cortex is grey.

    Parameters
    ----------
    hemispheres : mapping of hemisphere to Cortex
        At least one, and each with at least a vertex that has a visual area.
    legend : Legend

    Returns
    -------
    bytes
        An SVG file.

    Raises
    ------
    ValueError
        If triangles are such a knot that they cannot be those of a surface.
    """
    with own_style():
        views = look_at(hemispheres)
        columns = _columns(list(views.values()), legend)
        width = _SIDE + len(columns) * (_PANEL + _GAP) + _LEGEND
        notes = wrap([*legend.notes, "A anterior, D dorsal, L lateral."], width - 0.16)
        bottom = _SCALES + _LINE * len(notes)
        height = bottom + len(views) * (_PANEL + _GAP) + _TOP
        figure = new_figure(width, height)
        title = shorten(legend.title, 0.8 * (width - 0.16))
        write(figure, 0.08, height - 0.22, title, size=10, weight="bold")
        for row, (hemi, view) in enumerate(views.items()):
            low = height - _TOP - row * (_PANEL + _GAP) - _PANEL
            _draw_side(figure, hemi, view.projection, low)
            for number, column in enumerate(columns):
                axes = axes_at(figure, _SIDE + number * (_PANEL + _GAP), low, _PANEL, _PANEL)
                _draw(axes, view, column, legend, named=number == 0)
        for number, column in enumerate(columns):
            left = _SIDE + number * (_PANEL + _GAP)
            heading = shorten(column.heading, _PANEL)
            write(figure, left + _PANEL / 2, height - _TOP + 0.06, heading, ha="center")
            if column.scale is not None:
                column.scale(figure, left, bottom, _PANEL)
        _list_rois(figure, hemispheres, width - _LEGEND + 0.1, height - _TOP)
        for line, note in enumerate(notes, 1):
            write(figure, 0.08, 0.08 + (len(notes) - line) * _LINE, note)
        return to_svg(figure)


def look_at(hemispheres: Mapping[Hemisphere, Cortex]) -> dict[Hemisphere, _View]:
    """Look at the retinotopic part of each hemisphere, on the same scale."""
    around = {
        hemi: cortex.retinotopic if cortex.retinotopic.any() else cortex.visual_area > 0
        for hemi, cortex in hemispheres.items()
    }
    projections = {
        hemi: project(cortex.mesh, around[hemi], hemi, sphere=cortex.is_sphere)
        for hemi, cortex in hemispheres.items()
    }
    frames = {hemi: frame(seen, around[hemi], _MARGIN) for hemi, seen in projections.items()}
    half_width = max(window.half_width for window in frames.values())
    views = {}
    for hemi, cortex in hemispheres.items():
        window = Window(frames[hemi].centre, half_width)
        vertices = look(projections[hemi], window, _PIXELS)
        views[hemi] = _View(cortex, projections[hemi], window, vertices)
    return views


def _columns(views: Sequence[_View], legend: Legend) -> list[_Column]:
    farthest = 2 * legend.eccentricity[1]
    columns = [
        _Column(
            "Eccentricity",
            partial(paint_eccentricity, farthest=farthest),
            partial(draw_scale, scale=eccentricity_scale(legend.eccentricity, farthest)),
            shows_areas=True,
        )
    ]
    cortices = [view.cortex for view in views]
    if any(cortex.polar_angle is not None for cortex in cortices):
        columns.append(_Column("Polar angle", paint_angle, draw_visual_field, shows_areas=True))
    contrasts = list(dict.fromkeys(name for cortex in cortices for name in cortex.z_maps))
    shown: dict[str, tuple[str, ...]] = {
        f"Localizer {name}" if len(name) < 12 else name: (name,) for name in contrasts
    }
    if len(contrasts) > MAX_Z_PANELS:
        shown = {f"Maximum of {len(contrasts)} z maps": tuple(contrasts)}
    largest = _largest_z(views, contrasts)
    for heading, of in shown.items():
        columns.append(
            _Column(
                heading,
                partial(paint_z, contrasts=of, largest=largest, faded=legend.faded),
                partial(draw_scale, scale=z_scale(largest, legend.faded)),
            )
        )
    return [*columns, _Column("ROIs", paint_rois, None)]


def _largest_z(views: Sequence[_View], contrasts: Sequence[str]) -> float:
    """Find the end of the z scale: what nearly all vertices in sight stay below."""
    sizes = [
        np.abs(z[np.unique(view.vertices[view.vertices >= 0])])
        for view in views
        for name in contrasts
        if (z := view.cortex.z_maps.get(name)) is not None
    ]
    finite = [size[np.isfinite(size)] for size in sizes]
    together = np.concatenate(finite) if finite else np.zeros(0)
    return max(4.0, float(np.ceil(np.percentile(together, 99.5)))) if together.size else 4.0


def _draw(axes: "Axes", view: _View, column: _Column, legend: Legend, *, named: bool) -> None:
    """Draw one map of one hemisphere, and what is outlined on it."""
    cortex = view.cortex
    seen = view.vertices >= 0
    shown = view.vertices[seen]
    painted = column.paint(cortex)
    pixels = np.ones((*view.vertices.shape, 3))
    pixels[seen] = _grey(view)[shown, None]
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
        for label, name in legend.area_names.items():
            _outline(axes, view, cortex.visual_area == label, "white", 0.6)
            if named:
                _name(axes, view, cortex.visual_area == label, name)
        _outline(axes, view, cortex.retinotopic, "white", 2.0)  # behind the black, on dark colours
    _outline(axes, view, cortex.retinotopic, "black", 0.9)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    if painted is None:
        axes.text(0.5, 0.04, "no map", ha="center", transform=axes.transAxes)


def _grey(view: _View) -> Array:
    """Shade the cortex: by its sulci where they are known, else by its slant."""
    shading = view.cortex.shading
    if shading is None:
        return 0.55 + 0.27 * np.clip(view.projection.slant, 0, 1)
    spread = float(np.nanstd(shading)) or 1.0
    return 0.72 - 0.12 * np.tanh(2 * np.nan_to_num(shading) / spread)


def _outline(axes: "Axes", view: _View, mask: Mask, colour: str, width: float) -> None:
    shown = view.show(mask)
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


def _name(axes: "Axes", view: _View, mask: Mask, name: str) -> None:
    """Write the name of an area into each of its parts that has room for it."""
    from scipy.ndimage import distance_transform_edt, label

    parts, n_parts = label(np.pad(view.show(mask), 1))
    left, _, bottom, _ = view.window.limits
    size = 2 * view.window.half_width / _PIXELS
    for part in range(1, n_parts + 1):
        room = distance_transform_edt(parts == part)
        y, x = np.unravel_index(int(room.argmax()), room.shape)
        if room[y, x] > 0.03 * _PIXELS:
            axes.text(
                left + (x - 0.5) * size,
                bottom + (y - 0.5) * size,
                name,
                size=7.5,
                ha="center",
                va="center",
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
            )


def _draw_side(figure: "Figure", hemi: Hemisphere, projection: Projection, low: float) -> None:
    """Write which hemisphere a row shows, and draw where anterior, dorsal and lateral are."""
    write(figure, 0.12, low + _PANEL - 0.1, _SIDES[hemi], weight="bold", va="top")
    axes = axes_at(figure, 0.02, low, _SIDE - 0.06, _SIDE - 0.06)
    axes.set_xlim(-1.5, 1.5)
    axes.set_ylim(-1.5, 1.5)
    for name, (x, y) in projection.directions.items():
        if np.hypot(x, y) > 0.4:
            axes.plot([0, x], [0, y], color="0.3", linewidth=0.8)
            ahead = 1 + 0.25 / np.hypot(x, y)
            axes.text(ahead * x, ahead * y, name[0].upper(), size=7.5, ha="center", va="center")


def _list_rois(
    figure: "Figure", hemispheres: Mapping[Hemisphere, Cortex], left: float, top: float
) -> None:
    """List the ROIs with their colours and numbers of vertices."""
    names = list(dict.fromkeys(name for cortex in hemispheres.values() for name in cortex.rois))
    colours = roi_colours(names)
    lines = []
    most = len(hemispheres) * int(_PANEL / _LINE) + 1
    for name in names[:most]:
        masks = {hemi: cortex.rois.get(name) for hemi, cortex in hemispheres.items()}
        counts = ", ".join(
            f"{'n/a' if mask is None else int(mask.sum())} {hemi}" for hemi, mask in masks.items()
        )
        room = _LEGEND - 0.35 - CHARACTER * len(counts)
        lines.append((colours[name], f"{shorten(name, room)}: {counts}"))
    if len(names) > most:
        lines.append(("none", f"and {len(names) - most} more"))
    if len(names) > 1:
        lines.append((OVERLAP_COLOUR, "in several ROIs"))
    write(figure, left, top + 0.06, "Vertices of each ROI")
    for number, (colour, text) in enumerate(lines):
        y = top - 0.15 - number * _LINE
        swatch(figure, left, y, 0.11, colour)
        write(figure, left + 0.18, y + 0.01, text)
