"""Find datasets, participants and maps. The only module that knows pybids.

Every participant is indexed alone, from its own folders, so that the cost does not depend on
how many participants a study has.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from bids_secondlevel.errors import (
    InputMissingError,
    InvalidDatasetError,
    NothingSelectedError,
    UsageError,
)
from bids_secondlevel.model import Dataset, IndexedFile, ParticipantIndex, SourceFile
from bids_secondlevel.settings import FILTER_QUERIES, DerivativePath, Settings

RETINOTOPIC_MAPS = ("varea", "eccen", "angle", "sigma", "vexpl")

_PARTICIPANT_FOLDER = re.compile(r"sub-([0-9A-Za-z+]+)(?:_ses-[0-9A-Za-z+]+)?")
_BIDS_NAME = re.compile(rf"[^/]*_(?:statmap|{'|'.join(RETINOTOPIC_MAPS)})\.(?!json$)[^/]+")
_FREESURFER_NAME = re.compile(
    r"(?:sub-(?P<subject>[0-9A-Za-z+]+)_(?:[0-9A-Za-z]+-[0-9A-Za-z+]+_)*)?"
    rf"(?P<hemi>[lr])h\.(?P<tag>[^/]+)_(?P<suffix>{'|'.join(RETINOTOPIC_MAPS)})"
    r"(?P<extension>\.mgz|\.mgh|\.gii|)"
)
_SURFACE_EXTENSIONS = (".func.gii", ".shape.gii", ".gii", ".mgz", ".mgh", ".nii.gz")
_TAG_ENTITIES = ("desc", "atlas", "model", "segmentation", "label")
# What FreeSurfer keeps beside surf/ and label/: many files, none of them on a surface.
_PRUNED_FOLDERS = {"mri", "scripts", "stats", "touch", "tmp", "trash", "figures", "log"}
_MAX_DEPTH = 4
_OWN_NAME = "bids_secondlevel"


def check_bids_dir(settings: Settings) -> Mapping[str, Any]:
    """Check that ``BIDS_DIR`` is a BIDS dataset and return its description.

    Raises
    ------
    InputMissingError
        If there is no such folder.
    InvalidDatasetError
        If its ``dataset_description.json`` is missing or broken, unless validation is skipped.
    """
    bids_dir = settings.bids_dir
    if not bids_dir.is_dir():
        raise InputMissingError(f"{bids_dir}: there is no such folder; expected a BIDS dataset.")
    path = bids_dir / "dataset_description.json"
    description = _read_description(bids_dir)
    if not settings.skip_bids_validation:
        hint = "(--skip-bids-validation goes on regardless)"
        if not path.is_file():
            raise InvalidDatasetError(
                f"{bids_dir}: holds no dataset_description.json, so it is not a BIDS dataset. "
                f"Check the path, or add the file {hint}."
            )
        missing = [key for key in ("Name", "BIDSVersion") if key not in description]
        if missing:
            raise InvalidDatasetError(
                f"{path}: expected a JSON object with Name and BIDSVersion, found no "
                f"{' and no '.join(missing)}. Correct the file {hint}."
            )
    return description


def check_output_dir(settings: Settings) -> None:
    """Check that the results of another tool, or the input, would not be written into.

    Raises
    ------
    UsageError
        If ``OUTPUT_DIR`` is ``BIDS_DIR`` or a dataset that this program has not made.
    """
    output, bids_dir = settings.output_dir, settings.bids_dir
    described = (output / "dataset_description.json").exists()
    if output.resolve() == bids_dir.resolve() or (
        (described or _participants_in(output)) and not _is_our_own(output)
    ):
        raise UsageError(
            f"OUTPUT_DIR {output}: holds a dataset that this program has not made, and input is "
            f"never written to. Name another folder, such as {bids_dir}/derivatives/{_OWN_NAME}."
        )


def find_datasets(settings: Settings) -> tuple[Dataset, ...]:
    """List the datasets in which maps are looked for.

    Those given with ``--derivatives``, else the folders below ``BIDS_DIR/derivatives`` and
    ``BIDS_DIR/sourcedata/freesurfer``; then ``sourcedata/freesurfer`` inside each of them.
    ``BIDS_DIR`` itself is one when it is a derivative dataset. Our own results are left out.

    Raises
    ------
    InputMissingError
        If a folder given with ``--derivatives`` does not exist, or there is none to look in.
    UsageError
        If two datasets are given the same name.
    """
    bids_dir = settings.bids_dir
    if settings.derivatives:
        named = list(chain.from_iterable(_given(given) for given in settings.derivatives))
    else:
        named = [(None, child) for child in _folders(bids_dir / "derivatives")]
        named.append((None, bids_dir / "sourcedata" / "freesurfer"))
    if _read_description(bids_dir).get("DatasetType") == "derivative":
        named.insert(0, (None, bids_dir))
    named += [(None, root / "sourcedata" / "freesurfer") for _, root in list(named)]
    output = settings.output_dir.absolute()
    datasets: dict[Path, Dataset] = {}
    for name, root in named:
        absolute = root.absolute()
        if absolute in (output, *datasets) or not root.is_dir() or _is_our_own(root):
            continue
        name_in_uris = _unique_name(name, root, datasets.values())
        datasets[absolute] = Dataset(name_in_uris, absolute)
    if not datasets:
        raise InputMissingError(
            f"{bids_dir}: no derivatives found below it. Name the folders of first-level maps "
            "and retinotopy with --derivatives."
        )
    return tuple(datasets.values())


def list_participants(bids_dir: Path, datasets: Sequence[Dataset]) -> tuple[str, ...]:
    """List the participants of a study: those of ``BIDS_DIR``, else those of the derivatives.

    Returns
    -------
    tuple of str
        Sorted labels, without ``sub-``.
    """
    in_study = _participants_in(bids_dir)
    return tuple(sorted(in_study or _participants_of(datasets)))


def select_participants(
    settings: Settings, datasets: Sequence[Dataset]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose the participants to process.

    Returns
    -------
    selected, unknown : tuple of str
        Labels found, and labels asked for that exist nowhere.

    Raises
    ------
    NothingSelectedError
        If none is left.
    """
    everyone = list_participants(settings.bids_dir, datasets)
    asked = settings.participant_label
    if not asked:
        if not everyone:
            raise NothingSelectedError(
                f"{settings.bids_dir}: no folder of a participant (sub-...) found, neither "
                "here nor in the derivatives."
            )
        return everyone, ()
    known = {*everyone, *_participants_of(datasets)}
    selected = tuple(label for label in asked if label in known)
    unknown = tuple(label for label in asked if label not in known)
    if not selected:
        raise NothingSelectedError(unknown_participants(unknown, everyone))
    return selected, unknown


