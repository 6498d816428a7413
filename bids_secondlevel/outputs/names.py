"""Names of the files of results, and lists of the existing ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.wording import FigureFormat
from bids_secondlevel.maps.files import read_json

ESTIMATES = "desc-roi_estimates"
SWEEP = "desc-sweep_estimates"
RUNS = "desc-runs_estimates"
QUALITY = "desc-roi_quality"
OVERLAP = "desc-roi_overlap"
VISUAL_FIELD = "desc-visualfield_estimates"
CORTEX = "desc-rois_cortex"
THUMBNAIL = "desc-rois_thumbnail"
ANALYSES = "analyses"
"""The folder of group analyses that have a name."""
_TABLES = (ESTIMATES, QUALITY, OVERLAP, SWEEP, RUNS, VISUAL_FIELD)

_OF_GROUP = (
    "estimates",
    "participants",
    "quality",
    "sweep",
    "visualfield",
    "statistics",
    "comparisons",
    "planned",
    "plannedestimates",
    "anova",
    "reliability",
    "maps",
    "model",
)

_MASKS = ("retinotopy", "localizer", "combined")
_SURFACE, _VOLUME = _ENDINGS = (".label.gii", ".nii.gz")
_MAP = "_statmap.func.gii"


@dataclass(frozen=True)
class ParticipantFolder:
    """Folder and file names of the results of a participant."""

    output_dir: Path
    label: str
    space: str | None
    session: str | None = None
    """Set if a job processes exactly one session. Jobs of several sessions then write different
    files."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of the participant's outputs."""
        return (self._folder("func"), self._folder("anat"), self._figures)

    @property
    def entities(self) -> dict[str, str]:
        """Columns of the tables that are also entities of file names."""
        columns = {"session": self.session, "space": self.space}
        return {name: label for name, label in columns.items() if label is not None}

    def table(self, name: str) -> Path:
        """Name the file of a table, such as :data:`ESTIMATES`."""
        return self._folder("func") / f"{self._name(space=self.space)}_{name}.tsv"

    def mask(
        self, hemisphere: Hemisphere | None, label: str, desc: str, task: str | None = None
    ) -> Path:
        """Name the file of a mask; `desc` is ``retinotopy``, ``localizer`` or ``combined``.

        A mask without a hemisphere is a volume, which BIDS has in ``func`` only with a task.
        """
        name = self._name(task=task, hemi=hemisphere, space=self.space, label=label, desc=desc)
        folder = self._folder("anat" if task is None and hemisphere is None else "func")
        return folder / f"{name}_mask{_SURFACE if hemisphere else _VOLUME}"

    def segmentation(self, hemisphere: Hemisphere | None) -> Path:
        """Name the label file of all ROIs in one hemisphere, or in a volume."""
        name = self._name(hemi=hemisphere, space=self.space, seg="roi")
        return self._folder("anat") / f"{name}_dseg{_SURFACE if hemisphere else _VOLUME}"

    @property
    def segmentation_table(self) -> Path:
        """The table of the labels, shared by hemispheres and spaces."""
        return self._folder("anat") / f"{self._name(seg='roi')}_dseg.tsv"

    @property
    def portrait(self) -> Path:
        """The picture of the cortex; pictures of all sessions are in one folder."""
        return self._figures / f"{self._name(space=self.space)}_{CORTEX}.svg"

    @property
    def thumbnail(self) -> Path:
        """The ROIs on the cortex, small, which the page of the group shows."""
        return self._figures / f"{self._name(space=self.space)}_{THUMBNAIL}.png"

    def figure(self, name: str, kind: FigureFormat = "svg") -> Path:
        """Name the file of a chart, or without a name that of the picture of the cortex."""
        entities = name.removeprefix(f"ses-{self.session}_")  # already in the prefix
        path = self._figures / _chart_name(self._name(), entities) if name else self.portrait
        return path.with_suffix(f".{kind}")

    @property
    def page(self) -> Path:
        """The page about the participant."""
        return self.output_dir / f"{self._name()}.html"

    @property
    def explorer(self) -> Path:
        """The page with the cortex in three dimensions."""
        return self.output_dir / f"{self._name()}_explore.html"

    @property
    def settings(self) -> Path:
        """The settings of the run."""
        return self._log("settings.toml")

    @property
    def report(self) -> Path:
        """The content of a page beside the tables."""
        return self._log("report.json")

    @property
    def run(self) -> Path:
        """The record of a successful run."""
        return self._log("run.json")

    def results(self) -> list[Path]:
        """List existing results, without those of other sessions and spaces; sorted."""
        return sorted((*self.numbers(), *self.pages()))

    def numbers(self) -> list[Path]:
        """List existing masks and tables, with their sidecars.

        The table of labels is omitted if label files in other spaces need it.
        """
        tables = [self.table(name) for name in _TABLES]
        labels = [self.segmentation(hemisphere) for hemisphere in (*HEMISPHERES, None)]
        described = [*tables, *labels, *self._masks()]
        every = [*described, *map(sidecar_of, described), self.settings]
        anat = self._folder("anat")
        found = {p for end in _ENDINGS for p in anat.glob(f"{self._name()}_*seg-roi_dseg{end}")}
        if found <= set(labels):
            every.append(self.segmentation_table)
        return [path for path in every if path.is_file()]

    def pages(self) -> list[Path]:
        """List the pages that are there, their pictures, and what they take besides the tables."""
        pictures = (self.portrait, self.thumbnail, *self.charts())
        every = (self.page, self.explorer, self.report, *pictures)
        return [path for path in every if path.is_file()]

    def charts(self) -> list[Path]:
        """List the existing charts, and what was made of the picture of the cortex."""
        charts = [
            path
            for path in self._figures.glob(f"{self._name()}_*_chart.*")
            if (self.session or not path.name.startswith(f"{self._name()}_ses-"))
            and ("_space-" not in path.name or self._is_in_space(path))
        ]
        return charts + [path for path in _made_of(self.portrait) if path.is_file()]

    def _masks(self) -> list[Path]:
        return [
            path
            for datatype, desc, ending in product(("func", "anat"), _MASKS, _ENDINGS)
            for path in self._folder(datatype).glob(f"{self._name()}_*desc-{desc}_mask{ending}")
            if self._is_in_space(path) and _is_ours(path)
        ]

    def tables_and_pictures(self) -> list[Path]:
        """List existing tables and pictures; without a space, those of every space."""
        spaces = (f"_space-{self.space}",) if self.space else ("", "_space-*")
        return [
            path
            for folder, names in (
                (self._folder("func"), [f"_{name}.tsv" for name in _TABLES]),
                (self._figures, [f"_{CORTEX}.svg", f"_{THUMBNAIL}.png"]),
            )
            for path in sorted(
                path
                for space, name in product(spaces, names)
                for path in folder.glob(f"{self._name()}{space}{name}")
            )
        ]

    def _is_in_space(self, path: Path) -> bool:
        if self.space is None:
            return "_space-" not in path.name
        return f"_space-{self.space}_" in path.name

    @property
    def _figures(self) -> Path:
        return self.output_dir / f"sub-{self.label}" / "figures"

    def _folder(self, datatype: str) -> Path:
        folder = self.output_dir / f"sub-{self.label}"
        return (folder / f"ses-{self.session}" if self.session else folder) / datatype

    def _log(self, name: str) -> Path:
        return self.output_dir / "logs" / f"{self._name()}_{name}"

    def _name(self, **entities: str | None) -> str:
        known = {"sub": self.label, "ses": self.session, **entities}
        return "_".join(f"{key}-{value}" for key, value in known.items() if value is not None)


