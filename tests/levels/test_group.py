"""The group level, run as a user does."""

import json
import shutil

import numpy as np
import pytest
from scipy import stats
from study import EFFECT, contents, read_tsv, run, write_gifti

from bids_secondlevel.cli.main import main


@pytest.fixture
def processed(group_study, output):
    """Four participants through the participant level; effects 0, 1, 2 and 5 higher."""
    assert (
        main([str(group_study.root), str(output), "participant", "--n-procs", "1", "--no-report"])
        == 0
    )
    return group_study


def group(study, output, *options):
    return main([str(study.root), str(output), "group", "--no-report", *options])


def rows_of(output, name="group_estimates.tsv"):
    return read_tsv(output / name)


def statistic(output, **cell):
    (row,) = [
        row
        for row in rows_of(output, "group_statistics.tsv")
        if all(row[name] == value for name, value in cell.items())
    ]
    return row


ATTEND = {"task": "main", "contrast": "attend", "roi": "left", "hemi": "both"}


def test_the_table_is_that_of_all_participants_and_the_test_is_right(processed, output):
    finished = run(processed.root, output, "group")
    assert (finished.returncode, finished.stdout) == (0, "")
    participants = [
        row
        for label in ("01", "02", "03", "04")
        for path in output.glob(f"sub-{label}/func/*_desc-roi_estimates.tsv")
        for row in read_tsv(path)
    ]
    assert sorted(map(tuple, (row.items() for row in participants))) == sorted(
        map(tuple, (row.items() for row in rows_of(output)))
    )
    row = statistic(output, **ATTEND)
    values = [41.0, 42.0, 43.0, 46.0]
    expected = stats.ttest_1samp(values, 0)
    assert (row["n"], float(row["mean"])) == ("4", 43.0)
    assert float(row["t"]) == pytest.approx(expected.statistic)
    assert float(row["p"]) == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (float(row["ci95_low"]), float(row["ci95_high"])) == pytest.approx((low, high))


def test_circular_rows_have_no_test(processed, output):
    assert group(processed, output) == 0
    row = statistic(output, task="loc", contrast="left", roi="left", hemi="both")
    assert (row["independence"], row["t"], row["p"]) == ("circular", "n/a", "n/a")


def test_every_column_is_described(processed, output):
    assert group(processed, output) == 0
    for name in ("group_estimates", "group_statistics"):
        described = json.loads((output / f"{name}.json").read_text())
        for column in rows_of(output, f"{name}.tsv")[0]:
            assert described[column]["Description"]


def test_who_is_missing_is_said_by_name_and_stays_in_the_table(processed, output, caplog):
    (processed.root / "sub-05").mkdir()
    assert group(processed, output) == 0
    assert "No results of sub-05" in caplog.text
    missing = [row for row in rows_of(output) if row["participant_id"] == "sub-05"]
    assert len(missing) == 18
    assert {row["status"] for row in missing} == {"missing_participant"}
    row = statistic(output, **ATTEND)
    assert (row["n"], row["excluded"]) == ("4", "sub-05:missing_participant")


def name_in_table(study, *labels):
    rows = "".join(f"{label}\t30\n" for label in labels)
    (study.root / "participants.tsv").write_text(f"participant_id\tage\n{rows}")


def test_a_row_without_folder_and_results_is_no_reason_to_run_anything(processed, output, caplog):
    name_in_table(processed, "01", "02", "03", "04", "09")
    assert group(processed, output) == 0
    assert "No results of sub-09: listed in participants.tsv, but without a folder" in caplog.text
    assert "run the participant level" not in caplog.text


@pytest.mark.parametrize("spelled", ["sub-04", "04"])
def test_who_has_left_the_study_is_left_out(processed, output, caplog, spelled):
    name_in_table(processed, "01", "02", "03")
    assert group(processed, output) == 0
    assert statistic(output, **ATTEND)["n"] == "4"  # has a folder still
    shutil.rmtree(processed.root / "sub-04")
    assert group(processed, output) == 0
    assert "Excluded: sub-04. There are results, but neither a folder" in caplog.text
    assert {row["participant_id"] for row in rows_of(output)} == {"sub-01", "sub-02", "sub-03"}
    assert statistic(output, **ATTEND)["mean"] == "42.0"
    assert group(processed, output, "--participant-label", "04") == 18
    name_in_table(processed, "01", "02", "03", spelled)
    assert group(processed, output) == 0
    assert statistic(output, **ATTEND)["n"] == "4"


