"""Names that reach for other folders, a shell or a browser are taken as the text they are."""

import json
import os
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, ScalarAxis
from study import AREA, ECCENTRICITY, Study, contents, describe, make_study, write_gifti

from bids_secondlevel.cli.main import main
from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.outputs.results import read_participants
from bids_secondlevel.outputs.tables import read_table, write_table
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS, EstimateRow

SCRIPT = "<img src=x onerror=alert(1)>\"'&$(touch evil) `touch evil`; ü 日本"
HOSTILE = [
    "../../evil",
    "sub-01/../../evil",
    "/evil",
    "..",
    "a b",
    "日本",
    "<script>alert(1)</script>",
    "$(touch evil)",
    "`touch evil`",
    "x;touch evil",
    "|touch evil",
    "a\nb",
    "{{7*7}}",
    "*",
    "\0",
]


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.attributes, self.sources, self.text, self.inside = set(), set(), "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.sources |= {(tag, value) for name, value in attrs if name == "src"}
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.inside.append(tag)

    def handle_endtag(self, tag):
        self.inside.remove(tag)

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside):
            self.text += data


def pages(output):
    return {path.name: Elements(path.read_text(encoding="utf-8")) for path in output.glob("*.html")}


def files_around(folder, output):
    return {name for name in contents(folder) if not name.startswith(f"{output.name}/")}


def level(study, output, *options):
    return main([str(study.root), str(output), *map(str, options)])


def rename_retinotopy(study, label, tag):
    for path in list(study.surf(label).glob("?h.benson14_*")):
        path.rename(path.with_name(path.name.replace("benson14", tag)))


def test_folders_files_and_cells_with_markup_and_shell_commands(tmp_path, monkeypatch, caplog):
    study = make_study(tmp_path / f"bids {SCRIPT}", {"01": 0.0, "02": 1.0})
    output = tmp_path / f"out {SCRIPT}"
    for name in ("..x", "a b", SCRIPT, "日本", "x;touch evil"):
        (study.root / f"sub-{name}").mkdir()
        (study.freesurfer / f"sub-{name}").mkdir()
    for label in study.offsets:
        rename_retinotopy(study, label, SCRIPT)
        path = study.map_path(label, "main", "L", "attend", "effect")
        shutil.copy(path, path.with_name(path.name.replace("attend", SCRIPT)))
        shutil.copy(path, path.with_name("sub-01_x\nERROR: forged.func.gii"))
        shutil.copy(path, os.fsencode(path).replace(b"attend", b"not-utf-8-\xff"))
    table = f"participant_id\tage\t{SCRIPT.replace('`', '')}\nsub-01\t3\t{SCRIPT}\nsub-02\t5\ty\n"
    (study.root / "participants.tsv").write_text(f"{table}sub-../../evil\t3\tx\n")
    excluded = tmp_path / "excluded.tsv"
    excluded.write_text(f"participant_id\treason\nsub-02\t{SCRIPT}\n")
    before = files_around(tmp_path, output)
    monkeypatch.chdir(tmp_path)

    assert level(study, output, "participant", "--n-procs", "1") == 0
    assert level(study, output, "group", "--exclude", excluded) == 0

    assert files_around(tmp_path, output) == before
    names = set(contents(output))
    assert names >= {"sub-01.html", "sub-02.html", "group.html"}
    assert all(name.isascii() and " " not in name for name in names)
    for name, page in pages(output).items():
        assert not {attribute for _, attribute in page.attributes if attribute[:2] == "on"}, name
        assert ("img", "x") not in page.sources, name
        assert SCRIPT in unquote(" ".join(page.text.split())), name
    assert "forged" not in [record.getMessage()[:6] for record in caplog.records]


@pytest.mark.parametrize("name", HOSTILE)
def test_options_and_configurations_that_reach_for_other_folders(name, study, output, monkeypatch):
    monkeypatch.chdir(study.root.parent)
    config = study.root.parent / "config.toml"
    before = contents(study.root.parent)
    for option in (
        *("--participant-label", "--session-label", "--localizer-task", "--roi-contrasts"),
        *("--task-label", "--contrasts", "--space", "--visual-areas", "--statistic"),
    ):
        assert level(study, output, "participant", f"{option}={name}") in (18, 64, 66), option
        assert contents(study.root.parent) == before, option
    config.write_text(tomli_w.dumps({"roi": [{"name": name, "contrasts": ["left"]}]}))
    assert level(study, output, "participant", "--config", config) == 64
    assert not output.exists()


