"""Statistics across participants, computed from the table of estimates.

:func:`one_sample_tests` asks where estimates differ from 0; :mod:`~.comparisons` tests
differences with the same :func:`run_tests`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.hemispheres import main_rows
from bids_secondlevel.core.inference import (
    EVERYBODY,
    PLAIN,
    FamilyKind,
    Inference,
    is_mean_of_sessions,
    mean_of,
)
from bids_secondlevel.core.rows import CELL, CELL_COLUMNS, MISSING, Column, Schema
from bids_secondlevel.core.values import NEVER_NEGATIVE, STATUSES, Array, Mask
from bids_secondlevel.rois.estimates import INDEPENDENCE
from bids_secondlevel.rois.flags import has_flag
from bids_secondlevel.stats.testing.corrections import benjamini_hochberg, by_family, holm
from bids_secondlevel.stats.testing.evidence import (
    CAUCHY_SCALE,
    bayes_factors,
    detectable_effects,
    equivalence_tests,
)
from bids_secondlevel.stats.testing.permutation import SEED, SMALLEST_SAMPLE, sign_flip_tests
from bids_secondlevel.stats.testing.robust import robust_tests
from bids_secondlevel.stats.testing.scale import rows_to_usual_size

if TYPE_CHECKING:
    import pandas as pd

    from bids_secondlevel.stats.groups import Groups

FAMILIES: Mapping[FamilyKind, tuple[str, ...]] = {
    "contrast": ("task", "contrast", "space", "statistic"),
    "task": ("task", "space", "statistic"),
    "all": (),
}
"""Columns whose values tests that are corrected together have in common."""

FAMILY = (
    "p_fwe, p_holm and q_fdr are corrected for the tests with the same value in the column family. "
    "Only tests of independent estimates in rows of both hemispheres are corrected (without such "
    "rows, those of single hemispheres), not those of crossvalidated or circular estimates. Means "
    "over sessions are separate families"
)


REASONS = (*STATUSES, "minor_hemisphere", "empty_bin")
"""Why the estimate of a participant is missing in a test."""

_LARGE_T = 1e3

_ROUNDING = 1e-12
"""Differences between participants that are a smaller share of their numbers are none."""


TEST_COLUMNS: Schema = {
    "n": Column(int, "number of participants with an estimate"),
    "mean": Column(float, "mean across participants", units="units of the maps"),
    "median": Column(float, "median across participants", units="units of the maps"),
    "sd": Column(
        float,
        "standard deviation across participants (denominator n - 1)",
        units="units of the maps",
    ),
    "sem": Column(
        float,
        "standard error of the mean: sd divided by the square root of n",
        units="units of the maps",
    ),
    "ci95_low": Column(
        float,
        "lower limit of the 95 % confidence interval of the mean (Student's t)",
        units="units of the maps",
    ),
    "ci95_high": Column(
        float,
        "upper limit of the 95 % confidence interval of the mean (Student's t)",
        units="units of the maps",
    ),
    "t": Column(float, "one-sample t against 0; n/a for circular estimates"),
    "df": Column(int, "degrees of freedom: n - 1; n/a without t"),
    "p": Column(float, "two-sided p value of t, not corrected for multiple tests; n/a without t"),
    "bf10": Column(
        float,
        "Bayes factor of the t test (JZS): how much more likely the data are with an effect "
        "(Cauchy prior of its size with scale 0.707, the square root of 1/2) than without one; "
        "values below 1 favour no effect",
    ),
    "p_equivalence": Column(
        float,
        "p value of the test of equivalence: whether the mean is closer to 0 than EquivalenceBound "
        "in this file (the larger p of two one-sided t tests, not corrected)",
        is_optional=True,
    ),
    "ci90_low": Column(
        float,
        "lower limit of the 90 % confidence interval of the mean: it is within the bounds if "
        "p_equivalence is below 0.05",
        units="units of the maps",
        is_optional=True,
    ),
    "ci90_high": Column(
        float,
        "upper limit of the 90 % confidence interval of the mean",
        units="units of the maps",
        is_optional=True,
    ),
    "cohens_d": Column(float, "Cohen's d: mean divided by sd"),
    "cohens_d_ci95_low": Column(
        float, "lower limit of the 95 % confidence interval of d (noncentral t)"
    ),
    "cohens_d_ci95_high": Column(
        float, "upper limit of the 95 % confidence interval of d (noncentral t)"
    ),
    "hedges_g": Column(
        float, "Hedges' g: d without its bias in small samples; needs three participants"
    ),
    "hedges_g_ci95_low": Column(float, "lower limit of the 95 % confidence interval of g"),
    "hedges_g_ci95_high": Column(float, "upper limit of the 95 % confidence interval of g"),
    "detectable_d": Column(
        float,
        "smallest d that this test detects with a probability of 0.8 (two-sided, p < 0.05, not "
        "corrected); depends on n alone",
    ),
    "p_permutation": Column(
        float,
        "two-sided p value of |t| by flipping the signs of participants, not corrected; assumes a "
        "distribution symmetric about 0 without an effect",
    ),
    "n_flips": Column(
        int,
        "number of sign flips of p_permutation; 2^n if all are used, otherwise random flips and "
        "the unflipped data",
    ),
    "p_wilcoxon": Column(
        float,
        "two-sided p value of Wilcoxon's test of signed ranks (exact for up to 50 participants), "
        "not corrected",
        is_optional=True,
    ),
    "trimmed_mean": Column(
        float,
        "mean without the highest and the lowest fifth of the participants",
        units="units of the maps",
        is_optional=True,
    ),
    "t_yuen": Column(
        float, "Yuen's t of trimmed_mean against 0, with the winsorized variance", is_optional=True
    ),
    "df_yuen": Column(int, "degrees of freedom of t_yuen", is_optional=True),
    "p_yuen": Column(float, "two-sided p value of t_yuen, not corrected", is_optional=True),
    "family": Column(
        str,
        "tests that are corrected together have the same value; n/a for tests without correction",
    ),
    "p_fwe": Column(
        float,
        "p value by sign flips, corrected for the family of tests by its largest |t| (familywise "
        "error rate); n/a outside the family, see Family in this file",
    ),
    "p_holm": Column(
        float,
        "p, corrected for the family of tests by Holm's method (familywise error rate); n/a "
        "outside the family, see Family in this file",
    ),
    "q_fdr": Column(
        float,
        "false discovery rate at which p is significant in the family of tests "
        "(Benjamini-Hochberg); n/a outside the family, see Family in this file",
    ),
    "independence": Column(
        str,
        "whether the estimates were measured on the data that defined their ROIs",
        levels=INDEPENDENCE,
    ),
    "excluded": Column(
        str, "participants excluded from the test, each with the reason (the status of its row)"
    ),
    "note": Column(str, "why a statistic is n/a"),
}
"""A test of a mean against 0 across participants; several tables have these columns."""


GROUP_COLUMN = Column(
    str, "participants that were tested: all, or those of a level of the column --group-by"
)

N_OF_GROUPS: Schema = {
    "n_group": Column(
        int, "number of participants of the group, in comparisons of groups", is_optional=True
    ),
    "n_versus": Column(int, "number of participants of the group in versus", is_optional=True),
}

SESSION_COLUMN = Column(
    str,
    "session label of the measured map; n/a if it has none; mean(01,02): the mean over these "
    "sessions, of each participant with estimates in all of them",
)

ROBUST_OF_GROUPS: Schema = {
    "u_mannwhitney": Column(
        float,
        "Mann and Whitney's U of the group against the one in versus: number of pairs of "
        "participants in which the estimate of the first group is larger (ties count half)",
        is_optional=True,
    ),
    "p_mannwhitney": Column(
        float,
        "two-sided p value of u_mannwhitney (exact if a group has up to 8 participants and no two "
        "numbers are equal, otherwise by the normal approximation), not corrected",
        is_optional=True,
    ),
    "trimmed_mean": Column(
        float,
        "mean without the highest and the lowest fifth of the participants; of two groups, the "
        "difference of theirs",
        units="units of the maps",
        is_optional=True,
    ),
    "df_yuen": Column(
        float,
        "degrees of freedom of t_yuen; of two groups, as Welch's",
        is_optional=True,
    ),
}
"""Columns of tables that also compare two groups."""

STATISTIC_COLUMNS: Schema = {
    **CELL_COLUMNS,
    "session": SESSION_COLUMN,
    "group": GROUP_COLUMN,
    **TEST_COLUMNS,
}
"""A one-sample test across participants."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbers:
    """What participants (rows) have for the tests (columns): arrays of one shape."""

    participants: NDArray[Any]
    """(n_participants,) with ``sub-``, sorted."""
    values: Array
    """NaN if missing."""
    sizes: Array
    """Absolute sizes of the numbers that `values` were computed from."""
    gaps: NDArray[np.intp]
    """Why an estimate is missing, as position in :data:`REASONS`; -1 without a row."""
    claims: NDArray[np.intp]
    """What can be claimed of a number, as place in :data:`INDEPENDENCE`; -1 without a row."""
    minor: Mask
    """Whether it is of a hemisphere in which only a small part of the ROI lies."""

    def of(self, who: Mask) -> "Numbers":
        """Return those of some participants."""
        return Numbers(
            participants=self.participants[who],
            values=self.values[who],
            sizes=self.sizes[who],
            gaps=self.gaps[who],
            claims=self.claims[who],
            minor=self.minor[who],
        )

    @property
    def there(self) -> Mask:
        """Who has a number."""
        there: Mask = ~np.isnan(self.values)
        return there

    @property
    def missing(self) -> NDArray[np.intp]:
        """Why there is no number, as `gaps` say it; -1 also with a number."""
        return np.where(self.there, -1, self.gaps)

    @property
    def independence(self) -> NDArray[Any]:
        """(n_tests,) what can be claimed of all numbers: what holds for the weakest of them."""
        counts = self.there | ~self.there.any(axis=0)
        weakest = np.where(counts, self.claims, 0).max(axis=0, initial=0)
        names: NDArray[Any] = np.array(list(INDEPENDENCE), dtype=object)[weakest]
        return names


