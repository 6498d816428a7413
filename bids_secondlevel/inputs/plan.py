"""Make the plan of an analysis from the options and the content of a study.

The answer, a :class:`~bids_secondlevel.core.files.Plan`, is the same for every participant.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from bids_secondlevel.core.errors import (
    InputMissingError,
    NoSuchRetinotopyError,
    NothingSelectedError,
    UsageError,
)
from bids_secondlevel.core.files import IndexedFile, ParticipantIndex, Plan
from bids_secondlevel.core.roi_rule import (
    HEMISPHERE_ROWS,
    RoiDefinition,
    RoiRule,
    in_field_order,
)
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.spaces import OWN, family, in_one_world, spoken
from bids_secondlevel.core.variants import sweep_variants
from bids_secondlevel.core.visual_field import FieldBins
from bids_secondlevel.core.words import counted
from bids_secondlevel.inputs.choice.space import SpaceChoice, choose_space, is_in
from bids_secondlevel.inputs.datasets import holder_of
from bids_secondlevel.inputs.names import area_volume, is_localizer, statistic_of

_NOTHING_TO_TURN = (
    "--explore: the maps are volumes, and there is no surface to turn. Only the other pages are "
    "written."
)


def make_plan(
    reference: Sequence[ParticipantIndex], others: Sequence[ParticipantIndex], settings: Settings
) -> Plan:
    """Choose the space, the localizer task, the ROIs and the maps that are measured.

    Parameters
    ----------
    reference
        Files of the reference participants. If they have maps, they decide on space, localizer task
        and the spelling of labels.
    others
        Files of other participants, which may have more tasks and contrasts.

    Raises
    ------
    InputMissingError
        If there are no maps, or no maps of the localizer.
    DataError
        If there are no maps, and a file that may have some cannot be read.
    NothingSelectedError
        If the labels given select nothing.
    UsageError
        If an option is needed to decide.
    """
    try:
        return _make_plan(reference, others, settings)
    except (InputMissingError, NothingSelectedError):
        for index in (*reference, *others):
            for problem in index.unreadable:  # folders that may have what is missing
                raise problem from None
        raise


def _make_plan(
    reference: Sequence[ParticipantIndex], others: Sequence[ParticipantIndex], settings: Settings
) -> Plan:
    indexes = (*reference, *others)
    maps = _maps_of_tasks(indexes)
    if not maps:
        raise InputMissingError(_no_maps(indexes))
    deciding = _maps_of_tasks(reference) or maps
    chosen = choose_space(deciding, settings)
    _check_spheres(indexes, chosen)
    space_messages = chosen.messages
    _check_retinotopy_source(indexes, settings, is_volume=chosen.is_volume)
    alike = [file for file in maps if file.is_volume == chosen.is_volume]
    further = [label for label in labels_of(alike, "space") if not same(chosen.maps_space, label)]
    if further and not space_messages and settings.space is None:
        shown = ", ".join(further)
        message = f"Some participants have maps in space {shown}; using {spoken(chosen.space)}."
        space_messages = (message,)
    in_space = [file for file in maps if is_in(file, chosen)]
    deciding = [file for file in deciding if is_in(file, chosen)]
    task, rois, roi_messages = _choose_rois(in_space, deciding, settings)
    rule = settings.rule
    choices = [] if task is None or settings.localizer_task else [_by_name(task)]
    if chosen.is_volume:
        _check_for_volumes(rois, settings)
        if _has_no_eccentricity(reference or indexes, chosen, (rule, *(r.rule for r in rois))):
            rule = replace(rule, is_unlimited=True)
            rois = tuple(replace(r, rule=replace(r.rule, is_unlimited=True)) for r in rois)
            choices.append(_at_any_eccentricity(rois))
    rule = rule.decided()
    rois = tuple(replace(roi, rule=roi.rule.decided()) for roi in rois)
    measured, sessions, measured_messages = _choose_measured(in_space, task, settings)
    unexplored = (_NOTHING_TO_TURN,) if settings.explore and chosen.is_volume else ()
    return Plan(
        space=chosen.space,
        maps_space=chosen.maps_space,
        density=settings.density,
        is_volume=chosen.is_volume,
        hemi=settings.hemi or (("both",) if chosen.is_volume else HEMISPHERE_ROWS),
        localizer_task=task,
        rule=rule,
        rois=rois,
        variants=tuple(sweep_variants(rois, settings)) if settings.sweep else (),
        measured=measured,
        sessions=sessions,
        session_labels=settings.session_label,
        n_runs=_count_runs(reference, chosen, settings),
        statistic=statistic_of(settings.statistic),
        summary=settings.summary,
        visual_field=_field_bins(measured, settings)
        if settings.visual_field and not rule.is_unlimited
        else None,
        retinotopy_source=settings.retinotopy_source,
        run_weights=settings.run_weights,
        cross_validate=settings.cross_validate,
        explore=settings.explore and not chosen.is_volume,
        filtered={query: frozenset(of) for query, of in settings.bids_filters.items()},
        choices=tuple(choices),
        messages=(*space_messages, *roi_messages, *measured_messages, *unexplored),
        wording=settings.wording,
    )


def _field_bins(measured: Iterable[tuple[str, str]], settings: Settings) -> FieldBins:
    """Say in which bins of the visual field contrasts are averaged, by their labels in the data."""
    contrasts = list(dict.fromkeys(contrast for _, contrast in measured))
    names = {position.name.casefold(): position.name for position in settings.positions}
    relative_to = {}
    for given, name in settings.relative_to.items():
        contrast = matching(given, contrasts)
        if contrast is None:
            raise UsageError(
                f"relative-to: no contrast {given} is measured; there are: {', '.join(contrasts)}."
            )
        relative_to[contrast] = names[name.casefold()]
    return FieldBins(
        edges=settings.eccentricity_bins,
        n_angles=settings.polar_angle_bins,
        positions=settings.positions,
        relative_to=relative_to,
    )


def _check_for_volumes(rois: Iterable[RoiDefinition], settings: Settings) -> None:
    for name in (name for roi in rois for name in roi.rule.other_areas):
        if area_volume(name.partition(":")[0]) is None:
            raise UsageError(
                f"--visual-areas {name}: such a file is on a surface, but the maps are volumes; "
                "expected names of areas in a volume of visual areas, or a volume "
                "(NAME.nii.gz:LABEL)."
            )
    if settings.summary == "area-weighted-mean":
        raise UsageError(
            "--summary area-weighted-mean: voxels have no area. For volumes use mean, which is the "
            "same because all voxels have the same volume."
        )


def _has_no_eccentricity(
    indexes: Iterable[ParticipantIndex], chosen: SpaceChoice, rules: Iterable[RoiRule]
) -> bool:
    """Return whether ROIs can do without eccentricity and the first participants have none.

    This is possible if files define all areas and no range of eccentricity was asked for.
    """
    if any(rule.needs_eccentricity for rule in rules):
        return False
    return not any(
        file.entities["suffix"] == "eccen"
        and file.is_volume
        and in_one_world(file.entities.get("space"), chosen.space)
        for index in indexes
        for file in index.retinotopic_maps
    )


def _at_any_eccentricity(rois: Iterable[RoiDefinition]) -> str:
    names = dict.fromkeys(name for roi in rois for name in roi.rule.other_areas)
    return (
        f"There is no map of eccentricity, and --eccentricity was not given: {', '.join(names)} is "
        "used at any eccentricity."
    )


def _maps_of_tasks(indexes: Iterable[ParticipantIndex]) -> list[IndexedFile]:
    return [f for index in indexes for f in index.statistical_maps if f.entities.get("task")]


def _check_spheres(indexes: Iterable[ParticipantIndex], chosen: SpaceChoice) -> None:
    """Check that at least one participant has what it takes to resample the maps."""
    ends = (family(chosen.maps_space) or OWN, family(chosen.space) or OWN)
    if chosen.space == chosen.maps_space or OWN not in ends or len(set(ends)) == 1:
        return
    if not any(s.kind == "registered" for index in indexes for s in index.surfaces):
        raise InputMissingError(
            f"--space {chosen.space}: resampling maps from "
            f"{chosen.maps_space or 'an unnamed space'} needs a sphere registered to a template, "
            "and none was found: expected surf/lh.sphere.reg of FreeSurfer or "
            "sub-..._hemi-L_desc-reg_sphere.surf.gii of fMRIPrep. Name its dataset with "
            "--derivatives."
        )


def _check_retinotopy_source(
    indexes: Iterable[ParticipantIndex], settings: Settings, *, is_volume: bool
) -> None:
    maps = [
        file for index in indexes for file in index.retinotopic_maps if file.is_volume == is_volume
    ]
    found = labels_of(maps, "desc")
    source = settings.retinotopy_source
    if maps and source is not None and matching(source, found) is None:
        raise NoSuchRetinotopyError(
            f"--retinotopy-source {source}: there are no such maps. Sources: {', '.join(found)}."
        )


def _choose_rois(
    maps: Sequence[IndexedFile], deciding: Sequence[IndexedFile], settings: Settings
) -> tuple[str | None, tuple[RoiDefinition, ...], list[str]]:
    """Choose the localizer task, and define an ROI for each of its contrasts or by the settings."""
    rule = settings.rule
    if settings.retinotopy_only:
        name = rule.areas_name + "retinotopy"
        return None, (RoiDefinition(name, (), rule),), []
    if settings.rois and not any(roi.needed for roi in settings.rois):
        return None, settings.rois, []
    task = _choose_localizer_task((*deciding, *maps), settings)
    asked = settings.roi_contrasts
    if settings.rois:
        asked = tuple(dict.fromkeys(chain.from_iterable(roi.needed for roi in settings.rois)))
    contrasts, messages = _choose_roi_contrasts(maps, task, asked)
    if not settings.rois:
        return task, tuple(RoiDefinition(name, (name,), rule) for name in contrasts), messages
    spelled = {label: matching(label, contrasts) or label for label in asked}
    rois = tuple(
        replace(
            roi,
            contrasts=tuple(spelled[label] for label in roi.contrasts),
            exclude=tuple(spelled[label] for label in roi.exclude),
        )
        for roi in settings.rois
    )
    areas = rule.areas_name.casefold()
    for roi in rois:
        if roi.name.casefold() == areas and roi.rule.retinotopic_part != rule.retinotopic_part:
            raise UsageError(
                f"[[roi]] {roi.name}: this is also the name of the mask of the visual areas; "
                "choose another name."
            )
    return task, rois, messages


def _choose_localizer_task(maps: Sequence[IndexedFile], settings: Settings) -> str:
    tasks = labels_of(maps, "task")
    shown = f"tasks with maps: {', '.join(tasks) or 'none'}"
    if settings.localizer_task is not None:
        task = matching(settings.localizer_task, tasks)
        if task is None:
            raise NothingSelectedError(
                f"--localizer-task {settings.localizer_task}: no maps of this task; {shown}."
            )
        return task
    candidates = [task for task in tasks if is_localizer(task)]
    with_z = labels_of([file for file in maps if file.entities.get("stat") == "z"], "task")
    without = [task for task in tasks if task not in with_z]
    shown = f"tasks with z maps: {', '.join(with_z) or 'none'}"
    shown += f"; with other maps only: {', '.join(without)}" if without else ""
    if not candidates:
        raise InputMissingError(
            "No localizer found: no task is named like one (such as loc, visloc or faceLocalizer); "
            f"{shown}. Give the localizer with --localizer-task."
        )
    if len(candidates) > 1:
        raise UsageError(
            f"Several tasks are named like a localizer ({', '.join(candidates)}); {shown}. Choose "
            "the localizer with --localizer-task."
        )
    return candidates[0]


def _by_name(task: str) -> str:
    return (
        f"Task {task} is used as the localizer, because of its name (--localizer-task was not "
        "given)."
    )


def _choose_roi_contrasts(
    maps: Iterable[IndexedFile], task: str, asked: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    of_task = [file for file in maps if same(file.entities.get("task"), task)]
    z_maps = [file for file in of_task if file.entities.get("stat") == "z"]
    passing = [file for file in z_maps if "localizer" in file.queries]
    if z_maps and not passing:
        raise NothingSelectedError(
            filtered_out("localizer", z_maps, f"z maps of the localizer task {task}")
        )
    found = labels_of(passing, "contrast")
    if not found and passing:
        raise InputMissingError(
            f"{counted(len(passing), 'z map')} of the localizer task {task}, for example "
            f"{passing[0].source.path}: the name has no contrast (contrast-...), from which an ROI "
            "gets its name. Rename the files, or give the contrast in a [[maps]] entry of the "
            "config file."
        )
    if not found:
        held = ", ".join(labels_of(of_task, "stat"))
        raise InputMissingError(
            f"The localizer task {task} has no z maps (stat-z), which define the ROIs. Its maps "
            f"hold: {held or 'unknown values (no stat-... in their names)'}."
        )
    return _asked("--roi-contrasts", asked, in_field_order(found))


def _choose_measured(
    maps: Iterable[IndexedFile], localizer_task: str | None, settings: Settings
) -> tuple[tuple[tuple[str, str], ...], dict[str, tuple[str | None, ...]], list[str]]:
    statistic = statistic_of(settings.statistic)
    there = [file for file in maps if same(file.entities.get("stat"), statistic)]
    passing = [file for file in there if is_measured(file)]
    if there and not passing:
        raise NothingSelectedError(filtered_out("estimates", there, f"{statistic} maps"))
    of_statistic = [file for file in passing if is_measured(file, settings.session_label)]
    if not of_statistic:
        asked = f"stat-{settings.statistic}"
        if settings.session_label:
            asked += f" in session {', '.join(settings.session_label)}"
        raise NothingSelectedError(
            f"No maps to measure: searched for {asked}; found "
            f"{', '.join(f'stat-{s}' for s in labels_of(maps, 'stat'))}, in "
            f"{', '.join(f'session {s}' for s in labels_of(maps, 'session')) or 'no session'}. "
            "Choose with --statistic, --session-label and --bids-filter-file (estimates)."
        )
    tasks, task_messages = _asked(
        "--task-label", settings.task_label, labels_of(of_statistic, "task")
    )
    of_tasks = [
        file for file in of_statistic if any(same(file.entities.get("task"), t) for t in tasks)
    ]
    contrasts, contrast_messages = _asked(
        "--contrasts", settings.contrasts, labels_of(of_tasks, "contrast")
    )
    pairs = {
        (file.entities.get("task", "").casefold(), file.entities.get("contrast", "").casefold())
        for file in of_tasks
    }
    somewhere = {contrast for _, contrast in pairs}
    # A contrast that was not found is still asked for, in every task except the localizer.
    wanted_in = [task for task in tasks if not same(localizer_task, task)] or list(tasks)
    measured = tuple(
        (task, contrast)
        for task in sorted(tasks)
        for contrast in sorted(contrasts)
        if (task.casefold(), contrast.casefold()) in pairs
        or (contrast.casefold() not in somewhere and task in wanted_in)
    )
    sessions = {task: sessions_of(of_tasks, task) for task in tasks}
    there_are = {session for of_task in sessions.values() for session in of_task}
    lacking = [session for session in settings.session_label if session not in there_are]
    elsewhere = set(labels_of(passing, "task")) - set(labels_of(of_statistic, "task"))
    messages = task_messages + contrast_messages
    if lacking:
        messages.append(f"--session-label: there are no maps of session {', '.join(lacking)}.")
    if elsewhere and not settings.task_label:
        named = (f"{task} ({_sessions_in_words(passing, task)})" for task in sorted(elsewhere))
        messages.append(
            f"--session-label {' '.join(settings.session_label)}: tasks without maps in it are not "
            f"measured: {', '.join(named)}."
        )
    return measured, sessions, messages


def _sessions_in_words(maps: Iterable[IndexedFile], task: str) -> str:
    named = [session for session in sessions_of(maps, task) if session is not None]
    return f"session {', '.join(named)}" if named else "no session in the names"


def _count_runs(
    reference: Sequence[ParticipantIndex], chosen: SpaceChoice, settings: Settings
) -> dict[tuple[str | None, str, str], int]:
    """Find the largest number of runs among the participants, for everything that is measured."""
    most: dict[tuple[str | None, str, str], int] = {}
    for index in reference:
        runs: dict[tuple[str | None, str, str], set[str]] = {}
        for file in index.statistical_maps:
            named = file.entities
            if (
                "run" in named
                and is_in(file, chosen)
                and same(named.get("stat"), statistic_of(settings.statistic))
                and is_measured(file, settings.session_label)
            ):
                task, contrast = named.get("task", ""), named.get("contrast", "")
                key = (named.get("session"), task.casefold(), contrast.casefold())
                runs.setdefault(key, set()).add(named["run"])
        most |= {key: max(len(found), most.get(key, 0)) for key, found in runs.items()}
    return most


def _asked(
    option: str, asked: Sequence[str], found: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the labels asked for in the spelling of the files; all labels if none were asked."""
    if not asked:
        return tuple(found), []
    spelled = {label: matching(label, found) for label in asked}
    unknown = [label for label, match in spelled.items() if match is None]
    shown = f"there are: {', '.join(found) or 'none'}"
    if len(unknown) == len(spelled):
        raise NothingSelectedError(f"{option} {' '.join(unknown)}: nothing found; {shown}.")
    messages = [f"{option}: no maps of {', '.join(unknown)}; {shown}."] if unknown else []
    return tuple(match or label for label, match in spelled.items()), messages


