"""The pages of participants and group, read as a browser would."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote

import nibabel as nib
import pytest
from study import contents, make_group_study, read_tsv, write_gifti

from bids_secondlevel import __version__
from bids_secondlevel.cli.main import main
from bids_secondlevel.core.roi_rule import components, roi_colours
from bids_secondlevel.outputs.group_results import read_group
from bids_secondlevel.outputs.names import GroupFolder
from bids_secondlevel.reports.charts.style import Chart, inks
from bids_secondlevel.reports.methods import group_methods
from bids_secondlevel.reports.page import Hyperlink, Page, Section, Table, render, shown

VOID = ("meta", "link", "img", "br", "wbr")


class Document(HTMLParser):
    """Tags with their attributes, headings, texts, and the exact cells of tables by caption."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.headings, self.tables, self.texts = [], [], [], {}, []
        self._rows, self._exact, self._caption = [], [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._rows, self._exact, self._caption = [], [], ""
        if tag == "tr":
            self._rows.append([])
            self._exact.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
            self._exact[-1].append(dict(attrs).get("data-v"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self._caption.strip()] = [
                [whole or text for text, whole in zip(*both, strict=True)]
                for both in zip(self._rows, self._exact, strict=True)
            ]

    def handle_data(self, data):
        where = self.open[-1] if self.open else ""
        if where in ("h1", "h2", "h3"):
            self.headings.append((where, data))
        if "td" in self.open or "th" in self.open:
            self._rows[-1][-1] += data
        elif where == "caption":
            self._caption += data
        if where not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def records(self, caption):
        header, *rows = self.tables[caption]
        return [dict(zip(header, row, strict=True)) for row in rows]


def read(path):
    return Document(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The results of both levels, made once for all tests of this file."""
    study = make_group_study(tmp_path_factory.mktemp("pages") / "bids")
    output = study.root.with_name("out")
    common = [str(study.root), str(output)]
    assert main([*common, "participant", "--n-procs", "1", "--sweep"]) == 0
    assert main([*common, "group"]) == 0
    return output


@pytest.fixture
def results(finished, group_study, output):
    """A copy of the results, beside a copy of the study that they are of."""
    assert group_study.root.parent == output.parent
    return shutil.copytree(finished, output)


def test_pages_stand_alone_and_can_be_read_aloud(results):
    for path in (results / "sub-01.html", results / "group.html"):
        page = read(path)
        assert page.open == []
        assert ("html", {"lang": "en"}) in page.tags
        for tag, attributes in page.tags:
            for name in ("src", "href", "srcset", "action", "data"):
                address = attributes.get(name, "data:")
                assert address.startswith(("data:", "#")) or re.fullmatch(
                    r"sub-\d\d\.html", address
                ), (tag, attributes)
            if attributes.get("role") == "img":
                assert len(attributes["aria-label"]) > 20
            if tag == "th":
                assert attributes["scope"] == "col"
        text = path.read_text()
        assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest", text)
        levels = [int(level[1]) for level, _ in page.headings]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        anchors = [a["id"] for tag, a in page.tags if tag == "section"]
        links = [a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"][0] == "#"]
        assert links == anchors
        pictures = [a for _, a in page.tags if a.get("role") == "img"]
        assert len(pictures) == [tag for tag, _ in page.tags].count("svg") > 3
        identifiers = [a["id"] for _, a in page.tags if "id" in a]
        assert len(set(identifiers)) == len(identifiers)


def test_the_page_of_a_participant_says_what_the_tables_say(results):
    page = read(results / "sub-01.html")
    (path,) = results.glob("sub-01/func/*_desc-roi_estimates.tsv")
    rows = read_tsv(path)
    told = page.records("Estimates in the units of the maps")
    assert len(told) == len(rows)
    for row, cells in zip(rows, told, strict=True):
        for name, cell in cells.items():
            if row[name] == "n/a" or not re.fullmatch(r"[-\d.e]+", row[name]):
                assert cell == row[name]
            else:
                assert float(cell) == pytest.approx(float(row[name]), rel=1e-12)
    pooled = [row["estimate"] != "n/a" for row in rows if row["hemi"] == "both"]
    assert all(pooled)
    assert f"All {len(pooled)} estimates of both hemispheres exist" in page.text
    missing = [row for row in rows if row["estimate"] == "n/a"]
    (gap,) = page.records("Missing estimates")
    (where,) = {f"{row['roi']} ({row['hemi']})" for row in missing}
    assert (gap["status"], gap["contrasts"], gap["ROIs"]) == ("empty_roi", "all", where)
    assert "V1 with an eccentricity above 0 and below 5 degrees" in page.text
    assert "z > 1.96" in page.text


def test_the_files_that_were_used_are_named(results):
    files = {row["used for"]: row["file"] for row in read(results / "sub-01.html").records("Files")}
    assert files["retinotopy, L"].startswith("bids:freesurfer:sub-01/surf/lh.benson14_")
    assert files["localizer left, R"].endswith(
        "hemi-R_space-fsnative_contrast-left_stat-z_statmap.func.gii"
    )


def test_the_page_of_the_group_says_what_the_tables_say(results):
    page = read(results / "group.html")
    told = page.records("Tests against 0, both hemispheres pooled")
    rows = [
        row
        for row in read_tsv(results / "group_statistics.tsv")
        if row["hemi"] == "both" and row["independence"] == "independent"
    ]
    assert len(told) == len(rows) == 2
    for row, cells in zip(rows, told, strict=True):
        for name in ("mean", "t", "p", "p_fwe", "q_fdr", "hedges_g"):
            assert float(cells[name]) == pytest.approx(float(row[name]), rel=1e-12)
    circular = page.records("Check of the localizer: circular estimates, not tested")
    assert all("p" not in row for row in circular)
    assert "4 of 4 participants have estimates of both hemispheres" in page.text


def test_who_is_left_out_is_named_with_the_reason(results, group_study, tmp_path):
    for label in ("08", "09"):
        (group_study.root / f"sub-{label}").mkdir()
    (path,) = results.glob("sub-04/func/*_desc-roi_estimates.tsv")
    path.write_text("broken")
    exclude = tmp_path / "exclude.tsv"
    exclude.write_text("participant_id\treason\n02\tmoved <b>a lot</b>\n")
    common = [str(group_study.root), str(results)]
    assert main([*common, "group", "--exclude", str(exclude)]) == 1
    page = read(results / "group.html")
    assert "sub-02 has no estimates: excluded (moved <b>a lot</b>)." in page.texts
    assert any(text.startswith("sub-04 has no estimates: unreadable_table") for text in page.texts)
    together = "sub-08, sub-09 have no estimates: missing_participant"
    assert any(text.startswith(together) for text in page.texts)
    hrefs = [a["href"] for tag, a in page.tags if tag == "a" and a["href"].endswith(".html")]
    assert hrefs == ["sub-01.html", "sub-02.html", "sub-03.html", "sub-04.html"] * 2
    badges = [attributes["class"] for tag, attributes in page.tags if tag == "li" and attributes]
    assert badges == ["check", "unusable", "check", "unusable", "unusable", "unusable"]


def test_what_a_run_had_to_say_is_on_the_page(study, output):
    study.map_path("01", "main", "R", "attend", "effect").unlink()
    assert main([str(study.root), str(output), "participant"]) == 66
    page = read(output / "sub-01.html")
    assert any("hemisphere R is missing" in text for text in page.texts)


def test_nothing_is_drawn_of_rois_that_do_not_exist(study, output):
    for path in study.firstlevel.rglob("*task-loc*"):
        path.unlink()
    study.add_participant("02")
    assert main([*map(str, (study.root, output)), "participant"]) == 1
    page = read(output / "sub-01.html")
    assert "0 of 6 estimates of both hemispheres exist" in page.text
    titles = [title for level, title in page.headings if level == "h3"]
    assert not any(title.startswith(("Sizes", "Overlap", "Estimates")) for title in titles)
    assert set(page.tables) == {"Missing estimates", "Files"}
    (gap,) = page.records("Missing estimates")
    assert (gap["status"], gap["contrasts"], gap["ROIs"]) == ("missing_localizer", "all", "all")


def test_without_pages_the_numbers_are_the_same(group_study, results, tmp_path):
    bare = tmp_path / "bare"
    common = [str(group_study.root), str(bare)]
    assert main([*common, "participant", "--sweep", "--no-report", "--n-procs", "1"]) == 0
    assert main([*common, "group", "--no-report"]) == 0
    others = ("dataset_description.json", "_report.json", "_run.json")
    left = {name for name in contents(bare) if not name.endswith(others)}
    assert not any(name.endswith((".html", ".svg")) for name in left)
    with_pages = contents(results)
    assert {n: contents(bare)[n] for n in left} == {n: with_pages[n] for n in left}
    # Pages can be had later; only the cortex has to be drawn from the maps.
    assert main([*common, "participant", "--reports-only"]) == 0
    assert any("--no-report" in text for text in read(bare / "sub-01.html").texts)


def test_without_pages_those_of_an_earlier_run_go(results, group_study):
    common = [str(group_study.root), str(results)]
    assert main([*common, "participant", "--no-report", "--n-procs", "1"]) == 0
    assert main([*common, "group", "--no-report"]) == 0
    assert not [name for name in contents(results) if name.endswith((".html", ".svg"))]


def test_who_has_one_hemisphere_only_is_told_apart(group_study, output, caplog):
    (group_study.surf("04") / "rh.benson14_eccen.mgz").unlink()
    common = [str(group_study.root), str(output)]
    assert main([*common, "participant", "--no-report", "--n-procs", "1"]) == 1
    assert main([*common, "group"]) == 0
    page = read(output / "group.html")
    assert any(
        text.startswith("sub-04 has no estimate of both hemispheres, only of L: missing_retinotopy")
        for text in page.texts
    )
    assert "3 of 4 participants have estimates of both hemispheres" in page.text
    assert "Estimates of 3 participants" in (output / "logs" / "CITATION.md").read_text()
    assert "sub-04: no retinotopy" in caplog.text


def test_pages_are_written_again_from_the_results_alone(results, group_study):
    before = contents(results)
    pages = [results / f"sub-0{i}.html" for i in (1, 2, 3, 4)]
    for page in (*pages, results / "group.html", *results.glob("figures/*")):
        page.unlink()
    shutil.rmtree(group_study.root / "derivatives")
    common = [str(group_study.root), str(results)]
    assert main([*common, "participant", "--reports-only"]) == 0
    assert main([*common, "group", "--reports-only"]) == 0
    assert contents(results) == before


def test_pages_of_what_is_not_there(results, group_study, tmp_path, capsys):
    common = [str(group_study.root), str(results)]
    assert main([*common, "participant", "--reports-only", "--participant-label", "77"]) == 18
    assert main([*common, "participant", "--reports-only", "--no-report"]) == 64
    (results / "logs" / "sub-02_report.json").write_text("{")
    assert main([*common, "participant", "--reports-only"]) == 1
    empty = [str(group_study.root), str(tmp_path / "empty")]
    assert main([*empty, "participant", "--reports-only"]) == 66
    assert main([*empty, "group", "--reports-only"]) == 66
    assert "Run the group level first" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_costs_no_number(group_study, output, caplog):
    (output / "sub-02.html" / "in the way").mkdir(parents=True)
    (output / "group.html" / "in the way").mkdir(parents=True)
    common = [str(group_study.root), str(output)]
    labels = ["--participant-label", "02", "03"]
    assert main([*common, "participant", "--n-procs", "1", *labels]) == 1
    assert "the tables are written, the page is not" in caplog.text
    assert len(list(output.glob("sub-02/func/*_desc-roi_estimates.tsv"))) == 1
    assert (output / "sub-03.html").is_file()
    assert main([*common, "group"]) == 73
    assert (output / "group_statistics.tsv").exists()


def test_charts_of_an_earlier_run_go(results, group_study):
    assert list(results.glob("sub-01/figures/sub-01_*sweep*.svg"))
    assert list(results.glob("figures/group_*sweep*.svg"))
    common = [str(group_study.root), str(results)]
    assert main([*common, "participant", "--participant-label", "01"]) == 0
    assert not list(results.glob("sub-01/func/*sweep*"))
    for path in results.glob("sub-*/func/*sweep*"):
        path.unlink()
    assert main([*common, "group"]) == 0
    assert not list(results.glob("sub-01/figures/sub-01_*sweep*.svg"))
    assert not list(results.glob("figures/group_*sweep*.svg"))
    assert "Sensitivity" not in read(results / "group.html").text


def pictures_of(output, *kinds):
    """Figures that are there, by format."""
    found = {kind: set() for kind in kinds}
    for path in output.rglob("figures/*_c*.*"):
        found.setdefault(path.suffix[1:], set()).add(path.with_suffix("").name)
    return found


def test_figures_are_written_in_the_formats_that_were_asked_for(results, group_study):
    common = [str(group_study.root), str(results)]
    formats = ["--figure-format", "svg", "png", "pdf"]
    first = pictures_of(results)
    assert set(first) == {"svg"}
    for level in ("participant", "group"):
        assert main([*common, level, "--reports-only", *formats]) == 0
    found = pictures_of(results)
    assert found == {"svg": first["svg"], "png": first["svg"], "pdf": first["svg"]}
    for path in (results / "sub-01.html", results / "group.html"):
        links = [a["href"] for tag, a in read(path).tags if tag == "a"]
        links = [href for href in links if href.endswith((".png", ".pdf"))]
        assert len(links) >= 4
        assert all((results / unquote(href)).is_file() for href in links)
    before = contents(results)
    assert main([*common, "group", "--reports-only", *formats]) == 0
    assert contents(results) == before
    for level in ("participant", "group"):
        assert main([*common, level, "--reports-only", "--figure-format", "png"]) == 0
    assert pictures_of(results) == {"png": first["svg"]}
    assert main([*common, "group", "--figure-format", "gif"]) == 64


def test_an_roi_has_the_same_colour_on_every_page_and_in_label_files(results, group_study):
    common = [str(group_study.root), str(results)]
    assert main([*common, "group", "--roi-contrasts", "right", "--task-label", "main"]) == 0
    colours = inks(["left", "right"])
    chart = (results / "figures" / "group_desc-sizes_chart.svg").read_text()
    assert f"fill='{colours['right']}'" in chart
    assert f"fill='{colours['left']}'" not in chart
    (of_participant,) = results.glob("sub-01/figures/*task-main*_desc-estimates_chart.svg")
    assert all(colour in of_participant.read_text() for colour in colours.values())
    (labels,) = results.glob("sub-01/anat/*_hemi-L_*_seg-roi_dseg.label.gii")
    found = {label.label: label.rgba[:3] for label in nib.load(labels).labeltable.labels}
    for name, colour in roi_colours(["left", "right"]).items():
        assert found[name] == pytest.approx(components(colour), abs=0.01)


def test_sessions_of_their_own_have_pages_of_their_own(study, output):
    for session in ("1", "2"):
        for hemi in ("L", "R"):
            name = study.map_path("01", "main", hemi, "attend", "effect").name
            folder = study.firstlevel / "sub-01" / f"ses-{session}" / "func"
            path = folder / name.replace("sub-01_", f"sub-01_ses-{session}_")
            write_gifti(path, [float(session)] * (12 if hemi == "L" else 10), hemi)
            study.map_path("01", "main", hemi, "attend", "effect").unlink(missing_ok=True)
    common = [str(study.root), str(output), "participant", "--task-label", "main"]
    for session in ("1", "2"):
        assert main([*common, "--session-label", session]) == 0
    assert main(common) == 0
    names = {path.name for path in output.glob("*.html")}
    assert names == {"sub-01.html", "sub-01_ses-1.html", "sub-01_ses-2.html"}
    charts = {
        path.name.split("_task")[0] for path in output.glob("sub-01/figures/*stimates_chart.svg")
    }
    assert charts == {"sub-01_ses-1", "sub-01_ses-2"}


def test_the_first_screen_names_study_version_and_who_is_ready(results):
    page = read(results / "group.html")
    assert page.headings[:2] == [("h1", "tiny study"), ("h2", "Who is ready")]
    assert f"bids_secondlevel {__version__}" in page.text
    assert "bids_secondlevel BIDS_DIR OUTPUT_DIR group" in page.texts
    assert "4 to check." in page.texts
    assert "sub-01, sub-02, sub-03, sub-04: few vertices in left (3), right (2)." in page.texts
    said = (results / "logs" / "results.md").read_text().split("\n- ")[1:]
    tests = [line.strip() for line in said]
    assert len(tests) >= 2
    assert all(page.texts.count(line) == 1 for line in tests)
    page = read(results / "sub-01.html")
    assert page.headings[1] == ("h2", "Verdict")
    assert "2 of 2 ROIs with vertices (left 3, right 2)" in page.text


def test_sections_that_do_not_apply_are_not_there(group_study, output):
    common = [str(group_study.root), str(output)]
    options = ["--task-label", "main", "--roi-contrasts", "left", "--n-procs", "1", "--hemi", "L"]
    assert main([*common, "participant", *options]) == 0
    assert main([*common, "group"]) == 0
    headings = {text for _, text in read(output / "group.html").headings}
    assert headings.isdisjoint(
        {"Comparisons", "Check of the localizer", "Model", "Planned contrasts"}
    )
    headings = {text for _, text in read(output / "sub-01.html").headings}
    assert headings.isdisjoint({"Missing estimates", "Sweep"})


def test_methods_and_references_can_be_saved(results):
    for name in ("group.html", "sub-01.html"):
        links = {a["download"]: a["href"] for _, a in read(results / name).tags if "download" in a}
        bib = unquote(links["references.bib"].partition(",")[2])
        assert bib.count("@article{") >= 1
        assert unquote(links["methods.md"].partition(",")[2]).startswith("# Methods")
        if name == "group.html":
            assert bib == (results / "logs" / "CITATION.bib").read_text()


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_can_be_told_from_its_ground():
    style = render(Page("", "", ())).partition("<style>")[2].partition("</style>")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", style))
    used = re.findall(r"[ {;](color|background): ([^;}]+)", style)
    assert {value for _, value in used if not value.startswith("var(--")} <= {"none"}
    texts, grounds = (
        {colours[value[6:-1]] for kind, value in used if kind == what and value != "none"}
        for what in ("color", "background")
    )
    assert len(texts) >= 5
    for text in texts:
        for ground in grounds:
            dark, light = sorted((luminance(text), luminance(ground)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.1, 1.4.3


def test_a_sentence_of_a_caption_is_said_once():
    chart = Chart(name="c", svg=b"<svg></svg>", title="", caption="One. Two 1.5 s. Three.", alt="")
    other = Chart(name="d", svg=b"<svg></svg>", title="", caption="One. Four. Three.", alt="")
    section = Section("", charts=(chart, other, chart))
    assert section.captions == ["One. Two 1.5 s. Three.", "Four.", ""]


def test_what_is_the_same_in_all_rows_is_said_in_the_caption():
    rows = [("sub-01", "main", 8, 0.5), ("sub-02", "main", 8, 0.25)]
    table = Table("Values", ("participant_id", "task", "n", "mean"), rows)
    assert table.about == "task main, n 8"
    assert table.classes == ["", "z", "z n", "n"]
    page = Document(render(Page("", "", [Section("", tables=[table])])))
    second = page.records("Values")[1]
    assert second == {"participant_id": "sub-02", "task": "main", "n": "8", "mean": "0.25"}


HOSTILE = "<script>alert('x')</script> & \" {{ 7 * 7 }} $x^2$"


def test_the_kind_of_a_difference_is_shown_on_narrow_pages_too():
    columns = ("contrast", "profile", "mean", "ci95_low", "ci95_high", "t", "p")
    kinds = ("horizontal_minus_vertical", "lower_minus_upper")
    rows = [
        (f"contrast{i // 2}", kinds[i % 2], 0.25 * i, 0.5 * i, 0.75 * i, 3.5 + i, 0.03 / (1 + i))
        for i in range(4)
    ]
    of_columns = dict(zip(columns, Table("Differences", columns, rows).classes, strict=True))
    assert (of_columns["contrast"], of_columns["profile"], of_columns["mean"]) == ("", "", "n")
    assert of_columns["ci95_low"].startswith("r")


def test_labels_are_text():
    chart = Chart(name="c", svg=b"<svg></svg>", title=HOSTILE, caption=HOSTILE, alt=HOSTILE)
    table = Table(
        HOSTILE, [HOSTILE], [[HOSTILE], [Hyperlink(HOSTILE, "sub-01.html")], [None], [1.5]]
    )
    section = Section(HOSTILE, (HOSTILE,), (HOSTILE,), (chart,), (table,), HOSTILE)
    page = Document(render(Page(HOSTILE, HOSTILE, (section,))))
    assert [tag for tag, _ in page.tags].count("script") == 1  # the one that sorts tables
    # Title, heading, summary, entry of the list of sections, section, text, note, title and
    # caption of the chart, caption, header and two cells of the table, and code.
    assert page.texts.count(HOSTILE) == 14
    pictures = [a["aria-label"] for _, a in page.tags if a.get("role") == "img"]
    assert pictures == [HOSTILE]
    assert page.tables[HOSTILE][3:] == [["n/a"], ["1.5"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (12345, "12345"), (0.00012345, "0.0001234"), (-1234.5, "-1234"), ("a", "a")],
)
def test_numbers_for_readers(value, text):
    assert shown(value) == text


def test_long_tables_are_gone_through_a_few_times_only():
    class Rows(list):
        passes = 0

        def __iter__(self):
            self.passes += 1
            return super().__iter__()

    passes = []
    for n_rows in (5, 500):
        rows = Rows([f"sub-{number}", number] for number in range(n_rows))
        text = render(Page("", "", [Section("", tables=[Table("", ("who", "n"), rows)])]))
        assert text.count("<td") + text.count("<th") >= 2 * n_rows
        passes.append(rows.passes)
    assert passes[0] == passes[1]


def test_the_methods_text_says_what_was_done(results, group_study):
    text = (results / "logs" / "CITATION.md").read_text()
    assert "retinotopic maps: benson14 (" in text
    assert "Benson et al., 2014" in text
    assert "z > 1.96" in text
    assert "Estimates of 4 participants were analysed" in text
    bib = (results / "logs" / "CITATION.bib").read_text()
    assert bib.count("@article{") == text.split("# References")[1].count("\n- ")
    common = [str(group_study.root), str(results)]
    assert main([*common, "group", "--n-permutations", "0", "--no-report"]) == 0
    assert "Nichols" not in (results / "logs" / "CITATION.md").read_text()
    assert main([*common, "participant", "--no-report", "--participant-label", "01"]) == 0
    assert "participants were analysed" in (results / "logs" / "CITATION.md").read_text()


def methods_of(output):
    return " ".join((output / "logs" / "CITATION.md").read_text().split())


@pytest.mark.parametrize(
    ("options", "said", "unsaid"),
    [
        ([], "tests of a contrast, in all ROIs, in both hemispheres pooled", "all tests of a task"),
        (["--family", "task"], "over all tests of a task, in both hemispheres", "of a contrast"),
        (["--hemi", "R"], "in all ROIs, in the right hemisphere;", "both hemispheres pooled"),
        (["--hemi", "L"], "was tested against 0", "between hemispheres"),
        (["--task-label", "main"], "with Student's t", "circular"),
        ([], "circular", "median"),
        (["--min-vertices", "3"], "of fewer than 3 vertices were excluded (sub-01, sub-02", "%"),
        ([], "participants were flipped (all possible flips), and p", "random"),
        (["--n-permutations", "9"], "flipped (9 random flips), and p", "all possible"),
        (["--n-permutations", "0"], "corrected after Holm (1979), over the bins", "flip"),
        ([], "by the largest |t| under sign flips and after Holm (1979), over the bins", "Holm, "),
        ([], "all vertices of each visual area in bins of eccentricity. Neither", "polar angle"),
    ],
)
def test_the_methods_text_says_what_was_done_and_nothing_else(
    results, group_study, options, said, unsaid
):
    common = [str(group_study.root), str(results), "group", "--no-report"]
    assert main([*common, *options]) == 0
    text = methods_of(results).replace("95 % confidence", "").replace("FDR", "")
    assert "Estimates of 4 participants were analysed" in text
    assert said in text
    assert unsaid not in text.partition("# References")[0]


def test_flips_of_everybody_may_be_random_though_those_of_each_test_are_not(results, group_study):
    assert main([str(group_study.root), str(results), "group", "--no-report"]) == 0
    found = read_group(GroupFolder(results))
    few = {"n": 3.0, "n_flips": 8.0}  # of four participants, another three in each test
    found = replace(
        found,
        inference=replace(found.inference, n_permutations=9),
        **{name: getattr(found, name).assign(**few) for name in ("statistics", "comparisons")},
    )
    text = " ".join(group_methods(found).paragraphs)
    assert "all possible flips, or 9 random ones if there were more" in text
    every = replace(found, inference=replace(found.inference, n_permutations=16))
    assert "flipped (all possible flips), and p" in " ".join(group_methods(every).paragraphs)


def test_the_methods_text_names_planned_contrasts(results, group_study, tmp_path):
    common = [str(group_study.root), str(results), "group", "--no-report", "--config"]
    config = tmp_path / "planned.toml"
    one, other = (f'[[planned]]\nname = "{of}"\ntask = "main"\nroi = "left"\n' for of in "ab")
    config.write_text(one)
    assert main([*common, str(config)]) == 0
    assert "The planned contrast (a weighted sum of the estimates" in methods_of(results)
    config.write_text(one + other)
    assert main([*common, str(config)]) == 0
    assert "The 2 planned contrasts (weighted sums of the estimates" in methods_of(results)


def test_the_methods_text_of_other_rules(study, output):
    options = ["--tail", "less", "--summary", "median", "--eccentricity", "1", "4", "--no-report"]
    assert main([str(study.root), str(output), "participant", *options]) == 0
    text = (output / "logs" / "CITATION.md").read_text()
    assert "z < -1.96" in text
    assert "above 1 and below 4 degrees" in text
    assert "summarized by their median" in text
    assert "participants were analysed" not in text
    assert "of eccentricity and polar angle. Neither" in text
    assert main([str(study.root), str(output), "participant", "--no-visual-field"]) == 0
    assert "visual area in bins" not in (output / "logs" / "CITATION.md").read_text()
