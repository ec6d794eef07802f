"""Stores with one fault each, and the suite that is to catch them. Run by ``test_planted``, not by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec

from eventstore.asked import OnRemoved
from eventstore.errors import EventStoreError
from eventstore.group import Entry
from eventstore.memory import MemoryStore
from eventstore.memory_log import MemoryLog, Stored, Stream
from eventstore.memory_reader import MemoryReader
from eventstore.prepare import PreparedBatch
from eventstore.protocol import EventReader, EventStore
from eventstore.records import ANY_VERSION, Appended, Attachment, Batch, Folded, Instant, Record, Retained, Retention
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance import StoreConformance

replace = msgspec.structs.replace


class IgnoresVersions(MemoryStore):
    def append(self, batch: Batch) -> Appended:
        writes = tuple([replace(write, expected_version=ANY_VERSION) for write in batch.writes])
        return super().append(replace(batch, writes=writes))


class ForgetsOwners(MemoryStore):
    def _commit(self, entries: Any) -> None:
        self._owner_epoch = self.log.owner_epoch
        super()._commit(entries)


class CountsOwnersAnew(MemoryStore):
    def __init__(self, clock: FakeClock, *, log: MemoryLog) -> None:
        log.owner_epoch = 0
        super().__init__(clock, log=log)


class FencesNoStream(MemoryStore):
    def append(self, batch: Batch) -> Appended:
        writes = [replace(write, epoch=self.log.stream(write.stream).epoch or None) for write in batch.writes]
        return super().append(replace(batch, writes=tuple(writes)))


class StoresHalf(MemoryStore):
    def append(self, batch: Batch) -> Appended:
        for write in batch.writes[:-1]:
            super().append(Batch((write,)))
        return super().append(replace(batch, writes=batch.writes[-1:]))


class DoublesRetries(MemoryStore):
    def append(self, batch: Batch) -> Appended:
        return super().append(replace(batch, idempotency_key=None))


class ChecksRetriesLate(MemoryLog):
    def write(self, batch: PreparedBatch, instant: Instant) -> tuple[Appended, bool]:
        if batch.idempotency_key is not None:
            for write in batch.writes:
                self._checked(write, self.head, {}, instant, 0)
        return super().write(batch, instant)


class TakesAnyRetry(MemoryLog):
    def write(self, batch: PreparedBatch, instant: Instant) -> tuple[Appended, bool]:
        return super().write(msgspec.structs.replace(batch, digest=b""), instant)


class RemembersRefusedKeys(MemoryLog):
    def write(self, batch: PreparedBatch, instant: Instant) -> tuple[Appended, bool]:
        try:
            return super().write(batch, instant)
        except EventStoreError:
            if batch.idempotency_key is not None:
                result = batch.digest, Appended(self.head, self.head, {})
                self.appends.setdefault(batch.idempotency_key, (round(instant.wall_s * 1e6), result))
            raise


class LosesCursors(MemoryStore):
    def close(self) -> None:
        super().close()
        self.log.cursors.clear()


class ReplacesReceipts(MemoryLog):
    def _keep_rest(self, batch: PreparedBatch, wall_us: int) -> None:
        for command_id, _ in batch.receipts:
            self.receipts.pop(command_id, None)
        super()._keep_rest(batch, wall_us)


class KeepsOneSnapshot(MemoryLog):
    def _keep_rest(self, batch: PreparedBatch, wall_us: int) -> None:
        for snapshot in batch.snapshots:
            self.streams.setdefault(snapshot.stream, Stream()).snapshots.clear()
        super()._keep_rest(batch, wall_us)


class RemovesWhatRecoveryNeeds(MemoryLog):
    def remove(self, retention: Retention, now_wall_s: float) -> Retained:
        kept = {name: dict(stream.snapshots) for name, stream in self.streams.items()}
        for stream in self.streams.values():
            stream.snapshots = dict(sorted(stream.snapshots.items())[-1:])
        try:
            return super().remove(retention, now_wall_s)
        finally:
            for name, snapshots in kept.items():
                self.streams[name].snapshots = snapshots


class RemovesUnread(MemoryLog):
    def remove(self, retention: Retention, now_wall_s: float) -> Retained:
        return super().remove(attrs.evolve(retention, consumers=()), now_wall_s)


class CountsVersionsAnew(MemoryLog):
    def remove(self, retention: Retention, now_wall_s: float) -> Retained:
        retained = super().remove(retention, now_wall_s)
        for stream in self.streams.values():
            stream.removed = 0
        return retained


class FoldsOverWhatIsGone(MemoryStore):
    def fold(self, stream: str, evolve: Any, state: Any, *, after: int = 0, up_to: int | None = None) -> Folded:
        return super().fold(stream, evolve, state, after=max(after, self.log.stream(stream).removed), up_to=up_to)


class HandsInLate(MemoryStore):
    """What was handed in is stored only when somebody waits for just that."""

    def submit(self, batch: Batch) -> Any:
        return _Late(super().submit, batch)


class _Late:
    def __init__(self, submit: Callable[[Batch], Entry[PreparedBatch]], batch: Batch) -> None:
        self._submit, self._batch = submit, batch
        self._submitted: Entry[PreparedBatch] | None = None

    @property
    def done(self) -> bool:
        return self._submitted is not None

    def result(self) -> Appended:
        if self._submitted is None:
            self._submitted = self._submit(self._batch)
        return self._submitted.result()


class OvertakesWhatWasHandedIn(MemoryStore):
    def append(self, batch: Batch) -> Appended:
        waiting = list(self._group._queue)
        self._group._queue.clear()
        try:
            return super().append(batch)
        finally:
            self._group._queue.extend(waiting)


class RoundsTime(MemoryLog):
    def write(self, batch: PreparedBatch, instant: Instant) -> tuple[Appended, bool]:
        return super().write(batch, Instant(round(instant.wall_s, 3), instant.monotonic_s, instant.boot_id))


class TakesAPrefixForACategory(MemoryStore):
    def read_category(
        self, category: str, *, after: int = 0, up_to: int | None = None, removed: OnRemoved = "raise"
    ) -> Iterator[Record]:
        return self._read(after, up_to, lambda stored: stored.stream.startswith(category), None, removed)


class EndsFilteredReadsEarly(MemoryStore):
    def _page(self, after: int) -> tuple[list[Stored], int]:
        return ([], 0) if after >= 1000 else super()._page(after)


class TrustsTheClock(MemoryStore):
    def position_at(self, wall_s: float) -> int:
        before = 0
        for record in self.read():
            if record.recorded_at.wall_s > wall_s:
                break
            before = record.position
        return before


class TellsOfRefusals(MemoryStore):
    def append(self, batch: Batch) -> Appended:
        try:
            return super().append(batch)
        except Exception:
            self._commits_heard.notify(self.head, frozenset())
            raise


class LeavesOutWhatIsMissing(MemoryStore):
    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        return iter([self.log.attachments[key] for key in keys if key in self.log.attachments])


class ReadsAttachmentsInItsOwnOrder(MemoryStore):
    def attachments(self, keys: Iterable[str]) -> Iterator[Attachment]:
        return super().attachments(sorted(set(keys)))


BUGS: dict[type[MemoryStore | MemoryLog], str] = {
    IgnoresVersions: "test_wrong_version_says_what_is_there",
    ForgetsOwners: "test_an_older_owner_changes_nothing_any_more",
    CountsOwnersAnew: "test_a_second_owner_has_a_higher_epoch",
    FencesNoStream: "test_acquiring_a_stream_fences_who_had_it",
    StoresHalf: "test_a_refused_batch_leaves_nothing",
    DoublesRetries: "test_a_retry_gets_the_first_result_and_stores_nothing",
    ChecksRetriesLate: "test_a_retry_is_recognised_before_anything_else_is_checked",
    TakesAnyRetry: "test_another_batch_under_the_same_key_is_refused",
    RemembersRefusedKeys: "test_a_refused_batch_leaves_its_key_free",
    LosesCursors: "test_everything_is_there_again",
    ReplacesReceipts: "test_the_first_receipt_of_a_command_stays",
    KeepsOneSnapshot: "test_the_newest_fitting_snapshot_is_found",
    RemovesWhatRecoveryNeeds: "test_recovery_keeps_what_follows_the_oldest_snapshot",
    RemovesUnread: "test_what_a_consumer_has_not_read_stays",
    CountsVersionsAnew: "test_positions_and_versions_stay_what_they_were",
    FoldsOverWhatIsGone: "test_what_was_removed_is_told_from_what_never_was",
    HandsInLate: "test_a_barrier_stores_what_was_handed_in",
    OvertakesWhatWasHandedIn: "test_an_append_comes_after_what_its_thread_handed_in",
    RoundsTime: "test_time_is_stored_to_the_microsecond",
    TakesAPrefixForACategory: "test_reading_a_stream_or_a_category",
    EndsFilteredReadsEarly: "test_many_pages_read_like_one",
    TrustsTheClock: "test_a_clock_that_goes_back_disorders_nothing",
    LeavesOutWhatIsMissing: "test_one_attachment_that_is_missing_hides_no_other",
    ReadsAttachmentsInItsOwnOrder: "test_attachments_are_read_in_the_order_of_their_keys",
    TellsOfRefusals: "test_listeners_hear_of_each_commit_of_events",
}
"""Each faulty store, or log beneath one, and a test of the suite that must fail for it."""


class Planted(StoreConformance):
    """The suite over a store with a fault."""

    store_class: Any = MemoryStore
    log_class: Any = MemoryLog
    logs: dict[Path, MemoryLog]

    def open_store(self, place: Path, clock: FakeClock) -> EventStore:
        made: EventStore = self.store_class(clock, log=self.logs.setdefault(place, self.log_class()))
        return made

    def open_reader(self, place: Path) -> EventReader:
        return MemoryReader(self.logs[place], unknown="raise")


for _bug in (MemoryStore, *BUGS):
    _faulty = {"log_class" if issubclass(_bug, MemoryLog) else "store_class": _bug}
    globals()[f"Test{_bug.__name__}"] = type(f"Test{_bug.__name__}", (Planted,), {**_faulty, "logs": {}})
