"""What the outer watchdog is told: what was seen of the process, what was asked for, what time it is."""

from __future__ import annotations

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.outliving.policy import Policy


@frozen
class BeginWatch(Command):
    """A watchdog is up. Sent once after each of its own starts."""

    pid: int
    policy: Policy
    command: tuple[str, ...]
    found: tuple[int, ...] = ()
    """Processes of an earlier watchdog that live still: the one it started, and what is below that."""


@frozen
class NoteStarted(Command):
    """The process runs."""

    start: int
    pid: int
    created: float
    """When it began, as its platform counts that: tells it from another of the same pid."""


@frozen
class NoteStartFailed(Command):
    """The process could not be started at all."""

    start: int
    error: str
    message: str
    exit_code: int
    """127: there is no such command; 126: it cannot be executed."""


@frozen
class NoteFirstHeartbeat(Command):
    """The first heartbeat, or the first after the process wanted none to be expected."""

    after_s: float


@frozen
class NoteQuiet(Command):
    """The process said that no heartbeat is to be expected any more."""


@frozen
class NoteHeartbeatMissed(Command):
    """None came for too long; the watchdog itself was not held up."""

    age_s: float


@frozen
class StartTimedOut(Command):
    """Time to have sent the first heartbeat is over."""

    start: int


@frozen
class NoteMemory(Command):
    """The process and everything below it hold more than they may, at two looks in a row."""

    memory_bytes: int


@frozen
class NoteSignal(Command):
    """Somebody sent a signal to the watchdog."""

    number: int


@frozen
class GraceOver(Command):
    """The process had its time to end."""

    start: int


@frozen
class NoteExit(Command):
    """The process ended."""

    start: int
    exit_status: int | None
    """As its parent sees it; negative: ended by that signal; None: nobody saw it."""
    last_words: str = ""
    """The end of what it wrote to standard error."""


@frozen
class NoteCleared(Command):
    """Nothing that the ended process had started is left; or something is that cannot be ended."""

    ended: int
    left: tuple[int, ...] = ()
    """Pids of what is still there."""


@frozen
class RestartNow(Command):
    """The wait before a restart is over."""


@frozen
class NoteLate(Command):
    """The log can be written again: what was decided meanwhile is in it now."""

    count: int
    reason: str
