"""Profiles over the visual field, against a computation vertex by vertex."""

import json
import math
from dataclasses import replace
from itertools import pairwise, product

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from half_cortex import half
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import plan
from study import describe, read_tsv, run_here, write_gifti, write_mgz

from bids_secondlevel.core.files import Contrast
from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.positions import Position
from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.visual_field import (
    ASYMMETRIES,
    FieldBins,
    field_distance,
    polar_angle_distance,
)
from bids_secondlevel.rois.visual_field import (
    BIN,
    field_table,
    locate_in_field,
    measure_in_field,
)

N = 400
SIDES = {"L": ("lh", 1), "R": ("rh", -1)}
CONTRAST = Contrast(
    participant_id="sub-01", session=None, task="main", contrast="faces", maps={}, localizers={}
)
EDGES = [0.5, 0.71, 1, 1.41, 2, 2.83, 4, 5.66, 8, 11.31, 16]
WEDGES = [-180 + 30 * i for i in range(13)]


def maps_of(side, seed):
    """Retinotopy with values on edges and without angles, and a response that depends on it."""
    rng = np.random.default_rng([seed, side == "R"])
    eccentricity = rng.uniform(0.1, 12, N).astype("f4")
    eccentricity[:6] = [0.5, 0.71, 1.41, 11.31, 0.49999, 0]
    angle = rng.uniform(0, 180, N).astype("f4")  # both hemispheres see the other side
    angle[6:10] = [0, 30, 180, 90]
    angle[10:14] = np.nan
    area = rng.integers(0, 3, N).astype("i4")
    area[:14] = 1
    effect = (3 * np.log(eccentricity + 1) + np.cos(np.radians(np.nan_to_num(angle)))).astype("f4")
    effect[20:30] = np.nan
    return {"varea": area, "eccen": eccentricity, "angle": angle, "effect": effect}


def write_study(root, labels=("01", "02"), *, maps=("varea", "eccen", "angle"), localized=()):
    describe(root, "field", "raw")
    describe(root / "derivatives/glm", "glm")
    for label in labels:
        (root / f"sub-{label}").mkdir()
        for side, (prefix, _) in SIDES.items():
            known = maps_of(side, int(label))
            surf = root / f"derivatives/freesurfer/sub-{label}/surf"
            for name in maps:
                dtype = "i4" if name == "varea" else "f4"
                write_mgz(surf / f"{prefix}.benson14_{name}.mgz", known[name], dtype)
            stem = root / f"derivatives/glm/sub-{label}/func/sub-{label}_hemi-{side}_space-fsnative"
            named = {"task-main_contrast-faces_stat-effect": known["effect"]}
            if label in localized:
                named["task-loc_contrast-all_stat-z"] = np.full(N, 3.0)
            for rest, values in named.items():
                task, _, contrast = rest.partition("_")
                name = f"{stem.name.replace('_hemi', f'_{task}_hemi')}_{contrast}_statmap.func.gii"
                write_gifti(stem.with_name(name), values, side)
    return root


def expected(label, area, hemi, rings=EDGES, wedges=WEDGES):
    """Go through the vertices one by one."""
    found = {}
    for side, (_, sign) in SIDES.items():
        if hemi not in (side, "both"):
            continue
        known = maps_of(side, int(label))
        for v in range(N):
            eccentricity = known["eccen"][v]
            ring = [
                (low, high)
                for low, high in pairwise(rings)
                if np.float32(low) <= eccentricity < np.float32(high)
            ]
            if known["varea"][v] != area or not ring:
                continue
            bins = [("eccentricity", *ring[0], math.nan, math.nan)]
            if not np.isnan(known["angle"][v]):
                angle = float(known["angle"][v]) * sign
                angle = -180.0 if angle == 180 else angle
                wedge = next((a, b) for a, b in pairwise(wedges) if a <= angle < b)
                bins += [("polar_angle", rings[0], rings[-1], *wedge), ("cell", *ring[0], *wedge)]
            for each in bins:
                found.setdefault(str(each), []).append(float(known["effect"][v]))
    return found


