"""What every store promises to those that share it: order, group commits, batches only handed in, listeners."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from eventstore.errors import BadRequest, EventRefused, EventStoreError, WrongVersion
from eventstore.protocol import EventStore
from eventstore.records import Appended, Batch, Cursor, Durability
from eventstore.testing.conformance.base import Beneath, Counted, Measured, append, counts, one_write

THREADS, EACH = 6, 25


class Sharing(Beneath):
    """Several threads, and several batches under way."""

    # --- handed in ------------------------------------------------------------------------------------------------

    def test_what_was_handed_in_is_stored_in_that_order(self, store: EventStore) -> None:
        """Waiting for the last of them has stored all before it."""
        pending = [store.submit(one_write("a", Counted(n), expected_version=n)) for n in range(50)]
        assert Appended(50, 50, {"a": 50}) == pending[-1].result()
        assert all(one.done for one in pending)
        assert [Appended(n + 1, n + 1, {"a": n + 1}) for n in range(50)] == [one.result() for one in pending]
        assert list(range(50)) == counts(store, "a")

    def test_an_append_comes_after_what_its_thread_handed_in(self, store: EventStore) -> None:
        """It does not overtake."""
        pending = store.submit(one_write("a", Counted(1), expected_version=0))
        append(store, "a", Counted(2), expected_version=1)
        assert pending.done
        assert [1, 2] == counts(store, "a")

    def test_a_barrier_stores_what_was_handed_in(self, store: EventStore) -> None:
        """All of it, strict or relaxed."""
        pending = [
            store.submit(one_write("a", Counted(n), durability=durability))
            for n, durability in enumerate((Durability.RELAXED, Durability.STRICT) * 10)
        ]
        store.barrier()
        assert all(one.done for one in pending)
        assert list(range(20)) == counts(store, "a")

    def test_closing_stores_what_was_handed_in(self, store: EventStore) -> None:
        """Nobody need wait for it."""
        pending = store.submit(one_write("a", Counted(1)))
        store.close()
        assert pending.done
        assert Appended(1, 1, {"a": 1}) == pending.result()

    def test_one_refused_batch_refuses_no_other(self, store: EventStore) -> None:
        """Each that was handed in is judged alone, in its turn."""
        first = store.submit(one_write("a", Counted(1), expected_version=0))
        wrong = store.submit(one_write("a", Counted(2), expected_version=0))
        third = store.submit(one_write("a", Counted(3), expected_version=1))
        assert Appended(2, 2, {"a": 2}) == third.result()
        assert Appended(1, 1, {"a": 1}) == first.result()
        for _ in range(2):  # asked again it answers the same
            with pytest.raises(WrongVersion):
                wrong.result()
        assert [1, 3] == counts(store, "a")

    def test_what_makes_no_sense_is_refused_when_it_is_handed_in(self, store: EventStore) -> None:
        """Only what depends on the store is told later."""
        with pytest.raises(EventRefused):
            store.submit(one_write("a", Measured({"x": float("nan")})))
        with pytest.raises(BadRequest):
            store.submit(Batch(cursors=(Cursor("", 1),)))

    def test_many_handed_in_do_not_pile_up(self, store: EventStore) -> None:
        """Past a bound of the store's own they are stored though nobody waits."""
        pending = [store.submit(Batch(discard=(str(n),), durability=Durability.RELAXED)) for n in range(5_000)]
        assert pending[0].done
        store.barrier()
        assert pending[-1].done

    # --- several threads ------------------------------------------------------------------------------------------

    def test_concurrent_appends_are_all_there_in_some_order(self, store: EventStore) -> None:
        """From many threads: no gap, no double, each thread's own order kept, each told where its events are."""
        told: dict[int, int] = {}

        def work(name: int) -> None:
            for n in range(EACH):
                appended = append(store, f"s/{name % 3}", Counted(name * 1000 + n))
                told[name * 1000 + n] = appended.first_position

        run([partial(work, name) for name in range(THREADS)])
        found = {record.event.n: record.position for record in store.read()}
        assert told == found
        assert THREADS * EACH == len(found) == store.head
        for name in range(THREADS):
            own = [n for n in found if n // 1000 == name]
            assert sorted(own) == own
        assert store.verify().ok

    def test_of_those_that_expect_the_same_version_one_wins(self, store: EventStore) -> None:
        """In each round, and the others are told that it did."""
        won: list[int] = []

        def work(name: int) -> None:
            for version in range(10):
                try:
                    append(store, "a", Counted(name), expected_version=version)
                except WrongVersion as error:
                    assert error.actual > version
                else:
                    won.append(version)

        run([partial(work, name) for name in range(4)])
        assert list(range(10)) == sorted(won)
        assert 10 == store.version("a")

    def test_of_many_equal_retries_one_is_stored(self, store: EventStore) -> None:
        """However they come together, all get the same result."""
        results: list[Appended] = []

        def work() -> None:
            results.extend([append(store, "a", Counted(n), idempotency_key=f"k-{n}") for n in range(10)])

        run([work] * 4)
        assert list(range(10)) == sorted(counts(store, "a"))
        assert 10 == len({(one.first_position, one.last_position) for one in results})
        assert 40 == len(results)

    def test_statistics_add_up(self, store: EventStore) -> None:
        """Callers may have shared commits: there are no more commits than batches, and none larger than all of them."""
        for _ in range(3):
            store.submit(one_write("a", Counted(1), Counted(2)))
        store.barrier()
        append(store, "b", Counted(1))
        with pytest.raises(WrongVersion):
            append(store, "b", Counted(2), expected_version=9)
        counted = store.statistics()
        assert (7, 2, 7, 4, 0) == (
            counted.head,
            counted.streams,
            counted.events_appended,
            counted.batches_appended,
            counted.failures,
        )
        assert counted.size_bytes >= 0
        assert store.owner_epoch == counted.owner_epoch
        assert 1 <= counted.largest_commit <= 4
        assert 2 <= counted.commits <= 5

    # --- listeners ------------------------------------------------------------------------------------------------

    def test_listeners_hear_of_each_commit_of_events(self, store: EventStore) -> None:
        """With the head and the types; one that raises harms neither the append nor the others."""
        heard: list[tuple[int, frozenset[str]]] = []

        def broken(head: int, types: frozenset[str]) -> None:
            raise RuntimeError

        store.subscribe(broken)
        end = store.subscribe(lambda head, types: heard.append((head, types)))
        append(store, "a", Counted(1), Measured({}))
        store.append(Batch(cursors=(Cursor("reader", 1),)))
        with pytest.raises(WrongVersion):
            append(store, "a", Counted(1), expected_version=9)
        end()
        append(store, "a", Counted(2))
        assert [(2, frozenset({"conformance.counted", "conformance.measured"}))] == heard

    def test_a_listener_may_use_the_store(self, store: EventStore) -> None:
        """What it is told of can be read, and it may append itself."""
        seen: list[int] = []

        def answer(head: int, types: frozenset[str]) -> None:
            seen.append(store.get(head).event.n)
            if head < 3:
                append(store, "a", Counted(head + 10))

        store.subscribe(answer)
        append(store, "a", Counted(1))
        assert [1, 11, 12] == sorted(seen)

    @pytest.mark.parametrize("error", [ValueError("its own"), SystemExit(3), GeneratorExit()])
    def test_what_a_listener_raises_is_not_the_appends(self, store: EventStore, error: BaseException) -> None:
        """The append has succeeded, and may be of somebody who knows nothing of the listener, whatever it ends with."""

        def fail(head: int, types: frozenset[str]) -> None:
            raise error

        store.subscribe(fail)
        assert 1 == append(store, "a", Counted(1)).last_position


def run(works: Iterable[Callable[[], object]]) -> None:
    """Do several things at once, each in a thread, and raise what one of them raised."""
    failed: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except (EventStoreError, AssertionError) as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
