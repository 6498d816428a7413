"""The table of linear models across participants: its columns, and its text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from bids_secondlevel.core.rows import CELL, column, columns

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


@dataclass(frozen=True)
class ModelResults:
    """Models across participants.

    Attributes
    ----------
    rows : tuple of ModelRow
    summary : str
        The same as text.
    messages : tuple of str
        What the user should be told.
    """

    rows: tuple[ModelRow, ...]
    summary: str
    messages: tuple[str, ...]


def summarize_models(rows: Sequence[ModelRow], messages: Sequence[str]) -> str:
    """Write results as text: one paragraph per fit, with its coefficients and tests.

    Parameters
    ----------
    rows : sequence of ModelRow
        Those of one fit one after the other.
    messages : sequence of str
        Put at the top.

    Returns
    -------
    str
        The same rows give the same text.
    """
    names = dict.fromkeys((row.model, row.node) for row in rows)
    head = [f"Model: {model}" + (f", node {node}" if node else "") for model, node in names]
    text = [*head, *(f"- {message}" for message in messages)]
    for _, group in groupby(rows, lambda row: tuple(getattr(row, k) for k in _WHERE)):
        text += ["", *_fit_text(list(group))]
    return "\n".join(text) + "\n"


def _fit_text(rows: Sequence[ModelRow]) -> Iterator[str]:
    first = rows[0]
    where = ", ".join(f"{key} {getattr(first, key)}" for key in _WHERE if getattr(first, key))
    yield f"== {where or 'all estimates'}"
    kind = FIT_KINDS[first.fit].partition(":")[0]
    yield f"{kind}; {first.n_rows} numbers of {first.n_participants} participants"
    if first.converged:
        yield f"converged: {first.converged}"
    if first.excluded:
        yield f"left out: {first.excluded}"
    for note in dict.fromkeys(row.note for row in rows if row.note):
        yield f"note: {note}"
    width = max(len(_label(row)) for row in rows)
    for quantity, group in groupby(rows, lambda row: row.quantity):
        if quantity is not None:
            yield f"  {quantity}"
            yield from (f"    {_label(row):<{width}}  {_numbers(row)}".rstrip() for row in group)


def _label(row: ModelRow) -> str:
    return row.name or row.term or ""


def _numbers(row: ModelRow) -> str:
    """Write the numbers of a row, those it has."""
    parts = []
    if row.coefficient is not None:
        parts.append(f"{row.coefficient:>12.5g}")
    if row.se is not None:
        parts.append(f"se {row.se:<10.4g}")
    if row.ci95_low is not None:
        parts.append(f"95 % CI [{row.ci95_low:.5g}, {row.ci95_high:.5g}]")
    if row.test is not None:
        degrees = ", ".join(str(df) for df in (row.df, row.df_residual) if df is not None)
        parts.append(f"{row.test}{f'({degrees})' if degrees else ''} = {row.value:.4g}")
        parts.append(f"p = {row.p:.4g}")
    return "  ".join(parts)
