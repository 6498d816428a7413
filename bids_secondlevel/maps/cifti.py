"""Read the cortex of a dense CIFTI-2 file: one value per vertex, map by map.

nibabel takes a third of a second for the header of 91,282 grayordinates, most of it for the lists
of vertices and voxels. These are the same in all files of a participant, so they are read once.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array
from bids_secondlevel.maps.files import as_floats, check_real, explained, index_of_array

_CORTEX: Mapping[Hemisphere, str] = {
    "L": "CIFTI_STRUCTURE_CORTEX_LEFT",
    "R": "CIFTI_STRUCTURE_CORTEX_RIGHT",
}
_NAMED_MAPS = {"CIFTI_INDEX_TYPE_SCALARS", "CIFTI_INDEX_TYPE_LABELS"}
_SERIES = "CIFTI_INDEX_TYPE_SERIES"
_BRAIN_MODELS = "CIFTI_INDEX_TYPE_BRAIN_MODELS"
_VOXELS = "CIFTI_MODEL_TYPE_VOXELS"

_CIFTI = 32
"""NIfTI's code of an extension that is a header of CIFTI."""

_MOST_VERTICES = 10_000_000
"""Many times the size of the finest surfaces; a damaged header may claim more than fits into
memory."""

_LISTS = re.compile(rb"(?<=<VertexIndices>)[^<]*|(?<=<VoxelIndicesIJK>)[^<]*")
_NAMES = re.compile(rb"<(NamedMap|MetaData)>.*?</\1>", re.DOTALL)


@dataclass(frozen=True)
class CiftiContent:
    """Content of a dense CIFTI file."""

    map_names: tuple[str, ...]
    """Names in the order of the file; none for the frames of a time series."""

    structures: tuple[str, ...]
    """Names of the brain structures with values."""

    has_subcortex: bool
    """Whether any structure consists of voxels."""


@dataclass(frozen=True, eq=False)
class _Surface:
    """Position of the values of one surface in a file."""

    columns: slice
    vertices: Array
    """Vertices with values, as many as columns."""

    n_vertices: int
    """Number of vertices of the whole surface."""


def describe(path: Path) -> CiftiContent:
    """Read the content of a file of dense scalars or labels from its header.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, or is another kind of file.
    """
    with explained(path, "CIFTI file"):
        return _content(path, _load(path)[1])


def label_tables(path: Path) -> tuple[Mapping[int, str], ...]:
    """Read the names of labels of each map in a file of dense labels.

    Returns
    -------
    tuple of mapping of int to str
        Empty for maps of scalars.

    Raises
    ------
    InputMissingError, DataError
        As :func:`describe`.
    """
    with explained(path, "CIFTI file"):
        xml = _load(path)[1]
        _content(path, xml)  # raises the error if it is another kind of file
        header = _header(_LISTS.sub(b"", xml))
        tables = (named.label_table or {} for named in header.get_index_map(0).named_maps)
        return tuple({key: table[key].label or "" for key in table} for table in tables)


def read_cortex(path: Path, hemisphere: Hemisphere, chosen: int | str | None = None) -> Array:
    """Read a map of one hemisphere from a file of dense scalars or labels.

    Parameters
    ----------
    path
        ``.dscalar.nii`` or ``.dlabel.nii``, or a time series (``.dtseries.nii``)with its frames as
        maps.
    chosen
        Number of the map, from 0, or its exact name; not needed if the file holds a single one.

    Returns
    -------
    (n_vertices,) array of float
        One value per vertex of the whole surface, NaN where the file has none (the medial wall);
        in the precision of the file, or one that holds its whole numbers.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If the file cannot be read, is of another kind or contradicts itself, does not have the
        hemisphere or map, or does not hold real numbers.
    """
    with explained(path, "CIFTI file"):
        maps, xml = _load(path)
        content = _content(path, xml)
        row = index_of_array(path, chosen, maps.shape[0], content.map_names)
        surface = _surfaces(_NAMES.sub(b"", xml)).get(_CORTEX[hemisphere])
        if surface is None:
            raise DataError(
                f"{path}: has no values for the cortex of hemisphere {hemisphere}. Its brain "
                f"models are {', '.join(content.structures)}."
            )
        values = as_floats(path, np.asarray(maps[row, surface.columns]))
        whole = np.full(surface.n_vertices, np.nan, values.dtype)
        whole[surface.vertices] = values
        return whole


def _load(path: Path) -> tuple[nib.arrayproxy.ArrayProxy, bytes]:
    """Open a file: its values (maps x grayordinates), not read yet, and its header as XML."""
    with path.open("rb") as file, warnings.catch_warnings(action="ignore"):
        # nibabel warns about this header.
        header = nib.Nifti2Header.from_fileobj(file, check=False)
    extensions = [e.content for e in header.extensions if e.get_code() == _CIFTI]
    if len(extensions) != 1:
        raise DataError(
            f"{path}: has no CIFTI-2 header; expected dense scalars or labels in CIFTI-2 "
            "(.dscalar.nii, .dlabel.nii)."
        )
    check_real(path, header.get_data_dtype())
    maps = nib.arrayproxy.ArrayProxy(path, header)
    return maps.reshape(maps.shape[4:]), extensions[0].strip(b"\0 ")


def _header(xml: bytes) -> nib.Cifti2Header:
    parser = nib.cifti2.parse_cifti2.Cifti2Parser()
    parser.parse(string=xml)
    return parser.header


def _content(path: Path, xml: bytes) -> CiftiContent:
    header = _header(_LISTS.sub(b"", xml))
    dimensions = [header.get_index_map(i) for i in sorted(header.mapped_indices)]
    kinds = [dimension.indices_map_to_data_type for dimension in dimensions]
    is_series = kinds[0] == _SERIES
    if len(kinds) != 2 or not (kinds[0] in _NAMED_MAPS or is_series) or kinds[1] != _BRAIN_MODELS:
        found = " x ".join(kind.removeprefix("CIFTI_INDEX_TYPE_").lower() for kind in kinds)
        raise DataError(
            f"{path}: holds {found}; expected scalars or labels x brain_models (.dscalar.nii, "
            ".dlabel.nii). Parcels or connectivity cannot be used here."
        )
    models = list(dimensions[1].brain_models)
    return CiftiContent(
        () if is_series else tuple(named.map_name or "" for named in dimensions[0].named_maps),
        tuple(model.brain_structure for model in models),
        any(model.model_type == _VOXELS for model in models),
    )


@lru_cache(maxsize=2)
def _surfaces(frame: bytes) -> Mapping[str, _Surface]:
    """Find the surfaces by the names of their structures, once for files with the same ones.

    Parameters
    ----------
    frame
        A header without the names of its maps.

    Raises
    ------
    ValueError
        If it contradicts itself.
    """
    axis = _header(frame).get_axis(1)  # checks that vertices and columns are as many
    surfaces = {}
    for structure, n_vertices in axis.nvertices.items():
        columns = np.flatnonzero(axis.name == structure)
        vertices = axis.vertex[columns]
        n_distinct = np.unique(vertices).size
        if n_distinct < columns.size or n_vertices > _MOST_VERTICES:
            raise ValueError(
                f"{structure}: {columns.size} values for {n_distinct} of {n_vertices} vertices"
            )
        surfaces[structure] = _Surface(slice(columns[0], columns[-1] + 1), vertices, n_vertices)
    return surfaces
