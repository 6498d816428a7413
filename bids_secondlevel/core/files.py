"""Which files are used for what: values that pass from discovery to reading."""

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
    """Give what runs are sorted by: numbers by their value, and other labels after them.

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
"""How the maps of several runs become one, in words."""
"""How the maps of several runs become one (:func:`~bids_secondlevel.rois.measure.combine_runs`)."""


@dataclass(frozen=True)
class Dataset:
    """A folder of one tool's results; `name` is what BIDS URIs call it.

    `task` is the name that the user gave it, if any: of maps whose names have no task, it is that.
    """

    name: str
    root: Path
    task: str | None = None
    deeper: tuple[Path, ...] = ()
    """Folders below it that hold those of participants, if it does not itself."""

    @property
    def holders(self) -> tuple[Path, ...]:
        """The folders that hold those of participants."""
        return self.deeper or (self.root,)


FileKind = Literal["surface", "cifti", "volume"]
"""What a map is given on. CIFTI files and volumes hold both hemispheres."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the values of a file become those of the map that it stands for."""

    array: int | str | None = None
    """Which of the arrays of a file that holds several, by number from 0 or by name."""
    made_z_from: Literal["t", "sig"] | None = None
    """What is turned into z: t values, or FreeSurfer's signed -log10 p."""
    df: "float | SourceFile | None" = None
    """Degrees of freedom of t, or the file that holds them; ``None`` if the file itself does."""
    scale: float | None = None
    """What the values are multiplied with."""
    angle: AngleConvention | None = None
    """How polar angles are counted, if the user says so; neuropythy's way may be in any sign."""
    areas: tuple[tuple[int, int], ...] = ()
    """Values of a map of visual areas and the labels that they stand for; none if they are."""


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
        """The JSON file beside it that may describe it."""
        stem = self.path
        while stem.suffix.casefold() in _ENDINGS:
            stem = stem.with_suffix("")
        return stem.with_name(f"{stem.name}.json")

    @property
    def dataset(self) -> str:
        """Name of the dataset that it lies in."""
        return self.uri.split(":")[1]


