"""Fuzzes a codec: events that suit their class and that do not, JSON that is nearly right, bytes that are damaged.

What must be true of every input: an event is refused with the field named or comes back identical; bytes give a typed
error or an event that encodes back. What is identical is decided here, in another way than the codec does.
"""

from __future__ import annotations

import json
import random
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from eventstore import codec
from eventstore.errors import CorruptEvent, EventRefused, UnknownEventType
from eventstore.events import EventType, UnknownEvent, upcast
from tests.faults.codec_cases import Subject, poisoned, poisons, subjects

VALUES_READ: tuple[Any, ...] = (
    {},
    [],
    None,
    True,
    0,
    1.5,
    "",
    "12",
    "x",
    2**63 - 1,
    2**64,
    10**30,
    [1],
    {"a": 1},
    -0.0,
    1e22,
)


@attrs.frozen
class Codec:
    """What is fuzzed; a test plants its bugs here."""

    encode: Callable[[object], tuple[EventType, bytes]] = codec.encode_event
    decode: Callable[..., tuple[object, ...]] = codec.decode_events

    @property
    def name(self) -> str:
        """Of the function that a test put in its place."""
        return (self.encode if self.encode is not codec.encode_event else self.decode).__name__


class Wrong(AssertionError):
    """The codec did what it must not."""


