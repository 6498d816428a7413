"""Statistics across participants, computed from rows of the estimates table.

:func:`one_sample_tests` asks where estimates differ from 0; :mod:`~.comparisons` tests
differences with the same :func:`run_tests`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any, Protocol

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.rows import column, columns, shared_columns
from bids_secondlevel.core.values import Array
from bids_secondlevel.rois.estimates import INDEPENDENCE, EstimateRow, Independence, by_cell, named
from bids_secondlevel.stats.permutation import SEED, SMALLEST_SAMPLE, sign_flip_tests

FAMILY = (
    "p_fwe and q_fdr are corrected for all tests of this table with hemi both whose estimates are "
    "independent or crossvalidated, whatever their session, task, contrast and ROI"
)


_LARGE_T = 1e3


@dataclass(frozen=True)
class GroupTest:
    """A test of a mean against 0 across participants; columns shared by several tables."""

    n: int = column("number of participants with a number")
    mean: float | None = column("mean across participants", units="those of the maps", default=None)
    median: float | None = column(
        "median across participants", units="those of the maps", default=None
    )
    sd: float | None = column(
        "standard deviation across participants (n - 1 in the denominator)",
        units="those of the maps",
        default=None,
    )
    sem: float | None = column(
        "standard error of the mean: sd divided by the square root of n",
        units="those of the maps",
        default=None,
    )
    ci95_low: float | None = column(
        "lower limit of the 95 % confidence interval of the mean (Student's t)",
        units="those of the maps",
        default=None,
    )
    ci95_high: float | None = column(
        "upper limit of the 95 % confidence interval of the mean (Student's t)",
        units="those of the maps",
        default=None,
    )
    t: float | None = column("one-sample t against 0; n/a for circular estimates", default=None)
    df: int | None = column("degrees of freedom: n - 1; n/a where there is no t", default=None)
    p: float | None = column(
        "two-sided p value of t, not corrected for multiple tests; n/a where there is no t",
        default=None,
    )
    cohens_d: float | None = column("Cohen's d: mean divided by sd", default=None)
    cohens_d_ci95_low: float | None = column(
        "lower limit of the 95 % confidence interval of d (noncentral t)", default=None
    )
    cohens_d_ci95_high: float | None = column(
        "upper limit of the 95 % confidence interval of d (noncentral t)", default=None
    )
    hedges_g: float | None = column(
        "Hedges' g: d without its bias in small samples; needs three participants", default=None
    )
    hedges_g_ci95_low: float | None = column(
        "lower limit of the 95 % confidence interval of g", default=None
    )
    hedges_g_ci95_high: float | None = column(
        "upper limit of the 95 % confidence interval of g", default=None
    )
    p_permutation: float | None = column(
        "two-sided p value of |t| by flipping the signs of participants, not corrected; supposes a "
        "distribution that is symmetric about 0 where there is no effect",
        default=None,
    )
    n_flips: int | None = column(
        "sign flips behind p_permutation; 2^n where these are all there are, otherwise random "
        "ones beside the data as they are",
        default=None,
    )
    p_fwe: float | None = column(
        "p value by sign flips, corrected for the family of tests by its largest |t| (familywise "
        "error rate); n/a outside the family, see Family in this file",
        default=None,
    )
    q_fdr: float | None = column(
        "false discovery rate at which p is significant in the family of tests "
        "(Benjamini-Hochberg); n/a outside the family, see Family in this file",
        default=None,
    )
    independence: Independence = column(
        "whether the numbers were measured on the data that defined their ROIs",
        levels=INDEPENDENCE,
        default="independent",
    )
    excluded: str | None = column(
        "participants without a number here, each with the reason (the status of its row)",
        default=None,
    )
    note: str | None = column("why a statistic is n/a", default=None)


@dataclass(frozen=True)
class StatisticRow:
    """A one-sample test across participants; the only declaration of the table's columns."""

    session: str | None = column("session label of the measured maps; n/a where they have none")
    task: str = column("task of the measured maps")
    contrast: str = column("first-level contrast of the measured maps")
    roi: str = column("region of interest, named after the localizer contrast that defines it")
    hemi: str = column("hemisphere: L, R, or both pooled")
    space: str | None = column()
    statistic: str = column("what the maps hold, the stat entity of their names")
    test: GroupTest = shared_columns()


STATISTIC_COLUMNS = columns(StatisticRow)


@dataclass(frozen=True)
class Sample:
    """What a test is run on.

    Attributes
    ----------
    values : mapping of str to float
        By participant.
    excluded : tuple of str
        Participants without a value, each with the reason.
    independence : {"independent", "crossvalidated", "circular"}
    in_family : bool
        Whether the test shares the correction for multiple tests.
    scale : float
        Size of the numbers that `values` were computed from. Differences that are smaller by
        twelve orders of magnitude are rounding errors.
    """

    values: Mapping[str, float]
    excluded: tuple[str, ...]
    independence: Independence
    in_family: bool
    scale: float = 0.0


