"""Make settings from the command line and from the files that it names."""

import json
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import MISSING, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from bids_secondlevel.cli.parser import build_parser
from bids_secondlevel.core.described import DescribedMaps, DescribedRetinotopy
from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.options import LEVELS, AnalysisLevel, Option, options_of
from bids_secondlevel.core.planned import PlannedContrast
from bids_secondlevel.core.positions import Position
from bids_secondlevel.core.roi_rule import RoiDefinition, RoiRule
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.words import did_you_mean, in_words

_OLD_SPELLINGS = {"--skip-bids-validator": "--skip-bids-validation"}
"""Options as BIDS-Apps/example has them."""

_FEW = 20
"""Up to this many keys are all listed, even if one of them is close to what was given."""

Table = TypeVar("Table", DescribedMaps, DescribedRetinotopy, PlannedContrast, Position)


def parse(arguments: Sequence[str]) -> Settings:
    """Turn arguments, and the file given with ``--config``, into settings.

    Options of the command line win over those of the file.

    Raises
    ------
    UsageError
        If a value is not valid.
    SystemExit
        After ``--help`` or ``--version``, or if argparse rejects the arguments.
    """
    parsed = vars(build_parser().parse_args([_hyphenated(argument) for argument in arguments]))
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in parsed.items()}
    path = given.pop("config", None)
    _check_level(given, given["analysis_level"])
    content = {} if path is None else read_config(path)
    where = f"--config {path}"
    tables = tables_of(content, "roi", where)
    maps = described_by(DescribedMaps, content, "maps", where)
    retinotopy = described_by(DescribedRetinotopy, content, "retinotopy", where)
    planned = described_by(PlannedContrast, content, "planned", where)
    positions = described_by(Position, content, "position", where)
    relative_to = texts_of(content, "relative-to", where, 'a position, such as attendUL = "UL"')
    labels = texts_of(content, "labels", where, 'a readable name, such as UL = "upper left"')
    named = [option for option in options_of(Settings) if option.group is not None]
    given = {**values_of(content, named, where), **given}
    given |= labels_of_files(given)
    if given.get("bids_filter_file") is not None:
        given["bids_filters"] = read_filters(given["bids_filter_file"])
    if given.get("exclude") is not None:
        from bids_secondlevel.inputs.participants import read_exclusions

        given["exclusions"] = read_exclusions(given["exclude"])
    rule = _changed(RoiRule(), given, "")
    rois = define_rois(tables, rule, where)
    described: dict[str, Any] = {
        "maps": maps,
        "retinotopy": retinotopy,
        "planned": planned,
        "positions": positions,
        "relative_to": relative_to,
        "labels": labels,
    }
    return Settings(**given, **described, rule=rule, rois=rois)


def _check_level(given: Container[str], level: AnalysisLevel) -> None:
    """Refuse options of the command line that do nothing at this level.

    Options in a file are not checked, because one file may serve both levels.

    Raises
    ------
    UsageError
        With the names of all of them.
    """
    idle = [o for o in options_of(Settings) if o.name in given and level not in o.levels]
    if not idle:
        return
    (other,) = (name for name in LEVELS if name != level)
    named = in_words([f"--{option.key}" for option in idle])
    acts = "acts" if len(idle) == 1 else "act"
    advice = (
        f"To change the results with {_it(idle)}, run the participant level with {_it(idle)}; "
        f"leave {_it(idle)} out here."
        if level == "group"
        else f"Leave {_it(idle)} out here, and give {_it(idle)} to the group level."
    )
    raise UsageError(
        f"{named} {acts} at {other} level only, and this is the {level} level. {advice}"
    )


def _it(options: Sequence[Option]) -> str:
    return "it" if len(options) == 1 else "them"


def _hyphenated(argument: str) -> str:
    """Accept options spelled with underscores, as other BIDS Apps have them."""
    if not argument.startswith("--"):
        return argument
    option, equals, value = argument.partition("=")
    option = option.replace("_", "-")
    return _OLD_SPELLINGS.get(option, option) + equals + value


