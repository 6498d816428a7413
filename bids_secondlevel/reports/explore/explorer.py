"""The page on which the cortex of a participant can be turned and thresholds be tried.

The page computes ROIs and estimates by itself, from the values and rules that it is given here:
z and effects of the vertices that can be in an ROI are those of the maps to the last bit, all
others are rounded. The same values give the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np

from bids_secondlevel import __version__
from bids_secondlevel.core.definition import threshold_in_words
from bids_secondlevel.core.files import Contrast, Plan
from bids_secondlevel.core.hemispheres import Bilateral, Hemisphere
from bids_secondlevel.core.results import ParticipantResults
from bids_secondlevel.core.roi_rule import roi_colours
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.values import Absent, Array, Mask, Retinotopy, Rois
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.reports.colours import scale
from bids_secondlevel.reports.cortex.view import GROUND, area_names, label_areas
from bids_secondlevel.reports.explore.cut import Cutout, cut
from bids_secondlevel.reports.explore.pack import Packed, pack, rounded

MOST_BYTES = 4_000_000
"""Of a page."""

_REACH = 10.0
"""Around the visual areas, in mm: within it, each vertex is kept."""

_STEPS = 4095
"""In which positions are given, along the longest axis of a surface."""

_COLOURS = ("viridis", "twilight", "RdBu_r")
"""Scales of :mod:`~.reports.colours` that the page paints with."""

_SHAPES = {
    "inflated": "Inflated surfaces, whose distances are not those of the folded cortex",
    "sphere": "Spheres, as no inflated surface was found",
    "folded": "Folded surfaces, as no inflated surface was found",
}

_SCRIPTS = ("twgl.js", "numbers.js", "surface.js", "controls.js")

Measured = Sequence[tuple[Contrast, Bilateral[Array | Absent]]]
"""Contrasts with their values at the vertices of any visual area."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Half:
    """What is explored of a hemisphere."""

    cortex: Cortex
    retinotopy: Retinotopy
    rois: Rois
    surface: DisplaySurface | None
    cutout: Cutout | None
    labels: Array
    """Of the visual areas, 0 is none, of all vertices."""
    measured: Sequence[Array | Absent]
    """At the vertices of any visual area."""

    @cached_property
    def vertices(self) -> Array:
        """Numbers of the vertices that are explored, in ascending order."""
        if self.cutout is None:
            return np.flatnonzero(self.inside)
        return self.cutout.vertices

    @cached_property
    def inside(self) -> Mask:
        """In any visual area, of all vertices."""
        return self.retinotopy.inside

    @cached_property
    def decisive(self) -> Mask:
        """In the retinotopic part of any ROI, of all vertices: they can be in an ROI."""
        there = [p.retinotopic for p in self.rois.values() if not isinstance(p.retinotopic, Absent)]
        decisive: Mask = np.any([np.zeros(self.inside.size, dtype=bool), *there], axis=0)
        return decisive

    def spread(self, values: Array) -> Array:
        """Put values of the visual areas where they belong; elsewhere is NaN."""
        spread = np.full(self.inside.size, np.nan, dtype=_float_of(values))
        spread[self.inside] = values
        return spread

    def floats(self, values: Array, shown: Mask, exact: Mask) -> Array:
        """Take values of the vertices: exact ones, and those that are shown, rounded."""
        there = np.where(shown | exact, values, np.nan).astype(_float_of(values))[self.vertices]
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
        At most :data:`MOST_BYTES`. To that end the page goes without values that cannot be
        in an ROI, then without contrasts, those of the localizer first; it says so.
    """
    if not surfaces:
        return None
    measured = sorted(measured, key=lambda of: of[0].task == plan.localizer_task)
    halves = [
        _Half(
            cortex=half,
            retinotopy=maps,
            rois=rois[half.side],
            surface=surface,
            cutout=None if surface is None else cut(surface.mesh, maps.inside, _REACH),
            labels=label_areas(maps, others),
            measured=[values[half.side] for _, values in measured],
        )
        for half in cortex
        if not isinstance(maps := half.retinotopy, Absent)
        for surface in [surfaces.get(half.side)]
    ]

    def with_contrasts(n_shown: int, *, only_decisive: bool) -> bytes:
        packed = pack(_arrays(halves, plan, n_shown, only_decisive=only_decisive))
        about = {
            **_about(results, halves, [contrast for contrast, _ in measured[:n_shown]], plan),
            "areaNames": _names_of_areas(halves, others),
            "directory": packed.directory,
        }
        left_out = _left_out(n_shown, len(measured), only_decisive=only_decisive)
        return _render(results, about, packed, left_out)

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


def _arrays(
    halves: Sequence[_Half], plan: Plan, n_shown: int, *, only_decisive: bool
) -> dict[str, Array]:
    """Give everything that the page has of vertices and triangles, by hemisphere."""
    arrays: dict[str, Array] = {f"colours.{name}": scale(name).reshape(-1) for name in _COLOURS}
    for half in halves:
        own = _mesh_arrays(half) | _map_arrays(half, only_decisive=only_decisive)
        for place, values in enumerate(half.measured[:n_shown]):
            if not isinstance(values, Absent):
                of_all = half.spread(values)
                shown = half.decisive if only_decisive else half.inside
                own[f"measured.{place}"] = half.floats(of_all, shown, half.decisive)
        if plan.summary == "area-weighted-mean" and half.cortex.areas is not None:
            own["areas"] = np.asarray(half.cortex.areas, dtype=np.float64)[half.vertices]
        for place, roi in enumerate(plan.rois):
            masks = half.rois[roi.name]
            if not isinstance(masks.retinotopic, Absent):
                own[f"part.{place}"] = masks.retinotopic[half.vertices].astype(np.uint8)
            localized = masks.localized if roi.rule.threshold_kind == "fdr" else None
            if localized is not None and not isinstance(localized, Absent):
                own[f"localized.{place}"] = localized[half.vertices].astype(np.uint8)
        arrays |= {f"{half.cortex.side}.{name}": values for name, values in own.items()}
    return arrays


def _mesh_arrays(half: _Half) -> dict[str, Array]:
    """Give the numbers of the vertices, and positions and triangles if they are drawn."""
    own: dict[str, Array] = {"vertices": half.vertices.astype(np.uint32)}
    if half.cutout is None or half.surface is None:
        return own
    points = half.cutout.coordinates
    low = points.min(axis=0)
    steps = np.round((points - low) / _step(points)).astype(np.uint16)
    own |= {f"positions.{axis}": steps[:, axis] for axis in range(3)}
    triangles = half.cutout.triangles.astype(np.uint32)
    own |= {f"triangles.{corner}": triangles[:, corner] for corner in range(3)}
    shading = half.surface.shading
    if shading is not None:
        depth = half.cutout.averaged(shading)
        grey = GROUND - 0.12 * np.tanh(2 * depth / (float(np.nanstd(shading)) or 1.0))
        own["greys"] = np.round(255 * grey).astype(np.uint8)
    return own


def _map_arrays(half: _Half, *, only_decisive: bool) -> dict[str, Array]:
    """Give visual areas, eccentricity, polar angle and z of the localizer contrasts."""
    maps, nowhere = half.retinotopy, np.zeros(half.inside.size, dtype=bool)
    own: dict[str, Array] = {
        "areaLabels": np.clip(half.labels[half.vertices], 0, 65535).astype(np.uint16),
        "eccentricity": half.floats(maps.eccentricity, half.inside, nowhere),
    }
    if maps.polar_angle is not None:
        own["polarAngle"] = half.floats(maps.polar_angle, half.inside, nowhere)
    shown = half.inside if only_decisive else ~nowhere
    for place, z in enumerate(half.cortex.localizer.values()):
        if not isinstance(z, Absent):
            own[f"z.{place}"] = half.floats(z, shown, half.decisive)
    return own


def _about(
    results: ParticipantResults,
    halves: Sequence[_Half],
    contrasts: Sequence[Contrast],
    plan: Plan,
) -> dict[str, Any]:
    """Say what is not an array: names, rules, and the numbers of the run."""
    wording = results.definition.wording.among(
        [*results.definition.labels, *(contrast.contrast for contrast in contrasts)]
    )
    localizer = list(dict.fromkeys(name for half in halves for name in half.cortex.localizer))
    colours = roi_colours([roi.name for roi in plan.rois])
    limits = [roi.rule.limits[1] for roi in plan.rois if roi.rule.limits is not None]
    return {
        "participant": results.participant_id,
        "units": wording.units,
        "statistic": plan.statistic,
        "summary": plan.summary,
        "farthest": 2 * max(limits, default=5.0),
        "surfaces": _surfaces_in_words(halves),
        "localizer": [wording.name(name) for name in localizer],
        "measured": [
            {
                "name": wording.name(contrast.contrast),
                "where": contrast.task
                + ("" if contrast.session is None else f", session {contrast.session}"),
            }
            for contrast in contrasts
        ],
        "rois": [
            {
                "name": wording.name(roi.name),
                "colour": colours[roi.name],
                "contrasts": [localizer.index(name) for name in roi.contrasts],
                "exclude": [localizer.index(name) for name in roi.exclude],
                "combine": roi.combine,
                "kind": roi.rule.threshold_kind,
                "tail": roi.rule.tail,
                "threshold": roi.rule.localizer_threshold,
                "inWords": threshold_in_words(roi.rule) if roi.contrasts else "no localizer",
                "exclusive": roi.rule.exclusive,
                "minVertices": roi.rule.min_vertices,
            }
            for roi in plan.rois
        ],
        "run": _numbers_of_run(results, contrasts, plan),
        "hemispheres": [_about_half(half) for half in halves],
    }


def _names_of_areas(halves: Sequence[_Half], others: Sequence[str]) -> dict[str, str]:
    """Name the visual areas that there are, by their labels."""
    there = {int(label) for half in halves for label in np.unique(half.labels)}
    return {str(label): name for label, name in area_names(others).items() if label in there}


def _surfaces_in_words(halves: Sequence[_Half]) -> list[str]:
    """Say which surfaces are shown, by their shape."""
    surfaces = [half.surface for half in halves if half.surface is not None]
    by_shape: dict[str, dict[str, None]] = {}
    for surface in surfaces:
        by_shape.setdefault(_SHAPES[surface.shape], {})[surface.name] = None
    return [f"{shape}: {', '.join(names)}." for shape, names in by_shape.items()]


def _about_half(half: _Half) -> dict[str, Any]:
    points = None if half.cutout is None else half.cutout.coordinates
    return {
        "side": half.cortex.side,
        "origin": None if points is None else points.min(axis=0).tolist(),
        "step": None if points is None else _step(points),
    }


def _numbers_of_run(
    results: ParticipantResults, contrasts: Sequence[Contrast], plan: Plan
) -> dict[str, Any]:
    """List sizes and estimates of the run, by the places of ROIs and contrasts, and hemisphere."""
    roi_places = {roi.name: str(place) for place, roi in enumerate(plan.rois)}
    places = {(c.session, c.task, c.contrast): str(place) for place, c in enumerate(contrasts)}
    quality, table = results.quality, results.estimates
    sizes = {
        f"{roi_places[roi]}.{hemi}": None if np.isnan(n) else n
        for roi, hemi, n in zip(quality["roi"], quality["hemi"], quality["n_vertices"], strict=True)
    }
    columns = ["session", "task", "contrast", "roi", "hemi", "estimate", "status", "independence"]
    estimates = {}
    for session, task, contrast, roi, hemi, *numbers in zip(
        *(table[name] for name in columns), strict=True
    ):
        place = places.get((None if session == MISSING else session, task, contrast))
        if place is not None:
            estimate, status, independence = numbers
            shown = [None if np.isnan(estimate) else estimate, status, independence]
            estimates[f"{roi_places[roi]}.{place}.{hemi}"] = shown
    return {"sizes": sizes, "estimates": estimates}


def _left_out(n_shown: int, n_there: int, *, only_decisive: bool) -> list[str]:
    """Say what a page leaves out so as not to be too large."""
    if not only_decisive:
        return []
    text = [
        "To keep the page small, contrasts are shown only in the ranges of the ROIs, and z only "
        "in visual areas."
    ]
    if n_shown < n_there:
        text.append(f"It has {n_shown} of the {n_there} measured contrasts: the first.")
    return text


def _render(
    results: ParticipantResults, about: Mapping[str, Any], packed: Packed, left_out: Sequence[str]
) -> bytes:
    """Fill in the template. All text is escaped: labels come from file names."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("bids_secondlevel").joinpath("data", "explore")
    texts = {
        name: folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", *_SCRIPTS)
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    session, name = "", results.participant_id
    if results.session:
        session, name = f", session {results.session}", f"{name}_ses-{results.session}"
    page = environment.from_string(texts["page.html"]).render(
        participant=f"{results.participant_id}{session}",
        page=f"{name}.html",
        about=Markup(json.dumps(about, allow_nan=False).replace("<", "\\u003c")),  # noqa: S704
        arrays=packed.text,
        scripts=[Markup(_in_script(texts[script])) for script in _SCRIPTS],  # noqa: S704
        notes=left_out,
        version=__version__,
    )
    return page.encode(errors="backslashreplace")


def _in_script(text: str) -> str:
    """Write a script so that no text or comment in it ends the element that holds it."""
    return text.replace("</script", "\\u003c/script")


def _step(points: Array) -> float:
    """Give the width of the steps in which positions are given, in mm."""
    return float(np.ptp(points, axis=0).max()) / _STEPS or 1.0


def _float_of(values: Array) -> type[np.floating[Any]]:
    """Choose the precision in which values are compared and averaged as they are in the maps."""
    return np.float64 if values.dtype.itemsize > 4 else np.float32
