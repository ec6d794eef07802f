"""The guard, one behaviour after the other; most of them are what some other breaker gets wrong."""

from __future__ import annotations

import asyncio
import gc
import traceback
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any

import attrs
import pytest

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.outbox import Outbox
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.breaker import (
    BreakerConfig,
    Configure,
    ForceState,
    Opened,
    ReportProbe,
    ReportProbeStarted,
    ReportTrip,
)
from lrm_actors.errors import CircuitOpen
from lrm_actors.runtime.clock import ManualClock
from tests.actors.breaker_kit import CONFIG, ReadTimeout, Rig, ServiceError, raising


class TestTripping:
    """From closed to open."""

    def test_opens_after_failures_in_a_row(self) -> None:
        """The last failure of the row opens it at once, and the actor hears what the failures were."""
        rig = Rig()
        rig.fail(ReadTimeout)
        rig.fail(ReadTimeout)
        assert ("closed", 2) == (rig.guard.state, rig.guard.failure_count)
        rig.fail(ReadTimeout)
        assert ("open", 3, 1, 10.0) == (
            rig.guard.state,
            rig.guard.failure_count,
            rig.guard.generation,
            rig.guard.retry_after_s,
        )
        assert "3 timeouts in a row" == next(fact.reason for fact in rig.log if isinstance(fact, Opened))

    def test_a_success_ends_the_row(self) -> None:
        """Failures count only in a row: a success between them begins it anew."""
        rig = Rig()
        for _ in range(5):
            rig.fail()
            rig.fail()
            rig.succeed()
        assert ("closed", 0) == (rig.guard.state, rig.guard.failure_count)

    def test_the_tripping_caller_gets_its_own_error(self) -> None:
        """The call that opens it raises the service's error, the very object, and no rejection instead."""
        rig = Rig()
        rig.fail()
        rig.fail()
        error = ServiceError("mine")

        def service() -> None:
            raise error

        with pytest.raises(ServiceError) as raised:
            rig.guard.call_blocking(service)
        assert error is raised.value
        assert "open" == rig.guard.state

    def test_each_rejection_is_an_error_of_its_own(self) -> None:
        """Rejections are new objects whose tracebacks do not grow, say how long to wait, and name the service."""
        rig = Rig()
        rig.trip()
        rig.clock.advance(4.0)
        errors = [rig.rejected() for _ in range(20)]
        assert 20 == len({id(error) for error in errors})
        assert 1 == len({len(traceback.extract_tb(error.__traceback__)) for error in errors})
        assert [("llm", 6.0)] * 20 == [(error.service, error.retry_after_s) for error in errors]
        assert "LRM-3001" == errors[0].code
        assert 20 == rig.guard.statistics().rejected

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
    def test_cancellation_is_neutral_while_closed(self, error: type[BaseException]) -> None:
        """What is no error of the service neither counts as a failure nor ends a row of them."""
        rig = Rig()
        rig.fail()
        rig.fail()
        for _ in range(5):
            with pytest.raises(error):
                rig.guard.call_blocking(raising(error))
        assert ("closed", 2) == (rig.guard.state, rig.guard.failure_count)

    def test_ignored_errors_are_neutral(self) -> None:
        """An error that is the caller's fault does not count, and one whose class has a metaclass is no exception."""

        class Meta(type):
            """A metaclass, which another breaker takes for a predicate."""

        class BadRequest(ValueError, metaclass=Meta):
            """The caller asked for nonsense."""

        rig = Rig(ignore=(BadRequest,))
        rig.fail()
        rig.fail()
        rig.fail(BadRequest)
        assert ("closed", 2) == (rig.guard.state, rig.guard.failure_count)
        rig.fail()
        assert "open" == rig.guard.state

    def test_a_rejection_by_another_guard_is_neutral(self) -> None:
        """That a service further in is failing says nothing about this one."""
        inner, outer = Rig(), Rig()
        inner.trip()
        for _ in range(5):
            with pytest.raises(CircuitOpen):
                outer.guard.call_blocking(inner.guard.call_blocking, raising(ServiceError))
        assert ("closed", 0) == (outer.guard.state, outer.guard.failure_count)

    def test_the_closed_path_takes_no_lock(self) -> None:
        """A sound service is called without a lock and without a look at the clock, whichever way it is called."""

        class Forbidden:
            """A lock or a clock that nobody may touch."""

            def __enter__(self) -> None:
                pytest.fail("a lock was taken")

            def __exit__(self, *_: object) -> None:
                pytest.fail("a lock was taken")

            def monotonic(self) -> float:
                pytest.fail("the clock was read")

            now = monotonic

        rig = Rig()
        vars(rig.guard).update(_lock=Forbidden(), _clock=Forbidden())
        rig.succeed()
        assert 1 == rig.guard(lambda: 1)()
        with rig.guard:
            pass


