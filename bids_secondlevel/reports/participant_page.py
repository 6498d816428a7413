"""What the page of a participant shows."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from bids_secondlevel import __version__
from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.hemispheres import BOTH, main_rows, rows_in_words
from bids_secondlevel.core.results import ParticipantResults
from bids_secondlevel.core.roi_rule import SummaryKind
from bids_secondlevel.core.rows import MISSING, each_row, grouped, rows_by
from bids_secondlevel.core.values import STATUSES
from bids_secondlevel.core.words import counted, listed, of_units
from bids_secondlevel.reports.charts.participant import (
    draw_overlaps,
    draw_participant_estimates,
    draw_participant_sizes,
)
from bids_secondlevel.reports.charts.style import Appearance, Chart
from bids_secondlevel.reports.charts.sweep import Limits, draw_sweep
from bids_secondlevel.reports.field_section import participant_field_section
from bids_secondlevel.reports.methods import describe_measurement, reference_list
from bids_secondlevel.reports.page import Badge, Download, Hyperlink, Page, Section, Table, table_of
from bids_secondlevel.reports.readable import readable
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.rois.quality import OVERLAP_COLUMNS, QUALITY_COLUMNS
from bids_secondlevel.stats.readiness import found_in_words, readiness

if TYPE_CHECKING:
    import pandas as pd


_EXPLORE = "Turn the cortex, see the values of each vertex, and try thresholds"

_SUMMARIES: Mapping[SummaryKind, str] = {
    "mean": "mean over the {}",
    "median": "median over the {}",
    "area-weighted-mean": "mean, weighted by surface area, over the {}",
}


def participant_page(results: ParticipantResults) -> Page:
    """Put together the page of a participant."""
    results = readable(results)
    look = Appearance.of(results.definition)
    session = f", session {results.session}" if results.session else ""
    return Page(
        f"{results.participant_id}{session}: individual regions of interest",
        _summary(results),
        [
            _verdict_section(results),
            _cortex_section(results),
            _roi_section(results, look),
            *_estimates_section(results, look),
            *participant_field_section(results),
            *sweep_section(results.sweep, results.definition, look),
            *_gaps_section(results.estimates, results.definition.units),
            Section(
                "Files used",
                text=(
                    "Names before the colon are datasets, listed under DatasetLinks in "
                    "dataset_description.json.",
                ),
                tables=(Table("Files", ("used for", "file"), results.inputs),),
            ),
            _methods_section(results),
        ],
        about=f"Made by bids_secondlevel {__version__}, participant level.",
    )


def _summary(results: ParticipantResults) -> str:
    """Count the estimates of the hemispheres that group tests use, and how many exist."""
    hemis = main_rows(results.estimates["hemi"])
    exists = results.estimates["estimate"][results.estimates["hemi"].isin(hemis)].notna()
    rois = f"{counted(len(results.definition.rois), 'ROI')}{_where(results)}"
    if exists.empty:
        return f"No contrast was measured, in {rois}."
    share = "All" if exists.all() else f"{exists.sum()} of"
    return f"{share} {len(exists)} estimates of {rows_in_words(hemis)} exist, in {rois}."


def _verdict_section(results: ParticipantResults) -> Section:
    """Say first whether the participant can be used, then what to look at."""
    participant = results.participant_id
    verdict = readiness(results.estimates)[participant].verdict if len(results.estimates) else ""
    if verdict == "ready" and results.reasons:
        verdict = "check"
    badges = [Badge(name=participant, verdict=verdict, href=None)] if verdict else []
    text = (f"{found_in_words(results.estimates).rstrip('.')}.",) if verdict else ()
    notes = tuple(map(_as_sentence, (*results.errors, *results.reasons, *results.messages)))
    return Section("Verdict", text=text, notes=notes, badges=badges)


def _as_sentence(note: str) -> str:
    """Begin with a capital letter, unless a name or a file comes first, and end with a full stop.

    Examples
    --------
    >>> _as_sentence("no vertices in UL"), _as_sentence("sub-01_bold.nii: damaged.")
    ('No vertices in UL.', 'sub-01_bold.nii: damaged.')
    >>> _as_sentence("fMRI runs differ"), _as_sentence("z maps ...")
    ('fMRI runs differ.', 'z maps ...')
    """
    first = note.partition(" ")[0]
    is_word = first.isalpha() and first.islower() and len(first) > 1
    begun = first.capitalize() + note[len(first) :] if is_word else note
    return begun if begun.endswith((".", "?", "!")) else f"{begun}."


def sweep_section(sweep: "pd.DataFrame", definition: Definition, look: Appearance) -> list[Section]:
    """Show how estimates depend on threshold and range of the ROIs, if there was a sweep."""
    wording = definition.wording
    in_use: Limits = {
        "threshold": {
            wording.name(roi.name): roi.rule.localizer_threshold
            for roi in definition.rois
            if roi.contrasts and (roi.rule.threshold_kind, roi.rule.tail) == ("z", "greater")
        },
        "eccentricity": {
            wording.name(roi.name): roi.rule.limits[1]
            for roi in definition.rois
            if roi.rule.limits is not None
        },
    }
    charts = draw_sweep(sweep, in_use, look)
    text = ("How estimates change with the threshold or the range of eccentricity of the ROIs.",)
    return [Section("Sweep", text=text, charts=charts)] if charts else []


def _is_volume(results: ParticipantResults) -> bool:
    return results.definition.maps_are == "volumes"


def _where(results: ParticipantResults) -> str:
    """Name the space, as the end of a sentence."""
    if not results.space:
        return ""
    return f" {'in volumes of space' if _is_volume(results) else 'on the surface'} {results.space}"


def _cortex_section(results: ParticipantResults) -> Section:
    is_volume = _is_volume(results)
    heading = "In the volume" if is_volume else "On the cortex"
    links = [Hyperlink(_EXPLORE, results.explorer)] if results.explorer else []
    if results.portrait is None:
        what = (
            "no picture of the volume, because it contains no visual area"
            if is_volume
            else "no picture of the cortex, because no surface for drawing was found"
        )
        why = f"There is {what}, or drawing failed; the notes above give the reason."
        return Section(heading, text=(why,), links=links)
    seen = "Slices through occipital cortex" if is_volume else "Occipital cortex of each hemisphere"
    caption = (
        f"{seen}: retinotopic maps, z of the localizer, the resulting ROIs, and the measured "
        "contrasts. Check that the visual areas are around the calcarine sulcus, that eccentricity "
        "rises from the occipital pole forward, and that the localizer activates the part of the "
        "area that sees its stimulus. The picture explains outlines and colours."
    )
    quality = results.quality
    pooled = quality[(quality["hemi"] == BOTH) & quality["n_vertices"].notna()]
    sizes = [
        f"{roi} {n:.0f} {results.definition.units}"
        for roi, n in zip(pooled["roi"], pooled["n_vertices"], strict=True)
    ]
    alt = f"Maps of occipital cortex. ROIs in both hemispheres: {', '.join(sizes) or 'none'}."
    chart = Chart(
        name="",
        svg=results.portrait,
        title="Retinotopy, localizer and ROIs",
        caption=caption,
        alt=alt,
    )
    return Section(heading, links=links, charts=(chart,))


def _roi_section(results: ParticipantResults, look: Appearance) -> Section:
    text = results.definition.sentences()
    if results.quality["n_vertices"].isna().all():
        return Section("Regions of interest", text=text)
    charts = draw_participant_sizes(results.quality, look)
    tables = [
        table_of(
            "Size, position and shape of the ROIs",
            results.quality,
            QUALITY_COLUMNS,
            f"roi hemi n_vertices {_size(results.quality)} retinotopic_share n_patches "
            "largest_patch laterality_index mean_eccentricity mean_polar_angle quadrant "
            "quadrant_agreement status",
        )
    ]
    if len(results.definition.rois) > 1:
        charts = [*charts, *draw_overlaps(results.overlaps)]
        caption = f"{results.definition.units.capitalize()} shared by two ROIs"
        columns = "roi other_roi hemi n_shared dice overlap_coefficient"
        tables.append(table_of(caption, results.overlaps, OVERLAP_COLUMNS, columns))
    return Section("Regions of interest", text=text, charts=charts, tables=tables)


def _size(table: "pd.DataFrame") -> str:
    """Choose how the size of an ROI is given: its area on a surface, its volume in a volume."""
    return "volume_mm3" if table["volume_mm3"].notna().any() else "area_mm2"


def _estimates_section(results: ParticipantResults, look: Appearance) -> list[Section]:
    estimates, definition = results.estimates, results.definition
    if estimates["estimate"].isna().all():
        return []
    table = table_of(
        f"Estimates in {definition.wording.units}",
        estimates,
        ESTIMATE_COLUMNS,
        "session task contrast roi hemi estimate sd median n_vertices coverage "
        f"{_size(estimates)} n_runs status independence flags",
    )
    how = _SUMMARIES[definition.summary].format(definition.units)
    text = (f"Each estimate is the {how} of an ROI that have data.",)
    charts = draw_participant_estimates(estimates, look)
    return [Section("Estimates", text=text, charts=charts, tables=(table,))]


def _gaps_section(estimates: "pd.DataFrame", units: str) -> list[Section]:
    """Say in plain words why numbers are missing."""
    gaps = estimates[estimates["estimate"].isna()]
    if gaps.empty:
        return []
    alike: dict[tuple[str, str], list[tuple[str, str]]] = {}
    n_maps = estimates.groupby(["roi", "hemi"]).size()
    for (roi, hemi, status), of in grouped(gaps, "roi", "hemi", "status"):
        keys = rows_by(each_row(of), "session", "task", "contrast")
        maps = listed([" ".join(part for part in key if part != MISSING) for key in keys], 4)
        what = "all" if len(of) == n_maps[roi, hemi] else maps
        alike.setdefault((status, what), []).append((roi, hemi))
    meanings = {str(status): meaning for status, meaning in STATUSES.items()}
    rows = [
        (status, of_units(meanings[status], units), what, _in_words(where, n_maps.index))
        for (status, what), where in alike.items()
    ]
    columns = ("status", "meaning", "contrasts", "ROIs")
    return [Section("Missing estimates", tables=(Table("Missing estimates", columns, rows),))]


def _in_words(where: Sequence[tuple[str, str]], every: Collection[tuple[str, str]]) -> str:
    """Name ROIs, each with the hemispheres that are meant.

    Examples
    --------
    >>> _in_words([("UL", "L"), ("UL", "R"), ("UR", "L")], [("UL", "L")] * 6)
    'UL (L, R), UR (L)'
    """
    if len(where) == len(every):
        return "all"
    hemis: dict[str, list[str]] = {}
    for roi, hemi in where:
        hemis.setdefault(roi, []).append(hemi)
    return ", ".join(f"{roi} ({', '.join(of)})" for roi, of in hemis.items())


def _methods_section(results: ParticipantResults) -> Section:
    text = describe_measurement(
        results.definition,
        results.space,
        independence=results.estimates["independence"].unique(),
        hemis=results.estimates["hemi"].unique(),
        profiles=results.visual_field["profile"].unique(),
    )
    return Section(
        "Methods",
        text=(*text.paragraphs, *reference_list(text.cited)),
        downloads=(
            Download("methods.md", text.markdown()),
            Download("references.bib", text.bibtex()),
        ),
    )
