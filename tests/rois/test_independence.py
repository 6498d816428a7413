"""Whether a number was measured on the data that defined its ROI, and what to do about it."""

import json

import nibabel as nib
import numpy as np
import pytest
from half_cortex import empty_row
from study import Z, estimates, make_study, read_tsv, write_gifti

from bids_secondlevel.cli.main import main
from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.values import Retinotopy
from bids_secondlevel.rois.define import define_rois
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.independence import average_folds
from bids_secondlevel.rois.measure import region, summarize


def level(study, output, *options):
    return main(
        [str(study.root), str(output), "participant", "--n-procs", "1", "--no-report", *options]
    )


def test_noise_biases_circular_estimates_and_not_cross_validated_ones():
    """Kriegeskorte et al. (2009): selection on noise finds noise that looks like an effect."""
    rng = np.random.default_rng(2009)
    n_vertices, n_runs, n_participants = 400, 4, 60
    maps = Retinotopy(np.ones(n_vertices, int), np.full(n_vertices, 2.0))
    roi = RoiDefinition("a", ("a",))

    def estimate(z, values) -> EstimateRow:
        mask = define_rois([roi], maps, {"a": z})["a"].roi
        return summarize(empty_row(task="loc", contrast="a", roi="a"), [region(mask)], [values])

    circular, crossvalidated = [], []
    for _ in range(n_participants):
        runs = rng.standard_normal((n_runs, n_vertices))
        pooled = runs.sum(axis=0) / np.sqrt(n_runs)
        circular.append(estimate(pooled, runs.mean(axis=0)).estimate)
        folds = []
        for left_out in range(n_runs):
            others = np.delete(runs, left_out, axis=0).sum(axis=0) / np.sqrt(n_runs - 1)
            folds.append(estimate(others, runs[left_out]))
        crossvalidated.append(average_folds(folds)[0].estimate)
    standard_error = np.std(crossvalidated, ddof=1) / np.sqrt(n_participants)
    assert abs(np.mean(crossvalidated)) < 3 * standard_error
    assert np.mean(circular) > 0.9  # all beyond 1.96 in units of z, divided by the root of 4


@pytest.fixture
def runs(tmp_path):
    """A localizer with three runs, in each of which vertex 1 (L) shifts by the run's number."""
    study = make_study(tmp_path / "bids")
    for path in list(study.firstlevel.glob("sub-01/func/*task-loc*")):
        values = np.array(nib.load(path).darrays[0].data)
        for run in (1, 2, 3):
            name = path.name.replace("_hemi", f"_run-{run}_hemi")
            hemi = "L" if "hemi-L" in name else "R"
            shifted = values + run * (np.arange(values.size) == 1) * (hemi == "L")
            write_gifti(path.with_name(name), shifted, hemi)
        path.unlink()
    return study


def test_the_localizer_in_its_own_rois_is_circular_without_cross_validation(runs, output):
    assert level(runs, output) == 0
    row = estimates(output)["loc", "left", "left", "L"]
    assert (row["independence"], row["n_runs"]) == ("circular", "3")


def test_cross_validation_leaves_one_run_out(runs, output):
    assert level(runs, output, "--cross-validate") == 0
    rows = estimates(output)
    row = rows["loc", "left", "left", "L"]
    assert (row["independence"], row["n_runs"], row["status"]) == ("crossvalidated", "3", "ok")
    # By Stouffer, two runs of z at the vertices 1, 2, 3 give more than 1.96 in each fold: 3 too,
    # as 2 x 1.96 / sqrt(2) = 2.77. The effects are z / 2, and vertex 1 adds 1, 2, 3.
    effect = np.array(Z["left"]["L"])[[1, 2, 3]] / 2
    folds = [np.mean(effect + np.array([run, 0, 0])) for run in (1, 2, 3)]
    assert float(row["estimate"]) == pytest.approx(np.mean(folds), rel=1e-6)
    assert row["n_vertices"] == "3"
    assert rows["main", "attend", "left", "L"]["independence"] == "independent"
    assert len(rows) == 18


def test_a_damaged_run_is_told_and_costs_the_cross_validated_estimate(runs, output, caplog):
    (path,) = runs.firstlevel.glob("sub-01/func/*run-2_hemi-L*contrast-left*stat-effect*")
    path.write_bytes(b"rubbish")
    assert level(runs, output, "--cross-validate") == 65
    assert path.name in caplog.text
    row = estimates(output)["loc", "left", "left", "L"]
    assert (row["status"], row["estimate"]) == ("unreadable_map", "n/a")


def test_without_runs_the_estimates_stay_circular_and_it_is_said(study, output, caplog):
    assert level(study, output, "--cross-validate") == 0
    assert "--cross-validate: fewer than two runs of the localizer have" in caplog.text
    assert estimates(output)["loc", "left", "left", "L"]["independence"] == "circular"