class TestProbing:
    """From open to half open and on."""

    def test_a_good_probe_closes(self) -> None:
        """After the open time one call goes through; its success closes the breaker."""
        rig = Rig()
        rig.trip()
        rig.expire()
        rig.succeed()
        assert ("closed", 3) == (rig.guard.state, rig.guard.generation)
        assert [ReportTrip, ReportProbeStarted, ReportProbe] == [type(command) for command in rig.sent]

    def test_a_failed_probe_opens_for_longer(self) -> None:
        """A failed probe opens it again for twice as long."""
        rig = Rig()
        rig.trip()
        rig.expire()
        rig.fail()
        assert ("open", 20.0) == (rig.guard.state, rig.guard.retry_after_s)
        rig.clock.advance(19.9)
        rig.rejected()

    def test_a_hung_probe_loses_its_permit_to_its_lease(self) -> None:
        """A probe that never comes back blocks the next one for its lease only; what it says later is stale."""
        rig = Rig()
        rig.trip()
        rig.expire()
        hung = rig.guard.admit()
        rig.clock.advance(29.9)
        assert 0.0 < rig.rejected().retry_after_s <= 1.0
        rig.clock.advance(0.2)
        second = rig.guard.admit()
        rig.guard.came_back(hung, None)
        assert ("half_open", 1) == (rig.guard.state, rig.guard.statistics().stale)
        rig.rejected()
        rig.guard.came_back(second, None)
        assert "closed" == rig.guard.state

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_an_interrupted_probe_gives_its_permit_back(self, error: type[BaseException]) -> None:
        """An interrupted probe says nothing about the service, and the next call may probe."""
        rig = Rig()
        rig.trip()
        rig.expire()
        with pytest.raises(error):
            rig.guard.call_blocking(raising(error))
        assert "half_open" == rig.guard.state
        rig.succeed()
        assert "closed" == rig.guard.state

    @pytest.mark.parametrize("way", ["call", "decorator", "block"])
    def test_a_cancelled_probe_gives_its_permit_back(self, way: str) -> None:
        """A probe whose task is cancelled neither closes nor opens, and leaves its permit to the next call."""
        rig = Rig()
        rig.trip()
        rig.expire()

        async def hang() -> None:
            await asyncio.Event().wait()

        async def through() -> None:
            if way == "call":
                await rig.guard.call(hang)
            elif way == "decorator":
                await rig.guard(hang)()
            else:
                async with rig.guard:
                    await hang()

        async def main() -> None:
            task = asyncio.create_task(through())
            await asyncio.sleep(0)
            rig.rejected()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert "half_open" == rig.guard.state
            assert "answer" == await rig.guard.call(lambda: "answer")

        asyncio.run(main())
        assert "closed" == rig.guard.state

    def test_a_stale_success_cannot_close(self) -> None:
        """A call that began before the breaker opened and succeeds late does not close it."""
        rig = Rig()
        slow = rig.guard.admit()
        rig.trip()
        rig.guard.came_back(slow, None)
        assert ("open", 1) == (rig.guard.state, rig.guard.statistics().stale)
        rig.expire()
        first = rig.guard.admit()
        rig.guard.came_back(slow, None)
        assert "half_open" == rig.guard.state
        rig.guard.came_back(first, None)
        assert "closed" == rig.guard.state

    def test_a_stale_failure_cannot_extend(self) -> None:
        """A call that began before the breaker opened and fails late does not keep it open for longer."""
        rig = Rig()
        slow = [rig.guard.admit() for _ in range(5)]
        rig.trip()
        rig.clock.advance(9.0)
        for ticket in slow:
            rig.guard.came_back(ticket, ServiceError())
        assert (1.0, 5) == (rig.guard.retry_after_s, rig.guard.statistics().stale)
        assert 1 == rig.actor.openings

    def test_a_stale_probe_touches_no_later_generation(self) -> None:
        """A probe of a half-open state that is over neither closes, nor opens, nor frees a permit of the next one."""
        rig = Rig(attrs.evolve(CONFIG, half_open_permits=2))
        rig.trip()
        rig.expire()
        slow, bad = rig.guard.admit(), rig.guard.admit()
        rig.guard.came_back(bad, ServiceError())
        rig.expire()
        held = [rig.guard.admit(), rig.guard.admit()]
        rig.guard.came_back(slow, None)
        assert ("half_open", 4) == (rig.guard.state, rig.guard.generation)
        rig.rejected()
        assert 2 == len(held)

    @pytest.mark.parametrize("jump", [-3600.0, 3600.0])
    def test_a_wall_clock_jump_is_harmless(self, jump: float) -> None:
        """An hour's step of the wall clock changes neither the open time nor that of a guard restored from the log."""
        rig = Rig()
        rig.trip()
        rig.clock.advance(4.0)
        rig.clock.jump_wall(jump)
        restored = CircuitBreaker("llm", tell=rig.tell, clock=rig.clock)
        restored.publish(rig.actor)
        assert [6.0, 6.0] == [rig.guard.retry_after_s, restored.retry_after_s]
        rig.expire()
        rig.succeed()

    def test_nobody_follows_a_failed_probe(self) -> None:
        """With several permits, one failed probe is enough: no other goes through, though the actor does not answer."""
        rig = Rig(attrs.evolve(CONFIG, half_open_permits=3))
        rig.trip()
        rig.expire()
        rig.deaf = True
        rig.fail()
        assert 20.0 == rig.rejected().retry_after_s
        rig.clock.advance(19.9)
        rig.rejected()
        rig.clock.advance(0.2)
        rig.succeed()


