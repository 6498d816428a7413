"""Volumes of whole numbers are visual areas, in the space of the maps, with names or without."""

import numpy as np
import pytest
from study import estimates, run_here
from test_layouts import AFFINE, RNG, SHAPE, Layout, nifti

MNI = "MNI152NLin6Asym"
LEFT = (AFFINE[0, 0] * np.arange(SHAPE[0]) + AFFINE[0, 3] < 0)[:, None, None] & np.ones(SHAPE, bool)
TABLE = "index\tname\tcolor\n1\tV1\t#ff0000\n2\tV2d\t#00ff00\n3\thMT+\t#0000ff\n"


def add_maps(layout, space=MNI):
    said = f"_space-{space}" if space else ""
    for label, of in layout.people.items():
        folder = layout.bids / f"derivatives/glm/sub-{label}/func"
        for task, stat, values in (("loc", "z", of.z), ("main", "effect", of.effect)):
            name = f"sub-{label}_task-{task}{said}_contrast-A_stat-{stat}_statmap"
            nifti(folder / f"{name}.nii.gz", values)


def run(layout, *options):
    return run_here(layout.bids, layout.root / "out", "participant", "--no-report", *options)


def check(layout, roi, masks, hemi="both"):
    for label, of in layout.people.items():
        row = estimates(layout.root / "out", label)["main", "A", roi, hemi]
        mask = masks[label]
        mask = mask & {"L": LEFT, "R": ~LEFT, "both": LEFT | ~LEFT}[hemi]
        assert int(row["n_vertices"]) == mask.sum()
        expected = of.effect[mask].astype("f8").mean()
        assert float(row["estimate"]) == pytest.approx(expected, abs=1e-9)


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path, volume=True)
    atlas = RNG.integers(0, 4, SHAPE)
    for of in made.people.values():
        of.varea = atlas
    return made


SHARED = [
    ("derivatives/atlases/tpl-MNI152NLin6Asym_atlas-wang_dseg.nii.gz", "V1", True),
    ("derivatives/atlases/tpl-MNI152NLin6Asym/tpl-MNI152NLin6Asym_dseg.nii", "1", False),
    ("derivatives/glm/areas.nii.gz", "v1", True),
    ("derivatives/glm/tpl-MNI152NLin6Asym/anat/tpl-MNI152NLin6Asym_dseg.nii.gz", "1", True),
]


@pytest.mark.parametrize(("path", "label", "has_table"), SHARED)
@pytest.mark.parametrize("hemi", ["L", "R", "both"])
def test_an_atlas_in_a_template_serves_everybody(layout, path, label, has_table, hemi):
    add_maps(layout)
    atlas = layout.bids / path
    nifti(atlas, layout.people["01"].varea)
    if has_table:
        atlas.with_name(f"{atlas.name.partition('.')[0]}.tsv").write_text(TABLE)
    options = ["--visual-areas", f"{atlas.name}:{label}", "--retinotopy-only", "--hemi", hemi]
    if "derivatives/atlases" in path:
        options += ["-d", layout.bids / "derivatives/glm", layout.bids / "derivatives/atlases"]
    done = run(layout, *options)
    assert done.returncode == 0, done.stderr
    assert "is used at any eccentricity" in done.stderr
    assert ("its name has no space" in done.stderr) == (atlas.name == "areas.nii.gz")
    (roi,) = {key[2] for key in estimates(layout.root / "out")}
    masks = {label: of.varea == 1 for label, of in layout.people.items()}
    check(layout, roi, masks, hemi)


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("anat/sub-{}_space-T1w_atlas-wang_dseg.nii.gz", "T1w"),
        ("mri/wang15_mplbl.nii.gz", "T1w"),
        ("anat/sub-{}_space-individual_atlas-wang_dseg.nii", "T1w"),
        (f"anat/sub-{{}}_space-{MNI}_dseg.nii.gz", MNI),
    ],
)
def test_everybodys_own_areas_and_the_localizer(layout, name, space):
    add_maps(layout, space)
    masks = {}
    for label, of in layout.people.items():
        of.varea = RNG.integers(0, 4, SHAPE)
        path = layout.bids / f"derivatives/glm/sub-{label}" / name.format(label)
        nifti(path, of.varea)
        path.with_name(f"{path.name.partition('.')[0]}.tsv").write_text(TABLE)
        masks[label] = np.isin(of.varea, (2, 3)) & (of.z > 1.96)
    file = name.format("01").rpartition("/")[2].removeprefix("sub-01_")
    done = run(layout, "--visual-areas", f"{file}:V2d", f"{file}:hMT+")
    assert done.returncode == 0, done.stderr
    check(layout, "A", masks)


