"""The health of an agent as its log tells it, whether its process lives or not."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any

from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Instant, Record
from lrm_actors import report
from lrm_actors.domain.children import ABSENT, ACTOR
from lrm_actors.domain.monitor import OVERDUE_AT_LEAST_S, OVERDUE_INTERVALS, MonitorState, interval_s
from lrm_actors.domain.trends import telling
from lrm_actors.inspect import sections, standing
from lrm_actors.inspect.chains import CHILD_RESTARTED, PROCESS_STARTED
from lrm_actors.inspect.folds import BREAKER, Folds
from lrm_actors.inspect.giving_up import GivingUp
from lrm_actors.inspect.looking_back import last_of
from lrm_actors.inspect.replay import state_at

LOCK_NAME = "lrm.lock"
STALE_INTERVALS = 2 * OVERDUE_INTERVALS
"""A living monitor says so itself when no sample comes; one that says nothing for this long does not live."""

STALE = "stale"
"""Why a metric is not known now where nothing is; ``LogHealth.stale`` has the reason, which is the same for all."""


@frozen
class Owner:
    """Who owns a log."""

    alive: bool
    pid: int | None
    """As the lock file has it: the last owner's, when none is alive."""


@frozen
class LogHealth:
    """What a log says of its agent's health now."""

    report: dict[str, Any]
    """The health report; its metrics are those last known."""
    owner: Owner
    last: Record | None
    """The newest event."""
    silent_s: float | None
    """Seconds since it; None when there is none."""
    stale: str
    """Why the report does not say how the agent is now; empty when it does."""
    fallen: tuple[standing.Fallen, ...] = ()
    """Who does not run, or hangs."""


def owner_of(log: Path) -> Owner:
    """Whether a process owns a log: the lock is asked for, and let go of at once."""
    try:
        fd = os.open(log.with_name(LOCK_NAME), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Owner(alive=False, pid=None)
    try:
        words = os.pread(fd, 20, 0).decode("ascii", "replace").split()
        pid = int(words[0]) if words and words[0].isdigit() else None
        return Owner(_is_locked(fd), pid)
    finally:
        os.close(fd)


def _is_locked(fd: int) -> bool:
    import fcntl  # POSIX only, as the lock is

    try:
        # Shared, so that those who look do not see each other.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in {errno.EAGAIN, errno.EACCES}
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def health_of(reader: EventReader, *, now: Instant, owner: Owner, agent_id: str = "", path: str = "") -> LogHealth:
    """Read the health of an agent from its log.

    Args:
        reader: the log.
        now: this moment.
        owner: who owns it, see ``owner_of``.
        agent_id: the agent's id; a log does not hold it, its directory's name does.
        path: the log's, for the report.
    """
    head = reader.head
    states: dict[str, Any] = {name: _state(reader, name, head) for name in sorted(("supervisor", "monitor", *_PLAIN))}
    supervisor, monitor = states["supervisor"], states["monitor"]
    last = reader.get(head) if head >= reader.first else None
    silent_s = None if last is None else seconds_since(last.recorded_at, now)
    stale = _stale(monitor, supervisor, owner, now)
    restarts = Counter(
        str(record.event.child)
        for record in reader.read(types=(CHILD_RESTARTED,), removed="skip")
        if hasattr(record.event, "child")
    )
    metrics = sections.metrics(monitor)
    if stale:
        metrics = {"metrics": {}, "last_good": monitor.last_good, "unknown": dict.fromkeys(report.METRICS, STALE)}
    started = last_of(reader, (PROCESS_STARTED,))
    hanging = standing.of_watchdog(reader, now, after=0 if started is None else started.position)
    given_up = GivingUp().told(reader, supervisor)
    fallen = [*standing.of_supervisor(supervisor, given_up), *hanging]
    status, cause = sections.health(monitor, watched=standing.runs("monitor", fallen), fallen=fallen)
    built = report.build(
        agent_id=agent_id,
        operation_mode=states["modes"].mode,
        health_status=status,
        health_cause=cause,
        uptime_s=_uptime_s(reader, started, last, now, alive=owner.alive),
        **metrics,
        mode=sections.mode(states["modes"], now),
        signals=sections.signals(monitor),
        history=monitor.history,
        trends=() if stale else telling.report(monitor.trends),
        circuit_breakers=_breakers(reader, head, now),
        components=sections.components(supervisor, monitor, restarts=restarts, given_up=given_up),
        failures=sections.failures(states["analyzer"]),
        checkpoints=sections.checkpoints(states["checkpointer"], now),
        steps=sections.steps(states["journal"], now, alive=owner.alive),
        actors=_actors(reader, supervisor, restarts),
        log={"path": path, "head": head, "size_bytes": reader.statistics().size_bytes},
    )
    return LogHealth(built, owner, last, silent_s, stale, tuple(fallen))


_PLAIN = ("analyzer", "checkpointer", "journal", "modes")


def seconds_since(moment: Instant, now: Instant) -> float:
    """Seconds from a moment until now, never negative; by the wall clock when the machine was rebooted since."""
    if moment.boot_id == now.boot_id:
        return max(0.0, now.monotonic_s - moment.monotonic_s)
    return max(0.0, now.wall_s - moment.wall_s)


def _state(reader: EventReader, name: str, head: int) -> Any:
    replayed = state_at(reader, name, head)
    spec = Folds().spec(name)
    assert spec is not None
    return replayed.state if replayed.folded else spec.initial


def _stale(monitor: MonitorState, supervisor: Any, owner: Owner, now: Instant) -> str:
    if not owner.alive:
        ended = {"clean": "stopped in order", "unclean": "stopped, not all in order"}.get(supervisor.stopped)
        if not supervisor.starts:
            return "no process is alive, and nothing in this log says how the last one ended"
        return f"no process is alive: it {ended}" if ended else "no process is alive, and it did not stop in order"
    if monitor.sampled_at_s is None:
        return ""
    silent_s = now.monotonic_s - monitor.sampled_at_s
    limit_s = max(STALE_INTERVALS * interval_s(monitor.config, monitor.mode), 2 * OVERDUE_AT_LEAST_S)
    return f"its process is alive, but no sample came for {silent_s:.0f} s" if silent_s > limit_s else ""


def _uptime_s(reader: EventReader, started: Record | None, last: Record | None, now: Instant, *, alive: bool) -> float:
    if last is None:
        return 0.0
    if started is None:  # a process so long-lived that the record of its start has gone: at least as long as the log
        started = next(reader.read(limit=1), last)
    return seconds_since(started.recorded_at, now if alive else last.recorded_at)


def _breakers(reader: EventReader, head: int, now: Instant) -> dict[str, dict[str, Any]]:
    found = {}
    for info in reader.streams(f"{BREAKER}/"):
        replayed = state_at(reader, info.name, head)
        if replayed.folded and replayed.version:
            found[info.name.removeprefix(f"{BREAKER}/")] = sections.breaker(replayed.state, now)
    return found


def _actors(reader: EventReader, supervisor: Any, restarts: Counter[str]) -> dict[str, dict[str, Any]]:
    return {
        name: {"status": child.status, "version": reader.version(name), "restarts": restarts[full]}
        for full, child in supervisor.children.items()
        if child.kind == ACTOR and child.status != ABSENT
        for name in [full.partition(":")[2]]
    }
