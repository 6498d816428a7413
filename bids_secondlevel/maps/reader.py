"""Read the maps of a participant, each file once; a missing map is replaced by the reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bids_secondlevel.core.errors import DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.files import (
    Contrast,
    Fold,
    Localizers,
    MapSource,
    ParticipantFiles,
    Plan,
    RetinotopySource,
    SourceFile,
)
from bids_secondlevel.core.hemispheres import Bilateral, Hemisphere
from bids_secondlevel.core.spaces import OWN
from bids_secondlevel.core.values import Absent, Array, Mesh, Retinotopy, Status, worst
from bids_secondlevel.core.words import listed
from bids_secondlevel.maps.cifti import read_cortex
from bids_secondlevel.maps.combine import combine_runs
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.files import check_present, read_json_object, read_text
from bids_secondlevel.maps.meshes import Triangles, by_interpolation, vertex_areas
from bids_secondlevel.maps.plausibility import (
    check_not_thresholded,
    check_polar_angle,
    check_units,
    check_visual_field,
)
from bids_secondlevel.maps.retinotopy import (
    as_analyzeprf_wrote,
    is_in_field,
    needed_maps,
    read_beside,
    read_only_areas,
    read_other_areas,
    read_retinotopy,
    resample_retinotopy,
    retinotopy_gap,
    to_clockwise,
    unfetched,
)
from bids_secondlevel.maps.spheres import Alignment, align_surfaces, align_volumes
from bids_secondlevel.maps.surfaces import read_map, read_mesh, size_in_words
from bids_secondlevel.maps.volumes import Grid, read_degrees_of_freedom, read_grid, read_volume
from bids_secondlevel.maps.z_values import sig_to_z, t_to_z

Maps = Bilateral[Array | Absent]
"""A map of both hemispheres, or the reason why one is missing."""


_MAP_ENDINGS = (".gii", ".gii.gz", ".nii", ".nii.gz", ".mgz", ".mgh")

_OF_Z = ("single", "stouffer")
"""Combinations that are computed from z maps."""

_LARGEST = 1e100
"""Squares of larger numbers overflow."""


def read_values(file: SourceFile, hemisphere: Hemisphere) -> Array:
    """Read a map.

    Returns
    -------
    (n_vertices,) array of float
        In the precision of the file. For a volume, all voxels of both hemispheres.

    Raises
    ------
    InputMissingError, DataError
        As for the functions for each kind of file.
    """
    reading = file.reading
    if file.kind == "cifti":
        values = read_cortex(file.path, hemisphere, reading.array)
    elif file.kind == "volume":
        values, _ = read_volume(file.path, reading.array)
    else:
        values = read_map(file.path, hemisphere, reading.array)
    if reading.made_z_from == "t":
        values = t_to_z(values, degrees_of_freedom(file, hemisphere, values.size))
    elif reading.made_z_from == "sig":
        values = sig_to_z(values)
    if reading.scale is not None:
        values = _computed(values, lambda wide: wide * reading.scale)
    if reading.angle is not None:
        values = _computed(values, partial(to_clockwise, convention=reading.angle))
    if values.dtype.itemsize > 4 and np.abs(values[np.isfinite(values)]).max(initial=0) > _LARGEST:
        raise DataError(
            f"{file.path}: holds values beyond {_LARGEST:g}, which are too large for computations. "
            "The file is damaged, or its unit is wrong."
        )
    return values


def degrees_of_freedom(file: SourceFile, hemisphere: Hemisphere, n_values: int) -> float | Array:
    """Find the degrees of freedom of a map of t values.

    They are given as a number or a file, or read from the header of a volume of SPM or from
    ``DegreesOfFreedom`` in the JSON file beside the map.

    Raises
    ------
    InputMissingError, DataError
        If they are unknown, or cannot be read or used.
    """
    given = file.reading.df
    if isinstance(given, SourceFile):
        if given.path.name.endswith(_MAP_ENDINGS):
            beside = replace(given, kind=file.kind)
            df: float | Array = np.asarray(read_values(beside, hemisphere), dtype=np.float64)
            if np.size(df) not in (1, n_values):
                raise DataError(
                    f"{given.path}: holds {np.size(df)} degrees of freedom, and {file.path} has "
                    f"{n_values} values; expected one for each, or one for all."
                )
        else:
            df = _number_in(given.path)
    elif given is not None:
        df = given
    else:
        described = read_json_object(file.sidecar) if file.sidecar.is_file() else {}
        said = described.get("DegreesOfFreedom")
        if isinstance(said, (int, float)):
            df = float(said)
        elif file.kind == "volume":
            df = read_degrees_of_freedom(file.path)
        else:
            raise DataError(
                f"{file.path}: holds t values with unknown degrees of freedom, which are needed to "
                f"compute z. Write DegreesOfFreedom into {file.sidecar}, or give df in a [[maps]] "
                "entry of the config file."
            )
    if not np.any(np.asarray(df) > 0):
        raise DataError(f"{file.path}: its degrees of freedom are not above 0. Correct them.")
    return df


def _number_in(path: Path) -> float:
    """Read the only number of a text file, as FSL writes ``dof``."""
    check_present(path)
    if path.suffix == ".json":
        said = read_json_object(path).get("DegreesOfFreedom")
    else:
        try:
            said = float(read_text(path).strip())
        except (OSError, ValueError):
            said = None
    if not isinstance(said, (int, float)):
        raise DataError(
            f"{path}: expected the degrees of freedom as a number, or as DegreesOfFreedom in JSON."
        )
    return float(said)


def _computed(values: Array, change: Callable[[Array], Array]) -> Array:
    """Compute in 64 bits, and return the result in the precision of the values."""
    return change(np.asarray(values, dtype=np.float64)).astype(values.dtype)


class Reader:
    """Read the maps of a participant, each once. A map that is needed again is kept until then.

    Volumes are needed for both hemispheres, and maps of runs in every fold of a cross-validation.
    Other maps are not kept.

    Parameters
    ----------
    needed
        Every map, as often as it is needed.
    """

    def __init__(self, needed: Iterable[tuple[SourceFile, Hemisphere]] = ()) -> None:
        self._due = Counter(self._key(file, hemisphere) for file, hemisphere in needed)
        self._kept: dict[tuple[SourceFile, Hemisphere | None], Array] = {}

    def read(self, file: SourceFile, hemisphere: Hemisphere) -> Array:
        """Read a map with :func:`read_values`. Maps that are kept are read-only."""
        key = self._key(file, hemisphere)
        values = self._kept.pop(key, None)
        if values is None:
            values = read_values(file, hemisphere)
        self._due[key] -= 1
        if self._due[key] > 0:
            values.flags.writeable = False
            self._kept[key] = values
        return values

    @staticmethod
    def _key(file: SourceFile, hemisphere: Hemisphere) -> tuple[SourceFile, Hemisphere | None]:
        return file, None if file.kind == "volume" else hemisphere


def localizer_gap(localizers: Localizers, contrast: str, hemisphere: Hemisphere) -> Absent | None:
    """Explain why the z map of a localizer contrast is missing, if it is."""
    what = f"localizer contrast {contrast}"
    gap = _gap(localizers[contrast], hemisphere, what, "missing_localizer")
    if gap is not None and gap.error is None:
        lacking = [name for name, maps in localizers.items() if not maps] or [contrast]
        named = (
            f"contrast{'s' if len(lacking) > 1 else ''} {listed(lacking)}"  # one message for all
        )
        rois = "Their ROIs" if len(lacking) > 1 else "Its ROI"
        message = f"localizer {named}: no z map found. {rois} cannot be defined."
        return Absent(gap.status, InputMissingError(message))
    return gap


def measured_gap(contrast: Contrast, hemisphere: Hemisphere) -> Absent | None:
    """Explain why a map that should be measured is missing, if it is.

    It is not an error if both hemispheres lack the map: a participant may not have done a task.
    """
    what = f"task {contrast.task}, contrast {contrast.contrast}"
    return _gap(contrast.maps, hemisphere, what, "missing_map")


def _gap(
    sources: Mapping[Hemisphere, MapSource], hemisphere: Hemisphere, what: str, missing: Status
) -> Absent | None:
    source = sources.get(hemisphere)
    if source is not None:
        return unfetched(source.files, missing)
    if not sources:
        return Absent(missing)
    other = next(iter(sources.values())).maps[0].path
    message = f"{what}: the map of hemisphere {hemisphere} is missing; only {other} was found."
    return Absent(missing, InputMissingError(message))


@dataclass(frozen=True, eq=False)
class MeasuredMaps:
    """The maps of a contrast, on the vertices of the ROIs."""

    combined: Maps
    """Maps of all runs together."""
    by_run: Mapping[str, Maps]
    """Maps of single runs, if runs are combined; else empty."""


class MapReader:
    """Read the maps of a participant on the vertices of the ROIs."""

    def __init__(self, files: ParticipantFiles, plan: Plan) -> None:
        self.problems: list[Absent] = []
        """Reasons of missing maps, among those that are measured and in folds."""
        self.messages: list[str] = []
        """Why maps that describe the ROIs without defining them are not used."""
        self._files = files
        self._plan = plan
        self._read = Reader(files.maps).read

    def cortices(self) -> Bilateral[Cortex]:
        """Read retinotopy and localizer of each hemisphere, and resample them to the same vertices.

        ROIs are defined on these. Visual areas come from the nearest vertex; values are
        interpolated.
        """
        own = Bilateral.of(self._own_retinotopy)
        z_maps = Bilateral.of(lambda side: self._localizers(self._files.localizers, side))
        return Bilateral.of(lambda side: self._cortex(side, own[side], z_maps[side]))

    def without_run(self, fold: Fold, cortex: Cortex) -> Cortex:
        """Read the localizer of one hemisphere without one of its runs."""
        z_maps = self._localizers(fold.localizers, cortex.side)
        localizer = self._on_cortex(z_maps, fold.localizers, cortex.side, cortex.alignment)
        if cortex.side in self._plan.sides:
            self.problems += [z for z in localizer.values() if isinstance(z, Absent)]
        return replace(cortex, localizer=localizer)

    def contrast(self, contrast: Contrast, cortex: Bilateral[Cortex]) -> MeasuredMaps:
        """Read the maps of a contrast, and resample them to the vertices of the ROIs."""
        read = {
            (side, file): self._attempt(
                file,
                side,
                "missing_map",
                "unreadable_map",
                is_z=self._plan.statistic in ("z", "t") and source.combination in _OF_Z,
            )
            for side, source in contrast.maps.items()
            for file in source.files
        }

        def made_from(chosen: Contrast) -> Maps:
            def of(side: Hemisphere) -> Array | Absent:
                gap = measured_gap(chosen, side)
                if gap is not None:
                    return gap
                source = chosen.maps[side]
                values = _combine(source, [read[side, file] for file in source.files])
                return self._brought(values, source, side, cortex[side].alignment)

            return Bilateral.of(of)

        combined = made_from(contrast)
        for side in self._plan.sides:
            maps = combined[side]
            if isinstance(maps, Absent):
                self.problems.append(maps)
        return MeasuredMaps(combined, {r: made_from(contrast.of_run(r)) for r in contrast.runs})

    def _attempt(
        self,
        file: SourceFile,
        hemisphere: Hemisphere,
        missing: Status,
        unreadable: Status,
        *,
        is_z: bool,
    ) -> Array | Absent:
        try:
            values = self._read(file, hemisphere)
            if is_z:
                check_not_thresholded(file.path, values)
            return values
        except InputMissingError as error:
            return Absent(missing, error)
        except DataError as error:
            return Absent(unreadable, error)

    def _own_retinotopy(self, side: Hemisphere) -> Retinotopy | Absent:
        """Read the retinotopic maps of a hemisphere on their own surface or grid."""
        gap = retinotopy_gap(self._files, side, self._plan.rois)
        if gap is not None:
            return gap
        source = self._files.retinotopy[side]
        if source.eccentricity is None:
            return read_only_areas(self._files, side, self._plan.rois)
        needed = needed_maps(source, self._plan.rois)
        try:
            own = read_retinotopy(self._read, needed, side)
        except DataError as error:
            return Absent("unreadable_retinotopy", error)
        areas = read_other_areas(self._files, side, self._plan.rois, own.eccentricity.size)
        own = replace(own, other_areas=areas)
        try:
            check_units(needed, own, self._plan.rois)
        except DataError as error:
            return Absent("unreadable_retinotopy", error)
        if source.polar_angle is None:
            return own
        return self._with_sigma(self._with_angle(own, source, side), source, side)

    def _with_angle(
        self, own: Retinotopy, source: RetinotopySource, side: Hemisphere
    ) -> Retinotopy:
        """Read polar angles that no ROI needs, and find their convention."""
        assert source.polar_angle is not None
        if own.polar_angle is None:
            try:  # it describes the ROIs without defining them
                angle = read_beside(self._read, source.polar_angle, source, side, own)
                check_polar_angle(source.polar_angle.path, angle, own.inside)
            except (DataError, InputMissingError) as error:
                self.messages.append(f"the polar angle is not used: {error}")
                return own
            own = replace(own, polar_angle=angle, is_in_field=is_in_field(source))
        turned = as_analyzeprf_wrote(own, source.polar_angle, side)
        if turned is None or self._plan.is_volume:
            return own
        self.messages.append(
            f"{source.polar_angle.path}: the program assumed that polar angles are "
            "counter-clockwise from the right horizontal meridian, as in analyzePRF. Otherwise "
            "more of the hemisphere would see the wrong half of the visual field. To confirm this, "
            "give angle in a [[retinotopy]] entry of the config file."
        )
        return turned

    def _with_sigma(
        self, own: Retinotopy, source: RetinotopySource, side: Hemisphere
    ) -> Retinotopy:
        """Read the sizes of receptive fields, if pictures of the visual field can show them."""
        if source.sigma is None or own.polar_angle is None or self._plan.visual_field is None:
            return own
        try:
            return replace(own, sigma=read_beside(self._read, source.sigma, source, side, own))
        except (DataError, InputMissingError) as error:
            self.messages.append(f"the sizes of receptive fields are not used: {error}")
            return own

    def _in_view(self, retinotopy: Retinotopy | Absent, side: Hemisphere) -> Retinotopy | Absent:
        """Check that a hemisphere sees its half of the visual field."""
        if isinstance(retinotopy, Absent) or retinotopy.polar_angle is None:
            return retinotopy
        file = self._files.retinotopy[side].polar_angle
        assert file is not None
        try:
            check_visual_field(file.path, retinotopy, side)
        except DataError as error:
            if any(roi.rule.polar_angle for roi in self._plan.rois):
                return Absent("unreadable_retinotopy", error)
            self.messages.append(f"the polar angle is not used: {error}")
            return replace(retinotopy, polar_angle=None)
        return retinotopy

    def _localizers(self, localizers: Localizers, side: Hemisphere) -> dict[str, Array | Absent]:
        """Read the z maps of a hemisphere on their own surface."""

        def z_of(contrast: str) -> Array | Absent:
            gap = localizer_gap(localizers, contrast, side)
            if gap is not None:
                return gap
            source = localizers[contrast][side]
            read = [
                self._attempt(
                    file,
                    side,
                    "missing_localizer",
                    "unreadable_localizer",
                    is_z=source.combination in _OF_Z,
                )
                for file in source.files
            ]
            return _combine(source, read)

        return {contrast: z_of(contrast) for contrast in localizers}

    def _cortex(
        self, side: Hemisphere, own: Retinotopy | Absent, z_maps: Mapping[str, Array | Absent]
    ) -> Cortex:
        alignment = self._align(side, own, z_maps)
        retinotopy = self._in_view(resample_retinotopy(own, alignment, side), side)
        localizer = self._on_cortex(z_maps, self._files.localizers, side, alignment)
        areas, triangles = None, None
        if not isinstance(retinotopy, Absent) and alignment.grid is None:
            areas, triangles = self._mesh(side, retinotopy.eccentricity.size, alignment)
        return Cortex(
            side=side,
            retinotopy=retinotopy,
            localizer=localizer,
            alignment=alignment,
            areas=areas,
            triangles=triangles,
        )

    def _align(
        self, side: Hemisphere, own: Retinotopy | Absent, z_maps: Mapping[str, Array | Absent]
    ) -> Alignment:
        """Find how to bring retinotopy and maps of a hemisphere to the same vertices."""
        if self._plan.is_volume:
            return align_volumes(self._files, side)
        n_own = None if isinstance(own, Absent) else own.eccentricity.size
        # A damaged map does not change the surface of the others.
        counts = Counter(z.size for z in z_maps.values() if not isinstance(z, Absent))
        n_maps = counts.most_common(1)[0][0] if counts else self._first_size(side)
        return align_surfaces(n_own, n_maps, self._files, side, self._plan)

    def _first_size(self, side: Hemisphere) -> int | None:
        """Count the vertices of the first readable map that is measured."""
        for contrast in self._files.contrasts:
            for file in contrast.maps[side].files if side in contrast.maps else ():
                try:
                    return read_values(file, side).size
                except (DataError, InputMissingError):
                    continue
        return None

    def _mesh(
        self, side: Hemisphere, n_vertices: int, alignment: Alignment
    ) -> tuple[Array | None, Triangles | None]:
        """Read the mesh of a hemisphere, and compute the areas of its vertices."""
        surface = self._files.surfaces.get(side)
        if surface is None:
            return None, None
        try:
            mesh = _on_target(read_mesh(surface.path, side), n_vertices, alignment)
        except SecondLevelError as error:
            self.messages.append(f"surface areas are not measured: {error}")
            return None, None
        if len(mesh.coordinates) == n_vertices:
            return vertex_areas(mesh.coordinates, mesh.triangles), mesh.triangles
        if self._plan.space in (
            None,
            OWN,
        ):  # in a template, a mesh of the participant is not suitable
            self.messages.append(
                f"surface areas are not measured: {surface.path} has {len(mesh.coordinates)} "
                f"vertices, but the maps have {n_vertices}."
            )
        return None, None

    def _on_cortex(
        self,
        z_maps: Mapping[str, Array | Absent],
        localizers: Localizers,
        side: Hemisphere,
        alignment: Alignment,
    ) -> dict[str, Array | Absent]:
        return {
            contrast: self._brought(z, localizers[contrast].get(side), side, alignment)
            for contrast, z in z_maps.items()
        }

    def _brought(
        self,
        values: Array | Absent,
        source: MapSource | None,
        side: Hemisphere,
        alignment: Alignment,
    ) -> Array | Absent:
        """Resample a map from the surface or grid of the maps to that of the ROIs."""
        if isinstance(values, Absent) or source is None:
            return values
        if alignment.grid is not None:
            misfit = _misfit(source, alignment.grid)
            if misfit is not None:
                return Absent("vertex_mismatch", misfit)
            return _of_half(values, alignment.grid.hemisphere(side))
        if alignment.n_maps in (None, values.size):
            if alignment.no_maps is not None:
                return alignment.no_maps
            link = alignment.maps
            return values if link is None else by_interpolation(link.resampling, values)
        retinotopy = self._files.retinotopy.get(side)
        is_beside = retinotopy is not None and not (alignment.retinotopy or alignment.no_retinotopy)
        others = "the other maps have"
        if retinotopy is not None and is_beside:
            others = f"{(retinotopy.visual_area or retinotopy.first).path} has"
        path = source.files[0].path
        message = (
            f"{path} has {size_in_words(path, values.size)}, but {others} {alignment.n_maps}: "
            "they are not on the same surface. Check that both belong to this participant and "
            "hemisphere, and that the maps are in the space of the retinotopy (--space, "
            "--retinotopy-source)."
        )
        return Absent("vertex_mismatch", DataError(message))


def _combine(source: MapSource, read: Sequence[Array | Absent]) -> Array | Absent:
    """Combine the maps of the files of a source."""
    absent = [values for values in read if isinstance(values, Absent)]
    if absent:
        return worst(absent)
    maps = [values for values in read if not isinstance(values, Absent)]
    if len({values.size for values in maps}) > 1:
        counts = ", ".join(
            f"{file.path} has {size_in_words(file.path, values.size)}"
            for file, values in zip(source.files, maps, strict=True)
        )
        message = f"maps of runs with different numbers of vertices cannot be combined: {counts}."
        return Absent("vertex_mismatch", DataError(message))
    n_runs = len(source.maps)
    return combine_runs(maps[:n_runs], maps[n_runs:], source.combination)


def _of_half(values: Array, inside: Array) -> Array:
    """Set the voxels of the other hemisphere to NaN."""
    return np.where(inside, values, np.nan).astype(values.dtype)


def _misfit(source: MapSource, grid: Grid) -> DataError | None:
    """Explain which volume has a different grid from the first map, if any."""
    for file in source.files:
        try:
            own = read_grid(file.path, file.reading.array)
        except (DataError, InputMissingError) as error:
            return DataError(str(error))
        if not own.matches(grid):
            return DataError(
                f"{file.path} has {own.describe()}; the first map has {grid.describe()}. Maps of "
                "volumes are not resampled: write all of them on the same grid."
            )
    return None


def _on_target(mesh: Mesh, n_vertices: int, alignment: Alignment) -> Mesh:
    """Resample the mesh of the retinotopy to the surface of the ROIs."""
    link = alignment.retinotopy
    if (
        link is None
        or link.triangles is None
        or len(mesh.coordinates) == n_vertices
        or link.resampling.n_source != len(mesh.coordinates)
    ):
        return mesh
    return Mesh(by_interpolation(link.resampling, mesh.coordinates), link.triangles)