class TestActor:
    """What passes between the guard and its actor."""

    def test_a_restarted_actor_gives_everything_back(self) -> None:
        """A new guard on an old log is open for what is left of the time, and its next opening is next in the row."""
        rig = Rig()
        rig.trip()
        rig.expire()
        rig.fail()
        rig.clock.advance(5.0)
        guard = CircuitBreaker("llm", tell=rig.tell, clock=rig.clock)
        guard.publish(rig.actor)
        assert ("open", 15.0, 3) == (guard.state, guard.retry_after_s, guard.generation)
        rig.registry = type(rig.registry)()
        rig.guard = rig.registry.add(guard)
        rig.expire()
        rig.fail()
        assert 40.0 == rig.guard.retry_after_s

    def test_a_trip_that_cannot_be_told_is_told_later(self) -> None:
        """While the actor takes nothing the guard is open all the same; the report waits and raises at nobody."""
        rig = Rig()
        rig.deaf = True
        rig.trip()
        assert ("open", "closed", 1) == (rig.guard.state, rig.actor.status, rig.guard.statistics().undelivered)
        rig.rejected()
        rig.deaf = False
        rig.rejected()
        assert ("open", 0) == (rig.actor.status, rig.guard.statistics().undelivered)
        assert rig.guard.generation == rig.actor.generation

    def test_without_its_actor_it_guards_on(self) -> None:
        """An actor that does not answer leaves a guard that opens, probes and holds back, and keeps its reports."""
        rig = Rig()
        rig.deaf = True
        rig.trip()
        rig.expire()
        rig.succeed()
        assert "half_open" == rig.guard.state
        rig.fail()
        rig.rejected()
        rig.expire()
        rig.succeed()
        rig.deaf = False
        rig.succeed()
        assert ("closed", "closed") == (rig.guard.state, rig.actor.status)

    def test_publishing_never_goes_back(self) -> None:
        """An older state that comes late does not close a guard that tripped in the meantime; its config counts."""
        rig = Rig()
        rig.deaf = True
        rig.trip()
        changed = attrs.evolve(rig.actor, config=BreakerConfig(failure_threshold=7), revision=rig.actor.revision + 1)
        rig.guard.publish(changed)
        rig.guard.publish(rig.actor)
        assert ("open", 1) == (rig.guard.state, rig.guard.generation)

    def test_in_the_same_generation_the_actor_is_right(self) -> None:
        """Forced open by the actor while the guard tripped by itself: the guard takes the actor's deadline."""
        rig = Rig()
        for _ in range(2):
            rig.fail()
        rig.deaf = True
        rig.fail()
        decision = rig.spec.decide(rig.actor, ForceState("open", "no credit"), rig.context())
        rig.adopt(decision)
        assert ("open", 1, 40.0) == (rig.guard.state, rig.guard.generation, rig.guard.retry_after_s)

    def test_a_new_threshold_counts_at_once(self) -> None:
        """A threshold changed while failures are counted holds for the row that is under way."""
        rig = Rig()
        rig.fail()
        rig.tell(Configure(attrs.evolve(CONFIG, failure_threshold=2)))
        assert ("closed", 1) == (rig.guard.state, rig.guard.failure_count)
        rig.fail()
        assert "open" == rig.guard.state

    def test_forced_closed_lets_calls_through(self) -> None:
        """An operator's word closes it, and a probe under way of the old generation is stale."""
        rig = Rig()
        rig.trip()
        rig.expire()
        probe = rig.guard.admit()
        rig.tell(ForceState("closed", "mended"))
        rig.guard.came_back(probe, ServiceError())
        rig.succeed()
        assert ("closed", 1) == (rig.guard.state, rig.guard.statistics().stale)

    def test_waiting_reports_are_bounded(self) -> None:
        """An actor that never answers costs a bounded memory: what does not fit is dropped and counted."""

        def tell(_: Command) -> None:
            raise RuntimeError

        outbox = Outbox(tell, limit=2)
        for generation in range(5):
            outbox.send(ReportProbeStarted(generation))
        assert (2, 3) == (outbox.waiting, outbox.lost)

    def test_reports_keep_their_order(self) -> None:
        """Reports that had to wait are told before newer ones."""
        told: list[Command] = []
        failing = True

        def tell(command: Command) -> None:
            if failing:
                raise RuntimeError
            told.append(command)

        outbox = Outbox(tell)
        outbox.send(ReportProbeStarted(1))
        failing = False
        outbox.send(ReportProbeStarted(2))
        assert [ReportProbeStarted(1), ReportProbeStarted(2)] == told

    def test_the_registry_keeps_what_was_published_too_early(self) -> None:
        """A state published before there is a guard reaches the guard that comes; a second guard is not taken."""
        rig = Rig()
        rig.trip()
        registry = type(rig.registry)()
        registry.publish(rig.actor)
        guard = registry.add(CircuitBreaker("llm", tell=rig.tell, clock=rig.clock))
        assert "open" == guard.state
        assert guard is registry.add(CircuitBreaker("llm", tell=rig.tell, clock=rig.clock))
        assert {"llm": guard} == registry.guards()
        assert (guard, None) == (registry.get("llm"), registry.get("browser"))