def _no_maps(indexes: Sequence[ParticipantIndex]) -> str:
    without_task = [file for index in indexes for file in index.statistical_maps]
    if without_task:
        return (
            f"{without_task[0].source.path}: the names of statistical maps have no task "
            "(task-...), so the localizer is unknown. If a dataset has a single task, name the "
            "dataset after it: --derivatives TASK=PATH."
        )
    labels = ", ".join(dict.fromkeys(f"sub-{index.label}" for index in indexes)) or "anybody"
    return (
        f"No statistical maps found for {labels}: expected names such as "
        "sub-01_task-loc_hemi-L_space-fsnative_contrast-X_stat-z_statmap.func.gii below a "
        "participant's folder of a derivative dataset. Give the dataset with --derivatives, or "
        "describe other names in a [[maps]] entry of the config file."
    )


def filtered_out(query: str, files: Sequence[IndexedFile], what: str) -> str:
    """Report that no file passes a filter, and what it could select."""
    entities = ", ".join(f"{name} {label}" for name, label in sorted(files[0].entities.items()))
    return (
        f"--bids-filter-file: none of the {len(files)} {what} passes the filter for {query}; one "
        f"is {files[0].source.path}, which has {entities}."
    )


def is_measured(file: IndexedFile, session_labels: Sequence[str] = ()) -> bool:
    """Return whether a map passes the filters for maps that are measured."""
    return "estimates" in file.queries and (
        not session_labels or file.entities.get("session") in session_labels
    )


