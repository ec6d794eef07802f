"""What must be true of the guard, with counts: exact permits, nobody waits, nothing leaks, few calls after the trip."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import psutil
import pytest

from eventstore.memory import MemoryStore
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.generations import HalfOpen, Open, Probe
from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import Command, Context, Decision
from lrm_actors.domain.breaker import BreakerConfig, BreakerState, PublishBreaker
from lrm_actors.domain.deadlines import deadline
from lrm_actors.errors import CircuitOpen
from lrm_actors.runtime.clock import ManualClock, SystemClock
from lrm_actors.runtime.system import ActorSystem
from tests.actors.breaker_crowds import PATIENCE_S, TASKS, THREADS, ThreadCrowd, admitted_of_two_loops, admitted_tasks
from tests.actors.breaker_kit import CONFIG, Rig, ServiceError

PERMITS = (1, 3)


def at_expiry(permits: int, policy: str = "consecutive") -> Rig:
    """A rig whose breaker is open and whose open time is just over."""
    rig = Rig(attrs.evolve(CONFIG, half_open_permits=permits, policy=policy, minimum_calls=3))
    rig.trip()
    rig.expire()
    return rig


# --- exact permits ------------------------------------------------------------------------------------------------


def herds(trials: int) -> dict[str, Counter[int]]:
    """Of each kind of crowd, by how many more than there were permits were admitted how often."""
    kinds = [(permits, policy) for permits in PERMITS for policy in ("consecutive", "count", "time")]
    plan = [kinds[number % len(kinds)] for number in range(trials)]
    crowd = ThreadCrowd()
    try:
        of_threads = [crowd.admitted(at_expiry(*kind).guard) for kind in plan]
    finally:
        crowd.close()
    of_tasks = admitted_tasks([at_expiry(*kind).guard for kind in plan])
    of_loops = admitted_of_two_loops([at_expiry(*kind).guard for kind in plan])
    found = {f"{THREADS} threads": of_threads, f"{TASKS} tasks": of_tasks, "2 loops": of_loops}
    return {
        name: Counter(count - permits for count, (permits, _) in zip(counts, plan, strict=True))
        for name, counts in found.items()
    }


def test_half_open_admits_exactly_the_permits(release: bool) -> None:
    """Whoever comes at once when the open time is over, and however many: as many as there are permits."""
    trials = 1000 if release else 60
    found = herds(trials)
    print({name: f"{counts[0]} of {trials} exact" for name, counts in found.items()})
    assert {name: Counter({0: trials}) for name in found} == found


def lets_everybody_in(self: HalfOpen, now_s: float) -> Probe:
    """Planted: no permits are counted."""
    return Probe(self, now_s)


def test_planted_permits_that_nobody_counts_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the crowds sees a half-open guard that lets everybody in."""
    monkeypatch.setattr(HalfOpen, "take", lets_everybody_in)
    assert all(counts[0] == 0 for counts in herds(6).values())


# --- what says nothing --------------------------------------------------------------------------------------------


def cancelled(rig: Rig) -> None:
    """A probe whose task is cancelled."""

    async def main() -> None:
        task = asyncio.create_task(rig.guard(asyncio.Event().wait)())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def interrupted(rig: Rig) -> None:
    """A probe that is interrupted."""
    with pytest.raises(KeyboardInterrupt), rig.guard.block():
        raise KeyboardInterrupt


def ignored(rig: Rig) -> None:
    """A probe whose error is the caller's own fault."""
    with pytest.raises(LookupError), rig.guard:
        raise LookupError


def stale(rig: Rig) -> None:
    """Results of calls that began in an earlier generation, of either kind."""
    for ticket in rig.tickets:
        rig.guard.came_back(ticket, None)
        rig.guard.came_back(ticket, ServiceError())


def hung(rig: Rig) -> None:
    """A probe that comes back after its lease only, with either result."""
    ticket = rig.guard.admit()
    rig.clock.advance(CONFIG.probe_lease_s)
    late.append((rig, ticket))


