"""The summary of a run: each fact once, and who is ready, to check, or failed."""

import logging

import pytest

from bids_secondlevel.outputs.outcome import UP_TO_DATE, Outcome, tell_outcomes

SEVERAL = "Retinotopy from several sources; using inferred."


@pytest.fixture
def told(caplog):
    """Sum up outcomes; give the lines with their levels."""
    caplog.set_level(logging.INFO, "bids_secondlevel")

    def sum_up(*outcomes, **options):
        caplog.clear()
        tell_outcomes(outcomes, **options)
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    return sum_up


def test_all_are_ready(told):
    assert told(Outcome("01"), Outcome("02")) == [("INFO", "2 participants: 2 ready.")]
    assert told(Outcome("01", UP_TO_DATE)) == [
        ("INFO", "1 participant: 1 ready; 1 of them up to date.")
    ]


def test_a_fact_about_many_is_one_message(told):
    outcomes = [Outcome(f"{n:02}", messages=(SEVERAL,)) for n in range(1, 12)]
    outcomes.append(Outcome("12", messages=("has benson14 only",)))
    assert told(*outcomes) == [
        ("WARNING", f"sub-01, sub-02, sub-03 and 8 more: {SEVERAL}"),
        ("WARNING", "sub-12: has benson14 only"),
        ("INFO", "12 participants: 12 ready."),
    ]


def test_who_failed_and_who_needs_a_look_and_why(told):
    outcomes = (
        Outcome("01"),
        Outcome("02", reasons=("no vertices in UL",)),
        Outcome("03", errors=("/data/sub-03/a_sub-03.mgz: damaged",), exit_code=65),
        Outcome("04", errors=("/data/sub-04/a_sub-04.mgz: damaged",), exit_code=65),
        Outcome("005", errors=("/data/sub-005/a_sub-0051.mgz: damaged",), exit_code=65),
    )
    said = told(*outcomes)
    assert said == [
        ("WARNING", "sub-02: no vertices in UL"),
        ("ERROR", "sub-03, sub-04: /data/sub-*/a_sub-*.mgz: damaged"),
        ("ERROR", "sub-005: /data/sub-005/a_sub-0051.mgz: damaged"),
        (
            "INFO",
            "5 participants: 1 ready, 1 to check (sub-02), 3 failed (sub-03, sub-04, sub-005).",
        ),
    ]
    assert told(*outcomes, is_dry_run=True)[-1][1].endswith(
        "3 not ready (sub-03, sub-04, sub-005)."
    )
