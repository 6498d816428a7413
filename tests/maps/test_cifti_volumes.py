"""Maps in CIFTI files and volumes, from the files to the numbers."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, ScalarAxis
from study import describe, estimates, read_tsv, write_gifti, write_mgz
from study import run_here as run

LEFT, RIGHT = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"
N_FSLR = 32492
# V1 within 5 degrees are the first 100 vertices of each hemisphere; the first 10 have no values,
# like a medial wall, nor have those after the first 1000, so that files are small.
KEPT, V1 = np.arange(10, 1000), slice(0, 100)


def area_and_eccentricity():
    area, eccentricity = np.zeros(N_FSLR, "f4"), np.zeros(N_FSLR, "f4")
    area[V1], eccentricity[V1] = 1, 2.5
    return area, eccentricity


def surface_values(hemi, kind):
    """z is 3 in the first 50 vertices; effects are the number of the vertex, right of it 1000."""
    if kind == "z":
        return np.where(np.arange(N_FSLR) < 50, 3.0, 0.0)
    return np.arange(N_FSLR, dtype=float) + (1000 if hemi == "R" else 0)


def write_cifti(path, kinds, *, subcortex=True):
    """Write one map for each name, of a kind each, with the medial wall left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axis = BrainModelAxis.from_surface(KEPT, N_FSLR, LEFT)
    axis += BrainModelAxis.from_surface(KEPT, N_FSLR, RIGHT)
    n_voxels = 0
    if subcortex:
        voxels = BrainModelAxis.from_mask(
            np.ones((2, 2, 2), bool), affine=np.eye(4), name="CIFTI_STRUCTURE_THALAMUS_LEFT"
        )
        axis, n_voxels = axis + voxels, 8
    rows = [
        np.concatenate(
            [*(surface_values(hemi, kind)[KEPT] for hemi in "LR"), np.full(n_voxels, 1e6)]
        )
        for kind in kinds.values()
    ]
    image = nib.Cifti2Image(
        np.asarray(rows, "f4"), (ScalarAxis(list(kinds)), axis), dtype=np.float32
    )
    image.to_filename(path)


@pytest.fixture
def cifti_study(tmp_path):
    root = tmp_path / "bids"
    describe(root, "greyordinates", "raw")
    (root / "sub-01").mkdir()
    glm = root / "derivatives" / "glm"
    describe(glm, "glm")
    for hemi in "LR":
        for kind, values in zip(("varea", "eccen"), area_and_eccentricity(), strict=True):
            name = f"sub-01_hemi-{hemi}_space-fsLR_den-32k_desc-benson14_{kind}.func.gii"
            write_gifti(glm / "sub-01" / "anat" / name, values, hemi)
    return root


def add_cifti(root, **files):
    func = root / "derivatives" / "glm" / "sub-01" / "func"
    for name, kinds in files.items():
        write_cifti(func / f"sub-01_{name}_statmap.dscalar.nii", kinds)


@pytest.mark.parametrize("how", ["a file for each contrast", "all contrasts in a file"])
def test_grayordinates(cifti_study, output, how):
    if how == "a file for each contrast":
        add_cifti(
            cifti_study,
            **{
                "task-loc_space-fsLR_den-91k_contrast-left_stat-z": {"z": "z"},
                "task-main_space-fsLR_den-91k_contrast-faces_stat-effect": {"beta": "effect"},
                "task-main_space-fsLR_den-91k_contrast-ones_stat-effect": {"beta": "z"},
            },
        )
    else:
        add_cifti(
            cifti_study,
            **{
                "task-loc_den-91k_stat-z": {"left": "z"},
                "task-main_den-91k_stat-effect": {"faces": "effect", "o n e s": "z"},
            },
        )
    finished = run(cifti_study, output, "participant", "--no-report")
    assert finished.returncode == 0, finished.stderr
    assert "not the subcortical voxels" in finished.stderr
    rows = estimates(output)
    # V1 and z > 1.96: the first 50 vertices; in the effects, the first 10 are medial wall. There
    # is no z either there, so that they are not in the ROI.
    left = rows["main", "faces", "left", "L"]
    assert (left["n_vertices"], left["n_finite"]) == ("40", "40")
    assert float(left["estimate"]) == np.arange(10, 50).mean()
    assert float(rows["main", "faces", "left", "R"]["estimate"]) == np.arange(10, 50).mean() + 1000
    assert float(rows["main", "faces", "left", "both"]["estimate"]) == 29.5 + 500
    assert float(rows["main", "ones", "left", "L"]["estimate"]) == 3
    assert left["space"] == "fsLR"
    (mask,) = output.glob("sub-01/func/*_hemi-L_space-fsLR_*_desc-combined_mask.label.gii")
    assert np.flatnonzero(nib.load(mask).darrays[0].data).tolist() == list(range(10, 50))


