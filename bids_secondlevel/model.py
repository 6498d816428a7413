"""Values that pass between the parts of the program: which files, which arrays, which reasons.

Arrays are one-dimensional, one value per vertex of one hemisphere's surface.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.errors import SecondLevelError

Hemisphere = Literal["L", "R"]
HEMISPHERES: tuple[Hemisphere, Hemisphere] = ("L", "R")
BOTH = "both"
"""Value of the column ``hemi`` where the vertices of both hemispheres are pooled."""

Array = NDArray[Any]
Mask = NDArray[np.bool_]

Combination = Literal["single", "fixed_effects", "mean", "fixed_effects_z", "stouffer"]
"""How the maps of several runs become one: see :func:`bids_secondlevel.measures.combine_runs`."""

Status = Literal[
    "ok",
    "empty_roi",
    "no_finite_vertices",
    "missing_map",
    "unreadable_map",
    "vertex_mismatch",
    "missing_localizer",
    "unreadable_localizer",
    "missing_retinotopy",
    "unreadable_retinotopy",
    "missing_participant",
    "unreadable_table",
]

STATUSES: Mapping[Status, str] = {
    "ok": "a number could be had",
    "empty_roi": "the ROI has no vertex",
    "no_finite_vertices": "every vertex of the ROI is NaN or infinite in this map",
    "missing_map": "the map to be measured was not found or its content is not on this computer",
    "unreadable_map": "the map to be measured could not be read or was refused",
    "vertex_mismatch": "maps that belong together differ in their number of vertices",
    "missing_localizer": "the localizer map that defines the ROI was not found",
    "unreadable_localizer": "the localizer map could not be read or was refused",
    "missing_retinotopy": "visual-area or eccentricity map was not found",
    "unreadable_retinotopy": "visual-area or eccentricity map could not be read or was refused",
    "missing_participant": "the participant level has written no table for this participant",
    "unreadable_table": "the table of this participant could not be read",
}
"""Every status of a row with its meaning, from the mildest to the one that wins over others."""


@dataclass(frozen=True)
class Dataset:
    """A folder of one tool's results; `name` is what BIDS URIs call it."""

    name: str
    root: Path


@dataclass(frozen=True, order=True)
class SourceFile:
    """A file of an input dataset, at its path as found (symbolic links are not resolved)."""

    path: Path
    uri: str


@dataclass(frozen=True)
class MapSource:
    """Files that make one map of one hemisphere.

    Attributes
    ----------
    maps : tuple of SourceFile
        One file per run; a single one where the first-level tool gave one map.
    combination : {"single", "fixed_effects", "mean", "fixed_effects_z", "stouffer"}
        How they become one map.
    variances : tuple of SourceFile
        For the fixed-effects combinations, the variance map of each of `maps`; else empty.
    """

    maps: tuple[SourceFile, ...]
    combination: Combination = "single"
    variances: tuple[SourceFile, ...] = ()

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All files to be read."""
        return self.maps + self.variances


@dataclass(frozen=True)
class RetinotopySource:
    """The visual-area and eccentricity maps of one hemisphere, from the same source."""

    visual_area: SourceFile
    eccentricity: SourceFile


@dataclass(frozen=True)
class EstimateSource:
    """The maps of one contrast to be measured; a hemisphere without a map is absent.

    `session` is ``None`` where the file names have none.
    """

    session: str | None
    task: str
    contrast: str
    maps: Mapping[Hemisphere, MapSource]


@dataclass(frozen=True)
class Plan:
    """What is asked for, the same for every participant of a run.

    Attributes
    ----------
    space : str or None
        Surface space of the maps; ``None`` where their names have none.
    localizer_task : str
        Task whose contrasts define the ROIs.
    roi_contrasts : tuple of str
        Localizer contrasts, one ROI each.
    measured : tuple of (str, str)
        Task and contrast of every map to be measured.
    sessions : mapping of str to tuple of (str or None)
        Sessions in which each measured task was found.
    messages : tuple of str
        Choices made on the user's behalf.
    """

    space: str | None
    localizer_task: str
    roi_contrasts: tuple[str, ...]
    measured: tuple[tuple[str, str], ...]
    sessions: Mapping[str, tuple[str | None, ...]]
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParticipantFiles:
    """Which files are used for what, for one participant.

    Attributes
    ----------
    label : str
        Participant label without ``sub-``.
    retinotopy_source : str or None
        Tag of the retinotopy maps, for example ``benson14``.
    retinotopy : mapping of hemisphere to RetinotopySource
    localizers : mapping of contrast to hemisphere to MapSource
        z maps of the localizer.
    estimates : tuple of EstimateSource
        Sorted by session, task and contrast.
    messages : tuple of str
        Choices made on the user's behalf, and what was passed over.
    """

    label: str
    retinotopy_source: str | None
    retinotopy: Mapping[Hemisphere, RetinotopySource]
    localizers: Mapping[str, Mapping[Hemisphere, MapSource]]
    estimates: tuple[EstimateSource, ...]
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Retinotopy:
    """Retinotopic maps of one hemisphere.

    Attributes
    ----------
    visual_area : (n_vertices,) array of int
        Label of the visual area; 0 is none.
    eccentricity : (n_vertices,) array of float
        Degrees of visual angle.
    """

    visual_area: NDArray[np.integer[Any]]
    eccentricity: Array


@dataclass(frozen=True)
class Absent:
    """Why something could not be had; stands in its place.

    `error` is set where that is a failure, and not just something that was never recorded.
    """

    status: Status
    error: SecondLevelError | None = None


Masks = Mapping[Hemisphere, Mask | Absent]
"""A mask per hemisphere, or why there is none."""


@dataclass(frozen=True)
class IndexedFile:
    """A map found for a participant.

    Attributes
    ----------
    source : SourceFile
    entities : mapping of str to str
        BIDS entities of its name by pybids' long names, with ``suffix`` and ``extension``;
        ``hemi`` is ``L`` or ``R``. FreeSurfer names have only ``hemi``, ``suffix``,
        ``extension`` and, for the tag of the retinotopy, ``desc``.
    dataset : str
        Name of the dataset it lies in.
    queries : frozenset of str
        The queries of ``--bids-filter-file`` that it passes.
    """

    source: SourceFile
    entities: Mapping[str, str]
    dataset: str
    queries: frozenset[str]


@dataclass(frozen=True)
class ParticipantIndex:
    """Every map found for a participant, before any choice.

    Attributes
    ----------
    label : str
        Participant label without ``sub-``.
    statistical_maps : tuple of IndexedFile
        Of one hemisphere's surface each.
    retinotopic_maps : tuple of IndexedFile
        Of one hemisphere's surface each.
    volumes : tuple of SourceFile
        Statistical maps that are volumes, which are not used.
    foreign : tuple of SourceFile
        Files in the participant's folders that name another participant; they are not used.
    """

    label: str
    statistical_maps: tuple[IndexedFile, ...] = ()
    retinotopic_maps: tuple[IndexedFile, ...] = ()
    volumes: tuple[SourceFile, ...] = ()
    foreign: tuple[SourceFile, ...] = ()