late: list[tuple[Rig, Any]] = []


def left_early(rig: Rig) -> None:
    """A stream that its reader leaves."""

    @rig.guard
    def lines() -> Any:
        yield 1
        yield 2

    stream = lines()
    next(stream)
    stream.close()


NEUTRAL = (cancelled, interrupted, ignored, stale, hung, left_early)


def neutral_probes(trials: int) -> Counter[str]:
    """What became of guards whose probes said nothing, by how."""
    found: Counter[str] = Counter()
    for number in range(trials):
        permits = 1 + number % 3
        rig = Rig(attrs.evolve(CONFIG, half_open_permits=permits), ignore=LookupError)
        rig.tickets = [rig.guard.admit(), rig.guard.admit()]
        rig.trip()
        rig.expire()
        neutral = NEUTRAL[number % len(NEUTRAL)]
        probe = rig.guard.admit() if neutral is stale else None
        for _ in range(permits + 1):
            neutral(rig)
        if probe is not None:
            rig.guard.came_back(probe, KeyboardInterrupt())
        for _, ticket in late:
            rig.guard.came_back(ticket, None)
        late.clear()
        assert "half_open" == rig.guard.state == rig.actor.status, f"{neutral.__name__} ended it"
        held = [rig.guard.admit() for _ in range(permits)]
        rig.rejected()
        rig.guard.came_back(held[0], None)
        assert "closed" == rig.guard.state
        found[neutral.__name__] += 1
    return found


def test_what_says_nothing_neither_closes_nor_opens_nor_leaks(release: bool) -> None:
    """Cancelled, interrupted, ignored, stale, hung probes, streams left early: half open as before, permits whole."""
    trials = 1000 if release else 120
    found = neutral_probes(trials)
    print(dict(found))
    assert trials == found.total()


def keeps_permits(self: HalfOpen, probe: Probe, **_: float) -> bool:
    """Planted: the permit is not given back."""
    return True


def cancelled_is_failure(self: CircuitBreaker, ticket: Any, error: Any, *more: Any, **others: Any) -> None:
    """Planted: a cancellation is a failure."""
    genuine(self, ticket, ServiceError() if isinstance(error, asyncio.CancelledError) else error, *more, **others)


genuine = CircuitBreaker.came_back


@pytest.mark.parametrize(
    ("of", "name", "planted"),
    [(HalfOpen, "give_back", keeps_permits), (CircuitBreaker, "came_back", cancelled_is_failure)],
)
def test_planted_probes_that_say_something_are_caught(
    monkeypatch: pytest.MonkeyPatch, of: type, name: str, planted: Any
) -> None:
    """A permit that leaks, a cancellation that opens."""
    monkeypatch.setattr(of, name, planted)
    with pytest.raises((AssertionError, CircuitOpen)):
        neutral_probes(len(NEUTRAL) * 3)
    late.clear()


# --- clocks -------------------------------------------------------------------------------------------------------


def course(jump_s: float, make: Callable[..., CircuitBreaker] = CircuitBreaker) -> list[Any]:
    """A breaker's whole course, with the wall clock jumping before each step; what was seen of it."""
    rig = Rig(attrs.evolve(CONFIG, policy="time", minimum_calls=3, window_s=60.0, slow_after_s=5.0))
    rig.guard = make("llm", rig.actor.config, tell=rig.tell, clock=rig.clock)
    rig.revive()
    seen: list[Any] = []

    def step(action: Callable[[], object]) -> None:
        rig.clock.jump_wall(jump_s)
        action()
        seen.append((rig.guard.state, round(rig.guard.retry_after_s, 6), rig.guard.statistics().rejected))

    step(rig.fail)
    step(lambda: rig.clock.advance(59.0))
    for action in (rig.fail, rig.fail, rig.rejected, lambda: rig.clock.advance(9.0), rig.rejected, rig.revive):
        step(action)
    step(lambda: rig.clock.advance(1.0))
    for action in (rig.fail, rig.expire, rig.succeed):
        step(action)
    step(lambda: rig.guard.force("disabled", "by hand", for_s=50.0))
    step(lambda: rig.clock.advance(49.0))
    step(rig.fail)
    step(lambda: rig.clock.advance(1.0))
    step(rig.fail)
    return seen


