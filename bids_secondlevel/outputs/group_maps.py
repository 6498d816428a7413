"""Write the maps of the group as GIFTI files, each with what it is in a JSON file."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_secondlevel import __version__
from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.group_maps import MOST, GroupCortex, MapTest
from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.values import Array
from bids_secondlevel.outputs.files import json_bytes, write_files
from bids_secondlevel.outputs.images import map_gifti
from bids_secondlevel.outputs.names import GroupFolder, sidecar_of

_STATISTICS: Mapping[str, str] = {
    "n": "Number of participants who have data",
    "effect": "Mean across participants",
    "t": "t across participants, against 0",
    "p": "Two-sided p value of t, corrected for the familywise error",
}
_OF_GROUPS = {
    **_STATISTICS,
    "effect": "Difference of the means of two groups, the first minus the second",
    "t": "Welch's t of this difference",
}
_TESTED = (
    "A vertex is tested if at least half of the participants (of each group) have data there, and "
    "at least six if there are six. Elsewhere, values are NaN"
)


@dataclass(frozen=True, kw_only=True)
class MapsFolder:
    """Where maps on a common surface go, and what all of them have in common."""

    folder: GroupFolder
    cortex: GroupCortex
    resampling: tuple[str, ...]
    """How maps were resampled, in words."""
    units: str

    def write_cortex(self, masks: Mapping[str, Iterable[str]]) -> None:
        """Write which share of the participants has a vertex in the region, and in each ROI.

        Parameters
        ----------
        masks
            Whose masks there are of each ROI.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        cortex = self.cortex
        of_region = f"Share of the participants with the vertex in {cortex.region_name}"
        self._write(
            cortex.region,
            "probability",
            f"{of_region} (the retinotopy mask)",
            {"Participants": list(cortex.participants)},
            label=cortex.region_name,
            desc="retinotopy",
        )
        for roi, share in cortex.rois.items():
            self._write(
                share,
                "probability",
                f"Share of the participants with the vertex in their ROI {roi}",
                {"Participants": list(masks[roi])},
                label=roi,
                desc="combined",
            )

    def write_test(self, test: MapTest) -> None:
        """Write the maps of a test.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        said = _STATISTICS if test.versus is None else _OF_GROUPS
        about = _described(test)
        named = {"ses": test.session, "task": test.task, "contrast": test.contrast}
        named["desc"] = group_label(test.group, test.versus)
        maps = {
            "n": test.vertices.map(lambda of: of.n),
            "effect": test.vertices.map(lambda of: of.effect),
            "t": test.vertices.map(lambda of: of.t),
        }
        units = {"effect": {"Units": self.units}}
        for stat, values in maps.items():
            described = {**about, **units.get(stat, {})}
            self._write(values, stat, f"{said[stat]}: {test.title}", described, **named)
        if not test.n_permutations:
            return
        region = self.cortex.region_name
        for label, values, where in (
            (None, test.vertices.map(lambda of: of.p), "all tested vertices of both hemispheres"),
            (
                region,
                test.vertices.map(lambda of: of.p_region),
                f"the tested vertices of both hemispheres in {region} of at least "
                f"{MOST:.0%} of the participants",
            ),
        ):
            if label is not None and not any(np.isfinite(half).any() for half in values):
                continue
            corrected = {**about, **_correction(test, where)}
            self._write(values, "p", f"{said['p']}: {test.title}", corrected, label=label, **named)

    def _write(
        self,
        values: Bilateral[Array],
        stat: str,
        description: str,
        about: Mapping[str, Any],
        **named: str | None,
    ) -> None:
        files: dict[Path, bytes] = {}
        for side, half in values.items():
            space = {"space": self.cortex.label, "den": self.cortex.density}
            path = self.folder.map(side, stat, **space, **named)
            sidecar = {
                "Description": description,
                **about,
                "SurfaceVertexCount": half.size,
                "Resampling": list(self.resampling),
                "SoftwareVersion": __version__,
            }
            files[sidecar_of(path)] = json_bytes(sidecar)
            files[path] = map_gifti(half, side, description)
        write_files(files)


def group_label(group: str, versus: str | None = None) -> str | None:
    """Name a group, or the difference of two, in names of files; ``None`` for everybody.

    Examples
    --------
    >>> group_label("low-vision"), group_label("patient", "control"), group_label("all")
    ('lowvision', 'patientMinusControl', None)
    """
    if group == EVERYBODY:
        return None
    first, second = (re.sub("[^0-9A-Za-z]", "", name or "") for name in (group, versus))
    return f"{first}Minus{second[:1].upper()}{second[1:]}" if versus else first


def check_group_labels(groups: Iterable[str]) -> None:
    """Check that names of files tell groups apart.

    Raises
    ------
    DataError
        If they do not.
    """
    named: dict[str, str] = {}
    for group in groups:
        label = (group_label(group) or "").casefold()
        if not label or label in named:
            others = f" and {named[label]!r}" if label in named else ""
            raise DataError(
                f"--group-maps: names of files consist of letters and digits, so they cannot name "
                f"the group {group!r}{others}. Rename one in participants.tsv."
            )
        named[label] = group


def _described(test: MapTest) -> dict[str, Any]:
    sizes = {int(n) for half in test.vertices for n in np.unique(half.n[np.isfinite(half.t)])}
    described: dict[str, Any] = {
        "Task": test.task,
        "Contrast": test.contrast,
        "Group": test.group,
        "Test": "one-sample t test against 0" if test.versus is None else "Welch's t test",
        "NumberOfParticipants": len(test.participants),
        "Participants": list(test.participants),
        "Excluded": dict(test.excluded),
        "Tested": _TESTED,
    }
    if test.versus is not None:
        described["Versus"] = test.versus
    elif sizes:
        fewest, most = min(sizes) - 1, max(sizes) - 1
        described["DegreesOfFreedom"] = most if fewest == most else [fewest, most]
    return described


def _correction(test: MapTest, where: str) -> dict[str, Any]:
    is_of_groups = test.versus is not None
    return {
        "Correction": f"familywise error by the distribution of the largest |t| of {where}",
        "Permutations": "of the groups of participants"
        if is_of_groups
        else "flips of the signs of participants",
        "NumberOfPermutations": test.n_permutations,
        "AllPermutations": test.is_exact,
    }
