"""Resample the maps and masks of one participant to the common surface of a group.

Maps are chosen, read and combined as at participant level, by the settings that it has recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.errors import DataError, InputMissingError, SecondLevelError, UsageError
from bids_secondlevel.core.files import Contrast, Plan
from bids_secondlevel.core.hemispheres import HEMISPHERES, Bilateral, Hemisphere
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.settings import AUTO, Settings
from bids_secondlevel.core.spaces import (
    DENSITIES,
    OWN,
    density_of,
    family,
    template_surface_of,
    vertex_counts,
)
from bids_secondlevel.core.values import Absent, Array, Mask, worst
from bids_secondlevel.core.words import in_words
from bids_secondlevel.inputs.study import Chosen, Study, choose
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.meshes import by_nearest
from bids_secondlevel.maps.reader import MapReader, read_values
from bids_secondlevel.maps.spheres import Surface
from bids_secondlevel.maps.surfaces import read_map
from bids_secondlevel.outputs.masks import localizer_of, retinotopy_label
from bids_secondlevel.outputs.names import ESTIMATES, ParticipantFolder
from bids_secondlevel.outputs.tables import read_sidecar
from bids_secondlevel.stats.gather import select
from bids_secondlevel.stats.roi_shares import Vertices

Cell = tuple[str | None, str, str]
"""Session, task and contrast of a map."""

Studies = Mapping[str, Sequence[Study]]
"""What the participants were chosen for, by label, in each job that has processed them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OnSurface:
    """What a participant has on the common surface, at the vertices of both hemispheres."""

    label: str
    """Without ``sub-``."""
    maps: Mapping[Cell, Array | Absent]
    """NaN in a hemisphere without a map."""
    masks: Mapping[str, Vertices]
    """Of the ROIs, by name, if there are masks of both hemispheres."""
    region: Vertices | None
    """The retinotopy mask, if there is one."""
    areas: NDArray[np.integer[Any]] | None
    """Labels of visual areas, if there is retinotopy."""
    roi_names: tuple[str, ...] = ()
    region_name: str = ""
    resampling: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """What is missing, and why."""


def common_surface(settings: Settings, studies: Studies) -> Surface:
    """Choose the surface: as asked for, else the one that the maps of the first participant are on.

    Raises
    ------
    SecondLevelError
        If the maps are volumes, or nobody has one that can be read.
    """
    errors: list[SecondLevelError] = []
    for label, of_jobs in studies.items():
        try:
            chosen = choose(label, of_jobs[0])
            if chosen.plan.is_volume:
                raise UsageError(
                    "--group-maps: the maps are volumes, which are not projected to a surface "
                    "here; nilearn's vol_to_surf and FreeSurfer's mri_vol2surf do that."
                )
            asked = template_surface_of(settings.group_maps or AUTO)
            if asked is not None:
                return Surface(*asked)
            return _surface_of_maps(chosen.plan, _first_size(chosen.files.contrasts))
        except UsageError:
            raise
        except SecondLevelError as error:
            errors.append(error)
    raise errors[0]


def _first_size(contrasts: Iterable[Contrast]) -> int:
    """Count the vertices of the first map that can be read."""
    errors: list[SecondLevelError] = []
    for contrast in contrasts:
        for side, source in contrast.maps.items():
            try:
                return read_values(source.files[0], side).size
            except (DataError, InputMissingError) as error:
                errors.append(error)
    raise errors[0] if errors else InputMissingError("--group-maps: no map was found.")


def _surface_of_maps(plan: Plan, n_maps: int) -> Surface:
    """Choose the template that maps are on or were resampled to; else fsaverage."""
    if plan.space not in (None, OWN, plan.maps_space):
        return Surface(family(plan.space) or OWN, vertex_counts(plan.space, plan.density)[0])
    if plan.maps_space not in (None, OWN):
        return Surface(family(plan.maps_space) or OWN, n_maps)
    every = DENSITIES["fsaverage"].values()
    return Surface("fsaverage", min(every, key=lambda n: abs(n - n_maps)))


