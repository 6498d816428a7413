"""Maps of a group on a common surface: where its areas and ROIs lie, and tests at each vertex."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.spaces import density_of, numbered, vertex_counts
from bids_secondlevel.core.values import Array, Mask

MOST = 0.5
"""Share of the participants from which on a vertex is in the region, or in an ROI, of a group."""


@dataclass(frozen=True, eq=False, kw_only=True)
class VertexTests:
    """A test at each vertex of one hemisphere, or of both; (n_vertices,) each.

    All but `n` are NaN at a vertex at which too few participants have a value.
    """

    n: NDArray[np.integer[Any]]
    """Participants with a value."""
    effect: Array
    """Their mean; of two groups, the difference of their means."""
    t: Array
    """Student's, of two groups Welch's; NaN if all have the same value, too."""
    p: Array
    """Two-sided, corrected for all vertices by the largest t; NaN without permutations."""
    p_region: Array
    """Corrected for the vertices in the region; NaN elsewhere."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MapTest:
    """The maps of a contrast, tested across participants at every vertex."""

    session: str | None
    task: str
    contrast: str
    group: str
    """A level of the column that makes groups, or :data:`~.inference.EVERYBODY`."""
    versus: str | None
    """The group whose mean is subtracted from that of the first, if there are two."""
    participants: tuple[str, ...]
    """Whose maps were tested, with ``sub-``."""
    excluded: Mapping[str, str]
    """Why others were not."""
    n_permutations: int
    """Sign flips of participants, or permutations of their groups; 0 for none."""
    is_exact: bool
    """Whether these are all there are."""
    vertices: Bilateral[VertexTests]

    @property
    def title(self) -> str:
        """What is tested, in words."""
        session = f", session {self.session}" if self.session else ""
        return ", ".join(filter(None, (f"{self.contrast} (task {self.task}{session})", self.whose)))

    @property
    def whose(self) -> str:
        """The group, or the two that are compared; empty for everybody."""
        who = "" if self.group == EVERYBODY else self.group
        return f"{who} minus {self.versus}" if self.versus else who


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupCortex:
    """Where visual areas and ROIs of the participants lie on the common surface."""

    space: str
    """Family of the template, such as ``fsaverage``."""
    n_vertices: int
    """Of each hemisphere."""
    participants: tuple[str, ...]
    """Who has masks, with ``sub-``."""
    region_name: str
    """The chosen visual areas within the limits."""
    region: Bilateral[Array]
    """Share of the participants with a vertex in it; NaN if nobody has a mask."""
    rois: Mapping[str, Bilateral[Array]]
    """The same of each ROI."""
    areas: Bilateral[NDArray[np.integer[Any]]]
    """The label of the visual area that most participants have at a vertex; 0 if most have none."""

    @property
    def label(self) -> str:
        """What files call the surface."""
        density = density_of(self.space, self.n_vertices)
        return (numbered(self.space, density) if density else None) or self.space

    @property
    def density(self) -> str | None:
        """What files call its density, if there are several on this surface."""
        return (
            None
            if self.n_vertices in vertex_counts(self.label)[:1]
            else density_of(self.space, self.n_vertices)
        )

    @property
    def in_region(self) -> Bilateral[Mask]:
        """The vertices in the region of at least half of the participants."""
        return self.region.map(lambda share: share >= MOST)


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupMaps:
    """All maps of a group, or those of them that are drawn."""

    cortex: GroupCortex
    tests: tuple[MapTest, ...]
