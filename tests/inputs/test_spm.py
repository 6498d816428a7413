"""Maps of SPM: headers say contrasts and degrees of freedom, folders say task and space."""

import re

import pytest
from study import run_here
from test_layouts import Layout, nifti, to_z

T = "SPM{{T_[{df}]}} - contrast {n}: {name}"


def models(layout, loc, main, ending=".nii", *, effect="Contrast {n}: {name}"):
    """Write the models of everybody: `loc` and `main` are folders inside that of a participant."""
    for label, of in layout.people.items():
        for number, (folder, name) in enumerate(
            ((loc, "faces > houses"), (main, "attend - ignore")), 1
        ):
            path = layout.bids / f"derivatives/spm/sub-{label}" / folder
            said = {"n": number, "name": name, "df": "180.0"}
            nifti(path / f"spmT_{number:04}{ending}", of.z, T.format(**said))
            nifti(path / f"con_{number:04}{ending}", of.effect, effect.format(**said))
            nifti(path / f"beta_0001{ending}", of.z, "spm_spm:beta (0001) - Sn(1) faces*bf(1)")
            nifti(path / f"mask{ending}", of.z > 0)
            (path / "SPM.mat").write_bytes(b"MATLAB 5.0 MAT-file")


def z_of(layout):
    return {label: to_z(of.z, 180) for label, of in layout.people.items()}


@pytest.mark.parametrize(
    ("loc", "main", "ending", "effect"),
    [
        (
            "task-visloc_space-individual_FWHM-6",
            "task-main_space-individual_FWHM-6",
            ".nii",
            "Contrast {n}: {name}",
        ),
        ("task-visloc/space-T1w", "task-main/space-T1w", ".nii.gz", "SPM contrast - {n}: {name}"),
        (
            "stats/task-loc_space-T1w",
            "stats/task-main_space-T1w/run",
            ".NII",
            "spm_spm:beta (0003) - Sn(1) {name}*bf(1)",
        ),
    ],
)
def test_spm_needs_no_table(tmp_path, loc, main, ending, effect):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("T1w")
    models(layout, loc, main, ending, effect=effect)
    layout.run("")
    session = "Sn1" if "Sn(1)" in effect else ""
    layout.check(f"{session}attendignore", f"{session}faceshouses", z=z_of(layout))


def test_in_a_template_and_sessions(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("IXI549Space")
    models(
        layout, "ses-02/task-visloc_space-IXI549Space_FWHM-6", "ses-02/task-main_space-IXI549Space"
    )
    layout.run("session-label = ['02']")
    layout.check("attendignore", "faceshouses", z=z_of(layout))


def test_t_values_are_measured_as_they_are(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("T1w")
    models(layout, "task-visloc_space-T1w", "task-main_space-T1w")
    layout.run("statistic = 't'")
    z = z_of(layout)
    for label, of in layout.people.items():
        expected = float(of.z[of.inside & (z[label] > 1.96)].astype("f8").mean())
        found = layout.found(label, "both", "attendignore", "faceshouses")
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("lacking", ["task", "space", "both"])
def test_what_folders_do_not_say_is_asked_for_with_the_table_that_says_it(tmp_path, lacking):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("T1w")
    folders = {
        "task": ("loc_space-T1w", "main_space-T1w"),
        "space": ("task-visloc_FWHM-6", "task-main_FWHM-6"),
        "both": ("first/loc", "first/main"),
    }[lacking]
    models(layout, *folders)
    refused = run_here(layout.bids, tmp_path / "out", "participant", "--no-report")
    assert refused.returncode
    named = {"task": "task-", "space": "space-", "both": "task- and space-"}[lacking]
    assert f"no name of a folder above it has {named}" in refused.stderr
    written = re.findall(r"^\[\[maps\]\]\n(?:.+\n?)+", refused.stderr, re.MULTILINE)
    assert written

    def complete(table):
        task = "visloc" if "loc" in table.splitlines()[1] else "main"
        table = re.sub(r'task = "\.\.\.".*', f'task = "{task}"', table)
        return re.sub(r'space = "\.\.\.".*', 'space = "T1w"', table)

    # Three tables are shown at most, and a folder for each task needs one for each of them.
    shown = [table for table in written if "loc" in table.splitlines()[1] or "{task}" in table]
    every = dict.fromkeys(t.replace("loc", task) for t in shown for task in ("loc", "main"))
    assert len(every) == (2 if lacking == "space" else 4)
    layout.run("\n".join(map(complete, every)))
    layout.check("attendignore", "faceshouses", z=z_of(layout))


def test_a_table_takes_the_contrast_of_the_header(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("T1w")
    models(layout, "first/loc", "first/main")
    tables = "".join(
        f"[[maps]]\npattern = '{{subject}}/first/{{task}}/{name}_*.nii'\nstat = '{stat}'\n"
        "space = 'T1w'\nnames = { 'attend - ignore' = 'attention' }\n\n"
        for name, stat in (("con", "effect"), ("spmT", "t"))
    )
    layout.run(tables)
    layout.check("attention", "faceshouses", z=z_of(layout))


def test_contrasts_that_are_the_same_in_letters_and_digits_are_an_error(tmp_path):
    layout = Layout(tmp_path, volume=True, labels=("01",))
    layout.add_volumes_of_retinotopy("T1w")
    models(layout, "task-visloc_space-T1w", "task-main_space-T1w")
    of = layout.people["01"]
    folder = layout.bids / "derivatives/spm/sub-01/task-visloc_space-T1w"
    nifti(folder / "con_0002.nii", -of.effect, "Contrast 2: faces < houses")
    refused = run_here(layout.bids, tmp_path / "out", "participant", "--no-report")
    assert refused.returncode
    assert "'faces > houses' and 'faces < houses' have the same letters" in refused.stderr


def test_names_that_headers_cut_are_the_same_for_effect_and_t(tmp_path):
    layout = Layout(tmp_path, volume=True)
    layout.add_volumes_of_retinotopy("T1w")
    models(layout, "task-visloc_space-T1w", "task-main_space-T1w")
    long = "attention to faces in the upper left quadrant of the visual field, houses"
    for label, of in layout.people.items():
        folder = layout.bids / f"derivatives/spm/sub-{label}/task-main_space-T1w"
        nifti(folder / "con_0002.nii", of.effect, f"Contrast 2: {long}"[:79])
        nifti(folder / "spmT_0002.nii", of.z, f"SPM{{T_[180.0]}} - contrast 2: {long}"[:79])
    found = []
    for statistic in ("effect", "t"):
        layout.run(f"statistic = '{statistic}'\ntask-label = ['main']")
        (path,) = (tmp_path / "out").glob("sub-01/**/*_desc-roi_estimates.tsv")
        found.append({line.split("\t")[3] for line in path.read_text().splitlines()[1:]})
    assert found[0] == found[1]
    assert len(found[0]) == 1


def test_maps_without_a_model_beside_them_are_not_taken(tmp_path):
    layout = Layout(tmp_path, volume=True, labels=("01",))
    layout.add_volumes_of_retinotopy("T1w")
    models(layout, "task-visloc_space-T1w", "task-main_space-T1w")
    for path in sorted(layout.bids.rglob("SPM.mat")):
        path.unlink()
    refused = run_here(layout.bids, tmp_path / "out", "participant", "--no-report")
    assert refused.returncode
    assert "spmT_{contrast}.nii" in refused.stderr
