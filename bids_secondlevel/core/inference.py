"""What is asked of a test, beside its numbers."""

from dataclasses import dataclass
from typing import Literal

FamilyKind = Literal["contrast", "task", "all"]


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How tests are made and corrected."""

    n_permutations: int = 0
    """The greatest number of sign flips; 0 for none."""
    family: FamilyKind = "contrast"
    """Which tests are corrected together."""
    is_robust: bool = False
    """Whether there are tests that a few extreme participants do not decide."""
    equivalence_bound: float | None = None
    """Smallest effect of interest, in the units of the maps; ``None`` for no equivalence tests."""


PLAIN = Inference()
"""Without sign flips, and with nothing that has to be asked for."""

EVERYBODY = "all"
"""Value of the column ``group`` in rows of all participants."""

AnovaFactor = Literal["roi", "contrast", "hemi", "session"]
"""Columns that may be factors within participants."""
