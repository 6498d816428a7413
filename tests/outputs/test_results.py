"""Results are read back as they were written."""

from dataclasses import fields

import pandas as pd
import pytest
from study import contents

from bids_secondlevel.cli.main import main
from bids_secondlevel.core.results import ParticipantResults
from bids_secondlevel.core.settings import Settings, settings_text
from bids_secondlevel.inputs.datasets import find_datasets
from bids_secondlevel.inputs.study import Study, choose
from bids_secondlevel.outputs.group_results import read_group, write_group, write_model
from bids_secondlevel.outputs.names import GroupFolder, ParticipantFolder
from bids_secondlevel.outputs.results import read_participants, write_participant, write_report
from bids_secondlevel.participant import analyse


@pytest.mark.parametrize("options", [{}, {"sweep": True, "session_label": ("a",)}])
def test_those_of_a_participant(study, output, options):
    if options:
        for path in list(study.firstlevel.glob("sub-01/func/*")):
            path.rename(path.with_name(path.name.replace("sub-01_", "sub-01_ses-a_")))
    settings = Settings(
        bids_dir=study.root, output_dir=output, analysis_level="participant", **options
    )
    chosen = choose("01", Study(settings=settings, datasets=find_datasets(settings), reference=()))
    found = analyse(chosen.files, chosen.plan)
    results = found.results
    folder = ParticipantFolder(output, "01", results.space, results.session)
    write_participant(
        results, found.rois, found.cortex, chosen, folder, settings=settings_text(settings)
    )
    write_report(results, folder)
    ((where, read),) = read_participants("01", output).items()
    assert where == folder
    assert len(read.estimates) == 18
    assert read.sweep.empty is not bool(options)
    for field in fields(ParticipantResults):
        written, again = getattr(results, field.name), getattr(read, field.name)
        if isinstance(written, pd.DataFrame):
            pd.testing.assert_frame_equal(again, written)
        else:
            assert again == written, field.name


def test_those_of_a_group(group_study, output, tmp_path):
    common = [str(group_study.root), str(output)]
    assert main([*common, "participant", "--no-report", "--n-procs", "1"]) == 0
    model = ["--model", "estimate ~ 1", "--no-report"]
    assert main([*common, "group", *model]) == 0
    results = read_group(GroupFolder(output))
    again = GroupFolder(tmp_path / "again")
    write_group(results, again)
    write_model(results.model, results, again)
    assert len(contents(again.path)) > 10
    assert contents(again.path).items() <= contents(output).items()
