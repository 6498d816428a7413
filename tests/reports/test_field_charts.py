"""Pictures of the visual field: what is drawn where."""

import io
import re
from base64 import b64decode
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from pictures import SVG, groups, is_linear, marks, parse, texts

from bids_secondlevel.core.positions import Position
from bids_secondlevel.reports.charts.field import (
    draw_discs,
    outline,
    pixels,
    radius,
    smooth_pixels,
)
from bids_secondlevel.reports.charts.profiles import draw_distances, draw_profiles
from bids_secondlevel.reports.colours import coloured
from bids_secondlevel.rois.visual_field import BIN
from bids_secondlevel.stats.visual_field import SERIES

NAN = float("nan")
RINGS = [0.5, 1.0, 2.0, 4.0, 8.0]
WEDGES = [-180.0 + 30 * i for i in range(13)]
NOWHERE = {"position": "n/a", "distance_low": NAN, "distance_high": NAN}
V1 = {"V1": [(0.0, 5.0)]}


def study(contrasts=("attend",), *, hemis=("both",), group=False, seed=0, edges=WEDGES):
    """Make all bins of V1, with random estimates; of a group, with intervals and p."""
    rings, wedges = list(pairwise(RINGS)), list(pairwise(edges))
    bins = [
        *(("eccentricity", *ring, NAN, NAN) for ring in rings),
        *(("polar_angle", RINGS[0], RINGS[-1], *wedge) for wedge in wedges),
        *(("cell", *ring, *wedge) for ring, wedge in product(rings, wedges)),
    ]
    labels = {"session": "n/a", "task": "main", "area": "V1", "space": "fsnative"}
    rows = pd.concat(
        [
            pd.DataFrame(bins, columns=list(BIN[:5])).assign(
                **labels, **NOWHERE, contrast=contrast, hemi=hemi, statistic="effect"
            )
            for contrast, hemi in product(contrasts, hemis)
        ],
        ignore_index=True,
    )
    rows["estimate"] = np.random.default_rng(seed).normal(size=len(rows))
    rows = rows.assign(p_corrected=NAN, group="all", versus="n/a")
    if group:
        rows = rows.assign(
            ci95_low=rows["estimate"] - 0.5,
            ci95_high=rows["estimate"] + 0.5,
            n=8.0,
            p_corrected=0.5,
        )
    return rows[[*SERIES, *rows.columns.difference(SERIES, sort=False)]]


BOUNDS = ["eccentricity_low", "eccentricity_high", "polar_angle_low", "polar_angle_high"]


def bounds(cells):
    return tuple(cells[BOUNDS].itertuples(index=False, name=None))


def test_pixels_are_those_of_the_cell_that_they_lie_in():
    cells = study()[lambda rows: rows["profile"] == "cell"].reset_index(drop=True)
    cells = cells.drop(index=[5])
    values = tuple(np.random.default_rng(1).integers(1, 255, len(cells)).tolist())
    drawn = pixels(bounds(cells), 8.0, values)
    n = len(drawn)

    def value_at(eccentricity, angle):
        r = float(radius(np.array(eccentricity), 8.0))
        right, up = r * np.sin(np.radians(angle)), r * np.cos(np.radians(angle))
        return drawn[int((1 - up) / 2 * n), int((1 + right) / 2 * n)]

    for place, cell in enumerate(cells.itertuples()):
        middle = (cell.polar_angle_low + cell.polar_angle_high) / 2
        at = np.sqrt(cell.eccentricity_low * cell.eccentricity_high)
        assert value_at(at, middle) == values[place]
    assert value_at(0.7, -15) == 0  # the cell that is not there
    assert value_at(0.3, 20) == 0
    assert drawn[0, 0] == 0


