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
from study import estimates, write_gifti, write_mgz
from study import run as run_apart
from study import run_here as run

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
    assert finished.returncode == 0, finished.stderr
    assert mask_of(output, "L", "fsaverage5").size == 10242
    assert run(study, output, "participant", "--space", "fsaverage5-164k").returncode == 64


def test_of_the_same_source_in_two_spaces_that_of_the_maps_is_used(study, output):
    anat = study / "derivatives" / "fmriprep" / "sub-01" / "anat"
    for hemi in "LR":
        coordinates, _ = fsaverage5(hemi)
        for kind, values in (
            ("varea", visual_area(coordinates)),
            ("eccen", eccentricity(coordinates)),
        ):
            name = f"sub-01_hemi-{hemi}_space-fsaverage5_desc-benson14_{kind}.func.gii"
            write_gifti(anat / name, values, hemi)
    finished = run(study, output, "participant", "--no-report")
    assert finished.returncode == 0, finished.stderr
    for hemi in "LR":
        assert np.array_equal(
            mask_of(output, hemi, "fsaverage5"), expected_roi(fsaverage5(hemi)[0])
        )


def test_one_hemisphere_can_be_asked_for_alone(study, output):
    for path in study.rglob("*_hemi-R_*"):
        path.unlink()
    finished = run(study, output, "participant", "--hemi", "L", "--no-report")
    assert finished.returncode == 0, finished.stderr
    assert {hemi for *_, hemi in estimates(output)} == {"L"}


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


@pytest.mark.parametrize("damage", ["cut", "a vertex at its centre"])
def test_a_damaged_sphere_is_no_link(study, output, damage):
    sphere = study / "derivatives" / "freesurfer" / "sub-01" / "surf" / "lh.sphere.reg"
    if damage == "cut":
        sphere.write_bytes(sphere.read_bytes()[:5000])
    else:
        coordinates, triangles = own_sphere("L")
        coordinates[0] = 0
        write_sphere(sphere, coordinates, triangles, "L")
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

    def angles(coordinates, hemi):  # three quarters of them contralateral
        around = np.rad2deg(np.arctan2(coordinates[:, 0], coordinates[:, 2]))
        angle = 90 + around * 2 / 3
        return ((angle if hemi == "L" else -angle) + 180) % 360 - 180

    surf = study / "derivatives" / "freesurfer" / "sub-01" / "surf"
    for hemi in "LR":
        coordinates, _ = own_sphere(hemi)
        write_mgz(surf / f"{hemi.lower()}h.benson14_angle.mgz", angles(coordinates, hemi))
    finished = run(
        *(study, output, "participant", "--no-report", "--polar-angle", "135", "-135"),
        *("--localizer-threshold", "-100"),
    )
    assert finished.returncode == 0, finished.stderr
    for hemi in "LR":
        coordinates, _ = fsaverage5(hemi)
        angle = angles(coordinates, hemi)
        e = eccentricity(coordinates)
        truth = (visual_area(coordinates) == 1) & (e > 0) & (e < 5) & (np.abs(angle) > 135)
        assert dice(mask_of(output, hemi, "fsaverage5"), truth) > 0.9


class TestTemplateFlow:
    """Maps on fsLR, in a folder of TemplateFlow that holds no more than a test needs."""

    N_FSLR = 32492

    @pytest.fixture
    def home(self, tmp_path, monkeypatch):
        home = tmp_path / "templateflow"
        monkeypatch.setenv("TEMPLATEFLOW_HOME", str(home))
        monkeypatch.setenv("TEMPLATEFLOW_AUTOUPDATE", "off")
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        return home

    def fslr(self, hemi):
        return uneven_sphere(self.N_FSLR, seed=3 if hemi == "L" else 4)

    def add_template(self, home, name):
        for hemi in "LR":
            write_sphere(home / "tpl-fsLR" / name.format(hemi=hemi), *self.fslr(hemi), hemi)

    @pytest.fixture
    def fslr_study(self, study):
        func = study / "derivatives" / "firstlevel" / "sub-01" / "func"
        for path in func.iterdir():
            path.unlink()
        for hemi in "LR":
            write_maps(func, self.fslr(hemi)[0], hemi, "fsLR")
        return study

    def check(self, output):
        for hemi in "LR":
            roi = mask_of(output, hemi, "fsLR")
            assert roi.size == self.N_FSLR
            assert dice(roi, expected_roi(self.fslr(hemi)[0])) > 0.97

    def test_own_retinotopy_is_carried_to_fslr_through_fsaverage(self, fslr_study, output, home):
        self.add_template(home, "tpl-fsLR_space-fsaverage_hemi-{hemi}_den-32k_sphere.surf.gii")
        finished = run_apart(fslr_study, output, "participant", "--no-report")
        assert finished.returncode == 0, finished.stderr
        self.check(output)

    def test_or_through_a_sphere_registered_to_fslr_itself(self, fslr_study, output, home):
        self.add_template(home, "tpl-fsLR_hemi-{hemi}_den-32k_sphere.surf.gii")
        anat = fslr_study / "derivatives" / "fmriprep" / "sub-01" / "anat"
        for hemi in "LR":
            name = f"sub-01_hemi-{hemi}_space-fsLR_desc-msmsulc_sphere.surf.gii"
            write_sphere(anat / name, *own_sphere(hemi), hemi)
        finished = run_apart(fslr_study, output, "participant", "--no-report")
        assert finished.returncode == 0, finished.stderr
        self.check(output)

    @pytest.mark.parametrize("state", ["absent", "empty files", "read-only"])
    def test_what_cannot_be_had_is_told(self, fslr_study, output, home, state):
        if state == "empty files":
            self.add_template(home, "tpl-fsLR_space-fsaverage_hemi-{hemi}_den-32k_sphere.surf.gii")
            for path in (home / "tpl-fsLR").iterdir():
                path.write_bytes(b"")
        elif state == "read-only":
            home.parent.joinpath("file").write_text("")
            home.symlink_to(home.parent / "file")  # a folder that nobody can make, root included
        else:
            foreseen = run_apart(fslr_study, output, "participant", "--dry-run")
            assert foreseen.returncode == 66
            assert "there is no network" in foreseen.stderr
            assert "templateflow get fsLR --density 32k" in foreseen.stderr
        finished = run_apart(fslr_study, output, "participant", "--no-report")
        assert finished.returncode == 66
        assert "TemplateFlow's sphere surface of fsLR in the coordinates of fsaverage" in (
            finished.stderr
        )
        assert "templateflow get fsLR --density 32k" in finished.stderr
        assert "Traceback" not in finished.stderr
        rows = estimates(output)
        assert {row["status"] for row in rows.values()} == {"vertex_mismatch"}


