"""Bins of the visual field across participants, against scipy and plain sign flips."""

from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.inference import Inference
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.core.visual_field import FieldBins, asymmetries
from bids_secondlevel.rois.visual_field import BIN, VISUAL_FIELD_COLUMNS
from bids_secondlevel.stats.groups import groups_of
from bids_secondlevel.stats.visual_field import (
    FIELD_TEST_COLUMNS,
    field_tests,
    gather_bins,
    spread_bins,
)

NAN = float("nan")
NOWHERE = ("n/a", NAN, NAN)
RINGS = [0.5, 0.71, 1.0, 1.41]
ALL_FLIPS = Inference(n_permutations=10_000)


def rows_of(label, values, *, n_rings=3, contrast="faces", statistic="effect", n_wedges=4):
    """Make a participant's rows: rings, then wedges, then two cells."""
    rings = list(pairwise(RINGS[: n_rings + 1]))
    edges = np.linspace(-180, 180, n_wedges + 1).tolist()
    wedges = list(pairwise(edges))
    bins = [
        *(("eccentricity", *ring, NAN, NAN, *NOWHERE) for ring in rings),
        *(("polar_angle", 0.5, RINGS[n_rings], *wedge, *NOWHERE) for wedge in wedges),
        *(("cell", *rings[0], *wedge, *NOWHERE) for wedge in wedges[:2]),
    ]
    table = pd.DataFrame(bins, columns=list(BIN))
    return table.assign(
        participant_id=f"sub-{label}",
        session="n/a",
        task="main",
        contrast=contrast,
        area="V1",
        hemi="both",
        space="fsnative",
        statistic=statistic,
        estimate=values[: len(bins)],
        n_vertices=9.0,
        n_finite=9.0,
    )[list(VISUAL_FIELD_COLUMNS)]


def across(tables, everyone=None, inference=ALL_FLIPS, groups=None):
    people = {of["participant_id"].iloc[0].removeprefix("sub-"): "missing_map" for of in tables}
    bins = gather_bins(map(spread_bins, tables))
    return field_tests(bins, everyone or people, inference, groups)


def test_means_are_those_of_scipy_and_corrected_within_a_profile():
    data = np.random.default_rng(1).normal(0.5, 1, (8, 9))
    tested = across([rows_of(f"{i:02}", of) for i, of in enumerate(data)])
    bins = tested[tested["profile"].isin(["eccentricity", "polar_angle", "cell"])]
    assert list(bins["profile"]) == ["eccentricity"] * 3 + ["polar_angle"] * 4 + ["cell"] * 2
    expected = stats.ttest_1samp(data, 0)
    interval = expected.confidence_interval()
    for name, values in {
        "mean": data.mean(axis=0),
        "sd": data.std(axis=0, ddof=1),
        "sem": stats.sem(data),
        "t": expected.statistic,
        "p": expected.pvalue,
        "ci95_low": interval.low,
        "ci95_high": interval.high,
    }.items():
        np.testing.assert_allclose(bins[name], values, rtol=1e-9)
    for profile in (slice(0, 3), slice(3, 7), slice(7, 9)):
        own = data[:, profile]
        largest = [
            np.abs(stats.ttest_1samp(own * np.array(flip)[:, None], 0).statistic).max()
            for flip in product((1, -1), repeat=8)
        ]
        observed = np.abs(stats.ttest_1samp(own, 0).statistic)
        p = (np.array(largest)[:, None] >= observed - 1e-9).mean(axis=0)
        np.testing.assert_allclose(bins["p_fwe"].iloc[profile], p)


def test_another_contrast_has_no_influence_on_p_fwe():
    data = np.random.default_rng(2).normal(size=(7, 2, 9))
    one = [rows_of(str(i), of[0]) for i, of in enumerate(data)]
    two = [
        pd.concat([rows, rows_of(str(i), data[i, 1], contrast="houses")])
        for i, rows in enumerate(one)
    ]
    both = across(two)
    alone = both[both["contrast"] == "faces"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, across(one))


def test_who_has_fewer_rings_has_no_vertex_in_the_last():
    tables = [rows_of("1", np.ones(9)), rows_of("2", np.full(8, 3.0), n_rings=2)]
    tested = across(tables)
    ring = tested[tested["eccentricity_high"] == 1.41].iloc[0]
    assert (ring["n"], ring["mean"], ring["excluded"]) == (1, 1, "sub-2:empty_bin")
    wedges = tested[tested["profile"] == "polar_angle"]
    assert len(wedges) == 4
    assert set(wedges["eccentricity_high"]) == {1.41}
    assert set(wedges["n"]) == {2}


def test_rings_that_nobody_has_are_left_out():
    tables = [rows_of(str(i), np.ones(9)) for i in range(2)]
    for of in tables:
        last = (of["profile"] == "eccentricity") & (of["eccentricity_high"] > 1.2)
        of.loc[last, ["n_vertices", "n_finite"]] = 0
        of.loc[last, "estimate"] = NAN
    tested = across(tables)
    assert tested["eccentricity_high"].max() == 1.0
    assert list(tested["profile"]).count("polar_angle") == 4


