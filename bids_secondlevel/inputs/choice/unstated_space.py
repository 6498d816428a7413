"""Find evidence that volumes without a space in their names are in a template."""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bids_secondlevel.core.errors import SecondLevelError
from bids_secondlevel.core.files import SourceFile
from bids_secondlevel.inputs.datasets import read_description
from bids_secondlevel.maps.files import read_json
from bids_secondlevel.maps.volumes import template_in_header

_TEMPLATE = re.compile(r"MNI[0-9A-Za-z]*|Talairach", re.IGNORECASE)
# Tools that write every map in MNI152, without a space in names.
_TOOLS = re.compile("halfpipe", re.IGNORECASE)


def template_said(sources: Iterable[SourceFile]) -> str | None:
    """Find a volume in a template, with the evidence; ``None`` if there is no evidence.

    Evidence may be in headers, in JSON files beside the volumes, and in descriptions of datasets.
    """
    descriptions: dict[Path, str | None] = {}
    for source in dict.fromkeys(sources):
        root = _root_of(source)
        if root not in descriptions:
            descriptions[root] = _in_description(root)
        said = _in_header(source.path) or _in_sidecar(source.path) or descriptions[root]
        if said is not None:
            return f"{source.path} has no space in its name, and {said}"
    return None


def _root_of(source: SourceFile) -> Path:
    inside = PurePosixPath(source.uri.split(":", 2)[2])
    return source.path.parents[len(inside.parts) - 1]


def _in_header(path: Path) -> str | None:
    try:
        said = template_in_header(path)
    except SecondLevelError:  # said when the map is read
        return None
    return None if said is None else f"its header says {said}"


def _in_sidecar(path: Path) -> str | None:
    sidecar = path.with_name(f"{path.name.partition('.')[0]}.json")
    try:
        content = read_json(sidecar)
    except (OSError, ValueError):
        return None
    told = [content.get(key) for key in ("SpatialReference", "Space")]
    found = _TEMPLATE.search(json.dumps(told))
    return None if found is None else f"{sidecar.name} says {found[0]}"


def _in_description(root: Path) -> str | None:
    description = read_description(root)
    told = json.dumps([description.get(key) for key in ("GeneratedBy", "SpatialReference")])
    found = _TEMPLATE.search(told) or _TOOLS.search(told)
    return None if found is None else f"{root / 'dataset_description.json'} says {found[0]}"