def table(output, label="01"):
    (path,) = output.glob(f"sub-{label}/func/*_desc-visualfield_estimates.tsv")
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=["n/a"])


def check(rows, planted):
    """Compare all rows of an area and hemisphere with what is expected of each bin."""
    seen = set()
    for row in rows.itertuples():
        bounds = [float(x) for x in row[10:14]]
        name = str(
            (
                row.profile,
                *(int(b) if b == int(b) else b for b in bounds[:2]),
                *[x if math.isnan(x) else int(x) for x in bounds[2:]],
            )
        )
        values = np.array(planted.get(name, []))
        finite = values[np.isfinite(values)]
        assert (row.n_vertices, row.n_finite) == (values.size, finite.size)
        if finite.size:
            assert row.estimate == pytest.approx(finite.mean(), rel=1e-12)
            seen.add(name)
        else:
            assert math.isnan(row.estimate)
    assert seen == {name for name, values in planted.items() if np.isfinite(values).any()}


@pytest.mark.parametrize("areas", [("V1",), ("V1", "V2")])
def test_profiles_are_means_over_the_vertices_of_each_bin(tmp_path, areas):
    root = write_study(tmp_path / "bids")
    done = run_here(
        root, tmp_path / "out", "participant", "--retinotopy-only", "--no-report",
        "--visual-areas", *areas,
    )  # fmt: skip
    assert done.returncode == 0
    for label in ("01", "02"):
        rows = table(tmp_path / "out", label)
        assert set(rows["area"]) == set(areas)
        assert set(rows["contrast"]) == {"faces"}
        for area in areas:
            for hemi in ("L", "R", "both"):
                of_hemi = rows[(rows["area"] == area) & (rows["hemi"] == hemi)]
                check(of_hemi, expected(label, int(area[1]), hemi))


def test_bins_as_asked_for(tmp_path):
    root = write_study(tmp_path / "bids", ["01"])
    asked = ("--eccentricity-bins", 0, 2, 6, "--polar-angle-bins", 4)
    run_here(root, tmp_path / "out", "participant", "--retinotopy-only", "--no-report", *asked)
    rows = table(tmp_path / "out")
    check(
        rows[rows["hemi"] == "both"], expected("01", 1, "both", [0, 2, 6], [-180, -90, 0, 90, 180])
    )


def test_without_polar_angle_there_is_eccentricity(tmp_path):
    root = write_study(tmp_path / "bids", ["01"], maps=("varea", "eccen"))
    config = tmp_path / "positions.toml"
    config.write_text(POSITIONS)
    options = ("--retinotopy-only", "--no-report", "--config", config)
    done = run_here(root, tmp_path / "out", "participant", *options)
    rows = table(tmp_path / "out")
    assert set(rows["profile"]) == {"eccentricity"}
    assert "position" not in rows
    assert "without a map of polar angle there are no profiles around positions" in done.stderr
    planted = expected("01", 1, "both")
    of_rings = {name: values for name, values in planted.items() if "'eccentricity'" in name}
    check(rows[rows["hemi"] == "both"], of_rings)


def test_who_has_no_localizer_has_profiles(tmp_path):
    root = write_study(tmp_path / "bids", localized=["01"])
    done = run_here(root, tmp_path / "out", "participant", "--localizer-task", "loc", "--no-report")
    assert done.returncode == 1
    rows = table(tmp_path / "out", "02")
    check(rows[rows["hemi"] == "L"], expected("02", 1, "L"))


def test_where_a_hemisphere_has_no_map_both_have_no_number(tmp_path):
    root = write_study(tmp_path / "bids", ["01"])
    next((root / "derivatives/glm").rglob("*hemi-R*stat-effect*")).unlink()
    run_here(root, tmp_path / "out", "participant", "--retinotopy-only", "--no-report")
    rows = table(tmp_path / "out")
    check(rows[rows["hemi"] == "L"], expected("01", 1, "L"))
    assert rows["estimate"][rows["hemi"] != "L"].isna().all()
    assert (rows["n_vertices"][rows["profile"] == "cell"] > 0).all()


