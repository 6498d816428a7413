"""Vary the limits of the ROIs, to see whether a result hangs on them."""

from dataclasses import dataclass

from bids_secondlevel.core.rows import column
from bids_secondlevel.core.values import Status
from bids_secondlevel.core.variants import Variant
from bids_secondlevel.rois.estimates import (
    EstimateRow,
    Independence,
    independence_column,
    status_column,
)


@dataclass(frozen=True)
class SweepRow:
    """An estimate under other limits; the only declaration of the table's columns."""

    participant_id: str = column("participant, with its sub- prefix")
    session: str | None = column("session label of the measured map; n/a where it has none")
    task: str = column("task of the measured map")
    contrast: str = column("first-level contrast of the measured map")
    roi: str = column("region of interest")
    hemi: str = column("hemisphere: L, R, or both pooled")
    space: str | None = column("surface space of the maps; n/a where their names have none")
    statistic: str = column("what the map holds, the stat entity of its name")
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


def label_variant(row: EstimateRow, variant: Variant) -> SweepRow:
    """Turn an estimate in the changed ROIs of a variant into a row of the sweep."""
    return SweepRow(
        participant_id=row.participant_id,
        session=row.session,
        task=row.task,
        contrast=row.contrast,
        roi=row.roi,
        hemi=row.hemi,
        space=row.space,
        statistic=row.statistic,
        varied=variant.varied,
        value=variant.values[row.roi],
        estimate=row.estimate,
        sd=row.sd,
        n_vertices=row.n_vertices,
        n_finite=row.n_finite,
        status=row.status,
        independence=row.independence,
    )
