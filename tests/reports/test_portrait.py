"""The picture of a participant's cortex, and which surface it is drawn on."""

import base64
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import nibabel as nib
import numpy as np
import pytest
from meshes import icosphere
from study import AREA, COMMAND, contents, estimates, run, write_curv, write_gifti, write_mgz

from bids_secondlevel.cli.main import main
from bids_secondlevel.outputs.names import CORTEX, ESTIMATES

SIDES = {"L": "lh", "R": "rh"}


def level(study, output, *options):
    return main([str(study.root), str(output), "participant", "--n-procs", "1", *options])


def strip(n_vertices):
    """Two rows of vertices 10 mm apart, seen from above by who looks along its normals."""
    number = np.arange(n_vertices)
    points = np.stack([number // 2 * 10.0, number % 2 * 10.0, np.zeros(n_vertices)], axis=1)
    even = np.arange(0, n_vertices - 3, 2)
    one = np.stack([even, even + 2, even + 1], axis=1)
    other = np.stack([even + 1, even + 2, even + 3], axis=1)
    return points, np.vstack([one, other])


def write_surface(path, n_vertices):
    path.parent.mkdir(parents=True, exist_ok=True)
    points, triangles = strip(n_vertices)
    if path.suffix == ".gii":
        arrays = [
            nib.gifti.GiftiDataArray(points.astype("f4"), "NIFTI_INTENT_POINTSET"),
            nib.gifti.GiftiDataArray(triangles.astype("i4"), "NIFTI_INTENT_TRIANGLE"),
        ]
        nib.save(nib.gifti.GiftiImage(darrays=arrays), path)
    else:
        nib.freesurfer.write_geometry(path, points, triangles)
    return path


@pytest.fixture
def inflated(study):
    """A study of a participant with inflated surfaces."""
    for hemi, side in SIDES.items():
        write_surface(study.surf("01") / f"{side}.inflated", len(AREA[hemi]))
    return study


def picture(output, name="sub-01_space-fsnative"):
    path = output / "sub-01" / "figures" / f"{name}_{CORTEX}.svg"
    return path if path.exists() else None


def words(output, **where):
    text = picture(output, **where).read_bytes()
    return [e.text for e in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]


def surfaces(output, **where):
    """What the picture says it is drawn on."""
    joined = " ".join(words(output, **where))
    return re.findall(r"Surface: (\S+?)[.,] ", joined)


def test_the_picture_says_who_what_and_how_many(inflated, output):
    assert level(inflated, output) == 0
    written = words(output)
    assert "sub-01, space fsnative, retinotopy benson14" in written
    assert {"left: 2 L, 1 R", "right: 0 L, 2 R", "Localizer left", "Localizer right"} <= {*written}
    joined = " ".join(written)
    assert "Black line: V1 from 0 to 5 degrees." in joined
    assert "paler if it does not pass the threshold (z > 1.96)" in joined
    assert surfaces(output) == [
        "bids:freesurfer:sub-01/surf/lh.inflated",
        "bids:freesurfer:sub-01/surf/rh.inflated",
    ]


def test_the_page_of_the_group_shows_the_rois_of_each_participant(inflated, output):
    assert level(inflated, output) == 0
    small = output / "sub-01" / "figures" / "sub-01_space-fsnative_desc-rois_thumbnail.png"
    held = base64.b64encode(small.read_bytes()).decode()
    assert main([str(inflated.root), str(output), "group"]) == 0
    page = (output / "group.html").read_text()
    assert f'<img src="data:image/png;base64,{held}" alt="ROIs of sub-01">' in page
    assert level(inflated, output, "--no-report") == 0
    assert not small.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tail", "two-sided"], "(z > 1.96 or z < -1.96)"),
        (["--tail", "less"], "(z < -1.96)"),
        (["--visual-areas", "V1", "V2", "--eccentricity", "0.5", "3"], "V1, V2 from 0.5 to 3 deg"),
        (["--retinotopy-only"], "V1 from 0 to 5"),
    ],
)
def test_the_picture_says_the_rule(inflated, output, options, said):
    assert level(inflated, output, *options) == 0
    assert said in " ".join(words(output))


