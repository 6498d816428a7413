"""Read maps, meshes and visual areas of one hemisphere."""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask, Mesh
from bids_secondlevel.maps.cifti import label_tables, read_cortex
from bids_secondlevel.maps.files import (
    as_floats,
    chosen_frame,
    explained,
    index_of_array,
    read_header,
    read_image,
    read_text,
)
from bids_secondlevel.maps.gifti import AFNI, read_gifti
from bids_secondlevel.maps.volumes import read_volume

STRUCTURES: Mapping[Hemisphere, str] = {"L": "CortexLeft", "R": "CortexRight"}
"""GIFTI's ``AnatomicalStructurePrimary`` of each hemisphere."""

_NIFTI = (".nii", ".nii.gz")
_NIFTI_ENDING = r"(?i:\.nii(?:\.gz)?)$"
_IMAGES = (".mgz", ".mgh", *_NIFTI)
_MESH_INTENTS = {"NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE"}
_NEW_CURV = b"\xff\xff\xff"

_MOST_VERTICES = 1_000_000
"""Several times the vertices of a fine surface; volumes of the whole brain have more voxels."""

_NO_AREA = {"???", "unknown", "background", "medial wall"}
"""Names of labels that are not an area."""

_LABELS_OF_BOTH = ".dlabel.nii"
_NUMBER = re.compile("-?[0-9]+")

_ROUNDING = 8 * np.finfo(np.float32).eps
"""Largest rounding error of a stored label, relative to its size."""


def read_map(path: Path, hemisphere: Hemisphere, chosen: int | str | None = None) -> Array:
    """Read a surface map: one value per vertex.

    Parameters
    ----------
    path
        GIFTI (also compressed), MGZ/MGH, NIfTI holding a surface, or a FreeSurfer morphometry
        ("curv") file if the name has no other known extension.
    hemisphere
        Hemisphere that the map must belong to; only GIFTI files have this information.
    chosen
        Which array of the file, by number from 0 or, in GIFTI files, by name.

    Returns
    -------
    (n_vertices,) array of float
        In the precision of the file, or one that holds its whole numbers.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, has more than one value per vertex, is a volume or a mesh, or belongs
        to another structure.
    """
    with explained(path, "surface map"):
        if _is_gifti(path):
            values = _values(path, _load_gifti(path, hemisphere), chosen)
        elif path.name.casefold().endswith(_IMAGES):
            values = read_image(path)[1]
            if chosen is not None:
                values = chosen_frame(path, values, chosen)
            values = _unfolded(path, values)
        else:
            values = _read_curv(path)
        if values.size == 0 or sum(length > 1 for length in values.shape) > 1:
            raise DataError(
                f"{path}: holds an array of {_times(values.shape)} values; expected one value per "
                "vertex of a surface. A volume or a time series cannot be used here."
            )
        return as_floats(path, values).reshape(-1)


def read_mesh(path: Path, hemisphere: Hemisphere) -> Mesh:
    """Read a surface mesh.

    Parameters
    ----------
    path
        GIFTI (``.surf.gii``, also compressed), or a FreeSurfer geometry file (``lh.white``)
        under any other name.
    hemisphere
        Hemisphere that the mesh must belong to; only GIFTI files have this information.

    Returns
    -------
    Mesh
        In the coordinate system and the precision of the file.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, is not a mesh, or belongs to another structure.
    """
    with explained(path, "surface mesh"):
        if _is_gifti(path):
            mesh = _gifti_mesh(path, _load_gifti(path, hemisphere))
        else:
            coordinates, triangles = nib.freesurfer.read_geometry(path)
            mesh = Mesh(coordinates, triangles.astype(np.intp))  # big-endian ones index slowly
        _check_triangles(mesh)
        if mesh.coordinates.shape[1:] != (3,) or not np.isfinite(mesh.coordinates).all():
            raise DataError(f"{path}: expected three finite coordinates for each vertex.")
        if not mesh.triangles.size:
            raise DataError(f"{path}: has no triangles; expected a surface mesh.")
        return mesh


