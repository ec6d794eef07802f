"""The watchdog's log: written before anything is done. While it cannot be written, what is to be waits in memory.

Talks to the event store. A watchdog that would not act because a disk is full could not keep a process alive: it goes
on, says so, and puts on record what happened as soon as that is possible.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from eventstore.codec import encode_state
from eventstore.errors import (
    BadKey,
    BadRequest,
    CryptographyMissing,
    EventRefused,
    EventStoreError,
    LogLocked,
    OutcomeUnknown,
)
from eventstore.records import Batch, NewEvent, Retention, Snapshot, StreamWrite
from lrm_actors.domain.behavior import Spec
from lrm_actors.inspect.keys import log_key
from lrm_actors.outer.log_files import LogFiles
from lrm_actors.runtime.recovery import recover_state

if TYPE_CHECKING:
    from eventstore.protocol import EventStore

RETRY_S = 10.0
"""Seconds between two tries to write a log that could not be written."""
PENDING_MAX = 10_000
"""Events that wait for that at most; the oldest go."""
REFUSALS = (BadRequest, EventRefused)
"""What is wrong with an event, and will be whenever it is tried."""
MAX_VOID = 16
"""Stretches of positions that are known to name nothing; with more, the two oldest become one."""
SNAPSHOT_EVERY = 500
KEPT = 20_000
"""Newest events that stay in the log."""
TRIM_EVERY = 1_000


class Recorder:
    """The log of one actor, the only one in it.

    Args:
        path: of the log.
        spec: the actor.
        trouble: told in words that the log cannot be written, or can again.

    Raises:
        LogLocked: another watchdog owns it.
        BadKey, CryptographyMissing: there is a key in ``LRM_LOG_KEY``, and it cannot be used.
    """

    def __init__(self, path: Path, spec: Spec[Any], trouble: Callable[[str], object]) -> None:
        self.path = path
        self._spec = spec
        self._trouble = trouble
        self._files = LogFiles(path, trouble)
        self._store: EventStore | None = None
        self._epoch: int | None = None
        self._version = 0
        """Of the stream, as far as it is stored."""
        self._position = 0
        """Of the last event, stored or not; negative for as long as nobody knows where the log ends."""
        self._pending: list[NewEvent] = []
        self._lost = 0
        """Of those that waited: the oldest, which were given up."""
        self._void: list[tuple[int, int]] = []
        """After the first and up to the second: positions that were promised to events of which some were given up, so
        that others stand there now."""
        self._problem = ""
        self._retry_at_s = 0.0
        self._trimmed_at = 0
        self.state: Any = spec.initial
        """What the log says at the start."""
        try:
            self._open()
            self.state, self._version = recover_state(self._reading(), spec)
        except (LogLocked, BadKey, CryptographyMissing):
            self.close()
            raise
        except EventStoreError as error:
            self.close()
            self._store = None
            self._note(error)

    @property
    def unwritten(self) -> int:
        """Events that are decided and not in the log."""
        return len(self._pending) + self._lost

    @property
    def problem(self) -> str:
        """Why the log cannot be written; empty when it can."""
        return self._problem

    @property
    def next_look_s(self) -> float | None:
        """When its files are to be looked at next, on the monotonic clock; None while there is nothing to look at."""
        return None if self._store is None or self._problem else self._files.next_look_s

    def write(self, events: Sequence[object], cause: int | None, command_id: str) -> int:
        """Put events on record, each caused by the one before it; gives the position of the last, 0 if unknown.

        Where others that waited are given up meanwhile, the position names nothing any more, and is not taken as a
        cause.

        Args:
            events: at least one.
            cause: position of what caused the first; None: it comes from outside.
            command_id: of the command it was decided from.
        """
        if cause is not None and any(first < cause <= last for first, last in self._void):
            cause = None
        voided = len(self._void), self._void[-1:]
        for number, event in enumerate(events):
            self._pending.append(NewEvent(event, cause or None, bool(number), command_id, command_id))
        if self._store is not None:
            self._position += len(events)
        if not self._problem:
            self._flush()
        elif len(self._pending) > PENDING_MAX:
            self._lost += len(self._pending) - PENDING_MAX
            del self._pending[:-PENDING_MAX]
        is_known = self._store is not None and not self._lost and voided == (len(self._void), self._void[-1:])
        return self._position if is_known else 0

    def retry(self, state: Any) -> tuple[int, str] | None:
        """Try again to write what could not be written, now and then. Gives how much that was and why, once it could.

        Args:
            state: the actor's now.
        """
        if not self._problem or time.monotonic() < self._retry_at_s:
            return None
        waited, problem = self.unwritten, self._problem
        try:
            if self._store is None:
                self._open()
                self._version = self._reading().version(self._spec.name)
                self._pending = _from_here(self._pending, up_to=0)
                self._position += len(self._pending)
            else:
                self._store.settle()
                stored = self._store.version(self._spec.name) - self._version
                given_up = min(stored, self._lost)  # and were in the log all the same
                self._lost -= given_up
                del self._pending[: stored - given_up]
                self._version += stored
                if self._lost:
                    self._break_promises()
                else:
                    self._pending = _from_here(self._pending, up_to=self._position)
        except EventStoreError as error:
            self._note(error)
            return None
        if self._lost:
            self._trouble(f"the oldest {self._lost} of {waited} events that waited are left out of the log")
        self._problem, self._lost = "", 0
        self._flush()
        if self._problem:
            return None
        self._position = self._reading().head
        self._trouble("the log can be written again")
        self._keep_snapshot(state)
        return waited, problem

    def tend(self, state: Any) -> None:
        """Now and then keep a snapshot of the state, and let the oldest events go."""
        if self._store is None or self._problem or self._position - self._trimmed_at < TRIM_EVERY:
            return
        self._trimmed_at = self._position
        if self._position > KEPT:
            self._keep_snapshot(state)
            with contextlib.suppress(EventStoreError):
                self._store.retain(Retention(max_events=KEPT, newest_snapshot=True))

    def look(self) -> None:
        """Now and then see whether the files of the log are where they were, and write it anew where they are not."""
        if self._store is None or self._problem or not self._files.are_to_be_put_back(self._store):
            return
        with contextlib.suppress(EventStoreError):
            self._store.close()
        self._store = None
        try:
            self._open()
        except EventStoreError as error:
            self._note(error)

    def close(self) -> None:
        """Let go of the log. Never raises."""
        if self._store is not None:
            self._files.keep(self._store)
            with contextlib.suppress(EventStoreError):
                self._store.close()

    def _open(self) -> None:
        from eventstore.opening import open_store

        self._files.place()
        store = open_store(self.path, key=log_key())
        try:
            self._epoch = store.acquire(self._spec.name).epoch
            self._files.opened(store)
        except BaseException:
            store.close()
            raise
        self._store = store
        self._position = store.head

    def _reading(self) -> EventStore:
        assert self._store is not None
        return self._store

    def _flush(self) -> None:
        if self._store is None or not self._pending:
            return
        try:
            self._append(self._pending)
        except REFUSALS:
            self._flush_each()
        except EventStoreError as error:
            self._note(error)
        else:
            self._version += len(self._pending)
            self._pending.clear()

    def _flush_each(self) -> None:
        """Store what waits one by one, without what is refused for good: that would keep everything else waiting."""
        certain = self._break_promises()
        waiting, self._pending = self._pending, []
        refused, why = 0, ""
        for index, event in enumerate(waiting):
            (one,) = _from_here([event], up_to=certain)
            try:
                self._append([one])
            except REFUSALS as error:
                refused, why = refused + 1, str(error)
            except EventStoreError as error:
                self._pending = [one, *waiting[index + 1 :]]
                self._note(error)
                break
            else:
                self._version += 1
        with contextlib.suppress(EventStoreError):
            self._position = self._reading().head + len(self._pending)
        if refused:
            self._trouble(f"the log refuses {refused} events, which are left out of it: {why}")

    def _append(self, events: Sequence[NewEvent]) -> None:
        write = StreamWrite(self._spec.name, tuple(events), self._version, self._epoch)
        self._reading().append(Batch(writes=(write,)))

    def _break_promises(self) -> int:
        """Some of what waited is given up: the rest will stand elsewhere than was said, and so will their causes.

        Returns the last position that is certain.
        """
        certain = self._position - len(self._pending) - self._lost
        self._void.append((certain, self._position))
        if len(self._void) > MAX_VOID:
            (first, _), (_, last), *newer = self._void
            self._void = [(first, last), *newer]
        self._pending = _from_here(self._pending, up_to=certain)
        self._position = self._reading().head + len(self._pending)
        return certain

    def _keep_snapshot(self, state: Any) -> None:
        if self._store is None:
            return
        with contextlib.suppress(EventStoreError):
            kept = Snapshot(self._spec.name, self._version, self._spec.state_schema, encode_state(state))
            fence = StreamWrite(self._spec.name, (), self._version, self._epoch)
            self._store.append(Batch(writes=(fence,), snapshots=(kept,)))

    def _note(self, error: EventStoreError) -> None:
        unknown = " (whether the last of it is in there is not known)" if isinstance(error, OutcomeUnknown) else ""
        if not self._problem:
            self._trouble(f"the log cannot be written, so it goes on without: {error}{unknown}")
        self._problem = str(error)
        self._retry_at_s = time.monotonic() + RETRY_S


def _from_here(events: Sequence[NewEvent], *, up_to: int) -> list[NewEvent]:
    """The same, the first of them caused by none of the others, and all by nothing that stands behind a position."""

    def placed(event: NewEvent) -> NewEvent:
        cause = None if event.after_previous else event.cause
        kept = cause if cause is not None and cause <= up_to else None
        return msgspec.structs.replace(event, cause=kept, after_previous=False)

    return [event if event.after_previous and index else placed(event) for index, event in enumerate(events)]
