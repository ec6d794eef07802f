"""Checks what a log keeps beside its events: snapshots, attachments, cursors, and the replies it remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

from eventstore import attachments, snapshots
from eventstore.checksums import row_checksum
from eventstore.codec import decode_value
from eventstore.connections import ReaderPool
from eventstore.encryption import Unopened, Unsealer, about_attachment, about_receipt, about_snapshot
from eventstore.errors import CorruptLog, ReadFailed

Report: TypeAlias = Callable[[str, int | None, str], None]
"""Takes a stable code, a position or None, and what is wrong."""

_HEAD = "coalesce((SELECT max(position) FROM events), (SELECT value FROM meta WHERE key = 'removed_position'))"
_SNAPSHOTS = (
    "SELECT n.rowid, s.name, n.version, n.schema, n.data, n.checksum,"
    " coalesce((SELECT max(version) FROM events WHERE stream_id = n.stream_id), s.removed_version)"
    " FROM snapshots AS n LEFT JOIN streams AS s ON s.id = n.stream_id WHERE n.rowid > ? ORDER BY n.rowid LIMIT 1"
)
_ATTACHMENTS = "SELECT id, key, data, checksum, size FROM attachments WHERE id > ? ORDER BY id LIMIT 1"
_RECEIPTS = "SELECT id, command_id, reply, {checksum} FROM receipts WHERE id > ? ORDER BY id LIMIT 1000"
_APPENDS = "SELECT id, idempotency_key, digest, result, checksum FROM appends WHERE id > ? ORDER BY id LIMIT 1000"


def check_besides(pool: ReaderPool, report: Report, counts: dict[str, int], unsealer: Unsealer) -> None:
    """Report what is wrong beside the events, and count what is there, by table."""
    for what, check in (
        ("snapshot", partial(_check_snapshots, unsealer)),
        ("attachment", partial(_check_attachments, unsealer)),
        ("cursor", _check_cursors),
        ("receipt", partial(_check_receipts, unsealer)),
        ("append", _check_appends),
    ):
        try:
            check(pool, report, counts)
        except (CorruptLog, ReadFailed, TypeError) as error:
            report("file", None, f"not every {what} can be read: {error}")


def _rows(pool: ReaderPool, sql: str, table: str, counts: dict[str, int]) -> Iterator[Any]:
    """Rows in the order of their first column, one short transaction for each page."""
    after = 0
    while True:
        with pool.lend() as connection:
            rows: list[Any] = connection.execute(sql, (after,)).fetchall()
        if not rows:
            return
        for row in rows:
            if row[0] <= after:
                raise CorruptLog(f"the rows of {table} are out of order")
            after = row[0]
            counts[table] = counts.get(table, 0) + 1
            yield row


def _check_snapshots(unsealer: Unsealer, pool: ReaderPool, report: Report, counts: dict[str, int]) -> None:
    for _, stream, version, schema, data, checksum, head in _rows(pool, _SNAPSHOTS, "snapshots", counts):
        if stream is None or not snapshots.is_intact(stream, version, schema, data, checksum):
            report("snapshot", None, f"snapshot of {stream!r} at version {version} is damaged")
        elif version > head:
            report("snapshot", None, f"snapshot of {stream!r} at version {version}, and its stream ends at {head}")
        elif why := _unopened(unsealer, about_snapshot(stream, version, schema), data):
            report("snapshot", None, f"snapshot of {stream!r} at version {version}: {why}")


def _check_attachments(unsealer: Unsealer, pool: ReaderPool, report: Report, counts: dict[str, int]) -> None:
    for _, key, data, checksum, size in _rows(pool, _ATTACHMENTS, "attachments", counts):
        if not attachments.is_intact(key, data, checksum) or size != len(data):
            report("attachment", None, f"attachment {key!r} is damaged")
        elif why := _unopened(unsealer, about_attachment(key), data):
            report("attachment", None, f"attachment {key!r}: {why}")


def _check_cursors(pool: ReaderPool, report: Report, counts: dict[str, int]) -> None:
    with pool.lend() as connection:
        rows = connection.execute(f"SELECT consumer, position, {_HEAD} FROM cursors").fetchall()  # noqa: S608 - constant
    counts["cursors"] = len(rows)
    for consumer, position, head in rows:
        if not 0 <= position <= head:
            report("cursor", None, f"the cursor of {consumer!r} is at position {position}, and the log ends at {head}")


def _check_receipts(unsealer: Unsealer, pool: ReaderPool, report: Report, counts: dict[str, int]) -> None:
    sql = _RECEIPTS.format(checksum="checksum" if "checksum" in columns(pool, "receipts") else "NULL")
    for _, command_id, reply, checksum in _rows(pool, sql, "receipts", counts):
        if checksum not in (None, row_checksum(command_id, reply)):
            report("receipt", None, f"the reply to command {command_id!r} is damaged")
            continue
        try:
            readable = unsealer.readable_beside(about_receipt(command_id), reply)
            if readable is not None:
                decode_value(readable)
        except ValueError as error:
            report("receipt", None, f"the reply to command {command_id!r} cannot be decoded: {error}")


def _check_appends(pool: ReaderPool, report: Report, counts: dict[str, int]) -> None:
    if not columns(pool, "appends"):
        return  # the first schema has none
    for _, key, digest, result, checksum in _rows(pool, _APPENDS, "appends", counts):
        if checksum != row_checksum(key, digest, result):
            report("append", None, f"what is remembered of the batch with the idempotency key {key!r} is damaged")


def _unopened(unsealer: Unsealer, about: bytes, data: bytes) -> str:
    """Why something encrypted does not open with the key; empty where it does, and where there is no key."""
    try:
        unsealer.readable_beside(about, data)
    except Unopened as error:
        return str(error)
    return ""


def columns(pool: ReaderPool, table: str) -> set[str]:
    """The columns that a table has in this file; none where there is no such table."""
    with pool.lend() as connection:
        return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
