"""Results of processing: a line and an exit code per participant, and a summary."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bids_secondlevel.core.errors import DONE, DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.files import MapKind, ParticipantFiles
from bids_secondlevel.core.results import ParticipantResults
from bids_secondlevel.core.spaces import spoken
from bids_secondlevel.core.values import Absent
from bids_secondlevel.core.words import counted, listed, shared
from bids_secondlevel.inputs.near_misses import in_words_for_one
from bids_secondlevel.inputs.study import Chosen
from bids_secondlevel.stats.readiness import found_in_words, readiness

LOG = logging.getLogger("bids_secondlevel")

UP_TO_DATE = "up to date"
"""Summary of a participant that needed no processing."""


@dataclass(frozen=True)
class Outcome:
    """Result of processing a participant; `exit_code` is that of the program for it alone."""

    label: str
    summary: str = ""
    messages: tuple[str, ...] = ()
    """Choices of the program, and files that are not used."""
    reasons: tuple[str, ...] = ()
    """What to check before the estimates are used."""
    errors: tuple[str, ...] = ()
    exit_code: int = DONE
    missing: tuple[MapKind, ...] = ()
    """Inputs that were not found, except maps that are measured."""
    chosen: Chosen | None = None
    """Files that would be used, in a dry run."""


def summarize_results(
    chosen: Chosen, absent: Sequence[Absent], results: ParticipantResults
) -> Outcome:
    """Summarize the results, from missing inputs and estimates."""
    estimates = results.estimates
    told = {"missing_map", *(part.status for part in absent if part.error)}  # by the errors
    judged = readiness(estimates[~estimates["status"].isin(told)])
    return summarize_outcome(
        chosen,
        absent,
        results.messages,
        is_measured=bool(estimates["n_finite"].notna().any()),
        summary=found_in_words(estimates),
        reasons=[reason for found in judged.values() for reason in found.reasons],
    )


def summarize_outcome(
    chosen: Chosen,
    absent: Sequence[Absent],
    messages: Sequence[str] = (),
    *,
    is_measured: bool,
    summary: str,
    reasons: Sequence[str] = (),
) -> Outcome:
    """Summarize the result, from missing inputs and messages."""
    index, files, space = chosen.index, chosen.files, chosen.plan.maps_space
    errors: list[SecondLevelError] = [part.error for part in absent if part.error]
    if space == "fsLR":  # otherwise the content of CIFTI files does not matter
        errors += index.unreadable
    if index.foreign:
        named = ", ".join(str(source.path) for source in index.foreign)
        errors.append(
            DataError(
                f"{named}: is in a folder of sub-{index.label}, but named after another "
                "participant, so it is not used. Move the file."
            )
        )
    spaces = sorted({f.entities.get("space", "none") for f in index.statistical_maps})
    if index.statistical_maps and (space or "none") not in spaces:
        message = (
            f"has maps only in space {', '.join(spaces)}, but the study is measured in "
            f"{spoken(space)}."
        )
        errors = [InputMissingError(message)]
    elif not index.statistical_maps:
        errors = [InputMissingError("no statistical maps on surfaces were found.")]
    elif not errors and not is_measured:
        errors.append(InputMissingError("no map could be measured."))
    missing = (
        list(_missing_maps(files, chosen.plan.localizer_task)) if index.statistical_maps else []
    )
    not_found: list[MapKind] = [] if files.retinotopy else ["retinotopy"]
    not_found += [] if all(files.localizers.values()) else ["map"]
    codes = {error.exit_code for error in errors}
    return Outcome(
        label=index.label,
        summary=summary,
        messages=(
            *files.choices,
            *files.messages,
            *messages,
            *in_words_for_one(index),
            *_unlike_hemispheres(files),
        ),
        reasons=(*missing, *reasons),
        errors=tuple(dict.fromkeys(str(error) for error in errors)),
        exit_code=min(codes, default=DONE),
        missing=tuple(not_found),
    )


def _missing_maps(files: ParticipantFiles, localizer_task: str | None) -> Iterator[str]:
    """List contrasts without any map, by task; for the localizer, this is an error."""
    lacking: dict[str, dict[str, None]] = {}
    told = {(localizer_task, name) for name, maps in files.localizers.items() if not maps}
    for contrast in files.contrasts:
        if not contrast.maps and (contrast.task, contrast.contrast) not in told:
            session = f"session {contrast.session}, " if contrast.session else ""
            of_task = lacking.setdefault(f"{session}task {contrast.task}", {})
            of_task[contrast.contrast] = None
    for where, names in lacking.items():
        label = "contrast" if len(names) == 1 else "contrasts"
        yield f"{where}, {label} {listed(list(names))}: no map found (status missing_map)."


def _unlike_hemispheres(files: ParticipantFiles) -> Iterator[str]:
    """Report contrasts whose hemispheres have maps of different runs."""
    named = [(f"localizer contrast {c}", sources) for c, sources in files.localizers.items()]
    named += [(f"task {e.task}, contrast {e.contrast}", e.maps) for e in files.contrasts]
    for what, sources in named:
        if len({source.units for source in sources.values()}) > 1:
            runs = "; ".join(
                f"{hemi}: {', '.join(run or 'no run entity' for _, run in source.units)}"
                for hemi, source in sources.items()
            )
            yield f"{what}: the two hemispheres have maps of different runs ({runs})."


def tell_outcomes(outcomes: Sequence[Outcome], *, is_dry_run: bool = False) -> None:
    """Log a summary: each fact once with its participants, then the verdicts."""
    for level, part in (
        (logging.WARNING, "messages"),
        (logging.WARNING, "reasons"),
        (logging.ERROR, "errors"),
    ):
        said = [(f"sub-{of.label}", text) for of in outcomes for text in getattr(of, part)]
        for message in shared(said):
            LOG.log(level, message)
    failed = [f"sub-{of.label}" for of in outcomes if of.exit_code != DONE]
    to_check = [f"sub-{of.label}" for of in outcomes if of.exit_code == DONE and of.reasons]
    parts = [f"{len(outcomes) - len(failed) - len(to_check)} ready"]
    if to_check:
        parts.append(f"{len(to_check)} to check ({listed(to_check)})")
    if failed:
        word = "not ready" if is_dry_run else "failed"
        parts.append(f"{len(failed)} {word} ({listed(failed)})")
    n_skipped = sum(of.summary == UP_TO_DATE for of in outcomes)
    skipped = f"; {n_skipped} of them {UP_TO_DATE}" if n_skipped else ""
    LOG.info("%s: %s%s.", counted(len(outcomes), "participant"), ", ".join(parts), skipped)
