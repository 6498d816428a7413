"""Read the retinotopic maps of a participant, and resample them to the surface of the ROIs."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.described import AngleConvention
from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.files import ParticipantFiles, RetinotopySource, SourceFile
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.values import Absent, Array, Mask, Retinotopy, Status, worst
from bids_secondlevel.maps.files import check_present
from bids_secondlevel.maps.meshes import angles_by_interpolation, by_interpolation, by_nearest
from bids_secondlevel.maps.plausibility import contralateral_share
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.maps.surfaces import (
    read_area,
    read_area_of_volume,
    size_in_words,
    whole_numbers,
)
from bids_secondlevel.maps.volumes import resample_nearest

_ANALYZEPRF = re.compile(r"(?:^|[._])ang(?=\.|$)", re.IGNORECASE)

Read = Callable[[SourceFile, Hemisphere], Array]
"""A function that reads a file."""


def retinotopy_gap(
    files: ParticipantFiles, hemisphere: Hemisphere, rois: Sequence[RoiDefinition]
) -> Absent | None:
    """Explain why the retinotopic maps of one hemisphere are missing, if they are."""
    source = files.retinotopy.get(hemisphere)
    is_one_sided = bool(files.retinotopy)
    side = f"{hemisphere.lower()}h" if is_one_sided else "lh"
    others = dict.fromkeys(name for roi in rois for name in roi.rule.other_areas)
    if source is None and all(roi.rule.is_unlimited for roi in rois):
        name = next(iter(others))
        error = InputMissingError(
            f"--visual-areas {name}: found no volume {name.partition(':')[0]} in the space of the "
            f"maps, neither in the folders of sub-{files.label} nor beside them in a dataset (nor "
            "in tpl-*). Give its dataset with --derivatives."
        )
        return Absent("missing_retinotopy", error)
    if source is None:
        area = "" if others else f"{side}.benson14_varea.mgz and "
        error = InputMissingError(
            f"no retinotopy{f' of hemisphere {hemisphere}' if is_one_sided else ''} found: "
            f"expected visual area and eccentricity of one source, such as {area}"
            f"{side}.benson14_eccen.mgz, in the participant's folder of a dataset (or in surf/ "
            "below it). Give the dataset with --derivatives."
        )
        return Absent("missing_retinotopy", error)
    maps = replace(needed_maps(source, rois), areas={})
    return unfetched(maps.files, "missing_retinotopy")


def unfetched(sources: Iterable[SourceFile], missing: Status) -> Absent | None:
    """Name the first file of a source whose content is not on this computer, if any."""
    for source in sources:
        try:
            check_present(source.path)
        except InputMissingError as error:
            return Absent(missing, error)
    return None


def needed_maps(source: RetinotopySource, rois: Sequence[RoiDefinition]) -> RetinotopySource:
    """Drop the maps that do not define any ROI."""
    source = replace(source, sigma=None)
    if not any(roi.rule.polar_angle for roi in rois):
        source = replace(source, polar_angle=None)
    if not any(roi.rule.min_variance_explained is not None for roi in rois):
        source = replace(source, variance_explained=None)
    return source


def read_retinotopy(read: Read, source: RetinotopySource, hemisphere: Hemisphere) -> Retinotopy:
    """Read the available retinotopic maps of one hemisphere.

    Raises
    ------
    InputMissingError, DataError
        If a map cannot be read, if visual areas are not whole numbers, or if the maps differ in
        length.
    """
    first = source.visual_area or source.first
    values = read(first, hemisphere)
    area = np.zeros(values.size, "i4")
    if source.visual_area:
        area = relabelled(whole_numbers(values, first.path), first.reading.areas)
    eccentricity, angle, explained = (
        None
        if file is None
        else values
        if file is first
        else _like(read, file, hemisphere, first, area)
        for file in (source.eccentricity, source.polar_angle, source.variance_explained)
    )
    assert eccentricity is not None
    return Retinotopy(area, eccentricity, angle, explained, is_in_field=is_in_field(source))


def relabelled(area: NDArray[np.int32], areas: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
    """Convert visual areas to the labels of neuropythy.

    Parameters
    ----------
    area : (n_vertices,) array of int
    areas
        Pairs of a value and its label; other values are not an area. If there are no pairs, the
        values are the labels.

    Examples
    --------
    >>> relabelled(np.array([0, 101, 102, 103, 7], "i4"), [(101, 1), (102, 1), (103, 2)])
    array([0, 1, 1, 2, 0], dtype=int32)
    """
    if not areas:
        return area
    labels = np.zeros_like(area)
    for value, label in areas:
        labels[area == value] = label
    return labels


def read_beside(
    read: Read,
    file: SourceFile,
    source: RetinotopySource,
    hemisphere: Hemisphere,
    own: Retinotopy,
) -> Array:
    """Read another map, such as that of polar angle, that belongs to retinotopic maps.

    Raises
    ------
    InputMissingError, DataError
        If it cannot be read, or is on another surface.
    """
    return _like(read, file, hemisphere, source.first, own.eccentricity)


def is_in_field(source: RetinotopySource) -> bool:
    """Return whether the sign of polar angles gives the half of the visual field."""
    convention = source.polar_angle and source.polar_angle.reading.angle
    return convention not in (None, "vertical-clockwise")


def read_other_areas(
    files: ParticipantFiles,
    hemisphere: Hemisphere,
    rois: Sequence[RoiDefinition],
    n_vertices: int,
) -> dict[str, Mask | Absent]:
    """Read the visual areas that are defined by files."""
    source = files.retinotopy[hemisphere]
    areas: dict[str, Mask | Absent] = {}
    for name in dict.fromkeys(name for roi in rois for name in roi.rule.other_areas):
        file, _, label = name.partition(":")
        try:
            if name not in source.areas:
                raise InputMissingError(
                    f"--visual-areas {name}: found no file {hemisphere.lower()}h.{file} (nor "
                    f"sub-{files.label}_hemi-{hemisphere}_..._{file}) in the participant's "
                    "folders. Give its dataset with --derivatives."
                )
            path = source.areas[name].path
            if source.areas[name].kind == "volume":
                areas[name] = read_area_of_volume(path, label)
            else:
                areas[name] = read_area(path, hemisphere, label, n_vertices)
        except InputMissingError as error:
            areas[name] = Absent("missing_retinotopy", error)
        except DataError as error:
            areas[name] = Absent("unreadable_retinotopy", error)
    return areas


def read_only_areas(
    files: ParticipantFiles, hemisphere: Hemisphere, rois: Sequence[RoiDefinition]
) -> Retinotopy | Absent:
    """Read volumes of visual areas without a map of eccentricity."""
    areas = read_other_areas(files, hemisphere, rois, 0)
    absent = [area for area in areas.values() if isinstance(area, Absent)]
    if absent:
        return worst(absent)
    masks = [area for area in areas.values() if not isinstance(area, Absent)]
    n_voxels = masks[0].size  # grids are compared elsewhere
    return Retinotopy(np.zeros(n_voxels, "i4"), np.full(n_voxels, np.nan, "f4"), other_areas=areas)


def _like(
    read: Read, file: SourceFile, hemisphere: Hemisphere, first: SourceFile, area: Array
) -> Array:
    """Read a map, and check that it has as many vertices as another."""
    values = read(file, hemisphere)
    if values.size != area.size:
        raise DataError(
            f"{first.path} has {size_in_words(first.path, area.size)} and {file.path} has "
            f"{size_in_words(file.path, values.size)}; expected "
            "the same number, from the same surface."
        )
    return values


def resample_retinotopy(
    own: Retinotopy | Absent, alignment: Alignment, hemisphere: Hemisphere
) -> Retinotopy | Absent:
    """Resample retinotopic maps to the surface of the ROIs.

    Visual areas come from the nearest vertex. Eccentricities and variance explained are
    interpolated. Vertices without area and eccentricity are outside the atlas, and their 0 is not
    interpolated. In volumes all values come from the nearest voxel, and voxels of the other
    hemisphere have no area.

    Returns
    -------
    Retinotopy or Absent
        Polar angles refer to the visual field.
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
            sigma=None if own.sigma is None else by_interpolation(carry, own.sigma, beyond),
        )
    elif grid is not None:
        assert own_grid is not None  # its maps have been read
        angle, explained = own.polar_angle, own.variance_explained
        area = resample_nearest(own.visual_area, own_grid, grid)
        others = {
            name: each
            if isinstance(each, Absent)
            else resample_nearest(each.view("u1"), own_grid, grid) > 0
            for name, each in own.other_areas.items()
        }
        half = grid.hemisphere(hemisphere)
        carried = Retinotopy(
            np.where(half, area, 0),
            resample_nearest(own.eccentricity, own_grid, grid),
            None if angle is None else resample_nearest(angle, own_grid, grid),
            None if explained is None else resample_nearest(explained, own_grid, grid),
            {n: each if isinstance(each, Absent) else each & half for n, each in others.items()},
            sigma=None if own.sigma is None else resample_nearest(own.sigma, own_grid, grid),
        )
        if own.inside.any() and not carried.inside.any():
            return _out_of_view(
                f"no visual area is within the field of view of the maps ({grid.describe()}); "
                f"the retinotopy has {own_grid.describe()}. Check that both are in the same space"
            )
    if carried.polar_angle is None or own.is_in_field:
        return carried
    field = to_visual_field(carried.polar_angle, carried.inside, hemisphere)
    return replace(carried, polar_angle=field)


