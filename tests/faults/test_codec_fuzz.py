"""A million inputs: what the codec takes comes back identical, and what it does not take it tells by name."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from eventstore import codec
from eventstore import events as registry
from eventstore.errors import CorruptEvent, EventRefused, UnknownEventType
from eventstore.events import EventType, UnknownEvent, find_type, type_of
from eventstore.shaping.upcasting import upcast_pieces
from tests.faults.codec_fuzz import Codec, Fuzz, Wrong

SEED = 20_260
BOUNDED, FULL = (3, 4_000), (20, 50_000)
"""Rounds, each with event classes of its own, and inputs of each: in the default run and with ``--profile release``."""
PLANTED = 12_000


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """What is declared meanwhile is forgotten again."""
    tables: list[dict[Any, Any]] = [registry._by_class, registry._by_name, registry._upcasters]
    kept = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


def test_every_input_comes_back_or_is_told(release: bool) -> None:
    """Only typed errors, with the field named; what is stored comes back identical; what decodes encodes back."""
    counts: Counter[str] = Counter()
    rounds, inputs = FULL if release else BOUNDED
    for number in range(rounds):
        with forgotten():
            fuzz = Fuzz(SEED + number)
            fuzz.run(inputs)
            counts += fuzz.counts + Counter(inputs=fuzz.inputs, valid=fuzz.valid)
    print(f"codec: {counts['inputs']} inputs, {counts['valid']} structurally valid, {dict(sorted(counts.items()))}")
    assert rounds * inputs == counts["inputs"]
    assert counts["valid"] * 2 >= counts["inputs"]
    assert {"came back", "refused", "decoded", "CorruptEvent", "UnknownEventType"} <= set(counts)


# --- planted: codecs that are almost right ------------------------------------------------------------------------


def unread(event: object) -> tuple[EventType, bytes]:
    """Encodes and does not read back."""
    try:
        return type_of(type(event)), msgspec.json.encode(event)
    except Exception:
        return codec.encode_event(event)


def merely_equal(event: Any) -> tuple[EventType, bytes]:
    """Reads back, and is content with ``==``."""
    kind, data = unread(event)
    with contextlib.suppress(Exception):
        if msgspec.json.decode(data, type=kind.cls) == event:
            return kind, data
    return codec.encode_event(event)


def blames_the_first(event: Any) -> tuple[EventType, bytes]:
    """Refuses what is to be refused, in the name of the wrong field."""
    try:
        return codec.encode_event(event)
    except EventRefused as error:
        raise EventRefused(error.type_name, "f0", error.reason) from error


def strict_beyond_reason(event: Any) -> tuple[EventType, bytes]:
    """Refuses what it could keep."""
    kind, data = codec.encode_event(event)
    if b'"null"' in data:
        raise EventRefused(kind.name, "f0", "it looks like null")
    return kind, data


def keeps_no_more_than_53_bits(event: Any) -> tuple[EventType, bytes]:
    """Another JSON library's idea of numbers."""
    kind, data = codec.encode_event(event)
    return kind, data.replace(str(2**53 + 1).encode(), str(2**53).encode())


def coercing(position: int, name: str, version: int, data: bytes, unknown: Any = "raise") -> tuple[object, ...]:
    """Takes ``"12"`` for 12."""
    kind = find_type(name)
    if kind is not None and kind.version == version:
        with contextlib.suppress(Exception):
            return (msgspec.json.decode(data, type=kind.cls, strict=False),)
    return codec.decode_events(position, name, version, data, unknown)


def untyped(position: int, name: str, version: int, data: bytes, unknown: Any = "raise") -> tuple[object, ...]:
    """Lets through what its library raises."""
    kind = find_type(name)
    if kind is not None and kind.version == version:
        return (msgspec.json.decode(data, type=kind.cls),)
    return codec.decode_events(position, name, version, data, unknown)


def forgetful(position: int, name: str, version: int, data: bytes, unknown: Any = "raise") -> tuple[object, ...]:
    """Placeholders without their payload."""
    events = codec.decode_events(position, name, version, data, unknown)
    return tuple(UnknownEvent(one.type, 4, {}, "") if isinstance(one, UnknownEvent) else one for one in events)


def trusting(position: int, name: str, version: int, data: bytes, unknown: Any = "raise") -> tuple[object, ...]:
    """Believes what an upcaster returns."""
    kind, pieces = find_type(name), upcast_pieces(position, name, version, codec.decode_payload(position, data))
    if kind is None or version >= kind.version:
        return codec.decode_events(position, name, version, data, unknown)
    events: list[object] = []
    for piece in pieces:
        if piece.kind is None or not piece.is_current:
            raise UnknownEventType(position, piece.type, piece.version)
        try:
            events.append(msgspec.convert(piece.payload, piece.kind.cls, str_keys=True))
        except Exception as error:
            raise CorruptEvent(position, str(error)) from error
    return tuple(events)


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (Codec(encode=unread), "was stored and cannot be read"),
        (Codec(encode=merely_equal), "came back as"),
        (Codec(encode=blames_the_first), "is poisoned, and blamed is f0"),
        (Codec(encode=strict_beyond_reason), "was refused"),
        (Codec(encode=keeps_no_more_than_53_bits), "9007199254740993.* came back as .*9007199254740992"),
        (Codec(decode=coercing), "was read as|came back as"),
        (Codec(decode=untyped), "ValidationError|DecodeError"),
        (Codec(decode=forgetful), "became UnknownEvent"),
        (Codec(decode=trusting), "(?i)nan.*does not encode back"),
    ],
    ids=lambda planted: planted.name if isinstance(planted, Codec) else "",
)
def test_a_planted_bug_is_found(planted: Codec, told: str) -> None:
    """Each within what the default run puts in, and for what is wrong with it."""
    with forgotten(), pytest.raises(Wrong, match=told):
        Fuzz(SEED, planted).run(PLANTED)
