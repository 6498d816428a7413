"""One hemisphere of a participant: all values at its vertices or voxels."""

from collections.abc import Mapping
from dataclasses import dataclass

from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Absent, Array, Retinotopy
from bids_secondlevel.maps.meshes import Triangles
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.maps.volumes import Grid


@dataclass(frozen=True, eq=False, kw_only=True)
class Cortex:
    """All values at the n vertices (or voxels) on which ROIs are defined."""

    side: Hemisphere
    retinotopy: Retinotopy | Absent
    """Its polar angles refer to the visual field."""
    localizer: Mapping[str, Array | Absent]
    """z of each localizer contrast, (n,)."""
    alignment: Alignment
    """How retinotopy and maps were brought to the same vertices."""
    areas: Array | None = None
    """Areas of the vertices in mm^2, (n,); ``None`` without a surface to measure them."""
    triangles: Triangles | None = None
    """Triangles of neighbouring vertices, (n_triangles, 3)."""

    @property
    def grid(self) -> Grid | None:
        """The grid of voxels, in volumes."""
        return self.alignment.grid

    @property
    def voxel_volume(self) -> float | None:
        """Volume of a voxel in mm^3; ``None`` on a surface."""
        return None if self.grid is None else self.grid.voxel_volume
