"""Name and write the outputs, and find our own tables again."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from bids_secondlevel import __version__
from bids_secondlevel.measures import COMBINATIONS, EstimateRow
from bids_secondlevel.model import (
    Absent,
    Dataset,
    EstimateSource,
    Hemisphere,
    MapSource,
    Mask,
    Masks,
    ParticipantFiles,
    Plan,
    SourceFile,
)
from bids_secondlevel.settings import RoiRule, Settings
from bids_secondlevel.stats import StatisticRow
from bids_secondlevel.surfaces import label_gifti
from bids_secondlevel.writing import write_atomically, write_json, write_table

BIDS_VERSION = "1.10.0"
TOOL = "bids_secondlevel"
ESTIMATES = "desc-roi_estimates"

# What the BIDS schema does not know yet; the validator passes over these.
_BIDSIGNORE = """\
*_mask.label.gii
*_mask.json
*_estimates.tsv
*_estimates.json
group_*.tsv
group_*.json
*.html
figures/
logs/
"""


@dataclass(frozen=True)
class ParticipantFolder:
    """Where the results of a participant go, and what they are called.

    `session` is set when a job processes exactly one session, so that the jobs of several
    sessions do not write the same files.
    """

    output_dir: Path
    label: str
    space: str | None
    session: str | None = None

    @property
    def path(self) -> Path:
        """The ``func`` folder of the participant (and session)."""
        folder = self.output_dir / f"sub-{self.label}"
        return (folder / f"ses-{self.session}" if self.session else folder) / "func"

    @property
    def estimates(self) -> Path:
        """The table of this participant."""
        return self.path / f"{self._name(space=self.space)}_{ESTIMATES}.tsv"

    def mask(self, hemisphere: Hemisphere, label: str, desc: str, task: str | None = None) -> Path:
        """Name the file of a mask; `desc` is ``retinotopy``, ``localizer`` or ``combined``."""
        name = self._name(task=task, hemi=hemisphere, space=self.space, label=label, desc=desc)
        return self.path / f"{name}_mask.label.gii"

    @property
    def entities(self) -> dict[str, str]:
        """Columns of the table that are also entities of its name."""
        columns = {"session": self.session, "space": self.space}
        return {name: label for name, label in columns.items() if label is not None}

    @property
    def prefix(self) -> str:
        """How every name begins: participant, and session where there is one."""
        return self._name()

    def _name(self, **entities: str | None) -> str:
        known = {"sub": self.label, "ses": self.session, **entities}
        return "_".join(f"{key}-{value}" for key, value in known.items() if value is not None)


@dataclass(frozen=True)
class ParticipantResults:
    """Everything that was found out about a participant.

    Attributes
    ----------
    files : ParticipantFiles
        What was read.
    retinotopic : mapping of hemisphere to mask or Absent
    localized, rois : mapping of localizer contrast to hemisphere to mask or Absent
    rows : sequence of EstimateRow
    """

    files: ParticipantFiles
    retinotopic: Masks
    localized: Mapping[str, Masks]
    rois: Mapping[str, Masks]
    rows: Sequence[EstimateRow]


def write_participant(results: ParticipantResults, plan: Plan, settings: Settings) -> None:
    """Write the masks and the table of a participant.

    The table comes last, so that it stands for a finished participant.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    files = results.files
    sessions = settings.session_label
    folder = ParticipantFolder(
        settings.output_dir, files.label, plan.space, sessions[0] if len(sessions) == 1 else None
    )
    _write_masks(results, plan, settings.rule, folder)
    write_atomically(
        settings.output_dir / "logs" / f"{folder.prefix}_settings.toml",
        tomli_w.dumps(
            settings_as_toml(replace(settings, participant_label=(files.label,)))
        ).encode(),
    )
    measured = [
        source.uri
        for estimate in files.estimates
        for maps in estimate.maps.values()
        for source in maps.files
    ]
    write_table(
        folder.estimates,
        results.rows,
        EstimateRow,
        {
            "Rule": describe_rule(settings.rule),
            "LocalizerTask": plan.localizer_task,
            "RetinotopySource": files.retinotopy_source,
            "CombinedRuns": _combined_runs(files.estimates),
            "SoftwareVersion": __version__,
            "Sources": measured,
        },
        folder.entities,
    )


