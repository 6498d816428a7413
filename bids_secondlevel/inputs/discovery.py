"""Find the maps of a participant. The only module that knows pybids.

Every participant is indexed alone, from its own folders, so that the cost does not depend on
how many participants a study has.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from bids_secondlevel.core.errors import DataError, UsageError
from bids_secondlevel.core.files import (
    AreaFile,
    Dataset,
    IndexedFile,
    ParticipantIndex,
    SurfaceFile,
)
from bids_secondlevel.core.settings import FILTER_QUERIES
from bids_secondlevel.inputs.datasets import PARTICIPANT_FOLDER, folders_in, is_folder
from bids_secondlevel.inputs.names import (
    FREESURFER_NAME,
    FREESURFER_VOLUME,
    RETINOTOPIC_MAPS,
    SPM_T,
    STATMAP_NAME,
    SURFACE_EXTENSIONS,
    area_files,
    freesurfer_maps,
    is_freesurfer_name,
    of_both_hemispheres,
    retinotopy_tag,
    source_file,
    surface_files,
    with_statistic,
)

_TEMPLATES = ("fsaverage", "fsaverage5", "fsaverage6")
_KINDS = ("statistical", "retinotopic", "foreign", "misnamed", "other")
# What FreeSurfer keeps beside surf/ and label/: many files, none of them on a surface.
_PRUNED_FOLDERS = {"mri", "scripts", "stats", "touch", "tmp", "trash", "figures", "log"}
_FILE_ENDINGS = (
    "nii|gz|gii|json|tsv|csv|txt|log|html|svg|png|jpg|gif|pdf|h5|mat|npy|npz|pkl|mgz|mgh|label|"
    "annot|stats|dat|lta|xfm|x5|bval|bvec|toml|yaml|yml|md|nii\\.gz"
)
_MAX_DEPTH = 4
_NO_UNICODE = re.compile("[\udc80-\udcff]")  # how Python reads bytes of a name that are none


def index_participant(
    datasets: Sequence[Dataset], label: str, filters: Mapping[str, Mapping[str, Any]]
) -> ParticipantIndex:
    """Find every statistical and retinotopic surface map of one participant.

    Parameters
    ----------
    datasets : sequence of Dataset
    label : str
        Participant label without ``sub-``.
    filters : mapping
        For each query of ``--bids-filter-file``, the entities a file must have.

    Raises
    ------
    UsageError
        If a filter names an unknown entity.
    """
    found: dict[str, list[IndexedFile]] = {kind: [] for kind in _KINDS}
    surfaces: list[SurfaceFile] = []
    templates: list[SurfaceFile] = []
    areas: list[AreaFile] = []
    suffixes = _suffixes(filters)
    named_like_maps = re.compile(rf"[^/]*_(?:{'|'.join(suffixes)})\.(?!json$)[^/]+")
    for dataset in datasets:
        templates += _template_files(dataset)
        for folder in _participant_folders(dataset.root, label):
            paths = list(_file_names(folder))
            surfaces += surface_files(dataset, paths)
            areas += area_files(dataset, paths)
            maps = [
                file
                for path in dict.fromkeys((*paths, *_freesurfer_volumes(folder)))
                for file in freesurfer_maps(dataset, path, filters)
            ]
            named = [path for path in paths if named_like_maps.fullmatch(path.name)]
            if any(not FREESURFER_NAME.fullmatch(path.name) for path in named):
                maps += _bids_files(dataset, folder, named, suffixes, filters)
            for file in maps:
                found[_kind(file, label)].append(file)
    return ParticipantIndex(
        label=label,
        statistical_maps=tuple(found["statistical"]),
        retinotopic_maps=tuple(found["retinotopic"]),
        area_files=tuple(areas),
        foreign=tuple(file.source for file in found["foreign"]),
        misnamed=tuple(file.source for file in found["misnamed"]),
        surfaces=tuple(surfaces),
        templates=tuple(templates),
    )


def _template_files(dataset: Dataset) -> Iterator[SurfaceFile]:
    """Find the templates that FreeSurfer and fMRIPrep put beside the participants."""
    for space in _TEMPLATES:
        try:
            paths = sorted((dataset.root / space / "surf").iterdir())
        except OSError:  # not there, or not to be read, which costs a picture at the most
            continue
        for file in surface_files(dataset, paths):
            kind = "sphere" if file.kind == "registered" else file.kind
            yield replace(file, space=space, kind=kind)


def _kind(file: IndexedFile, label: str) -> str:
    """Tell what a file is good for."""
    is_statistical = file.entities["suffix"] not in RETINOTOPIC_MAPS
    if file.entities.get("subject", label) != label:
        return "foreign"
    if is_statistical and not STATMAP_NAME.fullmatch(file.source.path.name):
        return "misnamed"
    if "hemi" in file.entities:
        return "statistical" if is_statistical else "retinotopic"
    return "misnamed" if is_statistical or "_hemi-" in file.source.path.name else "other"


def _suffixes(filters: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """List the suffixes of maps: those of BIDS and neuropythy, and those of the filter file."""
    asked = [
        value
        for entities in filters.values()
        for value in _listed(entities.get("suffix"))
        if isinstance(value, str) and value.isalnum()
    ]
    return tuple(dict.fromkeys(("statmap", *RETINOTOPIC_MAPS, *asked)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def unrecognised(datasets: Sequence[Dataset], indexes: Sequence[ParticipantIndex]) -> Iterator[str]:
    """Name the datasets in which no surface map of the participants was recognised."""
    used = {
        file.dataset
        for index in indexes
        for file in (*index.statistical_maps, *index.retinotopic_maps)
    }
    used |= {
        surface.source.uri.split(":")[1]
        for index in indexes
        for surface in index.surfaces
        if surface.kind == "registered"
    }
    for dataset in datasets:
        if dataset.name not in used:
            yield f"{dataset.root}: no statistical or retinotopic surface maps recognised here."


def _bids_files(
    dataset: Dataset,
    folder: Path,
    paths: Iterable[Path],
    suffixes: Sequence[str],
    filters: Mapping[str, Mapping[str, Any]],
) -> list[IndexedFile]:
    """Let pybids read the entities of a participant's maps, and apply the filters."""
    passing = _passing(folder, suffixes, filters) if filters else None
    indexed = []
    for path in paths:
        entities, is_t = _entities(path), False
        if entities["suffix"] not in suffixes or is_freesurfer_name(path.name):
            continue
        if "hemi" in entities:
            entities["hemi"] = entities["hemi"][0].upper()
            if entities["extension"] not in SURFACE_EXTENSIONS:
                continue
        if "run" in entities:
            entities["run"] = str(int(entities["run"]))
        if entities["suffix"] in RETINOTOPIC_MAPS:
            entities["desc"] = retinotopy_tag(path.name, entities)
        else:
            is_t = entities["suffix"] == SPM_T
            entities = with_statistic(entities)
            if dataset.task is not None:
                entities.setdefault("task", dataset.task)
        queries = frozenset(
            query for query in FILTER_QUERIES if passing is None or path in passing[query]
        )
        source = replace(source_file(dataset, path), is_t=is_t)
        file = IndexedFile(source, entities, dataset.name, queries)
        indexed += of_both_hemispheres(file)
    return indexed


