"""Read charts back, as whoever looks at them does: which marks are where, and which text."""

import re
from xml.etree import ElementTree as ET

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"


def parse(chart):
    root = ET.fromstring(chart.svg)
    assert root.tag == f"{SVG}svg"
    return root


def texts(chart):
    return ["".join(element.itertext()) for element in parse(chart).iter(f"{SVG}text")]


def groups(chart, what):
    return [g for g in parse(chart).iter(f"{SVG}g") if g.get("id", "").endswith(f".{what}")]


def marks(chart, what):
    """Positions of marks, group by group; upwards is positive."""
    return [np.array([position(shape) for shape in shapes(group)]) for group in groups(chart, what)]


def shapes(group):
    """The marks of a group: round ones are circles, others are paths."""
    return [*group.iter(f"{SVG}circle")] or [*group.iter(f"{SVG}path")]


def position(shape):
    """The centre of a mark."""
    if shape.get("cx"):
        return [float(shape.get("cx")), -float(shape.get("cy"))]
    numbers = np.array(re.findall(r"-?[\d.]+", shape.get("d")), dtype=float).reshape(-1, 2)
    return (numbers.min(axis=0) + numbers.max(axis=0)) / 2 * [1, -1]


def segments(chart, what):
    """The ends of vertical lines: (n, 3) array of place, lower and upper end."""
    paths = [path.get("d") for g in groups(chart, what) for path in g.iter(f"{SVG}path")]
    ends = [np.array(re.findall(r"-?[\d.]+", d), dtype=float).reshape(2, 2) for d in paths]
    return np.array([[x, -low, -high] for (x, low), (_, high) in ends]).reshape(-1, 3)


def told(chart, what):
    """What is said of each mark to those who point at it, group by group."""
    return [
        [shape.findtext(f"{SVG}title") for shape in shapes(group)] for group in groups(chart, what)
    ]


def faces(chart, what):
    """The colours that marks are filled with, group by group."""
    return [[shape.get("fill") for shape in shapes(group)] for group in groups(chart, what)]


def fills(chart, colour):
    """Shapes that are filled with a colour."""
    return sum(element.get("fill") == colour for element in parse(chart).iter())


def is_linear(positions, values):
    """Tell whether positions are values on a linear scale, up to the rounding of the file."""
    if np.ptp(values) < 1e-9:
        return np.ptp(positions) < 1e-3
    slope, offset = np.polyfit(values, positions, 1)
    return slope > 0 and np.abs(slope * np.asarray(values) + offset - positions).max() < 1e-3