def test_the_picture_has_readable_names(inflated, output):
    config = output.with_name("labels.toml")
    config.write_text('[labels]\nleft = "upper field"\nattend = "attended"\n')
    units = ["--units", "percent signal change"]
    assert level(inflated, output, "--config", str(config), *units) == 0
    said = words(output)
    assert "upper field: 2 L, 1 R" in said
    assert "Localizer upper field" in said
    assert {"Localizer right", "attended", "effect (percent signal change)"} <= {*said}
    assert not any(text.startswith("left") for text in said)


def test_the_picture_shows_what_the_rois_hold(inflated, output):
    path = inflated.map_path("01", "main", "L", "attend", "effect")
    values = nib.load(path).darrays[0].data.copy()
    values[2] = np.nan  # of the ROI left
    write_gifti(path, values, "L")
    assert level(inflated, output) == 0
    written = words(output)
    assert "attend" in written
    assert {"Vertices without data", "attend: 1 L, 0 R"} <= {*written}
    assert {"-110", "110", "effect (units of the maps)"} <= {*written}  # the largest are 100, 102
    said = "Inside the ROIs (black outlines): contrasts of task main, on one scale around 0."
    assert said in " ".join(written)
    assert "first" not in " ".join(written)


def test_of_many_measured_contrasts_the_first_four_are_drawn_and_none_of_the_localizer(
    inflated, output
):
    source = {h: inflated.map_path("01", "main", h, "attend", "effect") for h in "LR"}
    for hemi, path in source.items():
        for name in ("b1", "b2", "b3", "b4"):
            shutil.copy(path, inflated.map_path("01", "main", hemi, name, "effect"))
    assert level(inflated, output) == 0
    written = words(output)
    assert {"attend", "b1", "b2", "b3"} <= {*written}
    assert "b4" not in written
    assert "the first 4 of 5 contrasts of task main" in " ".join(written)


def test_without_another_task_than_the_localizer_nothing_is_drawn_below(inflated, output):
    for hemi in "LR":
        inflated.map_path("01", "main", hemi, "attend", "effect").unlink()
    assert level(inflated, output, "--localizer-task", "loc") == 0
    assert "one scale around 0" not in " ".join(words(output))


def test_a_threshold_that_is_no_z_marks_no_z(inflated, output):
    options = ["--threshold-kind", "top-n", "--localizer-threshold", "1"]
    assert level(inflated, output, *options) == 0
    assert "paler" not in " ".join(words(output))


@pytest.mark.parametrize(
    ("there", "used"),
    [
        (["lh.sphere", "lh.midthickness"], "lh.sphere"),
        (["lh.midthickness", "lh.white"], "lh.midthickness"),
        (["lh.white", "sub-01_hemi-L_inflated.surf.gii"], "sub-01_hemi-L_inflated.surf.gii"),
        (["lh.white", "sub-01_hemi-L_desc-reg_sphere.surf.gii"], "sub-01_hemi-L_desc-reg_sphere"),
        (["lh.white", "sub-01_hemi-L_space-fsLR_inflated.surf.gii"], "lh.white"),
        (["lh.white", "sub-01_hemi-L_veryinflated.surf.gii", "lh.sphere.reg"], "lh.sphere.reg"),
    ],
)
def test_the_surface_on_which_most_can_be_seen_is_taken(inflated, output, there, used):
    (inflated.surf("01") / "lh.inflated").unlink()
    for name in there:
        write_surface(inflated.surf("01") / name, 12)
    assert level(inflated, output) == 0
    assert used in surfaces(output)[0]


