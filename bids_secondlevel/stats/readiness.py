"""Which participants are ready for the tests, who needs a look, who cannot be used, and why."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, Literal

from bids_secondlevel.core.hemispheres import main_rows
from bids_secondlevel.core.rows import (
    CELL,
    KEY_COLUMNS,
    MISSING,
    Column,
    Schema,
    each_row,
    frame_of_cells,
)
from bids_secondlevel.core.values import STATUSES, ParticipantsTable
from bids_secondlevel.core.words import counted, listed, of_units

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["ready", "check", "unusable"]

VERDICTS: Mapping[Verdict, str] = {
    "ready": "no estimate for the tests is missing, and there are no warnings",
    "check": "some estimates are missing, or have warnings that should be checked",
    "unusable": "all estimates for the tests are missing",
}

PARTICIPANT_COLUMNS: Schema = {
    "participant_id": KEY_COLUMNS["participant_id"],
    "verdict": Column(
        str,
        "verdict about the participant, from estimates that are not circular, in rows of both "
        "hemispheres if there are any",
        levels=VERDICTS,
    ),
    "reasons": Column(str, "reasons of the verdict, separated by semicolons; n/a if ready"),
    "retinotopy_source": Column(str, "source of the retinotopic maps that defined the ROIs"),
    "rois": Column(str, "number of vertices of each ROI (in volumes, voxels)"),
    "lowest_coverage": Column(
        float,
        "smallest share of the vertices of an ROI with data, among the maps that are tested",
    ),
    "runs": Column(
        str, "number of runs that this program combined into the estimates of each task"
    ),
}
"""One row for each participant; the columns of ``participants.tsv`` follow."""


@dataclass(frozen=True)
class Readiness:
    """Whether a participant can be used."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()


def readiness(estimates: "pd.DataFrame") -> dict[str, Readiness]:
    """Judge participants by the numbers that are tested, and by the reasons for those that lack.

    Parameters
    ----------
    estimates
        Of one participant or several.

    Returns
    -------
    dict
        By participant, in the order of the table.
    """
    return _judged(_tested(estimates))


def _judged(tested: "pd.DataFrame") -> dict[str, Readiness]:
    has_number = tested["estimate"].notna()
    is_usable = has_number.groupby(tested["participant_id"], sort=False).any()
    units = _units(tested)
    troubles: dict[str, dict[str, list[Any]]] = {}
    for row in each_row(_troubles(tested)):
        of_participant = troubles.setdefault(row.participant_id, {})
        of_participant.setdefault(row.trouble, []).append(row)
    judged: dict[str, Readiness] = {}
    for participant, usable in is_usable.items():
        kinds = troubles.get(str(participant), {})
        known = [*_WORDS, *(kind for kind in kinds if kind not in _WORDS)]
        why = tuple(_reason(kind, kinds[kind], units) for kind in known if kind in kinds)
        verdict: Verdict = "unusable" if not usable else "check" if why else "ready"
        judged[str(participant)] = Readiness(verdict, why)
    return judged


def found_in_words(estimates: "pd.DataFrame") -> str:
    """Say in a line what ROIs a participant has, and how much of them has data."""
    tested = _tested(estimates)
    sizes = tested.groupby("roi", sort=False)["n_vertices"].max()
    named = ", ".join(f"{roi} {MISSING if isnan(n) else f'{n:g}'}" for roi, n in sizes.items())
    text = f"{(sizes > 0).sum()} of {counted(len(sizes), 'ROI')} with {_units(tested)} ({named})"
    if (sizes == 0).all():
        return f"{text}. Check the definition of the ROIs."
    coverage = tested["coverage"].min()
    if isnan(coverage) or coverage == 1:
        return text
    (lowest,) = _rois_with_coverage(list(each_row(tested[tested["coverage"] == coverage].head(1))))
    return f"{text}; lowest coverage: {lowest}"


