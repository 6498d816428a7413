"""Read configuration and filter files, and turn them into what the command line would say."""

import argparse
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.roi_rule import RoiDefinition, RoiRule
from bids_secondlevel.maps.files import read_bytes, read_json

RULE_OPTIONS = tuple(field.name for field in fields(RoiRule))
"""Options that define ROIs."""


def read_config(path: Path) -> dict[str, Any]:
    """Read the TOML file given with ``--config``.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        return tomllib.loads(read_bytes(path, may_be_pipe=True).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--config {path}: cannot be read as TOML ({error}).") from error


def config_arguments(
    parser: argparse.ArgumentParser,
    config: Mapping[str, Any],
    where: str,
    allowed: Collection[str] | None = None,
) -> list[str]:
    """Turn a configuration into arguments of the command line, so that both mean the same.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    config : mapping
        Values by the long names of options, with hyphens or underscores.
    where : str
        What messages call the configuration.
    allowed : collection of str, optional
        The options that may stand in it; all by default.

    Raises
    ------
    UsageError
        If a key or the type of its value is wrong.
    """
    options = {
        string.removeprefix("--"): action
        for action in parser._actions  # noqa: SLF001 argparse has no public list of them
        for string in action.option_strings
        if string.startswith("--")
        and action.dest not in ("help", "version", "bids_exec_spec", "config")
        and (allowed is None or action.dest in allowed)
    }
    arguments: list[str] = []
    for key, value in config.items():
        action = options.get(key.replace("_", "-"))
        if action is None:
            raise UsageError(f"{where}: unknown key {key!r}; expected one of {', '.join(options)}.")
        arguments += _as_arguments(where, key, value, action)
    return arguments


def define_rois(
    parser: argparse.ArgumentParser, tables: Any, default: RoiRule, where: str
) -> tuple[RoiDefinition, ...]:
    """Turn the ``[[roi]]`` tables of a configuration into definitions.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    tables : list of dict
        Each with ``name``, ``contrasts``, ``combine``, ``exclude``, and any option of the rule
        by its long name.
    default : RoiRule
        What holds where a table says nothing else.
    where : str
        What messages call the configuration.

    Raises
    ------
    UsageError
        If a key or the type of its value is wrong.
    """
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise UsageError(f"{where}: roi must be tables, each under a heading [[roi]].")
    return tuple(
        _define_roi(parser, table, default, f"{where}: [[roi]] number {number}")
        for number, table in enumerate(tables, 1)
    )


def _define_roi(
    parser: argparse.ArgumentParser, table: Mapping[str, Any], default: RoiRule, where: str
) -> RoiDefinition:
    own: dict[str, Any] = {}
    for key in ("name", "combine", "contrasts", "exclude"):
        if key not in table:
            continue
        value, is_list = table[key], key in ("contrasts", "exclude")
        items = value if isinstance(value, list) else [value]
        if isinstance(value, list) != is_list or not all(isinstance(i, str) for i in items):
            expected = 'a list of labels, such as ["UL"]' if is_list else "a string"
            raise UsageError(f"{where}: {key} = {value!r}; expected {expected}.")
        own[key] = value
    for key in ("name", "contrasts"):
        if key not in own:
            raise UsageError(f"{where}: has no {key}.")
    overriding = {key: value for key, value in table.items() if key not in own}
    arguments = config_arguments(parser, overriding, where, RULE_OPTIONS)
    given = vars(parser.parse_args(["-", "-", "participant", *arguments]))
    check_threshold_kind(given, default, where)
    rule = replace(default, **frozen({k: v for k, v in given.items() if k in RULE_OPTIONS}))
    if overriding.get("exclusive") is False:  # which no argument says
        rule = replace(rule, exclusive=False)
    return RoiDefinition(**frozen(own), rule=rule)


def check_threshold_kind(given: Mapping[str, Any], inherited: RoiRule, where: str) -> None:
    """Refuse another kind of threshold without a threshold: the number would mean something else.

    Raises
    ------
    UsageError
    """
    kind = given.get("threshold_kind", inherited.threshold_kind)
    if kind != inherited.threshold_kind and "localizer_threshold" not in given:
        raise UsageError(
            f"{where}: --threshold-kind {kind} needs a --localizer-threshold beside it."
        )


def read_filters(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Read the filters of ``--bids-filter-file``.

    Raises
    ------
    UsageError
        If the file cannot be read, or is not an object of objects.
    """
    try:
        filters = read_json(path, may_be_pipe=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"--bids-filter-file {path}: cannot be read as JSON ({error}).") from error
    if not isinstance(filters, dict) or not all(isinstance(f, dict) for f in filters.values()):
        raise UsageError(
            f'--bids-filter-file {path}: expected {{"localizer": {{"desc": "..."}}, ...}}, an '
            "object of entities for each query."
        )
    values = [
        v for entities in filters.values() for value in entities.values() for v in _items(value)
    ]
    if not all(value is None or isinstance(value, (str, int)) for value in values):
        raise UsageError(
            f"--bids-filter-file {path}: values must be labels, numbers, null, or lists of them."
        )
    return filters


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _as_arguments(where: str, key: str, value: object, action: argparse.Action) -> list[str]:
    """Turn one key of the configuration into arguments; its type must be the option's."""
    kind: type | tuple[type, ...] = (int, float) if action.type is float else str
    if action.nargs == 0:
        kind = int if action.dest == "verbose" else bool
    elif action.type is int:
        kind = int
    is_list = action.nargs not in (None, 0)
    items = value if is_list and isinstance(value, list) else [value]
    fits = isinstance(value, list) == is_list and all(
        isinstance(item, kind) and (kind is bool or not isinstance(item, bool)) for item in items
    )
    if not fits or (is_list and not items):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        example = "[0, 5]" if action.type is float else '["..."]'
        expected = f"a list of {names}, such as {example}" if is_list else names
        raise UsageError(f"{where}: {key} = {value!r}; expected {expected}.")
    option = max(action.option_strings, key=len)
    if action.nargs == 0:
        return [option] * int(str(value) if kind is int else bool(value))
    return [option, *(str(item) for item in items)] if is_list else [f"{option}={value}"]


def frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn lists into tuples, as settings have them."""
    return {k: tuple(value) if isinstance(value, list) else value for k, value in values.items()}