def resample(label: str, studies: Studies, surface: Surface, settings: Settings) -> OnSurface:
    """Resample the maps and the masks of a participant to the common surface."""
    found: list[OnSurface] = []
    problems: list[str] = []
    for study in studies[label]:
        try:
            found.append(_resample_from(choose(label, study), surface, settings))
        except SecondLevelError as error:
            problems.append(str(error))
    if not found:
        return OnSurface(
            label=label, maps={}, masks={}, region=None, areas=None, problems=tuple(problems)
        )
    # ROIs and areas are the same in every job of a participant; each has maps of its sessions.
    maps = {cell: values for of in reversed(found) for cell, values in of.maps.items()}
    said = dict.fromkeys((*problems, *(problem for of in found for problem in of.problems)))
    return replace(found[0], maps=maps, problems=tuple(said))


def _resample_from(chosen: Chosen, surface: Surface, settings: Settings) -> OnSurface:
    plan, n = chosen.plan, surface.n_vertices
    folder = ParticipantFolder(settings.output_dir, chosen.files.label, plan.space, plan.session)
    _check_sources(chosen, folder)
    density = density_of(surface.space, n)
    there = replace(plan, space=surface.space, density=density)
    if density is None:  # an unknown template, to which nothing can be resampled
        there = replace(there, space=plan.maps_space)
    files = replace(chosen.files, localizers={}, folds=(), surfaces={})
    read = MapReader(files, there)
    cortex = read.cortices()
    asked = wanted([_cell(contrast) for contrast in files.contrasts], settings)
    maps: dict[Cell, Array | Absent] = {}
    problems: list[str] = []
    for contrast in files.contrasts:
        if _cell(contrast) in asked:
            halves = read.contrast(contrast, cortex).combined.map(partial(_fitting, n=n))
            maps[_cell(contrast)], problem = _joined(halves, n, contrast)
            problems += problem
    masks, lost = _masks(chosen, folder, cortex, n)
    retinotopy = [
        np.zeros(n, dtype=np.int32)
        if isinstance(half.retinotopy, Absent)
        # of another surface, if it cannot be resampled
        or half.retinotopy.visual_area.size != n
        else half.retinotopy.visual_area
        for half in cortex
    ]
    lost = {why: of for why, of in lost.items() if why not in problems}
    labels = dict.fromkeys(retinotopy_label(roi, plan) for roi in plan.rois)
    regions = [masks.pop(f"retinotopy {label}", None) for label in labels]
    region = [of for of in regions if of is not None]
    return OnSurface(
        label=chosen.files.label,
        maps=maps,
        masks=masks,
        region=np.unique(np.concatenate(region)) if len(region) == len(labels) else None,
        areas=np.concatenate(retinotopy),
        roi_names=tuple(roi.name for roi in plan.rois),
        region_name=next(iter(labels)) if len(labels) == 1 else "retinotopy",
        resampling=tuple(dict.fromkeys(how for half in cortex for how in half.alignment.methods)),
        problems=(
            *problems,
            *(
                f"{why} The shares of {in_words(of)} exclude the participant."
                for why, of in lost.items()
            ),
        ),
    )


def _check_sources(chosen: Chosen, folder: ParticipantFolder) -> None:
    """Check that the maps are those that the estimates of the participant were measured in.

    Raises
    ------
    DataError
        If they are not, or it cannot be known.
    """
    table = folder.table(ESTIMATES)
    measured = set(read_sidecar(table).get("Sources", ()))
    now = {f.uri for of in chosen.files.contrasts for s in of.maps.values() for f in s.files}
    if now != measured:
        raise DataError(
            f"{table}: was made from other maps than there are now. Run the participant level "
            "again. Until then, the maps of the group exclude the participant."
        )


def _cell(contrast: Contrast) -> Cell:
    return contrast.session, contrast.task, contrast.contrast


