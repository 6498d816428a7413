"""Which files are used for what: the values between discovery and reading."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bids_secondlevel.core.described import AngleConvention
from bids_secondlevel.core.errors import SecondLevelError
from bids_secondlevel.core.hemispheres import BOTH, HEMISPHERES, Hemisphere
from bids_secondlevel.core.roi_rule import (
    HemisphereRow,
    RoiDefinition,
    RoiRule,
    RunWeights,
    SummaryKind,
)
from bids_secondlevel.core.variants import Variant
from bids_secondlevel.core.visual_field import FieldBins
from bids_secondlevel.core.wording import Wording

Unit = tuple[str | None, str | None]
"""Session and run of a map."""


def run_order(run: str) -> str:
    """Return a sort key of runs: numbers by their value, other labels after them.

    Examples
    --------
    >>> sorted(["10", "odd", "2", "even"], key=run_order)
    ['2', '10', 'odd', 'even']
    """
    return run.zfill(20)


Combination = Literal["single", "fixed_effects", "mean", "fixed_effects_z", "stouffer"]

COMBINATIONS: Mapping[Combination, str] = {
    "single": "one map",
    "fixed_effects": "mean weighted by inverse variance (fixed effects)",
    "mean": "unweighted mean",
    "fixed_effects_z": "z of the mean weighted by inverse variance (fixed effects)",
    "stouffer": "sum of z divided by the root of their number (Stouffer)",
}
"""How the maps of several runs are combined, in words."""
"""How the maps of several runs are combined
(:func:`~bids_secondlevel.rois.measure.combine_runs`)."""


@dataclass(frozen=True)
class Dataset:
    """A folder with the results of one tool. `name` is its name in BIDS URIs.

    `task` is the name given by the user, if any. It is the task of maps without one in their names.
    """

    name: str
    root: Path
    task: str | None = None
    deeper: tuple[Path, ...] = ()
    """Folders below it that hold the folders of participants, if these are not in the dataset
    itself."""

    @property
    def holders(self) -> tuple[Path, ...]:
        """The folders that hold the folders of participants."""
        return self.deeper or (self.root,)


FileKind = Literal["surface", "cifti", "volume"]
"""What the values of a map belong to. CIFTI files and volumes hold both hemispheres."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to turn the values of a file into those of a map."""

    array: int | str | None = None
    """Which array of a file that has several, by number from 0 or by name."""
    made_z_from: Literal["t", "sig"] | None = None
    """What is converted to z: t values, or FreeSurfer's signed -log10 p."""
    df: "float | SourceFile | None" = None
    """Degrees of freedom of t, or the file that holds them; ``None`` if the file itself does."""
    scale: float | None = None
    """Factor by which the values are multiplied."""
    angle: AngleConvention | None = None
    """Convention of polar angles, if the user gives it; angles of neuropythy may have either
    sign."""
    areas: tuple[tuple[int, int], ...] = ()
    """Pairs of a value in a map of visual areas and its label; empty if the values are the
    labels."""


AS_IT_IS = Reading()

_ENDINGS = {
    *(".gz", ".nii", ".gii", ".mgz", ".mgh"),
    *(".func", ".shape", ".label", ".dscalar", ".dlabel", ".dtseries"),
}


@dataclass(frozen=True)
class SourceFile:
    """A file of an input dataset, at its path as found (symbolic links are not resolved)."""

    path: Path
    uri: str
    kind: FileKind = "surface"
    reading: Reading = AS_IT_IS

    @property
    def sidecar(self) -> Path:
        """Path of the JSON file beside it, which may not exist."""
        stem = self.path
        while stem.suffix.casefold() in _ENDINGS:
            stem = stem.with_suffix("")
        return stem.with_name(f"{stem.name}.json")

    @property
    def dataset(self) -> str:
        """Name of the dataset that it belongs to."""
        return self.uri.split(":")[1]


