"""The high-water mark: how far the log was acknowledged, kept in a small file beside it.

SQLite drops the end of a damaged WAL without a word, and the hash chain of what is left is whole. Only something
outside the log can tell that its tail is missing. The mark is written after each commit that waited for the disk, and
never before: it may be behind the log, so it can prove a loss and cannot invent one.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path
from zlib import crc32

import msgspec

from eventstore.checksums import HASH_SIZE
from eventstore.descriptors import open_descriptor
from eventstore.forking import abandon_in_children

SLOT_BYTES = 64
"""Within one sector, so that a power cut leaves the old slot or the new one."""
SYNC_EVERY = 256
"""Marks written between two that wait for the disk."""

_MAGIC = b"LRMM"
_BODY = struct.Struct(f"<4sIQ{HASH_SIZE}s16s")
_COUNT_MAX = 2**32 - 1
_CHECKSUM = struct.Struct("<I")
_SLOT_USED = _BODY.size + _CHECKSUM.size
_pack_body, _pack_checksum = _BODY.pack, _CHECKSUM.pack


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A position that was acknowledged, with the chain at it, of the log with this id."""

    position: int
    chain: bytes
    log_id: bytes
    commits: int = 0
    """How many commits without events were acknowledged: see ``schema.commits_without_events``."""


def mark_path(log: Path) -> Path:
    """Where the mark of a log lies."""
    return log.with_name(f"{log.name}-mark")


def read_mark(log: Path) -> Mark | None:
    """The newest readable mark of a log; None when there is none."""
    marks = [mark for slot in _slots(log) if (mark := _decode(slot)) is not None]
    return max(marks, key=lambda mark: (mark.position, mark.commits), default=None)


def is_mark_damaged(log: Path) -> bool:
    """Whether there is a mark, and none of it can be read."""
    slots = _slots(log)
    return any(any(slot) for slot in slots) and all(_decode(slot) is None for slot in slots)


def is_behind(mark: Mark, position: int, commits: int) -> bool:
    """Whether a log that ends so has lost something that was acknowledged."""
    return position < mark.position or min(commits, _COUNT_MAX) < mark.commits


class MarkFile:
    """The owner's end of a mark. Best effort: a mark that could not be written is an older mark.

    The file is mapped into memory: noting a position is no system call, and outlives the process all the same.
    """

    def __init__(self, log: Path, log_id: str) -> None:
        self._log_id = bytes.fromhex(log_id)
        self._slot = 0
        self._unsynced = 0
        self._map: mmap.mmap | None = None
        with contextlib.suppress(OSError, ValueError):
            self._map = _map(mark_path(log))
        abandon_in_children(self)

    def write(self, position: int, chain: bytes, commits: int) -> None:
        """Note that everything up to a position was acknowledged, and so many commits without events."""
        mapped = self._map
        if mapped is None:
            return
        body = _pack_body(_MAGIC, min(commits, _COUNT_MAX), position, chain, self._log_id)
        self._slot = slot = SLOT_BYTES - self._slot
        mapped[slot : slot + _SLOT_USED] = body + _pack_checksum(crc32(body))
        self._unsynced += 1
        if self._unsynced >= SYNC_EVERY:
            self._sync()

    def restart(self, position: int, chain: bytes, commits: int) -> None:
        """Forget what was noted before: both slots say the same from now on."""
        self.write(position, chain, commits)
        self.write(position, chain, commits)
        self._sync()

    def close(self) -> None:
        """Let the disk have the last mark. Idempotent."""
        if self._map is not None:
            if self._unsynced:
                self._sync()
            mapped, self._map = self._map, None
            mapped.close()

    def abandon(self) -> None:
        """Forget it without a word to the disk: in a forked child it is still the parent's."""
        self._map = None

    def _sync(self) -> None:
        if self._map is not None:
            self._unsynced = 0
            with contextlib.suppress(OSError):
                self._map.flush()


def _map(path: Path) -> mmap.mmap:
    descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        missing = 2 * SLOT_BYTES - os.fstat(descriptor).st_size
        if missing > 0:  # blocks of its own, or a full disk would be met by a signal
            os.pwrite(descriptor, bytes(missing), 2 * SLOT_BYTES - missing)
        return mmap.mmap(descriptor, 2 * SLOT_BYTES)
    finally:
        os.close(descriptor)


def _slots(log: Path) -> tuple[bytes, bytes]:
    try:
        data = mark_path(log).read_bytes()
    except OSError:
        data = b""
    return data[:SLOT_BYTES], data[SLOT_BYTES : 2 * SLOT_BYTES]


def _decode(slot: bytes) -> Mark | None:
    if len(slot) < _SLOT_USED:
        return None
    body, checksum = slot[: _BODY.size], slot[_BODY.size : _SLOT_USED]
    magic, commits, position, chain, log_id = _BODY.unpack(body)
    if magic != _MAGIC or _CHECKSUM.unpack(checksum)[0] != crc32(body):
        return None
    return Mark(position, chain, log_id, commits)
