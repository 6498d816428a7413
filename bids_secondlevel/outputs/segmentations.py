"""All ROIs of a hemisphere in one label file, as BIDS has it: a surface ``dseg`` with its table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import ParticipantFiles, Plan
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.roi_rule import OVERLAP_COLOUR, roi_colours
from bids_secondlevel.core.values import Absent, Mask, RoiMasks
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.outputs.files import remove_files, write_atomically, write_json
from bids_secondlevel.outputs.images import Label
from bids_secondlevel.outputs.masks import (
    PartToWrite,
    localizer_files,
    parts_to_write,
)
from bids_secondlevel.outputs.names import ParticipantFolder, sidecar_of


@dataclass(frozen=True)
class SegmentationRow:
    """A row of the look-up table (BIDS specification, "Common image-derived labels")."""

    index: int
    name: str
    color: str


def lookup_table(names: Sequence[str]) -> tuple[SegmentationRow, ...]:
    """Give each ROI a number, from 1 on and in their order, and after them what several share.

    Examples
    --------
    >>> [(row.index, row.name) for row in lookup_table(["UL", "UR"])]
    [(1, 'UL'), (2, 'UR'), (3, 'overlap')]
    """
    rows = [
        SegmentationRow(index, name, colour)
        for index, (name, colour) in enumerate(roi_colours(names).items(), 1)
    ]
    if len(names) > 1:
        # No label of a ROI has an underscore, so that the name is free.
        overlap = "overlap_" if "overlap" in names else "overlap"
        rows.append(SegmentationRow(len(names) + 1, overlap, OVERLAP_COLOUR))
    return tuple(rows)


def segment(masks: Sequence[Mask]) -> NDArray[np.int32]:
    """Label each vertex with the ROI it belongs to.

    Parameters
    ----------
    masks : sequence of (n_vertices,) array of bool
        At least one.

    Returns
    -------
    (n_vertices,) array of int32
        0 in no ROI, 1 in the first only, ..., one more than there are ROIs in several of them.

    Examples
    --------
    >>> segment([np.array([True, True, False, False]), np.array([False, True, True, False])])
    array([1, 3, 2, 0], dtype=int32)
    """
    stacked = np.stack(masks)
    how_many = stacked.sum(axis=0)
    single = np.where(how_many == 1, stacked.argmax(axis=0) + 1, 0)
    labels: NDArray[np.int32] = np.where(how_many > 1, len(masks) + 1, single).astype(np.int32)
    return labels


def write_segmentations(
    rois: Mapping[Hemisphere, Mapping[str, RoiMasks]],
    alignments: Mapping[Hemisphere, Alignment],
    files: ParticipantFiles,
    plan: Plan,
    folder: ParticipantFolder,
) -> None:
    """Write the ROIs of each hemisphere as a label file, and the table of the labels.

    A hemisphere that lacks a ROI gets none, as the others would pass for all there are; what an
    earlier run has left there is removed.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    table = lookup_table([roi.name for roi in plan.rois])
    for part in parts_to_write(rois, alignments, plan):
        path = folder.segmentation(part.hemisphere)
        masks = [part.masks[roi.name].roi for roi in plan.rois]
        there = [mask for mask in masks if not isinstance(mask, Absent)]
        if len(there) < len(masks):
            remove_files((path, sidecar_of(path)))
            continue
        labels = segment(there)
        write_json(sidecar_of(path), _sidecar(labels, table, part, files, plan))
        named = [Label(row.index, row.name, row.color) for row in table]
        write_atomically(path, part.encode(labels, named))
    if folder.has_label_files():
        # No JSON beside it: by BIDS' inheritance it would describe the label files too.
        lines = [("index", "name", "color"), *((str(r.index), r.name, r.color) for r in table)]
        text = "".join("\t".join(line) + "\n" for line in lines)
        write_atomically(folder.segmentation_table, text.encode())
    else:
        remove_files((folder.segmentation_table,))


def _sidecar(
    labels: NDArray[np.int32],
    table: Sequence[SegmentationRow],
    part: PartToWrite,
    files: ParticipantFiles,
    plan: Plan,
) -> dict[str, Any]:
    """Say where the labels come from (BIDS specification, "Segmentations")."""
    retinotopy = files.retinotopy[part.side]
    localizers = [f for roi in plan.rois for f in localizer_files(roi, part.side, files)]
    # A map has the vertices of its surface, also where the surface itself is not there.
    map_of_it = retinotopy.visual_area or retinotopy.eccentricity
    on_it = localizers[0] if localizers and part.alignment.methods else map_of_it
    reference = files.surfaces.get(part.side, on_it)
    sources = (*retinotopy.files, *localizers)
    counts = np.bincount(labels, minlength=len(table) + 1)
    return {
        "Description": "Individual ROIs; vertices of several ROIs have a label of their own",
        "Manual": False,
        "SpatialReference": reference.uri,
        "Sources": list(dict.fromkeys(file.uri for file in sources)),
        "Rois": {roi.name: roi.to_sidecar(plan.rois) for roi in plan.rois},
        "VertexCount" if part.hemisphere else "VoxelCount": {
            row.name: int(counts[row.index]) for row in table
        },
        **part.describe(labels),
    }