def test_limits_that_are_asked_for_need_a_map_of_eccentricity(layout):
    add_maps(layout)
    nifti(layout.bids / "derivatives/glm/areas.nii.gz", layout.people["01"].varea)
    areas = ("--visual-areas", "areas.nii.gz:1", "--retinotopy-only")
    for limit in (("--eccentricity", 0, 5), ("--polar-angle", -90, 0)):
        refused = run(layout, *areas, *limit)
        assert refused.returncode
        assert "no retinotopy found" in refused.stderr
    assert run(layout, *areas).returncode == 0


def test_areas_within_limits_of_a_map_of_eccentricity(layout):
    add_maps(layout)
    layout.add_volumes_of_retinotopy(MNI)
    nifti(layout.bids / "derivatives/glm/areas.nii.gz", layout.people["01"].varea)
    done = run(layout, "--visual-areas", "areas.nii.gz:1", "--retinotopy-only")
    assert done.returncode == 0, done.stderr
    assert "at any eccentricity" not in done.stderr
    (roi,) = {key[2] for key in estimates(layout.root / "out")}
    check(layout, roi, {label: of.inside for label, of in layout.people.items()})


def test_an_atlas_on_a_finer_grid_comes_from_the_nearest_voxel(layout):
    import nibabel as nib

    add_maps(layout)
    coarse = layout.people["01"].varea
    fine = np.repeat(np.repeat(np.repeat(coarse, 2, 0), 2, 1), 2, 2)
    halved = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    halved[:3, 3] = AFFINE[:3, 3] - AFFINE[:3, :3] @ np.full(3, 0.25)
    path = layout.bids / f"derivatives/glm/tpl-{MNI}_dseg.nii.gz"
    nib.save(nib.Nifti1Image(fine.astype("i2"), halved), path)
    done = run(layout, "--visual-areas", f"{path.name}:1", "--retinotopy-only")
    assert done.returncode == 0, done.stderr
    (roi,) = {key[2] for key in estimates(layout.root / "out")}
    check(layout, roi, {label: of.varea == 1 for label, of in layout.people.items()})


def test_what_does_not_fit_is_refused(layout):
    add_maps(layout)
    areas = layout.people["01"].varea
    nifti(layout.bids / "derivatives/glm/tpl-MNI152NLin2009cAsym_dseg.nii.gz", areas)
    other = run(layout, "--visual-areas", "tpl-MNI152NLin2009cAsym_dseg.nii.gz:1")
    assert other.returncode
    assert "in the space of the maps" in other.stderr
    nifti(layout.bids / "derivatives/glm/atlas.nii.gz", areas)
    (layout.bids / "derivatives/glm/atlas.tsv").write_text(TABLE)
    unknown = run(layout, "--visual-areas", "atlas.nii.gz:V9", "--retinotopy-only")
    assert unknown.returncode
    assert "'V9' was asked for" in unknown.stderr
    label = run(layout, "--visual-areas", "V1_exvivo.label", "--retinotopy-only")
    assert "such a file is on a surface" in label.stderr
    (layout.bids / "derivatives/glm/atlas.tsv").write_text("number\tarea\n1\tV1\n")
    odd = run(layout, "--visual-areas", "atlas.nii.gz:V1", "--retinotopy-only")
    assert odd.returncode
    assert "expected the columns index" in odd.stderr


def test_settings_of_a_run_can_be_passed_back(layout):
    add_maps(layout)
    path = layout.bids / "derivatives/glm/areas.nii.gz"
    nifti(path, layout.people["01"].varea)
    options = ("--visual-areas", "areas.nii.gz:1", "--retinotopy-only")
    assert run(layout, *options).returncode == 0
    again = run(layout, *options)
    assert "up to date" in again.stderr
    path.with_name("areas.tsv").write_text(TABLE)
    changed = run(layout, *options)
    assert "up to date" not in changed.stderr
    group = run_here(layout.bids, layout.root / "out", "group", "--no-report")
    assert "at any eccentricity" in group.stderr