def test_maps_whose_names_are_no_contrasts_are_an_error(cifti_study, output):
    add_cifti(
        cifti_study,
        **{
            "task-loc_space-fsLR_contrast-left_stat-z": {"z": "z"},
            "task-main_space-fsLR_stat-effect": {"a b": "z", "ab": "effect"},
        },
    )
    finished = run(cifti_study, output, "participant", "--no-report")
    assert "maps are named a b, ab" in finished.stderr
    assert finished.returncode in (18, 65)
    assert "Traceback" not in finished.stderr


# Volumes: voxels of 2 mm, x from -7 to 7, so that half the grid is the left hemisphere.
SHAPE = (8, 6, 5)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
AFFINE[:3, 3] = [-7.0, -20.0, 0.0]


def world_x(shape=SHAPE, affine=AFFINE):
    i = np.indices(shape).reshape(3, -1)
    return (affine[:3, :3] @ i + affine[:3, 3:])[0].reshape(shape)


def volumes():
    """V1 is the plane z index 2; z passes where y index is below 3; the effect tells the side."""
    area, eccentricity = np.zeros(SHAPE, "i2"), np.zeros(SHAPE, "f4")
    area[:, :, 2], eccentricity[:, :, 2] = 1, 2.5
    z = np.zeros(SHAPE, "f4")
    z[:, :3, :] = 4.0
    effect = np.where(world_x() < 0, 10.0, 20.0).astype("f4")
    effect[:, 0, 2] = np.nan
    return area, eccentricity, z, effect


