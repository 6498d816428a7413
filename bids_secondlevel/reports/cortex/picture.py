"""The picture of a participant's cortex: values in, bytes of an SVG file out.

Surfaces and slices of volumes become a square of pixels for each map; text, outlines and scales
are vectors. The same values give the same bytes.

The chain: surfaces are projected (:mod:`~.cortex.view`) or volumes cut (:mod:`~.cortex.slices`),
their maps painted (:mod:`~.cortex.painting`) and drawn one by one (:mod:`~.cortex.panels`); here
they are put together, with words around.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.definition import retinotopic_part_in_words
from bids_secondlevel.core.files import ParticipantFiles, Plan
from bids_secondlevel.core.hemispheres import HEMISPHERES, Bilateral, Hemisphere
from bids_secondlevel.core.roi_rule import OVERLAP_COLOUR, VISUAL_AREAS, area_name, roi_colours
from bids_secondlevel.core.values import Absent, Array, Retinotopy, Rois
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.maps.volumes import Grid
from bids_secondlevel.reports.charts.layout import (
    CHARACTER,
    axes_at,
    draw_square,
    letters_in,
    wrap,
    write,
)
from bids_secondlevel.reports.charts.style import shorten, to_svg
from bids_secondlevel.reports.cortex.panels import Legend, columns_of, draw_panel
from bids_secondlevel.reports.cortex.slices import look_through
from bids_secondlevel.reports.cortex.view import Layers, View, look_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches.
_PANEL, _GAP, _SIDE, _LEGEND = 1.65, 0.07, 0.75, 2.0
_TOP, _SCALES, _LINE = 0.6, 0.83, 0.17

_STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "svg.hashsalt": "bids_secondlevel",
    "path.simplify_threshold": 0.4,
}

_FIRST_OTHER = max(VISUAL_AREAS.values()) + 1
"""What areas from files of their own are labelled, beginning with the first."""


@dataclass(frozen=True)
class Portrait:
    """A picture of a participant's cortex, on a surface or in slices."""

    svg: bytes | None
    """``None`` if there is nothing to draw, or nothing to draw it on."""
    messages: tuple[str, ...] = ()
    """Why something is not drawn."""


def draw_portrait(
    cortex: Bilateral[Cortex],
    rois: Bilateral[Rois],
    ground: Mapping[Hemisphere, DisplaySurface] | Grid,
    files: ParticipantFiles,
    plan: Plan,
) -> Portrait:
    """Draw retinotopy, localizer and ROIs of a participant: of the hemispheres with visual areas.

    Parameters
    ----------
    ground
        Surfaces to draw on, or the voxels of volumes, which are drawn in slices.
    """
    layers = {
        half.side: _layers(half, maps, rois[half.side], files)
        for half in cortex
        if not isinstance(maps := half.retinotopy, Absent) and maps.inside.any()
        if isinstance(ground, Grid) or half.side in ground
    }
    if not layers:
        return Portrait(None)
    if isinstance(ground, Grid):
        return Portrait(draw_slices(layers, ground, _legend(files, plan)))
    surfaces = tuple(dict.fromkeys(surface.description for surface in ground.values()))
    missing = [hemi for hemi in HEMISPHERES if hemi not in ground]
    try:
        return Portrait(draw_cortex(layers, ground, _legend(files, plan, surfaces, missing)))
    except ValueError as error:
        return Portrait(None, (f"the cortex is not drawn: {error} ({', '.join(surfaces)}).",))


def draw_cortex(
    hemispheres: Mapping[Hemisphere, Layers],
    surfaces: Mapping[Hemisphere, DisplaySurface],
    legend: Legend,
) -> bytes:
    """Draw the retinotopy, the localizer and the ROIs of a participant on the cortex, as SVG.

    A row for each hemisphere; the columns are eccentricity, polar angle, z of the localizer
    contrasts (of more than :data:`~.panels.MAX_Z_PANELS`, their maximum), and the ROIs. Each
    vertex has its own value, none is smoothed; where a map is NaN, the cortex is grey.

    Parameters
    ----------
    hemispheres
        At least one, and each with at least a vertex that has a visual area.

    Raises
    ------
    ValueError
        If triangles are such a knot that they cannot be those of a surface.
    """
    notes = (*legend.notes, "A anterior, D dorsal, L lateral.")
    return _draw(look_at(hemispheres, surfaces), hemispheres, legend, notes, "Vertices")


def draw_slices(halves: Mapping[Hemisphere, Layers], grid: Grid, legend: Legend) -> bytes:
    """Draw the same in slices of a volume, as SVG.

    A row for each of a few coronal slices, from the back to the front. They are not resampled:
    each voxel is a rectangle.

    Parameters
    ----------
    halves
        Of all voxels; at least one half, and at least a voxel that has a visual area.
    """
    views, tilt = look_through(halves, grid)
    how = (
        "Coronal slices, seen from behind: L is left in the head, R is right; y in mm, greater to "
        "the front."
    )
    if tilt >= 1:
        how += f" They follow the voxels, and are {tilt:.0f} degrees off coronal."
    return _draw(views, halves, legend, (*legend.notes, how), "Voxels")


