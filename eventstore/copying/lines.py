"""The lines of exports and archives: JSON objects, each with a checksum of itself, between a first and a last line.

Bytes that are one line of JSON stand there as they are, so that a line can be read by anyone; all others in base64.
Every value has one form only: the same log gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import IO, Any
from zlib import crc32

import msgspec
from msgspec import UNSET, Raw, UnsetType

from eventstore.checksums import HASH_SIZE, Header, chain_next, record_bytes, record_checksum
from eventstore.errors import ExportDamaged

FORMAT_VERSION = 1
MAX_LINE_BYTES = 1 << 30
"""SQLite itself ends a little below this many bytes in a row."""

_BEGINS = b'{"line":"'
_CHECKSUM = b',"crc32":'


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", forbid_unknown_fields=True):
    """Base of all lines."""


class Beginning(Line, tag="log", frozen=True, kw_only=True):
    """First line of the export of a log."""

    version: int = FORMAT_VERSION
    log_id: str
    schema: int
    owner_epoch: int
    commits: int
    """Without events: see ``schema.commits_without_events``."""
    removed_position: int
    removed_chain: str | None
    """In hexadecimal; None where nothing was ever removed."""
    head: int


class ArchiveBeginning(Line, tag="archive", frozen=True, kw_only=True):
    """First line of an archive."""

    version: int = FORMAT_VERSION
    log_id: str
    first: int
    last: int
    chain: str
    """Before the first event, in hexadecimal."""
    chain_after: str
    """At the last event."""


class StreamLine(Line, tag="stream", frozen=True, kw_only=True):
    """A stream."""

    name: str
    epoch: int
    removed_version: int


class EventLine(Line, tag="event", frozen=True, kw_only=True):
    """An event, with all that is stored of it."""

    position: int
    stream: str
    version: int
    type: str
    schema_version: int
    wall_us: int
    monotonic_us: int
    boot: str
    cause: int | None
    command_id: str | None
    correlation_id: str
    depth: int
    chain: str
    checksum: int | None
    data: Raw | UnsetType = UNSET
    base64: bytes | UnsetType = UNSET

    @property
    def header(self) -> Header:
        """What the hashes cover beside the data."""
        return (
            self.position, self.stream, self.version, self.type, self.schema_version, self.wall_us, self.monotonic_us,
            self.boot, self.cause, self.command_id, self.correlation_id, self.depth,
        )  # fmt: skip


class SnapshotLine(Line, tag="snapshot", frozen=True, kw_only=True):
    """A snapshot."""

    stream: str
    version: int
    schema: str
    checksum: str
    data: Raw | UnsetType = UNSET
    base64: bytes | UnsetType = UNSET


class CursorLine(Line, tag="cursor", frozen=True, kw_only=True):
    """A cursor."""

    consumer: str
    position: int


class ReceiptLine(Line, tag="receipt", frozen=True, kw_only=True):
    """A remembered reply. They stand in the order in which they are forgotten."""

    command_id: str
    created_us: int
    checksum: int | None
    data: Raw | UnsetType = UNSET
    base64: bytes | UnsetType = UNSET


class AppendLine(Line, tag="append", frozen=True, kw_only=True):
    """A remembered idempotency key. They stand in the order in which they are forgotten."""

    key: str
    created_us: int
    digest: str
    checksum: int | None
    data: Raw | UnsetType = UNSET
    base64: bytes | UnsetType = UNSET


class KeyLine(Line, tag="key", frozen=True, kw_only=True):
    """A data key of an encrypted log, as it is stored: wrapped."""

    id: int
    created_us: int
    base64: bytes


class AttachmentLine(Line, tag="attachment", frozen=True, kw_only=True):
    """An attachment."""

    key: str
    created_us: int
    checksum: str
    base64: bytes


class EndLine(Line, tag="end", frozen=True, kw_only=True):
    """Last line: without it, or with another digest, lines are missing."""

    lines: int
    """Lines before this one."""
    digest: str
    """BLAKE2b-128 of the bytes of all of them, in hexadecimal."""


AnyLine = (
    Beginning
    | ArchiveBeginning
    | StreamLine
    | EventLine
    | SnapshotLine
    | CursorLine
    | ReceiptLine
    | AppendLine
    | KeyLine
    | AttachmentLine
    | EndLine
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyLine).decode
_decode_raw = msgspec.json.Decoder(Raw).decode
_check_json = msgspec.json.Decoder().decode


def packed(data: bytes) -> dict[str, Any]:
    """The field that holds some bytes: as they are where they are one line of JSON, and in base64 where not."""
    return {"data": Raw(data)} if _is_line_of_json(data) else {"base64": data}


def unpacked(line: EventLine | SnapshotLine | ReceiptLine | AppendLine) -> bytes:
    """The bytes in a line.

    Raises:
        ValueError: there are none, or in the form that is not theirs.
    """
    if isinstance(line.data, Raw) and line.base64 is UNSET:
        return bytes(line.data)
    if not isinstance(line.base64, bytes) or line.data is not UNSET:
        raise ValueError("it needs either data or base64")
    if _is_line_of_json(line.base64):
        raise ValueError("its data is JSON and stands there in base64")
    return line.base64


def _is_line_of_json(data: bytes) -> bool:
    if b"\n" in data or b"\r" in data:
        return False
    try:
        if not data.isascii():
            data.decode()
        _check_json(data)
        return bytes(_decode_raw(data)) == data
    except (ValueError, RecursionError):
        return False


class Succession:
    """Checks that each event is the one that was stored after the one before.

    Args:
        position: of the event before the first.
        chain: at it.
    """

    def __init__(self, position: int, chain: bytes) -> None:
        self.position = position
        self.chain = chain

    def take(self, line: EventLine, data: bytes) -> None:
        """Go on by one event.

        Raises:
            ValueError: it is another one, or not as it was stored.
        """
        if line.position != self.position + 1:
            raise ValueError(f"it is position {line.position}, and {self.position + 1} should come")
        record = record_bytes(line.header, data)
        chain = chain_next(self.chain, record)
        if line.checksum not in (None, record_checksum(record)):
            raise ValueError("the checksum of what was stored is wrong")
        if line.chain != chain.hex():
            raise ValueError("it, or the hash with it, is not what was stored")
        self.position, self.chain = line.position, chain


class LineWriter:
    """Writes lines to a binary file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = blake2b(digest_size=HASH_SIZE)
        self.lines = 0

    def write(self, line: Line) -> None:
        """Write one line."""
        body = _encode(line)[:-1]
        self.copy(b"%b%b%d}\n" % (body, _CHECKSUM, crc32(body)))

    def copy(self, line: bytes) -> None:
        """Write a line that was made before."""
        self._digest.update(line)
        self._file.write(line)
        self.lines += 1

    def end(self) -> None:
        """Write the last line."""
        self.write(EndLine(lines=self.lines, digest=self._digest.hexdigest()))


