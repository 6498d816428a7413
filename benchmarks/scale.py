"""Speed and memory at the size of a large study, as ratios measured in one run.

Run with ``python benchmarks/scale.py``; ``--quick`` takes a minute, and ``--only`` a part of it.
Studies have files at the density of fsaverage, copies (hard links) of those of one participant,
in a derivative of first-level maps, one of FreeSurfer, and a tree as fMRIPrep leaves it, whose
many files are empty. Compared with this program are

- a loop as one would write it in a notebook: nibabel, each file loaded again inside the loops;
- the floor: reading the same files once with nibabel, and nothing else;
- ``BIDSLayout(root, derivatives=True)`` for finding the files.

The program runs as it is installed, in processes of its own, and what a process costs before it
does anything for a participant is left out: the time of many less that of one. Seconds are those
of the processor, but for (e), (f) and ``--help``, which are by the clock. The table goes to
standard output, with the load of the machine, on which the clock depends.
"""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from meshes import icosphere

COMMAND = Path(sys.executable).parent / "bids_secondlevel"
HEMISPHERES = {"L": "lh", "R": "rh"}
QUADRANTS = ("UL", "UR", "LL", "LR")
RETINOTOPY = ("varea", "eccen", "angle")
SURFACES = ("white", "inflated", "sulc")
LOW, HIGH, THRESHOLD = 0, 5, 1.96


@dataclass(frozen=True)
class Size:
    """How large a study is."""

    level: int = 7
    """An icosahedron is divided so often: that of 7 has 163,842 vertices, as fsaverage has."""
    n_contrasts: int = 20
    n_other_files: int = 150


# --- the study


def make_study(root, n_participants, size):
    """Write a study; participant 0001 has the files that the others have links to."""
    for folder, kind in (("", "raw"), ("derivatives/glm", "derivative")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        about = {"Name": "benchmark", "BIDSVersion": "1.10.0", "DatasetType": kind}
        if kind == "derivative":
            about["GeneratedBy"] = [{"Name": "benchmark"}]
        (root / folder / "dataset_description.json").write_text(json.dumps(about))
    fmriprep = root / "derivatives" / "fmriprep"
    fmriprep.mkdir()
    shutil.copy(root / "derivatives/glm/dataset_description.json", fmriprep)
    first = None
    for number in range(1, n_participants + 1):
        label = f"{number:04d}"
        (root / f"sub-{label}" / "func").mkdir(parents=True)
        paths = map_paths(root, label, size)
        for path in paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if first is None:
            first = paths
            write_maps(paths, size)
        else:
            for key, path in paths.items():
                os.link(first[key], path)
        for path in other_paths(root, label, size):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}" if path.suffix == ".json" else "")
    return root


def map_paths(root, label, size):
    glm = root / "derivatives" / "glm" / f"sub-{label}" / "func"
    surf = root / "derivatives" / "fmriprep" / "sourcedata" / "freesurfer" / f"sub-{label}" / "surf"
    paths = {}
    for hemi, side in HEMISPHERES.items():
        for kind in RETINOTOPY:
            paths[kind, hemi] = surf / f"{side}.benson14_{kind}.mgz"
        for kind in SURFACES:
            paths[kind, hemi] = surf / f"{side}.{kind}"
        for task, contrast, stat in maps_of(size):
            name = f"sub-{label}_task-{task}_hemi-{hemi}_space-fsnative_contrast-{contrast}"
            paths[task, contrast, stat, hemi] = glm / f"{name}_stat-{stat}_statmap.func.gii"
    return paths


def maps_of(size):
    for quadrant in QUADRANTS:
        yield "loc", quadrant, "z"
        yield "loc", quadrant, "effect"
    for number in range(size.n_contrasts):
        yield "main", f"c{number:02d}", "effect"


