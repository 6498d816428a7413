"""Estimates and participants for the tests of models."""

from pathlib import Path

import numpy as np
import pandas as pd

from bids_secondlevel.measures import EstimateRow
from bids_secondlevel.model import ParticipantsTable

ROIS = ("UL", "UR", "LL")
CONTRASTS = ("attend", "ignore")


def estimate_row(participant, estimate, **columns):
    return EstimateRow(
        **{
            "participant_id": participant,
            "session": None,
            "task": "main",
            "contrast": "attend",
            "roi": "UL",
            "hemi": "both",
            "space": "fsnative",
            "statistic": "effect",
            "estimate": estimate,
            "status": "ok" if estimate is not None else "empty_roi",
            **columns,
        }
    )


def simulate(n=24, seed=0, rois=ROIS, contrasts=CONTRASTS):
    """Estimates that depend on ROI, contrast, age and group; as a frame too."""
    random = np.random.default_rng(seed)
    rows, records, values = [], [], {}
    for i in range(n):
        name = f"sub-{i:02}"
        age, group = float(random.integers(20, 60)), "ab"[int(random.integers(2))]
        values[name] = {"age": f"{age:g}", "group": group, "site": str(1 + i % 3)}
        intercept = random.normal(0, 0.7)
        for j, roi in enumerate(rois):
            for k, contrast in enumerate(contrasts):
                mean = 0.5 * j + 0.3 * k * (j == 1) + 0.02 * age + 0.4 * (group == "b")
                value = float(mean + intercept + random.normal(0, 0.5))
                rows.append(estimate_row(name, value, roi=roi, contrast=contrast))
                records.append((name, value, roi, contrast, age, group, str(1 + i % 3)))
    columns = ["participant_id", "estimate", "roi", "contrast", "age", "group", "site"]
    table = ParticipantsTable(Path("participants.tsv"), ("age", "group", "site"), values)
    return rows, table, pd.DataFrame(records, columns=columns)


def find(results, **cell):
    (row,) = [r for r in results.rows if all(getattr(r, k) == v for k, v in cell.items())]
    return row
