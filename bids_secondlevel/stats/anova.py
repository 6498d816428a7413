"""Repeated-measures analysis of variance of participants without missing estimates."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.hemispheres import HEMISPHERES, main_rows
from bids_secondlevel.core.rows import CELL, CELL_COLUMNS, Column, Schema, frame_of_cells, grouped
from bids_secondlevel.core.values import Array
from bids_secondlevel.core.words import counted, in_words
from bids_secondlevel.stats.dependence import check_independent
from bids_secondlevel.stats.groups import Groups

if TYPE_CHECKING:
    import pandas as pd

ANOVA_COLUMNS: Schema = {
    **{
        name: Column(str, f"{declared.description}; n/a if it is a factor")
        for name, declared in CELL_COLUMNS.items()
    },
    "term": Column(str, "main effect or interaction, its factors joined by a colon"),
    "n": Column(int, "number of participants, all of them without missing estimates"),
    "f": Column(float, "F (sums of squares of type III)"),
    "df": Column(int, "numerator degrees of freedom"),
    "df_residual": Column(int, "denominator degrees of freedom"),
    "p": Column(float, "p value of F, assuming sphericity; not corrected for the number of terms"),
    "epsilon_gg": Column(
        float,
        "epsilon of Greenhouse and Geisser: 1 under sphericity; n/a for effects between "
        "participants",
    ),
    "p_gg": Column(float, "p value of F with both degrees of freedom multiplied by epsilon_gg"),
    "partial_eta2": Column(float, "partial eta squared"),
    "generalized_eta2": Column(
        float, "generalized eta squared (Olejnik and Algina); groups count as measured"
    ),
    "excluded": Column(str, "excluded participants, each with the reason (the status of a row)"),
    "note": Column(str, "why there is no test"),
}
"""A term of an analysis of variance."""

_ROUNDING = 1e-20
"""Share of the total sum of squares that is treated as 0."""


def analyses_of_variance(
    estimates: "pd.DataFrame", factors: Sequence[str], groups: Groups | None = None
) -> "pd.DataFrame":
    """Test factors within participants, and groups, in what the other columns tell apart.

    Circular estimates are never used. Participants with a missing estimate are excluded.

    Parameters
    ----------
    estimates
        Of all participants.
    factors
        Columns that are factors within participants.
    groups
        The factor between participants.

    Returns
    -------
    DataFrame
        With :data:`ANOVA_COLUMNS`; no rows without factors. If an analysis is impossible, its row
        has a note.

    Raises
    ------
    DataError
        If there is nothing to analyse, or a contrast follows from others.
    """
    if not factors:
        return frame_of_cells(dict.fromkeys(ANOVA_COLUMNS, ()), ANOVA_COLUMNS)
    hemis = HEMISPHERES if "hemi" in factors else main_rows(estimates["hemi"].unique())
    rows = estimates[estimates["hemi"].isin(hemis) & (estimates["independence"] != "circular")]
    if "contrast" in factors:
        check_independent(rows, "--anova")
    others = [name for name in CELL if name not in factors]
    found: list[dict[str, Any]] = []
    for key, of_key in grouped(rows, *others):
        named = dict(zip(others, key, strict=True))
        found += _analyse(named, of_key, factors, groups)
    if not found:
        raise DataError(
            "--anova: all estimates are circular, and circular estimates are never tested. Measure "
            "another task, or use --cross-validate at participant level."
        )
    cells = {name: [row.get(name) for row in found] for name in ANOVA_COLUMNS}
    return frame_of_cells(cells, ANOVA_COLUMNS)


def _analyse(
    key: Mapping[str, str], rows: "pd.DataFrame", factors: Sequence[str], groups: Groups | None
) -> Iterator[dict[str, Any]]:
    """Make one analysis; each term is a row, by columns."""
    levels = [sorted(rows[name].unique()) for name in factors]
    constant = [name for name, of in zip(factors, levels, strict=True) if len(of) < 2]
    if constant:
        yield {**key, "note": f"a single level of {in_words(constant)}"}
        return
    wide = rows.pivot(index="participant_id", columns=list(factors), values="estimate")
    numbers = wide.sort_index().reindex(columns=_columns(levels))
    excluded = _left_out(numbers, rows, groups)
    kept = numbers.drop(index=list(excluded))
    said = "; ".join(f"{who}:{why}" for who, why in excluded.items()) or None
    common = {**key, "n": len(kept), "excluded": said}
    member = [groups.of[who] for who in kept.index] if groups else [""] * len(kept)
    n_groups = len(set(member))
    if len(kept) <= n_groups or (groups and n_groups < 2):
        yield {
            **common,
            "note": f"{counted(len(kept), 'participant')} with all {numbers.shape[1]} estimates, "
            "too few",
        }
        return
    values, between = kept.to_numpy(dtype=np.float64), _sum_to_zero(member)
    name = groups.column if groups else ""
    for row in anova(values, dict(zip(factors, map(len, levels), strict=True)), between, name):
        yield {**common, **row}


def _columns(levels: Sequence[Sequence[str]]) -> "pd.Index[Any]":
    import pandas as pd

    if len(levels) == 1:
        return pd.Index(levels[0])
    return pd.MultiIndex.from_tuples(list(product(*levels)))


def _left_out(
    numbers: "pd.DataFrame", rows: "pd.DataFrame", groups: Groups | None
) -> dict[str, str]:
    """List participants with a missing estimate or group, and the reason."""
    statuses = rows[rows["estimate"].isna()].groupby("participant_id")["status"]
    reasons = {str(who): ", ".join(dict.fromkeys(of)) for who, of in statuses}
    excluded: dict[str, str] = {}
    for who, is_complete in numbers.notna().all(axis="columns").items():
        if not is_complete:
            excluded[str(who)] = reasons.get(str(who), "no row")
        elif groups and who not in groups.of:
            excluded[str(who)] = f"{groups.column} n/a"
    return excluded


def _sum_to_zero(member: Sequence[str]) -> Array:
    """Code groups: a column of 1, and one for each group but the last."""
    levels = sorted(set(member))
    of = np.array([levels.index(level) for level in member], dtype=np.intp)
    codes = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
    return np.column_stack([np.ones(len(member)), codes[of]])


def anova(
    values: Array, within: Mapping[str, int], between: Array, group: str
) -> Iterator[dict[str, Any]]:
    """Test the terms of a design.

    Parameters
    ----------
    values : (n_participants, n_cells) array
        The last factor changes fastest.
    within
        Number of levels of each factor within participants.
    between : (n_participants, n_columns) array
        Design of the groups under sum-to-zero coding; its first column is 1.
    group
        What the factor between participants is called.

    References
    ----------
    Greenhouse and Geisser (1959), Psychometrika 24, 95-112. Olejnik and Algina (2003),
    Psychological Methods 8, 434-447.
    """
    from scipy import special

    has_groups = between.shape[1] > 1
    left = len(values) - between.shape[1]
    inverse = np.linalg.inv(between.T @ between)
    rows: list[dict[str, Any]] = []
    squares: list[tuple[float, float, bool]] = []
    error_total = 0.0
    names = list(within)
    effects = chain.from_iterable(combinations(names, k) for k in range(len(names) + 1))
    for effect in effects:
        scores = values @ _contrasts(within, effect)
        coefficients = inverse @ between.T @ scores
        residuals = scores - between @ coefficients
        errors = residuals.T @ residuals
        error = float(np.trace(errors))
        error_total += error
        n_within = scores.shape[1]
        epsilon = error**2 / (n_within * float(np.sum(errors**2))) if error else np.nan
        for of_group in (False, True) if has_groups else (False,):
            if not of_group and not effect:
                continue  # the mean of everything
            which = slice(1, None) if of_group else slice(0, 1)
            found = coefficients[which]
            hypothesis = float(np.trace(found.T @ np.linalg.solve(inverse[which, which], found)))
            df = (between.shape[1] - 1 if of_group else 1) * n_within
            df_residual = left * n_within
            row = {
                "term": ":".join(([group] if of_group else []) + list(effect)),
                "df": df,
                "df_residual": df_residual,
            }
            rows.append(row)
            squares.append((hypothesis, error, of_group))
            if error <= _ROUNDING * float(np.sum(values**2)):
                row["note"] = "no variation between participants remains, so there is no test"
                continue
            f = hypothesis / df / (error / df_residual)
            p = float(special.fdtrc(df, df_residual, f))
            row |= {"f": f, "p": p, "partial_eta2": hypothesis / (hypothesis + error)}
            if effect:
                p_gg = float(special.fdtrc(df * epsilon, df_residual * epsilon, f))
                row |= {"epsilon_gg": epsilon, "p_gg": p if n_within == 1 else p_gg}
    measured = sum(hypothesis for hypothesis, _, of_group in squares if of_group)
    for row, (hypothesis, _, of_group) in zip(rows, squares, strict=True):
        whole = error_total + measured + (0.0 if of_group else hypothesis)
        yield {**row, "generalized_eta2": hypothesis / whole} if "f" in row else row


def _contrasts(within: Mapping[str, int], effect: Sequence[str]) -> Array:
    """Make orthonormal contrasts of the cells that differ by an effect alone."""
    made: Array = np.ones((1, 1))
    for name, size in within.items():
        mean = np.full((size, 1), 1 / np.sqrt(size))
        made = np.kron(made, _orthonormal(size) if name in effect else mean)
    return made


def _orthonormal(size: int) -> Array:
    """Make contrasts of levels: (size, size - 1), each with the sum 0."""
    basis: Array = np.linalg.qr(np.eye(size)[:, :-1] - 1 / size)[0]
    return basis
