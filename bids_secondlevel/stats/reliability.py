"""Reliability of the estimates across participants: over sessions, and over runs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.rows import column, columns
from bids_secondlevel.core.values import depth
from bids_secondlevel.rois.estimates import INDEPENDENCE, EstimateRow, Independence
from bids_secondlevel.rois.runs import RunRow
from bids_secondlevel.stats.tests import weakest

Over = Literal["sessions", "runs"]

OVER: Mapping[Over, str] = {
    "sessions": "the estimates of several sessions",
    "runs": "the estimates of the runs of a session, each measured alone",
}

Coefficient = Literal["icc21", "split_half_spearman_brown"]

COEFFICIENTS: Mapping[Coefficient, str] = {
    "icc21": "intraclass correlation ICC(2,1): two-way random effects, absolute agreement, of a "
    "single session or run (Shrout and Fleiss, 1979); limits by McGraw and Wong (1996)",
    "split_half_spearman_brown": "correlation r across participants between the mean of the odd "
    "and the mean of the even runs (first, third, ...; second, fourth, ...), stepped up to all "
    "runs by Spearman and Brown: 2 r / (1 + |r|)",
}

MIN_PARTICIPANTS = 3
"""With fewer, two points make a line, and no coefficient means anything."""

_ROUNDING = 1e-12
"""Values that differ by less than this share of the largest are equal but for rounding."""


@dataclass(frozen=True)
class ReliabilityRow:
    """A coefficient of reliability; the only declaration of the table's columns."""

    session: str | None = column(
        "session label of the measured maps; n/a over sessions, and where they have none"
    )
    task: str = column("task of the measured maps")
    contrast: str = column("first-level contrast of the measured maps")
    roi: str = column("region of interest")
    hemi: str = column("hemisphere: L, R, or both pooled")
    space: str | None = column()
    statistic: str = column("what the maps hold, the stat entity of their names")
    over: Over = column("what was repeated", levels=OVER)
    method: Coefficient = column("which coefficient", levels=COEFFICIENTS)
    value: float | None = column(
        "the coefficient; 1 is perfect. Negative values are given as they come: there is no "
        "reliability to be seen",
        default=None,
    )
    ci95_low: float | None = column(
        "lower limit of the 95 % confidence interval of value; of a split half (from Fisher's z "
        "of r) with four participants or more",
        default=None,
    )
    ci95_high: float | None = column("upper limit of the same interval", default=None)
    n: int = column("number of participants used", default=0)
    k: int | None = column(
        "number of sessions or runs of each participant; n/a where it differs between them",
        default=None,
    )
    independence: Independence = column(
        "whether the numbers were measured on the data that defined their ROIs; if so, they were "
        "selected for, and the coefficient is that of selected numbers",
        levels=INDEPENDENCE,
        default="independent",
    )
    excluded: str | None = column(
        "participants left out, each with the reason: the status of the estimate that is "
        "missing, or the number of runs (as 3_runs) that differs from that of most",
        default=None,
    )
    note: str | None = column("why a value is n/a, and what was passed over", default=None)


RELIABILITY_COLUMNS = columns(ReliabilityRow)


