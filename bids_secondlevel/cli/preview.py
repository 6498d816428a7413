"""Show what a run would do, for the study and for each participant. Nothing is written."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bids_secondlevel.core.definition import in_a_line
from bids_secondlevel.core.described import DescribedMaps
from bids_secondlevel.core.errors import DONE, InputMissingError
from bids_secondlevel.core.files import (
    COMBINATIONS,
    Dataset,
    IndexedFile,
    MapSource,
    ParticipantFiles,
    Plan,
    SourceFile,
)
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.spaces import OWN, spoken
from bids_secondlevel.core.values import Absent
from bids_secondlevel.core.words import counted
from bids_secondlevel.inputs.choice.space import is_in
from bids_secondlevel.inputs.described import Pattern
from bids_secondlevel.inputs.patterns import Sought
from bids_secondlevel.inputs.plan import same
from bids_secondlevel.inputs.study import Chosen, Study, choose
from bids_secondlevel.maps.reader import MapReader, localizer_gap, measured_gap
from bids_secondlevel.maps.retinotopy import retinotopy_gap
from bids_secondlevel.outputs import resume
from bids_secondlevel.outputs.names import ParticipantFolder
from bids_secondlevel.outputs.outcome import UP_TO_DATE, Outcome, summarize_outcome

_MOST_REASONS = 8
_LONGEST = 60
"""Most letters of a problem in the table of participants."""


def preview_participant(label: str, study: Study) -> Outcome:
    """Choose the files of a participant, and find what is missing.

    Raises
    ------
    SecondLevelError
        If no files could be chosen for this participant.
    """
    chosen = choose(label, study)
    plan = chosen.plan
    folder = ParticipantFolder(study.settings.output_dir, label, plan.space, plan.session)
    origin = resume.origin_of(chosen, study.settings)
    is_up_to_date = resume.is_up_to_date(origin, folder)
    is_measured = any(
        measured_gap(contrast, hemi) is None
        for contrast in chosen.files.contrasts
        for hemi in HEMISPHERES
    )
    outcome = summarize_outcome(
        chosen,
        find_gaps(chosen.files, chosen.plan),
        is_measured=is_measured,
        summary="dry run, nothing written" + (f"; {UP_TO_DATE}" if is_up_to_date else ""),
    )
    return replace(outcome, chosen=chosen)


def foresee(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Check also that the surfaces of all participants can be resampled."""
    gaps = find_sphere_gaps([outcome.chosen for outcome in outcomes if outcome.chosen])
    foreseen = []
    for outcome in outcomes:
        errors = [gap.error for gap in gaps.get(outcome.label, ()) if gap.error]
        texts = dict.fromkeys((*outcome.errors, *map(str, errors)))
        codes = [error.exit_code for error in errors] + [outcome.exit_code] * bool(outcome.errors)
        foreseen.append(replace(outcome, errors=tuple(texts), exit_code=min(codes, default=DONE)))
    return foreseen


def show(foreseen: Sequence[Outcome], study: Study, linked: Sequence[Dataset]) -> None:
    """Print a dry run: the study, and with ``-v`` every file that would be used."""
    is_verbose = study.settings.verbose > 0
    labels = [outcome.label for outcome in foreseen]
    for line in (
        *describe_study(foreseen, every_reason=is_verbose),
        *describe_patterns(study.patterns, labels),
        describe_datasets(linked),
    ):
        print(line)
    for chosen in (outcome.chosen for outcome in foreseen if is_verbose):
        if chosen is not None:
            print(describe_run(chosen.files, chosen.plan))


def find_gaps(files: ParticipantFiles, plan: Plan) -> list[Absent]:
    """List what is needed and missing."""
    gaps = [retinotopy_gap(files, hemi, plan.rois) for hemi in plan.sides]
    for contrast in files.localizers:
        gaps += [localizer_gap(files.localizers, contrast, hemi) for hemi in plan.sides]
    for estimate in files.contrasts:
        gaps += [measured_gap(estimate, hemi) for hemi in plan.sides]
    for source in files.retinotopy.values():
        angle, explained = source.polar_angle is None, source.variance_explained is None
        gaps += [
            Absent("missing_retinotopy", InputMissingError(f"ROI {roi.name} needs it."))
            for roi in plan.rois
            if (roi.rule.polar_angle and angle)
            or (roi.rule.min_variance_explained is not None and explained)
        ]
    return [gap for gap in gaps if gap is not None]


