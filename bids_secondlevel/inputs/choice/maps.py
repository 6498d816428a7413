"""Choose the maps that are used among those found for a participant. No choice is silent.

If two maps could be meant, an error names them and the option that decides.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, groupby

from bids_secondlevel.core.errors import (
    AmbiguousInputError,
    DataError,
    InputMissingError,
    SecondLevelError,
    UsageError,
)
from bids_secondlevel.core.files import (
    Combination,
    Contrast,
    Fold,
    IndexedFile,
    Localizers,
    MapSource,
    ParticipantFiles,
    ParticipantIndex,
    Plan,
    RetinotopySource,
    SourceFile,
    SurfaceFile,
    Unit,
    run_order,
    ways_of_combination,
)
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.roi_rule import RunWeights
from bids_secondlevel.core.spaces import OWN
from bids_secondlevel.core.values import NEVER_NEGATIVE
from bids_secondlevel.core.words import in_words
from bids_secondlevel.inputs.choice.retinotopy import choose_retinotopy
from bids_secondlevel.inputs.choice.space import is_in
from bids_secondlevel.inputs.datasets import real_path
from bids_secondlevel.inputs.names import is_pooled, session_of_surface
from bids_secondlevel.inputs.plan import is_measured, same, sessions_of, tie
from bids_secondlevel.maps.cifti import describe

# Kinds of surfaces, the best first: for measuring areas, and for drawing or shading.
_MESHES = ("midthickness", "graymid", "white", "smoothwm")
_VIEWS = ("inflated", "sphere", "registered", *_MESHES, "sulc", "curv")

# Entities that describe processing; maps that differ in them are never combined.
_PROCESSING = ("desc", "fwhm", "res", "model", "proc", "label", "atlas", "segmentation")
# Entities that may differ between the maps of several runs, or do not describe processing.
_OTHER_ENTITIES = (
    *(
        "subject",
        "session",
        "task",
        "run",
        "runs",
        "hemi",
        "space",
        "den",
        "contrast",
        "taskcontrast",
    ),
    *("acquisition", "ceagent", "reconstruction", "direction", "echo", "part"),
    *("stat", "statistic", "suffix", "extension"),
)

# How several maps are combined: weighted if each has a map of its variance, else not.
_COMBINATIONS: Mapping[str, tuple[Combination | None, Combination]] = {
    "z": ("fixed_effects_z", "stouffer"),
    "effect": ("fixed_effects", "mean"),
}


_UNSTATED_SPACE = (
    "The names of the maps have no space. The program assumed the space of the participant's "
    "anatomical image, as for the retinotopy. Maps in the space of functional images would not fit."
)


def select_files(index: ParticipantIndex, plan: Plan) -> ParticipantFiles:
    """Choose the files of one participant for everything the plan asks for.

    Raises
    ------
    AmbiguousInputError
        If two files could both be meant.
    """
    source, retinotopy, messages = choose_retinotopy(index, plan)
    index, choices = _on_one_surface(index, retinotopy, plan)
    if plan.is_volume and plan.space is None and retinotopy:
        choices.append(_UNSTATED_SPACE)
    maps = [file for file in index.statistical_maps if is_in(file, plan)]
    localizers = _choose_localizers(maps, plan)
    participant = f"sub-{index.label}"
    folds = _choose_folds(maps, participant, localizers, plan)
    if plan.cross_validate and not folds:
        messages.append(
            "--cross-validate: fewer than two runs of the localizer have, for every contrast, a z "
            "map (or effect and variance maps) and the map that is measured. The estimates of the "
            "localizer stay circular."
        )
    contrasts = _choose_contrasts(maps, participant, localizers, plan)
    notes = _subcortex_notes([*localizers.values(), *(each.maps for each in contrasts)])
    space = None if plan.space == OWN else plan.space  # the name on surfaces
    return ParticipantFiles(
        label=index.label,
        retinotopy_source=source,
        retinotopy=retinotopy,
        localizers=localizers,
        contrasts=contrasts,
        surfaces={} if plan.is_volume else _choose_meshes(index.surfaces, space),
        views={} if plan.is_volume else _rank_views(index, space),
        spheres=_list_spheres(index),
        folds=folds,
        choices=(*index.choices, *choices),
        messages=(*messages, *notes),
    )


def _on_one_surface(
    index: ParticipantIndex, retinotopy: Mapping[Hemisphere, RetinotopySource], plan: Plan
) -> tuple[ParticipantIndex, list[str]]:
    """Keep the maps and surfaces of one session if sessions have different surfaces.

    This is the case if FreeSurfer was run for each session; its folders are called ``sub-1_ses-a``.

    Raises
    ------
    AmbiguousInputError
        If there are maps of several of these sessions and none was chosen.
    """
    used = [source.first.path for source in retinotopy.values()]
    there = [*(s.source.path for s in index.surfaces), *used]
    there += [f.source.path for f in index.retinotopic_maps if not f.is_volume]
    sessions = sorted({of for path in there if (of := session_of_surface(path))})
    if len(sessions) < 2 or plan.is_volume:
        return index, []
    mine = {of for path in used if (of := session_of_surface(path))} or set(plan.session_labels)
    own = [file for file in index.statistical_maps if is_in(file, plan)]
    elsewhere = {file.entities.get("session") for file in own} & set(sessions) - mine
    if len(mine) != 1:
        if len(elsewhere) < 2 or plan.maps_space not in (OWN, None):
            return index, []
        raise AmbiguousInputError(
            f"fsnative is a different surface in each of the sessions {in_words(sessions)}, "
            "because each has its own FreeSurfer folder. Maps are not combined across surfaces. "
            "Choose a session with --session-label."
        )
    (session,) = mine
    index = replace(
        index,
        surfaces=tuple(
            s for s in index.surfaces if session_of_surface(s.source.path) in (session, None)
        ),
    )
    if plan.maps_space not in (OWN, None) or not elsewhere:
        return index, []
    kept = tuple(f for f in index.statistical_maps if f.entities.get("session") not in elsewhere)
    choice = (
        f"Only maps of session {session} are used: the sessions {in_words(sessions)} have their "
        "own FreeSurfer folders, so fsnative is a different surface in each."
    )
    return replace(index, statistical_maps=kept), [choice]


@dataclass(frozen=True, eq=False)
class _Maps:
    """All maps of one contrast."""

    by_kind: defaultdict[tuple[str, str], defaultdict[Unit, list[IndexedFile]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    """By hemisphere and statistic, and then by session and run."""
    filtered: frozenset[str] = frozenset()
    """The entities in the filter for these maps."""
    weights: RunWeights = "auto"

    def one_each(self, hemisphere: Hemisphere, statistic: str) -> dict[Unit, IndexedFile]:
        """Return one map for each session and run, in order.

        Raises
        ------
        AmbiguousInputError
            If there are two maps of the same session and run; or if one label is not a number and
            others are: its map may be a combination of the others.
        """
        by_unit = self.by_kind[hemisphere, statistic]
        for place, entity in enumerate(("session", "run")):
            by_label = {unit[place]: files for unit, files in by_unit.items()}
            if None not in by_label and entity not in self.filtered:
                _check_labels(entity, {label or "": files for label, files in by_label.items()})
        for files in by_unit.values():
            several = files if len(files) > 1 else ()  # links are followed only if they matter
            if len({(real_path(file.source.path), file.source.reading) for file in several}) > 1:
                raise AmbiguousInputError(tie(files))
        return {unit: by_unit[unit][0] for unit in sorted(by_unit, key=_in_order)}

    def partner(self, file: IndexedFile, statistic: str) -> IndexedFile | None:
        """Find the map of another statistic whose name is otherwise the same.

        Raises
        ------
        AmbiguousInputError
            If there are several.
        """

        def others(of: IndexedFile) -> dict[str, str]:
            aside = ("stat", "statistic", "extension")
            return {k: v for k, v in of.entities.items() if k not in aside}

        partners = [
            candidate
            for candidate in self.by_kind[file.entities["hemi"], statistic].get(_unit(file), ())
            if others(candidate) == others(file) and candidate.source.dataset == file.source.dataset
        ]
        if len(partners) > 1:
            raise AmbiguousInputError(tie(partners))
        return partners[0] if partners else None

    def runs(self, hemisphere: Hemisphere, statistic: str) -> set[Unit]:
        """Find the runs that have a map.

        For z, these are the runs with z or, if there are more of them, those with effect and
        variance, from which z can be computed.
        """
        there = set(self.by_kind[hemisphere, statistic])
        if statistic != "z":
            return there
        effects = self.by_kind[hemisphere, "effect"].items()
        made = {unit for unit, of in effects if any(self.partner(f, "variance") for f in of)}
        return max(there, made, key=len)


def _check_labels(entity: str, by_label: Mapping[str, Sequence[IndexedFile]]) -> None:
    """Check that no map is a combination of the others, such as run ``all`` of runs 1 and 2.

    Raises
    ------
    AmbiguousInputError
        If some labels have digits and others do not.
    """
    numbered = [label for label in by_label if any(map(str.isdigit, label))]
    others = [label for label in by_label if label not in numbered]
    if numbered and others:
        raise AmbiguousInputError(
            f"{by_label[others[0]][0].source.path}: {entity} {in_words(others)} may be a "
            f"combination of {entity} {in_words(numbered)}, and maps are not combined with their "
            f'own parts. Choose with --bids-filter-file, such as {{"{entity}": "{others[0]}"}}, or '
            f'{{"{entity}": {json.dumps(list(by_label))}}} for all of them.'
        )


def _group(
    maps: Iterable[IndexedFile], query: str, plan: Plan
) -> defaultdict[tuple[str, str], _Maps]:
    """Group maps by task and contrast, in lower case: nilearn writes contrasts so."""
    filtered = plan.filtered.get(query, frozenset())
    new = partial(_Maps, filtered=filtered, weights=plan.run_weights)
    grouped: defaultdict[tuple[str, str], _Maps] = defaultdict(new)
    for file in maps:
        labels = (file.entities.get(name, "") for name in ("task", "contrast", "stat"))
        task, contrast, statistic = map(str.casefold, labels)
        by_unit = grouped[task, contrast].by_kind[file.entities["hemi"], statistic]
        by_unit[_unit(file)].append(file)
    return grouped


def _unit(file: IndexedFile) -> Unit:
    session = file.entities.get("session")
    return None if is_pooled(session) else session, file.entities.get("run")


def _in_order(unit: Unit) -> tuple[str, str]:
    session, run = unit
    return session or "", run_order(run or "")


def _choose_localizers(
    maps: Iterable[IndexedFile], plan: Plan
) -> dict[str, dict[Hemisphere, MapSource]]:
    """Choose the z maps of every localizer contrast that is needed."""
    grouped = _group((f for f in maps if "localizer" in f.queries), "localizer", plan)
    task = (plan.localizer_task or "").casefold()
    return {
        contrast: _choose_localizer(grouped[task, contrast.casefold()])
        for contrast in dict.fromkeys(chain.from_iterable(roi.needed for roi in plan.rois))
    }


def _choose_localizer(maps: _Maps) -> dict[Hemisphere, MapSource]:
    """Choose the z maps of one localizer contrast, over runs and sessions."""
    chosen: dict[Hemisphere, list[IndexedFile]] = {}
    for hemi in HEMISPHERES:
        z = maps.one_each(hemi, "z")
        pooled = {unit: file for unit, file in z.items() if unit[0] is None}
        sessions = groupby((pooled or z).items(), key=lambda item: item[0][0])
        chosen[hemi] = [file for _, of_session in sessions for file in _over_runs(dict(of_session))]
    return _combine(chosen, maps, "z")


def _choose_contrasts(
    maps: Iterable[IndexedFile], participant: str, localizers: Localizers, plan: Plan
) -> tuple[Contrast, ...]:
    """Choose the maps that are measured, sorted by session, task and contrast."""
    maps = [file for file in maps if is_measured(file, plan.session_labels)]
    of_statistic = [f for f in maps if same(f.entities.get("stat"), plan.statistic)]
    of_localizer = {name: tuple(sources.values()) for name, sources in localizers.items()}
    by_session = {
        session: _group(of_session, "estimates", plan)
        for session, of_session in _by_session(maps).items()
    }
    contrasts = []
    for task, contrast in plan.measured:
        for session in _sessions_of_contrast(of_statistic, task, contrast, plan):
            grouped = by_session.get(session, _group((), "estimates", plan))
            of_contrast = grouped[task.casefold(), contrast.casefold()]
            chosen = {
                hemi: _over_runs(of_contrast.one_each(hemi, plan.statistic)) for hemi in HEMISPHERES
            }
            contrasts.append(
                Contrast(
                    participant_id=participant,
                    session=session,
                    task=task,
                    contrast=contrast,
                    maps=_combine(chosen, of_contrast, plan.statistic),
                    localizers=of_localizer if same(plan.localizer_task, task) else {},
                )
            )
    return tuple(sorted(contrasts, key=lambda each: (each.session or "", each.task, each.contrast)))


def _by_session(maps: Iterable[IndexedFile]) -> dict[str | None, list[IndexedFile]]:
    by_session: dict[str | None, list[IndexedFile]] = {}
    for file in maps:
        by_session.setdefault(file.entities.get("session"), []).append(file)
    return by_session


def _sessions_of_contrast(
    maps: Sequence[IndexedFile], task: str, contrast: str, plan: Plan
) -> tuple[str | None, ...]:
    """List the sessions in which a contrast is measured.

    Sessions whose maps the first level has pooled are not listed, unless they are asked for.
    """
    asked = tuple(s for s in plan.session_labels if s in plan.sessions[task])
    found = (*sessions_of(maps, task), *asked) or plan.sessions[task] or (None,)
    sessions = tuple(dict.fromkeys(found))
    pooled = tuple(filter(is_pooled, sessions))
    parts = tuple(session for session in sessions if session not in pooled)
    if plan.session_labels or not (pooled and parts):
        return sessions
    has = sessions_of([f for f in maps if same(f.entities.get("contrast"), contrast)], task)
    return parts if has and not set(pooled) & set(has) else pooled


def _choose_folds(
    maps: Iterable[IndexedFile], participant: str, localizers: Iterable[str], plan: Plan
) -> tuple[Fold, ...]:
    """Leave out one run of the localizer at a time, if there are maps of single runs."""
    task = plan.localizer_task or ""
    measured = [contrast for of_task, contrast in plan.measured if same(of_task, task)]
    if not (plan.cross_validate and measured):
        return ()
    in_runs = [
        f
        for f in maps
        if "localizer" in f.queries and same(f.entities.get("task"), task) and "run" in f.entities
    ]
    grouped = _group(in_runs, "localizer", plan)
    defining = {name: grouped[task.casefold(), name.casefold()] for name in localizers}
    held_out = {name: grouped[task.casefold(), name.casefold()] for name in measured}
    wanted = [(maps, "z") for maps in defining.values()]
    wanted += [(maps, plan.statistic) for maps in held_out.values()]
    there = (maps.runs(hemi, statistic) for maps, statistic in wanted for hemi in HEMISPHERES)
    units = set.intersection(*there)
    parts = {unit for unit in units if unit[0] is not None} or units
    runs = sorted(parts, key=_in_order)
    if len(runs) < 2:
        return ()
    to_measure = {_unit(file) for file in in_runs if is_measured(file, plan.session_labels)}
    return tuple(
        Fold(
            run=run or "",
            localizers={
                name: _choose_runs(
                    of_contrast, "z", [unit for unit in runs if unit != (session, run)]
                )
                for name, of_contrast in defining.items()
            },
            contrasts=tuple(
                Contrast(
                    participant_id=participant,
                    session=session,
                    task=task,
                    contrast=name,
                    maps=_choose_runs(of_contrast, plan.statistic, [(session, run)]),
                    localizers={},
                )
                for name, of_contrast in held_out.items()
            ),
        )
        for session, run in runs
        if (session, run) in to_measure
    )


def _choose_runs(maps: _Maps, statistic: str, units: Sequence[Unit]) -> dict[Hemisphere, MapSource]:
    """Choose the maps of some runs. For z, choose effects if not all runs have z."""
    chosen: dict[Hemisphere, list[IndexedFile]] = {}
    for hemi in HEMISPHERES:
        there = maps.one_each(hemi, statistic)
        if not all(unit in there for unit in units):
            there = maps.one_each(hemi, "effect")
        chosen[hemi] = [there[unit] for unit in units]
    return _combine(chosen, maps, statistic)


def _over_runs(maps: Mapping[Unit, IndexedFile]) -> list[IndexedFile]:
    """Prefer a map that the first-level tool has pooled over runs to the maps of single runs.

    Raises
    ------
    AmbiguousInputError
        If it was processed differently.
    """
    pooled = [file for (_, run), file in maps.items() if run is None]
    others = [
        file for file in maps.values() if any(_processing(file) != _processing(p) for p in pooled)
    ]
    if others:
        raise AmbiguousInputError(tie([*pooled, *others]))
    return pooled or list(maps.values())


def _processing(file: IndexedFile) -> frozenset[tuple[str, str]]:
    """Describe the processing of a map by its entities; numbers of unknown ones are ignored."""
    return frozenset(
        (name, label)
        for name, label in file.entities.items()
        if name in _PROCESSING or (name not in _OTHER_ENTITIES and not label.isdigit())
    )


def _combine(
    chosen: Mapping[Hemisphere, Sequence[IndexedFile]], maps: _Maps, statistic: str
) -> dict[Hemisphere, MapSource]:
    """Choose how the maps of each hemisphere are combined: weighted in both, or in neither.

    Raises
    ------
    AmbiguousInputError
        If maps were processed in different ways, for example if only one run is smoothed.
    InputMissingError
        If runs are weighted by variances and one has none.
    """
    ways = {hemi: _ways(files, maps, statistic) for hemi, files in chosen.items() if files}
    used = sorted(chain.from_iterable(chosen.values()), key=lambda file: file.source.path)
    if len({_processing(file) for file in used}) > 1:
        raise AmbiguousInputError(tie(used))
    can_be_weighted = all(weighted for weighted, _ in ways.values())
    if maps.weights == "variance" and not can_be_weighted and statistic in _COMBINATIONS:
        raise InputMissingError(
            f"{used[0].source.path} and {len(used) - 1} more: not every run has maps of effect and "
            "variance, which --run-weights variance needs. Add these maps, or use --run-weights "
            "auto."
        )
    is_weighted = can_be_weighted and maps.weights != "equal"
    best = {
        hemi: weighted if is_weighted or plain is None else plain
        for hemi, (weighted, plain) in ways.items()
    }
    return {hemi: source for hemi, source in best.items() if source is not None}


def _ways(
    files: Sequence[IndexedFile], maps: _Maps, statistic: str
) -> tuple[MapSource | None, MapSource | None]:
    """List how maps of one hemisphere can be combined: weighted, and not weighted."""
    if len(files) > 1 and statistic.casefold() in {*NEVER_NEGATIVE, "t"}:
        raise UsageError(
            f"--statistic {statistic}: {files[0].source.path} and {len(files) - 1} more are maps "
            "of several runs. They are not combined, because the mean of such values says nothing "
            "about all runs. Measure effect or z, or choose one run with --bids-filter-file (query "
            "estimates)."
        )
    units = tuple(map(_unit, files))
    sources = tuple(file.source for file in files)
    weighted, unweighted = _COMBINATIONS.get(statistic, (None, "mean"))
    plain = None
    if same(files[0].entities["stat"], statistic):  # otherwise effects, from which z is computed
        plain = MapSource(sources, unweighted, units=units)
        if len(files) == 1:
            alone = MapSource(sources, units=units)
            return alone, alone
    if weighted is None:
        return None, plain
    effects = [effect for file in files if (effect := maps.partner(file, "effect"))]
    variances = [variance for file in files if (variance := maps.partner(file, "variance"))]
    if not len(effects) == len(variances) == len(files):
        return None, plain
    effect_files = tuple(file.source for file in effects)
    return MapSource(effect_files, weighted, tuple(f.source for f in variances), units), plain


def otherwise_combined(
    index: ParticipantIndex, files: ParticipantFiles, plan: Plan, others: Iterable[ParticipantIndex]
) -> Iterator[str]:
    """Report maps that are combined in another way than for most of the first participants."""
    mine = ways_of_combination(files.localizers, files.contrasts, plan.localizer_task)
    found: dict[str, Counter[str]] = {}
    for other in others:
        for what, way in mine if other is index else _combined(other, plan):
            found.setdefault(what, Counter())[way] += 1
    for what, way in mine:
        usual, _ = max(found.get(what, Counter()).items(), key=_by_number, default=(way, 0))
        if way != usual:
            yield (
                f"The maps of {what} are combined in another way than those of the first "
                f"participants ({way} instead of {usual}). To make it the same, use --run-weights "
                "equal or a filter for runs."
            )


def _by_number(counted_way: tuple[str, int]) -> tuple[int, bool]:
    """Rank a way by how many participants have it; in case of a tie, the weighted one."""
    way, n = counted_way
    return n, "weighted by inverse variance" in way


def _combined(index: ParticipantIndex, plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return how maps of another participant are combined; empty if none can be chosen."""
    maps = [file for file in index.statistical_maps if is_in(file, plan)]
    try:
        localizers = _choose_localizers(maps, plan)
        contrasts = _choose_contrasts(maps, index.label, localizers, plan)
    except SecondLevelError:
        return ()
    return ways_of_combination(localizers, contrasts, plan.localizer_task)


