"""What every store promises of reading: ranges, streams, categories, types, times, pages, tails and folds."""

from __future__ import annotations

import threading

import pytest

from eventstore.errors import StoreClosed
from eventstore.protocol import EventReader, EventStore
from eventstore.records import Folded
from eventstore.testing.clock import FakeClock
from eventstore.testing.conformance.base import Beneath, Counted, Measured, add, append, contents, counts

PATIENCE_S = 30.0
"""How long another thread may take at most. Nothing is measured by it."""


class Reading(Beneath):
    """Ways of reading."""

    @pytest.fixture
    def filled(self, store: EventStore) -> EventStore:
        """Six events: a, a/x, ab, a, a/x, ab, alternately counted and measured."""
        for n, stream in enumerate(["a", "a/x", "ab"] * 2, 1):
            append(store, stream, Counted(n) if n % 2 else Measured({"n": float(n)}))
        return store

    def test_reading_a_range(self, filled: EventStore) -> None:
        """After is exclusive, up_to inclusive, limit counts records."""
        assert [3, 4, 5] == [record.position for record in filled.read(after=2, up_to=5)]
        assert [3, 4] == [record.position for record in filled.read(after=2, limit=2)]
        assert [] == list(filled.read(limit=0))
        assert [] == list(filled.read(after=6))
        assert [] == list(filled.read(after=4, up_to=3))
        assert 6 == len(list(filled.read(after=-5, up_to=2**70)))

    def test_reading_by_type_and_stream(self, filled: EventStore) -> None:
        """Only records of those types, and of exactly those streams."""
        kind = "conformance.counted"
        assert [1, 3, 5] == [record.position for record in filled.read(types=[kind])]
        assert [1, 4] == [record.position for record in filled.read(streams=["a"])]
        assert [1] == [record.position for record in filled.read(types=[kind], streams=iter(["a", "none"]))]
        assert [3, 5] == [record.position for record in filled.read(types=[kind], after=1, limit=2)]
        assert [] == list(filled.read(types=[]))
        assert [] == list(filled.read(types=["un.known"]))

    def test_reading_a_stream_or_a_category(self, filled: EventStore) -> None:
        """A category is its own stream and those below its slash, in log order."""
        assert [1, 2] == [record.version for record in filled.read_stream("a")]
        assert [4] == [record.position for record in filled.read_stream("a", after=1)]
        assert [1] == [record.position for record in filled.read_stream("a", up_to=1)]
        assert [1, 2, 4, 5] == [record.position for record in filled.read_category("a")]
        assert [2, 4] == [record.position for record in filled.read_category("a", after=1, up_to=4)]
        assert [] == list(filled.read_category("a/"))

    def test_as_of_a_position_the_log_is_what_it_was(self, filled: EventStore) -> None:
        """What was read up to a position is read again, whatever came later."""
        before = [record.data for record in filled.read(up_to=4)]
        folded = [record.version for record in filled.read_stream("a", up_to=2)]
        append(filled, "a", Counted(7))
        assert before == [record.data for record in filled.read(up_to=4)]
        assert folded == [record.version for record in filled.read_stream("a", up_to=2)]

    def test_as_of_a_time(self, store: EventStore, clock: FakeClock) -> None:
        """The last position recorded at or before it."""
        for _ in range(3):
            append(store, "a", Counted(1), Counted(2))
            clock.wall_s += 10
        assert [0, 2, 2, 4, 6] == [store.position_at(s) for s in (999.0, 1000.0, 1009.9, 1010.0, 1e300)]

    def test_a_clock_that_goes_back_disorders_nothing(self, store: EventStore, clock: FakeClock) -> None:
        """Time is a label: the order is that of positions, and the last one that fits a time is meant."""
        for wall_s in (1000.0, 2000.0, 500.0, 1500.0):
            clock.wall_s = wall_s
            append(store, "a", Counted(int(wall_s)))
        assert [1000, 2000, 500, 1500] == counts(store, "a")
        assert [1, 2, 3, 4] == [record.position for record in store.read()]
        assert [1, 2, 3, 4] == [record.position for record in store.read(types=["conformance.counted"])]
        assert [3, 3, 4, 4] == [store.position_at(s) for s in (500.0, 1000.0, 1500.0, 2000.0)]

    def test_many_pages_read_like_one(self, store: EventStore) -> None:
        """More than one page, with and without filters, through streams and folds too."""
        for start in range(0, 2500, 500):
            append(store, "a", *(Counted(n) for n in range(start, start + 499)))
            append(store, "b", Measured({}))
        assert list(range(1, 2501)) == [record.position for record in store.read()]
        measured = store.read(types=["conformance.measured"])
        assert [500, 1000, 1500, 2000, 2500] == [record.position for record in measured]
        assert list(range(1, 2496)) == [record.version for record in store.read_stream("a")]
        assert 2400 == sum(1 for _ in store.read(after=50, up_to=2450))
        total = sum(n for start in range(0, 2500, 500) for n in range(start, start + 499))
        assert Folded(total, 2495) == store.fold("a", add, 0)

    def test_a_reader_that_is_slow_sees_a_prefix(self, store: EventStore) -> None:
        """What is appended while it reads comes after what it has read, never between."""
        append(store, "a", *(Counted(n) for n in range(10)))
        seen = []
        for record in store.read():
            seen.append(record.position)
            if record.position < 20:
                append(store, "a", Counted(record.position))
        assert list(range(1, len(seen) + 1)) == seen
        assert 10 <= len(seen) <= store.head

    # --- tails ----------------------------------------------------------------------------------------------------

    def test_tail_goes_on_with_what_is_appended_later(self, store: EventStore) -> None:
        """A commit in the same process wakes it without waiting for the poll."""
        append(store, "a", Counted(1))
        seen: list[int] = []
        first_seen, done = threading.Event(), threading.Event()

        def follow() -> None:
            for record in store.tail(poll_s=2 * PATIENCE_S, stop=lambda: len(seen) >= 3):
                seen.append(record.event.n)
                first_seen.set()
            done.set()

        thread = threading.Thread(target=follow)
        thread.start()
        assert first_seen.wait(PATIENCE_S)
        append(store, "a", Counted(2))
        append(store, "a", Counted(3))
        assert done.wait(PATIENCE_S)
        thread.join()
        assert [1, 2, 3] == seen

    def test_tail_begins_after_a_position_and_ends_when_told(self, filled: EventStore) -> None:
        """Before its first record, too."""
        tail = filled.tail(after=4)
        assert [5, 6] == [next(tail).position, next(tail).position]
        assert [] == list(filled.tail(stop=lambda: True))

    def test_a_tail_ends_with_its_store(self, filled: EventStore) -> None:
        """By the same error as every other use."""
        tail = filled.tail(poll_s=0.001)
        next(tail)
        filled.close()
        with pytest.raises(StoreClosed):
            for _ in tail:
                pass

    # --- folds ----------------------------------------------------------------------------------------------------

    def test_fold_is_what_reading_the_stream_gives(self, store: EventStore) -> None:
        """For every range, with the version of the last event folded in."""
        append(store, "b", Counted(1000))
        append(store, "a", *(Counted(n) for n in (1, 2, 4)))
        append(store, "b", Counted(1000))
        append(store, "a", Counted(8))
        assert Folded(15, 4) == store.fold("a", add, 0) == store.fold("a", add, 0, after=-3, up_to=2**70)
        for after in range(5):
            for up_to in range(6):
                events = [record.event.n for record in store.read_stream("a", after=after, up_to=up_to)]
                folded = store.fold("a", add, 100, after=after, up_to=up_to)
                assert 100 + sum(events) == folded.state
                assert (after + len(events)) == folded.version

    def test_fold_keeps_the_order_and_folds_nothing_of_a_stream_that_is_not_there(self, store: EventStore) -> None:
        """The state comes back as it was given, and where it was folded from."""
        append(store, "a", *(Counted(n) for n in (3, 1, 2)))
        assert [3, 1, 2] == store.fold("a", lambda state, event: [*state, event.n], []).state
        state = object()
        folded = store.fold("nobody", lambda _state, _event: None, state, after=7)
        assert folded.state is state
        assert 7 == folded.version

    def test_what_evolve_raises_comes_out(self, store: EventStore) -> None:
        """A fold is its caller's code; the store goes on."""
        append(store, "a", Counted(1))

        def refuse(state: int, event: Counted) -> int:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.fold("a", refuse, 0)
        append(store, "a", Counted(2))
        assert Folded(3, 2) == store.fold("a", add, 0)

    # --- beside the owner -----------------------------------------------------------------------------------------

    def test_a_reader_sees_what_the_owner_commits(self, store: EventStore, reader: EventReader) -> None:
        """At once, everything of it, and without ownership."""
        append(store, "a", Counted(1), attachments=())
        append(store, "b", Counted(2))
        assert contents(store) == contents(reader)
        assert Folded(1, 1) == reader.fold("a", add, 0)
        assert 0 == reader.statistics().owner_epoch
        assert reader.verify().ok
        tail = reader.tail(after=1, poll_s=0.001)
        assert 2 == next(tail).position
        append(store, "a", Counted(3))
        assert 3 == next(tail).position
