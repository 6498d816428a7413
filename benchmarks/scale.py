"""Speed and memory by the clock, as ratios measured in one run.

``python benchmarks/scale.py`` takes about ten minutes on two idle CPUs, ``--quick`` one, and
``--only`` a part of it. The study has hemispheres of 163,842 vertices, 24 contrasts and 4 ROIs.
Each participant has the files of the first (hard links), among many that are not for this program.
Compared with this program are

- the floor: reading the same maps once with nibabel, and nothing else;
- a notebook that loads each file once, and keeps the maps of a participant in memory;
- a notebook whose function takes a participant, a contrast, an ROI and a hemisphere, and loads
  what it needs for this number, as is common;
- ``BIDSLayout(root, derivatives=True)`` for finding the files.

Both notebooks average the contrasts in the ROIs of each hemisphere and test the averages across
participants; they know no CIFTI, no missing file, no second space. The program runs as it is
installed, in processes of its own. All times are by the clock and whole, from the start of Python
to its end, but for those said to be of each participant: what many take without what one takes.
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
from statistics import median

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
MARK = "<!-- what benchmarks/scale.py measured -->\n"


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


def labels_of(n_participants):
    return [f"{number:04d}" for number in range(1, n_participants + 1)]


def cells_of(size):
    """Each contrast in each ROI of each hemisphere."""
    for task, contrast, stat in maps_of(size):
        for quadrant in QUADRANTS if stat == "effect" else ():
            for hemi in HEMISPHERES:
                yield task, contrast, quadrant, hemi


def inside(area, eccentricity, z):
    return (area == 1) & (eccentricity > LOW) & (eccentricity < HIGH) & (z > THRESHOLD)


def notebook(root, labels, size):
    """Load the files of each number, in a function that is called for each."""

    def mean_of(paths, task, contrast, quadrant, hemi):
        area = nib.load(paths["varea", hemi]).get_fdata().ravel()
        eccentricity = nib.load(paths["eccen", hemi]).get_fdata().ravel()
        z = nib.load(paths["loc", quadrant, "z", hemi]).agg_data()
        effect = nib.load(paths[task, contrast, "effect", hemi]).agg_data()
        return np.nanmean(effect[inside(area, eccentricity, z)])

    every = {label: map_paths(root, label, size) for label in labels}
    rows = [[mean_of(paths, *cell) for cell in cells_of(size)] for paths in every.values()]
    return tested(rows)


def careful_notebook(root, labels, size):
    """Load each file once."""
    rows = []
    for label in labels:
        paths = map_paths(root, label, size)
        maps = {
            key: nib.load(path).get_fdata().ravel()
            if path.suffix == ".mgz"
            else nib.load(path).agg_data()
            for key, path in paths.items()
            if key[0] in ("varea", "eccen", "loc", "main")
        }
        rois = {
            (quadrant, hemi): inside(
                maps["varea", hemi], maps["eccen", hemi], maps["loc", quadrant, "z", hemi]
            )
            for quadrant in QUADRANTS
            for hemi in HEMISPHERES
        }
        rows.append(
            [
                np.nanmean(maps[task, contrast, "effect", hemi][rois[quadrant, hemi]])
                for task, contrast, quadrant, hemi in cells_of(size)
            ]
        )
    return tested(rows)


def tested(rows):
    from scipy.stats import ttest_1samp

    if len(rows) > 1:
        ttest_1samp(rows, 0)
    return rows


def floor(root, labels, size):
    """Read every map once."""
    for label in labels:
        for key, path in map_paths(root, label, size).items():
            if key[0] in RETINOTOPY:
                np.asarray(nib.load(path).dataobj)
            elif key[0] not in SURFACES:
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


def template(_root, _labels, _size):
    from bids_secondlevel.maps.templates import surfaces_there

    surfaces_there(["fsaverage", "fsLR"])


WORK = {
    "notebook": notebook,
    "careful": careful_notebook,
    "floor": floor,
    "discovery": ours_discovery,
    "layout": layout,
    "template": template,
}
FIRST = {
    "discovery": "bids.layout",
    "layout": "bids",
    "template": "bids_secondlevel.maps.templates",
}
"""What is imported before the time begins."""


def work(name, root, n_participants, size):
    """Do one of these in this process, and print the seconds without those of imports."""
    if name in FIRST:
        importlib.import_module(FIRST[name])
    start = time.perf_counter()
    WORK[name](root, labels_of(n_participants), size)
    print(time.perf_counter() - start)


# --- measuring


@dataclass(frozen=True)
class Measured:
    """What a process took."""

    seconds: float
    peak: float
    """MiB, of its largest process."""
    output: str


def run(command):
    """Run a command, whose modules are kept compiled, as those of an installed package are."""
    surroundings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=output, env=surroundings
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}:\n{text}")
    return Measured(seconds, usage.ru_maxrss / 1024, text)


@dataclass(frozen=True)
class Bench:
    """A study, and how to measure with it."""

    root: Path
    size: Size
    given: argparse.Namespace

    @property
    def output(self):
        return self.root.parent / "output"

    def worked(self, name, n_participants):
        """Do something else than this program: the seconds, with and without start and imports."""
        given = ["--level", self.size.level, "--contrasts", self.size.n_contrasts]
        command = [sys.executable, __file__, "--work", name, self.root, n_participants, *given]
        took = run(command)
        return took.seconds, float(took.output.split()[-1])

    def participants(self, n, *options, again=False):
        """Run the participant level, from scratch unless said."""
        if not again:
            shutil.rmtree(self.output, ignore_errors=True)
        labels = ("--participant-label", *labels_of(n))
        return run([COMMAND, self.root, self.output, "participant", *labels, *options])

    def group(self, *options):
        return run([COMMAND, self.root, self.output, "group", *options])

    def least(self, *options):
        """Run the participant level several times; what disturbs it makes it longer."""
        runs = [self.participants(*options) for _ in range(self.given.repeat)]
        return min(runs, key=lambda run: run.seconds)


# --- the parts of the table: each yields rows of what was measured, and the result


def start(bench):
    seconds = min(run([COMMAND, "--help"]).seconds for _ in range(5))
    yield "`--help`", f"{seconds:.2f} s"
    _, seconds = bench.worked("template", 1)
    yield "looking for TemplateFlow's surfaces on this computer", f"{1000 * seconds:.0f} ms"


def floor_of_one(bench):
    """Seconds to read the maps of a participant."""
    n = bench.given.few
    return bench.worked("floor", n)[1] / n


def job(bench):
    """One participant, as a job of a cluster."""
    floor_seconds = floor_of_one(bench)
    yield "reading the maps of a participant once (the floor)", f"{floor_seconds:.2f} s"
    for what, options in (("with its page", ()), ("without", ("--no-report",))):
        took = median(bench.participants(1, *options).seconds for _ in range(3))
        shown = f"{took:.2f} s, {took / floor_seconds:.1f} times the floor"
        yield f"one participant as a job, {what}", shown


def scaling(bench):
    """One process and two, with pages and without; what a participant and a page take."""
    floor_seconds = floor_of_one(bench)
    ways = {"without pages": ("--no-report",), "with pages": ()}  # pages stay for what follows
    alone = {
        what: median(bench.participants(1, *options).seconds for _ in range(3))
        for what, options in ways.items()
    }
    peaks = {}
    for n in (bench.given.few, bench.given.many):
        each = {}
        for what, options in ways.items():
            two, one = (
                bench.least(n, *options, "--n-procs", n_processes) for n_processes in (2, 1)
            )
            each[what] = (one.seconds - alone[what]) / (n - 1)
            peaks[n] = one.peak
            shown = f"{one.seconds / two.seconds:.2f} times as fast"
            shown += f" ({one.seconds:.1f} s, {two.seconds:.1f} s)"
            yield f"{n} participants {what}, two processes instead of one", shown
        seconds = each["without pages"]
        shown = f"{seconds:.2f} s, {seconds / floor_seconds:.2f} times the floor"
        yield f"each of {n} participants, without its page", shown
        yield f"the page of each of {n} participants", f"{each['with pages'] - seconds:.2f} s"
    n = bench.given.many
    sizes = [path.stat().st_size for path in bench.output.glob("sub-*.html")]
    yield "size of a participant's page", f"{max(sizes) / 1e6:.2f} MB"
    shown = ", ".join(f"{peak:.0f} MiB of {count}" for count, peak in peaks.items())
    yield "most memory of a process, by the number of participants", shown
    skipped, few = (bench.participants(count, "--n-procs", 1, again=True) for count in (n, 1))
    yield (
        "each participant that is up to date",
        f"{(skipped.seconds - few.seconds) / (n - 1):.3f} s",
    )


def notebooks(bench):
    """Participant and group level together, against notebooks."""
    n, some = bench.given.compared, min(bench.given.compared, 4)
    whole, inner = bench.worked("notebook", some)
    slow = whole + inner / some * (n - some)
    careful = bench.worked("careful", n)[0]
    for what, options in (("without pages", ("--no-report",)), ("with pages", ())):
        ours = bench.least(n, *options).seconds + bench.group(*options).seconds
        shown = f"{slow / ours:.1f} times as long ({slow:.0f} s, {ours:.1f} s)"
        yield f"{n} participants and their group {what}: notebook, files of each number", shown
        shown = f"{careful / ours:.2f} times as long ({careful:.1f} s, {ours:.1f} s)"
        yield f"{n} participants and their group {what}: notebook, each file once", shown


def group(bench):
    """The group level, with its page and without."""
    for n in dict.fromkeys((min(20, bench.given.many), bench.given.many)):
        bench.participants(n)
        without, with_page = (bench.group(*of).seconds for of in (("--no-report",), ()))
        shown = f"{without:.1f} s, and its page {with_page - without:.1f} s"
        yield f"group level of {n} participants", shown


def discovery(bench):
    for n in (bench.given.few, bench.given.many):
        seconds = bench.worked("discovery", n)[1] / n
        yield f"finding the files of each of {n} participants", f"{1000 * seconds:.0f} ms"
    by_layout = bench.worked("layout", 1)[1]
    yield f"`BIDSLayout` of {bench.given.many} participants", f"{by_layout:.1f} s"


PARTS = {
    "start": start,
    "job": job,
    "scaling": scaling,
    "notebooks": notebooks,
    "group": group,
    "discovery": discovery,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few participants, small maps")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--few", type=int, default=12, help="participants")
    parser.add_argument("--many", type=int, default=100, help="participants")
    parser.add_argument("--compared", type=int, default=20, help="participants of the notebooks")
    parser.add_argument("--level", type=int, default=Size.level, help="divisions of an icosahedron")
    parser.add_argument("--contrasts", type=int, default=Size.n_contrasts)
    parser.add_argument("--repeat", type=int, default=1, help="times, of which the least counts")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary one)")
    parser.add_argument("--into", type=Path, help="a page whose table is replaced")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    if parser.parse_args().quick:
        parser.set_defaults(few=2, many=4, compared=3, level=5, contrasts=4)
    given = parser.parse_args()
    size = Size(given.level, given.contrasts, 20 if given.quick else Size.n_other_files)
    if given.work:
        name, root, count = given.work
        work(name, Path(root), int(count), size)
        return
    lines = [
        f"Measured on {time.strftime('%Y-%m-%d')} with {os.cpu_count()} CPUs: "
        f"{10 * 4**size.level + 2:,} vertices in each hemisphere, {size.n_contrasts} contrasts and "
        f"those of the localizer, {len(QUADRANTS)} ROIs. The load is that of the last minute.",
        "",
        "| | measured | load |",
        "|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root = make_study(Path(folder) / "study", max(given.many, given.compared), size)
        bench = Bench(root, size, given)
        for name in given.only:
            for row in PARTS[name](bench):
                lines.append(f"| {' | '.join((*row, f'{os.getloadavg()[0]:.1f}'))} |")
                print(lines[-1], flush=True)
    if given.into is not None:
        text, mark, _ = given.into.read_text().partition(MARK)
        given.into.write_text("\n".join([text + mark, *lines, ""]))


if __name__ == "__main__":
    main()
