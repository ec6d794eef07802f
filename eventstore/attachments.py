"""Attachments in the log file: bytes too large for an event, committed with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from eventstore.checksums import attachment_checksum
from eventstore.encryption import Unopened, Unsealer, about_attachment
from eventstore.errors import AttachmentNotFound, CorruptAttachment
from eventstore.records import Attachment

_READ = "SELECT checksum, data FROM attachments WHERE key = ?"
_READ_EACH = (
    "SELECT attachments.key, checksum, data FROM json_each(?) AS wanted"
    " CROSS JOIN attachments ON attachments.key = wanted.value"
)
_WRITE = (
    "INSERT INTO attachments (key, created_us, size, checksum, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
    " SET created_us = excluded.created_us, size = excluded.size, checksum = excluded.checksum, data = excluded.data"
)


def fetch(connection: sqlite3.Connection, key: str, unsealer: Unsealer) -> Attachment:
    """The bytes kept under a key.

    Raises:
        AttachmentNotFound: there are none.
        CorruptAttachment: they are not what was stored.
        KeyRequired: they are encrypted, and there is no key.
    """
    return opened(key, connection.execute(_READ, (key,)).fetchone(), unsealer)


def opened(key: str, row: tuple[bytes, Any] | None, unsealer: Unsealer) -> Attachment:
    """An attachment of its row, checked; raises as ``fetch``."""
    if row is None:
        raise AttachmentNotFound(key)
    checksum, data = row
    if not is_intact(key, data, checksum):
        raise CorruptAttachment(key, "its checksum is wrong")
    try:
        return Attachment(key, unsealer.beside(about_attachment(key), data), verified=True)
    except Unopened as error:
        raise CorruptAttachment(key, str(error)) from error


def is_intact(key: str, data: object, checksum: bytes) -> bool:
    """Whether the stored bytes are what was written."""
    return isinstance(data, bytes) and attachment_checksum(key, data) == checksum


def fetch_each(connection: sqlite3.Connection, keys_as_json: str) -> Mapping[str, tuple[bytes, Any]]:
    """Checksum and data of each of these keys that is there, by key."""
    return {key: (checksum, data) for key, checksum, data in connection.execute(_READ_EACH, (keys_as_json,))}


def keys(connection: sqlite3.Connection, prefix: str) -> Sequence[str]:
    """The keys that start with ``prefix``, in order."""
    rows = connection.execute(
        "SELECT key FROM attachments WHERE key >= ? AND substr(key, 1, length(?)) = ? ORDER BY key", (prefix,) * 3
    )
    return tuple(row[0] for row in rows)


def write(connection: sqlite3.Connection, attachment: Attachment, created_us: int) -> None:
    """Keep an attachment, inside the caller's transaction; one of the same key is replaced."""
    checksum = attachment_checksum(attachment.key, attachment.data)
    row = (attachment.key, created_us, len(attachment.data), checksum, attachment.data)
    connection.execute(_WRITE, row)


def discard(connection: sqlite3.Connection, keys_to_discard: Sequence[str]) -> None:
    """Delete attachments, inside the caller's transaction. Keys that are not there are fine."""
    connection.executemany("DELETE FROM attachments WHERE key = ?", [(key,) for key in keys_to_discard])