def read_area(path: Path, hemisphere: Hemisphere, label: str, n_vertices: int) -> Mask:
    """Read a visual area that is defined by a file.

    Parameters
    ----------
    path
        FreeSurfer label (``.label``) or annotation (``.annot``), GIFTI or CIFTI labels, or a
        map of whole numbers in any format that :func:`read_map` reads. A FreeSurfer table
        (``.ctab``) beside it may give names to the numbers.
    hemisphere
        Hemisphere that the file must belong to; only GIFTI files have this information.
    label
        Name of a structure or label (exact, else regardless of case), or the number in a map, GIFTI
        or CIFTI file. Empty for a ``.label`` file, which holds one area. For other files except
        annotations, empty selects every label that is an area.
    n_vertices
        Number of vertices that the surface of the area must have.

    Returns
    -------
    (n_vertices,) array of bool
        At least one vertex is true; for a CIFTI file, in one of the hemispheres.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, is on another surface, or has no such label or no vertex of it.
    """
    if path.suffix == ".label":
        mask = _in_label(path, label, n_vertices)
    elif path.suffix == ".annot":
        mask = _in_annotation(path, label)
    elif path.name.endswith(_LABELS_OF_BOTH):
        mask = _in_cifti(path, hemisphere, label)
    else:
        mask = _in_map(path, hemisphere, label)
    if mask.size != n_vertices:
        raise DataError(
            f"{path}: has {mask.size} vertices, but the maps have {n_vertices}; expected an "
            "area on the same surface."
        )
    if not mask.any() and not path.name.endswith(_LABELS_OF_BOTH):
        raise DataError(
            f"{path}: no vertex has {f'the label {label!r}' if label else 'a label'}; expected "
            "an area with vertices."
        )
    return mask


def read_area_of_volume(path: Path, label: str) -> Mask:
    """Read a visual area in a volume of whole numbers.

    Parameters
    ----------
    path
        A volume. A table beside it may give names to its numbers (``.tsv`` with columns ``index``
        and ``name`` as in BIDS, or FreeSurfer's ``.ctab``).
    label
        As for :func:`read_area`.

    Returns
    -------
    (n_voxels,) array of bool
        At least one voxel is true.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_area`.
    """
    values, _ = read_volume(path)
    numbers = whole_numbers(values, path)
    mask = np.isin(numbers, _keys(path, label, _names_beside(path), numbers))
    if not mask.any():
        raise DataError(
            f"{path}: no voxel has {f'the label {label!r}' if label else 'a label'}; expected "
            "an area with voxels."
        )
    return mask


def array_names(path: Path) -> tuple[str, ...]:
    """List the names of the arrays of a GIFTI file; empty for other files.

    Raises
    ------
    InputMissingError, DataError
        If the file is missing or cannot be read.
    """
    if not _is_gifti(path):
        return ()
    with explained(path, "surface map"):
        return tuple(data.meta.get("Name") or "" for data in read_gifti(path).darrays)


def whole_numbers(area: Array, path: Path) -> NDArray[np.int32]:
    """Convert the values of a map of visual areas to labels; NaN is not an area.

    Rounding errors of 32-bit floats are removed: 0.9999999 is 1.

    Parameters
    ----------
    area : (n_vertices,) array of numbers
    path
        File that they were read from.

    Returns
    -------
    (n_vertices,) array of int32

    Raises
    ------
    DataError
        If they are not whole numbers, or do not fit into 32 bits.
    """
    area = np.where(np.isnan(area), 0, area)  # the medial wall of some tools
    whole = np.round(area)
    with np.errstate(invalid="ignore"):  # infinite values
        is_odd = np.abs(area - whole) > _ROUNDING * np.maximum(1, np.abs(area))
    is_odd |= (area < -(2.0**31)) | (area > 2.0**31 - 1)
    if is_odd.any():
        odd = np.unique(area[is_odd])
        raise DataError(
            f"{path}: visual areas must be whole numbers (0 none, 1 V1, 2 V2, ...), but it "
            f"holds values such as {', '.join(str(value) for value in odd[:3])}. A map of "
            "probabilities, or of interpolated or scaled labels (scl_slope), cannot be used. Write "
            "the labels as whole numbers."
        )
    return whole.astype(np.int32)


