"""Reading a log file, in its own process or any other, in short pages that never pin the log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eventstore import attachments, snapshots
from eventstore.checksums import row_checksum
from eventstore.codec import OnUnknown, decode_value, encode_value
from eventstore.connections import ReaderPool
from eventstore.decoding import Decoding, NameTables
from eventstore.encryption import Unsealer, about_receipt
from eventstore.errors import BadRequest, CorruptLog, EventRefused, PositionNotFound
from eventstore.folding import fold
from eventstore.in_order import InOrder
from eventstore.naming import check_names
from eventstore.records import Attachment, Folded, Receipt, Record, Snapshot, StoreStatistics, StreamInfo, Verification
from eventstore.schema import PAGE_ROWS
from eventstore.waking import Listeners, waking

SCAN_POSITIONS = 20_000
"""Positions one filtered read looks through in one transaction, however few of them match."""

_FIRST = "SELECT value + 1 FROM meta WHERE key = 'removed_position'"
_HEAD = "SELECT coalesce((SELECT max(position) FROM events), (SELECT value FROM meta WHERE key = 'removed_position'))"
_STREAMS = (
    "SELECT name, coalesce((SELECT max(version) FROM events WHERE stream_id = streams.id), removed_version), epoch"
    " FROM streams"
)
_ONE_STREAM = _STREAMS + " WHERE name = ?"
_STREAMS_FROM = _STREAMS + " WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1 ORDER BY name"
_EVENTS = (
    "SELECT position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id,"
    " cause, command_id, correlation_id, depth, data FROM events"
)
_POSITIONS = " WHERE position > ? AND position <= ?"
_OF_TYPES = " AND type_id IN (SELECT id FROM types WHERE name IN (SELECT value FROM json_each(?)))"
_OF_STREAMS = " AND stream_id IN (SELECT id FROM streams WHERE name IN (SELECT value FROM json_each(?)))"
_FEW_TYPES = 16
_OF_ONE_TYPE = "+type_id = (SELECT id FROM types WHERE name = ?)"
"""For a few types: to look into a list SQLite makes two tables of 90 KiB, which stay with the thread that read."""
_OF_CATEGORY = (
    " AND stream_id IN (SELECT id FROM streams WHERE name = ?3 OR substr(name, 1, length(?3) + 1) = ?3 || '/')"
)
_IN_ORDER = " ORDER BY position LIMIT ?"
_OF_STREAM = (
    " WHERE stream_id = (SELECT id FROM streams WHERE name = ?) AND version > ? AND version <= ?"
    " ORDER BY version LIMIT ?"
)
_NAMES = {
    "streams": "SELECT id, name FROM streams WHERE id > ?",
    "types": "SELECT id, name FROM types WHERE id > ?",
    "boots": "SELECT id, name FROM boots WHERE id > ?",
}
_FOREVER = 2**63 - 1


class SqliteReader:
    """An ``EventReader`` on a log file."""

    def __init__(
        self,
        path: Path,
        pool: ReaderPool,
        *,
        unknown: OnUnknown,
        unsealer: Unsealer | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        self.path = path
        self._pool = pool
        self._unknown: OnUnknown = unknown
        self._unsealer = unsealer or Unsealer(path, None, pool.lend)
        self._listeners = listeners
        self._names = NameTables(lambda table, after: dict(self._all(_NAMES[table], (after,))))

    @property
    def locked(self) -> bool:
        """Whether the log is encrypted and no key was given: then only what lies in the clear can be read."""
        return self._unsealer.locked

    # --- events ---------------------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Position of the newest event, 0 when there is none."""
        return self._one(_HEAD)

    @property
    def first(self) -> int:
        """Position of the oldest event still kept, 1 when nothing was ever removed."""
        return self._one(_FIRST)

    def streams(self, prefix: str = "") -> Sequence[StreamInfo]:
        """The streams whose name starts with ``prefix``, by name."""
        return tuple(StreamInfo(*row) for row in self._all(_STREAMS_FROM, (prefix,)))

    def version(self, stream: str) -> int:
        """Version of a stream, 0 when it does not exist."""
        rows = self._all(_ONE_STREAM, (stream,))
        return int(rows[0][1]) if rows else 0

    def get(self, position: int) -> Record:
        """One record.

        Raises:
            PositionNotFound: no event has this position.
            UnknownEventType, CorruptEvent: it cannot be decoded.
        """
        rows = self._all(_EVENTS + " WHERE position = ?", (_clamp(position),))
        if not rows:
            raise PositionNotFound(position, self.first, self.head)
        return next(self._decoding().records(rows))

    def read(
        self,
        *,
        after: int = 0,
        up_to: int | None = None,
        types: Iterable[str] | None = None,
        streams: Iterable[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Record]:
        """Records in log order, positions in ``(after, up_to]``, optionally only of some types or some exact streams.

        Reads in short pages, so that a slow reader never pins the log. Sees what is committed when each page is read.
        """
        where = ""
        values: list[str] = []
        for field, sql, names in (("types", _OF_TYPES, types), ("streams", _OF_STREAMS, streams)):
            check_names(field, names)
            if names is None:
                continue
            wanted = list(names)
            listed = _json(wanted)
            if field == "types" and 0 < len(wanted) <= _FEW_TYPES:
                where += f" AND ({' OR '.join([_OF_ONE_TYPE] * len(wanted))})"
                values.extend(wanted)
            else:
                where += sql
                values.append(listed)
        self._pool.check_open()
        return self._read(after, up_to, where, values, limit)

    def read_stream(self, stream: str, *, after: int = 0, up_to: int | None = None) -> Iterator[Record]:
        """Records of one stream in order, versions in ``(after, up_to]``. Empty for a stream that does not exist."""
        self._pool.check_open()
        return self._read_stream(stream, _clamp(after), _FOREVER if up_to is None else _clamp(up_to))

    def fold(
        self,
        stream: str,
        evolve: Callable[[Any, Any], Any],
        state: Any,
        *,
        after: int = 0,
        up_to: int | None = None,
    ) -> Folded:
        """What a state becomes by the events of a stream in order, versions in ``(after, up_to]``.

        The shortest way from a stream to a state: reads and decodes nothing but the events themselves.

        Raises:
            EventsRemoved: some of these events are no longer kept; begin with a snapshot.
            UnknownEventType, CorruptEvent: one cannot be decoded.
        """
        bound = _FOREVER if up_to is None else _clamp(up_to)
        return fold(self._pool, self._decoding(), stream, evolve, state, after=_clamp(after), up_to=bound)

    def read_category(self, category: str, *, after: int = 0, up_to: int | None = None) -> Iterator[Record]:
        """Records of ``category`` and of every ``category/…`` stream in log order, positions in ``(after, up_to]``."""
        self._pool.check_open()
        return self._read(after, up_to, _OF_CATEGORY, [category], None)

    def tail(self, *, after: int = 0, poll_s: float = 0.1, stop: Callable[[], bool] | None = None) -> Iterator[Record]:
        """Like ``read``, then wait for more, for ever or until ``stop()`` is true."""
        self._pool.check_open()
        return self._tail(after, poll_s, stop or _never)

    def position_at(self, wall_s: float) -> int:
        """The last position recorded at or before a wall-clock time, 0 when there is none."""
        sql = "SELECT position FROM events WHERE wall_us <= ? ORDER BY position DESC LIMIT 1"
        rows = self._all(sql, (_clamp(wall_s * 1e6),))
        return int(rows[0][0]) if rows else 0

    # --- beside the events ----------------------------------------------------------------------------------------

    def snapshot(self, stream: str, *, schema: str | None = None, up_to: int | None = None) -> Snapshot | None:
        """The newest snapshot of a stream at or below a version, optionally only of one schema.

        One whose checksum is wrong is passed over for the next older one: the log still has the truth.
        """
        with self._pool.lend() as connection:
            return snapshots.newest(connection, stream, schema=schema, up_to=up_to, unsealer=self._unsealer)

    def cursor(self, consumer: str) -> int | None:
        """How far a consumer has read, None when it never stored a cursor."""
        rows = self._all("SELECT position FROM cursors WHERE consumer = ?", (consumer,))
        return int(rows[0][0]) if rows else None

    def receipt(self, command_id: str) -> Receipt | None:
        """The remembered reply to a command, if it is still kept."""
        rows = self._all("SELECT * FROM receipts WHERE command_id = ?", (command_id,))
        if not rows:
            return None
        _, _, _, reply, *checksum = rows[0]  # one of the first schema has no such column
        try:
            if checksum not in ([], [None], [row_checksum(command_id, reply)]):
                raise ValueError("its checksum is wrong")
            return Receipt(command_id, decode_value(self._unsealer.beside(about_receipt(command_id), reply)))
        except ValueError as error:
            msg = f"the receipt of command {command_id!r}: {error}"
            raise CorruptLog(msg) from error

    def attachment(self, key: str) -> Attachment:
        """The bytes kept under a key.

        Raises:
            AttachmentNotFound: there are none.
            CorruptAttachment: they are not what was stored.
        """
        with self._pool.lend() as connection:
            return attachments.fetch(connection, key, self._unsealer)

    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        """The bytes kept under each of these keys, in the order of the keys, many read at once.

        ``next`` raises for one that is missing or damaged, and the call after that goes on with the one behind it.

        Raises:
            AttachmentNotFound, CorruptAttachment: when it is reached, as by ``attachment``.
            BadRequest: ``keys`` is one text, where several are asked for.
        """
        self._pool.check_open()
        check_names("keys", keys)

        def read(page: Sequence[str]) -> Mapping[str, tuple[bytes, Any]]:
            with self._pool.lend() as connection:
                return attachments.fetch_each(connection, _json(page))

        return InOrder(keys, read, lambda key, row: attachments.opened(key, row, self._unsealer))

    def attachment_keys(self, prefix: str = "") -> Sequence[str]:
        """The keys kept, in order."""
        with self._pool.lend() as connection:
            return attachments.keys(connection, prefix)

    # --- the whole ------------------------------------------------------------------------------------------------

    def verify(self) -> Verification:
        """Read everything and report what is wrong: gaps, checksums, the hash chain, what cannot be decoded."""
        from eventstore.integrity import verify  # not needed to live

        return verify(self._pool, self.path, unknown=self._unknown, unsealer=self._unsealer)

    def statistics(self) -> StoreStatistics:
        """This moment's counts."""
        return StoreStatistics(
            head=self.head,
            streams=self._one("SELECT count(*) FROM streams"),
            events_appended=0,
            batches_appended=0,
            failures=0,
            size_bytes=self._size_bytes(),
            owner_epoch=0,
        )

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._pool.lend() as connection:
            return connection.execute(sql, values).fetchall()

    def _one(self, sql: str) -> int:
        rows = self._all(sql)
        if not rows or not isinstance(rows[0][0], int):
            raise CorruptLog("where it begins or ends is not there")
        return rows[0][0]

    def _decoding(self) -> Decoding:
        return Decoding(self._names, self._unknown, self._unsealer)

    def _read(
        self, after: int, up_to: int | None, where: str, values: Sequence[Any], limit: int | None
    ) -> Iterator[Record]:
        sql = _EVENTS + _POSITIONS + where + _IN_ORDER
        after = _clamp(after)
        bound = _FOREVER if up_to is None else _clamp(up_to)
        left = _FOREVER if limit is None else limit
        decoding = self._decoding()
        while left > 0 and after < bound:
            rows_wanted = min(PAGE_ROWS, left)
            window_end = min(bound, _clamp(after + SCAN_POSITIONS)) if where else bound
            with self._pool.lend() as connection:
                # The head before the page: what is committed between the two is then not skipped, only not seen yet.
                head = connection.execute(_HEAD).fetchone()[0] if where else 0
                rows = connection.execute(sql, (after, window_end, *values, rows_wanted)).fetchall()
            yield from decoding.records(rows)
            left -= len(rows)
            if len(rows) == rows_wanted:
                after = _onwards(after, rows[-1][0])
            elif window_end >= min(bound, head) or not where:
                return
            else:
                after = window_end

    def _read_stream(self, stream: str, after: int, up_to: int) -> Iterator[Record]:
        decoding = self._decoding()
        while after < up_to:
            rows = self._all(_EVENTS + _OF_STREAM, (stream, after, up_to, PAGE_ROWS))
            yield from decoding.records(rows)
            if len(rows) < PAGE_ROWS:
                return
            after = _onwards(after, rows[-1][2])

    def _tail(self, after: int, poll_s: float, stop: Callable[[], bool]) -> Iterator[Record]:
        with waking(self._listeners) as woken:
            while not stop():
                woken.clear()
                for record in self._read(after, None, "", (), None):
                    after = record.position
                    yield record
                    if stop():
                        return
                woken.wait(poll_s)

    def _forget_names(self) -> None:
        """After an unknown outcome: what was read before it was settled may not be what holds."""
        self._names.forget()

    def _size_bytes(self) -> int:
        size = 0
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size  # never open it: closing it would drop SQLite's locks on the file
        return size


def _onwards(after: int, last: int) -> int:
    """Where the next page begins. On damaged pages SQLite goes in circles."""
    if last <= after:
        raise CorruptLog("its events are out of order")
    return last


def _clamp(number: float) -> int:
    """The nearest number that SQLite has: positions beyond it hold nothing either."""
    return round(max(-_FOREVER, min(_FOREVER, number)))


def _json(names: Iterable[str]) -> str:
    wanted = list(names)
    try:
        return encode_value(wanted).decode()
    except EventRefused as error:
        raise BadRequest("names", wanted, error.reason) from error


def _never() -> bool:
    return False
