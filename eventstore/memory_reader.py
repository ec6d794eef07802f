"""Reading what a store in memory keeps, in pages, so that a reader never sees half of a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from eventstore.asked import OnRemoved, check_callable, check_range, check_seconds, check_tail, check_text, check_whole
from eventstore.codec import OnUnknown, decode_events, decode_value
from eventstore.errors import (
    AttachmentNotFound,
    CorruptEvent,
    EventsRemoved,
    PositionNotFound,
    StoreClosed,
    UnknownEventType,
)
from eventstore.in_order import InOrder
from eventstore.memory_log import MemoryLog, Stored
from eventstore.naming import check_names, listed
from eventstore.records import (
    Attachment,
    Folded,
    Problem,
    Receipt,
    Record,
    Snapshot,
    StoreStatistics,
    StreamInfo,
    Verification,
)
from eventstore.tailing import follow
from eventstore.waking import Listeners


class MemoryReader:
    """An ``EventReader`` of a log in memory."""

    def __init__(self, log: MemoryLog, *, unknown: OnUnknown, listeners: Listeners | None = None) -> None:
        self.log = log
        """What is kept, for another store to go on with."""
        self._unknown: OnUnknown = unknown
        self._listeners = listeners
        self._closed = False

    # --- events ---------------------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Position of the newest event, 0 when there is none."""
        log = self._open()
        with log.lock:
            return log.head

    @property
    def first(self) -> int:
        """Position of the oldest event still kept, 1 when nothing was ever removed."""
        return self._open().removed + 1

    def streams(self, prefix: str = "") -> Sequence[StreamInfo]:
        """The streams whose name starts with ``prefix``, by name."""
        check_text("prefix", prefix)
        log = self._open()
        with log.lock:
            found = [StreamInfo(name, stream.version, stream.epoch) for name, stream in log.streams.items()]
        return tuple(sorted((info for info in found if info.name.startswith(prefix)), key=lambda info: info.name))

    def version(self, stream: str) -> int:
        """Version of a stream, 0 when it does not exist."""
        check_text("stream", stream)
        log = self._open()
        with log.lock:
            return log.stream(stream).version

    def get(self, position: int) -> Record:
        """One record.

        Raises:
            PositionNotFound: no event has this position.
            UnknownEventType, CorruptEvent: it cannot be decoded.
        """
        check_whole("position", position)
        log = self._open()
        with log.lock:
            if not log.removed < position <= log.head:
                raise PositionNotFound(position, log.removed + 1, log.head)
            stored = log.events[position - log.removed - 1]
        return self._record(stored)

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
        """Records in log order, positions in ``(after, up_to]``, optionally only of some types or exact streams.

        From 0, or with ``removed="skip"``, it begins with the oldest that is still kept.

        Raises:
            EventsRemoved: when it gets there: events after the last that was given, or after ``after``, were removed.
            BadRequest: an argument is not of its kind.
        """
        check_range(after, up_to, removed)
        if limit is not None:
            check_whole("limit", limit)
        wanted_types, wanted_streams = listed("types", types), listed("streams", streams)
        self._open()

        def wanted(stored: Stored) -> bool:
            return (wanted_types is None or stored.type in wanted_types) and (
                wanted_streams is None or stored.stream in wanted_streams
            )

        return self._read(after, up_to, wanted, limit, removed)

    def read_stream(
        self, stream: str, *, after: int = 0, up_to: int | None = None, removed: OnRemoved = "raise"
    ) -> Iterator[Record]:
        """Records of one stream in order, versions in ``(after, up_to]``. Empty for a stream that does not exist.

        From 0, or with ``removed="skip"``, it begins with the oldest that is still kept.

        Raises:
            EventsRemoved, BadRequest: as ``read``.
        """
        check_text("stream", stream)
        check_range(after, up_to, removed)
        self._open()
        return self._read_stream(stream, after, up_to, removed)

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

        Raises:
            EventsRemoved: some of these events are no longer kept; begin with a snapshot.
            UnknownEventType, CorruptEvent: one cannot be decoded.
        """
        check_text("stream", stream)
        check_callable("evolve", evolve, "a state and an event")
        check_range(after, up_to)
        version = after = max(after, 0)
        while True:
            log = self._open()
            with log.lock:
                removed = log.stream(stream).removed
                page = log.stream_page(stream, version)
            if version < removed and (up_to is None or version < up_to):
                raise EventsRemoved(stream, version, removed)
            for stored in page:
                if up_to is not None and stored.version > up_to:
                    return Folded(state, version)
                version = stored.version
                for event in self._decode(stored):
                    state = evolve(state, event)
            if not page:
                return Folded(state, version)

    def read_category(
        self, category: str, *, after: int = 0, up_to: int | None = None, removed: OnRemoved = "raise"
    ) -> Iterator[Record]:
        """As ``read``, of ``category`` and every ``category/…`` stream."""
        check_text("category", category)
        check_range(after, up_to, removed)
        self._open()
        return self._read(after, up_to, lambda stored: f"{stored.stream}/".startswith(f"{category}/"), None, removed)

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
            EventsRemoved: it lagged behind: a new tail after ``error.removed`` goes on, or one with ``removed="skip"``.
            BadRequest: an argument is not of its kind.
        """
        check_tail(after, poll_s, stop, removed)
        self._open()
        return self._tail(after, poll_s, stop or (lambda: False), removed)

    def position_at(self, wall_s: float) -> int:
        """The last position recorded at or before a wall-clock time, 0 when there is none."""
        check_seconds("wall_s", wall_s)
        log = self._open()
        with log.lock:
            return next((stored.position for stored in reversed(log.events) if stored.recorded_at.wall_s <= wall_s), 0)

    def snapshot(self, stream: str, *, schema: str | None = None, up_to: int | None = None) -> Snapshot | None:
        """The newest snapshot of a stream at or below a version, optionally only of one schema."""
        check_text("stream", stream)
        if schema is not None:
            check_text("schema", schema)
        if up_to is not None:
            check_whole("up_to", up_to)
        log = self._open()
        with log.lock:
            kept = log.stream(stream).snapshots
            for version in sorted(kept, reverse=True):
                if (up_to is None or version <= up_to) and (schema is None or kept[version].schema == schema):
                    return kept[version]
        return None

    def cursor(self, consumer: str) -> int | None:
        """How far a consumer has read, None when it never stored a cursor."""
        check_text("consumer", consumer)
        return self._open().cursors.get(consumer)

    def receipt(self, command_id: str) -> Receipt | None:
        """The remembered reply to a command, if it is still kept."""
        check_text("command_id", command_id)
        kept = self._open().receipts.get(command_id)
        return Receipt(command_id, decode_value(kept[1])) if kept is not None else None

    def attachment(self, key: str) -> Attachment:
        """The bytes kept under a key.

        Raises:
            AttachmentNotFound: there are none.
        """
        check_text("key", key)
        try:
            return self._open().attachments[key]
        except KeyError:
            raise AttachmentNotFound(key) from None

    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        """The bytes kept under each of these keys, in the order of the keys, many read at once.

        ``next`` raises for one that is missing or damaged, and the call after that goes on with the one behind it.

        Raises:
            AttachmentNotFound: when it is reached, as by ``attachment``.
            BadRequest: ``keys`` is one text, where several are asked for.
        """
        check_names("keys", keys)

        def read(page: Sequence[str]) -> Mapping[str, Attachment]:
            log = self._open()
            with log.lock:
                return {key: log.attachments[key] for key in page if key in log.attachments}

        self._open()
        return InOrder(keys, read, _found)

    def attachment_keys(self, prefix: str = "") -> Sequence[str]:
        """The keys kept, in order."""
        check_text("prefix", prefix)
        log = self._open()
        with log.lock:
            return tuple(sorted(key for key in log.attachments if key.startswith(prefix)))

    def verify(self) -> Verification:
        """Decode everything and report what cannot be."""
        log = self._open()
        with log.lock:
            kept, head = log.events[:], log.head
            streams, attachments = len(log.streams), len(log.attachments)
            snapshots = sum(len(stream.snapshots) for stream in log.streams.values())
        problems = []
        for stored in kept:
            try:
                self._decode(stored)
            except (UnknownEventType, CorruptEvent) as error:
                problems.append(Problem("decode", stored.position, str(error)))
        return Verification(len(kept), streams, snapshots, attachments, tuple(problems), head)

    def statistics(self) -> StoreStatistics:
        """This moment's counts."""
        log = self._open()
        with log.lock:
            return StoreStatistics(log.head, len(log.streams), 0, 0, 0, 0, 0)

    def close(self) -> None:
        """Refuse further use. Idempotent."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _open(self) -> MemoryLog:
        if self._closed:
            msg = "this handle was closed"
            raise StoreClosed(msg)
        return self.log

    def _read(
        self,
        after: int,
        up_to: int | None,
        wanted: Callable[[Stored], bool],
        limit: int | None,
        removed: OnRemoved = "skip",
        *,
        begun: bool = False,
    ) -> Iterator[Record]:
        left = limit
        begun = begun or after > 0
        while (up_to is None or after < up_to) and (left is None or left > 0):
            page, gone = self._page(after)
            if begun and removed == "raise" and gone > after:
                raise EventsRemoved(None, after, gone)
            if not page:
                return
            begun = True
            for stored in page:
                if (up_to is not None and stored.position > up_to) or (left is not None and left <= 0):
                    return
                if wanted(stored):
                    left = None if left is None else left - 1
                    yield self._record(stored)
            after = page[-1].position

    def _page(self, after: int) -> tuple[list[Stored], int]:
        """What comes next, and up to where events were removed when it was looked at."""
        log = self._open()
        with log.lock:
            return log.page(after), log.removed

    def _read_stream(self, stream: str, after: int, up_to: int | None, removed: OnRemoved) -> Iterator[Record]:
        begun = after > 0
        while up_to is None or after < up_to:
            log = self._open()
            with log.lock:
                page, gone = log.stream_page(stream, after), log.stream(stream).removed
            if begun and removed == "raise" and gone > after:
                raise EventsRemoved(stream, after, gone)
            begun = True
            for stored in page:
                if up_to is not None and stored.version > up_to:
                    return
                yield self._record(stored)
            if not page:
                return
            after = page[-1].version

    def _tail(self, after: int, poll_s: float, stop: Callable[[], bool], removed: OnRemoved) -> Iterator[Record]:
        def read(after: int, *, begun: bool) -> Iterator[Record]:
            return self._read(after, None, lambda _stored: True, None, removed, begun=begun)

        def last_removed() -> int:
            return self._open().removed

        return follow(after, read, last_removed, poll_s=poll_s, stop=stop, listeners=self._listeners)

    def _decode(self, stored: Stored) -> tuple[object, ...]:
        return decode_events(stored.position, stored.type, stored.schema_version, stored.data, self._unknown)

    def _record(self, stored: Stored) -> Record:
        return Record(
            stored.position,
            stored.stream,
            stored.version,
            stored.type,
            stored.schema_version,
            self._decode(stored),
            stored.recorded_at,
            stored.cause,
            stored.command_id,
            stored.correlation_id,
            stored.depth,
            stored.data,
        )


def _found(key: str, kept: Attachment | None) -> Attachment:
    if kept is None:
        raise AttachmentNotFound(key)
    return kept