class Agreement(NamedTuple):
    """A coefficient with the limits of its 95 % confidence interval, ``None`` without one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class _Repeated:
    """Repeated estimates of the participants used in one cell, and who is left out and why."""

    estimates: Mapping[str, Sequence[float]]
    excluded: Mapping[str, str]
    independence: Independence
    notes: tuple[str, ...] = ()


def reliability(rows: Iterable[EstimateRow], run_rows: Iterable[RunRow]) -> list[ReliabilityRow]:
    """Say how reliable the estimates of each ROI x hemisphere x task x contrast are.

    Parameters
    ----------
    rows : iterable of EstimateRow
        Of all participants, each estimate once. A participant without a number here stays out,
        also of what is over runs, and is named in `excluded`.
    run_rows : iterable of RunRow
        The runs that were combined into `rows`; those of no row are passed over.

    Returns
    -------
    list of ReliabilityRow
        ICC(2,1) over sessions, where there are two; then for each session ICC(2,1) and split
        half over runs, where a participant has two. In the order in which the cells first
        appear. For ICC(2,1), participants with other sessions, or another number of runs, than
        most are left out (of numbers that equally many have, the larger is taken), and runs are
        lined up by their order.
    """
    runs: dict[tuple[str | None, ...], list[RunRow]] = defaultdict(list)
    for run in sorted(run_rows, key=lambda run: run.run):
        runs[run.key].append(run)
    cells: dict[tuple[str | None, ...], list[EstimateRow]] = defaultdict(list)
    for row in rows:
        cell = (row.task, row.contrast, row.roi, row.hemi, row.space, row.statistic)
        cells[cell].append(row)
    return [result for cell_rows in cells.values() for result in _of_cell(cell_rows, runs)]


def icc21(values: NDArray[np.floating[Any]]) -> Agreement | None:
    """Compute ICC(2,1): two-way random effects, absolute agreement, single measure.

    Parameters
    ----------
    values : (n_participants, k) array
        Without gaps; at least three participants, and k of two sessions or runs.

    Returns
    -------
    Agreement or None
        ``None`` where all values are equal. A negative estimate is given as it is.

    References
    ----------
    Estimate: Shrout and Fleiss (1979), Psychological Bulletin 86, 420-428.
    Interval of ICC(A,1): McGraw and Wong (1996), Psychological Methods 1, 30-46.

    Examples
    --------
    The example of Shrout and Fleiss, four judges of six targets:

    >>> ratings = np.array(
    ...     [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7.0]]
    ... )
    >>> print("%.2f, from %.2f to %.2f" % icc21(ratings))
    0.29, from 0.02 to 0.76
    """
    from scipy import stats

    if _is_constant(values):
        return None
    n, k = values.shape
    # Neither a shift nor a change of units matters; without them, no square under- or overflows.
    scaled = (values - values.mean()) / np.ptp(values)
    of_rows, of_columns = scaled.mean(axis=1), scaled.mean(axis=0)
    residuals = scaled - of_rows[:, None] - of_columns + scaled.mean()
    ms_rows = k * float(of_rows.var(ddof=1))
    ms_columns = n * float(of_columns.var(ddof=1))
    ms_error = float((residuals**2).sum()) / ((n - 1) * (k - 1))
    within = k * ms_columns + (k * n - k - n) * ms_error
    icc = n * (ms_rows - ms_error) / (n * ms_rows + within)
    if ms_columns + ms_error == 0:
        return Agreement(1.0, 1.0, 1.0)
    df = float((n - 1) * (k - 1))
    if icc > 0:  # Satterthwaite's approximation, whose weights must not be negative
        a = k * icc * ms_columns / (ms_columns + ms_error)
        b = (n * (1 - icc) + k * icc * (n - 1)) * ms_error / (ms_columns + ms_error)
        df = (a + b) ** 2 / (a**2 / (k - 1) + b**2 / df)
    f_low, f_high = stats.f.ppf(0.975, n - 1, df), stats.f.ppf(0.975, df, n - 1)
    low = n * (ms_rows - f_low * ms_error) / (n * ms_rows + f_low * within)
    high = n * (f_high * ms_rows - ms_error) / (n * f_high * ms_rows + within)
    return Agreement(icc, float(low), float(high))


def split_half(odd: NDArray[np.floating[Any]], even: NDArray[np.floating[Any]]) -> Agreement | None:
    """Correlate two halves, and step the correlation up to their whole.

    Parameters
    ----------
    odd, even : (n_participants,) array
        Mean over the odd and over the even runs of each, at least three.

    Returns
    -------
    Agreement or None
        ``None`` where a half is the same in all participants. No interval for three.

    Notes
    -----
    The formula 2 r / (1 + r) of Spearman and of Brown supposes that r is a reliability, and so
    not negative: for r of -0.9 it would give -18. Values below 0 are mirrored, 2 r / (1 + |r|),
    so that they stay between -1 and 1 and are not lost, which would leave too good an impression
    of the rest.

    References
    ----------
    Spearman (1910), British Journal of Psychology 3, 271-295; Brown (1910), ibid., 296-322.

    Examples
    --------
    >>> split_half(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 1.0])).value  # r is 0.5
    0.666...
    """
    from scipy import stats

    if _is_constant(odd) or _is_constant(even):
        return None
    correlation = stats.pearsonr(odd, even)
    value = _step_up(correlation.statistic)
    if len(odd) < 4:
        return Agreement(value, None, None)
    interval = correlation.confidence_interval(0.95)
    return Agreement(value, _step_up(interval.low), _step_up(interval.high))


def _step_up(r: float) -> float:
    return float(2 * r / (1 + abs(r)))


def _is_constant(values: NDArray[np.floating[Any]]) -> bool:
    return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max())


def _of_cell(
    rows: Sequence[EstimateRow], runs: Mapping[tuple[str | None, ...], Sequence[RunRow]]
) -> Iterator[ReliabilityRow]:
    sessions = sorted({row.session for row in rows if row.session is not None})
    if len(sessions) > 1:
        yield _result(rows[0], None, "sessions", "icc21", _over_sessions(rows, sessions))
    for session in dict.fromkeys(row.session for row in rows) if runs else ():
        own = [(row, runs.get(row.key, ())) for row in rows if row.session == session]
        if any(len(of_row) > 1 for _, of_row in own):
            counts = Counter(len(of_row) for row, of_row in own if row.estimate is not None)
            k = max((k for k in counts if k > 1), key=lambda k: (counts[k], k), default=2)
            yield _result(rows[0], session, "runs", "icc21", _over_runs(own, k))
            halves = _over_runs(own, None)
            yield _result(rows[0], session, "runs", "split_half_spearman_brown", halves)


def _over_sessions(rows: Sequence[EstimateRow], sessions: Sequence[str]) -> _Repeated:
    """Take the participants with a number in each of the sessions that most have one in."""
    by_participant: dict[str, dict[str, EstimateRow]] = defaultdict(dict)
    for row in rows:
        if row.session is not None:
            by_participant[row.participant_id][row.session] = row
    counts = Counter(
        tuple(s for s in sessions if s in own and own[s].estimate is not None)
        for own in by_participant.values()
    )
    repeated = sorted(of for of in counts if len(of) > 1)
    chosen = max(repeated, key=lambda of: (counts[of], len(of)), default=tuple(sessions))
    estimates: dict[str, list[float]] = {}
    excluded: dict[str, str] = {}
    used: list[EstimateRow] = []
    for participant, own in by_participant.items():
        asked = [own[session] for session in chosen if session in own]
        numbers = [row.estimate for row in asked if row.estimate is not None]
        if len(numbers) == len(chosen):
            estimates[participant] = numbers
            used += asked
        else:
            excluded[participant] = _gap_in(asked) or "missing_map"
    named = f"sessions {', '.join(chosen)} of {', '.join(sessions)}"
    notes = (named,) if len(chosen) < len(sessions) else ()
    return _Repeated(estimates, excluded, weakest(used or rows), notes)


def _over_runs(rows: Sequence[tuple[EstimateRow, Sequence[RunRow]]], k: int | None) -> _Repeated:
    """Take the participants with `k` runs and a number in each; or with numbers in any two."""
    estimates: dict[str, list[float]] = {}
    excluded: dict[str, str] = {}
    used: list[RunRow] = []
    for row, runs in rows:
        numbers = [run.estimate for run in runs if run.estimate is not None]
        is_enough = len(numbers) > 1 if k is None else len(numbers) == len(runs) == k
        if row.estimate is None:
            excluded[row.participant_id] = row.status
        elif is_enough:
            estimates[row.participant_id] = numbers
            used += [run for run in runs if run.estimate is not None]
        else:
            excluded[row.participant_id] = _gap_in(runs) or f"{len(runs)}_runs"
    return _Repeated(estimates, excluded, weakest(used or [row for row, _ in rows]))


def _gap_in(rows: Sequence[EstimateRow] | Sequence[RunRow]) -> str | None:
    """Say why one of some numbers is not there: the deepest reason."""
    return max((row.status for row in rows if row.estimate is None), key=depth, default=None)


def _result(
    first: EstimateRow, session: str | None, over: Over, method: Coefficient, repeated: _Repeated
) -> ReliabilityRow:
    values = list(repeated.estimates.values())
    agreement, notes = None, repeated.notes
    if len(values) < MIN_PARTICIPANTS:
        notes = (*notes, f"fewer than {MIN_PARTICIPANTS} participants")
    else:
        agreement = icc21(np.array(values)) if method == "icc21" else _of_halves(values)
        notes = notes if agreement else (*notes, "no variation between participants")
    counts = {len(of_participant) for of_participant in values}
    return ReliabilityRow(
        session=session,
        task=first.task,
        contrast=first.contrast,
        roi=first.roi,
        hemi=first.hemi,
        space=first.space,
        statistic=first.statistic,
        over=over,
        method=method,
        value=agreement.value if agreement else None,
        ci95_low=agreement.low if agreement else None,
        ci95_high=agreement.high if agreement else None,
        n=len(values),
        k=counts.pop() if len(counts) == 1 else None,
        independence=repeated.independence,
        excluded="; ".join(f"{who}:{why}" for who, why in repeated.excluded.items()) or None,
        note="; ".join(notes) or None,
    )


def _of_halves(values: Sequence[Sequence[float]]) -> Agreement | None:
    odd, even = (np.array([np.mean(of[start::2]) for of in values]) for start in (0, 1))
    return split_half(odd, even)
