"""What a supervisor may be told. Those about its process stand in ``domain.process``."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.children import RestartPolicy
from lrm_actors.domain.supervision.declaring import ChildSpec

# From the host


@frozen
class Configure(Command):
    """Take another policy. It holds from the next failure on."""

    policy: RestartPolicy


@frozen
class AddChild(Command):
    """One more child, which runs now; also brings back one that was given up. The reply says whether it was news."""

    child: str
    spec: ChildSpec | None = None
    """How it is looked after; None: as a permanent child. Its ``id`` is ``child``."""


@frozen
class RemoveChild(Command):
    """Look after this child no more. The reply is False when it was none, or is just being stopped with others."""

    child: str


@frozen
class TerminateChild(Command):
    """Stop a child and keep it in mind. The reply is False while its restart or its stop is under way."""

    child: str


@frozen
class StartChild(Command):
    """Start a child that was stopped or given up. The reply is False when there is none, or siblings are restarting."""

    child: str


@frozen
class RestartComponent(Command):
    """Restart a component as the analyzer decided; goes through the same backoff and intensity.

    The reply is False, and nothing happens, when it is being restarted already, was given up, or is not known.
    """

    component: str
    reason: str


@frozen
class ClearCaches(Command):
    """Have a component give memory back; it is restarted when it cannot. The reply is as for ``RestartComponent``."""

    component: str
    reason: str


# From the guardian


@frozen
class ReportFailure(Command):
    """A child failed. For actors it comes from the guardian, with what was in hand. The reply says if it was news."""

    child: str
    error: str
    """Class name of the error, or the observation (``exit by signal 9``)."""
    message: str = ""
    handling: str = ""
    """Type of the command in hand, or ``start``."""
    again: bool = False
    """The same failure once more, because the child is still down: no news while its restart is under way."""
    kinds: tuple[str, ...] = ()
    """Class names of the error's bases, the nearest first: what a decider's rules are matched with besides."""
    handled: int | None = None
    """Messages it handled since it was restarted; None: nobody counts them, as for a component."""
    resumable: bool = True
    """It failed on a message, and its state is as it was before. Else it cannot go on without being restarted."""


@frozen
class ReportEnd(Command):
    """An actor ended by itself, because it was done. The reply says if it was news."""

    child: str
    handled: int | None = None
    """Messages it handled since it was restarted; None: nobody counts them."""


# From a supervisor's parent, and from its children's handlers


@frozen
class HoldAll(Command):
    """The parent stops this supervisor with others: stop all children, last to first, and keep their messages."""


@frozen
class StartAll(Command):
    """The parent restarted this supervisor: start whatever children are held, first to last."""


@frozen
class TellParentAgain(Command):
    """After a recovery: the parent may not have heard that all children are down."""


@frozen
class HostWarned(Command):
    """The host knows that everything is going to be stopped, and had its time."""


@frozen
class WarnHostAgain(Command):
    """After a recovery: the host may not have been warned."""


@frozen
class CachesDone(Command):
    """What became of it; an empty error: the caches are cleared."""

    child: str
    error: str = ""
    message: str = ""


@frozen
class RestartDue(Command):
    """The backoff of a child is over."""

    child: str


@frozen
class RestartInDoubt(Command):
    """After a recovery: a restart, a stop or a giving up was begun, and its end is not known."""

    child: str


@frozen
class RestartDone(Command):
    """The child was restarted."""

    child: str
    duration_s: float


@frozen
class RestartFailed(Command):
    """The child could not be restarted."""

    child: str
    error: str
    message: str


@frozen
class HoldDone(Command):
    """The child was stopped, its messages kept; or its time was over."""

    child: str
    in_time: bool = True
