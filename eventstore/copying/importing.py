"""Builds a log file from the lines of an export, and checks each against those before it."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path

from eventstore import attachments, snapshots
from eventstore.checksums import chain_anchor, row_checksum
from eventstore.connections import file_uri
from eventstore.copying.lines import (
    FORMAT_VERSION,
    AnyLine,
    AppendLine,
    AttachmentLine,
    Beginning,
    CursorLine,
    EventLine,
    KeyLine,
    Line,
    ReceiptLine,
    SnapshotLine,
    StreamLine,
    Succession,
    from_hex,
    unpacked,
)
from eventstore.schema import SCHEMA_VERSION, migrate, prepare_file

ROWS_AT_ONCE = 1000

_ORDER: tuple[type[Line], ...] = (
    Beginning,
    StreamLine,
    EventLine,
    SnapshotLine,
    CursorLine,
    ReceiptLine,
    AppendLine,
    KeyLine,
    AttachmentLine,
)
_EVENT = (
    "INSERT INTO events (position, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id, cause,"
    " command_id, correlation_id, depth, chain, checksum, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_STREAM = "INSERT INTO streams (name, epoch, removed_version) VALUES (?, ?, ?)"
_SNAPSHOT = "INSERT INTO snapshots (stream_id, version, schema, checksum, data) VALUES (?, ?, ?, ?, ?)"
_RECEIPT = "INSERT INTO receipts (command_id, created_us, checksum, reply) VALUES (?, ?, ?, ?)"
_APPEND = "INSERT INTO appends (idempotency_key, created_us, digest, checksum, result) VALUES (?, ?, ?, ?, ?)"
_KEY = "INSERT INTO keys (id, created_us, wrapped) VALUES (?, ?, ?)"
_ATTACHMENT = "INSERT INTO attachments (key, created_us, size, checksum, data) VALUES (?, ?, ?, ?, ?)"


class Importer:
    """Fills an empty file that nobody else has open. Every ``ValueError`` of its methods says what a line has wrong.

    Args:
        file: the file, of length 0.
    """

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file_uri(file, "mode=rw"), uri=True, isolation_level=None)
        self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._connection.execute("PRAGMA journal_mode = OFF")  # it is thrown away if anything goes wrong
        self._connection.execute("PRAGMA synchronous = OFF")  # and synchronised as a whole
        migrate(self._connection)
        self._connection.execute("BEGIN")
        self._beginning: Beginning | None = None
        self._succession = Succession(0, b"")
        self._rank = 0
        self._streams: dict[str, tuple[int, int]] = {}
        """Id and version by name."""
        self._numbers: dict[str, dict[str, int]] = {"types": {}, "boots": {}}
        self._rows: list[tuple[object, ...]] = []
        self.events = 0

    def add(self, line: AnyLine) -> None:
        """Take one line.

        Raises:
            ValueError: it cannot come here, or is not as it was written.
            sqlite3.Error: the file cannot be written, or does not take it.
        """
        rank = _ORDER.index(type(line)) if type(line) in _ORDER else -1
        if (self._beginning is None) != (rank == 0) or rank < self._rank:
            raise ValueError(f"no line of this kind can stand here: {type(line).__struct_config__.tag}")
        if rank > self._rank:
            self._flush()
            self._rank = rank
        match line:
            case Beginning():
                self._begin(line)
            case StreamLine():
                added = self._connection.execute(_STREAM, (line.name, line.epoch, line.removed_version))
                self._streams[line.name] = int(added.lastrowid or 0), line.removed_version
            case EventLine():
                self._add_event(line)
            case _:
                self._add_other(line)

    def finish(self) -> Beginning:
        """See that everything came, and make it a log.

        Raises:
            ValueError: something is missing.
            sqlite3.Error: the file cannot be written.
        """
        if self._beginning is None:
            raise ValueError("it holds no log")
        self._flush()
        self._check_end(self._beginning)
        self._connection.execute("COMMIT")
        prepare_file(self._connection)
        return self._beginning

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _begin(self, line: Beginning) -> None:
        if line.version != FORMAT_VERSION or line.schema > SCHEMA_VERSION:
            raise ValueError(f"format {line.version}, schema {line.schema}: a later release wrote it")
        if uuid.UUID(line.log_id).hex != line.log_id:
            raise ValueError(f"{line.log_id!r} is not the id of a log")
        chain = None if line.removed_chain is None else from_hex(line.removed_chain)
        if line.removed_position < 0 or (chain is None) != (line.removed_position == 0):
            raise ValueError("what it says of removed events makes no sense")
        for key, value in (
            ("log_id", line.log_id),
            ("barrier", line.commits),
            ("removed_position", line.removed_position),
            ("removed_chain", chain),
        ):
            self._connection.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))
        self._connection.execute("UPDATE owner SET epoch = ?", (line.owner_epoch,))
        self._succession = Succession(line.removed_position, chain_anchor(line.log_id) if chain is None else chain)
        self._beginning = line

    def _check_end(self, beginning: Beginning) -> None:
        if self._succession.position != beginning.head:
            raise ValueError(f"events end at position {self._succession.position}, and not at {beginning.head}")

    def _add_event(self, line: EventLine) -> None:
        data = unpacked(line)
        self._succession.take(line, data)
        stream_id, version = self._stream(line.stream)
        if line.version != version + 1:
            raise ValueError(f"it is version {line.version} of its stream, and {version + 1} should come")
        self._streams[line.stream] = stream_id, line.version
        self.events += 1
        self._rows.append(
            (
                line.position, stream_id, line.version, self._number("types", line.type), line.schema_version,
                line.wall_us, line.monotonic_us, self._number("boots", line.boot), line.cause, line.command_id,
                line.correlation_id, line.depth, self._succession.chain, line.checksum, data,
            )
        )  # fmt: skip
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._connection.executemany(_EVENT, self._rows)
        self._rows.clear()

    def _add_other(self, line: AnyLine) -> None:
        execute = self._connection.execute
        match line:
            case SnapshotLine():
                data, checksum = unpacked(line), from_hex(line.checksum)
                _require(snapshots.is_intact(line.stream, line.version, line.schema, data, checksum))
                stream_id, version = self._stream(line.stream)
                _require(line.version <= version)
                execute(_SNAPSHOT, (stream_id, line.version, line.schema, checksum, data))
            case CursorLine():
                _require(0 <= line.position <= self._succession.position)
                execute("INSERT INTO cursors VALUES (?, ?)", (line.consumer, line.position))
            case ReceiptLine():
                reply = unpacked(line)
                _require(line.checksum in (None, row_checksum(line.command_id, reply)))
                execute(_RECEIPT, (line.command_id, line.created_us, line.checksum, reply))
            case AppendLine():
                result, digest = unpacked(line), from_hex(line.digest)
                _require(line.checksum in (None, row_checksum(line.key, digest, result)))
                execute(_APPEND, (line.key, line.created_us, digest, line.checksum, result))
            case KeyLine():
                execute(_KEY, (line.id, line.created_us, line.base64))
            case AttachmentLine():
                checksum = from_hex(line.checksum)
                _require(attachments.is_intact(line.key, line.base64, checksum))
                execute(_ATTACHMENT, (line.key, line.created_us, len(line.base64), checksum, line.base64))

    def _stream(self, name: str) -> tuple[int, int]:
        if name not in self._streams:
            raise ValueError(f"there is no stream {name!r}")
        return self._streams[name]

    def _number(self, table: str, name: str) -> int:
        known = self._numbers[table]
        if name not in known:
            added = self._connection.execute(f"INSERT INTO {table} (name) VALUES (?)", (name,))  # noqa: S608 - ours
            known[name] = int(added.lastrowid or 0)
        return known[name]


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("it is not what was stored")
