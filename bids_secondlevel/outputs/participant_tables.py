"""Read the tables of all participants written by the participant level."""

import logging
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.rows import KEY
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.words import listed
from bids_secondlevel.maps.files import read_bytes
from bids_secondlevel.outputs.names import QUALITY, RUNS, SWEEP, VISUAL_FIELD, table_beside
from bids_secondlevel.outputs.tables import parse_tables, read_sidecar, table_text
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.rois.quality import QUALITY_COLUMNS
from bids_secondlevel.rois.runs import RUN_COLUMNS
from bids_secondlevel.rois.sweep import SWEEP_COLUMNS
from bids_secondlevel.rois.visual_field import VISUAL_FIELD_COLUMNS
from bids_secondlevel.stats.gather import select
from bids_secondlevel.stats.visual_field import SERIES

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger("bids_secondlevel")

_AT_A_TIME = 50
"""Number of participants whose bins of the visual field are in memory at a time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ParticipantTables:
    """The usable tables of participants."""

    files: Mapping[str, Sequence[Path]]
    """Tables of estimates, by label."""
    definitions: Mapping[Path, Definition]
    """How the ROIs were defined, by table of estimates."""
    estimates: "pd.DataFrame"
    """Its index is the position of a row's table in `definitions`."""
    quality: "pd.DataFrame"
    unreadable: tuple[str, ...]
    """Labels of the other participants."""

    @property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """Sources of retinotopy that defined the ROIs, by participant (with ``sub-``)."""
        return {
            f"sub-{label}": tuple(
                dict.fromkeys(tag for path in paths for tag in self.definitions[path].sources)
            )
            for label, paths in self.files.items()
        }


class _Read(NamedTuple):
    """Tables that belong together, from the same run of the participant level."""

    estimates: str
    quality: str
    sidecar: Mapping[str, Any]
    definition: Definition


def read_tables(found: Mapping[str, Sequence[Path]]) -> ParticipantTables:
    """Read the participants' tables. A participant with an unreadable table is excluded.

    Parameters
    ----------
    found
        The tables of estimates of each participant, by label.
    """
    read: dict[Path, _Read] = {}
    wrong: dict[Path, DataError] = {}
    for path in _all(found):
        try:
            read[path] = _read_together(path)
        except DataError as error:
            wrong[path] = error
    estimates, unreadable = parse_tables(
        {p: r.estimates for p, r in read.items()}, ESTIMATE_COLUMNS
    )
    quality, undescribed = parse_tables({p: r.quality for p, r in read.items()}, QUALITY_COLUMNS)
    odd = _contradictions(estimates, {path: of.sidecar for path, of in read.items()})
    lost = _first_of_each(found, {**undescribed, **odd, **unreadable, **wrong})
    for label, why in lost.items():
        LOG.error("sub-%s: %s", label, why)
    files = _others(found, lost)
    return ParticipantTables(
        files=files,
        definitions={path: read[path].definition for path in _all(files)},
        estimates=_rows_of(files, estimates, list(read)),
        quality=_rows_of(files, quality, list(read)),
        unreadable=tuple(lost),
    )


def _read_together(path: Path) -> _Read:
    """Read a table with the files that belong to it.

    The participant level removes a table first and writes it last. If it has not changed meanwhile,
    the files beside it belong to it.
    """
    before = _as_it_is(path)
    sidecar = read_sidecar(path)
    read = _Read(
        estimates=table_text(path),
        quality=table_text(table_beside(path, QUALITY)),
        sidecar=sidecar,
        definition=Definition.from_sidecar(sidecar, path.with_suffix(".json")),
    )
    if _as_it_is(path) != before:
        raise DataError(
            f"{path}: the participant level is writing this file just now. Run the group level "
            "again when it has ended."
        )
    return read


def _as_it_is(path: Path) -> tuple[bytes, ...]:
    try:
        return read_bytes(path), read_bytes(path.with_suffix(".json"))
    except OSError:  # explained when it is read
        return ()


