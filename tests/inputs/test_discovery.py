"""Which files are found, and which of them are chosen, in trees as tools write them."""

import json
import re
import shutil
import sys
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from bids import BIDSLayout
from bids.layout import Query
from study import describe, write_curv, write_gifti, write_mgz

from bids_secondlevel.cli.main import main
from bids_secondlevel.core.errors import (
    InputMissingError,
    NothingSelectedError,
    UsageError,
)
from bids_secondlevel.core.files import Dataset
from bids_secondlevel.core.settings import DerivativePath, Settings
from bids_secondlevel.inputs.choice.maps import select_files
from bids_secondlevel.inputs.datasets import find_datasets, list_participants, select_participants
from bids_secondlevel.inputs.index import index_participant
from bids_secondlevel.inputs.plan import make_plan


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def statmap(
    label="01", *, hemi="L", contrast="left", stat="z", task="loc", ext=".func.gii", **others
):
    entities = {
        "sub": label,
        "ses": others.pop("ses", None),
        "task": task,
        "run": others.pop("run", None),
        "hemi": hemi,
        "space": others.pop("space", "fsnative"),
        **others,
        "contrast": contrast,
        "stat": stat,
    }
    name = "_".join(f"{key}-{value}" for key, value in entities.items() if value is not None)
    return f"sub-{label}/func/{name}_statmap{ext}"


def both(**entities):
    return [statmap(hemi=hemi, **entities) for hemi in ("L", "R")]


def retinotopy(tag="benson14", folder="sub-01/surf", ext=".mgz", sides=("lh", "rh")):
    return [f"{folder}/{side}.{tag}_{kind}{ext}" for side in sides for kind in ("varea", "eccen")]


@pytest.fixture
def bids(tmp_path):
    """An empty study with a first-level dataset and a FreeSurfer folder."""
    root = tmp_path / "sub-pilot" / "bids"  # pybids takes entities from any part of a path
    describe(root, "study", "raw")
    touch(root, "sub-01/anat/sub-01_T1w.nii.gz")
    describe(root / "derivatives" / "firstlevel", "firstlevel")
    (root / "derivatives" / "freesurfer").mkdir()
    return root


def settings(bids, **options):
    return Settings(
        bids_dir=bids, output_dir=bids.parent / "out", analysis_level="participant", **options
    )


def chosen(bids, label="01", **options):
    """What is chosen for a participant."""
    given = settings(bids, **options)
    index = index_participant(find_datasets(given), label, given.bids_filters)
    return select_files(index, make_plan((index,), (), given))


def plan_of(bids, label="01", **options):
    """What is asked for."""
    given = settings(bids, **options)
    return make_plan(
        (index_participant(find_datasets(given), label, given.bids_filters),), (), given
    )


def names(sources):
    return [source.path.name for source in sources]


def firstlevel(bids, *files):
    touch(bids / "derivatives" / "firstlevel", *files)


def freesurfer(bids, *files):
    touch(bids / "derivatives" / "freesurfer", *files)


class TestDatasets:
    def test_those_below_the_study_are_used_by_default(self, bids):
        describe(bids / "derivatives" / "fmriprep", "fmriprep")
        (bids / "derivatives" / "fmriprep" / "sourcedata" / "freesurfer").mkdir(parents=True)
        (bids / "sourcedata" / "freesurfer").mkdir(parents=True)
        found = find_datasets(settings(bids))
        assert [str(dataset.root.relative_to(bids)) for dataset in found] == [
            "derivatives/firstlevel",
            "derivatives/fmriprep",
            "derivatives/freesurfer",
            "sourcedata/freesurfer",
            "derivatives/fmriprep/sourcedata/freesurfer",
        ]
        assert len({dataset.name for dataset in found}) == len(found)

    def test_only_those_given_are_used(self, bids, tmp_path):
        describe(tmp_path / "glm", "glm")
        given = (DerivativePath(tmp_path / "glm", "first"),)
        (dataset,) = find_datasets(settings(bids, derivatives=given))
        assert (dataset.name, dataset.root) == ("first", tmp_path / "glm")

    def test_a_folder_of_datasets_stands_for_them(self, bids):
        given = (DerivativePath(bids / "derivatives"),)
        found = find_datasets(settings(bids, derivatives=given))
        assert [dataset.name for dataset in found] == ["firstlevel", "freesurfer"]

    def test_a_study_that_is_a_derivative_is_searched_itself(self, tmp_path):
        describe(tmp_path / "glm", "glm")
        assert find_datasets(settings(tmp_path / "glm"))[0].root == tmp_path / "glm"

    def test_a_missing_folder_is_named(self, bids, tmp_path):
        with pytest.raises(InputMissingError, match="nowhere"):
            find_datasets(settings(bids, derivatives=(DerivativePath(tmp_path / "nowhere"),)))

    def test_a_name_given_twice(self, bids):
        given = tuple(
            DerivativePath(bids / "derivatives" / folder, "same")
            for folder in ("firstlevel", "freesurfer")
        )
        with pytest.raises(UsageError, match="same"):
            find_datasets(settings(bids, derivatives=given))

    def test_our_own_results_are_no_input(self, bids):
        own = bids / "derivatives" / "older"
        own.mkdir()
        (own / "dataset_description.json").write_text(
            json.dumps({"GeneratedBy": [{"Name": "bids_secondlevel"}]})
        )
        assert "older" not in [dataset.name for dataset in find_datasets(settings(bids))]


class TestParticipants:
    def test_folders_that_are_no_participants_are_passed_over(self, bids):
        (bids / "sub-02").mkdir()
        (bids / "sub-wlsubj_average_parameter").mkdir()
        (bids / "sub-03.html").touch()
        assert list_participants(bids, ()) == ("01", "02")

    def test_those_of_derivatives_where_the_study_has_none(self, tmp_path):
        describe(tmp_path / "bids", "study", "raw")
        touch(tmp_path / "bids" / "derivatives" / "freesurfer", "sub-07_ses-1/surf/lh.x")
        given = settings(tmp_path / "bids")
        assert select_participants(given, find_datasets(given)) == (("07",), ())

    def test_unknown_labels_are_told_apart(self, bids):
        given = settings(bids, participant_label=("sub-01", "99"))
        assert select_participants(given, find_datasets(given)) == (("01",), ("99",))
        with pytest.raises(NothingSelectedError, match=r"no participant 99.*Participants: 01"):
            select_participants(settings(bids, participant_label=("99",)), find_datasets(given))


