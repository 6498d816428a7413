"""The picture of a participant's cortex: values in, bytes of an SVG file out.

Surfaces and slices of volumes become a square of pixels for each map; text, outlines and scales
are vectors. The same values give the same bytes.

The chain: surfaces are projected (:mod:`~.cortex.view`) or volumes cut (:mod:`~.cortex.slices`),
their maps painted (:mod:`~.cortex.painting`) and drawn one by one (:mod:`~.cortex.panels`); here
they are put together, with words around.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_secondlevel.core.definition import retinotopic_part_in_words
from bids_secondlevel.core.files import Contrast, ParticipantFiles, Plan
from bids_secondlevel.core.hemispheres import HEMISPHERES, Bilateral, Hemisphere
from bids_secondlevel.core.roi_rule import roi_colours
from bids_secondlevel.core.values import Absent, Array, Retinotopy, Rois, in_any
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.maps.volumes import Grid
from bids_secondlevel.reports.charts.layout import CHARACTER, letters_in, wrap
from bids_secondlevel.reports.charts.style import axis_label, shorten
from bids_secondlevel.reports.cortex.painting import without_value
from bids_secondlevel.reports.cortex.panels import (
    Legend,
    MapColumn,
    columns_of,
    draw_panel,
    measured_columns,
    small_rois,
    stripes,
)
from bids_secondlevel.reports.cortex.slices import look_through
from bids_secondlevel.reports.cortex.view import (
    Layers,
    View,
    area_names,
    label_areas,
    look_at,
    other_areas,
)
from bids_secondlevel.reports.drawing import Drawing, png

# Inches.
_PANEL, _GAP, _SIDE, _LEGEND = 1.65, 0.07, 0.75, 2.0
_TITLE, _HEADING, _LINE = 0.36, 0.24, 0.17
_SCALES = (0.83, 0.55)  # below the maps, and below what is measured
MOST_COLUMNS = 8
LETTERS = 8.5  # points
_BARS = (100, 50, 20, 10, 5, 2, 1)  # mm


@dataclass(frozen=True)
class Portrait:
    """A picture of a participant's cortex, on a surface or in slices."""

    svg: bytes | None
    """``None`` if there is nothing to draw, or nothing to draw it on."""
    thumbnail: bytes | None = None
    """Only the ROIs, small (PNG)."""
    messages: tuple[str, ...] = ()
    """Why something is not drawn."""


def draw_portrait(
    cortex: Bilateral[Cortex],
    rois: Bilateral[Rois],
    ground: Mapping[Hemisphere, DisplaySurface] | Grid,
    files: ParticipantFiles,
    plan: Plan,
    *,
    measured: Sequence[tuple[Contrast, Bilateral[Array | Absent]]],
) -> Portrait:
    """Draw what the ROIs come of and hold: of the hemispheres with visual areas.

    Parameters
    ----------
    ground
        Surfaces to draw on, or the voxels of volumes, which are drawn in slices.
    measured
        Of contrasts of one task, the values in the ROIs as :func:`.measure.values_in` gives them.
    """
    layers = {
        half.side: _layers(
            half,
            maps,
            rois[half.side],
            {contrast.contrast: values[half.side] for contrast, values in measured},
            files,
        )
        for half in cortex
        if not isinstance(maps := half.retinotopy, Absent) and maps.inside.any()
        if isinstance(ground, Grid) or half.side in ground
    }
    if not layers:
        return Portrait(None)
    shown = [contrast for contrast, _ in measured]
    if isinstance(ground, Grid):
        return draw_slices(layers, ground, _legend(files, plan, shown))
    surfaces = tuple(dict.fromkeys(surface.description for surface in ground.values()))
    missing = [hemi for hemi in HEMISPHERES if hemi not in ground]
    try:
        return draw_cortex(layers, ground, _legend(files, plan, shown, surfaces, missing))
    except ValueError as error:
        return Portrait(
            None, messages=(f"the cortex is not drawn: {error} ({', '.join(surfaces)}).",)
        )


