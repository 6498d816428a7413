"""Input with flipped, cut and inserted bytes gives a clear error or an array, and nothing else."""

import gzip
import json
import os
import re
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, ScalarAxis
from spheres import uneven_sphere, write_sphere
from study import write_curv, write_gifti, write_mgz

from bids_secondlevel.cli.config import read_config, read_filters
from bids_secondlevel.core.errors import SecondLevelError
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.inputs.participants import read_exclusions, read_participants
from bids_secondlevel.maps import cifti
from bids_secondlevel.maps.files import read_json_object
from bids_secondlevel.maps.surfaces import read_area, read_map, read_mesh
from bids_secondlevel.maps.volumes import read_degrees_of_freedom, read_grid, read_volume
from bids_secondlevel.outputs.tables import read_sidecar, read_table, write_table
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS, EstimateRow

N = 60
VALUES = np.linspace(-3, 9, N).astype("f4")


def write_volume(path):
    image = nib.Nifti1Image(VALUES.reshape(3, 4, 5), np.diag([2, 2, 2, 1]))
    image.header["descrip"] = b"SPM{T_[20.0]} - contrast 1"
    nib.save(image, path)


def write_oriented(path):
    nib.save(nib.freesurfer.MGHImage(VALUES.reshape(3, 4, 5), np.eye(4)), path)


