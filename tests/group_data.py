"""Simulated estimates of a group, and what participants.tsv says of it."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pandas as pd

from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.stats.models.table import summarize_models


def rows_in(table):
    """Give the rows of a table by attributes; what is not there is ``None``."""
    return [
        SimpleNamespace(**{k: None if v == MISSING or pd.isna(v) else v for k, v in row.items()})
        for row in table.to_dict("records")
    ]


def row(participant, estimate, **columns):
    """Make a row of the estimates table; ``status`` says why there is no number."""
    defaults = {
        "session": None,
        "task": "main",
        "contrast": "attend",
        "roi": "UL",
        "hemi": "both",
        "space": "fsnative",
        "statistic": "effect",
        "status": "ok" if estimate is not None else "empty_roi",
    }
    return EstimateRow(f"sub-{participant}", estimate=estimate, **(defaults | columns))


def participants(levels=(), **columns):
    """Make a table of participants sub-01, sub-02, ... from columns of values."""
    n = len(next(iter(columns.values())))
    return ParticipantsTable(
        tuple(columns),
        {
            f"sub-{i + 1:02}": {
                name: None if values[i] is None else str(values[i])
                for name, values in columns.items()
            }
            for i in range(n)
        },
        frozenset(levels),
    )


def labels(n):
    return [f"{i + 1:02}" for i in range(n)]


def in_rows(results):
    """Give results of models by rows, with ``None`` for what is n/a."""
    rows = [
        SimpleNamespace(**{k: None if v == "n/a" or pd.isna(v) else v for k, v in r.items()})
        for r in results.table.to_dict("records")
    ]
    return SimpleNamespace(rows=rows, messages=results.messages, summary=summarize_models(results))


def as_frame(rows, table):
    """Put estimates and participants into a data frame, as another program would get them."""
    frame = pd.DataFrame([asdict(r) for r in rows])
    known = pd.DataFrame.from_dict(table.values, orient="index")
    frame = frame.join(known, on="participant_id")
    return frame.assign(**{c: pd.to_numeric(frame[c]) for c in ("age",) if c in frame})


def group_study(seed, n=24):
    """Two contrasts in two ROIs, with a group, a sex and an age that matter."""
    rng = np.random.default_rng(seed)
    table = participants(
        age=[round(a, 1) for a in rng.uniform(20, 70, n)],
        group=[["control", "patient", "relative"][i % 3] for i in rng.permutation(n)],
        sex=["F" if x else "M" for x in rng.integers(0, 2, n)],
    )
    rows = []
    for label in labels(n):
        cells = table.values[f"sub-{label}"]
        base = rng.normal(0, 0.5) + 0.02 * float(cells["age"]) + 0.8 * (cells["group"] == "patient")
        for contrast in ("attend", "ignore"):
            for roi in ("UL", "UR"):
                mean = base - 0.6 * (contrast == "ignore") + 0.3 * (roi == "UR")
                rows.append(row(label, mean + rng.normal(0, 0.3), contrast=contrast, roi=roi))
    return rows, table
