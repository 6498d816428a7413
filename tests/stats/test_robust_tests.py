"""Wilcoxon's and Yuen's tests, against scipy and brute force."""

from itertools import product

import numpy as np
import pytest
from r_references import estimates_of
from scipy import stats

from bids_secondlevel.core.inference import Inference
from bids_secondlevel.stats.comparisons import paired_tests
from bids_secondlevel.stats.groups import Groups
from bids_secondlevel.stats.testing.one_sample import one_sample_tests
from bids_secondlevel.stats.testing.robust import robust_comparisons, robust_tests


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


SIZES = [(2, 2), (4, 6), (5, 9), (8, 30), (12, 11), (40, 25)]


def two_groups(sizes):
    random = np.random.default_rng(sum(sizes))
    return random.normal(0.6, 1, (sizes[0], 3)), random.normal(0, 2, (sizes[1], 3))


@pytest.mark.parametrize("sizes", SIZES)
def test_comparisons_of_groups_are_those_of_scipy(sizes):
    one, other = two_groups(sizes)
    found = robust_comparisons(one, other)
    expected = stats.mannwhitneyu(one, other)
    assert found.u_mannwhitney == pytest.approx(expected.statistic)
    assert found.p_mannwhitney == pytest.approx(expected.pvalue)
    yuen = stats.ttest_ind(one, other, equal_var=False, trim=0.2)
    assert found.t_yuen == pytest.approx(yuen.statistic)
    assert found.df_yuen == pytest.approx(yuen.df)
    assert found.p_yuen == pytest.approx(yuen.pvalue)
    difference = stats.trim_mean(one, 0.2) - stats.trim_mean(other, 0.2)
    assert found.trimmed_mean == pytest.approx(difference)


def test_mann_and_whitney_is_exact_in_small_groups_without_ties():
    one, other = two_groups((5, 4))
    found = robust_comparisons(one, other)
    exact = [
        stats.mannwhitneyu(a, b, method="exact").pvalue for a, b in zip(one.T, other.T, strict=True)
    ]
    assert found.p_mannwhitney == pytest.approx(exact)
    tied = np.round(one[:, :1]), np.round(other[:, :1])
    expected = stats.mannwhitneyu(*tied, method="asymptotic").pvalue
    assert robust_comparisons(*tied).p_mannwhitney == pytest.approx(expected)


def test_who_has_no_number_is_in_no_group():
    one, other = two_groups((9, 12))
    gaps = one.copy()
    gaps[:2, 1] = np.nan
    found = robust_comparisons(gaps, other)
    assert found.t_yuen[0] == robust_comparisons(one, other).t_yuen[0]
    expected = stats.ttest_ind(one[2:, 1], other[:, 1], equal_var=False, trim=0.2)
    assert found.p_yuen[1] == pytest.approx(expected.pvalue)
    assert found.u_mannwhitney[1] == stats.mannwhitneyu(one[2:, 1], other[:, 1]).statistic


def test_what_is_left_after_trimming_may_not_vary():
    one, other = np.array([[1.0, 2, 2, 2, 9]]).T, np.array([[0.1, 0.1, 0.1, 0.1, 5]]).T
    found = robust_comparisons(one, other)
    assert found.trimmed_mean == pytest.approx(1.9)
    assert np.isnan([found.t_yuen, found.df_yuen, found.p_yuen]).all()
    assert np.isfinite(found.p_mannwhitney).all()


def test_groups_are_compared_robustly_only_if_asked_for():
    estimates = estimates_of("complete")
    people = sorted(estimates["participant_id"].unique())
    groups = Groups(column="g", of={who: "ab"[i % 2] for i, who in enumerate(people)})
    names = ["p_mannwhitney", "u_mannwhitney", "p_yuen", "df_yuen", "trimmed_mean"]
    plain = paired_tests(estimates, groups=groups)
    assert plain[names].isna().all(axis=None)
    tests = paired_tests(estimates, Inference(is_robust=True), groups=groups)
    is_of_groups = tests["comparison"] == "group"
    assert tests.loc[is_of_groups, names].notna().all(axis=None)
    assert tests.loc[~is_of_groups, "p_mannwhitney"].isna().all()
    row = tests[is_of_groups].iloc[0]
    cell = ["contrast", "roi", "hemi"]
    of_cell = estimates[(estimates[cell] == row[cell]).all(axis=1)]
    of = of_cell["participant_id"].map(groups.of)
    samples = [of_cell.loc[of == name, "estimate"] for name in (row["group"], row["versus"])]
    yuen = stats.ttest_ind(*samples, equal_var=False, trim=0.2)
    assert row["p_yuen"] == pytest.approx(yuen.pvalue)
    assert row["p_mannwhitney"] == pytest.approx(stats.mannwhitneyu(*samples).pvalue)
