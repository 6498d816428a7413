"""The command line: arguments become settings, a level is run, the exit code says how it went.

Nothing scientific is imported until it is needed, so that ``--help`` answers at once.
"""

import argparse
import json
import logging
import os
import sys
import tomllib
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bids_secondlevel import __version__
from bids_secondlevel.errors import DONE, SOME_PARTICIPANT_FAILED, SecondLevelError, UsageError
from bids_secondlevel.settings import (
    TAILS,
    THRESHOLD_KINDS,
    VISUAL_AREAS,
    DerivativePath,
    RoiDefinition,
    RoiRule,
    Settings,
)

LOG = logging.getLogger("bids_secondlevel")

_RULE_OPTIONS = tuple(field.name for field in fields(RoiRule))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        Exit code; see :mod:`bids_secondlevel.errors`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose = False
    try:
        settings = parse(arguments)
        verbose = settings.verbose > 0
        _start_logging(settings.verbose)
        return _run(settings)
    except SystemExit as stop:  # argparse: --help and --version end with 0
        return DONE if not stop.code else UsageError.exit_code
    except SecondLevelError as error:
        _tell(str(error), verbose=verbose)
        return error.exit_code
    except BrokenPipeError:  # nobody reads what a dry run prints; nothing is left to be flushed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        _tell("Interrupted.", verbose=False)
        return 130
    except Exception as error:  # noqa: BLE001 the last resort: one line, not a traceback
        _tell(
            f"Unexpected {type(error).__name__}: {error}. This is a defect of the program; "
            "please report it with the output of -v.",
            verbose=verbose,
        )
        return SOME_PARTICIPANT_FAILED


def _run(settings: Settings) -> int:
    if settings.analysis_level == "participant":
        from bids_secondlevel import participant

        return participant.run(settings)
    from bids_secondlevel import group

    return group.run(settings)


def parse(arguments: Sequence[str]) -> Settings:
    """Turn arguments, and the file given with ``--config``, into settings.

    Options of the command line win over those of the file.

    Raises
    ------
    UsageError
        If a value cannot be right.
    SystemExit
        After ``--help`` or ``--version``, or if argparse rejects the arguments.
    """
    parser = build_parser()
    arguments = [_hyphenated(argument) for argument in arguments]
    given = vars(parser.parse_args(arguments))
    config = given.pop("config", None)
    roi_tables: list[dict[str, Any]] = []
    if config is not None:
        content = read_config(config)
        roi_tables = content.pop("roi", [])
        positionals = [str(given[name]) for name in ("bids_dir", "output_dir", "analysis_level")]
        from_config = config_arguments(parser, content, f"--config {config}")
        given = {**vars(parser.parse_args([*positionals, *from_config])), **given}
    rule = {name: given.pop(name) for name in _RULE_OPTIONS if name in given}
    filter_file = given.get("bids_filter_file")
    if filter_file is not None:
        given["bids_filters"] = read_filters(filter_file)
    default = RoiRule(**_frozen(rule))
    rois = define_rois(parser, roi_tables, default, f"--config {config}")
    return Settings(**_frozen(given), rule=default, rois=rois)


