"""Random event classes, values that suit them, and values that do not: what the fuzzing of the codec is made of."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import math
import random
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from eventstore.events import event

Make = Callable[[random.Random], Any]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Row(list[Any]):
    pass


@attrs.frozen
class Kind:
    """Declared types, and how a value of them is made."""

    hint: Any
    make: Make
    json_native: bool
    """JSON says of it all there is to say, so that what is read can be compared with what was written."""


TEXTS = ("", "a", "null", '"', "\\", "\0", "é", "日本", "😀", "9" * 40, "[[{{" * 40, "x" * 200, " ")
INTS = (0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 10**18, -(10**18))
NAIVE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
FLOATS = (0.0, -0.0, 1.0, 0.1, 1e308, 5e-324, -1.5, 1e16, 123456789012345678.0, 1e22, 2.0**63, 1 / 3)


def _text(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return chance.choice(TEXTS)
    return "".join(chr(chance.choice((chance.randrange(32, 127), chance.randrange(0xD800)))) for _ in range(5))


def _int(chance: random.Random) -> int:
    return chance.choice(INTS) if chance.random() < 0.5 else chance.randrange(-(2**63), 2**63)


def _float(chance: random.Random) -> float:
    return chance.choice(FLOATS) if chance.random() < 0.5 else chance.uniform(-1e9, 1e9)


def _any(chance: random.Random, depth: int = 3) -> Any:
    roll = chance.random()
    if depth and roll < 0.2:
        return [_any(chance, depth - 1) for _ in range(chance.randrange(4))]
    if depth and roll < 0.4:
        return {_text(chance): _any(chance, depth - 1) for _ in range(chance.randrange(4))}
    return chance.choice((_text, _int, _float, lambda _: None, lambda _: True, lambda _: False))(chance)


def _moment(chance: random.Random) -> dt.datetime:
    zone = chance.choice((None, dt.UTC, dt.timezone(dt.timedelta(minutes=chance.randrange(-1000, 1000)))))
    return dt.datetime(chance.randrange(1, 9000), 3, 4, 5, 6, 7, chance.randrange(1_000_000), tzinfo=zone)


SCALARS = (
    Kind(int, _int, json_native=True),
    Kind(float, _float, json_native=True),
    Kind(str, _text, json_native=True),
    Kind(bool, lambda chance: chance.random() < 0.5, json_native=True),
)
LEAVES = (
    *SCALARS,
    Kind(Any, _any, json_native=True),
    Kind(Colour, lambda chance: chance.choice(list(Colour)), json_native=True),
    Kind(Level, lambda chance: chance.choice(list(Level)), json_native=True),
    Kind(bytes, lambda chance: chance.randbytes(chance.randrange(9)), json_native=False),
    Kind(dt.datetime, _moment, json_native=False),
    Kind(
        decimal.Decimal, lambda chance: decimal.Decimal(chance.choice(("1.00", "-0", "1E+5", "7"))), json_native=False
    ),
    Kind(uuid.UUID, lambda chance: uuid.UUID(int=chance.getrandbits(128)), json_native=False),
)


def kind_of(chance: random.Random, depth: int = 2) -> Kind:
    """A declared type chosen at random, no deeper than this."""
    if depth == 0 or chance.random() < 0.4:
        return chance.choice(LEAVES)
    inner = kind_of(chance, depth - 1)
    return chance.choice((_optional, _list, _tuple, _record, _table, _numbered, _set, _nested))(chance, inner, depth)


def _optional(chance: random.Random, inner: Kind, depth: int) -> Kind:
    hint = inner.hint if inner.hint is Any else inner.hint | None
    return Kind(hint, lambda chance: None if chance.random() < 0.3 else inner.make(chance), inner.json_native)


def _list(chance: random.Random, inner: Kind, depth: int) -> Kind:
    return Kind(list[inner.hint], lambda chance: _several(chance, inner), inner.json_native)  # type: ignore[name-defined]


def _tuple(chance: random.Random, inner: Kind, depth: int) -> Kind:
    return Kind(tuple[inner.hint, ...], lambda chance: tuple(_several(chance, inner)), inner.json_native)  # type: ignore[name-defined]


def _record(chance: random.Random, inner: Kind, depth: int) -> Kind:
    other = chance.choice(SCALARS)
    hint = tuple[inner.hint, other.hint]  # type: ignore[name-defined]
    return Kind(hint, lambda chance: (inner.make(chance), other.make(chance)), inner.json_native)


def _table(chance: random.Random, inner: Kind, depth: int) -> Kind:
    def make(chance: random.Random) -> dict[str, Any]:
        return {_text(chance): inner.make(chance) for _ in range(chance.randrange(4))}

    return Kind(dict[str, inner.hint], make, inner.json_native)  # type: ignore[name-defined]


def _numbered(chance: random.Random, inner: Kind, depth: int) -> Kind:
    def make(chance: random.Random) -> dict[int, Any]:
        return {_int(chance): inner.make(chance) for _ in range(chance.randrange(4))}

    return Kind(dict[int, inner.hint], make, json_native=False)  # type: ignore[name-defined]


def _set(chance: random.Random, inner: Kind, depth: int) -> Kind:
    if chance.random() < 0.5:
        return Kind(frozenset[str], lambda chance: frozenset(_text(chance) for _ in range(3)), json_native=False)
    return Kind(set[int], lambda chance: {_int(chance) for _ in range(3)}, json_native=False)


def _nested(chance: random.Random, inner: Kind, depth: int) -> Kind:
    fields = {"first": inner, "second": chance.choice(SCALARS)}
    cls = make_class("Nested", fields)
    native = all(kind.json_native for kind in fields.values())
    return Kind(cls, lambda chance: cls(*(kind.make(chance) for kind in fields.values())), native)


def _several(chance: random.Random, inner: Kind) -> list[Any]:
    return [inner.make(chance) for _ in range(chance.randrange(4))]


def make_class(name: str, fields: dict[str, Kind]) -> type:
    """A frozen attrs class of these fields."""
    return attrs.make_class(name, {key: attrs.field(type=kind.hint) for key, kind in fields.items()}, frozen=True)


@attrs.frozen
class Subject:
    """An event class to be fuzzed."""

    name: str
    cls: type
    fields: dict[str, Kind]

    def values(self, chance: random.Random) -> dict[str, Any]:
        """What suits each field."""
        return {name: kind.make(chance) for name, kind in self.fields.items()}


def subjects(seed: int, count: int = 60) -> list[Subject]:
    """Event classes chosen at random, a third of them of plain fields only, declared as ``fuzz.n`` version 3."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        fields = {
            f"f{index}": chance.choice(SCALARS) if number % 3 == 0 else kind_of(chance)
            for index in range(chance.randrange(1, 6))
        }
        if number % 6 == 0:
            fields = {name: _optional(chance, kind, 0) for name, kind in fields.items()}
        name = f"fuzz.n{number}"
        made.append(Subject(name, event(name, 3)(make_class(f"Fuzz{number}", fields)), fields))
    return made


