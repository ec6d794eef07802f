from __future__ import annotations

import enum
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given, settings

from eventstore.codec import decode_events, encode_event
from eventstore.errors import EventRefused, EventStoreError
from eventstore.events import event
from eventstore.memory import MemoryStore
from eventstore.opening import open_store
from eventstore.records import Batch, NewEvent, Receipt, StreamWrite
from eventstore.testing.conformance import Counted, Measured
from eventstore.testing.strategies import batches, events, histories, play, poison_payloads, poison_values


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Part:
    name: str
    size: int = attrs.field(default=1, validator=attrs.validators.ge(0))


@event("strategies.everything", 1)
class Everything:
    number: int
    colour: Colour
    kind: Literal["x", "y"]
    parts: tuple[Part, ...]
    first: Part | None
    pair: tuple[int, str]
    table: dict[str, list[float]]
    names: frozenset[str]
    anything: Any
    raw: bytes


@given(drawn=events(Everything, Counted, Measured))
def test_events_are_made_from_the_annotations_of_their_fields(drawn: object) -> None:
    """Each can be stored, and comes back equal."""
    kind, data = encode_event(drawn)
    assert (drawn,) == decode_events(1, kind.name, kind.version, data)


def test_events_of_no_class_are_refused() -> None:
    """At once, not when the first is drawn."""
    with pytest.raises(ValueError, match="at least one"):
        events()


@given(batch=batches(Counted, Measured))
def test_batches_are_accepted_by_a_new_store(batch: Batch) -> None:
    """Whole."""
    store = MemoryStore()
    store.append(batch)
    assert sum(len(write.events) for write in batch.writes) == store.head
    assert store.verify().ok


@settings(max_examples=max(settings().max_examples // 2, 10))
@given(history=histories(Counted, Measured))
def test_a_history_is_accepted_and_read_back(history: tuple[Batch, ...]) -> None:
    """Its retries get the first result, and everything else is there once."""
    store = MemoryStore()
    results = play(store, history)
    first: dict[str, Any] = {}
    stored = []
    for batch, result in zip(history, results, strict=True):
        key = batch.idempotency_key
        if key is None or key not in first:
            stored += [new.event for write in batch.writes for new in write.events]
        if key is not None:
            assert first.setdefault(key, result) == result
    assert stored == [record.event for record in store.read()]
    assert store.verify().ok


@settings(max_examples=max(settings().max_examples // 4, 10))
@given(history=histories(Counted))
def test_a_history_makes_the_same_of_every_store(history: tuple[Batch, ...], tmp_path_factory: Any) -> None:
    """Answers, records and bytes, in a file as in memory."""
    with MemoryStore() as memory, open_store(tmp_path_factory.mktemp("log") / "lrm.db") as sqlite:
        assert play(memory, history) == play(sqlite, history)
        for one, other in zip(memory.read(), sqlite.read(), strict=True):
            assert (one.position, one.stream, one.version, one.data) == (
                other.position,
                other.stream,
                other.version,
                other.data,
            )
        assert memory.streams() == sqlite.streams()


@given(value=poison_values())
def test_poison_is_refused_on_its_way_in(value: Any) -> None:
    """Wherever it sits, in an event as in a receipt, and nothing is stored."""
    store = MemoryStore()
    for batch in (
        Batch((StreamWrite("a", (NewEvent(Measured({}, extra=value)),)),)),
        Batch(receipts=(Receipt("r", value),)),
    ):
        with pytest.raises(EventRefused):
            store.append(batch)
    assert 0 == store.head


@given(data=poison_payloads(b'{"n":1,"note":"x"}'))
def test_poison_is_told_on_its_way_out(data: bytes) -> None:
    """By a typed error, or it is an event after all, which can be stored again."""
    try:
        (decoded,) = decode_events(1, "conformance.counted", 1, data)
    except EventStoreError:
        return
    kind, again = encode_event(decoded)
    assert (decoded,) == decode_events(1, kind.name, kind.version, again)
