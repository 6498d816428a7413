"""Contrasts that follow from others are found by their numbers."""

import numpy as np
import pandas as pd
import pytest
from group_data import labels, row

from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.dependence import dependent_contrasts, why_not_compared


def found_in(contrasts, n=8, hemis=("L", "R", "both"), rois=("UL", "UR"), seed=0):
    """Say what is found in contrasts: normal ones by mean, others by a function of all."""
    random = np.random.default_rng(seed)
    rows = []
    for label in labels(n):
        shared = random.normal(0, 0.3)
        for roi in rois:
            for hemi in hemis:
                values = {
                    name: shared + random.normal(mean, 0.5)
                    for name, mean in contrasts.items()
                    if not callable(mean)
                }
                made = {n: make(**values) for n, make in contrasts.items() if callable(make)}
                rows += [
                    row(label, float(np.float32(value)), contrast=name, roi=roi, hemi=hemi)
                    for name, value in {**values, **made}.items()
                ]
    return frame_of(rows, EstimateRow)


def said(frame):
    return [str(dependence) for dependence in dependent_contrasts(frame)]


@pytest.mark.parametrize(
    ("contrasts", "expected"),
    [
        (
            {
                "attend": 1,
                "attendMinusIgnore": lambda attend, ignore: attend - ignore,
                "ignore": 0.5,
            },
            "attendMinusIgnore is attend - ignore",
        ),
        (
            {"attend": 1, "attention": lambda attend, ignore: attend - ignore, "ignore": 0.7},
            "attention is attend - ignore",
        ),
        (
            {"faces": 1, "contrast0001": lambda faces, houses: faces - houses, "houses": 1},
            "contrast0001 is faces - houses",
        ),
        (
            {"left": 1, "stimulus": lambda left, right: left + right, "right": 1},
            "stimulus is left + right",
        ),
        (
            {"faces": 1, "houses": 1.2, "aMean": lambda faces, houses: (faces + houses) / 2},
            "aMean is 1/2 faces + 1/2 houses",
        ),
        (
            {"faces": 1, "houses": 0.2, "FvH": lambda faces, houses: faces - houses},
            "FvH is faces - houses",
        ),
        (
            {"f": 1, "h": 1, "o": 1, "fvho": lambda f, h, o: f - (h + o) / 2},
            "fvho is f - 1/2 h - 1/2 o",
        ),
        (
            {"a": 1, "b": 1, "c": 1, "d": 1, "interaction": lambda a, b, c, d: a - b - c + d},
            "interaction is a - b - c + d",
        ),
        ({"attend": 1, "attendHalf": lambda attend: attend / 2}, "attendHalf is 1/2 attend"),
        ({"up": 1, "upReversed": lambda up: -up}, "upReversed is -up"),
        (
            {"a": 1, "b": 1, "bVsA": lambda a, b: b - a, "aVsB": lambda a, b: a - b},
            "aVsB is a - b; bVsA is -a + b",
        ),
        (
            {
                **dict.fromkeys("abc", 1),
                "aVsB": lambda a, b, **_: a - b,
                "bVsC": lambda b, c, **_: b - c,
                "aVsC": lambda a, c, **_: a - c,
            },
            "aVsB is a - b; aVsC is a - c; bVsC is b - c",
        ),
    ],
)
@pytest.mark.parametrize("n", [2, 8, 30])
def test_contrasts_that_are_made_of_others(contrasts, expected, n):
    assert "; ".join(sorted(said(found_in(contrasts, n)))) == expected


@pytest.mark.parametrize("n", [1, 2, 3, 20])
@pytest.mark.parametrize("k", [2, 3, 6, 12])
@pytest.mark.parametrize("seed", range(3))
def test_contrasts_that_were_measured_do_not_follow_from_each_other(n, k, seed):
    contrasts = {f"c{i}": 1 + i / 10 for i in range(k)}
    assert said(found_in(contrasts, n, seed=seed)) == []
    assert said(found_in(contrasts, n, hemis=("both",), rois=("UL",), seed=seed)) == []


def test_nearly_is_not_enough():
    noise = np.random.default_rng(5)
    contrasts = {"a": 1, "b": 1, "aMinusB": lambda a, b: a - b + noise.normal(0, 0.001)}
    assert said(found_in(contrasts)) == []


def test_it_has_to_hold_in_all_rows():
    frame = found_in({"a": 1, "b": 1, "aMinusB": lambda a, b: a - b})
    is_other = (frame["contrast"] == "aMinusB") & (frame["participant_id"] == "sub-03")
    assert said(frame) == ["aMinusB is a - b"]
    assert said(frame.assign(estimate=frame["estimate"].where(~is_other, 0.1))) == []


def test_numbers_that_are_missing_hide_nothing():
    frame = found_in({"a": 1, "b": 1, "other": 2, "aMinusB": lambda a, b, **_: a - b}, n=10)
    rare = (frame["contrast"] == "other") & (frame["participant_id"] > "sub-02")
    lacking = (frame["contrast"] == "a") & (frame["participant_id"] == "sub-01")
    with_gaps = frame.assign(estimate=frame["estimate"].mask(rare | lacking))
    assert said(with_gaps) == ["aMinusB is a - b"]
    assert said(frame.assign(estimate=np.nan)) == []


@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1, 1e30, 1e200])
def test_units_do_not_matter(factor):
    frame = found_in({"a": 1, "b": 1, "aMinusB": lambda a, b: a - b})
    frame["estimate"] *= factor
    assert said(frame) == ["aMinusB is a - b"]


def test_tasks_are_apart():
    frame = found_in({"a": 1, "b": 1, "c": lambda a, b: a - b})
    elsewhere = frame["task"].where(frame["contrast"] != "c", "rest")
    assert said(frame.assign(task=elsewhere)) == []
    again = pd.concat([frame, frame.assign(task="rest")], ignore_index=True)
    assert [d.task for d in dependent_contrasts(again)] == ["main", "rest"]


def test_contrasts_against_the_mean_of_all_may_be_compared():
    conditions = found_in(dict.fromkeys("abcd", 1))
    mean = conditions.groupby(["participant_id", "roi", "hemi"])["estimate"].transform("mean")
    frame = conditions.assign(estimate=conditions["estimate"] - mean)
    (found,) = dependent_contrasts(frame)
    assert found.is_balanced
    assert str(found).endswith(" is 0")
    assert {found.contrast, *found.parts} == set("abcd")
    pairs = [("a", "b"), ("a", "d"), ("c", "d")]
    assert not any(why_not_compared([found], "main", *pair) for pair in pairs)


def test_what_is_not_compared():
    contrasts = {
        **dict.fromkeys("abc", 1),
        "aVsB": lambda a, b, **_: a - b,
        "bVsA": lambda a, b, **_: b - a,
        "bVsC": lambda b, c, **_: b - c,
    }
    found = dependent_contrasts(found_in(contrasts))
    refused = [("a", "aVsB"), ("aVsB", "b"), ("aVsB", "bVsA"), ("bVsC", "c")]
    assert all(why_not_compared(found, "main", *pair) for pair in refused)
    allowed = [("a", "b"), ("aVsB", "c"), ("aVsB", "bVsC"), ("a", "bVsC")]
    assert not any(why_not_compared(found, "main", *pair) for pair in allowed)
    assert why_not_compared(found, "rest", "a", "aVsB") is None
