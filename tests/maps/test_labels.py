import nibabel as nib
import numpy as np
import pytest
from study import write_gifti, write_mgz

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.maps.surfaces import read_area
from bids_secondlevel.outputs.images import Label, label_gifti

N = 12


def vertices(mask):
    assert mask.dtype == np.bool_
    assert mask.shape == (N,)
    return np.flatnonzero(mask).tolist()


# --- FreeSurfer labels


def write_label(path, numbers, declared=None):
    lines = [f"{v}  -1.500  2.250  {v}.000 0.0000000000" for v in numbers]
    head = ["#!ascii label  , from subject fsaverage vox2ras=TkReg"]
    declared = len(lines) if declared is None else declared
    path.write_text("\n".join([*head, str(declared), *lines]) + "\n")
    return path


@pytest.mark.parametrize("numbers", [[7], [0, 3, 11], [11, 3, 0, 3]])
def test_a_freesurfer_label_names_its_vertices(tmp_path, numbers):
    path = write_label(tmp_path / "lh.V1_exvivo.label", numbers)
    assert vertices(read_area(path, "L", "", N)) == sorted(set(numbers))


@pytest.mark.parametrize("odd", [-1, N])
def test_a_label_of_another_surface_is_refused(tmp_path, odd):
    path = write_label(tmp_path / "lh.V1.label", [3, odd])
    with pytest.raises(DataError, match=rf"lh\.V1\.label: has the vertex {odd}.*has {N}"):
        read_area(path, "L", "", N)


def test_a_freesurfer_label_has_no_names(tmp_path):
    path = write_label(tmp_path / "lh.V1.label", [3])
    with pytest.raises(DataError, match=r"lh\.V1\.label: holds a single area.*'V1'"):
        read_area(path, "L", "V1", N)


@pytest.mark.parametrize("declared", [1, 3])
def test_a_label_file_must_have_as_many_lines_as_it_says(tmp_path, declared):
    path = write_label(tmp_path / "lh.V1.label", [3, 4], declared)
    with pytest.raises(DataError, match=rf"lh\.V1\.label: cannot be read.*declares {declared}"):
        read_area(path, "L", "", N)


def test_a_cut_label_is_named(tmp_path):
    path = write_label(tmp_path / "lh.V1.label", [3, 10])
    content = path.read_bytes()
    for length in range(len(content) - 14):  # what follows are digits of the last value
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"lh\.V1\.label: "):
            read_area(path, "L", "", N)


def test_an_empty_label_is_refused(tmp_path):
    path = write_label(tmp_path / "lh.V1.label", [])
    with pytest.raises(DataError, match=r"lh\.V1\.label: no vertex has a label"):
        read_area(path, "L", "", N)


# --- FreeSurfer annotations

NAMES = ["unknown", "pericalcarine", "Cuneus", "cuneus", "lingual"]
COLOURS = np.array([[25 * i + 5, 200 - i, 30, 0, 0] for i in range(5)])
STRUCTURES = np.array([0, 1, 1, 2, 3, 3, 3, 4, 4, 0, 0, -1])


def write_annot(path, structures=STRUCTURES, colours=COLOURS, names=NAMES):
    nib.freesurfer.write_annot(path, structures.copy(), colours.copy(), names, fill_ctab=True)
    return path


@pytest.mark.parametrize(
    ("label", "expected"),
    [("pericalcarine", [1, 2]), ("Pericalcarine", [1, 2]), ("Cuneus", [3]), ("cuneus", [4, 5, 6])],
)
def test_a_structure_of_an_annotation(tmp_path, label, expected):
    path = write_annot(tmp_path / "lh.aparc.annot")
    assert vertices(read_area(path, "L", label, N)) == expected


@pytest.mark.parametrize("label", ["V1", "", "CUNEUS", "3"])
def test_a_structure_that_is_not_there_or_not_the_only_one(tmp_path, label):
    path = write_annot(tmp_path / "lh.aparc.annot")
    with pytest.raises(DataError, match=r"lh\.aparc\.annot: .*'pericalcarine', 'Cuneus'"):
        read_area(path, "L", label, N)