def write_cifti(path):
    left = BrainModelAxis.from_surface(np.arange(3, N), N, "CIFTI_STRUCTURE_CORTEX_LEFT")
    right = BrainModelAxis.from_surface(np.arange(5), 9, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    values = np.concatenate([VALUES[3:], np.ones(5)])[None]
    image = nib.Cifti2Image(values.astype("f4"), (ScalarAxis(["left"]), left + right))
    image.to_filename(path)


def write_label(path):
    lines = [f"{vertex} 1.0 2.0 3.0 0.5" for vertex in range(10)]
    path.write_text("\n".join(["#!ascii label", "10", *lines]) + "\n")


def write_annotation(path):
    colours = np.array([[9, 9, 9, 0, 0], [200, 0, 0, 0, 0]])
    nib.freesurfer.write_annot(path, (VALUES > 3).astype(int), colours, ["none", "V1"])


def write_ascii(path):
    array = nib.gifti.GiftiDataArray(VALUES, encoding="GIFTI_ENCODING_ASCII")
    path.write_bytes(nib.gifti.GiftiImage(darrays=[array]).to_bytes())


def write_sphere_of(path):
    write_sphere(path, *uneven_sphere(N, 1), "L")


def write_estimates(path):
    rows = [
        EstimateRow(
            *(f"sub-{n}", None, "main", "faces", "UL", "L", None, "effect"),
            estimate=n / 7,
            sd=0.1,
            n_vertices=n,
            status="ok",
            independence="independent",
        )
        for n in range(5)
    ]
    write_table(path, frame_of(rows, EstimateRow), ESTIMATE_COLUMNS, {"RowCount": 5})


def write_text(text):
    return lambda path: path.write_text(text)


def map_of(length):
    """Read a map, which must be of the length that the file declares to be of use."""

    def read(path):
        values = read_map(path, "L")
        assert values.ndim == 1
        return values if values.size == length else None

    return read


def mesh_of(path):
    mesh = read_mesh(path, "L")
    assert mesh.triangles.min() >= 0
    assert mesh.triangles.max() < len(mesh.coordinates)


def area_of(label):
    def read(path):
        mask = read_area(path, "L", label, N)
        assert mask.shape == (N,)
        assert mask.dtype == bool

    return read


def cortex_of(path):
    cifti.describe(path)
    values = cifti.read_cortex(path, "L")
    assert values.ndim == 1


def volume_of(path):
    read_grid(path)
    read_degrees_of_freedom(path)
    values, grid = read_volume(path)
    assert values.size == np.prod(grid.shape)


TSV = 'participant_id\tage\tgroup\nsub-01\t31\tadult\n02\tn/a\t"a b"\n'
TOML = tomli_w.dumps({"space": "fsnative", "eccentricity": [0, 5], "roi": [{"name": "x"}]})
CASES = {
    "map.func.gii": (lambda p: write_gifti(p, VALUES, "L"), map_of(N)),
    "text.func.gii": (write_ascii, map_of(N)),
    "map.mgz": (lambda p: write_mgz(p, VALUES), map_of(N)),
    "map.mgh": (lambda p: write_mgz(p, VALUES), map_of(N)),
    "lh.curv": (lambda p: write_curv(p, VALUES), map_of(N)),
    "map.nii": (lambda p: nib.save(nib.Nifti1Image(VALUES, None), p), map_of(N)),
    "map.nii.gz": (lambda p: nib.save(nib.Nifti2Image(VALUES, None), p), map_of(N)),
    "lh.white": (write_sphere_of, mesh_of),
    "lh.surf.gii": (write_sphere_of, mesh_of),
    "x.dscalar.nii": (write_cifti, cortex_of),
    "x.nii": (write_volume, volume_of),
    "x.nii.gz": (write_volume, volume_of),
    "x.mgz": (write_oriented, read_volume),
    "lh.V1.label": (write_label, area_of("")),
    "lh.aparc.annot": (write_annotation, area_of("V1")),
    "lh.area.label.gii": (lambda p: write_gifti(p, VALUES.round(), "L", "i4"), area_of("2")),
    "participants.tsv": (write_text(TSV), lambda p: read_participants(p.parent)),
    "exclude.tsv": (write_text("participant_id\treason\nsub-01\tmoved\n"), read_exclusions),
    "estimates.tsv": (write_estimates, lambda p: read_table(p, ESTIMATE_COLUMNS)),
    "x.json": (write_text('{"a": [1, {"b": null}], "c": "d"}'), read_json_object),
    "filters.json": (write_text('{"localizer": {"desc": ["a", 1]}}'), read_filters),
    "x_estimates.json": (write_text('{"RowCount": 3}'), read_sidecar),
    "x.toml": (write_text(TOML), read_config),
}  # fmt: skip
DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["flip", "flip", "set", "cut", "insert", "drop"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content, damage):
    content = bytearray(content)
    for how, where, value in damage:
        place = int(where * len(content))
        if not content or how == "cut":
            content = content[:place]
        elif how == "flip":
            content[place] ^= 1 << value % 8
        elif how == "set":
            content[place] = value
        elif how == "insert":
            content[place:place] = bytes([value]) * (1 + value % 9)
        else:
            del content[place : place + 1 + value % 9]
    return bytes(content)


def survives(name, folder, damage):
    """Damage a file and read it; give what was read, or nothing where it was refused."""
    write, read = CASES[name]
    path = folder / name
    if not path.exists():
        write(path)
        (folder / "whole").write_bytes(path.read_bytes())
        read(path)
    path.write_bytes(damaged((folder / "whole").read_bytes(), damage))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as at the command line, where they are printed
        try:
            return read(path)
        except SecondLevelError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert len(str(error)) < 5000  # noqa: PT017
            return None


def settings_of(n):
    return settings(
        max_examples=n,
        deadline=30_000,  # a reader that never ends
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.mark.parametrize("name", CASES)
def test_a_few_damaged_bytes(name, tmp_path):
    @settings_of(12)
    @given(DAMAGE)
    def check(damage):
        compare(name, survives(name, tmp_path, damage))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_damaged_bytes(name, tmp_path):
    @settings_of(400)
    @given(DAMAGE)
    def check(damage):
        compare(name, survives(name, tmp_path, damage))

    check()


def compare(name, values):
    """Compressed values are right or refused, whatever became of the file."""
    if name in {"map.mgz", "map.nii.gz"} and values is not None:
        assert np.array_equal(values, VALUES)


@pytest.mark.parametrize("name", ["map.mgz", "map.nii.gz", "x.nii.gz", "x.mgz"])
def test_a_checksum_that_does_not_match(name, tmp_path):
    write, read = CASES[name]
    path = tmp_path / name
    write(path)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # of the checksum, not of the values
    path.write_bytes(content)
    with pytest.raises(SecondLevelError, match="CRC"):
        read(path)


def huge_curv(path):
    path.write_bytes(b"\xff\xff\xff" + np.array([2**31 - 1, 2, 1], ">i4").tobytes() + bytes(40))


def huge_geometry(path):
    write_sphere_of(path)
    content = path.read_bytes()
    end = content.index(b"\n\n") + 2
    path.write_bytes(content[:end] + np.array([2**28, 2**29], ">i4").tobytes() + content[end + 8 :])


def huge_mgh(path):
    write_mgz(path.with_name("small.mgh"), VALUES)
    content = bytearray(path.with_name("small.mgh").read_bytes())
    content[4:16] = np.array([2**31 - 1, 1, 1], ">i4").tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".mgz" else content)


def huge_nifti(path):
    image = nib.Nifti2Image(VALUES, None)
    content = bytearray(image.to_bytes())
    content[16:32] = np.array([1, 2**31], "<i8").tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def huge_cifti(path):
    write_cifti(path)
    content = path.read_bytes()
    said = f'SurfaceNumberOfVertices="{N}"'.encode()
    assert said in content
    # What is put in is taken from the padding, so that the values stay where they are.
    claim = f'SurfaceNumberOfVertices="{2**31}"'.encode()
    more = len(claim) - len(said)
    start = content.index(said)
    end = content.index(b"</CIFTI>") + len(b"</CIFTI>")
    assert content[end : end + more].strip(b"\0") == b""
    path.write_bytes(
        content[:start] + claim + content[start + len(said) : end] + content[end + more :]
    )


def huge_gifti(path):
    write_gifti(path, VALUES, "L")
    path.write_bytes(path.read_bytes().replace(f'Dim0="{N}"'.encode(), b'Dim0="2147483648"'))


def huge_annotation(path):
    write_annotation(path)
    content = bytearray(path.read_bytes())
    content[:4] = np.array(2**31 - 1, ">i4").tobytes()
    path.write_bytes(content)


def huge_table_of_annotation(path):
    write_annotation(path)
    content = bytearray(path.read_bytes())
    at = 4 + 8 * N + 4
    content[at : at + 4] = np.array(2**31 - 1, ">i4").tobytes()
    path.write_bytes(content)


LAUGHS = ['<!ENTITY l0 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA">'] + [
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)
]
"""A billion times the same letters."""


