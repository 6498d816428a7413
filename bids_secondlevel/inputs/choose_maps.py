"""Choose, among the maps found for a participant, those that are used; never silently.

Two maps that could both be meant are an error that names them and the option that decides.
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
from bids_secondlevel.inputs.choose_retinotopy import choose_retinotopy
from bids_secondlevel.inputs.datasets import real_path
from bids_secondlevel.inputs.names import is_pooled, session_of_surface
from bids_secondlevel.inputs.plan import is_measured, same, sessions_of, tie
from bids_secondlevel.inputs.space_choice import is_in
from bids_secondlevel.maps.cifti import describe

# Kinds of surfaces, the best first: to measure areas on, and to draw on or shade by.
_MESHES = ("midthickness", "graymid", "white", "smoothwm")
_VIEWS = ("inflated", "sphere", "registered", *_MESHES, "sulc", "curv")

# Entities that tell processing apart; maps with different ones are never combined.
_PROCESSING = ("desc", "fwhm", "res", "model", "proc", "label", "atlas", "segmentation")
# Entities that may differ between the maps of several runs, or do not tell processing.
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

# How several maps become one: weighted if each has a map of its variance, else not.
_COMBINATIONS: Mapping[str, tuple[Combination | None, Combination]] = {
    "z": ("fixed_effects_z", "stouffer"),
    "effect": ("fixed_effects", "mean"),
}


_UNSTATED_SPACE = (
    "The names of the maps say no space: they were taken to be in that of the participant's "
    "anatomical image, as the retinotopy is. Maps in the space of functional images do not fit it."
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
            "--cross-validate: there are no maps of at least two runs of the localizer in which "
            "every contrast has z (or effect and variance) and the map to be measured; its "
            "estimates stay circular."
        )
    contrasts = _choose_contrasts(maps, participant, localizers, plan)
    notes = _subcortex_notes([*localizers.values(), *(each.maps for each in contrasts)])
    space = None if plan.space == OWN else plan.space  # as it is called for surfaces
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
    """Keep the maps and surfaces of one session if the surface is another in each.

    FreeSurfer was then run for each session, and its folders are called ``sub-1_ses-a``.

    Raises
    ------
    AmbiguousInputError
        If there are maps of several of these sessions, and nothing says which is meant.
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
            f"fsnative is another surface in each of the sessions {in_words(sessions)}, as there "
            "is a FreeSurfer folder for each, and maps are not combined across surfaces. Choose "
            "with --session-label."
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
        f"Only maps of session {session} were used, as there is a FreeSurfer folder for each of "
        f"the sessions {in_words(sessions)}, and fsnative is another surface in each."
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
    """The entities that the filter for these maps names."""
    weights: RunWeights = "auto"

    def one_each(self, hemisphere: Hemisphere, statistic: str) -> dict[Unit, IndexedFile]:
        """Give the map of each session and run, in their order.

        Raises
        ------
        AmbiguousInputError
            If there are two of the same session and run: nothing says which of them is meant; or
            if a label is not a number beside some that are: the map may be made of the others.
        """
        by_unit = self.by_kind[hemisphere, statistic]
        for place, entity in enumerate(("session", "run")):
            by_label = {unit[place]: files for unit, files in by_unit.items()}
            if None not in by_label and entity not in self.filtered:
                _check_labels(entity, {label or "": files for label, files in by_label.items()})
        for files in by_unit.values():
            if len({(real_path(file.source.path), file.source.reading) for file in files}) > 1:
                raise AmbiguousInputError(tie(files))
        return {unit: by_unit[unit][0] for unit in sorted(by_unit, key=_in_order)}

    def partner(self, file: IndexedFile, statistic: str) -> IndexedFile | None:
        """Find the map of another statistic that is otherwise named like a file.

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

        For z, these are the runs with z or, if they are more, those with effect and variance, of
        which z can be made.
        """
        there = set(self.by_kind[hemisphere, statistic])
        if statistic != "z":
            return there
        effects = self.by_kind[hemisphere, "effect"].items()
        made = {unit for unit, of in effects if any(self.partner(f, "variance") for f in of)}
        return max(there, made, key=len)


