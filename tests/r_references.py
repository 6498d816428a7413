"""Planted studies with the results that R gives for them; see ``references.R`` beside them."""

from pathlib import Path

import pandas as pd

from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.rois.estimates import EstimateRow

FOLDER = Path(__file__).parent / "r"
STUDIES = ("complete", "missing_cells", "three_contrasts")


def read(study, name):
    """Read a file of a study; numbers are as precise as they are written."""
    return pd.read_csv(
        FOLDER / study / f"{name}.tsv",
        sep="\t",
        na_values=["n/a"],
        keep_default_na=False,
    )


def estimates_of(study, *, derived=True):
    """Give the table of estimates of a study, with or without contrasts of contrasts."""
    rows = [
        EstimateRow(
            participant_id=given.participant_id,
            session=None,
            task=given.task,
            contrast=given.contrast,
            roi=given.roi,
            hemi=given.hemi,
            space="fsaverage5",
            statistic="effect",
            estimate=None if pd.isna(given.estimate) else given.estimate,
            status="missing_map" if pd.isna(given.estimate) else "ok",
            independence="independent",
        )
        for given in read(study, "estimates").itertuples()
        if derived or given.contrast != "attendMinusIgnore"
    ]
    return frame_of(rows, EstimateRow)


def participants_of(study):
    table = read(study, "participants").astype(str)
    columns = tuple(table.columns[1:])
    values = {row["participant_id"]: {c: row[c] for c in columns} for _, row in table.iterrows()}
    return ParticipantsTable(columns, values, frozenset())
