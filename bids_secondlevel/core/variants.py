"""The sweep: definitions of the ROIs with another threshold or range of eccentricity."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bids_secondlevel.core.roi_rule import RoiDefinition
from bids_secondlevel.core.settings import Settings

_ECCENTRICITY_FACTORS = (0.6, 0.8, 1.0, 1.2, 1.4)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The ROIs with another threshold or range of eccentricity."""

    varied: str
    """``threshold`` or ``eccentricity``."""
    values: Mapping[str, float]
    """The new value of each ROI that has one, by name; other ROIs are unchanged."""
    rois: tuple[RoiDefinition, ...]


def sweep_variants(rois: Sequence[RoiDefinition], settings: Settings) -> Iterator[Variant]:
    """Vary the localizer threshold, then the upper end of the range of eccentricity.

    Parameters
    ----------
    settings
        The values to try. If none are given for eccentricity, they are 0.6 to 1.4 times the upper
        end of each ROI.

    Yields
    ------
    Variant
        Thresholds are varied if they are z values, and ranges of eccentricity if the new upper end
        is above the lower end.
    """
    for threshold in settings.sweep_thresholds:
        values = {r.name: threshold for r in rois if r.contrasts and r.rule.threshold_kind == "z"}
        if values:
            yield Variant(
                varied="threshold", values=values, rois=_changed(rois, values, _with_threshold)
            )
    for step in settings.sweep_eccentricities or _ECCENTRICITY_FACTORS:
        values = {}
        for roi in rois:
            if roi.rule.limits is None:
                continue
            low, high = roi.rule.limits
            limit = step if settings.sweep_eccentricities else round(high * step, 6)
            if limit > low:
                values[roi.name] = limit
        if values:
            yield Variant(varied="eccentricity", values=values, rois=_changed(rois, values, _up_to))


def _changed(
    rois: Sequence[RoiDefinition],
    values: Mapping[str, float],
    change: Callable[[RoiDefinition, float], RoiDefinition],
) -> tuple[RoiDefinition, ...]:
    return tuple(change(roi, values[roi.name]) if roi.name in values else roi for roi in rois)


def _with_threshold(roi: RoiDefinition, threshold: float) -> RoiDefinition:
    return replace(roi, rule=replace(roi.rule, localizer_threshold=threshold))


def _up_to(roi: RoiDefinition, limit: float) -> RoiDefinition:
    assert roi.rule.limits is not None
    return replace(roi, rule=replace(roi.rule, eccentricity=(roi.rule.limits[0], limit)))