def size_in_words(path: Path, n_vertices: int) -> str:
    """Describe the number of vertices of a map in a message, and whether it may be a volume.

    `n_vertices` is the length of the result of :func:`read_map`.
    """
    try:
        shape = read_header(path).shape if path.name.casefold().endswith(_NIFTI) else ()
    except Exception:  # noqa: BLE001 (it only adds to a message)
        shape = ()
    if sum(length > 1 for length in shape) > 1:
        return f"{n_vertices} values (an array of {_times(shape)}, which may be a volume)"
    return f"{n_vertices} vertices"


def label_table_beside(path: Path) -> Path | None:
    """Find the table with names of the numbers of a map.

    In FreeSurfer, the table of ``lh.areas.mgz`` is called ``lh.areas.mgz.ctab``, possibly without
    the hemisphere or the ending of the map. For a NIfTI volume, ``.tsv`` replaces the ending.
    """
    if path.name.casefold().endswith(_NIFTI):
        table = path.with_name(f"{re.sub(_NIFTI_ENDING, '', path.name)}.tsv")
        return table if table.is_file() or table.is_symlink() else None
    if path.suffix not in (".mgz", ".mgh"):
        return None
    bare = path.name.removeprefix("lh.").removeprefix("rh.")
    candidates = (path.name, path.stem, bare, bare.removesuffix(path.suffix))
    tables = (path.with_name(f"{name}.ctab") for name in candidates)
    return next((table for table in tables if table.is_file() or table.is_symlink()), None)


def values_beside(path: Path) -> Path:
    """Return the path of the values of a GIFTI file of SPM (ExternalFileBinary)."""
    return path.with_suffix(".dat")


def _unfolded(path: Path, values: Array) -> Array:
    """Flatten an array that FreeSurfer has split for NIfTI: 163842 becomes 27307 x 1 x 6.

    A real volume has another number of values than the other maps of a surface.
    """
    lengths = values.shape
    is_nifti = path.name.casefold().endswith(_NIFTI)
    if not is_nifti or values.size > _MOST_VERTICES or any(length > 1 for length in lengths[3:]):
        return values
    return values.reshape(-1, order="F")


def _times(shape: Iterable[int]) -> str:
    return " x ".join(str(length) for length in shape)


def _is_gifti(path: Path) -> bool:
    return path.name.casefold().endswith((".gii", ".gii.gz", f".gii{AFNI}"))


def _load_gifti(path: Path, hemisphere: Hemisphere) -> nib.gifti.GiftiImage:
    image = read_gifti(path)
    expected = values_beside(path).name
    for data in image.darrays:
        if data.ext_fname not in ("", expected):
            raise DataError(
                f"{path}: its values are in another file, {data.ext_fname!r}; expected them in the "
                f"file itself or, as in SPM, in {expected} beside it. Save it with its values "
                "inside."
            )
    for meta in (image.meta, *(data.meta for data in image.darrays)):
        structure = meta.get("AnatomicalStructurePrimary", "")
        # Tools write CortexLeft, CORTEX_LEFT, CIFTI_STRUCTURE_CORTEX_LEFT, or nothing useful.
        name = re.sub("[^a-z]", "", structure.casefold()).removeprefix("ciftistructure")
        if name not in (STRUCTURES[hemisphere].casefold(), "", "unknown", "invalid"):
            raise DataError(
                f"{path}: is used for hemisphere {hemisphere}, but the file itself says "
                f"AnatomicalStructurePrimary {structure!r} (expected {STRUCTURES[hemisphere]!r}). "
                "Check which hemisphere it was made from."
            )
    return image


def _values(path: Path, image: nib.gifti.GiftiImage, chosen: int | str | None) -> Array:
    intents = {nib.nifti1.intent_codes.niistring[data.intent] for data in image.darrays}
    if intents & _MESH_INTENTS:
        raise DataError(f"{path}: holds a surface mesh; expected a map with one value per vertex.")
    if isinstance(chosen, int) and len(image.darrays) == 1 and image.darrays[0].data.ndim == 2:
        columns = np.asarray(image.darrays[0].data)
        return columns[:, index_of_array(path, chosen, columns.shape[1])]
    names = [data.meta.get("Name") or "" for data in image.darrays]
    return np.asarray(image.darrays[index_of_array(path, chosen, len(names), names)].data)


