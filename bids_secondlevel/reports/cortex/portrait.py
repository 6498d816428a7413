"""Find a surface to draw a participant's maps on, and draw them; volumes are cut into slices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.files import ParticipantFiles, Plan, SurfaceFile
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.roi_rule import VISUAL_AREAS, RoiRule, area_name
from bids_secondlevel.core.spaces import density_of
from bids_secondlevel.core.values import Absent, Array, Mesh, Retinotopy, RoiMasks
from bids_secondlevel.maps.grid import Grid
from bids_secondlevel.maps.surfaces import read_map_like, read_mesh
from bids_secondlevel.maps.templates import TemplateKind, template_surface
from bids_secondlevel.reports.cortex.painting import Cortex, Maps
from bids_secondlevel.reports.cortex.panels import Legend
from bids_secondlevel.reports.cortex.picture import cortex_figure, slices_figure

_SHADINGS = ("sulc", "curv")
_FIRST_OTHER = max(VISUAL_AREAS.values()) + 1  # what areas from files of their own are labelled
_FLAT = ", unrolled around the visual areas"
_FOLDED = ", folded: what lies deep in a sulcus may be hidden"


@dataclass(frozen=True)
class Portrait:
    """A picture of a participant's cortex, on a surface or in slices.

    Attributes
    ----------
    svg : bytes or None
        ``None`` where there is nothing to draw on.
    messages : tuple of str
        Why something is not drawn, or not drawn on the surface that was meant.
    """

    svg: bytes | None
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class MapsShown:
    """What there is to draw of a participant.

    Attributes
    ----------
    retinotopy : mapping of hemisphere to Retinotopy or Absent
    polar_angles : mapping of hemisphere to (n_vertices,) array or None
        Degrees clockwise from the upper vertical meridian.
    z_maps : mapping of hemisphere to contrast to (n_vertices,) array or Absent
    rois : mapping of hemisphere to name to RoiMasks
    grid : Grid or None
        Of the voxels, where the maps are volumes.
    """

    retinotopy: Mapping[Hemisphere, Retinotopy | Absent]
    polar_angles: Mapping[Hemisphere, Array | None]
    z_maps: Mapping[Hemisphere, Mapping[str, Array | Absent]]
    rois: Mapping[Hemisphere, Mapping[str, RoiMasks]]
    grid: Grid | None = None


@dataclass(frozen=True, eq=False)
class _Surface:
    """A mesh to draw on; `description` says in words which."""

    mesh: Mesh
    description: str
    is_sphere: bool
    shading: Array | None = None


def draw_portrait(shown: MapsShown, files: ParticipantFiles, plan: Plan) -> Portrait:
    """Draw retinotopy, localizer and ROIs of a participant.

    Surfaces are drawn as far as a mesh can be had, volumes in slices.
    """
    drawn = {
        hemi: maps
        for hemi, maps in shown.retinotopy.items()
        # Else there is nothing to see, and the reason is told elsewhere.
        if not isinstance(maps, Absent) and maps.inside.any()
    }
    if plan.is_volume:
        return _draw_volume(shown, drawn, files, plan)
    cortices: dict[Hemisphere, Cortex] = {}
    messages: list[str] = []
    reasons: dict[str, list[str]] = {}
    described: dict[str, None] = {}
    for hemi, maps in drawn.items():
        n_vertices = maps.visual_area.size
        surface, passed_over = _own_surface(files, hemi, n_vertices)
        messages += passed_over
        try:
            surface = surface or _template_surface(plan.space, hemi, n_vertices)
        except (DataError, InputMissingError) as error:
            reasons.setdefault(str(error), []).append(f"{hemi} ({n_vertices} vertices)")
            continue
        described[surface.description] = None
        cortices[hemi] = Cortex(
            mesh=surface.mesh,
            is_sphere=surface.is_sphere,
            shading=surface.shading,
            **_maps(shown, hemi, maps, files),
        )
    messages += [
        f"the cortex of hemisphere {' and '.join(hemispheres)} is not drawn: {reason}"
        for reason, hemispheres in reasons.items()
    ]
    if not cortices:
        return Portrait(None, tuple(messages))
    not_drawn = [hemi for hemi in shown.retinotopy if hemi not in cortices]
    try:
        svg = cortex_figure(cortices, _legend(files, plan, tuple(described), not_drawn))
    except ValueError as error:
        messages.append(f"the cortex is not drawn: {error} ({', '.join(described)}).")
        return Portrait(None, tuple(messages))
    return Portrait(svg, tuple(messages))


def _draw_volume(
    shown: MapsShown, drawn: Mapping[Hemisphere, Retinotopy], files: ParticipantFiles, plan: Plan
) -> Portrait:
    if shown.grid is None or not drawn:
        return Portrait(None)
    halves = {hemi: Maps(**_maps(shown, hemi, maps, files)) for hemi, maps in drawn.items()}
    return Portrait(slices_figure(halves, shown.grid, _legend(files, plan, (), ())))


def _maps(
    shown: MapsShown, hemi: Hemisphere, maps: Retinotopy, files: ParticipantFiles
) -> dict[str, Any]:
    """Put together the maps of a hemisphere that are drawn: the fields of Maps."""
    parts = shown.rois[hemi]
    retinotopic = [p.retinotopic for p in parts.values() if not isinstance(p.retinotopic, Absent)]
    areas = maps.visual_area.copy()
    for number, name in enumerate(_other_areas(files), _FIRST_OTHER):
        area = maps.other_areas.get(name)
        if area is not None and not isinstance(area, Absent):
            areas[area] = number
    return {
        "visual_area": areas,
        "eccentricity": maps.eccentricity,
        "polar_angle": shown.polar_angles[hemi],
        "z_maps": {name: _if_there(z) for name, z in shown.z_maps[hemi].items()},
        "retinotopic": np.any([np.zeros(maps.visual_area.size, dtype=bool), *retinotopic], axis=0),
        "rois": {name: _if_there(part.roi) for name, part in parts.items()},
    }


def _if_there(part: Array | Absent) -> Array | None:
    return None if isinstance(part, Absent) else part


def _own_surface(
    files: ParticipantFiles, hemi: Hemisphere, n_vertices: int
) -> tuple[_Surface | None, list[str]]:
    """Read the best surface that has the vertices of the maps, and say which cannot be read."""
    messages: list[str] = []
    ranked = files.views.get(hemi, ())
    for file in ranked:
        if file.kind in _SHADINGS:
            continue
        try:
            mesh = read_mesh(file.source.path, hemi)
        except (DataError, InputMissingError) as error:
            messages.append(f"the cortex is not drawn on {error}")
            continue
        if len(mesh.coordinates) == n_vertices:
            is_sphere = file.kind in ("sphere", "registered")
            end = _FLAT if is_sphere else "" if file.kind == "inflated" else _FOLDED
            shading = _read_shading(file, ranked, hemi, n_vertices)
            return _Surface(mesh, f"{file.source.uri}{end}", is_sphere, shading), messages
    return None, messages


def _template_surface(space: str | None, hemi: Hemisphere, n_vertices: int) -> _Surface:
    """Read the best surface there is of the template that maps are in.

    Raises
    ------
    InputMissingError, DataError
        If there is none, or it cannot be read.
    """
    density = density_of(space, n_vertices)
    if space is None or density is None:
        raise InputMissingError(
            "no surface with these vertices was found. FreeSurfer's surf/?h.inflated or "
            "*_inflated.surf.gii, in one of the datasets (--derivatives), would do."
        )
    has_inflated = density == "10k" or (space, density) == ("fsLR", "32k")
    kind: TemplateKind = "inflated" if has_inflated else "sphere"
    mesh = read_mesh(template_surface(space, density, hemi, kind), hemi)
    shading = None
    if density == "10k":
        path = template_surface(space, density, hemi, "sulc")
        shading = read_map_like(path, hemi, n_vertices)
    end = "" if has_inflated else _FLAT
    return _Surface(mesh, f"{kind} template {space}{end}", not has_inflated, shading)


def _read_shading(
    mesh: SurfaceFile, files: Sequence[SurfaceFile], hemi: Hemisphere, n_vertices: int
) -> Array | None:
    """Read the sulci that lie beside a mesh; a picture without them will do too."""
    for file in files:
        if file.kind in _SHADINGS and file.source.path.parent == mesh.source.path.parent:
            try:
                return read_map_like(file.source.path, hemi, n_vertices)
            except (DataError, InputMissingError):
                continue
    return None


def _legend(
    files: ParticipantFiles,
    plan: Plan,
    surfaces: Sequence[str],
    not_drawn: Sequence[Hemisphere],
) -> Legend:
    """Say what is drawn."""
    rules = [roi.rule for roi in plan.rois]
    of_localizer = [roi.rule for roi in plan.rois if roi.contrasts]
    limits = [rule.eccentricity for rule in rules]
    notes = [f"Black line: {_describe_retinotopic(rules)}. White lines: borders of visual areas."]
    faded = {_faded(rule) for rule in of_localizer}
    common = next(iter(faded)) if len(faded) == 1 else None
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
        f"sub-{files.label}, {f'space {plan.space}' if plan.space else 'space not named'}, "
        f"retinotopy {files.retinotopy_source}",
        tuple(notes),
        {
            **{number: name for name, number in VISUAL_AREAS.items()},
            **dict(enumerate(map(area_name, _other_areas(files)), _FIRST_OTHER)),
        },
        (min(low for low, _ in limits), max(high for _, high in limits)),
        common,
    )


def _other_areas(files: ParticipantFiles) -> list[str]:
    return list(dict.fromkeys(name for s in files.retinotopy.values() for name in s.areas))


def _describe_retinotopic(rules: Sequence[RoiRule]) -> str:
    if len({rule.retinotopic_part for rule in rules}) > 1:
        return "the retinotopic parts of the ROIs"
    low, high = rules[0].eccentricity
    text = f"{', '.join(rules[0].visual_areas)} from {low:g} to {high:g} degrees"
    if rules[0].polar_angle is not None:
        first, second = rules[0].polar_angle
        text += f", polar angle {first:g} to {second:g} degrees"
    if rules[0].min_variance_explained is not None:
        text += f", variance explained above {rules[0].min_variance_explained:g}"
    return text


def _faded(rule: RoiRule) -> tuple[float, float] | None:
    """Say which z values do not count as activation, if that is the same everywhere."""
    if rule.threshold_kind != "z":
        return None
    limit = rule.localizer_threshold
    return {
        "greater": (-np.inf, limit),
        "less": (-limit, np.inf),
        "two-sided": (-limit, limit),
    }[rule.tail]
