"""The tables that describe ROIs, on a study with surfaces of known areas."""

import json

import nibabel as nib
import numpy as np
import pytest
from study import estimates, read_tsv, write_mgz

from bids_secondlevel.cli.main import main

# A strip of squares of 2 mm, two triangles each: vertices 0 2 4 ... above 1 3 5 ...
N_VERTICES = {"L": 12, "R": 10}


def strip(n):
    columns = np.arange(n) // 2
    coordinates = np.stack([2.0 * columns, 2.0 * (np.arange(n) % 2), np.zeros(n)], axis=1)
    squares = [(2 * c, 2 * c + 1, 2 * c + 2, 2 * c + 3) for c in range(n // 2 - 1)]
    triangles = [t for a, b, c, d in squares for t in ((a, b, c), (b, d, c))]
    return coordinates, np.array(triangles, dtype=np.int32)


def areas(n):
    """A third of each triangle of 2 mm^2, for each vertex."""
    _, triangles = strip(n)
    return np.bincount(triangles.ravel(), minlength=n) * 2 / 3


def level(study, output, *options, name="participant"):
    extra = ["--n-procs", "1"] if name == "participant" else []
    return main([str(study.root), str(output), name, "--no-report", *extra, *options])


def table(output, name, label="01"):
    (path,) = output.glob(f"sub-{label}/func/*_desc-roi_{name}.tsv")
    return {(row["roi"], row.get("other_roi"), row["hemi"]): row for row in read_tsv(path)}


@pytest.fixture
def with_surfaces(study):
    for hemi, side in (("L", "lh"), ("R", "rh")):
        n = N_VERTICES[hemi]
        nib.freesurfer.write_geometry(study.surf("01") / f"{side}.white", *strip(n))
        angle = np.full(n, 45.0)
        angle[3] = 135.0
        write_mgz(study.surf("01") / f"{side}.benson14_angle.mgz", angle)
    return study


def test_areas_are_those_of_the_mesh(with_surfaces, output):
    assert level(with_surfaces, output) == 0
    rows = estimates(output)
    left, right = areas(12)[[1, 2]].sum(), areas(10)[[0]].sum()
    found = [float(rows["main", "attend", "left", hemi]["area_mm2"]) for hemi in ("L", "R", "both")]
    assert found == pytest.approx([left, right, left + right])
    (path,) = output.glob("sub-01/func/*_desc-roi_quality.json")
    assert json.loads(path.read_text())["Surfaces"] == [
        "bids:freesurfer:sub-01/surf/lh.white",
        "bids:freesurfer:sub-01/surf/rh.white",
    ]


def test_area_weighted_mean(with_surfaces, output):
    assert level(with_surfaces, output, "--summary", "area-weighted-mean") == 0
    row = estimates(output)["main", "attend", "left", "L"]
    expected = np.average([11.0, 12.0], weights=areas(12)[[1, 2]])
    assert float(row["estimate"]) == pytest.approx(expected)


def test_without_a_surface(study, output):
    assert level(study, output, "--summary", "area-weighted-mean") == 0
    row = estimates(output)["main", "attend", "left", "L"]
    assert (row["estimate"], row["status"], row["area_mm2"]) == ("n/a", "missing_surface", "n/a")


def test_a_surface_of_other_vertices_is_not_used_and_it_is_said(with_surfaces, output, caplog):
    nib.freesurfer.write_geometry(with_surfaces.surf("01") / "lh.white", *strip(14))
    assert level(with_surfaces, output) == 0
    assert "surface areas are not measured" in caplog.text
    assert "14 vertices" in caplog.text
    rows = estimates(output)
    assert rows["main", "attend", "left", "L"]["area_mm2"] == "n/a"
    assert rows["main", "attend", "left", "R"]["area_mm2"] != "n/a"


def test_midthickness_is_preferred(with_surfaces, output):
    coordinates, triangles = strip(12)
    path = with_surfaces.surf("01") / "lh.midthickness"
    nib.freesurfer.write_geometry(path, 2 * coordinates, triangles)
    assert level(with_surfaces, output) == 0
    row = estimates(output)["main", "attend", "left", "L"]
    assert float(row["area_mm2"]) == pytest.approx(4 * areas(12)[[1, 2]].sum())


def test_quality_and_overlap(with_surfaces, output):
    assert level(with_surfaces, output, "--localizer-threshold", "-1") == 0
    # L: left has vertices 1, 2, 3 of V1; right has 1 and 3. R: left has 0; right has 0 and 2.
    quality, overlap = table(output, "quality"), table(output, "overlap")
    left = quality["left", None, "L"]
    assert (left["n_vertices"], left["retinotopic_share"]) == ("3", "1.0")
    assert (left["n_patches"], left["largest_patch"]) == ("1", "3")
    assert float(left["quadrant_agreement"]) == pytest.approx(2 / 3)
    assert left["quadrant"] == "UR"
    assert quality["left", None, "R"]["quadrant"] == "UL"
    assert float(quality["left", None, "both"]["laterality_index"]) == (3 - 1) / (3 + 1)
    shared = overlap["left", "right", "L"]
    assert (shared["n_shared"], float(shared["dice"])) == ("2", 2 * 2 / (3 + 2))


def test_group_table_of_quality(with_surfaces, output):
    assert level(with_surfaces, output) == 0
    assert level(with_surfaces, output, name="group") == 0
    rows = read_tsv(output / "group_quality.tsv")
    assert [(row["roi"], row["hemi"]) for row in rows] == [
        (roi, hemi) for roi in ("left", "right") for hemi in ("L", "R", "both")
    ]
    described = json.loads((output / "group_quality.json").read_text())
    assert all(described[column]["Description"] for column in rows[0])


def test_a_polar_angle_wedge_on_files(with_surfaces, output):
    assert level(with_surfaces, output, "--polar-angle", "0", "90") == 0
    rows = estimates(output)
    assert rows["main", "attend", "left", "L"]["n_vertices"] == "2"
    assert rows["main", "attend", "left", "R"]["status"] == "empty_roi"


def test_a_wedge_needs_angles(study, output, caplog):
    assert level(study, output, "--polar-angle", "0", "90") == 66
    assert "ROI left needs a map of polar angle (angle)" in caplog.text


def test_a_missing_angle_costs_only_the_rois_with_a_wedge(study, output, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        '[[roi]]\nname = "plain"\ncontrasts = ["left"]\n'
        '[[roi]]\nname = "UL"\ncontrasts = ["left"]\npolar-angle = [-90, 0]\n'
    )
    options = ["--config", str(config)]
    assert level(study, output, *options, "--dry-run") == 66
    assert level(study, output, *options) == 66
    rows = estimates(output)
    assert rows["main", "attend", "plain", "L"]["estimate"] == "11.5"
    assert rows["main", "attend", "UL", "L"]["status"] == "missing_retinotopy"


def test_a_damaged_angle_costs_no_estimate_where_none_needs_it(with_surfaces, output, caplog):
    (with_surfaces.surf("01") / "lh.benson14_angle.mgz").write_bytes(b"rubbish")
    assert level(with_surfaces, output) == 0
    assert "the polar angle is not used" in caplog.text
    assert estimates(output)["main", "attend", "left", "L"]["estimate"] == "11.5"
    assert table(output, "quality")["left", None, "L"]["mean_polar_angle"] == "n/a"
