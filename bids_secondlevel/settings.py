"""Every option of the program and its default, checked once and then frozen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from bids_secondlevel.errors import UsageError
from bids_secondlevel.spaces import DENSITIES, known_space, numbered, vertex_counts

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

AREA_ENDINGS = (
    *(".label", ".annot", ".label.gii", ".func.gii", ".shape.gii", ".gii", ".mgz", ".mgh"),
)
"""Endings of files that may hold visual areas of their own."""

_LABEL = re.compile(r"[0-9A-Za-z+]+")
_AREA_FILE = re.compile(rf"[^/\s:]+(?:{'|'.join(map(re.escape, AREA_ENDINGS))})(?::[^/:]+)?")


ThresholdKind = Literal["z", "top-n", "top-percent", "fdr"]
Tail = Literal["greater", "less", "two-sided"]
Combine = Literal["all", "any"]
HemisphereRow = Literal["L", "R", "both"]
HEMISPHERE_ROWS: tuple[HemisphereRow, ...] = ("L", "R", "both")
SummaryKind = Literal["mean", "median", "area-weighted-mean"]

THRESHOLD_KINDS: Mapping[ThresholdKind, str] = MappingProxyType(
    {
        "z": "z beyond the threshold",
        "top-n": "this many vertices of the retinotopic part with the most extreme z",
        "top-percent": "this percentage of the retinotopic part, at least one vertex",
        "fdr": "false discovery rate within the retinotopic part (Benjamini-Hochberg)",
    }
)
TAILS: tuple[Tail, ...] = ("greater", "less", "two-sided")


def _checked_areas(given: tuple[str, ...]) -> tuple[str, ...]:
    """Spell visual areas as they are known, and check that there are such."""
    by_key = {name.casefold(): name for name in VISUAL_AREAS}
    by_key |= {str(number): name for name, number in VISUAL_AREAS.items()}
    by_key |= {n.casefold(): n for n in given if _AREA_FILE.fullmatch(n)}
    unknown = [name for name in given if name.casefold() not in by_key]
    if unknown or not given:
        raise UsageError(
            f"--visual-areas: {', '.join(unknown) or 'nothing'} given; "
            f"choose from {', '.join(VISUAL_AREAS)}, or their numbers, separated by spaces; "
            "or name a file such as V1_exvivo.label, aparc.annot:pericalcarine or "
            "wang15_mplbl.mgz:1, without its lh. or rh."
        )
    names = tuple(by_key[name.casefold()] for name in given)
    if len(set(names)) < len(names):
        raise UsageError(f"--visual-areas: an area is named twice in {' '.join(names)}.")
    for name in names:
        file, _, label = name.partition(":")
        if (file.endswith(".annot") and not label) or (file.endswith(".label") and label):
            raise UsageError(
                f"--visual-areas: {name}; expected an annotation with the name of a structure "
                "(aparc.annot:pericalcarine), and a .label file without."
            )
    return names


def area_name(name: str) -> str:
    """Name an area as a label: a structure by its name, a file by its own without the ending."""
    file, _, label = name.partition(":")
    for ending in sorted(AREA_ENDINGS, key=len, reverse=True):
        file = file.removesuffix(ending)
    chosen = label if label and not label.isdigit() else f"{file}{label}"
    return re.sub("[^0-9A-Za-z]", "", chosen)


@dataclass(frozen=True)
class RoiRule:
    """How a region of interest (ROI) is defined; all limits are strict.

    Attributes
    ----------
    visual_areas : tuple of str
        Names of the visual areas, keys of :data:`VISUAL_AREAS`, or their numbers; or files that
        hold an area of their own, named without participant and hemisphere: ``V1_exvivo.label``
        for ``lh.V1_exvivo.label``, with a colon and the name of a label where a file has several.
    eccentricity : tuple of float
        Lower and upper limit, in degrees of visual angle.
    polar_angle : tuple of float or None
        Wedge of the visual field, from the first angle clockwise to the second: degrees from
        the upper vertical meridian, positive in the right visual field and negative in the
        left. The upper left quadrant is -90 to 0, the lower left one -180 to -90.
    min_variance_explained : float or None
        Vertices must have more than this in the map of variance explained, in its units.
    threshold_kind : {"z", "top-n", "top-percent", "fdr"}
        What the threshold means; all but ``z`` are applied within the retinotopic part of each
        hemisphere.
    localizer_threshold : float
        A z value, a number of vertices, a percentage, or a false discovery rate.
    tail : {"greater", "less", "two-sided"}
        Which z values count as extreme.
    min_vertices : int
        Below this size there is no estimate.
    exclusive : bool
        Whether vertices that pass for more than one ROI are removed.

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
    polar_angle: tuple[float, float] | None = None
    min_variance_explained: float | None = None
    threshold_kind: ThresholdKind = "z"
    localizer_threshold: float = 1.96
    tail: Tail = "greater"
    min_vertices: int = 1
    exclusive: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "visual_areas", _checked_areas(self.visual_areas))
        low, high = self.eccentricity
        if not (isfinite(low) and isfinite(high) and low < high):
            raise UsageError(
                f"--eccentricity: {low:g} {high:g} given; expected two numbers in degrees, "
                "the lower one first."
            )
        if self.polar_angle is not None and not (
            all(-180 <= angle <= 180 for angle in self.polar_angle)
            and self.polar_angle[0] != self.polar_angle[1]
        ):
            first, second = self.polar_angle
            raise UsageError(
                f"--polar-angle: {first:g} {second:g} given; expected two different angles "
                "between -180 and 180 degrees."
            )
        if self.min_variance_explained is not None and not isfinite(self.min_variance_explained):
            raise UsageError(
                f"--min-variance-explained: {self.min_variance_explained} given; expected a number."
            )
        if self.threshold_kind not in THRESHOLD_KINDS:
            raise UsageError(
                f"--threshold-kind: {self.threshold_kind} given; expected one of "
                f"{', '.join(THRESHOLD_KINDS)}."
            )
        if self.tail not in TAILS:
            raise UsageError(f"--tail: {self.tail} given; expected one of {', '.join(TAILS)}.")
        self._check_threshold()
        if self.min_vertices < 1:
            raise UsageError(f"--min-vertices: {self.min_vertices} given; expected 1 or more.")

    def _check_threshold(self) -> None:
        value = self.localizer_threshold
        fits = {
            "z": isfinite(value) and (self.tail == "greater" or value >= 0),
            "top-n": isfinite(value) and value >= 1 and value == int(value),
            "top-percent": 0 < value <= 100,
            "fdr": 0 < value < 1,
        }
        expected = {
            "z": "a z value" if self.tail == "greater" else "the size of z, without its sign",
            "top-n": "a whole number of vertices",
            "top-percent": "a percentage above 0 and up to 100",
            "fdr": "a rate between 0 and 1",
        }
        if not fits[self.threshold_kind]:
            raise UsageError(
                f"--localizer-threshold: {value:g} given; expected {expected[self.threshold_kind]} "
                f"(--threshold-kind {self.threshold_kind})."
            )

    @property
    def area_labels(self) -> tuple[int, ...]:
        """Integers that stand for the chosen areas in a visual-area map."""
        return tuple(VISUAL_AREAS[name] for name in self.visual_areas if name in VISUAL_AREAS)

    @property
    def other_areas(self) -> tuple[str, ...]:
        """Chosen areas that are given in files of their own."""
        return tuple(name for name in self.visual_areas if name not in VISUAL_AREAS)

    @property
    def areas_name(self) -> str:
        """What the areas are called together, as a label in file names.

        Examples
        --------
        >>> RoiRule(visual_areas=("V1", "V2")).areas_name
        'V1V2'
        >>> RoiRule(visual_areas=("V1_exvivo.thresh.label",)).areas_name
        'V1exvivothresh'
        """
        return "".join(map(area_name, self.visual_areas))

    @property
    def retinotopic_part(self) -> tuple[object, ...]:
        """What decides the retinotopic part; rules that agree in it share a mask."""
        return (
            self.visual_areas,
            self.eccentricity,
            self.polar_angle,
            self.min_variance_explained,
        )


