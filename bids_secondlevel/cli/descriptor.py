"""Describe the command line to platforms, as a Boutiques descriptor (``boutiques.json``).

It is made from the parser itself and so offers only what the parser accepts. The identifiers of
inputs follow the draft of the BIDS execution specification, according to which ``--bids-exec-spec``
prints the descriptor.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_secondlevel import __owner__, __version__
from bids_secondlevel.core.errors import (
    SOME_PARTICIPANT_FAILED,
    DataError,
    InputMissingError,
    InvalidDatasetError,
    NothingSelectedError,
    OutputError,
    UnknownLevelError,
    UsageError,
)
from bids_secondlevel.core.options import options_of
from bids_secondlevel.core.settings import Settings

IMAGE = f"{__owner__}/bids_secondlevel:{__version__}"
"""What the image of this version is called, where it is built and where it is published."""

_REPOSITORY = f"https://github.com/{__owner__}/bids_secondlevel"

_DRAFT_NAMES = {
    "bids_dir": "InputDataset",
    "output_dir": "OutputLocation",
    "participant_label": "SubjectLabel",
    "version": "ToolVersion",
}
_OUTPUTS = (
    # identifier, content, path; a dry run writes none of them
    ("DatasetDescription", "What the output is, as BIDS has it", "dataset_description.json"),
    ("Logs", "Settings of the run, and a methods text to cite", "logs"),
    ("Masks", "Regions of interest", "sub-*/**/*_mask.label.gii"),
    ("ParticipantEstimates", "Estimates", "sub-*/**/*_desc-roi_estimates.tsv"),
    ("ParticipantPages", "Page of a participant", "sub-*.html"),
    ("GroupEstimates", "Estimates of all participants", "group_estimates.tsv"),
    ("GroupParticipants", "Who is ready, and what to check", "group_participants.tsv"),
    ("GroupStatistics", "Tests across participants", "group_statistics.tsv"),
    ("GroupComparisons", "Paired tests", "group_comparisons.tsv"),
    ("GroupModel", "Model of the estimates", "group_model.tsv"),
    ("GroupPage", "Page of the group", "group.html"),
    ("NamedAnalyses", "Named group analyses", "analyses"),
)


def describe(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Describe the command line.

    Returns
    -------
    dict
        The descriptor, to be written as JSON. Defaults are given in the descriptions and, by
        identifier, in ``custom``. A ``default-value`` would be added to every command line, where
        it would override the file given with ``--config``.
    """
    groups = [
        (
            group.title or "",
            [a for a in group._group_actions if a.dest != "bids_exec_spec"],  # noqa: SLF001 no public list
        )
        for group in parser._action_groups  # noqa: SLF001
    ]
    actions = [action for _, members in groups for action in members]
    actions.sort(key=lambda action: bool(action.option_strings))  # positional arguments first
    keys = [_key(action) for action in actions]
    return {
        "name": parser.prog,
        "description": parser.description,
        "author": "The bids_secondlevel developers",
        "url": _REPOSITORY,
        "descriptor-url": f"{_REPOSITORY}/blob/v{__version__}/boutiques.json",
        "tool-version": __version__,
        "schema-version": "0.5",
        "command-line": " ".join([parser.prog, *keys]),
        "container-image": {"type": "docker", "image": IMAGE},
        # What the scripts for clusters ask for, and more than maps with many vertices take.
        "suggested-resources": {"cpu-cores": 1, "ram": 4, "walltime-estimate": 3600},
        "inputs": [_input(action) for action in actions],
        "groups": [
            {
                "id": _camel_case(title),
                "name": title[:1].upper() + title[1:],
                "members": [_identifier(action) for action in members],
            }
            for title, members in groups
            if members
        ],
        "output-files": [
            {
                "id": identifier,
                "name": name,
                "path-template": f"[OutputLocation]/{path}",
                "list": "*" in path,
                "optional": True,
            }
            for identifier, name, path in _OUTPUTS
        ],
        "error-codes": _error_codes(),
        "tests": _tests(),
        "tags": {"domain": ["neuroinformatics", "fmri", "bids-app"]},
        "custom": {"BIDSAppSpecVersion": "BEP027 draft", "Defaults": _defaults(actions)},
    }


def _name(action: argparse.Action) -> str:
    """Name an argument by its long option, the name that users know."""
    long = [string for string in action.option_strings if string.startswith("--")]
    return long[0].removeprefix("--").replace("-", "_") if long else action.dest


def _identifier(action: argparse.Action) -> str:
    name = _name(action)
    return _DRAFT_NAMES.get(name) or _camel_case(name)


def _camel_case(text: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"[0-9a-zA-Z]+", text))


def _key(action: argparse.Action) -> str:
    return f"[{_identifier(action)}]"


def _input(action: argparse.Action) -> dict[str, Any]:
    name = _name(action)
    described: dict[str, Any] = {
        "id": _identifier(action),
        "name": name.replace("_", " ").capitalize(),
        "description": action.help,
        "type": _type(action),
        "optional": not action.required,
        "value-key": _key(action),
    }
    if action.option_strings:
        described["command-line-flag"] = f"--{name.replace('_', '-')}"
    if described["type"] == "Number":
        described["integer"] = action.type is int
    if action.choices is not None:
        described["value-choices"] = list(action.choices)
    if name == "bids_dir":  # a list in the draft
        described |= {"list": True, "min-list-entries": 1, "max-list-entries": 1}
    elif action.nargs == "+":
        described |= {"list": True, "min-list-entries": 1}
    elif isinstance(action.nargs, int) and action.nargs > 1:
        described |= {"list": True}
        described |= dict.fromkeys(("min-list-entries", "max-list-entries"), action.nargs)
    return described


def _type(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "Flag"
    if action.dest == "output_dir":  # a File has to exist before the run
        return "String"
    return {Path: "File", int: "Number", float: "Number"}.get(action.type, "String")  # type: ignore[call-overload, no-any-return]


def _defaults(actions: Sequence[argparse.Action]) -> dict[str, object]:
    """List the defaults of the options that take a value."""
    known = {option.name: option.default for option in options_of(Settings)}
    return {
        _identifier(action): list(value) if isinstance(value, tuple) else value
        for action in actions
        if action.nargs != 0
        and isinstance(value := known.get(action.dest), str | int | float | tuple)
        and value != ()
    }


def _error_codes() -> list[dict[str, object]]:
    failures = (
        InvalidDatasetError,
        UnknownLevelError,
        NothingSelectedError,
        UsageError,
        DataError,
        InputMissingError,
        OutputError,
    )
    meanings = {
        SOME_PARTICIPANT_FAILED: "Some participants failed; the others were processed.",
        **{of.exit_code: (of.__doc__ or "").partition("\n")[0].replace("`", "") for of in failures},
    }
    return [{"code": code, "description": meaning} for code, meaning in meanings.items()]


def _tests() -> list[dict[str, object]]:
    here: dict[str, object] = {"InputDataset": ["."], "OutputLocation": "out"}
    return [
        {
            "name": "It says which version it is",
            "invocation": {**here, "AnalysisLevel": "group", "ToolVersion": True},
            "assertions": {"exit-code": 0},
        },
        {
            "name": "A folder that is not a dataset is refused",
            "invocation": {**here, "AnalysisLevel": "participant"},
            "assertions": {"exit-code": InvalidDatasetError.exit_code},
        },
    ]
