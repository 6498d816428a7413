"""The command line: arguments become settings, a level is run, the exit code says how it went.

Nothing scientific is imported until it is needed, so that ``--help`` answers at once.
"""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from bids_secondlevel.cli.config import (
    RULE_OPTIONS,
    check_threshold_kind,
    config_arguments,
    define_rois,
    frozen,
    read_config,
    read_filters,
)
from bids_secondlevel.cli.options import build_parser
from bids_secondlevel.cli.temporary_files import temporary_files
from bids_secondlevel.core.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    InputMissingError,
    OutputError,
    SecondLevelError,
    UsageError,
)
from bids_secondlevel.core.roi_rule import RoiRule
from bids_secondlevel.core.settings import Settings

LOG = logging.getLogger("bids_secondlevel")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        Exit code; see :mod:`bids_secondlevel.core.errors`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose, is_printing = False, True
    try:
        with _ended_by_sigterm():
            _ensure_home()
            settings = parse(arguments)
            verbose, is_printing = settings.verbose > 0, settings.dry_run
            _start_logging(settings.verbose)
            with nullcontext() if settings.dry_run else temporary_files(settings.output_dir):
                return _run(settings)
    except SystemExit as stop:  # argparse: --help and --version end with 0
        return DONE if not stop.code else UsageError.exit_code
    except SecondLevelError as error:
        _tell(str(error), verbose=verbose)
        return error.exit_code
    except KeyboardInterrupt as stop:
        is_term = isinstance(stop, _Terminated)
        _tell("Terminated." if is_term else "Interrupted.", verbose=False)
        return 128 + (signal.SIGTERM if is_term else signal.SIGINT)
    except Exception as error:  # noqa: BLE001 the last resort: one line, not a traceback
        if isinstance(error, BrokenPipeError) and is_printing:  # nobody reads what is printed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor what is left
            return DONE
        _tell(
            f"Unexpected {type(error).__name__}: {error}. This is a defect of the program; "
            "please report it with the output of -v.",
            verbose=verbose,
        )
        return SOME_PARTICIPANT_FAILED


class _Terminated(KeyboardInterrupt):
    """SIGTERM has come, as a scheduler sends it: everything that Ctrl-C ends is to end."""


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, and not at once with half a file on the disk."""

    def end(_signal: int, _frame: object) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():  # where Python takes no signal
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(settings: Settings) -> int:
    try:
        return _run_level(settings)
    except BrokenPipeError:
        raise
    except PermissionError as error:  # of what is read; what is written has errors of its own
        raise InputMissingError(
            f"{error.filename}: may not be read by this user. Check the rights of the file and of "
            "the folders that it is in."
        ) from error
    except OSError as error:
        if settings.dry_run and error.filename is None:
            raise OutputError(f"Standard output: cannot be written ({error.strerror}).") from error
        raise InputMissingError(
            f"{error.filename or 'The current folder'}: cannot be read "
            f"({error.strerror or error}). Check the paths that were given."
        ) from error


def _run_level(settings: Settings) -> int:
    if settings.reports_only:
        from bids_secondlevel.reports import pages_again

        return pages_again.run(settings)
    if settings.analysis_level == "participant":
        from bids_secondlevel.cli import jobs

        return jobs.run(settings)
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
    rule = {name: given.pop(name) for name in RULE_OPTIONS if name in given}
    filter_file = given.get("bids_filter_file")
    if filter_file is not None:
        given["bids_filters"] = read_filters(filter_file)
    if given.get("exclude") is not None:
        from bids_secondlevel.inputs.participants import read_exclusions

        given["exclusions"] = read_exclusions(given["exclude"])
    check_threshold_kind(rule, RoiRule(), "options")
    default = RoiRule(**frozen(rule))
    rois = define_rois(parser, roi_tables, default, f"--config {config}")
    return Settings(**frozen(given), rule=default, rois=rois)


def _hyphenated(argument: str) -> str:
    """Accept options spelled with underscores, as other BIDS Apps have them."""
    if not argument.startswith("--"):
        return argument
    option, equals, value = argument.partition("=")
    return option.replace("_", "-") + equals + value


def _start_logging(verbose: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    LOG.handlers = [handler]
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)


def _ensure_home() -> None:
    """Name a home where there is none that may be read, as for a user the system does not know.

    pybids looks for its configuration there, and ends otherwise.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 Path raises an error
    if home == "~" or (os.path.exists(home) and not os.access(home, os.R_OK | os.X_OK)):  # noqa: PTH110
        os.environ["HOME"] = os.sep


def _tell(message: str, *, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    print(f"bids_secondlevel: {message}", file=sys.stderr)
