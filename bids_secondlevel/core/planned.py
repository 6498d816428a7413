"""Planned contrasts: the ``[[planned]]`` entries of a config file."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from math import isfinite
from typing import Literal

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.options import option

PlannedKey = Literal["session", "task", "contrast", "roi", "hemi"]
PLANNED_KEYS: tuple[PlannedKey, ...] = ("session", "task", "contrast", "roi", "hemi")

_WEIGHTS = "a label, or weights by label such as { attend = 1, ignore = -1 }"


@dataclass(frozen=True, kw_only=True)
class PlannedContrast:
    """A weighted sum of the estimates of a participant.

    Raises
    ------
    UsageError
        If a value is not valid.
    """

    name: str = option("name of the contrast", default=MISSING)
    task: str | Mapping[str, float] | None = option("label, or weights", expected=_WEIGHTS)
    contrast: str | Mapping[str, float] | None = option("label, or weights", expected=_WEIGHTS)
    roi: str | Mapping[str, float] | None = option("label, or weights", expected=_WEIGHTS)
    hemi: str | Mapping[str, float] | None = option("label, or weights", expected=_WEIGHTS)
    session: str | Mapping[str, float] | None = option("label, or weights", expected=_WEIGHTS)

    def __post_init__(self) -> None:
        if not self.name.strip() or any(sign in self.name for sign in "\t\r\n"):
            raise UsageError(f"name = {self.name!r}; expected a name.")
        for key in PLANNED_KEYS:
            weights = self.weights(key)
            if weights is None:
                continue
            if not all(map(isfinite, weights.values())) or not any(weights.values()):
                raise UsageError(
                    f"{key}: the weights are {', '.join(f'{w:g}' for w in weights.values())}; "
                    "expected numbers, at least one of them other than 0."
                )
            if len({label.casefold() for label in weights}) < len(weights):
                raise UsageError(f"{key}: a label is given twice.")

    def weights(self, key: PlannedKey) -> Mapping[str, float] | None:
        """Return the weights of a column; ``None`` if it is not named.

        Examples
        --------
        >>> PlannedContrast(name="upper", roi={"UL": 0.5, "UR": 0.5}, task="main").weights("task")
        {'main': 1.0}
        """
        given: str | Mapping[str, float] | None = getattr(self, key)
        return {given: 1.0} if isinstance(given, str) else given
