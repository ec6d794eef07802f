"""Events of older forms, of unknown types, and of damaged data."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import OnUnknown, decode_events, decode_payload, decoder_of
from eventstore.errors import CorruptEvent, EventCountError, UnknownEventType
from eventstore.events import UnknownEvent, event, missing_upcasters, upcast
from eventstore.opening import open_reader, open_store
from eventstore.protocol import EventStore
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
        return {
            "drop": None,
            "none": [],
            "split": pieces[:2],
            "lost": pieces,
            "odd": {"how": 5},
            "broken": 7,
            "text": "ab",
            "short": [("codec.order",)],
            "no payload": [("codec.gone", 1, 5)],
            "no version": [("codec.gone", "1", {})],
            "infinite": [("sample.measured", 1, {"values": {"a": float("inf")}})],
            "not a number": [("sample.measured", 1, {"values": {}, "extra": float("nan")})],
            "long": [("sample.counted", 1, {"n": 2**63})],
            "tuple": [("sample.measured", 1, {"values": {}, "extra": (1, 2)})],
        }[payload["how"]]


def test_an_upcaster_can_drop_or_split(split: None) -> None:
    """A record may become no event, or several in order."""
    assert () == decode_events(1, "codec.order", 1, b'{"how":"drop"}')
    assert () == decode_events(1, "codec.order", 1, b'{"how":"none"}')
    first, second = decode_events(1, "codec.order", 1, b'{"how":"split"}')
    assert ("first", Counted(2)) == (getattr(first, "how", None), second)


def declared_order(version: int) -> type[Any]:
    """The class ``codec.order`` as a release declares it."""

    @event("codec.order", version)
    class Order:
        how: str

    return Order


def test_what_an_older_release_wrote_is_upcast_wherever_it_is_read(store: EventStore, registered: None) -> None:
    """One record and whole streams, in file and memory; asked for the one event of a split record, it says how many."""
    append(store, "a", declared_order(1)("split"), Counted(7))
    newer = declared_order(2)
    upcast("codec.order", 1)(lambda payload: [("codec.order", payload), ("sample.counted", 1, {"n": 2})])
    expected = [(newer("split"), Counted(2)), (Counted(7),)]
    assert expected == [record.events for record in store.read()]
    assert expected == [record.events for record in store.read_stream("a")]
    assert store.verify().ok
    record = store.get(1)
    assert ("codec.order", 1, expected[0]) == (record.type, record.schema_version, record.events)
    with pytest.raises(EventCountError) as caught:
        _ = record.event
    assert (1, "codec.order", 2) == (caught.value.position, caught.value.type_name, caught.value.count)


def test_tools_read_on_past_what_they_do_not_know(path: Path, registered: None) -> None:
    """Their placeholders keep the payload; a reader that asked for nothing is told the position."""
    with open_store(path) as store:
        append(store, "a", declared_order(3)("kept"), Counted(7))
    declared_order(2)
    with open_reader(path, unknown="placeholder") as reader:
        placeholder, known = [record.event for record in reader.read()]
        assert ("codec.order", 3, {"how": "kept"}) == (
            placeholder.type,
            placeholder.schema_version,
            placeholder.payload,
        )
        assert Counted(7) == known
        assert reader.verify().ok
    with open_reader(path) as reader, pytest.raises(UnknownEventType) as caught:
        list(reader.read())
    assert 1 == caught.value.position


@pytest.mark.parametrize(
    "how",
    [
        *("odd", "broken", "absent", "text", "short", "no payload", "no version"),
        *("infinite", "not a number", "long", "tuple"),
    ],
)
@pytest.mark.parametrize("unknown", ["raise", "placeholder"])
def test_a_broken_upcaster_is_told_with_its_position(split: None, how: str, unknown: OnUnknown) -> None:
    """Whether it raises, returns what does not fit, or what could not be stored as it is."""
    with pytest.raises(CorruptEvent) as caught:
        decode_events(42, "codec.order", 1, b'{"how":"%s"}' % how.encode(), unknown)
    assert 42 == caught.value.position


def test_a_piece_may_say_its_version(registered: None) -> None:
    """What was split off at an older version of another type goes through that type's own upcasters."""

    @upcast("codec.merged", 1)
    def separate(payload: dict[str, Any]) -> Any:
        return [("sample.renamed", 1, {"name": payload["name"]}), ("sample.renamed", {"title": "now", "size": 0})]

    expected = (Renamed("abc", 3), Renamed("now", 0))
    assert expected == decode_events(1, "codec.merged", 1, b'{"name":"abc"}')