def test_results_of_somebody_without_folder_or_without_row_take_part(processed, output, caplog):
    shutil.rmtree(processed.root / "sub-04")
    assert group(processed, output) == 0
    assert "sub-04: there are results, but no folder in" in caplog.text
    for label in ("01", "02", "03"):
        shutil.rmtree(processed.root / f"sub-{label}")
    caplog.clear()
    assert group(processed, output) == 0  # nobody is there: as at a computer without the raw data
    assert "there are results" not in caplog.text
    name_in_table(processed, "01", "02", "03")
    assert group(processed, output) == 0
    assert "sub-04: there are results, but no row of participants.tsv in" in caplog.text
    assert statistic(output, **ATTEND)["n"] == "4"


def test_results_of_another_study(processed, output, capsys):
    for label in ("01", "02", "03", "04"):
        (processed.root / f"sub-{label}").rename(processed.root / f"sub-x{label}")
    name_in_table(processed, "x01")
    assert group(processed, output) == 66
    assert "all tables belong to participants that are not in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "spell", ["{:d}", "SUB-{:02d}", "sub-{:d}", "sub_{:02d}", "sub{:02d}", "{:d}.0", "{:03d}"]
)
def test_labels_that_a_spreadsheet_has_changed_are_nobody(processed, output, caplog, spell):
    name_in_table(processed, *(spell.format(i) for i in range(1, 5)))
    assert group(processed, output) == 0
    assert len({row["participant_id"] for row in rows_of(output)}) == 4
    assert "participants.tsv: 4 values of participant_id are similar to" in caplog.text
    assert "(01)" in caplog.text
    assert "No results of" not in caplog.text


def test_maps_are_never_read(processed, output):
    for path in processed.firstlevel.rglob("*.gii"):
        path.write_bytes(b"")
    assert group(processed, output) == 0


def test_a_participant_processed_with_fewer_tasks_is_named(processed, output, caplog):
    again = ["participant", "--participant-label", "02", "--task-label", "main"]
    assert main([str(processed.root), str(output), *again]) == 0
    caplog.clear()
    assert group(processed, output) == 0
    said = "sub-02: no rows of loc left, loc right, which others have"
    assert caplog.text.count(said) == 1
    caplog.clear()
    assert group(processed, output, "--task-label", "main") == 0
    assert "no rows of" not in caplog.text


def test_a_cell_that_one_participant_lacks_is_completed(processed, output, caplog):
    # A contrast that only participant 04 has, and that the first participants do not tell of.
    for hemi, effect in EFFECT.items():
        path = processed.map_path("04", "main", hemi, "ignore", "effect")
        write_gifti(path, effect, hemi)
    again = [str(processed.root), str(output), "participant", "--n-procs", "1"]
    assert main(again) == 0
    (path,) = output.glob("sub-01/func/*_desc-roi_estimates.tsv")
    assert "ignore" not in {row["contrast"] for row in read_tsv(path)}
    assert group(processed, output) == 0
    said = "sub-01, sub-02, sub-03: no rows of main ignore, which others have"
    assert said in caplog.text
    rows = [row for row in rows_of(output) if row["contrast"] == "ignore"]
    assert {row["participant_id"]: row["status"] for row in rows if row["hemi"] == "both"} == {
        "sub-01": "missing_map",
        "sub-02": "missing_map",
        "sub-03": "missing_map",
        "sub-04": "ok",
    }
    assert statistic(output, **{**ATTEND, "contrast": "ignore"})["n"] == "1"


def test_selected_participants_only(processed, output):
    assert group(processed, output, "--participant-label", "sub-01", "03") == 0
    assert {row["participant_id"] for row in rows_of(output)} == {"sub-01", "sub-03"}
    assert group(processed, output, "--participant-label", "01", "77") == 1
    assert group(processed, output, "--participant-label", "77") == 18