def test_a_surface_of_other_vertices_is_passed_over(inflated, output, caplog):
    write_surface(inflated.surf("01") / "lh.inflated", 14)
    write_surface(inflated.surf("01") / "lh.white", 12)
    assert level(inflated, output) == 0
    assert surfaces(output)[0].endswith("lh.white")
    assert "cortex" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"rubbish" * 99, b"\xff\xff\xfe" + b"\x7f" * 99])
def test_a_broken_surface_costs_the_picture_and_nothing_else(inflated, output, caplog, content):
    assert level(inflated, output, "--no-report") == 0
    before = contents(output)
    for name in ("report", "run"):  # which tell of the picture
        del before[f"logs/sub-01_{name}.json"]
    (inflated.surf("01") / "lh.inflated").write_bytes(content)
    assert level(inflated, output) == 0
    assert "sub-01: the cortex is not drawn on" in caplog.text
    assert "lh.inflated: cannot be read as a surface mesh" in caplog.text
    assert "the cortex of hemisphere L (12 vertices) is not drawn: no surface with" in caplog.text
    assert surfaces(output) == ["bids:freesurfer:sub-01/surf/rh.inflated"]
    assert "Hemisphere L is not drawn; see the messages of the run." in words(output)
    drawn = contents(output)
    assert {name: drawn[name] for name in before} == before


def test_unfetched_surfaces_say_how_to_get_them(inflated, output, caplog):
    path = inflated.surf("01") / "lh.inflated"
    path.unlink()
    path.symlink_to("../../.git/annex/objects/MD5E-s1--0")
    assert level(inflated, output) == 0
    assert f"datalad get {path}" in caplog.text


def test_without_any_surface_there_is_a_sentence_and_no_picture(inflated, output, caplog):
    assert level(inflated, output) == 0
    assert picture(output) is not None
    for side in SIDES.values():
        (inflated.surf("01") / f"{side}.inflated").unlink()
    assert level(inflated, output) == 0
    assert picture(output) is None  # that of the earlier run is gone
    sentence = (
        "the cortex of hemisphere L (12 vertices) and R (10 vertices) is not drawn: no surface"
    )
    assert caplog.text.count(sentence) == 1
    assert "surf/?h.inflated" in caplog.text


def test_no_report_draws_nothing_and_keeps_no_old_picture(inflated, output, caplog):
    assert level(inflated, output) == 0
    assert level(inflated, output, "--no-report") == 0
    assert picture(output) is None
    (output / "config.toml").write_text("no-report = true\n")
    assert level(inflated, output, "--config", str(output / "config.toml")) == 0
    assert picture(output) is None
    assert "not drawn" not in caplog.text


def test_a_picture_that_cannot_be_written_costs_no_number(inflated, output, caplog):
    assert level(inflated, output, "--no-report") == 0
    (output / "sub-01" / "figures").write_text("in the way")
    (output / "sub-01" / "func" / f"sub-01_space-fsnative_{ESTIMATES}.tsv").unlink()
    assert level(inflated, output) == 73
    assert estimates(output)["main", "attend", "left", "L"]["estimate"] == "11.5"
    assert "sub-01: the tables are written, the page is not (OutputError: " in caplog.text
    assert CORTEX in caplog.text


def test_a_failure_that_has_a_code_of_its_own_keeps_it(inflated, output):
    assert level(inflated, output, "--no-report") == 0
    (output / "sub-01" / "figures").write_text("in the way")
    inflated.map_path("01", "main", "R", "attend", "effect").unlink()
    assert level(inflated, output) == 66


def test_a_hemisphere_without_retinotopy_or_localizer_leaves_the_other(inflated, output):
    shutil.copy(inflated.surf("01") / "lh.benson14_varea.mgz", output.with_name("kept"))
    (inflated.surf("01") / "lh.benson14_varea.mgz").write_bytes(b"rubbish")
    assert level(inflated, output) == 65
    assert surfaces(output) == ["bids:freesurfer:sub-01/surf/rh.inflated"]
    shutil.move(output.with_name("kept"), inflated.surf("01") / "lh.benson14_varea.mgz")
    inflated.map_path("01", "loc", "L", "left", "z").unlink()
    assert level(inflated, output) == 66
    assert "left: n/a L, 1 R" in words(output)
    assert words(output).count("no map") == 1


