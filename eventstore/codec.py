"""Events, states and JSON values to bytes and back, by msgspec; what would not come back as it went in is refused.

An event is encoded, decoded again and compared before it may be stored: a value that replay would read differently, or
not at all, must never become part of a log.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import attrs
import msgspec

from eventstore.errors import CorruptEvent, EventRefused, SnapshotUnusable, UnknownEventType
from eventstore.events import EventType, Payload, UnknownEvent, find_type, find_upcaster, type_of

S = TypeVar("S")

OnUnknown: TypeAlias = Literal["raise", "placeholder"]
"""What a reader does with an event it does not know: raise ``UnknownEventType``, or give an ``UnknownEvent``."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
MAX_UPCASTS = 1000
"""Upcaster calls for one record before it is called corrupt: past it they lead in a circle."""

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_TO_ZEROS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG_NUMBER = b"0" * 19  # the shortest run of digits that may exceed 64 bits
_JSON_ERRORS = (msgspec.MsgspecError, AttributeError, TypeError, ValueError, OverflowError, RecursionError)

_plans: dict[type, _Plan] = {}
_state_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


@attrs.frozen
class _Plan:
    """What is known about an event class once it was looked at."""

    kind: EventType
    decode: typing.Callable[[bytes], Any]


def encode_event(event: object) -> tuple[EventType, bytes]:
    """An event's stored identity and JSON.

    Raises:
        NotAnEvent: its class is not declared with ``@event``.
        EventRefused: it would not come back as it went in.
    """
    cls = type(event)
    plan = _plans.get(cls)
    if plan is None or plan.kind.cls is not cls:
        plan = _plan(cls)
    try:
        data = _encode(event)
        faithful = plan.decode(data) == event and _LONG_NUMBER not in data.translate(_TO_ZEROS)
    except _JSON_ERRORS as error:
        raise _refusal(plan.kind.name, event, str(error)) from error
    if not faithful:
        _refuse_unless_only_long_text(plan, event, data)
    return plan.kind, data


def decode_events(
    position: int, type_name: str, schema_version: int, data: bytes, unknown: OnUnknown = "raise"
) -> tuple[object, ...]:
    """What a stored event has become by now: usually one event, none when an upcaster drops it, several when it splits.

    Raises:
        UnknownEventType: not known here, and ``unknown`` is ``"raise"``.
        CorruptEvent: the data do not fit the class.
    """
    kind = find_type(type_name)
    if kind is not None and kind.version == schema_version:
        plan = _plans.get(kind.cls) or _plan(kind.cls)
        try:
            return (plan.decode(data),)
        except _JSON_ERRORS as error:
            raise CorruptEvent(position, f"{type_name!r}: {error}") from error
    return _decode_old(position, type_name, schema_version, decode_payload(position, data), unknown)


def decode_payload(position: int, data: bytes) -> Payload:
    """A stored event's JSON object, whatever its type.

    Raises:
        CorruptEvent: it is not a JSON object.
    """
    try:
        payload = _decode_any(data)
    except _JSON_ERRORS as error:
        raise CorruptEvent(position, f"not JSON: {error}") from error
    if not isinstance(payload, dict):
        raise CorruptEvent(position, "not a JSON object")
    return payload


def encode_value(value: object, *, what: str = "receipt", field: str = "reply") -> bytes:
    """A JSON value to bytes.

    Raises:
        EventRefused: it is not one, or would not come back as it went in. ``what`` and ``field`` name it.
    """
    try:
        data = _encode(value)
        if _decode_any(data) != value:
            raise EventRefused(what, field, "it would come back different: only JSON values do not")
        _refuse_long_ints(what, field, data)
    except _JSON_ERRORS as error:
        if isinstance(error, EventRefused):
            raise
        raise EventRefused(what, field, str(error)) from error
    return data


def decode_value(data: bytes) -> Any:
    """Bytes of ``encode_value`` back to the JSON value.

    Raises:
        ValueError: they are not JSON.
    """
    try:
        return _decode_any(data)
    except (msgspec.MsgspecError, TypeError) as error:
        raise ValueError(str(error)) from error


def encode_state(state: object) -> bytes:
    """A state to bytes, for a snapshot.

    Raises:
        EventRefused: it would not come back as it went in.
    """
    cls = type(state)
    name = f"state {cls.__qualname__}"
    try:
        decoder = _state_decoder(cls)
        data = _encode(state)
        faithful = decoder.decode(data) == state
        _refuse_long_ints(name, "*", data)
    except _JSON_ERRORS as error:
        if isinstance(error, EventRefused):
            raise
        raise _refusal(name, state, str(error)) from error
    if not faithful:
        raise _refusal(name, state, "it would come back different")
    return data


def decode_state(data: bytes, cls: type[S]) -> S:
    """Bytes of ``encode_state`` back to a state.

    Raises:
        SnapshotUnusable: they do not make one of this class.
    """
    try:
        return typing.cast("S", _state_decoder(cls).decode(data))
    except (*_JSON_ERRORS, EventRefused) as error:
        raise SnapshotUnusable(cls, str(error)) from error


def _plan(cls: type) -> _Plan:
    kind = type_of(cls)
    _check_fields(kind.name, cls)
    try:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(cls)
    except _JSON_ERRORS as error:
        raise EventRefused(kind.name, _undecodable_field(cls), str(error)) from error
    plan = _plans[cls] = _Plan(kind, decoder.decode)
    return plan