def build_parser() -> argparse.ArgumentParser:
    """Declare the command line; the defaults are those of :class:`Settings`."""
    parser = argparse.ArgumentParser(
        prog="bids_secondlevel",
        usage="%(prog)s BIDS_DIR OUTPUT_DIR {participant,group} [options]",
        description="Individual regions of interest from retinotopy and a functional localizer, "
        "and group statistics on first-level estimates inside them. Run the participant level "
        "first, then the group level.",
        epilog="Exit codes: 0 done; 1 some participant failed (the others were processed); "
        "16 invalid dataset; 18 the filters selected nothing; 64 usage; 65 unreadable or "
        "inconsistent data; 66 input missing; 73 output cannot be written.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    rule, default = RoiRule(), Settings
    parser.add_argument("bids_dir", type=Path, metavar="BIDS_DIR", help="BIDS dataset; only read")
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="where results go")
    parser.add_argument(
        "analysis_level", choices=("participant", "group"), help="level of the analysis"
    )

    who = parser.add_argument_group("which participants and files")
    who.add_argument(
        "--participant-label",
        nargs="+",
        metavar="LABEL",
        help="participants to process, with or without sub- (default: all)",
    )
    who.add_argument(
        "--session-label",
        nargs="+",
        metavar="LABEL",
        help="sessions to measure, with or without ses- (default: all); ROIs are always defined "
        "on all sessions of the localizer",
    )
    who.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        type=_derivative,
        metavar="[NAME=]PATH",
        help="datasets of first-level maps and of retinotopy (default: those below "
        "BIDS_DIR/derivatives, BIDS_DIR/sourcedata/freesurfer, and sourcedata/freesurfer inside "
        "each of them)",
    )
    who.add_argument(
        "--bids-filter-file",
        type=Path,
        metavar="FILE",
        help="JSON file with pybids filters for the queries localizer, estimates and retinotopy",
    )
    who.add_argument(
        "--skip-bids-validation",
        action="store_true",
        help="go on without a valid dataset_description.json in BIDS_DIR",
    )

    roi = parser.add_argument_group("definition of the regions of interest (ROIs)")
    roi.add_argument(
        "--localizer-task",
        metavar="LABEL",
        help="task whose contrasts define the ROIs (default: the only task with 'loc' in its "
        "label)",
    )
    roi.add_argument(
        "--roi-contrasts",
        nargs="+",
        metavar="LABEL",
        help="localizer contrasts, one ROI each (default: all of the localizer task)",
    )
    roi.add_argument(
        "--retinotopy-only",
        action="store_true",
        help="one ROI by retinotopy alone, without a localizer",
    )
    roi.add_argument(
        "--localizer-threshold",
        type=float,
        metavar="VALUE",
        help="a vertex is activated when its z value is greater; or a number of vertices, a "
        "percentage, or a false discovery rate, by --threshold-kind "
        f"(default: {rule.localizer_threshold:g})",
    )
    roi.add_argument(
        "--threshold-kind",
        choices=THRESHOLD_KINDS,
        help="what the threshold means; all but z apply within the retinotopic part of each "
        f"hemisphere (default: {rule.threshold_kind})",
    )
    roi.add_argument(
        "--tail",
        choices=TAILS,
        help=f"which z values count as activation (default: {rule.tail})",
    )
    roi.add_argument(
        "--exclusive",
        action="store_true",
        help="remove vertices that pass for more than one ROI",
    )
    roi.add_argument(
        "--min-vertices",
        type=int,
        metavar="N",
        help="no estimate (below_min_vertices) in a ROI with fewer vertices "
        f"(default: {rule.min_vertices})",
    )
    roi.add_argument(
        "--visual-areas",
        nargs="+",
        metavar="NAME",
        help=f"visual areas, out of {', '.join(VISUAL_AREAS)}, or their numbers "
        f"(default: {' '.join(rule.visual_areas)})",
    )
    roi.add_argument(
        "--eccentricity",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="range of eccentricity in degrees, limits excluded "
        f"(default: {rule.eccentricity[0]:g} {rule.eccentricity[1]:g})",
    )
    roi.add_argument(
        "--polar-angle",
        nargs=2,
        type=float,
        metavar=("FROM", "TO"),
        help="wedge of the visual field, clockwise: degrees from the upper vertical meridian, "
        "negative in the left visual field; the upper left quadrant is -90 0 (default: all)",
    )
    roi.add_argument(
        "--min-variance-explained",
        type=float,
        metavar="VALUE",
        help="vertices must exceed this in the map of variance explained (vexpl), in its unit",
    )
    roi.add_argument(
        "--retinotopy-source",
        metavar="TAG",
        help="which retinotopic maps, such as benson14 or inferred (default: the only ones found, "
        "and inferred where there are several)",
    )

    measure = parser.add_argument_group("what is measured")
    measure.add_argument(
        "--task-label",
        nargs="+",
        metavar="LABEL",
        help="tasks to measure (default: all, the localizer included)",
    )
    measure.add_argument(
        "--contrasts", nargs="+", metavar="LABEL", help="contrasts to measure (default: all)"
    )
    measure.add_argument(
        "--statistic",
        metavar="NAME",
        help=f"which maps to measure, the stat entity (default: {default.statistic})",
    )
    measure.add_argument(
        "--summary",
        choices=("mean", "median", "area-weighted-mean"),
        help="how the values in a ROI become one number; area-weighted-mean needs a surface "
        f"(default: {default.summary})",
    )
    measure.add_argument(
        "--cross-validate",
        action="store_true",
        help="measure the localizer in each of its runs, in ROIs defined on the other runs, where "
        "runs have maps of their own",
    )
    measure.add_argument(
        "--sweep",
        action="store_true",
        help="measure under other thresholds and eccentricities too (desc-sweep_estimates.tsv)",
    )
    measure.add_argument(
        "--sweep-thresholds",
        nargs="+",
        type=float,
        metavar="Z",
        help=f"default: {' '.join(f'{z:g}' for z in default.sweep_thresholds)}",
    )
    measure.add_argument(
        "--sweep-eccentricities",
        nargs="+",
        type=float,
        metavar="HIGH",
        help="upper limits in degrees (default: 0.6 to 1.4 times that of --eccentricity)",
    )
    measure.add_argument(
        "--space",
        metavar="LABEL",
        help="surface space of the maps (default: the only one, and fsnative where there are "
        "several)",
    )

    running = parser.add_argument_group("running")
    running.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file with any of these options by their long names; the command line wins",
    )
    running.add_argument(
        "--dry-run",
        action="store_true",
        help="print which files would be used for what, and what is missing; write nothing",
    )
    running.add_argument(
        "--n-procs",
        type=int,
        metavar="N",
        help="participants processed at a time (default: the CPUs this process may use)",
    )
    running.add_argument(
        "--stop-on-first-crash",
        action="store_true",
        help="stop at the first participant that fails, instead of going on with the others",
    )
    running.add_argument(
        "-v", "--verbose", action="count", help="say more; show tracebacks of failures"
    )
    running.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def read_config(path: Path) -> dict[str, Any]:
    """Read the TOML file given with ``--config``.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
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
        and action.dest not in ("help", "version", "config")
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
    arguments = config_arguments(parser, overriding, where, _RULE_OPTIONS)
    given = vars(parser.parse_args(["-", "-", "participant", *arguments]))
    rule = replace(default, **_frozen({k: v for k, v in given.items() if k in _RULE_OPTIONS}))
    if overriding.get("exclusive") is False:  # which no argument says
        rule = replace(rule, exclusive=False)
    return RoiDefinition(**_frozen(own), rule=rule)


def read_filters(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Read the filters of ``--bids-filter-file``.

    Raises
    ------
    UsageError
        If the file cannot be read, or is not an object of objects.
    """
    try:
        filters = json.loads(path.read_text(encoding="utf-8"))
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


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(value) if isinstance(value, list) else value for k, value in values.items()}


def _hyphenated(argument: str) -> str:
    """Accept options spelled with underscores, as other BIDS Apps have them."""
    if not argument.startswith("--"):
        return argument
    option, equals, value = argument.partition("=")
    return option.replace("_", "-") + equals + value


def _derivative(text: str) -> DerivativePath:
    name, equals, path = text.partition("=")
    if equals and "/" not in name and name and path:
        return DerivativePath(Path(path).expanduser(), name)
    return DerivativePath(Path(text).expanduser())


def _start_logging(verbose: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    LOG.handlers = [handler]
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)


def _tell(message: str, *, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    print(f"bids_secondlevel: {message}", file=sys.stderr)