@pytest.mark.parametrize("n_wedges", [12, 72])
def test_each_cell_has_the_colour_of_its_estimate(n_wedges):
    rows = study(("attend", "ignore"), edges=np.linspace(-180, 180, n_wedges + 1))
    chart, _ = draw_discs(rows, V1)
    cells = rows[rows["profile"] == "cell"]
    assert (len(cells) > 2 * 256) == (n_wedges > 12)  # more than a palette has
    highest = np.percentile(cells["estimate"].abs(), 98)
    *discs, _ = re.findall(rb"base64,([^']*)'", chart.svg)
    for disc, contrast in zip(discs, ("attend", "ignore"), strict=True):
        drawn = imread(io.BytesIO(b64decode(disc)))
        n = len(drawn)
        assert drawn[0, 0, 3] == 0
        for cell in cells[cells["contrast"] == contrast].itertuples():
            middle = np.radians((cell.polar_angle_low + cell.polar_angle_high) / 2)
            r = radius(np.sqrt(cell.eccentricity_low * cell.eccentricity_high), 8.0)
            y, x = (1 - r * np.cos(middle)) / 2 * n, (1 + r * np.sin(middle)) / 2 * n
            expected = coloured("RdBu_r", np.array(cell.estimate / highest / 2 + 0.5))
            assert drawn[int(y), int(x)] == pytest.approx([*expected, 1], abs=0.02)


def test_a_linear_disc_ends_some_way_beyond_the_limits_of_the_rois():
    rows = study()
    for limit, rim in ((1.5, 4), (2.0, 4), (2.1, 8), (50.0, 8)):
        _, linear = draw_discs(rows, {"V1": [(0.0, limit)]})
        assert linear.folded == f"With linear eccentricity, up to {rim} degrees"
    assert (radius(np.array([1.0, 2.0]), 4.0, "linear") == [0.25, 0.5]).all()
    cells = rows[rows["profile"] == "cell"].reset_index(drop=True)
    drawn = pixels(bounds(cells), 8.0, (9,) * len(cells), "linear") > 0
    # A ring of the radii 1/16 and 1 of the disc, in a square.
    assert drawn.mean() == pytest.approx(np.pi / 4 * (1 - 1 / 256), abs=0.002)


