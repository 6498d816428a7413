"""The group level: gather the participants' tables, test, compare, model, write.

:func:`analyse` is the whole analysis of the group. Maps are read for those of the group only, in
:mod:`~bids_secondlevel.group_maps.analysis`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import (
    DONE,
    SOME_PARTICIPANT_FAILED,
    DataError,
    InputMissingError,
    OutputError,
    UsageError,
)
from bids_secondlevel.core.group_maps import GroupMaps
from bids_secondlevel.core.hemispheres import HEMISPHERES, main_rows
from bids_secondlevel.core.results import FittedModel, GroupResults
from bids_secondlevel.core.rows import stacked
from bids_secondlevel.core.settings import Settings, is_stats_model, settings_text
from bids_secondlevel.core.values import NEVER_NEGATIVE, ParticipantsTable, Status
from bids_secondlevel.core.wording import FigureFormat
from bids_secondlevel.group_maps.analysis import ParticipantJobs, map_group
from bids_secondlevel.inputs.datasets import check_bids_dir, check_output_dir
from bids_secondlevel.inputs.participants import read_participants, read_stats_model
from bids_secondlevel.maps.display import template_display_surface
from bids_secondlevel.outputs.dataset import write_dataset_files, write_methods
from bids_secondlevel.outputs.files import remove_files, write_files
from bids_secondlevel.outputs.group_outcome import (
    tell_definitions,
    tell_labels,
    tell_model,
    tell_participants,
    tell_replaced,
    tell_results,
    tell_unequal,
)
from bids_secondlevel.outputs.group_participants import choose_participants
from bids_secondlevel.outputs.group_results import write_group, write_map_tables, write_model
from bids_secondlevel.outputs.names import GroupFolder, find_estimates
from bids_secondlevel.outputs.participant_tables import (
    ParticipantTables,
    read_profiles,
    read_runs,
    read_sweeps,
    read_tables,
    read_visual_fields,
)
from bids_secondlevel.outputs.results import links_to, write_page
from bids_secondlevel.reports.charts.style import MOST_NAMED
from bids_secondlevel.reports.cortex.group import draw_group_maps
from bids_secondlevel.reports.explore.group_explorer import group_explorer_page
from bids_secondlevel.reports.group_page import group_page
from bids_secondlevel.reports.methods import group_methods
from bids_secondlevel.reports.page import render
from bids_secondlevel.reports.readable import readable
from bids_secondlevel.reports.sentences import (
    as_markdown,
    family_notes,
    legend,
    sentences_of,
)
from bids_secondlevel.stats.anova import analyses_of_variance
from bids_secondlevel.stats.combined_bins import (
    over_contrasts,
    weights_in_words,
    with_combined,
    with_means,
)
from bids_secondlevel.stats.comparisons import paired_tests
from bids_secondlevel.stats.dependence import dependent_contrasts
from bids_secondlevel.stats.gather import common_definition, gather, select
from bids_secondlevel.stats.groups import Groups, groups_of
from bids_secondlevel.stats.models.by_formula import check_formula, fit_formula
from bids_secondlevel.stats.models.by_specification import fit_stats_model
from bids_secondlevel.stats.models.specification import StatsModel, check_stats_model
from bids_secondlevel.stats.models.table import ModelResults, summarize_models
from bids_secondlevel.stats.planned import as_estimates, planned_estimates, planned_tests
from bids_secondlevel.stats.readiness import participants_table
from bids_secondlevel.stats.reliability import reliability
from bids_secondlevel.stats.testing.one_sample import one_sample_tests, with_reasons
from bids_secondlevel.stats.vertices import MAP_COLUMNS
from bids_secondlevel.stats.visual_field import (
    field_tests,
    gather_bins,
    select_bins,
    spread_bins,
)

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger("bids_secondlevel")

_NOTHING_TO_TURN = (
    "--explore: there is no page of the group to turn without --group-maps, whose maps it shows."
)


def analyse(
    tables: ParticipantTables,
    definition: Definition,
    gaps: Mapping[str, Status],
    about: ParticipantsTable,
    settings: Settings,
) -> GroupResults:
    """Combine all participants in one table, and test across them.

    Parameters
    ----------
    definition
        How the ROIs of all participants were defined.
    gaps
        Participants without tables, by label, and why.
    about
        Content of ``participants.tsv``.
    """
    # The same rows for all: an estimate, or why it is missing.
    everyone: dict[str, Status] = {**dict.fromkeys(tables.files, "missing_map"), **gaps}
    paths = tuple(tables.definitions)
    estimates = gather(tables.estimates, paths, everyone, settings)

    # Each cell against 0; ROIs, contrasts and hemispheres against each other.
    inference, groups = settings.inference, _groups(settings, about, estimates)
    statistics = one_sample_tests(estimates, inference, groups)
    testable = estimates[estimates["independence"] != "circular"]
    dependences = [of for of in dependent_contrasts(testable) if not of.is_balanced]
    comparisons = paired_tests(estimates, inference, dependences, groups)

    # Planned contrasts, then analyses of variance.
    anything = replace(settings, task_label=(), contrasts=(), roi_contrasts=())
    whole = gather(tables.estimates, paths, everyone, anything) if settings.planned else estimates
    of_planned = planned_estimates(settings.planned, whole)
    planned = planned_tests(settings.planned, whole, inference, groups)
    anova = analyses_of_variance(estimates, settings.anova or (), groups)

    # The agreement of estimates over sessions, or over runs.
    agreement = reliability(estimates, read_runs(tables.files, estimates))

    # Responses by position in the visual field.
    over = over_contrasts(settings.planned)
    fields = read_visual_fields(tables.files, anything if over else settings)
    try:
        of_all = gather_bins(map(spread_bins, fields))
    except DataError as error:
        LOG.warning(str(error))
        of_all = gather_bins(())
    bins = with_combined(select_bins(of_all, settings), of_all, over)
    weights = {of.name: weights_in_words(of) for of in over}
    in_field = field_tests(bins, everyone, inference, groups, weights)

    reasons = _reasons(settings)
    return GroupResults(
        definition=definition,
        exclusions=reasons,
        min_vertices=settings.rule.min_vertices,
        min_coverage=settings.min_coverage,
        analysis=settings.analysis_name,
        inference=inference,
        groups=dict(groups.of) if groups else {},
        settings=settings_text(settings),
        estimates=estimates,
        participants=participants_table(estimates, tables.sources, reasons, about),
        statistics=with_reasons(statistics, reasons),
        dependences=tuple(map(str, dependences)),
        comparisons=with_reasons(comparisons, reasons),
        planned=with_reasons(planned, reasons),
        planned_estimates=of_planned,
        anova=with_reasons(anova, reasons),
        reliability=with_reasons(agreement, reasons),
        quality=select(tables.quality, settings)
        .drop_duplicates(ignore_index=True)
        .assign(dice_with_others=float("nan")),
        sweep=read_sweeps(tables.files, settings),
        visual_field=with_reasons(in_field, reasons),
        maps=stacked((), MAP_COLUMNS),
    )


def _groups(
    settings: Settings, about: ParticipantsTable, estimates: "pd.DataFrame"
) -> Groups | None:
    """Divide participants into the groups that were asked for, if any were."""
    if settings.group_by is None:
        return None
    groups = groups_of(settings.group_by, about, estimates["participant_id"])
    for message in groups.messages:
        LOG.warning(message)
    return groups


def run(settings: Settings, jobs: ParticipantJobs) -> int:
    """Gather the participants' tables, analyse them, write results and page.

    Parameters
    ----------
    jobs
        How the participants were processed, which maps of the group need.

    Returns
    -------
    int
        Exit code: 0, or 1 if a table could not be used or a participant asked for by name has
        none.

    Raises
    ------
    SecondLevelError
        If there are no estimates to test, or tables contradict each other.
    """
    description = check_bids_dir(settings)
    check_output_dir(settings)
    if settings.model is not None:
        check_model(settings.model, settings)
    participants = choose_participants(settings)
    tables = read_tables(participants.used)
    definition = replace(common_definition(tables.definitions), wording=settings.wording)
    tell_definitions(definition, settings)
    unreadable: dict[str, Status] = dict.fromkeys(tables.unreadable, "unreadable_table")
    gaps = {**participants.absent, **unreadable}
    name = description.get("Name")
    results = replace(
        analyse(tables, definition, gaps, participants.about, settings),
        study=name if isinstance(name, str) and name.strip() else None,
    )
    maps: GroupMaps | None = None
    is_complete = True
    folder = GroupFolder(settings.output_dir, settings.analysis_name)
    tell_labels(tables.estimates, participants.about, definition)
    tell_unequal(select(tables.estimates, settings))
    tell_replaced(results, folder)
    if settings.dry_run:
        print("\n".join(f"would read {path}" for path in tables.definitions))
        if settings.group_maps is not None:
            LOG.info("--group-maps: a dry run does not look at maps.")
        if settings.model is not None:
            for message in fit_model(settings.model, results, settings).messages:
                LOG.warning("--model: %s", message)
    else:
        write_group(results, folder)
        write_dataset_files(settings.output_dir, (), settings.bids_dir, description)
        tell_results(results, folder)
        try:
            results = _fit_and_write(results, settings, folder)
            people = dict.fromkeys(tables.files, None) | gaps
            results, maps = _map_and_write(results, people, settings, jobs, folder)
        finally:
            is_complete = _report(results, maps, settings, folder)
    tell_participants(results)
    if results.estimates["estimate"].isna().all():
        raise InputMissingError(
            "All estimates of all participants are missing. The reasons are in the column status "
            "of group_estimates.tsv."
        )
    is_missing = settings.participant_label and "missing_participant" in (
        participants.absent.values()
    )
    failed = tables.unreadable or participants.unknown or is_missing or not is_complete
    return SOME_PARTICIPANT_FAILED if failed else DONE


def _fit_and_write(results: GroupResults, settings: Settings, folder: GroupFolder) -> GroupResults:
    """Fit the model that was asked for, if one was."""
    if settings.model is None:
        return results
    model = fit_model(settings.model, results, settings)
    summary = summarize_models(model)
    fitted = FittedModel(given=settings.model, fits=model.table, summary=summary)
    write_model(fitted, results, folder)
    tell_model(model, settings.model, folder)
    return replace(results, model=fitted)


def _map_and_write(
    results: GroupResults,
    people: Mapping[str, Status | None],
    settings: Settings,
    jobs: ParticipantJobs,
    folder: GroupFolder,
) -> tuple[GroupResults, GroupMaps | None]:
    """Test the maps at every vertex of a common surface, if that was asked for.

    Parameters
    ----------
    people
        By label, why a participant has no table, or ``None``.
    """
    if settings.group_maps is None:
        if settings.explore:
            LOG.warning(_NOTHING_TO_TURN)
        return results, None
    statistic = results.definition.statistic
    if statistic in NEVER_NEGATIVE:
        raise UsageError(
            f"--group-maps: maps of {statistic} are never negative, so their mean is not tested "
            "against 0. Leave it out, or measure effects."
        )
    if settings.model is not None:
        LOG.info("--model is fitted to the estimates in ROIs only, not to the maps.")
    column, of = settings.group_by, results.groups
    found = map_group(
        people,
        settings,
        jobs,
        folder,
        groups=None if column is None else Groups(column=column, of=of),
        localizer_task=results.definition.localizer_task,
    )
    without = results.quality.drop(columns="dice_with_others")
    quality = without.merge(found.agreement, how="left", on=["participant_id", "roi", "hemi"])
    results = replace(results, maps=with_reasons(found.table, _reasons(settings)), quality=quality)
    write_map_tables(results, folder)
    return results, found.drawn


def _report(
    results: GroupResults, maps: GroupMaps | None, settings: Settings, folder: GroupFolder
) -> bool:
    """Write the page last: errors here affect no results. Return whether it failed."""
    try:
        remove_files(folder.pages())
        said = readable(results)
        text = group_methods(said)
        write_methods(text.markdown(), text.bibtex(), folder.logs)
        how = [legend(said.definition.wording.units), *family_notes(said)]
        words = as_markdown(sentences_of(said), how)
        write_files({folder.words: words.encode()})
        if settings.report:
            portrait, explorer = (None, None) if maps is None else _draw(maps, results, settings)
            drawn = {folder.portrait: portrait, folder.explorer: explorer}
            write_files({path: content for path, content in drawn.items() if content is not None})
            name = None if explorer is None else folder.explorer.name
            results = replace(results, portrait=portrait, explorer=name)
            write_group_page(results, folder, settings.figure_format)
    except OutputError:
        raise
    except Exception as error:
        LOG.error("The tables are written, the page is not (%s: %s).", type(error).__name__, error)
        LOG.debug("", exc_info=True)
        return False
    return True


def _draw(
    maps: GroupMaps, results: GroupResults, settings: Settings
) -> tuple[bytes | None, bytes | None]:
    """Draw the maps of the group on the best surface of the template.

    If asked for, also make the page on which it can be turned.
    """
    cortex, surfaces = maps.cortex, {}
    for side in HEMISPHERES:
        try:
            surfaces[side] = template_display_surface(cortex.label, side, cortex.n_vertices)
        except (DataError, InputMissingError) as error:
            LOG.warning("The maps of hemisphere %s are not drawn: %s", side, error)
    definition = results.definition
    title = f"{results.study or 'Group'}, space {cortex.label}"
    of = (maps, surfaces, definition.statistic, definition.wording, title)
    return draw_group_maps(*of), group_explorer_page(*of) if settings.explore else None


def write_group_page(
    results: GroupResults, folder: GroupFolder, formats: Sequence[FigureFormat]
) -> None:
    """Write the page about the group, and its figures as files in some formats.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    people = results.estimates["participant_id"].unique()
    few = people if len(people) <= MOST_NAMED else ()
    thumbnails = {of: path.read_bytes() for of, path in folder.thumbnails_of(few).items()}
    pages, profiles = folder.pages_of(people), _profiles(results, folder)
    page = group_page(results, pages, profiles, thumbnails)
    figures = page.figures(formats)
    write_page(render(page, links_to(figures, folder)), figures, folder)


