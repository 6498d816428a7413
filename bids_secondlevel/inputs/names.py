"""Read the names of files of FreeSurfer, neuropythy, fMRIPrep and BIDS."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bids_secondlevel.core.files import FileKind
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.roi_rule import AREA_ENDINGS
from bids_secondlevel.core.spaces import OWN, surface_space

PARTICIPANT_FOLDER = re.compile(r"sub-([0-9A-Za-z+]+)(?:_ses-[0-9A-Za-z+]+)?")

RETINOTOPIC_MAPS = ("varea", "eccen", "angle", "sigma", "vexpl")

_SURFACE = re.compile(
    r"(?P<side>[lr])h\.(?P<kind>midthickness|graymid|white|inflated|sphere|sphere\.reg|sulc|curv)"
    r"|sub-[^/]*_hemi-(?P<hemi>[LR])_(?:[^/]*_)?"
    r"(?P<bids>midthickness|white|smoothwm|inflated|sphere)\.surf\.gii"
)
# Spheres of fMRIPrep registered to a template; without one in their names, to fsaverage.
_REGISTERED = re.compile(r"_desc-(?:reg|msmsulc)_sphere\.surf\.gii$")
# Names of these maps in pRF tools; some also have no source in the name.
_OTHER_NAMES = {"ecc": "eccen", "eccentricity": "eccen", "ang": "angle", "R2": "vexpl"}
# neuropythy adds the version of the atlas to the names of its maps.
_VERSION = r"(?:\.v[0-9]+(?:_[0-9]+)*)?"
_FREESURFER_MAP = re.compile(
    r"(?:sub-(?P<subject>[0-9A-Za-z+]+)_(?:[0-9A-Za-z]+-[0-9A-Za-z+]+_)*)?"
    r"(?P<hemi>[lr])h\.(?:(?P<tag>[^/]+)_)?"
    rf"(?P<suffix>{'|'.join((*RETINOTOPIC_MAPS, *_OTHER_NAMES))})"
    rf"{_VERSION}"
    r"(?P<extension>(?i:\.mgz|\.mgh|(?:\.func|\.shape|\.label)?\.gii(?:\.gz)?|\.nii\.gz|\.curv|))"
)
_FREESURFER_VOLUME = re.compile(
    rf"(?!sub-|[lr]h\.)(?P<tag>[^/]+)_(?P<suffix>{'|'.join((*RETINOTOPIC_MAPS, 'eccentricity'))})"
    rf"{_VERSION}"
    r"(?P<extension>(?i:\.mgz|\.mgh|\.nii|\.nii\.gz))"
)
_AREA = re.compile(
    r"(?:(?P<side>[lr])h\.|sub-[^/]*_hemi-(?P<hemi>[LR])_)"
    rf"(?P<name>[^/]*(?:{'|'.join(map(re.escape, AREA_ENDINGS))}))"
)
_AREAS_OF_BOTH = re.compile(r"(?:sub-[0-9A-Za-z+]+[_.])?(?P<name>[^/]*\.dlabel\.nii)")
_AREA_VOLUME = re.compile(
    r"(?![lr]h\.)(?:sub-[0-9A-Za-z+]+[_.])?"
    r"(?P<name>(?:(?!_?hemi-)[^/])*(?<!\.dlabel)(?<!\.dscalar)(?<!\.dtseries)"
    r"\.(?:nii|nii\.gz|mgz|mgh))"
)
STATMAP_NAME = re.compile(r"sub-[0-9A-Za-z+]+_(?:[A-Za-z]+-[0-9A-Za-z+]+_)*[0-9A-Za-z]+\.[^/]+")
SURFACE_EXTENSIONS = (
    ".func.gii",
    ".shape.gii",
    ".label.gii",
    ".gii",
    ".func.gii.gz",
    ".shape.gii.gz",
    ".label.gii.gz",
    ".gii.gz",
    ".mgz",
    ".mgh",
    ".nii.gz",
)
_OF_BOTH_HEMISPHERES: Mapping[str, FileKind] = {
    **dict.fromkeys((".nii", ".nii.gz", ".mgz", ".mgh"), "volume"),
    **dict.fromkeys((".dscalar.nii", ".dlabel.nii"), "cifti"),
}
CIFTI_EXTENSIONS = (".dscalar.nii", ".dlabel.nii", ".dtseries.nii")
SPM_T = "spmT"  # t values; the degrees of freedom in their header turn them into z
# Names of the statistic in different tools, in lower case: in stat-, or as the suffix, which
# a filter file can then select.
_STATISTICS = {
    **dict.fromkeys(("effect", "effectsize", "con", "beta", "cope", "psc"), "effect"),
    **dict.fromkeys(("variance", "effectvariance", "varcope"), "variance"),
    **dict.fromkeys(("t", "tstat", "tmap", "tscore", "tvalue"), "t"),
    **dict.fromkeys(("z", "zstat", "zmap", "zscore", "zvalue", SPM_T.lower(), "spmz"), "z"),
    **dict.fromkeys(("p", "pval", "pvalue"), "p"),
}
_ENTITY = re.compile(r"(?:^|(?<=_))([0-9A-Za-z]+)-([0-9A-Za-z+]+)(?=[_.])")
_LONG_NAMES = {
    "sub": "subject",
    "ses": "session",
    "acq": "acquisition",
    "ce": "ceagent",
    "rec": "reconstruction",
    "dir": "direction",
    "seg": "segmentation",
}
_SESSION_FOLDER = re.compile(r"(?:sub-[0-9A-Za-z+]+_)?ses-([0-9A-Za-z+]+)")
_POOLED = re.compile(
    r"(?P<what>(?:ses(?:sions?|s)?|runs?)?)"
    r"(?:all|across|average[ds]?|avg|mean|pool(?:ed)?|combined?|concat(?:enated)?|merged?|joint"
    r"|total|overall|both|fixed|fixedeffects?|ffx)"
    r"(?:ses(?:sions?|s)?|runs?)?"
)
# Keys about thresholding, and keys whose labels may say that a map was thresholded.
_THRESHOLDS = {
    *("p", "pval", "pvalue", "k", "q", "mc", "thr", "pthr", "zthr", "tthr", "cutoff", "cluster"),
    *("fdr", "fwe", "fwer", "correction", "corrected"),
}
_TOLD_BY = {"desc", "label", "proc", "rec", "stat", "res", "model"}
_THRESHOLDED = re.compile(
    "(?<!un)(?<!un-)(?<!non)thresh|^(?:[ptz]?thr|fdr|fwer?|cluster(?:ed)?|corrp)[0-9]*$"
)
_LETTERS: Mapping[str, Hemisphere] = {"L": "L", "lh": "L", "R": "R", "rh": "R"}
_SIDES = {**dict.fromkeys(("l", "lh", "left"), "L"), **dict.fromkeys(("r", "rh", "right"), "R")}
# Names of statistics in nilearn's ``compute_contrast(output_type="all")``: not BIDS labels.
_OF_NILEARN = {
    "effect_size": "effect",
    "effect_variance": "variance",
    "z_score": "z",
    "p_value": "p",
}
_PARTICIPANT = "(?:sub(?:j|ject)?|s|p|pp|participant)?-?"  # the prefix of a label
_REPEATED = {"task", "session", "ses", "run"}
_UNNAMED = "unnamed"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of camel case
_TAG_ENTITIES = ("desc", "atlas", "model", "segmentation", "label")


def surface_of(name: str) -> tuple[Hemisphere, str, str | None] | None:
    """Find hemisphere, kind and space of a mesh, or of values for its shading.

    Kind and space are as in :class:`~bids_secondlevel.core.files.SurfaceFile`.

    Examples
    --------
    >>> surface_of("lh.white"), surface_of("rh.sphere.reg")
    (('L', 'white', None), ('R', 'registered', 'fsaverage'))
    >>> surface_of("sub-01_hemi-L_space-fsLR_desc-msmsulc_sphere.surf.gii")
    ('L', 'registered', 'fsLR')
    """
    match = _SURFACE.fullmatch(name)
    if match is None:
        return None
    hemisphere = _hemisphere(match["side"] or match["hemi"])
    kind = match["kind"] or match["bids"]
    named = entities_in(name)
    if kind == "sphere.reg" or _REGISTERED.search(name):
        return hemisphere, "registered", named.get("space", "fsaverage")
    space = surface_space(named.get("space"), named.get("den"))
    return hemisphere, kind, None if space == OWN else space


def areas_of(name: str) -> list[tuple[Hemisphere, str]]:
    """Find hemispheres and name of a file that may define visual areas.

    Examples
    --------
    >>> areas_of("lh.V1_exvivo.thresh.label"), areas_of("sub-01_hemi-R_desc-hMT_mask.label.gii")
    ([('L', 'V1_exvivo.thresh.label')], [('R', 'desc-hMT_mask.label.gii')])
    >>> areas_of("sub-01_space-fsLR_den-32k_areas.dlabel.nii")[0]
    ('L', 'space-fsLR_den-32k_areas.dlabel.nii')
    """
    match = _AREA.fullmatch(name)
    if match is not None:
        return [(_hemisphere(match["side"] or match["hemi"]), match["name"])]
    of_both = _AREAS_OF_BOTH.fullmatch(name)
    return [] if of_both is None else [(hemi, of_both["name"]) for hemi in HEMISPHERES]


def area_volume(name: str) -> tuple[str, str | None] | None:
    """Find name and space of a volume that may define visual areas; ``None`` for other files.

    Examples
    --------
    >>> area_volume("sub-01_space-T1w_atlas-wang_dseg.nii.gz")
    ('space-T1w_atlas-wang_dseg.nii.gz', 'T1w')
    >>> area_volume("tpl-MNI152NLin6Asym_dseg.nii"), area_volume("aparc+aseg.mgz")
    (('tpl-MNI152NLin6Asym_dseg.nii', 'MNI152NLin6Asym'), ('aparc+aseg.mgz', None))
    """
    named = _AREA_VOLUME.fullmatch(name)
    if named is None:
        return None
    said = entities_in(name)
    return named["name"], said.get("space", said.get("tpl"))


def is_localizer(task: str) -> bool:
    """Return whether a task is named like a localizer.

    One of its words is or ends with ``loc`` (but not ``bloc``), or contains ``localizer``. Words
    begin at capitals, at digits and after digits.

    Examples
    --------
    >>> [is_localizer(task) for task in ("floc", "fLoc", "locFaces", "loc2", "faceLocaliser")]
    [True, True, True, True, True]
    >>> [is_localizer(task) for task in ("block", "velocity", "WedgeClock", "enbloc", "location")]
    [False, False, False, False, False]
    """
    words = [word.casefold() for word in _WORD.findall(task)]
    return any(re.search(r"(?<!b)loc$|locali[sz]er", word) for word in words)


def _hemisphere(letter: str) -> Hemisphere:
    return "L" if letter in "lL" else "R"


def in_bids(name: str) -> str:
    """Translate the name of a map from known tools to BIDS.

    Examples
    --------
    >>> in_bids("sub-01_task-loc_hemi-left_taskcontrast-faces_stat-z_score.FUNC.GII")
    'sub-01_task-loc_hemi-L_contrast-faces_stat-z_statmap.func.gii'
    """
    stem, dot, extension = name.partition(".")
    if not stem.startswith("sub-"):
        return name
    for spelled, label in _OF_NILEARN.items():
        stem = re.sub(f"_stat-{spelled}(?=_|$)", f"_stat-{label}", stem, flags=re.IGNORECASE)
    if re.search("_stat-[^_-]+$", stem):
        stem += "_statmap"
    if "_taskcontrast-" in stem:  # of HALFpipe; over runs, its contrast is the intercept
        stem = stem.replace("_contrast-intercept", "")
        if "_contrast-" not in stem:
            stem = stem.replace("_taskcontrast-", "_contrast-")
    side = re.search("_hemi-([A-Za-z]+)(?=_)", stem)
    if side is not None and side[1] not in _LETTERS and side[1].casefold() in _SIDES:
        stem = f"{stem[: side.start()]}_hemi-{_SIDES[side[1].casefold()]}{stem[side.end() :]}"
    stem = re.sub("_eccentricity$", "_eccen", stem)
    return stem + dot + extension.casefold()


def extension_of(name: str) -> str:
    """Return the ending that gives the format of a map; empty for FreeSurfer's morphometry files.

    Examples
    --------
    >>> extension_of("sig.nii.gz"), extension_of("a.b.func.gii"), extension_of("lh.prf_eccen")
    ('.nii.gz', '.func.gii', '')
    """
    known = {*SURFACE_EXTENSIONS, *_OF_BOTH_HEMISPHERES, *CIFTI_EXTENSIONS}
    found = [ending for ending in known if name.casefold().endswith(ending)]
    return max(found, key=len, default="")


def is_freesurfer_name(name: str) -> bool:
    """Recognise names that pybids would misread: ``lh.`` is not an entity of BIDS."""
    return any(named.fullmatch(name) for named in (_FREESURFER_MAP, _FREESURFER_VOLUME))


def freesurfer_entities(path: Path) -> dict[str, str] | None:
    """Translate the FreeSurfer name of a retinotopic map to BIDS entities.

    Volumes have no ``hemi``.

    Examples
    --------
    >>> freesurfer_entities(Path("surf/lh.benson14_varea.mgz"))
    {'desc': 'benson14', 'suffix': 'varea', 'extension': '.mgz', 'hemi': 'L'}
    >>> freesurfer_entities(Path("mri/benson14_varea.mgz"))
    {'desc': 'benson14', 'suffix': 'varea', 'extension': '.mgz'}
    """
    match = _FREESURFER_MAP.fullmatch(path.name)
    if match and path.parent.name == "mri":  # in this folder, lh. and rh. are volumes too
        match = None
    named = match or _FREESURFER_VOLUME.fullmatch(path.name)
    if named is None:
        return None
    entities = {
        "desc": named["tag"] or _UNNAMED,
        "suffix": _OTHER_NAMES.get(named["suffix"], named["suffix"]),
        "extension": named["extension"].casefold(),
    }
    if match is not None:
        entities["hemi"] = _hemisphere(match["hemi"])
        if match["subject"]:
            entities["subject"] = match["subject"]
    return entities


def long_name(key: str) -> str:
    """Return pybids' name of an entity by its key in file names: ``ses`` is ``session``."""
    return _LONG_NAMES.get(key, key)


