"""What pages show of responses in the visual field."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.hemispheres import main_rows
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.results import GroupResults, ParticipantResults
from bids_secondlevel.core.roi_rule import area_name
from bids_secondlevel.core.rows import MISSING, each_row, rows_by
from bids_secondlevel.core.visual_field import ASYMMETRIES, asymmetries
from bids_secondlevel.core.words import of_units
from bids_secondlevel.reports.charts.field import Ranges, draw_discs
from bids_secondlevel.reports.charts.profiles import draw_distances, draw_profiles
from bids_secondlevel.reports.charts.style import Chart
from bids_secondlevel.reports.page import Section, Table, table_of
from bids_secondlevel.stats.visual_field import FIELD_TEST_COLUMNS, SERIES

if TYPE_CHECKING:
    import pandas as pd

_HEADING = "In the visual field"
_WHAT = (
    "Each contrast is averaged over all vertices of a visual area that see the same part of the "
    "visual field. Neither the localizer nor the ranges of the ROIs are used, so no estimate is "
    "circular. Receptive fields blur these pictures; see docs/explanation/visual-field.md."
)
_DIFFERENCES = "Differences between meridians of the visual field"


def participant_field_section(results: ParticipantResults) -> list[Section]:
    """Show where in the visual field a participant has responses; nothing if there is no table."""
    bins = results.visual_field
    if bins.empty or bins["estimate"].isna().all():
        return []
    bins = bins.assign(group=EVERYBODY, versus=MISSING, p_corrected=float("nan"))
    charts = _charts(bins, bins, None, results.definition)
    text = (of_units(_WHAT, results.definition.units),)
    return [Section(_HEADING, text=text, charts=charts, tables=_differences(bins))]


def group_field_section(results: GroupResults, participants: "pd.DataFrame") -> list[Section]:
    """Show where in the visual field the group has responses; nothing if there are no tests.

    Parameters
    ----------
    participants
        Bins of each participant, or no rows.
    """
    tests, groups = results.visual_field, results.groups
    bins = tests[(tests["group"] == EVERYBODY) != bool(groups)].rename(columns={"mean": "estimate"})
    if bins.empty or bins["estimate"].isna().all():
        return []
    is_difference = bins["versus"] != MISSING
    bins = bins.assign(p_corrected=bins["p_fwe"].where(~is_difference, bins["p_holm"]))
    most = bins.groupby([*SERIES, "group", "versus"], sort=False)["n"].transform("max")
    shown = bins.assign(estimate=bins["estimate"].mask(2 * bins["n"] < most))
    group = participants["participant_id"].map(groups) if groups else EVERYBODY
    charts = _charts(bins, shown, participants.assign(group=group), results.definition)
    is_main = tests["hemi"].isin(main_rows(tests["hemi"]))
    differences = tests[tests["profile"].isin(ASYMMETRIES) & is_main]
    columns = (
        "session task contrast area hemi group versus profile n mean ci95_low ci95_high t df p note"
    )
    table = table_of(_DIFFERENCES, differences, FIELD_TEST_COLUMNS, columns)
    tables = [] if differences.empty else [table]
    text = (of_units(_WHAT, results.definition.units), *_planned(tests, results.definition))
    return [Section(_HEADING, text=text, charts=charts, tables=tables)]


def _planned(tests: "pd.DataFrame", definition: Definition) -> list[str]:
    """Say what planned contrasts are in bins, which are in the place of ROIs."""
    weighted = tests.loc[tests["weights"] != MISSING, ["contrast", "weights"]].drop_duplicates()
    named = [
        f"{name} ({definition.wording.reword(weights)})"
        for name, weights in weighted.itertuples(index=False)
    ]
    if not named:
        return []
    return [
        "Planned contrasts are computed in each bin, without their weights of ROIs and "
        f"hemispheres: {'; '.join(named)}."
    ]


def _charts(
    bins: "pd.DataFrame",
    in_discs: "pd.DataFrame",
    participants: "pd.DataFrame | None",
    definition: Definition,
) -> list[Chart]:
    """Draw everything there is of bins: discs and profiles."""
    ranges, units = _ranges(definition), definition.wording.units
    charts = (
        *draw_discs(in_discs, ranges, definition.positions, units=units),
        *draw_profiles(bins, ranges, participants, units=units),
        *draw_distances(bins, participants, units=units),
    )
    return [replace(chart, caption=of_units(chart.caption, definition.units)) for chart in charts]


def _ranges(definition: Definition) -> Ranges:
    """List the limits of eccentricity of the ROIs of each visual area."""
    found: dict[str, dict[tuple[float, float], None]] = {}
    for roi in definition.rois:
        limits = roi.rule.limits
        if limits is not None:
            for area in roi.rule.visual_areas:
                found.setdefault(area_name(area), {})[limits] = None
    return {area: tuple(sorted(of_area)) for area, of_area in found.items()}


def _differences(bins: "pd.DataFrame") -> list[Table]:
    """Compare the meridians of a participant."""
    main = bins["hemi"].isin(main_rows(bins["hemi"]))
    around = each_row(bins[main & (bins["profile"] == "polar_angle")])
    rows = []
    for (session, task, contrast, area, hemi, *_), of_series in rows_by(around, *SERIES).items():
        centres = np.array([(of.polar_angle_low + of.polar_angle_high) / 2 for of in of_series])
        found = asymmetries(centres, np.array([of.estimate for of in of_series]))
        values = [None if np.isnan(of) else float(of) for of in found.values()]
        if any(value is not None for value in values):
            shown = None if session == MISSING else session
            rows.append((shown, task, contrast, area, hemi, *values))
    columns = ("session", "task", "contrast", "area", "hemi", *ASYMMETRIES)
    return [Table(_DIFFERENCES, columns, rows)] if rows else []
