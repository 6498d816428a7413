"""Layouts of real studies and tools, built in small and described by tables.

Every number equals that of an independent computation.
"""

from dataclasses import dataclass, field

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis, SeriesAxis
from scipy import stats
from study import describe, estimates, read_tsv, run_here, write_mgz

N = 150
SHAPE = (5, 6, 7)
AFFINE = np.array([[-4, 0, 0, 8.0], [0, 4, 0, -12], [0, 0, 4, -12], [0, 0, 0, 1]])
SIDE = {"L": "lh", "R": "rh"}
RNG = np.random.default_rng(5)


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

    def check(self, contrast="faces", roi="UL", *, z=None):
        """Compare every estimate; `z` are the values to expect instead of those that are known."""
        for label, known in self.people.items():
            here = None if z is None else z[label]
            if isinstance(known, Known):
                expected = {"both": known.mean(here)}
            else:
                expected = {h: of.mean(here and here[h]) for h, of in known.items()}
                expected["both"] = pooled(known, here)
            for hemi, value in expected.items():
                assert self.found(label, hemi, contrast, roi) == pytest.approx(value, abs=1e-9)


def tables(*given, **constants):
    """Write tables with a pattern and a statistic each, and what they have in common."""
    common = "".join(f"{key} = {value}\n" for key, value in constants.items())
    return "".join(f"[[maps]]\npattern = '{p}'\nstat = '{stat}'\n{common}\n" for p, stat in given)


def test_afni_arrays_by_name(tmp_path):
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    for label, hemi, of in layout.hemispheres():
        folder = tmp_path / f"afni/sub-{label}"
        noise = RNG.normal(size=N)
        gifti(
            folder / f"loc.results/stats.sub-{label}.{SIDE[hemi]}.gii",
            *(noise, noise, of.z, noise),
            names=["Full_Fstat", "UL#0_Coef", "UL#0_Tstat", "UL_Fstat"],
        )
        gifti(
            folder / f"main.results/stats.sub-{label}.{SIDE[hemi]}.gii",
            *(noise, of.effect),
            names=["Full_Fstat", "faces#0_Coef"],
        )
    config = f"""
derivatives = ["afni={tmp_path}/afni", "{layout.bids}/sourcedata/freesurfer"]
""" + "".join(
        f"""
[[maps]]
dataset = "afni"
pattern = "{{subject}}/{task}.results/stats.*.{{hemi}}.gii"
task = "{task}"
array = "{contrast}#0_{array}"
contrast = "{contrast}"
stat = "{stat}"
space = "fsnative"
{"df = 180" if stat == "t" else ""}
"""
        for task, contrast, array, stat in (
            ("loc", "UL", "Tstat", "t"),
            ("main", "faces", "Coef", "effect"),
        )
    )
    layout.run(config)
    z = {
        label: {hemi: to_z(of.z, 180) for hemi, of in known.items()}
        for label, known in layout.people.items()
    }
    layout.check(z=z)


