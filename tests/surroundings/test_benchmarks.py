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


def test_the_loop_of_a_notebook_gives_what_the_program_gives(scale, tmp_path, output):
    size = scale.Size(n_vertices=40_000, n_contrasts=2, n_other_files=5)
    root = scale.make_study(tmp_path / "study", 2, size)
    arguments = ["participant", "--participant-label", "0002", "--no-report"]
    assert main([str(root), str(output), *arguments]) == 0
    rows = estimates(output, "0002")
    expected = scale.notebook(root, ["0002"], size)
    keys = [
        (task, contrast, quadrant, hemi)
        for task, contrast, stat in scale.maps_of(size)
        if stat == "effect"
        for quadrant in scale.QUADRANTS
        for hemi in scale.HEMISPHERES
    ]
    assert len(keys) == len(expected) == 48
    for key, mean in zip(keys, expected, strict=True):
        assert float(rows[key]["estimate"]) == pytest.approx(mean, rel=1e-5)


def test_a_small_one_writes_a_table():
    options = ["--quick", "--only", "start", "memory", "--studies", "2", "--memory", "1"]
    size = ["--vertices", "4000", "--contrasts", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *options, *size], check=True, capture_output=True, text=True
    )
    *_, help_, memory = done.stdout.splitlines()
    assert help_.startswith("| --help | 0.")
    assert "MiB of 1 |" in memory
