"""Choices that decide the results are reported at both levels, on pages and in methods texts."""

import json
import re

from study import run_here


def words(path):
    """The text of a page, without marks and line breaks."""
    return " ".join(re.sub("<[^>]+>", " ", path.read_text()).split())


def test_a_localizer_taken_for_its_name_is_reported_at_both_levels(group_study, output, caplog):
    said = "Task loc was taken for the localizer by its name (--localizer-task was not given)."
    assert run_here(group_study.root, output, "participant", "--n-procs", "1").returncode == 0
    assert caplog.text.count(said) == 1
    (sidecar,) = output.glob("sub-01/func/*_desc-roi_estimates.json")
    assert json.loads(sidecar.read_text())["Choices"] == [said]
    assert said in (output / "logs" / "CITATION.md").read_text()
    caplog.clear()
    assert run_here(group_study.root, output, "group").returncode == 0
    assert caplog.text.count(said) == 1
    assert words(output / "group.html").count(said) == 2  # regions of interest, and methods


def test_a_choice_for_some_names_them(group_study, output, caplog):
    arguments = (group_study.root, output, "participant", "--n-procs", "1", "--no-report")
    assert run_here(*arguments, "--localizer-task", "loc").returncode == 0
    assert run_here(*arguments, "--participant-label", "02", "04", "--force").returncode == 0
    caplog.clear()
    assert run_here(group_study.root, output, "group", "--no-report").returncode == 0
    assert "(--localizer-task was not given): sub-02, sub-04." in caplog.text
