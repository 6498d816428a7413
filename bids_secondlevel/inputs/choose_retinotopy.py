"""Choose the retinotopic maps of a participant: one source, one folder, all maps from there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bids_secondlevel.core.errors import AmbiguousInputError
from bids_secondlevel.core.files import (
    AreaFile,
    IndexedFile,
    ParticipantIndex,
    Plan,
    RetinotopySource,
    SourceFile,
)
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.spaces import OWN, family, is_head
from bids_secondlevel.inputs.datasets import real_path
from bids_secondlevel.inputs.plan import labels_of, matching, same, tie

# Where one retinotopic map lies in several formats, the first of these is read.
_RETINOTOPY_EXTENSIONS = (
    ".mgz",
    ".mgh",
    ".func.gii",
    ".shape.gii",
    ".label.gii",
    ".gii",
    ".nii.gz",
    ".nii",
    ".dscalar.nii",
    ".dlabel.nii",
    "",
)


Found = dict[Hemisphere, RetinotopySource]


def choose_retinotopy(index: ParticipantIndex, plan: Plan) -> tuple[str | None, Found, list[str]]:
    """Choose visual-area and eccentricity maps of one source; both from the same folder.

    Maps in the space of the ROIs are preferred, then those whose names have no space, the
    participant's own surface, and other spaces from which they can be carried.

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
        for file in index.retinotopic_maps
        if "retinotopy" in file.queries and file.is_volume == plan.is_volume
    ]
    needs_areas = any(roi.rule.area_labels for roi in plan.rois)
    messages: list[str] = []
    if plan.is_volume:
        usable, messages = _in_volume(usable, plan.space)
    asked = plan.retinotopy_source
    complete: dict[str, dict[Path, Found]] = {}
    for in_space in _by_space(usable, plan):
        complete = {
            tag: found
            for tag in labels_of(in_space, "desc")
            if (found := _by_folder(in_space, tag, needs_areas=needs_areas))
        }
        if any(asked is None or same(asked, tag) for tag in complete):
            break
    tag, more = _choose_tag(sorted(complete), asked)
    messages += more
    for other in labels_of([file for file in usable if _is_needed(file)], "desc"):
        if other not in complete and needs_areas:
            lone = [f.source.path for f in usable if f.entities["desc"] == other and _is_needed(f)]
            messages.append(
                f"Retinotopy {other} is incomplete and not used: visual area and eccentricity are "
                f"needed, found only {', '.join(map(str, dict.fromkeys(lone)))}."
            )
    if tag is None:
        return None, {}, messages
    chosen = complete[tag][_one_folder(tag, complete[tag], plan)]
    names = dict.fromkeys(name for roi in plan.rois for name in roi.rule.other_areas)
    with_areas = {
        hemi: replace(source, areas=_find_areas(index.area_files, names, hemi, source))
        for hemi, source in chosen.items()
    }
    return tag, with_areas, messages


def _in_volume(
    maps: Sequence[IndexedFile], space: str | None
) -> tuple[list[IndexedFile], list[str]]:
    """Keep the volumes that lie in the same world as the maps, and say which do not."""
    usable = [
        file
        for file in maps
        if file.entities.get("space") == space
        or (is_head(space) and is_head(file.entities.get("space")))
    ]
    if usable and space is None:
        return usable, [
            "The names of the maps say no space: they are taken to be in that of the participant's "
            "anatomical image, as the retinotopy is. Maps in the space of functional images do "
            "not fit it."
        ]
    if usable or not maps:
        return usable, []
    own = maps[0].entities.get("space") or "of the participant's head"
    return [], [
        f"{maps[0].source.path}: retinotopy in space {own}, and the maps are in {space}; volumes "
        f"are not warped from one to the other. Give retinotopy in {space} "
        f"(sub-..._space-{space}_desc-..._varea.nii.gz), or maps in the participant's own space "
        "(--space)."
    ]


def _by_space(maps: Sequence[IndexedFile], plan: Plan) -> Iterator[list[IndexedFile]]:
    """Group maps by space, the best to use first."""

    def rank(space: str | None) -> tuple[bool, bool, bool, str]:
        same_family = family(space) == family(plan.space)
        return space not in (plan.space, None), not same_family, space != OWN, space or ""

    spaces = sorted({file.entities.get("space") for file in maps}, key=rank)
    ahead = [space for space in spaces if space in (plan.space, None)]
    for group in (ahead, *([space] for space in spaces if space not in ahead)):
        yield [file for file in maps if file.entities.get("space") in group]


