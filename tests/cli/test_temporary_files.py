"""Libraries can write their temporary files on a locked-down host, and leave nothing behind."""

import os
import tempfile
from pathlib import Path

import pytest
from study import contents, make_study, run, run_here

from bids_secondlevel.cli import main as command
from bids_secondlevel.cli.main import temporary_files
from bids_secondlevel.core.errors import OutputError


@pytest.fixture
def nowhere_to_write(monkeypatch, tmp_path):  # noqa: ARG001 made while there is somewhere
    """As in a container whose file system, /tmp included, is read-only."""
    monkeypatch.setattr(command, "_SHARED_MEMORY", Path("/no/shared/memory"))
    found = tempfile._candidate_tempdir_list  # noqa: SLF001

    def candidates():
        return [folder for folder in found() if folder == os.environ.get("TMPDIR")]

    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", candidates)
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nowhere_to_write")
def test_the_output_folder_is_used_where_there_is_no_other(tmp_path):
    output = tmp_path / "deep" / "out"
    with temporary_files(output):
        (folder,) = output.iterdir()
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(folder)
        (folder / "left behind").write_text("by a library")
    assert list(output.iterdir()) == []
    assert "TMPDIR" not in os.environ


@pytest.mark.usefixtures("nowhere_to_write")
def test_shared_memory_is_used_before_the_output_folder(tmp_path, monkeypatch):
    shared, output = tmp_path / "shm", tmp_path / "out"
    shared.mkdir()
    monkeypatch.setattr(command, "_SHARED_MEMORY", shared)
    with temporary_files(output):
        assert tempfile.gettempdir() == str(shared)
        (folder,) = shared.iterdir()
        assert os.environ["MPLCONFIGDIR"] == str(folder)
    assert not list(shared.iterdir())
    assert not output.exists()


@pytest.mark.usefixtures("nowhere_to_write")
def test_an_output_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match=r"file/out.*TMPDIR"),
        temporary_files(tmp_path / "file" / "out"),
    ):
        pass


def test_the_fonts_that_an_image_has_listed_are_used(tmp_path, monkeypatch):
    """Root may write everywhere, so that the system is made to say otherwise."""
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    (fonts / "fontlist-v1.json").write_text("{}")
    monkeypatch.setenv("MPLCONFIGDIR", str(fonts))
    with temporary_files(tmp_path / "out"):
        assert os.environ["MPLCONFIGDIR"] == str(fonts)
    monkeypatch.setattr(os, "access", lambda path, _: path != fonts)
    with temporary_files(tmp_path / "out"):
        given = Path(os.environ["MPLCONFIGDIR"])
        assert [path.name for path in given.iterdir()] == ["fontlist-v1.json"]
    assert os.environ["MPLCONFIGDIR"] == str(fonts)
    assert not given.exists()
    assert not (tmp_path / "out").exists()


def test_without_a_home_pages_are_drawn_quietly_and_are_the_same(tmp_path, monkeypatch):
    study = make_study(tmp_path / "bids")
    assert run_here(study.root, tmp_path / "out", "participant").returncode == 0
    monkeypatch.setenv("HOME", "/proc/no-such-home")
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    finished = run(study.root, tmp_path / "homeless", "participant")
    assert finished.returncode == 0
    assert "atplotlib" not in finished.stderr
    assert contents(tmp_path / "homeless") == contents(tmp_path / "out")
