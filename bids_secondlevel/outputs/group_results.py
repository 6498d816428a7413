"""Write and read the results of the group."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_secondlevel import __version__
from bids_secondlevel.core.definition import Definition
from bids_secondlevel.core.errors import InputMissingError
from bids_secondlevel.core.inference import Inference
from bids_secondlevel.core.results import FittedModel, GroupResults
from bids_secondlevel.core.rows import stacked
from bids_secondlevel.core.settings import is_stats_model, model_as_given
from bids_secondlevel.maps.files import read_json_object
from bids_secondlevel.outputs.files import remove_leftovers, replace_files, write_files
from bids_secondlevel.outputs.names import GroupFolder, sidecar_of
from bids_secondlevel.outputs.results import encode_tables, read_optional
from bids_secondlevel.outputs.tables import encode_table, read_sidecar, read_table, table_text
from bids_secondlevel.rois.estimates import ESTIMATE_COLUMNS
from bids_secondlevel.rois.sweep import SWEEP_COLUMNS
from bids_secondlevel.stats import comparisons, planned
from bids_secondlevel.stats.anova import ANOVA_COLUMNS
from bids_secondlevel.stats.comparisons import COMPARISON_COLUMNS
from bids_secondlevel.stats.models.table import MODEL_COLUMNS
from bids_secondlevel.stats.planned import PLANNED_COLUMNS, PLANNED_ESTIMATE_COLUMNS
from bids_secondlevel.stats.readiness import PARTICIPANT_COLUMNS, participant_schema
from bids_secondlevel.stats.reliability import RELIABILITY_COLUMNS
from bids_secondlevel.stats.roi_shares import GROUP_QUALITY_COLUMNS
from bids_secondlevel.stats.testing import one_sample as stats
from bids_secondlevel.stats.testing.one_sample import (
    STATISTIC_COLUMNS,
    describe_flips,
    describe_tests,
)
from bids_secondlevel.stats.vertices import MAP_COLUMNS
from bids_secondlevel.stats.visual_field import FIELD_TEST_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def write_group(results: GroupResults, folder: GroupFolder) -> None:
    """Write the tables of the group, and remove others from an earlier run.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    participants = participant_schema(map(str, results.participants))
    defined = {**results.definition.to_group_sidecar(), "SoftwareVersion": __version__}
    estimated = {**defined, **_selection(results), **_groups(results)}
    named = {"StudyName": results.study} if results.study else {}
    tested = {**estimated, **named, **describe_tests(results.inference, stats.FAMILY)}
    compared = {
        **estimated,
        "Differences": comparisons.DIFFERENCES,
        "Hemispheres": comparisons.HEMISPHERES_COMPARED,
        "DependentContrasts": list(results.dependences),
        **describe_tests(results.inference, comparisons.FAMILY),
    }
    as_planned = {**estimated, **describe_tests(results.inference, planned.FAMILY)}
    in_field = {**defined, **_groups(results), **describe_flips(results.inference)}
    tables = encode_tables(
        folder,
        ("quality", results.quality, GROUP_QUALITY_COLUMNS, defined),
        ("estimates", results.estimates, ESTIMATE_COLUMNS, estimated),
        ("participants", results.participants, participants, estimated),
        ("comparisons", results.comparisons, COMPARISON_COLUMNS, compared),
        ("planned", results.planned, PLANNED_COLUMNS, as_planned),
        ("plannedestimates", results.planned_estimates, PLANNED_ESTIMATE_COLUMNS, estimated),
        ("anova", results.anova, ANOVA_COLUMNS, estimated),
        ("reliability", results.reliability, RELIABILITY_COLUMNS, estimated),
        ("sweep", results.sweep, SWEEP_COLUMNS, estimated),
        ("visualfield", results.visual_field, FIELD_TEST_COLUMNS, in_field),
        ("statistics", results.statistics, STATISTIC_COLUMNS, tested),
    )
    as_run = {folder.settings: results.settings.encode()}
    remove_leftovers(folder.folders)
    replace_files(folder.numbers(), {**as_run, **tables})


def _groups(results: GroupResults) -> dict[str, Any]:
    return {"Groups": dict(results.groups)} if results.groups else {}


def _selection(results: GroupResults) -> dict[str, Any]:
    """Describe excluded estimates, for the sidecars of the group's tables."""
    return {
        "Selection": {
            "MinVertices": results.min_vertices,
            "MinCoverage": results.min_coverage,
            "Excluded": dict(results.exclusions),
        }
    }