def sessions_of(maps: Iterable[IndexedFile], task: str) -> tuple[str | None, ...]:
    """List the sessions of the maps of a task, in order; ``None`` for maps without one."""
    of_task = [file for file in maps if same(file.entities.get("task"), task)]
    found = {file.entities.get("session") for file in of_task}
    return tuple(sorted(found, key=lambda session: session or ""))


def labels_of(maps: Iterable[IndexedFile], entity: str) -> list[str]:
    """List the labels of an entity, sorted; of labels that differ only in case, the first found."""
    first: dict[str, str] = {}
    for file in maps:
        label = file.entities.get(entity)
        if label is not None:
            first.setdefault(label.casefold(), label)
    return sorted(first.values())


def matching(label: str, found: Iterable[str]) -> str | None:
    """Find a label in its original spelling, regardless of case."""
    return next((candidate for candidate in found if same(candidate, label)), None)


def same(label: str | None, other: str) -> bool:
    """Compare labels regardless of case; nilearn, for example, writes contrasts in lower case."""
    return label is not None and label.casefold() == other.casefold()


def tie(files: Sequence[IndexedFile], query: str | None = None) -> str:
    """Report that several files could be meant, and which option decides."""
    shown = "".join(f"\n  {file.source.path}" for file in files[:6])
    shown += "\n  ..." if len(files) > 6 else ""
    return f"Several files could be the same map:{shown}\n{how_to_choose(files, query)}"