@dataclass(frozen=True)
class MapSource:
    """Files that make one map of one hemisphere."""

    maps: tuple[SourceFile, ...]
    """One file per run; a single one if the first-level tool gave one map."""
    combination: Combination = "single"
    """How they become one map."""
    variances: tuple[SourceFile, ...] = ()
    """For the fixed-effects combinations, the variance map of each of `maps`; else empty."""
    units: tuple[Unit, ...] = ()
    """Session and run of each of `maps`, ``None`` if its name has none, which means all."""

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All files to be read."""
        return self.maps + self.variances

    def of_run(self, run: str) -> "MapSource | None":
        """Leave one run alone of those that are combined; ``None`` if it is not among them."""
        for number, unit in enumerate(self.units):
            if unit[1] == run:
                only = slice(number, number + 1)
                return MapSource(self.maps[only], self.combination, self.variances[only], (unit,))
        return None

    def shares_data_with(self, other: "MapSource") -> bool:
        """Tell whether the maps of one task stem from any recording that others stem from."""
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

    `areas` are the files of visual areas that are given in files of their own, by their names
    in :class:`~bids_secondlevel.core.roi_rule.RoiRule`; `space` is that of the maps, ``None`` where
    their names have none.
    """

    visual_area: SourceFile | None
    eccentricity: SourceFile | None
    polar_angle: SourceFile | None = None
    variance_explained: SourceFile | None = None
    areas: Mapping[str, SourceFile] = field(default_factory=dict)
    space: str | None = None

    @property
    def maps(self) -> tuple[SourceFile | None, ...]:
        """Visual area, eccentricity, polar angle and variance explained."""
        return self.visual_area, self.eccentricity, self.polar_angle, self.variance_explained

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All files to be read."""
        return (*(file for file in self.maps if file is not None), *self.areas.values())

    @property
    def first(self) -> SourceFile:
        """The eccentricity or, if there is none, another file: it says surface or grid."""
        return self.eccentricity or self.files[0]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The maps of one contrast of a participant, to be measured."""

    participant_id: str
    """With its ``sub-`` prefix."""
    session: str | None
    """``None`` if the file names have none."""
    task: str
    contrast: str
    maps: Mapping[Hemisphere, MapSource]
    """A hemisphere without a map is absent."""
    localizers: Mapping[str, tuple[MapSource, ...]]
    """What each localizer contrast of the same task stems from; empty for another task."""

    @property
    def runs(self) -> tuple[str, ...]:
        """Runs that are combined, in order; none if a hemisphere has a single map at most."""
        if all(len(source.maps) == 1 for source in self.maps.values()):
            return ()
        found = {run for source in self.maps.values() for _, run in source.units if run}
        return tuple(sorted(found, key=run_order))

    @property
    def shares_recordings(self) -> frozenset[str]:
        """The localizer contrasts whose z maps stem from recordings that these maps stem from.

        Another task is independent data, and so are other runs or sessions of the localizer.
        Without a map, nothing is known of it.
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
        """Leave one run alone of those that are combined."""
        maps = {hemi: source.of_run(run) for hemi, source in self.maps.items()}
        return replace(self, maps={hemi: only for hemi, only in maps.items() if only is not None})


def ways_of_combination(
    localizers: Localizers, contrasts: Iterable[Contrast], localizer_task: str | None
) -> tuple[tuple[str, str], ...]:
    """Say how maps of several runs become one, for the localizer and for each task."""
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
    """All that is asked for, the same for every participant of a run."""

    space: str | None
    """Space in which ROIs are defined and measured; ``None`` if names have none."""
    maps_space: str | None
    """Space of the statistical maps, which are resampled to `space` if that is another."""
    density: str | None
    """Density of `space`, if one was asked for."""
    is_volume: bool
    """Whether the maps are volumes."""
    hemi: tuple[HemisphereRow, ...]
    """Rows to be written of each estimate: ``L``, ``R``, ``both``."""
    localizer_task: str | None
    """Task whose contrasts define the ROIs; ``None`` if none is needed."""
    rule: RoiRule
    """What the options say of all ROIs; it defines the mask of the visual areas themselves."""
    rois: tuple[RoiDefinition, ...]
    """In the order of their names as given."""
    variants: tuple[Variant, ...]
    """The ROIs under other limits, for a sweep; empty if none was asked for."""
    measured: tuple[tuple[str, str], ...]
    """Task and contrast of every map to be measured."""
    sessions: Mapping[str, tuple[str | None, ...]]
    """Sessions in which each measured task was found."""
    session_labels: tuple[str, ...]
    """Sessions asked for; empty for all."""
    n_runs: Mapping[tuple[str | None, str, str], int]
    """The most runs that any of the first participants has, by session, task and contrast (these
    in lower case)."""
    statistic: str
    """What is measured: the ``stat`` entity of the maps."""
    summary: SummaryKind
    """How the values in a ROI become one number."""
    visual_field: FieldBins | None
    """Bins of the profiles over the visual field; ``None`` if none are asked for."""
    retinotopy_source: str | None
    """The source of retinotopy asked for, if one was."""
    run_weights: RunWeights
    """How runs are weighted where several are combined."""
    cross_validate: bool
    """Whether the localizer's own contrasts are measured in ROIs that other runs define."""
    filtered: Mapping[str, frozenset[str]]
    """For each query of ``--bids-filter-file``, the entities that it names."""
    choices: tuple[str, ...]
    """Choices made on the user's behalf that decide the results; both levels report them."""
    messages: tuple[str, ...]
    """Other choices."""
    wording: Wording = field(default_factory=Wording)
    """What pages call units and labels."""

    @property
    def session(self) -> str | None:
        """The session that results are named after, if only one was asked for."""
        return only_session(self.session_labels)

    def runs_elsewhere(self, contrast: Contrast) -> int:
        """Count the runs that the first participants have of a contrast; 0 if none has any."""
        task, name = contrast.task.casefold(), contrast.contrast.casefold()
        return self.n_runs.get((contrast.session, task, name), 0)

    @property
    def sides(self) -> tuple[Hemisphere, ...]:
        """The hemispheres that the rows are about."""
        return HEMISPHERES if BOTH in self.hemi else tuple(h for h in HEMISPHERES if h in self.hemi)


def only_session(labels: Sequence[str]) -> str | None:
    """Give the session that results are named after, of those asked for: the only one, if any."""
    return labels[0] if len(labels) == 1 else None