def _gifti_mesh(path: Path, image: nib.gifti.GiftiImage) -> Mesh:
    points = image.get_arrays_from_intent("NIFTI_INTENT_POINTSET")
    triangles = image.get_arrays_from_intent("NIFTI_INTENT_TRIANGLE")
    if (len(points), len(triangles)) != (1, 1):
        raise DataError(
            f"{path}: holds {len(points)} arrays of points and {len(triangles)} of triangles; "
            "expected one of each. Only a surface mesh (.surf.gii) can be used here."
        )
    return Mesh(np.asarray(points[0].data), np.asarray(triangles[0].data))


def _check_triangles(mesh: Mesh) -> None:
    """Check that each triangle has three vertices, all of them on the mesh."""
    triangles, n_vertices = mesh.triangles, len(mesh.coordinates)
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise ValueError(
            f"triangles are an array of {triangles.shape} {triangles.dtype} values; "
            "expected (n, 3) whole numbers"
        )
    if triangles.size and (triangles.min() < 0 or triangles.max() >= n_vertices):
        raise ValueError(
            f"triangles name the vertices {triangles.min()} to {triangles.max()} of a mesh of "
            f"{n_vertices} vertices (0 to {n_vertices - 1})"
        )


def _read_curv(path: Path) -> Array:
    """Read a FreeSurfer morphometry file, and check its length, which nibabel does not."""
    with path.open("rb") as file:
        start = file.read(7)
    is_new = start.startswith(_NEW_CURV)
    before, width = (15, 4) if is_new else (6, 2)
    declared = int.from_bytes(start[3:] if is_new else start[:3], "big")
    if path.stat().st_size != before + declared * width:
        raise DataError(
            f"{path}: holds {path.stat().st_size} bytes, but its header declares {declared} values "
            f"of {width} bytes. The file is damaged, or not a FreeSurfer morphometry file."
        )
    values: Array = nib.freesurfer.read_morph_data(path)
    return values


def _in_label(path: Path, label: str, n_vertices: int) -> Mask:
    if label:
        raise DataError(
            f"{path}: holds a single area without a name, but {label!r} was asked for. Give the "
            "file without a name after the colon, or an annotation (.annot) with this structure."
        )
    with explained(path, "FreeSurfer label"):
        with path.open(encoding="utf-8") as file:
            file.readline()
            declared = int(file.readline())
            # Each line: vertex, three coordinates, a value. (nibabel's read_label also accepts an
            # incomplete file.)
            rows = np.loadtxt(file, ndmin=2) if declared else np.empty((0, 5))
        if rows.shape != (declared, 5):
            raise ValueError(
                f"{rows.shape[0]} lines of {rows.shape[1]} numbers; its header declares "
                f"{declared} of 5"
            )
        vertices = rows[:, 0].astype(np.int64)
    outside = vertices[(vertices < 0) | (vertices >= n_vertices)]
    if outside.size:
        raise DataError(
            f"{path}: has the vertex {outside[0]}, but the surface has {n_vertices} (0 to "
            f"{n_vertices - 1}). Expected a label on the same surface."
        )
    return np.isin(np.arange(n_vertices), vertices)


def _in_annotation(path: Path, label: str) -> Mask:
    with explained(path, "FreeSurfer annotation"):
        # Use the numbers of the file: those of nibabel are wrong if one is not in the table.
        numbers, table, encoded = nib.freesurfer.read_annot(path, orig_ids=True)
        names = [name.decode() for name in encoded]
    if len(names) != len(table):
        raise DataError(
            f"{path}: its table has {len(names)} names for {len(table)} places, so names and "
            "numbers cannot be matched. Convert it to GIFTI labels (mris_convert --annot)."
        )
    number = table[_find(path, label, dict(enumerate(names))), 4]
    alike = [name for name, same in zip(names, table[:, 4] == number, strict=True) if same]
    if len(alike) > 1:
        raise DataError(
            f"{path}: gives the structures {_quoted(alike)} the same colour, but an annotation "
            "distinguishes structures by colour. Give each a different colour."
        )
    mask: Mask = numbers == number
    return mask


