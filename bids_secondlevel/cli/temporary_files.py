"""Find a place for the temporary files of libraries where a host is locked down."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bids_secondlevel.core.errors import OutputError


@contextmanager
def temporary_files(output_dir: Path) -> Iterator[None]:
    """Give joblib and matplotlib a folder that they can write to, and remove it afterwards.

    Where all folders for temporary files are read-only, as in a container without a writable
    ``/tmp``, it is made in the output folder. matplotlib also wants a folder of its own, and
    warns of another one: where ``MPLCONFIGDIR`` or the user's home cannot be written, its list of
    fonts is copied.

    Parameters
    ----------
    output_dir : Path
        Made if need be.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """
    try:
        parent = Path(tempfile.gettempdir())
    except FileNotFoundError:
        parent = output_dir
    configured = os.environ.get("MPLCONFIGDIR")
    fonts = Path(configured) if configured else Path("~").expanduser()
    if parent != output_dir and os.access(fonts, os.W_OK):
        yield
        return
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".bids_secondlevel-", dir=parent)
    except OSError as error:
        raise OutputError(
            f"{parent}: cannot be written ({error.strerror or error}), and there is no other "
            "folder for temporary files. Make it writable, or name a folder that is in TMPDIR."
        ) from error
    with folder as name, _environment(TMPDIR=name, MPLCONFIGDIR=name):
        for path in fonts.glob("fontlist-*.json") if configured else ():
            shutil.copyfile(path, Path(name) / path.name)
        yield


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables for libraries and the processes they start, for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    tempfile.tempdir = None  # found once and kept, otherwise
    try:
        yield
    finally:
        tempfile.tempdir = None
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
