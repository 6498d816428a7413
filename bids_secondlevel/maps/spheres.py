"""Link the surface or grid of the retinotopy with that of the maps.

Two surfaces can be linked if both have a sphere in the coordinates of the same template. These are
the participant's registered sphere, and the spheres of fsaverage and fsLR.
"""

from dataclasses import dataclass, replace

import numpy as np

from bids_secondlevel.core.errors import DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.files import (
    ParticipantFiles,
    Plan,
    RetinotopySource,
    SourceFile,
    SurfaceFile,
)
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.spaces import OWN, density_of, family, vertex_counts
from bids_secondlevel.core.values import Absent, Mesh
from bids_secondlevel.maps.meshes import Resampling, Triangles, nested, on_spheres
from bids_secondlevel.maps.surfaces import read_mesh
from bids_secondlevel.maps.templates import template_surface
from bids_secondlevel.maps.volumes import Grid, read_grid


@dataclass(frozen=True)
class Surface:
    """A surface of one hemisphere, of a template or of the participant, with its vertices."""

    space: str
    n_vertices: int

    def __str__(self) -> str:
        """Return its name for messages."""
        density = density_of(self.space, self.n_vertices)
        return f"{self.space} ({density or f'{self.n_vertices} vertices'})"


@dataclass(frozen=True, eq=False)
class Link:
    """How to resample values from one surface to another."""

    resampling: Resampling
    method: str
    """Description of the method, the same for every participant."""
    spheres: tuple[str, ...] = ()
    """The files that were used."""
    triangles: Triangles | None = None
    """Triangles of the target, if its sphere was read, (n_triangles, 3)."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How retinotopy and maps of one hemisphere get the same vertices (or voxels)."""

    n_maps: int | None
    """Number of vertices that maps must have when read; ``None`` if unknown."""
    retinotopy: Link | None = None
    """How to resample them to the surface of the ROIs; ``None`` if they are on it."""
    maps: Link | None = None
    """How to resample them to the surface of the ROIs; ``None`` if they are on it."""
    grid: Grid | None = None
    """Grid of the maps, if they are volumes."""
    grid_file: SourceFile | None = None
    """The map with this grid."""
    own_grid: Grid | None = None
    """Grid of the retinotopy, if it is a volume."""
    no_retinotopy: Absent | None = None
    """Why they cannot be carried there."""
    no_maps: Absent | None = None
    """Why they cannot be carried there."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Descriptions of the resampling, the same for every participant."""
        done = [
            f"{what}: {link.method}"
            for what, link in (("retinotopy", self.retinotopy), ("maps", self.maps))
            if link is not None
        ]
        if self.grid and self.own_grid and not self.grid.matches(self.own_grid):
            done.append("retinotopy: nearest voxel in world coordinates, on the grid of the maps")
        return tuple(done)

    @property
    def spheres(self) -> tuple[str, ...]:
        """The files that were used."""
        links = [link for link in (self.retinotopy, self.maps) if link is not None]
        return tuple(dict.fromkeys(sphere for link in links for sphere in link.spheres))


def align_surfaces(
    n_own: int | None,
    n_maps: int | None,
    files: ParticipantFiles,
    hemisphere: Hemisphere,
    plan: Plan,
) -> Alignment:
    """Find how to resample retinotopy and maps of one hemisphere to the surface of the ROIs.

    Parameters
    ----------
    n_own
        Number of vertices of the retinotopy; ``None`` if missing.
    n_maps
        Number of vertices of the maps; ``None`` if missing.
    hemisphere : {"L", "R"}

    Returns
    -------
    Alignment
        Without links if the surfaces are the same. Also without links if two surfaces of one
        participant differ, or maps do not fit their space; this is reported for each map.
    """
    carries_maps = plan.space != plan.maps_space or plan.density is not None
    counts = vertex_counts(plan.maps_space)
    is_damaged = bool(counts) and n_maps not in counts and not carries_maps
    if n_maps is None or is_damaged or (n_own is None and not carries_maps):
        return Alignment(n_own)
    spheres = _Spheres(files, hemisphere)
    maps = Surface(family(plan.maps_space) or OWN, n_maps)
    own = None if n_own is None else _surface_of_retinotopy(n_own, maps, spheres)
    try:
        shared = _shared_surface(own, maps, spheres, plan) if carries_maps else maps
    except (DataError, InputMissingError) as error:
        gap = Absent("vertex_mismatch", error)
        return Alignment(n_maps, no_retinotopy=gap, no_maps=gap)
    if own is not None and own.space == shared.space == OWN and own != shared:
        return Alignment(n_own)  # of another participant, or damaged
    alignment = Alignment(n_maps)
    if own is not None and own != shared:
        try:
            alignment = replace(alignment, retinotopy=_link(own, shared, spheres))
        except SecondLevelError as error:
            gap = Absent("vertex_mismatch", _unlinked("retinotopy", own, shared, error))
            alignment = replace(alignment, no_retinotopy=gap)
    if maps != shared:
        try:
            same = alignment.retinotopy if maps == own else None
            alignment = replace(alignment, maps=same or _link(maps, shared, spheres))
        except SecondLevelError as error:
            gap = Absent("vertex_mismatch", _unlinked("maps", maps, shared, error))
            alignment = replace(alignment, no_maps=gap)
    return alignment


