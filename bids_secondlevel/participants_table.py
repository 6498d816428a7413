"""Read what a group model needs: ``participants.tsv``, and a BIDS Stats Model."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_secondlevel.errors import DataError, UsageError
from bids_secondlevel.model import ParticipantsTable

_ID = "participant_id"


def read_participants(bids_dir: Path) -> ParticipantsTable:
    """Read ``participants.tsv``, and from ``participants.json`` which columns are categorical.

    Returns
    -------
    ParticipantsTable
        An empty one where there is no file.

    Raises
    ------
    DataError
        If a file cannot be read, has no participants' column, or names a participant twice.
    """
    path = bids_dir / "participants.tsv"
    if not path.exists():
        return ParticipantsTable(path)
    import pandas as pd

    try:
        with warnings.catch_warnings():
            # A row of too many cells is an error, and neither shifted by one nor cut short.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                sep="\t",
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                index_col=False,
            )
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}).") from error
    table = table.rename(columns=str.strip)
    if _ID not in table:
        raise DataError(
            f"{path}: has no column {_ID}; found {', '.join(table.columns)}. Columns are separated "
            "by tabs, and the first one is participant_id."
        )
    values: dict[str, dict[str, str | None]] = {}
    for row in table.fillna("").to_dict("records"):
        cells = {str(name): _value(str(text)) for name, text in row.items()}
        name = cells.pop(_ID)
        if name is None:
            continue
        participant = f"sub-{name.removeprefix('sub-')}"
        if participant in values:
            raise DataError(f"{path}: has two rows of {participant}; expected one for each.")
        values[participant] = cells
    columns = tuple(str(name) for name in table.columns if name != _ID)
    return ParticipantsTable(path, columns, values, _with_levels(path.with_suffix(".json")))


def _value(text: str) -> str | None:
    text = text.strip()
    return None if text.casefold() in ("", "n/a", "nan") else text


def _with_levels(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: expected a JSON object that describes columns.")
    return frozenset(
        name
        for name, entry in content.items()
        if isinstance(entry, Mapping) and entry.get("Levels")
    )


def read_stats_model(path: Path) -> Mapping[str, Any]:
    """Read a BIDS Stats Model, and check that it is one.

    Raises
    ------
    UsageError
        If it cannot be read, or is no valid model; the message says where it is not.
    """
    from bsmschema.models import BIDSStatsModel
    from pydantic import ValidationError

    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--model {path}: cannot be read as JSON ({error}).") from error
    try:
        BIDSStatsModel.model_validate(content)
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"
            for problem in error.errors()[:5]
        ]
        raise UsageError(
            f"--model {path}: is no valid BIDS Stats Model ({'; '.join(found)}). See "
            "https://bids-standard.github.io/stats-models."
        ) from error
    names = [node["Name"] for node in content["Nodes"]]
    if len(set(names)) < len(names):
        raise UsageError(f"--model {path}: two nodes have the same name; expected unique names.")
    valid: Mapping[str, Any] = content
    return valid
