"""Find the task of maps that the first level has pooled over runs, and whose names say none."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from bids_secondlevel.core.files import IndexedFile
from bids_secondlevel.core.words import in_words


def with_task_of_runs(maps: Sequence[IndexedFile]) -> tuple[list[IndexedFile], list[str]]:
    """Say the task of maps without one, as of FitLins' subject level, by the runs beside them.

    Their dataset has maps of runs with the same contrast, all of one task and in one space: it is
    that task and, if their names say none, that space.

    Returns
    -------
    maps
        In the order given.
    choices
        What was taken for what, in sentences.
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
        f"Maps in {where} have no task in their names (contrasts {in_words(list(contrasts))}): "
        f"they were taken to be pooled over the runs of task {task}."
        for (where, task), contrasts in told.items()
    ]


def _said_by_runs(file: IndexedFile, runs: Sequence[IndexedFile]) -> dict[str, str]:
    """Say task and space of a map that is pooled over runs; nothing if they differ in these."""
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
    """Name the folder of a dataset that holds those of participants."""
    dataset, inside = file.source.uri.split(":", 2)[1:]
    before = takewhile(lambda part: not part.startswith("sub-"), inside.split("/"))
    return "/".join((dataset, *before))
