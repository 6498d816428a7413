"""Estimates of single runs, where those of several were combined into one."""

from dataclasses import dataclass, fields

from bids_secondlevel.core.rows import column
from bids_secondlevel.core.values import Status
from bids_secondlevel.rois.estimates import (
    KEY,
    EstimateRow,
    Independence,
    independence_column,
    status_column,
)


@dataclass(frozen=True)
class RunRow:
    """An estimate of one run; the only declaration of the table's columns."""

    participant_id: str = column("participant, with its sub- prefix")
    session: str | None = column("session label of the measured map; n/a where it has none")
    task: str = column("task of the measured map")
    contrast: str = column("first-level contrast of the measured map")
    roi: str = column("region of interest")
    hemi: str = column("hemisphere: L, R, or both pooled")
    space: str | None = column(
        "space in which the ROI was defined and measured; n/a where names have none"
    )
    statistic: str = column("what the map holds, the stat entity of its name")
    run: int = column("run of the measured map")
    estimate: float | None = column(
        "as in the table of estimates, of this run alone; where that is crossvalidated, in the "
        "ROI that the other runs define",
        units="those of the measured map",
        default=None,
    )
    n_vertices: int | None = column("number of vertices of the ROI", default=None)
    n_finite: int | None = column(
        "number of vertices of the ROI that are neither NaN nor infinite in the map of this run",
        default=None,
    )
    coverage: float | None = column("n_finite divided by n_vertices", default=None)
    status: Status = status_column()
    independence: Independence = independence_column()

    @property
    def key(self) -> tuple[str | None, ...]:
        """What names the estimate that this run is a part of; see :data:`~.estimates.KEY`."""
        return tuple(getattr(self, name) for name in KEY)


def label_run(row: EstimateRow, run: str) -> RunRow:
    """Turn an estimate that was measured in the map of one run into a row of that run."""
    shared = {f.name: getattr(row, f.name) for f in fields(RunRow) if f.name != "run"}
    return RunRow(**shared, run=int(run))
