"""The results of a participant, and of the group.

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
    """The results of a participant."""

    participant_id: str
    """With ``sub-``."""
    session: str | None
    """Set if the user asked for a single session."""
    space: str | None
    """Space of the ROIs; ``None`` if names have none."""
    definition: Definition
    inputs: tuple[tuple[str, str], ...]
    """Purpose and URI of each file."""
    estimates: "pd.DataFrame"
    runs: "pd.DataFrame"
    """Estimates of single runs; no rows if none were combined."""
    sweep: "pd.DataFrame"
    """Estimates of the sweep; no rows without one."""
    visual_field: "pd.DataFrame"
    """Means in bins of the visual field; no rows if not asked for."""
    quality: "pd.DataFrame"
    overlaps: "pd.DataFrame"
    reasons: tuple[str, ...] = ()
    """What to check before the estimates are used."""
    messages: tuple[str, ...] = ()
    """Choices of the program, and files that are not used."""
    errors: tuple[str, ...] = ()
    """Why estimates are missing."""
    portrait: bytes | None = None
    """The picture of the cortex, or of slices (SVG), if there is one."""
    thumbnail: bytes | None = None
    """Only the ROIs, small (PNG), if there is a picture."""
    explorer: str | None = None
    """Name of the page with the cortex in three dimensions, if there is one."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedModel:
    """A model fitted to the estimates of all participants."""

    given: str
    """A formula, or the file of a BIDS Stats Model."""
    fits: "pd.DataFrame"
    """The results of each fit."""
    summary: str
    """The same results as text."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupResults:
    """The results of the group."""

    definition: Definition
    exclusions: Mapping[str, str]
    """Reasons of ``--exclude``, by participant (with ``sub-``)."""
    min_vertices: int
    min_coverage: float
    inference: Inference
    """How the tests were made."""
    settings: str
    """Settings as TOML."""
    estimates: "pd.DataFrame"
    participants: "pd.DataFrame"
    """Verdict about each participant; its last columns are those of ``participants.tsv``."""
    statistics: "pd.DataFrame"
    comparisons: "pd.DataFrame"
    dependences: tuple[str, ...]
    """Contrasts that are combinations of others, in words; they are not compared with these."""
    quality: "pd.DataFrame"
    groups: Mapping[str, str]
    """Group of each participant (with ``sub-``); empty without groups."""
    planned: "pd.DataFrame"
    """No rows without planned contrasts."""
    planned_estimates: "pd.DataFrame"
    """Numbers of participants in them."""
    anova: "pd.DataFrame"
    """No rows if none was asked for."""
    reliability: "pd.DataFrame"
    """No rows if participants have one session and one run."""
    sweep: "pd.DataFrame"
    """No rows if the participants' tables have no sweep."""
    visual_field: "pd.DataFrame"
    """Tests of bins of the visual field; no rows if the participants have no such tables."""
    maps: "pd.DataFrame"
    """What was found in maps of the group; no rows if none were asked for."""
    model: FittedModel | None = None
    portrait: bytes | None = None
    """The picture of the maps of the group (SVG), if there is one."""
    explorer: str | None = None
    """Name of the page with these maps in three dimensions, if there is one."""
    study: str | None = None
    """Name of the dataset, if it has one."""
    analysis: str | None = None
    """Name of the analysis, if it has one."""


def inputs_of(files: ParticipantFiles) -> tuple[tuple[str, str], ...]:
    """List the purpose and URI of each file."""
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
    """Return how the ROIs of a participant are defined and measured.

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
