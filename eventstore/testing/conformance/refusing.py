"""What every store refuses, and by which error: names, numbers and values that make no sense or would not come back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from eventstore.errors import AttachmentNotFound, BadRequest, EventRefused, NotAnEvent, PositionNotFound, StoreClosed
from eventstore.protocol import EventStore
from eventstore.records import Attachment, Batch, Cursor, NewEvent, Receipt, Retention, Snapshot, StreamWrite
from eventstore.testing.conformance.base import Beneath, Counted, Measured, append

WITH_NUMBERS: tuple[tuple[str, Callable[[EventStore, Any], Any]], ...] = (
    ("position", lambda store, wrong: store.get(wrong)),
    ("after", lambda store, wrong: store.read(after=wrong)),
    ("up_to", lambda store, wrong: store.read(up_to=wrong)),
    ("limit", lambda store, wrong: store.read(limit=wrong)),
    ("after", lambda store, wrong: store.read_stream("a", after=wrong)),
    ("up_to", lambda store, wrong: store.read_stream("a", up_to=wrong)),
    ("after", lambda store, wrong: store.read_category("a", after=wrong)),
    ("up_to", lambda store, wrong: store.read_category("a", up_to=wrong)),
    ("after", lambda store, wrong: store.fold("a", max, 0, after=wrong)),
    ("up_to", lambda store, wrong: store.fold("a", max, 0, up_to=wrong)),
    ("after", lambda store, wrong: store.tail(after=wrong)),
    ("poll_s", lambda store, wrong: store.tail(poll_s=wrong)),
    ("up_to", lambda store, wrong: store.snapshot("a", up_to=wrong)),
    ("wall_s", lambda store, wrong: store.position_at(wrong)),
)
"""Every argument of a reading that is a number, and a call that gives it."""
WITH_TEXT: tuple[tuple[str, Callable[[EventStore, Any], Any]], ...] = (
    ("prefix", lambda store, wrong: store.streams(wrong)),
    ("stream", lambda store, wrong: store.version(wrong)),
    ("stream", lambda store, wrong: store.read_stream(wrong)),
    ("category", lambda store, wrong: store.read_category(wrong)),
    ("stream", lambda store, wrong: store.fold(wrong, max, 0)),
    ("stream", lambda store, wrong: store.snapshot(wrong)),
    ("schema", lambda store, wrong: store.snapshot("a", schema=wrong)),
    ("consumer", lambda store, wrong: store.cursor(wrong)),
    ("command_id", lambda store, wrong: store.receipt(wrong)),
    ("key", lambda store, wrong: store.attachment(wrong)),
    ("prefix", lambda store, wrong: store.attachment_keys(wrong)),
)
WITH_NAMES: tuple[tuple[str, Callable[[EventStore, Any], Any]], ...] = (
    ("types", lambda store, wrong: store.read(types=wrong)),
    ("streams", lambda store, wrong: store.read(streams=wrong)),
    ("keys", lambda store, wrong: list(store.attachments(wrong))),
)
WITH_FUNCTIONS: tuple[tuple[str, Callable[[EventStore, Any], Any]], ...] = (
    ("evolve", lambda store, wrong: store.fold("a", wrong, 0)),
    ("stop", lambda store, wrong: store.tail(stop=wrong)),
    ("listener", lambda store, wrong: store.subscribe(wrong)),
)


def refused(store: EventStore, use: Callable[[EventStore, Any], Any], wrong: Any, field: str) -> None:
    """Demand that this argument is refused by name."""
    with pytest.raises(BadRequest) as caught:
        use(store, wrong)
    assert field in caught.value.field
    assert caught.value.hint


class Refusing(Beneath):
    """Typed errors, before anything is stored."""

    def test_names_that_cannot_be_stored_are_refused(self, store: EventStore) -> None:
        """Streams, consumers, commands, attachments and keys have text for names."""
        names: list[Any] = ["", "nul\0", "\ud800", 5, None, b"bytes"]
        for name in names:
            self._refuse_name(store, name)
        assert 0 == len(store.streams())

    def _refuse_name(self, store: EventStore, name: Any) -> None:
        for batch in (
            Batch((StreamWrite(name, ()),)),
            Batch(cursors=(Cursor(name, 1),)),
            Batch(receipts=(Receipt(name, 1),)),
            Batch(snapshots=(Snapshot(name, 0, "s/1", b""),)),
            Batch(snapshots=(Snapshot("a", 0, name, b""),)),
            Batch(attachments=(Attachment(name, b""),)),
            Batch(discard=(name,)),
        ):
            with pytest.raises(BadRequest):
                store.append(batch)
        if name is not None:
            with pytest.raises(BadRequest):
                store.append(Batch(idempotency_key=name))
        with pytest.raises(BadRequest):
            store.acquire(name)

    @pytest.mark.parametrize(
        "new",
        [
            NewEvent(Counted(1), cause=-1),
            NewEvent(Counted(1), cause=0),
            NewEvent(Counted(1), cause=True),
            NewEvent(Counted(1), cause=2**63),
            NewEvent(Counted(1), cause=1),
            NewEvent(Counted(1), depth=-1),
            NewEvent(Counted(1), depth=True),
            NewEvent(Counted(1), correlation_id="\ud800"),
            NewEvent(Counted(1), command_id="\ud800"),
            NewEvent(Counted(1), after_previous=True),
        ],
        ids=["negative", "zero", "truth", "too-large", "itself", "depth", "bool", "correlation", "command", "first"],
    )
    def test_an_event_cannot_be_caused_by_nonsense(self, store: EventStore, new: NewEvent) -> None:
        """A cause is an event before its effect, and positions begin at 1; ids are text."""
        with pytest.raises(BadRequest):
            store.append(Batch((StreamWrite("a", (new,)),)))
        assert 0 == store.head

    @pytest.mark.parametrize("number", [-1, -2, 2**63, 1.5, True, "1"])
    def test_numbers_that_cannot_be_stored_are_refused(self, store: EventStore, number: Any) -> None:
        """Versions and positions are whole, not negative, and within 64 bits."""
        batches = [Batch(cursors=(Cursor("c", number),)), Batch(snapshots=(Snapshot("a", number, "a/1", b""),))]
        if number != -1:  # which means any version
            batches.append(Batch((StreamWrite("a", (), expected_version=number),)))
        for batch in batches:
            with pytest.raises(BadRequest):
                store.append(batch)

    @pytest.mark.parametrize("durability", ["strict", None, True])
    def test_a_durability_is_one_of_the_two(self, store: EventStore, durability: Any) -> None:
        """Its name is refused, rather than taken for the weaker one."""
        with pytest.raises(BadRequest):
            append(store, "a", Counted(1), durability=durability)
        assert 0 == store.head

    @pytest.mark.parametrize("data", ["text", bytearray(b"may change"), None])
    def test_only_bytes_are_kept_as_bytes(self, store: EventStore, data: Any) -> None:
        """Refused as what it is, not as a failure of the storage."""
        for batch in (Batch(attachments=(Attachment("k", data),)), Batch(snapshots=(Snapshot("a", 0, "a/1", data),))):
            with pytest.raises(BadRequest):
                store.append(batch)

    def test_a_snapshot_cannot_be_ahead_of_its_stream(self, store: EventStore) -> None:
        """What it claims to be the fold of must be there, or come with it."""
        with pytest.raises(BadRequest):
            store.append(Batch(snapshots=(Snapshot("a", 1, "a/1", b"{}"),)))
        append(store, "a", Counted(1), snapshots=(Snapshot("a", 1, "a/1", b"{}"),))
        assert store.snapshot("a") is not None

    def test_a_cursor_cannot_be_ahead_of_the_log(self, store: EventStore) -> None:
        """It may be at the last event that comes with it, and not past that: nobody has read what is not there."""
        with pytest.raises(BadRequest):
            store.append(Batch(cursors=(Cursor("c", 1),)))
        append(store, "a", Counted(1), Counted(2), cursors=(Cursor("c", 2),))
        with pytest.raises(BadRequest):
            append(store, "a", Counted(3), cursors=(Cursor("d", 1), Cursor("c", 4)))
        assert (2, None) == (store.cursor("c"), store.cursor("d"))

    def test_only_declared_events_are_stored(self, store: EventStore) -> None:
        """Anything else is a programming error with a type of its own."""
        for value in ({"n": 1}, "text", None):
            with pytest.raises(NotAnEvent):
                append(store, "a", value)

    @pytest.mark.parametrize(
        "bad",
        [float("nan"), float("inf"), -float("inf"), "\ud800", 2**64, -(2**63) - 1, (1, 2), {1: 2}, b"x", object(), {1}],
        ids=lambda bad: type(bad).__name__,
    )
    def test_a_value_that_would_not_come_back_is_refused(self, store: EventStore, bad: Any) -> None:
        """The error names the field of an event. A reply must come back on a retry, and is refused alike."""
        with pytest.raises(EventRefused) as caught:
            append(store, "a", Counted(1), Measured({}, extra=bad))
        assert "conformance.measured" == caught.value.type_name
        assert caught.value.field.startswith("extra")
        with pytest.raises(EventRefused):
            store.append(Batch(receipts=(Receipt("command", bad),)))
        assert 0 == store.head

    @pytest.mark.parametrize(
        "value",
        [0.1, -0.0, 5e-324, 1.7976931348623157e308, -(2**63), 2**63 - 1, True, None, "\0", "\U0010ffff", [], {"": {}}],
        ids=repr,
    )
    def test_a_value_that_is_stored_comes_back_exactly(self, store: EventStore, value: Any) -> None:
        """As the same type, too; in an event as in a receipt."""
        append(store, "a", Measured({}, extra=value), receipts=(Receipt("command", value),))
        receipt = store.receipt("command")
        assert receipt is not None
        for back in (store.get(1).event.extra, receipt.reply):
            assert (type(value), repr(value)) == (type(back), repr(back))

    def test_a_position_that_is_not_there(self, store: EventStore) -> None:
        """The error says what the log holds."""
        append(store, "a", Counted(1), Counted(2))
        for position in (0, -1, 3, 2**70):
            with pytest.raises(PositionNotFound) as caught:
                store.get(position)
            assert (1, 2) == (caught.value.first, caught.value.head)

    def test_an_attachment_that_is_not_there(self, store: EventStore) -> None:
        """The error says which."""
        with pytest.raises(AttachmentNotFound) as caught:
            store.attachment("none")
        assert "none" == caught.value.key

    @pytest.mark.parametrize(
        "retention",
        [
            Retention(),
            Retention(max_events=-1),
            Retention(max_events=2**63),
            Retention(max_age_s=-0.1),
            Retention(max_age_s=float("nan")),
            Retention(max_age_s=float("inf")),
            Retention(max_events=5, max_age_s=-1),
            Retention(max_events=5, consumers=("",)),
            Retention(max_events=5, expendable=("\0",)),
        ],
        ids=repr,
    )
    def test_a_limit_that_makes_no_sense_is_refused(self, store: EventStore, retention: Retention) -> None:
        """Without a limit everything would go; nothing is guessed."""
        append(store, "a", Counted(1))
        with pytest.raises(BadRequest):
            store.retain(retention)
        assert 1 == store.first

    @pytest.mark.parametrize("wrong", ["1", 1.0, True, None, b"1", [1]], ids=repr)
    def test_a_number_that_is_none_is_refused_by_every_reading(self, store: EventStore, wrong: Any) -> None:
        """The error names the argument. Only what says where to end may be left open, as None."""
        for field, use in WITH_NUMBERS:
            if wrong is None and field in ("up_to", "limit"):
                continue
            if field in ("wall_s", "poll_s") and wrong == 1.0 and wrong is not True:
                continue
            refused(store, use, wrong, field)

    @pytest.mark.parametrize("wrong", [5, None, b"a", ["a"], object()], ids=lambda wrong: type(wrong).__name__)
    def test_a_name_that_is_no_text_is_refused_by_every_reading(self, store: EventStore, wrong: Any) -> None:
        """Rather than found nowhere."""
        for field, use in WITH_TEXT:
            if wrong is not None or field != "schema":
                refused(store, use, wrong, field)

    @pytest.mark.parametrize("wrong", [5, "a", object(), [5], [None], (b"a",)], ids=lambda wrong: type(wrong).__name__)
    def test_names_that_are_none_are_refused_by_every_reading(self, store: EventStore, wrong: Any) -> None:
        """Be it that there are not several, or that one of them is no text."""
        for field, use in WITH_NAMES:
            refused(store, use, wrong, field)

    @pytest.mark.parametrize("wrong", [5, "a", [len]], ids=lambda wrong: type(wrong).__name__)
    def test_what_cannot_be_called_is_refused(self, store: EventStore, wrong: Any) -> None:
        """When it is given, and not when it would be called."""
        for field, use in WITH_FUNCTIONS:
            refused(store, use, wrong, field)
        append(store, "a", Counted(1))

    def test_a_batch_or_a_limit_of_another_kind_is_refused(self, store: EventStore) -> None:
        """So is what is to be done about removed events, where there is no such thing."""
        uses: list[Callable[[Any], Any]] = [store.append, store.submit, store.retain]
        for use in uses:
            for wrong in (5, None, "a", object()):
                with pytest.raises(BadRequest):
                    use(wrong)
        reads: list[Callable[..., Any]] = [store.read, store.tail]
        for read in reads:
            with pytest.raises(BadRequest) as caught:
                read(removed="ignore")
            assert "removed" == caught.value.field
        for nonsense in (math.nan, math.inf, -1.0):
            refused(store, lambda store, wrong: store.tail(poll_s=wrong), nonsense, "poll_s")
        refused(store, lambda store, wrong: store.position_at(wrong), math.nan, "wall_s")
        assert 0 == store.head

    def test_a_closed_store_says_so(self, store: EventStore) -> None:
        """Every use after close is StoreClosed; closing again is fine."""
        append(store, "a", Counted(1))
        store.close()
        store.close()
        for use in (
            lambda: store.head,
            lambda: store.first,
            store.streams,
            lambda: store.version("a"),
            lambda: store.get(1),
            store.read,
            lambda: store.read_stream("a"),
            lambda: store.read_category("a"),
            lambda: store.fold("a", lambda state, _: state, 0),
            store.tail,
            lambda: store.position_at(0.0),
            lambda: store.snapshot("a"),
            lambda: store.cursor("x"),
            lambda: store.receipt("x"),
            lambda: store.attachment("x"),
            lambda: store.attachments(("x",)),
            store.attachment_keys,
            lambda: store.append(Batch()),
            lambda: store.submit(Batch()).result(),
            lambda: store.acquire("a"),
            store.renew,
            store.verify,
            store.barrier,
            store.settle,
            store.statistics,
            lambda: store.retain(Retention(max_events=1)),
        ):
            with pytest.raises(StoreClosed):
                use()
