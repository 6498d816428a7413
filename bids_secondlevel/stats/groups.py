"""Groups of participants, by a column of ``participants.tsv``."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bids_secondlevel.core.errors import DataError, UsageError
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.core.words import counted, listed
from bids_secondlevel.stats.testing.one_sample import Numbers


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Which participants belong to which group."""

    column: str
    of: Mapping[str, str]
    """Level by participant, with ``sub-``; without those of whom it is not known."""
    messages: tuple[str, ...] = ()

    @property
    def levels(self) -> tuple[str, ...]:
        """In alphabetical order."""
        return tuple(sorted(set(self.of.values())))

    def each(self, numbers: Numbers) -> Iterator[tuple[str, Numbers]]:
        """Return the numbers of each group."""
        level = np.array([self.of.get(who, "") for who in numbers.participants], dtype=object)
        for name in self.levels:
            yield name, numbers.of(level == name)


def groups_of(column: str, table: ParticipantsTable, participants: Iterable[str]) -> Groups:
    """Divide participants into groups.

    Parameters
    ----------
    participants
        With ``sub-``; those who are measured.

    Raises
    ------
    UsageError
        If there is no such column.
    DataError
        If it does not make at least two groups of participants, or makes a group of everyone.
    """
    if column not in table.columns:
        raise UsageError(
            f"--group-by {column}: participants.tsv has no such column. Its columns are: "
            f"{', '.join(table.columns) or 'none, or there is no such file'}."
        )
    people = sorted(set(participants))
    found = {who: table.values.get(who, {}).get(column) for who in people}
    of = {who: level for who, level in found.items() if level is not None}
    sizes = [list(of.values()).count(level) for level in set(of.values())]
    if len(sizes) < 2 or max(sizes) < 2:
        shown = ", ".join(sorted(set(of.values()))[:4])
        raise DataError(
            f"--group-by {column}: makes {counted(len(sizes), 'group')} of {len(of)} participants "
            f"({shown or 'all are n/a'}); expected at least two groups, with several participants. "
            "For numbers such as an age, use --model."
        )
    unknown = [who for who in people if who not in of]
    levels = sorted(set(of.values()))
    counts = [f"{level}: {list(of.values()).count(level)}" for level in levels]
    made = f"--group-by {column} makes {len(levels)} groups ({listed(counts, 10)})."
    said = (
        f"--group-by {column}: unknown for {listed(unknown, 5)}. They are not in a group, only in "
        "the rows of all participants.",
    )
    return Groups(column=column, of=of, messages=(*(said if unknown else ()), made))
