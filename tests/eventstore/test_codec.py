"""What goes into a log comes back equal, or is refused by name before it gets there."""

from __future__ import annotations

import enum
import math
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import (
    decode_events,
    decode_state,
    decode_value,
    encode_event,
    encode_state,
    encode_value,
)
from eventstore.errors import (
    CorruptEvent,
    DuplicateEventType,
    EventRefused,
    NotAnEvent,
    SnapshotUnusable,
)
from eventstore.events import event
from tests.eventstore.support import Counted, Measured


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Inner:
    name: str
    weight: float | None = None


@event("codec.rich", 1)
class Rich:
    number: int
    ratio: float
    text: str
    flag: bool
    maybe: int | None = None
    many: tuple[Inner, ...] = ()
    table: dict[str, int] = attrs.field(factory=dict)
    colour: Colour = Colour.RED
    anything: Any = None


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), finite, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
inners = st.builds(Inner, texts, st.none() | finite)
richs = st.builds(
    Rich,
    st.integers(-(2**63), 2**63 - 1),
    finite,
    texts,
    st.booleans(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.lists(inners, max_size=3).map(tuple),
    st.dictionaries(texts, st.integers(0, 9), max_size=3),
    st.just(Colour.RED),
    json_values,
)
anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(), st.binary(), st.just(Colour.RED)
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.sets(st.integers(), max_size=2)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


def through(value: object) -> object:
    """A value after a stay in the log."""
    kind, data = encode_event(value)
    (back,) = decode_events(1, kind.name, kind.version, data)
    return back


# --- round trip and refusal ---------------------------------------------------------------------------------------


@given(richs)
def test_every_plain_value_comes_back_equal(value: Rich) -> None:
    """Text of any script, every 64-bit integer, every finite float, nested classes and containers."""
    assert value == through(value)


@given(anything)
def test_anything_comes_back_equal_and_alike_or_is_refused(value: object) -> None:
    """There is no third way: nothing is stored that would be read as something else, or not at all."""
    sample = Measured({}, extra=value)
    try:
        back = through(sample)
    except EventRefused as refused:
        named = refused.field
    else:
        assert sample == back
        return
    assert "extra" == named


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", 2**63),
        ("number", -(2**63) - 1),
        ("number", True),
        ("number", "5"),
        ("number", 1.5),
        ("ratio", math.nan),
        ("ratio", math.inf),
        ("ratio", "1.0"),
        ("ratio", 2**60 + 1),
        ("text", "\ud800"),
        ("text", b"bytes"),
        ("text", None),
        ("flag", 1),
        ("many", [Inner("a")]),
        ("many", (Inner("a", -math.inf),)),
        ("table", {"a": 2**64}),
        ("table", {"a": None}),
        ("anything", {1: 2}),
        ("anything", (1, 2)),
        ("anything", Inner("a")),
        ("anything", [math.nan]),
        ("anything", {"deep": [{"er": 10**30}]}),
        ("anything", object()),
        ("anything", {"\udfff": 1}),
    ],
)
def test_what_would_not_come_back_is_refused_by_name(field: str, value: object) -> None:
    """The error names the event and its field, before anything is stored."""
    good: dict[str, Any] = {"number": 1, "ratio": 1.0, "text": "", "flag": True}
    with pytest.raises(EventRefused) as caught:
        encode_event(Rich(**(good | {field: value})))
    assert ("codec.rich", field) == (caught.value.type_name, caught.value.field)
    assert caught.value.hint


def test_long_digits_in_text_are_no_long_integer() -> None:
    """The quick look for long numbers is only quick, not final."""
    value = Rich(2**63 - 1, 1e300, "9" * 50, flag=True, anything=["1" * 30, -(2**63), 0.1234567890123456789])
    assert value == through(value)


def test_private_fields_are_refused(registered: None) -> None:
    """They would be dropped without a word."""

    @event("codec.secretive", 1)
    class Secretive:
        name: str
        _secret: int = 0

    with pytest.raises(EventRefused) as caught:
        encode_event(Secretive("x"))
    assert "_secret" == caught.value.field


def test_private_fields_of_nested_classes_are_refused(registered: None) -> None:
    """Wherever they hide; the error says where."""
    with pytest.raises(EventRefused) as caught:
        encode_event(Wrapping((Hiding(1),)))
    assert "items._hidden" == caught.value.field


