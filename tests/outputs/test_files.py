"""Files are replaced together: whole, in their order, and without others of an earlier run."""

import hashlib

import pytest

from bids_secondlevel.core.errors import OutputError
from bids_secondlevel.outputs.files import replace_files


@pytest.fixture
def files(tmp_path):
    names = ("b/mask.json", "b/mask.gii", "table.json", "table.tsv")
    return {tmp_path / name: name.encode() for name in names}


def test_the_same_files_stay_untouched_and_others_go(files, tmp_path):
    earlier = tmp_path / "of an earlier run"
    earlier.touch()
    replace_files((), files)
    before = {path: path.stat() for path in files}
    told = replace_files(files, files)
    assert {path: path.stat() for path in files} == before
    assert told == {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    replace_files((earlier, *files), files)
    assert not earlier.exists()
    assert {path: path.read_bytes() for path in files} == files


@pytest.mark.parametrize("changed", range(4))
def test_the_last_stands_for_all(files, changed):
    """If one of them changes and cannot be written, none of the others passes for finished."""
    replace_files((), files)
    path, last = list(files)[changed], list(files)[-1]
    first = next(iter(files))
    path.unlink()
    path.mkdir()
    (path / "in the way").touch()
    with pytest.raises(OutputError, match=path.name):
        replace_files((), files)
    assert path == last or not last.exists()
    assert path == first or first.read_bytes() == files[first]
