"""Following a log: what is there, and then what is appended. Talks to a reader of it, and to who tells of commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from eventstore.records import Record
from eventstore.waking import Listeners, waking


class Read(Protocol):
    """Gives the records after a position."""

    def __call__(self, after: int, *, begun: bool) -> Iterator[Record]:
        """Read; ``begun``: the one that follows ``after`` was there, and if it is not any more, that is to be told."""


def follow(
    after: int,
    read: Read,
    last_removed: Callable[[], int],
    *,
    poll_s: float,
    stop: Callable[[], bool],
    listeners: Listeners | None,
) -> Iterator[Record]:
    """What is there, and then what is appended, until ``stop``. Raises what reading raises.

    Args:
        after: the position before the first.
        read: gives what is there now.
        last_removed: gives the position up to which events were removed.
        poll_s: seconds after which to look again although nobody told of a commit.
        stop: looked at after each record, and each time before what is new is read.
        listeners: of the commits of this process; None: it has none.
    """
    begun = after > 0
    with waking(listeners) as woken:
        while not stop():
            woken.clear()
            for record in read(after, begun=begun):
                after = record.position
                yield record
                if stop():
                    return
            if not begun:
                begun = True
                if after <= 0:  # nothing was there: it begins behind what never will be again
                    after = last_removed()
            woken.wait(poll_s)
