import json

import pytest

from bids_secondlevel.errors import DataError
from bids_secondlevel.participants_table import read_participants


def write(folder, text, description=None, encoding="utf-8"):
    (folder / "participants.tsv").write_bytes(text.encode(encoding))
    if description is not None:
        (folder / "participants.json").write_text(json.dumps(description))
    return read_participants(folder)


def test_no_file_is_an_empty_table(tmp_path):
    table = read_participants(tmp_path)
    assert (table.columns, dict(table.values)) == ((), {})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_values_as_they_stand(tmp_path, encoding, newline):
    lines = ["participant_id\tage\tgroup", "sub-01\t34\tköntrol", '02\tn/a\t"a b"', "", ""]
    table = write(tmp_path, newline.join(lines), encoding=encoding)
    assert table.columns == ("age", "group")
    assert table.values == {
        "sub-01": {"age": "34", "group": "köntrol"},
        "sub-02": {"age": None, "group": "a b"},
    }


def test_levels_make_a_column_categorical(tmp_path):
    description = {
        "group": {"Levels": {"1": "patient", "2": "control"}},
        "age": {"Units": "year"},
        "site": {"Levels": {}},
    }
    table = write(tmp_path, "participant_id\tgroup\tage\nsub-01\t1\t20\n", description)
    assert table.categorical == {"group"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("subject\tage\nsub-01\t3\n", "has no column participant_id; found subject, age"),
        ("participant_id\tage\nsub-01\t3\n01\t4\n", "two rows of sub-01"),
        ("participant_id\tage\nsub-01\t3\t4\t5\n", "cannot be read"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        write(tmp_path, text)
    assert str(tmp_path / "participants.tsv") in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "participants.tsv").write_bytes(b"participant_id\tage\nsub-01\t\xff\xfe\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_participants(tmp_path)


def test_a_broken_description_is_named(tmp_path):
    (tmp_path / "participants.json").write_text("[1")
    with pytest.raises(DataError, match=r"participants\.json: cannot be read as JSON"):
        write(tmp_path, "participant_id\nsub-01\n")
