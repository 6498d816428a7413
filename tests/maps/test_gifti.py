"""GIFTI files: whatever they are, what is read is what nibabel reads."""

import re

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_secondlevel.maps.gifti import read_gifti

KINDS = {"f4": "FLOAT32", "i4": "INT32", "u1": "UINT8", "f8": "FLOAT64"}
ENCODINGS = ["GIFTI_ENCODING_B64GZ", "GIFTI_ENCODING_B64BIN", "GIFTI_ENCODING_ASCII"]


def write(path, values, encodings=("GIFTI_ENCODING_B64GZ",), **meta):
    image = nib.gifti.GiftiImage(meta=nib.gifti.GiftiMetaData(AnatomicalStructurePrimary="<&>"))
    for encoding in encodings:
        kind = f"NIFTI_TYPE_{KINDS[values.dtype.str[1:]]}"
        one = nib.gifti.GiftiDataArray(values, datatype=kind, encoding=encoding, meta=meta)
        image.add_gifti_data_array(one)
    path.write_bytes(image.to_bytes(mode="compat"))
    return path


def assert_same(path):
    ours, theirs = read_gifti(path), nib.load(path)
    assert ours.meta == theirs.meta
    assert len(ours.darrays) == len(theirs.darrays)
    for one, other in zip(ours.darrays, theirs.darrays, strict=True):
        assert (one.intent, one.dims, one.meta) == (other.intent, other.dims, other.meta)
        assert (one.data.dtype, one.data.shape) == (other.data.dtype, other.data.shape)
        assert one.data.tobytes() == other.data.tobytes()
        assert one.data.flags.writeable


@pytest.mark.filterwarnings("ignore")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.sampled_from([*KINDS]).flatmap(
        lambda kind: arrays(np.dtype(kind), st.tuples(st.integers(1, 30)) | st.just((5, 3)))
    ),
    encodings=st.lists(st.sampled_from(ENCODINGS), min_size=1, max_size=3),
)
def test_every_array_is_that_of_nibabel(tmp_path, values, encodings):
    assert_same(write(tmp_path / "x.gii", values, encodings, Name="a name"))


VALUES = np.arange(1000, dtype="f4")


def test_an_ordinary_file_is_read_without_the_decoder_of_nibabel(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise AssertionError

    path = write(tmp_path / "x.gii", VALUES)
    monkeypatch.setattr("nibabel.gifti.parse_gifti_fast.read_data_block", refuse)
    np.testing.assert_array_equal(read_gifti(path).darrays[0].data, VALUES)


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (b"<Data>", b"<Data>\n   "),
        (b"<Data>(.{40})", rb"<Data>\1\n"),
        (b"<Data>(.*)</Data>", rb"<Data><![CDATA[\1]]></Data>"),
        (b"<Data>(.)", rb"<Data>\1<!-- a comment -->"),
        (b"<MetaData>", b"<!-- <Data>no</Data> --><MetaData>"),
        (b"LittleEndian", b"BigEndian"),
        (b"RowMajorOrder", b"ColumnMajorOrder"),
    ],
)
def test_files_that_are_written_otherwise_are_the_same_too(tmp_path, pattern, instead):
    path = write(tmp_path / "x.gii", VALUES)
    changed, n = re.subn(pattern, instead, path.read_bytes(), count=1, flags=re.DOTALL)
    assert n == 1
    path.write_bytes(changed)
    assert_same(path)


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (b"(?<=<Data>.{20}).", b"!"),
        (b"(?<=<Data>.{400}).{8}", b"AAAAAAAA"),
        (b".{12}</Data>", b"</Data>"),
        (b'Dim0="1000"', b'Dim0="999"'),
        (b"</Data>.*", b""),
        (b"</DataArray>", b"<Data>AAAA</Data></DataArray>"),
    ],
)
def test_damaged_files_fail_as_in_nibabel(tmp_path, pattern, instead):
    path = write(tmp_path / "x.gii", np.random.default_rng(0).normal(size=1000).astype("f4"))
    changed, n = re.subn(pattern, instead, path.read_bytes(), count=1, flags=re.DOTALL)
    assert n == 1
    path.write_bytes(changed)
    with pytest.raises(Exception) as theirs:  # noqa: PT011 of any kind
        nib.load(path)
    with pytest.raises(type(theirs.value), match=re.escape(str(theirs.value))):
        read_gifti(path)