def draw_cortex(
    hemispheres: Mapping[Hemisphere, Layers],
    surfaces: Mapping[Hemisphere, DisplaySurface],
    legend: Legend,
) -> Portrait:
    """Draw the retinotopy, the localizer, the ROIs and what they hold on the cortex, as SVG.

    A row for each hemisphere; the columns are eccentricity, polar angle, z of the localizer
    contrasts (of more than :data:`~.panels.MAX_Z_PANELS`, their maximum), and the ROIs. Beside
    or below them are the measured contrasts inside the ROIs. Each vertex has its own value, none
    is smoothed; if a map is NaN, the cortex is grey, and striped inside an ROI that is measured.

    Parameters
    ----------
    hemispheres
        At least one, and each with at least a vertex that has a visual area.

    Raises
    ------
    ValueError
        If triangles are such a knot that they cannot be those of a surface.
    """
    notes = (
        *legend.notes,
        "Beside each row: the whole hemisphere with the part that is shown; a scale bar on the "
        "surface that is drawn; A anterior, D dorsal, L lateral.",
    )
    return _draw(look_at(hemispheres, surfaces), hemispheres, legend, notes, "Vertices")


def draw_slices(halves: Mapping[Hemisphere, Layers], grid: Grid, legend: Legend) -> Portrait:
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
        "the front. Beside each row: the whole slice with the part that is shown, and a scale bar."
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
) -> Portrait:
    """Draw a row for each view, what is measured below if it has no room, and words around."""
    columns, measured = columns_of(views, legend), measured_columns(views, legend)
    fit = len(columns) + len(measured) <= MOST_COLUMNS
    blocks = [[*columns, *measured]] if fit else [columns, measured]

    def describe(drawing: Drawing, corners: Sequence[tuple[float, float]]) -> None:
        (left, first), (beside, second) = corners[0], corners[-1]
        room = len(views) * int(_PANEL / _LINE) + 1
        drawing.write(left, first + 0.06, f"{counted} of each ROI", size=LETTERS)
        n_lines = _list_rois(drawing, hemispheres, left, first, room - len(measured) * fit)
        top = first - (n_lines + 1) * _LINE if fit else second
        _list_missing(drawing, hemispheres, beside, top, counted)

    return Portrait(draw_blocks(views, blocks, legend, notes, describe), small_rois(views))


def draw_blocks(
    views: Sequence[View],
    blocks: Sequence[Sequence[MapColumn]],
    legend: Legend,
    notes: Sequence[str],
    describe: Callable[[Drawing, Sequence[tuple[float, float]]], None],
) -> bytes:
    """Draw one or two blocks of maps, each with a row for each view, and words around, as SVG.

    Parameters
    ----------
    describe
        Writes beside the blocks, given the upper left corner of the room beside each, in inches.
    """
    width = _SIDE + max(map(len, blocks)) * (_PANEL + _GAP) + _LEGEND
    lines = wrap(notes, width - 0.16)
    rows = len(views) * (_PANEL + _GAP)
    height = _TITLE + len(blocks) * (_HEADING + rows) + _LINE * len(lines)
    height += sum(_SCALES[: len(blocks)])
    drawing = Drawing("cortex", width, height)
    title = shorten(legend.title, letters_in(0.8 * (width - 0.16)))
    drawing.write(0.08, height - 0.22, title, size=10, weight="bold")
    first = height - _TITLE - _HEADING
    tops = (first, first - rows - _SCALES[0] - _HEADING)[: len(blocks)]
    for top, columns in zip(tops, blocks, strict=True):
        for row, view in enumerate(views):
            low = top - row * (_PANEL + _GAP) - _PANEL
            _draw_side(drawing, view, low, with_overview=top == tops[0])
            for number, column in enumerate(columns):
                place = (_SIDE + number * (_PANEL + _GAP), low, _PANEL)
                draw_panel(drawing, view, column, place, legend.area_names)
        for number, column in enumerate(columns):
            left = _SIDE + number * (_PANEL + _GAP)
            heading = shorten(column.heading, letters_in(_PANEL))
            drawing.write(left + _PANEL / 2, top + 0.06, heading, size=LETTERS, ha="center")
            if column.explain is not None:
                column.explain(drawing, left, top - rows, _PANEL)
    lefts = (_SIDE + len(block) * (_PANEL + _GAP) + 0.1 for block in blocks)
    describe(drawing, list(zip(lefts, tops, strict=True)))
    for number, line in enumerate(lines, 1):
        drawing.write(0.08, 0.08 + (len(lines) - number) * _LINE, line, size=LETTERS)
    return drawing.encode()


