"""The page with the cortex to turn: what it holds and computes is what a run would say."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from browser import drive, look, needs_chromium
from explored import CONTROL, unpacked
from meshes import icosphere
from study import Study, describe, estimates, write_gifti, write_mgz

from bids_secondlevel.cli.main import main
from bids_secondlevel.reports.explore import explorer

SIDES = {"L": "lh", "R": "rh"}
CONTRASTS = ("UL", "UR")
THRESHOLDS = ("0.7", "1.96", "2.3263478740408408", "40")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Spheres of 2,562 vertices with visual areas at the back; z and effects are noise."""
    return make(tmp_path_factory.mktemp("explore") / "bids")


def make(root):
    study = Study(root)
    (root / "sub-01").mkdir(parents=True)
    describe(root, "noise", "raw")
    describe(study.firstlevel, "firstlevel")
    points, triangles = icosphere(4, 60.0)
    rng = np.random.default_rng(3)
    n = len(points)
    for hemi, side in SIDES.items():
        surf = study.surf("01")
        surf.mkdir(parents=True, exist_ok=True)
        nib.freesurfer.write_geometry(surf / f"{side}.inflated", points, triangles)
        nib.freesurfer.write_geometry(surf / f"{side}.white", points, triangles)
        nib.freesurfer.write_morph_data(surf / f"{side}.sulc", rng.normal(size=n))
        eccentricity = np.hypot(points[:, 0], points[:, 2]) / 6
        angle = np.degrees(np.arctan2(np.abs(points[:, 0]), points[:, 2]))
        area = np.where(points[:, 1] < -25, 1 + (np.abs(points[:, 0]) > 30), 0)
        write_mgz(surf / f"{side}.benson14_varea.mgz", area, "i4")
        write_mgz(surf / f"{side}.benson14_eccen.mgz", np.where(area, eccentricity, 0))
        write_mgz(surf / f"{side}.benson14_angle.mgz", np.where(area, angle, 0))
        for contrast in CONTRASTS:
            z = rng.normal(1.5, 2, n).astype("f4")
            z[rng.integers(n, size=60)] = np.nan
            z[rng.integers(n, size=60)] = np.float32(2.3263478740408408)
            z[rng.integers(n, size=3)] = np.inf
            write_gifti(study.map_path("01", "loc", hemi, contrast, "z"), z, hemi)
            write_gifti(study.map_path("01", "loc", hemi, contrast, "effect"), z / 3, hemi)
        effect = rng.normal(size=n) * 10.0 ** rng.integers(-3, 3, n)
        effect[rng.integers(n, size=50)] = np.nan
        write_gifti(study.map_path("01", "main", hemi, "attend", "effect"), effect, hemi, "f8")
    return study


def run(study, output, *options):
    base = ["participant", "--n-procs", "1", "--localizer-task", "loc", "--visual-areas", "V1"]
    assert main([str(study.root), str(output), *base, *map(str, options)]) == 0
    return output


@pytest.fixture(scope="module")
def explored(study, tmp_path_factory):
    return run(study, tmp_path_factory.mktemp("out"), "--explore")


@pytest.fixture(scope="module")
def runs(study, tmp_path_factory):
    """Tables of runs with other thresholds: size and estimate by ROI and hemisphere."""
    return {
        t: numbers(study, tmp_path_factory.mktemp("x"), "--localizer-threshold", t)
        for t in THRESHOLDS
    }


def numbers(study, output, *options):
    table = estimates(run(study, output, "--no-report", *options))
    return {
        f"{roi} {hemi}": (row["n_vertices"], row["estimate"])
        for (_, contrast, roi, hemi), row in table.items()
        if contrast == "attend"
    }


def page_of(output):
    return output / "sub-01_explore.html"


def embedded(output):
    return unpacked(page_of(output))


