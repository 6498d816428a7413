"""Write the masks with what defined them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import ParticipantFiles, Plan, SourceFile
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.roi_rule import MASK_COLOUR, RoiDefinition
from bids_secondlevel.core.spaces import is_template
from bids_secondlevel.core.values import Absent, Array, Mask, RoiMasks
from bids_secondlevel.maps.combine import COMBINATIONS
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.outputs.files import remove_files, write_atomically, write_json
from bids_secondlevel.outputs.images import Label, label_gifti, label_nifti
from bids_secondlevel.outputs.names import ParticipantFolder, sidecar_of


def write_masks(
    rois: Mapping[Hemisphere, Mapping[str, RoiMasks]],
    alignments: Mapping[Hemisphere, Alignment],
    files: ParticipantFiles,
    plan: Plan,
    folder: ParticipantFolder,
) -> None:
    """Write the retinotopy, localizer and combined mask of every ROI and hemisphere.

    Masks of an earlier run with other settings are removed.

    Parameters
    ----------
    rois : mapping of hemisphere to name to RoiMasks
        Masks that could not be had are not written.
    alignments : mapping of hemisphere to Alignment
    files : ParticipantFiles
    plan : Plan
        ROIs with the retinotopic part of its rule share a retinotopy mask, named after the
        visual areas; the others have one of their own.
    folder : ParticipantFolder

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    written: set[Path] = set()
    for part in parts_to_write(rois, alignments, plan):
        for roi in plan.rois:
            masks = part.masks[roi.name]
            task = plan.localizer_task if roi.contrasts else None
            shared = roi.rule.retinotopic_part == plan.rule.retinotopic_part
            areas = plan.rule.areas_name if shared else roi.name
            retinotopy = files.retinotopy[part.side].files if part.side in files.retinotopy else ()
            localizer = localizer_files(roi, part.side, files)
            for path, mask, sources, metadata in (
                (
                    folder.mask(part.hemisphere, areas, "retinotopy"),
                    masks.retinotopic,
                    retinotopy,
                    {
                        "Description": "Vertices of the visual areas within the limits of the rule",
                        "Rule": roi.rule.to_sidecar(localizer=False),
                    },
                ),
                (
                    folder.mask(part.hemisphere, roi.name, "localizer", task),
                    masks.localized,
                    localizer,
                    {
                        "Description": "Vertices that the localizer activates",
                        "Rule": _describe_used(roi, part.side, files, plan),
                    },
                ),
                (
                    folder.mask(part.hemisphere, roi.name, "combined", task),
                    masks.roi,
                    (*retinotopy, *localizer),
                    {
                        "Description": "Individual ROI: retinotopy and localizer mask intersected",
                        "Rule": _describe_used(roi, part.side, files, plan),
                    },
                ),
            ):
                if path not in written and mask is not None and not isinstance(mask, Absent):
                    written |= {path, sidecar_of(path)}
                    _write_mask(path, mask, part, sources, metadata)
    remove_files(path for path in folder.masks() if path not in written)


@dataclass(frozen=True, eq=False)
class PartToWrite:
    """Masks that make a file each: those of a hemisphere, or of a volume.

    Attributes
    ----------
    hemisphere : {"L", "R"} or None
        ``None`` for a volume.
    masks : mapping of str to RoiMasks
        By the name of the ROI.
    alignment : Alignment
    is_template : bool
        Whether a volume is in the space of a template.
    """

    hemisphere: Hemisphere | None
    masks: Mapping[str, RoiMasks]
    alignment: Alignment
    is_template: bool = False

    @property
    def side(self) -> Hemisphere:
        """The hemisphere whose sources are those of the files."""
        return self.hemisphere or "L"

    def encode(self, labels: NDArray[np.integer[Any] | np.bool_], named: Sequence[Label]) -> bytes:
        """Encode labels of these vertices, or voxels, as a file."""
        if self.hemisphere is not None:
            return label_gifti(labels, self.hemisphere, named)
        assert self.alignment.grid is not None
        return label_nifti(labels, self.alignment.grid, is_template=self.is_template)

    def describe(self, labels: Array) -> dict[str, Any]:
        """Say how labels came to be on these vertices, and how many these are."""
        described = describe_alignment((self.alignment,))
        file = self.alignment.grid_file
        if file is None:
            return {**described, "SurfaceVertexCount": int(labels.size)}
        return {**described, "SpatialReference": file.uri, "GridVoxelCount": int(labels.size)}


