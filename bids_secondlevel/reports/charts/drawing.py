"""What pictures are made of: places in inches, words, scales of colours. Knows matplotlib only."""

import io
import logging
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.values import Array, Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = 0.72
"""Of cortex where nothing is shown."""

CHARACTER = 0.07
"""Inches that a character of ordinary text takes, on the safe side."""

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.parse_math": False,  # a label is a label, also with dollar signs
    "svg.fonttype": "none",
    "svg.hashsalt": "bids_secondlevel",
    "path.simplify_threshold": 0.4,
}


@dataclass(frozen=True, eq=False)
class Scale:
    """What the colours of a map mean.

    Attributes
    ----------
    colours : (n, 4) array of float
        Red, green, blue and opacity, from the lowest to the highest value.
    ends : (float, float)
        Lowest and highest value.
    ticks : tuple of float
        Values to be written below, the most important first; those without room are left out.
    marks : tuple of float
        Values at which there is a line.
    unit : str
    """

    colours: Array
    ends: tuple[float, float]
    ticks: tuple[float, ...]
    marks: tuple[float, ...]
    unit: str


@contextmanager
def own_style() -> Iterator[None]:
    """Draw in the style of this program, whatever the user's settings of matplotlib are."""
    # It warns of folders for its cache that it cannot write, which changes no picture.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> "Figure":
    """Make a figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def to_svg(figure: "Figure") -> bytes:
    """Encode a figure as SVG, without the time it was made."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def coloured(scale: str, values: Array, shown: Mask) -> Array:
    """Give values from 0 to 1 the colours of one of matplotlib's scales.

    Parameters
    ----------
    scale : str
    values : array of float
    shown : array of bool
        The others are transparent.

    Returns
    -------
    array of float
        With a last axis for red, green, blue and opacity.
    """
    from matplotlib import colormaps

    painted: Array = colormaps[scale](np.where(shown, np.clip(values, 0, 1), 0))
    painted[..., 3] = shown
    return painted


def on_grey(painted: Array, grey: Array | float) -> Array:
    """Lay colours (n, 4) on an opaque ground; the result has no opacity (n, 3)."""
    opacity = painted[:, 3:]
    mixed: Array = opacity * painted[:, :3] + (1 - opacity) * grey
    return mixed


def axes_at(
    figure: "Figure",
    left: float,
    bottom: float,
    width: float,
    height: float,
    *,
    bare: bool = True,
) -> "Axes":
    """Add axes at a place given in inches; bare ones have no frame, ground or ticks."""
    full_width, full_height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / full_width, bottom / full_height, width / full_width, height / full_height)
    )
    if bare:
        axes.set_axis_off()
    return axes


def write(
    figure: "Figure",
    x: float,
    y: float,
    text: str,
    *,
    size: float = 8.5,
    weight: str = "normal",
    ha: str = "left",
    va: str = "baseline",
) -> None:
    """Write at a place given in inches."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, size=size, weight=weight, ha=ha, va=va)


def shorten(text: str, width: float) -> str:
    """Leave out the middle of a text that is wider than some inches.

    Examples
    --------
    >>> shorten("facesMinusScrambledObjects", 1.0)
    'facesMi…Objects'
    """
    most = max(int(width / CHARACTER), 3)
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[-(most // 2) :]}"


def wrap(lines: Sequence[str], width: float) -> list[str]:
    """Break lines that are wider than some inches."""
    most = max(int(width / CHARACTER), 20)
    return [part for line in lines for part in textwrap.wrap(line, most, break_on_hyphens=False)]


def swatch(figure: "Figure", left: float, bottom: float, size: float, colour: str) -> None:
    """Draw a small square of a colour at a place given in inches."""
    from matplotlib.patches import Rectangle

    x, y = figure.get_size_inches()
    place, transform = (left / x, bottom / y), figure.transFigure
    square = Rectangle(place, size / x, size / y, facecolor=colour, transform=transform)
    figure.add_artist(square)


def draw_scale(figure: "Figure", left: float, top: float, width: float, *, scale: Scale) -> None:
    """Draw a bar of colours with its values, below a panel."""
    inset = 0.15
    axes = axes_at(figure, left + inset, top - 0.2, width - 2 * inset, 0.11, bare=False)
    low, high = scale.ends
    bar = on_grey(scale.colours, GREY)[None]
    axes.imshow(bar, extent=(low, high, 0, 1), aspect="auto", interpolation="none")
    for mark in scale.marks:
        axes.plot([mark, mark], [0, 1], color="black", linewidth=1.2)
    axes.set_xlim(low, high)
    axes.set_yticks([])
    ticks: list[float] = []
    for tick in scale.ticks:
        if all(abs(tick - other) > 0.13 * (high - low) for other in ticks):
            ticks.append(tick)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], size=7.5)
    axes.tick_params(length=2, pad=1)
    axes.set_xlabel(scale.unit, size=7.5, labelpad=1)
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)


def draw_visual_field(figure: "Figure", left: float, top: float, width: float) -> None:
    """Draw the visual field with the colour of each polar angle, below a panel."""
    size = 0.46
    axes = axes_at(figure, left + (width - size) / 2, top - 0.16 - size, size, size)
    y, x = np.mgrid[1:-1:96j, -1:1:96j]
    angle = np.degrees(np.arctan2(x, y))
    field = coloured("twilight", (angle + 180) / 360, np.hypot(x, y) <= 1)
    axes.imshow(np.round(255 * field).astype(np.uint8), extent=(-1, 1, -1, 1), interpolation="none")
    for text, x_text, y_text, ha in (
        ("up", 0, 1.3, "center"),
        ("down", 0, -1.35, "center"),
        ("left", -1.2, 0, "right"),
        ("right", 1.2, 0, "left"),
    ):
        axes.text(x_text, y_text, text, size=7.5, ha=ha, va="center")
