"""Wherever and as whoever it is run, the program gives the same results."""

import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from study import COMMAND, contents, make_study, run
from surroundings import as_user, namespace, run_with

from bids_secondlevel.cli.main import main

PARTICIPANT = ("participant", "--participant-label", "01", "--n-procs", "1")
NUMBERS = (*PARTICIPANT, "--no-report")
NOWHERE = {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None, "MPLCONFIGDIR": None}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses what Linux has")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("given") / "bids", {"01": 0.0})


@pytest.fixture(scope="module")
def expected(study, tmp_path_factory):
    """What is written in ordinary surroundings."""
    output = tmp_path_factory.mktemp("ordinary") / "out"
    assert main([str(study.root), str(output), *PARTICIPANT]) == 0
    return contents(output)


def check(finished, output, expected, *, pages=False):
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    written = contents(output)
    if pages:
        assert set(written) == set(expected)
    tables = {n: text for n, text in written.items() if n.endswith((".tsv", ".gii"))}
    assert len(tables) > 10
    assert [name for name, text in tables.items() if expected[name] != text] == []


def test_an_unknown_user_without_home_and_with_umask_077(study, tmp_path, expected):
    output = tmp_path / "out"
    output.mkdir()
    prefix = as_user(54321)
    if prefix:
        os.chown(output, 54321, 54321)
    elif prefix is None:
        prefix = ()
    finished = run_with(
        (*prefix, "sh", "-c", 'umask 077; exec "$0" "$@"'),
        study.root,
        output,
        *NUMBERS,
        environment={**NOWHERE, "USER": None, "LOGNAME": None, "TMPDIR": None},
        cwd="/",
    )
    check(finished, output, expected)
    for path in output.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert path.stat().st_uid == (54321 if prefix else os.geteuid())


def test_a_home_that_does_not_exist_and_no_folder_for_temporary_files(study, tmp_path, expected):
    nowhere = str(tmp_path / "nowhere")
    environment = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR"), nowhere)
    output = tmp_path / "out"
    check(run_with((), study.root, output, *NUMBERS, environment=environment), output, expected)
    assert not Path(nowhere).exists()


def test_a_read_only_system_without_network(study, tmp_path, expected):
    """Only the folder of the results and shared memory can be written to, as in a container."""
    output = tmp_path / "out"
    output.mkdir()
    command = shlex.join([str(part) for part in (COMMAND, study.root, output, *PARTICIPANT)])
    prefix = namespace("mount", "net")
    if prefix is None:  # what can be had without rights: nothing to write to but the output
        environment = {**NOWHERE, "HOME": "/proc", "https_proxy": "localhost:9"}
        finished = run_with((), study.root, output, *PARTICIPANT, environment=environment)
        check(finished, output, expected, pages=True)
        return
    script = f"""
        set -e
        mount --bind {shlex.quote(str(output))} {shlex.quote(str(output))}
        for place in $(awk '{{print $2}}' /proc/mounts | grep -v -e ^/dev -e ^{output}$)
        do mount -o remount,bind,ro "$place" 2> /dev/null || true; done
        if touch {shlex.quote(str(tmp_path / "outside"))} /tmp/outside 2> /dev/null
        then exit 99; fi
        exec {command}
    """
    environment = {name: value for name, value in os.environ.items() if name not in NOWHERE}
    finished = subprocess.run(
        [*prefix, "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    check(finished, output, expected, pages=True)


def test_locale_c_and_paths_with_spaces_and_umlauts(study, tmp_path, expected):
    root = tmp_path / "my ünîcode study"
    shutil.copytree(study.root, root / "bids")
    output = root / "out put"
    surroundings = {"LC_ALL": "C", "LANG": None}  # which Python turns into UTF-8
    finished = run_with((), root / "bids", output, *NUMBERS, environment=surroundings)
    check(finished, output, expected)


def as_somebody_else(folder, study, script):
    """Run Python code as a user who may not read a folder.

    Root runs both levels before, elsewhere: that user may not read where Python is, either.
    """
    elsewhere = study.root.with_name("elsewhere")
    begin = (
        "import os, sys\nfrom bids_secondlevel.cli.main import main\n"
        "if os.geteuid() == 0:\n"
        f"    main([{str(study.root)!r}, {str(elsewhere)!r}, *{NUMBERS!r}])\n"
        f"    main([{str(study.root)!r}, {str(elsewhere)!r}, 'group', '--no-report'])\n"
        "    os.setuid(54321)\n"
    )
    folder.chmod(0)
    try:
        return subprocess.run(
            [sys.executable, "-c", begin + script], capture_output=True, text=True, check=False
        )
    finally:
        folder.chmod(0o755)


@pytest.fixture
def passable():
    """A folder that everybody may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_home_that_this_user_may_not_read(passable, expected):
    study = make_study(passable / "bids", {"01": 0.0})
    home, output = passable / "home", passable / "out"
    home.mkdir()
    output.mkdir()
    output.chmod(0o777)
    arguments = [str(study.root), str(output), *NUMBERS]
    script = f"os.environ['HOME'] = {str(home)!r}\ncode = main({arguments!r})\n"
    finished = as_somebody_else(home, study, f"{script}print(os.environ['HOME'])\nsys.exit(code)")
    check(finished, output, expected)
    assert finished.stdout == "/\n"


@pytest.mark.parametrize("folder", ["sub-01", "sub-01/func"])
def test_results_that_this_user_may_not_read(passable, folder):
    """They are not those of a participant without results."""
    study = make_study(passable / "bids", {"01": 0.0, "02": 1.0})
    output = passable / "out"
    numbers = ["participant", "--n-procs", "1", "--no-report"]
    assert main([str(study.root), str(output), *numbers]) == 0
    arguments = [str(study.root), str(output), "group", "--no-report"]
    finished = as_somebody_else(output / folder, study, f"sys.exit(main({arguments!r}))")
    assert finished.returncode == 66, finished.stderr
    assert f"{output / folder}: you have no permission to read this" in finished.stderr


def test_input_that_this_user_may_not_read(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0)
    numbers = ["participant", "--n-procs", "1", "--no-report"]
    script = (
        "import os, sys; import bids_secondlevel.cli.libraries\n"
        "from bids_secondlevel.cli.main import main\n"
        "if os.geteuid() == 0: os.seteuid(54321)\n"  # whatever has to be imported is there
        f"sys.exit(main({[str(locked / 'bids'), str(tmp_path / 'out'), *numbers]!r}))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 66, finished.stderr
    assert f"{locked}/bids: you have no permission to read this" in finished.stderr
    locked.chmod(0o755)


def test_ascii_only(study, tmp_path, expected):
    output = tmp_path / "out"
    surroundings = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    check(
        run_with((), study.root, output, *PARTICIPANT, environment=surroundings), output, expected
    )


def test_links_to_input_and_output(study, tmp_path, expected):
    """A link to the study, files that are links as DataLad's, and a link to the output."""
    store = tmp_path / "store"
    shutil.copytree(study.root, store / "bids")
    for number, path in enumerate(sorted(store.rglob("*.m*"))):
        kept = store / "annex" / str(number)
        kept.parent.mkdir(exist_ok=True)
        path.rename(kept)
        path.symlink_to(os.path.relpath(kept, path.parent))
    (store / "results").mkdir()
    (tmp_path / "bids").symlink_to("store/bids")
    (tmp_path / "out").symlink_to("store/results")
    finished = run(tmp_path / "bids", tmp_path / "out", *NUMBERS)
    check(finished, store / "results", expected)
    assert (tmp_path / "out").is_symlink()
