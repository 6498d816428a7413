"""Messages of the group level: differences between participants, and results."""

import logging
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import DataError
from bids_secondlevel.core.hemispheres import BOTH
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.results import GroupResults
from bids_secondlevel.core.roi_rule import RoiRule
from bids_secondlevel.core.rows import MISSING
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import ParticipantsTable
from bids_secondlevel.core.words import counted, did_you_mean, in_words, listed, shared
from bids_secondlevel.maps.files import read_text
from bids_secondlevel.outputs.names import GroupFolder, sidecar_of
from bids_secondlevel.outputs.tables import read_sidecar
from bids_secondlevel.stats.models.table import ModelResults

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger("bids_secondlevel")


def tell_definitions(common: Definition, settings: Settings) -> None:
    """Report choices made for participants, and settings that were ignored.

    The command line refuses options without effect at group level, but a config file may have them.

    Parameters
    ----------
    common
        How the ROIs of all participants were defined and measured.
    """
    rule = replace(settings.rule, min_vertices=RoiRule().min_vertices)  # which applies here too
    asked = rule.to_sidecar().items()
    there = [roi.to_sidecar(()).items() for roi in common.rois]
    different = [
        f"--{name} {given} instead of {used}"
        for name, given, usual, used in (
            ("statistic", settings.statistic, Settings.statistic, common.statistic),
            ("summary", settings.summary, Settings.summary, common.summary),
            ("localizer-task", settings.localizer_task, None, common.localizer_task),
        )
        if given not in (usual, used)
    ]
    if rule != RoiRule() and not any(asked <= of_roi for of_roi in there):
        different.append("another definition of the ROIs")
    if different:
        LOG.warning(
            "The config file asks for %s, but the tables of the participants were made with other "
            "settings. These act only at participant level; run it again to change the results.",
            in_words(different),
        )
    for choice in common.choices:
        LOG.warning(choice)


def tell_labels(
    estimates: "pd.DataFrame", about: ParticipantsTable, definition: Definition
) -> None:
    """Report labels of ``[labels]`` that do not exist.

    Parameters
    ----------
    estimates
        All rows of the participants' tables.
    """
    there = {*definition.labels, *estimates["roi"], *estimates["contrast"]}
    groups = {value for of in about.values.values() for value in of.values() if value}
    unused = [label for label in definition.wording.labels if label not in there | groups]
    if unused:
        meant = "; ".join(f"{of}: {said}" for of in unused if (said := did_you_mean(of, there)))
        LOG.warning(
            "[labels] of the config file: no ROI, contrast or group is called %s%s. Write labels "
            "as in the tables.",
            listed(unused),
            f" ({meant})" if meant else "",
        )


def tell_unequal(estimates: "pd.DataFrame") -> None:
    """Report participants without rows that others have.

    The participant level writes a row for everything that was asked for, also if a map is missing.

    Parameters
    ----------
    estimates
        The selected rows of the participants' tables.
    """
    everyone = list(dict.fromkeys(estimates["participant_id"]))
    columns = ["task", "contrast", "participant_id"]
    lacking: dict[tuple[str, ...], list[str]] = {}
    for what, rows in estimates[columns].drop_duplicates().groupby(columns[:2], sort=False):
        having = set(rows["participant_id"])
        without = tuple(who for who in everyone if who not in having)
        if without:
            lacking.setdefault(without, []).append(" ".join(map(str, what)))
    for without, contrasts in lacking.items():
        LOG.warning(
            "%s: no rows of %s, which others have. These participants were processed with other "
            "tasks or contrasts, or before such maps existed. The missing rows get the status "
            "missing_map.",
            listed(list(without), 5),
            listed(contrasts, 5),
        )


