"""Estimates of single runs and what they tell of reliability, run as a user does."""

import json
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bids import BIDSLayout
from scipy import stats
from study import COMMAND, EFFECT, Z, estimates, make_study, opened_below, read_tsv, write_gifti

from bids_secondlevel.cli.main import main
from bids_secondlevel.core.files import Contrast, MapSource, SourceFile

# Shifts of the effect, participant by participant and run by run.
SHIFTS = np.array(
    [[0.0, 1.0, 0.5, 2.0], [3.0, 2.0, 4.0, 3.5], [6.0, 7.0, 5.0, 6.5], [2.0, 4.0, 3.0, 1.0]]
)
LABELS = ("01", "02", "03", "04")
BASE = {"L": 11.5, "R": 100.0, "both": 41.0}  # means of EFFECT in the ROI left
ATTEND = {"task": "main", "contrast": "attend", "roi": "left", "hemi": "both"}


def level(study, output, *options, name="participant"):
    extra = ["--n-procs", "1"] if name == "participant" else []
    return main([str(study.root), str(output), name, "--no-report", *extra, *options])


def write_run(study, label, run, shift, *, session=None, stat="effect", hemispheres="LR"):
    for hemi in hemispheres:
        path = study.map_path(label, "main", hemi, "attend", stat)
        name = path.name.replace("_hemi", f"_run-{run}_hemi") if run else path.name
        if session:
            name = name.replace("_task", f"_ses-{session}_task")
        values = np.array(EFFECT[hemi]) + shift
        if stat == "variance":
            values = np.full(values.size, shift)
        write_gifti(path.with_name(name), values, hemi)


def without_pooled(study):
    for path in study.firstlevel.glob("sub-*/func/*task-main*"):
        path.unlink()


@pytest.fixture
def repeated(tmp_path):
    """Four participants whose runs 1 to 4 of the task main differ by SHIFTS."""
    study = make_study(tmp_path / "bids", dict.fromkeys(LABELS, 0.0))
    without_pooled(study)
    for label, shifts in zip(LABELS, SHIFTS, strict=True):
        for run, shift in enumerate(shifts, start=1):
            write_run(study, label, run, shift)
    return study


@pytest.fixture
def localizer_runs(tmp_path):
    """A localizer with three runs, in each of which vertex 1 (L) shifts by the run's number."""
    study = make_study(tmp_path / "bids")
    for path in list(study.firstlevel.glob("sub-01/func/*task-loc*")):
        values = np.array(nib.load(path).darrays[0].data)
        hemi = "L" if "hemi-L" in path.name else "R"
        for run in (1, 2, 3):
            shifted = values + run * (np.arange(values.size) == 1) * (hemi == "L")
            name = path.name.replace("_hemi", f"_run-{run}_hemi")
            write_gifti(path.with_name(name), shifted, hemi)
        path.unlink()
    return study


def runs_table(output, label="01"):
    (path,) = output.glob(f"sub-{label}/**/*_desc-runs_estimates.tsv")
    return path


def runs(output, label="01", **cell):
    cell = {"task": "main", "roi": "left", "hemi": "both", **cell}
    rows = read_tsv(runs_table(output, label))
    return [row for row in rows if all(row[name] == value for name, value in cell.items())]


def coefficients(output, **cell):
    """Rows of the group's table by session, over and method."""
    rows = [
        row
        for row in read_tsv(output / "group_reliability.tsv")
        if all(row[name] == value for name, value in {**ATTEND, **cell}.items())
    ]
    return {(row["session"], row["over"], row["method"]): row for row in rows}


def icc(values):
    """ICC(2,1) of participants x measurements, loop by loop."""
    n, k = values.shape
    grand = values.mean()
    between = k * sum((row.mean() - grand) ** 2 for row in values) / (n - 1)
    within = n * sum((column.mean() - grand) ** 2 for column in values.T) / (k - 1)
    total = sum((value - grand) ** 2 for value in values.flat)
    error = (total - between * (n - 1) - within * (k - 1)) / ((n - 1) * (k - 1))
    return (between - error) / (between + (k - 1) * error + k * (within - error) / n)