@dataclass(frozen=True)
class MapSource:
    """Files that make one map of one hemisphere."""

    maps: tuple[SourceFile, ...]
    """One file per run; a single one if the first-level tool gave one map."""
    combination: Combination = "single"
    """How the files are combined to one map."""
    variances: tuple[SourceFile, ...] = ()
    """For the fixed-effects combinations, the variance map of each of `maps`; else empty."""
    units: tuple[Unit, ...] = ()
    """Session and run of each of `maps`, ``None`` if its name has none, which means all."""

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All files that are read."""
        return self.maps + self.variances

    def of_run(self, run: str) -> "MapSource | None":
        """Select one of the runs that are combined; ``None`` if it is not among them."""
        for number, unit in enumerate(self.units):
            if unit[1] == run:
                only = slice(number, number + 1)
                return MapSource(self.maps[only], self.combination, self.variances[only], (unit,))
        return None

    def shares_data_with(self, other: "MapSource") -> bool:
        """Return whether two sources of maps of one task are based on any recording in common."""
        return any(
            all(mine is None or its is None or mine == its for mine, its in zip(a, b, strict=True))
            for a in self.units
            for b in other.units
        )


Localizers = Mapping[str, Mapping[Hemisphere, MapSource]]
"""z maps of the localizer, by contrast and hemisphere."""


@dataclass(frozen=True)
class RetinotopySource:
    """The retinotopic maps of one hemisphere, from the same source; some may not exist.

    `areas` are files that define visual areas, by their names in
    :class:`~bids_secondlevel.core.roi_rule.RoiRule`. `space` is the space of the maps, or ``None``
    if their names have none.
    """

    visual_area: SourceFile | None
    eccentricity: SourceFile | None
    polar_angle: SourceFile | None = None
    variance_explained: SourceFile | None = None
    sigma: SourceFile | None = None
    areas: Mapping[str, SourceFile] = field(default_factory=dict)
    space: str | None = None

    @property
    def maps(self) -> tuple[SourceFile | None, ...]:
        """Visual area, eccentricity, polar angle, variance explained and sigma."""
        return (
            self.visual_area,
            self.eccentricity,
            self.polar_angle,
            self.variance_explained,
            self.sigma,
        )

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All files that are read."""
        return (*(file for file in self.maps if file is not None), *self.areas.values())

    @property
    def first(self) -> SourceFile:
        """The eccentricity or, if missing, another file. It determines the surface or grid."""
        return self.eccentricity or self.files[0]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The maps of one contrast of a participant that are measured."""

    participant_id: str
    """With its ``sub-`` prefix."""
    session: str | None
    """``None`` if the file names have none."""
    task: str
    contrast: str
    maps: Mapping[Hemisphere, MapSource]
    """A hemisphere without a map is absent."""
    localizers: Mapping[str, tuple[MapSource, ...]]
    """The z maps of each localizer contrast, if this is the localizer task; else empty."""

    @property
    def runs(self) -> tuple[str, ...]:
        """Runs that are combined, in order; none if no hemisphere has more than one map."""
        if all(len(source.maps) == 1 for source in self.maps.values()):
            return ()
        found = {run for source in self.maps.values() for _, run in source.units if run}
        return tuple(sorted(found, key=run_order))

    @property
    def shares_recordings(self) -> frozenset[str]:
        """The localizer contrasts whose z maps are based on the same recordings as these maps.

        Another task is independent data, and so are other runs or sessions of the localizer. Empty
        if there is no map.
        """
        return frozenset(
            contrast
            for contrast, sources in self.localizers.items()
            if not self.maps
            or any(own.shares_data_with(its) for own in self.maps.values() for its in sources)
        )

    def n_runs(self, hemisphere: Hemisphere) -> int | None:
        """Count the maps that are combined; ``None`` if there is no map."""
        source = self.maps.get(hemisphere)
        return None if source is None else len(source.maps)

    def of_run(self, run: str) -> "Contrast":
        """Select one of the runs that are combined."""
        maps = {hemi: source.of_run(run) for hemi, source in self.maps.items()}
        return replace(self, maps={hemi: only for hemi, only in maps.items() if only is not None})


def ways_of_combination(
    localizers: Localizers, contrasts: Iterable[Contrast], localizer_task: str | None
) -> tuple[tuple[str, str], ...]:
    """Describe how maps of several runs are combined, for the localizer and for each task."""
    every = [(f"localizer {localizer_task}", maps) for maps in localizers.values()]
    every += [(f"task {contrast.task}", contrast.maps) for contrast in contrasts]
    ways: dict[str, set[str]] = {}
    for what, maps in every:
        for source in maps.values():
            ways.setdefault(what, set()).add(COMBINATIONS[source.combination])
    return tuple((what, " and ".join(sorted(hows))) for what, hows in ways.items())


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One run of the localizer left out."""

    run: str
    """The run left out."""
    localizers: Localizers
    """z maps from the other runs, which define the ROIs."""
    contrasts: tuple[Contrast, ...]
    """Maps of the run left out, which are measured in them."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the user asked for; the same for every participant."""

    space: str | None
    """Space in which ROIs are defined and measured; ``None`` if names have none."""
    maps_space: str | None
    """Space of the statistical maps. They are resampled to `space` if the two differ."""
    density: str | None
    """Density of `space`, if the user gave one."""
    is_volume: bool
    """Whether the maps are volumes."""
    hemi: tuple[HemisphereRow, ...]
    """Rows that are written of each estimate: ``L``, ``R``, ``both``."""
    localizer_task: str | None
    """Task whose contrasts define the ROIs; ``None`` if none is needed."""
    rule: RoiRule
    """Rule of the options, without those of single ROIs. It defines the mask of the visual
    areas."""
    rois: tuple[RoiDefinition, ...]
    """In the order of their names as given."""
    variants: tuple[Variant, ...]
    """Definitions of the ROIs for the sweep; empty without one."""
    measured: tuple[tuple[str, str], ...]
    """Task and contrast of every map that is measured."""
    sessions: Mapping[str, tuple[str | None, ...]]
    """Sessions in which each measured task was found."""
    session_labels: tuple[str, ...]
    """Sessions that the user asked for; empty for all."""
    n_runs: Mapping[tuple[str | None, str, str], int]
    """Largest number of runs among the first participants, by session, task and contrast (task and
    contrast in lower case)."""
    statistic: str
    """What is measured: the ``stat`` entity of the maps."""
    summary: SummaryKind
    """How the values in an ROI are summarized."""
    visual_field: FieldBins | None
    """Bins of the profiles over the visual field; ``None`` if none are asked for."""
    retinotopy_source: str | None
    """The source of retinotopy that the user asked for, if any."""
    run_weights: RunWeights
    """How runs are weighted if several are combined."""
    cross_validate: bool
    """Whether the localizer's own contrasts are measured in ROIs that other runs define."""
    explore: bool
    """Whether there is to be a page to explore the cortex on."""
    filtered: Mapping[str, frozenset[str]]
    """Entities in each query of ``--bids-filter-file``."""
    choices: tuple[str, ...]
    """Choices of the program that affect the results; both levels report them."""
    messages: tuple[str, ...]
    """Other choices of the program."""
    wording: Wording = field(default_factory=Wording)
    """Names of units and labels on pages."""

    @property
    def session(self) -> str | None:
        """The session in the names of results, if the user asked for a single one."""
        return only_session(self.session_labels)

    def runs_elsewhere(self, contrast: Contrast) -> int:
        """Largest number of runs of a contrast among the first participants; 0 if none has any."""
        task, name = contrast.task.casefold(), contrast.contrast.casefold()
        return self.n_runs.get((contrast.session, task, name), 0)

    @property
    def sides(self) -> tuple[Hemisphere, ...]:
        """The hemispheres of the rows."""
        return HEMISPHERES if BOTH in self.hemi else tuple(h for h in HEMISPHERES if h in self.hemi)


