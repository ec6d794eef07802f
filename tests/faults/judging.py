"""Judges what a crash left of a log: everything promised is there, batches whole, and nothing unreadable."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import attrs

from eventstore.errors import EventStoreError
from eventstore.testing import CrashState
from tests.faults.histories import TYPE, Found, History, expected, step_of
from tests.faults.looking import NOTHING, by_owner, by_reader, by_sql, quick_check
from tests.faults.running import Run

READONLY = sqlite3.SQLITE_READONLY


@attrs.define
class Judge:
    """Looks at crash states of one run. Each content is looked at once, however many points of the run it belongs to.

    Every state is read by SQL. One in ``reader_every`` is read through the store's reader and checked by SQLite, and
    one in ``owner_every`` is opened by a new owner, verified, and appended to.
    """

    run: Run
    directory: Path
    base: Found = NOTHING
    reader_every: int = 10
    owner_every: int = 40
    log_name: str = "lrm.db"
    problems: list[str] = attrs.field(factory=list)
    seen: dict[int, set[int] | str] = attrs.field(factory=dict)
    """By the digest of a state: the steps in it, or why it cannot be told."""
    read: int = 0
    owned: int = 0
    _last: CrashState | None = None
    _expected: dict[tuple[int, ...], Found] = attrs.field(factory=dict)

    @property
    def history(self) -> History:
        """The steps that may be there."""
        return self.run.history

    def look(self, state: CrashState) -> None:
        """Judge one state, and remember what is wrong with it."""
        steps = self.seen.get(state.digest)
        if steps is None:
            steps = self.seen[state.digest] = self._steps_in(state)
        if isinstance(steps, str):
            wrong = [steps]
        else:
            started, durable = state.marks.get("started", -1), state.marks.get("durable", -1)
            wrong = self.run.verdict(steps, started=started, durable=durable)
        if wrong:
            self.problems.append(f"{self.history.name} after {state.at} operations, {state.how}: {'; '.join(wrong)}")

    def _steps_in(self, state: CrashState) -> set[int] | str:
        number = len(self.seen)
        path = self.directory / self.log_name
        state.write(self.directory, after=self._last)
        self._last = state
        thoroughly = number % self.reader_every == 0
        owned = number % self.owner_every == 0
        try:
            try:
                found = by_sql(path)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != READONLY:
                    raise
                found, owned = NOTHING, True  # its creation was interrupted: only an owner may roll it back
                thoroughly = False
            steps = {step_of(data) for _, _, name, data in found.events[len(self.base.events) :] if name == TYPE}
            wanted = self._wanted(steps)
            wrong = [] if found == wanted else [f"not what steps {sorted(steps)} leave: {difference(found, wanted)}"]
            if thoroughly and found is not NOTHING:
                self.read += 1
                wrong += quick_check(path)
                through = by_reader(path, wanted)
                if through != wanted:
                    wrong.append(f"the reader finds something else: {difference(through, wanted)}")
            if owned:
                self.owned += 1
                self._last = None  # an owner changes the files
                through, problems = by_owner(path, wanted)
                wrong += problems
                if through != wanted:
                    wrong.append(f"a new owner finds something else: {difference(through, wanted)}")
        except (sqlite3.Error, EventStoreError, ValueError) as error:
            self._last = None
            return f"unreadable: {error!r}"
        return "; ".join(wrong) or steps

    def _wanted(self, steps: set[int]) -> Found:
        key = tuple(sorted(steps))
        wanted = self._expected.get(key)
        if wanted is None:
            wanted = self._expected[key] = expected(self.history, key, self.base)
        return wanted


def difference(found: Found, wanted: Found) -> str:
    """The first part in which two logs differ."""
    for field in attrs.fields(Found):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if one != other:
            return f"{field.name}: {str(one)[-200:]} and not {str(other)[-200:]}"
    return "nothing"
