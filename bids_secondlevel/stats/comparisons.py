"""Comparisons: of ROIs, contrasts, hemispheres and sessions in participants, and of groups."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import HEMISPHERES, main_rows
from bids_secondlevel.core.inference import PLAIN, Inference, is_mean_of_sessions
from bids_secondlevel.core.rows import CELL, CELL_COLUMNS, Column, Schema
from bids_secondlevel.core.values import Mask
from bids_secondlevel.stats.dependence import Dependence, why_not_compared
from bids_secondlevel.stats.groups import Groups
from bids_secondlevel.stats.testing.one_sample import (
    GROUP_COLUMN,
    N_OF_GROUPS,
    REASONS,
    ROBUST_OF_GROUPS,
    SESSION_COLUMN,
    TEST_COLUMNS,
    Families,
    Numbers,
    family_names,
    hedges_correction,
    spread,
    tests_of_groups,
    with_session_means,
)
from bids_secondlevel.stats.testing.welch import welch_tests

if TYPE_CHECKING:
    import pandas as pd

Comparison = Literal["roi", "contrast", "hemi", "session", "task"]

COMPARISONS: Mapping[Comparison, str] = {
    "roi": "two ROIs, in the same contrast",
    "contrast": "two contrasts of a task, in the same ROI",
    "hemi": "left against right hemisphere, in the same ROI and contrast",
    "session": "two sessions, in the same ROI and contrast",
    "task": "two tasks, in the same ROI and in contrasts of the same name",
}

DIFFERENCES = (
    "all statistics describe the differences within participants, the first minus the one in "
    "versus. mean is the mean difference. cohens_d and hedges_g are divided by the standard "
    "deviation of the differences (d_z) and cannot be compared with those of independent groups"
)

HEMISPHERES_COMPARED = (
    "if less than 10 % of an ROI is in one of the hemispheres, the participant is excluded from "
    "the comparison of hemispheres for this ROI (minor_hemisphere in the column excluded)"
)

FAMILY = (
    "p_fwe, p_holm and q_fdr are corrected for the tests with the same value in the column family, "
    "separately for each kind of comparison. Only tests of independent estimates are corrected, "
    "not those of crossvalidated or circular ones. ROIs and contrasts are compared in rows of both "
    "hemispheres (without such rows, in single hemispheres). Means over sessions are separate "
    "families"
)


COMPARISON_COLUMNS: Schema = {
    "comparison": Column(
        str,
        "what is compared: the column with the first of the two",
        levels={**COMPARISONS, "group": "two groups of participants, by Welch's t test"},
    ),
    **CELL_COLUMNS,
    "session": SESSION_COLUMN,
    "group": GROUP_COLUMN,
    "versus": Column(
        str,
        "the ROI, contrast, hemisphere, session, task or group whose estimates are subtracted from "
        "those of the first",
    ),
    **N_OF_GROUPS,
    **TEST_COLUMNS,
    **ROBUST_OF_GROUPS,
    "df": Column(float, "degrees of freedom: n - 1, or Welch's; n/a without t"),
    "d_av": Column(
        float,
        "Cohen's d of the mean difference, divided by the square root of the mean of both "
        "variances; comparable with d of independent groups",
    ),
    "g_av": Column(float, "d_av without its bias in small samples"),
    "r": Column(float, "Pearson's correlation of the two that are compared"),
}
"""A comparison across participants, or of two groups."""


def paired_tests(
    estimates: "pd.DataFrame",
    inference: Inference = PLAIN,
    dependences: Sequence[Dependence] = (),
    groups: Groups | None = None,
) -> "pd.DataFrame":
    """Test differences between ROIs, contrasts of a task, hemispheres, sessions, and groups.

    Parameters
    ----------
    estimates
        Of all participants. A participant without both numbers stays out of a test, and is named
        in `excluded`.
    inference
        Families are those of each kind of comparison. Of two contrasts that are compared, tests
        in all ROIs are corrected together.
    dependences
        Contrasts that follow from others. They are not tested against their parts.
    groups
        Each is tested for itself, too; then each is compared with each other.

    Returns
    -------
    DataFrame
        With :data:`COMPARISON_COLUMNS`; comparison by comparison.
    """
    import pandas as pd

    cells, numbers = with_session_means(*spread(estimates))
    tables = []
    for comparison in COMPARISONS:
        first, second = np.array(list(_pairs(cells, comparison)), dtype=np.intp).reshape(-1, 2).T
        differences = _differences(numbers, first, second)
        if comparison == "hemi":
            differences = _without_minor(differences)
        compared = cells.iloc[first].reset_index(drop=True)
        versus = cells[comparison].iloc[second].reset_index(drop=True)
        pairs = compared
        if comparison == "contrast":
            pairs = compared.assign(contrast=compared["contrast"] + " - " + versus)
        together = f"{comparison}: " + family_names(pairs, inference.family)
        untestable = np.full(first.size, "", dtype=object)
        if comparison == "contrast" and dependences:
            two = zip(compared["task"], compared["contrast"], versus, strict=True)
            why = (why_not_compared(dependences, *names) for names in two)
            untestable[:] = [f"not tested, because {found}" if found else "" for found in why]
        untestable[compared["statistic"] == "p"] = (
            "not tested: differences of p values are meaningless"
        )
        compared = compared.assign(comparison=comparison, versus=versus)
        families = Families(
            names=together,
            is_corrected=differences.independence == "independent",
            untestable=untestable,
        )
        tests = tests_of_groups(compared, differences, families, inference, groups)
        sizes = [_effect_sizes(numbers, first, second, differences.there)]
        for _, of in groups.each(differences) if groups else ():
            who = np.isin(numbers.participants, of.participants)
            sizes.append(_effect_sizes(numbers.of(who), first, second, of.there))
        tables.append(tests.join(pd.concat(sizes, ignore_index=True).where(tests["p"].notna())))
    tables += _group_differences(cells, numbers, inference, groups) if groups else []
    return pd.concat(tables, ignore_index=True).reindex(columns=list(COMPARISON_COLUMNS))


def _effect_sizes(
    numbers: Numbers, first: NDArray[np.intp], second: NDArray[np.intp], there: Mask
) -> "pd.DataFrame":
    """Compare the size of differences with the spread of what is compared.

    Parameters
    ----------
    there : (n_participants, n_tests) array of bool
        Who takes part in a test.

    References
    ----------
    Cumming (2012), Understanding the new statistics, chapter 11.
    """
    import pandas as pd

    found = []
    for a, b, who in zip(first, second, there.T, strict=True):
        both = numbers.values[np.ix_(who, [a, b])]
        spreads = both.std(axis=0, ddof=1) if len(both) > 1 else np.zeros(2)
        if not (spreads > 0).all():
            found.append((np.nan, np.nan, np.nan))
            continue
        d = (both[:, 0] - both[:, 1]).mean() / np.sqrt(np.mean(spreads**2))
        correction = hedges_correction(np.array([float(len(both))]))[0]
        found.append((d, d * correction, np.corrcoef(both.T)[0, 1]))
    return pd.DataFrame(found, columns=["d_av", "g_av", "r"], dtype=np.float64)


def _group_differences(
    cells: "pd.DataFrame", numbers: Numbers, inference: Inference, groups: Groups
) -> "list[pd.DataFrame]":
    """Compare each group with each other in every cell."""
    is_main = cells["hemi"].isin(main_rows(cells["hemi"])).to_numpy()
    is_corrected = is_main & (numbers.independence == "independent")
    tables = []
    for (one, of_one), (other, of_other) in combinations(groups.each(numbers), 2):
        names = f"group {one} - {other}: " + family_names(cells, inference.family)
        families = Families(names=names, is_corrected=is_corrected)
        tests = welch_tests(of_one, of_other, families, inference)
        compared = cells.assign(comparison="group", group=one, versus=other)
        tables.append(compared.join(tests))
    return tables


def _pairs(cells: "pd.DataFrame", comparison: Comparison) -> Iterator[tuple[int, int]]:
    """Find all pairs of cells that differ in one column, and in nothing else."""
    hemispheres = HEMISPHERES if comparison == "hemi" else main_rows(cells["hemi"])
    candidates = cells[cells["hemi"].isin(hemispheres)]
    if comparison == "session":
        candidates = candidates[~is_mean_of_sessions(candidates["session"])]
    others = [name for name in CELL if name != comparison]
    for _, alike in candidates.groupby(others, sort=False):
        yield from combinations(alike.index, 2)


def _differences(numbers: Numbers, first: NDArray[np.intp], second: NDArray[np.intp]) -> Numbers:
    """Subtract what participants have in some cells from what they have in others."""
    gaps = numbers.missing
    return Numbers(
        participants=numbers.participants,
        values=numbers.values[:, first] - numbers.values[:, second],
        sizes=np.maximum(numbers.sizes[:, first], numbers.sizes[:, second]),
        gaps=np.maximum(gaps[:, first], gaps[:, second]),
        claims=np.maximum(numbers.claims[:, first], numbers.claims[:, second]),
        minor=numbers.minor[:, first] | numbers.minor[:, second],
    )


def _without_minor(numbers: Numbers) -> Numbers:
    """Leave out ROIs that lie in one hemisphere but for a few vertices, which may be noise."""
    is_out = numbers.minor & numbers.there
    return replace(
        numbers,
        values=np.where(is_out, np.nan, numbers.values),
        gaps=np.where(is_out, REASONS.index("minor_hemisphere"), numbers.gaps),
    )
