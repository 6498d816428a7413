from dataclasses import replace

import numpy as np
import pytest
from group_data import rows_in
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from bids_secondlevel.core.inference import Inference
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.testing.corrections import benjamini_hochberg, by_family
from bids_secondlevel.stats.testing.one_sample import (
    cohens_d,
    hedges_correction,
    one_sample_tests,
    with_reasons,
)
from bids_secondlevel.stats.testing.permutation import sign_flip_tests

LIMITS = ("", "_ci95_low", "_ci95_high")


def row(
    participant,
    estimate,
    *,
    hemi="both",
    status="ok",
    independence="independent",
    contrast="attend",
    roi="left",
):
    return EstimateRow(
        participant_id=f"sub-{participant}",
        session=None,
        task="main",
        contrast=contrast,
        roi=roi,
        hemi=hemi,
        space="fsnative",
        statistic="effect",
        estimate=estimate,
        status=status,
        independence=independence,
    )


def run(rows, n_permutations=0, family="contrast"):
    return rows_in(
        one_sample_tests(
            frame_of(rows, EstimateRow), Inference(n_permutations=n_permutations, family=family)
        )
    )


def result_of(rows, n_permutations=1000):
    (result,) = run(rows, n_permutations)
    return result


def effect_sizes(t, n):
    """Effect sizes of one test, as the table of tests has them."""
    t, n = np.array([t]), np.array([n])
    d, g = cohens_d(t, n)[0], cohens_d(t, n)[0] * hedges_correction(n)
    names = [f"{name}{limit}" for name in ("cohens_d", "hedges_g") for limit in LIMITS]
    return dict(zip(names, [*d, *g], strict=True))


