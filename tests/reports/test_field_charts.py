"""Pictures of the visual field: what is drawn where."""

from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from pictures import groups, is_linear, marks, texts

from bids_secondlevel.reports.charts.field import (
    draw_discs,
    draw_profiles,
    outline,
    pixels,
    radius,
)
from bids_secondlevel.rois.visual_field import BIN
from bids_secondlevel.stats.visual_field import SERIES

NAN = float("nan")
RINGS = [0.5, 1.0, 2.0, 4.0, 8.0]
WEDGES = [-180.0 + 30 * i for i in range(13)]
NOWHERE = {"position": "n/a", "distance_low": NAN, "distance_high": NAN}
V1 = {"V1": [(0.0, 5.0)]}


def study(contrasts=("attend",), *, hemis=("both",), group=False, seed=0):
    """Make all bins of V1, with random estimates; of a group, with intervals and p."""
    rings, wedges = list(pairwise(RINGS)), list(pairwise(WEDGES))
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
    rows["p_fwe"] = NAN
    if group:
        rows = rows.assign(
            ci95_low=rows["estimate"] - 0.5, ci95_high=rows["estimate"] + 0.5, n=8.0, p_fwe=0.5
        )
    return rows[[*SERIES, *rows.columns.difference(SERIES, sort=False)]]


def test_pixels_are_those_of_the_cell_that_they_lie_in():
    cells = study()[lambda rows: rows["profile"] == "cell"].reset_index(drop=True)
    cells = cells.drop(index=[5])
    values = np.random.default_rng(1).integers(1, 255, len(cells)).astype(np.uint8)
    drawn = pixels(cells, 8.0, values)
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


def test_the_fovea_takes_more_room_than_its_degrees():
    drawn = radius(np.array([0, 1, 2, 4, 8]), 8.0)
    assert drawn[0] == 0
    assert drawn[-1] == 1
    assert drawn[1] > 0.3


def test_a_disc_for_each_contrast_with_its_extremes_in_words():
    rows = study(("attend", "ignore"), hemis=("L", "R", "both"))
    (chart,) = draw_discs(rows, V1)
    assert {"attend", "ignore"} <= set(texts(chart))
    assert len(groups(chart, "limit")) == 2
    assert chart.name == "task-main_space-fsnative_label-V1_stat-effect_field"
    assert "limits of the ROIs" in chart.caption
    assert "p_fwe" not in chart.caption
    of = rows[(rows["contrast"] == "attend") & (rows["hemi"] == "both")]
    cells = of.loc[of["profile"] == "cell", "estimate"]
    assert f"attend: {cells.min():.3g} to {cells.max():.3g} in 48 cells" in chart.alt


def test_outlines_are_around_what_is_significant():
    cells = study()[lambda rows: rows["profile"] == "cell"].reset_index(drop=True)
    assert len(outline(cells.iloc[[0]])) == 4
    assert len(outline(cells.iloc[[0, 1]])) == 6
    assert len(outline(cells.iloc[[0, 11]])) == 6  # beside each other across the lower meridian
    assert len(outline(cells)) == 24  # the inner circle and the rim
    rows = study(group=True)
    assert not groups(draw_discs(rows, V1)[0], "significant")
    rows.loc[rows.index[-1], "p_fwe"] = 0.01
    (chart,) = draw_discs(rows, V1)
    assert len(groups(chart, "significant")) == 1
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
    assert "0.5 to 1 degrees" in chart.alt


def test_the_group_has_intervals_and_a_line_for_each_participant():
    rows = study(group=True)
    people = pd.concat(
        [study(seed=i).assign(participant_id=f"sub-{i}", hemi="both") for i in range(1, 9)]
    )
    (chart,) = draw_profiles(rows, V1, people)
    assert len(groups(chart, "participant")) == 16
    assert "A thin line for each participant" in chart.caption
    assert "95 % CI" in chart.alt
    many = pd.concat([people.assign(participant_id=f"sub-{i}") for i in range(61)])
    (chart,) = draw_profiles(rows, V1, many)
    assert not groups(chart, "participant")


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
        assert "limits of the ROIs" not in chart.caption
    nothing = rows.assign(estimate=NAN)
    assert draw_discs(nothing, V1) == draw_profiles(nothing, V1) == []
    gap = study()
    gap.loc[1, "estimate"] = NAN
    (chart,) = draw_profiles(gap, V1)
    assert "1 to 2 degrees n/a" in chart.alt


def test_hemispheres_have_charts_of_their_own_if_nothing_is_pooled():
    charts = draw_discs(study(hemis=("L", "R")), V1)
    assert [c.name.count("hemi-") for c in charts] == [1, 1]
    assert "left hemisphere" in charts[0].title


def test_many_contrasts_become_several_charts():
    contrasts = [f"contrast{i}" for i in range(13)]
    for charts, n in (
        (draw_discs(study(contrasts), V1), 2),
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
