import numpy as np
import pytest
from scipy import stats

from bids_secondlevel.measures import EstimateRow
from bids_secondlevel.stats import one_sample_tests


def row(participant, estimate, *, hemi="both", status="ok", independence="independent"):
    return EstimateRow(
        participant_id=f"sub-{participant}",
        session=None,
        task="main",
        contrast="attend",
        roi="left",
        hemi=hemi,
        space="fsnative",
        statistic="effect",
        estimate=estimate,
        status=status,
        independence=independence,
    )


def result_of(rows):
    (result,) = one_sample_tests(rows)
    return result


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
    assert "circular" in result.note


@pytest.mark.parametrize(
    ("values", "mean", "note"),
    [
        ([], None, "no participant has an estimate"),
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


def test_cells_are_not_mixed():
    results = one_sample_tests(
        [row(1, 1.0, hemi="L"), row(1, 9.0, hemi="R"), row(2, 3.0, hemi="L"), row(2, 9.5, hemi="R")]
    )
    assert [(result.hemi, result.mean) for result in results] == [("L", 2.0), ("R", 9.25)]


def test_a_participant_without_a_number_does_not_decide_on_independence():
    rows = [row(i, float(i), independence="crossvalidated") for i in (1, 2, 3)]
    result = result_of([*rows, row(4, None, status="missing_map", independence="circular")])
    assert result.independence == "crossvalidated"
    assert result.p is not None
