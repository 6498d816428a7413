"""Find the files whose paths fit a pattern such as ``{subject}/bold/{task}.{hemi}/*/sig.nii.gz``.

A folder is opened only if its path matches so far. One participant of thousands is therefore found
without searching the others.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bids_secondlevel.core.described import is_literal, label_of
from bids_secondlevel.core.errors import DataError, UsageError
from bids_secondlevel.inputs.datasets import refuse_folder

Captured = Mapping[str, str]
"""Captured parts of a path by the names of the captures."""

NO_NAME = re.compile(r"^\.|[\udc80-\udcff]")
"""First character of hidden names, and a character of names that are not UTF-8."""

_PIECE = re.compile(r"\{(\w+)\}|\*+")
_HEMI = "(?i:left|right|lh|rh|l|r)"
_SIDECAR = ".json"
_NEAREST = 3


class Entry(NamedTuple):
    """A file or folder in a folder."""

    name: str
    is_folder: bool


@dataclass(frozen=True, eq=False)
class Folders:
    """Content of the folders above the participants, listed once for all of them.

    Parameters
    ----------
    left_out
        Folders that are searched only if a pattern names them, such as the output folder.
    participants
        Known labels of the study.
    """

    left_out: frozenset[Path] = frozenset()
    participants: frozenset[str] = frozenset()
    _listed: dict[Path, list[Entry]] = field(default_factory=dict)
    _by_label: dict[tuple[Path, str], dict[str, list[tuple[Entry, Captured]]]] = field(
        default_factory=dict
    )

    def entries(self, folder: Path, *, keep: bool = False) -> list[Entry]:
        """List a folder in the order of names, without hidden files."""
        listed = self._listed.get(folder)
        if listed is None:
            listed = sorted(self._read(folder))
            if keep:
                self._listed[folder] = listed
        return listed

    def by_label(
        self, folder: Path, part: str, captured: Captured
    ) -> Mapping[str, list[tuple[Entry, Captured]]]:
        """List matches of a part of a pattern that captures the participant, by participant."""
        expression = expression_of(part, captured)
        by_label = self._by_label.get((folder, expression))
        if by_label is None:
            by_text: defaultdict[str, list[tuple[Entry, Captured]]] = defaultdict(list)
            for entry, found in fitting(self.entries(folder, keep=True), expression):
                by_text[found["subject"]].append((entry, found))
            by_label = {}
            for text, of_text in by_text.items():
                try:
                    by_label.setdefault(self.participant(text), []).extend(of_text)
                except UsageError:  # without letter or digit: not a participant
                    continue
            self._by_label[folder, expression] = by_label
        return by_label

    def participant(self, text: str) -> str:
        """Make a label from a captured participant.

        If the study does not have this label, the only participant whose label differs just in
        leading zeros or case is used, if there is one.

        Raises
        ------
        UsageError
            If the text has no letter or digit.

        Examples
        --------
        >>> folders = Folders(participants=frozenset({"01", "10", "P001"}))
        >>> [folders.participant(text) for text in ("sub-01", "1", "S1", "p1", "100")]
        ['01', '01', 'S1', 'P001', '100']
        """
        label = label_of("subject", text)
        if label in self.participants:
            return label
        alike = self._alike.get(_without_zeros(label), ())
        return alike[0] if len(alike) == 1 else label

    @cached_property
    def _alike(self) -> Mapping[str, Sequence[str]]:
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for label in self.participants:
            alike[_without_zeros(label)].append(label)
        return alike

    def _read(self, folder: Path) -> Iterator[Entry]:
        left_out = {path.name for path in self.left_out if path.parent == folder}
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    if not NO_NAME.search(entry.name) and entry.name not in left_out:
                        yield Entry(entry.name, entry.is_dir())
        except FileNotFoundError:
            return
        except OSError as error:
            refuse_folder(error)


def _without_zeros(label: str) -> str:
    return re.sub("(?<![0-9])0+(?=[0-9])", "", label.casefold())


def expression_of(part: str, captured: Captured | None = None) -> str:
    """Write a pattern, or a part of one, as a regular expression.

    The shortest matching text is captured. A repeated capture must have the same text again. A run
    directly after another capture is a number.

    Examples
    --------
    >>> re.fullmatch(expression_of("{subject}_{task}_*.gii"), "P1_loc_a_b.gii").groupdict()
    {'subject': 'P1', 'task': 'loc'}
    >>> re.fullmatch(expression_of("{subject}_{task}", {"subject": "P1"}), "P2_loc")
    >>> re.fullmatch(expression_of("{task}{run}.{hemi}"), "loc12.LH").groupdict()
    {'task': 'loc', 'run': '12', 'hemi': 'LH'}
    """
    captured = captured or {}
    written: list[str] = []
    seen: set[str] = set()
    end = 0
    for piece in _PIECE.finditer(part):
        written.append(re.escape(part[end : piece.start()]))
        end, name = piece.end(), piece[1]
        if name is None:
            written.append("[^/]*?")
        elif name in captured:
            written.append(re.escape(captured[name]))
        elif name in seen:
            written.append(f"(?P={name})")
        else:
            seen.add(name)
            is_joined = name == "run" and written[-1:] == [""] and len(written) > 1
            text = _HEMI if name == "hemi" else "[0-9]+" if is_joined else "[^/]+?"
            written.append(f"(?P<{name}>{text})")
    return "".join((*written, re.escape(part[end:])))


def fitting(entries: Iterable[Entry], expression: str) -> Iterator[tuple[Entry, Captured]]:
    """List the entries whose names match a regular expression, with the captured texts."""
    compiled = re.compile(expression)
    for entry in entries:
        match = compiled.fullmatch(entry.name)
        if match:
            yield entry, match.groupdict()


@dataclass(frozen=True, kw_only=True)
class Sought:
    """Which files that match a pattern are wanted."""

    label: str | None = None
    """Label of the participant, if the pattern captures it; ``None`` for all."""
    one_each: bool = False
    """Whether one file of each participant is enough."""
    without: frozenset[str] = frozenset()
    """Participants that are skipped."""


EVERY = Sought()


def find(
    root: Path,
    pattern: str,
    folders: Folders,
    sought: Sought = EVERY,
    known: Captured | None = None,
) -> Iterator[tuple[Path, Captured]]:
    """Find the files that match a pattern, in the order of their paths.

    Parameters
    ----------
    known
        Texts that are captured already.

    Yields
    ------
    path, captured
        JSON files beside the maps are skipped.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """
    yield from _below(root, pattern.split("/"), folders, sought, known or {})


def _below(
    folder: Path, parts: Sequence[str], folders: Folders, sought: Sought, captured: Captured
) -> Iterator[tuple[Path, Captured]]:
    _, *rest = parts
    for entry, found in _matching(folder, parts, folders, sought, captured):
        path = folder / entry.name
        if rest and entry.is_folder:
            below = _below(path, rest, folders, sought, {**captured, **found})
            yield from _first(below) if sought.one_each and "subject" in found else below
        elif not rest and not entry.is_folder and not entry.name.endswith(_SIDECAR):
            yield path, {**captured, **found}


def _first(found: Iterator[tuple[Path, Captured]]) -> Iterator[tuple[Path, Captured]]:
    """Return the first file of a participant. Unreadable folders are reported for each of them."""
    with suppress(DataError):
        yield from islice(found, 1)


def _matching(
    folder: Path, parts: Sequence[str], folders: Folders, sought: Sought, captured: Captured
) -> Iterator[tuple[Entry, Captured]]:
    """List the matches of the first of several parts of a pattern."""
    part, *rest = parts
    name = _PIECE.sub(lambda piece: captured.get(piece[1], piece[0]) if piece[1] else "*", part)
    if is_literal(part) or (is_literal(name) and "*" not in part):
        path = folder / name
        if os.path.lexists(path):
            yield Entry(name, path.is_dir()), {}
    elif "{subject}" not in part or "subject" in captured:
        shared = "subject" not in captured
        yield from fitting(folders.entries(folder, keep=shared), expression_of(part, captured))
    elif sought.label is not None:
        yield from folders.by_label(folder, part, captured).get(sought.label, ())
    else:
        for label, of_participant in folders.by_label(folder, part, captured).items():
            if label not in sought.without:
                yield from of_participant[:1] if sought.one_each and not rest else of_participant


def nearest(root: Path, pattern: str, folders: Folders) -> str:
    """Report up to which folder a pattern matches, and what is there instead."""
    parts = pattern.split("/")
    reached, captured = _deepest(root, parts, folders, {})
    depth = len(reached.relative_to(root).parts)
    wanted = parts[depth]
    is_last = depth == len(parts) - 1
    there = folders.entries(reached)
    of_kind = [entry for entry in there if entry.is_folder != is_last] or there
    plain = _PIECE.sub(lambda piece: captured.get(piece[1] or "", ""), wanted).casefold()

    def likeness(entry: Entry) -> float:
        return -SequenceMatcher(None, plain, entry.name.casefold()).ratio()

    shown = [str(reached / entry.name) for entry in sorted(of_kind, key=likeness)[:_NEAREST]]
    more = len(there) - len(shown)
    listed = "".join(f"\n  {path}" for path in shown) or " nothing"
    ends = f"\n  and {more} more" if more > 0 else ""
    what = "a file" if is_last else "a folder"
    return f"in {reached} the pattern expects {what} {wanted!r}, but there is:{listed}{ends}"


def _deepest(
    folder: Path, parts: Sequence[str], folders: Folders, captured: Captured
) -> tuple[Path, Captured]:
    """Find the folder reached by most parts of a pattern."""
    best = (folder, captured)
    _, *rest = parts
    if not rest:
        return best
    for entry, found in _matching(folder, parts, folders, EVERY, captured):
        if entry.is_folder:
            deeper = _deepest(folder / entry.name, rest, folders, {**captured, **found})
            if len(deeper[0].parts) > len(best[0].parts):
                best = deeper
            if len(best[0].parts) - len(folder.parts) == len(rest):
                break
    return best
