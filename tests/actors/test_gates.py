"""The bulkhead and the throttle."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from lrm_actors.actors.bulkhead import Bulkhead, BulkheadStatistics, Place
from lrm_actors.actors.throttle import AdaptiveThrottle
from lrm_actors.errors import BulkheadFull, SettingsError, Throttled
from lrm_actors.runtime.clock import ManualClock

PATIENCE_S = 20.0


def most_at_once(bulkhead: Bulkhead, threads: int = 8) -> int:
    """The checker: how many of several threads that all stay inside are let in at a time."""
    out, lock, inside, arrived = threading.Event(), threading.Lock(), [0], threading.Semaphore(0)

    def stay() -> None:
        try:
            with bulkhead:
                with lock:
                    inside[0] += 1
                arrived.release()
                out.wait(PATIENCE_S)
        except BulkheadFull:
            arrived.release()

    workers = [threading.Thread(target=stay, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for _ in workers:
        assert arrived.acquire(timeout=PATIENCE_S)
    most = inside[0]
    out.set()
    for worker in workers:
        worker.join(PATIENCE_S)
    return most


def places_lost(bulkhead: Bulkhead) -> int:
    """The checker: how many places are not given back by calls that end in every way there is."""

    @bulkhead
    def numbers() -> Generator[int, None, None]:
        yield 1

    async def main() -> None:
        with contextlib.suppress(KeyError, BulkheadFull):
            await bulkhead.call(raises)
        for ended in (False, True):  # while it waits for its place, and in the moment that it is handed one
            with contextlib.suppress(BulkheadFull):
                bulkhead.__enter__()
                waits = asyncio.create_task(bulkhead.call(asyncio.sleep, 0))
                await asyncio.sleep(0)
                if ended:
                    bulkhead.__exit__(None, None, None)
                waits.cancel()
                await asyncio.gather(waits, return_exceptions=True)
                if not ended:
                    bulkhead.__exit__(None, None, None)

    def raises() -> None:
        raise KeyError

    for function in (lambda: None, raises):
        with contextlib.suppress(KeyError, BulkheadFull):
            bulkhead.call_blocking(function)
    with contextlib.suppress(BulkheadFull):
        stream = numbers()
        next(stream)
        stream.close()
    asyncio.run(main())
    return bulkhead.statistics().under_way


class TestBulkhead:
    """No more at a time."""

    @pytest.mark.parametrize("limit", [1, 3])
    def test_exactly_so_many_are_let_in(self, limit: int) -> None:
        """Of eight threads that all stay, and again once they have left."""
        bulkhead = Bulkhead("llm", limit)
        assert [limit] * 3 == [most_at_once(bulkhead) for _ in range(3)]

    def test_every_place_is_given_back(self) -> None:
        """However a call ends: returned, raised, cancelled while it waited or with its place in hand, closed."""
        assert 0 == places_lost(Bulkhead("llm", 1, wait_s=PATIENCE_S))

    def test_one_more_is_rejected(self) -> None:
        """At once, when nobody is to wait; room is there again when a call is over, however it ends."""
        bulkhead = Bulkhead("llm", 2)
        with bulkhead, bulkhead:
            with pytest.raises(BulkheadFull, match=r"2 calls of 'llm' are under way"):
                bulkhead.call_blocking(lambda: None)
        with pytest.raises(KeyError), bulkhead:
            raise KeyError
        assert BulkheadStatistics(0, 0, 1) == bulkhead.statistics()

    @pytest.mark.parametrize("limit", [1, 3])
    def test_threads_and_loops_share_the_room(self, limit: int, release: bool) -> None:
        """Threads and tasks of two loops wait in one row: never more than the limit inside, and all get in."""
        bulkhead = Bulkhead("llm", limit, wait_s=PATIENCE_S, max_waiting=1000)
        lock, inside, most, done = threading.Lock(), [0], [0], [0]
        rounds = 200 if release else 20

        def begin() -> None:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])

        def end() -> None:
            with lock:
                inside[0] -= 1
                done[0] += 1

        def plain() -> None:
            begin()
            end()

        async def awaited() -> None:
            begin()
            await asyncio.sleep(0)
            end()

        def threads() -> None:
            for _ in range(rounds):
                bulkhead.call_blocking(plain)

        async def tasks() -> None:
            for _ in range(rounds):
                await asyncio.gather(*(bulkhead.call(awaited) for _ in range(4)))

        workers = [threading.Thread(target=threads, daemon=True) for _ in range(4)]
        workers += [threading.Thread(target=lambda: asyncio.run(tasks()), daemon=True) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(PATIENCE_S)
        print(f"{done[0]} calls, at most {most[0]} of {limit} at a time")
        assert (12 * rounds, limit) == (done[0], max(most[0], limit))
        assert (0, 0) == (bulkhead.statistics().under_way, bulkhead.statistics().waiting)

    def test_waiting_ends(self) -> None:
        """Of a thread and of a task, and what waited does not stay in the row; nor does who is cancelled."""
        bulkhead = Bulkhead("llm", 1, wait_s=0.01, max_waiting=1)

        async def main() -> None:
            with pytest.raises(BulkheadFull, match=r"waited 0.0 s"):
                await bulkhead.call(lambda: None)
            patient = asyncio.create_task(Bulkhead.call(waiting, lambda: None))
            await asyncio.sleep(0)
            assert 1 == waiting.statistics().waiting
            with pytest.raises(BulkheadFull):
                waiting.call_blocking(lambda: None)
            patient.cancel()
            with pytest.raises(asyncio.CancelledError):
                await patient

        waiting = Bulkhead("llm", 1, wait_s=PATIENCE_S, max_waiting=1)
        with bulkhead, waiting:
            with pytest.raises(BulkheadFull):
                bulkhead.call_blocking(lambda: None)
            asyncio.run(main())
            assert 0 == waiting.statistics().waiting
        assert (0, 0) == (bulkhead.statistics().under_way, waiting.statistics().under_way)

    def test_who_is_cancelled_with_room_in_hand_hands_it_on(self) -> None:
        """Room that was given to a task in the same moment is not lost with it."""
        bulkhead = Bulkhead("llm", 1, wait_s=PATIENCE_S)

        async def main() -> None:
            bulkhead.__enter__()
            task = asyncio.create_task(bulkhead.call(lambda: None))
            await asyncio.sleep(0)
            bulkhead.__exit__(None, None, None)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(main())
        assert 0 == bulkhead.statistics().under_way

    def test_streams_hold_their_room(self) -> None:
        """From the first item to the end."""
        bulkhead = Bulkhead("llm", 1)

        @bulkhead
        def lines() -> Generator[int, None, None]:
            yield 1

        @bulkhead
        async def chunks() -> AsyncGenerator[int, None]:
            yield 1

        async def main() -> None:
            stream = chunks()
            await anext(stream)
            with pytest.raises(BulkheadFull):
                await bulkhead(asyncio.sleep)(0)
            await stream.aclose()

        stream = lines()
        next(stream)
        with pytest.raises(BulkheadFull):
            bulkhead(lambda: None)()
        stream.close()
        asyncio.run(main())
        assert 0 == bulkhead.statistics().under_way

    def test_what_cannot_be_is_refused(self) -> None:
        """Numbers that make no bulkhead, and a coroutine function where a plain one is wanted."""
        wrong: list[dict[str, Any]] = [
            {"limit": 0},
            {"limit": 1, "wait_s": float("inf")},
            {"limit": 1, "max_waiting": -1},
        ]
        for one in wrong:
            with pytest.raises(SettingsError):
                Bulkhead("x", **one)
        with pytest.raises(TypeError):
            _ = Bulkhead("x", 1).call_blocking(asyncio.sleep, 0)


class Forgetful(Bulkhead):
    """Planted: a call that raised keeps its place."""

    def _leave(self, error: BaseException | None) -> None:
        if error is None:
            super()._leave(error)


class Careless(Bulkhead):
    """Planted: the place of who is cancelled with it in hand is handed to nobody."""

    def _withdraw(self, place: Place) -> None:
        with self._lock:
            if place.cancel():
                self._forget(place)


class Generous(Bulkhead):
    """Planted: one is let in when the room is full."""

    def _place(self) -> Place | None:
        with self._lock:
            if self._under_way == self.limit:
                self._under_way += 1
                return None
        return super()._place()


class Racing(Bulkhead):
    """Planted: looks whether there is room, and takes it a moment later."""

    def _place(self) -> Place | None:
        if self._under_way < self.limit:
            time.sleep(0.01)  # another thread looks meanwhile
            self._under_way += 1
            return None
        return super()._place()


class TestPlantedBulkheads:
    """Each bug is caught by the checker that the real one passes."""

    @pytest.mark.parametrize("planted", [Forgetful, Careless])
    def test_a_place_that_is_not_given_back(self, planted: type[Bulkhead]) -> None:
        """It is missed afterwards."""
        assert places_lost(planted("llm", 1, wait_s=0.05)) > 0

    @pytest.mark.parametrize("planted", [Generous, Racing])
    def test_one_too_many(self, planted: type[Bulkhead]) -> None:
        """It is seen inside with the others."""
        assert most_at_once(planted("llm", 3)) > 3


class Overloaded(Exception):
    """The service turns a call down."""


def sent_of(throttle: AdaptiveThrottle, calls: int = 1000) -> int:
    """The checker: how many of these calls reach a service that turns every one down."""
    sent = 0

    def service() -> None:
        nonlocal sent
        sent += 1
        raise Overloaded

    for _ in range(calls):
        with pytest.raises((Overloaded, Throttled)):
            throttle.call_blocking(service)
    return sent


def heals(throttle: AdaptiveThrottle, clock: ManualClock) -> bool:
    """The checker: whether it sends everything again, some time after the service is well again."""
    sent_of(throttle, 200)
    for _ in range(1000):  # few get through at first; twice as many in each window, as each lowers the share
        with contextlib.suppress(Throttled):
            throttle.call_blocking(lambda: None)
        clock.advance(2.0)
    return throttle.statistics().share == 0.0


def throttled(kind: type[AdaptiveThrottle] = AdaptiveThrottle) -> tuple[AdaptiveThrottle, ManualClock]:
    """A throttle, and its time."""
    clock = ManualClock()
    return kind("llm", now=clock.monotonic, chance=random.Random(7).random), clock


class NeverForgets(AdaptiveThrottle):
    """Planted: what the window has left behind still counts."""

    def _part(self) -> Any:
        gone = tuple(self._parts)
        part = super()._part()
        self._parts = deque([*(one for one in gone if one not in self._parts), *self._parts])
        return part


class Deaf(AdaptiveThrottle):
    """Planted: does not hear that a call was accepted, and never forgets."""

    def _leave(self, error: BaseException | None) -> None:
        if error is not None:
            super()._leave(error)


class Open(AdaptiveThrottle):
    """Planted: lets everything through."""

    def _share(self, requests: int, accepts: int) -> float:
        super()._share(requests, accepts)
        return 0.0


class TestPlantedThrottles:
    """Each bug is caught by the checker that the real one passes."""

    def test_the_real_one_passes(self) -> None:
        """It sends little and heals."""
        assert sent_of(throttled()[0]) < 30
        assert heals(*throttled())

    @pytest.mark.parametrize("planted", [NeverForgets, Deaf])
    def test_one_that_never_recovers(self, planted: type[AdaptiveThrottle]) -> None:
        """The service is well, and is not sent everything."""
        assert not heals(*throttled(planted))

    def test_one_that_lets_everything_through(self) -> None:
        """All of it arrives."""
        assert 1000 == sent_of(throttled(Open)[0])


class TestThrottle:
    """Less for whom turns most of it down."""

    def test_the_share_is_the_formula(self) -> None:
        """Of requests and accepts of the window, by the book."""
        clock = ManualClock()
        throttle = AdaptiveThrottle("llm", now=clock.monotonic, chance=lambda: 1.0)
        for number in range(40):
            with pytest.raises(Overloaded) if number % 4 else throttle, throttle:
                if number % 4:
                    raise Overloaded
        # 40 calls were sent, 10 of them accepted; the with-block of every fourth counts one more of each.
        seen = throttle.statistics()
        assert (50, 20) == (seen.requests, seen.accepts)
        assert (50 - 2 * 20) / 51 == pytest.approx(seen.share)

    def test_total_failure_sends_little(self) -> None:
        """Of a thousand calls of a service that takes none, few are sent."""
        throttle, _ = throttled()
        sent = sent_of(throttle)
        print(f"{sent} of 1000 sent")
        assert sent < 30
        assert 1000 - sent == throttle.statistics().rejected

    def test_it_heals(self) -> None:
        """A service that is back is sent everything again, and what is old is forgotten."""
        clock, chance = ManualClock(), random.Random(7)
        throttle = AdaptiveThrottle("llm", now=clock.monotonic, chance=chance.random)
        for _ in range(100):
            with pytest.raises((Overloaded, Throttled)), throttle:
                raise Overloaded
        assert throttle.statistics().share > 0.9
        clock.advance(131.0)
        assert 0.0 == throttle.statistics().share
        throttle.call_blocking(lambda: None)

    def test_what_says_nothing_counts_as_nothing(self) -> None:
        """Cancelled calls, and errors that are to be ignored."""
        throttle = AdaptiveThrottle("llm", now=ManualClock().monotonic, ignore=LookupError)
        for error in (KeyboardInterrupt, LookupError):
            with pytest.raises(error), throttle:
                raise error
        assert (0, 0) == (throttle.statistics().requests, throttle.statistics().accepts)
        for wrong in ({"k": 0.5}, {"window_s": 0.0}):
            with pytest.raises(SettingsError):
                AdaptiveThrottle("llm", **wrong)  # type: ignore[arg-type]
