"""What the page of the group shows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from bids_secondlevel import __version__
from bids_secondlevel.core.hemispheres import BOTH, main_rows, rows_in_words
from bids_secondlevel.core.inference import is_mean_of_sessions, sessions_in_mean
from bids_secondlevel.core.results import GroupResults
from bids_secondlevel.core.rows import CELL, MISSING, Column, Schema
from bids_secondlevel.core.settings import as_command
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.core.words import counted, in_words, listed, of_units
from bids_secondlevel.reports.charts.group_estimates import (
    draw_contralateral,
    draw_group_estimates,
    draw_planned,
)
from bids_secondlevel.reports.charts.rois import draw_coverage, draw_group_sizes
from bids_secondlevel.reports.charts.style import Appearance, Chart, clean
from bids_secondlevel.reports.field_section import group_field_section
from bids_secondlevel.reports.methods import group_methods, n_measured, reference_list
from bids_secondlevel.reports.page import Badge, Download, Hyperlink, Page, Section, Table, table_of
from bids_secondlevel.reports.participant_page import sweep_section
from bids_secondlevel.reports.readable import named, readable
from bids_secondlevel.reports.sentences import (
    GROUPS_SAID,
    PLANNED_SAID,
    TESTS_SAID,
    as_markdown,
    family_note,
    family_notes,
    legend,
    sentences_of,
)
from bids_secondlevel.stats.anova import ANOVA_COLUMNS
from bids_secondlevel.stats.comparisons import COMPARISON_COLUMNS
from bids_secondlevel.stats.models.table import MODEL_COLUMNS
from bids_secondlevel.stats.planned import PLANNED_COLUMNS
from bids_secondlevel.stats.readiness import PARTICIPANT_COLUMNS
from bids_secondlevel.stats.reliability import RELIABILITY_COLUMNS
from bids_secondlevel.stats.roi_shares import GROUP_QUALITY_COLUMNS
from bids_secondlevel.stats.testing.one_sample import STATISTIC_COLUMNS
from bids_secondlevel.stats.vertices import MAP_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_FLAGGED = Column(str, "number of participants with a flag, by flag")
_KEY = "session task contrast roi hemi"
_MEANS = (
    "Rows with session mean(...) test the mean over these sessions, of participants with estimates "
    "in all of them. They are corrected separately."
)
_MOST_SENTENCES = 40
_OF_MAPS = (
    "session task contrast group versus p_peak p_region peak_t region_t n n_tested n_significant "
    "n_region n_region_significant peak_hemi peak_vertex region_hemi region_vertex n_permutations "
    "excluded"
)
_MOST_NOTES = 10  # about participants to check
_FLAGS = "The column flagged counts estimates with a flag, which is a warning."
_MORE = "More of them are in logs/results.md."
_TESTED = "n mean ci95_low ci95_high p p_fwe p_holm q_fdr t df bf10 p_equivalence hedges_g cohens_d"


def group_page(
    results: GroupResults,
    pages: Mapping[str, str],
    profiles: "pd.DataFrame",
    thumbnails: Mapping[str, bytes] = MappingProxyType({}),
) -> Page:
    """Put together the page of the group.

    Parameters
    ----------
    pages
        Names of the participants' own pages, beside this one, by participant.
    profiles
        Of each participant over the visual field; no rows if there are too many to be shown.
    thumbnails
        Small pictures of the ROIs (PNG), by participant.
    """
    results = readable(results)
    estimates, wording = results.estimates, results.definition.wording
    methods = group_methods(results)
    tested = results.statistics["p"].notna().sum()
    where = rows_in_words(main_rows(estimates["hemi"].unique()))
    look = Appearance.of(results.definition, results.groups)
    said = sentences_of(results)
    tests, control = _tests_sections(results, look, said)
    name = clean(results.study or "Group")
    return Page(
        f"{name}, {results.analysis}" if results.analysis else name,
        "Estimates in individual regions of interest: "
        f"{n_measured(estimates)} of {estimates['participant_id'].nunique()} participants have "
        f"estimates of {where}; {counted(len(results.definition.rois), 'ROI')}, "
        f"{counted(tested, 'test')}.",
        [
            _verdicts_section(results, pages, thumbnails),
            *_planned_section(results, look, said),
            *tests,
            *_comparisons_section(results, look, said),
            Section(
                "Regions of interest",
                text=results.definition.sentences(),
                charts=[
                    *draw_group_sizes(results.quality, look),
                    *draw_coverage(estimates, look),
                ],
            ),
            *group_field_section(results, named(profiles, wording)),
            *_maps_section(results),
            *_anova_section(results.anova),
            *_model_section(results),
            *sweep_section(results.sweep, results.definition, look),
            *_reliability_section(results.reliability),
            *control,
            _participants_section(results.participants, pages),
            Section(
                "Settings",
                text=("These settings are also in logs/group_settings.toml.",),
                code=results.settings,
            ),
            Section(
                "Methods",
                text=(*methods.paragraphs, *reference_list(methods.cited)),
                downloads=(
                    Download("methods.md", methods.markdown()),
                    Download("references.bib", methods.bibtex()),
                ),
            ),
        ],
        about=f"Made by bids_secondlevel {__version__}.",
        command=as_command(results.settings),
    )


def _planned_section(
    results: GroupResults, look: Appearance, said: Mapping[str, list[str]]
) -> list[Section]:
    """Show what was planned, first of all."""
    planned = results.planned
    if planned.empty:
        return []
    columns = f"name group versus n_group n_versus {_TESTED} bf10 detectable_d excluded note"
    shown = table_of("Planned contrasts", planned, PLANNED_COLUMNS, columns)
    text = (
        "A planned contrast ([[planned]] in the config file) is a weighted sum of the estimates of "
        "each participant.",
        *family_note(planned, "planned contrasts"),
    )
    charts = draw_planned(results.planned_estimates, planned, look)
    return [
        replace(
            _in_words(results, said, PLANNED_SAID),
            title="Planned contrasts",
            text=text,
            charts=charts,
            tables=(shown,),
        )
    ]


def _in_words(results: GroupResults, said: Mapping[str, list[str]], heading: str) -> Section:
    """Begin a section with sentences; how to read them, and all of them to save, are in the first.

    They are as papers have them.
    """
    lines = said.get(heading, [])
    shown = [*lines[:_MOST_SENTENCES], *([_MORE] if len(lines) > _MOST_SENTENCES else [])]
    if not lines or heading != next(iter(said)):
        return Section("", sentences=shown)
    how = legend(results.definition.wording.units)
    text = as_markdown(said, [how, *family_notes(results)])
    return Section("", sentences=shown, how=how, downloads=(Download("results.md", text),))


_EXPLORE = "Turn the cortex, and see the values of each vertex"


def _maps_section(results: GroupResults) -> list[Section]:
    """Show what was found at the vertices of a common surface, and how ROIs agree there."""
    maps, quality = results.maps, results.quality
    if maps.empty:
        return []
    charts = []
    if results.portrait is not None:
        alt = f"Maps of the group around the visual areas, of {counted(len(maps), 'test')}."
        charts.append(
            Chart(
                name="",
                svg=results.portrait,
                title="Where ROIs lie, and mean effects",
                caption="The share of participants with a vertex in the retinotopy mask and in "
                "each ROI, and mean effects across participants. The picture explains lines and "
                "colours.",
                alt=alt,
            )
        )
    compared = quality[
        quality["hemi"].isin(main_rows(quality["hemi"])) & quality["dice_with_others"].notna()
    ]
    tables = _tables(
        maps,
        MAP_COLUMNS,
        ("Tests at every vertex", maps["n"] > 0, _OF_MAPS),
    ) + _tables(
        compared,
        GROUP_QUALITY_COLUMNS,
        (
            "Each participant's ROIs and those of the others",
            compared["n_vertices"] >= 0,
            "participant_id roi hemi dice_with_others",
        ),
    )
    text = (
        "Each row tests a contrast at every vertex of a common surface. p_peak is corrected for "
        "all vertices of the cortex, and p_region for the retinotopic region of the group: the "
        "vertices in the retinotopy masks of at least half of the participants. Report the one "
        "that you planned. dice_with_others compares an ROI with the vertices that at least half "
        "of the other participants have in theirs: 1 is the same, 0 no vertex in common.",
    )
    links = [Hyperlink(_EXPLORE, results.explorer)] if results.explorer else []
    heading = "The group on the cortex"
    return [Section(heading, text=text, links=links, charts=charts, tables=tables)]


def _anova_section(anova: "pd.DataFrame") -> list[Section]:
    if anova.empty:
        return []
    columns = f"{_KEY} term n f df df_residual p epsilon_gg p_gg partial_eta2 generalized_eta2"
    table = table_of(
        "Analysis of variance",
        anova,
        ANOVA_COLUMNS,
        f"{columns} excluded note",
    )
    text = (
        "Repeated-measures analysis of variance of participants without missing estimates (type "
        "III). p_gg is corrected for non-sphericity (Greenhouse and Geisser).",
    )
    return [Section("Analysis of variance", text=text, tables=(table,))]


def _verdicts_section(
    results: GroupResults, pages: Mapping[str, str], thumbnails: Mapping[str, bytes]
) -> Section:
    """Give the verdict of each participant, and say who is not in the statistics, and why."""
    verdicts = results.participants[["participant_id", "verdict"]]
    counts = Counter(verdicts["verdict"])
    words = {"ready": "ready", "check": "to check", "unusable": "unusable"}
    summary = in_words([f"{counts[of]} {word}" for of, word in words.items() if counts[of]])
    text, notes = _left_out(results.estimates, results.exclusions, results.definition.units)
    notes += _to_check(results.participants)
    badges = [
        Badge(name=who, verdict=verdict, href=pages.get(who), thumbnail=thumbnails.get(who))
        for who, verdict in verdicts.itertuples(index=False)
    ]
    return Section(
        "Who is ready",
        text=(*([f"{summary}."] if summary else []), *text),
        notes=notes,
        badges=badges,
    )


def _to_check(participants: "pd.DataFrame") -> list[str]:
    """Say what is to be checked, once for all whom it concerns."""
    alike: dict[str, list[str]] = {}
    checked = participants[participants["verdict"] == "check"]
    for who, reasons in zip(checked["participant_id"], checked["reasons"], strict=True):
        alike.setdefault(reasons, []).append(who)
    notes = [f"{listed(who)}: {reasons}." for reasons, who in alike.items()]
    more = f"{len(notes) - _MOST_NOTES} more are in the table of participants."
    return [*notes[:_MOST_NOTES], *([more] if len(notes) > _MOST_NOTES else [])]


def _left_out(
    estimates: "pd.DataFrame", exclusions: Mapping[str, str], units: str
) -> tuple[list[str], list[str]]:
    """Say whether somebody lacks some estimates, and name those who lack all with the reason."""
    main = main_rows(estimates["hemi"].unique())  # in one hemisphere, an ROI may well be empty
    where = rows_in_words(main)
    is_main = estimates["hemi"].isin(main)
    single = estimates[~is_main & estimates["estimate"].notna()]
    sides = {who: sorted(set(of["hemi"])) for who, of in single.groupby("participant_id")}
    counts = _statuses(estimates[is_main])
    alike: dict[str, list[str]] = {}
    for participant, statuses in counts.items():
        if statuses["ok"]:
            continue
        ((status, _),) = statuses.most_common(1)
        meaning = exclusions.get(participant) or of_units(STATUSES[status], units)  # type: ignore[index]
        lacks = "no estimates"
        if participant in sides:
            lacks = f"no estimate of {where}, only of {', '.join(sides[participant])}"
        alike.setdefault(f"{lacks}: {status} ({meaning}).", []).append(participant)
    notes = [
        f"{listed(who)} {'has' if len(who) == 1 else 'have'} {what}" for what, who in alike.items()
    ]
    some = sum(0 < statuses["ok"] < statuses.total() for statuses in counts.values())
    if not some:
        return [], notes
    lacks = "lacks" if some == 1 else "lack"
    text = (
        f"{counted(some, 'participant')} {lacks} some of the estimates of {where}. The column "
        "excluded of each test names them."
    )
    return [text], notes


def _statuses(estimates: "pd.DataFrame") -> dict[str, Counter[str]]:
    """Count the statuses of each participant's estimates."""
    counts: dict[str, Counter[str]] = {}
    for participant, status in zip(estimates["participant_id"], estimates["status"], strict=True):
        counts.setdefault(participant, Counter())[status] += 1
    return counts


