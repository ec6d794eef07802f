"""Low-water marks: the least that a metric was for a while, and the greatest that this ever was before.

What memory never fell below for half an hour is what was not given back. Held against its own record of a day, it needs
no threshold in megabytes, and a collector's sawtooth, however large, leaves it where it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.frozen import frozen
from lrm_actors.domain.trends.series import Blocks

RECORD_BLOCKS = 5
"""Blocks that share one entry of the records: ten minutes."""
RECORDS = 145
"""Entries kept: a day."""

Row = tuple[float | None, ...]


@frozen
class Records:
    """The greatest mark and the greatest rise of a mark in every ten minutes, one row for each scale."""

    index: tuple[int, ...] = ()
    marks: tuple[Row, ...] = ()
    rises: tuple[Row, ...] = ()


def low_water(blocks: Blocks, length: int, back: int = 0) -> float | None:
    """The least value of ``length`` blocks that end ``back`` before the newest.

    None where two thirds of them are missing, or all of the first third: so an interval of three blocks, six minutes,
    from sample to sample still tells something, and the beginning of a past does not.
    """
    newest = blocks.index[-1] - back
    end = len(blocks.index) - back
    if end <= 0:
        return None
    while end < len(blocks.index) and blocks.index[end] <= newest:
        end += 1
    first = max(0, end - length)
    while first < end and blocks.index[first] <= newest - length:
        first += 1
    if 3 * (end - first) < length or 3 * (blocks.index[first] - newest + length - 1) > length:
        return None
    return min(blocks.low[first:end])


def recorded(records: Records, block: int, marks: Sequence[float | None], rises: Sequence[float | None]) -> Records:
    """The records after one more block.

    Args:
        records: those before.
        block: where the block lies on the grid.
        marks: the low-water mark of each scale now; None: not known.
        rises: how far each is above where it was one window ago.
    """
    place = block // RECORD_BLOCKS
    if records.index and records.index[-1] == place:
        return Records(records.index, _raised(records.marks, marks), _raised(records.rises, rises))
    first = max(0, len(records.index) + 1 - RECORDS)
    while first < len(records.index) and records.index[first] <= place - RECORDS:
        first += 1
    longer = (_lengthened(rows, new, first) for rows, new in ((records.marks, marks), (records.rises, rises)))
    return Records((*records.index[first:], place), *longer)


def forgotten(records: Records, since: int) -> Records:
    """The records without those from block ``since`` on: what a leak set is no measure of what is usual."""
    end = len(records.index)
    while end and records.index[end - 1] * RECORD_BLOCKS >= since:
        end -= 1
    marks, rises = (tuple(row[:end] for row in rows) for rows in (records.marks, records.rises))
    return Records(records.index[:end], marks, rises)


def before(records: Records, block: int) -> int:
    """How many of the entries are of ten minutes that ended before ``block``."""
    place, end = block // RECORD_BLOCKS, len(records.index)
    while end and records.index[end - 1] >= place:
        end -= 1
    return end


def known(row: Row) -> list[float]:
    """Those of a row that are known."""
    return [one for one in row if one is not None]


def _raised(rows: tuple[Row, ...], new: Sequence[float | None]) -> tuple[Row, ...]:
    return tuple(_with_last(row, value) for row, value in zip(rows, new, strict=True))


def _with_last(row: Row, value: float | None) -> Row:
    last = row[-1]
    return row if value is None or (last is not None and value <= last) else (*row[:-1], value)


def _lengthened(rows: tuple[Row, ...], new: Sequence[float | None], first: int) -> tuple[Row, ...]:
    if not rows:
        return tuple((value,) for value in new)
    return tuple((*row[first:], value) for row, value in zip(rows, new, strict=True))