def test_profiles_are_left_out_on_demand(tmp_path):
    root = write_study(tmp_path / "bids", ["01"])
    options = ("--retinotopy-only", "--no-report")
    run_here(root, tmp_path / "out", "participant", *options)
    (path,) = tmp_path.rglob("*_desc-visualfield_estimates.tsv")
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["RowCount"] == len(read_tsv(path))
    run_here(root, tmp_path / "out", "participant", *options, "--no-visual-field")
    assert not list(tmp_path.rglob("*visualfield*"))


def test_volumes(tmp_path):
    rng = np.random.default_rng(5)
    shape, affine = (6, 6, 6), np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -5
    root = tmp_path / "bids"
    describe(root, "field", "raw")
    (root / "sub-01").mkdir()
    for name in ("glm", "atlas"):
        describe(root / f"derivatives/{name}", name)
    x = np.indices(shape)[0] * 2 - 5
    maps = {
        "varea": np.ones(shape, "i2"),
        "eccen": rng.uniform(0.6, 7, shape).astype("f4"),
        "angle": rng.uniform(1, 179, shape).astype("f4"),
        "effect": rng.normal(size=shape).astype("f4"),
        "sigma": np.full(shape, 0.5, "f4"),
    }
    for name, values in maps.items():
        folder = "glm/sub-01/func" if name == "effect" else "atlas/sub-01/anat"
        rest = "task-main_space-T1w_contrast-faces_stat-effect_statmap"
        stem = rest if name == "effect" else f"space-T1w_desc-benson14_{name}"
        path = root / f"derivatives/{folder}/sub-01_{stem}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, affine), path)
    config = tmp_path / "positions.toml"
    config.write_text(POSITIONS)
    options = ("--retinotopy-only", "--no-report", "--config", config)
    done = run_here(root, tmp_path / "out", "participant", *options)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "out")
    field = np.where(x < 0, maps["angle"], -maps["angle"])  # the left hemisphere sees the right
    for low, high, mean in rows.loc[
        rows["profile"] == "polar_angle", ["polar_angle_low", "polar_angle_high", "estimate"]
    ].to_numpy():
        inside = (field >= low) & (field < high)
        assert mean == pytest.approx(maps["effect"][inside].astype("f8").mean(), rel=1e-12)
    angle = np.radians(field.astype("f8"))
    centres = rows[rows["profile"] == "receptive_field"]
    assert len(centres) > 20
    for row in centres.itertuples():
        r = (row.eccentricity_low + row.eccentricity_high) / 2
        turn = np.radians((row.polar_angle_low + row.polar_angle_high) / 2)
        far = np.abs(maps["eccen"] * np.exp(1j * angle) - r * np.exp(1j * turn))
        heights = np.where(far <= 1.5, np.exp(-2 * far**2), 0)
        assert row.estimate == pytest.approx(np.average(maps["effect"], weights=heights))
        assert row.n_vertices == (heights >= 0.5).sum()
    far = np.abs(maps["eccen"] * np.exp(1j * angle) - 4 * np.exp(-0.25j * np.pi))
    around = rows[(rows["profile"] == "distance") & (rows["position"] == "UL")]
    assert around["n_vertices"].sum() == far.size
    for low, high, mean in around[["distance_low", "distance_high", "estimate"]].to_numpy():
        inside = maps["effect"][(far >= low) & (far < high)].astype("f8")
        assert inside.size == 0 or mean == pytest.approx(inside.mean(), rel=1e-12)


POSITIONS = """
[[position]]
name = "UL"
eccentricity = 4
polar-angle = -45
[[position]]
name = "down"
eccentricity = 8.5
polar-angle = 180
"""


