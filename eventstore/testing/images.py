"""Files in memory whose content hash follows each change, so that two equal crash states are told by one number."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

BLOCK = 4096
SECTOR = 512
"""Bytes that a disk writes whole or not at all."""
_ZEROS = bytes(BLOCK)
_MASK = 2**128 - 1


class Change(NamedTuple):
    """A write, or with ``data`` None a truncation to ``offset`` bytes."""

    offset: int
    data: bytes | None


class Content(NamedTuple):
    """A file that could be on the disk: an image with changes, and what tells it from others."""

    digest: int
    """128 bits, the same for the same bytes however they came about."""
    size: int
    image: Image
    blocks: dict[int, bytearray]
    """The blocks that differ from the image, padded with zeros."""

    def __repr__(self) -> str:
        return f"<{self.size} bytes, {self.digest:032x}>"

    def data(self) -> bytearray:
        """All of the file."""
        data = self.image.data[: self.size]
        data += bytes(self.size - len(data))
        for number, block in self.blocks.items():
            start = number * BLOCK
            room = min(BLOCK, self.size - start)
            if room > 0:
                data[start : start + room] = block[:room]
        return data


class Image:
    """The bytes of one file that a disk certainly has."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray()
        self._hashes: dict[int, int] = {}
        self._sum = 0
        self.apply([Change(0, data)])

    def apply(self, changes: Iterable[Change]) -> None:
        """Make changes a part of the image. What ``changed`` returned before it is no longer valid."""
        content = self.changed(changes)
        self.data = content.data()
        for number, block in content.blocks.items():
            self._sum = (self._sum - self._hashes.get(number, 0)) & _MASK
            self._hashes[number] = _hash(number, block)
            self._sum = (self._sum + self._hashes[number]) & _MASK

    def changed(self, changes: Iterable[Change]) -> Content:
        """The file as it is after ``changes``. The image itself stays as it is."""
        blocks: dict[int, bytearray] = {}
        size = len(self.data)
        for offset, data in changes:
            if data is None:
                for number in range(offset // BLOCK, -(-size // BLOCK)):
                    kept = max(0, offset - number * BLOCK)
                    self._block(blocks, number)[kept:] = bytes(BLOCK - kept)
                size = offset
                continue
            end = offset + len(data)
            size = max(size, end)
            for number in range(offset // BLOCK, -(-end // BLOCK)):
                start = number * BLOCK
                first, last = max(offset, start), min(end, start + BLOCK)
                self._block(blocks, number)[first - start : last - start] = data[first - offset : last - offset]
        total = self._sum
        for number, block in blocks.items():
            total += _hash(number, block) - self._hashes.get(number, 0)
        return Content(total & _MASK, size, self, blocks)

    def _block(self, blocks: dict[int, bytearray], number: int) -> bytearray:
        block = blocks.get(number)
        if block is None:
            block = blocks[number] = self.data[number * BLOCK : (number + 1) * BLOCK]
            block += bytes(BLOCK - len(block))
        return block


def _hash(number: int, block: bytearray) -> int:
    """0 for zeros, so that a hole and a block of written zeros are the same."""
    if block == _ZEROS:
        return 0
    hashed = blake2b(block, digest_size=16, salt=number.to_bytes(16, "little"))
    return int.from_bytes(hashed.digest(), "little")


def torn(change: Change, sectors: int) -> Change | None:
    """A write of which the disk took only the first ``sectors`` sectors. None where that is all or nothing of it."""
    if change.data is None:
        return None
    end = (change.offset // SECTOR + sectors) * SECTOR - change.offset
    return Change(change.offset, change.data[:end]) if 0 < end < len(change.data) else None


def tears(change: Change) -> int:
    """At how many places a write can be torn."""
    if not change.data:
        return 0
    return (change.offset + len(change.data) - 1) // SECTOR - change.offset // SECTOR
