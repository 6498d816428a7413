"""The sweep: estimates under other thresholds and other ranges of eccentricity."""

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
        "what was varied; everything else is as in the definition of the ROI",
        levels={
            "threshold": "threshold of the localizer",
            "eccentricity": "upper end of the range of eccentricity",
        },
    ),
    "value": Column(
        float,
        "value of the varied threshold or upper end",
        units="unit of the threshold, or degrees of visual angle",
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
"""An estimate of the sweep."""


def sweep_table(rows: Sequence[tuple[Variant, EstimateRow]]) -> "pd.DataFrame":
    """Make the table of the sweep, with what was varied.

    Returns
    -------
    DataFrame
        With :data:`SWEEP_COLUMNS`. ROIs that a variant does not change have no row.
    """
    import pandas as pd

    rows = [(variant, row) for variant, row in rows if row.roi in variant.values]
    table = frame_of([row for _, row in rows], EstimateRow).assign(
        varied=pd.Series([variant.varied for variant, _ in rows], dtype="str"),
        value=pd.Series([variant.values[row.roi] for variant, row in rows], dtype="float64"),
    )
    return table[list(SWEEP_COLUMNS)]
