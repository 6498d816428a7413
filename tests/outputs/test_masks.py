"""All ROIs of a hemisphere in one label file."""

import json
import subprocess

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study import COMMAND, cut_short, read_tsv, write_gifti

from bids_secondlevel.cli.main import main
from bids_secondlevel.core.roi_rule import OVERLAP_COLOUR, components, roi_colours
from bids_secondlevel.outputs.masks import lookup_table, segment

NAME = "sub-01_hemi-{}_space-fsnative_seg-roi_dseg"
TABLE = "sub-01_seg-roi_dseg.tsv"


def level(study, output, *options):
    return main([str(study.root), str(output), "participant", "--n-procs", "1", *options])


def labels_of(folder, hemi):
    return nib.load(folder / f"{NAME.format(hemi)}.label.gii").darrays[0].data.tolist()


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=6))
def test_a_label_says_which_roi_a_vertex_is_in(masks):
    labels = segment([np.array(mask) for mask in masks])
    for vertex, label in enumerate(labels):
        inside = [number for number, mask in enumerate(masks, 1) if mask[vertex]]
        assert label == (inside[0] if len(inside) == 1 else (len(masks) + 1) * bool(inside))


@pytest.mark.parametrize("names", [["a"], ["overlap", "b"], [f"r{i}" for i in range(24)]])
def test_labels_and_colours_are_distinct(names):
    table = lookup_table(names)
    assert [label.key for label in table] == list(range(1, len(table) + 1))
    assert len(table) == len(names) + (len(names) > 1)
    assert len({label.name for label in table}) == len(table)
    assert len({label.colour for label in table}) == len(table)
    assert [label.name for label in table][: len(names)] == names


def test_the_first_colours_are_those_of_okabe_and_ito():
    colours = list(roi_colours("abcdefg").values())
    assert sorted(tuple(round(255 * part) for part in components(c)) for c in colours) == [
        (0, 114, 178),
        (0, 158, 115),
        (86, 180, 233),
        (204, 121, 167),
        (213, 94, 0),
        (230, 159, 0),
        (240, 228, 66),
    ]


def test_the_labels_of_the_planted_rois(study, output):
    assert level(study, output) == 0
    anat = output / "sub-01" / "anat"
    # "left" is 1, 2 (L) and 0 (R), "right" is nothing (L) and 0, 2 (R): 0 is in both.
    assert labels_of(anat, "L") == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert labels_of(anat, "R") == [3, 0, 2, 0, 0, 0, 0, 0, 0, 0]
    image = nib.load(anat / f"{NAME.format('R')}.label.gii")
    assert image.darrays[0].data.dtype == np.int32
    assert image.meta["AnatomicalStructurePrimary"] == "CortexRight"
    table = {label.key: label for label in image.labeltable.labels}
    rows = read_tsv(anat / TABLE)
    assert [(row["index"], row["name"]) for row in rows] == [
        ("1", "left"),
        ("2", "right"),
        ("3", "overlap"),
    ]
    assert rows[2]["color"] == OVERLAP_COLOUR
    assert table[0].label == "background"
    for row in rows:
        label = table[int(row["index"])]
        assert label.label == row["name"]
        assert np.allclose(label.rgba, (*components(row["color"]), 1))


def test_the_sidecar_says_where_the_labels_come_from(study, output):
    assert level(study, output) == 0
    anat = output / "sub-01" / "anat"
    sidecar = json.loads((anat / f"{NAME.format('R')}.json").read_text())
    assert sidecar["VertexCount"] == {"left": 0, "right": 1, "overlap": 1}
    assert sidecar["SurfaceVertexCount"] == 10
    assert sidecar["Rois"]["left"]["LocalizerZGreaterThan"] == 1.96
    assert sidecar["SpatialReference"] == "bids:freesurfer:sub-01/surf/rh.benson14_varea.mgz"
    links = json.loads((output / "dataset_description.json").read_text())["DatasetLinks"]
    assert len(sidecar["Sources"]) == len(set(sidecar["Sources"])) == 4
    for uri in sidecar["Sources"]:
        _, name, inside = uri.split(":")
        assert (output / links[name] / inside).is_file()


def test_the_reference_is_the_surface_where_there_is_one(study, output):
    for side in ("lh", "rh"):  # of no use as a mesh, but this is what the vertices are those of
        (study.surf("01") / f"{side}.white").write_bytes(b"")
    assert level(study, output) == 0
    sidecar = json.loads((output / "sub-01" / "anat" / f"{NAME.format('L')}.json").read_text())
    assert sidecar["SpatialReference"] == "bids:freesurfer:sub-01/surf/lh.white"


def test_a_hemisphere_that_lacks_a_roi_has_none_and_keeps_none(study, output):
    anat = output / "sub-01" / "anat"
    assert level(study, output) == 0
    cut_short(study.map_path("01", "loc", "L", "right", "z"))
    assert level(study, output) == 65
    assert sorted(path.name for path in anat.iterdir()) == [
        f"{NAME.format('R')}.json",
        f"{NAME.format('R')}.label.gii",
        TABLE,
    ]
    write_gifti(study.map_path("01", "loc", "R", "left", "z"), np.ones(13), "R")
    assert level(study, output) == 65
    assert list(anat.iterdir()) == []


def test_a_job_for_one_session_writes_beside_its_masks(study, output):
    for path in list(study.firstlevel.glob("sub-01/func/*")):
        path.rename(path.with_name(path.name.replace("sub-01_", "sub-01_ses-a_")))
    assert level(study, output, "--session-label", "a") == 0
    found = sorted(path.name for path in (output / "sub-01" / "ses-a" / "anat").iterdir())
    name = NAME.replace("sub-01_", "sub-01_ses-a_")
    assert found == [
        *(f"{name.format(h)}.{end}" for h in "LR" for end in ("json", "label.gii")),
        TABLE.replace("sub-01_", "sub-01_ses-a_"),
    ]
    assert not (output / "sub-01" / "anat").exists()


def test_label_files_are_valid_bids_that_nobody_passes_over(study, output):
    assert level(study, output) == 0
    assert "dseg" not in (output / ".bidsignore").read_text()
    validator = COMMAND.parent / "bids-validator-deno"
    finished = subprocess.run(
        [validator, output, "--format", "json"], capture_output=True, text=True, check=False
    )
    report = json.loads(finished.stdout)
    errors = [issue for issue in report["issues"]["issues"] if issue["severity"] == "error"]
    about = [issue for issue in report["issues"]["issues"] if "_dseg.label" in str(issue)]
    assert (errors, about) == ([], [])
    assert finished.returncode == 0
