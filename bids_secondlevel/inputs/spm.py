"""Maps of SPM, whose headers say the contrast, and whose folders say task and space."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_secondlevel.core.errors import DataError, InputMissingError, SecondLevelError
from bids_secondlevel.core.files import Dataset
from bids_secondlevel.core.words import in_words
from bids_secondlevel.inputs.names import entities_in, extension_of
from bids_secondlevel.maps.volumes import description_in_header

_MODEL = "SPM.mat"
SPM_NAME = re.compile(r"(?P<what>con|spmT)_(?P<number>[0-9]+)\.nii(?:\.gz)?", re.IGNORECASE)
BETA_NAME = re.compile(r"beta_[0-9]+\..+", re.IGNORECASE)  # of one regressor: no contrast
_CONTRAST = re.compile(r"contrast\s*-?\s*[0-9]+\s*:\s*(?P<name>.+)", re.IGNORECASE)
_BETA = re.compile(r"spm_spm:beta \([0-9]+\) - (?P<name>.+?)(?:\*bf\([0-9]+\))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SpmMap:
    """A map of a contrast: its effect, or its t values."""

    path: Path
    entities: Mapping[str, str]
    """Those of BIDS; ``stat`` is ``effect`` or ``t``."""

    @property
    def lacking(self) -> str | None:
        """Say what nothing says of it; ``None`` if it can be used."""
        lacking = [f"{name}-" for name in ("task", "space") if name not in self.entities]
        told = f"no folder above it says {in_words(lacking, 'and')}" if lacking else ""
        unnamed = "" if "contrast" in self.entities else "its header says no contrast"
        return "; ".join(filter(None, (told, unnamed))) or None


def contrast_in_header(path: Path) -> str | None:
    """Name the contrast of a map of SPM by its description, or by that of its effect beside it.

    The description is cut at 80 letters, and begins otherwise for t values: the name is taken from
    the same one for both.

    Raises
    ------
    InputMissingError, DataError
        If the header cannot be read.
    """
    effect = re.sub("^spmT_", "con_", path.name, flags=re.IGNORECASE)
    beside = path.with_name(effect)
    said = description_in_header(beside if beside.is_file() else path)
    found = _CONTRAST.search(said) or _BETA.fullmatch(said)
    return found["name"].strip() if found else None


def maps_of_spm(
    dataset: Dataset, paths: Iterable[Path]
) -> tuple[list[SpmMap], list[SecondLevelError]]:
    """Find the maps in folders with a model of SPM.

    Returns
    -------
    maps
        As the names of folders and headers describe them.
    errors
        Why the maps of a folder are not understood.
    """
    paths = list(paths)
    models = [path.parent for path in paths if path.name == _MODEL]
    maps: list[SpmMap] = []
    errors: list[SecondLevelError] = []
    for folder in models:
        inside = [path for path in paths if path.parent == folder]
        try:
            found = list(_maps_in(dataset, inside))
            _check_contrasts(found)
        except (DataError, InputMissingError) as error:
            errors.append(error)
        else:
            maps += found
    return maps, errors


def _maps_in(dataset: Dataset, paths: Iterable[Path]) -> Iterator[SpmMap]:
    for path in paths:
        named = SPM_NAME.fullmatch(path.name)
        if named is None:
            continue
        entities: dict[str, str] = {}
        for folder in path.relative_to(dataset.root.parent).parent.parts:
            entities |= entities_in(f"{folder}_")
        if dataset.task is not None:
            entities.setdefault("task", dataset.task)
        if "run" in entities and entities["run"].isdigit():
            entities["run"] = str(int(entities["run"]))
        contrast = re.sub("[^0-9A-Za-z]", "", contrast_in_header(path) or "")
        entities |= {"contrast": contrast} if contrast else {}
        yield SpmMap(
            path=path,
            entities={
                **entities,
                "stat": "effect" if named["what"].casefold() == "con" else "t",
                "suffix": named["what"],
                "extension": extension_of(path.name),
            },
        )


def _check_contrasts(maps: Iterable[SpmMap]) -> None:
    """Check that no two contrasts of a model have names that are the same label.

    Raises
    ------
    DataError
        If two have.
    """
    first: dict[tuple[str, str], Path] = {}
    for found in maps:
        label = found.entities.get("contrast", found.path.name).casefold()
        other = first.setdefault((found.entities["stat"], label), found.path)
        if other != found.path:
            names = [contrast_in_header(path) for path in (other, found.path)]
            raise DataError(
                f"{other} and {found.path.name}: their contrasts are called {names[0]!r} and "
                f"{names[1]!r}, which are the same in letters and digits. Describe the maps in "
                "[[maps]] tables of --config, with {contrast} in place of the number and other "
                'names (names = { "0001" = "faces" }).'
            )
