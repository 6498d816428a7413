"""Read surfaces and files of one value per vertex."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask, Mesh
from bids_secondlevel.maps.files import check_real, explained, read_image
from bids_secondlevel.maps.meshes import check_triangles

STRUCTURES: dict[Hemisphere, str] = {"L": "CortexLeft", "R": "CortexRight"}
"""GIFTI's ``AnatomicalStructurePrimary`` of each hemisphere."""


_MESH_INTENTS = {"NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE"}


def read_map(path: Path, hemisphere: Hemisphere) -> Array:
    """Read a surface map: one value per vertex.

    Parameters
    ----------
    path : Path
        GIFTI (also compressed), MGZ/MGH, NIfTI holding a surface, or a FreeSurfer morphometry
        ("curv") file when the name has no other known extension.
    hemisphere : {"L", "R"}
        The hemisphere the map must belong to.

    Returns
    -------
    (n_vertices,) array
        In the precision of the file.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, holds more than one value per vertex, is a volume or a mesh, or
        says that it belongs to another structure.
    """
    with explained(path, "surface map"):
        values = _read_gifti(path, hemisphere) if _is_gifti(path) else _read_other(path)
        check_real(path, values.dtype)
    return values


def read_mesh(path: Path, hemisphere: Hemisphere) -> Mesh:
    """Read a surface mesh.

    Parameters
    ----------
    path : Path
        GIFTI (``.surf.gii``, also compressed), or a FreeSurfer geometry file (``lh.white``)
        under any other name.
    hemisphere : {"L", "R"}
        The hemisphere the mesh must belong to; only GIFTI files say which that is.

    Returns
    -------
    Mesh
        In the coordinate system and the precision in which the file gives it.

    Raises
    ------
    InputMissingError
        If the file is not there, or is a link to content that has not been fetched.
    DataError
        If it cannot be read, is no mesh, or says that it belongs to another structure.
    """
    with explained(path, "surface mesh"):
        if _is_gifti(path):
            mesh = _read_gifti_mesh(path, hemisphere)
        else:
            with np.errstate(over="raise"):  # a header of nonsense
                mesh = Mesh(*nib.freesurfer.read_geometry(path))
        check_triangles(mesh.triangles, len(mesh.coordinates))
    coordinates = mesh.coordinates
    if coordinates.shape[1:] != (3,) or not np.isfinite(coordinates).all():
        raise DataError(f"{path}: expected three finite coordinates for each vertex.")
    if not mesh.triangles.size:
        raise DataError(f"{path}: holds no triangle; expected a surface mesh.")
    return mesh


def whole_numbers(area: Array, path: Path) -> NDArray[np.int32]:
    """Take the values of a map of visual areas as labels; NaN is no area.

    Parameters
    ----------
    area : (n_vertices,) array of numbers
    path : Path
        Where they were read from.

    Returns
    -------
    (n_vertices,) array of int32

    Raises
    ------
    DataError
        If they are no whole numbers.
    """
    area = np.where(np.isnan(area), 0, area)  # the medial wall of some tools
    if not _are_labels(area).all():
        raise DataError(
            f"{path}: visual areas must be whole numbers (0 none, 1 V1, 2 V2, ...), but it "
            f"holds values such as {_first_odd(area):g}. A probability map cannot be used."
        )
    return area.astype(np.int32)


def read_map_like(
    path: Path, hemisphere: Hemisphere, n_vertices: int, like: Path | None = None
) -> Array:
    """Read a map that must have as many vertices as another.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_map`; also if it has another number of vertices. `like` is the file that
        the message compares it with.
    """
    values = read_map(path, hemisphere)
    if values.size != n_vertices:
        raise DataError(
            f"{like or 'the map of visual areas'} has {n_vertices} vertices and {path} has "
            f"{values.size}; expected the same number, from the same surface."
        )
    return values


def _is_gifti(path: Path) -> bool:
    return path.name.endswith((".gii", ".gii.gz"))


def values_beside(path: Path) -> Path:
    """Name the file in which SPM writes the values of a GIFTI file (ExternalFileBinary)."""
    return path.with_suffix(".dat")


