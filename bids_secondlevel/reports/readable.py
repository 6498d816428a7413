"""Results as readers see them: ROIs, contrasts and groups by their readable names."""

import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.results import GroupResults, ParticipantResults
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.wording import Wording
from bids_secondlevel.stats.readiness import readiness

if TYPE_CHECKING:
    import pandas as pd

Results = TypeVar("Results", ParticipantResults, GroupResults)

_LABELS = ("roi", "other_roi", "contrast", "group")
"""Columns of labels that have names; ``versus`` is another of them in some rows."""
_COMPARED = ("roi", "contrast", "group")
"""Comparisons in which ``versus`` has a name."""


def readable(results: Results) -> Results:
    """Name labels in everything that a page shows, before it is drawn and put into words."""
    if not results.definition.wording.labels:
        return results
    tables: dict[str, pd.DataFrame] = {
        name: of for name, of in _values(results).items() if _is_table(of)
    }
    there: set[str] = set().union(*map(_labels_in, tables.values()))
    labels = {*results.definition.labels, *there, EVERYBODY, MISSING}
    wording = results.definition.wording.among(labels)
    changed: dict[str, Any] = {name: named(of, wording) for name, of in tables.items()}
    reasons = _reasons(results.estimates, changed["estimates"])
    changed["definition"] = replace(results.definition, wording=wording)
    if isinstance(results, ParticipantResults):
        changed["reasons"] = tuple(reasons.get(text, text) for text in results.reasons)
        changed["inputs"] = tuple((_name_role(role, wording), uri) for role, uri in results.inputs)
    else:
        people = changed["participants"]
        said = people["reasons"].map(
            lambda text: "; ".join(reasons.get(part, part) for part in text.split("; "))
        )
        changed["participants"] = people.assign(reasons=said)
        changed["groups"] = {who: wording.name(group) for who, group in results.groups.items()}
        changed["dependences"] = tuple(map(wording.reword, results.dependences))
        if results.model is not None:
            fits = named(results.model.fits, wording)
            changed["model"] = replace(results.model, fits=fits)
    return replace(results, **changed)


def named(table: "pd.DataFrame", wording: Wording) -> "pd.DataFrame":
    """Name the labels of a table."""
    changed: dict[str, Any] = {}
    for column in _labels_of(table):
        kept = table[column].isin([EVERYBODY, MISSING]) & (column in ("group", "versus"))
        if column == "versus" and "comparison" in table:
            kept |= ~table["comparison"].isin(_COMPARED)
        names = {label: _name_label(label, wording) for label in table[column].unique()}
        changed[column] = table[column].where(kept, table[column].map(names))
    if "family" in table:
        changed["family"] = table["family"].map(lambda text: _name_family(text, wording))
    if "rois" in table:
        changed["rois"] = table["rois"].map(wording.reword)
    return table.assign(**changed)


def _name_label(label: str, wording: Wording) -> str:
    """Name a label, or those that are averaged.

    Examples
    --------
    >>> wording = Wording(labels={"UL": "upper left"})
    >>> _name_label("UL", wording), _name_label("mean(UL,UR)", wording)
    ('upper left', 'mean(upper left,UR)')
    """
    if label.startswith("mean("):
        return wording.reword(label, r"(?<=[(,])[^,)]+")
    return wording.name(label)


def _reasons(estimates: "pd.DataFrame", shown: "pd.DataFrame") -> dict[str, str]:
    """Say each reason for a verdict with the names of labels, by what it is in the tables."""
    before, after = readiness(estimates), readiness(shown)
    return {
        reason: with_names
        for who, judged in before.items()
        for reason, with_names in zip(judged.reasons, after[who].reasons, strict=True)
    }


def _values(results: ParticipantResults | GroupResults) -> dict[str, Any]:
    return {each.name: getattr(results, each.name) for each in fields(results)}


def _is_table(value: object) -> bool:
    import pandas as pd

    return isinstance(value, pd.DataFrame)


def _labels_of(table: "pd.DataFrame") -> list[str]:
    return [column for column in (*_LABELS, "versus") if column in table]


def _labels_in(table: "pd.DataFrame") -> list[str]:
    return [label for column in _labels_of(table) for label in table[column].unique()]


def _name_role(role: str, wording: Wording) -> str:
    """Name the contrast in what a file was used for.

    Examples
    --------
    >>> _name_role("measured: main attend, L", Wording(labels={"attend": "attended"}))
    'measured: main attended, L'
    """
    has_contrast = role.startswith(("localizer ", "measured: "))
    return wording.reword(role, r"(?<= )[^ ,]+(?=, \w+$)") if has_contrast else role


def _name_family(text: str, wording: Wording) -> str:
    """Name the labels of a family, such as ``contrast: task main, contrast attend - ignore``.

    Examples
    --------
    >>> _name_family("task main, contrast main", Wording(labels={"main": "main effect"}))
    'task main, contrast main effect'
    """

    def name(found: re.Match[str]) -> str:
        return f"{found[1]} {' - '.join(map(wording.name, found[2].split(' - ')))}"

    return re.sub(r"\b(contrast|roi|group) ([^,:]+)", name, text)
