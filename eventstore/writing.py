"""What one transaction writes: several batches, each checked and then written whole, or refused without a trace.

The ends of the log and of its streams are kept in memory between transactions: the owner is checked in each, so nobody
else can have moved them. Whatever undoes a transaction forgets them. So batches of nothing but events of known types
and streams need no transaction until they are inserted.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeAlias
from zlib import crc32

import msgspec

from eventstore import attachments, snapshots
from eventstore.checksums import HASH_SIZE, row_checksum
from eventstore.errors import BadRequest, CorruptLog, EventStoreError, Fenced, IdempotencyConflict, WrongVersion
from eventstore.prepare import RECEIPT_AGE_US, RECEIPTS_KEPT, PreparedBatch
from eventstore.records import ANY_VERSION, Appended, Instant
from eventstore.schema import COUNT_COMMIT, commits_without_events, log_end
from eventstore.transactions import Begin, Statement

MAX_STREAMS_KNOWN = 10_000
"""Streams whose ends are kept in memory; past it all are forgotten and read again as they are needed."""
PRUNE_EVERY = 1000
"""Receipts, or idempotency keys, written between two looks for old ones."""
PRUNE_AT_ONCE = 4 * PRUNE_EVERY

NOTHING = -1
"""Stands for NULL in what is bound to an insert, where it can stand for nothing else: binding None takes far longer."""
ROW_VALUES = 11
"""How many values of an event are bound: what all of a transaction have in common is bound once for a statement."""


def _insert(size: int) -> str:
    """Inserts so many events, if the log is still owned by whoever has the token ?5; else it violates NOT NULL.

    Bound are the position before the first one, wall clock, monotonic clock, boot and token, then the values of each.
    """
    rows = []
    for number in range(size):
        stream, version, kind, schema, cause, command, *rest = (
            f"?{6 + ROW_VALUES * number + value}" for value in range(ROW_VALUES)
        )
        if number == 0:
            version = f"(SELECT {version} FROM owner WHERE id = 1 AND token = ?5)"  # noqa: S608 - text of ours
        cause, command = f"nullif({cause}, {NOTHING})", f"nullif({command}, {NOTHING})"
        values = f"?1 + {number + 1}", stream, version, kind, schema, "?2, ?3, ?4", cause, command, *rest
        rows.append(f"({', '.join(values)})")
    return f"INSERT INTO events VALUES {', '.join(rows)}"  # noqa: S608 - text of ours


def _insert_in_order(size: int) -> str:
    """The same of the same values, each bound where it stands: what is common comes from a row of its own."""
    rows = ", ".join(f"({number + 1}, {', '.join('?' * ROW_VALUES)})" for number in range(size))
    stream, version, kind, schema, cause, command, *rest = (f"row.column{2 + value}" for value in range(ROW_VALUES))
    version = f"(SELECT {version} FROM owner WHERE id = 1 AND token = said.token)"  # noqa: S608 - text of ours
    cause, command = f"nullif({cause}, {NOTHING})", f"nullif({command}, {NOTHING})"
    values = (
        "said.position + row.column1",
        stream,
        version,
        kind,
        schema,
        "said.wall, said.monotonic, said.boot",
        cause,
        command,
        *rest,
    )
    said = "SELECT ? AS position, ? AS wall, ? AS monotonic, ? AS boot, ? AS token"
    return f"INSERT INTO events SELECT {', '.join(values)} FROM ({said}) AS said CROSS JOIN (VALUES {rows}) AS row"  # noqa: S608 - text of ours


WARNS_OF_NUMBERS = (3, 12) <= sys.version_info < (3, 12, 4)
"""These take ``?1`` for a name, and warn at each value: https://github.com/python/cpython/issues/117995."""
_INSERTS = {size: (_insert_in_order if WARNS_OF_NUMBERS else _insert)(size) for size in (50, 25, *range(16, 0, -1))}
"""For so many events in one statement: each statement lets other threads run, and this one waits for them."""
_STREAM = (
    "SELECT id, epoch, coalesce((SELECT max(version) FROM events WHERE stream_id = streams.id), removed_version)"
    " FROM streams WHERE name = ?"
)
_CURSOR = "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (consumer) DO UPDATE SET position = excluded.position"
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
_UNHASHED = blake2b(digest_size=HASH_SIZE)
"""Copied for each event, which takes less than making another."""
_encode = msgspec.json.Encoder().encode
_decode_result = msgspec.json.Decoder(Appended).decode

REFUSALS = (WrongVersion, Fenced, BadRequest, IdempotencyConflict, CorruptLog)
"""What is wrong with one batch and says nothing of the others in its transaction."""


class Repeated(msgspec.Struct, frozen=True, gc=False):
    """A batch was stored before."""

    appended: Appended
    """Its result at that time."""


