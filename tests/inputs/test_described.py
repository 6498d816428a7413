"""Files under foreign names, described by tables: numbers equal those of an independent one."""

import csv
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest
from scipy import stats
from study import describe, run_here, write_gifti, write_mgz

N = 120
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
    (path,) = output.rglob(f"sub-{label}_*_desc-roi_estimates.tsv")
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
