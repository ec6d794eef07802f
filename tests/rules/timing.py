"""Twenty minutes of a whole system on a clock that stands still between its timers, and all that it did when.

The wall clock may jump meanwhile. What is told of it holds no wall time, so that two lives can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
from msgspec import structs

from eventstore.records import Instant
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.monitor import HeartbeatCheck
from lrm_actors.actors.supervisor import ComponentRegistry
from lrm_actors.domain import analyzer, breaker, checkpointer, monitor, supervisor
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.children import RestartPolicy
from lrm_actors.errors import CircuitOpen
from lrm_actors.runtime.clock import ManualClock
from tests.machines.world import SERVICE, World

LABELS = frozenset(("wall_s", "taken_at_s"))
"""Fields that hold wall time, as they may: to be shown, and for deadlines across a reboot."""
CHECKPOINT_ID = re.compile(r"checkpoint_\d{13}_[0-9a-f]{8}")
"""Begins with the wall time, for whoever reads it."""

SERVED = "may be served"
"""In place of what happened, where that is a checkpoint that another one may have served as well."""
Line = tuple[float, str, str, str]
"""When on the monotonic clock, who, what, and its fields."""


class Clocked(World):
    """A world whose heartbeats and whose guard are the real ones, on the same clock."""

    def __init__(self, directory: Path, clock: ManualClock, guard_clock: Any = None) -> None:
        self.hanging = False
        self.guard = CircuitBreaker(
            "llm", tell=self._tell_breaker, clock=clock if guard_clock is None else guard_clock(clock)
        )
        self.lines: list[Line] = []
        super().__init__(directory, clock)

    def _tell_breaker(self, command: Command) -> None:
        self.system.tell(SERVICE, command)

    def _handlers(self) -> dict[Any, Callable[[Any], Command | None]]:
        self.registry = ComponentRegistry(self.clock)
        check = HeartbeatCheck(self.registry.observe, self.clock.monotonic)
        capture = self.hands._capture
        return {
            **super()._handlers(),
            monitor.CheckHeartbeats: check,
            checkpointer.CaptureState: lambda effect: None if self.hanging else capture(effect),
            breaker.PublishBreaker: lambda effect: self.guard.publish(effect.state),
        }

    def try_guard(self, *, works: bool) -> None:
        """A call of the service, and what became of it."""
        try:
            with self.guard:
                if not works:
                    raise OSError("down")
            told = "answered"
        except CircuitOpen as error:
            told = f"rejected for {error.retry_after_s:.3f} s"
        except OSError:
            told = "failed"
        self.lines.append((self.clock.monotonic(), "guard", self.guard.state, told))

    def go_on(self, seconds: float, jump: Callable[[], object]) -> None:
        """Let time go by, from one timer to the next; the wall clock may jump before each."""
        clock = self.clock
        assert isinstance(clock, ManualClock)
        end_s = clock.monotonic() + seconds
        while True:
            self.settle()
            jump()
            next_s = clock._schedule.next_due_s()
            if next_s is None or next_s > end_s:
                clock.advance(max(0.0, end_s - clock.monotonic()))
                self.settle()
                return
            clock.advance(max(0.0, next_s - clock.monotonic()))


def live(directory: Path, jump: Callable[[ManualClock], object], guard_clock: Any = None) -> list[Line]:
    """All that happened, and when."""
    clock = ManualClock()
    world = Clocked(directory, clock, guard_clock)

    def go_on(seconds: float) -> None:
        world.go_on(seconds, lambda: jump(clock))

    try:
        # Were a failure to count for longer, the mode would change at the moment of a restart, which is saved as well:
        # which comes first, threads decide, and with it when the next checkpoint is due.
        config = monitor.MonitorConfig(interval_s=30.0, heartbeat_check_s=13.0, failing_window_s=10.0)
        world.ask("monitor", monitor.Configure(config))
        world.ask("checkpointer", checkpointer.Configure(checkpointer.CheckpointerConfig(interval_s=120.0)))
        world.ask("supervisor", supervisor.Configure(RestartPolicy(intensity=3, period_s=200.0)))
        world.registry.register("browser", lambda: None, heartbeat_timeout_s=40.0)
        for _ in range(5):
            world.try_guard(works=False)
        go_on(100.0)
        world.try_guard(works=False)  # the open time is over: a probe, and it fails
        world.registry.heartbeat("browser")
        go_on(50.0)
        world.try_guard(works=True)  # twice the time, and it is not over
        go_on(80.0)
        world.try_guard(works=True)
        facts = analyzer.FailureFacts("llm", ("TimeoutError",), "slow")
        world.ask("analyzer", analyzer.RecordFailure(facts))
        go_on(200.0)
        world.ask("analyzer", analyzer.RecordFailure(facts))
        world.ask("checkpointer", checkpointer.Configure(checkpointer.CheckpointerConfig(interval_s=100.0)))
        world.hands.metrics = monitor.Metrics(cpu_percent=97.0, memory_percent=20.0)
        go_on(100.0)
        world.hands.metrics = monitor.Metrics(cpu_percent=7.0, memory_percent=20.0)
        go_on(250.0)
        world.hanging = True
        world.ask("checkpointer", checkpointer.TakeCheckpoint(checkpointer.MANUAL, "it will hang"))
        go_on(450.0)
        return sorted([*world.lines, *_told(world)])
    finally:
        world.close()


def _told(world: World) -> list[Line]:
    lines = []
    ids: dict[str, str] = {}
    for record in world.store.read():
        if record.stream == "tally":  # it tells of positions in the log, which say nothing of time
            continue
        at_s = record.recorded_at.monotonic_s
        for fact in record.events:
            fields = msgspec.json.encode(_without_labels(msgspec.to_builtins(fact)), order="sorted").decode()
            for found in CHECKPOINT_ID.findall(fields):
                fields = fields.replace(found, ids.setdefault(found, f"checkpoint of {at_s}"))
            lines.append((at_s, record.stream, SERVED if _may_be_served(fact) else record.type, fields))
    return lines


def different(one: list[Line], other: list[Line]) -> list[Line]:
    """What happened in one of two lives only, or at another time.

    But for checkpoints that one under way at that moment serves as well: whether one is, threads decide. Those are
    emergencies, and what is saved after a recovery; and a periodic one, at a moment when there is such a one in either.
    """
    beside = {at_s for at_s, _, what, _ in (*one, *other) if what == SERVED}

    def counts(line: Line) -> bool:
        at_s, stream, what, fields = line
        periodic = stream == checkpointer.NAME and at_s in beside and '"kind":"periodic"' in fields
        return what != SERVED and not periodic

    return sorted(set(filter(counts, one)) ^ set(filter(counts, other)))


def _may_be_served(fact: Any) -> bool:
    about = getattr(fact, "checkpoint", fact)
    return isinstance(fact, checkpointer.CheckpointRequested | checkpointer.CheckpointTaken) and (
        about.kind == checkpointer.EMERGENCY or about.reason.startswith("after ")
    )


def _without_labels(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_labels(one) for key, one in value.items() if key not in LABELS}
    return [_without_labels(one) for one in value] if isinstance(value, list) else value


@attrs.frozen
class ByTheWall:
    """Planted: a clock whose durations are the wall's."""

    clock: ManualClock

    def now(self) -> Instant:
        """The moment, told by one clock twice."""
        now = self.clock.now()
        return structs.replace(now, monotonic_s=now.wall_s)

    def monotonic(self) -> float:
        """Seconds on the wall clock."""
        return self.clock.now().wall_s
