"""The pages in a browser: nothing is too wide, nothing fails, and what can be saved is whole."""

import csv
from xml.etree.ElementTree import canonicalize

import numpy as np
import pytest
from browser import look, needs_chromium
from study import make_study, read_tsv, write_gifti

from bids_secondlevel.cli.main import main
from bids_secondlevel.reports.page import Folded, Hyperlink, Page, Section, Table, render

LONG = "attendFacesInTheUpperLeftMinusHousesInTheLowerRightField"


def whole(svg):
    """Give the content of a picture, however it is written."""
    return canonicalize(svg, strip_text=True)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Results of two groups with troubles: no localizer, an empty ROI, few data, no map."""
    study = make_study(
        tmp_path_factory.mktemp("browser") / "bids", {f"0{i}": i**2 / 7 for i in range(1, 8)}
    )
    for label in study.offsets:
        for hemi in "LR":
            path = study.map_path(label, "main", hemi, LONG, "effect")
            write_gifti(path, np.full(12 if hemi == "L" else 10, int(label) / 700), hemi)
    for path in study.firstlevel.glob("sub-04/func/*task-loc*"):
        path.unlink()
    for hemi, n in (("L", 12), ("R", 10)):
        write_gifti(study.map_path("05", "loc", hemi, "left", "z"), np.zeros(n), hemi)
        values = np.full(n, np.nan)
        values[1] = 3
        write_gifti(study.map_path("06", "main", hemi, "attend", "effect"), values, hemi)
        study.map_path("07", "main", hemi, "attend", "effect").unlink()
    rows = [f"sub-{label}\t{'ab'[int(label) % 2]}" for label in study.offsets]
    (study.root / "participants.tsv").write_text("\n".join(["participant_id\tgroup", *rows]))
    output = study.root.with_name("out")
    common = [str(study.root), str(output)]
    options = ["--localizer-task", "loc", "--n-procs", "1"]
    assert main([*common, "participant", *options]) == 1
    assert main([*common, "group", "--group-by", "group"]) == 0
    return output


@needs_chromium
def test_pages_fit_their_width_and_what_is_saved_is_the_table(output, tmp_path):
    pages = [output / "group.html", output / "sub-01.html", output / "sub-05.html"]
    found = look(pages, tmp_path)
    for name, page in found.items():
        assert page["troubles"] == [], name
        assert page["cut"] == [], name
        assert page["scroll"] == page["width"] == int(name.split()[1]), name
        for table in page["tables"]:
            if table["room"] >= 650 and table["columns"] > 3:
                assert table["height"] < 40, table  # one line
    (main_table,) = (t for t in found["group.html 400"]["tables"] if "both hemisph" in t["caption"])
    assert {"contrast", "roi", "mean", "p"} <= set(main_table["header"])

    saved = dict(found["group.html 1400"]["files"])
    text = saved["Tests_against_0_both_hemispheres_pooled.tsv"]
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    there = [
        row
        for row in read_tsv(output / "group_statistics.tsv")
        if row["hemi"] == "both" and row["independence"] == "independent"
    ]
    assert len(rows) == len(there) > 4
    for row, tested in zip(rows, there, strict=True):
        assert row["contrast"] == tested["contrast"]
        assert row["excluded"] == tested["excluded"]
        for name in ("mean", "p", "t"):
            assert row[name] == tested[name] or float(row[name]) == float(tested[name])
    figures = [whole(text) for name, text in saved.items() if name.endswith(".svg")]
    assert len(figures) >= 2
    assert set(figures) <= {whole(path.read_text()) for path in (output / "figures").iterdir()}


@needs_chromium
def test_tables_of_any_labels_fit(tmp_path):
    numbers = [0.5, -1e-7, 123456.789, None]
    rows = [
        ["中" * 30, "m" * n, Hyperlink("W" * n, "sub-01.html"), Folded("2 empty_roi", "x" * 900)]
        + [number] * 12
        for n, number in zip((3, 20, 60, 36), numbers, strict=True)
    ]
    names = ["contrast", "roi", "participant_id", "excluded", "mean", "ci95_low", "ci95_high", "p"]
    header = [*names, *(f"another_column_{i}" for i in range(8))]
    tables = [Table("Wide", header, rows), Table("Files", ("used for", "file"), [("a", "y" * 300)])]
    path = tmp_path / "page.html"
    path.write_text(render(Page("w" * 200, "w" * 200, [Section("v" * 200, tables=tables)])))
    (tmp_path / "copy").mkdir()
    for name, page in look([path], tmp_path / "copy").items():
        assert page["cut"] == [], name
        assert page["scroll"] == page["width"], name
