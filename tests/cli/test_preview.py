"""A dry run begins with a line per participant, and says what is found and not used."""

import re

import pytest
from study import make_study, run_here, write_gifti


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "bids", {"01": 0.0, "02": 1.0, "03": 2.0})


def look(study, *options):
    output = study.root.parent / "out"
    done = run_here(study.root, output, "participant", "--dry-run", *options)
    assert not output.exists()
    return done


def table(done):
    lines = done.stdout.splitlines()
    n_rows = next(i for i, line in enumerate(lines[1:], 1) if not line.startswith("sub-"))
    header, *rows = [re.split(r"\s{2,}", line) for line in lines[:n_rows]]
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


def unused(done):
    lines = done.stdout.split("Found and not used:\n")
    return [line for line in lines[-1].splitlines() if line.startswith("  ")]


def test_it_begins_with_a_line_for_each_participant(study):
    for hemi in ("L", "R"):
        (study.surf("02") / f"{hemi.lower()}h.benson14_eccen.mgz").unlink()
        path = study.map_path("03", "main", hemi, "attend", "effect")
        for run in (1, 2):
            write_gifti(
                path.with_name(path.name.replace("_hemi", f"_run-{run}_hemi")), [1.0] * 12, hemi
            )
        path.unlink()
        study.map_path("03", "loc", hemi, "left", "z").unlink()
    done = look(study)
    rows = table(done)
    nothing = {"localizer loc": "1 map", "main": "1 map", "troubles": "-"}
    assert rows["sub-01"] == {"retinotopy": "benson14", **nothing}
    assert rows["sub-02"]["retinotopy"] == "missing"
    assert rows["sub-02"]["troubles"] == "no retinotopy found"
    assert rows["sub-03"]["localizer loc"] == "1 map, 1 of 2 contrasts"
    assert rows["sub-03"]["main"] == "2 runs"
    assert "left" in rows["sub-03"]["troubles"]
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) < 15


def test_files_are_listed_on_request(study):
    name = study.map_path("01", "main", "L", "attend", "effect").name
    assert name not in look(study).stdout
    assert name in look(study, "-v").stdout


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("_contrast-", "_condition-"), "its name has no contrast-"),
        (("_task-main", ""), "its name has no task-"),
        (("_contrast-a", "_contrast-a-b"), "contrast-a-bttend2"),
        (("fsnative", "fsaverage"), "space fsaverage; fsnative is used"),
        (("stat-effect", "stat-t"), "stat-t of task main; stat-effect"),
    ],
)
def test_what_is_found_and_not_used_is_said_with_the_reason(study, change, reason):
    for label in ("01", "03"):
        for hemi in ("L", "R"):
            path = study.map_path(label, "main", hemi, "attend", "effect")
            other = path.with_name(path.name.replace("attend", "attend2").replace(*change))
            write_gifti(other, [1.0] * 12, hemi)
    (line,) = unused(look(study))
    assert f"4 files of 2 participants: {reason}" in line
    assert "such as bids:firstlevel:sub-01/func/" in line


def test_sessions_and_filters_are_reasons(study, tmp_path):
    filters = tmp_path / "f.json"
    filters.write_text('{"estimates": {"desc": null}, "localizer": {"desc": null}}')
    path = study.map_path("01", "main", "L", "attend", "effect")
    write_gifti(path.with_name(path.name.replace("_contrast", "_desc-old_contrast")), [1.0] * 12)
    done = look(study, "--bids-filter-file", filters)
    (line,) = [line for line in unused(done) if "desc-old" in line]
    assert "1 file of 1 participant: excluded by --bids-filter-file" in line


def test_other_sources_of_retinotopy_are_said(study):
    for path in list(study.surf("01").glob("*benson14*")):
        path.with_name(path.name.replace("benson14", "inferred")).write_bytes(path.read_bytes())
    (line,) = [line for line in unused(look(study)) if "benson14" in line]
    assert "4 files of 1 participant: retinotopy benson14; inferred is used" in line


def test_a_participant_without_any_plan_has_a_line(study):
    for path in list((study.firstlevel / "sub-02").rglob("*.gii")):
        path.unlink()
    row = table(look(study))["sub-02"]
    assert "no statistical" in row["troubles"]


@pytest.mark.parametrize("lucky", ["01", "02"])
def test_participants_without_the_sphere_that_others_need_are_known_beforehand(tmp_path, lucky):
    from spheres import start_study, uneven_sphere, write_maps, write_retinotopy, write_sphere

    root = tmp_path / "bids"
    firstlevel, freesurfer = start_study(root, ("01", "02"))
    for label in ("01", "02"):
        surf = freesurfer / f"sub-{label}" / "surf"
        for seed, hemi in enumerate("LR"):
            coordinates, triangles = uneven_sphere(600, seed=seed)
            write_retinotopy(surf, coordinates, hemi)
            target, _ = uneven_sphere(10242, seed=seed + 5)
            write_maps(firstlevel / f"sub-{label}" / "func", target, hemi, "fsaverage5", label)
            if label == lucky:
                write_sphere(surf / f"{hemi.lower()}h.sphere.reg", coordinates, triangles, hemi)
    done = run_here(root, tmp_path / "out", "participant", "--dry-run")
    rows = table(done)
    assert rows.pop(f"sub-{lucky}")["troubles"] == "-"
    (other,) = rows.values()
    assert "no sphere registered to a template" in other["troubles"]
    assert done.returncode == 1
