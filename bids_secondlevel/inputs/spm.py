"""Maps of SPM: the contrast is in their headers, task and space in the names of folders."""

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
BETA_NAME = re.compile(r"beta_[0-9]+\..+", re.IGNORECASE)  # of one regressor: not a contrast
_CONTRAST = re.compile(r"contrast\s*-?\s*[0-9]+\s*:\s*(?P<name>.+)", re.IGNORECASE)
_BETA = re.compile(r"spm_spm:beta \([0-9]+\) - (?P<name>.+?)(?:\*bf\([0-9]+\))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SpmMap:
    """A map of a contrast: its effect, or its t values."""

    path: Path
    entities: Mapping[str, str]
    """BIDS entities; ``stat`` is ``effect`` or ``t``."""

    @property
    def lacking(self) -> str | None:
        """Explain what is unknown about it; ``None`` if it can be used."""
        lacking = [f"{name}-" for name in ("task", "space") if name not in self.entities]
        told = f"no name of a folder above it has {in_words(lacking, 'and')}" if lacking else ""
        unnamed = "" if "contrast" in self.entities else "its header has no contrast"
        return "; ".join(filter(None, (told, unnamed))) or None


def contrast_in_header(path: Path) -> str | None:
    """Find the contrast of a map of SPM in its description, or in that of the effect beside it.

    The description is cut at 80 letters and differs for t values. The name is therefore taken from
    the same description for both.

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
        With entities from folders and headers.
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
    """Check that the names of contrasts of a model give different labels.

    Raises
    ------
    DataError
        If two are the same.
    """
    first: dict[tuple[str, str], Path] = {}
    for found in maps:
        label = found.entities.get("contrast", found.path.name).casefold()
        other = first.setdefault((found.entities["stat"], label), found.path)
        if other != found.path:
            names = [contrast_in_header(path) for path in (other, found.path)]
            raise DataError(
                f"{other} and {found.path.name}: their contrasts {names[0]!r} and {names[1]!r} "
                "have the same letters and digits. Describe the maps in [[maps]] entries of the "
                "config file, with {contrast} instead of the number and with other names "
                '(names = { "0001" = "faces" }).'
            )