def participants_table(
    estimates: "pd.DataFrame",
    sources: Mapping[str, Sequence[str]],
    exclusions: Mapping[str, str],
    about: ParticipantsTable,
) -> "pd.DataFrame":
    """Say of each participant what there is, and whether it can be used.

    Parameters
    ----------
    estimates
        Of all participants, the same rows for everybody.
    sources
        Tags of the retinotopic maps, by participant.
    exclusions
        The user's reasons, by participant.
    about
        Its columns are added to those of :data:`PARTICIPANT_COLUMNS`.
    """
    tested = _tested(estimates)
    judged = _judged(tested)
    odd = _unlike_most(sources)
    sizes = _sizes(tested)
    coverage = tested.groupby("participant_id")["coverage"].min()
    runs = _runs(estimates)
    added = {name: _column(name) for name in about.columns}
    schema = participant_schema([*PARTICIPANT_COLUMNS, *added.values()])
    cells: dict[str, list[object]] = {name: [] for name in schema}
    for participant, found in judged.items():
        reasons = [_excluded(reason, exclusions.get(participant)) for reason in found.reasons]
        reasons += [odd[participant]] if participant in odd else []
        verdict = "check" if found.verdict == "ready" and reasons else found.verdict
        own = about.values.get(participant, {})
        row = {
            "participant_id": participant,
            "verdict": verdict,
            "reasons": "; ".join(reasons) or None,
            "retinotopy_source": " and ".join(sources.get(participant, ())) or None,
            "rois": sizes.get(participant),
            "lowest_coverage": coverage[participant],
            "runs": runs.get(participant),
            **{column: own.get(name) for name, column in added.items()},
        }
        for name, values in cells.items():
            values.append(row[name])
    return frame_of_cells(cells, schema)


def participant_schema(names: Iterable[str]) -> Schema:
    """Declare the columns of a table, which end with those of ``participants.tsv``."""
    return {
        name: PARTICIPANT_COLUMNS.get(name) or Column(str, "as in participants.tsv")
        for name in names
    }


def _column(name: str) -> str:
    """Keep a column of ``participants.tsv`` apart from ours."""
    return f"participants_{name}" if name in PARTICIPANT_COLUMNS else name


def _tested(estimates: "pd.DataFrame") -> "pd.DataFrame":
    """Keep the estimates that a verdict is about.

    In a single hemisphere an ROI may well have no vertex. So if no rows pool both, a hemisphere
    without a number is passed over if the other one has it.
    """
    is_tested = estimates["independence"] != "circular"
    kept = estimates[is_tested] if is_tested.any() else estimates
    kept = kept[kept["hemi"].isin(main_rows(kept["hemi"].unique()))]
    number = ["participant_id", *(name for name in CELL if name != "hemi")]
    has_number = kept["estimate"].notna()
    elsewhere = has_number.groupby([kept[name] for name in number]).transform("any")
    return kept[has_number | ~elsewhere]


def _units(estimates: "pd.DataFrame") -> str:
    return "voxels" if estimates["volume_mm3"].notna().any() else "vertices"


def _troubles(tested: "pd.DataFrame") -> "pd.DataFrame":
    """List what speaks against estimates in a column ``trouble``: a status, or a flag."""
    import pandas as pd

    has_number = tested["estimate"].notna()
    without = tested[~has_number].assign(trouble=tested["status"])
    flagged = tested[has_number & (tested["flags"] != MISSING)]
    flags = flagged.assign(trouble=flagged["flags"].str.split(";")).explode("trouble")
    return pd.concat([without, flags[flags["trouble"] != "minor_hemisphere"]])


def _rois(rows: Sequence[Any]) -> Iterator[str]:
    for row in rows:
        yield row.roi


def _rois_with_sizes(rows: Sequence[Any]) -> Iterator[str]:
    for row in _lowest(rows, "roi", "n_vertices"):
        yield f"{row.roi} ({row.n_vertices:g})"


def _rois_with_coverage(rows: Sequence[Any]) -> Iterator[str]:
    for row in _lowest(rows, "roi", "coverage"):
        yield f"{row.roi} ({100 * row.coverage:.3g} %, {row.task} {row.contrast})"


def _maps(rows: Sequence[Any]) -> Iterator[str]:
    for row in rows:
        session = "" if row.session == MISSING else f"session {row.session}, "
        yield f"{session}{row.task} {row.contrast}"


def _tasks(rows: Sequence[Any]) -> Iterator[str]:
    for row in _lowest(rows, "task", "n_runs"):
        # No number, if the hemispheres have different runs.
        yield row.task if isnan(row.n_runs) else f"{row.task} ({row.n_runs:g})"