def save(path, data, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = nib.freesurfer.MGHImage if path.suffix == ".mgz" else nib.Nifti1Image
    nib.save(kind(data if data.dtype != np.int16 else data.astype("i4"), affine), path)
    return path


def make_volume_study(root, layout):
    """Make a study whose retinotopy is in FreeSurfer's mri/ or under BIDS names."""
    describe(root, "volumes", "raw")
    (root / "sub-01").mkdir()
    area, eccentricity, z, effect = volumes()
    glm = root / "derivatives" / "glm"
    describe(glm, "glm")
    if layout == "freesurfer":
        mri = root / "derivatives" / "freesurfer" / "sub-01" / "mri"
        for side, n_vertices in (("lh", 12), ("rh", 10)):  # which neuropythy writes beside them
            for kind in ("varea", "eccen"):
                name = f"{side}.inferred_{kind}.mgz"
                write_mgz(mri.parent / "surf" / name, np.ones(n_vertices))
        save(mri / "inferred_varea.mgz", area)
        save(mri / "inferred_eccen.mgz", eccentricity)
    else:
        anat = glm / "sub-01" / "anat"
        save(anat / "sub-01_space-T1w_desc-inferred_varea.nii.gz", area)
        save(anat / "sub-01_space-T1w_desc-inferred_eccen.nii.gz", eccentricity)
    func = glm / "sub-01" / "func"
    save(func / "sub-01_task-loc_space-T1w_contrast-up_stat-z_statmap.nii.gz", z)
    save(func / "sub-01_task-loc_space-T1w_contrast-up_stat-effect_statmap.nii.gz", z)
    save(func / "sub-01_task-main_space-T1w_contrast-attend_stat-effect_statmap.nii.gz", effect)
    return root


@pytest.fixture(params=["freesurfer", "bids"])
def volume_study(tmp_path, request):
    return make_volume_study(tmp_path / "bids", request.param)


@pytest.fixture(scope="module", params=["freesurfer", "bids"])
def volume_results(tmp_path_factory, request):
    """A study, its results of both levels, and what the program said on the way."""
    root = tmp_path_factory.mktemp("volumes")
    study, output = make_volume_study(root / "bids", request.param), root / "out"
    participant = run(study, output, "participant", "--localizer-task", "loc")
    group = run(study, output, "group")
    assert participant.returncode == 0, participant.stderr
    assert group.returncode == 0, group.stderr
    return study, output, participant.stderr


def test_volumes(volume_results):
    _, output, _ = volume_results
    rows = estimates(output)
    # 8 x 3 voxels of 8 mm3, of which the 8 of the first row are NaN in the effect.
    assert set(rows) == {("loc", "up", "up", "both"), ("main", "attend", "up", "both")}
    row = rows["main", "attend", "up", "both"]
    assert (row["n_vertices"], row["n_finite"], row["area_mm2"]) == ("24", "16", "n/a")
    assert float(row["volume_mm3"]) == 24 * 8
    assert float(row["estimate"]) == 15
    (path,) = output.glob("sub-01/func/*_desc-combined_mask.nii.gz")
    assert path.name == "sub-01_task-loc_space-T1w_label-up_desc-combined_mask.nii.gz"
    mask = nib.load(path)
    assert np.array_equal(mask.affine, AFFINE)
    assert mask.get_data_dtype() == np.uint8
    area, _, z, _ = volumes()
    assert np.array_equal(np.asarray(mask.dataobj), (area == 1) & (z > 1.96))
    (dseg,) = output.glob("sub-01/anat/*_dseg.nii.gz")
    assert np.asarray(nib.load(dseg).dataobj).sum() == 24
    (quality,) = output.glob("sub-01/func/*_desc-roi_quality.tsv")
    (described,) = read_tsv(quality)
    assert (described["n_patches"], described["volume_mm3"]) == ("1", "192.0")
    assert (output / "sub-01.html").exists()


def test_the_page_of_volumes_shows_slices(volume_results):
    study, output, said = volume_results
    assert {line.partition(":")[0] for line in said.splitlines()} == {"INFO"}
    (picture,) = output.glob("sub-01/figures/sub-01_space-T1w_desc-rois_cortex.svg")
    words = [e.text for e in ET.fromstring(picture.read_bytes()).iter() if e.text]
    assert "sub-01, space T1w, retinotopy inferred" in words
    assert "up: 12 L, 12 R" in words
    # V1 is in every coronal slice, y = -20 to -10; the ROI in the first three only.
    assert [word for word in words if word.startswith("y = ")] == ["y = -20", "y = -16", "y = -12"]
    page = (output / "sub-01.html").read_text()
    assert "In the volume" in page
    assert "in volumes of space T1w" in page
    assert "up 24 voxels" in page
    assert "on the surface" not in page.partition("<h2")[0]
    again = run(study, output, "participant", "--reports-only")
    assert again.returncode == 0, again.stderr
    assert (output / "sub-01.html").read_text() == page


def test_volumes_without_any_visual_area_have_no_picture_and_a_page_that_says_so(
    volume_study, output
):
    for path in volume_study.rglob("*_varea*"):
        save(path, np.zeros(SHAPE, "i2"))
    for path in volume_study.rglob("*_eccen*"):
        save(path, np.zeros(SHAPE, "f4"))
    finished = run(volume_study, output, "participant")
    assert finished.returncode == 0, finished.stderr
    assert not list(output.glob("sub-01/figures/*_cortex.svg"))
    assert "There is no picture of the volume" in (output / "sub-01.html").read_text()


def test_hemispheres_of_a_volume_are_told_by_the_sign_of_x(volume_study, output):
    finished = run(volume_study, output, "participant", "--hemi", "L", "R", "both", "--no-report")
    assert finished.returncode == 0, finished.stderr
    rows = estimates(output)
    assert [float(rows["main", "attend", "up", h]["estimate"]) for h in ("L", "R", "both")] == [
        *(10, 20, 15),
    ]
    assert [rows["main", "attend", "up", h]["n_vertices"] for h in ("L", "R", "both")] == [
        *("12", "12", "24"),
    ]


@pytest.mark.parametrize("change", ["flipped", "shifted", "finer"])
def test_retinotopy_on_another_grid_is_carried_to_that_of_the_maps(volume_study, output, change):
    before = run(volume_study, output, "participant", "--no-report")
    assert before.returncode == 0, before.stderr
    expected = estimates(output)["main", "attend", "up", "both"]
    for path in volume_study.rglob("*inferred_*"):
        if path.parent.name == "surf":
            continue
        image = nib.load(path)
        data, affine = np.asarray(image.dataobj), image.affine.copy()
        if change == "flipped":  # the same places, written from right to left
            data = data[::-1]
            affine[0] = [-2, 0, 0, 7]
        elif change == "shifted":  # the same places, with an empty plane in front
            data = np.concatenate([np.zeros_like(data[:1]), data])
            affine[0, 3] -= 2
        else:  # each voxel in eight
            for axis in range(3):
                data = np.repeat(data, 2, axis=axis)
            affine[:3, :3] /= 2
            affine[:3, 3] -= 0.5
        save(path, data, affine)
    finished = run(volume_study, output, "participant", "--no-report")
    assert finished.returncode == 0, finished.stderr
    assert estimates(output)["main", "attend", "up", "both"] == expected
    (sidecar,) = output.glob("sub-01/func/*_desc-roi_estimates.json")
    assert json.loads(sidecar.read_text())["Resampling"] == [
        "retinotopy: nearest voxel in world coordinates, on the grid of the maps"
    ]


def test_retinotopy_elsewhere_in_the_world_is_refused(volume_study, output):
    for path in volume_study.rglob("*inferred_*"):
        if path.parent.name == "surf":
            continue
        image = nib.load(path)
        affine = image.affine.copy()
        affine[1, 3] += 500
        save(path, np.asarray(image.dataobj), affine)
    finished = run(volume_study, output, "participant", "--no-report")
    assert finished.returncode == 65
    assert "no visual area is within the field of view" in finished.stderr
    assert estimates(output)["main", "attend", "up", "both"]["status"] == "vertex_mismatch"


def test_maps_on_another_grid_than_the_localizer_are_refused(volume_study, output):
    (path,) = volume_study.rglob("*task-main*")
    affine = AFFINE.copy()
    affine[0] = [-2, 0, 0, 7]
    save(path, np.asarray(nib.load(path).dataobj), affine)
    finished = run(volume_study, output, "participant", "--no-report")
    assert finished.returncode == 65
    assert "the first map has" in finished.stderr
    assert estimates(output)["main", "attend", "up", "both"]["status"] == "vertex_mismatch"


@pytest.mark.parametrize("space", ["MNI152NLin2009cAsym", "boldref"])
def test_retinotopy_of_the_head_is_not_put_into_another_space(volume_study, output, space):
    for path in volume_study.rglob("*_statmap.nii.gz"):
        path.rename(path.with_name(path.name.replace("T1w", space)))
    finished = run(volume_study, output, "participant", "--no-report")
    assert finished.returncode == 66
    assert space in finished.stderr
    assert estimates(output)["main", "attend", "up", "both"]["status"] == "missing_retinotopy"


def test_maps_without_a_space_are_taken_to_be_in_that_of_the_head_and_this_is_told(
    volume_study, output
):
    for path in volume_study.rglob("*.nii.gz"):
        path.rename(path.with_name(path.name.replace("_space-T1w", "")))
    finished = run(volume_study, output, "participant", "--no-report")
    assert finished.returncode == 0, finished.stderr
    assert "names of the maps have no space" in finished.stderr
    group = run(volume_study, output, "group", "--no-report")
    assert group.returncode == 0, group.stderr
    assert "names of the maps have no space" in group.stderr


def test_maps_in_a_template_by_their_header_alone_are_refused(volume_study, output):
    for path in volume_study.rglob("*.nii.gz"):
        name = path.with_name(path.name.replace("_space-T1w", ""))
        path.rename(name)
        if "_statmap" in name.name:
            image = nib.load(name)
            values = np.asarray(image.dataobj)
            written = nib.Nifti1Image(values, image.affine)
            written.set_sform(image.affine, 4)
            nib.save(written, name)
    finished = run(volume_study, output, "participant", "--no-report")
    assert finished.returncode == 66
    assert "MNI152 (sform_code 4)" in finished.stderr
    assert "[[maps]]" in finished.stderr
    assert {row["status"] for row in estimates(output).values()} == {"missing_retinotopy"}


@pytest.mark.parametrize(
    "option", [("--visual-areas", "V1_exvivo.label"), ("--summary", "area-weighted-mean")]
)
def test_what_only_surfaces_have_is_a_wrong_option_for_volumes(volume_study, output, option):
    finished = run(volume_study, output, "participant", *option)
    assert finished.returncode == 64
    assert option[0] in finished.stderr


def test_volumes_on_grids_of_their_own_are_no_retinotopy(volume_study, output):
    for path in volume_study.rglob("*inferred_varea*"):
        if path.parent.name != "surf":
            image = nib.load(path)
            save(path, np.asarray(image.dataobj)[::-1], AFFINE * [[-1], [1], [1], [1]])
    finished = run(volume_study, output, "participant", "--no-report")
    assert finished.returncode == 65
    assert "expected the same grid for all maps of a retinotopy" in finished.stderr
    status = estimates(output)["main", "attend", "up", "both"]["status"]
    assert status == "unreadable_retinotopy"


def test_volumes_are_not_projected_to_a_surface(volume_study, output):
    finished = run(volume_study, output, "participant", "--space", "fsaverage")
    assert finished.returncode == 18
    assert "T1w (volumes)" in finished.stderr


def test_the_group_of_volumes(volume_results):
    _, output, _ = volume_results
    rows = read_tsv(output / "group_estimates.tsv")
    assert {row["hemi"] for row in rows} == {"both"}
    assert {row["volume_mm3"] for row in rows} == {"192.0"}
    methods = (output / "logs" / "CITATION.md").read_text()
    assert "in volumes in space T1w" in methods


def test_nothing_is_said_of_vertices_in_volumes(volume_results):
    _, output, _ = volume_results
    for name in ("sub-01.html", "group.html", "logs/CITATION.md"):
        text = (output / name).read_text()
        assert "voxels" in text
        assert not re.search(r"(?<![-\w])vert(ex|ices)\b", text)  # --min-vertices is an option


def test_the_output_of_volumes_is_valid_bids(volume_results):
    _, output, _ = volume_results
    validator = Path(sys.executable).parent / "bids-validator-deno"
    finished = subprocess.run(
        [validator, output, "--json"], capture_output=True, text=True, check=False, env=os.environ
    )
    issues = json.loads(finished.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue["severity"] == "error"]
    assert errors == []


class TestOtherNames:
    """Maps under the names of SPM and bidspm, chosen by a filter file."""

    @pytest.fixture
    def spm_study(self, tmp_path):
        root = tmp_path / "bids"
        describe(root, "spm", "raw")
        (root / "sub-01").mkdir()
        area, eccentricity, _, effect = volumes()
        func = root / "derivatives" / "bidspm" / "sub-01" / "stats"
        save(func.parent / "inferred_varea.nii.gz", area)
        save(func.parent / "inferred_eccen.nii.gz", eccentricity)
        # With 10 degrees of freedom, z is 1.96 at a t of 2.228: a t of 2.2 does not pass.
        t = np.full(SHAPE, 2.2, "f4")
        t[:, :2, :] = 2.3
        image = nib.Nifti1Image(t, AFFINE)
        image.header["descrip"] = b"SPM{T_[10.0]} - contrast 1: up"
        name = "sub-01_task-{}_space-individual_desc-{}_label-0001_{}.nii"
        func.mkdir(parents=True)
        nib.save(image, func / name.format("loc", "up", "spmT"))
        save(func / name.format("loc", "up", "con"), t)
        save(func / name.format("main", "attend", "con"), effect)
        filters = {"localizer": {"suffix": "spmT"}, "estimates": {"suffix": "con"}}
        (root / "filters.json").write_text(json.dumps(filters))
        return root

    def run(self, root, output):
        options = ("--bids-filter-file", root / "filters.json", "--no-report")
        return run(root, output, "participant", *options)

    def test_t_values_become_z_by_the_degrees_of_freedom_in_the_header(self, spm_study, output):
        finished = self.run(spm_study, output)
        assert finished.returncode == 0, finished.stderr
        row = estimates(output)["main", "attend", "up", "both"]
        assert (row["n_vertices"], row["n_finite"], row["estimate"]) == ("16", "8", "15.0")

    def test_t_values_on_a_surface_without_degrees_of_freedom_are_refused(self, spm_study, output):
        (path,) = spm_study.rglob("*_spmT.nii")
        path.unlink()
        for hemi in "LR":
            name = f"sub-01_task-loc_hemi-{hemi}_space-fsnative_desc-up_{{}}.func.gii"
            for suffix in ("spmT", "con"):
                write_gifti(path.parent / name.format(suffix), np.full(12, 3.0), hemi)
        finished = self.run(spm_study, output)
        assert finished.returncode in (65, 66)
        assert "with unknown degrees of freedom" in finished.stderr

    def test_t_values_without_degrees_of_freedom_are_refused(self, spm_study, output):
        (path,) = spm_study.rglob("*_spmT.nii")
        save(path, np.asarray(nib.load(path).dataobj))
        finished = self.run(spm_study, output)
        assert finished.returncode == 65
        assert "degrees of freedom" in finished.stderr
        status = estimates(output)["main", "attend", "up", "both"]["status"]
        assert status == "unreadable_localizer"
