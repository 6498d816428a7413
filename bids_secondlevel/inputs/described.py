"""Find the files that the user describes by patterns, and give them BIDS entities."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from bids_secondlevel.core.described import (
    CAPTURES,
    Described,
    DescribedMaps,
    DescribedRetinotopy,
    captures_of,
    label_of,
)
from bids_secondlevel.core.errors import (
    DataError,
    InputMissingError,
    UsageError,
)
from bids_secondlevel.core.files import Dataset, FileKind, IndexedFile, Reading, SourceFile
from bids_secondlevel.core.hemispheres import HEMISPHERES
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.spaces import known_space, surface_space
from bids_secondlevel.inputs.datasets import list_participants, unique_name
from bids_secondlevel.inputs.names import (
    CIFTI_EXTENSIONS,
    SPM_T,
    extension_of,
    statistic_of,
    with_pooled_run,
)
from bids_secondlevel.inputs.patterns import (
    EVERY,
    Captured,
    Folders,
    Sought,
    expression_of,
    find,
    nearest,
)
from bids_secondlevel.inputs.spm import contrast_in_header
from bids_secondlevel.maps.cifti import describe
from bids_secondlevel.maps.surfaces import array_names

RAW = "raw"
"""Name of ``BIDS_DIR`` in BIDS URIs."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pattern:
    """An entry of the config file, and the datasets in which its files are."""

    heading: str
    """Its name in messages."""
    described: Described
    datasets: tuple[Dataset, ...]
    folders: Folders
    """Shared by all patterns."""

    @property
    def is_for_everybody(self) -> bool:
        """Whether its files are an atlas, not maps of participants."""
        of_template = known_space(str(self.described.subject))
        names_nobody = "subject" not in captures_of(self.described.pattern)
        return bool(of_template) or (names_nobody and self.described.subject is None)

    def matches(self, sought: Sought = EVERY) -> Iterator["Match"]:
        """Find its files, each once."""
        own = None if self.is_for_everybody else self.described.subject
        if own is not None and sought.label not in (None, self.folders.participant(str(own))):
            return
        found: set[Path] = set()
        for dataset in self.datasets:
            for path, captured in find(dataset.root, self.described.pattern, self.folders, sought):
                if path not in found:
                    found.add(path)
                    yield Match(self, dataset, path, captured)

    def describes(self, path: Path) -> bool:
        """Return whether a file fits the pattern for any participant."""
        return any(expression.fullmatch(str(path)) for expression in self._expressions)

    @cached_property
    def _expressions(self) -> list[re.Pattern[str]]:
        inside = expression_of(self.described.pattern)
        return [re.compile(f"{re.escape(str(d.root))}/{inside}") for d in self.datasets]


@dataclass(frozen=True, eq=False)
class Match:
    """A file that fits a pattern."""

    pattern: Pattern
    dataset: Dataset
    path: Path
    captured: Captured

    @property
    def subject(self) -> str:
        """Label of the participant."""
        own = self.captured.get("subject", self.pattern.described.subject)
        return self.pattern.folders.participant(str(own))

    def labels(self) -> dict[str, str]:
        """Return the labels of captures and constants.

        Raises
        ------
        UsageError
            If a text has no letter or digit.
        """
        described = self.pattern.described
        given = {name: getattr(described, name, None) for name in CAPTURES} | {**self.captured}
        if isinstance(described, DescribedMaps) and described.names:
            contrast = given["contrast"]
            given["contrast"] = described.names.get(str(contrast), contrast)
        try:
            labels = {name: label_of(name, str(v)) for name, v in given.items() if v is not None}
        except UsageError as error:
            raise UsageError(f"{self.pattern.heading}: {self.path}: {error}") from error
        return labels | ({"subject": self.subject} if "subject" in labels else {})


def uri_of(dataset: Dataset, path: Path) -> str:
    """Name a file by its BIDS URI (BIDS specification, "BIDS URI")."""
    return f"bids:{dataset.name}:{path.relative_to(dataset.root).as_posix()}"


