"""Layouts of real studies and tools, built in small and described by tables.

Where the documentation has such tables, they are those. Every number equals that of an independent
computation.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis, SeriesAxis
from scipy import stats
from study import describe, estimates, read_tsv, run_here, write_curv, write_mgz

N = 150
SHAPE = (5, 6, 7)
AFFINE = np.array([[-4, 0, 0, 8.0], [0, 4, 0, -12], [0, 0, 4, -12], [0, 0, 0, 1]])
PAGE = (Path(__file__).parents[2] / "docs/howto/describe-files.md").read_text(encoding="utf-8")
SIDE = {"L": "lh", "R": "rh"}
RNG = np.random.default_rng(5)
_SEEDED = RNG.bit_generator.state


@dataclass
class Known:
    """What is written of one hemisphere, or of a volume."""

    shape: tuple[int, ...] = (N,)
    varea: np.ndarray = field(init=False)
    eccen: np.ndarray = field(init=False)
    z: np.ndarray = field(init=False)
    effect: np.ndarray = field(init=False)

    def __post_init__(self):
        self.varea = RNG.integers(0, 4, self.shape).astype("f4")
        self.eccen = RNG.uniform(0.1, 9, self.shape).astype("f4")
        self.z = RNG.normal(1.5, 1.5, self.shape).astype("f4")
        self.effect = RNG.normal(0.2, 1, self.shape).astype("f4")

    @property
    def inside(self):
        return (self.varea == 1) & (self.eccen > 0) & (self.eccen < 5)

    def mean(self, z=None):
        chosen = self.inside & ((self.z if z is None else z) > 1.96)
        return float(self.effect[chosen].astype("f8").mean())


def pooled(known, z=None):
    values = [
        of.effect[of.inside & ((of.z if z is None else z[h]) > 1.96)] for h, of in known.items()
    ]
    return float(np.concatenate(values).astype("f8").mean())


def to_z(t, df):
    return stats.norm.isf(stats.t.sf(np.asarray(t, "f8"), df))


def gifti(path, *arrays, names=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.gifti.GiftiImage()
    for number, values in enumerate(arrays):
        meta = nib.gifti.GiftiMetaData({"Name": names[number]} if names else {})
        data = np.asarray(values, "f4")
        image.add_gifti_data_array(nib.gifti.GiftiDataArray(data, meta=meta, datatype="float32"))
    path.write_bytes(image.to_bytes())


def nifti(path, values, said=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(values, "f4"), AFFINE)
    image.header["descrip"] = said.encode()
    nib.save(image, path)


def cifti(path, rows, axis):
    """Both cortices, of which every third vertex has no value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    used = np.array([vertex for vertex in range(N) if vertex % 3])
    models = [
        BrainModelAxis.from_surface(used, N, f"CIFTI_STRUCTURE_CORTEX_{side}")
        for side in ("LEFT", "RIGHT")
    ]
    values = [np.concatenate([row["L"][used], row["R"][used]]) for row in rows]
    nib.save(Cifti2Image(np.array(values, "f4"), header=(axis, models[0] + models[1])), path)


