"""The group level: read the participants' tables, complete the grid, test, write.

Surface maps are never read here.
"""

import gc
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pandas as pd

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    DataError,
    InputMissingError,
    NothingSelectedError,
    OutputError,
)
from bids_secondlevel.core.results import FittedModel, GroupResults
from bids_secondlevel.core.roi_rule import RoiRule
from bids_secondlevel.core.rows import MISSING, frame_of
from bids_secondlevel.core.settings import Settings, is_stats_model, settings_text
from bids_secondlevel.core.values import Status
from bids_secondlevel.inputs.datasets import (
    check_bids_dir,
    check_output_dir,
)
from bids_secondlevel.inputs.participants import read_participants, read_stats_model
from bids_secondlevel.outputs.dataset import write_dataset_files, write_methods
from bids_secondlevel.outputs.files import remove_files
from bids_secondlevel.outputs.gather import (
    Table,
    check_labels,
    common_definition,
    complete_grid,
    merge_rows,
    read_sweeps,
    read_tables,
    screen,
    wanted,
)
from bids_secondlevel.outputs.group_participants import choose_participants
from bids_secondlevel.outputs.names import GroupFolder
from bids_secondlevel.outputs.results import write_group, write_model, write_page
from bids_secondlevel.outputs.run_tables import read_runs
from bids_secondlevel.reports.group_page import group_page
from bids_secondlevel.reports.methods import group_methods
from bids_secondlevel.reports.page import render
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import QualityRow
from bids_secondlevel.rois.sweep import SweepRow
from bids_secondlevel.stats.comparisons import ComparisonRow, paired_tests
from bids_secondlevel.stats.models.by_formula import check_formula, fit_formula
from bids_secondlevel.stats.models.by_specification import fit_stats_model
from bids_secondlevel.stats.models.specification import StatsModel, check_stats_model
from bids_secondlevel.stats.models.table import ModelResults, summarize_models
from bids_secondlevel.stats.reliability import ReliabilityRow, reliability
from bids_secondlevel.stats.tests import StatisticRow, one_sample_tests, with_reasons

LOG = logging.getLogger("bids_secondlevel")


