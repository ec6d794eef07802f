"""A restart of the process keeps the breaker: what it is, for how long, and how long the next time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventstore.opening import open_store
from eventstore.records import Instant
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.domain import breaker
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, PublishBreaker
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.errors import CircuitOpen
from lrm_actors.runtime.clock import SystemClock
from lrm_actors.runtime.system import ActorSystem
from tests.actors.breaker_kit import ServiceError
from tests.runtime.support import eventually

CONFIG = BreakerConfig(failure_threshold=2, recovery_timeout_s=300.0, recovery_timeout_max_s=5000.0)
WITHIN_S = 0.010


class ShiftedClock(SystemClock):
    """The machine's clock, some seconds ahead, so that nobody has to wait."""

    ahead_s = 0.0

    def now(self) -> Instant:
        """This moment, shifted."""
        now = super().now()
        return Instant(now.wall_s + self.ahead_s, now.monotonic_s + self.ahead_s, now.boot_id)

    def monotonic(self) -> float:
        """Seconds, shifted."""
        return super().monotonic() + self.ahead_s


@contextmanager
def life(directory: Path, clock: ShiftedClock) -> Iterator[CircuitBreaker]:
    """One life of a process over the log in a directory: its guard, once it has heard from its actor."""
    heard: list[BreakerState] = []

    def publish(effect: PublishBreaker) -> None:
        guard.publish(effect.state)
        heard.append(effect.state)

    with open_store(directory / "lrm.db") as store:
        spec = breaker.spec("llm", CONFIG)
        system = ActorSystem(store, [spec], handlers={PublishBreaker: publish}, clock=clock)
        guard = CircuitBreaker("llm", CONFIG, tell=lambda command: system.tell("breaker/llm", command), clock=clock)
        system.start()
        try:
            eventually(lambda: bool(heard))
            yield guard
            eventually(lambda: system.state("breaker/llm").generation == guard.generation)
        finally:
            system.stop()


def fail(guard: CircuitBreaker, times: int = 1) -> None:
    """Calls that fail."""
    for _ in range(times):
        with pytest.raises(ServiceError), guard.block():
            raise ServiceError


def lost_s(directory: Path) -> list[float]:
    """Seconds by which the open time differs after each of several restarts, in mid-open, from what it was to be."""
    clock = ShiftedClock()
    found = []
    with life(directory, clock) as guard:
        fail(guard, 2)
        until_s = clock.monotonic() + guard.retry_after_s
    for ahead_s in (0.0, 100.0, 299.0):
        clock = ShiftedClock()
        clock.ahead_s = ahead_s
        with life(directory, clock) as guard:
            assert "open" == guard.state
            found.append(abs(clock.monotonic() + guard.retry_after_s - until_s))
    return found


def test_a_restart_in_mid_open_keeps_the_remaining_time(tmp_path: Path) -> None:
    """Within ten milliseconds, however often and whenever it is restarted."""
    found = lost_s(tmp_path)
    print(f"at most {max(found) * 1000:.3f} ms")
    assert max(found) <= WITHIN_S


def test_planted_an_open_time_that_begins_anew_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A breaker that is open for the whole time after each restart."""
    monkeypatch.setattr(Deadline, "remaining_s", lambda self, now: self.delay_s)
    assert max(lost_s(tmp_path)) > WITHIN_S


def test_a_restart_keeps_the_backoff(tmp_path: Path) -> None:
    """Each failed probe doubles the open time, in whichever life of the process it fails; a closing ends the row."""
    found: list[float] = []
    clock = ShiftedClock()
    with life(tmp_path, clock) as guard:
        fail(guard, 2)
    for _ in range(4):
        clock = ShiftedClock()
        clock.ahead_s = sum(found) + 301.0 + len(found)
        with life(tmp_path, clock) as guard:
            fail(guard)
            eventually(lambda one=guard: one.state == "open")  # type: ignore[misc]
            found.append(round(guard.retry_after_s, 1))
    assert [600.0, 1200.0, 2400.0, 4800.0] == pytest.approx(found, abs=2.0)


def test_a_hold_outlives_the_process(tmp_path: Path) -> None:
    """What an operator held it in, and until when."""
    clock = ShiftedClock()
    with life(tmp_path, clock) as guard:
        guard.force("metrics_only", "to see first", for_s=500.0)
        eventually(lambda: guard.state == "metrics_only")
    clock = ShiftedClock()
    with life(tmp_path, clock) as guard:
        assert "metrics_only" == guard.state
        fail(guard, 10)
    clock = ShiftedClock()
    clock.ahead_s = 501.0
    with life(tmp_path, clock) as guard:
        eventually(lambda: guard.state == "closed")


def test_a_restarting_actor_leaves_the_guard_working(tmp_path: Path) -> None:
    """The guard trips and rejects while its actor is being restarted, and what it reports is not lost."""
    with open_store(tmp_path / "lrm.db") as store:
        system = ActorSystem(store, [breaker.spec("llm", CONFIG)], handlers={PublishBreaker: lambda _: None})
        guard = CircuitBreaker("llm", CONFIG, tell=lambda one: system.tell("breaker/llm", one), clock=SystemClock())
        system.start()
        try:
            for _ in range(CONFIG.failure_threshold):
                system.restart_actor("breaker/llm")
                fail(guard)
            system.restart_actor("breaker/llm")
            with pytest.raises(CircuitOpen), guard:
                pytest.fail("it was let through")
            eventually(lambda: system.state("breaker/llm").status == "open")
        finally:
            system.stop()