def test_equals_scipy():
    values = [0.3, -0.1, 0.9, 0.4, 0.25]
    result = result_of([row(i, value) for i, value in enumerate(values)])
    expected = stats.ttest_1samp(values, 0)
    interval = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (result.n, result.df) == (5, 4)
    assert result.t == pytest.approx(expected.statistic)
    assert result.p == pytest.approx(expected.pvalue)
    assert (result.mean, result.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert result.sem == pytest.approx(np.std(values, ddof=1) / np.sqrt(5))
    assert (result.ci95_low, result.ci95_high) == pytest.approx(interval)
    assert result.note is None


def test_a_known_answer():
    # 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3) with 2 degrees of freedom.
    result = result_of([row(i, float(i)) for i in (1, 2, 3)])
    assert (result.mean, result.sd) == (2.0, 1.0)
    assert result.t == pytest.approx(2 * np.sqrt(3))
    assert result.p == pytest.approx(0.0742, abs=5e-5)


def test_participants_without_a_number_stay_out_and_are_named():
    result = result_of(
        [
            row("01", 1.0),
            row("02", None, status="empty_roi"),
            row("03", 3.0),
            row("04", None, status="missing_participant"),
        ]
    )
    assert (result.n, result.mean) == (2, 2.0)
    assert result.excluded == "sub-02:empty_roi; sub-04:missing_participant"


def test_circular_estimates_have_a_mean_and_an_interval_but_no_test():
    result = result_of([row(i, float(i), independence="circular") for i in (1, 2, 3)])
    assert (result.mean, result.independence) == (2.0, "circular")
    assert result.ci95_low < 2 < result.ci95_high
    assert (result.t, result.df, result.p) == (None, None, None)
    assert (result.p_permutation, result.p_fwe, result.q_fdr) == (None, None, None)
    assert (result.cohens_d, result.hedges_g) == (None, None)
    assert "circular" in result.note


@pytest.mark.parametrize(
    ("values", "mean", "note"),
    [
        ([], None, "the estimates of all participants are missing"),
        ([4.0], 4.0, "a single participant"),
        ([0.1, 0.1, 0.1], 0.1, "no variation between participants"),
    ],
)
def test_no_statistic_where_there_can_be_none(values, mean, note):
    result = result_of(
        [*(row(i, v) for i, v in enumerate(values)), row(9, None, status="empty_roi")]
    )
    assert result.n == len(values)
    assert result.mean == (None if mean is None else pytest.approx(mean))
    assert (result.t, result.p, result.ci95_low, result.note) == (None, None, None, note)


def test_two_participants_are_enough():
    result = result_of([row(1, 1.0), row(2, 2.0)])
    assert result.df == 1
    assert result.p == pytest.approx(stats.ttest_1samp([1.0, 2.0], 0).pvalue)
    assert (result.p_permutation, result.n_flips) == (0.5, 4)
    assert (result.hedges_g, result.note) == (None, "Hedges' g needs three participants")


def test_cells_are_not_mixed():
    results = run(
        [row(1, 1.0, hemi="L"), row(1, 9.0, hemi="R"), row(2, 3.0, hemi="L"), row(2, 9.5, hemi="R")]
    )
    assert [(result.hemi, result.mean) for result in results] == [("L", 2.0), ("R", 9.25)]


def test_a_participant_without_a_number_does_not_decide_on_independence():
    rows = [row(i, float(i), independence="crossvalidated") for i in (1, 2, 3)]
    result = result_of([*rows, row(4, None, status="missing_map", independence="circular")])
    assert result.independence == "crossvalidated"
    assert result.p is not None


def test_median():
    assert result_of([row(i, value) for i, value in enumerate([1.0, 2.0, 9.0])]).median == 2.0


def test_known_effect_sizes():
    # Mean 1 and sd 1: d is 1. The correction for 4 degrees of freedom is
    # gamma(2) / (sqrt(2) gamma(1.5)).
    sizes = effect_sizes(t=np.sqrt(5), n=5)
    assert sizes["cohens_d"] == pytest.approx(1.0)
    assert sizes["hedges_g"] == pytest.approx(1 / (np.sqrt(2) * special.gamma(1.5)))
    ratio = sizes["hedges_g"] / sizes["cohens_d"]
    assert sizes["hedges_g_ci95_low"] == pytest.approx(ratio * sizes["cohens_d_ci95_low"])


@given(t=st.floats(-20, 20), n=st.integers(3, 200))
def test_the_limits_of_d_put_t_at_the_tails_of_the_noncentral_distribution(t, n):
    sizes = effect_sizes(t, n)
    low, high = (sizes[f"cohens_d_ci95_{limit}"] * np.sqrt(n) for limit in ("low", "high"))
    assert low < t < high
    # Asked in the half in which the distribution function is accurate.
    tails = [stats.nct.sf(t, n - 1, low), stats.nct.cdf(t, n - 1, high)]
    if t < 0:
        tails = [stats.nct.cdf(-t, n - 1, -low), stats.nct.sf(-t, n - 1, -high)]
    assert tails == pytest.approx([0.025, 0.025], abs=1e-4)


def test_a_reversed_sign_reverses_everything_but_p():
    values = [0.3, -0.1, 0.9, 0.4, 0.25, 0.6]
    one = result_of([row(i, value) for i, value in enumerate(values)])
    other = result_of([row(i, -value) for i, value in enumerate(values)])
    for name in ("mean", "median", "t", "cohens_d", "hedges_g"):
        assert getattr(other, name) == -getattr(one, name)
    assert other.hedges_g_ci95_low == pytest.approx(-one.hedges_g_ci95_high)
    for name in ("p", "p_permutation", "p_fwe", "q_fdr", "sd", "n_flips"):
        assert getattr(other, name) == getattr(one, name)


def many(values, **columns):
    """Rows of a matrix of participants x contrasts; NaN for an empty ROI."""
    return [
        row(
            f"{i:02}",
            None if np.isnan(value) else value,
            contrast=f"c{j}",
            status="empty_roi" if np.isnan(value) else "ok",
            **columns,
        )
        for i, of_participant in enumerate(values)
        for j, value in enumerate(of_participant)
    ]


def test_the_family_is_that_of_independent_estimates_in_both_hemispheres():
    values = np.random.default_rng(0).normal(0.5, 1, (8, 5))
    rows = [
        *many(values[:, :3]),
        *many(values[:, 3:4], roi="other", independence="crossvalidated"),
        *many(values[:, 4:], roi="third", independence="circular"),
        *many(values[:, :3] + 1, hemi="L"),
    ]
    results = run(rows, n_permutations=1000, family="all")
    assert {r.family for r in results} == {"all tests", None}
    family = [r for r in results if r.hemi == "both" and r.independence == "independent"]
    assert len(family) == 3
    expected = multipletests([test.p for test in family], method="fdr_bh")[1]
    assert [test.q_fdr for test in family] == pytest.approx(list(expected))
    flips = sign_flip_tests(values[:, :3], np.ones(3, dtype=bool), 1000)
    assert [test.p_fwe for test in family] == pytest.approx(list(flips.p_fwe))
    others = [r for r in results if r not in family]
    assert len(others) == 5
    assert all(test.p_fwe is None and test.q_fdr is None for test in others)
    assert [test.p_permutation is None for test in others] == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "contrast",
            {"task main, contrast c0", "task main, contrast c1", "task rest, contrast c0"},
        ),
        ("task", {"task main", "task rest"}),
        ("all", {"all tests"}),
    ],
)
def test_families(kind, expected):
    values = np.random.default_rng(2).normal(0.3, 1, (8, 6))
    rows = [
        *many(values[:, :2]),
        *many(values[:, 2:4], roi="other"),
        *(replace(r, task="rest") for r in many(values[:, 4:5], roi="left")),
        *(replace(r, session="2") for r in many(values[:, 5:], roi="left")),
    ]
    results = run(rows, 1000, kind)
    assert {r.family for r in results} == expected
    for family in expected:
        members = [r for r in results if r.family == family]
        q = multipletests([test.p for test in members], method="fdr_bh")[1]
        assert [test.q_fdr for test in members] == pytest.approx(list(q))


