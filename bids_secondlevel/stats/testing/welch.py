"""Comparisons of two groups of participants, by Welch's t test."""

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.inference import Inference
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.values import Array
from bids_secondlevel.stats.testing.corrections import benjamini_hochberg, by_family, holm
from bids_secondlevel.stats.testing.evidence import (
    bayes_factors,
    detectable_effects,
    equivalence_tests,
)
from bids_secondlevel.stats.testing.one_sample import (
    TEST_COLUMNS,
    Families,
    Numbers,
    concatenated,
    hedges_correction,
    join_notes,
    name_gaps,
    noncentralities,
    tests_of_groups,
)
from bids_secondlevel.stats.testing.robust import robust_comparisons

if TYPE_CHECKING:
    import pandas as pd

    from bids_secondlevel.stats.groups import Groups

_ROUNDING = 1e-12
"""Variances that are a smaller share of the square of the numbers are none."""


def tests_and_differences(
    cells: "pd.DataFrame",
    numbers: Numbers,
    families: Families,
    inference: Inference,
    groups: "Groups | None",
) -> "pd.DataFrame":
    """Test everybody and each group against 0, then each group against each other.

    Returns
    -------
    DataFrame
        That of :func:`~.one_sample.tests_of_groups` with a column ``versus``, and below it the
        differences of two groups.
    """
    import pandas as pd

    tests = tests_of_groups(cells, numbers, families, inference, groups)
    tables = [tests.assign(versus=MISSING)]
    for (one, of_one), (other, of_other) in combinations(groups.each(numbers) if groups else (), 2):
        compared = welch_tests(of_one, of_other, families.of(f", {one} - {other}"), inference)
        tables.append(cells.assign(group=one, versus=other).join(compared))
    return pd.concat(tables, ignore_index=True)


def welch_tests(
    one: Numbers, other: Numbers, families: Families, inference: Inference
) -> "pd.DataFrame":
    """Test the difference of the means of two groups, the first minus the second.

    Effect sizes are divided by the pooled standard deviation; their intervals are those of the
    noncentral t of Student's test. There are no permutation tests.

    Parameters
    ----------
    one, other
        Of different participants, for the same tests.

    Returns
    -------
    DataFrame
        With :data:`~.one_sample.TEST_COLUMNS`, and `n_group` and `n_versus`.

    References
    ----------
    Welch (1947), Biometrika 34, 28-35.
    """
    import pandas as pd
    from scipy import special

    first, second = _Sample(one), _Sample(other)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = first.variance / first.n, second.variance / second.n
        se = np.sqrt(share[0] + share[1])
        df = se**4 / (share[0] ** 2 / (first.n - 1) + share[1] ** 2 / (second.n - 1))
        df_pooled = first.n + second.n - 2
        pooled = (first.n - 1) * first.variance + (second.n - 1) * second.variance
        sd = np.sqrt(pooled / df_pooled)
        size = first.n * second.n / (first.n + second.n)
    mean = first.mean - second.mean
    joint = concatenated([one, other], axis=0)
    is_circular = joint.independence == "circular"
    enough = (first.n > 1) & (second.n > 1)
    largest = np.maximum(first.largest, second.largest)
    varies = enough & (se > _ROUNDING * largest)
    names = [name for name, declared in TEST_COLUMNS.items() if declared.is_number]
    tests = pd.DataFrame(index=range(mean.size), columns=names, dtype=np.float64)
    tests = tests.assign(
        n=first.n + second.n,
        n_group=first.n,
        n_versus=second.n,
        mean=mean,
        sd=np.where(enough, sd, np.nan),
        sem=np.where(enough, se, np.nan),
    )
    tested = varies & ~is_circular
    half = special.stdtrit(df, 0.975) * se
    tests.loc[varies, "ci95_low"] = (mean - half)[varies]
    tests.loc[varies, "ci95_high"] = (mean + half)[varies]
    t = (mean / np.where(varies, se, np.nan))[tested]
    d = _cohens_d(mean[tested], sd[tested], df_pooled[tested], size[tested])
    g = d * hedges_correction(df_pooled[tested] + 1)[:, np.newaxis]
    columns: dict[str, Array] = {
        "t": t,
        "df": df[tested],
        "p": 2 * special.stdtr(df[tested], -np.abs(t)),
        **dict(zip(("cohens_d", "cohens_d_ci95_low", "cohens_d_ci95_high"), d.T, strict=True)),
        **dict(zip(("hedges_g", "hedges_g_ci95_low", "hedges_g_ci95_high"), g.T, strict=True)),
        "bf10": bayes_factors(t, df_pooled[tested], size[tested]),
        "detectable_d": detectable_effects(df_pooled[tested], size[tested]),
    }
    if inference.equivalence_bound is not None:
        found = equivalence_tests(mean[tested], se[tested], df[tested], inference.equivalence_bound)
        columns |= zip(("p_equivalence", "ci90_low", "ci90_high"), found, strict=True)
    if inference.is_robust:
        columns |= robust_comparisons(one.values[:, tested], other.values[:, tested])._asdict()
    for name, values in columns.items():
        tests.loc[tested, name] = values
    p, family = tests["p"].to_numpy(), families.names
    is_corrected = families.is_corrected & tested
    tests["p_holm"] = by_family(holm, p, family, is_corrected)
    tests["q_fdr"] = by_family(benjamini_hochberg, p, family, is_corrected)
    tests["family"] = pd.Series(np.where(is_corrected, family, MISSING), dtype="str")
    tests["independence"] = pd.Series(joint.independence, dtype="str")
    tests["excluded"] = pd.Series(name_gaps(joint), dtype="str")
    notes = {
        "fewer than two participants in a group": ~enough,
        "no variation between participants": enough & ~varies,
        "no test on circular estimates": varies & is_circular,
    }
    tests["note"] = pd.Series(join_notes(notes, len(tests)), dtype="str")
    return tests


class _Sample:
    """Size, mean and variance of a group, for each test."""

    def __init__(self, numbers: Numbers) -> None:
        samples = [of[there] for of, there in zip(numbers.values.T, numbers.there.T, strict=True)]
        self.n: Array = np.array([sample.size for sample in samples], dtype=np.float64)
        self.mean: Array = np.array([s.mean() if s.size else np.nan for s in samples])
        self.variance: Array = np.array([s.var(ddof=1) if s.size > 1 else np.nan for s in samples])
        self.largest: Array = np.array([np.abs(s).max(initial=0.0) for s in samples])


def _cohens_d(mean: Array, sd: Array, df: Array, size: Array) -> Array:
    """Divide by the pooled standard deviation; also give the limits, by the noncentral t."""
    with np.errstate(divide="ignore"):
        t = mean / sd * np.sqrt(size)
    low, high = noncentralities(np.abs(t), df)
    limits = np.where(t < 0, [-high, -low], [low, high])
    return np.column_stack([t, *limits]) / np.sqrt(size)[:, np.newaxis]
