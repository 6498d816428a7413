"""Write ROIs: masks with their definitions, and all ROIs in one label file.

See the BIDS specification, "Derivatives / Masks", "Segmentations" and "Common image-derived
labels".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import COMBINATIONS, ParticipantFiles, Plan, SourceFile
from bids_secondlevel.core.hemispheres import Bilateral, Hemisphere
from bids_secondlevel.core.roi_rule import MASK_COLOUR, OVERLAP_COLOUR, RoiDefinition, roi_colours
from bids_secondlevel.core.spaces import is_template
from bids_secondlevel.core.values import Mask, RoiMasks, Rois
from bids_secondlevel.inputs.study import Chosen
from bids_secondlevel.maps.cortex import Cortex
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.outputs.files import json_bytes
from bids_secondlevel.outputs.images import Label, Labels, label_gifti, label_nifti
from bids_secondlevel.outputs.names import ParticipantFolder, sidecar_of

_DESCRIPTIONS = {
    "retinotopy": "Vertices of the visual areas within the ranges of the rule",
    "localizer": "Vertices that the localizer activates",
    "combined": "Individual ROI: intersection of retinotopy mask and localizer mask",
}
"""Description of each kind of mask, by the ``desc`` of its name."""


def encode_rois(
    rois: Bilateral[Rois],
    cortex: Bilateral[Cortex],
    chosen: Chosen,
    folder: ParticipantFolder,
) -> dict[Path, bytes]:
    """Encode the masks of every ROI, and label files of all of them, with their sidecars."""
    parts = _parts(rois, cortex, chosen.plan)
    return {**_encode_masks(parts, chosen, folder), **_encode_labels(parts, chosen, folder)}


def _encode_masks(
    parts: Sequence["_Part"], chosen: Chosen, folder: ParticipantFolder
) -> dict[Path, bytes]:
    """Encode the available retinotopy, localizer and combined masks.

    ROIs with the same retinotopy as the plan's rule share a retinotopy mask, named after the visual
    areas. Other ROIs have their own.
    """
    plan = chosen.plan
    encoded: dict[Path, bytes] = {}
    for part, roi in product(parts, plan.rois):
        for desc, mask in part.masks[roi.name].items():
            label = retinotopy_label(roi, plan) if desc == "retinotopy" else roi.name
            task = None if desc == "retinotopy" else localizer_of(roi, plan)
            path = folder.mask(part.hemisphere, label, desc, task)
            if path not in encoded:
                sidecar = _describe_mask(mask, desc, roi, part, chosen)
                encoded[sidecar_of(path)] = json_bytes(sidecar)
                encoded[path] = part.encode(mask, [Label(1, label, MASK_COLOUR)])
    return encoded


def retinotopy_label(roi: RoiDefinition, plan: Plan) -> str:
    """Name the retinotopy mask of an ROI."""
    shares = roi.rule.retinotopic_part == plan.rule.retinotopic_part
    return plan.rule.areas_name if shares else roi.name


def localizer_of(roi: RoiDefinition, plan: Plan) -> str | None:
    """Name the task in the name of the mask of an ROI."""
    return plan.localizer_task if roi.contrasts else None


def _encode_labels(
    parts: Sequence["_Part"], chosen: Chosen, folder: ParticipantFolder
) -> dict[Path, bytes]:
    """Encode all ROIs of each hemisphere in one file, and the table of the labels.

    If an ROI is missing in a hemisphere, there is no label file, because an incomplete one could be
    mistaken for a complete one.
    """
    table = lookup_table([roi.name for roi in chosen.plan.rois])
    encoded: dict[Path, bytes] = {}
    for part in parts:
        combined = [part.masks[roi.name].get("combined") for roi in chosen.plan.rois]
        there = [mask for mask in combined if mask is not None]
        if len(there) == len(combined):
            path, labels = folder.segmentation(part.hemisphere), segment(there)
            encoded[sidecar_of(path)] = json_bytes(_describe_labels(labels, table, part, chosen))
            encoded[path] = part.encode(labels, table)
    if encoded:
        # No JSON beside it: by BIDS' inheritance it would describe the label files too.
        lines = ["index\tname\tcolor", *(f"{of.key}\t{of.name}\t{of.colour}" for of in table)]
        encoded[folder.segmentation_table] = "".join(f"{line}\n" for line in lines).encode()
    return encoded


@dataclass(frozen=True, eq=False, kw_only=True)
class _Part:
    """A unit with its own files: a hemisphere, or both together in a volume."""

    hemisphere: Hemisphere | None
    """``None`` for a volume."""
    masks: Mapping[str, Mapping[str, Mask]]
    """Existing masks, by name of the ROI and ``desc``."""
    alignment: Alignment
    is_template: bool = False
    """Whether a volume is in the space of a template."""

    @property
    def side(self) -> Hemisphere:
        """The hemisphere with the sources of the files."""
        return self.hemisphere or "L"

    def encode(self, labels: Labels, named: Sequence[Label]) -> bytes:
        """Encode labels of these vertices, or voxels, as a file."""
        if self.hemisphere is not None:
            return label_gifti(labels, self.hemisphere, named)
        assert self.alignment.grid is not None
        return label_nifti(labels, self.alignment.grid, is_template=self.is_template)

    def describe(self, labels: Labels, labelled: Any) -> dict[str, Any]:
        """Return the number of labelled vertices or voxels, their total, and the resampling."""
        carried = {
            "Resampling": list(self.alignment.methods),
            "RegistrationSpheres": list(self.alignment.spheres),
        }
        carried = {name: values for name, values in carried.items() if values}
        file = self.alignment.grid_file
        if file is None:
            return {"VertexCount": labelled, **carried, "SurfaceVertexCount": labels.size}
        where = {"SpatialReference": file.uri, "GridVoxelCount": labels.size}
        return {"VoxelCount": labelled, **carried, **where}


def _parts(rois: Bilateral[Rois], cortex: Bilateral[Cortex], plan: Plan) -> list[_Part]:
    """List the units with their own files: hemispheres, or both together in a volume."""
    halves = rois.map(lambda of: {name: _there(masks) for name, masks in of.items()})
    if not plan.is_volume:
        return [
            _Part(hemisphere=half.side, masks=halves[half.side], alignment=half.alignment)
            for half in cortex
        ]
    left, right = halves
    whole = {
        name: {desc: mask | right[name][desc] for desc, mask in of.items() if desc in right[name]}
        for name, of in left.items()
    }
    alignment, in_template = cortex.left.alignment, is_template(plan.space)
    return [_Part(hemisphere=None, masks=whole, alignment=alignment, is_template=in_template)]


def _there(masks: RoiMasks) -> dict[str, Mask]:
    """Return the existing masks by name."""
    named = {
        "retinotopy": masks.retinotopic,
        "localizer": masks.localized,
        "combined": masks.roi,
    }
    return {desc: mask for desc, mask in named.items() if isinstance(mask, np.ndarray)}


def lookup_table(names: Sequence[str]) -> tuple[Label, ...]:
    """Assign numbers to the ROIs, from 1 in their order, and the next one to their overlap.

    Examples
    --------
    >>> [(label.key, label.name) for label in lookup_table(["UL", "UR"])]
    [(1, 'UL'), (2, 'UR'), (3, 'overlap')]
    """
    labels = [
        Label(number, name, colour)
        for number, (name, colour) in enumerate(roi_colours(names).items(), 1)
    ]
    if len(names) > 1:
        # Labels of ROIs have no underscore, so this name is free.
        overlap = "overlap_" if "overlap" in names else "overlap"
        labels.append(Label(len(names) + 1, overlap, OVERLAP_COLOUR))
    return tuple(labels)


def segment(masks: Sequence[Mask]) -> NDArray[np.int32]:
    """Label each vertex with the ROI it belongs to.

    Parameters
    ----------
    masks : sequence of (n_vertices,) array of bool
        At least one.

    Returns
    -------
    (n_vertices,) array of int32
        0 outside all ROIs, 1 for the first ROI, and so on; the number of ROIs plus 1 for the
        overlap of several.

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