def run(settings: Settings) -> int:
    """Put all participants into one table, and test across them.

    Returns
    -------
    int
        Exit code: 0, or 1 if a table could not be used or a participant asked for by name has
        none.

    Raises
    ------
    SecondLevelError
        If there is nothing to test, or tables contradict each other.
    """
    description = check_bids_dir(settings)
    check_output_dir(settings)
    if settings.model is not None:
        check_model(settings.model, settings)
    participants = choose_participants(settings)
    with _without_garbage_collection():
        tables, unreadable = read_tables(participants.used)
        definition = common_definition(list(chain.from_iterable(tables.values())))
        _tell_definition(settings, definition)
        _tell_sources(tables)
        unread: dict[str, Status] = dict.fromkeys(unreadable, "unreadable_table")
        results = analyse(
            tables, definition, participants.used, {**participants.absent, **unread}, settings
        )
    is_complete = True
    if settings.dry_run:
        paths = (table.path for of_label in tables.values() for table in of_label)
        print("\n".join(f"would read {path}" for path in paths))
        if settings.model is not None:
            for message in fit_model(settings.model, results.estimates, settings).messages:
                LOG.warning("--model: %s", message)
    else:
        folder = GroupFolder(settings.output_dir)
        write_group(results, folder)
        write_dataset_files(settings.output_dir, (), settings.bids_dir, description)
        _tell_result(results, settings)
        try:
            results = _fit_and_write(results, settings, folder)
        finally:
            is_complete = _report(results, settings, folder)
    if results.estimates["estimate"].isna().all():
        raise InputMissingError(
            "No participant has a single estimate; the statuses in group_estimates.tsv say why."
        )
    is_missing = settings.participant_label and "missing_participant" in (
        participants.absent.values()
    )
    failed = unreadable or participants.unknown or is_missing or not is_complete
    return SOME_PARTICIPANT_FAILED if failed else DONE


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Spare Python's search for cycles, of which there are none in hundreds of thousands of rows.

    It takes a tenth of the time of a large group.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def analyse(
    tables: Mapping[str, Sequence[Table]],
    definition: Definition,
    paths: Mapping[str, Sequence[Path]],
    absent: Mapping[str, Status],
    settings: Settings,
) -> GroupResults:
    """Join the participants' tables, complete the grid, and test.

    Parameters
    ----------
    tables : mapping of str to sequence of Table
        Of each participant, by label.
    paths : mapping of str to sequence of Path
        Where they were read from.
    absent : mapping of str to Status
        Participants without tables, and why.
    settings : Settings

    Raises
    ------
    NothingSelectedError
        If there is no estimate that the settings ask for.
    """
    check_labels(tables, settings)
    measured = {label: merge_rows(of_label, settings) for label, of_label in tables.items()}
    rows = screen(complete_grid(measured, absent), settings)
    if not rows:
        raise NothingSelectedError(
            "No estimates left: the tables hold none of the sessions, tasks, contrasts, ROIs or "
            "space asked for."
        )
    reasons = _reasons(settings)
    runs = read_runs({label: paths[label] for label in tables}, rows)
    quality = [row for of_label in tables.values() for table in of_label for row in table.quality]
    reliable = [
        replace(row, excluded=with_reasons(row.excluded, reasons))
        for row in reliability(rows, runs)
    ]
    return GroupResults(
        definition=definition,
        exclusions=reasons,
        min_vertices=settings.rule.min_vertices,
        min_coverage=settings.min_coverage,
        n_permutations=settings.n_permutations,
        settings=settings_text(settings),
        estimates=frame_of(rows, EstimateRow),
        statistics=frame_of(one_sample_tests(rows, settings.n_permutations, reasons), StatisticRow),
        comparisons=frame_of(paired_tests(rows, settings.n_permutations, reasons), ComparisonRow),
        quality=frame_of(list(dict.fromkeys(wanted(quality, settings))), QualityRow),
        reliability=frame_of(reliable, ReliabilityRow),
        sweep=frame_of(read_sweeps(tables, settings), SweepRow),
    )


def _fit_and_write(results: GroupResults, settings: Settings, folder: GroupFolder) -> GroupResults:
    """Fit the model that was asked for, if one was."""
    if settings.model is None:
        return results
    model = fit_model(settings.model, results.estimates, settings)
    summary = summarize_models(model)
    fitted = FittedModel(given=settings.model, fits=model.table, summary=summary)
    write_model(fitted, results, folder)
    _tell_model(model, settings)
    return replace(results, model=fitted)


def _report(results: GroupResults, settings: Settings, folder: GroupFolder) -> bool:
    """Write the page, last of all; whatever fails here costs no number. Tell whether it did."""
    try:
        remove_files(folder.pages())
        text = group_methods(results)
        write_methods(text.markdown(), text.bibtex(), settings.output_dir)
        if settings.report:
            write_group_page(results, folder)
    except OutputError:
        raise
    except Exception as error:
        LOG.error("The numbers are written, the page is not (%s: %s).", type(error).__name__, error)
        LOG.debug("", exc_info=True)
        return False
    return True


