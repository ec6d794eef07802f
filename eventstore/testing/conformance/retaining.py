"""What every store promises of retention: the oldest events go, but none that a limit, reader or recovery needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import pytest

from eventstore.errors import EventsRemoved, PositionNotFound
from eventstore.protocol import EventReader, EventStore
from eventstore.records import (
    Appended,
    Attachment,
    Batch,
    Cursor,
    Folded,
    Receipt,
    Record,
    Retained,
    Retention,
    Snapshot,
)
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance.base import Beneath, Counted, add, append, counts, one_write


class Retaining(Beneath):
    """Removing the oldest events."""

    @pytest.fixture
    def long(self, store: EventStore) -> EventStore:
        """Ten events of ``a``, with snapshots at 4, 6 and 8."""
        for n in range(1, 11):
            append(store, "a", Counted(n))
        for version in (4, 6, 8):
            store.append(Batch(snapshots=(Snapshot("a", version, "a/1", b"%d" % version),)))
        return store

    def test_recovery_keeps_what_follows_the_oldest_snapshot(self, long: EventStore) -> None:
        """It may be the only one that a later release can read."""
        retained = retain(long, Retention(max_events=0))
        assert (4, 5, "stream a") == (retained.removed, retained.first, retained.held_by)
        assert retained.freed_bytes >= 0
        assert (5, 10) == (long.first, long.head)
        snapshot = long.snapshot("a", up_to=4)
        assert snapshot is not None
        assert Folded(sum(range(5, 11)), 10) == long.fold("a", add, 0, after=snapshot.version)
        assert long.verify().ok

    def test_positions_and_versions_stay_what_they_were(self, long: EventStore) -> None:
        """Of what is kept, and of what comes later."""
        retain(long, Retention(max_events=0))
        assert [(n, n) for n in range(5, 11)] == [(record.position, record.version) for record in long.read()]
        assert list(range(5, 11)) == counts(long, "a")
        assert 10 == long.version("a")
        assert Appended(11, 11, {"a": 11}) == append(long, "a", Counted(11), expected_version=10)

    def test_what_was_removed_is_told_from_what_never_was(self, long: EventStore) -> None:
        """Folding over it raises; reading begins at the first one kept."""
        retain(long, Retention(max_events=0))
        for after, up_to in ((0, None), (3, None), (0, 5), (3, 4)):
            with pytest.raises(EventsRemoved) as caught:
                long.fold("a", add, 0, after=after, up_to=up_to)
            assert ("a", after, 4) == (caught.value.stream, caught.value.after, caught.value.removed)
        assert Folded(0, 0) == long.fold("a", add, 0, after=0, up_to=0)
        assert Folded(5, 5) == long.fold("a", add, 0, after=4, up_to=5)
        with pytest.raises(PositionNotFound) as missing:
            long.get(4)
        assert (5, 10) == (missing.value.first, missing.value.head)
        assert [5] == [record.position for record in long.read(limit=1)]
        assert [5] == [record.position for record in long.read_category("a", up_to=5)]
        assert [9, 10] == [record.version for record in long.read_stream("a", after=8)]

    def test_reading_on_from_what_was_removed_is_told(self, long: EventStore) -> None:
        """Whatever is read, and where it ends; from the first that is kept, and from 0, all that is there is given."""
        retain(long, Retention(max_events=0))
        ways: tuple[Callable[..., Iterator[Record]], ...] = (
            long.read,
            partial(long.read, types=["conformance.counted"]),
            partial(long.read, streams=["a"]),
            partial(long.read_category, "a"),
            partial(long.read_stream, "a"),
        )
        for read in ways:
            for after, up_to in ((1, None), (3, None), (3, 4), (1, 7)):
                with pytest.raises(EventsRemoved) as caught:
                    next(read(after=after, up_to=up_to))
                assert (after, 4, 5) == (caught.value.after, caught.value.removed, caught.value.first)
            assert list(range(5, 11)) == [record.position for record in read(after=caught.value.removed)]
            assert list(range(5, 11)) == [record.position for record in read()]
            assert [5, 6] == [record.position for record in read(up_to=6)]
            assert [5, 6] == [record.position for record in read(after=2, up_to=6, removed="skip")]
            assert [] == list(read(after=3, up_to=3)) == list(read(up_to=4)) == list(read(after=99))

    def test_a_reading_that_lags_behind_is_told(self, store: EventStore) -> None:
        """Each page is of its own moment: what is removed between two of them is missing, and that is said."""
        append(store, "a", *(Counted(n) for n in range(1, 3001)))
        tail, skipping, part = store.tail(), store.tail(removed="skip"), store.read_stream("a", after=1)
        filtered = store.read(types=["conformance.counted"])
        for one in (tail, skipping, filtered):
            assert 1 == next(one).position
        assert 2 == next(part).position
        store.append(Batch(snapshots=(Snapshot("a", 3000, "a/1", b""),)))
        retain(store, Retention(max_events=5))
        assert 2996 == store.first
        for one in (tail, filtered, part):
            last = 1
            with pytest.raises(EventsRemoved) as caught:
                for record in one:
                    last = record.position
            assert (last, 2995) == (caught.value.after, caught.value.removed)
            assert last < 2995
        beyond = next(record.position for record in skipping if record.position > last)
        assert 2996 == beyond
        again = store.tail(after=caught.value.removed)
        assert 2996 == next(again).position

    def test_a_tail_that_waits_is_told_too(self, store: EventStore, reader: EventReader) -> None:
        """Of what came and went while it was at the end; one that began with nothing begins with what is there."""
        append(store, "a", Counted(1))
        waiting, early = reader.tail(poll_s=0.001), reader.tail(after=7, poll_s=0.001)
        assert 1 == next(waiting).position
        append(store, "a", *(Counted(n) for n in range(2, 21)), snapshots=(Snapshot("a", 20, "a/1", b""),))
        retain(store, Retention(max_events=2))
        assert 19 == reader.first
        for one in (waiting, early):
            with pytest.raises(EventsRemoved):
                next(one)
        assert [19, 20] == [record.position for record in islice(reader.tail(), 2)]

    def test_the_newest_events_stay(self, long: EventStore) -> None:
        """As many as were asked for; asked again nothing more goes."""
        assert Retained(2, 3, 0, "policy") == without_bytes(retain(long, Retention(max_events=8)))
        assert Retained(0, 3, 0, "policy") == without_bytes(retain(long, Retention(max_events=8)))
        assert Retained(0, 3, 0, "policy") == without_bytes(retain(long, Retention(max_events=100)))

    def test_the_young_stay(self, store: EventStore, clock: FakeClock) -> None:
        """Those recorded less than the age ago; and with two limits, those that either keeps."""
        for n in range(6):
            append(store, "a", Counted(n))
            clock.advance(10)
        store.append(Batch(snapshots=(Snapshot("a", 6, "a/1", b""),)))
        assert Retained(1, 2, 0, "policy") == without_bytes(retain(store, Retention(max_age_s=60, max_events=5)))
        assert Retained(0, 2, 0, "policy") == without_bytes(retain(store, Retention(max_age_s=45, max_events=5)))
        assert Retained(2, 4, 0, "policy") == without_bytes(retain(store, Retention(max_age_s=40)))
        assert Retained(3, 7, 0, "policy") == without_bytes(retain(store, Retention(max_age_s=0)))
        assert 6 == store.head == store.version("a")

    def test_a_young_event_before_an_old_one_stays(self, store: EventStore, clock: FakeClock) -> None:
        """Clocks go back; only a prefix is ever removed."""
        for wall_s in (1000.0, 5000.0, 1000.0):
            clock.wall_s = wall_s
            append(store, "a", Counted(1))
        store.append(Batch(snapshots=(Snapshot("a", 3, "a/1", b""),)))
        clock.wall_s = 5010.0
        assert Retained(1, 2, 0, "policy") == without_bytes(retain(store, Retention(max_age_s=100)))

    def test_a_stream_without_a_snapshot_keeps_everything(self, store: EventStore) -> None:
        """And so all that comes after its first event, of whatever stream."""
        append(store, "a", Counted(1), snapshots=(Snapshot("a", 1, "a/1", b""),))
        append(store, "b", Counted(2))
        append(store, "a", Counted(3), snapshots=(Snapshot("a", 2, "a/1", b""),))
        assert Retained(1, 2, 0, "stream b") == without_bytes(retain(store, Retention(max_events=0)))
        assert [2] == counts(store, "b")

    def test_an_expendable_stream_holds_nothing_back(self, store: EventStore) -> None:
        """Those of the categories named, and no others that begin alike."""
        append(store, "log/x", Counted(1))
        append(store, "log", Counted(2))
        append(store, "logs", Counted(3))
        expendable = Retention(max_events=0, expendable=("log",))
        assert Retained(2, 3, 0, "stream logs") == without_bytes(retain(store, expendable))
        assert 1 == store.version("log") == store.version("log/x")
        with pytest.raises(EventsRemoved):
            store.fold("log", add, 0)
        append(store, "log", Counted(4), expected_version=1)
        assert Folded(4, 2) == store.fold("log", add, 0, after=1)

    def test_what_a_consumer_has_not_read_stays(self, long: EventStore) -> None:
        """Of those that ever stored a cursor, or of those that were named; one that never stored one read nothing."""
        long.append(Batch(cursors=(Cursor("slow", 1), Cursor("quick", 3))))
        every = Retention(max_events=0)
        assert Retained(1, 2, 0, "cursor slow") == without_bytes(retain(long, every))
        named = Retention(max_events=0, consumers=("quick",))
        assert Retained(2, 4, 0, "cursor quick") == without_bytes(retain(long, named))
        unknown = Retention(max_events=0, consumers=("nobody",))
        assert Retained(0, 4, 0, "cursor nobody") == without_bytes(retain(long, unknown))
        nobody = Retention(max_events=0, consumers=())
        assert Retained(1, 5, 0, "stream a") == without_bytes(retain(long, nobody))

    def test_all_may_go(self, store: EventStore) -> None:
        """A log without events still knows where it is."""
        append(store, "a", Counted(1), Counted(2), snapshots=(Snapshot("a", 2, "a/1", b""),))
        assert Retained(2, 3, 0, "policy") == without_bytes(retain(store, Retention(max_events=0)))
        assert (3, 2) == (store.first, store.head)
        assert [] == list(store.read())
        assert 2 == store.version("a")
        assert Folded(7, 2) == store.fold("a", add, 7, after=2)
        assert store.verify().ok
        assert Appended(2, 2, {}) == store.append(Batch())
        assert Appended(3, 3, {"a": 3}) == append(store, "a", Counted(3), expected_version=2)
        assert store.verify().ok

    def test_an_empty_log_loses_nothing(self, store: EventStore) -> None:
        """There is nothing to remove, and nobody that holds it."""
        assert Retained(0, 1, 0, "policy") == without_bytes(retain(store, Retention(max_events=0)))

    def test_only_events_go(self, long: EventStore) -> None:
        """Snapshots, cursors, receipts, attachments, epochs and idempotency keys are not touched."""
        epoch = long.acquire("b").epoch
        batch = one_write(
            "a",
            Counted(0),
            cursors=(Cursor("c", 11),),
            receipts=(Receipt("r", 1),),
            attachments=(Attachment("k", b"1"),),
            idempotency_key="key",
        )
        first = long.append(batch)
        retain(long, Retention(max_events=0))
        assert 5 == long.first
        assert (11, Receipt("r", 1), b"1") == (long.cursor("c"), long.receipt("r"), long.attachment("k").data)
        newest = long.snapshot("a")
        assert newest is not None
        assert 8 == newest.version
        assert first == long.append(batch)
        assert epoch < long.acquire("b").epoch

    def test_a_later_snapshot_lets_more_go(self, long: EventStore) -> None:
        """As the oldest is replaced, what only it needed is not needed any more."""
        retain(long, Retention(max_events=0))
        append(long, "a", Counted(11), snapshots=(Snapshot("a", 11, "a/1", b""),))
        assert Retained(2, 7, 0, "stream a") == without_bytes(retain(long, Retention(max_events=0)))

    def test_a_fold_that_retention_overtakes_says_so(self, store: EventStore) -> None:
        """It leaves nothing out: it had read the events before, or it raises."""
        append(store, "a", *(Counted(n) for n in range(1, 2501)), snapshots=(Snapshot("a", 2400, "a/1", b""),))

        def overtaken(state: int, event: Counted) -> int:
            if state == 0:
                retain(store, Retention(max_events=0))
            return state + event.n

        try:
            folded = store.fold("a", overtaken, 0)
        except EventsRemoved as error:
            assert 2400 == error.removed
        else:
            assert Folded(sum(range(1, 2501)), 2500) == folded

    def test_a_cause_may_be_what_was_removed(self, long: EventStore) -> None:
        """Why something happened is not forgotten with it."""
        retain(long, Retention(max_events=0))
        write = one_write("a", Counted(11)).writes[0]
        (new,) = write.events
        long.append(Batch((type(write)("a", (type(new)(new.event, cause=2),)),)))
        assert 2 == long.get(11).cause


def retain(store: EventStore, retention: Retention) -> Retained:
    """Let events go until nothing but the rule holds them: one run is bounded."""
    removed = freed = 0
    while True:
        retained = store.retain(retention)
        removed += retained.removed
        freed += retained.freed_bytes
        if retained.held_by != "time":
            return Retained(removed, retained.first, freed, retained.held_by)


def without_bytes(retained: Retained) -> Retained:
    """How many bytes a store gives back is its own affair."""
    return Retained(retained.removed, retained.first, 0, retained.held_by)