def test_a_smoothed_disc_has_the_values_of_centres_and_lies_between_them_elsewhere():
    cells = study()[lambda rows: rows["profile"] == "cell"].reset_index(drop=True)
    middles = cells[["polar_angle_low", "polar_angle_high"]].mean(axis="columns").to_numpy()
    shares = 0.5 + 0.4 * np.cos(np.radians(middles)) * np.linspace(0.5, 1, len(cells))
    cells, shares = cells.drop(index=[5]), np.delete(shares, 5)
    drawn = smooth_pixels(bounds(cells), 8.0, shares)
    n = len(drawn)

    def value_at(eccentricity, angle):
        r = float(radius(np.array(eccentricity), 8.0))
        right, up = r * np.sin(np.radians(angle)), r * np.cos(np.radians(angle))
        return drawn[int((1 - up) / 2 * n), int((1 + right) / 2 * n)] / 256

    for cell, share in zip(cells.itertuples(), shares, strict=True):
        middle = (cell.polar_angle_low + cell.polar_angle_high) / 2
        at = (cell.eccentricity_low + cell.eccentricity_high) / 2
        assert value_at(at, middle) == pytest.approx(share, abs=0.03)
    # Across the lower vertical meridian, where the wedges begin and end.
    last, first = (
        shares[cells.index[cells["polar_angle_low"] == at][-1] - 1] for at in (150, -180)
    )
    assert value_at(6, 180) == pytest.approx((last + first) / 2, abs=0.03)
    assert ((drawn > 0) == (pixels(bounds(cells), 8.0, (9,) * len(cells)) > 0)).all()
    assert drawn[drawn > 0].min() / 256 > shares.min() - 0.01
    assert drawn.max() / 256 < shares.max() + 0.01
    rows = study().replace({"profile": {"cell": "receptive_field"}})
    (chart,) = draw_discs(rows, V1)
    assert chart.folded == "Smoothed by receptive fields"
    assert chart.name.endswith("_smoothfield")
    half_ = bounds(cells[cells["polar_angle_low"] >= 0])
    assert (smooth_pixels(half_, 8.0, np.full(len(half_), 0.5))[:, : n // 2 - 1] == 0).all()


def test_positions_are_marked_where_they_are():
    positions = [
        Position(name="UL", eccentricity=2, polar_angle=-45),
        Position(name="far", eccentricity=30, polar_angle=90),
    ]
    for chart, scale in zip(
        draw_discs(study(), V1, positions), ("cortical", "linear"), strict=True
    ):
        (mark,) = marks(chart, "position")
        (centre,) = [of.mean(axis=0) for of in marks(chart, "limit")]
        right, up = mark[0] - centre
        assert right == pytest.approx(-up, rel=1e-3)
        assert right < 0
        assert "UL (2 degrees at a polar angle of -45)" in chart.caption
        circle = next(groups(chart, "limit")[0].iter(f"{SVG}circle"))
        at, end = radius(np.array([2.0, 5.0]), 8.0, scale)
        assert np.hypot(right, up) / float(circle.get("r")) == pytest.approx(at / end, rel=1e-3)


def of_groups(rows):
    """Two groups, and their difference, which is significant in the first ring."""
    parts = []
    for group, versus in (("A", "n/a"), ("B", "n/a"), ("A", "B")):
        of = rows.assign(group=group, versus=versus, p_corrected=0.5)
        if versus == "B":
            of.loc[of.index[0], "p_corrected"] = 0.01
        parts.append(of)
    return pd.concat(parts, ignore_index=True)


def test_groups_have_discs_and_curves_of_their_own_and_a_disc_of_their_difference():
    rows = of_groups(study(("attend", "ignore"), group=True))
    chart, _ = draw_discs(rows, V1)
    named = ["attend, A", "attend, B", "attend, A - B", "ignore, A"]
    assert [text for text in texts(chart) if text in named] == named
    assert "p_holm < 0.05" in chart.caption
    people = pd.concat(
        [
            study(("attend", "ignore"), seed=i).assign(participant_id=f"sub-{i}", group="AB"[i % 2])
            for i in range(1, 7)
        ]
    )
    (chart,) = draw_profiles(rows, V1, people)
    assert len(groups(chart, "curve")) == 2 * 2 * 2
    assert len(groups(chart, "participant")) == 6 * 2 * 2
    assert len(groups(chart, "differing")) == 1
    assert {"A", "B", "groups differ, p_holm < 0.05"} <= set(texts(chart))


def around(positions, **columns):
    """Bins of distance around positions."""
    bins = [
        (profile, 0.5, 8.0, NAN, NAN, position, *bounds)
        for position in positions
        for profile, edges in (
            ("polar_angle_distance", range(0, 181, 30)),
            ("distance", [0, 1, 2, 4, 8, 16]),
        )
        for bounds in pairwise(edges)
    ]
    rows = study()[lambda rows: rows["profile"] == "eccentricity"].iloc[[0] * len(bins)]
    rows = rows.reset_index(drop=True).assign(**pd.DataFrame(bins, columns=list(BIN)))
    estimates = np.random.default_rng(3).normal(size=len(bins))
    return rows.assign(estimate=estimates, **columns)


def test_profiles_around_positions_are_those_of_the_own_one_if_there_is_one():
    with_own = around(["UL", "UR", "own"])
    without = around(["UL", "UR"], contrast="ignore")
    (chart,) = draw_distances(pd.concat([with_own, without]))
    assert chart.title == "Profiles around positions: V1, task main"
    assert len(groups(chart, "curve")) == 2 + 4
    drawn = marks(chart, "means")
    own = with_own[with_own["position"] == "own"]
    assert is_linear(drawn[0][:, 1], own["estimate"].iloc[:6])
    assert is_linear(drawn[0][:, 0], np.arange(15, 181, 30))
    assert is_linear(drawn[1][:, 1], own["estimate"].iloc[6:])
    assert {"UL", "UR", "own", "attend", "ignore"} <= set(texts(chart))
    assert "polar angle distance UL " in chart.alt
    assert draw_distances(study()) == []


def test_many_curves_have_no_intervals():
    few, many = (around(["own", "UL", "UR", "LL", "LR", "A"][:n]) for n in (1, 6))
    for bins, n_shades, n_lines in ((few, 2, 6), (many[many["position"] != "own"], 0, 0)):
        rows = bins.assign(ci95_low=bins["estimate"] - 1, ci95_high=bins["estimate"] + 1, n=9.0)
        people = pd.concat([rows.assign(participant_id=f"sub-{i}") for i in range(3)])
        (chart,) = draw_distances(rows, people)
        assert sum(e.get("opacity") == "0.15" for e in parse(chart).iter()) == n_shades
        assert len(groups(chart, "participant")) == n_lines
        assert ("95 % confidence" in chart.caption) == bool(n_shades)


def test_the_fovea_takes_more_room_than_its_degrees():
    drawn = radius(np.array([0, 1, 2, 4, 8]), 8.0)
    assert drawn[0] == 0
    assert drawn[-1] == 1
    assert drawn[1] > 0.3


def test_a_disc_for_each_contrast_with_its_extremes_in_words():
    rows = study(("attend", "ignore"), hemis=("L", "R", "both"))
    chart, linear = draw_discs(rows, V1)
    assert {"attend", "ignore"} <= set(texts(chart))
    assert len(groups(chart, "limit")) == len(groups(chart, "covered")) == 2
    assert chart.name == "task-main_space-fsnative_label-V1_stat-effect_field"
    assert "range of the ROIs" in chart.caption
    assert "p_fwe" not in chart.caption
    of = rows[(rows["contrast"] == "attend") & (rows["hemi"] == "both")]
    assert not chart.folded
    assert linear.folded == "With linear eccentricity, up to 8 degrees"
    assert linear.name == "task-main_space-fsnative_label-V1_stat-effect_linearfield"
    assert "Eccentricity is linear" in linear.caption
    cells = of.loc[of["profile"] == "cell", "estimate"]
    assert f"attend: {cells.min():.3g} to {cells.max():.3g} in 48 cells" in chart.alt


def test_outlines_are_around_what_is_significant():
    cells = study()[lambda rows: rows["profile"] == "cell"].reset_index(drop=True)

    def n_sides(some):
        eccentricity, polar_angle = outline(bounds(some))
        assert (np.isnan(eccentricity) == np.isnan(polar_angle)).all()
        return np.isnan(eccentricity).sum()

    assert n_sides(cells.iloc[[0]]) == 4
    assert n_sides(cells.iloc[[0, 1]]) == 6
    assert n_sides(cells.iloc[[0, 11]]) == 6  # beside each other across the lower meridian
    assert n_sides(cells) == 24  # the inner circle and the rim
    rows = study(group=True)
    assert not groups(draw_discs(rows, V1)[0], "significant")
    rows.loc[rows.index[-1], "p_corrected"] = 0.01
    chart, linear = draw_discs(rows, V1)
    assert len(groups(chart, "significant")) == len(groups(linear, "significant")) == 1
    assert "Outlined: p_fwe < 0.05" in chart.caption


def test_profiles_are_the_estimates_of_their_bins():
    rows = study()
    (chart,) = draw_profiles(rows, V1)
    rings, wedges = marks(chart, "means")
    for drawn, profile in ((rings, "eccentricity"), (wedges, "polar_angle")):
        of = rows[rows["profile"] == profile]
        assert is_linear(drawn[:, 1], of["estimate"])
    assert is_linear(wedges[:, 0], [(a + b) / 2 for a, b in pairwise(WEDGES)])
    assert "eccentricity (degrees)" in texts(chart)
    of = rows[rows["profile"] == "eccentricity"]
    largest = of.loc[of["estimate"].idxmax()]
    assert chart.alt.startswith(
        f"attend: eccentricity {of['estimate'].min():.3g} to {largest['estimate']:.3g} in 4 bins, "
        f"largest at {largest['eccentricity_low']:g} to {largest['eccentricity_high']:g} degrees; "
    )


def test_the_group_has_intervals_and_a_line_for_each_participant():
    rows = study(group=True)
    rows.loc[rows["profile"] == "polar_angle", "p_corrected"] = [0.01] * 5 + [0.5] * 7
    people = pd.concat(
        [study(seed=i).assign(participant_id=f"sub-{i}", hemi="both") for i in range(1, 9)]
    )
    (chart,) = draw_profiles(rows, V1, people)
    assert len(groups(chart, "participant")) == 16
    assert "Each thin line is a participant" in chart.caption
    assert "95 % CI" in chart.alt
    assert chart.alt.endswith("p_fwe < 0.05 in 5 of them.")
    many = pd.concat([people.assign(participant_id=f"sub-{i}") for i in range(61)])
    (chart,) = draw_profiles(rows, V1, many)
    assert not groups(chart, "participant")


def test_the_range_of_the_rois_is_grey():
    rows = study()
    chart, *_ = draw_profiles(rows, {"V1": ((1.0, 4.0),)})
    assert chart.caption.endswith("The range of the ROIs is grey.")
    (limits,) = groups(chart, "limits")
    (grey,) = limits.iter(f"{SVG}rect")
    left, width = float(grey.get("x")), float(grey.get("width"))
    rings = rows[rows["profile"] == "eccentricity"]
    is_inside = (rings["eccentricity_low"] >= 1) & (rings["eccentricity_high"] <= 4)
    (places, _) = marks(chart, "means")
    is_grey = (left < places[:, 0]) & (places[:, 0] < left + width)
    assert (is_grey == is_inside.to_numpy()).all()


def test_without_polar_angles_there_are_rings_only():
    rows = study()[lambda rows: rows["profile"] == "eccentricity"]
    assert draw_discs(rows, V1) == []
    (chart,) = draw_profiles(rows, V1)
    assert "polar angle" not in texts(chart)


def test_what_has_no_number_is_not_drawn():
    rows = study(("attend", "ignore"))
    rows.loc[rows["contrast"] == "ignore", "estimate"] = NAN
    for chart in (*draw_discs(rows, {}), *draw_profiles(rows, {})):
        assert "ignore" not in texts(chart)
        assert "range of the ROIs" not in chart.caption
    nothing = rows.assign(estimate=NAN)
    assert draw_discs(nothing, V1) == draw_profiles(nothing, V1) == []
    gap = study()
    gap.loc[1, "estimate"] = NAN
    (chart,) = draw_profiles(gap, V1)
    assert " in 3 bins, largest at " in chart.alt


def test_hemispheres_have_charts_of_their_own_if_nothing_is_pooled():
    charts = draw_discs(study(hemis=("L", "R")), V1)[::2]
    assert [c.name.count("hemi-") for c in charts] == [1, 1]
    assert "left hemisphere" in charts[0].title


def test_many_contrasts_become_several_charts():
    contrasts = [f"contrast{i}" for i in range(13)]
    for charts, n in (
        (draw_discs(study(contrasts), V1)[::2], 2),
        (draw_profiles(study(contrasts), V1), 4),
    ):
        assert len({chart.name for chart in charts}) == len(charts) == n
        assert [t for c in charts for t in texts(c) if t.startswith("contrast")] == contrasts


@pytest.mark.parametrize("label", ["<script>", "$x^2$", "_hidden", "中文"])
def test_labels_are_text(label):
    rows = study((label,))
    for chart in (*draw_discs(rows, V1), *draw_profiles(rows, V1)):
        assert label in texts(chart)


def test_the_same_rows_give_the_same_charts():
    rows = study(group=True)
    assert draw_discs(rows, V1) == draw_discs(rows, V1)
    assert draw_profiles(rows, V1) == draw_profiles(rows, V1)
