"""Find the datasets and participants of a study, and check where results may go."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from bids_secondlevel.core.errors import (
    DataError,
    InputMissingError,
    InvalidDatasetError,
    NothingSelectedError,
    UsageError,
)
from bids_secondlevel.core.files import Dataset
from bids_secondlevel.core.settings import DerivativePath, Settings
from bids_secondlevel.core.words import in_words
from bids_secondlevel.inputs.names import PARTICIPANT_FOLDER
from bids_secondlevel.maps.files import check_present, read_json, read_json_object

_OWN_NAME = "bids_secondlevel"
NEVER_SEARCHED = {"sourcedata", "derivatives", "rawdata", "code", "logs", "figures", "surf", "mri"}
"""Folders that do not contain folders of participants."""
_MOST_SEARCHED = 50


def check_bids_dir(settings: Settings) -> Mapping[str, Any]:
    """Check that ``BIDS_DIR`` is a BIDS dataset and return its description.

    Raises
    ------
    InputMissingError
        If the folder does not exist, or its description is not fetched (DataLad).
    InvalidDatasetError
        If its ``dataset_description.json`` is missing or broken, unless validation is skipped.
    """
    bids_dir = settings.bids_dir
    if not bids_dir.is_dir():
        raise InputMissingError(
            f"{bids_dir}: this folder does not exist; expected a BIDS dataset. Check the path."
        )
    if settings.skip_bids_validation:
        return read_description(bids_dir)
    path = bids_dir / "dataset_description.json"
    hint = "(or use --skip-bids-validation)"
    if not (path.is_file() or path.is_symlink()):
        raise InvalidDatasetError(
            f"{bids_dir}: has no dataset_description.json, so it is not a BIDS dataset. "
            f"Check the path, or add the file {hint}."
        )
    check_present(path)
    try:
        description = read_json_object(path)
    except DataError as error:
        raise InvalidDatasetError(f"{error} To ignore this, use --skip-bids-validation.") from error
    missing = [key for key in ("Name", "BIDSVersion") if key not in description]
    if missing:
        raise InvalidDatasetError(
            f"{path}: expected a JSON object with Name and BIDSVersion, found no "
            f"{' and no '.join(missing)}. Correct the file {hint}."
        )
    return description


def check_output_dir(settings: Settings) -> None:
    """Check that results would not be written into the input or the results of another tool.

    Raises
    ------
    UsageError
        If ``OUTPUT_DIR`` is ``BIDS_DIR``, or is in a dataset of another tool.
    """
    output, bids_dir = settings.output_dir, settings.bids_dir
    absolute = output.absolute()
    if ".." in absolute.parts:  # folders left again by ".." are not parents
        absolute = real_path(absolute)
    for folder in (absolute, *absolute.parents):
        inside = absolute.relative_to(folder).parts
        described = (folder / "dataset_description.json").exists()
        is_input = real_path(folder) == real_path(bids_dir) or (
            not inside and _participants_in(folder)
        )
        if (described or is_input) and len(inside) > 1 and inside[0] == "derivatives":
            break  # the derivatives of the nearest dataset, whatever is around it
        if (described or is_input) and not _is_our_own(folder):
            raise UsageError(
                f"OUTPUT_DIR {output}: is in {folder}, a dataset that this program has not made. "
                "The program never writes into its input. Give another folder, such as "
                f"{bids_dir}/derivatives/{_OWN_NAME}."
            )


def find_datasets(settings: Settings) -> tuple[Dataset, ...]:
    """List the datasets in which maps are searched.

    These are the datasets given with ``--derivatives``, else the folders below
    ``BIDS_DIR/derivatives`` and ``BIDS_DIR/sourcedata/freesurfer``; then ``sourcedata/freesurfer``
    inside each of them. ``BIDS_DIR`` itself is one if it is a derivative dataset. Results of this
    program are skipped. If a dataset has no participants, they are searched up to two levels below.

    Raises
    ------
    InputMissingError
        If a folder given with ``--derivatives`` does not exist, or there is no folder to search.
    UsageError
        If two datasets are given the same name.
    """
    bids_dir = settings.bids_dir
    if settings.derivatives:
        named = list(chain.from_iterable(_given(given) for given in settings.derivatives))
    else:
        derivatives = bids_dir / "derivatives"
        children = [f for f in folders_in(derivatives) if not f.name.startswith("sub-")]
        named = [(None, child) for child in children]
        if _participants_in(derivatives):
            named.insert(0, (None, derivatives))
        named.append((None, bids_dir / "sourcedata" / "freesurfer"))
    if read_description(bids_dir).get("DatasetType") == "derivative":
        named.insert(0, (None, bids_dir))
    for _, root in list(named):
        below = () if _holds_participants(root) else _searched(root)
        named += [(None, folder / "sourcedata" / "freesurfer") for folder in (root, *below)]
    output = settings.output_dir.absolute()
    datasets: dict[Path, Dataset] = {}
    for name, root in named:
        absolute = root.absolute()
        if absolute in (output, *datasets) or not root.is_dir() or _is_our_own(root):
            continue
        name_in_uris = unique_name(name, root, datasets.values())
        task = name if name and name.isalnum() else None  # without it, no task could have this name
        datasets[absolute] = Dataset(name_in_uris, absolute, task, _deeper(absolute))
    if not datasets and not (settings.maps or settings.retinotopy):
        searched = ", ".join(str(root) for root in dict.fromkeys(root for _, root in named))
        raise InputMissingError(
            f"{bids_dir}: found no derivatives below it (searched: {searched}). Give the folders "
            "of first-level maps and retinotopy with --derivatives."
        )
    return tuple(datasets.values())


def list_participants(
    bids_dir: Path, datasets: Sequence[Dataset], described: Callable[[], set[str]] = set
) -> tuple[str, ...]:
    """List the participants in ``BIDS_DIR`` or, if there are none, in the derivatives.

    Labels are sorted, and without ``sub-``.

    Parameters
    ----------
    described
        Finds the participants of described files, if needed.
    """
    in_study = _participants_in(bids_dir)
    return tuple(sorted(in_study or (_participants_of(datasets) | described())))


def unlisted_participants(
    everyone: Sequence[str], datasets: Sequence[Dataset], described: Callable[[], set[str]] = set
) -> tuple[str, ...]:
    """List the participants that are only in the derivatives."""
    return tuple(sorted((_participants_of(datasets) | described()) - set(everyone)))


def select_participants(
    settings: Settings, datasets: Sequence[Dataset], described: Callable[[], set[str]] = set
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose the participants to process, and list labels that do not exist.

    Raises
    ------
    NothingSelectedError
        If none is left.
    """
    everyone = list_participants(settings.bids_dir, datasets, described)
    asked = settings.participant_label
    if not asked:
        if not everyone:
            searched = "".join(f"\n  {what_is_in(dataset, None)}" for dataset in datasets)
            raise NothingSelectedError(
                f"{settings.bids_dir}: found no folder of a participant (sub-...), neither here "
                f"nor in the derivatives. Searched:{searched}\nIf folders of participants have "
                "other names, describe them in [[maps]] and [[retinotopy]] entries of the config "
                "file."
            )
        return everyone, ()
    known = {*everyone, *_participants_of(datasets)}
    if not known.issuperset(asked):
        known |= described()
    selected = tuple(label for label in asked if label in known)
    unknown = tuple(label for label in asked if label not in known)
    if not selected:
        raise NothingSelectedError(unknown_participants(unknown, everyone))
    return selected, unknown


