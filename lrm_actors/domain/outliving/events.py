"""What the outer watchdog puts on record, in a log of its own."""

from __future__ import annotations

from eventstore.events import event
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.outliving.policy import Policy


@event("outer.watch_began", 1)
class WatchBegan:
    """A watchdog took this log up."""

    watch: int
    """1 for the first."""
    pid: int
    in_order: bool
    """The one before, if there was one, had come to its end."""
    at_s: float
    boot_id: str


@event("outer.configured", 1)
class Configured:
    """What is kept alive, and how, from here on."""

    policy: Policy
    command: tuple[str, ...]


@event("outer.processes_found", 1)
class ProcessesFound:
    """What a watchdog that died had started lives still. An observation. It is ended: only a parent sees an exit."""

    pids: tuple[int, ...]


@event("outer.start_begun", 1)
class StartBegun:
    """Intent: the process is about to be started."""

    start: int
    """How often this log has seen that."""
    attempt: int
    """How many in a row ended too soon, with this one; 0 for a first one."""


@event("outer.process_started", 1)
class ProcessStarted:
    """It runs."""

    start: int
    pid: int
    created: float
    """When it began, as the platform counts that: tells it from another of the same pid."""
    at_s: float
    boot_id: str


@event("outer.start_failed", 1)
class StartFailed:
    """It could not be started. An observation."""

    start: int
    error: str
    message: str
    exit_code: int


@event("outer.heartbeats_began", 1)
class HeartbeatsBegan:
    """The process sends heartbeats, and is missed from now on where they end."""

    start: int
    after_s: float
    """Since it was started."""


@event("outer.heartbeats_ended", 1)
class HeartbeatsEnded:
    """The process said that it sends none any more."""

    start: int


@event("outer.heartbeat_missed", 1)
class HeartbeatMissed:
    """No heartbeat for too long. An observation."""

    start: int
    age_s: float
    timeout_s: float


@event("outer.memory_exceeded", 1)
class MemoryExceeded:
    """The process, with everything below it, holds more than it may. An observation."""

    start: int
    memory_bytes: int
    limit_bytes: int


@event("outer.signal_received", 1)
class SignalReceived:
    """Somebody sent the watchdog a signal. An observation. It is passed on to the process, where there is one."""

    number: int
    name: str
    stops: bool
    """It asks for the end, and the process is not restarted."""


@event("outer.ending_begun", 1)
class EndingBegun:
    """Intent: the process is asked to end."""

    start: int
    why: str
    """``hang``, ``memory`` or ``stop``."""
    number: int
    """The signal."""
    due: Deadline
    """When it is killed."""


@event("outer.kill_begun", 1)
class KillBegun:
    """Intent: it is killed, with everything below it."""

    start: int
    why: str
    """``grace``: it did not end in time; ``again``: it was asked for twice."""


@event("outer.process_exited", 1)
class ProcessExited:
    """The process ended. An observation."""

    start: int
    exit_status: int | None
    description: str
    """``exit by signal 9 (SIGKILL)``, ``exit status 1``."""
    why: str
    """``exit``: by itself; ``replace``: it wants to be replaced; ``hang``, ``memory``, ``stop``: it was ended for that;
    ``orphan``: nobody watched."""
    lasted_s: float
    last_words: str = ""
    """The end of what it wrote to standard error."""


@event("outer.cleared_up", 1)
class ClearedUp:
    """What it had started, and that outlived it, was ended."""

    ended: int
    left: tuple[int, ...] = ()
    """What could not be ended, or is to be left alone."""


@event("outer.restart_scheduled", 1)
class RestartScheduled:
    """Another process is started after a wait."""

    attempt: int
    """Processes in a row that ended too soon, with the next one; 0: the last one did well, or wanted it."""
    due: Deadline
    because: str
    counted: bool = True
    """It is one of those that may not be too many."""


@event("outer.given_up", 1)
class GivenUp:
    """The process is not started again: that was tried often enough, or is of no use."""

    reason: str
    restarts: int
    """Within the time that counts."""


@event("outer.watch_ended", 1)
class WatchEnded:
    """The watchdog ends, in order."""

    exit_code: int
    reason: str


@event("outer.recorded_late", 1)
class RecordedLate:
    """The events before this one were decided, and acted on, while the log could not be written."""

    count: int
    reason: str