def _load_gifti(path: Path, hemisphere: Hemisphere) -> nib.gifti.GiftiImage:
    image = nib.gifti.GiftiImage.from_filename(path)
    expected = values_beside(path).name
    for data in image.darrays:
        if data.ext_fname not in ("", expected):
            raise DataError(
                f"{path}: has its values in another file, {data.ext_fname!r}; expected them in "
                f"the file itself or, as SPM writes them, in {expected} beside it. Save it with "
                "its values inside."
            )
    _check_structure(path, image, hemisphere)
    return image


def _read_gifti(path: Path, hemisphere: Hemisphere) -> Array:
    image = _load_gifti(path, hemisphere)
    intents = {nib.nifti1.intent_codes.niistring[data.intent] for data in image.darrays}
    if intents & _MESH_INTENTS:
        raise DataError(f"{path}: holds a surface mesh; expected one value per vertex.")
    if len(image.darrays) != 1:
        raise DataError(
            f"{path}: holds {len(image.darrays)} data arrays; expected a single map with one "
            "value per vertex."
        )
    return _one_value_per_vertex(path, np.asarray(image.darrays[0].data))


def _read_gifti_mesh(path: Path, hemisphere: Hemisphere) -> Mesh:
    image = _load_gifti(path, hemisphere)
    points = image.get_arrays_from_intent("NIFTI_INTENT_POINTSET")
    triangles = image.get_arrays_from_intent("NIFTI_INTENT_TRIANGLE")
    if (len(points), len(triangles)) != (1, 1):
        raise DataError(
            f"{path}: holds {len(points)} arrays of points and {len(triangles)} of triangles; "
            "expected one of each. Only a surface mesh (.surf.gii) can be used here."
        )
    return Mesh(np.asarray(points[0].data), np.asarray(triangles[0].data))


def _read_other(path: Path) -> Array:
    if not path.name.endswith((".mgz", ".mgh", ".nii", ".nii.gz")):
        return _read_curv(path)
    _, values = read_image(path)
    return _one_value_per_vertex(path, values)


def _read_curv(path: Path) -> Array:
    """Read a FreeSurfer morphometry file, and check its length, which nibabel does not."""
    with path.open("rb") as file:
        header = file.read(7)
    if header[:3] == b"\xff\xff\xff":
        declared, size = int.from_bytes(header[3:7], "big"), 15
    else:
        declared, size = int.from_bytes(header[:3], "big"), 6
    width = 4 if size == 15 else 2
    if path.stat().st_size != size + declared * width:
        raise DataError(
            f"{path}: holds {path.stat().st_size} bytes, but its header declares {declared} values "
            f"of {width} bytes. The file is damaged, or no FreeSurfer morphometry file."
        )
    values: Array = nib.freesurfer.read_morph_data(path)
    return values


def _one_value_per_vertex(path: Path, data: Array) -> Array:
    lengths = [length for length in data.shape if length > 1]
    if len(lengths) > 1 or data.size == 0:
        shape = " x ".join(str(length) for length in data.shape)
        raise DataError(
            f"{path}: holds an array of {shape} values; expected one value per vertex of a "
            "surface. A volume or a time series cannot be used here."
        )
    return data.reshape(-1)


def _check_structure(path: Path, image: nib.gifti.GiftiImage, hemisphere: Hemisphere) -> None:
    """Refuse a file that says it belongs to another structure than its name does."""
    expected = STRUCTURES[hemisphere]
    for meta in (image.meta, *(data.meta for data in image.darrays)):
        structure = meta.get("AnatomicalStructurePrimary", "")
        # Tools write CortexLeft, CORTEX_LEFT, CIFTI_STRUCTURE_CORTEX_LEFT, or nothing of use.
        name = re.sub("[^a-z]", "", structure.casefold()).removeprefix("ciftistructure")
        if name not in (expected.casefold(), "", "unknown", "invalid"):
            raise DataError(
                f"{path}: is used for hemisphere {hemisphere}, but the file itself says "
                f"AnatomicalStructurePrimary {structure!r} (expected {expected!r}). "
                "Check which hemisphere it was made from."
            )


def _first_odd(area: Array) -> float:
    return float(area[~_are_labels(area)][0])


def _are_labels(area: Array) -> Mask:
    """Tell which values are whole numbers that 32 bits hold."""
    smallest, greatest = -(2.0**31), 2.0**31 - 1
    is_label: Mask = (area == np.round(area)) & (area >= smallest) & (area <= greatest)
    return is_label
