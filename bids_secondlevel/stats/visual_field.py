"""Responses in the visual field across participants: bins tested against 0.

Participants have the same bins, but for how many rings there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.inference import PLAIN, Inference
from bids_secondlevel.core.rows import Schema, grouped, stacked
from bids_secondlevel.core.values import Array, Mask, Status
from bids_secondlevel.core.visual_field import ASYMMETRIES, asymmetries
from bids_secondlevel.rois.visual_field import BIN, PROFILES, VISUAL_FIELD_COLUMNS
from bids_secondlevel.stats.tests import (
    GROUP_COLUMN,
    REASONS,
    TEST_COLUMNS,
    Families,
    Numbers,
    tests_of_groups,
    untestable,
)

if TYPE_CHECKING:
    import pandas as pd

    from bids_secondlevel.stats.groups import Groups

SERIES = ("session", "task", "contrast", "area", "hemi", "space", "statistic")
"""The columns that name the responses of an area, in the bins of several profiles."""

_KEY = (*SERIES, *BIN)
_ORDER = {name: place for place, name in enumerate((*PROFILES, *ASYMMETRIES))}
_NO_EDGE = np.inf
"""In the place of an edge that is n/a: NaN is not equal to itself."""

_EMPTY = REASONS.index("empty_bin")

FIELD_TEST_COLUMNS: Schema = {
    **{name: VISUAL_FIELD_COLUMNS[name] for name in _KEY},
    "profile": replace(
        VISUAL_FIELD_COLUMNS["profile"],
        description="what the bins are of, or a difference between meridians of the visual field",
        levels={**PROFILES, **ASYMMETRIES},
    ),
    "group": GROUP_COLUMN,
    **{
        name: TEST_COLUMNS[name]
        for name in ("n", "mean", "sd", "sem", "ci95_low", "ci95_high", "t", "df", "p")
    },
    "p_fwe": replace(
        TEST_COLUMNS["p_fwe"],
        description="p value by sign flips, corrected by the largest |t| for the bins of a profile "
        "of one contrast, area and hemisphere (familywise error rate)",
    ),
    "excluded": replace(
        TEST_COLUMNS["excluded"],
        description="participants without a number here, each with the reason: the status of a "
        "missing map, or empty_bin if they have no vertex in the bin",
    ),
    "note": TEST_COLUMNS["note"],
}
"""A test of a bin of the visual field."""


def spread_bins(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Spread the bins of participants: a row for each bin, columns for each participant.

    Parameters
    ----------
    rows : DataFrame
        With :data:`~.rois.visual_field.VISUAL_FIELD_COLUMNS`.

    Returns
    -------
    DataFrame
        Of each participant the ``estimate``, and as ``gap`` the place among :data:`REASONS` of why
        there is none. It takes a tenth of the memory of the rows.
    """
    is_wedge = rows["profile"] == "polar_angle"
    gap = np.select(
        [rows["n_vertices"] == 0, rows["n_vertices"].isna(), rows["n_finite"].isna()],
        [_EMPTY, REASONS.index("missing_retinotopy"), REASONS.index("missing_map")],
        REASONS.index("no_finite_vertices"),
    )
    keyed = rows.assign(
        # Wedges reach as far as the rings of the participant do.
        eccentricity_high=rows["eccentricity_high"].mask(is_wedge, _NO_EDGE),
        polar_angle_low=rows["polar_angle_low"].fillna(_NO_EDGE),
        polar_angle_high=rows["polar_angle_high"].fillna(_NO_EDGE),
        gap=gap.astype(np.float64),
    ).drop_duplicates(["participant_id", *_KEY])
    return keyed.pivot(index=list(_KEY), columns="participant_id", values=["estimate", "gap"])


