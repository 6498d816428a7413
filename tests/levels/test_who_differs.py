"""Participants who differ from others in how runs are combined, or in the source of retinotopy."""

import shutil

import numpy as np
import pytest
from study import EFFECT, estimates, make_group_study, run_here, write_gifti


@pytest.fixture
def study(tmp_path):
    """Four participants with two runs of the main task; sub-03 lacks a variance of the second."""
    study = make_group_study(tmp_path / "bids")
    for label in study.offsets:
        for hemi, effect in EFFECT.items():
            path = study.map_path(label, "main", hemi, "attend", "effect")
            path.unlink()
            for run, variance in ((1, 1.0), (2, 3.0)):
                name = path.name.replace("_hemi", f"_run-{run}_hemi")
                write_gifti(path.with_name(name), np.asarray(effect) + run, hemi)
                if (label, run, hemi) != ("03", 2, "R"):
                    name = name.replace("stat-effect", "stat-variance")
                    write_gifti(path.with_name(name), np.full(len(effect), variance), hemi)
    return study


def process(study, output, *options):
    return run_here(
        study.root, output, "participant", "--n-procs", "1", "--no-report", *options
    ).returncode


def of_main(output, label):
    """The estimate of a participant above that of the map without what its runs add."""
    row = estimates(output, label)["main", "attend", "left", "both"]
    return float(row["estimate"]) - np.mean([11, 12, 100])


def test_who_is_combined_otherwise_is_told(study, tmp_path, caplog):
    assert process(study, tmp_path / "out") == 0
    # Runs are 1 and 2 higher: 1.25 weighted by variances of 1 and 3, 1.5 as a mean.
    got = {label: of_main(tmp_path / "out", label) for label in study.offsets}
    assert got == pytest.approx({"01": 1.25, "02": 1.25, "03": 1.5, "04": 1.25})
    said = (
        "The maps of task main are combined in another way than those of the first participants "
        "(unweighted mean instead of mean weighted by inverse variance (fixed effects))."
    )
    assert f"sub-03: {said}" in caplog.text
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize(("weights", "expected"), [("equal", 1.5), ("variance", 1.25)])
def test_the_same_combination_for_everybody(study, tmp_path, caplog, weights, expected):
    output = tmp_path / "out"
    assert process(study, output, "--run-weights", weights) == (0 if weights == "equal" else 1)
    assert of_main(output, "01") == pytest.approx(expected)
    if weights == "equal":
        assert of_main(output, "03") == pytest.approx(expected)
    else:
        assert "not every run has maps of effect and variance" in caplog.text
        assert not list(output.glob("sub-03/func/*_estimates.tsv"))
    assert "combined in another way" not in caplog.text


def test_a_pooled_map_for_one_and_runs_for_others(study, tmp_path, caplog):
    for hemi, effect in EFFECT.items():
        for path in study.firstlevel.glob(f"sub-04/func/*task-main_*hemi-{hemi}_*"):
            path.unlink()
        write_gifti(study.map_path("04", "main", hemi, "attend", "effect"), effect, hemi)
    assert process(study, tmp_path / "out") == 0
    assert "sub-04: The maps of task main are combined in another way" in caplog.text
    assert "one map instead of mean weighted by inverse variance" in caplog.text


@pytest.mark.parametrize("have_both", [True, False])
def test_who_has_another_source_of_retinotopy_is_told(study, tmp_path, caplog, have_both):
    for label in ("01", "02", "03"):
        for path in sorted(study.surf(label).glob("*benson14*")):
            shutil.copy(path, path.with_name(path.name.replace("benson14", "inferred")))
            if not have_both:
                path.unlink()
    assert process(study, tmp_path / "out") == 0
    said = "sub-04: Retinotopy benson14 is used, but inferred for the first participants. "
    advice = "--retinotopy-source benson14 makes it the same" if have_both else "No option makes"
    assert said in caplog.text
    assert advice in caplog.text
    if have_both:
        caplog.clear()
        output = tmp_path / "same"
        assert process(study, output, "--retinotopy-source", "benson14") == 0
        assert "and inferred for" not in caplog.text