@dataclass(frozen=True)
class GroupFolder:
    """Folder and file names of the results of the group."""

    output_dir: Path
    analysis: str | None = None
    """Name of the analysis, if it has one."""

    @property
    def path(self) -> Path:
        """The folder of all results of the group."""
        return self.output_dir / ANALYSES / self.analysis if self.analysis else self.output_dir

    @property
    def logs(self) -> Path:
        """The folder of settings and texts."""
        return self.path / "logs"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of the group's outputs."""
        return (self.path, self.logs, self.path / "figures")

    def table(self, name: str) -> Path:
        """Name the file of a table, such as ``statistics``."""
        return self.path / f"group_{name}.tsv"

    def figure(self, name: str, kind: FigureFormat = "svg") -> Path:
        """Name the file of a chart, or without a name that of the picture of the maps."""
        path = self.path / "figures" / _chart_name("group", name) if name else self.portrait
        return path.with_suffix(f".{kind}")

    def map(self, hemisphere: Hemisphere, stat: str, **entities: str | None) -> Path:
        """Name the file of a map on the common surface.

        Examples
        --------
        >>> of = {"task": "main", "space": "fsLR", "den": "59k", "contrast": "attend"}
        >>> GroupFolder(Path("out")).map("L", "t", **of).name
        'group_task-main_space-fsLR_den-59k_hemi-L_contrast-attend_stat-t_statmap.func.gii'
        """
        before = {name: entities.get(name) for name in ("ses", "task", "space", "den")}
        after = {name: entities.get(name) for name in ("label", "contrast")}
        every = {**before, "hemi": hemisphere, **after, "stat": stat, "desc": entities.get("desc")}
        named = (f"{name}-{label}" for name, label in every.items() if label is not None)
        return self.path / f"group_{'_'.join(named)}{_MAP}"

    @property
    def portrait(self) -> Path:
        """The picture of the maps."""
        return self.path / "figures" / "group_desc-maps_cortex.svg"

    @property
    def page(self) -> Path:
        """The page about the group."""
        return self.path / "group.html"

    @property
    def explorer(self) -> Path:
        """The page with the maps in three dimensions."""
        return self.path / "group_explore.html"

    @property
    def settings(self) -> Path:
        """The settings of the run."""
        return self.logs / "group_settings.toml"

    @property
    def model(self) -> Path:
        """The fitted model in words."""
        return self.logs / "group_model.txt"

    @property
    def words(self) -> Path:
        """The results in sentences."""
        return self.logs / "results.md"

    def numbers(self) -> list[Path]:
        """List the tables and maps that are there, with what belongs to them."""
        tables = [self.table(name) for name in _OF_GROUP]
        every = (*tables, *map(sidecar_of, tables), self.settings, self.model)
        return [*(path for path in every if path.is_file()), *self.maps()]

    def maps(self) -> list[Path]:
        """List the maps that are there, with what belongs to them."""
        found = sorted(self.path.glob(f"group_*{_MAP}"))
        every = (*found, *map(sidecar_of, found), self.portrait)
        return [path for path in every if path.is_file()]

    def pages(self) -> list[Path]:
        """List the existing pages and their charts."""
        every = (self.page, self.explorer, *self.charts())
        return [path for path in every if path.is_file()]

    def charts(self) -> list[Path]:
        """List the existing charts, and what was made of the picture of the maps."""
        charts = list((self.path / "figures").glob("group_*_chart.*"))
        return charts + [path for path in _made_of(self.portrait) if path.is_file()]

    def pages_of(self, participants: Iterable[str]) -> dict[str, str]:
        """List existing pages of participants, relative to the page of the group.

        Paths by participant (with ``sub-``).
        """
        pages = {participant: f"{participant}.html" for participant in participants}
        up = "../../" if self.analysis else ""
        return {
            of: f"{up}{name}" for of, name in pages.items() if (self.output_dir / name).exists()
        }

    def thumbnails_of(self, participants: Iterable[str]) -> dict[str, Path]:
        """Find the small pictures of participants (with ``sub-``) that have one, in any space."""
        found: dict[str, Path] = {}
        for participant in participants:
            figures = self.output_dir / participant / "figures"
            there = figures.glob(f"{participant}_*{THUMBNAIL}.png")
            if first := min(there, default=None):
                found[participant] = first
        return found


