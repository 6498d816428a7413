from dataclasses import replace
from itertools import chain, product

import numpy as np
import pytest
from group_data import rows_in
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pictures import faces, groups, is_linear, marks, parse, segments, texts, told

from bids_secondlevel.core.planned import PlannedContrast
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.reports.charts.group_estimates import (
    contralateral_hemisphere,
    draw_contralateral,
    draw_group_estimates,
    draw_planned,
)
from bids_secondlevel.reports.charts.style import Appearance
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import QualityRow
from bids_secondlevel.stats.comparisons import paired_tests
from bids_secondlevel.stats.groups import Groups
from bids_secondlevel.stats.planned import planned_estimates, planned_tests
from bids_secondlevel.stats.testing.one_sample import one_sample_tests

HEMISPHERES = ("L", "R", "both")


def study(n=8, n_rois=3, n_contrasts=2, *, gaps=0.0, seed=0, hemispheres=HEMISPHERES, **columns):
    """Rows of a study, some of them without a number."""
    random = np.random.default_rng(seed)
    rows = []
    for p, c, r, hemi in product(range(n), range(n_contrasts), range(n_rois), hemispheres):
        is_gap = random.random() < gaps
        rows.append(
            EstimateRow(
                **{
                    "participant_id": f"sub-{p:04}",
                    "session": None,
                    "task": "main",
                    "contrast": f"contrast{c}",
                    "roi": f"roi{r}",
                    "hemi": hemi,
                    "space": "fsnative",
                    "statistic": "effect",
                    "estimate": None if is_gap else float(random.normal(r, 1)),
                    "status": "empty_roi" if is_gap else "ok",
                    **columns,
                }
            )
        )
    return rows


def quality(n, index, quadrant=None, roi="roi0"):
    return [
        QualityRow(
            f"sub-{p:04}", roi, "both", "fsnative", 50, laterality_index=index, quadrant=quadrant
        )
        for p in range(n)
    ]


def computed(rows):
    return one_sample_tests(frame_of(rows, EstimateRow))


def draw(rows):
    return draw_tested(rows, computed(rows))


def draw_tested(rows, statistics):
    estimates = frame_of(rows, EstimateRow)
    return draw_group_estimates(estimates, statistics, paired_tests(estimates)[:0])


def draw_groups(rows, levels, **look):
    """Draw participants in groups in turn, with the differences of these; give its tests too."""
    estimates = frame_of(rows, EstimateRow)
    people = sorted(set(estimates["participant_id"]))
    of = {who: levels[place % len(levels)] for place, who in enumerate(people)} if levels else {}
    apart = Groups(column="arm", of=of) if levels else None
    comparisons = paired_tests(estimates, groups=apart)
    tests = one_sample_tests(estimates, groups=apart)
    look = Appearance(groups=of, **look)
    return draw_group_estimates(estimates, tests, comparisons, look), tests, comparisons


def heights_of_means(chart):
    """Heights of means, and of the ends of their intervals."""
    ends = segments(chart, "interval")
    return [*np.concatenate(marks(chart, "mean"))[:, 1], *ends[:, 1], *ends[:, 2]]


@settings(max_examples=10)
@given(st.integers(2, 20), st.integers(1, 5), st.floats(0, 0.9), st.integers(0, 99))
@example(n=2, n_rois=2, gaps=0.5, seed=1)
def test_every_participant_with_a_number_is_a_point_where_it_belongs(n, n_rois, gaps, seed):
    rows = study(n, n_rois, 1, gaps=gaps, seed=seed, hemispheres=("both",))
    (chart,) = draw(rows)
    statistics = [row for row in rows_in(computed(rows)) if row.n]
    where, values = [], []
    for said, points in zip(told(chart, "participants"), marks(chart, "participants"), strict=True):
        left = list(said)
        for row in rows:
            title = row.estimate is not None and f"{row.participant_id}: {row.estimate:.3g}"
            if title in left:  # of two that are written alike, the first is the first ROI's
                place = left.index(title)
                where.append(points[place, 1])
                values.append(row.estimate)
                left[place] = None
        assert not any(left)
    assert len(values) == sum(row.estimate is not None for row in rows)
    means = [row.mean for row in statistics]
    limits = [
        getattr(row, side)
        for side in ("ci95_low", "ci95_high")
        for row in statistics
        if row.ci95_low is not None
    ]
    if values:
        heights = [*where, *heights_of_means(chart)]
        assert is_linear(np.array(heights), [*values, *means, *limits])


