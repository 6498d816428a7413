"""Paint maps: the colour of each vertex or voxel, and the scales that say what colours mean.

Painted maps are arrays of red, green, blue and opacity, (n_vertices, 4); ``None`` says that there
is no map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_secondlevel.core.roi_rule import OVERLAP_COLOUR, components, roi_colours
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.reports.cortex.view import Layers, View

_PALE = 0.35


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the colours of a map mean."""

    colours: str
    """Name of the colours in matplotlib."""
    ends: tuple[float, float]
    """Lowest and highest value."""
    ticks: tuple[float, ...]
    """Values to be written below, the most important first; those without room are left out."""
    marks: tuple[float, ...]
    """Values at which there is a line."""
    unit: str
    faded: tuple[float, float] | None = None
    """Values from one to the other are paler."""

    def paint(self, values: Array, shown: Mask) -> Array:
        """Give values their colours; those that are not shown are transparent."""
        low, high = self.ends
        painted = coloured(self.colours, (values / high - low / high) / (1 - low / high), shown)
        if self.faded is not None:
            painted[(values >= self.faded[0]) & (values <= self.faded[1]), 3] *= _PALE
        return painted


def eccentricity_scale(limits: tuple[float, float]) -> Scale:
    """Scale eccentricities from 0 to twice the upper limit; the limits are marked."""
    farthest = 2 * limits[1]
    return Scale(
        colours="viridis",
        ends=(0, farthest),
        ticks=(*limits[::-1], farthest, 0.0),
        marks=limits,
        unit="degrees",
    )


def z_scale(
    views: Sequence[View], contrasts: Sequence[str], faded: tuple[float, float] | None
) -> Scale:
    """Scale z values to what nearly all vertices in sight stay below; limits are marked."""
    sizes = [
        np.abs(z[np.unique(view.pixels[view.pixels >= 0])])
        for view in views
        for name in contrasts
        if (z := view.layers.z_maps[name]) is not None
    ]
    together = np.concatenate([size[np.isfinite(size)] for size in sizes] or [np.zeros(0)])
    largest = max(4.0, float(np.ceil(np.percentile(together, 99.5)))) if together.size else 4.0
    marks = tuple(limit for limit in faded or () if abs(limit) < largest)
    return Scale(
        colours="RdBu_r",
        ends=(-largest, largest),
        ticks=(*marks[::-1], -largest, largest, 0.0),
        marks=marks,
        unit="z",
        faded=faded,
    )


def paint_eccentricity(layers: Layers, scale: Scale) -> Array:
    """Paint the visual areas by eccentricity."""
    eccentricity = layers.eccentricity
    return scale.paint(eccentricity, (layers.visual_area > 0) & np.isfinite(eccentricity))


def paint_angle(layers: Layers) -> Array | None:
    """Paint the visual areas by polar angle, with colours that end where they begin."""
    if layers.polar_angle is None:
        return None
    shown = (layers.visual_area > 0) & np.isfinite(layers.polar_angle)
    angle = np.where(shown, layers.polar_angle, 0)
    return coloured("twilight", (angle + 180) / 360 % 1, shown)


def paint_z(layers: Layers, scale: Scale, contrasts: Sequence[str]) -> Array | None:
    """Paint the z map of a contrast, or the maximum of several."""
    there = [z for name in contrasts if (z := layers.z_maps[name]) is not None]
    if len(there) < len(contrasts):
        return None
    z = np.fmax.reduce(there)
    return scale.paint(z, ~np.isnan(z))


def paint_rois(layers: Layers) -> Array | None:
    """Paint each ROI in its colour, and what several of them share in another."""
    there = {name: mask for name, mask in layers.rois.items() if mask is not None}
    if not there:
        return None
    painted = np.zeros((len(layers.visual_area), 4))
    colours = roi_colours(list(layers.rois))
    for name, mask in there.items():
        painted[mask] = (*components(colours[name]), 1.0)
    painted[np.sum(list(there.values()), axis=0) > 1] = (*components(OVERLAP_COLOUR), 1.0)
    return painted


def coloured(colours: str, shares: Array, shown: Mask) -> Array:
    """Give shares from 0 to 1 one of matplotlib's scales of colours."""
    from matplotlib import colormaps

    painted: Array = colormaps[colours](np.where(shown, np.clip(shares, 0, 1), 0))
    painted[..., 3] = shown
    return painted


def on_grey(painted: Array, grey: Array | float) -> Array:
    """Lay colours (n, 4) on an opaque ground; the result has no opacity (n, 3)."""
    opacity = painted[:, 3:]
    mixed: Array = opacity * painted[:, :3] + (1 - opacity) * grey
    return mixed
