"""What every store promises, whatever it is kept in."""

from __future__ import annotations

import pytest

from eventstore.errors import (
    BadRequest,
    EventRefused,
    EventStoreError,
    Fenced,
    NotAnEvent,
    WrongVersion,
)
from eventstore.protocol import EventStore
from eventstore.records import (
    ANY_VERSION,
    Appended,
    Attachment,
    Batch,
    Cursor,
    Durability,
    Grant,
    Instant,
    NewEvent,
    Receipt,
    Snapshot,
    StreamInfo,
    StreamWrite,
)
from tests.eventstore.support import Counted, FakeClock, Measured, append, counts

# --- appending ----------------------------------------------------------------------------------------------------


def test_a_new_store_is_empty(store: EventStore) -> None:
    """Nothing is there, and asking for it is no error."""
    assert (0, 1) == (store.head, store.first)
    assert [] == list(store.read())
    assert [] == list(store.read_stream("nobody"))
    assert 0 == store.version("nobody")
    assert () == store.streams()
    assert store.snapshot("nobody") is None
    assert store.cursor("nobody") is None
    assert store.receipt("none") is None
    assert () == store.attachment_keys()
    assert 0 == store.position_at(1e12)
    assert store.verify().ok


def test_positions_and_versions_count_without_gaps(store: EventStore) -> None:
    """Positions count through the log, versions through each stream, both from 1."""
    assert Appended(1, 2, {"a": 2}) == append(store, "a", Counted(1), Counted(2))
    assert Appended(3, 3, {"b": 1}) == append(store, "b", Counted(3))
    assert Appended(4, 4, {"a": 3}) == append(store, "a", Counted(4))
    assert [(1, "a", 1), (2, "a", 2), (3, "b", 1), (4, "a", 3)] == [
        (record.position, record.stream, record.version) for record in store.read()
    ]
    assert 4 == store.head
    assert 3 == store.version("a")


def test_a_record_tells_everything_that_was_said_of_the_event(store: EventStore, clock: FakeClock) -> None:
    """What, when by both clocks, why, and the stored bytes."""
    append(store, "a", Counted(0))
    new = NewEvent(Counted(1, "x"), cause=1, command_id="c-1", correlation_id="trace", depth=3)
    store.append(Batch((StreamWrite("a", (new,)),)))
    record = store.get(2)
    assert Counted(1, "x") == record.event
    assert ("sample.counted", 1) == (record.type, record.schema_version)
    assert Instant(clock.wall_s, clock.monotonic_s, clock.boot_id) == record.recorded_at
    assert (1, "c-1", "trace", 3) == (record.cause, record.command_id, record.correlation_id, record.depth)
    assert b'{"n":1,"note":"x"}' == record.data


def test_after_previous_is_caused_by_the_event_before_it(store: EventStore) -> None:
    """Within a stream write a cause need not know its position beforehand."""
    append(store, "a", Counted(0))
    chained = tuple(NewEvent(Counted(n), cause=1, after_previous=n > 1) for n in (1, 2, 3))
    store.append(Batch((StreamWrite("b", chained), StreamWrite("c", (NewEvent(Counted(4)),)))))
    assert [None, 1, 2, 3, None] == [record.cause for record in store.read()]


def test_a_batch_is_stored_whole(store: EventStore) -> None:
    """Events of several streams, cursors, receipts, snapshots, attachments: one append, one truth."""
    store.append(Batch(attachments=(Attachment("old", b"1"),)))
    store.append(
        Batch(
            (StreamWrite("a", (NewEvent(Counted(1)),)), StreamWrite("b", (NewEvent(Counted(2)),))),
            cursors=(Cursor("reader", 7),),
            receipts=(Receipt("command", {"ok": [1, None, "x"]}),),
            snapshots=(Snapshot("a", 1, "a/1", b"{}"),),
            attachments=(Attachment("new", b"\0\xff"),),
            discard=("old", "never was"),
        )
    )
    assert 2 == store.head
    assert 7 == store.cursor("reader")
    assert Receipt("command", {"ok": [1, None, "x"]}) == store.receipt("command")
    assert Snapshot("a", 1, "a/1", b"{}") == store.snapshot("a")
    assert Attachment("new", b"\0\xff") == store.attachment("new")
    assert ("new",) == store.attachment_keys()


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
def test_a_refused_batch_leaves_nothing(store: EventStore, bad: StreamWrite) -> None:
    """Whatever of it is refused, nothing of it is stored, cursors and attachments included."""
    append(store, "a", Counted(1))
    before = store.streams(), store.head
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
    assert before == (store.streams(), store.head)
    assert store.cursor("reader") is None
    assert store.receipt("command") is None
    assert store.snapshot("a") is None
    assert () == store.attachment_keys()