def unknown_participants(unknown: Sequence[str], everyone: Sequence[str]) -> str:
    """Say which participants do not exist, and which do."""
    shown = ", ".join(everyone[:20]) + (", ..." if len(everyone) > 20 else "")
    return (
        f"--participant-label: no participant {', '.join(unknown)} in this dataset; "
        f"there are: {shown or 'none'}."
    )


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
    statistical: list[IndexedFile] = []
    retinotopic: list[IndexedFile] = []
    volumes: list[SourceFile] = []
    foreign: list[SourceFile] = []
    for dataset in datasets:
        for folder in _participant_folders(dataset.root, label):
            names = list(_file_names(folder))
            found = [_freesurfer_file(dataset, path) for path in names]
            if any(_BIDS_NAME.fullmatch(path.name) for path in names):
                found += _bids_files(dataset, folder, filters)
            for file in found:
                if file is None:
                    continue
                if file.entities.get("subject", label) != label:
                    foreign.append(file.source)
                elif "hemi" not in file.entities:
                    if file.entities["suffix"] == "statmap":
                        volumes.append(file.source)
                elif file.entities["suffix"] == "statmap":
                    statistical.append(file)
                else:
                    retinotopic.append(file)
    return ParticipantIndex(
        label, tuple(statistical), tuple(retinotopic), tuple(volumes), tuple(foreign)
    )


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
    ignored = re.compile(
        rf"/(?:{'|'.join(sorted(_PRUNED_FOLDERS))}|\.[^/]*)$"
        rf"|/(?![^/]*_(?:statmap|{'|'.join(RETINOTOPIC_MAPS)})\.)[^/]+\.[^/]+$"
    )
    layout = BIDSLayout(
        folder,
        validate=False,
        is_derivative=True,
        config=[config],
        indexer=BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=[ignored]),
    )
    passing = {
        query: {file.path for file in _filtered(layout, query, filters.get(query, {}))}
        for query in FILTER_QUERIES
    }
    indexed = []
    for file in layout.get(suffix=["statmap", *RETINOTOPIC_MAPS]):
        entities = {name: str(value) for name, value in file.get_entities().items()}
        if entities.get("extension") == ".json":
            continue
        if "hemi" in entities:
            entities["hemi"] = entities["hemi"][0].upper()
            if entities.get("extension") not in _SURFACE_EXTENSIONS:
                continue
        if entities["suffix"] != "statmap":
            entities["desc"] = _retinotopy_tag(Path(file.path).name, entities)
        queries = frozenset(query for query, paths in passing.items() if file.path in paths)
        source = source_file(dataset, folder / file.relpath)
        indexed.append(IndexedFile(source, entities, dataset.name, queries))
    return indexed


