"""What the page of the group shows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bids_secondlevel.core.hemispheres import BOTH, main_rows, rows_in_words
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.results import GroupResults
from bids_secondlevel.core.rows import CELL, MISSING, Column, Schema
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.core.words import counted, in_words
from bids_secondlevel.reports.charts.estimates import draw_contralateral, draw_group_estimates
from bids_secondlevel.reports.charts.rois import draw_coverage, draw_group_sizes
from bids_secondlevel.reports.methods import group_methods, n_measured, reference_list
from bids_secondlevel.reports.page import Hyperlink, Page, Section, Table, table_of
from bids_secondlevel.reports.participant_page import sweep_section
from bids_secondlevel.reports.sentences import LEGEND, family_notes, sentences_of
from bids_secondlevel.stats.anova import ANOVA_COLUMNS
from bids_secondlevel.stats.comparisons import COMPARISON_COLUMNS
from bids_secondlevel.stats.models.table import MODEL_COLUMNS
from bids_secondlevel.stats.planned import PLANNED_COLUMNS
from bids_secondlevel.stats.readiness import PARTICIPANT_COLUMNS, VERDICTS
from bids_secondlevel.stats.reliability import RELIABILITY_COLUMNS
from bids_secondlevel.stats.tests import STATISTIC_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_FLAGGED = Column(str, "participants whose number has a flag, by flag")
_KEY = "session task contrast roi hemi"
_MOST_SENTENCES = 40
_MORE = "More of them are in logs/results.md."
_TESTED = "n mean ci95_low ci95_high p p_fwe p_holm q_fdr t df bf10 p_equivalence hedges_g cohens_d"


def group_page(results: GroupResults, pages: Mapping[str, str]) -> Page:
    """Put together the page of the group.

    Parameters
    ----------
    pages
        Names of the participants' own pages, beside this one, by participant.
    """
    estimates = results.estimates
    methods = group_methods(results)
    tested = results.statistics["p"].notna().sum()
    where = rows_in_words(main_rows(estimates["hemi"]))
    return Page(
        f"Group{f', {results.analysis}' if results.analysis else ''}: estimates in individual "
        "regions of interest",
        f"{n_measured(estimates)} of {estimates['participant_id'].nunique()} participants have "
        f"estimates of {where}; {counted(len(results.definition.rois), 'ROI')}, "
        f"{counted(tested, 'test')}.",
        [
            *_planned_section(results),
            _left_out_section(estimates, results.exclusions),
            Section(
                "Estimates and tests",
                text=(
                    "One test against 0 for each ROI, hemisphere, task and contrast. Of p_fwe and "
                    "q_fdr, which are corrected for the number of tests, report one. Circular "
                    "estimates are a control analysis: they are shown, and not tested. Numbers "
                    "that have a flag, for a reason not to use them as they are, are hollow "
                    "points, and counted in the column flagged.",
                ),
                charts=draw_group_estimates(estimates, results.statistics, results.groups),
                tables=_statistics_tables(_with_flags(results.statistics, estimates)),
            ),
            Section(
                "Comparisons",
                text=(
                    "Paired tests: the first minus the one in the column versus. Each kind of "
                    "comparison is corrected for its own number of tests. Hemispheres are compared "
                    "without ROIs of which less than 10 % lies in one of them (minor_hemisphere).",
                ),
                notes=[
                    f"{found}, in all participants: not compared with what it is made of."
                    for found in results.dependences
                ],
                charts=draw_contralateral(
                    estimates, results.comparisons, results.quality, results.groups
                ),
                tables=_comparison_tables(results.comparisons),
            ),
            Section(
                "Regions of interest",
                text=results.definition.sentences(),
                charts=[*draw_group_sizes(results.quality), *draw_coverage(estimates)],
            ),
            *_words_section(results),
            *_anova_section(results.anova),
            *_model_section(results),
            *sweep_section(results.sweep, results.definition),
            *_reliability_section(results.reliability),
            _participants_section(results.participants, pages),
            Section(
                "Settings",
                text=("As given, in logs/group_settings.toml.",),
                code=results.settings,
            ),
            Section("Methods", text=(*methods.paragraphs, *reference_list(methods.cited))),
        ],
    )


def _planned_section(results: GroupResults) -> list[Section]:
    """Show what was planned, first of all."""
    planned = results.planned
    if planned.empty:
        return []
    table = planned.assign(excluded=planned["excluded"].map(_count_reasons))
    columns = f"name group versus n_group n_versus {_TESTED} bf10 detectable_d excluded note"
    shown = table_of("Planned contrasts", table, PLANNED_COLUMNS, columns)
    n_all = int((planned["group"] == EVERYBODY).sum())
    text = (
        f"{counted(n_all, 'contrast')} of the config, each one number per participant: the sum of "
        "its weights times the estimates. They are corrected together, for their own number.",
    )
    return [Section("Planned contrasts", text=text, tables=(shown,))]


def _words_section(results: GroupResults) -> list[Section]:
    """Say tests in sentences, as papers have them."""
    said = sentences_of(results)
    if not said:
        return []
    lines = [f"{heading}: {line}" for heading, of in said.items() for line in of[:_MOST_SENTENCES]]
    more = [] if all(len(of) <= _MOST_SENTENCES for of in said.values()) else [_MORE]
    text = (LEGEND, *family_notes(results), *lines, *more)
    return [Section("In words", text=text)]


def _anova_section(anova: "pd.DataFrame") -> list[Section]:
    if anova.empty:
        return []
    columns = f"{_KEY} term n f df df_residual p epsilon_gg p_gg partial_eta2 generalized_eta2"
    table = table_of(
        "Analysis of variance",
        anova.assign(excluded=anova["excluded"].map(_count_reasons)),
        ANOVA_COLUMNS,
        f"{columns} excluded note",
    )
    text = (
        "Repeated-measures analysis of variance of participants with all numbers (type III). p_gg "
        "is corrected for a lack of sphericity after Greenhouse and Geisser.",
    )
    return [Section("Analysis of variance", text=text, tables=(table,))]


def _left_out_section(estimates: "pd.DataFrame", exclusions: Mapping[str, str]) -> Section:
    """Name who is not in the statistics, and why."""
    main = main_rows(estimates["hemi"])  # in one hemisphere, a ROI may well be empty
    where = rows_in_words(main)
    is_main = estimates["hemi"].isin(main)
    single = estimates[~is_main & estimates["estimate"].notna()]
    sides = {who: sorted(set(of["hemi"])) for who, of in single.groupby("participant_id")}
    counts = _statuses(estimates[is_main])
    notes = []
    for participant, statuses in counts.items():
        if statuses["ok"]:
            continue
        ((status, _),) = statuses.most_common(1)
        meaning = exclusions.get(participant) or STATUSES[status]  # type: ignore[index]
        lacks = "contributes nothing"
        if participant in sides:
            hemispheres = ", ".join(sides[participant])
            lacks = f"has no estimate of {where}, only of {hemispheres}"
        notes.append(f"{participant} {lacks}: {status} ({meaning}).")
    some = sum(0 < statuses["ok"] < statuses.total() for statuses in counts.values())
    text = (
        f"{counted(some, 'participant')} {'lacks' if some == 1 else 'lack'} some of the estimates "
        f"of {where}. The table of participants below says why, and the column excluded of "
        "each test names them."
        if some
        else f"Nobody{' else' if notes else ''} lacks an estimate of {where}."
    )
    return Section("Who is left out", text=(text,), notes=notes)


def _statuses(estimates: "pd.DataFrame") -> dict[str, Counter[str]]:
    """Count the statuses of each participant's estimates."""
    counts: dict[str, Counter[str]] = {}
    for participant, status in zip(estimates["participant_id"], estimates["status"], strict=True):
        counts.setdefault(participant, Counter())[status] += 1
    return counts


