"""Studies whose retinotopy and maps are on different surfaces, with answers known by construction.

Every hemisphere is a sphere, and what it shows is a function of the place on it: so what a map
holds on any surface is known, and what is carried there can be compared with it.
"""

import nibabel as nib
import numpy as np
from scipy.spatial import ConvexHull
from study import STRUCTURE, describe, write_gifti, write_mgz

RADIUS = 100.0


def uneven_sphere(n_vertices, seed):
    """Coordinates and triangles of a sphere with unevenly spread vertices, as a brain's own is."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n_vertices, 3))
    points *= RADIUS / np.linalg.norm(points, axis=1, keepdims=True)
    triangles = ConvexHull(points).simplices
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    inward = np.einsum("ij,ij->i", a, np.cross(b, c)) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return points.astype(np.float32), triangles.astype(np.int32)


def write_sphere(path, coordinates, triangles, hemi):
    """Write a mesh under a FreeSurfer or a GIFTI name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".gii":
        nib.freesurfer.write_geometry(path, coordinates, triangles)
        return path
    meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURE[hemi]})
    arrays = [
        nib.gifti.GiftiDataArray(np.asarray(coordinates, "f4"), "NIFTI_INTENT_POINTSET"),
        nib.gifti.GiftiDataArray(np.asarray(triangles, "i4"), "NIFTI_INTENT_TRIANGLE"),
    ]
    path.write_bytes(nib.gifti.GiftiImage(darrays=arrays, meta=meta).to_bytes())
    return path


def along(coordinates, axis):
    """How far points are along an axis of the unit sphere, from -1 to 1."""
    return coordinates[:, axis] / np.linalg.norm(coordinates, axis=1)


def visual_area(coordinates):
    """1 (V1) on a cap around the y axis, 2 on a ring around it, 0 beyond."""
    y = along(coordinates, 1)
    return np.where(y > 0.8, 1, np.where(y > 0.6, 2, 0))


def eccentricity(coordinates):
    """Degrees from the centre of the cap: below 5 where y is above 0.9; 0 outside the areas."""
    y = along(coordinates, 1)
    return np.where(y > 0.6, 50 * (1 - y), 0.0)


def z_map(coordinates):
    """Activated on the side of positive x."""
    return 10 * along(coordinates, 0)


def effect(coordinates):
    """A smooth map."""
    return 3 + along(coordinates, 0) + 2 * along(coordinates, 2)


def write_retinotopy(folder, coordinates, hemi, tag="benson14"):
    """Write areas and eccentricity under FreeSurfer's names."""
    side = f"{hemi.lower()}h"
    write_mgz(folder / f"{side}.{tag}_varea.mgz", visual_area(coordinates), "i4")
    write_mgz(folder / f"{side}.{tag}_eccen.mgz", eccentricity(coordinates))


def write_maps(func, coordinates, hemi, space, label="01"):
    """Write z and effect of the localizer, and the effect of a task."""
    for task, contrast, stat, values in (
        ("loc", "side", "z", z_map(coordinates)),
        ("loc", "side", "effect", z_map(coordinates)),
        ("main", "attend", "effect", effect(coordinates)),
    ):
        name = (
            f"sub-{label}_task-{task}_hemi-{hemi}_space-{space}_contrast-{contrast}"
            f"_stat-{stat}_statmap.func.gii"
        )
        write_gifti(func / name, values, hemi)


def start_study(root, labels=("01",)):
    """Write an empty study with folders for first-level maps and FreeSurfer's results."""
    describe(root, "spheres", "raw")
    describe(root / "derivatives" / "firstlevel", "firstlevel")
    for label in labels:
        (root / f"sub-{label}").mkdir()
    return root / "derivatives" / "firstlevel", root / "derivatives" / "freesurfer"
