"""The ``[[maps]]`` and ``[[retinotopy]]`` entries of a config file, which describe other names."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from math import isfinite
from types import MappingProxyType
from typing import Literal, cast, get_args

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.options import option, options_of
from bids_secondlevel.core.roi_rule import VISUAL_AREAS

CAPTURES: Mapping[str, str] = MappingProxyType(
    {
        "subject": "sub",
        "session": "ses",
        "task": "task",
        "run": "run",
        "contrast": "contrast",
        "hemi": "hemi",
    }
)
"""What a pattern can capture, with its key in BIDS names."""

RetinotopicMap = Literal["varea", "eccen", "angle", "sigma", "vexpl"]
AngleConvention = Literal[
    "vertical-clockwise",
    "vertical-counterclockwise",
    "horizontal-clockwise",
    "horizontal-counterclockwise",
]
"""Which meridian is 0 (the upper vertical or the right horizontal one), and in which direction
angles increase. ``vertical-clockwise`` is the convention of neuropythy, in which angles of both
hemispheres may be positive. """

_CONSTANT = "what the pattern does not capture"
_LABEL = "a label as a string, or a number"
_CAPTURE = re.compile(r"\{([^{}]*)\}")
_WILD = re.compile(r"\{[^{}]*\}|\*")
_HEMISPHERES = ("l", "lh", "left", "r", "rh", "right")


def label_of(capture: str, text: str) -> str:
    """Make a label from a captured text or a constant.

    Characters other than letters and digits are removed, and so is the key of a BIDS name.

    Raises
    ------
    UsageError
        If nothing is left.

    Examples
    --------
    >>> label_of("subject", "sub-01"), label_of("subject", "S_003"), label_of("run", "run-02")
    ('01', 'S003', '2')
    >>> label_of("contrast", "S-v-N"), label_of("hemi", "rh"), label_of("hemi", "Left")
    ('SvN', 'R', 'L')
    """
    if capture == "hemi" and text.casefold() in _HEMISPHERES:
        return text[0].upper()
    label = re.sub("[^0-9A-Za-z]", "", text.removeprefix(f"{CAPTURES.get(capture, capture)}-"))
    if not label or capture == "hemi":
        expected = "L, R, lh, rh, left or right" if capture == "hemi" else "a letter or a digit"
        raise UsageError(f"{capture} is {text!r}; expected {expected}.")
    return str(int(label)) if capture == "run" and label.isdigit() else label


@dataclass(frozen=True, kw_only=True)
class DescribedMaps:
    """A ``[[maps]]`` entry: where statistical maps are, and what they are.

    Raises
    ------
    UsageError
        If a value is not valid, or the participant, the task or the contrast is missing.
    """

    pattern: str = option("path of the files in their dataset", default=MISSING)
    stat: str = option("effect, variance, z, t, or sig of FreeSurfer", default=MISSING)
    dataset: str | None = option("its name or path (default: BIDS_DIR and every dataset)")
    space: str | None = option("space that the maps are in")
    subject: str | int | None = option(_CONSTANT, expected=_LABEL)
    session: str | int | None = option(_CONSTANT, expected=_LABEL)
    task: str | int | None = option(_CONSTANT, expected=_LABEL)
    run: str | int | None = option(_CONSTANT, expected=_LABEL)
    contrast: str | int | None = option(_CONSTANT, expected=_LABEL)
    hemi: str | None = option(_CONSTANT)
    df: float | str | None = option(
        "degrees of freedom of t, or a pattern of a file that holds them",
        expected="a number, or a pattern of a file as a string",
    )
    array: int | str | None = option(
        "which array of a file that has several", expected="a number from 0, or a name as a string"
    )
    names: Mapping[str, str] | None = option(
        "names of captured contrasts",
        expected='names for captured texts, such as { "0001" = "faces" }',
    )

    def __post_init__(self) -> None:
        captured = _checked_pattern(self.pattern)
        _check_constants(self, captured)
        for name, given in (("subject", self.subject), ("task", self.task)):
            if name not in captured and given is None:
                raise UsageError(
                    f"pattern = {self.pattern!r} has no {{{name}}}. Put {{{name}}} into the "
                    f'pattern, or add {name} = "...".'
                )
        object.__setattr__(self, "stat", label_of("stat", self.stat))
        if isinstance(self.df, str):
            _checked_pattern(self.df)
        elif self.df is not None and not (isfinite(self.df) and self.df > 0):
            raise UsageError(f"df = {self.df:g}; expected a number above 0.")
        _check_array(self.array)


@dataclass(frozen=True, kw_only=True)
class DescribedRetinotopy:
    """A ``[[retinotopy]]`` entry: where maps of one kind are, and what they are.

    Raises
    ------
    UsageError
        If a value is not valid, or does not belong to the kind of map.
    """

    pattern: str = option("path of the files in their dataset", default=MISSING)
    map: RetinotopicMap = option("kind of map", default=MISSING)
    source: str = option("its name for --retinotopy-source", default="described")
    dataset: str | None = option("its name or path (default: BIDS_DIR and every dataset)")
    space: str | None = option("surface of the files (default: the participant's own)")
    subject: str | int | None = option(f"{_CONSTANT}, or a template", expected=_LABEL)
    session: str | int | None = option(_CONSTANT, expected=_LABEL)
    hemi: str | None = option(_CONSTANT)
    array: int | str | None = option(
        "which array of a file that has several", expected="a number from 0, or a name as a string"
    )
    areas: Mapping[str, int | tuple[int, ...]] | None = option(
        "values of each visual area in the map",
        expected="whole numbers by the names of areas, such as { V1 = [101, 102] }",
    )
    scale: float | None = option("factor by which the values are multiplied")
    angle: AngleConvention | None = option("where 0 is, and in which direction angles increase")

    def __post_init__(self) -> None:
        captured = _checked_pattern(self.pattern)
        _check_constants(self, captured)
        foreign = captured & {"task", "run", "contrast"}
        if foreign:
            raise UsageError(
                f"pattern = {self.pattern!r} captures {', '.join(sorted(foreign))}, which "
                "retinotopic maps do not have. Write * instead."
            )
        if self.map not in get_args(RetinotopicMap):
            raise UsageError(f"map = {self.map!r}; expected one of {_listed(RetinotopicMap)}.")
        if not self.source.strip():
            raise UsageError("source is empty; expected a name for --retinotopy-source.")
        if self.areas and self.map != "varea":
            raise UsageError(f'areas is given, but map is {self.map!r}; expected map = "varea".')
        known = {name.casefold() for name in VISUAL_AREAS}
        unknown = [name for name in self.areas or () if name.casefold() not in known]
        if unknown:
            raise UsageError(
                f"areas: there is no visual area {', '.join(unknown)}; expected some of "
                f"{', '.join(VISUAL_AREAS)}."
            )
        if self.scale is not None and self.map == "varea":
            raise UsageError(
                "scale is given, but visual areas are labels and cannot be multiplied. Remove it."
            )
        if self.scale is not None and not (self.scale and isfinite(self.scale)):
            raise UsageError(f"scale = {self.scale:g}; expected a number other than 0.")
        if self.angle is not None and self.map != "angle":
            raise UsageError(f'angle is given, but map is {self.map!r}; expected map = "angle".')
        if self.angle is not None and self.angle not in get_args(AngleConvention):
            raise UsageError(f"angle = {self.angle!r}; expected one of {_listed(AngleConvention)}.")
        _check_array(self.array)

    @property
    def area_labels(self) -> tuple[tuple[int, int], ...]:
        """Pairs of a value in the file and the label of neuropythy; none if they are the same."""
        by_key = {name.casefold(): label for name, label in VISUAL_AREAS.items()}
        return tuple(
            (value, by_key[name.casefold()])
            for name, values in (self.areas or {}).items()
            for value in (values if isinstance(values, tuple) else (values,))
        )


Described = DescribedMaps | DescribedRetinotopy


def captures_of(pattern: str) -> frozenset[str]:
    """List the names of what a pattern captures."""
    return frozenset(_CAPTURE.findall(pattern))


def is_literal(pattern: str) -> bool:
    """Return whether a pattern, or a part of one, matches only its own text."""
    return _WILD.search(pattern) is None


def as_table(described: object) -> dict[str, object]:
    """Return an entry as a table, with only the keys that are given."""
    given: dict[str, object] = {}
    for declared in options_of(cast("type", type(described))):
        value = getattr(described, declared.name)
        if value is not None:
            given[declared.key] = dict(value) if isinstance(value, Mapping) else value
    return given


def _checked_pattern(pattern: str) -> frozenset[str]:
    """Check a pattern, and return the names of what it captures."""
    captured = captures_of(pattern)
    unknown = sorted(captured - set(CAPTURES))
    if unknown or re.search(r"[{}]", _CAPTURE.sub("", pattern)):
        shown = f"{{{unknown[0]}}}" if unknown else "an unmatched brace"
        raise UsageError(
            f"pattern = {pattern!r} has {shown}; expected some of "
            f"{' '.join(f'{{{name}}}' for name in CAPTURES)}, and * for anything else."
        )
    parts = pattern.split("/")
    if not pattern or pattern.startswith(("/", "~")) or {"", ".", ".."} & set(parts):
        raise UsageError(
            f"pattern = {pattern!r}; expected a path relative to the dataset, such as "
            '{subject}/{hemi}.fields.mgz. Name the folder of the dataset with dataset = "...".'
        )
    if pattern.casefold().endswith((".annot", ".label")):
        raise UsageError(
            f"pattern = {pattern!r}: areas of FreeSurfer's labels and annotations are chosen with "
            "--visual-areas FILE.annot:NAME instead."
        )
    return captured


def _check_constants(described: Described, captured: frozenset[str]) -> None:
    for name in CAPTURES:
        value = getattr(described, name, None)
        if value is None:
            continue
        if name in captured:
            raise UsageError(
                f"{name} = {value!r} is given, and the pattern also has {{{name}}}. Use only one "
                "of them."
            )
        label_of(name, str(value))


def _check_array(array: int | str | None) -> None:
    if array == "" or (isinstance(array, int) and array < 0):
        raise UsageError(f"array = {array!r}; expected a number from 0, or a name as a string.")


def _listed(choices: object) -> str:
    return ", ".join(f'"{choice}"' for choice in get_args(choices))
