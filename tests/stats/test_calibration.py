"""False positives of tests, in simulated studies without any effect."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bids_secondlevel.core.inference import Inference
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.models.fit import Fit, f_test, fit_linear_model
from bids_secondlevel.stats.models.table import ModelRow
from bids_secondlevel.stats.testing.one_sample import one_sample_tests

N_STUDIES = 500
ROW = ModelRow("a model", "mixed")
CONTRASTS, ROIS = 2, 3
TERMS = {
    "contrast": [1],
    "roi": [2, 3],
    "contrast:roi": [4, 5],
    "group": [6],
    "group:contrast": [7],
}


def is_near(share, n_studies=N_STUDIES):
    """Tell whether a share is 0.05 but for chance: three standard errors."""
    return abs(share - 0.05) < 3 * np.sqrt(0.05 * 0.95 / n_studies)


def design_of(n):
    """Sum-to-zero coding of contrast x ROI within, and of two groups between participants."""
    contrast = np.tile(np.repeat([1.0, -1.0], ROIS), n)
    roi = np.tile(np.array([[1, 0], [0, 1], [-1, -1]], dtype=float), (CONTRASTS * n, 1))
    group = np.repeat(np.where(np.arange(n) % 2, 1.0, -1.0), CONTRASTS * ROIS)
    return np.column_stack(
        [np.ones(contrast.size), contrast, roi, contrast[:, None] * roi, group, group * contrast]
    )


def study(rng, n, *, varies):
    """Numbers of participants, who differ in their level and, if it varies, in their effects."""
    between = rng.normal(0, 1, (n, 1, 1)) + np.zeros((n, CONTRASTS, ROIS))
    if varies:
        between += rng.normal(0, 0.5, (n, CONTRASTS, 1)) + rng.normal(0, 0.5, (n, 1, ROIS))
    return (between + rng.normal(0, 0.5, (n, CONTRASTS, ROIS))).ravel()


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("n", [6, 10, 30])
def test_models_find_nothing_where_nothing_is(n, varies, missing):
    rng = np.random.default_rng([n, varies, int(100 * missing)])
    design, owner = design_of(n), np.repeat(np.arange(n), CONTRASTS * ROIS)
    names = np.array([f"sub-{who:02}" for who in owner])
    found = dict.fromkeys(TERMS, 0)
    tested = dict.fromkeys(TERMS, 0)
    units = np.eye(design.shape[1])
    with threadpool_limits(1):
        for _ in range(N_STUDIES):
            values = study(rng, n, varies=varies)
            kept = rng.random(values.size) >= missing
            fit = fit_linear_model(values[kept], design[kept], list(names[kept]))
            assert isinstance(fit, Fit)
            for term, columns in TERMS.items():
                p = f_test(ROW, fit, units[columns]).p
                tested[term] += p is not None
                found[term] += p is not None and p < 0.05
    for term in TERMS:
        assert tested[term] > 0.9 * N_STUDIES
        share = found[term] / tested[term]
        # With few participants and missing cells, approximate degrees of freedom are cautious.
        limit = 3 * np.sqrt(0.05 * 0.95 / tested[term])
        assert share < 0.05 + limit, (term, share)
        if not missing and n > 6:
            assert is_near(share, tested[term]), (term, share)


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 20])
def test_the_default_family_keeps_its_error_rate(n):
    # Two contrasts in four ROIs that are correlated; circular and crossvalidated rows beside them.
    rng = np.random.default_rng(n)
    errors = {"p_fwe": 0, "p_holm": 0, "q_fdr": 0}
    n_studies = 200
    for _ in range(n_studies):
        shared = rng.normal(0, 1, (n, 1))
        rows = []
        for contrast in ("attend", "ignore", "loc"):
            values = shared + rng.normal(0, 1, (n, 4)) + 5 * (contrast == "loc")
            rows += [
                EstimateRow(
                    participant_id=f"sub-{who:02}",
                    session=None,
                    task="loc" if contrast == "loc" else "main",
                    contrast=contrast,
                    roi=roi,
                    hemi="both",
                    space="fsnative",
                    statistic="effect",
                    estimate=float(values[who, place]),
                    status="ok",
                    independence="crossvalidated" if contrast == "loc" else "independent",
                )
                for who in range(n)
                for place, roi in enumerate(("LL", "LR", "UL", "UR"))
            ]
        tests = one_sample_tests(frame_of(rows, EstimateRow), Inference(n_permutations=256))
        of_loc = tests["contrast"] == "loc"
        assert tests.loc[of_loc, list(errors)].isna().all(axis=None)
        for column in errors:
            errors[column] += (tests.loc[tests["contrast"] == "attend", column] < 0.05).any()
    for column, count in errors.items():
        assert count / n_studies < 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_studies), column
    assert errors["p_fwe"] / n_studies > 0.05 - 3 * np.sqrt(0.05 * 0.95 / n_studies)
