"""Warnings about single estimates."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from bids_secondlevel.core.files import Contrast, Plan
from bids_secondlevel.core.hemispheres import HEMISPHERES, Bilateral, Hemisphere
from bids_secondlevel.core.values import Absent, Region

if TYPE_CHECKING:
    import pandas as pd

Flag = Literal["low_coverage", "small_roi", "minor_hemisphere", "few_runs", "few_folds"]

LOW_COVERAGE = 0.5
SMALL_ROI = 10
MINOR_HEMISPHERE = 0.1

FLAGS: Mapping[Flag, str] = {
    "low_coverage": f"coverage is below {LOW_COVERAGE}",
    "small_roi": f"the ROI has fewer than {SMALL_ROI} vertices (in volumes, voxels)",
    "minor_hemisphere": f"less than {MINOR_HEMISPHERE:.0%} of the ROI is in this hemisphere",
    "few_runs": "this contrast has fewer runs than in the first participants of the study",
    "few_folds": "in a fold of the cross-validation the ROI was empty or could not be measured",
}
"""Every flag with its meaning."""


def joined(flags: Collection[Flag]) -> str | None:
    """Join flags to the value of a column, always in the same order.

    Examples
    --------
    >>> joined({"small_roi", "low_coverage"})
    'low_coverage;small_roi'
    """
    return ";".join(flag for flag in FLAGS if flag in flags) or None


def flags_in(value: str | None) -> set[Flag]:
    """Split the value of a column into flags."""
    return {flag for flag in FLAGS if flag in (value or "").split(";")}


def has_flag(values: "pd.Series[str]", flag: Flag) -> "pd.Series[bool]":
    """Return which values of a column contain a flag."""
    # There are few different values, but as many rows as estimates.
    return values.isin([value for value in values.unique() if flag in flags_in(value)])


def size_flags(n_vertices: int | None, coverage: float | None) -> set[Flag]:
    """Find flags of an estimate that depend on numbers of vertices."""
    flags: set[Flag] = set()
    if coverage is not None and coverage < LOW_COVERAGE:
        flags.add("low_coverage")
    if n_vertices is not None and n_vertices < SMALL_ROI:
        flags.add("small_roi")
    return flags


def is_minor(
    roi: str,
    sides: Sequence[Hemisphere],
    regions: Bilateral[Mapping[str, Region | Absent]],
) -> bool:
    """Return whether a small part only of an ROI lies in the hemispheres given."""
    sizes = {
        half: region.vertices.size
        for half in HEMISPHERES
        if not isinstance(region := regions[half][roi], Absent)
    }
    is_known = len(sizes) == len(HEMISPHERES)
    return is_known and sum(sizes[s] for s in sides) < MINOR_HEMISPHERE * sum(sizes.values())


def has_few_runs(contrast: Contrast, sides: Sequence[Hemisphere], plan: Plan) -> bool:
    """Return whether there are fewer runs than others have; a map without a run is of all runs."""
    expected = plan.runs_elsewhere(contrast)
    units = [contrast.maps[side].units for side in sides if side in contrast.maps]
    return any(0 < len(of) < expected and all(run for _, run in of) for of in units)