def _filtered(layout: Any, query: str, entities: Mapping[str, Any]) -> Iterable[Any]:
    from bids.layout import Query

    special = {None: Query.NONE, "*": Query.ANY}
    special |= {f"Query.{member.name}": member for member in Query}
    special["Query.ANY"] = Query.ANY

    def meaning(value: Any) -> Any:
        if isinstance(value, list):
            return [meaning(item) for item in value]
        return special.get(value, value)

    try:
        found: Iterable[Any] = layout.get(
            **{name: meaning(value) for name, value in entities.items()}
        )
    except ValueError as error:
        known = ", ".join(sorted(layout.get_entities(metadata=False)))
        message = f"--bids-filter-file: {query}: {error} Known entities: {known}."
        raise UsageError(message) from error
    return found


def _retinotopy_tag(name: str, entities: Mapping[str, str]) -> str:
    """Find what tells one set of retinotopic maps from another in a BIDS name."""
    unkeyed = [part for part in name.split("_")[1:-1] if "-" not in part]
    keyed = [entities[entity] for entity in _TAG_ENTITIES if entity in entities]
    return "_".join(unkeyed) or (keyed[0] if keyed else "unnamed")


def _freesurfer_file(dataset: Dataset, path: Path) -> IndexedFile | None:
    match = _FREESURFER_NAME.fullmatch(path.name)
    if match is None:
        return None
    entities = {
        "hemi": match["hemi"].upper(),
        "desc": match["tag"],
        "suffix": match["suffix"],
        "extension": match["extension"],
    }
    if match["subject"]:
        entities["subject"] = match["subject"]
    return IndexedFile(
        source_file(dataset, path), entities, dataset.name, frozenset(FILTER_QUERIES)
    )


def _participant_folders(root: Path, label: str) -> list[Path]:
    """Folders of a participant: ``sub-X``, ``sub-X_ses-Y``, and ``node-*/sub-X`` (FitLins)."""
    nodes = [root, *_folders(root, "node-")]
    return [
        folder
        for node in nodes
        for folder in _folders(node, f"sub-{label}")
        if (match := _PARTICIPANT_FOLDER.fullmatch(folder.name)) and match[1] == label
    ]


def _file_names(folder: Path, depth: int = _MAX_DEPTH) -> Iterator[Path]:
    """List the files below a folder, in a fixed order."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if depth and entry.name not in _PRUNED_FOLDERS:
                yield from _file_names(folder / entry.name, depth - 1)
        else:
            yield folder / entry.name


def _folders(path: Path, prefix: str = "") -> list[Path]:
    """List the folders in a folder whose names begin with `prefix`, hidden ones left out."""
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.startswith(prefix) and not entry.name.startswith(".") and entry.is_dir()
        ]
    return [path / name for name in sorted(names)]


def _participants_in(root: Path) -> set[str]:
    matches = (_PARTICIPANT_FOLDER.fullmatch(folder.name) for folder in _folders(root))
    return {match[1] for match in matches if match}


def _participants_of(datasets: Iterable[Dataset]) -> set[str]:
    return set().union(*(_participants_in(dataset.root) for dataset in datasets))


def _given(given: DerivativePath) -> list[tuple[str | None, Path]]:
    """Resolve one ``--derivatives`` path: a dataset, or a folder that holds several."""
    if not given.path.is_dir():
        raise InputMissingError(
            f"--derivatives {given.path}: there is no such folder. Check the path (and, in a "
            "container, that it is mounted)."
        )
    children = _folders(given.path)
    is_dataset = (
        (given.path / "dataset_description.json").exists()
        or _participants_in(given.path)
        or _folders(given.path, "node-")
    )
    if is_dataset or not children:
        return [(given.name, given.path)]
    return [(None, child) for child in children]


def _unique_name(name: str | None, root: Path, others: Iterable[Dataset]) -> str:
    """Name a dataset as BIDS URIs can: letters, digits, point, hyphen and underscore."""
    taken = {dataset.name for dataset in others}
    if name is not None and name in taken:
        raise UsageError(f"--derivatives: the name {name} is given to two datasets.")
    base = re.sub(r"[^0-9A-Za-z._-]", "-", name or root.absolute().name) or "derivative"
    candidates = chain([base], (f"{base}-{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _is_our_own(root: Path) -> bool:
    generated_by = _read_description(root).get("GeneratedBy")
    tools = generated_by if isinstance(generated_by, list) else []
    return any(isinstance(tool, dict) and tool.get("Name") == _OWN_NAME for tool in tools)


def _read_description(root: Path) -> Mapping[str, Any]:
    try:
        description = json.loads((root / "dataset_description.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return description if isinstance(description, dict) else {}