def find_sphere_gaps(chosen: Sequence[Chosen]) -> Mapping[str, list[Absent]]:
    """List the missing spheres that are needed to resample maps or retinotopy.

    Maps are read for one participant only, one with spheres if there is any. If a sphere of a
    template is missing, it is missing for all. If this participant needs spheres, so do the others.

    Returns
    -------
    mapping
        Messages by the labels of participants.
    """
    in_need = [each for each in chosen if _is_carried(each)]
    if not in_need:
        return {}
    first = next(filter(_has_spheres, in_need), in_need[0])
    cortices = MapReader(first.files, first.plan).cortices()
    alignments = [cortices[side].alignment for side in first.plan.sides]
    found = [
        gap
        for alignment in alignments
        for gap in (alignment.no_retinotopy, alignment.no_maps)
        if gap is not None
    ]
    # Spheres of templates have other names.
    uses_own = any(uri.startswith("bids:") for each in alignments for uri in each.spheres)
    error = InputMissingError(
        f"there is no sphere registered to a template (sub-{first.index.label} has one). Expected "
        "surf/lh.sphere.reg and surf/rh.sphere.reg of FreeSurfer, or ..._desc-reg_sphere.surf.gii "
        "of fMRIPrep. Name its dataset with --derivatives."
    )
    return {
        each.index.label: [Absent("vertex_mismatch", error)]
        if uses_own and not _has_spheres(each)
        else found
        for each in in_need
    }


def _has_spheres(chosen: Chosen) -> bool:
    own = {each.hemisphere for each in chosen.index.surfaces if each.kind == "registered"}
    return own.issuperset(chosen.plan.sides)


def _is_carried(chosen: Chosen) -> bool:
    """Return whether maps and retinotopy of a participant are on different surfaces."""
    files, plan = chosen.files, chosen.plan
    if plan.is_volume or not files.retinotopy or not any(files.localizers.values()):
        return False
    spaces = {plan.space or OWN, plan.maps_space or OWN}
    spaces |= {source.space or OWN for source in files.retinotopy.values()}
    return len(spaces) > 1


def describe_study(outcomes: Sequence[Outcome], *, every_reason: bool = False) -> Iterator[str]:
    """Describe a study: one line per participant, and one per reason why files are not used.

    Parameters
    ----------
    outcomes
        Outcomes of a dry run.
    every_reason
        Whether to list all reasons, or only those that concern most files.
    """
    chosen = [outcome.chosen for outcome in outcomes if outcome.chosen is not None]
    tasks = list(
        dict.fromkeys(
            task
            for each in chosen
            for task, _ in each.plan.measured
            if task != each.plan.localizer_task
        )
    )
    localizer = next((each.plan.localizer_task for each in chosen), None) or "none"
    rows = [["participant", "retinotopy", f"localizer {localizer}", *tasks, "troubles"]]
    rows += [_row(outcome, tasks) for outcome in outcomes]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    for each in chosen[:1]:
        yield from (f"ROI {roi.name}: {in_a_line(roi)}" for roi in each.plan.rois)
    unused: dict[str, dict[SourceFile, str]] = {}
    for each in chosen:
        for reason, file in find_unused(each):
            unused.setdefault(reason, {})[file] = each.index.label
    reasons = sorted(unused, key=lambda reason: -len(unused[reason]))
    shown = reasons if every_reason else reasons[:_MOST_REASONS]
    if shown:
        yield "Found and not used:"
    for reason in shown:
        files = unused[reason]
        n_participants = len(set(files.values()))
        yield (
            f"  {counted(len(files), 'file')} of {counted(n_participants, 'participant')}: "
            f"{reason} (such as {next(iter(files)).uri})"
        )
    if len(shown) < len(reasons):
        yield f"  and {counted(len(reasons) - len(shown), 'more reason')} (-v lists them)"


