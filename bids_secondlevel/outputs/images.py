"""Encode labels and maps as image files; the same values give the same bytes.

Labels are a mask or whole numbers, with 0 for the background.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.roi_rule import components
from bids_secondlevel.core.values import Array
from bids_secondlevel.maps.surfaces import STRUCTURES
from bids_secondlevel.maps.volumes import Grid

Labels = NDArray[np.integer[Any] | np.bool_]

_ALIGNED, _TEMPLATE = 2, 4
"""NIfTI's codes of the space of a volume."""


@dataclass(frozen=True)
class Label:
    """A number in a label file with its meaning and colour (``#rrggbb``)."""

    key: int
    name: str
    colour: str


def label_gifti(labels: Labels, hemisphere: Hemisphere, named: Sequence[Label]) -> bytes:
    """Encode labels of vertices as a GIFTI label file.

    Parameters
    ----------
    labels : (n_vertices,) array
    named
        All possible labels except the background.
    """
    table = nib.gifti.GiftiLabelTable()
    background = nib.gifti.GiftiLabel(0, 0.0, 0.0, 0.0, 0.0)
    background.label = "background"
    table.labels.append(background)
    for label in named:
        entry = nib.gifti.GiftiLabel(label.key, *components(label.colour), 1.0)
        entry.label = label.name
        table.labels.append(entry)
    data = nib.gifti.GiftiDataArray(
        labels.astype(np.int32), intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32"
    )
    return _gifti(data, hemisphere, table)


def label_nifti(labels: Labels, grid: Grid, *, is_template: bool) -> bytes:
    """Encode labels of voxels as compressed NIfTI: in 32 bits, a mask in 8.

    Parameters
    ----------
    labels : (n_voxels,) array
    is_template
        Whether the grid is in the space of a template, not of the participant.
    """
    stored = labels.astype(np.uint8 if labels.dtype == np.bool_ else np.int32)
    image = nib.Nifti1Image(stored.reshape(grid.shape), grid.affine)
    code = _TEMPLATE if is_template else _ALIGNED
    image.set_sform(grid.affine, code)
    try:
        image.set_qform(grid.affine, code, strip_shears=False)
    except HeaderDataError:  # a qform cannot hold shears
        image.set_qform(None, 0)
    image.header.set_xyzt_units("mm")
    return _compressed(image)


def map_gifti(values: Array, hemisphere: Hemisphere, name: str | None = None) -> bytes:
    """Encode a map of one value per vertex as GIFTI, in 32-bit floats.

    The intent is none whatever the values are: FreeSurfer passes over arrays of t or p.

    Parameters
    ----------
    name
        What viewers show of the array.
    """
    data = nib.gifti.GiftiDataArray(
        values.astype(np.float32),
        intent="NIFTI_INTENT_NONE",
        datatype="NIFTI_TYPE_FLOAT32",
        meta=nib.gifti.GiftiMetaData({} if name is None else {"Name": name}),
    )
    return _gifti(data, hemisphere, None)


def map_mgz(values: Array) -> bytes:
    """Encode a map as FreeSurfer's MGZ with the shape (1, 1, n); in 32 bits at the most."""
    return _compressed(nib.freesurfer.MGHImage(values.reshape(1, 1, -1), np.eye(4)))


def blank_volume(n_scans: int, repetition_time: float) -> bytes:
    """Encode a series of volumes of a single voxel, all 0, as compressed NIfTI.

    Parameters
    ----------
    repetition_time
        Repetition time in seconds.
    """
    image = nib.Nifti1Image(np.zeros((1, 1, 1, n_scans), dtype=np.uint8), np.eye(4))
    image.header.set_zooms((1, 1, 1, repetition_time))
    image.header.set_xyzt_units("mm", "sec")
    return _compressed(image)


def _gifti(
    data: nib.gifti.GiftiDataArray,
    hemisphere: Hemisphere,
    table: nib.gifti.GiftiLabelTable | None,
) -> bytes:
    meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURES[hemisphere]})
    image = nib.gifti.GiftiImage(darrays=[data], meta=meta, labeltable=table)
    encoded: bytes = image.to_bytes()
    return encoded


def _compressed(image: Any) -> bytes:
    return gzip.compress(image.to_bytes(), mtime=0)  # without the time, to give the same bytes
