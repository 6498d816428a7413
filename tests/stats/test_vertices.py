"""Tests at every vertex: against nilearn, plain loops, and truth."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from nilearn.glm.second_level import SecondLevelModel
from nilearn.mass_univariate import permuted_ols
from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage
from scipy import stats

from bids_secondlevel.stats.testing.permutation import sign_flip_tests
from bids_secondlevel.stats.vertices import vertex_comparisons, vertex_tests

TIES = 1 - 1e-9


def everyone(values):
    return np.ones(len(values), dtype=bool)


def nowhere(values):
    return np.zeros(values.shape[1], dtype=bool)


def test_t_is_that_of_nilearn():
    rng = np.random.default_rng(1)
    n = {"left": 40, "right": 30}
    parts = {side: rng.normal(0.3, 1, (12, size)).astype("f4") for side, size in n.items()}
    mesh = PolyMesh(
        **{
            side: InMemoryMesh(
                rng.normal(size=(size, 3)),
                np.array([[i, (i + 1) % size, (i + 2) % size] for i in range(size)]),
            )
            for side, size in n.items()
        }
    )
    images = [
        SurfaceImage(mesh, {side: of[who, :, None] for side, of in parts.items()})
        for who in range(12)
    ]
    import pandas as pd

    model = SecondLevelModel().fit(images, design_matrix=pd.DataFrame({"intercept": np.ones(12)}))
    theirs = model.compute_contrast("intercept", output_type="all")
    values = np.concatenate([parts["left"], parts["right"]], axis=1)
    ours, _ = vertex_tests(values, everyone(values), nowhere(values), 0)

    def of(name):
        return np.concatenate([np.ravel(theirs[name].data.parts[side]) for side in n])

    assert ours.t == pytest.approx(of("stat"), rel=1e-5)
    assert ours.effect == pytest.approx(of("effect_size"), rel=1e-5)
    assert np.isnan(ours.p).all()


def test_random_flips_agree_with_nilearn():
    values = np.random.default_rng(2).normal(0.25, 1, (25, 40))
    n = 4000
    ours, flips = vertex_tests(values, everyone(values), nowhere(values), n)
    theirs = permuted_ols(
        np.ones((25, 1)), values, model_intercept=False, n_perm=n, random_state=3, verbose=0
    )
    expected = 10 ** -theirs["logp_max_t"].ravel()
    error = np.sqrt(2 * expected * (1 - expected) / n) + 1 / n
    assert np.all(np.abs(ours.p - expected) < 4 * error)
    assert (flips.number, flips.is_exact) == (n, False)
    assert expected.min() < 0.2 < expected.max()


def test_they_are_the_tests_of_a_table_whatever_the_blocks():
    # More vertices than are looked at together, and flips that are not all.
    values = np.random.default_rng(3).normal(0.1, 1, (13, 9000))
    region = np.arange(9000) % 7 == 0
    ours, _ = vertex_tests(values, everyone(values), region, 300)
    for p, family in ((ours.p, ~nowhere(values)), (ours.p_region, region)):
        theirs = sign_flip_tests(values[:, family], np.ones(family.sum(), dtype=bool), 300)
        assert p[family] == pytest.approx(theirs.p_fwe, rel=1e-6)
        assert np.isnan(p[~family]).all()


def with_gaps(shape, seed):
    """Values of which some are missing: three of a vertex, four of another, all of a third."""
    values = np.random.default_rng(seed).normal(0.6, 1, shape)
    values[[0, 2], 1] = np.nan
    values[5, 2] = np.inf
    values[:4, 3] = np.nan
    values[:, 4] = np.nan
    values[:, 5] = 2.0
    return values


def flipped(values):
    """Largest t under each of all flips, one at a time."""
    flips = [np.array(flip)[:, None] for flip in product([1, -1], repeat=len(values))]
    return np.array([np.abs(one_sample(values * flip)).max() for flip in flips])


def one_sample(values):
    return stats.ttest_1samp(values, 0, nan_policy="omit").statistic


def test_all_flips_equal_a_loop_over_them_also_if_values_are_missing():
    values = with_gaps((8, 9), seed=4)
    region = np.array([1, 1, 0, 0, 0, 0, 0, 1, 1], dtype=bool)
    ours, flips = vertex_tests(values, everyone(values), region, 256)
    assert (flips.number, flips.is_exact) == (256, True)
    assert ours.n.tolist() == [8, 6, 7, 4, 0, 8, 8, 8, 8]
    # Fewer than six of eight are too few, and nobody varies in a vertex.
    tested = np.array([0, 1, 2, 6, 7, 8])
    finite = np.where(np.isfinite(values), values, np.nan)
    t = one_sample(finite[:, tested])
    assert ours.t[tested] == pytest.approx(t, rel=1e-5)
    assert ours.effect[[*tested, 5]] == pytest.approx(np.nanmean(finite[:, [*tested, 5]], axis=0))
    assert np.isnan(ours.t[[3, 4, 5]]).all()
    assert np.isnan(ours.effect[[3, 4]]).all()
    largest = flipped(finite[:, tested])
    p = [(largest >= abs(of) * TIES).mean() for of in t]
    assert ours.p[tested] == pytest.approx(p)
    largest = flipped(finite[:, region])
    p = [(largest >= abs(of) * TIES).mean() for of in t[[0, 1, 4, 5]]]
    assert ours.p_region[region] == pytest.approx(p)
    assert np.isnan(ours.p_region[~region]).all()


def test_only_those_who_take_part_are_tested():
    values = np.random.default_rng(5).normal(size=(12, 20))
    some = np.arange(12) % 3 > 0
    ours, _ = vertex_tests(values, some, nowhere(values), 200)
    alone, _ = vertex_tests(values[some], everyone(values[some]), nowhere(values), 200)
    assert ours.p.tolist() == alone.p.tolist()
    assert ours.n.tolist() == [8] * 20


def welch(values, first):
    return stats.ttest_ind(
        values[first], values[~first], equal_var=False, nan_policy="omit"
    ).statistic


@pytest.mark.filterwarnings("ignore:After omitting NaNs")
def test_all_exchanges_of_two_groups_equal_a_loop_over_them():
    values = np.random.default_rng(6).normal(size=(9, 12)) * np.arange(1, 13)
    values[:4] += 1.0
    values[1, 3] = values[7, 3] = np.nan
    first = np.arange(9) < 4
    region = np.arange(12) < 5
    ours, exchanges = vertex_comparisons(values, (first, ~first), region, 200)
    assert (exchanges.number, exchanges.is_exact) == (comb(9, 4), True)
    t = welch(values, first)
    assert ours.t == pytest.approx(t, rel=1e-5)
    expected = np.nanmean(values[first], axis=0) - np.nanmean(values[~first], axis=0)
    assert ours.effect == pytest.approx(expected, rel=1e-5)
    every = []
    for chosen in combinations(range(9), 4):
        other = np.isin(np.arange(9), chosen)
        every.append(np.nan_to_num(np.abs(welch(values, other))))
    for p, family in ((ours.p, slice(None)), (ours.p_region, region)):
        largest = np.array(every)[:, family].max(axis=1)
        brute = (largest[:, None] >= np.abs(t) * TIES).mean(axis=0)
        assert p[family] == pytest.approx(brute[family])
    assert np.isnan(ours.p_region[~region]).all()


def test_random_exchanges_agree_with_all_of_them():
    values = np.random.default_rng(7).normal(size=(12, 15))
    values[:6, 0] += 2
    first = np.arange(12) < 6
    every, _ = vertex_comparisons(values, (first, ~first), nowhere(values), 924)
    some, exchanges = vertex_comparisons(values, (first, ~first), nowhere(values), 923)
    assert not exchanges.is_exact
    error = np.sqrt(every.p * (1 - every.p) / 923) + 1 / 924
    assert np.all(np.abs(some.p - every.p) < 4 * error)


def test_units_change_nothing():
    values = with_gaps((8, 9), seed=8)
    first = np.arange(8) < 4
    for factor in (1e-20, 1e20):
        for test in (
            lambda v: vertex_tests(v, everyone(v), nowhere(v), 256)[0],
            lambda v: vertex_comparisons(v, (first, ~first), nowhere(v), 256)[0],
        ):
            one, other = test(values), test(values * factor)
            assert other.t == pytest.approx(one.t, rel=1e-5, nan_ok=True)
            assert other.p == pytest.approx(one.p, nan_ok=True)


def test_groups_that_differ_and_do_not_vary_are_the_most_extreme():
    values = np.random.default_rng(9).normal(size=(8, 3))
    values[:4, 0], values[4:, 0] = 1.0, 2.0
    values[:, 1] = 3.0
    first = np.arange(8) < 4
    ours, _ = vertex_comparisons(values, (first, ~first), nowhere(values), 70)
    assert (ours.t[0], ours.p[0]) == (-np.inf, pytest.approx(2 / 70))
    assert np.isnan(ours.t[1])
    assert ours.effect[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flips", "exchanges"])
def test_the_familywise_error_is_what_it_says_on_smooth_maps(kind):
    """Noise as smooth as maps on fsaverage5 are, with heavy tails, in both families."""
    from nilearn.datasets import load_fsaverage
    from scipy.sparse import coo_array, diags_array

    mesh = load_fsaverage("fsaverage5")["sphere"].parts["left"]
    a, b, c = mesh.faces.T
    ends = np.concatenate([a, b, c, b, c, a]), np.concatenate([b, c, a, a, b, c])
    near = coo_array((np.ones(ends[0].size), ends)).tocsr()
    near.data[:] = 1.0
    smooth = diags_array(1 / (1 + near.sum(axis=1))) @ (near + diags_array(np.ones(near.shape[0])))
    region = np.arange(near.shape[0]) < 400
    rng = np.random.default_rng(10)
    n_studies, level, n = 400, 0.05, 14
    found = {"all": 0, "region": 0, "uncorrected": 0}
    for _ in range(n_studies):
        noise = rng.standard_t(5, (near.shape[0], n))
        for _ in range(6):  # about 10 mm
            noise = smooth @ noise
        if kind == "flips":
            tests, _ = vertex_tests(noise.T, np.ones(n, dtype=bool), region, 199)
        else:
            first = np.arange(n) < 6
            tests, _ = vertex_comparisons(noise.T, (first, ~first), region, 199)
        found["all"] += np.nanmin(tests.p) <= level
        found["region"] += np.nanmin(tests.p_region) <= level
        found["uncorrected"] += np.abs(tests.t).max() >= stats.t.ppf(0.975, n - 2)
    error = np.sqrt(level * (1 - level) / n_studies)
    assert abs(found["all"] / n_studies - level) < 3.5 * error
    assert abs(found["region"] / n_studies - level) < 3.5 * error
    assert found["uncorrected"] == n_studies  # what the correction is for
