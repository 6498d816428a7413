"""Find the surfaces of template spaces. The only module that knows TemplateFlow.

nilearn brings those of fsaverage5; TemplateFlow has others, and fetches them when they are asked
for. Where a surface cannot be had, the message says how to get it.
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
"""A mesh, or the depth of the sulci."""

_NILEARN: dict[TemplateKind, str] = {"inflated": "infl", "sphere": "sphere", "sulc": "sulc"}


def template_surface(
    space: str,
    density: str,
    hemisphere: Hemisphere,
    kind: TemplateKind,
    registered_to: str | None = None,
) -> Path:
    """Find a surface of a template space, fetching it if need be.

    Parameters
    ----------
    space
        ``fsaverage``, also with a number (``fsaverage5``), or ``fsLR``.
    density
        As :func:`~.spaces.density_of` names it.
    registered_to
        Of a sphere, another template in whose coordinates it is.

    Returns
    -------
    Path
        A file that is there and holds something.

    Raises
    ------
    InputMissingError
        If it cannot be had.
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
    except Exception as error:  # failures of the network, of its folder, and of its own
        failure, text = type(error).__name__, " ".join(str(error).split())
        is_of_network = re.search("Connect|Proxy|Timeout|SSL|HTTP", failure) is not None
        cause = "there is no network to fetch it over" if is_of_network else f"{failure}: {text}"
        raise InputMissingError(f"{what}, cannot be had ({cause}). {how}") from error
    if len(found) != 1:
        raise InputMissingError(
            f"{what}: found {len(found)} files of it, expected one. TEMPLATEFLOW_HOME may be "
            f"incomplete: move it away, or complete it with: templateflow update. {how}"
        )
    return found[0]


def _from_templateflow(template: str, query: Mapping[str, str | None]) -> list[Path]:
    """Find the files of a query that hold something, and fetch them only if there is not one.

    What is on this computer is found by its name: TemplateFlow's index takes seconds to build.
    What TemplateFlow prints and warns about is left out: the caller says what matters of it.
    """
    # The sphere of fsaverage is there under two names, with the same vertices.
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
    """Give the parts of the name that TemplateFlow gives to a file, in whatever order."""
    entities = {
        "tpl": template,
        "den": query["density"],
        "hemi": query["hemi"],
        "space": query["space"],
    }
    named = {f"{key}-{label}" for key, label in entities.items() if label is not None}
    return {*named, f"{query['suffix']}{query['extension']}"}


def surfaces_there(spaces: Iterable[str | None]) -> dict[str, Path]:
    """List TemplateFlow's surfaces of some spaces that are on this computer, fetching none.

    Parameters
    ----------
    spaces
        Those that are not of a template are passed over.

    Returns
    -------
    dict
        Files that hold something, by their names.
    """
    templates = {family(space) for space in spaces} & DENSITIES.keys()
    every = (path for template in sorted(filter(None, templates)) for path in _there(template))
    return {path.name: path for path in every}


def _there(template: str) -> list[Path]:
    """List TemplateFlow's surfaces of a template that are on this computer and hold something."""
    # Where TemplateFlow looks, which makes the folder as soon as it is imported.
    home = Path(os.environ.get("TEMPLATEFLOW_HOME", user_cache_dir("templateflow")))
    return [path for path in sorted(home.glob(f"tpl-{template}/*.gii")) if _is_whole(path)]


def _is_whole(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