class TestStatisticalMaps:
    def test_entities_match_whatever_their_order(self, bids):
        firstlevel(
            bids,
            "sub-01/func/sub-01_task-loc_space-fsnative_hemi-L_contrast-left_stat-z_statmap.func.gii",
            "sub-01/sub-01_stat-z_contrast-left_hemi-R_space-fsnative_task-loc_statmap.gii",
            *both(task="main", stat="effect"),
        )
        z_maps = chosen(bids).localizers["left"]
        assert [names(z_maps[hemi].maps) for hemi in "LR"] == [
            ["sub-01_task-loc_space-fsnative_hemi-L_contrast-left_stat-z_statmap.func.gii"],
            ["sub-01_stat-z_contrast-left_hemi-R_space-fsnative_task-loc_statmap.gii"],
        ]

    def test_volumes_and_json_are_never_taken_for_surfaces(self, bids):
        firstlevel(
            bids,
            *both(),
            *both(stat="effect"),
            "sub-01/func/sub-01_task-loc_space-T1w_contrast-left_stat-z_statmap.nii.gz",
            statmap(ext=".json"),
            "sub-01/func/sub-01_task-loc_hemi-L_space-fsnative_stat-rsquared_statmap.func.gii",
        )
        files = chosen(bids)
        assert list(files.localizers) == ["left"]
        assert [len(source.maps) for source in files.localizers["left"].values()] == [1, 1]

    def test_volumes_are_used_where_there_is_no_surface(self, bids):
        folder = "node-runLevel/sub-01/sub-01_task-loc_run-1_space-MNI_contrast-left"
        touch(
            bids / "derivatives" / "fitlins",
            f"{folder}_stat-z_statmap.nii.gz",
            f"{folder}_stat-effect_statmap.nii.gz",
        )
        for source in chosen(bids).localizers["left"].values():
            assert [file.kind for file in source.maps] == ["volume"]
        firstlevel(bids, *both(), *both(stat="effect"))
        assert {file.kind for s in chosen(bids).localizers["left"].values() for file in s.maps} == {
            "surface"
        }

    def test_the_name_of_a_dataset_is_the_task_of_maps_without_one(self, bids):
        glm = bids / "derivatives" / "node-subjectLevel"
        for stat in ("z", "effect"):
            touch(glm, f"sub-01/sub-01_space-fsLR_contrast-left_stat-{stat}_statmap.dscalar.nii")
        with pytest.raises(InputMissingError, match="--derivatives TASK=PATH"):
            chosen(bids)
        files = chosen(bids, derivatives=(DerivativePath(glm, "loc"),))
        assert set(files.localizers["left"]) == {"L", "R"}

    def test_a_map_pooled_over_runs_wins_over_the_runs(self, bids):
        firstlevel(
            bids,
            *both(stat="effect"),
            *both(stat="z"),
            *(name for run in "12" for name in both(stat="effect", run=run)),
            *(name for run in "12" for name in both(stat="z", run=run)),
        )
        files = chosen(bids)
        (estimate,) = files.contrasts
        for source in (estimate.maps["L"], files.localizers["left"]["L"]):
            assert source.combination == "single"
            assert "run" not in source.maps[0].path.name

    @pytest.mark.parametrize("says_space", [True, False])
    def test_a_map_pooled_over_runs_wins_where_it_has_no_task(self, bids, says_space):
        fitlins = bids / "derivatives" / "fitlins"
        space = "_space-MNI152NLin2009cAsym"
        for task, contrast in (("loc", "left"), ("main", "attend")):
            for stat in ("z", "effect", "variance"):
                end = f"{space}_contrast-{contrast}_stat-{stat}_statmap.nii.gz"
                names_of_runs = [f"sub-01_task-{task}_run-{run}{end}" for run in "12"]
                touch(fitlins, *(f"node-runLevel/sub-01/{name}" for name in names_of_runs))
                pooled = end if says_space else end.removeprefix(space)
                touch(fitlins, f"node-subjectLevel/sub-01/sub-01{pooled}")
        files = chosen(bids)
        sources = [files.localizers["left"]["L"], *(e.maps["R"] for e in files.contrasts)]
        assert len(sources) == 4 - 1
        for source in sources:
            assert source.combination == "single"
            assert source.maps[0].path.parts[-3] == "node-subjectLevel"
        assert [choice.split(" (")[0] for choice in files.choices] == [
            "Maps in fitlins/node-subjectLevel have no task in their names"
        ] * 2
        assert "pooled over the runs of task main" in " ".join(files.choices)

    def test_a_map_without_a_task_is_of_none_if_two_have_its_contrast(self, bids):
        for task in ("loc", "main"):
            firstlevel(bids, *both(task=task, run="1"), *both(task=task, run="1", stat="effect"))
        firstlevel(bids, *both(task=None, stat="effect"), *both(task=None))
        files = chosen(bids)
        assert "run-1" in names(files.localizers["left"]["L"].maps)[0]
        assert files.choices == ()
        index = index_participant(find_datasets(settings(bids)), "01", {})
        assert {miss.reason for miss in index.near_misses} == {"its name has no task-"}

    def test_runs_are_combined_by_fixed_effects_where_there_are_variances(self, bids):
        kinds = [(stat, run) for stat in ("effect", "variance", "z") for run in ("01", "02", "10")]
        firstlevel(bids, *(name for stat, run in kinds for name in both(stat=stat, run=run)))
        files = chosen(bids)
        effect, z = files.contrasts[0].maps["R"], files.localizers["left"]["R"]
        assert (effect.combination, z.combination) == ("fixed_effects", "fixed_effects_z")
        assert names(effect.maps) == names(z.maps)
        assert [name.split("_run-")[1][:2] for name in names(z.maps)] == ["01", "02", "10"]
        assert [n.replace("variance", "effect") for n in names(z.variances)] == names(z.maps)

    def test_runs_are_averaged_where_there_is_a_variance_missing(self, bids):
        firstlevel(
            bids,
            *(name for run in "12" for name in both(stat="effect", run=run)),
            *(name for run in "12" for name in both(stat="z", run=run)),
            *both(stat="variance", run="1"),
        )
        files = chosen(bids)
        assert files.contrasts[0].maps["L"].combination == "mean"
        assert files.localizers["left"]["L"].combination == "stouffer"

    def test_the_localizer_is_pooled_over_sessions_and_estimates_are_not(self, bids):
        firstlevel(
            bids,
            *(name for ses in "ab" for name in both(stat="effect", ses=ses)),
            *(name for ses in "ab" for name in both(stat="z", ses=ses)),
        )
        files = chosen(bids)
        assert files.localizers["left"]["L"].combination == "stouffer"
        assert len(files.localizers["left"]["L"].maps) == 2
        assert [estimate.session for estimate in files.contrasts] == ["a", "b"]
        one = chosen(bids, session_label=("b",))
        assert [estimate.session for estimate in one.contrasts] == ["b"]
        assert one.localizers == files.localizers

    @pytest.mark.parametrize("whole", ["all", "allses", "pooled", "avg", "MeanSes", "sesall", None])
    @pytest.mark.parametrize("parts", [("01", "02"), ("pre", "post"), ("day1", "day2")])
    def test_a_session_made_of_the_others_wins(self, bids, whole, parts):
        for session in (*parts, whole):
            firstlevel(bids, *both(stat="effect", ses=session), *both(ses=session))
        files = chosen(bids)
        (estimate,) = files.contrasts
        assert estimate.session == whole
        for source in (estimate.maps["R"], files.localizers["left"]["R"]):
            assert source.combination == "single"
            assert f"ses-{whole}" in source.maps[0].path.name or whole is None
            assert not any(f"ses-{part}_" in source.maps[0].path.name for part in parts)
        assert estimate.shares_recordings == {"left"}
        single = chosen(bids, session_label=(parts[0],))
        (estimate,) = single.contrasts
        assert (estimate.session, estimate.shares_recordings) == (parts[0], {"left"})
        assert single.localizers == files.localizers

    def test_a_contrast_that_no_session_has_pooled_is_measured_in_each(self, bids):
        for session in ("01", "02", "all"):
            firstlevel(bids, *both(stat="effect", ses=session), *both(ses=session))
            if session != "all":
                firstlevel(bids, *both(stat="effect", ses=session, contrast="right"))
        assert [(e.contrast, e.session) for e in chosen(bids).contrasts] == [
            ("right", "01"),
            ("right", "02"),
            ("left", "all"),
        ]

    @pytest.mark.parametrize("whole", ["all", "allruns", "avg", "concat", "combined", "Pooled"])
    def test_a_run_made_of_the_others_wins(self, bids, whole):
        for run in ("1", "2", whole):
            firstlevel(bids, *both(stat="effect", run=run), *both(run=run))
        files = chosen(bids, cross_validate=True)
        for source in (files.contrasts[0].maps["L"], files.localizers["left"]["L"]):
            assert source.combination == "single"
            assert f"run-{whole}" in source.maps[0].path.name
        assert [fold.run for fold in files.folds] == ["1", "2"]
        assert plan_of(bids).n_runs == {(None, "loc", "left"): 2}
        single = chosen(bids, bids_filters={"estimates": {"run": [1, 2]}}).contrasts[0]
        assert single.runs == ("1", "2")

    @pytest.mark.parametrize("entity", ["ses", "run"])
    def test_a_label_that_is_no_number_beside_numbers_needs_a_choice(self, bids, entity):
        for label in ("01", "02", "template"):
            firstlevel(bids, *both(**{entity: label}))
        firstlevel(bids, *both(stat="effect"))
        with pytest.raises(UsageError, match=r"template may be a combination of .* 0?1 and 0?2"):
            chosen(bids)
        name = {"ses": "session"}.get(entity, entity)
        for labels, n_maps in (("template", 1), (["01", "02"], 2), (["01", "02", "template"], 3)):
            files = chosen(bids, bids_filters={"localizer": {name: labels}})
            assert len(files.localizers["left"]["L"].maps) == n_maps

    def test_a_task_without_maps_in_a_session_is_named(self, bids):
        firstlevel(bids, *both(ses="a"), *both(stat="effect", ses="a"))
        firstlevel(bids, *both(stat="effect", ses="b", task="main"), *both(stat="effect", task="x"))
        (message,) = plan_of(bids, session_label=("a",)).messages
        assert "main (session b)" in message
        assert "x (no session in the names)" in message

    def test_hemispheres_may_get_the_z_of_a_fold_from_different_maps(self, bids):
        for run in "123":
            firstlevel(bids, *(statmap(stat=stat, run=run) for stat in ("effect", "z")))
            right = [statmap(hemi="R", stat=stat, run=run) for stat in ("effect", "variance")]
            firstlevel(bids, *right)
        folds = chosen(bids, cross_validate=True).folds
        assert [fold.run for fold in folds] == ["1", "2", "3"]
        for fold in folds:
            left, right = fold.localizers["left"]["L"], fold.localizers["left"]["R"]
            assert (left.combination, right.combination) == ("stouffer", "fixed_effects_z")
            assert len(left.maps) == len(right.maps) == len(right.variances) == 2

    def test_two_candidates_are_an_error_that_names_both(self, bids):
        firstlevel(bids, *both(stat="effect"), *both(), *both(desc="smoothed5"))
        with pytest.raises(UsageError, match=r"(?s)desc-smoothed5.*--bids-filter-file.*desc"):
            chosen(bids)

    def test_a_filter_decides(self, bids):
        firstlevel(bids, *both(stat="effect"), *both(), *both(desc="smoothed5"))
        for value, expected in ((None, False), ("smoothed5", True)):
            files = chosen(bids, bids_filters={"localizer": {"desc": value}})
            (name,) = names(files.localizers["left"]["L"].maps)
            assert ("smoothed5" in name) == expected

    def test_a_filter_for_an_unknown_entity(self, bids):
        firstlevel(bids, *both(stat="effect"), *both())
        with pytest.raises(
            NothingSelectedError, match=r"none of the 2 z maps .* filter for localizer.* hemi L,"
        ):
            chosen(bids, bids_filters={"localizer": {"flavour": "x"}})

    def test_the_same_map_in_two_datasets(self, bids):
        firstlevel(bids, *both(stat="effect"), *both())
        touch(bids / "derivatives" / "glm2", *both())
        with pytest.raises(UsageError, match=r"(?s)firstlevel.*glm2.*--derivatives"):
            chosen(bids)

    def test_hemispheres_as_freesurfer_spells_them(self, bids):
        firstlevel(
            bids,
            *[n.replace("hemi-L", "hemi-lh").replace("hemi-R", "hemi-rh") for n in both()],
            *both(stat="effect"),
        )
        assert set(chosen(bids).localizers["left"]) == {"L", "R"}

    @pytest.mark.parametrize(
        ("z", "effect", "variance"),
        [
            ("Z", "EFFECT", "Variance"),
            ("zstat", "cope", "varcope"),
            ("z_score", "effect_size", "effect_variance"),
            ("zmap", "beta", "effectvariance"),
            ("zscore", "Beta", "variance"),
        ],
    )
    @pytest.mark.parametrize("suffix", ["_statmap", ""])
    def test_statistics_as_tools_call_them(self, bids, z, effect, variance, suffix):
        for run in "12":
            for stat in (z, effect, variance):
                maps = both(stat=stat, run=run)
                firstlevel(bids, *(name.replace("_statmap", suffix) for name in maps))
        files = chosen(bids)
        assert files.localizers["left"]["R"].combination == "fixed_effects_z"
        source = files.contrasts[0].maps["L"]
        assert source.combination == "fixed_effects"
        assert {effect in name for name in names(source.maps)} == {True}
        assert {variance in name for name in names(source.variances)} == {True}
        assert chosen(bids, statistic="beta").contrasts == files.contrasts

    def test_two_words_for_one_statistic_need_a_choice(self, bids):
        firstlevel(bids, *both(), *both(stat="zstat"), *both(stat="effect"))
        with pytest.raises(UsageError, match=r"they differ in: statistic"):
            chosen(bids)
        files = chosen(bids, bids_filters={"localizer": {"statistic": "zstat"}})
        (name,) = names(files.localizers["left"]["L"].maps)
        assert "stat-zstat" in name

    def test_the_contrast_of_a_task_in_halfpipe(self, bids):
        kinds = [(task, stat) for task in ("loc", "main") for stat in ("z", "effect")]
        maps = [name for task, stat in kinds for name in both(task=task, stat=stat)]
        firstlevel(bids, *(name.replace("contrast-", "taskcontrast-") for name in maps))
        assert list(chosen(bids).localizers) == ["left"]

    @pytest.mark.parametrize("entity", ["split", "rtmodel", "feature"])
    def test_entities_that_nobody_lists_are_entities(self, bids, entity):
        named = [{entity: label} for label in ("odd", "even")]
        firstlevel(bids, *both(stat="effect"), *(n for given in named for n in both(**given)))
        with pytest.raises(UsageError, match=f"they differ in: {entity}"):
            chosen(bids)
        files = chosen(bids, bids_filters={"localizer": {entity: "even"}})
        assert f"{entity}-even" in names(files.localizers["left"]["L"].maps)[0]

    def test_runs_of_different_processing_are_not_combined(self, bids):
        runs = [{"run": "1", "rtmodel": "a"}, {"run": "2", "rtmodel": "b"}]
        firstlevel(bids, *both(), *(n for given in runs for n in both(stat="effect", **given)))
        with pytest.raises(UsageError, match=r"they differ in: hemi, rtmodel, run"):
            chosen(bids)

    def test_runs_may_have_a_number_of_another_name(self, bids):
        runs = [{"run": "1", "scan": "07"}, {"run": "2", "scan": "09"}]
        firstlevel(bids, *both(), *(n for given in runs for n in both(stat="effect", **given)))
        assert len(chosen(bids).contrasts[0].maps["L"].maps) == 2

    def test_runs_whose_labels_are_no_numbers(self, bids):
        firstlevel(bids, *both())
        firstlevel(bids, *(n for run in ("odd", "even") for n in both(stat="effect", run=run)))
        (estimate,) = chosen(bids).contrasts
        assert set(estimate.runs) == {"odd", "even"}
        (estimate,) = chosen(bids, bids_filters={"estimates": {"run": "odd"}}).contrasts
        assert "run-odd" in names(estimate.maps["L"].maps)[0]

    @pytest.mark.parametrize("sides", [("left", "right"), ("LH", "RH"), ("l", "r")])
    def test_hemispheres_as_others_spell_them(self, bids, sides):
        for hemi, side in zip("LR", sides, strict=True):
            for stat in ("z", "effect"):
                name = statmap(hemi=hemi, stat=stat)
                firstlevel(bids, name.replace(f"hemi-{hemi}", f"hemi-{side}"))
        assert set(chosen(bids).localizers["left"]) == {"L", "R"}

    @pytest.mark.parametrize(
        "part",
        [
            *("p-0pt001_k-10_MC-none", "cutoff-3", "desc-thresh", "thresh-2pt3", "desc-FDR05"),
            *("label-zThresholded", "voxelthresh-001", "desc-clustered", "MC-FWE"),
            *("desc-cluster05", "correction-FWE", "zthr-3", "desc-pthr001"),
        ],
    )
    def test_thresholded_maps_are_refused_by_name(self, bids, part):
        firstlevel(bids, *(n.replace("_contrast-", f"_{part}_contrast-") for n in both()))
        firstlevel(bids, *both(stat="effect"))
        with pytest.raises(InputMissingError, match="has no z maps"):
            chosen(bids)
        given = settings(bids)
        misses = index_participant(find_datasets(given), "01", {}).near_misses
        assert len(misses) == 2
        assert {"values below a threshold were removed" in m.reason for m in misses} == {True}
        firstlevel(bids, *both())  # beside them, the maps themselves
        (name,) = names(chosen(bids).localizers["left"]["L"].maps)
        assert part.partition("_")[0] not in name

    def test_a_threshold_that_is_none_is_named_in_a_filter(self, bids):
        firstlevel(bids, *both(cutoff="128"), *both(stat="effect", cutoff="128"))
        filters = {query: {"cutoff": "128"} for query in ("localizer", "estimates")}
        assert list(chosen(bids, bids_filters=filters).localizers) == ["left"]

    @pytest.mark.parametrize("part", ["desc-unthresholded", "desc-unthresh", "acq-thresh"])
    def test_words_that_are_no_threshold(self, bids, part):
        kinds = [(task, stat) for task in ("loc", "thresholds") for stat in ("z", "effect")]
        for name in (n for task, stat in kinds for n in both(task=task, stat=stat)):
            firstlevel(bids, name.replace("_contrast-", f"_{part}_contrast-"))
        assert len(chosen(bids, localizer_task="loc").contrasts) == 2

    def test_other_participants_are_never_found(self, bids):
        firstlevel(bids, *both(), *both(stat="effect"), *both(label="011"), *both(label="02"))
        index = index_participant(find_datasets(settings(bids)), "01", {})
        assert len(index.statistical_maps) == 4