def write_map_tables(results: GroupResults, folder: GroupFolder) -> None:
    """Write what was found in the maps of the group as a table, and how ROIs agree in another.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    defined = {**results.definition.to_group_sidecar(), "SoftwareVersion": __version__}
    found = {**defined, **_groups(results)}
    tables = encode_tables(
        folder,
        ("quality", results.quality, GROUP_QUALITY_COLUMNS, defined),
        ("maps", results.maps, MAP_COLUMNS, found),
    )
    write_files(tables)


def write_model(model: FittedModel, results: GroupResults, folder: GroupFolder) -> None:
    """Write a fitted model as a table, and as text to ``logs/``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    given = model_as_given(model.given)
    about = {**results.definition.to_group_sidecar(), "Model": given, **_selection(results)}
    if is_stats_model(model.given):
        about["ModelSpecification"] = read_json_object(Path(model.given))
    about["SoftwareVersion"] = __version__
    table = encode_table(folder.table("model"), model.fits, MODEL_COLUMNS, about)
    replace_files((), {folder.model: model.summary.encode(), **table})


def read_group(folder: GroupFolder) -> GroupResults:
    """Read the results of the group.

    Raises
    ------
    InputMissingError
        If the group level has not been run.
    DataError
        If a table cannot be read.
    """
    statistics = folder.table("statistics")
    if not statistics.exists():
        raise InputMissingError(
            f"{statistics}: this file does not exist. Run the group level first."
        )
    sidecar = read_sidecar(statistics)
    selection = sidecar.get("Selection", {})
    compared = folder.table("comparisons")
    return GroupResults(
        definition=Definition.from_sidecar(sidecar, sidecar_of(statistics)),
        study=sidecar.get("StudyName"),
        exclusions=selection.get("Excluded", {}),
        min_vertices=selection.get("MinVertices", 1),
        min_coverage=selection.get("MinCoverage", 0.0),
        inference=Inference(
            n_permutations=sidecar.get("MaximumNumberOfFlips", 0),
            family=sidecar.get("FamilyKind", "contrast"),
            equivalence_bound=sidecar.get("EquivalenceBound"),
        ),
        analysis=folder.analysis,
        groups=sidecar.get("Groups", {}),
        settings=_read_text(folder.settings),
        estimates=read_table(folder.table("estimates"), ESTIMATE_COLUMNS),
        participants=_read_participants_table(folder.table("participants")),
        statistics=read_table(statistics, STATISTIC_COLUMNS),
        comparisons=read_optional(compared, COMPARISON_COLUMNS),
        dependences=tuple(
            read_sidecar(compared).get("DependentContrasts", ()) if compared.exists() else ()
        ),
        planned=read_optional(folder.table("planned"), PLANNED_COLUMNS),
        planned_estimates=read_optional(folder.table("plannedestimates"), PLANNED_ESTIMATE_COLUMNS),
        anova=read_optional(folder.table("anova"), ANOVA_COLUMNS),
        quality=read_optional(folder.table("quality"), GROUP_QUALITY_COLUMNS),
        reliability=read_optional(folder.table("reliability"), RELIABILITY_COLUMNS),
        sweep=read_optional(folder.table("sweep"), SWEEP_COLUMNS),
        visual_field=read_optional(folder.table("visualfield"), FIELD_TEST_COLUMNS),
        maps=read_optional(folder.table("maps"), MAP_COLUMNS),
        portrait=folder.portrait.read_bytes() if folder.portrait.exists() else None,
        explorer=folder.explorer.name if folder.explorer.exists() else None,
        model=_read_model(folder),
    )


def _read_participants_table(path: Path) -> "pd.DataFrame":
    """Read a table that ends with the columns of ``participants.tsv``."""
    if not path.exists():
        return stacked((), PARTICIPANT_COLUMNS)
    header = table_text(path).partition("\n")[0]
    return read_table(path, participant_schema(header.split("\t")))


def _read_model(folder: GroupFolder) -> FittedModel | None:
    path = folder.table("model")
    if not path.exists():
        return None
    return FittedModel(
        given=str(read_sidecar(path).get("Model")),
        fits=read_table(path, MODEL_COLUMNS),
        summary=_read_text(folder.model),
    )


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
