"""Speed and memory at the size of a large study, as ratios measured in one run.

Run with ``python benchmarks/scale.py``; ``--quick`` takes a minute, and ``--only`` a part of it.
Studies have files at the density of fsaverage, copies (hard links) of those of one participant,
in a derivative of first-level maps, one of FreeSurfer, and a tree as fMRIPrep leaves it, whose
many files are empty. Compared with this program are

- a loop as one would write it in a notebook: nibabel, each file loaded again inside the loops;
- the floor: reading the same files once with nibabel, and nothing else;
- ``BIDSLayout(root, derivatives=True)`` for finding the files.

The program runs as it is installed, in processes of its own, and what a process costs before it
does anything for a participant is measured with one participant less. The table goes to standard
output, with the load of the machine, on which seconds depend and ratios hardly do.
"""

import argparse
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

COMMAND = Path(sys.executable).parent / "bids_secondlevel"
HEMISPHERES = {"L": "lh", "R": "rh"}
QUADRANTS = ("UL", "UR", "LL", "LR")
LOW, HIGH, THRESHOLD = 0, 5, 1.96


@dataclass(frozen=True)
class Size:
    """How large a study is."""

    n_vertices: int = 163_842
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
        for kind in ("varea", "eccen"):
            paths[kind, hemi] = surf / f"{side}.benson14_{kind}.mgz"
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
    rng = np.random.default_rng(0)
    vertex = np.arange(size.n_vertices)
    for (kind, *_), path in paths.items():
        if path.suffix == ".mgz":
            # A visual area is a few thousand vertices of the surface.
            values = np.where(vertex < size.n_vertices // 40, 1, 0)
            if kind == "eccen":
                values = values * rng.uniform(0, 12, size.n_vertices)
            values = values.astype("f4").reshape(1, 1, -1)
            nib.save(nib.freesurfer.MGHImage(values, np.eye(4)), path)
            continue
        values = rng.standard_normal(size.n_vertices).astype("f4") * 2
        values[rng.random(size.n_vertices) < 0.01] = np.nan
        array = nib.gifti.GiftiDataArray(values, datatype="NIFTI_TYPE_FLOAT32")
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
    from bids_secondlevel.datasets import find_datasets
    from bids_secondlevel.indexing import index_participant
    from bids_secondlevel.settings import Settings

    datasets = find_datasets(Settings(root, root.parent / "none", "participant"))
    for label in labels:
        assert index_participant(datasets, label, {}).statistical_maps


def layout(root, _labels, _size):
    from bids import BIDSLayout

    BIDSLayout(root, derivatives=True)


WORK = {"notebook": notebook, "floor": floor, "discovery": ours_discovery, "layout": layout}


def work(name, root, n_participants, size):
    """Do one of these in this process, and print the seconds, imports left out."""
    labels = [f"{number:04d}" for number in range(1, n_participants + 1)]
    if name in ("discovery", "layout"):
        import bids  # noqa: F401
    start = time.perf_counter()
    WORK[name](root, labels, size)
    print(time.perf_counter() - start)


# --- measuring


@dataclass(frozen=True)
class Measured:
    """What a process took."""

    seconds: float
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
    return Measured(seconds, usage.ru_maxrss / 1024, text)


def worked(name, root, n_participants, size):
    """Do something else than this program in a process of its own; return the seconds."""
    options = [f"--vertices={size.n_vertices}", f"--contrasts={size.n_contrasts}"]
    command = [sys.executable, __file__, "--work", name, str(root), str(n_participants), *options]
    return float(run(command).output)


def participants(root, output, n_participants, *options):
    """Run the participant level from scratch."""
    shutil.rmtree(output, ignore_errors=True)
    labels = [f"{number:04d}" for number in range(1, n_participants + 1)]
    command = [COMMAND, root, output, "participant", "--participant-label", *labels, *options]
    return run(command)


def each(measure, n_participants):
    """Seconds per participant, without what a process costs with a single one."""
    n_participants = max(n_participants, 2)
    return (measure(n_participants).seconds - measure(1).seconds) / (n_participants - 1)
