"""Say what a run would do for a participant, without reading maps or writing anything."""

from collections.abc import Iterator, Mapping, Sequence

from bids_secondlevel.core.definition import in_a_line
from bids_secondlevel.core.described import DescribedMaps
from bids_secondlevel.core.errors import InputMissingError
from bids_secondlevel.core.files import Dataset, MapSource, ParticipantFiles, Plan
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.values import Absent
from bids_secondlevel.inputs.described import Pattern
from bids_secondlevel.inputs.patterns import Sought
from bids_secondlevel.maps.combine import COMBINATIONS
from bids_secondlevel.maps.reader import localizer_gap, measured_gap
from bids_secondlevel.maps.retinotopy import retinotopy_gap


def find_gaps(files: ParticipantFiles, plan: Plan) -> list[Absent]:
    """List what is asked for and not there."""
    gaps = [retinotopy_gap(files, hemi, plan.rois) for hemi in plan.sides]
    for contrast in files.localizers:
        gaps += [localizer_gap(files.localizers, contrast, hemi) for hemi in plan.sides]
    for estimate in files.contrasts:
        gaps += [measured_gap(estimate, hemi) for hemi in plan.sides]
    for source in files.retinotopy.values():
        angle, explained = source.polar_angle is None, source.variance_explained is None
        gaps += [
            Absent("missing_retinotopy", InputMissingError(f"ROI {roi.name} needs a further map."))
            for roi in plan.rois
            if (roi.rule.polar_angle and angle)
            or (roi.rule.min_variance_explained is not None and explained)
        ]
    return [gap for gap in gaps if gap is not None]


def describe_datasets(datasets: Sequence[Dataset]) -> str:
    """List the datasets by the names that stand in BIDS URIs."""
    width = max(len(dataset.name) for dataset in datasets)
    return "\n".join(f"bids:{d.name + ':':<{width + 1}}  is {d.root}" for d in datasets)


def describe_patterns(patterns: Sequence[Pattern], labels: Sequence[str]) -> Iterator[str]:
    """Say how many files each pattern of the user fits, and give an example."""
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
        whose = "everybody" if pattern.is_for_everybody else f"{n_participants} participants"
        yield f"  {n_files} files of {whose}"
        example = next((match for of in found.values() for match in of), None)
        if example is not None:
            labels_there = ", ".join(f"{k} {v}" for k, v in example.labels().items())
            yield f"  such as {example.path} ({labels_there})"


def describe_run(files: ParticipantFiles, plan: Plan) -> str:
    """List which files would be used for what, and the rows to be expected.

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
        yield f"  maps are carried there from space {plan.maps_space or 'not named'}"
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
        f"  rows to be expected: {n_rows} ({len(files.contrasts)} contrasts x "
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
