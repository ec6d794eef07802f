"""With-blocks on an object that many threads and tasks share: who entered with which ticket.

Talks to the guard that the block belongs to.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from lrm_actors.actors.generations import Ticket

entered: ContextVar[Any] = ContextVar("lrm_entered", default=None)
"""With-blocks that this thread or task is in, innermost first: nested triples (owner, ticket, the next). The owner is
shared by all of them, so it cannot itself remember who entered with what."""


def taken_out(owner: object) -> Ticket | None:
    """Take out the innermost block on this owner, which need not be the innermost of all; its ticket.

    None if it was entered in another context; a probe's permit then comes back with its lease.
    """
    passed = []
    block = entered.get()
    while block is not None and block[0] is not owner:
        passed.append(block)
        block = block[2]
    if block is None:
        return None
    rest = block[2]
    for other_owner, ticket, _ in reversed(passed):
        rest = (other_owner, ticket, rest)
    entered.set(rest)
    found: Ticket = block[1]
    return found
