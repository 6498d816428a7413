"""Responses in the visual field across participants: bins tested against 0, and between groups.

Participants have the same bins, but for how many rings there are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.inference import PLAIN, Inference
from bids_secondlevel.core.rows import MISSING, Column, Schema, stacked
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import Array, Status
from bids_secondlevel.core.visual_field import ASYMMETRIES, asymmetries
from bids_secondlevel.rois.visual_field import BIN, PROFILES, VISUAL_FIELD_COLUMNS
from bids_secondlevel.stats.gather import select
from bids_secondlevel.stats.testing.one_sample import (
    GROUP_COLUMN,
    N_OF_GROUPS,
    REASONS,
    SESSION_COLUMN,
    TEST_COLUMNS,
    Families,
    Numbers,
    untestable,
)
from bids_secondlevel.stats.testing.welch import tests_and_differences

if TYPE_CHECKING:
    import pandas as pd

    from bids_secondlevel.stats.groups import Groups

SERIES = ("session", "task", "contrast", "area", "hemi", "space", "statistic")
"""The columns that name the responses of an area, in the bins of several profiles."""

KEY = (*SERIES, *BIN)
"""The columns that name a number of a participant."""

_ORDER = {name: place for place, name in enumerate((*PROFILES, *ASYMMETRIES))}
_NO_EDGE = np.inf
"""In the place of an edge that is n/a: NaN is not equal to itself."""

_MAY_BE_MISSING = ("polar_angle_low", "polar_angle_high", "distance_low", "distance_high")

_OF_RINGS = ("eccentricity", "cell", "receptive_field")
"""Profiles whose bins end at the edges of a ring, that of the rings themselves first."""

_EMPTY = REASONS.index("empty_bin")

FIELD_TEST_COLUMNS: Schema = {
    **{name: VISUAL_FIELD_COLUMNS[name] for name in KEY},
    "session": SESSION_COLUMN,
    "contrast": Column(
        str,
        "first-level contrast of the measured map; or the name of a planned contrast, see weights; "
        "mean(UL,UR): the mean over these contrasts, each seen from its own position",
    ),
    "profile": replace(
        VISUAL_FIELD_COLUMNS["profile"],
        description="kind of bins, or a difference between meridians of the visual field",
        levels={**PROFILES, **ASYMMETRIES},
    ),
    "weights": Column(
        str,
        "of a planned contrast: the contrasts that it is made of, each with its weight; n/a for "
        "contrasts of maps",
        is_optional=True,
    ),
    "group": GROUP_COLUMN,
    "versus": Column(
        str,
        "group whose mean is subtracted (Welch's t); n/a for a test against 0",
        is_optional=True,
    ),
    **N_OF_GROUPS,
    **{
        name: TEST_COLUMNS[name]
        for name in ("n", "mean", "sd", "sem", "ci95_low", "ci95_high", "t", "df", "p")
    },
    "df": Column(float, "degrees of freedom: n - 1, or Welch's; n/a without t"),
    "p_fwe": replace(
        TEST_COLUMNS["p_fwe"],
        description="p value by sign flips, corrected by the largest |t| for the bins of a profile "
        "of one contrast, area and hemisphere (familywise error rate); n/a for differences of "
        "groups",
    ),
    "p_holm": replace(
        TEST_COLUMNS["p_holm"],
        description="p, corrected by Holm's method for the bins of a profile of one contrast, area "
        "and hemisphere (familywise error rate)",
    ),
    "excluded": replace(
        TEST_COLUMNS["excluded"],
        description="participants excluded from the test, each with the reason: the status of a "
        "missing map, or empty_bin without vertices in the bin",
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
    import pandas as pd

    has_rings = rows["profile"].isin(_OF_RINGS)
    gap = np.select(
        [rows["n_vertices"] == 0, rows["n_vertices"].isna(), rows["n_finite"].isna()],
        [_EMPTY, REASONS.index("missing_retinotopy"), REASONS.index("missing_map")],
        REASONS.index("no_finite_vertices"),
    )
    keys = rows[list(KEY)].assign(
        # Wedges and distances reach as far as the rings of the participant do.
        eccentricity_high=rows["eccentricity_high"].where(has_rings, _NO_EDGE),
        **{name: rows[name].fillna(_NO_EDGE) for name in _MAY_BE_MISSING},
    )
    row = keys.groupby(list(KEY), sort=False, dropna=False).ngroup().to_numpy()
    _, first = np.unique(row, return_index=True)
    column, people = pd.factorize(rows["participant_id"], sort=True)
    spread = np.full((len(first), 2, len(people)), np.nan)
    found = np.column_stack([rows["estimate"], gap])
    spread[row[::-1], :, column[::-1]] = found[::-1]  # of two rows of a bin, the first
    return pd.DataFrame(
        spread.reshape(len(first), 2 * len(people)),
        index=pd.MultiIndex.from_frame(keys.iloc[first]),
        columns=pd.MultiIndex.from_product([["estimate", "gap"], people]),
    ).sort_index()


def gather_bins(spread: "Iterable[pd.DataFrame]") -> "pd.DataFrame":
    """Put together the bins of all participants, some of them in each part.

    Parameters
    ----------
    spread
        By :func:`spread_bins`.

    Raises
    ------
    DataError
        If participants have other bins than others.
    """
    import pandas as pd

    parts = list(spread)
    if not parts:
        nothing = stacked((), VISUAL_FIELD_COLUMNS)[list(KEY)]
        return pd.DataFrame(index=pd.MultiIndex.from_frame(nothing))
    together = pd.concat(parts, axis="columns")
    _check_bins(together.index.to_frame(index=False))
    return together


def select_bins(bins: "pd.DataFrame", settings: Settings) -> "pd.DataFrame":
    """Keep the bins that the settings ask for."""
    return bins.iloc[select(bins.index.to_frame(index=False), settings).index]


def field_tests(
    together: "pd.DataFrame",
    everyone: Mapping[str, Status],
    inference: Inference = PLAIN,
    groups: "Groups | None" = None,
    weights: Mapping[str, str] | None = None,
) -> "pd.DataFrame":
    """Test the mean of every bin against 0, differences between meridians, and between groups.

    Parameters
    ----------
    together
        Bins of all participants, by :func:`gather_bins`.
    everyone
        Who is to be named if there is no number, by label, and why there is no row.
    groups
        Each is tested for itself, too, and against each other.
    weights
        What planned contrasts are made of, by name, in words.

    Returns
    -------
    DataFrame
        With :data:`FIELD_TEST_COLUMNS`. There are no rings beyond the last one in which somebody
        has a vertex, and no farther distances.
    """
    import pandas as pd

    if together.empty:
        return stacked((), FIELD_TEST_COLUMNS)
    place = together.index.to_frame(index=False)
    order = place.assign(profile=place["profile"].map(_ORDER)).sort_values(list(KEY)).index
    place = place.loc[order].reset_index(drop=True)
    labels = sorted(everyone)
    people = [f"sub-{label}" for label in labels]
    status = np.array([REASONS.index(everyone[label]) for label in labels])
    both = pd.MultiIndex.from_product([["estimate", "gap"], people])
    values, gaps = np.hsplit(together.reindex(columns=both).to_numpy()[order], 2)
    series = np.asarray(place.groupby(list(SERIES), sort=False).ngroup(), dtype=np.intp)
    found = _Bins(place, values, _reasons(gaps, status, series), series)
    bins, of_all, reasons, _ = _with_asymmetries(_up_to_the_last(found))
    rings = bins.loc[bins["profile"] == "eccentricity", "eccentricity_high"]
    bins["eccentricity_high"] = bins["eccentricity_high"].replace(_NO_EDGE, rings.max())
    bins = bins.replace(dict.fromkeys(_MAY_BE_MISSING, _NO_EDGE), np.nan)
    known = weights or {}
    bins["weights"] = bins["contrast"].map(lambda name: known.get(name, MISSING)).astype("str")
    of_all = of_all.T
    numbers = Numbers(
        participants=np.array(people, dtype=object),
        values=of_all,
        sizes=np.abs(of_all),
        gaps=reasons.T.astype(np.intp),
        claims=np.zeros(of_all.shape, dtype=np.intp),  # no localizer takes part
        minor=np.zeros(of_all.shape, dtype=bool),
    )
    labels_of = [bins[name].astype(object) for name in ("profile", "position", *SERIES)]
    names = reduce(lambda one, other: one + " " + other, labels_of)
    families = Families(
        names=names.to_numpy(dtype=object),
        is_corrected=np.ones(len(bins), dtype=bool),
        untestable=untestable(bins),
    )
    tests = tests_and_differences(bins, numbers, families, inference, groups)
    return tests.reindex(columns=list(FIELD_TEST_COLUMNS))


class _Bins(NamedTuple):
    """What participants (columns) have in bins (rows)."""

    place: "pd.DataFrame"
    values: Array
    reasons: Array
    """Why there is no number, if there is none."""
    series: NDArray[np.intp]
    """Numbers those of an area and a contrast; the bins are sorted by it."""


def _reasons(gaps: Array, status: NDArray[np.intp], series: NDArray[np.intp]) -> Array:
    """Say why there is no number also where a participant has no row: NaN in `gaps`."""
    # Who has other bins of the contrast has no vertex in this one.
    is_gap = np.isnan(gaps)
    first = np.flatnonzero(np.diff(series, prepend=-1))
    is_absent = np.logical_and.reduceat(is_gap, first)[series]
    return np.where(is_gap, np.where(is_absent, status, _EMPTY), gaps)


def _up_to_the_last(bins: _Bins) -> _Bins:
    """Leave out rings, and distances, beyond the last one that somebody has a vertex in."""
    place, profile = bins.place, bins.place["profile"]
    is_there = (bins.reasons != _EMPTY).any(axis=1)
    is_used = np.ones(len(place), dtype=bool)
    for profiles in (_OF_RINGS, ("distance",)):
        high = place[f"{profiles[0]}_high"]
        reached = high.where(is_there & (profile == profiles[0]), 0)
        last = reached.groupby([bins.series, place["position"]]).transform("max")
        is_used &= (~profile.isin(profiles) | (high <= last)).to_numpy()
    return _Bins(place[is_used], *(of[is_used] for of in bins[1:]))


def _with_asymmetries(bins: _Bins) -> _Bins:
    """Add differences between meridians to the bins of each series, if there are any."""
    import pandas as pd

    place, values, reasons, series = bins
    is_wedge = (place["profile"] == "polar_angle").to_numpy()
    centres = place[["polar_angle_low", "polar_angle_high"]].mean(axis="columns").to_numpy()
    first: list[int] = []
    profiles: list[str] = []
    more = [(values, reasons)]
    for number in np.unique(series[is_wedge]):
        of = np.flatnonzero(is_wedge & (series == number))
        lacking = np.where(np.isnan(values[of]), reasons[of], _EMPTY).min(axis=0)
        for name, found in asymmetries(centres[of], values[of]).items():
            if np.isfinite(found).any():
                first.append(of[0])
                profiles.append(name)
                more.append((found[np.newaxis], lacking[np.newaxis]))
    whole = place.iloc[first].assign(
        profile=pd.array(profiles, dtype="str"),  # text, also if there are none
        polar_angle_low=_NO_EDGE,
        polar_angle_high=_NO_EDGE,
    )
    every = np.concatenate([series, series[first]])
    order = np.argsort(every, kind="stable")
    together = pd.concat([place, whole]).iloc[order].reset_index(drop=True)
    all_values, all_reasons = (np.concatenate(of)[order] for of in zip(*more, strict=True))
    return _Bins(together, all_values, all_reasons, every[order])


def _check_bins(bins: "pd.DataFrame") -> None:
    """Check that bins lie side by side: else participants have other edges than others."""
    for profile, low, high in (
        ("eccentricity", "eccentricity_low", "eccentricity_high"),
        ("polar_angle", "polar_angle_low", "polar_angle_high"),
        ("polar_angle_distance", "distance_low", "distance_high"),
        ("distance", "distance_low", "distance_high"),
    ):
        of_profile = bins.loc[bins["profile"] == profile, [low, high]]
        edges = of_profile.drop_duplicates().sort_values([low, high]).to_numpy()
        if (edges[1:, 0] != edges[:-1, 1]).any():
            raise DataError(
                f"Participants have different bins of {profile.replace('_', ' ')}, so "
                "group_visualfield.tsv is not written. Run the participant level with the same "
                "--eccentricity-bins and --polar-angle-bins for all."
            )