def patterns_of(settings: Settings, datasets: Sequence[Dataset]) -> tuple[Pattern, ...]:
    """Find the datasets of the entries of the config file.

    Raises
    ------
    UsageError
        If a dataset is unknown, or a map has no task.
    """
    raw = Dataset(RAW, settings.bids_dir.absolute())
    searched = (raw, *datasets)
    known = list(searched)
    inner = (raw.root / name for name in ("derivatives", "sourcedata"))
    folders = Folders(
        left_out=frozenset({settings.output_dir.absolute(), *inner}),
        participants=frozenset(list_participants(settings.bids_dir, datasets)),
    )
    patterns = []
    every: Mapping[str, Sequence[Described]] = {
        "maps": settings.maps,
        "retinotopy": settings.retinotopy,
    }
    for kind, tables in every.items():
        for number, described in enumerate(tables, 1):
            heading = f"[[{kind}]] number {number}"
            chosen = searched
            if described.dataset is not None:
                dataset = _dataset(described.dataset, known, heading)
                known += [] if dataset in known else [dataset]
                chosen = (dataset,)
            pattern = Pattern(
                heading=heading, described=described, datasets=chosen, folders=folders
            )
            _check_df(pattern)
            patterns.append(pattern)
    return tuple(patterns)


def _dataset(asked: str, known: Sequence[Dataset], heading: str) -> Dataset:
    """Find the dataset of an entry by its name or path; the first of `known` is ``BIDS_DIR``."""
    named = next((dataset for dataset in known if dataset.name == asked), None)
    if named is not None:
        return named
    given = Path(os.path.expanduser(asked))  # noqa: PTH111 Path.expanduser ends without a home
    for path in (given.absolute(), known[0].root / given)[0 if os.sep in asked else 1 :]:
        if path.is_dir():
            same = next((dataset for dataset in known if dataset.root == path), None)
            return same or Dataset(unique_name(None, path, known), path)
    names = [dataset.name for dataset in known[1:]]
    raise UsageError(
        f"{heading}: dataset = {asked!r} is neither the name of a dataset nor a folder; the "
        f"datasets are {', '.join(names) or 'none'}. Give its folder with --derivatives "
        f"{asked}=PATH, or write the path here."
    )


def _check_df(pattern: Pattern) -> None:
    described = pattern.described
    if isinstance(described, DescribedMaps) and described.df and _statistic(described) != "t":
        raise UsageError(
            f'{pattern.heading}: df is given, but stat is {described.stat!r}; expected stat = "t".'
        )


def check_patterns(patterns: Iterable[Pattern], participants: Sequence[str]) -> None:
    """Check that every pattern matches a file of a participant.

    Raises
    ------
    InputMissingError
        If a pattern does not.
    """
    everyone = {*participants}
    for pattern in patterns:
        found: dict[str, Match] = {}
        for match in pattern.matches(Sought(one_each=True)):
            if pattern.is_for_everybody:
                break
            label = match.subject
            if label in everyone:
                break
            found.setdefault(label, match)
        else:
            raise InputMissingError(_nobody(pattern, found, participants))


def _nobody(pattern: Pattern, found: dict[str, Match], participants: Sequence[str]) -> str:
    text = pattern.described.pattern
    if found:
        first = next(iter(found.values()))
        return (
            f"{pattern.heading}: the files that match {text!r} belong to participants that are not "
            f"in this dataset ({', '.join(f'sub-{label}' for label in list(found)[:5])}; the first "
            f"is {first.path}). The participants are "
            f"{', '.join(f'sub-{label}' for label in participants[:5]) or 'none'}"
            f"{', ...' if len(participants) > 5 else ''}. Write the text before and after the "
            "label into the pattern, such as sess{subject}; or add an entry with "
            'subject = "..." for each participant.'
        )
    reports = [nearest(dataset.root, text, pattern.folders) for dataset in pattern.datasets]
    furthest = max(reports, key=lambda line: line.count("/"), default="")
    is_glob = re.search(r"\*\*|[?\[\]]", text)
    hint = " In a pattern, only * and {...} match other text, within a single folder or file name."
    return (
        f"{pattern.heading}: no file matches {text!r}: {furthest}\n"
        f"Correct the pattern, or dataset.{hint if is_glob else ''}"
    )


