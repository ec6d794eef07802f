"""What every store promises of reading, and of what it keeps beside the events."""

from __future__ import annotations

import tempfile
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import (
    AttachmentNotFound,
    PositionNotFound,
    StoreClosed,
    WrongVersion,
)
from eventstore.memory import MemoryStore
from eventstore.opening import open_store
from eventstore.protocol import EventStore
from eventstore.records import (
    Attachment,
    Batch,
    Cursor,
    NewEvent,
    Receipt,
    Snapshot,
    StreamWrite,
)
from eventstore.store import SqliteStore
from tests.eventstore.support import Counted, FakeClock, Measured, append, counts

# --- reading ------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(store: EventStore) -> EventStore:
    """Six events: a, a/x, ab, a, a/x, ab, alternately counted and measured."""
    for n, stream in enumerate(["a", "a/x", "ab"] * 2, 1):
        append(store, stream, Counted(n) if n % 2 else Measured({"n": float(n)}))
    return store


def test_reading_a_range(filled: EventStore) -> None:
    """After is exclusive, up_to inclusive, limit counts records."""
    assert [3, 4, 5] == [record.position for record in filled.read(after=2, up_to=5)]
    assert [3, 4] == [record.position for record in filled.read(after=2, limit=2)]
    assert [] == list(filled.read(limit=0))
    assert [] == list(filled.read(after=6))
    assert [] == list(filled.read(after=4, up_to=3))
    assert 6 == len(list(filled.read(after=-5, up_to=2**70)))


def test_reading_by_type_and_stream(filled: EventStore) -> None:
    """Only records of those types, and of exactly those streams."""
    assert [1, 3, 5] == [record.position for record in filled.read(types=["sample.counted"])]
    assert [1, 4] == [record.position for record in filled.read(streams=["a"])]
    assert [1] == [record.position for record in filled.read(types=["sample.counted"], streams=iter(["a", "none"]))]
    assert [3, 5] == [record.position for record in filled.read(types=["sample.counted"], after=1, limit=2)]
    assert [] == list(filled.read(types=[]))
    assert [] == list(filled.read(types=["un.known"]))


def test_reading_a_stream_or_a_category(filled: EventStore) -> None:
    """A category is its own stream and those below its slash, in log order."""
    assert [1, 2] == [record.version for record in filled.read_stream("a")]
    assert [4] == [record.position for record in filled.read_stream("a", after=1)]
    assert [1] == [record.position for record in filled.read_stream("a", up_to=1)]
    assert [1, 2, 4, 5] == [record.position for record in filled.read_category("a")]
    assert [2, 4] == [record.position for record in filled.read_category("a", after=1, up_to=4)]
    assert [] == list(filled.read_category("a/"))


def test_a_position_that_is_not_there(filled: EventStore) -> None:
    """The error says what the log holds."""
    for position in (0, -1, 7, 2**70):
        with pytest.raises(PositionNotFound) as caught:
            filled.get(position)
        assert (1, 6) == (caught.value.first, caught.value.head)


def test_position_at_a_time(store: EventStore, clock: FakeClock) -> None:
    """The last one recorded at or before that time."""
    for _ in range(3):
        append(store, "a", Counted(1), Counted(2))
        clock.wall_s += 10
    assert [0, 2, 2, 4, 6] == [store.position_at(s) for s in (999.0, 1000.0, 1009.9, 1010.0, 1e300)]


def test_tail_goes_on_with_what_is_appended_later(store: EventStore) -> None:
    """A commit in the same process wakes it without waiting for the poll."""
    append(store, "a", Counted(1))
    seen: list[int] = []
    first_seen, done = threading.Event(), threading.Event()

    def follow() -> None:
        for record in store.tail(poll_s=60, stop=lambda: len(seen) >= 3):
            seen.append(record.event.n)
            first_seen.set()
        done.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert first_seen.wait(30)
    append(store, "a", Counted(2))
    append(store, "a", Counted(3))
    assert done.wait(30)
    thread.join()
    assert [1, 2, 3] == seen


def test_many_pages_read_like_one(store: EventStore) -> None:
    """More than one page, with and without filters, forwards through streams too."""
    for start in range(0, 2500, 500):
        append(store, "a", *(Counted(n) for n in range(start, start + 499)))
        append(store, "b", Measured({}))
    assert list(range(1, 2501)) == [record.position for record in store.read()]
    assert [500, 1000, 1500, 2000, 2500] == [record.position for record in store.read(types=["sample.measured"])]
    assert list(range(1, 2496)) == [record.version for record in store.read_stream("a")]
    assert 2400 == sum(1 for _ in store.read(after=50, up_to=2450))


# --- beside the events --------------------------------------------------------------------------------------------


def test_the_newest_fitting_snapshot_is_found(store: EventStore) -> None:
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


