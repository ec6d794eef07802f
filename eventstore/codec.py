"""Events, states and JSON values to bytes and back, by msgspec; what would not come back as it went in is refused.

An event is encoded, decoded again and compared before it may be stored, down to the type of every part: a value that
replay would read differently, or not at all, must never become part of a log. Only where the types of its fields prove
it already is the reading back left out (``vouching``).
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from eventstore.errors import CorruptEvent, EventRefused, EventStoreError, SnapshotUnusable, UnknownEventType
from eventstore.events import EventType, Payload, UnknownEvent, find_type, type_of
from eventstore.frozen import frozen
from eventstore.shaping.limits import MAX_DEPTH, MAX_EVENT_BYTES, MAX_STATE_BYTES, beyond_limits
from eventstore.shaping.refusals import refusal, refusal_of_size, undecodable_field
from eventstore.shaping.shapes import Facts, Shape, Unstorable, alike, is_plain, shape_of
from eventstore.shaping.upcasting import Piece, upcast_pieces
from eventstore.shaping.vouching import Vouching, vouching

S = TypeVar("S")

OnUnknown: TypeAlias = Literal["raise", "placeholder"]
"""What a reader does with an event it does not know: raise ``UnknownEventType``, or give an ``UnknownEvent``."""

Encoder: TypeAlias = tuple[EventType, Callable[[object], bytes]]
"""The stored identity of an event class, and what makes JSON of its events or refuses them as ``encode_event`` does."""

_Faithful: TypeAlias = Callable[[Any, Any, bytes], bool]
"""Whether the second value is exactly the first; the third are the bytes between them."""

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode

_encoders: dict[type, Encoder] = {}
_state_plans: dict[type, _Plan] = {}
_decoders: dict[type, Callable[[bytes], Any]] = {}
_read: dict[type, tuple[Facts, Shape | None]] = {}


@frozen
class _Plan:
    """What is known about a class once it was looked at."""

    kind: EventType
    """Of a state only the name to tell of it is right."""
    decode: Callable[[bytes], Any]
    faithful: _Faithful
    loose: bool
    """Instances may carry more than their fields, which must not get into the log."""
    known: Vouching | None = None
    """What spares reading back each instance, for classes where it can be spared."""


def encode_event(event: object) -> tuple[EventType, bytes]:
    """An event's stored identity and JSON, at most 16 MiB and 100 levels deep.

    Raises:
        NotAnEvent: its class is not declared with ``@event``.
        EventRefused: it would not come back as it went in, or is beyond a limit.
    """
    kind, encode = _encoders.get(type(event)) or encoder_of(type(event))
    return kind, encode(event)


def encoder_of(cls: type) -> Encoder:
    """What encodes the events of a class, for whoever encodes many and looks it up once.

    Raises:
        NotAnEvent: the class is not declared with ``@event``.
        EventRefused: its events could not be stored, whatever their values.
    """
    made = _encoders.get(cls)
    if made is not None:
        return made
    plan = _make_plan(type_of(cls))
    known = plan.known

    def encode(event: object) -> bytes:
        try:
            data = _encode(event)
            if known is not None and known.check(event, data) and len(data) <= MAX_EVENT_BYTES:
                return data
        except Exception as error:
            raise _refused(plan.kind.name, event, error) from error
        return _read_back(plan, event, data, MAX_EVENT_BYTES)

    made = _encoders[cls] = plan.kind, encode
    return made


def decode_events(
    position: int, type_name: str, schema_version: int, data: bytes, unknown: OnUnknown = "raise"
) -> tuple[object, ...]:
    """What a stored event has become by now: usually one event, none when an upcaster drops it, several when it splits.

    Raises:
        UnknownEventType: not known here, and ``unknown`` is ``"raise"``.
        CorruptEvent: the data do not fit the class, or an upcaster failed.
    """
    kind = find_type(type_name)
    if kind is not None and kind.version == schema_version:
        try:
            event = (_decoders.get(kind.cls) or _decoder(type_name, kind.cls))(data)
            facts, shape = _read.get(kind.cls) or _look_at(kind.cls)
            beyond = beyond_limits(data, integers=facts.integers, unbounded=facts.unbounded)
            if facts.decimals and shape is not None:
                shape(event)
        except MemoryError:
            raise
        except Exception as error:
            raise CorruptEvent(position, f"{type_name!r}: {error}") from error
        if beyond:
            raise CorruptEvent(position, f"{type_name!r}: {beyond}")
        return (event,)
    pieces = upcast_pieces(position, type_name, schema_version, decode_payload(position, data))
    return tuple([_from_piece(position, piece, unknown) for piece in pieces])


def decoder_of(type_name: str, schema_version: int) -> Callable[[bytes], object] | None:
    """What decodes a stored event of a known type at its current version; None for every other.

    For readers of many events, who look it up once. It raises whatever goes wrong: ``decode_events`` then tells it as a
    typed error. It holds as long as the type is not declared anew.
    """
    kind = find_type(type_name)
    if kind is None or kind.version != schema_version:
        return None
    return _decoders.get(kind.cls) or _decoder(kind.name, kind.cls)


def decode_payload(position: int, data: bytes) -> Payload:
    """A stored event's JSON object, whatever its type.

    Raises:
        CorruptEvent: it is not a JSON object.
    """
    try:
        payload = _decode_any(data)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise CorruptEvent(position, f"not JSON: {error}") from error
    if not isinstance(payload, dict):
        raise CorruptEvent(position, "not a JSON object")
    return payload


def encode_value(
    value: object,
    *,
    what: str = "receipt",
    field: str = "reply",
    levels: int = MAX_DEPTH,
    limit: int = MAX_EVENT_BYTES,
) -> bytes:
    """A JSON value to bytes, at most 16 MiB and 100 levels deep, or less where it is to be a part of something.

    Raises:
        EventRefused: it is not one, or would not come back as it went in. ``what`` and ``field`` name it.
    """
    try:
        data = _encode(value)
        faithful = alike(value, _decode_any(data))
        reason = (
            beyond_limits(data, levels=levels) if faithful else "it would come back different: only JSON values do not"
        )
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EventRefused(what, field, refusal(what, value, str(error)).reason) from error
    if reason:
        raise EventRefused(what, field, refusal(what, value, reason).reason)
    if len(data) > limit:
        raise EventRefused(what, field, f"{len(data):,} bytes of JSON are more than {limit:,}")
    return data


def decode_value(data: bytes) -> Any:
    """Bytes of ``encode_value`` back to the JSON value.

    Raises:
        ValueError: they are not JSON.
    """
    try:
        return _decode_any(data)
    except (msgspec.MsgspecError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def encode_state(state: object) -> bytes:
    """A state to bytes, for a snapshot; at most 256 MiB and 100 levels deep.

    Raises:
        EventRefused: it would not come back as it went in, or is beyond a limit.
    """
    cls = type(state)
    plan = _state_plans.get(cls)
    if plan is None:
        plan = _state_plans[cls] = _make_plan(EventType(f"state {cls.__qualname__}", 1, cls))
    try:
        data = _encode(state)
    except Exception as error:
        raise _refused(plan.kind.name, state, error) from error
    return _read_back(plan, state, data, MAX_STATE_BYTES)


def decode_state(data: bytes, cls: type[S]) -> S:
    """Bytes of ``encode_state`` back to a state.

    Raises:
        SnapshotUnusable: they do not make one of this class.
    """
    try:
        decode = _decoders.get(cls) or _decoder(f"state {cls.__qualname__}", cls)
        return typing.cast("S", decode(data))
    except MemoryError:
        raise
    except Exception as error:
        raise SnapshotUnusable(cls, str(error)) from error


# --- plans --------------------------------------------------------------------------------------------------------


def _make_plan(kind: EventType) -> _Plan:
    cls = kind.cls
    facts = Facts()
    try:
        shape = shape_of(cls, facts)
    except Unstorable as error:
        raise EventRefused(kind.name, error.field, error.reason) from None
    decode = _decoders.get(cls) or _decoder(kind.name, cls)
    return _Plan(kind, decode, _exactness(shape, facts), facts.loose, vouching(cls, facts))


def _decoder(name: str, cls: type) -> Callable[[bytes], Any]:
    try:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(cls)
    except Exception as error:
        raise EventRefused(name, undecodable_field(cls), str(error)) from error
    decode = _decoders[cls] = decoder.decode
    return decode


def _look_at(cls: type) -> tuple[Facts, Shape | None]:
    """What to look for in stored data of a class; of one that could not be stored, everything."""
    facts = Facts()
    try:
        _read[cls] = facts, shape_of(cls, facts)
    except Unstorable:
        _read[cls] = Facts(integers=True, unbounded=True), None
    return _read[cls]


def _exactness(shape: Shape | None, facts: Facts) -> _Faithful:
    """The thorough comparison, right for every class."""
    integers, unbounded = facts.integers, facts.unbounded

    def faithful(value: Any, back: Any, data: bytes) -> bool:
        one, other = (value, back) if shape is None else (shape(value), shape(back))
        # What was written of the whole is at hand and usually the same; that of the shapes is right for sets too
        same = is_plain(one) and one == other and (_encode(back) == data or _encode(one) == _encode(other))
        return same and not beyond_limits(data, integers=integers, unbounded=unbounded)

    return faithful


def _read_back(plan: _Plan, value: object, data: bytes, limit: int) -> bytes:
    """Decode what was encoded and compare, leave out what an instance carries beside its fields, and give what to keep.

    Raises:
        EventRefused: it would come back different, or is too large.
    """
    name = plan.kind.name
    try:
        faithful = plan.faithful(value, plan.decode(data), data)
        if faithful and plan.loose:
            data = _encode(plan.decode(data))
            faithful = plan.faithful(value, plan.decode(data), data)
    except Exception as error:
        raise _refused(name, value, error) from error
    if not faithful:
        raise refusal(name, value, "it would come back different")
    if len(data) > limit:
        raise refusal_of_size(name, value, len(data), limit)
    if plan.known is not None:
        plan.known.learn(value)
    return data


def _refused(name: str, value: object, error: Exception) -> Exception:
    """What to raise for an error of encoding or reading back."""
    if isinstance(error, MemoryError | EventStoreError):
        return error
    return refusal(name, value, str(error) or repr(error))


def _from_piece(position: int, piece: Piece, unknown: OnUnknown) -> object:
    """The event of an upcast payload, which must be one that could be stored as it is."""
    if piece.kind is None or not piece.is_current:
        if unknown == "raise":
            raise UnknownEventType(position, piece.type, piece.version)
        return UnknownEvent(piece.type, piece.version, piece.payload, piece.why_unknown)
    try:
        event: object = msgspec.convert(piece.payload, piece.kind.cls, str_keys=True)
        encode_event(event)
    except MemoryError:
        raise
    except Exception as error:
        raise CorruptEvent(position, f"{piece.type!r} after upcasting: {error}") from error
    return event
