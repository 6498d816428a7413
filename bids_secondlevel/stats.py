"""Statistics across participants, computed from rows of the estimates table."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_secondlevel.measures import INDEPENDENCE, EstimateRow, Independence, column


@dataclass(frozen=True)
class StatisticRow:
    """A one-sample test across participants; the only declaration of the table's columns."""

    session: str | None = column("session label of the measured maps; n/a where they have none")
    task: str = column("task of the measured maps")
    contrast: str = column("first-level contrast of the measured maps")
    roi: str = column("region of interest, named after the localizer contrast that defines it")
    hemi: str = column("hemisphere: L, R, or both pooled")
    space: str | None = column("surface space of the maps; n/a where their names have none")
    statistic: str = column("what the maps hold, the stat entity of their names")
    n: int = column("number of participants with an estimate")
    mean: float | None = column(
        "mean of the participants' estimates", units="those of the maps", default=None
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
    independence: Independence = column(
        "whether the numbers were measured on the data that defined their ROIs",
        levels=INDEPENDENCE,
        default="independent",
    )
    excluded: str | None = column(
        "participants without an estimate here, each with the reason (the status of its row)",
        default=None,
    )
    note: str | None = column("why a statistic is n/a", default=None)


def one_sample_tests(rows: Iterable[EstimateRow]) -> list[StatisticRow]:
    """Test every ROI x hemisphere x task x contrast (x session) against zero.

    Parameters
    ----------
    rows : iterable of EstimateRow
        Of all participants. Those without a number stay out, and are named in `excluded`.

    Returns
    -------
    list of StatisticRow
        In the order in which the cells first appear.
    """
    cells: dict[tuple[str | None, ...], list[EstimateRow]] = defaultdict(list)
    for row in rows:
        cell = (row.session, row.task, row.contrast, row.roi, row.hemi, row.space, row.statistic)
        cells[cell].append(row)
    return [_test(cell_rows) for cell_rows in cells.values()]


def _test(rows: Sequence[EstimateRow]) -> StatisticRow:
    first = rows[0]
    estimates = [row.estimate for row in rows if row.estimate is not None]
    excluded = [f"{row.participant_id}:{row.status}" for row in rows if row.estimate is None]
    independence = _weakest([row for row in rows if row.estimate is not None] or rows)
    numbers, notes = _describe(estimates)
    if independence == "circular":
        numbers |= {"t": None, "df": None, "p": None}
        notes = [*notes, "no test on circular estimates"]
    return StatisticRow(
        session=first.session,
        task=first.task,
        contrast=first.contrast,
        roi=first.roi,
        hemi=first.hemi,
        space=first.space,
        statistic=first.statistic,
        n=len(estimates),
        **numbers,
        independence=independence,
        excluded="; ".join(excluded) or None,
        note="; ".join(notes) or None,
    )


def _weakest(rows: Sequence[EstimateRow]) -> Independence:
    found = {row.independence for row in rows}
    return next(level for level in reversed(list(INDEPENDENCE)) if level in found)


def _describe(
    estimates: Sequence[float],
) -> tuple[dict[str, Any], list[str]]:
    """Mean, spread, and Student's one-sample t of some numbers; with what could not be had."""
    from scipy import stats

    n = len(estimates)
    if n == 0:
        return {}, ["no participant has an estimate"]
    values = np.asarray(estimates, dtype=np.float64)
    mean = float(values.mean())
    if n == 1:
        return {"mean": mean}, ["a single participant"]
    spread = {"mean": mean, "sd": float(values.std(ddof=1)), "sem": float(stats.sem(values))}
    if np.all(values == values[0]):
        return {**spread, "sd": 0.0, "sem": 0.0}, ["no variation between participants"]
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(0.95)
    return {
        **spread,
        "ci95_low": float(interval.low),
        "ci95_high": float(interval.high),
        "t": float(test.statistic),
        "df": n - 1,
        "p": float(test.pvalue),
    }, []
