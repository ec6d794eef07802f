"""What a supervisor puts on record. Those about its process stand in ``domain.process``."""

from __future__ import annotations

from eventstore.events import event
from lrm_actors.domain.children import RestartPolicy
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.supervision.declaring import ChildSpec, Supervision


@event("supervisor.configured", 1)
class Configured:
    """The policy from here on."""

    policy: RestartPolicy


@event("supervisor.declared", 1)
class Declared:
    """The strategy, the children and the decider from here on, as the code that started has them."""

    supervision: Supervision


@event("supervisor.supervising_began", 1)
class SupervisingBegan:
    """A supervisor that is another's child begins in a new process: these children run anew."""

    children: tuple[str, ...]
    at_s: float
    """Monotonic time of the start."""
    boot_id: str


@event("supervisor.child_added", 1)
class ChildAdded:
    """A child came while the process ran."""

    child: str
    at_s: float = 0.0
    boot_id: str = ""
    spec: ChildSpec | None = None
    """How it is looked after, if anybody said."""


@event("supervisor.child_removed", 1)
class ChildRemoved:
    """A child left while the process ran."""

    child: str


@event("supervisor.child_failed", 1)
class ChildFailed:
    """A child failed, or could not be restarted (``handling`` is then ``restart``)."""

    child: str
    error: str
    message: str
    handling: str
    at_s: float
    """Monotonic time of the report."""
    boot_id: str
    handled: int | None = None
    """Messages it handled since it was restarted; None: nobody counts them."""


@event("supervisor.child_ended", 1)
class ChildEnded:
    """An actor ended by itself, because it was done."""

    child: str
    at_s: float
    """Monotonic time of the report."""
    boot_id: str
    handled: int | None = None


@event("supervisor.child_resumed", 1)
class ChildResumed:
    """The child goes on with the state that it had; the message that it failed on is dropped."""

    child: str
    error: str
    handling: str


@event("supervisor.child_stopped", 1)
class ChildStopped:
    """The child is stopped and not restarted."""

    child: str
    reason: str


@event("supervisor.stopping_started", 1)
class StoppingStarted:
    """These children are stopped, last to first, their messages kept."""

    child: str
    """Whose failure or end led to it; empty when the parent wants it."""
    members: tuple[str, ...]
    """In start order, the child itself among them."""
    purpose: str
    """``restart``, ``escalate``, ``shutdown`` or ``hold``."""
    reason: str
    attempt: int = 0
    """Failures of ``child`` in a row, which the backoff goes by."""
    warned_first: bool = False
    """The host hears of it first, and has a while to save what it has."""


@event("supervisor.host_warned", 1)
class HostWasWarned:
    """The host had its time; now everything is stopped."""

    reason: str


@event("supervisor.hold_started", 1)
class HoldStarted:
    """The intent: this child is told to stop."""

    child: str


@event("supervisor.child_held", 1)
class ChildHeld:
    """The child handles nothing; what it is sent waits."""

    child: str
    in_time: bool
    """False: it did not stop within its deadline, and nobody waits for it any longer."""


@event("supervisor.restart_scheduled", 1)
class RestartScheduled:
    """The child will be restarted after a backoff."""

    child: str
    attempt: int
    delay_s: float
    due: Deadline
    members: tuple[str, ...] = ()
    """All that are restarted with it, in the order in which they are started; empty: it alone."""


@event("supervisor.restart_started", 1)
class RestartStarted:
    """The intent: a restart without a ``child_restarted`` after it is in doubt."""

    child: str
    attempt: int


@event("supervisor.child_restarted", 1)
class ChildRestarted:
    """The child runs again."""

    child: str
    attempt: int
    duration_s: float
    at_s: float = 0.0
    """Monotonic time of its end."""


@event("supervisor.child_given_up", 1)
class ChildGivenUp:
    """The child failed more often than the policy allows, and stays down."""

    child: str
    restarts: int
    """Restarts within the period."""
    period_s: float
    error: str


@event("supervisor.escalated", 1)
class Escalated:
    """All children are stopped, and the supervisor fails to its parent; the root's parent is the host."""

    child: str
    """Whose failure was one too many."""
    reason: str


@event("supervisor.shut_down", 1)
class ShutDown:
    """Significant children ended; all others are stopped, and the supervisor ends, not failing."""

    child: str
    """Whose end it was."""


@event("supervisor.children_held", 1)
class ChildrenHeld:
    """All children are stopped, as the parent wanted."""


@event("supervisor.children_starting", 1)
class ChildrenStarting:
    """The parent restarted this supervisor: these are started, first to last, and earlier restarts are forgotten."""

    members: tuple[str, ...]


@event("supervisor.caches_clearing_started", 1)
class CachesClearingStarted:
    """The intent to have a component give memory back. One without an end was lost with its process, caches and all."""

    child: str
    reason: str


@event("supervisor.caches_cleared", 1)
class CachesCleared:
    """The component gave memory back."""

    child: str