class LineReader:
    """Reads lines from a binary file, up to the last one, and refuses whatever is not as it was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = blake2b(digest_size=HASH_SIZE)
        self.number = 0
        """Of the line that was read last, from 1."""

    def __iter__(self) -> Iterator[AnyLine]:
        while True:
            line, text = self._next()
            if isinstance(line, EndLine):
                self._check_end(line)
                return
            self._digest.update(text)
            yield line

    def damaged(self, reason: str) -> ExportDamaged:
        """What is wrong with the line that was read last."""
        return ExportDamaged(self.number, reason)

    def _next(self) -> tuple[AnyLine, bytes]:
        self.number += 1
        try:
            text = self._file.readline(MAX_LINE_BYTES * 2)
        except Exception as error:  # a file that is compressed has errors of its own
            raise self.damaged(f"it cannot be read: {error}") from error
        if not text:
            raise self.damaged("it is missing: the file ends before its last line")
        if self.number == 1 and not text.startswith(_BEGINS):
            raise self.damaged("it is not the beginning of an export or an archive")
        body, found, checksum = text.rpartition(_CHECKSUM)
        if not found or checksum != b"%d}\n" % crc32(body):
            raise self.damaged("its checksum is wrong" if text.endswith(b"}\n") else "it is cut off")
        try:
            return _decode(body + b"}"), text
        except (ValueError, RecursionError) as error:
            raise self.damaged(str(error)) from error

    def _check_end(self, line: EndLine) -> None:
        if line.lines != self.number - 1:
            raise self.damaged(f"{line.lines} lines were written before it, and {self.number - 1} are there")
        if line.digest != self._digest.hexdigest():
            raise self.damaged("the lines before it are not those that were written")
        if self._file.read(1):
            self.number += 1
            raise self.damaged("there is something behind the last line")


def from_hex(text: str) -> bytes:
    """A hash as bytes.

    Raises:
        ValueError: it is none.
    """
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError(f"{text!r} is no hash")
    return data