def test_selected_tasks_and_contrasts_only(processed, output):
    assert group(processed, output, "--task-label", "MAIN", "--roi-contrasts", "left") == 0
    assert {(row["task"], row["roi"]) for row in rows_of(output)} == {("main", "left")}
    assert group(processed, output, "--task-label", "rest") == 18


@pytest.mark.parametrize(
    ("option", "label", "there"),
    [
        ("--task-label", "main", "loc, main"),
        ("--contrasts", "attend", "attend, left, right"),
        ("--roi-contrasts", "left", "left, right"),
    ],
)
def test_a_label_that_nothing_has_is_named(processed, output, capsys, *, option, label, there):
    assert group(processed, output, option, label, "atend") == 18
    assert f"atend in the participants' tables; there are: {there}." in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["rubbish", "no column", "no number", "no sidecar"])
def test_a_broken_table_costs_only_its_participant(processed, output, caplog, damage):
    (path,) = output.glob("sub-03/func/*_desc-roi_estimates.tsv")
    text = path.read_text()
    if damage == "no sidecar":
        path.with_suffix(".json").unlink()
    else:
        path.write_text(
            {
                "rubbish": "\x00\x01",
                "no column": text.replace("estimate", "value", 1),
                "no number": text.replace("\t1.0\t", "\tmany\t", 1),
            }[damage]
        )
    assert group(processed, output) == 1
    assert "sub-03: " in caplog.text
    assert str(path.with_suffix("")) in caplog.text
    row = statistic(output, **ATTEND)
    assert (row["n"], row["excluded"]) == ("3", "sub-03:unreadable_table")


def test_rois_defined_differently_are_not_mixed(processed, output, capsys):
    again = ["participant", "--participant-label", "02", "--localizer-threshold", "3"]
    assert main([str(processed.root), str(output), *again]) == 0
    assert group(processed, output) == 65
    message = capsys.readouterr().err
    assert (
        "LocalizerZGreaterThan of ROI left and right is 3.0 for sub-02, and 1.96 for sub-01, "
        "sub-03, sub-04. Run" in message
    )
    assert "{" not in message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--roi-contrasts", "left"], "rows of ROI right for sub-01, sub-03, sub-04, but not for"),
        (["--hemi", "L"], "rows of hemisphere R for sub-01, sub-03, sub-04, but not for"),
    ],
)
def test_a_participant_with_other_rois_is_refused(processed, output, capsys, options, said):
    again = ["participant", "--participant-label", "02", *options]
    assert main([str(processed.root), str(output), *again]) == 0
    assert group(processed, output) == 65
    assert f"{said} sub-02" in capsys.readouterr().err
    assert group(processed, output, *options) == 0  # what all have
    assert statistic(output, **{**ATTEND, "hemi": "L"})["n"] == "4"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--visual-areas", "V1", "V2"],
            "VisualAreas of ROI left and right is V1, V2 for sub-02, and V1 ",
        ),
        (
            ["--polar-angle", "0", "90"],
            "of ROI left and right is 0.0, 90.0 for sub-02, and not given for",
        ),
        (["--summary", "median"], "Summary is median for sub-02, and mean for sub-01, sub-03"),
        (["--exclusive"], "ExclusiveOf of ROI left is right for sub-02, and not given for sub-01"),
    ],
)
def test_what_differs_between_participants_is_said_in_words(
    processed, output, capsys, options, said
):
    again = ["participant", "--participant-label", "02", "--no-report", *options]
    main([str(processed.root), str(output), *again])
    assert group(processed, output) == 65
    message = capsys.readouterr().err
    assert said in message
    assert not set("{}[]") & set(message)


def test_dry_run_lists_the_tables_and_writes_nothing(processed, output, capsys):
    before = contents(output)
    assert group(processed, output, "--dry-run") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"would read {path}" for path in sorted(output.glob("sub-*/func/*_desc-roi_estimates.tsv"))
    ]
    assert contents(output) == before


def test_no_tables_at_all(group_study, output, capsys):
    assert group(group_study, output) == 66
    assert "Run the participant level first" in capsys.readouterr().err


def exclusions(path, *lines, header="participant_id\treason"):
    path.write_text("\n".join([header, *lines]) + "\n")
    return ["--exclude", str(path)]


