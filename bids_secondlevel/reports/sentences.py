"""Results in sentences, as papers have them (APA style)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, main_rows
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.results import GroupResults
from bids_secondlevel.core.rows import MISSING, each_row
from bids_secondlevel.core.words import counted, in_words

if TYPE_CHECKING:
    import pandas as pd

PLANNED_SAID, TESTS_SAID = "Planned contrasts", "Tests against 0"
GROUPS_SAID = "Differences of groups"
"""Headings of sentences."""

_LARGEST_FACTOR = 1e4
_MOST_NAMED = 4  # participants in a sentence


def sentences_of(results: GroupResults) -> dict[str, list[str]]:
    """Say tests in sentences: planned contrasts, tests against 0, and differences of groups.

    Of those of each hemisphere, only the main ones are said.

    Returns
    -------
    dict
        Sentences by heading.
    """
    tests, compared = (
        table[table["hemi"].isin(main_rows(table["hemi"])) & table["p"].notna()]
        for table in (results.statistics, results.comparisons)
    )
    compared = compared[compared["comparison"] == "group"]
    said = {
        PLANNED_SAID: [sentence(_planned_name(row), row) for row in each_row(results.planned)],
        TESTS_SAID: [sentence(_cell_name(row, tests), row) for row in each_row(tests)],
        GROUPS_SAID: [sentence(_cell_name(row, compared), row) for row in each_row(compared)],
    }
    return {heading: lines for heading, lines in said.items() if lines}


def as_markdown(said: Mapping[str, Sequence[str]], about: Sequence[str]) -> str:
    """Write sentences as a text with headings.

    Parameters
    ----------
    about
        Paragraphs that say how to read them.
    """
    parts = ["# Results", *about]
    for heading, lines in said.items():
        parts += [f"## {heading}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def family_notes(results: GroupResults) -> list[str]:
    """Name each family of tests, and count it."""
    return [
        *family_note(results.planned, "planned contrasts"),
        *family_note(results.statistics, "tests against 0"),
        *family_note(results.comparisons, "comparisons"),
    ]


def family_note(tests: "pd.DataFrame", what: str) -> list[str]:
    """Name the families of some tests, and count them; nothing if none is corrected."""
    counts = tests.loc[tests["family"] != MISSING, "family"].value_counts(sort=False)
    if counts.empty:
        return []
    if len(counts) == 1 and counts.iloc[0] > 1:
        ((name, n),) = counts.items()
        return [f"The {what} form one family of {counted(n, 'test')} ({name})."]
    sizes = sorted(set(counts))
    if sizes == [1]:
        return [f"Each of the {what} is a family of its own."]
    several = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0]}"
    return [
        f"The {what} form {len(counts)} families of {several} tests each, such as "
        f"“{counts.index[0]}”. p_fwe, p_holm and q_fdr are corrected within each family."
    ]


def _planned_name(row: Any) -> str:
    whom = "" if row.group == EVERYBODY else f" ({row.group})"
    if row.versus == MISSING:
        return f"{row.name}{whom}"
    return f"{row.name}, {row.group} - {row.versus}"


def _cell_name(row: Any, shown: "pd.DataFrame") -> str:
    """Name what tells a test apart from the others."""
    parts = [
        f"{name} {value}" if name in ("session", "space") else value
        for name in ("session", "task", "contrast", "roi", "hemi", "space", "statistic")
        if (value := getattr(row, name)) not in (MISSING, BOTH)
        and (name in ("contrast", "roi") or shown[name].nunique() > 1)
    ]
    if getattr(row, "comparison", None) == "group":
        return ", ".join([*parts, f"{row.group} - {row.versus}"])
    whom = "" if row.group == EVERYBODY else f" ({row.group})"
    return ", ".join(parts) + whom


def sentence(name: str, row: Any) -> str:
    """Say a test in a sentence.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> test = dict(n=9, mean=0.31, ci95_low=0.13, ci95_high=0.49, t=3.93, df=8.0, p=0.0044)
    >>> test |= dict(p_fwe=0.02, p_holm=0.03, cohens_d=1.31, hedges_g=1.18, bf10=12.3)
    >>> test |= dict(excluded="sub-05:missing_localizer", versus="n/a", note="n/a")
    >>> print(sentence("UL", SimpleNamespace(**test)))
    UL: M = 0.31, 95 % CI [0.13, 0.49], t(8) = 3.93, p = .004, p_FWE = .020, d_z = 1.31, \
