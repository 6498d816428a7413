"""Bayes factors, equivalence tests and power, against R, quadrature and simulated samples."""

import numpy as np
import pytest
from r_references import STUDIES, estimates_of, read
from scipy import integrate, stats

from bids_secondlevel.core.inference import Inference
from bids_secondlevel.stats.testing.evidence import (
    bayes_factors,
    detectable_effects,
    equivalence_tests,
)
from bids_secondlevel.stats.testing.one_sample import one_sample_tests

INFERENCE = Inference(n_permutations=2**16, equivalence_bound=0.2)


@pytest.mark.parametrize("study", STUDIES)
def test_tests_are_those_of_r(study):
    tests = one_sample_tests(estimates_of(study), INFERENCE)
    expected = read(study, "r_statistics")
    both = expected[expected["group"] == "all"].merge(
        tests, on=["contrast", "roi", "hemi"], suffixes=("_r", ""), validate="one_to_one"
    )
    assert len(both) == len(tests)
    for column in (
        *("n", "mean", "sd", "t", "df", "p", "ci95_low", "ci95_high", "cohens_d"),
        *("p_equivalence", "p_holm", "q_fdr"),
    ):
        np.testing.assert_allclose(both[column], both[f"{column}_r"], rtol=1e-9, err_msg=column)
    for column in ("p_permutation", "p_fwe"):
        known = both[f"{column}_r"].notna()
        np.testing.assert_allclose(
            both.loc[known, column], both.loc[known, f"{column}_r"], rtol=1e-9, err_msg=column
        )
    there = both["bf10_root_half"].notna()
    np.testing.assert_allclose(both["bf10"][there], both["bf10_root_half"][there], rtol=2e-6)
    everything = one_sample_tests(estimates_of(study), Inference(family="all"))
    for column in ("p_holm", "q_fdr"):
        np.testing.assert_allclose(
            everything.merge(
                expected[expected["group"] == "all"], on=["contrast", "roi"], suffixes=("", "_r")
            ).eval(f"{column} - {column}_all"),
            0,
            atol=1e-12,
        )


def by_quadrature(t, df, size):
    """Integrate the formula as Rouder et al. write it."""
    scaled = size / 2  # n times the square of the scale of the prior

    def integrand(g):
        ratio = (1 + t**2 / ((1 + scaled * g) * df)) / (1 + t**2 / df)
        prior = (2 * np.pi) ** -0.5 * g**-1.5 * np.exp(-1 / (2 * g))
        return (1 + scaled * g) ** -0.5 * ratio ** (-(df + 1) / 2) * prior

    return integrate.quad(integrand, 0, np.inf, epsabs=0, epsrel=1e-11, limit=500)[0]


@pytest.mark.parametrize(
    ("t", "df", "size"), [(0, 19, 20), (-3, 19, 20), (1, 1, 2), (8, 9, 10), (2.2, 13.7, 3.75)]
)
def test_bayes_factors_are_integrals(t, df, size):
    (factor,) = bayes_factors(np.array([t]), np.array([df]), np.array([size]))
    assert factor == pytest.approx(by_quadrature(t, df, size), rel=1e-8)


def test_bayes_factors_of_an_extreme_t():
    # Where t^2 is far above everything else, the factor grows with the power df - 1 of t.
    t = 10.0 ** np.arange(3, 12)
    factors = bayes_factors(t, np.full(t.size, 5.0), np.full(t.size, 6.0))
    assert np.diff(np.log10(factors)) == pytest.approx(np.full(t.size - 1, 4.0), rel=1e-4)
    assert np.isfinite(bayes_factors(np.array([1e9]), np.array([1999.0]), np.array([2000.0])))
    assert bayes_factors(np.array([]), np.array([]), np.array([])).size == 0


def test_equivalence_is_two_one_sided_tests():
    values = np.random.default_rng(1).normal(0.05, 0.3, 15)
    mean, se, df = values.mean(), values.std(ddof=1) / np.sqrt(15), 14
    found = equivalence_tests(np.array([mean]), np.array([se]), np.array([df]), 0.2)
    expected = max(
        stats.ttest_1samp(values, -0.2, alternative="greater").pvalue,
        stats.ttest_1samp(values, 0.2, alternative="less").pvalue,
    )
    assert found.p[0] == pytest.approx(expected)
    limits = stats.t.interval(0.9, df, mean, se)
    assert (found.low[0], found.high[0]) == pytest.approx(limits)


@pytest.mark.parametrize("n", [3, 9, 30, 200])
def test_the_detectable_effect_is_found_in_four_of_five_samples(n):
    (d,) = detectable_effects(np.array([n - 1.0]), np.array([float(n)]))
    critical = stats.t.ppf(0.975, n - 1)
    assert stats.nct.sf(critical, n - 1, d * np.sqrt(n)) == pytest.approx(0.8, rel=1e-5)
