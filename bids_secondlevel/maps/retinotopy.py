"""Read the retinotopic maps of a participant, and carry them to where the ROIs are defined."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from bids_secondlevel.core.errors import DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.files import ParticipantFiles, Plan, RetinotopySource, SourceFile
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.spaces import OWN
from bids_secondlevel.core.values import Absent, Array, Mask, Mesh, Retinotopy, Status
from bids_secondlevel.maps.files import check_present
from bids_secondlevel.maps.meshes import (
    angles_by_interpolation,
    by_interpolation,
    by_nearest,
    vertex_areas,
)
from bids_secondlevel.maps.reader import Reader
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.maps.surfaces import read_area, read_mesh, whole_numbers
from bids_secondlevel.maps.volumes import resample_nearest
from bids_secondlevel.rois.define import to_visual_field
from bids_secondlevel.rois.quality import VertexMaps


def retinotopy_gap(
    files: ParticipantFiles, hemisphere: Hemisphere, rois: Sequence[RoiDefinition]
) -> Absent | None:
    """Say why the retinotopic maps of one hemisphere are not there, if they are not."""
    source = files.retinotopy.get(hemisphere)
    side = f"{hemisphere.lower()}h"
    others = dict.fromkeys(name for roi in rois for name in roi.rule.other_areas)
    if source is None:
        area = "" if others else f"{side}.benson14_varea.mgz and "
        error = InputMissingError(
            f"no retinotopy of hemisphere {hemisphere} found: expected visual area and "
            f"eccentricity of one source, such as {area}"
            f"{side}.benson14_eccen.mgz, in the participant's folder of a dataset (or in surf/ "
            "below it). Name the dataset with --derivatives."
        )
        return Absent("missing_retinotopy", error)
    maps = replace(_needed(source, rois), areas={})
    return unfetched(maps.files, "missing_retinotopy")


def unfetched(sources: Iterable[SourceFile], missing: Status) -> Absent | None:
    """Say which file of a source is not on this computer, if one is not."""
    for source in sources:
        try:
            check_present(source.path)
        except InputMissingError as error:
            return Absent(missing, error)
    return None


def _needed(source: RetinotopySource, rois: Sequence[RoiDefinition]) -> RetinotopySource:
    """Leave out the maps that no ROI is defined by."""
    if not any(roi.rule.polar_angle for roi in rois):
        source = replace(source, polar_angle=None)
    if not any(roi.rule.min_variance_explained is not None for roi in rois):
        source = replace(source, variance_explained=None)
    return source


def read_own_retinotopy(
    reader: Reader, files: ParticipantFiles, hemisphere: Hemisphere, rois: Sequence[RoiDefinition]
) -> Retinotopy | Absent:
    """Read the retinotopic maps of one hemisphere that the definition of the ROIs needs.

    Returns
    -------
    Retinotopy or Absent
        On their own surface or grid, with polar angles as they are written; volumes are whole.
    """
    gap = retinotopy_gap(files, hemisphere, rois)
    if gap is not None:
        return gap
    try:
        own = read_retinotopy(reader, _needed(files.retinotopy[hemisphere], rois), hemisphere)
    except DataError as error:
        return Absent("unreadable_retinotopy", error)
    areas = _read_areas(files, hemisphere, rois, own.eccentricity.size)
    return replace(own, other_areas=areas)


def read_retinotopy(reader: Reader, source: RetinotopySource, hemisphere: Hemisphere) -> Retinotopy:
    """Read the retinotopic maps of one hemisphere, as many as there are.

    Raises
    ------
    InputMissingError, DataError
        If a map cannot be read; also if visual areas are no whole numbers, or the maps differ
        in length.
    """
    first = source.visual_area or source.eccentricity
    values = reader.read(first, hemisphere)
    area = whole_numbers(values, first.path) if source.visual_area else np.zeros(values.size, "i4")
    eccentricity, angle, explained = (
        None
        if file is None
        else values
        if file is first
        else _like(reader, file, hemisphere, first, area)
        for file in (source.eccentricity, source.polar_angle, source.variance_explained)
    )
    assert eccentricity is not None
    return Retinotopy(area, eccentricity, angle, explained)


def _read_areas(
    files: ParticipantFiles,
    hemisphere: Hemisphere,
    rois: Sequence[RoiDefinition],
    n_vertices: int,
) -> dict[str, Mask | Absent]:
    """Read the visual areas that are given in files of their own."""
    source = files.retinotopy[hemisphere]
    areas: dict[str, Mask | Absent] = {}
    for name in dict.fromkeys(name for roi in rois for name in roi.rule.other_areas):
        file, _, label = name.partition(":")
        try:
            if name not in source.areas:
                raise InputMissingError(
                    f"--visual-areas {name}: no file {hemisphere.lower()}h.{file} (nor "
                    f"sub-{files.label}_hemi-{hemisphere}_..._{file}) in the participant's "
                    "folders. Name its dataset with --derivatives."
                )
            areas[name] = read_area(source.areas[name].path, hemisphere, label, n_vertices)
        except InputMissingError as error:
            areas[name] = Absent("missing_retinotopy", error)
        except DataError as error:
            areas[name] = Absent("unreadable_retinotopy", error)
    return areas


def _like(
    reader: Reader, file: SourceFile, hemisphere: Hemisphere, first: SourceFile, area: Array
) -> Array:
    """Read a map that must have as many vertices as another."""
    values = reader.read(file, hemisphere)
    if values.size != area.size:
        raise DataError(
            f"{first.path} has {area.size} vertices and {file.path} has {values.size}; expected "
            "the same number, from the same surface."
        )
    return values


def carry_retinotopy(
    own: Retinotopy | Absent, alignment: Alignment, hemisphere: Hemisphere
) -> Retinotopy | Absent:
    """Bring retinotopic maps to where the ROIs are defined.

    Visual areas come from the nearest vertex, eccentricities and variance explained by
    interpolation; where there is neither area nor eccentricity, the atlas has ended, and its 0
    is no value to interpolate. In volumes everything comes from the nearest voxel, and voxels of
    the other hemisphere belong to no area.

    Returns
    -------
    Retinotopy or Absent
        With polar angles in the visual field.
    """
    if isinstance(own, Absent):
        return own
    if alignment.no_retinotopy is not None:
        return alignment.no_retinotopy
    link, grid, own_grid = alignment.retinotopy, alignment.grid, alignment.own_grid
    carried = own
    if link is not None:
        carry, beyond = link.resampling, _beyond(own)
        angle, explained = own.polar_angle, own.variance_explained
        carried = Retinotopy(
            by_nearest(carry, own.visual_area),
            by_interpolation(carry, own.eccentricity, beyond),
            None if angle is None else angles_by_interpolation(carry, angle, beyond),
            None if explained is None else by_interpolation(carry, explained, beyond),
            {
                name: area if isinstance(area, Absent) else by_nearest(carry, area)
                for name, area in own.other_areas.items()
            },
        )
    elif grid is not None:
        assert own_grid is not None  # its maps have been read
        angle, explained = own.polar_angle, own.variance_explained
        area = resample_nearest(own.visual_area, own_grid, grid)
        carried = Retinotopy(
            np.where(grid.hemisphere(hemisphere), area, 0),
            resample_nearest(own.eccentricity, own_grid, grid),
            None if angle is None else resample_nearest(angle, own_grid, grid),
            None if explained is None else resample_nearest(explained, own_grid, grid),
        )
        if (own.visual_area > 0).any() and not (area > 0).any():
            return _out_of_view(
                f"no visual area lies within the field of view of the maps ({grid.describe()}); "
                f"the retinotopy has {own_grid.describe()}. Check that both are in the same space"
            )
    if carried.polar_angle is None:
        return carried
    field = to_visual_field(carried.polar_angle, carried.inside, hemisphere)
    return replace(carried, polar_angle=field)


def _beyond(own: Retinotopy) -> Mask:
    """Find the vertices outside an atlas, whose eccentricity of 0 or NaN stands for nothing."""
    nothing = (own.eccentricity == 0) | np.isnan(own.eccentricity)
    beyond: Mask = ~own.inside & nothing
    return beyond


def _out_of_view(message: str) -> Absent:
    return Absent("vertex_mismatch", DataError(f"{message}."))


def read_vertex_maps(  # noqa: PLR0917
    reader: Reader,
    files: ParticipantFiles,
    hemisphere: Hemisphere,
    own: Retinotopy | Absent,
    retinotopy: Retinotopy | Absent,
    alignment: Alignment,
    plan: Plan,
) -> tuple[VertexMaps, list[str]]:
    """Read what describes the ROIs but does not define them: polar angle, mesh, areas.

    Parameters
    ----------
    reader : Reader
    files : ParticipantFiles
    hemisphere : {"L", "R"}
    own : Retinotopy or Absent
        On its own surface.
    retinotopy : Retinotopy or Absent
        Where the ROIs are defined.
    alignment : Alignment
    plan : Plan

    Returns
    -------
    maps : VertexMaps
        What could not be had, or does not fit the retinotopy, is ``None`` in it.
    messages : list of str
        Why something that is there was not used.
    """
    if isinstance(retinotopy, Absent) or isinstance(own, Absent):
        return VertexMaps(), []
    messages: list[str] = []
    maps = VertexMaps(polar_angle=retinotopy.polar_angle, eccentricity=retinotopy.eccentricity)
    source = files.retinotopy[hemisphere]
    try:
        if source.polar_angle is not None and maps.polar_angle is None:
            angle = _like(
                reader, source.polar_angle, hemisphere, source.eccentricity, own.eccentricity
            )
            carried = carry_retinotopy(replace(own, polar_angle=angle), alignment, hemisphere)
            assert not isinstance(carried, Absent)
            maps = replace(maps, polar_angle=carried.polar_angle)
    except (DataError, InputMissingError) as error:
        messages.append(f"polar angle is not used: {error}")
    if alignment.grid is not None:
        return replace(maps, grid=alignment.grid), messages
    surface = files.surfaces.get(hemisphere)
    try:
        if surface is not None:
            n_vertices = retinotopy.eccentricity.size
            mesh = _carried_mesh(read_mesh(surface.path, hemisphere), n_vertices, alignment)
            if len(mesh.coordinates) == n_vertices:
                area = vertex_areas(mesh.coordinates, mesh.triangles)
                maps = replace(maps, area=area, triangles=mesh.triangles)
            elif plan.space in (None, OWN):  # in a template, that of the participant does not do
                messages.append(
                    f"areas are not measured: {surface.path} has {len(mesh.coordinates)} vertices, "
                    f"and the maps have {n_vertices}."
                )
    except SecondLevelError as error:
        messages.append(f"areas are not measured: {error}")
    return maps, messages


def _carried_mesh(mesh: Mesh, n_vertices: int, alignment: Alignment) -> Mesh:
    """Carry a mesh to where the ROIs are defined, if it is the one the retinotopy comes from."""
    link = alignment.retinotopy
    is_source = link is not None and link.resampling.n_source == len(mesh.coordinates)
    if len(mesh.coordinates) == n_vertices or not is_source:
        return mesh
    assert link is not None
    if link.triangles is None:
        return mesh
    return Mesh(by_interpolation(link.resampling, mesh.coordinates), link.triangles)


def carry_map(values: Array | Absent, alignment: Alignment) -> Array | Absent:
    """Bring a map to where the ROIs are defined, by interpolation."""
    if isinstance(values, Absent):
        return values
    if alignment.no_maps is not None:
        return alignment.no_maps
    link = alignment.maps
    return values if link is None else by_interpolation(link.resampling, values)
