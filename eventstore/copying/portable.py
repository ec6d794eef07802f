"""A whole log as lines of JSON, and back: what is imported is the same log, and exporting it gives the same bytes."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import attrs
import msgspec

from eventstore import attachments, snapshots
from eventstore.checksums import chain_anchor, row_checksum
from eventstore.connections import ReaderPool
from eventstore.copying.importing import Importer
from eventstore.copying.lines import (
    AppendLine,
    AttachmentLine,
    Beginning,
    CursorLine,
    EventLine,
    KeyLine,
    Line,
    LineReader,
    LineWriter,
    ReceiptLine,
    SnapshotLine,
    StreamLine,
    Succession,
    packed,
)
from eventstore.copying.placing import check_free, placed
from eventstore.damage.besides import columns
from eventstore.errors import BadRequest, CorruptEvent, CorruptLog, EventStoreError, ReadFailed
from eventstore.reader import SqliteReader
from eventstore.schema import PAGE_ROWS, SCHEMA_VERSION, commits_without_events, log_end

SPOOLED_BYTES = 16 * 1024 * 1024
"""What is kept in memory of all that stands behind the events; more goes to a temporary file."""

_EVENTS = (
    "SELECT e.position, s.name, e.version, t.name, e.schema_version, e.wall_us, e.monotonic_us, b.name, e.cause,"
    " e.command_id, e.correlation_id, e.depth, e.chain, {checksum}, e.data"
    " FROM events AS e LEFT JOIN streams AS s ON s.id = e.stream_id LEFT JOIN types AS t ON t.id = e.type_id"
    " LEFT JOIN boots AS b ON b.id = e.boot_id WHERE e.position > ? AND e.position <= ? ORDER BY e.position LIMIT ?"
)
_STREAMS = "SELECT name, epoch, removed_version FROM streams ORDER BY name"
_SNAPSHOTS = (
    "SELECT s.name, n.version, n.schema, n.checksum, n.data FROM snapshots AS n"
    " LEFT JOIN streams AS s ON s.id = n.stream_id ORDER BY s.name, n.version"
)
_CURSORS = "SELECT consumer, position FROM cursors ORDER BY consumer"
_RECEIPTS = "SELECT command_id, created_us, {checksum}, reply FROM receipts ORDER BY id"
_APPENDS = "SELECT idempotency_key, created_us, digest, checksum, result FROM appends ORDER BY id"
_KEYS = "SELECT id, created_us, wrapped FROM keys ORDER BY id"
_ATTACHMENTS = "SELECT key, created_us, checksum, data FROM attachments ORDER BY key"


@attrs.frozen
class Exported:
    """What an export or an import was of."""

    log_id: str
    head: int
    """Position of the last event."""
    events: int
    lines: int


def export_log(source: SqliteReader | str | os.PathLike[str], file: IO[bytes]) -> Exported:
    """Write a log to a binary file, as it is at one moment, while its owner goes on. An encrypted log needs no key.

    Args:
        source: the log: its path, or a reader or store of it.
        file: open for writing bytes. What was written is worth nothing if this raises.

    Raises:
        BadRequest: ``file`` is no file of bytes.
        CorruptEvent, CorruptLog: the log is damaged; salvage what is left of it instead.
        LogNotFound, NotALog, LogTooNew, LogNotReadable, OpenError, ReadFailed: the log cannot be read.
        OSError: the file cannot be written.
    """
    from eventstore.opening import open_pool

    _check_file(file, "write", "wb")
    _, pool = open_pool(source.path if isinstance(source, SqliteReader) else source)
    with contextlib.closing(pool), tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as rest:
        try:
            beginning, streams = _read_rest(pool, rest)
            writer = LineWriter(file)
            for line in (beginning, *streams):
                writer.write(line)
            for event in _read_events(pool, beginning):
                writer.write(event)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:  # a value of another type than it was written
            if isinstance(error, EventStoreError):
                raise
            raise CorruptLog(str(error)) from error
        rest.seek(0)
        for text in rest:
            writer.copy(text)
        writer.end()
    events = beginning.head - beginning.removed_position
    return Exported(beginning.log_id, beginning.head, events, writer.lines)


def import_log(file: IO[bytes], path: str | os.PathLike[str]) -> Exported:
    """Make a new log of an export, with the same positions, hashes and id.

    Do not go on with both: two logs with one id that hold different events are taken for each other.

    Args:
        file: open for reading bytes.
        path: where the log is to be. Missing directories are made, mode 0700; the file has mode 0600.

    Raises:
        BadRequest: ``file`` is no file of bytes.
        ExportDamaged: a line is not as it was written, or one is missing; nothing is left of the log.
        LogExists: there is something at ``path``.
        CopyFailed: the log cannot be written; nothing is left of it.
    """
    _check_file(file, "readline", "rb")
    place = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
    check_free(place)
    with placed(place) as copy:
        lines = LineReader(file)
        with contextlib.closing(Importer(copy)) as importer:
            for line in lines:
                try:
                    importer.add(line)
                except ValueError as error:
                    raise lines.damaged(str(error)) from error
                except sqlite3.Error as error:
                    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
                        raise lines.damaged(str(error)) from error
                    raise
            try:
                beginning = importer.finish()
            except ValueError as error:
                raise lines.damaged(str(error)) from error
        from eventstore.copying.backups import check_copy

        check_copy(copy, place)
    return Exported(beginning.log_id, beginning.head, importer.events, lines.number)


def _check_file(file: object, method: str, mode: str) -> None:
    """Refuse a path, and a file of text: what came of it would be taken for damage."""
    if not hasattr(file, method) or isinstance(file, io.TextIOBase):
        raise BadRequest("file", file, "it is no file of bytes", hint=f"give one that is open: open(path, {mode!r})")


def _read_rest(pool: ReaderPool, rest: IO[bytes]) -> tuple[Beginning, list[StreamLine]]:
    """Everything but the events, all of one moment, in one read transaction that waits for nothing but this machine.

    The events up to then stay what they are, and are read in short pages after it.
    """
    checksum = "checksum" if "checksum" in columns(pool, "receipts") else "NULL"
    has_appends = bool(columns(pool, "appends"))
    writer = LineWriter(rest)
    with pool.lend() as connection:
        connection.execute("BEGIN")
        try:
            beginning = _beginning(connection)
            streams = [
                StreamLine(name=name, epoch=epoch, removed_version=removed)
                for name, epoch, removed in connection.execute(_STREAMS)
            ]
            for line in _rest(connection, checksum, has_appends=has_appends):
                writer.write(line)
        finally:
            connection.execute("ROLLBACK")
    return beginning, streams


def _beginning(connection: sqlite3.Connection) -> Beginning:
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    chain = meta.get("removed_chain")
    log_id, head, _ = log_end(connection)
    return Beginning(
        log_id=log_id,
        schema=SCHEMA_VERSION,
        owner_epoch=connection.execute("SELECT epoch FROM owner").fetchone()[0],
        commits=commits_without_events(connection),
        removed_position=meta["removed_position"],
        removed_chain=None if chain is None else chain.hex(),
        head=head,
    )


def _rest(connection: sqlite3.Connection, checksum: str, *, has_appends: bool) -> Iterator[Line]:
    for stream, version, schema, found, data in connection.execute(_SNAPSHOTS):
        if stream is None or not snapshots.is_intact(stream, version, schema, data, found):
            raise CorruptLog(f"the snapshot of stream {stream!r} at version {version} is damaged")
        yield SnapshotLine(stream=stream, version=version, schema=schema, checksum=found.hex(), **packed(data))
    for consumer, position in connection.execute(_CURSORS):
        yield CursorLine(consumer=consumer, position=position)
    for command_id, created_us, found, reply in connection.execute(_RECEIPTS.format(checksum=checksum)):
        if found not in (None, row_checksum(command_id, reply)):
            raise CorruptLog(f"the reply to command {command_id!r} is damaged")
        yield ReceiptLine(command_id=command_id, created_us=created_us, checksum=found, **packed(reply))
    if has_appends:  # the first schema has neither of these
        for key, created_us, digest, found, result in connection.execute(_APPENDS):
            if found not in (None, row_checksum(key, digest, result)):
                raise CorruptLog(f"what is remembered of the idempotency key {key!r} is damaged")
            yield AppendLine(key=key, created_us=created_us, digest=digest.hex(), checksum=found, **packed(result))
        for number, created_us, wrapped in connection.execute(_KEYS):
            yield KeyLine(id=number, created_us=created_us, base64=wrapped)
    for key, created_us, found, data in connection.execute(_ATTACHMENTS):
        if not attachments.is_intact(key, data, found):
            raise CorruptLog(f"attachment {key!r} is damaged")
        yield AttachmentLine(key=key, created_us=created_us, checksum=found.hex(), base64=data)


def _read_events(pool: ReaderPool, beginning: Beginning) -> Iterator[EventLine]:
    """The events, each checked, in short pages."""
    chain = beginning.removed_chain
    anchor = chain_anchor(beginning.log_id) if chain is None else bytes.fromhex(chain)
    succession = Succession(beginning.removed_position, anchor)
    for line, data in event_lines(pool, after=beginning.removed_position, up_to=beginning.head):
        try:
            succession.take(line, data)
        except ValueError as error:
            _check_still_there(pool, succession.position + 1)
            raise CorruptEvent(succession.position + 1, str(error)) from error
        yield line
    if succession.position != beginning.head:
        _check_still_there(pool, succession.position + 1)
        raise CorruptEvent(succession.position + 1, "it is missing")


def event_lines(pool: ReaderPool, *, after: int, up_to: int) -> Iterator[tuple[EventLine, bytes]]:
    """Events as lines, and the data of each, positions in ``(after, up_to]``, in short pages. Nothing is checked."""
    sql = _EVENTS.format(checksum="e.checksum" if "checksum" in columns(pool, "events") else "NULL")
    while after < up_to:
        with pool.lend() as connection:
            rows = connection.execute(sql, (after, up_to, PAGE_ROWS)).fetchall()
        if not rows:
            return
        for row in rows:
            yield _event_line(row), row[-1]
        after = rows[-1][0]


def _event_line(row: Any) -> EventLine:
    (
        position, stream, version, kind, schema_version, wall_us, monotonic_us, boot,
        cause, command_id, correlation_id, depth, chain, checksum, data,
    ) = row  # fmt: skip
    return EventLine(
        position=position,
        stream=stream,
        version=version,
        type=kind,
        schema_version=schema_version,
        wall_us=wall_us,
        monotonic_us=monotonic_us,
        boot=boot,
        cause=cause,
        command_id=command_id,
        correlation_id=correlation_id,
        depth=depth,
        chain=chain.hex(),
        checksum=checksum,
        **packed(data),
    )


def _check_still_there(pool: ReaderPool, position: int) -> None:
    """Retention may have run since the export began."""
    with pool.lend() as connection:
        removed = connection.execute("SELECT value FROM meta WHERE key = 'removed_position'").fetchone()[0]
    if removed >= position:
        raise ReadFailed(f"positions up to {removed} were removed meanwhile", hint="export it again")