def participants_of(patterns: Sequence[Pattern]) -> set[str]:
    """Find the participants in patterns of maps or, if there are none, of retinotopy."""
    of_maps = [p for p in patterns if isinstance(p.described, DescribedMaps)]
    of_retinotopy = [p for p in patterns if not isinstance(p.described, DescribedMaps)]
    found: set[str] = set()
    for chosen in (of_maps, of_retinotopy):
        for pattern in chosen:
            if not pattern.is_for_everybody:
                sought = Sought(one_each=True, without=frozenset(found))
                found |= {match.subject for match in pattern.matches(sought)}
        if found:
            break
    return found


@dataclass(frozen=True, kw_only=True)
class DescribedFiles:
    """The files of a participant that patterns describe."""

    statistical: Sequence[IndexedFile]
    """Maps of t values are listed twice: as t, and as the z computed from it."""
    retinotopic: Sequence[IndexedFile]
    folders: Sequence[tuple[Dataset, Path]]
    """Folders of the participant with these files, which may have others too."""


def described_files(patterns: Iterable[Pattern], label: str) -> DescribedFiles:
    """Find the files of a participant that patterns describe."""
    statistical: list[IndexedFile] = []
    retinotopic: list[IndexedFile] = []
    folders: dict[tuple[Dataset, Path], None] = {}
    for pattern in patterns:
        described = pattern.described
        is_own = "{subject}" in described.pattern.rpartition("/")[0]
        matches = pattern.matches(Sought(label=label))
        for match in _with_array(list(matches), described.array):
            if isinstance(described, DescribedMaps):
                statistical += _statistical(match, described)
            else:
                retinotopic += _retinotopic(match, described)
            if is_own:
                folders[match.dataset, match.path.parent] = None
    return DescribedFiles(
        statistical=statistical, retinotopic=_in_one_space(retinotopic), folders=tuple(folders)
    )


def _with_array(matches: list[Match], array: int | str | None) -> list[Match]:
    """Drop files without an array of the given name, unless no file has it."""
    if not isinstance(array, str) or len(matches) < 2:
        return matches
    return [match for match in matches if array in _names_in(match.path)] or matches


def _names_in(path: Path) -> tuple[str, ...]:
    try:
        if extension_of(path.name) in CIFTI_EXTENSIONS:
            return describe(path).map_names
        return array_names(path)
    except (DataError, InputMissingError):  # said when the map is read
        return ()


def _statistical(match: Match, described: DescribedMaps) -> Iterator[IndexedFile]:
    entities = match.labels()
    entities |= {"suffix": "statmap", "extension": extension_of(match.path.name)}
    entities = with_pooled_run(entities)
    if "contrast" not in entities and _kind_of(entities) == "volume":
        entities |= _contrast_of_spm(match.path, described)
    plain = Reading(array=described.array)
    stat = _statistic(described)
    if stat == "sig":
        made = {"z": Reading(array=described.array, made_z_from="sig")}
    elif stat == "t":
        df = _df_of(match, described.df) if isinstance(described.df, str) else described.df
        made = {"t": plain, "z": Reading(array=described.array, made_z_from="t", df=df)}
    else:
        made = {stat: plain}
    for name, reading in made.items():
        yield from _on_sides(match, {**entities, "stat": name}, described.space, reading)


def _contrast_of_spm(path: Path, described: DescribedMaps) -> dict[str, str]:
    try:
        name = contrast_in_header(path) or ""
    except InputMissingError as error:
        raise DataError(f"{error} The header of the file gives the contrast.") from error
    label = re.sub("[^0-9A-Za-z]", "", (described.names or {}).get(name, name))
    return {"contrast": label} if label else {}


def _statistic(described: DescribedMaps) -> str:
    stat = described.stat.casefold()
    return {"sig": "sig", SPM_T.casefold(): "t"}.get(stat, statistic_of(described.stat))


