"""Words and numbers in charts: names of files, labels that fit, numbers with three digits."""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2s
from unicodedata import east_asian_width


def stem(suffix: str, **entities: str | int | None) -> str:
    """Build the stem of a file name from whatever labels there are.

    Labels with other characters than letters and digits, or very long ones, are cut down to
    these, with a checksum that tells them apart.

    Examples
    --------
    >>> stem("estimates", ses=None, task="main", part=2)
    'task-main_part-2_estimates'
    >>> stem("estimates", task="a/b")
    'task-abbb1ecb_estimates'
    """
    return "_".join(
        [*(f"{key}-{_label(str(x))}" for key, x in entities.items() if x is not None), suffix]
    )


def _label(text: str) -> str:
    kept = re.sub("[^0-9A-Za-z]", "", text)[:40]
    checksum = blake2s(text.encode(errors="surrogatepass"), digest_size=3).hexdigest()
    return kept if kept == text else kept + checksum


def clean(text: str) -> str:
    r"""Replace what no document may hold, or what would change how other text is shown.

    Examples
    --------
    >>> clean("a\nb")
    'a�b'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def shown(text: str, limit: int = 16) -> str:
    """Shorten a label to what fits into a picture.

    Examples
    --------
    >>> shown("peripheralUpperLeft")
    'periphera…erLeft'
    """
    text = clean(text)
    if width_of(text) <= limit:
        return text
    most = limit if width_of(text) == len(text) else limit // 2
    end = most * 2 // 5
    return f"{text[: most - end - 1]}…{text[len(text) - end :]}"


def width_of(text: str) -> int:
    """Count the letters of a label, those of East Asian scripts twice."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def number(value: float | None) -> str:
    """Write a number with three significant digits.

    Examples
    --------
    >>> number(0.81832), number(12345), number(None)
    ('0.818', '12345', 'n/a')
    """
    if value is None:
        return "n/a"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def interval(limits: tuple[float, float] | None) -> str:
    """Write a confidence interval, or say that there is none.

    Examples
    --------
    >>> interval((0.5, 1.25)), interval(None)
    ('95 % CI 0.5 to 1.25', 'no CI')
    """
    return "no CI" if limits is None else f"95 % CI {number(limits[0])} to {number(limits[1])}"


def span(counts: Iterable[int]) -> str:
    """Write how many, where that differs from place to place.

    Examples
    --------
    >>> span([8, 7, 8]), span([8, 8])
    ('7 to 8', '8')
    """
    found = sorted(set(counts))
    return f"{found[0]} to {found[-1]}" if len(found) > 1 else str(*found)


def listed(names: Sequence[str], most: int = 20) -> str:
    """List names, and say how many more there are.

    Examples
    --------
    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(clean, names[:most])) + rest


def describe_set(session: str | None, task: str) -> str:
    """Name what a chart shows.

    Examples
    --------
    >>> describe_set("1", "main"), describe_set(None, "main")
    ('task main, session 1', 'task main')
    """
    return f"task {shown(task, 40)}" + (f", session {shown(session, 40)}" if session else "")


def units(statistic: str) -> str:
    """Label the axis of estimates."""
    return f"{shown(statistic)} (units of the maps)"
