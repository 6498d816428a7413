"""Files under foreign names, described by tables: numbers equal those of an independent one."""

import csv
import json
import os
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest
from scipy import stats
from study import describe, run_here, write_gifti, write_mgz

from bids_secondlevel.cli.config import parse
from bids_secondlevel.inputs.datasets import find_datasets
from bids_secondlevel.inputs.described import patterns_of
from bids_secondlevel.inputs.index import index_participant

N = 300
RNG = np.random.default_rng(17)


@dataclass
class Truth:
    """What is known of one hemisphere of a participant."""

    varea: np.ndarray
    eccen: np.ndarray
    angle: np.ndarray
    z: np.ndarray
    effect: np.ndarray

    def roi(self, z=None):
        return (
            (self.varea == 1)
            & (self.eccen > 0)
            & (self.eccen < 5)
            & ((self.z if z is None else z) > np.float32(1.96))
        )

    def estimate(self, z=None):
        return float(self.effect[self.roi(z)].astype("f8").mean())


def truth(hemi, rng=RNG):
    side = 1 if hemi == "L" else -1
    return Truth(
        varea=rng.integers(0, 4, N).astype("i4"),
        eccen=rng.uniform(0.1, 9, N).astype("f4"),
        angle=(side * rng.uniform(1, 179, N)).astype("f4"),
        z=rng.normal(1.5, 1.5, N).astype("f4"),
        effect=rng.normal(0.2, 1, N).astype("f4"),
    )


def nifti(path, values, shape=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values, "f4")
    image = nib.Nifti1Image(values.reshape(shape or (-1, 1, 1), order="F"), np.eye(4))
    image.to_filename(path)


def add_retinotopy(surf, known, source="benson14", **factors):
    for hemi, of in known.items():
        side = f"{hemi.lower()}h"
        write_mgz(surf / f"{side}.{source}_varea.mgz", of.varea, "i4")
        write_mgz(surf / f"{side}.{source}_eccen.mgz", of.eccen * factors.get("eccen", 1))


@pytest.fixture
def study(tmp_path):
    """Participants 01 and 02 in BIDS_DIR, retinotopy in FreeSurfer folders; no maps yet."""
    bids = tmp_path / "bids"
    describe(bids, "study", "raw")
    people = {label: {hemi: truth(hemi) for hemi in "LR"} for label in ("01", "02")}
    for label, known in people.items():
        (bids / f"sub-{label}").mkdir()
        add_retinotopy(bids / f"sourcedata/freesurfer/sub-{label}/surf", known)
    return bids, people


def run(bids, config, *arguments, output="out"):
    path = bids.parent / "config.toml"
    path.write_text(config)
    fast = ("--no-report", "--n-procs", 1)
    return run_here(bids, bids.parent / output, "participant", "--config", path, *fast, *arguments)


def rows(output, label):
    (path,) = output.rglob(f"sub-{label}_*desc-roi_estimates.tsv")
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def estimate(output, label, hemi, task="main", **wanted):
    (row,) = [
        row
        for row in rows(output, label)
        if row["hemi"] == hemi
        and row["task"] == task
        and all(row[name] == value for name, value in wanted.items())
    ]
    return float(row["estimate"])


FSFAST = """
derivatives = ["fsfast={fsfast}", "{freesurfer}"]

[[maps]]
dataset = "fsfast"
pattern = "sess{{subject}}/bold/{{task}}.{{hemi}}/{{contrast}}/sig.nii.gz"
stat = "sig"
space = "fsnative"

[[maps]]
dataset = "fsfast"
pattern = "sess{{subject}}/bold/{{task}}.{{hemi}}/{{contrast}}/ces.nii.gz"
stat = "effect"
space = "fsnative"
"""