def test_excluded_participants_stay_in_the_table_with_the_reason(processed, output, tmp_path):
    options = exclusions(tmp_path / "out.tsv", "sub-02\tslept; twice", "04\tn/a")
    assert group(processed, output, *options) == 0
    left_out = [r for r in rows_of(output) if r["participant_id"] in ("sub-02", "sub-04")]
    assert {(r["estimate"], r["status"]) for r in left_out} == {("n/a", "excluded")}
    row = statistic(output, **ATTEND)
    assert (row["n"], float(row["mean"])) == ("2", 42.0)  # 41 and 43
    assert row["excluded"] == "sub-02:excluded (slept, twice); sub-04:excluded"
    sidecar = json.loads((output / "group_statistics.json").read_text())
    assert sidecar["Selection"]["Excluded"] == {"sub-02": "slept, twice", "sub-04": ""}


def test_an_excluded_table_is_not_even_read(processed, output, tmp_path):
    (path,) = output.glob("sub-03/func/*_desc-roi_estimates.tsv")
    path.write_text("rubbish")
    assert group(processed, output) == 1
    assert group(processed, output, *exclusions(tmp_path / "out.tsv", "03\tbroken")) == 0


def test_everybody_excluded(processed, output, tmp_path, capsys):
    options = exclusions(tmp_path / "out.tsv", *(f"0{i}\tmoved" for i in (1, 2, 3, 4)))
    assert group(processed, output, *options) == 18
    assert "--exclude" in capsys.readouterr().err


def test_a_stranger_among_the_excluded_is_told(processed, output, tmp_path, caplog):
    options = exclusions(tmp_path / "out.tsv", "77\tmoved", "  \t")
    assert group(processed, output, *options) == 1
    assert "there is no participant sub-77; this has no effect" in caplog.text
    assert statistic(output, **ATTEND)["n"] == "4"


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("participant_id", "sub-02", "has no column reason"),
        ("subject\tnote", "sub-02\tmoved", "has no column participant_id and reason"),
        ("participant_id\treason", "sub 02\tmoved", "not a BIDS label"),
        ("participant_id\treason", "02\tmoved\nsub-02\tslept", "has sub-02 twice"),
    ],
)
def test_a_wrong_list_of_exclusions(processed, output, tmp_path, capsys, *, header, line, message):
    before = contents(output)
    options = exclusions(tmp_path / "out.tsv", line, header=header)
    assert group(processed, output, *options) == 64
    assert message in capsys.readouterr().err
    assert group(processed, output, "--exclude", str(tmp_path / "none.tsv")) == 64
    assert contents(output) == before


def test_small_rois_are_left_out_and_what_is_just_large_enough_is_kept(processed, output):
    # The ROI "left" has vertices 1 and 2 of the left hemisphere and 0 of the right one.
    assert group(processed, output, "--min-vertices", "2") == 0
    kept, small = (statistic(output, **{**ATTEND, "hemi": hemi}) for hemi in ("L", "R"))
    assert (kept["n"], small["n"], small["mean"]) == ("4", "0", "n/a")
    assert small["excluded"].startswith("sub-01:below_min_vertices; sub-02:below")
    row = next(r for r in rows_of(output) if r["status"] == "below_min_vertices")
    assert (row["n_vertices"], row["estimate"], row["median"]) == ("1", "n/a", "n/a")


def test_sparsely_covered_rois_are_left_out(group_study, output):
    values = [float("nan") if vertex == 1 else 10.0 for vertex in range(12)]
    write_gifti(group_study.map_path("02", "main", "L", "attend", "effect"), values, "L")
    assert (
        main([str(group_study.root), str(output), "participant", "--n-procs", "1", "--no-report"])
        == 0
    )
    # One of the two vertices is left: a share of exactly 0.5, which is enough.
    assert group(group_study, output) == 0
    assert statistic(output, **{**ATTEND, "hemi": "L"})["n"] == "4"
    assert group(group_study, output, "--min-coverage", "0.51") == 0
    row = statistic(output, **{**ATTEND, "hemi": "L"})
    assert (row["n"], row["excluded"]) == ("3", "sub-02:below_min_coverage")
    assert group(group_study, output, "--min-coverage", "50") == 64