def find_estimates(output_dir: Path) -> dict[str, list[Path]]:
    """Find the tables of estimates written by the participant level.

    Returns
    -------
    dict
        Paths of each participant's tables by label without ``sub-``; both sorted.

    Raises
    ------
    PermissionError
        If a folder cannot be read: its participant must not be treated as missing.
    """
    found: dict[str, list[Path]] = {}
    for participant in output_dir.glob("sub-*"):
        if not participant.is_dir():
            continue
        sessions = [path for path in participant.iterdir() if path.name.startswith("ses-")]
        tables = [
            path
            for folder in (participant / "func", *(session / "func" for session in sessions))
            if folder.is_dir()
            for path in folder.iterdir()
            if path.match(f"sub-*_{ESTIMATES}.tsv")
        ]
        if tables:
            found[participant.name.removeprefix("sub-")] = sorted(tables)
    return dict(sorted(found.items()))


def reports_of(label: str, output_dir: Path) -> list[Path]:
    """Find the content of a participant's pages beside the tables, one file per job."""
    names = (f"sub-{label}_report.json", f"sub-{label}_ses-*_report.json")
    return sorted(path for name in names for path in (output_dir / "logs").glob(name))


def settings_of(label: str, output_dir: Path) -> list[Path]:
    """Find the settings of the jobs that have processed a participant."""
    names = (f"sub-{label}_settings.toml", f"sub-{label}_ses-*_settings.toml")
    return sorted(path for name in names for path in (output_dir / "logs").glob(name))


def table_beside(estimates: Path, name: str) -> Path:
    """Return the path of another table of the same participant, session and space."""
    return estimates.with_name(f"{estimates.name.removesuffix(f'{ESTIMATES}.tsv')}{name}.tsv")


def sidecar_of(path: Path) -> Path:
    """Return the path of the JSON file of a table, a mask or a label file.

    Examples
    --------
    >>> sidecar_of(Path("sub-01_label-V1_mask.label.gii")).name
    'sub-01_label-V1_mask.json'
    """
    return path.with_name(f"{path.name.partition('.')[0]}.json")


def _is_ours(mask: Path) -> bool:
    """Return whether this program has written a mask: its sidecar has the rule."""
    try:
        sidecar = read_json(sidecar_of(mask))
    except (OSError, ValueError):
        return False
    return isinstance(sidecar, dict) and sidecar.get("Type") == "ROI" and "Rule" in sidecar


def _made_of(picture: Path) -> list[Path]:
    """Name what a picture, which is always there as SVG, is written as besides."""
    return [picture.with_suffix(f".{kind}") for kind in get_args(FigureFormat) if kind != "svg"]


def _chart_name(prefix: str, name: str) -> str:
    """Return the file name of a chart. Its suffix must differ from those of tables.

    Examples
    --------
    >>> _chart_name("sub-01", "task-loc_desc-circular_estimates")
    'sub-01_task-loc_desc-circularEstimates_chart.svg'
    """
    entities, _, shown = name.rpartition("_")
    entities, is_circular, _ = entities.partition("desc-circular")
    desc = f"circular{shown.capitalize()}" if is_circular else shown
    parts = (prefix, entities.strip("_"), f"desc-{desc}", "chart.svg")
    return "_".join(part for part in parts if part)
