"""Options are declared once, checked by what they declare, and written so that they can be read."""

from dataclasses import MISSING, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_secondlevel.cli.config import parse
from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.options import GROUP_LEVEL, GROUPS, RUNNING, options_of
from bids_secondlevel.core.positions import Position
from bids_secondlevel.core.roi_rule import RoiDefinition, RoiRule
from bids_secondlevel.core.settings import DerivativePath, Settings, settings_as_toml, settings_text

OPTIONS = options_of(Settings)


def make(level="participant", **options):
    return Settings(bids_dir=Path("bids"), output_dir=Path("out"), analysis_level=level, **options)


def test_every_option_has_its_own_name_and_a_heading():
    assert len({option.key for option in OPTIONS}) == len(OPTIONS)
    for option in OPTIONS:
        assert option.group in GROUPS or option.default is MISSING
        assert option.description
        assert "{" not in option.description


def test_options_say_what_they_take():
    by_name = {option.name: option for option in OPTIONS}
    taken = {name: (o.kind, o.is_list, o.length) for name, o in by_name.items()}
    assert taken["participant_label"] == (str, True, None)
    assert taken["eccentricity"] == taken["polar_angle"] == (float, True, 2)
    assert taken["n_procs"] == (int, False, 1)
    assert taken["exclude"] == (Path, False, 1)
    assert taken["derivatives"] == (DerivativePath, True, None)
    assert by_name["tail"].choices == ("greater", "less", "two-sided")
    assert by_name["hemi"].choices == ("L", "R", "both")
    assert by_name["report"].key == "no-report"
    assert by_name["sweep"].key == "sweep"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_procs": 0}, "--n-procs: 0 given; expected 1 or more."),
        ({"min_coverage": 1.5}, "--min-coverage: 1.5 given; expected a share between 0 and 1."),
        ({"n_permutations": -1}, "--n-permutations: -1 given; expected a number of sign flips"),
        ({"hemi": ("L", "L")}, "--hemi: L L given; expected L, R, both, or some."),
        ({"hemi": ("left",)}, "--hemi: left given; expected L, R, both, or some."),
        ({"summary": "sum"}, "--summary: sum given; expected one of mean, median, area-weighted"),
        ({"session_label": ("a b",)}, "--session-label: 'a b' is not a BIDS label"),
        ({"space": "fsLR-33k"}, "--space fsLR-33k: no such density"),
        ({"sweep_thresholds": (float("nan"),)}, "--sweep-thresholds: expected numbers."),
    ],
)
def test_a_value_that_cannot_be_right_is_named_with_what_was_expected(change, message):
    with pytest.raises(UsageError) as error:
        make(**change)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"eccentricity": (5.0, 1.0)},
            "--eccentricity: 5 1 given; expected two numbers in degrees, the lower one first.",
        ),
        (
            {"polar_angle": (0.0, 270.0)},
            "--polar-angle: 0 270 given; expected two different angles between -180 and 180 "
            "degrees.",
        ),
        ({"tail": "left"}, "--tail: left given; expected one of greater, less, two-sided."),
        ({"min_vertices": 0}, "--min-vertices: 0 given; expected 1 or more."),
        (
            {"min_variance_explained": float("inf")},
            "--min-variance-explained: inf given; expected a number.",
        ),
    ],
)
def test_a_rule_that_cannot_be_right_is_named_with_what_was_expected(change, message):
    with pytest.raises(UsageError) as error:
        RoiRule(**change)
    assert str(error.value) == message


def test_a_dataset_has_a_name_only_where_one_is_given():
    assert DerivativePath.parse("glm=/data/glm") == DerivativePath(Path("/data/glm"), "glm")
    assert DerivativePath.parse("/data/a=b") == DerivativePath(Path("/data/a=b"))
    assert DerivativePath.parse("glm=") == DerivativePath(Path("glm="))


LABELS = st.lists(st.text("abXY01", min_size=1, max_size=4), unique=True, max_size=3).map(tuple)
RULES = st.sampled_from(
    [
        RoiRule(),
        RoiRule(visual_areas=("V1", "V3"), exclusive=True, min_vertices=7),
        RoiRule(eccentricity=(1.0, 4.5), polar_angle=(-90.0, 0.0), min_variance_explained=0.1),
        RoiRule(threshold_kind="top-n", localizer_threshold=20.0, tail="two-sided"),
        RoiRule(threshold_kind="fdr", localizer_threshold=0.05),
    ]
)
OVERRIDES = st.sampled_from(
    [
        {},
        {"visual_areas": ("hV4",), "exclusive": False},
        {"eccentricity": (0.5, 2.0), "min_vertices": 3},
        {"threshold_kind": "top-percent", "localizer_threshold": 10.0},
        {"threshold_kind": "z", "localizer_threshold": 3.0, "tail": "less"},
    ]
)
MEASURED = st.fixed_dictionaries(
    {
        "participant_label": LABELS,
        "session_label": LABELS,
        "task_label": LABELS,
        "contrasts": LABELS,
        "statistic": st.sampled_from(["effect", "t"]),
        "space": st.sampled_from([None, "fsnative", "fsaverage5", "fsLR-59k", "fsLR"]),
        "hemi": st.sampled_from([(), ("both",), ("R", "L")]),
        "sweep": st.booleans(),
        "visual_field": st.booleans(),
        "eccentricity_bins": st.sampled_from([(), (0.0, 2.5, 8.0)]),
        "sweep_eccentricities": st.sampled_from([(), (3.0, 4.0)]),
        "positions": st.sampled_from(
            [(), (Position(name="UL", eccentricity=7.0, polar_angle=-45.0),)]
        ),
        "min_coverage": st.sampled_from([0.0, 0.5]),
        "model": st.sampled_from([None, "estimate ~ age", 'a "quoted" \\ one']),
        "rule": RULES,
    }
)


@settings(max_examples=40)
@given(MEASURED, st.lists(OVERRIDES, max_size=2))
def test_what_is_written_gives_the_same_settings_with_config(tmp_path_factory, options, changes):
    rules = [replace(options["rule"], **change) for change in changes]
    rois = tuple(RoiDefinition(f"roi{n}", ("UL",), rule) for n, rule in enumerate(rules))
    relative_to = {"attend": "UL"} if options["positions"] else {}
    written = make(rois=rois, relative_to=relative_to, **options)
    path = tmp_path_factory.mktemp("config") / "settings.toml"
    path.write_text(settings_text(written))
    assert parse(["bids", "out", "participant", "--config", str(path)]) == written


def test_paths_are_written_from_the_root_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = (DerivativePath(Path("glm"), "first"), DerivativePath(Path("fs")))
    written = settings_as_toml(make(derivatives=named, model="x_smdl.json"))
    assert written["derivatives"] == [f"first={tmp_path / 'glm'}", str(tmp_path / "fs")]
    assert written["model"] == str(tmp_path / "x_smdl.json")


def test_each_level_writes_what_decides_its_results():
    participant, group = settings_as_toml(make(sweep=True)), settings_as_toml(make("group"))
    running = {option.key for option in OPTIONS if option.group == RUNNING}
    assert not running & {*participant, *group}
    of_group = {o.key for o in OPTIONS if o.group == GROUP_LEVEL and o.default is not None}
    assert of_group <= set(group)
    assert "localizer-threshold" in participant
    assert "localizer-threshold" not in group
    assert "min-vertices" in group
