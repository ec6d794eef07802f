"""The guard under many threads and tasks at once: exact permits, and how often a failing service is still reached."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import attrs
import pytest

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.generations import HalfOpen, Probe
from lrm_actors.domain.behavior import Command
from lrm_actors.errors import CircuitOpen
from lrm_actors.runtime.clock import ManualClock
from tests.actors.breaker_kit import CONFIG, Rig, ServiceError

THREADS, TASKS = 8, 50
PATIENCE_S = 20.0


def at_expiry(permits: int) -> Rig:
    """A rig whose breaker is open and whose open time is just over."""
    rig = Rig(attrs.evolve(CONFIG, half_open_permits=permits))
    rig.trip()
    rig.expire()
    return rig


def in_threads(work: Callable[[], None]) -> None:
    """Do this on many threads that begin at the same moment, and wait for all of them."""
    together = threading.Barrier(THREADS)

    def begin() -> None:
        together.wait(PATIENCE_S)
        work()

    threads = [threading.Thread(target=begin, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def admitted_threads(guard: CircuitBreaker) -> int:
    """How many of the threads that come at once are let through, while none that was has come back."""
    seen: SimpleQueue[str] = SimpleQueue()
    all_seen = threading.Event()

    def service() -> None:
        seen.put("admitted")
        assert all_seen.wait(PATIENCE_S)

    def work() -> None:
        try:
            guard.call_blocking(service)
        except CircuitOpen:
            seen.put("rejected")

    outcomes: list[str] = []

    def collect() -> None:
        outcomes.extend(seen.get(timeout=PATIENCE_S) for _ in range(THREADS))
        all_seen.set()

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    in_threads(work)
    collector.join(PATIENCE_S)
    assert len(outcomes) == THREADS
    return outcomes.count("admitted")


async def admitted_tasks(guard: CircuitBreaker) -> int:
    """How many of the tasks that come at once are let through, while none that was has come back."""
    admitted = 0
    go = asyncio.Event()

    async def service() -> None:
        nonlocal admitted
        admitted += 1
        await go.wait()

    tasks = [asyncio.create_task(guard.call(service)) for _ in range(TASKS)]
    for _ in range(3):
        await asyncio.sleep(0)
    go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert TASKS - admitted == sum(isinstance(result, CircuitOpen) for result in results)
    return admitted


def let_everybody_in(self: HalfOpen, now_s: float) -> Probe:
    """Planted: a half-open guard that counts no permits."""
    return Probe(self)


@pytest.mark.parametrize("permits", [1, 3])
def test_half_open_herd_of_threads(permits: int, release: bool) -> None:
    """When the open time is over and many threads come at once, exactly as many probe as there are permits."""
    for _ in range(1000 if release else 40):
        assert permits == admitted_threads(at_expiry(permits).guard)


@pytest.mark.parametrize("permits", [1, 3])
def test_half_open_herd_of_tasks(permits: int) -> None:
    """When the open time is over and many tasks come at once, exactly as many probe as there are permits."""
    assert permits == asyncio.run(admitted_tasks(at_expiry(permits).guard))


def test_a_herd_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both checkers see a half-open guard that lets everybody in."""
    monkeypatch.setattr(HalfOpen, "take", let_everybody_in)
    assert THREADS == admitted_threads(at_expiry(1).guard)
    assert TASKS == asyncio.run(admitted_tasks(at_expiry(1).guard))


def test_two_loops_share_the_permits() -> None:
    """Loops in different threads probe one service with one permit between them."""
    rig = at_expiry(1)
    counts: SimpleQueue[int] = SimpleQueue()
    together = threading.Barrier(THREADS)

    async def probe() -> int:
        admitted = 0

        async def service() -> None:
            nonlocal admitted
            admitted += 1
            # Nobody leaves before everybody has come.
            await asyncio.to_thread(together.wait, PATIENCE_S)

        try:
            await rig.guard.call(service)
        except CircuitOpen:
            await asyncio.to_thread(together.wait, PATIENCE_S)
        return admitted

    in_threads(lambda: counts.put(asyncio.run(probe())))
    assert 1 == sum(counts.get(timeout=PATIENCE_S) for _ in range(THREADS))


