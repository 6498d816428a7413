"""t values as z values."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats
from study import AREA, ECCENTRICITY, Z, estimates, make_study, run_here, write_gifti

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


class TestLocalizerOfT:
    """Names say stat-t, and there is no z."""

    DF = 12.0

    @pytest.fixture
    def study(self, tmp_path):
        study = make_study(tmp_path / "bids")
        for path in study.firstlevel.rglob("*task-loc*stat-z*"):
            path.rename(path.with_name(path.name.replace("stat-z", "stat-t")))
        return study

    def measured(self, study, output, *options):
        run = run_here(study.root, output, "participant", "--no-report", *options)
        rows = estimates(output) if run.returncode in (0, 1, 65) else {}
        return run, {hemi: rows.get(("main", "attend", "left", hemi)) for hemi in "LR"}

    def of_t(self, threshold=1.96):
        """Vertices whose t has a smaller tail probability than the threshold as z."""
        limit = stats.t.isf(stats.norm.sf(threshold), self.DF)
        assert threshold < limit
        inside = {
            hemi: (np.array(AREA[hemi]) == 1)
            & (np.array(ECCENTRICITY[hemi]) > 0)
            & (np.array(ECCENTRICITY[hemi]) < 5)
            for hemi in "LR"
        }
        return {
            hemi: int((inside[hemi] & (np.array(Z["left"][hemi]) > limit)).sum()) for hemi in "LR"
        }

    def test_degrees_of_freedom_in_the_sidecar(self, study, tmp_path):
        for path in study.firstlevel.rglob("*stat-t*"):
            name = f"{path.name.partition('.')[0]}.json"
            path.with_name(name).write_text(json.dumps({"DegreesOfFreedom": self.DF}))
        run, rows = self.measured(study, tmp_path / "out")
        assert run.returncode == 0, run.stderr
        assert {hemi: int(row["n_vertices"]) for hemi, row in rows.items()} == self.of_t()

    def test_degrees_of_freedom_in_a_map_beside_it(self, study, tmp_path):
        for path in list(study.firstlevel.rglob("*stat-t*")):
            hemi = "L" if "hemi-L" in path.name else "R"
            values = np.full(len(Z["left"][hemi]), self.DF)
            write_gifti(path.with_name(path.name.replace("stat-t", "stat-dof")), values, hemi)
        run, rows = self.measured(study, tmp_path / "out")
        assert run.returncode == 0, run.stderr
        assert {hemi: int(row["n_vertices"]) for hemi, row in rows.items()} == self.of_t()

    def test_without_them_an_error_says_how_to_give_them(self, study, tmp_path):
        run, rows = self.measured(study, tmp_path / "out")
        assert run.returncode == 65
        assert "degrees of freedom" in run.stderr
        assert "DegreesOfFreedom" in run.stderr
        assert {row["status"] for row in rows.values()} == {"unreadable_localizer"}

    def test_z_is_preferred(self, study, tmp_path):
        for path in list(study.firstlevel.rglob("*stat-t*")):
            content = path.read_bytes()
            path.with_name(path.name.replace("stat-t", "stat-z")).write_bytes(content)
        run, rows = self.measured(study, tmp_path / "out")
        assert run.returncode == 0, run.stderr
        assert [row["n_vertices"] for row in rows.values()] == ["2", "1"]

    def test_t_itself_is_measured_as_it_is(self, study, tmp_path):
        options = ("--statistic", "t", "--task-label", "loc", "--retinotopy-only")
        run_here(study.root, tmp_path / "out", "participant", "--no-report", *options)
        row = estimates(tmp_path / "out")["loc", "left", "V1retinotopy", "L"]
        assert float(row["estimate"]) == pytest.approx(np.mean(np.array(Z["left"]["L"])[1:4]))
