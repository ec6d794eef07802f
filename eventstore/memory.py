"""A store in memory, with every promise of the one on disk but that of still being there after the process."""

from __future__ import annotations

import os
from collections.abc import Callable

import attrs

from eventstore.codec import OnUnknown
from eventstore.errors import EventStoreError
from eventstore.group import Entry, GroupCommit
from eventstore.memory_log import MemoryLog
from eventstore.memory_reader import MemoryReader
from eventstore.prepare import PreparedBatch, check_name, prepare
from eventstore.records import Appended, Batch, Grant, Instant, Lease, Retained, Retention, StoreStatistics
from eventstore.removable import check_retention
from eventstore.waking import Listeners


class MemoryStore(MemoryReader):
    """An ``EventStore`` in memory, for tests and for agents that need not survive.

    Args:
        clock: stamps events; the system's where none is given.
        unknown: what reading does with an event that is not known here.
        log: what an earlier store kept, to go on with; this one takes it over, and the earlier one is fenced.
    """

    def __init__(
        self,
        clock: Callable[[], Instant] | None = None,
        *,
        unknown: OnUnknown = "raise",
        log: MemoryLog | None = None,
    ) -> None:
        if clock is None:
            from eventstore.opening import system_instant

            clock = system_instant
        listeners = Listeners()
        super().__init__(MemoryLog() if log is None else log, unknown=unknown, listeners=listeners)
        self._clock = clock
        self._commits_heard = listeners
        self._group: GroupCommit[PreparedBatch] = GroupCommit(self._commit, self._tell)
        self._events = self._batches = self._repeated = self._failures = self._commits = self._largest_commit = 0
        with self.log.lock:
            self.log.owner_epoch += 1
            self._owner_epoch = self.log.owner_epoch

    @property
    def owner_epoch(self) -> int:
        """Fencing token of this ownership, higher than any before it."""
        return self._owner_epoch

    @property
    def lease(self) -> Lease:
        """This ownership. It ends with ``close`` or with the process, by no clock."""
        return Lease(self._owner_epoch, f"memory:{os.getpid()}", None)

    def renew(self) -> Lease:
        """Look whether the log is still owned.

        Raises:
            Fenced: another owner has taken it.
            StoreClosed: this one let go of it.
        """
        log = self._open()
        with log.lock:
            log.check_owner(self._owner_epoch)
        return self.lease

    def acquire(self, stream: str) -> Grant:
        """Take a stream over: from now on only the returned epoch may append to it.

        Raises:
            Fenced: another owner has taken the log.
        """
        check_name("stream", stream)
        log = self._open()
        with log.lock:
            log.check_owner(self._owner_epoch)
            return Grant(stream, *log.raise_epoch(stream))

    def append(self, batch: Batch) -> Appended:
        """Make a batch true, all of it or none.

        Raises:
            WrongVersion, Fenced, EventRefused, BadRequest, IdempotencyConflict: nothing was stored.
        """
        prepared = prepare(batch)
        self._open()
        return self._group.commit(prepared, prepared.weight)

    def submit(self, batch: Batch) -> Entry[PreparedBatch]:
        """Hand in a batch and go on. Batches of one thread are stored in the order they were handed in.

        Raises:
            EventRefused, BadRequest: as ``append``; every other error comes from ``Pending.result``.
        """
        prepared = prepare(batch)
        self._open()
        return self._group.hand_in(prepared, prepared.weight)

    def barrier(self) -> None:
        """Store what was handed in.

        Raises:
            Fenced: another owner has taken the log.
        """
        log = self._open()
        self._group.flush()
        with log.lock:
            log.check_owner(self._owner_epoch)

    def retain(self, retention: Retention) -> Retained:
        """Remove the oldest events that may go.

        Raises:
            BadRequest: a limit makes no sense, or there is none.
            Fenced: another owner has taken the log.
        """
        check_retention(retention)
        log = self._open()
        now = self._clock()
        with log.lock:
            log.check_owner(self._owner_epoch)
            return log.remove(retention, now.wall_s)

    def settle(self) -> int:
        """Nothing is ever unknown here."""
        self._open()
        return self._owner_epoch

    def subscribe(self, listener: Callable[[int, frozenset[str]], None]) -> Callable[[], None]:
        """Call ``listener(head, type names)`` after each append of events, on the appending thread.

        Raises:
            BadRequest: it cannot be called.
        """
        return self._commits_heard.subscribe(listener)

    def close(self) -> None:
        """Store what was handed in and refuse further use. Idempotent."""
        if not self._closed:
            self._group.flush()
        super().close()

    def statistics(self) -> StoreStatistics:
        """This moment's counts."""
        return attrs.evolve(
            super().statistics(),
            events_appended=self._events,
            batches_appended=self._batches,
            failures=self._failures,
            owner_epoch=self._owner_epoch,
            commits=self._commits,
            largest_commit=self._largest_commit,
            repeated=self._repeated,
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _commit(self, entries: list[Entry[PreparedBatch]]) -> None:
        """Store a group of batches, each on its own checks."""
        log = self._open()
        instant = self._clock()
        with log.lock:
            log.check_owner(self._owner_epoch)
            for entry in entries:
                try:
                    entry.appended, new = log.write(entry.item, instant)
                except EventStoreError as error:
                    entry.error = error
                    continue
                entry.repeated = not new
                self._events += entry.item.weight - 1 if new else 0
                self._batches += new
                self._repeated += not new
            self._commits += 1
            self._largest_commit = max(self._largest_commit, len(entries))

    def _tell(self, entries: list[Entry[PreparedBatch]]) -> None:
        new = [entry for entry in entries if entry.appended is not None and not entry.repeated]
        types = frozenset[str]().union(*[entry.item.types for entry in new])
        if types:
            self._commits_heard.notify(max(entry.result().last_position for entry in new), types)