def _statistics_tables(statistics: "pd.DataFrame") -> list[Table]:
    is_circular = statistics["independence"] == "circular"
    main = main_rows(statistics["hemi"])
    is_main = statistics["hemi"].isin(main)
    where = "both hemispheres pooled" if BOTH in main else rows_in_words(main)
    columns = f"{_KEY} group {_TESTED} flagged excluded note"
    described = f"{_KEY} n mean median sd ci95_low ci95_high flagged excluded"
    return _tables(
        statistics.assign(excluded=statistics["excluded"].map(_count_reasons)),
        {**STATISTIC_COLUMNS, "flagged": _FLAGGED},
        (f"Tests against 0, {where}", ~is_circular & is_main, columns),
        ("Tests against 0 in each hemisphere, not corrected", ~is_circular & ~is_main, columns),
        ("Control analysis: circular estimates, not tested", is_circular, described),
    )


def _with_flags(statistics: "pd.DataFrame", estimates: "pd.DataFrame") -> "pd.DataFrame":
    """Count the numbers of each test that have a flag, by flag."""
    flagged = estimates[estimates["estimate"].notna() & (estimates["flags"] != MISSING)]
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for *cell, flags in flagged[[*CELL, "flags"]].itertuples(index=False):
        counts.setdefault(tuple(cell), Counter()).update(flags.split(";"))
    shown = [
        ", ".join(f"{n} {flag}" for flag, n in counts.get(cell, {}).items()) or MISSING
        for cell in statistics[list(CELL)].itertuples(index=False, name=None)
    ]
    return statistics.assign(flagged=shown)


