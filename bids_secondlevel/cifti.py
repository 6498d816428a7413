"""Read the cortex of a dense CIFTI-2 file: one value per vertex, map by map."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_secondlevel.errors import DataError
from bids_secondlevel.inputs import check_present, check_size, explained
from bids_secondlevel.model import Array, Hemisphere

STRUCTURES: dict[str, Hemisphere] = {
    "CIFTI_STRUCTURE_CORTEX_LEFT": "L",
    "CIFTI_STRUCTURE_CORTEX_RIGHT": "R",
}
"""CIFTI's name of the cortex of each hemisphere."""

_MOST_VERTICES = 10_000_000
"""Many times those of the finest surfaces; memory for more is not taken at a header's word."""

_NAMED_MAPS = {"CIFTI_INDEX_TYPE_SCALARS", "CIFTI_INDEX_TYPE_LABELS"}
_BRAIN_MODELS = "CIFTI_INDEX_TYPE_BRAIN_MODELS"
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
        hemisphere or map. (nibabel refuses complex values.)
    """
    check_present(path)
    with explained(path, "CIFTI file"):
        image = _load(path)
        names, models = _content(path, image)
        row = _row(path, names, map_name)
        model = _cortex(path, models, hemisphere)
        start = int(model.index_offset)
        values = np.asarray(image.dataobj[row, start : start + int(model.index_count)])
        vertices = np.asarray(model.vertex_indices, dtype=np.int64)
    n_vertices = int(model.surface_number_of_vertices)
    _check_vertices(path, vertices, values.size, n_vertices)
    surface = np.full(n_vertices, np.nan, dtype=np.result_type(values.dtype, np.float32))
    surface[vertices] = values
    return surface


def _load(path: Path) -> Any:
    status = path.stat()
    return _parsed(path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=8)  # nibabel takes half a second for a header, which every map needs
def _parsed(path: Path, _version: tuple[int, int]) -> Any:
    """Read the header of a file, once for as long as the file stays the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a shape that differs: checked below
        image = nib.load(path)
    if not isinstance(image, nib.Cifti2Image):
        raise DataError(
            f"{path}: is a {type(image).__name__}; expected dense scalars or labels in CIFTI-2 "
            "(.dscalar.nii, .dlabel.nii)."
        )
    return image


def _content(path: Path, image: Any) -> tuple[tuple[str, ...], list[Any]]:
    """Take the names of the maps and the brain models from the header."""
    matrix = image.header.matrix
    dimensions = [matrix.get_index_map(i) for i in sorted(matrix.mapped_indices)]
    kinds = [dimension.indices_map_to_data_type for dimension in dimensions]
    if len(kinds) != 2 or kinds[0] not in _NAMED_MAPS or kinds[1] != _BRAIN_MODELS:
        found = " x ".join(kind.removeprefix("CIFTI_INDEX_TYPE_").lower() for kind in kinds)
        raise DataError(
            f"{path}: holds {found}; expected scalars or labels x brain_models (.dscalar.nii, "
            ".dlabel.nii). A time series, parcels or connectivity cannot be used here."
        )
    names = tuple(str(named.map_name) for named in dimensions[0].named_maps)
    models = list(dimensions[1].brain_models)
    declared = (len(names), sum(int(model.index_count) for model in models))
    if image.shape != declared:
        raise DataError(
            f"{path}: holds {' x '.join(map(str, image.shape))} values, but its header declares "
            f"{' x '.join(map(str, declared))}. The file is damaged; write or fetch it again."
        )
    check_size(path, math.prod(image.shape) * image.get_data_dtype().itemsize)
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