BF10 = 12; n = 9, without sub-05 (missing localizer)
    """
    is_difference = getattr(row, "versus", MISSING) != MISSING
    who = f"n = {row.n:.0f}"
    if is_difference and not np.isnan(getattr(row, "n_group", np.nan)):
        who = f"n = {row.n_group:.0f} and {row.n_versus:.0f}"
    if row.excluded != MISSING:
        who += f", without {_left_out(row.excluded.split('; '))}"
    if np.isnan(row.p):
        return f"{name}: not tested ({row.note}); {who}"
    corrected = [("p_FWE", row.p_fwe), ("p_Holm", row.p_holm)]
    label, p = next(((of, p) for of, p in corrected if not np.isnan(p)), ("", np.nan))
    effect = ("g", row.hedges_g) if is_difference else ("d_z", row.cohens_d)
    # Two decimals, or as many as the width of the interval makes sense of.
    half = (row.ci95_high - row.ci95_low) / 2
    digits = int(np.clip(1 - np.floor(np.log10(half)), 2 if half < 100 else 0, 12))
    parts = [
        f"{'M difference' if is_difference else 'M'} = {row.mean:z.{digits}f}",
        f"95 % CI [{row.ci95_low:z.{digits}f}, {row.ci95_high:z.{digits}f}]",
        f"t({_degrees(row.df)}) = {row.t:z.2f}",
        f"p {_p(row.p)}",
        *([f"{label} {_p(p)}"] if label else []),
        f"{effect[0]} = {effect[1]:z.2f}",
        f"BF10 {_factor(row.bf10)}",
    ]
    if not np.isnan(equivalence := getattr(row, "p_equivalence", np.nan)):
        parts.append(f"p_equivalence {_p(equivalence)}")
    return f"{name}: {', '.join(parts)}; {who}"


def _left_out(excluded: Sequence[str]) -> str:
    """Name who is left out and why, or count them if they are many.

    Examples
    --------
    >>> _left_out(["sub-01:empty_roi", "sub-02:missing_map"])
    'sub-01 (empty ROI) and sub-02 (missing map)'
    >>> _left_out([f"sub-{n}:missing_map" for n in range(9)])
    '9 participants (missing map)'
    """
    reasons: dict[str, list[str]] = {}
    for part in excluded:
        name, _, why = part.partition(":")
        reasons.setdefault(why.replace("_", " ").replace(" roi", " ROI"), []).append(name)
    if len(excluded) <= _MOST_NAMED:
        return in_words([f"{in_words(names)} ({why})" for why, names in reasons.items()])
    return in_words(
        [f"{counted(len(names), 'participant')} ({why})" for why, names in reasons.items()]
    )


def _degrees(df: float) -> str:
    return f"{df:.0f}" if abs(df - round(df)) < 1e-6 else f"{df:.1f}"


def _p(p: float) -> str:
    """Write a p value.

    Examples
    --------
    >>> _p(0.0444), _p(0.00002), _p(1.0)
    ('= .044', '< .001', '= 1.000')
    """
    return "< .001" if p < 0.001 else f"= {p:.3f}".replace("= 0.", "= .")


def _factor(factor: float) -> str:
    """Write a Bayes factor.

    Examples
    --------
    >>> _factor(0.2323), _factor(12.3), _factor(183.1), _factor(1e20)
    ('= 0.23', '= 12', '= 183', '> 10,000')
    """
    if factor > _LARGEST_FACTOR:
        return f"> {_LARGEST_FACTOR:,.0f}"
    digits = f"{factor:.0f}" if factor >= 10 else f"{factor:.2g}"
    return f"= {digits}"


def legend(units: str) -> str:
    """Say how to read the sentences."""
    return (
        f"M: mean in {units}; p: two-sided, not corrected; p_FWE: corrected for the family of "
        "tests by the largest |t| under sign flips (p_Holm if there are none); d_z: mean divided "
        "by the standard deviation; g: Hedges' g with the pooled standard deviation; BF10: Bayes "
        "factor (JZS, Cauchy scale 0.707), below 1 for no effect."
    )