def read_sweeps(files: Mapping[str, Sequence[Path]], settings: Settings) -> "pd.DataFrame":
    """Read the participants' sweeps; a sweep that cannot be read is reported.

    Returns
    -------
    DataFrame
        The selected rows, each once.
    """
    beside = _beside(files, SWEEP)
    texts, wrong = _texts(_all(beside))
    sweep, unreadable = parse_tables(texts, SWEEP_COLUMNS)
    for label, error in _first_of_each(beside, {**unreadable, **wrong}).items():
        LOG.warning("sub-%s: not in the sweep: %s", label, error)
    return select(sweep, settings).drop_duplicates(ignore_index=True)


def read_visual_fields(
    files: Mapping[str, Sequence[Path]], settings: Settings
) -> "Iterator[pd.DataFrame]":
    """Read the participants' means in bins of the visual field, a few participants at a time.

    The table of all participants would be too large.

    Yields
    ------
    DataFrame
        The selected rows.
    """
    beside = _beside(files, VISUAL_FIELD)
    without = [f"sub-{label}" for label, paths in beside.items() if not paths]
    if 0 < len(without) < len(beside):
        LOG.warning(
            "Not in group_visualfield.tsv, because they have no table of the visual field: %s. Run "
            "the participant level without --no-visual-field for them, or with it for all.",
            listed(without, 5),
        )
    people = iter(beside.items())
    while of_some := dict(islice(people, _AT_A_TIME)):
        texts, wrong = _texts(_all(of_some))
        rows, unreadable = parse_tables(texts, VISUAL_FIELD_COLUMNS)
        for label, error in _first_of_each(of_some, {**unreadable, **wrong}).items():
            LOG.warning("sub-%s: not in group_visualfield.tsv: %s", label, error)
        wanted = select(rows, settings)
        if not wanted.empty:
            yield wanted


def read_profiles(files: Mapping[str, Sequence[Path]], tested: "pd.DataFrame") -> "pd.DataFrame":
    """Read the profiles of participants in tests of bins of the visual field.

    Returns
    -------
    DataFrame
        Without cells and unreadable tables.
    """
    beside = _beside(files, VISUAL_FIELD)
    texts, _ = _texts(_all(beside))
    # Most lines are of cells, and would take most of the time.
    texts = {
        path: "\n".join(line for line in text.split("\n") if not _is_of_cell(line))
        for path, text in texts.items()
    }
    rows, _ = parse_tables(texts, VISUAL_FIELD_COLUMNS)
    known = tested[list(SERIES)].drop_duplicates()
    profiles = rows[rows["profile"] != "cell"].drop_duplicates()
    return profiles.merge(known, on=list(SERIES))


_PROFILE = list(VISUAL_FIELD_COLUMNS).index("profile")


def _is_of_cell(line: str) -> bool:
    return "\tcell\t" in line and line.split("\t", _PROFILE + 1)[_PROFILE] == "cell"


def read_runs(files: Mapping[str, Sequence[Path]], estimates: "pd.DataFrame") -> "pd.DataFrame":
    """Read the runs of every participant; unusable runs are dropped.

    A warning gives the reason. Only the reliability over runs needs them.

    Parameters
    ----------
    files
        Each participant's tables of estimates, by label. The tables of runs are beside them.
    estimates
        Their content, which shows which estimates should have runs.
    """
    beside = _beside(files, RUNS)
    texts, wrong = _texts(_all(beside))
    sidecars: dict[Path, Mapping[str, Any]] = {}
    for path in list(texts):
        try:
            sidecars[path] = read_sidecar(path)
        except DataError as error:
            wrong[path] = error
            del texts[path]
    runs, unreadable = parse_tables(texts, RUN_COLUMNS)
    odd = {**_conflicts(runs, list(texts)), **_contradictions(runs, sidecars)}
    broken = _first_of_each(beside, {**odd, **unreadable, **wrong})
    runs = _rows_of(_others(beside, broken), runs, list(texts))
    lacking = _lacking(runs, estimates, _others(files, broken))
    for label in files:
        if label in broken or label in lacking:
            why = broken.get(label) or lacking[label]
            LOG.warning("sub-%s: not in the reliability over runs: %s", label, why)
    is_complete = ~runs["participant_id"].isin([f"sub-{label}" for label in lacking])
    return runs[is_complete].drop_duplicates(ignore_index=True)


