"""What the outer watchdog knows."""

from __future__ import annotations

from eventstore.events import float_fields
from eventstore.frozen import frozen
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.outliving.policy import Policy

IDLE, STARTING, UP, ENDING, CLEARING, BACKING_OFF, GIVEN_UP, OVER = (
    "idle",
    "starting",
    "up",
    "ending",
    "clearing",
    "backing_off",
    "given_up",
    "over",
)
EXIT, REPLACE, HANG, MEMORY, STOP, ORPHAN, START = "exit", "replace", "hang", "memory", "stop", "orphan", "start"
"""Why a process ended: by itself, to be replaced, or it was ended for that; the last: it could not be started."""
ENDS_KEPT = 10
"""Ends that are remembered for the report."""


@frozen(field_transformer=float_fields)
class Process:
    """The one that is kept alive."""

    pid: int
    created: float
    at_s: float
    boot_id: str
    beats: bool = False
    """It sends heartbeats."""
    has_beaten: bool = False
    """It has sent one."""


@frozen(field_transformer=float_fields)
class End:
    """How one process ended."""

    start: int
    why: str
    exit_status: int | None
    description: str
    lasted_s: float
    last_words: str = ""


@frozen(field_transformer=float_fields)
class OuterState:
    """The watchdog's memory, in this process and those before it."""

    policy: Policy = Policy()
    command: tuple[str, ...] = ()
    watch: int = 0
    watch_pid: int = 0
    status: str = IDLE
    start: int = 0
    starts_in_watch: int = 0
    attempt: int = 0
    process: Process | None = None
    ending: str = ""
    """Why the process is asked to end; empty: it is not."""
    killed: bool = False
    stop: int = 0
    """The signal that asked for the end; 0: none did."""
    ends: tuple[End, ...] = ()
    """The last ones, oldest first."""
    restarts_at_s: tuple[float, ...] = ()
    """Monotonic times of restarts that may count, oldest first."""
    boot_id: str = ""
    """The boot that those count from."""
    due: Deadline | None = None
    """When the next process is started, or the one that is asked to end is killed."""
    restarts: int = 0
    """Since the log began."""
    exit_code: int | None = None
    """What the watch ended with."""
    reason: str = ""
    """Why the process was given up, or the watch ended."""

    @property
    def last(self) -> End | None:
        """How the last process ended."""
        return self.ends[-1] if self.ends else None

    @property
    def proven(self) -> bool:
        """The process has sent a heartbeat."""
        return self.process is not None and self.process.has_beaten

    @property
    def in_order(self) -> bool:
        """The watch before, if there was any, had come to its end."""
        return self.status in {IDLE, OVER}
