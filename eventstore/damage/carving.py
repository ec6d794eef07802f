"""Finds the rows of a log's tables in the bytes of its file, wherever they lie, without the tree that leads to them.

Each row is found by the shape of its header: which columns there are, and of which kinds. Neither the page's header nor
its list of cells is needed. What is found is only a candidate: checksums say whether it is a row. The form of records
and cells is that of https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import Any, TypeAlias

import attrs

Bytes: TypeAlias = bytes | mmap
Overflow: TypeAlias = Callable[[int], bytes | None]
"""Gives a page by its number."""

_INT = rb"[\x00-\x06\x08\x09]"
_ANY = rb"[\x80-\xff]{0,4}[\x00-\x7f]"
_HASH = rb"\x2c"
"""A blob of 16 bytes."""
_INT_SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
MAX_PAYLOAD = 1_000_000_000


def _shape(*columns: bytes) -> re.Pattern[bytes]:
    """Headers may overlap what looks like one, hence the look-ahead."""
    least, most = len(columns) + 1, 1 + 5 * len(columns)
    return re.compile(rb"(?=[\x%02x-\x%02x]%s)" % (least, min(most, 0x7F), b"".join(columns)), re.DOTALL)


SHAPES: dict[str, tuple[re.Pattern[bytes], tuple[int, ...]]] = {
    "events": (
        _shape(b"\x00", *[_INT] * 8, _ANY, _ANY, _INT, _ANY, _HASH),
        (14, 15),
    ),
    "snapshots": (_shape(_INT, _INT, _ANY, _HASH, _ANY), (5,)),
    "attachments": (_shape(b"\x00", _ANY, _INT, _INT, _HASH, _ANY), (6,)),
    "receipts": (_shape(b"\x00", _ANY, _INT, _ANY), (4, 5)),
    "appends": (_shape(b"\x00", _ANY, _INT, _ANY, _ANY, _INT), (6,)),
    "streams": (_shape(b"\x00", _ANY, _INT, _INT), (4,)),
    "names": (_shape(b"\x00", _ANY), (2,)),
}
"""By table, the shape of its rows and how many columns they have. Those of ``types`` and ``boots`` are ``names``."""


@attrs.frozen
class Row:
    """What looks like a row."""

    rowid: int
    columns: tuple[Any, ...]
    at: int
    """Where its record begins."""


@attrs.frozen
class Carver:
    """Carves one file.

    Args:
        data: its bytes.
        page_size: of the database.
        overflow: gives a page by its number, for rows that go on elsewhere.
    """

    data: Bytes
    page_size: int
    overflow: Overflow

    def carve(self, table: str, start: int, end: int) -> Iterator[Row]:
        """Everything between two places that has the shape of a table's rows. Pages begin at ``start``."""
        pattern, wanted = SHAPES[table]
        for match in pattern.finditer(self.data, start, end):
            at = match.start()
            row = self._row(at, min(end, start + ((at - start) // self.page_size + 1) * self.page_size), wanted)
            if row is not None:
                yield row

    def _row(self, at: int, page_end: int, wanted: tuple[int, ...]) -> Row | None:
        data, page_size = self.data, self.page_size
        header_end = at + data[at]
        if header_end > page_end:
            return None
        serials, place = [], at + 1
        while place < header_end:
            serial, place = varint(data, place, header_end)
            serials.append(serial)
        if place != header_end or len(serials) not in wanted:
            return None
        sizes = [_INT_SIZES.get(serial, 0) if serial < 12 else (serial - 12) // 2 for serial in serials]
        total = header_end - at + sum(sizes)
        rowid = _before(data, at)
        if total > MAX_PAYLOAD or rowid is None:
            return None
        local = _local(total, page_size)
        if at + local > page_end:
            return None
        payload = bytes(data[at : at + local])
        if local < total:
            more = _follow(
                int.from_bytes(data[at + local : at + local + 4], "big"), total - local, page_size, self.overflow
            )
            if more is None:
                return None
            payload += more
        columns = _columns(payload[header_end - at :], serials, sizes)
        return None if columns is None else Row(rowid, columns, at)


def _columns(body: bytes, serials: list[int], sizes: list[int]) -> tuple[Any, ...] | None:
    columns: list[Any] = []
    place = 0
    for serial, size in zip(serials, sizes, strict=True):
        raw = body[place : place + size]
        place += size
        if serial == 0:
            columns.append(None)
        elif serial in (8, 9):
            columns.append(serial - 8)
        elif serial < 12:
            columns.append(int.from_bytes(raw, "big", signed=True))
        elif serial % 2 == 0:
            columns.append(raw)
        else:
            try:
                columns.append(raw.decode())
            except UnicodeDecodeError:
                return None
    return tuple(columns)


def integer(serial: bytes, raw: bytes) -> int:
    """A number by the kind of its column, from the bytes that begin with it."""
    kind = serial[0]
    return kind - 8 if kind in (8, 9) else int.from_bytes(raw[: _INT_SIZES[kind]], "big", signed=True)


def varint(data: Bytes, place: int, end: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends."""
    value = 0
    for count in range(9):
        if place >= end:
            return value, end + 1
        byte = data[place]
        place += 1
        if count == 8:
            return (value << 8) | byte, place
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            break
    return value, place


def _before(data: Bytes, end: int) -> int | None:
    """The number that ends just before a place. What stands before it ends a number too, with its high bit clear."""
    place = end - 1
    if place < 0 or data[place] >= 0x80:
        return None
    while place > 0 and data[place - 1] >= 0x80 and end - place < 9:
        place -= 1
    return varint(data, place, end)[0]


def _local(total: int, page_size: int) -> int:
    """How much of a payload lies on the page of its cell."""
    most = page_size - 35
    if total <= most:
        return total
    least = (page_size - 12) * 32 // 255 - 23
    fitting = least + (total - least) % (page_size - 4)
    return fitting if fitting <= most else least


def _follow(page: int, left: int, page_size: int, overflow: Overflow) -> bytes | None:
    """The rest of a payload, which a chain of pages holds."""
    parts = []
    for _ in range(left // (page_size - 4) + 1):
        image = overflow(page)
        if image is None or len(image) < page_size:
            return None
        part = image[4 : 4 + min(left, page_size - 4)]
        parts.append(part)
        left -= len(part)
        page = int.from_bytes(image[:4], "big")
        if left == 0:
            return b"".join(parts)
    return None