def only_session(labels: Sequence[str]) -> str | None:
    """Return the session in the names of results: the only one asked for, or ``None``."""
    return labels[0] if len(labels) == 1 else None


@dataclass(frozen=True, kw_only=True)
class ParticipantFiles:
    """Which files are used for what, for one participant."""

    label: str
    """Without ``sub-``."""
    retinotopy_source: str | None
    """Source of the retinotopic maps, for example ``benson14``."""
    retinotopy: Mapping[Hemisphere, RetinotopySource]
    localizers: Localizers
    """z maps of the localizer."""
    contrasts: tuple[Contrast, ...]
    """What is measured, sorted by session, task and contrast."""
    surfaces: Mapping[Hemisphere, SourceFile] = field(default_factory=dict)
    """Mesh on which surface areas are measured."""
    views: Mapping[Hemisphere, tuple["SurfaceFile", ...]] = field(default_factory=dict)
    """Meshes to draw maps on, and values for shading; the best first."""
    spheres: Mapping[Hemisphere, tuple["SurfaceFile", ...]] = field(default_factory=dict)
    """Spheres of the participant registered to a template, and the spheres of templates."""
    folds: tuple[Fold, ...] = ()
    """For cross-validation; empty if not asked for or not possible."""
    choices: tuple[str, ...] = ()
    """Choices of the program for this participant that affect the results; both levels report
    them."""
    messages: tuple[str, ...] = ()
    """Other choices of the program, and files that are not used."""

    @property
    def maps(self) -> Iterator[tuple[SourceFile, Hemisphere]]:
        """Every map with its hemisphere, as often as it is needed."""
        for hemi, retinotopy in self.retinotopy.items():
            yield from ((file, hemi) for file in retinotopy.files)
        for localizers, contrasts in (
            (self.localizers, self.contrasts),
            *((fold.localizers, fold.contrasts) for fold in self.folds),
        ):
            for sources in (*localizers.values(), *(contrast.maps for contrast in contrasts)):
                for hemi, source in sources.items():
                    yield from ((file, hemi) for file in source.files)


