"""Choose the retinotopic maps of a participant: all from one source and one folder."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from bids_secondlevel.core.errors import AmbiguousInputError, SecondLevelError
from bids_secondlevel.core.files import (
    AreaFile,
    IndexedFile,
    ParticipantIndex,
    Plan,
    RetinotopySource,
    SourceFile,
)
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.spaces import OWN, family, in_one_world, is_template
from bids_secondlevel.inputs.choice.copies import Relation, relation
from bids_secondlevel.inputs.choice.space import is_in
from bids_secondlevel.inputs.choice.unstated_space import template_said
from bids_secondlevel.inputs.datasets import real_path
from bids_secondlevel.inputs.plan import (
    filtered_out,
    how_to_choose,
    labels_of,
    matching,
    same,
    tie,
)

# If a folder has one map in several formats, the first of these is read.
_EXTENSIONS = (
    ".mgz",
    ".mgh",
    ".func.gii",
    ".shape.gii",
    ".label.gii",
    ".gii",
    ".func.gii.gz",
    ".shape.gii.gz",
    ".label.gii.gz",
    ".gii.gz",
    ".nii.gz",
    ".nii",
    ".dscalar.nii",
    ".dlabel.nii",
    ".curv",
    ".dtseries.nii",
    "",
)

Found = Mapping[Hemisphere, RetinotopySource]


def choose_retinotopy(index: ParticipantIndex, plan: Plan) -> tuple[str | None, Found, list[str]]:
    """Choose maps of visual areas and eccentricity, of one source and from one folder.

    Maps in the space of the ROIs are preferred. Next come maps without a space in their names, then
    the participant's own surface, then other spaces from which maps can be resampled.

    Returns
    -------
    tag
        Name of the source, or ``None``.
    messages
        Choices of the program.

    Raises
    ------
    AmbiguousInputError
        If an option is needed to decide.
    """
    names = list(dict.fromkeys(name for roi in plan.rois for name in roi.rule.other_areas))
    if plan.rule.is_unlimited:
        return _only_areas(index, names, plan)
    found = [file for file in index.retinotopic_maps if file.is_volume == plan.is_volume]
    usable = _of_sessions([file for file in found if "retinotopy" in file.queries], plan)
    needs_areas = any(roi.rule.area_labels for roi in plan.rois)
    messages: list[str] = []
    if found and not usable:
        messages.append(filtered_out("retinotopy", found, "maps of retinotopy"))
    if plan.is_volume:
        maps = [file.source for file in index.statistical_maps if is_in(file, plan)]
        usable, more = _in_volume(usable, plan.space, maps)
        messages += more
    asked = plan.retinotopy_source
    described = {file.entities["desc"] for file in usable if file.is_described}
    own = [file for file in usable if not file.is_of_template]
    atlases = [file for file in usable if file.is_of_template and _is_on_template(file, plan)]
    usable = [*own, *atlases]
    grouped = chain(_by_space(own, plan), _by_space(atlases, plan))
    there = [_complete(maps, needs_areas=needs_areas) for maps in grouped]
    fitting = [c for c in there if any(asked is None or same(asked, tag) for tag in c)]
    of_tables = [c for c in fitting if asked is None and described & set(c)]
    complete = next(iter((*of_tables, *fitting, *reversed(there))), {})
    tag, more = _choose_tag(sorted(complete), asked, described)
    messages += more
    needed = [file for file in usable if file.entities["suffix"] in ("varea", "eccen")]
    for other in labels_of(needed, "desc"):
        if other not in complete and needs_areas:
            lone = [file.source.path for file in needed if file.entities["desc"] == other]
            messages.append(
                f"Retinotopy {other} is incomplete and not used. Maps of visual area and "
                f"eccentricity are needed; found only {', '.join(map(str, dict.fromkeys(lone)))}."
            )
    if tag is None:
        return None, {}, messages
    chosen = complete[tag][_one_folder(tag, complete[tag], usable, plan)]
    used = {source.eccentricity for source in chosen.values()}
    of_template = [file for file in atlases if file.source in used]
    if of_template:
        messages.append(
            f"The participant has no retinotopy: {of_template[0].source.path} is used instead, "
            f"which is the same for all participants in {of_template[0].entities['space']}."
        )
    retinotopy = {
        hemi: replace(
            source, areas=_areas(index, hemi, names, plan, source, of_template=bool(of_template))
        )
        for hemi, source in chosen.items()
    }
    return tag, retinotopy, messages


def _is_of(file: AreaFile, plan: Plan, *, of_template: bool) -> bool:
    """Return whether a file of areas belongs to the participant, or to the template."""
    if not plan.is_volume:
        return not file.is_volume and file.is_of_template == of_template
    # A volume that belongs to no participant is in a template, even if its name has no space.
    unsaid = file.space is None and file.is_of_template
    fits = is_template(plan.space) if unsaid else in_one_world(file.space, plan.space)
    return file.is_volume and fits


def _only_areas(
    index: ParticipantIndex, names: Sequence[str], plan: Plan
) -> tuple[str | None, Found, list[str]]:
    """Choose volumes of visual areas that have no map of eccentricity."""
    found: dict[Hemisphere, RetinotopySource] = {}
    for hemi in HEMISPHERES:
        areas = _areas(index, hemi, names, plan)
        if areas:
            found[hemi] = RetinotopySource(
                visual_area=None, eccentricity=None, areas=areas, space=plan.space
            )
    if not found:
        return None, {}, []
    used = {source.path for of in found.values() for source in of.areas.values()}
    maps = [file.source for file in index.statistical_maps if is_in(file, plan)]
    in_template = template_said(maps) if plan.space is None else None
    if in_template is not None:
        return None, {}, [_misfit(in_template, next(iter(used)))]
    unsaid = {
        file.source.path
        for file in index.area_files
        if file.source.path in used and file.space is None and file.is_of_template
    }
    messages = [
        f"{path}: its name has no space. The program assumed {plan.space}, the space of the maps."
        for path in sorted(unsaid)
    ]
    return "+".join(dict.fromkeys(name.partition(":")[0] for name in names)), found, messages


def _areas(
    index: ParticipantIndex,
    hemisphere: Hemisphere,
    names: Sequence[str],
    plan: Plan,
    beside: RetinotopySource | None = None,
    *,
    of_template: bool = False,
) -> dict[str, SourceFile]:
    """Find files of visual areas; volumes of the participant come before those of a template."""
    files = [
        file
        for file in index.area_files
        if file.hemisphere == hemisphere and _is_of(file, plan, of_template=of_template)
    ]
    folder = None if beside is None else beside.first.path.parent.parent
    areas: dict[str, SourceFile] = {}
    for is_shared in (True, False):
        of_kind = [file for file in files if file.is_of_template == is_shared]
        areas |= _find_areas(of_kind, names, folder)
    return areas


def _is_on_template(file: IndexedFile, plan: Plan) -> bool:
    """Return whether maps or ROIs are on the same template surface as an atlas."""
    return family(file.entities["space"]) in (family(plan.space), family(plan.maps_space))


def otherwise_sourced(
    index: ParticipantIndex, source: str | None, plan: Plan, others: Iterable[ParticipantIndex]
) -> Iterator[str]:
    """Report a source of retinotopy that differs from that of most of the first participants."""
    if source is None or plan.retinotopy_source is not None:
        return
    found: Counter[str] = Counter()
    have_it = True
    for other in others:
        try:
            of_other = source if other is index else choose_retinotopy(other, plan)[0]
        except SecondLevelError:
            continue
        if of_other is not None:
            found[of_other] += 1
            have_it = have_it and source in labels_of(other.retinotopic_maps, "desc")
    usual = max(found, key=lambda tag: (found[tag], tag == "inferred"), default=source)
    if not same(source, usual):
        yield (
            f"Retinotopy {source} is used, but {usual} for the first participants. "
            + (
                f"They also have {source}: --retinotopy-source {source} makes it the same for all."
                if have_it
                else "No option makes it the same for all: some participants have only one of them."
            )
        )


def _of_sessions(maps: Sequence[IndexedFile], plan: Plan) -> list[IndexedFile]:
    """Drop described maps of sessions that are not measured.

    Raises
    ------
    AmbiguousInputError
        If maps of one session are described, and other sessions are measured too.
    """
    found = plan.session_labels or chain.from_iterable(plan.sessions.values())
    measured = {session for session in found if session is not None}

    def serves(file: IndexedFile) -> bool:
        session = file.entities.get("session") if file.is_described else None
        return not measured or session is None or session in measured

    served = [file for file in maps if serves(file)]
    of_session = [file for file in served if file.is_described and "session" in file.entities]
    if of_session and len(measured) > 1:
        raise AmbiguousInputError(
            f"{of_session[0].source.path}: {{session}} in its pattern is "
            f"{of_session[0].entities['session']}, but maps of sessions "
            f"{', '.join(sorted(measured))} are measured. Run one session at a time with "
            "--session-label; or, if the retinotopy is for all sessions, write * instead of "
            "{session}."
        )
    return served


def _in_volume(
    maps: Sequence[IndexedFile], space: str | None, measured: Sequence[SourceFile]
) -> tuple[list[IndexedFile], list[str]]:
    """Keep the volumes in the same world coordinates as the maps, and report the others."""
    usable = [file for file in maps if in_one_world(file.entities.get("space"), space)]
    in_template = template_said(measured) if usable and space is None else None
    if in_template is not None:
        return [], [_misfit(in_template, usable[0].source.path)]
    if usable or not maps:
        return usable, []
    own = maps[0].entities.get("space") or "of the participant's anatomical image"
    what = f"{maps[0].source.path}: retinotopy in space {own}, and"
    if space is None:
        return [], [
            f"{what} the names of the maps have no space. If they are in {own}, write "
            f'space = "{own}" in a [[maps]] entry of the config file. If they are in the space of '
            "the participant's anatomical image, give retinotopy in that space."
        ]
    return [], [
        f"{what} the maps are in {space}. The program does not warp volumes. Give retinotopy in "
        f"{space} (sub-..._space-{space}_desc-..._varea.nii.gz), or maps in the participant's own "
        "space (--space)."
    ]


def _misfit(in_template: str, own: Path) -> str:
    return (
        f"{in_template}: it does not fit {own}, which is in the space of the participant's "
        "anatomical image. Give the space of the maps in a [[maps]] entry of the config file "
        '(space = "MNI152NLin2009cAsym"), and retinotopy in the same space. If the maps are in '
        'the space of the anatomical image, write space = "T1w".'
    )


def _by_space(maps: Sequence[IndexedFile], plan: Plan) -> Iterator[list[IndexedFile]]:
    """Group maps by space, the preferred space first."""

    def rank(space: str | None) -> tuple[bool, bool, bool, str]:
        same_family = family(space) == family(plan.space)
        return space not in (plan.space, None), not same_family, space != OWN, space or ""

    spaces = sorted({file.entities.get("space") for file in maps}, key=rank)
    ahead = [space for space in spaces if space in (plan.space, None)]
    for group in (ahead, *([space] for space in spaces if space not in ahead)):
        yield [file for file in maps if file.entities.get("space") in group]


def _find_areas(
    files: Sequence[AreaFile], names: Iterable[str], folder: Path | None
) -> dict[str, SourceFile]:
    """Find the files that define visual areas; of several, those in one folder.

    Raises
    ------
    AmbiguousInputError
        If several files have the same name.
    """
    areas: dict[str, SourceFile] = {}
    for name in names:
        wanted = name.partition(":")[0]
        found = [file.source for file in files if file.name == wanted] or [
            file.source for file in files if file.name.endswith(f"_{wanted}")
        ]
        if folder is not None:
            found = [source for source in found if source.path.is_relative_to(folder)] or found
        if len({real_path(source.path) for source in found}) > 1:
            shown = "".join(f"\n  {source.path}" for source in found)
            raise AmbiguousInputError(
                f"--visual-areas {name}: several files could be meant:{shown}\n"
                "Choose with --derivatives, or give more of the file's name."
            )
        if found:
            areas[name] = found[0]
    return areas


def _complete(maps: Iterable[IndexedFile], *, needs_areas: bool) -> dict[str, dict[Path, Found]]:
    """Find the sources, and the folders in which each is complete for a hemisphere."""
    described: dict[tuple[str, Path], list[IndexedFile]] = {}
    named: dict[tuple[str, Path], list[IndexedFile]] = {}
    for file in maps:
        place = Path(f"ses-{file.entities.get('session', '')}")
        folder = place if file.is_described else file.source.path.parent
        places = described if file.is_described else named
        places.setdefault((file.entities["desc"], folder), []).append(file)
    complete: dict[str, dict[Path, Found]] = {}
    joined = {
        key: files + _beside(files, key[0], named, needs_areas=needs_areas)
        for key, files in described.items()
    }
    tags = [tag for tag, _ in described]
    others = {key: files for key, files in named.items() if matching(key[0], tags) is None}
    for (tag, folder), files in (joined | others).items():
        found = _retinotopy_in(files, needs_areas=needs_areas)
        if found and matching(tag, complete) in (tag, None):
            complete.setdefault(tag, {})[folder] = found
    return complete


def _beside(
    described: Sequence[IndexedFile],
    tag: str,
    named: Mapping[tuple[str, Path], list[IndexedFile]],
    *,
    needs_areas: bool,
) -> list[IndexedFile]:
    """Find the maps with the same source as those that an entry describes.

    If they are in several folders, they are used only if something is missing.
    """
    alike = [files for (of_name, _), files in named.items() if same(tag, of_name)]
    if len(alike) > 1 and _retinotopy_in(described, needs_areas=needs_areas):
        return []
    there = {(file.entities["hemi"], file.entities["suffix"]) for file in described}
    return [
        file
        for file in chain.from_iterable(alike)
        if (file.entities["hemi"], file.entities["suffix"]) not in there
    ]


def _one_folder(
    tag: str, folders: Mapping[Path, Found], maps: Iterable[IndexedFile], plan: Plan
) -> Path:
    """Choose one of the folders that have a source. Copies of the same values count as one.

    Raises
    ------
    AmbiguousInputError
        If several could be meant.
    """
    distinct: list[Path] = []

    def is_preferred(folder: Path) -> bool:
        return any(of.space == plan.space for of in folders[folder].values())

    def wealth(folder: Path) -> tuple[bool, int]:
        return is_preferred(folder), sum(len(of.files) for of in folders[folder].values())

    for folder in sorted(folders, key=wealth, reverse=True):
        relations = {_relation(folders[folder], folders[kept]) for kept in distinct}
        is_less = is_preferred(distinct[0]) and not is_preferred(folder) if distinct else False
        if "copies" not in relations and not (is_less and relations == {"elsewhere"}):
            distinct.append(folder)
    of_session = [folder for folder in distinct if _in_session(folder, plan.session_labels)]
    if len(distinct) == 1:
        return distinct[0]
    if len(of_session) == 1:
        return of_session[0]
    shown = "".join(f"\n  {folder}" for folder in distinct)
    rivals = {next(iter(folders[folder].values())).first for folder in distinct}
    files = {file.source: file for file in maps if file.source in rivals}
    sessions = {file.entities.get("session") for file in files.values()}
    is_asked = sessions & set(chain.from_iterable(plan.sessions.values())) - {None}
    further = " --session-label chooses the session of maps and retinotopy." if is_asked else ""
    raise AmbiguousInputError(
        f"Several folders have retinotopy {tag} of this participant, with different "
        f"values:{shown}\n{how_to_choose(tuple(files.values()), 'retinotopy')}{further}"
    )


def _relation(these: Found, those: Found) -> Relation:
    """Compare the maps of a source in two folders."""
    pairs = [
        (one, other, hemi)
        for hemi in HEMISPHERES
        if hemi in these and hemi in those
        for one, other in zip(these[hemi].maps, those[hemi].maps, strict=True)
        if one is not None and other is not None
    ]
    relations = {relation(*pair) for pair in pairs} or {"rivals"}
    return "copies" if relations == {"copies"} else min(relations - {"copies"})


def _choose_tag(
    found: Sequence[str], asked: str | None, described: Collection[str]
) -> tuple[str | None, list[str]]:
    shown = ", ".join(found) or "none"
    if asked is not None:
        tag = matching(asked, found)
        if tag is None:
            return None, [f"--retinotopy-source {asked}: no such maps; found: {shown}."]
        return tag, []
    if len(found) < 2:
        return (found[0] if found else None), []
    of_tables = [tag for tag in found if tag in described]
    if len(of_tables) == 1:
        return of_tables[0], [
            f"Retinotopy from several sources ({shown}); using {of_tables[0]}, which a "
            "[[retinotopy]] entry describes. To use another, give --retinotopy-source."
        ]
    if "inferred" in (of_tables or found):
        return "inferred", [f"Retinotopy from several sources ({shown}); using inferred."]
    raise AmbiguousInputError(
        f"Retinotopy from several sources ({shown}): choose one with --retinotopy-source."
    )


def _retinotopy_in(maps: Iterable[IndexedFile], *, needs_areas: bool) -> Found:
    by_kind: defaultdict[tuple[str, str], list[IndexedFile]] = defaultdict(list)
    for file in maps:
        by_kind[file.entities["hemi"], file.entities["suffix"]].append(file)
    found: dict[Hemisphere, RetinotopySource] = {}
    for hemi in HEMISPHERES:
        area = _preferred(by_kind[hemi, "varea"])
        eccentricity = _preferred(by_kind[hemi, "eccen"])
        if eccentricity and (area or not needs_areas):
            of_file = {file.source: file.entities for file in by_kind[hemi, "eccen"]}
            found[hemi] = RetinotopySource(
                visual_area=area,
                eccentricity=eccentricity,
                polar_angle=_preferred(by_kind[hemi, "angle"]),
                variance_explained=_preferred(by_kind[hemi, "vexpl"]),
                sigma=_preferred(by_kind[hemi, "sigma"]),
                space=of_file[eccentricity].get("space"),
            )
    return found


def _preferred(maps: Sequence[IndexedFile]) -> SourceFile | None:
    """Choose the first format whose content is there, of one map in several formats.

    Raises
    ------
    AmbiguousInputError
        If another format has other values.
    """

    def rank(file: IndexedFile) -> tuple[bool, int]:
        extension = file.entities["extension"]
        return not file.source.path.is_file(), _EXTENSIONS.index(extension)

    ranked = sorted(maps, key=rank)
    for other in ranked[1:]:
        is_there = rank(other)[0] == rank(ranked[0])[0]
        if is_there and relation(ranked[0].source, other.source, _side(other)) != "copies":
            raise AmbiguousInputError(tie([ranked[0], other], "retinotopy"))
    return ranked[0].source if ranked else None


def _side(file: IndexedFile) -> Hemisphere:
    return "L" if file.entities["hemi"] == "L" else "R"


def _in_session(folder: Path, sessions: Sequence[str]) -> bool:
    """Return whether a folder belongs to a session asked for: ``ses-01`` or ``sub-01_ses-01``."""
    return any(part.endswith(f"ses-{session}") for part in folder.parts for session in sessions)
