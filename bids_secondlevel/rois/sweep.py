"""Vary the limits of the ROIs, to see whether a result depends on them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bids_secondlevel.core.rows import KEY_COLUMNS, Column, Schema, frame_of
from bids_secondlevel.core.variants import Variant
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS, EstimateRow

if TYPE_CHECKING:
    import pandas as pd

SWEEP_COLUMNS: Schema = {
    **KEY_COLUMNS,
    "varied": Column(
        str,
        "which limit was varied, the others being those of the ROI",
        levels={
            "threshold": "threshold of the localizer",
            "eccentricity": "upper limit of eccentricity",
        },
    ),
    "value": Column(
        float,
        "value of the varied limit",
        units="that of the threshold, or degrees of visual angle",
    ),
    **{
        name: replace(ESTIMATE_COLUMNS[name], description="as in the table of estimates")
        for name in ("estimate", "sd")
    },
    **{
        name: ESTIMATE_COLUMNS[name]
        for name in ("n_vertices", "n_finite", "status", "independence")
    },
}
"""An estimate under other limits."""


def sweep_table(rows: Sequence[tuple[Variant, EstimateRow]]) -> "pd.DataFrame":
    """Put estimates in the ROIs of variants into a table, each with the limit that was varied.

    Returns
    -------
    DataFrame
        With :data:`SWEEP_COLUMNS`; a ROI that a variant leaves as it is has no row.
    """
    import pandas as pd

    rows = [(variant, row) for variant, row in rows if row.roi in variant.values]
    table = frame_of([row for _, row in rows], EstimateRow).assign(
        varied=pd.Series([variant.varied for variant, _ in rows], dtype="str"),
        value=pd.Series([variant.values[row.roi] for variant, row in rows], dtype="float64"),
    )
    return table[list(SWEEP_COLUMNS)]