def test_an_annotation_of_another_surface_is_refused(tmp_path):
    path = write_annot(tmp_path / "lh.aparc.annot")
    with pytest.raises(DataError, match=rf"lh\.aparc\.annot: has {N} vertices.*have 13"):
        read_area(path, "L", "lingual", 13)


def test_a_structure_without_vertices_is_refused(tmp_path):
    path = write_annot(tmp_path / "lh.aparc.annot", np.where(STRUCTURES == 4, 0, STRUCTURES))
    with pytest.raises(DataError, match=r"lh\.aparc\.annot: no vertex has the label 'lingual'"):
        read_area(path, "L", "lingual", N)


def test_structures_of_the_same_colour_cannot_be_told_apart(tmp_path):
    colours = COLOURS.copy()
    colours[1] = colours[4]
    path = write_annot(tmp_path / "lh.aparc.annot", colours=colours)
    with pytest.raises(DataError, match=r"lh\.aparc\.annot: .*'pericalcarine', 'lingual'"):
        read_area(path, "L", "lingual", N)


def test_vertices_whose_number_is_not_in_the_table_are_in_no_structure(tmp_path):
    path = write_annot(tmp_path / "lh.aparc.annot")
    content = bytearray(path.read_bytes())
    content[4 + 8 * 11 + 4 : 4 + 8 * 12] = (12345).to_bytes(4, "big")  # of the last vertex
    path.write_bytes(content)
    for label in NAMES:
        assert 11 not in vertices(read_area(path, "L", label, N))


def test_a_cut_annotation_is_named(tmp_path):
    path = write_annot(tmp_path / "lh.aparc.annot")
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"lh\.aparc\.annot: "):
            read_area(path, "L", "lingual", N)


def test_a_table_with_gaps_is_refused(tmp_path):
    path = write_annot(tmp_path / "lh.aparc.annot")
    content = path.read_bytes()
    start = 4 + 8 * N + 4 + 4  # after the vertices, the flag and the version
    path.write_bytes(content[:start] + (9).to_bytes(4, "big") + content[start + 4 :])
    with pytest.raises(DataError, match=r"lh\.aparc\.annot: its table has 5 names for 9 places"):
        read_area(path, "L", "lingual", N)


# --- GIFTI labels

NUMBERS = np.array([0, 1, 1, 7, 7, 0, 9, 9, 2, 0, 0, 0])
TABLE = [
    Label(1, "V1", "#ff0000"),
    Label(7, "V2", "#00ff00"),
    Label(9, "Medial_Wall", "#000000"),
    Label(2, "8", "#0000ff"),
    Label(8, "V8", "#0000ff"),
]


def write_labels(path, hemisphere="L", numbers=NUMBERS, table=TABLE):
    path.write_bytes(label_gifti(numbers, hemisphere, table))
    return path


@pytest.mark.parametrize("name", ["a.label.gii", "a.gii"])
@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("V1", [1, 2]),
        ("v2", [3, 4]),
        ("7", [3, 4]),
        ("07", [3, 4]),
        ("8", [8]),  # a name before a number
        ("", [1, 2, 3, 4, 8]),
        ("medial_wall", [6, 7]),
    ],
)
def test_gifti_labels_by_name_and_number(tmp_path, name, label, expected):
    assert vertices(read_area(write_labels(tmp_path / name), "L", label, N)) == expected


@pytest.mark.parametrize("none", ["???", "Unknown", "BACKGROUND", "medial wall", "Background+Wall"])
def test_labels_that_stand_for_no_area(tmp_path, none):
    path = write_labels(tmp_path / "a.label.gii", table=[Label(9, none, "#000000"), *TABLE[:2]])
    assert vertices(read_area(path, "L", "", N)) == [1, 2, 3, 4, 8]


