"""Choices that decide the results are reported at both levels, on pages and in methods texts."""

import json
import re

from study import EFFECT, run_here, write_gifti


def words(path):
    """The text of a page, without marks and line breaks."""
    return " ".join(re.sub("<[^>]+>", " ", path.read_text()).split())


def test_a_localizer_taken_for_its_name_is_reported_at_both_levels(group_study, output, caplog):
    said = (
        "Task loc is used as the localizer, because of its name (--localizer-task was not given)."
    )
    assert run_here(group_study.root, output, "participant", "--n-procs", "1").returncode == 0
    assert caplog.text.count(said) == 1
    (sidecar,) = output.glob("sub-01/func/*_desc-roi_estimates.json")
    assert json.loads(sidecar.read_text())["Choices"] == [said]
    methods = (output / "logs" / "CITATION.md").read_text()
    assert "localizer contrast in task loc" in methods
    assert "--" not in methods  # how the program was called is not for a paper
    caplog.clear()
    assert run_here(group_study.root, output, "group").returncode == 0
    assert caplog.text.count(said) == 1
    assert words(output / "group.html").count(said) == 1


def test_a_choice_for_some_names_them(group_study, output, caplog):
    arguments = (group_study.root, output, "participant", "--n-procs", "1", "--no-report")
    assert run_here(*arguments, "--localizer-task", "loc").returncode == 0
    assert run_here(*arguments, "--participant-label", "02", "04", "--force").returncode == 0
    caplog.clear()
    assert run_here(group_study.root, output, "group", "--no-report").returncode == 0
    assert "(--localizer-task was not given): sub-02, sub-04." in caplog.text


def with_runs(study, *, without_variance=()):
    """Give everybody two runs of the main task, and variances to all but some in run 2."""
    for label in study.offsets:
        for hemi, effect in EFFECT.items():
            path = study.map_path(label, "main", hemi, "attend", "effect")
            path.unlink()
            for run in ("1", "2"):
                of_run = path.with_name(path.name.replace("_hemi", f"_run-{run}_hemi"))
                write_gifti(of_run, effect, hemi)
                if run == "1" or label not in without_variance:
                    variance = of_run.with_name(of_run.name.replace("stat-effect", "stat-variance"))
                    write_gifti(variance, [2.0] * len(effect), hemi)


WEIGHTED = "mean weighted by inverse variance (fixed effects)"


def test_how_runs_were_combined_is_in_the_methods_text(group_study, output):
    with_runs(group_study)
    arguments = ("--n-procs", "1", "--no-report")
    assert run_here(group_study.root, output, "participant", *arguments).returncode == 0
    said = f"Maps of several runs were combined within each participant (task main): {WEIGHTED}."
    assert said in words(output / "logs" / "CITATION.md")
    assert run_here(group_study.root, output, "group", "--no-report").returncode == 0
    assert said in words(output / "logs" / "CITATION.md")


def test_who_was_combined_in_another_way_is_named(group_study, output, caplog):
    with_runs(group_study, without_variance=["03"])
    arguments = ("--n-procs", "1", "--no-report")
    assert run_here(group_study.root, output, "participant", *arguments).returncode == 0
    (sidecar,) = output.glob("sub-03/func/*_desc-roi_estimates.json")
    assert json.loads(sidecar.read_text())["Combinations"]["task main"] == "unweighted mean"
    caplog.clear()
    assert run_here(group_study.root, output, "group").returncode == 0
    said = (
        "Maps of task main were not combined in the same way for all: unweighted mean for sub-03; "
        f"{WEIGHTED} for sub-01, sub-02, sub-04."
    )
    assert caplog.text.count(said) == 1
    assert words(output / "group.html").count(said) == 2  # regions of interest, and methods
    assert json.loads((output / "group_statistics.json").read_text())["Choices"][-1] == said
    assert "became one" not in words(output / "logs" / "CITATION.md")
