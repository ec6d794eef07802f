"""What a store in memory keeps, and the rules of changing it: each batch is checked and then kept whole, or refused."""

from __future__ import annotations

import threading
from typing import Any

import attrs

from eventstore.errors import BadRequest, Fenced, IdempotencyConflict, WrongVersion
from eventstore.frozen import frozen
from eventstore.prepare import (
    RECEIPT_AGE_US,
    RECEIPTS_KEPT,
    SNAPSHOTS_KEPT,
    PreparedBatch,
    PreparedWrite,
)
from eventstore.records import ANY_VERSION, Appended, Attachment, Instant, Retained, Retention, Snapshot
from eventstore.removable import removable_up_to, young_after_us

PAGE = 1000
"""Events that a reader takes at a time, as readers of a file do."""


@frozen
class Stored:
    """One event as it is kept."""

    position: int
    stream: str
    version: int
    cause: int | None
    wall_us: int
    recorded_at: Instant
    type: str
    schema_version: int
    data: bytes
    command_id: str | None
    correlation_id: str
    depth: int


@attrs.define
class Stream:
    """One stream as it is kept."""

    epoch: int = 0
    removed: int = 0
    """Versions up to this one are no longer kept."""
    events: list[Stored] = attrs.field(factory=list)
    snapshots: dict[int, Snapshot] = attrs.field(factory=dict)

    @property
    def version(self) -> int:
        """Of its newest event."""
        return self.removed + len(self.events)

    def first_needed(self, *, newest: bool = False) -> int | None:
        """Position of the first event that recovery needs, after the oldest snapshot or the newest; None: none."""
        covered = max((max if newest else min)(self.snapshots, default=0) - self.removed, 0)
        return self.events[covered].position if covered < len(self.events) else None


_NONE = Stream()


