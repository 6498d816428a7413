"""The meaning of the names of surface and volume spaces.

The number of vertices does not identify a space: fsaverage and fsLR both have 163,842.
"""

from collections.abc import Mapping
from types import MappingProxyType

OWN = "fsnative"
"""The participant's own surface."""

DENSITIES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "fsaverage": {"3k": 2562, "10k": 10242, "41k": 40962, "164k": 163842},
        "fsLR": {"32k": 32492, "59k": 59292, "164k": 163842},
    }
)
"""Vertices of each hemisphere by template and density, as TemplateFlow names them."""

_NUMBERED: Mapping[str, int] = MappingProxyType(
    {
        "fsaverage3": 642,
        "fsaverage4": 2562,
        "fsaverage5": 10242,
        "fsaverage6": 40962,
        "fsaverage7": 163842,
    }
)
_DEFAULT_DENSITY = {"fsaverage": "164k", "fsLR": "32k"}
_HEAD = ("t1w", "anat", "individual", "native", "orig", "fsnative")
_OTHER_OWN = ("t2w", "func", "bold", "boldref", "epi")  # scanned apart from the head's own image


def family(space: str | None) -> str | None:
    """Name the template of a space without its density. Other names stay as they are.

    Examples
    --------
    >>> family("fsaverage5"), family("fsLR"), family("fsnative"), family(None)
    ('fsaverage', 'fsLR', 'fsnative', None)
    """
    return "fsaverage" if space and space in _NUMBERED else space


def spoken(space: str | None) -> str:
    """Name a space in a message, also if file names have none."""
    return space or "(no space entity)"


def known_space(label: str) -> str | None:
    """Return the usual spelling of a surface space to which maps can be resampled, or ``None``.

    Examples
    --------
    >>> known_space("fslr"), known_space("fsaverage5"), known_space("MNI152NLin6Asym")
    ('fsLR', 'fsaverage5', None)
    """
    known = {name.casefold(): name for name in (OWN, *DENSITIES, *_NUMBERED)}
    return known.get(label.casefold())


def surface_space(label: str | None, density: str | None = None) -> str | None:
    """Return one name for a surface space that has several.

    Parameters
    ----------
    label, density
        The entities ``space`` and ``den`` of a file name, if it has them.

    Examples
    --------
    >>> surface_space("fsaverage", "10k"), surface_space("fsaverage7"), surface_space("FSLR", "32k")
    ('fsaverage5', 'fsaverage', 'fsLR')
    >>> surface_space("individual"), surface_space("T1w"), surface_space("onavg", "10k")
    ('fsnative', 'fsnative', 'onavg')
    """
    if label is None:
        return None
    if label.casefold() in _HEAD:
        return OWN
    known = known_space(label) or label
    if known == "fsaverage7":
        return "fsaverage"
    return (numbered(known, density) if density else None) or known


def vertex_counts(space: str | None, density: str | None = None) -> tuple[int, ...]:
    """List the numbers of vertices that a hemisphere may have in a template space.

    Parameters
    ----------
    density
        Name in TemplateFlow.

    Returns
    -------
    tuple of int
        Empty if the space is not a template. The first is the density that is assumed if none is
        given.

    Examples
    --------
    >>> vertex_counts("fsaverage5"), vertex_counts("fsLR", "59k"), vertex_counts("fsnative")
    ((10242,), (59292,), ())
    >>> vertex_counts("fsLR")
    (32492, 59292, 163842)
    """
    if space and space in _NUMBERED:
        return () if density else (_NUMBERED[space],)
    densities = DENSITIES.get(space or "", {})
    if density is not None:
        return (densities[density],) if density in densities else ()
    default = _DEFAULT_DENSITY.get(space or "")
    return tuple(sorted(densities.values(), key=lambda n: (n != densities.get(default or ""), n)))


def template_surface_of(label: str) -> tuple[str, int] | None:
    """Tell template and vertices of a surface by its name; ``None`` if it is not of a template.

    Examples
    --------
    >>> template_surface_of("fsaverage5"), template_surface_of("fslr-59k")
    (('fsaverage', 10242), ('fsLR', 59292))
    >>> template_surface_of("fsaverage-41k"), template_surface_of("fsnative")
    (('fsaverage', 40962), None)
    """
    name, _, density = label.partition("-")
    space = known_space(name)
    counts = vertex_counts(space, density or None)
    return (family(space) or OWN, counts[0]) if counts else None


def numbered(space: str, density: str) -> str | None:
    """Return FreeSurfer's name of a density of fsaverage; ``None`` if it has none.

    Examples
    --------
    >>> numbered("fsaverage", "10k"), numbered("fsaverage", "164k"), numbered("fsLR", "59k")
    ('fsaverage5', 'fsaverage', None)
    """
    if space != "fsaverage":
        return None
    count = DENSITIES[space].get(density)
    names = {n: name for name, n in _NUMBERED.items()} | {163842: "fsaverage"}
    return names.get(count or 0)


def density_of(space: str | None, n_vertices: int) -> str | None:
    """Find the density of a template by its number of vertices; ``None`` for other spaces.

    Examples
    --------
    >>> density_of("fsaverage6", 40962), density_of("fsnative", 40962)
    ('41k', None)
    """
    densities = DENSITIES.get(family(space) or "", {})
    return next((name for name, count in densities.items() if count == n_vertices), None)


def is_head(space: str | None) -> bool:
    """Return whether a volume space is the space of the participant's anatomical image.

    Volumes written by FreeSurfer and neuropythy have its world coordinates. Names without a space
    are assumed to mean this space.

    Examples
    --------
    >>> is_head("T1w"), is_head(None), is_head("boldref"), is_head("MNI152NLin2009cAsym")
    (True, True, False, False)
    """
    return space is None or space.casefold() in _HEAD


def in_one_world(space: str | None, other: str | None) -> bool:
    """Return whether volumes in two spaces have the same world coordinates.

    Examples
    --------
    >>> in_one_world("T1w", None), in_one_world("T1w", "MNI152NLin6Asym")
    (True, False)
    """
    return space == other or (is_head(space) and is_head(other))


def is_template(space: str | None) -> bool:
    """Return whether a volume space is a template, not a space of the participant.

    Examples
    --------
    >>> is_template("boldref"), is_template("MNI152NLin2009cAsym")
    (False, True)
    """
    return not is_head(space) and (space or "").casefold() not in _OTHER_OWN