Outcome: TypeAlias = Appended | Repeated | EventStoreError
"""What became of a batch: stored now or before, or refused by one of ``REFUSALS``."""


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
        self._values: list[object] = []
        """``ROW_VALUES`` of each event of this transaction."""
        self._before = 0
        """Position before the first of them."""
        self._wall_us = self._monotonic_us = self._boot_id = 0
        self._boot = ""
        self._since_prune = dict.fromkeys(_PRUNE, PRUNE_EVERY)  # the first one after opening looks at once

    def begin(self, begin: Begin, instant: Instant) -> None:
        """Begin a transaction, in which everything is stamped with one instant."""
        ends = self._ends
        self._values = []
        if ends.position is None:
            _, ends.position, ends.chain = log_end(begin())
            ends.commits = commits_without_events(begin())
        self._before = ends.position
        if len(ends.streams) >= MAX_STREAMS_KNOWN:
            ends.streams.clear()
        self._wall_us, self._monotonic_us = round(instant.wall_s * 1e6), round(instant.monotonic_s * 1e6)
        self._boot = boot = instant.boot_id
        self._boot_id = ends.boots.get(boot) or _number(begin(), "boots", ends.boots, boot)

    def flush(self, begin: Begin, token: str) -> Statement | None:
        """Insert the events of all batches of the transaction but the last few.

        Returns the statement that inserts those; None where there are no events at all. It, and what is run here,
        violates NOT NULL where the log's owner has another token.
        """
        values, position = self._values, self._before
        left = len(values) // ROW_VALUES
        if not left:
            return None
        common = self._wall_us, self._monotonic_us, self._boot_id, token
        start = 0
        while left not in _INSERTS:
            size = next(size for size in _INSERTS if size < left)
            end = start + size * ROW_VALUES
            begin().execute(_INSERTS[size], [position, *common, *values[start:end]])
            start, position, left = end, position + size, left - size
        return _INSERTS[left], [position, *common, *(values[start:] if start else values)]

    def write(self, begin: Begin, batches: Iterable[PreparedBatch]) -> list[Outcome]:
        """Write each of some batches, or refuse it with nothing of it written. What becomes of each, once committed.

        Raises:
            sqlite3.Error: the transaction must be rolled back.
        """
        ends, outcomes = self._ends, list[Outcome]()
        position, last = ends.position, ends.chain
        assert position is not None
        wall_us, monotonic_us, boot = self._wall_us, self._monotonic_us, self._boot
        streams, type_ids = ends.streams, ends.types
        add, note, fresh = self._values.extend, outcomes.append, _UNHASHED.copy
        for batch in batches:
            first, more, writes = position, batch.more, batch.writes
            versions: dict[str, int] | None = None
            write = writes[0] if len(writes) == 1 else None
            if not (  # of most there is nothing to look up and nothing to refuse
                write is not None
                and not more
                and (known := streams.get(write.stream)) is not None
                and known[1] == (write.epoch or 0)
                and (write.expected_version == ANY_VERSION or write.expected_version == known[2])
                and not write.causes
            ):
                try:
                    if more and (earlier := self._earlier(begin, batch)) is not None:
                        note(Repeated(earlier))
                        continue
                    versions = self._check(begin, batch, position)
                except REFUSALS as error:
                    note(error)
                    continue
            for write in writes:
                stream = write.stream
                stream_id, epoch, version = streams.get(stream) or self.stream(begin(), stream)
                for kind, schema, data, cause, after_previous, command_id, correlation_id, depth in write.events:
                    if after_previous:
                        cause = position  # noqa: PLW2901 - known only here
                    type_id = type_ids.get(kind) or _number(begin(), "types", type_ids, kind)
                    position += 1
                    version += 1
                    # As checksums.record_bytes, chain_next and record_checksum say, without their calls: once per event
                    header = (
                        position, stream, version, kind, schema, wall_us, monotonic_us, boot,
                        cause, command_id, correlation_id, depth,
                    )  # fmt: skip
                    record = _encode(header) + data
                    hashed = fresh()
                    hashed.update(last)
                    hashed.update(record)
                    last = hashed.digest()
                    add((  # bytes are bound by way of an adapter that there is none of, and bytearrays at once
                        stream_id, version, type_id, schema,
                        NOTHING if cause is None else cause, NOTHING if command_id is None else command_id,
                        correlation_id, depth, bytearray(data), bytearray(last), crc32(record),
                    ))  # fmt: skip
                streams[stream] = stream_id, epoch, version
            appended = Appended(
                first + 1 if position > first else first, position, {stream: version} if versions is None else versions
            )
            if more:
                self._write_rest(begin(), batch, wall_us, appended)
            note(appended)
        ends.position, ends.chain = position, last
        return outcomes

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

    def _earlier(self, begin: Begin, batch: PreparedBatch) -> Appended | None:
        """The result of the batch that was stored under this one's key."""
        key = batch.idempotency_key
        row = None if key is None else begin().execute(_APPENDED, (key,)).fetchone()
        if key is None or row is None:
            return None
        stored, result, checksum = row
        if row_checksum(key, stored, result) != checksum:
            raise CorruptLog(f"what was stored under the idempotency key {key!r} is not what was written")
        if stored != batch.digest:
            raise IdempotencyConflict(key)
        return _decode_result(result)

    def _check(self, begin: Begin, batch: PreparedBatch, position: int) -> dict[str, int]:
        """Check a batch that would follow a position. Returns the new version of each stream."""
        streams = self._ends.streams
        versions: dict[str, int] = {}
        for write in batch.writes:
            stream, expected_version, given_epoch = write.stream, write.expected_version, write.epoch
            _, epoch, version = streams.get(stream) or self._known(begin(), stream) or (0, 0, 0)
            if stream in versions:
                version = versions[stream]
            if (given_epoch or 0) != epoch:
                raise Fenced(f"stream {stream!r}", given_epoch or 0, epoch)
            if version != expected_version != ANY_VERSION:
                raise WrongVersion(stream, expected_version, version)
            for index, cause in write.causes:
                if cause > position + index:
                    where = position + index + 1
                    raise BadRequest("cause", cause, f"the event itself will be at position {where}")
            added = len(write.events)
            position += added
            versions[stream] = version + added
        if batch.more:
            self._check_more(begin(), batch, versions, position)
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
