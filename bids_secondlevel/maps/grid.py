"""The grid of a volume: where its voxels are, and which of them touch.

Values of a volume are one-dimensional too: one per voxel, in C order (the last index changes
fastest).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume are.

    Attributes
    ----------
    shape : (int, int, int)
    affine : (4, 4) array of float
        From voxel indices to the position of the voxel's centre in mm; x grows to the right, y
        to the front and z upwards.

    Examples
    --------
    >>> grid = Grid((2, 1, 1), np.array([[-2, 0, 0, 1], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]]))
    >>> grid.n_voxels, round(grid.voxel_volume, 3)
    (2, 12.0)
    >>> grid.hemisphere("R")  # the voxels' centres are at x = 1 and x = -1
    array([ True, False])
    >>> grid.describe()
    '2 x 1 x 1 voxels of 2 x 2 x 3 mm, the first at (1, 0, 0) mm'
    """

    shape: Shape
    affine: Array

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm^3."""
        first, second, third = self.affine[:3, :3].T  # exact where axes are along the world's
        return float(abs(np.dot(np.cross(first, second), third)))

    def hemisphere(self, hemisphere: Hemisphere) -> Mask:
        """Find the voxels on one side of the midline.

        Parameters
        ----------
        hemisphere : {"L", "R"}

        Returns
        -------
        (n_voxels,) array of bool
            Voxels whose centres have x < 0 (L) or x >= 0 (R), to a thousandth of a mm.
        """
        i, j, k = np.ogrid[tuple(slice(n) for n in self.shape)]
        a, b, c, start = self.affine[0]
        x = a * i + b * j + c * k + start
        left: Mask = (np.round(x, 3) < 0).ravel()  # rounding noise does not move the midline
        return left if hemisphere == "L" else ~left

    def matches(self, other: "Grid") -> bool:
        """Say whether another grid has the same voxels in the same places.

        Positions may differ by 0.001 mm, or by 1/100000 of themselves.
        """
        return self.shape == other.shape and np.allclose(
            _corners(self), _corners(other), rtol=1e-5, atol=1e-3
        )

    def describe(self) -> str:
        """Describe the grid in a message."""
        shape = " x ".join(str(n) for n in self.shape)
        size = " x ".join(f"{s:.4g}" for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        first = ", ".join(f"{c:.4g}" for c in self.affine[:3, 3])
        return f"{shape} voxels of {size} mm, the first at ({first}) mm"


def voxel_patches(mask: Mask, shape: Shape) -> tuple[int, ...]:
    """Count the voxels of every connected patch of a mask.

    Two voxels of the mask are connected where they share a face.

    Parameters
    ----------
    mask : (n_voxels,) array of bool
    shape : (int, int, int)

    Returns
    -------
    tuple of int
        Number of voxels of each patch, the largest first; none for an empty mask.

    Examples
    --------
    >>> voxel_patches(np.array([True, False, False, False, True, True]), (1, 2, 3))
    (2, 1)
    >>> voxel_patches(np.array([True, True, True, False, True, True]), (1, 2, 3))
    (5,)
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(mask.reshape(shape).view(np.uint8))
    if not boxes:
        return ()
    patch, _ = ndimage.label(mask.reshape(shape)[boxes[0]])
    sizes: list[int] = np.bincount(patch.ravel())[1:].tolist()
    return tuple(sorted(sizes, reverse=True))


def _corners(grid: Grid) -> Array:
    """Positions of the centres of the eight voxels at the corners."""
    indices = np.array(list(product(*((0, n - 1) for n in grid.shape))))
    corners: Array = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return corners
