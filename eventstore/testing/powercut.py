"""The states that a power cut can leave on a disk, enumerated from what a program did to its files.

A disk keeps what was written before the last successful sync of the file. Of what was written since, it may keep any
part, in any order, and the newest write may be torn between two sectors. Names appear and vanish in order, and for
certain only when the directory is synchronised.

The model of reordered and torn writes follows Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import attrs

from eventstore.testing.capture import Capture, Entry
from eventstore.testing.images import Change, Content, Image, tears, torn

Model: TypeAlias = Literal["reorder", "keep_all", "lying"]

ALL_SUBSETS_UP_TO = 4
"""Pending writes of which every subset is tried; of more, a sample."""
_CHANGES = ("write", "truncate")


class CrashState(NamedTuple):
    """What one power cut left behind."""

    digest: int
    """128 bits that tell the content of all files together."""
    marks: Mapping[str, int]
    """The newest value of each mark at that point."""
    at: int
    """The cut came after this many entries of the capture."""
    how: str
    """Which of the pending writes the disk had taken."""
    files: Mapping[str, Content]
    """By name relative to the directory that holds them all. Valid until the next state is asked for."""

    def write(self, directory: str | os.PathLike[str], *, after: CrashState | None = None) -> None:
        """Put the files into a directory, and remove every other file from it.

        ``after`` is the state that was put there before, if nobody has changed its files since: what is the same in
        both is then not written again. No connection to the files may be open.
        """
        root = os.fspath(directory)
        with os.scandir(root) as found:
            for stale in [one.path for one in found if one.name not in self.files and one.is_file()]:
                os.unlink(stale)  # noqa: PTH108 - pathlib takes as long as the writing
        before = after.files if after is not None else {}
        for name, content in self.files.items():
            old = before.get(name)
            if old is not None and (old.digest, old.size) == (content.digest, content.size):
                continue
            if "/" in name:
                Path(root, name).parent.mkdir(parents=True, exist_ok=True)
            with open(f"{root}/{name}", "wb", buffering=0) as file:  # noqa: PTH123
                file.write(content.data())


@attrs.define
class _Inode:
    image: Image
    pending: list[tuple[int, Change]] = attrs.field(factory=list)
    """With the number of the entry, so that several files have one order."""


class _Choice(NamedTuple):
    """What the disk had of everything pending."""

    kept: frozenset[int] | None
    """Numbers of entries; None for all."""
    torn_to: int
    """Sectors of the newest write; -1 for all."""
    names: int
    """Changes of names, from the oldest."""
    how: str


class PowerCut:
    """Enumerates the crash states of a capture.

    Args:
        capture: what the program did. A program that goes on is not disturbed; later entries are not seen.
        model: ``reorder`` as described above. ``keep_all`` loses nothing, as if only the process had died: no check
            may fail under it. ``lying`` is a disk whose syncs do nothing.
        seed: of what is sampled. The same seed gives the same states.
        samples: how many subsets are tried at each point where more than four writes are pending.
        survive: at a sync that failed, the chance of each pending write to be on the disk all the same; the others
            are forgotten, though the program could still read them. None for a kernel that goes on trying.
        start: entries before this one are only carried out, not cut at.
        share: the part of all points of the run that are cut at, above 0 and at most 1, chosen by the seed.

    Raises:
        ValueError: ``share``, ``survive`` or ``samples`` is no such number, or there is no such ``model``.
    """

    def __init__(
        self,
        capture: Capture | Sequence[Entry],
        *,
        model: Model = "reorder",
        seed: int = 0,
        samples: int = 12,
        survive: float | None = None,
        start: int = 0,
        share: float = 1.0,
    ) -> None:
        if not 0 < share <= 1 or not 0 <= (survive or 0) <= 1:
            raise ValueError(f"share = {share}, survive = {survive}: at most 1, and not negative")
        if model not in get_args(Model) or samples < 0:
            raise ValueError(f"model = {model!r}, samples = {samples}: one of {get_args(Model)}, and not negative")
        self._entries = list(capture.entries if isinstance(capture, Capture) else capture)
        self._model: Model = model
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._samples = samples
        self._survive = survive
        self._start = start
        self._share = share
        self._inodes: dict[int, _Inode] = {}
        self._names: dict[str, int] = {}
        self._renaming: list[tuple[str, int]] = []
        """Names that appeared, or (0) vanished, since the directory was synchronised."""
        self._marks: dict[str, int] = {}
        self._seen: set[tuple[int, tuple[tuple[str, int], ...]]] = set()
        paths = [os.path.dirname(entry.path) for entry in self._entries if entry.inode]  # noqa: PTH120
        root = os.path.commonpath(paths) if paths else ""
        self._relative = {entry.path: os.path.relpath(entry.path, root) for entry in self._entries if entry.inode}
        for entry in self._entries:  # what is found was there all along, however late the program opened it
            if entry.kind == "found":
                self._inodes[entry.inode] = _Inode(Image(entry.data))
                self._names.setdefault(entry.path, entry.inode)
        self.cuts = 0
        """Points of the run that were cut at, so far."""
        self.tried = 0
        """States found so far, the same ones counted again."""
        self._digests: set[int] = set()

    @property
    def distinct(self) -> int:
        """Different contents of the disk so far."""
        return len(self._digests)

    def states(self) -> Iterator[CrashState]:
        """Every state once: never the same content with the same marks again. One pass per instance."""
        cut_before = False
        for at, entry in enumerate(self._entries, 1):
            self._carry_out(at, entry)
            if entry.kind == "found" or (entry.kind in ("sync", "sync-directory") and self._model != "lying"):
                continue  # what is durable now could have been kept a moment ago
            if at <= self._start or (self._share < 1 and self._chance.random() >= self._share):
                cut_before = False
                continue
            self.cuts += 1
            for choice in self._choices(at, everything=entry.kind == "mark" or not cut_before):
                yield from self._state(at, choice)
            cut_before = True

    # --- carrying the run out -------------------------------------------------------------------------------------

    def _carry_out(self, at: int, entry: Entry) -> None:
        kind, number, path, offset, data = entry
        if kind == "mark":
            self._marks[path] = offset
        elif kind == "found":
            self._names.setdefault(path, number)
        elif kind == "create":
            self._inodes[number] = _Inode(Image())
            self._renaming.append((path, number))
        elif kind == "delete":
            self._renaming.append((path, 0))
        elif kind in _CHANGES:
            self._inodes[number].pending.append((at, Change(offset, data if kind == "write" else None)))
        elif kind == "sync-failed" and self._survive is not None:
            self._forget(self._inodes[number], self._survive)
        elif kind == "sync" and self._model != "lying":
            inode = self._inodes[number]
            inode.image.apply(change for _, change in inode.pending)
            inode.pending.clear()
        elif kind == "sync-directory" and self._model != "lying":
            self._rename(self._names, len(self._renaming))
            self._renaming.clear()

    def _forget(self, inode: _Inode, survive: float) -> None:
        inode.image.apply(change for _, change in inode.pending if self._chance.random() < survive)
        inode.pending.clear()

    def _rename(self, names: dict[str, int], many: int) -> None:
        for path, number in self._renaming[:many]:
            if number:
                names[path] = number
            else:
                names.pop(path, None)

    # --- choosing -------------------------------------------------------------------------------------------------

    def _choices(self, at: int, *, everything: bool) -> Iterator[_Choice]:
        """What the disk may have of what is pending. Without ``everything``, only what is new at this entry."""
        names = len(self._renaming)
        yield _Choice(None, -1, names, "all kept")
        if self._model == "keep_all":
            return
        pending = sorted(
            ((number, change) for inode in self._inodes.values() for number, change in inode.pending),
            key=lambda one: one[0],
        )
        numbers = [number for number, _ in pending]
        newest = pending[-1][1] if pending and (everything or numbers[-1] == at) else None
        splits = tears(newest) if newest is not None else 0
        for sectors in range(1, splits + 1):
            yield _Choice(None, sectors, names, f"all kept, the newest to sector {sectors}")
        for kept in self._subsets(numbers, at, everything=everything):
            how = f"{len(kept)} of {len(numbers)} kept"
            yield _Choice(kept, -1, names, how)
            if splits and numbers[-1] in kept:
                sectors = self._chance.randint(1, splits)
                yield _Choice(kept, sectors, names, f"{how}, the newest to sector {sectors}")
        for earlier in range(names):
            yield _Choice(None, -1, earlier, f"all kept, {earlier} of {names} names")
            yield _Choice(frozenset(), -1, earlier, f"0 of {len(numbers)} kept, {earlier} of {names} names")
            yield _Choice(self._sample(numbers), -1, earlier, f"some kept, {earlier} of {names} names")

    def _subsets(self, numbers: list[int], at: int, *, everything: bool) -> Iterator[frozenset[int]]:
        if len(numbers) <= ALL_SUBSETS_UP_TO:
            for picks in product((False, True), repeat=len(numbers)):
                if everything or not numbers or picks[-1] or numbers[-1] != at:  # the others came an entry ago
                    yield frozenset(number for number, pick in zip(numbers, picks, strict=True) if pick)
            return
        yield frozenset()
        yield frozenset(numbers[:-1])
        yield frozenset(numbers[-1:])
        for _ in range(self._samples):
            yield self._sample(numbers)

    def _sample(self, numbers: list[int]) -> frozenset[int]:
        """Few lost, half of them lost, or few kept."""
        keep = self._chance.choice((0.1, 0.5, 0.5, 0.9))
        return frozenset(number for number in numbers if self._chance.random() < keep)

    # --- building -------------------------------------------------------------------------------------------------

    def _state(self, at: int, choice: _Choice) -> Iterator[CrashState]:
        self.tried += 1
        names = dict(self._names)
        self._rename(names, choice.names)
        newest = max((inode.pending[-1][0] for inode in self._inodes.values() if inode.pending), default=0)
        files = {}
        for path, number in sorted(names.items()):
            inode = self._inodes[number]
            changes = [
                torn(change, choice.torn_to) or change if index == newest and choice.torn_to >= 0 else change
                for index, change in inode.pending
                if choice.kept is None or index in choice.kept
            ]
            files[self._relative[path]] = inode.image.changed(changes)
        digest = hash_all(files)
        key = (digest, tuple(self._marks.items()))
        if key not in self._seen:
            self._seen.add(key)
            self._digests.add(digest)
            yield CrashState(digest, dict(self._marks), at, choice.how, files)


def hash_all(files: Mapping[str, Content]) -> int:
    """One number for names and contents of several files."""
    hashed = blake2b(digest_size=16)
    for name, content in files.items():
        hashed.update(f"{name}\0{content.digest}\0{content.size}\0".encode())
    return int.from_bytes(hashed.digest(), "little")