@pytest.fixture
def fsfast(study):
    bids, people = study
    root = bids.parent / "fsfast"
    for label, known in people.items():
        for hemi, of in known.items():
            bold = root / f"sess{label}/bold"
            sig = np.sign(of.z) * -(np.log10(2) + stats.norm.logsf(np.abs(of.z)) / np.log(10))
            nifti(bold / f"loc.{hemi.lower()}h/S-v-N/sig.nii.gz", sig)
            nifti(bold / f"main.{hemi.lower()}h/attend-v-ignore/ces.nii.gz", of.effect)
    config = FSFAST.format(fsfast=root, freesurfer=bids / "sourcedata/freesurfer")
    return bids, people, config


def test_fsfast(fsfast):
    bids, people, config = fsfast
    finished = run(bids, config)
    assert finished.returncode == 0, finished.stderr
    for label, known in people.items():
        for hemi, of in known.items():
            found = estimate(bids.parent / "out", label, hemi, contrast="attendvignore", roi="SvN")
            assert found == pytest.approx(of.estimate(), abs=1e-12)


def test_the_settings_of_a_run_can_be_given_again(fsfast, tmp_path):
    bids, _, config = fsfast
    assert run(bids, config).returncode == 0
    (written,) = (tmp_path / "out/logs").glob("sub-01*_settings.toml")
    again = run_here(bids, tmp_path / "again", "participant", "--config", written)
    assert again.returncode == 0, again.stderr
    first, second = (rows(tmp_path / folder, "01") for folder in ("out", "again"))
    assert first == second


def test_a_described_file_that_changes_is_read_again(fsfast, tmp_path):
    bids, _, config = fsfast
    assert run(bids, config).returncode == 0
    assert run(bids, config).stderr.count(": up to date") == 2
    path = tmp_path / "fsfast/sess02/bold/main.rh/attend-v-ignore/ces.nii.gz"
    nifti(path, np.ones(N))
    assert run(bids, config).stderr.count(": up to date") == 1
    assert estimate(tmp_path / "out", "02", "R") == 1
    other = config.replace(
        'stat = "effect"', 'stat = "effect"\nnames = {"attend-v-ignore" = "attended"}'
    )
    finished = run(bids, other)
    assert "up to date" not in finished.stderr
    assert estimate(tmp_path / "out", "02", "R", contrast="attended") == 1


def test_files_that_a_pattern_describes_are_described_by_it_alone(study, tmp_path):
    """A space that a name says is another one in the table."""
    bids, people = study
    for label, known in people.items():
        for hemi, of in known.items():
            for task, contrast, stat, values in (
                ("loc", "UL", "z", of.z),
                ("main", "faces", "effect", of.effect),
            ):
                name = f"sub-{label}_task-{task}_hemi-{hemi}_space-odd_contrast-{contrast}"
                folder = bids / f"derivatives/glm/sub-{label}"
                write_gifti(folder / f"{name}_stat-{stat}_statmap.func.gii", values, hemi)
    table = """
[[maps]]
dataset = "glm"
pattern = "{{subject}}/*_task-{{task}}_hemi-{{hemi}}_space-odd_contrast-{{contrast}}_stat-{0}_*"
stat = "{0}"
space = "fsnative"
"""
    finished = run(bids, table.format("z") + table.format("effect"))
    assert finished.returncode == 0, finished.stderr
    assert "several" not in finished.stderr
    for label, known in people.items():
        assert estimate(tmp_path / "out", label, "L") == pytest.approx(known["L"].estimate())
    (written,) = (tmp_path / "out").rglob("sub-01_*_desc-roi_estimates.json")
    assert "bids:glm:sub-01/sub-01_task-main_hemi-L_space-odd" in written.read_text()


def add_named_maps(bids, people, contrast="UL"):
    for label, known in people.items():
        for hemi, of in known.items():
            folder = bids / f"derivatives/glm/sub-{label}"
            start = f"sub-{label}_task-{{}}_hemi-{hemi}_space-fsnative_contrast-{{}}_stat-{{}}"
            for task, name, stat, values in (
                ("loc", contrast, "z", of.z),
                ("main", "faces", "effect", of.effect),
            ):
                file = start.format(task, name, stat) + "_statmap.func.gii"
                write_gifti(folder / file, values, hemi)