def test_bidspm_takes_degrees_of_freedom_from_the_header(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("T1w")
    for label, of in layout.people.items():
        folder = layout.bids / f"derivatives/bidspm-stats/sub-{label}"
        loc, main = (folder / f"task-{t}_space-individual_FWHM-6" for t in ("visloc", "main"))
        nifti(loc / "spmT_0001.nii", of.z, "SPM{T_[180.0]} - contrast 1: faces")
        nifti(main / "con_0002.nii", of.effect, "SPM contrast - 2: attend")
    start = "{subject}/task-{task}_space-individual_FWHM-6/"
    layout.run(
        tables(
            (start + "spmT_{contrast}.nii", "t"),
            (start + "con_{contrast}.nii", "effect"),
            dataset='"bidspm-stats"',
            space='"individual"',
            names='{ "0001" = "faces", "0002" = "attend" }',
        )
    )
    layout.check(
        "attend", "faces", z={label: to_z(of.z, 180) for label, of in layout.people.items()}
    )


@pytest.mark.parametrize("df", ["dof", "tdof_t1.nii.gz", "../dof"])
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


def test_halfpipe_in_a_template(tmp_path):
    layout = Layout(tmp_path, volume=True)
    space = "MNI152NLin2009cAsym"
    layout.add_volumes_of_retinotopy(space)
    for label, of in layout.people.items():
        for task, stat, values in (("visloc", "z", of.z), ("main", "effect", of.effect)):
            folder = layout.bids / f"derivatives/halfpipe/sub-{label}/func/task-{task}"
            start = f"sub-{label}_task-{task}_feature-a_taskcontrast-faceGtOther"
            nifti(folder / f"{start}_stat-{stat}_statmap.nii.gz", values)
            nifti(folder / f"{start}_stat-dof_statmap.nii.gz", values)
            nifti(folder / f"{start}_mask.nii.gz", values)
    pattern = "{{subject}}/func/task-{{task}}/*_taskcontrast-{{contrast}}_stat-{}_statmap.nii.gz"
    layout.run(
        tables(
            *((pattern.format(stat), stat) for stat in ("z", "effect")),
            dataset='"halfpipe"',
            space=f'"{space}"',
        )
    )
    layout.check("faceGtOther", "faceGtOther")


def test_fitlins_subject_level(tmp_path):
    layout = Layout(tmp_path, volume=True)
    space = "MNI152NLin2009cAsym"
    layout.add_volumes_of_retinotopy(space)
    for label, of in layout.people.items():
        for task, stat, values in (("floc", "z", of.z), ("main", "effect", of.effect)):
            node = tmp_path / f"fitlins/task-{task}/node-subjectLevel/sub-{label}"
            nifti(node / f"sub-{label}_contrast-A_stat-{stat}_statmap.nii.gz", values)
            group = tmp_path / f"fitlins/task-{task}/node-onesampleT"
            nifti(group / f"contrast-A_stat-{stat}_statmap.nii.gz", values)
    pattern = (
        "task-{{task}}/node-subjectLevel/sub-{{subject}}/sub-*_contrast-{{contrast}}"
        "_stat-{}_statmap.nii.gz"
    )
    layout.run(
        tables(
            *((pattern.format(stat), stat) for stat in ("z", "effect")),
            dataset=f'"{tmp_path}/fitlins"',
            space=f'"{space}"',
        )
    )
    layout.check("A", "A")


def test_nilearn_on_surfaces_with_two_models(tmp_path):
    """Runs of two sessions are combined by their variances, as named ones are."""
    layout = Layout(tmp_path)
    layout.add_freesurfer()
    effects = {}
    for label, hemi, _ in layout.hemispheres():
        for model in ("RTDur", "NoRT"):
            for task in ("floc", "main"):
                for session, run in (("02", "1"), ("02", "2"), ("03", "1")):
                    effect = RNG.normal(0.2, 1, N).astype("f4")
                    variance = RNG.uniform(0.5, 2, N).astype("f4")
                    if model == "RTDur":
                        effects.setdefault((label, hemi, task), []).append(
                            (session, effect.astype("f8"), variance.astype("f8"))
                        )
                    start = (
                        tmp_path / f"lev1/sub-{label}/task-{task}/indiv_contrasts/sub-{label}"
                        f"_ses-{session}_task-{task}_run-{run}_hemi-{hemi}_contrast-C"
                        f"_rtmodel-{model}_stat-"
                    )
                    for stat, values in (
                        ("effect_size", effect),
                        ("effect_variance", variance),
                        ("z_score", effect / np.sqrt(variance)),
                    ):
                        gifti(start.with_name(f"{start.name}{stat}.func.gii"), values)
    pattern = (
        "{{subject}}/task-{{task}}/indiv_contrasts/*_ses-{{session}}_*_run-{{run}}_hemi-{{hemi}}"
        "_contrast-{{contrast}}_rtmodel-RTDur_stat-{}.func.gii"
    )
    layout.run(
        tables(
            (pattern.format("z_score"), "z"),
            (pattern.format("effect_size"), "effect"),
            (pattern.format("effect_variance"), "variance"),
            dataset=f'"{tmp_path}/lev1"',
            space='"fsnative"',
        ),
        *("--localizer-threshold", 0.5),
    )
    for label, hemi, of in layout.hemispheres():
        weights = [1 / variance for _, _, variance in effects[label, hemi, "floc"]]
        means = [e * w for (_, e, _), w in zip(effects[label, hemi, "floc"], weights, strict=True)]
        z = np.sum(means, axis=0) / np.sqrt(np.sum(weights, axis=0))
        roi = of.inside & (z > 0.5)
        of_main = [(e, v) for s, e, v in effects[label, hemi, "main"] if s == "02"]
        combined = sum(e / v for e, v in of_main) / sum(1 / v for _, v in of_main)
        (path,) = (tmp_path / "out").glob(f"sub-{label}/**/*_desc-roi_estimates.tsv")
        (row,) = [
            row
            for row in read_tsv(path)
            if (row["session"], row["task"], row["hemi"]) == ("02", "main", hemi)
        ]
        assert float(row["estimate"]) == pytest.approx(combined[roi].mean())
        assert row["n_runs"] == "2"


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


def test_one_atlas_for_everybody_and_participants_of_any_name(tmp_path):
    """Averages of participants lie beside them; the atlas is in neuropythy's or other numbers."""
    layout = Layout(tmp_path, labels=("100610", "P01"))
    layout.add_named_maps()
    atlas = {hemi: RNG.integers(100, 104, N) for hemi in "LR"}
    for hemi in "LR":
        write_mgz(tmp_path / f"prf/atlas/{SIDE[hemi]}.areas.mgz", atlas[hemi], "i4")
    for label, hemi, of in layout.hemispheres():
        of.varea = np.where((atlas[hemi] == 101) | (atlas[hemi] == 102), 1, 0)
        for folder in (label, "999997"):
            write_mgz(tmp_path / f"prf/results/{folder}/{SIDE[hemi]}.fit1_ecc.mgz", of.eccen / 0.08)
            write_mgz(tmp_path / f"prf/results/{folder}/{SIDE[hemi]}.fit2_ecc.mgz", of.eccen)
    layout.run(
        f"""
retinotopy-source = "fit1"
derivatives = ["{layout.bids}/derivatives/glm", "prf={tmp_path}/prf"]

[[retinotopy]]
dataset = "prf"
pattern = "results/{{subject}}/{{hemi}}.fit1_ecc.mgz"
map = "eccen"
source = "fit1"
scale = 0.08

[[retinotopy]]
dataset = "prf"
pattern = "atlas/{{hemi}}.areas.mgz"
map = "varea"
source = "fit1"
areas = {{ V1 = [101, 102], v2 = 103 }}
"""
    )
    layout.check()


@pytest.mark.parametrize("how", ['subject = "fsaverage4"', 'space = "fsaverage4"'])
def test_the_atlas_of_a_template(tmp_path, how):
    layout = Layout(tmp_path)
    for known in layout.people.values():
        for hemi in "LR":
            known[hemi] = Known((2562,))
    for _, hemi, of in layout.hemispheres():
        first = layout.people["01"][hemi]
        of.varea, of.eccen = first.varea, first.eccen
        surf = tmp_path / "fs/fsaverage4/surf"
        write_mgz(surf / f"{SIDE[hemi]}.benson14_varea.v4_0.mgz", of.varea, "i4")
        write_mgz(surf / f"{SIDE[hemi]}.benson14_eccen.v4_0.mgz", of.eccen)
    layout.add_named_maps("fsaverage4")
    layout.run(
        f'derivatives = ["{layout.bids}/derivatives/glm"]\n'
        + "".join(
            f"""
[[retinotopy]]
dataset = "{tmp_path}/fs"
pattern = "fsaverage4/surf/{{hemi}}.benson14_{kind}.v4_0.mgz"
map = "{kind}"
source = "benson14"
{how}
"""
            for kind in ("varea", "eccen")
        )
    )
    layout.check()


def test_retinotopy_in_the_arrays_of_one_file(tmp_path):
    """pRF parameters in the order of a list, and areas as floats in a file of their own."""
    layout = Layout(tmp_path)
    layout.add_named_maps()
    for label, hemi, of in layout.hemispheres():
        folder = tmp_path / f"pp_data/sub-{label}/fsnative"
        noise = RNG.normal(size=N)
        gifti(
            folder
            / f"prf/prf_derivatives/sub-{label}_task-pRF_hemi-{hemi}_prf-deriv_gauss.func.gii",
            *(noise, of.eccen, noise),
        )
        gifti(folder / f"rois/sub-{label}_hemi-{hemi}_rois.func.gii", of.varea)
    layout.run(
        f"""
derivatives = ["{layout.bids}/derivatives/glm", "pp={tmp_path}/pp_data"]

[[retinotopy]]
dataset = "pp"
pattern = "{{subject}}/fsnative/prf/prf_derivatives/*_hemi-{{hemi}}_prf-deriv_gauss.func.gii"
map = "eccen"
array = 1
source = "gauss"

[[retinotopy]]
dataset = "pp"
pattern = "{{subject}}/fsnative/rois/*_hemi-{{hemi}}_rois.func.gii"
map = "varea"
source = "gauss"
"""
    )
    layout.check()


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
    for label, hemi, of in layout.hemispheres():
        assert layout.found(label, hemi, "A", "A", "att") == pytest.approx(of.mean())
