"""Repeated-measures ANOVA, against R (afex) and the tests that it has as special cases."""

import numpy as np
import pytest
from group_data import labels, participants, row, rows_in
from r_references import STUDIES, estimates_of, participants_of, read
from scipy import stats

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.anova import analyses_of_variance
from bids_secondlevel.stats.groups import groups_of


@pytest.mark.parametrize("has_groups", [False, True])
@pytest.mark.parametrize("study", STUDIES)
def test_it_is_that_of_afex(study, has_groups):
    estimates, people = estimates_of(study, derived=False), participants_of(study)
    groups = groups_of("group", people, estimates["participant_id"]) if has_groups else None
    found = analyses_of_variance(estimates, ("contrast", "roi"), groups)
    expected = read(study, "r_anova")
    expected = expected[expected["between"].notna() == has_groups]
    both = expected.merge(found, on="term", suffixes=("_r", ""), validate="one_to_one")
    assert len(both) == len(found) == len(expected)
    for column in (
        *("n", "f", "df", "df_residual", "p", "epsilon_gg", "p_gg", "partial_eta2"),
        "generalized_eta2",
    ):
        reference = "generalized_eta2_measured_group" if column == "generalized_eta2" else None
        np.testing.assert_allclose(
            both[column], both[reference or f"{column}_r"], rtol=1e-8, err_msg=column
        )
    left_out = expected["left_out"].iloc[0]
    named = [part.partition(":")[0] for part in found["excluded"].iloc[0].split("; ")]
    assert named == (left_out.split(";") if isinstance(left_out, str) else ["n/a"])


def test_two_levels_are_a_paired_test_and_groups_a_pooled_one():
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (10, 2))
    rows = [
        row(who, value, contrast=contrast)
        for who, both in zip(labels(10), values, strict=True)
        for contrast, value in zip(("attend", "ignore"), both, strict=True)
    ]
    frame = frame_of(rows, EstimateRow)
    people = participants(sex=["F", "M"] * 5)
    (alone,) = rows_in(analyses_of_variance(frame, ("contrast",)))
    paired = stats.ttest_rel(*values.T)
    assert (alone.f, alone.p, alone.p_gg) == pytest.approx(
        (paired.statistic**2, paired.pvalue, paired.pvalue)
    )
    assert (alone.df, alone.df_residual, alone.epsilon_gg, alone.term) == (1, 9, 1, "contrast")
    groups = groups_of("sex", people, frame["participant_id"])
    found = {r.term: r for r in rows_in(analyses_of_variance(frame, ("contrast",), groups))}
    pooled = stats.ttest_ind(values[::2].mean(axis=1), values[1::2].mean(axis=1))
    assert found["sex"].p == pytest.approx(pooled.pvalue)
    differences = values[:, 0] - values[:, 1]
    pooled = stats.ttest_ind(differences[::2], differences[1::2])
    assert found["sex:contrast"].p == pytest.approx(pooled.pvalue)


def test_one_for_each_level_of_the_other_columns():
    rng = np.random.default_rng(2)
    rows = [
        row(who, rng.normal(), contrast=contrast, roi=roi, hemi=hemi, session=session)
        for who in labels(6)
        for contrast in ("x", "y", "z")
        for roi in ("UL", "UR")
        for hemi in ("L", "R", "both")
        for session in ("1", "2")
    ]
    frame = frame_of(rows, EstimateRow)
    found = rows_in(analyses_of_variance(frame, ("contrast",)))
    assert {(r.roi, r.hemi, r.session) for r in found} == {
        (roi, "both", session) for roi in ("UL", "UR") for session in ("1", "2")
    }
    found = rows_in(analyses_of_variance(frame, ("hemi", "session", "roi")))
    assert {r.contrast for r in found} == {"x", "y", "z"}
    assert [r.term for r in found[:7]] == [
        *("hemi", "session", "roi", "hemi:session", "hemi:roi", "session:roi", "hemi:session:roi")
    ]


def test_what_cannot_be_analysed_says_why():
    rows = [row(who, 1.0 + i, roi="UL") for i, who in enumerate(labels(3))]
    (single,) = rows_in(analyses_of_variance(frame_of(rows, EstimateRow), ("roi",)))
    assert single.note == "a single level of roi"
    rows += [row(who, None, roi="UR") for who in labels(3)]
    (empty,) = rows_in(analyses_of_variance(frame_of(rows, EstimateRow), ("roi",)))
    assert "0 participants with all 2 estimates, too few" in empty.note
    assert empty.excluded == "sub-01:empty_roi; sub-02:empty_roi; sub-03:empty_roi"
    rows[3:] = [row(who, 2.0 + i, roi="UR") for i, who in enumerate(labels(3))]
    (same,) = rows_in(analyses_of_variance(frame_of(rows, EstimateRow), ("roi",)))
    assert "no variation between participants" in same.note
    assert same.p is None


def test_contrasts_that_follow_from_others_are_refused():
    with pytest.raises(DataError, match="attendMinusIgnore is attend - ignore in all"):
        analyses_of_variance(estimates_of("complete"), ("contrast", "roi"))
    assert len(analyses_of_variance(estimates_of("complete"), ("roi",))) == 3