def entities_in(name: str) -> dict[str, str]:
    """Read every key and label of a name, including those unknown to BIDS.

    Examples
    --------
    >>> entities_in("sub-01_ses-2_run-odd_split-half1_statmap.nii")
    {'subject': '01', 'session': '2', 'run': 'odd', 'split': 'half1'}
    """
    return {long_name(key): label for key, label in _ENTITY.findall(name)}


def session_of(folders: Iterable[str]) -> str | None:
    """Find the session of a file by its folders: ``ses-01``, or ``sub-01_ses-01`` (FreeSurfer)."""
    matches = (_SESSION_FOLDER.fullmatch(folder) for folder in folders)
    return next((match[1] for match in matches if match), None)


def session_of_surface(path: Path) -> str | None:
    """Find the session of a surface if FreeSurfer was run per session (folder ``sub-1_ses-a``).

    Examples
    --------
    >>> session_of_surface(Path("freesurfer/sub-1_ses-a/surf/lh.white"))
    'a'
    >>> session_of_surface(Path("vistasoft/sub-1/ses-a/lh.benson14_varea.mgz"))
    """
    folders = (part for part in path.parent.parts if part.startswith("sub-"))
    return session_of(folders)


def side_of(label: str) -> Hemisphere | None:
    """Find the hemisphere of a label; ``None`` if the label means something else.

    Examples
    --------
    >>> side_of("lh"), side_of("R"), side_of("both")
    ('L', 'R', None)
    """
    return _LETTERS.get(label)


