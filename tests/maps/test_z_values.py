"""t values as z values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from bids_secondlevel.maps.z_values import t_to_z


@given(st.floats(-30, 30), st.integers(2, 500))
def test_z_of_t_has_the_same_tail_probability(t, degrees_of_freedom):
    z = t_to_z(np.array([t]), degrees_of_freedom)[0]
    assert stats.norm.logsf(abs(z)) == pytest.approx(
        stats.t.logsf(abs(t), degrees_of_freedom), rel=1e-6, abs=1e-9
    )
    assert np.sign(z) * np.sign(t) >= 0


@pytest.mark.parametrize(
    ("t", "df"), [(70.0, 900), (50.0, 2000), (-60.0, 1200), (80.0, 800), (45.0, 1e6), (1e6, 150)]
)
def test_probabilities_that_no_float_holds(t, df):
    """The tail is integrated in units of its density at t."""
    tail, _ = integrate.quad(
        lambda s: np.exp(stats.t.logpdf(abs(t) * (1 + s), df) - stats.t.logpdf(t, df)),
        0,
        np.inf,
        epsabs=0,
        limit=500,
        points=None,
    )
    expected = stats.t.logpdf(t, df) + np.log(abs(t) * tail)
    assert expected < -700
    (z,) = t_to_z(np.array([t]), df)
    assert special.log_ndtr(-abs(z)) == pytest.approx(expected, rel=1e-7)
    assert np.sign(z) == np.sign(t)


@pytest.mark.parametrize("df", [1, 2, 10, 150, 900, 1e4, 1e6])
def test_larger_t_have_larger_z_without_an_end(df):
    t = np.geomspace(0.1, 1e30, 3000)
    z = t_to_z(t, df)
    assert np.isfinite(z).all()
    assert (np.diff(z) > 0).all()
    np.testing.assert_array_equal(t_to_z(-t, df), -z)


def test_infinite_and_missing_values_stay():
    z = t_to_z(np.array([np.inf, -np.inf, np.nan, 0.0], dtype="f4"), 20)
    np.testing.assert_array_equal(z, [np.inf, -np.inf, np.nan, 0.0])
    assert z.dtype == np.float32
