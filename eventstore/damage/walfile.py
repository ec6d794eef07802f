"""Reads the frames of a WAL file directly, those behind a damaged one too, which SQLite itself drops.

The form is that of https://www.sqlite.org/fileformat2.html#walformat. A frame's checksum goes on from that of the frame
before it: with the checksum that is stored there, each frame can be judged by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import attrs

HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
_MAGIC = 0x377F0682
"""Its last bit says that checksums are taken of big-endian words."""
_FRAME = struct.Struct(">IIIIII")


@attrs.frozen
class Frame:
    """One page as a transaction left it."""

    page: int
    start: int
    """Where in the WAL file the page's bytes begin."""
    trust: int
    """0: SQLite reads it. 1: a later part of the WAL was committed, though SQLite stops before it. 2: nothing says that
    it was ever committed. 3: from before the WAL began anew."""


def page_size_of(wal: Sequence[int] | bytes) -> int | None:
    """The page size that a WAL names, None where it makes no sense."""
    size = int.from_bytes(bytes(wal[8:12]), "big")
    return size if 512 <= size <= 65536 and size & (size - 1) == 0 else None


def frames(wal: bytes, page_size: int) -> list[Frame]:
    """Every frame that there is room for."""
    step = FRAME_HEADER_BYTES + page_size
    count = max(0, len(wal) - HEADER_BYTES) // step
    if not count:
        return []
    magic = int.from_bytes(wal[:4], "big")
    order = ">" if magic & 1 else "<"
    words = struct.Struct(f"{order}{page_size // 4}I")
    heads = [_FRAME.unpack_from(wal, HEADER_BYTES + number * step) for number in range(count)]
    salts = struct.unpack_from(">II", wal, 16)
    if magic & ~1 != _MAGIC or heads[0][2:4] != salts:  # the header is damaged: its first frames know the salts too
        salts = heads[0][2:4]
    before = _sums(struct.unpack_from(f"{order}6I", wal), (0, 0))
    valid, last_valid, last_committed = before == struct.unpack_from(">II", wal, 24), -1, -1
    for number, (_, size, salt_1, salt_2, *stored) in enumerate(heads):
        if (salt_1, salt_2) != salts:
            valid = False
            continue
        at = HEADER_BYTES + number * step
        sums = _sums(struct.unpack_from(f"{order}2I", wal, at), before)
        sums = _sums(words.unpack_from(wal, at + FRAME_HEADER_BYTES), sums)
        intact = sums == tuple(stored)
        valid = valid and intact
        if size and intact:
            last_committed = number
            if valid:
                last_valid = number
        before = (stored[0], stored[1])
    return [
        Frame(
            head[0],
            HEADER_BYTES + number * step + FRAME_HEADER_BYTES,
            0 if number <= last_valid else 1 if number <= last_committed else 2 if head[2:4] == salts else 3,
        )
        for number, head in enumerate(heads)
    ]


def _sums(words: Sequence[int], start: tuple[int, int]) -> tuple[int, int]:
    first, second = start
    pairs = iter(words)
    for one, other in zip(pairs, pairs, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second
