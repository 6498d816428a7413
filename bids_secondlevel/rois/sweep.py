"""Vary the limits of the ROIs, to see whether a result hangs on them."""

from dataclasses import dataclass

from bids_secondlevel.core.rows import column, columns
from bids_secondlevel.core.values import Status
from bids_secondlevel.core.variants import Variant
from bids_secondlevel.rois.estimates import (
    EstimateRow,
    Independence,
    independence_column,
    relabelled,
    status_column,
)


@dataclass(frozen=True)
class SweepRow:
    """An estimate under other limits; the only declaration of the table's columns."""

    participant_id: str = column()
    session: str | None = column()
    task: str = column()
    contrast: str = column()
    roi: str = column()
    hemi: str = column()
    space: str | None = column()
    statistic: str = column()
    varied: str = column(
        "which limit was varied, the others being those of the ROI",
        levels={
            "threshold": "threshold of the localizer",
            "eccentricity": "upper limit of eccentricity",
        },
    )
    value: float = column(
        "value of the varied limit", units="that of the threshold, or degrees of visual angle"
    )
    estimate: float | None = column("as in the table of estimates", default=None)
    sd: float | None = column("as in the table of estimates", default=None)
    n_vertices: int | None = column("number of vertices of the ROI", default=None)
    n_finite: int | None = column("number of finite vertices of the ROI", default=None)
    status: Status = status_column()
    independence: Independence = independence_column()


SWEEP_COLUMNS = columns(SweepRow)


def label_variant(row: EstimateRow, variant: Variant) -> SweepRow:
    """Turn an estimate in the changed ROIs of a variant into a row of the sweep."""
    return relabelled(row, SweepRow, varied=variant.varied, value=variant.values[row.roi])
