"""Put numbers and names into words."""

from collections.abc import Sequence


def counted(n: int, what: str) -> str:
    """Count things in words.

    Examples
    --------
    >>> counted(1, "ROI"), counted(2, "ROI")
    ('1 ROI', '2 ROIs')
    """
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def in_words(items: Sequence[str], last: str = "and") -> str:
    """Join items as a sentence does.

    Examples
    --------
    >>> in_words(["UL", "UR", "LL"])
    'UL, UR and LL'
    """
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """List names, and say how many more there are.

    Examples
    --------
    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