def named(desc=None, run=None, suffix="statmap"):
    return statmap(desc=desc, run=run).replace("statmap", suffix)


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """Maps in a folder, and pybids' own layout of it."""
    root = tmp_path_factory.mktemp("filtered")
    runs = [None, "1", "01", "02", "10"]
    touch(root, *(named(desc, run) for desc in (None, "05", "5", "x") for run in runs))
    touch(root, named(suffix="tmap"), named("x", suffix="tmap"))
    config = files("bids_secondlevel") / "data" / "entities.json"
    layout = BIDSLayout(root, validate=False, is_derivative=True, config=str(config))
    yield Dataset("glm", root), layout
    layout.session.close()
    layout.connection_manager.engine.dispose()


@pytest.mark.parametrize(
    "wanted",
    [
        {"desc": "x"},
        {"desc": "05"},
        {"desc": 5},
        {"desc": None},
        {"desc": "*"},
        {"desc": ["x", None]},
        {"desc": ["5", "x"]},
        {"desc": []},
        {"desc": ["*", None]},
        {"desc": "Query.NONE"},
        {"desc": "Query.ANY"},
        {"desc": "Query.REQUIRED"},
        {"desc": "Query.OPTIONAL"},
        {"desc": ["Query.OPTIONAL", "x"]},
        {"desc": "X"},
        {"desc": "x*"},
        {"run": 1},
        {"run": "01"},
        {"run": [2, "10"]},
        {"run": [None, 1]},
        {"run": "*", "desc": None},
        {"suffix": "tmap"},
        {"suffix": ["statmap", "tmap"], "run": None},
        {"extension": ".func.gii", "hemi": "L", "desc": "x"},
        {"hemi": "lh"},
        {"extension": "gii"},
    ],
)
def test_filters_mean_what_they_mean_to_pybids(filtered, wanted):
    dataset, layout = filtered

    def said(value):
        special = {None: Query.NONE, "*": Query.ANY}
        special |= {f"Query.{name}": member for name, member in Query.__members__.items()}
        return [said(v) for v in value] if isinstance(value, list) else special.get(value, value)

    expected = layout.get(**{name: said(value) for name, value in wanted.items()})
    # Only maps with a suffix that a filter names are looked at.
    filters = {"localizer": wanted, "estimates": {"suffix": "tmap"}}
    index = index_participant([dataset], "01", filters)
    found = [f.source.path for f in index.statistical_maps if "localizer" in f.queries]
    assert sorted(map(str, found)) == sorted(file.path for file in expected)


