"""Find the files of a participant. The only module that uses pybids.

Every participant is indexed alone, from its own folders. The cost does not depend on the number of
participants.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from itertools import chain, product
from pathlib import Path, PurePath
from typing import Any

from bids_secondlevel.core.errors import DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.files import (
    AS_IT_IS,
    AreaFile,
    Dataset,
    IndexedFile,
    NearMiss,
    ParticipantIndex,
    Reading,
    SourceFile,
    SurfaceFile,
)
from bids_secondlevel.core.hemispheres import HEMISPHERES
from bids_secondlevel.core.settings import FILTER_QUERIES
from bids_secondlevel.core.spaces import OWN, surface_space
from bids_secondlevel.inputs.choice.pooled import with_task_of_runs
from bids_secondlevel.inputs.datasets import participant_folders, refuse_folder
from bids_secondlevel.inputs.described import Pattern, described_files, uri_of
from bids_secondlevel.inputs.names import (
    RETINOTOPIC_MAPS,
    SPM_T,
    STATMAP_NAME,
    SURFACE_EXTENSIONS,
    area_volume,
    areas_of,
    entities_in,
    freesurfer_entities,
    in_bids,
    is_freesurfer_name,
    kind_of_both,
    long_name,
    map_labels,
    retinotopy_tag,
    session_of,
    side_of,
    surface_of,
    task_of_folder,
    threshold_in,
    with_pooled_run,
    with_statistic,
    without_participant,
)
from bids_secondlevel.inputs.near_misses import incomplete, near_miss
from bids_secondlevel.inputs.patterns import NO_NAME
from bids_secondlevel.inputs.spm import BETA_NAME, SPM_NAME, SpmMap, maps_of_spm
from bids_secondlevel.maps.cifti import describe

Filters = Mapping[str, Mapping[str, Any]]
"""Entities that a file must have, for each query of ``--bids-filter-file``."""

_TEMPLATES = ("fsaverage", "fsaverage3", "fsaverage4", "fsaverage5", "fsaverage6", "fsaverage7")
# Folders of FreeSurfer beside surf/ and label/: many files, none of them on a surface.
_PRUNED_FOLDERS = {"mri", "scripts", "stats", "touch", "tmp", "trash", "figures", "log"}
_MAX_DEPTH = 4
_ANY = ("*", "Query.ANY", "Query.REQUIRED")
_NONE = (None, "Query.NONE")


def index_participant(
    datasets: Sequence[Dataset],
    label: str,
    filters: Filters,
    patterns: Sequence[Pattern] = (),
) -> ParticipantIndex:
    """Find every map of one participant, its surfaces, and surfaces of templates beside it.

    If a pattern describes a file, its name is ignored.

    If the name of a CIFTI file has no contrast, each map in the file is a contrast, named after the
    map: ``faces > houses`` is contrast ``faceshouses``.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """
    found: dict[str, list[IndexedFile]] = defaultdict(list)
    surfaces: list[SurfaceFile] = []
    near_misses: list[NearMiss] = []
    problems: list[SecondLevelError] = []
    templates, areas, found["retinotopic"] = _template_files(datasets, filters)
    for dataset in datasets:
        for folder in participant_folders(dataset, label):
            paths = _files_below(folder)
            surfaces += _surface_files(dataset, paths)
            areas += _area_files(dataset, paths)
            # FreeSurfer's folder of volumes is not searched, except for files of neuropythy.
            volumes = sorted((folder / "mri").glob("*"))
            named = dict.fromkeys((*paths, *volumes))
            areas += _area_volumes(dataset, named)
            of_freesurfer = _freesurfer_maps(dataset, label, named, filters)
            spm, errors = maps_of_spm(dataset, paths)
            problems += errors
            of_spm = _spm_maps(dataset, spm, filters)
            known = set()
            for file in (*of_freesurfer, *_bids_maps(dataset, paths, filters), *of_spm):
                if _is_described(file.source.path, patterns):
                    continue
                kind = _kind(file, label)
                found[kind].append(file)
                if kind != "misnamed":
                    known.add(file.source.path)
            unknown = [path for path in named if path not in known]
            near_misses += _not_understood(dataset, unknown, patterns, label, spm)
    described = described_files(patterns, label)
    for kind, files_of_kind in (
        ("statistical", described.statistical),
        ("retinotopic", described.retinotopic),
    ):
        of_kind = [_filtered(file, filters) for file in files_of_kind]
        found[kind] += (file for file in of_kind if not _is_thresholded(file))
        near_misses += _thresholded(of_kind, label)
    for dataset, folder in described.folders:
        known = {s.source.path for s in surfaces} | {area.source.path for area in areas}
        paths = _beside(folder, known)
        surfaces += _surface_files(dataset, paths)
        areas += _area_files(dataset, paths)
    statistical: list[IndexedFile] = []
    for file in found["statistical"]:
        try:
            statistical += _contrasts_in(file)
        except (DataError, InputMissingError) as error:
            problems.append(error)
    roots = {dataset.name: dataset.root for dataset in datasets}
    statistical, choices = with_task_of_runs(statistical)
    by_name = [file for file in statistical if file.source.dataset in roots]
    lacking = (
        incomplete(file, file.source.path.relative_to(roots[file.source.dataset]), label)
        for file in by_name
    )
    near_misses += {miss.source.path: miss for miss in lacking if miss}.values()
    return ParticipantIndex(
        label=label,
        statistical_maps=tuple(_without_needless_z(statistical)),
        retinotopic_maps=tuple(found["retinotopic"]),
        area_files=tuple(areas),
        foreign=tuple(file.source for file in found["foreign"]),
        near_misses=tuple(near_misses),
        surfaces=tuple(surfaces),
        templates=tuple(templates),
        unreadable=tuple({str(problem): problem for problem in reversed(problems)}.values())[::-1],
        choices=tuple(choices),
    )


def _files_below(folder: Path) -> list[Path]:
    """List the files below a folder, in a fixed order."""
    paths: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=refuse_folder, followlinks=True):
        is_deepest = parent.count(os.sep) - str(folder).count(os.sep) == _MAX_DEPTH
        pruned = _PRUNED_FOLDERS if {"surf", "mri"} <= {*folders} else ()
        folders[:] = (
            name for name in folders if not (is_deepest or name in pruned or NO_NAME.search(name))
        )
        here = Path(parent)
        paths += (here / name for name in names if not NO_NAME.search(name))
    return sorted(paths)


def _source(dataset: Dataset, path: Path) -> SourceFile:
    return SourceFile(path, uri_of(dataset, path))


def _surface_files(dataset: Dataset, paths: Sequence[Path]) -> Iterator[SurfaceFile]:
    for path in paths:
        if surface := surface_of(path.name):
            yield SurfaceFile(_source(dataset, path), *surface)


def _area_files(dataset: Dataset, paths: Sequence[Path]) -> Iterator[AreaFile]:
    for path in paths:
        for area in areas_of(path.name):
            yield AreaFile(_source(dataset, path), *area)


def _area_volumes(dataset: Dataset, paths: Iterable[Path]) -> Iterator[AreaFile]:
    for path in paths:
        if volume := area_volume(path.name):
            source = replace(_source(dataset, path), kind="volume")
            for hemi in HEMISPHERES:
                yield AreaFile(source, hemi, volume[0], space=volume[1])


def _beside(folder: Path, known: Collection[Path]) -> list[Path]:
    """List the new files of a folder and, for FreeSurfer, of its folder of labels."""
    folders = (folder, folder.parent / "label") if folder.name == "surf" else (folder,)
    return [path for each in folders for path in sorted(each.glob("[!.]*")) if path not in known]


def _template_files(
    datasets: Iterable[Dataset], filters: Filters
) -> tuple[list[SurfaceFile], list[AreaFile], list[IndexedFile]]:
    """Find files of templates that FreeSurfer and fMRIPrep put beside the participants."""
    surfaces: list[SurfaceFile] = []
    areas: list[AreaFile] = []
    retinotopic: list[IndexedFile] = []
    for dataset in datasets:
        for holder in dataset.holders:
            # Atlases in the space of a template: beside participants, or named as in TemplateFlow.
            found = (holder.glob(beside) for beside in ("[!.]*.*", "tpl-*/*.*", "tpl-*/anat/*.*"))
            volumes = sorted(chain.from_iterable(found))
            areas += (replace(a, is_of_template=True) for a in _area_volumes(dataset, volumes))
        for holder, name in product(dataset.holders, _TEMPLATES):
            paths = sorted((holder / name).glob("surf/[!.]*"))
            space = surface_space(name) or name
            for file in _surface_files(dataset, paths):
                kind = "sphere" if file.kind == "registered" else file.kind
                surfaces.append(replace(file, space=space, kind=kind))
            paths += sorted((holder / name).glob("label/[!.]*"))
            areas += (replace(area, is_of_template=True) for area in _area_files(dataset, paths))
            for path in paths:
                entities = freesurfer_entities(path)
                if entities is not None and "hemi" in entities:
                    entities |= {"space": space}
                    file_of_all = IndexedFile(_source(dataset, path), entities, is_of_template=True)
                    retinotopic.append(_filtered(file_of_all, filters))
    return surfaces, areas, retinotopic


def _freesurfer_maps(
    dataset: Dataset, label: str, paths: Iterable[Path], filters: Filters
) -> Iterator[IndexedFile]:
    for path in paths:
        entities = freesurfer_entities(path)
        if entities is not None:
            entities["desc"] = without_participant(entities["desc"], label)
            entities |= _session_of_folder(dataset, path)
            own = {"space": OWN} if "hemi" in entities else {}  # implied by such names
            queries = _passed(entities, filters) | _passed({**entities, **own}, filters)
            yield from _by_hemisphere(IndexedFile(_source(dataset, path), entities, queries))


def _bids_maps(
    dataset: Dataset, paths: Collection[Path], filters: Filters
) -> Iterator[IndexedFile]:
    suffixes = _suffixes(filters)
    named_like_maps = re.compile(rf"[^/]*_(?:{'|'.join(suffixes)})\.(?!json$)[^/]+")
    for path in paths:
        name = in_bids(path.name)
        if not named_like_maps.fullmatch(name) or is_freesurfer_name(path.name):
            continue
        entities = _entities(path.with_name(name))
        if entities["suffix"] not in suffixes:
            continue
        if "hemi" in entities and entities["extension"] not in SURFACE_EXTENSIONS:
            continue
        as_named = dict(entities)
        reading = Reading(made_z_from="t") if entities["suffix"] == SPM_T else AS_IT_IS
        side = side_of(entities.pop("hemi", ""))
        if side is not None:
            entities["hemi"] = side
            entities |= _space_of_surface(entities)
        if entities["suffix"] in RETINOTOPIC_MAPS:
            entities = {**_session_of_folder(dataset, path), **entities}
            entities["desc"] = retinotopy_tag(name, entities)
        else:
            entities = with_statistic(entities)
            task = dataset.task or task_of_folder(path.relative_to(dataset.root.parent).parts)
            if task is not None:
                entities.setdefault("task", task)
            entities = with_pooled_run(entities)
        source = replace(_source(dataset, path), reading=reading)
        file = _filtered(IndexedFile(source, entities, _passed(as_named, filters)), filters)
        yield from _by_hemisphere(file)
        if entities.get("stat") == "t":
            yield from _by_hemisphere(_as_z(file, dataset, paths))


def _spm_maps(dataset: Dataset, maps: Iterable[SpmMap], filters: Filters) -> Iterator[IndexedFile]:
    """List complete maps of SPM; maps of t values also as the z computed from them."""
    for each in maps:
        if each.lacking is None:
            entities = with_pooled_run(each.entities) | {"suffix": "statmap"}
            queries = _passed(each.entities, filters)
            file = IndexedFile(_source(dataset, each.path), entities, queries)
            file = _filtered(file, filters)
            yield from _by_hemisphere(file)
            if entities["stat"] == "t":
                yield from _by_hemisphere(_as_z(file, dataset, ()))


def _not_understood(
    dataset: Dataset,
    paths: Iterable[Path],
    patterns: Iterable[Pattern],
    label: str,
    spm: Iterable[SpmMap],
) -> Iterator[NearMiss]:
    """List files that may be maps, with the reason why they are not understood."""
    of_spm = {each.path: each for each in spm}
    models = {path.parent for path in of_spm}
    for path in paths:
        miss = near_miss(_source(dataset, path), path.relative_to(dataset.root), label)
        is_beta = path.parent in models and BETA_NAME.fullmatch(path.name)
        if miss is None or is_beta or _is_described(path, patterns):
            continue
        each = of_spm.get(path)
        if each is not None and each.lacking:
            has_name = "contrast" in each.entities
            miss = replace(miss, reason=each.lacking, says_contrast=has_name, is_certain=True)
        yield miss


def _is_described(path: Path, patterns: Iterable[Pattern]) -> bool:
    return any(pattern.describes(path) for pattern in patterns)


def _as_z(file: IndexedFile, dataset: Dataset, paths: Collection[Path]) -> IndexedFile:
    """Turn a map of t into z, with degrees of freedom from a map beside it or from the file."""
    path = file.source.path
    beside = path.with_name(re.sub("_stat-[^_.]+", "_stat-dof", path.name))
    df = _source(dataset, beside) if beside != path and beside in paths else None
    reading = replace(file.source.reading, made_z_from="t", df=df)
    return replace(
        file,
        source=replace(file.source, reading=reading),
        entities={**file.entities, "stat": "z"},
    )


def _filtered(file: IndexedFile, filters: Filters) -> IndexedFile:
    """Apply the filters to a file by its entities.

    A thresholded file (by its name) passes only filters with that entity.
    """
    queries = file.queries | _passed(file.entities, filters)
    threshold = threshold_in(file.source.path.name)
    if threshold is not None and file.entities["suffix"] not in RETINOTOPIC_MAPS:
        key = long_name(threshold.partition("-")[0])
        queries &= {query for query, wanted in filters.items() if key in map(long_name, wanted)}
    return replace(file, queries=queries)


def _by_hemisphere(file: IndexedFile) -> list[IndexedFile]:
    """List a file once for each hemisphere that it has."""
    kind = kind_of_both(in_bids(file.source.path.name), file.entities)
    if kind is None:
        return [file]
    source = replace(file.source, kind=kind)
    space = {"space": "fsLR"} if kind == "cifti" else {}  # the surface of CIFTI files in BIDS
    return [
        replace(file, source=source, entities={**space, **file.entities, "hemi": hemi})
        for hemi in HEMISPHERES
    ]


def _kind(file: IndexedFile, label: str) -> str:
    """Return the use of a file."""
    name = in_bids(file.source.path.name)
    is_statistical = file.entities["suffix"] not in RETINOTOPIC_MAPS
    if file.entities.get("subject", label) != label:
        return "foreign"
    is_named = STATMAP_NAME.fullmatch(name) or SPM_NAME.fullmatch(name)
    if _is_thresholded(file) or (is_statistical and not is_named):
        return "misnamed"
    if "hemi" in file.entities:
        return "statistical" if is_statistical else "retinotopic"
    return "misnamed" if is_statistical or "_hemi-" in name else "other"


def _is_thresholded(file: IndexedFile) -> bool:
    """Return whether a map is not used because its name says that it was thresholded."""
    is_statistical = file.entities["suffix"] not in RETINOTOPIC_MAPS
    return is_statistical and not file.queries and threshold_in(file.source.path.name) is not None


def _thresholded(files: Iterable[IndexedFile], label: str) -> Iterator[NearMiss]:
    """Report described maps that are not used because they were thresholded."""
    for source in dict.fromkeys(file.source for file in files if _is_thresholded(file)):
        if miss := near_miss(source, PurePath(source.uri.split(":", 2)[2]), label):
            yield miss


def _contrasts_in(file: IndexedFile) -> list[IndexedFile]:
    """List the maps of a file: a CIFTI file may have one for each contrast.

    Raises
    ------
    DataError
        If the names of two maps give the same label.
    """
    if file.source.kind != "cifti" or "contrast" in file.entities:
        return [file]
    names = describe(file.source.path).map_names
    if not names:
        raise DataError(
            f"{file.source.path}: the contrast of the frames of a time series is unknown. Put "
            "{contrast} into the pattern of its [[maps]] entry, or add contrast and array to it."
        )
    given = file.contrast_names
    labels = [
        re.sub("[^0-9A-Za-z]", "", given.get(name, given.get(label, label)))
        for name, label in zip(names, map_labels(names, file.entities), strict=True)
    ]
    folded = [label.casefold() for label in labels]
    if len(set(folded)) < len(folded) or "" in folded:
        advice = "Give them names in the [[maps]] entry" if file.is_described else "Rename the maps"
        raise DataError(
            f"{file.source.path}: its maps are named {', '.join(names)}. As names of contrasts, "
            f"they need letters or digits and must differ in them. {advice}."
        )
    return [
        replace(
            file,
            source=replace(file.source, reading=replace(file.source.reading, array=name)),
            entities={**file.entities, "contrast": label},
        )
        for name, label in zip(names, labels, strict=True)
    ]


def _without_needless_z(maps: Sequence[IndexedFile]) -> list[IndexedFile]:
    """Drop z computed from t if there is a z map of the same contrast."""
    keys = ("hemi", "task", "contrast", "session", "run", "space")

    def key(file: IndexedFile) -> tuple[str, ...]:
        return tuple(file.entities.get(name, "").casefold() for name in keys)

    there = {
        key(file)
        for file in maps
        if file.entities.get("stat") == "z" and file.source.reading.made_z_from != "t"
    }
    return [f for f in maps if f.source.reading.made_z_from != "t" or key(f) not in there]


@cache
def _known_entities() -> Mapping[str, Any]:
    """Read the list of entities."""
    from bids.layout import Config

    config = (files("bids_secondlevel") / "data" / "entities.json").read_text()
    return dict(Config.load(json.loads(config)).entities)


def _entities(path: Path) -> dict[str, str]:
    """Read the entities of a name. A pybids layout with its database takes a hundred times longer.

    Entities unknown to pybids are read too, because they distinguish maps.
    """
    from bids.layout import parse_file_entities

    known: dict[str, Any] = parse_file_entities(str(path), entities=_known_entities().values())
    found = {name: str(int(v) if name == "run" else v) for name, v in known.items()}
    return {**entities_in(path.name), **found}


def _session_of_folder(dataset: Dataset, path: Path) -> dict[str, str]:
    session = session_of(path.relative_to(dataset.root).parent.parts)
    return {} if session is None else {"session": session}


def _space_of_surface(entities: Mapping[str, str]) -> dict[str, str]:
    space = surface_space(entities.get("space"), entities.get("den"))
    return {} if space is None else {"space": space}


def _suffixes(filters: Filters) -> tuple[str, ...]:
    """List the suffixes of maps in BIDS, neuropythy and the filter file."""
    asked = [
        value
        for entities in filters.values()
        for value in _alternatives(entities.get("suffix"))
        if isinstance(value, str) and value.isalnum()
    ]
    return tuple(dict.fromkeys(("statmap", *RETINOTOPIC_MAPS, *asked)))


def _passed(entities: Mapping[str, str], filters: Filters) -> frozenset[str]:
    """List the queries whose filters a file passes."""
    return frozenset(
        query
        for query in FILTER_QUERIES
        if all(
            _fits(name, entities.get(long_name(name)), value)
            for name, value in filters.get(query, {}).items()
            # The program itself chooses the statistic, because it also needs variances.
            if name != "stat"
        )
    )


def _fits(name: str, label: str | None, value: Any) -> bool:
    """Return whether the label of an entity passes a filter.

    Values have the same meaning as in ``BIDSLayout.get`` of pybids.

    Examples
    --------
    >>> _fits("desc", "smoothed", ["smoothed", None]), _fits("desc", None, ["smoothed", None])
    (True, True)
    >>> _fits("desc", None, "*"), _fits("run", "1", "01"), _fits("desc", "1", "01")
    (False, True, False)
    """
    allowed = _alternatives(value)
    if not allowed or "Query.OPTIONAL" in allowed:
        return True
    if label is None:
        return any(item in _NONE for item in allowed)
    zeros = "0" if name == "run" else ""  # runs are numbers
    return any(item in _ANY or str(item).lstrip(zeros) == label.lstrip(zeros) for item in allowed)


def _alternatives(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
