"""What one transaction writes: several batches, each checked and then written whole, or refused without a trace.

The ends of the log and of its streams are kept in memory between transactions: the owner is checked in each, so nobody
else can have moved them. Whatever undoes a transaction forgets them.
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from itertools import chain
from typing import TypeAlias
from zlib import crc32

import msgspec

from eventstore import attachments, snapshots
from eventstore.checksums import HASH_SIZE, row_checksum
from eventstore.errors import BadRequest, CorruptLog, Fenced, IdempotencyConflict, WrongVersion
from eventstore.prepare import RECEIPT_AGE_US, RECEIPTS_KEPT, PreparedBatch, PreparedWrite
from eventstore.records import ANY_VERSION, Appended, Instant
from eventstore.schema import COUNT_COMMIT, commits_without_events, log_end

MAX_STREAMS_KNOWN = 10_000
"""Streams whose ends are kept in memory; past it all are forgotten and read again as they are needed."""
PRUNE_EVERY = 1000
"""Receipts, or idempotency keys, written between two looks for old ones."""
PRUNE_AT_ONCE = 4 * PRUNE_EVERY

_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERTS = tuple(
    (size, f"INSERT INTO events VALUES {', '.join([_ROW] * size)}")  # noqa: S608 - text of ours
    for size in (25, 5, 1)
)
"""For so many events in one statement: each statement lets other threads run, and this one waits for them."""
_STREAM = (
    "SELECT id, epoch, coalesce((SELECT max(version) FROM events WHERE stream_id = streams.id), removed_version)"
    " FROM streams WHERE name = ?"
)
_CURSOR = "INSERT INTO cursors VALUES (?1, ?2) ON CONFLICT (consumer) DO UPDATE SET position = ?2"
_RECEIPT = (
    "INSERT INTO receipts (command_id, created_us, reply, checksum) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (command_id) DO NOTHING"
)
_APPEND = "INSERT INTO appends (idempotency_key, created_us, digest, result, checksum) VALUES (?, ?, ?, ?, ?)"
_APPENDED = "SELECT digest, result, checksum FROM appends WHERE idempotency_key = ?"
_NUMBER = {
    "boots": ("INSERT INTO boots (name) VALUES (?) ON CONFLICT DO NOTHING", "SELECT id FROM boots WHERE name = ?"),
    "types": ("INSERT INTO types (name) VALUES (?) ON CONFLICT DO NOTHING", "SELECT id FROM types WHERE name = ?"),
}
_PRUNE = {
    table: f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT ?)"  # noqa: S608 - names of ours
    f" AND (created_us < ? OR id <= (SELECT max(id) FROM {table}) - ?)"
    for table in ("receipts", "appends")
}
_encode = msgspec.json.Encoder().encode
_decode_result = msgspec.json.Decoder(Appended).decode


Row: TypeAlias = tuple[object, ...]
"""A row of the events table, in the order of its columns."""


class Ends:
    """Where the log and its streams end, as of the last commit or of the transaction under way."""

    def __init__(self) -> None:
        self.position: int | None = None
        """Of the last event; None while it is not known."""
        self.chain = b""
        self.commits = 0
        """Commits without events, known whenever the position is."""
        self.streams: dict[str, tuple[int, int, int]] = {}
        """Id, epoch and version by name."""
        self.types: dict[str, int] = {}
        self.boots: dict[str, int] = {}
        """Ids by name."""

    def forget(self) -> None:
        """Know nothing any more."""
        self.position = None
        self.streams.clear()
        self.types.clear()
        self.boots.clear()


class BatchWriter:
    """Writes batches into the transaction under way: ``begin``, ``write`` for each, ``flush``."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._rows: list[Row] = []
        """Events of this transaction that are not inserted yet."""
        self._wall_us = self._monotonic_us = self._boot_id = 0
        self._boot = ""
        self._since_prune = dict.fromkeys(_PRUNE, PRUNE_EVERY)  # the first one after opening looks at once
        self.repeated = 0
        """Batches that were stored before."""

    def begin(self, connection: sqlite3.Connection, instant: Instant) -> None:
        """Begin a transaction, in which everything is stamped with one instant."""
        ends = self._ends
        self._rows = []
        if ends.position is None:
            _, ends.position, ends.chain = log_end(connection)
            ends.commits = commits_without_events(connection)
        if len(ends.streams) >= MAX_STREAMS_KNOWN:
            ends.streams.clear()
        self._wall_us, self._monotonic_us = round(instant.wall_s * 1e6), round(instant.monotonic_s * 1e6)
        self._boot = boot = instant.boot_id
        self._boot_id = ends.boots.get(boot) or _number(connection, "boots", ends.boots, boot)

    def flush(self, connection: sqlite3.Connection) -> None:
        """Insert the events of all batches of the transaction."""
        rows, start = self._rows, 0
        for size, insert in _INSERTS:
            while start + size <= len(rows):
                connection.execute(insert, tuple(chain.from_iterable(rows[start : start + size])))
                start += size

    def write(self, connection: sqlite3.Connection, batch: PreparedBatch) -> Appended:
        """Write a batch, or refuse it with nothing written.

        Raises:
            WrongVersion, Fenced, BadRequest, IdempotencyConflict: it is refused.
            sqlite3.Error: the transaction must be rolled back.
        """
        ends = self._ends
        assert ends.position is not None
        if batch.idempotency_key is not None:
            earlier = self._earlier(connection, batch.idempotency_key, batch.digest)
            if earlier is not None:
                self.repeated += 1
                return earlier
        first = ends.position
        versions = self._check(connection, batch, first)
        for write in batch.writes:
            self._write_events(connection, write)
        position = ends.position
        appended = Appended(first + 1 if position > first else position, position, versions)
        if batch.more:
            self._write_rest(connection, batch, self._wall_us, appended)
        return appended

    def stream(self, connection: sqlite3.Connection, name: str) -> tuple[int, int, int]:
        """Id, epoch and version of a stream, which is created where there is none."""
        known = self._known(connection, name)
        if known is None:
            added = connection.execute("INSERT INTO streams (name) VALUES (?)", (name,))
            known = self._ends.streams[name] = int(added.lastrowid or 0), 0, 0
        return known

    def raise_epoch(self, connection: sqlite3.Connection, name: str) -> tuple[int, int]:
        """Give a stream its next epoch. Returns that and the stream's version."""
        stream_id, epoch, version = self.stream(connection, name)
        connection.execute("UPDATE streams SET epoch = ? WHERE id = ?", (epoch + 1, stream_id))
        self._ends.streams[name] = stream_id, epoch + 1, version
        self._count_commit(connection)
        return epoch + 1, version

    # --- checking: reads only -------------------------------------------------------------------------------------

    def _known(self, connection: sqlite3.Connection, name: str) -> tuple[int, int, int] | None:
        streams = self._ends.streams
        known = streams.get(name)
        if known is None:
            known = connection.execute(_STREAM, (name,)).fetchone()
            if known is not None:
                streams[name] = known
        return known

    def _earlier(self, connection: sqlite3.Connection, key: str, digest: bytes) -> Appended | None:
        """The result of the batch that was stored under this key."""
        row = connection.execute(_APPENDED, (key,)).fetchone()
        if row is None:
            return None
        stored, result, checksum = row
        if row_checksum(key, stored, result) != checksum:
            raise CorruptLog(f"what was stored under the idempotency key {key!r} is not what was written")
        if stored != digest:
            raise IdempotencyConflict(key)
        return _decode_result(result)

    def _check(self, connection: sqlite3.Connection, batch: PreparedBatch, position: int) -> dict[str, int]:
        """Check a batch that would follow a position. Returns the new version of each stream."""
        streams = self._ends.streams
        versions: dict[str, int] = {}
        for stream, expected_version, given_epoch, events, causes in batch.writes:
            _, epoch, version = streams.get(stream) or self._known(connection, stream) or (0, 0, 0)
            if stream in versions:
                version = versions[stream]
            if (given_epoch or 0) != epoch:
                raise Fenced(f"stream {stream!r}", given_epoch or 0, epoch)
            if version != expected_version != ANY_VERSION:
                raise WrongVersion(stream, expected_version, version)
            for index, cause in causes:
                if cause > position + index:
                    where = position + index + 1
                    raise BadRequest("cause", cause, f"the event itself will be at position {where}")
            position += len(events)
            versions[stream] = version + len(events)
        if batch.more:
            self._check_more(connection, batch, versions, position)
        return versions

    def _check_more(
        self, connection: sqlite3.Connection, batch: PreparedBatch, versions: dict[str, int], position: int
    ) -> None:
        """What is in a batch beside events, against where the log and its streams will end."""
        for snapshot in batch.snapshots:
            _, epoch, version = self._known(connection, snapshot.stream) or (0, 0, 0)
            if epoch and snapshot.stream not in versions:  # only a write of the stream proves its epoch
                raise Fenced(f"stream {snapshot.stream!r}", 0, epoch)
            version = versions.get(snapshot.stream, version)
            if snapshot.version > version:
                raise BadRequest("snapshot version", snapshot.version, f"the stream is at {version}")
        for cursor in batch.cursors:
            if cursor.position > position:
                raise BadRequest("cursor position", cursor.position, f"the log ends at position {position}")

    # --- writing: refuses nothing any more ------------------------------------------------------------------------

    def _write_events(self, connection: sqlite3.Connection, write: PreparedWrite) -> None:
        """Make rows of one stream's events."""
        ends = self._ends
        stream = write.stream
        stream_id, epoch, version = ends.streams.get(stream) or self.stream(connection, stream)
        position, last = ends.position, ends.chain
        assert position is not None
        wall_us, monotonic_us, boot, boot_id = self._wall_us, self._monotonic_us, self._boot, self._boot_id
        type_ids, rows = ends.types, self._rows
        for kind, schema_version, data, cause, after_previous, command_id, correlation_id, depth in write.events:
            if after_previous:
                cause = position  # noqa: PLW2901 - known only here
            type_id = type_ids.get(kind) or _number(connection, "types", type_ids, kind)
            position += 1
            version += 1
            # As checksums.record_bytes, chain_next and record_checksum say, without their calls: once per event stored.
            header = (
                position, stream, version, kind, schema_version, wall_us, monotonic_us, boot,
                cause, command_id, correlation_id, depth,
            )  # fmt: skip
            record = _encode(header) + data
            last = blake2b(last + record, digest_size=HASH_SIZE).digest()
            rows.append((
                position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id,
                cause, command_id, correlation_id, depth, data, last, crc32(record),
            ))  # fmt: skip
        ends.position, ends.chain = position, last
        ends.streams[stream] = stream_id, epoch, version

    def _write_rest(
        self, connection: sqlite3.Connection, batch: PreparedBatch, wall_us: int, appended: Appended
    ) -> None:
        """Everything of a batch but its events."""
        if not any(write.events for write in batch.writes):
            self._count_commit(connection)
        for cursor in batch.cursors:
            connection.execute(_CURSOR, (cursor.consumer, cursor.position))
        if batch.receipts:
            receipts = [(name, wall_us, reply, row_checksum(name, reply)) for name, reply in batch.receipts]
            connection.executemany(_RECEIPT, receipts)
            self._prune(connection, "receipts", len(batch.receipts), wall_us)
        if batch.discard:
            attachments.discard(connection, batch.discard)
        for attachment in batch.attachments:
            attachments.write(connection, attachment, wall_us)
        for snapshot in batch.snapshots:
            snapshots.write(connection, self.stream(connection, snapshot.stream)[0], snapshot)
        if batch.idempotency_key is not None:
            key, digest, result = batch.idempotency_key, batch.digest, _encode(appended)
            connection.execute(_APPEND, (key, wall_us, digest, result, row_checksum(key, digest, result)))
            self._prune(connection, "appends", 1, wall_us)

    def _count_commit(self, connection: sqlite3.Connection) -> None:
        """Or nothing outside the log could tell that this commit was lost: the position stays where it is."""
        connection.execute(COUNT_COMMIT)
        self._ends.commits = commits_without_events(connection)

    def _prune(self, connection: sqlite3.Connection, table: str, added: int, wall_us: int) -> None:
        self._since_prune[table] += added
        if self._since_prune[table] >= PRUNE_EVERY:
            limit = max(PRUNE_AT_ONCE, 2 * added)
            connection.execute(_PRUNE[table], (limit, wall_us - RECEIPT_AGE_US, RECEIPTS_KEPT))
            self._since_prune[table] = 0


def _number(connection: sqlite3.Connection, table: str, known: dict[str, int], name: str) -> int:
    """The id of a type or boot, which is added where there is none."""
    insert, select = _NUMBER[table]
    connection.execute(insert, (name,))
    number = known[name] = int(connection.execute(select, (name,)).fetchone()[0])
    return number