def test_cross_validated_estimates_are_tested_at_group_level(runs, output):
    assert level(runs, output, "--cross-validate") == 0
    assert main([str(runs.root), str(output), "group"]) == 0
    found = {
        row["independence"]
        for row in read_tsv(output / "group_statistics.tsv")
        if row["task"] == "loc" and row["roi"] == "left"
    }
    assert found == {"crossvalidated"}


def test_another_session_of_the_localizer_is_independent_data(tmp_path, output):
    study = make_study(tmp_path / "bids")
    for path in list(study.firstlevel.glob("sub-01/func/*task-loc*")):
        for session in ("a", "b"):
            name = path.name.replace("sub-01_", f"sub-01_ses-{session}_")
            path.with_name(name).write_bytes(path.read_bytes())
        path.unlink()
    filters = tmp_path / "filters.json"
    filters.write_text(json.dumps({"localizer": {"session": "a"}}))
    assert level(study, output, "--bids-filter-file", str(filters)) == 0
    (path,) = output.glob("sub-01/func/*_desc-roi_estimates.tsv")
    found = {
        (row["session"], row["independence"]) for row in read_tsv(path) if row["task"] == "loc"
    }
    assert found == {("a", "circular"), ("b", "independent")}


def test_retinotopy_alone_needs_no_localizer_and_is_never_circular(study, output):
    assert level(study, output, "--retinotopy-only") == 0
    rows = estimates(output)
    assert {row["independence"] for row in rows.values()} == {"independent"}
    row = rows["main", "attend", "V1retinotopy", "L"]
    assert (row["estimate"], row["n_vertices"]) == ("12.0", "3")
    assert not list(output.rglob("*desc-localizer*"))
    name = "sub-01_hemi-L_space-fsnative_label-V1retinotopy_desc-combined_mask.label.gii"
    assert (output / "sub-01" / "func" / name).exists()


def test_retinotopy_alone_for_a_study_without_any_localizer(study, output):
    for path in study.firstlevel.glob("sub-01/func/*task-loc*"):
        path.unlink()
    assert level(study, output, "--retinotopy-only") == 0
    assert set(estimates(output)) == {
        ("main", "attend", "V1retinotopy", h) for h in ("L", "R", "both")
    }


class TestSweep:
    def test_it_gives_what_runs_with_these_limits_give(self, study, output, tmp_path):
        options = ["--sweep-thresholds", "1.9", "2.75", "--sweep-eccentricities", "3"]
        assert level(study, output, "--sweep", *options) == 0
        (path,) = output.glob("sub-01/func/*_desc-sweep_estimates.tsv")
        swept = read_tsv(path)
        assert len(swept) == 3 * 18
        for varied, value, option in (
            ("threshold", "1.9", ["--localizer-threshold", "1.9"]),
            ("threshold", "2.75", ["--localizer-threshold", "2.75"]),
            ("eccentricity", "3.0", ["--eccentricity", "0", "3"]),
        ):
            assert level(study, tmp_path / value, *option) == 0
            expected = estimates(tmp_path / value)
            found = {
                (r["task"], r["contrast"], r["roi"], r["hemi"]): r
                for r in swept
                if (r["varied"], r["value"]) == (varied, value)
            }
            assert found.keys() == expected.keys()
            for key, row in found.items():
                for column in ("estimate", "n_vertices", "status", "independence"):
                    assert row[column] == expected[key][column]

    def test_defaults(self, study, output):
        assert level(study, output, "--sweep") == 0
        (path,) = output.glob("sub-01/func/*_desc-sweep_estimates.tsv")
        tried = {(row["varied"], float(row["value"])) for row in read_tsv(path)}
        assert tried == {
            *(("threshold", z) for z in (1.64, 1.96, 2.33, 2.58, 3.09)),
            *(("eccentricity", limit) for limit in (3, 4, 5, 6, 7)),
        }


def test_roi_tables_from_masks_to_group(study, output, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        """
[[roi]]
name = "either"
contrasts = ["left", "right"]
combine = "any"
[[roi]]
name = "leftV2"
contrasts = ["left"]
visual-areas = ["V2"]
min-vertices = 2
"""
    )
    assert level(study, output, "--config", str(config)) == 0
    rows = estimates(output)
    assert rows["main", "attend", "either", "R"]["n_vertices"] == "2"
    small = rows["main", "attend", "leftV2", "L"]
    assert (small["status"], small["n_vertices"]) == ("below_min_vertices", "1")
    names = {path.name for path in output.glob("sub-01/func/*hemi-L*retinotopy_mask.label.gii")}
    assert names == {
        f"sub-01_hemi-L_space-fsnative_label-{label}_desc-retinotopy_mask.label.gii"
        for label in ("V1", "leftV2")
    }
    other = tmp_path / "other"
    settings = output / "logs" / "sub-01_settings.toml"
    again = [str(study.root), str(other), "participant", "--no-report", "--config", str(settings)]
    assert main(again) == 0
    assert estimates(other) == rows
    assert main([str(study.root), str(output), "group"]) == 0
