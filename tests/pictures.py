"""Read charts back, as whoever looks at them does: which marks are where, and which text."""

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
    return [
        np.array([[float(use.get("x")), -float(use.get("y"))] for use in group.iter(f"{SVG}use")])
        for group in groups(chart, what)
    ]


def fills(chart, colour):
    """Shapes that are filled with a colour."""
    return sum(f"fill: {colour}" in element.get("style", "") for element in parse(chart).iter())


def is_linear(positions, values):
    """Tell whether positions are values on a linear scale, up to the rounding of the file."""
    if np.ptp(values) < 1e-9:
        return np.ptp(positions) < 1e-3
    slope, offset = np.polyfit(values, positions, 1)
    return slope > 0 and np.abs(slope * np.asarray(values) + offset - positions).max() < 1e-3
