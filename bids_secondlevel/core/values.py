"""Values that pass between the parts of the program: which arrays, which reasons.

Arrays are one-dimensional: one value per vertex of one hemisphere's surface, or per voxel of a
volume, in which the voxels of the other hemisphere belong to nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.errors import SecondLevelError

Array = NDArray[Any]
Mask = NDArray[np.bool_]

Status = Literal[
    "ok",
    "empty_roi",
    "below_min_vertices",
    "below_min_coverage",
    "no_finite_vertices",
    "missing_surface",
    "missing_map",
    "unreadable_map",
    "vertex_mismatch",
    "missing_localizer",
    "unreadable_localizer",
    "missing_retinotopy",
    "unreadable_retinotopy",
    "missing_participant",
    "unreadable_table",
    "excluded",
]

STATUSES: Mapping[Status, str] = {
    "ok": "a number could be had",
    "empty_roi": "the ROI has no vertex",
    "below_min_vertices": "the ROI has fewer vertices than asked for",
    "below_min_coverage": "a smaller share of the vertices of the ROI is finite than asked for",
    "no_finite_vertices": "every vertex of the ROI is NaN or infinite in this map",
    "missing_surface": "areas of vertices are needed, and there is no surface to get them from",
    "missing_map": "the map to be measured was not found or its content is not on this computer",
    "unreadable_map": "the map to be measured could not be read or was refused",
    "vertex_mismatch": "maps that belong together are on different surfaces or grids",
    "missing_localizer": "the localizer map that defines the ROI was not found",
    "unreadable_localizer": "the localizer map could not be read or was refused",
    "missing_retinotopy": "visual-area or eccentricity map was not found",
    "unreadable_retinotopy": "visual-area or eccentricity map could not be read or was refused",
    "missing_participant": "the participant level has written no table for this participant",
    "unreadable_table": "the table of this participant could not be read",
    "excluded": "this participant was excluded by the user",
}
"""Every status of a row with its meaning, from the mildest to the one that wins over others."""


NEVER_NEGATIVE = frozenset(
    {"p", "variance", "var", "varcope", "sd", "std", "se", "stderr", "sem", "f", "zf"}
    | {"chi2", "rsquare", "r2", "rsquared", "dof", "df", "tsnr", "residvar", "ess", "logp"}
)
"""Statistics, as maps are named after them (in lower case), that are not effects: their mean over
runs says nothing about all runs, and that over participants is not 0 without an effect."""


@dataclass(frozen=True)
class ParticipantsTable:
    """What ``participants.tsv`` says about the participants; empty where there is no such file."""

    columns: tuple[str, ...] = ()
    """In the order of the file, without ``participant_id``."""
    values: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    """By participant (with ``sub-``) and column, as written; ``None`` where it is n/a."""
    categorical: frozenset[str] = frozenset()
    """Columns to which ``participants.json`` gives ``Levels``: their numbers are names of
    groups."""


@dataclass(frozen=True)
class Absent:
    """Why something could not be had; stands in its place.

    `error` is set where that is a failure, and not just something that was never recorded.
    """

    status: Status
    error: SecondLevelError | None = None


@dataclass(frozen=True, eq=False)
class Retinotopy:
    """Retinotopic maps of one hemisphere."""

    visual_area: NDArray[np.integer[Any]]
    """Label of the visual area; 0 is none, or an area of `other_areas`, (n_vertices,)."""
    eccentricity: Array
    """Degrees of visual angle, (n_vertices,)."""
    polar_angle: Array | None = None
    """Degrees clockwise from the upper vertical meridian, positive in the right visual field,
    (n_vertices,)."""
    variance_explained: Array | None = None
    """In the unit of the file: a fraction, or percent, (n_vertices,)."""
    other_areas: Mapping[str, Mask | Absent] = field(default_factory=dict)
    """Visual areas that are given in files of their own, by name."""
    is_in_field: bool = False
    """Whether angles have the sign of the visual field, which else is found out."""

    @property
    def inside(self) -> Mask:
        """Vertices of any visual area."""
        others = [area for area in self.other_areas.values() if not isinstance(area, Absent)]
        inside: Mask = np.any([self.visual_area > 0, *others], axis=0)
        return inside


@dataclass(frozen=True, eq=False, kw_only=True)
class Region:
    """The vertices of a ROI in one hemisphere, found once and looked up in every map."""

    vertices: NDArray[np.intp]
    """In ascending order, (n,)."""
    n_surface: int
    """Vertices of the whole surface, which a map must have; in volumes, voxels of the grid."""
    areas: Array | None = None
    """Of these vertices in mm^2, (n,); ``None`` if there is no surface."""
    voxel_volume: float | None = None
    """In mm^3; ``None`` on surfaces."""


@dataclass(frozen=True, eq=False)
class RoiMasks:
    """The masks of one ROI in one hemisphere, each of ``n_vertices``, or why there is none."""

    retinotopic: Mask | Absent
    localized: Mask | Absent | None
    """``None`` for a ROI that is defined by retinotopy only."""
    roi: Mask | Absent


Rois = Mapping[str, RoiMasks]
"""The ROIs of one hemisphere, by name."""


def in_any(rois: Rois) -> Mask | Absent:
    """Tell which vertices are in any of the ROIs, of those that could be defined."""
    there = [masks.roi for masks in rois.values() if not isinstance(masks.roi, Absent)]
    absent = [masks.roi for masks in rois.values() if isinstance(masks.roi, Absent)]
    if not there:
        return worst(absent)
    inside: Mask = np.any(there, axis=0)
    return inside


@dataclass(frozen=True, eq=False)
class Mesh:
    """The surface of one hemisphere."""

    coordinates: Array
    """In mm, (n_vertices, 3)."""
    triangles: NDArray[np.integer[Any]]
    """Vertices of each triangle, counted from 0, (n_triangles, 3)."""


def worst(absent: Sequence[Absent]) -> Absent:
    """Choose the reason that goes deepest, by the order of :data:`~.values.STATUSES`."""
    return max(absent, key=lambda part: depth(part.status))


def depth(status: Status) -> int:
    """Say how deep a reason goes: its place in :data:`~.values.STATUSES`."""
    return list(STATUSES).index(status)
