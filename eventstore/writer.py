"""The one connection that writes a log: one transaction per batch, under a lock, with every check inside it.

Three outcomes, and never a fourth: stored, certainly not stored, unknown. A commit that fails may still be found by the
next process, so from then on nothing is accepted until ``settle`` has committed a new owner epoch over it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable
from typing import TypeVar

from eventstore import attachments, snapshots
from eventstore.checksums import Header, chain_anchor, chain_next
from eventstore.connections import closed_error, primary_code
from eventstore.errors import (
    AppendFailed,
    BadRequest,
    EventStoreError,
    Fenced,
    OutcomeUnknown,
    StorageFull,
    WrongVersion,
)
from eventstore.forking import abandon_in_children, leak
from eventstore.prepare import RECEIPT_AGE_US, RECEIPTS_KEPT, PreparedBatch, PreparedWrite
from eventstore.records import ANY_VERSION, Appended, Durability, Grant, Instant
from eventstore.schema import configure_writer, set_synchronous

T = TypeVar("T")

MAX_RELAXED = 1000
"""Relaxed commits in a row before one waits for the disk all the same: until then the WAL only grows."""
PRUNE_EVERY = 1000
"""Receipts written between two looks for old ones."""
PRUNE_AT_ONCE = 4 * PRUNE_EVERY

_BARRIER = "UPDATE meta SET value = value + 1 WHERE key = 'barrier'"
"""A commit that waits for the disk takes every earlier one along, but only if it writes something itself."""
_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LAST = "SELECT position, chain FROM events ORDER BY position DESC LIMIT 1"
_STREAM = (
    "SELECT id, epoch, coalesce((SELECT max(version) FROM events WHERE stream_id = streams.id), removed_version)"
    " FROM streams WHERE name = ?"
)
_CURSOR = "INSERT INTO cursors VALUES (?1, ?2) ON CONFLICT (consumer) DO UPDATE SET position = ?2"
_RECEIPT = "INSERT INTO receipts (command_id, created_us, reply) VALUES (?, ?, ?) ON CONFLICT (command_id) DO NOTHING"
_NUMBER = {
    "boots": ("INSERT INTO boots (name) VALUES (?) ON CONFLICT DO NOTHING", "SELECT id FROM boots WHERE name = ?"),
    "types": ("INSERT INTO types (name) VALUES (?) ON CONFLICT DO NOTHING", "SELECT id FROM types WHERE name = ?"),
}
_PRUNE = (
    "DELETE FROM receipts WHERE id IN (SELECT id FROM receipts ORDER BY id LIMIT ?)"
    " AND (created_us < ? OR id <= (SELECT max(id) FROM receipts) - ?)"
)


class Writer:
    """Owns the writing connection. ``open_connection`` is called again where a connection is beyond repair."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        open_connection: Callable[[], sqlite3.Connection],
        clock: Callable[[], Instant],
    ) -> None:
        self._connection = connection
        self._open = open_connection
        self._clock = clock
        self._token = uuid.uuid4().hex
        """Tells this ownership from every other, where epochs alone could be equal by chance after a failed commit."""
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._full: bool | None = None
        """What the connection's ``synchronous`` is known to be."""
        self._doubt: str | None = None
        """Why the outcome of something is unknown, while it is."""
        self._reopen = False
        self._relaxed = 0
        """Commits that the disk may not have yet."""
        self._numbers: dict[tuple[str, str], int] = {}
        """Ids of types and boots that are known to be committed, or belong to the transaction under way."""
        self._receipts_since_prune = PRUNE_EVERY  # the first receipt after opening looks at once
        self.owner_epoch = 0
        self.events_appended = 0
        self.batches_appended = 0
        self.failures = 0
        abandon_in_children(self)

    # --- what a store offers --------------------------------------------------------------------------------------

    def take_ownership(self) -> None:
        """Commit a new owner epoch: whoever owned the log before is fenced from now on."""
        with self._lock:
            configure_writer(self._connection)
            self._full = True
            self.owner_epoch = self._transaction(self._bump_owner, check_owner=False)

    def acquire(self, stream: str) -> Grant:
        """Commit a new epoch of a stream, which may be new itself."""

        def bump(connection: sqlite3.Connection) -> Grant:
            stream_id, epoch, version = self._stream(connection, stream)
            connection.execute("UPDATE streams SET epoch = ? WHERE id = ?", (epoch + 1, stream_id))
            return Grant(stream, epoch + 1, version)

        with self._lock:
            self._check_usable()
            return self._transaction(bump)

    def append(self, batch: PreparedBatch) -> Appended:
        """Commit a batch."""
        with self._lock:
            try:
                self._check_usable()
                strict = batch.durability is Durability.STRICT
                appended = self._transaction(lambda connection: self._write(connection, batch), strict=strict)
            except (AppendFailed, OutcomeUnknown):
                self.failures += 1
                raise
            self.batches_appended += 1
            self.events_appended += sum(len(write.events) for write in batch.writes)
            return appended

    def barrier(self) -> None:
        """Make relaxed appends durable."""
        with self._lock:
            self._check_usable()
            if self._relaxed:
                self._transaction(lambda connection: None)

    def settle(self) -> int:
        """Commit a new owner epoch over whatever a failed commit left behind."""
        with self._lock:
            self._check_open()
            if self._doubt is not None:
                if self._reopen:
                    self._replace_connection()
                self._reopen = True  # the next attempt, if this one fails
                if self._relaxed:
                    self._rescue_relaxed()
                self.owner_epoch = self._transaction(self._bump_owner)
                self._reopen = False
            return self.owner_epoch

    def close(self) -> None:
        """Close the connection. What was appended relaxed is made durable first, where the disk lets us."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._closed:
                return
            with contextlib.suppress(EventStoreError):  # relaxed data may be lost: that is their class
                if self._relaxed and self._doubt is None:
                    self._transaction(lambda connection: None)
            self._closed = True
            self._connection.close()

    def abandon(self) -> None:
        """Never touch the parent's connection from a child. The lock may be held by a thread that is not here."""
        self._closed = True
        leak(self._connection)

    # --- one transaction ------------------------------------------------------------------------------------------

    def _transaction(
        self, work: Callable[[sqlite3.Connection], T], *, strict: bool = True, check_owner: bool = True
    ) -> T:
        """Commit what ``work`` does, or nothing. The caller holds the lock."""
        connection = self._connection
        strict = strict or self._relaxed >= MAX_RELAXED
        try:
            if connection.in_transaction:  # an asynchronous exception came between a failure and its rollback
                self._roll_back(connection)
            if self._full is not strict:
                self._full = None
                set_synchronous(connection, full=strict)
                self._full = strict
            connection.execute("BEGIN IMMEDIATE")
            if check_owner:
                self._check_owner(connection)
            result = work(connection)
            if strict and self._relaxed:
                connection.execute(_BARRIER)
        except BaseException as error:
            self._roll_back(connection)
            if isinstance(error, (sqlite3.Error, OverflowError)):
                raise _failure(error) from error
            raise
        self._commit(connection)
        self._relaxed = 0 if strict else self._relaxed + 1
        return result

    def _commit(self, connection: sqlite3.Connection) -> None:
        # In doubt from here until COMMIT has returned, so that an exception at any point leaves the right answer.
        self._doubt = "the commit did not return"
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._doubt = str(error)
            self._roll_back(connection)
            raise OutcomeUnknown(self._doubt) from error
        self._doubt = None

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        self._numbers.clear()  # some may be of the transaction that is undone here
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._doubt = self._doubt or f"the rollback failed: {error}"
            self._reopen = True

    def _rescue_relaxed(self) -> None:
        """Copy the WAL into the file before anything is built on it.

        After a failed fsync the kernel may call lost pages clean. Relaxed commits among them would never reach the
        disk, and recovery would stop there: before every later commit, however durable.
        """
        try:
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise _failure(error) from error
        if busy:
            raise AppendFailed("somebody reads the log for so long that it cannot be settled")
        self._relaxed = 0

    def _check_usable(self) -> None:
        self._check_open()
        if self._doubt is not None:
            raise OutcomeUnknown(self._doubt)

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self._pid)

    def _replace_connection(self) -> None:
        self._numbers.clear()
        try:
            connection = self._open()
            try:
                configure_writer(connection)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise _failure(error) from error
        old, self._connection, self._full = self._connection, connection, True
        with contextlib.suppress(sqlite3.Error):  # it is given up either way
            old.close()

    # --- what is written ------------------------------------------------------------------------------------------

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        epoch, token = connection.execute("SELECT epoch, token FROM owner").fetchone()
        if token != self._token:
            raise Fenced("this log", self.owner_epoch, epoch)

    def _bump_owner(self, connection: sqlite3.Connection) -> int:
        connection.execute("UPDATE owner SET epoch = epoch + 1, token = ?", (self._token,))
        return int(connection.execute("SELECT epoch FROM owner").fetchone()[0])

    def _write(self, connection: sqlite3.Connection, batch: PreparedBatch) -> Appended:
        position, chain = self._end(connection)
        instant = self._clock()
        wall_us = round(instant.wall_s * 1e6)
        stamp = (wall_us, round(instant.monotonic_s * 1e6), instant.boot_id)
        first = position
        versions: dict[str, int] = {}
        for write in batch.writes:
            position, chain, versions[write.stream] = self._write_stream(connection, write, position, chain, stamp)
        for cursor in batch.cursors:
            connection.execute(_CURSOR, (cursor.consumer, cursor.position))
        if batch.receipts:
            connection.executemany(_RECEIPT, [(command_id, wall_us, reply) for command_id, reply in batch.receipts])
            self._prune_receipts(connection, len(batch.receipts), wall_us)
        if batch.discard:
            attachments.discard(connection, batch.discard)
        for attachment in batch.attachments:
            attachments.write(connection, attachment, wall_us)
        for snapshot in batch.snapshots:
            stream_id, epoch, version = self._stream(connection, snapshot.stream)
            if epoch and snapshot.stream not in versions:  # only a write of the stream proves its epoch
                raise Fenced(f"stream {snapshot.stream!r}", 0, epoch)
            if snapshot.version > version:
                raise BadRequest("snapshot version", snapshot.version, f"the stream is at {version}")
            snapshots.write(connection, stream_id, snapshot)
        return Appended(min(first + 1, position), position, versions)

    def _write_stream(
        self,
        connection: sqlite3.Connection,
        write: PreparedWrite,
        position: int,
        chain: bytes,
        stamp: tuple[int, int, str],
    ) -> tuple[int, bytes, int]:
        """Check and insert one stream's events. Returns the new end of the log and of the stream."""
        stream = write.stream
        stream_id, epoch, version = self._stream(connection, stream)
        if (write.epoch or 0) != epoch:
            raise Fenced(f"stream {stream!r}", write.epoch or 0, epoch)
        if write.expected_version not in (ANY_VERSION, version):
            raise WrongVersion(stream, write.expected_version, version)
        wall_us, monotonic_us, boot = stamp
        boot_id = self._number(connection, "boots", boot)
        rows = []
        for event in write.events:
            cause = position if event.after_previous else event.cause
            position += 1
            version += 1
            if cause is not None and cause >= position:
                raise BadRequest("cause", cause, f"the event itself will be at position {position}")
            type_name, schema_version, data, _, _, command_id, correlation_id, depth = event
            why = (cause, command_id, correlation_id, depth)
            header: Header = (position, stream, version, type_name, schema_version, wall_us, monotonic_us, boot, *why)
            chain = chain_next(chain, header, data)
            type_id = self._number(connection, "types", type_name)
            ids = (position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id)
            rows.append((*ids, *why, data, chain))
        connection.executemany(_INSERT, rows)
        return position, chain, version

    def _end(self, connection: sqlite3.Connection) -> tuple[int, bytes]:
        """Position and chain of the last event, or of the last one removed, or where a log begins."""
        last: tuple[int, bytes] | None = connection.execute(_LAST).fetchone()
        if last is None:
            meta = dict(connection.execute("SELECT key, value FROM meta"))
            return meta["removed_position"], meta["removed_chain"] or chain_anchor(meta["log_id"])
        return last

    def _stream(self, connection: sqlite3.Connection, name: str) -> tuple[int, int, int]:
        """Id, epoch and version of a stream, which is created where there is none."""
        row: tuple[int, int, int] | None = connection.execute(_STREAM, (name,)).fetchone()
        if row is None:
            added = connection.execute("INSERT INTO streams (name) VALUES (?)", (name,))
            return int(added.lastrowid or 0), 0, 0
        return row

    def _number(self, connection: sqlite3.Connection, table: str, name: str) -> int:
        """The id of a type or boot. One that this transaction adds is forgotten again with a rollback."""
        number = self._numbers.get((table, name))
        if number is None:
            insert, select = _NUMBER[table]
            connection.execute(insert, (name,))
            number = self._numbers[table, name] = int(connection.execute(select, (name,)).fetchone()[0])
        return number

    def _prune_receipts(self, connection: sqlite3.Connection, added: int, wall_us: int) -> None:
        self._receipts_since_prune += added
        if self._receipts_since_prune >= PRUNE_EVERY:
            limit = max(PRUNE_AT_ONCE, 2 * added)
            connection.execute(_PRUNE, (limit, wall_us - RECEIPT_AGE_US, RECEIPTS_KEPT))
            self._receipts_since_prune = 0


def _failure(error: Exception) -> AppendFailed:
    """The typed form of an error met before any commit was tried."""
    if isinstance(error, sqlite3.Error):
        code = primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            return StorageFull(str(error))
        if code == sqlite3.SQLITE_BUSY:
            return AppendFailed(str(error), hint="something else is writing to this file; find out what")
    return AppendFailed(str(error))