def test_a_roi_with_little_data_is_left_out_by_default_and_named(group_study, output, caplog):
    only = {"L": [v if v == 2 else float("nan") for v in range(12)], "R": [float("nan")] * 10}
    for hemi, values in only.items():
        write_gifti(group_study.map_path("02", "main", hemi, "attend", "effect"), values, hemi)
    options = ["participant", "--n-procs", "1", "--no-report"]
    assert main([str(group_study.root), str(output), *options]) == 0
    assert group(group_study, output) == 0
    assert statistic(output, **ATTEND)["excluded"] == "sub-02:below_min_coverage"
    assert "sub-02: coverage below --min-coverage in left (33.3 %, main attend)" in caplog.text
    caplog.clear()
    assert group(group_study, output, "--min-coverage", "0") == 0
    assert statistic(output, **ATTEND)["n"] == "4"
    assert "below --min-coverage" not in caplog.text


def test_comparisons_of_the_planted_maps(processed, output):
    assert group(processed, output) == 0
    rows = rows_of(output, "group_comparisons.tsv")
    assert {row["comparison"] for row in rows} == {"roi", "contrast", "hemi"}
    (row,) = [r for r in rows if (r["comparison"], r["task"]) == ("roi", "main")]
    # Left holds vertices 1, 2 and 100: 41; right holds 100 and 102 of the right hemisphere.
    assert (row["roi"], row["versus"], row["hemi"]) == ("left", "right", "both")
    assert (row["n"], float(row["mean"])) == ("4", 41.0 - 101.0)
    assert row["note"] == "no variation between participants"
    circular = [r for r in rows if r["task"] == "loc"]
    assert {(r["independence"], r["p"]) for r in circular} == {("circular", "n/a")}


def test_permutations_of_four_participants(processed, output):
    assert group(processed, output) == 0
    row = statistic(output, **ATTEND)
    # All are positive, so that 2 of 16 flips have a sum as large, in each of the tests.
    assert (row["p_permutation"], row["n_flips"], row["p_fwe"]) == ("0.125", "16", "0.125")
    assert group(processed, output, "--n-permutations", "0") == 0
    assert statistic(output, **ATTEND)["p_permutation"] == "n/a"
    assert group(processed, output, "--n-permutations", "-1") == 64


def test_a_second_run_gives_the_same_bytes(processed, output):
    assert group(processed, output, "--n-permutations", "10") == 0
    before = contents(output)
    assert statistic(output, **ATTEND)["n_flips"] == "10"
    assert group(processed, output, "--n-permutations", "10") == 0
    assert contents(output) == before


def test_a_quotation_mark_in_a_reason_swallows_no_participant(processed, output, tmp_path):
    options = exclusions(tmp_path / "out.tsv", '01\t"moved', "02\tslept", '03\t5" of motion')
    assert group(processed, output, *options) == 0
    row = statistic(output, **ATTEND)
    assert (row["n"], float(row["mean"])) == ("1", 46.0)
    sidecar = json.loads((output / "group_statistics.json").read_text())
    assert set(sidecar["Selection"]["Excluded"]) == {"sub-01", "sub-02", "sub-03"}


def test_the_sidecar_of_comparisons_says_that_they_are_differences(processed, output):
    assert group(processed, output) == 0
    described = json.loads((output / "group_comparisons.json").read_text())
    assert "first minus the one in versus" in described["Differences"]
    assert "Differences" not in json.loads((output / "group_statistics.json").read_text())


