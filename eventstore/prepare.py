"""Checks and encodes a batch before any store takes a lock: what is refused here never reached a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from eventstore.codec import encode_value, encoder_of
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


PreparedEvent: TypeAlias = tuple[str, int, bytes, int | None, bool, str | None, str, int]
"""An event, ready to be stored: type, schema version, data, cause, whether that is the event before it, command id,
correlation id and depth. A bare tuple: one is made of each event stored."""

_EVENTS_ALONE: tuple[object, ...] = ((), (), (), (), (), None)
"""What stands beside the events in a batch of nothing else."""


class PreparedWrite(msgspec.Struct, frozen=True, gc=False):
    """A stream write, ready to be stored."""

    stream: str
    expected_version: int
    epoch: int | None
    events: tuple[PreparedEvent, ...]
    causes: Sequence[tuple[int, int]]
    """Index of an event and the position it gives as its cause, for those that give one."""


class PreparedBatch(msgspec.Struct, frozen=True, gc=False):
    """A batch, ready to be stored."""

    writes: tuple[PreparedWrite, ...]
    cursors: tuple[Cursor, ...]
    receipts: Sequence[tuple[str, bytes]]
    snapshots: tuple[Snapshot, ...]
    attachments: tuple[Attachment, ...]
    discard: tuple[str, ...]
    durability: Durability
    idempotency_key: str | None
    digest: bytes
    """Tells batches with one idempotency key apart; empty without a key."""
    weight: int
    """How much of a transaction it takes: one for itself and one for each event."""
    more: bool
    """Whether there is more in it than events."""

    @property
    def types(self) -> set[str]:
        """Names of its events' types."""
        return {event[0] for write in self.writes for event in write.events}


def prepare(batch: Batch) -> PreparedBatch:
    """Check and encode everything in a batch.

    Raises:
        EventRefused, NotAnEvent: a value would not come back as it went in.
        BadRequest: a name or a number makes no sense, or something is not what a batch is made of.
    """
    try:
        durability = batch.durability
        if type(durability) is not Durability:  # or anything else would be stored as what may be lost
            raise BadRequest("durability", durability, "it must be Durability.STRICT or Durability.RELAXED")
        cursors, snapshots, attachments, discard = batch.cursors, batch.snapshots, batch.attachments, batch.discard
        given, key = batch.receipts, batch.idempotency_key
        more = (cursors, given, snapshots, attachments, discard, key) != _EVENTS_ALONE
        if more:
            _check_rest(batch)
        weight = 1
        writes = tuple(map(_prepare_write, batch.writes))
        for write in writes:
            weight += len(write.events)
        receipts: Sequence[tuple[str, bytes]] = ()
        digest = b""
        if more:
            receipts = tuple(map(_prepare_receipt, given))
            if key is not None:
                check_name("idempotency_key", key)
                digest = _digest(writes, batch)
        return PreparedBatch(
            writes, cursors, receipts, snapshots, attachments, discard, durability, key, digest, weight, more
        )
    except (AttributeError, TypeError) as error:
        if not isinstance(error, EventStoreError):
            _check_shape(batch)
        raise


def _prepare_receipt(receipt: Receipt) -> tuple[str, bytes]:
    check_name("command_id", receipt.command_id)
    return receipt.command_id, encode_value(receipt.reply)


def _check_rest(batch: Batch) -> None:
    """Check what is in a batch beside events, but for what is checked as it is encoded."""
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


def _digest(writes: Sequence[PreparedWrite], batch: Batch) -> bytes:
    """What is to be the same in a retry: which events go where. Versions and epochs may have moved on."""
    written = [(write.stream, [event[:3] for event in write.events]) for write in writes]
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


def _prepare_write(write: StreamWrite) -> PreparedWrite:
    """Check and encode one stream's events."""
    stream, expected = write.stream, write.expected_version
    if not (type(stream) is str and stream and stream.isascii() and "\0" not in stream):
        check_name("stream", stream)
    if expected != ANY_VERSION and not (type(expected) is int and 0 <= expected <= INT_MAX):
        _check_number("expected_version", expected)
    causes: list[tuple[int, int]] | None = None  # a list of each write would be one more for the collector
    events: list[PreparedEvent] = []
    cls: type | None = None
    command_checked: str | None = None
    correlation_checked = ""
    for new in write.events:
        event, cause, after_previous = new.event, new.cause, new.after_previous
        command_id, correlation_id, depth = new.command_id, new.correlation_id, new.depth
        if type(event) is not cls:  # those of one write are often of one class
            cls = type(event)
            kind, encode = encoder_of(cls)
            name, schema_version = kind.name, kind.version
        data = encode(event)
        if command_id is not command_checked:  # those of one decision share theirs
            if command_id is not None and not (type(command_id) is str and command_id.isascii()):
                _check_text("command_id", command_id)
            command_checked = command_id
        if correlation_id is not correlation_checked:
            if not (type(correlation_id) is str and correlation_id.isascii()):
                _check_text("correlation_id", correlation_id)
            correlation_checked = correlation_id
        if cause is not None:
            if type(cause) is not int or not 0 < cause <= INT_MAX:
                raise BadRequest("cause", cause, "it must be the position of an event, a whole number, at least 1")
            if not after_previous:
                causes = causes or []
                causes.append((len(events), cause))
        if depth != 0 or type(depth) is not int:
            _check_number("depth", depth)
        events.append((name, schema_version, data, cause, after_previous, command_id, correlation_id, depth))
    if events and write.events[0].after_previous:
        raise BadRequest("after_previous", True, "there is no event before the first one of a write")
    return PreparedWrite(stream, expected, write.epoch, tuple(events), causes or ())


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