def test_the_alternative_and_the_title_have_the_numbers_of_the_table():
    rows = study(5, 2, 1)
    (chart,) = draw(rows)
    for row in rows_in(computed(rows)):
        if row.hemi == "both":
            test = row
            told = (
                f"{row.roi} mean {test.mean:.3g}, 95 % CI {test.ci95_low:.3g} to "
                f"{test.ci95_high:.3g}, n = 5"
            )
            assert told in chart.alt
    assert {"contrast0", "participant (n = 5)"} <= set(texts(chart))


def test_the_table_is_drawn_and_nothing_is_computed_again():
    rows = study(5, 1, 1)
    shifted = computed(rows).assign(mean=70.0, ci95_low=60.0, ci95_high=80.0)
    (chart,) = draw_tested(rows, shifted)
    assert chart.alt == "contrast0: roi0 mean 70, 95 % CI 60 to 80, n = 5."


def test_a_single_participant_has_no_interval():
    (chart,) = draw(study(1, 1, 1))
    assert "no CI, n = 1" in chart.alt
    assert groups(chart, "interval") == []
    assert len(marks(chart, "participants")[0]) == len(marks(chart, "mean")[0]) == 1


def test_participants_keep_their_side_in_every_roi():
    (chart,) = draw(study(9, 3, 1))
    (points,) = marks(chart, "participants")
    first, second, third = points[:, 0].reshape(9, 3).T
    assert second - first == pytest.approx(np.full(9, second[0] - first[0]), abs=1e-3)
    assert third - second == pytest.approx(second - first, abs=1e-3)
    assert len(set(first)) == 9


def test_circular_estimates_are_apart_and_marked():
    rows = [*study(task="loc", independence="circular"), *study()]
    independent, circular = draw(rows)
    assert independent.name == "task-main_space-fsnative_stat-effect_estimates"
    assert circular.name == "task-loc_space-fsnative_stat-effect_desc-circular_estimates"
    assert "(circular)" in circular.title
    assert "check of the localizer" in circular.caption
    assert "control" not in independent.title + independent.caption
    for chart, colour in ((independent, "#222222"), (circular, "white")):
        assert set(faces(chart, "mean")[0]) == {colour}


def test_circular_and_independent_rois_of_a_contrast_do_not_share_a_panel():
    rows = study(4, 2, 1)
    rows = [replace(row, independence="circular") if row.roi == "roi1" else row for row in rows]
    independent, circular = draw(rows)
    assert "roi0" in texts(independent)
    assert "roi1" not in texts(independent)
    assert "roi1" in circular.alt
    assert "roi0" not in circular.alt


def test_an_roi_has_the_same_colour_in_every_chart():
    rows = study(4, 2, 1)
    (both,) = draw(rows)
    split = [replace(row, independence="circular") if row.roi == "roi0" else row for row in rows]
    alone = draw(split)[0]  # roi1 only

    (of_both,), (of_alone,) = faces(both, "participants"), faces(alone, "participants")
    assert of_both[1::2] == of_alone


def test_sessions_have_charts_of_their_own():
    rows = [*study(session="1"), *study(session="2")]
    assert [chart.title for chart in draw(rows)] == [
        "Estimates: task main, session 1",
        "Estimates: task main, session 2",
    ]


def test_a_study_of_one_hemisphere_is_drawn_in_that_hemisphere():
    rows = [
        row if row.hemi == "R" else replace(row, estimate=None, status="missing_map")
        for row in study(4, 2, 1)
    ]
    (chart,) = draw(rows)
    assert {"contrast0, right hemisphere", "participant (n = 4)"} <= set(texts(chart))
    assert [len(m) for m in marks(chart, "participants")] == [8]


def test_an_roi_without_any_number_is_marked():
    rows = study(4, 3, 1)
    gap = {"estimate": None, "status": "empty_roi"}
    rows = [replace(row, **gap) if row.roi == "roi1" else row for row in rows]
    (chart,) = draw(rows)
    assert "missing: in all participants" in texts(chart)
    assert "roi1 mean n/a, no CI, n = 0" in chart.alt
    assert [len(m) for m in marks(chart, "mean")] == [2]


