"""Pictures: values in, bytes of an SVG file out.

Surfaces and slices of volumes become a square of pixels for each map; text, outlines and scales
are vectors. The same values give the same bytes.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.palette import OVERLAP_COLOUR, roi_colours
from bids_secondlevel.core.values import Array
from bids_secondlevel.maps.grid import Grid
from bids_secondlevel.reports.charts.drawing import (
    CHARACTER,
    GREY,
    axes_at,
    new_figure,
    own_style,
    shorten,
    swatch,
    to_svg,
    wrap,
    write,
)
from bids_secondlevel.reports.cortex.painting import Cortex, Maps
from bids_secondlevel.reports.cortex.panels import PIXELS, Legend, View, columns_of, draw_panel
from bids_secondlevel.reports.cortex.slices import cut, maps_in
from bids_secondlevel.reports.cortex.view import Projection, Window, frame, look, project

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches.
_PANEL, _GAP, _SIDE, _LEGEND = 1.65, 0.07, 0.75, 2.0
_TOP, _SCALES, _LINE = 0.6, 0.83, 0.17

_MARGIN = 10.0  # mm around the retinotopic part
_UNKNOWN = 0.9  # grey of voxels without any value
_SIDES: Mapping[Hemisphere, str] = {"L": "Left", "R": "Right"}


def cortex_figure(hemispheres: Mapping[Hemisphere, Cortex], legend: Legend) -> bytes:
    """Draw the retinotopy, the localizer and the ROIs of a participant on the cortex.

    A row for each hemisphere; the columns are eccentricity, polar angle, z of the localizer
    contrasts (of more than :data:`~.panels.MAX_Z_PANELS`, their maximum), and the ROIs. Each
    vertex has its own value, none is smoothed; where a map is NaN, the cortex is grey.

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
    views = look_at(hemispheres)
    notes = (*legend.notes, "A anterior, D dorsal, L lateral.")
    return _draw(list(views.values()), hemispheres, legend, notes, "Vertices")


def slices_figure(halves: Mapping[Hemisphere, Maps], grid: Grid, legend: Legend) -> bytes:
    """Draw the retinotopy, the localizer and the ROIs of a participant in slices of a volume.

    As :func:`cortex_figure`, with a row for each of a few coronal slices, from the back to the
    front. They are not resampled: each voxel is a rectangle.

    Parameters
    ----------
    halves : mapping of hemisphere to Maps
        Of all voxels; at least one half, and at least a voxel that has a visual area.
    grid : Grid
    legend : Legend

    Returns
    -------
    bytes
        An SVG file.
    """
    views, tilt = slice_views(halves, grid)
    how = (
        "Coronal slices, seen from behind: L is left in the head, R is right; y in mm, greater to "
        "the front."
    )
    if tilt >= 1:
        how += f" They follow the voxels, and are {tilt:.0f} degrees off coronal."
    notes = (*legend.notes, how)
    return _draw(views, halves, legend, notes, "Voxels")


def look_at(hemispheres: Mapping[Hemisphere, Cortex]) -> dict[Hemisphere, View]:
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
        seen, window = projections[hemi], Window(frames[hemi].centre, half_width)
        vertices, grey = look(seen, window, PIXELS), _grey(cortex, seen)
        views[hemi] = View(_SIDES[hemi], cortex, window, vertices, grey, seen.directions)
    return views


def slice_views(halves: Mapping[Hemisphere, Maps], grid: Grid) -> tuple[list[View], float]:
    """Look at slices through the retinotopic part; also tell how far they are off coronal."""
    around = np.any([maps.retinotopic for maps in halves.values()], axis=0)
    if not around.any():
        around = np.any([maps.visual_area > 0 for maps in halves.values()], axis=0)
    masks = [mask for maps in halves.values() for mask in maps.rois.values() if mask is not None]
    rois = np.any([np.zeros_like(around), *masks], axis=0)
    slices = cut(grid, around, rois, margin=_MARGIN, n_pixels=PIXELS)
    views = []
    for slice_ in slices.slices:
        maps = maps_in(slice_, halves, grid)
        name = f"y = {round(slice_.position)}"
        grey = _grey_of_voxels(maps)
        views.append(View(name, maps, slices.window, slices.pixels, grey, sides=("L", "R")))
    return views, slices.tilt