def _df_of(match: Match, pattern: str) -> SourceFile:
    """Find the file that holds the degrees of freedom of a map of t values."""
    dataset = match.dataset
    found = [
        path for path, _ in find(dataset.root, pattern, match.pattern.folders, known=match.captured)
    ]
    beside = [path for path in found if path.parent == match.path.parent]
    chosen = beside if len(found) > 1 and beside else found
    if len(chosen) == 1:
        return SourceFile(chosen[0], uri_of(dataset, chosen[0]))
    where = f"{match.pattern.heading}: df = {pattern!r}, for {match.path}:"
    if not chosen:
        raise DataError(f"{where} no such file in {dataset.root}. Correct the pattern.")
    shown = "".join(f"\n  {path}" for path in chosen[:6])
    raise DataError(f"{where} several files match:{shown}\nWrite more of the path into it.")


def _retinotopic(match: Match, described: DescribedRetinotopy) -> Iterator[IndexedFile]:
    entities = match.labels()
    space = described.space
    if match.pattern.is_for_everybody:
        space = space or entities.pop("subject", None)
    entities |= {
        "suffix": described.map,
        "desc": described.source,
        "extension": extension_of(match.path.name),
    }
    reading = Reading(
        array=described.array,
        scale=described.scale,
        angle=described.angle,
        areas=described.area_labels,
    )
    yield from _on_sides(match, entities, space, reading)


def _on_sides(
    match: Match, entities: dict[str, str], space: str | None, reading: Reading
) -> Iterator[IndexedFile]:
    """List a file once for each hemisphere that it has.

    Raises
    ------
    UsageError
        If the hemisphere or the contrast of a map is unknown.
    """
    kind = _kind_of(entities)
    for name, is_needed in (
        ("hemi", kind == "surface"),
        ("contrast", entities["suffix"] == "statmap" and kind != "cifti"),
    ):
        if is_needed and name not in entities:
            raise UsageError(
                f"{match.pattern.heading}: {match.path}: {name} is unknown. Put {{{name}}} into "
                f'the pattern, or add {name} = "..." to the entry.'
            )
    source = SourceFile(match.path, uri_of(match.dataset, match.path), kind, reading)
    if space is not None:
        entities = {**entities, "space": _space_label(space, kind)}
    elif kind == "cifti":  # the surface of CIFTI files in BIDS
        entities = {**entities, "space": "fsLR"}
    sides = (entities["hemi"],) if "hemi" in entities else HEMISPHERES
    names = getattr(match.pattern.described, "names", None) or {}
    for side in sides:
        yield IndexedFile(
            source, {**entities, "hemi": side}, is_described=True, contrast_names=names
        )


def _kind_of(entities: dict[str, str]) -> FileKind:
    extension = entities["extension"]
    if extension in CIFTI_EXTENSIONS:
        return "cifti"
    is_image = extension in (".nii", ".nii.gz", ".mgz", ".mgh")
    return "volume" if is_image and "hemi" not in entities else "surface"


def _space_label(space: str, kind: FileKind) -> str:
    label, hyphen, density = space.removeprefix("space-").partition("-")
    label = re.sub("[^0-9A-Za-z+]", "", label)
    if kind == "volume":
        return label
    return surface_space(label, density if hyphen else None) or label


def _in_one_space(files: Sequence[IndexedFile]) -> list[IndexedFile]:
    """Assign to all maps of a source the surface that an entry gives for any of them."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        if "space" in file.entities:
            named[file.entities["desc"]].add(file.entities["space"])
    return [
        replace(file, entities={"space": next(iter(spaces)), **file.entities})
        if len(spaces := named[file.entities["desc"]]) == 1
        else file
        for file in files
    ]


def further_datasets(patterns: Iterable[Pattern], datasets: Sequence[Dataset]) -> list[Dataset]:
    """List the datasets of patterns that are not searched for BIDS names."""
    every = chain.from_iterable(pattern.datasets for pattern in patterns)
    return [dataset for dataset in dict.fromkeys(every) if dataset not in datasets]
