"""Surfaces for drawing maps: those of the participant or, if missing, of the template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.files import ParticipantFiles, Plan, SurfaceFile
from bids_secondlevel.core.hemispheres import Bilateral, Hemisphere
from bids_secondlevel.core.spaces import density_of
from bids_secondlevel.core.values import Absent, Array, Mesh
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.surfaces import read_map, read_mesh
from bids_secondlevel.maps.templates import template_surface

_SHADINGS = ("sulc", "curv")
Shape = Literal["inflated", "sphere", "folded"]

_DRAWN: Mapping[Shape, str] = {
    "inflated": "whose sulci (darker) are opened: distances are not those of the folded cortex",
    "sphere": "unrolled around the visual areas: shares of area are kept, distances are not",
    "folded": "folded, as seen from outside: what lies deep in a sulcus may be hidden",
}
_SHAPES: Mapping[str, Shape] = {
    "inflated": "inflated",
    "sphere": "sphere",
    "registered": "sphere",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class DisplaySurface:
    """A surface for drawing maps."""

    mesh: Mesh
    shape: Shape
    name: str
    """Its URI, or that of the template in words."""
    shading: Array | None
    """Depth of the sulci or curvature at each vertex; higher values are drawn darker."""

    @property
    def is_sphere(self) -> bool:
        """Whether to unroll it."""
        return self.shape == "sphere"

    @property
    def description(self) -> str:
        """Which surface this is and how a flat picture shows it, in words."""
        return f"{self.name}, {_DRAWN[self.shape]}"


def read_display_surfaces(
    files: ParticipantFiles, plan: Plan, cortex: Bilateral[Cortex]
) -> tuple[dict[Hemisphere, DisplaySurface], list[str]]:
    """Read the best surface for each hemisphere that has a visual area.

    Returns
    -------
    surfaces : dict of hemisphere to DisplaySurface
        Empty if the maps are volumes.
    messages : list of str
        Why a hemisphere has no surface, or not the preferred one.
    """
    surfaces: dict[Hemisphere, DisplaySurface] = {}
    messages: list[str] = []
    reasons: dict[str, list[str]] = {}
    for half in cortex:
        hemi, maps = half.side, half.retinotopy
        # Otherwise there is nothing to draw, and another message gives the reason.
        if plan.is_volume or isinstance(maps, Absent) or not maps.inside.any():
            continue
        n_vertices = maps.visual_area.size
        own, passed_over = _own_surface(files.views.get(hemi, ()), hemi, n_vertices)
        messages += passed_over
        try:
            surfaces[hemi] = own or template_display_surface(plan.space, hemi, n_vertices)
        except (DataError, InputMissingError) as error:
            reasons.setdefault(str(error), []).append(f"{hemi} ({n_vertices} vertices)")
    messages += [
        f"the cortex of hemisphere {' and '.join(hemispheres)} is not drawn: {reason}"
        for reason, hemispheres in reasons.items()
    ]
    return surfaces, messages


def _own_surface(
    ranked: Sequence[SurfaceFile], hemi: Hemisphere, n_vertices: int
) -> tuple[DisplaySurface | None, list[str]]:
    """Read the best surface with the vertices of the maps, and list those that cannot be read."""
    messages: list[str] = []
    for file in ranked:
        if file.kind in _SHADINGS:
            continue
        try:
            mesh = read_mesh(file.source.path, hemi)
        except (DataError, InputMissingError) as error:
            messages.append(f"the cortex is not drawn on {error}")
            continue
        if len(mesh.coordinates) == n_vertices:
            surface = DisplaySurface(
                mesh=mesh,
                shape=_SHAPES.get(file.kind, "folded"),
                name=file.source.uri,
                shading=_read_shading(file, ranked, hemi, n_vertices),
            )
            return surface, messages
    return None, messages


def _read_shading(
    mesh: SurfaceFile, ranked: Sequence[SurfaceFile], hemi: Hemisphere, n_vertices: int
) -> Array | None:
    """Read the sulci beside a mesh, if possible; they are optional."""
    for file in ranked:
        if file.kind in _SHADINGS and file.source.path.parent == mesh.source.path.parent:
            try:
                values = read_map(file.source.path, hemi)
            except (DataError, InputMissingError):
                continue
            if values.size == n_vertices:
                return values
    return None


def template_display_surface(
    space: str | None, hemi: Hemisphere, n_vertices: int
) -> DisplaySurface:
    """Read the best surface there is of the template that maps are in.

    Parameters
    ----------
    space
        A template; others have no surface of their own.

    Raises
    ------
    InputMissingError, DataError
        If there is no surface, or it cannot be read.
    """
    density = density_of(space, n_vertices)
    if space is None or density is None:
        raise InputMissingError(
            "no surface with these vertices was found. To draw it, add FreeSurfer's "
            "surf/?h.inflated or *_inflated.surf.gii to one of the datasets (--derivatives)."
        )
    has_inflated = density == "10k" or (space, density) == ("fsLR", "32k")
    kind: Literal["inflated", "sphere"] = "inflated" if has_inflated else "sphere"
    mesh = read_mesh(template_surface(space, density, hemi, kind), hemi)
    shading = None
    if density == "10k":
        path = template_surface(space, density, hemi, "sulc")
        shading = read_map(path, hemi)
    return DisplaySurface(
        mesh=mesh,
        shape=kind,
        name=f"{kind} template {space}",
        shading=shading,
    )