def test_runs_of_a_source_are_ordered_by_number_and_can_be_taken_alone():
    def source(combination, *runs):
        effects = tuple(SourceFile(Path(f"effect{run}"), "") for run in runs)
        variances = tuple(SourceFile(Path(f"variance{run}"), "") for run in runs)
        return MapSource(effects, combination, variances, tuple(("a", run) for run in runs))

    left, right = source("fixed_effects", "2", "10"), source("fixed_effects", "9")
    estimate = Contrast(
        participant_id="sub-01",
        session="a",
        task="main",
        contrast="attend",
        maps={"L": left, "R": right},
        localizers={},
    )
    assert estimate.runs == ("2", "9", "10")
    assert estimate.of_run("10").maps == {"L": source("fixed_effects", "10")}
    assert estimate.of_run("9").maps == {"R": right}
    assert replace(estimate, maps={"R": right}).runs == ()
    assert replace(estimate, maps={}).runs == ()


class TestParticipant:
    def test_every_run_is_measured_in_the_same_rois(self, repeated, output):
        assert level(repeated, output) == 0
        for hemi, base in BASE.items():
            found = runs(output, "02", hemi=hemi)
            assert [(row["run"], float(row["estimate"])) for row in found] == [
                (str(run), base + shift) for run, shift in enumerate(SHIFTS[1], start=1)
            ]
            assert {(row["status"], row["independence"]) for row in found} == {
                ("ok", "independent")
            }
        rows = read_tsv(runs_table(output, "02"))
        assert len(rows) == 4 * 2 * 3  # runs x ROIs x hemispheres: the localizer has single maps
        assert {row["status"] for row in rows if row["roi"] == "right" and row["hemi"] == "L"} == {
            "empty_roi"
        }
        pooled = estimates(output, "02")["main", "attend", "left", "both"]
        assert float(pooled["estimate"]) == 41 + SHIFTS[1].mean()
        assert pooled["n_runs"] == "4"

    def test_a_run_alone_gives_the_same(self, repeated, output, tmp_path):
        effect = np.array(EFFECT["L"])
        effect[2] = np.nan
        (path,) = repeated.firstlevel.glob("sub-01/func/*task-main_run-3_hemi-L*")
        write_gifti(path, effect, "L")
        assert level(repeated, output, "--participant-label", "01") == 0
        of_runs = read_tsv(runs_table(output))
        for run in "1234":
            only = tmp_path / f"only{run}"
            shutil.copytree(repeated.root, only)
            for path in only.glob("derivatives/firstlevel/sub-*/func/*task-main*"):
                if f"_run-{run}_" not in path.name:
                    path.unlink()
            alone = tmp_path / f"out{run}"
            arguments = ["participant", "--n-procs", "1", "--participant-label", "01"]
            assert main([str(only), str(alone), *arguments]) == 0
            assert not list(alone.rglob("*desc-runs*"))
            columns = ["estimate", "n_vertices", "n_finite", "coverage", "status", "independence"]
            found = {
                (row["roi"], row["hemi"]): [row[name] for name in columns]
                for row in of_runs
                if row["run"] == run
            }
            expected = {
                (roi, hemi): [row[name] for name in columns]
                for (task, _, roi, hemi), row in estimates(alone).items()
                if task == "main"
            }
            assert found == expected
        assert [row["coverage"] for row in runs(output, hemi="L")] == ["1.0", "1.0", "0.5", "1.0"]

    def test_a_vertex_without_variance_does_not_count_in_its_run(self, repeated, output):
        for run in (1, 2, 3, 4):
            write_run(repeated, "01", run, float(run), stat="variance")
        variance = np.full(12, 2.0)
        variance[1] = 0.0
        (path,) = repeated.firstlevel.glob("sub-01/func/*_run-2_hemi-L*stat-variance*")
        write_gifti(path, variance, "L")
        assert level(repeated, output, "--participant-label", "01") == 0
        found = runs(output, hemi="L")
        assert [row["n_finite"] for row in found] == ["2", "1", "2", "2"]
        values = [float(row["estimate"]) for row in found]
        assert values == pytest.approx([11.5, 12 + 1, 11.5 + 0.5, 11.5 + 2])
        weights = 1 / np.arange(1, 5)
        expected = 12 + np.average(SHIFTS[0], weights=weights)
        row = estimates(output)["main", "attend", "left", "L"]
        assert float(row["estimate"]) == pytest.approx(expected)

    def test_z_of_a_run_is_effect_by_its_standard_error(self, repeated, output):
        for run in (1, 2, 3, 4):
            write_run(repeated, "01", run, 4.0, stat="variance")
            write_run(repeated, "01", run, 99.0, stat="z")
        options = ["--participant-label", "01", "--statistic", "z", "--task-label", "main"]
        assert level(repeated, output, *options) == 0
        values = [float(row["estimate"]) for row in runs(output)]
        assert values == pytest.approx((41 + SHIFTS[0]) / 2)

    def test_each_file_is_read_once(self, repeated, output):
        for run in (1, 2, 3, 4):
            write_run(repeated, "01", run, 1.0, stat="variance")
        with opened_below(repeated.firstlevel / "sub-01") as paths:
            assert level(repeated, output, "--participant-label", "01") == 0
        counts = Counter(path for path in paths if "_stat-" in path and "stat-z" not in path)
        of_runs = {count for path, count in counts.items() if "_run-" in path}
        single = {count for path, count in counts.items() if "_run-" not in path}
        assert len(counts) == 4 * 2 * 2 + 4  # runs, hemispheres, effect and variance; localizer
        assert of_runs == single == {1}

    def test_a_broken_run_costs_only_itself(self, repeated, output, caplog):
        (path,) = repeated.firstlevel.glob("sub-01/func/*_run-2_hemi-L*")
        path.write_bytes(b"rubbish")
        (other,) = repeated.firstlevel.glob("sub-01/func/*_run-3_hemi-R*")
        other.unlink()
        other.symlink_to("nowhere")
        assert level(repeated, output, "--participant-label", "01") == 65
        assert path.name in caplog.text
        statuses = {
            hemi: [row["status"] for row in runs(output, hemi=hemi)] for hemi in ("L", "R", "both")
        }
        assert statuses == {
            "L": ["ok", "unreadable_map", "ok", "ok"],
            "R": ["ok", "ok", "missing_map", "ok"],
            "both": ["ok", "unreadable_map", "missing_map", "ok"],
        }
        assert [row["estimate"] for row in runs(output)] == ["41.0", "n/a", "n/a", "43.0"]
        assert estimates(output)["main", "attend", "left", "L"]["status"] == "unreadable_map"

    def test_hemispheres_of_different_runs(self, repeated, output):
        for run in (2, 3, 4):
            (path,) = repeated.firstlevel.glob(f"sub-01/func/*_run-{run}_hemi-R*")
            path.unlink()
        assert level(repeated, output, "--participant-label", "01") == 0
        assert [row["status"] for row in runs(output, hemi="L")] == ["ok"] * 4
        assert [row["status"] for row in runs(output, hemi="R")] == ["ok", *["missing_map"] * 3]
        assert [row["status"] for row in runs(output)] == ["ok", *["missing_map"] * 3]

    def test_no_table_where_nothing_is_combined_and_none_of_an_earlier_run(
        self, repeated, output, tmp_path
    ):
        assert level(repeated, output, "--participant-label", "01") == 0
        assert runs_table(output).exists()
        for run in (2, 3, 4):
            for path in repeated.firstlevel.glob(f"sub-01/func/*_run-{run}_*"):
                path.unlink()
        assert level(repeated, output, "--participant-label", "01") == 0
        assert not list(output.rglob("*desc-runs*"))
        assert level(repeated, tmp_path / "fresh", "--participant-label", "01") == 0
        assert not list((tmp_path / "fresh").rglob("*desc-runs*"))

    def test_a_failing_run_leaves_no_table_of_an_earlier_one(self, repeated, output):
        assert level(repeated, output, "--participant-label", "02") == 0
        (path,) = repeated.firstlevel.glob("sub-02/func/*_run-2_hemi-L*")
        path.with_name(path.name.replace("_contrast", "_desc-s5_contrast")).write_bytes(
            path.read_bytes()
        )
        assert level(repeated, output, "--participant-label", "02") == 64
        assert not list(output.rglob("sub-02*desc-runs*"))

    def test_runs_of_the_localizer_are_circular(self, localizer_runs, output):
        assert level(localizer_runs, output) == 0
        found = runs(output, task="loc", contrast="left", hemi="L")
        assert [(row["run"], row["independence"]) for row in found] == [
            (run, "circular") for run in "123"
        ]
        # In the ROI of all runs, by Stouffer: vertices 1, 2, 3.
        effect = np.array(Z["left"]["L"])[[1, 2, 3]] / 2
        expected = [np.mean(effect + np.array([run, 0, 0])) for run in (1, 2, 3)]
        assert [float(row["estimate"]) for row in found] == pytest.approx(expected)

    def test_a_run_that_did_not_define_the_roi_is_independent(
        self, localizer_runs, output, tmp_path
    ):
        filters = tmp_path / "filters.json"
        filters.write_text(json.dumps({"localizer": {"run": 1}}))
        assert level(localizer_runs, output, "--bids-filter-file", str(filters)) == 0
        found = runs(output, task="loc", contrast="left", hemi="L")
        assert [row["independence"] for row in found] == ["circular", "independent", "independent"]
        pooled = estimates(output)["loc", "left", "left", "L"]
        assert pooled["independence"] == "circular"

    def test_crossvalidated_runs_are_the_folds(self, localizer_runs, output):
        assert level(localizer_runs, output, "--cross-validate", "--localizer-threshold", "4") == 0
        found = runs(output, task="loc", contrast="left", hemi="L")
        # Two runs at vertex 1 have at least (4 + 5) / sqrt(2) = 6.4, at vertex 2 always 3.5.
        assert [(row["run"], row["independence"], row["n_vertices"]) for row in found] == [
            (run, "crossvalidated", "1") for run in "123"
        ]
        values = [float(row["estimate"]) for row in found]
        assert values == pytest.approx([1.5 + run for run in (1, 2, 3)])
        averaged = estimates(output)["loc", "left", "left", "L"]
        assert averaged["independence"] == "crossvalidated"
        assert float(averaged["estimate"]) == pytest.approx(np.mean(values))

    def test_crossvalidated_runs_of_a_pooled_map(self, localizer_runs, output):
        for contrast in Z:
            for hemi in "LR":
                for stat in ("z", "effect"):
                    path = localizer_runs.map_path("01", "loc", hemi, contrast, stat)
                    write_gifti(path, Z[contrast][hemi], hemi)
        assert level(localizer_runs, output) == 0
        assert not list(output.rglob("*desc-runs*"))
        assert level(localizer_runs, output, "--cross-validate") == 0
        assert {row["independence"] for row in read_tsv(runs_table(output))} == {"crossvalidated"}

    def test_the_output_is_valid_bids_and_every_column_is_described(self, repeated, output):
        for path in list(repeated.firstlevel.glob("sub-*/func/*task-main*")):
            path.rename(path.with_name(path.name.replace("_task", "_ses-a_task")))
        assert level(repeated, output, "--session-label", "a", "--task-label", "main") == 0
        assert level(repeated, output, name="group") == 0
        path = runs_table(output)
        described = json.loads(path.with_suffix(".json").read_text())
        assert (described["space"], described["session"]) == ("fsnative", "a")
        for column in read_tsv(path)[0]:
            where = described["EntityColumns"] if column in ("space", "session") else described
            assert where[column]["Description"]
        described = json.loads((output / "group_reliability.json").read_text())
        for column in read_tsv(output / "group_reliability.tsv")[0]:
            assert described[column]["Description"]
        finished = subprocess.run(
            [COMMAND.parent / "bids-validator-deno", output, "--format", "json"],
            capture_output=True,
            text=True,
            check=False,
        )
        issues = json.loads(finished.stdout)["issues"]["issues"]
        assert [issue for issue in issues if issue["severity"] == "error"] == []
        layout = BIDSLayout(output, is_derivative=True, validate=False)
        found = layout.get(suffix="estimates", desc="runs", extension=".tsv", subject="01")
        names = [file.filename for file in found]
        layout.session.close()
        layout.connection_manager.engine.dispose()
        assert names == ["sub-01_ses-a_space-fsnative_desc-runs_estimates.tsv"]


