"""Check whether a participant's results are up to date.

The record of a run is written last, and only after success. It contains the origin of the results
and the content of their files. Results that another run has replaced or begun to replace are
therefore never mistaken for its own.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bids_secondlevel import __version__
from bids_secondlevel.core.files import ParticipantFiles, Plan, SourceFile
from bids_secondlevel.core.settings import Settings, participant_settings
from bids_secondlevel.inputs.study import Chosen
from bids_secondlevel.maps.files import read_json
from bids_secondlevel.maps.surfaces import label_table_beside, values_beside
from bids_secondlevel.maps.templates import surfaces_there
from bids_secondlevel.outputs.files import Written, remove_files, write_json
from bids_secondlevel.outputs.names import ESTIMATES, ParticipantFolder

Origin = Mapping[str, Any]
"""The origin of a participant's results."""


def origin_of(chosen: Chosen, settings: Settings) -> Origin:
    """Return the origin of a participant's results.

    The origin consists of the version of the program; the settings that affect the results, without
    the choice of participants; the plan and the use of files; and size and time of modification of
    every file that is used, also for pictures.
    """
    files, plan, index = chosen.files, chosen.plan, chosen.index
    unused = [miss for miss in index.near_misses if miss.is_certain]
    choices = (files, plan, index.foreign, unused)
    return {
        "SoftwareVersion": __version__,
        "Settings": participant_settings(settings),
        "Report": settings.report,
        "Choices": _hashed(repr(choices)),
        "Templates": _templates(files, plan),
        "Inputs": {_text(file.uri): _stamp(file.path) for file in sorted(_used(files), key=_uri)},
    }


def is_up_to_date(origin: Origin, folder: ParticipantFolder) -> bool:
    """Return whether the results that are there were made from the same, and are whole."""
    try:
        record = read_json(folder.run)
        results = record.pop("Results")
        root = folder.output_dir
        there = {path.relative_to(root).as_posix(): path for path in folder.results()}
        return bool(
            record == origin
            and any(name.endswith(f"_{ESTIMATES}.tsv") for name in results)
            and results.keys() == there.keys()
            and all(_digest(path) == results[name] for name, path in there.items())
        )
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return False  # there is no record, it is damaged, or a result is missing


def remember(origin: Origin, written: Written, folder: ParticipantFolder, chosen: Chosen) -> None:
    """Record the origin of the results.

    Parameters
    ----------
    origin
        Surfaces of templates may have been downloaded since it was made.
    written
        Files of this run; another run of the same participant may have replaced them since.

    Raises
    ------
    OutputError
        If the record cannot be written.
    """
    results = {
        path.relative_to(folder.output_dir).as_posix(): written.get(path) or _digest(path)
        for path in folder.results()
    }
    fetched = {"Templates": _templates(chosen.files, chosen.plan)}
    write_json(folder.run, {**origin, **fetched, "Results": results})


def forget(folder: ParticipantFolder) -> None:
    """Remove the record, before the first of the results is replaced.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    remove_files((folder.run,))


def _used(files: ParticipantFiles) -> Iterator[SourceFile]:
    for file, _ in files.maps:
        yield file
        if isinstance(file.reading.df, SourceFile):
            yield file.reading.df
        elif file.reading.made_z_from == "t" and file.reading.df is None:
            yield SourceFile(file.sidecar, f"{file.uri}, degrees of freedom")
    yield from files.surfaces.values()
    for surfaces in (*files.views.values(), *files.spheres.values()):
        yield from (surface.source for surface in surfaces)


def _uri(file: SourceFile) -> str:
    return file.uri


def _text(uri: str) -> str:
    """Write the name of a file in Unicode, for any bytes."""
    return uri.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _templates(files: ParticipantFiles, plan: Plan) -> Mapping[str, Any]:
    """List available surfaces of templates for resampling and drawing."""
    retinotopy = (source.space for source in files.retinotopy.values())
    spaces = {plan.space, plan.maps_space, *retinotopy}
    return {name: _stamp(path) for name, path in surfaces_there(spaces).items()}


def _stamp(path: Path) -> list[Any] | None:
    """Return size and time of modification; ``None`` for a file that is not there.

    For links, this includes their target, because another file may have the same size and time. It
    also includes files beside it: the file of values of a GIFTI file, or the table with names of
    labels.
    """
    try:
        status = path.stat()
        target = [_hashed(str(path.readlink()))] if path.is_symlink() else []
    except OSError:
        return None
    other = values_beside(path) if path.suffix == ".gii" else label_table_beside(path)
    beside = None if other is None else _stamp(other)
    return [status.st_size, status.st_mtime_ns, *target, *(beside or ())]


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
