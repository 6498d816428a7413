"""A TOML file is read as data: what it may say, and what is said of what it may not."""

import json
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from study import run_here

from bids_secondlevel.cli.config import parse
from bids_secondlevel.cli.main import main
from bids_secondlevel.cli.parser import build_parser
from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.options import options_of
from bids_secondlevel.core.roi_rule import RoiDefinition, RoiRule
from bids_secondlevel.core.settings import DerivativePath, Settings

POSITIONALS = ["bids", "out", "participant"]


@pytest.fixture
def read(tmp_path):
    """Parse the command line with a file of this content."""

    def with_config(content, *arguments):
        path = tmp_path / "config.toml"
        path.write_text(content)
        return parse([*POSITIONALS, "--config", str(path), *arguments])

    return with_config


def test_config_and_command_line_give_the_same_settings(tmp_path):
    filters = tmp_path / "filters.json"
    filters.write_text(json.dumps({"localizer": {"desc": None}}))
    exclude = tmp_path / "exclude.tsv"
    exclude.write_text("participant_id\treason\nsub-03\tmoved\n")
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
participant-label = ["01", "sub-02"]
session_label = ["a"]
derivatives = ["glm=/data/glm", "/data/fs"]
bids-filter-file = "{filters}"
localizer-task = "floc"
roi-contrasts = ["faces"]
localizer-threshold = 20
threshold-kind = "top-n"
tail = "two-sided"
exclusive = true
min-vertices = 4
visual-areas = ["V1", "2"]
eccentricity = [1, 4.5]
polar-angle = [-90, 0]
min-variance-explained = 0.1
summary = "median"
run-weights = "equal"
cross-validate = true
sweep = true
sweep-thresholds = [2, 3]
sweep-eccentricities = [4]
no-visual-field = true
eccentricity-bins = [0, 2, 8]
polar-angle-bins = 4
retinotopy-source = "inferred"
task-label = ["main"]
contrasts = ["attend"]
statistic = "t"
space = "fsaverage"
hemi = ["both"]
units = "percent"
exclude = "{exclude}"
min-coverage = 0.25
n-permutations = 99
model = "estimate ~ age"
analysis-name = "second"
group-maps = "fsLR-59k"
family = "all"
equivalence-bound = 0.2
group-by = "sex"
robust = true
anova = ["contrast", "roi"]
n-procs = 3
figure-format = ["svg", "pdf"]
force = true
stop-on-first-crash = true
no-report = true
dry-run = true
skip-bids-validation = true
verbose = 2
"""
    )
    arguments = (
        "--participant-label 01 sub-02 --session-label a -d glm=/data/glm /data/fs "
        f"--bids-filter-file {filters} --localizer-task floc --roi-contrasts faces "
        "--localizer-threshold 20 --threshold-kind top-n --tail two-sided --exclusive "
        "--min-vertices 4 --visual-areas V1 V2 --eccentricity 1 4.5 --polar-angle -90 0 "
        "--min-variance-explained 0.1 --summary median --run-weights equal "
        "--cross-validate --sweep "
        "--sweep-thresholds 2 3 --sweep-eccentricities 4 "
        "--no-visual-field --eccentricity-bins 0 2 8 --polar-angle-bins 4 "
        "--retinotopy-source inferred --task-label main --contrasts attend --statistic t "
        "--space fsaverage --hemi both --units percent "
        "--figure-format svg pdf "
        "--n-procs 3 --force --stop-on-first-crash --dry-run --no-report --skip-bids-validation -vv"
    ).split()
    of_group = f"--exclude {exclude} --min-coverage 0.25 --n-permutations 99 --family all"
    of_group += " --equivalence-bound 0.2 --group-by sex --robust --anova contrast roi"
    of_group += " --group-maps fsLR-59k"
    of_group = [*of_group.split(), "--analysis-name", "second", "--model", "estimate ~ age"]
    from_file = parse([*POSITIONALS, "--config", str(config)])
    given = parse([*POSITIONALS, *arguments])
    at_group = parse(["bids", "out", "group", *of_group])
    names = [o.name for o in options_of(Settings) if o.levels == ("group",)]
    names += ["exclusions"]
    assert from_file == replace(given, **{name: getattr(at_group, name) for name in names})
    options = {action.dest for action in build_parser()._actions}  # noqa: SLF001
    options -= {"help", "version", "bids_exec_spec", "config"}
    # These exclude --roi-contrasts and --no-report.
    options -= {"retinotopy_only", "reports_only", "explore"}
    rule = {field.name for field in fields(RoiRule)}
    for name in sorted(options - {"bids_dir", "output_dir", "analysis_level"}):
        value, default = (
            (getattr(from_file.rule, name), getattr(RoiRule(), name))
            if name in rule
            else (getattr(from_file, name), getattr(parse(POSITIONALS), name))
        )
        assert value != default, f"{name} is not covered by this test"


def test_labels_may_be_in_a_file_one_a_line(tmp_path):
    path = tmp_path / "subjects.txt"
    path.write_text("01\r\nsub-02\n\n03\n")
    given = parse([*POSITIONALS, "--participant-label", str(path), "07"])
    assert given.participant_label == ("01", "02", "03", "07")
    config = tmp_path / "settings.toml"
    config.write_text(f'participant-label = ["{path}"]\n')
    assert parse([*POSITIONALS, "--config", str(config)]).participant_label == ("01", "02", "03")


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_file_without_labels_is_named(tmp_path, content):
    path = tmp_path / "subjects.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=r"--participant-label .*subjects\.txt: .*label on each"):
        parse([*POSITIONALS, "--participant-label", str(path)])


def test_the_option_that_the_example_of_bids_apps_has_is_accepted():
    assert parse([*POSITIONALS, "--skip_bids_validator"]).skip_bids_validation


@pytest.mark.parametrize(
    ("level", "options", "named"),
    [
        ("group", "--statistic z", "--statistic acts at participant level only"),
        ("group", "--summary median --sweep", "--summary and --sweep act at participant level"),
        ("group", "--eccentricity 0 3", "--eccentricity acts at participant level only"),
        ("group", "--polar-angle 0 90", "--polar-angle acts at participant level only"),
        ("participant", "--min-coverage=.5", "--min-coverage acts at group level only"),
        ("participant", "--model a --analysis_name b", "--model and --analysis-name act at group"),
    ],
)
def test_an_option_that_does_nothing_at_a_level_is_refused(level, options, named):
    with pytest.raises(UsageError, match=named):
        parse(["bids", "out", level, *options.split()])


def test_one_file_serves_both_levels(tmp_path):
    path = tmp_path / "both.toml"
    path.write_text('statistic = "z"\nmin-coverage = 0.25\n')
    for level in ("participant", "group"):
        settings = parse(["bids", "out", level, "--config", str(path)])
        assert (settings.statistic, settings.min_coverage) == ("z", 0.25)


def test_what_acts_at_both_levels_or_says_how_to_run_is_taken_at_both():
    options = "--participant-label 01 --contrasts a --min-vertices 3 --n-procs 2 --force -v"
    for level in ("participant", "group"):
        assert parse(["bids", "out", level, *options.split()]).contrasts == ("a",)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_may_begin_with_a_byte_order_mark(tmp_path, mark):
    path = tmp_path / "windows.toml"
    path.write_bytes(mark + b"sweep = true\r\n")
    assert parse([*POSITIONALS, "--config", str(path)]).sweep


def test_roi_tables_override_the_rule_for_themselves(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        """
visual-areas = ["V1", "V2"]
exclusive = true
[[roi]]
name = "UL"
contrasts = ["UL"]
[[roi]]
name = "upper"
contrasts = ["UL", "contrast-UR"]
combine = "any"
exclude = ["LL"]
eccentricity = [1, 3]
threshold-kind = "fdr"
localizer_threshold = 0.05
exclusive = false
[[roi]]
name = "V3"
contrasts = []
visual-areas = ["V3"]
"""
    )
    settings = parse([*POSITIONALS, "--config", str(config), "--tail", "two-sided"])
    default = RoiRule(visual_areas=("V1", "V2"), exclusive=True, tail="two-sided")
    assert settings.rule == default
    assert settings.rois == (
        RoiDefinition("UL", ("UL",), default),
        RoiDefinition(
            "upper",
            ("UL", "UR"),
            replace(
                default,
                eccentricity=(1.0, 3.0),
                threshold_kind="fdr",
                localizer_threshold=0.05,
                exclusive=False,
            ),
            "any",
            ("LL",),
        ),
        RoiDefinition("V3", (), replace(default, visual_areas=("V3",))),
    )


def test_an_empty_file_says_nothing(read):
    assert read("") == parse(POSITIONALS)


def test_what_is_switched_off_in_the_file_is_off(read):
    content = "exclusive = false\nsweep = false\nno-report = false\nverbose = 0\n"
    assert read(content) == parse(POSITIONALS)


def test_a_flag_of_the_command_line_wins_over_the_file(read):
    settings = read("exclusive = false\nno-report = false\n", "--exclusive", "--no-report")
    assert settings.rule.exclusive
    assert not settings.report


def test_the_command_line_wins_over_the_file(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('localizer-threshold = 2.5\nspace = "fsaverage"\n')
    settings = parse([*POSITIONALS, "--config", str(config), "--localizer-threshold", "3"])
    assert (settings.rule.localizer_threshold, settings.space) == (3.0, "fsaverage")


def test_a_list_of_the_command_line_replaces_that_of_the_file(read):
    settings = read('hemi = ["L"]\neccentricity = [1, 2]\n', "--hemi", "R", "both")
    assert settings.hemi == ("R", "both")
    assert settings.rule.eccentricity == (1.0, 2.0)


def test_datasets_of_the_file_may_have_names(read):
    (named, plain) = read('derivatives = ["glm=/data/a", "/data/b=c"]').derivatives
    assert named == DerivativePath.parse("glm=/data/a")
    assert plain == DerivativePath.parse("/data/b=c")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("localizer-threshold = true", "localizer-threshold = True; expected a number."),
        ('localizer-threshold = "2"', "localizer-threshold = '2'; expected a number."),
        ("localizer-threshold = [2]", "localizer-threshold = [2]; expected a number."),
        (
            "localiser-threshold = 2",
            "unknown key 'localiser-threshold'; did you mean localizer-threshold?",
        ),
        ("n_procs = 2.0", "n_procs = 2.0; expected a whole number."),
        ('sweep = "yes"', "sweep = 'yes'; expected true or false."),
        ("sweep = 1", "sweep = 1; expected true or false."),
        ("verbose = true", "verbose = True; expected a whole number."),
        ("statistic = 5", "statistic = 5; expected a string."),
        ("exclude = 5", "exclude = 5; expected a string."),
        ('space = ["fsnative"]', "space = ['fsnative']; expected a string."),
        (
            'participant-label = "01"',
            "participant-label = '01'; expected a list of strings, such as [\"...\"].",
        ),
        (
            "participant-label = []",
            'participant-label = []; expected a list of strings, such as ["..."].',
        ),
        (
            "participant-label = [1]",
            'participant-label = [1]; expected a list of strings, such as ["..."].',
        ),
        ("derivatives = [1]", 'derivatives = [1]; expected a list of strings, such as ["..."].'),
        (
            "eccentricity = [1, 2, 3]",
            "eccentricity = [1, 2, 3]; expected a list of 2 numbers, such as [0, 5].",
        ),
        (
            'sweep-thresholds = ["a"]',
            "sweep-thresholds = ['a']; expected a list of numbers, such as [0, 5].",
        ),
        ('tail = "left"', 'tail = \'left\'; expected one of "greater", "less", "two-sided".'),
        ('hemi = ["l"]', 'hemi = [\'l\']; expected a list of some of "L", "R", "both".'),
        ("bids-dir = 5", "unknown key 'bids-dir'; expected one of participant-label, "),
        ("rule = {tail = 5}", "unknown key 'rule'; expected one of participant-label, "),
        ("config = 'x'", "unknown key 'config'; expected one of participant-label, "),
        ("roi = 5", "expected roi as entries, each under the heading [[roi]]."),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\n[[roi]]\nname = "b"\ncontrasts = "UL"',
            '[[roi]] "b": contrasts = \'UL\'; expected a list of strings, such as ["..."].',
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = [1]',
            '[[roi]] "a": contrasts = [1]; expected a list of strings, such as ["..."].',
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\ncombin = "any"',
            "[[roi]] \"a\": unknown key 'combin'; did you mean combine? Expected one of name, ",
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\ncolour = "red"',
            "[[roi]] \"a\": unknown key 'colour'; expected one of name, contrasts, ",
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\nspace = "fsaverage"',
            "[[roi]] \"a\": unknown key 'space'; expected one of name, contrasts, ",
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\nlocalizer-threshold = "high"',
            "[[roi]] \"a\": localizer-threshold = 'high'; expected a number.",
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\nthreshold-kind = "best"',
            '[[roi]] "a": threshold-kind = \'best\'; expected one of "z", ',
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\ncombine = "some"',
            '[[roi]] "a": combine = \'some\'; expected one of "all", "any".',
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\nexclusive = "no"',
            "[[roi]] \"a\": exclusive = 'no'; expected true or false.",
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\nthreshold-kind = "fdr"',
            '[[roi]] "a": --threshold-kind fdr also needs --localizer-threshold.',
        ),
        ('[[roi]]\ncontrasts = ["UL"]', "[[roi]] number 1: has no key name."),
        (
            '[[roi]]\nname = "a"',
            '[[roi]] "a": has no key contrasts. Write contrasts = [] for an ROI by',
        ),
        ("= nothing", "cannot be read as TOML"),
    ],
)
def test_a_wrong_value_is_told_with_file_key_and_what_was_expected(read, tmp_path, content, told):
    with pytest.raises(UsageError) as error:
        read(content)
    assert str(error.value).startswith(f"--config {tmp_path / 'config.toml'}: {told}")


def test_a_config_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"--config .*nothing\.toml: this file does not exist"):
        parse([*POSITIONALS, "--config", str(tmp_path / "nothing.toml")])


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ('name = "a b"\ncontrasts = []', "'a b'"),
        ('name = "../a"\ncontrasts = []', "'../a'"),
        ('name = "a"\ncontrasts = []\nexclude = ["UL"]', "exclude"),
        ('name = "a"\ncontrasts = []\n[[roi]]\nname = "A"\ncontrasts = []', "same name"),
        ('name = "a"\ncontrasts = []\neccentricity = [5, 1]', "--eccentricity: 5 1 given"),
    ],
)
def test_a_roi_that_cannot_be_ends_with_a_usage_error(tmp_path, capsys, table, named):
    config = tmp_path / "config.toml"
    config.write_text(f"[[roi]]\n{table}\n")
    assert main([*POSITIONALS, "--config", str(config)]) == 64
    assert named in capsys.readouterr().err


def test_a_wrong_value_is_told_though_the_command_line_wins(read):
    with pytest.raises(UsageError, match="localizer-threshold"):
        read('localizer-threshold = "high"', "--localizer-threshold", "3")


def test_without_a_file_nothing_is_imported_that_reads_one():
    code = (
        "import sys; from bids_secondlevel.cli.config import parse\n"
        "parse(['bids', 'out', 'participant', '--sweep', '--hemi', 'L'])\n"
        "sys.exit(', '.join({'pydantic', 'numpy', 'pandas'} & set(sys.modules)) or 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")


POSITIONS = """
relative_to = { attendUL = "ul" }
[[position]]
name = "UL"
eccentricity = 7
polar-angle = -45
[[position]]
name = "R"
eccentricity = 3.5
polar_angle = 90
"""


def test_positions_and_the_contrasts_that_have_one(read):
    given = read(POSITIONS)
    assert [(p.name, p.eccentricity, p.polar_angle) for p in given.positions] == [
        ("UL", 7.0, -45.0),
        ("R", 3.5, 90.0),
    ]
    assert given.relative_to == {"attendUL": "ul"}
    inline = 'relative_to = { attendUL = "ul" }\n'
    as_table = POSITIONS.replace(inline, "") + '[relative-to]\nattendUL = "ul"\n'
    assert read(as_table) == given


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('"ul"', '"LL"', "relative-to: attendUL = 'LL'; expected .* there are: UL, R"),
        ('"ul"', "1", "relative_to. attendUL is not a text; expected a position"),
        ('{ attendUL = "ul" }', '"UL"', "expected relative_to as a table under the heading"),
        ("-45", "-181", "number 1: polar-angle = -181; expected degrees from -180 to 180"),
        ("-45", "nan", "number 1: polar-angle = nan; expected"),
        ("= 7", "= 0", "number 1: eccentricity = 0; expected degrees of visual angle above 0"),
        ("= 7", '= "7"', "number 1: eccentricity = '7'; expected a number"),
        ("eccentricity = 7", "", "number 1: has no key eccentricity"),
        ("eccentricity = 7", "eccentricty = 7", "did you mean eccentricity"),
        ('"R"', '"ul"', "two positions have the same name"),
        ('"R"', '"own"', "number 2: name = 'own'; expected a name other than 'own'"),
    ],
)
def test_positions_that_cannot_be(read, before, after, named):
    with pytest.raises(UsageError, match=named):
        read(POSITIONS.replace(before, after))


def test_an_unknown_level_has_an_exit_code_of_its_own():
    """That of the draft of the BIDS execution specification."""
    finished = run_here("bids", "out", "subject")
    assert finished.returncode == 17
    assert "'subject' is not an analysis level" in finished.stderr
