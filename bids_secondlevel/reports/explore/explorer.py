"""The page on which the cortex of a participant can be turned and thresholds be tried.

The page computes ROIs and estimates by itself, from the values and rules that it is given here:
z and effects of the vertices that can be in an ROI are those of the maps to the last bit, all
others are rounded. The same values give the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bids_secondlevel.core.definition import threshold_in_words
from bids_secondlevel.core.files import Contrast, Plan
from bids_secondlevel.core.hemispheres import Bilateral, Hemisphere
from bids_secondlevel.core.results import ParticipantResults
from bids_secondlevel.core.roi_rule import roi_colours
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.values import Absent, Array, Mask, Retinotopy, Rois
from bids_secondlevel.core.wording import Wording
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.reports.charts.style import axis_label
from bids_secondlevel.reports.cortex.painting import scale_around_zero
from bids_secondlevel.reports.cortex.view import label_areas
from bids_secondlevel.reports.explore.cut import REACH, Cutout, cut
from bids_secondlevel.reports.explore.pack import float_of, rounded
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

_LEAST_Z = 4.0
"""At the ends of the scale of z, at least."""

Measured = Sequence[tuple[Contrast, Bilateral[Array | Absent]]]
"""Contrasts with their values at the vertices of any visual area."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Source:
    """What a hemisphere has, at all its vertices."""

    cortex: Cortex
    retinotopy: Retinotopy
    rois: Rois
    surface: DisplaySurface | None
    cutout: Cutout | None
    labels: Array
    """Of the visual areas, 0 is none."""
    measured: Sequence[Array | Absent]
    """At the vertices of any visual area only."""

    @cached_property
    def vertices(self) -> Array:
        """Numbers of the vertices that are explored, in ascending order."""
        return np.flatnonzero(self.inside) if self.cutout is None else self.cutout.vertices

    @cached_property
    def inside(self) -> Mask:
        """In any visual area."""
        return self.retinotopy.inside

    @cached_property
    def decisive(self) -> Mask:
        """In the retinotopic part of any ROI: these vertices can be in an ROI."""
        there = [p.retinotopic for p in self.rois.values() if not isinstance(p.retinotopic, Absent)]
        decisive: Mask = np.any([np.zeros(self.inside.size, dtype=bool), *there], axis=0)
        return decisive

    def spread(self, values: Array) -> Array:
        """Put values of the visual areas where they belong; elsewhere is NaN."""
        spread = np.full(self.inside.size, np.nan, dtype=float_of(values))
        spread[self.inside] = values
        return spread

    def floats(self, values: Array, shown: Mask, exact: Mask) -> Array:
        """Take values of the vertices: exact ones, and those that are shown, rounded."""
        there = np.where(shown | exact, values, np.nan).astype(float_of(values))[self.vertices]
        return rounded(there, exact[self.vertices])


def explorer_page(
    results: ParticipantResults,
    cortex: Bilateral[Cortex],
    rois: Bilateral[Rois],
    *,
    surfaces: Mapping[Hemisphere, DisplaySurface],
    measured: Measured,
    plan: Plan,
    others: Sequence[str],
) -> bytes | None:
    """Make the page of a participant; ``None`` if there is no surface to show.

    Parameters
    ----------
    surfaces
        To show maps on; the numbers of a hemisphere without one are on the page all the same.
    measured
        Every contrast, with its values at the vertices of any visual area.
    others
        Visual areas that are given in files of their own.

    Returns
    -------
    bytes or None
        At most :data:`~.scene.MOST_BYTES`. To that end the page goes without values that cannot be
        in an ROI, then without contrasts, those of the localizer first; it says so.
    """
    if not surfaces:
        return None
    measured = sorted(measured, key=lambda of: of[0].task == plan.localizer_task)
    sources = [
        _Source(
            cortex=half,
            retinotopy=maps,
            rois=rois[half.side],
            surface=surface,
            cutout=None if surface is None else cut(surface.mesh, maps.inside, REACH),
            labels=label_areas(maps, others),
            measured=[values[half.side] for _, values in measured],
        )
        for half in cortex
        if not isinstance(maps := half.retinotopy, Absent)
        for surface in [surfaces.get(half.side)]
    ]

    def with_contrasts(n_shown: int, *, only_decisive: bool) -> bytes:
        contrasts = [contrast for contrast, _ in measured[:n_shown]]
        halves = [_half(of, plan, n_shown, only_decisive=only_decisive) for of in sources]
        notes = _left_out(n_shown, len(measured), only_decisive=only_decisive)
        return render_scene(_scene(results, halves, contrasts, plan, others=others, notes=notes))

    n_shown = len(measured)
    page = with_contrasts(n_shown, only_decisive=False)
    if len(page) > MOST_BYTES:
        page = with_contrasts(n_shown, only_decisive=True)
    if len(page) > MOST_BYTES:
        least = len(with_contrasts(0, only_decisive=True))
        n_shown = int(n_shown * max(0, MOST_BYTES - least) / (len(page) - least))
        page = with_contrasts(n_shown, only_decisive=True)
    while len(page) > MOST_BYTES and n_shown > 0:
        n_shown -= 1
        page = with_contrasts(n_shown, only_decisive=True)
    return page


