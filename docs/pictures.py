"""Make the pictures of README and documentation from the demo: ``python docs/pictures.py [DEMO]``.

Runs ``bids_secondlevel-demo``, or takes the folder of one that has been run, analyses its two
groups as a user would, and photographs the results with Chromium (``chromium`` on the path), for
light and for dark screens.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bids_secondlevel.cli import main as program
from bids_secondlevel.demo.main import simulate_and_analyse

PICTURES = Path(__file__).parent / "_static" / "pictures"

_SETTINGS = """\
units = "percent signal change"

[labels]
UL = "upper left"
UR = "upper right"
LL = "lower left"
LR = "lower right"
attendMinusIgnore = "attention"
A = "group A"
B = "group B"
"""

_SCALE = 2
"""Pixels of a picture for each pixel of a page, for screens that have that many."""

_COLOURS = 128
"""Of a picture: fewer make a smaller file."""

_PAPER = "#0d1117"

_TURNED = f"html {{ background: {_PAPER} }} body {{ filter: invert(0.93) hue-rotate(180deg) }}"
"""Dark becomes light, and hues stay."""

_LINES_TURNED = """\
html { background: #0d0d0d } svg { filter: invert(0.95) }
svg image, svg rect[fill^="#"] { filter: invert(1) }
"""
"""Text and lines are turned, maps and the colours of ROIs are not."""

_PAPER_DARK = f"""\
html {{ background: {_PAPER} }} svg text {{ fill: #e6edf3 }}
svg [fill="white"] {{ fill: {_PAPER} !important }}
"""
"""Only text and paper are turned."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is photographed, and how."""

    name: str
    source: Path
    """An SVG file or a page."""
    size: tuple[int, int]
    """Width and height in pixels of a page."""
    dark: str
    """Styles for dark screens."""


def main(demo: Path) -> None:
    """Make every picture, from a demo that is run if it is not there."""
    if not (demo / "derivatives" / "group.html").exists():
        simulate_and_analyse(demo)
    (demo / "readable.toml").write_text(_SETTINGS, encoding="utf-8")
    given = [str(demo / "bids"), str(demo / "derivatives"), "group"]
    given += ["--config", str(demo / "readable.toml"), "--analysis-name"]
    for analysis in (["everybody"], ["groups", "--group-by", "group"]):
        code = program.main([*given, *analysis])
        if code != 0:
            raise SystemExit(f"The group level ended with exit code {code}.")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for picture in pictures_of(demo / "derivatives"):
        for shade, style in (("light", ""), ("dark", picture.dark)):
            file = PICTURES / f"{picture.name}-{shade}.png"
            photograph(picture, style, file)
            shrink(file)
            print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


def pictures_of(derivatives: Path) -> Iterator[Picture]:
    """List the pictures that the results of the demo give."""
    everybody, groups = (derivatives / "analyses" / name for name in ("everybody", "groups"))
    charts = {
        "cortex": (derivatives / "sub-01" / "figures" / "*_desc-rois_cortex.svg", _LINES_TURNED),
        "group": (groups / "figures" / "*task-main*-estimates_chart.svg", _TURNED),
        "visual-field": (everybody / "figures" / "*task-main*_desc-field_chart.svg", _PAPER_DARK),
    }
    for name, (pattern, dark) in charts.items():
        (svg,) = pattern.parent.glob(pattern.name)
        yield Picture(name=name, source=svg, size=_size(svg), dark=dark)
    yield Picture(name="page", source=groups / "group.html", size=(1200, 900), dark=_TURNED)


def _size(svg: Path) -> tuple[int, int]:
    """Read the size of a chart without its notes, which are sentences, and convert it to pixels."""
    text = svg.read_text(encoding="utf-8")
    found = re.search(r"""width=['"]([\d.]+)pt['"] height=['"]([\d.]+)pt['"]""", text)
    if found is None:
        raise SystemExit(f"{svg}: no size in points.")
    width, height = map(float, found.groups())
    notes = re.findall(r"""<text [^>]*\by=['"]([\d.]+)['"][^>]*>[^<]*\.</text>""", text)
    height = min([height, *(float(y) - 9 for y in notes)])
    return round(width * 96 / 72), round(height * 96 / 72)


def photograph(picture: Picture, style: str, file: Path) -> None:
    """Have Chromium show a chart or the top of a page, and write what can be seen as PNG."""
    text = picture.source.read_text(encoding="utf-8")
    if picture.source.suffix == ".svg":
        svg = text[text.index("<svg") :]
        text = f'<meta charset="utf-8"><style>body {{ margin: 0 }}</style>{svg}'
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(text.replace("</style>", f"{style}</style>", 1), encoding="utf-8")
        width, height = picture.size
        command = [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--run-all-compositor-stages-before-draw", "--virtual-time-budget=2000"),
            f"--user-data-dir={folder}/profile",
            f"--force-device-scale-factor={_SCALE}",
            f"--window-size={width},{height}",
            f"--screenshot={file}",
            page.as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 our own words


def shrink(file: Path) -> None:
    """Write a picture again with a palette."""
    with Image.open(file) as full:
        few = full.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch, "demo"))
