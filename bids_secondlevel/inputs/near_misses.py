"""Files that may be maps: why they are not understood, and config entries that describe them."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePath

from bids_secondlevel.core.errors import SecondLevelError
from bids_secondlevel.core.files import (
    Dataset,
    IndexedFile,
    MapKind,
    NearMiss,
    ParticipantIndex,
    SourceFile,
)
from bids_secondlevel.core.spaces import OWN
from bids_secondlevel.core.words import counted, in_words
from bids_secondlevel.inputs.datasets import (
    NEVER_SEARCHED,
    participant_folders,
    what_is_in,
)
from bids_secondlevel.inputs.names import (
    RETINOTOPIC_MAPS,
    SURFACE_EXTENSIONS,
    in_bids,
    threshold_in,
)
from bids_secondlevel.maps.surfaces import array_names

_SHOWN = 3
_MOST_LOOKED_AT = 5000
_UNTOLD = "its name does not say what the file holds"
_UNSAID = "not in the name"
_NUMBERED = re.compile("((?:con|spmT)_|(?:var)?cope|[zt]stat)[0-9]+")
_OF_FEAT = re.compile(r"(?<=/cope)[0-9]+(?=\.feat)")
_BARE = re.compile("sig|ces|cesvar|t")
_MEASURED = ("effect", "variance", "z", "t")
_AFNI = ".niml.dset"
_TIME_SERIES = ".dtseries.nii"
_ENDINGS = (*SURFACE_EXTENSIONS, ".nii", ".gii.dset", _AFNI)
# Suffixes of BIDS and derivatives that are never a statistical or a retinotopic map.
_OTHER_FILES = re.compile(
    r"_(bold|boldref|sbref|boldmap|mask|dseg|probseg|timeseries|thickness|sulc|curv|xfm|"
    r"[a-z]*fieldmap|phasediff|magnitude[12]?|epi|asl|dwi|[A-Z][0-9A-Za-z]*w|FLAIR|defacemask)\."
)
_GEOMETRY = re.compile(r"\.(?:surf|label|coord|topo)\.gii|(?<![A-Za-z])(?:wm|aparc|aseg|brain)\b")
_STATISTICAL = re.compile(
    r"stat|contrast|(?<![A-Za-z])(?:con|beta|(?:var)?cope|spm[TFZ]|ces(?:var)?|sig|"
    r"[zt](?:map|scores?|_score)|betas|effect|coef|psc)(?![A-Za-z])"
    r"|(?<![0-9A-Za-z])[zt](?=\.)",
    re.IGNORECASE,
)
_RETINOTOPIC = re.compile(
    "ecc|varea|visual[-_]?(?:area|roi)|prf|retinotop|benson|inferred|polar|polang", re.IGNORECASE
)
# Both coordinates of a receptive field, as prfanalyze writes them.
_OF_PRFANALYZE = re.compile(r"_(centerx0|centery0|sigmamajor|sigmaminor|theta|r2)\.")
# Hemispheres in a path, the most certain first: L and left may be a contrast.
_SIDES = [
    re.compile(rf"{before}(?=[._/ -])")
    for before in (
        "(?<=hemi-)(?i:lh|rh|l|r|left|right)",
        "(?<![0-9A-Za-z])(?i:[lr]h)",
        "(?<=[._/ ])[LR]",
        "(?<=[._/ ])(?i:left|right)",
    )
]
# Words before a number that is not a participant.
_OF_ANOTHER = re.compile(
    "(?:run|ses|session|day|cope|stat|con|beta|spm[tfz]|model|level|version|sm|smooth|fwhm)[-_]?$",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[0-9A-Za-z+]+")

# Keys of an entry of the config file, by the words of a name.
_STATISTICS = (
    ("variance", r"stat-(?:effect_?)?var|varcope|cesvar"),
    ("effect", r"stat-(?:effect|beta|cope|con)"),
    ("z", r"stat-z|zstat|z_?score|zmap|spmZ"),
    ("t", r"stat-t|(?<![a-z])t(?:stat|_?score|map)|spmT"),
    ("sig", r"(?<![a-z])sig(?![a-z])"),
    ("variance", r"(?<![a-z])var(?:iance)?(?:map)?(?![a-z])"),
    ("effect", r"(?<![a-z])(?:con|cope|betas?|ces|coef|psc|effect)(?:size|map)?(?![a-z])"),
    ("z", r"(?<![0-9a-z])z(?=[./])"),
    ("t", r"(?<![0-9a-z])t(?=[./])"),
)
_RETINOTOPIC_WORDS = (
    ("varea", r"varea|area|roi|label"),
    ("eccen", r"ecc"),
    ("angle", r"ang|polar|phase"),
    ("vexpl", r"vexpl|r2|rsq|var_?exp"),
    ("sigma", r"sigma|size"),
)


def near_miss(source: SourceFile, path: PurePath, label: str) -> NearMiss | None:
    """Explain why a file of a participant is not understood; ``None`` if it is not a map.

    Parameters
    ----------
    path
        Relative to the dataset.
    label
        Of the participant, without ``sub-``.
    """
    name = path.name
    ending = next((e for e in _ENDINGS if name.casefold().endswith(e)), None)
    if ending is None or _OTHER_FILES.search(name):
        return None
    kind: MapKind
    if _OF_PRFANALYZE.search(name) or (
        _RETINOTOPIC.search(name) and not re.search("stat-|statmap|contrast-", name)
    ):
        kind, reason = "retinotopy", _why_no_retinotopy(path)
    elif _STATISTICAL.search(name):
        kind, reason = "map", _why_no_map(name, ending)
    elif path.parent.name not in NEVER_SEARCHED and not _GEOMETRY.search(name):
        kind, reason = "map", _UNTOLD
    else:
        return None
    threshold = threshold_in(name) if kind == "map" else None
    if threshold is not None:
        reason = (
            f"by its name ({threshold}), values below a threshold were removed, but ROIs need all "
            "values; give the unthresholded map or, if the name means something else, add this "
            "entity to --bids-filter-file"
        )
    is_certain = threshold is not None or re.search("_stat-|_statmap", name) is not None
    return NearMiss(
        source=source,
        kind=kind,
        reason=reason,
        pattern=_pattern(path, label),
        is_certain=is_certain,
        is_describable=threshold is None and ending != _AFNI and not _OF_PRFANALYZE.search(name),
    )


def incomplete(file: IndexedFile, path: PurePath, label: str) -> NearMiss | None:
    """Explain what is missing in the name of a statistical map; ``None`` if it is complete."""
    statistic = file.entities.get("stat", "")
    lacking = [f"{name}-" for name in ("task", "contrast") if name not in file.entities]
    if statistic not in _MEASURED:
        reason = f"stat-{statistic} is not one of {in_words(_MEASURED)}"
    elif lacking:
        reason = f"its name has no {in_words(lacking, 'and no')}"
    else:
        return None
    return NearMiss(
        source=file.source,
        kind="map",
        reason=reason if statistic else "its name has no stat-",
        pattern=_pattern(path, label),
        is_certain=statistic in _MEASURED,
    )


def _pattern(path: PurePath, label: str) -> str:
    """Write the path of a file as a pattern that captures participant and hemisphere."""
    text = path.as_posix()
    if f"sub-{label}" in text:
        return _with_side(text.replace(f"sub-{label}", "sub-{subject}"))
    every = filter(None, (_participant_in(part, label) for part in path.parts))
    found = min(every, key=lambda match: match[0] != label, default=None)
    numbered = next((part for part in path.parts[:-1] if re.search("[0-9]", part)), None)
    if found is not None:
        parts = path.parts
        folders = "".join(f"{part}/" for part in parts[: parts.index(found.string)])
        start = len(folders) + found.start()
        after = text[start + len(found[0]) :]
        prefix = re.findall("[A-Za-z]*[-_]?$", found.string[: found.start()])[0]
        if prefix or len(found[0]) > 2:  # otherwise it may be another number
            word = f"(?<![0-9A-Za-z])({prefix}){found[0]}(?![0-9])"
            after = re.sub(word, r"\1{subject}", after)
        text = f"{text[:start]}{{subject}}{after}"
    elif numbered is not None:  # probably the folder of another participant
        text = text.replace(numbered, "{subject}", 1)
    return _with_side(text)


def _with_side(text: str) -> str:
    for side in _SIDES:
        if side.search(text):
            return side.sub("{hemi}", text)
    return text


def _participant_in(text: str, label: str) -> re.Match[str] | None:
    """Find a participant in the name of a file or folder; numbers may have leading zeros.

    Examples
    --------
    >>> [bool(_participant_in(text, "01")) for text in ("S1_loc", "sess001", "S11", "con_0001")]
    [True, True, False, False]
    """
    number = label.lstrip("0") or "0"
    written = f"(?<![0-9])0*{number}(?![0-9])" if label.isdigit() else re.escape(label)
    found = re.finditer(written, text, re.IGNORECASE)
    return next((m for m in found if not _OF_ANOTHER.search(text[: m.start()])), None)


def _in_other_folders(dataset: Dataset, label: str) -> list[NearMiss]:
    """Search for maps in folders whose names are not those of BIDS participants.

    Maps with the participant's label in their paths are listed; if there are none, all maps. Only
    the first files are checked, because datasets may be large.
    """
    found = []
    for path in islice(_ordinary_files(dataset.root, label), _MOST_LOOKED_AT):
        source = SourceFile(path, f"bids:{dataset.name}:{path}")
        miss = near_miss(source, path.relative_to(dataset.root), label)
        if miss is not None:
            is_known = miss.is_describable and miss.reason != _UNTOLD
            folder = f"it is not in a folder named sub-{label}"
            found.append(replace(miss, reason=folder) if is_known else miss)
    depth = len(dataset.root.parts)
    own = [
        miss
        for miss in found
        if any(_participant_in(part, label) for part in miss.source.path.parts[depth:])
    ]
    return own or found


def _ordinary_files(root: Path, label: str) -> Iterator[Path]:
    """List the files below a dataset, except those in BIDS folders of other participants."""
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "fsaverage"))
            and (not name.startswith("sub-") or _participant_in(name, label))
            and (name not in NEVER_SEARCHED or name in ("surf", "mri"))
        )
        yield from (Path(parent) / name for name in sorted(names))


def _why_no_retinotopy(path: PurePath) -> str:
    name = path.name
    if path.parent.name == "mri":
        return "files in mri/ are volumes, not maps on a surface"
    if _OF_PRFANALYZE.search(name):
        return (
            "it has values only for the vertices of a mask, and the position as x and y; write "
            "maps of all vertices, with the eccentricity hypot(centerx0, centery0)"
        )
    if _with_side(name) == name:
        return "its name has no hemisphere (lh., rh., hemi-L or hemi-R)"
    return f"its name does not end in {in_words([f'_{m}' for m in RETINOTOPIC_MAPS], 'or')}"


def _why_no_map(name: str, ending: str) -> str:
    if ending == _AFNI:
        return "it is in AFNI's own format, which is not read; convert it with ConvertDset -o_gii"
    if name.casefold().endswith(_TIME_SERIES):
        return "it is a time series, not a map"
    stem = in_bids(name).partition(".")[0]
    _, *parts = stem.split("_")
    suffix = parts.pop() if parts and "-" not in parts[-1] else ""
    if not stem.startswith("sub-"):
        return "its name does not say participant, task and contrast as BIDS does (task-X)"
    reasons = list(_faults(parts))
    if not reasons:
        reasons += _lacks(stem, suffix, ending)
    return "; ".join(reasons) or "its name is not understood"


def _faults(parts: Sequence[str]) -> Iterator[str]:
    """List the parts of a name that are not a key, a hyphen and a label."""
    before = ""
    for part in parts:
        key, hyphen, label = part.partition("-")
        if not hyphen or not key.isalpha():
            whole = f"{before}_{part}" if before else part
            yield (
                f"{whole}: a label is letters and digits, without an underscore"
                f"{f' ({before}{_plain(part)})' if before else ''}"
            )
        elif not _LABEL.fullmatch(label):
            yield f"{part}: a label is letters and digits, without a hyphen ({key}-{_plain(label)})"
        before = part


def _lacks(stem: str, suffix: str, ending: str) -> Iterator[str]:
    if suffix not in ("", "statmap"):
        yield f"its name ends in _{suffix}, not in _statmap"
    for key in ("task", "contrast", "stat"):
        if f"_{key}-" not in stem:
            yield f"its name has no {key}-"
    if ending.endswith((".gii", ".gii.gz")) and not re.search("_hemi-([LR]|[lr]h)_", stem):
        yield "its name has no hemi-L or hemi-R"


def _plain(label: str) -> str:
    return re.sub("[^0-9A-Za-z]", "", label)


def by_reason(misses: Iterable[NearMiss]) -> list[tuple[NearMiss, ...]]:
    """Group files that are not understood by reason, the most certain first."""
    groups: dict[tuple[str, str], list[NearMiss]] = {}
    for miss in misses:
        groups.setdefault((miss.kind, miss.reason), []).append(miss)
    ordered = sorted(groups.values(), key=lambda group: not group[0].is_certain)
    return [tuple(group) for group in ordered]


def in_words_for_one(index: ParticipantIndex) -> list[str]:
    """Report which maps of a participant are not understood, in the same words for all."""
    certain = [miss for miss in index.near_misses if miss.is_certain]
    return [
        f"{group[0].source.dataset}/{group[0].pattern} is not used"
        f"{f' ({len(group)} files like it)' if len(group) > 1 else ''}: {group[0].reason}."
        for group in by_reason(certain)[:_SHOWN]
    ]


def nearly_found(
    indexes: Sequence[ParticipantIndex], datasets: Sequence[Dataset], kind: MapKind
) -> str:
    """Report near misses, the folders searched, and config entries that would describe the files.

    Returns
    -------
    str
        Lines that follow a message.
    """
    label = indexes[0].label if indexes else None
    misses = [miss for index in indexes for miss in index.near_misses if miss.kind == kind]
    for dataset in datasets:
        if label is not None and not participant_folders(dataset, label):
            misses += [miss for miss in _in_other_folders(dataset, label) if miss.kind == kind]
    # Files about which nothing is known are listed only if there are no others.
    misses = [miss for miss in misses if miss.reason != _UNTOLD] or misses
    groups = by_reason({miss.source: miss for miss in misses}.values())
    lines = []
    if groups:
        lines.append("Nearly understood:")
        lines += [
            f"  {group[0].source.path}{_alike(group)}: {group[0].reason}."
            for group in groups[:_SHOWN]
        ]
        n_rest = sum(map(len, groups[_SHOWN:]))
        lines += [f"  and {counted(n_rest, 'more file')}."] if n_rest else []
    lines.append(f"Searched for sub-{label}:" if label else "Searched:")
    lines += [f"  {what_is_in(dataset, label)}" for dataset in datasets]
    described = (miss for miss in misses if miss.is_describable)
    first_of: dict[str, NearMiss] = {}
    for miss in described:
        first_of.setdefault(_table(miss), miss)
    tables = sorted(first_of, key=lambda table: table.count(_UNSAID))[:_SHOWN]
    if tables:
        lines.append("These lines in a config file (--config) would describe such names:")
        lines += [f"\n{table}{_arrays(first_of[table])}" for table in tables]
    return "\n".join(lines)


def _arrays(miss: NearMiss) -> str:
    """Write the line of an entry that chooses one of several arrays of a GIFTI file."""
    try:
        names = array_names(miss.source.path)
    except SecondLevelError:  # reported when the file is read
        return ""
    if len(names) < 2:
        return ""
    shown = in_words([f'"{name}"' for name in names[:6]], "or") if all(names) else "a number from 0"
    return f'\narray = "..."  # {shown}{" ..." if all(names) and len(names) > 6 else ""}'


def _alike(group: Sequence[NearMiss]) -> str:
    return f" and {counted(len(group) - 1, 'file')} like it" if len(group) > 1 else ""


def _table(miss: NearMiss) -> str:
    """Write the entry of the config file that describes a file and similar ones."""
    folder, slash, name = miss.pattern.rpartition("/")
    stem, dot, ending = name.partition(".")
    keys = {"ses": "session", "task": "task", "run": "run"}
    if miss.kind == "map":
        for key, capture in keys.items():
            stem = re.sub(f"(?<=_){key}-[^_]+", f"{key}-{{{capture}}}", stem)
        # A label that is not valid in BIDS ends at the next key.
        stem = re.sub(
            r"(?<=contrast-).+?(?=_[A-Za-z]+-|_[0-9A-Za-z]+$|$)", "{contrast}", stem, count=1
        )
    for key, capture in keys.items():
        folder = re.sub(f"(?<![0-9A-Za-z]){key}-[^/_.]+", f"{key}-{{{capture}}}", folder)
    if miss.kind == "map" and (of_contrast := _OF_FEAT.search(folder)):
        folder = f"{folder[: of_contrast.start()]}{{contrast}}{folder[of_contrast.end() :]}"
    elif miss.kind == "map" and _NUMBERED.fullmatch(stem):  # SPM, FEAT
        stem = _NUMBERED.sub(r"\1*" if miss.says_contrast else r"\1{contrast}", stem)
    elif miss.kind == "map" and _BARE.fullmatch(stem) and "/" in folder:  # FSFAST
        folder = re.sub(r"(?<=/)[^/{}]+\.\{hemi\}(?=/)", "{task}.{hemi}", folder)
        folder = re.sub(r"/[^/{}]+$", "/{contrast}", folder)
    pattern = f"{folder}{slash}{stem}{dot}{ending}"
    if miss.kind == "retinotopy":
        source = re.search(r"(?:^|\{hemi\}\.|_desc-|_atlas-)(?!sub-)([0-9A-Za-z]+)_", name)
        words = _word_of(name, _RETINOTOPIC_WORDS)
        given = {"map": words, "source": source[1] if source else "prf"}
        return _as_toml("retinotopy", pattern, given)
    space = re.search("(?:_|/)space-([0-9A-Za-z+]+)", pattern)
    lacking = ("task",) if miss.says_contrast else ("task", "contrast")
    given = {
        **{key: "" for key in lacking if f"{{{key}}}" not in pattern},
        "stat": _word_of(name, _STATISTICS) or _word_of(f"{folder}/", _STATISTICS),
        "space": space[1] if space else OWN if "{hemi}" in pattern else "",
    }
    return _as_toml("maps", pattern, given)


def _word_of(name: str, words: Sequence[tuple[str, str]]) -> str:
    return next((word for word, of in words if re.search(of, name, re.IGNORECASE)), "")


def _as_toml(table: str, pattern: str, given: dict[str, str]) -> str:
    lines = [f"[[{table}]]", f'pattern = "{pattern}"']
    lines += [f'{k} = "{v}"' if v else f'{k} = "..."  # {_unsaid(k)}' for k, v in given.items()]
    return "\n".join(lines)


def _unsaid(key: str) -> str:
    is_captured = key in ("task", "contrast")
    return f"{_UNSAID}{f'; or write {{{key}}} for it in the pattern' if is_captured else ''}"


def unused_datasets(
    datasets: Sequence[Dataset], indexes: Sequence[ParticipantIndex]
) -> list[Dataset]:
    """List the datasets in which no map of any participant was recognised."""
    used = {
        source.dataset
        for index in indexes
        for source in (
            *(file.source for file in (*index.statistical_maps, *index.retinotopic_maps)),
            *(surface.source for surface in index.surfaces if surface.kind == "registered"),
        )
    }
    return [dataset for dataset in datasets if dataset.name not in used]
