"""Paired tests: between ROIs, between contrasts, and between hemispheres."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import HEMISPHERES, main_rows
from bids_secondlevel.core.inference import PLAIN, Inference
from bids_secondlevel.core.rows import CELL, CELL_COLUMNS, Column, Schema
from bids_secondlevel.stats.dependence import Dependence, why_not_compared
from bids_secondlevel.stats.tests import REASONS, TEST_COLUMNS, Numbers, families, run_tests, spread

if TYPE_CHECKING:
    import pandas as pd

Comparison = Literal["roi", "contrast", "hemi"]

COMPARISONS: Mapping[Comparison, str] = {
    "roi": "two ROIs, in the same contrast",
    "contrast": "two contrasts of a task, in the same ROI",
    "hemi": "left against right hemisphere, in the same ROI and contrast",
}

DIFFERENCES = (
    "all numbers are of the differences within participants, the first minus the one in versus: "
    "mean is the mean difference, and cohens_d and hedges_g are divided by the standard deviation "
    "of the differences (d_z), so that they cannot be compared with those of independent groups"
)

HEMISPHERES_COMPARED = (
    "an ROI of which less than 10 % lies in one of the hemispheres is left out of the comparison "
    "of hemispheres, participant by participant (minor_hemisphere in the column excluded)"
)

FAMILY = (
    "p_fwe and q_fdr are corrected for the tests with the same value in the column family, each "
    "kind of comparison apart. Only tests of independent or crossvalidated estimates are "
    "corrected. ROIs and contrasts are compared in both hemispheres pooled (if there is no row "
    "both: in the hemispheres that there are)"
)


COMPARISON_COLUMNS: Schema = {
    "comparison": Column(
        str, "which column names the first of the two that are compared", levels=COMPARISONS
    ),
    **CELL_COLUMNS,
    "versus": Column(
        str,
        "the ROI, contrast or hemisphere whose estimates are subtracted from those of the first",
    ),
    **TEST_COLUMNS,
}
"""A paired test across participants."""


def paired_tests(
    estimates: "pd.DataFrame",
    inference: Inference = PLAIN,
    dependences: Sequence[Dependence] = (),
) -> "pd.DataFrame":
    """Test differences between ROIs, between contrasts of a task, and between hemispheres.

    Parameters
    ----------
    estimates
        Of all participants. A participant without both numbers stays out of a test, and is named
        in `excluded`.
    inference
        Families are those of each kind of comparison. Of two contrasts that are compared, tests
        in all ROIs are corrected together.
    dependences
        Contrasts that follow from others. They are not tested against their parts.

    Returns
    -------
    DataFrame
        With :data:`COMPARISON_COLUMNS`; comparison by comparison.
    """
    import pandas as pd

    cells, numbers = spread(estimates)
    tables = []
    for comparison in COMPARISONS:
        first, second = np.array(list(_pairs(cells, comparison)), dtype=np.intp).reshape(-1, 2).T
        differences = _differences(numbers, first, second)
        if comparison == "hemi":
            differences = _without_minor(differences)
        compared = cells.iloc[first].reset_index(drop=True)
        versus = cells[comparison].iloc[second].reset_index(drop=True)
        pairs = compared
        if comparison == "contrast":
            pairs = compared.assign(contrast=compared["contrast"] + " - " + versus)
        together = f"{comparison}: " + families(pairs, inference.family)
        everything = np.full(first.size, fill_value=True)
        untestable = np.full(first.size, "", dtype=object)
        if comparison == "contrast" and dependences:
            two = zip(compared["task"], compared["contrast"], versus, strict=True)
            why = (why_not_compared(dependences, *names) for names in two)
            untestable[:] = [f"not tested, as {found}" if found else "" for found in why]
        untestable[compared["statistic"] == "p"] = "not tested: differences of p mean nothing"
        tests = run_tests(differences, together, everything, inference, untestable)
        tables.append(compared.assign(comparison=comparison, versus=versus).join(tests))
    return pd.concat(tables, ignore_index=True)[list(COMPARISON_COLUMNS)]


def _pairs(cells: "pd.DataFrame", comparison: Comparison) -> Iterator[tuple[int, int]]:
    """Find all pairs of cells that differ in one column, and in nothing else."""
    hemispheres = HEMISPHERES if comparison == "hemi" else main_rows(cells["hemi"])
    candidates = cells[cells["hemi"].isin(hemispheres)]
    others = [name for name in CELL if name != comparison]
    for _, alike in candidates.groupby(others, sort=False):
        yield from combinations(alike.index, 2)


def _differences(numbers: Numbers, first: NDArray[np.intp], second: NDArray[np.intp]) -> Numbers:
    """Subtract what participants have in some cells from what they have in others."""
    gaps = np.where(numbers.there, -1, numbers.gaps)
    return Numbers(
        participants=numbers.participants,
        values=numbers.values[:, first] - numbers.values[:, second],
        sizes=np.maximum(numbers.sizes[:, first], numbers.sizes[:, second]),
        gaps=np.maximum(gaps[:, first], gaps[:, second]),
        claims=np.maximum(numbers.claims[:, first], numbers.claims[:, second]),
        minor=numbers.minor[:, first] | numbers.minor[:, second],
    )


def _without_minor(numbers: Numbers) -> Numbers:
    """Leave out ROIs that lie in one hemisphere but for a few vertices, which may be noise."""
    is_out = numbers.minor & numbers.there
    return replace(
        numbers,
        values=np.where(is_out, np.nan, numbers.values),
        gaps=np.where(is_out, REASONS.index("minor_hemisphere"), numbers.gaps),
    )