def write_group_page(results: GroupResults, folder: GroupFolder) -> None:
    """Write the page about the group, and its charts as files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    page = group_page(results, folder.pages_of(results.estimates["participant_id"]))
    write_page(render(page), page.charts, folder)


def check_model(model: str, settings: Settings) -> None:
    """Check a model as far as that can be done before anything is read and written.

    Raises
    ------
    SecondLevelError
        If it cannot be read, or names a column that is not there.
    """
    if is_stats_model(model):
        _specified(model)
    else:
        check_formula(model, read_participants(settings.bids_dir))


def fit_model(model: str, estimates: pd.DataFrame, settings: Settings) -> ModelResults:
    """Fit a formula, or the BIDS Stats Model of a file whose name ends in ``.json``.

    Raises
    ------
    SecondLevelError
        If the model cannot be read, or does not fit what there is.
    """
    participants = read_participants(settings.bids_dir)
    if is_stats_model(model):
        results = fit_stats_model(_specified(model), estimates, participants)
    else:
        results = fit_formula(model, estimates, participants)
    reasons = _reasons(settings)
    excluded = [with_reasons(text, reasons) or MISSING for text in results.table["excluded"]]
    return replace(results, table=results.table.assign(excluded=excluded))


def _specified(model: str) -> StatsModel:
    """Read and check the BIDS Stats Model of a file."""
    path = Path(model)
    return check_stats_model(read_stats_model(path), str(path))


def _reasons(settings: Settings) -> dict[str, str]:
    return {f"sub-{label}": reason for label, reason in settings.exclusions.items()}


def _tell_model(model: ModelResults, settings: Settings) -> None:
    for message in model.messages:
        LOG.warning("--model: %s", message)
    LOG.info("--model: see %s", settings.output_dir / "logs" / "group_model.txt")
    if (model.table["quantity"] == MISSING).all():
        raise DataError(
            f"--model {settings.model}: could not be fitted anywhere; "
            f"{settings.output_dir / 'group_model.tsv'} says why, in the column note."
        )


def _tell_definition(settings: Settings, definition: Definition) -> None:
    """Say it where options would have defined other ROIs than there are."""
    rule = replace(settings.rule, min_vertices=RoiRule().min_vertices)  # which holds here too
    asked = rule.to_sidecar().items()
    there = [roi.to_sidecar(()).items() for roi in definition.rois]
    if rule != RoiRule() and not any(asked <= of_roi for of_roi in there):
        LOG.warning(
            "Options that define ROIs have no effect at group level, and differ from those the "
            "participants' tables were made with."
        )


def _tell_sources(tables: Mapping[str, Sequence[Table]]) -> None:
    """Say it where participants have retinotopy from different sources."""
    by_source: dict[str, list[str]] = {}
    for label, of_label in tables.items():
        for source in {source for table in of_label for source in table.definition.sources}:
            by_source.setdefault(source, []).append(f"sub-{label}")
    if len(by_source) > 1:
        shown = "; ".join(f"{source}: {', '.join(by_source[source])}" for source in by_source)
        LOG.warning(
            "Retinotopy from different sources (%s). --retinotopy-source makes it the same.", shown
        )


def _tell_result(results: GroupResults, settings: Settings) -> None:
    """Sum up in a line or two what there is, and what is not."""
    rows, tests = results.estimates, results.statistics
    counts = Counter(rows["status"])
    gaps = ", ".join(f"{n} {status}" for status, n in counts.items() if status != "ok")
    LOG.info(
        "%d participants; %d of %d estimates have a number%s.",
        rows["participant_id"].nunique(),
        counts["ok"],
        len(rows),
        f" ({gaps})" if gaps else "",
    )
    statuses = rows.groupby("participant_id", sort=False)["status"].agg(set)
    for participant, of_participant in statuses.items():
        if "ok" not in of_participant:
            why = ", ".join(sorted(of_participant))
            LOG.warning("%s contributes nothing: %s.", participant, why)
    some = [
        f"{participant} ({', '.join(sorted(of_participant - {'ok', 'empty_roi'}))})"
        for participant, of_participant in statuses.items()
        if "ok" in of_participant and of_participant - {"ok", "empty_roi"}
    ]
    if some:
        LOG.warning(
            "Without some of their estimates: %s%s.",
            ", ".join(some[:20]),
            f" and {len(some) - 20} more" if len(some) > 20 else "",
        )
    LOG.info(
        "%d cells, %d tested (%d circular and so not tested): see %s",
        len(tests),
        tests["p"].notna().sum(),
        (tests["independence"] == "circular").sum(),
        settings.output_dir / "group_statistics.tsv",
    )
