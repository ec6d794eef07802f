"""What every store promises of an append: positions, versions, records, and batches that are true whole or not."""

from __future__ import annotations

import pytest

from eventstore.errors import EventStoreError, WrongVersion
from eventstore.protocol import EventStore
from eventstore.records import (
    ANY_VERSION,
    Appended,
    Attachment,
    Batch,
    Cursor,
    Durability,
    Instant,
    NewEvent,
    Receipt,
    Snapshot,
    StreamWrite,
)
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance.base import Beneath, Counted, Measured, append, contents, counts


class Appending(Beneath):
    """Storing batches."""

    def test_a_new_store_is_empty(self, store: EventStore) -> None:
        """Nothing is there, and asking for it is no error."""
        assert (0, 1) == (store.head, store.first)
        assert [] == list(store.read())
        assert [] == list(store.read_stream("nobody"))
        assert [] == list(store.read_category("nobody"))
        assert 0 == store.version("nobody")
        assert 0 == len(store.streams())
        assert store.snapshot("nobody") is None
        assert store.cursor("nobody") is None
        assert store.receipt("none") is None
        assert 0 == len(store.attachment_keys())
        assert 0 == store.position_at(1e12)
        assert store.verify().ok

    def test_positions_and_versions_count_without_gaps(self, store: EventStore) -> None:
        """Positions count through the log, versions through each stream, both from 1."""
        assert Appended(1, 2, {"a": 2}) == append(store, "a", Counted(1), Counted(2))
        assert Appended(3, 3, {"b": 1}) == append(store, "b", Counted(3))
        assert Appended(4, 4, {"a": 3}) == append(store, "a", Counted(4))
        found = [(record.position, record.stream, record.version) for record in store.read()]
        assert [(1, "a", 1), (2, "a", 2), (3, "b", 1), (4, "a", 3)] == found
        assert 4 == store.head
        assert 3 == store.version("a")

    def test_a_refused_append_uses_up_no_position(self, store: EventStore) -> None:
        """There is no gap where something was refused, nor a version left out."""
        append(store, "a", Counted(1))
        with pytest.raises(WrongVersion):
            append(store, "a", Counted(2), expected_version=7)
        assert Appended(2, 2, {"a": 2}) == append(store, "a", Counted(2))
        assert store.verify().ok

    def test_a_record_tells_everything_that_was_said_of_the_event(self, store: EventStore, clock: FakeClock) -> None:
        """What, when by both clocks, why, and the stored bytes."""
        append(store, "a", Counted(0))
        new = NewEvent(Counted(1, "x"), cause=1, command_id="c-1", correlation_id="trace", depth=3)
        store.append(Batch((StreamWrite("a", (new,)),)))
        record = store.get(2)
        assert Counted(1, "x") == record.event
        assert ("conformance.counted", 1) == (record.type, record.schema_version)
        assert Instant(clock.wall_s, clock.monotonic_s, clock.boot_id) == record.recorded_at
        assert (1, "c-1", "trace", 3) == (record.cause, record.command_id, record.correlation_id, record.depth)
        assert b'{"n":1,"note":"x"}' == record.data

    def test_time_is_stored_to_the_microsecond(self, store: EventStore, clock: FakeClock) -> None:
        """Both clocks, whatever they say, and each boot by its name."""
        for wall_s, monotonic_s, boot in ((1.7e9 + 0.123456, 0.000001, "b"), (0.0, 3e6 + 0.5, "c"), (1.0, 2.0, "b")):
            clock.wall_s, clock.monotonic_s, clock.boot_id = wall_s, monotonic_s, boot
            append(store, "a", Counted(1))
            recorded = store.get(store.head).recorded_at
            assert (wall_s, monotonic_s) == (round(recorded.wall_s, 6), round(recorded.monotonic_s, 6))
            assert boot == recorded.boot_id

    def test_after_previous_is_caused_by_the_event_before_it(self, store: EventStore) -> None:
        """Within a stream write a cause need not know its position beforehand."""
        append(store, "a", Counted(0))
        chained = tuple([NewEvent(Counted(n), cause=1, after_previous=n > 1) for n in (1, 2, 3)])
        store.append(Batch((StreamWrite("b", chained), StreamWrite("c", (NewEvent(Counted(4)),)))))
        assert [None, 1, 2, 3, None] == [record.cause for record in store.read()]

    def test_a_batch_is_stored_whole(self, store: EventStore) -> None:
        """Events of several streams, cursors, receipts, snapshots, attachments: one append, one truth."""
        store.append(Batch(attachments=(Attachment("old", b"1"),)))
        store.append(
            Batch(
                (StreamWrite("a", (NewEvent(Counted(1)),)), StreamWrite("b", (NewEvent(Counted(2)),))),
                cursors=(Cursor("reader", 2),),
                receipts=(Receipt("command", {"ok": [1, None, "x"]}),),
                snapshots=(Snapshot("a", 1, "a/1", b"{}"),),
                attachments=(Attachment("new", b"\0\xff"),),
                discard=("old", "never was"),
            )
        )
        assert 2 == store.head
        assert 2 == store.cursor("reader")
        assert Receipt("command", {"ok": [1, None, "x"]}) == store.receipt("command")
        assert Snapshot("a", 1, "a/1", b"{}") == store.snapshot("a")
        assert Attachment("new", b"\0\xff") == store.attachment("new")
        assert ["new"] == list(store.attachment_keys())

    @pytest.mark.parametrize(
        "bad",
        [
            StreamWrite("b", (NewEvent(Counted(2)),), expected_version=5),
            StreamWrite("b", (NewEvent(Counted(2)),), epoch=3),
            StreamWrite("b", (NewEvent(Counted(2)), NewEvent(Measured({"x": float("nan")})))),
            StreamWrite("b", (NewEvent(Counted(2), cause=99),)),
            StreamWrite("b", (NewEvent("no event"),)),
        ],
        ids=["version", "epoch", "value", "cause", "class"],
    )
    def test_a_refused_batch_leaves_nothing(self, store: EventStore, bad: StreamWrite) -> None:
        """Whatever of it is refused, nothing of it is stored, cursors and attachments included."""
        append(store, "a", Counted(1))
        before = contents(store)
        with pytest.raises(EventStoreError):
            store.append(
                Batch(
                    (StreamWrite("a", (NewEvent(Counted(2)),)), bad),
                    cursors=(Cursor("reader", 1),),
                    receipts=(Receipt("command", 1),),
                    snapshots=(Snapshot("a", 1, "a/1", b"{}"),),
                    attachments=(Attachment("key", b""),),
                )
            )
        assert before == contents(store)
        assert store.cursor("reader") is None
        assert store.receipt("command") is None
        assert store.snapshot("a") is None
        assert store.verify().ok

    def test_wrong_version_says_what_is_there(self, store: EventStore) -> None:
        """The error carries stream, expected and actual version."""
        append(store, "a", Counted(1), expected_version=0)
        with pytest.raises(WrongVersion) as caught:
            append(store, "a", Counted(2), expected_version=0)
        assert ("a", 0, 1) == (caught.value.stream, caught.value.expected, caught.value.actual)
        append(store, "a", Counted(2), expected_version=1)
        append(store, "a", Counted(3), expected_version=ANY_VERSION)
        assert [1, 2, 3] == counts(store, "a")

    def test_one_stream_twice_in_a_batch(self, store: EventStore) -> None:
        """The second write starts where the first one ends."""
        writes = (
            StreamWrite("a", (NewEvent(Counted(1)),), expected_version=0),
            StreamWrite("a", (NewEvent(Counted(2)),), expected_version=1),
        )
        assert Appended(1, 2, {"a": 2}) == store.append(Batch(writes))

    def test_an_empty_batch_is_nothing(self, store: EventStore) -> None:
        """It stores nothing and answers with the head."""
        assert Appended(0, 0, {}) == store.append(Batch())
        append(store, "a", Counted(1))
        assert Appended(1, 1, {}) == store.append(Batch(durability=Durability.RELAXED))

    def test_a_stream_is_there_once_it_was_written_to(self, store: EventStore) -> None:
        """Were it no event: it then exists, at version 0."""
        assert Appended(0, 0, {"a": 0}) == store.append(Batch((StreamWrite("a", ()),)))
        assert [("a", 0, 0)] == [(info.name, info.version, info.epoch) for info in store.streams()]

    def test_every_durability_is_read_back_at_once(self, store: EventStore) -> None:
        """Relaxed appends are visible like strict ones; a barrier changes nothing to see."""
        append(store, "a", Counted(1), durability=Durability.RELAXED)
        append(store, "a", Counted(2))
        append(store, "a", Counted(3), durability=Durability.RELAXED)
        store.barrier()
        store.barrier()
        assert [1, 2, 3] == counts(store, "a")

    def test_names_may_be_any_text(self, store: EventStore) -> None:
        """Names that look alike to a careless store are different ones; nothing in them means anything."""
        names = ["a", "A", "a ", " a", "ä", "a\u0308", "a%", "a_", "a'; --", "a/", "\U0001f600", "a\n", "1", "1.0"]
        for n, name in enumerate(names):
            append(store, name, Counted(n), cursors=(Cursor(name, n),), attachments=(Attachment(name, b"%d" % n),))
        for n, name in enumerate(names):
            assert [n] == counts(store, name)
            assert n == store.cursor(name)
            assert b"%d" % n == store.attachment(name).data
        assert sorted(names) == [info.name for info in store.streams()] == list(store.attachment_keys())