def _row(outcome: Outcome, tasks: Sequence[str]) -> list[str]:
    trouble = "; ".join(map(_shortened, outcome.errors))
    if not trouble and outcome.messages:
        trouble = counted(len(outcome.messages), "warning")
    chosen = outcome.chosen
    if chosen is None:
        return [f"sub-{outcome.label}", *["?"] * (len(tasks) + 2), trouble]
    files, plan = chosen.files, chosen.plan
    sides = [side for side in plan.sides if side in files.retinotopy]
    retinotopy = files.retinotopy_source or "missing"
    if sides and len(sides) < len(plan.sides):
        retinotopy += f" ({sides[0]} only)"
    return [
        f"sub-{outcome.label}",
        retinotopy,
        _runs([*files.localizers.values()]) if files.localizers else "-",
        *(_runs([each.maps for each in files.contrasts if each.task == task]) for task in tasks),
        trouble or "-",
    ]


def _runs(contrasts: Sequence[Mapping[Hemisphere, MapSource]]) -> str:
    """Describe how many maps are combined per contrast, and how many contrasts have maps."""
    there = [source for maps in contrasts for source in maps.values()]
    if not there:
        return "missing"
    if not any(run for source in there for _, run in source.units):
        text = "1 map"
    else:
        counts = sorted({len(source.maps) for source in there})
        text = counted(counts[0], "run") if len(counts) == 1 else f"{counts[0]}-{counts[-1]} runs"
    n_there = sum(map(bool, contrasts))
    return text if n_there == len(contrasts) else f"{text}, {n_there} of {len(contrasts)} contrasts"


def _shortened(error: str) -> str:
    """Return the first clause of a message. The whole message is reported elsewhere."""
    clause = re.split(r"[.:;]\s", error)[0].rstrip(".")
    return clause if len(clause) <= _LONGEST else f"{clause[: _LONGEST - 3]}..."


def find_unused(chosen: Chosen) -> Iterator[tuple[str, SourceFile]]:
    """List the files that were found and are not used, with the reasons."""
    index, files, plan = chosen.index, chosen.files, chosen.plan
    used = {file.path for file, _ in files.maps}
    for miss in index.near_misses:
        if miss.source.path not in used:
            yield miss.reason, miss.source
            used.add(miss.source.path)
    for file in index.statistical_maps:
        if file.source.path not in used:
            yield _why_unused(file, plan), file.source
            used.add(file.source.path)  # t maps are listed a second time, as z maps made from them
    for file in index.retinotopic_maps:
        if file.source.path in used or file.is_of_template:
            continue
        kind, source = file.entities["suffix"], file.entities["desc"]
        if file.is_volume != plan.is_volume:
            yield f"{'a volume' if file.is_volume else 'a surface'}; the maps are not", file.source
        elif "retinotopy" not in file.queries:
            yield "excluded by --bids-filter-file", file.source
        elif source != files.retinotopy_source:
            used_source = files.retinotopy_source or "none"
            yield f"retinotopy {source}; {used_source} is used", file.source
        else:
            yield f"{kind} of the retinotopy: no ROI needs it, or another file has it", file.source


def _why_unused(file: IndexedFile, plan: Plan) -> str:
    said = file.entities
    task, statistic = said.get("task"), said.get("stat")
    contrast, session = said.get("contrast"), said.get("session")
    is_localizer = task is not None and same(plan.localizer_task, task)
    wanted = {plan.statistic, "variance"} | ({"z", "effect"} if is_localizer else set())
    asked = any(same(task, of_task) and same(contrast, c) for of_task, c in plan.measured)
    where = f"{spoken(said.get('space'))}{' (a volume)' if file.is_volume else ''}"
    of_session = not plan.session_labels or session in plan.session_labels
    reasons = (
        (not is_in(file, plan), f"space {where}; {spoken(plan.maps_space)} is used"),
        (
            statistic not in wanted,
            f"stat-{statistic} of task {task}; stat-{plan.statistic} is measured",
        ),
        (not file.queries & {"localizer", "estimates"}, "excluded by --bids-filter-file"),
        (not of_session, f"{f'session {session}' if session else 'no session'} was not asked for"),
        (not asked and not is_localizer, "its task or contrast was not asked for"),
        (True, f"stat-{statistic} of task {task}: pooled maps or z maps are used"),
    )
    return next(reason for is_true, reason in reasons if is_true)