def test_a_hemisphere_without_any_visual_area_is_not_drawn(inflated, output):
    write_mgz(inflated.surf("01") / "lh.benson14_varea.mgz", np.zeros(12), "i4")
    assert level(inflated, output) == 0
    assert surfaces(output) == ["bids:freesurfer:sub-01/surf/rh.inflated"]


def test_a_participant_whose_data_fail_loses_the_picture_of_an_earlier_run(
    inflated, output, caplog
):
    assert level(inflated, output) == 0
    for stat in ("z", "effect"):
        path = inflated.map_path("01", "loc", "L", "left", stat)
        shutil.copy(path, path.with_name(path.name.replace("contrast-", "desc-smoothed_contrast-")))
    assert level(inflated, output) == 64  # which of the two is meant?
    assert picture(output) is None
    assert f"{CORTEX}.svg: removed, because it is the result of an earlier run" in caplog.text


def test_sulci_darken_the_cortex_they_belong_to(inflated, output):
    assert level(inflated, output) == 0
    plain = picture(output).read_bytes()
    for hemi, side in SIDES.items():
        values = np.arange(len(AREA[hemi])) - 5.0
        write_curv(inflated.surf("01") / f"{side}.sulc", values)
    assert level(inflated, output) == 0
    assert picture(output).read_bytes() != plain
    for side in SIDES.values():
        (inflated.surf("01") / f"{side}.sulc").write_bytes(b"rubbish")
    assert level(inflated, output) == 0
    assert picture(output).read_bytes() == plain


def test_polar_angle_is_drawn_where_there_is_one(inflated, output):
    assert level(inflated, output) == 0
    assert "Polar angle" not in words(output)
    for hemi, side in SIDES.items():
        write_mgz(inflated.surf("01") / f"{side}.benson14_angle.mgz", [90.0] * len(AREA[hemi]))
    assert level(inflated, output) == 0
    assert {"Polar angle", "up", "down", "left", "right"} <= {*words(output)}


def test_a_job_for_one_session_has_a_picture_of_its_own(inflated, output):
    for path in list(inflated.firstlevel.glob("sub-01/func/*")):
        path.rename(path.with_name(path.name.replace("sub-01_", "sub-01_ses-a_")))
    assert level(inflated, output, "--session-label", "a") == 0
    assert picture(output, "sub-01_ses-a_space-fsnative") is not None


def test_drawing_where_nothing_can_be_written_at_home_is_quiet(inflated, output, tmp_path):
    (tmp_path / "file").touch()
    home = {"HOME": str(tmp_path / "file"), "MPLCONFIGDIR": str(tmp_path / "file" / "config")}
    finished = subprocess.run(
        [COMMAND, inflated.root, output, "participant"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **home},
    )
    assert finished.returncode == 0
    assert picture(output) is not None
    told = finished.stderr.splitlines()
    assert {line.partition(":")[0] for line in told} == {"INFO", "WARNING"}
    assert not [line for line in told if "font" in line or "matplotlib" in line.lower()]


def in_space(study, space):
    for path in list(study.firstlevel.glob("sub-01/func/*")):
        path.rename(path.with_name(path.name.replace("space-fsnative", f"space-{space}")))


def test_the_template_that_lies_beside_the_participants_is_used(study, output):
    in_space(study, "fsaverage")
    for hemi, side in SIDES.items():
        template = study.freesurfer / "fsaverage" / "surf"
        write_surface(template / f"{side}.inflated", len(AREA[hemi]))
        write_surface(template / f"{side}.white", len(AREA[hemi]))  # of use for no area
        write_surface(study.surf("01") / f"{side}.inflated", len(AREA[hemi]))  # another space
    assert level(study, output) == 0
    where = {"name": "sub-01_space-fsaverage"}
    assert surfaces(output, **where)[0] == "bids:freesurfer:fsaverage/surf/lh.inflated"
    assert {row["area_mm2"] for row in estimates(output).values()} == {"n/a"}


