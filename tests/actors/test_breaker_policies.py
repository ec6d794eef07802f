"""When a guard trips and what it may be forced to be: windows, slow calls, Retry-After, holds, rules of a call site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.actors.call_rules import CallRules
from lrm_actors.actors.retry_after import retry_after_s
from lrm_actors.actors.windows import CountWindow, TimeWindow, Totals
from lrm_actors.domain.breaker import FailuresObserved, Forced, Opened
from lrm_actors.domain.breaker_config import BreakerConfig
from lrm_actors.errors import BulkheadFull, CallTimedOut, CircuitOpen, SettingsError
from tests.actors.breaker_kit import CONFIG, Rig, ServiceError, raising

COUNT = attrs.evolve(CONFIG, policy="count", window_calls=10, minimum_calls=4, slow_after_s=5.0, slow_rate=0.5)
TIME = attrs.evolve(COUNT, policy="time", window_s=60.0)


class Answer(Exception):
    """An error as clients of web services raise them."""

    def __init__(self, **headers: str) -> None:
        super().__init__()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = self


class TestWindows:
    """A share of the calls."""

    @pytest.mark.parametrize("config", [COUNT, TIME], ids=["count", "time"])
    def test_a_share_of_failures_opens(self, config: BreakerConfig) -> None:
        """Half of the calls fail, never two in a row: it opens, and the log says which share it was."""
        rig = Rig(config)
        for _ in range(2):
            rig.succeed()
            rig.fail()
        assert "open" == rig.guard.state
        (observed,) = (fact for fact in rig.log if isinstance(fact, FailuresObserved))
        assert observed.share.startswith("2 of 4 calls")
        (opened,) = (fact for fact in rig.log if isinstance(fact, Opened))
        assert observed.share == opened.reason

    @pytest.mark.parametrize("config", [COUNT, TIME], ids=["count", "time"])
    def test_few_calls_say_nothing(self, config: BreakerConfig) -> None:
        """Below the minimum of calls even failures alone do not open it."""
        rig = Rig(config)
        for _ in range(3):
            rig.fail()
        assert ("closed", 3) == (rig.guard.state, rig.guard.failure_count)
        rig.fail()
        assert "open" == rig.guard.state

    @pytest.mark.parametrize("config", [COUNT, TIME], ids=["count", "time"])
    @pytest.mark.parametrize("way", ["call", "decorator", "block"])
    def test_slow_calls_open(self, config: BreakerConfig, way: str) -> None:
        """Calls that succeed and take too long open it, whichever way they are made."""
        rig = Rig(config)

        def slow() -> None:
            rig.clock.advance(5.0)

        decorated = rig.guard(slow)
        for _ in range(4):
            if way == "call":
                rig.guard.call_blocking(slow)
            elif way == "decorator":
                decorated()
            else:
                with rig.guard.block():
                    slow()
        assert "open" == rig.guard.state
        assert "took 5 s or longer" in next(fact.reason for fact in rig.log if isinstance(fact, Opened))

    def test_what_is_old_does_not_count(self) -> None:
        """Failures go out of a window of time as it passes, and out of one of calls as others come."""
        rig = Rig(TIME)
        for _ in range(3):
            rig.fail()
        rig.clock.advance(67.0)
        rig.fail()
        assert "closed" == rig.guard.state
        rig = Rig(attrs.evolve(COUNT, failure_rate=0.4))
        for _ in range(3):
            rig.fail()
        for _ in range(10):
            rig.succeed()
        for _ in range(3):
            rig.fail()
        assert "closed" == rig.guard.state

    def test_a_slow_probe_does_not_close(self) -> None:
        """With a window a probe that succeeds too slowly is no sign of health."""
        rig = Rig(COUNT)
        for _ in range(4):
            rig.fail()
        rig.expire()
        rig.guard.call_blocking(lambda: rig.clock.advance(6.0))
        assert "open" == rig.guard.state

    def test_a_new_policy_counts_at_once(self) -> None:
        """Assigned while calls are counted in a row: from then on a share is looked at."""
        rig = Rig()
        rig.fail()
        rig.guard.configure(COUNT)
        for _ in range(2):
            rig.succeed()
            rig.fail()
        assert "open" == rig.guard.state


outcomes = st.lists(st.tuples(st.sampled_from(["ok", "fail", "slow"]), st.floats(0.0, 9.0)), max_size=60)


@given(outcomes, st.integers(1, 12))
def test_a_count_window_is_the_last_calls(calls: list[tuple[str, float]], size: int) -> None:
    """Whatever the calls, its totals are those of the last so many."""
    window = CountWindow(size, 5.0)
    for number, (outcome, _) in enumerate(calls):
        if outcome == "ok":
            assert window.passed(0.0, 1.0)
            continue
        totals = window.add(failed=outcome == "fail", slow=outcome == "slow", now_s=0.0)
        last = [one for one, _ in calls[: number + 1]][-size:]
        assert Totals(len(last), last.count("fail"), last.count("slow")) == totals


@given(outcomes)
def test_a_time_window_holds_its_length(calls: list[tuple[str, float]]) -> None:
    """Its totals are at least those of its length and at most those of a tenth more."""
    window, now_s = TimeWindow(20.0, 5.0), 0.0
    seen: list[tuple[float, str]] = []
    for outcome, pause_s in calls:
        now_s += pause_s
        seen.append((now_s, outcome))
        if outcome == "ok":
            window.passed(now_s, now_s)
            continue
        totals = window.add(failed=outcome == "fail", slow=outcome == "slow", now_s=now_s)
        least = [one for at_s, one in seen if at_s > now_s - 20.0]
        most = [one for at_s, one in seen if at_s >= now_s - 22.0]
        assert len(least) <= totals.calls <= len(most)
        assert least.count("fail") <= totals.failures <= most.count("fail")


class TestOpenTime:
    """How long it stays open."""

    def test_jitter_stays_below_the_cap(self) -> None:
        """Chance shortens the open time and never lengthens it."""
        for chance in (0.0, 0.5, 0.999):
            rig = Rig(attrs.evolve(CONFIG, jitter=0.5, recovery_timeout_s=60.0), chance=chance)
            rig.trip()
            assert 40.0 * (1 - 0.5 * chance) == pytest.approx(rig.guard.retry_after_s)

    @pytest.mark.parametrize(
        ("error", "open_s"),
        [
            (Answer(retry_after="25"), 25.0),
            (Answer(retry_after_ms="12500"), 12.5),
            (Answer(date="Wed, 21 Oct 2015 07:28:00 GMT", retry_after="Wed, 21 Oct 2015 07:28:30 GMT"), 30.0),
            (Answer(retry_after="3600"), 600.0),
            (Answer(retry_after="1"), 10.0),
            (Answer(retry_after="soon"), 10.0),
            (Answer(retry_after="nan"), 10.0),
            (ServiceError(), 10.0),
        ],
    )
    def test_what_the_service_says_lengthens_it(self, error: Exception, open_s: float) -> None:
        """Seconds, milliseconds or a date, up to the cap for it; less, or nonsense, changes nothing."""

        def service() -> None:
            raise error

        rig = Rig()
        for _ in range(3):
            with pytest.raises(type(error)):
                rig.guard.call_blocking(service)
        assert open_s == pytest.approx(rig.guard.retry_after_s)

    def test_of_a_probe_too(self) -> None:
        """What a failed probe was told reaches the actor, which opens for as long."""
        rig = Rig()
        rig.trip()
        rig.expire()
        with pytest.raises(ServiceError), rig.guard:
            raise ServiceError from Answer(retry_after="90")
        assert 90.0 == rig.guard.retry_after_s

    def test_dates_without_a_date_take_the_clock(self) -> None:
        """Where the answer bears no date of its own, the wall clock is all there is, and it is read once."""
        error = Answer(retry_after="Wed, 21 Oct 2015 07:28:30 GMT")
        assert 30.0 == retry_after_s(error, lambda: 1445412480.0)
        assert None is retry_after_s(error)


class TestHeld:
    """What somebody says it is to be."""

    @pytest.mark.parametrize("status", ["forced_closed", "disabled", "metrics_only"])
    def test_it_lets_calls_through_for_a_time(self, status: str) -> None:
        """From open too; however many fail, it stays so, and then it is closed and counts from nothing."""
        rig = Rig()
        rig.trip()
        rig.guard.force(status, "by hand", for_s=100.0)
        assert status == rig.guard.state == rig.actor.status
        assert isinstance(rig.log[-1], Forced)
        for _ in range(10):
            rig.fail()
        assert status == rig.guard.state
        assert (3 if status == "metrics_only" else 0) == rig.guard.statistics().would_open
        rig.clock.advance(100.0)
        rig.fail()
        assert ("closed", "closed", 1) == (rig.guard.state, rig.actor.status, rig.guard.failure_count)

    def test_the_guard_keeps_the_time_without_its_actor(self) -> None:
        """An actor that does not answer does not hold it for longer."""
        rig = Rig()
        rig.guard.force("disabled", "by hand", for_s=100.0)
        rig.deaf = True
        rig.clock.advance(100.0)
        rig.trip()
        rig.deaf = False
        rig.rejected()
        assert "open" == rig.actor.status

    def test_a_restart_keeps_what_is_left(self) -> None:
        """The actor gives back until when it is held, and starts the timer for the rest."""
        rig = Rig()
        rig.guard.force("metrics_only", "by hand", for_s=100.0)
        rig.clock.advance(60.0)
        rig.revive()
        assert 40.0 == rig.timers[-1].delay_s
        rig.clock.advance(40.0)
        rig.tell(rig.timers[-1].command)
        assert "closed" == rig.guard.state == rig.actor.status

    def test_auto_lets_go(self) -> None:
        """What is held is let go, and what is not is left alone."""
        rig = Rig()
        rig.guard.force("auto", "nothing there")
        rig.guard.force("disabled", "by hand")
        rig.guard.force("auto", "enough")
        assert "closed" == rig.guard.state
        rig.guard.force("open", "by hand", for_s=77.0)
        assert 77.0 == rig.rejected().retry_after_s

    def test_a_late_failure_of_before_is_stale(self) -> None:
        """A call that began before it was held does not count into what is held, nor after it."""
        rig = Rig()
        before = rig.guard.admit()
        rig.fail()
        rig.guard.force("metrics_only", "by hand")
        rig.guard.came_back(before, ServiceError())
        assert (0, 1) == (rig.guard.failure_count, rig.guard.statistics().stale)

    def test_windows_count_while_held(self) -> None:
        """With a window, metrics only says how often its share would have opened it."""
        rig = Rig(COUNT)
        rig.guard.force("metrics_only", "by hand")
        for _ in range(8):
            rig.fail()
        assert 2 == rig.guard.statistics().would_open

    def test_nonsense_is_refused(self) -> None:
        """A status that there is not, a time that there is not."""
        for status, for_s in (("ajar", None), ("open", 0.0), ("open", float("inf"))):
            with pytest.raises(SettingsError):
                Rig().guard.force(status, "why", for_s=for_s)


class TestRules:
    """What a call site says of its calls."""

    def test_ignored_and_counted(self) -> None:
        """By class, by function; ignored comes first, and what is not counted is neutral."""
        rig = Rig()
        using = rig.guard.using(ignore=lambda error: "mine" in str(error), count=(ServiceError, LookupError))
        for error in (ServiceError("mine"), ValueError("other"), KeyError("x"), ServiceError("yours")):
            with pytest.raises(type(error)), using:
                raise error
        assert 2 == rig.guard.failure_count

    def test_a_predicate_that_fails_says_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """It is logged, and the failure counts."""

        def broken(error: BaseException) -> bool:
            raise RuntimeError

        rig = Rig(ignore=broken)
        rig.trip()
        assert "a predicate failed" in caplog.text

    def test_a_class_is_no_predicate(self) -> None:
        """Whichever metaclass it has; and what is neither is refused."""

        class Meta(type):
            """Of which another breaker makes a predicate."""

        class Odd(Exception, metaclass=Meta):
            """With a metaclass."""

        assert "neutral" == CallRules(Odd).judge(Odd())
        assert "failure" == CallRules(Odd).judge(ServiceError())
        for wrong in (3, int, [None]):
            with pytest.raises(SettingsError):
                CallRules(wrong)  # type: ignore[arg-type]

    def test_a_bad_result_is_a_failure(self) -> None:
        """Its caller gets it all the same; a function that fails to judge has no objection."""
        rig = Rig()
        page = rig.guard.using(bad_result=lambda text: text.startswith("<html"))(lambda: "<html>")
        for _ in range(3):
            assert "<html>" == page()  # type: ignore[no-untyped-call]
        assert ("open", "bad result: str") == (rig.guard.state, rig.actor.last_failures[0])
        rig = Rig()
        assert 3 == rig.guard.using(bad_result=lambda text: text.startswith("<html")).call_blocking(lambda: 3)

    def test_fallbacks(self) -> None:
        """They stand in for rejections, for other errors where it is said so, and count as nothing themselves."""
        rig = Rig()
        using = rig.guard.using(fallback=lambda error: type(error).__name__)
        with pytest.raises(ServiceError):
            using.call_blocking(raising(ServiceError))
        every = rig.guard.using(fallback=lambda error: type(error).__name__, fallback_on=(Exception,))
        assert ["ServiceError", "ServiceError"] == [every(raising(ServiceError))() for _ in range(2)]
        assert "CircuitOpen" == using.call_blocking(raising(ServiceError))

        async def stand_in(error: BaseException) -> str:
            return "from the cache"

        async def main() -> list[str]:
            called = rig.guard.using(fallback=stand_in)

            @called
            async def fetch() -> str:
                return "fresh"

            return [await fetch(), await called.call(fetch)]

        assert ["from the cache"] * 2 == asyncio.run(main())

    def test_timeouts(self) -> None:
        """A coroutine that takes too long is cancelled and a failure, by call, decorator, and between two items."""
        rig = Rig()
        using = rig.guard.using(timeout_s=0.01)

        async def hangs() -> None:
            await asyncio.Event().wait()

        @using
        async def stream() -> AsyncGenerator[int, None]:
            yield 1
            await asyncio.Event().wait()

        async def read() -> list[int]:
            return [item async for item in stream()]

        async def main() -> None:
            for call in (using.call(hangs), using(hangs)(), read()):
                with pytest.raises(CallTimedOut):
                    await call

        asyncio.run(main())
        assert "open" == rig.guard.state
        assert "3 timeouts in a row" == next(fact.reason for fact in rig.log if isinstance(fact, Opened))

    def test_a_caller_who_cancels_is_no_timeout(self) -> None:
        """A cancellation from outside passes through, also where there is a timeout."""
        rig = Rig()

        async def main() -> None:
            task = asyncio.create_task(rig.guard.using(timeout_s=60.0).call(asyncio.Event().wait))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert 0 == rig.guard.failure_count

    def test_what_cannot_be_kept_is_refused(self) -> None:
        """A timeout of a plain function, a result of a block or a stream: at once, not when it is needed."""
        guard = Rig().guard
        timed, judged = guard.using(timeout_s=1.0), guard.using(bad_result=bool)

        def lines() -> Generator[int, None, None]:
            yield 1

        for wrong in (
            lambda: timed(lambda: None),
            lambda: timed.call_blocking(lambda: None),
            lambda: timed(lines),
            lambda: judged(lines),
            judged.block,
            judged.__enter__,
        ):
            with pytest.raises(TypeError):
                wrong()
        with pytest.raises(SettingsError):
            guard.using(timeout_s=0.0)

    def test_rejections_of_other_guards_are_neutral(self) -> None:
        """Of a bulkhead further in, too."""
        rig = Rig()
        with pytest.raises(BulkheadFull), rig.guard:
            raise BulkheadFull("llm", 3)
        assert 0 == rig.guard.failure_count


class TestCancelled:
    """Calls that their hosts give up."""

    SLOW = attrs.evolve(CONFIG, slow_after_s=30.0, cancelled_slow_counts=True, probe_lease_s=120.0)

    @pytest.mark.parametrize(("after_s", "state"), [(29.0, "closed"), (31.0, "open")])
    @pytest.mark.parametrize("way", ["call", "decorator", "block"])
    def test_after_long_it_can_count(self, after_s: float, state: str, way: str) -> None:
        """Cancelled soon it is neutral; cancelled after a slow call's time it is a failure, where that is wanted."""
        rig = Rig(self.SLOW)

        async def hang() -> None:
            rig.clock.advance(after_s)
            raise asyncio.CancelledError

        async def block() -> None:
            async with rig.guard.block():
                await hang()

        async def main() -> None:
            for _ in range(3):
                call = {"call": lambda: rig.guard.call(hang), "decorator": rig.guard(hang), "block": block}[way]
                with pytest.raises(asyncio.CancelledError):
                    await call()

        asyncio.run(main())
        assert state == rig.guard.state

    def test_a_probe_cancelled_after_long_opens_again(self) -> None:
        """A service that hangs does not stay in doubt for ever."""
        rig = Rig(self.SLOW)
        rig.trip()
        rig.expire()
        probe = rig.guard.admit()
        rig.clock.advance(29.0)
        rig.guard.came_back(probe, asyncio.CancelledError())
        assert "half_open" == rig.guard.state
        probe = rig.guard.admit()
        rig.clock.advance(30.0)
        rig.guard.came_back(probe, asyncio.CancelledError())
        assert ("open", "probe failed: timeout: cancelled after 30.0 s") == (rig.guard.state, rig.log[-1].reason)  # type: ignore[attr-defined]

    def test_a_row_goes_on(self) -> None:
        """Successes end a row here too."""
        rig = Rig(self.SLOW)
        for _ in range(4):
            rig.fail()
            rig.fail()
            rig.succeed()
        assert "closed" == rig.guard.state