def labels_of_files(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Read the files that are given in the place of labels, one label a line.

    A name of a file has a dot or a slash in it, which no label has.

    Returns
    -------
    dict
        By the names of the options that were given a file.

    Raises
    ------
    UsageError
        If there is no such file, or it is empty.
    """
    options = [o for o in options_of(Settings) if o.is_list and o.prefix and o.name in given]
    return {
        option.name: tuple(
            label
            for text in given[option.name]
            for label in (_read_labels(option, text) if {".", "/"} & set(text) else [text])
        )
        for option in options
    }


def _read_labels(option: Option, path: str) -> list[str]:
    from bids_secondlevel.maps.files import read_text

    expected = "expected labels of letters, digits and '+', or a file with one label on each line"
    try:
        labels = read_text(Path(path), may_be_pipe=True).split()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--{option.key} {path}: is not a label, and no file that can be read ({error}); "
            f"{expected}."
        ) from error
    if not labels:
        raise UsageError(f"--{option.key} {path}: is empty; {expected}.")
    return labels


def read_config(path: Path) -> dict[str, Any]:
    """Read the TOML file given with ``--config``.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    from bids_secondlevel.maps.files import read_text

    try:
        return tomllib.loads(read_text(path, may_be_pipe=True))
    except FileNotFoundError as error:
        raise UsageError(f"--config {path}: this file does not exist.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--config {path}: cannot be read as TOML ({error}).") from error


def values_of(table: Mapping[str, Any], options: Iterable[Option], where: str) -> dict[str, Any]:
    """Read a table of a TOML file. Its keys may have hyphens or underscores.

    Parameters
    ----------
    where
        Name of the table in messages.

    Returns
    -------
    dict
        Values by the names of the fields that declare the options.

    Raises
    ------
    UsageError
        If a key is not among the options, or a value has another type than its option.
    """
    if not table:
        return {}
    from pydantic import TypeAdapter, ValidationError

    by_key = {option.key: option for option in options}
    values: dict[str, Any] = {}
    for key, value in table.items():
        option = by_key.get(key.replace("_", "-"))
        if option is None:
            expected = f"expected one of {', '.join(by_key)}."
            meant = did_you_mean(key, by_key)
            if meant:
                expected = meant if len(by_key) > _FEW else f"{meant} E{expected[1:]}"
            raise UsageError(f"{where}: unknown key {key!r}; {expected}")
        kind = tuple[str, ...] if option.parse else option.hint
        try:  # as JSON: lists become tuples, and texts become paths but never numbers
            read = TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            expected = _expected(option)
            raise UsageError(f"{where}: {key} = {value!r}; expected {expected}.") from error
        if option.group is not None and read == ():
            raise UsageError(f"{where}: {key} = []; expected {_expected(option)}.")
        if option.parse:
            read = tuple(map(option.parse, read))
        values[option.name] = not read if option.says_no else read
    return values


def _expected(option: Option) -> str:
    """Describe the value that an option takes in a file."""
    if option.expected and option.check is None:
        return option.expected
    if option.choices:
        choices = ", ".join(f'"{choice}"' for choice in option.choices)
        return f"a list of some of {choices}" if option.is_list else f"one of {choices}"
    if option.is_list and option.kind is float:
        n = f"{option.length} " if option.length else ""
        return f"a list of {n}numbers, such as [0, 5]"
    if option.is_list:
        return 'a list of strings, such as ["..."]'
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    return kinds.get(option.kind, "a string")


def tables_of(content: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    """Take the tables of a name out of the content of a file.

    Raises
    ------
    UsageError
        If the name is used for something else.
    """
    tables = content.pop(name, [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise UsageError(f"{where}: expected {name} as entries, each under the heading [[{name}]].")
    return tables


def texts_of(content: dict[str, Any], name: str, where: str, expected: str) -> dict[str, str]:
    """Take a table of texts by label out of the content of a file.

    Parameters
    ----------
    name
        Of the table, with hyphens or underscores in the file.
    expected
        What a text is.

    Raises
    ------
    UsageError
        If it is not a table of texts.
    """
    spelled = [key for key in content if key.replace("_", "-") == name]
    texts: dict[str, str] = {}
    for key in spelled:
        table = content.pop(key)
        if not isinstance(table, dict):
            raise UsageError(f"{where}: expected {key} as a table under the heading [{key}].")
        for label, text in table.items():
            if not isinstance(text, str):
                raise UsageError(f"{where}: [{key}] {label} is not a text; expected {expected}.")
        texts |= table
    return texts


def described_by(
    declaring: type[Table], content: dict[str, Any], name: str, where: str
) -> tuple[Table, ...]:
    """Turn entries such as ``[[maps]]`` or ``[[planned]]`` of a file into values.

    Raises
    ------
    UsageError
        If a key or its value is wrong.
    """
    options = options_of(cast("type", declaring))
    described = []
    for number, table in enumerate(tables_of(content, name, where), 1):
        here = f"{where}: [[{name}]] number {number}"
        given = values_of(table, options, here)
        _check_needed(given, options, here)
        try:
            described.append(declaring(**given))
        except UsageError as error:
            raise UsageError(f"{here}: {error}") from error
    return tuple(described)


def _check_needed(given: Container[str], options: Iterable[Option], where: str) -> None:
    for option in options:
        if option.default is MISSING and option.name not in given:
            empty = " Write contrasts = [] for an ROI by retinotopy alone."
            advice = empty if option.name == "contrasts" else ""
            raise UsageError(f"{where}: has no key {option.key}.{advice}")


def define_rois(
    tables: Sequence[Mapping[str, Any]], default: RoiRule, where: str
) -> tuple[RoiDefinition, ...]:
    """Turn the ``[[roi]]`` entries of a file into definitions that change a default rule.

    Raises
    ------
    UsageError
        If a key or the type of its value is wrong.
    """
    return tuple(
        _define_roi(table, default, f"{where}: [[roi]] {_called(table, number)}")
        for number, table in enumerate(tables, 1)
    )


def _called(table: Mapping[str, Any], number: int) -> str:
    """Name a table by its key ``name``, or by its number if it has none."""
    name = table.get("name")
    return f'"{name}"' if isinstance(name, str) else f"number {number}"


def _define_roi(table: Mapping[str, Any], default: RoiRule, where: str) -> RoiDefinition:
    options = options_of(RoiDefinition)
    given = values_of(table, options, where)
    _check_needed(given, options, where)
    rule = _changed(default, given, f"{where}: ")
    return RoiDefinition(**given, rule=rule)


def _changed(rule: RoiRule, given: dict[str, Any], where: str) -> RoiRule:
    """Take the options of a rule out of what is given, and change them in a rule.

    Raises
    ------
    UsageError
        If a value is not valid, or if the kind of threshold changes and no threshold is given with
        it: the default number would then mean something else.
    """
    own = {o.name: given.pop(o.name) for o in options_of(RoiRule) if o.name in given}
    kind = own.get("threshold_kind", rule.threshold_kind)
    if kind != rule.threshold_kind and "localizer_threshold" not in own:
        raise UsageError(f"{where}--threshold-kind {kind} also needs --localizer-threshold.")
    return replace(rule, **own)


def read_filters(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Read the filters of ``--bids-filter-file``.

    Raises
    ------
    UsageError
        If the file cannot be read, or is not an object of objects.
    """
    from bids_secondlevel.maps.files import read_json

    try:
        filters = read_json(path, may_be_pipe=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"--bids-filter-file {path}: cannot be read as JSON ({error}).") from error
    if not isinstance(filters, dict) or not all(isinstance(f, dict) for f in filters.values()):
        raise UsageError(
            f"--bids-filter-file {path}: expected an object with the entities of each query, such "
            'as {"localizer": {"desc": "..."}}.'
        )
    values = [
        v for entities in filters.values() for value in entities.values() for v in _items(value)
    ]
    if not all(value is None or isinstance(value, (str, int)) for value in values):
        raise UsageError(
            f"--bids-filter-file {path}: expected values that are labels, numbers, null, or lists "
            "of these."
        )
    return filters


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
