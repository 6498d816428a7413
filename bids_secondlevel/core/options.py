"""Declare an option once, as a field with all that parser, config file and descriptor need.

The type of the field decides what an option takes: ``bool`` is a flag, ``tuple`` a list,
``Literal`` a choice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, cached_property
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from bids_secondlevel.core.errors import UsageError

WHO = "which participants and files"
ROIS = "definition of the regions of interest (ROIs)"
MEASURED = "what is measured"
GROUP_LEVEL = "group level"
RUNNING = "running"
GROUPS = (WHO, ROIS, MEASURED, GROUP_LEVEL, RUNNING)
"""Headings of options, in the order of ``--help``."""

AnalysisLevel = Literal["participant", "group"]
LEVELS: tuple[AnalysisLevel, ...] = get_args(AnalysisLevel)


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of the program, or a key of a ``[[roi]]`` entry, as a field declares it."""

    name: str
    """Of the field."""
    hint: Any
    """Type of the field."""
    default: Any
    """``MISSING`` if it must be given."""
    description: str
    group: str | None
    """Heading in ``--help``; ``None`` for positional arguments."""
    metavar: str | tuple[str, ...] | None
    """Placeholder of its value in ``--help``; choices and flags have none."""
    at_both_levels: bool
    """Whether an option of the participant level also acts at group level."""
    short: str | None
    """Its short form, with one hyphen."""
    prefix: str | None
    """Prefix that may precede a value that is a BIDS label."""
    parse: Callable[[str], Any] | None
    """Converts a text to a value, if the type is not enough for that."""
    check: Callable[[Any], bool] | None
    """Whether a value is valid."""
    expected: str
    """What `check` accepts, in words."""
    if_alone: str | None
    """What it means without a value, if that may be left out."""

    @property
    def levels(self) -> tuple[AnalysisLevel, ...]:
        """The levels at which it acts. Options about how to run act at both."""
        if self.at_both_levels or self.group in (RUNNING, None):
            return LEVELS
        return ("group",) if self.group == GROUP_LEVEL else ("participant",)

    @property
    def help(self) -> str:
        """Its text in ``--help``."""
        return f"{self.description} [both levels]" if self.at_both_levels else self.description

    @property
    def says_no(self) -> bool:
        """Whether it is a flag that switches something off."""
        return self.default is True

    @property
    def key(self) -> str:
        """Its name in a config file, and on the command line after ``--``."""
        return f"{'no-' if self.says_no else ''}{self.name.replace('_', '-')}"

    @cached_property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return get_origin(self._given) is tuple

    @property
    def length(self) -> int | None:
        """How many values it takes; ``None`` for any number."""
        kinds = get_args(self._given) if self.is_list else (self.kind,)
        return None if ... in kinds else len(kinds)

    @cached_property
    def kind(self) -> Any:
        """Type of its value, or of each of them."""
        return get_args(self._given)[0] if self.is_list else self._given

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """The values to choose from; empty if there is no list of choices."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @cached_property
    def _given(self) -> Any:
        """Type of the field without ``None``."""
        kinds = [kind for kind in get_args(self.hint) if kind is not NoneType]
        return kinds[0] if len(kinds) < len(get_args(self.hint)) else self.hint


def option(
    description: str,
    group: str | None = None,
    *,
    default: Any = None,
    metavar: str | tuple[str, ...] | None = None,
    at_both_levels: bool = False,
    short: str | None = None,
    prefix: str | None = None,
    parse: Callable[[str], Any] | None = None,
    check: Callable[[Any], bool] | None = None,
    expected: str = "",
    if_alone: str | None = None,
) -> Any:
    """Declare a field that is an :class:`Option`; ``{default}`` in the description is filled in."""
    declared = {
        "description": description.replace("{default}", as_given(default)),
        "group": group,
        "metavar": metavar or ("LABEL" if prefix else None),
        "at_both_levels": at_both_levels,
        "short": short,
        "prefix": prefix,
        "parse": parse,
        "check": check,
        "expected": expected,
        "if_alone": if_alone,
    }
    return field(default=default, metadata=declared)


@cache
def options_of(declaring: type) -> tuple[Option, ...]:
    """List the options that a dataclass declares, with those of dataclasses among its fields."""
    hints = get_type_hints(declaring)
    found: list[Option] = []
    for f in fields(declaring):
        hint = hints[f.name]
        if f.metadata:
            found.append(Option(name=f.name, hint=hint, default=f.default, **f.metadata))
        elif is_dataclass(hint):
            found += options_of(cast("type", hint))
    return tuple(found)


def check_options(settings: object) -> None:
    """Check the values of a dataclass against the declarations of its fields.

    Raises
    ------
    UsageError
        If a value is not valid; the message names the option.
    """
    declaring: type = type(settings)
    values = vars(settings)
    for declared in options_of(declaring):
        value = values.get(declared.name)
        if value is None:
            continue
        is_right, expected = declared.check, declared.expected
        if declared.choices and not declared.is_list:
            is_right = declared.choices.__contains__
            expected = f"one of {', '.join(declared.choices)}"
        if is_right is not None and not is_right(value):
            raise UsageError(f"--{declared.key}: {as_given(value)} given; expected {expected}.")


def as_given(value: Any) -> str:
    """Write a value as on the command line.

    Examples
    --------
    >>> as_given((0.0, 5.0)), as_given(10_000)
    ('0 5', '10000')
    """
    if isinstance(value, tuple):
        return " ".join(map(as_given, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
