"""What a supervisor has done by others."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Effect

UP, HELD, FAILED, ENDED = "up", "held", "failed", "ended"
"""What a supervisor tells its parent of itself."""


@frozen
class RestartChild(Effect):
    """Carry out the restart: of an actor in place, of a component by the host's function."""

    child: str
    attempt: int


@frozen
class ResumeChild(Effect):
    """Have an actor go on with the state it had."""

    child: str


@frozen
class HoldChild(Effect):
    """Stop an actor after its turn in hand and keep its mailbox; comes back as ``HoldDone``."""

    child: str
    deadline_s: float


@frozen
class StopChild(Effect):
    """Give a child up: close an actor's mailbox; tell the host of a component."""

    child: str
    reason: str
    deadline_s: float = 0.0
    """What a running actor gets to handle what waits; 0: nothing."""


@frozen
class ClearChildCaches(Effect):
    """Have a component give memory back by the host's function; comes back as ``CachesDone``."""

    child: str


@frozen
class NotifyParent(Effect):
    """Tell the parent, which is the host for the root, what became of this supervisor."""

    supervisor: str
    what: str
    """``up``, ``held``, ``failed`` or ``ended``."""
    reason: str = ""


@frozen
class WarnHost(Effect):
    """Tell the host that everything is going to be stopped, and give it a while; comes back as ``HostWarned``."""

    reason: str
