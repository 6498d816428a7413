"""Choose the space in which ROIs are defined and measured, and the space of the maps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bids_secondlevel.core.errors import NothingSelectedError, UsageError
from bids_secondlevel.core.files import IndexedFile, Plan
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.spaces import OWN, known_space, spoken, surface_space


@dataclass(frozen=True)
class SpaceChoice:
    """The space of the maps, and the space in which they are measured."""

    space: str | None
    """Space in which ROIs are defined; ``None`` if names have none."""
    maps_space: str | None
    """Space of the maps. They are resampled to `space` if the two differ."""
    is_volume: bool
    messages: tuple[str, ...] = ()
    """Choices of the program."""


def is_in(file: IndexedFile, chosen: SpaceChoice | Plan) -> bool:
    """Return whether a map is in the space of the maps."""
    is_alike = file.is_volume == chosen.is_volume
    return is_alike and file.entities.get("space") == chosen.maps_space


def choose_space(maps: Sequence[IndexedFile], settings: Settings) -> SpaceChoice:
    """Choose the space of the maps and that of the ROIs.

    Surfaces are preferred to volumes, and ``fsnative`` to other surfaces.

    Raises
    ------
    NothingSelectedError
        If no maps are in the space asked for, and none can be resampled to it.
    UsageError
        If an option is needed to decide.
    """
    maps = [file for file in maps if file.queries & {"localizer", "estimates"}] or maps
    used = ("z", settings.statistic.casefold())
    maps = [file for file in maps if file.entities.get("stat", "").casefold() in used] or maps
    surfaces = _spaces(file for file in maps if not file.is_volume)
    volumes = _spaces(file for file in maps if file.is_volume)
    shown = f"there are: {_shown(surfaces, volumes)}"
    asked = settings.space
    if asked is not None:
        of_surface = surface_space(asked) or asked
        for found, is_volume, label in (
            (surfaces, False, asked),
            (volumes, True, asked),
            (surfaces, False, of_surface),
        ):
            match = next((s for s in found if (s or "").casefold() == label.casefold()), None)
            if match is not None:
                return SpaceChoice(match, match, is_volume)
        if known_space(asked) is None or not surfaces:
            raise NothingSelectedError(
                f"--space {asked}: there are no maps in this space; "
                f"{shown}.{_hint(asked, surfaces, volumes)}"
            )
        maps_space = _preferred(surfaces)
        if maps_space is _UNDECIDED:
            raise UsageError(
                f"--space {asked}: maps could be resampled from several spaces; {shown}. Choose "
                "one with --bids-filter-file."
            )
        message = f"Maps in space {spoken(maps_space)} are resampled to {asked} (--space)."
        return SpaceChoice(asked, maps_space, is_volume=False, messages=(message,))
    found, is_volume = (surfaces, False) if surfaces else (volumes, True)
    space = _preferred(found)
    if space is _UNDECIDED:
        described = [file for file in maps if file.is_described]
        if 0 < len(described) < len(maps):
            chosen = choose_space(described, settings)
            message = (
                f"Maps in several spaces ({_shown(surfaces, volumes)}); using "
                f"{spoken(chosen.space)}, the space of maps that [[maps]] entries describe."
            )
            return replace(chosen, messages=(message, *chosen.messages))
        raise UsageError(f"Maps in several spaces ({_shown(surfaces, volumes)}): choose --space.")
    messages = []
    if len(found) > 1:
        messages.append(f"Maps in several spaces ({_shown(found, ())}); using {space}.")
    if volumes and not is_volume:
        messages.append(
            f"Maps on surfaces are used. Maps in volumes ({_shown((), volumes)}) are not used."
        )
    return SpaceChoice(space, space, is_volume, tuple(messages))


def _hint(asked: str, surfaces: Sequence[str | None], volumes: Sequence[str | None]) -> str:
    """Suggest how to get maps in a space without maps."""
    hint = ""
    if known_space(asked):
        hint += (
            " The program does not project volumes to surfaces; use nilearn's vol_to_surf or "
            "FreeSurfer's mri_vol2surf for that."
        )
    if None in (*surfaces, *volumes):
        hint += (
            " If maps without a space in their names are in this space, write "
            f'space = "{asked}" in a [[maps]] entry of the config file.'
        )
    return hint


_UNDECIDED = "?"


def _preferred(spaces: Sequence[str | None]) -> str | None:
    if len(spaces) == 1:
        return spaces[0]
    return OWN if OWN in spaces else _UNDECIDED


def _spaces(maps: Iterable[IndexedFile]) -> list[str | None]:
    return sorted({file.entities.get("space") for file in maps}, key=lambda space: space or "")


def _shown(surfaces: Sequence[str | None], volumes: Sequence[str | None]) -> str:
    named = [spoken(space) for space in surfaces]
    named += [f"{spoken(space)} (volumes)" for space in volumes]
    return ", ".join(named)