@cache
def _config() -> Mapping[str, Any]:
    """Read what entities there are."""
    config: Mapping[str, Any] = json.loads(
        (files("bids_secondlevel") / "data" / "entities.json").read_text()
    )
    return config


@cache
def _known_entities() -> tuple[Any, ...]:
    from bids.layout import Config

    return tuple(Config.load(dict(_config())).entities.values())


def _entities(path: Path) -> dict[str, str]:
    """Read the entities of a name; a layout takes a hundred times longer for its database."""
    from bids.layout import parse_file_entities

    found: dict[str, Any] = parse_file_entities(str(path), entities=_known_entities())
    return {name: str(value) for name, value in found.items()}


def _passing(
    folder: Path, suffixes: Sequence[str], filters: Mapping[str, Mapping[str, Any]]
) -> dict[str, set[Path]]:
    """Let pybids find the files that pass each filter."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    _check_filters(filters, [entity["name"] for entity in _config()["entities"]])
    pruned = "|".join(sorted(_PRUNED_FOLDERS)) if _is_freesurfer(folder) else "(?!)"
    # Folders pass through the same patterns as files, and may have a dot in their name. pybids
    # gives up a whole folder for a name that is not UTF-8, which no name of use is.
    ignored = re.compile(
        rf"/(?:{pruned}|\.[^/]*|[^/]*[\udc80-\udcff][^/]*)$"
        rf"|/(?![^/]*_(?:{'|'.join(suffixes)})\.)[^/]+\.(?:{_FILE_ENDINGS})$"
    )
    try:
        layout = BIDSLayout(
            folder,
            validate=False,
            is_derivative=True,
            config=[dict(_config())],
            indexer=BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=[ignored]),
        )
    except (OSError, UnicodeError) as error:
        raise DataError(f"{folder}: its files cannot be listed ({error}).") from error
    try:
        return {
            query: {folder / file.relpath for file in _filtered(layout, filters.get(query, {}))}
            for query in FILTER_QUERIES
        }
    finally:  # pybids leaves its database in memory open
        layout.session.close()
        layout.connection_manager.engine.dispose()


def _filtered(layout: Any, entities: Mapping[str, Any]) -> Iterable[Any]:
    from bids.layout import Query

    special = {None: Query.NONE, "*": Query.ANY}
    special |= {f"Query.{member.name}": member for member in Query}
    special["Query.ANY"] = Query.ANY

    def meaning(value: Any) -> Any:
        if isinstance(value, list):
            return [meaning(item) for item in value]
        return special.get(value, value)

    # The statistic is chosen by the program, which also looks for variances.
    wanted = {name: meaning(value) for name, value in entities.items() if name != "stat"}
    found: Iterable[Any] = layout.get(**wanted)
    return found


def _check_filters(filters: Mapping[str, Mapping[str, Any]], known: Iterable[str]) -> None:
    names = sorted(known)
    for query, entities in filters.items():
        unknown = [name for name in entities if name not in names]
        if unknown:
            raise UsageError(
                f"--bids-filter-file: {query}: {', '.join(unknown)} is no known entity; there "
                f"are: {', '.join(names)}."
            )


def _freesurfer_volumes(folder: Path) -> list[Path]:
    """List the volumes of retinotopy beside FreeSurfer's own, as neuropythy writes them."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder / "mri"))
    except OSError:  # not there, or not to be read, which costs no surface
        return []
    return [folder / "mri" / name for name in names if FREESURFER_VOLUME.fullmatch(name)]


def _participant_folders(root: Path, label: str) -> list[Path]:
    """Folders of a participant: ``sub-X``, ``sub-X_ses-Y``, and ``node-*/sub-X`` (FitLins)."""
    nodes = [root, *folders_in(root, "node-")]
    return [
        folder
        for node in nodes
        for folder in folders_in(node, f"sub-{label}")
        if (match := PARTICIPANT_FOLDER.fullmatch(folder.name)) and match[1] == label
    ]


def _file_names(folder: Path, depth: int = _MAX_DEPTH) -> Iterator[Path]:
    """List the files below a folder, in a fixed order.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """
    try:
        pruned = _PRUNED_FOLDERS if _is_freesurfer(folder) else ()
        with os.scandir(folder) as entries:
            ordered = sorted((entry.name, is_folder(entry)) for entry in entries)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error}).") from error
    for name, has_files in ordered:
        if name.startswith(".") or _NO_UNICODE.search(name):  # neither is a name of BIDS
            continue
        if has_files:
            if depth and name not in pruned:
                yield from _file_names(folder / name, depth - 1)
        else:
            yield folder / name


def _is_freesurfer(folder: Path) -> bool:
    return (folder / "surf").is_dir() and (folder / "mri").is_dir()