def test_numbers_that_have_no_name(tmp_path):
    path = write_labels(tmp_path / "a.label.gii", table=TABLE[:1])
    assert vertices(read_area(path, "L", "9", N)) == [6, 7]


@pytest.mark.parametrize("label", ["V3", "3"])
def test_a_gifti_label_that_is_not_there(tmp_path, label):
    path = write_labels(tmp_path / "a.label.gii")
    there = "'V1', '8', 'V2'" if label == "V3" else "'1', '2', '7'"
    with pytest.raises(DataError, match=rf"a\.label\.gii: the label '{label}' .*{there}"):
        read_area(path, "L", label, N)


def test_a_gifti_label_without_vertices(tmp_path):
    path = write_labels(tmp_path / "a.label.gii")
    with pytest.raises(DataError, match=r"a\.label\.gii: no vertex has the label 'V8'"):
        read_area(path, "L", "V8", N)


def test_labels_of_the_other_hemisphere_are_refused(tmp_path):
    path = write_labels(tmp_path / "a.label.gii", "R")
    with pytest.raises(DataError, match=r"hemisphere L.*'CortexRight'"):
        read_area(path, "L", "V1", N)


# --- maps of whole numbers


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh", "a.func.gii", "a.shape.gii"])
@pytest.mark.parametrize("label", ["", "7"])
def test_a_map_of_whole_numbers(tmp_path, name, label):
    values = NUMBERS.astype("f4")
    values[-1] = np.nan
    write = write_mgz if ".mg" in name else write_gifti
    path = write(tmp_path / name, values)
    expected = [3, 4] if label else [1, 2, 3, 4, 6, 7, 8]
    assert vertices(read_area(path, "L", label, N)) == expected


@pytest.mark.parametrize("label", ["3", "V1", "--7"])
def test_a_number_that_is_not_there(tmp_path, label):
    path = write_mgz(tmp_path / "a.mgz", NUMBERS)
    with pytest.raises(DataError, match=rf"a\.mgz: the label '{label}' .*'0', '1', '2', '7', '9'"):
        read_area(path, "L", label, N)


def test_a_probability_map_is_no_area(tmp_path):
    path = write_mgz(tmp_path / "a.mgz", np.linspace(0, 1, N))
    with pytest.raises(DataError, match=r"a\.mgz: visual areas must be whole numbers"):
        read_area(path, "L", "", N)


@pytest.mark.parametrize("name", ["a.mgz", "a.label.gii"])
def test_a_map_of_another_surface_is_refused(tmp_path, name):
    path = tmp_path / name
    write_mgz(path, NUMBERS) if name == "a.mgz" else write_labels(path)
    with pytest.raises(DataError, match=rf"{name}: has {N} vertices.*have 13"):
        read_area(path, "L", "1", 13)


@pytest.mark.parametrize("name", ["a.label", "a.annot", "a.label.gii", "a.mgz", "lh.varea"])
@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"no labels\nat all\n" * 50])
def test_rubbish_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: cannot be read|{name}: holds"):
        read_area(tmp_path / name, "L", "", N)