class TestGroup:
    def test_reliability_over_runs_is_the_planted_one(self, repeated, output):
        assert level(repeated, output) == 0
        assert level(repeated, output, name="group") == 0
        found = coefficients(output)
        whole = found["n/a", "runs", "icc21"]
        assert (whole["n"], whole["k"], whole["independence"]) == ("4", "4", "independent")
        assert float(whole["value"]) == pytest.approx(icc(SHIFTS))
        assert float(whole["ci95_low"]) < icc(SHIFTS) < float(whole["ci95_high"])
        half = found["n/a", "runs", "split_half_spearman_brown"]
        r = np.corrcoef(SHIFTS[:, [0, 2]].mean(axis=1), SHIFTS[:, [1, 3]].mean(axis=1))[0, 1]
        assert float(half["value"]) == pytest.approx(2 * r / (1 + r))
        low = np.tanh(np.arctanh(r) - stats.norm.ppf(0.975))
        assert float(half["ci95_low"]) == pytest.approx(2 * low / (1 + abs(low)))
        assert len(found) == 2
        # A shift of a whole run moves every vertex alike, so that it does not matter where.
        for hemi in "LR":
            same = coefficients(output, hemi=hemi)["n/a", "runs", "icc21"]
            assert float(same["value"]) == pytest.approx(icc(SHIFTS))
        empty = coefficients(output, roi="right", hemi="L")["n/a", "runs", "icc21"]
        assert (empty["value"], empty["n"], empty["note"]) == (
            "n/a",
            "0",
            "fewer than 3 participants",
        )
        assert empty["excluded"] == "; ".join(f"sub-{label}:empty_roi" for label in LABELS)

    def test_reliability_over_sessions_and_over_runs_of_each(self, tmp_path, output):
        study = make_study(tmp_path / "bids", dict.fromkeys(LABELS, 0.0))
        without_pooled(study)
        sessions = {"pre": SHIFTS[:, :2], "post": SHIFTS[:, [3]] + 1}
        for session, shifts in sessions.items():
            for label, own in zip(LABELS, shifts, strict=True):
                for run, shift in enumerate(own, start=1):
                    write_run(study, label, run, shift, session=session)
        assert level(study, output) == 0
        assert level(study, output, name="group") == 0
        found = coefficients(output)
        assert set(found) == {
            ("n/a", "sessions", "icc21"),
            ("pre", "runs", "icc21"),
            ("pre", "runs", "split_half_spearman_brown"),
        }
        means = np.column_stack([of.mean(axis=1) for of in sessions.values()])
        over = found["n/a", "sessions", "icc21"]
        assert (over["n"], over["k"]) == ("4", "2")
        assert float(over["value"]) == pytest.approx(icc(means))
        assert float(found["pre", "runs", "icc21"]["value"]) == pytest.approx(icc(SHIFTS[:, :2]))
        # The jobs of single sessions say the same.
        shutil.rmtree(output)
        for session in sessions:
            options = ["--session-label", session, "--task-label", "main"]
            assert level(study, output, *options) == 0
        assert level(study, output, name="group") == 0
        assert coefficients(output) == found
        assert level(study, output, "--session-label", "pre", name="group") == 0
        assert set(coefficients(output)) == set(found) - {("n/a", "sessions", "icc21")}

    def test_participants_who_lack_runs_are_named(self, repeated, output):
        for path in repeated.firstlevel.glob("sub-02/func/*_run-4_*"):
            path.unlink()
        assert level(repeated, output) == 0
        (repeated.root / "sub-05").mkdir()
        assert level(repeated, output, name="group") == 0
        found = coefficients(output)
        whole = found["n/a", "runs", "icc21"]
        assert whole["excluded"] == "sub-02:3_runs; sub-05:missing_participant"
        assert float(whole["value"]) == pytest.approx(icc(SHIFTS[[0, 2, 3]]))
        half = found["n/a", "runs", "split_half_spearman_brown"]
        assert (half["n"], half["k"]) == ("4", "n/a")

    def test_selections_are_honoured(self, repeated, output):
        assert level(repeated, output) == 0
        options = ["--participant-label", "01", "02", "04", "--roi-contrasts", "left"]
        assert level(repeated, output, *options, name="group") == 0
        rows = read_tsv(output / "group_reliability.tsv")
        assert {row["roi"] for row in rows} == {"left"}
        whole = coefficients(output)["n/a", "runs", "icc21"]
        assert float(whole["value"]) == pytest.approx(icc(SHIFTS[[0, 1, 3]]))
        assert level(repeated, output, "--task-label", "loc", name="group") == 0
        assert not list(output.glob("group_reliability.*"))

    def test_circular_runs_are_marked(self, repeated, output):
        for label in LABELS:
            for path in list(repeated.firstlevel.glob(f"sub-{label}/func/*task-loc*")):
                values = np.array(nib.load(path).darrays[0].data)
                hemi = "L" if "hemi-L" in path.name else "R"
                for run in (1, 2):
                    name = path.name.replace("_hemi", f"_run-{run}_hemi")
                    shift = 0.01 * SHIFTS[int(label) - 1, run]
                    write_gifti(path.with_name(name), values + shift, hemi)
                path.unlink()
        assert level(repeated, output) == 0
        assert level(repeated, output, name="group") == 0
        found = coefficients(output, task="loc", contrast="left")
        assert {row["independence"] for row in found.values()} == {"circular"}
        assert {row["independence"] for row in coefficients(output).values()} == {"independent"}
        # Run and participant shift all vertices, but for what 32 bits make of it.
        whole = found["n/a", "runs", "icc21"]
        assert float(whole["value"]) == pytest.approx(icc(SHIFTS[:, 1:3]), abs=1e-4)

    def test_nothing_is_written_where_there_is_nothing_to_say(self, group_study, output):
        assert level(group_study, output) == 0
        stale = [output / f"group_reliability.{kind}" for kind in ("tsv", "json")]
        for path in stale:
            path.write_text("of an earlier run")
        assert level(group_study, output, name="group") == 0
        assert not any(path.exists() for path in stale)

    @pytest.mark.parametrize(
        "damage",
        ["gone", "rubbish", "half", "last line", "header", "no sidecar", "number", "someone else"],
    )
    def test_a_broken_table_of_runs_costs_only_reliability(self, repeated, output, caplog, damage):
        assert level(repeated, output) == 0
        assert level(repeated, output, name="group") == 0
        before = (output / "group_statistics.tsv").read_bytes()
        path = runs_table(output, "03")
        text = path.read_text()
        lines = text.splitlines(keepends=True)
        if damage == "gone":
            path.unlink()
        elif damage == "no sidecar":
            path.with_suffix(".json").unlink()
        else:
            path.write_text(
                {
                    "rubbish": "\x00\x01",
                    "half": "".join(lines[: len(lines) // 2]),
                    "last line": "".join(lines[:-1]),
                    "header": lines[0],
                    "number": text.replace("\t106.0\t", "\tmany\t", 1),
                    "someone else": text.replace("sub-03", "sub-02"),
                }[damage]
            )
            assert path.read_text() != text
        assert level(repeated, output, name="group") == 0
        assert "sub-03: not in the reliability over runs: " in caplog.text
        assert str(path.with_suffix("")) in caplog.text
        assert (output / "group_statistics.tsv").read_bytes() == before
        whole = coefficients(output)["n/a", "runs", "icc21"]
        assert (whole["n"], whole["excluded"]) == ("3", "sub-03:0_runs")
        assert float(whole["value"]) == pytest.approx(icc(SHIFTS[[0, 1, 3]]))

    def test_a_table_of_runs_of_another_participant(self, repeated, output, caplog):
        for run in (2, 3, 4):
            for path in repeated.firstlevel.glob(f"sub-03/func/*_run-{run}_*"):
                path.unlink()
        assert level(repeated, output) == 0
        path = runs_table(output, "02")
        for source in (path, path.with_suffix(".json")):
            misplaced = str(source).replace("sub-02", "sub-03")
            shutil.copy(source, misplaced)
        assert level(repeated, output, name="group") == 0
        assert "has rows of participants other than sub-03" in caplog.text
        whole = coefficients(output)["n/a", "runs", "icc21"]
        assert (whole["n"], whole["excluded"]) == ("3", "sub-03:0_runs")

    def test_an_outdated_table_of_runs_is_told(self, repeated, output, caplog):
        for path in list(repeated.firstlevel.glob("sub-*/func/*task-main*")):
            path.rename(path.with_name(path.name.replace("_task", "_ses-a_task")))
        assert level(repeated, output, "--task-label", "main") == 0
        assert level(repeated, output, "--task-label", "main", "--session-label", "a") == 0
        (path,) = output.glob("sub-04/func/*_desc-runs_estimates.tsv")
        path.write_text(path.read_text().replace("\t43.0\t", "\t44.0\t", 1))
        assert level(repeated, output, name="group") == 0
        assert "sub-04: not in the reliability over runs: " in caplog.text
        assert "Delete the outdated one" in caplog.text
        whole = coefficients(output)["a", "runs", "icc21"]
        assert whole["excluded"] == "sub-04:0_runs"


class TestFewRuns:
    def flags(self, output):
        rows = {label: estimates(output, label) for label in LABELS}
        return {
            label: [rows[label]["main", "attend", "left", hemi]["flags"] for hemi in "LR"]
            for label in LABELS
        }

    def test_who_has_fewer_than_the_first_participants_is_flagged(self, repeated, tmp_path):
        for path in repeated.firstlevel.glob("sub-04/func/*task-main*_run-4_*"):
            path.unlink()
        assert level(repeated, tmp_path / "out") == 0
        small, few = "small_roi", "small_roi;few_runs"
        expected = {label: [small, small] for label in LABELS} | {"04": [few, few]}
        assert self.flags(tmp_path / "out") == expected
        assert level(repeated, tmp_path / "out", name="group") == 0
        found = [r for r in read_tsv(tmp_path / "out/group_estimates.tsv") if "few" in r["flags"]]
        assert {row["participant_id"] for row in found} == {"sub-04"}

    def test_other_jobs_say_the_same(self, repeated, tmp_path):
        for path in repeated.firstlevel.glob("sub-04/func/*task-main*hemi-R*"):
            if "_run-1_" not in path.name:
                path.unlink()
        assert level(repeated, tmp_path / "out", "--participant-label", "04") == 0
        rows = estimates(tmp_path / "out", "04")
        flags = [rows["main", "attend", "left", hemi]["flags"] for hemi in ("L", "R", "both")]
        assert flags == ["small_roi", "small_roi;few_runs", "small_roi;few_runs"]

    def test_sessions_are_compared_with_themselves(self, repeated, tmp_path):
        without_pooled(repeated)
        for label in LABELS:
            for session, n_runs in (("a", 3), ("b", 2)):
                for run in range(1, n_runs + 1):
                    write_run(repeated, label, run, 0.0, session=session)
        assert level(repeated, tmp_path / "out") == 0
        assert self.flags(tmp_path / "out") == {label: ["small_roi"] * 2 for label in LABELS}


class TestStatisticsThatAreNotCombined:
    """The mean of the p values of two runs is not the p value of both."""

    @pytest.mark.parametrize("statistic", ["p", "variance", "F", "t"])
    def test_several_runs_are_refused(self, statistic, tmp_path, caplog):
        study = make_study(tmp_path / "bids")
        for run in (1, 2):
            write_run(study, "01", run, 0.5, stat=statistic)
        assert level(study, tmp_path / "out", "--statistic", statistic) == 64
        assert f"--statistic {statistic.lower()}: " in caplog.text
        assert "_run-1_" in caplog.text

    @pytest.mark.parametrize("statistic", ["p", "variance", "F", "t"])
    def test_a_single_map_is_measured(self, statistic, tmp_path):
        study = make_study(tmp_path / "bids")
        write_run(study, "01", None, 0.5, stat=statistic)
        assert level(study, tmp_path / "out", "--statistic", statistic) == 0
        row = estimates(tmp_path / "out")["main", "attend", "left", "L"]
        assert (row["statistic"], row["status"]) == (statistic.lower(), "ok")
