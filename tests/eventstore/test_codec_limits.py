"""How large, how deep and how long what is stored may be, and whose field is named when it is more."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from eventstore import codec
from eventstore.codec import decode_events, decode_state, decode_value, encode_event, encode_state, encode_value
from eventstore.errors import CorruptEvent, EventRefused, SnapshotUnusable
from eventstore.events import event
from eventstore.shaping.limits import INT_MAX, INT_MIN, MAX_DEPTH, MAX_EVENT_BYTES, MAX_STATE_BYTES, beyond_limits


@attrs.frozen
class Tree:
    children: list[Tree] = attrs.field(factory=list)


@event("limits.sample", 1)
class Sample:
    text: str = ""
    tree: Tree | None = None
    anything: Any = None


@event("limits.plain", 1)
class Plain:
    first: str
    second: str


def nested(levels: int, innermost: Any = 1) -> Any:
    """Lists inside each other."""
    for _ in range(levels):
        innermost = [innermost]
    return innermost


def tall(levels: int) -> Tree:
    """Trees inside each other."""
    tree = Tree()
    for _ in range(levels - 1):
        tree = Tree([tree])
    return tree


def through(value: object) -> object:
    """A value after a stay in the log."""
    kind, data = encode_event(value)
    (back,) = decode_events(1, kind.name, kind.version, data)
    return back


# --- depth --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("innermost", [1, [], {}, [1], {"a": 1}])
def test_a_hundred_levels_are_enough(innermost: Any) -> None:
    """The event itself is the first; one more is refused, whether or not something is in it."""
    own = 1 if isinstance(innermost, list | dict) else 0
    deepest = Sample(anything=nested(MAX_DEPTH - 1 - own, innermost))
    assert deepest == through(deepest)
    with pytest.raises(EventRefused, match="nested more than 100 levels deep") as caught:
        encode_event(Sample(anything=nested(MAX_DEPTH - own, innermost)))
    assert "anything" == caught.value.field


@pytest.mark.parametrize("levels", [MAX_DEPTH, 900, 5000, 200_000])
def test_deeper_values_are_refused_by_name_however_deep(levels: int) -> None:
    """Where the encoder's own recursion ends, too."""
    with pytest.raises(EventRefused) as caught:
        encode_event(Sample(anything=nested(levels)))
    assert "anything" == caught.value.field
    with pytest.raises(EventRefused):
        encode_value(nested(levels + 1))


def test_a_value_that_holds_itself_is_refused() -> None:
    """It has no end."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(EventRefused) as caught:
        encode_event(Sample(anything=loop))
    assert "anything" == caught.value.field


def test_classes_that_hold_themselves_have_the_same_limit() -> None:
    """A tree takes two levels for each of its own: itself and its list."""
    deepest = Sample(tree=tall(49))
    assert deepest == through(deepest)
    for levels in (50, 200, 2000):
        with pytest.raises(EventRefused) as caught:
            encode_event(Sample(tree=tall(levels)))
        assert "tree" == caught.value.field


def test_brackets_in_text_are_no_levels() -> None:
    """The quick look for depth is only quick, not final; nor are many lists side by side deep."""
    wide: dict[str, Any] = {"a" * n: {} for n in range(200)}
    values: tuple[Any, ...] = ("[" * 1000, "{" * 1000, [[] for _ in range(1000)], wide)
    for value in values:
        sample = Sample(text="{[" * 500, anything=value)
        assert sample == through(sample)


@pytest.mark.parametrize("levels", [100, 900, 100_000])
def test_too_deep_data_are_told(levels: int) -> None:
    """Whoever wrote them; a snapshot's and a reply's, where their decoder ends."""
    data = b'{"anything":' + b"[" * levels + b"]" * levels + b"}"
    with pytest.raises(CorruptEvent) as caught:
        decode_events(9, "limits.sample", 1, data)
    assert 9 == caught.value.position
    if levels == 100_000:
        with pytest.raises(CorruptEvent):
            decode_events(9, "limits.unknown", 1, data, "placeholder")
        with pytest.raises(SnapshotUnusable):
            decode_state(data, Sample)
        with pytest.raises(ValueError, match="recursion"):
            decode_value(data)


# --- size ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Plain, Sample])
def test_an_event_may_take_sixteen_mebibytes(cls: Any) -> None:
    """Of JSON, to the byte; beyond, its largest field is named with its size."""
    fields = {"first": "a", "second": ""} if cls is Plain else {"anything": "a", "text": ""}
    largest = list(fields)[-1]
    room = MAX_EVENT_BYTES - len(encode_event(cls(**fields))[1])
    kept = cls(**fields | {largest: "x" * room})
    assert MAX_EVENT_BYTES == len(encode_event(kept)[1])
    with pytest.raises(EventRefused, match="16,777,217 bytes of JSON are more than 16,777,216") as caught:
        encode_event(cls(**fields | {largest: "x" * (room + 1)}))
    assert largest == caught.value.field


def test_replies_and_states_have_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply as an event; a state, which holds more, 256 MiB."""
    with pytest.raises(EventRefused, match="bytes of JSON") as caught:
        encode_value("x" * MAX_EVENT_BYTES, what="receipt", field="reply")
    assert ("receipt", "reply") == (caught.value.type_name, caught.value.field)
    assert 256 * 2**20 == MAX_STATE_BYTES
    monkeypatch.setattr(codec, "MAX_STATE_BYTES", 1000)
    with pytest.raises(EventRefused) as caught:
        encode_state(Sample(text="x" * 1000))
    assert "text" == caught.value.field


# --- integers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [INT_MAX + 1, INT_MIN - 1, 2**64, -(10**30), 10**5000], ids=hash)
@pytest.mark.parametrize("place", [lambda n: n, lambda n: [n], lambda n: {"a": [0, n]}, lambda n: [[], {"b": n}]])
def test_long_integers_are_refused_wherever_they_stand(number: int, place: Any) -> None:
    """And so they are in stored data."""
    with pytest.raises(EventRefused) as caught:
        encode_event(Sample(anything=place(number)))
    assert "anything" == caught.value.field
    if number < 10**4000:
        with pytest.raises(CorruptEvent):
            decode_events(1, "limits.sample", 1, b'{"anything":%s}' % str(place(number)).replace("'", '"').encode())


def test_the_reason_says_where_inside() -> None:
    """A large value is not searched by hand."""
    value = {"orders": [{"id": 1}, {"id": 2, "lines": [1.0, float("nan")]}]}
    with pytest.raises(EventRefused, match=r"\['orders'\]\[1\]\['lines'\]\[1\]: nan is not a finite number"):
        encode_event(Sample(anything=value))


def test_the_quick_look_alone_would_refuse_too_much() -> None:
    """The planted bug: 19 digits or many brackets in a row are no proof."""
    for data in (b'{"a":"%s"}' % (b"9" * 30), b'{"a":"%s"}' % (b"[" * 300), b"[%d,%d]" % (INT_MAX, INT_MIN)):
        assert "" == beyond_limits(data)
    assert beyond_limits(b"[%d]" % (INT_MAX + 1))
    assert "" == beyond_limits(b"[%d]" % (INT_MAX + 1), integers=False)
    assert beyond_limits(b"[" * 101 + b"]" * 101)