def _find_areas(
    files: Iterable[AreaFile],
    names: Iterable[str],
    hemi: Hemisphere,
    retinotopy: RetinotopySource,
) -> dict[str, SourceFile]:
    """Find the files of visual areas of their own; of several, those beside the eccentricity.

    Raises
    ------
    AmbiguousInputError
        If there are several of one name.
    """
    of_hemisphere = [file for file in files if file.hemisphere == hemi]
    areas: dict[str, SourceFile] = {}
    for name in names:
        wanted = name.partition(":")[0]
        found = [file.source for file in of_hemisphere if file.name == wanted] or [
            file.source for file in of_hemisphere if file.name.endswith(f"_{wanted}")
        ]
        beside = retinotopy.eccentricity.path.parent.parent
        found = [source for source in found if source.path.is_relative_to(beside)] or found
        if len({real_path(source.path) for source in found}) > 1:
            shown = "".join(f"\n  {source.path}" for source in found)
            raise AmbiguousInputError(
                f"--visual-areas {name}: several files could be meant:{shown}\n"
                "Choose with --derivatives, or with more of the file's name."
            )
        if found:
            areas[name] = found[0]
    return areas


def _by_folder(maps: Iterable[IndexedFile], tag: str, *, needs_areas: bool) -> dict[Path, Found]:
    """Find the folders in which a source is complete for at least one hemisphere."""
    of_tag = [file for file in maps if file.entities["desc"] == tag]
    folders = dict.fromkeys(file.source.path.parent for file in of_tag)
    found = {
        folder: _retinotopy_in(
            [f for f in of_tag if f.source.path.parent == folder], needs_areas=needs_areas
        )
        for folder in folders
    }
    return {folder: there for folder, there in found.items() if there}


def _one_folder(tag: str, folders: Mapping[Path, Found], plan: Plan) -> Path:
    distinct: list[Path] = []
    for folder, found in folders.items():
        if not any(_same_files(found, folders[kept]) for kept in distinct):
            distinct.append(folder)
    in_space = [
        folder
        for folder in distinct
        if plan.space and any(source.space == plan.space for source in folders[folder].values())
    ]
    distinct = in_space or distinct
    of_session = [folder for folder in distinct if _in_session(folder, plan.session_labels)]
    if len(distinct) == 1:
        return distinct[0]
    if len(of_session) == 1:
        return of_session[0]
    shown = "".join(f"\n  {folder}" for folder in distinct)
    raise AmbiguousInputError(
        f"Retinotopy {tag} of the same participant lies in several folders:{shown}\n"
        "Choose with --derivatives, or with --session-label if it is one per session."
    )


def _choose_tag(found: Sequence[str], asked: str | None) -> tuple[str | None, list[str]]:
    shown = ", ".join(found) or "none"
    if asked is not None:
        tag = matching(asked, found)
        if tag is None:
            return None, [f"--retinotopy-source {asked}: no such maps; found: {shown}."]
        return tag, []
    if len(found) < 2:
        return (found[0] if found else None), []
    if "inferred" in found:
        return "inferred", [f"Retinotopy from several sources ({shown}); using inferred."]
    raise AmbiguousInputError(
        f"Retinotopy from several sources ({shown}): choose one with --retinotopy-source."
    )


def _retinotopy_in(
    maps: Sequence[IndexedFile], *, needs_areas: bool
) -> dict[Hemisphere, RetinotopySource]:
    found: dict[Hemisphere, RetinotopySource] = {}
    for hemi in HEMISPHERES:
        kinds = {
            kind: _preferred([f for f in maps if _is(f, hemi, kind)])
            for kind in ("varea", "eccen", "angle", "vexpl")
        }
        area, eccentricity = kinds["varea"], kinds["eccen"]
        if eccentricity is not None and (area is not None or not needs_areas):
            space = next(f.entities.get("space") for f in maps if f.source == eccentricity)
            found[hemi] = RetinotopySource(
                area, eccentricity, kinds["angle"], kinds["vexpl"], space=space
            )
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
        [real_path(file.path) for file in these[hemi].files]
        == [real_path(file.path) for file in those[hemi].files]
        for hemi in these
    )


def _in_session(folder: Path, sessions: Sequence[str]) -> bool:
    """Tell whether a folder is that of a session asked for: ``ses-01`` or ``sub-01_ses-01``."""
    return any(part.endswith(f"ses-{session}") for part in folder.parts for session in sessions)


def _is_needed(file: IndexedFile) -> bool:
    return file.entities["suffix"] in ("varea", "eccen")


def _is(file: IndexedFile, hemi: str, suffix: str) -> bool:
    return file.entities["hemi"] == hemi and file.entities["suffix"] == suffix