def _write_masks(
    results: ParticipantResults, plan: Plan, rule: RoiRule, folder: ParticipantFolder
) -> None:
    files = results.files
    described = describe_rule(rule)
    retinotopy = {
        hemi: (source.visual_area, source.eccentricity) for hemi, source in files.retinotopy.items()
    }
    for hemi, mask in _present(results.retinotopic):
        areas = "".join(rule.visual_areas)
        _write_mask(
            folder.mask(hemi, areas, "retinotopy"),
            mask,
            hemi,
            areas,
            roi_metadata(
                "Vertices of the visual areas within the eccentricity range",
                retinotopy[hemi],
                described,
            ),
        )
    for contrast, masks in results.localized.items():
        for hemi, mask in _present(masks):
            _write_mask(
                folder.mask(hemi, contrast, "localizer", plan.localizer_task),
                mask,
                hemi,
                contrast,
                roi_metadata(
                    "Vertices that the localizer contrast activates",
                    files.localizers[contrast][hemi].files,
                    _localizer_rule(described, files.localizers[contrast][hemi]),
                ),
            )
    for contrast, masks in results.rois.items():
        for hemi, mask in _present(masks):
            _write_mask(
                folder.mask(hemi, contrast, "combined", plan.localizer_task),
                mask,
                hemi,
                contrast,
                roi_metadata(
                    "Individual ROI: retinotopy mask and localizer mask intersected",
                    (*retinotopy[hemi], *files.localizers[contrast][hemi].files),
                    _localizer_rule(described, files.localizers[contrast][hemi]),
                ),
            )


def _combined_runs(estimates: Iterable[EstimateSource]) -> list[dict[str, Any]]:
    """Say which maps were combined from those of several runs, and how."""
    return [
        {
            "session": estimate.session,
            "task": estimate.task,
            "contrast": estimate.contrast,
            "hemi": hemi,
            "n_runs": len(source.maps),
            "Combination": COMBINATIONS[source.combination],
        }
        for estimate in estimates
        for hemi, source in estimate.maps.items()
        if source.combination != "single"
    ]


def _localizer_rule(described: Mapping[str, Any], source: MapSource) -> dict[str, Any]:
    """Add to the rule how the z map came about, where it was combined from several."""
    if source.combination == "single":
        return dict(described)
    return {**described, "LocalizerCombination": COMBINATIONS[source.combination]}


def _present(masks: Masks) -> Iterator[tuple[Hemisphere, Mask]]:
    for hemi, mask in masks.items():
        if not isinstance(mask, Absent):
            yield hemi, mask


def _write_mask(
    path: Path, mask: Mask, hemisphere: Hemisphere, label: str, sidecar: Mapping[str, Any]
) -> None:
    vertices = {"VertexCount": int(mask.sum()), "SurfaceVertexCount": int(mask.size)}
    write_json(path.with_name(path.name.replace(".label.gii", ".json")), {**sidecar, **vertices})
    write_atomically(path, label_gifti(mask, hemisphere, label))


def roi_metadata(
    description: str, sources: Iterable[SourceFile], rule: Mapping[str, Any]
) -> dict[str, Any]:
    """Sidecar of a mask (BIDS specification, "Derivatives / Masks")."""
    return {
        "Type": "ROI",
        "Description": description,
        "Sources": [source.uri for source in sources],
        "Rule": dict(rule),
    }


def describe_rule(rule: RoiRule) -> dict[str, Any]:
    """Say the definition of the ROIs with its numbers, as sidecars do."""
    return {
        "VisualAreas": list(rule.visual_areas),
        "VisualAreaLabels": list(rule.area_labels),
        "EccentricityGreaterThan": rule.eccentricity[0],
        "EccentricityLessThan": rule.eccentricity[1],
        "LocalizerZGreaterThan": rule.localizer_threshold,
    }