def _draw(
    views: Sequence[View],
    hemispheres: Mapping[Hemisphere, Maps],
    legend: Legend,
    notes: Sequence[str],
    counted: str,
) -> bytes:
    """Draw a row for each view, and what explains them around."""
    with own_style():
        columns = columns_of(views, legend)
        width = _SIDE + len(columns) * (_PANEL + _GAP) + _LEGEND
        lines = wrap(notes, width - 0.16)
        bottom = _SCALES + _LINE * len(lines)
        height = bottom + len(views) * (_PANEL + _GAP) + _TOP
        figure = new_figure(width, height)
        title = shorten(legend.title, 0.8 * (width - 0.16))
        write(figure, 0.08, height - 0.22, title, size=10, weight="bold")
        for row, view in enumerate(views):
            low = height - _TOP - row * (_PANEL + _GAP) - _PANEL
            _draw_side(figure, view, low)
            for number, column in enumerate(columns):
                axes = axes_at(figure, _SIDE + number * (_PANEL + _GAP), low, _PANEL, _PANEL)
                draw_panel(axes, view, column, legend, named=number == 0)
        for number, column in enumerate(columns):
            left = _SIDE + number * (_PANEL + _GAP)
            heading = shorten(column.heading, _PANEL)
            write(figure, left + _PANEL / 2, height - _TOP + 0.06, heading, ha="center")
            if column.scale is not None:
                column.scale(figure, left, bottom, _PANEL)
        room = len(views) * int(_PANEL / _LINE) + 1
        left = width - _LEGEND + 0.1
        write(figure, left, height - _TOP + 0.06, f"{counted} of each ROI")
        _list_rois(figure, hemispheres, left, height - _TOP, room)
        for number, line in enumerate(lines, 1):
            write(figure, 0.08, 0.08 + (len(lines) - number) * _LINE, line)
        return to_svg(figure)


def _grey(cortex: Cortex, projection: Projection) -> Array:
    """Shade the cortex: by its sulci where they are known, else by its slant."""
    shading = cortex.shading
    if shading is None:
        return 0.55 + 0.27 * np.clip(projection.slant, 0, 1)
    spread = float(np.nanstd(shading)) or 1.0
    return 0.72 - 0.12 * np.tanh(2 * np.nan_to_num(shading) / spread)


def _grey_of_voxels(maps: Maps) -> Array:
    """Tell the voxels that have some value, which is what the maps show of the head."""
    values = [z for z in maps.z_maps.values() if z is not None]
    known = [np.isfinite(z) & (z != 0) for z in values]
    return np.where(np.any([maps.visual_area > 0, *known], axis=0), GREY, _UNKNOWN)


def _draw_side(figure: "Figure", view: View, low: float) -> None:
    """Write what a row shows, and draw where directions such as anterior and dorsal are."""
    write(figure, 0.12, low + _PANEL - 0.1, view.name, weight="bold", va="top")
    axes = axes_at(figure, 0.02, low, _SIDE - 0.06, _SIDE - 0.06)
    axes.set_xlim(-1.5, 1.5)
    axes.set_ylim(-1.5, 1.5)
    for name, (x, y) in view.directions.items():
        if np.hypot(x, y) > 0.4:
            axes.plot([0, x], [0, y], color="0.3", linewidth=0.8)
            ahead = 1 + 0.25 / np.hypot(x, y)
            axes.text(ahead * x, ahead * y, name[0].upper(), size=7.5, ha="center", va="center")


def _list_rois(
    figure: "Figure",
    hemispheres: Mapping[Hemisphere, Maps],
    left: float,
    top: float,
    most: int,
) -> None:
    """List the ROIs with their colours and sizes, as far as there is room."""
    names = list(dict.fromkeys(name for maps in hemispheres.values() for name in maps.rois))
    colours = roi_colours(names)
    lines = []
    for name in names[:most]:
        masks = {hemi: maps.rois.get(name) for hemi, maps in hemispheres.items()}
        counts = ", ".join(
            f"{'n/a' if mask is None else int(mask.sum())} {hemi}" for hemi, mask in masks.items()
        )
        room = _LEGEND - 0.35 - CHARACTER * len(counts)
        lines.append((colours[name], f"{shorten(name, room)}: {counts}"))
    if len(names) > most:
        lines.append(("none", f"and {len(names) - most} more"))
    if len(names) > 1:
        lines.append((OVERLAP_COLOUR, "in several ROIs"))
    for number, (colour, text) in enumerate(lines):
        y = top - 0.15 - number * _LINE
        swatch(figure, left, y, 0.11, colour)
        write(figure, left + 0.18, y + 0.01, text)
