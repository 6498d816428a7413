"""Reliability of the estimates across participants: over sessions, and over runs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.files import run_order
from bids_secondlevel.core.rows import CELL, CELL_COLUMNS, MISSING, Column, Schema, frame_of_cells
from bids_secondlevel.core.values import STATUSES, Array
from bids_secondlevel.rois.estimates import INDEPENDENCE
from bids_secondlevel.stats.testing.one_sample import Numbers, places, spread
from bids_secondlevel.stats.testing.scale import to_usual_size

if TYPE_CHECKING:
    import pandas as pd

Over = Literal["sessions", "runs"]

OVER: Mapping[Over, str] = {
    "sessions": "the estimates of several sessions",
    "runs": "the estimates of single runs of a session",
}

Coefficient = Literal["icc21", "split_half_spearman_brown"]

COEFFICIENTS: Mapping[Coefficient, str] = {
    "icc21": "intraclass correlation ICC(2,1): two-way random effects, absolute agreement, of a "
    "single session or run (Shrout and Fleiss, 1979); interval by McGraw and Wong (1996)",
    "split_half_spearman_brown": "correlation r across participants between the mean of the odd "
    "and the mean of the even runs (first, third, ...; second, fourth, ...), stepped up to all "
    "runs by Spearman and Brown: 2 r / (1 + |r|)",
}

MIN_PARTICIPANTS = 3
"""With fewer, two points make a line, and no coefficient means anything."""

_STATUSES = np.array(list(STATUSES), dtype=object)

_ROUNDING = 1e-12
"""Values that differ by less than this share of the largest are equal but for rounding."""


RELIABILITY_COLUMNS: Schema = {
    **CELL_COLUMNS,
    "session": Column(
        str, "session label of the measured maps; n/a over sessions, and if they have none"
    ),
    "over": Column(str, "what was repeated: sessions or runs", levels=OVER),
    "method": Column(str, "kind of coefficient", levels=COEFFICIENTS),
    "value": Column(
        float,
        "the coefficient (1 = perfect). Negative values mean no detectable reliability",
    ),
    "ci95_low": Column(
        float,
        "lower limit of the 95 % confidence interval of value; for a split half (from Fisher's z "
        "of r) only with four or more participants",
    ),
    "ci95_high": Column(float, "upper limit of the same interval"),
    "n": Column(int, "number of participants used"),
    "k": Column(
        int,
        "number of sessions or runs of each participant; n/a if it differs between participants",
    ),
    "independence": Column(
        str,
        "whether the estimates were measured on the data that defined their ROIs; if so, the "
        "coefficient is biased by selection",
        levels=INDEPENDENCE,
    ),
    "excluded": Column(
        str,
        "excluded participants, each with the reason: the status of the missing estimate, or a "
        "number of runs (such as 3_runs) that differs from that of most participants",
    ),
    "note": Column(str, "why a value is n/a, and what was not used"),
}
"""A coefficient of reliability."""


class Agreement(NamedTuple):
    """A coefficient with the limits of its 95 % confidence interval, ``None`` without one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False, kw_only=True)
