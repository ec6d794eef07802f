"""Checks and encodes a batch before any store takes a lock: what is refused here never reached a transaction."""

from __future__ import annotations

from typing import NamedTuple

from eventstore.codec import INT_MAX, encode_event, encode_value
from eventstore.errors import BadRequest
from eventstore.records import ANY_VERSION, Attachment, Batch, Cursor, Durability, NewEvent, Snapshot, StreamWrite

SNAPSHOTS_KEPT = 3
"""Newest snapshots kept of each stream: one may be damaged, one may be of a newer release."""
RECEIPTS_KEPT = 100_000
RECEIPT_AGE_US = 24 * 3600 * 1_000_000
"""How many replies to commands are remembered, and how long."""


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


class PreparedWrite(NamedTuple):
    """A stream write, ready to be stored."""

    stream: str
    expected_version: int
    epoch: int | None
    events: list[PreparedEvent]


class PreparedBatch(NamedTuple):
    """A batch, ready to be stored."""

    writes: list[PreparedWrite]
    cursors: tuple[Cursor, ...]
    receipts: list[tuple[str, bytes]]
    snapshots: tuple[Snapshot, ...]
    attachments: tuple[Attachment, ...]
    discard: tuple[str, ...]
    durability: Durability
    types: frozenset[str]


def prepare(batch: Batch) -> PreparedBatch:
    """Check and encode everything in a batch.

    Raises:
        EventRefused, NotAnEvent: a value would not come back as it went in.
        BadRequest: a name or a number makes no sense.
    """
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
    writes = [_prepare_write(write) for write in batch.writes]
    receipts = []
    for receipt in batch.receipts:
        check_name("command_id", receipt.command_id)
        receipts.append((receipt.command_id, encode_value(receipt.reply)))
    return PreparedBatch(
        writes,
        batch.cursors,
        receipts,
        batch.snapshots,
        batch.attachments,
        batch.discard,
        batch.durability,
        frozenset(event.type for write in writes for event in write.events),
    )


def check_name(field: str, name: object) -> None:
    """Names are stored as text and compared by SQLite, which ends text at NUL.

    Raises:
        BadRequest: it is empty, no text, holds NUL, or a lone surrogate.
    """
    if not isinstance(name, str) or not name:
        raise BadRequest(field, name, "it must be text, and not empty")
    if "\0" in name:
        raise BadRequest(field, name, "it must not contain NUL")
    _check_text(field, name)


def _prepare_write(write: StreamWrite) -> PreparedWrite:
    check_name("stream", write.stream)
    if write.expected_version != ANY_VERSION:
        _check_number("expected_version", write.expected_version)
    events = [_prepare_event(new) for new in write.events]
    if events and events[0].after_previous:
        raise BadRequest("after_previous", True, "there is no event before the first one of a write")
    return PreparedWrite(write.stream, write.expected_version, write.epoch, events)


def _prepare_event(new: NewEvent) -> PreparedEvent:
    kind, data = encode_event(new.event)
    if new.cause is not None:
        _check_number("cause", new.cause)
    _check_number("depth", new.depth)
    _check_text("correlation_id", new.correlation_id)
    if new.command_id is not None:
        _check_text("command_id", new.command_id)
    return PreparedEvent(
        kind.name, kind.version, data, new.cause, new.after_previous, new.command_id, new.correlation_id, new.depth
    )


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
