"""Pages with a cortex to turn: what they hold, and how a script uses them."""

import base64
import json
import re
import zlib

import numpy as np

KINDS = {"u1": "u1", "u2": "<u2", "u4": "<u4", "f4": "<f4", "f8": "<f8"}

CONTROL = """
const change = function (control, value) {
  control.value = value;
  control.dispatchEvent(new Event("change"));
};
const set = function (value, k) {
  change(document.querySelectorAll("#thresholds input[type=number]")[k || 0], value);
};
const table = function () {
  const rows = Array.from(document.querySelectorAll("#numbers tbody tr"));
  return Object.fromEntries(rows.map(function (row) {
    const cells = Array.from(row.querySelectorAll("[data-v]"));
    const [size, sizeOfRun, estimate, ofRun] = cells.map(function (of) { return of.dataset.v; });
    return [row.dataset.roi + " " + row.dataset.hemi, [size, estimate, sizeOfRun, ofRun]];
  }));
};
"""
"""For a script: set the k-th threshold, and read the table of the page."""


def unpacked(page):
    """What a page holds: names and rules, and arrays."""
    text = page.read_text(encoding="utf-8")
    parts = dict(re.findall(r'<script type="\S+" id="(\w+)">(.*?)</script>', text, re.DOTALL))
    about = json.loads(parts["about"])
    content = zlib.decompress(base64.b64decode(parts["arrays"]))
    arrays, at = {}, 0
    for name, (kind, length) in about["directory"].items():
        size = np.dtype(kind).itemsize
        planes = np.frombuffer(content, "u1", length * size, at).reshape(size, length)
        values = np.ascontiguousarray(planes.T).view(KINDS[kind]).reshape(-1)
        arrays[name] = np.cumsum(values, dtype=kind) if kind[0] == "u" else values
        at += length * size
    assert at == len(content)
    return about, arrays
