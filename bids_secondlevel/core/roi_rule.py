"""How ROIs are defined: options and their defaults; and the colours of ROIs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from math import inf, isfinite
from types import MappingProxyType
from typing import Any, Literal, get_args

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.options import ROIS, check_options, option

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
"""Visual areas by name, with the integer for each in a ``varea`` map (neuropythy)."""

AREA_ENDINGS = (
    *(".label", ".annot", ".label.gii", ".func.gii", ".shape.gii", ".gii", ".mgz", ".mgh"),
    *(".dlabel.nii", ".nii.gz", ".nii"),
)
"""Endings of files that may define visual areas."""

ThresholdKind = Literal["z", "top-n", "top-percent", "fdr"]
"""z beyond the threshold; or, within the retinotopy mask: this many vertices with the most extreme
z, this percentage of vertices (at least one), or a false discovery rate (Benjamini-Hochberg)."""

Tail = Literal["greater", "less", "two-sided"]
Combine = Literal["all", "any"]
HemisphereRow = Literal["L", "R", "both"]
HEMISPHERE_ROWS: tuple[HemisphereRow, ...] = get_args(HemisphereRow)
SummaryKind = Literal["mean", "median", "area-weighted-mean"]
RunWeights = Literal["auto", "variance", "equal"]
"""Whether maps of runs are weighted by their variances: if every run has one, always, or never."""

_ECCENTRICITY = (0.0, 5.0)
_LABEL = re.compile(r"[0-9A-Za-z+]+")
_AREA_FILE = re.compile(rf"[^/\s:]+(?:{'|'.join(map(re.escape, AREA_ENDINGS))})(?::[^/:]+)?")


def _checked_areas(given: tuple[str, ...]) -> tuple[str, ...]:
    """Check names of visual areas, and return them in their usual spelling."""
    by_key = {name.casefold(): name for name in VISUAL_AREAS}
    by_key |= {str(number): name for name, number in VISUAL_AREAS.items()}
    by_key |= {n.casefold(): n for n in given if _AREA_FILE.fullmatch(n)}
    unknown = [name for name in given if name.casefold() not in by_key]
    if unknown or not given:
        raise UsageError(
            f"--visual-areas: {', '.join(unknown) or 'nothing'} given; "
            f"choose from {', '.join(VISUAL_AREAS)}, or give their numbers, separated by spaces. "
            "An area can also be in a file, such as V1_exvivo.label, aparc.annot:pericalcarine or "
            "wang15_mplbl.mgz:1, named without lh. or rh."
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
    """Make a label from an area: the name of a structure, or that of a file without its ending."""
    file, _, label = name.partition(":")
    for ending in sorted(AREA_ENDINGS, key=len, reverse=True):
        file = file.removesuffix(ending)
    chosen = label if label and not label.isdigit() else f"{file}{label}"
    return re.sub("[^0-9A-Za-z]", "", chosen)


def _are_in_order(limits: tuple[float, float]) -> bool:
    return all(map(isfinite, limits)) and limits[0] < limits[1]


def _is_wedge(angles: tuple[float, float]) -> bool:
    return all(-180 <= angle <= 180 for angle in angles) and angles[0] != angles[1]


@dataclass(frozen=True, kw_only=True)
class RoiRule:
    """How a region of interest (ROI) is defined. The ends of all ranges are excluded.

    Raises
    ------
    UsageError
        If an area is unknown or named twice, or a range is not a pair of numbers in order.

    Examples
    --------
    >>> RoiRule(visual_areas=("V1", "v2")).area_labels
    (1, 2)
    """

    localizer_threshold: float = option(
        "a vertex is activated if its z value is above this threshold; with --threshold-kind, a "
        "number of vertices, a percentage, or a false discovery rate (default: {default})",
        ROIS,
        metavar="VALUE",
        default=1.96,
    )
    threshold_kind: ThresholdKind = option(
        "what the threshold means; kinds other than z apply within the retinotopy mask of each "
        "hemisphere (default: {default})",
        ROIS,
        default="z",
    )
    tail: Tail = option(
        "which z values count as activation: above the threshold, below minus the threshold, or "
        "either (default: {default})",
        ROIS,
        default="greater",
    )
    exclusive: bool = option(
        "remove vertices that belong to more than one ROI", ROIS, default=False
    )
    min_vertices: int = option(
        "smallest number of vertices of an ROI; in a smaller one, estimates are missing (status "
        "below_min_vertices; default: {default})",
        ROIS,
        metavar="N",
        default=1,
        at_both_levels=True,
        check=lambda n: n >= 1,
        expected="1 or more",
    )
    visual_areas: tuple[str, ...] = option(
        f"visual areas by name ({', '.join(VISUAL_AREAS)}) or number, or files that define an "
        "area, named without lh. or rh.: V1_exvivo.label, aparc.annot:pericalcarine, "
        "wang15_mplbl.mgz:1 (default: {default})",
        ROIS,
        metavar="NAME",
        default=("V1",),
    )
    eccentricity: tuple[float, float] | None = option(
        "range of eccentricity in degrees, both ends excluded (default: 0 5; for areas from files "
        "no range if there is no map of eccentricity)",
        ROIS,
        metavar=("LOW", "HIGH"),
        check=_are_in_order,
        expected="two numbers in degrees, the lower one first",
    )
    polar_angle: tuple[float, float] | None = option(
        "range of polar angle in degrees, clockwise from the upper vertical meridian (0 up, 90 "
        "right, -90 left); the upper left quadrant is -90 0 (default: all)",
        ROIS,
        metavar=("FROM", "TO"),
        check=_is_wedge,
        expected="two different angles between -180 and 180 degrees",
    )
    min_variance_explained: float | None = option(
        "smallest variance explained of a vertex, excluded, in the unit of the map (vexpl)",
        ROIS,
        metavar="VALUE",
        check=isfinite,
        expected="a number",
    )

    is_unlimited: bool = False
    """Whether vertices are used at any eccentricity, because there is no map of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "visual_areas", _checked_areas(self.visual_areas))
        check_options(self)
        self._check_threshold()

    def _check_threshold(self) -> None:
        value = self.localizer_threshold
        fits = {
            "z": isfinite(value) and (self.tail == "greater" or value >= 0),
            "top-n": isfinite(value) and value >= 1 and value == int(value),
            "top-percent": 0 < value <= 100,
            "fdr": 0 < value < 1,
        }
        expected = {
            "z": "a z value" if self.tail == "greater" else "the absolute value of z",
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
    def limits(self) -> tuple[float, float] | None:
        """Range of eccentricity in degrees; ``None`` if there is none.

        Examples
        --------
        >>> RoiRule().limits
        (0.0, 5.0)
        """
        return None if self.is_unlimited else self.eccentricity or _ECCENTRICITY

    def decided(self) -> "RoiRule":
        """Return the rule with an explicit range of eccentricity, also if it is the default."""
        return replace(self, eccentricity=self.limits)

    @property
    def needs_eccentricity(self) -> bool:
        """Whether the rule needs retinotopic maps even if there is no map of eccentricity."""
        asked = (self.eccentricity, self.polar_angle, self.min_variance_explained)
        return bool(self.area_labels) or any(limit is not None for limit in asked)

    @property
    def area_labels(self) -> tuple[int, ...]:
        """Integers of the chosen areas in a visual-area map."""
        return tuple(VISUAL_AREAS[name] for name in self.visual_areas if name in VISUAL_AREAS)

    @property
    def other_areas(self) -> tuple[str, ...]:
        """Chosen areas that are defined by files."""
        return tuple(name for name in self.visual_areas if name not in VISUAL_AREAS)

    @property
    def areas_name(self) -> str:
        """Name of the areas together, as a label in file names.

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
        """The part of the rule about retinotopy; rules with the same part share a mask."""
        return (self.visual_areas, self.limits, self.polar_angle, self.min_variance_explained)

    @property
    def z_not_activated(self) -> tuple[float, float] | None:
        """Range of z that does not count as activation; ``None`` if it differs between places.

        Examples
        --------
        >>> RoiRule(tail="less").z_not_activated
        (-1.96, inf)
        """
        limit = self.localizer_threshold
        if self.threshold_kind != "z":
            return None
        return {"greater": (-inf, limit), "less": (-limit, inf), "two-sided": (-limit, limit)}[
            self.tail
        ]

    def to_sidecar(self, *, localizer: bool = True) -> dict[str, Any]:
        """Return thresholds and ranges as in sidecars, without those of the localizer."""
        described: dict[str, Any] = {
            "VisualAreas": list(self.visual_areas),
            "VisualAreaLabels": list(self.area_labels),
        }
        if self.limits is None:
            described["AnyEccentricity"] = True
        else:
            described["EccentricityGreaterThan"], described["EccentricityLessThan"] = self.limits
        if self.polar_angle is not None:
            described["PolarAngleClockwiseFromTo"] = list(self.polar_angle)
        if self.min_variance_explained is not None:
            described["VarianceExplainedGreaterThan"] = self.min_variance_explained
        if localizer and self.threshold_kind == "z" and self.tail == "greater":
            described["LocalizerZGreaterThan"] = self.localizer_threshold
        elif localizer:
            described["LocalizerThresholdKind"] = self.threshold_kind
            described["LocalizerThreshold"] = self.localizer_threshold
            described["LocalizerTail"] = self.tail
        return described

    @classmethod
    def from_sidecar(cls, described: Mapping[str, Any]) -> "RoiRule":
        """Read thresholds and ranges from a sidecar; those of the localizer are optional.

        Raises
        ------
        LookupError, TypeError, UsageError
            If a value is missing or not valid.
        """
        wedge = described.get("PolarAngleClockwiseFromTo")
        is_unlimited = described.get("AnyEccentricity", False)
        threshold = described.get("LocalizerThreshold", cls.localizer_threshold)
        return cls(
            visual_areas=tuple(described["VisualAreas"]),
            eccentricity=None
            if is_unlimited
            else (described["EccentricityGreaterThan"], described["EccentricityLessThan"]),
            is_unlimited=is_unlimited,
            polar_angle=None if wedge is None else (wedge[0], wedge[1]),
            min_variance_explained=described.get("VarianceExplainedGreaterThan"),
            threshold_kind=described.get("LocalizerThresholdKind", cls.threshold_kind),
            localizer_threshold=described.get("LocalizerZGreaterThan", threshold),
            tail=described.get("LocalizerTail", cls.tail),
            min_vertices=described.get("MinVertices", cls.min_vertices),
            exclusive="ExclusiveOf" in described,
        )


@dataclass(frozen=True)
class RoiDefinition:
    """A region of interest by name.

    Raises
    ------
    UsageError
        If the name is not a BIDS label, or contrasts are excluded although none is needed.
    """

    name: str = option("its name in tables and file names", default=MISSING)
    contrasts: tuple[str, ...] = option(
        "localizer contrasts that must activate a vertex; [] for an ROI by retinotopy alone",
        default=MISSING,
    )
    rule: RoiRule = RoiRule()
    combine: Combine = option(
        "whether all contrasts must activate a vertex, or any of them", default="all"
    )
    exclude: tuple[str, ...] = option(
        "localizer contrasts that must not activate a vertex", default=()
    )

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.name):
            raise UsageError(
                f"[[roi]]: name {self.name!r} is not a BIDS label; expected letters, digits and "
                "'+' only."
            )
        if self.combine not in get_args(Combine):
            raise UsageError(f"[[roi]] {self.name}: combine {self.combine!r}; expected all or any.")
        for name in ("contrasts", "exclude"):
            labels = tuple(checked_label(name, "contrast-", v) for v in getattr(self, name))
            object.__setattr__(self, name, labels)
        if self.exclude and not self.contrasts:
            raise UsageError(
                f"[[roi]] {self.name}: exclude is given, but no contrasts; add contrasts, or "
                "remove exclude."
            )

    @property
    def needed(self) -> tuple[str, ...]:
        """All localizer contrasts whose z maps are needed."""
        return tuple(dict.fromkeys((*self.contrasts, *self.exclude)))

    def to_sidecar(self, rois: Sequence["RoiDefinition"]) -> dict[str, Any]:
        """Return the definition as in sidecars, with the numbers of all `rois`."""
        described: dict[str, Any] = {"Contrasts": list(self.contrasts)}
        if len(self.contrasts) > 1:
            described["Combine"] = self.combine
        if self.exclude:
            described["Exclude"] = list(self.exclude)
        if self.rule.exclusive:
            described["ExclusiveOf"] = {
                other.name: replace(other, rule=replace(other.rule, exclusive=False)).to_sidecar(())
                for other in rois
                if other.name != self.name
            }
        if self.rule.min_vertices > 1:
            described["MinVertices"] = self.rule.min_vertices
        return {**described, **self.rule.to_sidecar(localizer=bool(self.contrasts))}

    @classmethod
    def from_sidecar(cls, name: str, described: Mapping[str, Any]) -> "RoiDefinition":
        """Read the definition from a sidecar. It has no localizer if none is needed.

        Raises
        ------
        LookupError, TypeError, UsageError
            If a value is missing or not valid.
        """
        return cls(
            name,
            tuple(described["Contrasts"]),
            RoiRule.from_sidecar(described),
            described.get("Combine", "all"),
            tuple(described.get("Exclude", ())),
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
        plain = re.sub("[^0-9A-Za-z]", "", label)
        captured = f" If a pattern captures this text, its label is {plain}." if plain else ""
        raise UsageError(
            f"--{option.replace('_', '-')}: {value!r} is not a BIDS label; "
            f"expected letters, digits and '+' only, several of them separated by spaces.{captured}"
        )
    return label


def in_field_order(names: Sequence[str]) -> list[str]:
    """Put quadrants as they are in the visual field, upper ones first; keep other names in order.

    Examples
    --------
    >>> in_field_order(["ll", "lr", "ul", "ur"]), in_field_order(["LL", "UL", "centre"])
    (['ul', 'ur', 'll', 'lr'], ['LL', 'UL', 'centre'])
    """
    places = {"UL": 0, "UR": 1, "LL": 2, "LR": 3}
    are_quadrants = all(name.upper() in places for name in names)
    return sorted(names, key=lambda name: places[name.upper()]) if are_quadrants else list(names)


# Okabe & Ito (2008), "Color Universal Design", without its black and its grey.
_OKABE_ITO = ("#d55e00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#cc79a7", "#e69f00")

MASK_COLOUR = _OKABE_ITO[0]
"""Colour of a mask in a separate file."""

OVERLAP_COLOUR = "#000000"
"""Colour of vertices that belong to several ROIs."""


def roi_colours(names: Sequence[str]) -> dict[str, str]:
    """Give each ROI a colour (``#rrggbb``) by its position, the same in pictures and label files.

    The first seven colours can be distinguished with any colour vision; further ROIs get paler
    ones.

    References
    ----------
    Okabe & Ito (2008), Color Universal Design: https://jfly.uni-koeln.de/color/

    Examples
    --------
    >>> roi_colours(["UL", "UR"])
    {'UL': '#d55e00', 'UR': '#56b4e9'}
    """
    return {name: _paler(*divmod(place, len(_OKABE_ITO))) for place, name in enumerate(names)}


def components(colour: str) -> tuple[float, float, float]:
    """Take a colour apart: red, green and blue from 0 to 1.

    Examples
    --------
    >>> components("#ff0033")
    (1.0, 0.0, 0.2)
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red / 255, green / 255, blue / 255


def _paler(rounds: int, place: int) -> str:
    """Mix a colour with white, more each time the list of colours is used again."""
    share = 0.7**rounds
    mixed = [round(255 * (1 - share * (1 - part))) for part in components(_OKABE_ITO[place])]
    return f"#{bytes(mixed).hex()}"