def _nothing(_: Sequence[Any]) -> Iterator[str]:
    yield from ()


def _lowest(rows: Sequence[Any], of: str, column: str) -> Iterable[Any]:
    """Keep the row with the lowest value for each ROI or task, in the order of the table."""
    lowest: dict[str, Any] = {}
    for row in rows:
        known = lowest.setdefault(getattr(row, of), row)
        if getattr(row, column) < getattr(known, column):
            lowest[getattr(row, of)] = row
    return lowest.values()


_WORDS: Mapping[str, tuple[str, Callable[[Sequence[Any]], Iterator[str]]]] = {
    "excluded": ("excluded", _nothing),
    "missing_participant": ("no results of the participant level", _nothing),
    "unreadable_table": ("the table of the participant level cannot be read", _nothing),
    "missing_retinotopy": ("no retinotopy", _nothing),
    "unreadable_retinotopy": ("the retinotopy cannot be read", _nothing),
    "missing_localizer": ("no localizer map for {}", _rois),
    "unreadable_localizer": ("the localizer map cannot be read for {}", _rois),
    "missing_map": ("no map of {}", _maps),
    "unreadable_map": ("the map cannot be read of {}", _maps),
    "vertex_mismatch": ("maps do not fit together for {}", _maps),
    "missing_surface": ("no surface to compute the areas of vertices", _nothing),
    "empty_roi": ("no vertices in {}", _rois),
    "below_min_vertices": ("too few vertices in {}", _rois_with_sizes),
    "below_min_coverage": ("coverage below --min-coverage in {}", _rois_with_coverage),
    "no_finite_vertices": ("no data in {}", _rois_with_coverage),
    "low_coverage": ("low coverage in {}", _rois_with_coverage),
    "small_roi": ("few vertices in {}", _rois_with_sizes),
    "few_runs": ("fewer runs than others of {}", _tasks),
    "few_folds": ("a fold of the cross-validation has no {}", _rois),
}
"""What is said of a status or a flag, and of what it is said; from the one that decides most."""


def _reason(trouble: str, rows: Sequence[Any], units: str) -> str:
    meaning = STATUSES.get(trouble, trouble)  # type: ignore[call-overload]
    words, what = _WORDS.get(trouble, (f"{meaning} ({{}})", _maps))
    return of_units(words, units).format(listed(list(dict.fromkeys(what(rows))), 5))


def _excluded(reason: str, why: str | None) -> str:
    return f"{reason} ({why})" if why and reason == "excluded" else reason


def _unlike_most(sources: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Say whose retinotopy comes from another source than that of most."""
    of = {who: " and ".join(tags) for who, tags in sources.items() if tags}
    counts = Counter(of.values()).most_common()
    if len(counts) < 2:
        return {}
    (usual, n), *_ = counts
    return {
        who: f"retinotopy from {source}, but {n} of {len(of)} have {usual} "
        "(--retinotopy-source makes it the same if all have this source)"
        for who, source in of.items()
        if source != usual
    }


def _sizes(tested: "pd.DataFrame") -> dict[str, str]:
    """Say how many vertices each ROI has, by participant."""
    sizes = tested.groupby(["participant_id", "roi"], sort=False)["n_vertices"].max().dropna()
    rows = sizes.reset_index().itertuples(index=False)
    return _listed((who, f"{roi} {n:g}") for who, roi, n in rows)


def _runs(estimates: "pd.DataFrame") -> dict[str, str]:
    """Say how many runs each task's estimates are made from, by participant."""
    n_runs = estimates.groupby(["participant_id", "task"], sort=False)["n_runs"]
    limits = n_runs.agg(["min", "max"]).dropna()
    return _listed(
        (who, f"{task} {low:g}" if low == high else f"{task} {low:g}-{high:g}")
        for who, task, low, high in limits.reset_index().itertuples(index=False)
    )


def _listed(named: "Iterator[tuple[str, str]]") -> dict[str, str]:
    listed: dict[str, list[str]] = {}
    for who, what in named:
        listed.setdefault(who, []).append(what)
    return {who: ", ".join(parts) for who, parts in listed.items()}
