"""Planned contrasts: one number for each participant, a weighted sum of estimates."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.hemispheres import main_rows
from bids_secondlevel.core.inference import PLAIN, Inference
from bids_secondlevel.core.planned import PLANNED_KEYS, PlannedContrast, PlannedKey
from bids_secondlevel.core.rows import CELL, KEY_COLUMNS, MISSING, Column, Schema, stacked
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.rois.estimates import INDEPENDENCE
from bids_secondlevel.stats.groups import Groups
from bids_secondlevel.stats.models.observations import PLANNED
from bids_secondlevel.stats.testing.one_sample import (
    GROUP_COLUMN,
    N_OF_GROUPS,
    ROBUST_OF_GROUPS,
    TEST_COLUMNS,
    Families,
    Numbers,
    spread,
)
from bids_secondlevel.stats.testing.welch import tests_and_differences

if TYPE_CHECKING:
    import pandas as pd

FAMILY = (
    "p_fwe, p_holm and q_fdr are corrected for all planned contrasts of the config file, "
    "separately for each group and each difference of two groups"
)

PLANNED_COLUMNS: Schema = {
    "name": Column(str, "name of the planned contrast"),
    "group": GROUP_COLUMN,
    "versus": Column(
        str,
        "group whose mean is subtracted (Welch's t; d and g are divided by the pooled standard "
        "deviation); n/a for a test against 0, whose d is d_z",
    ),
    **N_OF_GROUPS,
    **TEST_COLUMNS,
    **ROBUST_OF_GROUPS,
    "df": Column(float, "degrees of freedom: n - 1, or Welch's; n/a without t"),
}
"""A test of a planned contrast."""

PLANNED_ESTIMATE_COLUMNS: Schema = {
    "participant_id": KEY_COLUMNS["participant_id"],
    "name": PLANNED_COLUMNS["name"],
    "estimate": Column(float, "sum of the estimates of the participant, times their weights"),
    "status": Column(
        str, "ok if the number exists, otherwise the reason why it is missing", levels=STATUSES
    ),
    "independence": Column(
        str,
        "whether the estimates were measured on the data that defined their ROIs",
        levels=INDEPENDENCE,
    ),
}
"""The number of a participant in a planned contrast."""


def planned_numbers(planned: Sequence[PlannedContrast], estimates: "pd.DataFrame") -> Numbers:
    """Compute the numbers of planned contrasts, participants by contrasts.

    A participant without one of the cells has no number.

    Parameters
    ----------
    estimates
        Of all participants.

    Raises
    ------
    UsageError
        If a contrast names something that is not there, or leaves open what it is made of.
    """
    cells, numbers = spread(estimates)
    shape = (len(numbers.participants), len(planned))
    values, sizes = np.zeros(shape), np.zeros(shape)
    gaps, claims = np.full(shape, -1, dtype=np.intp), np.full(shape, -1, dtype=np.intp)
    missing = numbers.missing
    for place, contrast in enumerate(planned):
        for cell, weight in _cells_of(contrast, cells):
            values[:, place] += weight * numbers.values[:, cell]
            sizes[:, place] = np.maximum(sizes[:, place], np.abs(weight) * numbers.sizes[:, cell])
            gaps[:, place] = np.maximum(gaps[:, place], missing[:, cell])
            claims[:, place] = np.maximum(claims[:, place], numbers.claims[:, cell])
    return Numbers(
        participants=numbers.participants,
        values=values,
        sizes=sizes,
        gaps=gaps,
        claims=claims,
        minor=np.zeros(shape, dtype=bool),
    )


def _cells_of(contrast: PlannedContrast, cells: "pd.DataFrame") -> list[tuple[int, float]]:
    """Find the cells that a contrast is made of, with their weights."""
    where = f"[[planned]] {contrast.name!r}"
    # A task, or a contrast, narrows down what else can be meant.
    left = cells
    weights: dict[str, dict[str, float]] = {}
    for key in ("task", "contrast", "session", "roi", "hemi"):
        weights[key] = weights_of(contrast, key, left)
        left = left[left[key].isin(weights[key])]
    found = []
    for labels in product(*(weights[key] for key in PLANNED_KEYS)):
        named = dict(zip(PLANNED_KEYS, labels, strict=True))
        weight = float(np.prod([weights[key][label] for key, label in named.items()]))
        is_named = np.all([left[key] == label for key, label in named.items()], axis=0)
        here = left.index[is_named]
        if len(here) != 1:
            said = ", ".join(f"{k} {v}" for k, v in named.items() if v != MISSING)
            several = cells.loc[here, ["space", "statistic"]].agg(" ".join, axis=1)
            raise UsageError(
                f"{where}: there is no estimate of {said}."
                if here.empty
                else f"{where}: there are several estimates of {said} ({', '.join(several)}). "
                "Choose one by --space."
            )
        if weight:
            found.append((int(here[0]), weight))
    return found


def weights_of(
    contrast: PlannedContrast, key: PlannedKey, cells: "pd.DataFrame"
) -> dict[str, float]:
    """Find the labels of a column that weights are given for, whatever their case.

    Parameters
    ----------
    cells
        What there is, with this column.

    Raises
    ------
    UsageError
        If a label is not there, or none is given and there are several.
    """
    where = f"[[planned]] {contrast.name!r}"
    there = list(cells[key].unique())
    given = contrast.weights(key)
    if given is None:
        usual = main_rows(there) if key == "hemi" else tuple(there)
        if key == "session":  # the mean over them
            return dict.fromkeys(usual, 1 / len(usual))
        if len(usual) > 1:
            raise UsageError(
                f"{where}: has no {key}, but there are several: {', '.join(sorted(usual))}. Give "
                "one of them, or weights."
            )
        return {usual[0]: 1.0}
    by_key = {label.casefold(): label for label in there}
    prefix = {"session": "ses-", "task": "task-"}.get(key, "")
    found: dict[str, float] = {}
    for label, weight in given.items():
        known = by_key.get(label.removeprefix(prefix).casefold())
        if known is None:
            raise UsageError(
                f"{where}: there is no {key} {label}; there are {', '.join(sorted(there))}."
            )
        found[known] = weight
    return found


def planned_tests(
    planned: Sequence[PlannedContrast],
    estimates: "pd.DataFrame",
    inference: Inference = PLAIN,
    groups: Groups | None = None,
) -> "pd.DataFrame":
    """Test planned contrasts against 0, and groups against each other.

    Returns
    -------
    DataFrame
        With :data:`PLANNED_COLUMNS`; no rows without planned contrasts.

    Raises
    ------
    UsageError
        See :func:`planned_numbers`.
    """
    import pandas as pd

    numbers = planned_numbers(planned, estimates)
    names = pd.DataFrame({"name": pd.Series([of.name for of in planned], dtype="str")})
    families = Families(
        names=np.full(len(planned), "planned contrasts", dtype=object),
        is_corrected=np.full(len(planned), fill_value=True),
    )
    tests = tests_and_differences(names, numbers, families, inference, groups)
    return tests.reindex(columns=list(PLANNED_COLUMNS))


def planned_estimates(
    planned: Sequence[PlannedContrast], estimates: "pd.DataFrame"
) -> "pd.DataFrame":
    """Return the numbers of planned contrasts as a table.

    Returns
    -------
    DataFrame
        With :data:`PLANNED_ESTIMATE_COLUMNS`; no rows without planned contrasts.

    Raises
    ------
    UsageError
        See :func:`planned_numbers`.
    """
    import pandas as pd

    if not planned:
        return stacked((), PLANNED_ESTIMATE_COLUMNS)
    numbers = planned_numbers(planned, estimates)
    statuses, claims = np.array(list(STATUSES)), np.array(list(INDEPENDENCE))
    tables = [
        pd.DataFrame(
            {
                "participant_id": numbers.participants,
                "name": contrast.name,
                "estimate": numbers.values[:, place],
                "status": np.where(numbers.there[:, place], "ok", statuses[numbers.gaps[:, place]]),
                "independence": claims[np.maximum(numbers.claims[:, place], 0)],
            }
        )
        for place, contrast in enumerate(planned)
    ]
    return pd.concat(tables, ignore_index=True)


def as_estimates(numbers: "pd.DataFrame", hemi: str) -> "pd.DataFrame":
    """Return the numbers of planned contrasts like estimates, in the column ``planned``.

    Parameters
    ----------
    numbers : DataFrame
        With :data:`PLANNED_ESTIMATE_COLUMNS`; the column ``contrast`` gets their names.
    hemi
        What the column ``hemi`` says.
    """
    cell = {**dict.fromkeys(CELL, MISSING), "hemi": hemi}
    named = numbers.assign(**cell).assign(contrast=numbers["name"])
    return named.rename(columns={"estimate": PLANNED}).drop(columns="name")