def _half(source: _Source, plan: Plan, n_shown: int, *, only_decisive: bool) -> Half:
    """Give what the page has of a hemisphere, at the vertices that are explored."""
    maps, nowhere = source.retinotopy, np.zeros(source.inside.size, dtype=bool)
    own: dict[str, Array] = {
        "vertices": source.vertices.astype(np.uint32),
        AREAS: whole_numbers(source.labels[source.vertices]),
        "eccentricity": source.floats(maps.eccentricity, source.inside, nowhere),
    }
    if maps.polar_angle is not None:
        own["polarAngle"] = source.floats(maps.polar_angle, source.inside, nowhere)
    for place, name in enumerate(_localizer(plan)):
        z = source.cortex.localizer[name]
        if not isinstance(z, Absent):
            shown = source.inside if only_decisive else ~nowhere
            own[f"z.{place}"] = source.floats(z, shown, source.decisive)
    for place, values in enumerate(source.measured[:n_shown]):
        if not isinstance(values, Absent):
            shown = source.decisive if only_decisive else source.inside
            own[f"measured.{place}"] = source.floats(source.spread(values), shown, source.decisive)
    if plan.summary == "area-weighted-mean" and source.cortex.areas is not None:
        own["areas"] = np.asarray(source.cortex.areas, dtype=np.float64)[source.vertices]
    for place, roi in enumerate(plan.rois):
        masks = source.rois[roi.name]
        if not isinstance(masks.retinotopic, Absent):
            own[f"part.{place}"] = bits(masks.retinotopic[source.vertices])
        localized = masks.localized if roi.rule.threshold_kind == "fdr" else None
        if localized is not None and not isinstance(localized, Absent):
            own[f"localized.{place}"] = bits(localized[source.vertices])
    side = source.cortex.side
    return Half(side=side, surface=source.surface, cutout=source.cutout, arrays=own)


def _scene(
    results: ParticipantResults,
    halves: Sequence[Half],
    contrasts: Sequence[Contrast],
    plan: Plan,
    *,
    others: Sequence[str],
    notes: Sequence[str],
) -> Scene:
    """Say what the page shows, and by which rules it computes."""
    wording = results.definition.wording.among(
        [*results.definition.labels, *(contrast.contrast for contrast in contrasts)]
    )
    localizer = _localizer(plan)
    title = name = results.participant_id
    if results.session:
        title, name = f"{title}, session {results.session}", f"{name}_ses-{results.session}"
    return Scene(
        kind="participant",
        title=title,
        home=f"{name}.html",
        halves=halves,
        first="eccentricity",
        layers=_layers(halves, contrasts, localizer, plan, wording),
        rois=_rois(localizer, plan, wording),
        found=_numbers(results, contrasts, plan),
        other_areas=others,
        localizer=[wording.name(name) for name in localizer],
        measured=[_named(contrast, wording) for contrast in contrasts],
        units=wording.units,
        summary=plan.summary,
        notes=notes,
    )


def _localizer(plan: Plan) -> list[str]:
    """List the localizer contrasts that any ROI needs; the page knows them by their places."""
    return list(dict.fromkeys(name for roi in plan.rois for name in roi.needed))


def _named(contrast: Contrast, wording: Wording) -> str:
    session = "" if contrast.session is None else f", session {contrast.session}"
    return f"{wording.name(contrast.contrast)} ({contrast.task}{session})"


