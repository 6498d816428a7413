"""Retinotopy and maps on different surfaces, from the files to the numbers."""

import json

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import fetch_surf_fsaverage
from spheres import (
    eccentricity,
    effect,
    start_study,
    uneven_sphere,
    visual_area,
    write_maps,
    write_retinotopy,
    write_sphere,
    z_map,
)
from study import estimates, run, write_gifti, write_mgz

FSAVERAGE5 = {"L": "left", "R": "right"}
N_OWN = 3000


def fsaverage5(hemi):
    sphere = nib.load(fetch_surf_fsaverage("fsaverage5")[f"sphere_{FSAVERAGE5[hemi]}"])
    return [array.data for array in sphere.darrays]


def own_sphere(hemi):
    return uneven_sphere(N_OWN, seed=1 if hemi == "L" else 2)


@pytest.fixture
def study(tmp_path):
    """Retinotopy on the participant's own surface, maps on fsaverage5, spheres between them."""
    root = tmp_path / "bids"
    firstlevel, freesurfer = start_study(root)
    for hemi in "LR":
        coordinates, triangles = own_sphere(hemi)
        surf = freesurfer / "sub-01" / "surf"
        write_retinotopy(surf, coordinates, hemi)
        write_sphere(surf / f"{hemi.lower()}h.sphere.reg", coordinates, triangles, hemi)
        write_sphere(surf / f"{hemi.lower()}h.white", coordinates, triangles, hemi)
        write_maps(firstlevel / "sub-01" / "func", fsaverage5(hemi)[0], hemi, "fsaverage5")
    return root


def expected_roi(coordinates):
    """The ROI by the functions that the maps were made of."""
    e = eccentricity(coordinates)
    return (visual_area(coordinates) == 1) & (e > 0) & (e < 5) & (z_map(coordinates) > 1.96)


def mask_of(output, hemi, space, desc="combined"):
    (path,) = output.glob(f"sub-01/func/*hemi-{hemi}_space-{space}_*desc-{desc}_mask.label.gii")
    return nib.load(path).darrays[0].data.astype(bool)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_own_retinotopy_is_carried_to_the_maps(study, output):
    finished = run(study, output, "participant", "--no-report")
    assert finished.returncode == 0, finished.stderr
    rows = estimates(output)
    for hemi in "LR":
        coordinates, _ = fsaverage5(hemi)
        truth = expected_roi(coordinates)
        roi = mask_of(output, hemi, "fsaverage5")
        assert roi.size == 10242
        assert dice(roi, truth) > 0.97
        row = rows["main", "attend", "side", hemi]
        # The maps are measured as they are: only the ROI was carried.
        assert float(row["estimate"]) == pytest.approx(
            effect(coordinates)[roi].astype("f4").mean(dtype="f8"), rel=1e-6
        )
        assert row["space"] == "fsaverage5"
        # 10,242 vertices on a sphere of 100 mm: the own white surface, carried to these vertices.
        assert float(row["area_mm2"]) == pytest.approx(roi.sum() * 4e4 * np.pi / 10242, rel=0.1)
    (sidecar,) = output.glob("sub-01/func/*_desc-roi_estimates.json")
    described = json.loads(sidecar.read_text())
    assert described["Resampling"] == [
        "retinotopy: from fsnative to fsaverage (10k) over spheres registered to fsaverage "
        "(labels from the nearest vertex, values by barycentric interpolation)"
    ]
    assert "bids:freesurfer:sub-01/surf/lh.sphere.reg" in described["RegistrationSpheres"]


def test_maps_are_carried_to_the_participants_own_surface(study, output):
    finished = run(study, output, "participant", "--space", "fsnative", "--no-report")
    assert finished.returncode == 0, finished.stderr
    rows = estimates(output)
    for hemi in "LR":
        coordinates, _ = own_sphere(hemi)
        roi, truth = mask_of(output, hemi, "fsnative"), expected_roi(coordinates)
        assert roi.size == N_OWN
        assert dice(roi, truth) > 0.98
        estimate = float(rows["main", "attend", "side", hemi]["estimate"])
        assert estimate == pytest.approx(effect(coordinates)[roi].mean(), abs=0.005)
        assert rows["main", "attend", "side", hemi]["space"] == "fsnative"


def test_a_space_written_with_its_density_is_the_same(study, output):
    finished = run(study, output, "participant", "--space", "fsaverage-10k", "--no-report")
    # fsaverage is a family: 10k is what fsaverage5 is, so that nothing is carried but retinotopy.
    assert finished.returncode == 0, finished.stderr
    assert mask_of(output, "L", "fsaverage").size == 10242


