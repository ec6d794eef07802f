"""What every store promises to keep beside the events: snapshots, cursors, receipts, attachments."""

from __future__ import annotations

import pytest

from eventstore.errors import AttachmentNotFound
from eventstore.protocol import EventStore
from eventstore.records import Attachment, Batch, Cursor, Receipt, Snapshot
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance.base import Beneath, Counted, Measured, append


class Keeping(Beneath):
    """Beside the events."""

    def test_the_newest_fitting_snapshot_is_found(self, store: EventStore) -> None:
        """By version and schema; only the newest three are kept."""
        append(store, "a", *(Counted(n) for n in range(5)))
        for version in (1, 2, 3, 4):
            store.append(Batch(snapshots=(Snapshot("a", version, f"a/{version % 2}", b"%d" % version),)))
        assert Snapshot("a", 4, "a/0", b"4") == store.snapshot("a")
        assert Snapshot("a", 3, "a/1", b"3") == store.snapshot("a", schema="a/1")
        assert Snapshot("a", 2, "a/0", b"2") == store.snapshot("a", up_to=2)
        assert store.snapshot("a", up_to=1) is None
        assert store.snapshot("a", schema="other") is None
        store.append(Batch(snapshots=(Snapshot("a", 4, "a/9", b"again"),)))
        assert Snapshot("a", 4, "a/9", b"again") == store.snapshot("a")

    def test_each_stream_has_snapshots_of_its_own(self, store: EventStore) -> None:
        """Many of one push out none of another."""
        append(store, "a", Counted(1), snapshots=(Snapshot("a", 1, "a/1", b"a"),))
        append(store, "b", *(Counted(n) for n in range(9)))
        for version in range(10):
            store.append(Batch(snapshots=(Snapshot("b", version, "b/1", b""),)))
        assert Snapshot("a", 1, "a/1", b"a") == store.snapshot("a")
        assert Snapshot("b", 7, "b/1", b"") == store.snapshot("b", up_to=7)

    def test_a_cursor_is_where_it_was_put_last(self, store: EventStore) -> None:
        """Forward and back; each consumer's alone."""
        append(store, "a", *(Counted(n) for n in range(5)))
        for position in (5, 3, 4, 0):
            store.append(Batch(cursors=(Cursor("one", position), Cursor("other", 1))))
            assert (position, 1) == (store.cursor("one"), store.cursor("other"))

    def test_a_cursor_moves_with_its_events(self, store: EventStore) -> None:
        """Of two in one batch the last holds."""
        append(store, "a", Counted(1), cursors=(Cursor("c", 1), Cursor("c", 0)))
        assert 0 == store.cursor("c")

    def test_the_first_receipt_of_a_command_stays(self, store: EventStore) -> None:
        """A retry that slipped through does not change what was answered."""
        store.append(Batch(receipts=(Receipt("command", "first"),)))
        store.append(Batch(receipts=(Receipt("command", "second"),)))
        assert Receipt("command", "first") == store.receipt("command")

    def test_receipts_are_kept_for_a_day_and_no_longer(self, store: EventStore, clock: FakeClock) -> None:
        """An old one is gone once a thousand newer ones were stored."""
        store.append(Batch(receipts=(Receipt("old", 1),)))
        clock.wall_s += 24 * 3600 - 1
        store.append(Batch(receipts=(Receipt("young", 2),)))
        assert Receipt("old", 1) == store.receipt("old")
        clock.wall_s += 2
        store.append(Batch(receipts=tuple([Receipt(f"new-{n}", n) for n in range(1000)])))
        assert store.receipt("old") is None
        assert Receipt("young", 2) == store.receipt("young")
        assert Receipt("new-0", 0) == store.receipt("new-0")

    def test_an_attachment_is_replaced_and_discarded(self, store: EventStore) -> None:
        """Keys are listed in order, by prefix."""
        store.append(Batch(attachments=(Attachment("b/2", b"1"), Attachment("b/1", b"2"), Attachment("c", b""))))
        store.append(Batch(attachments=(Attachment("b/2", b"3" * 100_000),)))
        assert b"3" * 100_000 == store.attachment("b/2").data
        assert b"" == store.attachment("c").data
        assert ["b/1", "b/2"] == list(store.attachment_keys("b/"))
        store.append(Batch(discard=("b/2",)))
        assert ["b/1", "c"] == list(store.attachment_keys())

    def test_attachments_are_read_in_the_order_of_their_keys(self, store: EventStore) -> None:
        """However many there are; a key that is given twice is answered twice."""
        there = {f"a/{n:04}": b"%d" % n for n in range(600)}
        store.append(Batch(attachments=tuple([Attachment(key, data) for key, data in there.items()])))
        wanted = [*reversed(there), "a/0007"]
        assert [(key, there[key]) for key in wanted] == [(one.key, one.data) for one in store.attachments(wanted)]
        assert [] == list(store.attachments(()))

    def test_one_attachment_that_is_missing_hides_no_other(self, store: EventStore) -> None:
        """It is told of when it is reached, and those behind it can still be had."""
        store.append(Batch(attachments=(Attachment("k", b"1"), Attachment("l", b"2"))))
        found = store.attachments(iter(("k", "none", "l")))
        assert Attachment("k", b"1") == next(found)
        with pytest.raises(AttachmentNotFound):
            next(found)
        assert [Attachment("l", b"2")] == list(found)

    def test_a_batch_may_discard_and_put_anew(self, store: EventStore) -> None:
        """What it attaches is there after it."""
        store.append(Batch(attachments=(Attachment("k", b"old"),)))
        store.append(Batch(attachments=(Attachment("k", b"new"),), discard=("k",)))
        assert b"new" == store.attachment("k").data

    def test_verify_counts_everything(self, store: EventStore) -> None:
        """And finds nothing wrong."""
        append(store, "a", Counted(1), Measured({"x": 0.5}), snapshots=(Snapshot("a", 2, "a/1", b"{}"),))
        append(store, "b", Counted(2), attachments=(Attachment("k", b"1"), Attachment("l", b"2")))
        found = store.verify()
        assert (3, 2, 1, 2, ()) == (found.events, found.streams, found.snapshots, found.attachments, found.problems)
        assert 3 == found.head
        assert found.marked is None or 0 <= found.marked <= 3
