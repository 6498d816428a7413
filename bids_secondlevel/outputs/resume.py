"""Tell whether a participant's results are those that a run would give again.

The record of a run is written last of all, and only where everything went well. It says what the
results were made from, and what the files of the results hold, so that results which another
run has replaced, or only begun to replace, never pass for its own.
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
"""What the results of a participant are made from."""


def origin_of(chosen: Chosen, settings: Settings) -> Origin:
    """Say what the results of a participant are made from.

    That is the version of the program; the settings that decide the results, but not who is
    processed; which files are used for what, and what is asked for; and size and time of
    modification of every file that is used, also for a picture.
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
    """Tell whether the results that are there were made from the same, and are whole."""
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
        return False  # there is no record, it is damaged, or a result is lost


def remember(origin: Origin, written: Written, folder: ParticipantFolder, chosen: Chosen) -> None:
    """Record that the results were made from this.

    Parameters
    ----------
    origin
        Surfaces of templates may have been fetched since it was made.
    written
        Of this run, whatever lies there now: another run of the same participant may have
        written since.

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
    """Write a name in Unicode, whatever the bytes of the file's name are."""
    return uri.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _templates(files: ParticipantFiles, plan: Plan) -> Mapping[str, Any]:
    """Say which surfaces of templates there are that maps may be carried to or drawn on."""
    retinotopy = (source.space for source in files.retinotopy.values())
    spaces = {plan.space, plan.maps_space, *retinotopy}
    return {name: _stamp(path) for name, path in surfaces_there(spaces).items()}


def _stamp(path: Path) -> list[Any] | None:
    """Give size and time of modification; ``None`` for a file that is not there.

    Of links, also what they point to, as another file may be of the same size and time; of GIFTI
    files, those of the file beside it that may have the values; of others, those of a table
    beside it that names their numbers.
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
