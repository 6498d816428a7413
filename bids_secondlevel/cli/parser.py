"""The command line, made from the options that the settings declare."""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bids_secondlevel import __version__
from bids_secondlevel.cli.descriptor import describe
from bids_secondlevel.core.errors import UnknownLevelError
from bids_secondlevel.core.options import GROUPS, RUNNING, Option, options_of
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.words import did_you_mean

_UNKNOWN_LEVEL = re.compile("argument analysis_level: invalid choice: ('.*?')")


class _Parser(argparse.ArgumentParser):
    """A parser with "did you mean" in its messages."""

    def error(self, message: str) -> NoReturn:
        """End the program with a message, and suggest the option that was probably meant.

        Raises
        ------
        UnknownLevelError
            If the analysis level is wrong, which has an exit code of its own.
        """
        level = _UNKNOWN_LEVEL.match(message)
        if level:
            raise UnknownLevelError(
                f"{level[1]} is not an analysis level. Expected participant or group, after "
                "BIDS_DIR and OUTPUT_DIR."
            )
        _, is_unknown, unknown = message.partition("unrecognized arguments: ")
        options = [name.partition("=")[0] for name in unknown.split() if name.startswith("--")]
        meant = [did_you_mean(name, self._option_string_actions) for name in options]
        advice = "".join(f"; {text}" for text in meant if text) if is_unknown else ""
        super().error(f"{message.replace('analysis_level', 'participant or group')}{advice}")


def build_parser() -> argparse.ArgumentParser:
    """Make the parser. Its result holds only the options that were given."""
    parser = _Parser(
        prog="bids_secondlevel",
        usage="%(prog)s BIDS_DIR OUTPUT_DIR {participant,group} [options]",
        description="Individual regions of interest from retinotopy and a functional localizer, "
        "and group statistics on first-level estimates inside them. Run the participant level "
        "first, then the group level. Options act at participant level, except for those under "
        "'group level' and those marked [both levels].",
        epilog="Exit codes: 0 done; 1 some participants failed (the others were processed); 16 "
        "invalid dataset; 17 unknown analysis level; 18 the filters selected nothing; 64 wrong "
        "usage; 65 unreadable or inconsistent data; 66 input missing; 73 output cannot be written.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    groups[RUNNING].add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file with any of these options under their long names; options of the command "
        "line override it",
    )
    for option in options_of(Settings):
        if option.group is None:
            parser.add_argument(option.name, **_taken_by(option))
        else:
            names = [name for name in (option.short, f"--{option.key}") if name]
            groups[option.group].add_argument(*names, dest=option.name, **_taken_by(option))
    groups[RUNNING].add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    groups[RUNNING].add_argument(
        "--bids-exec-spec",
        action=_PrintDescriptor,
        nargs=0,
        help="print the Boutiques descriptor of the program, for platforms, and exit",
    )
    return parser


def _taken_by(option: Option) -> dict[str, Any]:
    """Return what argparse needs to know about the values of an option."""
    if option.kind is bool:
        action = "store_false" if option.says_no else "store_true"
        return {"action": action, "help": option.help}
    if option.metavar is None and not option.choices:
        return {"action": "count", "help": option.help}
    taken: dict[str, Any] = {"metavar": option.metavar, "help": option.help}
    if option.choices:
        taken["choices"] = option.choices
    elif option.kind is not str:
        taken["type"] = option.parse or option.kind
    if option.is_list:
        taken["nargs"] = option.length or "+"
    elif option.if_alone is not None:
        taken |= {"nargs": "?", "const": option.if_alone}
    return taken


class _PrintDescriptor(argparse.Action):
    """Print the descriptor of the parser, and end the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002
        values: str | Sequence[Any] | None,  # noqa: ARG002
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        print(json.dumps(describe(parser), indent=2))
        parser.exit()
