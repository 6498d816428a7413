"""Names on pages and figures: the units of estimates, and readable names of labels."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bids_secondlevel.core.errors import UsageError

FigureFormat = Literal["svg", "png", "pdf"]
"""What figures can be written as."""

OF_THE_MAPS = "the units of the maps"
"""Name of the units if the user gives none."""

_MOST_LETTERS = 60


def is_name(text: str) -> bool:
    r"""Return whether a text can be shown as a name: short, in one line, and not empty.

    Examples
    --------
    >>> is_name("upper left"), is_name(" "), is_name("two\nlines")
    (True, False, False)
    """
    return bool(text.strip()) and text.isprintable() and len(text) <= _MOST_LETTERS


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Names of units and labels for readers. Tables and file names do not change.

    Raises
    ------
    UsageError
        If a name cannot be shown, or two labels have the same name.
    """

    units: str = OF_THE_MAPS
    """Text that can follow "in"."""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Readable names of ROIs, contrasts and groups."""

    def __post_init__(self) -> None:
        by_name: dict[str, str] = {}
        for label, name in self.labels.items():
            if not is_name(name):
                raise UsageError(
                    f"[labels]: {label} = {name!r}; expected a name of 1 to {_MOST_LETTERS} "
                    "characters in one line."
                )
            other = by_name.setdefault(name, label)
            if other != label:
                raise UsageError(
                    f"[labels]: {other} and {label} have the same name {name!r}; give them "
                    "different names."
                )

    def among(self, labels: Collection[str]) -> "Wording":
        """Keep the names of some labels, and make these names different from each other.

        Examples
        --------
        >>> Wording(labels={"UL": "UR", "LL": "low"}).among(["UL", "UR"]).labels
        {'UL': 'UR (UL)'}
        """
        kept = {label: name for label, name in self.labels.items() if label in labels}
        taken = {label for label in labels if label not in kept}
        named = {label: f"{n} ({label})" if n in taken else n for label, n in kept.items()}
        return replace(self, labels=named)

    def name(self, label: str) -> str:
        """Return the name of a label; the label itself if it has none."""
        return self.labels.get(label, label)

    def reword(self, text: str, pattern: str = r"[^\s,-]+") -> str:
        """Replace the labels in a text by their names.

        Parameters
        ----------
        pattern
            Pattern of a label.

        Examples
        --------
        >>> Wording(labels={"UL": "upper left"}).reword("UL 31, UR 20")
        'upper left 31, UR 20'
        """
        return re.sub(pattern, lambda found: self.name(found[0]), text)

    def to_sidecar(self) -> dict[str, Any]:
        """Return what differs from the default, for sidecars."""
        units = {} if self.units == OF_THE_MAPS else {"EstimateUnits": self.units}
        return units | ({"ReadableNames": dict(self.labels)} if self.labels else {})

    @classmethod
    def from_sidecar(cls, sidecar: Mapping[str, Any]) -> "Wording":
        """Read the names from a sidecar."""
        labels = {str(label): str(name) for label, name in sidecar.get("ReadableNames", {}).items()}
        return cls(units=str(sidecar.get("EstimateUnits", OF_THE_MAPS)), labels=labels)
