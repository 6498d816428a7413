"""What cannot be in the unit, or of the kind, that it is taken for."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from study import describe, estimates, read_tsv, run_here, write_gifti, write_mgz

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.values import Retinotopy
from bids_secondlevel.maps.plausibility import (
    check_eccentricity,
    check_not_thresholded,
    check_polar_angle,
    check_variance_explained,
    check_visual_field,
)
from bids_secondlevel.maps.retinotopy import to_visual_field

PATH = Path("lh.a_map.mgz")
RNG = np.random.default_rng(4)
N = 2000
INSIDE = np.arange(N) < N // 2
UNIFORM = RNG.uniform(0.1, 9, N)
# As in the Benson atlas: magnified in the centre, 95 % below 64 degrees, up to 90.
BENSON = np.clip(np.exp(RNG.normal(np.log(9), 1.19, N)), 0, 90)


class TestEccentricity:
    @pytest.mark.parametrize("values", [UNIFORM, BENSON, BENSON / 8, UNIFORM / 3])
    def test_degrees_are_taken(self, values):
        check_eccentricity(PATH, values, INSIDE)

    def test_the_atlas_is_as_wide_as_that_of_benson(self):
        assert 55 < np.quantile(BENSON, 0.95) < 75
        assert BENSON.max() == 90

    def test_single_values_of_any_size_are_taken(self):
        fitted = UNIFORM.copy()
        fitted[:30] = 1e6
        check_eccentricity(PATH, fitted, INSIDE)

    def test_what_is_outside_of_areas_does_not_count(self):
        check_eccentricity(PATH, np.where(INSIDE, UNIFORM, 1e4), INSIDE)
        check_eccentricity(PATH, np.where(INSIDE, UNIFORM, np.nan), INSIDE)

    @pytest.mark.parametrize("factor", [11, 12.5, 15, 40, 100])
    @pytest.mark.parametrize("values", [UNIFORM, BENSON[BENSON < 12]])
    def test_pixels_are_refused(self, values, factor):
        everywhere = np.ones(values.size, bool)
        with pytest.raises(DataError, match=rf"lh\.a_map\.mgz.*{values.max() * factor:.4g}.*scale"):
            check_eccentricity(PATH, values * factor, everywhere)

    def test_pixels_are_noticed_beside_what_was_not_fitted(self):
        fitted = np.where(np.arange(N) % 3, UNIFORM * 10.5, 0)
        assert np.quantile(fitted[INSIDE], 0.95) < 90
        with pytest.raises(DataError, match="pixels"):
            check_eccentricity(PATH, fitted, INSIDE)

    @pytest.mark.parametrize("values", [UNIFORM, BENSON, UNIFORM / 3])
    def test_radians_are_refused_unless_declared(self, values):
        radians = np.deg2rad(values)
        with pytest.raises(DataError, match=r"radians.*scale = 57\.2958"):
            check_eccentricity(PATH, radians, INSIDE)
        check_eccentricity(PATH, radians, INSIDE, is_declared=True)

    def test_a_scale_of_the_user_does_not_make_pixels_degrees(self):
        with pytest.raises(DataError, match="scale"):
            check_eccentricity(PATH, UNIFORM * 15, INSIDE, is_declared=True)

    def test_of_a_handful_nothing_is_said(self):
        check_eccentricity(PATH, np.full(N, 0.5), np.arange(N) < 12)


CLOCKWISE = RNG.uniform(1, 179, N)  # contralateral, from the upper vertical meridian


def in_convention(name, hemisphere):
    """Give the angles of a hemisphere as tools write them."""
    degrees = CLOCKWISE if hemisphere == "L" else -CLOCKWISE
    return {
        "unsigned": CLOCKWISE,
        "signed": degrees,
        "0 to 360": degrees % 360,
        "horizontal-counterclockwise": (90 - degrees) % 360,
        "horizontal-counterclockwise, signed": (90 - degrees + 180) % 360 - 180,
        "horizontal-clockwise": (degrees - 90) % 360,
        "vertical-counterclockwise": -degrees % 360,
    }[name]


def seen(angles, hemisphere, area=1):
    where = np.where(INSIDE, area, 0)
    field = to_visual_field(angles, where, hemisphere)
    return Retinotopy(where, UNIFORM, polar_angle=field)


class TestPolarAngle:
    @pytest.mark.parametrize("hemisphere", ["L", "R"])
    @pytest.mark.parametrize("name", ["unsigned", "signed", "0 to 360"])
    @pytest.mark.parametrize("noise", [0, 0.2])
    def test_conventions_that_are_understood(self, name, hemisphere, noise):
        angles = in_convention(name, hemisphere)
        anywhere = RNG.random(N) < noise
        angles = np.where(anywhere, RNG.uniform(-180, 180, N), angles)
        check_polar_angle(PATH, angles, INSIDE)
        check_visual_field(PATH, seen(angles, hemisphere), hemisphere)

    @pytest.mark.parametrize("hemisphere", ["L", "R"])
    @pytest.mark.parametrize(
        "name",
        [
            "horizontal-counterclockwise",
            "horizontal-counterclockwise, signed",
            "horizontal-clockwise",
        ],
    )
    def test_conventions_that_are_not(self, name, hemisphere):
        angles = in_convention(name, hemisphere)
        check_polar_angle(PATH, angles, INSIDE)
        with pytest.raises(DataError, match=r"lh\.a_map\.mgz.*only [45].% .*angle"):
            check_visual_field(PATH, seen(angles, hemisphere), hemisphere)

    def test_counter_clockwise_from_above_is_noticed_on_the_left(self):
        """On the right it is the same as an unsigned map."""
        angles = in_convention("vertical-counterclockwise", "L")
        with pytest.raises(DataError, match="only 0% of the vertices"):
            check_visual_field(PATH, seen(angles, "L"), "L")
        angles = in_convention("vertical-counterclockwise", "R")
        np.testing.assert_allclose(seen(angles, "R").polar_angle, -CLOCKWISE)

    def test_late_areas_see_both_sides(self):
        both = np.where(np.arange(N) % 2, CLOCKWISE, -CLOCKWISE)
        where = np.where(INSIDE, 1, 10)
        field = np.where(INSIDE, CLOCKWISE, both)
        check_visual_field(PATH, Retinotopy(where, UNIFORM, polar_angle=field), "L")

    @pytest.mark.parametrize("name", ["unsigned", "signed", "horizontal-counterclockwise"])
    @pytest.mark.parametrize("hemisphere", ["L", "R"])
    def test_radians_are_refused(self, name, hemisphere):
        with pytest.raises(DataError, match=r"scale = 57\.2958"):
            check_polar_angle(PATH, np.deg2rad(in_convention(name, hemisphere)), INSIDE)

    def test_what_is_no_angle_is_refused(self):
        with pytest.raises(DataError, match="expected degrees"):
            check_polar_angle(PATH, CLOCKWISE * 10, INSIDE)


class TestVarianceExplained:
    FRACTION = RNG.uniform(-0.1, 0.6, N)

    @pytest.mark.parametrize(("factor", "limit"), [(1, 0.1), (1, 0), (100, 10), (100, 0), (100, 2)])
    def test_the_same_unit_is_taken(self, factor, limit):
        check_variance_explained(PATH, factor * self.FRACTION, INSIDE, [limit])

    @pytest.mark.parametrize(
        ("factor", "limit", "advice"),
        [(100, 0.1, r"\(10\).*scale = 0\.01"), (1, 10, r"\(0\.1\).*scale = 100")],
    )
    def test_another_unit_is_refused(self, factor, limit, advice):
        values = factor * self.FRACTION
        with pytest.raises(DataError, match=advice):
            check_variance_explained(PATH, values, INSIDE, [0, limit])
        check_variance_explained(PATH, values, INSIDE, [limit], is_declared=True)


class TestThresholded:
    Z = RNG.normal(0.5, 1.5, N)

    @pytest.mark.parametrize("removed", [0, np.nan])
    @pytest.mark.parametrize("threshold", [1.65, 1.96, 3.1])
    @pytest.mark.parametrize("two_sided", [False, True])
    def test_maps_without_small_values_are_refused(self, removed, threshold, two_sided):
        size = np.abs(self.Z) if two_sided else self.Z
        with pytest.raises(DataError, match=r"lh\.a_map\.mgz.*thresholded"):
            check_not_thresholded(PATH, np.where(size > threshold, self.Z, removed))

    @pytest.mark.parametrize(
        "z",
        [
            Z,
            np.where(INSIDE, Z, np.nan),
            np.where(INSIDE, Z, 0),
            np.where(INSIDE, 5.0, 0),  # a mask of the user's own
            np.round(np.abs(Z)),
            np.zeros(N),
            np.where(np.arange(N) < 12, 2 + np.abs(Z), 0),
            5 + np.abs(Z),
        ],
    )
    def test_others_are_taken(self, z):
        check_not_thresholded(PATH, z)


class TestOfAStudy:
    """What a user sees of maps in other units; the surfaces have 400 vertices."""

    SIZE = 400

    @pytest.fixture
    def bids(self, tmp_path):
        """A study of one participant; effects are the numbers of the vertices."""
        root, rng = tmp_path / "bids", np.random.default_rng(7)
        describe(root, "study", "raw")
        (root / "sub-01").mkdir()
        glm, surf = root / "derivatives/glm", root / "derivatives/freesurfer/sub-01/surf"
        describe(glm, "glm")
        for hemi in "LR":
            name = f"sub-01_task-{{}}_hemi-{hemi}_space-fsnative_contrast-{{}}_stat-{{}}"
            write_gifti(
                glm / "sub-01/func" / (name.format("loc", "ul", "z") + "_statmap.func.gii"),
                rng.normal(1, 2, self.SIZE),
                hemi,
            )
            write_gifti(
                glm
                / "sub-01/func"
                / (name.format("main", "attend", "effect") + "_statmap.func.gii"),
                np.arange(self.SIZE),
                hemi,
            )
            side = f"{hemi.lower()}h"
            write_mgz(surf / f"{side}.benson14_varea.mgz", rng.integers(0, 3, self.SIZE))
            write_mgz(surf / f"{side}.benson14_eccen.mgz", rng.uniform(0.1, 9, self.SIZE))
            write_mgz(surf / f"{side}.benson14_angle.mgz", rng.uniform(1, 179, self.SIZE))
            write_mgz(surf / f"{side}.benson14_vexpl.mgz", rng.uniform(0, 0.6, self.SIZE))
        return root

    def change(self, bids, kind, change):
        for hemi in "lr":
            path = bids / f"derivatives/freesurfer/sub-01/surf/{hemi}h.benson14_{kind}.mgz"
            values = np.asarray(nib.load(path).dataobj).ravel()
            write_mgz(path, change(values, hemi.upper()))

    def measured(self, bids, output, *options):
        run = run_here(bids, output, "participant", "--no-report", *options)
        return run, {hemi: estimates(output)["main", "attend", "ul", hemi] for hemi in "LR"}

    @pytest.mark.parametrize(
        ("kind", "factor", "options"),
        [
            ("eccen", 15, ()),
            ("eccen", np.pi / 180, ()),
            ("vexpl", 100, ("--min-variance-explained", "0.1")),
            ("angle", np.pi / 180, ("--polar-angle", "0", "-90")),
        ],
    )
    def test_another_unit_is_refused_until_it_is_declared(
        self, bids, tmp_path, kind, factor, options
    ):
        _, expected = self.measured(bids, tmp_path / "right", *options)
        assert {row["status"] for row in expected.values()} == {"ok"}
        self.change(bids, kind, lambda values, _: values * factor)
        run, rows = self.measured(bids, tmp_path / "wrong", *options)
        assert run.returncode == 65
        assert f"lh.benson14_{kind}.mgz" in run.stderr
        assert "scale" in run.stderr
        assert {row["status"] for row in rows.values()} == {"unreadable_retinotopy"}
        config = tmp_path / "config.toml"
        config.write_text(
            '[[retinotopy]]\ndataset = "freesurfer"\n'
            f'pattern = "{{subject}}/surf/{{hemi}}.benson14_{kind}.mgz"\n'
            f'map = "{kind}"\nsource = "benson14"\nscale = {1 / factor}\n'
        )
        options = (*options, "--config", config)
        freesurfer = f"freesurfer={bids / 'derivatives/freesurfer'}"
        options = (*options, "-d", freesurfer, str(bids / "derivatives/glm"))
        _, rows = self.measured(bids, tmp_path / "declared", *options)
        for hemi in "LR":
            for name in ("status", "n_vertices"):
                assert rows[hemi][name] == expected[hemi][name]
            assert float(rows[hemi]["estimate"]) == pytest.approx(float(expected[hemi]["estimate"]))

    def test_angles_that_no_roi_needs_are_left_out_with_a_warning(self, bids, tmp_path):
        self.change(bids, "angle", lambda values, hemi: 90 - values if hemi == "L" else 90 + values)
        run, rows = self.measured(bids, tmp_path / "out")
        assert run.returncode == 0
        assert "the polar angle is not used" in run.stderr
        assert {row["status"] for row in rows.values()} == {"ok"}
        (quality,) = (tmp_path / "out/sub-01").rglob("*_desc-roi_quality.tsv")
        assert {row["mean_polar_angle"] for row in read_tsv(quality)} == {"n/a"}

    @pytest.mark.parametrize("quadrant", [("-90", "0"), ("90", "180")])
    @pytest.mark.parametrize("is_converted", [False, True])
    def test_angles_of_analyzeprf_are_those_of_the_visual_field(
        self, bids, tmp_path, quadrant, is_converted
    ):
        options = ("--polar-angle", *quadrant)
        _, expected = self.measured(bids, tmp_path / "right", *options)
        if not is_converted:
            self.change(
                bids,
                "angle",
                lambda values, hemi: (90 + (-values if hemi == "L" else values)) % 360,
            )
        for path in bids.rglob("*benson14*"):
            name = path.name.replace("benson14", "prf").replace("angle", "ang")
            path.rename(path.with_name(name.replace("eccen", "ecc").replace("vexpl", "R2")))
        run, rows = self.measured(bids, tmp_path / "out", *options)
        assert ("analyzePRF" in run.stderr) == (not is_converted)
        assert rows == expected

    def test_a_thresholded_localizer_is_refused(self, bids, tmp_path):
        for path in bids.rglob("*task-loc*"):
            hemi = "L" if "hemi-L" in path.name else "R"
            z = nib.load(path).darrays[0].data
            write_gifti(path, np.where(z > 2.3, z, 0), hemi)
        run, rows = self.measured(bids, tmp_path / "out")
        assert run.returncode == 65
        assert "thresholded" in run.stderr
        assert {row["status"] for row in rows.values()} == {"unreadable_localizer"}

    def test_a_thresholded_map_is_not_measured(self, bids, tmp_path):
        options = ("--statistic", "z", "--task-label", "loc", "--contrasts", "ul")
        for path in bids.rglob("*task-loc*"):
            z = nib.load(path).darrays[0].data
            hemi = "L" if "hemi-L" in path.name else "R"
            write_gifti(path.with_name(path.name.replace("contrast-ul", "contrast-ur")), z, hemi)
            write_gifti(path, np.where(z > 2.3, z, np.nan), hemi)
        run_here(
            *(bids, tmp_path / "out", "participant", "--no-report"),
            *(*options, "--roi-contrasts", "ur"),
        )
        rows = estimates(tmp_path / "out")
        assert {rows["loc", "ul", "ur", hemi]["status"] for hemi in "LR"} == {"unreadable_map"}
