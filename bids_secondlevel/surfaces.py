"""Read and write files of one value per vertex. The only module that knows nibabel."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_secondlevel.errors import DataError, InputMissingError
from bids_secondlevel.model import Array, Hemisphere, Mask, Retinotopy, RetinotopySource
from bids_secondlevel.rois import to_visual_field

STRUCTURES: dict[Hemisphere, str] = {"L": "CortexLeft", "R": "CortexRight"}
"""GIFTI's ``AnatomicalStructurePrimary`` of each hemisphere."""

_MESH_INTENTS = {"NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE"}


def read_map(path: Path, hemisphere: Hemisphere) -> Array:
    """Read a surface map: one value per vertex.

    Parameters
    ----------
    path : Path
        GIFTI, MGZ/MGH, NIfTI holding a surface, or a FreeSurfer morphometry ("curv") file
        when the name has no other known extension.
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
    check_present(path)
    try:
        values = _read_gifti(path, hemisphere) if path.suffix == ".gii" else _read_other(path)
    except DataError:
        raise
    except Exception as error:  # each parser has failures of its own
        raise DataError(
            f"{path}: cannot be read as a surface map ({_cause(error)}). The file may be cut "
            "short or damaged; write or fetch it again."
        ) from error
    if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise DataError(f"{path}: holds {values.dtype} values; expected real numbers.")
    return values


def check_present(path: Path) -> None:
    """Check that a file is there, and say how to get it if it is a link to nothing.

    Raises
    ------
    InputMissingError
        If it is not there.
    """
    if path.is_file():
        return
    if path.is_symlink():
        raise InputMissingError(
            f"{path}: a symbolic link to content that is not on this computer. In a DataLad "
            f"dataset, get it with: datalad get {path}"
        )
    raise InputMissingError(f"{path}: there is no such file.")


def read_retinotopy(source: RetinotopySource, hemisphere: Hemisphere) -> Retinotopy:
    """Read the retinotopic maps of one hemisphere, as many as there are.

    Raises
    ------
    InputMissingError, DataError
        As :func:`read_map`; also if visual areas are no whole numbers, or the maps differ in
        length.
    """
    area_path = source.visual_area.path
    area = read_map(area_path, hemisphere)
    eccentricity = _of_length(source.eccentricity.path, hemisphere, area.size, area_path)
    if not np.isfinite(area).all() or not np.array_equal(area, np.round(area)):
        raise DataError(
            f"{area_path}: visual areas must be whole numbers (0 none, 1 V1, 2 V2, ...), but it "
            f"holds values such as {_first_odd(area):g}. A probability map cannot be used."
        )
    angle, explained = (
        None if optional is None else _of_length(optional.path, hemisphere, area.size, area_path)
        for optional in (source.polar_angle, source.variance_explained)
    )
    labels = area.astype(np.int32)
    if angle is not None:
        angle = to_visual_field(angle, labels, hemisphere)
    return Retinotopy(labels, eccentricity, angle, explained)


def _of_length(path: Path, hemisphere: Hemisphere, n_vertices: int, area_path: Path) -> Array:
    values = read_map(path, hemisphere)
    if values.size != n_vertices:
        raise DataError(
            f"{area_path} has {n_vertices} vertices and {path} has {values.size}; expected the "
            "same number, from the same surface."
        )
    return values


def label_gifti(mask: Mask, hemisphere: Hemisphere, name: str) -> bytes:
    """Encode a mask as a GIFTI label file: 0 background, 1 `name`.

    Parameters
    ----------
    mask : (n_vertices,) array of bool
    hemisphere : {"L", "R"}
    name : str
        What label 1 is called.

    Returns
    -------
    bytes
        The same for the same input.
    """
    table = nib.gifti.GiftiLabelTable()
    for key, label, rgba in ((0, "background", (0.0,) * 4), (1, name, (0.84, 0.37, 0.0, 1.0))):
        entry = nib.gifti.GiftiLabel(key, *rgba)
        entry.label = label
        table.labels.append(entry)
    data = nib.gifti.GiftiDataArray(
        mask.astype(np.int32), intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32"
    )
    return _gifti_bytes(data, hemisphere, table)


def map_gifti(values: Array, hemisphere: Hemisphere) -> bytes:
    """Encode a map of 32-bit floats, one per vertex, as GIFTI."""
    data = nib.gifti.GiftiDataArray(
        values.astype(np.float32), intent="NIFTI_INTENT_NONE", datatype="NIFTI_TYPE_FLOAT32"
    )
    return _gifti_bytes(data, hemisphere, None)


def map_mgz(values: Array) -> bytes:
    """Encode a map as FreeSurfer's MGZ with the shape (1, 1, n); in 32 bits at the most."""
    image = nib.freesurfer.MGHImage(values.reshape(1, 1, -1), np.eye(4))
    # A fixed time stamp, so that the same values give the same bytes.
    return gzip.compress(image.to_bytes(), mtime=0)