def _comparison_tables(comparisons: "pd.DataFrame") -> list[Table]:
    is_tested = (comparisons["n"] > 0) & (comparisons["independence"] != "circular")
    kind = comparisons["comparison"]
    columns = f"{_KEY} group versus {_TESTED} excluded note"
    return _tables(
        comparisons.assign(excluded=comparisons["excluded"].map(_count_reasons)),
        COMPARISON_COLUMNS,
        ("Two ROIs, in the same contrast", is_tested & (kind == "roi"), columns),
        ("Two contrasts, in the same ROI", is_tested & (kind == "contrast"), columns),
        ("Left against right hemisphere", is_tested & (kind == "hemi"), columns),
        ("Two sessions, in the same ROI and contrast", is_tested & (kind == "session"), columns),
        ("Two tasks, in contrasts of the same name", is_tested & (kind == "task"), columns),
        ("Two groups of participants (Welch's t)", is_tested & (kind == "group"), columns),
    )


def _tables(
    table: "pd.DataFrame", schema: Schema, *parts: "tuple[str, pd.Series[bool], str]"
) -> list[Table]:
    """Show parts of a table that have rows, each with its caption and columns."""
    return [
        table_of(caption, table[is_in], schema, columns)
        for caption, is_in, columns in parts
        if is_in.any()
    ]


def _count_reasons(excluded: str) -> str:
    """Count the participants that are left out by reason; the tables beside the page name them.

    Examples
    --------
    >>> _count_reasons("sub-01:empty_roi; sub-02:excluded (moved); sub-03:empty_roi")
    '2 empty_roi, 1 excluded'
    """
    if excluded == MISSING:
        return MISSING
    counts = Counter(part.partition(":")[2].partition(" ")[0] for part in excluded.split("; "))
    return ", ".join(f"{n} {reason}" for reason, n in counts.items())


def _model_section(results: GroupResults) -> list[Section]:
    """Show terms first, then coefficients; notes once for each fit."""
    if results.model is None:
        return []
    fitted = results.model.fits
    with_note = fitted[fitted["note"] != MISSING]
    notes = dict.fromkeys(
        f"{' '.join(v for v in where if v != MISSING)}: {note}"
        for *where, note in with_note[["task", "contrast", "roi", "note"]].itertuples(index=False)
    )
    quantity, where = fitted["quantity"], "node subset session task contrast roi hemi"
    counts = "n_rows n_participants"
    estimated = "name coefficient ci95_low ci95_high p se test value df_residual"
    tables = _tables(
        fitted,
        MODEL_COLUMNS,
        (
            "Terms",
            quantity == "omnibus",
            f"{where} term p test value df df_residual {counts}",
        ),
        (
            "Coefficients and contrasts",
            quantity.isin(("coefficient", "contrast")),
            f"{where} {estimated} {counts}",
        ),
        ("Variances", quantity == "variance", f"{where} name coefficient {counts}"),
    )
    text = (f"{results.model.given}; see group_model.tsv and logs/group_model.txt.",)
    return [Section("Model", text=text, notes=tuple(notes), tables=tables)]


def _reliability_section(reliability: "pd.DataFrame") -> list[Section]:
    if reliability.empty:
        return []
    columns = f"{_KEY} over method value ci95_low ci95_high n k independence excluded note"
    caption = "Reliability across participants"
    text = (
        "ICC(2,1) is that of a single session or run; the split half, stepped up by Spearman and "
        "Brown, is that of all runs together.",
    )
    table = table_of(caption, reliability, RELIABILITY_COLUMNS, columns)
    return [Section("Reliability", text=text, tables=(table,))]


def _participants_section(participants: "pd.DataFrame", pages: Mapping[str, str]) -> Section:
    counts = Counter(participants["verdict"])
    shown = table_of(
        "Readiness of each participant",
        participants,
        PARTICIPANT_COLUMNS,
        "participant_id verdict reasons retinotopy_source rois lowest_coverage runs",
    )
    rows = [
        [Hyperlink(str(who), pages[str(who)]) if who in pages else who, *cells]
        for who, *cells in shown.rows
    ]
    text = (
        f"{in_words([f'{counts[verdict]} {verdict}' for verdict in VERDICTS if counts[verdict]])}. "
        "Each name leads to the participant's own page, if there is one.",
    )
    return Section("Participants", text=text, tables=(replace(shown, rows=rows),))
