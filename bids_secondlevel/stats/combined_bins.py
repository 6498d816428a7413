"""Numbers in bins of the visual field that several contrasts make together.

They are planned contrasts, and means over contrasts that are each seen from their own position.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.inference import mean_of
from bids_secondlevel.core.planned import PlannedContrast
from bids_secondlevel.core.positions import OWN
from bids_secondlevel.core.rows import MISSING, grouped
from bids_secondlevel.stats.planned import weights_of
from bids_secondlevel.stats.visual_field import KEY, spread_bins

if TYPE_CHECKING:
    import pandas as pd

_MAP = ("session", "task", "contrast")
_ROUNDING = 1e-12
"""A sum that is a smaller share of what it is made of is 0."""


def over_contrasts(planned: Sequence[PlannedContrast]) -> tuple[PlannedContrast, ...]:
    """Choose those planned contrasts that weight several contrasts of maps."""
    weights = [(of, of.weights("contrast") or {}) for of in planned]
    return tuple(of for of, own in weights if sum(map(bool, own.values())) > 1)


def weights_in_words(contrast: PlannedContrast) -> str:
    """Say what a planned contrast is made of.

    Examples
    --------
    >>> weights_in_words(PlannedContrast(name="effect", contrast={"attend": 1, "ignore": -1}))
    'attend 1, ignore -1'
    """
    weights = contrast.weights("contrast") or {}
    return ", ".join(f"{label} {weight:g}" for label, weight in weights.items())


def with_combined(
    bins: "pd.DataFrame", whole: "pd.DataFrame", planned: Sequence[PlannedContrast]
) -> "pd.DataFrame":
    """Add what several contrasts make together.

    Parameters
    ----------
    bins
        Those that are tested, by :func:`~.visual_field.gather_bins`. If a task has several
        contrasts with positions of their own, the mean over these is added.
    whole
        Those of all contrasts, which planned ones may be made of.
    planned
        By :func:`over_contrasts`. The weights of sessions, tasks and contrasts count: bins are in
        the place of ROIs and hemispheres.

    Raises
    ------
    UsageError
        If a planned contrast names something that is not there, or has the name of a contrast.
    """
    import pandas as pd

    if whole.empty:
        return bins
    return pd.concat([bins, *_means_at_own_positions(bins), *_planned(planned, whole)])


def with_means(profiles: "pd.DataFrame") -> "pd.DataFrame":
    """Add the same means to the bins of single participants.

    Parameters
    ----------
    profiles
        With :data:`~.rois.visual_field.VISUAL_FIELD_COLUMNS`.
    """
    import pandas as pd

    own = profiles[profiles["position"] == OWN]
    means = list(_means_at_own_positions(spread_bins(own)))
    if not means:
        return profiles
    bins = pd.concat(means)["estimate"].reset_index()
    rows = bins.melt(list(KEY), var_name="participant_id", value_name="estimate")
    return pd.concat([profiles, rows.replace(np.inf, np.nan)], ignore_index=True)


def _means_at_own_positions(bins: "pd.DataFrame") -> "Iterator[pd.DataFrame]":
    own = bins[bins.index.get_level_values("position") == OWN]
    maps = own.index.to_frame(index=False)[list(_MAP)].drop_duplicates()
    for (session, task), of in grouped(maps, "session", "task"):
        contrasts = list(of["contrast"])
        if len(contrasts) > 1:
            weights = {(session, task, contrast): 1 / len(contrasts) for contrast in contrasts}
            yield _weighted(own, weights, (session, task, mean_of(contrasts)))


def _planned(planned: Sequence[PlannedContrast], bins: "pd.DataFrame") -> "Iterator[pd.DataFrame]":
    maps = bins.index.to_frame(index=False)[list(_MAP)].drop_duplicates()
    measured = {label.casefold() for label in maps["contrast"]}
    for contrast in planned:
        if contrast.name.casefold() in measured:
            raise UsageError(
                f"[[planned]] {contrast.name!r}: a contrast of the maps has this name. Choose "
                "another, which distinguishes them in group_visualfield.tsv."
            )
        left, weights = maps, {}
        for key in ("task", "contrast", "session"):
            weights[key] = weights_of(contrast, key, left)
            left = left[left[key].isin(weights[key])]
        of_maps = {
            (session, task, label): weights["session"][session] * weights["task"][task] * weight
            for session, task in product(weights["session"], weights["task"])
            for label, weight in weights["contrast"].items()
        }
        sessions = [session for session, weight in weights["session"].items() if weight]
        tasks = [task for task, weight in weights["task"].items() if weight]
        task = tasks[0] if len(tasks) == 1 else MISSING
        session = sessions[0] if len(sessions) == 1 else mean_of(sessions)
        used = {labels: weight for labels, weight in of_maps.items() if weight}
        yield _weighted(bins, used, (session, task, contrast.name))


def _weighted(
    bins: "pd.DataFrame",
    weights: Mapping[tuple[str, str, str], float],
    labels: tuple[str, str, str],
) -> "pd.DataFrame":
    """Sum up the weighted numbers of maps in the bins that all of them have.

    A participant without one of the numbers has none.

    Parameters
    ----------
    weights
        By session, task and contrast.
    labels
        What to write in the place of these.
    """
    import pandas as pd

    parts = [bins.xs(map_, level=list(_MAP)) for map_ in weights if _is_there(map_, bins)]
    if len(parts) < len(weights):
        return bins.iloc[:0]
    common = parts[0].index
    for part in parts[1:]:
        common = common.intersection(part.index, sort=False)
    parts = [part.loc[common] for part in parts]
    terms = [w * part["estimate"] for part, w in zip(parts, weights.values(), strict=True)]
    total, largest = np.sum(terms, axis=0), np.max(np.abs(terms), axis=0)
    gaps = [part["gap"].where(part["estimate"].isna(), -1) for part in parts]
    place = common.to_frame(index=False).assign(**dict(zip(_MAP, labels, strict=True)))
    people = parts[0]["estimate"].columns
    made = {
        "estimate": pd.DataFrame(np.where(np.abs(total) <= _ROUNDING * largest, 0.0, total)),
        "gap": pd.DataFrame(np.max(gaps, axis=0)),
    }
    named = {name: of.set_axis(people, axis="columns") for name, of in made.items()}
    index = pd.MultiIndex.from_frame(place[list(KEY)])
    return pd.concat(named, axis="columns").set_axis(index, axis="index")


def _is_there(map_: tuple[str, str, str], bins: "pd.DataFrame") -> bool:
    levels = [bins.index.get_level_values(name) for name in _MAP]
    return bool(np.all([of == at for of, at in zip(levels, map_, strict=True)], axis=0).any())