@dataclass(frozen=True, kw_only=True)
class ParticipantFiles:
    """Which files are used for what, for one participant."""

    label: str
    """Without ``sub-``."""
    retinotopy_source: str | None
    """Tag of the retinotopy maps, for example ``benson14``."""
    retinotopy: Mapping[Hemisphere, RetinotopySource]
    localizers: Localizers
    """z maps of the localizer."""
    contrasts: tuple[Contrast, ...]
    """What is measured, sorted by session, task and contrast."""
    surfaces: Mapping[Hemisphere, SourceFile] = field(default_factory=dict)
    """Mesh on which areas are measured."""
    views: Mapping[Hemisphere, tuple["SurfaceFile", ...]] = field(default_factory=dict)
    """Meshes to draw maps on, and what they can be shaded by; the best first."""
    spheres: Mapping[Hemisphere, tuple["SurfaceFile", ...]] = field(default_factory=dict)
    """Spheres of the participant that are registered to a template, and those of templates."""
    folds: tuple[Fold, ...] = ()
    """For cross-validation; empty if it was not asked for or is not possible."""
    choices: tuple[str, ...] = ()
    """Choices for this participant that decide the results; both levels report them."""
    messages: tuple[str, ...] = ()
    """Choices made on the user's behalf, and what was passed over."""

    @property
    def maps(self) -> Iterator[tuple[SourceFile, Hemisphere]]:
        """Every map with the hemisphere it is read for, as often as it is needed."""
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
    for the tag of the retinotopy, ``desc``."""
    queries: frozenset[str] = frozenset()
    """The queries of ``--bids-filter-file`` that it passes."""
    is_described: bool = False
    """Whether a table of the user says what it is, and not its name."""
    contrast_names: Mapping[str, str] = field(default_factory=dict)
    """What that table calls contrasts, by the names or labels of the maps in the file."""
    is_of_template: bool = False
    """Whether it lies in the folder of a template beside the participants, and serves everybody."""

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume."""
        return self.source.kind == "volume"


@dataclass(frozen=True)
class SurfaceFile:
    """A surface mesh of a participant or of a template, or what it can be shaded by.

    `kind` is ``midthickness``, ``graymid``, ``white``, ``smoothwm``, ``inflated`` or ``sphere``,
    or ``sulc`` or ``curv`` for one value per vertex; ``registered`` is a sphere in the
    coordinates of the template `space`. Of the others, `space` is ``None`` for the participant's
    own.
    """

    source: SourceFile
    hemisphere: Hemisphere
    kind: str
    space: str | None


@dataclass(frozen=True)
class AreaFile:
    """A file that may hold a visual area: a label, an annotation, or whole numbers.

    `name` is that of the file without what tells participant and hemisphere.
    """

    source: SourceFile
    hemisphere: Hemisphere
    name: str
    is_of_template: bool = False
    """Whether it lies beside the participants, and serves everybody."""
    space: str | None = None
    """Of a volume, the space that its name says; ``None`` if it says none."""

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume."""
        return self.source.kind == "volume"


MapKind = Literal["map", "retinotopy"]


@dataclass(frozen=True, kw_only=True)
class NearMiss:
    """A file that is nearly a map, and is not used as its name is not understood."""

    source: SourceFile
    kind: MapKind
    """What it may be: a statistical map, or one of retinotopy."""
    reason: str
    """Why it is not understood, the same for all files of which that is true."""
    pattern: str
    """Its path in the dataset, with ``{subject}`` and ``{hemi}`` in their places."""
    is_certain: bool
    """Whether its name says that it is a statistical map."""
    is_describable: bool = True
    """Whether a table in the config could say what its name does not."""
    says_contrast: bool = False
    """Whether its header says the contrast."""


@dataclass(frozen=True, kw_only=True)
class ParticipantIndex:
    """Every map found for a participant, before any choice."""

    label: str
    """Without ``sub-``."""
    statistical_maps: tuple[IndexedFile, ...] = ()
    """Of one hemisphere each; files that hold both are listed for each of them."""
    retinotopic_maps: tuple[IndexedFile, ...] = ()
    """Of one hemisphere each, likewise."""
    area_files: tuple[AreaFile, ...] = ()
    """Files that may hold visual areas of their own."""
    foreign: tuple[SourceFile, ...] = ()
    """Files in the participant's folders that name another participant; they are not used."""
    near_misses: tuple[NearMiss, ...] = ()
    """Files that may be maps, and are not used as their names are not understood."""
    surfaces: tuple[SurfaceFile, ...] = ()
    templates: tuple[SurfaceFile, ...] = ()
    """Of the templates that FreeSurfer puts beside its participants."""
    unreadable: tuple[SecondLevelError, ...] = ()
    """Why files that hold several maps could not be listed."""
    choices: tuple[str, ...] = ()
    """What was taken of names that do not say it; both levels report it."""