def test_far_distances_that_nobody_has_are_left_out_but_no_angles():
    around = [
        *(("polar_angle_distance", low, low + 60) for low in (0, 60, 120)),
        *(("distance", *bounds) for bounds in pairwise([0, 1, 2, 4])),
    ]
    tables = []
    for i in range(2):
        bins = pd.DataFrame(around, columns=["profile", "distance_low", "distance_high"])
        rows = rows_of(str(i), np.ones(9)).iloc[[3] * len(bins)].reset_index(drop=True)
        rows = rows.assign(position="UL", polar_angle_low=NAN, polar_angle_high=NAN, **bins)
        rows.loc[5, ["estimate", "n_finite", "n_vertices"]] = NAN, 0, 0
        tables.append(rows)
    tested = across(tables)
    assert list(tested["distance_high"]) == [60, 120, 180, 1, 2]
    assert set(tested["n"]) == {2}


def test_who_has_no_number_is_named_with_the_reason():
    tables = [rows_of(str(i), np.arange(9.0) + i) for i in range(3)]
    tables[1]["estimate"] = NAN
    tables[1]["n_finite"] = NAN
    tables[2].loc[0, ["estimate", "n_finite", "n_vertices"]] = NAN, 0, 0
    people = {"0": "missing_map", "1": "missing_map", "2": "missing_map"}
    tested = across(tables, {**people, "3": "excluded", "4": "missing_map"})
    first, second = tested["excluded"].iloc[:2]
    assert first == "sub-1:missing_map; sub-2:empty_bin; sub-3:excluded; sub-4:missing_map"
    assert second == "sub-1:missing_map; sub-3:excluded; sub-4:missing_map"


def test_who_is_excluded_is_so_in_every_bin_and_difference():
    data = np.random.default_rng(6).normal(size=(3, 13))
    tables = [rows_of(str(i), of, n_wedges=8) for i, of in enumerate(data)]
    tables[1]["estimate"] = NAN
    tables[1]["n_finite"] = NAN
    people = {"0": "missing_map", "1": "missing_map", "2": "missing_map", "3": "excluded"}
    tested = across(tables, people)
    assert list(tested["profile"])[-2:] == ["horizontal_minus_vertical", "lower_minus_upper"]
    assert set(tested["excluded"]) == {"sub-1:missing_map; sub-3:excluded"}
    upper, lower = data[[0, 2], 6:8].mean(axis=1), data[[0, 2]][:, [3, 10]].mean(axis=1)
    assert tested["mean"].iloc[-1] == pytest.approx((lower - upper).mean())


def test_bins_of_two_kinds_are_refused():
    other = rows_of("2", np.ones(9))
    other["eccentricity_low"] = other["eccentricity_low"].replace(1.0, 0.9)
    with pytest.raises(DataError, match="different bins of eccentricity"):
        across([rows_of("1", np.ones(9)), other])
    other.loc[0, "eccentricity_low"] = NAN  # a damaged cell of a table
    with pytest.raises(DataError, match="different bins of eccentricity"):
        across([rows_of("1", np.ones(9)), other])


def test_without_tables_or_polar_angles():
    assert list(field_tests(gather_bins(()), {})) == list(FIELD_TEST_COLUMNS)
    data = np.random.default_rng(3).normal(size=(6, 9))
    rows = [rows_of(str(i), of) for i, of in enumerate(data)]
    tested = across([of[of["profile"] == "eccentricity"] for of in rows])
    assert list(tested["profile"]) == ["eccentricity"] * 3


def test_groups_are_tested_for_themselves():
    people = {f"sub-{i}": {"sex": "FM"[i % 2]} for i in range(8)}
    about = ParticipantsTable(("sex",), people, frozenset())
    data = np.random.default_rng(4).normal(size=(8, 9))
    tables = [rows_of(str(i), of) for i, of in enumerate(data)]
    tested = across(tables, groups=groups_of("sex", about, people))
    rings = tested[tested["profile"] == "eccentricity"]
    females, males = data[::2, :3], data[1::2, :3]
    alone = rings[(rings["group"] == "F") & (rings["versus"] == "n/a")]
    np.testing.assert_allclose(alone["mean"], females.mean(axis=0))
    compared = rings[rings["versus"] == "M"]
    welch = stats.ttest_ind(females, males, equal_var=False)
    np.testing.assert_allclose(compared["mean"], females.mean(axis=0) - males.mean(axis=0))
    np.testing.assert_allclose(
        compared[["t", "p", "df"]].T, [welch.statistic, welch.pvalue, welch.df]
    )
    assert set(compared["n_group"]) == set(compared["n_versus"]) == {4}
    assert compared["p_fwe"].isna().all()
    assert (compared["p_holm"] >= compared["p"]).all()


def test_what_is_never_negative_is_not_tested():
    data = np.random.default_rng(5).normal(size=(7, 9))
    tested = across([rows_of(str(i), of, statistic="f") for i, of in enumerate(data)])
    assert tested["p"].isna().all()
    assert tested["mean"].notna().all()


@pytest.mark.parametrize(("n_wedges", "width"), [(12, 30), (24, 30), (8, 45)])
def test_asymmetries_are_those_of_planted_meridians(n_wedges, width):
    angles = FieldBins(n_angles=n_wedges).angles
    centres = (angles[1:] + angles[:-1]) / 2

    def near(meridian):
        return np.abs((centres - meridian + 180) % 360 - 180) < width

    planted = 7.0 * (near(90) | near(-90)) + 2.0 * near(180) + 1.0 * near(0)
    found = asymmetries(centres, planted)
    assert found["horizontal_minus_vertical"] == 5.5
    assert found["lower_minus_upper"] == 1.0


def test_few_wedges_have_no_asymmetries():
    assert np.isnan(list(asymmetries(np.array([-135.0, -45, 45, 135]), np.ones(4)).values())).all()