def test_values_that_can_be_in_an_roi_are_those_of_the_maps(study, explored):
    about, arrays = embedded(explored)
    assert about["localizer"] == list(CONTRASTS)
    for hemi in SIDES:
        vertices = arrays[f"{hemi}.vertices"]
        part = arrays[f"{hemi}.part.0"] == 1
        for k, contrast in enumerate(CONTRASTS):
            z = nib.load(study.map_path("01", "loc", hemi, contrast, "z")).darrays[0].data
            held = arrays[f"{hemi}.z.{k}"]
            assert held.dtype == z.dtype
            np.testing.assert_array_equal(held[part], z[vertices][part])
            np.testing.assert_allclose(held, z[vertices], rtol=2e-3)
        effect = nib.load(study.map_path("01", "main", hemi, "attend", "effect")).darrays[0].data
        (k,) = (k for k, of in enumerate(about["measured"]) if of == "attend (main)")
        np.testing.assert_array_equal(arrays[f"{hemi}.measured.{k}"][part], effect[vertices][part])
        assert 0 < part.sum() < len(vertices)


def test_the_mesh_is_that_of_the_surface_to_a_fraction_of_its_edges(explored):
    about, arrays = embedded(explored)
    points, triangles = icosphere(4, 60.0)
    edges = {frozenset(edge) for t in triangles for edge in (t[:2], t[1:], t[::2])}
    for half in about["hemispheres"]:
        hemi = half["side"]
        vertices = arrays[f"{hemi}.vertices"].astype(int)
        held = np.stack([arrays[f"{hemi}.positions.{axis}"] for axis in range(3)], axis=1)
        placed = half["origin"] + half["step"] * held
        assert np.abs(placed[: len(vertices)] - points[vertices]).max() <= half["step"] / 2 + 1e-4
        corners = np.stack([arrays[f"{hemi}.triangles.{k}"] for k in range(3)], axis=1).astype(int)
        whole = corners[(corners < len(vertices)).all(axis=1)]
        assert len(whole)
        assert all(frozenset(vertices[t[:2]]) in edges for t in whole)
        assert corners.max() < len(placed)


def test_the_same_maps_give_the_same_bytes(study, explored, tmp_path):
    assert page_of(run(study, tmp_path, "--explore")).read_bytes() == page_of(explored).read_bytes()


def test_the_page_asks_for_nothing_and_the_participants_page_leads_to_it(explored):
    text = page_of(explored).read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(?!data:)", text)
    assert 'href="sub-01_explore.html"' in (explored / "sub-01.html").read_text(encoding="utf-8")
    assert 'href="sub-01.html"' in text


def test_without_the_option_there_is_no_page_and_one_of_an_earlier_run_goes(study, tmp_path):
    run(study, tmp_path, "--explore")
    before = page_of(tmp_path).read_bytes()
    assert main([str(study.root), str(tmp_path), "participant", "--reports-only"]) == 0
    assert page_of(tmp_path).read_bytes() == before
    assert "explore.html" in (tmp_path / "sub-01.html").read_text(encoding="utf-8")
    run(study, tmp_path)
    assert not page_of(tmp_path).exists()
    assert "explore.html" not in (tmp_path / "sub-01.html").read_text(encoding="utf-8")


SET = f"""{CONTROL}
const options = Array.from(document.querySelectorAll("#contrast option"));
const attend = options.find(function (of) {{ return of.textContent.startsWith("attend"); }});
change(document.getElementById("contrast"), attend.value);
"""


def same(shown, expected):
    size, estimate, *_ = shown
    return (size, float(estimate) if estimate != "n/a" else estimate) == (
        expected[0],
        float(expected[1]) if expected[1] != "n/a" else "n/a",
    )


