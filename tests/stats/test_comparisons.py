from dataclasses import replace

import numpy as np
import pytest
from group_data import rows_in
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bids_secondlevel.core.inference import Inference
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.comparisons import paired_tests
from bids_secondlevel.stats.dependence import dependent_contrasts
from bids_secondlevel.stats.testing.permutation import sign_flip_tests

RANDOM = np.random.default_rng(0)
ROIS = ("UL", "UR", "LL")
CONTRASTS = ("attend", "ignore")
# Participants x ROIs x contrasts x hemispheres.
VALUES = RANDOM.normal(0.5, 1, (9, 3, 2, 3))
HEMISPHERES = ("L", "R", "both")


def rows_of(values, **columns):
    return [
        EstimateRow(
            **{
                "participant_id": f"sub-{i:02}",
                "session": None,
                "task": "main",
                "contrast": CONTRASTS[k % len(CONTRASTS)],
                "roi": ROIS[j],
                "hemi": HEMISPHERES[h],
                "space": "fsnative",
                "statistic": "effect",
                "estimate": None if np.isnan(value) else float(value),
                "status": "empty_roi" if np.isnan(value) else "ok",
                **columns,
            }
        )
        for (i, j, k, h), value in np.ndenumerate(values)
    ]


def run(rows, n_permutations=0, family="contrast"):
    inference = Inference(n_permutations=n_permutations, family=family)
    return rows_in(paired_tests(frame_of(rows, EstimateRow), inference))


def find(results, comparison, **cell):
    (row,) = [
        row
        for row in results
        if row.comparison == comparison
        and all(getattr(row, name) == value for name, value in cell.items())
    ]
    return row


def test_every_pair_once():
    results = run(rows_of(VALUES))
    named = [(r.comparison, r.roi, r.contrast, r.hemi, r.versus) for r in results]
    assert len(set(named)) == len(named) == 3 * 2 + 1 * 3 + 6
    assert ("roi", "UL", "attend", "both", "LL") in named
    assert ("contrast", "LL", "attend", "both", "ignore") in named
    assert ("hemi", "UR", "ignore", "L", "R") in named


@pytest.mark.parametrize(
    ("comparison", "cell", "first", "second"),
    [
        ("roi", {"roi": "UL", "versus": "UR", "contrast": "attend"}, (0, 0, 2), (1, 0, 2)),
        ("contrast", {"roi": "LL"}, (2, 0, 2), (2, 1, 2)),
        ("hemi", {"roi": "UR", "contrast": "ignore"}, (1, 1, 0), (1, 1, 1)),
    ],
)
def test_equals_the_paired_test_of_scipy(comparison, cell, first, second):
    test = find(run(rows_of(VALUES)), comparison, **cell)
    a, b = VALUES[:, *first], VALUES[:, *second]
    expected = stats.ttest_rel(a, b)
    assert (test.n, test.df) == (9, 8)
    assert (test.t, test.p) == pytest.approx((expected.statistic, expected.pvalue))
    interval = expected.confidence_interval()
    assert (test.ci95_low, test.ci95_high) == pytest.approx((interval.low, interval.high))
    assert test.cohens_d == pytest.approx(np.mean(a - b) / np.std(a - b, ddof=1))


def test_each_kind_of_comparison_is_a_family():
    results = run(rows_of(VALUES), n_permutations=512, family="all")
    for comparison in ("roi", "contrast", "hemi"):
        tests = [row for row in results if row.comparison == comparison]
        expected = multipletests([test.p for test in tests], method="fdr_bh")[1]
        assert [test.q_fdr for test in tests] == pytest.approx(list(expected))
    differences = VALUES[:, :, 0, 2] - VALUES[:, :, 1, 2]
    flips = sign_flip_tests(differences, np.ones(3, dtype=bool), 512)
    tests = [row for row in results if row.comparison == "contrast"]
    assert [test.p_fwe for test in tests] == pytest.approx(list(flips.p_fwe))


def test_families_of_a_contrast():
    results = run(rows_of(VALUES), n_permutations=512)
    assert {row.family for row in results} == {
        "roi: task main, contrast attend",
        "roi: task main, contrast ignore",
        "contrast: task main, contrast attend - ignore",
        "hemi: task main, contrast attend",
        "hemi: task main, contrast ignore",
    }
    for family in {row.family for row in results}:
        tests = [row for row in results if row.family == family]
        assert len(tests) == 3
        expected = multipletests([test.p for test in tests], method="fdr_bh")[1]
        assert [test.q_fdr for test in tests] == pytest.approx(list(expected))


@pytest.mark.parametrize("hemis", [("R",), ("L", "R")])
def test_hemispheres_that_were_asked_for_take_the_place_of_both(hemis):
    rows = [row for row in rows_of(VALUES) if row.hemi in hemis]
    results = run(rows, n_permutations=512)
    for hemi in hemis:
        place = HEMISPHERES.index(hemi)
        for comparison, n in (("roi", 6), ("contrast", 3)):
            found = [r for r in results if (r.comparison, r.hemi) == (comparison, hemi)]
            assert len([r for r in found if r.p_fwe is not None]) == n
        test = find(results, "contrast", roi="LL", hemi=hemi)
        expected = stats.ttest_rel(VALUES[:, 2, 0, place], VALUES[:, 2, 1, place])
        assert test.p == pytest.approx(expected.pvalue)
    sides = [r for r in results if r.comparison == "hemi"]
    assert len(sides) == (6 if len(hemis) > 1 else 0)


