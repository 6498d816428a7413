"""Read a BIDS Stats Model from its file."""

from pathlib import Path

from bids_secondlevel.core.errors import InputMissingError
from bids_secondlevel.maps.plain_files import read_json_object
from bids_secondlevel.stats.models.specification import StatsModel, check_stats_model


def is_stats_model(model: str) -> bool:
    """Tell whether a model is given as the path of a BIDS Stats Model, not as a formula.

    Examples
    --------
    >>> is_stats_model("model-groups_smdl.json"), is_stats_model("estimate ~ age")
    (True, False)
    """
    return model.strip().casefold().endswith(".json")


def read_stats_model(path: Path) -> StatsModel:
    """Read and check a BIDS Stats Model.

    Raises
    ------
    InputMissingError
        If there is no such file.
    DataError
        If the file cannot be read, or is no valid BIDS Stats Model.
    UsageError
        If it asks for something that is not supported.
    """
    if not path.is_file():
        raise InputMissingError(f"{path}: there is no such file; expected a BIDS Stats Model.")
    return check_stats_model(read_json_object(path), str(path))
