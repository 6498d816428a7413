"""The maps of the group: gather those of the participants, test them at every vertex, write."""

import logging
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_secondlevel.core.errors import DataError, InputMissingError
from bids_secondlevel.core.group_maps import GroupCortex, GroupMaps, MapTest, VertexTests
from bids_secondlevel.core.hemispheres import Bilateral
from bids_secondlevel.core.inference import EVERYBODY
from bids_secondlevel.core.rows import stacked
from bids_secondlevel.core.settings import Settings
from bids_secondlevel.core.values import Mask, Status
from bids_secondlevel.core.words import counted, listed, shared
from bids_secondlevel.group_maps.gather import Everyone, Stack, halves, nameless_file
from bids_secondlevel.group_maps.resample import (
    Cell,
    OnSurface,
    common_surface,
    resample,
    wanted,
)
from bids_secondlevel.inputs.study import Study
from bids_secondlevel.maps.files import read_text
from bids_secondlevel.outputs.group_maps import MapsFolder, check_group_labels
from bids_secondlevel.outputs.names import GroupFolder, settings_of
from bids_secondlevel.stats.groups import Groups
from bids_secondlevel.stats.testing.permutation import SignFlips
from bids_secondlevel.stats.vertices import (
    MAP_COLUMNS,
    Regroupings,
    map_row,
    vertex_comparisons,
    vertex_tests,
)

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger("bids_secondlevel")

MAX_DRAWN = 4
"""Tests in the picture."""


