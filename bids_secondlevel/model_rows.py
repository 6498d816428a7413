"""The table of fitted models, and which estimates go into which fit."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bids_secondlevel.measures import KEY, EstimateRow, column
from bids_secondlevel.model import BOTH, HEMISPHERES

Fit = Literal["ols", "mixed"]
Kind = Literal["coefficient", "term", "contrast", "variance"]
Distribution = Literal["t", "z", "F", "chi2"]

FITS: Mapping[Fit, str] = {
    "ols": "ordinary least squares: one estimate of each participant",
    "mixed": "linear mixed model with a random intercept of each participant, restricted maximum "
    "likelihood (REML)",
}

KINDS: Mapping[Kind, str] = {
    "coefficient": "a coefficient of the model; factors are compared with their first level "
    "(treatment coding), unless the formula says otherwise",
    "term": "all coefficients of a term together (Wald test); a factor is tested on average over "
    "the levels of the others (sum-to-zero coding, type III), unless the formula sets its coding",
    "contrast": "a contrast of coefficients, of a BIDS Stats Model",
    "variance": "variance of the participants' random intercepts, or of the residuals",
}


@dataclass(frozen=True)
class ModelRow:
    """A number from a fitted model; the only declaration of the table's columns."""

    model: str = column("formula, or name of the node of the BIDS Stats Model")
    fit: Fit = column("how it was fitted", levels=FITS)
    session: str | None = column("session label; n/a where there is none, or where it is modelled")
    task: str | None = column("task of the measured maps; n/a where it is modelled")
    contrast: str | None = column("first-level contrast; n/a where it is modelled")
    roi: str | None = column("region of interest; n/a where it is modelled")
    hemi: str | None = column("hemisphere: L, R, or both pooled; n/a where it is modelled")
    space: str | None = column("surface space of the maps; n/a where their names have none")
    statistic: str | None = column("what the maps hold, the stat entity of their names")
    kind: Kind = column("what this row is about", levels=KINDS)
    name: str = column("name of the coefficient, term, contrast or variance")
    value: float | None = column("the coefficient, contrast or variance", default=None)
    se: float | None = column("standard error of value", default=None)
    ci95_low: float | None = column(
        "lower limit of the 95 % confidence interval of value", default=None
    )
    ci95_high: float | None = column(
        "upper limit of the 95 % confidence interval of value", default=None
    )
    test: Distribution | None = column(
        "what the test statistic is compared with; z and chi2 are approximations that are too "
        "liberal for few participants",
        levels={
            "t": "Student's t",
            "z": "normal distribution",
            "F": "F distribution",
            "chi2": "chi-squared distribution",
        },
        default=None,
    )
    test_statistic: float | None = column("value of the test statistic", default=None)
    df: float | None = column(
        "degrees of freedom of t or chi2; of the numerator of F", default=None
    )
    df_residual: float | None = column("degrees of freedom of the denominator of F", default=None)
    p: float | None = column("p value, two-sided, not corrected", default=None)
    n_rows: int = column("estimates in the fit", default=0)
    n_participants: int = column("participants in the fit", default=0)
    converged: Literal["yes", "no"] | None = column(
        "whether the fit of a mixed model has converged; n/a for least squares", default=None
    )
    excluded: str | None = column(
        "participants without an estimate or a covariate, each with the reason; in brackets how "
        "many of the participant's estimates are concerned, where it is not all",
        default=None,
    )
    note: str | None = column("why numbers are n/a, or what to mind about the fit", default=None)


@dataclass(frozen=True)
class ModelResults:
    """What came of a model.

    Attributes
    ----------
    rows : tuple of ModelRow
    summary : str
        For people to read.
    messages : tuple of str
        What must not be missed.
    """

    rows: tuple[ModelRow, ...]
    summary: str
    messages: tuple[str, ...] = ()


def usable_rows(rows: Sequence[EstimateRow], *, by_hemisphere: bool) -> list[EstimateRow]:
    """Leave the rows that a model may use: of L and R, or of both pooled, and not circular.

    Rows without a number are kept: they say why there is none.
    """
    hemispheres = HEMISPHERES if by_hemisphere else (BOTH,)
    return [row for row in rows if row.hemi in hemispheres and row.independence != "circular"]


def split(
    rows: Sequence[EstimateRow], modelled: Collection[str]
) -> Iterator[tuple[dict[str, Any], list[EstimateRow]]]:
    """Split rows by the columns of their key that a model does not name; one fit for each part.

    Parameters
    ----------
    rows : sequence of EstimateRow
    modelled : collection of str
        Columns whose levels stay together.

    Yields
    ------
    cell : dict
        What the rows have in common, by column; ``None`` for those that are modelled.
    rows : list of EstimateRow
        At least one of them has a number.
    """
    names = KEY[1:]
    parts: dict[tuple[Any, ...], list[EstimateRow]] = {}
    for row in rows:
        cell = tuple(None if name in modelled else getattr(row, name) for name in names)
        parts.setdefault(cell, []).append(row)
    for cell, of_cell in parts.items():
        if any(row.estimate is not None for row in of_cell):
            yield dict(zip(names, cell, strict=True)), of_cell


def say_excluded(reasons: Sequence[tuple[str, str | None]]) -> str | None:
    """Name who is left out of a fit, and why.

    Parameters
    ----------
    reasons : sequence of (str, str or None)
        Participant and reason for each row; ``None`` for those that are used.

    Examples
    --------
    >>> say_excluded([("sub-01", None), ("sub-01", "empty_roi"), ("sub-02", "age n/a")])
    'sub-01:empty_roi (1 of 2); sub-02:age n/a'
    """
    total: dict[str, int] = {}
    left_out: dict[str, dict[str, int]] = {}
    for participant, reason in reasons:
        total[participant] = total.get(participant, 0) + 1
        if reason is not None:
            counts = left_out.setdefault(participant, {})
            counts[reason] = counts.get(reason, 0) + 1
    said = [
        f"{participant}:{reason}"
        + (f" ({n} of {total[participant]})" if n < total[participant] else "")
        for participant, counts in left_out.items()
        for reason, n in counts.items()
    ]
    return "; ".join(said) or None
