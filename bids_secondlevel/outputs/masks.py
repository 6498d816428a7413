"""The ROIs as files: masks with what defined them, and all ROIs in one label file.

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
    "retinotopy": "Vertices of the visual areas within the limits of the rule",
    "localizer": "Vertices that the localizer activates",
    "combined": "Individual ROI: retinotopy and localizer mask intersected",
}
"""Of each kind of mask, by the ``desc`` of its name."""


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
    """Encode the retinotopy, localizer and combined masks that could be had.

    ROIs with the retinotopic part of the plan's rule share a retinotopy mask, named after the
    visual areas; the others have one of their own.
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
    """Name the retinotopy mask of a ROI."""
    shares = roi.rule.retinotopic_part == plan.rule.retinotopic_part
    return plan.rule.areas_name if shares else roi.name


def localizer_of(roi: RoiDefinition, plan: Plan) -> str | None:
    """Name the task in the name of the mask of a ROI."""
    return plan.localizer_task if roi.contrasts else None


def _encode_labels(
    parts: Sequence["_Part"], chosen: Chosen, folder: ParticipantFolder
) -> dict[Path, bytes]:
    """Encode all ROIs of each hemisphere in one file, and the table of the labels.

    A hemisphere that lacks a ROI has no label file, as the others would pass for all there are.
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
    """What makes files of its own: a hemisphere, or both together in a volume."""

    hemisphere: Hemisphere | None
    """``None`` for a volume."""
    masks: Mapping[str, Mapping[str, Mask]]
    """Those that are there, by name of the ROI and ``desc``."""
    alignment: Alignment
    is_template: bool = False
    """Whether a volume is in the space of a template."""

    @property
    def side(self) -> Hemisphere:
        """The hemisphere whose sources are those of the files."""
        return self.hemisphere or "L"

    def encode(self, labels: Labels, named: Sequence[Label]) -> bytes:
        """Encode labels of these vertices, or voxels, as a file."""
        if self.hemisphere is not None:
            return label_gifti(labels, self.hemisphere, named)
        assert self.alignment.grid is not None
        return label_nifti(labels, self.alignment.grid, is_template=self.is_template)

    def describe(self, labels: Labels, labelled: Any) -> dict[str, Any]:
        """Say how many vertices or voxels are labelled, of how many, and how maps came to them."""
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
    """Say what makes files of its own: every hemisphere, or both together in a volume."""
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
    """Name the masks that could be had."""
    named = {
        "retinotopy": masks.retinotopic,
        "localizer": masks.localized,
        "combined": masks.roi,
    }
    return {desc: mask for desc, mask in named.items() if isinstance(mask, np.ndarray)}


def lookup_table(names: Sequence[str]) -> tuple[Label, ...]:
    """Give each ROI a number, from 1 on and in their order, and after them what several share.

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
        # No label of a ROI has an underscore, so that the name is free.
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


def _describe_mask(
    mask: Mask, desc: str, roi: RoiDefinition, part: _Part, chosen: Chosen
) -> dict[str, Any]:
    """Say what a mask is of, and where it comes from."""
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
    """Say where labels come from."""
    files, plan = chosen.files, chosen.plan
    retinotopy = files.retinotopy[part.side]
    localizers = [f for roi in plan.rois for f in _localizer_files(roi, part.side, files)]
    # A map has the vertices of its surface, also if the surface itself is not there.
    map_of_it = retinotopy.visual_area or retinotopy.first
    on_it = localizers[0] if localizers and part.alignment.methods else map_of_it
    reference = files.surfaces.get(part.side, on_it)
    counts = np.bincount(labels, minlength=len(table) + 1).tolist()
    return {
        "Description": "Individual ROIs; vertices of several ROIs have a label of their own",
        "Manual": False,
        "SpatialReference": reference.uri,
        "Sources": _uris((*retinotopy.files, *localizers)),
        "Rois": {roi.name: roi.to_sidecar(plan.rois) for roi in plan.rois},
        **part.describe(labels, {label.name: counts[label.key] for label in table}),
    }


def _describe_used(roi: RoiDefinition, hemi: Hemisphere, chosen: Chosen) -> dict[str, Any]:
    """Add to the definition how z maps came about that were combined from several."""
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
    """List the localizer maps that define a ROI in one hemisphere."""
    return tuple(
        file
        for contrast in roi.needed
        if hemi in files.localizers[contrast]
        for file in files.localizers[contrast][hemi].files
    )


def _uris(files: Iterable[SourceFile]) -> list[str]:
    return list(dict.fromkeys(file.uri for file in files))
