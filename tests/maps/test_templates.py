"""Surfaces of template spaces: those that nilearn brings, and TemplateFlow where it cannot help.

There is no network here, or it is taken away: TemplateFlow is used as it is, in processes of
their own, as it reads its settings when it is imported.
"""

import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from bids_secondlevel.core.spaces import density_of
from bids_secondlevel.maps.surfaces import read_map, read_mesh
from bids_secondlevel.maps.templates import surfaces_there, template_surface

ASK = """
import sys
from bids_secondlevel.core.errors import InputMissingError
from bids_secondlevel.maps.templates import template_surface
try:
    print("FOUND", template_surface(*sys.argv[1:]))
except InputMissingError as error:
    print("REASON", error)
"""
NAME = "tpl-fsaverage/tpl-fsaverage_hemi-L_den-164k_sphere.surf.gii"
FETCH = "templateflow get fsaverage --density 164k --suffix sphere --extension .surf.gii"


def ask(home, *wanted):
    """Ask for a surface in a process that reaches no network; home may be the default one."""
    environment = {
        **os.environ,
        **({} if home is None else {"TEMPLATEFLOW_HOME": str(home)}),
        "TEMPLATEFLOW_AUTOUPDATE": "off",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "PYTHONWARNINGS": "default",
    }
    finished = subprocess.run(
        [sys.executable, "-c", ASK, *wanted],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert "Traceback" not in finished.stderr
    assert finished.stderr == ""
    return finished.stdout


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory):
    """A folder of TemplateFlow as its first use leaves it: every file, all of them empty."""
    home = tmp_path_factory.mktemp("templateflow") / "home"
    answer = ask(home, "fsaverage", "164k", "L", "sphere")
    assert answer.startswith("REASON TemplateFlow's sphere surface of fsaverage")
    assert "there is no network" in answer
    assert FETCH in answer
    return home


@pytest.mark.parametrize("kind", ["inflated", "sphere"])
@pytest.mark.parametrize("hemisphere", ["L", "R"])
def test_fsaverage5_comes_with_nilearn(hemisphere, kind):
    mesh = read_mesh(template_surface("fsaverage5", "10k", hemisphere, kind), hemisphere)
    assert mesh.coordinates.shape == (10242, 3)
    assert len(mesh.triangles) == 2 * 10242 - 4  # Euler's formula for a sphere
    if kind == "sphere":
        assert np.allclose(np.linalg.norm(mesh.coordinates, axis=1), 100, atol=0.1)
    sulci = read_map(template_surface("fsaverage5", "10k", hemisphere, "sulc"), hemisphere)
    assert sulci.shape == (10242,)


@pytest.mark.parametrize(
    ("space", "n_vertices", "density"),
    [
        ("fsaverage", 163842, "164k"),
        ("fsaverage", 10242, "10k"),
        ("fsaverage6", 40962, "41k"),
        ("fsLR", 32492, "32k"),
        ("fsLR", 59292, "59k"),
        ("fsLR", 163842, "164k"),
        ("fsLR", 10242, None),
        ("fsaverage", 10243, None),
        ("fsnative", 163842, None),
        ("onavg", 10242, None),
        (None, 10242, None),
    ],
)
def test_density_by_the_number_of_vertices(space, n_vertices, density):
    assert density_of(space, n_vertices) == density


def test_offline_an_empty_file_of_the_skeleton_is_no_surface(skeleton):
    assert (skeleton / NAME).stat().st_size == 0
    answer = ask(skeleton, "fsaverage", "164k", "L", "sphere")
    assert answer.startswith("REASON")
    assert FETCH in answer


def test_a_file_that_has_been_fetched_is_found_offline(skeleton):
    path = skeleton / NAME.replace("hemi-L", "hemi-R")
    nib.save(nib.gifti.GiftiImage(), path)
    answer = ask(skeleton, "fsaverage", "164k", "R", "sphere")
    assert answer == f"FOUND {path}\n"


def test_surfaces_are_listed_where_templateflow_looks(skeleton, tmp_path, monkeypatch):
    path = tmp_path / "templateflow" / NAME.replace("164k", "41k")
    path.parent.parent.symlink_to(skeleton)
    nib.save(nib.gifti.GiftiImage(), path)
    monkeypatch.delenv("TEMPLATEFLOW_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ask(None, "fsaverage", "41k", "L", "sphere") == f"FOUND {path}\n"
    assert surfaces_there(["fsaverage6", None])[path.name] == path


def test_a_surface_that_templateflow_does_not_have(skeleton):
    answer = ask(skeleton, "fsLR", "59k", "L", "inflated")
    assert answer.startswith("REASON TemplateFlow's inflated surface of fsLR, density 59k")
    assert "found 0 files" in answer


def test_a_home_with_something_else_in_it(tmp_path):
    (tmp_path / "tpl-other").mkdir()
    answer = ask(tmp_path, "fsaverage", "164k", "L", "sphere")
    assert answer.startswith("REASON")
    assert FETCH in answer


def test_a_home_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    answer = ask(tmp_path / "file" / "home", "fsaverage", "164k", "L", "sphere")
    assert answer.startswith("REASON")
    assert FETCH in answer