class MemoryLog:
    """The contents of stores in memory. It outlives them, as a file does, and each new one takes it over.

    Whoever calls a method holds ``lock``.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner_epoch = 0
        self.removed = 0
        """Position of the last event that is no longer kept."""
        self.events: list[Stored] = []
        self.streams: dict[str, Stream] = {}
        self.cursors: dict[str, int] = {}
        self.receipts: dict[str, tuple[int, Any]] = {}
        self.appends: dict[str, tuple[int, Any]] = {}
        self.attachments: dict[str, Attachment] = {}

    @property
    def head(self) -> int:
        """Position of the newest event."""
        return self.removed + len(self.events)

    def stream(self, name: str) -> Stream:
        """A stream, not to be changed; an empty one where there is none."""
        return self.streams.get(name, _NONE)

    def page(self, after: int) -> list[Stored]:
        """The next events after a position."""
        start = max(after - self.removed, 0)
        return self.events[start : start + PAGE]

    def stream_page(self, name: str, after: int) -> list[Stored]:
        """The next events of a stream after a version."""
        stream = self.stream(name)
        start = max(after - stream.removed, 0)
        return stream.events[start : start + PAGE]

    def check_owner(self, epoch: int) -> None:
        """Refuse whoever is not the newest owner.

        Raises:
            Fenced: there is a newer one.
        """
        if epoch != self.owner_epoch:
            raise Fenced("this log", epoch, self.owner_epoch)

    def raise_epoch(self, name: str) -> tuple[int, int]:
        """Give a stream its next epoch. Returns that and its version."""
        stream = self.streams.setdefault(name, Stream())
        stream.epoch += 1
        return stream.epoch, stream.version

    def write(self, batch: PreparedBatch, instant: Instant) -> tuple[Appended, bool]:
        """Keep a batch, or refuse it with nothing kept. Tells also whether it is new here.

        Raises:
            WrongVersion, Fenced, BadRequest, IdempotencyConflict: it is refused.
        """
        key = batch.idempotency_key
        if key is not None and key in self.appends:
            digest, earlier = self.appends[key][1]
            if digest != batch.digest:
                raise IdempotencyConflict(key)
            return earlier, False
        wall_us = round(instant.wall_s * 1e6)
        # The same resolution as on disk, so that the same clock gives the same records.
        instant = Instant(wall_us / 1e6, round(instant.monotonic_s * 1e6) / 1e6, instant.boot_id)
        first = self.head
        added: list[Stored] = []
        versions: dict[str, int] = {}
        for write in batch.writes:
            added += self._checked(write, first + len(added), versions, instant, wall_us)
        self._check_snapshots(batch, versions)
        _check_cursors(batch, first + len(added))
        for stored in added:
            self.streams.setdefault(stored.stream, Stream()).events.append(stored)
        for write in batch.writes:
            self.streams.setdefault(write.stream, Stream())
        self.events += added
        appended = Appended(min(first + 1, self.head), self.head, versions)
        self._keep_rest(batch, wall_us)
        if key is not None:
            self.appends[key] = wall_us, (batch.digest, appended)
            _forget_old(self.appends, wall_us)
        return appended, True

    def remove(self, retention: Retention, now_wall_s: float) -> Retained:
        """Remove the oldest events that may go."""
        after_us = young_after_us(retention, now_wall_s)
        young = None if after_us is None else next((s.position for s in self.events if s.wall_us > after_us), None)
        newest = retention.newest_snapshot
        needed = ((name, stream.first_needed(newest=newest)) for name, stream in sorted(self.streams.items()))
        up_to, held_by = removable_up_to(
            retention,
            first=self.removed + 1,
            head=self.head,
            first_young=young,
            needed=[(name, position) for name, position in needed if position is not None],
            cursors=self.cursors,
        )
        gone = self.events[: up_to - self.removed]
        del self.events[: len(gone)]
        self.removed += len(gone)
        for name in {stored.stream for stored in gone}:
            stream = self.streams[name]
            kept = next((i for i, stored in enumerate(stream.events) if stored.position > up_to), len(stream.events))
            del stream.events[:kept]
            stream.removed += kept
        return Retained(len(gone), self.removed + 1, 0, held_by)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _checked(
        self, write: PreparedWrite, position: int, versions: dict[str, int], instant: Instant, wall_us: int
    ) -> list[Stored]:
        """The events of a write as they will be kept."""
        stream = self.stream(write.stream)
        version = versions.get(write.stream, stream.version)
        if (write.epoch or 0) != stream.epoch:
            raise Fenced(f"stream {write.stream!r}", write.epoch or 0, stream.epoch)
        if write.expected_version not in (ANY_VERSION, version):
            raise WrongVersion(write.stream, write.expected_version, version)
        added = []
        for kind, schema, data, given, after_previous, command, correlation, depth in write.events:
            cause = position if after_previous else given
            position += 1
            version += 1
            if cause is not None and cause >= position:
                raise BadRequest("cause", cause, f"the event itself will be at position {position}")
            where, when = (position, write.stream, version, cause), (wall_us, instant)
            added.append(Stored(*where, *when, kind, schema, data, command, correlation, depth))
        versions[write.stream] = version
        return added

    def _check_snapshots(self, batch: PreparedBatch, versions: dict[str, int]) -> None:
        for snapshot in batch.snapshots:
            stream = self.stream(snapshot.stream)
            if stream.epoch and snapshot.stream not in versions:  # only a write of the stream proves its epoch
                raise Fenced(f"stream {snapshot.stream!r}", 0, stream.epoch)
            version = versions.get(snapshot.stream, stream.version)
            if snapshot.version > version:
                raise BadRequest("snapshot version", snapshot.version, f"the stream is at {version}")

    def _keep_rest(self, batch: PreparedBatch, wall_us: int) -> None:
        """Everything of a batch but its events."""
        self.cursors.update((cursor.consumer, cursor.position) for cursor in batch.cursors)
        for command_id, reply in batch.receipts:
            self.receipts.setdefault(command_id, (wall_us, reply))
        if batch.receipts:
            _forget_old(self.receipts, wall_us)
        for key in batch.discard:
            self.attachments.pop(key, None)
        # Anew: nothing here vouches for the bytes, as whoever gave them may do.
        self.attachments.update((one.key, Attachment(one.key, one.data)) for one in batch.attachments)
        for snapshot in batch.snapshots:
            kept = self.streams.setdefault(snapshot.stream, Stream()).snapshots
            kept[snapshot.version] = snapshot
            for version in sorted(kept)[:-SNAPSHOTS_KEPT]:
                del kept[version]


def _check_cursors(batch: PreparedBatch, position: int) -> None:
    for cursor in batch.cursors:
        if cursor.position > position:
            raise BadRequest("cursor position", cursor.position, f"the log ends at position {position}")


def _forget_old(
    kept: dict[str, tuple[int, bytes]] | dict[str, tuple[int, tuple[bytes, Appended]]], now_us: int
) -> None:
    """Forget the oldest, those past their age or beyond their number."""
    while kept:
        oldest = next(iter(kept))
        if len(kept) <= RECEIPTS_KEPT and kept[oldest][0] >= now_us - RECEIPT_AGE_US:
            return
        del kept[oldest]