@pytest.mark.parametrize("name", ["a.label", "a.annot", "a.label.gii", "a.mgz"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(InputMissingError, match=f"{name}: this file does not exist"):
        read_area(tmp_path / name, "L", "", N)


# --- Names in a colour table of FreeSurfer beside a map

CTAB = "# by hand\n  0  Unknown  0 0 0 0\n  1  V1v  255 0 0 0\n\n 2 V1d 0 9 0 0\n 7 V7 0 0 1 0\n"
AREAS = [0, 1, 2, 2, 0, 0, 1, 0, 0, 0, 0, 3]


@pytest.fixture
def areas(tmp_path):
    return write_mgz(tmp_path / "lh.areas.mgz", AREAS, "i4")


@pytest.mark.parametrize(
    "table", ["lh.areas.mgz.ctab", "lh.areas.ctab", "areas.mgz.ctab", "areas.ctab"]
)
def test_names_of_a_colour_table(areas, table):
    areas.with_name(table).write_text(CTAB)
    assert vertices(read_area(areas, "L", "V1v", N)) == [1, 6]
    assert vertices(read_area(areas, "L", "v1D", N)) == [2, 3]
    assert vertices(read_area(areas, "L", "2", N)) == [2, 3]
    assert vertices(read_area(areas, "L", "3", N)) == [11]
    assert vertices(read_area(areas, "L", "", N)) == [1, 2, 3, 6, 11]


def test_a_name_that_no_colour_table_has(areas):
    areas.with_name("lh.areas.mgz.ctab").write_text(CTAB)
    with pytest.raises(DataError, match=r"lh\.areas\.mgz: the label 'V9'.*'V1v', 'V1d', '3', 'V7'"):
        read_area(areas, "L", "V9", N)
    with pytest.raises(DataError, match=r"no vertex has the label 'V7'"):
        read_area(areas, "L", "V7", N)


def test_a_broken_colour_table_is_named(areas):
    areas.with_name("lh.areas.mgz.ctab").write_text("1\n")
    with pytest.raises(DataError, match=r"lh\.areas\.mgz\.ctab: cannot be read as a colour table"):
        read_area(areas, "L", "V1v", N)


# --- Labels of both hemispheres in CIFTI


def write_dlabel(path, rows, tables):
    models = nib.cifti2.BrainModelAxis.from_surface(np.arange(N), N, "CIFTI_STRUCTURE_CORTEX_LEFT")
    models += nib.cifti2.BrainModelAxis.from_surface(
        np.arange(N), N, "CIFTI_STRUCTURE_CORTEX_RIGHT"
    )
    named = [
        {0: ("???", (0, 0, 0, 0)), **{k: (v, (1, 0, 0, 1)) for k, v in table.items()}}
        for table in tables
    ]
    axis = nib.cifti2.LabelAxis([f"map{n}" for n in range(len(rows))], named)
    header = nib.cifti2.Cifti2Header.from_axes((axis, models))
    nib.save(nib.Cifti2Image(np.asarray(rows, "f4"), header=header), path)
    return path


def halves(**by_vertex):
    left, right = np.zeros(N), np.zeros(N)
    for side, values in by_vertex.items():
        for vertex, value in values.items():
            (left if side == "left" else right)[vertex] = value
    return np.concatenate([left, right])


def test_cifti_labels_by_name_and_number(tmp_path):
    row = halves(left={1: 1, 2: 1}, right={3: 2, 4: 2, 5: 3})
    path = write_dlabel(tmp_path / "areas.dlabel.nii", [row], [{1: "L_V1", 2: "R_V1", 3: "V2"}])
    assert vertices(read_area(path, "L", "L_V1", N)) == [1, 2]
    assert vertices(read_area(path, "R", "L_V1", N)) == []  # it is in the other hemisphere
    assert vertices(read_area(path, "R", "r_v1", N)) == [3, 4]
    assert vertices(read_area(path, "R", "3", N)) == [5]
    assert vertices(read_area(path, "R", "", N)) == [3, 4, 5]


def test_the_map_of_a_cifti_file_that_has_the_label(tmp_path):
    rows = [halves(left={1: 1}), halves(left={5: 1}, right={5: 1})]
    path = write_dlabel(tmp_path / "areas.dlabel.nii", rows, [{1: "V1"}, {1: "BA17", 2: "gone"}])
    assert vertices(read_area(path, "L", "V1", N)) == [1]
    assert vertices(read_area(path, "R", "BA17", N)) == [5]
    with pytest.raises(DataError, match=r"areas\.dlabel\.nii: 0 of its 2 maps have"):
        read_area(path, "L", "V9", N)
    with pytest.raises(DataError, match=r"no vertex has the label 'gone'"):
        read_area(path, "L", "gone", N)
