"""Choose the retinotopic maps of a participant: one source, one folder, all maps from there."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bids_secondlevel.errors import AmbiguousInputError
from bids_secondlevel.model import (
    HEMISPHERES,
    Hemisphere,
    IndexedFile,
    Plan,
    RetinotopySource,
    SourceFile,
)
from bids_secondlevel.planning import labels_of, matching, tie
from bids_secondlevel.settings import Settings

# Where one retinotopic map lies in several formats, the first of these is read.
_RETINOTOPY_EXTENSIONS = (
    ".mgz",
    ".mgh",
    ".func.gii",
    ".shape.gii",
    ".label.gii",
    ".gii",
    ".nii.gz",
    "",
)


Found = dict[Hemisphere, RetinotopySource]


def choose_retinotopy(
    maps: Iterable[IndexedFile], plan: Plan, settings: Settings
) -> tuple[str | None, Found, list[str]]:
    """Choose visual-area and eccentricity maps of one source; both from the same folder.

    Returns
    -------
    tag : str or None
        Name of the source.
    retinotopy : dict of hemisphere to RetinotopySource
        Empty where there is no source.
    messages : list of str
        Choices made on the user's behalf.

    Raises
    ------
    AmbiguousInputError
        If an option is needed to decide.
    """
    usable = [
        file
        for file in maps
        if "retinotopy" in file.queries and file.entities.get("space", plan.space) == plan.space
    ]
    complete = {
        tag: found for tag in labels_of(usable, "desc") if (found := _by_folder(usable, tag))
    }
    tag, messages = _choose_tag(sorted(complete), settings)
    for other in labels_of([file for file in usable if _is_needed(file)], "desc"):
        if other not in complete:
            lone = [f.source.path for f in usable if f.entities["desc"] == other and _is_needed(f)]
            messages.append(
                f"Retinotopy {other} is incomplete and not used: visual area and eccentricity are "
                f"needed, found only {', '.join(map(str, lone))}."
            )
    if tag is None:
        return None, {}, messages
    folder = _one_folder(tag, complete[tag], settings)
    return tag, complete[tag][folder], messages


def _by_folder(maps: Iterable[IndexedFile], tag: str) -> dict[Path, Found]:
    """Find the folders in which a source is complete for at least one hemisphere."""
    of_tag = [file for file in maps if file.entities["desc"] == tag]
    folders = dict.fromkeys(file.source.path.parent for file in of_tag)
    found = {
        folder: _retinotopy_in([f for f in of_tag if f.source.path.parent == folder])
        for folder in folders
    }
    return {folder: there for folder, there in found.items() if there}


def _one_folder(tag: str, folders: Mapping[Path, Found], settings: Settings) -> Path:
    distinct: list[Path] = []
    for folder, found in folders.items():
        if not any(_same_files(found, folders[kept]) for kept in distinct):
            distinct.append(folder)
    of_session = [folder for folder in distinct if _in_session(folder, settings.session_label)]
    if len(distinct) == 1:
        return distinct[0]
    if len(of_session) == 1:
        return of_session[0]
    shown = "".join(f"\n  {folder}" for folder in distinct)
    raise AmbiguousInputError(
        f"Retinotopy {tag} of the same participant lies in several folders:{shown}\n"
        "Choose with --derivatives, or with --session-label if it is one per session."
    )


def _choose_tag(found: Sequence[str], settings: Settings) -> tuple[str | None, list[str]]:
    shown = ", ".join(found) or "none"
    if settings.retinotopy_source is not None:
        tag = matching(settings.retinotopy_source, found)
        if tag is None:
            return None, [
                f"--retinotopy-source {settings.retinotopy_source}: no such maps; found: {shown}."
            ]
        return tag, []
    if len(found) < 2:
        return (found[0] if found else None), []
    if "inferred" in found:
        return "inferred", [f"Retinotopy from several sources ({shown}); using inferred."]
    raise AmbiguousInputError(
        f"Retinotopy from several sources ({shown}): choose one with --retinotopy-source."
    )


def _retinotopy_in(maps: Sequence[IndexedFile]) -> dict[Hemisphere, RetinotopySource]:
    found: dict[Hemisphere, RetinotopySource] = {}
    for hemi in HEMISPHERES:
        kinds = {
            kind: _preferred([f for f in maps if _is(f, hemi, kind)])
            for kind in ("varea", "eccen", "angle", "vexpl")
        }
        area, eccentricity = kinds["varea"], kinds["eccen"]
        if area is not None and eccentricity is not None:
            found[hemi] = RetinotopySource(area, eccentricity, kinds["angle"], kinds["vexpl"])
    return found


def _preferred(maps: Sequence[IndexedFile]) -> SourceFile | None:
    """Of one map in several formats take the first format whose content is there."""
    if not maps:
        return None

    def rank(file: IndexedFile) -> tuple[bool, int]:
        extension = file.entities["extension"]
        return not file.source.path.is_file(), _RETINOTOPY_EXTENSIONS.index(extension)

    ranked = sorted(maps, key=rank)
    if len(ranked) > 1 and rank(ranked[0]) == rank(ranked[1]):
        raise AmbiguousInputError(tie(ranked))
    return ranked[0].source


def _same_files(
    these: Mapping[Hemisphere, RetinotopySource], those: Mapping[Hemisphere, RetinotopySource]
) -> bool:
    """Tell whether two folders lead to the same files by different paths (links)."""
    return these.keys() == those.keys() and all(
        [file.path.resolve() for file in these[hemi].files]
        == [file.path.resolve() for file in those[hemi].files]
        for hemi in these
    )


def _in_session(folder: Path, sessions: Sequence[str]) -> bool:
    """Tell whether a folder is that of a session asked for: ``ses-01`` or ``sub-01_ses-01``."""
    return any(part.endswith(f"ses-{session}") for part in folder.parts for session in sessions)


def _is_needed(file: IndexedFile) -> bool:
    return file.entities["suffix"] in ("varea", "eccen")


def _is(file: IndexedFile, hemi: str, suffix: str) -> bool:
    return file.entities["hemi"] == hemi and file.entities["suffix"] == suffix