@pytest.mark.parametrize("has_varea", [True, False])
def test_units_of_one_map_of_a_source(study, tmp_path, has_varea):
    """The other maps of the source are found by their names, or described too."""
    bids, people = study
    add_named_maps(bids, people)
    for label, known in people.items():
        add_retinotopy(bids / f"sourcedata/freesurfer/sub-{label}/surf", known, eccen=16)
    table = (
        '\n[[retinotopy]]\npattern = "{{subject}}/surf/{{hemi}}.benson14_{0}.mgz"\nmap = "{0}"\n'
    )
    config = table.format("eccen") + 'scale = 0.0625\nsource = "benson14"\n'
    if has_varea:
        config += table.format("varea") + 'source = "benson14"\n'
    finished = run(bids, config)
    assert finished.returncode == 0, finished.stderr
    for label, known in people.items():
        for hemi, of in known.items():
            assert estimate(tmp_path / "out", label, hemi) == pytest.approx(of.estimate())


@pytest.mark.parametrize(
    ("convention", "written"),
    [
        ("vertical-clockwise", lambda a: a),
        ("vertical-counterclockwise", lambda a: -a % 360),
        ("horizontal-clockwise", lambda a: (a - 90) % 360),
        ("horizontal-counterclockwise", lambda a: (90 - a) % 360),
    ],
)
@pytest.mark.parametrize("unit", [1, np.pi / 180])
def test_conventions_of_polar_angles(study, tmp_path, convention, written, unit):
    bids, people = study
    add_named_maps(bids, people)
    for label, known in people.items():
        for hemi, of in known.items():
            path = (
                bids / f"sourcedata/freesurfer/sub-{label}/surf/{hemi.lower()}h.benson14_angle.mgz"
            )
            write_mgz(path, written(of.angle.astype("f8")) * unit)
    config = f"""
[[retinotopy]]
pattern = "{{subject}}/surf/{{hemi}}.benson14_angle.mgz"
map = "angle"
source = "benson14"
angle = "{convention}"
{"scale = 57.29577951308232" if unit != 1 else ""}
"""
    for low, high in ((-90, 0), (90, 180)):
        finished = run(bids, config, "--polar-angle", low, high, output=str(low))
        assert finished.returncode == 0, finished.stderr
        for label, known in people.items():
            for hemi, of in known.items():
                (row,) = [
                    row
                    for row in rows(tmp_path / str(low), label)
                    if (row["hemi"], row["task"]) == (hemi, "main")
                ]
                inside = of.roi() & (of.angle > low) & (of.angle < high)
                assert int(row["n_vertices"]) == inside.sum()


def test_maps_that_names_find_in_other_spaces_do_not_hide_described_ones(study, tmp_path):
    bids, people = study
    add_named_maps(bids, people)
    for path in [*bids.glob("derivatives/glm/**/*.gii")]:
        path.rename(path.with_name(path.name.replace("fsnative", "odd")))
    add_named_maps(bids, people, contrast="other")
    for path in [*bids.glob("derivatives/glm/**/*_space-fsnative_*.gii")]:
        path.rename(path.with_name(path.name.replace("fsnative", "odder")))
    finished = run(bids, "")
    assert "Maps in several spaces (odd, odder): choose --space" in finished.stderr
    table = """
[[maps]]
pattern = "sub-{{subject}}/*_task-{{task}}_hemi-{{hemi}}_*-odd_contrast-{{contrast}}_stat-{0}_*.gii"
stat = "{0}"
space = "fsnative"
"""
    finished = run(bids, table.format("z") + table.format("effect"))
    assert finished.returncode == 0, finished.stderr
    for label, known in people.items():
        assert estimate(tmp_path / "out", label, "L") == pytest.approx(known["L"].estimate())


NAMES = {"P01": "P01", "S_003": "S003", "12345": "12345", "sub-01_ses-02_old": "01ses02old"}


