"""What the outer watchdog wants done."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Effect


@frozen
class StartProcess(Effect):
    """Start the process, and tell with ``NoteStarted`` or ``NoteStartFailed`` what came of it."""

    start: int
    predecessor_exit: int | None
    """How the one before ended; None: there was none, or nobody saw it."""


@frozen
class SendSignal(Effect):
    """Send a signal to the process, and to nothing below it."""

    number: int


@frozen
class KillProcess(Effect):
    """Kill the process and everything below it."""


@frozen
class ClearUp(Effect):
    """End what the ended process left running, and tell with ``NoteCleared`` when nothing is left."""

    grace_s: float
    """Seconds from the request to end until it is killed."""
    keep: bool = False
    """Leave it, and only say so."""


@frozen
class EndWatch(Effect):
    """The watch is over."""

    exit_code: int
