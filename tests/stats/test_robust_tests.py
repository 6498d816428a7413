"""Wilcoxon's and Yuen's tests, against scipy and brute force."""

from itertools import product

import numpy as np
import pytest
from r_references import estimates_of
from scipy import stats

from bids_secondlevel.core.inference import Inference
from bids_secondlevel.stats.robust_tests import robust_tests
from bids_secondlevel.stats.tests import one_sample_tests


@pytest.mark.parametrize("n", [3, 6, 12, 30, 50])
def test_wilcoxon_is_that_of_scipy(n):
    values = np.random.default_rng(n).normal(0.4, 1, (n, 3))
    found = robust_tests(values).p_wilcoxon
    assert found == pytest.approx([stats.wilcoxon(of, method="exact").pvalue for of in values.T])


def test_wilcoxon_with_ties_and_zeros_counts_all_signs():
    sample = np.array([0.0, 1.0, 1.0, -2.0, 3.0, 3.0, 3.0, -1.0])
    ranks = stats.rankdata(np.abs(sample[sample != 0]))
    reached = ranks[sample[sample != 0] > 0].sum()
    every = product((0, 1), repeat=7)
    sums = [np.dot(ranks, signs) for signs in every]
    middle = ranks.sum() / 2
    expected = np.mean([abs(s - middle) >= abs(reached - middle) for s in sums])
    assert robust_tests(sample[:, None]).p_wilcoxon[0] == pytest.approx(expected)


def test_wilcoxon_of_many_is_approximate():
    sample = np.random.default_rng(1).normal(0.2, 1, 80)
    expected = stats.wilcoxon(sample, method="asymptotic").pvalue
    assert robust_tests(sample[:, None]).p_wilcoxon[0] == pytest.approx(expected)


@pytest.mark.parametrize("n", [4, 7, 15, 40])
def test_yuen_is_that_of_scipy(n):
    sample = np.random.default_rng(n).normal(0.5, 1, n)
    found = robust_tests(sample[:, None])
    cut = int(0.2 * n)
    assert found.trimmed_mean[0] == pytest.approx(stats.trim_mean(sample, 0.2))
    winsorized = stats.mstats.winsorize(sample, (cut / n, cut / n)).data
    se = winsorized.std(ddof=1) / ((1 - 2 * cut / n) * np.sqrt(n))
    h = n - 2 * cut
    # Tukey and McLaughlin's standard error, with the sizes as they are and not as shares.
    se *= (1 - 2 * cut / n) * np.sqrt(n) * np.sqrt(n - 1) / np.sqrt(h * (h - 1))
    assert found.t_yuen[0] == pytest.approx(found.trimmed_mean[0] / se)
    assert found.p_yuen[0] == pytest.approx(2 * stats.t.sf(abs(found.t_yuen[0]), h - 1))


def test_an_extreme_participant_does_not_decide():
    sample = np.append(np.random.default_rng(2).normal(1, 0.5, 14), -1000.0)
    found = robust_tests(sample[:, None])
    assert stats.ttest_1samp(sample, 0).pvalue > 0.3
    assert max(found.p_wilcoxon[0], found.p_yuen[0]) < 0.02


def test_only_if_asked_for():
    estimates = estimates_of("complete")
    assert one_sample_tests(estimates)["p_wilcoxon"].isna().all()
    tests = one_sample_tests(estimates, Inference(is_robust=True))
    assert tests[["p_wilcoxon", "p_yuen", "trimmed_mean"]].notna().all(axis=None)


def test_too_few():
    found = robust_tests(np.array([[1.0, 0.0], [np.nan, 0.0]]))
    assert found.p_wilcoxon[0] == 1
    assert np.isnan(found.p_wilcoxon[1])
    assert np.isnan(found.p_yuen).all()
