"""What all pictures share: colours, marks, words that fit."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2s
from itertools import cycle
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

import numpy as np

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.roi_rule import components, roi_colours
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.values import Array
from bids_secondlevel.core.wording import OF_THE_MAPS

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMED = 60
"""Participants up to which each can be told apart: by name, or by a line of its own."""

MOST_MARKS = 1000
"""Marks or cells of a chart up to which each is drawn as a shape; more become pixels."""

HEMISPHERE_NAMES = {"L": "left hemisphere", "R": "right hemisphere", BOTH: "both hemispheres"}

CIRCULAR = (
    "Circular estimates were measured on the data that defined their ROIs: a check of the "
    "localizer, not evidence."
)

FLAGGED = "Hollow marks: estimates with a flag, which is a warning (column flags of the estimates)."

DARK, GREY = "#222222", "#777777"
"""Of what is written and marked in charts."""

MARKERS = "os<>phX8*d"
"""Marks of groups, or of ROIs as not every colour differs from every other."""

LETTER = 0.085
"""Inches that a letter takes in a chart, on the safe side."""

REASON_MARKERS = "x+1234|_*dph8sX"
"""Marks of missing estimates, one for each reason."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture of numbers, with all that a page says about it."""

    name: str
    """Stem of a file name, such as ``task-main_space-fsnative_stat-effect_estimates``."""
    svg: bytes
    """An ``<svg>`` element in UTF-8, without an XML declaration: a file as it is, and a part of a
    page as it is."""
    title: str
    caption: str
    """How to read it: what the marks are, in which units, of how many."""
    alt: str
    """Its main numbers in words."""
    folded: str = ""
    """What to click on in a page to see it; empty if it is always shown."""

    @property
    def width(self) -> float:
        """In inches."""
        found = re.search(rb"""<svg[^>]* width=['"]([\d.]+)pt""", self.svg)
        return float(found[1]) / 72 if found else 0.0


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """What all charts of a page have in common."""

    units: str = OF_THE_MAPS
    """Those of the estimates, as they are said after "in"."""
    elements: str = "vertices"
    """Of which ROIs consist; in volumes, voxels."""
    rois: Sequence[str] = ()
    """All ROIs of the study, in their order: it decides on their colours."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Of the participants; empty if they are not divided."""

    @classmethod
    def of(cls, definition: Definition, groups: Mapping[str, str] | None = None) -> "Appearance":
        """Take it from how the ROIs were defined."""
        wording = definition.wording
        rois = tuple(wording.name(roi.name) for roi in definition.rois)
        elements = definition.units
        return cls(units=wording.units, elements=elements, rois=rois, groups=groups or {})

    @property
    def sizes(self) -> dict[str, tuple[str, str]]:
        """Columns of sizes of ROIs: what each is, and its unit."""
        return {
            "n_vertices": (f"number of {self.elements}", self.elements),
            "area_mm2": ("area (mm²)", "mm²"),
            "volume_mm3": ("volume (mm³)", "mm³"),
        }

    @property
    def levels(self) -> list[str]:
        """The groups in their order; one of everybody if participants are not divided."""
        return sorted(set(self.groups.values())) or [EVERYBODY]

    @property
    def markers(self) -> dict[str, str]:
        """Give each group a marker."""
        return dict(zip(self.levels, cycle(MARKERS), strict=False))

    def colours(self, rois: Iterable[str]) -> dict[str, str]:
        """Give the colours of ROIs; those that are not known come last."""
        return inks(list(dict.fromkeys([*self.rois, *rois])))

    def coloured(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """Add a column with the colour of each row's ROI."""
        return rows.assign(colour=rows["roi"].map(self.colours(rows["roi"].unique())))

    def group_of(self, participants: "pd.Series[str]") -> "pd.Series[str]":
        """Give the group of each participant, NaN if it is not known."""
        if not self.groups:
            return participants.map(lambda _: EVERYBODY)
        return participants.map(self.groups)


PLAIN = Appearance()
"""Of numbers that nothing is known of."""


def whom(group: str) -> str:
    """Name the group in a text, unless it is all participants."""
    return "" if group == EVERYBODY else f", {group}"


def pooled_or_apart(rows: "pd.DataFrame", column: str) -> "pd.DataFrame":
    """Keep rows of both hemispheres pooled, or of each that has numbers if there is none pooled."""
    found = set(rows["hemi"][rows[column].notna()])
    return rows[rows["hemi"].isin({BOTH} if BOTH in found or not found else found)]


def inks(rois: Sequence[str]) -> dict[str, str]:
    """Give each ROI its colour, darker where it would be too faint for a line on white.

    References
    ----------
    A contrast of 3:1 for graphics: WCAG 2.1, success criterion 1.4.11.
    """
    return {roi: _ink(colour) for roi, colour in roi_colours(rois).items()}


def _ink(colour: str) -> str:
    parts = np.array(components(colour))
    while 1.05 / (_luminance(parts) + 0.05) < 3:
        parts *= 0.95
    return f"#{bytes(round(255 * part) for part in parts).hex()}"


def _luminance(parts: Array) -> float:
    """Compute the relative luminance of a colour (sRGB), from 0 to 1."""
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def reason_marker(reasons: Sequence[str], reason: str) -> str:
    """Choose the marker of a reason."""
    return REASON_MARKERS[reasons.index(reason) % len(REASON_MARKERS)]


def stem(suffix: str, **entities: str | int | None) -> str:
    """Build the stem of a file name from whatever labels there are.

    Labels with other characters than letters and digits, or very long ones, are cut down to
    these, with a checksum that tells them apart.

    Examples
    --------
    >>> stem("estimates", ses="n/a", task="main", part=2)
    'task-main_part-2_estimates'
    >>> stem("estimates", task="a/b")
    'task-abbb1ecb_estimates'
    """
    there = {key: str(x) for key, x in entities.items() if x not in (None, MISSING)}
    return "_".join([*(f"{key}-{_label(text)}" for key, text in there.items()), suffix])


def _label(text: str) -> str:
    kept = re.sub("[^0-9A-Za-z]", "", text)[:40]
    checksum = blake2s(text.encode(errors="surrogatepass"), digest_size=3).hexdigest()
    return kept if kept == text else kept + checksum


def clean(text: str) -> str:
    r"""Replace what no document may hold, or what would change how other text is shown.

    Examples
    --------
    >>> clean("a\nb")
    'a�b'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def shorten(text: str, limit: int = 16) -> str:
    """Shorten a label to what fits into a picture.

    Examples
    --------
    >>> shorten("peripheralUpperLeft")
    'periphera…erLeft'
    """
    text = clean(text)
    if width_of(text) <= limit:
        return text
    most = limit if width_of(text) == len(text) else limit // 2
    end = most * 2 // 5
    return f"{text[: most - end - 1]}…{text[len(text) - end :]}"


def width_of(text: str) -> int:
    """Count the letters of a label, those of East Asian scripts twice."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def number(value: float) -> str:
    """Write a number with three significant digits.

    Examples
    --------
    >>> number(0.81832), number(12345), number(np.nan)
    ('0.818', '12345', 'n/a')
    """
    if np.isnan(value):
        return MISSING
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def interval(low: float, high: float) -> str:
    """Write a confidence interval, or say that there is none.

    Examples
    --------
    >>> interval(0.5, 1.25), interval(np.nan, np.nan)
    ('95 % CI 0.5 to 1.25', 'no CI')
    """
    return "no CI" if np.isnan(low) else f"95 % CI {number(low)} to {number(high)}"


def span(counts: Iterable[int]) -> str:
    """Write how many, where that differs from place to place.

    Examples
    --------
    >>> span([8, 7, 8]), span([8, 8])
    ('7 to 8', '8')
    """
    found = sorted(set(counts))
    return f"{found[0]} to {found[-1]}" if len(found) > 1 else str(*found)


def axis_label(statistic: str, units: str) -> str:
    """Label the axis of estimates; of no single statistic, by their units.

    Examples
    --------
    >>> axis_label("effect", "the units of the maps"), axis_label("effect", "percent signal change")
    ('effect (units of the maps)', 'effect (percent signal change)')
    """
    said = shorten(units.removeprefix("the "), 40)
    return said if statistic == MISSING else f"{shorten(statistic)} ({said})"
