"""What every store promises to still hold when it is opened again."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventstore.errors import Fenced, IdempotencyConflict
from eventstore.protocol import EventStore
from eventstore.records import (
    Appended,
    Attachment,
    Cursor,
    Durability,
    Folded,
    Receipt,
    Retention,
    Snapshot,
    StreamInfo,
)
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance.base import Beneath, Counted, add, append, contents, counts, one_write


class Outliving(Beneath):
    """Closing and opening again."""

    def test_everything_is_there_again(self, store: EventStore, place: Path, clock: FakeClock) -> None:
        """Events, epochs, and all that is kept beside them; and the new owner has a higher epoch."""
        grant = store.acquire("a")
        append(
            store,
            "a",
            Counted(1),
            Counted(2),
            epoch=grant.epoch,
            cursors=(Cursor("c", 2),),
            receipts=(Receipt("r", [1]),),
            snapshots=(Snapshot("a", 1, "a/1", b"s"),),
            attachments=(Attachment("k", b"\0"),),
        )
        before, records, epoch = contents(store), list(store.read()), store.owner_epoch
        store.close()
        again = self.open_store(place, clock)
        try:
            assert before == contents(again)
            assert records == list(again.read())
            assert again.owner_epoch > epoch
            assert [StreamInfo("a", 2, grant.epoch)] == list(again.streams())
            assert (2, Receipt("r", [1])) == (again.cursor("c"), again.receipt("r"))
            assert Snapshot("a", 1, "a/1", b"s") == again.snapshot("a")
            assert Attachment("k", b"\0") == again.attachment("k")
            assert again.verify().ok
            with pytest.raises(Fenced):
                append(again, "a", Counted(3))
            assert Appended(3, 3, {"a": 3}) == append(again, "a", Counted(3), expected_version=2, epoch=grant.epoch)
        finally:
            again.close()

    def test_keys_are_remembered_across_owners(self, store: EventStore, place: Path, clock: FakeClock) -> None:
        """Most retries come after a crash."""
        batch = one_write("a", Counted(1), idempotency_key="k")
        first = store.append(batch)
        store.close()
        again = self.open_store(place, clock)
        try:
            assert first == again.append(batch)
            with pytest.raises(IdempotencyConflict):
                append(again, "a", Counted(2), idempotency_key="k")
            assert [1] == counts(again, "a")
        finally:
            again.close()

    def test_relaxed_appends_are_there_after_a_barrier_or_a_close(
        self, store: EventStore, place: Path, clock: FakeClock
    ) -> None:
        """And what was only handed in."""
        append(store, "a", Counted(1), durability=Durability.RELAXED)
        store.barrier()
        append(store, "a", Counted(2), durability=Durability.RELAXED)
        store.submit(one_write("a", Counted(3), durability=Durability.RELAXED))
        store.close()
        again = self.open_store(place, clock)
        try:
            assert [1, 2, 3] == counts(again, "a")
        finally:
            again.close()

    def test_what_was_removed_stays_removed(self, store: EventStore, place: Path, clock: FakeClock) -> None:
        """Positions and versions go on from where they were, were nothing left."""
        append(store, "a", Counted(1), Counted(2), snapshots=(Snapshot("a", 2, "a/1", b""),))
        store.retain(Retention(max_events=0))
        store.close()
        again = self.open_store(place, clock)
        try:
            assert (3, 2, 2) == (again.first, again.head, again.version("a"))
            assert Appended(3, 3, {"a": 3}) == append(again, "a", Counted(3), expected_version=2)
            assert Folded(3, 3) == again.fold("a", add, 0, after=2)
            assert again.verify().ok
        finally:
            again.close()

    def test_counts_begin_anew_with_each_owner(self, store: EventStore, place: Path, clock: FakeClock) -> None:
        """Statistics are of a handle; what the store holds is not."""
        append(store, "a", Counted(1))
        store.close()
        again = self.open_store(place, clock)
        try:
            counted = again.statistics()
            assert (1, 1, 0, 0, 0, 0) == (
                counted.head,
                counted.streams,
                counted.events_appended,
                counted.batches_appended,
                counted.commits,
                counted.repeated,
            )
        finally:
            again.close()

    def test_a_place_of_its_own_is_a_store_of_its_own(self, store: EventStore, place: Path, clock: FakeClock) -> None:
        """Nothing is shared between two."""
        append(store, "a", Counted(1))
        other = self.open_store(place.with_name("other"), clock)
        try:
            assert 0 == other.head
            append(other, "b", Counted(2))
            assert [1] == [record.event.n for record in store.read()]
        finally:
            other.close()
