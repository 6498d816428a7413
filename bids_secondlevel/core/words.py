"""Put numbers and names into words."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def counted(n: int, what: str) -> str:
    """Word a count, with the noun in the singular or plural.

    Examples
    --------
    >>> counted(1, "ROI"), counted(2, "ROI")
    ('1 ROI', '2 ROIs')
    """
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def in_words(items: Sequence[str], last: str = "and") -> str:
    """Join items as in a sentence.

    Examples
    --------
    >>> in_words(["UL", "UR", "LL"])
    'UL, UR and LL'
    """
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """List the first names, and the number of the others.

    Examples
    --------
    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def of_units(text: str, units: str) -> str:
    """Word a text about vertices for the elements of a study's maps.

    Parameters
    ----------
    units
        ``vertices`` or ``voxels``.

    Examples
    --------
    >>> of_units("no vertex of 5 vertices", "voxels")
    'no voxel of 5 voxels'
    """
    if units == "vertices":
        return text
    return re.sub(r"\bvert(ex|ices)\b", lambda of: "voxel" if of[1] == "ex" else "voxels", text)


def did_you_mean(word: str, there: Iterable[str]) -> str:
    """Suggest the word that was probably meant, if one is nearly the same.

    Examples
    --------
    >>> did_you_mean("--contrast", ["--contrasts", "--space"]), did_you_mean("x", ["space"])
    ('did you mean --contrasts?', '')
    """
    names = {name.casefold(): name for name in there}
    near = get_close_matches(word.casefold(), names, n=1, cutoff=0.75)
    begun = [name for name in names if name.startswith(word.casefold()) and len(word) > 3]
    near = near or (begun if len(begun) == 1 else [])
    return f"did you mean {names[near[0]]}?" if near else ""


def shared(said: Iterable[tuple[str, str]], n_shown: int = 3) -> list[str]:
    """Report once what concerns several participants.

    The label of a participant (``sub-01``) becomes ``sub-*`` in a shared text.

    Parameters
    ----------
    said
        Participants (with ``sub-``), each with a text.

    Examples
    --------
    >>> shared([("sub-1", "no sub-1_z.gii"), ("sub-2", "no sub-2_z.gii"), ("sub-2", "late")])
    ['sub-1, sub-2: no sub-*_z.gii', 'sub-2: late']
    """
    together: dict[str, dict[str, str]] = {}
    for who, text in said:
        general = re.sub(rf"(?<![0-9A-Za-z]){re.escape(who)}(?![0-9A-Za-z])", "sub-*", text)
        together.setdefault(general, {})[who] = text
    return [
        f"{listed(list(by), n_shown)}: {general if len(by) > 1 else next(iter(by.values()))}"
        for general, by in together.items()
    ]