@attrs.frozen
class Hiding:
    _hidden: int


@event("codec.wrapping", 1)
class Wrapping:
    items: tuple[Hiding, ...]


def test_classes_that_cannot_be_compared_are_refused(registered: None) -> None:
    """Without equality nobody can say whether a value came back."""

    @event("codec.identity", 1)
    @attrs.frozen(eq=False)
    class Identity:
        n: int

    @event("codec.partly", 1)
    @attrs.frozen
    class Partly:
        n: int
        cached: Any = attrs.field(default=None, eq=False)

    with pytest.raises(EventRefused, match="compare"):
        encode_event(Identity(1))
    with pytest.raises(EventRefused, match="compared") as caught:
        encode_event(Partly(1))
    assert "cached" == caught.value.field


def test_a_class_that_cannot_be_decoded_is_refused(registered: None) -> None:
    """Unions of classes need a tag that they do not have."""
    with pytest.raises(EventRefused) as caught:
        encode_event(Either(Inner("a")))
    assert "which" == caught.value.field


@attrs.frozen
class Other:
    size: int


@event("codec.either", 1)
class Either:
    which: Inner | Other


def test_validators_run_when_an_event_is_read(registered: None) -> None:
    """A stored value that the class no longer accepts is told, not let through."""

    @event("codec.positive", 1)
    class Positive:
        n: int = attrs.field(validator=attrs.validators.gt(0))

    assert Positive(1) == through(Positive(1))
    with pytest.raises(CorruptEvent):
        decode_events(7, "codec.positive", 1, b'{"n":0}')


def test_undeclared_classes_are_no_events() -> None:
    """Not even subclasses of events: their stored name would be their parent's."""

    class Derived(Counted):
        pass

    for value in (Inner("a"), Derived(1), {"n": 1}, None):
        with pytest.raises(NotAnEvent):
            encode_event(value)


def test_one_name_has_one_class() -> None:
    """A second class under a stored name is refused when it is declared."""
    with pytest.raises(DuplicateEventType):

        @event("codec.rich", 1)
        class Another:
            pass


@pytest.mark.parametrize(("name", "version"), [("flat", 1), (".x", 1), ("x.", 1), ("a.b", 0)])
def test_stored_names_have_a_category_and_a_version(name: str, version: int) -> None:
    """Others are refused when they are declared."""
    with pytest.raises(ValueError, match="category"):
        event(name, version)


# --- values and states --------------------------------------------------------------------------------------------


@given(json_values)
def test_json_values_come_back_equal(value: object) -> None:
    """Receipts hold them."""
    assert value == decode_value(encode_value(value))


@given(anything)
def test_other_values_are_refused(value: object) -> None:
    """What is not JSON would not be the first answer when it is given again."""
    try:
        data = encode_value(value)
    except EventRefused:
        return
    assert value == decode_value(data)


@attrs.frozen
class State:
    count: int = 0
    parts: dict[str, Inner] = attrs.field(factory=dict)


@given(st.builds(State, st.integers(-(2**63), 2**63 - 1), st.dictionaries(texts, inners, max_size=3)))
def test_states_come_back_equal(state: State) -> None:
    """Snapshots hold them."""
    assert state == decode_state(encode_state(state), State)


@pytest.mark.parametrize("state", [State(2**64), State(0, {"a": Inner("b", math.nan)}), Hiding(1), object()])
def test_states_that_would_not_come_back_are_refused(state: object) -> None:
    """A snapshot that differs from the fold would be a lie about the log."""
    with pytest.raises(EventRefused):
        encode_state(state)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"count":"1"}', b"\xff"])
def test_bytes_that_make_no_state_are_told(data: bytes) -> None:
    """So that recovery folds from the beginning."""
    with pytest.raises(SnapshotUnusable):
        decode_state(data, State)


def test_the_codec_sees_what_a_naive_one_would_lose() -> None:
    """The planted bug: encoding alone, without reading back, stores a NaN that no reader can ever decode."""
    poison = Rich(1, math.nan, "", flag=True)
    data = msgspec.json.encode(poison)  # no complaint
    with pytest.raises(CorruptEvent):
        decode_events(1, "codec.rich", 1, data)
    with pytest.raises(EventRefused):
        encode_event(poison)