def test_without_any_number_there_is_a_chart_that_says_so():
    (chart,) = draw([replace(row, estimate=None, status="empty_roi") for row in study(3, 2, 1)])
    assert chart.alt.count("n = 0") == 2
    assert draw([]) == []


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_numbers_of_any_size_can_be_drawn(scale):
    (chart,) = draw([replace(row, estimate=scale * row.estimate) for row in study(3, 2, 1)])
    assert sum(map(len, marks(chart, "participants"))) == 6


@pytest.mark.parametrize(("n", "n_rois", "n_contrasts"), [(60, 12, 4), (25, 4, 12), (2000, 4, 12)])
def test_charts_of_many_participants_are_small_files(n, n_rois, n_contrasts):
    charts = draw(study(n, n_rois, n_contrasts, hemispheres=("both",)))
    assert max(len(chart.svg) for chart in charts) < 300_000


def test_many_contrasts_become_several_charts():
    charts = draw(study(1, 6, 12, hemispheres=("both",)))
    assert len({chart.name for chart in charts}) == len(charts) > 1
    assert sum(len(m) for chart in charts for m in marks(chart, "mean")) == 72


def test_labels_are_text():
    rows = [
        replace(row, roi="<script>x", contrast="$x^2$", task="</svg>", participant_id="<b>")
        for row in study(1, 1, 1)
    ]
    (chart,) = draw(rows)
    assert "<script>x" in texts(chart)
    assert "$x^2$" in texts(chart)
    (title,) = told(chart, "participants")[0]
    assert title.startswith("<b>: ")
    assert not [element for element in parse(chart).iter() if element.tag.endswith("script")]
    assert "<" not in chart.name


def test_the_same_rows_give_the_same_charts():
    rows = study(100, 12, 1)  # also where points are pixels
    assert draw(rows) == draw(rows)


def test_of_many_participants_the_highest_and_lowest_of_each_condition_can_be_pointed_at():
    rows = study(100, 1, 2, hemispheres=("both",))
    (chart,) = draw(rows)
    assert "3 highest or lowest" in chart.caption
    (titles,) = told(chart, "extremes")
    for contrast in {row.contrast for row in rows}:
        ranked = sorted(
            (row.estimate, row.participant_id) for row in rows if row.contrast == contrast
        )
        for value, who in [*ranked[:3], *ranked[-3:]]:
            assert f"{who}: {value:.3g}" in titles
    assert len(titles) == 12
    (few,) = draw(rows[:20])
    assert "Point at a mark" in few.caption


def draw_sides(rows, quality_rows):
    return draw_contralateral(
        frame_of(rows, EstimateRow),
        paired_tests(frame_of(rows, EstimateRow)),
        frame_of(quality_rows, QualityRow),
    )


def test_contralateral_minus_ipsilateral_is_the_planted_difference():
    rows = study(6, 1, 1)
    planted = {"L": 1.0, "R": 3.5, "both": 2.0}
    rows = [replace(row, estimate=planted[row.hemi] + (hash_of(row) % 7) * 0.1) for row in rows]
    (chart,) = draw_sides(rows, quality(6, -0.8, "UL"))  # seen by the right hemisphere
    assert chart.name.endswith("_contralateral")
    differences = {
        p: next(r.estimate for r in rows if (r.participant_id, r.hemi) == (p, "R"))
        - next(r.estimate for r in rows if (r.participant_id, r.hemi) == (p, "L"))
        for p in sorted({row.participant_id for row in rows})
    }
    (points,) = marks(chart, "participants")
    (mean,) = marks(chart, "mean")
    values = [*differences.values(), np.mean(list(differences.values()))]
    assert is_linear(np.r_[points[:, 1], mean[:, 1]], values)
    assert f"roi0 mean {values[-1]:.3g}," in chart.alt
    assert "roi0: R" in chart.caption


def hash_of(row):
    return int(row.participant_id[-2:]) * (3 if row.hemi == "L" else 5)