def test_a_named_analysis_lies_beside_the_others(processed, output):
    (output / "sub-02.html").write_text("")  # the page of a participant
    (processed.root / "participants.tsv").write_text("participant_id\tage\n01\t1\n02\t3\n03\t8\n")
    assert group(processed, output, "--model", "estimate ~ age") == 0
    before = contents(output)
    options = ["--analysis-name", "only-three", "--participant-label", "01", "02", "04"]
    assert main([str(processed.root), str(output), "group", *options]) == 0
    after = contents(output)
    assert {path: after[path] for path in before} == before
    new = {path for path in after if path not in before}
    assert {path.rpartition("analyses/only-three/")[0] for path in new} == {""}
    inside = output / "analyses" / "only-three"
    assert {path.name for path in inside.iterdir()} >= {"group.html", "figures", "logs"}
    assert statistic(inside, **ATTEND)["n"] == "3"
    assert "analyses/" in (output / ".bidsignore").read_text().splitlines()
    assert 'href="../../sub-02.html"' in (inside / "group.html").read_text()
    assert "Estimates of 3 participants" in (inside / "logs" / "CITATION.md").read_text()
    page = (inside / "group.html").read_bytes()
    assert b", only-three</title>" in page
    (inside / "group.html").unlink()
    again = [str(processed.root), str(output), "group", "--analysis-name", "only-three"]
    assert main([*again, "--reports-only"]) == 0
    assert (inside / "group.html").read_bytes() == page


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "-x", "a b", "a\n"])
def test_a_name_of_an_analysis_is_that_of_a_folder_inside(processed, output, name):
    before = contents(output)
    assert group(processed, output, f"--analysis-name={name}") == 64
    assert contents(output) == before


REPLACED = "the group results of other settings are replaced"


def test_results_of_other_settings_are_replaced_with_a_message(processed, output, caplog, tmp_path):
    assert group(processed, output) == 0
    assert group(processed, output) == 0
    assert REPLACED not in caplog.text
    assert group(processed, output, "--contrasts", "attend", "--min-vertices", "2") == 0
    assert f"{output}: {REPLACED} (" in caplog.text
    for change in ("--contrasts not given before, attend now", "--min-vertices 1 before, 2 now"):
        assert change in caplog.text
    caplog.clear()
    options = exclusions(tmp_path / "out.tsv", "01\tmoved")
    assert group(processed, output, *options, "--analysis-name", "without01") == 0
    assert REPLACED not in caplog.text
    options = exclusions(tmp_path / "out.tsv", "02\tslept")
    assert group(processed, output, *options, "--analysis-name", "without01") == 0
    assert "other participants were excluded" in caplog.text
    assert group(processed, output, "--dry-run") == 0
    assert caplog.text.count(REPLACED) == 2


def test_entries_of_a_config_file_that_changed_are_named_and_not_printed(
    processed, output, caplog, tmp_path
):
    path = tmp_path / "planned.toml"
    assert group(processed, output) == 0
    for weight, said in ((1, "no [[planned]] entries before"), (2, "other [[planned]] entries")):
        path.write_text(
            '[[planned]]\nname = "a"\ntask = "main"\nroi = "left"\n'
            f"contrast = {{ attend = {weight} }}\n"
        )
        assert group(processed, output, "--config", str(path)) == 0
        assert f"{REPLACED} ({said}" in caplog.text
    assert "{" not in caplog.text


def test_results_of_other_rois_are_replaced_with_a_message(processed, output, caplog):
    assert group(processed, output) == 0
    options = ["--localizer-threshold", "2.2", "--no-report", "--n-procs", "1"]
    assert main([str(processed.root), str(output), "participant", *options]) == 0
    assert group(processed, output) == 0
    assert "the ROIs were defined or measured differently" in caplog.text


def test_a_table_says_who_is_ready_and_why_not(processed, output, tmp_path):
    (processed.root / "participants.tsv").write_text(
        "participant_id\tage\tgroup\nsub-01\t31\tA\nsub-02\tn/a\tB\nsub-03\t20\tB\n"
    )
    nan = [float("nan")] * 12
    write_gifti(processed.map_path("02", "main", "L", "attend", "effect"), nan, "L")
    once = ["participant", "--no-report", "--n-procs", "1"]
    assert main([str(processed.root), str(output), *once]) == 0
    options = exclusions(tmp_path / "out.tsv", "03\tmoved")
    options += ["--min-coverage", "0.5"]
    assert main([str(processed.root), str(output), "group", *options]) == 0
    found = {row["participant_id"]: row for row in rows_of(output, "group_participants.tsv")}
    assert list(found) == ["sub-01", "sub-02", "sub-03", "sub-04"]
    verdicts = {who: (row["verdict"], row["reasons"]) for who, row in found.items()}
    few = "few vertices in left (3), right (2)"
    assert verdicts["sub-01"] == verdicts["sub-04"] == ("check", few)
    too_little = (
        "coverage below --min-coverage in left (33.3 %, main attend); few vertices in right (2)"
    )
    assert verdicts["sub-02"] == ("check", too_little)
    assert verdicts["sub-03"] == ("unusable", "excluded (moved)")
    assert (found["sub-01"]["rois"], found["sub-01"]["runs"]) == (
        "left 3, right 2",
        "loc 1, main 1",
    )
    assert [found[f"sub-0{n}"]["age"] for n in (1, 2, 3, 4)] == ["31", "n/a", "20", "n/a"]
    assert found["sub-01"]["retinotopy_source"] == "benson14"
    sidecar = json.loads((output / "group_participants.json").read_text())
    assert set(sidecar) >= set(found["sub-01"])
    assert set(sidecar["verdict"]["Levels"]) == {"ready", "check", "unusable"}
    assert "excluded (moved)" in (output / "group.html").read_text()


