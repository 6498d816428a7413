"""Combine the estimates of all participants in one complete table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import DataError, NothingSelectedError
from bids_secondlevel.core.rows import CELL, KEY, MISSING
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import Status
from bids_secondlevel.core.words import in_words, listed
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def gather(
    estimates: "pd.DataFrame",
    files: Sequence[Path],
    gaps: Mapping[str, Status],
    settings: Settings,
) -> "pd.DataFrame":
    """Combine the participants' tables in one table with the same rows for all.

    Parameters
    ----------
    estimates
        The participants' tables, one below the other; the index is the place of a row's file
        in `files`.
    gaps
        Everybody who is to be in the table, by label, and why a row is missing.

    Returns
    -------
    DataFrame
        Sorted by participant, then by what was measured.

    Raises
    ------
    NothingSelectedError
        If there is nothing that the settings ask for.
    DataError
        If two tables of a participant contradict each other, or participants have other ROIs.
    """
    _check_labels(estimates, settings)
    wanted = select(estimates, settings)
    if wanted.empty:
        raise NothingSelectedError(
            "No estimates remain: the tables have none of the sessions, tasks, contrasts, ROIs or "
            "space asked for. Check the options that select them."
        )
    _check_same_rois(wanted)
    return _screen(_complete(_merge(wanted, files), gaps), settings)


def common_definition(definitions: Mapping[Path, Definition]) -> Definition:
    """Check that all ROIs were defined in the same way, and say how.

    Parameters
    ----------
    definitions
        By table of estimates.

    Raises
    ------
    DataError
        If there is none, or two tables were made with different settings.
    """
    if not definitions:
        raise DataError("None of the participants' tables can be read; see the messages above.")
    differences = _differences(definitions)
    if differences:
        raise DataError(
            f"ROIs were defined or measured differently: {'; '.join(differences[:3])}. Run the "
            "participant level with the same settings for all, or into another folder."
        )
    every = list(definitions.values())
    same, different = _combinations(definitions)
    return replace(
        every[0],
        rois=tuple({roi.name: roi for of in every for roi in of.rois}.values()),
        sources=tuple(sorted({source for of in every for source in of.sources})),
        maps_are=" and ".join(sorted({of.maps_are for of in every})),
        resampling=tuple(sorted({how for of in every for how in of.resampling})),
        spheres=(),
        combined=tuple(same.items()),
        choices=(*_choices(definitions), *different),
    )


def _differences(definitions: Mapping[Path, Definition]) -> list[str]:
    """Describe what is not the same for all participants, the fewest first, once for all ROIs."""
    described: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path, definition in definitions.items():
        for name, value in definition.decisive().items():
            of_name = value if isinstance(value, Mapping) else {"": value}
            described.setdefault(name, {})[path.name] = of_name
    found: dict[tuple[str, str], list[str]] = {}
    for name, by_table in described.items():
        for key in dict.fromkeys(key for of_table in by_table.values() for key in of_table):
            whose: dict[str, dict[str, None]] = {}
            for table, of_table in by_table.items():
                said = _value_in_words(of_table.get(key))
                whose.setdefault(said, {})[table.partition("_")[0]] = None
            if len(whose) > 1:
                roi = name.removeprefix("Rois.")
                what = key if roi != name else f"{name} {key}".rstrip()
                fewest = sorted(whose.items(), key=lambda item: len(item[1]))
                shown = ", and ".join(f"{said} for {listed(list(who), 5)}" for said, who in fewest)
                found.setdefault((what, shown), []).extend([roi] if roi != name else [])
    return [
        f"{what}{f' of ROI {in_words(rois)}' if rois else ''} is {shown}"
        for (what, shown), rois in found.items()
    ]


def _value_in_words(value: object) -> str:
    if value is None:
        return "not given"
    return ", ".join(map(str, value)) if isinstance(value, list | Mapping) else str(value)


def _check_same_rois(estimates: "pd.DataFrame") -> None:
    """Check that all participants have rows of the same ROIs and hemispheres.

    The participant level writes a row for all that it is asked for. So there are other rows only
    if it was asked for something else.
    """
    where = ["session", "space"]
    for column, what, option in (
        ("roi", "ROI", "--roi-contrasts"),
        ("hemi", "hemisphere", "--hemi"),
    ):
        rows = estimates[["participant_id", *where, column]].drop_duplicates()
        for _, of_place in rows.groupby(where, sort=False):
            everyone = list(of_place["participant_id"].unique())
            for label, of_label in of_place.groupby(column, sort=False):
                with_it = list(of_label["participant_id"])
                without = sorted(set(everyone) - set(with_it))
                if without:
                    raise DataError(
                        "Participants were processed with different settings: there are rows of "
                        f"{what} {label} for {listed(with_it, 5)}, but not for "
                        f"{listed(without, 5)}. Run the participant level with the same settings "
                        f"for all, or select what all have ({option})."
                    )


def _combinations(definitions: Mapping[Path, Definition]) -> tuple[dict[str, str], list[str]]:
    """Say how runs were combined if it is the same for all, and whose were combined otherwise."""
    ways: dict[str, dict[str, dict[str, None]]] = {}
    for path, definition in definitions.items():
        for what, how in definition.combined:
            ways.setdefault(what, {}).setdefault(how, {})[path.name.partition("_")[0]] = None
    same = {what: next(iter(by_way)) for what, by_way in ways.items() if len(by_way) == 1}
    different = []
    for what, by_way in ways.items():
        if what not in same:
            fewest = sorted(by_way.items(), key=lambda item: len(item[1]))
            shown = "; ".join(f"{how} for {listed(list(who), 5)}" for how, who in fewest)
            different.append(f"Maps of {what} were not combined in the same way for all: {shown}.")
    return same, different


def _choices(definitions: Mapping[Path, Definition]) -> tuple[str, ...]:
    """List what was chosen for participants; with their labels if not for all of them."""
    made_for: dict[str, dict[str, None]] = {}
    everyone: dict[str, None] = {}
    for path, definition in definitions.items():
        participant = path.name.partition("_")[0]
        everyone[participant] = None
        for choice in definition.choices:
            made_for.setdefault(choice, {})[participant] = None
    return tuple(
        choice if len(of) == len(everyone) else f"{choice.removesuffix('.')}: {listed(list(of))}."
        for choice, of in made_for.items()
    )


def select(table: "pd.DataFrame", settings: Settings) -> "pd.DataFrame":
    """Keep the rows that the settings ask for, by the columns that there are.

    Labels are the same whatever their case.
    """
    keep = np.full(len(table), fill_value=True)
    for name, labels in {**_labels(settings), "hemi": settings.hemi}.items():
        if labels and name in table:
            asked = {label.casefold() for label in labels}
            keep &= table[name].str.casefold().isin(asked).to_numpy()
    return table[keep]


def _labels(settings: Settings) -> dict[str, Sequence[str]]:
    """Return the labels that were asked for, by column."""
    return {
        "session": settings.session_label,
        "task": settings.task_label,
        "contrast": settings.contrasts,
        "roi": settings.roi_contrasts,
        "space": (settings.space,) if settings.space else (),
    }


def _check_labels(estimates: "pd.DataFrame", settings: Settings) -> None:
    """Check that there is something of every label that was given."""
    options = ("--session-label", "--task-label", "--contrasts", "--roi-contrasts", "--space")
    for option, (name, given) in zip(options, _labels(settings).items(), strict=True):
        there = sorted(set(estimates[name])) if given else []
        folded = {label.casefold() for label in there}
        missing = [label for label in given if label.casefold() not in folded]
        if missing:
            raise NothingSelectedError(
                f"{option}: there is no {name} {', '.join(missing)} in the participants' tables; "
                f"there are: {', '.join(there)}."
            )


def _merge(estimates: "pd.DataFrame", files: Sequence[Path]) -> "pd.DataFrame":
    """Take each estimate once; jobs of single sessions and a job for all may have the same."""
    if not estimates.duplicated(list(KEY)).any():
        return estimates
    different = estimates.drop_duplicates()
    again = different[different.duplicated(list(KEY))]
    if not again.empty:
        key = again[list(KEY)].iloc[0]
        first = different[(different[list(KEY)] == key).all(axis="columns")].index[0]
        raise DataError(
            f"{files[first]} and {files[again.index[0]]} have different numbers for the same "
            f"estimate ({', '.join(key[list(CELL)])}). Delete the older one."
        )
    return different


def _complete(estimates: "pd.DataFrame", gaps: Mapping[str, Status]) -> "pd.DataFrame":
    """Give every participant a row for everything that was measured in any of them.

    ROIs stay in their order.
    """
    import pandas as pd

    cells = estimates.drop_duplicates(list(CELL))[[*CELL, "independence"]]
    rois = {roi: place for place, roi in enumerate(estimates["roi"].unique())}
    cells = cells.sort_values(
        list(CELL),
        key=lambda labels: (
            labels.map(rois) if labels.name == "roi" else labels.where(labels != MISSING, "")
        ),
    )
    labels = sorted(gaps)
    everyone = {
        "participant_id": [f"sub-{label}" for label in labels],
        "status": [gaps[label] for label in labels],
    }
    grid = pd.DataFrame(everyone, dtype="str").merge(cells, how="cross")
    rows = grid.merge(estimates, on=list(KEY), how="left", suffixes=("_of_gap", ""))
    for name in ("status", "independence"):
        rows[name] = rows[name].fillna(rows[f"{name}_of_gap"])
    rows["flags"] = rows["flags"].fillna(MISSING)
    return rows[list(ESTIMATE_COLUMNS)]


def _screen(estimates: "pd.DataFrame", settings: Settings) -> "pd.DataFrame":
    """Take the number from estimates of ROIs that are too small or too little covered.

    What equals ``--min-vertices`` or ``--min-coverage`` is kept.
    """
    too_small = estimates["n_vertices"] < settings.rule.min_vertices
    too_little = estimates["coverage"] < settings.min_coverage
    screened = estimates.copy()
    for is_out, status in ((too_little, "below_min_coverage"), (too_small, "below_min_vertices")):
        screened.loc[is_out & estimates["estimate"].notna(), "status"] = status
    screened.loc[too_small | too_little, ["estimate", "sd", "median"]] = np.nan
    return screened