def _draw_side(drawing: Drawing, view: View, low: float, *, with_overview: bool) -> None:
    """Write what a row shows; draw where it is, how large, and where anterior and dorsal are."""
    drawing.write(0.12, low + _PANEL - 0.02, view.name, size=LETTERS, weight="bold", va="top")
    if not with_overview:
        return
    _draw_overview(drawing, view, 0.1, low + 0.92, 0.52)
    _draw_bar(drawing, view, low + 0.83)
    unit = (_SIDE - 0.06) / 3
    centre = 0.02 + 1.5 * unit, low + 1.5 * unit
    for name, (x, y) in view.directions.items():
        if np.hypot(x, y) > 0.4:
            end = centre[0] + unit * x, centre[1] + unit * y
            drawing.line([centre, end], "#4d4d4d", 0.8)
            ahead = unit * (1 + 0.25 / np.hypot(x, y))
            at = centre[0] + ahead * x, centre[1] + ahead * y
            drawing.write(*at, name[0].upper(), size=7.5, ha="center", va="center")


def _draw_overview(drawing: Drawing, view: View, left: float, bottom: float, size: float) -> None:
    """Draw the whole hemisphere or slice with its visual areas, and a frame around the window."""
    seen = view.overview >= 0
    shown = view.overview[seen]
    pixels = np.ones(view.overview.shape)
    pixels[seen] = np.where(view.layers.visual_area[shown] > 0, 0.4, view.grey[shown])
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    of_greys = np.round(255 * pixels[::-1]).astype(np.uint8)
    drawing.pixels(png(of_greys, greys), left, bottom, size, size)
    scale = size / (2 * view.whole.half_width)
    from_left, _, from_bottom, _ = view.whole.limits
    x, _, y, _ = view.window.limits
    wide = 2 * view.window.half_width * scale
    corner = left + (x - from_left) * scale, bottom + (y - from_bottom) * scale
    drawing.rectangle(*corner, wide, wide, "none", edge="black", line=0.8)


def _draw_bar(drawing: Drawing, view: View, y: float) -> None:
    """Draw a bar of a round number of mm."""
    inches = _PANEL / (2 * view.window.half_width)
    length = next((mm for mm in _BARS if mm * inches <= 0.55), _BARS[-1])
    with drawing.part("bar"):
        drawing.line([(0.12, y), (0.12 + length * inches, y)], "black", 1.5)
    drawing.write(0.12, y - 0.13, f"{length} mm", size=7.5)


def _list_rois(
    drawing: Drawing, hemispheres: Mapping[Hemisphere, Layers], left: float, top: float, most: int
) -> int:
    """List the ROIs with their colours and sizes, as far as there is room; return the lines."""
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
    if any(layers.overlapping.any() for layers in hemispheres.values()):
        lines.append(("none", "white: in several ROIs"))
    for number, (colour, text) in enumerate(lines):
        y = top - 0.15 - number * _LINE
        if colour != "none":
            drawing.rectangle(left, y, 0.11, 0.11, colour)
        drawing.write(left + 0.18, y + 0.01, text, size=LETTERS)
    return len(lines)


