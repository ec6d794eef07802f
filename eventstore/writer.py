"""Appending: callers' batches come together in transactions, and the mark outside the log follows what is durable."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
from collections.abc import Callable

from eventstore.errors import AppendFailed, OutcomeUnknown
from eventstore.group import Entry, GroupCommit
from eventstore.mark import MarkFile
from eventstore.prepare import PreparedBatch
from eventstore.records import Appended, Durability, Grant, Instant, Lease
from eventstore.transactions import Begin, Statement, Transactions
from eventstore.waking import Listeners
from eventstore.writing import BatchWriter, Ends, Outcome, Repeated


class Writer:
    """Owns a log: everything that changes it goes through here.

    Args:
        connection: the one that writes.
        open_connection: opens another in its place, where it is beyond repair.
        clock: stamps events.
        mark: follows what is durable.
        listeners: told of committed events.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        open_connection: Callable[[], sqlite3.Connection],
        clock: Callable[[], Instant],
        mark: MarkFile,
        listeners: Listeners,
    ) -> None:
        self._clock = clock
        self._mark = mark
        self._listeners = listeners
        self._ends = Ends()
        self._batches = BatchWriter(self._ends)
        self.transactions = Transactions(
            connection, open_connection, durable=self._note_durable, undone=self._ends.forget
        )
        self._group: GroupCommit[PreparedBatch] = GroupCommit(self._commit, self._tell)
        self.hand_in = self._group.hand_in
        """Hands in a batch, given with its weight, that is committed when somebody waits."""
        self.events_appended = 0
        self.batches_appended = 0
        self.repeated = 0
        """Batches that were stored already."""
        self.commits = 0
        self.largest_commit = 0
        self.failures = 0

    @property
    def owner_epoch(self) -> int:
        """Fencing token of this ownership."""
        return self.transactions.owner_epoch

    @property
    def lease(self) -> Lease:
        """Ownership lasts as long as the process keeps the lock beside the file."""
        return Lease(self.owner_epoch, f"{socket.gethostname()}:{os.getpid()}", None)

    def acquire(self, stream: str) -> Grant:
        """Commit a new epoch of a stream, which may be new itself."""
        epoch, version = self.transactions.run(lambda connection: self._batches.raise_epoch(connection, stream))
        return Grant(stream, epoch, version)

    def append(self, batch: PreparedBatch) -> Appended:
        """Commit a batch, together with whatever others wait."""
        if batch.more:
            return self._group.commit(batch, batch.weight)
        appended = self._group.commit_alone(batch, self._commit_alone)
        if appended is None:
            return self._group.commit(batch, batch.weight)
        if self._listeners.any and batch.weight > 1:
            self._listeners.notify(appended.last_position, frozenset(batch.types))
        return appended

    def barrier(self) -> None:
        """Commit what was handed in, and make relaxed commits durable."""
        self._group.flush()
        self.transactions.barrier()

    def waiting(self) -> list[Entry[PreparedBatch]]:
        """What was handed in by callers that went on, and is not stored yet, in order."""
        return self._group.waiting()

    def flush(self) -> None:
        """Commit what was handed in; raises what the storage refused of it."""
        self._group.flush()

    def store_at_once(self) -> None:
        """From now on whoever hands in commits: nobody may come to do so later."""
        self._group.store_at_once()

    def settle(self) -> int:
        """Commit a new owner epoch over whatever a failed commit left behind."""
        return self.transactions.settle()

    def close(self) -> None:
        """Commit what was handed in, then close the connection and the mark."""
        if not self.transactions.foreign:
            with contextlib.suppress(AppendFailed, OutcomeUnknown):  # who handed it in can still ask for its result
                self._group.flush()
        self.transactions.close()
        self._mark.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _commit_alone(self, batch: PreparedBatch) -> Appended:
        """One transaction for a batch of nothing but events: as ``_commit``, without what only several need."""
        batches, transactions = self._batches, self.transactions
        outcomes: list[Outcome] = []

        def write(begin: Begin) -> Statement | None:
            nonlocal outcomes
            batches.begin(begin, self._clock())
            outcomes = batches.write(begin, (batch,))
            return batches.flush(begin, transactions.token)

        try:
            transactions.insert(write, strict=batch.durability is Durability.STRICT)
        except (AppendFailed, OutcomeUnknown):
            self.failures += 1
            raise
        self.commits += 1
        self.largest_commit = self.largest_commit or 1
        outcome = outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Appended)
        self.events_appended += batch.weight - 1
        self.batches_appended += 1
        return outcome

    def _commit(self, entries: list[Entry[PreparedBatch]]) -> None:
        """One transaction for a group of batches, each on its own checks."""
        batches, group, transactions = self._batches, self._group, self.transactions
        outcomes: list[Outcome] = []
        strict = False
        for entry in entries:
            if entry.item.durability is Durability.STRICT:
                strict = True
                break

        def write(begin: Begin) -> Statement | None:
            nonlocal outcomes
            batches.begin(begin, self._clock())
            outcomes = batches.write(begin, [entry.item for entry in entries])
            statement = batches.flush(begin, transactions.token)
            group.wake()
            return statement

        if transactions.busy:
            group.wake()
        try:
            transactions.insert(write, strict=strict)
        except (AppendFailed, OutcomeUnknown):
            self.failures += len(entries)
            raise
        weight = stored = repeated = 0
        for entry, outcome in zip(entries, outcomes, strict=True):  # a refusal too is sure only now that they are there
            if type(outcome) is Appended:
                entry.appended = outcome
                weight += entry.weight
                stored += 1
            elif isinstance(outcome, Repeated):
                entry.appended = outcome.appended
                entry.repeated = True
                repeated += 1
            else:
                assert isinstance(outcome, Exception)
                entry.error = outcome
        self.events_appended += weight - stored
        self.batches_appended += stored
        self.repeated += repeated
        self.commits += 1
        self.largest_commit = max(self.largest_commit, len(entries))

    def _tell(self, entries: list[Entry[PreparedBatch]]) -> None:
        """Tell the listeners of what was committed, once for all of it."""
        if not self._listeners.any:
            return
        new = [entry for entry in entries if entry.appended is not None and not entry.repeated]
        types = frozenset[str]().union(*[entry.item.types for entry in new])
        if types:
            self._listeners.notify(max(entry.result().last_position for entry in new), types)

    def _note_durable(self) -> None:
        ends = self._ends
        if ends.position is not None:
            self._mark.write(ends.position, ends.chain, ends.commits)