class TestChoices:
    def test_one_space_is_used_and_several_need_a_choice(self, bids):
        for space in ("fsaverage", "fsLR"):
            firstlevel(bids, *both(space=space), *both(stat="effect", space=space))
        with pytest.raises(UsageError, match=r"fsLR, fsaverage.*--space"):
            chosen(bids)
        files = chosen(bids, space="FSaverage")
        assert "space-fsaverage" in names(files.localizers["left"]["L"].maps)[0]
        firstlevel(bids, *both(), *both(stat="effect"))
        assert "space-fsnative" in names(chosen(bids).localizers["left"]["L"].maps)[0]
        with pytest.raises(NothingSelectedError, match="there are: fsLR, fsaverage, fsnative"):
            chosen(bids, space="onavg")

    @pytest.mark.parametrize(
        ("one", "other", "space"),
        [
            ({"space": "fsaverage5"}, {"space": "fsaverage", "den": "10k"}, "fsaverage5"),
            ({"space": "fsaverage6"}, {"space": "FSaverage", "den": "41k"}, "fsaverage6"),
            ({"space": "fsaverage"}, {"space": "fsaverage7"}, "fsaverage"),
            ({"space": "fsaverage"}, {"space": "fsaverage", "den": "164k"}, "fsaverage"),
            ({"space": "fsnative"}, {"space": "individual"}, "fsnative"),
            ({"space": "T1w"}, {"space": "native"}, "fsnative"),
        ],
    )
    def test_names_of_one_surface(self, bids, one, other, space):
        firstlevel(bids, *both(**one), *both(stat="effect", **other))
        for asked in (None, space, one["space"]):
            files, plan = chosen(bids, space=asked), plan_of(bids, space=asked)
            assert (plan.space, plan.messages) == (space, ())
            assert set(files.localizers["left"]) == set(files.contrasts[0].maps) == {"L", "R"}

    def test_no_localizer_lists_the_tasks(self, bids):
        firstlevel(bids, *both(task="rest"), *both(task="main", stat="effect"))
        with pytest.raises(InputMissingError, match=r"z maps: rest.*main.*--localizer-task"):
            chosen(bids)
        assert list(chosen(bids, localizer_task="rest").localizers) == ["left"]

    @pytest.mark.parametrize("main", ["block", "velocity", "WedgeClock", "locomotion"])
    def test_letters_of_a_task_make_no_localizer(self, bids, main):
        firstlevel(bids, *both(task="quadrants"), *both(task=main), *both(task="rest", stat="p"))
        with pytest.raises(InputMissingError, match=f"z maps: (?=.*{main}).*quadrants.*: rest"):
            chosen(bids)

    def test_a_localizer_taken_for_its_name_is_a_choice(self, bids):
        for task in ("faceLocalizer", "block"):
            firstlevel(bids, *both(task=task), *both(task=task, stat="effect"))
        taken, named = plan_of(bids), plan_of(bids, localizer_task="faceLocalizer")
        assert taken.localizer_task == named.localizer_task == "faceLocalizer"
        (choice,) = taken.choices
        assert "faceLocalizer is used as the localizer, because of its name" in choice
        assert named.choices == ()

    def test_several_localizers_need_a_choice(self, bids):
        for task in ("floc", "MotionLoc"):
            firstlevel(bids, *both(task=task), *both(task=task, stat="effect"))
        with pytest.raises(UsageError, match=r"MotionLoc, floc.*--localizer-task"):
            chosen(bids)
        assert chosen(bids, localizer_task="motionloc").localizers

    def test_a_localizer_without_z_maps_lists_what_it_has(self, bids):
        firstlevel(bids, *both(stat="p"), *both(stat="effect"))
        with pytest.raises(InputMissingError, match=r"no z maps.*effect, p"):
            chosen(bids)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"roi_contrasts": ("up",)}, "--roi-contrasts up: nothing found; there are: left"),
            ({"contrasts": ("up",)}, "--contrasts up: nothing found; there are: left"),
            ({"task_label": ("rest",)}, "--task-label rest: nothing found; there are: loc"),
            ({"statistic": "t"}, "stat-t"),
            ({"session_label": ("9",)}, "No maps to measure"),
        ],
    )
    def test_filters_that_select_nothing(self, bids, options, message):
        firstlevel(bids, *both(), *both(stat="effect"))
        with pytest.raises(NothingSelectedError, match=message):
            chosen(bids, **options)