@pytest.mark.parametrize("has_participants", [True, False])
def test_folders_of_participants_may_have_any_name(tmp_path, has_participants):
    """FreeSurfer's surfaces beside the retinotopy are the participant's, whatever it is called."""
    bids = tmp_path / "bids"
    describe(bids, "study", "raw")
    people = {folder: {hemi: truth(hemi) for hemi in "LR"} for folder in NAMES}
    for folder, known in people.items():
        if has_participants:
            (bids / f"sub-{NAMES[folder]}").mkdir()
        surf = tmp_path / f"subjects/{folder}/surf"
        add_retinotopy(surf, known)
        for hemi, of in known.items():
            sphere = RNG.normal(size=(N, 3)).astype("f4")
            triangles = np.arange(N // 3 * 3).reshape(-1, 3)
            white = surf / f"{hemi.lower()}h.white"
            nib.freesurfer.write_geometry(white, sphere, triangles)
            for task, stat, values in (("loc", "z", of.z), ("main", "effect", of.effect)):
                path = tmp_path / f"maps/{folder}/run1/{task}_face-body_{hemi.lower()}h_{stat}.mgz"
                write_mgz(path, values)
    (tmp_path / "maps/logs").mkdir()
    config = "".join(
        f"""
[[maps]]
dataset = "{tmp_path}/maps"
pattern = "{{subject}}/run*/{{task}}_{{contrast}}_{{hemi}}_{stat}.mgz"
stat = "{stat}"
"""
        for stat in ("z", "effect")
    ) + "".join(
        f"""
[[retinotopy]]
dataset = "{tmp_path}/subjects"
pattern = "{{subject}}/surf/{{hemi}}.benson14_{kind}.mgz"
map = "{kind}"
"""
        for kind in ("varea", "eccen")
    )
    finished = run(bids, config)
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in (tmp_path / "out").glob("sub-*") if path.is_dir()} == {
        f"sub-{label}" for label in NAMES.values()
    }
    for folder, label in NAMES.items():
        (left,) = [
            row
            for row in rows(tmp_path / "out", label)
            if (row["task"], row["hemi"]) == ("main", "L")
        ]
        assert left["contrast"] == "facebody"
        assert float(left["estimate"]) == pytest.approx(people[folder]["L"].estimate())
        assert float(left["area_mm2"]) > 0


def test_runs_of_the_localizer_are_held_out(study, tmp_path):
    bids, people = study
    runs = {}
    for label, known in people.items():
        for hemi in known:
            for number in (1, 2, 10):
                z, effect = RNG.normal(1, 2, (2, N)).astype("f4")
                runs[label, hemi, number] = z, effect
                for stat, values in (("z", z), ("effect", effect)):
                    nifti(tmp_path / f"glm/{label}/loc/run{number:02}/{stat}.{hemi}.nii.gz", values)
    config = "".join(
        f"""
[[maps]]
dataset = "{tmp_path}/glm"
pattern = "{{subject}}/{{task}}/run{{run}}/{stat}.{{hemi}}.nii.gz"
contrast = "faces"
stat = "{stat}"
space = "fsnative"
"""
        for stat in ("z", "effect")
    )
    finished = run(bids, config, "--cross-validate")
    assert finished.returncode == 0, finished.stderr
    for label, known in people.items():
        for hemi, of in known.items():
            means = []
            for left_out in (1, 2, 10):
                z = sum(
                    runs[label, hemi, other][0].astype("f8") for other in {1, 2, 10} - {left_out}
                ) / np.sqrt(2)
                roi = (of.varea == 1) & (of.eccen < 5) & (z > 1.96)
                means.append(runs[label, hemi, left_out][1][roi].astype("f8").mean())
            (row,) = [row for row in rows(tmp_path / "out", label) if row["hemi"] == hemi]
            assert row["independence"] == "crossvalidated"
            assert float(row["estimate"]) == pytest.approx(np.mean(means), rel=1e-6)


def retinotopy_tables(source, name):
    return "".join(
        f"""
[[retinotopy]]
pattern = "{{subject}}/surf/{{hemi}}.{name}_{kind}.mgz"
map = "{kind}"
source = "{source}"
"""
        for kind in ("varea", "eccen")
    )


