"""What the journal remembers of the effects of the one step that is not over: by name and occurrence, growing only.

A state is never changed, so each change copies. The entries lie on 256 shelves: of a hundred thousand, a change copies
four hundred and the row of shelves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from eventstore.frozen import frozen

INTENDED = "intended"
"""Its function is about to be called, or is running."""
IN_DOUBT = "in_doubt"
"""It was intended, and it is not known what came of it: it may have happened or not."""
DONE = "done"
"""It happened; its result is kept."""
SKIPPED = "skipped"
"""It was in doubt, and is taken for done without being done again; what is given in place of a result is kept."""
FAILED = "failed"
"""Its function raised; it is called again when it is asked for again."""
NOT_HAPPENED = "not_happened"
"""It was in doubt, and was found not to have happened; it is called again when it is asked for again."""

FINISHED = frozenset((DONE, SKIPPED))
"""Not done again: what is kept is given."""
UNFINISHED = frozenset((INTENDED, IN_DOUBT))

SHELVES = 256


@frozen
class Recorded:
    """One effect of the step, as far as it has come."""

    name: str
    occurrence: int
    """From 1: which of the effects of this name in the step."""
    attempt: int
    """How often its function was to be called by now."""
    status: str
    result: Any = None
    """A JSON value; of one that is done or skipped."""
    error: str = ""
    """Why it failed or is in doubt; of one that is done, why its result could not be kept."""
    given: str = ""
    """Digest of what was given for it; empty: nothing was."""
    policy: str = ""
    """What is to be done about it in doubt: ``retry``, ``skip``, ``ask`` or ``probe``."""
    since: int = 1
    """The attempt of its step that first asked for it."""
    stray: bool = False
    """That attempt was of code that did not fit the record: nobody has to ask for it again."""

    @property
    def key(self) -> str:
        """``name#occurrence``, its name within the step."""
        return key_of(self.name, self.occurrence)


@frozen
class Book:
    """The effects of a step by their keys."""

    shelves: Mapping[str, Mapping[str, Recorded]] = {}
    counts: Mapping[str, int] = {}
    """How many there are of each status."""

    def __len__(self) -> int:
        return sum(self.counts.values())

    def get(self, key: str) -> Recorded | None:
        """The effect of a key, if it was ever intended."""
        shelf = self.shelves.get(_shelf_of(key))
        return None if shelf is None else shelf.get(key)

    def put(self, entry: Recorded) -> Book:
        """The book with this entry, in the place of an earlier one of its key."""
        key = key_of(entry.name, entry.occurrence)
        name = _shelf_of(key)
        shelf = self.shelves.get(name, {})
        before, counts = shelf.get(key), dict(self.counts)
        if before is not None:
            counts[before.status] -= 1
            if not counts[before.status]:
                del counts[before.status]
        counts[entry.status] = counts.get(entry.status, 0) + 1
        return Book({**self.shelves, name: {**shelf, key: entry}}, counts)

    def strayed(self, attempt: int) -> Book:
        """The book in which what an attempt of the step first asked for need not be asked for again."""
        shelves = {
            name: {
                key: attrs.evolve(entry, stray=True) if entry.since == attempt else entry
                for key, entry in shelf.items()
            }
            for name, shelf in self.shelves.items()
        }
        return Book(shelves, self.counts)

    def count(self, *statuses: str) -> int:
        """How many there are of these statuses."""
        return sum(self.counts.get(status, 0) for status in statuses)

    def __iter__(self) -> Iterator[Recorded]:
        for shelf in self.shelves.values():
            yield from shelf.values()

    def of(self, *statuses: str) -> list[Recorded]:
        """Those of these statuses, by name and occurrence."""
        if not self.count(*statuses):
            return []
        found = [entry for entry in self if entry.status in statuses]
        return sorted(found, key=lambda entry: (entry.name, entry.occurrence))


def key_of(name: str, occurrence: int) -> str:
    """What an effect is called within its step."""
    return f"{name}#{occurrence}"


def _shelf_of(key: str) -> str:
    return f"{zlib.crc32(key.encode()) % SHELVES:02x}"