def identical(one: Any, other: Any) -> bool:
    """Equal, and of the same type all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(identical, one.items(), other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, set | frozenset):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    if attrs.has(type(one)):
        return all(identical(getattr(one, name), getattr(other, name)) for name in names_of(one))
    return bool(one == other) and repr(one) == repr(other)


def names_of(value: Any) -> list[str]:
    """The fields of an attrs instance."""
    return [field.name for field in attrs.fields(type(value))]


def says_the_same(read: Any, written: Any) -> bool:
    """Whether JSON that was read and JSON written of what became of it agree; whole numbers may have become floats.

    A key that no class knows is not read, so ``written`` may lack it.
    """
    if isinstance(read, dict) and isinstance(written, dict):
        return all(key in read and says_the_same(read[key], value) for key, value in written.items())
    if isinstance(read, list) and isinstance(written, list):
        return len(read) == len(written) and all(map(says_the_same, read, written))
    if type(read) is int and type(written) is float:
        return float(read) == written
    return type(read) is type(written) and bool(read == written)


class Fuzz:
    """One run, the same for the same seed.

    Args:
        seed: of everything random.
        made_of: the codec.
    """

    def __init__(self, seed: int, made_of: Codec | None = None) -> None:
        self.chance = random.Random(seed)
        self.codec = made_of or Codec()
        self.subjects = subjects(seed)
        self.counts: Counter[str] = Counter()
        self._poisons: list[Any] = []
        declare_upcasters(self.subjects)

    def run(self, inputs: int) -> None:
        """Put in so many inputs. ``counts`` says what became of them.

        Raises:
            Wrong: the codec did what it must not, with the input.
        """
        kinds: list[tuple[float, Callable[[Subject], None]]] = [
            (0.40, self.suitable),
            (0.55, self.unsuitable),
            (0.80, self.nearly_right),
            (0.90, self.other_versions),
            (1.01, self.damaged),
        ]
        for _ in range(inputs):
            roll = self.chance.random()
            for bound, put_in in kinds:
                if roll < bound:
                    put_in(self.chance.choice(self.subjects))
                    break

    @property
    def inputs(self) -> int:
        """How many were put in."""
        return sum(count for name, count in self.counts.items() if name.startswith("input: "))

    @property
    def valid(self) -> int:
        """How many were structurally valid: a declared type with its fields, as an instance or as a JSON object."""
        return self.counts["input: suitable"] + self.counts["input: nearly right"] + self.counts["input: other version"]

    # --- what is put in -------------------------------------------------------------------------------------------

    def suitable(self, subject: Subject) -> None:
        """Every value that suits its class is taken, and comes back identical."""
        self.counts["input: suitable"] += 1
        made = subject.cls(**subject.values(self.chance))
        try:
            self._there_and_back(made)
        except EventRefused as error:
            raise Wrong(f"{made!r} was refused: {error}") from error

    def unsuitable(self, subject: Subject) -> None:
        """One value that may not suit: refused with its field named, or it comes back identical."""
        self.counts["input: unsuitable"] += 1
        values = subject.values(self.chance)
        field = self.chance.choice(list(values))
        if not self._poisons:
            self._poisons = list(poisons(self.chance))
            self.chance.shuffle(self._poisons)
        made = subject.cls(**(values | {field: poisoned(self.chance, values[field], self._poisons.pop())}))
        try:
            self._there_and_back(made)
        except EventRefused as error:
            self.counts["refused"] += 1
            if (error.type_name, error.field) != (subject.name, field):
                raise Wrong(f"{field} is poisoned, and blamed is {error.field}: {error.reason}") from error

    def nearly_right(self, subject: Subject) -> None:
        """A JSON object of a declared type with something wrong: a typed error, or it means what it says."""
        self.counts["input: nearly right"] += 1
        payload = json.loads(self._bytes_of(subject))
        field = self.chance.choice(list(payload))
        change = self.chance.randrange(5)
        if change == 0:
            del payload[field]
        elif change == 1:
            payload[f"more{self.chance.randrange(9)}"] = self.chance.choice(VALUES_READ)
        elif change == 2:
            payload[field] = self._bent(payload[field])
        elif change == 3:
            other = self.chance.choice(list(payload))
            payload[field], payload[other] = payload[other], payload[field]
        self._read(subject, json.dumps(payload).encode(), payload)

    def other_versions(self, subject: Subject) -> None:
        """Older ones are upcast, later ones and unknown types told or replaced; nothing of a placeholder is lost."""
        self.counts["input: other version"] += 1
        data = self._bytes_of(subject)
        payload = json.loads(data)
        name, version = self.chance.choice(((subject.name, 1), (subject.name, 2), (subject.name, 4), ("fuzz.gone", 1)))
        if version == 1:
            payload["how"] = self.chance.choice(HOW)
            data = json.dumps(payload).encode()
        for event in self._decoded(name, version, data, self.chance.choice(("raise", "placeholder"))):
            if not isinstance(event, UnknownEvent):
                self._encodes_back(event)
            elif (event.type, event.schema_version) == (name, version) and not identical(event.payload, payload):
                raise Wrong(f"{payload!r} became {event!r}")

    def damaged(self, subject: Subject) -> None:
        """Bytes flipped, lost, doubled, cut off or mixed."""
        self.counts["input: damaged"] += 1
        data = bytearray(self._bytes_of(subject))
        for _ in range(self.chance.randrange(1, 4)):
            at = self.chance.randrange(len(data) + 1)
            upto = min(len(data), at + self.chance.randrange(8))
            change = self.chance.randrange(6)
            if change == 0 and at < len(data):
                data[at] ^= 1 << self.chance.randrange(8)
            elif change == 1:
                del data[at:upto]
            elif change == 2:
                data[at:at] = data[at:upto]
            elif change == 3:
                data[at:at] = self.chance.choice(
                    (b'"', b"{", b"[" * 120, b"9" * 25, b"1e999", b"\xff", b"null", b",", b":")
                )
            elif change == 4:
                del data[at:]
            else:
                data[at:upto] = self._bytes_of(self.chance.choice(self.subjects))[:9]
        self._read(subject, bytes(data), None)

    # --- what must be true ----------------------------------------------------------------------------------------

    def _there_and_back(self, made: object) -> None:
        try:
            kind, data = self.codec.encode(made)
        except EventRefused:
            raise
        except Exception as error:
            raise Wrong(f"{made!r:.300}: {error!r}") from error
        try:
            (back,) = self.codec.decode(1, kind.name, kind.version, data)
        except Exception as error:
            raise Wrong(f"{data[:300]!r} was stored and cannot be read: {error!r}") from error
        if not identical(made, back):
            raise Wrong(f"{made!r:.300} came back as {back!r:.300}")
        self.counts["came back"] += 1

    def _read(self, subject: Subject, data: bytes, payload: Any) -> None:
        for event in self._decoded(subject.name, 3, data, "raise"):
            again = json.loads(self._encodes_back(event))
            if payload is None:
                continue
            for name, kind in subject.fields.items():
                if kind.json_native and name in payload and not says_the_same(payload[name], again[name]):
                    raise Wrong(f"{name}: {payload[name]!r:.200} was read as {again[name]!r:.200}")

    def _decoded(self, name: str, version: int, data: bytes, unknown: str) -> tuple[object, ...]:
        try:
            events = self.codec.decode(1, name, version, data, unknown)
        except (CorruptEvent, UnknownEventType) as error:
            self.counts[type(error).__name__] += 1
            return ()
        except Exception as error:
            raise Wrong(f"{data[:300]!r}: {error!r}") from error
        self.counts["decoded"] += 1
        return events

    def _encodes_back(self, event: object) -> bytes:
        try:
            kind, data = self.codec.encode(event)
            (back,) = self.codec.decode(1, kind.name, kind.version, data)
        except Exception as error:
            raise Wrong(f"{event!r:.300} was decoded and does not encode back: {error!r}") from error
        if not identical(event, back):
            raise Wrong(f"{event!r:.300} was decoded and came back as {back!r:.300}")
        return data

    def _bytes_of(self, subject: Subject) -> bytes:
        return codec.encode_event(subject.cls(**subject.values(self.chance)))[1]

    def _bent(self, value: Any) -> Any:
        """Another value in its place, or in the place of something in it."""
        if isinstance(value, list) and value and self.chance.random() < 0.5:
            return [*value[:-1], self._bent(value[-1])]
        if isinstance(value, dict) and value and self.chance.random() < 0.5:
            key = self.chance.choice(list(value))
            return value | {key: self._bent(value[key])}
        if isinstance(value, int | float) and self.chance.random() < 0.5:
            return str(value)
        return self.chance.choice(VALUES_READ)


HOW = ("next", "drop", "split", "other", "fail", "odd", "nan", "long", "same")


def declare_upcasters(made: list[Subject]) -> None:
    """From version 1, as the payload's ``how`` says; from version 2 by changing nothing."""

    def first(subject: Subject, other: Subject) -> Callable[[dict[str, Any]], Any]:
        def convert(payload: dict[str, Any]) -> Any:
            how = payload.pop("how")
            field = next(iter(subject.fields))
            return {
                "next": payload,
                "drop": None,
                "split": [(subject.name, 3, payload), (subject.name, payload), ("fuzz.gone", 7, {"kept": payload})],
                "other": [(other.name, payload)],
                "odd": [(subject.name, 3)],
                "nan": [(subject.name, 3, payload | {field: float("nan")})],
                "long": [(subject.name, 3, payload | {field: 2**70})],
                "same": [(subject.name, 1, payload | {"how": "same"})],
            }[how]

        return convert

    for subject, other in zip(made, made[1:] + made[:1], strict=True):
        upcast(subject.name, 1)(first(subject, other))
        upcast(subject.name, 2)(lambda payload: payload)