def test_a_described_retinotopy_is_used_unless_another_is_asked_for(study, tmp_path):
    bids, people = study
    add_named_maps(bids, people)
    other = {label: {hemi: truth(hemi) for hemi in "LR"} for label in people}
    for label, known in people.items():
        for hemi, of in known.items():
            of_other = other[label][hemi]
            of_other.z, of_other.effect = of.z, of.effect
        add_retinotopy(bids / f"sourcedata/freesurfer/sub-{label}/surf", other[label], "prf")
    config = retinotopy_tables("fields", "prf")
    finished = run(bids, config)
    assert finished.returncode == 0, finished.stderr
    assert "using fields, which a [[retinotopy]] entry describes" in finished.stderr
    asked = run(bids, config, "--retinotopy-source", "benson14", output="asked")
    assert asked.returncode == 0, asked.stderr
    for output, chosen in (("out", other), ("asked", people)):
        for label, known in chosen.items():
            for hemi, of in known.items():
                assert estimate(tmp_path / output, label, hemi) == pytest.approx(of.estimate())


def test_retinotopy_of_a_session_serves_the_maps_of_that_session(study, tmp_path):
    bids, people = study
    other = {label: {hemi: truth(hemi) for hemi in "LR"} for label in people}
    for session, of_session in (("1", people), ("2", other)):
        for label, known in of_session.items():
            folder = tmp_path / f"data/{label}/s{session}"
            add_retinotopy(folder, known, "prf")
            for hemi, of in known.items():
                of.z = people[label][hemi].z
                write_gifti(folder / f"loc.{hemi}.z.gii", of.z, hemi)
                write_gifti(folder / f"main.{hemi}.effect.gii", of.effect, hemi)
    config = "".join(
        f"""
[[maps]]
dataset = "{tmp_path}/data"
pattern = "{{subject}}/s{{session}}/{{task}}.{{hemi}}.{stat}.gii"
contrast = "faces"
stat = "{stat}"
space = "fsnative"
"""
        for stat in ("z", "effect")
    ) + "".join(
        f"""
[[retinotopy]]
dataset = "{tmp_path}/data"
pattern = "{{subject}}/s{{session}}/{{hemi}}.prf_{kind}.mgz"
map = "{kind}"
"""
        for kind in ("varea", "eccen")
    )
    finished = run(bids, config)
    assert finished.returncode != 0
    assert "Run one session at a time with --session-label" in finished.stderr
    for session, of_session in (("1", people), ("2", other)):
        finished = run(bids, config, "--session-label", session, "--localizer-threshold", 1)
        assert finished.returncode == 0, finished.stderr
        for label, known in of_session.items():
            (path,) = (tmp_path / "out").glob(f"sub-{label}/ses-{session}/**/*roi_estimates.tsv")
            with path.open() as file:
                (row,) = [
                    row
                    for row in csv.DictReader(file, delimiter="\t")
                    if (row["task"], row["hemi"]) == ("main", "L")
                ]
            of = known["L"]
            z = of.z * np.sqrt(2)  # of two sessions with the same values
            roi = (of.varea == 1) & (of.eccen < 5) & (z > 1)
            assert float(row["estimate"]) == pytest.approx(of.effect[roi].astype("f8").mean())