def is_pooled(label: str | None) -> bool:
    """Return whether the label of a session or run means all sessions or runs.

    Examples
    --------
    >>> [is_pooled(label) for label in (None, "all", "allses", "pooled", "runAvg", "acrossruns")]
    [True, True, True, True, True, True]
    >>> [is_pooled(label) for label in ("01", "post", "allegra")]
    [False, False, False]
    """
    return label is None or _POOLED.fullmatch(label.casefold()) is not None


def with_pooled_run(entities: Mapping[str, str]) -> dict[str, str]:
    """Mark a map of all runs as in BIDS, without ``run``. Its label is kept as ``runs``."""
    run = entities.get("run")
    if run is None or not is_pooled(run):
        return dict(entities)
    return {"runs": run, **{name: label for name, label in entities.items() if name != "run"}}


def threshold_in(name: str) -> str | None:
    """Find the part of a name that says that a map was thresholded.

    Examples
    --------
    >>> threshold_in("sub-01_task-loc_desc-faces_label-0001_p-0pt001_k-10_MC-none_spmT.nii")
    'p-0pt001'
    >>> threshold_in("sub-01_contrast-faces_desc-zThresholded_stat-z_statmap.nii.gz")
    'desc-zThresholded'
    >>> threshold_in("sub-01_task-thresholds_desc-unthresholded_stat-z_statmap.nii.gz")
    """
    for part in name.partition(".")[0].split("_"):
        key, hyphen, label = part.casefold().rpartition("-")
        if key in _THRESHOLDS or "thresh" in key:
            return part
        if (not hyphen or key in _TOLD_BY) and _THRESHOLDED.search(label):
            return part
    return None


