"""What comes back is of the same type all the way down; equality alone would let too much through."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import types
import typing
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Generic, Literal, NewType, TypeVar

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import decode_events, decode_state, decode_value, encode_event, encode_state, encode_value
from eventstore.errors import EventRefused
from eventstore.events import event
from tests.eventstore.support import Measured
from tests.faults.codec_fuzz import identical

T = TypeVar("T")
OrderId = NewType("OrderId", int)


def shown(value: object) -> str:
    """A test id that is the same in every process: neither an address nor the order of a set is."""
    text = str(value)
    return type(value).__name__ if " at 0x" in text or isinstance(value, (set, frozenset)) else text


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Grants(enum.Flag):
    READ = 1
    WRITE = 2


class Row(list[Any]):
    pass


@attrs.frozen
class Leaf:
    size: float = 0.0


@attrs.frozen
class Branch(Leaf):
    more: int = 0


@attrs.frozen
class Box(Generic[T]):
    held: T


@attrs.frozen
class Tree:
    name: str
    children: tuple[Tree, ...] = ()


class Point(typing.NamedTuple):
    x: int


@event("exact.sample", 1)
@attrs.frozen
class Sample:
    number: int = 0
    ratio: float = 0.0
    text: str = ""
    flag: bool = False
    maybe: float | None = None
    either: int | str | None = None
    raw: bytes = b""
    when: dt.datetime | None = None
    amount: decimal.Decimal = decimal.Decimal(0)
    ident: uuid.UUID = attrs.field(factory=uuid.uuid4)
    level: Level | None = None
    grants: Grants = Grants.READ
    order: OrderId = OrderId(0)
    kind: Literal["a", 1] = "a"
    names: list[str] = attrs.field(factory=list)
    pair: tuple[int, Leaf] = (0, Leaf())
    by_number: dict[int, str] = attrs.field(factory=dict)
    by_level: dict[Level, Leaf] = attrs.field(factory=dict)
    unique: set[int] = attrs.field(factory=set)
    fixed: frozenset[str] = frozenset()
    leaf: Leaf | list[Leaf] | None = None
    box: Box[int] | None = None
    tree: Tree | None = None
    anything: Any = None


def through(value: object) -> object:
    """A value after a stay in the log."""
    kind, data = encode_event(value)
    (back,) = decode_events(1, kind.name, kind.version, data)
    return back


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", Level.LOW),
        ("number", 1.0),
        ("ratio", 1),
        ("ratio", True),
        ("text", Word.YES),
        ("maybe", 1),
        ("maybe", float("nan")),
        ("either", Word.YES),
        ("either", Level.LOW),
        ("raw", bytearray(b"x")),
        ("when", dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))),
        ("when", dt.datetime(2026, 1, 1, fold=1, tzinfo=dt.UTC)),
        ("when", dt.date(2026, 1, 1)),
        ("amount", 1),
        ("amount", decimal.Decimal("NaN")),
        ("amount", decimal.Decimal("-Infinity")),
        ("level", 1),
        ("order", Level.LOW),
        ("kind", "b"),
        ("kind", True),
        ("names", ("a",)),
        ("names", Row(["a"])),
        ("names", [Word.YES]),
        ("pair", (0, Branch())),
        ("pair", (0, Leaf(1))),
        ("pair", [0, Leaf()]),
        ("by_number", {"1": "a"}),
        ("by_number", {Level.LOW: "a"}),
        ("by_number", collections.OrderedDict({1: "a"})),
        ("by_level", {1: Leaf()}),
        ("unique", frozenset({1})),
        ("unique", {1.0}),
        ("fixed", {"a"}),
        ("fixed", frozenset({Word.YES})),
        ("leaf", [Leaf(1)]),
        ("leaf", (Leaf(),)),
        ("box", Box("text")),
        ("box", Box(True)),
        ("tree", Tree("a", [])),  # type: ignore[arg-type]
        ("anything", Word.YES),
        ("anything", [Level.LOW]),
        ("anything", collections.Counter("a")),
        ("anything", {"a": [collections.defaultdict(int)]}),
        ("anything", Row()),
        ("anything", Point(1)),
        ("anything", {1.5: 1}),
        ("anything", {Word.YES: 1}),
        ("anything", {1: 1, "1": 2}),
        ("anything", b"x"),
        ("anything", {1}),
        ("anything", [(1,)]),
        ("anything", Leaf()),
        ("anything", msgspec.Raw(b"1")),
        ("anything", types.MappingProxyType({})),
    ],
    ids=shown,
)
def test_what_would_come_back_as_another_type_is_refused(field: str, value: Any) -> None:
    """Though it is equal, in most of these cases."""
    with pytest.raises(EventRefused) as caught:
        encode_event(Sample(**{field: value}))
    assert field == caught.value.field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", -(2**63)),
        ("ratio", -0.0),
        ("ratio", 5e-324),
        ("text", "a\0b"),
        ("either", "1"),
        ("either", 1),
        ("raw", b"\xff\0"),
        ("when", dt.datetime(2026, 1, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        ("when", dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(minutes=-90)))),
        ("when", dt.datetime.fromisoformat("2026-01-01T00:00:00")),
        ("amount", decimal.Decimal("1.00")),
        ("amount", decimal.Decimal("-0E+3")),
        ("ident", uuid.UUID(int=2**128 - 1)),
        ("level", Level.LOW),
        ("grants", Grants.READ | Grants.WRITE),
        ("order", OrderId(5)),
        ("kind", 1),
        ("pair", (2**63 - 1, Leaf(1.0))),
        ("by_number", {1: "a", -5: "b"}),
        ("by_level", {Level.LOW: Leaf(2.0)}),
        ("unique", set(range(1000))),
        ("fixed", frozenset(map(str, range(1000)))),
        ("leaf", Leaf(1.5)),
        ("leaf", [Leaf(), Leaf(-0.0)]),
        ("box", Box(3)),
        ("tree", Tree("a", (Tree("b"), Tree("c", (Tree("d"),))))),
        ("anything", {"b": [1, 1.0, True, None, {"a": "b"}], "a": -0.0, "": [[], {}]}),
    ],
    ids=shown,
)
def test_what_is_declared_comes_back_identical(field: str, value: Any) -> None:
    """Every type that can be stored, at its edges."""
    sample = Sample(**{field: value})
    assert identical(sample, through(sample))


anything = st.recursive(
    st.sampled_from([Word.YES, Level.LOW, 1, 1.0, True, -0.0, None, b"x", "\ud800", 2**64, "a", Point(1), Leaf()]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=3).map(Row)
        | st.dictionaries(st.sampled_from(["a", Word.YES, 1, 1.5]), inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3).map(collections.OrderedDict)
    ),
    max_leaves=5,
)


@given(anything)
def test_there_is_no_third_way(value: object) -> None:
    """Identical, or refused by name: in events, in replies to commands, in states."""
    sample = Measured({}, extra=value)
    ways: tuple[Callable[[], object], ...] = (
        lambda: through(sample),
        lambda: decode_state(encode_state(sample), Measured),
        lambda: Measured({}, extra=decode_value(encode_value(value, field="extra"))),
    )
    for way in ways:
        try:
            back = way()
        except EventRefused as error:
            refused: str | None = error.field
        else:
            refused = None
            assert identical(sample, back)
        assert refused in (None, "extra")


# --- plain classes, whose types vouch for them --------------------------------------------------------------------


@event("exact.plain", 1)
@attrs.frozen
class Plain:
    number: int | None
    ratio: float | None
    text: str | None


@pytest.mark.parametrize(
    "wrong",
    [
        Plain(2**63, None, None),
        Plain(-(2**63) - 1, 1.0, ""),
        Plain(1, float("nan"), "null"),
        Plain(1, float("inf"), None),
        Plain(None, float("-inf"), None),
        Plain(1, 1, ""),
        Plain(True, 1.0, ""),
        Plain(1, 1.0, Word.YES),
        Plain(1, 1.0, "\ud800"),
    ],
    ids=shown,
)
def test_types_vouch_for_no_more_than_they_can(wrong: Plain) -> None:
    """Once the reading back is spared, what is out of range is still seen, whatever other fields hold."""
    for number in (1, None):
        for ratio in (1.0, None):
            for text in ("null", "", None):
                for _ in range(2):
                    right = Plain(number, ratio, text)
                    assert identical(right, through(right))
    with pytest.raises(EventRefused):
        encode_event(wrong)


Share = NewType("Share", float)


@attrs.frozen
class Part:
    share: Share | None
    count: int


@event("exact.compound", 1)
@attrs.frozen
class Compound:
    parts: tuple[Part, ...]
    totals: dict[str, float]
    anything: Any = None


@pytest.mark.parametrize(
    "wrong",
    [
        Compound((Part(Share(1.0), 1), Part(Share(float("nan")), 1)), {}),
        Compound((Part(Share(1.0), 2**63),), {}),
        Compound((), {"a": float("inf")}),
        Compound((), {"a": 1}),
        Compound((), {Word.YES: 1.0}),
        Compound((), {}, [1.0, {"a": [float("nan")]}]),
        Compound((), {}, [1, {"a": [2**64]}]),
        Compound((), {}, [{"a": Word.YES}]),
        Compound((), {}, {"a": {1: 2}}),
        Compound((), {}, ("a",)),
        Compound([], {}),  # type: ignore[arg-type]
        Compound((None,), {}),  # type: ignore[arg-type]
    ],
    ids=shown,
)
def test_types_of_what_is_inside_vouch_for_no_more_either(wrong: Compound) -> None:
    """The same for classes in classes, containers and JSON: all that is right was seen before."""
    parts = (Part(Share(1.0), 1), Part(None, 2))
    for some in ((), parts[:1], parts):
        for totals in ({}, {"null": 1.0}):
            for value in (None, 1, [1.5, {"a": ["null", None, True, []]}]):
                right = Compound(some, totals, value)
                assert [identical(right, through(right)) for _ in range(2)] == [True, True]
    with pytest.raises(EventRefused):
        encode_event(wrong)
