"""Find the surfaces of template spaces. The only module that uses TemplateFlow.

nilearn includes the surfaces of fsaverage5. TemplateFlow has others, and downloads them when
needed. If a surface is missing, the message explains how to get it.
"""

import io
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_dir

from bids_secondlevel.core.errors import InputMissingError
from bids_secondlevel.core.hemispheres import Hemisphere
from bids_secondlevel.core.spaces import DENSITIES, family

TemplateKind = Literal["inflated", "sphere", "sulc"]
"""Kinds of files: a mesh, or the depth of the sulci."""

_NILEARN: dict[TemplateKind, str] = {"inflated": "infl", "sphere": "sphere", "sulc": "sulc"}


def template_surface(
    space: str,
    density: str,
    hemisphere: Hemisphere,
    kind: TemplateKind,
    registered_to: str | None = None,
) -> Path:
    """Find a surface of a template space; download it if needed.

    Parameters
    ----------
    space
        ``fsaverage``, also with a number (``fsaverage5``), or ``fsLR``.
    density
        As in :func:`~.spaces.density_of`.
    registered_to
        For a sphere, another template in whose coordinates it is.

    Returns
    -------
    Path
        An existing file that is not empty.

    Raises
    ------
    InputMissingError
        If it cannot be found or downloaded.
    """
    is_fsaverage = family(space) == "fsaverage"
    if is_fsaverage and density == "10k":
        from nilearn.datasets import fetch_surf_fsaverage

        side = "left" if hemisphere == "L" else "right"
        return Path(fetch_surf_fsaverage("fsaverage5")[f"{_NILEARN[kind]}_{side}"])
    template = "fsaverage" if is_fsaverage else space
    extension = ".shape.gii" if kind == "sulc" else ".surf.gii"
    what = (
        f"TemplateFlow's {kind} surface of {template}"
        f"{f' in the coordinates of {registered_to}' if registered_to else ''}, density {density}"
    )
    how = (
        "On a computer with a network, get it into the same TEMPLATEFLOW_HOME with: templateflow "
        f"get {template} --density {density} --suffix {kind} --extension {extension}"
        f"{f' --space {registered_to}' if registered_to else ''}"
    )
    query = {
        "density": density,
        "hemi": hemisphere,
        "suffix": kind,
        "extension": extension,
        "space": registered_to,
    }
    try:
        found = _from_templateflow(template, query)
    except Exception as error:  # failures of the network, of its folder, and of the package itself
        failure, text = type(error).__name__, " ".join(str(error).split())
        is_of_network = re.search("Connect|Proxy|Timeout|SSL|HTTP", failure) is not None
        cause = "there is no network to download it" if is_of_network else f"{failure}: {text}"
        raise InputMissingError(f"{what}, is missing ({cause}). {how}") from error
    if len(found) != 1:
        raise InputMissingError(
            f"{what}: found {len(found)} files, expected one. TEMPLATEFLOW_HOME may be incomplete. "
            f"Move it away, or complete it with: templateflow update. {how}"
        )
    return found[0]


def _from_templateflow(template: str, query: Mapping[str, str | None]) -> list[Path]:
    """Find the non-empty files of a query; download them only if there is none.

    Files on this computer are found by their names, because TemplateFlow's index takes seconds to
    build. Output and warnings of TemplateFlow are suppressed; the caller reports what matters.
    """
    # The sphere of fsaverage has two names, with the same vertices.
    named = _parts(template, query)
    for parts in (named, named | {"desc-std"}):
        present = [path for path in _there(template) if set(path.name.split("_")) == parts]
        if len(present) == 1:
            return present
    with (
        warnings.catch_warnings(action="ignore"),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        from templateflow import api

        found = api.get(template, desc=None, **query)
    return [path for path in ([found] if isinstance(found, Path) else found) if _is_whole(path)]


def _parts(template: str, query: Mapping[str, str | None]) -> set[str]:
    """Return the parts of the name of a file in TemplateFlow, in any order."""
    entities = {
        "tpl": template,
        "den": query["density"],
        "hemi": query["hemi"],
        "space": query["space"],
    }
    named = {f"{key}-{label}" for key, label in entities.items() if label is not None}
    return {*named, f"{query['suffix']}{query['extension']}"}


def surfaces_there(spaces: Iterable[str | None]) -> dict[str, Path]:
    """List TemplateFlow's surfaces of some spaces on this computer, without downloads.

    Parameters
    ----------
    spaces
        Spaces that are not templates are ignored.

    Returns
    -------
    dict
        Non-empty files by their names.
    """
    templates = {family(space) for space in spaces} & DENSITIES.keys()
    every = (path for template in sorted(filter(None, templates)) for path in _there(template))
    return {path.name: path for path in every}


def _there(template: str) -> list[Path]:
    """List TemplateFlow's non-empty surfaces of a template on this computer."""
    # TemplateFlow's own folder; importing TemplateFlow would create it.
    home = Path(os.environ.get("TEMPLATEFLOW_HOME", user_cache_dir("templateflow")))
    return [path for path in sorted(home.glob(f"tpl-{template}/*.gii")) if _is_whole(path)]


def _is_whole(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
