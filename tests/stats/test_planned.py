"""Planned contrasts and groups, against R."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from group_data import labels, participants, row, rows_in
from r_references import FOLDER, STUDIES, estimates_of, participants_of, read
from scipy import stats

from bids_secondlevel.core.errors import DataError, UsageError
from bids_secondlevel.core.inference import Inference
from bids_secondlevel.core.planned import PlannedContrast
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.comparisons import paired_tests
from bids_secondlevel.stats.groups import groups_of
from bids_secondlevel.stats.models.by_formula import fit_formula
from bids_secondlevel.stats.planned import as_estimates, planned_estimates, planned_tests
from bids_secondlevel.stats.testing.one_sample import one_sample_tests

BOUND = Inference(equivalence_bound=0.2)
DESCRIBED = ("n", "mean", "sd", "t", "df", "p", "ci95_low", "ci95_high")


def study(name):
    estimates = estimates_of(name)
    groups = groups_of("group", participants_of(name), estimates["participant_id"])
    text = Path(FOLDER, name, "planned.toml").read_text(encoding="utf-8")
    planned = [PlannedContrast(**table) for table in tomllib.loads(text)["planned"]]
    return estimates, groups, planned


def assert_equal(both, columns):
    for column in columns:
        np.testing.assert_allclose(both[column], both[f"{column}_r"], rtol=1e-8, err_msg=column)


@pytest.mark.parametrize("name", STUDIES)
def test_planned_contrasts_are_those_of_r(name):
    estimates, groups, planned = study(name)
    found = planned_tests(planned, estimates, BOUND, groups)
    against_0 = found[found["versus"] == "n/a"]
    expected = read(name, "r_planned")
    both = expected.merge(against_0, on=["group", "name"], suffixes=("_r", ""))
    assert len(both) == len(expected) == len(against_0)
    assert_equal(both, (*DESCRIBED, "cohens_d", "p_equivalence", "p_holm", "q_fdr"))
    np.testing.assert_allclose(both["bf10"], both["bf10_root_half"], rtol=2e-6)
    for left_out, excluded in zip(both["left_out"], both["excluded"], strict=True):
        named = [part.partition(":")[0] for part in excluded.split("; ")]
        assert named == (left_out.split(";") if isinstance(left_out, str) else ["n/a"])
    differences = found[found["versus"] != "n/a"]
    expected = read(name, "r_groups").dropna(subset="name")
    both = expected.merge(differences, on=["group", "versus", "name"], suffixes=("_r", ""))
    assert len(both) == len(expected) == len(differences)
    assert_equal(both, ("mean", "t", "df", "p", "ci95_low", "ci95_high", "hedges_g"))
    assert_equal(both, ("n_group", "n_versus"))


@pytest.mark.parametrize("name", STUDIES)
def test_groups_are_those_of_r(name):
    estimates, groups, _ = study(name)
    expected = read(name, "r_statistics")
    found = one_sample_tests(estimates, BOUND, groups)
    both = expected.merge(found, on=["group", "contrast", "roi"], suffixes=("_r", ""))
    assert len(both) == len(expected) == len(found)
    assert_equal(both, (*DESCRIBED, "cohens_d", "p_equivalence", "p_holm", "q_fdr"))
    compared = paired_tests(estimates, BOUND, groups=groups)
    compared = compared[compared["comparison"] == "group"]
    expected = read(name, "r_groups")
    expected = expected[expected["name"].isna()]
    both = expected.merge(compared, on=["group", "versus", "contrast", "roi"], suffixes=("_r", ""))
    assert len(both) == len(expected) == len(compared)
    assert_equal(both, ("mean", "t", "df", "p", "ci95_low", "ci95_high", "hedges_g"))
    assert (compared["n_group"] + compared["n_versus"]).equals(compared["n"])


def test_the_interval_of_g_is_that_of_the_noncentral_t():
    rng = np.random.default_rng(3)
    one, other = rng.normal(0.8, 1, 12), rng.normal(0, 1, 9)
    rows = [row(who, x) for who, x in zip(labels(21), [*one, *other], strict=True)]
    frame = frame_of(rows, EstimateRow)
    groups = groups_of("arm", participants(arm=["a"] * 12 + ["b"] * 9), frame["participant_id"])
    (found,) = [r for r in rows_in(paired_tests(frame, groups=groups)) if r.comparison == "group"]
    t = stats.ttest_ind(one, other).statistic
    for limit, tail in ((found.cohens_d_ci95_low, 0.975), (found.cohens_d_ci95_high, 0.025)):
        shift = limit * np.sqrt(12 * 9 / 21)
        assert stats.nct.cdf(t, 19, shift) == pytest.approx(tail, rel=1e-4)


def cells(*, sessions=("n/a",), hemis=("both",), independence="independent", n=6):
    rng = np.random.default_rng(4)
    return frame_of(
        [
            row(
                who,
                rng.normal(),
                contrast=contrast,
                roi=roi,
                session=session,
                hemi=hemi,
                independence=independence,
            )
            for who in labels(n)
            for contrast in ("attend", "ignore")
            for roi in ("UL", "LR")
            for session in sessions
            for hemi in hemis
        ],
        EstimateRow,
    )


def number(frame, **cell):
    for name, value in cell.items():
        frame = frame[frame[name] == value]
    return frame.sort_values("participant_id")["estimate"].to_numpy()


def test_weights_of_columns_multiply_and_labels_match_whatever_their_case():
    frame = cells(sessions=("pre", "post"), hemis=("L", "R", "both"))
    planned = PlannedContrast(
        name="change",
        contrast={"ATTEND": 1, "ignore": -1},
        roi="ul",
        session={"ses-post": 2, "pre": -1},
        hemi={"L": 0.5, "R": 0.5},
    )
    (found,) = rows_in(planned_tests([planned], frame))
    expected = sum(
        s * w / 2 * number(frame, session=session, contrast=contrast, roi="UL", hemi=hemi)
        for session, s in (("post", 2), ("pre", -1))
        for contrast, w in (("attend", 1), ("ignore", -1))
        for hemi in "LR"
    )
    assert (found.mean, found.t) == pytest.approx(
        (expected.mean(), stats.ttest_1samp(expected, 0).statistic)
    )
    assert found.family == "planned contrasts"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"contrast": "attended"}, "there is no contrast attended; there are attend, ignore"),
        ({"roi": "UL"}, "has no contrast, but there are several: attend, ignore"),
        (
            {"contrast": "attend", "roi": "UL", "task": "loc"},
            "there is no task loc; there are main",
        ),
        ({"contrast": "attend", "roi": "UL", "hemi": "L"}, "there is no hemi L; there are both"),
    ],
)
def test_what_is_not_there_or_left_open_is_an_error(given, said):
    with pytest.raises(UsageError, match=rf"\[\[planned\]\] 'x': {said}"):
        planned_tests([PlannedContrast(name="x", **given)], cells())


def test_the_mean_is_taken_over_sessions_that_are_not_named():
    planned = PlannedContrast(name="x", contrast="attend", roi="UL")
    frame = cells(sessions=("a", "b", "c"))
    (found,) = rows_in(planned_tests([planned], frame))
    each = [number(frame, contrast="attend", roi="UL", session=session) for session in "abc"]
    assert found.t == pytest.approx(stats.ttest_1samp(np.mean(each, axis=0), 0).statistic)


def test_circular_numbers_are_not_tested():
    planned = PlannedContrast(name="x", contrast={"attend": 1, "ignore": -1}, roi="UL")
    (found,) = rows_in(planned_tests([planned], cells(independence="circular")))
    assert found.p is None
    assert found.note == "no test on circular estimates"


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": float("nan")}, {"a": 1.0, "A": 2.0}])
def test_weights_that_mean_nothing(weights):
    with pytest.raises(UsageError, match="contrast: "):
        PlannedContrast(name="x", contrast=weights)


@pytest.mark.parametrize(
    ("column", "error", "said"),
    [
        ("sex", UsageError, "has no such column. Its columns are: age, site"),
        ("age", DataError, "makes 6 groups of 6 participants"),
        ("site", DataError, "makes 1 group of 6 participants"),
    ],
)
def test_columns_that_make_no_groups(column, error, said):
    people = participants(age=[20, 21, 22, 23, 24, 25], site=["here"] * 6)
    with pytest.raises(error, match=said):
        groups_of(column, people, cells()["participant_id"])


def test_who_is_in_no_group_is_named():
    people = participants(sex=["F", "M", "F", "M", None, None])
    groups = groups_of("sex", people, cells()["participant_id"])
    assert "unknown for sub-05, sub-06" in groups.messages[0]
    assert groups.messages[1].startswith("--group-by sex makes 2 groups (")
    found = one_sample_tests(cells(), groups=groups)
    assert found.groupby("group")["n"].max().to_dict() == {"all": 6, "F": 2, "M": 2}


def test_planned_contrasts_are_a_response_of_models():
    estimates, groups, planned = study("missing_cells")
    people = participants_of("missing_cells")
    numbers = as_estimates(planned_estimates(planned, estimates), "both")
    found = fit_formula("planned ~ group", estimates, people, numbers).table
    compared = planned_tests(planned, estimates, groups=groups)
    compared = compared[compared["versus"] != "n/a"].set_index("name")
    slopes = found[found["name"] == "group[T.patient]"].set_index("contrast")
    assert set(slopes.index) == {of.name for of in planned}
    for name, row_ in slopes.iterrows():
        assert row_["coefficient"] == pytest.approx(-compared.loc[name, "mean"])
        assert row_["value"] == pytest.approx(-compared.loc[name, "t"])
        assert row_["df_residual"] == pytest.approx(compared.loc[name, "df"])
        assert row_["p"] == pytest.approx(compared.loc[name, "p"])
    with pytest.raises(UsageError, match="there is no column planned"):
        fit_formula("planned ~ group", estimates, people)