def other_paths(root, label, size):
    """What else lies there, and is not for this program: names as fMRIPrep and FreeSurfer give."""
    freesurfer = root / "derivatives/fmriprep/sourcedata/freesurfer" / f"sub-{label}"
    yield from (freesurfer / "mri" / f"{number}.mgz" for number in range(size.n_other_files // 5))
    yield from (freesurfer / "stats" / f"{number}.stats" for number in range(10))
    fmriprep = root / "derivatives" / "fmriprep" / f"sub-{label}"
    for number in range(size.n_other_files // 5):
        stem = f"sub-{label}_task-main_run-{number + 1:02d}"
        yield fmriprep / "func" / f"{stem}_space-T1w_desc-preproc_bold.nii.gz"
        yield fmriprep / "func" / f"{stem}_space-T1w_desc-preproc_bold.json"
        yield fmriprep / "func" / f"{stem}_desc-confounds_timeseries.tsv"
        yield fmriprep / "figures" / f"{stem}_desc-carpetplot_bold.svg"


def write_maps(paths, size):
    """Write maps of hemispheres that are ellipsoids as large as a hemisphere, V1 at their back."""
    rng = np.random.default_rng(0)
    sphere, triangles = icosphere(size.level, 1)
    a, b, c = np.moveaxis(sphere[triangles], 1, 0)
    inwards = (np.cross(b - a, c - a) * a).sum(axis=1) < 0
    triangles[inwards] = triangles[inwards, ::-1]
    right, front, up = sphere.T
    area = np.where(front < -0.95, 1, 0)
    eccentricity = area * 120 * (1 + front)  # 0 at the pole, 6 at the border
    angle = np.degrees(np.arctan2(np.abs(right), up))
    made = {"white": sphere * (30, 80, 50), "inflated": sphere * (45, 100, 65)}
    made["sulc"] = np.sin(20 * right) * np.sin(20 * up)
    made |= {"varea": area, "eccen": eccentricity, "angle": area * angle}
    for (kind, *of), path in paths.items():
        if kind == "sulc":
            nib.freesurfer.write_morph_data(path, made[kind], fnum=len(triangles))
        elif kind in SURFACES:
            nib.freesurfer.write_geometry(path, made[kind], triangles)
        elif kind in RETINOTOPY:
            values = made[kind].astype("f4").reshape(1, 1, -1)
            nib.save(nib.freesurfer.MGHImage(values, np.eye(4)), path)
        else:
            contrast, _, hemi = of
            values = rng.standard_normal(len(sphere))
            if kind == "loc":
                is_seen = ((angle < 90) == (contrast[0] == "U")) & (contrast[1] != hemi)
                values += 4 * area * is_seen
            values[right > 0.9] = np.nan  # the medial wall
            array = nib.gifti.GiftiDataArray(values.astype("f4"), datatype="NIFTI_TYPE_FLOAT32")
            nib.save(nib.gifti.GiftiImage(darrays=[array]), path)


# --- what the program is compared with


def notebook(root, labels, size):
    """Mean of each map in each ROI, as a script of a laboratory has it."""
    rows = []
    for label in labels:
        paths = map_paths(root, label, size)
        for task, contrast, stat in maps_of(size):
            if stat != "effect":
                continue
            for quadrant in QUADRANTS:
                for hemi in HEMISPHERES:
                    area = nib.load(paths["varea", hemi]).get_fdata().ravel()
                    eccentricity = nib.load(paths["eccen", hemi]).get_fdata().ravel()
                    z = nib.load(paths["loc", quadrant, "z", hemi]).agg_data()
                    effect = nib.load(paths[task, contrast, stat, hemi]).agg_data()
                    inside = (area == 1) & (eccentricity > LOW) & (eccentricity < HIGH)
                    rows.append(np.nanmean(effect[inside & (z > THRESHOLD)]))
    return rows


def floor(root, labels, size):
    """Read every file once."""
    for label in labels:
        for path in map_paths(root, label, size).values():
            if path.suffix == ".mgz":
                np.asarray(nib.load(path).dataobj)
            else:
                nib.load(path).agg_data()


def ours_discovery(root, labels, _size):
    from bids_secondlevel.core.settings import Settings
    from bids_secondlevel.inputs.datasets import find_datasets
    from bids_secondlevel.inputs.index import index_participant

    datasets = find_datasets(
        Settings(bids_dir=root, output_dir=root.parent / "none", analysis_level="participant")
    )
    for label in labels:
        assert index_participant(datasets, label, {}).statistical_maps


def layout(root, _labels, _size):
    from bids import BIDSLayout

    BIDSLayout(root, derivatives=True)


WORK = {"notebook": notebook, "floor": floor, "discovery": ours_discovery, "layout": layout}


def work(name, root, n_participants, size):
    """Do one of these in this process, and print the processor's seconds, imports left out."""
    labels = [f"{number:04d}" for number in range(1, n_participants + 1)]
    if name in ("discovery", "layout"):
        importlib.import_module("bids.layout")
    start = time.process_time()
    WORK[name](root, labels, size)
    print(time.process_time() - start)


# --- measuring


@dataclass(frozen=True)
class Measured:
    """What a process took."""

    seconds: float
    processor: float
    peak: float
    output: str


def run(command):
    """Run a command; its peak memory in MiB is that of its largest process."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}:\n{text}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def worked(name, root, n_participants, size):
    """Do something else than this program in a process of its own; return the seconds."""
    options = [f"--vertices={size.n_vertices}", f"--contrasts={size.n_contrasts}"]
    command = [sys.executable, __file__, "--work", name, str(root), str(n_participants), *options]
    return float(run(command).output.split()[-1])


def participants(root, output, n_participants, *options):
    """Run the participant level from scratch."""
    shutil.rmtree(output, ignore_errors=True)
    labels = [f"{number:04d}" for number in range(1, n_participants + 1)]
    command = [COMMAND, root, output, "participant", "--participant-label", *labels, *options]
    return run(command)


def each(measure, n_participants):
    """Seconds of the processor per participant, without what a process costs with one."""
    n_participants = max(n_participants, 2)
    return (measure(n_participants).processor - measure(1).processor) / (n_participants - 1)


# --- the parts of the table: each yields rows of what was measured, the result, and the goal


def speed(studies, size, given):
    """(a), (b), pages, and participants that are up to date."""
    root, output, n = studies[0], studies[0].parent / "output", given.participants
    alone = ("--n-procs", "1", "--no-report")
    scripted = worked("notebook", root, 1, size)
    floor_of_one = worked("floor", root, n, size) / n
    ours = each(lambda count: participants(root, output, count, *alone), n)
    floor_of_one = (floor_of_one + worked("floor", root, n, size) / n) / 2  # before and after
    yield "reading the files once, per participant", f"{floor_of_one:.2f} s", ""
    yield "participant level without pages, per participant", f"{ours:.2f} s", ""
    yield "(a) loop of a notebook / ours", f"{scripted / ours:.1f}", "at least 5"
    yield "(b) ours / reading the files once", f"{ours / floor_of_one:.2f}", "at most 1.5"
    drawn = each(lambda count: participants(root, output, count, "--n-procs", "1"), min(n, 4))
    yield "pages, per participant", f"{drawn - ours:.1f} s", ""
    again = [COMMAND, root, output, "participant", *alone, "--participant-label"]
    labels = [f"{number:04d}" for number in range(1, n + 1)]
    participants(root, output, n, *alone)
    skipped = each(lambda count: run([*again, *labels[:count]]), n)
    yield "a participant that is up to date", f"{skipped:.3f} s", "under 0.3 s"


def scaling(studies, _size, given):
    """(e)"""
    few, *_ = given.scaling
    for n, what, options in (
        (few, "with pages", ()),
        *((n, "without pages", ("--no-report",)) for n in given.scaling),
    ):
        root = next(study for study in studies if len(list(study.glob("sub-*"))) >= n)
        output = root.parent / "output"
        one, two = (participants(root, output, n, *options, "--n-procs", k).seconds for k in "12")
        shown = f"{one / two:.2f} ({one:.1f} s / {two:.1f} s)"
        yield f"(e) {n} participants {what}, --n-procs 1 / 2", shown, "at least 1.7"


def discovery(studies, size, given):
    """(c)"""
    seconds = {len(list(s.glob("sub-*"))): worked("discovery", s, 1, size) for s in studies}
    shown = ", ".join(f"{value:.2f} s of {count}" for count, value in seconds.items())
    yield "(c) finding the files of one participant", shown, "at most 0.5 s"
    n = min(given.discovered, max(seconds))
    each_of = worked("discovery", studies[-1], n, size) / n
    yield f"(c) of {n} participants, each", f"{each_of * 1000:.0f} ms", "at most 60 ms"
    n = min(seconds)
    by_layout = worked("layout", studies[0], n, size) / n
    ours = worked("discovery", studies[0], n, size) / n
    yield f"(c) BIDSLayout of {n} participants / ours", f"{by_layout / ours:.0f}", ""


def memory(studies, _size, given):
    """(d)"""
    root = studies[min(1, len(studies) - 1)]
    output = root.parent / "output"
    options = ("--n-procs", "1", "--no-report")
    peaks = {n: participants(root, output, n, *options).peak for n in given.memory}
    shown = ", ".join(f"{peak:.0f} MiB of {n}" for n, peak in peaks.items())
    yield "(d) peak memory by number of participants", shown, "flat"


def group(studies, _size, given):
    """(f)"""
    root, output = studies[0], studies[0].parent / "group"
    participants(root, output, 1, "--no-report", "--n-procs", "1", "--contrasts", *given.contrasts8)
    (table,) = output.glob("sub-0001/func/*_desc-roi_estimates.tsv")
    n_rows = len(table.read_text().splitlines()) - 1
    kinds = ("estimates", "quality", "overlap")
    files = [path for kind in kinds for path in table.parent.glob(f"*_desc-roi_{kind}.*")]
    written = {path: path.read_text() for path in files}
    for number in range(2, given.group + 1):
        label = f"sub-{number:04d}"
        folder = output / label / "func"
        folder.mkdir(parents=True)
        for path, text in written.items():
            name = path.name.replace("sub-0001", label)
            (folder / name).write_text(text.replace("sub-0001", label))
    for what, options in (("without", ["--no-report"]), ("with", [])):
        took = run([COMMAND, root, output, "group", *options])
        yield (
            f"(f) group level, {given.group} participants x {n_rows} rows, {what} its page",
            f"{took.seconds:.1f} s ({took.processor:.1f} s of the processor), {took.peak:.0f} MiB",
            "under 10 s, 500 MB",
        )


def start(_studies, _size, _given):
    seconds = min(run([COMMAND, "--help"]).seconds for _ in range(5))
    yield "--help", f"{seconds:.2f} s", "under 0.3 s"


PARTS = {
    "start": start,
    "discovery": discovery,
    "speed": speed,
    "scaling": scaling,
    "memory": memory,
    "group": group,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small studies")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--studies", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--participants", type=int, default=10, help="to measure speed with")
    parser.add_argument("--discovered", type=int, default=500)
    parser.add_argument("--scaling", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--memory", type=int, nargs="+", default=[2, 20, 100])
    parser.add_argument("--group", type=int, default=2000)
    parser.add_argument("--vertices", type=int, default=Size.n_vertices)
    parser.add_argument("--contrasts", type=int, default=Size.n_contrasts)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary one)")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    if parser.parse_args().quick:
        small = {"studies": [2, 4], "memory": [2, 4], "scaling": [2]}
        parser.set_defaults(**small, participants=2, discovered=4, group=4)
    given = parser.parse_args()
    size = Size(given.vertices, given.contrasts, 20 if given.quick else Size.n_other_files)
    if given.work:
        name, root, count = given.work
        work(name, Path(root), int(count), size)
        return
    given.contrasts8 = [contrast for task, contrast, _ in maps_of(size) if task == "main"][:8]
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs, {size.n_vertices} vertices, ")
    print(f"{size.n_contrasts} + {len(QUADRANTS)} contrasts, {len(QUADRANTS)} ROIs\n")
    print("| | measured | goal | load |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        studies = []
        for n_participants in given.studies:
            studies.append(Path(folder) / f"study{n_participants}")
            make_study(studies[-1], n_participants, size)
        for name in given.only:
            for row in PARTS[name](studies, size, given):
                print("|", " | ".join((*row, f"{os.getloadavg()[0]:.1f}")), "|", flush=True)


if __name__ == "__main__":
    main()