def _layers(
    halves: Sequence[Half],
    contrasts: Sequence[Contrast],
    localizer: Sequence[str],
    plan: Plan,
    wording: Wording,
) -> list[Layer]:
    """List the maps to choose from."""
    limits = [roi.rule.limits[1] for roi in plan.rois if roi.rule.limits is not None]
    layers = [
        Layer(name="Visual areas", heading="Retinotopy", array=AREAS),
        Layer(
            name="Eccentricity",
            heading="Retinotopy",
            array="eccentricity",
            colours="viridis",
            ends=(0.0, 2 * max(limits, default=5.0)),
            unit="degrees, the last colour also beyond",
            suffix="°",
        ),
    ]
    if any("polarAngle" in half.arrays for half in halves):
        layers.append(
            Layer(
                name="Polar angle",
                heading="Retinotopy",
                array="polarAngle",
                colours="twilight",
                ends=(-180.0, 180.0),
                is_wheel=True,
                suffix="°",
            )
        )

    def values_of(array: str) -> list[Array]:
        return [half.arrays[array] for half in halves if array in half.arrays]

    z_maps = [values for place in range(len(localizer)) for values in values_of(f"z.{place}")]
    largest = float(np.ceil(max(_LEAST_Z, scale_around_zero(z_maps, "z").ends[1])))
    layers += [
        Layer(
            name=f"z of {wording.name(name)}",
            heading="Localizer",
            array=f"z.{place}",
            colours="RdBu_r",
            ends=(-largest, largest),
            unit="z",
            localizer=place,
        )
        for place, name in enumerate(localizer)
    ]
    unit = axis_label(plan.statistic, wording.units)
    for place, contrast in enumerate(contrasts):
        scaled = scale_around_zero(values_of(f"measured.{place}"), unit)
        layers.append(
            Layer(
                name=_named(contrast, wording),
                heading="Measured contrasts",
                array=f"measured.{place}",
                colours=scaled.colours,
                ends=scaled.ends,
                unit=scaled.unit,
            )
        )
    return layers


def _rois(localizer: Sequence[str], plan: Plan, wording: Wording) -> list[ExploredRoi]:
    """Give the rules of the ROIs; contrasts are places in the list of those of the localizer."""
    colours = roi_colours([roi.name for roi in plan.rois])
    return [
        ExploredRoi(
            name=wording.name(roi.name),
            colour=colours[roi.name],
            kind=roi.rule.threshold_kind,
            threshold=roi.rule.localizer_threshold,
            in_words=threshold_in_words(roi.rule) if roi.contrasts else "no localizer",
            contrasts=tuple(map(localizer.index, roi.contrasts)),
            exclude=tuple(map(localizer.index, roi.exclude)),
            combine=roi.combine,
            tail=roi.rule.tail,
            exclusive=roi.rule.exclusive,
            min_vertices=roi.rule.min_vertices,
        )
        for roi in plan.rois
    ]


def _numbers(results: ParticipantResults, contrasts: Sequence[Contrast], plan: Plan) -> Numbers:
    """List sizes and estimates of the run."""
    roi_places = {roi.name: str(place) for place, roi in enumerate(plan.rois)}
    places = {(c.session, c.task, c.contrast): str(place) for place, c in enumerate(contrasts)}
    quality, table = results.quality, results.estimates
    sizes = {
        f"{roi_places[roi]}.{hemi}": None if np.isnan(n) else n
        for roi, hemi, n in zip(quality["roi"], quality["hemi"], quality["n_vertices"], strict=True)
    }
    columns = ["session", "task", "contrast", "roi", "hemi", "estimate", "status", "independence"]
    estimates: dict[str, tuple[float | None, str, str]] = {}
    for session, task, contrast, roi, hemi, estimate, status, independence in zip(
        *(table[name] for name in columns), strict=True
    ):
        place = places.get((None if session == MISSING else session, task, contrast))
        if place is not None:
            found = None if np.isnan(estimate) else estimate
            estimates[f"{roi_places[roi]}.{place}.{hemi}"] = (found, status, independence)
    return Numbers(sizes=sizes, estimates=estimates)


def _left_out(n_shown: int, n_there: int, *, only_decisive: bool) -> list[str]:
    """Say what a page leaves out so as not to be too large."""
    if not only_decisive:
        return []
    text = [
        "To keep the page small, contrasts are shown only in the retinotopy mask, and z only in "
        "visual areas."
    ]
    if n_shown < n_there:
        text.append(f"It has {n_shown} of the {n_there} measured contrasts: the first.")
    return text
