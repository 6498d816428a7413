"""Options of the tests."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

FamilyKind = Literal["contrast", "task", "all"]


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How tests are made and corrected."""

    n_permutations: int = 0
    """The largest number of sign flips; 0 for none."""
    family: FamilyKind = "contrast"
    """Which tests are corrected together."""
    is_robust: bool = False
    """Whether robust tests are added."""
    equivalence_bound: float | None = None
    """Smallest effect of interest, in the units of the maps; ``None`` for no equivalence tests."""


PLAIN = Inference()
"""Without sign flips and without optional tests."""

EVERYBODY = "all"
"""Value of the column ``group`` in rows about all participants."""

_MEAN = re.compile(r"mean\((.+)\)")


def mean_of(labels: Sequence[str]) -> str:
    """Name a mean over sessions, or contrasts; no label of BIDS has parentheses.

    Examples
    --------
    >>> mean_of(["01", "02"])
    'mean(01,02)'
    """
    return f"mean({','.join(labels)})"


def sessions_in_mean(label: str) -> tuple[str, ...]:
    """List the sessions behind a value of the column ``session``.

    Examples
    --------
    >>> sessions_in_mean("mean(01,02)"), sessions_in_mean("mean")
    (('01', '02'), ('mean',))
    """
    found = _MEAN.fullmatch(label)
    return tuple(found[1].split(",")) if found else (label,)


def is_mean_of_sessions(labels: "pd.Series[str]") -> "pd.Series[bool]":
    """Tell which values of the column ``session`` are means over sessions."""
    return labels.str.startswith("mean(")


AnovaFactor = Literal["roi", "contrast", "hemi", "session"]
"""Columns that may be factors within participants."""
