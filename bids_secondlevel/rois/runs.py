"""Estimates of single runs, where those of several were combined into one."""

from dataclasses import dataclass

from bids_secondlevel.core.rows import KEY, column, columns
from bids_secondlevel.core.values import Status
from bids_secondlevel.rois.estimates import (
    EstimateRow,
    Independence,
    independence_column,
    relabelled,
    status_column,
)


@dataclass(frozen=True)
class RunRow:
    """An estimate of one run; the only declaration of the table's columns."""

    participant_id: str = column()
    session: str | None = column()
    task: str = column()
    contrast: str = column()
    roi: str = column()
    hemi: str = column()
    space: str | None = column()
    statistic: str = column()
    run: str = column("run of the measured map")
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
        """What names the estimate that this run is a part of; see :data:`~.rows.KEY`."""
        return tuple(getattr(self, name) for name in KEY)


RUN_COLUMNS = columns(RunRow)


def label_run(row: EstimateRow, run: str) -> RunRow:
    """Turn an estimate that was measured in the map of one run into a row of that run."""
    return relabelled(row, RunRow, run=run)
