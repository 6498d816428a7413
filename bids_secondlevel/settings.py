"""Every option of the program and its default, checked once and then frozen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from bids_secondlevel.errors import UsageError

AnalysisLevel = Literal["participant", "group"]

VISUAL_AREAS: Mapping[str, int] = MappingProxyType(
    {
        "V1": 1,
        "V2": 2,
        "V3": 3,
        "hV4": 4,
        "VO1": 5,
        "VO2": 6,
        "LO1": 7,
        "LO2": 8,
        "TO1": 9,
        "TO2": 10,
        "V3b": 11,
        "V3a": 12,
    }
)
"""Visual areas by name, with the integer that stands for each in a ``varea`` map (neuropythy)."""

FILTER_QUERIES = ("localizer", "estimates", "retinotopy")
"""What ``--bids-filter-file`` can narrow down."""

_LABEL = re.compile(r"[0-9A-Za-z+]+")


@dataclass(frozen=True)
class RoiRule:
    """How a region of interest (ROI) is defined; all limits are strict.

    Attributes
    ----------
    visual_areas : tuple of str
        Names of the visual areas, keys of :data:`VISUAL_AREAS`.
    eccentricity : tuple of float
        Lower and upper limit, in degrees of visual angle.
    localizer_threshold : float
        A vertex belongs to the localizer mask when its z value is greater.

    Raises
    ------
    UsageError
        If an area is unknown or named twice, or a limit is no number or out of order.

    Examples
    --------
    >>> RoiRule(visual_areas=("V1", "v2")).area_labels
    (1, 2)
    """

    visual_areas: tuple[str, ...] = ("V1",)
    eccentricity: tuple[float, float] = (0.0, 5.0)
    localizer_threshold: float = 1.96

    def __post_init__(self) -> None:
        by_folded_name = {name.casefold(): name for name in VISUAL_AREAS}
        unknown = [name for name in self.visual_areas if name.casefold() not in by_folded_name]
        if unknown or not self.visual_areas:
            raise UsageError(
                f"--visual-areas: {', '.join(unknown) or 'nothing'} given; "
                f"choose from {', '.join(VISUAL_AREAS)}."
            )
        names = tuple(by_folded_name[name.casefold()] for name in self.visual_areas)
        if len(set(names)) < len(names):
            raise UsageError(f"--visual-areas: an area is named twice in {' '.join(names)}.")
        object.__setattr__(self, "visual_areas", names)
        low, high = self.eccentricity
        if not (isfinite(low) and low < high):
            raise UsageError(
                f"--eccentricity: {low:g} {high:g} given; expected two numbers in degrees, "
                "the lower one first."
            )
        if not isfinite(self.localizer_threshold):
            raise UsageError(
                f"--localizer-threshold: {self.localizer_threshold} given; expected a z value."
            )

    @property
    def area_labels(self) -> tuple[int, ...]:
        """Integers that stand for the chosen areas in a visual-area map."""
        return tuple(VISUAL_AREAS[name] for name in self.visual_areas)


@dataclass(frozen=True)
class DerivativePath:
    """A dataset given with ``--derivatives``; `name` is ``None`` where none was given."""

    path: Path
    name: str | None = None


@dataclass(frozen=True)
class Settings:
    """What to do: one field per option of the command line, with its default.

    Labels are kept without their ``sub-`` or ``ses-`` prefix; an empty tuple or ``None`` means
    "all" or "decide from the data". `bids_filters` is the content of `bids_filter_file`.

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
    retinotopy_source: str | None = None
    task_label: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()
    statistic: str = "effect"
    space: str | None = None
    n_procs: int | None = None
    stop_on_first_crash: bool = False
    dry_run: bool = False
    verbose: int = 0
    skip_bids_validation: bool = False

    def __post_init__(self) -> None:
        for name, prefix in (
            ("participant_label", "sub-"),
            ("session_label", "ses-"),
            ("task_label", "task-"),
            ("roi_contrasts", "contrast-"),
            ("contrasts", "contrast-"),
        ):
            labels = tuple(checked_label(name, prefix, v) for v in getattr(self, name))
            object.__setattr__(self, name, tuple(dict.fromkeys(labels)))
        for name, prefix in (
            ("localizer_task", "task-"),
            ("space", "space-"),
            ("statistic", "stat-"),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_label(name, prefix, value))
        if self.n_procs is not None and self.n_procs < 1:
            raise UsageError(f"--n-procs: {self.n_procs} given; expected 1 or more.")
        unknown = set(self.bids_filters) - set(FILTER_QUERIES)
        if unknown:
            raise UsageError(
                f"--bids-filter-file: unknown query {', '.join(sorted(unknown))}; "
                f"expected {', '.join(FILTER_QUERIES)}."
            )


def checked_label(option: str, prefix: str, value: str) -> str:
    """Return a BIDS label without its prefix.

    Raises
    ------
    UsageError
        If what remains is not made of letters, digits and ``+`` only.

    Examples
    --------
    >>> checked_label("participant_label", "sub-", "sub-01")
    '01'
    """
    label = value.removeprefix(prefix)
    if not _LABEL.fullmatch(label):
        raise UsageError(
            f"--{option.replace('_', '-')}: {value!r} is not a BIDS label; "
            "expected letters, digits and '+' only."
        )
    return label
