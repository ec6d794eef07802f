"""What every store promises of ownership: one owner, one acquirer of each stream, and no word from older ones."""

from __future__ import annotations

import pytest

from eventstore.errors import EventStoreError, Fenced
from eventstore.protocol import EventStore
from eventstore.records import (
    Attachment,
    Batch,
    Cursor,
    Durability,
    Grant,
    Lease,
    NewEvent,
    Receipt,
    Retention,
    Snapshot,
    StreamInfo,
    StreamWrite,
)
from eventstore.testing.conformance.base import Beneath, Counted, append, contents, counts, one_write


class Owning(Beneath):
    """Owner epochs, leases, stream epochs."""

    # --- of the store ---------------------------------------------------------------------------------------------

    def test_a_lease_says_who_owns_the_store_and_how_long(self, store: EventStore) -> None:
        """Renewing one that holds changes neither epoch nor holder, and never shortens it."""
        lease = store.lease
        assert isinstance(lease, Lease)
        assert store.owner_epoch == lease.owner_epoch > 0
        assert lease.holder
        assert lease.expires_in_s is None or lease.expires_in_s > 0
        renewed = store.renew()
        assert (lease.owner_epoch, lease.holder) == (renewed.owner_epoch, renewed.holder)
        assert (lease.expires_in_s is None) == (renewed.expires_in_s is None)

    def test_settling_when_nothing_is_unknown_changes_nothing(self, store: EventStore) -> None:
        """It answers with the epoch that holds."""
        assert store.owner_epoch == store.settle() == store.owner_epoch

    def test_a_second_owner_has_a_higher_epoch(self, store: EventStore, taken: EventStore) -> None:
        """Higher than any before it, as its lease and its statistics say."""
        assert taken.owner_epoch > store.owner_epoch
        assert taken.owner_epoch == taken.lease.owner_epoch == taken.statistics().owner_epoch

    def test_an_older_owner_changes_nothing_any_more(self, store: EventStore, taken: EventStore) -> None:
        """Whatever it tries, strict or relaxed, with events or without; the newer one goes on."""
        append(taken, "a", Counted(1))
        before = contents(taken)
        for attempt in (
            lambda: append(store, "a", Counted(2)),
            lambda: append(store, "a", Counted(2), durability=Durability.RELAXED),
            lambda: append(store, "a", Counted(2), idempotency_key="k"),
            lambda: store.submit(one_write("a", Counted(2))).result(),
            lambda: store.append(Batch(cursors=(Cursor("c", 1),))),
            lambda: store.append(Batch(snapshots=(Snapshot("a", 1, "a/1", b""),))),
            lambda: store.append(Batch(attachments=(Attachment("k", b""),))),
            lambda: store.append(Batch(receipts=(Receipt("r", 1),))),
            lambda: store.acquire("a"),
            lambda: store.retain(Retention(max_events=0)),
            store.renew,
        ):
            with pytest.raises(Fenced):
                attempt()
        assert before == contents(taken)
        assert (None, None, None) == (taken.cursor("c"), taken.snapshot("a"), taken.receipt("r"))
        append(taken, "a", Counted(3), expected_version=1)
        assert [1, 3] == counts(taken, "a")
        assert taken.verify().ok

    def test_an_older_owner_is_told_both_epochs(self, store: EventStore, taken: EventStore) -> None:
        """Its own and the one that holds."""
        with pytest.raises(Fenced) as caught:
            append(store, "a", Counted(1))
        assert (store.owner_epoch, taken.owner_epoch) == (caught.value.epoch, caught.value.current)

    def test_what_an_older_owner_handed_in_and_nobody_waited_for_is_not_stored(
        self, store: EventStore, taken: EventStore
    ) -> None:
        """Closing the older one stores none of it, and does no harm."""
        pending = store.submit(one_write("a", Counted(1)))
        try:
            store.close()
        except EventStoreError as error:
            assert isinstance(error, Fenced)
        with pytest.raises(EventStoreError):
            pending.result()
        append(taken, "a", Counted(2), expected_version=0)
        assert [2] == counts(taken, "a")

    def test_an_older_owner_may_read_on(self, store: EventStore, taken: EventStore) -> None:
        """Reading needs no ownership."""
        append(taken, "a", Counted(1))
        assert [1] == counts(store, "a")

    # --- of a stream ----------------------------------------------------------------------------------------------

    def test_acquiring_a_stream_fences_who_had_it(self, store: EventStore) -> None:
        """Only the newest epoch may append; the fenced one is told which is current."""
        first = store.acquire("a")
        assert Grant("a", 1, 0) == first
        append(store, "a", Counted(1), epoch=first.epoch)
        second = store.acquire("a")
        assert Grant("a", 2, 1) == second
        with pytest.raises(Fenced) as caught:
            append(store, "a", Counted(2), epoch=first.epoch)
        assert (1, 2) == (caught.value.epoch, caught.value.current)
        append(store, "a", Counted(3), epoch=second.epoch)
        assert [1, 3] == counts(store, "a")

    def test_an_acquired_stream_refuses_writers_without_an_epoch(self, store: EventStore) -> None:
        """Forgetting the epoch is no way around the fence; nor is inventing one."""
        append(store, "a", Counted(1))
        store.acquire("a")
        for epoch in (None, 0, 2):
            with pytest.raises(Fenced):
                append(store, "a", Counted(2), epoch=epoch)
        with pytest.raises(Fenced):
            append(store, "b", Counted(2), epoch=1)

    def test_a_stream_epoch_outlives_the_owner(self, store: EventStore, taken: EventStore) -> None:
        """It goes on counting where the older owner was, and what that one granted still holds."""
        second = taken.acquire("a")
        append(taken, "a", Counted(1), epoch=second.epoch)
        assert second.epoch < taken.acquire("a").epoch
        assert [] == [info for info in store.streams() if info.name == "b"]

    def test_a_write_without_events_still_checks(self, store: EventStore) -> None:
        """A snapshot or an attachment can be fenced by an empty write of its stream."""
        grant = store.acquire("a")
        store.append(Batch((StreamWrite("a", (), 0, grant.epoch),), attachments=(Attachment("k", b"1"),)))
        store.acquire("a")
        with pytest.raises(Fenced):
            store.append(Batch((StreamWrite("a", (), epoch=grant.epoch),), attachments=(Attachment("k", b"2"),)))
        assert b"1" == store.attachment("k").data

    def test_a_snapshot_of_an_acquired_stream_proves_its_epoch(self, store: EventStore) -> None:
        """By a write of the stream in the same batch, were it of no events."""
        grant = store.acquire("a")
        append(store, "a", Counted(1), epoch=grant.epoch)
        snapshot = Snapshot("a", 1, "a/1", b"{}")
        with pytest.raises(Fenced):
            store.append(Batch(snapshots=(snapshot,)))
        store.append(Batch((StreamWrite("a", (), epoch=grant.epoch),), snapshots=(snapshot,)))
        assert snapshot == store.snapshot("a")

    def test_one_fenced_write_refuses_the_whole_batch(self, store: EventStore) -> None:
        """A batch is as good as the worst of its writes."""
        grant = store.acquire("a")
        store.acquire("a")
        writes = (
            StreamWrite("b", (NewEvent(Counted(1)),)),
            StreamWrite("a", (NewEvent(Counted(1)),), epoch=grant.epoch),
        )
        with pytest.raises(Fenced):
            store.append(Batch(writes))
        assert 0 == store.head

    def test_streams_are_listed_with_their_epochs(self, store: EventStore) -> None:
        """By name, one that was only acquired included."""
        append(store, "b/2", Counted(1))
        store.acquire("b/1")
        append(store, "c", Counted(1), Counted(2))
        assert [StreamInfo("b/1", 0, 1), StreamInfo("b/2", 1, 0), StreamInfo("c", 2, 0)] == list(store.streams())
        assert [StreamInfo("b/1", 0, 1), StreamInfo("b/2", 1, 0)] == list(store.streams("b/"))
        assert [] == list(store.streams("_"))