@dataclass(frozen=True)
class IndexedFile:
    """A map found for a participant."""

    source: SourceFile
    entities: Mapping[str, str]
    """BIDS entities of its name by pybids' long names, with ``suffix`` and ``extension``;
    ``hemi`` is ``L`` or ``R``. FreeSurfer names have only ``hemi``, ``suffix``, ``extension`` and,
    for the source of the retinotopy, ``desc``."""
    queries: frozenset[str] = frozenset()
    """The queries of ``--bids-filter-file`` that the file passes."""
    is_described: bool = False
    """Whether an entry of the config file describes it."""
    contrast_names: Mapping[str, str] = field(default_factory=dict)
    """Names of contrasts in that entry, by the names or labels of the maps in the file."""
    is_of_template: bool = False
    """Whether it is in the folder of a template beside the participants, and is used for all."""

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume."""
        return self.source.kind == "volume"


@dataclass(frozen=True)
class SurfaceFile:
    """A surface mesh of a participant or of a template, or values for its shading.

    `kind` is ``midthickness``, ``graymid``, ``white``, ``smoothwm``, ``inflated`` or ``sphere``,
    or ``sulc`` or ``curv`` for one value per vertex; ``registered`` is a sphere in the coordinates
    of the template `space`. For other kinds, `space` is ``None`` on the participant's own surface.
    """

    source: SourceFile
    hemisphere: Hemisphere
    kind: str
    space: str | None


@dataclass(frozen=True)
class AreaFile:
    """A file that may define visual areas: a label, an annotation, or a map of whole numbers.

    `name` is the name of the file without participant and hemisphere.
    """

    source: SourceFile
    hemisphere: Hemisphere
    name: str
    is_of_template: bool = False
    """Whether it is beside the participants, and is used for all."""
    space: str | None = None
    """Space in the name of a volume; ``None`` if there is none."""

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume."""
        return self.source.kind == "volume"


MapKind = Literal["map", "retinotopy"]


@dataclass(frozen=True, kw_only=True)
class NearMiss:
    """A file that may be a map but is not used, because its name is not understood."""

    source: SourceFile
    kind: MapKind
    """What it may be: a statistical or a retinotopic map."""
    reason: str
    """Why it is not understood. Files with the same reason have the same text."""
    pattern: str
    """Its path in the dataset, with ``{subject}`` and ``{hemi}`` filled in as placeholders."""
    is_certain: bool
    """Whether its name says that it is a statistical map."""
    is_describable: bool = True
    """Whether an entry of the config file could describe it."""
    says_contrast: bool = False
    """Whether its header says the contrast."""


@dataclass(frozen=True, kw_only=True)
class ParticipantIndex:
    """Every map found for a participant, before any choice."""

    label: str
    """Without ``sub-``."""
    statistical_maps: tuple[IndexedFile, ...] = ()
    """One hemisphere each; files with both hemispheres are listed twice."""
    retinotopic_maps: tuple[IndexedFile, ...] = ()
    """One hemisphere each, as above."""
    area_files: tuple[AreaFile, ...] = ()
    """Files that may define visual areas."""
    foreign: tuple[SourceFile, ...] = ()
    """Files in the participant's folders that name another participant; they are not used."""
    near_misses: tuple[NearMiss, ...] = ()
    """Files that may be maps but are not used, because their names are not understood."""
    surfaces: tuple[SurfaceFile, ...] = ()
    templates: tuple[SurfaceFile, ...] = ()
    """Spheres of the templates that FreeSurfer puts beside its participants."""
    unreadable: tuple[SecondLevelError, ...] = ()
    """Why the maps in some files could not be listed."""
    choices: tuple[str, ...] = ()
    """What was assumed about files with incomplete names; both levels report it."""
