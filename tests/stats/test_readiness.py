"""Who is ready, who needs a look, who cannot be used, and why."""

import pandas as pd
import pytest

from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.readiness import participants_table, readiness

CELL = {"session": None, "space": "fsnative", "statistic": "effect"}


def row(participant="01", roi="UL", *, task="main", contrast="attend", hemi="both", **values):
    measured = {"estimate": 1.0, "n_vertices": 20, "n_finite": 20, "coverage": 1.0, "n_runs": 4}
    status = values.get("status", "ok")
    if status != "ok":
        measured["estimate"] = None
    key = {"participant_id": f"sub-{participant}", "roi": roi, "task": task, "contrast": contrast}
    return EstimateRow(**key, hemi=hemi, **{**CELL, **measured, **values})


def table(*rows):
    return frame_of(rows, EstimateRow)


def judged(*rows):
    (found,) = readiness(table(*rows)).values()
    return found.verdict, found.reasons


def test_a_participant_with_all_numbers_is_ready():
    assert judged(row(), row(roi="UR")) == ("ready", ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "empty_roi", "n_vertices": 0, "coverage": None}, "no vertices in UL"),
        ({"status": "below_min_vertices", "n_vertices": 3}, "too few vertices in UL (3)"),
        (
            {"status": "below_min_coverage", "coverage": 2 / 33},
            "coverage below --min-coverage in UL (6.06 %, main attend)",
        ),
        (
            {"status": "no_finite_vertices", "coverage": 0.0},
            "no data in UL (0 %, main attend)",
        ),
        ({"status": "missing_map"}, "no map of main attend"),
        ({"status": "unreadable_map", "session": "b"}, "the map cannot be read of session b, main"),
        ({"status": "missing_localizer"}, "no localizer map for UL"),
        ({"status": "missing_retinotopy"}, "no retinotopy"),
    ],
)
def test_an_estimate_without_a_number_is_a_reason_to_look(changes, reason):
    lacking = row(**changes)
    verdict, (why,) = judged(lacking, row(roi="UR"))
    assert verdict == "check"
    assert why.startswith(reason)
    assert judged(lacking)[0] == "unusable"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"flags": "low_coverage", "coverage": 0.4},
            "low coverage in UL (40 %, main attend)",
        ),
        ({"flags": "small_roi", "n_vertices": 7}, "few vertices in UL (7)"),
        ({"flags": "few_runs", "n_runs": 2}, "fewer runs than others of main (2)"),
        ({"flags": "few_folds"}, "a fold of the cross-validation has no UL"),
    ],
)
def test_a_flag_is_a_reason_to_look(changes, reason):
    assert judged(row(**changes), row(roi="UR")) == ("check", (reason,))
    assert judged(row(**changes)) == ("check", (reason,))


def test_several_flags_are_several_reasons_and_lateral_rois_are_none():
    verdict, reasons = judged(row(flags="small_roi;low_coverage", n_vertices=5, coverage=0.2))
    assert (verdict, len(reasons)) == ("check", 2)
    assert judged(row(flags="minor_hemisphere")) == ("ready", ())


def test_one_reason_for_all_that_it_holds_for():
    lacking = [row(roi=roi, contrast=c, status="empty_roi") for roi in "ABCDEFG" for c in "xy"]
    assert judged(*lacking, row()) == ("check", ("no vertices in A, B, C, D, E and 2 more",))


def test_what_is_circular_or_of_one_hemisphere_decides_nothing():
    rows = [row(task="loc", independence="circular", status="missing_map"), row()]
    assert judged(*rows, row(hemi="L", status="empty_roi")) == ("ready", ())
    assert judged(row(task="loc", independence="circular", status="missing_map")) == (
        "unusable",
        ("no map of loc attend",),
    )


def test_a_hemisphere_asked_for_alone_decides():
    lacking = row(hemi="R", status="empty_roi")
    assert judged(lacking) == ("unusable", ("no vertices in UL",))
    assert judged(lacking, row(hemi="L")) == ("ready", ())


def test_the_table_has_a_row_for_everybody():
    estimates = table(
        row("01", n_vertices=33),
        row("01", "UR", n_vertices=53, coverage=0.75),
        row("01", task="loc", independence="circular", n_runs=2, coverage=0.1),
        row("02", n_vertices=31, n_runs=3),
        row("02", "UR", n_vertices=50, n_runs=3, contrast="ignore"),
        row("03", status="excluded", n_vertices=None, coverage=None, n_runs=None),
    )
    about = ParticipantsTable(
        columns=("age", "verdict"),
        values={"sub-01": {"age": "31", "verdict": "good"}, "sub-03": {"age": None}},
    )
    sources = {"sub-01": ("inferred",), "sub-02": ("benson14",), "sub-04": ("inferred",)}
    found = participants_table(estimates, sources, {"sub-03": "moved"}, about)
    assert found.drop(columns="lowest_coverage").to_dict("records") == [
        {
            "participant_id": "sub-01",
            "verdict": "ready",
            "reasons": "n/a",
            "retinotopy_source": "inferred",
            "rois": "UL 33, UR 53",
            "runs": "main 4, loc 2",
            "age": "31",
            "participants_verdict": "good",
        },
        {
            "participant_id": "sub-02",
            "verdict": "check",
            "reasons": "retinotopy from benson14, but 2 of 3 have inferred "
            "(--retinotopy-source makes it the same if all have this source)",
            "retinotopy_source": "benson14",
            "rois": "UL 31, UR 50",
            "runs": "main 3",
            "age": "n/a",
            "participants_verdict": "n/a",
        },
        {
            "participant_id": "sub-03",
            "verdict": "unusable",
            "reasons": "excluded (moved)",
            "retinotopy_source": "n/a",
            "rois": "n/a",
            "runs": "n/a",
            "age": "n/a",
            "participants_verdict": "n/a",
        },
    ]
    assert found["lowest_coverage"].tolist()[:2] == [0.75, 1.0]
    assert pd.isna(found["lowest_coverage"][2])
