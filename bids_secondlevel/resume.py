"""Tell whether a participant's results are those that a run would give again.

The record of a run is written last of all, and only where everything went well. It says what the
results were made from, and what the files of the results hold, so that results which another
run has replaced, or only begun to replace, never pass for its own.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_secondlevel import __version__
from bids_secondlevel.derivatives import results_of
from bids_secondlevel.masks import ParticipantFolder
from bids_secondlevel.settings import Settings
from bids_secondlevel.settings_file import settings_text
from bids_secondlevel.sources import ParticipantFiles, ParticipantIndex, Plan, SourceFile
from bids_secondlevel.writing import remove_files, write_json

Origin = Mapping[str, Any]
"""What the results of a participant are made from."""


def origin_of(
    index: ParticipantIndex, plan: Plan, files: ParticipantFiles, settings: Settings
) -> Origin:
    """Say what the results of a participant are made from.

    Returns
    -------
    mapping
        The version of the program; the settings that decide the results, but not who is
        processed; which files are used for what, and what is asked for; and size and time of
        modification of every file that is used, also for a picture.
    """
    chosen = (files, plan, index.foreign, index.misnamed)
    return {
        "SoftwareVersion": __version__,
        "Settings": settings_text(replace(settings, participant_label=())).splitlines(),
        "Report": settings.report,
        "Choices": hashlib.sha256(repr(chosen).encode(errors="backslashreplace")).hexdigest(),
        "Inputs": {_text(file.uri): _stamp(file.path) for file in sorted(set(_used(files)))},
    }


def is_up_to_date(origin: Origin, folder: ParticipantFolder) -> bool:
    """Tell whether the results that are there were made from the same, and are whole."""
    try:
        record = json.loads(_record(folder).read_text(encoding="utf-8"))
        results = record.pop("Results")
        return bool(
            record == origin
            and results
            and all(_digest(folder.output_dir / name) == was for name, was in results.items())
        )
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return False  # there is no record, it is damaged, or a result is lost


def remember(origin: Origin, folder: ParticipantFolder) -> None:
    """Record that the results which are there were made from this.

    Raises
    ------
    OutputError
        If the record cannot be written.
    """
    root = folder.output_dir
    results = {path.relative_to(root).as_posix(): _digest(path) for path in results_of(folder)}
    write_json(_record(folder), {**origin, "Results": results})


def forget(folder: ParticipantFolder) -> None:
    """Remove the record, before the first of the results is replaced.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    remove_files((_record(folder),))


def _record(folder: ParticipantFolder) -> Path:
    return folder.output_dir / "logs" / f"{folder.prefix}_run.json"


def _used(files: ParticipantFiles) -> Iterator[SourceFile]:
    yield from (file for file, _ in files.maps)
    yield from files.surfaces.values()
    for surfaces in (*files.views.values(), *files.spheres.values()):
        yield from (surface.source for surface in surfaces)


def _text(uri: str) -> str:
    """Write a name in Unicode, whatever the bytes of the file's name are."""
    return uri.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _stamp(path: Path) -> list[int] | None:
    """Give size and time of modification; ``None`` for a file that is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