def unknown_participants(unknown: Sequence[str], everyone: Sequence[str]) -> str:
    """Report which participants do not exist, and which do."""
    shown = ", ".join(everyone[:20]) + (", ..." if len(everyone) > 20 else "")
    return (
        f"--participant-label: there is no participant {', '.join(unknown)} in this dataset. "
        f"Participants: {shown or 'none'}."
    )


def participant_folders(dataset: Dataset, label: str) -> list[Path]:
    """List the folders of a participant: ``sub-X``, ``sub-X_ses-Y``, ``node-*/sub-X`` (FitLins)."""
    return [
        folder
        for holder in dataset.holders
        for node in (holder, *folders_in(holder, "node-"))
        for folder in folders_in(node, f"sub-{label}")
        if (match := PARTICIPANT_FOLDER.fullmatch(folder.name)) and match[1] == label
    ]


def holder_of(path: Path) -> Path | None:
    """Find the parent of the participant's folder that contains a file."""
    folders = [part for part in path.parents if PARTICIPANT_FOLDER.fullmatch(part.name)]
    return folders[0].parent if folders else None


def what_is_in(dataset: Dataset, label: str | None) -> str:
    """Report where a participant was searched in a dataset and, if not found, what is there.

    Parameters
    ----------
    label
        Without ``sub-``; ``None`` for any participant.
    """
    found = participant_folders(dataset, label) if label else []
    if found:
        return in_words([str(folder) for folder in found])
    root = dataset.root
    if is_empty(dataset):
        return (
            f"{root} (an empty folder; if it is a DataLad dataset that is not installed: "
            f"datalad get {root})"
        )
    names = [folder.name for holder in dataset.holders for folder in folders_in(holder)]
    there = f"its folders are {in_words(_first(names))}" if names else "it has no folders"
    return f"{root} (no folder {f'sub-{label}' if label else 'sub-...'}; {there})"