@settings(max_examples=6)
@given(st.integers(2, 9), st.integers(0, 99))
def test_a_mirrored_study_has_the_same_chart(n, seed):
    rows = study(n, 2, 1, gaps=0.2, seed=seed)
    mirror = {"L": "R", "R": "L", "both": "both"}
    mirrored = [replace(row, hemi=mirror[row.hemi]) for row in rows]
    charts = draw_sides(rows, [*quality(n, 0.9, "UR"), *quality(n, -0.5, "LL", "roi1")])
    again = draw_sides(mirrored, [*quality(n, -0.9, "UL"), *quality(n, 0.5, "LR", "roi1")])
    assert [chart.alt for chart in charts] == [chart.alt for chart in again]
    for chart, other in zip(charts, again, strict=True):
        for a, b in zip(marks(chart, "participants"), marks(other, "participants"), strict=True):
            assert np.array_equal(a, b)


def test_the_numbers_are_those_of_the_comparisons():
    rows = study(7, 1, 2)
    (chart,) = draw_sides(rows, quality(7, 1.0))
    for row in rows_in(paired_tests(frame_of(rows, EstimateRow))):
        if row.comparison == "hemi":
            test = row
            assert (
                f"mean {test.mean:.3g}, 95 % CI {test.ci95_low:.3g} to {test.ci95_high:.3g}, n = 7"
            ) in chart.alt


@pytest.mark.parametrize(
    ("rows", "hemisphere"),
    [
        (quality(5, 1.0), "L"),
        (quality(5, -0.3), "R"),
        (quality(5, 0.2), None),  # at the limit
        (quality(5, 0.9, "LR"), "L"),
        (quality(5, 0.9, "UL"), None),  # polar angles contradict
        ([*quality(3, 0.9, "UR"), *quality(2, 0.9, "UL")], "L"),
        ([*quality(3, 0.9, "UR"), *quality(3, 0.9, "UL")], None),
        ([*quality(4, 1.0), *quality(1, -1.0)], "L"),  # the median
        (quality(5, None), None),
        (quality(5, 1.0, roi="other"), None),
        ([], None),
    ],
)
def test_the_side_of_an_roi(rows, hemisphere):
    assert contralateral_hemisphere("roi0", frame_of(rows, QualityRow)) == hemisphere


def test_without_two_hemispheres_or_a_side_there_is_no_such_chart():
    rows = study(5, 1, 1)
    assert draw_sides(rows, quality(5, 0.0)) == []
    one = [replace(row, estimate=None) if row.hemi == "L" else row for row in rows]
    assert draw_sides(one, quality(5, 1.0)) == []
    single = study(1, 1, 1)
    assert draw_sides(single, quality(1, 1.0)) == []
    assert draw_sides([], []) == []


def test_circular_differences_are_apart_and_marked():
    (chart,) = draw_sides(study(4, 1, 1, independence="circular"), quality(4, 1.0))
    assert "(circular)" in chart.title
    assert "_desc-circular_" in chart.name


def shown_by(chart, what="participants"):
    """Colour of each mark by what is said of it."""
    return dict(zip(chain(*told(chart, what)), chain(*faces(chart, what)), strict=True))


def test_flagged_numbers_are_hollow():
    rows = study(n=8, n_rois=2)
    some = sorted({row.participant_id for row in rows})[3]
    flagged = [replace(r, flags="small_roi" if r.participant_id == some else None) for r in rows]
    (chart,) = draw(flagged)
    hollow = {said for said, colour in shown_by(chart).items() if colour == "white"}
    assert hollow == {
        f"{some}: {r.estimate:.3g}" for r in rows if (r.participant_id, r.hemi) == (some, "both")
    }
    assert "Hollow marks: estimates with a flag" in chart.caption
    assert "flagged" in texts(chart)
    (plain,) = draw(rows)
    assert "white" not in shown_by(plain).values()
    assert "flagged" not in texts(plain)


def test_conditions_are_joined_within_participants_and_rois_are_not():
    rows = study(n=5, n_rois=2, n_contrasts=3, hemispheres=("both",))
    (chart,) = draw(rows)
    assert texts(chart).count("roi0") == 1
    joined = groups(chart, "joined")
    assert len(joined) == 2  # a panel for each ROI
    for line, points in zip(joined, marks(chart, "participants"), strict=True):
        d = next(line.iter("{http://www.w3.org/2000/svg}path")).get("d")
        corners = np.array([part.split()[:2] for part in d.replace("L", "M").split("M")[1:]], float)
        assert d.count("M") == 5  # one line for each participant
        assert np.allclose(corners * [1, -1], points, atol=1e-3)
    (alone,) = draw(study(n=5, n_rois=2, n_contrasts=1, hemispheres=("both",)))
    assert not groups(alone, "joined")


