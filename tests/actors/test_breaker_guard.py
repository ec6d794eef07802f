"""The guard, one behaviour after the other; most of them are what some other breaker gets wrong."""

from __future__ import annotations

import asyncio
import traceback

import attrs
import pytest

from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.domain.breaker import (
    Opened,
    ReportProbe,
    ReportProbeStarted,
    ReportTrip,
)
from lrm_actors.errors import CircuitOpen
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
        vars(rig.guard).update(_lock=Forbidden(), _clock=Forbidden(), now=Forbidden().monotonic)
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
