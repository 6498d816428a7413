"""Tables as files: what is written comes back, and what is damaged is refused."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.rows import Column, frame_of_cells
from bids_secondlevel.outputs.tables import parse_tables, read_table, write_table

SCHEMA = {
    "name": Column(str, "name"),
    "side": Column(str, "side", levels={"L": "left", "R": "right"}),
    "value": Column(float, "value", units="mm"),
    "count": Column(int, "count"),
    "volume": Column(float, "volume", is_optional=True),
}


def table(n=3, volume=None):
    return frame_of_cells(
        {
            "name": [f"a {i}" for i in range(n)],
            "side": ["L"] * n,
            "value": [0.1 + 0.2 * i for i in range(n)],
            "count": [None, *range(1, n)],
            "volume": [volume] * n,
        },
        SCHEMA,
    )


def test_numbers_are_written_in_full_and_whole_ones_without_a_point(tmp_path):
    path = tmp_path / "x.tsv"
    write_table(path, table(), SCHEMA, {"About": "it"})
    assert path.read_text() == (
        "name\tside\tvalue\tcount\n"
        "a 0\tL\t0.1\tn/a\na 1\tL\t0.30000000000000004\t1\na 2\tL\t0.5\t2\n"
    )
    assert json.loads(path.with_suffix(".json").read_text()) == {
        "name": {"Description": "name"},
        "side": {"Description": "side", "Levels": {"L": "left", "R": "right"}},
        "value": {"Description": "value", "Units": "mm"},
        "count": {"Description": "count"},
        "About": "it",
    }


@pytest.mark.parametrize("volume", [None, 1e-300])
def test_it_comes_back(volume, tmp_path):
    path, written = tmp_path / "x.tsv", table(volume=volume)
    written.loc[0, "name"] = 'a tab\t, a "quotation",\nand a second line'
    write_table(path, written, SCHEMA, {})
    pd.testing.assert_frame_equal(read_table(path, SCHEMA), written)


def test_a_line_end_that_would_break_the_table_becomes_another(tmp_path):
    path, written = tmp_path / "x.tsv", table()
    written.loc[0, "name"] = "a\rb\r\nc"
    write_table(path, written, SCHEMA, {})
    assert read_table(path, SCHEMA)["name"].tolist() == ["a\nb\nc", "a 1", "a 2"]


HEADER = "name\tside\tvalue\tcount\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "No columns"),
        ("name\tside\tvalue\n", "has no column count"),
        ("name\tname\tside\tvalue\tcount\n", "the same name"),
        (HEADER + "a\tL\t1\n", "column count has a value that is not a finite number"),
        (HEADER + "a\tL\t1\t1\t1\n", "Expected 4 fields"),
        (HEADER + "a\tleft\t1\t1\n", "column side has the value 'left'"),
        (HEADER + "a\tn/a\t1\t1\n", "column side has the value 'n/a'"),
        *(
            (
                HEADER + f"a\tL\t{number}\t1\n",
                "column value has a value that is not a finite number",
            )
            for number in ("nan", "inf", "1e400", "1_0", "\uff11", " 1", "", "0x1", "1E5")
        ),
        *(
            (
                HEADER + f"a\tL\t1\t{number}\n",
                "column count has a value that is not a finite number",
            )
            for number in ("1.0", "1e3", "one", "+1")
        ),
        (HEADER + "a\tL\t1-2\t1\n", "could not convert"),
    ],
)
def test_what_is_damaged_is_refused(text, message, tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as refusal:
        read_table(path, SCHEMA)
    assert str(path) in str(refusal.value)
    tables, unreadable = parse_tables({Path("other"): HEADER, path: text}, SCHEMA)
    assert tables.empty
    assert str(unreadable[path]) == str(refusal.value)
    assert list(unreadable) == [path]


ODD = {
    "nothing": HEADER + "a\tL\t1\t1\n",
    "a quotation": HEADER + '"a\nb"\tR\t1\t1\n',
    "an empty line": HEADER + "a\tL\t1\t1\n\nb\tL\t1\t1\n",
    "no end": HEADER + "a\tL\t1\t1",
    "another column": "volume\t" + HEADER + "2\ta\tL\t1\t1\n",
    "no row": HEADER,
}


@pytest.mark.parametrize("odd", ODD)
def test_many_tables_are_as_each_alone(odd, tmp_path):
    whole = HEADER + "".join(f"{name}\tL\t{i}.5\t{i}\n" for i, name in enumerate("cde"))
    texts = {Path("1"): whole, Path("2"): ODD[odd], Path("3"): whole}
    tables, unreadable = parse_tables(texts, SCHEMA)
    assert not unreadable
    for number, text in enumerate(texts.values()):
        path = tmp_path / "x.tsv"
        path.write_text(text)
        alone = read_table(path, SCHEMA)
        found = tables[tables.index == number].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, alone)
    assert tables.index.is_monotonic_increasing


def test_no_table_at_all():
    tables, unreadable = parse_tables({}, SCHEMA)
    assert (list(tables), len(tables), unreadable) == (list(SCHEMA), 0, {})
    assert tables["value"].dtype == np.float64


class TestListsOfLevels:
    SCHEMA: ClassVar = {
        "marks": Column(
            str, "marks", levels={"a": "an a", "b": "a b"}, is_list=True, may_be_missing=True
        )
    }

    def test_they_come_back_and_are_described(self, tmp_path):
        path, written = (
            tmp_path / "x.tsv",
            frame_of_cells({"marks": [None, "a", "a;b"]}, self.SCHEMA),
        )
        write_table(path, written, self.SCHEMA, {})
        pd.testing.assert_frame_equal(read_table(path, self.SCHEMA), written)
        entry = json.loads(path.with_suffix(".json").read_text())["marks"]
        assert "Levels" not in entry
        assert "a: an a; b: a b" in entry["Description"]

    @pytest.mark.parametrize("value", ["c", "a;c", "a;", "a,b", ""])
    def test_others_are_refused(self, value, tmp_path):
        path = tmp_path / "x.tsv"
        write_table(path, frame_of_cells({"marks": ["a", value]}, self.SCHEMA), self.SCHEMA, {})
        with pytest.raises(DataError, match="which is not allowed"):
            read_table(path, self.SCHEMA)
