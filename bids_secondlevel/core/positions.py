"""Positions in the visual field: the ``[[position]]`` tables of a ``--config`` file."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from math import isfinite
from typing import Any

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.options import option

OWN = "own"
"""In the place of the name of a position: the one that the contrast has of its own."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """A position in the visual field, such as that of a stimulus.

    Raises
    ------
    UsageError
        If a value cannot be right.
    """

    name: str = option("name of the position", default=MISSING)
    eccentricity: float = option("degrees of visual angle from the fovea", default=MISSING)
    polar_angle: float = option(
        "degrees clockwise from the upper vertical meridian, negative in the left visual field",
        default=MISSING,
    )

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable() or self.name in (OWN, "n/a"):
            raise UsageError(
                f"name = {self.name!r}; expected a name other than {OWN!r}, which means the "
                "position of each contrast in relative-to."
            )
        if not (isfinite(self.eccentricity) and 0 < self.eccentricity <= 180):
            raise UsageError(
                f"eccentricity = {self.eccentricity:g}; expected degrees of visual angle above 0 "
                "and up to 180."
            )
        if not -180 <= self.polar_angle <= 180:
            raise UsageError(
                f"polar-angle = {self.polar_angle:g}; expected degrees from -180 to 180, clockwise "
                "from the upper vertical meridian and negative in the left visual field."
            )

    def __str__(self) -> str:
        """Say where it is in words."""
        return f"{self.eccentricity:g} degrees at a polar angle of {self.polar_angle:g}"

    def to_sidecar(self) -> dict[str, float]:
        """Say where it is, as sidecars do."""
        return {"Eccentricity": self.eccentricity, "PolarAngle": self.polar_angle}

    @classmethod
    def from_sidecar(cls, name: str, described: Mapping[str, Any]) -> "Position":
        """Read what a sidecar states."""
        at, angle = float(described["Eccentricity"]), float(described["PolarAngle"])
        return cls(name=name, eccentricity=at, polar_angle=angle)
