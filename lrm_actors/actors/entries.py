"""With-blocks on an object that many threads and tasks share: who entered with which ticket.

Talks to the guard that the block belongs to. Setting a context variable costs more than all else of a block, so the
outermost entry of a context stays there when its block is left, and the next block on the same owner takes it again.
Contexts that were copied share it. So it is taken by one atomic step, and whoever comes second makes another.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from lrm_actors.actors.generations import Ticket


class Entry:
    """One with-block that this thread or task is in, or was in."""

    __slots__ = ("before", "free", "owner", "ticket")

    def __init__(self, owner: object, ticket: Ticket, before: Entry | None) -> None:
        self.owner = owner
        self.ticket = ticket
        """As it was entered with, the last time."""
        self.before = before
        """The block around it."""
        self.free: list[None] = []
        """Holds one None while no block is in: whoever pops it has the entry."""


_entered: ContextVar[Any] = ContextVar("lrm_entered", default=None)
innermost = _entered.get
"""The entry of the innermost block of this thread or task. The owner is shared by all of them, so it cannot itself
remember who entered with what."""


def enter(owner: object, ticket: Ticket) -> None:
    """A block begins, for which the innermost entry cannot be taken again."""
    before = innermost()
    while before is not None and before.free:
        before = before.before
    _entered.set(Entry(owner, ticket, before))


def leave(entry: Entry) -> None:
    """The innermost block ends."""
    if entry.before is None:
        entry.free.append(None)
    else:
        _entered.set(entry.before)


def taken_out(owner: object) -> Ticket | None:
    """End the innermost block on this owner, which need not be the innermost of all; its ticket.

    None if it was entered in another context; a probe's permit then comes back with its lease.
    """
    entry = innermost()
    while entry is not None and (entry.owner is not owner or entry.free):
        entry = entry.before
    if entry is None:
        return None
    ticket: Ticket = entry.ticket
    entry.free.append(None)  # it goes from here with the blocks inside it
    return ticket