def expected_around(hemi, place, profile, edges):
    """Go through the vertices of V1 one by one, for distances in a plane or in polar angle."""
    found, (eccentricity, angle) = {}, place
    for side, (_, sign) in SIDES.items():
        known = maps_of(side, 1)
        for v in range(N):
            r, a = float(known["eccen"][v]), sign * float(known["angle"][v])
            is_in = known["varea"][v] == 1 and np.float32(0.5) <= known["eccen"][v]
            if hemi not in (side, "both") or not is_in or math.isnan(a):
                continue
            if profile == "distance":
                there, here = (
                    r * complex(math.sin(math.radians(a)), math.cos(math.radians(a)))
                    for r, a in ((r, a), (eccentricity, angle))
                )
                far = abs(there - here)
            else:
                turned = (a - angle) % 360
                far = min(turned, 360 - turned)
            bounds = next((b for b in pairwise(edges) if b[0] <= far < b[1]), (150, 180))
            found.setdefault(bounds, []).append(float(known["effect"][v]))
    return found


def test_profiles_around_positions(tmp_path):
    root = write_study(tmp_path / "bids", ["01"])
    config = tmp_path / "positions.toml"
    config.write_text('relative_to = { Faces = "down" }\n' + POSITIONS)
    options = ("--retinotopy-only", "--no-report", "--config", config)
    done = run_here(root, tmp_path / "out", "participant", *options)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "out")
    plain = rows[rows["position"].isna()].drop(columns=["position", *BIN[-2:]])
    check(plain[plain["hemi"] == "both"], expected("01", 1, "both"))
    around = rows[rows["position"].notna()]
    places = {"UL": (4, -45), "down": (8.5, 180), "own": (8.5, 180)}
    kinds = {
        "polar_angle_distance": [0, 30, 60, 90, 120, 150, 180],
        "distance": [0, 1, *EDGES[3:], 22.63, 32],
    }
    n_rows = 0
    for name, profile, hemi in product(places, kinds, ("L", "R", "both")):
        planted = expected_around(hemi, places[name], profile, kinds[profile])
        named = {"position": name, "profile": profile, "hemi": hemi}
        of = around[(around[list(named)] == list(named.values())).all(axis="columns")]
        assert set(zip(of["distance_low"], of["distance_high"], strict=True)) >= set(planted)
        for row in of.itertuples():
            values = np.array(planted.get((row.distance_low, row.distance_high), []))
            finite = values[np.isfinite(values)]
            assert (row.n_vertices, row.n_finite) == (values.size, finite.size)
            if finite.size:
                assert row.estimate == pytest.approx(finite.mean(), rel=1e-12)
        n_rows += len(of)
    assert n_rows == len(around)
    sidecar = json.loads(next(tmp_path.rglob("*visualfield_estimates.json")).read_text())
    assert sidecar["Positions"]["UL"] == {"Eccentricity": 4, "PolarAngle": -45}
    assert sidecar["RelativeTo"] == {"faces": "down"}
    config.write_text('relative_to = { houses = "down" }\n' + POSITIONS)
    done = run_here(root, tmp_path / "out", "participant", *options)
    assert "no contrast houses is measured; there are: faces" in done.stderr
    assert done.returncode == 64


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.1, 20),
    st.floats(-180, 180),
    st.floats(-180, 180),
)
def test_distances_stay_the_same_if_everything_is_turned(seed, eccentricity, angle, by):
    rng = np.random.default_rng(seed)
    r, a = rng.uniform(0, 20, 50), rng.uniform(-180, 180, 50)
    here = Position(name="here", eccentricity=eccentricity, polar_angle=angle)
    turned = replace(here, polar_angle=(angle + by + 180) % 360 - 180)
    for distance in (
        lambda a, position: field_distance(r, a, position),
        polar_angle_distance,
    ):
        np.testing.assert_allclose(distance(a, here), distance(a + by, turned), atol=1e-9)
    assert (polar_angle_distance(a, here) <= 180).all()
    # The triangle inequality, with the fovea as the third corner.
    assert (field_distance(r, a, here) <= r + eccentricity + 1e-9).all()
    assert (field_distance(r, a, here) >= np.abs(r - eccentricity) - 1e-9).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_cells_and_distances_pool_to_the_same_mean(seed, n_angles):
    rng = np.random.default_rng(seed)
    cortex = Bilateral.of(
        lambda side: half(
            side,
            60,
            eccentricity=rng.uniform(0.4, 9, 60),
            polar_angle=rng.uniform(0, 180, 60) * (1 if side == "L" else -1),
        )
    )
    values = Bilateral.of(lambda _: np.where(rng.random(60) < 0.1, np.nan, rng.normal(size=60)))
    bins = FieldBins(
        n_angles=n_angles, positions=(Position(name="A", eccentricity=3, polar_angle=20),)
    )
    rois = (RoiDefinition(name="V1", contrasts=()),)
    asked = plan(rois=rois, visual_field=bins)
    field = locate_in_field(cortex, asked)
    rows = field_table([measure_in_field(values, field, CONTRAST)], field, asked)
    rows = rows.assign(total=(rows["estimate"] * rows["n_finite"]).fillna(0))
    columns = ["total", "n_vertices", "n_finite"]
    sums = rows.groupby(["hemi", "profile"])[columns].sum().unstack("profile")
    for column in columns:
        of = sums[column]
        for profile in of:
            np.testing.assert_allclose(of[profile], of["eccentricity"], atol=1e-9)
    wedges = rows[rows["profile"] == "polar_angle"].set_index(["hemi", "polar_angle_low"])
    cells = rows[rows["profile"] == "cell"].groupby(["hemi", "polar_angle_low"])[columns].sum()
    np.testing.assert_allclose(cells, wedges.loc[cells.index, columns], atol=1e-9)


