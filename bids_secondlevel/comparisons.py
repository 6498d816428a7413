"""Paired tests: between ROIs, between contrasts, and between hemispheres."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import attrgetter
from typing import Any, Literal

from bids_secondlevel.measures import KEY, EstimateRow, column, depth, shared_columns
from bids_secondlevel.model import BOTH, HEMISPHERES
from bids_secondlevel.stats import GroupTest, Sample, run_tests, weakest, why_excluded

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

FAMILY = (
    "p_fwe and q_fdr are corrected for all tests of this table with the same kind of comparison "
    "whose estimates are independent or crossvalidated, whatever their session, task, contrast "
    "and ROI; ROIs and contrasts are compared in both hemispheres pooled"
)


@dataclass(frozen=True)
class ComparisonRow:
    """A paired test across participants; the only declaration of the table's columns."""

    comparison: Comparison = column(
        "which column names the first of the two that are compared", levels=COMPARISONS
    )
    session: str | None = column("session label of the measured maps; n/a where they have none")
    task: str = column("task of the measured maps")
    contrast: str = column("first-level contrast of the measured maps")
    roi: str = column("region of interest, named after the localizer contrast that defines it")
    hemi: str = column("hemisphere: L, or both pooled")
    space: str | None = column("surface space of the maps; n/a where their names have none")
    statistic: str = column("what the maps hold, the stat entity of their names")
    versus: str = column(
        "the ROI, contrast or hemisphere whose estimates are subtracted from those of the first"
    )
    test: GroupTest = shared_columns()


def paired_tests(
    rows: Iterable[EstimateRow],
    n_permutations: int = 0,
    reasons: Mapping[str, str] | None = None,
) -> list[ComparisonRow]:
    """Test differences between ROIs, between contrasts of a task, and between hemispheres.

    Parameters
    ----------
    rows : iterable of EstimateRow
        Of all participants. A participant without both numbers stays out of a test, and is named
        in `excluded`.
    n_permutations : int
        See :func:`~.permutation.sign_flip_tests`.
    reasons : mapping of str to str, optional
        Why the user excluded participants, by participant.

    Returns
    -------
    list of ComparisonRow
        Comparison by comparison, each a family of tests of its own.
    """
    rows = list(rows)
    return [
        row
        for comparison in COMPARISONS
        for row in _paired_tests(comparison, rows, n_permutations, reasons or {})
    ]


def _paired_tests(
    comparison: Comparison,
    rows: Sequence[EstimateRow],
    n_permutations: int,
    reasons: Mapping[str, str],
) -> list[ComparisonRow]:
    """Test all pairs that differ in one column of the key, and in nothing else."""
    hemispheres = HEMISPHERES if comparison == "hemi" else (BOTH,)
    groups: dict[tuple[str | None, ...], dict[str, dict[str, EstimateRow]]] = {}
    rest_of = attrgetter(*(name for name in KEY[1:] if name != comparison))
    for row in rows:
        if row.hemi in hemispheres:
            rest = rest_of(row)
            levels = groups.setdefault(rest, {})
            levels.setdefault(getattr(row, comparison), {})[row.participant_id] = row
    pairs = [
        (first, second, levels[first], levels[second])
        for levels in groups.values()
        for first, second in combinations(levels, 2)
    ]
    samples = [_differences(first, second, reasons) for _, _, first, second in pairs]
    return [
        ComparisonRow(comparison, **_cell(of_first), versus=second, test=test)
        for (_, second, of_first, _), test in zip(
            pairs, run_tests(samples, n_permutations), strict=True
        )
    ]


def _cell(rows: Mapping[str, EstimateRow]) -> dict[str, Any]:
    row = next(iter(rows.values()))
    return {name: getattr(row, name) for name in KEY[1:]}


def _differences(
    first: Mapping[str, EstimateRow],
    second: Mapping[str, EstimateRow],
    reasons: Mapping[str, str],
) -> Sample:
    pairs = [(row, second[name]) for name, row in first.items() if name in second]
    values, excluded, scale = {}, [], 0.0
    used: list[EstimateRow] = []
    for a, b in pairs:
        if a.estimate is None or b.estimate is None:
            gap = max((a, b), key=lambda row: (row.estimate is None, depth(row.status)))
            excluded.append(why_excluded(gap, reasons))
        else:
            values[a.participant_id] = a.estimate - b.estimate
            scale = max(scale, abs(a.estimate), abs(b.estimate))
            used += (a, b)
    independence = weakest(used or [row for pair in pairs for row in pair])
    return Sample(values, tuple(excluded), independence, independence != "circular", scale)