def _conflicts(runs: "pd.DataFrame", files: Sequence[Path]) -> dict[Path, DataError]:
    """Find tables that disagree with another table about the same run."""
    key = [*KEY, "run"]
    different = runs.drop_duplicates()
    again = different[different.duplicated(key)]
    return {
        files[number]: DataError(
            f"{files[number]}: disagrees with another table about the same run "
            f"({', '.join(again.loc[[number], key].iloc[0])}). Delete the outdated one."
        )
        for number in again.index.unique()
    }


def _lacking(
    runs: "pd.DataFrame", estimates: "pd.DataFrame", files: Mapping[str, Sequence[Path]]
) -> dict[str, DataError]:
    """Find participants without runs of estimates that were combined from several."""
    combined = estimates.loc[estimates["n_runs"] > 1, list(KEY)]
    known = runs[list(KEY)].drop_duplicates()
    found = combined.merge(known, on=list(KEY), how="left", indicator=True)
    counts = found.loc[found["_merge"] == "left_only", "participant_id"].value_counts()
    return {
        label: DataError(
            f"{', '.join(str(table_beside(path, RUNS)) for path in paths)}: missing, or without "
            f"the runs of {counts[f'sub-{label}']} combined estimates. Run the participant level "
            "again."
        )
        for label, paths in files.items()
        if f"sub-{label}" in counts
    }


def _contradictions(
    table: "pd.DataFrame", sidecars: Mapping[Path, Mapping[str, Any]]
) -> dict[Path, DataError]:
    """Find tables that contradict their sidecars, their names or themselves."""
    number = table.index.to_numpy()
    n_rows = np.bincount(number, minlength=len(sidecars))
    named = np.array([path.name.partition("_")[0] for path in sidecars], dtype=object)
    foreign = set(number[table["participant_id"].to_numpy() != named[number]])
    key = [name for name in (*KEY, "run") if name in table]
    twice = set(number[table[key].assign(number=number).duplicated()])
    numbered = set(number[table["estimate"].notna() & (table["status"] != "ok")])
    odd: dict[Path, DataError] = {}
    for place, (path, sidecar) in enumerate(sidecars.items()):
        expected, again = sidecar.get("RowCount"), "Run the participant level again."
        if n_rows[place] != expected:
            what = f"has {n_rows[place]} rows, but {expected} by its sidecar. {again}"
        elif place in foreign:
            what = f"has rows of participants other than {named[place]}. {again}"
        elif place in twice:
            what = f"has two rows for the same estimate. {again}"
        elif place in numbered:
            what = f"has an estimate in a row whose status says that it is missing. {again}"
        else:
            continue
        odd[path] = DataError(f"{path}: {what}")
    return odd


def _all(files: Mapping[str, Sequence[Path]]) -> list[Path]:
    return [path for paths in files.values() for path in paths]


def _beside(files: Mapping[str, Sequence[Path]], name: str) -> dict[str, list[Path]]:
    """Find the tables beside tables of estimates."""
    named = {label: [table_beside(path, name) for path in paths] for label, paths in files.items()}
    return {label: [path for path in paths if path.exists()] for label, paths in named.items()}


def _texts(paths: Sequence[Path]) -> tuple[dict[Path, str], dict[Path, DataError]]:
    texts: dict[Path, str] = {}
    wrong: dict[Path, DataError] = {}
    for path in paths:
        try:
            texts[path] = table_text(path)
        except DataError as error:
            wrong[path] = error
    return texts, wrong


def _first_of_each(
    files: Mapping[str, Sequence[Path]], wrong: Mapping[Path, DataError]
) -> dict[str, DataError]:
    """Keep the first error about each participant."""
    of_each = {
        label: [wrong[path] for path in paths if path in wrong] for label, paths in files.items()
    }
    return {label: errors[0] for label, errors in of_each.items() if errors}


def _others(files: Mapping[str, Sequence[Path]], lost: Container[str]) -> dict[str, Sequence[Path]]:
    return {label: paths for label, paths in files.items() if label not in lost}


def _rows_of(
    files: Mapping[str, Sequence[Path]], table: "pd.DataFrame", places: Sequence[Path]
) -> "pd.DataFrame":
    """Select the rows of some files from a table indexed by file, and renumber the files."""
    number = {path: place for place, path in enumerate(_all(files))}
    anew = np.array([number.get(path, -1) for path in places], dtype=np.intp)
    counted = table.set_axis(anew[table.index], axis="index")
    return counted[counted.index >= 0]
