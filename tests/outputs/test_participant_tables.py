"""Reading the tables of participants back."""

from itertools import product

import pandas as pd
import pytest

from bids_secondlevel.core.rows import frame_of_cells
from bids_secondlevel.outputs.participant_tables import read_profiles
from bids_secondlevel.outputs.tables import write_table
from bids_secondlevel.rois.visual_field import VISUAL_FIELD_COLUMNS

PROFILES = ("eccentricity", "cell", "polar_angle")


@pytest.mark.parametrize("called_cell", ["session", "task", "contrast", "area", "position"])
def test_profiles_are_read_whatever_else_is_called_like_cells(tmp_path, called_cell):
    series = {"session": "n/a", "task": "main", "contrast": "faces", "area": "V1", "hemi": "both"}
    series |= {"space": "fsnative", "statistic": "effect", "position": "n/a", called_cell: "cell"}
    rows = [
        {"participant_id": "sub-01", **series, "profile": profile, "estimate": float(number)}
        for number, profile in product(range(2), PROFILES)
    ]
    cells = {name: [row.get(name) for row in rows] for name in VISUAL_FIELD_COLUMNS}
    table = frame_of_cells(cells, VISUAL_FIELD_COLUMNS)
    estimates = tmp_path / "sub-01_desc-roi_estimates.tsv"
    write_table(tmp_path / "sub-01_desc-visualfield_estimates.tsv", table, VISUAL_FIELD_COLUMNS, {})
    read = read_profiles({"01": [estimates]}, table)
    assert list(read["profile"]) == ["eccentricity", "polar_angle"] * 2
    expected = table[table["profile"] != "cell"].reset_index(drop=True)
    pd.testing.assert_frame_equal(read[list(expected)], expected)