@pytest.mark.parametrize("names", ["freesurfer", "fmriprep"])
def test_a_missing_sphere_is_named(study, output, names):
    surf = study / "derivatives" / "freesurfer" / "sub-01" / "surf"
    (surf / "rh.sphere.reg").unlink()
    if names == "fmriprep":
        anat = study / "derivatives" / "fmriprep" / "sub-01" / "anat"
        path = anat / "sub-01_hemi-R_desc-reg_sphere.surf.gii"
        write_sphere(path, *own_sphere("R"), "R")
    finished = run(study, output, "participant", "--no-report")
    if names == "fmriprep":
        assert finished.returncode == 0, finished.stderr
        return
    assert finished.returncode == 66
    assert "surf/rh.sphere.reg" in finished.stderr
    assert "sub-01_hemi-R_desc-reg_sphere.surf.gii" in finished.stderr
    rows = estimates(output)
    assert rows["main", "attend", "side", "R"]["status"] == "vertex_mismatch"
    assert rows["main", "attend", "side", "both"]["estimate"] == "n/a"
    assert rows["main", "attend", "side", "L"]["status"] == "ok"


def test_the_sphere_that_neuropythy_registers_to_a_retinotopic_model_is_never_used(study, output):
    surf = study / "derivatives" / "freesurfer" / "sub-01" / "surf"
    for side in ("lh", "rh"):
        (surf / f"{side}.sphere.reg").rename(surf / f"{side}.retinotopy.sphere.reg")
    finished = run(study, output, "participant", "--no-report")
    assert finished.returncode == 66
    assert "sphere.reg" in finished.stderr


def test_a_damaged_sphere_is_no_link(study, output):
    sphere = study / "derivatives" / "freesurfer" / "sub-01" / "surf" / "lh.sphere.reg"
    sphere.write_bytes(sphere.read_bytes()[:5000])
    finished = run(study, output, "participant", "--no-report")
    assert finished.returncode in (65, 66)
    assert "lh.sphere.reg" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_single_map_of_another_length_is_no_other_surface(study, output):
    func = study / "derivatives" / "firstlevel" / "sub-01" / "func"
    (path,) = func.glob("*task-main_hemi-L*")
    write_gifti(path, np.ones(642), "L")
    finished = run(study, output, "participant", "--no-report")
    assert finished.returncode == 65
    rows = estimates(output)
    assert rows["main", "attend", "side", "L"]["status"] == "vertex_mismatch"
    assert rows["loc", "side", "side", "L"]["status"] == "ok"


def test_nobody_can_be_carried_where_there_are_no_spheres(study, output):
    func = study / "derivatives" / "firstlevel" / "sub-01" / "func"
    for path in func.iterdir():
        path.rename(path.with_name(path.name.replace("fsaverage5", "fsnative")))
    surf = study / "derivatives" / "freesurfer" / "sub-01" / "surf"
    for path in surf.glob("*.sphere.reg"):
        path.unlink()
    finished = run(study, output, "participant", "--space", "fsaverage5")
    assert finished.returncode == 66
    assert "sphere" in finished.stderr
    assert not list(output.glob("sub-*"))


def test_polar_angles_are_carried_on_the_circle(study, output):
    """A wedge across the lower vertical meridian, where angles jump from 180 to -180."""
    surf = study / "derivatives" / "freesurfer" / "sub-01" / "surf"
    for hemi in "LR":
        coordinates, _ = own_sphere(hemi)
        angle = np.rad2deg(np.arctan2(coordinates[:, 0], coordinates[:, 2]))
        write_mgz(surf / f"{hemi.lower()}h.benson14_angle.mgz", angle)
    finished = run(
        *(study, output, "participant", "--no-report", "--polar-angle", "135", "-135"),
        *("--localizer-threshold", "-100"),
    )
    assert finished.returncode == 0, finished.stderr
    for hemi in "LR":
        coordinates, _ = fsaverage5(hemi)
        angle = np.rad2deg(np.arctan2(coordinates[:, 0], coordinates[:, 2]))
        e = eccentricity(coordinates)
        truth = (visual_area(coordinates) == 1) & (e > 0) & (e < 5) & (np.abs(angle) > 135)
        assert dice(mask_of(output, hemi, "fsaverage5"), truth) > 0.9