def poisons(chance: random.Random) -> Iterator[Any]:
    """Values that JSON, or a reader, would make something else of; some of them suit some fields."""
    yield from (math.nan, math.inf, -math.inf, "\ud800", "a\udfff", 2**63, -(2**63) - 1, 10**30, 10**5000)
    yield from (Word.YES, Level.HIGH, Colour.RED, Text("a"), Whole(1), Row([1]), collections.OrderedDict(a=1))
    yield from (True, 1, 1.0, "12", None, b"x", bytearray(b"x"), (1, 2), [1, 2], {1, 2}, frozenset("a"), {"a": 1})
    yield from ({1: 2}, {None: 1}, {1.5: 2}, {"\ud800": 1}, {Word.YES: 1}, {Level.LOW: 1}, {1: 1, "1": 2}, object())
    yield from (dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")), NAIVE.replace(fold=1))
    yield from (decimal.Decimal("NaN"), decimal.Decimal("1.0"), 1j, ..., type, {}.keys(), memoryview(b"x"), range(2))
    nest: Any = 1
    for _ in range(chance.choice((50, 97, 98, 99, 100, 101, 300, 3000))):
        nest = [nest] if chance.random() < 0.5 else {"a": nest}
    yield nest


def poisoned(chance: random.Random, value: Any, poison: Any) -> Any:
    """The poison itself, or the value with the poison somewhere inside it."""
    if isinstance(value, list) and value and chance.random() < 0.7:
        return [*value[:-1], poisoned(chance, value[-1], poison)]
    if isinstance(value, tuple) and value and chance.random() < 0.7:
        return (poisoned(chance, value[0], poison), *value[1:])
    if isinstance(value, dict) and value and chance.random() < 0.7:
        key = next(iter(value))
        return {**value, key: poisoned(chance, value[key], poison)}
    if attrs.has(type(value)) and chance.random() < 0.7:
        return attrs.evolve(value, first=poisoned(chance, value.first, poison))
    return poison