@pytest.mark.parametrize("n", [8, 14])
def test_what_else_is_measured_does_not_matter(n):
    random = np.random.default_rng(3)
    rows = many(random.normal(0.3, 1, (n, 1))) + many(random.normal(0.3, 1, (n, 1)), roi="other")
    more = [
        *(replace(r, contrast="c1") for r in many(random.normal(1, 1, (n + 3, 1)))),
        *(replace(r, task="loc") for r in many(random.normal(1, 1, (n + 3, 1)))),
        *(replace(r, space="fsaverage") for r in many(random.normal(1, 1, (n, 1)))),
    ]
    alone = run(rows, 500)
    together = [r for r in run([*more, *rows], 500) if (r.contrast, r.task) == ("c0", "main")]
    for name in ("p_fwe", "q_fdr", "p_permutation", "n_flips"):
        expected = [getattr(r, name) for r in alone]
        found = [getattr(r, name) for r in together if r.space == "fsnative"]
        assert found == expected, name
    assert len({r.family for r in together}) == 2  # each space has its own


@pytest.mark.parametrize("hemis", [("R",), ("L",), ("L", "R")])
def test_hemispheres_that_were_asked_for_take_the_place_of_both(hemis):
    values = np.random.default_rng(1).normal(0.5, 1, (8, 4))
    rows = [
        r
        for place, hemi in enumerate(hemis)
        for r in [
            *many(values[:, place : place + 1], hemi=hemi),
            *many(values[:, place + 1 : place + 2], hemi=hemi, roi="other"),
        ]
    ]
    results = run(rows, 1000)
    q = multipletests([test.p for test in results], method="fdr_bh")[1]
    assert [test.q_fdr for test in results] == pytest.approx(list(q))
    assert all(test.p_fwe is not None for test in results)
    assert len(results) == 2 * len(hemis)


@pytest.mark.parametrize("statistic", ["p", "variance", "F", "rsquare"])
def test_what_is_never_negative_is_not_tested_against_0(statistic):
    values = np.random.default_rng(4).uniform(0, 1, (8, 1))
    rows = [replace(r, statistic=statistic) for r in many(values)]
    result = result_of(rows)
    assert result.mean == pytest.approx(values.mean())
    assert result.sd == pytest.approx(values.std(ddof=1))
    tested = ("t", "p", "p_permutation", "p_fwe", "q_fdr", "p_holm", "bf10", "family", "cohens_d")
    assert [getattr(result, name) for name in tested] == [None] * len(tested)
    assert result.note == f"not tested: {statistic} is never negative"