def scale(positions, values):
    """Inches of a unit, and where 0 is."""
    return np.polyfit(values, positions, 1)


def test_differences_of_two_groups_have_an_axis_of_their_own_with_the_same_units():
    rows = study(n=9, n_rois=2, n_contrasts=2, seed=3)
    (chart,), tests, comparisons = draw_groups(rows, ["patient", "control"])
    assert {"control (n = 4)", "patient (n = 5)", "control - patient"} <= set(texts(chart))
    compared = comparisons[(comparisons["comparison"] == "group") & (comparisons["hemi"] == "both")]
    of_groups = tests[(tests["group"] != "all") & (tests["hemi"] == "both")]
    means, intervals = marks(chart, "mean"), segments(chart, "interval")
    assert [len(of) for of in means] == [4, 2, 4, 2]  # points above, differences below
    start = 0
    for place, roi in enumerate(("roi0", "roi1")):
        above, below = means[2 * place : 2 * place + 2]
        groups_here = of_groups[of_groups["roi"] == roi].sort_values(["contrast", "group"])
        assert is_linear(above[:, 1], groups_here["mean"])
        differences = compared[compared["roi"] == roi].sort_values("contrast")
        ends = intervals[start + 4 : start + 6]
        drawn = np.concatenate([below[:, 1], ends[:, 1], ends[:, 2]])
        expected = differences[["mean", "ci95_low", "ci95_high"]].to_numpy().T.ravel()
        assert is_linear(drawn, expected)
        # A unit is as long on both axes, and a difference is below what it is between.
        unit = scale(above[:, 1], groups_here["mean"])[0]
        assert scale(drawn, expected)[0] == pytest.approx(unit, rel=1e-3)
        between = above[:, 0].reshape(2, 2).mean(axis=1)
        assert np.abs(below[:, 0] - between).max() < 12  # points; a place is 50 wide
        assert below[:, 1].max() < above[:, 1].min()
        start += 6
        for row in differences.itertuples():
            assert f"{row.contrast}, control - patient {row.mean:.3g}, 95 % CI" in chart.alt


def test_the_difference_of_two_conditions_is_below_the_middle_between_them():
    rows = study(n=7, n_rois=1, n_contrasts=2)
    (chart,), _, comparisons = draw_groups(rows, [])
    (paired,) = (row for row in rows_in(comparisons) if row.comparison == "contrast")
    above, below = marks(chart, "mean")
    assert above[0, 0] < below[0, 0] < above[1, 0]
    ends = segments(chart, "interval")[-1, 1:]
    assert is_linear(
        np.array([below[0, 1], *ends]), [paired.mean, paired.ci95_low, paired.ci95_high]
    )
    assert f"contrast0 - contrast1 {paired.mean:.3g}, 95 % CI" in chart.alt


@pytest.mark.parametrize(("seed", "has_room"), [(0, True), (1, False)])
def test_the_caption_says_that_units_are_as_long_only_if_they_are(seed, has_room):
    rows = study(n=2, n_rois=1, n_contrasts=2, seed=seed)
    (chart,), tests, comparisons = draw_groups(rows, [])
    (paired,) = (row for row in rows_in(comparisons) if row.comparison == "contrast")
    above, _ = marks(chart, "mean")
    unit = scale(above[:, 1], tests["mean"][tests["hemi"] == "both"])[0]
    ends = segments(chart, "interval")[-1, 1:]
    below = scale(ends, [paired.ci95_low, paired.ci95_high])[0]
    assert (below == pytest.approx(unit, rel=1e-3)) == has_room
    assert ("A unit is as long as above." in chart.caption) == has_room
    assert "Below them are differences" in chart.caption


def test_three_conditions_have_three_differences_and_of_more_there_are_too_many():
    (chart,), _, comparisons = draw_groups(study(n=7, n_rois=1, n_contrasts=3), [])
    paired = comparisons[
        (comparisons["comparison"] == "contrast") & (comparisons["hemi"] == "both")
    ]
    above, *below = marks(chart, "mean")
    drawn = np.concatenate(below)
    assert is_linear(drawn[:, 1], paired["mean"])
    names = [f"contrast{i}" for i in range(3)]
    for (x, _), row in zip(drawn, paired.itertuples(), strict=True):
        between = above[[names.index(row.contrast), names.index(row.versus)], 0]
        assert abs(x - between.mean()) < 20  # points; means are beside their places
        assert f"{row.contrast} - {row.versus}" in texts(chart)
    (chart,), _, _ = draw_groups(study(n=7, n_rois=1, n_contrasts=4), [])
    assert len(marks(chart, "mean")) == 1