def test_the_first_receipt_of_a_command_stays(store: EventStore) -> None:
    """A retry that slipped through does not change what was answered."""
    store.append(Batch(receipts=(Receipt("command", "first"),)))
    store.append(Batch(receipts=(Receipt("command", "second"),)))
    assert Receipt("command", "first") == store.receipt("command")


def test_receipts_are_forgotten_after_a_day(store: EventStore, clock: FakeClock) -> None:
    """An old one is gone once a thousand newer ones were stored."""
    store.append(Batch(receipts=(Receipt("old", 1),)))
    clock.wall_s += 24 * 3600 + 1
    store.append(Batch(receipts=tuple(Receipt(f"new-{n}", n) for n in range(1000))))
    assert store.receipt("old") is None
    assert Receipt("new-0", 0) == store.receipt("new-0")


def test_an_attachment_is_replaced_and_discarded(store: EventStore) -> None:
    """Keys are listed in order; a discarded one is an error of its own."""
    store.append(Batch(attachments=(Attachment("b/2", b"1"), Attachment("b/1", b"2"), Attachment("c", b""))))
    store.append(Batch(attachments=(Attachment("b/2", b"3" * 100_000),)))
    assert b"3" * 100_000 == store.attachment("b/2").data
    assert b"" == store.attachment("c").data
    assert ("b/1", "b/2") == store.attachment_keys("b/")
    store.append(Batch(discard=("b/2",)))
    with pytest.raises(AttachmentNotFound) as caught:
        store.attachment("b/2")
    assert "b/2" == caught.value.key


def test_listeners_hear_of_each_commit_of_events(store: EventStore) -> None:
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
    assert [(2, frozenset({"sample.counted", "sample.measured"}))] == heard


def test_statistics_count(store: EventStore) -> None:
    """Head, streams, and what this handle did."""
    append(store, "a", Counted(1), Counted(2))
    append(store, "b", Counted(1))
    counted = store.statistics()
    assert (3, 2, 3, 2, 0, 1) == (
        counted.head,
        counted.streams,
        counted.events_appended,
        counted.batches_appended,
        counted.failures,
        counted.owner_epoch,
    )


def test_settling_when_nothing_is_unknown_changes_nothing(store: EventStore) -> None:
    """It answers with the epoch that holds."""
    assert store.owner_epoch == store.settle() == store.owner_epoch


def test_a_closed_store_says_so(store: EventStore) -> None:
    """Every use after close is StoreClosed; closing again is fine."""
    append(store, "a", Counted(1))
    store.close()
    store.close()
    for use in (
        lambda: store.head,
        lambda: store.get(1),
        store.read,
        lambda: store.read_stream("a"),
        lambda: store.read_category("a"),
        store.tail,
        lambda: store.cursor("x"),
        lambda: store.append(Batch()),
        lambda: store.acquire("a"),
        store.verify,
        store.barrier,
        store.settle,
        store.statistics,
    ):
        with pytest.raises(StoreClosed):
            use()


def test_concurrent_appends_are_all_there_in_some_order(store: EventStore) -> None:
    """From many threads: no gap, no double, each thread's own order kept."""

    def work(name: int) -> None:
        for n in range(25):
            append(store, f"s/{name % 3}", Counted(name * 1000 + n))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [record.event.n for record in store.read()]
    assert 150 == len(set(found)) == len(found) == store.head
    for name in range(6):
        own = [n for n in found if n // 1000 == name]
        assert sorted(own) == own
    assert store.verify().ok


names = st.sampled_from(["a", "a/1", "a/2", "b"])


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
@given(batches=st.lists(st.lists(st.tuples(names, st.integers(0, 3)), max_size=4), max_size=8))
def test_reading_back_equals_a_plain_list(kind: str, batches: list[list[tuple[str, int]]]) -> None:
    """For any sequence of batches, each way of reading equals filtering the list of what was appended."""
    with tempfile.TemporaryDirectory() as directory, new_store(kind, directory) as store:
        written: list[tuple[str, int]] = []
        for batch in batches:
            writes = tuple(
                StreamWrite(stream, tuple(NewEvent(Counted(n)) for n in range(many))) for stream, many in batch
            )
            store.append(Batch(writes))
            written += [(stream, n) for stream, many in batch for n in range(many)]
        assert written == [(record.stream, record.event.n) for record in store.read()]
        for stream in ("a", "a/1", "b"):
            assert [n for name, n in written if name == stream] == counts(store, stream)
        assert [one for one in written if one[0] != "b"] == [
            (record.stream, record.event.n) for record in store.read_category("a")
        ]
        assert store.verify().ok


def new_store(kind: str, directory: str) -> SqliteStore | MemoryStore:
    """A store of one kind."""
    return MemoryStore() if kind == "memory" else open_store(f"{directory}/lrm.db")
