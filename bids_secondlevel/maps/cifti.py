"""Read the cortex of a dense CIFTI-2 file: one value per vertex, map by map."""

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array
from bids_secondlevel.maps.annex import check_present
from bids_secondlevel.maps.protection import check_size, explained

STRUCTURES: dict[str, Hemisphere] = {
    "CIFTI_STRUCTURE_CORTEX_LEFT": "L",
    "CIFTI_STRUCTURE_CORTEX_RIGHT": "R",
}
"""CIFTI's name of the cortex of each hemisphere."""

_MOST_VERTICES = 10_000_000
"""Many times those of the finest surfaces; memory for more is not taken at a header's word."""

_NAMED_MAPS = {"CIFTI_INDEX_TYPE_SCALARS", "CIFTI_INDEX_TYPE_LABELS"}
_BRAIN_MODELS = "CIFTI_INDEX_TYPE_BRAIN_MODELS"
_CIFTI = 32
"""NIfTI's code of an extension that is a header of CIFTI."""

_SURFACE = "CIFTI_MODEL_TYPE_SURFACE"


@dataclass(frozen=True)
class CiftiContent:
    """What a dense CIFTI file holds.

    Attributes
    ----------
    map_names : tuple of str
        In the order of the file.
    n_vertices : mapping of hemisphere to int
        Vertices of the whole surface of each hemisphere in the file, those without a value
        (the medial wall) included.
    has_subcortex : bool
        Whether there are values of voxels too.
    """

    map_names: tuple[str, ...]
    n_vertices: Mapping[Hemisphere, int]
    has_subcortex: bool


def describe(path: Path) -> CiftiContent:
    """Read what a dense CIFTI file holds, from its header alone.

    Parameters
    ----------
    path : Path
        Dense scalars or labels (``.dscalar.nii``, ``.dlabel.nii``).

    Returns
    -------
    CiftiContent

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, or is another kind of file.
    """
    check_present(path)
    with explained(path, "CIFTI file"):
        names, models = _content(path, _load(path))
        return CiftiContent(
            names,
            {
                hemisphere: int(_cortex(path, models, hemisphere).surface_number_of_vertices)
                for structure, hemisphere in STRUCTURES.items()
                if any(structure == model.brain_structure for model in models)
            },
            any(model.model_type != _SURFACE for model in models),
        )


def read_cortex(path: Path, hemisphere: Hemisphere, map_name: str = "") -> Array:
    """Read a map of one hemisphere from a dense CIFTI file.

    Parameters
    ----------
    path : Path
        Dense scalars or labels (``.dscalar.nii``, ``.dlabel.nii``).
    hemisphere : {"L", "R"}
    map_name : str, optional
        Exact name of the map; not needed where the file holds a single one.

    Returns
    -------
    (n_vertices,) array of float
        One value per vertex of the whole surface, NaN where the file has none; in the precision
        of the file, or one that holds its whole numbers.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, is another kind of file, contradicts itself, or has no such
        hemisphere or map, or holds no real numbers.
    """
    check_present(path)
    with explained(path, "CIFTI file"):
        image = _load(path)
        names, _ = _content(path, image)
        row = _row(path, names, map_name)
        model = _cortex(path, _brain_models(image.frame), hemisphere)
        start = int(model.index_offset)
        values = np.asarray(image.values[row, start : start + int(model.index_count)])
        vertices = np.asarray(model.vertex_indices, dtype=np.int64)
    n_vertices = int(model.surface_number_of_vertices)
    _check_vertices(path, vertices, values.size, n_vertices)
    surface = np.full(n_vertices, np.nan, dtype=np.result_type(values.dtype, np.float32))
    surface[vertices] = values
    return surface


@dataclass(frozen=True, eq=False)
class _Image:
    """A file that is open for reading, with its header as XML, which nibabel parses in a second.

    Attributes
    ----------
    values : nibabel.arrayproxy.ArrayProxy
        Maps x brain models.
    outline : bytes
        The header without the lists of vertices and voxels, which make it long.
    frame : bytes
        The header without the names of the maps: the same in the files of a participant.
    """

    values: Any
    outline: bytes
    frame: bytes


_LISTS = re.compile(rb"(?<=<VertexIndices>)[^<]*|(?<=<VoxelIndicesIJK>)[^<]*")
_NAMES = re.compile(rb"<(NamedMap|MetaData)>.*?</\1>", re.DOTALL)