class TestRetinotopy:
    @pytest.fixture(autouse=True)
    def _maps(self, bids):
        firstlevel(bids, *both(), *both(stat="effect"))

    def used(self, bids, **options):
        files = chosen(bids, **options)
        return files.retinotopy_source, {
            hemi: (str(s.visual_area.path.relative_to(bids / "derivatives")))
            for hemi, s in files.retinotopy.items()
        }

    @pytest.mark.parametrize(
        "folder", ["sub-01/surf", "sub-01/label", "sub-01", "sub-01/npythy/output"]
    )
    @pytest.mark.parametrize("ext", [".mgz", ".mgh", ".gii", ""])
    def test_every_folder_and_format(self, bids, folder, ext):
        freesurfer(bids, *retinotopy(folder=folder, ext=ext))
        assert self.used(bids) == (
            "benson14",
            {
                "L": f"freesurfer/{folder}/lh.benson14_varea{ext}",
                "R": f"freesurfer/{folder}/rh.benson14_varea{ext}",
            },
        )

    def test_volumes_of_the_same_stem_are_never_used(self, bids):
        freesurfer(
            bids,
            "sub-01/mri/inferred_varea.mgz",
            "sub-01/mri/inferred_eccen.mgz",
            "sub-01/mri/lh.inferred_varea.mgz",
            "sub-01/mri/lh.inferred_eccen.mgz",
            "sub-01/inferred_varea.mgz",
            "sub-01/inferred_eccen.mgz",
        )
        assert self.used(bids) == (None, {})

    def test_area_and_eccentricity_come_from_the_same_source(self, bids):
        freesurfer(
            bids,
            *retinotopy(),
            "sub-01/surf/lh.prf_eccen.mgz",
            "sub-01/surf/rh.prf_eccen.mgz",
            "sub-01/surf/lh.wang15_mplbl.mgz",
        )
        files = chosen(bids)
        assert names([files.retinotopy["L"].visual_area, files.retinotopy["L"].eccentricity]) == [
            "lh.benson14_varea.mgz",
            "lh.benson14_eccen.mgz",
        ]

    def test_measured_beats_predicted_with_a_message(self, bids):
        freesurfer(bids, *retinotopy(), *retinotopy("inferred"))
        assert self.used(bids)[0] == "inferred"
        assert any("using inferred" in message for message in chosen(bids).messages)
        assert self.used(bids, retinotopy_source="Benson14")[0] == "benson14"

    def test_other_sources_need_a_choice(self, bids):
        freesurfer(bids, *retinotopy(), *retinotopy("atlas2"))
        with pytest.raises(UsageError, match=r"atlas2, benson14.*--retinotopy-source"):
            chosen(bids)

    def test_a_curv_file_beside_the_same_as_mgz(self, bids):
        freesurfer(bids, *retinotopy(), *retinotopy(ext=""))
        assert self.used(bids)[1]["L"].endswith("lh.benson14_varea.mgz")

    def test_unfetched_mgz_beside_a_curv_file_that_is_there(self, bids):
        freesurfer(bids, *retinotopy(ext=""))
        surf = bids / "derivatives" / "freesurfer" / "sub-01" / "surf"
        for name in retinotopy(folder="."):
            (surf / name).symlink_to("../../.git/annex/objects/gone")
        assert self.used(bids)[1]["L"].endswith("lh.benson14_varea")

    def test_folders_of_a_session(self, bids):
        freesurfer(bids, *retinotopy(folder="sub-01_ses-01/surf"))
        assert self.used(bids)[0] == "benson14"

    def test_inside_the_freesurfer_folder_of_fmriprep(self, bids):
        describe(bids / "derivatives" / "fmriprep", "fmriprep")
        touch(bids / "derivatives/fmriprep/sourcedata/freesurfer", *retinotopy())
        assert self.used(bids)[0] == "benson14"

    def write(self, bids, *files, value=1.0, size=4):
        for file in files:
            path = bids / "derivatives" / "freesurfer" / file
            write = {".mgz": write_mgz, ".gii": write_gifti}.get(path.suffix, write_curv)
            write(path, np.full(size, value))

    BIDS_NAMES = tuple(
        f"sub-01/anat/sub-01_hemi-{hemi}_space-fsnative_desc-benson14_{kind}.func.gii"
        for hemi in "LR"
        for kind in ("varea", "eccen")
    )
    OTHERS = (
        retinotopy(folder="sub-01/label"),
        retinotopy(folder="sub-01/label", ext=".gii"),
        retinotopy(folder="sub-01_ses-2/surf"),
        retinotopy(folder="sub-01/ses-2/Outputs"),
        BIDS_NAMES,
    )

    @pytest.mark.parametrize("others", OTHERS)
    def test_one_source_twice_with_different_values_needs_a_choice(self, bids, others):
        self.write(bids, *retinotopy())
        self.write(bids, *others, value=2)
        folders = f"(?=.*{Path(others[0]).parent}).*/sub-01/surf"
        with pytest.raises(
            UsageError, match=f"(?s)Several folders have .* with different val.*{folders}"
        ):
            chosen(bids)

    @pytest.mark.parametrize("others", OTHERS)
    def test_copies_of_a_source_are_one(self, bids, others):
        self.write(bids, *retinotopy())
        self.write(bids, *others)
        assert self.used(bids)[0] == "benson14"

    def test_one_source_on_two_surfaces(self, bids):
        self.write(bids, *retinotopy(), size=4)
        self.write(bids, *self.BIDS_NAMES, value=2, size=5)
        assert "space-fsnative" in self.used(bids)[1]["L"]

    @pytest.mark.parametrize("ext", ["", ".gii"])
    def test_formats_of_different_values_need_a_choice(self, bids, ext):
        self.write(bids, *retinotopy())
        self.write(bids, *retinotopy(ext=ext), value=1 + 1e-9)
        assert self.used(bids)[1]["L"].endswith(".mgz")
        self.write(bids, *retinotopy(ext=ext), value=2)
        with pytest.raises(UsageError, match=r"(?s)same map.*retinotopy.*differ in: extension"):
            chosen(bids)

    def test_the_advice_for_retinotopy_of_sessions_works(self, bids):
        for session in ("01", "02"):
            files = retinotopy(folder=f"sub-01/ses-{session}/Outputs")
            self.write(bids, *files, value=int(session))
        with pytest.raises(UsageError) as raised:
            chosen(bids)
        assert '{"retinotopy": {"session": "01"}}' in str(raised.value)
        assert "--session-label" not in str(raised.value)  # of no use to maps without sessions
        used = self.used(bids, bids_filters={"retinotopy": {"session": "02"}})[1]
        assert "ses-02" in used["L"]

    def test_maps_are_not_combined_across_the_surfaces_of_sessions(self, bids):
        shutil.rmtree(bids / "derivatives" / "firstlevel" / "sub-01")
        for number, session in enumerate("ab"):
            firstlevel(bids, *both(ses=session), *both(stat="effect", ses=session))
            self.write(bids, *retinotopy(folder=f"sub-01_ses-{session}/surf"), value=number)
            freesurfer(bids, f"sub-01_ses-{session}/surf/lh.white")
        with pytest.raises(UsageError, match="--session-label"):
            chosen(bids)
        for options in (
            {"session_label": ("b",)},
            {"bids_filters": {"retinotopy": {"session": "b"}}},
        ):
            files = chosen(bids, **options)
            assert [e.session for e in files.contrasts] == ["b"]
            assert [s.units for s in files.localizers["left"].values()] == [(("b", None),)] * 2
            assert "ses-b" in str(files.surfaces["L"].path)
            assert "Only maps of session b are used" in files.choices[0]
        for session in "ab":  # on a template they are on one surface
            firstlevel(bids, *both(ses=session, space="fsaverage"))
            firstlevel(bids, *both(ses=session, space="fsaverage", stat="effect"))
        files = chosen(bids, session_label=("b",), space="fsaverage")
        assert len(files.localizers["left"]["L"].maps) == 2

    def test_a_linked_folder_is_no_second_folder(self, bids):
        freesurfer(bids, *retinotopy())
        (bids / "sourcedata").mkdir()
        (bids / "sourcedata" / "freesurfer").symlink_to(bids / "derivatives" / "freesurfer")
        assert self.used(bids)[0] == "benson14"

    @pytest.mark.parametrize(
        ("pattern", "tag"),
        [
            ("sub-01_hemi-{h}_space-fsnative_desc-benson14_{kind}.func.gii", "benson14"),
            ("sub-01_hemi-{h}_space-fsnative_atlas-benson14_{kind}.shape.gii", "benson14"),
            ("sub-01_hemi-{h}_benson14_{kind}.mgz", "benson14"),
            ("sub-01_hemi-{h}_{kind}.mgz", "unnamed"),
            ("sub-01_{side}.inferred_{kind}.mgz", "inferred"),
            ("sub-01_space-fsnative_{side}.inferred_{kind}.mgz", "inferred"),
        ],
    )
    @pytest.mark.parametrize("folder", ["anat", "surf"])
    def test_bids_names(self, bids, pattern, tag, folder):
        for hemi in "LR":
            for kind in ("varea", "eccen"):
                name = pattern.format(h=hemi, side=f"{hemi.lower()}h", kind=kind)
                freesurfer(bids, f"sub-01/{folder}/{name}")
        source, used = self.used(bids)
        assert source == tag
        assert set(used) == {"L", "R"}

    def test_bids_names_in_the_space_of_the_maps_win_over_those_in_another(self, bids):
        for space in ("fsaverage", "fsnative"):
            for hemi in "LR":
                for kind in ("varea", "eccen"):
                    name = f"sub-01_hemi-{hemi}_space-{space}_desc-benson14_{kind}.func.gii"
                    freesurfer(bids, f"sub-01/anat/{name}")
            source, used = self.used(bids)
            assert source == "benson14"
            assert f"space-{space}_" in str(used["L"])

    @pytest.mark.parametrize(
        ("wanted", "is_used"),
        [
            ({"session": "02"}, False),
            ({"session": "*"}, False),
            ({"space": "fsLR"}, False),
            ({"session": None}, True),
            ({"space": "fsnative"}, True),
            ({"space": None}, True),
            ({"desc": "benson14"}, True),
            ({"desc": "inferred"}, False),
        ],
    )
    def test_filters_bind_the_names_of_freesurfer(self, bids, wanted, is_used):
        freesurfer(bids, *retinotopy())
        filters = {"retinotopy": wanted}
        assert bool(self.used(bids, bids_filters=filters)[1]) == is_used
        messages = " ".join(chosen(bids, bids_filters=filters).messages)
        assert ("none of the 4 maps of retinotopy passes the filter" in messages) != is_used

    def test_half_a_source_is_no_source(self, bids):
        freesurfer(bids, "sub-01/surf/lh.benson14_varea.mgz")
        assert self.used(bids) == (None, {})
        assert any("incomplete" in message for message in chosen(bids).messages)


