"""Hypothesis strategies for what goes into a store: events of given classes, batches, whole histories; and poison.

Needs hypothesis: install ``lrm-actors[test]``.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import decimal
import enum
import functools
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
from hypothesis import strategies as st

from eventstore.protocol import EventStore
from eventstore.records import Appended, Attachment, Batch, Cursor, Durability, NewEvent, Receipt, Snapshot, StreamWrite
from eventstore.shaping.limits import INT_MAX, INT_MIN, MAX_DEPTH

Strategy: TypeAlias = st.SearchStrategy[Any]

STREAMS = ("a", "a/1", "a/2", "b", "ä/\U0001f600")
"""Names that histories use unless they are given others: a category of several, one beside it, one beyond ASCII."""

_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)  # which leaves out lone surrogates
_INTEGERS = st.integers(INT_MIN, INT_MAX)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_SCALARS: dict[Any, Strategy] = {
    type(None): st.none(),
    bool: st.booleans(),
    int: _INTEGERS,
    float: _FLOATS,
    str: _TEXT,
    bytes: st.binary(max_size=20),
    uuid.UUID: st.uuids(),
    decimal.Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    dt.date: st.dates(),
    dt.datetime: st.datetimes(),
    dt.timedelta: st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)),
}
_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@functools.cache
def json_values(max_leaves: int = 10) -> Strategy:
    """JSON values that every store accepts, in events as in receipts."""
    scalars = st.none() | st.booleans() | _INTEGERS | _FLOATS | _TEXT
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
        max_leaves=max_leaves,
    )


def values(hint: Any) -> Strategy:
    """Values of an annotation, as the fields of events have them.

    Attrs classes are built by their fields; what their validators refuse is tried again with other values. For an
    annotation that is not known here hypothesis is asked, whose values a store may refuse.
    """
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (Any, object):
        return json_values()
    if origin in _SCALARS:
        return _SCALARS[origin]
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(one) for one in arguments])
    if origin is tuple and (not arguments or arguments[-1] is Ellipsis):
        return st.lists(values(arguments[0] if arguments else Any), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*[values(one) for one in arguments])
    if origin in _LISTS:
        return st.lists(values(arguments[0] if arguments else Any), max_size=4)
    if origin in (set, frozenset):
        return st.lists(values(arguments[0] if arguments else str), max_size=4).map(origin)
    if origin in _DICTS:
        key, value = arguments or (str, Any)
        return st.dictionaries(values(key), values(value), max_size=4)
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return st.sampled_from(list(origin))
    if isinstance(origin, type) and attrs.has(origin):
        return st.deferred(lambda: _instances(origin, {}))
    return st.from_type(hint)


def events(*classes: type, fields: Mapping[str, Strategy] | None = None) -> Strategy:
    """Events of some classes, their fields drawn by their annotations.

    Args:
        classes: declared with ``@event``, at least one.
        fields: strategies to draw fields of these names from instead.
    """
    if not classes:
        msg = "name the classes of the events, at least one"
        raise ValueError(msg)
    return _events(classes) if fields is None else st.one_of([_instances(cls, fields) for cls in classes])


@functools.cache  # drawn again and again inside histories, and costly to make
def _events(classes: tuple[type, ...]) -> Strategy:
    return st.one_of([_instances(cls, {}) for cls in classes])


def _instances(cls: type, fields: Mapping[str, Strategy]) -> Strategy:
    hints = typing.get_type_hints(cls)
    drawn = {
        field.alias: fields[field.name] if field.name in fields else values(hints.get(field.name, Any))
        for field in attrs.fields(cls)
        if field.init
    }
    return st.fixed_dictionaries(drawn).map(_attempt(cls)).filter(lambda made: made is not _REFUSED)


_REFUSED = object()


def _attempt(cls: type) -> Callable[[dict[str, Any]], Any]:
    def make(arguments: dict[str, Any]) -> Any:
        try:
            return cls(**arguments)
        except (ValueError, TypeError):  # a validator's
            return _REFUSED

    return make


@st.composite
def batches(
    draw: st.DrawFn, *classes: type, streams: Sequence[str] = STREAMS, max_events: int = 4, head: int = 0
) -> Batch:
    """Batches that any store accepts whose streams nobody acquired.

    Args:
        draw: given by hypothesis.
        classes: of the events.
        streams: names to choose from.
        max_events: of each write.
        head: position that the log is known to reach: causes and cursors go no further.
    """
    made = events(*classes)
    writes = []
    for stream in draw(st.lists(st.sampled_from(streams), max_size=3)):
        write = []
        for n, event in enumerate(draw(st.lists(made, max_size=max_events))):
            after = n > 0 and draw(st.booleans())
            cause = draw(st.none() | st.integers(1, head)) if head and not after else None
            command_id, correlation_id = draw(st.sampled_from([(None, ""), ("c-1", "trace"), ("ü", "t")]))
            write.append(NewEvent(event, cause, after, command_id, correlation_id, draw(st.integers(0, 3))))
        writes.append(StreamWrite(stream, tuple(write)))
    names = st.sampled_from(("one", "two"))
    return Batch(
        tuple(writes),
        cursors=tuple([Cursor(name, draw(st.integers(0, head))) for name in draw(st.lists(names, max_size=1))]),
        receipts=tuple([Receipt(name, draw(json_values(3))) for name in draw(st.lists(names, max_size=1))]),
        attachments=tuple([Attachment(key, draw(st.binary(max_size=9))) for key in draw(st.lists(names, max_size=1))]),
        discard=tuple(draw(st.lists(names, max_size=1))),
        durability=draw(st.sampled_from(Durability)),
    )


@st.composite
def histories(
    draw: st.DrawFn, *classes: type, streams: Sequence[str] = STREAMS, max_batches: int = 8
) -> tuple[Batch, ...]:
    """What a new store accepts, batch after batch: several streams, snapshots, cursors, and retries with their keys.

    Args:
        draw: given by hypothesis.
        classes: of the events.
        streams: names to choose from.
        max_batches: how many there are at most.
    """
    made: list[Batch] = []
    yes = st.booleans()
    keyed: list[Batch] = []
    versions: dict[str, int] = {}
    head = 0
    for number in range(draw(st.integers(1, max_batches))):
        if keyed and draw(st.integers(0, 4)) == 0:
            made.append(draw(st.sampled_from(keyed)))
            continue
        batch = draw(batches(*classes, streams=streams, head=head))
        for write in batch.writes:
            versions[write.stream] = versions.get(write.stream, 0) + len(write.events)
            head += len(write.events)
        if draw(yes) and versions:
            stream = draw(st.sampled_from(sorted(versions)))
            at: int = draw(st.integers(0, versions[stream]))
            batch = _with(batch, snapshots=(Snapshot(stream, at, "history/1", b"%d" % at),))
        if draw(yes):
            batch = _with(batch, idempotency_key=f"key-{number}")
            keyed.append(batch)
        made.append(batch)
    return tuple(made)


def play(store: EventStore, history: Sequence[Batch]) -> list[Appended]:
    """Append the batches of a history, in order. Returns what each append answered."""
    return [store.append(batch) for batch in history]


def _with(batch: Batch, **changes: Any) -> Batch:
    given = {name: getattr(batch, name) for name in batch.__struct_fields__}
    return Batch(**{**given, **changes})


# --- poison -------------------------------------------------------------------------------------------------------


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


_POISON = st.one_of(
    st.sampled_from([float("nan"), float("inf"), -float("inf"), "\ud800", "x\udfff", object(), ..., print, 1j, {1: 2}]),
    st.integers(min_value=INT_MAX + 1),
    st.integers(max_value=INT_MIN - 1),
    st.binary(max_size=4),
    st.sets(st.integers(0, 9), max_size=3),
    st.tuples(st.integers(0, 9)),
    st.integers(MAX_DEPTH + 1, 3 * MAX_DEPTH).map(_nested),
)


def poison_values() -> Strategy:
    """Values that look like JSON and hold, somewhere inside, what would not come back from a log as it went in.

    No store may accept one: as a receipt's reply, or in an event's field that may be anything.
    """
    return st.recursive(
        _POISON,
        lambda inner: st.one_of(
            st.tuples(json_values(2), inner).map(list),
            st.tuples(_TEXT, inner).map(lambda pair: {pair[0]: pair[1]}),
            st.tuples(_TEXT, json_values(2), inner).map(lambda trio: {trio[0]: trio[1], f"{trio[0]}+": trio[2]}),
        ),
        max_leaves=3,
    )


def poison_payloads(data: bytes) -> Strategy:
    """Stored bytes that are no longer, or never were, an event: ``data`` cut, changed, doubled, or something else.

    Decoding one either raises a typed error, or gives an event whose bytes are these again or others of the same value.

    Args:
        data: the JSON of an event, as a store keeps it.
    """
    places = st.integers(0, max(len(data) - 1, 0))
    return st.one_of(
        places.map(lambda end: data[:end]),
        st.tuples(places, st.integers(1, 255)).map(lambda at: _flipped(data, *at)),
        st.tuples(places, st.binary(min_size=1, max_size=4)).map(lambda at: data[: at[0]] + at[1] + data[at[0] :]),
        st.sampled_from([b"", b"null", b"[]", b"{", b"NaN", b'{"n":1e999}', b"\xff\xfe", b"\0", data + data]),
        st.binary(max_size=32),
        st.integers(MAX_DEPTH, 10**4).map(lambda depth: b'{"n":' + b"[" * depth + b"]" * depth + b"}"),
    ).filter(lambda poison: poison != data)


def _flipped(data: bytes, place: int, mask: int) -> bytes:
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :] if data else bytes([mask])
