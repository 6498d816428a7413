"""Names of results, and which of the files in a folder are results of a run."""

import json

import pytest

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.outputs.group_maps import check_group_labels
from bids_secondlevel.outputs.names import (
    ESTIMATES,
    QUALITY,
    ParticipantFolder,
    find_estimates,
    table_beside,
)

OURS = json.dumps({"Type": "ROI", "Rule": {}})


def touch(*paths, text=""):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("session", [None, "a"])
@pytest.mark.parametrize("space", [None, "fsnative"])
def test_results_are_those_of_the_session_and_space(tmp_path, session, space):
    folder = ParticipantFolder(tmp_path, "01", space, session)
    mask = folder.mask("L", "V1", "retinotopy")
    own = [
        folder.table(ESTIMATES),
        mask,
        folder.segmentation("R"),
        folder.segmentation_table,
        folder.portrait,
        folder.figure("task-loc_estimates"),
        folder.page,
        folder.settings,
        folder.report,
    ]
    touch(*own)
    touch(mask.with_name(mask.name.replace(".label.gii", ".json")), text=OURS)
    expected = sorted([*own, mask.with_name(mask.name.replace(".label.gii", ".json"))])
    assert folder.results() == expected
    others = [
        ParticipantFolder(tmp_path, "01", "other", session),
        ParticipantFolder(tmp_path, "01", space, "other"),
        ParticipantFolder(tmp_path, "02", space, session),
    ]
    for other in others:
        touch(other.table(ESTIMATES), other.portrait)
        touch(other.mask("L", "V1", "combined", "loc"), text=OURS)
    users = [mask.with_name(mask.name.replace("label-V1", "label-mine")), folder.run]
    touch(*users, mask.with_name(mask.name.replace("retinotopy_mask", "notes")))
    assert folder.results() == expected


def test_the_table_of_labels_stays_for_the_label_files_of_another_space(tmp_path):
    one, other = (ParticipantFolder(tmp_path, "01", space) for space in ("fsnative", "fsaverage"))
    touch(one.segmentation("L"), one.segmentation_table)
    assert one.segmentation_table in one.numbers()
    assert other.numbers() == []
    touch(other.segmentation("R"))
    assert one.segmentation_table == other.segmentation_table
    assert one.segmentation_table not in (*one.numbers(), *other.numbers())


def test_tables_of_estimates_and_those_beside_them(tmp_path):
    folders = [
        ParticipantFolder(tmp_path, "02", None),
        ParticipantFolder(tmp_path, "01", "fsnative", "b"),
        ParticipantFolder(tmp_path, "01", "fsnative"),
    ]
    touch(*(folder.table(name) for folder in folders for name in (ESTIMATES, QUALITY)))
    assert find_estimates(tmp_path) == {
        "01": [folders[2].table(ESTIMATES), folders[1].table(ESTIMATES)],
        "02": [folders[0].table(ESTIMATES)],
    }
    for folder in folders:
        assert table_beside(folder.table(ESTIMATES), QUALITY) == folder.table(QUALITY)


def test_groups_need_names_that_files_can_have():
    check_group_labels(["patient", "control group"])
    for groups in (["a b", "a-b"], ["patient", "--"]):
        with pytest.raises(DataError, match="Rename one in participants"):
            check_group_labels(groups)