class TestCost:
    """Discovery of one participant reads the folders of that participant only."""

    @contextmanager
    def counted(self, root):
        reads = []  # below the study only: imports read folders too
        active = [True]

        def hook(event, arguments):
            if (
                active[0]
                and event in ("os.scandir", "os.listdir")
                and str(root) in str(arguments[0])
            ):
                reads.append(str(arguments[0]))

        sys.addaudithook(hook)
        yield reads
        active[0] = False

    def make(self, bids, n_participants):
        for number in range(1, n_participants + 1):
            label = f"{number:03d}"
            (bids / f"sub-{label}").mkdir()
            firstlevel(bids, *both(label=label), *both(label=label, stat="effect"))
            freesurfer(bids, *retinotopy(folder=f"sub-{label}/surf"))
            touch(
                bids / "derivatives" / "fmriprep",
                *(
                    f"sub-{label}/ses-{ses}/func/sub-{label}_ses-{ses}_task-x_bold.nii.gz"
                    for ses in "abc"
                ),
            )

    def reads(self, bids):
        datasets = find_datasets(settings(bids))
        with self.counted(bids) as reads:
            index = index_participant(datasets, "001", {})
        assert len(index.statistical_maps) == 4
        assert len([file for file in index.retinotopic_maps if not file.is_volume]) == 4
        return reads

    @pytest.fixture
    def studies(self, bids, tmp_path):
        large = tmp_path / "large"
        describe(large, "study", "raw")
        describe(large / "derivatives" / "firstlevel", "firstlevel")
        (large / "derivatives" / "freesurfer").mkdir()
        self.make(bids, 4)
        self.make(large, 40)
        return bids, large

    def test_of_one_participant_it_does_not_grow_with_the_study(self, studies):
        small, large = (self.reads(bids) for bids in studies)
        assert len(small) == len(large) > 0
        participants = {part for read in large for part in Path(read).parts if "sub-0" in part}
        assert participants == {"sub-001"}

    def test_nor_does_that_of_a_whole_job(self, studies, tmp_path):
        counts = []
        for bids in studies:
            arguments = ["participant", "--dry-run", "--participant-label", "004"]
            with self.counted(bids) as reads:
                assert main([str(bids), str(tmp_path / "out"), *arguments]) == 0
            counts.append(len(reads))
        assert counts[0] == counts[1] > 0


