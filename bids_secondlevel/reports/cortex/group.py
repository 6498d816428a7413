"""The picture of the maps of a group: where ROIs lie, and what was found at each vertex."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from bids_secondlevel.core.group_maps import MOST, GroupMaps, MapTest
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.roi_rule import VISUAL_AREAS
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.core.wording import Wording
from bids_secondlevel.core.words import counted
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.reports.charts.layout import letters_in
from bids_secondlevel.reports.charts.style import axis_label, shorten
from bids_secondlevel.reports.cortex.painting import Scale, scale_around_zero
from bids_secondlevel.reports.cortex.panels import Legend, MapColumn, draw_scale, outline_roi
from bids_secondlevel.reports.cortex.picture import LETTERS, MOST_COLUMNS, draw_blocks
from bids_secondlevel.reports.cortex.view import Layers, look_at
from bids_secondlevel.reports.drawing import Drawing
from bids_secondlevel.stats.vertices import LEVEL

_MOST_ROIS = 7
_PALE = 0.35
_SIGNIFICANT = "#009e73"
_SHARES = Scale(
    colours="viridis",
    ends=(0.0, 1.0),
    ticks=(MOST, 0.0, 1.0),
    marks=(MOST,),
    unit="share of participants",
)


def draw_group_maps(
    maps: GroupMaps,
    surfaces: Mapping[Hemisphere, DisplaySurface],
    statistic: str,
    wording: Wording,
    heading: str,
) -> bytes | None:
    """Draw shares of participants and mean effects around the visual areas, as SVG.

    Parameters
    ----------
    statistic
        What the maps hold.

    Returns
    -------
    bytes
        ``None`` if there is no surface, or no visual area.
    """
    cortex = maps.cortex
    sides = [
        side
        for side in HEMISPHERES
        if side in surfaces and (cortex.areas[side].any() or cortex.in_region[side].any())
    ]
    if not sides:
        return None
    rois = dict(list(cortex.rois.items())[:_MOST_ROIS])
    label = wording.among([*rois, *(test.contrast for test in maps.tests)]).name
    names = [f"test {number}" for number, _ in enumerate(maps.tests)]  # labels have no space
    titles = [": ".join(filter(None, (of.whose, label(of.contrast)))) for of in maps.tests]
    in_view = [
        test.vertices[side].effect[_around(maps, side)] for test in maps.tests for side in sides
    ]
    effects = scale_around_zero(in_view, axis_label(statistic, wording.units))
    layers = {side: _layers(maps, side, list(rois), names, effects) for side in sides}
    shares = [
        MapColumn(
            heading=heading,
            paint=partial(_painted, name=name),
            explain=partial(draw_scale, scale=_SHARES) if number == 0 else None,
            shows_areas=number == 0,
            names_areas=number == 0,
        )
        for number, (name, heading) in enumerate(
            [("", cortex.region_name), *((roi, f"ROI {label(roi)}") for roi in rois)]
        )
    ]
    tested = [
        MapColumn(
            heading=title,
            paint=partial(_painted, name=name),
            explain=partial(draw_scale, scale=effects) if number == 0 else None,
            shows_areas=True,
            outline_rois=partial(outline_roi, name=name, colour=_SIGNIFICANT),
        )
        for number, (name, title) in enumerate(zip(names, titles, strict=True))
    ]
    fit = len(shares) + len(tested) <= MOST_COLUMNS
    blocks = [[*shares, *tested]] if fit else [shares, tested]

    def describe(drawing: Drawing, corners: Sequence[tuple[float, float]]) -> None:
        left, top = corners[0]
        n = counted(len(cortex.participants), "participant")
        drawing.write(left, top + 0.06, n, size=LETTERS)
        drawing.write(left, top - 0.14, "with masks", size=LETTERS)
        if maps.tests:
            left, top = corners[-1]
            top -= 0.6 * fit
            drawing.write(left, top + 0.06, "Participants tested", size=LETTERS)
            for number, (title, test) in enumerate(zip(titles, maps.tests, strict=True)):
                said = f"{shorten(title, letters_in(1.5))}: {len(test.participants)}"
                drawing.write(left, top - 0.14 - 0.17 * number, said, size=LETTERS)

    legend = Legend(
        title=heading,
        notes=(),
        area_names={number: name for name, number in VISUAL_AREAS.items()},
        eccentricity=(0.0, 0.0),
    )
    return draw_blocks(
        look_at(layers, {side: surfaces[side] for side in sides}),
        blocks,
        legend,
        _notes(maps, [surfaces[side] for side in sides], len(rois)),
        describe,
    )


def _around(maps: GroupMaps, side: Hemisphere) -> Mask:
    """Tell which vertices the scale of effects is made for."""
    inside: Mask = maps.cortex.in_region[side] | (maps.cortex.areas[side] > 0)
    return inside


def _layers(
    maps: GroupMaps, side: Hemisphere, rois: Sequence[str], names: Sequence[str], effects: Scale
) -> Layers:
    cortex = maps.cortex
    shares = {"": cortex.region[side], **{roi: cortex.rois[roi][side] for roi in rois}}
    significant = {
        name: test.vertices[side].p < LEVEL for name, test in zip(names, maps.tests, strict=True)
    }
    return Layers(
        visual_area=cortex.areas[side],
        eccentricity=np.zeros(cortex.n_vertices),
        polar_angle=None,
        z_maps={},
        retinotopic=cortex.in_region[side],
        rois=significant,
        painted={
            **{name: _SHARES.paint(share, share > 0) for name, share in shares.items()},
            **{
                name: _paint_effect(test, side, effects)
                for name, test in zip(names, maps.tests, strict=True)
            },
        },
    )


def _paint_effect(test: MapTest, side: Hemisphere, scale: Scale) -> Array:
    """Paint effects, paler if p is not below the level: in the region that of the region."""
    vertices = test.vertices[side]
    painted = scale.paint(vertices.effect, np.isfinite(vertices.effect))
    if test.n_permutations:
        p = np.where(np.isfinite(vertices.p_region), vertices.p_region, vertices.p)
        painted[~(p < LEVEL), 3] *= _PALE
    return painted


def _painted(layers: Layers, name: str) -> Array:
    return layers.painted[name]


def _notes(maps: GroupMaps, surfaces: Sequence[DisplaySurface], n_rois: int) -> list[str]:
    cortex = maps.cortex
    notes = [
        f"Black line: {cortex.region_name} within its range of eccentricity, in at least half of "
        "the participants. White lines: borders of the visual areas of most participants.",
    ]
    if len(cortex.rois) > n_rois:
        notes.append(f"The first {n_rois} of {counted(len(cortex.rois), 'ROI')}.")
    if any(test.n_permutations for test in maps.tests):
        notes.append(
            f"Effects are paler if p is not below {LEVEL:g}. Inside the black line, p is corrected "
            "for the vertices there, and outside for the whole cortex. Green line: p is below "
            f"{LEVEL:g} corrected for the whole cortex."
        )
    notes += dict.fromkeys(f"Surface: {surface.description}." for surface in surfaces)
    return notes
