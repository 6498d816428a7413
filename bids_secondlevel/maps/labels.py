"""Read one visual area from a file of labels: FreeSurfer labels and annotations, GIFTI, maps."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.maps.files import explained
from bids_secondlevel.maps.surfaces import read_map, whole_numbers

_NO_AREA = {"???", "unknown", "background", "medial wall"}
"""Names of labels that stand for no area."""

_NUMBER = re.compile("-?[0-9]+")


def read_area(path: Path, hemisphere: Hemisphere, label: str, n_vertices: int) -> Mask:
    """Read a visual area that is given in a file of its own.

    Parameters
    ----------
    path : Path
        FreeSurfer label (``.label``) or annotation (``.annot``), GIFTI labels, or a map of
        whole numbers in any format that :func:`bids_secondlevel.maps.surfaces.read_map` reads.
    hemisphere : {"L", "R"}
        The hemisphere the file must belong to; only GIFTI files say which that is.
    label : str
        Which of the labels: the name of a structure or label (exact, else whatever its case),
        or the number in a map or GIFTI file. Empty for a ``.label`` file, which holds one area,
        and to take every label of a map or GIFTI file that is an area.
    n_vertices : int
        Of the surface the area must be on.

    Returns
    -------
    (n_vertices,) array of bool
        With at least one vertex.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, is on another surface, or has no such label or no vertex of it.
    """
    if path.suffix == ".label":
        mask = _from_label(path, label, n_vertices)
    elif path.suffix == ".annot":
        mask = _from_annotation(path, label, n_vertices)
    else:
        mask = _from_map(path, hemisphere, label, n_vertices)
    if not mask.any():
        raise DataError(
            f"{path}: no vertex has {f'the label {label!r}' if label else 'a label'}; expected "
            "an area with vertices."
        )
    return mask


def _from_label(path: Path, label: str, n_vertices: int) -> Mask:
    if label:
        raise DataError(
            f"{path}: holds a single area without a name, but {label!r} was asked for. Name the "
            "file alone, or an annotation (.annot) that has such a structure."
        )
    with explained(path, "FreeSurfer label"):
        with path.open(encoding="utf-8") as file:
            file.readline()
            declared = int(file.readline())
            # Each line: vertex, three coordinates, a value. (nibabel's read_label accepts a cut
            # file.)
            rows = np.loadtxt(file, ndmin=2) if declared else np.empty((0, 5))
        if rows.shape != (declared, 5):
            raise ValueError(
                f"{rows.shape[0]} lines of {rows.shape[1]} numbers; its header declares "
                f"{declared} of 5"
            )
        if not np.array_equal(rows[:, 0], rows[:, 0].round()) or (abs(rows[:, 0]) > 2**53).any():
            raise ValueError("numbers of vertices that are no whole numbers")
        vertices = rows[:, 0].astype(np.int64)
    outside = vertices[(vertices < 0) | (vertices >= n_vertices)]
    if outside.size:
        raise DataError(
            f"{path}: names the vertex {outside[0]}, but the surface has {n_vertices} (0 to "
            f"{n_vertices - 1}). Expected a label on the same surface."
        )
    mask = np.zeros(n_vertices, dtype=bool)
    mask[vertices] = True
    return mask


def _from_annotation(path: Path, label: str, n_vertices: int) -> Mask:
    with explained(path, "FreeSurfer annotation"):
        # By the numbers of the file: nibabel's own are wrong where one is not in the table.
        numbers, table, encoded = nib.freesurfer.read_annot(path, orig_ids=True)
        names = [name.decode() for name in encoded]
    _check_length(path, numbers, n_vertices)
    if len(names) != len(table):
        raise DataError(
            f"{path}: its table has {len(names)} names for {len(table)} places, so that nibabel "
            "cannot tell which is which. Convert it to GIFTI labels (mris_convert --annot)."
        )
    entry = _find(path, label, dict(enumerate(names)))
    number = table[entry, 4]
    alike = [name for name, same in zip(names, table[:, 4] == number, strict=True) if same]
    if len(alike) > 1:
        raise DataError(
            f"{path}: gives the structures {_listed(alike)} the same colour, by which an "
            "annotation tells them apart. Give each its own."
        )
    mask: Mask = numbers == number
    return mask


def _from_map(path: Path, hemisphere: Hemisphere, label: str, n_vertices: int) -> Mask:
    numbers = whole_numbers(read_map(path, hemisphere), path)
    _check_length(path, numbers, n_vertices)
    names = _gifti_names(path) if path.name.endswith((".gii", ".gii.gz")) else {}
    if not label:
        none = [number for number, name in names.items() if _is_no_area(name)]
        return ~np.isin(numbers, [0, *none])
    keys = {*names, *np.unique(numbers).tolist()}
    if label in names.values() or not _NUMBER.fullmatch(label):
        key = _find(path, label, {key: names.get(key, str(key)) for key in sorted(keys)})
    else:
        key = _find(path, str(int(label)), {key: str(key) for key in sorted(keys)})
    return np.asarray(numbers == key)


def _gifti_names(path: Path) -> Mapping[int, str]:
    with explained(path, "label file"):
        table = nib.gifti.GiftiImage.from_filename(path).labeltable
        return {int(number): name or "" for number, name in table.get_labels_as_dict().items()}


def _find(path: Path, label: str, names: Mapping[int, str]) -> int:
    """Find the key of a name: the exact one, else the one that differs in case only."""
    exact = [key for key, name in names.items() if name == label]
    found = exact or [key for key, name in names.items() if name.casefold() == label.casefold()]
    if len(found) == 1:
        return found[0]
    asked = f"the label {label!r}" if label else "a label without a name"
    raise DataError(
        f"{path}: {asked} was asked for, and {len(found)} are there; expected one of "
        f"{_listed(names.values())}."
    )


def _is_no_area(name: str) -> bool:
    plain = name.casefold().replace("_", " ")
    return plain in _NO_AREA or plain.startswith("background")


def _check_length(path: Path, values: Array, n_vertices: int) -> None:
    if values.size != n_vertices:
        raise DataError(
            f"{path}: has {values.size} vertices, but the maps have {n_vertices}; expected an "
            "area on the same surface."
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