@dataclass(frozen=True, kw_only=True)
class ParticipantJobs:
    """How participants are processed."""

    study_of: Callable[[Path], Study]
    """Knows a study by the settings that a job has recorded in a file."""
    in_order: Callable[[Callable[[str], OnSurface], Sequence[str]], Iterable[OnSurface]]
    """Applies a function to many participants, as ``map`` does."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MappedGroup:
    """What was found in the maps of a group."""

    drawn: GroupMaps
    """Those that are drawn."""
    table: "pd.DataFrame"
    """A row for each test."""
    agreement: "pd.DataFrame"
    """`dice_with_others` by `participant_id`, `roi` and `hemi`."""


def map_group(
    people: Mapping[str, Status | None],
    settings: Settings,
    jobs: ParticipantJobs,
    folder: GroupFolder,
    *,
    groups: Groups | None = None,
    localizer_task: str | None = None,
) -> MappedGroup:
    """Test the maps of the participants at every vertex of a common surface, and write the results.

    Parameters
    ----------
    people
        By label, why a participant is not tested, or ``None``.
    localizer_task
        Contrasts of other tasks are drawn first.

    Raises
    ------
    SecondLevelError
        If no participant has maps that can be tested, or a file cannot be written.
    """
    import pandas as pd

    if groups is not None:
        check_group_labels(groups.levels)
    labels = [label for label, gap in people.items() if gap is None]
    studies = _studies(labels, settings, jobs)
    surface = common_surface(settings, studies)
    LOG.info("--group-maps: maps of %s on %s.", counted(len(labels), "participant"), surface)
    resample_one = partial(resample, studies=studies, surface=surface, settings=settings)
    with ExitStack() as files:
        stacks: dict[Cell, Stack] = {}
        everyone = Everyone(surface.n_vertices)
        for there in jobs.in_order(resample_one, list(studies)):
            for cell, values in there.maps.items():
                if cell not in stacks:
                    file = files.enter_context(nameless_file(settings.output_dir))
                    stacks[cell] = Stack(file, 2 * surface.n_vertices)
                stacks[cell].add(f"sub-{there.label}", values)
            everyone.add(there)
        _tell(everyone.problems)
        stacks = {cell: stacks[cell] for cell in wanted(stacks, settings)}
        if not any(stack.participants for stack in stacks.values()):
            raise InputMissingError(
                f"--group-maps: no participant has a map on {surface}; the messages above give the "
                "reasons."
            )
        cortex = everyone.cortex(surface)
        target = MapsFolder(
            folder=folder,
            cortex=cortex,
            resampling=tuple(everyone.resampling),
            units=settings.wording.units,
        )
        target.write_cortex({roi: list(of) for roi, of in everyone.masks.items()})
        drawn: list[MapTest] = []
        rows = []
        for cell, stack in stacks.items():
            stack.lack({f"sub-{label}": gap or "missing_map" for label, gap in people.items()})
            for test in _tests(cell, stack, cortex, settings, groups):
                target.write_test(test)
                rows.append(map_row(test, cortex.label))
                drawn = _to_draw([*drawn, test], localizer_task)
    return MappedGroup(
        drawn=GroupMaps(cortex=cortex, tests=tuple(drawn)),
        table=stacked([pd.DataFrame(rows)] if rows else [], MAP_COLUMNS),
        agreement=everyone.agreement(),
    )


def _to_draw(tests: Sequence[MapTest], localizer_task: str | None) -> list[MapTest]:
    """Choose tests of one task: of all participants first, then differences of groups."""

    def rank(test: MapTest) -> tuple[bool, str, str, int]:
        kind = 0 if test.group == EVERYBODY else 1 if test.versus else 2
        return test.task == localizer_task, test.session or "", test.task, kind

    first, *others = sorted(tests, key=rank)
    alike = [of for of in others if (of.session, of.task) == (first.session, first.task)]
    return [first, *alike][:MAX_DRAWN]


def _studies(
    labels: Sequence[str], settings: Settings, jobs: ParticipantJobs
) -> dict[str, tuple[Study, ...]]:
    """Find out how the maps of each participant were chosen, in each job that did it.

    Jobs with the same settings share a study, as most have them.
    """
    known: dict[bytes, Study] = {}
    studies: dict[str, tuple[Study, ...]] = {}
    for label in labels:
        of_jobs = []
        for path in settings_of(label, settings.output_dir):
            content = _without_participants(path)
            if content not in known:
                known[content] = jobs.study_of(path)
            of_jobs.append(known[content])
        if of_jobs:
            studies[label] = tuple(of_jobs)
    lost = [f"sub-{label}" for label in labels if label not in studies]
    if lost:
        LOG.warning(
            "--group-maps: %s excluded: logs/ has no settings of their participant level. Run "
            "it again for them.",
            listed(lost, 5),
        )
    if not studies:
        raise InputMissingError(
            f"--group-maps: {settings.output_dir / 'logs'} has no settings of a participant "
            "(sub-*_settings.toml), which say how maps are chosen. Run the participant level again."
        )
    return studies


def _without_participants(path: Path) -> bytes:
    """Leave out whom a job was asked for, as jobs for one participant each are otherwise alike.

    Raises
    ------
    DataError
        If the record of its settings cannot be read.
    """
    try:
        content = tomllib.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as TOML ({error}). Run the participant level again."
        ) from error
    content.pop("participant-label", None)
    return repr(content).encode()


def _tests(
    cell: Cell, stack: Stack, cortex: GroupCortex, settings: Settings, groups: Groups | None
) -> Iterator[MapTest]:
    """Test a contrast in all participants, in each group, and between groups."""
    if len(stack.participants) < 2:
        LOG.warning(
            "--group-maps: contrast %s of task %s is not tested: %s with a map; expected two or "
            "more.",
            cell[2],
            cell[1],
            counted(len(stack.participants), "participant"),
        )
        return
    session, task, contrast = cell
    values, everyone = stack.values(), np.array(stack.participants)
    region = np.concatenate(list(cortex.in_region))
    n_permutations = settings.n_permutations
    of_group = dict.fromkeys(stack.participants, "") | dict(groups.of if groups else {})
    levels = np.array([of_group[who] for who in stack.participants])
    sizes = {name: int((levels == name).sum()) for name in (groups.levels if groups else ())}
    large = [name for name, size in sizes.items() if size > 1]
    made: list[tuple[str, str | None, Mask]] = [(EVERYBODY, None, np.ones(len(everyone), bool))]
    made += [(name, None, levels == name) for name in large]
    made += [(a, b, (levels == a) | (levels == b)) for a, b in combinations(large, 2)]
    for group, versus, taking_part in made:
        made_of: SignFlips | Regroupings
        if versus is None:
            found, made_of = vertex_tests(values, taking_part, region, n_permutations)
        else:
            two = levels == group, levels == versus
            found, made_of = vertex_comparisons(values, two, region, n_permutations)
        split = {name: halves(of, cortex.n_vertices) for name, of in vars(found).items()}
        yield MapTest(
            session=session,
            task=task,
            contrast=contrast,
            group=group,
            versus=versus,
            participants=tuple(everyone[taking_part].tolist()),
            excluded=_excluded(stack, group, versus, groups),
            n_permutations=made_of.number if n_permutations else 0,
            is_exact=made_of.is_exact,
            vertices=Bilateral.of(
                lambda side, split=split: VertexTests(**{k: of[side] for k, of in split.items()})  # type: ignore[misc]
            ),
        )


def _excluded(
    stack: Stack, group: str, versus: str | None, groups: Groups | None
) -> dict[str, str]:
    """Say who of a group has no map, and why."""
    if groups is None or group == EVERYBODY:
        return stack.excluded
    return {w: why for w, why in stack.excluded.items() if groups.of.get(w) in (group, versus)}


def _tell(problems: Iterable[tuple[str, str]]) -> None:
    for message in shared(problems):
        LOG.warning("--group-maps: %s", message)
