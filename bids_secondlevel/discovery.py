"""Find the maps of a participant. The only module that knows pybids.

Every participant is indexed alone, from its own folders, so that the cost does not depend on
how many participants a study has.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from bids_secondlevel.datasets import PARTICIPANT_FOLDER, folders_in
from bids_secondlevel.errors import DataError, UsageError
from bids_secondlevel.model import Dataset, IndexedFile, ParticipantIndex, SourceFile, SurfaceFile
from bids_secondlevel.settings import FILTER_QUERIES

RETINOTOPIC_MAPS = ("varea", "eccen", "angle", "sigma", "vexpl")

_SURFACE_NAME = re.compile(
    r"(?P<side>[lr])h\.(?P<kind>midthickness|graymid|white|inflated|sphere|sulc|curv)"
    r"|sub-[^/]*_hemi-(?P<hemi>[LR])_(?:[^/]*_)?"
    r"(?P<bids>midthickness|white|smoothwm|inflated|sphere)\.surf\.gii"
)
_TEMPLATES = ("fsaverage", "fsaverage5", "fsaverage6")
_KINDS = ("statistical", "retinotopic", "volume", "foreign", "misnamed", "other")
_BIDS_NAME = re.compile(rf"[^/]*_(?:statmap|{'|'.join(RETINOTOPIC_MAPS)})\.(?!json$)[^/]+")
_FREESURFER_NAME = re.compile(
    r"(?:sub-(?P<subject>[0-9A-Za-z+]+)_(?:[0-9A-Za-z]+-[0-9A-Za-z+]+_)*)?"
    rf"(?P<hemi>[lr])h\.(?P<tag>[^/]+)_(?P<suffix>{'|'.join(RETINOTOPIC_MAPS)})"
    r"(?P<extension>\.mgz|\.mgh|(?:\.func|\.shape|\.label)?\.gii|\.nii\.gz|)"
)
_STATMAP_NAME = re.compile(r"sub-[0-9A-Za-z+]+_(?:[a-z]+-[0-9A-Za-z+]+_)*statmap\.[^/]+")
_SURFACE_EXTENSIONS = (
    ".func.gii",
    ".shape.gii",
    ".label.gii",
    ".gii",
    ".mgz",
    ".mgh",
    ".nii.gz",
)
_TAG_ENTITIES = ("desc", "atlas", "model", "segmentation", "label")
# What FreeSurfer keeps beside surf/ and label/: many files, none of them on a surface.
_PRUNED_FOLDERS = {"mri", "scripts", "stats", "touch", "tmp", "trash", "figures", "log"}
_FILE_ENDINGS = (
    "nii|gz|gii|json|tsv|csv|txt|log|html|svg|png|jpg|gif|pdf|h5|mat|npy|npz|pkl|mgz|mgh|label|"
    "annot|stats|dat|lta|xfm|x5|bval|bvec|toml|yaml|yml|md|nii\\.gz"
)
_MAX_DEPTH = 4


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
    for dataset in datasets:
        templates += _template_files(dataset)
        for folder in _participant_folders(dataset.root, label):
            paths = list(_file_names(folder))
            surfaces += _surface_files(dataset, paths)
            named = [_freesurfer_file(dataset, path, filters) for path in paths]
            maps = [file for file in named if file is not None]
            if any(_BIDS_NAME.fullmatch(path.name) for path in paths):
                maps += _bids_files(dataset, folder, filters)
            for file in maps:
                found[_kind(file, label)].append(file)
    return ParticipantIndex(
        label,
        tuple(found["statistical"]),
        tuple(found["retinotopic"]),
        tuple(file.source for file in found["volume"]),
        tuple(file.source for file in found["foreign"]),
        tuple(file.source for file in found["misnamed"]),
        tuple(surfaces),
        tuple(templates),
    )


def _template_files(dataset: Dataset) -> Iterator[SurfaceFile]:
    """Find the templates that FreeSurfer and fMRIPrep put beside the participants."""
    for space in _TEMPLATES:
        try:
            paths = sorted((dataset.root / space / "surf").iterdir())
        except OSError:  # not there, or not to be read, which costs a picture at the most
            continue
        for file in _surface_files(dataset, paths):
            yield replace(file, space=space)


def _surface_files(dataset: Dataset, paths: Iterable[Path]) -> Iterator[SurfaceFile]:
    for path in paths:
        match = _SURFACE_NAME.fullmatch(path.name)
        if match is None:
            continue
        space = re.search(r"_space-([0-9A-Za-z+]+)_", path.name)
        named = space[1] if space else None
        yield SurfaceFile(
            source_file(dataset, path),
            "L" if (match["side"] or match["hemi"]).upper() == "L" else "R",
            match["kind"] or match["bids"],
            None if named == "fsnative" else named,
        )


def _kind(file: IndexedFile, label: str) -> str:
    """Tell what a file is good for."""
    is_statistical = file.entities["suffix"] == "statmap"
    name = file.source.path.name
    if file.entities.get("subject", label) != label:
        return "foreign"
    if is_statistical and not _STATMAP_NAME.fullmatch(name):
        return "misnamed"
    if "hemi" in file.entities:
        return "statistical" if is_statistical else "retinotopic"
    if "_hemi-" in name:
        return "misnamed"
    return "volume" if is_statistical else "other"


def unrecognised(datasets: Sequence[Dataset], indexes: Sequence[ParticipantIndex]) -> Iterator[str]:
    """Name the datasets in which no surface map of the participants was recognised."""
    used = {
        file.dataset
        for index in indexes
        for file in (*index.statistical_maps, *index.retinotopic_maps)
    }
    for dataset in datasets:
        if dataset.name not in used:
            yield f"{dataset.root}: no statistical or retinotopic surface maps recognised here."


def source_file(dataset: Dataset, path: Path) -> SourceFile:
    """Name a file by its path and its BIDS URI (BIDS specification, "BIDS URI")."""
    return SourceFile(path, f"bids:{dataset.name}:{path.relative_to(dataset.root).as_posix()}")


def _bids_files(
    dataset: Dataset, folder: Path, filters: Mapping[str, Mapping[str, Any]]
) -> list[IndexedFile]:
    """Let pybids read the entities of a participant's maps, and apply the filters."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    config = json.loads((files("bids_secondlevel") / "data" / "entities.json").read_text())
    _check_filters(filters, [entity["name"] for entity in config["entities"]])
    pruned = "|".join(sorted(_PRUNED_FOLDERS)) if _is_freesurfer(folder) else "(?!)"
    # Folders pass through the same patterns as files, and may have a dot in their name.
    ignored = re.compile(
        rf"/(?:{pruned}|\.[^/]*)$"
        rf"|/(?![^/]*_(?:statmap|{'|'.join(RETINOTOPIC_MAPS)})\.)[^/]+\.(?:{_FILE_ENDINGS})$"
    )
    try:
        layout = BIDSLayout(
            folder,
            validate=False,
            is_derivative=True,
            config=[config],
            indexer=BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=[ignored]),
        )
    except (OSError, UnicodeError) as error:
        raise DataError(f"{folder}: its files cannot be listed ({error}).") from error
    try:
        passing = {
            query: {file.path for file in _filtered(layout, filters.get(query, {}))}
            for query in FILTER_QUERIES
        }
        found = [
            (folder / file.relpath, file.path, file.get_entities())
            for file in layout.get(suffix=["statmap", *RETINOTOPIC_MAPS])
        ]
    finally:  # pybids leaves its database in memory open
        layout.session.close()
        layout.connection_manager.engine.dispose()
    indexed = []
    for path, indexed_path, values in found:
        entities = {name: str(value) for name, value in values.items()}
        if entities.get("extension") == ".json":
            continue
        if "hemi" in entities:
            entities["hemi"] = entities["hemi"][0].upper()
            if entities.get("extension") not in _SURFACE_EXTENSIONS:
                continue
        if "run" in entities:
            entities["run"] = str(int(entities["run"]))
        if entities["suffix"] != "statmap":
            entities["desc"] = _retinotopy_tag(path.name, entities)
        queries = frozenset(query for query, paths in passing.items() if indexed_path in paths)
        indexed.append(IndexedFile(source_file(dataset, path), entities, dataset.name, queries))
    return indexed


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


