"""The hashes that tell a stored byte from a damaged one. Anyone can recompute them from a log's logical content."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

HASH_SIZE = 16

_encode = msgspec.json.Encoder().encode


def chain_anchor(log_id: str) -> bytes:
    """What the first record of a log is chained to: records cannot be moved from one log to another unseen."""
    return blake2b(log_id.encode(), digest_size=HASH_SIZE).digest()


def chain_next(
    previous: bytes,
    position: int,
    stream: str,
    version: int,
    type_name: str,
    schema_version: int,
    wall_us: int,
    monotonic_us: int,
    boot: str,
    cause: int | None,
    command_id: str | None,
    correlation_id: str,
    depth: int,
    data: bytes,
) -> bytes:
    """BLAKE2b-128 of the chain so far, the record's fields as a JSON array, and its data. Each part ends itself."""
    header = _encode(
        (
            position,
            stream,
            version,
            type_name,
            schema_version,
            wall_us,
            monotonic_us,
            boot,
            cause,
            command_id,
            correlation_id,
            depth,
        )
    )
    return blake2b(previous + header + data, digest_size=HASH_SIZE).digest()


def snapshot_checksum(stream: str, version: int, schema: str, data: bytes) -> bytes:
    """Covers a snapshot's data and what it claims to be."""
    return blake2b(_encode((stream, version, schema)) + data, digest_size=HASH_SIZE).digest()


def attachment_checksum(key: str, data: bytes) -> bytes:
    """Covers an attachment's data and its key."""
    return blake2b(_encode((key,)) + data, digest_size=HASH_SIZE).digest()