def _beyond(own: Retinotopy) -> Mask:
    """Find the vertices outside an atlas, where an eccentricity of 0 or NaN is a placeholder."""
    nothing = (own.eccentricity == 0) | np.isnan(own.eccentricity)
    beyond: Mask = ~own.inside & nothing
    return beyond


def _out_of_view(message: str) -> Absent:
    return Absent("vertex_mismatch", DataError(f"{message}."))


def to_clockwise(polar_angle: Array, convention: AngleConvention) -> Array:
    """Convert polar angles to degrees clockwise from the upper vertical meridian, -180 to 180.

    Parameters
    ----------
    polar_angle : (n_vertices,) array
        In degrees, with the meridian and direction of `convention`, the same for both hemispheres.

    Examples
    --------
    >>> to_clockwise(np.array([0.0, 90.0, 180.0, 300.0]), "horizontal-counterclockwise")
    array([ 90.,   0., -90., 150.])
    """
    start, _, direction = convention.partition("-")
    turned = -polar_angle if direction == "counterclockwise" else polar_angle
    from_vertical = turned + (90 if start == "horizontal" else 0)
    wrapped: Array = (from_vertical + 180) % 360 - 180
    return wrapped


def as_analyzeprf_wrote(
    own: Retinotopy, file: SourceFile, hemisphere: Hemisphere
) -> Retinotopy | None:
    """Convert polar angles named ``ang``, if they follow the convention of analyzePRF.

    analyzePRF counts counter-clockwise from the right horizontal meridian. Other tools convert
    angles but keep the name. The convention with more vertices in the contralateral visual field is
    chosen.

    Parameters
    ----------
    own
        Maps of one hemisphere, with the angles of `file`.

    Returns
    -------
    Retinotopy or None
        Angles refer to the visual field; ``None`` if the angles have the usual convention.
    """
    if own.polar_angle is None or file.reading.angle or not _ANALYZEPRF.search(file.path.name):
        return None
    usual = to_visual_field(own.polar_angle, own.inside, hemisphere)
    turned = to_clockwise(own.polar_angle, "horizontal-counterclockwise")
    as_usual, as_turned = (
        contralateral_share(replace(own, polar_angle=angle), hemisphere)
        for angle in (usual, turned)
    )
    if as_usual is None or as_turned is None or as_turned <= as_usual:
        return None
    return replace(own, polar_angle=turned, is_in_field=True)


