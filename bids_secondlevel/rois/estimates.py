"""The rows of the table of estimates, and their keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from bids_secondlevel.core.rows import KEY, column, columns
from bids_secondlevel.core.values import STATUSES, Status
from bids_secondlevel.rois.flags import FLAGS

Independence = Literal["independent", "crossvalidated", "circular"]

INDEPENDENCE: Mapping[Independence, str] = {
    "independent": "the map is not from the localizer data that defined the ROI",
    "crossvalidated": "ROI and map are from different runs of the localizer task",
    "circular": "the map is from the localizer data that defined the ROI; its mean is biased by "
    "selection, and it is not tested",
}


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One estimate of a participant, with its keys and descriptive columns.

    The only declaration of the columns of tables of estimates: their order, types, and descriptions
    in the sidecar. ``None`` is written as ``n/a``.
    """

    participant_id: str = column()
    session: str | None = column()
    task: str = column()
    contrast: str = column()
    roi: str = column(
        "ROI, named after the localizer contrast that defines it or by the config file; its "
        "definition is under Rois in this file"
    )
    hemi: str = column(
        "hemisphere",
        levels={
            "L": "left hemisphere; in volumes, x < 0 in world coordinates",
            "R": "right hemisphere; in volumes, x >= 0 in world coordinates",
            "both": "ROI vertices of both hemispheres pooled",
        },
    )
    space: str | None = column()
    statistic: str = column()
    estimate: float | None = column(
        "mean over the vertices of the ROI with data, or another summary given under Summary in "
        "this file",
        units="units of the measured map",
        default=None,
    )
    sd: float | None = column(
        "standard deviation over the vertices of the ROI with data (denominator n - 1); n/a for "
        "fewer than two vertices",
        units="units of the measured map",
        default=None,
    )
    median: float | None = column(
        "median over the vertices of the ROI with data",
        units="units of the measured map",
        default=None,
    )
    n_vertices: int | None = column(
        "number of vertices of the ROI (in volumes, voxels)", default=None
    )
    n_finite: int | None = column(
        "number of vertices of the ROI with data (not NaN or infinite in the map)", default=None
    )
    coverage: float | None = column("n_finite divided by n_vertices", default=None)
    area_mm2: float | None = column(
        "area of the ROI on the participant's own midthickness (or white) surface; n/a without "
        "such a surface",
        units="mm^2",
        default=None,
    )
    volume_mm3: float | None = column(
        "volume of the ROI; only for maps in volumes",
        units="mm^3",
        is_optional=True,
        default=None,
    )
    n_runs: int | None = column(
        "number of maps of runs that the program combined; 1 if the first-level tool gave a single "
        "map; for crossvalidated estimates the number of folds over which all columns are averaged",
        default=None,
    )
    status: Status = column(
        "ok if the estimate exists, otherwise the reason why it is missing",
        levels=STATUSES,
        default="ok",
    )
    independence: Independence = column(
        "whether the estimate was measured on the data that defined its ROI",
        levels=INDEPENDENCE,
        default="independent",
    )
    flags: str | None = column(
        "warnings about the estimate", levels=FLAGS, is_list=True, default=None
    )

    @property
    def key(self) -> tuple[str | None, ...]:
        """The key of this row: the values of the columns :data:`KEY`."""
        return _key_of(self)


ESTIMATE_COLUMNS = columns(EstimateRow)

_key_of: Callable[[Any], tuple[str | None, ...]] = attrgetter(*KEY)