def statistic_of(label: str) -> str:
    """Translate the statistic of a map to BIDS; unknown words are unchanged.

    Examples
    --------
    >>> statistic_of("Zstat"), statistic_of("cope"), statistic_of("rSquared")
    ('z', 'effect', 'rSquared')
    """
    return _STATISTICS.get(label.casefold(), label)


def with_statistic(entities: Mapping[str, str]) -> dict[str, str]:
    """Translate statistic and contrast of other tools to BIDS.

    The tool's own name of the statistic is kept as entity ``statistic``, for filters.
    """
    said = dict(entities)
    suffix = said.pop("suffix")
    label = said.get("stat", suffix)
    if suffix != "statmap" and "contrast" not in said:
        contrast = said.get("desc") or said.get("label")
        said |= {"contrast": contrast} if contrast else {}
    if label != "statmap":
        said["stat"] = statistic_of(label)
        if said["stat"] != label:
            said["statistic"] = label
    return {**said, "suffix": "statmap"}


def task_of_folder(parts: Sequence[str]) -> str | None:
    """Find the task in the name of a folder of a path.

    Maps of FitLins without a task belong to all tasks that it was given; their names have no space.

    Examples
    --------
    >>> task_of_folder(("task-loc", "sub-01", "sub-01_contrast-A_stat-z_statmap.func.gii"))
    'loc'
    """
    named = [
        match[1] for part in parts[:-1] if (match := re.fullmatch("task-([0-9A-Za-z]+)", part))
    ]
    return named[-1] if named and not any(part.startswith("node-") for part in parts) else None