@needs_chromium
def test_sizes_and_estimates_of_a_threshold_are_those_of_a_run_with_it(explored, runs, tmp_path):
    thresholds = json.dumps(THRESHOLDS)
    script = SET + f"return {thresholds}.map(function (t) {{ set(t); return table(); }});"
    found, console = drive(page_of(explored), tmp_path, script)
    assert console == []
    for threshold, table in zip(THRESHOLDS, found, strict=True):
        assert table.keys() == runs[threshold].keys()
        for key, expected in runs[threshold].items():
            assert same(table[key], expected), (threshold, key)
            assert same(table[key][2:], runs["1.96"][key])
    sizes = [int(table["UL both"][0]) for table in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


RULES = """
[[roi]]
name = "either"
contrasts = ["UL", "UR"]
combine = "any"
tail = "two-sided"

[[roi]]
name = "without"
contrasts = ["UL"]
exclude = ["UR"]
exclusive = true
localizer-threshold = 1

[[roi]]
name = "low"
contrasts = ["UR"]
tail = "less"
localizer-threshold = 0.5
min-vertices = 25

[[roi]]
name = "some"
contrasts = ["UL", "UR"]
threshold-kind = "top-n"
localizer-threshold = 40

[[roi]]
name = "share"
contrasts = ["UR"]
threshold-kind = "top-percent"
localizer-threshold = 12.5

[[roi]]
name = "rate"
contrasts = ["UL"]
threshold-kind = "fdr"
localizer-threshold = 0.05

[[roi]]
name = "all"
contrasts = []
polar-angle = [0, 90]
"""
OTHERS = {"either": 3, "without": 2.5, "low": 2, "some": 7, "share": 33}


@needs_chromium
@pytest.mark.parametrize("summary", ["mean", "median", "area-weighted-mean"])
def test_every_rule_and_summary_is_computed_as_a_run_does(study, tmp_path, summary):
    config = tmp_path / "rules.toml"
    config.write_text(RULES)
    given = ["--summary", summary, "--config", config]
    explored = run(study, tmp_path / "out", "--explore", *given)
    before = numbers(study, tmp_path / "before", *given)
    changed = RULES
    for name, threshold in OTHERS.items():
        head, at, rest = changed.partition(f'name = "{name}"\n')
        own, gap, rest = rest.partition("\n\n")
        own = re.sub(r"localizer-threshold.*", "", own) + f"\nlocalizer-threshold = {threshold}"
        changed = f"{head}{at}{own}{gap}{rest}"
    config.write_text(changed)
    after = numbers(study, tmp_path / "after", *given)
    script = f"""{SET}
    const before = table();
    {list(OTHERS.values())}.forEach(set);
    return [before, table(), document.querySelectorAll("#thresholds input[type=range]").length];
    """
    (shown, then, n_sliders), console = drive(page_of(explored), tmp_path, script)
    assert console == []
    assert n_sliders == len(OTHERS)
    for key in before:
        assert same(shown[key], before[key]), key
        assert same(then[key], after[key]), key
    moved = {key.split()[0] for key in before if before[key] != after[key]}
    assert moved == set(OTHERS)


DRAWN = """
const pixels = async function (k) {
  await new Promise(requestAnimationFrame);  // after that in which it was drawn
  const canvas = document.querySelectorAll("canvas")[k];
  const flat = document.createElement("canvas");
  [flat.width, flat.height] = [canvas.width, canvas.height];
  const pen = flat.getContext("2d");
  pen.drawImage(canvas, 0, 0);
  const values = pen.getImageData(0, 0, flat.width, flat.height).data;
  const colours = new Set();
  let opaque = 0, sum = 0;
  for (let i = 0; i < values.length; i += 4) {
    if (values[i + 3]) { opaque += 1; }
    colours.add(values[i] + 256 * values[i + 1] + 65536 * values[i + 2]);
    sum = (31 * sum + values[i] + 7 * values[i + 1] + 3 * values[i + 2]) % 1000003;
  }
  return [opaque / (values.length / 4), colours.size, sum];
};
"""


@needs_chromium
def test_it_draws_every_map_and_turns(explored, tmp_path):
    script = f"""{SET}{DRAWN}
    const found = {{ start: await pixels(0), right: await pixels(1) }};
    for (const option of document.querySelectorAll("#layer option")) {{
      change(document.getElementById("layer"), option.value);
      found[option.value] = await pixels(0);
    }}
    const key = new KeyboardEvent("keydown", {{ key: "ArrowLeft" }});
    document.querySelector("canvas").dispatchEvent(key);
    found.turned = await pixels(0);
    set(0.5);
    found.threshold = await pixels(0);
    return found;
    """
    found, console = drive(page_of(explored), tmp_path, script)
    assert console == []
    assert set(found) >= {
        *("areaLabels", "eccentricity", "polarAngle", "z.0", "z.1", "measured.0", "none")
    }
    for name, (opaque, colours, _) in found.items():
        assert 0.2 < opaque < 1, name  # a ball before a background
        assert colours > 50, name
    pictures = {name: total for name, (_, _, total) in found.items() if name != "eccentricity"}
    assert len(set(pictures.values())) == len(pictures)
    assert found["eccentricity"] == found["start"]


@needs_chromium
def test_a_vertex_has_its_values_whether_it_is_pointed_at_or_named(study, explored, tmp_path):
    script = f"""{SET}
    const said = function () {{
      const pairs = Array.from(document.querySelectorAll("#values div"));
      return Object.fromEntries(pairs.map(function (pair) {{
        return [pair.querySelector("dt").textContent, pair.querySelector("dd").textContent];
      }}));
    }};
    await wait(300);
    const canvas = document.querySelectorAll("canvas")[1], box = canvas.getBoundingClientRect();
    const where = {{ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }};
    canvas.dispatchEvent(new PointerEvent("pointermove", where));
    const vertex = document.getElementById("vertex").value, pointed = said();
    const side = document.getElementById("side").value;
    change(document.getElementById("vertex"), "");
    document.getElementById("vertex").value = vertex;
    document.getElementById("vertex").dispatchEvent(new Event("change"));
    return [side, Number(vertex), pointed, said()];
    """
    (side, vertex, pointed, named), _ = drive(page_of(explored), tmp_path, script)
    assert side == "R"
    assert pointed == named
    values = {
        "z of UL": nib.load(study.map_path("01", "loc", "R", "UL", "z")).darrays[0].data,
        "attend (main)": nib.load(study.map_path("01", "main", "R", "attend", "effect"))
        .darrays[0]
        .data,
    }
    for name, of_all in values.items():
        if np.isfinite(of_all[vertex]):
            assert float(pointed[name]) == pytest.approx(of_all[vertex], rel=0.01)
    points, _ = icosphere(4, 60.0)
    assert points[vertex][1] < -40  # looked at from behind
    assert pointed["Visual area"] == "V1"


@needs_chromium
def test_without_webgl_the_page_says_so_and_computes_all_the_same(explored, runs, tmp_path):
    script = (
        SET
        + """set(0.7);
    return [table(), document.querySelector("[role=alert]").textContent];"""
    )
    (table, said), _ = drive(page_of(explored), tmp_path, script, webgl=False)
    assert "this browser has no WebGL 2" in said
    assert all(same(table[key], expected) for key, expected in runs["0.7"].items())


@needs_chromium
def test_the_page_fits_its_width(explored, tmp_path):
    for name, page in look([page_of(explored)], tmp_path).items():
        assert page["troubles"] == [], name
        assert page["cut"] == [], name
        assert page["scroll"] == page["width"] == int(name.split()[1]), name


def test_names_cannot_leave_the_text_that_they_are(study, tmp_path):
    config = tmp_path / "labels.toml"
    name = "</script><script>alert(1)</script><!--"
    config.write_text(f'[labels]\nattend = "{name}"\nUL = "<b>&amp;"\n')
    output = run(study, tmp_path / "out", "--explore", "--config", config)
    about, _ = embedded(output)
    assert f"{name} (main)" in about["measured"]
    assert "alert(1)</script>" not in page_of(output).read_text(encoding="utf-8")
    assert [roi["name"] for roi in about["rois"]] == ["<b>&amp;", "UR"]


def test_a_page_that_would_be_too_large_goes_without_what_no_roi_needs_and_says_so(
    study, explored, tmp_path, monkeypatch
):
    whole, arrays = embedded(explored)
    size = page_of(explored).stat().st_size
    monkeypatch.setattr(explorer, "MOST_BYTES", size - 5_000)
    smaller = run(study, tmp_path / "smaller", "--explore")
    assert page_of(smaller).stat().st_size <= size - 5_000
    about, fewer = embedded(smaller)
    assert about["measured"] == whole["measured"]
    part = arrays["L.part.0"] == 1
    inside = arrays["L.areaLabels"] > 0
    for name, needed in (("L.z.1", inside), ("L.measured.0", part)):
        np.testing.assert_array_equal(fewer[name][needed], arrays[name][needed])
        assert np.isnan(fewer[name][~needed]).all()
    text = page_of(smaller).read_text(encoding="utf-8")
    assert "contrasts are shown only in the retinotopy mask" in text
    assert "shown only in the retinotopy" not in page_of(explored).read_text(encoding="utf-8")

    monkeypatch.setattr(explorer, "MOST_BYTES", page_of(smaller).stat().st_size - 1)
    smallest = run(study, tmp_path / "smallest", "--explore")
    left = embedded(smallest)[0]["measured"]
    assert 0 < len(left) < 3
    assert left == whole["measured"][: len(left)]
    said = f"It has {len(left)} of the 3 measured contrasts: the first."
    assert said in page_of(smallest).read_text(encoding="utf-8")


@needs_chromium
def test_what_is_missing_is_missing_on_the_page_too(tmp_path):
    lacking = make(tmp_path / "bids")
    lacking.map_path("01", "loc", "L", "UL", "z").unlink()
    lacking.map_path("01", "main", "R", "attend", "effect").unlink()
    output = tmp_path / "out"
    given = ["participant", "--n-procs", "1", "--localizer-task", "loc", "--explore"]
    assert main([str(lacking.root), str(output), *given]) == 66
    told, console = drive(page_of(output), tmp_path, SET + "return table();")
    assert console == []
    expected = {
        f"{roi} {hemi}": (row["n_vertices"], row["estimate"])
        for (_, contrast, roi, hemi), row in estimates(output).items()
        if contrast == "attend"
    }
    assert told.keys() == expected.keys()
    for key, row in expected.items():
        assert same(told[key], row), key
    assert expected["UL both"] == ("n/a", "n/a")
    assert expected["UR L"][1] != "n/a"


def test_volumes_have_no_page_and_one_message_says_so(tmp_path, caplog):
    study = Study(tmp_path / "bids")
    describe(study.root, "volumes", "raw")
    describe(study.firstlevel, "firstlevel")
    affine = np.eye(4)
    affine[0, 3] = -1.5  # voxels on both sides of the midline
    values = np.linspace(0.5, 9, 64, dtype="f4").reshape(4, 4, 4)
    maps = {
        "desc-benson14_varea": np.ones_like(values),
        "desc-benson14_eccen": values,
        "task-loc_contrast-UL_stat-z_statmap": values,
        "task-main_contrast-attend_stat-effect_statmap": values,
    }
    for label in ("01", "02"):
        (study.root / f"sub-{label}").mkdir()
        func = study.firstlevel / f"sub-{label}" / "func"
        func.mkdir(parents=True)
        for name, of in maps.items():
            path = func / f"sub-{label}_space-T1w_{name}.nii.gz"
            nib.save(nib.Nifti1Image(of, affine), path)
    given = ["participant", "--n-procs", "1", "--localizer-task", "loc", "--explore"]
    assert main([str(study.root), str(tmp_path / "out"), *given]) == 0
    said = [message for message in caplog.messages if "--explore" in message]
    assert len(said) == 1
    assert "there is no surface to turn" in said[0]
    assert (tmp_path / "out" / "sub-01.html").exists()
    assert not list((tmp_path / "out").glob("*explore*"))


def test_a_page_and_no_page_cannot_both_be_asked_for(study, tmp_path):
    given = ["participant", "--explore", "--no-report"]
    assert main([str(study.root), str(tmp_path / "out"), *given]) == 64
