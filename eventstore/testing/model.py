"""What a store should hold, as plain lists and dictionaries: slow, and simple enough to be seen to be right."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from eventstore.records import Appended, Retention

SNAPSHOTS_KEPT = 3


@attrs.frozen
class Kept:
    """One event of the model."""

    position: int
    stream: str
    version: int
    n: int
    wall_s: float


@attrs.define
class StoreModel:
    """The events that are kept, in order, and what stands beside them."""

    kept: list[Kept] = attrs.field(factory=list)
    head: int = 0
    versions: dict[str, int] = attrs.field(factory=dict)
    removed_versions: dict[str, int] = attrs.field(factory=dict)
    epochs: dict[str, int] = attrs.field(factory=dict)
    snapshots: dict[str, list[int]] = attrs.field(factory=dict)
    cursors: dict[str, int] = attrs.field(factory=dict)

    @property
    def first(self) -> int:
        """Position of the oldest event kept."""
        return self.kept[0].position if self.kept else self.head + 1

    @property
    def streams(self) -> list[str]:
        """Those that were written to or acquired, by name."""
        return sorted(self.versions.keys() | self.epochs.keys())

    def version(self, stream: str) -> int:
        """Of a stream's last event, kept or not."""
        return self.versions.get(stream, 0)

    def acquire(self, stream: str) -> int:
        """The next epoch of a stream."""
        self.epochs[stream] = self.epochs.get(stream, 0) + 1
        return self.epochs[stream]

    def append(self, writes: Sequence[tuple[str, Sequence[int]]], wall_s: float) -> Appended:
        """Keep numbers at the ends of streams."""
        first = self.head
        for stream, numbers in writes:
            self.versions.setdefault(stream, 0)
            for n in numbers:
                self.head += 1
                self.versions[stream] += 1
                self.kept.append(Kept(self.head, stream, self.versions[stream], n, wall_s))
        written = {stream: self.versions[stream] for stream, _ in writes}
        return Appended(min(first + 1, self.head), self.head, written)

    def keep_snapshot(self, stream: str, version: int) -> None:
        """Keep a snapshot, and only the newest few."""
        versions = {*self.snapshots.get(stream, ()), version}
        self.snapshots[stream] = sorted(versions)[-SNAPSHOTS_KEPT:]

    def remove(self, retention: Retention, now_s: float) -> int:
        """Remove one event after the other until one has to stay. How many went."""
        removed = 0
        while self.kept and not self._must_stay(self.kept[0], retention, now_s):
            gone = self.kept.pop(0)
            self.removed_versions[gone.stream] = gone.version
            removed += 1
        return removed

    def _must_stay(self, event: Kept, retention: Retention, now_s: float) -> bool:
        if retention.max_events is not None and event.position > self.head - retention.max_events:
            return True
        if retention.keep_after is not None and event.position > retention.keep_after:
            return True
        if retention.max_age_s is not None and now_s - event.wall_s < retention.max_age_s:
            return True
        counted = self.cursors if retention.consumers is None else retention.consumers
        if any(self.cursors.get(consumer, 0) < event.position for consumer in counted):
            return True
        if any(
            event.stream == category or event.stream.startswith(f"{category}/") for category in retention.expendable
        ):
            return False
        snapshots = self.snapshots.get(event.stream, [0])
        return event.version > (max(snapshots) if retention.newest_snapshot else min(snapshots))
