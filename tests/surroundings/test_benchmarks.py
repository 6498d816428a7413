"""The benchmarks run, and what they compare does the same work."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from study import estimates

from bids_secondlevel.cli.main import main

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("scale", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale"] = module  # which dataclasses look for
    spec.loader.exec_module(module)
    yield module
    del sys.modules["scale"]


def test_notebooks_give_what_the_program_gives(scale, tmp_path, output):
    size = scale.Size(level=5, n_contrasts=2, n_other_files=5)
    root = scale.make_study(tmp_path / "study", 2, size)
    arguments = ["participant", "--participant-label", "0002", "--no-report"]
    assert main([str(root), str(output), *arguments]) == 0
    rows = estimates(output, "0002")
    keys = list(scale.cells_of(size))
    for notebook in (scale.notebook, scale.careful_notebook):
        (expected,) = notebook(root, ["0002"], size)
        assert len(keys) == len(expected) == 48
        for key, mean in zip(keys, expected, strict=True):
            assert float(rows[key]["estimate"]) == pytest.approx(mean, rel=1e-5)


def test_a_small_one_writes_a_table(scale, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"text\n\n{scale.MARK}an old table")
    options = ["--quick", "--only", "start", "--into", page]
    subprocess.run([sys.executable, SCRIPT, *options], check=True, capture_output=True)
    text, _, table = page.read_text().partition(scale.MARK)
    assert text == "text\n\n"
    assert "an old table" not in table
    *_, help_, template = table.splitlines()
    assert help_.startswith("| `--help` | ")
    assert template.split(" | ")[1].endswith(" ms")