def wanted(cells: Iterable[Cell], settings: Settings) -> list[Cell]:
    """Keep what the settings ask for, sorted."""
    import pandas as pd

    every = sorted(cells, key=lambda cell: (cell[0] or "", *cell[1:]))
    rows = [(session or MISSING, *rest) for session, *rest in every]
    table = pd.DataFrame(rows, columns=["session", "task", "contrast"], dtype="str")
    return [every[place] for place in select(table, settings).index]


def _fitting(values: Array | Absent, n: int) -> Array | Absent:
    """Check that a map is on the common surface."""
    if isinstance(values, Absent) or values.size == n:
        return values
    error = DataError(f"A map has {values.size} vertices, and the common surface has {n}.")
    return Absent("vertex_mismatch", error)


def _joined(
    halves: Bilateral[Array | Absent], n: int, contrast: Contrast
) -> tuple[Array | Absent, list[str]]:
    """Put both hemispheres into one map, and say what it lacks."""
    absent = [half for half in halves if isinstance(half, Absent)]
    if len(absent) == len(HEMISPHERES):
        reason = worst(absent)
        return reason, [str(reason.error)] if reason.error else []
    said = [
        f"task {contrast.task}, contrast {contrast.contrast}: no map of hemisphere {side} "
        f"({half.error or half.status}). Its vertices are tested without this participant."
        for side, half in halves.items()
        if isinstance(half, Absent)
    ]
    nothing = np.full(n, np.nan, dtype=np.float32)
    joined = np.concatenate([nothing if isinstance(of, Absent) else of for of in halves])
    joined = joined.astype(np.float32)
    joined[~np.isfinite(joined)] = np.nan
    return joined, said


def _masks(
    chosen: Chosen, folder: ParticipantFolder, cortex: Bilateral[Cortex], n: int
) -> tuple[dict[str, Vertices], dict[str, list[str]]]:
    """Bring the masks that the participant level has written to the common surface.

    Returns
    -------
    masks : dict
        By the name of the ROI, or ``retinotopy`` and the name of the areas, those that there are
        of both hemispheres.
    lost : dict
        Of which other masks there are none, by the reason.
    """
    plan = chosen.plan
    named = {
        f"retinotopy {retinotopy_label(roi, plan)}": (
            retinotopy_label(roi, plan),
            "retinotopy",
            None,
        )
        for roi in plan.rois
    } | {roi.name: (roi.name, "combined", localizer_of(roi, plan)) for roi in plan.rois}
    masks: dict[str, Vertices] = {}
    lost: dict[str, list[str]] = {}
    for name, (label, desc, task) in named.items():
        try:
            halves = [
                _resampled(folder.mask(side, label, desc, task), side, plan, cortex[side], n)
                for side in HEMISPHERES
            ]
        except InputMissingError:
            why = f"{folder.folders[0]}: has no masks of ROIs that could not be defined."
            lost.setdefault(why, []).append(label)
            continue
        except DataError as error:
            lost.setdefault(str(error), []).append(label)
            continue
        masks[name] = np.flatnonzero(np.concatenate(halves)).astype(np.int32)
    return masks, lost


def _resampled(path: Path, side: Hemisphere, plan: Plan, cortex: Cortex, n: int) -> Mask:
    """Read a mask of the participant level, and resample it to the common surface.

    The ROIs were defined on the surface of the maps, or on that of the retinotopy.
    """
    mask = read_map(path, side) > 0
    alignment = cortex.alignment
    link = alignment.maps if plan.space == plan.maps_space else alignment.retinotopy
    if link is not None and link.resampling.n_source == mask.size:
        return by_nearest(link.resampling, mask)
    if mask.size == n:
        return mask
    for gap in (alignment.no_maps, alignment.no_retinotopy):
        if gap is not None and gap.error is not None:
            raise gap.error
    raise DataError(
        f"{path}: has {mask.size} vertices, and the common surface has {n}. Run the participant "
        "level again."
    )
