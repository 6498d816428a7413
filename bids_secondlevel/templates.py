"""Find the surfaces of template spaces. The only module that knows TemplateFlow.

nilearn brings those of fsaverage5; TemplateFlow has others, and fetches them when they are asked
for. Where a surface cannot be had, the message says how to get it.
"""

import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Literal

from bids_secondlevel.errors import InputMissingError
from bids_secondlevel.model import Hemisphere

TemplateKind = Literal["inflated", "sphere", "sulc"]
"""A mesh, or the depth of the sulci."""

_FSAVERAGE = {2562: "3k", 10242: "10k", 40962: "41k", 163842: "164k"}
_FSLR = {32492: "32k", 59292: "59k", 163842: "164k"}
_NILEARN: dict[TemplateKind, str] = {"inflated": "infl", "sphere": "sphere", "sulc": "sulc"}


def template_density(space: str | None, n_vertices: int) -> str | None:
    """Tell the density of a template by its number of vertices; ``None`` if it is no template.

    Examples
    --------
    >>> template_density("fsaverage6", 40962), template_density("fsnative", 40962)
    ('41k', None)
    """
    if space == "fsLR":
        return _FSLR.get(n_vertices)
    return _FSAVERAGE.get(n_vertices) if _is_fsaverage(space) else None


def template_surface(space: str, density: str, hemisphere: Hemisphere, kind: TemplateKind) -> Path:
    """Find a surface of a template space, fetching it if need be.

    Parameters
    ----------
    space : str
        ``fsaverage``, also with a number (``fsaverage5``), or ``fsLR``.
    density : str
        As :func:`template_density` names it.
    hemisphere : {"L", "R"}
    kind : {"inflated", "sphere", "sulc"}

    Returns
    -------
    Path
        A file that is there and holds something.

    Raises
    ------
    InputMissingError
        If it cannot be had.
    """
    if _is_fsaverage(space) and density == "10k":
        from nilearn.datasets import fetch_surf_fsaverage

        side = "left" if hemisphere == "L" else "right"
        return Path(fetch_surf_fsaverage("fsaverage5")[f"{_NILEARN[kind]}_{side}"])
    template = "fsLR" if space == "fsLR" else "fsaverage"
    extension = ".shape.gii" if kind == "sulc" else ".surf.gii"
    what = (
        f"TemplateFlow's {kind} surface of {template}, density {density}, hemisphere {hemisphere}"
    )
    how = (
        "On a computer with a network, get it into the same TEMPLATEFLOW_HOME with: templateflow "
        f"get {template} --density {density} --suffix {kind} --extension {extension}"
    )
    try:
        # What it prints and warns about is told below, if it matters.
        with (
            warnings.catch_warnings(action="ignore"),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            from templateflow import api

            found = api.get(
                template,
                density=density,
                hemi=hemisphere,
                suffix=kind,
                extension=extension,
                space=None,
                desc=None,
            )
    except Exception as error:  # failures of the network, of its folder, and of its own
        text = " ".join(str(error).split())
        raise InputMissingError(
            f"{what}, cannot be had ({type(error).__name__}: {text}). {how}"
        ) from error
    paths = [found] if isinstance(found, Path) else list(found)
    whole = [path for path in paths if path.is_file() and path.stat().st_size]
    if len(whole) != 1:
        raise InputMissingError(
            f"{what}: found {len(whole)} files of it, expected one. TEMPLATEFLOW_HOME may be "
            f"incomplete: move it away, or complete it with: templateflow update. {how}"
        )
    return whole[0]


def _is_fsaverage(space: str | None) -> bool:
    return space in ("fsaverage", "fsaverage3", "fsaverage4", "fsaverage5", "fsaverage6")
