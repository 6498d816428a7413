"""What names say: which task is a localizer."""

import pytest

from bids_secondlevel.inputs.names import is_localizer


@pytest.mark.parametrize(
    "task",
    [
        "loc",
        "LOC",
        "visloc",
        "fLoc",
        "floc",
        "VOTCLOC",
        "4BarScreenfLoc",
        "MotionLoc",
        "locFaces",
        "loc2",
        "loc2Faces",
        "LocRun",
        "visualLocFaces",
        "faceLocalizer",
        "localizer",
        "localiserB",
        "facelocalizer",
        "LOCALIZER",
        "FLOC1",
        "LOCFaces",
    ],
)
def test_a_task_that_is_called_a_localizer(task):
    assert is_localizer(task)


@pytest.mark.parametrize(
    "task",
    [
        "block",
        "blocked",
        "velocity",
        "WedgeClock",
        "clockwise",
        "Location",
        "LOCATION",
        "locate",
        "bloc",
        "enbloc",
        "blocDesign",
        "BLOC",
        "BLOCK",
        "allocation",
        "flock2",
        "main",
        "Clock",
        "localSearch",
        "philocaly",
        "locomotion",
    ],
)
def test_letters_inside_another_word(task):
    assert not is_localizer(task)