def _tests_sections(
    results: GroupResults, look: Appearance, said: Mapping[str, list[str]]
) -> tuple[list[Section], list[Section]]:
    """Show the tests against 0, and apart from them the estimates that are not tested."""
    is_circular = results.estimates["independence"] == "circular"
    statistics = _with_flags(results.statistics, results.estimates)
    is_control = statistics["independence"] == "circular"
    main = main_rows(statistics["hemi"])
    is_main = statistics["hemi"].isin(main)
    where = "both hemispheres pooled" if BOTH in main else rows_in_words(main)
    columns = f"{_KEY} group {_TESTED} flagged excluded note"
    described = f"{_KEY} n mean median sd ci95_low ci95_high flagged excluded"
    schema = {**STATISTIC_COLUMNS, "flagged": _FLAGGED}
    units = results.definition.wording.units
    tested = replace(
        _in_words(results, said, TESTS_SAID),
        title="Estimates and tests",
        text=(
            "Each ROI, hemisphere, task and contrast has a test against 0. Means are in "
            f"{units}. Report either p_fwe or q_fdr; both are corrected for multiple testing.",
            *([_FLAGS] if statistics["flagged"].ne(MISSING).any() else []),
            *family_note(statistics, "tests against 0"),
            *([_MEANS] if is_mean_of_sessions(statistics["session"]).any() else []),
        ),
        charts=draw_group_estimates(
            results.estimates[~is_circular],
            results.statistics[~is_control],
            results.comparisons,
            look,
        ),
        tables=_tables(
            statistics,
            schema,
            (f"Tests against 0, {where}", ~is_control & is_main, columns),
            (
                "Tests against 0 in each hemisphere, not corrected for multiple testing",
                ~is_control & ~is_main,
                columns,
            ),
        ),
    )
    control = Section(
        "Check of the localizer",
        text=("Circular estimates are shown, but not tested.",),
        charts=draw_group_estimates(
            results.estimates[is_circular],
            results.statistics[is_control],
            results.comparisons[:0],
            look,
        ),
        tables=_tables(
            statistics,
            schema,
            ("Check of the localizer: circular estimates, not tested", is_control, described),
        ),
    )
    return [tested], [control] if is_control.any() else []


