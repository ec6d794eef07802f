"""The hashes that tell a stored byte from a damaged one. Anyone can recompute them from a log's logical content."""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeAlias
from zlib import crc32

import msgspec

HASH_SIZE = 16

Header: TypeAlias = tuple[int, str, int, str, int, int, int, str, int | None, str | None, str, int]
"""Position, stream, version, type, schema version, wall clock µs, monotonic clock µs, boot, cause, command id,
correlation id, depth: all of a record but its data, with names in place of the file's internal numbers."""

_encode = msgspec.json.Encoder().encode


def chain_anchor(log_id: str) -> bytes:
    """What the first record of a log is chained to: records cannot be moved from one log to another unseen."""
    return blake2b(log_id.encode(), digest_size=HASH_SIZE).digest()


def record_bytes(header: Header, data: bytes) -> bytes:
    """What the hashes of a record are taken of: its header as a JSON array, then its data. Each part ends itself."""
    return _encode(header) + data


def chain_next(previous: bytes, record: bytes) -> bytes:
    """BLAKE2b-128 of the chain so far and a record's bytes: says that nothing before it is missing or was changed."""
    return blake2b(previous + record, digest_size=HASH_SIZE).digest()


def record_checksum(record: bytes) -> int:
    """CRC-32 of a record's bytes: says, without any other record, that it is as it was written."""
    return crc32(record)


def row_checksum(*values: str | bytes) -> int:
    """CRC-32 of a row that nothing else vouches for."""
    return crc32(_encode(values))


def snapshot_checksum(stream: str, version: int, schema: str, data: bytes) -> bytes:
    """Covers a snapshot's data and what it claims to be."""
    return blake2b(_encode((stream, version, schema)) + data, digest_size=HASH_SIZE).digest()


def attachment_checksum(key: str, data: bytes) -> bytes:
    """Covers an attachment's data and its key."""
    return blake2b(_encode((key,)) + data, digest_size=HASH_SIZE).digest()
