"""Find the task of maps that the first level has pooled over runs without a task in the name."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from bids_secondlevel.core.files import IndexedFile
from bids_secondlevel.core.words import in_words


def with_task_of_runs(maps: Sequence[IndexedFile]) -> tuple[list[IndexedFile], list[str]]:
    """Infer the task of maps without one (FitLins' subject level) from maps of runs beside them.

    If their dataset has maps of runs with the same contrast, all of one task and in one space, this
    is the task and, if their names have none, the space.

    Returns
    -------
    maps
        In the order given.
    choices
        The assumptions made, in sentences.
    """
    runs = [file for file in maps if "task" in file.entities and "run" in file.entities]
    found = []
    told: dict[tuple[str, str], dict[str, None]] = {}
    for file in maps:
        said = _said_by_runs(file, runs)
        found.append(replace(file, entities={**said, **file.entities}))
        if said:
            contrasts = told.setdefault((_folder(file), said["task"]), {})
            contrasts[file.entities["contrast"]] = None
    return found, [
        f"Maps in {where} have no task in their names (contrasts {in_words(list(contrasts))}). The "
        f"program assumed that they are pooled over the runs of task {task}."
        for (where, task), contrasts in told.items()
    ]


def _said_by_runs(file: IndexedFile, runs: Sequence[IndexedFile]) -> dict[str, str]:
    """Return task and space of a pooled map from its runs; ``None`` if these differ."""
    named = file.entities
    if "task" in named or "run" in named or "contrast" not in named:
        return {}
    parts = [run.entities for run in runs if _is_part(run, file)]
    said = {(part["task"], part.get("space")) for part in parts}
    if len(said) != 1:
        return {}
    ((task, space),) = said
    if named.get("space", space) != space:
        return {}
    return {"task": task} if space is None else {"task": task, "space": space}


def _is_part(run: IndexedFile, pooled: IndexedFile) -> bool:
    mine, its = run.entities, pooled.entities
    return (
        run.source.dataset == pooled.source.dataset
        and run.source.kind == pooled.source.kind
        and mine["hemi"] == its["hemi"]
        and mine.get("contrast", "").casefold() == its["contrast"].casefold()
        and its.get("session") in (None, mine.get("session"))
    )


def _folder(file: IndexedFile) -> str:
    """Return the folder of a dataset that contains the folders of participants."""
    dataset, inside = file.source.uri.split(":", 2)[1:]
    before = takewhile(lambda part: not part.startswith("sub-"), inside.split("/"))
    return "/".join((dataset, *before))
