"""Every map of a participant is read once, whatever it is needed for."""

from collections import Counter

import numpy as np
import pytest
from study import opened_below, write_gifti, write_mgz, write_volume

from bids_secondlevel.cli.main import main
from bids_secondlevel.core.files import SourceFile
from bids_secondlevel.maps.reader import Reader


def opened(study, output, *options):
    """How often each map of participant 01 is opened."""
    arguments = [str(study.root), str(output), "participant", "--n-procs", "1", "--no-report"]
    with opened_below(study.root / "derivatives") as paths:
        assert main([*arguments, *options]) == 0
    maps = (path for path in paths if path.endswith((".gii", ".mgz")))
    return Counter(path for path in maps if "sub-01" in path)


def test_in_every_roi_and_under_every_limit(study, output):
    assert opened(study, output, "--sweep") == Counter(
        str(path) for path in study.root.rglob("*") if path.suffix in (".gii", ".mgz")
    )


def test_a_map_that_defines_an_roi_and_is_measured(study, output):
    counts = opened(study, output, "--statistic", "z")
    assert sum("stat-z" in path for path in counts) == 4
    assert set(counts.values()) == {1}


def test_runs_that_are_combined_and_cross_validated(study, output):
    for path in list(study.firstlevel.glob("sub-01/func/*task-loc*")):
        for run in (1, 2, 3):
            name = path.name.replace("_hemi", f"_run-{run}_hemi")
            path.with_name(name).write_bytes(path.read_bytes())
        path.unlink()
    counts = opened(study, output, "--cross-validate")
    assert sum("task-loc" in path for path in counts) == 24
    assert set(counts.values()) == {1}


def test_polar_angles_that_only_describe(study, output):
    for side, n_vertices in (("lh", 12), ("rh", 10)):
        path = study.surf("01") / f"{side}.benson14_angle.mgz"
        write_mgz(path, np.full(n_vertices, 45.0))
    counts = opened(study, output)
    assert sum("_angle.mgz" in path for path in counts) == 2
    assert set(counts.values()) == {1}


class TestReader:
    @pytest.fixture
    def volume(self, tmp_path):
        return SourceFile(write_volume(tmp_path / "a.nii.gz"), "bids:x:a.nii.gz", "volume")

    @pytest.fixture
    def surface(self, tmp_path):
        return SourceFile(write_gifti(tmp_path / "a.gii", [1.0, 2.0]), "bids:x:a.gii")

    def test_a_volume_is_read_once_for_both_hemispheres(self, volume):
        reader = Reader([(volume, "L"), (volume, "R")])
        assert reader.read(volume, "L") is reader.read(volume, "R")

    def test_a_map_is_kept_only_until_it_is_needed_for_the_last_time(self, surface):
        reader = Reader([(surface, "L"), (surface, "L"), (surface, "R")])
        first = reader.read(surface, "L")
        assert reader.read(surface, "L") is first
        again = reader.read(surface, "L")
        assert again is not first
        assert np.array_equal(again, first)

    def test_what_is_kept_cannot_be_changed_by_whom_it_was_given_to(self, surface):
        values = Reader([(surface, "L")] * 2).read(surface, "L")
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 3
