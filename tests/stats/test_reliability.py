"""Reliability across participants: published and planted answers, and what must not matter."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from group_data import rows_in
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.runs import run_table
from bids_secondlevel.stats.reliability import icc21, reliability, split_half

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)
TABLES = arrays(
    float,
    array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=8),
    elements=st.integers(-1000, 1000).map(lambda number: number / 8),
)


def row(participant, estimate, *, session=None, roi="left", status=None, **others):
    return EstimateRow(
        participant_id=f"sub-{participant}",
        session=session,
        task="main",
        contrast="attend",
        roi=roi,
        hemi="both",
        space="fsnative",
        statistic="effect",
        estimate=estimate,
        status=status or ("ok" if estimate is not None else "empty_roi"),
        **others,
    )


def reliability_of(rows, runs):
    return rows_in(reliability(frame_of(rows, EstimateRow), run_table(runs)))


def runs_of(whole, *estimates, **others):
    """Runs 1, 2, ... of an estimate."""
    return [
        (
            str(number),
            replace(whole, estimate=e, status="ok" if e is not None else "empty_roi", **others),
        )
        for number, e in enumerate(estimates, start=1)
    ]


def over_runs(table, **others):
    """Reliability of participants 1, 2, ... whose runs are the rows of a table."""
    rows = [row(i, float(np.mean(of)), **others) for i, of in enumerate(table, start=1)]
    runs = [run for whole, of in zip(rows, table, strict=True) for run in runs_of(whole, *of)]
    return reliability_of(rows, runs)


def mean_squares(values):
    """Between participants, between sessions, and residual, from nested linear models."""
    n, k = values.shape
    participants = np.repeat(np.eye(n), k, axis=0)
    sessions = np.tile(np.eye(k), (n, 1))

    def residual(*parts):
        return sm.OLS(values.ravel(), np.hstack(parts)).fit().ssr

    left = residual(participants, sessions[:, 1:])
    return (
        (residual(sessions) - left) / (n - 1),
        (residual(participants) - left) / (k - 1),
        left / ((n - 1) * (k - 1)),
    )


class TestIcc:
    def test_the_published_example(self):
        result = icc21(SHROUT_FLEISS)
        assert result.value == pytest.approx(0.29, abs=0.005)  # Shrout and Fleiss, table 4
        # 0.02 and 0.76, which R's psych gives for it too, among others.
        assert (result.low, result.high) == pytest.approx((0.0188, 0.7611), abs=5e-4)

    @pytest.mark.parametrize("seed", range(5))
    def test_it_is_that_of_an_analysis_of_variance(self, seed):
        rng = np.random.default_rng(seed)
        values = rng.normal(3, 2, (7, 1)) + rng.normal(0, 1, (1, 4)) + rng.normal(0, 1, (7, 4))
        n, k = values.shape
        between, sessions, error = mean_squares(values)
        expected = (between - error) / (between + (k - 1) * error + k * (sessions - error) / n)
        result = icc21(values)
        assert result.value == pytest.approx(expected)
        # The degrees of freedom as Shrout and Fleiss write them, and their limits.
        f_j = sessions / error
        rho = result.value
        assert rho > 0
        b = n * (1 + (k - 1) * rho) - k * rho
        df = (k - 1) * (n - 1) * (k * rho * f_j + b) ** 2
        df /= (n - 1) * (k * rho * f_j) ** 2 + b**2
        f = stats.f.ppf(0.975, n - 1, df)
        low = n * (between - f * error)
        low /= f * (k * sessions + (k * n - k - n) * error) + n * between
        f = stats.f.ppf(0.975, df, n - 1)
        high = n * (f * between - error)
        high /= k * sessions + (k * n - k - n) * error + n * f * between
        assert (result.low, result.high) == pytest.approx((low, high))

    def test_it_finds_what_was_planted(self):
        rng = np.random.default_rng(1979)
        shape = (400, 60)
        # Variances of 4 between participants, 1 between sessions and 3 of noise: 4 / 8.
        values = rng.normal(0, 2, (shape[0], 1)) + rng.normal(0, 1, (1, shape[1]))
        values += rng.normal(0, np.sqrt(3), shape)
        assert icc21(values).value == pytest.approx(0.5, abs=0.06)

    def test_its_interval_holds_the_truth_as_often_as_it_says(self):
        rng = np.random.default_rng(1996)
        inside = 0
        for _ in range(600):
            values = rng.normal(0, 2, (12, 1)) + rng.normal(0, 1, (1, 5))
            result = icc21(values + rng.normal(0, np.sqrt(3), (12, 5)))
            inside += result.low <= 0.5 <= result.high
        assert 0.92 < inside / 600 < 0.98

    def test_a_constant_difference_between_sessions_counts_as_disagreement(self):
        apart = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
        # By hand: 2 between participants, 1.5 between sessions, no error: 2 / (2 + 2 x 1.5 / 3).
        assert icc21(apart).value == pytest.approx(2 / 3)

    def test_perfect_agreement(self):
        assert icc21(np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])) == (1.0, 1.0, 1.0)

    def test_participants_that_do_not_differ_have_none(self):
        result = icc21(np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]))
        assert result.value == pytest.approx(0, abs=1e-15)

    def test_disagreement_is_negative_and_has_limits(self):
        # By hand: nothing between participants nor sessions, and a mean square error of 4 / 2.
        result = icc21(np.array([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]]))
        error = 2
        assert result.value == pytest.approx(-error / (error - 2 * error / 3))
        assert result.low <= result.value <= result.high

    @pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
    def test_without_any_variation_there_is_none(self, value):
        assert icc21(np.full((4, 3), value)) is None

    @given(TABLES, st.randoms(use_true_random=False))
    def test_what_does_not_matter(self, values, random):
        assume(np.ptp(values) > 0)
        result = icc21(values)
        assert result.value - result.low >= -1e-9
        assert result.high - result.value >= -1e-9
        assert result.high <= 1 + 1e-9
        order = random.sample(range(len(values)), len(values))
        sessions = random.sample(range(values.shape[1]), values.shape[1])
        for same in (values + 37.5, -3 * values, 1e-150 * values, values[order][:, sessions]):
            assert icc21(same) == pytest.approx(result, rel=1e-6, abs=1e-6)


class TestSplitHalf:
    def test_it_is_pearson_stepped_up(self):
        rng = np.random.default_rng(1910)
        odd, even = rng.normal(size=(2, 9)) + rng.normal(0, 4, 9)
        r = np.corrcoef(odd, even)[0, 1]
        result = split_half(odd, even)
        assert result.value == pytest.approx(2 * r / (1 + r))
        low, high = np.tanh(np.arctanh(r) + stats.norm.ppf([0.025, 0.975]) / np.sqrt(9 - 3))
        assert low > 0
        assert result[1:] == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))

    def test_it_finds_the_reliability_of_the_mean_of_all_runs(self):
        rng = np.random.default_rng(4)
        # Four runs with as much noise as there is signal: 1 / (1 + 1/4).
        runs = rng.normal(size=(20000, 1)) + rng.normal(size=(20000, 4))
        result = split_half(runs[:, ::2].mean(axis=1), runs[:, 1::2].mean(axis=1))
        assert result.value == pytest.approx(0.8, abs=0.01)

    def test_three_participants_have_no_interval(self):
        result = split_half(np.array([1.0, 2, 3]), np.array([3.0, 2, 1]))
        assert result.value == pytest.approx(-1)
        assert result[1:] == (None, None)

    def test_a_half_without_variation(self):
        varied, alike = np.array([1.0, 2, 3]), np.array([0.1, 0.1, np.mean([0.1, 0.1, 0.1])])
        assert split_half(varied, alike) is None
        assert split_half(alike, varied) is None

    @given(arrays(float, (2, 6), elements=st.integers(-100, 100).map(float)))
    def test_what_does_not_matter(self, halves):
        odd, even = halves
        assume(np.ptp(odd) > 0)
        assume(np.ptp(even) > 0)
        result = split_half(odd, even)
        assert -1 - 1e-9 <= result.low <= result.value + 1e-9
        assert result.value - 1e-9 <= result.high <= 1 + 1e-9
        for same in ((even, odd), (odd[::-1], even[::-1]), (odd + 8, 5 * even)):
            assert split_half(*same) == pytest.approx(result, abs=1e-6)
        mirrored = split_half(odd, -even)
        assert mirrored.value == pytest.approx(-result.value, abs=1e-9)
        assert (mirrored.low, mirrored.high) == pytest.approx((-result.high, -result.low), abs=1e-6)


class TestRuns:
    def test_both_coefficients_over_runs(self):
        icc, half = over_runs(SHROUT_FLEISS)
        assert (icc.over, icc.method, icc.n, icc.k) == ("runs", "icc21", 6, 4)
        assert (icc.value, icc.ci95_low, icc.ci95_high) == icc21(SHROUT_FLEISS)
        assert (half.over, half.method, half.n, half.k) == (
            "runs",
            "split_half_spearman_brown",
            6,
            4,
        )
        expected = split_half(SHROUT_FLEISS[:, [0, 2]].mean(1), SHROUT_FLEISS[:, [1, 3]].mean(1))
        assert (half.value, half.ci95_low, half.ci95_high) == pytest.approx(expected)
        assert (icc.excluded, icc.note, half.excluded, half.note) == (None, None, None, None)
        assert (icc.session, icc.task, icc.roi, icc.hemi) == (None, "main", "left", "both")

    def test_the_number_of_runs_that_most_have_and_any_two_for_halves(self):
        table = [[1.0, 2, 3], [2.0, 4, 4], [5.0, 4, 6], [7.0, 8], [3.0]]
        icc, half = over_runs(table)
        assert (icc.n, icc.k, icc.excluded) == (3, 3, "sub-4:2_runs; sub-5:1_runs")
        assert icc.value == icc21(np.array(table[:3])).value
        assert (half.n, half.k, half.excluded) == (4, None, "sub-5:1_runs")
        odd, even = np.array([2.0, 3, 5.5, 7]), np.array([2.0, 4, 4, 8])
        assert half.value == pytest.approx(split_half(odd, even).value)

    def test_of_two_numbers_that_as_many_have_the_larger(self):
        icc, _ = over_runs([[1.0, 2], [2.0, 4, 4], [5.0, 4], [7.0, 8, 9]])
        assert (icc.n, icc.excluded) == (2, "sub-1:2_runs; sub-3:2_runs")
        assert (icc.value, icc.note) == (None, "fewer than 3 participants")

    def test_more_runs_than_most_have_are_no_better(self):
        icc, _ = over_runs([[1.0, 2], [2.0, 4], [5.0, 4], [7.0, 8, 9, 8]])
        assert (icc.n, icc.k, icc.excluded) == (3, 2, "sub-4:4_runs")

    def test_whoever_has_no_estimate_does_not_decide_on_the_number_of_runs(self):
        rows = [row(i, 1.0) for i in range(3)]
        rows += [row(i, None, status="below_min_vertices") for i in range(3, 7)]
        table = [[1.0, 2], [2.0, 4], [5.0, 4], *[[1.0, 2, 3]] * 4]
        runs = [run for whole, of in zip(rows, table, strict=True) for run in runs_of(whole, *of)]
        icc, _ = reliability_of(rows, runs)
        assert (icc.n, icc.k) == (3, 2)

    def test_runs_come_in_the_order_of_their_numbers(self):
        rows = [row(i, 1.0) for i in range(4)]
        table = np.array([[1.0, 5, 4], [2, 9, 3], [4, 3, 7], [8, 6, 1]])
        runs = []
        for whole, of in zip(rows, table, strict=True):
            named = zip(("10", "11", "2"), runs_of(whole, *of), strict=True)
            runs += [(run, measured) for run, (_, measured) in named]
        _, half = reliability_of(rows, runs)
        expected = split_half((table[:, 2] + table[:, 1]) / 2, table[:, 0])
        assert half.value == pytest.approx(expected.value)

    def test_a_run_without_a_number(self):
        table = [[1.0, 2, 3], [2.0, None, 4], [5.0, 4, 6], [7.0, 8, 7.5], [1.0, None, None]]
        rows = [row(i, 1.0) for i in range(5)]
        runs = [run for whole, of in zip(rows, table, strict=True) for run in runs_of(whole, *of)]
        icc, half = reliability_of(rows, runs)
        assert (icc.n, icc.excluded) == (3, "sub-1:empty_roi; sub-4:empty_roi")
        assert icc.value == pytest.approx(icc21(np.array([table[0], table[2], table[3]])).value)
        assert (half.n, half.k, half.excluded) == (4, None, "sub-4:empty_roi")
        odd, even = np.array([2.0, 2, 5.5, 7.25]), np.array([2.0, 4, 4, 8])
        assert half.value == pytest.approx(split_half(odd, even).value)

    def test_whoever_has_no_estimate_stays_out_whatever_the_runs_are(self):
        rows = [row(i, 1.0) for i in range(1, 7)]
        rows[1] = replace(rows[1], estimate=None, status="below_min_vertices")
        rows.append(row(7, None, status="missing_participant"))
        rows.append(row(8, 1.0))
        runs = [
            run
            for whole, of in zip(rows, SHROUT_FLEISS, strict=False)
            for run in runs_of(whole, *of)
        ]
        icc, half = reliability_of(rows, runs)
        named = "sub-2:below_min_vertices; sub-7:missing_participant; sub-8:0_runs"
        assert (icc.n, icc.excluded, half.n, half.excluded) == (5, named, 5, named)
        assert icc.value == icc21(np.delete(SHROUT_FLEISS, 1, axis=0)).value

    def test_runs_of_what_was_not_selected_are_passed_over(self):
        rows = [row(i, 1.0) for i in range(6)]
        others = [row(i, 1.0, roi="right") for i in range(6)]
        runs = [
            run
            for whole, of in zip(others, SHROUT_FLEISS, strict=True)
            for run in runs_of(whole, *of)
        ]
        assert reliability_of(rows, runs) == []
        assert [result.roi for result in reliability_of(rows + others, runs)] == ["right", "right"]

    def test_too_few_participants_and_no_variation(self):
        for result in over_runs([[1.0, 2.0], [3.0, 4.0]]):
            assert (result.value, result.n, result.note) == (None, 2, "fewer than 3 participants")
        for result in over_runs([[0.1, 0.1, 0.1]] * 4):
            assert (result.value, result.n) == (None, 4)
            assert result.note == "no variation between participants"

    def test_the_weakest_independence_of_what_is_used(self):
        rows = [row(i, 1.0) for i in range(4)]
        runs = [
            run
            for whole, of in zip(rows, SHROUT_FLEISS, strict=False)
            for run in runs_of(whole, *of)
        ]
        assert {result.independence for result in reliability_of(rows, runs)} == {"independent"}
        runs[0] = ("1", replace(runs[0][1], independence="circular"))
        assert {result.independence for result in reliability_of(rows, runs)} == {"circular"}
        without = [replace(rows[0], estimate=None, status="empty_roi"), *rows[1:]]
        assert {result.independence for result in reliability_of(without, runs)} == {"independent"}

    def test_single_runs_have_no_reliability(self):
        assert over_runs([[1.0], [2.0], [3.0]]) == []
        assert reliability_of([row(i, float(i)) for i in range(5)], []) == []


class TestSessions:
    def of(self, table):
        """Rows of participants 1, 2, ... with their numbers in sessions a, b, ..."""
        return [
            row(i, number, session=session)
            for i, numbers in enumerate(table, start=1)
            for session, number in zip("abcd", numbers, strict=False)
        ]

    def test_sessions_are_the_measurements(self):
        (result,) = reliability_of(self.of(SHROUT_FLEISS.tolist()), [])
        assert (result.session, result.over, result.method) == (None, "sessions", "icc21")
        assert (result.n, result.k, result.note) == (6, 4, None)
        assert (result.value, result.ci95_low, result.ci95_high) == icc21(SHROUT_FLEISS)

    def test_who_lacks_a_session_is_left_out_and_named(self):
        table = SHROUT_FLEISS.tolist()
        table[2][1] = None
        table[4] = table[4][:3]
        (result,) = reliability_of(self.of(table), [])
        assert (result.n, result.k) == (4, 4)
        assert result.excluded == "sub-3:empty_roi; sub-5:missing_map"
        assert result.value == icc21(SHROUT_FLEISS[[0, 1, 3, 5]]).value

    def test_a_session_that_few_have_costs_nobody(self):
        table = [[*numbers[:2], None] for numbers in SHROUT_FLEISS.tolist()]
        table[0][2] = 3.0
        (result,) = reliability_of(self.of(table), [])
        assert (result.n, result.k, result.note) == (6, 2, "sessions a, b of a, b, c")
        assert result.value == icc21(SHROUT_FLEISS[:, :2]).value

    def test_runs_are_compared_within_their_session(self):
        rows = [row(i, 1.0, session=s) for s in "ab" for i in range(3)]
        of_a, of_b = SHROUT_FLEISS[:3, :2], SHROUT_FLEISS[3:, 1:]
        tables = [*of_a.tolist(), *of_b.tolist()]
        runs = [run for whole, of in zip(rows, tables, strict=True) for run in runs_of(whole, *of)]
        found = {(r.session, r.over, r.method): r for r in reliability_of(rows, runs)}
        assert len(found) == 5
        assert found["a", "runs", "icc21"].value == icc21(of_a).value
        assert found["b", "runs", "icc21"].value == icc21(of_b).value
        assert found[None, "sessions", "icc21"].note == "no variation between participants"

    def test_nobody_has_two_sessions(self):
        rows = [row(1, 1.0, session="a"), row(2, 1.0, session="b"), row(3, None, session="b")]
        (result,) = reliability_of(rows, [])
        assert (result.n, result.k, result.value) == (0, None, None)
        assert result.excluded == "sub-1:missing_map; sub-2:missing_map; sub-3:empty_roi"

    def test_maps_without_a_session_are_no_session(self):
        rows = [row(i, float(i), session=s) for i in range(4) for s in (None, "a")]
        assert reliability_of(rows, []) == []