def _draw(
    views: Sequence[View],
    hemispheres: Mapping[Hemisphere, Layers],
    legend: Legend,
    notes: Sequence[str],
    counted: str,
) -> bytes:
    """Draw a row for each view, and what explains them around."""
    columns = columns_of(views, legend)
    width = _SIDE + len(columns) * (_PANEL + _GAP) + _LEGEND
    lines = wrap(notes, width - 0.16)
    bottom = _SCALES + _LINE * len(lines)
    height = bottom + len(views) * (_PANEL + _GAP) + _TOP

    def paint(figure: "Figure") -> None:
        title = shorten(legend.title, letters_in(0.8 * (width - 0.16)))
        write(figure, 0.08, height - 0.22, title, size=10, weight="bold")
        for row, view in enumerate(views):
            low = height - _TOP - row * (_PANEL + _GAP) - _PANEL
            _draw_side(figure, view, low)
            for number, column in enumerate(columns):
                axes = axes_at(figure, _SIDE + number * (_PANEL + _GAP), low, _PANEL, _PANEL)
                draw_panel(axes, view, column, legend.area_names)
        for number, column in enumerate(columns):
            left = _SIDE + number * (_PANEL + _GAP)
            heading = shorten(column.heading, letters_in(_PANEL))
            write(figure, left + _PANEL / 2, height - _TOP + 0.06, heading, ha="center")
            if column.explain is not None:
                column.explain(figure, left, bottom, _PANEL)
        room = len(views) * int(_PANEL / _LINE) + 1
        left = width - _LEGEND + 0.1
        write(figure, left, height - _TOP + 0.06, f"{counted} of each ROI")
        _list_rois(figure, hemispheres, left, height - _TOP, room)
        for number, line in enumerate(lines, 1):
            write(figure, 0.08, 0.08 + (len(lines) - number) * _LINE, line)

    return to_svg((width, height), paint, _STYLE)


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
    figure: "Figure", hemispheres: Mapping[Hemisphere, Layers], left: float, top: float, most: int
) -> None:
    """List the ROIs with their colours and sizes, as far as there is room."""
    masks = {hemi: layers.rois for hemi, layers in hemispheres.items()}
    names = list(next(iter(masks.values())))
    lines = []
    for name, colour in list(roi_colours(names).items())[:most]:
        counts = ", ".join(
            f"{'n/a' if (mask := of[name]) is None else int(mask.sum())} {hemi}"
            for hemi, of in masks.items()
        )
        room = _LEGEND - 0.35 - CHARACTER * len(counts)
        lines.append((colour, f"{shorten(name, letters_in(room))}: {counts}"))
    if len(names) > most:
        lines.append(("none", f"and {len(names) - most} more"))
    if len(names) > 1:
        lines.append((OVERLAP_COLOUR, "in several ROIs"))
    for number, (colour, text) in enumerate(lines):
        y = top - 0.15 - number * _LINE
        draw_square(figure, left, y, 0.11, colour)
        write(figure, left + 0.18, y + 0.01, text)


def _layers(half: Cortex, maps: Retinotopy, rois: Rois, files: ParticipantFiles) -> Layers:
    """Put together what is drawn of a hemisphere; areas of files of their own are labelled too."""
    areas = maps.visual_area.copy()
    for number, name in enumerate(_other_areas(files), _FIRST_OTHER):
        area = _if_there(maps.other_areas.get(name))
        if area is not None:
            areas[area] = number
    parts = rois.values()
    retinotopic = [p.retinotopic for p in parts if not isinstance(p.retinotopic, Absent)]
    return Layers(
        visual_area=areas,
        eccentricity=maps.eccentricity,
        polar_angle=maps.polar_angle,
        z_maps={name: _if_there(z) for name, z in half.localizer.items()},
        retinotopic=np.any([np.zeros(areas.size, dtype=bool), *retinotopic], axis=0),
        rois={name: _if_there(part.roi) for name, part in rois.items()},
    )


def _if_there(part: Array | Absent | None) -> Array | None:
    return None if isinstance(part, Absent) else part


def _other_areas(files: ParticipantFiles) -> list[str]:
    return list(dict.fromkeys(name for s in files.retinotopy.values() for name in s.areas))


def _legend(
    files: ParticipantFiles,
    plan: Plan,
    surfaces: Collection[str] = (),
    not_drawn: Collection[Hemisphere] = (),
) -> Legend:
    """Say what is drawn."""
    rules = [roi.rule for roi in plan.rois]
    limits = [rule.limits for rule in rules if rule.limits is not None] or [(0.0, 5.0)]
    part = (
        retinotopic_part_in_words(rules[0])
        if len({rule.retinotopic_part for rule in rules}) == 1
        else "the retinotopic parts of the ROIs"
    )
    notes = [f"Black line: {part}. White lines: borders of visual areas."]
    faded = {roi.rule.z_not_activated for roi in plan.rois if roi.contrasts}
    common = faded.pop() if len(faded) == 1 else None
    if common is not None:
        low, high = common
        passing = [f"z > {high:g}"] if np.isfinite(high) else []
        passing += [f"z < {low:g}"] if np.isfinite(low) else []
        notes.append(
            f"Localizer: paler where it does not pass the threshold ({' or '.join(passing)})."
        )
    notes += [f"Surface: {surface}." for surface in surfaces]
    notes += [f"Hemisphere {hemi} is not drawn; see the messages of the run." for hemi in not_drawn]
    return Legend(
        title=f"sub-{files.label}, {f'space {plan.space}' if plan.space else 'space not named'}, "
        f"retinotopy {files.retinotopy_source}",
        notes=tuple(notes),
        area_names={
            **{number: name for name, number in VISUAL_AREAS.items()},
            **dict(enumerate(map(area_name, _other_areas(files)), _FIRST_OTHER)),
        },
        eccentricity=(min(low for low, _ in limits), max(high for _, high in limits)),
        faded=common,
    )
