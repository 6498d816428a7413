"""Read GIFTI files, ordinary ones in less than half the time that nibabel takes."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pybase64
from isal import isal_zlib
from nibabel.gifti.parse_gifti_fast import GiftiImageParser
from nibabel.gifti.util import (
    array_index_order_codes,
    gifti_encoding_codes,
    gifti_endian_codes,
)

AFNI = ".dset"
"""Ending that AFNI's ConvertDset adds to names of GIFTI files."""

_ORDINARY = (
    gifti_encoding_codes.code["GZipBase64Binary"],
    gifti_endian_codes.code["LittleEndian"],
    array_index_order_codes.code["RowMajorOrder"],
)


def read_gifti(path: Path) -> nib.gifti.GiftiImage:
    """Read a GIFTI file, as nibabel has it.

    Of an ordinary file, with one array whose values are compressed and little-endian, only the
    values are read otherwise: their base64 by pybase64, their compression by ISA-L. nibabel reads
    everything else, and says what is wrong with a file.
    """
    if path.suffix == AFNI:
        return nib.gifti.GiftiImage.from_bytes(path.read_bytes())
    return _read_ordinary(path) or nib.gifti.GiftiImage.from_filename(path)


def _read_ordinary(path: Path) -> nib.gifti.GiftiImage | None:
    if path.suffix.casefold() != ".gii":
        return None
    before, _, rest = path.read_bytes().partition(b"<Data>")
    values, _, after = rest.rpartition(b"</Data>")
    parser = _Parser(values.strip())
    try:
        parser.parse(string=before + b"<Data></Data>" + after)
    except Exception:  # noqa: BLE001 each part has failures of its own
        return None
    return parser.img if parser.n_read == 1 else None


class _Parser(GiftiImageParser):  # type: ignore[misc]
    """The parser of nibabel, which is given the text of the only array apart."""

    def __init__(self, values: bytes) -> None:
        super().__init__()
        self.values = values
        self.n_read = 0

    def flush_chardata(self) -> None:
        """Take the values of an array, or what else stands between two tags."""
        if self.write_to != "Data":
            super().flush_chardata()
            return
        array = self.da
        layout = (array.encoding, array.endian, array.ind_ord)
        if layout != _ORDINARY or self._char_blocks is not None:
            raise ValueError("not an ordinary array")
        content = isal_zlib.decompress(pybase64.b64decode(self.values, validate=True))
        kind = nib.nifti1.data_type_codes.dtype[array.datatype].newbyteorder("<")
        array.data = np.frombuffer(bytearray(content), dtype=kind).reshape(array.dims)
        self.n_read += 1
