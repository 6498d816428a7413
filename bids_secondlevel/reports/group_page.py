"""What the page of the group shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.core.words import counted
from bids_secondlevel.reports.charts.estimates import draw_contralateral, draw_group_estimates
from bids_secondlevel.reports.charts.rois import draw_coverage, draw_group_sizes
from bids_secondlevel.reports.charts.style import Chart
from bids_secondlevel.reports.charts.sweep import Limits, draw_sweep
from bids_secondlevel.reports.methods import (
    MethodsText,
    describe_inference,
    describe_measurement,
    join,
    reference_list,
)
from bids_secondlevel.reports.page import Cell, Link, Page, Section, Table, table_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import QualityRow
from bids_secondlevel.rois.sweep import SweepRow
from bids_secondlevel.stats.comparisons import ComparisonRow
from bids_secondlevel.stats.models.table import ModelRow
from bids_secondlevel.stats.reliability import ReliabilityRow
from bids_secondlevel.stats.tests import StatisticRow

_Tested = TypeVar("_Tested", StatisticRow, ComparisonRow)

_TEST_COLUMNS = (
    "n mean ci95_low ci95_high p p_fwe q_fdr t df p_permutation hedges_g cohens_d excluded note"
)


@dataclass(frozen=True)
class GroupRecord:
    """All that is told of a group: its tables, and what belongs to them.

    Attributes
    ----------
    definition : Definition
    exclusions : mapping of str to str
        Reasons of the user, by participant.
    n_permutations : int
    model : str or None
    settings : str
        As TOML.
    rows, statistics, comparisons, quality, reliability, sweep, fitted : sequence of rows
    """

    definition: Definition
    exclusions: Mapping[str, str]
    n_permutations: int
    model: str | None
    settings: str
    rows: Sequence[EstimateRow]
    statistics: Sequence[StatisticRow]
    comparisons: Sequence[ComparisonRow]
    quality: Sequence[QualityRow]
    reliability: Sequence[ReliabilityRow] = ()
    sweep: Sequence[SweepRow] = ()
    fitted: Sequence[ModelRow] = ()


@dataclass(frozen=True)
class GroupCharts:
    """The pictures of a group, by section."""

    estimates: Sequence[Chart]
    contralateral: Sequence[Chart]
    rois: Sequence[Chart]
    sweep: Sequence[Chart]

    @property
    def all(self) -> list[Chart]:
        """Every chart, in the order of the page."""
        return [*self.estimates, *self.contralateral, *self.rois, *self.sweep]


def draw_charts(record: GroupRecord, in_use: Limits) -> GroupCharts:
    """Draw the numbers of a group."""
    estimates = frame_of(record.rows, EstimateRow)
    comparisons = frame_of(record.comparisons, ComparisonRow)
    quality = frame_of(record.quality, QualityRow)
    return GroupCharts(
        draw_group_estimates(estimates, frame_of(record.statistics, StatisticRow)),
        draw_contralateral(estimates, comparisons, quality),
        [*draw_group_sizes(quality), *draw_coverage(estimates)],
        draw_sweep(frame_of(record.sweep, SweepRow), in_use),
    )


def methods_of(record: GroupRecord) -> MethodsText:
    """Word how the group was measured and tested."""
    spaces = sorted({row.space for row in record.rows if row.space})
    measured = _participants_with_numbers(record.rows)
    return join(
        describe_measurement(
            record.definition,
            " and ".join(spaces) or None,
            cross_validated=any(row.independence == "crossvalidated" for row in record.rows),
        ),
        describe_inference(
            len(measured), record.exclusions, record.n_permutations, record.model, record.fitted
        ),
    )


def _participants_with_numbers(rows: Sequence[EstimateRow]) -> set[str]:
    """Name the participants who have an estimate of both hemispheres pooled."""
    return {row.participant_id for row in rows if row.hemi == BOTH and row.estimate is not None}


def group_page(record: GroupRecord, charts: GroupCharts, pages: Mapping[str, str]) -> Page:
    """Put together the page of the group.

    Parameters
    ----------
    record : GroupRecord
    charts : GroupCharts
    pages : mapping of str to str
        Names of the participants' own pages, beside this one, by participant.
    """
    used = _participants_with_numbers(record.rows)
    everyone = {row.participant_id for row in record.rows}
    tested = sum(row.test.p is not None for row in record.statistics)
    methods = methods_of(record)
    sections = [
        _left_out_section(record),
        Section(
            "Estimates and tests",
            text=(
                "One test against 0 for each ROI, hemisphere, task and contrast. Of p_fwe and "
                "q_fdr, which are corrected for the number of tests, report one. Circular "
                "estimates are a control analysis: they are shown, and not tested.",
            ),
            charts=charts.estimates,
            tables=_statistics_tables(record.statistics),
        ),
        Section(
            "Comparisons",
            text=(
                "Paired tests: the first minus the one in the column versus. Each kind of "
                "comparison is corrected for its own number of tests.",
            ),
            charts=charts.contralateral,
            tables=_comparison_tables(record.comparisons),
        ),
        Section("Regions of interest", text=record.definition.sentences(), charts=charts.rois),
        *_optional_sections(record, charts),
        _participants_section(record, pages),
        Section("Settings", text=("As given, in logs/group_settings.toml.",), code=record.settings),
        Section("Methods", text=(*methods.paragraphs, *reference_list(methods.cited))),
    ]
    return Page(
        "Group: estimates in individual regions of interest",
        f"{len(used)} of {len(everyone)} participants have estimates of both hemispheres; "
        f"{counted(len(record.definition.rois), 'ROI')}, {counted(tested, 'test')}.",
        tuple(sections),
    )


def _left_out_section(record: GroupRecord) -> Section:
    """Name who is not in the statistics, and why."""
    pooled: dict[str, Counter[str]] = {}
    single: dict[str, set[str]] = {}
    for row in record.rows:
        if row.hemi == BOTH:  # in one hemisphere, an ROI may well be empty
            pooled.setdefault(row.participant_id, Counter())[row.status] += 1
        elif row.estimate is not None:
            single.setdefault(row.participant_id, set()).add(row.hemi)
    notes = []
    for participant, counts in pooled.items():
        if counts["ok"]:
            continue
        status = max(counts, key=lambda name: counts[name])
        meaning = record.exclusions.get(participant) or STATUSES[status]  # type: ignore[index]
        lacks = "contributes nothing"
        if participant in single:
            hemispheres = ", ".join(sorted(single[participant]))
            lacks = f"has no estimate of both hemispheres, only of {hemispheres}"
        notes.append(f"{participant} {lacks}: {status} ({meaning}).")
    some = sum(bool(counts["ok"]) and counts.total() > counts["ok"] for counts in pooled.values())
    text = (
        f"{counted(some, 'participant')} lack some of the estimates of both hemispheres; the table "
        "of participants below counts them, and the column excluded of each test names them."
        if some
        else f"Nobody{' else' if notes else ''} lacks an estimate of both hemispheres."
    )
    return Section("Who is left out", text=(text,), notes=notes)


def _brief(rows: Sequence[_Tested]) -> list[_Tested]:
    """Count the participants that are left out by reason; the tables beside the page name them."""
    return [
        replace(row, test=replace(row.test, excluded=_count_reasons(row.test.excluded)))
        for row in rows
    ]


def _count_reasons(excluded: str | None) -> str | None:
    if excluded is None:
        return None
    counts = Counter(part.partition(":")[2].partition(" ")[0] for part in excluded.split("; "))
    return ", ".join(f"{n} {reason}" for reason, n in counts.items())


def _statistics_tables(rows: Sequence[StatisticRow]) -> list[Table]:
    rows = _brief(rows)
    columns = f"{_key_columns(rows)} {_of_tests(_TEST_COLUMNS)}"
    family = [r for r in rows if r.hemi == BOTH and r.test.independence != "circular"]
    others = [r for r in rows if r.hemi != BOTH and r.test.independence != "circular"]
    circular = [r for r in rows if r.test.independence == "circular"]
    described = "n mean median sd ci95_low ci95_high excluded"
    control = f"{_key_columns(rows)} {_of_tests(described)}"
    tables = [
        table_of("Tests against 0, both hemispheres pooled", family, columns),
        table_of("Tests against 0 in each hemisphere, not corrected", others, columns),
        table_of("Control analysis: circular estimates, not tested", circular, control),
    ]
    return [table for table in tables if table.rows]


def _key_columns(rows: Sequence[StatisticRow | ComparisonRow]) -> str:
    session = "session " if any(row.session is not None for row in rows) else ""
    return f"{session}task contrast roi hemi"


def _of_tests(columns: str) -> str:
    return " ".join(f"test.{name}" for name in columns.split())


def _comparison_tables(rows: Sequence[ComparisonRow]) -> list[Table]:
    captions = {
        "roi": "Two ROIs, in the same contrast",
        "contrast": "Two contrasts, in the same ROI",
        "hemi": "Left against right hemisphere",
    }
    rows = _brief(rows)
    columns = f"{_key_columns(rows)} versus {_of_tests(_TEST_COLUMNS)}"
    tables = [
        table_of(
            caption,
            [
                row
                for row in rows
                if row.comparison == kind and row.test.n and row.test.independence != "circular"
            ],
            columns,
        )
        for kind, caption in captions.items()
    ]
    return [table for table in tables if table.rows]


def _model_section(record: GroupRecord) -> Section:
    """Show terms first, then coefficients; notes once for each fit."""
    where = "node subset session task contrast roi hemi"
    notes = dict.fromkeys(
        f"{' '.join(str(v) for v in (row.task, row.contrast, row.roi) if v)}: {row.note}"
        for row in record.fitted
        if row.note
    )
    tables = [
        table_of(
            caption,
            [row for row in record.fitted if row.quantity in quantities],
            f"{where} {columns} n_rows n_participants",
        )
        for caption, quantities, columns in (
            ("Terms", ("omnibus",), "term p test value df df_residual"),
            (
                "Coefficients and contrasts",
                ("coefficient", "contrast"),
                "name coefficient ci95_low ci95_high p se test value df_residual",
            ),
            ("Variances", ("variance",), "name coefficient"),
        )
    ]
    return Section(
        "Model",
        text=(f"{record.model}; see group_model.tsv and logs/group_model.txt.",),
        notes=tuple(notes),
        tables=[table for table in tables if table.rows],
    )


def _optional_sections(record: GroupRecord, charts: GroupCharts) -> list[Section]:
    sections = []
    if record.fitted:
        sections.append(_model_section(record))
    if charts.sweep:
        sections.append(
            Section(
                "Sensitivity to the limits",
                text=("How estimates change when one limit of the ROIs is varied.",),
                charts=charts.sweep,
            )
        )
    if record.reliability:
        columns = (
            "session task contrast roi hemi over method value ci95_low ci95_high n k "
            "independence excluded note"
        )
        table = table_of("Reliability across participants", record.reliability, columns)
        sections.append(
            Section(
                "Reliability",
                text=(
                    "ICC(2,1) is that of a single session or run; the split half, stepped up by "
                    "Spearman and Brown, is that of all runs together.",
                ),
                tables=(table,),
            )
        )
    return sections


def _participants_section(record: GroupRecord, pages: Mapping[str, str]) -> Section:
    counts: dict[str, Counter[str]] = {}
    for row in record.rows:
        counts.setdefault(row.participant_id, Counter())[row.status] += 1
    rows: list[list[Cell]] = []
    for participant, of_participant in counts.items():
        page = pages.get(participant)
        gaps = [f"{n} {status}" for status, n in of_participant.items() if status != "ok"]
        rows.append(
            [
                Link(participant, page) if page else participant,
                of_participant["ok"],
                of_participant.total(),
                "; ".join(gaps),
            ]
        )
    header = ("participant", "with a number", "estimates", "without, and why")
    return Section(
        "Participants",
        text=("Each name leads to the participant's own page, where there is one.",),
        tables=(Table("Estimates of each participant", header, rows),),
    )
