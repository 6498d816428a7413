import json
import re

import pytest

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.inputs.participants import read_participants, read_stats_model


def table_of(folder, text, dictionary=None, encoding="utf-8"):
    (folder / "participants.tsv").write_bytes(text.encode(encoding))
    if dictionary is not None:
        (folder / "participants.json").write_text(json.dumps(dictionary))
    return read_participants(folder)


def test_values_by_participant_and_column(tmp_path):
    table = table_of(
        tmp_path, "participant_id\tage\tgroup\nsub-01\t31\tcontrol\nsub-02\tn/a\tX Y\n"
    )
    assert table.columns == ("age", "group")
    assert table.values == {
        "sub-01": {"age": "31", "group": "control"},
        "sub-02": {"age": None, "group": "X Y"},
    }
    assert table.categorical == frozenset()


def test_no_file_is_an_empty_table(tmp_path):
    assert read_participants(tmp_path) == ParticipantsTable()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n\t\t\n"])
def test_how_files_are_written_does_not_matter(tmp_path, encoding, newline, end):
    text = 'participant_id\tage\tsite\nsub-01\t31\t"Köln ""West"""\nsub-02\t32\tA' + end
    table = table_of(tmp_path, text.replace("\n", newline), encoding=encoding)
    assert table.values == {
        "sub-01": {"age": "31", "site": 'Köln "West"'},
        "sub-02": {"age": "32", "site": "A"},
    }


@pytest.mark.parametrize("missing", ["", "n/a", "N/A", "NaN", "nan", "NA", "  "])
def test_missing_values(tmp_path, missing):
    table = table_of(tmp_path, f"participant_id\tage\tsex\nsub-01\t{missing}\tF\n")
    assert table.values["sub-01"] == {"age": None, "sex": "F"}


def test_a_line_that_ends_early_has_missing_values(tmp_path):
    table = table_of(tmp_path, "participant_id\tage\tsex\nsub-01\t30\nsub-02\t31\tF\n")
    assert table.values["sub-01"] == {"age": "30", "sex": None}


def test_labels_may_lack_the_prefix_and_keep_their_zeros(tmp_path):
    table = table_of(tmp_path, "age\tparticipant_id\n30\t01\n40\tsub-1\n")
    assert {who: cells["age"] for who, cells in table.values.items()} == {
        "sub-01": "30",
        "sub-1": "40",
    }


def test_columns_with_levels_are_categorical(tmp_path):
    dictionary = {
        "group": {"Levels": {"1": "control", "2": "patient"}},
        "age": {"Units": "years"},
        "sex": {"Levels": {}},
        "note": "text",
    }
    table = table_of(tmp_path, "participant_id\tgroup\tage\nsub-01\t1\t30\n", dictionary)
    assert table.categorical == {"group"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("subject\tage\nsub-01\t3\n", "has no column participant_id; found subject, age"),
        ("participant_id,age\nsub-01,3\n", "has no column participant_id"),
        ("participant_id\tage\nsub-01\t3\n01\t4\n", "has sub-01 more than once"),
        ("participant_id\tage\tage\nsub-01\t3\t4\n", "the column age more than once"),
        ("participant_id\tage\nsub-01\t3\t4\n", "cannot be read"),
        ("participant_id\tage\n\t3\n", "a row has no participant_id"),
    ],
)
def test_a_table_that_is_none(tmp_path, text, said):
    with pytest.raises(DataError, match=said) as caught:
        table_of(tmp_path, text)
    assert str(tmp_path / "participants.tsv") in str(caught.value)
    assert caught.value.exit_code == 65


def test_an_encoding_that_is_none(tmp_path):
    with pytest.raises(DataError, match="expected UTF-8"):
        table_of(tmp_path, "participant_id\tsite\nsub-01\tKöln\n", encoding="latin-1")


def test_content_that_was_not_fetched(tmp_path):
    (tmp_path / "participants.tsv").symlink_to(tmp_path / "annex" / "key")
    with pytest.raises(DataError, match="datalad get"):
        read_participants(tmp_path)
    (tmp_path / "participants.tsv").unlink()
    (tmp_path / "participants.json").symlink_to(tmp_path / "annex" / "key")
    with pytest.raises(DataError, match=r"participants\.json.*datalad get"):
        table_of(tmp_path, "participant_id\tage\nsub-01\t3\n")


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_broken_dictionary_is_named(tmp_path, text):
    (tmp_path / "participants.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"participants\.json"):
        table_of(tmp_path, "participant_id\tage\nsub-01\t3\n")


def test_a_quotation_mark_swallows_no_line(tmp_path):
    lines = [
        "participant_id\tnote\tage",
        'sub-01\t"moved\t3',
        'sub-02\t5" of it\t4',
        'sub-03\t"a ""b"""\t5',
    ]
    (tmp_path / "participants.tsv").write_text("\n".join(lines) + "\n")
    table = read_participants(tmp_path)
    assert {name: cells["age"] for name, cells in table.values.items()} == {
        "sub-01": "3",
        "sub-02": "4",
        "sub-03": "5",
    }
    assert table.values["sub-03"]["note"] == 'a "b"'


def test_the_file_of_a_stats_model(tmp_path):
    path = tmp_path / "model-x_smdl.json"
    path.write_text('{"Name": "x"}')
    assert read_stats_model(path) == {"Name": "x"}
    path.write_text("{")
    with pytest.raises(DataError, match=r"smdl\.json: cannot be read as JSON"):
        read_stats_model(path)
    path.write_text("[]")
    with pytest.raises(DataError, match="expected an object"):
        read_stats_model(path)
    with pytest.raises(InputMissingError, match="this file does not exist"):
        read_stats_model(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-16", "the text is in UTF-16"), ("latin-1", "not in UTF-8 (line 2)")],
)
def test_another_encoding_is_named(tmp_path, encoding, told):
    text = "participant_id\tname\nsub-01\tJ\u00f6rg\n"
    (tmp_path / "participants.tsv").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=re.escape(told)):
        read_participants(tmp_path)