def _describe_mask(
    mask: Mask, desc: str, roi: RoiDefinition, part: _Part, chosen: Chosen
) -> dict[str, Any]:
    """Describe a mask and its sources."""
    maps = chosen.files.retinotopy.get(part.side)
    retinotopy = () if maps is None else maps.files
    localizer = _localizer_files(roi, part.side, chosen.files)
    sources = {"retinotopy": retinotopy, "localizer": localizer}
    rule = (
        roi.rule.to_sidecar(localizer=False)
        if desc == "retinotopy"
        else _describe_used(roi, part.side, chosen)
    )
    return {
        "Type": "ROI",
        "Description": _DESCRIPTIONS[desc],
        "Rule": rule,
        "Sources": _uris(sources.get(desc, (*retinotopy, *localizer))),
        **part.describe(mask, int(mask.sum())),
    }


def _describe_labels(
    labels: NDArray[np.int32],
    table: Sequence[Label],
    part: _Part,
    chosen: Chosen,
) -> dict[str, Any]:
    """Describe the sources of labels."""
    files, plan = chosen.files, chosen.plan
    retinotopy = files.retinotopy[part.side]
    localizers = [f for roi in plan.rois for f in _localizer_files(roi, part.side, files)]
    # A map has the vertices of its surface, even if the surface itself is missing.
    map_of_it = retinotopy.visual_area or retinotopy.first
    on_it = localizers[0] if localizers and part.alignment.methods else map_of_it
    reference = files.surfaces.get(part.side, on_it)
    counts = np.bincount(labels, minlength=len(table) + 1).tolist()
    return {
        "Description": "Individual ROIs; vertices of several ROIs have a separate label",
        "Manual": False,
        "SpatialReference": reference.uri,
        "Sources": _uris((*retinotopy.files, *localizers)),
        "Rois": {roi.name: roi.to_sidecar(plan.rois) for roi in plan.rois},
        **part.describe(labels, {label.name: counts[label.key] for label in table}),
    }


def _describe_used(roi: RoiDefinition, hemi: Hemisphere, chosen: Chosen) -> dict[str, Any]:
    """Add to the definition how z maps of several runs were combined."""
    maps = {contrast: chosen.files.localizers[contrast].get(hemi) for contrast in roi.needed}
    combined = {
        contrast: COMBINATIONS[source.combination]
        for contrast, source in maps.items()
        if source is not None and source.combination != "single"
    }
    described = roi.to_sidecar(chosen.plan.rois)
    return {**described, "LocalizerCombination": combined} if combined else described


def _localizer_files(
    roi: RoiDefinition, hemi: Hemisphere, files: ParticipantFiles
) -> tuple[SourceFile, ...]:
    """List the localizer maps that define an ROI in one hemisphere."""
    return tuple(
        file
        for contrast in roi.needed
        if hemi in files.localizers[contrast]
        for file in files.localizers[contrast][hemi].files
    )


def _uris(files: Iterable[SourceFile]) -> list[str]:
    return list(dict.fromkeys(file.uri for file in files))
