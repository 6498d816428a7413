"""The table of linear models across participants: its columns, and its text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from bids_secondlevel.core.rows import CELL, MISSING, column, columns

if TYPE_CHECKING:
    import pandas as pd

FitKind = Literal["ols", "mixed"]
Quantity = Literal["coefficient", "contrast", "omnibus", "variance"]
TestKind = Literal["t", "z", "F", "chi2"]

FIT_KINDS: Mapping[FitKind, str] = {
    "ols": "ordinary least squares: one number per participant",
    "mixed": "linear mixed model with a random intercept per participant (REML): several numbers "
    "per participant",
}

_UNITS = "those of the response"


@dataclass(frozen=True)
class ModelRow:
    """One result of one fitted model; the only declaration of the columns of ``group_model.tsv``.

    A fit has several rows. One that could not be made has a single row, whose `note` says why.
    """

    model: str = column("formula, or name of the BIDS Stats Model")
    fit: FitKind = column("kind of model", levels=FIT_KINDS)
    node: str | None = column("node of the BIDS Stats Model; n/a for a formula", default=None)
    subset: str | None = column(
        "participants that were fitted, by the columns of participants.tsv that GroupBy of a BIDS "
        "Stats Model names, such as group=patient; n/a: all",
        default=None,
    )
    session: str | None = column(
        "session that was fitted; n/a where there is none, or it is a factor of the model",
        default=None,
    )
    task: str | None = column(
        "task that was fitted; n/a where it is a factor of the model", default=None
    )
    contrast: str | None = column(
        "first-level contrast that was fitted; n/a where it is a factor of the model", default=None
    )
    roi: str | None = column(
        "region of interest that was fitted; n/a where it is a factor of the model", default=None
    )
    hemi: str | None = column(
        "hemisphere that was fitted: both pooled; n/a where it is a factor of the model",
        default=None,
    )
    space: str | None = column(default=None)
    statistic: str | None = column(
        "what the maps hold, the stat entity of their names", default=None
    )
    quantity: Quantity | None = column(
        "what this row is about; n/a where the model could not be fitted",
        levels={
            "coefficient": "a coefficient of the design (categories: difference from the reference "
            "level, the first in alphabetical order)",
            "contrast": "a weighted sum of coefficients",
            "omnibus": "test of all coefficients of a term together, under sum-to-zero coding of "
            "its categories",
            "variance": "a variance component of a mixed model",
        },
        default=None,
    )
    term: str | None = column("term of the formula; n/a for contrasts and variances", default=None)
    name: str | None = column(
        "coefficient (column of the design), contrast, or variance component (participant_id: the "
        "random intercepts; residual); n/a for omnibus tests",
        default=None,
    )
    coefficient: float | None = column(
        "estimated coefficient, contrast or variance", units=_UNITS, default=None
    )
    se: float | None = column("its standard error", units=_UNITS, default=None)
    ci95_low: float | None = column(
        "lower limit of its 95 % confidence interval", units=_UNITS, default=None
    )
    ci95_high: float | None = column(
        "upper limit of its 95 % confidence interval", units=_UNITS, default=None
    )
    test: TestKind | None = column(
        "test statistic: Student's t and F for ordinary least squares, Wald z and chi2 for mixed "
        "models (liberal where participants are few)",
        levels={"t": "Student's t", "z": "Wald z", "F": "F", "chi2": "Wald chi-squared"},
        default=None,
    )
    value: float | None = column("value of the test statistic", default=None)
    df: int | None = column("numerator degrees of freedom of F, or those of chi2", default=None)
    df_residual: int | None = column("residual degrees of freedom of t and F", default=None)
    p: float | None = column(
        "p value (t and z: two-sided), not corrected for multiple tests", default=None
    )
    n_rows: int = column("numbers that the model was fitted to", default=0)
    n_participants: int = column("participants they belong to", default=0)
    converged: Literal["yes", "no"] | None = column(
        "whether the estimation of a mixed model converged; n/a where nothing was iterated",
        levels={"yes": "it converged", "no": "it did not, and no number is given"},
        default=None,
    )
    excluded: str | None = column(
        "participants that are left out, each with the reason; where only a part of a "
        "participant's numbers is left out, that part in square brackets",
        default=None,
    )
    note: str | None = column("why something is n/a, or what to bear in mind", default=None)


MODEL_COLUMNS = columns(ModelRow)

_WHERE = ("node", "subset", *CELL)


@dataclass(frozen=True, eq=False)
class ModelResults:
    """Models across participants."""

    table: "pd.DataFrame"
    """A row for each :class:`ModelRow`."""
    messages: tuple[str, ...]


def summarize_models(results: ModelResults) -> str:
    """Write results as text: the messages, and a paragraph per fit."""
    table = results.table
    text = []
    for model, node in table[["model", "node"]].drop_duplicates().itertuples(index=False):
        text.append(f"Model: {model}" + (f", node {node}" if node != MISSING else ""))
    text += [f"- {message}" for message in results.messages]
    for values, rows in table.groupby(list(_WHERE), sort=False):
        there = [f"{key} {v}" for key, v in zip(_WHERE, values, strict=True) if v != MISSING]
        text += ["", f"== {', '.join(there) or 'all estimates'}", *_fit_text(rows)]
    return "\n".join(text) + "\n"


def _fit_text(rows: "pd.DataFrame") -> Iterator[str]:
    """Write a fit with its coefficients and tests."""
    first = rows.iloc[0]
    kind = FIT_KINDS[first["fit"]].partition(":")[0]
    yield f"{kind}; {first['n_rows']:g} numbers of {first['n_participants']:g} participants"
    for column_name, label in (("converged", "converged"), ("excluded", "left out")):
        if first[column_name] != MISSING:
            yield f"{label}: {first[column_name]}"
    for note in rows["note"].unique():
        if note != MISSING:
            yield f"note: {note}"
    labels = rows["name"].where(rows["name"] != MISSING, rows["term"])
    width = labels.str.len().max()
    for quantity, of_quantity in rows.groupby("quantity", sort=False):
        if quantity != MISSING:
            yield f"  {quantity}"
            for label, row in zip(labels[of_quantity.index], of_quantity.itertuples(), strict=True):
                yield f"    {label:<{width}}  {_numbers(row)}".rstrip()


def _numbers(row: Any) -> str:
    """Write the numbers of a row, those it has."""
    parts = []
    if isfinite(row.coefficient):
        parts.append(f"{row.coefficient:>12.5g}")
    if isfinite(row.se):
        parts.append(f"se {row.se:<10.4g}")
    if isfinite(row.ci95_low):
        parts.append(f"95 % CI [{row.ci95_low:.5g}, {row.ci95_high:.5g}]")
    if row.test != MISSING:
        degrees = ", ".join(f"{df:g}" for df in (row.df, row.df_residual) if isfinite(df))
        parts.append(f"{row.test}{f'({degrees})' if degrees else ''} = {row.value:.4g}")
        parts.append(f"p = {row.p:.4g}")
    return "  ".join(parts)
