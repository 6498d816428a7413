"""Rows as a table in memory."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_secondlevel.core.rows import column, frame_of


@dataclass(frozen=True)
class Measured:
    session: str | None = column("session")
    hemi: str = column("hemisphere", default="L")
    value: float | None = column("value", default=None)
    n: int | None = column("count", default=None)


def test_text_is_as_in_the_file_and_numbers_are_floats():
    frame = frame_of([Measured("a", value=0.1, n=3), Measured(None, "R")], Measured)
    assert list(frame.columns) == ["session", "hemi", "value", "n"]
    assert frame["session"].tolist() == ["a", "n/a"]
    assert frame.dtypes[["value", "n"]].tolist() == [np.float64, np.float64]
    assert frame.groupby(["session", "hemi"])["value"].sum().to_dict() == {
        ("a", "L"): 0.1,
        ("n/a", "R"): 0.0,
    }
    assert frame.loc[1, ["value", "n"]].isna().all()


def test_a_table_without_rows_has_its_columns():
    frame = frame_of([], Measured)
    assert frame.empty
    assert pd.api.types.is_string_dtype(frame["session"])
    assert frame["n"].dtype == np.float64