def is_empty(dataset: Dataset) -> bool:
    """Return whether a dataset is empty, for example because DataLad has not installed it."""
    return next(dataset.root.iterdir(), None) is None


def _first(names: Sequence[str]) -> list[str]:
    rest = [f"{len(names) - 4} more"] if len(names) > 5 else []
    return [*names[: 4 if rest else 5], *rest]


def folders_in(path: Path, prefix: str = "") -> list[Path]:
    """List the folders in a folder whose names begin with `prefix`, without hidden ones.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    if not path.is_dir():
        return []
    _, names, _ = next(os.walk(path, onerror=refuse_folder))
    chosen = (n for n in names if n.startswith(prefix) and not n.startswith("."))
    return [path / name for name in sorted(chosen)]


def refuse_folder(error: OSError) -> NoReturn:
    """Raise the error that :func:`os.walk` ignores: a folder cannot be read."""
    raise DataError(f"{error.filename}: cannot be read ({error.strerror or error}).") from error


def real_path(path: Path) -> Path:
    """Follow links as far as possible; :meth:`Path.resolve` fails at loops."""
    return Path(os.path.realpath(path))


def _participants_in(root: Path) -> set[str]:
    matches = (PARTICIPANT_FOLDER.fullmatch(folder.name) for folder in folders_in(root))
    return {match[1] for match in matches if match}


def _participants_of(datasets: Iterable[Dataset]) -> set[str]:
    return set().union(*(_participants_in(f) for dataset in datasets for f in dataset.holders))


def _holds_participants(folder: Path) -> bool:
    """Return whether a folder, or a node of FitLins in it, has folders of participants."""
    return bool(_participants_in(folder) or folders_in(folder, "node-"))


def _deeper(root: Path) -> tuple[Path, ...]:
    """Find the parents of participants' folders up to two levels below a dataset.

    Returns
    -------
    tuple of Path
        Folders of the first level that has any; empty if the dataset itself has participants.
    """
    level = [root]
    for _ in range(3):
        found = tuple(folder for folder in level if _holds_participants(folder))
        if found:
            return () if found == (root,) else found
        level = [child for folder in level for child in _searched(folder)]
    return ()


def _searched(folder: Path) -> list[Path]:
    """List the folders that may contain folders of participants.

    Returns none if there are very many: they are participants with other names.
    """
    children = [
        child
        for child in folders_in(folder)
        if child.name not in NEVER_SEARCHED and not _is_our_own(child)
    ]
    return children if len(children) <= _MOST_SEARCHED else []


def _given(given: DerivativePath) -> list[tuple[str | None, Path]]:
    """Resolve one path of ``--derivatives``: a dataset, or a folder of several."""
    if not given.path.is_dir():
        raise InputMissingError(
            f"--derivatives {given.path}: this folder does not exist. Check the path (and, in a "
            "container, that it is mounted)."
        )
    children = folders_in(given.path)
    is_described = (given.path / "dataset_description.json").exists()
    if given.name or is_described or _holds_participants(given.path) or not children:
        return [(given.name, given.path)]
    return [(None, child) for child in children]


def unique_name(name: str | None, root: Path, others: Iterable[Dataset]) -> str:
    """Make a name for BIDS URIs: letters, digits, point, hyphen and underscore."""
    taken = {"raw", *(dataset.name for dataset in others)}  # raw is BIDS_DIR
    if name is not None and name in taken:
        raise UsageError(
            f"--derivatives: two datasets have the name {name}. Give them different names "
            "(NAME=PATH)."
        )
    base = re.sub(r"[^0-9A-Za-z._-]", "-", name or root.absolute().name) or "derivative"
    candidates = chain([base], (f"{base}-{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _is_our_own(root: Path) -> bool:
    """Return whether this program made a dataset, by its description or, if missing, its logs.

    A power failure may remove or damage the description; it is written again.
    """
    description = read_description(root)
    if not description:
        return any((root / "logs").glob("*_settings.toml"))
    generated_by = description.get("GeneratedBy")
    tools = generated_by if isinstance(generated_by, list) else []
    return any(isinstance(tool, dict) and tool.get("Name") == _OWN_NAME for tool in tools)


def read_description(root: Path) -> Mapping[str, Any]:
    """Read ``dataset_description.json``; empty if it is missing or damaged."""
    try:
        description = read_json(root / "dataset_description.json")
    except PermissionError:
        raise
    except (OSError, ValueError):
        return {}
    return description if isinstance(description, dict) else {}