def _check_labels(entity: str, by_label: Mapping[str, Sequence[IndexedFile]]) -> None:
    """Check that no map may be made of the others, as one of run ``all`` is of runs 1 and 2.

    Raises
    ------
    AmbiguousInputError
        If a label has no digit, and others have.
    """
    numbered = [label for label in by_label if any(map(str.isdigit, label))]
    others = [label for label in by_label if label not in numbered]
    if numbered and others:
        raise AmbiguousInputError(
            f"{by_label[others[0]][0].source.path}: {entity} {in_words(others)} may be made of "
            f"{entity} {in_words(numbered)}, and maps are not combined with their own parts. Name "
            f'what is meant with --bids-filter-file, for example {{"{entity}": "{others[0]}"}}, or '
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
    """Choose what is measured, sorted by session, task and contrast."""
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
    """List the sessions in which a contrast is to be measured.

    Not those of which the first level has pooled the maps, unless sessions are asked for.
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
    """Leave out one run of the localizer at a time, if its runs have maps of their own."""
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
    """Choose the maps of some runs; for z, effects if z is not there for all of them."""
    chosen: dict[Hemisphere, list[IndexedFile]] = {}
    for hemi in HEMISPHERES:
        there = maps.one_each(hemi, statistic)
        if not all(unit in there for unit in units):
            there = maps.one_each(hemi, "effect")
        chosen[hemi] = [there[unit] for unit in units]
    return _combine(chosen, maps, statistic)


def _over_runs(maps: Mapping[Unit, IndexedFile]) -> list[IndexedFile]:
    """Prefer a map pooled over the runs of a session by the first-level tool to those of runs.

    Raises
    ------
    AmbiguousInputError
        If it was processed in another way than they were.
    """
    pooled = [file for (_, run), file in maps.items() if run is None]
    others = [
        file for file in maps.values() if any(_processing(file) != _processing(p) for p in pooled)
    ]
    if others:
        raise AmbiguousInputError(tie([*pooled, *others]))
    return pooled or list(maps.values())


def _processing(file: IndexedFile) -> frozenset[tuple[str, str]]:
    """Say how a map was processed, by its entities; numbers of unknown ones only count."""
    return frozenset(
        (name, label)
        for name, label in file.entities.items()
        if name in _PROCESSING or (name not in _OTHER_ENTITIES and not label.isdigit())
    )


def _combine(
    chosen: Mapping[Hemisphere, Sequence[IndexedFile]], maps: _Maps, statistic: str
) -> dict[Hemisphere, MapSource]:
    """Say how the maps of each hemisphere become one: weighted in both, or in neither.

    Raises
    ------
    AmbiguousInputError
        If maps were processed in different ways: a smoothed run does not go with another.
    InputMissingError
        If runs are to be weighted by variances, and one has none.
    """
    ways = {hemi: _ways(files, maps, statistic) for hemi, files in chosen.items() if files}
    used = sorted(chain.from_iterable(chosen.values()), key=lambda file: file.source.path)
    if len({_processing(file) for file in used}) > 1:
        raise AmbiguousInputError(tie(used))
    can_be_weighted = all(weighted for weighted, _ in ways.values())
    if maps.weights == "variance" and not can_be_weighted and statistic in _COMBINATIONS:
        raise InputMissingError(
            f"{used[0].source.path} and {len(used) - 1} more: --run-weights variance, and not "
            "every run has effect and variance. Give these maps, or use --run-weights auto."
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
    """Say how maps of one hemisphere can become one of a statistic: weighted, and not weighted."""
    if len(files) > 1 and statistic.casefold() in {*NEVER_NEGATIVE, "t"}:
        raise UsageError(
            f"--statistic {statistic}: {files[0].source.path} and {len(files) - 1} more are maps "
            "of several runs, which are not combined: the mean of such values says nothing about "
            "all runs. Measure effect or z, or choose one run with --bids-filter-file (estimates)."
        )
    units = tuple(map(_unit, files))
    sources = tuple(file.source for file in files)
    weighted, unweighted = _COMBINATIONS.get(statistic, (None, "mean"))
    plain = None
    if same(files[0].entities["stat"], statistic):  # else effects, from which z is made
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
    """Say what is combined otherwise than it is for most of the first participants."""
    mine = ways_of_combination(files.localizers, files.contrasts, plan.localizer_task)
    found: dict[str, Counter[str]] = {}
    for other in others:
        for what, way in mine if other is index else _combined(other, plan):
            found.setdefault(what, Counter())[way] += 1
    for what, way in mine:
        usual, _ = max(found.get(what, Counter()).items(), key=_by_number, default=(way, 0))
        if way != usual:
            yield (
                f"The maps of {what} were combined otherwise than those of the first participants: "
                f"{way}, and not {usual}. --run-weights equal, or a filter for runs, makes it the "
                "same."
            )


def _by_number(counted_way: tuple[str, int]) -> tuple[int, bool]:
    """Rank a way by how many have it; of equally many, the weighted one."""
    way, n = counted_way
    return n, "weighted by inverse variance" in way


def _combined(index: ParticipantIndex, plan: Plan) -> tuple[tuple[str, str], ...]:
    """Say how maps of another participant are combined; nothing if nothing can be chosen."""
    maps = [file for file in index.statistical_maps if is_in(file, plan)]
    try:
        localizers = _choose_localizers(maps, plan)
        contrasts = _choose_contrasts(maps, index.label, localizers, plan)
    except SecondLevelError:
        return ()
    return ways_of_combination(localizers, contrasts, plan.localizer_task)


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


def _choose_meshes(
    surfaces: Iterable[SurfaceFile], space: str | None
) -> dict[Hemisphere, SourceFile]:
    """Choose the mesh nearest to the middle of the cortex; of equal ones the first found.

    One in the space of the ROIs, else one of the participant's own, which can be resampled.
    """
    usable = [s for s in surfaces if s.space in (space, None) and s.kind in _MESHES]
    chosen: dict[Hemisphere, SourceFile] = {}
    for surface in sorted(usable, key=lambda s: (s.space != space, _MESHES.index(s.kind))):
        chosen.setdefault(surface.hemisphere, surface.source)
    return chosen


def _rank_views(
    index: ParticipantIndex, space: str | None
) -> dict[Hemisphere, tuple[SurfaceFile, ...]]:
    """Order the surfaces in a space by how well a map can be seen on them, own ones first.

    A folded surface hides what lies in the sulci, so that even a sphere shows more.
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
    # fMRIPrep makes maps in fsLR through the MSMSulc sphere where it has one.
    own.sort(key=lambda surface: "_desc-msmsulc_" not in surface.source.path.name)
    return _by_hemisphere(
        [*own, *(s for s in index.templates if s.kind in ("registered", "sphere"))]
    )


def _by_hemisphere(surfaces: Iterable[SurfaceFile]) -> dict[Hemisphere, tuple[SurfaceFile, ...]]:
    surfaces = list(surfaces)
    return {hemi: tuple(s for s in surfaces if s.hemisphere == hemi) for hemi in HEMISPHERES}
