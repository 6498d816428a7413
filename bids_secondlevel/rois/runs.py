"""Estimates of single runs, where those of several were combined into one."""

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
        description="as in the table of estimates, of this run alone; where that is "
        "crossvalidated, in the ROI that the other runs define",
    ),
    **{
        name: ESTIMATE_COLUMNS[name]
        for name in ("n_vertices", "n_finite", "coverage", "status", "independence")
    },
}
"""An estimate of one run."""


def run_table(rows: Sequence[tuple[str, EstimateRow]]) -> "pd.DataFrame":
    """Put estimates that were measured in the maps of single runs into a table, each with its run.

    Returns
    -------
    DataFrame
        With :data:`RUN_COLUMNS`.
    """
    import pandas as pd

    runs = pd.Series([run for run, _ in rows], dtype="str")
    return frame_of([row for _, row in rows], EstimateRow).assign(run=runs)[list(RUN_COLUMNS)]