def test_three_groups_have_three_differences_and_of_more_there_are_too_many():
    rows = study(n=9, n_rois=1, n_contrasts=2)
    (chart,), _, comparisons = draw_groups(rows, ["a", "b", "c"])
    compared = comparisons[(comparisons["comparison"] == "group") & (comparisons["hemi"] == "both")]
    above, *below = marks(chart, "mean")
    x_of = {
        (contrast, group): above[3 * i + j, 0]
        for i, contrast in enumerate(("contrast0", "contrast1"))
        for j, group in enumerate("abc")
    }
    assert [len(of_pair) for of_pair in below] == [2, 2, 2]
    in_order = compared.sort_values(["group", "versus", "contrast"])
    drawn = np.concatenate(below)
    assert is_linear(drawn[:, 1], in_order["mean"])
    for (x, _), row in zip(drawn, in_order.itertuples(), strict=True):
        between = x_of[row.contrast, row.group], x_of[row.contrast, row.versus]
        assert abs(x - np.mean(between)) < 12  # points
        assert f"{row.group} - {row.versus}" in texts(chart)
    (chart,), _, _ = draw_groups(study(n=12, n_rois=1, n_contrasts=2), ["a", "b", "c", "d"])
    assert len(marks(chart, "mean")) == 1


def test_three_groups_are_side_by_side():
    (chart,), _, _ = draw_groups(study(n=9, n_rois=1, n_contrasts=2), ["a", "b", "c"])
    places = [points[:, 0].mean() for points in marks(chart, "participants")]
    assert places == sorted(places)
    assert [len(points) for points in marks(chart, "participants")] == [6, 6, 6]


def test_colours_follow_the_order_of_the_study_whatever_is_drawn():
    rows = [replace(row, roi={"roi0": "LR", "roi1": "UL"}[row.roi]) for row in study(3, 2, 1)]
    (chart,), _, _ = draw_groups(rows, [], rois=("UL", "UR", "LL", "LR"))
    by_roi = {
        row.roi: f"{row.participant_id}: {row.estimate:.3g}" for row in rows if row.hemi == "both"
    }
    colours, known = shown_by(chart), Appearance(rois=("UL", "UR", "LL", "LR")).colours([])
    for roi, said in by_roi.items():
        assert colours[said] == known[roi]


def test_planned_contrasts_show_each_participant_and_the_difference_of_groups():
    rows = study(n=8, n_rois=2, n_contrasts=2, gaps=0.05, seed=5)
    estimates = frame_of(rows, EstimateRow)
    weights = {"contrast0": 1.0, "contrast1": -1.0}
    planned = (
        PlannedContrast(name="first", task="main", contrast=weights, roi="roi0"),
        PlannedContrast(name="second", task="main", contrast=weights, roi="roi1"),
    )
    of = {f"sub-{p:04}": "ab"[p % 2] for p in range(8)}
    apart, look = Groups(column="arm", of=of), Appearance(groups=of)
    numbers = planned_estimates(planned, estimates)
    tests = planned_tests(planned, estimates, groups=apart)
    (chart,) = draw_planned(numbers, tests, look)
    assert chart.name == "planned"
    there = numbers.dropna(subset="estimate")
    drawn = [said for group in told(chart, "participants") for said in group]
    expected = [f"{row.participant_id}: {row.estimate:.3g}" for row in there.itertuples()]
    assert sorted(drawn) == sorted(expected)
    above, below = marks(chart, "mean")
    of_groups = tests[(tests["group"] != "all") & (tests["versus"] == "n/a")]
    assert is_linear(above[:, 1], of_groups.sort_values(["name", "group"])["mean"])
    assert is_linear(below[:, 1], tests[tests["versus"] != "n/a"]["mean"])
    everybody = planned_tests(planned, estimates)
    (chart,) = draw_planned(numbers, everybody)
    assert is_linear(marks(chart, "mean")[0][:, 1], everybody["mean"])
    assert draw_planned(numbers[:0], tests[:0]) == []
