"""Checks and encodes a batch before any store takes a lock: what is refused here never reached a transaction."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from eventstore.codec import encode_event, encode_value
from eventstore.errors import BadRequest, EventStoreError
from eventstore.records import (
    ANY_VERSION,
    Attachment,
    Batch,
    Cursor,
    Durability,
    NewEvent,
    Receipt,
    Snapshot,
    StreamWrite,
)
from eventstore.shaping.limits import INT_MAX

SNAPSHOTS_KEPT = 3
"""Newest snapshots kept of each stream: one may be damaged, one may be of a newer release."""
RECEIPTS_KEPT = 100_000
RECEIPT_AGE_US = 24 * 3600 * 1_000_000
"""How many replies to commands are remembered, and how long. The same holds for idempotency keys."""


class PreparedEvent(NamedTuple):
    """An event, ready to be stored."""

    type: str
    schema_version: int
    data: bytes
    cause: int | None
    after_previous: bool
    command_id: str | None
    correlation_id: str
    depth: int


_as_event = partial(tuple.__new__, PreparedEvent)
"""As ``PreparedEvent._make``, in a third of its time: once per event stored."""


class PreparedWrite(NamedTuple):
    """A stream write, ready to be stored."""

    stream: str
    expected_version: int
    epoch: int | None
    events: list[PreparedEvent]
    causes: list[tuple[int, int]]
    """Index of an event and the position it gives as its cause, for those that give one."""


class PreparedBatch(NamedTuple):
    """A batch, ready to be stored."""

    writes: list[PreparedWrite]
    cursors: tuple[Cursor, ...]
    receipts: list[tuple[str, bytes]]
    snapshots: tuple[Snapshot, ...]
    attachments: tuple[Attachment, ...]
    discard: tuple[str, ...]
    durability: Durability
    types: set[str]
    idempotency_key: str | None
    digest: bytes
    """Tells batches with one idempotency key apart; empty without a key."""
    weight: int
    """How much of a transaction it takes: one for itself and one for each event."""
    more: bool
    """Whether there is more in it than events."""


def prepare(batch: Batch) -> PreparedBatch:
    """Check and encode everything in a batch.

    Raises:
        EventRefused, NotAnEvent: a value would not come back as it went in.
        BadRequest: a name or a number makes no sense, or something is not what a batch is made of.
    """
    try:
        return _prepare(batch)
    except (AttributeError, TypeError) as error:
        if not isinstance(error, EventStoreError):
            _check_shape(batch)
        raise


def _prepare(batch: Batch) -> PreparedBatch:
    if type(batch.durability) is not Durability:  # or anything else would be stored as what may be lost
        raise BadRequest("durability", batch.durability, "it must be Durability.STRICT or Durability.RELAXED")
    for cursor in batch.cursors:
        check_name("consumer", cursor.consumer)
        _check_number("position", cursor.position)
    for snapshot in batch.snapshots:
        check_name("stream", snapshot.stream)
        check_name("schema", snapshot.schema)
        _check_number("version", snapshot.version)
        _check_bytes("snapshot data", snapshot.data)
    for attachment in batch.attachments:
        check_name("key", attachment.key)
        _check_bytes("attachment data", attachment.data)
    for key in batch.discard:
        check_name("key", key)
    types: set[str] = set()
    weight = 1
    writes = []
    for write in batch.writes:
        weight += len(write.events)
        writes.append(_prepare_write(write, types))
    receipts = []
    for receipt in batch.receipts:
        check_name("command_id", receipt.command_id)
        receipts.append((receipt.command_id, encode_value(receipt.reply)))
    digest = b""
    if batch.idempotency_key is not None:
        check_name("idempotency_key", batch.idempotency_key)
        digest = _digest(writes, batch)
    fields = (
        writes,
        batch.cursors,
        receipts,
        batch.snapshots,
        batch.attachments,
        batch.discard,
        batch.durability,
        types,
        batch.idempotency_key,
        digest,
        weight,
        bool(receipts or batch.cursors or batch.snapshots or batch.attachments or batch.discard or digest),
    )
    return tuple.__new__(PreparedBatch, fields)


def _check_shape(batch: object) -> None:
    """Name the first thing in a batch that is of a wrong type: nothing else tells a newcomer what was forgotten."""
    _check_is("batch", batch, Batch)
    assert isinstance(batch, Batch)
    parts = {
        "writes": StreamWrite,
        "cursors": Cursor,
        "receipts": Receipt,
        "snapshots": Snapshot,
        "attachments": Attachment,
        "discard": str,
    }
    for name, kind in parts.items():
        _check_is(name, getattr(batch, name), tuple, list)
        for one in getattr(batch, name):
            _check_is(f"one of {name}", one, kind)
    for write in batch.writes:
        _check_is("events", write.events, tuple, list)
        for event in write.events:
            _check_is("one of events", event, NewEvent)


def _check_is(field: str, value: object, *kinds: type) -> None:
    if not isinstance(value, kinds):
        wanted = kinds[0].__name__
        hint = f"make it a {wanted}: eventstore.Batch says what a batch is made of"
        raise BadRequest(field, value, f"it must be a {wanted}, and is a {type(value).__name__}", hint=hint)


def _digest(writes: list[PreparedWrite], batch: Batch) -> bytes:
    """What is to be the same in a retry: which events go where. Versions and epochs may have moved on."""
    written = [
        (write.stream, [(event.type, event.schema_version, event.data) for event in write.events]) for write in writes
    ]
    return blake2b(repr((written, [one.key for one in batch.attachments])).encode(), digest_size=16).digest()


def check_name(field: str, name: object) -> None:
    """Names are stored as text and compared by SQLite, which ends text at NUL.

    Raises:
        BadRequest: it is empty, no text, holds NUL, or a lone surrogate.
    """
    if type(name) is str and name and name.isascii() and "\0" not in name:
        return
    if not isinstance(name, str) or not name:
        raise BadRequest(field, name, "it must be text, and not empty")
    if "\0" in name:
        raise BadRequest(field, name, "it must not contain NUL")
    _check_text(field, name)


def _prepare_write(write: StreamWrite, types: set[str]) -> PreparedWrite:
    """Check and encode one stream's events; their types' names are added to ``types``."""
    stream, expected = write.stream, write.expected_version
    check_name("stream", stream)
    if expected != ANY_VERSION and not (type(expected) is int and 0 <= expected <= INT_MAX):
        _check_number("expected_version", expected)
    causes: list[tuple[int, int]] = []
    events: list[PreparedEvent] = []
    checked_command: str | None = None
    checked_correlation = ""
    for new in write.events:
        kind, data = encode_event(new.event)
        cause, command_id, correlation_id, depth = new.cause, new.command_id, new.correlation_id, new.depth
        if command_id is not checked_command:  # those of one decision share theirs
            if command_id is not None and not (type(command_id) is str and command_id.isascii()):
                _check_text("command_id", command_id)
            checked_command = command_id
        if correlation_id is not checked_correlation:
            if not (type(correlation_id) is str and correlation_id.isascii()):
                _check_text("correlation_id", correlation_id)
            checked_correlation = correlation_id
        if cause is not None:
            _check_number("cause", cause)
            if not new.after_previous:
                causes.append((len(events), cause))
        if depth != 0 or type(depth) is not int:
            _check_number("depth", depth)
        name = kind.name
        types.add(name)
        fields = name, kind.version, data, cause, new.after_previous, command_id, correlation_id, depth
        events.append(_as_event(fields))
    if events and events[0].after_previous:
        raise BadRequest("after_previous", True, "there is no event before the first one of a write")
    return tuple.__new__(PreparedWrite, (stream, expected, write.epoch, events, causes))


def _check_number(field: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= INT_MAX:
        raise BadRequest(field, value, "it must be a whole number, at least 0, within 64 bits")


def _check_bytes(field: str, data: object) -> None:
    if not isinstance(data, bytes):
        raise BadRequest(field, type(data).__name__, "it must be bytes")


def _check_text(field: str, text: object) -> None:
    if not isinstance(text, str):
        raise BadRequest(field, text, "it must be text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRequest(field, text, str(error)) from None
