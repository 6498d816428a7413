"""A dataset as DataLad checks it out: links into the annex, and content that is elsewhere."""

import hashlib
import os

import pytest
from study import contents, estimates, make_study, read_tsv, run

# Some of what the program says of a link, and of the text that stands for an unlocked file.
LINK, POINTER = "a symbolic link to content", "a text in place of content"


def annex(root, path, *, fetched, unlocked=False):
    """Put a file into the annex as git-annex does, or only what it leaves in its place."""
    key = f"MD5E-s{path.stat().st_size}--{hashlib.md5(path.read_bytes()).hexdigest()}{path.suffix}"
    place = root / ".git" / "annex" / "objects" / key[-4:-2] / key / key
    if fetched and unlocked:
        return
    if unlocked:
        path.write_text(f"/annex/objects/{key}\n")
        return
    if fetched:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
        place.chmod(0o444)
    path.unlink()
    path.symlink_to(os.path.relpath(place, path.parent))


def check_out(root, *, unlocked, missing=()):
    """Annex every file; those whose path holds a word of `missing` are not fetched."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        text = str(path.relative_to(root))
        fetched = not any(word in text for word in missing)
        annex(root, path, fetched=fetched, unlocked=unlocked)


@pytest.mark.parametrize("unlocked", [False, True])
def test_results_are_those_of_plain_files_and_what_is_missing_is_named(tmp_path, unlocked):
    offsets = {"01": 0.0, "02": 1.0}
    plain = make_study(tmp_path / "plain", offsets)
    assert run(plain.root, tmp_path / "out", "participant", "--no-report").returncode == 0
    study = make_study(tmp_path / "annexed", offsets)
    check_out(study.root, unlocked=unlocked, missing=["sub-02"])
    before = contents(study.root)
    finished = run(study.root, tmp_path / "annexed-out", "participant", "--no-report")
    assert finished.returncode == 1
    assert estimates(tmp_path / "annexed-out") == estimates(tmp_path / "out")
    path = study.map_path("02", "main", "L", "attend", "effect")
    assert f"{path}: {POINTER if unlocked else LINK}" in finished.stderr
    assert f"datalad get {path}" in finished.stderr
    assert contents(study.root) == before
    written = b"".join(contents(tmp_path / "annexed-out").values())
    assert b"annex/objects" not in written  # sources are named as the dataset names them
    finished = run(study.root, tmp_path / "annexed-out", "group", "--no-report")
    assert finished.returncode == 0, finished.stderr
    rows = read_tsv(tmp_path / "annexed-out" / "group_estimates.tsv")
    measured = [row for row in rows if row["task"] == "main" and row["status"] == "ok"]
    assert {row["participant_id"] for row in measured} == {"sub-01"}


@pytest.mark.parametrize("unlocked", [False, True])
def test_a_description_that_is_not_fetched_is_named(tmp_path, unlocked):
    study = make_study(tmp_path / "annexed")
    check_out(study.root, unlocked=unlocked, missing=["dataset_description.json"])
    finished = run(study.root, tmp_path / "out", "participant")
    assert finished.returncode == 66
    assert f"datalad get {study.root / 'dataset_description.json'}" in finished.stderr