def test_the_wall_clock_changes_nothing() -> None:
    """An hour forward or back before every step of a course through every state: the same course."""
    assert course(0.0) == course(3600.0) == course(-3600.0)
    assert {"closed", "open", "half_open", "disabled"} == {state for state, _, _ in course(0.0)} | {"half_open"}


class WallBreaker(CircuitBreaker):
    """Planted: a guard that reads the wall clock."""

    def __init__(self, *args: Any, clock: Any, **more: Any) -> None:
        super().__init__(*args, clock=clock, **more)
        self.now = lambda: clock.now().wall_s


def test_planted_a_guard_by_the_wall_clock_is_caught() -> None:
    """Its course is another one."""
    try:
        found = course(3600.0, WallBreaker)
    except (AssertionError, pytest.fail.Exception):
        return
    assert course(0.0) != found


# --- nobody waits, nothing grows ----------------------------------------------------------------------------------


def together(guard: CircuitBreaker, patience_s: float) -> bool:
    """Whether as many threads as there are can be inside guarded calls at the same time."""
    inside = threading.Barrier(THREADS)
    broken: list[bool] = []

    def service() -> None:
        inside.wait(patience_s)

    def work(guarded: Callable[[], None]) -> None:
        try:
            guarded()
        except threading.BrokenBarrierError:
            broken.append(True)

    ways = [guard(service), lambda: guard.call_blocking(service), guard.using(bad_result=bool)(service)]
    threads = [threading.Thread(target=work, args=(ways[n % len(ways)],), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    return not broken


@pytest.mark.parametrize("policy", ["consecutive", "count", "time"])
def test_threads_are_inside_all_at_once(policy: str) -> None:
    """None waits for another: all of them meet inside the guarded call."""
    config = BreakerConfig(policy=policy)
    assert together(CircuitBreaker("llm", config, tell=lambda _: None, clock=SystemClock()), PATIENCE_S)


class OneAtATime(CircuitBreaker):
    """Planted: a guard that holds a lock during the call."""

    def __call__(self, function: Any) -> Any:
        lock = vars(self).setdefault("serial", threading.RLock())

        def called() -> None:
            with lock:
                function()

        return called

    def call_blocking(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self(function)()


def test_planted_a_lock_around_the_call_is_caught() -> None:
    """They do not meet."""
    assert not together(OneAtATime("llm", tell=lambda _: None, clock=SystemClock()), 0.2)


GROWTH_BYTES = 4 * 2**20


def growth(guard: CircuitBreaker, rejections: int) -> int:
    """Bytes by which the process grows over so many rejections, after some that do not count.

    As the system sees it, or by the interpreter's blocks of some 64 bytes: what grows may fit into what was freed.
    """
    guarded = guard(lambda: None)

    def reject(times: int) -> None:
        for _ in range(times):
            try:
                guarded()  # type: ignore[no-untyped-call]
            except CircuitOpen:
                continue
            pytest.fail("it was let through")

    process = psutil.Process()
    reject(2_000)
    gc.collect()
    before, blocks = process.memory_info().rss, sys.getallocatedblocks()
    reject(rejections)
    gc.collect()
    return max(int(process.memory_info().rss - before), 64 * (sys.getallocatedblocks() - blocks))


def opened(make: Callable[..., CircuitBreaker] = CircuitBreaker) -> CircuitBreaker:
    """A guard that is open for long."""
    guard = make("llm", attrs.evolve(CONFIG, failure_threshold=1), tell=lambda _: None, clock=ManualClock())
    with pytest.raises(ServiceError), guard:
        raise ServiceError
    return guard


def test_rejections_cost_no_memory(release: bool) -> None:
    """Resident memory is flat over a million of them."""
    count = 1_000_000 if release else 50_000
    grown = growth(opened(), count)
    print(f"{count} rejections, {grown} bytes")
    assert grown < GROWTH_BYTES


class Repeating(CircuitBreaker):
    """Planted: a guard that raises one and the same exception, which collects tracebacks."""

    def _admit_slowly(self) -> Any:
        if isinstance(self._current, Open):
            raise vars(self).setdefault("stored", CircuitOpen("llm", 1.0))
        return super()._admit_slowly()


def test_planted_a_stored_rejection_is_caught() -> None:
    """It grows with each time that it is raised."""
    assert growth(opened(Repeating), 20_000) > GROWTH_BYTES / 2


# --- overshoot ----------------------------------------------------------------------------------------------------

FIVE = BreakerConfig(failure_threshold=5)
MOST = 12


def reached(guard: CircuitBreaker, limit: int = 500) -> int:
    """How often threads that call until they are rejected reach a service that fails at once."""
    counts: list[int] = []
    start = threading.Barrier(THREADS)

    def service() -> None:
        raise ServiceError

    def work() -> None:
        guarded, count = guard(service), 0
        start.wait(PATIENCE_S)
        for _ in range(limit):
            try:
                guarded()
            except ServiceError:
                count += 1
            except CircuitOpen:
                break
        counts.append(count)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert THREADS == len(counts)
    return sum(counts)


def with_blocked_actor(make: Callable[..., CircuitBreaker]) -> tuple[int, str]:
    """The same with the breaker's actor stuck in its hand until the threads are done; and its status after that."""
    go = threading.Event()
    spec = breaker.spec("llm", FIVE)

    def blocked(state: BreakerState, command: Command, ctx: Context) -> Decision:
        assert go.wait(PATIENCE_S)
        return spec.decide(state, command, ctx)

    guards: list[CircuitBreaker] = []

    def publish(effect: PublishBreaker) -> None:
        for guard in guards:
            guard.publish(effect.state)

    system = ActorSystem(MemoryStore(), [attrs.evolve(spec, decide=blocked)], handlers={PublishBreaker: publish})
    system.start()
    try:
        # It has a command in hand before the first call.
        system.tell("breaker/llm", breaker.ReportProbe(0, ok=True))
        guard = make("llm", FIVE, tell=lambda command: system.tell("breaker/llm", command), clock=SystemClock())
        guards.append(guard)
        count = reached(guard)
        go.set()
        system.ask_blocking("breaker/llm", breaker.Configure(FIVE), timeout_s=PATIENCE_S)
        return count, system.state("breaker/llm").status
    finally:
        go.set()
        system.stop()


def test_few_calls_get_through_after_the_trip(release: bool) -> None:
    """Threshold 5, eight threads, a service that fails at once: at most twelve, its actor blocked or not."""
    trials, blocked = (300, 50) if release else (30, 3)
    free = [reached(CircuitBreaker("llm", FIVE, tell=lambda _: None, clock=SystemClock())) for _ in range(trials)]
    stuck = [with_blocked_actor(CircuitBreaker) for _ in range(blocked)]
    print(f"{trials} trials, at most {max(free)}; {blocked} with a blocked actor, at most {max(n for n, _ in stuck)}")
    assert all(FIVE.failure_threshold <= count <= MOST for count in [*free, *(count for count, _ in stuck)])
    assert {"open"} == {status for _, status in stuck}


class Waiting(CircuitBreaker):
    """Planted: a guard that leaves the trip to its actor."""

    def _trip(self, closed: Any, failures: Any, *more: Any) -> None:
        until = deadline(self._clock.now(), 60.0)
        self._outbox.send(breaker.ReportTrip(closed.number + 1, failures, until))


def test_planted_a_trip_left_to_the_actor_is_caught() -> None:
    """Every call goes through until the actor answers."""
    count, _ = with_blocked_actor(Waiting)
    assert count > MOST
