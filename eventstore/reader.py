"""Reading a log file, in its own process or any other, in short pages that never pin the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eventstore import attachments, snapshots
from eventstore.asked import OnRemoved, check_callable, check_range, check_seconds, check_tail, check_text, check_whole
from eventstore.checksums import row_checksum
from eventstore.codec import OnUnknown, decode_value, encode_value
from eventstore.connections import ReaderPool
from eventstore.decoding import Decoding, NameTables
from eventstore.encryption import Unsealer, about_receipt
from eventstore.errors import BadRequest, CorruptLog, EventRefused, PositionNotFound
from eventstore.folding import fold
from eventstore.in_order import InOrder
from eventstore.naming import check_names, listed
from eventstore.paging import EVENTS, FOREVER, HEAD, Pages, clamp
from eventstore.records import Attachment, Folded, Receipt, Record, Snapshot, StoreStatistics, StreamInfo, Verification
from eventstore.sizes import files_size
from eventstore.waking import Listeners

_FIRST = "SELECT value + 1 FROM meta WHERE key = 'removed_position'"
_STREAMS = (
    "SELECT name, coalesce((SELECT max(version) FROM events WHERE stream_id = streams.id), removed_version), epoch"
    " FROM streams"
)
_ONE_STREAM = _STREAMS + " WHERE name = ?"
_STREAMS_FROM = _STREAMS + " WHERE name >= ? AND substr(name, 1, length(?)) = ? ORDER BY name"
_OF_TYPES = " AND type_id IN (SELECT id FROM types WHERE name IN (SELECT value FROM json_each(?)))"
_OF_STREAMS = " AND stream_id IN (SELECT id FROM streams WHERE name IN (SELECT value FROM json_each(?)))"
_FEW_TYPES = 16
_OF_ONE_TYPE = "+type_id = (SELECT id FROM types WHERE name = ?)"
"""For a few types: to look into a list SQLite makes two tables of 90 KiB, which stay with the thread that read."""
_OF_CATEGORY = " AND stream_id IN (SELECT id FROM streams WHERE name = ? OR substr(name, 1, length(?) + 1) = ? || '/')"
_NAMES = {
    "streams": "SELECT id, name FROM streams WHERE id > ?",
    "types": "SELECT id, name FROM types WHERE id > ?",
    "boots": "SELECT id, name FROM boots WHERE id > ?",
}


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
    def pool(self) -> ReaderPool:
        """Its connections, for reading the file as a whole: the one that was opened, wherever that is now."""
        return self._pool

    @property
    def locked(self) -> bool:
        """Whether the log is encrypted and no key was given: then only what lies in the clear can be read."""
        return self._unsealer.locked

    # --- events ---------------------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Position of the newest event, 0 when there is none."""
        return self._one(HEAD)

    @property
    def first(self) -> int:
        """Position of the oldest event still kept, 1 when nothing was ever removed."""
        return self._one(_FIRST)

    def streams(self, prefix: str = "") -> Sequence[StreamInfo]:
        """The streams whose name starts with ``prefix``, by name."""
        check_text("prefix", prefix)
        return tuple(StreamInfo(*row) for row in self._all(_STREAMS_FROM, (prefix,) * 3))

    def version(self, stream: str) -> int:
        """Version of a stream, 0 when it does not exist."""
        check_text("stream", stream)
        rows = self._all(_ONE_STREAM, (stream,))
        return int(rows[0][1]) if rows else 0

    def get(self, position: int) -> Record:
        """One record.

        Raises:
            PositionNotFound: no event has this position.
            UnknownEventType, CorruptEvent: it cannot be decoded.
        """
        check_whole("position", position)
        rows = self._all(EVENTS + " WHERE position = ?", (clamp(position),))
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
        removed: OnRemoved = "raise",
    ) -> Iterator[Record]:
        """Records in log order, positions in ``(after, up_to]``, optionally only of some types or some exact streams.

        Reads in short pages, so that a slow reader never pins the log. Sees what is committed when each page is read.
        From 0, or with ``removed="skip"``, it begins with the oldest that is still kept.

        Raises:
            EventsRemoved: when it gets there: events after the last that was given, or after ``after``, were removed.
            UnknownEventType, CorruptEvent: when it gets there: one cannot be decoded.
            BadRequest: an argument is not of its kind.
        """
        check_range(after, up_to, removed)
        if limit is not None:
            check_whole("limit", limit)
        where = ""
        values: list[str] = []
        for field, sql, names in (("types", _OF_TYPES, types), ("streams", _OF_STREAMS, streams)):
            wanted = listed(field, names)
            if wanted is None:
                continue
            as_json = _json(wanted)
            if field == "types" and 0 < len(wanted) <= _FEW_TYPES:
                where += f" AND ({' OR '.join([_OF_ONE_TYPE] * len(wanted))})"
                values.extend(wanted)
            else:
                where += sql
                values.append(as_json)
        self._pool.check_open()
        return self._pages(removed).read(clamp(after), _end(up_to), where, values, limit)

    def read_stream(
        self, stream: str, *, after: int = 0, up_to: int | None = None, removed: OnRemoved = "raise"
    ) -> Iterator[Record]:
        """Records of one stream in order, versions in ``(after, up_to]``. Empty for a stream that does not exist.

        From 0, or with ``removed="skip"``, it begins with the oldest that is still kept.

        Raises:
            EventsRemoved, UnknownEventType, CorruptEvent, BadRequest: as ``read``.
        """
        check_text("stream", stream)
        check_range(after, up_to, removed)
        self._pool.check_open()
        return self._pages(removed).read_stream(stream, clamp(after), _end(up_to))

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
        check_text("stream", stream)
        check_callable("evolve", evolve, "a state and an event")
        check_range(after, up_to)
        return fold(self._pool, self._decoding(), stream, evolve, state, after=clamp(after), up_to=_end(up_to))

    def read_category(
        self, category: str, *, after: int = 0, up_to: int | None = None, removed: OnRemoved = "raise"
    ) -> Iterator[Record]:
        """Records of ``category`` and of every ``category/…`` stream in log order, positions in ``(after, up_to]``.

        From 0, or with ``removed="skip"``, it begins with the oldest that is still kept.

        Raises:
            EventsRemoved, UnknownEventType, CorruptEvent, BadRequest: as ``read``.
        """
        check_text("category", category)
        check_range(after, up_to, removed)
        self._pool.check_open()
        return self._pages(removed).read(clamp(after), _end(up_to), _OF_CATEGORY, [category] * 3)

    def tail(
        self,
        *,
        after: int = 0,
        poll_s: float = 0.1,
        stop: Callable[[], bool] | None = None,
        removed: OnRemoved = "raise",
    ) -> Iterator[Record]:
        """Like ``read``, then wait for more, for ever or until ``stop()`` is true.

        Raises:
            EventsRemoved: it lagged behind, and events that it would have given next were removed: a new tail after
                ``error.removed`` goes on behind them, and so does this one with ``removed="skip"``.
            UnknownEventType, CorruptEvent, BadRequest: as ``read``.
        """
        check_tail(after, poll_s, stop, removed)
        self._pool.check_open()
        return self._pages(removed).tail(clamp(after), poll_s, stop or _never, self._listeners)

    def position_at(self, wall_s: float) -> int:
        """The last position recorded at or before a wall-clock time, 0 when there is none."""
        check_seconds("wall_s", wall_s)
        sql = "SELECT position FROM events WHERE wall_us <= ? ORDER BY position DESC LIMIT 1"
        rows = self._all(sql, (clamp(wall_s * 1e6),))
        return int(rows[0][0]) if rows else 0

    # --- beside the events ----------------------------------------------------------------------------------------

    def snapshot(self, stream: str, *, schema: str | None = None, up_to: int | None = None) -> Snapshot | None:
        """The newest snapshot of a stream at or below a version, optionally only of one schema.

        One whose checksum is wrong is passed over for the next older one: the log still has the truth.
        """
        check_text("stream", stream)
        if schema is not None:
            check_text("schema", schema)
        if up_to is not None:
            check_whole("up_to", up_to)
        with self._pool.lend() as connection:
            return snapshots.newest(connection, stream, schema=schema, up_to=up_to, unsealer=self._unsealer)

    def cursor(self, consumer: str) -> int | None:
        """How far a consumer has read, None when it never stored a cursor."""
        check_text("consumer", consumer)
        rows = self._all("SELECT position FROM cursors WHERE consumer = ?", (consumer,))
        return int(rows[0][0]) if rows else None

    def receipt(self, command_id: str) -> Receipt | None:
        """The remembered reply to a command, if it is still kept."""
        check_text("command_id", command_id)
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
        check_text("key", key)
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
        check_text("prefix", prefix)
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

    def _pages(self, removed: OnRemoved) -> Pages:
        return Pages(self._pool, self._decoding, removed)

    def _forget_names(self) -> None:
        """After an unknown outcome: what was read before it was settled may not be what holds."""
        self._names.forget()

    def _size_bytes(self) -> int:
        return files_size(self.path)


def _end(up_to: int | None) -> int:
    return FOREVER if up_to is None else clamp(up_to)


def _json(names: Iterable[str]) -> str:
    wanted = list(names)
    try:
        return encode_value(wanted).decode()
    except EventRefused as error:
        raise BadRequest("names", wanted, error.reason) from error


def _never() -> bool:
    return False
