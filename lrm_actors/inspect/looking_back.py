"""Reading a log backwards: the newest record of some types, and those before it. Reads the log only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat

from eventstore.events import UnknownEvent
from eventstore.protocol import EventReader
from eventstore.records import Record

STRETCHES = (1_000, 4_000, 16_000)
"""Positions that are read at a time: at first, then, and from then on, so that memory holds no more of them."""


def backwards(reader: EventReader, types: tuple[str, ...], *, up_to: int | None = None) -> Iterator[Record]:
    """The records of some types, the newest first, read in growing stretches.

    Args:
        reader: the log.
        types: the types.
        up_to: the highest position; None: the head.
    """
    up_to, first = reader.head if up_to is None else up_to, reader.first
    stretches = chain(STRETCHES, repeat(STRETCHES[-1]))
    while up_to >= first:
        after = max(0, up_to - next(stretches))
        yield from reversed([*reader.read(after=after, up_to=up_to, types=types, removed="skip")])
        up_to = after


def last_of(
    reader: EventReader,
    types: tuple[str, ...],
    matches: Callable[[Record], bool] = lambda record: True,
    *,
    up_to: int | None = None,
    in_any_form: bool = False,
) -> Record | None:
    """The newest record of some types that matches.

    Args:
        reader: the log.
        types: the types.
        matches: what else is asked of it.
        up_to: its position at most; None: the head.
        in_any_form: also where it cannot be looked into.
    """
    for record in backwards(reader, types, up_to=up_to):
        if (in_any_form or is_known(record)) and matches(record):
            return record
    return None


def is_known(record: Record) -> bool:
    """Whether it can be looked into: this program knows its type and form, and has its key."""
    return bool(record.events) and not isinstance(record.events[0], UnknownEvent)
