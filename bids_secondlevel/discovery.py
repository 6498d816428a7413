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

from bids_secondlevel.datasets import PARTICIPANT_FOLDER, folders_in
from bids_secondlevel.errors import DataError, UsageError
from bids_secondlevel.model import (
    HEMISPHERES,
    AreaFile,
    Dataset,
    Hemisphere,
    IndexedFile,
    ParticipantIndex,
    SourceFile,
    SurfaceFile,
)
from bids_secondlevel.settings import AREA_ENDINGS, FILTER_QUERIES
from bids_secondlevel.spaces import OWN

RETINOTOPIC_MAPS = ("varea", "eccen", "angle", "sigma", "vexpl")

_SURFACE_NAME = re.compile(
    r"(?P<side>[lr])h\.(?P<kind>midthickness|graymid|white|inflated|sphere|sphere\.reg|sulc|curv)"
    r"|sub-[^/]*_hemi-(?P<hemi>[LR])_(?:[^/]*_)?"
    r"(?P<bids>midthickness|white|smoothwm|inflated|sphere)\.surf\.gii"
)
_TEMPLATES = ("fsaverage", "fsaverage5", "fsaverage6")
# Spheres of fMRIPrep that are registered to a template: fsaverage where their names have none.
_REGISTERED = re.compile(r"_desc-(?:reg|msmsulc)_sphere\.surf\.gii$")
_KINDS = ("statistical", "retinotopic", "foreign", "misnamed", "other")
# What pRF tools call these maps, of which some have no tag either.
_OTHER_NAMES = {"ecc": "eccen", "ang": "angle", "R2": "vexpl"}
_FREESURFER_NAME = re.compile(
    r"(?:sub-(?P<subject>[0-9A-Za-z+]+)_(?:[0-9A-Za-z]+-[0-9A-Za-z+]+_)*)?"
    r"(?P<hemi>[lr])h\.(?:(?P<tag>[^/]+)_)?"
    rf"(?P<suffix>{'|'.join((*RETINOTOPIC_MAPS, *_OTHER_NAMES))})"
    r"(?P<extension>\.mgz|\.mgh|(?:\.func|\.shape|\.label)?\.gii|\.nii\.gz|)"
)
_FREESURFER_VOLUME = re.compile(
    rf"(?!sub-|[lr]h\.)(?P<tag>[^/]+)_(?P<suffix>{'|'.join(RETINOTOPIC_MAPS)})"
    r"(?P<extension>\.mgz|\.mgh|\.nii|\.nii\.gz)"
)
_AREA_NAME = re.compile(
    r"(?:(?P<side>[lr])h\.|sub-[^/]*_hemi-(?P<hemi>[LR])_)"
    rf"(?P<name>[^/]*(?:{'|'.join(map(re.escape, AREA_ENDINGS))}))"
)
_STATMAP_NAME = re.compile(r"sub-[0-9A-Za-z+]+_(?:[A-Za-z]+-[0-9A-Za-z+]+_)*[0-9A-Za-z]+\.[^/]+")
_SURFACE_EXTENSIONS = (
    ".func.gii",
    ".shape.gii",
    ".label.gii",
    ".gii",
    ".mgz",
    ".mgh",
    ".nii.gz",
)
_VOLUME_EXTENSIONS = (".nii", ".nii.gz", ".mgz", ".mgh")
_CIFTI_EXTENSIONS = (".dscalar.nii", ".dlabel.nii")
_SPM_T = "spmT"  # t values, which become z by the degrees of freedom in their header
# What other tools call the statistic that a map holds; asked for by suffix in a filter file.
_STATISTICS = {
    **dict.fromkeys(("con", "beta", "cope"), "effect"),
    **dict.fromkeys(("varcope",), "variance"),
    **dict.fromkeys(("tstat", "tmap"), "t"),
    **dict.fromkeys((_SPM_T, "spmZ", "zstat", "zmap"), "z"),
}
_UNNAMED = "unnamed"
_TAG_ENTITIES = ("desc", "atlas", "model", "segmentation", "label")
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
            surfaces += _surface_files(dataset, paths)
            areas += _area_files(dataset, paths)
            maps = [
                file
                for path in dict.fromkeys((*paths, *_freesurfer_volumes(folder)))
                for file in _freesurfer_maps(dataset, path, filters)
            ]
            named = [path for path in paths if named_like_maps.fullmatch(path.name)]
            if any(not _FREESURFER_NAME.fullmatch(path.name) for path in named):
                maps += _bids_files(dataset, folder, named, suffixes, filters)
            for file in maps:
                found[_kind(file, label)].append(file)
    return ParticipantIndex(
        label,
        tuple(found["statistical"]),
        tuple(found["retinotopic"]),
        tuple(areas),
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
            kind = "sphere" if file.kind == "registered" else file.kind
            yield replace(file, space=space, kind=kind)


def _surface_files(dataset: Dataset, paths: Iterable[Path]) -> Iterator[SurfaceFile]:
    for path in paths:
        match = _SURFACE_NAME.fullmatch(path.name)
        if match is None:
            continue
        space = re.search(r"_space-([0-9A-Za-z+]+)_", path.name)
        named = space[1] if space else None
        kind = match["kind"] or match["bids"]
        is_registered = kind == "sphere.reg" or _REGISTERED.search(path.name) is not None
        yield SurfaceFile(
            source_file(dataset, path),
            _hemisphere(match["side"] or match["hemi"]),
            "registered" if is_registered else kind,
            named or "fsaverage" if is_registered else None if named == OWN else named,
        )


def _area_files(dataset: Dataset, paths: Iterable[Path]) -> Iterator[AreaFile]:
    for path in paths:
        match = _AREA_NAME.fullmatch(path.name)
        if match is not None:
            hemi = _hemisphere(match["side"] or match["hemi"])
            yield AreaFile(source_file(dataset, path), hemi, match["name"])


def _hemisphere(letter: str) -> Hemisphere:
    return "L" if letter in "lL" else "R"


def _kind(file: IndexedFile, label: str) -> str:
    """Tell what a file is good for."""
    is_statistical = file.entities["suffix"] not in RETINOTOPIC_MAPS
    if file.entities.get("subject", label) != label:
        return "foreign"
    if is_statistical and not _STATMAP_NAME.fullmatch(file.source.path.name):
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


def source_file(dataset: Dataset, path: Path) -> SourceFile:
    """Name a file by its path and its BIDS URI (BIDS specification, "BIDS URI")."""
    return SourceFile(path, f"bids:{dataset.name}:{path.relative_to(dataset.root).as_posix()}")


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
        if entities["suffix"] not in suffixes or _is_freesurfer_name(path.name):
            continue
        if "hemi" in entities:
            entities["hemi"] = entities["hemi"][0].upper()
            if entities["extension"] not in _SURFACE_EXTENSIONS:
                continue
        if "run" in entities:
            entities["run"] = str(int(entities["run"]))
        if entities["suffix"] in RETINOTOPIC_MAPS:
            entities["desc"] = _retinotopy_tag(path.name, entities)
        else:
            is_t = entities["suffix"] == _SPM_T
            entities = _with_statistic(entities)
            if dataset.task is not None:
                entities.setdefault("task", dataset.task)
        queries = frozenset(
            query for query in FILTER_QUERIES if passing is None or path in passing[query]
        )
        source = replace(source_file(dataset, path), is_t=is_t)
        file = IndexedFile(source, entities, dataset.name, queries)
        indexed += _of_both_hemispheres(file)
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


def _is_freesurfer_name(name: str) -> bool:
    """Tell names that pybids would misread: ``lh.`` is no entity of BIDS."""
    return any(named.fullmatch(name) for named in (_FREESURFER_NAME, _FREESURFER_VOLUME))


def _with_statistic(entities: Mapping[str, str]) -> dict[str, str]:
    """Say statistic and contrast as BIDS does where another tool says them by other means."""
    suffix = entities["suffix"]
    if suffix == "statmap":
        return dict(entities)
    contrast = entities.get("contrast") or entities.get("desc") or entities.get("label")
    implied = {"stat": _STATISTICS.get(suffix), "contrast": contrast}
    return {**{k: v for k, v in implied.items() if v}, **entities, "suffix": "statmap"}


def _of_both_hemispheres(file: IndexedFile) -> list[IndexedFile]:
    """List a file for each hemisphere that it holds."""
    extension = file.entities.get("extension")
    if "hemi" in file.entities or "_hemi-" in file.source.path.name:
        return [file]
    if extension in _CIFTI_EXTENSIONS:
        source = replace(file.source, kind="cifti")
        entities = {"space": "fsLR", **file.entities}  # the surface of CIFTI in BIDS
    elif extension in _VOLUME_EXTENSIONS:
        source, entities = replace(file.source, kind="volume"), {**file.entities}
    else:
        return [file]
    return [
        replace(file, source=source, entities={**entities, "hemi": hemi}) for hemi in HEMISPHERES
    ]


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
    return "_".join(unkeyed) or (keyed[0] if keyed else _UNNAMED)


def _freesurfer_volumes(folder: Path) -> list[Path]:
    """List the volumes of retinotopy beside FreeSurfer's own, as neuropythy writes them."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder / "mri"))
    except OSError:  # not there, or not to be read, which costs no surface
        return []
    return [folder / "mri" / name for name in names if _FREESURFER_VOLUME.fullmatch(name)]


def _freesurfer_maps(
    dataset: Dataset, path: Path, filters: Mapping[str, Mapping[str, Any]]
) -> list[IndexedFile]:
    """Index a map of retinotopy under a FreeSurfer name; a volume is one of each hemisphere."""
    in_mri = path.parent.name == "mri"  # where lh. and rh. are volumes too
    match = None if in_mri else _FREESURFER_NAME.fullmatch(path.name)
    volume = _FREESURFER_VOLUME.fullmatch(path.name)
    named = match or volume
    if named is None:
        return []
    entities = {
        "desc": named["tag"] or _UNNAMED,
        "suffix": _OTHER_NAMES.get(named["suffix"], named["suffix"]),
        "extension": named["extension"],
    }
    if match is not None:
        entities["hemi"] = match["hemi"].upper()
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
    file = IndexedFile(source_file(dataset, path), entities, dataset.name, queries)
    return _of_both_hemispheres(file)


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
        if name.startswith(".") or _NO_UNICODE.search(name):  # neither is a name of BIDS
            continue
        if is_folder:
            if depth and name not in pruned:
                yield from _file_names(folder / name, depth - 1)
        else:
            yield folder / name


def _is_freesurfer(folder: Path) -> bool:
    return (folder / "surf").is_dir() and (folder / "mri").is_dir()