def _load(path: Path) -> _Image:
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the header as that of an image, which it is not
        header = nib.Nifti2Header.from_fileobj(file, check=False)
    extensions = [e.content for e in header.extensions if e.get_code() == _CIFTI]
    if len(extensions) != 1:
        raise DataError(
            f"{path}: has no header of CIFTI-2; expected dense scalars or labels in CIFTI-2 "
            "(.dscalar.nii, .dlabel.nii)."
        )
    kind = header.get_data_dtype()
    if kind.kind not in "fiu":
        raise DataError(f"{path}: holds {kind} values; expected real numbers.")
    values = nib.arrayproxy.ArrayProxy(path, header)
    (xml,) = extensions
    return _Image(
        values.reshape(values.shape[4:]), _LISTS.sub(b"", xml), _NAMES.sub(b"", xml).strip(b"\0 ")
    )


def _matrix(xml: bytes) -> Any:
    parser = nib.cifti2.parse_cifti2.Cifti2Parser()
    parser.parse(string=xml.rstrip(b"\0"))
    return parser.header.matrix


@lru_cache(maxsize=2)
def _brain_models(frame: bytes) -> list[Any]:
    """Read which value belongs to which vertex, once for all files that agree in it."""
    matrix = _matrix(frame)
    dimensions = [matrix.get_index_map(i) for i in sorted(matrix.mapped_indices)]
    return list(dimensions[1].brain_models)


def _content(path: Path, image: _Image) -> tuple[tuple[str, ...], list[Any]]:
    """Take the names of the maps and the brain models from the header."""
    matrix = _matrix(image.outline)
    dimensions = [matrix.get_index_map(i) for i in sorted(matrix.mapped_indices)]
    kinds = [dimension.indices_map_to_data_type for dimension in dimensions]
    if len(kinds) != 2 or kinds[0] not in _NAMED_MAPS or kinds[1] != _BRAIN_MODELS:
        found = " x ".join(kind.removeprefix("CIFTI_INDEX_TYPE_").lower() for kind in kinds)
        raise DataError(
            f"{path}: holds {found}; expected scalars or labels x brain_models (.dscalar.nii, "
            ".dlabel.nii). A time series, parcels or connectivity cannot be used here."
        )
    names = tuple(str(named.map_name or "") for named in dimensions[0].named_maps)
    models = list(dimensions[1].brain_models)
    declared = (len(names), sum(int(model.index_count) for model in models))
    if image.values.shape != declared:
        found = " x ".join(map(str, image.values.shape))
        raise DataError(
            f"{path}: holds {found} values, but its header declares "
            f"{' x '.join(map(str, declared))}. The file is damaged; write or fetch it again."
        )
    check_size(path, math.prod(image.values.shape) * image.values.dtype.itemsize)
    counts = {int(model.index_offset): int(model.index_count) for model in models}
    ends = accumulate((counts[start] for start in sorted(counts)), initial=0)
    if len(counts) < len(models) or sorted(counts) != list(ends)[:-1]:
        raise DataError(
            f"{path}: its header says that brain models overlap or leave gaps. The file is "
            "damaged; write or fetch it again."
        )
    return names, models


def _row(path: Path, names: tuple[str, ...], map_name: str) -> int:
    """Find the row of the map asked for."""
    rows = [row for row, name in enumerate(names) if map_name in ("", name)]
    if len(rows) == 1:
        return rows[0]
    asked = f"maps named {map_name!r}" if map_name else "maps, and none was chosen by its name"
    raise DataError(
        f"{path}: holds {len(rows)} {asked}; expected one. Its maps are "
        f"{', '.join(repr(name) for name in names)}."
    )


def _cortex(path: Path, models: list[Any], hemisphere: Hemisphere) -> Any:
    """Find the surface of a hemisphere among the brain models."""
    cortex = [
        model
        for model in models
        if STRUCTURES.get(model.brain_structure) == hemisphere and model.model_type == _SURFACE
    ]
    if len(cortex) != 1:
        raise DataError(
            f"{path}: holds {len(cortex)} surfaces of hemisphere {hemisphere}; expected one. Its "
            f"brain models are {', '.join(model.brain_structure for model in models)}."
        )
    n_vertices = int(cortex[0].surface_number_of_vertices)
    if not 0 < n_vertices <= _MOST_VERTICES:
        raise DataError(
            f"{path}: its header declares a surface of {n_vertices} vertices; expected at most "
            f"{_MOST_VERTICES}. The file is damaged; write or fetch it again."
        )
    return cortex[0]


def _check_vertices(path: Path, vertices: Array, n_values: int, n_vertices: int) -> None:
    distinct = np.unique(vertices)
    if not (
        distinct.size == vertices.size == n_values
        and (n_values == 0 or (distinct[0] >= 0 and distinct[-1] < n_vertices))
    ):
        raise DataError(
            f"{path}: gives {n_values} values for {distinct.size} vertices "
            f"of a surface of {n_vertices}, which contradict each other. The header is wrong; "
            "write the file again."
        )