def test_means_are_weighted_by_area_if_asked_for():
    rng = np.random.default_rng(3)
    areas = {side: rng.uniform(0.5, 2, 50) for side in "LR"}
    field = {side: rng.uniform(0.5, 4, 50) for side in "LR"}
    values = Bilateral.of(lambda side: rng.normal(size=50) + (side == "L"))
    cortex = Bilateral.of(lambda side: half(side, 50, eccentricity=field[side], areas=areas[side]))
    asked = plan(
        rois=(RoiDefinition(name="V1", contrasts=()),),
        summary="area-weighted-mean",
        visual_field=FieldBins(edges=(0.5, 4.5)),
    )
    field = locate_in_field(cortex, asked)
    rows = field_table([measure_in_field(values, field, CONTRAST)], field, asked)
    means = dict(zip(rows["hemi"], rows["estimate"], strict=True))
    for side in "LR":
        assert means[side] == pytest.approx(np.average(values[side], weights=areas[side]))
    weights = np.concatenate([areas["L"], areas["R"]])
    pooled = np.concatenate([values.left, values.right])
    assert means["both"] == pytest.approx(np.average(pooled, weights=weights))


def test_the_group_averages_contrasts_as_seen_from_their_own_positions(tmp_path):
    root, out = write_study(tmp_path / "bids"), tmp_path / "out"
    first_level = root / "derivatives/glm"
    for path in list(first_level.rglob("*faces*")):
        side = "L" if "hemi-L" in path.name else "R"
        values = 2 - maps_of(side, int(path.name[4:6]))["effect"]
        write_gifti(path.with_name(path.name.replace("faces", "houses")), values, side)
    config = tmp_path / "positions.toml"
    planned = """
[[planned]]
name = "facesMinusHouses"
task = "main"
roi = "V1retinotopy"
contrast = { faces = 1, HOUSES = -1 }
[[planned]]
name = "only one"
roi = "V1retinotopy"
contrast = "faces"
"""
    config.write_text('relative_to = { faces = "UL", houses = "down" }\n' + POSITIONS + planned)
    options = ("--retinotopy-only", "--config", config)
    assert run_here(root, out, "participant", *options, "--no-report").returncode == 0
    done = run_here(root, out, "group", "--config", config, "--contrasts", "faces")
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(out / "group_visualfield.tsv", sep="\t", keep_default_na=False)
    assert set(rows["contrast"]) == {"faces", "facesMinusHouses"}
    done = run_here(root, out, "group", "--config", config)
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(out / "group_visualfield.tsv", sep="\t", keep_default_na=False)
    rows = rows.replace("n/a", np.nan)
    assert "ROIs and hemispheres: facesMinusHouses (faces 1, HOUSES -1)." in (
        (out / "group.html").read_text()
    )
    of_each = pd.concat([table(out, label) for label in ("01", "02")])
    assert set(rows["contrast"]) == {
        *("faces", "houses", "facesMinusHouses", "mean(faces,houses)"),
    }
    key = ["hemi", "profile", "position", "eccentricity_low", "polar_angle_low", "distance_low"]
    for column in (*key[3:], "mean", "n"):
        rows[column] = rows[column].astype(float)
    wide = of_each.pivot(index=["participant_id", *key], columns="contrast", values="estimate")
    found = {contrast: of.set_index(key) for contrast, of in rows.groupby("contrast")}
    difference = (wide["faces"] - wide["houses"]).groupby(key, dropna=False).mean()
    planned = found["facesMinusHouses"]
    assert set(planned["weights"]) == {"faces 1, HOUSES -1"}
    assert found["faces"]["weights"].isna().all()
    planned = planned[~planned.index.isin(ASYMMETRIES, level="profile")]
    assert set(planned.index.unique("position")) == {"UL", "down", "own", np.nan}
    pd.testing.assert_series_equal(planned["mean"], difference[planned.index], check_names=False)
    together = found["mean(faces,houses)"]
    assert set(together.index.unique("position")) == {"own"}
    mean = ((wide["faces"] + wide["houses"]) / 2).groupby(key, dropna=False).mean()
    pd.testing.assert_series_equal(together["mean"], mean[together.index], check_names=False)
    config.write_text(config.read_text().replace("facesMinusHouses", "faces"))
    done = run_here(root, out, "group", "--config", config)
    assert "[[planned]] 'faces': a contrast of the maps has this name" in done.stderr
    assert done.returncode == 64


