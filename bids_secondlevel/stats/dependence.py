"""Contrasts that follow from others, such as attendMinusIgnore from attend and ignore.

To compare a contrast with its own part, or to fit both in a model, takes the same numbers for two
observations. First-level results do not say what a contrast was made of; the numbers do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.rows import CELL
from bids_secondlevel.core.values import Array
from bids_secondlevel.stats.testing.one_sample import spread

if TYPE_CHECKING:
    import pandas as pd

_FACTORS = sorted({Fraction(k, m) * s for k in (1, 2, 3) for m in (1, 2, 3) for s in (1, -1)})
"""What parts may be multiplied with if there are one or two of them."""
_LARGEST_FACTOR = 6
_DENOMINATORS = 12
"""Of factors if there are more parts: twelfths are halves, thirds and quarters, too."""

_TOLERANCE = 1e-5
"""Relative to the largest part; maps are 32-bit floats, whose differences are not exact."""

_FEWEST_ROWS = 3
"""Fewer numbers of each contrast could agree by chance."""

_APART = 0.15
"""Correlation, reversed, from which on two contrasts go apart across participants."""

_MADE_OF_OTHERS = re.compile(
    r"minus|plus|versus|[A-Za-z0-9](v|vs|m|gt|lt)(?=[A-Z0-9])|(^|[a-z0-9])(Vs?|Gt|Lt|And|Over)(?=[A-Z])"
    r"|(^|[a-z])([Dd]iff|[Aa]ll|[Mm]ean|[Ss]um|[Aa]verage|[Aa]vg|[Bb]oth|[Ii]nteraction)($|[A-Z]|er)"
    r"|MINUS|PLUS|VERSUS|Minus|Plus|Versus"
)
"""What labels of contrasts that are made of others tend to have."""


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """A contrast that is a sum of others, each times a factor, in all participants.

    Examples
    --------
    >>> parts = {"attend": Fraction(1), "ignore": Fraction(-1)}
    >>> print(Dependence(task="main", contrast="effect", parts=parts))
    effect is attend - ignore
    >>> parts = {"UR": Fraction(-1), "LL": Fraction(-1)}
    >>> print(Dependence(task="main", contrast="UL", parts=parts))
    UL + UR + LL is 0
    """

    task: str
    contrast: str
    parts: Mapping[str, Fraction]

    @property
    def is_balanced(self) -> bool:
        """Whether the contrasts cancel each other, so none of them is a combination of the others.

        Each condition against the mean of all is such a set. They may well be compared.
        """
        return len(self.parts) > 1 and all(factor < 0 for factor in self.parts.values())

    def __str__(self) -> str:
        if self.is_balanced:
            sizes = ("" if factor == -1 else f"{-factor} " for factor in self.parts.values())
            named = (f"{size}{part}" for size, part in zip(sizes, self.parts, strict=True))
            return f"{' + '.join((self.contrast, *named))} is 0"
        text = ""
        for part, factor in self.parts.items():
            sign = "-" if factor < 0 else "+" if text else ""
            size = "" if abs(factor) == 1 else f"{abs(factor)} "
            text += f" {sign} {size}{part}" if text else f"{sign}{size}{part}"
        return f"{self.contrast} is {text}"


def dependent_contrasts(estimates: "pd.DataFrame") -> tuple[Dependence, ...]:
    """Find the contrasts of each task that follow from others of the task.

    Of contrasts that depend on each other, one is taken as made of the others whose label says so
    (it contains the others' labels, or a word such as Minus); else see :func:`_least_like_a_part`.

    Parameters
    ----------
    estimates
        Of all participants. A dependence has to hold in all rows with numbers: participants,
        sessions, ROIs and hemispheres.
    """
    cells, numbers = spread(estimates)
    found: list[Dependence] = []
    for task, of_task in cells.groupby("task", sort=False):
        codes, labels = of_task["contrast"].factorize()
        others = [name for name in CELL if name != "contrast"]
        place = of_task.groupby(others, sort=False).ngroup().to_numpy()
        values = np.full((len(numbers.participants), place.max() + 1, len(labels)), np.nan)
        values[:, place, codes] = numbers.values[:, of_task.index]
        found += _of_task(str(task), list(labels), values)
    return tuple(found)


def check_independent(estimates: "pd.DataFrame", what: str) -> None:
    """Refuse contrasts of which one follows from others: its numbers are no new ones.

    Parameters
    ----------
    what
        What has contrast as a factor.

    Raises
    ------
    DataError
        If one does.
    """
    for found in dependent_contrasts(estimates):
        raise DataError(
            f"{what} has contrast as a factor, but {found} in all participants (task "
            f"{found.task}). A model of contrasts that depend on each other would count the same "
            "data twice. Exclude one of them, for example with --contrasts "
            f"{' '.join(sorted(found.parts))}."
        )


def why_not_compared(
    dependences: Sequence[Dependence], task: str, first: str, second: str
) -> Dependence | None:
    """Say why contrasts of a task are not compared: one is a part or a multiple of the other."""
    of_task = {d.contrast: d for d in dependences if d.task == task and not d.is_balanced}
    for one, other in ((first, second), (second, first)):
        if one in of_task and other in of_task[one].parts:
            return of_task[one]
    if first in of_task and second in of_task:
        a, b = of_task[first].parts, of_task[second].parts
        if a.keys() == b.keys() and len({a[part] / b[part] for part in a}) == 1:
            return of_task[second]
    return None


def _of_task(task: str, labels: Sequence[str], values: Array) -> list[Dependence]:
    """Take contrasts one by one, as long as they do not follow from those that were taken."""
    taken: list[int] = []
    found: list[Dependence] = []
    finite = np.abs(values[np.isfinite(values)])
    largest = finite.max(initial=0.0)
    if len(labels) < 2 or not largest > 0:
        return found
    scaled = (values / largest).reshape(-1, len(labels))
    names = [_of_name(label, labels) for label in labels]
    for place in sorted(range(len(labels)), key=lambda i: (*names[i], labels[i])):
        made, factors = place, _factors(scaled, place, taken)
        if len(factors) == 2 and len({names[i] for i in (place, *factors)}) == 1:
            made, factors = _least_like_a_part(values / largest, place, factors)
            taken = [i for i in (*taken, place) if i != made]
        if factors:
            parts = {labels[part]: factor for part, factor in sorted(factors.items())}
            found.append(Dependence(task=task, contrast=labels[made], parts=parts))
        else:
            taken.append(place)
    return found


def _of_name(label: str, labels: Sequence[str]) -> tuple[bool, int]:
    """Return whether a label seems to be of a contrast that is made of others, and of how many."""
    contained = sum(other.casefold() in label.casefold() for other in labels)
    return bool(_MADE_OF_OTHERS.search(label)), contained


def _least_like_a_part(
    values: Array, whole: int, factors: Mapping[int, Fraction]
) -> tuple[int, dict[int, Fraction]]:
    """Choose, of three contrasts that depend on each other, the one that is made of the others.

    One of the three is the sum of the other two, each times a factor. It is their sum indeed if
    these do not go apart across participants: conditions seldom do, but a difference goes apart
    from what was subtracted. If they do, the one is the difference that is less like the sum in
    size, as conditions are of similar size.
    """
    terms = {whole: Fraction(-1), **factors}
    positive = [i for i, factor in terms.items() if factor > 0]
    odd = positive if len(positive) == 1 else [i for i in terms if i not in positive]
    if len(odd) != 1:
        return whole, dict(factors)
    centred = values - np.nanmean(values, axis=0, keepdims=True)
    rows = np.stack([centred[..., i].ravel() * abs(float(terms[i])) for i in terms])
    sizes = np.stack([values[..., i].ravel() * abs(float(terms[i])) for i in terms])
    there = np.isfinite(rows).all(axis=0)
    rows, sizes = rows[:, there], np.log(np.linalg.norm(sizes[:, there], axis=1) + 1e-300)
    place = {i: number for number, i in enumerate(terms)}
    first, second = (i for i in terms if i != odd[0])
    a, b = rows[place[first]], rows[place[second]]
    apart = a @ b < -_APART * np.linalg.norm(a) * np.linalg.norm(b)
    unlike = {i: abs(sizes[place[i]] - sizes[place[odd[0]]]) for i in (first, second)}
    made = max(unlike, key=lambda i: unlike[i]) if apart else odd[0]
    others = {i: -factor / terms[made] for i, factor in terms.items() if i != made}
    return made, others


def _factors(values: Array, place: int, taken: Sequence[int]) -> dict[int, Fraction]:
    """Find the factors by which a contrast follows from others; none if it does not."""
    rows = values[np.isfinite(values[:, place])]
    known = [i for i in taken if 2 * np.isfinite(rows[:, i]).sum() >= max(len(rows), 1)]
    rows = rows[np.isfinite(rows[:, known]).all(axis=1)]
    known = [i for i in known if np.abs(rows[:, i]).max(initial=0.0) > 0]
    whole = rows[:, place]
    if len(rows) < _FEWEST_ROWS or not known or not whole.any():
        return {}
    parts = rows[:, known]
    factors = _of_one_or_two(whole, parts)
    if not factors and len(known) > 2 and len(rows) >= 2 * len(known) + 2:
        factors = _of_several(whole, parts)
    return {known[part]: factor for part, factor in factors.items()}


def _of_one_or_two(whole: Array, parts: Array) -> dict[int, Fraction]:
    n_parts = parts.shape[1]
    exact = [Fraction(0), *_FACTORS]
    factors = np.array(exact, dtype=np.float64)
    squares = (parts**2).sum(axis=0)
    best: tuple[int, float, dict[int, Fraction]] | None = None
    for first in range(n_parts):
        # What is left of the whole without the first part, times each factor, is the second part.
        left = whole[:, np.newaxis] - parts[:, [first]] * factors
        product = left.T @ parts
        nearest = np.abs(product[..., np.newaxis] / squares[:, np.newaxis] - factors).argmin(axis=2)
        second = factors[nearest]
        rest = (left**2).sum(axis=0)[:, np.newaxis] - 2 * second * product + second**2 * squares
        size = np.maximum(np.maximum(squares, squares[first]), (whole**2).sum())
        for i, j in np.argwhere(rest <= (_TOLERANCE**2) * size):
            terms = {first: exact[i], int(j): exact[nearest[i, j]]}
            terms = {part: factor for part, factor in terms.items() if factor}
            if (j == first and exact[i]) or not terms or not _is_sum(whole, parts, terms):
                continue
            candidate = (len(terms), abs(float(rest[i, j])), terms)
            best = min(best, candidate, key=lambda found: found[:2]) if best else candidate
    return best[2] if best else {}


def _of_several(whole: Array, parts: Array) -> dict[int, Fraction]:
    sizes = np.sqrt((parts**2).sum(axis=0))
    found = np.linalg.lstsq(parts / sizes, whole, rcond=None)[0] / sizes
    terms = {
        part: Fraction(round(factor * _DENOMINATORS), _DENOMINATORS)
        for part, factor in enumerate(found)
        if abs(factor) <= _LARGEST_FACTOR
    }
    terms = {part: factor for part, factor in terms.items() if factor}
    return terms if terms and _is_sum(whole, parts, terms) else {}


def _is_sum(whole: Array, parts: Array, terms: Mapping[int, Fraction]) -> bool:
    added = [parts[:, part] * float(factor) for part, factor in terms.items()]
    size = max(np.linalg.norm(part) for part in (whole, *added))
    return bool(np.linalg.norm(whole - np.sum(added, axis=0)) <= _TOLERANCE * size)
