"""Find the maps of a participant, those inside CIFTI files included."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bids_secondlevel.core.errors import DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.files import Dataset, IndexedFile, ParticipantFiles, ParticipantIndex
from bids_secondlevel.inputs import discovery
from bids_secondlevel.maps.cifti import CiftiContent, describe


def index_participant(
    datasets: Sequence[Dataset], label: str, filters: Mapping[str, Mapping[str, Any]]
) -> ParticipantIndex:
    """Find every map of one participant; see :func:`.discovery.index_participant`.

    A CIFTI file whose name says no contrast holds one in each of its maps, named after them:
    ``faces > houses`` is contrast ``faceshouses``.

    Raises
    ------
    UsageError
        If a filter names an unknown entity.
    """
    index = discovery.index_participant(datasets, label, filters)
    maps: list[IndexedFile] = []
    problems: list[SecondLevelError] = []
    for file in index.statistical_maps:
        if file.source.kind != "cifti" or "contrast" in file.entities:
            maps.append(file)
            continue
        try:
            maps += _maps_in(file, describe(file.source.path))
        except (DataError, InputMissingError) as error:
            problems.append(error)
    unreadable = {str(error): error for error in problems}
    return replace(index, statistical_maps=tuple(maps), unreadable=tuple(unreadable.values()))


def _maps_in(file: IndexedFile, content: CiftiContent) -> Iterator[IndexedFile]:
    """List the maps of a CIFTI file.

    Raises
    ------
    DataError
        If two maps have names that are the same label.
    """
    labels = [re.sub("[^0-9A-Za-z]", "", name) for name in content.map_names]
    folded = [label.casefold() for label in labels]
    if len(set(folded)) < len(folded) or "" in folded:
        raise DataError(
            f"{file.source.path}: its maps are named {', '.join(content.map_names)}; as contrasts "
            "they need letters or digits, and have to differ in these. Rename the maps."
        )
    for name, label in zip(content.map_names, labels, strict=True):
        yield replace(
            file,
            source=replace(file.source, map_name=name),
            entities={**file.entities, "contrast": label},
        )


def subcortex_notes(files: ParticipantFiles) -> tuple[str, ...]:
    """Say that what CIFTI files hold beside the cortex is not used, if one that is used does."""
    by_hemisphere = (*files.localizers.values(), *(estimate.maps for estimate in files.contrasts))
    used = (file for maps in by_hemisphere for source in maps.values() for file in source.files)
    for file in used:
        if file.kind == "cifti":
            try:
                has_subcortex = describe(file.path).has_subcortex
            except (DataError, InputMissingError):  # told when the map is read
                continue
            if not has_subcortex:
                return ()
            return ("CIFTI files: subcortical voxels are not used, only the cortex.",)
    return ()
