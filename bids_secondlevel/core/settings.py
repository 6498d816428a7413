"""Every option of the program with its default. Settings are checked once, then frozen."""

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, replace
from functools import partial
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import tomli_w

from bids_secondlevel.core.described import (
    Described,
    DescribedMaps,
    DescribedRetinotopy,
    as_table,
)
from bids_secondlevel.core.errors import UsageError
from bids_secondlevel.core.inference import AnovaFactor, FamilyKind, Inference
from bids_secondlevel.core.options import (
    GROUP_LEVEL,
    MEASURED,
    ROIS,
    RUNNING,
    WHO,
    AnalysisLevel,
    check_options,
    option,
    options_of,
)
from bids_secondlevel.core.planned import PlannedContrast
from bids_secondlevel.core.positions import Position
from bids_secondlevel.core.roi_rule import (
    HemisphereRow,
    RoiDefinition,
    RoiRule,
    RunWeights,
    SummaryKind,
    checked_label,
)
from bids_secondlevel.core.spaces import (
    DENSITIES,
    known_space,
    numbered,
    template_surface_of,
    vertex_counts,
)
from bids_secondlevel.core.wording import OF_THE_MAPS, FigureFormat, Wording, is_name

FILTER_QUERIES = ("localizer", "estimates", "retinotopy")
"""The queries of ``--bids-filter-file``."""

AUTO = "auto"
"""A choice that is left to the program."""


