"""Gather what the participants have on the common surface, without all of it in memory."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.errors import OutputError
from bids_secondlevel.core.group_maps import MOST, GroupCortex
from bids_secondlevel.core.hemispheres import POOLS, Bilateral
from bids_secondlevel.core.values import Absent, Array, Status
from bids_secondlevel.group_maps.resample import OnSurface
from bids_secondlevel.maps.spheres import Surface
from bids_secondlevel.stats.roi_shares import Vertices, dice_with_others, shares

if TYPE_CHECKING:
    import pandas as pd


class Everyone:
    """What all participants have on the common surface: counts, and the few vertices of ROIs."""

    def __init__(self, n_vertices: int) -> None:
        self._n = n_vertices
        self.masks: dict[str, dict[str, Vertices]] = {}
        self._region: dict[str, Vertices] = {}
        self._region_name = ""
        self._areas: dict[int, Array] = {}
        self._n_with_areas = 0
        self.resampling: dict[str, None] = {}
        self.problems: list[tuple[str, str]] = []

    def add(self, there: OnSurface) -> None:
        """Take in a participant."""
        who = f"sub-{there.label}"
        self.problems += [(who, problem) for problem in there.problems]
        self.resampling |= dict.fromkeys(there.resampling)
        for roi in there.roi_names:
            self.masks.setdefault(roi, {})
        for roi, vertices in there.masks.items():
            self.masks[roi][who] = vertices
        if there.region is not None:
            self._region[who] = there.region
        self._region_name = self._region_name or there.region_name
        if there.areas is not None:
            self._n_with_areas += 1
            for area in np.unique(there.areas[there.areas > 0]):
                count = self._areas.setdefault(int(area), np.zeros(2 * self._n, dtype=np.int32))
                count += there.areas == area

    def cortex(self, surface: Surface) -> GroupCortex:
        """Say where areas and ROIs are."""
        split = partial(halves, n=self._n)
        areas = np.zeros(2 * self._n, dtype=np.int32)
        if self._areas:
            labels = np.array(sorted(self._areas))
            counts = np.stack([self._areas[area] for area in labels])
            in_any = counts.sum(axis=0) >= MOST * self._n_with_areas
            areas[in_any] = labels[counts.argmax(axis=0)][in_any]
        return GroupCortex(
            space=surface.space,
            n_vertices=self._n,
            participants=tuple(self._region),
            region_name=self._region_name,
            region=split(shares(self._region, 2 * self._n)),
            rois={roi: split(shares(of, 2 * self._n)) for roi, of in self.masks.items()},
            areas=split(areas),
        )

    def agreement(self) -> "pd.DataFrame":
        """Compare the ROIs of each participant with those of the others."""
        import pandas as pd

        places = {"L": (0, self._n), "R": (self._n, 2 * self._n), "both": (0, 2 * self._n)}
        rows = [
            (who, roi, hemi, dice)
            for roi, masks in self.masks.items()
            for hemi in POOLS
            for who, dice in dice_with_others(
                {who: _between(of, *places[hemi]) for who, of in masks.items()}, 2 * self._n
            ).items()
        ]
        names = ["participant_id", "roi", "hemi", "dice_with_others"]
        return pd.DataFrame(rows, columns=names).astype({"dice_with_others": "float64"})


def _between(vertices: Vertices, start: int, end: int) -> Vertices:
    return vertices[(vertices >= start) & (vertices < end)]


def halves(values: Array, n: int) -> Bilateral[Array]:
    """Take values at the vertices of both hemispheres apart."""
    return Bilateral(values[:n], values[n:])


@dataclass(eq=False)
class Stack:
    """The maps of a contrast, one after another in a file."""

    file: IO[bytes]
    n_values: int
    participants: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    """Who has none, and why."""

    def add(self, who: str, values: Array | Absent) -> None:
        """Take in the map of a participant.

        Raises
        ------
        OutputError
            If there is no room for it.
        """
        if isinstance(values, Absent):
            self.excluded[who] = values.status
        elif not np.isfinite(values).any():
            self.excluded[who] = "no_finite_vertices"
        else:
            self.participants.append(who)
            try:
                self.file.write(values.astype(np.float32).tobytes())
                self.file.flush()
            except OSError as error:
                raise OutputError(
                    "--group-maps: the output folder has no room for the maps of all participants "
                    f"({error.strerror or error}). Free some space, or choose --contrasts."
                ) from error

    def lack(self, everyone: Mapping[str, Status]) -> None:
        """Note participants without such a map, with the reason unless there is another."""
        for who, status in everyone.items():
            if who not in self.participants:
                self.excluded.setdefault(who, status)

    def values(self) -> Array:
        """Give all maps, (n_participants, n_values), which stay in the file."""
        shape = (len(self.participants), self.n_values)
        return np.memmap(self.file, dtype=np.float32, mode="r", shape=shape)


def nameless_file(folder: Path) -> IO[bytes]:
    """Open a file that is gone when it is closed.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error}).") from error
