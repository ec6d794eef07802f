"""What every store promises of a batch that is sent again: under an idempotency key it is stored once."""

from __future__ import annotations

import pytest

from eventstore.errors import IdempotencyConflict, WrongVersion
from eventstore.protocol import EventStore
from eventstore.records import Appended, Attachment, Batch, Cursor, NewEvent, Receipt, Snapshot, StreamWrite
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance.base import Beneath, Counted, Measured, append, contents, counts, one_write

DAY_S = 24 * 3600


class Retrying(Beneath):
    """Idempotency keys."""

    def test_a_retry_gets_the_first_result_and_stores_nothing(self, store: EventStore) -> None:
        """However much was stored in between; of its cursors and attachments nothing is stored again either."""
        batch = one_write("a", Counted(1), Counted(2), idempotency_key="k", cursors=(Cursor("c", 1),))
        first = store.append(batch)
        assert Appended(1, 2, {"a": 2}) == first
        append(store, "a", Counted(3), cursors=(Cursor("c", 3),))
        before = contents(store)
        assert first == store.append(batch) == store.submit(batch).result()
        assert before == contents(store)
        assert 3 == store.cursor("c")
        assert [1, 2, 3] == counts(store, "a")

    def test_a_retry_is_recognised_before_anything_else_is_checked(self, store: EventStore) -> None:
        """The version it expected has gone by, and its epoch may have: that it was stored is what its sender asks."""
        grant = store.acquire("a")
        batch = one_write("a", Counted(1), expected_version=0, epoch=grant.epoch, idempotency_key="k")
        first = store.append(batch)
        store.acquire("a")
        assert first == store.append(batch)
        moved_on = one_write("a", Counted(1), expected_version=1, epoch=grant.epoch + 1, idempotency_key="k")
        assert first == store.append(moved_on)
        assert 1 == store.head

    def test_another_batch_under_the_same_key_is_refused(self, store: EventStore) -> None:
        """Other events, other streams, more or fewer of them, other attachments: a key stands for one batch."""
        first = one_write("a", Counted(1), idempotency_key="k")
        store.append(first)
        for other in (
            one_write("a", Counted(2), idempotency_key="k"),
            one_write("b", Counted(1), idempotency_key="k"),
            one_write("a", Counted(1), Counted(1), idempotency_key="k"),
            one_write("a", Measured({}), idempotency_key="k"),
            one_write("a", Counted(1), idempotency_key="k", attachments=(Attachment("x", b""),)),
            Batch(idempotency_key="k"),
        ):
            with pytest.raises(IdempotencyConflict) as caught:
                store.append(other)
            assert "k" == caught.value.key
        assert 1 == store.head
        assert 0 == len(store.attachment_keys())

    def test_a_refused_batch_leaves_its_key_free(self, store: EventStore) -> None:
        """Only what was stored is remembered."""
        append(store, "a", Counted(1))
        with pytest.raises(WrongVersion):
            append(store, "a", Counted(2), expected_version=0, idempotency_key="k")
        assert Appended(2, 2, {"a": 2}) == append(store, "a", Counted(3), expected_version=1, idempotency_key="k")

    def test_equal_batches_without_a_key_or_with_two_are_stored_twice(self, store: EventStore) -> None:
        """Nothing is taken for a retry by its content."""
        for key in (None, None, "k", "K"):
            append(store, "a", Counted(1), idempotency_key=key)
        assert [1, 1, 1, 1] == counts(store, "a")

    def test_a_batch_without_events_has_its_retries_too(self, store: EventStore) -> None:
        """An attachment that was replaced since stays replaced."""
        write = StreamWrite("a", (NewEvent(Counted(1)),))
        store.append(Batch((write,)))
        batch = Batch(
            receipts=(Receipt("r", 1),),
            attachments=(Attachment("x", b"old"),),
            snapshots=(Snapshot("a", 1, "a/1", b"{}"),),
            idempotency_key="k",
        )
        first = store.append(batch)
        store.append(Batch(attachments=(Attachment("x", b"new"),)))
        assert first == store.append(batch)
        assert b"new" == store.attachment("x").data

    def test_keys_are_remembered_for_a_day(self, store: EventStore, clock: FakeClock) -> None:
        """Not a second less; they outlive other batches, and clocks that go back."""
        batch = one_write("a", Counted(1), idempotency_key="k")
        first = store.append(batch)
        clock.wall_s -= 3600
        append(store, "b", Counted(0), idempotency_key="back")
        clock.advance(3600 + DAY_S - 1)
        for n in range(10):
            append(store, "b", Counted(n), idempotency_key=f"other-{n}")
        assert first == store.append(batch)

    def test_statistics_tell_retries_from_appends(self, store: EventStore) -> None:
        """A retry appends no event."""
        for _ in range(3):
            append(store, "a", Counted(1), Counted(2), idempotency_key="k")
        counted = store.statistics()
        assert (2, 2) == (counted.events_appended, counted.repeated)

    def test_listeners_hear_nothing_of_a_retry(self, store: EventStore) -> None:
        """Nothing is new."""
        heard: list[int] = []
        append(store, "a", Counted(1), idempotency_key="k")
        store.subscribe(lambda head, _types: heard.append(head))
        append(store, "a", Counted(1), idempotency_key="k")
        append(store, "a", Counted(2))
        assert [2] == heard
