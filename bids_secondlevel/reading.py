"""Read the maps chosen for a participant; where one cannot be had, say why in its place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bids_secondlevel.annex import check_present
from bids_secondlevel.errors import DataError, InputMissingError
from bids_secondlevel.measures import combine_runs, worst
from bids_secondlevel.mesh import vertex_areas
from bids_secondlevel.model import (
    HEMISPHERES,
    Absent,
    Array,
    EstimateSource,
    Hemisphere,
    Localizers,
    MapSource,
    ParticipantFiles,
    Retinotopy,
    RetinotopySource,
    SourceFile,
    Status,
)
from bids_secondlevel.quality import VertexMaps
from bids_secondlevel.rois import to_visual_field
from bids_secondlevel.settings import RoiDefinition
from bids_secondlevel.surfaces import (
    read_map,
    read_map_like,
    read_mesh,
    read_retinotopy,
)


def retinotopy_gap(
    files: ParticipantFiles, hemisphere: Hemisphere, rois: Sequence[RoiDefinition]
) -> Absent | None:
    """Say why the retinotopic maps of one hemisphere are not there, if they are not."""
    source = files.retinotopy.get(hemisphere)
    side = f"{hemisphere.lower()}h"
    if source is None:
        error = InputMissingError(
            f"no retinotopy of hemisphere {hemisphere} found: expected visual area and "
            f"eccentricity of one source, such as {side}.benson14_varea.mgz and "
            f"{side}.benson14_eccen.mgz, in the participant's folder of a dataset (or in surf/ "
            "below it). Name the dataset with --derivatives."
        )
        return Absent("missing_retinotopy", error)
    return _unfetched(_needed(source, rois).files, "missing_retinotopy")


def _needed(source: RetinotopySource, rois: Sequence[RoiDefinition]) -> RetinotopySource:
    """Leave out the maps that no ROI is defined by."""
    if not any(roi.rule.polar_angle for roi in rois):
        source = replace(source, polar_angle=None)
    if not any(roi.rule.min_variance_explained is not None for roi in rois):
        source = replace(source, variance_explained=None)
    return source


def localizer_gap(localizers: Localizers, contrast: str, hemisphere: Hemisphere) -> Absent | None:
    """Say why the z map of a localizer contrast is not there, if it is not."""
    what = f"localizer contrast {contrast}"
    gap = _gap(localizers[contrast], hemisphere, what, "missing_localizer")
    if gap is not None and gap.error is None:
        return Absent(gap.status, InputMissingError(f"{what}: no z map found."))
    return gap


def measured_gap(estimate: EstimateSource, hemisphere: Hemisphere) -> Absent | None:
    """Say why a map to be measured is not there, if it is not.

    That neither hemisphere has such a map is no failure: not everybody did every task.
    """
    what = f"task {estimate.task}, contrast {estimate.contrast}"
    return _gap(estimate.maps, hemisphere, what, "missing_map")


def read_participant_retinotopy(
    files: ParticipantFiles, hemisphere: Hemisphere, rois: Sequence[RoiDefinition]
) -> Retinotopy | Absent:
    """Read the retinotopic maps of one hemisphere that the definition of the ROIs needs."""
    gap = retinotopy_gap(files, hemisphere, rois)
    if gap is not None:
        return gap
    try:
        return read_retinotopy(_needed(files.retinotopy[hemisphere], rois), hemisphere)
    except DataError as error:
        return Absent("unreadable_retinotopy", error)


def read_vertex_maps(
    files: ParticipantFiles, hemisphere: Hemisphere, retinotopy: Retinotopy | Absent
) -> tuple[VertexMaps, list[str]]:
    """Read what describes the ROIs but does not define them: polar angle, mesh, areas.

    Returns
    -------
    maps : VertexMaps
        What could not be had, or does not fit the retinotopy, is ``None`` in it.
    messages : list of str
        Why something that is there was not used.
    """
    if isinstance(retinotopy, Absent):
        return VertexMaps(), []
    messages: list[str] = []
    maps = VertexMaps(polar_angle=retinotopy.polar_angle, eccentricity=retinotopy.eccentricity)
    angle = files.retinotopy[hemisphere].polar_angle
    try:
        if angle is not None and maps.polar_angle is None:
            values = read_map_like(angle.path, hemisphere, retinotopy.visual_area.size)
            field = to_visual_field(values, retinotopy.visual_area, hemisphere)
            maps = replace(maps, polar_angle=field)
    except (DataError, InputMissingError) as error:
        messages.append(f"polar angle is not used: {error}")
    surface = files.surfaces.get(hemisphere)
    try:
        if surface is not None:
            mesh = read_mesh(surface.path, hemisphere)
            if len(mesh.coordinates) != retinotopy.visual_area.size:
                raise DataError(
                    f"{surface.path} has {len(mesh.coordinates)} vertices, and the maps have "
                    f"{retinotopy.visual_area.size}."
                )
            area = vertex_areas(mesh.coordinates, mesh.triangles)
            maps = replace(maps, area=area, triangles=mesh.triangles)
    except (DataError, InputMissingError) as error:
        messages.append(f"areas are not measured: {error}")
    return maps, messages


def read_localizers(
    files: ParticipantFiles,
    localizers: Localizers,
    hemisphere: Hemisphere,
    retinotopy: Retinotopy | Absent,
) -> dict[str, Array | Absent]:
    """Read the z maps of localizer contrasts in one hemisphere."""
    return {
        contrast: _read_localizer(files, localizers, contrast, hemisphere, retinotopy)
        for contrast in localizers
    }


def _read_localizer(
    files: ParticipantFiles,
    localizers: Localizers,
    contrast: str,
    hemisphere: Hemisphere,
    retinotopy: Retinotopy | Absent,
) -> Array | Absent:
    """Read the z map of a localizer contrast; it must have the vertices of the retinotopy."""
    gap = localizer_gap(localizers, contrast, hemisphere)
    if gap is not None:
        return gap
    source = localizers[contrast][hemisphere]
    statuses: Sequence[Status] = ("missing_localizer", "unreadable_localizer")
    z = _combine(source, [_read(file, hemisphere, *statuses) for file in source.files])
    return _fitting(z, source, retinotopy, files, hemisphere)


def read_measured(
    files: ParticipantFiles,
    estimate: EstimateSource,
    retinotopy: Mapping[Hemisphere, Retinotopy | Absent],
) -> tuple[dict[Hemisphere, Array | Absent], dict[str, dict[Hemisphere, Array | Absent]]]:
    """Read the maps of a contrast to be measured, each file once.

    Parameters
    ----------
    files : ParticipantFiles
    estimate : EstimateSource
    retinotopy : mapping of hemisphere to Retinotopy or Absent
        Maps must have its vertices.

    Returns
    -------
    maps : dict of hemisphere to (n_vertices,) array or Absent
    runs : dict of run to such a dict
        What each run gives alone, where runs are combined; else empty.
    """
    statuses: Sequence[Status] = ("missing_map", "unreadable_map")
    read = {
        (hemi, file): _read(file, hemi, *statuses)
        for hemi, source in estimate.maps.items()
        for file in source.files
    }

    def made_from(chosen: EstimateSource) -> dict[Hemisphere, Array | Absent]:
        made: dict[Hemisphere, Array | Absent] = {}
        for hemi in HEMISPHERES:
            gap = measured_gap(chosen, hemi)
            if gap is None:
                source = chosen.maps[hemi]
                values = _combine(source, [read[hemi, file] for file in source.files])
                made[hemi] = _fitting(values, source, retinotopy[hemi], files, hemi)
            else:
                made[hemi] = gap
        return made

    return made_from(estimate), {run: made_from(estimate.of_run(run)) for run in estimate.runs}


def _gap(
    sources: Mapping[Hemisphere, MapSource], hemisphere: Hemisphere, what: str, missing: Status
) -> Absent | None:
    source = sources.get(hemisphere)
    if source is not None:
        return _unfetched(source.files, missing)
    if not sources:
        return Absent(missing)
    other = next(iter(sources.values())).maps[0].path
    message = f"{what}: hemisphere {hemisphere} is missing, there is only {other}."
    return Absent(missing, InputMissingError(message))


def _unfetched(sources: Iterable[SourceFile], missing: Status) -> Absent | None:
    for source in sources:
        try:
            check_present(source.path)
        except InputMissingError as error:
            return Absent(missing, error)
    return None


def _read(
    file: SourceFile, hemisphere: Hemisphere, missing: Status, unreadable: Status
) -> Array | Absent:
    try:
        return read_map(file.path, hemisphere)
    except InputMissingError as error:
        return Absent(missing, error)
    except DataError as error:
        return Absent(unreadable, error)


def _combine(source: MapSource, read: Sequence[Array | Absent]) -> Array | Absent:
    """Make one map of those of the files of a source."""
    absent = [values for values in read if isinstance(values, Absent)]
    if absent:
        return worst(absent)
    maps = [values for values in read if not isinstance(values, Absent)]
    if len({values.size for values in maps}) > 1:
        counts = ", ".join(
            f"{file.path} has {values.size}"
            for file, values in zip(source.files, maps, strict=True)
        )
        message = f"maps to be combined differ in their number of vertices: {counts}."
        return Absent("vertex_mismatch", DataError(message))
    n_runs = len(source.maps)
    return combine_runs(maps[:n_runs], maps[n_runs:], source.combination)


def _fitting(
    values: Array | Absent,
    source: MapSource,
    retinotopy: Retinotopy | Absent,
    files: ParticipantFiles,
    hemisphere: Hemisphere,
) -> Array | Absent:
    """Pass on a map that has the vertices of the retinotopy."""
    if isinstance(values, Absent) or isinstance(retinotopy, Absent):
        return values
    expected = retinotopy.visual_area.size
    if values.size == expected:
        return values
    message = (
        f"{source.files[0].path} has {values.size} vertices, but "
        f"{files.retinotopy[hemisphere].visual_area.path} has {expected}: they are not on the "
        "same surface. Check that both belong to this participant and hemisphere, and that the "
        "maps are in the space of the retinotopy (--space, --retinotopy-source)."
    )
    return Absent("vertex_mismatch", DataError(message))
