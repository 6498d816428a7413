"""Options, configuration files, messages and exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest
from study import COMMAND, estimates, make_study, run, run_here

from bids_secondlevel import __version__
from bids_secondlevel.cli.config import parse
from bids_secondlevel.cli.main import main
from bids_secondlevel.cli.parser import build_parser
from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.settings import Settings

POSITIONALS = ["bids", "out", "participant"]


def test_version_and_help():
    assert run("--version").stdout == f"bids_secondlevel {__version__}\n"
    finished = run("--help")
    assert finished.returncode == 0
    for option in ("--participant-label", "--localizer-threshold", "--config", "--n-procs"):
        assert option in finished.stdout
    module = subprocess.run(
        [sys.executable, "-m", "bids_secondlevel", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert module.stdout == f"bids_secondlevel {__version__}\n"


def test_help_imports_nothing_scientific():
    code = (
        "import sys; from bids_secondlevel.cli.main import main; main(['--help'])\n"
        "heavy = {'numpy', 'scipy', 'nibabel', 'bids', 'pandas', 'joblib', 'nilearn', 'pydantic'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_every_option_is_in_the_help_with_its_default():
    text = " ".join(build_parser().format_help().split())
    assert "(default: 1.96)" in text
    assert "(default: 0 5; for areas from files no range" in text
    assert "(default: V1)" in text
    assert "(default: effect)" in text


def test_both_spellings_mean_the_same():
    hyphens = parse([*POSITIONALS, "--participant-label", "01", "--n-procs=2"])
    underscores = parse([*POSITIONALS, "--participant_label", "sub-01", "--n_procs=2"])
    assert hyphens == underscores
    assert hyphens.participant_label == ("01",)


def test_labels_with_underscored_values_are_not_touched():
    assert parse([*POSITIONALS, "--bids-filter-file=a_b.json"][:3]).bids_filter_file is None
    with pytest.raises(UsageError, match=r"a_b\.json"):
        parse([*POSITIONALS, "--bids_filter_file=a_b.json"])


@pytest.mark.parametrize(
    "options",
    [
        ["--threshold-kind", "top-n", "--localizer-threshold", "2.5"],
        ["--threshold-kind", "top-n", "--localizer-threshold", "0"],
        ["--threshold-kind", "top-percent", "--localizer-threshold", "101"],
        ["--threshold-kind", "fdr"],
        ["--threshold-kind", "p"],
        ["--tail", "left"],
        ["--min-vertices", "0"],
        ["--polar-angle", "0", "0"],
        ["--polar-angle", "0", "270"],
        ["--min-variance-explained", "nan"],
        ["--retinotopy-only", "--roi-contrasts", "UL"],
    ],
)
def test_rules_that_cannot_be(capsys, options):
    assert main([*POSITIONALS, *options]) == 64
    message = capsys.readouterr().err
    assert any(option in message for option in options if option.startswith("--"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--no-such-option"], "--no-such-option"),
        (["--participant-label", "../up"], "--participant-label ../up: is not a label"),
        (["--visual-areas", "V9"], "V9"),
        (["--visual-areas", "V1", "v1"], "twice"),
        (["--eccentricity", "5", "1"], "--eccentricity"),
        (["--eccentricity", "nan", "5"], "--eccentricity"),
        (["--eccentricity", "0"], "--eccentricity"),
        (["--localizer-threshold", "nan"], "--localizer-threshold"),
        (["--localizer-threshold", "high"], "--localizer-threshold"),
        (["--n-procs", "0"], "--n-procs"),
        (["--bids-filter-file", "nowhere.json"], "nowhere.json"),
        (["--part", "01"], "--part"),
    ],
)
def test_usage_errors_name_the_option(capsys, options, named):
    assert main([*POSITIONALS, *options]) == 64
    assert named in capsys.readouterr().err


def test_no_arguments_and_a_wrong_level(capsys):
    assert main([]) == 64
    assert main(["bids", "out", "dataset"]) == 17
    assert "'dataset' is not an analysis level" in capsys.readouterr().err


def test_filters_of_an_unknown_query(tmp_path, capsys):
    filters = tmp_path / "filters.json"
    filters.write_text('{"bold": {"desc": "x"}}')
    assert main([*POSITIONALS, "--bids-filter-file", str(filters)]) == 64
    assert "bold" in capsys.readouterr().err
    filters.write_text('["desc"]')
    assert main([*POSITIONALS, "--bids-filter-file", str(filters)]) == 64


def test_defaults_are_those_of_the_settings():
    assert parse(POSITIONALS) == Settings(
        bids_dir=Path("bids"), output_dir=Path("out"), analysis_level="participant"
    )


class TestBadInput:
    def test_no_such_folder(self, tmp_path, output, capsys):
        assert main([str(tmp_path / "nowhere"), str(output), "participant"]) == 66
        assert f"{tmp_path / 'nowhere'}: this folder does not exist" in capsys.readouterr().err
        assert not output.exists()

    @pytest.mark.parametrize("content", [None, "", "{", "[]", '{"Name": "x"}'])
    def test_no_valid_description(self, study, output, capsys, content):
        path = study.root / "dataset_description.json"
        path.unlink()
        if content is not None:
            path.write_text(content)
        assert main([str(study.root), str(output), "participant"]) == 16
        assert "dataset_description.json" in capsys.readouterr().err
        skipping = ["--skip-bids-validation", "--n-procs", "1", "--no-report"]
        assert main([str(study.root), str(output), "participant", *skipping]) == 0

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b'{"Name": "x", "BIDSVersion": "1.9.0",}', "cannot be read as JSON ("),
            (b'{"Name": "x",\n "BIDSVersion": "1.9.0"', "line 2 column"),
            ('{"Name": "x", "BIDSVersion": "1.9.0"}'.encode("utf-16"), "UTF-16; save it as UTF-8"),
            (b'{"Name":\n "\xe4", "BIDSVersion": "1.9.0"}', "not in UTF-8 (line 2)"),
            (b"[1]", "holds a JSON list; expected an object"),
        ],
    )
    def test_a_description_that_cannot_be_read_says_why(self, study, output, capsys, content, told):
        (study.root / "dataset_description.json").write_bytes(content)
        assert main([str(study.root), str(output), "participant"]) == 16
        message = capsys.readouterr().err
        assert told in message
        assert "BIDSVersion" not in message

    def test_unknown_participants(self, study, output, capsys, caplog):
        arguments = [str(study.root), str(output), "participant", "--participant-label"]
        assert main([*arguments, "99"]) == 18
        assert (
            "there is no participant 99 in this dataset. Participants: 01"
            in capsys.readouterr().err
        )
        assert main([*arguments, "01", "99"]) == 1
        assert "no participant 99" in caplog.text
        assert (output / "sub-01").exists()

    def test_no_localizer_lists_the_tasks(self, study, output, capsys):
        for path in study.firstlevel.rglob("*task-loc*"):
            path.rename(path.with_name(path.name.replace("task-loc", "task-quadrants")))
        assert main([str(study.root), str(output), "participant"]) == 66
        message = capsys.readouterr().err
        assert "tasks with z maps: quadrants; with other maps only: main" in message
        assert "--localizer-task" in message

    def test_output_over_input(self, study, capsys):
        assert main([str(study.root), str(study.root), "participant"]) == 64
        assert "OUTPUT_DIR" in capsys.readouterr().err
        assert main([str(study.root), str(study.firstlevel), "participant"]) == 64

    def test_one_message_and_a_traceback_only_when_asked_for(self, study, output):
        arguments = [study.root, output, "participant", "--participant-label", "99"]
        finished = run_here(*arguments)
        assert len(finished.stderr.splitlines()) == 1
        assert "Traceback" not in finished.stderr
        assert "Traceback" in run_here(*arguments, "-v").stderr


@pytest.mark.parametrize("through", ["bids", "../bids", "./link"])
def test_relative_paths_and_links_give_the_same_output(tmp_path, monkeypatch, through):
    study = make_study(tmp_path / "bids")
    (tmp_path / "link").symlink_to(study.root)
    (tmp_path / "inside").mkdir()
    assert run_here(study.root, tmp_path / "out", "participant", "--no-report").returncode == 0
    monkeypatch.chdir(tmp_path / "inside" if through.startswith("..") else tmp_path)
    finished = run_here(through, tmp_path / "other", "participant", "--no-report")
    assert finished.returncode == 0, finished.stderr
    assert estimates(tmp_path / "other") == estimates(tmp_path / "out")
    assert run_here(through, "here", "group").returncode == 66
    options = ["participant", "--no-report", "-d", f"glm={through}/derivatives/firstlevel"]
    options.append(f"{through}/derivatives/freesurfer")
    assert run_here(through, "here", *options).returncode == 0
    assert estimates(Path("here")) == estimates(tmp_path / "out")


def test_an_output_folder_beside_the_current_one_is_not_inside_it(tmp_path, monkeypatch):
    study = make_study(tmp_path / "bids")
    monkeypatch.chdir(study.root)
    finished = run_here(".", "../out", "participant", "--dry-run")
    assert finished.returncode == 0, finished.stderr
    assert run_here(".", "../bids", "participant", "--dry-run").returncode == 64


def test_installed_command_has_no_surprises(tmp_path):
    study = make_study(tmp_path / "a study with spaces" / "bids")
    output = tmp_path / "out put"
    finished = run(study.root, output, "participant", "--no-report")
    assert finished.returncode == 0
    assert finished.stderr.splitlines() == [
        "WARNING: Task loc is used as the localizer, because of its name (--localizer-task was not "
        "given).",
        "INFO: Space fsnative; localizer task loc; ROIs left, right.",
        "INFO: sub-01: 2 of 2 ROIs with vertices (left 3, right 2)",
        "WARNING: sub-01: few vertices in left (3), right (2)",
        "INFO: 1 participant: 0 ready, 1 to check (sub-01).",
    ]
    assert COMMAND.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("bids out participant --contrast a", "--contrast a; did you mean --contrasts?"),
        ("bids out participant --cross-validat", "did you mean --cross-validate?"),
        ("bids out participant --task main", "did you mean --task-label?"),
        ("bids out group --analysis_nam x", "did you mean --analysis-name?"),
        ("bids out", "required: participant or group"),
    ],
)
def test_an_option_that_is_nearly_right_is_asked_about(arguments, told, capsys):
    assert main(arguments.split()) == 64
    assert told in capsys.readouterr().err
