"""A TOML file is read as data: what it may say, and what is said of what it may not."""

import subprocess
import sys

import pytest

from bids_secondlevel.cli.config import parse
from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.settings import DerivativePath

POSITIONALS = ["bids", "out", "participant"]


@pytest.fixture
def read(tmp_path):
    """Parse the command line with a file of this content."""

    def with_config(content, *arguments):
        path = tmp_path / "config.toml"
        path.write_text(content)
        return parse([*POSITIONALS, "--config", str(path), *arguments])

    return with_config


def test_an_empty_file_says_nothing(read):
    assert read("") == parse(POSITIONALS)


def test_what_is_switched_off_in_the_file_is_off(read):
    content = "exclusive = false\nsweep = false\nno-report = false\nverbose = 0\n"
    assert read(content) == parse(POSITIONALS)


def test_a_flag_of_the_command_line_wins_over_the_file(read):
    settings = read("exclusive = false\nno-report = false\n", "--exclusive", "--no-report")
    assert settings.rule.exclusive
    assert not settings.report


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
        ("roi = 5", "roi must be tables, each under a heading [[roi]]."),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\n[[roi]]\nname = "b"\ncontrasts = "UL"',
            "[[roi]] number 2: contrasts = 'UL'; expected a list of strings, such as [\"...\"].",
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\ncombine = "some"',
            '[[roi]] number 1: combine = \'some\'; expected one of "all", "any".',
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\nexclusive = "no"',
            "[[roi]] number 1: exclusive = 'no'; expected true or false.",
        ),
        (
            '[[roi]]\nname = "a"\ncontrasts = []\nthreshold-kind = "fdr"',
            "[[roi]] number 1: --threshold-kind fdr needs a --localizer-threshold beside it.",
        ),
        ('[[roi]]\ncontrasts = ["UL"]', "[[roi]] number 1: has no name."),
    ],
)
def test_a_wrong_value_is_told_with_file_key_and_what_was_expected(read, tmp_path, content, told):
    with pytest.raises(UsageError) as error:
        read(content)
    assert str(error.value).startswith(f"--config {tmp_path / 'config.toml'}: {told}")


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