@dataclass(frozen=True)
class RoiDefinition:
    """A region of interest by name.

    Attributes
    ----------
    name : str
        What it is called in tables and file names.
    contrasts : tuple of str
        Localizer contrasts that must activate a vertex; none for a ROI by retinotopy only.
    rule : RoiRule
    combine : {"all", "any"}
        Whether all of `contrasts` must activate a vertex, or any.
    exclude : tuple of str
        Localizer contrasts that must not activate it.

    Raises
    ------
    UsageError
        If the name is no BIDS label, or contrasts are excluded where none is needed.
    """

    name: str
    contrasts: tuple[str, ...]
    rule: RoiRule = RoiRule()
    combine: Combine = "all"
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.name):
            raise UsageError(
                f"[[roi]]: name {self.name!r} is not a BIDS label; expected letters, digits and "
                "'+' only."
            )
        if self.combine not in ("all", "any"):
            raise UsageError(f"[[roi]] {self.name}: combine {self.combine!r}; expected all or any.")
        for name in ("contrasts", "exclude"):
            labels = tuple(checked_label(name, "contrast-", v) for v in getattr(self, name))
            object.__setattr__(self, name, labels)
        if self.exclude and not self.contrasts:
            raise UsageError(f"[[roi]] {self.name}: exclude needs contrasts.")

    @property
    def needed(self) -> tuple[str, ...]:
        """All localizer contrasts whose z maps are needed."""
        return tuple(dict.fromkeys((*self.contrasts, *self.exclude)))


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
            "expected letters, digits and '+' only, several of them separated by spaces."
        )
    return label