def test_wrappers_have_the_parameters_of_what_they_guard() -> None:
    """Plain names are passed as they are, others in the general way; all of them give what the function gives."""

    def two(first: int, second: int) -> Any:
        return first, second

    def positional(first: int, /, second: int) -> Any:
        return first, second

    def odd(lrm_result: int, *rest: int, more: int = 3, **others: int) -> Any:
        return lrm_result, rest, more, others

    class Client:
        def fetch(self, url: str) -> Any:
            return type(self).__name__, url

        guarded = Rig().guard(fetch)

    guard = Rig().guard
    assert (1, 2) == guard(two)(1, second=2) == guard(two)(second=2, first=1) == guard(positional)(1, second=2)
    assert (1, (2,), 4, {"x": 5}) == guard(odd)(1, 2, more=4, x=5)
    assert ("Client", "u") == Client().guarded("u")
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'second'"):
        guard(two)(1)  # type: ignore[call-arg]
    assert 0 == guard.failure_count


def test_views_share_the_breaker() -> None:
    """However many call sites have rules of their own, there is one state."""
    rig = Rig()
    for _ in range(3):
        with pytest.raises(ServiceError):
            rig.guard.using(ignore=KeyError)(raising(ServiceError))()
    assert "open" == rig.guard.state
    with pytest.raises(CircuitOpen):
        rig.guard.using(ignore=ValueError)(lambda: None)()
