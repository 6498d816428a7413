"""The two hemispheres, and values for both."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Hemisphere = Literal["L", "R"]
HEMISPHERES: tuple[Hemisphere, Hemisphere] = ("L", "R")
BOTH = "both"
"""Value of the column ``hemi`` in rows in which the vertices of both hemispheres are pooled."""

POOLS: Mapping[str, tuple[Hemisphere, ...]] = {"L": ("L",), "R": ("R",), BOTH: HEMISPHERES}
"""The rows of an estimate by their value of ``hemi``, with the hemispheres that each of them
pools."""


def main_rows(hemis: Iterable[str]) -> tuple[str, ...]:
    """Choose the rows of a table that are compared, modelled and corrected for multiple testing.

    Examples
    --------
    Those of both hemispheres pooled; if there are none, those of single hemispheres.

    >>> main_rows(["L", "R", "both"]), main_rows(["R", "R"])
    (('both',), ('R',))
    """
    there = set(hemis)
    return (BOTH,) if BOTH in there else tuple(hemi for hemi in HEMISPHERES if hemi in there)


def rows_in_words(hemis: Iterable[str]) -> str:
    """Describe the hemispheres that :func:`main_rows` chose.

    Examples
    --------
    >>> rows_in_words(["both"]), rows_in_words(["L", "R"])
    ('both hemispheres', 'the left or the right hemisphere')
    """
    names = {BOTH: "both hemispheres", "L": "the left hemisphere", "R": "the right hemisphere"}
    named = [names[hemi] for hemi in hemis]
    return " or ".join(named).replace(" hemisphere or ", " or ")


Part_co = TypeVar("Part_co", covariant=True)
Other = TypeVar("Other")


@dataclass(frozen=True, eq=False)
class Bilateral(Generic[Part_co]):
    """A pair of values, one for the left and one for the right hemisphere.

    Examples
    --------
    >>> sizes = Bilateral.of(lambda side: f"{side}h".lower()).map(len)
    >>> sizes["L"], list(sizes)
    (2, [2, 2])
    """

    left: Part_co
    right: Part_co

    @staticmethod
    def of(make: Callable[[Hemisphere], Other]) -> "Bilateral[Other]":
        """Make each value from the name of its hemisphere."""
        return Bilateral(make("L"), make("R"))

    def map(self, change: Callable[[Part_co], Other]) -> "Bilateral[Other]":
        """Apply a function to each value."""
        return Bilateral(change(self.left), change(self.right))

    def __getitem__(self, side: Hemisphere) -> Part_co:
        return self.left if side == "L" else self.right

    def __iter__(self) -> Iterator[Part_co]:
        yield self.left
        yield self.right

    def items(self) -> Iterator[tuple[Hemisphere, Part_co]]:
        """Return each value with the name of its hemisphere."""
        yield "L", self.left
        yield "R", self.right
