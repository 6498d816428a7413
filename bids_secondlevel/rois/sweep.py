"""Vary the limits of the ROIs, to see whether a result hangs on them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.rows import column
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import Status
from bids_secondlevel.rois.estimates import (
    EstimateRow,
    Independence,
    independence_column,
    status_column,
)

_ECCENTRICITY_FACTORS = (0.6, 0.8, 1.0, 1.2, 1.4)


@dataclass(frozen=True)
class SweepRow:
    """An estimate under other limits; the only declaration of the table's columns."""

    participant_id: str = column("participant, with its sub- prefix")
    session: str | None = column("session label of the measured map; n/a where it has none")
    task: str = column("task of the measured map")
    contrast: str = column("first-level contrast of the measured map")
    roi: str = column("region of interest")
    hemi: str = column("hemisphere: L, R, or both pooled")
    space: str | None = column("surface space of the maps; n/a where their names have none")
    statistic: str = column("what the map holds, the stat entity of its name")
    varied: str = column(
        "which limit was varied, the others being those of the ROI",
        levels={
            "threshold": "threshold of the localizer",
            "eccentricity": "upper limit of eccentricity",
        },
    )
    value: float = column(
        "value of the varied limit", units="that of the threshold, or degrees of visual angle"
    )
    estimate: float | None = column("as in the table of estimates", default=None)
    sd: float | None = column("as in the table of estimates", default=None)
    n_vertices: int | None = column("number of vertices of the ROI", default=None)
    n_finite: int | None = column("number of finite vertices of the ROI", default=None)
    status: Status = status_column()
    independence: Independence = independence_column()


@dataclass(frozen=True)
class Variant:
    """The ROIs with one limit changed.

    Attributes
    ----------
    varied : {"threshold", "eccentricity"}
    values : mapping of str to float
        The new limit of each ROI that has one, by name; others are as they were.
    rois : tuple of RoiDefinition
    """

    varied: str
    values: Mapping[str, float]
    rois: tuple[RoiDefinition, ...]

    def label(self, row: EstimateRow) -> SweepRow:
        """Turn an estimate in a changed ROI of this variant into a row of the sweep."""
        return SweepRow(
            participant_id=row.participant_id,
            session=row.session,
            task=row.task,
            contrast=row.contrast,
            roi=row.roi,
            hemi=row.hemi,
            space=row.space,
            statistic=row.statistic,
            varied=self.varied,
            value=self.values[row.roi],
            estimate=row.estimate,
            sd=row.sd,
            n_vertices=row.n_vertices,
            n_finite=row.n_finite,
            status=row.status,
            independence=row.independence,
        )


def sweep_variants(rois: Sequence[RoiDefinition], settings: Settings) -> Iterator[Variant]:
    """Vary the localizer threshold, then the upper limit of eccentricity.

    Parameters
    ----------
    rois : sequence of RoiDefinition
    settings : Settings
        Values to be tried. Where no limits of eccentricity are given, they are 0.6 to 1.4 times
        that of each ROI.

    Yields
    ------
    Variant
        A threshold is varied where it is a z value, and an upper limit of eccentricity where
        the new one is above the lower limit.
    """
    for threshold in settings.sweep_thresholds:
        values = {r.name: threshold for r in rois if r.contrasts and r.rule.threshold_kind == "z"}
        if values:
            yield Variant("threshold", values, _changed(rois, values, _with_threshold))
    for step in settings.sweep_eccentricities or _ECCENTRICITY_FACTORS:
        values = {}
        for roi in rois:
            low, high = roi.rule.eccentricity
            limit = step if settings.sweep_eccentricities else round(high * step, 6)
            if limit > low:
                values[roi.name] = limit
        if values:
            yield Variant("eccentricity", values, _changed(rois, values, _up_to))


def _changed(
    rois: Sequence[RoiDefinition],
    values: Mapping[str, float],
    change: Callable[[RoiDefinition, float], RoiDefinition],
) -> tuple[RoiDefinition, ...]:
    return tuple(change(roi, values[roi.name]) if roi.name in values else roi for roi in rois)


def _with_threshold(roi: RoiDefinition, threshold: float) -> RoiDefinition:
    return replace(roi, rule=replace(roi.rule, localizer_threshold=threshold))


def _up_to(roi: RoiDefinition, limit: float) -> RoiDefinition:
    return replace(roi, rule=replace(roi.rule, eccentricity=(roi.rule.eccentricity[0], limit)))