def align_volumes(files: ParticipantFiles, hemisphere: Hemisphere) -> Alignment:
    """Find the grids of the maps and of the retinotopy.

    Returns
    -------
    Alignment
        The grid is that of the first readable map of the localizer or, if there is none, of the
        measured maps.
    """
    localizers = (s for of in files.localizers.values() for h, s in of.items() if h == hemisphere)
    measured = (s for e in files.contrasts for h, s in e.maps.items() if h == hemisphere)
    source = files.retinotopy.get(hemisphere)
    own_grid, gap = (None, None) if source is None else _own_grid(source)
    for file in (file for maps in (*localizers, *measured) for file in maps.files):
        grid = _grid_of(file)
        if grid is not None:
            return Alignment(
                grid.n_voxels, grid=grid, grid_file=file, own_grid=own_grid, no_retinotopy=gap
            )
    own = None if source is None else source.first
    return Alignment(None, grid=own_grid, grid_file=own, own_grid=own_grid, no_retinotopy=gap)


def _own_grid(source: RetinotopySource) -> tuple[Grid | None, Absent | None]:
    """Find the common grid of the volumes of a retinotopy, or explain that they differ."""
    grid = _grid_of(source.first)
    for file in source.files:
        other = _grid_of(file)
        if grid is not None and other is not None and not other.matches(grid):
            error = DataError(
                f"{file.path} has {other.describe()}, and {source.first.path} has "
                f"{grid.describe()}; expected the same grid for all maps of a retinotopy."
            )
            return grid, Absent("unreadable_retinotopy", error)
    return grid, None


def _grid_of(file: SourceFile) -> Grid | None:
    try:
        return read_grid(file.path, file.reading.array)
    except (DataError, InputMissingError):  # reported when the map is read
        return None


def _surface_of_retinotopy(n_own: int, maps: Surface, spheres: "_Spheres") -> Surface:
    """Find the surface of the retinotopy, which is not in FreeSurfer's names.

    Files with such names are on surfaces of FreeSurfer. They are on fsLR only if no surface of
    FreeSurfer has their number of vertices.
    """
    named = spheres.files.retinotopy[spheres.hemisphere].space
    if named is not None:
        return Surface(family(named) or OWN, n_own)
    is_fsaverage = density_of("fsaverage", n_own) is not None
    if n_own == maps.n_vertices and not (maps.space == "fsLR" and is_fsaverage):
        return maps
    if maps.space == OWN or not is_fsaverage or spheres.has_own(n_own):  # this reads a sphere
        return Surface(OWN, n_own)
    return Surface("fsaverage", n_own)


def _shared_surface(own: Surface | None, maps: Surface, spheres: "_Spheres", plan: Plan) -> Surface:
    """Find the number of vertices of the surface asked for.

    Raises
    ------
    InputMissingError
        If it is the participant's own surface and no file gives its number of vertices.
    """
    counts = vertex_counts(plan.space, plan.density)
    if counts:
        return Surface(family(plan.space) or OWN, counts[0])
    for surface in (own, maps):
        if surface is not None and surface.space == OWN:
            return surface
    return Surface(OWN, spheres.n_own())


def _link(source: Surface, target: Surface, spheres: "_Spheres") -> Link:
    """Find how to resample values from one surface to another.

    Raises
    ------
    InputMissingError, DataError
        If a sphere is missing or cannot be read.
    """
    both = {source.space, target.space}
    names = " to ".join(
        OWN if surface.space == OWN else str(surface) for surface in (source, target)
    )
    if both == {"fsaverage"} and target.n_vertices < source.n_vertices:
        return Link(
            nested(source.n_vertices, target.n_vertices), f"from {names} by the order of vertices"
        )
    template = "fsLR" if both == {"fsLR"} or spheres.has_own_in("fsLR", both) else "fsaverage"
    mesh, its_file = spheres.find(source, template)
    target_mesh, other_file = spheres.find(target, template)
    return Link(
        on_spheres(mesh, target_mesh.coordinates),
        f"from {names} over spheres registered to {template} (labels from the nearest vertex, "
        "values by barycentric interpolation)",
        (its_file, other_file),
        target_mesh.triangles,
    )