def test_the_group_has_tests_of_every_bin_as_long_as_there_are_profiles(tmp_path):
    root, out = write_study(tmp_path / "bids"), tmp_path / "out"
    options = ("--retinotopy-only", "--no-report")
    run_here(root, out, "participant", *options)
    done = run_here(root, out, "group")
    assert done.returncode == 0, done.stderr
    path = out / "group_visualfield.tsv"
    rows = pd.read_csv(path, sep="\t")
    of_each = pd.concat([table(out, label) for label in ("01", "02")])
    named = ["hemi", *BIN[:5]]
    mean = of_each.groupby(named, dropna=False)["estimate"].mean()
    tested = rows[rows["profile"].isin(mean.index.unique("profile"))]
    assert len(tested) == len(mean)
    assert not {"position", "versus", "weights"} & {*rows.columns, *of_each.columns}
    found = tested.set_index(named)["mean"]
    pd.testing.assert_series_equal(found, mean.loc[found.index], check_names=False)
    described = json.loads(path.with_suffix(".json").read_text())
    assert set(described) >= {*rows.columns, "RandomSeed", "Rois"}
    before = (out / "group.html").read_text()
    assert run_here(root, out, "group", "--reports-only").returncode == 0
    assert (out / "group.html").read_text() == before

    run_here(root, out, "participant", *options, "--no-visual-field", "--participant-label", "02")
    done = run_here(root, out, "group", "--no-report")
    assert (
        "Not in group_visualfield.tsv, because they have no table of the visual field: sub-02"
        in done.stderr
    )
    assert (pd.read_csv(path, sep="\t")["n"] <= 1).all()
    config = tmp_path / "positions.toml"
    config.write_text(POSITIONS)
    around = ("--config", config)
    run_here(root, out, "participant", *options, "--participant-label", "02", *around)
    done = run_here(root, out, "group", "--no-report")
    found = "Position UL is not given for sub-01, and 4 degrees at a polar angle of -45 for sub-02"
    assert found in done.stderr
    assert done.returncode == 65
    bins = ("--eccentricity-bins", 0, 1, 3)
    run_here(root, out, "participant", *options, "--participant-label", "02", *bins)
    done = run_here(root, out, "group", "--no-report")
    assert "have different bins of eccentricity" in done.stderr
    assert not list(out.glob("group_visualfield*"))