def retinotopy_tag(name: str, entities: Mapping[str, str]) -> str:
    """Find the source of retinotopic maps in a BIDS name."""
    unkeyed = [part for part in name.split("_")[1:-1] if "-" not in part]
    keyed = [entities[entity] for entity in _TAG_ENTITIES if entity in entities]
    return "_".join(unkeyed) or (keyed[0] if keyed else _UNNAMED)


def without_participant(tag: str, label: str) -> str:
    """Remove the participant from the source of retinotopic maps, if anything else remains.

    A label of digits alone is removed only at the beginning: elsewhere it may be a run.

    Examples
    --------
    >>> without_participant("S01_inferred", "01"), without_participant("inferred_TOME1", "TOME1")
    ('inferred', 'inferred')
    >>> without_participant("prf_01", "01"), without_participant("benson14", "14")
    ('prf_01', 'benson14')
    """
    found = _participant(label).search(tag)
    if found is None or (found.start() > 0 and found[0].isdigit()):
        return tag
    around = (tag[: found.start()].rstrip("_.-"), tag[found.end() :].lstrip("_.-"))
    return "_".join(filter(None, around)) or tag


def map_labels(names: Sequence[str], entities: Mapping[str, str]) -> list[str]:
    """Make labels from the names of the maps in one file.

    Words of the file name (participant, task, session, run) are removed. If the participant is
    among them, other words common to all are removed too. Of the rest, letters and digits are kept.

    Examples
    --------
    >>> map_labels(["01_loc_faces", "01_loc_UL"], {"subject": "01", "task": "loc"})
    ['faces', 'UL']
    >>> map_labels(["faces > houses"], {"subject": "01", "task": "loc"})
    ['faceshouses']
    """
    whole = [re.sub("[^0-9A-Za-z]", "", name) for name in names]
    participant = _participant(entities["subject"])
    if not any(map(participant.search, names)):
        return whole
    said = {entities.get(name, "").casefold() for name in _REPEATED} | _REPEATED
    every = [re.split("[^0-9A-Za-z]+", participant.sub("_", name)) for name in names]
    words = [[word for word in of if word.casefold() not in said] for of in every]
    common = set.intersection(*map(set, words)) if len(words) > 1 else set()
    labels = ["".join(word for word in name if word not in common) for name in words]
    return labels if all(labels) else whole


def _participant(label: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![0-9A-Za-z])(?i:{_PARTICIPANT}{re.escape(label)})(?![0-9A-Za-z])")


def kind_of_both(name: str, entities: Mapping[str, str]) -> FileKind | None:
    """Return what a map of both hemispheres is given on; ``None`` for one hemisphere."""
    if "hemi" in entities or "_hemi-" in name:
        return None
    return _OF_BOTH_HEMISPHERES.get(entities.get("extension", ""))
