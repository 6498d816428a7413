"""Whether a number was measured on the data that defined its ROI, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from bids_secondlevel.core.files import Contrast
from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.values import depth
from bids_secondlevel.rois.estimates import EstimateRow, Independence
from bids_secondlevel.rois.runs import RunRow, label_run


def independence(
    contrast: Contrast, roi: RoiDefinition, rois: Sequence[RoiDefinition]
) -> Independence:
    """Tell whether maps stem from recordings of the localizer that defined a ROI.

    A ROI that excludes others is shaped by their localizer contrasts too.
    """
    shaping = rois if roi.rule.exclusive else (roi,)
    needed = chain.from_iterable(definition.needed for definition in shaping)
    return "independent" if contrast.shares_recordings.isdisjoint(needed) else "circular"


def cross_validated(
    rows: Sequence[EstimateRow],
    runs: Sequence[RunRow],
    held_out: Sequence[tuple[str, EstimateRow]],
) -> tuple[list[EstimateRow], list[RunRow]]:
    """Put cross-validated estimates in the place of circular ones.

    Parameters
    ----------
    rows
        Measured in the ROIs that all runs of the localizer define.
    runs
        Those of single runs, in the same ROIs.
    held_out
        Run by run, measured in the ROIs that the other runs define, with the run left out.

    Returns
    -------
    rows : list of EstimateRow
        In the order they had.
    runs : list of RunRow
        Of cross-validated estimates the runs left out; in the order of `rows`, run by run.
    """
    averaged = {row.key: row for row in average_folds(row for _, row in held_out)}
    rows = [averaged.get(row.key, row) if row.independence == "circular" else row for row in rows]
    replaced = {row.key for row in rows if row.independence == "crossvalidated"}
    chosen = [run for run in runs if run.key not in replaced]
    chosen += [
        label_run(replace(row, independence="crossvalidated"), run)
        for run, row in held_out
        if row.key in replaced
    ]
    order = {row.key: number for number, row in enumerate(rows)}
    return rows, sorted(chosen, key=lambda run: (order[run.key], run.run))


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
