"""Values that pass between the parts of the program: arrays, and reasons of missing estimates.

Arrays are one-dimensional: one value per vertex of one hemisphere's surface, or per voxel of a
volume, in which voxels of the other hemisphere have no visual area.
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
    "ok": "the estimate exists",
    "empty_roi": "the ROI has no vertex",
    "below_min_vertices": "the ROI has fewer vertices than --min-vertices",
    "below_min_coverage": "a smaller share of the vertices of the ROI has data than --min-coverage",
    "no_finite_vertices": "no vertex of the ROI has data: all values in this map are NaN or "
    "infinite",
    "missing_surface": "the summary needs the areas of vertices, and no surface was found to "
    "compute them",
    "missing_map": "the map was not found, or its content is not on this computer",
    "unreadable_map": "the map could not be read, or was refused",
    "vertex_mismatch": "maps that belong together are on different surfaces or grids",
    "missing_localizer": "a localizer map that defines the ROI was not found",
    "unreadable_localizer": "a localizer map could not be read, or was refused",
    "missing_retinotopy": "a map of visual areas or eccentricity was not found",
    "unreadable_retinotopy": "a map of visual areas or eccentricity could not be read, or was "
    "refused",
    "missing_participant": "the participant level has written no table for this participant",
    "unreadable_table": "the table of this participant could not be read",
    "excluded": "the user excluded this participant",
}
"""Every status of a row with its meaning. If several apply, the last of them is given."""


NEVER_NEGATIVE = frozenset(
    {"p", "variance", "var", "varcope", "sd", "std", "se", "stderr", "sem", "f", "zf"}
    | {"chi2", "rsquare", "r2", "rsquared", "dof", "df", "tsnr", "residvar", "ess", "logp"}
)
"""Statistics (in lower case) that are not effects. Their mean over runs says nothing about all
runs, and without an effect their mean over participants is not 0."""


@dataclass(frozen=True)
class ParticipantsTable:
    """The content of ``participants.tsv``; empty if there is no such file."""

    columns: tuple[str, ...] = ()
    """In the order of the file, without ``participant_id``."""
    values: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    """By participant (with ``sub-``) and column, as written; ``None`` if it is n/a."""
    categorical: frozenset[str] = frozenset()
    """Columns with ``Levels`` in ``participants.json``: numbers in them are names of groups."""


@dataclass(frozen=True)
class Absent:
    """Why something is missing; used in its place.

    `error` is set if the reason is an error, not a recording that was never made.
    """

    status: Status
    error: SecondLevelError | None = None


@dataclass(frozen=True, eq=False)
class Retinotopy:
    """Retinotopic maps of one hemisphere."""

    visual_area: NDArray[np.integer[Any]]
    """Label of the visual area, (n_vertices,); 0 is none, or an area of `other_areas`."""
    eccentricity: Array
    """Degrees of visual angle, (n_vertices,)."""
    polar_angle: Array | None = None
    """Degrees clockwise from the upper vertical meridian, positive in the right visual field,
    (n_vertices,)."""
    variance_explained: Array | None = None
    """In the unit of the file: a fraction, or percent, (n_vertices,)."""
    other_areas: Mapping[str, Mask | Absent] = field(default_factory=dict)
    """Visual areas that are defined by files, by name."""
    is_in_field: bool = False
    """Whether angles are known to have the sign of the visual field; if not, this is tested."""
    sigma: Array | None = None
    """Size of the receptive field: standard deviation of a Gaussian in degrees of visual angle,
    (n_vertices,)."""

    @property
    def inside(self) -> Mask:
        """Vertices of any visual area."""
        others = [area for area in self.other_areas.values() if not isinstance(area, Absent)]
        inside: Mask = np.any([self.visual_area > 0, *others], axis=0)
        return inside


@dataclass(frozen=True, eq=False, kw_only=True)
class Region:
    """The vertices of an ROI in one hemisphere, found once and used for every map."""

    vertices: NDArray[np.intp]
    """In ascending order, (n,)."""
    n_surface: int
    """Number of vertices of the whole surface (in volumes, voxels of the grid); a map must have as
    many."""
    areas: Array | None = None
    """Of these vertices in mm^2, (n,); ``None`` if there is no surface."""
    voxel_volume: float | None = None
    """In mm^3; ``None`` on surfaces."""


@dataclass(frozen=True, eq=False)
class RoiMasks:
    """The masks of one ROI in one hemisphere, each of ``n_vertices``, or the reason of no mask."""

    retinotopic: Mask | Absent
    localized: Mask | Absent | None
    """``None`` for an ROI that is defined by retinotopy alone."""
    roi: Mask | Absent


Rois = Mapping[str, RoiMasks]
"""The ROIs of one hemisphere, by name."""


def in_any(rois: Rois) -> Mask | Absent:
    """Return the mask of vertices in any of the ROIs that could be defined."""
    there = [masks.roi for masks in rois.values() if not isinstance(masks.roi, Absent)]
    absent = [masks.roi for masks in rois.values() if isinstance(masks.roi, Absent)]
    if not there:
        return worst(absent)
    inside: Mask = np.any(there, axis=0)
    return inside


def in_any_area(retinotopy: Retinotopy | Absent) -> Mask | Absent:
    """Tell which vertices are in any visual area."""
    return retinotopy if isinstance(retinotopy, Absent) else retinotopy.inside


@dataclass(frozen=True, eq=False)
class Mesh:
    """The surface of one hemisphere."""

    coordinates: Array
    """In mm, (n_vertices, 3)."""
    triangles: NDArray[np.integer[Any]]
    """Vertices of each triangle, counted from 0, (n_triangles, 3)."""


def worst(absent: Sequence[Absent]) -> Absent:
    """Choose the reason that comes last in :data:`~.values.STATUSES`."""
    return max(absent, key=lambda part: depth(part.status))


def depth(status: Status) -> int:
    """Return the position of a reason in :data:`~.values.STATUSES`."""
    return list(STATUSES).index(status)
