"""Maps of the group at the size of a large study: time and peak memory.

Run with ``python benchmarks/group_maps.py``. It simulates participants on fsaverage with one
contrast of noise and one atlas for everybody, runs the participant level, and then the group level
with and without ``--group-maps``. The goal for 100 participants, 163,842 vertices in each
hemisphere and 1,000 flips is 5 minutes and 2 GB on two CPUs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

COMMAND = Path(sys.executable).parent / "bids_secondlevel"
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def describe(folder, kind):
    folder.mkdir(parents=True)
    content = {"Name": folder.name, "BIDSVersion": "1.10.0", "DatasetType": kind}
    content |= {"GeneratedBy": [{"Name": "simulated"}]} if kind == "derivative" else {}
    (folder / "dataset_description.json").write_text(json.dumps(content))


def simulate(root, n_participants, n_vertices, space):
    """Write a study whose maps are noise, with a disc of V1 in an atlas for everybody."""
    describe(root, "raw")
    firstlevel, rng = root / "derivatives" / "firstlevel", np.random.default_rng(0)
    describe(firstlevel, "derivative")
    surf = root / "derivatives" / "freesurfer" / space / "surf"
    surf.mkdir(parents=True)
    area = (np.arange(n_vertices) < n_vertices // 50).astype(np.int32)
    for side in ("lh", "rh"):
        for name, values in (("varea", area), ("eccen", 2.0 * area)):
            image = nib.freesurfer.MGHImage(values.astype("f4").reshape(1, 1, -1), np.eye(4))
            nib.save(image, surf / f"{side}.benson14_{name}.mgz")
    for number in range(1, n_participants + 1):
        who = f"sub-{number:03}"
        (root / who).mkdir()
        (firstlevel / who / "func").mkdir(parents=True)
        for hemi in "LR":
            data = nib.gifti.GiftiDataArray(rng.normal(size=n_vertices).astype("f4"))
            name = f"{who}_task-main_hemi-{hemi}_space-{space}_contrast-attend_stat-effect_statmap"
            path = firstlevel / who / "func" / f"{name}.func.gii"
            nib.save(nib.gifti.GiftiImage(darrays=[data]), path)


def measure(*arguments):
    """Run the program; give seconds and peak memory in MiB."""
    start = time.perf_counter()
    command = [sys.executable, "-c", MEASURED, COMMAND, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    code, peak = finished.stdout.split()
    if code != "0":
        raise SystemExit(f"bids_secondlevel ended with {code}: {' '.join(map(str, arguments))}")
    return time.perf_counter() - start, float(peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=100)
    parser.add_argument("--vertices", type=int, default=163_842, choices=(10_242, 40_962, 163_842))
    parser.add_argument("--flips", type=int, default=1000)
    given = parser.parse_args()
    space = {10_242: "fsaverage5", 40_962: "fsaverage6", 163_842: "fsaverage"}[given.vertices]
    with tempfile.TemporaryDirectory() as folder:
        root, output = Path(folder) / "bids", Path(folder) / "out"
        simulate(root, given.participants, given.vertices, space)
        measure(
            root, output, "participant", "--retinotopy-only", "--no-visual-field", "--no-report"
        )
        group = (root, output, "group", "--no-report", "--n-permutations", str(given.flips))
        print(
            f"{given.participants} participants, {given.vertices} vertices in each hemisphere, "
            f"{given.flips} flips\n\n| group level | seconds | peak memory (MiB) |\n|---|---|---|"
        )
        for what, *more in (("without maps",), ("with maps", "--group-maps")):
            seconds, peak = measure(*group, *more)
            print(f"| {what} | {seconds:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