def _with_flags(statistics: "pd.DataFrame", estimates: "pd.DataFrame") -> "pd.DataFrame":
    """Count the numbers of each test that have a flag, by flag."""
    flagged = estimates[estimates["estimate"].notna() & (estimates["flags"] != MISSING)]
    of_cells: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for who, *cell, flags in flagged[["participant_id", *CELL, "flags"]].itertuples(index=False):
        of_cells.setdefault(tuple(cell), []).extend((flag, who) for flag in flags.split(";"))

    def counted_flags(session: str, *of: str, excluded: str) -> str:
        found = [pair for one in sessions_in_mean(session) for pair in of_cells.get((one, *of), ())]
        taking_part = (pair for pair in dict.fromkeys(found) if f"{pair[1]}:" not in excluded)
        counts = Counter(flag for flag, _ in taking_part)
        return ", ".join(f"{n} {flag}" for flag, n in counts.items()) or MISSING

    rows = statistics[[*CELL, "excluded"]].itertuples(index=False, name=None)
    shown = [counted_flags(*cell, excluded=excluded) for *cell, excluded in rows]
    return statistics.assign(flagged=shown)


def _comparisons_section(
    results: GroupResults, look: Appearance, said: Mapping[str, list[str]]
) -> list[Section]:
    charts = draw_contralateral(results.estimates, results.comparisons, results.quality, look)
    tables = _comparison_tables(results.comparisons)
    notes = [
        f"{found}, in all participants: not compared with its own parts."
        for found in results.dependences
    ]
    if not (charts or tables or notes):
        return []
    text = (
        "Each row tests a difference: what the row names, minus what its column versus names. "
        "Tests are paired, except those of groups (Welch's t). Each kind of comparison is "
        "corrected separately. ROIs with less than 10 % in one hemisphere are excluded from the "
        "comparison of hemispheres (minor_hemisphere).",
        *family_note(results.comparisons, "comparisons"),
    )
    in_words = _in_words(results, said, GROUPS_SAID)
    return [
        replace(in_words, title="Comparisons", text=text, notes=notes, charts=charts, tables=tables)
    ]


def _comparison_tables(comparisons: "pd.DataFrame") -> list[Table]:
    is_tested = (comparisons["n"] > 0) & (comparisons["independence"] != "circular")
    kind = comparisons["comparison"]
    columns = f"{_KEY} group versus {_TESTED} excluded note"
    return _tables(
        comparisons,
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
        "ICC(2,1) is the reliability of a single session or run. The split-half value (Spearman "
        "and Brown) is that of the mean over all runs.",
    )
    table = table_of(caption, reliability, RELIABILITY_COLUMNS, columns)
    return [Section("Reliability", text=text, tables=(table,))]


def _participants_section(participants: "pd.DataFrame", pages: Mapping[str, str]) -> Section:
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
    return Section("Participants", tables=(replace(shown, rows=rows),))