def concatenated(parts: Sequence[Numbers], axis: Literal[0, 1]) -> Numbers:
    """Put together the numbers of different participants (0), or of the same for more tests (1)."""
    participants = [part.participants for part in parts]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=axis)
        for name in ("values", "sizes", "gaps", "claims", "minor")
    }
    return Numbers(
        participants=np.concatenate(participants) if axis == 0 else participants[0], **arrays
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Families:
    """Which tests are corrected together; arrays of shape ``(n_tests,)``."""

    names: NDArray[Any]
    """Of each test's family. What is measured beside a family has no influence on it."""
    is_corrected: Mask
    """Which tests count in their family, if they can be made."""
    untestable: NDArray[Any] | None = None
    """Why a test is not made, as a note; empty if it is."""

    def of(self, whom: str) -> "Families":
        """Return families of their own to some participants."""
        return replace(self, names=self.names + whom)


def spread(estimates: "pd.DataFrame") -> tuple["pd.DataFrame", Numbers]:
    """Spread the table of estimates: a row for each participant, a column for each cell.

    Returns
    -------
    cells : DataFrame
        What the columns of the numbers are, in the order in which the cells first appear.
    """
    import pandas as pd

    column = estimates.groupby(list(CELL), sort=False).ngroup().to_numpy()
    _, first = np.unique(column, return_index=True)
    cells = estimates[list(CELL)].iloc[first].reset_index(drop=True)
    row, participants = pd.factorize(estimates["participant_id"], sort=True)

    def matrix(values: NDArray[Any], nothing: float) -> NDArray[Any]:
        filled = np.full((len(participants), len(cells)), nothing, dtype=values.dtype)
        filled[row, column] = values
        return filled

    values = matrix(estimates["estimate"].to_numpy(), np.nan)
    numbers = Numbers(
        participants=participants.to_numpy(),
        values=values,
        sizes=np.abs(values),
        gaps=matrix(places(estimates["status"], STATUSES), -1),
        claims=matrix(places(estimates["independence"], INDEPENDENCE), -1),
        minor=matrix(has_flag(estimates["flags"], "minor_hemisphere").to_numpy(), nothing=False),
    )
    return cells, numbers


def with_session_means(cells: "pd.DataFrame", numbers: Numbers) -> tuple["pd.DataFrame", Numbers]:
    """Add the mean over the sessions of each participant, if there are several.

    A participant without a number in one of the sessions has none. There is no mean if nobody
    has one, or if the numbers of a session are circular.

    Returns
    -------
    cells, numbers
        With the means as further cells, the last.
    """
    import pandas as pd

    others = [name for name in CELL if name != "session"]
    circular = list(INDEPENDENCE).index("circular")
    missing = numbers.missing
    means, parts = [], [numbers]
    for _, alike in cells[cells["session"] != MISSING].groupby(others, sort=False):
        of_cell = alike.sort_values("session")
        at = of_cell.index.to_numpy()
        is_circular = (numbers.claims[:, at] == circular).any()
        if len(at) < 2 or is_circular or not numbers.there[:, at].all(axis=1).any():
            continue
        means.append(of_cell.iloc[:1].assign(session=mean_of(list(of_cell["session"]))))
        parts.append(
            Numbers(
                participants=numbers.participants,
                values=(numbers.values[:, at] / len(at)).sum(axis=1, keepdims=True),
                sizes=numbers.sizes[:, at].max(axis=1, keepdims=True),
                gaps=missing[:, at].max(axis=1, keepdims=True),
                claims=numbers.claims[:, at].max(axis=1, keepdims=True),
                minor=np.logical_or.reduce(numbers.minor[:, at], axis=1, keepdims=True),
            )
        )
    if not means:
        return cells, numbers
    return pd.concat([cells, *means], ignore_index=True), concatenated(parts, axis=1)


def places(texts: "pd.Series[str]", levels: Mapping[Any, str]) -> NDArray[np.intp]:
    """Return the place of each text among the levels of its column."""
    import pandas as pd

    return pd.Categorical(texts, categories=list(levels)).codes.astype(np.intp)


def one_sample_tests(
    estimates: "pd.DataFrame", inference: Inference = PLAIN, groups: "Groups | None" = None
) -> "pd.DataFrame":
    """Test every ROI x hemisphere x task x contrast (x session) against zero.

    If there are several sessions, their mean is tested, too.

    Parameters
    ----------
    estimates
        Of all participants. Those without a number stay out, and are named in `excluded`.
    groups
        Each is tested for itself, too.

    Returns
    -------
    DataFrame
        With :data:`STATISTIC_COLUMNS`, in the order in which the cells first appear; means over
        sessions are the last.
    """
    cells, numbers = with_session_means(*spread(estimates))
    is_main = cells["hemi"].isin(main_rows(cells["hemi"])).to_numpy()
    is_corrected = is_main & (numbers.independence == "independent")
    families = Families(
        names=family_names(cells, inference.family),
        is_corrected=is_corrected,
        untestable=untestable(cells),
    )
    return tests_of_groups(cells, numbers, families, inference, groups)


def untestable(cells: "pd.DataFrame") -> NDArray[Any]:
    """Say why cells are not tested against 0; empty if they are."""
    is_never_negative = cells["statistic"].str.casefold().isin(NEVER_NEGATIVE)
    why = "not tested: " + cells["statistic"] + " is never negative"
    return np.where(is_never_negative, why, "").astype(object)


def tests_of_groups(
    cells: "pd.DataFrame",
    numbers: Numbers,
    families: Families,
    inference: Inference,
    groups: "Groups | None",
) -> "pd.DataFrame":
    """Test all participants together, then each group for itself, with families of its own.

    Parameters
    ----------
    cells
        What is tested, a row for each test.
    """
    import pandas as pd

    tests = run_tests(numbers, families, inference)
    tables = [cells.assign(group=EVERYBODY).join(tests)]
    for name, of_group in groups.each(numbers) if groups else ():
        tests = run_tests(of_group, families.of(f", group {name}"), inference)
        tables.append(cells.assign(group=name).join(tests))
    return pd.concat(tables, ignore_index=True)


def family_names(cells: "pd.DataFrame", kind: FamilyKind) -> NDArray[Any]:
    """Name the family of each test, by what its members have in common."""
    names = [
        name for name in FAMILIES[kind] if name in ("task", "contrast") or cells[name].nunique() > 1
    ]
    labels: NDArray[Any] = np.full(len(cells), "all tests", dtype=object)
    for place, name in enumerate(names):
        part = name + " " + cells[name].to_numpy(dtype=object)
        labels = labels + ", " + part if place else part
    labels[is_mean_of_sessions(cells["session"]).to_numpy()] += ", mean over sessions"
    return labels


def with_reasons(table: "pd.DataFrame", reasons: Mapping[str, str]) -> "pd.DataFrame":
    """Add why the user excluded participants, where they are named as left out.

    Examples
    --------
    >>> import pandas as pd
    >>> tests = pd.DataFrame({"excluded": ["sub-01:excluded; sub-02:empty_roi"]})
    >>> with_reasons(tests, {"sub-01": "moved"}).loc[0, "excluded"]
    'sub-01:excluded (moved); sub-02:empty_roi'
    """
    told = {f"{name}:excluded": f"{name}:excluded ({why})" for name, why in reasons.items() if why}

    def reasoned(parts: str) -> str:
        return "; ".join(told.get(part, part) for part in parts.split("; "))

    return table.assign(excluded=table["excluded"].map(reasoned).astype(table["excluded"].dtype))


def run_tests(numbers: Numbers, families: Families, inference: Inference) -> "pd.DataFrame":
    """Describe numbers and test their means against 0, corrected for the number of tests.

    Parameters
    ----------
    numbers
        Circular ones are described, not tested.

    Returns
    -------
    DataFrame
        With the columns :data:`TEST_COLUMNS`, a row for each test.
    """
    import pandas as pd

    tests = _describe(numbers)
    is_circular = numbers.independence == "circular"
    family, reasons = families.names, families.untestable
    if reasons is None:
        reasons = np.full(len(tests), "", dtype=object)
    tested = (tests["sem"] > 0).to_numpy() & ~is_circular & (reasons == "")
    is_corrected = families.is_corrected & tested
    tests.loc[tested, list(_T_TEST)] = _t_test(tests[tested], inference)
    if inference.is_robust:
        found = robust_tests(numbers.values[:, tested])
        tests.loc[tested, list(found._fields)] = np.column_stack(found)
    for name in dict.fromkeys(family[tested]):
        of = np.flatnonzero(tested & (family == name))
        flips = sign_flip_tests(numbers.values[:, of], is_corrected[of], inference.n_permutations)
        tests.loc[of, "p_permutation"] = flips.p
        tests.loc[of, "n_flips"] = np.where(flips.n_flips, flips.n_flips, np.nan)
        tests.loc[of, "p_fwe"] = flips.p_fwe
    p = tests["p"].to_numpy()
    tests["p_holm"] = by_family(holm, p, family, is_corrected)
    tests["q_fdr"] = by_family(benjamini_hochberg, p, family, is_corrected)
    tests["family"] = pd.Series(np.where(is_corrected, family, MISSING), dtype="str")
    tests["independence"] = pd.Series(numbers.independence, dtype="str")
    tests["excluded"] = pd.Series(name_gaps(numbers), dtype="str")
    notes = {
        "the estimates of all participants are missing": tests["n"] == 0,
        "the estimates are too large for computations": (tests["n"] > 0) & tests["mean"].isna(),
        "a single participant": tests["n"] == 1,
        "no variation between participants": tests["sem"] == 0,
        "no test on circular estimates": (tests["sem"] > 0) & is_circular,
        "Hedges' g needs three participants": tested & (tests["n"] == 2),
        f"fewer than {SMALLEST_SAMPLE} participants: outside the family of p_fwe": is_corrected
        & bool(inference.n_permutations)
        & tests["p_fwe"].isna(),
    }
    notes |= {reason: (tests["n"] > 0) & (reasons == reason) for reason in set(reasons) - {""}}
    tests["note"] = pd.Series(join_notes(notes, len(tests)), dtype="str")
    return tests


def describe_tests(inference: Inference, family: str) -> dict[str, Any]:
    """Say in a sidecar how tests were made and corrected.

    Parameters
    ----------
    family
        In words.
    """
    bound = inference.equivalence_bound
    return {
        "Family": f"{family}. Tests with fewer than {SMALLEST_SAMPLE} participants are not in the "
        f"family of p_fwe if others have {SMALLEST_SAMPLE} or more. A test with few participants "
        "has large values of |t| under many flips, which increases p_fwe of all others. If it is "
        "not of interest, exclude it with the options that select estimates.",
        "FamilyKind": inference.family,
        **describe_flips(inference),
        "CauchyScale": float(CAUCHY_SCALE),
        **({} if bound is None else {"EquivalenceBound": bound}),
    }


def describe_flips(inference: Inference) -> dict[str, Any]:
    """Say in a sidecar how signs were flipped."""
    return {"MaximumNumberOfFlips": inference.n_permutations, "RandomSeed": SEED}


def _describe(numbers: Numbers) -> "pd.DataFrame":
    """Describe numbers by their mean and spread; all columns of numbers are there."""
    import pandas as pd
    from scipy import special

    n = numbers.there.sum(axis=0).astype(np.float64)
    mean, median, ranges, sd = np.full((4, n.size), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        # Without gaps: sums over a matrix with gaps would end in other digits.
        for size in np.unique(n[n > 0]):
            of = np.flatnonzero(n == size)
            samples = numbers.values.T[of][numbers.there.T[of]].reshape(of.size, -1)
            samples, exponents = rows_to_usual_size(samples)
            mean[of] = np.ldexp(samples.mean(axis=1), exponents)
            median[of] = np.ldexp(np.median(samples, axis=1), exponents)
            ranges[of] = np.ldexp(np.ptp(samples, axis=1), exponents)
            if size > 1:
                sd[of] = np.ldexp(samples.std(axis=1, ddof=1), exponents)
        sizes = np.where(numbers.there, numbers.sizes, 0.0).max(axis=0, initial=0.0)
        sd[(n > 1) & (ranges <= _ROUNDING * sizes)] = 0.0
        sem = sd / np.sqrt(n)
    half = np.where(sem > 0, special.stdtrit(np.maximum(n - 1, 1), 0.975) * sem, np.nan)
    described = {
        "n": n,
        "mean": mean,
        "median": median,
        "sd": sd,
        "sem": sem,
        "ci95_low": mean - half,
        "ci95_high": mean + half,
    }
    too_large = ~np.isfinite(mean) | np.isinf(sem)
    names = [name for name, declared in TEST_COLUMNS.items() if declared.is_number]
    tests = pd.DataFrame(described, columns=names, dtype=np.float64)
    tests.loc[too_large, names[1:]] = np.nan
    return tests


_T_TEST = (
    "t",
    "df",
    "p",
    "cohens_d",
    "cohens_d_ci95_low",
    "cohens_d_ci95_high",
    "hedges_g",
    "hedges_g_ci95_low",
    "hedges_g_ci95_high",
    "bf10",
    "detectable_d",
    "p_equivalence",
    "ci90_low",
    "ci90_high",
)


def _t_test(described: "pd.DataFrame", inference: Inference) -> Array:
    """Compute the columns :data:`_T_TEST` by Student's one-sample t, with effect sizes."""
    from scipy import special

    n = described["n"].to_numpy()
    t = (described["mean"] / described["sem"]).to_numpy()
    p = 2 * special.stdtr(n - 1, -np.abs(t))
    d = cohens_d(t, n)
    g = d * hedges_correction(n)[:, np.newaxis]
    evidence = [bayes_factors(t, n - 1, n), detectable_effects(n - 1, n)]
    return np.column_stack([t, n - 1, p, d, g, *evidence, _equivalence(described, inference)])


def _equivalence(described: "pd.DataFrame", inference: Inference) -> Array:
    """Compute p and interval of equivalence tests, if a bound is given."""
    if inference.equivalence_bound is None:
        return np.full((len(described), 3), np.nan)
    mean, sem, n = (described[name].to_numpy() for name in ("mean", "sem", "n"))
    return np.column_stack(equivalence_tests(mean, sem, n - 1, inference.equivalence_bound))


def cohens_d(t: Array, n: Array) -> Array:
    """Compute standardized mean differences of one sample, with 95 % confidence intervals.

    Parameters
    ----------
    t : (n_tests,) array
        One-sample t against 0.
    n : (n_tests,) array
        Sample sizes, at least 2.

    Returns
    -------
    (n_tests, 3) array
        Cohen's d, and the lower and upper limit of its interval.

    References
    ----------
    Cumming and Finch (2001), Educational and Psychological Measurement 61, 532-574: the
    noncentrality parameters under which t is at the 97.5th and at the 2.5th percentile.

    Examples
    --------
    >>> cohens_d(np.array([4.0]), np.array([16.0])).round(3)
    array([[1.   , 0.384, 1.594]])
    """
    low, high = noncentralities(np.abs(t), n - 1)
    limits = np.where(t < 0, [-high, -low], [low, high])
    return np.column_stack([t, *limits]) / np.sqrt(n)[:, np.newaxis]


def hedges_correction(n: Array) -> Array:
    """Say by how much d is too large in samples of `n`; NaN below three.

    References
    ----------
    Hedges (1981), Journal of Educational Statistics 6, 107-128, the exact correction.

    Examples
    --------
    >>> hedges_correction(np.array([2.0, 3.0])).round(3)
    array([  nan, 0.564])
    """
    from scipy import special

    df = np.where(n > 2, n - 1, np.nan)
    return np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2)


def noncentralities(t: Array, df: Array) -> Array:
    """Find under which noncentralities t is at the 97.5th and at the 2.5th percentile.

    A large t is next to the noncentrality divided by the root of chi-squared over df, where the
    exact inverse takes for ever, and is inexact.
    """
    from scipy import special

    tails = np.array([[0.025], [0.975]])
    is_large = t > _LARGE_T
    return np.where(
        is_large,
        t * np.sqrt(special.chdtri(df, 1 - tails) / df),
        special.nctdtrinc(df, tails[::-1], np.where(is_large, 0.0, t)),
    )


def name_gaps(numbers: Numbers) -> list[str]:
    """Name the participants without a number, each with the status of its row."""
    named = [MISSING] * numbers.values.shape[1]
    missing = ~numbers.there & (numbers.gaps >= 0)
    for test in np.flatnonzero(missing.any(axis=0)):
        who = missing[:, test]
        pairs = zip(numbers.participants[who], numbers.gaps[who, test], strict=True)
        named[test] = "; ".join(f"{participant}:{REASONS[gap]}" for participant, gap in pairs)
    return named


def join_notes(notes: Mapping[str, Any], n_tests: int) -> list[str]:
    """Put together which notes hold for each test."""
    told: list[list[str]] = [[] for _ in range(n_tests)]
    for note, holds in notes.items():
        for test in np.flatnonzero(holds):
            told[test].append(note)
    return ["; ".join(of_test) or MISSING for of_test in told]