SIGMA = {side: np.random.default_rng([9, side == "R"]).uniform(0.3, 2, N) for side in SIDES}


def expected_in_receptive_fields(hemi):
    """Go through the vertices of V1 one by one, at the centre of each cell."""
    found = {}
    for ring, wedge in product(pairwise(EDGES), pairwise(WEDGES)):
        at = sum(ring) / 2 * np.exp(1j * np.radians(sum(wedge) / 2))
        total = weight = n_vertices = n_finite = 0
        for side, (_, sign) in SIDES.items():
            known = maps_of(side, 1)
            for v in range(N):
                r, angle = float(known["eccen"][v]), sign * float(known["angle"][v])
                sigma = float(np.float32(SIGMA[side][v]))
                is_in = known["varea"][v] == 1 and np.float32(0.5) <= known["eccen"][v]
                if hemi not in (side, "both") or not is_in or math.isnan(angle):
                    continue
                far = abs(at - r * np.exp(1j * np.radians(angle)))
                height = math.exp(-((far / sigma) ** 2) / 2) if far <= 3 * sigma else 0
                is_finite = math.isfinite(known["effect"][v])
                n_vertices += height >= 0.5
                n_finite += height >= 0.5 and is_finite
                total += height * float(known["effect"][v]) if is_finite else 0
                weight += height if is_finite else 0
        if n_vertices:
            found[ring[0], wedge[0]] = (total / weight, n_vertices, n_finite)
    return found


def test_at_the_centre_of_a_cell_vertices_count_by_their_receptive_fields(tmp_path):
    root = write_study(tmp_path / "bids", ["01"])
    surf = root / "derivatives/freesurfer/sub-01/surf"
    for side, (prefix, _) in SIDES.items():
        write_mgz(surf / f"{prefix}.benson14_sigma.mgz", SIGMA[side])
    options = ("--retinotopy-only", "--no-report")
    for hemis in (("L", "R", "both"), ("L",)):
        run_here(root, tmp_path / "out", "participant", *options, "--hemi", *hemis)
        rows = table(tmp_path / "out")
        found = rows[rows["profile"] == "receptive_field"]
        assert set(found["hemi"]) == {hemis[-1]}
        planted = expected_in_receptive_fields(hemis[-1])
        key = zip(found["eccentricity_low"], found["polar_angle_low"], strict=True)
        values = found[["estimate", "n_vertices", "n_finite"]].to_numpy()
        assert len(found) == len(planted)
        for place, value in zip(key, values, strict=True):
            mean, n_vertices, n_finite = planted[place]
            assert (value[1], value[2]) == (n_vertices, n_finite)
            assert math.isnan(value[0]) if not n_finite else value[0] == pytest.approx(mean)
    of_cells = rows[(rows["profile"] != "receptive_field") & (rows["hemi"] == "L")]
    check(of_cells, expected("01", 1, "L"))
    for side, (prefix, _) in SIDES.items():
        write_mgz(surf / f"{prefix}.benson14_sigma.mgz", SIGMA[side][:7])
    done = run_here(root, tmp_path / "out", "participant", *options)
    assert done.returncode == 0
    assert "sizes of receptive fields are not used" in done.stderr
    rows = table(tmp_path / "out")
    check(rows[rows["hemi"] == "both"], expected("01", 1, "both"))