class _Runs:
    """The runs that the numbers of participants (first axis) in cells (second) consist of."""

    numbers: Array
    """Along the last axis, in the order of the runs; NaN after the last."""
    n: NDArray[np.intp]
    """How many runs there are, also those without a number."""
    gaps: NDArray[np.intp]
    """The deepest reason why a run has no number, as place among the statuses; -1 without."""
    claims: NDArray[np.intp]
    """What can be claimed of the runs with a number, as place in :data:`INDEPENDENCE`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Repeated:
    """Repeated numbers of the participants used in one cell, and who is left out and why."""

    numbers: Array
    """(n_participants, k), NaN after the last of those who have fewer."""
    claims: NDArray[np.intp]
    excluded: Mapping[str, str]
    note: str = ""


def reliability(estimates: "pd.DataFrame", runs: "pd.DataFrame") -> "pd.DataFrame":
    """Say how reliable the estimates of each ROI x hemisphere x task x contrast are.

    Parameters
    ----------
    estimates
        Of all participants, each estimate once. A participant without a number here stays out,
        also of what is over runs, and is named in `excluded`.
    runs
        The runs that were combined into `estimates`; those of no row are passed over.

    Returns
    -------
    DataFrame
        With :data:`RELIABILITY_COLUMNS`: ICC(2,1) over sessions, if there are two; then for each
        session ICC(2,1) and split half over runs, if a participant has two. In the order in which
        the cells first appear. For ICC(2,1), participants with other sessions, or another number
        of runs, than most are left out (of numbers that equally many have, the larger is taken),
        and runs are lined up by their order.
    """
    cells, numbers = spread(estimates)
    of_runs = _line_up(runs, cells, numbers)
    has_sessions = cells.duplicated(list(CELL[1:]), keep=False).to_numpy()
    has_several = has_sessions | (of_runs.n > 1).any(axis=0)
    found = [
        row
        for _, alike in cells[has_several].groupby(list(CELL[1:]), sort=False)
        for row in _of_cell(alike, numbers, of_runs)
    ]
    return frame_of_cells(
        {name: [row[name] for row in found] for name in RELIABILITY_COLUMNS}, RELIABILITY_COLUMNS
    )


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


def _line_up(runs: "pd.DataFrame", cells: "pd.DataFrame", numbers: Numbers) -> _Runs:
    """Put the runs where the numbers are that were made of them."""
    import pandas as pd

    runs = runs.merge(cells.assign(cell=cells.index), on=list(CELL))
    runs["row"] = pd.Index(numbers.participants).get_indexer(runs["participant_id"])
    runs = runs[runs["row"] >= 0].sort_values(
        "run", kind="stable", key=lambda labels: labels.map(run_order)
    )
    there, lacking = runs[runs["estimate"].notna()], runs[runs["estimate"].isna()]
    shape = numbers.values.shape
    order = there.groupby(["row", "cell"]).cumcount()
    lined_up = np.full((*shape, order.max() + 1 if len(order) else 1), np.nan)
    lined_up[there["row"], there["cell"], order] = there["estimate"]
    n = np.zeros(shape, dtype=np.intp)
    np.add.at(n, (runs["row"], runs["cell"]), 1)
    gaps, claims = np.full(shape, -1), np.full(shape, -1)
    np.maximum.at(gaps, (lacking["row"], lacking["cell"]), places(lacking["status"], STATUSES))
    np.maximum.at(
        claims, (there["row"], there["cell"]), places(there["independence"], INDEPENDENCE)
    )
    return _Runs(numbers=lined_up, n=n, gaps=gaps, claims=claims)


def _of_cell(cells: "pd.DataFrame", numbers: Numbers, runs: _Runs) -> Iterator[dict[str, Any]]:
    """Say how reliable the numbers are in cells that differ in their session only."""
    key = {name: cells[name].iloc[0] for name in CELL}
    sessions = cells["session"][cells["session"] != MISSING].sort_values()
    if len(sessions) > 1:
        repeated = _over_sessions(sessions, cells.index.to_numpy(), numbers)
        yield {**key, "session": None, "over": "sessions", **_coefficient("icc21", repeated)}
    for cell, session in zip(cells.index, cells["session"], strict=True):
        n_runs = runs.n[:, cell]
        if n_runs.max() < 2:
            continue
        counts = Counter(n_runs[numbers.there[:, cell]].tolist())
        k = max((k for k in counts if k > 1), key=lambda k: (counts[k], k), default=2)
        where = {**key, "session": session, "over": "runs"}
        yield {**where, **_coefficient("icc21", _over_runs(cell, numbers, runs, k))}
        halves = _over_runs(cell, numbers, runs, None)
        yield {**where, **_coefficient("split_half_spearman_brown", halves)}


def _over_sessions(
    sessions: "pd.Series[str]", cells: NDArray[np.intp], numbers: Numbers
) -> _Repeated:
    """Take the participants with a number in each of the sessions that most have one in."""
    names, repeats = sessions.to_numpy(), sessions.index.to_numpy()
    there, claims = numbers.there[:, repeats], numbers.claims[:, repeats]
    is_listed = (claims >= 0).any(axis=1)
    counts: Counter[tuple[str, ...]] = Counter(
        tuple(names[of_participant]) for of_participant in there[is_listed]
    )
    repeated = sorted(of for of in counts if len(of) > 1)
    chosen = max(repeated, key=lambda of: (counts[of], len(of)), default=tuple(names))
    is_chosen = np.isin(names, chosen)
    used = there[:, is_chosen].all(axis=1)
    gaps = np.where(there, -1, numbers.gaps[:, repeats])[:, is_chosen].max(axis=1)
    why = np.where(gaps >= 0, _STATUSES[gaps], "missing_map")
    left_out = is_listed & ~used
    return _Repeated(
        numbers=numbers.values[used][:, repeats[is_chosen]],
        claims=claims[used][:, is_chosen] if used.any() else numbers.claims[:, cells],
        excluded=dict(zip(numbers.participants[left_out], why[left_out], strict=True)),
        note=f"sessions {', '.join(chosen)} of {', '.join(names)}" if not is_chosen.all() else "",
    )


def _over_runs(cell: int, numbers: Numbers, runs: _Runs, k: int | None) -> _Repeated:
    """Take the participants with `k` runs and a number in each; or with numbers in any two."""
    there, n = numbers.there[:, cell], runs.n[:, cell]
    n_numbers = (~np.isnan(runs.numbers[:, cell])).sum(axis=1)
    used = there & (n_numbers > 1 if k is None else (n_numbers == k) & (n == k))
    gaps = np.where(there, runs.gaps[:, cell], numbers.gaps[:, cell])
    why = np.where(gaps >= 0, _STATUSES[gaps], [f"{count}_runs" for count in n])
    left_out = ~used & (numbers.claims[:, cell] >= 0)
    return _Repeated(
        numbers=runs.numbers[used, cell, : n_numbers[used].max(initial=1)],
        claims=runs.claims[used, cell] if used.any() else numbers.claims[:, cell],
        excluded=dict(zip(numbers.participants[left_out], why[left_out], strict=True)),
    )


def _coefficient(method: Coefficient, repeated: _Repeated) -> dict[str, Any]:
    """Compute a coefficient; missing values are ``None``."""
    numbers = to_usual_size(repeated.numbers)[0]
    n, agreement = len(numbers), None
    notes = [repeated.note] if repeated.note else []
    if n < MIN_PARTICIPANTS:
        notes.append(f"fewer than {MIN_PARTICIPANTS} participants")
    else:
        agreement = icc21(numbers) if method == "icc21" else _of_halves(numbers)
        notes += [] if agreement else ["no variation between participants"]
    counts = set((~np.isnan(numbers)).sum(axis=1).tolist())
    excluded = "; ".join(f"{who}:{why}" for who, why in repeated.excluded.items())
    return {
        "method": method,
        "value": agreement and agreement.value,
        "ci95_low": agreement and agreement.low,
        "ci95_high": agreement and agreement.high,
        "n": n,
        "k": counts.pop() if len(counts) == 1 else None,
        "independence": list(INDEPENDENCE)[repeated.claims.max()],
        "excluded": excluded or None,
        "note": "; ".join(notes) or None,
    }


def _of_halves(numbers: Array) -> Agreement | None:
    odd, even = (np.nanmean(numbers[:, start::2], axis=1) for start in (0, 1))
    return split_half(odd, even)
