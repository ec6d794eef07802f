"""The supervisor's decisions: what is restarted, when, and when it is given up.

Children are actors of the system (``actor:monitor``) and components of the host (``component:browser``); both are
restarted one for one. Children are looked after alike; only the effects differ.
"""

from __future__ import annotations

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.deadlines import Deadline


@attrs.frozen
class RestartPolicy:
    """How a child is restarted."""

    backoff_initial_s: float = 0.1
    backoff_max_s: float = 30.0
    jitter: float = 0.2
    intensity: int = 5
    """Restarts allowed within ``period_s``; one more gives the child up."""
    period_s: float = 60.0
    reset_after_s: float = 60.0
    """Time without failure after which the backoff begins anew."""


@attrs.frozen
class ChildState:
    kind: str
    """``actor`` or ``component``."""
    status: str = "running"
    """``running``, ``backoff``, ``restarting``, ``given_up``."""
    attempt: int = 0
    """Failures in a row; exponent of the backoff."""
    restarted_at_s: tuple[float, ...] = ()
    """Monotonic times of the restarts scheduled within the period, oldest first."""
    last_failure_s: float = 0.0
    boot_id: str = ""
    due: Deadline | None = None


@attrs.frozen
class SupervisorState:
    policy: RestartPolicy = RestartPolicy()
    children: dict[str, ChildState] = attrs.Factory(dict)
    starts: int = 0
    """How often this log's process was started."""


# Commands


@attrs.frozen
class StartSupervising(Command):
    """The process is up: these children run now. Sent once after each start of the process."""

    children: tuple[str, ...]
    pid: int
    predecessor_exit: int | None = None
    """Exit status of the process before this one, as its parent saw it; negative: ended by that signal."""


@attrs.frozen
class AddChild(Command):
    child: str


@attrs.frozen
class RemoveChild(Command):
    child: str


@attrs.frozen
class ReportFailure(Command):
    """A child failed. For actors it comes from the guardian, with what was in hand."""

    child: str
    error: str
    """Class name of the error, or the observation (``exit by signal 9``)."""
    message: str = ""
    handling: str = ""
    """Type of the command in hand, or ``start``."""


@attrs.frozen
class RestartComponent(Command):
    """Restart a component as the analyzer decided; goes through the same backoff and intensity."""

    component: str
    reason: str


@attrs.frozen
class RestartDue(Command):
    child: str


@attrs.frozen
class RestartDone(Command):
    child: str
    duration_s: float


@attrs.frozen
class RestartFailed(Command):
    child: str
    error: str
    message: str


@attrs.frozen
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
    """``exit by signal 9`` or ``exit status 1`` or ``no orderly stop``."""


@event("supervisor.process_started", 1)
class ProcessStarted:
    start: int
    """1 for the first process of this log."""
    pid: int
    restarted: bool


@event("supervisor.child_added", 1)
class ChildAdded:
    child: str


@event("supervisor.child_removed", 1)
class ChildRemoved:
    child: str


@event("supervisor.child_failed", 1)
class ChildFailed:
    child: str
    error: str
    message: str
    handling: str
    at_s: float
    """Monotonic time of the report."""
    boot_id: str


@event("supervisor.restart_scheduled", 1)
class RestartScheduled:
    child: str
    attempt: int
    delay_s: float
    due: Deadline


@event("supervisor.restart_started", 1)
class RestartStarted:
    """The intent: a restart without a ``child_restarted`` after it is in doubt."""

    child: str
    attempt: int


@event("supervisor.child_restarted", 1)
class ChildRestarted:
    child: str
    attempt: int
    duration_s: float


@event("supervisor.child_given_up", 1)
class ChildGivenUp:
    child: str
    restarts: int
    period_s: float
    error: str


@event("supervisor.process_stopped", 1)
class ProcessStopped:
    clean: bool
    reason: str


# Effects


@attrs.frozen
class RestartChild(Effect):
    """Carry out the restart: of an actor in place, of a component by the host's function."""

    child: str
    attempt: int


@attrs.frozen
class StopChild(Effect):
    """Give a child up: close an actor's mailbox; tell the host of a component."""

    child: str
    reason: str
