"""First-level results as nilearn really writes them."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import FirstLevelModel
from nilearn.interfaces.bids import save_glm_to_bids
from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage
from study import AREA, ECCENTRICITY, describe, estimates, write_mgz
from study import run_here as run

N_VERTICES = {"left": 12, "right": 10}
HEMISPHERE = {"left": "L", "right": "R"}
N_SCANS = 80
PARTICIPANT = ("participant", "--no-report")


def ring(n):
    coordinates = np.random.default_rng(n).normal(size=(n, 3)).astype("f4")
    faces = np.array([[i, (i + 1) % n, (i + 2) % n] for i in range(n)])
    return InMemoryMesh(coordinates, faces)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A study whose first level was run and written by nilearn, and the arrays it was made of."""
    root = tmp_path_factory.mktemp("nilearn") / "bids"
    describe(root, "study", "raw")
    (root / "sub-01").mkdir()
    rng = np.random.default_rng(1)
    mesh = PolyMesh(**{side: ring(n) for side, n in N_VERTICES.items()})
    onsets = np.arange(0, 150, 20.0)
    events = pd.DataFrame(
        {"onset": onsets, "duration": 10.0, "trial_type": ["UL", "LR"] * (len(onsets) // 2)}
    )
    arrays = {}
    for task in ("loc", "main"):
        boxcar = np.zeros(N_SCANS)
        for onset in onsets[::2]:
            boxcar[int(onset / 2) + 3 : int(onset / 2) + 8] = 3
        data = {
            # About zero: nilearn 0.14 cannot draw the mask of its report for a larger mean.
            side: (boxcar + rng.normal(size=(n, N_SCANS))).astype("f4")
            for side, n in N_VERTICES.items()
        }
        model = FirstLevelModel(
            t_r=2.0, noise_model="ols", minimize_memory=False, signal_scaling=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nilearn's own, about defaults
            model.fit(SurfaceImage(mesh, data), events=events)
            save_glm_to_bids(
                model,
                contrasts={"ULvsLR": "UL - LR"},
                out_dir=root / "derivatives" / "nilearn",
                prefix=f"sub-01_task-{task}_space-fsnative",
            )
            for stat in ("z_score", "effect_size"):
                image = model.compute_contrast("UL - LR", output_type=stat)
                arrays[task, stat] = {
                    HEMISPHERE[side]: np.ravel(part) for side, part in image.data.parts.items()
                }
    surf = root / "derivatives" / "freesurfer" / "sub-01" / "surf"
    for hemi, side in (("L", "lh"), ("R", "rh")):
        write_mgz(surf / f"{side}.benson14_varea.mgz", AREA[hemi], "i4")
        write_mgz(surf / f"{side}.benson14_eccen.mgz", ECCENTRICITY[hemi])
    return root, arrays


def test_what_nilearn_wrote_is_found_and_measured_as_numpy_does(fitted, tmp_path):
    root, arrays = fitted
    finished = run(root, tmp_path, *PARTICIPANT, "--roi-contrasts", "ULvsLR")
    assert finished.returncode == 0, finished.stderr
    rows = estimates(tmp_path)
    contrast = "ulvslr"  # nilearn lower-cases contrast names
    inside = {}
    for hemi in "LR":
        area, eccentricity = np.array(AREA[hemi]), np.array(ECCENTRICITY[hemi])
        z = arrays["loc", "z_score"][hemi]
        inside[hemi] = (area == 1) & (eccentricity > 0) & (eccentricity < 5) & (z > 1.96)
    assert inside["L"].sum() > 1
    for task in ("loc", "main"):
        effect = arrays[task, "effect_size"]
        values = {hemi: effect[hemi][inside[hemi]] for hemi in "LR"}
        values["both"] = np.concatenate([values["L"], values["R"]])
        for hemi, expected in values.items():
            row = rows[task, contrast, contrast, hemi]
            assert int(row["n_vertices"]) == expected.size
            assert float(row["estimate"]) == pytest.approx(expected.mean(), rel=1e-5)
    assert len(rows) == 2 * 3


def test_nothing_else_that_nilearn_writes_is_taken_for_a_contrast(fitted, tmp_path):
    root, _ = fitted
    assert run(root, tmp_path, *PARTICIPANT).returncode == 0
    assert {key[1] for key in estimates(tmp_path)} == {"ulvslr"}
    (path,) = tmp_path.glob("sub-01/func/*_desc-roi_estimates.json")
    sources = json.loads(path.read_text())["Sources"]
    assert len(sources) == 4
    assert all(source.startswith("bids:nilearn:sub-01/sub-01_task-") for source in sources)
