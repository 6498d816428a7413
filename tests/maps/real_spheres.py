"""Round trips on the spheres of fsaverage and fsLR with 163,842 vertices.

They are in the package smriprep, which is too large to be a dependency of the tests, so that this
module runs only where it is asked for: ``pytest tests/maps/real_spheres.py`` with the folder
``smriprep/data/atlases`` of that package, unpacked, in ``SPHERES``.
"""

import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import fetch_surf_fsaverage
from spheres import effect, start_study, uneven_sphere, write_maps, write_retinotopy, write_sphere
from study import estimates, run
from test_resampling import longest_edge
from test_spaces import dice, expected_roi, mask_of

from bids_secondlevel.core.values import Mesh
from bids_secondlevel.maps.meshes import by_interpolation, by_nearest, nested, on_spheres

ATLASES = Path(os.environ["SPHERES"])


def mesh(name):
    return Mesh(*(array.data for array in nib.load(ATLASES / name).darrays))


def fsaverage(hemi):
    return mesh(f"fs_{hemi}/fsaverage.{hemi}.sphere.164k_fs_{hemi}.surf.gii")


def fsaverage_in_fslr(hemi):
    name = f"fs_{hemi}-to-fs_LR_fsaverage.{hemi}_LR.spherical_std.164k_fs_{hemi}.surf.gii"
    return mesh(f"fs_{hemi}/{name}")


def fslr(hemi):
    return mesh(f"fsaverage.{hemi}_LR.spherical_std.164k_fs_LR.surf.gii")


@pytest.mark.parametrize("hemi", ["L", "R"])
@pytest.mark.parametrize("sphere", [fsaverage, fsaverage_in_fslr, fslr])
def test_identity(sphere, hemi):
    source = sphere(hemi)
    values = np.random.default_rng(0).normal(size=163842).astype("f4")
    same = on_spheres(source, source.coordinates)
    assert np.array_equal(by_interpolation(same, values), values)
    assert np.array_equal(by_nearest(same, values), values)


@pytest.mark.parametrize("hemi", ["L", "R"])
def test_coordinates_are_carried_to_within_an_edge(hemi):
    for source, target in (
        (fsaverage_in_fslr(hemi), fslr(hemi)),
        (fslr(hemi), fsaverage_in_fslr(hemi)),
    ):
        carried = by_interpolation(
            on_spheres(source, target.coordinates), source.coordinates.astype(float)
        )
        error = np.linalg.norm(carried - target.coordinates, axis=1).max()
        assert error < longest_edge(source) / 10


@pytest.mark.parametrize("hemi", ["L", "R"])
def test_there_and_back_again(hemi):
    ours, theirs = fsaverage_in_fslr(hemi), fslr(hemi)
    smooth = effect(ours.coordinates)
    there = by_interpolation(on_spheres(ours, theirs.coordinates), smooth)
    back = by_interpolation(on_spheres(theirs, ours.coordinates), there)
    assert np.abs(back - smooth).max() < 1e-3


@pytest.mark.parametrize(("hemi", "side"), [("L", "left"), ("R", "right")])
def test_fsaverage5_is_the_first_vertices_of_fsaverage(hemi, side):
    coordinates = fsaverage(hemi).coordinates
    first = by_nearest(nested(163842, 10242), coordinates)
    small = nib.load(fetch_surf_fsaverage("fsaverage5")[f"sphere_{side}"]).darrays[0].data
    assert np.abs(first - small).max() < 0.01  # of 100 mm: nilearn's file is rounded


def test_a_study_of_full_size(tmp_path, monkeypatch):
    home, root, output = tmp_path / "templateflow", tmp_path / "bids", tmp_path / "out"
    firstlevel, freesurfer = start_study(root)
    surf = freesurfer / "sub-01" / "surf"
    for hemi in "LR":
        target = home / "tpl-fsaverage"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(
            ATLASES / f"fs_{hemi}/fsaverage.{hemi}.sphere.164k_fs_{hemi}.surf.gii",
            target / f"tpl-fsaverage_hemi-{hemi}_den-164k_desc-std_sphere.surf.gii",
        )
        coordinates, triangles = uneven_sphere(100_000, seed=1 if hemi == "L" else 2)
        write_retinotopy(surf, coordinates, hemi)
        write_sphere(surf / f"{hemi.lower()}h.sphere.reg", coordinates, triangles, hemi)
        write_maps(firstlevel / "sub-01" / "func", fsaverage(hemi).coordinates, hemi, "fsaverage")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(home))
    monkeypatch.setenv("TEMPLATEFLOW_AUTOUPDATE", "off")
    finished = run(root, output, "participant", "--no-report")
    assert finished.returncode == 0, finished.stderr
    for hemi in "LR":
        coordinates = fsaverage(hemi).coordinates
        roi = mask_of(output, hemi, "fsaverage")
        assert dice(roi, expected_roi(coordinates)) > 0.99
        estimate = float(estimates(output)["main", "attend", "side", hemi]["estimate"])
        assert estimate == pytest.approx(effect(coordinates)[roi].mean(), abs=1e-5)
    assert run(root, output, "participant", "--no-report", "--space", "fsaverage5").returncode == 0
    for hemi in "LR":
        whole, small = mask_of(output, hemi, "fsaverage"), mask_of(output, hemi, "fsaverage5")
        assert small.size == 10242
        assert dice(small, whole[:10242]) > 0.97  # retinotopy was carried to each by itself