def reached(guard: CircuitBreaker) -> int:
    """How often a service that fails at once is reached by threads that call it until they are rejected."""
    calls: SimpleQueue[None] = SimpleQueue()

    def service() -> None:
        calls.put(None)
        raise ServiceError

    def work() -> None:
        for _ in range(300):
            try:
                guard.call_blocking(service)
            except ServiceError:
                continue
            except CircuitOpen:
                return

    in_threads(work)
    return calls.qsize()


class BlockedActor:
    """An actor that takes a report and does not answer before it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.reports: list[Command] = []

    def tell(self, command: Command) -> None:
        """Block the telling thread."""
        self.reports.append(command)
        assert self.go.wait(PATIENCE_S)


def guard_of(actor: BlockedActor) -> CircuitBreaker:
    """A guard whose reports go nowhere for now."""
    return CircuitBreaker("llm", CONFIG, tell=actor.tell, clock=ManualClock())


def test_overshoot_is_what_was_in_flight() -> None:
    """With an actor that is blocked, a failing service is reached at most once more by each other thread."""
    actor = BlockedActor()
    guard = guard_of(actor)
    count: list[int] = []
    work = threading.Thread(target=lambda: count.append(reached(guard)), daemon=True)
    work.start()
    _until(lambda: guard.statistics().rejected >= THREADS - 1)
    actor.go.set()
    work.join(PATIENCE_S)
    assert CONFIG.failure_threshold <= count[0] <= CONFIG.failure_threshold + THREADS - 1
    assert 1 == len(actor.reports)


def test_a_trip_left_to_the_actor_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker sees a guard that reports its trip and goes on calling until the actor has decided."""

    def only_tell(self: CircuitBreaker, *_: Any) -> None:
        """Planted: the actor is told, and nothing else."""

    monkeypatch.setattr(CircuitBreaker, "_trip", only_tell)
    actor = BlockedActor()
    actor.go.set()
    assert reached(guard_of(actor)) > CONFIG.failure_threshold + THREADS - 1


def test_no_failure_is_lost_between_threads() -> None:
    """Threads that fail for the first time at the same moment count into one row: the last of it opens the guard."""
    for _ in range(100):
        guard = CircuitBreaker(
            "llm", attrs.evolve(CONFIG, failure_threshold=THREADS), tell=lambda _: None, clock=ManualClock()
        )

        def work(guard: CircuitBreaker = guard) -> None:
            with pytest.raises(ServiceError), guard:
                raise ServiceError

        in_threads(work)
        assert "open" == guard.state


def test_a_failure_that_comes_while_the_guard_trips_disturbs_nobody() -> None:
    """Wherever a collection lets another thread fail too, the one that trips the guard gets its own error."""
    for policy in ("consecutive", "count", "time"):
        rig = Rig(attrs.evolve(CONFIG, failure_threshold=2, policy=policy, minimum_calls=2))
        with pytest.raises(ServiceError), rig.guard:
            raise ServiceError
        generation: Any = rig.guard._current

        def fail_too(phase: str, _: object, generation: Any = generation) -> None:
            if phase == "start":
                generation.failures.append("another thread's")

        with _collecting_all_the_time(fail_too), pytest.raises(ServiceError), rig.guard:
            raise ServiceError
        assert "open" == rig.guard.state


def test_reports_are_told_by_one_thread_at_a_time() -> None:
    """However many threads report, the actor is never told two things at once, and misses none."""
    rig = at_expiry(THREADS)
    inside = threading.Lock()
    told: list[Command] = []

    def tell(command: Command) -> None:
        assert inside.acquire(blocking=False)
        told.append(command)
        inside.release()

    guard = CircuitBreaker("llm", CONFIG, tell=tell, clock=rig.clock)
    guard.publish(attrs.evolve(rig.actor, revision=rig.actor.revision + 1))
    in_threads(lambda: guard.call_blocking(lambda: None))
    _until(lambda: guard.statistics().undelivered == 0)
    assert 1 + THREADS == len(told)


@contextmanager
def _collecting_all_the_time(look: Callable[[str, Any], None]) -> Iterator[None]:
    """Have the collector run, and this with it, at whatever object is made."""
    often = gc.get_threshold()
    gc.callbacks.append(look)
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*often)
        gc.callbacks.remove(look)


def _until(condition: Callable[[], bool]) -> None:
    """Let the other threads run until something has happened."""
    watch = threading.Event()
    for _ in range(int(PATIENCE_S * 1000)):
        if condition():
            return
        watch.wait(0.001)
    pytest.fail("it did not happen")
