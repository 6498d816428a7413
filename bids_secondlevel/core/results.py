"""What is found out about a participant, and about the group.

Results are written as tables with their sidecars, read back, and shown on pages. Their tables are
as :mod:`~bids_secondlevel.core.rows` describes them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.files import ParticipantFiles, Plan, ways_of_combination
from bids_secondlevel.core.inference import Inference

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class ParticipantResults:
    """What was found out about a participant."""

    participant_id: str
    """With ``sub-``."""
    session: str | None
    """Set if the run was of a single session."""
    space: str | None
    """Of the ROIs; ``None`` if names have none."""
    definition: Definition
    inputs: tuple[tuple[str, str], ...]
    """What each file was used for, and its URI."""
    estimates: "pd.DataFrame"
    runs: "pd.DataFrame"
    """Estimates of single runs; no rows if none were combined."""
    sweep: "pd.DataFrame"
    """Estimates under other limits; no rows if no sweep was asked for."""
    visual_field: "pd.DataFrame"
    """Means in bins of the visual field; no rows if none were asked for."""
    quality: "pd.DataFrame"
    overlaps: "pd.DataFrame"
    reasons: tuple[str, ...] = ()
    """What should be looked at before the numbers are used."""
    messages: tuple[str, ...] = ()
    """Choices that were made, and what was passed over."""
    errors: tuple[str, ...] = ()
    """Why numbers are missing."""
    portrait: bytes | None = None
    """The picture of the cortex, or of slices (SVG), if there is one."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedModel:
    """A model across participants, fitted to their estimates."""

    given: str
    """A formula, or the file of a BIDS Stats Model."""
    fits: "pd.DataFrame"
    """The results of each fit."""
    summary: str
    """The same as text."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupResults:
    """What was found out about the group."""

    definition: Definition
    exclusions: Mapping[str, str]
    """The user's reasons, by participant (with ``sub-``)."""
    min_vertices: int
    min_coverage: float
    inference: Inference
    """How it was tested."""
    settings: str
    """As TOML."""
    estimates: "pd.DataFrame"
    participants: "pd.DataFrame"
    """Who is ready, and why not; the columns of ``participants.tsv`` are its last."""
    statistics: "pd.DataFrame"
    comparisons: "pd.DataFrame"
    dependences: tuple[str, ...]
    """Contrasts that follow from others, each in words; not compared with these."""
    quality: "pd.DataFrame"
    groups: Mapping[str, str]
    """Of the participants (with ``sub-``); empty if they are not divided."""
    planned: "pd.DataFrame"
    """No rows without planned contrasts."""
    anova: "pd.DataFrame"
    """No rows if none was asked for."""
    reliability: "pd.DataFrame"
    """No rows if participants have one session and one run."""
    sweep: "pd.DataFrame"
    """No rows if the participants' tables have no sweep."""
    visual_field: "pd.DataFrame"
    """Tests of bins of the visual field; no rows if the participants have no such tables."""
    planned_estimates: "pd.DataFrame | None" = None
    """Numbers of planned contrasts, like a table of estimates; not read back."""
    model: FittedModel | None = None
    study: str | None = None
    """Name of the dataset, if it has one."""
    analysis: str | None = None
    """Name of the analysis, if it has one."""


def inputs_of(files: ParticipantFiles) -> tuple[tuple[str, str], ...]:
    """Say what each file was used for, with its URI."""
    used: list[tuple[str, str]] = []
    for hemi, retinotopy in files.retinotopy.items():
        used += [(f"retinotopy, {hemi}", file.uri) for file in retinotopy.files]
    for contrast, localizer in files.localizers.items():
        for hemi, maps in localizer.items():
            used += [(f"localizer {contrast}, {hemi}", file.uri) for file in maps.files]
    used += [(f"surface for areas, {hemi}", file.uri) for hemi, file in files.surfaces.items()]
    for measured in files.contrasts:
        for hemi, maps in measured.maps.items():
            what = f"measured: {measured.task} {measured.contrast}, {hemi}"
            used += [(what, file.uri) for file in maps.files]
    return tuple(used)


def definition_of(
    plan: Plan, files: ParticipantFiles, resampling: Iterable[str] = (), spheres: Iterable[str] = ()
) -> Definition:
    """Say how the ROIs of a participant are defined and measured.

    Parameters
    ----------
    resampling, spheres
        As in :class:`~.definition.Definition`; the same may be given twice.
    """
    return Definition(
        rois=plan.rois,
        localizer_task=plan.localizer_task,
        statistic=plan.statistic,
        summary=plan.summary,
        sources=() if files.retinotopy_source is None else (files.retinotopy_source,),
        maps_are="volumes" if plan.is_volume else "surfaces",
        resampling=tuple(dict.fromkeys(resampling)),
        spheres=tuple(dict.fromkeys(spheres)),
        combined=ways_of_combination(files.localizers, files.contrasts, plan.localizer_task),
        choices=(*plan.choices, *files.choices),
        positions=plan.visual_field.positions if plan.visual_field else (),
        relative_to=plan.visual_field.relative_to if plan.visual_field else {},
        wording=plan.wording,
    )
