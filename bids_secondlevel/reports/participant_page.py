"""What the page of a participant shows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.rows import frame_of
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.core.words import counted
from bids_secondlevel.reports.charts.estimates import draw_participant_estimates
from bids_secondlevel.reports.charts.rois import draw_overlaps, draw_participant_sizes
from bids_secondlevel.reports.charts.style import Chart
from bids_secondlevel.reports.charts.sweep import Limits, draw_sweep
from bids_secondlevel.reports.methods import describe_measurement, reference_list
from bids_secondlevel.reports.page import Page, Section, Table, table_of
from bids_secondlevel.rois.estimates import EstimateRow
from bids_secondlevel.rois.quality import OverlapRow, QualityRow
from bids_secondlevel.rois.sweep import SweepRow


@dataclass(frozen=True)
class Input:
    """A file that was used; `role` says what for."""

    role: str
    uri: str


@dataclass(frozen=True)
class ParticipantRecord:
    """All that is told of a participant.

    Attributes
    ----------
    participant_id : str
        With ``sub-``.
    session : str or None
        Where the run was of a single session.
    space : str or None
    definition : Definition
    inputs : tuple of Input
    messages, errors : tuple of str
        What the run had to say.
    rows, quality, overlaps, sweep : sequence of rows
        The tables.
    portrait : bytes or None
        SVG of the cortex.
    """

    participant_id: str
    session: str | None
    space: str | None
    definition: Definition
    inputs: tuple[Input, ...]
    messages: tuple[str, ...]
    errors: tuple[str, ...]
    rows: Sequence[EstimateRow]
    quality: Sequence[QualityRow]
    overlaps: Sequence[OverlapRow]
    sweep: Sequence[SweepRow] = ()
    portrait: bytes | None = None


@dataclass(frozen=True)
class ParticipantCharts:
    """The pictures of a participant's numbers, by section."""

    sizes: Sequence[Chart]
    overlaps: Sequence[Chart]
    estimates: Sequence[Chart]
    sweep: Sequence[Chart]

    @property
    def all(self) -> list[Chart]:
        """Every chart, in the order of the page."""
        return [*self.sizes, *self.overlaps, *self.estimates, *self.sweep]


def draw_charts(record: ParticipantRecord) -> ParticipantCharts:
    """Draw the numbers of a participant."""
    return ParticipantCharts(
        draw_participant_sizes(frame_of(record.quality, QualityRow)),
        draw_overlaps(frame_of(record.overlaps, OverlapRow))
        if len(record.definition.rois) > 1
        else [],
        draw_participant_estimates(frame_of(record.rows, EstimateRow)),
        draw_sweep(frame_of(record.sweep, SweepRow), limits_in_use(record.definition)),
    )


def limits_in_use(definition: Definition) -> Limits:
    """Tell the limits that ROIs are defined with, where a sweep may vary them."""
    return {
        "threshold": {
            roi.name: roi.rule.localizer_threshold
            for roi in definition.rois
            if roi.contrasts and (roi.rule.threshold_kind, roi.rule.tail) == ("z", "greater")
        },
        "eccentricity": {roi.name: roi.rule.eccentricity[1] for roi in definition.rois},
    }


def participant_page(record: ParticipantRecord, charts: ParticipantCharts) -> Page:
    """Put together the page of a participant."""
    with_number = sum(row.estimate is not None for row in record.rows)
    session = f", session {record.session}" if record.session else ""
    sections = [
        Section(
            "What to look at first",
            text=(
                ()
                if record.errors or record.messages
                else ("Nothing went wrong, and no choice was made on your behalf.",)
            ),
            notes=(*record.errors, *record.messages),
        ),
        _cortex_section(record),
        _roi_section(record, charts),
        Section(
            "Estimates",
            text=(
                "Means of the maps in the ROIs. Estimates that are circular were measured on the "
                "data that defined their ROI: a check of the localizer, not evidence.",
            ),
            charts=charts.estimates,
            tables=(_estimates_table(record.rows),),
        ),
    ]
    if charts.sweep:
        sections.append(
            Section(
                "Sensitivity to the limits",
                text=("How estimates change when one limit of the ROIs is varied.",),
                charts=charts.sweep,
            )
        )
    sections += [_gaps_section(record.rows), _files_section(record), _methods_section(record)]
    return Page(
        f"{record.participant_id}{session}: individual regions of interest",
        f"{with_number} of {len(record.rows)} estimates have a number, in "
        f"{counted(len(record.definition.rois), 'ROI')}"
        f"{_where(record)}.",
        tuple(section for section in sections if section is not None),
    )


