"""Choose, among the maps found for a participant, those that are used; never silently.

Two maps that could both be meant are an error that names them and the option that decides.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

from bids_secondlevel.core.errors import AmbiguousInputError, DataError, InputMissingError
from bids_secondlevel.core.files import (
    Combination,
    Contrast,
    Fold,
    IndexedFile,
    MapSource,
    ParticipantFiles,
    ParticipantIndex,
    Plan,
    SourceFile,
    SurfaceFile,
    Unit,
)
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.spaces import OWN
from bids_secondlevel.inputs.choose_retinotopy import choose_retinotopy
from bids_secondlevel.inputs.datasets import real_path
from bids_secondlevel.inputs.plan import is_measured, same, sessions_of, tie
from bids_secondlevel.inputs.space_choice import is_in
from bids_secondlevel.maps.cifti import describe

# Kinds of surfaces, the best first: to measure areas on, and to draw on or shade by.
_SURFACES = ("midthickness", "graymid", "white", "smoothwm")
_VIEWS = ("inflated", "sphere", "registered", *_SURFACES, "sulc", "curv")

# Entities that tell processing apart; maps with different ones are never combined.
_PROCESSING = ("desc", "fwhm", "res", "model", "proc", "label", "atlas", "segmentation")


def select_files(index: ParticipantIndex, plan: Plan) -> ParticipantFiles:
    """Choose the files of one participant for everything the plan asks for.

    Raises
    ------
    AmbiguousInputError
        If two files could both be meant.
    """
    maps = [file for file in index.statistical_maps if is_in(file, plan)]
    needed = dict.fromkeys(chain.from_iterable(roi.needed for roi in plan.rois))
    localizers = {
        contrast: _by_hemisphere(maps, plan.localizer_task, contrast, _localizer_source)
        for contrast in needed
    }
    participant = f"sub-{index.label}"
    of_localizer = {c: tuple(sources.values()) for c, sources in localizers.items()}
    folds = _folds(maps, participant, tuple(needed), plan) if plan.cross_validate else ()
    source, retinotopy, messages = choose_retinotopy(index, plan)
    if plan.cross_validate and not folds:
        messages.append(
            "--cross-validate: there are no maps of at least two runs of the localizer in which "
            "every contrast has z (or effect and variance) and the map to be measured; its "
            "estimates stay circular."
        )
    contrasts = tuple(_contrasts(maps, participant, of_localizer, plan))
    notes = _subcortex_notes([*localizers.values(), *(each.maps for each in contrasts)])
    return ParticipantFiles(
        label=index.label,
        retinotopy_source=source,
        retinotopy=retinotopy,
        localizers=localizers,
        contrasts=contrasts,
        surfaces=_choose_surfaces(index.surfaces, plan),
        views=_rank_views(index, plan),
        spheres=_list_spheres(index),
        folds=folds,
        messages=(*messages, *notes),
    )


def _subcortex_notes(used: Iterable[Mapping[Hemisphere, MapSource]]) -> Iterator[str]:
    """Say that what CIFTI files hold beside the cortex is not used."""
    files = (file for maps in used for source in maps.values() for file in source.files)
    for file in files:
        if file.kind == "cifti":
            try:
                has_subcortex = describe(file.path).has_subcortex
            except (DataError, InputMissingError):  # said when the map is read
                continue
            if has_subcortex:
                yield "CIFTI files: subcortical voxels are not used, only the cortex."
            return


def _choose_surfaces(surfaces: Iterable[SurfaceFile], plan: Plan) -> dict[Hemisphere, SourceFile]:
    """Choose the mesh nearest to the middle of the cortex; of equal ones the first found.

    One in the space of the ROIs, else one of the participant's own, which can be carried there.
    """
    if plan.is_volume:
        return {}
    space = None if plan.space == OWN else plan.space
    usable = [s for s in surfaces if s.space in (space, None) and s.kind in _SURFACES]
    ranked = sorted(usable, key=lambda s: (s.space != space, _SURFACES.index(s.kind)))
    chosen: dict[Hemisphere, SourceFile] = {}
    for surface in ranked:
        chosen.setdefault(surface.hemisphere, surface.source)
    return chosen


def _rank_views(index: ParticipantIndex, plan: Plan) -> dict[Hemisphere, tuple[SurfaceFile, ...]]:
    """Order the surfaces in a space by how well a map can be seen on them, own ones first.

    A folded surface hides what lies in the sulci, so that even a sphere shows more.
    """
    if plan.is_volume:
        return {}
    space = None if plan.space == OWN else plan.space
    own = [
        s
        for s in index.surfaces
        if s.kind in _VIEWS and (None if s.kind == "registered" else s.space) == space
    ]
    others = [s for s in index.templates if s.space == space and s.kind in _VIEWS]
    ranked = [
        s for found in (own, others) for s in sorted(found, key=lambda s: _VIEWS.index(s.kind))
    ]
    return {hemi: tuple(s for s in ranked if s.hemisphere == hemi) for hemi in HEMISPHERES}


def _list_spheres(index: ParticipantIndex) -> dict[Hemisphere, tuple[SurfaceFile, ...]]:
    """List the registered spheres of a participant, and the spheres of templates beside it."""
    own = [surface for surface in index.surfaces if surface.kind == "registered"]
    # fMRIPrep makes maps in fsLR through the MSMSulc sphere where it has one.
    own.sort(key=lambda surface: "_desc-msmsulc_" not in surface.source.path.name)
    spheres = [*own, *(s for s in index.templates if s.kind in ("registered", "sphere"))]
    return {hemi: tuple(s for s in spheres if s.hemisphere == hemi) for hemi in HEMISPHERES}


def _by_hemisphere(
    maps: Iterable[IndexedFile],
    task: str | None,
    contrast: str,
    choose: Callable[[Sequence[IndexedFile]], MapSource | None],
) -> dict[Hemisphere, MapSource]:
    of_contrast = [
        file
        for file in maps
        if task is not None
        and same(file.entities.get("task"), task)
        and same(file.entities.get("contrast"), contrast)
    ]
    chosen: dict[Hemisphere, MapSource] = {}
    for hemi in HEMISPHERES:
        source = choose(_of(of_contrast, hemi))
        if source is not None:
            chosen[hemi] = source
    _check_processing(chosen, of_contrast)
    kinds = {source.combination for source in chosen.values()}
    if kinds in ({"fixed_effects", "mean"}, {"fixed_effects_z", "stouffer"}):
        # Where one hemisphere lacks a variance map, neither is weighted.
        maps = [file for file in of_contrast if file.entities.get("stat") != "variance"]
        return {h: source for h in HEMISPHERES if (source := choose(_of(maps, h))) is not None}
    return chosen


def _of(maps: Iterable[IndexedFile], hemisphere: Hemisphere) -> list[IndexedFile]:
    return [file for file in maps if file.entities["hemi"] == hemisphere]


def _check_processing(
    chosen: Mapping[Hemisphere, MapSource], candidates: Iterable[IndexedFile]
) -> None:
    """Refuse maps of one contrast that were processed in different ways.

    Raises
    ------
    AmbiguousInputError
        If, say, a run is smoothed and another is not: neither may stand for the other.
    """
    paths = {file.path for source in chosen.values() for file in source.maps}
    used = [file for file in candidates if file.source.path in paths]
    if len({tuple(file.entities.get(name) for name in _PROCESSING) for file in used}) > 1:
        raise AmbiguousInputError(tie(used))


def _localizer_source(maps: Sequence[IndexedFile]) -> MapSource | None:
    """Choose the z maps of one localizer contrast and hemisphere, over runs and sessions."""
    usable = [file for file in maps if "localizer" in file.queries]
    units = _units([file for file in usable if file.entities.get("stat") == "z"])
    whole = units.get((None, None))
    if whole is not None:
        return _source([whole], usable, "fixed_effects_z", "stouffer")
    by_session: dict[str | None, dict[str | None, IndexedFile]] = defaultdict(dict)
    for (session, run), file in units.items():
        by_session[session][run] = file
    chosen = [file for runs in by_session.values() for file in _over_runs(runs)]
    return _source(chosen, usable, "fixed_effects_z", "stouffer")


def _contrasts(
    maps: Iterable[IndexedFile],
    participant: str,
    localizers: Mapping[str, tuple[MapSource, ...]],
    plan: Plan,
) -> Iterable[Contrast]:
    """Choose what is measured, sorted by session, task and contrast."""
    maps = [file for file in maps if is_measured(file, plan.session_labels)]
    of_statistic = [f for f in maps if same(f.entities.get("stat"), plan.statistic)]
    choose = partial(_measured_source, statistic=plan.statistic)
    sources = []
    for task in dict.fromkeys(task for task, _ in plan.measured):
        own = sessions_of(of_statistic, task)
        asked = tuple(s for s in plan.session_labels if s in plan.sessions[task])
        for session in dict.fromkeys((*own, *asked)) or plan.sessions[task] or (None,):
            in_session = [file for file in maps if file.entities.get("session") == session]
            for contrast in (contrast for t, contrast in plan.measured if t == task):
                chosen = _by_hemisphere(in_session, task, contrast, choose)
                is_localizer = same(plan.localizer_task, task)
                sources.append(
                    Contrast(
                        participant_id=participant,
                        session=session,
                        task=task,
                        contrast=contrast,
                        maps=chosen,
                        localizers=localizers if is_localizer else {},
                    )
                )
    return sorted(sources, key=lambda source: (source.session or "", source.task, source.contrast))


def _measured_source(maps: Sequence[IndexedFile], statistic: str) -> MapSource | None:
    """Choose the maps of one contrast, session and hemisphere, over runs."""
    units = _units([file for file in maps if same(file.entities.get("stat"), statistic)])
    chosen = _over_runs({run: file for (_, run), file in units.items()})
    if same(statistic, "z"):
        return _source(chosen, maps, "fixed_effects_z", "stouffer")
    return _source(chosen, maps, "fixed_effects" if same(statistic, "effect") else "mean", "mean")


def _folds(
    maps: Sequence[IndexedFile], participant: str, contrasts: Sequence[str], plan: Plan
) -> tuple[Fold, ...]:
    """Leave out one run of the localizer at a time, where its runs have maps of their own."""
    task = plan.localizer_task
    measured = [contrast for of_task, contrast in plan.measured if same(of_task, task or "")]
    wanted = [(contrast, "z") for contrast in contrasts]
    wanted += [(contrast, plan.statistic) for contrast in measured]
    in_runs = [
        file
        for file in maps
        if same(file.entities.get("task"), task or "")
        and file.entities.get("run") is not None
        and "localizer" in file.queries
    ]
    units: set[Unit] | None = None
    for contrast, statistic in wanted:
        for hemi in HEMISPHERES:
            there = {_unit(f) for f in in_runs if _holds(f, hemi, contrast, statistic)}
            if statistic == "z":
                there |= {
                    _unit(f)
                    for f in in_runs
                    if _holds(f, hemi, contrast, "effect") and _partner(f, in_runs, "variance")
                }
            units = there if units is None else units & there
    ordered = sorted(units or (), key=_run_number)
    to_measure = {_unit(file) for file in in_runs if is_measured(file, plan.session_labels)}
    if len(ordered) < 2 or not measured:
        return ()

    def source(statistic: str, chosen: Sequence[Unit]) -> Callable[..., MapSource | None]:
        return partial(_of_units, statistic=statistic, units=chosen)

    return tuple(
        Fold(
            run=left_out[1] or "",
            localizers={
                contrast: _by_hemisphere(
                    in_runs, task, contrast, source("z", [u for u in ordered if u != left_out])
                )
                for contrast in contrasts
            },
            contrasts=tuple(
                Contrast(
                    participant_id=participant,
                    session=left_out[0],
                    task=task or "",
                    contrast=contrast,
                    maps=_by_hemisphere(
                        in_runs, task, contrast, source(plan.statistic, [left_out])
                    ),
                    localizers={},
                )
                for contrast in measured
            ),
        )
        for left_out in ordered
        if left_out in to_measure
    )


def _of_units(
    maps: Sequence[IndexedFile], statistic: str, units: Sequence[Unit]
) -> MapSource | None:
    """Choose the maps of some runs; z may also be had from effect and variance."""
    there = _units([file for file in maps if same(file.entities.get("stat"), statistic)])
    if all(unit in there for unit in units):
        chosen = [there[unit] for unit in units]
        return _source(chosen, maps, "fixed_effects_z", "stouffer")
    effects = _units([file for file in maps if same(file.entities.get("stat"), "effect")])
    variances = _units([file for file in maps if same(file.entities.get("stat"), "variance")])
    return MapSource(
        tuple(effects[unit].source for unit in units),
        "fixed_effects_z",
        tuple(variances[unit].source for unit in units),
        tuple(units),
    )


def _unit(file: IndexedFile) -> Unit:
    return file.entities.get("session"), file.entities.get("run")


def _holds(file: IndexedFile, hemisphere: str, contrast: str, statistic: str) -> bool:
    entities = file.entities
    return (
        entities["hemi"] == hemisphere
        and same(entities.get("contrast"), contrast)
        and same(entities.get("stat"), statistic)
    )


def _run_number(unit: Unit) -> tuple[str, int]:
    session, run = unit
    return session or "", int(run or 0)


def _units(
    maps: Iterable[IndexedFile],
) -> dict[Unit, IndexedFile]:
    """Index maps of one kind by session and run.

    Raises
    ------
    AmbiguousInputError
        If two have the same session and run: nothing says which of them is meant.
    """
    groups: dict[Unit, list[IndexedFile]] = defaultdict(list)
    for file in maps:
        groups[_unit(file)].append(file)
    for group in groups.values():
        if len({real_path(file.source.path) for file in group}) > 1:
            raise AmbiguousInputError(tie(group))
    return {unit: groups[unit][0] for unit in sorted(groups, key=_run_number)}


def _over_runs(runs: Mapping[str | None, IndexedFile]) -> list[IndexedFile]:
    """Prefer a map pooled over runs by the first-level tool to the maps of the runs.

    Raises
    ------
    AmbiguousInputError
        If it was processed in another way than they were.
    """
    if None not in runs:
        return list(runs.values())
    pooled = runs[None]
    others = [
        file
        for file in runs.values()
        if any(file.entities.get(name) != pooled.entities.get(name) for name in _PROCESSING)
    ]
    if others:
        raise AmbiguousInputError(tie([pooled, *others]))
    return [pooled]


def _source(
    chosen: Sequence[IndexedFile],
    maps: Sequence[IndexedFile],
    weighted: Combination,
    unweighted: Combination,
) -> MapSource | None:
    """Say how the chosen maps become one; weighted where each has an effect and a variance."""
    if not chosen:
        return None
    units = tuple(_unit(file) for file in chosen)
    if len(chosen) == 1:
        return MapSource((chosen[0].source,), units=units)
    if weighted in ("fixed_effects", "fixed_effects_z"):
        effects = [_partner(file, maps, "effect") for file in chosen]
        variances = [_partner(file, maps, "variance") for file in chosen]
        if None not in effects and None not in variances:
            return MapSource(
                tuple(file.source for file in effects if file),
                weighted,
                tuple(file.source for file in variances if file),
                units,
            )
    return MapSource(tuple(file.source for file in chosen), unweighted, units=units)


def _partner(file: IndexedFile, maps: Iterable[IndexedFile], statistic: str) -> IndexedFile | None:
    """Find the map of another statistic that is otherwise named like a file."""

    def others(entities: Mapping[str, str]) -> dict[str, str]:
        return {k: v for k, v in entities.items() if k not in ("stat", "extension")}

    partners = [
        candidate
        for candidate in maps
        if same(candidate.entities.get("stat"), statistic)
        and others(candidate.entities) == others(file.entities)
        and candidate.source.dataset == file.source.dataset
    ]
    if len(partners) > 1:
        raise AmbiguousInputError(tie(partners))
    return partners[0] if partners else None