def _unlinked(
    what: str, source: Surface, target: Surface, error: SecondLevelError
) -> SecondLevelError:
    """Explain that two surfaces cannot be linked, with the kind of error of the cause."""
    message = f"{what} on {source} cannot be resampled to {target}: {error}"
    return type(error)(message)


class _Spheres:
    """The available spheres for one hemisphere of a participant."""

    def __init__(self, files: ParticipantFiles, hemisphere: Hemisphere) -> None:
        self.files = files
        self.hemisphere = hemisphere
        every = files.spheres.get(hemisphere, ())
        self._own = [file for file in every if file.kind == "registered"]
        self._templates = [file for file in every if file.kind != "registered"]
        retinotopy = files.retinotopy.get(hemisphere)
        if retinotopy is not None:  # if a participant has several folders, the one with the maps
            beside = retinotopy.first.path.parent
            self._own.sort(key=lambda file: file.source.path.parent != beside)
        self._read: dict[SurfaceFile, Mesh] = {}

    def has_own(self, n_vertices: int) -> bool:
        """Return whether the participant's own surface has this number of vertices."""
        return any(self._has(file, n_vertices) for file in self._own)

    def has_own_in(self, template: str, spaces: set[str]) -> bool:
        """Return whether own surface and template can be linked in the template's coordinates."""
        return spaces == {OWN, template} and any(file.space == template for file in self._own)

    def n_own(self) -> int:
        """Count the vertices of the participant's own surface.

        Raises
        ------
        InputMissingError
            If it has no registered sphere.
        """
        for file in self._own:
            return len(self._mesh(file).coordinates)
        raise InputMissingError(self._expected("fsaverage", None))

    def find(self, surface: Surface, template: str) -> tuple[Mesh, str]:
        """Find the sphere of a surface in the coordinates of a template, and its file.

        Raises
        ------
        InputMissingError, DataError
            If it is missing or cannot be read.
        """
        n_vertices = surface.n_vertices
        if surface.space == OWN:
            for file in self._own:
                if file.space == template and self._has(file, n_vertices):
                    return self._mesh(file), file.source.uri
            raise InputMissingError(self._expected(template, n_vertices))
        density = density_of(surface.space, n_vertices)
        if density is None:
            raise DataError(
                f"{surface.space} has no surface with {n_vertices} vertices; expected "
                f"{', '.join(map(str, vertex_counts(surface.space))) or 'a known space'}."
            )
        if template == surface.space:
            for file in self._templates:
                if family(file.space) == template and self._has(file, n_vertices):
                    return self._mesh(file), file.source.uri
        registered_to = None if template == surface.space else template
        path = template_surface(surface.space, density, self.hemisphere, "sphere", registered_to)
        return read_mesh(path, self.hemisphere), path.name

    def _has(self, file: SurfaceFile, n_vertices: int) -> bool:
        try:
            return len(self._mesh(file).coordinates) == n_vertices
        except (DataError, InputMissingError):
            return False

    def _mesh(self, file: SurfaceFile) -> Mesh:
        if file not in self._read:
            mesh = read_mesh(file.source.path, self.hemisphere)
            if not np.linalg.norm(mesh.coordinates, axis=1).all():
                raise DataError(
                    f"{file.source.path}: has a vertex at the centre, so it is not a sphere. "
                    "Replace the file."
                )
            self._read[file] = mesh
        return self._read[file]

    def _told(self, file: SurfaceFile) -> str:
        """Explain what is wrong with an existing sphere."""
        try:
            return f"{file.source.path}, which has {len(self._mesh(file).coordinates)} vertices"
        except (DataError, InputMissingError) as error:
            return str(error)

    def _expected(self, template: str, n_vertices: int | None) -> str:
        """Name the missing file, and the existing files that are not suitable."""
        side = f"{self.hemisphere.lower()}h"
        found = ", ".join(map(self._told, self._own)) or "none"
        count = f" with {n_vertices} vertices" if n_vertices else ""
        space = "" if template == "fsaverage" else f"_space-{template}"
        freesurfer = f"surf/{side}.sphere.reg of FreeSurfer or " if not space else ""
        return (
            f"the participant's sphere registered to {template}{count} is missing: expected "
            f"{freesurfer}sub-{self.files.label}_hemi-{self.hemisphere}{space}_desc-reg_sphere."
            f"surf.gii of fMRIPrep(registered spheres found: {found}). Give its dataset with "
            "--derivatives."
        )
