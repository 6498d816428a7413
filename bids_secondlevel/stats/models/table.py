"""The table of linear models across participants: its columns, and its text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bids_secondlevel.core.rows import CELL, MISSING, column, columns
from bids_secondlevel.stats.testing.corrections import benjamini_hochberg, by_family, holm

if TYPE_CHECKING:
    import pandas as pd

FitKind = Literal["ols", "mixed"]
Quantity = Literal["coefficient", "contrast", "omnibus", "variance"]
TestKind = Literal["t", "F"]

FIT_KINDS: Mapping[FitKind, str] = {
    "ols": "ordinary least squares: one estimate per participant",
    "mixed": "linear mixed model with a random intercept per participant (REML): several estimates "
    "per participant",
}

_UNITS = "units of the response"


@dataclass(frozen=True)
class ModelRow:
    """One result of one fitted model; the only declaration of the columns of ``group_model.tsv``.

    A fit has several rows. One that could not be made has a single row, whose `note` says why.
    """

    model: str = column("formula, or name of the BIDS Stats Model")
    fit: FitKind = column("kind of model", levels=FIT_KINDS)
    node: str | None = column("node of the BIDS Stats Model; n/a for a formula", default=None)
    subset: str | None = column(
        "participants of the fit, by the columns of participants.tsv in GroupBy of a BIDS Stats "
        "Model, such as group=patient; n/a: all",
        default=None,
    )
    session: str | None = column(
        "session of the fit; n/a if there is none, or if session is a factor of the model",
        default=None,
    )
    task: str | None = column("task of the fit; n/a if task is a factor of the model", default=None)
    contrast: str | None = column(
        "first-level contrast of the fit; n/a if contrast is a factor of the model", default=None
    )
    roi: str | None = column("ROI of the fit; n/a if roi is a factor of the model", default=None)
    hemi: str | None = column(
        "hemisphere of the fit, or both; n/a if hemi is a factor of the model",
        default=None,
    )
    space: str | None = column(default=None)
    statistic: str | None = column(
        "statistic of the maps, the stat entity of their names", default=None
    )
    quantity: Quantity | None = column(
        "kind of the row; n/a if the model could not be fitted",
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
        "test statistic, with cluster-robust standard errors (CR2) that use participants as "
        "clusters; for a BIDS Stats Model, with ordinary least squares",
        levels={"t": "Student's t", "F": "F; for several coefficients by approximate Hotelling"},
        default=None,
    )
    value: float | None = column("value of the test statistic", default=None)
    df: int | None = column("numerator degrees of freedom of F", default=None)
    df_residual: float | None = column(
        "degrees of freedom of t, and those of the denominator of F: Welch's for groups with one "
        "estimate per participant, else Bell and McCaffrey's, which may be fractional",
        default=None,
    )
    p: float | None = column(
        "p value (of t: two-sided), not corrected for multiple tests", default=None
    )
    p_holm: float | None = column(
        "p, corrected by Holm's method for all fits of the model (one in each ROI, contrast, ...) "
        "with this coefficient, contrast or term",
        default=None,
    )
    q_fdr: float | None = column(
        "false discovery rate at which p is significant among the same tests (Benjamini-Hochberg)",
        default=None,
    )
    cohens_d: float | None = column(
        "Cohen's d: coefficient divided by the standard deviation of the residuals; only for means "
        "and differences between categories, and only with one estimate per participant",
        default=None,
    )
    cohens_d_ci95_low: float | None = column(
        "lower limit of the 95 % confidence interval of d (noncentral t)", default=None
    )
    cohens_d_ci95_high: float | None = column(
        "upper limit of the 95 % confidence interval of d (noncentral t)", default=None
    )
    partial_eta2: float | None = column(
        "partial eta squared, from F (or t squared) and its degrees of freedom; only with one "
        "estimate per participant",
        default=None,
    )
    partial_eta2_ci95_low: float | None = column(
        "lower limit of its 95 % confidence interval (noncentral F)", default=None
    )
    partial_eta2_ci95_high: float | None = column(
        "upper limit of its 95 % confidence interval (noncentral F)", default=None
    )
    n_rows: int = column("number of estimates that were fitted", default=0)
    n_participants: int = column("number of their participants", default=0)
    converged: Literal["yes"] | None = column(
        "whether the estimation of a mixed model converged; n/a without iterations",
        levels={"yes": "it converged"},
        default=None,
    )
    excluded: str | None = column(
        "excluded participants, each with the reason; if only a part of a participant's estimates "
        "is excluded, this part is in square brackets",
        default=None,
    )
    note: str | None = column("why a value is n/a, or a warning", default=None)


MODEL_COLUMNS = columns(ModelRow)

_TEST = ("model", "node", "subset", "quantity", "term", "name")
"""The columns that name a test; it is made in every fit."""

_WHERE = ("node", "subset", *CELL)


@dataclass(frozen=True, eq=False)
class ModelResults:
    """Models across participants."""

    table: "pd.DataFrame"
    """A row for each :class:`ModelRow`."""
    messages: tuple[str, ...]


def corrected(table: "pd.DataFrame") -> "pd.DataFrame":
    """Correct the p value of each test for the number of fits that it was made in."""
    p = table["p"].to_numpy()
    family = table.groupby(list(_TEST), sort=False).ngroup().to_numpy()
    columns = {"p_holm": holm, "q_fdr": benjamini_hochberg}
    return table.assign(
        **{name: by_family(how, p, family, np.isfinite(p)) for name, how in columns.items()}
    )


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
    if first["excluded"] != MISSING:
        yield f"left out: {first['excluded']}"
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
        degrees = ", ".join(f"{df:.4g}" for df in (row.df, row.df_residual) if isfinite(df))
        parts.append(f"{row.test}{f'({degrees})' if degrees else ''} = {row.value:.4g}")
        parts.append(f"p = {row.p:.4g}")
    return "  ".join(parts)
