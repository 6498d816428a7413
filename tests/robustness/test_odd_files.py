"""What is no file, or has no proper name, is named in a message; nothing waits for it for ever."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from study import COMMAND, estimates, run_here, write_gifti

from bids_secondlevel.cli.main import main

NUMBERS = ("participant", "--no-report", "--n-procs", "1")
ATTEND = ("main", "attend", "left", "L")
FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of Unix")


def run(*arguments, **options):
    return subprocess.run(
        [COMMAND, *map(os.fspath, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
        **options,
    )


def level(study, output, *options):
    return main([str(study.root), str(output), *options])


def put_pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def test_pipes_in_the_place_of_files_of_the_study(group_study, output):
    put_pipe(group_study.firstlevel / "dataset_description.json")
    put_pipe(group_study.root / "participants.tsv")
    put_pipe(group_study.map_path("01", "main", "L", "attend", "effect"))
    finished = run(group_study.root, output, *NUMBERS)
    assert finished.returncode == 1, finished.stderr
    assert estimates(output, "02")[ATTEND]["status"] == "ok"
    put_pipe(output / "logs" / "sub-02_run.json")
    (table,) = output.glob("sub-03/func/*_desc-roi_estimates.tsv")
    put_pipe(table)
    finished = run_here(group_study.root, output, "group", "--no-report")
    assert finished.returncode == 1
    assert f"{table}: cannot be read" in finished.stderr
    assert f"{group_study.root / 'participants.tsv'}: cannot be read" in finished.stderr
    assert run_here(group_study.root, output, *NUMBERS).returncode == 1
    assert (output / "logs" / "sub-02_run.json").is_file()
    put_pipe(group_study.root / "dataset_description.json")
    assert run_here(group_study.root, output, *NUMBERS).returncode == 16


@pytest.mark.parametrize("option", ["--config", "--bids-filter-file", "--exclude"])
def test_devices_as_options(option, study, output):
    level = ("group",) if option == "--exclude" else NUMBERS
    finished = run(study.root, output, *level, option, "/dev/zero")
    assert finished.returncode == 64
    assert f"{option} /dev/zero" in finished.stderr


def test_the_output_of_a_command_as_an_option(study, output):
    script = f'"{COMMAND}" "$0" "$1" {" ".join(NUMBERS)} --config <(echo "summary = \'median\'")'
    finished = subprocess.run(
        ["bash", "-c", script, study.root, output], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert 'summary = "median"' in (output / "logs" / "sub-01_settings.toml").read_text()


def test_names_that_are_too_long(study, output, tmp_path):
    long = "x" * 300
    for arguments in ((tmp_path / long, output), (study.root, tmp_path / long)):
        finished = run_here(*arguments, *NUMBERS)
        assert finished.returncode in (64, 66, 73), finished.stderr
        assert long in finished.stderr
        assert "defect" not in finished.stderr
    finished = run_here(study.root, output, *NUMBERS, "-d", tmp_path / long)
    assert (finished.returncode, "defect" in finished.stderr) == (66, False)


def test_links_to_themselves_as_arguments(study, output, tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for arguments in ((loop, output), (study.root, loop), (study.root, loop / "below")):
        finished = run_here(*arguments, *NUMBERS)
        assert finished.returncode in (64, 66, 73), finished.stderr
        assert str(loop) in finished.stderr
        assert "defect" not in finished.stderr


def test_a_current_folder_that_is_gone(tmp_path):
    script = f'mkdir gone; cd gone; rmdir ../gone; "{COMMAND}" bids out participant'
    finished = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 66
    assert "defect" not in finished.stderr


@pytest.mark.skipif(not FULL.exists(), reason="Linux only")
def test_a_dry_run_that_cannot_be_printed(study, output):
    with FULL.open("w") as full:
        finished = subprocess.run(
            [COMMAND, study.root, output, "participant", "--dry-run"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert finished.returncode == 73
    assert "defect" not in finished.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_options_whose_names_are_no_unicode(group_study, tmp_path):
    odd = tmp_path / os.fsdecode(b"odd\xff")
    odd.symlink_to(group_study.root / "derivatives")
    filters, exclusions = tmp_path / os.fsdecode(b"f\xff"), tmp_path / os.fsdecode(b"e\xff")
    filters.write_text("{}")
    exclusions.write_text("participant_id\treason\nsub-01\tmoved\n")
    output = tmp_path / "out"
    options = ("-d", odd, "--bids-filter-file", filters)
    assert run(group_study.root, output, *NUMBERS, *options).returncode == 0
    again = run_here(group_study.root, output, *NUMBERS, *options)
    assert again.stderr.count("up to date\n") == 4
    finished = run_here(group_study.root, output, "group", "--no-report", "--exclude", exclusions)
    assert finished.returncode == 0, finished.stderr


def test_a_description_of_the_results_that_is_lost_is_written_again(study, output):
    assert level(study, output, *NUMBERS) == 0
    description = output / "dataset_description.json"
    right = description.read_bytes()
    for content in (b"", right[:40]):
        description.write_bytes(content)
        assert level(study, output, *NUMBERS) == 0
        assert description.read_bytes() == right
    description.unlink()
    assert level(study, output, *NUMBERS) == 0
    assert description.read_bytes() == right
    description.write_text('{"Name": "another", "BIDSVersion": "1.10.0"}')
    assert level(study, output, *NUMBERS) == 64


def with_values_beside(path, name):
    """Write a map as SPM does: its values are in a file beside it."""
    values = nib.load(path).darrays[0].data
    array = nib.gifti.GiftiDataArray(values, encoding="GIFTI_ENCODING_ASCII", endian="little")
    xml = nib.gifti.GiftiImage(darrays=[array]).to_bytes().decode()
    head, _, rest = xml.partition("<Data>")
    head = head.replace('Encoding="ASCII"', 'Encoding="ExternalFileBinary"')
    head = head.replace('ExternalFileName=""', f'ExternalFileName="{name}"')
    path.write_text(head + "<Data></Data>" + rest.partition("</Data>")[2])
    return values


def test_values_of_gifti_in_a_file_beside_it(study, output, caplog):
    path = study.map_path("01", "main", "L", "attend", "effect")
    values = with_values_beside(path, path.with_suffix(".dat").name)
    path.with_suffix(".dat").write_bytes(values.astype("<f4").tobytes())
    assert level(study, output, *NUMBERS) == 0
    before = float(estimates(output)[ATTEND]["estimate"])
    assert level(study, output, *NUMBERS) == 0
    assert "up to date" in caplog.text
    path.with_suffix(".dat").write_bytes((values + 100).astype("<f4").tobytes())
    os.utime(path.with_suffix(".dat"), (0, 0))
    assert level(study, output, *NUMBERS) == 0
    assert float(estimates(output)[ATTEND]["estimate"]) == before + 100


@pytest.mark.parametrize("name", ["../secret", "/dev/zero", "other.dat"])
def test_values_of_gifti_elsewhere(name, study, output, caplog):
    path = study.map_path("01", "main", "L", "attend", "effect")
    values = with_values_beside(path, name)
    (path.parent / "other.dat").write_bytes(values.astype("<f4").tobytes())
    (path.parent.parent / "secret").write_bytes(values.astype("<f4").tobytes())
    assert level(study, output, *NUMBERS) != 0
    assert estimates(output)[ATTEND]["status"] == "unreadable_map"
    assert f"{path}: its values are in another file, {name!r}" in caplog.text


def test_numbers_that_cannot_be_computed_with(study, output, caplog):
    path = study.map_path("01", "main", "L", "attend", "effect")
    values = nib.load(path).darrays[0].data.astype("f8")
    write_gifti(path, np.where(values > 0, 1e308, values), "L", "f8")
    assert level(study, output, *NUMBERS) != 0
    assert estimates(output)[ATTEND]["status"] == "unreadable_map"
    assert f"{path}: holds values beyond 1e+100" in caplog.text