def blank_volume(n_scans: int, repetition_time: float) -> bytes:
    """Encode a series of volumes of a single voxel, all 0, as compressed NIfTI.

    Parameters
    ----------
    n_scans : int
    repetition_time : float
        In seconds.
    """
    image = nib.Nifti1Image(np.zeros((1, 1, 1, n_scans), dtype=np.uint8), np.eye(4))
    image.header.set_zooms((1, 1, 1, repetition_time))
    image.header.set_xyzt_units("mm", "sec")
    return gzip.compress(image.to_bytes(), mtime=0)


def _gifti_bytes(
    data: nib.gifti.GiftiDataArray,
    hemisphere: Hemisphere,
    table: nib.gifti.GiftiLabelTable | None,
) -> bytes:
    meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURES[hemisphere]})
    image = nib.gifti.GiftiImage(darrays=[data], meta=meta, labeltable=table)
    encoded: bytes = image.to_bytes()
    return encoded


def _read_gifti(path: Path, hemisphere: Hemisphere) -> Array:
    image = nib.gifti.GiftiImage.from_filename(path)
    _check_structure(path, image, hemisphere)
    intents = {nib.nifti1.intent_codes.niistring[data.intent] for data in image.darrays}
    if intents & _MESH_INTENTS:
        raise DataError(f"{path}: holds a surface mesh; expected one value per vertex.")
    if len(image.darrays) != 1:
        raise DataError(
            f"{path}: holds {len(image.darrays)} data arrays; expected a single map with one "
            "value per vertex."
        )
    return _one_value_per_vertex(path, np.asarray(image.darrays[0].data))


def _read_other(path: Path) -> Array:
    if path.suffix in (".mgz", ".mgh"):
        # Opened here, because nib.load leaves .mgh files open.
        with gzip.open(path) if path.suffix == ".mgz" else path.open("rb") as file:
            image = nib.freesurfer.MGHImage.from_stream(file)
            return _one_value_per_vertex(path, np.asarray(image.dataobj))
    if path.name.endswith((".nii", ".nii.gz")):
        return _one_value_per_vertex(path, np.asanyarray(nib.load(path).dataobj))
    return _read_curv(path)


def _read_curv(path: Path) -> Array:
    """Read a FreeSurfer morphometry file, and check its length, which nibabel does not."""
    values: Array = nib.freesurfer.read_morph_data(path)
    with path.open("rb") as file:
        header = file.read(7)
    new_style = header[:3] == b"\xff\xff\xff"
    declared = int.from_bytes(header[3:7] if new_style else header[:3], "big")
    if values.shape != (declared,):
        raise DataError(
            f"{path}: holds {values.size} values, but its header declares {declared}. The file "
            "is cut short, or no FreeSurfer morphometry file."
        )
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
    for meta in (image.meta, *(data.meta for data in image.darrays)):
        structure = meta.get("AnatomicalStructurePrimary", STRUCTURES[hemisphere])
        if structure.strip().casefold() != STRUCTURES[hemisphere].casefold():
            raise DataError(
                f"{path}: is used for hemisphere {hemisphere}, but the file itself says "
                f"AnatomicalStructurePrimary {structure!r} (expected {STRUCTURES[hemisphere]!r}). "
                "Check which hemisphere it was made from."
            )


def _first_odd(area: Array) -> float:
    return float(area[~(np.isfinite(area) & (area == np.round(area)))][0])


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