def test_filters_bind_described_files(study, tmp_path):
    bids, people = study
    for label, known in people.items():
        for hemi, of in known.items():
            for task, session, stat, values in (
                ("loc", "a", "z", of.z),
                ("loc", "b", "z", -of.z),
                ("main", "a", "effect", of.effect),
            ):
                path = tmp_path / f"glm/{label}/{task}.{session}.{hemi}.{stat}.gii"
                write_gifti(path, values, hemi)
    filters = tmp_path / "filters.json"
    filters.write_text('{"localizer": {"session": "a"}}')
    config = "".join(
        f"""
[[maps]]
dataset = "{tmp_path}/glm"
pattern = "{{subject}}/{{task}}.{{session}}.{{hemi}}.{stat}.gii"
contrast = "faces"
stat = "{stat}"
space = "fsnative"
"""
        for stat in ("z", "effect")
    )
    finished = run(bids, config, "--bids-filter-file", filters)
    assert finished.returncode == 0, finished.stderr
    for label, known in people.items():
        for hemi, of in known.items():
            assert estimate(tmp_path / "out", label, hemi) == pytest.approx(of.estimate())


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (
            "sess{subject}/bold/{task}.{hemi}/{contrast}/zig.nii.gz",
            (
                "sess01/bold/loc.lh/S-v-N the pattern expects a file 'zig.nii.gz'",
                "S-v-N/sig.nii.gz",
            ),
        ),
        (
            "sess{subject}/bald/{task}.{hemi}/{contrast}/sig.nii.gz",
            ("sess01 the pattern expects a folder 'bald'", "sess01/bold"),
        ),
        (
            "subject{subject}/{task}/sig.nii.gz",
            ("the pattern expects a folder 'subject{subject}'", "sess01"),
        ),
        (
            "sess{subject}/{subject}/{task}.{contrast}.{hemi}.gii",
            ("the pattern expects a folder '{subject}'",),
        ),
        ("sess{subject}/**/{task}/sig.nii.gz", ("within a single folder or file name",)),
        ("sess{subject}/bold/{task}.[lr]h/S-v-N/sig.nii.gz", ("only * and {...} match",)),
        (
            "{subject}/bold/{task}.{hemi}/{contrast}/sig.nii.gz",
            (
                "belong to participants that are not in this dataset (sub-sess01, sub-sess02",
                "sub-01",
            ),
        ),
    ],
)
def test_a_pattern_that_fits_nothing_is_told_with_what_there_is(fsfast, pattern, told):
    bids, _, config = fsfast
    right = "sess{subject}/bold/{task}.{hemi}/{contrast}/sig.nii.gz"
    finished = run(bids, config.replace(right, pattern))
    assert finished.returncode == 66
    for words in ("[[maps]] number 1", *told):
        assert words in finished.stderr


def test_the_dry_run_counts_what_patterns_match(fsfast, tmp_path):
    bids, _, config = fsfast
    finished = run(bids, config, "--dry-run")
    assert "[[maps]] number 1 (sig)" in finished.stdout
    assert "4 files of 2 participants" in finished.stdout
    assert "fsfast/sess01/bold/loc.lh/S-v-N/sig.nii.gz" in finished.stdout
    assert not (tmp_path / "out").exists()
    one = run(bids, config, "--dry-run", "--participant-label", "02")
    assert "2 files of 1 participant" in one.stdout


def test_sidecars_say_degrees_of_freedom(study, tmp_path):
    bids, people = study
    for label, known in people.items():
        for hemi, of in known.items():
            folder = tmp_path / f"glm/{label}"
            write_gifti(folder / f"loc.{hemi}.t.gii", of.z, hemi)
            (folder / f"loc.{hemi}.t.json").write_text('{"DegreesOfFreedom": 12}')
            write_gifti(folder / f"main.{hemi}.effect.gii", of.effect, hemi)
    config = "".join(
        f"""
[[maps]]
dataset = "{tmp_path}/glm"
pattern = "{{subject}}/{{task}}.{{hemi}}.{stat}.*"
contrast = "faces"
stat = "{stat}"
space = "fsnative"
"""
        for stat in ("t", "effect")
    )
    finished = run(bids, config)
    assert finished.returncode == 0, finished.stderr
    for label, known in people.items():
        for hemi, of in known.items():
            z = stats.norm.isf(stats.t.sf(of.z.astype("f8"), 12))
            assert estimate(tmp_path / "out", label, hemi) == pytest.approx(of.estimate(z))
    for path in tmp_path.glob("glm/*/*.json"):
        path.unlink()
    finished = run(bids, config)
    assert finished.returncode == 65
    assert "with unknown degrees of freedom" in finished.stderr
    assert "give df" in finished.stderr