class Layout:
    """A study in the making."""

    def __init__(self, root, *, volume=False, labels=("01", "02")):
        RNG.bit_generator.state = _SEEDED  # whatever tests have run before
        self.root = root
        self.bids = root / "bids"
        describe(self.bids, "study", "raw")
        self.people = {
            label: Known(SHAPE) if volume else {hemi: Known() for hemi in "LR"} for label in labels
        }
        for label in labels:
            (self.bids / f"sub-{label}").mkdir()

    def hemispheres(self):
        for label, known in self.people.items():
            for hemi, of in known.items():
                yield label, hemi, of

    def add_freesurfer(self, source="benson14"):
        for label, hemi, of in self.hemispheres():
            surf = self.bids / f"sourcedata/freesurfer/sub-{label}/surf"
            write_mgz(surf / f"{SIDE[hemi]}.{source}_varea.mgz", of.varea, "i4")
            write_mgz(surf / f"{SIDE[hemi]}.{source}_eccen.mgz", of.eccen)

    def add_volumes_of_retinotopy(self, space):
        for label, of in self.people.items():
            start = self.bids / f"derivatives/atlas/sub-{label}/sub-{label}_space-{space}_desc-a"
            nifti(start.with_name(f"{start.name}_varea.nii.gz"), of.varea)
            nifti(start.with_name(f"{start.name}_eccen.nii.gz"), of.eccen)

    def add_named_maps(self, space="fsnative"):
        for label, hemi, of in self.hemispheres():
            folder = self.bids / f"derivatives/glm/sub-{label}/func"
            for task, contrast, stat, values in (
                ("loc", "UL", "z", of.z),
                ("main", "faces", "effect", of.effect),
            ):
                gifti(
                    folder / f"sub-{label}_task-{task}_hemi-{hemi}_space-{space}"
                    f"_contrast-{contrast}_stat-{stat}_statmap.func.gii",
                    values,
                )

    def run(self, config, *arguments):
        (self.root / "config.toml").write_text(config)
        finished = run_here(
            *(self.bids, self.root / "out", "participant", "--config", self.root / "config.toml"),
            *("--no-report", "--n-procs", 1, *arguments),
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stderr

    def found(self, label, hemi, contrast="faces", roi="UL", task="main"):
        return float(estimates(self.root / "out", label)[task, contrast, roi, hemi]["estimate"])

    def check(self, contrast="faces", roi="UL", *, z=None, task="main"):
        """Compare every estimate; `z` are the values to expect instead of those that are known."""
        for label, known in self.people.items():
            here = None if z is None else z[label]
            if isinstance(known, Known):
                expected = {"both": known.mean(here)}
            else:
                expected = {h: of.mean(here and here[h]) for h, of in known.items()}
                expected["both"] = pooled(known, here)
            for hemi, value in expected.items():
                assert self.found(label, hemi, contrast, roi, task) == pytest.approx(
                    value, abs=1e-9
                )


def documented(heading):
    """Give the tables under a heading of the documentation."""
    (block,) = re.findall(
        rf"^###? {re.escape(heading)}\n[^#]*?```toml\n(.*?)```", PAGE, re.S | re.M
    )
    return block


def tables(*given, **constants):
    """Write tables with a pattern and a statistic each, and what they have in common."""
    common = "".join(f"{key} = {value}\n" for key, value in constants.items())
    return "".join(f"[[maps]]\npattern = '{p}'\nstat = '{stat}'\n{common}\n" for p, stat in given)


@pytest.mark.parametrize("df", ["dof", "../dof"])
def test_feat_takes_degrees_of_freedom_from_files(tmp_path, df):
    layout = Layout(tmp_path, volume=True)
    space = "MNI152NLin6Asym"
    layout.add_volumes_of_retinotopy(space)
    expected = {}
    for label, of in layout.people.items():
        folder = layout.bids / f"derivatives/feat/sub-{label}"
        loc, main = (folder / f"sub-{label}_task-{t}.gfeat/cope1.feat" for t in ("loc", "main"))
        nifti(loc / "stats/tstat1.nii.gz", of.z)
        nifti(main / "stats/cope1.nii.gz", of.effect)
        if df.endswith(".nii.gz"):
            each = RNG.uniform(5, 50, SHAPE).astype("f4")
            nifti(loc / "stats" / df, each)
            expected[label] = to_z(of.z, each.astype("f8"))
        else:
            (loc / "stats" / df).resolve().write_text("12\n")
            expected[label] = to_z(of.z, 12)
    where = "stats/" + df if ".." not in df else "dof"
    inside = "{subject}/*_task-{task}.gfeat/cope{contrast}.feat/"
    config = tables(
        (inside + "stats/cope1.nii.gz", "effect"), dataset='"feat"', space=f'"{space}"'
    ) + tables(
        (inside + "stats/tstat1.nii.gz", "t"),
        dataset='"feat"',
        space=f'"{space}"',
        df=f"'{inside}{where}'",
    )
    layout.run(config)
    layout.check("1", "1", z=expected)


def test_halves_of_the_runs_by_the_number_of_an_array(tmp_path):
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    for label, hemi, of in layout.hemispheres():
        for task, stat, values in (("oloc", "z", of.z), ("main", "effect", of.effect)):
            noise = RNG.normal(size=N)
            gifti(
                layout.bids
                / f"derivatives/localizers/sub-{label}/func/sub-{label}_task-{task}_hemi-"
                f"{hemi}_space-fsnative_contrast-C_stat-{stat}_desc-smoothed0Splithalf_statmap"
                ".func.gii",
                *(noise, noise, values, noise),
            )
    pattern = (
        "{{subject}}/func/*_task-{{task}}_hemi-{{hemi}}_*_contrast-{{contrast}}_stat-{}"
        "_desc-smoothed0Splithalf_statmap.func.gii"
    )
    layout.run(
        tables(
            *((pattern.format(stat), stat) for stat in ("z", "effect")),
            dataset='"localizers"',
            space='"fsnative"',
            array=2,
        )
    )
    layout.check("C", "C")


def add_cifti_retinotopy(layout):
    axis = ScalarAxis(["areas", "ecc"])
    for label, known in layout.people.items():
        rows = [{h: of.varea for h, of in known.items()}, {h: of.eccen for h, of in known.items()}]
        cifti(layout.root / f"prf/{label}/fit.dscalar.nii", rows, axis)
    return "".join(
        f"""
[[retinotopy]]
dataset = "{layout.root}/prf"
pattern = "{{subject}}/fit.dscalar.nii"
map = "{kind}"
array = {array}
source = "fit"
"""
        for kind, array in (("varea", 0), ("eccen", '"ecc"'))
    )


@pytest.mark.parametrize("ending", ["dscalar", "dtseries"])
def test_cifti_with_the_keys_of_nilearn(tmp_path, ending):
    layout = Layout(tmp_path)
    described = add_cifti_retinotopy(layout)
    axis = ScalarAxis(["a"]) if ending == "dscalar" else SeriesAxis(0, 1, 1)
    for label, known in layout.people.items():
        for task, stat, kind in (("floc", "z_score", "z"), ("main", "effect_size", "effect")):
            cifti(
                tmp_path
                / f"scand/sub-{label}/sub-{label}_ses-01_task-{task}_contrast-c_stat-{stat}"
                f".{ending}.nii",
                [{h: getattr(of, kind) for h, of in known.items()}],
                axis,
            )
            for of in known.values():
                of.varea[::3] = 0  # where these files have no value
    pattern = "{{subject}}/*_ses-{{session}}_task-{{task}}_contrast-{{contrast}}_stat-{}.*.nii"
    layout.run(
        tables(
            (pattern.format("z_score"), "z_score"),
            (pattern.format("effect_size"), "effect_size"),
            dataset=f'"{tmp_path}/scand"',
        )
        + described
    )
    layout.check("c", "c")


def test_contrasts_are_the_maps_of_a_cifti_file(tmp_path):
    layout = Layout(tmp_path)
    described = add_cifti_retinotopy(layout)
    for label, known in layout.people.items():
        z, effect = ({h: getattr(of, kind) for h, of in known.items()} for kind in ("z", "effect"))
        cifti(tmp_path / f"c/{label}/loc.dscalar.nii", [z], ScalarAxis(["U > L"]))
        cifti(tmp_path / f"c/{label}/main.dscalar.nii", [z, effect], ScalarAxis(["a", "b-c"]))
        for of in known.values():
            of.varea[::3] = 0
    layout.run(
        tables(("{subject}/loc.dscalar.nii", "z"), task='"loc"', dataset=f'"{tmp_path}/c"')
        + tables(("{subject}/main.dscalar.nii", "effect"), task='"main"', dataset=f'"{tmp_path}/c"')
        + described
    )
    layout.check("bc", "UL")


@pytest.mark.parametrize("called", ['"FACE"', '"2BK-FACE"', '"2BKFACE"'])
def test_maps_of_a_cifti_file_are_given_names(tmp_path, called):
    layout = Layout(tmp_path)
    described = add_cifti_retinotopy(layout)
    words = "FACE" if called == '"FACE"' else "2BK-FACE"
    for label, known in layout.people.items():
        z, effect = ({h: getattr(of, kind) for h, of in known.items()} for kind in ("z", "effect"))
        cifti(tmp_path / f"c/{label}/loc.dscalar.nii", [z], ScalarAxis(["UL"]))
        cifti(tmp_path / f"c/{label}/main.dscalar.nii", [z, effect], ScalarAxis(["b", words]))
        for of in known.values():
            of.varea[::3] = 0
    names = f'{{ {called} = "face-s", UL = "upper" }}'
    dataset = f'"{tmp_path}/c"'
    config = "".join(
        tables((f"{{subject}}/{t}.dscalar.nii", stat), task=f'"{t}"', names=names, dataset=dataset)
        for t, stat in (("loc", "z"), ("main", "effect"))
    )
    layout.run(config + described, "--contrasts", "faces")
    layout.check("faces", "upper")


def test_one_folder_for_each_task(tmp_path):
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    for label, hemi, of in layout.hemispheres():
        for task, stat, values in (("loc", "z", of.z), ("att", "effect", of.effect)):
            gifti(
                layout.bids / f"derivatives/firstlevel/task-{task}/sub-{label}"
                f"/{stat}map_A_{hemi.lower()}.gii",
                values,
            )
    layout.run(
        tables(
            *(
                (f"task-{{task}}/{{subject}}/{s}map_{{contrast}}_{{hemi}}.gii", s)
                for s in ("z", "effect")
            ),
            dataset='"firstlevel"',
            space='"individual"',
        )
    )
    layout.check("A", "A", task="att")


def test_fsfast(tmp_path):
    """Both statistics, and the variance of each of two runs, in shapes that FreeSurfer writes."""
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    for label, hemi, of in layout.hemispheres():
        bold = tmp_path / f"fsfast/sess{label}/bold"
        p = np.log10(2) + stats.norm.logsf(np.abs(of.z.astype("f8"))) / np.log(10)
        sig = (-np.sign(of.z) * p).reshape((30, 1, 5), order="F")
        nifti(bold / f"loc.{SIDE[hemi]}/S-v-N/sig.nii.gz", sig)
        nifti(bold / f"main.{SIDE[hemi]}/f-vs-o/ces.nii.gz", of.effect.reshape(N, 1, 1))
        nifti(bold / f"main.{SIDE[hemi]}/f-vs-o/cesvar.nii.gz", of.effect.reshape(N, 1, 1))
    datasets = ("-d", f"fsfast={tmp_path}/fsfast", layout.bids / "sourcedata/freesurfer")
    layout.run(documented("FreeSurfer (FS-FAST)"), *datasets)
    layout.check("fvso", "SvN")


@pytest.mark.parametrize("ending", ["gii", "gii.dset"])
def test_afni(tmp_path, ending):
    """Arrays are chosen by their names; files without them are passed over."""
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    for label, hemi, of in layout.hemispheres():
        folder, noise = tmp_path / f"afni/sub-{label}", RNG.normal(size=N)
        gifti(
            folder / f"loc.results/stats.sub-{label}.{SIDE[hemi]}.{ending}",
            *(noise, noise, of.z, noise),
            names=["Full_Fstat", "UL#0_Coef", "UL#0_Tstat", "UL_Fstat"],
        )
        gifti(
            folder / f"main.results/stats.sub-{label}.{SIDE[hemi]}.{ending}",
            *(noise, of.effect),
            names=["Full_Fstat", "faces#0_Coef"],
        )
    layout.run(
        documented("AFNI"),
        *("-d", f"afni={tmp_path}/afni", layout.bids / "sourcedata/freesurfer"),
    )
    z = {
        label: {hemi: to_z(of.z, 180) for hemi, of in known.items()}
        for label, known in layout.people.items()
    }
    layout.check(z=z)


def test_spm_takes_contrast_and_degrees_of_freedom_from_the_header(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("T1w")
    for label, of in layout.people.items():
        folder = layout.bids / f"derivatives/spm/sub-{label}/first"
        loc, main = (folder / task for task in ("visloc", "main"))
        nifti(loc / "spmT_0001.nii", of.z, "SPM{T_[180.0]} - contrast 1: faces")
        nifti(main / "con_0002.nii", of.effect, "SPM contrast - 2: attend")
    layout.run(documented("SPM and bidspm"))
    z = {label: to_z(of.z, 180) for label, of in layout.people.items()}
    layout.check("attend", "faces", z=z)


def test_feat_as_documented(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("MNI152NLin6Asym")
    z = {}
    for label, of in layout.people.items():
        folder = layout.bids / f"derivatives/feat/sub-{label}"
        loc, main = (
            folder / f"sub-{label}_task-{t}.gfeat/cope1.feat/stats" for t in ("loc", "main")
        )
        df = RNG.uniform(5, 50, SHAPE).astype("f4")
        nifti(loc / "tstat1.nii.gz", of.z)
        nifti(loc / "tdof_t1.nii.gz", df)
        nifti(main / "cope1.nii.gz", of.effect)
        z[label] = to_z(of.z, df.astype("f8"))
    layout.run(documented("FSL FEAT"))
    layout.check("1", "1", z=z)


def test_halfpipe_in_a_template(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("MNI152NLin2009cAsym")
    for label, of in layout.people.items():
        for task, stat, values in (("visloc", "z", of.z), ("main", "effect", of.effect)):
            folder = layout.bids / f"derivatives/halfpipe/sub-{label}/func/task-{task}"
            start = f"sub-{label}_task-{task}_feature-a_taskcontrast-faceGtOther"
            nifti(folder / f"{start}_stat-{stat}_statmap.nii.gz", values)
            nifti(folder / f"{start}_stat-dof_statmap.nii.gz", values)
            nifti(folder / f"{start}_mask.nii.gz", values)
    layout.run(documented("HALFpipe"))
    layout.check("faceGtOther", "faceGtOther")


def test_fitlins_subject_level(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("MNI152NLin2009cAsym")
    for label, of in layout.people.items():
        for task, stat, values in (("floc", "z", of.z), ("main", "effect", of.effect)):
            node = tmp_path / f"fitlins/task-{task}/node-subjectLevel/sub-{label}"
            nifti(node / f"sub-{label}_contrast-A_stat-{stat}_statmap.nii.gz", values)
            group = tmp_path / f"fitlins/task-{task}/node-onesampleT"
            nifti(group / f"contrast-A_stat-{stat}_statmap.nii.gz", values)
    atlas = layout.bids / "derivatives/atlas"
    layout.run(documented("FitLins, subject level"), "-d", f"fitlins={tmp_path}/fitlins", atlas)
    layout.check("A", "A")


def test_nilearn_on_surfaces_with_two_models(tmp_path):
    """Runs of two sessions are combined by their variances, as named ones are."""
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    runs = {}
    for label, hemi, _ in layout.hemispheres():
        for task, session, run in (
            *(("floc", "02", "1"), ("floc", "02", "2"), ("floc", "03", "1")),
            *(("main", "02", "1"), ("main", "02", "2"), ("main", "03", "1")),
        ):
            for model in ("RTDur", "NoRT"):
                effect = RNG.normal(0.2, 1, N).astype("f4")
                variance = RNG.uniform(0.5, 2, N).astype("f4")
                if model == "RTDur":
                    pair = effect.astype("f8"), variance.astype("f8")
                    runs.setdefault((label, hemi, task), []).append((session, *pair))
                start = (
                    f"sub-{label}_ses-{session}_task-{task}_run-{run}_hemi-{hemi}_contrast-C"
                    f"_rtmodel-{model}_stat"
                )
                folder = tmp_path / f"lev1/sub-{label}/task-{task}/indiv_contrasts"
                gifti(folder / f"{start}-effect_size.func.gii", effect)
                gifti(folder / f"{start}-effect_variance.func.gii", variance)
                gifti(folder / f"{start}-z_score.func.gii", effect / np.sqrt(variance))
    layout.run(
        documented("nilearn under names of your own"),
        *("-d", f"lev1={tmp_path}/lev1", layout.bids / "sourcedata/freesurfer"),
        *("--localizer-threshold", 0.5),
    )
    for label, hemi, of in layout.hemispheres():
        localizer = runs[label, hemi, "floc"]
        z = sum(e / v for _, e, v in localizer) / np.sqrt(sum(1 / v for _, _, v in localizer))
        main = [(e, v) for session, e, v in runs[label, hemi, "main"] if session == "02"]
        combined = sum(e / v for e, v in main) / sum(1 / v for _, v in main)
        (path,) = (tmp_path / "out").glob(f"sub-{label}/**/*_desc-roi_estimates.tsv")
        (row,) = [
            row
            for row in read_tsv(path)
            if (row["session"], row["task"], row["hemi"]) == ("02", "main", hemi)
        ]
        assert float(row["estimate"]) == pytest.approx(combined[of.inside & (z > 0.5)].mean())
        assert row["n_runs"] == "2"


def test_cifti_of_one_frame(tmp_path):
    layout = Layout(tmp_path, labels=("100610", "102311"))
    for label, known in layout.people.items():
        maps = [{h: getattr(of, kind) for h, of in known.items()} for kind in ("varea", "eccen")]
        cifti(
            tmp_path / f"prf/{label}/prf.dscalar.nii", maps, ScalarAxis(["areas", "eccentricity"])
        )
        for task, name, kind in (("FLOC", "zstat1", "z"), ("WM", "cope1", "effect")):
            feat = f"tfMRI_{task}/tfMRI_{task}_hp200_level2.feat/GrayordinatesStats/cope9.feat"
            cifti(
                tmp_path / f"hcp/{label}/MNINonLinear/Results/{feat}/{name}.dtseries.nii",
                [{h: getattr(of, kind) for h, of in known.items()}],
                SeriesAxis(0, 1, 1),
            )
        for of in known.values():
            of.varea[::3] = 0  # where these files have no value
    layout.run(
        documented("CIFTI of the Human Connectome Project"),
        *("-d", f"hcp={tmp_path}/hcp", f"prf={tmp_path}/prf", "--localizer-task", "floc"),
    )
    layout.check("9", "9", task="WM")


def test_numbers_units_and_conventions_of_retinotopy(tmp_path):
    layout = Layout(tmp_path)
    layout.add_named_maps()
    numbers = {0: [0], 1: [1, 2], 2: [3, 4], 3: [5, 6]}
    for label, hemi, of in layout.hemispheres():
        folder = tmp_path / f"prf/sub-{label}/label"
        area = np.array([RNG.choice(numbers[int(value)]) for value in of.varea])
        angle = RNG.uniform(1, 179, N) * (1 if hemi == "L" else -1)  # clockwise from above
        explained = RNG.uniform(0, 60, N).astype("f4")
        write_mgz(folder / f"{SIDE[hemi]}.prf-visualrois.mgz", area, "i4")
        write_mgz(folder / f"{SIDE[hemi]}.prf-ecc-pixels.mgz", of.eccen / 0.08)
        write_mgz(folder / f"{SIDE[hemi]}.prf-ang.mgz", (90 - angle) % 360)
        write_mgz(folder / f"{SIDE[hemi]}.prf-R2.mgz", explained)
        chosen = (explained > 10) & (np.abs(angle) < 90)
        of.varea[~chosen] = 0
    layout.run(
        documented("Areas of other numbers, pixels, and angles of analyzePRF"),
        *("-d", layout.bids / "derivatives/glm", f"prf={tmp_path}/prf"),
        *("--polar-angle", -90, 90, "--min-variance-explained", 0.1),
    )
    layout.check()


def test_one_atlas_for_everybody(tmp_path):
    """Averages of participants lie beside them, and are not processed."""
    layout = Layout(tmp_path, labels=("100610", "P01"))
    layout.add_named_maps()
    atlas = {hemi: RNG.integers(0, 4, N) for hemi in "LR"}
    for hemi in "LR":
        write_mgz(tmp_path / f"prf/atlas/{SIDE[hemi]}.varea.mgz", atlas[hemi], "i4")
    for label, hemi, of in layout.hemispheres():
        of.varea = atlas[hemi]
        for folder in (label, "999997"):
            write_mgz(tmp_path / f"prf/results/{folder}/{SIDE[hemi]}.fit1_ecc.mgz", of.eccen)
            write_mgz(tmp_path / f"prf/results/{folder}/{SIDE[hemi]}.fit2_ecc.mgz", of.eccen / 2)
    datasets = ("-d", layout.bids / "derivatives/glm", f"prf={tmp_path}/prf")
    layout.run(documented("One atlas for everybody"), *datasets)
    layout.check()


@pytest.mark.parametrize("how", ["space", "subject"])
def test_the_atlas_of_a_template(tmp_path, how):
    layout = Layout(tmp_path)
    for known in layout.people.values():
        for hemi in "LR":
            known[hemi] = Known((10242,))
    for _, hemi, of in layout.hemispheres():
        first = layout.people["01"][hemi]
        of.varea, of.eccen = first.varea, first.eccen
        surf = tmp_path / "fs/fsaverage5/surf"
        write_mgz(surf / f"{SIDE[hemi]}.benson14_varea.v4_0.mgz", of.varea, "i4")
        write_mgz(surf / f"{SIDE[hemi]}.benson14_eccen.v4_0.mgz", of.eccen)
    layout.add_named_maps("fsaverage5")
    config = documented("The atlas of a template").replace("\nspace", f"\n{how}")
    datasets = ("-d", layout.bids / "derivatives/glm", f"freesurfer={tmp_path}/fs")
    layout.run(config, *datasets)
    layout.check()


ATLASES = [
    ("fsaverage5", "fsaverage5", ".mgz"),
    ("fsaverage5", "fsaverage_den-10k", ".v4_0.mgz"),
    ("fsaverage3", "fsaverage3", ".func.gii"),
    ("fsaverage4", "fsaverage4", ""),
]


@pytest.mark.parametrize(("template", "space", "ending"), ATLASES)
def test_an_atlas_beside_the_participants_serves_maps_on_its_template(
    tmp_path, template, space, ending
):
    layout = Layout(tmp_path)
    n = {"fsaverage3": 642, "fsaverage4": 2562, "fsaverage5": 10242}[template]
    first = {hemi: Known((n,)) for hemi in "LR"}
    write = gifti if ending.endswith("gii") else write_mgz
    write = write if ending else write_curv
    for known in layout.people.values():
        for hemi in "LR":
            known[hemi] = Known((n,))
            known[hemi].varea, known[hemi].eccen = first[hemi].varea, first[hemi].eccen
    layout.add_named_maps(space)
    surf = layout.bids / "sourcedata/freesurfer" / template / "surf"
    surf.mkdir(parents=True)
    for hemi in "LR":
        write(surf / f"{SIDE[hemi]}.benson14_varea{ending}", first[hemi].varea)
        write(surf / f"{SIDE[hemi]}.benson14_eccen{ending}", first[hemi].eccen)
    said = layout.run("")
    assert f"the same for all participants in {template}" in said
    layout.check()


def test_who_has_a_retinotopy_does_not_get_the_atlas_of_the_template(tmp_path):
    layout = Layout(tmp_path)
    for hemi in "LR":  # participant 01 has the template's surface as its own
        layout.people["01"][hemi] = Known((10242,))
        layout.people["02"][hemi] = Known((10242,))
        layout.people["02"][hemi].varea = np.zeros(10242, "f4")
    layout.add_named_maps("fsaverage5")
    own = layout.bids / "derivatives/glm/sub-01"
    surf = layout.bids / "sourcedata/freesurfer/fsaverage5/surf"
    for hemi, of in layout.people["01"].items():
        start = own / f"sub-01_hemi-{hemi}_space-fsaverage5_desc-prf_"
        gifti(start.with_name(f"{start.name}varea.func.gii"), of.varea)
        gifti(start.with_name(f"{start.name}eccen.func.gii"), of.eccen)
        write_mgz(surf / f"{SIDE[hemi]}.benson14_varea.mgz", of.varea * 0)
        write_mgz(surf / f"{SIDE[hemi]}.benson14_eccen.mgz", of.eccen)
    layout.run("")
    assert layout.found("01", "L") == pytest.approx(layout.people["01"]["L"].mean(), abs=1e-9)
    assert estimates(tmp_path / "out", "02")["main", "faces", "UL", "L"]["status"] == "empty_roi"
    asked = layout.run("retinotopy-source = 'benson14'")
    assert "the same for all participants" in asked
    assert estimates(tmp_path / "out", "01")["main", "faces", "UL", "L"]["status"] == "empty_roi"


def test_maps_on_the_participants_own_surface_get_no_atlas_of_a_template(tmp_path):
    layout = Layout(tmp_path)
    layout.add_named_maps("fsnative")
    surf = layout.bids / "sourcedata/freesurfer/fsaverage/surf"
    for hemi in "LR":
        write_mgz(surf / f"{SIDE[hemi]}.benson14_varea.mgz", np.ones(N))
        write_mgz(surf / f"{SIDE[hemi]}.benson14_eccen.mgz", np.ones(N))
    finished = run_here(layout.bids, tmp_path / "out", "participant", "--no-report")
    assert finished.returncode
    assert "no retinotopy found" in finished.stderr


@pytest.mark.parametrize("name", ["lh.V1_exvivo.label", "lh.wang15_mplbl.mgz"])
def test_areas_in_files_of_their_own_come_from_the_template_too(tmp_path, name):
    layout = Layout(tmp_path)
    first = {hemi: Known((642,)) for hemi in "LR"}
    template = layout.bids / "sourcedata/freesurfer/fsaverage3"
    for known in layout.people.values():
        for hemi in "LR":
            known[hemi] = Known((642,))
            known[hemi].varea, known[hemi].eccen = first[hemi].varea, first[hemi].eccen
    layout.add_named_maps("fsaverage3")
    for hemi, of in first.items():
        write_mgz(template / f"surf/{SIDE[hemi]}.benson14_eccen.mgz", of.eccen)
        path = template / "label" / name.replace("lh.", f"{SIDE[hemi]}.")
        path.parent.mkdir(exist_ok=True)
        if name.endswith("label"):
            rows = [f"{vertex} 0 0 0 0" for vertex in np.flatnonzero(of.varea == 1)]
            path.write_text("\n".join(["#!ascii label", str(len(rows)), *rows, ""]))
        else:
            write_mgz(path, of.varea, "i4")
    label = "" if name.endswith("label") else ":1"
    layout.run(f"visual-areas = ['{name.removeprefix('lh.')}{label}']")
    layout.check()


def test_eccentricity_predicted_by_deep_learning(tmp_path):
    """It takes the place of neuropythy's, whose areas stay."""
    layout = Layout(tmp_path)
    layout.add_named_maps()
    layout.add_freesurfer()
    for label, hemi, of in layout.hemispheres():
        of.eccen = RNG.uniform(0.1, 9, N).astype("f4")
        folder = layout.bids / f"sourcedata/freesurfer/sub-{label}/deepRetinotopy"
        start = f"sub-{label}.predicted_"
        gifti(folder / f"{start}eccentricity_model.{SIDE[hemi]}.native.func.gii", of.eccen)
        gifti(folder / f"{start}polarAngle_model.{SIDE[hemi]}.native.func.gii", of.eccen * 40)
    layout.run(documented("Eccentricity predicted by deep learning"))
    layout.check()


def test_a_glm_of_your_own(tmp_path):
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    for label, hemi, of in layout.hemispheres():
        folder = layout.bids / f"derivatives/glm/sub-{label}"
        gifti(folder / f"loc/faces-v-houses_hemi-{hemi}_tmap.func.gii", of.z)
        gifti(folder / f"main/attend_hemi-{hemi}_beta.func.gii", of.effect)
    layout.run(documented("fMRIPrep and a GLM of your own"))
    z = {
        label: {hemi: to_z(of.z, 180) for hemi, of in known.items()}
        for label, known in layout.people.items()
    }
    layout.check("attend", "facesvhouses", z=z)


def test_retinotopy_in_the_arrays_of_one_file(tmp_path):
    layout = Layout(tmp_path)
    layout.add_named_maps()
    for label, hemi, of in layout.hemispheres():
        folder = tmp_path / f"pp_data/sub-{label}/fsnative"
        noise = RNG.normal(size=N)
        gifti(
            folder / f"prf/prf_derivatives/sub-{label}_task-pRF_hemi-{hemi}_fmriprep_dct_avg"
            "_prf-deriv_gauss_gridfit.func.gii",
            *(noise, of.eccen, noise),
        )
        gifti(folder / f"rois/sub-{label}_hemi-{hemi}_rois.func.gii", of.varea)
    datasets = ("-d", layout.bids / "derivatives/glm", f"pp={tmp_path}/pp_data")
    layout.run(documented("Several arrays in one file"), *datasets)
    layout.check()


def test_values_of_t_and_one_table_for_each_hemisphere(tmp_path):
    """Frames of MGZ files by number, hemispheres as constants, and runs that are pooled."""
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    noise = RNG.normal(size=N)
    for label, hemi, of in layout.hemispheres():
        side = "links" if hemi == "L" else "rechts"
        frames = np.stack([noise, of.z], axis=-1).reshape(N, 1, 1, 2)
        path = tmp_path / f"nsd/subj{label}/{side}/floc-facestval.mgz"
        write_mgz(path, frames, shape=frames.shape)
        nifti(
            path.with_name("main-attend.nii.gz"),
            np.stack([of.effect, noise], axis=-1).reshape(N, 1, 1, 2),
        )
    dataset = f'"{tmp_path}/nsd"'
    config = "".join(
        tables(
            (f"subj{{subject}}/{side}/{{task}}-{{contrast}}tval.mgz", "tstat"),
            dataset=dataset,
            df=20,
            array=1,
            hemi=f'"{hemi}"',
        )
        + tables(
            (f"subj{{subject}}/{side}/{{task}}-{{contrast}}.nii.gz", "beta"),
            dataset=dataset,
            array=0,
            hemi=f'"{hemi}"',
        )
        for hemi, side in (("left", "links"), ("R", "rechts"))
    )
    layout.run(config)
    z = {
        label: {hemi: to_z(of.z, 20) for hemi, of in known.items()}
        for label, known in layout.people.items()
    }
    layout.check("attend", "faces", z=z)


def test_one_volume_of_an_atlas_for_everybody(tmp_path):
    layout = Layout(tmp_path, volume=True)
    first = layout.people["01"]
    for label, of in layout.people.items():
        of.varea, of.eccen = first.varea, first.eccen
        folder = layout.bids / f"derivatives/glm/sub-{label}/func"
        for task, stat, values in (("loc", "z", of.z), ("main", "effect", of.effect)):
            name = f"sub-{label}_task-{task}_space-MNI152NLin6Asym_contrast-A_stat-{stat}_statmap"
            nifti(folder / f"{name}.nii.gz", values)
    nifti(tmp_path / "atlas/areas.nii.gz", first.varea * 10)
    nifti(tmp_path / "atlas/ecc.nii.gz", first.eccen)
    layout.run(
        "".join(
            f"""
[[retinotopy]]
dataset = "{tmp_path}/atlas"
pattern = "{name}.nii.gz"
map = "{kind}"
source = "atlas"
space = "MNI152NLin6Asym"
{more}
"""
            for name, kind, more in (
                ("areas", "varea", "areas = { V1 = 10, V2 = [20] }"),
                ("ecc", "eccen", ""),
            )
        )
    )
    layout.check("A", "A")


@pytest.mark.parametrize(
    ("participants", "folders"),
    [
        (("01", "10"), ("subj1", "subj10")),
        (("1", "10"), ("subj001", "subj010")),
        (("P01", "P11"), ("subjp001", "subjp011")),
        (("1", "01"), ("subj1", "subj01")),
    ],
)
def test_numbers_of_participants_with_other_zeros(tmp_path, participants, folders):
    layout = Layout(tmp_path, labels=participants)
    layout.add_freesurfer()
    folder_of = dict(zip(participants, folders, strict=True))
    for label, hemi, of in layout.hemispheres():
        for name, values in (("loc.UL.z", of.z), ("main.faces.effect", of.effect)):
            write_mgz(tmp_path / f"glm/{folder_of[label]}/{SIDE[hemi]}.{name}.mgz", values)
    pattern = "subj{{subject}}/{{hemi}}.{{task}}.{{contrast}}.{}.mgz"
    layout.run(
        tables(
            *((pattern.format(stat), stat) for stat in ("z", "effect")),
            dataset=f'"{tmp_path}/glm"',
            space='"fsnative"',
        )
    )
    layout.check()


def test_contrasts_that_differ_in_signs_only_need_names(tmp_path):
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    for label, hemi, of in layout.hemispheres():
        for name, values in (
            ("loc (faces > houses) z", of.z),
            ("main A+B effect", of.effect + 1),
            ("main A-B effect", of.effect),
        ):
            gifti(tmp_path / f"glm/S{label}/{SIDE[hemi].upper()} {name}.GII", values)
    pattern = "S{{subject}}/{{hemi}} {{task}} {{contrast}} {}.GII"
    config = tables(
        *((pattern.format(stat), stat) for stat in ("z", "effect")),
        dataset=f'"{tmp_path}/glm"',
        space='"fsnative"',
    )
    with pytest.raises(AssertionError, match="give the contrasts names in the"):
        layout.run(config)
    layout.run(config.replace("space", 'names = { "A-B" = "AminusB", "A+B" = "AplusB" }\nspace'))
    layout.check("AminusB", "faceshouses")


def test_the_recipe_for_prfanalyze_puts_values_in_their_places(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs/howto/retinotopy.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"## prfprepare and prfanalyze\n.*?```python\n(.*?)```", page, re.DOTALL)
    folder = tmp_path / "derivatives/prfanalyze-vista/analysis-01/sub-01/ses-01"
    masks = tmp_path / "derivatives/prfprepare/analysis-01/sub-01/ses-01/func"
    surf = tmp_path / "derivatives/freesurfer/sub-01/surf"
    for made in (folder, masks, surf):
        made.mkdir(parents=True)
    for name, values in (("centerx0", [3.0, 0.0, -6.0]), ("centery0", [4.0, 2.0, 8.0])):
        image = nib.Nifti2Image(np.reshape(values, (3, 1, 1, 1)), np.eye(4))
        nib.save(image, folder / f"sub-01_ses-01_task-bar_run-01_hemi-L_{name}.nii.gz")
    described = {"thisHemiSize": 6, "roiIndFsnative": [5, 1], "roiIndBold": [0, 2]}
    name = "sub-01_ses-01_hemi-L_desc-V1-benson_maskinfo.json"
    (masks / name).write_text(json.dumps(described))
    monkeypatch.chdir(tmp_path)
    exec(recipe, {})
    written = nib.load(surf / "lh.prf_eccen.mgz").get_fdata().ravel()
    np.testing.assert_array_equal(written, [np.nan, 10, np.nan, np.nan, np.nan, 5])