def one_sample_tests(
    rows: Iterable[EstimateRow],
    n_permutations: int = 0,
    reasons: Mapping[str, str] | None = None,
) -> list[StatisticRow]:
    """Test every ROI x hemisphere x task x contrast (x session) against zero.

    Parameters
    ----------
    rows : iterable of EstimateRow
        Of all participants. Those without a number stay out, and are named in `excluded`.
    n_permutations : int
        See :func:`~.permutation.sign_flip_tests`.
    reasons : mapping of str to str, optional
        Why the user excluded participants, by participant.

    Returns
    -------
    list of StatisticRow
        In the order in which the cells first appear.
    """
    cells = by_cell(rows)
    samples = [_sample(of_cell, reasons or {}) for of_cell in cells.values()]
    return [
        StatisticRow(**named(cell), test=test)
        for cell, test in zip(cells, run_tests(samples, n_permutations), strict=True)
    ]


def _sample(rows: Sequence[EstimateRow], reasons: Mapping[str, str]) -> Sample:
    values = {r.participant_id: r.estimate for r in rows if r.estimate is not None}
    independence = weakest([row for row in rows if row.estimate is not None] or rows)
    return Sample(
        values,
        tuple(why_excluded(row, reasons) for row in rows if row.estimate is None),
        independence,
        in_family=rows[0].hemi == BOTH and independence != "circular",
        scale=max(map(abs, values.values()), default=0.0),
    )


def why_excluded(row: EstimateRow, reasons: Mapping[str, str]) -> str:
    """Name a participant without a number, and say why there is none."""
    reason = reasons.get(row.participant_id)
    return f"{row.participant_id}:{row.status}" + (f" ({reason})" if reason else "")


def with_reasons(excluded: str | None, reasons: Mapping[str, str]) -> str | None:
    """Add the user's reasons to a list of participants that are left out.

    Examples
    --------
    >>> with_reasons("sub-01:excluded; sub-02:empty_roi", {"sub-01": "moved"})
    'sub-01:excluded (moved); sub-02:empty_roi'
    """
    if excluded is None:
        return None
    told = {f"{name}:excluded": f"{name}:excluded ({why})" for name, why in reasons.items() if why}
    return "; ".join(told.get(part, part) for part in excluded.split("; "))


class _HasIndependence(Protocol):
    @property
    def independence(self) -> Independence: ...


def weakest(rows: Iterable[_HasIndependence]) -> Independence:
    """Say what can be claimed of all rows: what holds for the weakest of them."""
    found = {row.independence for row in rows}
    return next(level for level in reversed(list(INDEPENDENCE)) if level in found)


def run_tests(samples: Sequence[Sample], n_permutations: int) -> list[GroupTest]:
    """Describe samples and test their means against 0, corrected for their number.

    Parameters
    ----------
    samples : sequence of Sample
        Circular ones are described, not tested.
    n_permutations : int
        See :func:`~.permutation.sign_flip_tests`.

    Returns
    -------
    list of GroupTest
        One for each sample.
    """
    described = [_describe(sample) for sample in samples]
    tested = [i for i, (numbers, _) in enumerate(described) if "t" in numbers]
    in_family = np.array([samples[i].in_family for i in tested], dtype=bool)
    participants = sorted({name for i in tested for name in samples[i].values})
    values = np.array(
        [[samples[i].values.get(name, np.nan) for i in tested] for name in participants]
    ).reshape(len(participants), len(tested))
    flips = sign_flip_tests(values, in_family, n_permutations)
    q = false_discovery_rates(np.array([described[i][0]["p"] for i in tested]), in_family)
    for position, i in enumerate(tested):
        numbers, notes = described[i]
        numbers |= {
            "p_permutation": _number(flips.p[position]),
            "n_flips": int(flips.n_flips[position]) or None,
            "p_fwe": _number(flips.p_fwe[position]),
            "q_fdr": _number(q[position]),
        }
        if in_family[position] and n_permutations and numbers["p_fwe"] is None:
            notes.append(f"fewer than {SMALLEST_SAMPLE} participants: outside the family of p_fwe")
    return [
        GroupTest(
            n=len(sample.values),
            **numbers,
            independence=sample.independence,
            excluded="; ".join(sample.excluded) or None,
            note="; ".join(notes) or None,
        )
        for sample, (numbers, notes) in zip(samples, described, strict=True)
    ]