def declare(entities, xml):
    root = re.search(rb"<(GIFTI|CIFTI)", xml)
    declared = f"<!DOCTYPE {root[1].decode()} [{''.join(entities)}]>".encode()
    return xml[: root.start()] + declared + xml[root.start() :]


def put_into_gifti(path, entities, instead):
    content = declare(entities, re.sub(rb"<!DOCTYPE[^>]*>", b"", path.read_bytes()))
    path.write_bytes(re.sub(rb"<Data>.*</Data>", b"<Data>" + instead + b"</Data>", content))


def put_into_cifti(path, entities, instead):
    """Replace the name of the map in the header, which is an extension of that of NIfTI-2."""
    content = path.read_bytes()
    end = 544 + int.from_bytes(content[544:548], "little")
    xml = declare(entities, content[552:end]).replace(b"left", instead).rstrip(b"\0")
    xml += bytes(-(len(xml) + 8) % 16)
    size, code = (number.to_bytes(4, "little") for number in (len(xml) + 8, 32))
    start = (544 + len(xml) + 8).to_bytes(8, "little")
    path.write_bytes(content[:168] + start + content[176:544] + size + code + xml + content[end:])


def laughing_gifti(path):
    write_gifti(path, VALUES, "L")
    put_into_gifti(path, LAUGHS, b"&l9;")


def laughing_cifti(path):
    write_cifti(path)
    put_into_cifti(path, LAUGHS, b"&l9;")


HUGE = {
    "lh.curv": huge_curv,
    "lh.white": huge_geometry,
    "map.mgz": huge_mgh,
    "map.mgh": huge_mgh,
    "map.nii": huge_nifti,
    "map.nii.gz": huge_nifti,
    "x.dscalar.nii": huge_cifti,
    "map.func.gii": huge_gifti,
    "text.func.gii": laughing_gifti,
    "text.dscalar.nii": laughing_cifti,
    "lh.aparc.annot": huge_annotation,
    "rh.aparc.annot": huge_table_of_annotation,
}


def test_headers_that_claim_two_thousand_million_vertices_and_a_billion_laughs(tmp_path):
    """All in one process of little memory; what it takes is measured."""
    for name, write in HUGE.items():
        write(tmp_path / name)
    finished = subprocess.run(
        [sys.executable, __file__, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout)
    assert set(told["refused"]) == set(HUGE)
    assert told["megabytes"] < 100


def read_huge(folder):
    reading = {
        **CASES,
        "rh.aparc.annot": CASES["lh.aparc.annot"],
        "text.dscalar.nii": CASES["x.dscalar.nii"],
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = []
    for name in HUGE:
        try:
            reading[name][1](folder / name)
        except SecondLevelError as error:
            assert name in str(error)  # noqa: PT017
            refused.append(name)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"refused": refused, "megabytes": taken / 1024}))


def test_external_entities_of_gifti_are_not_fetched(tmp_path):
    secret = tmp_path / "secret"
    path = write_gifti(tmp_path / "map.func.gii", VALUES, "L")
    secret.write_bytes(re.search(rb"<Data>(.*)</Data>", path.read_bytes())[1])
    put_into_gifti(path, [f'<!ENTITY secret SYSTEM "file://{secret}">'], b"&secret;")
    with pytest.raises(SecondLevelError, match=r"map\.func\.gii"):
        read_map(path, "L")


def test_entities_of_cifti(tmp_path):
    """What a file declares itself is a way to write text; nothing is fetched from elsewhere."""
    path = tmp_path / "x.dscalar.nii"
    write_cifti(path)
    put_into_cifti(path, ['<!ENTITY name "right">'], b"&name;")
    assert cifti.describe(path).map_names == ("right",)
    assert np.array_equal(cifti.read_cortex(path, "L")[3:], VALUES[3:])
    secret = tmp_path / "secret"
    secret.write_text("secret")
    write_cifti(path)
    put_into_cifti(path, [f'<!ENTITY name SYSTEM "file://{secret}">'], b"&name;")
    assert cifti.describe(path).map_names == ("",)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_huge(Path(sys.argv[1]))