def test_a_file_for_both_levels_that_asks_for_other_tables_is_warned_of(
    processed, output, caplog, tmp_path
):
    path = tmp_path / "both.toml"
    path.write_text('statistic = "effect"\nlocalizer-threshold = 1.96\nmin-coverage = 0.1\n')
    assert group(processed, output, "--config", str(path)) == 0
    assert "The config file asks for" not in caplog.text
    path.write_text('statistic = "z"\nsummary = "median"\n')
    assert group(processed, output, "--config", str(path)) == 0
    told = (
        "The config file asks for --statistic z instead of effect and --summary median instead of "
        "mean, but"
    )
    assert told in caplog.text
    path.write_text("eccentricity = [1, 4]\n")
    assert group(processed, output, "--config", str(path)) == 0
    assert "The config file asks for another definition of the ROIs, but the tables" in caplog.text


def test_a_run_ends_with_who_is_ready(processed, output, caplog, tmp_path):
    (processed.root / "sub-09").mkdir()
    options = exclusions(tmp_path / "out.tsv", "03\tmoved")
    for dry_run in ([], ["--dry-run"]):
        caplog.clear()
        assert group(processed, output, *options, *dry_run) == 0
        *_, last = [record.getMessage() for record in caplog.records]
        assert last == (
            "5 participants: 0 ready, 3 to check (sub-01, sub-02, sub-04), "
            "2 unusable (sub-03, sub-09)."
        )
        told = caplog.text
        assert told.count("sub-01, sub-02, sub-04: few vertices in left (3), right (2)") == 1
        assert told.count("sub-03: excluded (moved)") == 1
        assert told.count("No results of sub-09") == 1
        assert "sub-09: no results" not in told


def test_the_mean_over_sessions_is_tested(group_study, output):
    for label, offset in group_study.offsets.items():
        for hemi, effect in EFFECT.items():
            path = group_study.map_path(label, "main", hemi, "attend", "effect")
            path.unlink()
            for session, shift in {"a": 0.0, "b": 2.0 + offset}.items():
                name = path.name.replace("_task", f"_ses-{session}_task")
                values = [value + offset + shift for value in effect]
                target = path.parent.parent / f"ses-{session}" / "func" / name
                write_gifti(target, values, hemi)
    common = [str(group_study.root), str(output)]
    assert main([*common, "participant", "--n-procs", "1", "--no-report"]) == 0
    assert main([*common, "group"]) == 0
    means = {session: statistic(output, **ATTEND, session=session) for session in ("a", "b")}
    pooled = statistic(output, **ATTEND, session="mean(a,b)")
    assert float(pooled["mean"]) == np.mean([float(row["mean"]) for row in means.values()])
    values = [41 + 1.5 * offset + 1 for offset in group_study.offsets.values()]
    assert float(pooled["t"]) == pytest.approx(stats.ttest_1samp(values, 0).statistic)
    assert pooled["family"] == "task main, contrast attend, mean over sessions"
    page = (output / "group.html").read_text()
    assert "Rows with session mean(...)" in page
    assert "means over sessions" in (output / "logs" / "CITATION.md").read_text()
    # Each session has its own number in each participant; a localizer has one session only.
    assert {row["session"] for row in rows_of(output)} == {"a", "b", "n/a"}
    assert main([*common, "group", "--session-label", "a", "--no-report"]) == 0
    assert {row["session"] for row in rows_of(output, "group_statistics.tsv")} == {"a"}