def describe_tests(n_permutations: int, family: str) -> dict[str, Any]:
    """Say in a sidecar how tests were corrected."""
    return {
        "Family": f"{family}. Tests with fewer than {SMALLEST_SAMPLE} participants are not in the "
        f"family of p_fwe where others have {SMALLEST_SAMPLE} or more. A test with few "
        "participants takes large values of |t| under many flips, which makes p_fwe of all others "
        "larger; leave it out by the options that select where it is of no interest.",
        "MaximumNumberOfFlips": n_permutations,
        "RandomSeed": SEED,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def false_discovery_rates(p: Array, in_family: Array) -> Array:
    """Say at which false discovery rate each test of a family is significant.

    This is :func:`scipy.stats.false_discovery_control`; to import scipy.stats takes a second.

    Parameters
    ----------
    p : (n_tests,) array
    in_family : (n_tests,) array of bool

    Returns
    -------
    (n_tests,) array
        NaN outside the family.

    References
    ----------
    Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57, 289-300.

    Examples
    --------
    >>> false_discovery_rates(np.array([0.01, 0.5, 0.02]), np.array([True, False, True]))
    array([0.02,  nan, 0.02])
    """
    q = np.full(p.shape, np.nan)
    family = np.flatnonzero(in_family)
    from_largest = family[np.argsort(-p[family])]
    ranks = np.arange(family.size, 0, -1)
    q[from_largest] = np.minimum.accumulate(p[from_largest] * family.size / ranks)
    return q


def _describe(sample: Sample) -> tuple[dict[str, Any], list[str]]:
    """Mean, spread, and Student's one-sample t of a sample; with what could not be had."""
    from scipy import special

    values = np.array(list(sample.values.values()), dtype=np.float64)
    n = values.size
    if n == 0:
        return {}, ["no participant has a number"]
    mean = float(values.mean())
    numbers: dict[str, Any] = {"mean": mean, "median": float(np.median(values))}
    if n == 1:
        return numbers, ["a single participant"]
    if np.ptp(values) <= 1e-12 * sample.scale:
        return {**numbers, "sd": 0.0, "sem": 0.0}, ["no variation between participants"]
    sd, df = float(values.std(ddof=1)), n - 1
    sem = sd / sqrt(n)
    half = float(special.stdtrit(df, 0.975)) * sem
    numbers |= {
        "sd": sd,
        "sem": sem,
        "ci95_low": mean - half,
        "ci95_high": mean + half,
    }
    if sample.independence == "circular":
        return numbers, ["no test on circular estimates"]
    if not np.isfinite([mean, sem]).all():
        return {}, ["the numbers are too large to compute with"]
    t = mean / sem
    p = float(2 * special.stdtr(df, -abs(t)))
    return {**numbers, "t": t, "df": df, "p": p, **effect_sizes(t, n)}, (
        [] if n > 2 else ["Hedges' g needs three participants"]
    )


def _noncentralities(t: float, df: int) -> tuple[float, float]:
    """Find under which noncentralities t is at the 97.5th and at the 2.5th percentile.

    A large t is next to the noncentrality divided by the root of chi-squared over df, where the
    exact inverse takes for ever, and is inexact.
    """
    from scipy import special

    if t > _LARGE_T:
        low, high = (t * sqrt(special.chdtri(df, 1 - q) / df) for q in (0.025, 0.975))
        return float(low), float(high)
    return float(special.nctdtrinc(df, 0.975, t)), float(special.nctdtrinc(df, 0.025, t))


def effect_sizes(t: float, n: int) -> dict[str, float]:
    """Compute standardized mean differences of one sample, with 95 % confidence intervals.

    Parameters
    ----------
    t : float
        One-sample t against 0.
    n : int
        Sample size, at least 2.

    Returns
    -------
    dict
        ``cohens_d`` and, from three participants on, ``hedges_g``, each with its limits.

    References
    ----------
    g: Hedges (1981), Journal of Educational Statistics 6, 107-128, with the exact correction.
    Intervals: Cumming and Finch (2001), Educational and Psychological Measurement 61, 532-574:
    the noncentrality parameters under which t is at the 97.5th and at the 2.5th percentile.

    Examples
    --------
    >>> round(effect_sizes(t=4.0, n=16)["cohens_d"], 3)
    1.0
    """
    from scipy import special

    df = n - 1
    low, high = _noncentralities(abs(t), df)
    if t < 0:
        low, high = -high, -low
    limits = {"cohens_d": t, "cohens_d_ci95_low": low, "cohens_d_ci95_high": high}
    d = {name: value / sqrt(n) for name, value in limits.items()}
    if df < 2:
        return d
    correction = exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / sqrt(df / 2)
    g = {name.replace("cohens_d", "hedges_g"): value * correction for name, value in d.items()}
    return {**d, **g}
