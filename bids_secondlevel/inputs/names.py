"""What the names of files say: those of FreeSurfer and neuropythy, of fMRIPrep, and of BIDS."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_secondlevel.core.files import AreaFile, Dataset, IndexedFile, SourceFile, SurfaceFile
from bids_secondlevel.core.hemispheres import HEMISPHERES, Hemisphere
from bids_secondlevel.core.roi_rule import AREA_ENDINGS
from bids_secondlevel.core.settings import FILTER_QUERIES
from bids_secondlevel.core.spaces import OWN

RETINOTOPIC_MAPS = ("varea", "eccen", "angle", "sigma", "vexpl")

_SURFACE_NAME = re.compile(
    r"(?P<side>[lr])h\.(?P<kind>midthickness|graymid|white|inflated|sphere|sphere\.reg|sulc|curv)"
    r"|sub-[^/]*_hemi-(?P<hemi>[LR])_(?:[^/]*_)?"
    r"(?P<bids>midthickness|white|smoothwm|inflated|sphere)\.surf\.gii"
)
# Spheres of fMRIPrep that are registered to a template: fsaverage where their names have none.
_REGISTERED = re.compile(r"_desc-(?:reg|msmsulc)_sphere\.surf\.gii$")
# What pRF tools call these maps, of which some have no tag either.
_OTHER_NAMES = {"ecc": "eccen", "ang": "angle", "R2": "vexpl"}
FREESURFER_NAME = re.compile(
    r"(?:sub-(?P<subject>[0-9A-Za-z+]+)_(?:[0-9A-Za-z]+-[0-9A-Za-z+]+_)*)?"
    r"(?P<hemi>[lr])h\.(?:(?P<tag>[^/]+)_)?"
    rf"(?P<suffix>{'|'.join((*RETINOTOPIC_MAPS, *_OTHER_NAMES))})"
    r"(?P<extension>\.mgz|\.mgh|(?:\.func|\.shape|\.label)?\.gii|\.nii\.gz|)"
)
FREESURFER_VOLUME = re.compile(
    rf"(?!sub-|[lr]h\.)(?P<tag>[^/]+)_(?P<suffix>{'|'.join(RETINOTOPIC_MAPS)})"
    r"(?P<extension>\.mgz|\.mgh|\.nii|\.nii\.gz)"
)
_AREA_NAME = re.compile(
    r"(?:(?P<side>[lr])h\.|sub-[^/]*_hemi-(?P<hemi>[LR])_)"
    rf"(?P<name>[^/]*(?:{'|'.join(map(re.escape, AREA_ENDINGS))}))"
)
STATMAP_NAME = re.compile(r"sub-[0-9A-Za-z+]+_(?:[A-Za-z]+-[0-9A-Za-z+]+_)*[0-9A-Za-z]+\.[^/]+")
SURFACE_EXTENSIONS = (
    ".func.gii",
    ".shape.gii",
    ".label.gii",
    ".gii",
    ".mgz",
    ".mgh",
    ".nii.gz",
)
_VOLUME_EXTENSIONS = (".nii", ".nii.gz", ".mgz", ".mgh")
_CIFTI_EXTENSIONS = (".dscalar.nii", ".dlabel.nii")
SPM_T = "spmT"  # t values, which become z by the degrees of freedom in their header
# What other tools call the statistic that a map holds; asked for by suffix in a filter file.
_STATISTICS = {
    **dict.fromkeys(("con", "beta", "cope"), "effect"),
    **dict.fromkeys(("varcope",), "variance"),
    **dict.fromkeys(("tstat", "tmap"), "t"),
    **dict.fromkeys((SPM_T, "spmZ", "zstat", "zmap"), "z"),
}
_UNNAMED = "unnamed"
_TAG_ENTITIES = ("desc", "atlas", "model", "segmentation", "label")


def surface_files(dataset: Dataset, paths: Iterable[Path]) -> Iterator[SurfaceFile]:
    """List the meshes among files, and what they can be shaded by."""
    for path in paths:
        match = _SURFACE_NAME.fullmatch(path.name)
        if match is None:
            continue
        space = re.search(r"_space-([0-9A-Za-z+]+)_", path.name)
        named = space[1] if space else None
        kind = match["kind"] or match["bids"]
        is_registered = kind == "sphere.reg" or _REGISTERED.search(path.name) is not None
        yield SurfaceFile(
            source_file(dataset, path),
            _hemisphere(match["side"] or match["hemi"]),
            "registered" if is_registered else kind,
            named or "fsaverage" if is_registered else None if named == OWN else named,
        )


def area_files(dataset: Dataset, paths: Iterable[Path]) -> Iterator[AreaFile]:
    """List the files that may hold a visual area of their own."""
    for path in paths:
        match = _AREA_NAME.fullmatch(path.name)
        if match is not None:
            hemi = _hemisphere(match["side"] or match["hemi"])
            yield AreaFile(source_file(dataset, path), hemi, match["name"])


def _hemisphere(letter: str) -> Hemisphere:
    return "L" if letter in "lL" else "R"


def source_file(dataset: Dataset, path: Path) -> SourceFile:
    """Name a file by its path and its BIDS URI (BIDS specification, "BIDS URI")."""
    return SourceFile(path, f"bids:{dataset.name}:{path.relative_to(dataset.root).as_posix()}")


def is_freesurfer_name(name: str) -> bool:
    """Tell names that pybids would misread: ``lh.`` is no entity of BIDS."""
    return any(named.fullmatch(name) for named in (FREESURFER_NAME, FREESURFER_VOLUME))


def with_statistic(entities: Mapping[str, str]) -> dict[str, str]:
    """Say statistic and contrast as BIDS does where another tool says them by other means."""
    suffix = entities["suffix"]
    if suffix == "statmap":
        return dict(entities)
    contrast = entities.get("contrast") or entities.get("desc") or entities.get("label")
    implied = {"stat": _STATISTICS.get(suffix), "contrast": contrast}
    return {**{k: v for k, v in implied.items() if v}, **entities, "suffix": "statmap"}


def of_both_hemispheres(file: IndexedFile) -> list[IndexedFile]:
    """List a file for each hemisphere that it holds."""
    extension = file.entities.get("extension")
    if "hemi" in file.entities or "_hemi-" in file.source.path.name:
        return [file]
    if extension in _CIFTI_EXTENSIONS:
        source = replace(file.source, kind="cifti")
        entities = {"space": "fsLR", **file.entities}  # the surface of CIFTI in BIDS
    elif extension in _VOLUME_EXTENSIONS:
        source, entities = replace(file.source, kind="volume"), {**file.entities}
    else:
        return [file]
    return [
        replace(file, source=source, entities={**entities, "hemi": hemi}) for hemi in HEMISPHERES
    ]


def retinotopy_tag(name: str, entities: Mapping[str, str]) -> str:
    """Find what tells one set of retinotopic maps from another in a BIDS name."""
    unkeyed = [part for part in name.split("_")[1:-1] if "-" not in part]
    keyed = [entities[entity] for entity in _TAG_ENTITIES if entity in entities]
    return "_".join(unkeyed) or (keyed[0] if keyed else _UNNAMED)


def freesurfer_maps(
    dataset: Dataset, path: Path, filters: Mapping[str, Mapping[str, Any]]
) -> list[IndexedFile]:
    """Index a map of retinotopy under a FreeSurfer name; a volume is one of each hemisphere."""
    in_mri = path.parent.name == "mri"  # where lh. and rh. are volumes too
    match = None if in_mri else FREESURFER_NAME.fullmatch(path.name)
    volume = FREESURFER_VOLUME.fullmatch(path.name)
    named = match or volume
    if named is None:
        return []
    entities = {
        "desc": named["tag"] or _UNNAMED,
        "suffix": _OTHER_NAMES.get(named["suffix"], named["suffix"]),
        "extension": named["extension"],
    }
    if match is not None:
        entities["hemi"] = match["hemi"].upper()
        if match["subject"]:
            entities["subject"] = match["subject"]
    # pybids does not know these names; of a filter, what they can tell is applied.
    wanted = filters.get("retinotopy", {})
    passes = all(
        value in ("*", "Query.ANY", "Query.OPTIONAL", "Query.REQUIRED")
        or entities[name] in (value if isinstance(value, list) else [value])
        for name, value in wanted.items()
        if name in entities
    )
    queries = frozenset(FILTER_QUERIES) if passes else frozenset[str]()
    file = IndexedFile(source_file(dataset, path), entities, dataset.name, queries)
    return of_both_hemispheres(file)
