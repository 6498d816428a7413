"""How a participant went: in a line, in messages, and as an exit code."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_secondlevel.core.errors import DONE, DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.files import MapKind, ParticipantFiles
from bids_secondlevel.core.spaces import spoken
from bids_secondlevel.core.values import STATUSES, Absent
from bids_secondlevel.inputs.near_misses import in_words_for_one
from bids_secondlevel.inputs.study import Chosen

if TYPE_CHECKING:
    import pandas as pd

UP_TO_DATE = "up to date"
"""Summary of a participant for whom nothing had to be done."""


@dataclass(frozen=True)
class Outcome:
    """How a participant went; `exit_code` is the program's if it was the only one."""

    label: str
    summary: str = ""
    messages: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    exit_code: int = DONE


def summarize_outcome(
    chosen: Chosen,
    absent: Sequence[Absent],
    messages: Sequence[str] = (),
    *,
    is_measured: bool,
    summary: str,
) -> Outcome:
    """Say how it went, from what could not be had and what else there is to say."""
    index, files, space = chosen.index, chosen.files, chosen.plan.maps_space
    errors: list[SecondLevelError] = [part.error for part in absent if part.error]
    if space == "fsLR":  # else it is of no interest what CIFTI files hold
        errors += index.unreadable
    if index.foreign:
        named = ", ".join(str(source.path) for source in index.foreign)
        errors.append(
            DataError(
                f"{named}: in a folder of sub-{index.label}, but named after another participant; "
                "not used. Put the file where it belongs."
            )
        )
    spaces = sorted({f.entities.get("space", "none") for f in index.statistical_maps})
    if index.statistical_maps and (space or "none") not in spaces:
        message = (
            f"has maps in space {', '.join(spaces)} only; the study is measured in {spoken(space)}."
        )
        errors = [InputMissingError(message)]
    elif not index.statistical_maps:
        errors = [InputMissingError("no statistical surface maps found at all.")]
    elif not errors and not is_measured:
        errors.append(InputMissingError("no map could be measured."))
    missing = [
        f"task {estimate.task}, contrast {estimate.contrast}: no map found (status missing_map)."
        for estimate in files.contrasts
        if not estimate.maps and index.statistical_maps
    ]
    kinds: list[MapKind] = [] if files.retinotopy else ["retinotopy"]
    kinds += ["map"] if errors and (missing or not all(files.localizers.values())) else []
    missing += in_words_for_one(index, kinds)
    codes = {error.exit_code for error in errors}
    return Outcome(
        label=index.label,
        summary=summary,
        messages=(
            *files.choices,
            *files.messages,
            *messages,
            *missing,
            *_unlike_hemispheres(files),
        ),
        errors=tuple(dict.fromkeys(str(error) for error in errors)),
        exit_code=min(codes, default=DONE),
    )


def _unlike_hemispheres(files: ParticipantFiles) -> Iterator[str]:
    """Say where the map of one hemisphere was made from other runs than that of the other."""
    named = [(f"localizer contrast {c}", sources) for c, sources in files.localizers.items()]
    named += [(f"task {e.task}, contrast {e.contrast}", e.maps) for e in files.contrasts]
    for what, sources in named:
        if len({source.units for source in sources.values()}) > 1:
            runs = "; ".join(
                f"{hemi}: {', '.join(run or 'no run entity' for _, run in source.units)}"
                for hemi, source in sources.items()
            )
            yield f"{what}: the hemispheres have maps of different runs ({runs})."


def summarize_estimates(estimates: "pd.DataFrame", n_rois: int) -> str:
    """Count the estimates of a participant by their status, in a line."""
    counts = Counter(estimates["status"])
    if counts["empty_roi"] == len(estimates):
        return f"every ROI is empty ({n_rois} ROIs). Check the limits of the ROIs."
    statuses = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    return f"{len(estimates)} estimates in {n_rois} ROIs: {statuses}"
