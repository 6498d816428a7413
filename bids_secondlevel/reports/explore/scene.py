"""What a page with surfaces to turn holds, and the page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from bids_secondlevel import __version__
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.values import Array, Mask
from bids_secondlevel.maps.display import DisplaySurface
from bids_secondlevel.reports.colours import scale
from bids_secondlevel.reports.cortex.view import GROUND, area_names
from bids_secondlevel.reports.explore.cut import Cutout
from bids_secondlevel.reports.explore.pack import pack

MOST_BYTES = 4_000_000
"""Of a page."""

AREAS = "areaLabels"
"""The array of visual areas."""

_STEPS = 4095
"""In which positions are given, along the longest axis of a surface."""

_COLOURS = ("viridis", "twilight", "RdBu_r")
"""Scales of :mod:`~.reports.colours` that a page paints with."""

_SHAPES = {
    "inflated": "Inflated surfaces, whose distances are not those of the folded cortex",
    "sphere": "Spheres, as no inflated surface was found",
    "folded": "Folded surfaces, as no inflated surface was found",
}

_SCRIPTS = (
    *("twgl.js", "numbers.js", "surface.js"),
    *("paint.js", "view.js", "panels.js", "explore.js"),
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A map to choose, painted on the surfaces."""

    name: str
    heading: str
    """Of the maps that it is listed with."""
    array: str
    """Its values, in the arrays of a hemisphere; :data:`AREAS` has colours of its own."""
    colours: str = ""
    ends: tuple[float, float] = (0.0, 1.0)
    """Values with the first and the last colour."""
    is_wheel: bool = False
    """Whether the last colour is the first one again."""
    is_share: bool = False
    """Whether 0 is nobody, and so is not painted."""
    unit: str = ""
    said: str = ""
    """What colours mean besides, in words."""
    suffix: str = ""
    """After each value."""
    localizer: int | None = None
    """The localizer contrast whose threshold fades it."""
    p_values: tuple[str, ...] = ()
    """Arrays of p values, of which the first that a vertex has fades it."""


@dataclass(frozen=True, kw_only=True)
class ExploredRoi:
    """An ROI, and the rule by which a page finds its vertices."""

    name: str
    colour: str
    kind: str
    """``share`` of participants, or one of :data:`~.roi_rule.ThresholdKind`."""
    threshold: float
    in_words: str
    """The threshold that the program used."""
    contrasts: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    combine: str = "all"
    tail: str = "greater"
    exclusive: bool = False
    min_vertices: int = 1


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What the program found: sizes and estimates of ROIs."""

    sizes: Mapping[str, float | None] = field(default_factory=dict)
    """By the places of ROIs and ``L``, ``R`` or ``both``."""
    estimates: Mapping[str, tuple[float | None, str, str]] = field(default_factory=dict)
    """Estimate, status and independence by the places of ROIs and contrasts, and the same."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Half:
    """A hemisphere with everything that a page knows of it."""

    side: Hemisphere
    surface: DisplaySurface | None
    cutout: Cutout | None
    arrays: Mapping[str, Array]
    """Values at the vertices that are explored, by name: floats, or unsigned whole numbers."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """What a page shows and computes with."""

    kind: Literal["participant", "group"]
    title: str
    home: str
    """Name of the page that leads to it."""
    halves: Sequence[Half]
    layers: Sequence[Layer]
    first: str
    """The array of the layer that is shown first."""
    rois: Sequence[ExploredRoi]
    found: Numbers
    other_areas: Sequence[str] = ()
    """Visual areas that are given in files of their own."""
    localizer: Sequence[str] = ()
    """Names of localizer contrasts."""
    measured: Sequence[str] = ()
    """Names of contrasts of which there are estimates."""
    units: str = ""
    summary: str = "mean"
    notes: Sequence[str] = ()


def render_scene(scene: Scene) -> bytes:
    """Write a page. All text is escaped: labels come from file names."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("bids_secondlevel").joinpath("data", "explore")
    texts = {
        name: folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", *_SCRIPTS)
    }
    arrays: dict[str, Array] = {f"colours.{name}": scale(name).reshape(-1) for name in _COLOURS}
    for half in scene.halves:
        own = {**_mesh_arrays(half), **half.arrays}
        arrays |= {f"{half.side}.{name}": values for name, values in own.items()}
    packed = pack(arrays)
    about = json.dumps({**_about(scene), "directory": packed.directory}, allow_nan=False)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(texts["page.html"]).render(
        scene=scene,
        about=Markup(about.replace("<", "\\u003c")),  # noqa: S704 escaped
        arrays=packed.text,
        scripts=[Markup(_in_script(texts[script])) for script in _SCRIPTS],  # noqa: S704 our own
        version=__version__,
    )
    return page.encode(errors="backslashreplace")