def _is_volume(record: ParticipantRecord) -> bool:
    return record.definition.maps_are == "volumes"


def _where(record: ParticipantRecord) -> str:
    """Name the space, as the end of a sentence."""
    if not record.space:
        return ""
    where = "in volumes of space" if _is_volume(record) else "on the surface"
    return f" {where} {record.space}"


def _cortex_section(record: ParticipantRecord) -> Section:
    is_volume = _is_volume(record)
    heading = "In the volume" if is_volume else "On the cortex"
    if record.portrait is None:
        what = (
            "no picture of the volume: no visual area lies in it"
            if is_volume
            else "no picture of the cortex: no surface to draw on could be had"
        )
        why = f"There is {what}, or drawing was not possible; the notes above say why."
        return Section(heading, text=(why,))
    seen = "Slices through occipital cortex" if is_volume else "Occipital cortex of each hemisphere"
    caption = (
        f"{seen}: retinotopic maps, z of the localizer, and the ROIs "
        "that come of them. Check that the visual areas lie around the calcarine sulcus, that "
        "eccentricity rises from the occipital pole forward, and that the localizer activates the "
        "part of the area that sees its stimulus. Outlines, limits and colours are explained in "
        "the picture."
    )
    unit = "voxels" if is_volume else "vertices"
    sizes = [
        f"{row.roi} {row.n_vertices} {unit}"
        for row in record.quality
        if row.hemi == BOTH and row.n_vertices is not None
    ]
    alt = f"Maps of occipital cortex. ROIs in both hemispheres: {', '.join(sizes) or 'none'}."
    chart = Chart("cortex", record.portrait, "Retinotopy, localizer and ROIs", caption, alt)
    return Section(heading, charts=(chart,))


def _roi_section(record: ParticipantRecord, charts: ParticipantCharts) -> Section:
    quality = table_of(
        "Size, place and shape of the ROIs (the columns are explained in the JSON file of the "
        "table desc-roi_quality)",
        record.quality,
        (
            f"roi hemi n_vertices {_size_column(record.quality)} retinotopic_share n_patches "
            "largest_patch laterality_index mean_eccentricity mean_polar_angle quadrant "
            "quadrant_agreement status"
        ),
    )
    tables = [quality]
    if len(record.definition.rois) > 1:
        columns = "roi other_roi hemi n_shared dice overlap_coefficient"
        unit = "Voxels" if _is_volume(record) else "Vertices"
        tables.append(table_of(f"{unit} shared by two ROIs", record.overlaps, columns))
    return Section(
        "Regions of interest",
        text=tuple(record.definition.sentences()),
        charts=(*charts.sizes, *charts.overlaps),
        tables=tables,
    )


def _size_column(rows: Sequence[EstimateRow] | Sequence[QualityRow]) -> str:
    """Choose how the size of a ROI is told: its area on a surface, its volume in a volume."""
    return "volume_mm3" if any(row.volume_mm3 is not None for row in rows) else "area_mm2"


def _estimates_table(rows: Sequence[EstimateRow]) -> Table:
    columns = (
        "session task contrast roi hemi estimate sd median n_vertices coverage "
        f"{_size_column(rows)} n_runs "
        "status independence"
    )
    if all(row.session is None for row in rows):
        columns = columns.removeprefix("session ")
    return table_of("Estimates in the units of the maps", rows, columns)


def _gaps_section(rows: Sequence[EstimateRow]) -> Section:
    """Say in plain words why numbers are missing."""
    counts = Counter(row.status for row in rows if row.estimate is None)
    if not counts:
        return Section("Where there is no number", text=("Every estimate has a number.",))
    explained = [
        (status, counts[status], meaning) for status, meaning in STATUSES.items() if counts[status]
    ]
    columns = "task contrast roi hemi status"
    gaps = [row for row in rows if row.estimate is None]
    return Section(
        "Where there is no number",
        tables=(
            Table("Reasons", ("status", "estimates", "meaning"), explained),
            table_of("Estimates without a number", gaps, columns),
        ),
    )


def _files_section(record: ParticipantRecord) -> Section:
    inputs = [(used.role, used.uri) for used in record.inputs]
    return Section(
        "Files that were used",
        text=("Names before the colon are those of DatasetLinks in dataset_description.json.",),
        tables=(Table("Files", ("what for", "file"), inputs),),
    )


def _methods_section(record: ParticipantRecord) -> Section:
    text = describe_measurement(
        record.definition,
        record.space,
        cross_validated=any(row.independence == "crossvalidated" for row in record.rows),
    )
    return Section("Methods", text=(*text.paragraphs, *reference_list(text.cited)))