def how_to_choose(files: Sequence[IndexedFile], query: str | None = None) -> str:
    """Name the option that decides between files, depending on how they differ.

    Parameters
    ----------
    query
        Query of the filter file, for an example.
    """
    names = {name for file in files for name in file.entities}
    differing = sorted(
        name for name in names if len({file.entities.get(name) for file in files}) > 1
    )
    ways = []
    if differing:
        name = "session" if "session" in differing else differing[0]
        example = json.dumps({query: {name: files[0].entities.get(name)}})
        given = f", for example {example}" if query else ""
        ways.append(
            f"Choose with --bids-filter-file{given}; they differ in: {', '.join(differing)}."
        )
    holders = list(dict.fromkeys(filter(None, (holder_of(file.source.path) for file in files))))
    if len({file.source.dataset for file in files}) > 1:
        ways.append("They are in different datasets: choose with --derivatives.")
    elif len(holders) > 1:
        ways.append(
            f"They are in different folders of a dataset: choose with --derivatives {holders[0]}."
        )
    plain = {re.sub("[^0-9A-Za-z]", "", str(file.source.path)) for file in files}
    if all(file.is_described for file in files) and len(plain) == 1:
        ways.append(
            "Labels consist of letters and digits, but these differ only in other characters: give "
            "the contrasts names in the [[maps]] entry."
        )
    elif any(file.is_described for file in files):
        ways.append(
            "Write more of the path into the pattern of the [[maps]] or [[retinotopy]] entry."
        )
    return " ".join(ways) or "Keep only one of them in the searched folders."