def _retinotopy_tag(name: str, entities: Mapping[str, str]) -> str:
    """Find what tells one set of retinotopic maps from another in a BIDS name."""
    unkeyed = [part for part in name.split("_")[1:-1] if "-" not in part]
    keyed = [entities[entity] for entity in _TAG_ENTITIES if entity in entities]
    return "_".join(unkeyed) or (keyed[0] if keyed else "unnamed")


def _freesurfer_file(
    dataset: Dataset, path: Path, filters: Mapping[str, Mapping[str, Any]]
) -> IndexedFile | None:
    match = _FREESURFER_NAME.fullmatch(path.name)
    if match is None or path.parent.name == "mri":  # where lh. and rh. are volumes too
        return None
    entities = {
        "hemi": match["hemi"].upper(),
        "desc": match["tag"],
        "suffix": match["suffix"],
        "extension": match["extension"],
    }
    if match["subject"]:
        entities["subject"] = match["subject"]
    # pybids does not know these names; of a filter, what they can tell is applied.
    wanted = filters.get("retinotopy", {})
    passes = all(
        value in ("*", "Query.ANY", "Query.OPTIONAL", "Query.REQUIRED")
        or entities[name] in (value if isinstance(value, list) else [value])
        for name, value in wanted.items()
        if name in entities
    )
    queries = frozenset(FILTER_QUERIES) if passes else frozenset[str]()
    return IndexedFile(source_file(dataset, path), entities, dataset.name, queries)


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
    pruned = _PRUNED_FOLDERS if _is_freesurfer(folder) else ()
    try:
        with os.scandir(folder) as entries:
            ordered = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error}).") from error
    for name, is_folder in ordered:
        if name.startswith("."):
            continue
        if is_folder:
            if depth and name not in pruned:
                yield from _file_names(folder / name, depth - 1)
        else:
            yield folder / name


def _is_freesurfer(folder: Path) -> bool:
    return (folder / "surf").is_dir() and (folder / "mri").is_dir()