def _state_decoder(cls: type) -> msgspec.json.Decoder[Any]:
    decoder = _state_decoders.get(cls)
    if decoder is None:
        _check_fields(f"state {cls.__qualname__}", cls)
        decoder = _state_decoders[cls] = msgspec.json.Decoder(cls)
    return decoder


def _check_fields(name: str, cls: type) -> None:
    """Refuse classes whose fields a round trip cannot vouch for, nested classes included."""
    for path, nested in _attrs_classes(cls):
        if vars(nested).get("__eq__", object.__eq__) is object.__eq__:
            raise EventRefused(name, path or "*", f"{nested.__qualname__} does not compare by value")
        for field in attrs.fields(nested):
            where = f"{path}.{field.name}".lstrip(".")
            if field.name.startswith("_"):
                raise EventRefused(name, where, "a private field is not stored")
            if not field.eq:
                raise EventRefused(name, where, "a field that is not compared cannot be checked")


def _attrs_classes(cls: type) -> Iterator[tuple[str, type]]:
    """Every attrs class that can occur in one, with the path to it."""
    waiting: list[tuple[str, Any]] = [("", cls)]
    seen: set[Any] = set()
    while waiting:
        path, hint = waiting.pop()
        waiting.extend((path, argument) for argument in typing.get_args(hint))
        if not (isinstance(hint, type) and attrs.has(hint)) or hint in seen:
            continue
        seen.add(hint)
        yield path, hint
        waiting.extend((f"{path}.{name}".lstrip("."), inner) for name, inner in _hints(hint).items())


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except NameError as error:
        raise EventRefused(
            cls.__qualname__, error.name or "*", "its type is not importable when events are read"
        ) from None


def _undecodable_field(cls: type) -> str:
    for name, hint in _hints(cls).items():
        try:
            msgspec.json.Decoder(hint)
        except _JSON_ERRORS:
            return name
    return "*"


def _refusal(name: str, value: object, reason: str) -> EventRefused:
    """Name the field that does not come back, by trying each alone."""
    cls = type(value)
    if not attrs.has(cls):
        return EventRefused(name, "*", reason)
    hints = _hints(cls)
    for field in attrs.fields(cls):
        item = getattr(value, field.name)
        try:
            if msgspec.json.decode(_encode(item), type=hints.get(field.name, Any)) != item:
                return EventRefused(name, field.name, f"{item!r:.80} would come back different")
        except _JSON_ERRORS as error:
            return EventRefused(name, field.name, f"{error}")
    return EventRefused(name, "*", reason)


def _refuse_unless_only_long_text(plan: _Plan, event: object, data: bytes) -> None:
    """The quick check failed: either a value does not come back, or a long run of digits needs a closer look."""
    if plan.decode(data) != event:
        raise _refusal(plan.kind.name, event, "it would come back different")
    for name, value in _decode_any(data).items():
        if _has_long_int(value):
            raise EventRefused(plan.kind.name, name, "an integer beyond 64 bits")


def _refuse_long_ints(name: str, field: str, data: bytes) -> None:
    if _LONG_NUMBER in data.translate(_TO_ZEROS) and _has_long_int(_decode_any(data)):
        raise EventRefused(name, field, "an integer beyond 64 bits")


def _has_long_int(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_long_int(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_long_int(item) for item in value)
    return isinstance(value, int) and not INT_MIN <= value <= INT_MAX


def _decode_old(
    position: int, type_name: str, schema_version: int, payload: Payload, unknown: OnUnknown
) -> tuple[object, ...]:
    """Run upcasters until every piece is at its type's current version."""
    waiting: list[tuple[str, int, Payload]] = [(type_name, schema_version, payload)]
    done: list[object] = []
    for _ in range(MAX_UPCASTS):
        if not waiting:
            return tuple(done)
        name, version, piece = waiting.pop()
        kind = find_type(name)
        if kind is not None and kind.version == version:
            done.append(_structure(position, kind, piece))
            continue
        upcaster = find_upcaster(name, version)
        if upcaster is None:
            if unknown == "raise":
                raise UnknownEventType(position, name, version)
            done.append(UnknownEvent(name, version, piece, _why_unknown(kind, version)))
            continue
        try:
            waiting.extend(reversed(_next(name, version, upcaster(piece))))
        except Exception as error:
            raise CorruptEvent(position, f"upcaster of {name!r} version {version}: {error!r}") from error
    raise CorruptEvent(position, f"upcasters of {type_name!r} lead in a circle")


def _next(name: str, version: int, result: object) -> list[tuple[str, int, Payload]]:
    """What an upcaster returned. A piece of another type is taken to be at that type's current version."""
    if result is None:
        return []
    if isinstance(result, dict):
        return [(name, version + 1, result)]
    pieces: list[tuple[str, int, Payload]] = []
    for piece_name, payload in typing.cast("Sequence[tuple[str, Payload]]", result):
        kind = find_type(piece_name)
        pieces.append((piece_name, version + 1 if piece_name == name or kind is None else kind.version, payload))
    return pieces


def _structure(position: int, kind: EventType, payload: Payload) -> object:
    try:
        return msgspec.convert(payload, kind.cls)
    except _JSON_ERRORS as error:
        raise CorruptEvent(position, f"{kind.name!r} after upcasting: {error}") from error


def _why_unknown(kind: EventType | None, version: int) -> str:
    if kind is None:
        return "no such type is declared here"
    if version > kind.version:
        return f"this process knows it up to version {kind.version}"
    return f"no upcaster from version {version} is declared here"
