"""The supervisor's words for the process that it lives in: its start, its stop, and the end of the one before."""

from __future__ import annotations

from eventstore.events import event
from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.exits import describe_exit

# Commands


@frozen
class StartSupervising(Command):
    """The process is up: these children run now. Sent once after each start of the process."""

    children: tuple[str, ...]
    pid: int
    predecessor_exit: int | None = None
    """Exit status of the process before this one, as its parent saw it; negative: ended by that signal."""
    outer_log: str = ""
    """Log of the ``lrm run`` that started this process; empty: none did."""
    outer_position: int = 0
    """Position in it of that start."""


@frozen
class StopSupervising(Command):
    """The process is going down in order."""

    clean: bool
    reason: str = "stop"


# Events


@event("supervisor.process_exit_observed", 1)
class ProcessExitObserved:
    """The predecessor of this process ended, and how. An observation: the root of what follows."""

    exit_status: int | None
    """As the parent saw it; negative: that signal; None: nobody saw it, but it did not stop in order."""
    description: str
    """``exit by signal 9 (SIGKILL)`` or ``exit status 1`` or ``no orderly stop``."""


@event("supervisor.process_started", 1)
class ProcessStarted:
    """A process took the log up. Every child of it runs anew; what the one before had pending is void."""

    start: int
    """1 for the first process of this log."""
    pid: int
    restarted: bool
    """The one before did not end in order."""
    children: tuple[str, ...] = ()
    at_s: float = 0.0
    """Monotonic time of the start."""
    boot_id: str = ""
    outer_log: str = ""
    """Log of the ``lrm run`` that started the process; empty: none did."""
    outer_position: int = 0
    """Position in it of the event that led to this start."""


@event("supervisor.process_stopped", 1)
class ProcessStopped:
    """The process went down in order."""

    clean: bool
    reason: str


def predecessor(starts: int, stopped: str, exit_status: int | None) -> ProcessExitObserved | None:
    """What is to be said about the end of the process before; None when there was none, or it ended in order.

    Args:
        starts: processes that this log has seen.
        stopped: ``clean`` when the last of them said so.
        exit_status: as the parent saw it; it counts for more than the log.
    """
    if not exit_status and (starts == 0 or stopped == "clean"):
        return None
    description = describe_exit(exit_status) if exit_status else "no orderly stop"
    return ProcessExitObserved(exit_status, description)