def find_estimates(output_dir: Path) -> dict[str, list[Path]]:
    """Find the tables written by the participant level.

    Returns
    -------
    dict
        Paths of each participant's tables by label without ``sub-``; both sorted.
    """
    found: dict[str, list[Path]] = {}
    for pattern in ("sub-*/func", "sub-*/ses-*/func"):
        for path in sorted(output_dir.glob(f"{pattern}/sub-*_{ESTIMATES}.tsv")):
            label = path.relative_to(output_dir).parts[0].removeprefix("sub-")
            found.setdefault(label, []).append(path)
    return dict(sorted(found.items()))


def write_group(
    output_dir: Path,
    rows: Sequence[EstimateRow],
    statistics: Sequence[StatisticRow],
    definition: Mapping[str, Any],
) -> None:
    """Write the tables of the group level.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    metadata = {**definition, "SoftwareVersion": __version__}
    write_table(output_dir / "group_estimates.tsv", rows, EstimateRow, metadata)
    write_table(output_dir / "group_statistics.tsv", statistics, StatisticRow, metadata)


def write_dataset_files(
    output_dir: Path, datasets: Sequence[Dataset], bids_dir: Path, description: Mapping[str, Any]
) -> None:
    """Write what makes the output a BIDS derivative dataset; the same whoever writes it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    links = {"raw": bids_dir, **{dataset.name: dataset.root for dataset in datasets}}
    relative = {name: _relative_uri(root, output_dir) for name, root in links.items()}
    sources = []
    for name, root in relative.items():
        source = {"URL": root}
        if name == "raw" and isinstance(description.get("DatasetDOI"), str):
            source["DOI"] = description["DatasetDOI"]
        sources.append(source)
    generated_by: dict[str, Any] = {
        "Name": TOOL,
        "Version": __version__,
        "Description": "Individual ROIs from retinotopy and localizers, measured and tested",
    }
    container = _container()
    if container:
        generated_by["Container"] = container
    write_json(
        output_dir / "dataset_description.json",
        {
            "Name": "bids_secondlevel: individual regions of interest and estimates in them",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [generated_by],
            "SourceDatasets": sources,
            "DatasetLinks": relative,
        },
    )
    write_atomically(output_dir / ".bidsignore", _BIDSIGNORE.encode())


def settings_as_toml(settings: Settings) -> dict[str, Any]:
    """Say the settings by the long names of the options, those that decide the results."""
    rule = settings.rule
    options: dict[str, Any] = {
        "participant-label": list(settings.participant_label),
        "session-label": list(settings.session_label),
        "derivatives": [
            f"{given.name}={given.path.absolute()}" if given.name else str(given.path.absolute())
            for given in settings.derivatives
        ],
        "localizer-task": settings.localizer_task,
        "roi-contrasts": list(settings.roi_contrasts),
        "localizer-threshold": rule.localizer_threshold,
        "visual-areas": list(rule.visual_areas),
        "eccentricity": list(rule.eccentricity),
        "retinotopy-source": settings.retinotopy_source,
        "task-label": list(settings.task_label),
        "contrasts": list(settings.contrasts),
        "statistic": settings.statistic,
        "space": settings.space,
        "bids-filter-file": str(settings.bids_filter_file.absolute())
        if settings.bids_filter_file
        else None,
        "skip-bids-validation": settings.skip_bids_validation,
    }
    return {name: value for name, value in options.items() if value not in (None, [])}


def _relative_uri(root: Path, output_dir: Path) -> str:
    """Give a path relative to the output, so that both can be moved together."""
    return Path(os.path.relpath(root.absolute(), output_dir.absolute())).as_posix()


def _container() -> dict[str, str] | None:
    """Tell the container this runs in, if it says so."""
    tag = os.environ.get("BIDS_SECONDLEVEL_CONTAINER")
    if os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER"):
        return {"Type": "apptainer", **({"Tag": tag} if tag else {})}
    return {"Type": "docker", "Tag": tag} if tag else None