@dataclass(frozen=True)
class DerivativePath:
    """A dataset given with ``--derivatives``; `name` is ``None`` if none was given."""

    path: Path
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> "DerivativePath":
        """Read ``PATH`` or ``NAME=PATH``."""
        name, equals, path = text.partition("=")
        if not equals or "/" in name or not name or not path:
            name, path = "", text
        # Path.expanduser raises an error if there is no home.
        return cls(Path(os.path.expanduser(path)), name or None)  # noqa: PTH111


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings: one field per option of the command line, with its default.

    Labels are kept without their ``sub-`` or ``ses-`` prefix; an empty tuple or ``None`` means
    "all" or "decide from the data".

    Raises
    ------
    UsageError
        If a value is not valid; the message names the option.
    """

    bids_dir: Path = option(
        "BIDS dataset; nothing is written to it", metavar="BIDS_DIR", default=MISSING
    )
    output_dir: Path = option("folder for the results", metavar="OUTPUT_DIR", default=MISSING)
    analysis_level: AnalysisLevel = option("level of the analysis", default=MISSING)

    participant_label: tuple[str, ...] = option(
        "participants to process, with or without sub-, or a file with one of them on each line "
        "(default: all)",
        WHO,
        prefix="sub-",
        default=(),
        at_both_levels=True,
    )
    session_label: tuple[str, ...] = option(
        "sessions to measure, with or without ses- (default: all); ROIs are always defined "
        "on all sessions of the localizer",
        WHO,
        prefix="ses-",
        default=(),
        at_both_levels=True,
    )
    derivatives: tuple[DerivativePath, ...] = option(
        "datasets of first-level maps and of retinotopy (default: those below "
        "BIDS_DIR/derivatives, BIDS_DIR/sourcedata/freesurfer, and sourcedata/freesurfer inside "
        "each of them)",
        WHO,
        short="-d",
        metavar="[NAME=]PATH",
        parse=DerivativePath.parse,
        default=(),
        at_both_levels=True,  # one set of options about files can be given to both levels
    )
    bids_filter_file: Path | None = option(
        "JSON file with pybids filters for the queries localizer, estimates and retinotopy",
        WHO,
        metavar="FILE",
        at_both_levels=True,
    )

    localizer_task: str | None = option(
        "task whose contrasts define the ROIs (default: the only task named like a localizer, such "
        "as loc, visloc, fLoc2 or faceLocalizer)",
        ROIS,
        prefix="task-",
    )
    roi_contrasts: tuple[str, ...] = option(
        "localizer contrasts, one ROI each (default: all of the localizer task)",
        ROIS,
        prefix="contrast-",
        default=(),
        at_both_levels=True,
    )
    retinotopy_only: bool = option(
        "define one ROI by retinotopy alone, without a localizer", ROIS, default=False
    )
    rule: RoiRule = RoiRule()
    retinotopy_source: str | None = option(
        "source of the retinotopic maps, such as benson14 or inferred (default: the only one "
        "found; inferred if there are several)",
        ROIS,
        metavar="TAG",
    )

    task_label: tuple[str, ...] = option(
        "tasks to measure (default: all, the localizer included)",
        MEASURED,
        prefix="task-",
        default=(),
        at_both_levels=True,
    )
    contrasts: tuple[str, ...] = option(
        "contrasts to measure (default: all)",
        MEASURED,
        prefix="contrast-",
        default=(),
        at_both_levels=True,
    )
    statistic: str = option(
        "statistic to measure, the stat entity of the maps (default: {default})",
        MEASURED,
        metavar="NAME",
        prefix="stat-",
        default="effect",
    )
    summary: SummaryKind = option(
        "how the values in an ROI are summarized; area-weighted-mean needs a surface (default: "
        "{default})",
        MEASURED,
        default="mean",
    )
    run_weights: RunWeights = option(
        "weights of the runs when their maps are combined: inverse variance if every run has a "
        "variance map, else equal (auto); always inverse variance (variance); always equal "
        "(default: {default})",
        MEASURED,
        default="auto",
    )
    cross_validate: bool = option(
        "measure the localizer in each of its runs, in ROIs defined by the other runs; needs maps "
        "of single runs",
        MEASURED,
        default=False,
    )
    sweep: bool = option(
        "also measure under other thresholds and ranges of eccentricity (desc-sweep_estimates.tsv)",
        MEASURED,
        default=False,
    )
    sweep_thresholds: tuple[float, ...] = option(
        "default: {default}", MEASURED, metavar="Z", default=(1.64, 1.96, 2.33, 2.58, 3.09)
    )
    sweep_eccentricities: tuple[float, ...] = option(
        "upper ends of the ranges in degrees (default: 0.6 to 1.4 times that of --eccentricity)",
        MEASURED,
        metavar="HIGH",
        default=(),
    )
    visual_field: bool = option(
        "compute no profiles over the visual field (desc-visualfield_estimates.tsv)",
        MEASURED,
        default=True,
    )
    eccentricity_bins: tuple[float, ...] = option(
        "edges of the bins of eccentricity in degrees (default: 0.5 0.71 1 1.41 2 2.83 4 5.66 8 "
        "and so on, up to the largest eccentricity)",
        MEASURED,
        metavar="EDGE",
        default=(),
        check=lambda edges: (
            len(edges) != 1
            and all(isfinite(edge) and edge >= 0 for edge in edges)
            and all(low < high for low, high in pairwise(edges))
        ),
        expected="two or more numbers in degrees from 0 on, in ascending order",
    )
    polar_angle_bins: int = option(
        "number of equal bins of polar angle, from the lower vertical meridian clockwise (default: "
        "{default})",
        MEASURED,
        metavar="N",
        default=12,
        check=lambda n: 1 <= n <= 360,
        expected="1 to 360",
    )
    explore: bool = option(
        "write a page with the cortex in three dimensions, to turn, to look at values and to try "
        "thresholds: sub-*_explore.html for maps on surfaces, at group level group_explore.html "
        "with the maps of --group-maps",
        MEASURED,
        default=False,
        at_both_levels=True,
    )
    space: str | None = option(
        "space in which ROIs are defined and measured (default: the space of the maps; fsnative if "
        "there are several). Maps in another surface space are resampled to fsnative, fsaverage, "
        "fsaverage5, fsaverage6 or fsLR, if needed with a density such as fsLR-59k",
        MEASURED,
        prefix="space-",
        at_both_levels=True,
    )
    hemi: tuple[HemisphereRow, ...] = option(
        "rows that are written of each estimate (default: L R both; for volumes both). In volumes, "
        "voxels with x below 0 are left, the others right",
        MEASURED,
        default=(),
        check=lambda given: len(set(given) & set(get_args(HemisphereRow))) == len(given),
        expected="L, R, both, or some",
        at_both_levels=True,
    )
    units: str | None = option(
        "units of the estimates, such as 'percent signal change', for pages and figures "
        "(default: the units of the maps)",
        MEASURED,
        metavar="TEXT",
        check=is_name,
        expected="1 to 60 characters in one line",
        at_both_levels=True,
    )

    exclude: Path | None = option(
        "TSV file with the columns participant_id and reason: participants to exclude from all "
        "statistics",
        GROUP_LEVEL,
        metavar="FILE",
    )
    min_coverage: float = option(
        "exclude estimates if a smaller share of the vertices of the ROI has data, 0 to 1; "
        "--min-vertices acts here too (default: {default})",
        GROUP_LEVEL,
        metavar="SHARE",
        default=0.5,
        check=lambda share: 0 <= share <= 1,
        expected="a share between 0 and 1",
    )
    n_permutations: int = option(
        "maximum number of sign flips: all possible flips if there are no more, else this many "
        "random ones (default: {default})",
        GROUP_LEVEL,
        metavar="N",
        default=10_000,
        check=lambda n: n >= 0,
        expected="a number of sign flips, or 0 to omit permutation tests",
    )
    family: FamilyKind = option(
        "tests that are corrected together (the family): those of a contrast (in all ROIs and "
        "sessions), of a task, or all tests of a table (default: {default})",
        GROUP_LEVEL,
        default="contrast",
    )
    equivalence_bound: float | None = option(
        "smallest effect of interest, in the units of the maps: adds tests of whether the mean is "
        "closer to 0 than this (two one-sided tests)",
        GROUP_LEVEL,
        metavar="VALUE",
        check=lambda bound: isfinite(bound) and bound > 0,
        expected="a number above 0",
    )
    robust: bool = option(
        "add tests that a few extreme participants do not decide: Wilcoxon's and Yuen's and, for "
        "groups, Mann and Whitney's",
        GROUP_LEVEL,
        default=False,
    )
    group_by: str | None = option(
        "column of participants.tsv; statistics, comparisons and figures are made for each of its "
        "levels",
        GROUP_LEVEL,
        metavar="COLUMN",
    )
    anova: tuple[AnovaFactor, ...] | None = option(
        "repeated-measures analysis of variance over these columns, with the groups of --group-by "
        "as a factor between participants",
        GROUP_LEVEL,
        check=lambda factors: len(set(factors)) == len(factors),
        expected="each factor once",
    )
    model: str | None = option(
        "fit a model to the estimates: a formula such as 'estimate ~ roi * contrast + age' "
        "with columns of the estimates table and of participants.tsv, or a BIDS Stats Model "
        "(a file that ends in .json)",
        GROUP_LEVEL,
        metavar="FORMULA|FILE",
    )
    group_maps: str | None = option(
        "test the maps of the participants at every vertex of a common surface: fsaverage, "
        "fsaverage5, fsaverage6 or fsLR (also with a density, such as fsLR-59k); auto, or no "
        "value, for the template that they are on, else fsaverage",
        GROUP_LEVEL,
        metavar="SPACE",
        if_alone=AUTO,
        check=lambda space: space == AUTO or template_surface_of(space) is not None,
        expected="auto, fsaverage, fsaverage5, fsaverage6, fsLR, or a density such as fsLR-59k",
    )

    analysis_name: str | None = option(
        "write this group analysis to OUTPUT_DIR/analyses/NAME, beside other analyses (default: to "
        "OUTPUT_DIR itself)",
        GROUP_LEVEL,
        metavar="NAME",
        check=lambda name: bool(re.fullmatch("[0-9A-Za-z][0-9A-Za-z._+-]{0,99}", name)),
        expected="the name of a folder: letters and digits, and after the first also - _ + .",
    )

    skip_bids_validation: bool = option(
        "do not require a valid dataset_description.json in BIDS_DIR",
        WHO,
        default=False,
        at_both_levels=True,
    )
    dry_run: bool = option(
        "list participants, missing files, and files that are not used (with -v, every file); "
        "write nothing",
        RUNNING,
        default=False,
    )
    report: bool = option(
        "write no figures and pages (saves a few seconds per participant)",
        RUNNING,
        default=True,
    )
    figure_format: tuple[FigureFormat, ...] = option(
        "formats of the figures in the folders figures/; figures of results that are up to date "
        "are written with --reports-only (default: {default})",
        RUNNING,
        default=("svg",),
        check=lambda given: given and len(set(given)) == len(given),
        expected="svg, png, pdf, or some of them",
    )
    reports_only: bool = option(
        "only write the pages again, from existing results",
        RUNNING,
        default=False,
    )
    n_procs: int | None = option(
        "number of participants processed at a time (default: number of CPUs that this process may "
        "use)",
        RUNNING,
        metavar="N",
        check=lambda n: n >= 1,
        expected="1 or more",
    )
    force: bool = option(
        "also process participants whose results are up to date (made by the same version with the "
        "same settings from the same files)",
        RUNNING,
        default=False,
    )
    stop_on_first_crash: bool = option(
        "stop at the first participant that fails",
        RUNNING,
        default=False,
    )
    verbose: int = option("print more; show tracebacks of errors", RUNNING, short="-v", default=0)

    bids_filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Content of `bids_filter_file`."""
    exclusions: Mapping[str, str] = field(default_factory=dict)
    """Content of `exclude`: reasons by label."""
    rois: tuple[RoiDefinition, ...] = ()
    """From the ``[[roi]]`` entries of the config file."""
    maps: tuple[DescribedMaps, ...] = ()
    """From its ``[[maps]]`` entries."""
    retinotopy: tuple[DescribedRetinotopy, ...] = ()
    """From its ``[[retinotopy]]`` entries."""
    planned: tuple[PlannedContrast, ...] = ()
    """From its ``[[planned]]`` entries."""
    positions: tuple[Position, ...] = ()
    """From its ``[[position]]`` tables."""
    relative_to: Mapping[str, str] = field(default_factory=dict)
    """From its ``[relative-to]`` table: names of positions by contrast."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """From its ``[labels]`` table: readable names of ROIs, contrasts and groups."""
    density: str | None = field(default=None, init=False)
    """Split off from a `space` such as ``fsLR-59k``."""

    @property
    def wording(self) -> Wording:
        """Names of units and labels on pages and figures."""
        return Wording(units=self.units or OF_THE_MAPS, labels=self.labels)

    @property
    def inference(self) -> Inference:
        """Options of the tests."""
        return Inference(
            n_permutations=self.n_permutations,
            family=self.family,
            is_robust=self.robust,
            equivalence_bound=self.equivalence_bound,
        )

    def __post_init__(self) -> None:
        self._check_labels()
        self._check_space()
        self._check_filters()
        for name in ("sweep_thresholds", "sweep_eccentricities"):
            if not all(map(isfinite, getattr(self, name))):
                raise UsageError(f"--{name.replace('_', '-')}: expected numbers.")
        if self.reports_only and not self.report:
            raise UsageError(
                "--reports-only and --no-report contradict each other; give only one of them."
            )
        if self.explore and not self.report:
            raise UsageError("--explore writes a page: give it without --no-report.")
        check_options(self)
        _ = self.wording  # its labels are checked when it is made
        names = [roi.name.casefold() for roi in self.rois]
        if len(set(names)) < len(names):
            raise UsageError("[[roi]]: two ROIs have the same name.")
        of_planned = [contrast.name.casefold() for contrast in self.planned]
        if len(set(of_planned)) < len(of_planned):
            raise UsageError("[[planned]]: two contrasts have the same name.")
        self._check_positions()
        if sum((bool(self.rois), bool(self.roi_contrasts), self.retinotopy_only)) > 1:
            raise UsageError(
                "ROIs are defined by --roi-contrasts, by --retinotopy-only, or by [[roi]] entries "
                "of the config file; give only one of these."
            )

    def _check_positions(self) -> None:
        by_key = {position.name.casefold(): position.name for position in self.positions}
        if len(by_key) < len(self.positions):
            raise UsageError("[[position]]: two positions have the same name.")
        if len({contrast.casefold() for contrast in self.relative_to}) < len(self.relative_to):
            raise UsageError("relative-to: a contrast is given twice.")
        for contrast, name in self.relative_to.items():
            if name.casefold() not in by_key:
                there = ", ".join(by_key.values()) or "none"
                raise UsageError(
                    f"relative-to: {contrast} = {name!r}; expected the name of a [[position]]; "
                    f"there are: {there}."
                )

    def _check_labels(self) -> None:
        space, hyphen, density = (self.space or "").removeprefix("space-").rpartition("-")
        if hyphen and re.fullmatch(r"\d+k", density):
            object.__setattr__(self, "space", space)
            object.__setattr__(self, "density", density)
        for declared in options_of(Settings):
            value = getattr(self, declared.name, None)
            if declared.prefix is None or value is None:
                continue
            check = partial(checked_label, declared.name, declared.prefix)
            label = tuple(dict.fromkeys(map(check, value))) if declared.is_list else check(value)
            object.__setattr__(self, declared.name, label)
        object.__setattr__(self, "statistic", self.statistic.lower())

    def _check_space(self) -> None:
        space = self.space and (known_space(self.space) or self.space)
        object.__setattr__(self, "space", space)
        if self.density and not vertex_counts(space, self.density):
            raise UsageError(
                f"--space {space}-{self.density}: no such density; expected one of "
                f"{', '.join(f'{n}-{d}' for n, densities in DENSITIES.items() for d in densities)}."
            )
        name = numbered(space, self.density) if space and self.density else None
        if name is not None:  # results in two densities need different names
            object.__setattr__(self, "space", name)
            object.__setattr__(self, "density", None)

    def _check_filters(self) -> None:
        unknown = set(self.bids_filters) - set(FILTER_QUERIES)
        if unknown:
            raise UsageError(
                f"--bids-filter-file: unknown query {', '.join(sorted(unknown))}; "
                f"expected {', '.join(FILTER_QUERIES)}."
            )
        for query, expected in (("localizer", "z"), ("estimates", self.statistic)):
            value = self.bids_filters.get(query, {}).get("stat", expected)
            if value != expected:
                raise UsageError(
                    f"--bids-filter-file: {query}: stat {value!r}; the localizer always uses z "
                    "maps. To choose what is measured, use --statistic."
                )


def is_stats_model(model: str) -> bool:
    """Return whether a model is the path of a BIDS Stats Model, not a formula.

    Examples
    --------
    >>> is_stats_model("model-groups_smdl.json"), is_stats_model("estimate ~ age")
    (True, False)
    """
    return model.strip().casefold().endswith(".json")


_RULE_KEYS = (
    *("visual_areas", "eccentricity", "polar_angle", "min_variance_explained"),
    *("threshold_kind", "localizer_threshold", "tail", "min_vertices", "exclusive"),
)
"""Options of a rule in the order of the file: retinotopy first."""


def settings_text(settings: Settings) -> str:
    """Write the settings that affect the results as TOML, for use with ``--config``."""
    return tomli_w.dumps(settings_as_toml(settings))


def as_command(text: str) -> str:
    r"""Say the settings of a group run, as TOML, as the command that gives them.

    Options that are as by default are left out. Tables cannot be given on the command line: for
    them, their file is named.

    Examples
    --------
    >>> as_command('family = "task"\nrobust = true\nmin-coverage = 0.5')
    'bids_secondlevel BIDS_DIR OUTPUT_DIR group --family task --robust'
    """
    usual = settings_as_toml(Settings(bids_dir=Path(), output_dir=Path(), analysis_level="group"))
    given = tomllib.loads(text)
    words = ["bids_secondlevel", "BIDS_DIR", "OUTPUT_DIR", "group"]
    if any(map(_is_table, given.values())):
        return shlex.join([*words, "--config", "logs/group_settings.toml"])
    for key, value in given.items():
        if value in (usual.get(key), False):
            continue
        words.append(f"--{key}")
        if value is not True:
            words += map(str, value if isinstance(value, list) else [value])
    return shlex.join(words)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict))


def participant_settings(settings: Settings) -> list[str]:
    """Return the settings that affect the results of a participant, as TOML."""
    options = settings_as_toml(replace(settings, participant_label=()))
    of_group = {declared.key for declared in options_of(Settings) if declared.group == GROUP_LEVEL}
    of_group.add("planned")
    decisive = {key: value for key, value in options.items() if key not in of_group}
    return tomli_w.dumps(decisive).splitlines()


def settings_as_toml(settings: Settings) -> dict[str, Any]:
    """Return the settings that affect the results by the long names of the options."""
    declared = {o.name: o for o in options_of(Settings) if o.group not in (None, RUNNING)}
    given = {
        **vars(settings),
        "space": f"{settings.space}-{settings.density}" if settings.density else settings.space,
        "model": model_as_given(settings.model),
    }
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name == "rule":
            options |= _rule_as_toml(settings.rule)
        elif name in declared:
            known = declared[name]
            options[known.key] = not value if known.says_no else _as_toml(value)
    options["roi"] = [
        {
            "name": roi.name,
            "contrasts": list(roi.contrasts),
            "combine": roi.combine,
            "exclude": list(roi.exclude),
            **_differing(_rule_as_toml(roi.rule), _rule_as_toml(settings.rule)),
        }
        for roi in settings.rois
    ]
    for name, tables in (("maps", settings.maps), ("retinotopy", settings.retinotopy)):
        options[name] = [_table_as_toml(table) for table in tables]
    options["planned"] = [as_table(contrast) for contrast in settings.planned]
    options["position"] = [as_table(position) for position in settings.positions]
    options["relative-to"] = dict(settings.relative_to)
    options["labels"] = dict(settings.labels)
    if settings.analysis_level == "group":
        acting = {o.key for o in options_of(Settings) if "group" in o.levels}
        acting |= {"planned", "labels"}
        options = {key: value for key, value in options.items() if key in acting}
    return {key: value for key, value in options.items() if value not in (None, [], {})}


def model_as_given(model: str | None) -> str | None:
    """Make the path of a file absolute, because settings may be used in another folder."""
    return model if model is None or not is_stats_model(model) else _absolute(Path(model))


def _absolute(path: Path) -> str:
    """Make a path absolute; bytes that are not Unicode are escaped."""
    return os.fsencode(path.absolute()).decode(errors="backslashreplace")


def _as_toml(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_toml(item) for item in value]
    if isinstance(value, DerivativePath):
        path = _absolute(value.path)
        return f"{value.name}={path}" if value.name else path
    return _absolute(value) if isinstance(value, Path) else value


def _table_as_toml(described: Described) -> dict[str, Any]:
    table = as_table(described)
    # Path.expanduser raises an error if there is no home.
    dataset = Path(os.path.expanduser(described.dataset or ""))  # noqa: PTH111
    if os.sep in (described.dataset or "") and dataset.is_dir():  # else a name, or in BIDS_DIR
        table["dataset"] = _absolute(dataset)
    return table


def _rule_as_toml(rule: RoiRule) -> dict[str, Any]:
    values = {name.replace("_", "-"): _as_toml(getattr(rule, name)) for name in _RULE_KEYS}
    return {key: value for key, value in values.items() if value is not None}


def _differing(own: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    """Keep what an ROI overrides. A kind of threshold is kept together with its threshold."""
    differing = {name: value for name, value in own.items() if default.get(name) != value}
    if "threshold-kind" in differing:
        differing["localizer-threshold"] = own["localizer-threshold"]
    return differing
