"""Events of older forms, of unknown types, and of damaged data."""

from __future__ import annotations

import contextlib
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import decode_events, decode_payload
from eventstore.errors import CorruptEvent, EventCountError, UnknownEventType
from eventstore.events import UnknownEvent, event, upcast
from eventstore.memory import MemoryStore
from tests.eventstore.support import Counted, Renamed, append


def test_the_current_version_is_read_as_it_is() -> None:
    """No upcaster runs."""
    assert (Renamed("ab", 9),) == decode_events(1, "sample.renamed", 3, b'{"title":"ab","size":9}')


def test_old_versions_are_upcast_step_by_step() -> None:
    """From any version through each next one."""
    assert (Renamed("ab", 2),) == decode_events(1, "sample.renamed", 2, b'{"title":"ab"}')
    assert (Renamed("abc", 3),) == decode_events(1, "sample.renamed", 1, b'{"name":"abc"}')


@pytest.fixture
def split(registered: None) -> None:
    """``codec.order`` 1 is upcast by what its ``how`` says; its current version is 2."""

    @event("codec.order", 2)
    class Order:
        how: str

    @upcast("codec.order", 1)
    def convert(payload: dict[str, Any]) -> Any:
        pieces = [
            ("codec.order", {"how": "first"}),
            ("sample.counted", {"n": 2}),
            ("codec.gone", {}),
        ]
        return {"drop": None, "split": pieces[:2], "lost": pieces, "odd": {"how": 5}, "broken": 7}[payload["how"]]


def test_an_upcaster_can_drop_or_split(split: None) -> None:
    """A record may become no event, or several in order."""
    assert () == decode_events(1, "codec.order", 1, b'{"how":"drop"}')
    first, second = decode_events(1, "codec.order", 1, b'{"how":"split"}')
    assert ("first", Counted(2)) == (getattr(first, "how", None), second)


def test_the_event_of_a_record_that_is_not_one(split: None) -> None:
    """Asking for the one event of a split record says how many there are."""
    with MemoryStore() as store:
        append(store, "a", Counted(1))
        stored = store._log[0]
        store._log[0] = attrs.evolve(stored, event=stored.event._replace(type="codec.order", data=b'{"how":"split"}'))
        record = store.get(1)
        assert 2 == len(record.events)
        with pytest.raises(EventCountError) as caught:
            _ = record.event
        assert (1, "codec.order", 2) == (caught.value.position, caught.value.type_name, caught.value.count)


@pytest.mark.parametrize("how", ["odd", "broken", "absent"])
def test_a_broken_upcaster_is_told_with_its_position(split: None, how: str) -> None:
    """Whether it raises or returns what does not fit."""
    with pytest.raises(CorruptEvent) as caught:
        decode_events(42, "codec.order", 1, b'{"how":"%s"}' % how.encode())
    assert 42 == caught.value.position


def test_upcasters_that_lead_in_a_circle_end(registered: None) -> None:
    """They are bounded, like everything."""

    @upcast("codec.loop", 1)
    def loop(payload: dict[str, Any]) -> Any:
        version = payload.get("version", 1) + 1
        upcast("codec.loop", version)(loop)
        return {"version": version}

    with pytest.raises(CorruptEvent, match="circle"):
        decode_events(1, "codec.loop", 1, b"{}")


@pytest.mark.parametrize(
    ("name", "version", "reason"),
    [
        ("no.such", 1, "no such type"),
        ("sample.counted", 2, "up to version 1"),
        ("sample.counted", 0, "no upcaster"),
    ],
)
def test_what_is_not_known_is_an_error_or_a_placeholder(name: str, version: int, reason: str) -> None:
    """As the reader wants; never skipped, never guessed."""
    with pytest.raises(UnknownEventType) as caught:
        decode_events(9, name, version, b'{"a":1}')
    assert (9, name, version) == (caught.value.position, caught.value.type_name, caught.value.schema_version)
    (placeholder,) = decode_events(9, name, version, b'{"a":1}', "placeholder")
    assert isinstance(placeholder, UnknownEvent)
    assert (name, version, {"a": 1}) == (placeholder.type, placeholder.schema_version, placeholder.payload)
    assert reason in placeholder.reason


def test_a_piece_of_unknown_type_is_a_placeholder_too(split: None) -> None:
    """The known pieces beside it are still read."""
    with pytest.raises(UnknownEventType):
        decode_events(1, "codec.order", 1, b'{"how":"lost"}')
    assert 3 == len(decode_events(1, "codec.order", 1, b'{"how":"lost"}', "placeholder"))


@given(st.binary(max_size=60))
def test_damaged_data_give_a_typed_error(data: bytes) -> None:
    """Whatever the bytes are, known type or not."""
    for name in ("sample.counted", "no.such", "sample.renamed"):
        with contextlib.suppress(CorruptEvent):
            decode_events(3, name, 1, data, "placeholder")
            assert isinstance(decode_payload(3, data), dict)
