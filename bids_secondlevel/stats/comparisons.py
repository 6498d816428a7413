"""Paired tests: between ROIs, between contrasts, and between hemispheres."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from bids_secondlevel.core.hemispheres import BOTH, HEMISPHERES
from bids_secondlevel.core.rows import column, columns, shared_columns
from bids_secondlevel.core.values import depth
from bids_secondlevel.rois.estimates import Cell, EstimateRow, by_cell, named
from bids_secondlevel.stats.tests import GroupTest, Sample, run_tests, weakest, why_excluded

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
    space: str | None = column()
    statistic: str = column("what the maps hold, the stat entity of their names")
    versus: str = column(
        "the ROI, contrast or hemisphere whose estimates are subtracted from those of the first"
    )
    test: GroupTest = shared_columns()


COMPARISON_COLUMNS = columns(ComparisonRow)


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
    cells = {
        cell: {row.participant_id: row for row in of_cell}
        for cell, of_cell in by_cell(rows).items()
    }
    return [
        row
        for comparison in COMPARISONS
        for row in _paired_tests(comparison, cells, n_permutations, reasons or {})
    ]


def _paired_tests(
    comparison: Comparison,
    cells: Mapping[Cell, Mapping[str, EstimateRow]],
    n_permutations: int,
    reasons: Mapping[str, str],
) -> list[ComparisonRow]:
    """Test all pairs of cells that differ in one column of the key, and in nothing else."""
    hemispheres = HEMISPHERES if comparison == "hemi" else (BOTH,)
    groups: dict[tuple[Any, ...], dict[str, Cell]] = {}
    for cell in cells:
        rest = named(cell)
        if rest["hemi"] in hemispheres:
            level = rest.pop(comparison)
            groups.setdefault(tuple(rest.values()), {})[level] = cell
    pairs = [
        (levels[level], levels[versus], versus)
        for levels in groups.values()
        for level, versus in combinations(levels, 2)
    ]
    samples = [_differences(cells[first], cells[second], reasons) for first, second, _ in pairs]
    tests = run_tests(samples, n_permutations)
    return [
        ComparisonRow(comparison, **named(first), versus=versus, test=test)
        for (first, _, versus), test in zip(pairs, tests, strict=True)
    ]


def _differences(
    first: Mapping[str, EstimateRow],
    second: Mapping[str, EstimateRow],
    reasons: Mapping[str, str],
) -> Sample:
    pairs = [(row, second[name]) for name, row in first.items() if name in second]
    values, sizes, excluded = {}, [0.0], []
    used: list[EstimateRow] = []
    for a, b in pairs:
        minuend, subtrahend = a.estimate, b.estimate
        if minuend is None or subtrahend is None:
            gap = max((a, b), key=lambda row: (row.estimate is None, depth(row.status)))
            excluded.append(why_excluded(gap, reasons))
        else:
            values[a.participant_id] = minuend - subtrahend
            sizes += (abs(minuend), abs(subtrahend))
            used += (a, b)
    independence = weakest(used or [row for pair in pairs for row in pair])
    in_family = independence != "circular"
    return Sample(values, tuple(excluded), independence, in_family, scale=max(sizes))