def _profiles(results: GroupResults, folder: GroupFolder) -> "pd.DataFrame":
    """Read the profiles of participants, if there are few enough to be distinguished."""
    used = results.estimates.loc[results.estimates["status"] != "excluded", "participant_id"]
    people = {} if used.nunique() > MOST_NAMED else find_estimates(folder.output_dir)
    shown = {label: paths for label, paths in people.items() if f"sub-{label}" in set(used)}
    return with_means(read_profiles(shown, results.visual_field))


def check_model(model: str, settings: Settings) -> None:
    """Check a model as far as that can be done before anything is read and written.

    Raises
    ------
    SecondLevelError
        If it cannot be read, or has a column that does not exist.
    """
    if is_stats_model(model):
        _specified(model)
    else:
        check_formula(
            model, read_participants(settings.bids_dir), has_planned=bool(settings.planned)
        )


def fit_model(model: str, group: GroupResults, settings: Settings) -> ModelResults:
    """Fit a formula, or the BIDS Stats Model of a file whose name ends in ``.json``.

    Raises
    ------
    SecondLevelError
        If the model cannot be read, or does not fit the data.
    """
    participants = read_participants(settings.bids_dir)
    if is_stats_model(model):
        results = fit_stats_model(_specified(model), group.estimates, participants)
    else:
        hemi = main_rows(group.estimates["hemi"].unique())[0]
        numbers = as_estimates(group.planned_estimates, hemi)
        results = fit_formula(model, group.estimates, participants, numbers)
    return replace(results, table=with_reasons(results.table, _reasons(settings)))


def _specified(model: str) -> StatsModel:
    """Read and check the BIDS Stats Model of a file."""
    path = Path(model)
    return check_stats_model(read_stats_model(path), str(path))


def _reasons(settings: Settings) -> dict[str, str]:
    return {f"sub-{label}": reason for label, reason in settings.exclusions.items()}