def _list_missing(
    drawing: Drawing,
    hemispheres: Mapping[Hemisphere, Layers],
    left: float,
    top: float,
    counted: str,
) -> None:
    """Say how much of the ROIs has no value in each measured contrast, if any has none."""
    missing = {
        name: {hemi: int(without_value(of, name).sum()) for hemi, of in hemispheres.items()}
        for name in next(iter(hemispheres.values())).measured
    }
    lines = [
        (name, ", ".join(f"{n} {hemi}" for hemi, n in counts.items()))
        for name, counts in missing.items()
        if any(counts.values())
    ]
    if not lines:
        return
    swatch = np.repeat(np.round(255 * stripes(16)).astype(np.uint8), 3, axis=2)
    drawing.pixels(png(swatch), left, top - 0.15, 0.11, 0.11)
    drawing.write(left + 0.18, top - 0.14, f"{counted} without data", size=LETTERS)
    for number, (name, counts) in enumerate(lines, 2):
        room = letters_in(_LEGEND - 0.35 - CHARACTER * len(counts))
        y = top - 0.14 - (number - 1) * _LINE
        drawing.write(left + 0.18, y, f"{shorten(name, room)}: {counts}", size=LETTERS)


def _layers(
    half: Cortex,
    maps: Retinotopy,
    rois: Rois,
    measured: Mapping[str, Array | Absent],
    files: ParticipantFiles,
) -> Layers:
    """Put together what is drawn of a hemisphere; areas of files of their own are labelled too."""
    areas = label_areas(maps, other_areas(files))
    parts = rois.values()
    retinotopic = [p.retinotopic for p in parts if not isinstance(p.retinotopic, Absent)]
    return Layers(
        visual_area=areas,
        eccentricity=maps.eccentricity,
        polar_angle=maps.polar_angle,
        z_maps={name: _if_there(z) for name, z in half.localizer.items()},
        retinotopic=np.any([np.zeros(areas.size, dtype=bool), *retinotopic], axis=0),
        rois={name: _if_there(part.roi) for name, part in rois.items()},
        measured={name: _spread(values, rois) for name, values in measured.items()},
    )


def _spread(values: Array | Absent, rois: Rois) -> Array | None:
    """Put values of the vertices in ROIs where they belong; elsewhere is NaN."""
    inside = in_any(rois)
    if isinstance(values, Absent) or isinstance(inside, Absent):
        return None
    spread = np.full(inside.size, np.nan)
    spread[inside] = values
    return spread


def _if_there(part: Array | Absent | None) -> Array | None:
    return None if isinstance(part, Absent) else part


def _legend(
    files: ParticipantFiles,
    plan: Plan,
    measured: Sequence[Contrast],
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
            f"Localizer: paler if it does not pass the threshold ({' or '.join(passing)})."
        )
    if measured:
        first = measured[0]
        n_there = sum((c.session, c.task) == (first.session, first.task) for c in files.contrasts)
        few = f"the first {len(measured)} of {n_there} " if n_there > len(measured) else ""
        session = "" if first.session is None else f", session {first.session}"
        notes.append(
            f"Inside the ROIs (black outlines): {few}contrasts of task {first.task}{session}, on "
            "one scale around 0."
        )
    notes += [f"Surface: {surface}." for surface in surfaces]
    notes += [f"Hemisphere {hemi} is not drawn; see the messages of the run." for hemi in not_drawn]
    return Legend(
        title=f"sub-{files.label}, {f'space {plan.space}' if plan.space else 'space unknown'}, "
        f"retinotopy {files.retinotopy_source}",
        notes=tuple(notes),
        area_names=area_names(other_areas(files)),
        eccentricity=(min(low for low, _ in limits), max(high for _, high in limits)),
        faded=common,
        unit=axis_label(plan.statistic, plan.wording.units),
    )