@pytest.mark.parametrize("exponent", [-1000, -600, -540, -520, 500, 1000])
def test_units_do_not_matter_however_small_or_large(exponent):
    values = np.random.default_rng(6).normal(0.5, 1, (8, 1))
    expected, found = result_of(many(values)), result_of(many(np.ldexp(values, exponent)))
    for name in ("t", "p", "p_fwe", "cohens_d", "bf10", "note"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("mean", "median", "sd", "ci95_low"):
        assert getattr(found, name) == np.ldexp(getattr(expected, name), exponent)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_false_discovery_rates_are_those_of_scipy(tests):
    p, in_family = (np.array(column) for column in zip(*tests, strict=True))
    q = by_family(benjamini_hochberg, p, np.zeros(p.size), in_family)
    assert np.array_equal(np.isnan(q), ~in_family)
    if in_family.any():
        expected = stats.false_discovery_control(p[in_family])
        np.testing.assert_allclose(q[in_family], expected, rtol=1e-12, atol=0)


def test_the_reason_of_an_exclusion_is_told():
    rows = [row("01", 1.0), row("02", 2.0), row("03", None, status="excluded")]
    tests = one_sample_tests(frame_of(rows, EstimateRow))
    assert with_reasons(tests, {"sub-03": "moved a lot"})["excluded"].tolist() == [
        "sub-03:excluded (moved a lot)"
    ]


def test_without_permutations_everything_else_is_there():
    test = result_of([row(1, 1.0), row(2, 2.0), row(3, 2.0)], n_permutations=0)
    assert (test.p_permutation, test.n_flips, test.p_fwe, test.note) == (None, None, None, None)
    assert test.q_fdr == test.p


@pytest.mark.parametrize("t", [2e4, 1e6, 1e8, 1e12])
@pytest.mark.parametrize("n", [3, 6, 20, 500])
def test_very_large_effects_have_limits_around_them(t, n):
    sizes = effect_sizes(t, n)
    # For so large a t, the noncentrality is next to t times the root of chi-squared over df.
    low, high = (t * np.sqrt(stats.chi2.ppf(q, n - 1) / (n - 1) / n) for q in (0.025, 0.975))
    assert (sizes["cohens_d_ci95_low"], sizes["cohens_d_ci95_high"]) == pytest.approx((low, high))
    assert low < sizes["cohens_d"] < high
    mirrored = effect_sizes(-t, n)
    assert mirrored["cohens_d_ci95_low"] == -sizes["cohens_d_ci95_high"]


def test_both_ways_to_the_limits_agree_where_they_meet():
    below, above = effect_sizes(999.999, 12), effect_sizes(1000.001, 12)
    for name, value in below.items():
        assert above[name] == pytest.approx(value, rel=2e-4)


def test_participants_that_differ_in_the_last_digit_of_a_32_bit_float():
    values = np.full(6, np.float32(0.1))
    values[3] = np.nextafter(values[3], np.float32(1))
    result = result_of([row(i, float(value)) for i, value in enumerate(values)])
    assert result.t > 1e6
    assert result.cohens_d_ci95_low < result.cohens_d < result.cohens_d_ci95_high


def of_sessions(values, **columns):
    """Make rows of participants (rows) in sessions (columns)."""
    return [
        replace(
            row(f"{i:02}", None if np.isnan(value) else value, **columns), session=f"{j + 1:02}"
        )
        for (i, j), value in np.ndenumerate(values)
    ]


def in_sessions(rows, label):
    return [r for r in run(rows, 500) if r.session == label]


@pytest.mark.parametrize("n_sessions", [2, 3])
def test_the_mean_over_sessions_is_tested(n_sessions):
    values = np.random.default_rng(n_sessions).normal(0.4, 1, (9, n_sessions))
    label = f"mean({','.join(f'{j + 1:02}' for j in range(n_sessions))})"
    (pooled,) = in_sessions(of_sessions(values), label)
    expected = stats.ttest_1samp(values.mean(axis=1), 0)
    assert (pooled.t, pooled.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (pooled.n, pooled.mean) == (9, pytest.approx(values.mean()))
    assert pooled.excluded is None


def test_who_lacks_a_session_has_no_mean_over_sessions():
    values = np.random.default_rng(4).normal(0.4, 1, (9, 2))
    values[3, 1] = values[5, 0] = np.nan
    rows = of_sessions(values)
    rows = [replace(r, status="empty_roi") if r.estimate is None else r for r in rows]
    (pooled,) = in_sessions(rows, "mean(01,02)")
    complete = values[~np.isnan(values).any(axis=1)].mean(axis=1)
    assert (pooled.n, pooled.excluded) == (7, "sub-03:empty_roi; sub-05:empty_roi")
    assert pooled.t == pytest.approx(stats.ttest_1samp(complete, 0).statistic)


def test_means_over_sessions_are_a_family_of_their_own():
    values = np.random.default_rng(5).normal(0.4, 1, (9, 4))
    rows = [*of_sessions(values[:, :2]), *of_sessions(values[:, 2:], roi="other")]
    pooled = in_sessions(rows, "mean(01,02)")
    assert {r.family for r in pooled} == {"task main, contrast attend, mean over sessions"}
    q = multipletests([r.p for r in pooled], method="fdr_bh")[1]
    assert [r.q_fdr for r in pooled] == pytest.approx(list(q))
    apart = [r for r in run(rows, 500) if r not in pooled]
    q = multipletests([r.p for r in apart], method="fdr_bh")[1]
    assert [r.q_fdr for r in apart] == pytest.approx(list(q))
    (alone,) = {r.family for r in run(rows, 500, "all") if r.session == "mean(01,02)"}
    assert alone == "all tests, mean over sessions"


def test_no_mean_of_circular_sessions():
    values = np.random.default_rng(6).normal(0.4, 1, (9, 2))
    rows = of_sessions(values, independence="circular")
    assert {r.session for r in run(rows)} == {"01", "02"}
    mixed = [r if r.session == "01" else replace(r, independence="independent") for r in rows]
    assert {r.session for r in run(mixed)} == {"01", "02"}


def test_a_session_called_mean_is_a_session():
    values = np.random.default_rng(7).normal(0.4, 1, (9, 2))
    rows = [replace(r, session={"01": "mean", "02": "b"}[r.session]) for r in of_sessions(values)]
    assert [r.session for r in run(rows)] == ["mean", "b", "mean(b,mean)"]


def test_nobody_with_all_sessions_nothing_pooled():
    values = np.full((6, 2), np.nan)
    values[:3, 0], values[3:, 1] = 1.0, [1.0, 2.0, 3.0]
    assert {r.session for r in run(of_sessions(values))} == {"01", "02"}
