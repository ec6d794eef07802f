"""Snapshots in the log file: written in the append's own transaction, checked when read, only the newest few kept."""

from __future__ import annotations

import sqlite3

from eventstore.checksums import snapshot_checksum
from eventstore.encryption import Unopened, Unsealer, about_snapshot
from eventstore.prepare import SNAPSHOTS_KEPT
from eventstore.records import Snapshot

_NEWEST = (
    "SELECT version, schema, checksum, data FROM snapshots WHERE stream_id = (SELECT id FROM streams WHERE name = ?)"
    " AND version <= ? ORDER BY version DESC"
)
_WRITE = "INSERT OR REPLACE INTO snapshots (stream_id, version, schema, checksum, data) VALUES (?, ?, ?, ?, ?)"
_DROP_OLD = (
    "DELETE FROM snapshots WHERE stream_id = ? AND version <"
    " (SELECT min(version) FROM (SELECT version FROM snapshots WHERE stream_id = ? ORDER BY version DESC LIMIT ?))"
)


def newest(
    connection: sqlite3.Connection, stream: str, *, schema: str | None, up_to: int | None, unsealer: Unsealer
) -> Snapshot | None:
    """The newest intact snapshot of a stream at or below a version.

    Raises:
        KeyRequired: it is encrypted, and there is no key.
    """
    for version, found_schema, checksum, data in connection.execute(
        _NEWEST, (stream, 2**63 - 1 if up_to is None else up_to)
    ):
        if (schema is None or found_schema == schema) and is_intact(stream, version, found_schema, data, checksum):
            try:
                return Snapshot(
                    stream,
                    version,
                    found_schema,
                    unsealer.beside(about_snapshot(stream, version, found_schema), data),
                )
            except Unopened:
                continue
    return None


def is_intact(stream: str, version: int, schema: str, data: object, checksum: bytes) -> bool:
    """Whether the stored bytes are what was written."""
    return isinstance(data, bytes) and snapshot_checksum(stream, version, schema, data) == checksum


def write(connection: sqlite3.Connection, stream_id: int, snapshot: Snapshot) -> None:
    """Keep a snapshot, inside the caller's transaction, and let go of the oldest."""
    checksum = snapshot_checksum(snapshot.stream, snapshot.version, snapshot.schema, snapshot.data)
    connection.execute(_WRITE, (stream_id, snapshot.version, snapshot.schema, checksum, snapshot.data))
    connection.execute(_DROP_OLD, (stream_id, stream_id, SNAPSHOTS_KEPT))