def test_both_levels_take_the_same_file(fsfast, tmp_path):
    bids, _, config = fsfast
    assert run(bids, config).returncode == 0
    (bids / "participants.tsv").write_text("participant_id\tage\n01\t20\n02\t30\n")
    grouped = run_here(
        *(bids, tmp_path / "out", "group", "--config", tmp_path / "config.toml"), "--no-report"
    )
    assert grouped.returncode == 0, grouped.stderr
    with (tmp_path / "out/group_estimates.tsv").open() as file:
        found = [row for row in csv.DictReader(file, delimiter="\t") if row["task"] == "main"]
    assert [row["participant_id"] for row in found if row["hemi"] == "L"] == ["sub-01", "sub-02"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{task}", "*", "has no {task}. Put {task} into the pattern"),
        ("{hemi}/{contrast}", "{hemi}/*", "contrast is unknown. Put {contrast} into the pattern"),
        ("sess{subject}", "sess*", "has no {subject}. Put {subject}"),
        ("{task}", "{tsk}", "has {tsk}; expected some of {subject} {session} {task}"),
        ("sess{subject}", "/sess{subject}", "expected a path relative to the dataset"),
        ("sess{subject}", "../sess{subject}", "expected a path relative to the dataset"),
        ('fsfast"\npattern', 'fsfats"\npattern', "neither the name of a dataset nor a folder"),
        ('stat = "sig"', 'stat = "sig"\ndf = 5', 'expected stat = "t"'),
        ('stat = "sig"', 'stat = "t"\ndf = 0', "df = 0; expected a number above 0"),
        ('stat = "sig"', 'stat = "sig"\narray = -1', "array = -1; expected a number from 0"),
        ('stat = "sig"', 'stat = "sig"\ntask = "loc"', "and the pattern also has {task}"),
        ('stat = "sig"', 'stat = "sig"\nrun = "-"', "run is '-'; expected a letter or a digit"),
        ('stat = "sig"', "", "has no key stat"),
    ],
)
def test_a_table_that_cannot_be_is_told_with_what_to_do(fsfast, old, new, told):
    bids, _, config = fsfast
    finished = run(bids, config.replace(old, new, 1))
    assert finished.returncode == 64
    assert told in finished.stderr
    assert "[[maps]] number 1" in finished.stderr


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('map = "ecc"', "map = 'ecc'; expected one of \"varea\""),
        ('map = "eccen"\nareas = { V1 = 1 }', 'expected map = "varea"'),
        ('map = "varea"\nareas = { V9 = 1 }', "there is no visual area V9"),
        ('map = "varea"\nareas = { V1 = "a" }', "expected whole numbers by the names of areas"),
        ('map = "varea"\nscale = 2', "scale is given, but visual areas are labels"),
        ('map = "eccen"\nscale = 0', "scale = 0; expected a number other than 0"),
        ('map = "eccen"\nangle = "vertical-clockwise"', 'expected map = "angle"'),
        ('map = "angle"\nangle = "clockwise"', 'expected one of "vertical-clockwise"'),
    ],
)
def test_a_table_of_retinotopy_that_cannot_be(study, lines, told):
    bids, _ = study
    table = f'[[retinotopy]]\npattern = "{{subject}}/surf/{{hemi}}.benson14_eccen.mgz"\n{lines}\n'
    finished = run(bids, table)
    assert finished.returncode == 64
    assert told in finished.stderr


def test_an_annotation_needs_no_table(study):
    bids, _ = study
    finished = run(bids, "[[retinotopy]]\npattern = 'label/{hemi}.a.annot'\nmap = 'varea'\n")
    assert finished.returncode == 64
    assert "--visual-areas FILE.annot:NAME" in finished.stderr


def test_an_option_that_names_what_is_captured_is_told_the_label(study):
    bids, _ = study
    finished = run(bids, "roi-contrasts = ['face-vs-house']\n")
    assert finished.returncode == 64
    assert "its label is facevshouse" in finished.stderr