class TestWays:
    """Every way to guard a call."""

    def test_blocks_check_the_state(self) -> None:
        """A with-block counts its failures, and is not entered while the breaker is open."""
        rig = Rig()
        for _ in range(3):
            with pytest.raises(ServiceError), rig.guard:
                raise ServiceError
        with pytest.raises(CircuitOpen), rig.guard:
            pytest.fail("the block was entered")

    def test_blocks_nest(self) -> None:
        """Blocks of two guards, and of one guard twice, each remember their own entry."""
        llm, browser = Rig(), Rig()
        with pytest.raises(ServiceError), llm.guard, browser.guard, llm.guard:
            raise ServiceError
        assert [2, 1] == [llm.guard.failure_count, browser.guard.failure_count]

    def test_blocks_of_tasks_do_not_mix(self) -> None:
        """Two tasks inside blocks of one half-open guard hold one permit each, and each gives back its own."""
        rig = Rig(attrs.evolve(CONFIG, half_open_permits=2, successes_to_close=5))
        rig.trip()
        rig.expire()

        async def probe(go: asyncio.Event) -> None:
            async with rig.guard:
                await go.wait()

        async def main() -> None:
            first, second = asyncio.Event(), asyncio.Event()
            tasks = [asyncio.create_task(probe(first)), asyncio.create_task(probe(second))]
            await asyncio.sleep(0)
            rig.rejected()
            first.set()
            await tasks[0]
            rig.succeed()
            second.set()
            await tasks[1]

        asyncio.run(main())
        assert 3 == rig.actor.probe_successes

    def test_blocks_left_in_any_order(self) -> None:
        """Blocks of two guards that are left in the order they were entered in give each its own result."""
        llm, browser = Rig(), Rig()
        llm.guard.__enter__()
        browser.guard.__enter__()
        llm.guard.__exit__(ServiceError, ServiceError(), None)
        browser.guard.__exit__(None, None, None)
        assert [1, 0] == [llm.guard.failure_count, browser.guard.failure_count]
        browser.guard.__exit__(None, None, None)

    def test_functions(self) -> None:
        """A decorated function keeps its name, passes arguments and results, and counts failures."""
        rig = Rig()

        @rig.guard
        def divide(a: int, *, by: int) -> float:
            """Divide."""
            return a / by

        assert 2.0 == divide(4, by=2)
        assert ("divide", "Divide.") == (divide.__name__, divide.__doc__)
        with pytest.raises(ZeroDivisionError):
            divide(4, by=0)
        assert 1 == rig.guard.failure_count

    def test_coroutine_functions(self) -> None:
        """A coroutine function's failures count when it is awaited, and it is rejected while open."""
        rig = Rig()

        @rig.guard
        async def fetch() -> None:
            raise ServiceError

        async def main() -> None:
            for _ in range(3):
                with pytest.raises(ServiceError):
                    await fetch()
            with pytest.raises(CircuitOpen):
                await fetch()
            with pytest.raises(CircuitOpen):
                await rig.guard.call(fetch)

        asyncio.run(main())

    def test_plain_functions_that_make_coroutines(self) -> None:
        """Making a coroutine is no success: what counts is how it ends."""
        rig = Rig()

        async def fetch() -> None:
            raise ServiceError

        @rig.guard
        def guarded() -> Coroutine[Any, Any, None]:
            return fetch()

        async def main() -> None:
            for _ in range(3):
                with pytest.raises(ServiceError):
                    await guarded()

        asyncio.run(main())
        assert "open" == rig.guard.state

    def test_blocking_calls_refuse_coroutine_functions(self) -> None:
        """A blocking call of a coroutine function would call nothing: it is refused with the way that works."""
        rig = Rig()

        async def fetch() -> None:
            """Never called."""

        with pytest.raises(TypeError, match=r"await breaker.call"):
            _ = rig.guard.call_blocking(fetch)

    def test_streams_that_break_in_the_middle(self) -> None:
        """A generator of either kind that fails after some items is a failure; one that is left early is neutral."""
        rig = Rig()

        @rig.guard
        def lines() -> Generator[int, None, str]:
            yield 1
            raise ServiceError

        @rig.guard
        async def chunks() -> AsyncGenerator[int, None]:
            yield 1
            raise ServiceError

        async def read() -> list[int]:
            return [item async for item in chunks()]

        async def leave() -> None:
            stream = chunks()
            assert 1 == await anext(stream)
            await stream.aclose()

        with pytest.raises(ServiceError):
            list(lines())
        stream = lines()
        assert 1 == next(stream)
        stream.close()
        asyncio.run(leave())
        assert 1 == rig.guard.failure_count
        for _ in range(2):
            with pytest.raises(ServiceError):
                asyncio.run(read())
        assert "open" == rig.guard.state

    def test_an_abandoned_generator_gives_its_permit_back(self) -> None:
        """A probing generator that nobody reads on is ended by the collector, and its permit is free again."""
        rig = Rig()
        rig.trip()
        rig.expire()

        @rig.guard
        def lines() -> Generator[int, None, None]:
            yield 1
            yield 2

        stream = lines()
        next(stream)
        rig.rejected()
        del stream
        gc.collect()
        rig.succeed()

    def test_generators_take_part_like_functions(self) -> None:
        """A guarded generator returns its value, takes what is sent, and closes a half-open breaker by its end."""
        rig = Rig()
        rig.trip()
        rig.expire()

        @rig.guard
        def talk() -> Generator[str, str, str]:
            heard = yield "hello"
            return heard

        conversation = talk()
        assert "hello" == next(conversation)
        with pytest.raises(StopIteration) as ended:
            conversation.send("goodbye")
        assert "goodbye" == ended.value.value
        assert "closed" == rig.guard.state


def test_statistics_and_words() -> None:
    """The statistics are one frozen record of a moment, and the guard's repr says where it stands."""
    rig = Rig()
    rig.trip()
    rig.rejected()
    statistics = rig.guard.statistics()
    assert ("open", 1, 3, 1, 0, 0, 0) == attrs.astuple(statistics)
    assert "<CircuitBreaker 'llm' open generation=1>" == repr(rig.guard)
    assert 0.0 == CircuitBreaker("x", tell=rig.tell, clock=ManualClock()).retry_after_s
