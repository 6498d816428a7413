"""One hemisphere of a participant: all that is known at each of its vertices or voxels."""

from collections.abc import Mapping
from dataclasses import dataclass

from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Absent, Array, Retinotopy
from bids_secondlevel.maps.meshes import Triangles
from bids_secondlevel.maps.spheres import Alignment
from bids_secondlevel.maps.volumes import Grid


@dataclass(frozen=True, eq=False, kw_only=True)
class Cortex:
    """All that is known at each of the n vertices (or voxels) where ROIs are defined."""

    side: Hemisphere
    retinotopy: Retinotopy | Absent
    """Its polar angles are those of the visual field."""
    localizer: Mapping[str, Array | Absent]
    """z of each localizer contrast, (n,)."""
    alignment: Alignment
    """How retinotopy and maps came to share their vertices."""
    areas: Array | None = None
    """Of the vertices in mm^2, (n,); ``None`` if there is no surface to measure them on."""
    triangles: Triangles | None = None
    """Which vertices touch, (n_triangles, 3)."""

    @property
    def grid(self) -> Grid | None:
        """Which voxels touch, in volumes."""
        return self.alignment.grid

    @property
    def voxel_volume(self) -> float | None:
        """Volume of a voxel in mm^3; ``None`` on a surface."""
        return None if self.grid is None else self.grid.voxel_volume