def test_wrong_version_says_what_is_there(store: EventStore) -> None:
    """The error carries stream, expected and actual version."""
    append(store, "a", Counted(1), expected_version=0)
    with pytest.raises(WrongVersion) as caught:
        append(store, "a", Counted(2), expected_version=0)
    assert ("a", 0, 1) == (caught.value.stream, caught.value.expected, caught.value.actual)
    append(store, "a", Counted(2), expected_version=1)
    append(store, "a", Counted(3), expected_version=ANY_VERSION)
    assert [1, 2, 3] == counts(store, "a")


def test_one_stream_twice_in_a_batch(store: EventStore) -> None:
    """The second write starts where the first one ends."""
    writes = (
        StreamWrite("a", (NewEvent(Counted(1)),), expected_version=0),
        StreamWrite("a", (NewEvent(Counted(2)),), expected_version=1),
    )
    assert Appended(1, 2, {"a": 2}) == store.append(Batch(writes))


def test_an_empty_batch_is_nothing(store: EventStore) -> None:
    """It stores nothing and answers with the head."""
    assert Appended(0, 0, {}) == store.append(Batch())
    append(store, "a", Counted(1))
    assert Appended(1, 1, {}) == store.append(Batch(durability=Durability.RELAXED))


def test_every_durability_is_read_back_at_once(store: EventStore) -> None:
    """Relaxed appends are visible like strict ones; a barrier changes nothing to see."""
    append(store, "a", Counted(1), durability=Durability.RELAXED)
    append(store, "a", Counted(2))
    append(store, "a", Counted(3), durability=Durability.RELAXED)
    store.barrier()
    store.barrier()
    assert [1, 2, 3] == counts(store, "a")


@pytest.mark.parametrize("name", ["", "nul\0", "\ud800", 5])
def test_names_that_cannot_be_stored_are_refused(store: EventStore, name: str) -> None:
    """Streams, consumers, commands and attachments have text for names."""
    for batch in (
        Batch((StreamWrite(name, ()),)),
        Batch(cursors=(Cursor(name, 1),)),
        Batch(receipts=(Receipt(name, 1),)),
        Batch(snapshots=(Snapshot(name, 0, "s/1", b""),)),
        Batch(snapshots=(Snapshot("a", 0, name, b""),)),
        Batch(attachments=(Attachment(name, b""),)),
    ):
        with pytest.raises(BadRequest):
            store.append(batch)
    with pytest.raises(BadRequest):
        store.acquire(name)


@pytest.mark.parametrize(
    "new",
    [
        NewEvent(Counted(1), cause=-1),
        NewEvent(Counted(1), cause=2**63),
        NewEvent(Counted(1), depth=-1),
        NewEvent(Counted(1), correlation_id="\ud800"),
        NewEvent(Counted(1), command_id="\ud800"),
        NewEvent(Counted(1), after_previous=True),
        NewEvent(Counted(1), cause=1),
    ],
)
def test_an_event_cannot_be_caused_by_nonsense(store: EventStore, new: NewEvent) -> None:
    """A cause comes before its effect, and ids are text."""
    with pytest.raises(BadRequest):
        store.append(Batch((StreamWrite("a", (new,)),)))


