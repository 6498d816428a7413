"""Say settings by the long names of the options, as they are written to ``logs/``."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from bids_secondlevel.core.roi_rule import RoiRule
from bids_secondlevel.core.settings import Settings, is_stats_model

_OF_GROUP = (
    *("participant-label", "session-label", "task-label", "contrasts", "roi-contrasts", "space"),
    "hemi",
    *("exclude", "min-vertices", "min-coverage", "n-permutations", "model"),
    "skip-bids-validation",
)
"""Options that have an effect at group level."""

_OF_GROUP_ALONE = ("exclude", "min-coverage", "n-permutations", "model")


def settings_text(settings: Settings) -> str:
    """Write the settings that decide the results as TOML, to be passed back with ``--config``."""
    return tomli_w.dumps(settings_as_toml(settings))


def participant_settings(settings: Settings) -> list[str]:
    """Say the settings that decide the results of a participant, whoever else is processed."""
    options = settings_as_toml(replace(settings, participant_label=()))
    decisive = {name: value for name, value in options.items() if name not in _OF_GROUP_ALONE}
    return tomli_w.dumps(decisive).splitlines()


def settings_as_toml(settings: Settings) -> dict[str, Any]:
    """Say the settings by the long names of the options, those that decide the results."""
    filters = settings.bids_filter_file
    options: dict[str, Any] = {
        "participant-label": list(settings.participant_label),
        "session-label": list(settings.session_label),
        "derivatives": [
            f"{given.name}={_absolute(given.path)}" if given.name else _absolute(given.path)
            for given in settings.derivatives
        ],
        "bids-filter-file": _absolute(filters) if filters else None,
        "localizer-task": settings.localizer_task,
        "roi-contrasts": list(settings.roi_contrasts),
        "retinotopy-only": settings.retinotopy_only,
        **_rule_as_toml(settings.rule),
        "retinotopy-source": settings.retinotopy_source,
        "task-label": list(settings.task_label),
        "contrasts": list(settings.contrasts),
        "statistic": settings.statistic,
        "summary": settings.summary,
        "cross-validate": settings.cross_validate,
        "sweep": settings.sweep,
        "sweep-thresholds": list(settings.sweep_thresholds),
        "sweep-eccentricities": list(settings.sweep_eccentricities),
        "space": f"{settings.space}-{settings.density}" if settings.density else settings.space,
        "hemi": list(settings.hemi),
        "exclude": _absolute(settings.exclude) if settings.exclude else None,
        "min-coverage": settings.min_coverage,
        "n-permutations": settings.n_permutations,
        "model": model_as_given(settings.model),
        "skip-bids-validation": settings.skip_bids_validation,
        "roi": [
            {
                "name": roi.name,
                "contrasts": list(roi.contrasts),
                "combine": roi.combine,
                "exclude": list(roi.exclude),
                **_differing(_rule_as_toml(roi.rule), _rule_as_toml(settings.rule)),
            }
            for roi in settings.rois
        ],
    }
    if settings.analysis_level == "group":
        options = {name: options[name] for name in _OF_GROUP}
    return {name: value for name, value in options.items() if value not in (None, [])}


def model_as_given(model: str | None) -> str | None:
    """Make the path of a file absolute, as settings may be passed back from elsewhere."""
    is_file = model is not None and is_stats_model(model)
    return _absolute(Path(str(model))) if is_file else model


def _absolute(path: Path) -> str:
    """Write a path from the root on; bytes of names that are no Unicode are escaped."""
    return os.fsencode(path.absolute()).decode(errors="backslashreplace")


def _differing(own: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    """Keep what a ROI overrides; a kind of threshold goes with its threshold."""
    differing = {name: value for name, value in own.items() if default.get(name) != value}
    if "threshold-kind" in differing:
        differing["localizer-threshold"] = own["localizer-threshold"]
    return differing


def _rule_as_toml(rule: RoiRule) -> dict[str, Any]:
    values = {f.name.replace("_", "-"): getattr(rule, f.name) for f in fields(rule)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None
    }