def whole_numbers(labels: Array) -> Array:
    """Give labels of visual areas, 0 being none, as a page holds them."""
    return np.clip(labels, 0, 65535).astype(np.uint16)


def bits(mask: Mask) -> Array:
    """Give a mask as a page holds it."""
    return mask.astype(np.uint8)


def _about(scene: Scene) -> dict[str, Any]:
    """Say what is not an array."""
    labels = {int(label) for half in scene.halves for label in np.unique(half.arrays[AREAS])}
    names = area_names(scene.other_areas)
    return {
        "kind": scene.kind,
        "file": scene.home.removesuffix(".html"),
        "areaNames": {str(label): name for label, name in names.items() if label in labels},
        "first": scene.first,
        "layers": [asdict(layer) for layer in scene.layers],
        "rois": [asdict(roi) for roi in scene.rois],
        "found": asdict(scene.found),
        "localizer": list(scene.localizer),
        "measured": list(scene.measured),
        "units": scene.units,
        "summary": scene.summary,
        "surfaces": _surfaces_in_words(scene.halves),
        "hemispheres": [_about_half(half) for half in scene.halves],
    }


def _about_half(half: Half) -> dict[str, Any]:
    points = None if half.cutout is None else half.cutout.coordinates
    return {
        "side": half.side,
        "origin": None if points is None else points.min(axis=0).tolist(),
        "step": None if points is None else _step(points),
    }


def _surfaces_in_words(halves: Sequence[Half]) -> list[str]:
    """Say which surfaces are shown, by their shape."""
    surfaces = [half.surface for half in halves if half.surface is not None]
    by_shape: dict[str, dict[str, None]] = {}
    for surface in surfaces:
        by_shape.setdefault(_SHAPES[surface.shape], {})[surface.name] = None
    return [f"{shape}: {', '.join(names)}." for shape, names in by_shape.items()]


def _mesh_arrays(half: Half) -> dict[str, Array]:
    """Give positions, triangles and greys of a hemisphere that is drawn."""
    if half.cutout is None or half.surface is None:
        return {}
    points = half.cutout.coordinates
    steps = np.round((points - points.min(axis=0)) / _step(points)).astype(np.uint16)
    own: dict[str, Array] = {f"positions.{axis}": steps[:, axis] for axis in range(3)}
    triangles = half.cutout.triangles.astype(np.uint32)
    own |= {f"triangles.{corner}": triangles[:, corner] for corner in range(3)}
    shading = half.surface.shading
    if shading is not None:
        depth = half.cutout.averaged(shading)
        grey = GROUND - 0.12 * np.tanh(2 * depth / (float(np.nanstd(shading)) or 1.0))
        own["greys"] = np.round(255 * grey).astype(np.uint8)
    return own


def _step(points: Array) -> float:
    """Give the width of the steps in which positions are given, in mm."""
    return float(np.ptp(points, axis=0).max()) / _STEPS or 1.0


def _in_script(text: str) -> str:
    """Write a script so that no text or comment in it ends the element that holds it."""
    return text.replace("</script", "\\u003c/script")