def test_a_contrast_is_not_tested_against_its_own_part():
    values = VALUES[:, :, [0, 1, 1]].copy()
    values[:, :, 2] = values[:, :, 0] - values[:, :, 1]
    names = ("attend", "ignore", "attendMinusIgnore")
    rows = [
        replace(row, contrast=names[place // 3 % 3]) for place, row in enumerate(rows_of(values))
    ]
    frame = frame_of(rows, EstimateRow)
    found = dependent_contrasts(frame)
    assert [str(of) for of in found] == ["attendMinusIgnore is attend - ignore"]
    results = rows_in(paired_tests(frame, Inference(n_permutations=512), found))
    pairs = [row for row in results if row.comparison == "contrast"]
    own = [row for row in pairs if "attendMinusIgnore" in (row.contrast, row.versus)]
    assert (len(pairs), len(own)) == (9, 6)
    for row in own:
        assert row.mean is not None
        assert (row.p, row.p_fwe, row.q_fdr, row.family, row.t) == (None,) * 5
        assert row.note == "not tested, because attendMinusIgnore is attend - ignore"
    for row in (row for row in pairs if row not in own):
        assert {row.contrast, row.versus} == {"attend", "ignore"}
        assert row.p_fwe is not None


def test_hemispheres_with_a_small_part_of_a_roi_are_not_compared():
    rows = [
        replace(row, flags="small_roi;minor_hemisphere")
        if (row.participant_id, row.roi, row.hemi) in {("sub-02", "UR", "L"), ("sub-04", "UR", "R")}
        else row
        for row in rows_of(VALUES)
    ]
    results = run(rows)
    test = find(results, "hemi", roi="UR", contrast="attend")
    kept = np.delete(VALUES[:, 1, 0], [2, 4], axis=0)
    assert test.n == 7
    assert test.p == pytest.approx(stats.ttest_rel(kept[:, 0], kept[:, 1]).pvalue)
    assert test.excluded == "sub-02:minor_hemisphere; sub-04:minor_hemisphere"
    assert find(results, "hemi", roi="UL", contrast="attend").n == 9
    assert find(results, "contrast", roi="UR").n == 9  # both hemispheres pooled


def test_a_participant_needs_both():
    values = VALUES.copy()
    values[3, 0, :, 2] = np.nan
    test = find(run(rows_of(values)), "roi", roi="UL", versus="UR", contrast="attend")
    assert (test.n, test.excluded) == (8, "sub-03:empty_roi")
    kept = np.delete(VALUES, 3, axis=0)
    expected = stats.ttest_rel(kept[:, 0, 0, 2], kept[:, 1, 0, 2])
    assert test.p == pytest.approx(expected.pvalue)


def test_circular_estimates_are_compared_but_not_tested():
    results = run(rows_of(VALUES, independence="circular"), n_permutations=100)
    assert results
    for row in results:
        assert row.mean is not None
        assert (row.p, row.p_permutation, row.q_fdr) == (None, None, None)


def test_rounding_is_no_difference():
    values = np.broadcast_to(RANDOM.normal(size=(9, 1, 1, 1)), VALUES.shape).copy()
    values[:, 1] = values[:, 0] * 3 / 3 + 0.1 - 0.1
    assert np.any(values[:, 1] != values[:, 0])
    test = find(run(rows_of(values)), "roi", roi="UL", versus="UR", contrast="attend")
    assert (test.p, test.note) == (None, "no variation between participants")


def test_tasks_and_sessions_are_not_mixed():
    rows = [
        *rows_of(VALUES[:, :1, :1, 2:], task="one", hemi="both"),
        *rows_of(VALUES[:, :1, 1:, 2:], task="two", hemi="both", contrast="other"),
        *rows_of(VALUES[:, 1:2, :1, 2:], task="one", session="2", roi="UR", hemi="both"),
    ]
    assert run(rows) == []


def test_means_over_sessions_are_compared_but_not_with_sessions():
    rows = [
        *rows_of(VALUES[:, :2], session="1"),
        *rows_of(VALUES[:, :2, ::-1], session="2"),
    ]
    results = run(rows)
    mean = (VALUES[:, :2] + VALUES[:, :2, ::-1]) / 2
    test = find(
        results, "roi", roi="UL", versus="UR", contrast="attend", hemi="both", session="mean(1,2)"
    )
    difference = mean[:, 0, 0, 2] - mean[:, 1, 0, 2]
    assert test.t == pytest.approx(stats.ttest_1samp(difference, 0).statistic)
    assert test.family.endswith(", mean over sessions")
    of_hemispheres = find(
        results, "hemi", roi="UL", contrast="attend", hemi="L", session="mean(1,2)"
    )
    assert of_hemispheres.mean == pytest.approx((mean[:, 0, 0, 0] - mean[:, 0, 0, 1]).mean())
    of_sessions = [r for r in results if r.comparison == "session"]
    assert {(r.session, r.versus) for r in of_sessions} == {("1", "2")}
    assert {r.session for r in results} == {"1", "2", "mean(1,2)"}
