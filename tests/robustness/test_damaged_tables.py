"""A table of a participant that is damaged costs that participant, and nobody else a number."""

import json

import pytest
from study import read_tsv

from bids_secondlevel.cli.main import main


@pytest.fixture
def results(group_study, output):
    arguments = ["participant", "--no-report", "--n-procs", "1"]
    assert main([str(group_study.root), str(output), *arguments]) == 0
    return output


def table_of(output, label="01"):
    (path,) = output.glob(f"sub-{label}/func/*_desc-roi_estimates.tsv")
    return path


def cell(column, value):
    """Give the first row that has an estimate another value in a column."""

    def damage(header, *rows):
        first = next(row for row in rows if row[header.index("estimate")] != "n/a")
        first[header.index(column)] = value
        return header, *rows

    return damage


def another_column(header, *rows):
    return [*header, "estimate"], *([*row, "99"] for row in rows)


def a_row_twice(header, *rows):
    return header, rows[0], *rows[:-1]


DAMAGES = {
    "two columns of estimates": another_column,
    "a row in the place of another": a_row_twice,
    "nan": cell("estimate", "nan"),
    "inf": cell("estimate", "-inf"),
    "beyond what a computer holds": cell("estimate", "1e400"),
    "underscore": cell("estimate", "1_0"),
    "full-width digits": cell("estimate", "\uff11\uff12"),
    "not whole": cell("n_vertices", "2.5"),
    "no hemisphere": cell("hemi", "X"),
    "no status": cell("status", "fine"),
    "a number that is not there": cell("status", "empty_roi"),
    "another participant": cell("participant_id", "sub-02"),
}


def group(group_study, output):
    return main([str(group_study.root), str(output), "group", "--no-report"])


def check_that_01_is_out(output, caplog, path):
    statuses = {row["participant_id"]: set() for row in read_tsv(output / "group_estimates.tsv")}
    for row in read_tsv(output / "group_estimates.tsv"):
        statuses[row["participant_id"]].add(row["status"])
    assert statuses.pop("sub-01") == {"unreadable_table"}
    assert all("ok" in of_participant for of_participant in statuses.values())
    (row,) = (
        row
        for row in read_tsv(output / "group_statistics.tsv")
        if (row["task"], row["roi"], row["hemi"]) == ("main", "left", "both")
    )
    assert (row["n"], float(row["mean"])) == ("3", pytest.approx((42 + 43 + 46) / 3))
    assert str(path) in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_cells_columns_and_rows(damage, group_study, results, caplog):
    path = table_of(results)
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    damaged = DAMAGES[damage](*lines)
    path.write_text("".join("\t".join(line) + "\n" for line in damaged), encoding="utf-8")
    assert group(group_study, results) == 1
    check_that_01_is_out(results, caplog, path)


@pytest.mark.parametrize(
    "change",
    [
        {"MapsAre": 5},
        {"MapsAre": ["surfaces"]},
        {"Resampling": 5},
        {"Resampling": [["a"]]},
        {"Rois": {"left": 5, "right": 5}},
        {"Rois": ["left"]},
        {"LocalizerTask": float("-inf")},
    ],
    ids=str,
)
def test_sidecars(change, group_study, results, caplog):
    path = table_of(results).with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert group(group_study, results) == 1
    check_that_01_is_out(results, caplog, path)