def field_tests(
    spread: "Sequence[pd.DataFrame]",
    everyone: Mapping[str, Status],
    inference: Inference = PLAIN,
    groups: "Groups | None" = None,
) -> "pd.DataFrame":
    """Test the mean of every bin against 0, and differences between meridians.

    Parameters
    ----------
    spread
        Bins of all participants, by :func:`spread_bins`, some participants in each.
    everyone
        Who is to be named if there is no number, by label, and why there is no row.

    Returns
    -------
    DataFrame
        With :data:`FIELD_TEST_COLUMNS`. There are no rings beyond the last one in which somebody
        has a vertex.

    Raises
    ------
    DataError
        If participants have other bins than others.
    """
    import pandas as pd

    if not spread:
        return stacked((), FIELD_TEST_COLUMNS)
    together: pd.DataFrame = pd.concat(list(spread), axis="columns")
    place = together.index.to_frame(index=False)
    _check_bins(place)
    order = place.assign(profile=place["profile"].map(_ORDER)).sort_values(list(_KEY)).index
    place = place.loc[order].reset_index(drop=True)
    labels = sorted(everyone)
    people = [f"sub-{label}" for label in labels]
    status = np.array([REASONS.index(everyone[label]) for label in labels])
    both = pd.MultiIndex.from_product([["estimate", "gap"], people])
    values, gaps = np.hsplit(together.reindex(columns=both).to_numpy()[order], 2)
    series = [
        _with_asymmetries(
            _up_to_the_last(_Series(of, values[of.index], _reasons(gaps[of.index], status)))
        )
        for _, of in grouped(place, *SERIES)
    ]
    bins = pd.concat([of.bins for of in series], ignore_index=True)
    rings = bins.loc[bins["profile"] == "eccentricity", "eccentricity_high"]
    bins["eccentricity_high"] = bins["eccentricity_high"].replace(_NO_EDGE, rings.max())
    bins = bins.replace({"polar_angle_low": _NO_EDGE, "polar_angle_high": _NO_EDGE}, np.nan)
    of_all = np.vstack([of.values for of in series]).T
    numbers = Numbers(
        participants=np.array(people, dtype=object),
        values=of_all,
        sizes=np.abs(of_all),
        gaps=np.vstack([of.reasons for of in series]).T.astype(np.intp),
        claims=np.zeros(of_all.shape, dtype=np.intp),  # no localizer takes part
        minor=np.zeros(of_all.shape, dtype=bool),
    )
    names = bins[["profile", *SERIES]].agg(" ".join, axis="columns")
    families = Families(
        names=names.to_numpy(dtype=object),
        is_corrected=np.ones(len(bins), dtype=bool),
        untestable=untestable(bins),
    )
    tests = tests_of_groups(bins, numbers, families, inference, groups)
    return tests[list(FIELD_TEST_COLUMNS)]


class _Series(NamedTuple):
    """What participants (columns) have in the bins (rows) of an area and a contrast."""

    bins: "pd.DataFrame"
    values: Array
    reasons: Array
    """Why there is no number, if there is none."""

    def is_of(self, profile: str) -> Mask:
        """Tell which bins are of a profile."""
        is_of: Mask = (self.bins["profile"] == profile).to_numpy()
        return is_of


def _reasons(gaps: Array, status: NDArray[np.intp]) -> Array:
    """Say why there is no number also where a participant has no row: NaN in `gaps`."""
    # Who has other bins of the contrast has no vertex in this one.
    nothing = np.where(np.isnan(gaps).all(axis=0), status, _EMPTY)
    return np.where(np.isnan(gaps), nothing, gaps)


def _up_to_the_last(series: _Series) -> _Series:
    """Leave out rings beyond the last one that somebody has a vertex in."""
    high = series.bins["eccentricity_high"].to_numpy()
    is_there = series.is_of("eccentricity") & (series.reasons != _EMPTY).any(axis=1)
    is_used = np.isinf(high) | (high <= high[is_there].max(initial=0))
    return _Series(series.bins[is_used], series.values[is_used], series.reasons[is_used])


def _with_asymmetries(series: _Series) -> _Series:
    """Add differences between meridians, if there are any."""
    import pandas as pd

    is_wedge = series.is_of("polar_angle")
    wedges, values = series.bins[is_wedge], series.values[is_wedge]
    centres = wedges[["polar_angle_low", "polar_angle_high"]].mean(axis="columns").to_numpy()
    found = {name: of for name, of in asymmetries(centres, values).items() if np.isfinite(of).any()}
    if not found:
        return series
    whole = pd.concat([wedges.iloc[:1]] * len(found)).assign(
        profile=list(found), polar_angle_low=_NO_EDGE, polar_angle_high=_NO_EDGE
    )
    lacking = np.where(np.isnan(values), series.reasons[is_wedge], _EMPTY).min(axis=0)
    return _Series(
        pd.concat([series.bins, whole]),
        np.vstack([series.values, *found.values()]),
        np.vstack([series.reasons, *[lacking] * len(found)]),
    )


def _check_bins(bins: "pd.DataFrame") -> None:
    """Check that bins lie side by side: else participants have other edges than others."""
    for profile, low, high in (
        ("eccentricity", "eccentricity_low", "eccentricity_high"),
        ("polar_angle", "polar_angle_low", "polar_angle_high"),
    ):
        of_profile = bins.loc[bins["profile"] == profile, [low, high]]
        edges = of_profile.drop_duplicates().sort_values([low, high]).to_numpy()
        if (edges[1:, 0] != edges[:-1, 1]).any():
            raise DataError(
                f"Participants have other bins of {profile.replace('_', ' ')} than others: there "
                "is no group_visualfield.tsv. Run the participant level with the same "
                "--eccentricity-bins and --polar-angle-bins for all."
            )