@pytest.fixture
def fsaverage6(study, tmp_path, monkeypatch):
    """A study in fsaverage6, and a folder of TemplateFlow that has its spheres."""
    in_space(study, "fsaverage6")
    home = tmp_path / "templateflow" / "tpl-fsaverage"
    home.mkdir(parents=True)
    points, triangles = icosphere(6, 100.0)
    arrays = [
        nib.gifti.GiftiDataArray(points.astype("f4"), "NIFTI_INTENT_POINTSET"),
        nib.gifti.GiftiDataArray(triangles.astype("i4"), "NIFTI_INTENT_TRIANGLE"),
    ]
    area = (points[:, 1] < -98).astype("i4")
    for hemi, side in SIDES.items():
        sphere = nib.gifti.GiftiImage(darrays=arrays)
        nib.save(sphere, home / f"tpl-fsaverage_hemi-{hemi}_den-41k_sphere.surf.gii")
        write_mgz(study.surf("01") / f"{side}.benson14_varea.mgz", area, "i4")
        write_mgz(study.surf("01") / f"{side}.benson14_eccen.mgz", area * 2.0)
        for path in study.firstlevel.glob(f"sub-01/func/*_hemi-{hemi}_*"):
            write_gifti(path, np.full(area.size, 3.0), hemi)
    for name, value in {
        "TEMPLATEFLOW_HOME": str(home.parent),
        "TEMPLATEFLOW_AUTOUPDATE": "off",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # no network
    }.items():
        monkeypatch.setenv(name, value)
    return study, home, int(area.sum())


def test_a_sphere_of_templateflow_is_unrolled(fsaverage6, output):
    study, _, n_vertices = fsaverage6
    finished = run(study.root, output, "participant")
    assert (finished.returncode, "cortex" in finished.stderr) == (0, False)
    written = words(output, name="sub-01_space-fsaverage6")
    assert any(
        line.startswith("Surface: sphere template fsaverage6, unrolled around the visual areas: ")
        for line in written
    )
    assert f"left: {n_vertices} L, {n_vertices} R" in written


def test_without_network_the_message_says_how_to_get_the_template(fsaverage6, output):
    study, home, _ = fsaverage6
    for path in home.iterdir():
        path.write_bytes(b"")  # as the skeleton of TemplateFlow has it
    finished = run(study.root, output, "participant")
    assert finished.returncode == 0
    assert "Traceback" not in finished.stderr
    command = "templateflow get fsaverage --density 41k --suffix sphere --extension .surf.gii"
    assert finished.stderr.count(command) >= 1
    assert "the cortex of hemisphere L (40962 vertices)" in finished.stderr
    assert picture(output, "sub-01_space-fsaverage6") is None
    assert len(estimates(output)) == 18


def test_nilearns_surface_is_used_for_fsaverage5(study, output):
    in_space(study, "fsaverage5")
    n = 10242
    for hemi, side in SIDES.items():
        area = np.zeros(n, "i4")
        area[8000:8200] = 1
        write_mgz(study.surf("01") / f"{side}.benson14_varea.mgz", area, "i4")
        write_mgz(study.surf("01") / f"{side}.benson14_eccen.mgz", area * 2.0)
        for path in study.firstlevel.glob(f"sub-01/func/*_hemi-{hemi}_*"):
            write_gifti(path, np.full(n, 3.0), hemi)
    assert level(study, output) == 0
    where = {"name": "sub-01_space-fsaverage5"}
    joined = " ".join(words(output, **where))
    assert "Surface: inflated template fsaverage5, whose sulci (darker) are opened: dist" in joined
    assert "left: 200 L, 200 R" in words(output, **where)
