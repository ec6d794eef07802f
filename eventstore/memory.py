"""A store in memory, with every promise of the one on disk but that of still being there after the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import attrs

from eventstore.codec import OnUnknown, decode_events, decode_value
from eventstore.errors import (
    AttachmentNotFound,
    BadRequest,
    CorruptEvent,
    Fenced,
    PositionNotFound,
    StoreClosed,
    UnknownEventType,
    WrongVersion,
)
from eventstore.prepare import (
    RECEIPT_AGE_US,
    RECEIPTS_KEPT,
    SNAPSHOTS_KEPT,
    PreparedBatch,
    PreparedEvent,
    PreparedWrite,
    check_name,
    prepare,
)
from eventstore.records import (
    ANY_VERSION,
    Appended,
    Attachment,
    Batch,
    Grant,
    Instant,
    Problem,
    Receipt,
    Record,
    Snapshot,
    StoreStatistics,
    StreamInfo,
    Verification,
)
from eventstore.waking import Listeners, waking


@attrs.frozen
class _Stored:
    """One event as it is kept."""

    position: int
    stream: str
    version: int
    cause: int | None
    recorded_at: Instant
    event: PreparedEvent


@attrs.define
class _Stream:
    epoch: int = 0
    events: list[_Stored] = attrs.field(factory=list)
    snapshots: dict[int, Snapshot] = attrs.field(factory=dict)


class MemoryStore:
    """An ``EventStore`` in memory, for tests and for agents that need not survive."""

    def __init__(self, clock: Callable[[], Instant] | None = None, *, unknown: OnUnknown = "raise") -> None:
        if clock is None:
            from eventstore.opening import system_instant

            clock = system_instant
        self._clock = clock
        self._unknown: OnUnknown = unknown
        self._lock = threading.Lock()
        self._listeners = Listeners()
        self._log: list[_Stored] = []
        self._streams: dict[str, _Stream] = {}
        self._cursors: dict[str, int] = {}
        self._receipts: dict[str, tuple[int, bytes]] = {}
        self._attachments: dict[str, Attachment] = {}
        self._batches = 0
        self._failures = 0
        self._closed = False

    # --- reading --------------------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Position of the newest event, 0 when there is none."""
        self._check_open()
        return len(self._log)

    @property
    def first(self) -> int:
        """Position of the oldest event still kept: always 1."""
        self._check_open()
        return 1

    @property
    def owner_epoch(self) -> int:
        """Fencing token of this ownership: always 1, nobody else can own it."""
        return 1

    def streams(self, prefix: str = "") -> Sequence[StreamInfo]:
        """The streams whose name starts with ``prefix``, by name."""
        self._check_open()
        with self._lock:
            found = [StreamInfo(name, len(stream.events), stream.epoch) for name, stream in self._streams.items()]
        return tuple(sorted((info for info in found if info.name.startswith(prefix)), key=lambda info: info.name))

    def version(self, stream: str) -> int:
        """Version of a stream, 0 when it does not exist."""
        self._check_open()
        found = self._streams.get(stream)
        return len(found.events) if found is not None else 0

    def get(self, position: int) -> Record:
        """One record.

        Raises:
            PositionNotFound: no event has this position.
            UnknownEventType, CorruptEvent: it cannot be decoded.
        """
        self._check_open()
        if not 1 <= position <= len(self._log):
            raise PositionNotFound(position, 1, len(self._log))
        return self._record(self._log[position - 1])

    def read(
        self,
        *,
        after: int = 0,
        up_to: int | None = None,
        types: Iterable[str] | None = None,
        streams: Iterable[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Record]:
        """Records in log order, positions in ``(after, up_to]``, optionally only of some types or exact streams."""
        self._check_open()
        wanted_types = None if types is None else frozenset(types)
        wanted_streams = None if streams is None else frozenset(streams)

        def wanted(stored: _Stored) -> bool:
            return (wanted_types is None or stored.event.type in wanted_types) and (
                wanted_streams is None or stored.stream in wanted_streams
            )

        return self._read(after, up_to, wanted, limit)

    def read_stream(self, stream: str, *, after: int = 0, up_to: int | None = None) -> Iterator[Record]:
        """Records of one stream in order, versions in ``(after, up_to]``. Empty for a stream that does not exist."""
        self._check_open()
        found = self._streams.get(stream)
        return self._read_list(found.events if found is not None else [], after, up_to)

    def read_category(self, category: str, *, after: int = 0, up_to: int | None = None) -> Iterator[Record]:
        """Records of ``category`` and of every ``category/…`` stream in log order, positions in ``(after, up_to]``."""
        self._check_open()
        return self._read(after, up_to, lambda stored: f"{stored.stream}/".startswith(f"{category}/"), None)

    def tail(self, *, after: int = 0, poll_s: float = 0.1, stop: Callable[[], bool] | None = None) -> Iterator[Record]:
        """Like ``read``, then wait for more, for ever or until ``stop()`` is true."""
        self._check_open()
        return self._tail(after, poll_s, stop or (lambda: False))

    def position_at(self, wall_s: float) -> int:
        """The last position recorded at or before a wall-clock time, 0 when there is none."""
        self._check_open()
        return next((s.position for s in reversed(self._log) if s.recorded_at.wall_s <= wall_s), 0)

    def snapshot(self, stream: str, *, schema: str | None = None, up_to: int | None = None) -> Snapshot | None:
        """The newest snapshot of a stream at or below a version, optionally only of one schema."""
        self._check_open()
        with self._lock:
            kept = self._streams.get(stream, _Stream()).snapshots
            for version in sorted(kept, reverse=True):
                if (up_to is None or version <= up_to) and (schema is None or kept[version].schema == schema):
                    return kept[version]
        return None

    def cursor(self, consumer: str) -> int | None:
        """How far a consumer has read, None when it never stored a cursor."""
        self._check_open()
        return self._cursors.get(consumer)

    def receipt(self, command_id: str) -> Receipt | None:
        """The remembered reply to a command, if it is still kept."""
        self._check_open()
        kept = self._receipts.get(command_id)
        return Receipt(command_id, decode_value(kept[1])) if kept is not None else None

    def attachment(self, key: str) -> Attachment:
        """The bytes kept under a key.

        Raises:
            AttachmentNotFound: there are none.
        """
        self._check_open()
        try:
            return self._attachments[key]
        except KeyError:
            raise AttachmentNotFound(key) from None

    def attachment_keys(self, prefix: str = "") -> Sequence[str]:
        """The keys kept, in order."""
        self._check_open()
        with self._lock:
            return tuple(sorted(key for key in self._attachments if key.startswith(prefix)))

    def verify(self) -> Verification:
        """Decode everything and report what cannot be."""
        self._check_open()
        problems = []
        for stored in self._log[:]:
            try:
                self._record(stored)
            except (UnknownEventType, CorruptEvent) as error:
                problems.append(Problem("decode", stored.position, str(error)))
        with self._lock:
            snapshots = sum(len(stream.snapshots) for stream in self._streams.values())
            return Verification(len(self._log), len(self._streams), snapshots, len(self._attachments), tuple(problems))

    def statistics(self) -> StoreStatistics:
        """This moment's counts."""
        head = self.head
        return StoreStatistics(head, len(self._streams), head, self._batches, self._failures, 0, self.owner_epoch)

    # --- writing --------------------------------------------------------------------------------------------------

    def acquire(self, stream: str) -> Grant:
        """Take a stream over: from now on only the returned epoch may append to it."""
        check_name("stream", stream)
        self._check_open()
        with self._lock:
            found = self._streams.setdefault(stream, _Stream())
            found.epoch += 1
            return Grant(stream, found.epoch, len(found.events))

    def append(self, batch: Batch) -> Appended:
        """Make a batch true, all of it or none.

        Raises:
            WrongVersion, Fenced, EventRefused, BadRequest: nothing was stored.
        """
        prepared = prepare(batch)
        self._check_open()
        with self._lock:
            appended = self._append(prepared)
        if prepared.types:
            self._listeners.notify(appended.last_position, prepared.types)
        return appended

    def barrier(self) -> None:
        """Nothing to wait for."""
        self._check_open()

    def settle(self) -> int:
        """Nothing is ever unknown here."""
        self._check_open()
        return self.owner_epoch

    def subscribe(self, listener: Callable[[int, frozenset[str]], None]) -> Callable[[], None]:
        """Call ``listener(head, type names)`` after each append of events, on the appending thread."""
        return self._listeners.subscribe(listener)

    def close(self) -> None:
        """Refuse further use. Idempotent."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            msg = "this handle was closed"
            raise StoreClosed(msg)

    def _append(self, batch: PreparedBatch) -> Appended:
        """Everything that may refuse comes before anything that changes."""
        now = self._clock()
        # The same resolution as on disk, so that the same clock gives the same records.
        instant = Instant(round(now.wall_s * 1e6) / 1e6, round(now.monotonic_s * 1e6) / 1e6, now.boot_id)
        position = first = len(self._log)
        added: list[_Stored] = []
        versions: dict[str, int] = {}
        for write in batch.writes:
            added += self._stored(write, position, versions, instant)
            position = first + len(added)
        for snapshot in batch.snapshots:
            stream = self._streams.get(snapshot.stream, _Stream())
            version = versions.get(snapshot.stream, len(stream.events))
            if stream.epoch and snapshot.stream not in versions:  # only a write of the stream proves its epoch
                raise Fenced(f"stream {snapshot.stream!r}", 0, stream.epoch)
            if snapshot.version > version:
                raise BadRequest("snapshot version", snapshot.version, f"the stream is at {version}")
        for stored in added:
            self._streams.setdefault(stored.stream, _Stream()).events.append(stored)
        for write in batch.writes:
            self._streams.setdefault(write.stream, _Stream())
        self._keep(batch, round(now.wall_s * 1e6))
        self._log += added
        self._batches += 1
        return Appended(min(first + 1, position), position, versions)

    def _stored(self, write: PreparedWrite, position: int, versions: dict[str, int], instant: Instant) -> list[_Stored]:
        stream = self._streams.get(write.stream, _Stream())
        version = versions.get(write.stream, len(stream.events))
        if (write.epoch or 0) != stream.epoch:
            raise Fenced(f"stream {write.stream!r}", write.epoch or 0, stream.epoch)
        if write.expected_version not in (ANY_VERSION, version):
            raise WrongVersion(write.stream, write.expected_version, version)
        added = []
        for event in write.events:
            cause = position if event.after_previous else event.cause
            position += 1
            version += 1
            if cause is not None and cause >= position:
                raise BadRequest("cause", cause, f"the event itself will be at position {position}")
            added.append(_Stored(position, write.stream, version, cause, instant, event))
        versions[write.stream] = version
        return added

    def _keep(self, batch: PreparedBatch, wall_us: int) -> None:
        """Everything of a batch but its events."""
        self._cursors.update((cursor.consumer, cursor.position) for cursor in batch.cursors)
        for command_id, reply in batch.receipts:
            self._receipts.setdefault(command_id, (wall_us, reply))
        while self._receipts:
            oldest = next(iter(self._receipts))
            if len(self._receipts) <= RECEIPTS_KEPT and self._receipts[oldest][0] >= wall_us - RECEIPT_AGE_US:
                break
            del self._receipts[oldest]
        for key in batch.discard:
            self._attachments.pop(key, None)
        self._attachments.update((attachment.key, attachment) for attachment in batch.attachments)
        for snapshot in batch.snapshots:
            kept = self._streams.setdefault(snapshot.stream, _Stream()).snapshots
            kept[snapshot.version] = snapshot
            for version in sorted(kept)[:-SNAPSHOTS_KEPT]:
                del kept[version]

    def _read(
        self, after: int, up_to: int | None, wanted: Callable[[_Stored], bool], limit: int | None
    ) -> Iterator[Record]:
        left = len(self._log) if limit is None else limit
        end = len(self._log) if up_to is None else min(up_to, len(self._log))
        for index in range(max(after, 0), end):
            if left <= 0:
                return
            if wanted(self._log[index]):
                left -= 1
                yield self._record(self._log[index])

    def _read_list(self, events: list[_Stored], after: int, up_to: int | None) -> Iterator[Record]:
        for index in range(max(after, 0), len(events) if up_to is None else min(up_to, len(events))):
            yield self._record(events[index])

    def _tail(self, after: int, poll_s: float, stop: Callable[[], bool]) -> Iterator[Record]:
        with waking(self._listeners) as woken:
            while not stop():
                self._check_open()
                woken.clear()
                for record in self._read(after, None, lambda _stored: True, None):
                    after = record.position
                    yield record
                    if stop():
                        return
                woken.wait(poll_s)

    def _record(self, stored: _Stored) -> Record:
        event = stored.event
        return Record(
            stored.position,
            stored.stream,
            stored.version,
            event.type,
            event.schema_version,
            decode_events(stored.position, event.type, event.schema_version, event.data, self._unknown),
            stored.recorded_at,
            stored.cause,
            event.command_id,
            event.correlation_id,
            event.depth,
            event.data,
        )