def _in_map(path: Path, hemisphere: Hemisphere, label: str) -> Mask:
    numbers = whole_numbers(read_map(path, hemisphere), path)
    names = _gifti_names(path) if _is_gifti(path) else _names_beside(path)
    return np.isin(numbers, _keys(path, label, names, numbers))


def _in_cifti(path: Path, hemisphere: Hemisphere, label: str) -> Mask:
    """Find a label in the map that has it. It may be only in the other hemisphere."""
    tables = label_tables(path)
    wanted = label.casefold()
    rows = [
        row
        for row, names in enumerate(tables)
        if len(tables) == 1 or wanted in map(str.casefold, names.values())
    ]
    if len(rows) != 1:
        raise DataError(
            f"{path}: {len(rows)} of its {len(tables)} maps have the label {label!r}; expected one."
        )
    (row,) = rows
    halves = [
        whole_numbers(read_cortex(path, side, row), path)
        for side in (hemisphere, *(other for other in STRUCTURES if other != hemisphere))
    ]
    keys = _keys(path, label, tables[row], np.concatenate(halves))
    masks = [np.isin(numbers, keys) for numbers in halves]
    if not any(mask.any() for mask in masks):
        raise DataError(
            f"{path}: no vertex has {f'the label {label!r}' if label else 'a label'}; expected "
            "an area with vertices."
        )
    return masks[0]


def _keys(path: Path, label: str, names: Mapping[int, str], numbers: Array) -> list[int]:
    """Find the numbers of a label, or of all areas if no label is given."""
    there = np.unique(numbers).tolist()
    if not label:
        return [key for key in there if key != 0 and not _is_no_area(names.get(key, str(key)))]
    keys = sorted({*names, *there})
    if label in names.values() or not _NUMBER.fullmatch(label):
        return [_find(path, label, {key: names.get(key, str(key)) for key in keys})]
    return [_find(path, str(int(label)), {key: str(key) for key in keys})]


def _names_beside(path: Path) -> Mapping[int, str]:
    """Read the names of a map's numbers from a table beside it, if there is one."""
    table = label_table_beside(path)
    if table is None:
        return {}
    if table.suffix == ".tsv":
        with explained(table, "table of labels"):
            rows = list(csv.DictReader(read_text(table).splitlines(), delimiter="\t"))
        try:
            return {int(row["index"]): row["name"] for row in rows}
        except (KeyError, ValueError, TypeError):
            raise DataError(
                f"{table}: expected the columns index (whole numbers) and name, with the meaning "
                f"of the numbers in {path.name}."
            ) from None
    with explained(table, "colour table of FreeSurfer"):
        lines = [line.split() for line in read_text(table).splitlines()]
        return {int(line[0]): line[1] for line in lines if line and not line[0].startswith("#")}


def _gifti_names(path: Path) -> Mapping[int, str]:
    with explained(path, "label file"):
        table = nib.gifti.GiftiImage.from_filename(path).labeltable
        return {int(number): name or "" for number, name in table.get_labels_as_dict().items()}


def _is_no_area(name: str) -> bool:
    plain = name.casefold().replace("_", " ")
    return plain in _NO_AREA or plain.startswith("background")


def _find(path: Path, label: str, names: Mapping[int, str]) -> int:
    """Find the key of a name: the exact one, else the one that differs only in case."""
    exact = [key for key, name in names.items() if name == label]
    found = exact or [key for key, name in names.items() if name.casefold() == label.casefold()]
    if len(found) == 1:
        return found[0]
    asked = f"the label {label!r}" if label else "a label without a name"
    raise DataError(
        f"{path}: {asked} was asked for, but {len(found) or 'no'} labels of the file match; "
        f"expected one of {_quoted(names.values())}."
    )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
