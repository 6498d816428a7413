"""Estimates of single runs, if several runs were combined."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bids_secondlevel.core.rows import KEY_COLUMNS, Column, Schema, frame_of
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS, EstimateRow

if TYPE_CHECKING:
    import pandas as pd

RUN_COLUMNS: Schema = {
    **KEY_COLUMNS,
    "run": Column(str, "run of the measured map"),
    "estimate": replace(
        ESTIMATE_COLUMNS["estimate"],
        description="as in the table of estimates, for this run alone; for crossvalidated "
        "estimates, in the ROI defined by the other runs",
    ),
    **{
        name: ESTIMATE_COLUMNS[name]
        for name in ("n_vertices", "n_finite", "coverage", "status", "independence")
    },
}
"""An estimate of one run."""


def run_table(rows: Sequence[tuple[str, EstimateRow]]) -> "pd.DataFrame":
    """Make the table of estimates of single runs.

    Returns
    -------
    DataFrame
        With :data:`RUN_COLUMNS`.
    """
    import pandas as pd

    runs = pd.Series([run for run, _ in rows], dtype="str")
    return frame_of([row for _, row in rows], EstimateRow).assign(run=runs)[list(RUN_COLUMNS)]
