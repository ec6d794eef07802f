"""The outer watchdog's log beside an agent's: where it is, both told as one story, and what the watchdog is at.

Reads both logs. A record of one names a record of the other in one place: a start of the agent's process names the
decision of the watchdog that led to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eventstore.errors import PositionNotFound
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Instant, Record
from lrm_actors.domain import outer
from lrm_actors.domain.deadlines import elapsed_s
from lrm_actors.inspect.chains import PROCESS_STARTED
from lrm_actors.inspect.health import Owner
from lrm_actors.inspect.looking_back import last_of
from lrm_actors.inspect.replay import state_at

DIRECTORY, NAME = "outer", "outer.db"
"""A directory of its own, because the lock of a log is its directory's; and a name of its own, so that nobody who looks
for agents' logs takes it for one."""
PREFIX = "outer#"
"""How a position in the watchdog's log is written."""


def outer_log(log: Path) -> Path:
    """The watchdog's log that belongs beside an agent's."""
    return log.parent / DIRECTORY / NAME


def is_outer(log: Path) -> bool:
    """Whether a log is a watchdog's."""
    return log.name == NAME


def outer_beside(log: Path, reader: EventReader) -> Path | None:
    """The log of the watchdog that started an agent's process: the one beside it, or the one that its last start names.

    Args:
        log: the agent's.
        reader: of it.
    """
    if is_outer(log):
        return None
    beside = outer_log(log)
    if beside.is_file():
        return beside
    started = last_of(reader, (PROCESS_STARTED,))
    named = getattr(started.event, "outer_log", "") if started is not None and started.events else ""
    path = Path(named) if named else None
    return path if path is not None and path.is_file() else None


@frozen
class Told:
    """A record, and of which log it is."""

    record: Record
    outer: bool

    @property
    def position(self) -> str:
        """``#12``, or ``outer#12``."""
        return f"{PREFIX if self.outer else '#'}{self.record.position}"

    @property
    def cause(self) -> str:
        """Position of what it follows from, in the same form; empty where it comes from outside.

        A start of the agent's process follows from the watchdog's decision.
        """
        if self.record.cause is not None:
            return f"{PREFIX if self.outer else '#'}{self.record.cause}"
        position = started_by(self.record)
        return f"{PREFIX}{position}" if position else ""


def started_by(record: Record) -> int:
    """Position in the watchdog's log of what led to a start of the agent's process; 0 where nothing there did."""
    if record.type != PROCESS_STARTED or not record.events:
        return 0
    return int(getattr(record.events[0], "outer_position", 0))


def together(agent: Iterable[Record], watchdog: Iterable[Record]) -> Iterator[Told]:
    """The records of both logs by the time they were recorded at, each log's in its own order."""
    left, right = iter(agent), iter(watchdog)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and not is_before(other.recorded_at, one.recorded_at)):
            assert one is not None
            yield Told(one, outer=False)
            one = next(left, None)
        else:
            yield Told(other, outer=True)
            other = next(right, None)


def is_before(one: Instant, other: Instant) -> bool:
    """By the monotonic clock on the same boot, and by the wall clock across a reboot."""
    if one.boot_id == other.boot_id:
        return one.monotonic_s < other.monotonic_s
    return one.wall_s < other.wall_s


def led_to(record: Record, reader: EventReader, watchdog: EventReader) -> Record | None:
    """The watchdog's decision that led to a start of the agent's process, or to the observation that stands before it.

    Args:
        record: of the agent's log, and without a cause in it.
        reader: of the agent's log.
        watchdog: reader of the watchdog's.
    """
    if record.type == "supervisor.process_exit_observed":
        try:
            record = reader.get(record.position + 1)
        except PositionNotFound:
            return None
    position = started_by(record)
    if not position:
        return None
    try:
        found = watchdog.get(position)
    except PositionNotFound:
        return None
    return found if found.type == "outer.start_begun" else None


@frozen
class WatchHealth:
    """What a watchdog's log says of the process that it keeps alive."""

    state: outer.OuterState
    owner: Owner
    last: Record | None
    """The newest event."""
    silent_s: float | None
    """Seconds since it."""
    due_s: float | None
    """Seconds until the process is started again; None: it is not about to be."""
    up_s: float | None
    """Seconds that the process has run; None: none does, as far as is known."""

    @property
    def is_well(self) -> bool:
        """A watchdog is alive, and so is what it keeps alive."""
        return self.owner.alive and self.state.status == outer.UP

    @property
    def has_ended(self) -> bool:
        """The watchdog came to its end in order: by itself, or asked to."""
        return not self.owner.alive and self.state.status in {outer.OVER, outer.IDLE}

    def data(self) -> dict[str, Any]:
        """The same as JSON data."""
        state, last = self.state, self.state.last
        return {
            "alive": self.owner.alive,
            "pid": self.owner.pid,
            "status": state.status,
            "process": None if state.process is None else state.process.pid,
            "sends_heartbeats": state.process is not None and state.process.beats,
            "up_s": self.up_s,
            "starts": state.start,
            "restarts": state.restarts,
            "last_end": None if last is None else outer.told(last),
            "due_s": self.due_s,
            "exit_code": state.exit_code,
            "reason": state.reason,
        }


def watch_health(reader: EventReader, *, now: Instant, owner: Owner) -> WatchHealth:
    """Read what a watchdog is at from its log.

    Args:
        reader: its log.
        now: this moment.
        owner: who owns it, see ``health.owner_of``.
    """
    head = reader.head
    replayed = state_at(reader, outer.NAME, head)
    state: outer.OuterState = replayed.state if replayed.folded else outer.OuterState()
    last = reader.get(head) if head >= reader.first else None
    up_s = due_s = None
    if owner.alive and state.process is not None:
        up_s = max(0.0, now.monotonic_s - state.process.at_s)
    if owner.alive and state.status == outer.BACKING_OFF and state.due is not None:
        due_s = state.due.remaining_s(now)
    silent_s = None if last is None else elapsed_s(last.recorded_at, now)
    return WatchHealth(state, owner, last, silent_s, due_s, up_s)
