from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nilearn.mass_univariate import permuted_ols
from scipy import stats

from bids_secondlevel.stats.testing.permutation import SMALLEST_SAMPLE, sign_flip_tests


def by_hand(values, in_family):
    """All flips, one at a time, with scipy's t."""
    observed = np.abs(stats.ttest_1samp(values, 0, nan_policy="omit").statistic)
    count, count_fwe = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    flips = list(product([1, -1], repeat=len(values)))
    for flip in flips:
        flipped = values * np.array(flip)[:, np.newaxis]
        t = np.abs(stats.ttest_1samp(flipped, 0, nan_policy="omit").statistic)
        count += t >= observed * (1 - 1e-9)
        count_fwe += t[in_family].max() >= observed * (1 - 1e-9)
    return count / len(flips), np.where(in_family, count_fwe / len(flips), np.nan)


def family_of(values):
    return np.ones(values.shape[1], dtype=bool)


def test_all_flips_equal_a_loop_over_them():
    values = np.random.default_rng(0).normal(0.6, 1, (6, 4))
    in_family = np.array([True, True, False, True])
    result = sign_flip_tests(values, in_family, 64)
    p, p_fwe = by_hand(values, in_family)
    assert result.p == pytest.approx(p)
    assert result.p_fwe == pytest.approx(p_fwe, nan_ok=True)
    assert result.n_flips.tolist() == [64] * 4


def test_missing_values_equal_a_loop_over_all_flips():
    values = np.random.default_rng(1).normal(0.8, 1, (8, 3))
    values[0, 0] = values[5, 2] = values[6, 2] = np.nan
    result = sign_flip_tests(values, family_of(values), 256)
    p, p_fwe = by_hand(values, family_of(values))
    assert result.p == pytest.approx(p)
    assert result.p_fwe == pytest.approx(p_fwe)


def test_random_flips_agree_with_nilearn():
    random = np.random.default_rng(2)
    common = random.normal(0, 1, (25, 1))
    values = random.normal([0.3, 0.5, 0.7, 0.9, 1.1, 0.1], 1, (25, 6)) + common
    n = 4000
    result = sign_flip_tests(values, family_of(values), n)
    theirs = permuted_ols(
        np.ones((25, 1)), values, model_intercept=False, n_perm=n, random_state=3, verbose=0
    )
    expected = 10 ** -theirs["logp_max_t"].ravel()
    # The difference of two estimates of a proportion from n flips each.
    error = np.sqrt(2 * expected * (1 - expected) / n) + 1 / n
    assert np.all(np.abs(result.p_fwe - expected) < 4 * error)
    assert result.n_flips.tolist() == [n] * 6
    assert expected.min() < 0.2 < expected.max()


def test_random_flips_agree_with_all_flips():
    values = np.random.default_rng(4).normal(0.3, 1, (12, 5))
    exact = sign_flip_tests(values, family_of(values), 4096)
    random = sign_flip_tests(values, family_of(values), 4095)
    assert exact.n_flips[0] == 4096
    assert random.n_flips[0] == 4095
    for name in ("p", "p_fwe"):
        p = getattr(exact, name)
        error = np.sqrt(p * (1 - p) / 4095) + 1 / 4096
        assert np.all(np.abs(getattr(random, name) - p) < 4 * error)


def test_the_familywise_error_rate_is_what_it_says():
    random = np.random.default_rng(5)
    n_studies, level = 600, 0.05
    rejected = corrected = 0
    for _ in range(n_studies):
        values = random.standard_t(4, (12, 8)) + 0.7 * random.normal(size=(12, 1))
        result = sign_flip_tests(values, family_of(values), 299)
        rejected += result.p.min() <= level
        corrected += result.p_fwe.min() <= level
    error = np.sqrt(level * (1 - level) / n_studies)
    assert abs(corrected / n_studies - level) < 3.5 * error
    assert rejected / n_studies > level + 3.5 * error  # what the correction is for


def test_a_test_with_few_participants_uses_all_its_flips_and_stays_out_of_the_family():
    values = np.random.default_rng(6).normal(1, 1, (30, 3))
    alone = sign_flip_tests(values[:, :2], np.ones(2, dtype=bool), 500)
    values[3:, 2] = np.nan
    values[:3, 2] = [10.0, 10.1, 9.9]
    result = sign_flip_tests(values, family_of(values), 500)
    assert result.n_flips.tolist() == [500, 500, 8]
    assert result.p[2] == 0.25
    assert np.isnan(result.p_fwe[2])
    assert result.p_fwe[:2].tolist() == alone.p_fwe.tolist()
    assert result.p[:2].tolist() == alone.p.tolist()


def test_where_nobody_has_more_few_participants_are_a_family():
    values = np.random.default_rng(7).normal(1, 1, (SMALLEST_SAMPLE - 1, 2))
    result = sign_flip_tests(values, family_of(values), 1000)
    assert result.p_fwe == pytest.approx(by_hand(values, family_of(values))[1])


def test_nothing_to_test():
    values = np.array([[1.0, np.nan, 2.0], [1.0, np.nan, np.nan]])
    result = sign_flip_tests(values, family_of(values), 100)
    assert np.isnan(result.p).all()
    assert np.isnan(result.p_fwe).all()
    assert sign_flip_tests(np.empty((0, 0)), np.empty(0, dtype=bool), 100).p.shape == (0,)


def test_equal_sizes_of_opposite_sign():
    # Flips that make all three equal have no variance: their t is infinite, and counts.
    values = np.array([[1.0], [-1.0], [1.0]])
    result = sign_flip_tests(values, family_of(values), 100)
    assert (result.p[0], result.p_fwe[0]) == (1.0, 1.0)


samples = hnp.arrays(
    float,
    st.tuples(st.integers(3, 7), st.integers(1, 4)),
    elements=st.integers(-50, 50).map(float),
)


@given(samples, st.sampled_from([1e-30, 0.1, 3.0, 1e30]))
def test_invariances(values, factor):
    """Neither units, nor the order of participants, nor a flip of them all changes anything."""
    result = sign_flip_tests(values, family_of(values), 128)
    scaled = sign_flip_tests(-values[::-1] * factor, family_of(values), 128)
    assert scaled.p == pytest.approx(result.p, nan_ok=True)
    assert scaled.p_fwe == pytest.approx(result.p_fwe, nan_ok=True)
    tested = np.isfinite(result.p)
    assert np.all(result.p_fwe[tested] >= result.p[tested])
    assert np.all(result.p[tested] >= 2.0 ** (1 - len(values)))
