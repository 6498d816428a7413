"""Read the maps chosen for a participant; where one cannot be had, say why in its place."""

from collections.abc import Mapping

from bids_secondlevel.errors import DataError, InputMissingError
from bids_secondlevel.measures import combine_runs
from bids_secondlevel.model import (
    Absent,
    Array,
    EstimateSource,
    Hemisphere,
    MapSource,
    ParticipantFiles,
    Retinotopy,
    Status,
)
from bids_secondlevel.surfaces import read_map, read_retinotopy


def read_participant_retinotopy(
    files: ParticipantFiles, hemisphere: Hemisphere
) -> Retinotopy | Absent:
    """Read the retinotopic maps of one hemisphere."""
    source = files.retinotopy.get(hemisphere)
    if source is None:
        side = f"{hemisphere.lower()}h"
        error = InputMissingError(
            f"no retinotopy of hemisphere {hemisphere} found: expected visual area and "
            f"eccentricity of one source, such as {side}.benson14_varea.mgz and "
            f"{side}.benson14_eccen.mgz, in the participant's folder of a dataset (or in surf/ "
            "below it). Name the dataset with --derivatives."
        )
        return Absent("missing_retinotopy", error)
    try:
        return read_retinotopy(source, hemisphere)
    except InputMissingError as error:
        return Absent("missing_retinotopy", error)
    except DataError as error:
        return Absent("unreadable_retinotopy", error)


def read_localizer(
    files: ParticipantFiles,
    contrast: str,
    hemisphere: Hemisphere,
    retinotopy: Retinotopy | Absent,
) -> Array | Absent:
    """Read the z map of a localizer contrast; it must have the vertices of the retinotopy."""
    what = f"localizer contrast {contrast}"
    sources = files.localizers[contrast]
    z = _read(sources, hemisphere, what, "missing_localizer", "unreadable_localizer")
    if isinstance(z, Absent) and z.error is None:
        return Absent(z.status, InputMissingError(f"{what}: no z map found."))
    return _fitting(z, sources.get(hemisphere), retinotopy, files, hemisphere)


def read_measured(
    files: ParticipantFiles,
    estimate: EstimateSource,
    hemisphere: Hemisphere,
    retinotopy: Retinotopy | Absent,
) -> Array | Absent:
    """Read a map to be measured; it must have the vertices of the retinotopy.

    That neither hemisphere has such a map is no failure: not everybody did every task.
    """
    what = f"task {estimate.task}, contrast {estimate.contrast}"
    values = _read(estimate.maps, hemisphere, what, "missing_map", "unreadable_map")
    return _fitting(values, estimate.maps.get(hemisphere), retinotopy, files, hemisphere)


def _read(
    sources: Mapping[Hemisphere, MapSource],
    hemisphere: Hemisphere,
    what: str,
    missing: Status,
    unreadable: Status,
) -> Array | Absent:
    source = sources.get(hemisphere)
    if source is None:
        if not sources:
            return Absent(missing)
        other = next(iter(sources.values())).maps[0].path
        message = f"{what}: no map of hemisphere {hemisphere} found, though there is {other}."
        return Absent(missing, InputMissingError(message))
    try:
        maps = [read_map(file.path, hemisphere) for file in source.maps]
        variances = [read_map(file.path, hemisphere) for file in source.variances]
    except InputMissingError as error:
        return Absent(missing, error)
    except DataError as error:
        return Absent(unreadable, error)
    if len({values.size for values in (*maps, *variances)}) > 1:
        counts = ", ".join(
            f"{file.path} has {values.size}"
            for file, values in zip(source.files, (*maps, *variances), strict=True)
        )
        message = f"{what}: maps to be combined differ in their number of vertices: {counts}."
        return Absent("vertex_mismatch", DataError(message))
    return combine_runs(maps, variances, source.combination)


def _fitting(
    values: Array | Absent,
    source: MapSource | None,
    retinotopy: Retinotopy | Absent,
    files: ParticipantFiles,
    hemisphere: Hemisphere,
) -> Array | Absent:
    """Pass on a map that has the vertices of the retinotopy."""
    if isinstance(values, Absent) or isinstance(retinotopy, Absent) or source is None:
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