def describe_datasets(datasets: Sequence[Dataset]) -> str:
    """List the datasets with their names in BIDS URIs."""
    width = max(len(dataset.name) for dataset in datasets)
    return "\n".join(f"bids:{d.name + ':':<{width + 1}}  is {d.root}" for d in datasets)


def describe_patterns(patterns: Sequence[Pattern], labels: Sequence[str]) -> Iterator[str]:
    """Report how many files match each pattern of the user, with an example."""
    for pattern in patterns:
        described = pattern.described
        what = described.stat if isinstance(described, DescribedMaps) else described.map
        yield f"{pattern.heading} ({what}): {described.pattern}"
        found = {
            label: list(pattern.matches(Sought(label=label)))
            for label in (labels[:1] if pattern.is_for_everybody else labels)
        }
        n_files = sum(map(len, found.values()))
        n_participants = sum(map(bool, found.values()))
        people = counted(n_participants, "participant")
        whose = "all participants" if pattern.is_for_everybody else people
        yield f"  {counted(n_files, 'file')} of {whose}"
        example = next((match for of in found.values() for match in of), None)
        if example is not None:
            labels_there = ", ".join(f"{k} {v}" for k, v in example.labels().items())
            yield f"  such as {example.path} ({labels_there})"


def describe_run(files: ParticipantFiles, plan: Plan) -> str:
    """List which files would be used for what, and how many rows to expect.

    Returns
    -------
    str
        Indented lines for a terminal.
    """
    return "\n".join(_lines(files, plan))


def _lines(files: ParticipantFiles, plan: Plan) -> Iterator[str]:
    yield f"sub-{files.label}"
    yield f"  space: {plan.space or 'none in the names'}"
    if plan.maps_space != plan.space:
        yield f"  maps are resampled to it from space {plan.maps_space or '(none in the names)'}"
    yield f"  retinotopy: {files.retinotopy_source or 'MISSING'}"
    for hemi, source in files.retinotopy.items():
        for file in source.files:
            yield f"    {hemi}  {file.uri}"
    for roi in plan.rois:
        yield f"  ROI {roi.name}: {in_a_line(roi)}"
    if plan.localizer_task is not None:
        yield f"  localizer: task {plan.localizer_task}"
    for contrast, sources in files.localizers.items():
        yield f"    {contrast}"
        yield from _sources(sources)
    yield f"  to be measured: {len(files.contrasts)} contrasts"
    for estimate in files.contrasts:
        session = f"session {estimate.session}, " if estimate.session else ""
        yield f"    {session}task {estimate.task}, contrast {estimate.contrast}"
        yield from _sources(estimate.maps)
    n_hemi = len(plan.hemi)
    n_rows = len(files.contrasts) * len(plan.rois) * n_hemi
    yield (
        f"  expected rows: {n_rows} ({len(files.contrasts)} contrasts x "
        f"{len(plan.rois)} ROIs x {n_hemi} for {', '.join(plan.hemi)})"
    )


def _sources(sources: Mapping[Hemisphere, MapSource]) -> Iterator[str]:
    for hemi in HEMISPHERES:
        source = sources.get(hemi)
        if source is None:
            yield f"      {hemi}  MISSING"
            continue
        if source.combination != "single":
            yield f"      {hemi}  {len(source.maps)} maps: {COMBINATIONS[source.combination]}"
        for file in source.files:
            yield f"      {hemi}  {file.uri}"