def _subcortex_notes(used: Iterable[Mapping[Hemisphere, MapSource]]) -> Iterator[str]:
    """Report that values outside the cortex in CIFTI files are not used."""
    files = (file for maps in used for source in maps.values() for file in source.files)
    for file in files:
        if file.kind == "cifti":
            try:
                has_subcortex = describe(file.path).has_subcortex
            except (DataError, InputMissingError):  # reported when the map is read
                continue
            if has_subcortex:
                yield "CIFTI files: only the cortex is used, not the subcortical voxels."
            return


def _choose_meshes(
    surfaces: Iterable[SurfaceFile], space: str | None
) -> dict[Hemisphere, SourceFile]:
    """Choose the mesh nearest to the middle of the cortex; in case of a tie, the first found.

    A mesh in the space of the ROIs is preferred. Otherwise the participant's own is resampled.
    """
    usable = [s for s in surfaces if s.space in (space, None) and s.kind in _MESHES]
    chosen: dict[Hemisphere, SourceFile] = {}
    for surface in sorted(usable, key=lambda s: (s.space != space, _MESHES.index(s.kind))):
        chosen.setdefault(surface.hemisphere, surface.source)
    return chosen


def _rank_views(
    index: ParticipantIndex, space: str | None
) -> dict[Hemisphere, tuple[SurfaceFile, ...]]:
    """Sort the surfaces in a space by how well they show a map, those of the participant first.

    A folded surface hides the sulci. Even a sphere shows more.
    """
    # A registered sphere has the participant's own vertices.
    own = [s for s in index.surfaces if (None if s.kind == "registered" else s.space) == space]
    others = [s for s in index.templates if s.space == space]
    return _by_hemisphere(
        s for found in (own, others) for kind in _VIEWS for s in found if s.kind == kind
    )


def _list_spheres(index: ParticipantIndex) -> dict[Hemisphere, tuple[SurfaceFile, ...]]:
    """List the registered spheres of a participant, and the spheres of templates beside it."""
    own = [surface for surface in index.surfaces if surface.kind == "registered"]
    # fMRIPrep makes maps in fsLR with the MSMSulc sphere if it has one.
    own.sort(key=lambda surface: "_desc-msmsulc_" not in surface.source.path.name)
    return _by_hemisphere(
        [*own, *(s for s in index.templates if s.kind in ("registered", "sphere"))]
    )


def _by_hemisphere(surfaces: Iterable[SurfaceFile]) -> dict[Hemisphere, tuple[SurfaceFile, ...]]:
    surfaces = list(surfaces)
    return {hemi: tuple(s for s in surfaces if s.hemisphere == hemi) for hemi in HEMISPHERES}