def test_everything_may_lie_in_the_folder_of_the_study(tmp_path):
    """No derivatives, no participants' folders, and links to content that is not there."""
    bids = tmp_path / "bids"
    describe(bids, "study", "raw")
    people = {label: {hemi: truth(hemi) for hemi in "LR"} for label in ("A1", "B2")}
    for label, known in people.items():
        for hemi, of in known.items():
            folder = bids / f"results/{label}"
            write_gifti(folder / f"loc_{hemi}_z.gii", of.z, hemi)
            write_gifti(folder / f"main_{hemi}_effect.gii", of.effect, hemi)
            write_mgz(folder / f"{hemi}.areas.mgz", of.varea, "i4")
            write_mgz(folder / f"{hemi}.ecc.mgz", of.eccen)
    lost = bids / "results/B2/main_R_effect.gii"
    lost.unlink()
    lost.symlink_to("../../.git/annex/objects/nothing")
    config = "".join(
        f"""
[[maps]]
pattern = "results/{{subject}}/{{task}}_{{hemi}}_{stat}.gii"
contrast = "faces"
stat = "{stat}"
"""
        for stat in ("z", "effect")
    ) + "".join(
        f"""
[[retinotopy]]
pattern = "results/{{subject}}/{{hemi}}.{name}.mgz"
map = "{kind}"
"""
        for name, kind in (("areas", "varea"), ("ecc", "eccen"))
    )
    assert "4 files of 2 participants" in run(bids, config, "--dry-run").stdout
    finished = run(bids, config)
    assert finished.returncode == 1
    assert f"datalad get {lost}" in finished.stderr
    for hemi, of in people["A1"].items():
        assert estimate(tmp_path / "out", "A1", hemi) == pytest.approx(of.estimate())
    described = (tmp_path / "out/dataset_description.json").read_text()
    assert '"raw"' in described
    (written,) = (tmp_path / "out").rglob("sub-A1_*roi_estimates.json")
    assert "bids:raw:results/A1/main_L_effect.gii" in written.read_text()


def test_one_participant_is_found_without_walking_the_others(fsfast, tmp_path, monkeypatch):
    bids, _, config = fsfast
    (tmp_path / "config.toml").write_text(config)
    settings = parse(
        [str(bids), str(tmp_path / "out"), "participant", "--config", str(tmp_path / "config.toml")]
    )
    datasets = find_datasets(settings)
    patterns = patterns_of(settings, datasets)
    listed = []
    scandir = os.scandir

    def recording(path):
        listed.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recording)
    index = index_participant(datasets, "02", {}, patterns)
    assert len(index.statistical_maps) == 4
    assert [path for path in listed if "sess02" in path]
    assert [path for path in listed if "sess01" in path] == []


def test_datasets_given_by_paths_have_names_of_their_own(study, tmp_path):
    """Two folders of one name, and degrees of freedom that one participant lacks."""
    bids, people = study
    for label, known in people.items():
        for hemi, of in known.items():
            write_gifti(tmp_path / f"a/glm/{label}/loc.{hemi}.gii", of.z, hemi)
            write_gifti(tmp_path / f"b/glm/{label}/main.{hemi}.gii", of.effect, hemi)
    (tmp_path / "a/glm/01/dof").write_text("30")
    config = "".join(
        f"""
[[maps]]
dataset = "{tmp_path}/{folder}/glm"
pattern = "{{subject}}/{{task}}.{{hemi}}.gii"
contrast = "faces"
space = "fsnative"
{more}
"""
        for folder, more in (("a", 'stat = "t"\ndf = "{subject}/dof"'), ("b", 'stat = "effect"'))
    )
    finished = run(bids, config)
    assert finished.returncode == 1
    assert "df = '{subject}/dof'" in finished.stderr
    for hemi, of in people["01"].items():
        z = stats.norm.isf(stats.t.sf(of.z.astype("f8"), 30))
        assert estimate(tmp_path / "out", "01", hemi) == pytest.approx(of.estimate(z))
    links = json.loads((tmp_path / "out/dataset_description.json").read_text())["DatasetLinks"]
    found = {name: (tmp_path / "out" / path).resolve() for name, path in links.items()}
    assert {tmp_path / "a/glm", tmp_path / "b/glm"} < set(found.values())
