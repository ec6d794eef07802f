"""The high-water mark: how far the log was acknowledged, kept in a small file beside it.

SQLite drops the end of a damaged WAL without a word, and the hash chain of what is left is whole. Only something
outside the log can tell that its tail is missing. The mark is written after each commit that waited for the disk, and
never before: it may be behind the log, so it can prove a loss and cannot invent one.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from zlib import crc32

import msgspec

from eventstore.checksums import HASH_SIZE

SLOT_BYTES = 64
"""Within one sector, so that a power cut leaves the old slot or the new one."""
SYNC_EVERY = 256
"""Marks written between two that wait for the disk."""

_MAGIC = b"LRMM"
_BODY = struct.Struct(f"<4sxxxxQ{HASH_SIZE}s16s")
_CHECKSUM = struct.Struct("<I")


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A position that was acknowledged, with the chain at it, of the log with this id."""

    position: int
    chain: bytes
    log_id: bytes


def mark_path(log: Path) -> Path:
    """Where the mark of a log lies."""
    return log.with_name(f"{log.name}-mark")


def read_mark(log: Path) -> Mark | None:
    """The newest readable mark of a log; None when there is none."""
    try:
        data = mark_path(log).read_bytes()
    except OSError:
        return None
    marks = [mark for start in (0, SLOT_BYTES) if (mark := _decode(data[start : start + SLOT_BYTES])) is not None]
    return max(marks, key=lambda mark: mark.position, default=None)


class MarkFile:
    """The owner's end of a mark. Best effort: a mark that could not be written is an older mark."""

    def __init__(self, log: Path, log_id: str) -> None:
        self._log_id = bytes.fromhex(log_id)
        self._slot = 0
        self._unsynced = 0
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            self._descriptor = os.open(mark_path(log), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, position: int, chain: bytes) -> None:
        """Note that everything up to a position was acknowledged."""
        if self._descriptor is None:
            return
        body = _BODY.pack(_MAGIC, position, chain, self._log_id)
        self._slot ^= SLOT_BYTES
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, body + _CHECKSUM.pack(crc32(body)), self._slot)
            self._unsynced += 1
            if self._unsynced >= SYNC_EVERY:
                self._sync()

    def restart(self, position: int, chain: bytes) -> None:
        """Forget what was noted before: both slots say the same from now on."""
        self.write(position, chain)
        self.write(position, chain)
        with contextlib.suppress(OSError):
            self._sync()

    def close(self) -> None:
        """Let the disk have the last mark. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                if self._unsynced:
                    os.fsync(descriptor)
            os.close(descriptor)

    def _sync(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            self._unsynced = 0


def _decode(slot: bytes) -> Mark | None:
    if len(slot) < _BODY.size + _CHECKSUM.size:
        return None
    body, checksum = slot[: _BODY.size], slot[_BODY.size : _BODY.size + _CHECKSUM.size]
    magic, position, chain, log_id = _BODY.unpack(body)
    if magic != _MAGIC or _CHECKSUM.unpack(checksum)[0] != crc32(body):
        return None
    return Mark(position, chain, log_id)
