"""Average estimates over the runs of the localizer that were left out in turn."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from bids_secondlevel.core.values import depth
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.runs import RunRow


def with_cross_validation(
    rows: Sequence[EstimateRow], folds: Iterable[EstimateRow]
) -> list[EstimateRow]:
    """Put cross-validated estimates in the place of circular ones.

    Parameters
    ----------
    rows : sequence of EstimateRow
    folds : iterable of EstimateRow
        Measured in one run each, in ROIs defined on the others.

    Returns
    -------
    list of EstimateRow
        In the order of `rows`.
    """
    averaged = {row.key: row for row in average_folds(folds)}
    return [averaged.get(row.key, row) if row.independence == "circular" else row for row in rows]


def runs_with_cross_validation(
    runs: Iterable[RunRow], folds: Iterable[RunRow], rows: Sequence[EstimateRow]
) -> list[RunRow]:
    """Put the folds in the place of the runs of cross-validated estimates.

    Parameters
    ----------
    runs : iterable of RunRow
        Measured in the ROIs that all runs define.
    folds : iterable of RunRow
        Each measured in the ROIs that the other runs define.
    rows : sequence of EstimateRow
        As :func:`with_cross_validation` gives them.

    Returns
    -------
    list of RunRow
        In the order of `rows`, run by run.
    """
    order = {row.key: number for number, row in enumerate(rows)}
    averaged = {row.key for row in rows if row.independence == "crossvalidated"}
    chosen = [run for run in runs if run.key not in averaged]
    chosen += [replace(f, independence="crossvalidated") for f in folds if f.key in averaged]
    return sorted(chosen, key=lambda run: (order[run.key], run.run))


def average_folds(rows: Iterable[EstimateRow]) -> list[EstimateRow]:
    """Average the rows of a cross-validation: one row for each estimate, over its folds.

    A ROI is another one in each fold, so that its size is averaged too. Folds without a number
    (an empty ROI) stay out; `n_runs` says how many folds there were with one.

    References
    ----------
    Kriegeskorte, Simmons, Bellgowan and Baker (2009), Nature Neuroscience 12, 535-540: selection
    and test on independent data.
    """
    folds: dict[tuple[object, ...], list[EstimateRow]] = {}
    for row in rows:
        folds.setdefault(row.key, []).append(row)
    return [_average(of_cell) for of_cell in folds.values()]


# Folds with these are left out; with any other status, something is broken.
_NOTHING_TO_MEASURE = ("ok", "empty_roi", "below_min_vertices", "no_finite_vertices")


def _average(rows: Sequence[EstimateRow]) -> EstimateRow:
    used = [row for row in rows if row.estimate is not None]
    broken = [row for row in rows if row.status not in _NOTHING_TO_MEASURE]
    if broken or not used:
        deepest = max(rows, key=lambda row: depth(row.status))
        return replace(deepest, n_runs=0, independence="crossvalidated")

    def mean(name: str) -> float | None:
        values = [getattr(row, name) for row in used]
        return None if None in values else float(np.mean(values))

    return replace(
        used[0],
        estimate=mean("estimate"),
        sd=mean("sd"),
        median=mean("median"),
        n_vertices=round(mean("n_vertices") or 0),
        n_finite=round(mean("n_finite") or 0),
        coverage=mean("coverage"),
        area_mm2=mean("area_mm2"),
        volume_mm3=mean("volume_mm3"),
        n_runs=len(used),
        independence="crossvalidated",
    )