def to_visual_field(polar_angle: Array, visual_area: Array, hemisphere: Hemisphere) -> Array:
    """Convert polar angles of either sign convention to the visual field.

    Maps of neuropythy and of the Benson atlas have 0 at the upper vertical meridian and 180 at the
    lower. In most, angles of both hemispheres are positive and refer to the contralateral field. In
    some, negative angles are in the left visual field. The right hemisphere sees the left visual
    field, so most of its angles are negative in a signed map.

    Parameters
    ----------
    polar_angle : (n_vertices,) array
        In degrees.
    visual_area : (n_vertices,) array of int
        Vertices outside all areas are ignored.
    hemisphere : {"L", "R"}

    Returns
    -------
    (n_vertices,) array of float
        Degrees clockwise from the upper vertical meridian, positive in the right visual field.

    Examples
    --------
    >>> to_visual_field(np.array([45.0, 135.0]), np.array([1, 1]), "R")
    array([ -45., -135.])
    >>> to_visual_field(np.array([-45.0, -135.0]), np.array([1, 1]), "R")
    array([ -45., -135.])
    """
    beyond = np.abs(polar_angle) > 180  # counted from 0 to 360
    wrapped: Array = np.where(beyond, (polar_angle + 180) % 360 - 180, polar_angle)
    if hemisphere == "L":
        return wrapped
    inside = wrapped[(visual_area > 0) & np.isfinite(wrapped)]
    is_signed = np.sum(inside < 0) > np.sum(inside > 0)
    return wrapped if is_signed else -wrapped