def test_pieces_stay_in_order_through_chains(registered: None) -> None:
    """Each may split again; what it becomes stands where it stood."""

    @upcast("codec.tens", 1)
    def tens(payload: dict[str, Any]) -> Any:
        return [("codec.units", 1, {"from": 10 * n}) for n in range(3)]

    @upcast("codec.units", 1)
    def units(payload: dict[str, Any]) -> Any:
        return [("sample.counted", 1, {"n": payload["from"] + n}) for n in range(3)]

    expected = tuple(Counted(10 * ten + unit) for ten in range(3) for unit in range(3))
    assert expected == decode_events(1, "codec.tens", 1, b"{}")


def test_an_upcaster_may_change_what_it_is_given(registered: None) -> None:
    """The payload is its own; reading again starts from what is stored."""

    @upcast("codec.emptied", 1)
    def empty(payload: dict[str, Any]) -> Any:
        return [("sample.counted", 1, {"n": payload.pop("n")})]

    for _ in range(2):
        assert (Counted(3),) == decode_events(1, "codec.emptied", 1, b'{"n":3}')


def test_a_gap_between_versions_is_told(registered: None) -> None:
    """Before any log needs it; events that end at it are errors, or placeholders with all that they held."""

    @event("codec.gappy", 4)
    class Gappy:
        n: int

    upcast("codec.gappy", 1)(lambda payload: payload)
    upcast("codec.gappy", 3)(lambda payload: payload)
    assert (("codec.gappy", 2),) == missing_upcasters()
    assert (Gappy(1),) == decode_events(1, "codec.gappy", 3, b'{"n":1}')
    for version in (1, 2):
        with pytest.raises(UnknownEventType) as caught:
            decode_events(1, "codec.gappy", version, b'{"n":1}')
        assert ("codec.gappy", 2) == (caught.value.type_name, caught.value.schema_version)
        (placeholder,) = decode_events(1, "codec.gappy", version, b'{"n":1}', "placeholder")
        assert isinstance(placeholder, UnknownEvent)
        assert ({"n": 1}, "no upcaster from version 2 is declared here") == (placeholder.payload, placeholder.reason)
    upcast("codec.gappy", 2)(lambda payload: payload)
    assert () == missing_upcasters()


def test_an_upcast_event_can_be_kept_whatever_its_keys(registered: None) -> None:
    """JSON has only text as keys; the class says what they are."""

    @event("codec.numbered", 2)
    class Numbered:
        names: dict[int, str]

    upcast("codec.numbered", 1)(lambda payload: {"names": payload["old"]})
    assert (Numbered({1: "a"}),) == decode_events(1, "codec.numbered", 1, b'{"old":{"1":"a"}}')


def test_only_a_current_version_has_a_decoder(registered: None) -> None:
    """The one that readers of many events call directly; of the class that is declared now."""
    decode = decoder_of("sample.counted", 1)
    assert decode is not None
    assert Counted(5) == decode(b'{"n":5}')
    assert [None] * 3 == [decoder_of(*one) for one in (("sample.counted", 2), ("sample.renamed", 1), ("no.such", 1))]

    for _ in range(2):
        cls = declared_order(1)
        decode = decoder_of("codec.order", 1)
        assert decode is not None
        assert cls is type(decode(b'{"how":"x"}'))


def test_a_class_is_one_event(registered: None) -> None:
    """Of one name and one version: which of two would be stored?"""
    for name, version in (("codec.other", 1), ("sample.counted", 2)):
        with pytest.raises(ValueError, match=r"declared as 'sample\.counted' version 1 already"):
            event(name, version)(Counted)
    assert Counted is event("sample.counted", 1)(Counted)


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
