"""Paint maps: the colour of each vertex or voxel, and the scales that say what colours mean.

Painted maps are arrays of red, green, blue and opacity, (n_vertices, 4); ``None`` says that there
is no map. Only what is seen has to be painted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_secondlevel.core.roi_rule import components, roi_colours
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.reports.colours import coloured
from bids_secondlevel.reports.cortex.view import Layers, View

_PALE = 0.35
_WHITE = (1.0, 1.0, 1.0, 0.8)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the colours of a map mean."""

    colours: str
    """Name of a scale of :mod:`~.reports.colours`."""
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
        painted = _shown_in(self.colours, (values / high - low / high) / (1 - low / high), shown)
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
    seen = [view.seen.z_maps[name] for view in views for name in contrasts]
    maps = [z for z in seen if z is not None]
    largest = max(4.0, float(np.ceil(_size_of(maps))))
    marks = tuple(limit for limit in faded or () if abs(limit) < largest)
    return Scale(
        colours="RdBu_r",
        ends=(-largest, largest),
        ticks=(*marks[::-1], -largest, largest, 0.0),
        marks=marks,
        unit="z",
        faded=faded,
    )


def measured_scale(views: Sequence[View], unit: str) -> Scale:
    """Scale what is measured around 0, to what nearly all vertices in the ROIs stay below."""
    maps = [
        values[view.seen.in_rois]
        for view in views
        for values in view.seen.measured.values()
        if values is not None
    ]
    return scale_around_zero(maps, unit)


def scale_around_zero(maps: Sequence[Array], unit: str) -> Scale:
    """Scale values of any sign to what nearly all of some maps stay below."""
    size = _size_of(maps) or 1.0
    step = 10 ** np.floor(np.log10(size) - 1)
    largest = float(f"{np.ceil(size / step) * step:.2g}")  # two digits are enough
    return Scale(
        colours="RdBu_r",
        ends=(-largest, largest),
        ticks=(0.0, -largest, largest),
        marks=(),
        unit=unit,
    )


def _size_of(maps: Sequence[Array]) -> float:
    """Find what nearly all values of some maps stay below, whatever their sign; 0 if none is."""
    sizes = np.abs(np.concatenate([np.zeros(0), *(values[np.isfinite(values)] for values in maps)]))
    return float(np.percentile(sizes, 99.5)) if sizes.size else 0.0


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
    return _shown_in("twilight", (angle + 180) / 360 % 1, shown)


def paint_z(layers: Layers, scale: Scale, contrasts: Sequence[str]) -> Array | None:
    """Paint the z map of a contrast, or the maximum of several."""
    there = [z for name in contrasts if (z := layers.z_maps[name]) is not None]
    if len(there) < len(contrasts):
        return None
    z = np.fmax.reduce(there)
    return scale.paint(z, ~np.isnan(z))


def paint_rois(layers: Layers, *, whole: bool = False) -> Array | None:
    """Paint each ROI in its colour, and vertices of several in pale white.

    Parameters
    ----------
    whole
        Paint a vertex of several ROIs in the colour of the smallest one, not in white. Small
        pictures have no room for outlines.
    """
    there = {name: mask for name, mask in layers.rois.items() if mask is not None}
    if not there:
        return None
    painted = np.zeros((len(layers.visual_area), 4))
    colours = roi_colours(list(layers.rois))
    for name, mask in sorted(there.items(), key=lambda roi: -roi[1].sum()):
        painted[mask] = (*components(colours[name]), 1.0)
    if not whole:
        painted[layers.overlapping] = _WHITE
    return painted


def paint_measured(layers: Layers, scale: Scale, contrast: str) -> Array | None:
    """Paint what is measured inside the ROIs; see also :func:`without_value`."""
    values = layers.measured[contrast]
    return None if values is None else scale.paint(values, layers.in_rois & np.isfinite(values))


def without_value(layers: Layers, contrast: str) -> Mask:
    """Tell which vertices of the ROIs are NaN or infinite in a map, and so are not measured."""
    values = layers.measured[contrast]
    missing: Mask = layers.in_rois & (False if values is None else ~np.isfinite(values))
    return missing


def _shown_in(colours: str, shares: Array, shown: Mask) -> Array:
    """Give shares from 0 to 1 their colours on a scale; what is not shown is transparent."""
    painted = np.zeros((*shown.shape, 4))
    painted[shown, :3] = coloured(colours, shares[shown])
    painted[shown, 3] = 1
    return painted


def on_grey(painted: Array, grey: Array | float) -> Array:
    """Lay colours (n, 4) on an opaque ground; the result has no opacity (n, 3)."""
    opacity = painted[:, 3:]
    mixed: Array = opacity * painted[:, :3] + (1 - opacity) * grey
    return mixed
