"""Results in sentences, as papers have them (APA style)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.hemispheres import BOTH, main_rows
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.results import GroupResults
from bids_secondlevel.core.rows import MISSING, each_row
from bids_secondlevel.core.words import counted, in_words

if TYPE_CHECKING:
    import pandas as pd

_LARGEST_FACTOR = 1e4


def sentences_of(results: GroupResults) -> dict[str, list[str]]:
    """Say each planned contrast, and each test against 0 in both hemispheres, in a sentence.

    Returns
    -------
    dict
        Sentences by heading.
    """
    tests = results.statistics
    is_shown = tests["hemi"].isin(main_rows(tests["hemi"])) & tests["p"].notna()
    shown = tests[is_shown]
    said = {
        "Planned contrasts": [
            sentence(_planned_name(row), row) for row in each_row(results.planned)
        ],
        "Tests against 0": [sentence(_cell_name(row, shown), row) for row in each_row(shown)],
    }
    return {heading: lines for heading, lines in said.items() if lines}


def as_markdown(said: dict[str, list[str]], about: list[str]) -> str:
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
    notes = []
    for table, what in (
        (results.planned, "planned contrasts"),
        (results.statistics, "tests against 0"),
        (results.comparisons, "comparisons"),
    ):
        counts = table.loc[table["family"] != MISSING, "family"].value_counts(sort=False)
        if len(counts) == 1:
            ((name, n),) = counts.items()
            notes.append(f"The {what} are one family ({name}) of {counted(n, 'test')}.")
        elif len(counts):
            sizes = sorted(set(counts))
            several = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0]}"
            notes.append(
                f"The {what} are {len(counts)} families of {several} "
                f"{'test' if sizes == [1] else 'tests'} each, such as “{counts.index[0]}”; "
                "p_fwe, p_holm and q_fdr are corrected within each of them."
            )
    return notes


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
        left_out = [part.partition(":") for part in row.excluded.split("; ")]
        named = [f"{name} ({why.replace('_', ' ')})" for name, _, why in left_out]
        who += f", without {in_words(named)}"
    if np.isnan(row.p):
        return f"{name}: not tested ({row.note}); {who}"
    corrected = [("p_FWE", row.p_fwe), ("p_Holm", row.p_holm)]
    label, p = next(((of, p) for of, p in corrected if not np.isnan(p)), ("", np.nan))
    effect = ("g", row.hedges_g) if is_difference else ("d_z", row.cohens_d)
    # Two decimals, or as many as the width of the interval makes sense of.
    half = (row.ci95_high - row.ci95_low) / 2
    digits = int(np.clip(1 - np.floor(np.log10(half)), 2 if half < 100 else 0, 12))
    parts = [
        f"{'M difference' if is_difference else 'M'} = {row.mean:.{digits}f}",
        f"95 % CI [{row.ci95_low:.{digits}f}, {row.ci95_high:.{digits}f}]",
        f"t({_degrees(row.df)}) = {row.t:.2f}",
        f"p {_p(row.p)}",
        *([f"{label} {_p(p)}"] if label else []),
        f"{effect[0]} = {effect[1]:.2f}",
        f"BF10 {_factor(row.bf10)}",
    ]
    if not np.isnan(equivalence := getattr(row, "p_equivalence", np.nan)):
        parts.append(f"p_equivalence {_p(equivalence)}")
    return f"{name}: {', '.join(parts)}; {who}"


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
    ('= 0.23', '= 12', '= 183', '> 10000')
    """
    if factor > _LARGEST_FACTOR:
        return f"> {_LARGEST_FACTOR:.0f}"
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
