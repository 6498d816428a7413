"""Choose, among the maps found for a participant, those that are used; never silently.

Two maps that could both be meant are an error that names them and the option that decides.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from bids_secondlevel.errors import UsageError
from bids_secondlevel.model import (
    HEMISPHERES,
    Combination,
    EstimateSource,
    Fold,
    Hemisphere,
    IndexedFile,
    MapSource,
    ParticipantFiles,
    ParticipantIndex,
    Plan,
    RetinotopySource,
    SourceFile,
    Unit,
)
from bids_secondlevel.planning import is_measured, labels_of, matching, same, sessions_of
from bids_secondlevel.settings import Settings

# Where one retinotopic map lies in several formats, the first of these is read.
_RETINOTOPY_EXTENSIONS = (".mgz", ".mgh", ".func.gii", ".shape.gii", ".gii", ".nii.gz", "")


def select_files(index: ParticipantIndex, plan: Plan, settings: Settings) -> ParticipantFiles:
    """Choose the files of one participant for everything the plan asks for.

    Raises
    ------
    UsageError
        If two files could both be meant.
    """
    maps = [file for file in index.statistical_maps if file.entities.get("space") == plan.space]
    needed = dict.fromkeys(chain.from_iterable(roi.needed for roi in plan.rois))
    localizers = {
        contrast: _by_hemisphere(maps, plan.localizer_task, contrast, _localizer_source)
        for contrast in needed
    }
    folds = _folds(maps, tuple(needed), plan, settings) if settings.cross_validate else ()
    source, retinotopy, messages = _choose_retinotopy(index.retinotopic_maps, plan, settings)
    if settings.cross_validate and not folds:
        messages.append(
            "--cross-validate: there are no maps of at least two runs of the localizer in which "
            "every contrast has z (or effect and variance) and the map to be measured; its "
            "estimates stay circular."
        )
    return ParticipantFiles(
        label=index.label,
        retinotopy_source=source,
        retinotopy=retinotopy,
        localizers=localizers,
        estimates=tuple(_estimate_sources(maps, plan, settings)),
        folds=folds,
        messages=tuple(messages),
    )


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
        source = choose([file for file in of_contrast if file.entities["hemi"] == hemi])
        if source is not None:
            chosen[hemi] = source
    return chosen


def _localizer_source(maps: Sequence[IndexedFile]) -> MapSource | None:
    """Choose the z maps of one localizer contrast and hemisphere, over runs and sessions."""
    usable = [file for file in maps if "localizer" in file.queries]
    pooled = [file for file in usable if file.entities.get("stat") == "z"]
    units = _units(pooled)
    whole = units.get((None, None))
    if whole is not None:
        return _source([whole], usable, "fixed_effects_z", "stouffer")
    by_session: dict[str | None, dict[str | None, IndexedFile]] = defaultdict(dict)
    for (session, run), file in units.items():
        by_session[session][run] = file
    chosen = [file for runs in by_session.values() for file in _over_runs(runs)]
    return _source(chosen, usable, "fixed_effects_z", "stouffer")


def _estimate_sources(
    maps: Iterable[IndexedFile], plan: Plan, settings: Settings
) -> Iterable[EstimateSource]:
    maps = [file for file in maps if is_measured(file, settings)]
    of_statistic = [f for f in maps if same(f.entities.get("stat"), settings.statistic)]
    sources = []
    for task in dict.fromkeys(task for task, _ in plan.measured):
        for session in sessions_of(of_statistic, task) or plan.sessions[task] or (None,):
            in_session = [file for file in maps if file.entities.get("session") == session]
            for contrast in (contrast for t, contrast in plan.measured if t == task):

                def choose(candidates: Sequence[IndexedFile]) -> MapSource | None:
                    return _measured_source(candidates, settings.statistic)

                chosen = _by_hemisphere(in_session, task, contrast, choose)
                sources.append(EstimateSource(session, task, contrast, chosen))
    return sorted(sources, key=lambda source: (source.session or "", source.task, source.contrast))


def _measured_source(maps: Sequence[IndexedFile], statistic: str) -> MapSource | None:
    """Choose the maps of one contrast, session and hemisphere, over runs."""
    units = _units([file for file in maps if same(file.entities.get("stat"), statistic)])
    chosen = _over_runs({run: file for (_, run), file in units.items()})
    if same(statistic, "z"):
        return _source(chosen, maps, "fixed_effects_z", "stouffer")
    return _source(chosen, maps, "fixed_effects" if same(statistic, "effect") else "mean", "mean")


def _folds(
    maps: Sequence[IndexedFile], contrasts: Sequence[str], plan: Plan, settings: Settings
) -> tuple[Fold, ...]:
    """Leave out one run of the localizer at a time, where its runs have maps of their own."""
    task = plan.localizer_task
    measured = [contrast for of_task, contrast in plan.measured if same(of_task, task or "")]
    wanted = [(contrast, "z") for contrast in contrasts]
    wanted += [(contrast, settings.statistic) for contrast in measured]
    in_runs = [
        file
        for file in maps
        if same(file.entities.get("task"), task or "")
        and file.entities.get("run") is not None
        and "localizer" in file.queries
        and is_measured(file, settings)
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
    ordered = sorted(units or (), key=lambda unit: (unit[0] or "", unit[1] or ""))
    if len(ordered) < 2 or not measured:
        return ()

    def source(statistic: str, chosen: Sequence[Unit]) -> Callable[..., MapSource | None]:
        def choose(candidates: Sequence[IndexedFile]) -> MapSource | None:
            return _of_units(candidates, statistic, chosen)

        return choose

    return tuple(
        Fold(
            localizers={
                contrast: _by_hemisphere(
                    in_runs, task, contrast, source("z", [u for u in ordered if u != left_out])
                )
                for contrast in contrasts
            },
            estimates=tuple(
                EstimateSource(
                    left_out[0],
                    task or "",
                    contrast,
                    _by_hemisphere(in_runs, task, contrast, source(settings.statistic, [left_out])),
                )
                for contrast in measured
            ),
        )
        for left_out in ordered
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


def _units(
    maps: Iterable[IndexedFile],
) -> dict[Unit, IndexedFile]:
    """Index maps of one kind by session and run.

    Raises
    ------
    UsageError
        If two have the same session and run: nothing says which of them is meant.
    """
    groups: dict[Unit, list[IndexedFile]] = defaultdict(list)
    for file in maps:
        groups[_unit(file)].append(file)
    for group in groups.values():
        if len(group) > 1:
            raise UsageError(_tie(group))
    return {key: groups[key][0] for key in sorted(groups, key=lambda k: (k[0] or "", k[1] or ""))}


def _over_runs(runs: Mapping[str | None, IndexedFile]) -> list[IndexedFile]:
    """Prefer a map pooled over runs by the first-level tool to the maps of the runs."""
    return [runs[None]] if None in runs else list(runs.values())


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
        and candidate.dataset == file.dataset
    ]
    if len(partners) > 1:
        raise UsageError(_tie(partners))
    return partners[0] if partners else None


def _tie(files: Sequence[IndexedFile]) -> str:
    names = {name for file in files for name in file.entities}
    differing = sorted(
        name for name in names if len({file.entities.get(name) for file in files}) > 1
    )
    shown = "".join(f"\n  {file.source.path}" for file in files)
    if differing:
        advice = f"Choose with --bids-filter-file; they differ in: {', '.join(differing)}."
    elif len({file.dataset for file in files}) > 1:
        advice = "They lie in different datasets: choose with --derivatives."
    else:
        advice = "Keep one of them where the program looks."
    return f"Several files could be the same map:{shown}\n{advice}"


# Retinotopy


def _choose_retinotopy(
    maps: Iterable[IndexedFile], plan: Plan, settings: Settings
) -> tuple[str | None, dict[Hemisphere, RetinotopySource], list[str]]:
    """Choose visual-area and eccentricity maps of one source; both from the same folder."""
    usable = [
        file
        for file in maps
        if "retinotopy" in file.queries and file.entities.get("space", plan.space) == plan.space
    ]
    folders: dict[str, dict[Path, dict[Hemisphere, RetinotopySource]]] = defaultdict(dict)
    for tag in labels_of(usable, "desc"):
        of_tag = [file for file in usable if file.entities["desc"] == tag]
        for folder in dict.fromkeys(file.source.path.parent for file in of_tag):
            found = _retinotopy_in([f for f in of_tag if f.source.path.parent == folder])
            if found:
                folders[tag][folder] = found
    chosen, messages = _choose_tag(sorted(folders), settings)
    if chosen is None:
        incomplete = [
            f"{file.source.path}"
            for file in usable
            if file.entities["suffix"] in ("varea", "eccen")
        ]
        if incomplete and not folders:
            messages.append(
                "Retinotopy is incomplete: visual area and eccentricity of one source are needed, "
                f"found only {', '.join(incomplete)}."
            )
        return None, {}, messages
    distinct: list[Path] = []
    for folder, found in folders[chosen].items():
        if not any(_same_files(found, folders[chosen][kept]) for kept in distinct):
            distinct.append(folder)
    of_session = [folder for folder in distinct if _in_session(folder, settings.session_label)]
    if len(distinct) > 1 and len(of_session) == 1:
        messages.append(f"Retinotopy {chosen} in several folders; using {of_session[0]}.")
        distinct = of_session
    if len(distinct) > 1:
        shown = "".join(f"\n  {folder}" for folder in distinct)
        raise UsageError(
            f"Retinotopy {chosen} of the same participant lies in several folders:{shown}\n"
            "Choose with --derivatives, or with --session-label if it is one per session."
        )
    return chosen, folders[chosen][distinct[0]], messages


def _choose_tag(found: Sequence[str], settings: Settings) -> tuple[str | None, list[str]]:
    shown = ", ".join(found) or "none"
    if settings.retinotopy_source is not None:
        tag = matching(settings.retinotopy_source, found)
        if tag is None:
            return None, [
                f"--retinotopy-source {settings.retinotopy_source}: no such maps; found: {shown}."
            ]
        return tag, []
    if len(found) < 2:
        return (found[0] if found else None), []
    if "inferred" in found:
        return "inferred", [f"Retinotopy from several sources ({shown}); using inferred."]
    raise UsageError(
        f"Retinotopy from several sources ({shown}): choose one with --retinotopy-source."
    )


def _retinotopy_in(maps: Sequence[IndexedFile]) -> dict[Hemisphere, RetinotopySource]:
    found: dict[Hemisphere, RetinotopySource] = {}
    for hemi in HEMISPHERES:
        kinds = {
            kind: _preferred([f for f in maps if _is(f, hemi, kind)])
            for kind in ("varea", "eccen", "angle", "vexpl")
        }
        area, eccentricity = kinds["varea"], kinds["eccen"]
        if area is not None and eccentricity is not None:
            found[hemi] = RetinotopySource(area, eccentricity, kinds["angle"], kinds["vexpl"])
    return found


def _preferred(maps: Sequence[IndexedFile]) -> SourceFile | None:
    """Of one map in several formats take the first format whose content is there."""
    if not maps:
        return None

    def rank(file: IndexedFile) -> tuple[bool, int]:
        extension = file.entities["extension"]
        return not file.source.path.is_file(), _RETINOTOPY_EXTENSIONS.index(extension)

    ranked = sorted(maps, key=rank)
    if len(ranked) > 1 and rank(ranked[0]) == rank(ranked[1]):
        raise UsageError(_tie(ranked))
    return ranked[0].source


def _same_files(
    these: Mapping[Hemisphere, RetinotopySource], those: Mapping[Hemisphere, RetinotopySource]
) -> bool:
    """Tell whether two folders lead to the same files by different paths (links)."""
    return these.keys() == those.keys() and all(
        these[hemi].visual_area.path.resolve() == those[hemi].visual_area.path.resolve()
        for hemi in these
    )


def _in_session(folder: Path, sessions: Sequence[str]) -> bool:
    """Tell whether a folder is that of a session asked for: ``ses-01`` or ``sub-01_ses-01``."""
    return any(part.endswith(f"ses-{session}") for part in folder.parts for session in sessions)


def _is(file: IndexedFile, hemi: str, suffix: str) -> bool:
    return file.entities["hemi"] == hemi and file.entities["suffix"] == suffix
