"""Independence of estimates from the data that defined their ROIs, and cross-validation."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from bids_secondlevel.core.files import Contrast, run_order
from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.values import depth
from bids_secondlevel.rois.estimates import EstimateRow, Independence
from bids_secondlevel.rois.flags import Flag, flags_in, joined, size_flags


def independence(
    contrast: Contrast, roi: RoiDefinition, rois: Sequence[RoiDefinition]
) -> Independence:
    """Return the independence of maps from the localizer recordings that defined an ROI.

    An ROI that excludes others also depends on their localizer contrasts.
    """
    shaping = rois if roi.rule.exclusive else (roi,)
    needed = chain.from_iterable(definition.needed for definition in shaping)
    return "independent" if contrast.shares_recordings.isdisjoint(needed) else "circular"


def cross_validated(
    rows: Sequence[EstimateRow],
    runs: Sequence[tuple[str, EstimateRow]],
    held_out: Sequence[tuple[str, EstimateRow]],
) -> tuple[list[EstimateRow], list[tuple[str, EstimateRow]]]:
    """Replace circular estimates by cross-validated ones.

    Parameters
    ----------
    rows
        Estimates in the ROIs defined by all runs of the localizer.
    runs
        Estimates of single runs in the same ROIs.
    held_out
        Estimates of single runs in the ROIs defined by the other runs, with the run left out.

    Returns
    -------
    rows : list of EstimateRow
        In the original order.
    runs : list of tuple of str and EstimateRow
        For cross-validated estimates, those of the runs left out; in the order of `rows`, run by
        run.
    """
    averaged = {row.key: row for row in average_folds(row for _, row in held_out)}
    rows = [
        _in_place_of(row, averaged[row.key])
        if row.independence == "circular" and row.key in averaged
        else row
        for row in rows
    ]
    replaced = {row.key for row in rows if row.independence == "crossvalidated"}
    chosen = [(run, row) for run, row in runs if row.key not in replaced]
    chosen += [
        (run, replace(row, independence="crossvalidated"))
        for run, row in held_out
        if row.key in replaced
    ]
    order = {row.key: number for number, row in enumerate(rows)}
    return rows, sorted(chosen, key=lambda of: (order[of[1].key], run_order(of[0])))


def average_folds(rows: Iterable[EstimateRow]) -> list[EstimateRow]:
    """Average the rows of a cross-validation: one row for each estimate, over its folds.

    An ROI is another one in each fold, so its size is averaged too. Folds without a number (an
    empty ROI) stay out and are flagged; `n_runs` says how many folds there were with one. If most
    folds are without, so is their average: noise in one fold is not an ROI.

    References
    ----------
    Kriegeskorte, Simmons, Bellgowan and Baker (2009), Nature Neuroscience 12, 535-540: selection
    and test on independent data.
    """
    folds: dict[tuple[object, ...], list[EstimateRow]] = {}
    for row in rows:
        folds.setdefault(row.key, []).append(row)
    return [_average(of_cell) for of_cell in folds.values()]


# Folds with these are ignored; any other status means that something is wrong.
_NOTHING_TO_MEASURE = ("ok", "empty_roi", "below_min_vertices", "no_finite_vertices")


def _average(rows: Sequence[EstimateRow]) -> EstimateRow:
    used = [row for row in rows if row.estimate is not None]
    broken = [row for row in rows if row.status not in _NOTHING_TO_MEASURE]
    of_folds: set[Flag] = {"few_folds"} if len(used) < len(rows) and not broken else set()
    if broken or 2 * len(used) < len(rows) or not used:
        deepest = max(rows, key=lambda row: depth(row.status))
        flags = joined(of_folds | size_flags(deepest.n_vertices, deepest.coverage))
        return replace(deepest, n_runs=0, independence="crossvalidated", flags=flags)
    if 2 * sum("minor_hemisphere" in flags_in(row.flags) for row in used) > len(used):
        of_folds.add("minor_hemisphere")

    def mean(name: str) -> float | None:
        values = [getattr(row, name) for row in used]
        return None if None in values else float(np.mean(values))

    averaged = replace(
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
    return replace(
        averaged, flags=joined(of_folds | size_flags(averaged.n_vertices, averaged.coverage))
    )


def _in_place_of(row: EstimateRow, averaged: EstimateRow) -> EstimateRow:
    """Replace a circular estimate; if it has few runs, the new one has few folds."""
    few_runs = flags_in(row.flags) & {"few_runs"}
    return replace(averaged, flags=joined(flags_in(averaged.flags) | few_runs))
