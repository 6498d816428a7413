"""The command line: read the arguments, run a level, return an exit code.

Scientific libraries are imported only when they are needed, so ``--help`` answers at once.
"""

import gc
import logging
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path

from bids_secondlevel.cli.config import parse
from bids_secondlevel.cli.stopping import TERMINATED, Terminated, ended_by_signals
from bids_secondlevel.core.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    InputMissingError,
    OutputError,
    SecondLevelError,
    UsageError,
)
from bids_secondlevel.core.settings import Settings

LOG = logging.getLogger("bids_secondlevel")

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 may be written where /tmp may not

_RESUMED = " Run the same command again to go on: finished participants are kept."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the arguments after its name, by default those of the process.

    Returns
    -------
    int
        Exit code; see :mod:`bids_secondlevel.core.errors`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose, is_printing, is_resumed = False, True, False
    try:
        with ended_by_signals():
            _ensure_home()
            settings = parse(arguments)
            verbose, is_printing = settings.verbose > 0, settings.dry_run
            is_resumed = settings.analysis_level == "participant" and not is_printing
            _start_logging(settings.verbose)
            with nullcontext() if settings.dry_run else temporary_files(settings.output_dir):
                return _run(settings)
    except SystemExit as stop:  # argparse: --help and --version end with 0
        return DONE if not stop.code else UsageError.exit_code
    except SecondLevelError as error:
        _tell(str(error), verbose=verbose)
        return error.exit_code
    except KeyboardInterrupt as stop:
        is_term = isinstance(stop, Terminated)
        said = "Terminated." if is_term else "Interrupted."
        _tell(f"{said}{_RESUMED if is_resumed else ''}", verbose=False)
        return TERMINATED if is_term else 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 the last resort: one line, not a traceback
        if isinstance(error, BrokenPipeError) and is_printing:  # the reader of the output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is the rest
            return DONE
        _tell(
            f"Unexpected {type(error).__name__}: {error}. This is a defect of the program; "
            "please report it with the output of -v.",
            verbose=verbose,
        )
        return SOME_PARTICIPANT_FAILED
    finally:
        if argv is None:  # the process ends, and Python would look for garbage in everything
            gc.freeze()


def _run(settings: Settings) -> int:
    try:
        return _run_level(settings)
    except BrokenPipeError:
        raise
    except PermissionError as error:  # when reading; errors of writing are OutputError
        raise InputMissingError(
            f"{error.filename}: you have no permission to read this. Check the permissions of the "
            "file and of the folders above it."
        ) from error
    except OSError as error:
        if settings.dry_run and error.filename is None:
            raise OutputError(f"Cannot write to standard output ({error.strerror}).") from error
        raise InputMissingError(
            f"{error.filename or 'The current folder'}: cannot be read "
            f"({error.strerror or error}). Check the paths that were given."
        ) from error


def _run_level(settings: Settings) -> int:
    if settings.reports_only:
        from bids_secondlevel.cli import reports_only

        return reports_only.run(settings)
    if settings.analysis_level == "participant":
        from bids_secondlevel.cli import workers

        if workers.are_likely(settings):
            workers.prepare(pages=settings.report)  # before anything that takes long
        elif not settings.dry_run:
            import_module("bids_secondlevel.cli.libraries")
        from bids_secondlevel.cli import jobs

        return jobs.run(settings)
    from bids_secondlevel import group
    from bids_secondlevel.cli import group_jobs

    return group.run(settings, group_jobs.of_participants(settings))


def _start_logging(verbose: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    LOG.handlers = [handler]
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)


def _ensure_home() -> None:
    """Set a home folder if the user has none that can be read, as may happen in a container.

    pybids looks for its configuration there, and fails without one.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 Path raises an error
    if home == "~" or (os.path.exists(home) and not os.access(home, os.R_OK | os.X_OK)):  # noqa: PTH110
        os.environ["HOME"] = os.sep


def _tell(message: str, *, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    print(f"bids_secondlevel: {message}", file=sys.stderr)


@contextmanager
def temporary_files(output_dir: Path) -> Iterator[None]:
    """Give workers and matplotlib a folder that they can write to, and remove it afterwards.

    If all folders for temporary files are read-only, as in a container without a writable ``/tmp``,
    it is made in shared memory, or else in the output folder. matplotlib needs a configuration
    folder, too, and warns if it has to make one: if neither ``MPLCONFIGDIR`` nor the user's home
    can be written to, its list of fonts is copied here.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """
    configured = os.environ.get("MPLCONFIGDIR")
    fonts = Path(configured) if configured else Path("~").expanduser()
    try:
        parent = Path(tempfile.gettempdir())
    except FileNotFoundError:
        parent = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else output_dir
    else:
        if os.access(fonts, os.W_OK):
            yield
            return
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".bids_secondlevel-", dir=parent)
    except OSError as error:
        raise OutputError(
            f"{parent}: cannot be written ({error.strerror or error}), and no other folder for "
            "temporary files was found. Make it writable, or set TMPDIR to a folder that can be "
            "written to."
        ) from error
    with folder as name:
        for path in fonts.glob("fontlist-*.json") if configured else ():
            shutil.copyfile(path, Path(name) / path.name)
        # What multiprocessing has in TMPDIR goes when the program ends, later than this folder.
        temporary = name if parent == output_dir else str(parent)
        given = {"TMPDIR": temporary, "MPLCONFIGDIR": name}
        before = {variable: os.environ[variable] for variable in given if variable in os.environ}
        os.environ |= given
        tempfile.tempdir = None  # tempfile remembers the first folder it found
        try:
            yield
        finally:
            tempfile.tempdir = None
            for variable in given:
                del os.environ[variable]
            os.environ |= before
