"""The page on which the maps of a group can be turned, on the template that they are on."""

from collections.abc import Mapping, Sequence

import numpy as np

from bids_secondlevel.core.group_maps import MOST, GroupMaps, MapTest
from bids_secondlevel.core.hemispheres import HEMISPHERES, POOLS, Hemisphere
from bids_secondlevel.core.roi_rule import roi_colours
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.core.wording import Wording
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.reports.charts.style import axis_label
from bids_secondlevel.reports.cortex.painting import scale_around_zero
from bids_secondlevel.reports.explore.cut import REACH, cut
from bids_secondlevel.reports.explore.pack import rounded
from bids_secondlevel.reports.explore.scene import (
    AREAS,
    MOST_BYTES,
    ExploredRoi,
    Half,
    Layer,
    Numbers,
    Scene,
    bits,
    render_scene,
    whole_numbers,
)
from bids_secondlevel.stats.vertices import LEVEL

_FEW = 20_000
"""A surface of as many vertices is kept whole."""


def group_explorer_page(
    maps: GroupMaps,
    surfaces: Mapping[Hemisphere, DisplaySurface],
    statistic: str,
    wording: Wording,
    title: str,
) -> bytes | None:
    """Make the page of a group.

    Parameters
    ----------
    statistic
        What the maps hold.

    Returns
    -------
    bytes
        At most :data:`~.scene.MOST_BYTES`, to which end it goes without the last tests; ``None``
        if there is no surface, or nothing to show on it.
    """
    sides = [side for side in HEMISPHERES if side in surfaces and _around(maps, side).any()]
    if not sides:
        return None
    whole = maps.cortex.n_vertices <= _FEW
    cutouts = {
        side: cut(surfaces[side].mesh, _around(maps, side), np.inf if whole else REACH)
        for side in sides
    }

    def with_tests(tests: Sequence[MapTest]) -> bytes:
        halves = [
            Half(
                side=side,
                surface=surfaces[side],
                cutout=cutouts[side],
                arrays=_arrays(maps, tests, side, cutouts[side].vertices),
            )
            for side in sides
        ]
        words = wording.among([*maps.cortex.rois, *(test.contrast for test in tests)])
        n_left = len(maps.tests) - len(tests)
        return render_scene(
            Scene(
                kind="group",
                title=title,
                home="group.html",
                halves=halves,
                layers=_layers(maps, tests, halves, axis_label(statistic, words.units), words),
                first="effect.0" if tests else "region",
                rois=_rois(maps, words),
                found=_sizes(maps),
                notes=[f"To keep the page small, it goes without {n_left} of the tests."]
                if n_left
                else [],
            )
        )

    tests = maps.tests
    page = with_tests(tests)
    while len(page) > MOST_BYTES and tests:
        tests = tests[:-1]
        page = with_tests(tests)
    return page


def _around(maps: GroupMaps, side: Hemisphere) -> Mask:
    """Tell which vertices the page is about."""
    cortex = maps.cortex
    in_rois = [share[side] > 0 for share in cortex.rois.values()]
    around: Mask = np.any([cortex.in_region[side], cortex.areas[side] > 0, *in_rois], axis=0)
    return around


def _arrays(
    maps: GroupMaps, tests: Sequence[MapTest], side: Hemisphere, vertices: Array
) -> dict[str, Array]:
    """Give shares of participants as they are, and what was tested in three digits."""
    cortex, nowhere = maps.cortex, np.zeros(len(vertices), dtype=bool)
    own: dict[str, Array] = {
        "vertices": vertices.astype(np.uint32),
        AREAS: whole_numbers(cortex.areas[side][vertices]),
        "region": cortex.region[side][vertices].astype(np.float32),
    }
    for place, share in enumerate(cortex.rois.values()):
        own[f"share.{place}"] = share[side][vertices].astype(np.float32)
        own[f"part.{place}"] = bits(cortex.in_region[side][vertices])
    for place, test in enumerate(tests):
        found = test.vertices[side]
        named = {"effect": found.effect, "t": found.t}
        if test.n_permutations:
            named |= {"p": found.p, "pRegion": found.p_region}
        for name, values in named.items():
            own[f"{name}.{place}"] = rounded(values[vertices].astype(np.float32), nowhere)
    return own


def _layers(
    maps: GroupMaps,
    tests: Sequence[MapTest],
    halves: Sequence[Half],
    unit: str,
    wording: Wording,
) -> list[Layer]:
    """List the maps to choose from: areas, shares, effects with their t and p."""
    share = "share of participants"
    layers = [
        Layer(name="Visual areas of most participants", heading="Retinotopy", array=AREAS),
        Layer(
            name=f"Participants with {maps.cortex.region_name}",
            heading="Retinotopy",
            array="region",
            colours="viridis",
            is_share=True,
            unit=share,
        ),
    ]
    layers += [
        Layer(
            name=f"Participants with ROI {wording.name(roi)}",
            heading="ROIs",
            array=f"share.{place}",
            colours="viridis",
            is_share=True,
            unit=share,
        )
        for place, roi in enumerate(maps.cortex.rois)
    ]
    for place, test in enumerate(tests):
        title = test.title.replace(test.contrast, wording.name(test.contrast), 1)
        corrected = ("pRegion", "p") if test.n_permutations else ()
        p_values = tuple(f"{name}.{place}" for name in corrected)
        said = (
            f"paler if p is not below {LEVEL:g}, corrected for the retinotopic region and, outside "
            "it, for the whole cortex"
        )
        for name, called, units in (("effect", "Mean", unit), ("t", "t", "t")):
            there = [half.arrays[f"{name}.{place}"] for half in halves]
            layers.append(
                Layer(
                    name=f"{called}: {title}",
                    heading="Tests",
                    array=f"{name}.{place}",
                    colours="RdBu_r",
                    ends=scale_around_zero(there, units).ends,
                    unit=units,
                    said=said if p_values else "",
                    p_values=p_values,
                )
            )
        for name, where in (("p", "whole cortex"), ("pRegion", "retinotopic region")):
            if name in corrected:
                layers.append(
                    Layer(
                        name=f"p corrected for the {where}: {title}",
                        heading="Tests",
                        array=f"{name}.{place}",
                        colours="viridis",
                        ends=(2 * LEVEL, 0.0),
                        unit="p",
                    )
                )
    return layers


def _rois(maps: GroupMaps, wording: Wording) -> list[ExploredRoi]:
    colours = roi_colours(list(maps.cortex.rois))
    return [
        ExploredRoi(
            name=wording.name(roi),
            colour=colours[roi],
            kind="share",
            threshold=MOST,
            in_words=f"at least {MOST:.0%} of the participants",
        )
        for roi in maps.cortex.rois
    ]


def _sizes(maps: GroupMaps) -> Numbers:
    """Count the vertices that most participants have in their ROIs."""
    sizes: dict[str, float | None] = {
        f"{place}.{hemi}": float(sum((share[side] >= MOST).sum() for side in sides))
        for place, share in enumerate(maps.cortex.rois.values())
        for hemi, sides in POOLS.items()
    }
    return Numbers(sizes=sizes)