class TestDeeperFolders:
    """Datasets that do not hold their participants themselves."""

    @pytest.fixture(autouse=True)
    def _empty(self, bids):
        for dataset in ("firstlevel", "freesurfer"):
            shutil.rmtree(bids / "derivatives" / dataset)

    def maps(self, root, **entities):
        touch(root, *both(**entities), *both(stat="effect", **entities))

    def used(self, bids, **options):
        files = chosen(bids, **options)
        source = files.localizers["left"]["L"].maps[0]
        return str(source.path.relative_to(bids / "derivatives")), source.uri.split("/")[0]

    @pytest.mark.parametrize("is_described", [True, False])
    @pytest.mark.parametrize("below", ["analysis-01", "glm/v2"])
    @pytest.mark.parametrize("is_named", [True, False])
    def test_are_found_two_levels_down(self, bids, is_described, below, is_named):
        if is_described:
            describe(bids / "derivatives" / "l1", "l1")
        self.maps(bids / "derivatives" / "l1" / below)
        given = (DerivativePath(bids / "derivatives" / "l1", "first"),) if is_named else ()
        path, uri = self.used(bids, derivatives=given)
        assert path.startswith(f"l1/{below}/sub-01/func/")
        assert uri == f"bids:{'first' if is_named else 'l1'}:{below.split('/')[0]}"

    def test_say_the_participants_of_a_study_without(self, bids):
        shutil.rmtree(bids / "sub-01")
        self.maps(bids / "derivatives" / "l1" / "analysis-01")
        assert list_participants(bids, find_datasets(settings(bids))) == ("01",)

    def test_of_a_task_say_the_task(self, bids):
        for task in ("loc", "main"):
            root = bids / "derivatives" / "firstlevel" / f"task-{task}"
            touch(root, *(both(task=None, stat="effect") + both(task=None)))
        files = chosen(bids)
        assert {contrast.task for contrast in files.contrasts} == {"loc", "main"}
        assert "task-loc/" in self.used(bids)[0]

    def test_beside_participants_are_not_looked_into(self, bids):
        root = bids / "derivatives" / "l1"
        self.maps(root)
        self.maps(root / "analysis-00", desc="older")
        assert self.used(bids)[0].startswith("l1/sub-01/")

    def test_of_fmriprep_have_freesurfer_inside(self, bids):
        self.maps(bids / "derivatives" / "glm" / "analysis-01")
        fmriprep = bids / "derivatives" / "fmriprep" / "analysis-01"
        touch(fmriprep / "sourcedata" / "freesurfer", *retinotopy())
        assert chosen(bids).retinotopy_source == "benson14"

    def test_several_of_them_need_a_choice_and_the_advice_works(self, bids):
        root = bids / "derivatives" / "l1"
        self.maps(root / "analysis-01")
        self.maps(root / "analysis-02")
        with pytest.raises(UsageError) as error:
            chosen(bids)
        advised = re.search("--derivatives (.*analysis-0[12])", str(error.value))[1]
        path, _ = self.used(bids, derivatives=(DerivativePath(Path(advised)),))
        assert path.startswith("l1/analysis-0")

    def test_our_own_results_are_not_looked_into(self, bids):
        older = bids / "derivatives" / "results" / "v1"
        self.maps(older)
        (older / "dataset_description.json").write_text(
            json.dumps({"GeneratedBy": [{"Name": "bids_secondlevel"}]})
        )
        self.maps(bids / "derivatives" / "l1" / "analysis-01")
        assert self.used(bids)[0].startswith("l1/")