def parts_to_write(
    rois: Mapping[Hemisphere, Mapping[str, RoiMasks]],
    alignments: Mapping[Hemisphere, Alignment],
    plan: Plan,
) -> list[PartToWrite]:
    """Say what makes a file each: every hemisphere, or both together in a volume."""
    if not plan.is_volume:
        return [PartToWrite(hemi, masks, alignments[hemi]) for hemi, masks in rois.items()]
    left, right = rois.values()
    whole = {
        name: RoiMasks(
            _union(left[name].retinotopic, right[name].retinotopic),
            _union(left[name].localized, right[name].localized),
            _union(left[name].roi, right[name].roi),
        )
        for name in left
    }
    return [PartToWrite(None, whole, alignments["L"], is_template(plan.space))]


@overload
def _union(left: Mask | Absent, right: Mask | Absent) -> Mask | Absent: ...
@overload
def _union(left: Mask | Absent | None, right: Mask | Absent | None) -> Mask | Absent | None: ...
def _union(left: Mask | Absent | None, right: Mask | Absent | None) -> Mask | Absent | None:
    """Put the halves of a volume together; where one is absent, both are."""
    if left is None or isinstance(left, Absent):
        return left
    if right is None or isinstance(right, Absent):
        return right
    return left | right


def describe_alignment(alignments: Iterable[Alignment]) -> dict[str, Any]:
    """Say how retinotopy and maps came to the surface or grid of the ROIs, if they were carried."""
    every = list(alignments)
    methods = dict.fromkeys(method for alignment in every for method in alignment.methods)
    spheres = dict.fromkeys(sphere for alignment in every for sphere in alignment.spheres)
    described: dict[str, Any] = {"Resampling": list(methods)} if methods else {}
    return {**described, "RegistrationSpheres": list(spheres)} if spheres else described


def _describe_used(
    roi: RoiDefinition, hemi: Hemisphere, files: ParticipantFiles, plan: Plan
) -> dict[str, Any]:
    """Add to the definition how z maps came about that were combined from several."""
    combined = {
        contrast: COMBINATIONS[files.localizers[contrast][hemi].combination]
        for contrast in roi.needed
        if hemi in files.localizers[contrast]
        and files.localizers[contrast][hemi].combination != "single"
    }
    described = roi.to_sidecar(plan.rois)
    return {**described, "LocalizerCombination": combined} if combined else described


def localizer_files(
    roi: RoiDefinition, hemi: Hemisphere, files: ParticipantFiles
) -> tuple[SourceFile, ...]:
    """List the localizer maps that define a ROI in one hemisphere."""
    return tuple(
        file
        for contrast in roi.needed
        if hemi in files.localizers[contrast]
        for file in files.localizers[contrast][hemi].files
    )


def _write_mask(
    path: Path,
    mask: Mask,
    part: PartToWrite,
    sources: Sequence[SourceFile],
    metadata: Mapping[str, Any],
) -> None:
    """Write a mask and its sidecar (BIDS specification, "Derivatives / Masks")."""
    label = path.name.partition("_label-")[2].partition("_")[0]
    sidecar = {
        "Type": "ROI",
        **metadata,
        "Sources": list(dict.fromkeys(source.uri for source in sources)),
        "VertexCount" if part.hemisphere else "VoxelCount": int(mask.sum()),
        **part.describe(mask),
    }
    write_json(sidecar_of(path), sidecar)
    write_atomically(path, part.encode(mask, [Label(1, label, MASK_COLOUR)]))
