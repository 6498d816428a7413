"""Every option of the program and its default, checked once and then frozen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.roi_rule import (
    HEMISPHERE_ROWS,
    HemisphereRow,
    RoiDefinition,
    RoiRule,
    SummaryKind,
    checked_label,
)
from bids_secondlevel.core.spaces import DENSITIES, known_space, numbered, vertex_counts

AnalysisLevel = Literal["participant", "group"]

FILTER_QUERIES = ("localizer", "estimates", "retinotopy")
"""What ``--bids-filter-file`` can narrow down."""


@dataclass(frozen=True)
class DerivativePath:
    """A dataset given with ``--derivatives``; `name` is ``None`` where none was given."""

    path: Path
    name: str | None = None


@dataclass(frozen=True)
class Settings:
    """What to do: one field per option of the command line, with its default.

    Labels are kept without their ``sub-`` or ``ses-`` prefix; an empty tuple or ``None`` means
    "all" or "decide from the data". `bids_filters` is the content of `bids_filter_file`, and
    `exclusions` that of `exclude`: reasons by label. `density` is split off from a `space` such
    as ``fsLR-59k``.

    Raises
    ------
    UsageError
        If a value cannot be right; the message names the option.
    """

    bids_dir: Path
    output_dir: Path
    analysis_level: AnalysisLevel
    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    derivatives: tuple[DerivativePath, ...] = ()
    bids_filter_file: Path | None = None
    bids_filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    localizer_task: str | None = None
    roi_contrasts: tuple[str, ...] = ()
    rule: RoiRule = RoiRule()
    rois: tuple[RoiDefinition, ...] = ()
    retinotopy_only: bool = False
    retinotopy_source: str | None = None
    task_label: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()
    statistic: str = "effect"
    summary: SummaryKind = "mean"
    cross_validate: bool = False
    sweep: bool = False
    sweep_thresholds: tuple[float, ...] = (1.64, 1.96, 2.33, 2.58, 3.09)
    sweep_eccentricities: tuple[float, ...] = ()
    space: str | None = None
    density: str | None = field(default=None, init=False)
    hemi: tuple[HemisphereRow, ...] = ()
    report: bool = True
    reports_only: bool = False
    n_procs: int | None = None
    force: bool = False
    exclude: Path | None = None
    exclusions: Mapping[str, str] = field(default_factory=dict)
    min_coverage: float = 0.0
    n_permutations: int = 10_000
    model: str | None = None
    stop_on_first_crash: bool = False
    dry_run: bool = False
    verbose: int = 0
    skip_bids_validation: bool = False

    def __post_init__(self) -> None:
        self._check_labels()
        self._check_space()
        self._check_filters()
        self._check_sweep()
        if self.reports_only and not self.report:
            raise UsageError("--reports-only and --no-report: give only one of them.")
        if not 0 <= self.min_coverage <= 1:
            raise UsageError(
                f"--min-coverage: {self.min_coverage:g} given; expected a share between 0 and 1."
            )
        if self.n_permutations < 0:
            raise UsageError(
                f"--n-permutations: {self.n_permutations} given; expected a number of sign flips, "
                "or 0 for no permutation tests."
            )
        if self.n_procs is not None and self.n_procs < 1:
            raise UsageError(f"--n-procs: {self.n_procs} given; expected 1 or more.")
        names = [roi.name.casefold() for roi in self.rois]
        if len(set(names)) < len(names):
            raise UsageError("[[roi]]: two ROIs have the same name.")
        if sum((bool(self.rois), bool(self.roi_contrasts), self.retinotopy_only)) > 1:
            raise UsageError(
                "ROIs are defined by --roi-contrasts, by --retinotopy-only, or by [[roi]] tables "
                "of --config; give only one of them."
            )

    def _check_labels(self) -> None:
        for name, prefix in (
            ("participant_label", "sub-"),
            ("session_label", "ses-"),
            ("task_label", "task-"),
            ("roi_contrasts", "contrast-"),
            ("contrasts", "contrast-"),
        ):
            labels = tuple(checked_label(name, prefix, v) for v in getattr(self, name))
            object.__setattr__(self, name, tuple(dict.fromkeys(labels)))
        space, hyphen, density = (self.space or "").removeprefix("space-").rpartition("-")
        if hyphen and re.fullmatch(r"\d+k", density):
            object.__setattr__(self, "space", space)
            object.__setattr__(self, "density", density)
        for name, prefix in (
            ("localizer_task", "task-"),
            ("space", "space-"),
            ("statistic", "stat-"),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_label(name, prefix, value))
        object.__setattr__(self, "statistic", self.statistic.lower())

    def _check_space(self) -> None:
        space = self.space and (known_space(self.space) or self.space)
        object.__setattr__(self, "space", space)
        if self.density and not vertex_counts(space, self.density):
            raise UsageError(
                f"--space {space}-{self.density}: no such density; expected one of "
                f"{', '.join(f'{n}-{d}' for n, densities in DENSITIES.items() for d in densities)}."
            )
        name = numbered(space, self.density) if space and self.density else None
        if name is not None:  # so that results in two densities have different names
            object.__setattr__(self, "space", name)
            object.__setattr__(self, "density", None)
        if len(set(self.hemi)) < len(self.hemi) or set(self.hemi) - set(HEMISPHERE_ROWS):
            raise UsageError(f"--hemi: {' '.join(self.hemi)} given; expected L, R, both, or some.")

    def _check_filters(self) -> None:
        unknown = set(self.bids_filters) - set(FILTER_QUERIES)
        if unknown:
            raise UsageError(
                f"--bids-filter-file: unknown query {', '.join(sorted(unknown))}; "
                f"expected {', '.join(FILTER_QUERIES)}."
            )
        for query, expected in (("localizer", "z"), ("estimates", self.statistic)):
            value = self.bids_filters.get(query, {}).get("stat", expected)
            if value != expected:
                raise UsageError(
                    f"--bids-filter-file: {query}: stat {value!r}; the localizer is read from z "
                    "maps, and --statistic says what is measured."
                )

    def _check_sweep(self) -> None:
        for name in ("sweep_thresholds", "sweep_eccentricities"):
            if not all(isfinite(value) for value in getattr(self, name)):
                raise UsageError(f"--{name.replace('_', '-')}: expected numbers.")


def is_stats_model(model: str) -> bool:
    """Tell whether a model is given as the path of a BIDS Stats Model, not as a formula.

    Examples
    --------
    >>> is_stats_model("model-groups_smdl.json"), is_stats_model("estimate ~ age")
    (True, False)
    """
    return model.strip().casefold().endswith(".json")
