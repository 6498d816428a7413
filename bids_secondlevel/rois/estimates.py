"""The rows of the table of estimates, and what names them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from bids_secondlevel.core.rows import KEY, column, columns
from bids_secondlevel.core.values import STATUSES, Status
from bids_secondlevel.rois.flags import FLAGS

Independence = Literal["independent", "crossvalidated", "circular"]

INDEPENDENCE: Mapping[Independence, str] = {
    "independent": "the map does not stem from the localizer task that defined the ROI",
    "crossvalidated": "ROI and map come from different runs of the localizer task",
    "circular": "the map stems from the localizer task that defined the ROI; its mean is biased "
    "towards activation and no test is reported on it",
}


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One number measured for a participant, and everything that belongs to it.

    This is the only declaration of the columns of the estimates tables: their order, their
    types, and their description in the sidecar. ``None`` is written as ``n/a``.
    """

    participant_id: str = column()
    session: str | None = column()
    task: str = column()
    contrast: str = column()
    roi: str = column(
        "region of interest, named after the localizer contrast that defines it "
        "or as configured; Rois in this file says how each is defined"
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
        "mean over the finite vertices of the ROI, unless Summary in this file says otherwise",
        units="those of the measured map",
        default=None,
    )
    sd: float | None = column(
        "standard deviation over the finite vertices of the ROI (n - 1 in the denominator); n/a "
        "below two vertices",
        units="those of the measured map",
        default=None,
    )
    median: float | None = column(
        "median over the finite vertices of the ROI",
        units="those of the measured map",
        default=None,
    )
    n_vertices: int | None = column(
        "number of vertices of the ROI, in volumes of voxels", default=None
    )
    n_finite: int | None = column(
        "number of vertices of the ROI that are neither NaN nor infinite in the map", default=None
    )
    coverage: float | None = column("n_finite divided by n_vertices", default=None)
    area_mm2: float | None = column(
        "area of the ROI on the participant's own midthickness (or white) surface; n/a where no "
        "such surface was used",
        units="mm^2",
        default=None,
    )
    volume_mm3: float | None = column(
        "volume of the ROI; only where maps are volumes",
        units="mm^3",
        is_optional=True,
        default=None,
    )
    n_runs: int | None = column(
        "number of run-level maps that this program combined into the measured map; 1 where the "
        "first-level tool gave a single map; for crossvalidated estimates the number of runs left "
        "out in turn, over which all columns are averaged",
        default=None,
    )
    status: Status = column(
        "whether a number could be had, and if not, why", levels=STATUSES, default="ok"
    )
    independence: Independence = column(
        "whether the number was measured on the data that defined its ROI",
        levels=INDEPENDENCE,
        default="independent",
    )
    flags: str | None = column(
        "what speaks against using the number as it is", levels=FLAGS, is_list=True, default=None
    )

    @property
    def key(self) -> tuple[str | None, ...]:
        """What names this row: the values of the columns :data:`KEY`."""
        return _key_of(self)


ESTIMATE_COLUMNS = columns(EstimateRow)

_key_of: Callable[[Any], tuple[str | None, ...]] = attrgetter(*KEY)
