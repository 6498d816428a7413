"""One map seen in one window: what a picture of maps repeats for each map and each view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.reports.charts.drawing import draw_scale, draw_visual_field, on_grey
from bids_secondlevel.reports.cortex.painting import (
    Maps,
    eccentricity_scale,
    paint_angle,
    paint_eccentricity,
    paint_rois,
    paint_z,
    z_scale,
)
from bids_secondlevel.reports.cortex.view import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_Z_PANELS = 4
"""Of more localizer contrasts, only the maximum is shown."""

PIXELS = 256
"""Of the side of a panel."""

_ON_COLOURS: dict[str, Any] = {  # how to write where the ground may be dark
    "size": 7.5,
    "bbox": {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
}
_SHADES = 31  # of red, green and blue; finer ones double the size of the file


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
class View:
    """What is seen in a window.

    Attributes
    ----------
    name : str
    maps : Maps
    window : Window
    vertices : (PIXELS, PIXELS) array of int
        The vertex (or voxel) that each pixel shows, from the bottom up; -1 is none.
    grey : (n_vertices,) array of float
        The ground that maps are laid on.
    directions : mapping of str to (float, float)
        Where they point in the picture; drawn beside it.
    sides : tuple of str
        What is on the left and on the right; written into the panels.
    """

    name: str
    maps: Maps
    window: Window
    vertices: NDArray[np.integer[Any]]
    grey: Array
    directions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sides: tuple[str, ...] = ()

    def show(self, mask: Mask) -> Mask:
        """Tell which pixels show a vertex of a mask."""
        shown: Mask = (self.vertices >= 0) & mask[self.vertices]
        return shown


@dataclass(frozen=True)
class Column:
    """One map in all views.

    `paint` gives each vertex a colour (red, green, blue, opacity), or says that there is no
    map; `scale` draws what explains the colours below a given place.
    """

    heading: str
    paint: Callable[[Maps], Array | None]
    scale: Callable[["Figure", float, float, float], None] | None
    shows_areas: bool = False


def columns_of(views: Sequence[View], legend: Legend) -> list[Column]:
    """Choose the maps to be drawn: eccentricity, polar angle, z of the contrasts, the ROIs."""
    farthest = 2 * legend.eccentricity[1]
    columns = [
        Column(
            "Eccentricity",
            partial(paint_eccentricity, farthest=farthest),
            partial(draw_scale, scale=eccentricity_scale(legend.eccentricity, farthest)),
            shows_areas=True,
        )
    ]
    every = [view.maps for view in views]
    if any(maps.polar_angle is not None for maps in every):
        columns.append(Column("Polar angle", paint_angle, draw_visual_field, shows_areas=True))
    contrasts = list(dict.fromkeys(name for maps in every for name in maps.z_maps))
    shown: dict[str, tuple[str, ...]] = {
        f"Localizer {name}" if len(name) < 12 else name: (name,) for name in contrasts
    }
    if len(contrasts) > MAX_Z_PANELS:
        shown = {f"Maximum of {len(contrasts)} z maps": tuple(contrasts)}
    largest = _largest_z(views, contrasts)
    for heading, of in shown.items():
        columns.append(
            Column(
                heading,
                partial(paint_z, contrasts=of, largest=largest, faded=legend.faded),
                partial(draw_scale, scale=z_scale(largest, legend.faded)),
            )
        )
    return [*columns, Column("ROIs", paint_rois, None)]


def _largest_z(views: Sequence[View], contrasts: Sequence[str]) -> float:
    """Find the end of the z scale: what nearly all vertices in sight stay below."""
    sizes = [
        np.abs(z[np.unique(view.vertices[view.vertices >= 0])])
        for view in views
        for name in contrasts
        if (z := view.maps.z_maps.get(name)) is not None
    ]
    finite = [size[np.isfinite(size)] for size in sizes]
    together = np.concatenate(finite) if finite else np.zeros(0)
    return max(4.0, float(np.ceil(np.percentile(together, 99.5)))) if together.size else 4.0


def draw_panel(axes: "Axes", view: View, column: Column, legend: Legend, *, named: bool) -> None:
    """Draw one map in one view, and what is outlined on it.

    Parameters
    ----------
    axes : Axes
    view : View
    column : Column
    legend : Legend
    named : bool
        Whether visual areas have their names written into them.
    """
    maps = view.maps
    seen = view.vertices >= 0
    shown = view.vertices[seen]
    painted = column.paint(maps)
    pixels = np.ones((*view.vertices.shape, 3))
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
        for label, name in legend.area_names.items():
            _outline(axes, view, maps.visual_area == label, "white", 0.6)
            if named:
                _name(axes, view, maps.visual_area == label, name)
        _outline(axes, view, maps.retinotopic, "white", 2.0)  # behind the black, on dark colours
    _outline(axes, view, maps.retinotopic, "black", 0.9)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    for side, x in zip(view.sides, (0.06, 0.94), strict=False):
        axes.text(x, 0.06, side, ha="center", va="center", transform=axes.transAxes, **_ON_COLOURS)
    if painted is None:
        axes.text(0.5, 0.04, "no map", ha="center", transform=axes.transAxes)


def _outline(axes: "Axes", view: View, mask: Mask, colour: str, width: float) -> None:
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


def _name(axes: "Axes", view: View, mask: Mask, name: str) -> None:
    """Write the name of an area into each of its parts that has room for it."""
    from scipy.ndimage import distance_transform_edt, label

    parts, n_parts = label(np.pad(view.show(mask), 1))
    left, _, bottom, _ = view.window.limits
    size = 2 * view.window.half_width / PIXELS
    for part in range(1, n_parts + 1):
        room = distance_transform_edt(parts == part)
        y, x = np.unravel_index(int(room.argmax()), room.shape)
        if room[y, x] > 0.03 * PIXELS:
            axes.text(
                left + (x - 0.5) * size,
                bottom + (y - 0.5) * size,
                name,
                ha="center",
                va="center",
                **_ON_COLOURS,
            )