def tell_replaced(results: GroupResults, folder: GroupFolder) -> None:
    """Report that results of other settings are replaced."""
    statistics = folder.table("statistics")
    try:
        before = tomllib.loads(read_text(folder.settings))
        sidecar = read_sidecar(statistics)
        definition = Definition.from_sidecar(sidecar, sidecar_of(statistics))
    except (OSError, ValueError, DataError):  # there are none, or they cannot be used
        return
    now = tomllib.loads(results.settings)
    told = [
        _changed(key, before.get(key), now.get(key))
        for key in dict.fromkeys((*before, *now))
        if before.get(key) != now.get(key) and key not in ("units", "labels")
    ]
    excluded = set(sidecar.get("Selection", {}).get("Excluded", {}))
    if "exclude" in before and "exclude" in now and excluded != set(results.exclusions):
        told.append("other participants were excluded")
    if definition.decisive() != results.definition.decisive():
        told.append("the ROIs were defined or measured differently")
    if told:
        LOG.warning(
            "%s: the group results of other settings are replaced (%s). To keep both, give one of "
            "them a name: --analysis-name NAME.",
            folder.path,
            "; ".join(told),
        )


def _changed(key: str, before: Any, now: Any) -> str:
    """Name a setting and both its values, or the entries of a config file that are others."""
    if any(isinstance(value, list) and isinstance(value[0], dict) for value in (before, now)):
        return f"{'no' if before is None else 'other'} [[{key}]] entries before"
    return f"--{key} {_given(before)} before, {_given(now)} now"


def _given(value: Any) -> str:
    if value is None:
        return "not given"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def tell_results(results: GroupResults, folder: GroupFolder) -> None:
    """Report how many tests there are."""
    if results.dependences:
        LOG.warning(
            "%s, in all participants. A contrast is not compared with its own parts.",
            "; ".join(results.dependences),
        )
    tests = results.statistics[results.statistics["group"] == EVERYBODY]
    is_circular = tests["independence"] == "circular"
    is_tested = tests["p"].notna()
    n_pooled = (is_tested & (tests["hemi"] == BOTH)).sum()
    n_untested = (~is_tested & ~is_circular).sum()
    LOG.info(
        "%s (%d of both hemispheres, %d of one)%s%s; see %s.",
        counted(is_tested.sum(), "test"),
        n_pooled,
        is_tested.sum() - n_pooled,
        f"; {counted(is_circular.sum(), 'circular row')} not tested" if is_circular.any() else "",
        f"; {counted(n_untested, 'other row')} without a test (column note)" if n_untested else "",
        folder.table("statistics"),
    )


def tell_participants(results: GroupResults) -> None:
    """Report verdicts about participants, each reason once.

    Missing and unreadable tables were reported when they were read.
    """
    estimates, people = results.estimates, results.participants
    is_told = estimates["status"].isin(("missing_participant", "unreadable_table"))
    is_new = ~people["participant_id"].isin(estimates.loc[is_told, "participant_id"])
    said = people.loc[is_new & (people["reasons"] != MISSING), ["participant_id", "reasons"]]
    for message in shared(said.itertuples(index=False, name=None)):
        LOG.warning(message)
    parts = []
    for verdict, word in (("ready", "ready"), ("check", "to check"), ("unusable", "unusable")):
        of = list(people.loc[people["verdict"] == verdict, "participant_id"])
        named = f" ({listed(of)})" if verdict != "ready" else ""
        parts += [f"{len(of)} {word}{named}"] if of or verdict == "ready" else []
    LOG.info("%s: %s.", counted(len(people), "participant"), ", ".join(parts))


def tell_model(model: ModelResults, given: str, folder: GroupFolder) -> None:
    """Report notes about a model, and the file of its results.

    Raises
    ------
    DataError
        If no model could be fitted.
    """
    for message in model.messages:
        LOG.warning("--model: %s", message)
    LOG.info("--model: see %s", folder.model)
    if (model.table["quantity"] == MISSING).all():
        raise DataError(
            f"--model {given}: no model could be fitted. The reasons are in the column note of "
            f"{folder.table('model')}."
        )
