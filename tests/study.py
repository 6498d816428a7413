"""Tiny studies on disk, with answers known by construction.

A hemisphere has a dozen vertices. The files are written with nibabel directly, not with the
package's own writers.
"""

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_secondlevel.cli.main import main

COMMAND = Path(sys.executable).parent / "bids_secondlevel"
STRUCTURE = {"L": "CortexLeft", "R": "CortexRight"}

# Vertex by vertex: V1 inside 0 to 5 degrees are vertices 1, 2, 3 (L) and 0, 2 (R).
AREA = {"L": [1, 1, 1, 1, 1, 2, 2, 0, 0, 0, 0, 0], "R": [1, 0, 1, 2, 0, 0, 0, 0, 0, 0]}
ECCENTRICITY = {
    "L": [0.0, 0.1, 2.0, 4.9, 5.0, 2.0, 7.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    "R": [1.0, 1.0, 4.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
}
# Localizer: contrast "left" activates vertices 1, 2 (L) and 0 (R) of V1, and one outside;
# "right" activates nothing of V1 in the left hemisphere.
Z = {
    "left": {
        "L": [9.0, 3.0, 2.5, 1.96, 3.0, 4.0, 0.0, 6.0, 0.0, 0.0, 0.0, 0.0],
        "R": [2.0, 9.0, -3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    },
    "right": {
        "L": [0.0, 1.0, -2.5, 1.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0],
        "R": [2.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0],
    },
}
# Effects: attend is 10 + vertex number (L) and 100 + vertex number (R).
EFFECT = {"L": [10.0 + v for v in range(12)], "R": [100.0 + v for v in range(10)]}


def write_gifti(path, values, hemi=None, dtype="f4"):
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURE[hemi]} if hemi else {})
    arrays = [
        nib.gifti.GiftiDataArray(
            np.asarray(v, dtype), datatype=nib.nifti1.data_type_codes.code[np.dtype(dtype)]
        )
        for v in ([values] if np.ndim(values) == 1 else values)
    ]
    # "force" also writes 64-bit floats, which tools do though the format forbids them.
    path.write_bytes(nib.gifti.GiftiImage(darrays=arrays, meta=meta).to_bytes(mode="force"))
    return path


def write_mgz(path, values, dtype="f4", shape=(1, 1, -1)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.freesurfer.MGHImage(np.asarray(values, dtype).reshape(shape), np.eye(4)), path)
    return path


def write_curv(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.freesurfer.write_morph_data(path, np.asarray(values, "f4"))
    return path


def write_volume(path, shape=(3, 4, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = nib.freesurfer.MGHImage if ".mg" in path.name else nib.Nifti1Image
    nib.save(kind(np.ones(shape, "f4"), np.eye(4)), path)
    return path


def describe(folder, name, kind="derivative"):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"Name": name, "BIDSVersion": "1.10.0", "DatasetType": kind}
    if kind == "derivative":
        content["GeneratedBy"] = [{"Name": name}]
    (folder / "dataset_description.json").write_text(json.dumps(content))


@dataclass
class Study:
    """A BIDS dataset with first-level maps and retinotopy below ``derivatives``."""

    root: Path
    offsets: Mapping[str, float] = field(default_factory=dict)

    @property
    def firstlevel(self):
        return self.root / "derivatives" / "firstlevel"

    @property
    def freesurfer(self):
        return self.root / "derivatives" / "freesurfer"

    def surf(self, label):
        return self.freesurfer / f"sub-{label}" / "surf"

    def map_path(self, label, task, hemi, contrast, stat):
        name = (
            f"sub-{label}_task-{task}_hemi-{hemi}_space-fsnative_contrast-{contrast}"
            f"_stat-{stat}_statmap.func.gii"
        )
        return self.firstlevel / f"sub-{label}" / "func" / name

    def add_participant(self, label, offset=0.0):
        (self.root / f"sub-{label}").mkdir(parents=True)
        for hemi, side in (("L", "lh"), ("R", "rh")):
            write_mgz(self.surf(label) / f"{side}.benson14_varea.mgz", AREA[hemi], "i4")
            write_mgz(self.surf(label) / f"{side}.benson14_eccen.mgz", ECCENTRICITY[hemi])
            for contrast, z in Z.items():
                write_gifti(self.map_path(label, "loc", hemi, contrast, "z"), z[hemi], hemi)
                effect = np.asarray(z[hemi]) / 2
                write_gifti(self.map_path(label, "loc", hemi, contrast, "effect"), effect, hemi)
            effect = np.asarray(EFFECT[hemi]) + offset
            write_gifti(self.map_path(label, "main", hemi, "attend", "effect"), effect, hemi)


def make_study(root, offsets=None):
    """Write a study; `offsets` are added to the effects of each participant."""
    study = Study(root, offsets or {"01": 0.0})
    describe(root, "tiny study", "raw")
    describe(study.firstlevel, "firstlevel")
    for label, offset in study.offsets.items():
        study.add_participant(label, offset)
    return study


def make_group_study(root):
    """Write a study of four participants whose effects differ by known offsets."""
    return make_study(root, {"01": 0.0, "02": 1.0, "03": 2.0, "04": 5.0})


def run(*arguments, cwd=None):
    """Run the installed command; return the finished process."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd
    )


def run_here(*arguments):
    """Run the program in this process, which saves its start; else as :func:`run`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def read_tsv(path):
    header, *lines = path.read_text().splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def estimates(output, label="01"):
    """Rows of a participant's table by task, contrast, ROI and hemisphere."""
    (path,) = output.glob(f"sub-{label}/**/*_desc-roi_estimates.tsv")
    return {(r["task"], r["contrast"], r["roi"], r["hemi"]): r for r in read_tsv(path)}


def fingerprint(folder):
    """Content and modification time of every file, and the modification time of folders."""
    return {
        path: (path.read_bytes() if path.is_file() else None, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def cut_short(path):
    """Truncate a file in the middle, and check that it was more than a few bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def gunzip(path):
    return gzip.decompress(path.read_bytes())


@contextmanager
def opened_below(folder):
    """Paths of the files below a folder that are opened, in order."""
    paths = []
    active = [True]

    def hook(event, arguments):
        if not active[0] or event != "open" or not str(arguments[0]).startswith(str(folder)):
            return
        # Whether a small file is a pointer of git-annex is seen in its first bytes.
        if sys._getframe(2).f_code.co_name != "_is_annex_pointer":  # noqa: SLF001
            paths.append(str(arguments[0]))

    sys.addaudithook(hook)
    yield paths
    active[0] = False