class TestAreasOfTheirOwn:
    """Eccentricity without visual areas, and V1 from another file."""

    @pytest.fixture
    def native(self, tmp_path):
        root = tmp_path / "bids"
        firstlevel, freesurfer = start_study(root)
        folder = freesurfer / "sub-01"
        for hemi in "LR":
            coordinates, triangles = own_sphere(hemi)
            side = f"{hemi.lower()}h"
            write_mgz(folder / "surf" / f"{side}.prf_eccen.mgz", 50 * (1 - coordinates[:, 1] / 100))
            write_sphere(folder / "surf" / f"{side}.sphere.reg", coordinates, triangles, hemi)
            write_maps(firstlevel / "sub-01" / "func", coordinates, hemi, "fsnative")
            area = visual_area(coordinates)
            self.write_label(folder / "label" / f"{side}.V1_exvivo.label", area == 1, coordinates)
            colours = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0]])
            annotation = folder / "label" / f"{side}.areas.annot"
            nib.freesurfer.write_annot(
                annotation, area.astype("i4"), colours, ["unknown", "V1", "V2"], fill_ctab=True
            )
            write_mgz(folder / "surf" / f"{side}.wang15_mplbl.mgz", area, "i4")
        return root

    def write_label(self, path, mask, coordinates):
        path.parent.mkdir(parents=True, exist_ok=True)
        vertices = np.flatnonzero(mask)
        lines = [f"{v} {' '.join(f'{c:.3f}' for c in coordinates[v])} 1.0" for v in vertices]
        path.write_text("\n".join(["#!ascii label", str(len(lines)), *lines]) + "\n")

    @pytest.mark.parametrize(
        ("area", "label"),
        [
            ("V1_exvivo.label", "V1exvivo"),
            ("areas.annot:V1", "V1"),
            ("wang15_mplbl.mgz:1", "wang15mplbl1"),
        ],
    )
    def test_the_area_comes_from_a_file(self, native, output, area, label):
        finished = run(native, output, "participant", "--visual-areas", area)
        assert finished.returncode == 0, finished.stderr
        assert list(output.glob(f"sub-01/func/*_label-{label}_desc-retinotopy_mask.label.gii"))
        for hemi in "LR":
            truth = expected_roi(own_sphere(hemi)[0])
            assert np.array_equal(mask_of(output, hemi, "fsnative"), truth)

    def test_it_is_carried_with_the_eccentricity(self, native, output):
        func = native / "derivatives" / "firstlevel" / "sub-01" / "func"
        for path in func.iterdir():
            path.unlink()
        for hemi in "LR":
            write_maps(func, fsaverage5(hemi)[0], hemi, "fsaverage5")
        options = ("--visual-areas", "V1_exvivo.label", "--no-report")
        finished = run(native, output, "participant", *options)
        assert finished.returncode == 0, finished.stderr
        for hemi in "LR":
            truth = expected_roi(fsaverage5(hemi)[0])
            assert dice(mask_of(output, hemi, "fsaverage5"), truth) > 0.97

    def test_without_areas_nothing_is_complete(self, native, output):
        finished = run(native, output, "participant", "--no-report")
        assert finished.returncode == 66
        assert "no retinotopy found" in finished.stderr

    def test_a_missing_area_costs_only_the_rois_that_it_is_for(self, native, output):
        config = native / "config.toml"
        config.write_text(
            '[[roi]]\nname = "here"\ncontrasts = ["side"]\nvisual-areas = ["V1_exvivo.label"]\n'
            '[[roi]]\nname = "gone"\ncontrasts = ["side"]\nvisual-areas = ["MT_exvivo.label"]\n'
        )
        finished = run(native, output, "participant", "--config", config, "--no-report")
        assert finished.returncode == 66
        assert "no file lh.MT_exvivo.label" in finished.stderr
        rows = estimates(output)
        assert rows["main", "attend", "here", "both"]["status"] == "ok"
        assert rows["main", "attend", "gone", "both"]["status"] == "missing_retinotopy"

    def test_an_exact_name_wins_over_one_that_ends_in_it(self, native, output):
        for path in list(native.rglob("?h.V1_exvivo.label")):
            path.with_name(f"{path.name[:3]}my_V1_exvivo.label").write_text(path.read_text())
        options = ("--visual-areas", "V1_exvivo.label", "--no-report")
        assert run(native, output, "participant", *options).returncode == 0

    def test_a_missing_file_is_named(self, native, output):
        next(native.rglob("rh.V1_exvivo.label")).unlink()
        finished = run(native, output, "participant", "--visual-areas", "V1_exvivo.label")
        assert finished.returncode == 66
        assert "no file rh.V1_exvivo.label" in finished.stderr
        assert estimates(output)["main", "attend", "side", "L"]["status"] == "ok"