@pytest.mark.parametrize("data", ["text", bytearray(b"may change"), None])
def test_only_bytes_are_kept_as_bytes(store: EventStore, data: bytes) -> None:
    """Refused as what it is, not as a failure of the storage."""
    for batch in (Batch(attachments=(Attachment("k", data),)), Batch(snapshots=(Snapshot("a", 0, "a/1", data),))):
        with pytest.raises(BadRequest):
            store.append(batch)


def test_a_snapshot_cannot_be_ahead_of_its_stream(store: EventStore) -> None:
    """What it claims to be the fold of must be there, or come with it."""
    with pytest.raises(BadRequest):
        store.append(Batch(snapshots=(Snapshot("a", 1, "a/1", b"{}"),)))
    append(store, "a", Counted(1), snapshots=(Snapshot("a", 1, "a/1", b"{}"),))
    assert store.snapshot("a") is not None


def test_only_declared_events_are_stored(store: EventStore) -> None:
    """Anything else is a programming error with a type of its own."""
    with pytest.raises(NotAnEvent):
        append(store, "a", {"n": 1})


def test_a_refused_value_is_named(store: EventStore) -> None:
    """The error says which field of which event."""
    with pytest.raises(EventRefused) as caught:
        append(store, "a", Measured({"x": float("inf")}))
    assert ("sample.measured", "values") == (caught.value.type_name, caught.value.field)


@pytest.mark.parametrize("reply", [float("nan"), (1, 2), {1: 2}, object(), 2**64, "\ud800"])
def test_a_receipt_must_be_json(store: EventStore, reply: object) -> None:
    """A retry must get the very answer that the first call got."""
    with pytest.raises(EventRefused):
        store.append(Batch(receipts=(Receipt("command", reply),)))


# --- fencing ------------------------------------------------------------------------------------------------------


def test_acquiring_a_stream_fences_who_had_it(store: EventStore) -> None:
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


def test_an_acquired_stream_refuses_writers_without_an_epoch(store: EventStore) -> None:
    """Forgetting the epoch is no way around the fence; nor is inventing one."""
    append(store, "a", Counted(1))
    store.acquire("a")
    with pytest.raises(Fenced):
        append(store, "a", Counted(2))
    with pytest.raises(Fenced):
        append(store, "b", Counted(2), epoch=1)


def test_a_write_without_events_still_checks(store: EventStore) -> None:
    """A snapshot or an attachment can be fenced by an empty write of its stream."""
    grant = store.acquire("a")
    store.append(Batch((StreamWrite("a", (), 0, grant.epoch),), attachments=(Attachment("k", b"1"),)))
    store.acquire("a")
    with pytest.raises(Fenced):
        store.append(Batch((StreamWrite("a", (), 0, grant.epoch),), attachments=(Attachment("k", b"2"),)))
    assert b"1" == store.attachment("k").data


def test_a_snapshot_of_an_acquired_stream_must_prove_its_epoch(store: EventStore) -> None:
    """Else a fenced actor could still leave its state as the newest."""
    old = store.acquire("a")
    append(store, "a", Counted(1), epoch=old.epoch)
    snapshot = Snapshot("a", 1, "a/1", b"{}")
    with pytest.raises(Fenced):
        store.append(Batch(snapshots=(snapshot,)))
    new = store.acquire("a")
    with pytest.raises(Fenced):
        store.append(Batch((StreamWrite("a", (), 1, old.epoch),), snapshots=(snapshot,)))
    assert store.snapshot("a") is None
    store.append(Batch((StreamWrite("a", (), 1, new.epoch),), snapshots=(snapshot,)))
    assert snapshot == store.snapshot("a")


def test_streams_are_listed_with_version_and_epoch(store: EventStore) -> None:
    """By name, optionally by prefix; acquired streams exist before their first event."""
    append(store, "breaker/b", Counted(1))
    store.acquire("breaker/a")
    append(store, "break", Counted(1))
    assert (StreamInfo("break", 1, 0), StreamInfo("breaker/a", 0, 1), StreamInfo("breaker/b", 1, 0)) == store.streams()
    assert (StreamInfo("breaker/a", 0, 1), StreamInfo("breaker/b", 1, 0)) == store.streams("breaker/")
