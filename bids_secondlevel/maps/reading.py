"""Read the maps chosen for a participant; where one cannot be had, say why in its place."""

from collections import Counter
from collections.abc import Mapping, Sequence

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.files import (
    EstimateSource,
    Localizers,
    MapSource,
    ParticipantFiles,
    Plan,
    SourceFile,
)
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.values import Absent, Array, Retinotopy, Status, worst
from bids_secondlevel.maps.reader import Reader, of_hemisphere
from bids_secondlevel.maps.retinotopy import carry_map, unfetched
from bids_secondlevel.maps.spheres import Alignment, align_surfaces, align_volumes
from bids_secondlevel.maps.volumes import Grid, read_grid
from bids_secondlevel.rois.measure import combine_runs


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


def read_localizers(
    reader: Reader, localizers: Localizers, hemisphere: Hemisphere
) -> dict[str, Array | Absent]:
    """Read the z maps of localizer contrasts in one hemisphere, on the surface they are on."""
    return {
        contrast: _read_localizer(reader, localizers, contrast, hemisphere)
        for contrast in localizers
    }


def _read_localizer(
    reader: Reader, localizers: Localizers, contrast: str, hemisphere: Hemisphere
) -> Array | Absent:
    gap = localizer_gap(localizers, contrast, hemisphere)
    if gap is not None:
        return gap
    source = localizers[contrast][hemisphere]
    statuses: Sequence[Status] = ("missing_localizer", "unreadable_localizer")
    return _combine(source, [_read(reader, file, hemisphere, *statuses) for file in source.files])


def carry_localizers(
    z_maps: Mapping[str, Array | Absent],
    localizers: Localizers,
    files: ParticipantFiles,
    hemisphere: Hemisphere,
    alignment: Alignment,
) -> dict[str, Array | Absent]:
    """Bring z maps of one hemisphere to where the ROIs are defined."""
    return {
        contrast: _carried(z, localizers[contrast].get(hemisphere), files, hemisphere, alignment)
        for contrast, z in z_maps.items()
    }


def align(
    own: Retinotopy | Absent,
    z_maps: Mapping[str, Array | Absent],
    files: ParticipantFiles,
    hemisphere: Hemisphere,
    plan: Plan,
) -> Alignment:
    """Find how retinotopy and maps of one hemisphere come to share their vertices.

    Parameters
    ----------
    own : Retinotopy or Absent
        On its own surface.
    z_maps : mapping of str to (n_vertices,) array or Absent
        On the surface of the maps.
    files : ParticipantFiles
    hemisphere : {"L", "R"}
    plan : Plan
    """
    if plan.is_volume:
        return align_volumes(files, hemisphere)
    n_own = None if isinstance(own, Absent) else own.eccentricity.size
    # One damaged map does not change what surface the others are on.
    counts = Counter(z.size for z in z_maps.values() if not isinstance(z, Absent))
    n_maps = counts.most_common(1)[0][0] if counts else _first_size(files, hemisphere)
    return align_surfaces(n_own, n_maps, files, hemisphere, plan)


def _first_size(files: ParticipantFiles, hemisphere: Hemisphere) -> int | None:
    """Count the vertices of the first map to be measured that can be read."""
    for estimate in files.estimates:
        for file in estimate.maps[hemisphere].files if hemisphere in estimate.maps else ():
            values = _read(Reader(), file, hemisphere, "missing_map", "unreadable_map")
            if not isinstance(values, Absent):
                return values.size
    return None


def read_measured(
    reader: Reader,
    files: ParticipantFiles,
    estimate: EstimateSource,
    alignments: Mapping[Hemisphere, Alignment],
) -> tuple[dict[Hemisphere, Array | Absent], dict[str, dict[Hemisphere, Array | Absent]]]:
    """Read the maps of a contrast to be measured, each file once.

    Parameters
    ----------
    reader : Reader
    files : ParticipantFiles
    estimate : EstimateSource
    alignments : mapping of hemisphere to Alignment
        How maps come to where the ROIs are defined.

    Returns
    -------
    maps : dict of hemisphere to (n_vertices,) array or Absent
    runs : dict of run to such a dict
        What each run gives alone, where runs are combined; else empty.
    """
    statuses: Sequence[Status] = ("missing_map", "unreadable_map")
    read = {
        (hemi, file): _read(reader, file, hemi, *statuses)
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
                made[hemi] = _carried(values, source, files, hemi, alignments[hemi])
            else:
                made[hemi] = gap
        return made

    return made_from(estimate), {run: made_from(estimate.of_run(run)) for run in estimate.runs}


def _gap(
    sources: Mapping[Hemisphere, MapSource], hemisphere: Hemisphere, what: str, missing: Status
) -> Absent | None:
    source = sources.get(hemisphere)
    if source is not None:
        return unfetched(source.files, missing)
    if not sources:
        return Absent(missing)
    other = next(iter(sources.values())).maps[0].path
    message = f"{what}: hemisphere {hemisphere} is missing, there is only {other}."
    return Absent(missing, InputMissingError(message))


def _read(
    reader: Reader, file: SourceFile, hemisphere: Hemisphere, missing: Status, unreadable: Status
) -> Array | Absent:
    try:
        return reader.read(file, hemisphere)
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


def _carried(
    values: Array | Absent,
    source: MapSource | None,
    files: ParticipantFiles,
    hemisphere: Hemisphere,
    alignment: Alignment,
) -> Array | Absent:
    """Bring a map that is on the surface of the maps, or on their grid, to that of the ROIs."""
    if isinstance(values, Absent) or source is None:
        return values
    if alignment.grid is not None:
        misfit = _misfit(source, alignment.grid)
        if misfit is not None:
            return Absent("vertex_mismatch", misfit)
        return of_hemisphere(values, alignment.grid.hemisphere(hemisphere))
    if alignment.n_maps in (None, values.size):
        return carry_map(values, alignment)
    retinotopy = files.retinotopy.get(hemisphere)
    is_beside = retinotopy is not None and not (alignment.retinotopy or alignment.no_retinotopy)
    others = "the other maps have"
    if retinotopy is not None and is_beside:
        others = f"{(retinotopy.visual_area or retinotopy.eccentricity).path} has"
    message = (
        f"{source.files[0].path} has {values.size} vertices, but {others} {alignment.n_maps}: they "
        "are not on the same surface. Check that both belong to this participant and hemisphere, "
        "and that the maps are in the space of the retinotopy (--space, --retinotopy-source)."
    )
    return Absent("vertex_mismatch", DataError(message))


def _misfit(source: MapSource, grid: Grid) -> DataError | None:
    """Say which volume of a map is on another grid than the first map, if one is."""
    for file in source.files:
        try:
            own = read_grid(file.path)
        except (DataError, InputMissingError) as error:
            return DataError(str(error))
        if not own.matches(grid):
            return DataError(
                f"{file.path} has {own.describe()}; the first map has {grid.describe()}. Maps are "
                "measured on one grid and are not resampled to it: write them all on the same."
            )
    return None