def test_names_of_maps_in_cifti_files(tmp_path, monkeypatch):
    study = Study(tmp_path / "bids")
    (study.root / "sub-01").mkdir(parents=True)
    describe(study.root, "maps by name", "raw")
    describe(study.firstlevel, "glm")
    glm = study.firstlevel / "sub-01"
    for hemi in "LR":
        for kind, values in (("varea", AREA[hemi]), ("eccen", ECCENTRICITY[hemi])):
            name = f"sub-01_hemi-{hemi}_desc-benson14_{kind}.func.gii"
            write_gifti(glm / "anat" / name, values, hemi)
    axis = BrainModelAxis.from_surface(np.arange(12), 12, "CIFTI_STRUCTURE_CORTEX_LEFT")
    axis += BrainModelAxis.from_surface(np.arange(10), 10, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    names = ["../../evil", SCRIPT, "a/b c", "$(touch evil)"]
    values = np.full((len(names), 22), 3.0, "f4")
    (glm / "func").mkdir()
    for task, stat in (("loc", "z"), ("main", "effect")):
        image = nib.Cifti2Image(values, (ScalarAxis(names), axis), dtype=np.float32)
        image.to_filename(glm / "func" / f"sub-01_task-{task}_stat-{stat}_statmap.dscalar.nii")
    before, output = contents(tmp_path), tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    code = level(study, output, "participant", "--n-procs", "1")
    around = {k: v for k, v in contents(tmp_path).items() if not k.startswith("out/")}
    assert around == before
    assert code == 0
    masks = [path.name for path in output.rglob("*_desc-combined_mask.label.gii")]
    assert len(masks) == 2 * len(names)
    assert any("_label-evil_" in name for name in masks)
    assert all(name.isascii() and "/" not in name for name in masks)


@pytest.mark.parametrize(
    "model",
    [
        "estimate ~ __import__('os').system('touch evil')",
        "estimate ~ open('evil', 'w')",
        "estimate ~ {open('evil', 'w').write('x')}",
        "estimate ~ I(open('evil', 'w'))",
        "estimate ~ eval('1')",
        "estimate ~ age.__class__.__mro__",
        "estimate ~ `../../evil`",
        "../../evil.json",
        "estimate ~ " + "(" * 5000,
        "estimate ~ age**999999999",
    ],
)
def test_models_that_run_code(model, tmp_path, monkeypatch, group_results):
    study, output = group_results
    monkeypatch.chdir(tmp_path)
    before = contents(output)
    assert level(study, output, "group", "--no-report", "--model", model) in (64, 65, 66)
    assert not list(tmp_path.iterdir())
    assert {k: v for k, v in contents(output).items() if k in before} == before


@pytest.fixture(scope="module")
def group_results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    study = make_study(folder / "bids", {"01": 0.0, "02": 1.0, "03": 4.0})
    table = "participant_id\tage\nsub-01\t3\nsub-02\t5\nsub-03\t7\n"
    (study.root / "participants.tsv").write_text(table)
    output = folder / "out"
    assert level(study, output, "participant", "--no-report", "--n-procs", "1") == 0
    assert level(study, output, "group", "--no-report") == 0
    return study, output


@pytest.mark.parametrize("name", ["../../evil", "x/../../../evil", 7, None, ["a"]])
def test_records_of_pages_that_reach_for_other_folders(name, tmp_path):
    (tmp_path / "logs").mkdir()
    record = {"Session": "a", "Space": "a", "Inputs": [], "Messages": [], "Errors": []}
    for key in ("Session", "Space", "Inputs"):
        if name is None and key != "Inputs":
            continue
        content = {**record, "CortexDrawn": False, key: name}
        (tmp_path / "logs" / "sub-01_report.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"sub-01_report\.json"):
            read_participants("01", tmp_path)


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20
).filter(lambda text: text != "n/a")


@settings(max_examples=30, derandomize=True, database=None)
@given(TEXT, TEXT, st.floats(allow_nan=False, allow_infinity=False))
def test_tables_with_any_text_come_back_as_they_were(tmp_path_factory, one, two, number):
    path = tmp_path_factory.getbasetemp() / "any" / "x.tsv"
    key = ("sub-01", one, two, one, two, "L", one or None, "effect")
    row = EstimateRow(*key, estimate=number, status="ok", independence="independent")
    written = frame_of([row, row], EstimateRow)
    write_table(path, written, ESTIMATE_COLUMNS, {"Note": one})
    pd.testing.assert_frame_equal(read_table(path, ESTIMATE_COLUMNS), written)
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["Note"] == one


def test_labels_that_differ_in_case_only(tmp_path):
    """Such participants are two; such contrasts are one, as tools change the case of names."""
    study = make_study(tmp_path / "bids", {"a": 0.0, "A": 50.0})
    output = tmp_path / "out"
    assert level(study, output, "participant", "--no-report", "--n-procs", "1") == 0
    (one,) = output.glob("sub-a/func/*_desc-roi_estimates.tsv")
    (other,) = output.glob("sub-A/func/*_desc-roi_estimates.tsv")
    assert one.read_text() != other.read_text()
    assert level(study, output, "group", "--no-report") == 0
    for stat in ("z", "effect"):
        for hemi in "LR":
            path = study.map_path("a", "loc", hemi, "left", stat)
            shutil.copy(path, path.with_name(path.name.replace("left", "Left")))
    assert level(study, output, "participant", "--no-report", "--participant-label", "a") == 64
