"""Judges what a crash left of a log: everything promised is there, batches whole, and nothing unreadable."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path

import attrs

from eventstore.errors import EventStoreError, LogNotFound, LogNotReadable, NotALog
from eventstore.testing import CrashState
from tests.faults.histories import Found, History, expected, steps_in
from tests.faults.looking import NOTHING, by_owner, by_reader, by_sql, quick_check
from tests.faults.running import Run

READONLY = sqlite3.SQLITE_READONLY


@attrs.define
class Seen:
    """What a look at one log file brought to light."""

    steps: list[int] = attrs.field(factory=list)
    removed: int = 0
    """Events that are no longer kept."""
    wrong: list[str] = attrs.field(factory=list)
    read: bool = False
    """It was read through the store's reader too."""
    changed: bool = False
    """A new owner has opened it, or it could not be read: its files are no longer what they were."""


@attrs.define
class Examiner:
    """Tells which steps of a history are in a log file, and whether just what they leave is there."""

    history: History
    base: Found = NOTHING
    absent: Collection[int] = ()
    """Steps that the program knows not to be there."""
    _expected: dict[tuple[int, tuple[int, ...]], Found] = attrs.field(factory=dict)

    def look(self, path: Path, *, through_reader: bool, by_owner_too: bool) -> Seen:
        """Read it by SQL, and in more ways where that is wanted."""
        seen = Seen()
        try:
            self._look(path, seen, through_reader=through_reader, by_owner_too=by_owner_too)
        except (sqlite3.Error, EventStoreError, ValueError) as error:
            seen.changed = True
            seen.wrong.append(f"unreadable: {error!r}")
        return seen

    def _look(self, path: Path, seen: Seen, *, through_reader: bool, by_owner_too: bool) -> None:
        key = self.history.key
        try:
            found = by_sql(path) if key is None else by_reader(path, self.history.all_names(), key)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != READONLY:
                raise
            found, by_owner_too = NOTHING, True  # its creation was interrupted: only an owner may roll it back
        except (LogNotFound, NotALog, LogNotReadable):
            if key is None:
                raise
            found, by_owner_too = NOTHING, True  # the same, as the reader tells it
        seen.removed = found.removed
        seen.steps = steps_in(self.history, found, self.base, self.absent)
        wanted = self._wanted(seen.steps, found.removed)
        if found != wanted:
            seen.wrong.append(f"not what steps {seen.steps} leave: {difference(found, wanted)}")
        if through_reader and found is not NOTHING:
            seen.read = True
            seen.wrong += quick_check(path)
            through = by_reader(path, wanted, key)
            if through != wanted:
                seen.wrong.append(f"the reader finds something else: {difference(through, wanted)}")
        if by_owner_too:
            seen.changed = True
            through, problems = by_owner(path, wanted, key)
            seen.wrong += problems
            if through != wanted:
                seen.wrong.append(f"a new owner finds something else: {difference(through, wanted)}")

    def _wanted(self, steps: list[int], removed: int) -> Found:
        key = (removed, tuple(steps))
        wanted = self._expected.get(key)
        if wanted is None:
            wanted = self._expected[key] = expected(self.history, key[1], self.base, removed)
        return wanted


@attrs.define
class Judge:
    """Looks at crash states of one run. Each content is looked at once, however many points of the run it belongs to.

    Every state is read by SQL. One in ``reader_every`` is read through the store's reader and checked by SQLite, and
    one in ``owner_every`` is opened by a new owner, verified, and appended to.
    """

    run: Run
    directory: Path
    examiner: Examiner
    reader_every: int = 10
    owner_every: int = 40
    log_name: str = "lrm.db"
    problems: list[str] = attrs.field(factory=list)
    seen: dict[int, Seen] = attrs.field(factory=dict)
    """By the digest of a state."""
    read: int = 0
    owned: int = 0
    _last: CrashState | None = None

    def look(self, state: CrashState) -> None:
        """Judge one state, and remember what is wrong with it."""
        seen = self.seen.get(state.digest)
        if seen is None:
            seen = self.seen[state.digest] = self._see(state)
        wrong = seen.wrong or self.run.verdict(seen.steps, seen.removed, state.marks)
        if wrong:
            self.problems.append(
                f"{self.run.history.name} after {state.at} operations, {state.how}: {'; '.join(wrong)}"
            )

    def _see(self, state: CrashState) -> Seen:
        number = len(self.seen)
        state.write(self.directory, after=self._last)
        seen = self.examiner.look(
            self.directory / self.log_name,
            through_reader=number % self.reader_every == 0,
            by_owner_too=number % self.owner_every == 0,
        )
        self._last = None if seen.changed else state
        self.read += seen.read
        self.owned += seen.changed
        return seen


def difference(found: Found, wanted: Found) -> str:
    """The first part in which two logs differ."""
    for field in attrs.fields(Found):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if one != other:
            return f"{field.name}: {str(one)[-200:]} and not {str(other)[-200:]}"
    return "nothing"
